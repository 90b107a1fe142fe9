/* read_order.c - which come first, and how many of them. */
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
    {"longest running|longest|lengthiest", true, "duration length runtime distance minutes seconds time", WANT_NUMBER, NULL},
    {"shortest", false, "duration length runtime distance minutes seconds time height", WANT_NUMBER, NULL},
    {"heaviest", true, "weight mass", WANT_NUMBER, NULL},
    {"lightest", false, "weight mass", WANT_NUMBER, NULL},
    {"tallest", true, "height elevation", WANT_NUMBER, NULL},
    {"largest|biggest", true, "size area square population capacity total amount principal balance employees headcount seats", WANT_NUMBER,
     NULL},
    {"smallest", false, "size area square population capacity total amount principal balance employees headcount seats", WANT_NUMBER, NULL},
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
#define ROWS_SAID_MAX 100000
static const char rising_words[] = "lowest|smallest|least|fewest|minimum|shortest|worst|bottom";
static const char falling_words[] = "highest|largest|biggest|greatest|most|maximum|top|best|longest|max";

/* How many rows are asked for at a place; 0: none are, or more than anybody reads. */
static long rows_said(const struct reader *reader, size_t at) {
  const struct token *token = token_at(reader, at);
  return token->kind == TOKEN_NUMBER && token->number >= 1 && token->number <= ROWS_SAID_MAX ? (long)token->number : 0;
}

static bool plural(const struct reader *reader, size_t at) {
  const char *lower = token_lower(reader, at);
  size_t len = strlen(lower);
  return (len > 3 && lower[len - 1] == 's' && lower[len - 2] != 's') || strcmp(lower, "people") == 0;
}

/* The table an adjective stands before, or the subject. */
static size_t ranked_table(struct reader *reader, size_t at, size_t *ret_noun) {
  for (size_t p = at; p < at + 4; p++) {
    const struct mention *mention = mention_at(reader, p);
    if (mention_best(mention, LINK_TABLE) && !mention->verb) {
      *ret_noun = mention->to - 1;
      size_t which = settle_table(reader, mention);
      return which;
    }
  }
  *ret_noun = TOKENS_MAX;
  return reader->out->subject;
}

static void set_limit(struct reader *reader, size_t noun) {
  if (reader->out->limit) return;
  if (noun < TOKENS_MAX && plural(reader, noun) && reader->out->limit == 0) {
    study_note(reader->study, "How many was not said: only the first is shown.");
  }
  reader->out->limit = 1;
}

/* "each category's most expensive product", "the cheapest product in each category" */
static bool per_group(struct reader *reader, size_t at) {
  for (size_t i = at; i < reader->study->tokens.count; i++)
    if (study_phrase(reader->study, i,
                     "in each|for each|per|of each|in every|for every|of every|within each|from each|at each|on each|each|every"))
      return true;
  return reader->out->group_count > 0;
}

/* What a row is ranked by stands in the one table beside it: the pay of an employee. */
static bool find_near(struct reader *reader, size_t table, const char *concepts, bool falling, struct measure *ret) {
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

static bool said_by_what(const struct reader *reader, size_t at) {
  for (size_t i = at; i + 1 < reader->study->tokens.count; i++) {
    const struct link *column = token_is(reader, i, "by") ? mention_best(mention_at(reader, i + 1), LINK_COLUMN) : NULL;
    if (column && column_numeric(column->column)) return true;
  }
  return false;
}

static size_t rank_by_adjective(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  for (size_t i = 0; i < sizeof adjectives / sizeof *adjectives; i++) {
    size_t n = study_phrase(study, at, adjectives[i].phrases), noun;
    if (!n) continue;
    long count = 0;
    size_t p = at + n;
    if ((count = rows_said(reader, p))) p++;
    size_t table = ranked_table(reader, p, &noun);
    if (table == NO_TABLE) return 0;
    struct place place;
    bool falling = adjectives[i].falling, found;
    const struct mention *next = mention_at(reader, p); /* "latest order date": an extreme, not a rank */
    const struct mention *behind = next ? mention_at(reader, next->to) : NULL;
    if (adjectives[i].wanted == WANT_DATE && next && next->verb && behind && mention_best(behind, LINK_TABLE) && !behind->verb &&
        date_by_verb(reader, next->to, table, &place)) { /* "the most recently hired agent" */
      add_key(reader, (struct measure){.of = place}, falling);
      reader->out->listed = true;
      if (count) reader->out->limit = count;
      set_limit(reader, behind->to - 1);
      return next->to - at;
    }
    bool column = next && !next->verb && adjectives[i].wanted == WANT_NUMBER && mention_best(next, LINK_COLUMN) &&
                  mention_best(next, LINK_COLUMN)->score > 0.9 && !mention_best(next, LINK_TABLE);
    bool named = next && mention_best(next, LINK_TABLE) && !next->verb && behind && !behind->verb && mention_best(behind, LINK_COLUMN) &&
                 !mention_best(behind, LINK_TABLE) && adjectives[i].wanted == WANT_NUMBER;
    if ((named || column) && !count && !wants_rows(reader) && settle_column(reader, named ? behind : next, WANT_NUMBER, &place)) {
      add_item(reader, (struct measure){.kind = falling ? MEASURE_MAX : MEASURE_MIN, .of = place}); /* "longest flight distance" */
      return (named ? behind : next)->to - at;
    }
    if (study->doubt) return 0;
    if (adjectives[i].wanted == WANT_DATE && next && mention_best(next, LINK_COLUMN) &&
        (!mention_best(next, LINK_TABLE) || mention_best(next, LINK_TABLE)->score < mention_best(next, LINK_COLUMN)->score) &&
        settle_column(reader, next, WANT_DATE, &place)) {
      if (wants_rows(reader)) {
        add_key(reader,
                (struct measure){.kind = place.table == reader->out->subject ? MEASURE_NONE
                                         : falling                           ? MEASURE_MAX
                                                                             : MEASURE_MIN,
                                 .of = place},
                falling);
        set_limit(reader, TOKENS_MAX);
      } else {
        add_item(reader, (struct measure){.kind = falling ? MEASURE_MAX : MEASURE_MIN, .of = place});
      }
      return next->to - at;
    }
    if (study->doubt) return 0;
    if (next && mention_best(next, LINK_COLUMN) && mention_best(next, LINK_COLUMN)->score > 0.9 && !mention_best(next, LINK_TABLE))
      return 0; /* "longest duration": by name */
    if (adjectives[i].wanted == WANT_DATE) {
      found = settle_date(reader, at, table, &place) || (!study->doubt && find_concept(reader, table, "year", WANT_NUMBER, &place));
    } else {
      found = find_concept(reader, table, adjectives[i].concepts, adjectives[i].wanted, &place);
      bool rated = !found && strcmp(adjectives[i].concepts, RATED) == 0;
      if (rated && find_reviews(reader, table, &place)) { /* by what was said of them, on the average */
        if (count) reader->out->limit = count;
        add_key(reader, (struct measure){.kind = MEASURE_AVG, .of = place}, falling);
        reader->out->listed = table == reader->out->subject;
        set_limit(reader, noun);
        reader->top = false;
        return p - at;
      }
      if (rated) found = find_concept(reader, table, "stars grade", WANT_NUMBER, &place);
      struct measure near;
      if (!found && !adjectives[i].otherwise && find_near(reader, table, adjectives[i].concepts, falling, &near)) {
        if (count) reader->out->limit = count;
        add_key(reader, near, falling);
        reader->out->listed = table == reader->out->subject;
        set_limit(reader, noun);
        reader->top = false;
        return p - at;
      }
      if (!found && adjectives[i].otherwise) {
        found = find_concept(reader, table, adjectives[i].otherwise, WANT_DATE, &place);
        if (!found && !person_like(study, table)) found = find_concept(reader, table, "year", WANT_NUMBER, &place);
        if (!found) found = settle_date(reader, at, table, &place);
        falling = !falling;
      }
    }
    if (!found && said_by_what(reader, p)) { /* "the largest farm by capacity": comes later */
      reader->top = true;
      reader->top_falling = adjectives[i].falling;
      reader->out->limit = count ? count : 1;
      return p - at;
    }
    if (!found) return 0;
    bool each = table != reader->out->subject || per_group(reader, p);
    if (each && table != reader->out->subject) return 0;
    if (count) reader->out->limit = count;
    add_key(reader, (struct measure){.of = place}, falling);
    reader->out->each = each;
    reader->out->listed = true;
    set_limit(reader, each ? TOKENS_MAX : noun);
    reader->top = false;
    return p - at;
  }
  return 0;
}

/* What "spent the most" or "ordered the most" is about: the verb before. */
static bool by_last_verb(struct reader *reader, struct measure *ret) {
  const struct mention *verb = reader->last_verb;
  if (!verb) return false;
  struct place place;
  if (mention_best(verb, LINK_COLUMN) && settle_column(reader, verb, WANT_NUMBER, &place)) {
    *ret = (struct measure){.kind = place.table == reader->out->subject ? MEASURE_NONE : MEASURE_SUM, .of = place};
    return true;
  }
  return false;
}

/* "closed the most sales": so many of them, whatever they came to. */
static size_t count_of_done(struct reader *reader, size_t at, struct measure *ret) {
  const struct mention *mention = mention_at(reader, at);
  const struct link *table = mention_best(mention, LINK_TABLE);
  size_t verb = at;
  while (verb > 0 && token_is(reader, verb - 1, "the|most|fewest|least")) verb--;
  if (!table || table->table == reader->out->subject || !says_table(reader->study, mention, table->table) || verb == at || verb == 0)
    return 0;
  if (!token_is(reader, verb - 1, "closed|completed|handled|finished|recorded|processed|cancelled|canceled")) return 0;
  *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = table->table};
  return mention->to - at;
}

/* A column, count or sum that rows are ranked by. */
static size_t ranking_measure(struct reader *reader, size_t at, bool count, bool falling, struct measure *ret) {
  struct study *study = reader->study;
  size_t done = count ? count_of_done(reader, at, ret) : 0;
  if (done) return done;
  size_t n = read_measure(reader, at, ret), p = skip_glue(reader, at);
  if (n || study->doubt) return n;
  const struct mention *mention = mention_at(reader, p);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  struct place place;
  if (mention && table && (!column || table->score > column->score + 0.05 || count) && !mention->verb) {
    const struct mention *next = mention_at(reader, mention->to);
    if (next && mention_best(next, LINK_COLUMN) && !next->verb && settle_column(reader, next, WANT_MEASURABLE, &place)) {
      *ret = (struct measure){.of = place,
                              .kind = place.table == reader->out->subject ? MEASURE_NONE
                                      : falling                           ? MEASURE_MAX
                                                                          : MEASURE_MIN};
      return next->to - at;
    }
    size_t which = study->doubt ? NO_TABLE : settle_table(reader, mention);
    bool grouped = reader->out->group_count > 0; /* "which country do most guests come from" */
    for (size_t i = 0; !reader->out->listed && i < reader->out->item_count; i++)
      grouped |= reader->out->items[i].kind == MEASURE_NONE && reader->out->items[i].of.column != NULL;
    if (which == NO_TABLE || (which == reader->out->subject && !grouped)) return 0;
    if (!count) return 0;
    *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = which};
    return mention->to - at;
  }
  if (!column || mention->verb || !settle_column(reader, mention, WANT_MEASURABLE, &place)) return 0;
  if (count && column_temporal(place.column) && plural(reader, p)) { /* "the most bookings", of booked_at */
    *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = place.table};
    return mention->to - at;
  }
  bool own = place.table == reader->out->subject;
  *ret = (struct measure){.kind = own ? MEASURE_NONE : count ? MEASURE_SUM : falling ? MEASURE_MAX : MEASURE_MIN, .of = place};
  return mention->to - at;
}

/* "spent the most": money, whatever it is called here. */
static bool by_money(struct reader *reader, size_t at, struct measure *ret) {
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "the|us|in|total")) p--;
  if (p == 0) return false;
  if (token_is(reader, p - 1, "earn|earns|earning|make|makes|paid") && person_like(reader->study, reader->out->subject)) {
    struct place place;
    static const char pay[] = "salary wage pay compensation income";
    bool own = find_concept(reader, reader->out->subject, pay, WANT_NUMBER, &place);
    if (own) *ret = (struct measure){.of = place};
    if (own || find_near(reader, reader->out->subject, pay, true, ret)) {
      reader->study->explained[p - 1] = true;
      reader->out->listed = true;
      return true;
    }
  }
  if (!token_is(reader, p - 1, "spent|spend|spends|spending|paid|pay|pays|earned|generated|generates|brought|made")) return false;
  if (!find_revenue(reader, ret)) return false;
  reader->study->explained[p - 1] = true;
  if (token_is(reader, at + 1, "money|revenue|sales")) reader->study->explained[at + 1] = true;
  return true;
}

/* "which method is used the most": by rows. */
static bool by_use(struct reader *reader, size_t at, struct measure *ret) {
  struct reading *out = reader->out;
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "the")) p--;
  if (p == 0 || !token_is(reader, p - 1, "used|chosen|occurs|appears|occur|appear|common|frequent|seen|found")) return false;
  for (size_t i = 0; i < out->item_count; i++) {
    if (out->items[i].kind != MEASURE_NONE || !out->items[i].of.column) continue;
    *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = out->items[i].of.table};
    reader->study->explained[p - 1] = true;
    out->listed = out->distinct = false;
    return true;
  }
  return false;
}

/* "the most played songs": by how many rows there are of what was done to them. */
static size_t rank_by_done(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  if (!token_is(reader, at, "most|least|best|top")) return 0;
  size_t p = at + 1;
  long count = rows_said(reader, p);
  p += count != 0;
  const struct mention *verb = mention_at(reader, p), *noun = mention_at(reader, verb ? verb->to : p + 1);
  const struct link *done = mention_best(verb, LINK_TABLE), *what = mention_best(noun, LINK_TABLE);
  if (!what || noun->verb || what->table != reader->out->subject || study->doubt) return 0;
  struct measure by = {.kind = MEASURE_NONE};
  if (token_is(reader, p, "selling|sold")) {
    struct place place;
    for (size_t i = 0; i < study->graph.edge_count && by.kind == MEASURE_NONE; i++)
      if (study->graph.edges[i].to == what->table &&
          find_concept(reader, study->graph.edges[i].from, "quantity units", WANT_NUMBER, &place) &&
          !strstr(study_table(study, place.table)->name, "inventor") && !strstr(study_table(study, place.table)->name, "stock"))
        by = (struct measure){.kind = MEASURE_SUM, .of = place};
  }
  bool counts = token_is(reader, at, "most|least");
  if (by.kind == MEASURE_NONE && counts && done && verb->verb && done->table != what->table)
    by = (struct measure){.kind = MEASURE_COUNT, .of.table = done->table};
  if (by.kind == MEASURE_NONE) return 0;
  if (count) reader->out->limit = count;
  reader->out->listed = true;
  add_key(reader, by, !token_is(reader, at, "least"));
  set_limit(reader, noun->to - 1);
  reader->top = false;
  return noun->to - at;
}

/* "ordered most often": by how many rows there are of what was done; "used most often": of whatever there is. */
static size_t rank_by_often(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t most = study_phrase(study, at, "the most often|the most frequently|most often|most frequently"),
         least = study_phrase(study, at, "the least often|least often|least frequently");
  if (!most && !least) return 0;
  struct measure by = {.kind = MEASURE_COUNT, .of.table = NO_TABLE};
  const struct link *done = mention_best(reader->last_verb, LINK_TABLE);
  if (done && done->table != reader->out->subject) by.of.table = done->table;
  if (by.of.table == NO_TABLE && !by_use(reader, at, &by)) {
    size_t children = 0;
    for (size_t i = 0; i < study->graph.edge_count; i++)
      if (study->graph.edges[i].to == reader->out->subject && study->graph.edges[i].from != reader->out->subject &&
          by.of.table != study->graph.edges[i].from)
        children++, by.of.table = study->graph.edges[i].from;
    if (children != 1) return 0;
    if (at > 0 && token_is(reader, at - 1, "used|redeemed|applied|requested|chosen")) study->explained[at - 1] = true;
  }
  add_key(reader, by, most != 0);
  set_limit(reader, TOKENS_MAX);
  return most + least;
}

static size_t rank_by_noun(struct reader *reader, size_t at, bool falling) {
  struct study *study = reader->study;
  size_t p = at + 1;
  long count = 0;
  if ((count = rows_said(reader, p))) p++;
  bool counting = token_is(reader, at, "most|fewest|least");
  struct measure by;
  size_t n = ranking_measure(reader, p, counting, falling, &by);
  if (study->doubt) return 0;
  if (!n && !(counting && (by_last_verb(reader, &by) || by_money(reader, at, &by) || by_use(reader, at, &by)))) return 0;
  if (study->doubt) return 0;
  if (n && !wants_rows(reader) && reader->out->group_count && !reader->timed && by.kind == MEASURE_SUM && by.of.column &&
      study_phrase(study, p, "number of|amount of")) { /* "for each maker the largest number of seats" */
    by.kind = falling ? MEASURE_MAX : MEASURE_MIN;
  }
  if (reader->timed && by.kind == MEASURE_NONE && !by.term && !by.until) { /* "the day with the most hours", "the highest rate" */
    bool sum = counting && by.of.column && additive(study, by.of.column);
    by.kind = sum ? MEASURE_SUM : falling ? MEASURE_MAX : MEASURE_MIN;
  }
  if (n && token_is(reader, 0, "who") && !wants_rows(reader)) reader->out->listed = true;
  for (size_t i = 0; n && counting && by.kind == MEASURE_NONE && by.of.column && !reader->out->listed && i < reader->out->item_count; i++)
    if (reader->out->items[i].kind == MEASURE_NONE && reader->out->items[i].of.table != by.of.table)
      by.kind = MEASURE_SUM;                                                     /* "which region sold the most units" */
  if (by.kind == MEASURE_NONE && !by.term && !by.until && !wants_rows(reader)) { /* "the highest price" */
    if (count) return 0;
    bool named = false; /* "highest price product" */
    const struct mention *next = mention_at(reader, p + n);
    named = mention_best(next, LINK_TABLE) != NULL && !next->verb;
    if (!named) {
      by.kind = falling ? MEASURE_MAX : MEASURE_MIN;
      add_item(reader, by);
      return p + n - at;
    }
    reader->out->listed = true;
  }
  if (!wants_rows(reader) && !reader->timed && (by.kind == MEASURE_MAX || by.kind == MEASURE_MIN)) {
    add_item(reader, by);
    return p + n - at;
  }
  if (count) reader->out->limit = count;
  add_key(reader, by, falling);
  if (!wants_rows(reader) && !reader->out->group_count) reader->out->listed = true;
  set_limit(reader, TOKENS_MAX);
  if (by.kind == MEASURE_NONE && per_group(reader, p + n)) reader->out->each = true;
  reader->top = false;
  return p + n - at;
}

/* "top 5 customers by revenue", "first 10 orders": how many; by what comes later or is in the words themselves. */
static size_t read_top(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n =
      study_phrase(study, at,
                   "top #|bottom #|best #|worst #|first #|last #|# most|# least|# best|# top|# highest|# lowest|# largest|# smallest|# "
                   "biggest|# oldest|# newest|# youngest|# cheapest|# latest|# longest|# shortest|# heaviest|# fewest|# earliest|# worst");
  bool limit_only = study_phrase(study, at, "limit #|limited to #|limit to #|only #|just #") > 0;
  if (limit_only) {
    n = study_phrase(study, at, "limit #|limited to #|limit to #|only #|just #");
    long limit = rows_said(reader, at + n - 1);
    if (limit) reader->out->limit = limit;
    return limit ? n : 0;
  }
  bool counted = !n && at > 0 && at < study->tokens.count && study->tokens.items[at].kind == TOKEN_NUMBER &&
                 token_is(reader, at - 1, "which|the|what|me|list|show|find|get|are") &&
                 mention_best(mention_at(reader, at + 1), LINK_TABLE) && !reader->out->limit;
  if (counted && rows_said(reader, at)) { /* "which 2 doctors" */
    reader->out->limit = rows_said(reader, at);
    return 1;
  }
  if (!n) return 0;
  bool number_first = study->tokens.items[at].kind == TOKEN_NUMBER;
  long count = rows_said(reader, number_first ? at : at + 1);
  if (!count) return 0;
  reader->out->limit = count;
  if (number_first) return 1;
  reader->top = true;
  reader->top_falling = !token_is(reader, at, "bottom|worst|first");
  if (token_is(reader, at, "last|first")) {
    size_t noun, table = ranked_table(reader, at + 2, &noun);
    struct place place;
    if (table == NO_TABLE || !settle_date(reader, at, table, &place)) {
      if (study->doubt || token_is(reader, at, "last")) return 0;
      reader->top = false;
      return 2;
    }
    add_key(reader, (struct measure){.of = place}, reader->top_falling);
    reader->top = false;
  }
  return 2;
}

/* "by revenue", "in terms of price", "with the highest …" after "top 5". */
static size_t read_top_key(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n =
      study_phrase(study, at, "by their|by the|by|based on|in terms of|ranked by|ordered by|sorted by|with the|with|according to|for");
  if (!n) return 0;
  size_t p = at + n, skip = token_is(reader, p, "highest|lowest|most|largest|fewest|least|biggest|greatest") ? 1 : 0;
  if (!skip && token_is(reader, at, "with|for")) return 0;
  bool rising = token_is(reader, p, "lowest|fewest|least"), counting = token_is(reader, p, "most|fewest|least");
  struct measure by;
  size_t m = ranking_measure(reader, p + skip, counting || !skip, !rising, &by);
  if (!m) return 0;
  if (by.kind == MEASURE_MAX && !skip) by.kind = MEASURE_SUM;
  add_key(reader, by, skip ? !rising : reader->top_falling);
  if (!wants_rows(reader)) reader->out->listed = true;
  reader->top = false;
  return p + skip + m - at;
}

/* "the most common diseases": values by how many rows have them. */
/* "the most popular service": by how many rows belong to each, where there is one kind of such rows. */
static size_t rank_by_popularity(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t most = study_phrase(study, at, "most popular|most used|most frequently used|most in demand|most requested|most sought after"),
         least = study_phrase(study, at, "least popular|least used|least requested");
  size_t p = at + most + least;
  long count = rows_said(reader, p);
  p += count != 0;
  const struct mention *mention = most + least ? mention_at(reader, p) : NULL;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  if (most + least && !mention && study_phrase(study, p, "by|in terms of|based on|according to")) { /* "is the most popular by plays" */
    reader->top = true;
    reader->top_falling = most != 0;
    if (!reader->out->limit) reader->out->limit = 1;
    return most + least;
  }
  if (!table || (column && column->score > table->score) || study->doubt) return 0;
  static const char *const uses[] = {"item",    "line", "sale",   "order",  "book",    "rental", "rent",   "loan",     "enrol",
                                     "purchas", "play", "stream", "listen", "registr", "ticket", "servic", "prescript"};
  size_t which = settle_table(reader, mention), found = NO_TABLE, all = 0, used = 0, any = NO_TABLE;
  for (size_t t = 0; which != NO_TABLE && t < study->snapshot->table_count; t++) {
    bool child = false, use = false;
    for (size_t i = 0; i < study->graph.edge_count; i++)
      child |= study->graph.edges[i].to == which && study->graph.edges[i].from == t && t != which;
    for (size_t w = 0; child && w < study->names.table_counts[t]; w++)
      for (size_t u = 0; u < sizeof uses / sizeof *uses; u++)
        use |= strncmp(study->names.table_words[t][w]->text, uses[u], strlen(uses[u])) == 0;
    if (child) all++, any = t;
    if (use) used++, found = t;
  }
  if (all == 1) found = any, used = 1;
  if (used != 1) {
    study_doubt(study, NULL, "Popular by what: which rows are to be counted?");
    return 0;
  }
  if (count) reader->out->limit = count;
  reader->out->listed = true;
  add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = found}, most != 0);
  set_limit(reader, mention->to - 1);
  reader->top = false;
  return mention->to - at;
}

static size_t rank_by_frequency(struct reader *reader, size_t at) {
  size_t most = study_phrase(reader->study, at, "most common|most frequent|most frequently occurring"),
         least = study_phrase(reader->study, at, "least common|least frequent|rarest");
  const struct mention *mention = mention_at(reader, at + most + least);
  struct place place;
  if ((!most && !least) || !mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
  add_group(reader, (struct group){.of = place});
  add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = place.table}, most != 0);
  set_limit(reader, mention->to - 1);
  reader->top = false;
  return mention->to - at;
}

/* "the largest aircraft by seats": the way only, what by comes later. "Which mountains are the highest?" */
static size_t rank_plainly(struct reader *reader, size_t at, bool falling, bool rising) {
  struct study *study = reader->study;
  if (!falling && !rising && !token_is(reader, at, "largest|biggest|smallest|highest|lowest")) return 0;
  falling |= token_is(reader, at, "largest|biggest|highest");
  const struct mention *next = mention_at(reader, at + 1);
  bool last = at + 1 >= study->tokens.count || token_is(reader, at + 1, "?|.");
  struct place place;
  if (last && token_is(reader, at, "highest|lowest") && wants_rows(reader) &&
      find_concept(reader, reader->out->subject, "elevation altitude height", WANT_NUMBER, &place)) {
    add_key(reader, (struct measure){.of = place}, falling);
    set_limit(reader, TOKENS_MAX);
    return 1;
  }
  if (token_is(reader, at, "most|least|fewest") || !next || next->verb || !mention_best(next, LINK_TABLE)) return 0;
  bool by = false;
  for (size_t i = next->to; i < study->tokens.count && i < next->to + 6; i++) by |= study_phrase(study, i, "by|in terms of|based on") > 0;
  if (!by || reader->out->key_count) return 0;
  reader->top = true;
  reader->top_falling = falling;
  if (!reader->out->limit) reader->out->limit = 1;
  return 1;
}

size_t rule_superlative(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t common = rank_by_frequency(reader, at);
  if (common || study->doubt) return common;
  if ((common = rank_by_popularity(reader, at)) || (common = rank_by_often(reader, at)) || (common = rank_by_done(reader, at)) ||
      study->doubt)
    return common;
  size_t n = read_top(reader, at);
  if (n || study->doubt) return n;
  if (reader->top && (n = read_top_key(reader, at))) return n;
  if (study->doubt) return 0;
  size_t nth = study_phrase(study, at, "second highest|second most|second largest|third highest|third most|third largest|second lowest");
  size_t skip = nth ? 1 : token_is(reader, at, "single") ? 1 : 0;
  n = rank_by_adjective(reader, at + (skip && token_is(reader, at, "second|third") ? 1 : skip));
  bool falling = token_is(reader, at + skip, falling_words), rising = token_is(reader, at + skip, rising_words);
  const struct mention *mention = mention_at(reader, at + skip);
  if (!n && !study->doubt && (falling || rising) && !(mention && mention->to > at + skip + 1)) n = rank_by_noun(reader, at + skip, falling);
  if (!n && !study->doubt) n = rank_plainly(reader, at + skip, falling, rising);
  if (!n || study->doubt) return 0;
  if (nth) {
    if (!reader->out->key_count) return 0;
    reader->out->offset = token_is(reader, at, "third") ? 2 : 1;
  }
  return n + skip;
}

/* --- order --- */

static bool direction_at(const struct reader *reader, size_t at, size_t *ret_taken, bool *ret_falling) {
  struct study *study = reader->study;
  static const char falls[] = "in descending order|descending order|descending|desc|from highest to lowest|from high to low|highest "
                              "first|highest to lowest|largest first|biggest first|from largest to smallest|best first|from best to "
                              "worst|from most to least|from most "
                              "expensive to cheapest|newest first|latest first|most recent first|most expensive first|"
                              "in reverse order|most first|largest to smallest|high to low|from newest to oldest|newest to oldest|z to "
                              "a|in reverse alphabetical order|in decreasing order|decreasing|from z to a";
  static const char rises[] =
      "in ascending order|ascending order|ascending|asc|from lowest to highest|from low to high|lowest first|lowest to highest|worst "
      "first|from worst to best|smallest "
      "first|from smallest to largest|from least to most|from cheapest to most expensive|oldest first|earliest first|cheapest first|fewest "
      "first|smallest to largest|low to high|from oldest to newest|oldest to newest|a to z|from a to z|in increasing order|increasing|in "
      "alphabetical order|alphabetically|in chronological order|chronologically";
  while (token_is(reader, at, "in|,|(|and") && !study_phrase(study, at, falls) && !study_phrase(study, at, rises) && *ret_taken < 2)
    at++, ++*ret_taken;
  size_t n = study_phrase(study, at, falls);
  *ret_falling = n != 0;
  if (!n) n = study_phrase(study, at, rises);
  *ret_taken = n ? *ret_taken + n : 0;
  return n != 0;
}

static bool implied_column(struct reader *reader, size_t at, struct place *ret_place) {
  struct study *study = reader->study;
  size_t table = reader->out->subject;
  if (study_phrase(study, at, "alphabetically|in alphabetical order|in reverse alphabetical order|a to z|from a to z|z to a|from z to a")) {
    const struct snap_column *display[2];
    if (reader->last_column.column && wanted_fits(reader->last_column.column, WANT_TEXT)) {
      *ret_place = reader->last_column;
      return true;
    }
    size_t n = study_display(study, table, display);
    if (n) *ret_place = (struct place){.table = table, .column = display[n - 1]};
    return n > 0;
  }
  if (study_phrase(study, at,
                   "newest first|latest first|most recent first|oldest first|earliest first|from newest to oldest|from oldest to "
                   "newest|newest to oldest|oldest to newest|in chronological order|chronologically"))
    return settle_date(reader, 0, table, ret_place) ||
           (!study->doubt && find_concept(reader, table, "year founded", WANT_NUMBER, ret_place));
  if (study_phrase(study, at, "most expensive first|cheapest first|from cheapest to most expensive|from most expensive to cheapest"))
    return find_concept(reader, table, "price cost amount total fee", WANT_NUMBER, ret_place);
  return false;
}

size_t rule_order(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = study_phrase(study, at,
                          "sorted by|sort by|sort them by|sort the results by|ordered by|order by|order them by|order the results "
                          "by|sorting by|ordering by|arranged by|ranked by|rank by|rank them by|sort it by|in order of|sorted in order "
                          "of|sorted|ordered|sort|order the results|arranged|listed");
  if (reader->ordering && token_is(reader, at, "and|,|then") && !reader->top)
    n = token_is(reader, at, "then") ? (token_is(reader, at + 1, "by") ? 2 : 1)
                                     : study_phrase(study, at, "and then by|, then by|and by|and then|and|,");
  if (!n || (reader->top && study_phrase(study, at, "ranked by|ordered by|sorted by"))) {
    size_t taken = 0;
    bool falling;
    struct place place;
    if (reader->top || !direction_at(reader, at, &taken, &falling)) return 0;
    if (reader->ordering && reader->out->key_count && !implied_column(reader, at, &place)) {
      reader->out->keys[reader->out->key_count - 1].falling = falling;
      return taken;
    }
    const struct mention *named = mention_at(reader, at + taken); /* "from highest to lowest price" */
    if (study_phrase(study, at, "from") && named && !named->verb && mention_best(named, LINK_COLUMN) &&
        settle_column(reader, named, WANT_MEASURABLE, &place)) {
      add_key(reader, (struct measure){.of = place}, falling);
      return named->to - at;
    }
    if (study->doubt) return 0;
    size_t lead = 0;
    while (lead < taken && !implied_column(reader, at + lead, &place)) lead++;
    if (study->doubt || lead == taken) return 0;
    struct key *last = reader->out->key_count ? &reader->out->keys[reader->out->key_count - 1] : NULL;
    if (last && last->by.of.column == place.column) { /* "by join date, most recent first" */
      last->falling = falling;
      return taken;
    }
    add_key(reader, (struct measure){.of = place}, falling);
    return taken;
  }
  size_t taken = 0, p = skip_glue(reader, at + n);
  bool falling = false;
  struct place place;
  if (direction_at(reader, at + n, &taken, &falling) && implied_column(reader, at + n, &place)) {
    struct key *last = reader->out->key_count ? &reader->out->keys[reader->out->key_count - 1] : NULL;
    if (last && last->by.of.column == place.column) /* "by join date, most recent first" */
      last->falling = falling;
    else
      add_key(reader, (struct measure){.of = place}, falling);
    return n + taken;
  }
  if (study->doubt) return 0;
  if (token_is(reader, at, "ordered|sorted|sort|listed|arranged") && n == 1 && !taken) return 0;
  if (taken) { /* "sorted in descending order by price" */
    p = at + n + taken;
    p += token_is(reader, p, "by|of") ? 1 : 0;
    p = skip_glue(reader, p);
  } else {
    taken = 0;
    if (direction_at(reader, p, &taken, &falling) && token_is(reader, p + taken, "by|of"))
      p += taken + 1;
    else
      falling = false;
    bool rises = token_is(reader, p, rising_words), falls = token_is(reader, p, falling_words);
    if (rises || falls) p++, falling = falls;
  }
  const struct mention *mention = mention_at(reader, p);
  struct measure by;
  size_t m = ranking_measure(reader, p, true, true, &by);
  if (study->doubt) return 0;
  if (m && by.kind == MEASURE_SUM && mention_best(mention, LINK_COLUMN) && wants_rows(reader) && !reader->out->group_count)
    by.kind = MEASURE_NONE;
  if (!m && mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_ANY, &place)) {
    by = (struct measure){.of = place};
    m = mention->to - p;
  }
  if (!m && !study->doubt) { /* by "date", or by a count that is in the list */
    if (token_is(reader, p, "date|time") && settle_date(reader, 0, reader->out->subject, &place))
      by = (struct measure){.of = place}, m = 1;
    else if (token_is(reader, p, "count|total|number|average|sum|amount") && reader->out->item_count) {
      for (size_t i = 0; i < reader->out->item_count; i++)
        if (reader->out->items[i].kind != MEASURE_NONE) by = reader->out->items[i], m = 1;
    } else if (dates_unit(token_lower(reader, p)) != UNIT_NONE && reader->out->group_count) {
      reader->ordering = true;
      return p + 1 - at;
    }
  }
  if (!m) return 0;
  bool aggregated = false; /* "ordered by price" where the average price is listed */
  for (size_t i = 0; i < reader->out->item_count; i++)
    if (by.kind == MEASURE_NONE && reader->out->items[i].kind != MEASURE_NONE && reader->out->items[i].of.column &&
        reader->out->items[i].of.column == by.of.column)
      by = reader->out->items[i], aggregated = true;
  (void)aggregated;
  size_t after = 0;
  bool end_falling;
  if (direction_at(reader, p + m, &after, &end_falling))
    falling = end_falling;
  else
    after = 0;
  add_key(reader, by, falling);
  reader->ordering = true;
  return p + m + after - at;
}
