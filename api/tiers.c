/* tiers.c - see tiers.h. A table of fixed size: an owner whose place another one takes starts with full buckets, which harms nobody. */
#include "api/tiers.h"

#include <stdlib.h>
#include <string.h>

#define PLACES 4096
#define BUCKETS (JOB_TIERS - 1)

static const struct { double depth, per_second; } rates[BUCKETS] = {{8, 20}, {64, 100}, {512, 400}};

struct place {
  struct id owner_id;
  struct {
    double tokens[BUCKETS];
    int64_t filled_ms;
  } lanes[LANE_COUNT];
};
struct tiers {
  struct place places[PLACES];
};

struct tiers *tiers_new(void) {
  return calloc(1, sizeof(struct tiers));
}

void tiers_free(struct tiers *tiers) { free(tiers); }

/* Owners' ids are random, so a part of one is as good as a hash. */
static struct place *place_of(struct tiers *tiers, const struct id *owner_id) {
  uint16_t part;
  memcpy(&part, owner_id->bytes + sizeof owner_id->bytes - sizeof part, sizeof part);
  struct place *place = &tiers->places[part % PLACES];
  if (memcmp(&place->owner_id, owner_id, sizeof *owner_id) == 0) return place;
  *place = (struct place){.owner_id = *owner_id};
  return place;
}

int tiers_take(struct tiers *tiers, const struct id *owner_id, enum job_lane lane, int64_t now_ms) {
  struct place *place = place_of(tiers, owner_id);
  int64_t passed_ms = place->lanes[lane].filled_ms ? now_ms - place->lanes[lane].filled_ms : INT32_MAX;
  place->lanes[lane].filled_ms = now_ms;
  int taken = BUCKETS;
  for (int tier = 0; tier < BUCKETS; tier++) {
    double *tokens = &place->lanes[lane].tokens[tier];
    *tokens += (double)passed_ms / 1000 * rates[tier].per_second;
    if (*tokens > rates[tier].depth) *tokens = rates[tier].depth;
    if (taken < BUCKETS || *tokens < 1) continue;
    *tokens -= 1;
    taken = tier;
  }
  return taken;
}
