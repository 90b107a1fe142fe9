/* read_order.c - "sorted by", "newest first": in which order rows are listed. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

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
    bool rises = ranks_low(reader, p), falls = ranks_high(reader, p);
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
