/* unit.h - runs one unit: a transaction, or a statement outside of any. */
#ifndef AUTODB_EXECUTE_UNIT_H
#define AUTODB_EXECUTE_UNIT_H

#include "worker/execute/execution.h"

enum unit_end {
  UNIT_DONE,
  UNIT_LOST,   /* the connection is gone: somebody has to look; err says what was heard last */
  UNIT_STOPPED /* failed, cancelled, or nothing more may be done: err */
};
/* Tries again, at most lock_retries times, when a lock could not be had. What it says in the journal is true at every moment. */
enum unit_end unit_run(struct execution *x, struct unit *unit, struct error *err);
/* All of the script that can be in a transaction, in one that is rolled back. */
MUST_CHECK enum status unit_dry_run(struct execution *x, struct error *err);

#endif
