/* lanes.h - whose turn it is: smooth weighted round robin over the three lanes.
 *
 * Each pick raises the credit of every lane that has work by its weight, takes the richest lane and charges it the sum of those weights.
 * Over time lanes with work are served 8 : 3 : 1, evenly interleaved; a lane without work saves up nothing. */
#ifndef AUTODB_LANES_H
#define AUTODB_LANES_H

#include "common/job.h"

struct lanes {
  int credit[LANE_COUNT];
  bool empty[LANE_COUNT]; /* as last seen; a zeroed struct believes that all have work */
};

extern const int lane_weights[LANE_COUNT];

/* Splits `capacity` jobs among the lanes believed to have work (all of them when none is). The quotas add up to capacity. */
void lanes_share(struct lanes *lanes, int capacity, int ret_quota[LANE_COUNT]);
/* What a read found: whether the lane holds more. */
void lanes_saw(struct lanes *lanes, enum job_lane lane, bool has_more);

#endif
