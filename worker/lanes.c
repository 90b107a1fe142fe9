/* lanes.c - smooth weighted round robin; see lanes.h. */
#include "worker/lanes.h"

#include <string.h>

const int lane_weights[LANE_COUNT] = {[LANE_INTERACTIVE] = 8, [LANE_DEFAULT] = 3, [LANE_BULK] = 1};

static bool all_empty(const struct lanes *lanes) {
  for (int lane = 0; lane < LANE_COUNT; lane++)
    if (!lanes->empty[lane]) return false;
  return true;
}

static int pick(struct lanes *lanes, bool everyone) {
  int best = -1, sum = 0;
  for (int lane = 0; lane < LANE_COUNT; lane++) {
    if (lanes->empty[lane] && !everyone) continue;
    lanes->credit[lane] += lane_weights[lane];
    sum += lane_weights[lane];
    if (best < 0 || lanes->credit[lane] > lanes->credit[best]) best = lane;
  }
  lanes->credit[best] -= sum;
  return best;
}

void lanes_share(struct lanes *lanes, int capacity, int ret_quota[LANE_COUNT]) {
  memset(ret_quota, 0, LANE_COUNT * sizeof *ret_quota);
  bool everyone = all_empty(lanes);
  for (int i = 0; i < capacity; i++) ret_quota[pick(lanes, everyone)]++;
}

void lanes_saw(struct lanes *lanes, enum job_lane lane, bool has_more) {
  lanes->empty[lane] = !has_more;
  if (!has_more) lanes->credit[lane] = 0;
}
