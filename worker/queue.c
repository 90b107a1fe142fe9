/* queue.c - the half of the queue that keeps work: feeding slots, leases, cancellation, progress, giving back.
 *
 * A task is in `all` from its claim to its settled finish; `held` counts those that still occupy a slot or wait for one. A claimed task
 * that waits longer than 100 ms for a slot (a long job got in the way of the brief ones) is given back unharmed, so that another worker can
 * run it.
 *
 * Leases: one UPDATE renews all. A task the answer leaves out was stolen: its work is killed and nothing is written. A task
 * whose lease could not be renewed in time is killed by the clock here, before any other worker may claim it. */
#include "worker/queue.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/pgsettings.h"
#include "worker/queue_impl.h"

#define POOL_CONNECTIONS 4
#define TICK_FAST_MS 50
#define TICK_SLOW_MS 1000
#define READY_MS 100
#define AHEAD_MS 20
#define AHEAD_MAX 128
#define EWMA_SHARE 0.2
#define PROGRESS_MS 250
#define COMPLAIN_MS 5000

static const struct pg_stmt beat_stmt = {
    "heartbeat",
    "UPDATE autodb.queue j SET lease_until = now() + $2::int4 * interval '1 second'"
    " FROM unnest($3::uuid[], $4::int4[]) AS f(id, attempt)"
    " WHERE j.id = f.id AND j.attempt = f.attempt AND j.state = 'running' AND j.lease_owner = $1 RETURNING j.id, j.cancel_requested",
    4};

static const struct pg_stmt progress_stmt = {
    "progress",
    "UPDATE autodb.queue j SET progress = f.progress, progress_seq = j.progress_seq + 1 FROM unnest($2::uuid[], $3::int4[], $4::json[]) AS "
    "f(id, attempt, progress)"
    " WHERE j.id = f.id AND j.attempt = f.attempt AND j.state = 'running' AND j.lease_owner = $1 RETURNING j.id",
    4};

static struct metric job_seconds = METRIC_HISTOGRAM("autodb_job_seconds", "From the start to the answer of jobs in slots.", "kind");
static struct metric released = METRIC_COUNTER("autodb_jobs_released_total", "Claimed jobs given back unharmed, by cause.", "cause");
static struct metric lost =
    METRIC_COUNTER("autodb_jobs_lost_total", "Claimed jobs stopped here because their lease was lost, by cause.", "cause");
static struct metric held = METRIC_GAUGE("autodb_jobs_held", "Claimed jobs of this worker that have not ended.", NULL);
static struct metric pg_changes =
    METRIC_COUNTER("autodb_postgres_state_changes_total", "Postgres becoming reachable and unreachable.", "state");

int queue_ahead(double ewma_ms, int slots) {
  double jobs = ewma_ms > 0.01 ? slots * AHEAD_MS / ewma_ms : AHEAD_MAX;
  if (ewma_ms > AHEAD_MS || slots <= 0) return 0;
  return jobs > AHEAD_MAX ? AHEAD_MAX : (int)jobs;
}

int64_t queue_lease_ms(const struct queue *queue, int64_t sent_ms) {
  int64_t lease_ms = (int64_t)queue->cfg->lease_seconds * 1000; /* 5 of 30 s are the margin */
  return sent_ms + lease_ms - lease_ms / 6;
}

/* --- ending tasks --- */

static void forget(void *arg, struct task *task) {
  struct queue *queue = arg;
  TAILQ_REMOVE(&queue->all, task, all);
  task_free(task);
}

/* From ready, sent or running to ended; task->outcome is set. */
static void end(struct queue *queue, struct task *task) {
  task->state = TASK_ENDED;
  queue->held--;
  if (task->outcome == OUTCOME_LOST)
    forget(queue, task);
  else
    finish_add(queue->finish, task);
}

static void release(struct queue *queue, struct task *task, const char *cause) {
  metric_add(&released, cause, 1);
  task_end(task, OUTCOME_RELEASE, NULL, 0);
  end(queue, task);
}

static void end_cancelled(struct queue *queue, struct task *task) {
  task_end_error(task, OUTCOME_CANCELLED, "JOB_CANCELLED", "cancelled on request");
  end(queue, task);
}

static void lose(struct queue *queue, struct task *task, const char *cause) {
  metric_add(&lost, cause, 1);
  task_log(LOG_WARN, task, "the lease of a job is lost; its work is stopped", "cause", cause, NULL);
  if (task->state == TASK_READY) {
    TAILQ_REMOVE(&queue->ready, task, next);
    task_end(task, OUTCOME_LOST, NULL, 0);
    end(queue, task);
  } else {
    task->lost = true; /* one that is sent and hasn't begun is stopped as it begins */
    slots_kill(queue->slots, task, OUTCOME_LOST);
  }
}

/* --- slots --- */

static void feed(struct queue *queue) {
  for (struct task *task; !queue->draining && (task = TAILQ_FIRST(&queue->ready));) {
    if (!slots_offer(queue->slots, task)) return;
    TAILQ_REMOVE(&queue->ready, task, next);
  }
}

void queue_pump(struct queue *queue) {
  feed(queue);
  claim_pump(queue);
}

void queue_take(struct queue *queue, struct task *task) {
  task->ready_ms = clock_mono_ms();
  task->state = TASK_READY;
  TAILQ_INSERT_TAIL(&queue->all, task, all);
  queue->held++;
  /* Not for brief kinds: ten thousand a second begin and have ended before anybody could look. One that takes longer after all is heard of
   * with its first progress. */
  if (!task->kind.brief) bell_changed(queue->bell, &task->id);
  if (queue->draining)
    release(queue, task, "shutdown");
  else
    TAILQ_INSERT_TAIL(&queue->ready, task, next);
  queue_hurry(queue);
}

static void on_ended(void *arg, struct task *task, int64_t ran_us) {
  struct queue *queue = arg;
  if (ran_us >= 0) {
    queue->ewma_ms += EWMA_SHARE * ((double)ran_us / 1000 - queue->ewma_ms);
    metric_observe_us(&job_seconds, task->kind.name, ran_us);
  }
  if (task->outcome == OUTCOME_RELEASE) metric_add(&released, queue->draining ? "shutdown" : "slot", 1);
  end(queue, task);
}

static void on_returned(void *arg, struct task *task) {
  struct queue *queue = arg;
  task->state = TASK_READY;
  if (task->lost) {
    task_end(task, OUTCOME_LOST, NULL, 0);
    end(queue, task);
  } else if (queue->draining) {
    release(queue, task, "shutdown");
  } else if (task->cancel) {
    end_cancelled(queue, task);
  } else {
    TAILQ_INSERT_TAIL(&queue->ready, task, next);
  }
}

static void on_idle(void *arg) { queue_pump(arg); }

/* --- cancellation --- */

static struct task *find(struct queue *queue, const struct id *id) {
  struct task *task;
  TAILQ_FOREACH(task, &queue->all, all)
  if (task->state != TASK_ENDED && memcmp(task->id.bytes, id->bytes, sizeof id->bytes) == 0) return task;
  return NULL;
}

static void cancel(struct queue *queue, struct task *task) {
  if (task->state == TASK_READY) {
    TAILQ_REMOVE(&queue->ready, task, next);
    end_cancelled(queue, task);
  } else if (!task->cancel) {
    slots_cancel(queue->slots, task);
  }
}

static void on_cancel(void *arg, const struct id *id) {
  struct queue *queue = arg;
  struct task *task = find(queue, id);
  if (task)
    cancel(queue, task);
  else if (pgloop_up(queue->pool))
    claim_cancel_queued(queue, id, 1);
}

/* --- leases --- */

static void put_held(const struct queue *queue, struct pg_params *params, bool ended_too) {
  const struct task *task;
  pg_param_array_begin(params, PG_ELEM_UUID);
  TAILQ_FOREACH(task, &queue->all, all)
  if (ended_too || task->state != TASK_ENDED) pg_param_array_item(params, task->id.bytes, sizeof task->id.bytes);
  pg_param_array_end(params);
}

void queue_put_held(const struct queue *queue, struct pg_params *params) { put_held(queue, params, true); }

struct beat {
  struct queue *queue;
  int64_t sent_ms;
  unsigned number;
};

static void renew(struct queue *queue, const struct beat *beat, const PGresult *res, int row) {
  struct id id;
  struct task *task = id_parse(PQgetvalue(res, row, 0), &id) ? find(queue, &id) : NULL;
  if (!task || task->beat != beat->number) return;
  task->beat = 0;
  task->lease_ms = queue_lease_ms(queue, beat->sent_ms);
  if (strcmp(PQgetvalue(res, row, 1), "t") == 0) cancel(queue, task);
}

static void on_beaten(void *arg, const PGresult *res, const struct error *err) {
  struct beat *beat = arg;
  struct queue *queue = beat->queue;
  queue->beating = false;
  for (int row = 0; res && row < PQntuples(res); row++) renew(queue, beat, res, row);
  struct task *task, *next;
  for (task = TAILQ_FIRST(&queue->all); res && task; task = next) {
    next = TAILQ_NEXT(task, all);
    if (task->state != TASK_ENDED && task->beat == beat->number) lose(queue, task, "stolen");
  }
  if (!res) {
    queue->beat_ms = clock_mono_ms() + TICK_SLOW_MS;
    log_event(LOG_WARN, "heartbeat failed", "error", err->message, NULL);
  }
  free(beat);
}

static void send_beat(struct queue *queue) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  struct task *task;
  struct beat *beat = malloc(sizeof *beat);
  if (!beat) return;
  *beat = (struct beat){queue, clock_mono_ms(), ++queue->beat ? queue->beat : ++queue->beat};
  pg_params_init(&params);
  pg_param_text(&params, queue->cfg->worker_name);
  pg_param_int(&params, queue->cfg->lease_seconds);
  put_held(queue, &params, false);
  pg_param_array_begin(&params, PG_ELEM_INT4);
  TAILQ_FOREACH(task, &queue->all, all)
  if (task->state != TASK_ENDED) {
    pg_param_array_int(&params, task->attempt);
    task->beat = beat->number;
  }
  pg_param_array_end(&params);
  queue->beating = pgloop_query(queue->pool, &beat_stmt, &params, 5000, on_beaten, beat, &err) == OK;
  if (!queue->beating) free(beat);
}

static void check_leases(struct queue *queue, int64_t now_ms) {
  struct task *task, *next;
  if (queue->held && !queue->beating && now_ms >= queue->beat_ms && pgloop_up(queue->pool)) {
    queue->beat_ms = now_ms + (int64_t)queue->cfg->heartbeat_seconds * 1000;
    send_beat(queue);
  }
  for (task = TAILQ_FIRST(&queue->all); task; task = next) {
    next = TAILQ_NEXT(task, all);
    if (task->state == TASK_ENDED || now_ms < task->lease_ms) continue;
    task->lease_ms = INT64_MAX;
    lose(queue, task, "not renewed in time");
  }
}

/* --- progress --- */

static void on_progress_saved(void *arg, const PGresult *res, const struct error *err) {
  struct queue *queue = arg;
  struct id id;
  if (!res) log_event(LOG_DEBUG, "progress not saved", "error", err->message, NULL);
  for (int row = 0; res && row < PQntuples(res); row++)
    if (id_parse(PQgetvalue(res, row, 0), &id)) bell_changed(queue->bell, &id);
}

static bool wants_progress(const struct task *task, int64_t now_ms) {
  return task->state == TASK_RUNNING && task->progress_new && now_ms - task->progress_ms >= PROGRESS_MS;
}

static void save_progress(struct queue *queue, int64_t now_ms) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  struct task *task;
  int count = 0;
  TAILQ_FOREACH(task, &queue->all, all) count += wants_progress(task, now_ms);
  if (!count || !pgloop_up(queue->pool)) return;
  pg_params_init(&params);
  pg_param_text(&params, queue->cfg->worker_name);
  for (int column = 0; column < 3; column++) {
    pg_param_array_begin(&params, column == 0 ? PG_ELEM_UUID : column == 1 ? PG_ELEM_INT4 : PG_ELEM_JSON);
    TAILQ_FOREACH(task, &queue->all, all) {
      if (!wants_progress(task, now_ms)) continue;
      if (column == 0)
        pg_param_array_item(&params, task->id.bytes, sizeof task->id.bytes);
      else if (column == 1)
        pg_param_array_int(&params, task->attempt);
      else
        pg_param_array_item(&params, buf_str(&task->progress), (long)task->progress.len);
    }
    pg_param_array_end(&params);
  }
  if (pgloop_query(queue->pool, &progress_stmt, &params, 5000, on_progress_saved, queue, &err) != OK) return;
  TAILQ_FOREACH(task, &queue->all, all)
  if (wants_progress(task, now_ms)) {
    task->progress_new = false;
    task->progress_ms = now_ms;
  }
}

/* --- time --- */

static void release_waiting(struct queue *queue, int64_t now_ms) {
  struct task *task, *next;
  slots_recall(queue->slots, now_ms - READY_MS);
  for (task = TAILQ_FIRST(&queue->ready); task; task = next) {
    next = TAILQ_NEXT(task, next);
    if (now_ms - task->ready_ms < READY_MS) continue;
    TAILQ_REMOVE(&queue->ready, task, next);
    release(queue, task, "no slot");
  }
}

static void arm(struct queue *queue, bool fast) {
  int ms = fast ? TICK_FAST_MS : TICK_SLOW_MS;
  queue->fast = fast;
  event_add(queue->tick, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
}

void queue_hurry(struct queue *queue) {
  if (!queue->fast) arm(queue, true);
}

/* Servers that go away are reported as they do; one that was never there has to be missed. */
static void complain(struct queue *queue, int64_t now_ms) {
  bool postgres = pgloop_up(queue->pool), redis = bell_up(queue->bell);
  if (!queue->complain_ms || now_ms < queue->complain_ms) return;
  queue->complain_ms = 0;
  if (!postgres)
    log_event(LOG_WARN, "Postgres has not been reached since the start: waiting for it", "reason", pgloop_why(queue->pool), NULL);
  if (!redis) log_event(LOG_WARN, "Redis has not been reached since the start: polling Postgres", "reason", bell_why(queue->bell), NULL);
}

static bool wants_fast(const struct queue *queue) {
  return queue->held || queue->claims || !TAILQ_EMPTY(&queue->limbo) || queue->astray || !bell_up(queue->bell) || queue->leftovers;
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
  struct queue *queue = arg;
  int64_t now = clock_mono_ms();
  (void)fd, (void)what;
  slots_tick(queue->slots, now);
  check_leases(queue, now);
  save_progress(queue, now);
  release_waiting(queue, now);
  claim_tick(queue, now);
  complain(queue, now);
  metric_set(&held, NULL, queue->held);
  queue_pump(queue);
  arm(queue, wants_fast(queue) && pgloop_up(queue->pool));
}

/* --- connections --- */

static void on_postgres(void *arg, bool up) {
  struct queue *queue = arg;
  metric_add(&pg_changes, up ? "up" : "down", 1);
  log_event(up ? LOG_INFO : LOG_WARN, up ? "Postgres is reachable" : "Postgres is away: claiming stops, results wait", "reason",
            up ? NULL : pgloop_why(queue->pool), NULL);
  if (!up) return;
  queue->beat_ms = 0;
  finish_resume(queue->finish);
  claim_up(queue);
  queue_hurry(queue);
}

static void on_bell(void *arg, bool up) { claim_bell(arg, up); }

/* --- birth and death --- */

static enum status connect_all(struct queue *queue, const char *keeper_socket, struct error *err) {
  struct bell_hooks bell_hooks = {.state = on_bell, .read = claim_read, .reclaimed = claim_reclaimed, .cancel = on_cancel, .arg = queue};
  struct slots_hooks slots_hooks = {.ended = on_ended, .returned = on_returned, .idle = on_idle, .arg = queue};
  char *conninfo = pgsettings_add(queue->cfg->database_url, PGSETTINGS_LOOKUPS);
  int count = queue->cfg->slots;
  enum status status = pgloop_new(queue->base, conninfo ? conninfo : queue->cfg->database_url, "worker", POOL_CONNECTIONS, on_postgres,
                                  queue, &queue->pool, err);
  free(conninfo);
  if (status == OK) status = bell_new(queue->base, queue->cfg, &bell_hooks, &queue->bell, err);
  if (status == OK) status = finish_new(queue->base, queue->cfg, queue->pool, queue->bell, forget, queue, &queue->finish, err);
  if (status == OK) status = slots_new(queue->base, queue->cfg, count, keeper_socket, &slots_hooks, &queue->slots, err);
  return status;
}

enum status queue_new(struct event_base *base, const struct config *cfg, const char *keeper_socket, struct queue **ret_queue,
                      struct error *err) {
  struct queue *queue = calloc(1, sizeof *queue);
  if (!queue) return error_oom(err);
  *queue = (struct queue){.base = base, .cfg = cfg, .ewma_ms = 1000, .complain_ms = clock_mono_ms() + COMPLAIN_MS};
  TAILQ_INIT(&queue->all);
  TAILQ_INIT(&queue->ready);
  TAILQ_INIT(&queue->limbo);
  queue->tick = evtimer_new(base, on_tick, queue);
  enum status status = queue->tick ? connect_all(queue, keeper_socket, err) : error_oom(err);
  if (status != OK) {
    queue_free(queue);
    return status;
  }
  arm(queue, true);
  *ret_queue = queue;
  return OK;
}

void queue_free(struct queue *queue) {
  if (!queue) return;
  queue->draining = true;
  slots_free(queue->slots);
  pgloop_free(queue->pool); /* what is in flight comes back to the finisher, or to limbo */
  finish_free(queue->finish);
  bell_free(queue->bell);
  claim_free(queue);
  for (struct task *task; (task = TAILQ_FIRST(&queue->all));) forget(queue, task);
  if (queue->tick) event_free(queue->tick);
  free(queue);
}

struct bell *queue_bell(struct queue *queue) {
  return queue->bell;
}

bool queue_reap(struct queue *queue, pid_t pid, int wait_status) { return slots_reap(queue->slots, pid, wait_status); }

void queue_drain(struct queue *queue) {
  queue->draining = true;
  for (struct task *task; (task = TAILQ_FIRST(&queue->ready));) {
    TAILQ_REMOVE(&queue->ready, task, next);
    release(queue, task, "shutdown");
  }
  slots_recall(queue->slots, INT64_MAX);
}

void queue_abort(struct queue *queue) {
  struct task *task;
  TAILQ_FOREACH(task, &queue->all, all)
  if (task->state == TASK_RUNNING) slots_kill(queue->slots, task, OUTCOME_RELEASE);
}

bool queue_holds(const struct queue *queue) { return queue->held > 0; }

bool queue_done(const struct queue *queue) { return queue->held == 0 && queue->claims == 0 && finish_pending(queue->finish) == 0; }
