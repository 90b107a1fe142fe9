/* read_order.c - "sorted by", "newest first": in which order rows are listed. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

static bool direction_at(const struct reader *reader, size_t at, size_t *ret_taken, bool *ret_falling) {
  struct study *study = reader->study;
  static const char falls[] =
      "in descending order|descending order|descending|desc|from highest to lowest|from high to low|highest "
      "first|largest on top|highest on top|best to worst|most to least|highest to lowest|largest first|biggest "
      "first|from largest to smallest|best first|from best to "
      "worst|from most to least|from most "
      "expensive to cheapest|newest first|latest first|most recent first|most expensive first|"
      "in reverse order|in reversed lexicographical order|in reverse lexicographical order|reversed lexicographical order|in descending "
      "alphabetical order|most first|most frequent first|most common first|largest to smallest|high to low|from newest to oldest|newest to "
      "oldest|z to "
      "a|in reverse alphabetical order|in decreasing order|decreasing|from z to a";
  static const char rises[] =
      "in ascending order|ascending order|ascending|asc|from lowest to highest|from low to high|lowest first|lowest to highest|worst "
      "first|from worst to best|worst to best|least to most|smallest "
      "first|from smallest to largest|from least to most|from cheapest to most expensive|oldest first|earliest first|cheapest first|fewest "
      "first|least frequent first|least common first|smallest to largest|low to high|from oldest to newest|oldest to newest|a to z|from a "
      "to z|in increasing order|increasing|in "
      "ascending alphabetical order|ascending alphabetical order|in lexicographical order|lexicographically|in alphabetical "
      "order|alphabetically|in chronological order|chronologically";
  while (token_is(reader, at, "in|,|(|and") && !study_phrase(study, at, falls) && !study_phrase(study, at, rises) && *ret_taken < 2)
    at++, ++*ret_taken;
  size_t n = study_phrase(study, at, falls);
  *ret_falling = n != 0;
  if (!n) n = study_phrase(study, at, rises);
  *ret_taken = n ? *ret_taken + n : 0;
  return n != 0;
}

static size_t lead_in(const struct reader *reader, size_t at) {
  size_t n = 0;
  while (token_is(reader, at + n, ",|(|and")) n++;
  return n;
}

/* "cheapest first", "from oldest to youngest": what the adjective ranks by. The tokens taken. */
static size_t adjective_first(struct reader *reader, size_t at, struct place *ret_place, bool *ret_falling) {
  size_t p = at + lead_in(reader, at), from = study_phrase(reader->study, p, "from the|from|the");
  size_t turn = study_phrase(reader->study, p + from, "most to|least to"); /* "from most to least expensive" */
  size_t n = adjective_ranks(reader, p + from + turn, reader->out->subject, ret_place, ret_falling);
  if (turn) *ret_falling = !*ret_falling;
  if (turn) return n ? p + from + turn + n - at : 0;
  if (!n) return 0;
  p += from + n;
  if (token_is(reader, p, "first")) return p + 1 - at;
  struct place other;
  bool turned;
  size_t to = study_phrase(reader->study, p, "to the|to");
  size_t m = to ? adjective_ranks(reader, p + to, reader->out->subject, &other, &turned) : 0;
  return m && other.column == ret_place->column && turned != *ret_falling ? p + to + m - at : 0;
}

static const char alphabetical[] =
    "alphabetically|in alphabetical order|in reverse alphabetical order|a to z|from a to z|z to a|from z to a|in ascending alphabetical "
    "order|"
    "in descending alphabetical order|lexicographically|in lexicographical order|in reverse lexicographical order|"
    "in reversed lexicographical order";

static bool implied_column(struct reader *reader, size_t at, struct place *ret_place) {
  struct study *study = reader->study;
  size_t table = reader->out->subject;
  if (study_phrase(study, at, alphabetical)) {
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

/* "ordered by price" where the average price is listed. */
static struct measure as_listed(const struct reading *out, struct measure by) {
  for (size_t i = 0; by.kind == MEASURE_NONE && i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE && out->items[i].of.column && out->items[i].of.column == by.of.column) return out->items[i];
  return by;
}

/* Where "sorted by" or its like stands: the words it takes; 0: nowhere here. */
static size_t order_words(const struct reader *reader, size_t at) {
  const struct study *study = reader->study;
  size_t taken = 0;
  bool falling;
  bool turned = token_is(reader, at, "and|,") && direction_at(reader, at + 1, &taken, &falling); /* ", newest first": no key more */
  if (reader->ordering && token_is(reader, at, "and|,|then") && !reader->top && !turned) {       /* "by name and then by age" */
    if (!token_is(reader, at, "then")) return study_phrase(study, at, "and then by|, then by|and by|and then|and|,");
    return token_is(reader, at + 1, "by") ? 2 : 1;
  }
  size_t n = study_phrase(study, at,
                          "sorted by|sort by|sort them by|sort the results by|ordered by|order by|order them by|order the results "
                          "by|sorting by|ordering by|arranged by|ranked by|rank by|rank them by|sort it by|in order of|sorted in order "
                          "of|sorted|ordered|sort|order the results|arranged|listed|ranked|rank");
  return reader->top && study_phrase(study, at, "ranked by|ordered by|sorted by") ? 0 : n;
}

/* "by join date, most recent first": the direction of what is ordered by already. */
static void order_by_place(struct reader *reader, struct place place, bool falling) {
  struct key *last = reader->out->key_count ? &reader->out->keys[reader->out->key_count - 1] : NULL;
  if (last && last->by.of.column == place.column)
    last->falling = falling;
  else
    add_key(reader, (struct measure){.of = place}, falling);
}

/* The one number that is listed beside groups or rows; NULL: none, or several. */
static const struct measure *only_number(const struct reading *out) {
  const struct measure *found = NULL;
  for (size_t i = 0; i < out->item_count; i++) {
    bool number =
        out->items[i].kind != MEASURE_NONE || out->items[i].term || (out->items[i].of.column && column_numeric(out->items[i].of.column));
    if (number && found) return NULL;
    if (number) found = &out->items[i];
  }
  return found;
}

/* "date", or a count that is in the list; a stretch of time is in order anyway, and ret_by stays as it is. */
static size_t order_by_word(struct reader *reader, size_t at, struct measure *ret_by) {
  const struct reading *out = reader->out;
  struct place place;
  if (token_is(reader, at, "date|time") && settle_date(reader, 0, out->subject, &place)) {
    *ret_by = (struct measure){.of = place};
    return 1;
  }
  if (!token_is(reader, at, "count|total|number|average|sum|amount")) return 0;
  size_t found = 0;
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_NONE) *ret_by = out->items[i], found = 1;
  return found;
}

/* "sorted by category": by the name of the one row that each belongs to. */
static size_t order_by_parent(struct reader *reader, const struct mention *mention, struct measure *ret_by) {
  struct study *study = reader->study;
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  const struct snap_column *display[2];
  if (!table || mention->verb || words_plural(token_lower(reader, mention->to - 1)) || table->table == reader->out->subject) return 0;
  if (column && column->table == reader->out->subject && column->score >= table->score &&
      !column_key(study_table(study, column->table), column->column))
    return 0;
  if (!study_belongs(study, reader->out->subject, table->table)) return 0;
  size_t shown = study_display(study, table->table, display);
  if (!shown) return 0;
  *ret_by = (struct measure){.of = {table->table, display[shown - 1], NULL}};
  return mention->to - mention->from;
}

/* "by the students' last names": a text of the rows that stand before. */
static size_t order_by_owned(struct reader *reader, const struct mention *owner, struct measure *ret_by) {
  const struct mention *next = owner && !owner->verb && mention_best(owner, LINK_TABLE) ? mention_at(reader, owner->to) : NULL;
  const struct link *column = mention_best(next, LINK_COLUMN);
  const char *doubt = reader->study->doubt;
  struct place place;
  if (!column || next->verb || column->score < 0.9) return 0;
  bool own = settle_column(reader, next, WANT_TEXT, &place) && place.table == mention_best(owner, LINK_TABLE)->table;
  reader->study->doubt = doubt;
  if (!own) return 0;
  *ret_by = (struct measure){.of = place};
  return next->to - owner->from;
}

/* What follows "sorted by". */
static size_t order_measure(struct reader *reader, size_t at, struct measure *ret_by) {
  struct study *study = reader->study;
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  size_t of = study_phrase(study, at, "amount of|amounts of"); /* "by amount of money requested" */
  const struct mention *amount = of ? mention_at(reader, skip_glue(reader, at + of)) : NULL;
  if (amount && mention_best(amount, LINK_COLUMN) && mention_best(amount, LINK_COLUMN)->score >= 0.9 &&
      settle_column(reader, amount, WANT_NUMBER, &place)) {
    *ret_by = (struct measure){.of = place};
    return amount->to - at;
  }
  if (study->doubt) return 0;
  size_t n = order_by_owned(reader, mention, ret_by);
  if (!n) n = order_by_parent(reader, mention, ret_by);
  if (!n) n = ranking_measure(reader, at, true, true, ret_by);
  if (study->doubt) return 0;
  bool own = ret_by->of.table == reader->out->subject || !token_is(reader, at, "total|sum|combined");
  if (n && ret_by->kind == MEASURE_SUM && own && mention_best(mention, LINK_COLUMN) && wants_rows(reader) && !reader->out->group_count)
    ret_by->kind = MEASURE_NONE;
  if (n) return n;
  if (mention_best(mention, LINK_COLUMN) && settle_column(reader, mention, WANT_ANY, &place)) {
    *ret_by = (struct measure){.of = place};
    return mention->to - at;
  }
  return study->doubt ? 0 : order_by_word(reader, at, ret_by);
}

/* "newest first", "from highest to lowest price", without a "sorted by". */
static size_t direction_alone(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t taken = 0, lead = 0;
  bool falling;
  struct place place;
  if (reader->top) return 0;
  struct key *before = reader->out->key_count ? &reader->out->keys[reader->out->key_count - 1] : NULL;
  if ((taken = adjective_first(reader, at, &place, &falling)) && before && before->by.of.column == place.column) {
    before->falling = falling; /* "by price, cheapest first" */
    return taken;
  }
  if (taken || study->doubt) {
    if (taken) add_key(reader, as_listed(reader->out, (struct measure){.of = place}), falling);
    return taken;
  }
  if (!direction_at(reader, at, &taken, &falling)) return 0;
  struct key *last = reader->ordering && reader->out->key_count ? &reader->out->keys[reader->out->key_count - 1] : NULL;
  if (last && last->by.of.column && column_temporal(last->by.of.column)) { /* "by hire date, newest first" */
    last->falling = falling;
    return taken;
  }
  if (reader->ordering && reader->out->key_count && !implied_column(reader, at, &place)) {
    reader->out->keys[reader->out->key_count - 1].falling = falling;
    return taken;
  }
  struct measure by;
  size_t of = token_is(reader, at + taken, "of|by") ? skip_glue(reader, at + taken + 1) : 0; /* "in ascending order of age" */
  size_t m = of ? order_measure(reader, of, &by) : 0;
  if (m) {
    add_key(reader, as_listed(reader->out, by), falling);
    reader->ordering = true;
    return of + m - at;
  }
  if (study->doubt) return 0;
  const struct mention *named = mention_at(reader, at + taken);
  if (study_phrase(study, at, "from") && named && !named->verb && mention_best(named, LINK_COLUMN) &&
      settle_column(reader, named, WANT_MEASURABLE, &place)) {
    add_key(reader, (struct measure){.of = place}, falling);
    return named->to - at;
  }
  if (study->doubt) return 0;
  while (lead < taken && !implied_column(reader, at + lead, &place)) lead++;
  if (study->doubt) return 0;
  const struct measure *number = only_number(reader->out);
  if (lead < taken)
    order_by_place(reader, place, falling);
  else if (number) /* "orders per status, highest first" */
    add_key(reader, *number, falling);
  bool often = !number && reader->out->group_count && !reader->out->item_count && reader->out->subject != NO_TABLE &&
               study_phrase(study, at + lead_in(reader, at), "most frequent|most common|least frequent|least common");
  if (often) /* "claims by cause, most frequent first" */
    add_key(reader, (struct measure){.kind = MEASURE_COUNT, .of.table = reader->out->subject}, falling);
  return lead < taken || number || often ? taken : 0;
}

/* "sorted in ascending order": by the number beside groups, or the one column that is listed. */
static bool order_alone(struct reader *reader, bool falling) {
  const struct reading *out = reader->out;
  const struct measure *by = only_number(out);
  if (out->key_count) return false;
  if (!by && out->item_count == 1 && out->items[0].kind == MEASURE_NONE) by = &out->items[0];
  return by && add_key(reader, *by, falling) != NULL;
}

/* A direction before what is ordered by: "descending order of", "the highest". The tokens taken. */
static size_t direction_before(const struct reader *reader, size_t at, bool *ret_falling) {
  size_t taken = 0;
  if (direction_at(reader, at, &taken, ret_falling) && token_is(reader, at + taken, "by|of")) return taken + 1;
  *ret_falling = ranks_high(reader, at);
  return ranks_low(reader, at) || *ret_falling ? 1 : 0;
}

size_t rule_order(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = order_words(reader, at), taken = 0;
  if (!n) return direction_alone(reader, at);
  bool falling = false, end_falling;
  struct place place;
  if (direction_at(reader, at + n, &taken, &falling) && implied_column(reader, at + n, &place)) {
    order_by_place(reader, place, falling);
    return n + taken;
  }
  if (study->doubt) return 0;
  if (token_is(reader, at, "ordered|sorted|sort|listed|arranged|ranked|rank") && n == 1 && !taken)
    return at == 0 ? 1 : 0; /* "sort names by age" */
  size_t p = at + n + taken;
  if (taken) /* "sorted in descending order by price" */
    p = skip_glue(reader, p + (token_is(reader, p, "by|of") ? 1 : 0));
  else if ((p = skip_glue(reader, p)))
    p += direction_before(reader, p, &falling);
  struct measure by;
  size_t m = order_measure(reader, p, &by), after = 0;
  if (study->doubt) return 0;
  bool alone = taken && !token_is(reader, at + n + taken, "by|of");
  if (!m && alone && order_alone(reader, falling)) return n + taken;
  reader->ordering |= m != 0;
  if (!m && dates_unit(token_lower(reader, p)) != UNIT_NONE && reader->out->group_count) { /* in order anyway */
    reader->ordering = true;
    return p + 1 - at;
  }
  if (!m) return 0;
  if (direction_at(reader, p + m, &after, &end_falling))
    falling = end_falling;
  else
    after = 0;
  add_key(reader, as_listed(reader->out, by), falling);
  return p + m + after - at;
}
