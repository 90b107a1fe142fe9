/* agent.h - what a job handler gets and gives. Handlers run in a slot process, one job at a time, as plain blocking code. */
#ifndef AUTODB_AGENT_H
#define AUTODB_AGENT_H

#include <libpq-fe.h>

#include "common/arena.h"
#include "common/config.h"
#include "common/crypto.h"
#include "common/error.h"

struct job {
  const char *id; /* UUID text */
  const char *kind;
  const char *owner_id;
  const char *connection_id; /* NULL when the job has none */
  int attempt;               /* the fence: "id:attempt" is the idempotency token for outside effects */
  const json_t *payload;     /* as validated by the API, borrowed */
  struct arena *arena;       /* freed when the job ends */
  const struct config *cfg;
  const struct keyring *keyring;
  const char *keeper_socket; /* where warm sandboxes are to be had (sandbox/sandbox.h); NULL: start one */
  PGconn *db;                /* AutoDB's own database, connected; the slot reconnects between jobs when it broke */
  int park_ms;               /* set by job_park */
};

/* OK and a new reference in ret_result, or a failure: ERR_UNAVAILABLE is retried with backoff until max_attempts, every other
 * status is the job's lasting error. */
typedef enum status (*job_handler)(struct job *job, json_t **ret_result, struct error *err);

/* Shown while the job runs; cheap, may be called often (coalesced by the supervisor). message may be NULL. */
void job_progress(const struct job *job, int percent, const char *step, const char *message);

/* For a job that waits for others: the handler returns what this returns, and its slot is free. The job is queued again, at no cost to its
 * budget, and its next attempt begins when delay_ms are over, or somebody sets its run_at. */
MUST_CHECK enum status job_park(struct job *job, int delay_ms, struct error *err);

/* The handlers, one row each in worker/kinds.c. */
job_handler kind_handler(const char *kind); /* NULL: this worker can't run it */

#endif
