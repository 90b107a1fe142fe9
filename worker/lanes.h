/* lanes.h - whose turn it is: smooth weighted round robin over the lanes, and within each over its tiers.
 *
 * Each pick raises the credit of everyone that has work by its weight, takes the richest and charges it the sum of those weights. Over time
 * lanes with work are served 8 : 3 : 1 and the tiers of a lane 8 : 4 : 2 : 1, evenly interleaved; who has no work saves up nothing. */
#ifndef AUTODB_LANES_H
#define AUTODB_LANES_H

#include "common/job.h"

struct lanes {
  int lane_credit[LANE_COUNT], tier_credit[JOB_STREAMS];
  bool empty[JOB_STREAMS]; /* as last seen; a zeroed struct believes that all have work */
};

extern const int lane_weights[LANE_COUNT];
extern const int tier_weights[JOB_TIERS];

/* Splits `capacity` jobs among the streams believed to have work (all of them when none is). The quotas add up to capacity. */
void lanes_share(struct lanes *lanes, int capacity, int ret_quota[JOB_STREAMS]);
/* What a read found: whether the stream holds more. */
void lanes_saw(struct lanes *lanes, int stream, bool has_more);

#endif
