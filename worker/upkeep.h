/* upkeep.h - what the sweeping worker does besides repairs: resumes, turns, gauges of the queue, and letting old days go.
 *
 * It runs on the leader's session, so it is done once. Each statement is bounded, and those of one task never overlap. */
#ifndef AUTODB_UPKEEP_H
#define AUTODB_UPKEEP_H

#include "common/config.h"
#include "common/pgloop.h"
#include "worker/bell.h"

struct upkeep;
struct upkeep *upkeep_new(const struct config *cfg, struct pgloop *pool, struct bell *bell); /* NULL when out of memory; all borrowed */
void upkeep_free(struct upkeep *upkeep);                                                     /* after the pool */
void upkeep_lead(struct upkeep *upkeep, int64_t now_ms); /* often, while this worker leads and Postgres is up */
void upkeep_rest(struct upkeep *upkeep);                 /* it leads no more */

#endif
