/* read_compare.c - numbers against columns: "price over 100", "older than 30", "above the average". */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static const struct {
  const char *phrases;
  const char *op;
} comparisons[] = {
    {"greater than or equal to|more than or equal to|larger than or equal to|bigger than or equal to|higher than or equal to|greater or "
     "equal to|greater or equal than|greater than or equal|at least|no less than|not less than|no fewer than|minimum of|a minimum of|equal "
     "to or "
     "greater than|> =|>=|not under|not below",
     ">="},
    {"less than or equal to|smaller than or equal to|lower than or equal to|less or equal to|smaller or equal to|less than or equal|at "
     "most|no more than|not more than|up to|maximum of|a maximum of|fewer than or equal to|not exceeding|< "
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
    {"longer than", ">", "duration length runtime minutes words pages"},
    {"shorter than", "<", "duration length runtime minutes height words pages"},
    {"heavier than", ">", "weight"},
    {"lighter than", "<", "weight"},
    {"taller than", ">", "height"},
    {"cheaper than", "<", "price cost fare rate fee"},
    {"more expensive than|pricier than|costlier than", ">", "price cost fare rate fee"},
    {"less expensive than", "<", "price cost fare rate fee"},
    {"larger than|bigger than", ">", "size area capacity population"},
    {"smaller than", "<", "size area capacity population"},
    {"higher than", ">", "elevation altitude height"},
    {"lower than", "<", "elevation altitude height"},
    {"deeper than", ">", "depth draught"},
    {"shallower than", "<", "depth draught"},
    {"wider than", ">", "width"},
    {"narrower than", "<", "width"},
    {"faster than", ">", "speed velocity"},
    {"slower than", "<", "speed velocity"},
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

/* A number against a column; `negative` turns it round. */
static size_t compare_number(struct reader *reader, size_t at, struct place place, const char *op, const char *number, size_t taken) {
  if (column_key(study_table(reader->study, place.table), place.column) && strcmp(op, "=") != 0) return 0;
  size_t end = at + taken;
  number = in_columns_unit(reader, at, &end, place.column, number);
  if (end > at + taken) taken = end - at;
  if (!add_filter(reader, (struct filter){.kind = FILTER_COMPARE, .of = place, .op = op, .literal = number}, at)) return 0;
  reader->last_column = place;
  return taken;
}

/* "than the average", "than the cheapest book". `at`: behind the operator; `start`: of the whole condition. The tokens from there. */
static size_t compare_than(struct reader *reader, size_t start, size_t at, struct place place, const char *op, bool negated) {
  struct filter filter = {.kind = FILTER_THAN, .of = place, .op = op, .negated = negated};
  size_t branch = reader->branch, n = read_yardstick(reader, at, &filter);
  if (!n) return 0;
  size_t inside = reader->branch;
  reader->branch = branch; /* the condition is not one on what it is held against */
  bool added = add_filter(reader, filter, start) != NULL;
  reader->branch = inside;
  return added ? at + n - start : 0;
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
  if (ret_other->column == place.column) return 0;
  bool beside = ret_other->table == place.table || study_belongs(reader->study, place.table, ret_other->table);
  return beside && !column_key(study_table(reader->study, ret_other->table), ret_other->column) ? mention->to - at : 0;
}

/* What follows a column: an operator and something to compare with. `at` is behind the column. */
static size_t compare_after(struct reader *reader, size_t start, size_t at, struct place place) {
  struct study *study = reader->study;
  size_t p = at;
  bool negated = false;
  while (token_is(reader, p, "is|are|was|were|of|has|have|been|being|that|which|costs|value|a|not|isn|greater|either") &&
         !study_phrase(study, p, "greater than")) {
    negated |= token_is(reader, p, "not");
    p++;
  }
  const char *op = NULL;
  if (token_is(reader, p, "between|from|ranging") && column_numeric(place.column)) {
    size_t a = p + (token_is(reader, p, "ranging") ? 2 : 1), b = skip_units(reader, a + 1, place.column) + 1;
    bool counted =
        mention_best(mention_at(reader, skip_glue(reader, b + 1)), LINK_TABLE) || column_key(study_table(study, place.table), place.column);
    if (!counted && number_at(reader, a) && token_is(reader, b - 1, "and|to|-") && number_at(reader, b)) {
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
  size_t m;
  if (n && column_numeric(place.column) && ((m = compare_than(reader, start, p, place, op, negated)) || study->doubt)) return m;
  if (n && number_at(reader, p) && column_numeric(place.column)) {
    if (negated) return 0;
    size_t more = 0;
    return compare_number(reader, start, place, op, token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) + more - start);
  }
  struct place other;
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
    const struct mention *rows = mention_at(reader, skip_glue(reader, p + 1 + more)); /* "which grades have 4 or more pupils" */
    if (more && rows && !rows->verb && mention_best(rows, LINK_TABLE) && token_is(reader, p - 1, "have|has")) return 0;
    return compare_number(reader, start, place, op, token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) + more - start);
  }
  return 0;
}

static size_t compare_told(struct reader *reader, size_t at, size_t number_at_token, const char *op, const char *number);

/* Whose column a verb or unit says: of the rows named last within a clause, else of those asked for. */
static size_t told_table(const struct reader *reader) {
  return reader->where && reader->last_table != NO_TABLE ? reader->last_table : reader->out->subject;
}

/* "older than 30", also of a birth date. */
static size_t compare_adjective(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  for (size_t i = 0; i < sizeof compared / sizeof *compared; i++) {
    size_t n = study_phrase(study, at, compared[i].phrases), p = at + n;
    struct place place;
    if (!n || study_phrase(study, p, "or equal")) continue;
    if (at > 0 && token_is(reader, at - 1, "last|lasts|run|runs|take|takes|lasted|ran|took|weigh|weighs")) study->explained[at - 1] = true;
    size_t table = reader->out->subject;
    bool found = find_trait(reader, told_table(reader), compared[i].concepts, WANT_NUMBER, &place) ||
                 find_trait(reader, table, compared[i].concepts, WANT_NUMBER, &place) ||
                 find_trait(reader, reader->last_table, compared[i].concepts, WANT_NUMBER, &place);
    size_t m;
    const char *one = found && token_is(reader, p, "a|an|one") ? in_one_unit(reader, p + 1, place.column) : NULL;
    if (one) return compare_number(reader, at, place, compared[i].op, one, p + 2 - at);
    if (found && number_at(reader, p))
      return compare_number(reader, at, place, compared[i].op, token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) - at);
    if (found && ((m = compare_than(reader, at, p, place, compared[i].op, false)) || study->doubt)) return m;
    bool born =
        !found && strcmp(compared[i].concepts, "age") == 0 &&
        (find_trait(reader, told_table(reader), "birth", WANT_DATE, &place) || find_trait(reader, table, "birth", WANT_DATE, &place));
    if (born && ((m = compare_than(reader, at, p, place, *compared[i].op == '>' ? "<" : ">", false)) || study->doubt)) return m;
    if (born && number_at(reader, p)) {
      const char *then = arena_printf(study->arena, "CURRENT_DATE - INTERVAL '%d years'", (int)token_at(reader, p)->number);
      return compare_number(reader, at, place, *compared[i].op == '>' ? "<" : ">", then, skip_units(reader, p + 1, place.column) - at);
    }
    size_t q = skip_glue(reader, p);
    const struct mention *mention =
        token_is(reader, q, "average|mean|avg") ? mention_at(reader, q + 1) : NULL; /* "than the average rate" */
    if (mention && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_NUMBER, &place) &&
        !column_key(study_table(study, place.table), place.column))
      return compare_than(reader, at, p, place, compared[i].op, false);
    return number_at(reader, p) && !study->doubt ? compare_told(reader, at, p, compared[i].op, token_at(reader, p)->lower) : 0;
  }
  return 0;
}

/* "with more views than average". */
static size_t compare_split(struct reader *reader, size_t at) {
  bool more = token_is(reader, at, "more|higher|greater|larger|longer"), less = token_is(reader, at, "less|fewer|lower|smaller|shorter");
  const struct mention *mention = more || less ? mention_at(reader, skip_glue(reader, at + 1)) : NULL;
  struct place place;
  if (!mention || !mention_best(mention, LINK_COLUMN) || !token_is(reader, mention->to, "than") ||
      !settle_column(reader, mention, WANT_NUMBER, &place))
    return 0;
  size_t p = mention->to + 1; /* "a greater weight than 10" */
  if (number_at(reader, p))
    return compare_number(reader, at, place, more ? ">" : "<", token_at(reader, p)->lower, skip_units(reader, p + 1, place.column) - at);
  return compare_than(reader, at, p, place, more ? ">" : "<", false);
}

/* "earn more than 30", "cost over 5": the column that the verb before says. */
static bool verb_column(struct reader *reader, size_t at, struct place *ret_place) {
  static const struct {
    const char *words, *concepts;
  } verbs[] = {{"earn|earns|earned|earning|make|makes|making|paid", "salary wage pay compensation income rate"},
               {"cost|costs|costing|charge|charges|charging|charged|priced", "price fee fare cost rate charge"},
               {"weigh|weighs|weighing|weighed", "weight"},
               {"last|lasts|lasted|lasting|take|takes|took", "duration length runtime minutes"},
               {"hold|holds|seat|seats|seating|accommodate|accommodates", "capacity seats"},
               {"rated|scored|scoring|score", "rating score stars grade points"}};
  for (size_t i = 0; at > 0 && i < sizeof verbs / sizeof *verbs; i++) {
    if (!token_is(reader, at - 1, verbs[i].words) || !find_concept(reader, told_table(reader), verbs[i].concepts, WANT_NUMBER, ret_place))
      continue;
    reader->study->explained[at - 1] = true;
    return true;
  }
  return false;
}

/* "last between 40 and 55 minutes", "between 1000 and 1500 words long": of the verb's column, or the one that the unit says. */
static size_t between_told(struct reader *reader, size_t at) {
  if (!token_is(reader, at, "between|from") || !number_at(reader, at + 1) || !token_is(reader, at + 2, "and|to") ||
      !number_at(reader, at + 3))
    return 0;
  size_t units = at + 4, end;
  struct place place;
  bool verb = verb_column(reader, at, &place), told = token_is(reader, units + 1, "long|tall|wide|high|deep");
  if (!verb && (!told || !find_concept(reader, told_table(reader), token_lower(reader, units), WANT_NUMBER, &place))) return 0;
  end = told ? units + 2 : skip_units(reader, units, place.column);
  struct filter filter = {.kind = FILTER_COMPARE, .of = place, .op = "BETWEEN"};
  size_t taken = end;
  filter.upper = in_columns_unit(reader, at + 3, &taken, place.column, token_at(reader, at + 3)->lower);
  if (filter.upper != token_at(reader, at + 3)->lower) return 0; /* of another unit than the column's */
  filter.literal = token_at(reader, at + 1)->lower;
  return add_filter(reader, filter, at) ? (taken > end ? taken : end) - at : 0;
}

/* "above 1000 feet": the unit behind says which column. */
static size_t compare_told(struct reader *reader, size_t at, size_t number_at_token, const char *op, const char *number) {
  static const struct {
    const char *words, *concepts;
  } units[] = {{"feet|foot|ft", "feet ft elevation altitude height"},
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
  struct place place;
  size_t end = number_at_token + 1;
  const struct link *named = mention_best(mention_at(reader, end), LINK_COLUMN);
  if (named && named->score >= 0.9) return 0;
  if (verb_column(reader, at, &place)) {
    end = skip_units(reader, end, NULL);
    if (token_is(reader, end, "per") && token_at(reader, end + 1)->kind == TOKEN_WORD)
      return compare_number(reader, at, place, op, number, end + 2 - at);
    end += study_phrase(reader->study, end, "per hour|an hour|a year|per year|per month|a month|per night|per day|annually");
    return compare_number(reader, at, place, op, number, end - at);
  }
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (token_is(reader, end, units[i].words) && find_concept(reader, told_table(reader), units[i].concepts, WANT_NUMBER, &place))
      return compare_number(reader, at, place, op, number, end + 1 - at);
  return 0;
}

bool behind_rows(const struct reader *reader, size_t at) {
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

/* "above the average price", "earn more than the average": the column stands behind, or is the verb's. */
static size_t compare_average(struct reader *reader, size_t at, size_t p, const char *op) {
  size_t q = skip_glue(reader, p);
  struct place place;
  for (size_t i = q; i < q + 3; i++)
    if (token_is(reader, i, "twice|half|double|-|overall|times") || number_at(reader, i)) q = skip_glue(reader, i + 1);
  if (!token_is(reader, q, "average|mean|avg|median|maximum|minimum|highest|lowest|max|min")) return 0;
  const struct mention *mention = mention_at(reader, q + 1);
  bool column = mention_best(mention, LINK_COLUMN) && !mention->verb && settle_column(reader, mention, WANT_NUMBER, &place);
  if (reader->study->doubt) return 0;
  if (column && column_key(study_table(reader->study, place.table), place.column)) return 0;
  if (!column && !verb_column(reader, at, &place)) return 0;
  return compare_than(reader, at, p, place, op, false);
}

/* "earn more per hour than the average trainer". */
static size_t compare_earned(struct reader *reader, size_t at) {
  bool more = token_is(reader, at, "more");
  size_t p = at + 1, n = study_phrase(reader->study, p, "per|an|a|each|every");
  struct place place;
  if (!more && !token_is(reader, at, "less")) return 0;
  if (n && dates_unit(token_lower(reader, p + n)) != UNIT_NONE) p += n + 1;
  if (p == at + 1 || !token_is(reader, p, "than") || !verb_column(reader, at, &place)) return 0;
  return compare_than(reader, at, p + 1, place, more ? ">" : "<", false);
}

/* "worth 15 credits", "with 3 bedrooms": a number and its column. */
static size_t compare_exactly(struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at + 1);
  const struct link *column = mention_best(mention, LINK_COLUMN), *table = mention_best(mention, LINK_TABLE);
  struct place place;
  if (!column || mention->verb || column->score < 0.9 || (table && table->score >= column->score)) return 0;
  if (!settle_column(reader, mention, WANT_NUMBER, &place) || place.table != told_table(reader)) return 0;
  if (token_is(reader, at - 1, "worth")) reader->study->explained[at - 1] = true;
  return compare_number(reader, at, place, "=", token_at(reader, at)->lower, mention->to - at);
}

/* "more than 100 units", "over $500", "above average price". */
static size_t compare_before(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t split = compare_split(reader, at);
  if (split || study->doubt || (split = between_told(reader, at)) || (split = compare_earned(reader, at))) return split;
  const char *op = NULL;
  size_t n = read_comparison(reader, at, &op), p = at + n;
  struct place place;
  if (n && (split = compare_average(reader, at, p, op))) return split;
  if (study->doubt) return 0;
  const struct mention *named = n ? mention_at(reader, p) : NULL; /* "above age 20" */
  if (named && !named->verb && mention_best(named, LINK_COLUMN) && number_at(reader, named->to) &&
      settle_column(reader, named, WANT_NUMBER, &place))
    return compare_number(reader, at, place, op, token_at(reader, named->to)->lower, skip_units(reader, named->to + 1, place.column) - at);
  if (!number_at(reader, p) || study->doubt) return 0;
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
  if (!n && !t) return at > 0 && token_is(reader, at - 1, "worth|with|has|have|having|had") ? compare_exactly(reader, at) : 0;
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
  if (none || some) return stock_is(reader, at, none ? "=" : ">", "0", none + some);
  const char *op; /* "less than 10 in stock" */
  size_t n = read_comparison(reader, at, &op), units = n ? skip_units(reader, at + n + 1, NULL) - at : 0;
  if (!n || !number_at(reader, at + n) || !study_phrase(reader->study, at + units, "in stock|on stock|on hand|left in stock")) return 0;
  return stock_is(reader, at, op, token_at(reader, at + n)->lower,
                  units + study_phrase(reader->study, at + units, "in stock|on stock|on hand|left in stock"));
}

/* "grade 9 or 10": the same column, either. */
static size_t compare_again(struct reader *reader, size_t at) {
  struct reading *out = reader->out;
  const struct filter *last = out->filter_count ? &out->filters[out->filter_count - 1] : NULL;
  if (!token_is(reader, at, "or") || !number_at(reader, at + 1) || !last || last->end != at || last->branch != reader->branch) return 0;
  if (last->kind != FILTER_COMPARE || strcmp(last->op, "=") != 0 || last->until || last->negated) return 0;
  if (mention_at(reader, skip_glue(reader, at + 2)) && !token_is(reader, at + 2, ",|?|.")) return 0;
  struct filter filter = {.kind = FILTER_COMPARE, .of = last->of, .op = "=", .literal = token_at(reader, at + 1)->lower};
  return add_filter(reader, filter, at + 1) ? 2 : 0;
}

size_t rule_compare(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t again = compare_again(reader, at);
  if (again) return again;
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
  const struct mention *before = at > 0 ? mention_at(reader, at - 1) : NULL;
  bool verb = token_is(reader, at, "cost|costs|charge|charges|earn|earns|weigh|weighs|last|lasts|hold|holds|seat|seats") &&
              (token_is(reader, at > 0 ? at - 1 : 0, "that|which|who|not") || (before && mention_best(before, LINK_TABLE)));
  if (verb && verb_column(reader, at + 1, &place)) { /* what the rows do, not what they cost us */
    if ((n = compare_before(reader, at + 1))) return n + 1;
    if (study->doubt || token_is(reader, at, "cost|costs")) return 0;
  }
  const char *op;
  size_t p = mention->to; /* a look ahead: settling may raise a doubt that is nobody's */
  while (token_is(reader, p, "is|are|was|were|of|has|have|been|being|that|which|costs|value|a|not|isn|either")) p++;
  if (!read_comparison(reader, p, &op) && !number_at(reader, p) && !token_is(reader, p, "between|from|ranging|greater")) return 0;
  if (!settle_column(reader, mention, WANT_NUMBER, &place)) return 0;
  return compare_after(reader, at, mention->to, place);
}
