/* drift.h - is the schema still the one that was analysed? And, afterwards, a new snapshot of it. */
#ifndef AUTODB_EXECUTE_DRIFT_H
#define AUTODB_EXECUTE_DRIFT_H

#include "worker/execute/execution.h"

/* SCHEMA_DRIFT, with details.diff, when the live schema is another than the one in the token. With something applied already by an earlier
 * attempt, what differs must be what the applied statements name. */
MUST_CHECK enum status drift_check(struct execution *x, struct error *err);
/* Stores a new snapshot: snapshot_after, or a warning. */
void drift_refresh(struct execution *x);

#endif
