/* chaos.h - the queue under load while somebody breaks things; tests/chaos/run.
 *
 *   chaos.c     the run: start, load with faults, heal, wait for quiet, verdict, a calm epilogue whose counters must be exact
 *   faults.c    what can be broken, one row each
 *   load.c      clients of the HTTP API, and what they were promised
 *   proxy.c     the network between our processes and their servers
 *   receiver.c  where webhooks arrive
 *   verdict.c   what must hold afterwards, one query each
 *
 * The seed fixes which faults come in which order and what each client asks for; when things happen is up to the machine. */
#ifndef AUTODB_TESTS_CHAOS_H
#define AUTODB_TESTS_CHAOS_H

#include "tests/chaos/load.h"
#include "tests/chaos/proxy.h"
#include "tests/chaos/receiver.h"
#include "tests/support/harness.h"

#define CHAOS_WORKERS 4 /* processes there may be; two of them usually */
#define CHAOS_USUAL 2
#define CHAOS_LEASE_S 2
#define CHAOS_DELIVERS 1                                    /* whether workers deliver webhooks: then each one must arrive */
enum clock_of { CLOCK_OURS, CLOCK_POSTGRES, CHAOS_CLOCKS }; /* wall clocks that can be set: of API and workers, of Postgres */

struct chaos {
  struct harness *h;
  struct rng rng;
  struct harness_pg *pg;
  struct harness_proc *redis, *api, *workers[CHAOS_WORKERS];
  struct proxies *network;
  struct receiver *receiver;
  struct load *load;
  char redis_dir[HARNESS_PATH + 16];
  char clocks[CHAOS_CLOCKS][HARNESS_PATH + 32]; /* files with offsets, "" without libfaketime */
  int postgres_ahead_min;                       /* how far its clock has been put forward */
  int worker_metrics_ports[CHAOS_WORKERS];
};

/* --- faults.c --- */

/* What a fault breaks. Faults that share a bit never overlap. */
enum { ON_POSTGRES = 1, ON_REDIS = 2, ON_API = 4, ON_WORKERS = 8, ON_NETWORK = 16, ON_CLOCKS = 32 };

struct fault {
  const char *name;
  unsigned on;
  int least_ms, most_ms; /* from begin to heal */
  bool needs_clocks;     /* libfaketime */
  void (*begin)(struct chaos *chaos);
  void (*again)(struct chaos *chaos); /* every 100 ms until healed, or NULL */
  void (*heal)(struct chaos *chaos);  /* or NULL */
};
extern const struct fault chaos_faults[];
extern const int chaos_fault_count;
int chaos_free_port(void);

/* --- verdict.c --- */

/* Triggers that write down claims, results and retries as they are committed; before any job. */
void verdict_prepare(struct chaos *chaos);
/* Waits until every job has ended, every delivery has arrived and Redis holds nothing; says what is left when it doesn't come to that. */
bool verdict_quiet(struct chaos *chaos, int timeout_ms);
/* Prints each rule that is broken; the number of them. */
int verdict_check(struct chaos *chaos);
/* A few jobs with nothing broken: what the metrics of both programs gained must be what happened. */
int verdict_counters(struct chaos *chaos);

#endif
