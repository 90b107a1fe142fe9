/* tuning.h - statistics the planner lacks, and settings this query would run better with: each tried where a planner can show it. */
#ifndef AUTODB_OPTIMIZER_TUNING_H
#define AUTODB_OPTIMIZER_TUNING_H

#include "worker/optimizer/advice.h"

/* Appends to o->statistics and o->settings. What was measured (ANALYZE) tells most; without it what a planner alone can tell. Opens the
 * place to try in when there is something to try and it isn't open. Indexes that were tried are hidden. */
MUST_CHECK enum status tuning_advise(struct advice *advice, struct optimization *o, struct error *err);

/* --- between its files --- */

/* The query planned now. NULL when the planner refuses it. */
MUST_CHECK enum status tuning_plan(struct advice *advice, const struct query_plan **ret_plan, struct error *err);
/* More than a tenth of the table has changed since ANALYZE, or there never was one. */
bool tuning_stale(const struct facts *facts, const struct snap_table *table);
bool tuning_same_shape(const struct query_plan *a, const struct query_plan *b);
MUST_CHECK enum status tuning_statistics(struct advice *advice, struct optimization *o, const struct query_plan *before, struct error *err);
MUST_CHECK enum status tuning_settings(struct advice *advice, struct optimization *o, const struct query_plan *before, struct error *err);

#endif
