/* agreement.h - what was predicted held against what the sandbox saw, statement by statement. */
#ifndef AUTODB_AGREEMENT_H
#define AUTODB_AGREEMENT_H

#include "worker/migration/analysis.h"

/* Sets every statement's agreement from its step; logs contradictions, which are mistakes in the rules. */
void agreement_judge(struct analysis *analysis);

#endif
