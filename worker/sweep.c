/* sweep.c - the repairs; see sweep.h.
 *
 * lease      running, lease over: queued again (or dead, or cancelled), crashes + 1, and rung. Every 5 s.
 * due        retries and delayed jobs whose time has come: rung. Every 500 ms, over the run_at window since the last time.
 * lost       queued jobs, but for those paused or waiting for room (upkeep.c rings for them), whose stream entry is gone, one stream after
 * the other. Streams are first in first out and entries are deleted once claimed, so the first entry is the oldest dispatch not yet
 * claimed: a job dispatched well before it (or 5 s ago, when the stream is empty) can't be in the stream and is rung again. A backlog that
 * is merely long is left alone. Every 5 s, page after page by (run_at, id). partitions daily. keys: idempotency keys older than 24 h,
 * hourly, in batches; consumers of dead workers with them.
 *
 * Statements of one sweep never overlap. While Redis is away nothing is rung: workers poll. */
#include "worker/sweep.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/pgloop.h"
#include "common/pgsettings.h"
#include "common/publish.h"
#include "worker/upkeep.h"

#define TICK_MS 500
#define SESSION_IDLE_MS 10000 /* a leader that froze loses its session, and with it the lock; one that works is never idle as long */
#define LEAD_EVERY_MS 5000
#define SWEEP_EVERY_MS 5000
#define PAUSE_MS 2000
#define DAY_MS (24 * 3600 * 1000)
#define HOUR_MS (3600 * 1000)
#define SLACK_MS 5000 /* between Redis' clock and Postgres', and for dispatches on their way */
#define DUE_OVERLAP_MS 1000
#define DUE_FIRST_MS (10 * 60 * 1000)
#define BATCH LIMIT_TEXT(LIMIT_SWEEP_BATCH)

static const struct pg_stmt lead_stmt = {"sweep_lead", "SELECT pg_try_advisory_lock(hashtext('autodb'), hashtext('sweeper'))", 0};

static const struct pg_stmt lease_stmt = {
    "sweep_lease",
    "WITH found AS MATERIALIZED (SELECT q.id, CASE WHEN q.cancel_requested THEN 'cancelled'"
    " WHEN q.crashes + 1 >= least(" LIMIT_TEXT(
        LIMIT_CRASHES) ", q.max_attempts) THEN 'dead' ELSE 'queued' END AS verdict FROM autodb.queue q"
                       " WHERE q.state = 'running' AND q.lease_until < now() ORDER BY q.id LIMIT " BATCH " FOR UPDATE SKIP LOCKED), "
                       "again AS (UPDATE autodb.queue q SET state = 'queued', crashes = q.crashes + 1, lease_owner = NULL, lease_until = "
                       "NULL,"
                       " dispatched_at = now() FROM found f WHERE q.id = f.id AND f.verdict = 'queued' RETURNING q.id, q.lane, q.tier, "
                       "q.state, q.attempt), "
                       "done AS (DELETE FROM autodb.queue q USING found f WHERE q.id = f.id AND f.verdict <> 'queued'"
                       " RETURNING q.id, q.lane, q.tier, q.owner_id, q.kind, q.attempt, f.verdict::autodb.job_state AS state, "
                       "q.callback_url, NULL::json AS body,"
                       " CASE f.verdict WHEN 'cancelled' THEN '" JSON_CANCELLED
                       "'::json ELSE json_build_object('code', 'WORKER_LOST', 'message',"
                       " format('the worker running the job stopped renewing its lease, for the %s. time', q.crashes + 1), 'details',"
                       " json_build_object('crashes', q.crashes + 1, 'last_step', q.progress->>'step')) END AS error, q.started_at, "
                       "q.progress,"
                       " q.failures, q.crashes + 1 AS crashes), " SQL_PUBLISH
                       "SELECT e.id, e.lane, e.tier, e.state, e.attempt, (SELECT j.trace FROM autodb.jobs j WHERE j.id = e.id)"
                       " FROM (SELECT id, lane, tier, state, attempt FROM again UNION ALL SELECT id, lane, tier, state, attempt FROM done) "
                       "e",
    0};

static const struct pg_stmt due_stmt = {
    "sweep_due",
    "WITH due AS (SELECT id FROM autodb.queue WHERE state = 'queued' AND lane = ANY ('{interactive,default,bulk}'::autodb.job_lane[])"
    " AND tier = ANY ('{0,1,2,3}'::int2[]) AND run_at <= now() AND run_at > now() - $1::int4 * interval '1 millisecond'"
    " AND run_at > created_at AND (dispatched_at IS NULL OR dispatched_at < run_at) AND " SQL_NOT_PAUSED(
        "queue") " LIMIT " BATCH " FOR UPDATE SKIP LOCKED)"
                 " UPDATE autodb.queue q SET dispatched_at = now() FROM due WHERE q.id = due.id AND q.state = 'queued' RETURNING q.id, "
                 "q.lane, q.tier",
    1};

static const struct pg_stmt lost_stmt = {
    "sweep_lost",
    "WITH cut AS (SELECT CASE WHEN $3::text = '0' THEN now() ELSE to_timestamp($3::text::float8 / 1000) END"
    " - interval '" LIMIT_TEXT(
        SLACK_MS) " milliseconds' AS at), "
                  "lost AS (SELECT q.id FROM autodb.queue q, cut WHERE q.state = 'queued' AND q.lane = $1::text::autodb.job_lane"
                  " AND q.tier = $2::text::int2 AND q.run_at <= now() AND q.run_at < cut.at AND (q.run_at, q.id) > ($4::text::timestamptz, "
                  "$5::text::uuid)"
                  " AND coalesce(q.dispatched_at, greatest(q.created_at, q.run_at)) < cut.at AND " SQL_NOT_PAUSED(
                      "q") " AND NOT EXISTS (SELECT FROM autodb.turns t WHERE t.job_id = q.id AND t.attempt IS NULL) ORDER BY q.run_at, "
                           "q.id LIMIT " BATCH " FOR UPDATE OF q SKIP LOCKED), "
                           "sent AS (UPDATE autodb.queue q SET dispatched_at = now() FROM lost WHERE q.id = lost.id AND q.state = 'queued'"
                           " RETURNING q.id, q.lane, q.tier, q.run_at)"
                           " SELECT id, lane, tier, run_at FROM sent ORDER BY run_at, id",
    5};

static const struct pg_stmt partitions_stmt = {"sweep_partitions", "SELECT autodb.ensure_partitions(1, 7)", 0};

static const struct pg_stmt keys_stmt = {
    "sweep_keys",
    "DELETE FROM autodb.idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM autodb.idempotency_keys"
    " WHERE created_at < now() - interval '24 hours' LIMIT " BATCH "))",
    0};

struct sweep {
  const struct config *cfg;
  struct bell *bell;
  struct pgloop *pool; /* of one connection: it holds the lock */
  struct upkeep *upkeep;
  struct event *tick;
  bool leads, asking;
  bool leasing, dueing, keying, partitioning;
  int64_t pause_ms;                                                    /* monotonic: nothing before, after a failure */
  int64_t lead_ms, lease_ms, lost_ms, keys_ms, tidy_ms, partitions_ms; /* monotonic: not before */
  int64_t due_ms;                                                      /* monotonic: up to when the last due sweep has seen */
  struct lost {                                                        /* the page being looked at, per stream */
    struct sweep *sweep;
    int stream;
    bool busy;
    int found;
    char oldest[24], run_at[64], id[ID_TEXT];
  } lost[JOB_STREAMS];
  long long lengths[JOB_STREAMS]; /* of the streams, as last asked */
};

static struct metric repairs = METRIC_COUNTER("autodb_sweeper_repairs_total", "Jobs the sweeper put right, by cause.", "cause");
static struct metric leader = METRIC_GAUGE("autodb_sweeper_leader", "1 on the worker that sweeps.", NULL);
static struct metric depth = METRIC_GAUGE("autodb_stream_entries", "Entries in a lane's streams (on the leader).", "lane");
static struct metric failures = METRIC_COUNTER("autodb_sweeper_errors_total", "Sweeper statements that failed.", "sweep");

/* --- answers --- */

/* What failed now is not tried again at once: a broken statement must not fill the log. */
static void failed(struct sweep *sweep, const char *name, const struct error *err) {
  sweep->pause_ms = clock_mono_ms() + PAUSE_MS;
  metric_add(&failures, name, 1);
  log_event(LOG_WARN, "a sweep failed", "sweep", name, "error", err->message, NULL);
}

/* Rings for each row (id, lane, tier, …); the number of rows. */
static int ring_rows(struct sweep *sweep, const PGresult *res, const char *cause) {
  for (int row = 0; row < PQntuples(res); row++) {
    struct id id;
    int stream = job_stream_parse(PQgetvalue(res, row, 1), PQgetvalue(res, row, 2));
    if (id_parse(PQgetvalue(res, row, 0), &id) && stream >= 0) bell_ring(sweep->bell, stream, &id);
  }
  if (PQntuples(res)) metric_add(&repairs, cause, PQntuples(res));
  return PQntuples(res);
}

static bool submit(struct sweep *sweep, const struct pg_stmt *stmt, const struct pg_params *params, pgloop_cb cb, void *arg) {
  ERROR_AUTO err = {0};
  return pgloop_query(sweep->pool, stmt, params, 0, cb, arg, &err) == OK;
}

/* --- leases --- */

static void on_leases(void *arg, const PGresult *res, const struct error *err) {
  struct sweep *sweep = arg;
  sweep->leasing = false;
  if (!res) failed(sweep, "lease", err);
  for (int row = 0; res && row < PQntuples(res); row++) {
    const char *state = PQgetvalue(res, row, 3);
    struct id id;
    int stream = job_stream_parse(PQgetvalue(res, row, 1), PQgetvalue(res, row, 2));
    if (!id_parse(PQgetvalue(res, row, 0), &id) || stream < 0) continue;
    bool queued = strcmp(state, "queued") == 0;
    if (queued) bell_ring(sweep->bell, stream, &id);
    (queued ? bell_changed : bell_announce)(sweep->bell, &id);
    char trace_id[TRACE_ID_TEXT];
    log_event(LOG_WARN, "lease expired", "job", PQgetvalue(res, row, 0), "attempt", PQgetvalue(res, row, 4), "trace_id",
              *trace_id_of(PQgetvalue(res, row, 5), trace_id) ? trace_id : NULL, "state", state, NULL);
  }
  if (!res) return;
  metric_add(&repairs, "lease", PQntuples(res));
  if (PQntuples(res) == LIMIT_SWEEP_BATCH) sweep->lease_ms = 0;
}

/* --- due jobs --- */

static void on_due(void *arg, const PGresult *res, const struct error *err) {
  struct sweep *sweep = arg;
  sweep->dueing = false;
  if (!res) {
    failed(sweep, "due", err);
    sweep->due_ms = 0;
    return;
  }
  if (ring_rows(sweep, res, "due") == LIMIT_SWEEP_BATCH) sweep->due_ms = 0;
}

static void sweep_due(struct sweep *sweep, int64_t now) {
  PG_PARAMS_AUTO params = {0};
  int64_t window = sweep->due_ms ? now - sweep->due_ms + DUE_OVERLAP_MS : DUE_FIRST_MS;
  pg_params_init(&params);
  pg_param_int(&params, (int32_t)(window < DUE_FIRST_MS ? window : DUE_FIRST_MS));
  sweep->dueing = submit(sweep, &due_stmt, &params, on_due, sweep);
  if (sweep->dueing) sweep->due_ms = now;
}

/* --- lost dispatches --- */

static void on_lost(void *arg, const PGresult *res, const struct error *err);

static void sweep_lost_page(struct lost *lost) {
  PG_PARAMS_AUTO params = {0};
  pg_params_init(&params);
  char tier[] = {(char)('0' + job_stream_tier(lost->stream)), '\0'};
  pg_param_text(&params, job_lane_names[job_stream_lane(lost->stream)]);
  pg_param_text(&params, tier);
  pg_param_text(&params, lost->oldest);
  pg_param_text(&params, lost->run_at);
  pg_param_text(&params, lost->id);
  lost->busy = submit(lost->sweep, &lost_stmt, &params, on_lost, lost);
}

static void on_lost(void *arg, const PGresult *res, const struct error *err) {
  struct lost *lost = arg;
  lost->busy = false;
  if (!res) {
    failed(lost->sweep, "lost", err);
    return;
  }
  int rows = ring_rows(lost->sweep, res, "lost dispatch"), last = rows - 1;
  lost->found += rows;
  if (rows < LIMIT_SWEEP_BATCH || !bell_up(lost->sweep->bell)) {
    if (lost->found)
      log_event(LOG_WARN, "dispatches were lost and are sent again", "lane", job_lane_names[job_stream_lane(lost->stream)], "jobs",
                log_fmt("%d", lost->found), NULL);
    return;
  }
  snprintf(lost->id, sizeof lost->id, "%s", PQgetvalue(res, last, 0));
  snprintf(lost->run_at, sizeof lost->run_at, "%s", PQgetvalue(res, last, 3));
  sweep_lost_page(lost);
}

static void show_depth(const struct sweep *sweep, enum job_lane lane) {
  long long sum = 0;
  for (int tier = 0; tier < JOB_TIERS; tier++) sum += sweep->lengths[job_stream(lane, tier)];
  metric_set(&depth, job_lane_names[lane], sum);
}

static void on_oldest(void *arg, int stream, int64_t oldest_ms, long long length) {
  struct sweep *sweep = arg;
  struct lost *lost = &sweep->lost[stream];
  sweep->lengths[stream] = length;
  show_depth(sweep, job_stream_lane(stream));
  if (lost->busy || !sweep->leads) return;
  lost->found = 0;
  snprintf(lost->oldest, sizeof lost->oldest, "%lld", (long long)oldest_ms);
  snprintf(lost->run_at, sizeof lost->run_at, "-infinity");
  snprintf(lost->id, sizeof lost->id, "00000000-0000-0000-0000-000000000000");
  sweep_lost_page(lost);
}

static void sweep_lost(struct sweep *sweep) {
  for (int stream = 0; stream < JOB_STREAMS; stream++)
    if (!sweep->lost[stream].busy) bell_oldest(sweep->bell, stream, on_oldest, sweep);
}

/* --- housekeeping --- */

static void on_partitions(void *arg, const PGresult *res, const struct error *err) {
  struct sweep *sweep = arg;
  sweep->partitioning = false;
  if (!res) {
    failed(sweep, "partitions", err);
    sweep->partitions_ms = clock_mono_ms() + 60 * 1000;
  } else if (strcmp(PQgetvalue(res, 0, 0), "0") != 0) {
    log_event(LOG_INFO, "partitions made", "count", PQgetvalue(res, 0, 0), NULL);
  }
}

static void on_keys(void *arg, const PGresult *res, const struct error *err) {
  struct sweep *sweep = arg;
  sweep->keying = false;
  if (!res) {
    failed(sweep, "keys", err);
    return;
  }
  long deleted = strtol(PQcmdTuples((PGresult *)(uintptr_t)res), NULL, 10); /* libpq forgot the const */
  metric_add(&repairs, "old key", deleted);
  if (deleted == LIMIT_SWEEP_BATCH) sweep->keys_ms = 0;
}

/* --- office --- */

static void on_lead(void *arg, const PGresult *res, const struct error *err) {
  struct sweep *sweep = arg;
  (void)err;
  sweep->asking = false;
  if (!res || strcmp(PQgetvalue(res, 0, 0), "t") != 0) return;
  sweep->leads = true;
  sweep->due_ms = sweep->lease_ms = sweep->lost_ms = sweep->keys_ms = sweep->partitions_ms = 0;
  metric_set(&leader, NULL, 1);
  log_event(LOG_INFO, "this worker sweeps", NULL);
}

static void on_state(void *arg, bool up) {
  struct sweep *sweep = arg;
  sweep->lead_ms = 0;
  if (up || !sweep->leads) return;
  sweep->leads = false;
  upkeep_rest(sweep->upkeep);
  metric_set(&leader, NULL, 0);
  log_event(LOG_INFO, "this worker sweeps no more: its session is gone", NULL);
}

static void stand(struct sweep *sweep, int64_t now) {
  if (sweep->asking || now < sweep->lead_ms) return;
  sweep->lead_ms = now + LEAD_EVERY_MS / 2 + arc4random_uniform(LEAD_EVERY_MS);
  sweep->asking = submit(sweep, &lead_stmt, NULL, on_lead, sweep);
}

/* True once per interval. */
static bool is_time(int64_t *not_before, int64_t now, int64_t every_ms) {
  if (now < *not_before) return false;
  *not_before = now + every_ms;
  return true;
}

static void lead(struct sweep *sweep, int64_t now) {
  upkeep_lead(sweep->upkeep, now);
  if (!sweep->partitioning && is_time(&sweep->partitions_ms, now, DAY_MS))
    sweep->partitioning = submit(sweep, &partitions_stmt, NULL, on_partitions, sweep);
  if (!sweep->leasing && is_time(&sweep->lease_ms, now, SWEEP_EVERY_MS))
    sweep->leasing = submit(sweep, &lease_stmt, NULL, on_leases, sweep);
  if (!sweep->keying && is_time(&sweep->keys_ms, now, HOUR_MS)) sweep->keying = submit(sweep, &keys_stmt, NULL, on_keys, sweep);
  if (!bell_up(sweep->bell)) return;
  if (is_time(&sweep->tidy_ms, now, HOUR_MS)) bell_tidy(sweep->bell);
  if (!sweep->dueing) sweep_due(sweep, now);
  if (is_time(&sweep->lost_ms, now, SWEEP_EVERY_MS)) sweep_lost(sweep);
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
  struct sweep *sweep = arg;
  int64_t now = clock_mono_ms();
  (void)fd, (void)what;
  if (!pgloop_up(sweep->pool) || now < sweep->pause_ms) return;
  if (sweep->leads)
    lead(sweep, now);
  else
    stand(sweep, now);
}

enum status sweep_new(struct event_base *base, const struct config *cfg, struct bell *bell, struct sweep **ret_sweep, struct error *err) {
  struct sweep *sweep = calloc(1, sizeof *sweep);
  if (!sweep) return error_oom(err);
  sweep->cfg = cfg;
  sweep->bell = bell;
  for (int stream = 0; stream < JOB_STREAMS; stream++) sweep->lost[stream] = (struct lost){.sweep = sweep, .stream = stream};
  char *conninfo = pgsettings_add(cfg->database_url, "-c idle_session_timeout=" LIMIT_TEXT(SESSION_IDLE_MS));
  enum status status = pgloop_new(base, conninfo ? conninfo : cfg->database_url, "sweeper", 1, on_state, sweep, &sweep->pool, err);
  free(conninfo);
  if (status == OK && !(sweep->upkeep = upkeep_new(cfg, sweep->pool, bell))) status = error_oom(err);
  sweep->tick = event_new(base, -1, EV_PERSIST, on_tick, sweep);
  if (status == OK && (!sweep->tick || event_add(sweep->tick, &(struct timeval){.tv_usec = TICK_MS * 1000}))) status = error_oom(err);
  if (status == OK)
    *ret_sweep = sweep;
  else
    sweep_free(sweep);
  return status;
}

void sweep_free(struct sweep *sweep) {
  if (!sweep) return;
  pgloop_free(sweep->pool);
  upkeep_free(sweep->upkeep);
  if (sweep->tick) event_free(sweep->tick);
  free(sweep);
}

bool sweep_leads(const struct sweep *sweep) { return sweep->leads; }
