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

static bool said_by_what(const struct reader *reader, size_t at) {
  for (size_t i = at; i + 1 < reader->study->tokens.count; i++) {
    const struct link *column = token_is(reader, i, "by") ? mention_best(mention_at(reader, i + 1), LINK_COLUMN) : NULL;
    if (column && column_numeric(column->column)) return true;
  }
  return false;
}

size_t rank_by_adjective(struct reader *reader, size_t at) {
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
