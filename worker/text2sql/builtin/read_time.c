/* read_time.c - stretches of time that are asked for: "which month", "the busiest day", "year over year". */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* A unit as a noun, and the tokens it takes: "day of the week", "month". A column called so is left to the others. */
static size_t unit_noun(const struct reader *reader, size_t at, enum date_unit *ret_unit) {
  static const struct {
    const char *phrases;
    enum date_unit unit;
  } nouns[] = {{"day of week|day of the week|days of the week|weekday|weekdays", UNIT_WEEKDAY},
               {"hour of the day|hour of day|hours of the day|time of day", UNIT_HOUR_OF_DAY},
               {"hour|hours", UNIT_HOUR_OF_DAY},
               {"day|days|calendar day|calendar days", UNIT_DAY},
               {"week|weeks|calendar week", UNIT_WEEK},
               {"month|months|calendar month", UNIT_MONTH},
               {"quarter|quarters", UNIT_QUARTER},
               {"year|years|calendar year", UNIT_YEAR}};
  const struct link *column = mention_best(mention_at(reader, at), LINK_COLUMN);
  if (column && column->score >= 0.9) return 0;
  for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++) {
    size_t n = study_phrase(reader->study, at, nouns[i].phrases);
    if (!n) continue;
    *ret_unit = nouns[i].unit;
    return n;
  }
  return 0;
}

static void group_by_unit(struct reader *reader, size_t at, enum date_unit unit) {
  add_group(reader, (struct group){.of = {.table = NO_TABLE}, .bucket = unit, .at = at});
  reader->timed = true;
}

/* "the busiest day": by how much there is. */
static size_t busiest(struct reader *reader, size_t at) {
  size_t most = study_phrase(reader->study, at, "busiest|most active|most popular"),
         least = study_phrase(reader->study, at, "quietest|slowest|least busy|least active");
  enum date_unit unit;
  size_t n = most + least ? unit_noun(reader, at + most + least, &unit) : 0;
  if (!n || reader->out->subject == NO_TABLE) return 0;
  group_by_unit(reader, at, unit);
  add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = reader->out->subject}, most != 0);
  if (!reader->out->limit) reader->out->limit = 1;
  reader->out->listed = reader->top = false;
  return most + least + n;
}

/* "best month for sales", "worst day by revenue". */
static size_t best_stretch(struct reader *reader, size_t at) {
  enum date_unit unit;
  size_t n = token_is(reader, at, "best|worst|strongest|weakest|top") ? unit_noun(reader, at + 1, &unit) : 0;
  size_t joint = n ? study_phrase(reader->study, at + 1 + n, "for|by|in terms of|in|based on") : 0;
  struct measure by;
  size_t m = joint ? read_measure(reader, at + 1 + n + joint, &by) : 0;
  if (!m) return 0;
  group_by_unit(reader, at, unit);
  add_key(reader, by, !token_is(reader, at, "worst|weakest"));
  if (!reader->out->limit) reader->out->limit = 1;
  return 1 + n + joint + m;
}

/* "year over year": each stretch beside the one before it. */
static size_t over_time(struct reader *reader, size_t at) {
  enum date_unit unit = dates_unit(token_lower(reader, at));
  size_t dash = token_is(reader, at + 1, "-") ? 1 : 0;
  size_t n = token_is(reader, at + 1 + dash, "over|on|to") && dates_unit(token_lower(reader, at + 2 + 2 * dash)) == unit ? 3 + 2 * dash : 0;
  if (!n && token_is(reader, at, "yoy|mom")) {
    unit = token_is(reader, at, "yoy") ? UNIT_YEAR : UNIT_MONTH;
    n = 1;
  }
  size_t by = !n && unit != UNIT_NONE && token_is(reader, at + 1, "by") && dates_unit(token_lower(reader, at + 2)) == unit ? 3 : 0;
  if (unit == UNIT_NONE || (!n && !by)) return 0;
  add_group(reader, (struct group){.of = {.table = NO_TABLE}, .bucket = unit, .at = at});
  reader->per = true;
  reader->out->change |= n != 0;
  size_t said = n ? study_phrase(reader->study, at + n, "growth rate|growth|change|changes|increase|comparison|difference") : 0;
  return n + by + said;
}

size_t rule_time(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = over_time(reader, at);
  if (n || study->doubt) return n;
  if ((n = study_phrase(study, at,
                        "growth rate of|growth rate|growth of|growth|compared to the previous|compared with the previous|versus the "
                        "previous|vs the previous"))) {
    reader->out->change = true;
    if (token_is(reader, at, "growth")) return n;
    return dates_unit(token_lower(reader, at + n)) != UNIT_NONE ? n + 1 : 0;
  }
  if ((n = busiest(reader, at)) || (n = best_stretch(reader, at)) || study->doubt) return n;
  enum date_unit unit;
  size_t asked = study_phrase(study, at, "which|what"), p = at + asked;
  n = unit_noun(reader, p, &unit);
  if (!n) return 0;
  bool ranked = reader->top || reader->out->limit, first = at == 0 || (at == 1 && token_is(reader, 0, "the|list|show|find"));
  bool with = study_phrase(study, p + n, "with the|with more|with less|with at|with fewer|with over|that had|where|having|when");
  if (!asked && !ranked && !(first && with)) return 0;
  if (study_phrase(study, at > 0 ? at - 1 : 0, "last|past|next|this|each|every|per|by")) return 0;
  group_by_unit(reader, at, unit);
  return asked + n;
}

/* --- at the end --- */

static size_t counted_table(const struct reading *out) {
  for (size_t i = 0; i < out->key_count; i++)
    if (out->keys[i].by.kind != MEASURE_NONE && !out->keys[i].by.term) return out->keys[i].by.of.table;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE && !out->items[i].term) return out->items[i].of.table;
  return out->subject;
}

void finish_times(struct reader *reader) {
  struct reading *out = reader->out;
  for (size_t i = 0; i < out->group_count && !reader->study->doubt; i++) {
    struct group *group = &out->groups[i];
    if (group->of.table != NO_TABLE) continue;
    if (!settle_date(reader, group->at, counted_table(out), &group->of))
      study_doubt(reader->study, NULL, "The date of what tells the %s?", dates_unit_name(group->bucket));
  }
  if (reader->timed) out->listed = false;
}

/* --- directions --- */

static bool begins_with_any(const char *text, const char *const *stems) {
  for (size_t i = 0; stems[i]; i++)
    if (strncmp(text, stems[i], strlen(stems[i])) == 0) return true;
  return false;
}

const struct join_edge *role_said_before(const struct reader *reader, size_t at, size_t from, size_t to) {
  static const char *const origins[] = {"origin", "from", "sourc", "depart", "send", "start", "pickup", "payer", "seller", "old", NULL};
  static const char *const targets[] = {"destin", "to",      "target", "arriv", "receiv", "recipi",
                                        "end",    "dropoff", "payee",  "buyer", "new",    NULL};
  const struct join_graph *graph = &reader->study->graph;
  int direction = 0;
  for (size_t back = 1; back <= 4 && back <= at && !direction; back++) {
    if (token_is(reader, at - back, "from|leaving|depart|departs|departed|departing|leave|left|leaves|originating|originate"))
      direction = 1;
    else if (token_is(reader, at - back,
                      "to|into|towards|arrive|arrives|arrived|arriving|landing|land|landed|bound|receive|receives|joined|reach"))
      direction = 2;
    else if (!token_is(reader, at - back, "each|every|the|a|an|any|all|in|at|which|what|airport|city|country"))
      break;
  }
  const struct join_edge *found = NULL;
  for (size_t i = 0; direction && i < graph->edge_count; i++) {
    const struct join_edge *edge = &graph->edges[i];
    bool says = false;
    for (size_t w = 0; w < edge->role_count; w++) says |= begins_with_any(edge->roles[w]->text, direction == 1 ? origins : targets);
    if (edge->from != from || edge->to != to || !says) continue;
    if (found) return NULL;
    found = edge;
  }
  return found;
}
