/* read_measure.c - counts, sums, averages and extremes: what is measured, and of what. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static const struct {
  const char *phrases;
  enum measure_kind kind;
} aggregates[] = {
    {"how many|number of|total number of|total count of|count of|count the number of|count the|count how many|count|counts of|numbers "
     "of|quantity of distinct|amount of distinct|distribution of|breakdown of|break down|volume of",
     MEASURE_COUNT},
    {"headcount of|head count of|headcount|head count", MEASURE_COUNT},
    {"how much money|how much|sum of the|sum of|sum|total sum of|total|combined|overall", MEASURE_SUM},
    {"average|mean|avg|typical", MEASURE_AVG},
    {"median", MEASURE_MEDIAN},
    {"maximum|max", MEASURE_MAX},
    {"minimum|min", MEASURE_MIN},
};

static size_t aggregate_at(const struct reader *reader, size_t at, enum measure_kind *ret_kind) {
  if (at > 0 && study_phrase(reader->study, at - 1, "i mean|we mean|you mean|they mean")) return 0;
  for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++) {
    size_t n = study_phrase(reader->study, at, aggregates[i].phrases);
    if (!n) continue;
    *ret_kind = aggregates[i].kind;
    return n;
  }
  return 0;
}

static struct measure rows_of(size_t table, bool distinct) {
  return (struct measure){.kind = MEASURE_COUNT, .distinct = distinct, .of.table = table};
}

/* A number to add up, or things to count: what a column said after "how many" means. */
static struct measure counted(struct reader *reader, struct place place, bool plural) {
  static const char *const sums[] = {"quantiti", "unit", "stock", "seat", "point",  "goal", "hour", "second", "minut",
                                     "mile",     "view", "click", "piec", "credit", "page", "copi", NULL};
  if (column_temporal(place.column) && plural) return rows_of(place.table, false); /* "plays", of played_at */
  bool number = column_numeric(place.column) && !column_key(study_table(reader->study, place.table), place.column);
  static const char *const levels[] = {"age",  "year",  "price",  "cost",   "rate", "rating", "score",
                                       "rank", "grade", "salari", "number", "size", "level",  NULL};
  bool many = number && !named_by(reader->study, place.column, levels);
  if (number && (many || named_by(reader->study, place.column, sums))) return (struct measure){.kind = MEASURE_SUM, .of = place};
  return (struct measure){.kind = MEASURE_COUNT, .distinct = true, .of = place};
}

/* The mention an aggregate is of, at `at` or behind a table's name that only qualifies it ("average order value"). */
static size_t measured_mention(struct reader *reader, size_t at, enum wanted wanted, struct place *ret_place) {
  const struct mention *mention = mention_at(reader, at);
  if (!mention) return 0;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  if (table && (!column || column->score <= table->score)) {
    const struct mention *next = mention_at(reader, mention->to);
    bool worth =
        token_is(reader, mention->to, "value|amount|total|worth|size") && next && next->to == mention->to + 1; /* "booking value" */
    if (worth && find_concept(reader, table->table, "value amount total price", wanted, ret_place)) return next->to - at;
    if (mention_best(next, LINK_COLUMN) && settle_column(reader, next, wanted, ret_place)) return next->to - at;
  }
  if (column && !reader->study->doubt && settle_column(reader, mention, wanted, ret_place)) return mention->to - at;
  if (table && column && table->score > column->score + 0.1) reader->study->doubt = NULL; /* its rows, then */
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
  size_t told = n ? read_happenings(reader, at + n, ret) : 0; /* "time from order to delivery" */
  if (told) return n + told;
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

/* "different store locations": of what the rows have, not the rows. The tokens behind the table's name. */
static size_t count_compound(struct reader *reader, const struct mention *table, bool distinct, struct measure *ret) {
  const struct mention *next = mention_at(reader, table->to);
  const struct link *column = mention_best(next, LINK_COLUMN), *other = mention_best(next, LINK_TABLE);
  struct place place;
  bool plural = next && words_plural(token_lower(reader, next->to - 1)) && !words_plural(token_lower(reader, table->to - 1));
  if (!column || next->verb || (!distinct && !plural) || column->score < 0.9 || (other && other->score >= column->score)) return 0;
  if (!settle_column(reader, next, WANT_TEXT, &place) || place.table != mention_best(table, LINK_TABLE)->table) return 0;
  *ret = (struct measure){.kind = MEASURE_COUNT, .distinct = true, .of = place};
  return next->to - table->to;
}

/* "how many tickets", of ticket_sale and its ticket_type: those that were sold, where a row says how many, or its rows; never the types. */
static bool count_sold(struct reader *reader, const struct mention *mention, struct measure *ret) {
  static const char *const kinds[] = {"type", "kind", "category", "categori", "class", "code", "status", NULL};
  struct study *study = reader->study;
  const struct link *column = mention_best(mention, LINK_COLUMN);
  const struct word *words[NAME_WORDS];
  struct place price;
  if (mention->to != mention->from + 1 || !words_plural(token_lower(reader, mention->from))) return false;
  size_t n = names_split(column->column->name, study->arena, study->words, words);
  if (n < 2 || words[n - 1] == study->tokens.items[mention->from].word || !named_by(study, column->column, kinds)) return false;
  for (size_t i = 0; i < mention->count; i++)
    if (mention->links[i].kind == LINK_TABLE && mention->links[i].table != column->table && mention->links[i].score >= 0.75) return false;
  if (!says_table(study, mention, column->table)) return false;
  *ret = rows_of(column->table, false);
  struct place many;
  if (find_concept(reader, column->table, "quantity", WANT_NUMBER, &many) &&
      find_concept(reader, column->table, "price", WANT_NUMBER, &price) && find_worth(reader, column->table, &(struct measure){0}))
    *ret = (struct measure){.kind = MEASURE_SUM, .of = many};
  return true;
}

/* Rows that are sums of money themselves. */
static const char amounts[] = "fine|fines|refund|refunds|penalties|bonus|bonuses|tips|donations|taxes|fees|reimbursements";

/* What stands behind "how many", "average", … */
static size_t measured(struct reader *reader, size_t at, enum measure_kind kind, bool distinct, struct measure *ret) {
  struct place place;
  size_t n;
  if (only_kind_of(reader, mention_at(reader, at))) { /* "how many permit applications" */
    size_t behind = mention_at(reader, at)->to;
    n = measured(reader, behind, kind, distinct, ret);
    return n ? behind + n - at : 0;
  }
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
    if (column && !distinct && !mention->verb && count_sold(reader, mention, ret)) return mention->to - at;
    if (rows && !mention->verb && (n = count_compound(reader, mention, distinct, ret))) return mention->to + n - at;
    if (rows && !mention->verb && (table->score >= 0.75 || !column)) {
      size_t which = settle_table(reader, mention);
      if (which == NO_TABLE) return 0;
      *ret = rows_of(which, distinct);
      return mention->to - at;
    }
    if (!column || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
    if ((column_temporal(place.column) && mention_at(reader, mention->to)) || mention->verb) return 0;         /* "how many open tickets" */
    bool compound = mention->to > mention->from + 1 && token_is(reader, mention->to - 1, "ins|outs|ups|offs"); /* "check-ins" */
    *ret = counted(reader, place, (compound || words_plural(token_lower(reader, mention->to - 1))) && !distinct);
    return mention->to - at;
  }
  enum wanted wanted = kind == MEASURE_MAX || kind == MEASURE_MIN ? WANT_MEASURABLE : WANT_NUMBER;
  if (kind == MEASURE_SUM && money_like(reader, at) && !(column && column->score >= 0.9) && find_revenue(reader, ret))
    return mention ? mention->to - at : 1;
  n = measured_mention(reader, at, wanted, &place);
  bool nobodys = n && kind == MEASURE_SUM && (money_like(reader, at) || mention->verb) && column && column->score < 0.9 &&
                 place.table != reader->out->subject && !reader->study->mentioned[place.table];
  if (nobodys) return 0; /* "did we spend on vet visits": no amount of donations, which only another word for it finds */
  if (n && token_is(reader, at + n, "sold|ordered|purchased|bought") && place.table == reader->out->subject &&
      find_sold(reader, place.table, &place)) { /* not what is on stock */
    *ret = (struct measure){.kind = kind, .of = place};
    return n + 1;
  }
  if (n && !column_key(study_table(reader->study, place.table), place.column)) {
    *ret = (struct measure){.kind = kind, .of = place};
    return n;
  }
  if (!rows || reader->study->doubt || kind == MEASURE_MAX || kind == MEASURE_MIN) return 0;
  size_t which = settle_table(reader, mention);
  if (which == NO_TABLE) return 0;
  bool one = !words_plural(token_lower(reader, mention->to - 1)), sum = token_is(reader, mention->to - 1, amounts);
  if (((kind == MEASURE_AVG && one) || (kind == MEASURE_SUM && sum)) && find_worth(reader, which, ret) && !ret->times.column) {
    ret->kind = kind; /* "average fine", "total fines": what they come to */
    return mention->to - at;
  }
  *ret = rows_of(which, distinct);
  if (kind == MEASURE_AVG) reader->out->nested_average = true;
  return mention->to - at;
}

/* "total amount": a column, no sum. */
static bool long_column(const struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at);
  return mention && mention->to > at + 1 && mention_best(mention, LINK_COLUMN);
}

/* "number of people injured": one column's own numbers. */
static size_t counted_column(struct reader *reader, size_t at, struct measure *ret) {
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  if (!long_column(reader, at) || !study_phrase(reader->study, at, "number of|how many|count of|numbers of")) return 0;
  if (!settle_column(reader, mention, WANT_NUMBER, &place)) return 0;
  *ret = (struct measure){.kind = MEASURE_SUM, .of = place};
  return mention->to - at;
}

size_t read_measure(struct reader *reader, size_t at, struct measure *ret_measure) {
  enum measure_kind kind = MEASURE_NONE;
  size_t start = at, n;
  at = skip_glue(reader, at);
  if ((n = counted_column(reader, at, ret_measure)) || reader->study->doubt) return n ? at + n - start : 0;
  n = aggregate_at(reader, at, &kind);
  if (n && kind != MEASURE_COUNT) {
    size_t m = read_interval(reader, skip_glue(reader, at + n), ret_measure);
    if (m) ret_measure->kind = kind;
    if (m || reader->study->doubt) return m ? skip_glue(reader, at + n) + m - start : 0;
  }
  bool nested = n && kind == MEASURE_AVG;
  enum measure_kind outer = n && kind != MEASURE_COUNT ? kind : MEASURE_NONE;
  while ((n = aggregate_at(reader, at, &kind)) && kind != MEASURE_COUNT && !long_column(reader, skip_glue(reader, at + n)) &&
         aggregate_at(reader, skip_glue(reader, at + n), &(enum measure_kind){0}))
    at = skip_glue(reader, at + n); /* "total number of" */
  if (n) {
    at += n;
    bool distinct = token_is(reader, at, "distinct|unique|different");
    at = skip_glue(reader, at);
    n = measured(reader, at, kind, distinct, ret_measure);
    bool numbers = n && kind == MEASURE_COUNT && ret_measure->kind == MEASURE_SUM; /* "maximum number of seats" */
    if (numbers && outer != MEASURE_NONE) ret_measure->kind = outer;
    if (n && nested && kind == MEASURE_COUNT && !numbers) reader->out->nested_average = true;
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
  n = count > 1 ? measured(reader, p, kinds[count - 1], false, &measure) : 0;
  size_t of = n || count < 2 ? 0 : study_phrase(reader->study, p, "number of"); /* "minimum and maximum number of seats" */
  p += of;
  if (of && !reader->study->doubt) n = measured(reader, p, kinds[count - 1], false, &measure);
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

/* "on average", behind what it is of: a count for each, or a sum. */
static size_t averaged_behind(struct reader *reader, size_t at) {
  struct reading *out = reader->out;
  size_t n = study_phrase(reader->study, at, "on average|on the average|in average");
  if (!n || reader->out->nested_average) return 0;
  if (reader->pending == MEASURE_SUM || reader->pending == MEASURE_NONE)
    for (size_t i = 0; i < out->item_count; i++) {
      struct measure *item = &out->items[i];
      if (item->kind == MEASURE_SUM && item->of.table != out->subject)
        study_doubt(reader->study, NULL, "The average over what: per row of %s, or per %s?",
                    study_table(reader->study, item->of.table)->name, study_table(reader->study, out->subject)->name);
      if (item->kind == MEASURE_SUM)
        item->kind = MEASURE_AVG;
      else if (item->kind == MEASURE_COUNT && out->group_count)
        out->nested_average = true;
      else
        continue;
      return n;
    }
  if (reader->pending == MEASURE_SUM) {
    reader->pending = MEASURE_AVG;
    return n;
  }
  return 0;
}

/* "how much did we sell": what came in. */
static size_t read_earned(struct reader *reader, size_t at) {
  struct measure worth;
  if (!study_phrase(reader->study, at, "how much|how much money|how much revenue")) return 0;
  size_t p = at + 2;
  while (token_is(reader, p, "money|revenue|did|do|have|has|does|we|our|the|company|business|store|shop|us|was|were|is|are")) p++;
  size_t n =
      p > at + 2 ? study_phrase(reader->study, p, "sell|sold|earn|earned|make|made|take in|taken in|turn over|bring in|brought in") : 0;
  const struct link *done = n || p == at + 2 ? NULL : mention_best(mention_at(reader, p), LINK_TABLE); /* "did we invoice" */
  bool worth_known = done && !words_plural(token_lower(reader, p)) && find_worth(reader, done->table, &worth);
  if (worth_known) n = mention_at(reader, p)->to - p;
  if (!n ||
      (p + n < reader->study->tokens.count && !dates_read(&reader->study->tokens, p + n, reader->study->arena, &(struct date_range){0}) &&
       !token_is(reader, p + n, "in|to|from|per|by|each|with|on|last|this|?")))
    return 0;
  if (!worth_known && !find_revenue(reader, &worth)) return 0;
  add_item(reader, worth);
  return p + n - at;
}

/* "running total of orders" */
static size_t read_running(struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at, "running total of|running total|running sum of|cumulative total of|cumulative");
  if (!n || reader->out->running) return 0;
  reader->out->running = true;
  reader->pending = MEASURE_SUM;
  return n + rule_measure(reader, at + n);
}

/* What an aggregate before was waiting for, behind adjectives. */
static size_t read_awaited(struct reader *reader, size_t at) {
  struct measure measure;
  size_t n = measured(reader, at, reader->pending, reader->pending_distinct, &measure);
  if (!n) return 0;
  if (reader->pending == MEASURE_SUM && reader->pending_worth && measure.kind == MEASURE_COUNT && !measure.of.column &&
      !find_worth(reader, measure.of.table, &measure) && !find_spent(reader, measure.of.table, &measure)) /* "how much … in refunds" */
    study_doubt(reader->study, NULL, "How much of what? Name the column.");
  reader->pending = MEASURE_NONE;
  add_item(reader, measure);
  reader->last_table = measure.of.table;
  return n;
}

/* "total amount" as a column, whose first `n` tokens are an aggregate elsewhere. */
static size_t read_long_column(struct reader *reader, size_t at, enum measure_kind kind, size_t n) {
  const struct mention *mention = mention_at(reader, at);
  const struct link *column = mention_best(mention, LINK_COLUMN);
  struct measure measure;
  struct place place;
  if (!column || n >= mention->to - at || reader->pending != MEASURE_NONE || mention->to - at < 2 || kind == MEASURE_NONE) return 0;
  if (column->score < 0.95 && n == 1 && mention->to == at + 2 && money_like(reader, at + 1) && find_revenue(reader, &measure)) {
    add_item(reader, measure);
    return 2;
  }
  if (!settle_column(reader, mention, WANT_NUMBER, &place) || wants_rows(reader)) return 0;
  add_item(reader, (struct measure){.kind = kind == MEASURE_COUNT ? MEASURE_SUM : kind, .of = place});
  return mention->to - at;
}

/* "payments over 500", "payments by card": the rows, not what they come to. */
static bool money_rows(const struct reader *reader, size_t at) {
  const struct mention *behind = mention_at(reader, at + 2);
  if (!mention_best(mention_at(reader, at), LINK_TABLE) || !token_is(reader, at, "sales|payments|donations|expenses") || wants_rows(reader))
    return false;
  bool by_value = token_is(reader, at + 1, "by") && !mention_best(behind, LINK_COLUMN) && mention_best(behind, LINK_VALUE);
  return by_value || !token_is(reader, at + 1, "by|per|in|for|from");
}

/* Ways that take an aggregate and what it is of together, or need none. */
static size_t read_whole(struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at, "in total|in all|altogether|respective counts|their counts|corresponding counts");
  if (n && (reader->out->item_count || reader->out->key_count)) return n;
  if ((n = read_several(reader, at)) || reader->study->doubt) return n;
  if ((n = read_echo(reader, at)) || (n = read_earned(reader, at)) || (n = averaged_behind(reader, at))) return n;
  return read_running(reader, at);
}

/* The aggregate of `n` tokens at a place: with what it is of, or waiting for it. */
static size_t read_aggregate(struct reader *reader, size_t at, enum measure_kind kind, size_t n) {
  struct measure measure;
  size_t whole = read_measure(reader, at, &measure);
  if (whole) {
    add_item(reader, measure);
    reader->last_table = measure.of.table;
    return whole;
  }
  if (reader->study->doubt) return 0;
  if (reader->pending == MEASURE_AVG && kind == MEASURE_COUNT) reader->out->nested_average = true;
  reader->pending = kind;
  reader->pending_worth = token_is(reader, at, "how") || money_like(reader, skip_glue(reader, at + n));
  reader->pending_distinct = token_is(reader, at + n, "distinct|unique|different");
  return n + (reader->pending_distinct ? 1 : 0);
}

/* "the invoice number and total of all invoices": a column among others. */
static bool listed_column(const struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at);
  const struct link *column = mention_best(mention, LINK_COLUMN);
  return column && column->score >= 0.99 && mention->to == at + 1 && at > 0 && token_is(reader, at - 1, "and|,") && wants_rows(reader) &&
         reader->last_column.column && reader->last_column.table == column->table && token_is(reader, at + 1, "of|for|and|,");
}

/* "what did we spend on vet visits": an amount, of what stands behind. */
static bool spent_on(const struct reader *reader, size_t at) {
  return at > 0 && token_is(reader, at, "spend|spent|pay|paid") && token_is(reader, at - 1, "we") && token_is(reader, at + 1, "on|for") &&
         !wants_rows(reader) && !reader->out->item_count && reader->pending == MEASURE_NONE;
}

size_t rule_measure(struct reader *reader, size_t at) {
  struct measure measure;
  if (listed_column(reader, at)) return 0;
  enum measure_kind kind = MEASURE_NONE;
  size_t whole = read_whole(reader, at);
  if (whole || reader->study->doubt) return whole;
  const struct mention *mention = mention_at(reader, at);
  size_t n = aggregate_at(reader, at, &kind);
  const struct link *role = mention_best(mention, LINK_ROLE),
                    *noun = role ? mention_best(mention_at(reader, mention->to), LINK_TABLE) : NULL;
  if (noun && noun->table == role->edge->from && noun->score >= 0.95) return 0; /* "how many home matches" */
  if (reader->pending != MEASURE_NONE && mention && !n) return read_awaited(reader, at);
  if ((whole = read_long_column(reader, at, kind, n)) || reader->study->doubt) return whole;
  if (mention_best(mention, LINK_TERM) && (whole = read_term(reader, at, &measure))) {
    if (!strchr(measure.term->expression, '(')) return 0; /* a condition */
    add_item(reader, measure);
    reader->out->metric = measure.term;
    return whole;
  }
  if (!n && money_like(reader, at) && !reader->where && (whole = read_measure(reader, at, &measure)))
    return !money_rows(reader, at) && add_item(reader, measure) ? whole : 0;
  if (!n && spent_on(reader, at)) {
    reader->pending = MEASURE_SUM;
    return reader->pending_worth = true;
  }
  if (!n || (mention && mention->to - at > n && mention_best(mention, LINK_COLUMN))) return 0;
  if (kind == MEASURE_COUNT && token_is(reader, at, "count") && mention_best(mention, LINK_COLUMN) && at > 1) return 0;
  return read_aggregate(reader, at, kind, n);
}
