/* observed.h - what the sandbox saw becomes part of what is said: statements that can't be judged from their text (DO, CALL, functions),
 * and those that were judged wrongly. */
#ifndef AUTODB_OBSERVED_H
#define AUTODB_OBSERVED_H

#include "worker/migration/analysis.h"

/* After agreement_judge: adds locks, rewrites and scans to effects, findings about them, and scores anew. */
void observed_apply(struct analysis *analysis);

#endif
