/* read_rows.c - conditions on other rows: that there are some, or so many of them. */
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/read.h"

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
