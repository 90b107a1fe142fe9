/* read_adjective.c - "the cheapest", "the oldest", "best rated": adjectives that say by themselves what rows are ranked by. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

#define RATED "rating score"
/* Adjectives that rank by themselves: what they rank by. Concepts of a second kind are tried when there are none of the first. */
static const struct {
  const char *phrases;
  bool falling;
  const char *concepts;
  enum wanted wanted;
  const char *otherwise; /* dates, ranked the other way round */
} adjectives[] = {
    {"most expensive|priciest|costliest|highest priced|most costly", true, "price cost fare amount total fee rate value", WANT_NUMBER,
     NULL},
    {"most valuable|highest valued", true, "value worth price", WANT_NUMBER, NULL},
    {"least valuable|lowest valued", false, "value worth price", WANT_NUMBER, NULL},
    {"cheapest|least expensive|lowest priced|most affordable", false, "price cost fare amount total fee rate value", WANT_NUMBER, NULL},
    {"oldest|eldest", true, "age", WANT_NUMBER, "birth"},
    {"youngest", false, "age", WANT_NUMBER, "birth"},
    {"longest serving|longest tenured|longest standing|longest employed|most senior|most tenured|with us the longest|here the longest|with "
     "us longest|with the company the longest|with the company longest",
     false, NULL, WANT_DATE, NULL},
    {"longest running|longest|lengthiest", true, "duration length runtime distance minutes seconds time words pages", WANT_NUMBER, NULL},
    {"shortest", false, "duration length runtime distance minutes seconds time height words pages", WANT_NUMBER, NULL},
    {"heaviest", true, "weight mass", WANT_NUMBER, NULL},
    {"lightest", false, "weight mass", WANT_NUMBER, NULL},
    {"tallest", true, "height elevation", WANT_NUMBER, NULL},
    {"largest|biggest", true, "size area square population capacity total amount principal balance employees headcount seats", WANT_NUMBER,
     NULL},
    {"smallest", false, "size area square population capacity total amount principal balance employees headcount seats", WANT_NUMBER, NULL},
    {"deepest", true, "depth draught", WANT_NUMBER, NULL},
    {"shallowest", false, "depth draught", WANT_NUMBER, NULL},
    {"widest|broadest", true, "width", WANT_NUMBER, NULL},
    {"narrowest", false, "width", WANT_NUMBER, NULL},
    {"fastest|quickest", true, "speed velocity", WANT_NUMBER, NULL},
    {"slowest", false, "speed velocity", WANT_NUMBER, NULL},
    {"most delayed", true, "delay", WANT_NUMBER, NULL},
    {"most populous|most populated", true, "population", WANT_NUMBER, NULL},
    {"highest paid|best paid|highest earning|top earning|top paid|best earning", true, "salary wage pay compensation income rate",
     WANT_NUMBER, NULL},
    {"lowest paid|worst paid", false, "salary wage pay compensation income rate", WANT_NUMBER, NULL},
    {"highest rated|best rated|top rated|best reviewed", true, RATED, WANT_NUMBER, NULL},
    {"lowest rated|worst rated|worst reviewed", false, RATED, WANT_NUMBER, NULL},
    {"highest scoring|top scoring", true, "score points goals", WANT_NUMBER, NULL},
    {"most recent|latest|newest|most recently", true, NULL, WANT_DATE, NULL},
    {"earliest|least recent", false, NULL, WANT_DATE, NULL},
};

/* What a row is ranked by stands in the one table beside it: the pay of an employee. */
bool find_near(struct reader *reader, size_t table, const char *concepts, bool falling, struct measure *ret) {
  struct study *study = reader->study;
  size_t found = 0;
  for (size_t i = 0; i < study->graph.edge_count; i++) {
    const struct join_edge *edge = &study->graph.edges[i];
    struct place place;
    if (edge->to != table || edge->from == table || !find_concept(reader, edge->from, concepts, WANT_NUMBER, &place)) continue;
    if (found && ret->of.table == place.table) continue;
    *ret = (struct measure){.kind = falling ? MEASURE_MAX : MEASURE_MIN, .of = place};
    found++;
  }
  return found == 1;
}

/* The one table of reviews within reach, and their score. */
static bool find_reviews(struct reader *reader, size_t table, struct place *ret_place) {
  struct study *study = reader->study;
  size_t found = 0;
  for (size_t t = 0; t < study->snapshot->table_count; t++) {
    size_t count = study->names.table_counts[t];
    const char *name = count ? study->names.table_words[t][count - 1]->text : "";
    bool reviews =
        strncmp(name, "review", 6) == 0 || strcmp(name, "rating") == 0 || strcmp(name, "feedback") == 0 || strncmp(name, "evalu", 5) == 0;
    struct place place;
    if (!reviews || t == table || !table_readable(study_table(study, t)) || study_distance(study, table, t) > 6) continue;
    if (!find_concept(reader, t, "rating score stars grade", WANT_NUMBER, &place)) continue;
    *ret_place = place;
    found++;
  }
  return found == 1;
}

/* "the largest farm by capacity": what ranks them comes later. */
static bool said_by_what(const struct reader *reader, size_t at) {
  for (size_t i = at; i + 1 < reader->study->tokens.count; i++) {
    const struct link *column = token_is(reader, i, "by") ? mention_best(mention_at(reader, i + 1), LINK_COLUMN) : NULL;
    if (column && column_numeric(column->column)) return true;
  }
  return false;
}

struct adjective { /* one that stands in the question */
  size_t row, at;  /* in adjectives; its first token */
  size_t behind;   /* the token behind it and a number of rows */
  long count;      /* of rows; 0: not said */
  size_t table, noun;
  bool falling;
};

/* Rows are ranked by what was found. The tokens taken. */
static size_t ranked(struct reader *reader, const struct adjective *said, struct measure by) {
  if (said->count) reader->out->limit = said->count;
  add_key(reader, by, said->falling);
  reader->out->listed = said->table == reader->out->subject;
  set_limit(reader, said->noun);
  reader->top = false;
  return said->behind - said->at;
}

/* "the most recently hired agent" */
static size_t latest_done(struct reader *reader, const struct adjective *said) {
  const struct mention *verb = mention_at(reader, said->behind), *noun = verb ? mention_at(reader, verb->to) : NULL;
  struct place place;
  if (!verb || !verb->verb || !mention_best(noun, LINK_TABLE) || noun->verb) return 0;
  if (!date_by_verb(reader, verb->to, said->table, &place)) return 0;
  add_key(reader, (struct measure){.of = place}, said->falling);
  reader->out->listed = true;
  if (said->count) reader->out->limit = said->count;
  set_limit(reader, noun->to - 1);
  return verb->to - said->at;
}

/* "latest order date": an extreme, or what the rows before are ranked by. */
static size_t latest_column(struct reader *reader, const struct adjective *said) {
  const struct mention *next = mention_at(reader, said->behind);
  const struct link *table = mention_best(next, LINK_TABLE), *column = mention_best(next, LINK_COLUMN);
  struct place place;
  if (!column || (table && table->score >= column->score) || !settle_column(reader, next, WANT_DATE, &place)) return 0;
  struct measure extreme = {.kind = said->falling ? MEASURE_MAX : MEASURE_MIN, .of = place};
  if (!wants_rows(reader)) {
    add_item(reader, extreme);
    return next->to - said->at;
  }
  if (place.table == reader->out->subject) extreme.kind = MEASURE_NONE;
  add_key(reader, extreme, said->falling);
  set_limit(reader, TOKENS_MAX);
  return next->to - said->at;
}

/* A column by its name: "longest duration". */
static bool names_column(const struct mention *mention) {
  const struct link *column = mention_best(mention, LINK_COLUMN);
  return column && column->score > 0.9 && !column_boolean(column->column) && !mention_best(mention, LINK_TABLE);
}

/* "longest flight distance": an extreme, no rank. */
static size_t extreme_of_column(struct reader *reader, const struct adjective *said) {
  const struct mention *next = mention_at(reader, said->behind), *behind = next ? mention_at(reader, next->to) : NULL;
  struct place place;
  if (!next || next->verb || said->count || wants_rows(reader)) return 0;
  bool named =
      mention_best(next, LINK_TABLE) && behind && !behind->verb && mention_best(behind, LINK_COLUMN) && !mention_best(behind, LINK_TABLE);
  if (!named && !names_column(next)) return 0;
  const struct mention *column = named ? behind : next;
  if (!settle_column(reader, column, WANT_NUMBER, &place)) return 0;
  add_item(reader, (struct measure){.kind = said->falling ? MEASURE_MAX : MEASURE_MIN, .of = place});
  return column->to - said->at;
}

/* Dates in the place of ages: the oldest was born first. */
static bool find_otherwise(struct reader *reader, struct adjective *said, struct place *ret_place) {
  const char *otherwise = adjectives[said->row].otherwise;
  if (!otherwise) return false;
  said->falling = !said->falling;
  return find_trait(reader, said->table, otherwise, WANT_DATE, ret_place) ||
         (!person_like(reader->study, said->table) && find_concept(reader, said->table, "year", WANT_NUMBER, ret_place)) ||
         settle_date(reader, said->at, said->table, ret_place);
}

/* A column of the rows themselves that the adjective is about. */
static bool find_ranking(struct reader *reader, struct adjective *said, struct place *ret_place) {
  const char *concepts = adjectives[said->row].concepts;
  if (adjectives[said->row].wanted == WANT_DATE)
    return settle_date(reader, said->at, said->table, ret_place) ||
           (!reader->study->doubt && find_concept(reader, said->table, "year", WANT_NUMBER, ret_place));
  return find_trait(reader, said->table, concepts, WANT_NUMBER, ret_place);
}

/* By what is said behind the rows. */
static size_t rank_later(struct reader *reader, const struct adjective *said) {
  reader->top = true;
  reader->top_falling = adjectives[said->row].falling;
  if (said->count || !reader->out->limit) reader->out->limit = said->count ? said->count : 1;
  return said->behind - said->at;
}

/* "the 5 biggest orders by subtotal": right behind the rows. */
static bool by_right_behind(const struct reader *reader, const struct adjective *said) {
  return said->noun < TOKENS_MAX && token_is(reader, said->noun + 1, "by") && said_by_what(reader, said->noun + 1) &&
         token_is(reader, said->at, "largest|biggest|smallest");
}

static size_t rank_rows(struct reader *reader, struct adjective *said) {
  if (by_right_behind(reader, said)) return rank_later(reader, said);
  struct place place;
  struct measure near;
  bool dated = adjectives[said->row].wanted == WANT_DATE, found = find_ranking(reader, said, &place);
  bool rated = !dated && strcmp(adjectives[said->row].concepts, RATED) == 0;
  if (!found && rated) { /* by what was said of them, on the average */
    if (find_reviews(reader, said->table, &place)) return ranked(reader, said, (struct measure){.kind = MEASURE_AVG, .of = place});
    found = find_concept(reader, said->table, "stars grade", WANT_NUMBER, &place);
  }
  if (!found && !dated && !adjectives[said->row].otherwise &&
      find_near(reader, said->table, adjectives[said->row].concepts, said->falling, &near))
    return ranked(reader, said, near);
  if (!found) found = find_otherwise(reader, said, &place);
  if (!found && said_by_what(reader, said->behind)) return rank_later(reader, said);
  if (found && said->table != reader->out->subject && said->noun < TOKENS_MAX && !said->count)
    return of_extreme_parent(reader, place, said->falling, said->at) ? said->behind - said->at : 0;
  if (!found || said->table != reader->out->subject) return 0;
  reader->out->each = per_group(reader, said->behind);
  if (reader->out->each) said->noun = TOKENS_MAX;
  return ranked(reader, said, (struct measure){.of = place});
}

/* "the first order of each customer": by its date, where there is one. */
static size_t first_or_last(struct reader *reader, size_t at) {
  size_t n = study_phrase(reader->study, at, "very first|very last|first|last");
  const struct mention *rows = n ? mention_at(reader, at + n) : NULL;
  const struct link *table = mention_best(rows, LINK_TABLE), *column = mention_best(rows, LINK_COLUMN);
  struct place place;
  if (!table || rows->verb || table->table != reader->out->subject || table->score < 0.9 || (column && column->score >= table->score))
    return 0;
  if (words_plural(token_lower(reader, rows->to - 1)) || dates_unit(token_lower(reader, at + n)) != UNIT_NONE) return 0;
  return settle_date(reader, at, table->table, &place) ? n : 0;
}

/* "the priciest dish", where nothing here is a dish: nobody knows what is ranked. */
static bool unknown_noun(const struct reader *reader, size_t at) {
  const struct token *noun = token_at(reader, at);
  return noun->kind == TOKEN_WORD && !mention_at(reader, at) && !says_nothing(reader->study, at) && !verb_neutral(reader->study, at) &&
         !participle_like(noun->lower);
}

size_t rank_by_adjective(struct reader *reader, size_t at) {
  struct adjective said = {.at = at};
  size_t n = 0;
  for (; said.row < sizeof adjectives / sizeof *adjectives; said.row++)
    if ((n = study_phrase(reader->study, at, adjectives[said.row].phrases))) break;
  if (!n && (n = first_or_last(reader, at)))
    while (said.row--, adjectives[said.row].wanted != WANT_DATE || adjectives[said.row].falling != token_is(reader, at + n - 1, "last"))
      continue;
  if (!n) return 0;
  said.count = rows_said(reader, at + n);
  said.behind = at + n + (said.count != 0);
  said.behind += study_phrase(reader->study, said.behind, "piece of|pieces of|item of|items of");
  said.falling = adjectives[said.row].falling;
  said.table = ranked_table(reader, said.behind, &said.noun);
  if (said.table == NO_TABLE || unknown_noun(reader, said.behind) ||
      study_phrase(reader->study, said.behind, "number of|amount of|count of|share of|total|sum of"))
    return 0;
  if (adjectives[said.row].wanted == WANT_DATE)
    n = latest_done(reader, &said);
  else
    n = extreme_of_column(reader, &said);
  if (n || reader->study->doubt) return n;
  if (adjectives[said.row].wanted == WANT_DATE && ((n = latest_column(reader, &said)) || reader->study->doubt)) return n;
  if (names_column(mention_at(reader, said.behind))) return 0; /* "longest duration": by name */
  return rank_rows(reader, &said);
}

size_t adjective_ranks(struct reader *reader, size_t at, size_t table, struct place *ret_place, bool *ret_falling) {
  for (size_t row = 0; row < sizeof adjectives / sizeof *adjectives; row++) {
    size_t n = study_phrase(reader->study, at, adjectives[row].phrases);
    if (!n || table == NO_TABLE) continue;
    const char *doubt = reader->study->doubt;
    struct adjective said = {.row = row, .at = 0, .behind = at + n, .table = table, .falling = adjectives[row].falling};
    bool found = find_ranking(reader, &said, ret_place) || (!reader->study->doubt && find_otherwise(reader, &said, ret_place));
    *ret_falling = said.falling;
    if (!found && !doubt) reader->study->doubt = NULL; /* it may mean something else here */
    return found && !reader->study->doubt ? n : 0;
  }
  return 0;
}

size_t adjective_of(struct reader *reader, size_t at, struct place place, bool *ret_falling) {
  struct place found;
  size_t n = adjective_ranks(reader, at, place.table, &found, ret_falling);
  bool dated = n && column_temporal(found.column); /* the oldest was born first: turned round already */
  if (dated) *ret_falling = !*ret_falling;
  return n && found.column == place.column ? n : 0;
}
