/* read_interval.c - the time from one date of a row to another: "days between order and delivery", "how long does it take from … to …". */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* What happens at a date, as a noun, and what such columns are called. */
static const char *const nouns[][2] = {{"order", "order ordered created placed"},
                                       {"ordering", "order ordered placed"},
                                       {"purchase", "purchase purchased order"},
                                       {"delivery", "delivered delivery"},
                                       {"arrival", "arrived arrival arrives"},
                                       {"departure", "departed departure departs"},
                                       {"dispatch", "dispatched shipped"},
                                       {"shipment", "shipped ship"},
                                       {"shipping", "shipped ship"},
                                       {"payment", "paid payment"},
                                       {"submission", "submitted submission"},
                                       {"application", "applied application submitted"},
                                       {"decision", "decided decision"},
                                       {"approval", "approved approval"},
                                       {"rejection", "rejected"},
                                       {"completion", "completed finished"},
                                       {"resolution", "resolved solved closed"},
                                       {"closing", "closed"},
                                       {"closure", "closed"},
                                       {"opening", "opened"},
                                       {"creation", "created"},
                                       {"publication", "published"},
                                       {"registration", "registered signup"},
                                       {"admission", "admitted admission"},
                                       {"discharge", "discharged discharge"},
                                       {"booking", "booked created"},
                                       {"reservation", "reserved booked created"},
                                       {"request", "requested created"},
                                       {"report", "reported"},
                                       {"reporting", "reported"},
                                       {"pickup", "picked pickup"},
                                       {"return", "returned return"},
                                       {"issue", "issued issue"},
                                       {"issuing", "issued"},
                                       {"start", "started start starts"},
                                       {"end", "ended end ends"},
                                       {"release", "released release"},
                                       {"assignment", "assigned"},
                                       {"inspection", "inspected performed"},
                                       {"hire", "hired hire"},
                                       {"hiring", "hired hire"},
                                       {"posting", "posted"}};

static const char *columns_of(const struct reader *reader, size_t at) {
  for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++)
    if (token_is(reader, at, nouns[i][0])) return nouns[i][1];
  return NULL;
}

/* A date of the table, by its column's name or by what happened. The tokens; 0: none. */
static size_t date_said(struct reader *reader, size_t at, size_t table, struct place *ret_place) {
  const struct mention *mention = mention_at(reader, at);
  const char *doubt = reader->study->doubt, *columns = columns_of(reader, at);
  for (size_t i = 0; mention && i < mention->count; i++) {
    const struct link *link = &mention->links[i];
    if (link->kind != LINK_COLUMN || link->table != table || link->score < 0.9 || !column_temporal(link->column)) continue;
    *ret_place = (struct place){.table = table, .column = link->column};
    return mention->to - at;
  }
  bool found = columns && find_concept(reader, table, columns, WANT_DATE, ret_place);
  reader->study->doubt = doubt;
  return found ? 1 + (token_is(reader, at + 1, "date|time") ? 1 : 0) : 0;
}

/* "order to delivery": both dates of one table. */
static size_t both_dates(struct reader *reader, size_t at, size_t table, struct place *from, struct place *until) {
  size_t n = date_said(reader, skip_glue(reader, at), table, from), p = skip_glue(reader, at) + n;
  if (!n || !token_is(reader, p, "and|to|until|till")) return 0;
  size_t q = skip_glue(reader, p + 1), m = date_said(reader, q, table, until);
  return m && from->column != until->column ? q + m - at : 0;
}

/* The one table that has both: the subject, or another. */
static size_t dates_of_any(struct reader *reader, size_t at, struct place *from, struct place *until) {
  size_t subject = reader->out->subject, n = subject == NO_TABLE ? 0 : both_dates(reader, at, subject, from, until), found = 0;
  struct place a, b;
  for (size_t t = 0; !n && t < reader->study->snapshot->table_count; t++) {
    const struct snap_table *table = study_table(reader->study, t);
    if (t == subject || !table_readable(table) || table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW) continue;
    size_t m = both_dates(reader, at, t, &a, &b);
    if (!m) continue;
    if (found) return 0;
    found = m, *from = a, *until = b;
  }
  return n ? n : found;
}

size_t read_happenings(struct reader *reader, size_t at, struct measure *ret) {
  struct place from, *until = ARENA_NEW(reader->study->arena, struct place);
  size_t n = until ? dates_of_any(reader, at, &from, until) : 0;
  if (!n) return 0;
  *ret = (struct measure){.of = from, .until = until};
  return n + study_phrase(reader->study, at + n, "in days");
}

/* "how long does it take from submission to decision": on the average. */
size_t rule_taking(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = study_phrase(study, at, "how long|how many days|how much time"), p = at + n;
  if (!n || reader->out->item_count) return 0;
  p += study_phrase(study, p,
                    "does it take|did it take|does it usually take|does it typically take|do we take|does it take us|is it|passes|pass|go "
                    "by|lie|are there");
  size_t middle = study_phrase(study, p, "on average|on the average|in average|typically|usually");
  p += middle;
  if (p == at + n || !token_is(reader, p, "from|between")) return 0;
  struct measure measure;
  size_t m = read_happenings(reader, p + 1, &measure);
  if (!m) return 0;
  measure.kind = MEASURE_AVG;
  if (!add_item(reader, measure)) return 0;
  reader->out->listed = false;
  reader->out->subject = measure.of.table;
  for (size_t i = 0; i < study->tokens.count; i++) /* "On average, how long" */
    for (size_t k = 0, said = study_phrase(study, i, "on average|on the average|in average|typically|usually"); k < said; k++)
      study->explained[i + k] = true;
  size_t end = p + 1 + m;
  return end + study_phrase(study, end, "on average|on the average") - at;
}
