/* read_date.c - stretches of time as conditions: "since 2020", "in March or April". */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* "in the last 5 years", of a column that only holds years. */
static bool relative_years(struct reader *reader, size_t at, size_t table, const struct date_range *range) {
  struct arena *arena = reader->study->arena;
  struct place place;
  if (!find_concept(reader, table, "year", WANT_NUMBER, &place)) return false;
  struct filter filter = {.kind = FILTER_COMPARE, .of = place, .op = range->from ? ">=" : "<"};
  filter.literal = arena_printf(arena, "extract(year FROM %s)", range->from ? range->from : range->to);
  if (range->from && range->to) {
    filter.op = "BETWEEN";
    filter.upper = arena_printf(arena, "extract(year FROM %s) - 1", range->to);
  }
  return add_filter(reader, filter, at) != NULL;
}

/* A column that only holds years, when the stretch is made of whole ones. */
static bool year_filter(struct reader *reader, size_t at, size_t table, const struct date_range *range) {
  struct place place;
  struct study *study = reader->study;
  if (range->by_year) return relative_years(reader, at, table, range);
  if (!range->years) return false;
  bool by_verb = false; /* "formed before 2000": of several years the verb's */
  for (size_t back = 1; back <= 2 && back <= at && !by_verb; back++) {
    by_verb = *token_lower(reader, at - back) && !study_glue(token_lower(reader, at - back)) &&
              find_concept(reader, table, date_words(reader, at - back), WANT_NUMBER, &place) &&
              strstr(tokens_lower(study->arena, place.column->name, strlen(place.column->name)), "year");
    if (by_verb) study->explained[at - back] = true;
  }
  if (!by_verb && !find_concept(reader, table, "year", WANT_NUMBER, &place)) return false;
  struct filter filter = {.kind = FILTER_COMPARE, .of = place, .range = *range};
  bool both = range->from_year && range->to_year;
  filter.op = both ? (range->from_year == range->to_year ? "=" : "BETWEEN") : range->from_year ? ">=" : "<=";
  filter.literal = arena_printf(study->arena, "%d", range->from_year ? range->from_year : range->to_year);
  if (both && range->from_year != range->to_year) filter.upper = arena_printf(study->arena, "%d", range->to_year);
  add_filter(reader, filter, at);
  return true;
}

/* "in March or April 2024", "in 2022 and 2023": of the date before, either. */
static size_t another_date(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  struct filter *last = out->filter_count ? &out->filters[out->filter_count - 1] : NULL;
  struct date_range range;
  size_t p = at;
  while (token_is(reader, p, "or|and|,") && (!reader->joint || p != reader->joint)) p++;
  p += token_is(reader, p, "in|during|on") && p > at ? 1 : 0;
  bool years = last && last->kind == FILTER_COMPARE && last->range.years;
  if (p == at || !last || last->end != at || (last->kind != FILTER_DATE && !years) || last->branch != reader->branch) return 0;
  size_t n = dates_continue(&study->tokens, p, study->arena, &range);
  if (!n || (years && !(range.from_year && range.from_year == range.to_year))) return 0;
  struct filter filter = {.kind = last->kind, .of = last->of, .range = range, .either = true};
  if (years) filter.op = "=", filter.literal = arena_printf(study->arena, "%d", range.from_year);
  for (size_t i = at; i < p; i++) study->explained[i] = true;
  add_filter(reader, filter, p);
  return p + n - at;
}

/* Whose date is meant: of what is measured, "customers by revenue in 2025", unless the verb is the rows' own, "who joined in 2025". */
static size_t dated_table(struct reader *reader, size_t at) {
  const struct reading *out = reader->out;
  if (reader->branch) return out->branches[reader->branch - 1].table;
  const struct measure *measured = NULL;
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE && !out->keys[i].by.term) measured = &out->keys[i].by;
  if (measured && measured->of.table != out->subject) {
    const char *kept = reader->study->doubt;
    struct place place;
    bool own = date_by_verb(reader, at, out->subject, &place);
    reader->study->doubt = kept;
    if (own) measured = NULL;
  }
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE && !out->items[i].term) measured = &out->items[i];
  return measured ? measured->of.table : out->subject;
}

/* A date of the rows asked for, said by its name or by what was done: "due", "the due date". The tokens; 0: none. */
static size_t own_date(struct reader *reader, size_t at, struct place *ret_place) {
  const struct mention *mention = mention_at(reader, at);
  size_t table = reader->out->subject;
  if (mention && !mention->verb && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_DATE, ret_place))
    return ret_place->table == table ? mention->to - at : 0;
  reader->study->doubt = NULL;
  if (!*token_lower(reader, at) || study_glue(token_lower(reader, at))) return 0;
  if (!find_concept(reader, table, token_lower(reader, at), WANT_DATE, ret_place)) return 0;
  return 1 + (token_is(reader, at + 1, "date|day|time") ? 1 : 0);
}

/* "returned after they were due": one date of a row against another. */
static size_t dates_compared(struct reader *reader, size_t at) {
  size_t after = study_phrase(reader->study, at, "later than|after"), before = study_phrase(reader->study, at, "earlier than|before");
  if ((!after && !before) || at == 0 || reader->out->subject == NO_TABLE || reader->study->doubt) return 0;
  struct place left, right, *other;
  size_t p = at + after + before;
  while (token_is(reader, p, "the|its|their|they|it|were|was|is|are|been|being")) p++;
  size_t n = own_date(reader, p, &right), back = 1;
  if (!n) return 0;
  while (back < 3 && back < at && (study_glue(token_lower(reader, at - back)) || token_is(reader, at - back, "date|day"))) back++;
  if (!own_date(reader, at - back, &left) || left.column == right.column || !(other = ARENA_NEW(reader->study->arena, struct place)))
    return 0;
  *other = right;
  reader->study->explained[at - back] = true;
  add_filter(reader, (struct filter){.kind = FILTER_ROLE, .of = left, .op = after ? ">" : "<", .until = other}, at);
  return p + n - at;
}

/* "coupons valid today": a column that holds a stretch of time itself, right before. */
static bool in_period(struct reader *reader, size_t at, const struct date_range *range) {
  const struct mention *mention = NULL;
  for (size_t back = 1; back <= 4 && back <= at && !mention; back++) {
    const struct mention *before = mention_at(reader, at - back);
    if (before && before->to == at) mention = before;
  }
  if (!range->from && !range->to) return false;
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind != LINK_COLUMN || !column_period(link->column) || link->table != reader->out->subject) continue;
    struct filter filter = {.kind = FILTER_DATE, .of = {.table = link->table, .column = link->column}, .range = *range};
    filter.negated = negated_before(reader, mention->from);
    return add_filter(reader, filter, at) != NULL;
  }
  return false;
}

/* "open on Sundays" of a column that holds names of days, in a table that is named. */
static bool named_day(const struct reader *reader, size_t at, size_t taken) {
  for (size_t i = at; i < at + taken; i++) {
    const struct link *value = mention_best(mention_at(reader, i), LINK_VALUE);
    if (value && reader->study->mentioned[value->table]) return true;
  }
  return false;
}

/* Rows of something that happened: they belong to those asked for, and have a date that is no birthday. */
static bool happened_to(const struct study *study, size_t rows, size_t subject) {
  static const char *const lives[] = {"born", "birth", "birthdat", "hire", "employ", NULL};
  const struct snap_table *table = study_table(study, rows);
  bool ties = false, dated = false;
  for (size_t i = 0; i < study->graph.edge_count && rows != subject; i++)
    ties |= study->graph.edges[i].from == rows && study->graph.edges[i].to == subject;
  for (size_t c = 0; ties && c < table->column_count; c++)
    dated |= column_temporal(&table->columns[c]) && !named_by(study, &table->columns[c], lives);
  return dated;
}

/* What happened to the rows asked for and those of another table: rows of that, or between the two. NO_TABLE: nothing, or there is doubt.
 */
static size_t happened_with(struct reader *reader, size_t other) {
  struct study *study = reader->study;
  size_t subject = reader->out->subject, found = NO_TABLE;
  bool direct = false; /* they belong to those asked for in another way, too */
  if (happened_to(study, other, subject)) return other;
  for (size_t i = 0; i < study->graph.edge_count; i++) direct |= study->graph.edges[i].from == other && study->graph.edges[i].to == subject;
  for (size_t rows = 0; rows < study->snapshot->table_count; rows++) {
    if (!happened_to(study, rows, subject) || !study_belongs(study, rows, other)) continue;
    if (found != NO_TABLE || direct) study_doubt(study, NULL, "The date of what is meant? Name its table or column.");
    found = rows;
  }
  return study->doubt ? NO_TABLE : found;
}

/* The last verb before `at` is what drew the table in: "bought" of customers is about their orders, whenever they were created. */
static bool done_last(const struct reader *reader, size_t at, size_t table) {
  const struct mention *verb = NULL;
  for (size_t p = at; p-- > 0 && !verb;) {
    verb = mention_at(reader, p) && mention_at(reader, p)->verb ? mention_at(reader, p) : NULL;
    if (!verb && participle_like(token_lower(reader, p)) && !mention_at(reader, p)) return false;
  }
  const struct link *done = mention_best(verb, LINK_TABLE);
  return done && done->table == table && reader->study->drawn[table];
}

/* "worked the night shift on 24 December", "have seen a vet in May": when that was, not when who did it was born or hired, unless the verb
 * says so. */
static size_t event_before(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t other = NO_TABLE, subject = reader->out->subject;
  struct place own;
  for (size_t p = at; p-- > 0 && other == NO_TABLE;) {
    const struct mention *mention = mention_at(reader, p);
    const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
    if (!mention || mention->to > at) continue;
    if (mention->verb && table && happened_to(study, table->table, subject)) other = table->table;
    if (mention->verb) continue;
    if (column && column_temporal(column->column) && (!table || table->score < column->score)) return NO_TABLE;
    if (table && (!column || column->score <= table->score)) other = table->table;
    for (size_t i = 0; i < reader->out->filter_count && !table; i++)
      if (reader->out->filters[i].at == p && reader->out->filters[i].kind == FILTER_IN) other = reader->out->filters[i].of.table;
    for (size_t v = p; other != NO_TABLE && v-- > 0;) { /* "bought a laptop": when it was bought */
      const struct link *done =
          mention_at(reader, v) && mention_at(reader, v)->verb ? mention_best(mention_at(reader, v), LINK_TABLE) : NULL;
      if (done && happened_to(study, done->table, subject)) other = done->table;
    }
  }
  if (other == NO_TABLE || other == subject || study_belongs(study, subject, other)) return NO_TABLE;
  const char *kept = study->doubt;
  bool done = !done_last(reader, at, other) && date_by_verb(reader, at, subject, &own);
  study->doubt = kept;
  return done ? NO_TABLE : happened_with(reader, other);
}

size_t rule_date(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t compared = dates_compared(reader, at);
  if (compared) return compared;
  struct date_range range;
  size_t another = another_date(reader, at);
  if (another) return another;
  bool part = reader->both && (at == reader->both + 1 || at == reader->joint + 1); /* "in both 2014 and 2015" */
  size_t n = part ? dates_continue(&study->tokens, at, study->arena, &range) : dates_read(&study->tokens, at, study->arena, &range);
  if (n && range.weekdays && named_day(reader, at, n)) return 0;
  if (n == 2 && token_is(reader, at, "over") && range.years && behind_rows(reader, at)) return 0; /* "invoices over 2000": an amount */
  if (!n || in_period(reader, at, &range)) return n;
  size_t table = dated_table(reader, at);
  struct place place;
  size_t last = reader->last_table;
  const char *kept = study->doubt;
  bool ranked = table != reader->out->subject && !reader->out->item_count; /* "customers by revenue in 2025" */
  bool near = last != NO_TABLE && last != table && reader->where && !reader->branch && !(ranked && last == reader->out->subject);
  for (size_t back = 1; near && back <= 4 && back <= at; back++) { /* "placed by customers in Berlin in March": when they were placed */
    const struct mention *before = mention_at(reader, at - back);
    if (before && before->to == at && mention_best(before, LINK_VALUE) && !mention_best(before, LINK_TABLE)) near = false;
  }
  for (size_t back = 1; near && back <= 3 && back <= at; back++) /* "comments were posted in": when they were */
    if (mention_at(reader, at - back) && mention_at(reader, at - back)->verb && at > back &&
        token_is(reader, at - back - 1, "was|were|been|are|is"))
      near = false;
  bool done = false; /* "enrolled in 2020" of enroll_year */
  for (size_t back = 1; range.years && !reader->branch && back <= 2 && back <= at && !done; back++)
    done = !study_glue(token_lower(reader, at - back)) && find_concept(reader, table, date_words(reader, at - back), WANT_NUMBER, &place) &&
           named_by(study, place.column, (const char *const[]){"year", NULL});
  if (done && year_filter(reader, at, table, &range)) return n;
  size_t event = table == reader->out->subject && !reader->branch ? event_before(reader, at) : NO_TABLE;
  if (study->doubt && !kept) return 0;
  bool found = event != NO_TABLE && settle_date(reader, at, event, &place);
  if (!found && event != NO_TABLE && study->doubt) return 0;
  found = found || (near && settle_date(reader, at, last, &place));
  if (!found && near && !study->doubt && year_filter(reader, at, last, &range)) return n; /* "performed in a concert in 2014" */
  if (!found && study->doubt && !near) return 0;
  if (!found) study->doubt = kept;
  if (!found) found = settle_date(reader, at, table, &place);
  if (!found && year_filter(reader, at, table, &range)) {
    study->doubt = kept;
    return n;
  }
  if (!found && study->doubt) return 0;
  for (size_t i = 0; !found && i < reader->out->related_count; i++) found = settle_date(reader, at, reader->out->related[i], &place);
  for (size_t i = 0; !found && !study->doubt && i < reader->out->item_count; i++) { /* "school names and budgets in 2020" */
    size_t shown = reader->out->items[i].of.table;
    if (shown == table || reader->out->items[i].term) continue;
    if (year_filter(reader, at, shown, &range)) return n;
    found = settle_date(reader, at, shown, &place);
  }
  if (!found) return 0;
  add_filter(reader, (struct filter){.kind = FILTER_DATE, .of = place, .range = range}, at);
  return n;
}
