/* watch.h - requests that watch a job: until it ends (waiters.h), or at every change (events.h).
 *
 * Workers publish the id of each job that ended on one channel and of each that changed on another; whoever watches it is woken and reads
 * the job from Postgres. Nothing depends on the messages: each watcher also looks by itself, more often while Redis is away. Looks of one
 * turn are one SELECT. */
#ifndef AUTODB_API_WATCH_H
#define AUTODB_API_WATCH_H

#include <sys/queue.h>

#include "api/jobview.h"
#include "api/request.h"

struct watch;
struct watcher;
struct look;

enum watch_for { WATCH_END, WATCH_CHANGES, WATCH_FOR };

/* Columns of a row: jobview's, then these. The last three only with WATCH_CHANGES, which also leaves out a result of more than
 * LIMIT_EVENT_RESULT_BYTES. */
enum { WATCH_OWNER = JOBVIEW_COLUMNS, WATCH_RETRIES, WATCH_PROGRESS_SEQ, WATCH_LEFT_OUT };

/* Each may call watch_remove on its watcher; one that doesn't goes on watching. */
struct watch_ops {
  bool (*wants)(struct watcher *watcher); /* before each look; false = no look now, or removed. NULL = always */
  void (*seen)(struct watcher *watcher, const PGresult *res, int row);
  void (*failed)(struct watcher *watcher, const struct error *err); /* ERR_NOT_FOUND: no such job of this owner; else Postgres */
  void (*tick)(struct watcher *watcher, int64_t now_ms);            /* WATCH_CHANGES, every second. NULL = nothing to do */
};

/* Lives in its request's arena. */
struct watcher {
  struct request *req;
  struct id id;
  const struct watch_ops *ops;
  enum watch_for what;
  int64_t deadline; /* clock_mono_ms: a look is made then, and every look from then on is the last; INT64_MAX = none */
  /* private */
  TAILQ_ENTRY(watcher) link;
  LIST_ENTRY(watcher) bucket_link;
  int64_t next_look;
  struct look *look; /* in flight, or NULL */
  bool again;        /* a message came while looking */
  bool due;          /* to be looked at this turn */
};

MUST_CHECK enum status watch_new(struct loop *loop, struct watch **ret_watch, struct error *err);
void watch_close(struct watch *watch); /* its looks in flight fail; nothing is looked at any more */
void watch_free(struct watch *watch);
void watch_turn(struct watch *watch); /* end of a turn: looks at what is due */
/* A message: the job has ended, or has changed. */
void watch_told(struct watch *watch, const struct id *job_id, bool ended);
/* Messages arrive from now on, or don't: what was said in between is lost, so everybody looks. */
void watch_listening(struct watch *watch, bool up);

void watch_add(struct watcher *watcher);
void watch_look(struct watcher *watcher); /* at the end of this turn */
void watch_remove(struct watcher *watcher);

#endif
