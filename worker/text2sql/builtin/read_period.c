/* read_period.c - stretches of time that a row has two dates of: what is valid then, what came late, what is overdue. */
#include <string.h>

#include "worker/text2sql/builtin/read.h"

/* The date of a row whose column says one of the words; NULL: none, or several. */
static const struct snap_column *date_named(const struct study *study, size_t table, const char *const *stems) {
  const struct snap_table *snap = study_table(study, table);
  const struct snap_column *found = NULL;
  for (size_t c = 0; c < snap->column_count; c++) {
    if (!column_temporal(&snap->columns[c]) || !named_by(study, &snap->columns[c], stems)) continue;
    if (found) return NULL;
    found = &snap->columns[c];
  }
  return found;
}

static const struct snap_column *due_date(const struct study *study, size_t table) {
  static const char *const said[] = {"due", "deadlin", NULL}, *const meant[] = {"promis", "requir",  "expect", "estim",
                                                                                "plan",   "schedul", NULL};
  const struct snap_column *due = date_named(study, table, said);
  return due ? due : date_named(study, table, meant);
}

/* When what was due was done: there when it was. */
static const struct snap_column *done_date(const struct study *study, size_t table) {
  static const char *const actual[] = {"actual", NULL};
  static const char *const done[] = {"deliv", "deliveri", "deliver", "return", "ship",   "paid", "complet", "close", "finish",
                                     "arriv", "receiv",   "resolv",  "submit", "handed", "pay",  "payment", NULL};
  const struct snap_column *date = date_named(study, table, actual);
  return date ? date : date_named(study, table, done);
}

static bool add_later(struct reader *reader, size_t at, size_t table, const struct snap_column *due, const struct snap_column *done) {
  struct place *other = ARENA_NEW(reader->study->arena, struct place);
  if (!other) return false;
  *other = (struct place){.table = table, .column = due};
  struct filter filter = {.kind = FILTER_ROLE, .of = {.table = table, .column = done}, .op = ">", .until = other};
  return add_filter(reader, filter, at) != NULL;
}

static bool add_overdue(struct reader *reader, size_t at, size_t table, const struct snap_column *due, const struct snap_column *done) {
  struct date_range range = {.to = "CURRENT_DATE"};
  if (!add_filter(reader, (struct filter){.kind = FILTER_DATE, .of = {.table = table, .column = due}, .range = range}, at)) return false;
  return !done || add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = {.table = table, .column = done}}, at);
}

/* Whose lateness: of rows that a condition is on, else of those asked for. */
static size_t late_table(const struct reader *reader) {
  if (reader->branch) return reader->out->branches[reader->branch - 1].table;
  size_t last = reader->last_table;
  if (reader->where && last != NO_TABLE && due_date(reader->study, last)) return last;
  return reader->out->subject;
}

/* "late", "delivered after the due date", "overdue": the tokens. */
size_t rule_late(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t over = study_phrase(study, at,
                             "overdue|past due|past their due date|past the due date|past its due date|past their due dates|past their "
                             "deadline|past the deadline|past deadline"),
         late = over ? 0 : study_phrase(study, at, "late|too late|behind schedule");
  const struct mention *mention = mention_at(reader, at);
  if ((!over && !late) || mention_best(mention, LINK_VALUE) || mention_best(mention, LINK_FLAG) || reader->out->subject == NO_TABLE)
    return 0;
  size_t table = late_table(reader);
  const struct snap_column *due = due_date(study, table), *done = done_date(study, table);
  if (!due || due == done || negated_before(reader, at)) return 0;
  if (late && done) return add_later(reader, at, table, due, done) ? late : 0;
  if (!over) return 0;
  bool told = false; /* "open orders that are overdue": a state was said */
  for (size_t i = 0; i < reader->out->filter_count; i++) told |= reader->out->filters[i].kind == FILTER_IN;
  if (!done && !told) {
    study_doubt(study, NULL, "Overdue: how is it told what has been done by %s?", due->name);
    return 0;
  }
  return add_overdue(reader, at, table, due, done && !done->not_null ? done : NULL) ? over : 0;
}

/* The two ends of a row's stretch of time. */
static bool find_ends(const struct study *study, size_t table, const struct snap_column **ret_from, const struct snap_column **ret_to) {
  static const char *const begins[] = {"from", "start", "begin", "effect", "sinc", NULL}, *const ends[] = {"to",   "until",   "till",
                                                                                                           "end",  "expir",   "expiri",
                                                                                                           "thru", "through", NULL};
  *ret_from = date_named(study, table, begins);
  *ret_to = date_named(study, table, ends);
  return *ret_from && *ret_to && *ret_from != *ret_to;
}

/* "valid today", "in force on 1 May 2024": it had begun, and not ended. */
size_t rule_period(struct reader *reader, size_t at) {
  struct study *study = reader->study;
  size_t n = study_phrase(study, at, "valid|in force|in effect|effective|active|running|ongoing|under way"), p = at + n;
  struct date_range range;
  const struct snap_column *from, *to;
  size_t table = reader->out->subject;
  if (!n || table == NO_TABLE || mention_best(mention_at(reader, at), LINK_VALUE) || mention_best(mention_at(reader, at), LINK_FLAG))
    return 0;
  size_t dated = dates_read(&study->tokens, p, study->arena, &range);
  bool now = at > 0 && token_is(reader, at - 1, "currently|still");
  size_t today = dated ? 0 : study_phrase(study, p, "now|right now|at the moment|at present|currently");
  if (!dated && (now || today)) range = (struct date_range){.from = "CURRENT_DATE", .to = "CURRENT_DATE + 1"};
  if ((!dated && !now && !today) || !range.from || !range.to || !find_ends(study, table, &from, &to)) return 0;
  if (negated_before(reader, at)) {
    study_doubt(study, NULL, "Not %s: not yet, or no more?", study_words(study, at, p));
    return 0;
  }
  struct filter filter = {.kind = FILTER_DATE, .of = {.table = table, .column = from}, .range = {.to = range.to}};
  if (!add_filter(reader, filter, at)) return 0;
  filter.of.column = to;
  filter.range = (struct date_range){.from = range.from};
  if (!add_filter(reader, filter, at)) return 0;
  if (!to->not_null && !add_filter(reader, (struct filter){.kind = FILTER_NULL, .of = filter.of, .either = true}, at)) return 0;
  return n + dated + today;
}
