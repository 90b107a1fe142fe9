/* read_group.c - "per month", "for each customer": what is counted apart. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* "per year, by release date", at what is behind "year": the date that the years are of. */
static size_t date_behind(struct reader *reader, size_t at, size_t table, struct place *ret_place) {
  size_t by = at + (token_is(reader, at, ",") ? 1 : 0);
  const struct mention *mention = token_is(reader, by, "by") ? mention_at(reader, skip_glue(reader, by + 1)) : NULL;
  if (!mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_DATE, ret_place)) return 0;
  return ret_place->table == table ? mention->to - at : 0;
}

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
  size_t said = date_behind(reader, at + 1, near, &place);
  if (said) {
    add_group(reader, (struct group){.of = place, .bucket = unit});
    return 1 + said;
  }
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
struct place entity_of(const struct reader *reader, const struct mention *mention, struct place place) {
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
      add_group(reader, (struct group){.of = entity_of(reader, next, detail)});
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

/* "list customers by name" is an order; "customers by country" are groups. */
static bool orders_list(const struct reader *reader) {
  if (!study_phrase(reader->study, 0, "list|show|display|give|get|find|return|which|what|sort|order|rank|arrange") ||
      reader->pending != MEASURE_NONE || !wants_rows(reader))
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

/* "average earnings across all players": of all of what is measured, not of each. */
static size_t over_all(const struct reader *reader, size_t at, size_t p) {
  const struct mention *mention = mention_at(reader, p);
  const struct link *table = mention_best(mention, LINK_TABLE);
  if (!token_is(reader, at, "across") || !table || mention->verb) return 0;
  size_t measured = reader->out->subject;
  for (size_t i = 0; i < reader->out->item_count; i++)
    if (reader->out->items[i].kind != MEASURE_NONE) measured = reader->out->items[i].of.table;
  return table->table == measured ? mention->to - at : 0;
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
  if (reader->grouping && token_is(reader, at, "and|,") &&
      !(token_is(reader, at, ",") && token_is(reader, at + 1, "the|show|list|which|what|how|give|find")))
    n = token_is(reader, at + 1, "by|per") ? 2 : 1;
  else if (!n && token_is(reader, at, "by") && !reader->top && !reader->ordering)
    n = 1;
  if (!n) return 0;
  size_t p = skip_glue(reader, at + n), all = over_all(reader, at, p);
  if (all) return all;
  if (token_is(reader, at, "by") && only_a_value_here(reader, p)) return 0;
  if (token_is(reader, at, "by") && (mention_best(mention_at(reader, p), LINK_VALUE) && !mention_best(mention_at(reader, p), LINK_COLUMN) &&
                                     !mention_best(mention_at(reader, p), LINK_TABLE)))
    return 0;
  if (at > 0 && token_is(reader, at, "by") && said_already(reader, p)) return mention_at(reader, p)->to - at;
  const struct mention *whom = mention_at(reader, p);
  if (at > 0 && token_is(reader, at, "by") && mention_best(whom, LINK_TABLE) && words_plural(token_lower(reader, p)) &&
      participle_like(token_lower(reader, at - 1)))
    return 0;                                                              /* "booked by guests": who did it */
  const struct mention *kind = whom ? mention_at(reader, whom->to) : NULL; /* "shipped by express carriers" */
  if (at > 0 && token_is(reader, at, "by") && participle_like(token_lower(reader, at - 1)) && mention_best(kind, LINK_TABLE) &&
      (mention_best(whom, LINK_FLAG) || mention_best(whom, LINK_VALUE)))
    return 0;
  if (at > 0 && token_is(reader, at, "by") && orders_list(reader)) {
    struct place place;
    struct measure by;
    size_t whole = read_measure(reader, p, &by); /* "rank the districts by total fines" */
    if (study->doubt) return 0;
    if (whole) {
      add_key(reader, by, true);
      reader->ordering = true;
      return p + whole - at;
    }
    const struct mention *mention = mention_at(reader, p);
    if (mention_best(mention, LINK_TABLE) && mention_best(mention, LINK_COLUMN) &&
        mention_best(mention, LINK_TABLE)->score > mention_best(mention, LINK_COLUMN)->score)
      return 0;
    if (!mention_best(mention, LINK_COLUMN) || !settle_column(reader, mention, WANT_ANY, &place)) return 0;
    if (place.table != reader->out->subject && !study_belongs(study, reader->out->subject, place.table)) return 0;
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
