/* loop.h - one event loop: a thread with its own listener, connections, Postgres pool and Redis, sharing nothing that changes.
 *
 * A turn is one event_base_loop(EVLOOP_ONCE) and then a fixed pass: continue pipelined connections, commit the batch, look at the
 * jobs somebody waits for, free what died. So nothing is freed inside its own callback, and what arrived together is
 * committed together. */
#ifndef AUTODB_API_LOOP_H
#define AUTODB_API_LOOP_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/config.h"
#include "common/crypto.h"
#include "common/job.h"
#include "common/pgloop.h"
#include "common/redis.h"

struct docstore;
struct offload;
struct spool;
struct rate;

/* What all loops share: set before they start, read-only after, but for the atomics. */
struct api {
  const struct config *cfg;
  struct keyring *keyring;
  uint8_t cursor_key[SHA256_BYTES];
  char stream_keys[JOB_STREAMS][JOB_KEY_MAX];
  char done_channel[JOB_KEY_MAX], changed_channel[JOB_KEY_MAX], cancel_channel[JOB_KEY_MAX], workers_key[JOB_KEY_MAX];
  struct offload *offload, *files; /* threads for blocking work; `files`: for documents */
  struct spool *spool;             /* has its own lock */
  struct docstore *docstore;       /* for any thread */
  struct rate *rate;               /* has its own locks */
  atomic_bool draining;            /* /readyz fails from here on */
  atomic_uint keys_epoch;          /* raised by every revocation: cached keys of an older epoch are looked up again */
};

struct loop {
  struct api *api;
  int index;
  struct event_base *base;
  struct pgloop *pg;
  struct redis *redis;   /* commands */
  struct redis_sub *sub; /* the channels done and changed */
  struct server *server; /* listener and connections: server.c */
  struct auth *auth;
  struct submit *submit;
  struct tiers *tiers;
  struct watch *watch;
  struct mailbox *mailbox; /* private */
  pthread_t thread;
  bool stop;
};

/* Opens everything but the listener; loop_start runs the thread. `port` is bound by all loops. */
MUST_CHECK enum status loop_new(struct api *api, int index, int port, struct loop **ret_loop, struct error *err);
MUST_CHECK enum status loop_start(struct loop *loop, struct error *err);
void loop_join(struct loop *loop); /* waits for the end of the thread */
void loop_free(struct loop *loop); /* after the join; what still waits is answered 503 */

/* Runs fn(loop, arg) on the loop's thread, soon. From any thread. */
void loop_post(struct loop *loop, void (*fn)(struct loop *loop, void *arg), void *arg);

/* Stops accepting, finishes what runs, closes what is idle; the thread ends when no connection is left or after 10 s. */
void loop_drain(struct loop *loop);

#endif
