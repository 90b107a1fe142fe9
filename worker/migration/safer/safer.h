/* safer/safer.h - the same migration without the block: rewritten, run, and offered only when it was seen to hold.
 *
 * A script is planned from the findings (safer/plan.c, one row per route in safer/routes.c), judged by the static analysis, then run
 * statement by statement in a second copy of the sandbox the original ran in. It is offered when it passes there, ends in the schema the
 * original ends in, and none of the rewritten statements was seen to read, rewrite or build anything under a lock that others wait for. A
 * route that fails any of this is given up and the rest is tried again; what can't be proved is not offered. */
#ifndef AUTODB_SAFER_H
#define AUTODB_SAFER_H

#include "worker/migration/trial/step.h"

#define SAFER_ATTEMPTS 3        /* plans tried, each without the routes that failed before */
#define SAFER_BATCH_ROWS 1000   /* rows a backfill changes between two commits */
#define SAFER_LOCK_TIMEOUT "3s" /* written into scripts before strong locks, where nobody else sets one */
#define SAFER_STEPS_MAX 2000    /* statements of a rewritten script; beyond: nothing is offered */
#define SAFER_SCRIPT_BYTES (4 * 1024 * 1024)

struct safer {
  struct job *job;
  const struct analysis *analysis; /* of the original, its static pass done */
  const struct sandbox_options *options;
  json_t *result; /* out: safer_migration of the contract in the job's arena; NULL: nothing to offer */
};

/* Call while the original's sandbox holds what the migration left behind, before the way back is tried: sandbox_options.applied. Does
 * nothing when no finding has a route. `arg` is a struct safer. Never fails the job: what goes wrong is logged and nothing is offered. */
void safer_run(void *arg, const struct sandbox_setup *original);

/* --- for tests: the plan alone, unproved --- */
struct safer_plan;
/* NULL in ret_script: no finding has a route. skip: statements to leave as they are, by index; NULL: none. */
MUST_CHECK enum status safer_script(const struct analysis *analysis, const bool *skip, const char **ret_script, struct error *err);

#endif
