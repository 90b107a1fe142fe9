/* read_where.c - conditions on columns: comparisons, values, dates, texts, flags, what is missing. */
#include <stdlib.h>
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/read.h"

static const struct {
  const char *phrases;
  const char *op;
} comparisons[] = {
    {"greater than or equal to|more than or equal to|at least|no less than|not less than|no fewer than|minimum of|a minimum of|equal to or "
     "greater than|> =|>=|not under|not below",
     ">="},
    {"less than or equal to|at most|no more than|not more than|up to|maximum of|a maximum of|fewer than or equal to|not exceeding|< "
     "=|<=|not over|not above",
     "<="},
    {"greater than|more than|over|above|higher than|larger than|bigger than|exceeding|exceeds|exceed|in excess of|upwards of|>", ">"},
    {"less than|fewer than|under|below|lower than|smaller than|beneath|<", "<"},
    {"not equal to|different from|other than|<>|!=", "<>"},
    {"exactly|equal to|equals|=", "="},
};
/* "older than 30": an adjective with its column. */
static const struct {
  const char *phrases;
  const char *op;
  const char *concepts;
} compared[] = {
    {"older than", ">", "age"},
    {"younger than", "<", "age"},
    {"longer than", ">", "duration length runtime minutes"},
    {"shorter than", "<", "duration length runtime minutes height"},
    {"heavier than", ">", "weight"},
    {"lighter than", "<", "weight"},
    {"taller than", ">", "height"},
    {"cheaper than", "<", "price cost fare rate fee"},
    {"more expensive than|pricier than|costlier than", ">", "price cost fare rate fee"},
    {"less expensive than", "<", "price cost fare rate fee"},
    {"larger than|bigger than", ">", "size area capacity population"},
    {"smaller than", "<", "size area capacity population"},
    {"worth more than|worth over|worth at least", ">", "amount total value price"},
    {"rated above|rated over|rated higher than|rated more than", ">", "rating score stars"},
    {"rated below|rated under|rated lower than", "<", "rating score stars"},
    {"priced above|priced over|priced at more than|costing more than|costing over|that cost more than|that cost over", ">", "price cost"},
    {"priced below|priced under|priced at less than|costing less than|costing under|that cost less than|that cost under", "<",
     "price cost"},
    {"aged over|aged above", ">", "age"},
    {"aged under|aged below", "<", "age"}};

size_t read_comparison(const struct reader *reader, size_t at, const char **ret_op) {
  for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
    size_t n = study_phrase(reader->study, at, comparisons[i].phrases);
    if (!n) continue;
    *ret_op = comparisons[i].op;
    return n;
  }
  return 0;
}

/* Never NULL: beyond the end stands a mark that is nothing. */
const struct token *token_at(const struct reader *reader, size_t at) {
  static const struct token nothing = {.kind = TOKEN_MARK, .lower = ""};
  return at < reader->study->tokens.count ? &reader->study->tokens.items[at] : &nothing;
}

static bool number_at(const struct reader *reader, size_t at) {
  const struct token *token = token_at(reader, at);
  return token->kind == TOKEN_NUMBER;
}

/* "5 or more", "18 and over". */
static size_t trailing(const struct reader *reader, size_t at, const char **ret_op) {
  size_t n = study_phrase(reader->study, at,
                          "or more|or higher|or above|or over|or greater|and above|and over|and up|or older|or better|or longer");
  if (n) *ret_op = ">=";
  size_t m =
      n ? 0 : study_phrase(reader->study, at, "or less|or fewer|or lower|or below|or under|and below|and under|or younger|or shorter");
  if (m) *ret_op = "<=";
  return n + m;
}

size_t skip_units(const struct reader *reader, size_t at, const struct snap_column *column) {
  const struct token *token = token_at(reader, at);
  const struct word *words[NAME_WORDS];
  size_t n = column ? names_split(column->name, reader->study->arena, reader->study->words, words) : 0;
  bool own = token->kind == TOKEN_WORD && n > 1 && words[n - 1] == token->word;
  return at + (own || token_is(reader, at,
                               "dollars|euros|usd|eur|percent|kg|km|cm|feet|minutes|minute|cents|pounds|points|stars|years|"
                               "units|grams|meters|metres|bucks|times|time"));
}

/* A number against a column; `negative` turns it round. */
static size_t compare_number(struct reader *reader, size_t at, struct place place, const char *op, const char *number, size_t taken) {
  if (!add_filter(reader, (struct filter){.kind = FILTER_COMPARE, .of = place, .op = op, .literal = number}, at)) return 0;
  reader->last_column = place;
  return taken;
}

/* "the average", "the average price", "average": of the column itself. */
static size_t read_average(struct reader *reader, size_t at, struct place place) {
  size_t p = skip_glue(reader, at), start = p;
  p += token_is(reader, p, "overall|company|global") ? 1 : 0;
  if (!token_is(reader, p, "average|mean|avg")) return 0;
  p++;
  const struct mention *mention = mention_at(reader, p);
  struct place same;
  if (mention && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_NUMBER, &same)) {
    if (same.column != place.column) return 0;
    p = mention->to;
  }
  if (token_is(reader, p, "of|for") && token_is(reader, p + 1, "all")) {
    const struct mention *table = mention_at(reader, p + 2);
    if (mention_best(table, LINK_TABLE)) p = table->to;
  }
  (void)start;
  return reader->study->doubt ? 0 : p - at;
}

/* "than their manager", "than the department's": the same column of the row an own foreign key leads to. */
static size_t read_other(struct reader *reader, size_t at, struct place place, struct place *ret_other) {
  size_t p = skip_glue(reader, at);
  const struct mention *mention = mention_at(reader, p);
  const struct link *role = mention_best(mention, LINK_ROLE);
  if (role && role->edge->from == place.table && role->edge->to == place.table) {
    *ret_other = (struct place){place.table, place.column, role->edge};
    p = mention->to;
    const struct mention *next = mention_at(reader, p);
    struct place same;
    if (next && mention_best(next, LINK_COLUMN) && settle_column(reader, next, WANT_NUMBER, &same) && same.column == place.column)
      p = next->to;
    return p - at;
  }
  if (!mention || !mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_NUMBER, ret_other)) return 0;
  return ret_other->table == place.table && ret_other->column != place.column ? mention->to - at : 0;
}

/* What follows a column: an operator and something to compare with. `at` is behind the column. */
static size_t compare_after(struct reader *reader, size_t start, size_t at, struct place place) {
  struct study *study = reader->study;
  size_t p = at;
  bool negated = false;
  while (token_is(reader, p, "is|are|was|were|of|has|have|been|being|that|which|costs|value|a|not|isn|greater") &&
         !study_phrase(study, p, "greater than")) {
    negated |= token_is(reader, p, "not");
    p++;
  }
  const char *op = NULL;
  if (token_is(reader, p, "between|from|ranging") && column_numeric(place.column)) {
    size_t a = p + (token_is(reader, p, "ranging") ? 2 : 1), b = skip_units(reader, a + 1, place.column) + 1;
    if (number_at(reader, a) && token_is(reader, b - 1, "and|to|-") && number_at(reader, b)) {
      struct filter filter = {.kind = FILTER_COMPARE,
                              .of = place,
                              .op = "BETWEEN",
                              .literal = token_at(reader, a)->lower,
                              .upper = token_at(reader, b)->lower,
                              .negated = negated};
      return add_filter(reader, filter, start) ? skip_units(reader, b + 1, place.column) - start : 0;
    }
  }
  size_t n = read_comparison(reader, p, &op);
  p += n;
  if (n && number_at(reader, p) && column_numeric(place.column)) {
    if (negated) return 0;
    size_t more = 0;
    return compare_number(reader, start, place, op, token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) + more - start);
  }
  struct place other;
  size_t m;
  if (n && column_numeric(place.column) && (m = read_average(reader, p, place))) {
    add_filter(reader, (struct filter){.kind = FILTER_AVERAGE, .of = place, .op = op, .negated = negated}, start);
    return p + m - start;
  }
  if (n && column_numeric(place.column) && !study->doubt && (m = read_other(reader, p, place, &other))) {
    struct place *copy = ARENA_NEW(study->arena, struct place);
    if (!copy) return 0;
    *copy = other;
    add_filter(reader, (struct filter){.kind = FILTER_ROLE, .of = place, .op = op, .until = copy}, start);
    return p + m - start;
  }
  if (number_at(reader, p) && !n && column_numeric(place.column) &&
      !dates_read(&study->tokens, p, study->arena, &(struct date_range){0})) { /* "grade 5", "rating of 4 or more" */
    op = negated ? "<>" : "=";
    size_t more = trailing(reader, p + 1, &op);
    return compare_number(reader, start, place, op, token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) + more - start);
  }
  return 0;
}

static size_t compare_told(struct reader *reader, size_t at, size_t number_at_token, const char *op, const char *number);

/* "older than 30", also of a birth date. */
static size_t compare_adjective(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  for (size_t i = 0; i < sizeof compared / sizeof *compared; i++) {
    size_t n = study_phrase(study, at, compared[i].phrases), p = at + n;
    struct place place;
    if (!n) continue;
    size_t table = reader->out->subject;
    bool found = find_concept(reader, table, compared[i].concepts, WANT_NUMBER, &place);
    if (!found && reader->last_table != NO_TABLE)
      found = find_concept(reader, reader->last_table, compared[i].concepts, WANT_NUMBER, &place);
    size_t m;
    if (found && number_at(reader, p))
      return compare_number(reader, at, place, compared[i].op, token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) - at);
    if (found && (m = read_average(reader, p, place))) {
      add_filter(reader, (struct filter){.kind = FILTER_AVERAGE, .of = place, .op = compared[i].op}, at);
      return p + m - at;
    }
    if (!found && strcmp(compared[i].concepts, "age") == 0 && number_at(reader, p) &&
        find_concept(reader, table, "birth", WANT_DATE, &place)) {
      const char *then = arena_printf(study->arena, "CURRENT_DATE - INTERVAL '%d years'", (int)token_at(reader, p)->number);
      return compare_number(reader, at, place, *compared[i].op == '>' ? "<" : ">", then, skip_units(reader, p + 1, place.column) - at);
    }
    size_t q = skip_glue(reader, p);
    const struct mention *mention =
        token_is(reader, q, "average|mean|avg") ? mention_at(reader, q + 1) : NULL; /* "than the average rate" */
    if (mention && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_NUMBER, &place)) {
      add_filter(reader, (struct filter){.kind = FILTER_AVERAGE, .of = place, .op = compared[i].op}, at);
      return mention->to - at;
    }
    return number_at(reader, p) && !study->doubt ? compare_told(reader, at, p, compared[i].op, token_at(reader, p)->lower) : 0;
  }
  return 0;
}

/* "more than 100 units", "over $500", "above average price". */
/* "with more views than average". */
static size_t compare_split(struct reader *reader, size_t at) {
  bool more = token_is(reader, at, "more|higher|greater|larger|longer"), less = token_is(reader, at, "less|fewer|lower|smaller|shorter");
  const struct mention *mention = more || less ? mention_at(reader, skip_glue(reader, at + 1)) : NULL;
  struct place place;
  if (!mention || !mention_best(mention, LINK_COLUMN) || !token_is(reader, mention->to, "than") ||
      !settle_column(reader, mention, WANT_NUMBER, &place))
    return 0;
  size_t n = read_average(reader, mention->to + 1, place);
  if (!n) return 0;
  add_filter(reader, (struct filter){.kind = FILTER_AVERAGE, .of = place, .op = more ? ">" : "<"}, at);
  return mention->to + 1 + n - at;
}

/* "earn more than 30", "above 1000 feet": the verb before or the unit behind says which column. */
static size_t compare_told(struct reader *reader, size_t at, size_t number_at_token, const char *op, const char *number) {
  static const struct {
    const char *words, *concepts;
  } verbs[] = {{"earn|earns|earned|earning|make|makes|making|paid", "salary wage pay compensation income rate"},
               {"cost|costs|costing|charge|charges|charging|charged|priced", "price cost fee fare rate charge"},
               {"weigh|weighs|weighing|weighed", "weight"},
               {"last|lasts|lasted|lasting|take|takes|took", "duration length runtime minutes"},
               {"hold|holds|seat|seats|seating|accommodate|accommodates", "capacity seats"}},
    units[] = {{"feet|foot|ft", "feet ft elevation altitude height"},
               {"km|kilometers|kilometres", "km kilometers distance length"},
               {"miles|mile", "miles distance"},
               {"kg|kilos|kilograms", "kg weight"},
               {"cm|centimeters|centimetres", "cm height"},
               {"meters|metres|m", "meters elevation height length"},
               {"minutes|minute|mins", "minutes duration runtime length"},
               {"days", "days"},
               {"months|month", "months term"},
               {"weeks", "weeks"},
               {"hours", "hours"},
               {"years", "years term age"}};
  struct study *study = reader->study;
  struct place place;
  size_t table = reader->where && reader->last_table != NO_TABLE ? reader->last_table : reader->out->subject, end = number_at_token + 1;
  const struct link *named = mention_best(mention_at(reader, end), LINK_COLUMN);
  if (named && named->score >= 0.9) return 0;
  for (size_t i = 0; at > 0 && i < sizeof verbs / sizeof *verbs; i++) {
    if (!token_is(reader, at - 1, verbs[i].words)) continue;
    if (!find_concept(reader, table, verbs[i].concepts, WANT_NUMBER, &place)) continue;
    end = skip_units(reader, end, NULL);
    end += study_phrase(study, end, "per hour|an hour|a year|per year|per month|a month|per night|per day|annually");
    study->explained[at - 1] = true;
    return compare_number(reader, at, place, op, number, end - at);
  }
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (token_is(reader, end, units[i].words) && find_concept(reader, table, units[i].concepts, WANT_NUMBER, &place))
      return compare_number(reader, at, place, op, number, end + 1 - at);
  return 0;
}

/* "orders over 100", "deposits of more than 2500": right behind the rows themselves. */
static bool behind_rows(const struct reader *reader, size_t at) {
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "of|worth|for|totaling|totalling")) p--;
  for (size_t back = 1; back <= 4 && back <= p; back++) {
    const struct mention *before = mention_at(reader, p - back);
    if (!before || before->to != p || before->verb) continue;
    for (size_t i = 0; i < before->count; i++)
      if (before->links[i].table == reader->out->subject && (before->links[i].kind == LINK_TABLE || before->links[i].kind == LINK_VALUE))
        return true;
  }
  return false;
}

/* "five star hotels", "3-bedroom flats": a number, its column in the singular, and the rows. */
static size_t compare_attribute(struct reader *reader, size_t at) {
  struct place place;
  if (!number_at(reader, at)) return 0;
  size_t p = at + 1 + (token_is(reader, at + 1, "-") ? 1 : 0);
  const struct mention *column = mention_at(reader, p), *rows = column ? mention_at(reader, column->to) : NULL;
  const struct link *table = mention_best(rows, LINK_TABLE);
  const char *lower = token_lower(reader, p);
  size_t len = strlen(lower);
  if (!table || rows->verb || !mention_best(column, LINK_COLUMN) || mention_best(column, LINK_COLUMN)->score < 0.95 || !len ||
      lower[len - 1] == 's')
    return 0;
  if (!settle_column(reader, column, WANT_NUMBER, &place) || place.table != table->table) return 0;
  return compare_number(reader, at, place, "=", token_at(reader, at)->lower, column->to - at);
}

static size_t compare_before(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t split = compare_split(reader, at);
  if (split || study->doubt) return split;
  const char *op = NULL;
  size_t n = read_comparison(reader, at, &op), p = at + n;
  struct place place;
  if (n && token_is(reader, p, "the|average|mean|avg")) {
    size_t q = skip_glue(reader, p);
    const struct mention *mention = token_is(reader, q, "average|mean|avg") ? mention_at(reader, q + 1) : NULL;
    if (!mention || !settle_column(reader, mention, WANT_NUMBER, &place) || mention_best(mention, LINK_TABLE)) return 0;
    add_filter(reader, (struct filter){.kind = FILTER_AVERAGE, .of = place, .op = op}, at);
    return mention->to - at;
  }
  if (!number_at(reader, p)) return 0;
  const char *number = token_at(reader, p)->lower;
  const struct filter *last = reader->out->filter_count ? &reader->out->filters[reader->out->filter_count - 1] : NULL;
  if (n && at > 0 && last && last->kind == FILTER_COMPARE && last->end == at - 1 && token_is(reader, at - 1, "or|and|but") &&
      last->branch == reader->branch && !last->until &&
      !mention_at(reader, skip_units(reader, p + 1, last->of.column))) /* "over 100 or under 50" */
    return compare_number(reader, at, last->of, op, number, skip_units(reader, p + 1, last->of.column) - at);
  size_t told = n ? compare_told(reader, at, p, op, number) : 0;
  if (told || study->doubt) return told;
  bool dollar = token_at(reader, p)->from > 0 && study->tokens.text[token_at(reader, p)->from - 1] == '$';
  size_t q = p + 1, t = n ? 0 : trailing(reader, q, &op);
  q += t;
  if (!n && !t) return 0;
  size_t units = skip_units(reader, q, NULL);
  const struct mention *mention = mention_at(reader, skip_glue(reader, q));
  if (mention && mention_best(mention, LINK_COLUMN) && !mention->verb &&
      (!mention_best(mention, LINK_TABLE) || mention_best(mention, LINK_TABLE)->score < mention_best(mention, LINK_COLUMN)->score)) {
    if (settle_column(reader, mention, WANT_NUMBER, &place)) return compare_number(reader, at, place, op, number, mention->to - at);
    if (study->doubt) return 0;
  }
  const struct mention *verb = at > 0 ? mention_at(reader, at - 1) : NULL; /* "cost more than 50", "paid over 100" */
  if (verb && (verb->verb || !mention_best(verb, LINK_TABLE)) && verb->to == at && mention_best(verb, LINK_COLUMN) &&
      settle_column(reader, verb, WANT_NUMBER, &place))
    return compare_number(reader, at, place, op, number, units - at);
  bool money = dollar || token_is(reader, q, "dollars|euros|usd|eur|chf|gbp|pounds");
  if (study->doubt) return 0;
  if (!money && !behind_rows(reader, at)) return 0;
  size_t table = reader->last_table != NO_TABLE ? reader->last_table : reader->out->subject;
  if (!find_concept(reader, table, "total amount price value cost", WANT_NUMBER, &place) &&
      !find_concept(reader, reader->out->subject, "total amount price value cost", WANT_NUMBER, &place))
    return 0;
  return compare_number(reader, at, place, op, number, units - at);
}

/* What is on stock is a column of the rows themselves, or the sum over a table that says where. */
static size_t stock_is(struct reader *reader, size_t at, const char *op, const char *number, size_t taken) {
  struct study *study = reader->study;
  struct place place;
  if (find_concept(reader, reader->out->subject, "stock inventory quantity", WANT_NUMBER, &place))
    return compare_number(reader, at, place, op, number, taken);
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    size_t count = study->names.table_counts[edge->from];
    const char *name = count ? study->names.table_words[edge->from][count - 1]->text : "";
    if (edge->to != reader->out->subject || (strncmp(name, "inventori", 8) != 0 && strcmp(name, "stock") != 0)) continue;
    if (!find_concept(reader, edge->from, "quantity stock hand", WANT_NUMBER, &place)) continue;
    if (!add_branch(reader,
                    (struct branch){.table = edge->from, .measure = {.kind = MEASURE_SUM, .of = place}, .op = op, .literal = number}))
      return 0;
    return taken;
  }
  return 0;
}

/* "out of stock", "in stock". */
static size_t compare_stock(struct reader *reader, size_t at) {
  size_t none = study_phrase(reader->study, at, "out of stock|sold out|not in stock"), some = study_phrase(reader->study, at, "in stock");
  struct place place;
  if (none || some) return stock_is(reader, at, none ? "=" : ">", "0", none + some);
  const char *op; /* "less than 10 in stock" */
  size_t n = read_comparison(reader, at, &op), units = n ? skip_units(reader, at + n + 1, NULL) - at : 0;
  if (!n || !number_at(reader, at + n) || !study_phrase(reader->study, at + units, "in stock|on stock|on hand|left in stock")) return 0;
  (void)place;
  return stock_is(reader, at, op, token_at(reader, at + n)->lower,
                  units + study_phrase(reader->study, at + units, "in stock|on stock|on hand|left in stock"));
}

size_t rule_compare(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t stock = compare_stock(reader, at);
  if (stock || study->doubt) return stock;
  size_t n = compare_adjective(reader, at);
  if (n || study->doubt) return n;
  if ((n = compare_attribute(reader, at)) || study->doubt) return n;
  if ((n = compare_before(reader, at)) || study->doubt) return n;
  const struct mention *mention = mention_at(reader, at);
  const struct link *column = mention_best(mention, LINK_COLUMN);
  struct place place;
  if (!column || (mention_best(mention, LINK_TABLE) && mention_best(mention, LINK_TABLE)->score >= column->score)) return 0;
  const char *op;
  size_t p = mention->to; /* a look ahead: settling may raise a doubt that is nobody's */
  while (token_is(reader, p, "is|are|was|were|of|has|have|been|being|that|which|costs|value|a|not|isn")) p++;
  if (!read_comparison(reader, p, &op) && !number_at(reader, p) && !token_is(reader, p, "between|from|ranging|greater")) return 0;
  if (!settle_column(reader, mention, WANT_NUMBER, &place)) return 0;
  return compare_after(reader, at, mention->to, place);
}

/* --- dates --- */

/* A column that only holds years, when the stretch is made of whole ones. */
static bool year_filter(struct reader *reader, size_t at, size_t table, const struct date_range *range) {
  struct place place;
  struct study *study = reader->study;
  if (!range->years) return false;
  bool by_verb = false; /* "formed before 2000": of several years the verb's */
  for (size_t back = 1; back <= 2 && back <= at && !by_verb; back++) {
    by_verb = *token_lower(reader, at - back) && !study_glue(token_lower(reader, at - back)) &&
              find_concept(reader, table, token_lower(reader, at - back), WANT_NUMBER, &place) &&
              strstr(tokens_lower(study->arena, place.column->name, strlen(place.column->name)), "year");
    if (by_verb) study->explained[at - back] = true;
  }
  if (!by_verb && !find_concept(reader, table, "year", WANT_NUMBER, &place)) return false;
  struct filter filter = {.kind = FILTER_COMPARE, .of = place, .range = *range};
  bool both = range->from_year && range->to_year;
  filter.op = both ? (range->from_year == range->to_year ? "=" : "BETWEEN") : range->from_year ? ">=" : "<=";
  filter.literal = arena_printf(study->arena, "%d", range->from_year ? range->from_year : range->to_year);
  if (both) filter.upper = arena_printf(study->arena, "%d", range->to_year);
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
  while (token_is(reader, p, "or|and|,")) p++;
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

size_t rule_date(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  struct date_range range;
  size_t another = another_date(reader, at);
  if (another) return another;
  size_t n = dates_read(&study->tokens, at, study->arena, &range);
  if (!n) return 0;
  size_t table = dated_table(reader, at);
  struct place place;
  size_t last = reader->last_table;
  const char *kept = study->doubt;
  bool ranked = table != reader->out->subject && !reader->out->item_count; /* "customers by revenue in 2025" */
  bool near = last != NO_TABLE && last != table && reader->where && !reader->branch && !(ranked && last == reader->out->subject);
  for (size_t back = 1; near && back <= 3 && back <= at; back++) /* "comments were posted in": when they were */
    if (mention_at(reader, at - back) && mention_at(reader, at - back)->verb && at > back &&
        token_is(reader, at - back - 1, "was|were|been|are|is"))
      near = false;
  bool done = false; /* "enrolled in 2020" of enroll_year */
  for (size_t back = 1; range.years && !reader->branch && back <= 2 && back <= at && !done; back++)
    done = !study_glue(token_lower(reader, at - back)) && find_concept(reader, table, token_lower(reader, at - back), WANT_NUMBER, &place);
  if (done && year_filter(reader, at, table, &range)) return n;
  bool found = near && settle_date(reader, at, last, &place);
  if (!found && study->doubt && !near) return 0;
  if (!found) study->doubt = kept;
  if (!found) found = settle_date(reader, at, table, &place);
  if (!found && year_filter(reader, at, table, &range)) {
    study->doubt = kept;
    return n;
  }
  if (!found && study->doubt) return 0;
  for (size_t i = 0; !found && i < reader->out->related_count; i++) found = settle_date(reader, at, reader->out->related[i], &place);
  if (!found) return 0;
  add_filter(reader, (struct filter){.kind = FILTER_DATE, .of = place, .range = range}, at);
  return n;
}

/* --- texts --- */

size_t rule_match(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  static const struct {
    const char *phrases, *pattern;
  } ways[] = {
      {"starts with|start with|starting with|begins with|begin with|beginning with|starts with the letter|starting with the letter|start "
       "with the letter|begins with the letter|beginning with the letter",
       "x%"},
      {"ends with|end with|ending with|ends in|ending in", "%x"},
      {"does not contain|do not contain|not containing|doesn contain|not contain", "!%x%"},
      {"mentions the word|mentions|mention|mentioning|contains the word|containing the word|contain the word|contains the text|includes "
       "the word|contains the "
       "string|contains|containing|contain|includes|include|including|is like|are like|like|has the word|matching|matches|with",
       "%x%"},
  };
  const struct mention *mention = mention_at(reader, at);
  size_t p = mention && mention_best(mention, LINK_COLUMN) && !mention->verb ? mention->to : at;
  while (p > at && token_is(reader, p, "that|which|is|are")) p++;
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    size_t n = study_phrase(study, p, ways[i].phrases);
    size_t longer =
        n ? p + n + (token_is(reader, p + n, "the") && token_is(reader, p + n + 1, "word|letter|text|string|letters") ? 2 : 0) : 0;
    const struct token *token = token_at(reader, longer);
    if (!n || (i == 3 &&
               !(token->kind == TOKEN_QUOTED ? p > at || !token_is(reader, p, "with")
                                             : p > at && token_is(reader, p, "contains|containing|contain|mentions|mention|mentioning"))))
      continue;
    if (token->kind != TOKEN_QUOTED && token->kind != TOKEN_WORD) continue;
    struct place place;
    size_t behind = token_is(reader, longer + 1, "in|within") ? skip_glue(reader, longer + 2) : 0; /* "contain 'x' in the body" */
    const struct mention *where = behind ? mention_at(reader, behind) : NULL;
    if (p == at && where && mention_best(where, LINK_COLUMN) && settle_column(reader, where, WANT_TEXT, &place)) {
      add_filter(reader,
                 (struct filter){.kind = FILTER_LIKE,
                                 .of = place,
                                 .literal = token->lower,
                                 .op = ways[i].pattern + (*ways[i].pattern == '!'),
                                 .negated = *ways[i].pattern == '!'},
                 at);
      return where->to - at;
    }
    if (study->doubt) return 0;
    if (p > at ? !settle_column(reader, mention, WANT_TEXT, &place)
               : !(reader->last_column.column && column_textual(reader->last_column.column))) {
      const struct snap_column *display[2];
      if (study->doubt || p > at || !study_display(study, reader->out->subject, display)) return 0;
      place = (struct place){.table = reader->out->subject, .column = display[0]};
    } else if (p == at) {
      place = reader->last_column;
    }
    bool negated = *ways[i].pattern == '!';
    const char *text =
        token->kind == TOKEN_QUOTED ? token->lower : arena_strndup(study->arena, study->tokens.text + token->from, token->to - token->from);
    add_filter(reader,
               (struct filter){.kind = FILTER_LIKE, .of = place, .literal = text, .op = ways[i].pattern + negated, .negated = negated}, at);
    return longer + 1 - at;
  }
  return 0;
}

size_t rule_null(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  if (mention && mention_best(mention, LINK_COLUMN)) {
    size_t absent = study_phrase(study, mention->to,
                                 "is null|are null|is missing|are missing|is empty|is unknown|is blank|is not set|is not specified|is not "
                                 "known|is not available|was not recorded|is not recorded|null|missing");
    size_t present = study_phrase(
        study, mention->to, "is not null|are not null|is not missing|is not empty|is known|is set|is specified|is present|is available");
    if (!absent && !present) return 0;
    if (!settle_column(reader, mention, WANT_ANY, &place)) return 0;
    add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .negated = present != 0}, at);
    return mention->to + (present ? present : absent) - at;
  }
  /* "who have an email", "with a phone number" */
  size_t n = study_phrase(study, at,
                          "have an|have a|has a|has an|with a|with an|having a|having an|who have a|that have a|with missing|with "
                          "null|with unknown|with no known|missing a|missing an|missing");
  mention = n ? mention_at(reader, at + n) : NULL;
  if (!mention || !mention_best(mention, LINK_COLUMN) || mention_best(mention, LINK_TABLE)) return 0;
  const char *op;
  if (read_comparison(reader, mention->to, &op) || token_is(reader, mention->to, "of|between|is|containing|starting|like") ||
      mention_best(mention_at(reader, mention->to), LINK_VALUE))
    return 0;
  const struct token *next = token_at(reader, mention->to);
  if ((next->kind == TOKEN_NUMBER || next->kind == TOKEN_QUOTED || next->kind == TOKEN_DATE)) return 0;
  if (!settle_column(reader, mention, WANT_ANY, &place) || place.column->not_null) return 0;
  bool missing = token_is(reader, at + n - 1, "missing|null|unknown|known") || token_is(reader, at, "missing");
  add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = place, .negated = !missing}, at);
  return mention->to - at;
}

/* "shipped orders", "unpaid": a date that is there or isn't. */
static size_t happened(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct token *token = token_at(reader, at);
  if (token->kind != TOKEN_WORD) return 0;
  bool opposite = strncmp(token->lower, "un", 2) == 0 && strlen(token->lower) >= 6;
  const char *verb = token->lower + (opposite ? 2 : 0);
  size_t len = strlen(verb);
  bool past = (len > 4 && strcmp(verb + len - 2, "ed") == 0) || strcmp(verb, "paid") == 0 || strcmp(verb, "sent") == 0 ||
              strcmp(verb, "left") == 0 || strcmp(verb, "quit") == 0;
  const struct link *noun = mention_best(mention_at(reader, at + 1), LINK_TABLE); /* "closed tickets" */
  bool told = opposite || (at > 0 && token_is(reader, at - 1, "not|been|yet|was|were|never|are|is|have|has|already|who|that")) ||
              (noun && noun->table == reader->out->subject && !mention_best(mention_at(reader, at), LINK_VALUE));
  if (!past || !told || token_is(reader, at + 1, "in|on|since|before|after|between|during|by|last|from|to|at")) return 0;
  const struct word *stem = words_of(study->words, verb);
  bool gone = strcmp(verb, "left") == 0 || strcmp(verb, "terminated") == 0 || strcmp(verb, "quit") == 0 || strcmp(verb, "resigned") == 0;
  const struct snap_table *table = study_table(study, reader->out->subject);
  for (size_t c = 0; stem && c < table->column_count; c++) {
    if (!column_temporal(&table->columns[c]) || table->columns[c].not_null) continue;
    const struct word *words[NAME_WORDS];
    size_t n = names_split(table->columns[c].name, study->arena, study->words, words);
    for (size_t w = 0; w < n; w++) {
      static const char *const leaving[] = {"term", "termin", "leav", "exit", "left"};
      bool left = false;
      for (size_t l = 0; gone && l < sizeof leaving / sizeof *leaving; l++) left |= strcmp(words[w]->text, leaving[l]) == 0;
      if (words_alike(words[w], stem) < 1 && !left) continue;
      bool not = opposite || negated_before(reader, at);
      add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = {reader->out->subject, &table->columns[c], NULL}, .negated = !not },
                 at);
      return 1;
    }
  }
  return 0;
}

/* "open tickets", "active contracts": what has an end that is not there yet. */
static size_t still_open(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  static const char *const ends[] = {"close", "resolv", "end", "complet", "finish", "return"};
  const struct mention *mention = mention_at(reader, at);
  const struct link *noun = mention_best(mention_at(reader, at + 1), LINK_TABLE);
  bool before = noun && noun->table == reader->out->subject, behind = token_is(reader, at > 0 ? at - 1 : 0, "are|is|still|were");
  if (!token_is(reader, at, "open|unresolved|unclosed|ongoing|outstanding|unfinished") || (!before && !behind)) return 0;
  if (mention_best(mention, LINK_VALUE) || mention_best(mention, LINK_FLAG)) return 0;
  const struct snap_table *table = study_table(study, reader->out->subject);
  for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
    for (size_t c = 0; c < table->column_count; c++) {
      const struct word *words[NAME_WORDS];
      size_t n = names_split(table->columns[c].name, study->arena, study->words, words);
      if (!n || !column_temporal(&table->columns[c]) || table->columns[c].not_null ||
          strncmp(words[0]->text, ends[e], strlen(ends[e])) != 0)
        continue;
      add_filter(reader,
                 (struct filter){
                     .kind = FILTER_NULL, .of = {reader->out->subject, &table->columns[c], NULL}, .negated = negated_before(reader, at)},
                 at);
      return 1;
    }
  return 0;
}

size_t rule_flag(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  size_t open = still_open(reader, at);
  if (open) return open;
  const struct link *best = NULL;
  double most = 0;
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind != LINK_FLAG || link->score < 0.75 || (!link->negative && !says_word(reader, mention, link))) continue;
    double worth = link->score + (link->table == reader->out->subject ? 0.3 : 0) + (study->mentioned[link->table] ? 0.1 : 0);
    if (worth > most) most = worth, best = link;
  }
  const struct link *table = mention_best(mention, LINK_TABLE), *term = mention_best(mention, LINK_TERM);
  if (term && !strchr(term->term->expression, '(')) {
    add_filter(
        reader,
        (struct filter){.kind = FILTER_TERM, .of.table = reader->out->subject, .term = term->term, .negated = negated_before(reader, at)},
        at);
    return mention->to - at;
  }
  if (!best || (table && table->score >= best->score)) return happened(reader, at);
  if (best->table != reader->out->subject && study_distance(study, reader->out->subject, best->table) > 3) return 0;
  size_t to = mention->to;
  bool no = token_is(reader, to, "is") && token_is(reader, to + 1, "false");
  if (no || (token_is(reader, to, "is") && token_is(reader, to + 1, "true"))) to += 2;
  bool negated = (negated_before(reader, at) != best->negative) != no;
  add_filter(reader, (struct filter){.kind = FILTER_FLAG, .of = {best->table, best->column, NULL}, .negated = negated}, at);
  return to - at;
}
