/* jobview.h - a job as clients see it (contract section 2). */
#ifndef AUTODB_API_JOBVIEW_H
#define AUTODB_API_JOBVIEW_H

#include <libpq-fe.h>

#include "common/buf.h"
#include "common/id.h"

/* Times as the contract writes them. */
#define SQL_TIME(expr) "to_char((" expr ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* The columns jobview_put reads; JOBVIEW_COLUMNS of them. `result` is an expression. A job is in the queue until its result is there. */
#define JOBVIEW_STATE "coalesce(r.state, q.state)"
#define JOBVIEW_SELECT(result)                                                                                                 \
  "j.id, j.kind, " JOBVIEW_STATE ", j.lane, j.connection_id, coalesce(r.attempt, q.attempt), j.max_attempts,"                  \
  " CASE WHEN r.job_id IS NULL THEN q.progress ELSE r.progress END, " SQL_TIME("j.created_at") ", " SQL_TIME(                  \
      "coalesce(r.started_at, q.started_at)") ", " SQL_TIME("r.created_at") ", " result                                        \
                                                                            ", r.error, j.metadata, " SQL_TIME(                \
                                                                                "CASE WHEN q.state = 'queued' AND q.run_at > " \
                                                                                "q.created_at THEN q.run_at ELSE j.run_at END")
#define JOBVIEW_COLUMNS 15
/* Where they come from; `bounds` limits r.job_id, so that only the days in question are looked into ("" where a list can't know). */
#define JOBVIEW_FROM(bounds) \
  "autodb.jobs j LEFT JOIN autodb.queue q ON q.id = j.id LEFT JOIN autodb.results r ON r.job_id = j.id" bounds " "

/* Appends the object; stored JSON goes in as it stands. */
void jobview_put(struct buf *out, const PGresult *res, int row);
/* The same with where the result is, for an answer that leaves it out; url NULL = without. */
void jobview_put_with_url(struct buf *out, const PGresult *res, int row, const char *url);
/* One member of the object by its name, as stored; NULL when it is null. */
const char *jobview_value(const PGresult *res, int row, const char *member);
bool jobview_ended(const PGresult *res, int row);
/* Did the job fail because its worker refused what the API had accepted (contract section 4: TOKEN_*, SCHEMA_DRIFT)? Then the refusal as
 * the API would have given it, with the job's id among the details. */
bool jobview_refusal(const PGresult *res, int row, struct error *ret_refusal);

struct jobview_new { /* a job as it was just committed */
  struct id id;
  const struct id *connection_id; /* NULL = none */
  const char *kind, *lane, *created_at, *metadata, *run_at;
  int max_attempts;
};
void jobview_put_new(struct buf *out, const struct jobview_new *job);

#endif
