/* execute.h - migration.execute: runs an approved migration on a client's database. The only code here that changes one. */
#ifndef AUTODB_EXECUTE_H
#define AUTODB_EXECUTE_H

#include "worker/agent.h"

/* The job: payload {sql, approval_token, options: {lock_timeout_ms, statement_timeout_ms, lock_retries, dry_run}}; the result is the
 * contract's (section 4). A failure's details hold the same report: what is applied and what is not. */
enum status execute_run(struct job *job, json_t **ret_result, struct error *err);

/* The same with somebody looking on, for tests: called at every boundary between two things that survive us, with its name. */
struct execute_hooks {
  void (*at)(void *arg, const char *point);
  void *arg;
};
enum status execute_with(struct job *job, const struct execute_hooks *hooks, json_t **ret_result, struct error *err);

#endif
