/* trial/step.h - the migration run for real, in a clone that nobody misses. */
#ifndef AUTODB_SANDBOX_STEP_H
#define AUTODB_SANDBOX_STEP_H

#include "worker/agent.h"
#include "worker/migration/analysis.h"
#include "worker/migration/trial/setup.h"

#define SANDBOX_ROWS_DEFAULT 15
#define SANDBOX_STATEMENT_MS 30000                /* one statement of the migration, or one validation query */
#define SANDBOX_KEPT_DUMP_BYTES (4 * 1024 * 1024) /* kept by a slot between jobs */
#define SANDBOX_DIFF_LINES 100                    /* of rollback_diff */

struct sandbox_options {
  const json_t *validation_queries;
  int rows_per_table;
  /* Called when all statements have run, before the way back is tried; NULL: nobody. */
  void (*applied)(void *arg, const struct sandbox_setup *setup);
  void *applied_arg;
};

struct sandbox_outcome {
  bool ran; /* the migration was tried: a sandbox could be had and cloned */
  bool passed;
  json_t *result; /* sandbox_result of the contract; in the job's arena */
};

/* Clones the snapshot, seeds it, runs the statements under observation (statement->step), the validation queries and the way back.
 * What goes wrong is part of the outcome; only running out of memory or losing AutoDB's own database is a failure. */
MUST_CHECK enum status sandbox_step_run(struct job *job, struct analysis *analysis, const struct sandbox_options *options,
                                        struct sandbox_outcome *ret_outcome, struct error *err);
struct sandbox_failure {
  bool failed;
  size_t statement;   /* which */
  struct error error; /* its details live in the arena */
};
/* The statements alone, in a sandbox that is set up; each gets its step. ERR_* only when the sandbox itself broke. */
MUST_CHECK enum status sandbox_step_trace(struct sandbox *sandbox, struct analysis *analysis, struct sandbox_failure *ret_failure,
                                          struct error *err);
/* The sandbox_result of SQL that does not parse. */
json_t *sandbox_step_fault(const struct analysis *analysis);

/* --- trial/verify.c --- */

/* Runs each query read-only after the migration: [{query, passed, error, duration_ms, row_count}], new reference; ret_passed false when one
 * failed. */
json_t *sandbox_verify_queries(struct sandbox *sandbox, const json_t *queries, bool *ret_passed);
/* Runs the rollback and compares the schema with what setup says of it. JSON true or false, the differing lines in ret_diff; new
 * references. */
json_t *sandbox_verify_rollback(const struct sandbox_setup *setup, const struct analysis *analysis, json_t **ret_diff);
/* Lines only in `before` ("-…") and only in `after` ("+…"), at most SANDBOX_DIFF_LINES; new reference. */
json_t *sandbox_verify_diff(struct arena *arena, const char *before, const char *after);

#endif
