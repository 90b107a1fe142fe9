/* analyze.h - the migration agent's jobs. */
#ifndef AUTODB_ANALYZE_H
#define AUTODB_ANALYZE_H

#include "worker/agent.h"

/* migration.analyze: payload {sql, sandbox, enrich, options: {target_version, lock_timeout_ms, rows_per_table, validation_queries}};
 * the result is the contract's (section 4). */
enum status analyze_run(struct job *job, json_t **ret_result, struct error *err);
/* migration.sandbox: payload {sql, validation_queries, rows_per_table}; the result is the sandbox_result alone. */
enum status sandbox_run(struct job *job, json_t **ret_result, struct error *err);

#endif
