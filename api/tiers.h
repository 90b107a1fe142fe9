/* tiers.h - which of a lane's streams a job goes to: fairness among owners, decided when it is accepted.
 *
 * Each owner has, per lane, a bucket of tokens for every tier but the last. A job takes a token of the first tier that has one. Buckets are
 * deep 8, 64 and 512 jobs and fill at 20, 100 and 400 jobs a second: a caller now and then is always in tier 0, a burst of ten thousand
 * goes to tier 3 but for its first few. Workers serve the tiers 8 : 4 : 2 : 1 (worker/lanes.h), so a lane's light users pass its heavy ones
 * and nobody starves. Each loop of the API counts for itself; nothing is shared or stored but the tier in the queue's row. */
#ifndef AUTODB_API_TIERS_H
#define AUTODB_API_TIERS_H

#include <stdint.h>

#include "common/id.h"
#include "common/job.h"

struct tiers;
struct tiers *tiers_new(void); /* NULL when out of memory */
void tiers_free(struct tiers *tiers);
int tiers_take(struct tiers *tiers, const struct id *owner_id, enum job_lane lane, int64_t now_ms);

#endif
