/* lanes.c - smooth weighted round robin, twice; see lanes.h. */
#include "worker/lanes.h"

#include <string.h>

const int lane_weights[LANE_COUNT] = {[LANE_INTERACTIVE] = 8, [LANE_DEFAULT] = 3, [LANE_BULK] = 1};
const int tier_weights[JOB_TIERS] = {8, 4, 2, 1};

static bool has_work(const struct lanes *lanes, int from, int count) {
  for (int stream = from; stream < from + count; stream++)
    if (!lanes->empty[stream]) return true;
  return false;
}

/* Among those that take part, of which there is at least one. */
static int pick(const int *weights, int count, const bool *takes_part, int *credit) {
  int best = -1, sum = 0;
  for (int i = 0; i < count; i++) {
    if (!takes_part[i]) continue;
    credit[i] += weights[i];
    sum += weights[i];
    if (best < 0 || credit[i] > credit[best]) best = i;
  }
  credit[best] -= sum;
  return best;
}

static int pick_stream(struct lanes *lanes, bool everyone) {
  bool lane_has[LANE_COUNT], tier_has[JOB_TIERS];
  for (int lane = 0; lane < LANE_COUNT; lane++) lane_has[lane] = everyone || has_work(lanes, lane * JOB_TIERS, JOB_TIERS);
  int first = pick(lane_weights, LANE_COUNT, lane_has, lanes->lane_credit) * JOB_TIERS;
  for (int tier = 0; tier < JOB_TIERS; tier++) tier_has[tier] = everyone || !lanes->empty[first + tier];
  return first + pick(tier_weights, JOB_TIERS, tier_has, lanes->tier_credit + first);
}

void lanes_share(struct lanes *lanes, int capacity, int ret_quota[JOB_STREAMS]) {
  memset(ret_quota, 0, JOB_STREAMS * sizeof *ret_quota);
  bool everyone = !has_work(lanes, 0, JOB_STREAMS);
  for (int i = 0; i < capacity; i++) ret_quota[pick_stream(lanes, everyone)]++;
}

void lanes_saw(struct lanes *lanes, int stream, bool has_more) {
  lanes->empty[stream] = !has_more;
  if (has_more) return;
  lanes->tier_credit[stream] = 0;
  int lane = job_stream_lane(stream);
  if (!has_work(lanes, lane * JOB_TIERS, JOB_TIERS)) lanes->lane_credit[lane] = 0;
}
