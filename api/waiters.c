/* waiters.c - see waiters.h. */
#include "api/waiters.h"

#include "api/watch.h"
#include "common/clock.h"
#include "common/metrics.h"

static struct metric waiting = METRIC_GAUGE("autodb_waiters", "Requests waiting for a job to end.", NULL);

struct waiter {
  struct watcher watcher; /* first: the callbacks get its address */
  enum wait_mode mode;
  int seconds;
  const char *view; /* or NULL */
};

static void leave(struct waiter *waiter) {
  watch_remove(&waiter->watcher);
  waiter->watcher.req->hurry = NULL;
  metric_add(&waiting, NULL, -1);
}

/* --- answering --- */

static void answer_row(struct waiter *waiter, const PGresult *res, int row) {
  struct request *req = waiter->watcher.req;
  ERROR_AUTO refusal = {0};
  int preferred = waiter->mode == WAIT_HELD ? request_prefer_wait(req) : waiter->seconds;
  bool ended = jobview_ended(res, row), in_time = ended && preferred > 0;
  struct buf data;
  leave(waiter);
  if (waiter->mode == WAIT_HELD && jobview_refusal(res, row, &refusal)) {
    reply_error(req, &refusal);
    return;
  }
  buf_init(&data, (size_t)LIMIT_RESULT_BYTES + LIMIT_HTTP_BODY_DEFAULT);
  jobview_put(&data, res, row);
  if (in_time && waiter->mode != WAIT_LOOK) request_header(req, "Preference-Applied", "wait=%d", preferred);
  reply_buf(req, waiter->mode == WAIT_LOOK || in_time ? 200 : 202, &data);
}

static void answer_failure(struct waiter *waiter, const struct error *err) {
  struct request *req = waiter->watcher.req;
  leave(waiter);
  if (waiter->view)
    reply_json(req, 202, waiter->view, strlen(waiter->view));
  else
    reply_error(req, err);
}

static void seen(struct watcher *watcher, const PGresult *res, int row) {
  if (jobview_ended(res, row) || watcher->deadline <= clock_mono_ms()) answer_row((struct waiter *)watcher, res, row);
}

static void failed(struct watcher *watcher, const struct error *err) {
  if (err->status == ERR_NOT_FOUND || watcher->deadline <= clock_mono_ms()) answer_failure((struct waiter *)watcher, err);
}

static const struct watch_ops ops = {.seen = seen, .failed = failed};

/* --- coming --- */

static void hurry(struct request *req) {
  struct waiter *waiter = req->state;
  waiter->watcher.deadline = 0;
  watch_look(&waiter->watcher);
}

static void add(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode, const char *view) {
  struct waiter *waiter = ARENA_NEW(req->arena, struct waiter);
  if (!waiter) {
    ERROR_AUTO err = {0};
    error_oom(&err);
    reply_error(req, &err);
    return;
  }
  int64_t deadline = seconds ? clock_mono_ms() + seconds * 1000LL : 0;
  *waiter = (struct waiter){.watcher = {.req = req, .id = *job_id, .ops = &ops, .what = WATCH_END, .deadline = deadline},
                            .mode = mode,
                            .seconds = seconds,
                            .view = view};
  watch_add(&waiter->watcher);
  metric_add(&waiting, NULL, 1);
  req->state = waiter;
  req->hurry = hurry;
  if (!view || !seconds) watch_look(&waiter->watcher); /* a job just committed has not ended yet */
}

void waiters_add(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode) { add(req, job_id, seconds, mode, NULL); }

void waiters_add_committed(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode, const char *view) {
  add(req, job_id, seconds, mode, view);
}
