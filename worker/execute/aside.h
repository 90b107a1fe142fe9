/* aside.h - long looks at the client's database, in a process of their own: reading a schema blocks for seconds, and we must be able to
 * stop within one. It is also what keeps a result that is already there safe from a crash while the schema is read again. */
#ifndef AUTODB_EXECUTE_ASIDE_H
#define AUTODB_EXECUTE_ASIDE_H

#include "worker/execute/execution.h"

/* Runs in the child; must not touch job->db. Its answer, a new reference, is what the parent gets. */
typedef enum status (*aside_fn)(struct execution *x, void *arg, json_t **ret_answer, struct error *err);
/* Failures of fn come back as they were. ERR_UNAVAILABLE when it takes longer or dies; code "JOB_CANCELLED" when told to stop. The answer
 * lives in the job's arena. */
MUST_CHECK enum status aside_run(struct execution *x, aside_fn fn, void *arg, int timeout_ms, json_t **ret_answer, struct error *err);

#endif
