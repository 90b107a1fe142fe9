/* queue.h - the worker's hold on the queue: reads the bell, claims rows, keeps their leases, and hands them to slots and finisher.
 *
 * The record is autodb.jobs. A claim is one UPDATE that raises `attempt`, the fence every later write names; stream entries are
 * acknowledged after its commit whether or not they were claimed, since what was not claimed was a duplicate. */
#ifndef AUTODB_QUEUE_H
#define AUTODB_QUEUE_H

#include <event2/event.h>

#include "common/config.h"
#include "common/error.h"

struct queue;

/* Connects to Postgres and Redis and starts the slots. keeper_socket may be NULL; borrowed, as cfg is. */
MUST_CHECK enum status queue_new(struct event_base *base, const struct config *cfg, const char *keeper_socket, struct queue **ret_queue,
                                 struct error *err);
void queue_free(struct queue *queue);

struct bell *queue_bell(struct queue *queue);                     /* borrowed: for the sweepers */
bool queue_reap(struct queue *queue, pid_t pid, int wait_status); /* SIGCHLD; true when the child was a slot */

/* Claims nothing more, gives back what has not begun. */
void queue_drain(struct queue *queue);
/* Kills what still runs; it is given back unharmed. */
void queue_abort(struct queue *queue);
bool queue_holds(const struct queue *queue); /* something runs or waits for a slot */
/* Nothing runs, nothing waits for Postgres. */
bool queue_done(const struct queue *queue);

/* How many jobs of `ewma_ms` each make 20 ms of work for `slots` slots, at most 64: what may be claimed beyond free slots. */
int queue_ahead(double ewma_ms, int slots);

#endif
