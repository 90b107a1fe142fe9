/* queue_impl.h - what queue.c and claim.c share. */
#ifndef AUTODB_QUEUE_IMPL_H
#define AUTODB_QUEUE_IMPL_H

#include "common/pgloop.h"
#include "worker/bell.h"
#include "worker/finish.h"
#include "worker/lanes.h"
#include "worker/queue.h"
#include "worker/slots.h"
#include "worker/task.h"

struct claim; /* one claim statement with the stream entries it is about */
TAILQ_HEAD(claim_list, claim);

struct queue {
  struct event_base *base;
  const struct config *cfg;
  struct pgloop *pool;
  struct bell *bell;
  struct slots *slots;
  struct finish *finish;
  struct event *tick;
  struct task_list all;   /* every task that is not settled */
  struct task_list ready; /* claimed, waiting for a slot */
  int held;               /* tasks ready, sent or running */
  double ewma_ms;         /* of how long jobs run */
  int64_t complain_ms;    /* monotonic: when to say that a server has not been reached since the start; 0 = said, or it has */
  bool draining;
  bool fast; /* the tick is the short one */
  /* reading and claiming (claim.c) */
  struct lanes lanes;
  bool reading;                                          /* a read, wait or poll is on its way */
  bool dry;                                              /* the last read left nothing: wait instead */
  int awaited;                                           /* what that wait asks of each stream */
  bool leftovers;                                        /* Redis is back: poll Postgres once for what was never rung */
  bool astray;                                           /* a claim's outcome is unknown: rows may be ours without our knowing */
  bool finding;                                          /* that is being found out */
  int claims, claiming;                                  /* statements in flight, and ids in them */
  struct claim_list limbo;                               /* to be sent again */
  int64_t pause_ms, poll_ms, poll_capped_ms, reclaim_ms; /* monotonic: read, poll, take over not before */
  /* leases (queue.c) */
  int64_t beat_ms;
  unsigned beat;
  bool beating;
};

/* claim.c */
void claim_pump(struct queue *queue); /* reads and claims as much as may be */
void claim_tick(struct queue *queue, int64_t now_ms);
void claim_up(struct queue *queue); /* Postgres is back */
void claim_bell(struct queue *queue, bool up);
void claim_read(void *arg, const struct bell_entry *entries, int count, const bool has_more[JOB_STREAMS], bool failed);
void claim_reclaimed(void *arg, const struct bell_entry *entries, int count);
void claim_cancel_queued(struct queue *queue, const struct id *ids, int count); /* those that are queued and asked to be cancelled */
void claim_free(struct queue *queue);
/* queue.c */
void queue_take(struct queue *queue, struct task *task); /* a freshly claimed task */
void queue_pump(struct queue *queue);
void queue_hurry(struct queue *queue);                                    /* the short tick, while something is held or Redis is away */
int64_t queue_lease_ms(const struct queue *queue, int64_t sent_ms);       /* when work must stop if the lease was renewed at sent_ms */
void queue_put_held(const struct queue *queue, struct pg_params *params); /* $n uuid[]: ids of all unsettled tasks */

#endif
