/* trial/setup.h - a sandbox that holds the snapshot's schema and some rows, made or found prepared. */
#ifndef AUTODB_MIGRATION_SANDBOX_SETUP_H
#define AUTODB_MIGRATION_SANDBOX_SETUP_H

#include "sandbox/sandbox.h"
#include "worker/agent.h"
#include "worker/migration/analysis.h"

struct sandbox_setup {
  struct sandbox *sandbox; /* the caller closes it, after a failure as well */
  const char *before;      /* schema dump, when there is a way back to compare */
  const char *signature;   /* sandbox_signature, likewise */
  bool prepared;           /* a copy of one that an earlier job made */
};

/* Fills the fields of `result` (sandbox_result of the contract) that tell about the setting up. fresh: what was prepared is of no use, make
 * it anew. */
MUST_CHECK enum status sandbox_setup_run(struct job *job, const struct analysis *analysis, int rows_per_table, bool fresh, json_t *result,
                                         struct sandbox_setup *setup, struct error *err);
/* Notes in result.timings the milliseconds since the last lap. */
void sandbox_setup_lap(json_t *result, int64_t *since_ms, const char *name);

#endif
