/* rate.c - see rate.h. A bucket is one number, the instant at which it will be full (the generic cell rate algorithm): taking a token moves
 * it on by what a token takes to come. The table is set-associative and of fixed size. Who is pushed out is the one whose bucket is
 * fullest, mostly full, and then nothing is forgotten: a new bucket is full, too. */
#include "api/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SETS 1024
#define WAYS 8
#define LOCKS 64

struct bucket {
  struct id owner_id;
  int64_t full_ns;
};
struct rate {
  pthread_mutex_t locks[LOCKS];
  struct bucket sets[SETS][WAYS];
};

struct rate *rate_new(void) {
  struct rate *rate = calloc(1, sizeof *rate);
  for (int i = 0; rate && i < LOCKS; i++) pthread_mutex_init(&rate->locks[i], NULL);
  return rate;
}

void rate_free(struct rate *rate) {
  for (int i = 0; rate && i < LOCKS; i++) pthread_mutex_destroy(&rate->locks[i]);
  free(rate);
}

/* The owner's, or the fullest one, made his. */
static struct bucket *bucket_of(struct bucket set[WAYS], const struct id *owner_id) {
  struct bucket *fullest = &set[0];
  for (int i = 0; i < WAYS; i++) {
    if (memcmp(&set[i].owner_id, owner_id, sizeof *owner_id) == 0) return &set[i];
    if (set[i].full_ns < fullest->full_ns) fullest = &set[i];
  }
  *fullest = (struct bucket){.owner_id = *owner_id};
  return fullest;
}

static struct rate_answer take(struct bucket *bucket, int64_t token_ns, int64_t depth_ns, int64_t now_ns) {
  int64_t full_ns = bucket->full_ns > now_ns ? bucket->full_ns : now_ns, over_ns = full_ns + token_ns - now_ns - depth_ns;
  if (over_ns > 0) return (struct rate_answer){.wait_ms = (over_ns + 999999) / 1000000};
  bucket->full_ns = full_ns + token_ns;
  return (struct rate_answer){.allowed = true, .remaining = -over_ns / token_ns, .wait_ms = (bucket->full_ns - now_ns + 999999) / 1000000};
}

struct rate_answer rate_take(struct rate *rate, const struct id *owner_id, int per_second, int burst, int64_t now_us) {
  int64_t token_ns = 1000000000 / per_second;
  uint16_t part; /* owners' ids are random, so a part of one is as good as a hash */
  memcpy(&part, owner_id->bytes + sizeof owner_id->bytes - sizeof part, sizeof part);
  pthread_mutex_t *lock = &rate->locks[part % LOCKS];
  pthread_mutex_lock(lock);
  struct rate_answer answer =
      take(bucket_of(rate->sets[part % SETS], owner_id), token_ns, token_ns * (burst > 0 ? burst : 1), now_us * 1000);
  pthread_mutex_unlock(lock);
  return answer;
}
