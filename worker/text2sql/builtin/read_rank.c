/* read_rank.c - "the most orders", "top 5", "the most popular": which come first, and how many of them. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

#define ROWS_SAID_MAX 100000

bool ranks_low(const struct reader *reader, size_t at) {
  return token_is(reader, at, "lowest|smallest|least|fewest|minimum|shortest|worst|bottom");
}
bool ranks_high(const struct reader *reader, size_t at) {
  return token_is(reader, at, "highest|largest|biggest|greatest|most|maximum|top|best|longest|max");
}

/* How many rows are asked for at a place; 0: none are, or more than anybody reads. */
long rows_said(const struct reader *reader, size_t at) {
  const struct token *token = token_at(reader, at);
  return token->kind == TOKEN_NUMBER && token->number >= 1 && token->number <= ROWS_SAID_MAX ? (long)token->number : 0;
}

/* The table an adjective stands before, or the subject. */
size_t ranked_table(struct reader *reader, size_t at, size_t *ret_noun) {
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

void set_limit(struct reader *reader, size_t noun) {
  if (reader->out->limit) return;
  if (noun < TOKENS_MAX && words_plural(token_lower(reader, noun)) && reader->out->limit == 0) {
    study_note(reader->study, "How many was not said: only the first is shown.");
  }
  reader->out->limit = 1;
}

/* "each category's most expensive product", "the cheapest product in each category" */
bool per_group(struct reader *reader, size_t at) {
  for (size_t i = at; i < reader->study->tokens.count; i++)
    if (study_phrase(reader->study, i,
                     "in each|for each|per|of each|in every|for every|of every|within each|from each|at each|on each|each|every"))
      return true;
  return reader->out->group_count > 0;
}

/* What "spent the most" or "ordered the most" is about: the verb before. */
static bool by_last_verb(struct reader *reader, struct measure *ret) {
  const struct mention *verb = reader->last_verb;
  if (!verb) return false;
  struct place place;
  if (mention_best(verb, LINK_COLUMN) && settle_column(reader, verb, WANT_NUMBER, &place) &&
      !named_by(reader->study, place.column, (const char *const[]){"year", "id", "number", "code", NULL})) {
    *ret = (struct measure){.kind = place.table == reader->out->subject ? MEASURE_NONE : MEASURE_SUM, .of = place};
    return true;
  }
  return false;
}

/* "has booked the most classes": of what was done, where each such row is about one of them. */
static bool count_of_verb(const struct reader *reader, size_t verb, size_t table, struct measure *ret) {
  const struct mention *said = mention_at(reader, verb);
  const struct link *done = mention_best(said, LINK_TABLE);
  if (!done || !said->verb || said->to != verb + 1 || done->table == table || done->table == reader->out->subject) return false;
  if (!study_belongs(reader->study, done->table, table) || !study_belongs(reader->study, done->table, reader->out->subject)) return false;
  *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = done->table};
  return true;
}

/* "closed the most sales": so many of them, whatever they came to. */
static size_t count_of_done(struct reader *reader, size_t at, struct measure *ret) {
  const struct mention *mention = mention_at(reader, at);
  const struct link *table = mention_best(mention, LINK_TABLE);
  size_t verb = at;
  while (verb > 0 && token_is(reader, verb - 1, "the|most|fewest|least")) verb--;
  if (!table || table->table == reader->out->subject || !says_table(reader->study, mention, table->table) || verb == at || verb == 0)
    return 0;
  if (count_of_verb(reader, verb - 1, table->table, ret)) return mention->to - at;
  if (!token_is(reader, verb - 1, "closed|completed|handled|finished|recorded|processed|cancelled|canceled")) return 0;
  *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = table->table};
  return mention->to - at;
}

/* Ratings and grades: nobody adds them up. */
static bool averaged(const struct study *study, const struct snap_column *column) {
  return named_by(study, column, (const char *const[]){"rating", "score", "grade", "star", "gpa", "rate", "satisfact", NULL});
}

/* Each row asked for has one such number: its own, or that of the one row it belongs to. */
static bool rows_own(const struct reader *reader, struct place place) {
  const struct reading *out = reader->out;
  if (place.table == out->subject) return true;
  return wants_rows(reader) && !out->group_count && study_belongs(reader->study, out->subject, place.table);
}

/* A column, count or sum that rows are ranked by. */
size_t ranking_measure(struct reader *reader, size_t at, bool count, bool falling, struct measure *ret) {
  struct study *study = reader->study;
  size_t done = count ? count_of_done(reader, at, ret) : 0;
  if (done) return done;
  size_t n = read_measure(reader, at, ret), p = skip_glue(reader, at);
  bool counts = study_phrase(study, at, "number of|the number of");
  bool each =
      n && counts && ret->kind == MEASURE_SUM && ret->of.table == reader->out->subject && wants_rows(reader) && !reader->out->group_count;
  if (each) ret->kind = MEASURE_NONE; /* "who has the greatest number of points": each has one */
  if (n || study->doubt) return n;
  const struct mention *mention = mention_at(reader, p);
  const struct link *table = mention_best(mention, LINK_TABLE), *column = mention_best(mention, LINK_COLUMN);
  struct place place;
  bool said = column && column->score >= 0.95 && table && table->score < 0.9; /* "rating": no reviews to count */
  if (mention && table && !said && (!column || table->score > column->score + 0.05 || count) && !mention->verb) {
    const struct mention *next = mention_at(reader, mention->to);
    if (next && mention_best(next, LINK_COLUMN) && !next->verb && settle_column(reader, next, WANT_MEASURABLE, &place)) {
      *ret = (struct measure){.of = place, .kind = rows_own(reader, place) ? MEASURE_NONE : falling ? MEASURE_MAX : MEASURE_MIN};
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
  bool year = named_by(study, place.column, (const char *const[]){"year", NULL}) && place.table != reader->out->subject;
  if (count && (column_temporal(place.column) || year) && words_plural(token_lower(reader, p))) { /* "the most bookings", of booked_at */
    *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = place.table};
    return mention->to - at;
  }
  bool own = rows_own(reader, place);
  enum measure_kind all = averaged(study, place.column) ? MEASURE_AVG : MEASURE_SUM;
  *ret = (struct measure){.kind = own ? MEASURE_NONE : count ? all : falling ? MEASURE_MAX : MEASURE_MIN, .of = place};
  return mention->to - at;
}

/* "in the stadium with the", before a superlative: a row above those asked for. NULL: none. */
static const struct mention *parent_before(const struct reader *reader, size_t at) {
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "the|with|having|that|which|has|had|have|who")) p--;
  for (size_t back = 1; p < at && back <= 3 && back <= p; back++) {
    const struct mention *mention = mention_at(reader, p - back);
    const struct link *table = mention_best(mention, LINK_TABLE);
    if (!mention || mention->to != p) continue;
    bool of = p > back && token_is(reader, mention->from - 1, "the|a|in|of|from|by|at|for|with");
    return table && !mention->verb && of && table->table != reader->out->subject ? mention : NULL;
  }
  return NULL;
}

/* "the most completed appointments", or what they are worth: the rows stand behind what is said of them, which is a condition. */
static bool rank_by_kind(struct reader *reader, size_t at, bool worth, bool falling, long count) {
  const struct mention *kind = mention_at(reader, at), *rows = kind ? mention_at(reader, kind->to) : NULL;
  bool told = mention_best(kind, LINK_VALUE) || mention_best(kind, LINK_FLAG);
  if (!told || !mention_best(rows, LINK_TABLE) || rows->verb || !wants_rows(reader)) return false;
  size_t which = settle_table(reader, rows);
  if (which == NO_TABLE || which == reader->out->subject) return false;
  struct measure by = {.kind = MEASURE_COUNT, .of.table = which};
  if (worth && !find_worth(reader, which, &by)) return false;
  if (count) reader->out->limit = count;
  add_key(reader, by, falling);
  set_limit(reader, TOKENS_MAX);
  reader->last_table = which;
  reader->study->mentioned[which] = true;
  return true;
}

/* "which warehouse ships the most", "gets booked the most": by how many rows there are of what the verb says. */
static bool by_done(struct reader *reader, size_t at, struct measure *ret) {
  size_t p = at, n = reader->study->tokens.count;
  while (p > 0 && token_is(reader, p - 1, "the")) p--;
  bool end = at + 1 >= n || token_is(reader, at + 1, "?|.|in|during|this|last|since") ||
             dates_read(&reader->study->tokens, at + 1, reader->study->arena, &(struct date_range){0});
  const struct mention *verb = p > 0 ? mention_at(reader, p - 1) : NULL;
  const struct link *done = mention_best(verb, LINK_TABLE);
  if (!end || !done || !verb->verb || verb->to != p || done->table == reader->out->subject) return false;
  *ret = (struct measure){.kind = MEASURE_COUNT, .of.table = done->table};
  return true;
}

static bool only_sums(const struct reading *out) {
  for (size_t i = 0; i < out->item_count; i++)
    if (out->items[i].kind != MEASURE_SUM || !out->items[i].of.column || out->items[i].of.table != out->subject) return false;
  return out->item_count > 0;
}

/* "of the gymnast with the", before a superlative: one row of those asked for. */
static bool of_the_one(const struct reader *reader, size_t at) {
  size_t p = at;
  while (p > 0 && token_is(reader, p - 1, "the|with|having|that|which|has|had|who")) p--;
  for (size_t back = 1; p < at && back <= 3 && back <= p; back++) {
    const struct mention *rows = mention_at(reader, p - back);
    if (!rows || rows->to != p) continue;
    const struct link *table = mention_best(rows, LINK_TABLE);
    return table && table->table == reader->out->subject && !words_plural(token_lower(reader, rows->to - 1));
  }
  return false;
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
  if (!n && counting && rank_by_kind(reader, p, false, falling, count)) return p - at;
  size_t of = n || counting ? 0 : study_phrase(study, p, "number of|count of"); /* "the highest number of active members" */
  if (of && rank_by_kind(reader, p + of, false, falling, count)) return p + of - at;
  if (!n && !(counting && (by_last_verb(reader, &by) || by_money(reader, at, &by) || by_use(reader, at, &by) || by_done(reader, at, &by))))
    return 0;
  if (study->doubt) return 0;
  if (n && !wants_rows(reader) && (reader->out->group_count || by.of.table == reader->out->subject) && !reader->timed &&
      by.kind == MEASURE_SUM && by.of.column &&
      study_phrase(study, p, "number of|amount of")) { /* "for each maker the largest number of seats" */
    by.kind = falling ? MEASURE_MAX : MEASURE_MIN;
  }
  if (reader->timed && by.kind == MEASURE_NONE && !by.term && !by.until) { /* "the day with the most hours", "the highest rate" */
    bool sum = counting && by.of.column && additive(study, by.of.column);
    by.kind = sum ? MEASURE_SUM : falling ? MEASURE_MAX : MEASURE_MIN;
  }
  const struct mention *whose = parent_before(reader, at);
  if (n && !counting && !count && whose && by.of.column && by.of.table == mention_best(whose, LINK_TABLE)->table && !by.term && !by.until)
    return of_extreme_parent(reader, by.of, falling, at) ? p + n - at : 0;
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
  if (n && only_sums(reader->out) && of_the_one(reader, at) &&
      (by.of.table == reader->out->subject || study_belongs(study, reader->out->subject, by.of.table)) && by.of.column) {
    by.kind = MEASURE_NONE; /* "the total points of the gymnast with the lowest age" */
    reader->out->limit = 1;
    return add_key(reader, by, falling) ? p + n - at : 0;
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
  size_t well = study_phrase(study, at + 2, "best selling|top selling|best performing|top performing|highest grossing");
  for (size_t i = at + 2; well && i < study->tokens.count; i++) /* "top 5 best selling models by revenue": the same said twice */
    if (study_phrase(study, i, "by|in terms of|based on") && (reader->top_falling = true)) return 2 + well;
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
  size_t total = study_phrase(study, p + skip, "total|total amount of|the total amount of"); /* "by total successful payments" */
  if (total && rank_by_kind(reader, p + skip + total, true, skip ? !rising : reader->top_falling, 0)) {
    reader->top = false;
    return p + skip + total - at;
  }
  size_t m = ranking_measure(reader, p + skip, counting || !skip, !rising, &by);
  size_t of = m ? 0 : study_phrase(study, p + skip, "number of|count of|the number of");
  if (of && !study->doubt && rank_by_kind(reader, p + skip + of, false, skip ? !rising : reader->top_falling, 0)) {
    reader->top = false;
    return p + skip + of - at;
  }
  if (!m) return 0;
  if (by.kind == MEASURE_MAX && !skip) by.kind = MEASURE_SUM;
  add_key(reader, by, skip ? !rising : reader->top_falling);
  if (!wants_rows(reader)) reader->out->listed = true;
  reader->top = false;
  return p + skip + m - at;
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
  if (token_is(reader, at, "highest|lowest") && settle_table(reader, next) == reader->out->subject &&
      find_concept(reader, reader->out->subject, "elevation altitude height", WANT_NUMBER, &place)) { /* "the highest mountain" */
    add_key(reader, (struct measure){.of = place}, falling);
    reader->out->listed = true;
    set_limit(reader, next->to - 1);
    return 1;
  }
  bool by = false;
  for (size_t i = next->to; i < study->tokens.count && i < next->to + 6; i++) by |= study_phrase(study, i, "by|in terms of|based on") > 0;
  if (!by || reader->out->key_count) return 0;
  reader->top = true;
  reader->top_falling = falling;
  if (!reader->out->limit) reader->out->limit = 1;
  return 1;
}

/* "whose population is the largest": the column stands before. */
static size_t rank_behind(struct reader *reader, size_t at) {
  const struct mention *mention = mention_at(reader, at);
  struct place place;
  if (!mention || mention->verb || !mention_best(mention, LINK_COLUMN) || !wants_rows(reader)) return 0;
  size_t p = mention->to, is = study_phrase(reader->study, p, "is the|are the|was the|is|are");
  bool falling = ranks_high(reader, p + is);
  if (!is || (!falling && !ranks_low(reader, p + is)) || mention_at(reader, p + is + 1)) return 0;
  if (!settle_column(reader, mention, WANT_NUMBER, &place) || place.table != reader->out->subject) return 0;
  add_key(reader, (struct measure){.of = place}, falling);
  set_limit(reader, TOKENS_MAX);
  return p + is + 1 - at;
}

/* "second highest salary": the extreme becomes a place in a row of values. */
static bool nth_extreme(struct reader *reader) {
  struct reading *out = reader->out;
  struct measure *item = out->item_count == 1 ? &out->items[0] : NULL;
  if (!item || (item->kind != MEASURE_MAX && item->kind != MEASURE_MIN) || out->group_count) return false;
  bool falling = item->kind == MEASURE_MAX;
  item->kind = MEASURE_NONE;
  out->distinct = true;
  out->limit = 1;
  return add_key(reader, *item, falling) != NULL;
}

/* "Which branch opened first?": by the date that the verb is about. */
static size_t rank_by_when(struct reader *reader, size_t at) {
  size_t first = study_phrase(reader->study, at, "first|earliest"), last = study_phrase(reader->study, at, "most recently|last|latest"),
         n = first + last;
  bool end = at + n >= reader->study->tokens.count || token_is(reader, at + n, "?|.");
  struct place place;
  if (!n || !end || at == 0 || !wants_rows(reader) || reader->out->key_count || !date_by_verb(reader, at, reader->out->subject, &place))
    return 0;
  if (!participle_like(token_lower(reader, at - 1)) && !reader->study->explained[at - 1]) return 0;
  reader->study->explained[at - 1] = true;
  add_key(reader, (struct measure){.of = place}, last != 0);
  set_limit(reader, TOKENS_MAX);
  return n;
}

size_t rule_superlative(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  if (at > 0 && token_is(reader, at - 1, "at") && token_is(reader, at, "least|most")) return 0; /* "at least 2" */
  size_t behind = rank_behind(reader, at);
  if (behind || study->doubt || (behind = rank_by_when(reader, at))) return behind;
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
  bool falling = ranks_high(reader, at + skip), rising = ranks_low(reader, at + skip);
  const struct mention *mention = mention_at(reader, at + skip);
  if (!n && !study->doubt && (falling || rising) && !(mention && mention->to > at + skip + 1)) n = rank_by_noun(reader, at + skip, falling);
  if (!n && !study->doubt) n = rank_plainly(reader, at + skip, falling, rising);
  if (!n || study->doubt) return 0;
  if (nth) {
    if (!reader->out->key_count && !nth_extreme(reader)) return 0;
    reader->out->offset = token_is(reader, at, "third") ? 2 : 1;
  }
  return n + skip;
}
