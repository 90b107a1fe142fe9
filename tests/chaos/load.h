/* load.h - clients of the HTTP API in threads of their own, and a ledger of what they asked for and were promised. */
#ifndef AUTODB_TESTS_CHAOS_LOAD_H
#define AUTODB_TESTS_CHAOS_LOAD_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
  uint64_t state;
};
uint64_t rng_next(struct rng *rng);
int rng_below(struct rng *rng, int limit); /* 0 … limit - 1 */

struct load;
struct load_plan {
  const char *api_url;
  const char *callback_url; /* for some of the jobs */
  const char *const *keys;  /* API keys, one owner each */
  int owners, clients;
  uint64_t seed;
};

/* What a client knows of one of its jobs. */
struct promise {
  char id[40];
  char key[48];      /* Idempotency-Key, "" for none */
  bool cancel_asked; /* whatever was answered */
  bool retry_asked;
  char fails; /* 'e'rror, 'c'rash, or 0 */
};

struct load *load_start(const struct load_plan *plan);
/* No new jobs from here on; keyed requests whose outcome is unknown are still asked again until they are answered or `timeout_ms` passed.
 * Joins the threads. */
void load_stop(struct load *load, int timeout_ms);
void load_free(struct load *load);

/* After load_stop. */
int load_promises(const struct load *load);
const struct promise *load_promise(const struct load *load, int index);
struct load_counts {
  int accepted;                          /* answered 202, or 200 for a key sent again; each job once */
  int unknown;                           /* no answer, or a 5xx, to a request without a key: the job may be there */
  int unsettled;                         /* keys that never got an answer */
  int strays;                            /* one key answered with two different jobs */
  int missing;                           /* a job answered 202 that the API didn't find */
  int cancels, retries, retries_unknown; /* answered 202; not answered */
  int refused;                           /* 4xx where none is due, the last of them in `complaint` */
  char complaint[512];
};
void load_sum(const struct load *load, struct load_counts *ret_counts);

#endif
