/* waiters.c - see waiters.h.
 *
 * A waiter lives in its request's arena and is on one list: WAITING, DUE (to be looked at this turn) or of a look in flight. All of them
 * are also in a hash table by job id. */
#include "api/waiters.h"

#include <sys/queue.h>

#include "api/jobview.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#define BUCKETS 1024
#define LOOK_BATCH 256
#define TICK_MS 100
#define POLL_MS 1000
#define POLL_WITHOUT_REDIS_MS 250

static struct metric waiting = METRIC_GAUGE("autodb_waiters", "Requests waiting for a job to end.", NULL);

struct waiter {
  TAILQ_ENTRY(waiter) link;
  LIST_ENTRY(waiter) bucket_link;
  struct request *req;
  struct id id;
  enum wait_mode mode;
  int seconds;
  int64_t deadline, next_look; /* clock_mono_ms */
  const char *view;            /* or NULL */
  struct look *look;           /* in flight, or NULL */
  bool again;                  /* done message came while looking */
  bool due;
};
TAILQ_HEAD(waiter_list, waiter);
LIST_HEAD(waiter_bucket, waiter);

struct look {
  struct waiters *waiters;
  struct waiter_list list;
};

struct waiters {
  struct loop *loop;
  struct event *tick;
  struct waiter_list waiting, due;
  struct waiter_bucket buckets[BUCKETS];
};

static struct waiter_bucket *bucket_of(struct waiters *waiters, const struct id *id) {
  return &waiters->buckets[(id->bytes[14] | id->bytes[15] << 8) % BUCKETS]; /* the random end of a UUIDv7 */
}

static struct waiter_list *list_of(struct waiter *waiter) {
  struct waiters *waiters = waiter->req->loop->waiters;
  return waiter->look ? &waiter->look->list : waiter->due ? &waiters->due : &waiters->waiting;
}

static void make_due(struct waiter *waiter) {
  struct waiters *waiters = waiter->req->loop->waiters;
  if (waiter->due || waiter->look) return;
  TAILQ_REMOVE(&waiters->waiting, waiter, link);
  waiter->due = true;
  TAILQ_INSERT_TAIL(&waiters->due, waiter, link);
}

static void arm_tick(struct waiters *waiters) {
  const struct timeval tv = {0, TICK_MS * 1000};
  if (!event_pending(waiters->tick, EV_TIMEOUT, NULL)) event_add(waiters->tick, &tv);
}

static void wait_on(struct waiter *waiter) {
  struct waiters *waiters = waiter->req->loop->waiters;
  arm_tick(waiters);
  waiter->look = NULL;
  waiter->due = false;
  waiter->next_look = clock_mono_ms() + (redis_up(waiters->loop->redis) ? POLL_MS : POLL_WITHOUT_REDIS_MS);
  TAILQ_INSERT_TAIL(&waiters->waiting, waiter, link);
  if (waiter->again) make_due(waiter);
  waiter->again = false;
}

static void leave(struct waiter *waiter) {
  TAILQ_REMOVE(list_of(waiter), waiter, link);
  LIST_REMOVE(waiter, bucket_link);
  waiter->req->hurry = NULL;
  metric_add(&waiting, NULL, -1);
}

/* --- answering --- */

static void answer_row(struct waiter *waiter, const PGresult *res, int row) {
  struct request *req = waiter->req;
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
  struct request *req = waiter->req;
  leave(waiter);
  if (waiter->view)
    reply_json(req, 202, waiter->view, strlen(waiter->view));
  else
    reply_error(req, err);
}

static bool owns(const struct waiter *waiter, const PGresult *res, int row) {
  struct id owner;
  return id_parse(PQgetvalue(res, row, JOBVIEW_COLUMNS), &owner) && memcmp(&owner, &waiter->req->who.owner_id, sizeof owner) == 0;
}

/* --- looking --- */

static const struct pg_stmt look_at_jobs = {
    /* the bounds let the planner skip the days no id is of */
    "look_at_jobs",
    "SELECT " JOBVIEW_SELECT("r.body") ", j.owner_id FROM " JOBVIEW_FROM(
        " AND r.job_id BETWEEN $2::uuid AND $3::uuid") "WHERE j.id = ANY($1::uuid[]) AND j.id BETWEEN $2::uuid AND $3::uuid",
    3};

static void take_rows(struct look *look, const PGresult *res) {
  int64_t now = clock_mono_ms();
  for (int row = 0; row < PQntuples(res); row++) {
    struct id id;
    if (!id_parse(PQgetvalue(res, row, 0), &id)) continue;
    struct waiter *waiter, *next;
    for (waiter = LIST_FIRST(bucket_of(look->waiters, &id)); waiter; waiter = next) {
      next = LIST_NEXT(waiter, bucket_link);
      if (waiter->look != look || memcmp(&waiter->id, &id, sizeof id) != 0 || !owns(waiter, res, row)) continue;
      if (jobview_ended(res, row) || waiter->deadline <= now) {
        answer_row(waiter, res, row);
      } else {
        TAILQ_REMOVE(&look->list, waiter, link);
        wait_on(waiter);
      }
    }
  }
}

static void on_look(void *arg, const PGresult *res, const struct error *cause) {
  struct look *look = arg;
  int64_t now = clock_mono_ms();
  if (res) take_rows(look, res);
  for (struct waiter *waiter; (waiter = TAILQ_FIRST(&look->list));) {
    ERROR_AUTO err = {0};
    if (res)
      error_set(&err, ERR_NOT_FOUND, "There is no such job.");
    else
      request_database_error(waiter->req, cause, &err);
    if (res || waiter->deadline <= now) {
      answer_failure(waiter, &err);
    } else {
      TAILQ_REMOVE(&look->list, waiter, link);
      wait_on(waiter);
    }
  }
  free(look);
}

static struct look *gather(struct waiters *waiters, struct pg_params *params) {
  struct look *look = calloc(1, sizeof *look);
  if (!look) return NULL;
  look->waiters = waiters;
  TAILQ_INIT(&look->list);
  struct id low, high;
  memset(&low, 0xff, sizeof low);
  memset(&high, 0, sizeof high);
  pg_param_array_begin(params, PG_ELEM_UUID);
  struct waiter *waiter;
  for (int n = 0; n < LOOK_BATCH && (waiter = TAILQ_FIRST(&waiters->due)); n++) {
    TAILQ_REMOVE(&waiters->due, waiter, link);
    waiter->due = false;
    waiter->look = look;
    TAILQ_INSERT_TAIL(&look->list, waiter, link);
    pg_param_array_item(params, waiter->id.bytes, sizeof waiter->id.bytes);
    if (memcmp(&waiter->id, &low, sizeof low) < 0) low = waiter->id;
    if (memcmp(&waiter->id, &high, sizeof high) > 0) high = waiter->id;
  }
  pg_param_array_end(params);
  pg_param_uuid(params, &low);
  pg_param_uuid(params, &high);
  return look;
}

void waiters_turn(struct waiters *waiters) {
  while (!TAILQ_EMPTY(&waiters->due)) {
    ERROR_AUTO err = {0};
    PG_PARAMS_AUTO params;
    pg_params_init(&params);
    struct look *look = gather(waiters, &params);
    if (!look) return;
    if (pgloop_query(waiters->loop->pg, &look_at_jobs, &params, 0, on_look, look, &err) != OK) on_look(look, NULL, &err);
  }
}

static void tick(evutil_socket_t fd, short what, void *arg) {
  struct waiters *waiters = arg;
  struct waiter *waiter, *next;
  int64_t now = clock_mono_ms();
  (void)fd;
  (void)what;
  for (waiter = TAILQ_FIRST(&waiters->waiting); waiter; waiter = next) {
    next = TAILQ_NEXT(waiter, link);
    if (waiter->deadline <= now || waiter->next_look <= now) make_due(waiter);
  }
  if (!TAILQ_EMPTY(&waiters->waiting)) arm_tick(waiters);
}

/* --- coming and going --- */

void waiters_done(struct waiters *waiters, const struct id *job_id) {
  struct waiter *waiter;
  LIST_FOREACH(waiter, bucket_of(waiters, job_id), bucket_link) {
    if (memcmp(&waiter->id, job_id, sizeof *job_id) != 0) continue;
    waiter->again = waiter->look != NULL;
    make_due(waiter);
  }
}

static void hurry(struct request *req) {
  struct waiter *waiter = req->state;
  waiter->deadline = 0;
  make_due(waiter);
}

static void add(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode, const char *view) {
  struct waiters *waiters = req->loop->waiters;
  struct waiter *waiter = ARENA_NEW(req->arena, struct waiter);
  if (!waiter) {
    ERROR_AUTO err = {0};
    error_oom(&err);
    reply_error(req, &err);
    return;
  }
  *waiter = (struct waiter){.req = req, .id = *job_id, .mode = mode, .seconds = seconds, .view = view};
  waiter->deadline = seconds ? clock_mono_ms() + seconds * 1000LL : 0;
  LIST_INSERT_HEAD(bucket_of(waiters, job_id), waiter, bucket_link);
  wait_on(waiter);
  metric_add(&waiting, NULL, 1);
  req->state = waiter;
  req->hurry = hurry;
  if (!view || !seconds) make_due(waiter); /* a job just committed has not ended yet */
}

void waiters_add(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode) { add(req, job_id, seconds, mode, NULL); }

void waiters_add_committed(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode, const char *view) {
  add(req, job_id, seconds, mode, view);
}

struct waiters *waiters_new(struct loop *loop) {
  struct waiters *waiters = calloc(1, sizeof *waiters);
  if (!waiters) return NULL;
  waiters->loop = loop;
  waiters->tick = event_new(loop->base, -1, 0, tick, waiters);
  TAILQ_INIT(&waiters->waiting);
  TAILQ_INIT(&waiters->due);
  return waiters;
}

void waiters_free(struct waiters *waiters) {
  if (!waiters) return;
  if (waiters->tick) event_free(waiters->tick);
  free(waiters);
}
