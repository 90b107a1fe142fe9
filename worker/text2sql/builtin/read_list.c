/* read_list.c - what is shown: columns, counts, sums, groups, shares. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static const struct {
  const char *phrases;
  enum measure_kind kind;
} aggregates[] = {
    {"how many|number of|total number of|total count of|count of|count the number of|count the|count how many|count|counts of|numbers "
     "of|quantity of distinct|amount of distinct",
     MEASURE_COUNT},
    {"how much|sum of the|sum of|sum|total sum of|total|combined|overall|cumulative", MEASURE_SUM},
    {"average|mean|avg|typical", MEASURE_AVG},
    {"median", MEASURE_MEDIAN},
    {"maximum|max", MEASURE_MAX},
    {"minimum|min", MEASURE_MIN},
};

static size_t aggregate_at(const struct reader *reader, size_t at, enum measure_kind *ret_kind) {
  for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++) {
    size_t n = study_phrase(reader->study, at, aggregates[i].phrases);
    if (!n) continue;
    *ret_kind = aggregates[i].kind;
    return n;
  }
  return 0;
}

static bool money_like(const struct reader *reader, size_t at) {
  return token_is(reader, at, "sales|revenue|payments|donations|spending|spend|spent|turnover|earnings|expenses|income");
}

/* Rows that are worth something: their amount; else the product of how many and for how much. */
static bool find_worth(struct reader *reader, size_t table, struct measure *ret) {
  struct place place, times;
  if (find_concept(reader, table, "revenue sales amount total spent subtotal", WANT_NUMBER, &place)) {
    *ret = (struct measure){.kind = MEASURE_SUM, .of = place};
    return true;
  }
  if (find_concept(reader, table, "quantity", WANT_NUMBER, &place) && find_concept(reader, table, "price", WANT_NUMBER, &times)) {
    *ret = (struct measure){.kind = MEASURE_SUM, .of = place, .times = times};
    return true;
  }
  return false;
}

/* Every table that is mentioned is the only one of its kind for a row of this: nothing is added up twice. */
static bool adds_up(struct study *study, size_t table) {
  for (size_t m = 0; m < study->snapshot->table_count; m++) {
    struct join_path path;
    if (m == table || !study->mentioned[m] || !joins_path(&study->graph, table, m, NULL, study->arena, &path)) continue;
    for (size_t i = 0; i < path.count; i++)
      if (!path.steps[i].up) return false;
  }
  return true;
}

/* The table whose rows make the revenue: the only one near that has amounts, or quantities and prices. */
static bool find_revenue(struct reader *reader, struct measure *ret) {
  struct study *study = reader->study;
  double best = 99;
  bool tie = false;
  for (size_t t = 0; t < study->snapshot->table_count; t++) {
    struct measure worth;
    if (!table_readable(study_table(study, t)) || study_table(study, t)->kind == SNAP_VIEW || !find_worth(reader, t, &worth)) continue;
    double distance = t == reader->out->subject ? -1
                                                : study_distance(study, reader->out->subject, t) - (study->mentioned[t] ? 0.5 : 0) +
                                                      (worth.times.column ? 0.3 : 0);
    if (!adds_up(study, t)) distance += 4;
    tie = distance > best - 0.2 && distance < best + 0.2 ? true : distance < best ? false : tie;
    if (distance < best) best = distance, *ret = worth;
  }
  return best < 9 && !tie;
}

static struct measure rows_of(size_t table, bool distinct) {
  return (struct measure){.kind = MEASURE_COUNT, .distinct = distinct, .of.table = table};
}

/* A number to add up, or things to count: what a column said after "how many" means. */
static struct measure counted(struct reader *reader, struct place place, bool distinct) {
  static const char *const sums[] = {"quantiti", "unit",  "stock", "seat",   "point", "goal", "hour",
                                     "view",     "click", "piec",  "credit", "page",  "copi"};
  const struct word *words[NAME_WORDS];
  size_t n = names_split(place.column->name, reader->study->arena, reader->study->words, words);
  if (column_numeric(place.column) && !column_key(study_table(reader->study, place.table), place.column))
    for (size_t i = 0; i < n; i++)
      for (size_t k = 0; k < sizeof sums / sizeof *sums; k++)
        if (strcmp(words[i]->text, sums[k]) == 0) return (struct measure){.kind = MEASURE_SUM, .of = place};
  (void)distinct;
  return (struct measure){.kind = MEASURE_COUNT, .distinct = true, .of = place};
}

/* The mention an aggregate is of, at `at` or behind a table's name that only qualifies it ("average order value"). */
static size_t measured_mention(struct reader *reader, size_t at, enum wanted wanted, struct place *ret_place) {
  const struct mention *mention = mention_at(reader, at);
  if (!mention) return 0;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  if (table && (!column || column->score <= table->score)) {
    const struct mention *next = mention_at(reader, mention->to);
    if (mention_best(next, LINK_COLUMN) && settle_column(reader, next, wanted, ret_place)) return next->to - at;
  }
  if (column && !reader->study->doubt && settle_column(reader, mention, wanted, ret_place)) return mention->to - at;
  return 0;
}

/* "days between order date and ship date" after "average": an interval of two dates. */
static size_t read_interval(struct reader *reader, size_t at, struct measure *ret) {
  struct study *study = reader->study;
  size_t n = study_phrase(study, at,
                          "number of days between|days between|time between|number of days from|days from|time from|difference "
                          "between|difference in days between|days elapsed between"),
         p = skip_glue(reader, at + n);
  struct place from, *until = ARENA_NEW(study->arena, struct place);
  size_t m = n ? measured_mention(reader, p, WANT_DATE, &from) : 0;
  if (!m || !until || !token_is(reader, p + m, "and|to|until")) return 0;
  size_t q = skip_glue(reader, p + m + 1), k = measured_mention(reader, q, WANT_DATE, until);
  if (!k || until->table != from.table) return 0;
  *ret = (struct measure){.of = from, .until = until};
  return q + k - at;
}

static size_t read_term(struct reader *reader, size_t at, struct measure *ret) {
  const struct mention *mention = mention_at(reader, at);
  const struct link *term = mention_best(mention, LINK_TERM);
  if (!term) return 0;
  *ret = (struct measure){.term = term->term, .of.table = reader->out->subject};
  return mention->to - at;
}

/* What stands behind "how many", "average", … */
static size_t measured(struct reader *reader, size_t at, enum measure_kind kind, bool distinct, struct measure *ret) {
  struct place place;
  size_t n;
  if (kind != MEASURE_COUNT && (n = read_interval(reader, at, ret))) {
    ret->kind = kind;
    return n;
  }
  if ((n = read_term(reader, at, ret))) return n;
  const struct mention *mention = mention_at(reader, at);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  bool rows = table && (!column || column->score <= table->score + 0.03);
  if (kind == MEASURE_COUNT) {
    const struct link *flag = mention_best(mention, LINK_FLAG), *value = mention_best(mention, LINK_VALUE);
    double least = table && !mention->verb ? table->score : 0.75;
    if ((flag && flag->score > least) || (value && value->score > least)) return 0; /* "how many active …" */
    if (rows && !mention->verb && (table->score >= 0.75 || !column)) {
      size_t which = settle_table(reader, mention);
      if (which == NO_TABLE) return 0;
      *ret = rows_of(which, distinct);
      return mention->to - at;
    }
    if (!column || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
    *ret = counted(reader, place, distinct);
    return mention->to - at;
  }
  enum wanted wanted = kind == MEASURE_MAX || kind == MEASURE_MIN ? WANT_MEASURABLE : WANT_NUMBER;
  if (kind == MEASURE_SUM && money_like(reader, at) && !(column && column->score >= 0.9) && find_revenue(reader, ret))
    return mention ? mention->to - at : 1;
  if ((n = measured_mention(reader, at, wanted, &place)) && !column_key(study_table(reader->study, place.table), place.column)) {
    *ret = (struct measure){.kind = kind, .of = place};
    return n;
  }
  if (!rows || reader->study->doubt || kind == MEASURE_MAX || kind == MEASURE_MIN) return 0;
  size_t which = settle_table(reader, mention);
  if (which == NO_TABLE) return 0;
  *ret = rows_of(which, distinct);
  if (kind == MEASURE_AVG) reader->out->nested_average = true;
  return mention->to - at;
}

size_t read_measure(struct reader *reader, size_t at, struct measure *ret_measure) {
  enum measure_kind kind = MEASURE_NONE;
  size_t start = at, n;
  at = skip_glue(reader, at);
  n = aggregate_at(reader, at, &kind);
  if (n && kind != MEASURE_COUNT) {
    size_t m = read_interval(reader, skip_glue(reader, at + n), ret_measure);
    if (m) ret_measure->kind = kind;
    if (m || reader->study->doubt) return m ? skip_glue(reader, at + n) + m - start : 0;
  }
  bool nested = n && kind == MEASURE_AVG;
  while ((n = aggregate_at(reader, at, &kind)) && kind != MEASURE_COUNT &&
         aggregate_at(reader, skip_glue(reader, at + n), &(enum measure_kind){0}))
    at = skip_glue(reader, at + n); /* "total number of" */
  if (n) {
    at += n;
    bool distinct = token_is(reader, at, "distinct|unique|different");
    at = skip_glue(reader, at);
    n = measured(reader, at, kind, distinct, ret_measure);
    if (n && nested && kind == MEASURE_COUNT) reader->out->nested_average = true;
    return n ? at + n - start : 0;
  }
  if ((n = read_term(reader, at, ret_measure))) return at + n - start;
  const struct link *amount = mention_best(mention_at(reader, at), LINK_COLUMN);
  if (money_like(reader, at) && !(amount && amount->score >= 0.9) && mention_at(reader, at) && mention_at(reader, at)->to == at + 1 &&
      find_revenue(reader, ret_measure)) {
    const struct mention *mention = mention_at(reader, at);
    return (mention ? mention->to : at + 1) - start;
  }
  return 0;
}

size_t rule_measure(struct reader *reader, size_t at) {
  struct measure measure;
  enum measure_kind kind = MEASURE_NONE;
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  size_t n = aggregate_at(reader, at, &kind);
  if (reader->pending != MEASURE_NONE && mention && !n) { /* what it was waiting for, behind adjectives */
    n = measured(reader, at, reader->pending, reader->pending_distinct, &measure);
    if (!n) return 0;
    reader->pending = MEASURE_NONE;
    add_item(reader, measure);
    reader->last_table = measure.of.table;
    return n;
  }
  if (mention && n < mention->to - at && mention_best(mention, LINK_COLUMN) && reader->pending == MEASURE_NONE && mention->to - at > 1 &&
      kind != MEASURE_NONE) { /* "total amount" is a column */
    struct place place;
    if (mention_best(mention, LINK_COLUMN)->score < 0.95 && n == 1 && mention->to == at + 2 && money_like(reader, at + 1) &&
        find_revenue(reader, &measure)) {
      add_item(reader, measure);
      return 2;
    }
    if (settle_column(reader, mention, WANT_NUMBER, &place) && !wants_rows(reader)) {
      add_item(reader, (struct measure){.kind = kind == MEASURE_COUNT ? MEASURE_SUM : kind, .of = place});
      return mention->to - at;
    }
    if (study->doubt) return 0;
  }
  if (mention_best(mention, LINK_TERM) && (n = read_term(reader, at, &measure))) {
    if (!strchr(measure.term->expression, '(')) return 0; /* a condition */
    add_item(reader, measure);
    reader->out->metric = measure.term;
    return n;
  }
  if (!n && money_like(reader, at) && !reader->where && (n = read_measure(reader, at, &measure))) {
    if (mention_best(mention, LINK_TABLE) && token_is(reader, at, "sales|payments|donations|expenses") && !wants_rows(reader) &&
        !token_is(reader, at + 1, "by|per|in|for|from"))
      return 0;
    add_item(reader, measure);
    return n;
  }
  if (!n || (mention && mention->to - at > n && mention_best(mention, LINK_COLUMN))) return 0;
  if (kind == MEASURE_COUNT && token_is(reader, at, "count") && mention_best(mention, LINK_COLUMN) && at > 1) return 0;
  size_t whole = read_measure(reader, at, &measure);
  if (whole) {
    add_item(reader, measure);
    reader->last_table = measure.of.table;
    return whole;
  }
  if (study->doubt) return 0;
  if (reader->pending == MEASURE_AVG && kind == MEASURE_COUNT) reader->out->nested_average = true;
  reader->pending = kind;
  reader->pending_distinct = token_is(reader, at + n, "distinct|unique|different");
  return n + (reader->pending_distinct ? 1 : 0);
}

/* --- groups --- */

static size_t read_bucket(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  enum date_unit unit = dates_unit(token_lower(reader, at));
  if (unit == UNIT_DAY && token_is(reader, at, "date")) unit = mention_best(mention_at(reader, at), LINK_COLUMN) ? UNIT_NONE : UNIT_DAY;
  if (study_phrase(study, at, "day of week|day of the week")) unit = UNIT_WEEKDAY;
  if (unit == UNIT_NONE) return 0;
  struct place place;
  size_t near = reader->out->subject;
  for (size_t i = 0; i < reader->out->item_count; i++)
    if (reader->out->items[i].kind != MEASURE_NONE && !reader->out->items[i].term) near = reader->out->items[i].of.table;
  const struct mention *own = mention_at(reader, at); /* a column that holds years or months */
  if (own && settle_column(reader, own, WANT_NUMBER, &place) && place.table == near) {
    add_group(reader, (struct group){.of = place});
    return own->to - at;
  }
  if (study->doubt || !settle_date(reader, at, near, &place)) return 0;
  add_group(reader, (struct group){.of = place, .bucket = unit});
  return unit == UNIT_WEEKDAY && token_is(reader, at, "day") ? study_phrase(study, at, "day of week|day of the week") : 1;
}

/* "per origin warehouse": the row a key leads to, unless the key itself was asked for. */
static struct place entity_of(const struct reader *reader, const struct mention *mention, struct place place) {
  for (size_t i = mention->from; i < mention->to; i++)
    if (token_is(reader, i, "id|ids|key|code|number")) return place;
  const struct join_graph *graph = &reader->study->graph;
  for (size_t i = 0; i < graph->edge_count; i++) {
    const struct join_edge *edge = &graph->edges[i];
    if (edge->from == place.table && edge->column_count == 1 && strcmp(edge->from_columns[0], place.column->name) == 0)
      return (struct place){.table = edge->to, .role = edge};
  }
  return place;
}

static size_t read_group(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = read_bucket(reader, at);
  if (n || study->doubt) return n;
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN),
                    *role = mention_best(mention, LINK_ROLE);
  if (!table && !column && role) {
    add_group(reader, (struct group){.of = {.table = role->table, .role = role->edge}});
    return mention->to - at;
  }
  if (!table && !column) return 0;
  bool settled = column && settle_column(reader, mention, WANT_ANY, &place);
  if (study->doubt) {
    if (!table) return 0;
    study->doubt = NULL;
  }
  bool own = settled && (!table || column->score >= table->score - 0.15) && place.table == reader->out->subject &&
             !column_key(study_table(study, place.table), place.column);
  if (table && !own && (!settled || table->score >= column->score - 0.05)) {
    size_t which = settle_table(reader, mention);
    if (which == NO_TABLE) return 0;
    const struct mention *next = mention_at(reader, mention->to); /* "per product category": the column of that table */
    struct place detail;
    if (next && !next->verb && mention_best(next, LINK_COLUMN) && settle_column(reader, next, WANT_ANY, &detail) &&
        (detail.table == which || mention_best(next, LINK_TABLE))) {
      if (mention_best(next, LINK_TABLE) && detail.table != which) return mention->to - at + read_group(reader, mention->to);
      add_group(reader, (struct group){.of = detail});
      return next->to - at;
    }
    if (next && !next->verb && mention_best(next, LINK_TABLE)) return mention->to - at + read_group(reader, mention->to);
    if (study->doubt) return 0;
    add_group(reader, (struct group){.of.table = which});
    return mention->to - at;
  }
  if (!settled) return 0;
  add_group(reader, (struct group){.of = entity_of(reader, mention, place)});
  return mention->to - at;
}

/* "list customers by name" is an order; "customers by country" are groups. */
static bool orders_list(const struct reader *reader) {
  if (!study_phrase(reader->study, 0, "list|show|display|give|get|find|return|which|what") || reader->pending != MEASURE_NONE ||
      !wants_rows(reader))
    return false;
  for (size_t i = 0; i < reader->out->item_count; i++)
    if (reader->out->items[i].kind != MEASURE_NONE || reader->out->items[i].term || column_numeric(reader->out->items[i].of.column))
      return false;
  return true;
}

size_t rule_group(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  static const char always[] =
      "per each|for each of the|for each|for every|in each|in every|of each|of every|from each|by each|within each|at each|on each|with "
      "each|per|each|every|grouped by|group by|group them by|grouping by|grouped per|broken down by|break down by|"
      "breakdown by|broken out by|breakdown per|split by|segmented by|across all|across|for all the different|for the different";
  if (token_is(reader, at, "daily|weekly|monthly|quarterly|yearly|annual|annually")) {
    reader->per = true;
    return read_bucket(reader, at);
  }
  size_t n = study_phrase(study, at, always);
  if (reader->grouping && token_is(reader, at, "and|,"))
    n = token_is(reader, at + 1, "by|per") ? 2 : 1;
  else if (!n && token_is(reader, at, "by") && !reader->top && !reader->ordering)
    n = 1;
  if (!n) return 0;
  size_t p = skip_glue(reader, at + n);
  if (token_is(reader, at, "by") && (mention_best(mention_at(reader, p), LINK_VALUE) && !mention_best(mention_at(reader, p), LINK_COLUMN) &&
                                     !mention_best(mention_at(reader, p), LINK_TABLE)))
    return 0;
  if (at > 0 && token_is(reader, at, "by") && orders_list(reader)) {
    struct place place;
    const struct mention *mention = mention_at(reader, p);
    if (!mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
    add_key(reader, (struct measure){.of = place}, false);
    reader->ordering = true;
    return mention->to - at;
  }
  size_t m = read_group(reader, p);
  if (!m) return 0;
  reader->grouping = true;
  reader->per |= !token_is(reader, at, "each|for|every|of|with|from");
  return p + m - at;
}

/* --- shares --- */

size_t rule_ratio(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = study_phrase(study, at,
                          "what percentage of|percentage of|percent of|what percent of|what % of|% of|what share of|share of|what "
                          "proportion of|proportion of|what fraction of|fraction of|percentages of|rate of");
  if (!n || token_is(reader, at, "rate") || reader->out->ratio) return 0;
  size_t p = skip_glue(reader, at + n);
  reader->out->percent = !study_phrase(study, at, "proportion of|what proportion of|fraction of|what fraction of");
  reader->out->ratio = true;
  reader->out->ratio_from = p;
  reader->out->ratio_noun = TOKENS_MAX;
  reader->out->ratio_verb = TOKENS_MAX;
  for (size_t i = p; i < study->tokens.count; i++) {
    if (reader->out->ratio_noun == TOKENS_MAX && mention_best(mention_at(reader, i), LINK_TABLE) && !mention_at(reader, i)->verb)
      reader->out->ratio_noun = i;
    if (reader->out->ratio_verb == TOKENS_MAX && i > p &&
        token_is(reader, i,
                 "are|were|is|was|have|has|had|that|who|which|with|did|been|come|comes|belong|whose|ended|cost|costs|earn|get|got"))
      reader->out->ratio_verb = i;
  }
  reader->pending = MEASURE_NONE;
  return p - at;
}

/* --- plain mentions --- */

size_t rule_role(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  const struct link *role = mention_best(mention, LINK_ROLE), *table = mention_best(mention, LINK_TABLE),
                    *column = mention_best(mention, LINK_COLUMN);
  if (!role || mention->verb || (table && table->score > role->score) || (column && column->score > role->score + 0.05)) return 0;
  const struct mention *next = mention_at(reader, mention->to);
  struct place place;
  if (next && mention_best(next, LINK_TABLE) && settle_table(reader, next) == role->table) return mention->to - at;
  if (study->doubt) return 0;
  if (next && mention_best(next, LINK_COLUMN) &&
      find_concept(reader, role->table, study->tokens.items[next->from].lower, WANT_ANY, &place)) {
    place.role = role->edge;
    add_item(reader, (struct measure){.of = place});
    return next->to - at;
  }
  if (reader->where) return 0;
  const struct snap_column *display[2];
  size_t n = study_display(study, role->table, display);
  for (size_t i = 0; i < n; i++) add_item(reader, (struct measure){.of = {role->table, display[i], role->edge}});
  if (!n) return 0;
  if (!reader->out->listed && role->edge->from == reader->out->subject && at > 0 && !token_is(reader, at - 1, "of"))
    reader->out->listed = true;
  return mention->to - at;
}

/* "of products", "for each": a table that only says where a column is from. */
static bool only_qualifies(const struct reader *reader, size_t at) {
  size_t back = at;
  while (back > 0 && token_is(reader, back - 1, "the|a|an|all|any|our|their|these|those")) back--;
  return back > 0 && token_is(reader, back - 1, "of|for|from|in|on|at|by|to|among|across|within|over|through");
}

size_t rule_table(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  const struct mention *mention = mention_at(reader, at);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  if (!table || (column && column->score > table->score + 0.1)) return 0;
  size_t which = settle_table(reader, mention);
  if (which == NO_TABLE) return 0;
  struct place place;
  if (column && column->score >= table->score - 0.02 && which != out->subject &&
      !mention->verb) { /* "category": a table, and a column of what is asked about */
    if (settle_column(reader, mention, WANT_ANY, &place) && place.table == out->subject &&
        !column_key(study_table(study, place.table), place.column))
      return 0;
    study->doubt = NULL;
  }
  size_t n = mention->to - at;
  reader->last_table = which;
  if (mention->verb) {
    reader->last_verb = mention;
    if (which == out->subject && at == 1 && token_is(reader, 0, "who")) out->listed = true;
    if (which != out->subject) study->drawn[which] = true;
    if (which != out->subject && table->score >= 0.75) add_related(reader, which);
    return n;
  }
  if (reader->where && which != out->subject) {
    if (!only_qualifies(reader, at) || mention_best(mention_at(reader, mention->to), LINK_VALUE) == NULL) add_related(reader, which);
    return n;
  }
  const struct mention *next = mention_at(reader, mention->to);
  bool possessive =
      next && mention_best(next, LINK_COLUMN) && !mention_best(next, LINK_VALUE) && !next->verb && !mention_best(next, LINK_TABLE);
  if (only_qualifies(reader, at) || out->ratio) {
    if (which != out->subject && reader->qualifier_count < READING_ROWS) reader->qualifiers[reader->qualifier_count++] = which;
    return n;
  }
  if (possessive && !study_phrase(study, at > 0 ? at - 1 : 0, "which|all|list|show") && settle_column(reader, next, WANT_ANY, &place) &&
      place.table == which)
    return n; /* "customer names" */
  if (study->doubt) return 0;
  if (which == out->subject) {
    bool measured_before = false;
    for (size_t i = 0; i < out->item_count; i++) measured_before |= out->items[i].kind != MEASURE_NONE;
    if (!measured_before || token_is(reader, at > 0 ? at - 1 : 0, "and|,|which|list|show|every")) out->listed = true;
    return n;
  }
  if (reader->top) return 0;
  if (token_is(reader, at > 0 ? at - 1 : 0, "did|do|does|the|a|an|each") && out->item_count) { /* "how many orders did the customer …" */
    return n;
  }
  const struct snap_column *display[2]; /* "customers and their orders" */
  size_t shown = study_display(study, which, display);
  for (size_t i = 0; i < shown; i++) add_item(reader, (struct measure){.of = {which, display[i], NULL}});
  if (!shown) add_related(reader, which);
  return n;
}

/* "names" of people who have a first and a last one, or of rows called by something else. */
static bool show_names(struct reader *reader, const struct mention *mention) {
  struct study *study = reader->study;
  struct place place = {.table = reader->out->subject};
  double exact = 0;
  bool settled = settle_column(reader, mention, WANT_TEXT, &place);
  if (!settled && !study->doubt) return false;
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].kind == LINK_COLUMN && mention->links[i].table == place.table && mention->links[i].score > exact)
      exact = mention->links[i].score;
  const struct snap_column *display[2];
  size_t n = exact < 0.99 ? study_display(study, place.table, display) : 0;
  if (n < 2 && (settled || !n)) return false;
  study->doubt = NULL;
  for (size_t i = 0; i < n; i++) add_item(reader, (struct measure){.of = {place.table, display[i], NULL}});
  return true;
}

size_t rule_column(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  const struct link *column = mention_best(mention, LINK_COLUMN);
  if (!column) return 0;
  if (mention->verb) {
    reader->last_verb = mention;
    return column->score >= 0.7 ? mention->to - at : 0;
  }
  bool doing = column->score < 0.99 && at > 0 && at == mention->to - 1 && token_is(reader, mention->to, "the|more|less|over|under") &&
               reader->last_table != NO_TABLE && mention_at(reader, at - 1) && mention_best(mention_at(reader, at - 1), LINK_TABLE);
  if (doing) return 1; /* "doctors charge the highest fee" */
  bool named = mention->to == at + 1 && token_is(reader, at, "name|names|title|titles");
  if (named && show_names(reader, mention)) return 1;
  if (study->doubt || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
  bool theirs = at > 0 && token_is(reader, at - 1, "their|its|the|and|,|his|of|a|an|whose|which|what");
  if (reader->where && !theirs) return 0;
  if (token_is(reader, at > 0 ? at - 1 : 0, "which|what|distinct|unique|different") && !reader->out->listed && at < 4)
    reader->out->distinct = true;
  reader->last_column = place;
  add_item(reader, (struct measure){.of = place});
  return mention->to - at;
}
