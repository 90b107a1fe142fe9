/* read_list.c - what is shown: columns, counts, sums, groups, shares. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static const struct {
  const char *phrases;
  enum measure_kind kind;
} aggregates[] = {
    {"how many|number of|total number of|total count of|count of|count the number of|count the|count how many|count|counts of|numbers "
     "of|quantity of distinct|amount of distinct|distribution of|breakdown of|volume of",
     MEASURE_COUNT},
    {"headcount of|head count of|headcount|head count", MEASURE_COUNT},
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

/* Something that happened once: it has a date, belongs to something, and nothing belongs to it. Its price was paid. */
static bool is_event(struct study *study, size_t table) {
  const struct snap_table *snap = study_table(study, table);
  bool dated = false, belongs = false;
  for (size_t c = 0; c < snap->column_count; c++) {
    dated |= column_temporal(&snap->columns[c]);
    if (strstr(snap->columns[c].name, "quantity") || strstr(snap->columns[c].name, "qty")) return false;
  }
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    if (study->graph.edges[i].to == table) return false;
    belongs |= study->graph.edges[i].from == table;
  }
  return dated && belongs;
}

/* Rows that are worth something: their amount; else the product of how many and for how much. */
static bool find_worth(struct reader *reader, size_t table, struct measure *ret) {
  struct place place, times;
  if (find_concept(reader, table, "revenue sales amount total spent subtotal", WANT_NUMBER, &place) ||
      (is_event(reader->study, table) && find_concept(reader, table, "fare fee charge price", WANT_NUMBER, &place))) {
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
bool find_revenue(struct reader *reader, struct measure *ret) {
  struct study *study = reader->study;
  double best = 99;
  bool tie = false;
  for (size_t t = 0; t < study->snapshot->table_count; t++) {
    struct measure worth;
    bool view = study_table(study, t)->kind == SNAP_VIEW || study_table(study, t)->kind == SNAP_MATVIEW;
    if (!table_readable(study_table(study, t)) || (view && !study->mentioned[t]) || !find_worth(reader, t, &worth)) continue;
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
static struct measure counted(struct reader *reader, struct place place) {
  static const char *const sums[] = {"quantiti", "unit", "stock", "seat", "point",  "goal", "hour", "second", "minut",
                                     "mile",     "view", "click", "piec", "credit", "page", "copi", NULL};
  bool number = column_numeric(place.column) && !column_key(study_table(reader->study, place.table), place.column);
  if (number && named_by(reader->study, place.column, sums)) return (struct measure){.kind = MEASURE_SUM, .of = place};
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
  return q + k + study_phrase(study, q + k, "in days") - at;
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
  const struct link *role = mention_best(mention_at(reader, at), LINK_ROLE);
  const struct link *noun = role ? mention_best(mention_at(reader, mention_at(reader, at)->to), LINK_TABLE) : NULL;
  if (noun && noun->table == role->edge->from && noun->score >= 0.95) { /* "how many home matches" */
    size_t taken = mention_at(reader, at)->to - at;
    n = measured(reader, at + taken, kind, distinct, ret);
    return n ? taken + n : 0;
  }
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
    if ((column_temporal(place.column) && mention_at(reader, mention->to)) || mention->verb) return 0; /* "how many open tickets" */
    *ret = counted(reader, place);
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
  const struct mention *money = mention_at(reader, at);
  if (money_like(reader, at) && !(amount && amount->score >= 0.9) && (!money || money->to == at + 1) && find_revenue(reader, ret_measure)) {
    const struct mention *mention = mention_at(reader, at);
    return (mention ? mention->to : at + 1) - start;
  }
  return 0;
}

/* "cheapest and most expensive rate": extremes, where several stand in a row. */
static size_t extreme_at(const struct reader *reader, size_t at, enum measure_kind *ret_kind) {
  size_t n = aggregate_at(reader, at, ret_kind);
  if (n) return n;
  size_t most = study_phrase(reader->study, at, "highest|largest|biggest|most expensive|longest|greatest|latest|newest"),
         least = study_phrase(reader->study, at, "lowest|smallest|cheapest|least expensive|shortest|earliest|oldest");
  *ret_kind = most ? MEASURE_MAX : MEASURE_MIN;
  return most + least;
}

/* "min, max and average price": several of one column. */
static size_t read_several(struct reader *reader, size_t at) {
  enum measure_kind kinds[6];
  size_t count = 0, p = at, n;
  while (count < 6 && (n = extreme_at(reader, p, &kinds[count])) && kinds[count] != MEASURE_COUNT) {
    p += n;
    count++;
    size_t q = p;
    while (token_is(reader, q, "and|,|/|or|the")) q++;
    if (q == p || !extreme_at(reader, q, &(enum measure_kind){0})) break;
    p = q;
  }
  struct measure measure;
  p = skip_glue(reader, p);
  p += study_phrase(reader->study, p, "number of"); /* "minimum and maximum number of seats" */
  n = count > 1 ? measured(reader, p, kinds[count - 1], false, &measure) : 0;
  if (!n || !measure.of.column) return 0;
  for (size_t i = 0; i < count; i++) {
    measure.kind = kinds[i];
    add_item(reader, measure);
  }
  return p + n - at;
}

/* What was asked for is shown anyway: ", and how much is it?" */
static size_t read_echo(struct reader *reader, size_t at) {
  size_t n =
      at > 2 ? study_phrase(reader->study, at,
                            "how much is it|how much was it|how much is that|how many is it|how many is that|what is it|how much|how many")
             : 0;
  size_t end = at + n;
  while (token_is(reader, end, "?|.|is|it|that|did|they|spend|have|are|there")) end++;
  return n && end >= reader->study->tokens.count && wants_rows(reader) && reader->out->key_count ? end - at : 0;
}

size_t rule_measure(struct reader *reader, size_t at) {
  struct measure measure;
  enum measure_kind kind = MEASURE_NONE;
  struct study *study = reader->study;
  size_t several = read_several(reader, at);
  if (several || study->doubt) return several;
  if ((several = read_echo(reader, at))) return several;
  const struct mention *mention = mention_at(reader, at);
  size_t n = aggregate_at(reader, at, &kind);
  const struct link *role = mention_best(mention, LINK_ROLE),
                    *noun = role ? mention_best(mention_at(reader, mention->to), LINK_TABLE) : NULL;
  if (noun && noun->table == role->edge->from && noun->score >= 0.95) return 0; /* "how many home matches" */
  if (reader->pending != MEASURE_NONE && mention && !n) {                       /* what it was waiting for, behind adjectives */
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
  const struct link *exact = mention_best(own, LINK_COLUMN);
  struct place dated;
  bool by_date = exact && exact->score < 0.95 && settle_date(reader, at, near, &dated); /* "per year" is not birth_year */
  if (by_date && !study->doubt) {
    add_group(reader, (struct group){.of = dated, .bucket = unit});
    return own->to - at;
  }
  study->doubt = NULL;
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
    const struct mention *same = mention_at(reader, mention->to); /* "destination airport" */
    bool again = same && mention_best(same, LINK_TABLE) && mention_best(same, LINK_TABLE)->table == role->table;
    return (again ? same->to : mention->to) - at;
  }
  if (!table && !column) return 0;
  bool settled = column && settle_column(reader, mention, WANT_ANY, &place);
  if (study->doubt) {
    if (!table) return 0;
    study->doubt = NULL;
  }
  bool own = settled && (!table || column->score >= table->score - 0.15) && place.table == reader->out->subject &&
             (!table || !says_table(study, mention, table->table) || column->score >= 0.95) &&
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
    add_group(reader, (struct group){.of = {.table = which, .role = role_said_before(reader, at, reader->out->subject, which)}});
    return mention->to - at;
  }
  if (!settled) return 0;
  add_group(reader, (struct group){.of = entity_of(reader, mention, place)});
  return mention->to - at;
}

static bool plural(const char *lower) {
  size_t len = strlen(lower);
  return len > 3 && lower[len - 1] == 's' && lower[len - 2] != 's';
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

/* "largest aircraft by seats": what it is ranked by already. */
static bool said_already(struct reader *reader, size_t at) {
  struct place place;
  const struct mention *mention = mention_at(reader, at);
  const struct key *last = reader->out->key_count ? &reader->out->keys[reader->out->key_count - 1] : NULL;
  return last && mention && !mention->verb && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_ANY, &place) &&
         place.column == last->by.of.column;
}

/* "came in by phone": a value of what is asked about, a column only elsewhere. */
bool only_a_value_here(const struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at);
  bool value = false, column = false;
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->table != reader->out->subject) continue;
    value |= link->kind == LINK_VALUE && link->score >= 0.9;
    column |= link->kind == LINK_COLUMN || link->kind == LINK_TABLE;
  }
  return value && !column;
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
  if (token_is(reader, at, "by") && only_a_value_here(reader, p)) return 0;
  if (token_is(reader, at, "by") && (mention_best(mention_at(reader, p), LINK_VALUE) && !mention_best(mention_at(reader, p), LINK_COLUMN) &&
                                     !mention_best(mention_at(reader, p), LINK_TABLE)))
    return 0;
  if (at > 0 && token_is(reader, at, "by") && said_already(reader, p)) return mention_at(reader, p)->to - at;
  const struct mention *whom = mention_at(reader, p);
  if (at > 0 && token_is(reader, at, "by") && mention_best(whom, LINK_TABLE) && plural(token_lower(reader, p)) &&
      participle_like(token_lower(reader, at - 1)))
    return 0; /* "booked by guests": who did it */
  if (at > 0 && token_is(reader, at, "by") && orders_list(reader)) {
    struct place place;
    const struct mention *mention = mention_at(reader, p);
    if (mention_best(mention, LINK_TABLE) && mention_best(mention, LINK_COLUMN) &&
        mention_best(mention, LINK_TABLE)->score > mention_best(mention, LINK_COLUMN)->score)
      return 0;
    if (!mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
    add_key(reader, (struct measure){.of = place}, false);
    reader->ordering = true;
    return mention->to - at;
  }
  size_t groups = reader->out->group_count, m = read_group(reader, p);
  if (!m) return 0;
  bool each = study_phrase(
                  study, at,
                  "per|each|every|in each|for each|in every|for every|of each|of every|within each|from each|at each|by each|per each") > 0;
  for (size_t i = groups; i < reader->out->group_count; i++) reader->out->groups[i].each = each;
  reader->grouping = true;
  reader->per |= !token_is(reader, at, "each|for|every|of|with|from");
  return p + m - at;
}

/* --- plain mentions --- */

size_t rule_role(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  const struct link *role = mention_best(mention, LINK_ROLE), *table = mention_best(mention, LINK_TABLE),
                    *column = mention_best(mention, LINK_COLUMN);
  const struct mention *next = role ? mention_at(reader, mention->to) : NULL;
  struct place place;
  bool theirs = next && !next->verb && role->edge->from == reader->out->subject &&
                mention_best(next, LINK_COLUMN) && /* "destination country" */
                (!mention_best(next, LINK_TABLE) || mention_best(next, LINK_TABLE)->score < mention_best(next, LINK_COLUMN)->score) &&
                find_concept(reader, role->table, study->tokens.items[next->from].lower, WANT_ANY, &place);
  const struct link *noun = mention_best(next, LINK_TABLE);
  if (role && noun && !next->verb && noun->table == role->edge->from && noun->score >= 0.95) return mention->to - at; /* "home matches" */
  if (!role || mention->verb || (!theirs && ((table && table->score > role->score) || (column && column->score > role->score + 0.05))))
    return 0;
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
  if (mention->verb && table->score < 0.95 && verb_neutral(study, at)) return n;                              /* "team plays" */
  if (!mention->verb && which == out->subject && !reader->where && money_like(reader, mention->to)) return n; /* "ticket revenue" */
  if (mention->verb) {
    reader->last_verb = mention;
    if (which == out->subject && at == 1 && token_is(reader, 0, "who")) out->listed = true;
    struct place when; /* "students who enrolled in 2020": their own date, not rows of enrolments */
    bool dated = which != out->subject && dates_read(&study->tokens, mention->to, study->arena, &(struct date_range){0}) &&
                 date_by_verb(reader, mention->to, out->subject, &when);
    if (which != out->subject && !dated) study->drawn[which] = true;
    if (which != out->subject && !dated && table->score >= 0.75) add_related(reader, which);
    return n;
  }
  if (reader->branch && out->branches[reader->branch - 1].table == which && !mention->verb) return n; /* said once more */
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
  struct place entity = place.table == reader->out->subject ? entity_of(reader, mention, place) : place;
  const struct snap_column *display[2]; /* "their lead curator": by name, not by the key */
  size_t shown = entity.column ? 0 : study_display(study, entity.table, display);
  for (size_t i = 0; i < shown; i++) add_item(reader, (struct measure){.of = {entity.table, display[i], entity.role}});
  if (!shown) add_item(reader, (struct measure){.of = place});
  return mention->to - at;
}
