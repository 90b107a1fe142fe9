/* jobview.h - a job as clients see it (contract section 2). */
#ifndef AUTODB_API_JOBVIEW_H
#define AUTODB_API_JOBVIEW_H

#include <libpq-fe.h>

#include "common/buf.h"
#include "common/id.h"

/* Times as the contract writes them. */
#define SQL_TIME(expr) "to_char((" expr ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* The columns jobview_put reads, of `jobs j LEFT JOIN results r`; JOBVIEW_COLUMNS of them. `result` is an expression. */
#define JOBVIEW_SELECT(result)                                                                                                      \
  "j.id, j.kind, j.state, j.lane, j.connection_id, j.attempt, j.max_attempts, j.progress, " SQL_TIME("j.created_at") ", " SQL_TIME( \
      "j.started_at") ", " SQL_TIME("j.finished_at") ", " result ", r.error, j.metadata"
#define JOBVIEW_COLUMNS 14

/* Appends the object; stored JSON goes in as it stands. */
void jobview_put(struct buf *out, const PGresult *res, int row);
bool jobview_ended(const PGresult *res, int row);
/* Did the job fail because its worker refused what the API had accepted (contract section 4: TOKEN_*, SCHEMA_DRIFT)? Then the refusal as
 * the API would have given it, with the job's id among the details. */
bool jobview_refusal(const PGresult *res, int row, struct error *ret_refusal);

struct jobview_new { /* a job as it was just committed */
  struct id id;
  const struct id *connection_id; /* NULL = none */
  const char *kind, *lane, *created_at, *metadata;
  int max_attempts;
};
void jobview_put_new(struct buf *out, const struct jobview_new *job);

#endif
