/* read_rows.c - conditions on other rows: that there are none, some, or so many of them. */
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/read.h"

/* The next thing that is meant within a few words: "placed any orders", "a single review". */
static const struct mention *next_mention(const struct reader *reader, size_t at, size_t within) {
  for (size_t p = at; p < at + within; p++) {
    const struct mention *mention = mention_at(reader, p);
    if (mention) return mention;
    size_t len = strlen(token_lower(reader, p));
    if (turns_meaning(token_lower(reader, p)) && !token_is(reader, p, "left")) return NULL;
    if (verb_neutral(reader->study, p)) continue;
    if (len > 4 && strcmp(token_lower(reader, p) + len - 2, "ed") == 0) continue; /* "assigned to any" */
    if (!token_is(reader, p,
                  "any|a|an|the|single|teach|attend|own|use|visit|buy|order|sell|write|work|take|rent|borrow|publish|supply|manage|lead|"
                  "review|submit|participate|play|direct|offer|host|contain|include|belong|appear|placed|made|been|yet|ever|have|had|has|"
                  "received|get|got|given|at|all|their|its|in|written|taken|"
                  "bought|place|make|left|us|me|seen|out|up|in|purchased|by|associated|related|corresponding|matching|one|to|on|with|of|"
                  "for|from"))
      return NULL;
  }
  return NULL;
}

/* Conditions that follow belong to the rows that are not there. */
static size_t absent_table(struct reader *reader, const struct mention *mention, size_t at) {
  size_t which = settle_table(reader, mention);
  if (which == NO_TABLE) return 0;
  if (which == reader->out->subject) { /* "employees without employees"? a role perhaps */
    return 0;
  }
  struct branch *branch = add_branch(reader, (struct branch){.table = which, .absent = true});
  if (!branch) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = which;
  reader->study->mentioned[which] = true;
  return mention->to - at;
}

static size_t absent_role(struct reader *reader, const struct mention *mention, size_t at) {
  struct study *study = reader->study;
  const struct link *role = mention_best(mention, LINK_ROLE);
  if (!role || role->edge->from != reader->out->subject) return 0;
  const struct snap_table *table = study_table(study, role->edge->from);
  for (size_t c = 0; c < table->column_count; c++) {
    if (strcmp(table->columns[c].name, role->edge->from_columns[0]) != 0) continue;
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = {role->edge->from, &table->columns[c], NULL}}, at);
    return mention->to - at;
  }
  return 0;
}

/* "shifts nobody has taken": of the one person a row may belong to, and needs not. */
static size_t own_person(struct reader *reader, size_t at, size_t verb) {
  const struct study *study = reader->study;
  const struct snap_table *table = reader->out->subject != NO_TABLE ? study_table(study, reader->out->subject) : NULL;
  const struct snap_column *found = NULL;
  if (!table || !verb_neutral(study, verb) || !study_phrase(study, at, "nobody|no one")) return 0;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->from != reader->out->subject || edge->column_count != 1 || !person_like(study, edge->to)) continue;
    if (found) return 0;
    for (size_t c = 0; c < table->column_count; c++)
      if (strcmp(table->columns[c].name, edge->from_columns[0]) == 0) found = &table->columns[c];
  }
  if (!found || found->not_null) return 0;
  struct filter filter = {.kind = FILTER_NULL, .of = {.table = reader->out->subject, .column = found}};
  return add_filter(reader, filter, at) ? verb + 1 - at : 0;
}

/* "trainings nobody took": of the one kind of rows that belong to them. */
static size_t only_child(struct reader *reader, size_t at, size_t verb) {
  const struct study *study = reader->study;
  size_t found = NO_TABLE;
  if (!verb_neutral(study, verb) || reader->out->subject == NO_TABLE) return 0;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    if (edge->to != reader->out->subject || edge->from == reader->out->subject) continue;
    if (found != NO_TABLE && found != edge->from) return 0;
    found = edge->from;
  }
  if (found == NO_TABLE || !add_branch(reader, (struct branch){.table = found, .absent = true})) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = found;
  return verb + 1 - at;
}

/* "ordered in 2023 but not in 2024", "bought Laptop but not Phone": of what was done, other rows. */
static size_t denied_again(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct reading *out = reader->out;
  size_t n = study_phrase(study, at, "but not|and not|but never|but did not"), p = at + n;
  struct date_range range;
  struct join_path path;
  if (!n || !out->filter_count) return 0;
  const struct filter *last = &out->filters[out->filter_count - 1];
  size_t value_at = skip_glue(reader, p + (token_is(reader, p, "in|from|to|with|by") ? 1 : 0));
  const struct link *value = mention_best(mention_at(reader, value_at), LINK_VALUE);
  bool dated = last->kind == FILTER_DATE && dates_read(&study->tokens, p, study->arena, &range);
  bool same = last->kind == FILTER_IN && value && value->column == last->of.column;
  if ((!dated && !same) || last->branch || last->of.table == out->subject) return 0;
  if (!joins_path(&study->graph, out->subject, last->of.table, NULL, study->arena, &path) || path_single(&path)) return 0;
  if (!add_branch(reader, (struct branch){.table = last->of.table, .absent = true})) return 0;
  reader->branch = out->branch_count;
  reader->denied = p;
  return n;
}

struct absence {                /* "without orders", "never placed an order" */
  size_t at, behind;            /* its first token, the one behind its words */
  bool lack, never;             /* which kind of words */
  const struct mention *object; /* what there is none of */
};

static size_t lacking(const struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at,
                          "have neither|has neither|had neither|with neither|neither|nor|without|with no|with zero|have no|has no|had "
                          "no|having no|lacking|lack|lacks|with 0|have 0|has 0|not having|no");
  return n && token_is(reader, at, "no") && !token_is(reader, at > 0 ? at - 1 : 0, "there|are|is|with|that|have|has|but|or|and")
             ? TOKENS_MAX
             : n;
}

static size_t never_done(const struct reader *reader, size_t at) {
  return study_phrase(
      reader->study, at,
      "nobody has ever|nobody has|nobody ever|nobody|no one has ever|no one has|no one ever|no one|have never|has never|had never|were "
      "never|was never|are never|never|have not yet|has not yet|have not|has not|had not|did not|does "
      "not|do not|have not been|were not|are not|is not|was not|not been|haven|not|have yet to");
}

/* "not in the Books category": the value's own, a single one for each row. */
static bool negates_value(struct reader *reader, const struct absence *said) {
  struct study *study = reader->study;
  const struct mention *mention = said->object;
  const struct link *told = mention_best(mention, LINK_VALUE);
  if (!told || said->lack || mention->verb || told->score < 0.9) return false;
  if (mention_best(mention, LINK_TABLE) && !study->tokens.items[mention->from].capital) return false;
  return told->table == reader->out->subject || study_belongs(study, reader->out->subject, told->table);
}

/* "never booked a first class ticket": the rows, of whom the value is said. The tokens taken from `said->at`. */
static size_t absent_valued(struct reader *reader, const struct absence *said, const struct mention *value) {
  size_t behind = value->to + (token_is(reader, value->to, "class|type|kind|tier|plan|level") ? 1 : 0);
  if (!mention_best(value, LINK_VALUE) || value->verb || !mention_best(mention_at(reader, behind), LINK_TABLE)) return 0;
  size_t which = settle_table(reader, mention_at(reader, behind));
  if (which == NO_TABLE || which == reader->out->subject || !add_branch(reader, (struct branch){.table = which, .absent = true})) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = which;
  return value->from - said->at;
}

/* "never placed an order": the thing, not the doing. Tokens taken when that says all. */
static size_t find_object(struct reader *reader, struct absence *said) {
  const struct mention *done = said->object, *rows = mention_at(reader, done->to + (token_is(reader, done->to, "a|an|any") ? 1 : 0));
  const struct link *kind = mention_best(done, LINK_VALUE);
  bool doing = done->verb && token_is(reader, done->to, "a|an"); /* "never opened a ticket": no open ones */
  if (kind && !doing && kind->score >= 0.85 && rows && !rows->verb && mention_best(rows, LINK_TABLE) &&
      !token_is(reader, done->from, "placed|made|booked|created|ordered|bought")) { /* "no cancelled orders": none of that kind */
    size_t which = settle_table(reader, rows);
    if (which != NO_TABLE && which != reader->out->subject && add_branch(reader, (struct branch){.table = which, .absent = true})) {
      reader->branch = reader->out->branch_count;
      reader->last_table = which;
      return done->from - said->at;
    }
  }
  for (size_t q = done->to; q < done->to + 4; q++) {
    const struct mention *after = mention_at(reader, q);
    const struct link *table = mention_best(after, LINK_TABLE);
    if (table && !after->verb && table->score >= 0.75 && !mention_best(after, LINK_VALUE)) {
      if (settle_table(reader, after) != reader->out->subject) said->object = after;
      break;
    }
    size_t n = after ? absent_valued(reader, said, after) : 0;
    if (n) return n;
    if (after || !token_is(reader, q, "any|a|an|the|been|in|by|to|single|for|from|of|on")) break;
  }
  reader->study->doubt = NULL;
  return 0;
}

static bool possesses(const struct reader *reader, const struct absence *said) {
  bool has = said->never &&
             (token_is(reader, said->behind, "have|has|had") || token_is(reader, said->behind > 0 ? said->behind - 1 : 0, "have|has|had"));
  for (size_t q = said->at; q < said->object->from; q++) has |= token_is(reader, q, "have|has|had") && token_is(reader, q + 1, "a|an|any");
  return has;
}

/* Rows of another table that there are none of. */
static size_t absent_rows(struct reader *reader, const struct absence *said) {
  const struct mention *object = said->object;
  const struct link *table = mention_best(object, LINK_TABLE), *column = mention_best(object, LINK_COLUMN);
  bool own = column && column->table == reader->out->subject;
  if (said->never && object->verb && own && column_temporal(column->column)) return 0; /* the date there isn't */
  if (!table || table->score < (object->verb ? 0.5 : 0.6) || (own && table->score < column->score)) return 0;
  return absent_table(reader, object, said->at);
}

/* "do not have the nationality X": it is another one, not missing. */
static bool names_value(const struct reader *reader, const struct mention *column) {
  const struct mention *next = mention_at(reader, column->to + (token_is(reader, column->to, "of|as|=|:") ? 1 : 0));
  return mention_best(next, LINK_VALUE) || token_at(reader, column->to)->kind == TOKEN_QUOTED;
}

/* "without a phone number", "have no manager" */
static size_t absent_own(struct reader *reader, const struct absence *said) {
  const struct mention *object = said->object;
  const struct link *column = mention_best(object, LINK_COLUMN);
  size_t role = absent_role(reader, object, said->at);
  if (role) return role;
  bool given = said->lack || token_is(reader, said->behind > 0 ? said->behind - 1 : 0, "have|has|had") ||
               token_is(reader, said->behind, "have|has|had") ||
               (said->never && column && !object->verb && column->table == reader->out->subject && !column->column->not_null);
  struct place place;
  if (!given || !column || (!said->lack && names_value(reader, object)) || !settle_column(reader, object, WANT_ANY, &place)) return 0;
  if (place.table != reader->out->subject && place.column->not_null) { /* "nobody has redeemed": rows that say so */
    if (!add_branch(reader, (struct branch){.table = place.table, .absent = true})) return 0;
    reader->branch = reader->out->branch_count;
    reader->last_table = place.table;
  } else {
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place}, said->at);
  }
  return object->to - said->at;
}

/* "has not been serviced since 2024", "not logged in for the past 60 days": the last time was before. */
static size_t not_since(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = never_done(reader, at), verb = at + n;
  while (n && token_is(reader, verb, "been|yet|ever")) verb++;
  if (!n || reader->branch || reader->out->subject == NO_TABLE || !participle_like(token_lower(reader, verb))) return 0;
  struct place place;
  struct date_range range;
  size_t when = verb + 1, taken = 0;
  while (when < verb + 3 && !(taken = dates_read(&study->tokens, when, study->arena, &range))) when++;
  if (!taken || !range.from || range.to || !find_concept(reader, reader->out->subject, date_words(reader, verb), WANT_DATE, &place))
    return 0;
  struct filter filter = {.kind = FILTER_DATE, .of = place, .range = {.to = range.from}};
  if (!add_filter(reader, filter, at)) return 0;
  if (!place.column->not_null && !add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .either = true}, at)) return 0;
  return when + taken - at;
}

size_t rule_absence(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t again = denied_again(reader, at);
  if (again || (again = not_since(reader, at))) return again;
  size_t lack = lacking(reader, at), never = lack ? 0 : never_done(reader, at), n = lack + never;
  if (!n || n >= TOKENS_MAX || (mention_best(mention_at(reader, at), LINK_VALUE) && mention_at(reader, at)->to > at + 1)) return 0;
  struct absence said = {.at = at, .behind = at + n, .lack = lack != 0, .never = never != 0};
  if (token_is(reader, said.behind, "have|has|had") && token_is(reader, said.behind + 1, "a|an|any")) said.behind++;
  said.object = next_mention(reader, said.behind, 6);
  size_t person = said.object ? 0 : own_person(reader, at, said.behind);
  if (!said.object) return person || !never ? person : only_child(reader, at, said.behind);
  if (negates_value(reader, &said)) return 0;
  size_t taken = said.object->verb || never ? find_object(reader, &said) : 0;
  if (taken) return taken;
  if ((lack || possesses(reader, &said)) && (taken = absent_role(reader, said.object, at))) return taken;
  const struct link *value = mention_best(said.object, LINK_VALUE), *flag = mention_best(said.object, LINK_FLAG);
  if (flag && flag->score > 0.75 && flag->table == reader->out->subject) return 0; /* "not active": the flag's own */
  if (value && value->table == reader->out->subject && value->score >= 0.9) return 0;
  if ((taken = absent_rows(reader, &said)) || study->doubt) return taken;
  if (value && never && value->table != reader->out->subject) { /* "never bought 'Laptop'" */
    if (!add_branch(reader, (struct branch){.table = value->table, .absent = true})) return 0;
    reader->branch = reader->out->branch_count;
    reader->denied = at + n;
    return n;
  }
  return absent_own(reader, &said);
}

/* "more than 3 orders", "at least 2 reviews", "5 or more employees", "multiple addresses". */
static size_t read_quantity(struct reader *reader, size_t at, const char **ret_op, const char **ret_number) {
  struct study *study = reader->study;
  size_t n = read_comparison(reader, at, ret_op), p = at + n;
  if (n && p < study->tokens.count && study->tokens.items[p].kind == TOKEN_NUMBER) {
    *ret_number = study->tokens.items[p].lower;
    return n + 1;
  }
  if (token_is(reader, at, "between") && token_at(reader, at + 1)->kind == TOKEN_NUMBER && token_is(reader, at + 2, "and") &&
      token_at(reader, at + 3)->kind == TOKEN_NUMBER) {
    *ret_op = "BETWEEN";
    *ret_number = arena_printf(study->arena, "%s AND %s", token_at(reader, at + 1)->lower, token_at(reader, at + 3)->lower);
    return *ret_number ? 4 : 0;
  }
  if ((n = study_phrase(study, at, "multiple|several"))) {
    *ret_op = ">";
    *ret_number = "1";
    return n;
  }
  if ((n = study_phrase(study, at, "only #|just #"))) {
    *ret_op = "=";
    *ret_number = study->tokens.items[at + 1].lower;
    return n;
  }
  if (at < study->tokens.count && study->tokens.items[at].kind == TOKEN_NUMBER) {
    *ret_number = study->tokens.items[at].lower;
    *ret_op = "=";
    size_t more = study_phrase(study, at + 1, "or more"), less = study_phrase(study, at + 1, "or fewer|or less");
    if (more) *ret_op = ">=";
    if (less) *ret_op = "<=";
    if (more || less) return 1 + more + less;
    return at > 0 && token_is(reader, at - 1, "with|have|has|having|had") ? 1 : 0;
  }
  return 0;
}

static bool group_like(const struct reader *reader, size_t table) {
  const struct reading *out = reader->out;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind == MEASURE_NONE && out->items[i].of.table == table) return true;
  return out->group_count > 0;
}

/* "closed more than 15 tickets": those it was done to, where a date says whether it was. */
static void done_before(struct reader *reader, size_t at, size_t table) {
  struct place place;
  size_t verb = at > 0 ? at - 1 : 0;
  if (!participle_like(token_lower(reader, verb)) || mention_best(mention_at(reader, verb), LINK_TABLE)) return;
  if (!find_concept(reader, table, token_lower(reader, verb), WANT_DATE, &place) || place.table != table || place.column->not_null) return;
  add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .negated = true}, verb);
}

/* So many rows of a table there must be; conditions that follow are theirs. */
static bool so_many(struct reader *reader, size_t at, size_t table, struct branch branch) {
  branch.table = branch.measure.of.table = table;
  branch.measure.kind = MEASURE_COUNT;
  if (!add_branch(reader, branch)) return false;
  reader->branch = table == reader->out->subject ? 0 : reader->out->branch_count;
  if (reader->branch) done_before(reader, at, table);
  reader->study->mentioned[table] = true;
  reader->last_table = table;
  return true;
}

static bool countable_here(const struct reader *reader, size_t table) {
  if (table == NO_TABLE) return false;
  if (table == reader->out->subject) return group_like(reader, table);
  return reader->where || wants_rows(reader) || reader->pending != MEASURE_NONE || reader->out->item_count;
}

/* "at least two cancelled orders": the rows stand behind what is said of them. */
static size_t having_kind(struct reader *reader, size_t at, size_t p, struct branch branch) {
  const struct mention *kind = mention_at(reader, p), *rows = kind ? mention_at(reader, kind->to) : NULL;
  bool told = mention_best(kind, LINK_VALUE) || mention_best(kind, LINK_FLAG);
  const struct link *value = mention_best(kind, LINK_VALUE); /* "more than 3 albums": releases of that kind */
  if (value && !mention_best(rows, LINK_TABLE) && value->score >= 0.9 && words_plural(token_lower(reader, kind->to - 1)) &&
      !reader->study->tokens.items[kind->from].capital && value->table != reader->out->subject && countable_here(reader, value->table))
    return so_many(reader, at, value->table, branch) ? p - at : 0;
  if (!told || !mention_best(rows, LINK_TABLE) || rows->verb) return 0;
  size_t which = settle_table(reader, rows);
  if (which == reader->out->subject || !countable_here(reader, which) || !so_many(reader, at, which, branch)) return 0;
  return p - at;
}

/* "rented at least three times", "ordered more than once": of what was done. */
static size_t having_times(struct reader *reader, size_t at, size_t p, struct branch branch) {
  size_t times = token_is(reader, p, "times|time") ? 1 : 0;
  bool once = at + 3 >= p && token_at(reader, p - 1)->kind == TOKEN_NUMBER &&
              token_at(reader, p - 1)->to - token_at(reader, p - 1)->from > 3 && study_phrase(reader->study, at, "more than|at least") &&
              !mention_at(reader, p); /* "once", not "1" */
  const struct link *done = mention_best(reader->last_verb, LINK_TABLE);
  struct measure use; /* "stayed more than once": of the one kind of rows there is */
  bool own = !done && at > 0 && (verb_neutral(reader->study, at - 1) || participle_like(token_lower(reader, at - 1)));
  if ((times || once) && own && only_use(reader, &use)) {
    reader->study->explained[at - 1] = true;
    return so_many(reader, at, use.of.table, branch) ? p + times - at : 0;
  }
  if ((!times && !once) || !done || reader->last_verb->to + 2 < at || done->table == reader->out->subject) return 0;
  return so_many(reader, at, done->table, branch) ? p + times - at : 0;
}

/* "accounts with 300 to 500 employees", of employee_count: those rows are not here, or are others. */
static bool counted_in_column(struct reader *reader, const struct mention *mention, size_t which, struct place *ret_place) {
  static const char *const counts[] = {"count", "number", "total", NULL};
  for (size_t i = 0; i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind != LINK_COLUMN || link->table != reader->out->subject || !column_integer(link->column)) continue;
    if (column_key(study_table(reader->study, link->table), link->column) || !named_by(reader->study, link->column, counts)) continue;
    if (which != NO_TABLE && !study_belongs(reader->study, reader->out->subject, which)) continue;
    *ret_place = (struct place){.table = link->table, .column = link->column};
    return true;
  }
  return false;
}

/* The number of rows of a table, beside the subject's. */
static size_t having_rows(struct reader *reader, size_t at) {
  struct branch branch = {0};
  size_t n = read_quantity(reader, at, &branch.op, &branch.literal);
  if (!n) return 0;
  size_t of = study_phrase(reader->study, at + n, "piece of|pieces of|items of|units of"); /* "five pieces of equipment" */
  size_t p = skip_glue(reader, at + n + of), times = having_times(reader, at, at + n, branch);
  if (times || reader->study->doubt) return times;
  const struct mention *mention = mention_at(reader, p);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  branch.measure.distinct = token_is(reader, at + n, "different|distinct|unique");
  if (!table || (mention_best(mention, LINK_VALUE) && mention_best(mention, LINK_VALUE)->score > table->score))
    return having_kind(reader, at, p, branch);
  if (mention->verb || (column && column->score > table->score)) return 0;
  size_t which = settle_table(reader, mention);
  struct place place;
  if (which != NO_TABLE && counted_in_column(reader, mention, which, &place)) {
    bool range = strcmp(branch.op, "BETWEEN") == 0;
    struct filter filter = {.kind = FILTER_COMPARE, .of = place, .op = branch.op, .literal = token_at(reader, at + 1)->lower};
    if (range) filter.upper = token_at(reader, at + 3)->lower;
    if (!range) filter.literal = branch.literal;
    return add_filter(reader, filter, at) ? mention->to - at : 0;
  }
  if (!countable_here(reader, which) || !so_many(reader, at, which, branch)) return 0;
  return mention->to - at;
}

/* "an average score higher than the overall average": of all rows. */
static size_t having_average(struct reader *reader, size_t at, size_t p, const char *op, struct measure by) {
  struct study *study = reader->study;
  size_t q = skip_glue(reader, p);
  bool overall = token_is(reader, q, "overall|general|global");
  q += overall ? 1 : 0;
  struct place same;
  if (by.kind != MEASURE_AVG || !by.of.column || by.of.table == reader->out->subject || !token_is(reader, q, "average|mean|avg")) return 0;
  const struct mention *mention = mention_at(reader, ++q);
  if (mention && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_NUMBER, &same)) {
    if (same.column != by.of.column) return 0;
    q = mention->to;
  }
  q += study_phrase(study, q, "overall|of all|across all");
  if (study->doubt) return 0;
  const struct snap_table *table = study_table(study, by.of.table);
  const char *all = arena_printf(study->arena, "(SELECT avg(%s) FROM %s)", sql_ident(study->arena, by.of.column->name),
                                 sql_qualified(study->arena, table->schema, table->name));
  return add_branch(reader, (struct branch){.table = by.of.table, .measure = by, .op = op, .literal = all}) ? q - at : 0;
}

/* "with a total amount over 1000", "whose average rating is above 4". */
static size_t having_measure(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  if (!token_is(reader, at, "total|average|sum|avg|number|mean|count|combined|maximum|minimum|max|min")) return 0;
  struct measure by;
  bool nested = reader->out->nested_average;
  size_t n = read_measure(reader, at, &by), p = at + n;
  reader->out->nested_average = nested;
  if (!n || study->doubt) return 0;
  while (token_is(reader, p, "is|are|was|of|that|which|has|been|were")) p++;
  const char *op = NULL;
  size_t m = read_comparison(reader, p, &op);
  p += m;
  if (m && (n = having_average(reader, at, p, op, by))) return n;
  if (!m || p >= study->tokens.count || study->tokens.items[p].kind != TOKEN_NUMBER) return 0;
  size_t end = p + 1; /* "over 45 minutes" */
  end += token_is(reader, end, "hours|days|seconds") ? 1 : skip_units(reader, end, by.of.column) - end;
  if (by.of.table == reader->out->subject && !group_like(reader, by.of.table)) {
    if (!by.of.column) return 0;
    add_filter(reader, (struct filter){.kind = FILTER_COMPARE, .of = by.of, .op = op, .literal = study->tokens.items[p].lower}, at);
    return end - at;
  }
  if (!add_branch(reader, (struct branch){.table = by.of.table, .measure = by, .op = op, .literal = study->tokens.items[p].lower}))
    return 0;
  study->mentioned[by.of.table] = true;
  return end - at;
}

/* "spent more than 1000": in all. */
static size_t having_spent(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct branch branch = {0};
  size_t n = token_is(reader, at, "spent|spend|spends") ? read_comparison(reader, at + 1, &branch.op) : 0, p = at + 1 + n;
  if (!n || at == 0 || token_at(reader, p)->kind != TOKEN_NUMBER) return 0;
  size_t end = skip_units(reader, p + 1, NULL);
  if (mention_at(reader, end) || token_is(reader, end, "on|per|for") || study_phrase(study, end, "in one|in a single")) return 0;
  bool found = find_revenue(reader, &branch.measure);
  if (!found) study_doubt(study, NULL, "Spent: which amounts are to be added up?");
  if (!found || branch.measure.of.table == reader->out->subject) return 0;
  branch.table = branch.measure.of.table;
  branch.literal = token_at(reader, p)->lower;
  if (!add_branch(reader, branch)) return 0;
  reader->branch = reader->out->branch_count;
  reader->last_table = branch.table;
  return end - at;
}

size_t rule_having(struct reader *reader, size_t at) {
  size_t spent = having_spent(reader, at);
  if (spent || reader->study->doubt) return spent;
  size_t n = having_rows(reader, at);
  return n || reader->study->doubt ? n : having_measure(reader, at);
}

/* "products that were sold in May": there are rows that say so. */
size_t rule_sold(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct place place;
  if (!token_is(reader, at, "sold|bought|purchased|ordered") || reader->out->subject == NO_TABLE || reader->branch) return 0;
  const struct link *table = mention_best(mention_at(reader, at), LINK_TABLE);
  if (table && table->table != reader->out->subject) return 0;
  if (!find_sold(reader, reader->out->subject, &place)) return 0;
  add_related(reader, place.table);
  reader->last_table = place.table;
  reader->where = true; /* "products sold in May" */
  study->mentioned[place.table] = study->drawn[place.table] = true;
  return 1;
}
