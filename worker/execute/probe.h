/* probe.h - what a statement outside of a transaction finds, and what it left: the only way to know, when nobody heard its answer. */
#ifndef AUTODB_EXECUTE_PROBE_H
#define AUTODB_EXECUTE_PROBE_H

#include "worker/execute/execution.h"

/* Notes what is there before it runs into unit->before, and refuses what would only look like success (an invalid index of the same name
 * with IF NOT EXISTS). Also for a CREATE INDEX inside a transaction, where nothing is noted. */
MUST_CHECK enum status probe_before(struct execution *x, struct unit *unit, size_t step, struct error *err);

enum finding_of { FOUND_APPLIED, FOUND_NOTHING, FOUND_UNKNOWN };
/* What the statement of the unit has done, by what is there now. What it left half done is removed, or finished (DETACH). */
MUST_CHECK enum status probe_after(struct execution *x, struct unit *unit, enum finding_of *ret_found, struct error *err);

#endif
