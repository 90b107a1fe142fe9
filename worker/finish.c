/* finish.c - batched, guarded ends of attempts; see finish.h.
 *
 * Two statements. `finals` publishes results. `returns` gives jobs back: a release is free of charge, and so is parking; a retry or a crash
 * costs one failure and comes back after full jitter, or is dead once the budget is used up. Flush rule: at once when none of the statement
 * is in flight, else when that ends or a full batch has gathered - so an idle worker answers without delay and a busy one shares commits.
 *
 * A batch that Postgres refuses because of one row's content is tried again row by row; a row refused alone becomes a failure that
 * says so. Rows are sent in id order, as heartbeats lock them, so the two can't deadlock. */
#include "worker/finish.h"

#include <stdlib.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/publish.h"
#include "worker/turns.h"

#define BATCH_ROWS 128
#define BATCH_BYTES (4 * 1024 * 1024)
#define PENDING_ROWS 2048
#define PENDING_BYTES ((size_t)256 * 1024 * 1024)
#define AGAIN_MS 300

static const struct pg_stmt finals_stmt = {
    "finish_final",
    "WITH done AS (DELETE FROM autodb.queue q USING unnest($2::uuid[], $3::int4[], $4::text[], $5::json[], $6::json[]) AS f(id, attempt, "
    "state, "
    "body, error) WHERE q.id = f.id AND q.attempt = f.attempt AND q.state = 'running' AND q.lease_owner = $1"
    " RETURNING q.id, q.owner_id, q.kind, q.attempt, f.state::autodb.job_state AS state, q.callback_url, f.body, f.error, q.started_at,"
    " CASE f.state WHEN 'succeeded' THEN NULL ELSE q.progress END AS progress, q.failures + (f.state = 'failed')::int AS failures,"
    " q.crashes), " SQL_PUBLISH "SELECT id, state FROM done",
    6};

/* What is queued again stays a row of the queue, what has ended leaves it: a verdict for each, then the two halves. */
static const struct pg_stmt returns_stmt = {
    "finish_return",
    "WITH found AS MATERIALIZED (SELECT q.id, f.failed, f.crashed, f.error, f.base, f.cap, CASE WHEN q.cancel_requested THEN 'cancelled'"
    " WHEN f.failed = 1 AND q.failures + 1 >= q.max_attempts OR f.crashed = 1 AND q.crashes + 1 >= " LIMIT_TEXT(
        LIMIT_CRASHES) " THEN 'dead' ELSE 'queued' END AS verdict FROM autodb.queue q"
                       " JOIN unnest($2::uuid[], $3::int4[], $4::int4[], $5::int4[], $6::json[], $7::int4[], $8::int4[])"
                       " AS f(id, attempt, failed, crashed, error, base, cap) ON q.id = f.id"
                       " WHERE q.attempt = f.attempt AND q.state = 'running' AND q.lease_owner = $1 FOR UPDATE OF q), "
                       "again AS (UPDATE autodb.queue q SET state = 'queued', failures = q.failures + f.failed, crashes = q.crashes + "
                       "f.crashed,"
                       " run_at = CASE WHEN f.failed = 1 THEN now() + interval '1 millisecond' * random() * least(f.cap, f.base * 2 ^ "
                       "least(q.failures, 30))"
                       " WHEN f.base > 0 THEN now() + interval '1 millisecond' * f.base"
                       " ELSE q.run_at END, dispatched_at = CASE WHEN f.failed = 0 AND f.base = 0 THEN now() ELSE q.dispatched_at END, "
                       "lease_owner = "
                       "NULL, lease_until = NULL"
                       " FROM found f WHERE q.id = f.id AND f.verdict = 'queued' RETURNING q.id, q.state), "
                       "done AS (DELETE FROM autodb.queue q USING found f WHERE q.id = f.id AND f.verdict <> 'queued'"
                       " RETURNING q.id, q.owner_id, q.kind, q.attempt, f.verdict::autodb.job_state AS state, q.callback_url, NULL::json "
                       "AS body,"
                       " CASE f.verdict WHEN 'cancelled' THEN '" JSON_CANCELLED
                       "'::json ELSE f.error END AS error, q.started_at, q.progress,"
                       " q.failures + f.failed AS failures, q.crashes + f.crashed AS crashes), " SQL_PUBLISH
                       "SELECT id, state FROM again UNION ALL SELECT id, state FROM done",
    8};

struct group {
  struct finish *finish;
  const struct pg_stmt *stmt;
  struct task_list waiting;
  int count, inflight;
};

struct finish {
  const struct config *cfg;
  struct pgloop *pool;
  struct bell *bell;
  void (*forget)(void *arg, struct task *task);
  void *arg;
  struct group finals, returns;
  struct event *again;
  int pending; /* waiting and in flight */
  size_t bytes;
};

struct batch {
  struct group *group;
  int count;
  struct task *tasks[BATCH_ROWS];
};

static struct metric attempts = METRIC_COUNTER("autodb_attempts_total", "Attempts that ended here, by outcome.", "outcome");
static struct metric kinds = METRIC_COUNTER("autodb_attempts_by_kind_total", "Attempts that ended here, by kind.", "kind");
static struct metric fenced =
    METRIC_COUNTER("autodb_finishes_fenced_total", "Results dropped because a newer attempt owns the job.", "kind");
static struct metric retried = METRIC_COUNTER("autodb_finish_retries_total", "Finish statements sent again, by cause.", "cause");

static void flush(struct group *group);

/* --- parameters --- */

static int by_id(const void *a, const void *b) {
  const struct task *const *x = a, *const *y = b;
  return memcmp((*x)->id.bytes, (*y)->id.bytes, sizeof(*x)->id.bytes);
}

typedef void (*put_item)(struct pg_params *params, const struct task *task);

static void put_id(struct pg_params *p, const struct task *task) { pg_param_array_item(p, task->id.bytes, sizeof task->id.bytes); }
static void put_attempt(struct pg_params *p, const struct task *task) { pg_param_array_int(p, task->attempt); }
static void put_state(struct pg_params *p, const struct task *task) {
  pg_param_array_item(p, outcome_names[task->outcome], (long)strlen(outcome_names[task->outcome]));
}
static void put_answer(struct pg_params *p, const struct task *task) {
  pg_param_array_item(p, buf_str(&task->answer), task->answer.len ? (long)task->answer.len : -1);
}
static void put_null(struct pg_params *p) { pg_param_array_item(p, NULL, -1); }
static void put_body(struct pg_params *p, const struct task *task) {
  if (task->outcome == OUTCOME_SUCCEEDED)
    put_answer(p, task);
  else
    put_null(p);
}
static void put_error(struct pg_params *p, const struct task *task) {
  if (task->outcome != OUTCOME_SUCCEEDED && task->outcome != OUTCOME_PARKED)
    put_answer(p, task);
  else
    put_null(p);
}
static bool is_free(const struct task *task) { return task->outcome == OUTCOME_RELEASE || task->outcome == OUTCOME_PARKED; }
static void put_failed(struct pg_params *p, const struct task *task) { pg_param_array_int(p, !is_free(task)); }
static void put_crashed(struct pg_params *p, const struct task *task) { pg_param_array_int(p, task->outcome == OUTCOME_CRASH); }
/* Of one given back free of charge: for how long it is parked, or 0. */
static void put_base(struct pg_params *p, const struct task *task) {
  int parked_ms = task->outcome == OUTCOME_PARKED ? (int)strtol(buf_str(&task->answer), NULL, 10) : 0;
  pg_param_array_int(p, is_free(task) ? parked_ms : task->kind.retry_base_ms);
}
static void put_cap(struct pg_params *p, const struct task *task) { pg_param_array_int(p, task->kind.retry_cap_ms); }

static void put_array(struct pg_params *params, const struct batch *batch, enum pg_elem type, put_item put) {
  pg_param_array_begin(params, type);
  for (int i = 0; i < batch->count; i++) put(params, batch->tasks[i]);
  pg_param_array_end(params);
}

static void put_params(struct pg_params *params, const struct batch *batch) {
  const struct finish *finish = batch->group->finish;
  bool final = batch->group == &finish->finals;
  pg_params_init(params);
  pg_param_text(params, finish->cfg->worker_name);
  put_array(params, batch, PG_ELEM_UUID, put_id);
  put_array(params, batch, PG_ELEM_INT4, put_attempt);
  put_array(params, batch, final ? PG_ELEM_TEXT : PG_ELEM_INT4, final ? put_state : put_failed);
  put_array(params, batch, final ? PG_ELEM_JSON : PG_ELEM_INT4, final ? put_body : put_crashed);
  put_array(params, batch, PG_ELEM_JSON, put_error);
  if (final) return;
  put_array(params, batch, PG_ELEM_INT4, put_base);
  put_array(params, batch, PG_ELEM_INT4, put_cap);
}

/* --- what became of a batch --- */

static void settle(struct finish *finish, struct task *task) {
  finish->pending--;
  finish->bytes -= task->answer.len;
  finish->forget(finish->arg, task);
}

static void tell(struct finish *finish, const struct task *task, const char *state) {
  static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_INFO, LOG_INFO, LOG_WARN, LOG_INFO, LOG_DEBUG};
  bool queued = strcmp(state, "queued") == 0;
  if (queued)
    bell_changed(finish->bell, &task->id);
  else
    bell_announce(finish->bell, &task->id);
  if (queued && task->outcome == OUTCOME_RELEASE) bell_ring(finish->bell, task->stream, &task->id);
  metric_add(&attempts, outcome_names[task->outcome], 1);
  metric_add(&kinds, task->kind.name, 1);
  task_log(levels[task->outcome], task, "attempt ended", "outcome", outcome_names[task->outcome], "state", state, "error",
           task->answer.len && task->answer.len < 2048 ? buf_str(&task->answer) : NULL, NULL);
}

static const char *state_in(const PGresult *res, const struct task *task) {
  for (int row = 0; row < PQntuples(res); row++)
    if (strcmp(PQgetvalue(res, row, 0), task->name) == 0) return PQgetvalue(res, row, 1);
  return NULL;
}

/* There is room now for others of these owners. */
static void call_next(const struct batch *batch) {
  const struct finish *finish = batch->group->finish;
  struct id owners[BATCH_ROWS];
  int count = 0;
  for (int i = 0; i < batch->count; i++) {
    const struct task *task = batch->tasks[i];
    bool known = !task->capped;
    for (int j = 0; j < count && !known; j++) known = memcmp(&owners[j], &task->owner_id, sizeof owners[j]) == 0;
    if (!known) owners[count++] = task->owner_id;
  }
  turns_next(finish->pool, finish->bell, finish->cfg, owners, count);
}

static void on_saved(struct batch *batch, const PGresult *res) {
  struct finish *finish = batch->group->finish;
  call_next(batch);
  for (int i = 0; i < batch->count; i++) {
    struct task *task = batch->tasks[i];
    const char *state = state_in(res, task);
    if (state) {
      tell(finish, task, state);
    } else {
      metric_add(&fenced, task->kind.name, 1);
      task_log(LOG_WARN, task, "finish fenced: a newer attempt owns the job", "outcome", outcome_names[task->outcome], NULL);
    }
    settle(finish, task);
  }
}

static void put_back(struct batch *batch) {
  for (int i = batch->count - 1; i >= 0; i--) TAILQ_INSERT_HEAD(&batch->group->waiting, batch->tasks[i], next);
  batch->group->count += batch->count;
}

/* The statement was refused for what it held. */
static void on_refused(struct batch *batch, const struct error *err) {
  struct finish *finish = batch->group->finish;
  struct task *task = batch->tasks[0];
  metric_add(&retried, "refused", 1);
  if (batch->count > 1) {
    for (int i = 0; i < batch->count; i++) batch->tasks[i]->alone = true;
    put_back(batch);
    return;
  }
  task_log(LOG_ERROR, task, "Postgres refuses a job's result", "error", err->message, NULL);
  if (strstr(buf_str(&task->answer), "RESULT_REFUSED")) { /* not even that: its lease runs out and the sweeper deals with it */
    settle(finish, task);
    return;
  }
  finish->bytes -= task->answer.len;
  task_end_error(task, OUTCOME_FAILED, "RESULT_REFUSED", "the result could not be stored: %s", err->message);
  finish->bytes += task->answer.len;
  batch->group = &finish->finals;
  put_back(batch);
}

static bool is_content(const struct error *err) { return err->status != ERR_UNAVAILABLE && err->status != ERR_INTERNAL; }

static void wait_a_little(struct finish *finish) { event_add(finish->again, &(struct timeval){.tv_usec = AGAIN_MS * 1000}); }

static void on_answer(void *arg, const PGresult *res, const struct error *err) {
  struct batch *batch = arg;
  struct group *group = batch->group;
  group->inflight--;
  if (res) {
    on_saved(batch, res);
  } else if (is_content(err)) {
    on_refused(batch, err);
  } else {
    metric_add(&retried, "unavailable", 1);
    log_event(LOG_WARN, "finish failed; it is sent again", "rows", log_fmt("%d", batch->count), "error", err->message, NULL);
    put_back(batch);
    wait_a_little(group->finish);
  }
  free(batch);
  if (res || is_content(err)) {
    flush(&group->finish->finals);
    flush(&group->finish->returns);
  }
}

/* --- sending --- */

static struct batch *gather(struct group *group) {
  struct batch *batch = malloc(sizeof *batch);
  if (!batch) return NULL;
  *batch = (struct batch){.group = group};
  size_t bytes = 0;
  for (struct task *task; batch->count < BATCH_ROWS && (task = TAILQ_FIRST(&group->waiting));) {
    if (batch->count && (task->alone || bytes + task->answer.len > BATCH_BYTES)) break;
    TAILQ_REMOVE(&group->waiting, task, next);
    group->count--;
    batch->tasks[batch->count++] = task;
    bytes += task->answer.len;
    if (task->alone) break;
  }
  qsort(batch->tasks, (size_t)batch->count, sizeof batch->tasks[0], by_id);
  return batch;
}

static bool send_batch(struct group *group) {
  struct finish *finish = group->finish;
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  struct batch *batch = gather(group);
  if (!batch) return false;
  put_params(&params, batch);
  if (pgloop_query(finish->pool, group->stmt, &params, 0, on_answer, batch, &err) == OK) {
    group->inflight++;
    return true;
  }
  put_back(batch);
  free(batch);
  if (err.status == ERR_TOO_LARGE) log_event(LOG_ERROR, "a finish can't be sent", "error", err.message, NULL);
  wait_a_little(finish);
  return false;
}

static void flush(struct group *group) {
  while (group->count && pgloop_up(group->finish->pool) && (group->inflight == 0 || (group->inflight < 2 && group->count >= BATCH_ROWS)))
    if (!send_batch(group)) return;
}

void finish_add(struct finish *finish, struct task *task) {
  struct group *group = task->outcome <= OUTCOME_CANCELLED ? &finish->finals : &finish->returns;
  buf_free(&task->frame);
  if (task->answer.failed) task_end_error(task, OUTCOME_FAILED, "RESULT_TOO_LARGE", "out of memory while the result was taken over");
  finish->pending++;
  finish->bytes += task->answer.len;
  TAILQ_INSERT_TAIL(&group->waiting, task, next);
  group->count++;
  flush(group);
}

void finish_resume(struct finish *finish) {
  flush(&finish->finals);
  flush(&finish->returns);
}

static void on_again(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what;
  finish_resume(arg);
}

int finish_pending(const struct finish *finish) { return finish->pending; }

bool finish_full(const struct finish *finish) { return finish->pending >= PENDING_ROWS || finish->bytes >= PENDING_BYTES; }

enum status finish_new(struct event_base *base, const struct config *cfg, struct pgloop *pool, struct bell *bell,
                       void (*forget)(void *arg, struct task *task), void *arg, struct finish **ret_finish, struct error *err) {
  struct finish *finish = calloc(1, sizeof *finish);
  if (!finish) return error_oom(err);
  *finish = (struct finish){.cfg = cfg, .pool = pool, .bell = bell, .forget = forget, .arg = arg};
  finish->finals = (struct group){.finish = finish, .stmt = &finals_stmt};
  finish->returns = (struct group){.finish = finish, .stmt = &returns_stmt};
  TAILQ_INIT(&finish->finals.waiting);
  TAILQ_INIT(&finish->returns.waiting);
  finish->again = evtimer_new(base, on_again, finish);
  if (!finish->again) {
    free(finish);
    return error_oom(err);
  }
  *ret_finish = finish;
  return OK;
}

static void drop_all(struct group *group) {
  for (struct task *task; (task = TAILQ_FIRST(&group->waiting));) {
    TAILQ_REMOVE(&group->waiting, task, next);
    settle(group->finish, task);
  }
}

void finish_free(struct finish *finish) {
  if (!finish) return;
  drop_all(&finish->finals);
  drop_all(&finish->returns);
  event_free(finish->again);
  free(finish);
}
