/* claim.c - the half of the queue that gets work: reading the bell and claiming rows. poll.c is what happens when there is no bell.
 *
 * How much is asked for: free slots plus 20 ms of work, as recent durations tell. When: at once if no claim is in flight, else when half of
 * the room is free or a claim ends, so claims grow into batches by themselves. A read that found nothing is followed by a blocking one.
 *
 * Two statements. `claim` is for everybody else's jobs; what it leaves behind is tried by `claim_capped`, which knows the owners that may
 * not run everything at once (schema/0006_steering.sql), and by `cancel_queued`. Nothing is claimed of a kind or lane that is paused: its
 * entries are acknowledged like all others, and the sweeper rings for its jobs when they are resumed.
 *
 * A claim of brief kinds alone commits without waiting for the disk (synchronous_commit is off in its transaction, and in no other). Should
 * Postgres crash before it got there, the row is queued again under the attempt before, and a later claim counts up to the same attempt.
 * That is harmless, because
 * - what is published has been claimed for good: the finish commits with synchronous_commit on, behind the claim in the same log;
 * - the fence names the worker beside the attempt, and its name is of this process alone: another worker's claim of the same number fences
 *   us. If it is our own second claim, two tasks hold one row: whichever ends first takes it out of the queue, the other one is fenced;
 * - nobody else looks at the attempts of these kinds: they have no effect but their result. Kinds that use "<id>:<attempt>" outside
 * (execution of a migration, first of all) are claimed for good before they begin, and so is a batch that holds one of them;
 * - a heartbeat, a progress report, a release of ours that comes after the crash meets a queued row and changes nothing.
 * tests/model/queue.pml has the crash, tests/chaos the immediate shutdown.
 *
 * A claim whose outcome is unknown may have made rows ours. They are looked for first (`astray`): what runs under our name and isn't held
 * is queued again, free of charge; then the claim is sent again. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/publish.h"
#include "worker/claim.h"
#include "worker/wire.h"

#define CLAIMS_INFLIGHT 2
#define PAUSE_MS 100
#define RECLAIM_EVERY_MS 5000
#define DEFAULT_KIND_MS (60 * 1000)

static const struct pg_stmt claim_stmt = {"claim",
                                          "WITH c AS (" SQL_CLAIM "WHERE q.id = ANY ($3::uuid[]) AND " SQL_CLAIMABLE SQL_CLAIMED_ROWS
                                          ", quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS off FROM c "
                                          "HAVING bool_and(c.kind = ANY ($6::text[])))"
                                          " SELECT " SQL_CLAIM_COLUMNS ", (SELECT q.off FROM quick q)" SQL_FROM_RECORD
                                          " AND j.id BETWEEN $4::uuid AND $5::uuid",
                                          6};

static const struct pg_stmt capped_stmt = {
    "claim_capped",
    "WITH c AS (SELECT * FROM autodb.claim_capped($1, $2::int4, $3::uuid[], $6::int4))" SQL_WITH_RECORD
    " AND j.id BETWEEN $4::uuid AND $5::uuid",
    6};

/* As everything that goes back to the queue: what its owner wants cancelled ends instead. */
static const struct pg_stmt astray_stmt = {
    "claim_astray",
    "WITH found AS MATERIALIZED (SELECT q.id, q.cancel_requested AS ends FROM autodb.queue q"
    " WHERE q.state = 'running' AND q.lease_owner = $1 AND NOT (q.id = ANY ($2::uuid[])) FOR UPDATE), "
    "again AS (UPDATE autodb.queue q SET state = 'queued', lease_owner = NULL, lease_until = NULL, dispatched_at = now()"
    " FROM found f WHERE q.id = f.id AND NOT f.ends RETURNING q.id, q.lane, q.tier, q.state), "
    "done AS (DELETE FROM autodb.queue q USING found f WHERE q.id = f.id AND f.ends"
    " RETURNING q.id, q.lane, q.tier, q.owner_id, q.kind, q.attempt, 'cancelled'::autodb.job_state AS state, q.callback_url, NULL::json AS "
    "body, '" JSON_CANCELLED "'::json AS error, q.started_at, q.progress, q.failures, q.crashes), " SQL_PUBLISH
    "SELECT id, lane, tier, state FROM again UNION ALL SELECT id, lane, tier, state FROM done",
    2};

static const struct pg_stmt cancel_stmt = {
    "cancel_queued",
    "WITH done AS (DELETE FROM autodb.queue q WHERE q.id = ANY ($1::uuid[]) AND q.state = 'queued' AND q.cancel_requested"
    " RETURNING q.id, q.owner_id, q.kind, q.attempt, 'cancelled'::autodb.job_state AS state, q.callback_url, NULL::json AS body, "
    "'" JSON_CANCELLED "'::json AS error, q.started_at, q.progress, q.failures, q.crashes), " SQL_PUBLISH
    "SELECT d.id, d.attempt, (SELECT j.trace FROM autodb.jobs j WHERE j.id = d.id) FROM done d",
    1};

static struct metric claimed = METRIC_COUNTER("autodb_jobs_claimed_total", "Jobs claimed, by the way they were found.", "source");
static struct metric duplicates = METRIC_COUNTER(
    "autodb_dispatches_not_claimed_total", "Stream entries whose job was not claimed: duplicates, paused, or its owner at the cap.", NULL);
static struct metric strays =
    METRIC_COUNTER("autodb_claims_given_back_total", "Rows queued again after a claim whose outcome was unknown.", NULL);
static struct metric errors = METRIC_COUNTER("autodb_claim_errors_total", "Claim statements that failed.", NULL);

/* --- rows become tasks --- */

static struct job_kind kind_of(const char *name) {
  const struct job_kind *kind = job_kind_find(name);
  return kind ? *kind
              : (struct job_kind){.name = "unknown",
                                  .lane = LANE_DEFAULT,
                                  .timeout_ms = DEFAULT_KIND_MS,
                                  .max_attempts = 1,
                                  .memory_mb = 512,
                                  .retry_base_ms = LIMIT_RETRY_BASE_MS,
                                  .retry_cap_ms = LIMIT_RETRY_CAP_MS};
}

static const char *text_at(const PGresult *res, int row, int col) { return PQgetisnull(res, row, col) ? NULL : PQgetvalue(res, row, col); }

static struct task *task_of_row(const struct queue *queue, const PGresult *res, int row, int64_t sent_ms) {
  struct task *task = task_new();
  if (!task) return NULL;
  struct wire_job job = {.id = PQgetvalue(res, row, CLAIM_ID),
                         .kind = PQgetvalue(res, row, CLAIM_KIND),
                         .attempt = (int)strtol(PQgetvalue(res, row, CLAIM_ATTEMPT), NULL, 10),
                         .owner_id = text_at(res, row, CLAIM_OWNER),
                         .connection_id = text_at(res, row, CLAIM_CONNECTION),
                         .trace = text_at(res, row, CLAIM_TRACE),
                         .payload = PQgetvalue(res, row, CLAIM_PAYLOAD),
                         .payload_len = (size_t)PQgetlength(res, row, CLAIM_PAYLOAD)};
  task->kind = kind_of(job.kind);
  task->attempt = job.attempt;
  task->lease_ms = queue_lease_ms(queue, sent_ms);
  snprintf(task->name, sizeof task->name, "%s", job.id);
  snprintf(task->kind_name, sizeof task->kind_name, "%s", job.kind);
  trace_id_of(job.trace, task->trace_id);
  task->stream = job_stream_parse(PQgetvalue(res, row, CLAIM_LANE), PQgetvalue(res, row, CLAIM_TIER));
  if (!id_parse(job.id, &task->id) || !job.owner_id || !id_parse(job.owner_id, &task->owner_id) || task->stream < 0 ||
      !wire_put_job(&task->frame, &job)) {
    task_free(task); /* out of memory: its lease runs out */
    return NULL;
  }
  return task;
}

void claim_take_rows(const struct claim *claim, const PGresult *res, const char *source) {
  struct queue *queue = claim->queue;
  for (int row = 0; row < PQntuples(res); row++) {
    struct task *task = task_of_row(queue, res, row, claim->sent_ms);
    if (!task) {
      queue->astray = true;
      continue;
    }
    task->capped = claim->capped;
    queue_take(queue, task);
  }
  if (PQntuples(res)) metric_add(&claimed, source, PQntuples(res));
}

/* --- claiming what was read --- */

/* As uuid[]. */
static void put_ids(struct pg_params *params, const struct id *ids, int count) {
  pg_param_array_begin(params, PG_ELEM_UUID);
  for (int i = 0; i < count; i++) pg_param_array_item(params, ids[i].bytes, sizeof ids[i].bytes);
  pg_param_array_end(params);
}

/* Least and greatest: the days whose partitions are looked into. */
static void put_bounds(struct pg_params *params, const struct id *ids, int count) {
  const struct id *least = NULL, *greatest = NULL;
  for (int i = 0; i < count; i++) {
    if (!least || memcmp(ids[i].bytes, least->bytes, sizeof least->bytes) < 0) least = &ids[i];
    if (!greatest || memcmp(ids[i].bytes, greatest->bytes, sizeof greatest->bytes) > 0) greatest = &ids[i];
  }
  pg_param_uuid(params, least);
  pg_param_uuid(params, greatest);
}

static void put_brief_kinds(struct pg_params *params) {
  const struct job_kind *kind;
  pg_param_array_begin(params, PG_ELEM_TEXT);
  for (size_t i = 0; (kind = job_kind_at(i)); i++)
    if (kind->brief) pg_param_array_item(params, kind->name, (long)strlen(kind->name));
  pg_param_array_end(params);
}

static bool in_rows(const PGresult *res, const struct id *id) {
  char text[ID_TEXT];
  id_format(id, text);
  for (int row = 0; row < PQntuples(res); row++)
    if (strcmp(PQgetvalue(res, row, 0), text) == 0) return true;
  return false;
}

/* What was read and not claimed: a duplicate, cancelled while it was queued, paused, or its owner has a cap. The last are claimed apart. */
static struct claim *rest_of(const struct claim *claim, const PGresult *res) {
  struct claim *rest = calloc(1, sizeof *rest + (size_t)claim->count * sizeof rest->entries[0]);
  if (!rest) return NULL; /* the sweeper finds them */
  rest->queue = claim->queue;
  rest->capped = rest->acked = true;
  for (int i = 0; i < claim->count; i++)
    if (claim->entries[i].valid && !in_rows(res, &claim->entries[i].id)) rest->entries[rest->count++] = claim->entries[i];
  return rest;
}

static void give_up(struct claim *claim) {
  struct id *ids = calloc((size_t)claim->count, sizeof *ids);
  for (int i = 0; ids && i < claim->count; i++) ids[i] = claim->entries[i].id;
  if (ids) claim_cancel_queued(claim->queue, ids, claim->count);
  metric_add(&duplicates, NULL, claim->count);
  free(ids);
  free(claim);
}

static void to_limbo(struct claim *claim, const struct error *err) {
  struct queue *queue = claim->queue;
  metric_add(&errors, NULL, 1);
  log_event(LOG_WARN, "claim failed; it is tried again", "error", err->message, NULL);
  bool away = err->status == ERR_UNAVAILABLE;
  if (away) queue->astray = true;
  TAILQ_INSERT_TAIL(&queue->limbo, claim, next);
  queue->pause_ms = clock_mono_ms() + (away ? PAUSE_MS : PAUSE_MS * 10);
}

static void send_claim(struct claim *claim);

static void on_claimed(void *arg, const PGresult *res, const struct error *err) {
  struct claim *claim = arg;
  struct queue *queue = claim->queue;
  queue->claims--;
  queue->claiming -= claim->count;
  if (!res) {
    to_limbo(claim, err);
    queue_pump(queue);
    return;
  }
  if (!claim->acked) bell_ack(queue->bell, claim->entries, claim->count);
  claim_take_rows(claim, res, "stream");
  struct claim *rest = PQntuples(res) < claim->count ? rest_of(claim, res) : NULL;
  if (rest && rest->count && !claim->capped)
    send_claim(rest);
  else if (rest && rest->count)
    give_up(rest);
  else
    free(rest);
  free(claim);
  queue_pump(queue);
}

void claim_put_worker(const struct queue *queue, struct pg_params *params) {
  pg_params_init(params);
  pg_param_text(params, queue->cfg->worker_name);
  pg_param_int(params, queue->cfg->lease_seconds);
}

static void send_claim(struct claim *claim) {
  struct queue *queue = claim->queue;
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  claim_put_worker(queue, &params);
  struct id *ids = calloc((size_t)claim->count, sizeof *ids);
  int count = 0;
  for (int i = 0; ids && i < claim->count; i++)
    if (claim->entries[i].valid) ids[count++] = claim->entries[i].id;
  if (ids && !count) { /* nothing in it names a job */
    if (!claim->acked) bell_ack(queue->bell, claim->entries, claim->count);
    free(claim);
    free(ids);
    return;
  }
  put_ids(&params, ids, count);
  put_bounds(&params, ids, count);
  free(ids);
  if (claim->capped)
    pg_param_int(&params, queue->cfg->owner_running);
  else
    put_brief_kinds(&params);
  claim->sent_ms = clock_mono_ms();
  if (pgloop_query(queue->pool, claim->capped ? &capped_stmt : &claim_stmt, &params, 0, on_claimed, claim, &err) != OK) {
    to_limbo(claim, &err);
    return;
  }
  queue->claims++;
  queue->claiming += claim->count;
}

static void claim_entries(struct queue *queue, const struct bell_entry *entries, int count) {
  struct claim *claim = malloc(sizeof *claim + (size_t)count * sizeof claim->entries[0]);
  if (!claim) return; /* they stay pending and are taken over later */
  *claim = (struct claim){.queue = queue, .count = count, .capped = queue->cfg->owner_running > 0};
  memcpy(claim->entries, entries, (size_t)count * sizeof claim->entries[0]);
  queue_hurry(queue);
  send_claim(claim);
}

/* --- cancelled while queued --- */

static void on_cancelled(void *arg, const PGresult *res, const struct error *err) {
  struct queue *queue = arg;
  if (!res) log_event(LOG_WARN, "cancelling queued jobs failed", "error", err->message, NULL);
  for (int row = 0; res && row < PQntuples(res); row++) {
    struct id id;
    char trace_id[TRACE_ID_TEXT];
    if (id_parse(PQgetvalue(res, row, 0), &id)) bell_announce(queue->bell, &id);
    log_event(LOG_INFO, "cancelled before it began", "job", PQgetvalue(res, row, 0), "attempt", PQgetvalue(res, row, 1), "trace_id",
              *trace_id_of(PQgetvalue(res, row, 2), trace_id) ? trace_id : NULL, NULL);
  }
}

void claim_cancel_queued(struct queue *queue, const struct id *ids, int count) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  pg_params_init(&params);
  put_ids(&params, ids, count);
  if (pgloop_query(queue->pool, &cancel_stmt, &params, 0, on_cancelled, queue, &err) != OK)
    log_event(LOG_WARN, "cancelling queued jobs failed", "error", err.message, NULL);
}

/* --- claims gone astray --- */

static void on_found(void *arg, const PGresult *res, const struct error *err) {
  struct queue *queue = arg;
  queue->finding = false;
  if (!res)
    log_event(LOG_WARN, "looking for claims gone astray failed", "error", err->message, NULL);
  else
    queue->astray = false;
  for (int row = 0; res && row < PQntuples(res); row++) {
    struct id id;
    int stream = job_stream_parse(PQgetvalue(res, row, 1), PQgetvalue(res, row, 2));
    bool ended = strcmp(PQgetvalue(res, row, 3), "queued") != 0;
    if (id_parse(PQgetvalue(res, row, 0), &id) && ended)
      bell_announce(queue->bell, &id);
    else if (stream >= 0)
      bell_ring(queue->bell, stream, &id);
    metric_add(&strays, NULL, 1);
  }
  queue_pump(queue);
}

static void find_astray(struct queue *queue) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  if (queue->finding || queue->claims || !pgloop_up(queue->pool)) return;
  pg_params_init(&params);
  pg_param_text(&params, queue->cfg->worker_name);
  queue_put_held(queue, &params);
  queue->finding = pgloop_query(queue->pool, &astray_stmt, &params, 0, on_found, queue, &err) == OK;
}

/* True when everything read before has been sent again. */
static bool leave_limbo(struct queue *queue) {
  if (clock_mono_ms() < queue->pause_ms) return false;
  int count = 0;
  for (struct claim *claim; (claim = TAILQ_FIRST(&queue->limbo)) && count < CLAIMS_INFLIGHT; count++) {
    TAILQ_REMOVE(&queue->limbo, claim, next);
    send_claim(claim);
  }
  return count == 0;
}

/* --- reading --- */

static int responsive(const struct queue *queue) { return slots_responsive(queue->slots, clock_mono_ms(), 50); }

/* How many more jobs may be claimed now; 0 also when it is better to let room gather. */
static int room(const struct queue *queue) {
  int limit = slots_count(queue->slots) + queue_ahead(queue->ewma_ms, responsive(queue));
  int room = limit - queue->held - queue->claiming;
  if (room <= 0 || (queue->claims && room < limit / 2)) return 0;
  return room;
}

static bool may_claim(const struct queue *queue) {
  return !queue->draining && !queue->astray && queue->claims < CLAIMS_INFLIGHT && TAILQ_EMPTY(&queue->limbo) && pgloop_up(queue->pool) &&
         !finish_full(queue->finish);
}

static void read_bell(struct queue *queue, int capacity) {
  int quota[JOB_STREAMS];
  queue->reading = true;
  if (queue->dry) {
    queue->awaited = capacity / LANE_COUNT > 0 ? capacity / LANE_COUNT : 1;
    bell_wait(queue->bell, queue->awaited);
    return;
  }
  lanes_share(&queue->lanes, capacity, quota);
  bell_read(queue->bell, capacity, quota);
}

void claim_pump(struct queue *queue) {
  int64_t now = clock_mono_ms();
  if (queue->astray) find_astray(queue);
  if (queue->astray || !pgloop_up(queue->pool) || !leave_limbo(queue) || queue->reading || !may_claim(queue)) return;
  int capacity = room(queue);
  if (capacity <= 0) return;
  bool polling = !bell_up(queue->bell) || queue->leftovers;
  if (polling)
    poll_pump(queue, capacity);
  else if (!polling && now >= queue->pause_ms)
    read_bell(queue, capacity);
}

/* After a wait: what gave less than it was asked for holds nothing more. */
static bool saw_waited(struct queue *queue, const struct bell_entry *entries, int count) {
  int got[JOB_STREAMS] = {0};
  bool more = false;
  for (int i = 0; i < count; i++) got[entries[i].stream]++;
  for (int stream = 0; stream < JOB_STREAMS; stream++) {
    if (got[stream]) lanes_saw(&queue->lanes, stream, got[stream] >= queue->awaited);
    more = more || got[stream] >= queue->awaited;
  }
  return more;
}

void claim_read(void *arg, const struct bell_entry *entries, int count, const bool has_more[JOB_STREAMS], bool failed) {
  struct queue *queue = arg;
  queue->reading = false;
  if (failed) {
    queue->pause_ms = clock_mono_ms() + PAUSE_MS;
    queue_hurry(queue);
  }
  for (int stream = 0; has_more && stream < JOB_STREAMS; stream++) lanes_saw(&queue->lanes, stream, has_more[stream]);
  bool more = has_more ? count > 0 : saw_waited(queue, entries, count);
  queue->dry = !more && !failed;
  if (count && !queue->draining) claim_entries(queue, entries, count); /* while draining: put back by bell_leave */
  queue_pump(queue);
}

void claim_reclaimed(void *arg, const struct bell_entry *entries, int count) {
  struct queue *queue = arg;
  if (queue->draining) return;
  log_event(LOG_INFO, "took over stream entries that were read and never claimed", "count", log_fmt("%d", count), NULL);
  claim_entries(queue, entries, count);
}

void claim_tick(struct queue *queue, int64_t now_ms) {
  if (now_ms < queue->reclaim_ms || !bell_up(queue->bell) || !may_claim(queue)) return;
  int capacity = room(queue);
  if (capacity <= 0) return;
  queue->reclaim_ms = now_ms + RECLAIM_EVERY_MS / 2 + arc4random_uniform(RECLAIM_EVERY_MS);
  bell_reclaim(queue->bell, capacity / LANE_COUNT > 0 ? capacity / LANE_COUNT : 1);
}

void claim_up(struct queue *queue) {
  queue->dry = false;
  queue_pump(queue);
}

void claim_bell(struct queue *queue, bool up) {
  queue->dry = false;
  queue->leftovers = up;
  queue->poll_ms = 0;
  queue->pause_ms = 0;
  queue_hurry(queue);
  queue_pump(queue);
}

void claim_free(struct queue *queue) {
  for (struct claim *claim; (claim = TAILQ_FIRST(&queue->limbo));) {
    TAILQ_REMOVE(&queue->limbo, claim, next);
    free(claim);
  }
}
