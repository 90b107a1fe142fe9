/* plan.h - an execution plan and what was found in it, for a terminal. */
#ifndef AUTODB_CLI_PLAN_H
#define AUTODB_CLI_PLAN_H

#include "cli/term.h"

/* result: of plan.parse or query.optimize. A line a node, widths as the terminal's: own time (or cost) with its share, rows with how far
 * the estimate was off, what the node is; its conditions below it. */
void plan_print(const struct term *term, const json_t *result);

#endif
