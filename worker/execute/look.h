/* look.h - finding out, instead of guessing, what became of a unit whose end nobody heard. */
#ifndef AUTODB_EXECUTE_LOOK_H
#define AUTODB_EXECUTE_LOOK_H

#include "worker/execute/execution.h"

/* With a session open and every earlier one of the unit gone: makes it applied, or pending again, in memory and in the journal.
 * OUTCOME_UNKNOWN when nothing can tell. */
MUST_CHECK enum status look_unit(struct execution *x, struct unit *unit, struct error *err);
/* A new session gets the settings that the applied statements made. SESSION_LOST when they made what it can't be given. */
MUST_CHECK enum status look_replay(struct execution *x, struct error *err);

#endif
