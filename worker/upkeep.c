/* upkeep.c - see upkeep.h.
 *
 * resume   kinds and lanes whose pause has ended: their jobs are rung page after page, then the row goes. Every 500 ms.
 * turns    owners at their cap: rings for those that have room and weren't called by a job's end; forgets what is no longer live. Every
 * second. gauges   the queue by lane and kind. Every 5 s. days     the oldest day past its time is dropped, one of a parent at a time;
 * every 10 minutes, and at once again while there are more. bodies   results past their time lose their body, page after page; and so with
 * deliveries. Every minute, and at once while pages are full. schedule   connections whose schema is due get a job that reads it, unless
 * one is there; every 2 s. originals   a job that looks for what no document needs; every hour. documents   those whose job
 * ended before it was done with them, by dying or by being cancelled: they say so. Every 15 s. forgotten   documents and confirmed
 * questions of connections that were deleted, page after page; every 15 s, and at once while pages are full. */
#include "worker/upkeep.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/metrics.h"

#define RESUME_EVERY_MS 500
#define TURNS_EVERY_MS 1000
#define GAUGES_EVERY_MS 5000
#define DAYS_EVERY_MS (10 * 60 * 1000)
#define BODIES_EVERY_MS (60 * 1000)
#define SCHEDULE_EVERY_MS 2000
#define ORIGINALS_EVERY_MS (3600 * 1000)
#define ORIGINALS_FIRST_MS (10 * 60 * 1000)
#define DOCUMENTS_EVERY_MS 15000
#define FORGET_PAGE 100 /* documents, whose chunks go with them */
#define BUSY_MS 2000    /* before the lock of a table is asked for again */
#define MORE_MS 200
#define FAILED_MS 10000
#define PATIENCE "interval '100 milliseconds'" /* what accepting may be held up by a drop that waits */
#define BATCH LIMIT_TEXT(LIMIT_SWEEP_BATCH)
#define NO_ID "00000000-0000-0000-0000-000000000000"

/* The last page of a name removes its row; entries rung twice are harmless. */
static const struct pg_stmt resume_stmt = {
    "upkeep_resume",
    "WITH resumed AS MATERIALIZED (SELECT name FROM autodb.pauses WHERE resumed_at IS NOT NULL ORDER BY resumed_at LIMIT 1), "
    "page AS MATERIALIZED (SELECT q.id FROM autodb.queue q, resumed r WHERE r.name IN (q.kind, q.lane::text) AND q.state = 'queued'"
    " AND q.run_at <= now() AND q.id > $1::uuid ORDER BY q.id LIMIT " BATCH "), "
    "rung AS (UPDATE autodb.queue q SET dispatched_at = now() FROM page p WHERE q.id = p.id AND q.state = 'queued'"
    " RETURNING q.id, q.lane, q.tier), "
    "gone AS (DELETE FROM autodb.pauses p USING resumed r WHERE p.name = r.name AND p.resumed_at IS NOT NULL"
    " AND (SELECT count(*) FROM page) < " BATCH ") "
    "SELECT id, lane, tier FROM rung ORDER BY id",
    1};

static const struct pg_stmt turns_stmt = {
    "upkeep_turns",
    "WITH stale AS (DELETE FROM autodb.turns WHERE job_id IN (SELECT t.job_id FROM autodb.turns t WHERE NOT EXISTS"
    " (SELECT FROM autodb.queue q WHERE q.id = t.job_id) LIMIT " BATCH ")) "
    "SELECT id, lane, tier FROM autodb.next_turns(ARRAY(SELECT DISTINCT owner_id FROM autodb.turns WHERE attempt IS NULL), $1::int4, " BATCH
    ")",
    1};

static const struct pg_stmt gauges_stmt = {
    "upkeep_gauges",
    "SELECT lane, kind, count(*) FILTER (WHERE state = 'queued' AND run_at <= now()), count(*) FILTER (WHERE state = 'running'),"
    " count(*) FILTER (WHERE state = 'queued' AND run_at > now()),"
    " coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'queued' AND run_at <= now())), 0)::bigint"
    " FROM autodb.queue GROUP BY lane, kind UNION ALL"
    " SELECT NULL, name, 1, 0, 0, 0 FROM autodb.pauses WHERE resumed_at IS NULL",
    0};

static const struct pg_stmt days_stmt = {"upkeep_days", "SELECT autodb.drop_old_day($1, $2::int4, " PATIENCE ")", 2};

/* $1: where the last page ended. A result is as old as its job's end, which is later than its id. */
static const struct pg_stmt bodies_stmt = {
    "upkeep_bodies",
    "WITH page AS MATERIALIZED (SELECT job_id, created_at < now() - $2::int4 * interval '1 day' AND body IS NOT NULL AS old FROM "
    "autodb.results"
    " WHERE job_id > $1::uuid AND job_id < autodb.uuid7_floor(now() - $2::int4 * interval '1 day') ORDER BY job_id LIMIT " BATCH "), "
    "gone AS (UPDATE autodb.results r SET body = NULL FROM page p WHERE r.job_id = p.job_id AND p.old RETURNING r.job_id) "
    "SELECT job_id, (SELECT count(*) FROM gone) FROM page ORDER BY job_id",
    2};

static const struct pg_stmt deliveries_stmt = {
    "upkeep_deliveries",
    "DELETE FROM autodb.deliveries WHERE ref IN (SELECT ref FROM autodb.deliveries"
    " WHERE ref < autodb.uuid7_floor(now() - $1::int4 * interval '1 day') AND state IN ('delivered', 'failed') ORDER BY ref LIMIT " BATCH
    ") RETURNING ref",
    1};

/* Jobs that nobody asked for: of kind $1, with $2 attempts, in the bulk lane. */
#define INSERT_MADE                                                                                                                      \
  "recorded AS (INSERT INTO autodb.jobs (id, owner_id, connection_id, kind, lane, max_attempts, payload, metadata) SELECT id, owner_id," \
  " connection_id, $1::text, 'bulk', $2::int4, '{}', '{\"scheduled\": true}' FROM made), "                                               \
  "queued AS (INSERT INTO autodb.queue (id, owner_id, kind, lane, tier, max_attempts, run_at)"                                           \
  " SELECT id, owner_id, $1::text, 'bulk', 0, $2::int4, now() FROM made) SELECT id, 'bulk', 0 FROM made"

/* A connection that is read by somebody else's wish just now waits for its next turn, too. */
static const struct pg_stmt schedule_stmt = {
    "upkeep_schedule",
    "WITH due AS MATERIALIZED (SELECT id FROM autodb.connections WHERE next_introspect_at <= now() AND deleted_at IS NULL"
    " ORDER BY next_introspect_at LIMIT 100 FOR UPDATE SKIP LOCKED), "
    "moved AS (UPDATE autodb.connections c SET next_introspect_at = autodb.next_introspection(c.introspect_every) FROM due"
    " WHERE c.id = due.id RETURNING c.id, c.owner_id), "
    "made AS MATERIALIZED (SELECT autodb.uuid7() AS id, m.owner_id, m.id AS connection_id FROM moved m WHERE NOT EXISTS (SELECT FROM"
    " autodb.queue q JOIN autodb.jobs j ON j.id = q.id WHERE q.owner_id = m.owner_id AND q.kind = $1::text AND j.connection_id = m.id)),"
    " " INSERT_MADE,
    2};

static const struct pg_stmt originals_stmt = {"upkeep_originals",
                                              "WITH made AS MATERIALIZED (SELECT autodb.uuid7() AS id, '" NO_ID
                                              "'::uuid AS owner_id, NULL::uuid AS connection_id"
                                              " WHERE NOT EXISTS (SELECT FROM autodb.queue q WHERE q.kind = $1::text)), " INSERT_MADE,
                                              2};

/* A document that waits is some live job's of its connection, unless that ended. What was found of it before is found still. */
static const struct pg_stmt documents_stmt = {
    "upkeep_documents",
    "WITH live AS MATERIALIZED (SELECT DISTINCT j.connection_id FROM autodb.queue q JOIN autodb.jobs j ON j.id = q.id WHERE q.kind IN "
    "('document.ingest', 's3.ingest', '" JOB_KIND_PART "')), "
    "left_over AS MATERIALIZED (SELECT d.id, d.job_id FROM autodb.documents d WHERE d.status IN ('pending', 'processing') AND d.updated_at "
    "< now()"
    " - interval '10 seconds' AND NOT EXISTS (SELECT FROM live l WHERE l.connection_id = d.connection_id) ORDER BY d.updated_at "
    "LIMIT " BATCH "), "
    "told AS (UPDATE autodb.documents d SET status = 'failed', updated_at = now(), error = jsonb_build_object('code', "
    "coalesce(r.error->>'code', "
    "'NOT_INGESTED'), 'message', coalesce(r.error->>'message', 'the job that was to ingest it ended before: give it again')) FROM "
    "left_over o "
    "LEFT JOIN autodb.results r ON r.job_id = o.job_id AND r.state <> 'succeeded' WHERE d.id = o.id AND d.status IN ('pending', "
    "'processing')"
    " RETURNING d.id) SELECT count(*) FROM told",
    0};

/* Nobody can reach them any more. The originals go by their own sweep, the connection's row stays for what its jobs were. */
static const struct pg_stmt forgotten_stmt = {
    "upkeep_forgotten",
    "WITH page AS MATERIALIZED (SELECT d.id FROM autodb.connections c CROSS JOIN LATERAL (SELECT id FROM autodb.documents"
    " WHERE connection_id = c.id LIMIT " LIMIT_TEXT(FORGET_PAGE) ") d WHERE c.deleted_at IS NOT NULL LIMIT " LIMIT_TEXT(
        FORGET_PAGE) "), "
                     "questions AS (DELETE FROM autodb.verified_queries v USING autodb.connections c WHERE c.id = v.connection_id"
                     " AND c.deleted_at IS NOT NULL), "
                     "gone AS (DELETE FROM autodb.documents d USING page p WHERE d.id = p.id RETURNING d.id) SELECT count(*) FROM gone",
    0};

/* A task: when it runs next, and whether its statement is on the way. */
struct task_clock {
  int64_t next_ms;
  bool busy;
};

struct upkeep {
  const struct config *cfg;
  struct pgloop *pool;
  struct bell *bell;
  struct task_clock resume, turns, gauges, days, bodies, deliveries, schedule, originals, documents, forgotten;
  char resumed[ID_TEXT], body[ID_TEXT]; /* where the last page ended */
  int parent;                           /* whose days are looked at */
};

static struct metric called = METRIC_COUNTER("autodb_upkeep_rings_total", "Jobs rung because they were resumed or had room.", "cause");
static struct metric failures = METRIC_COUNTER("autodb_upkeep_errors_total", "Upkeep statements that failed.", "task");
static struct metric dropped = METRIC_COUNTER("autodb_retention_removed_total", "What retention removed.", "what");
static struct metric depth = METRIC_GAUGE("autodb_queue_depth", "Queued jobs that may run now (on the leader).", "lane,kind");
static struct metric running = METRIC_GAUGE("autodb_queue_running", "Running jobs (on the leader).", "lane,kind");
static struct metric delayed = METRIC_GAUGE("autodb_queue_delayed", "Queued jobs whose time has not come (on the leader).", "lane,kind");
static struct metric oldest = METRIC_GAUGE("autodb_queue_oldest_seconds",
                                           "How long the first of the queued jobs that may run has been (on the leader).", "lane,kind");
static struct metric paused = METRIC_GAUGE("autodb_queue_paused", "1 for a kind or lane that is paused (on the leader).", "name");

static const char *const parents[] = {"jobs", "results"};
enum { PARENTS = sizeof parents / sizeof *parents };

/* --- answers --- */

/* The task comes again `again_ms` from now; true when there is an answer. */
static bool answered(struct task_clock *clock, const char *name, const PGresult *res, const struct error *err) {
  clock->busy = false;
  if (res) return true;
  clock->next_ms = clock_mono_ms() + FAILED_MS;
  metric_add(&failures, name, 1);
  log_event(LOG_WARN, "upkeep failed", "task", name, "error", err->message, NULL);
  return false;
}

static void again_soon(struct task_clock *clock, int64_t ms) { clock->next_ms = clock_mono_ms() + ms; }

static void ring_rows(struct upkeep *upkeep, const PGresult *res, const char *cause) {
  for (int row = 0; row < PQntuples(res); row++) {
    struct id id;
    int stream = job_stream_parse(PQgetvalue(res, row, 1), PQgetvalue(res, row, 2));
    if (id_parse(PQgetvalue(res, row, 0), &id) && stream >= 0) bell_ring(upkeep->bell, stream, &id);
  }
  if (PQntuples(res)) metric_add(&called, cause, PQntuples(res));
}

/* Remembers where a full page ended, and that there is more. */
static void turn_page(struct task_clock *clock, const PGresult *res, char last[ID_TEXT]) {
  bool more = PQntuples(res) == LIMIT_SWEEP_BATCH;
  snprintf(last, ID_TEXT, "%s", more ? PQgetvalue(res, PQntuples(res) - 1, 0) : NO_ID);
  if (more) again_soon(clock, 0);
}

static void on_resumed(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->resume, "resume", res, err)) return;
  ring_rows(upkeep, res, "resumed");
  turn_page(&upkeep->resume, res, upkeep->resumed);
}

static void on_turns(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (answered(&upkeep->turns, "turns", res, err)) ring_rows(upkeep, res, "turn");
}

static void on_day(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->days, "days", res, err)) return;
  const char *name = PQgetisnull(res, 0, 0) ? NULL : PQgetvalue(res, 0, 0);
  if (name && strcmp(name, "busy") == 0) {
    again_soon(&upkeep->days, BUSY_MS);
  } else if (name) {
    metric_add(&dropped, "day", 1);
    log_event(LOG_INFO, "a day past its time is dropped", "table", name, NULL);
    again_soon(&upkeep->days, MORE_MS);
  } else if (++upkeep->parent < PARENTS) {
    again_soon(&upkeep->days, 0);
  } else {
    upkeep->parent = 0;
  }
}

static void on_bodies(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->bodies, "bodies", res, err)) return;
  if (PQntuples(res)) metric_add(&dropped, "result", strtoll(PQgetvalue(res, 0, 1), NULL, 10));
  turn_page(&upkeep->bodies, res, upkeep->body);
}

static void on_deliveries(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->deliveries, "deliveries", res, err)) return;
  metric_add(&dropped, "delivery", PQntuples(res));
  if (PQntuples(res) == LIMIT_SWEEP_BATCH) again_soon(&upkeep->deliveries, MORE_MS);
}

static void on_schedule(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (answered(&upkeep->schedule, "schedule", res, err)) ring_rows(upkeep, res, "scheduled");
}

static void on_originals(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (answered(&upkeep->originals, "originals", res, err)) ring_rows(upkeep, res, "scheduled");
}

static void on_documents(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->documents, "documents", res, err)) return;
  long count = strtol(PQgetvalue(res, 0, 0), NULL, 10);
  if (count) log_event(LOG_WARN, "documents were left by their jobs", "count", PQgetvalue(res, 0, 0), NULL);
  if (count == LIMIT_SWEEP_BATCH) again_soon(&upkeep->documents, MORE_MS);
}

static void on_forgotten(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->forgotten, "forgotten", res, err)) return;
  long count = strtol(PQgetvalue(res, 0, 0), NULL, 10);
  metric_add(&dropped, "document", count);
  if (count == FORGET_PAGE) again_soon(&upkeep->forgotten, MORE_MS);
}

/* --- gauges --- */

/* The series stay when their jobs have gone, at zero. */
static void clear_gauges(void) {
  for (size_t i = 0; job_kind_at(i); i++)
    for (int lane = 0; lane < LANE_COUNT; lane++) {
      const char *labels = log_fmt("%s,%s", job_lane_names[lane], job_kind_at(i)->name);
      metric_set(&depth, labels, 0);
      metric_set(&running, labels, 0);
      metric_set(&delayed, labels, 0);
      metric_set(&oldest, labels, 0);
    }
  for (size_t i = 0; job_kind_at(i); i++) metric_set(&paused, job_kind_at(i)->name, 0);
  for (int lane = 0; lane < LANE_COUNT; lane++) metric_set(&paused, job_lane_names[lane], 0);
}

static void on_gauges(void *arg, const PGresult *res, const struct error *err) {
  struct upkeep *upkeep = arg;
  if (!answered(&upkeep->gauges, "gauges", res, err)) return;
  clear_gauges();
  for (int row = 0; row < PQntuples(res); row++) {
    const char *kind = PQgetvalue(res, row, 1), *labels = log_fmt("%s,%s", PQgetvalue(res, row, 0), kind);
    if (PQgetisnull(res, row, 0)) {
      metric_set(&paused, kind, 1);
      continue;
    }
    metric_set(&depth, labels, strtoll(PQgetvalue(res, row, 2), NULL, 10));
    metric_set(&running, labels, strtoll(PQgetvalue(res, row, 3), NULL, 10));
    metric_set(&delayed, labels, strtoll(PQgetvalue(res, row, 4), NULL, 10));
    metric_set(&oldest, labels, strtoll(PQgetvalue(res, row, 5), NULL, 10));
  }
}

/* --- asking --- */

static bool is_time(struct task_clock *clock, int64_t now_ms, int64_t every_ms) {
  if (clock->busy || now_ms < clock->next_ms) return false;
  clock->next_ms = now_ms + every_ms;
  return true;
}

/* With the text (unless NULL) and the number (unless negative) as parameters. */
static void ask(struct upkeep *upkeep, struct task_clock *clock, const struct pg_stmt *stmt, const char *text, int number, pgloop_cb cb) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  pg_params_init(&params);
  if (text) pg_param_text(&params, text);
  if (number >= 0) pg_param_int(&params, number);
  clock->busy = pgloop_query(upkeep->pool, stmt, &params, 0, cb, upkeep, &err) == OK;
}

static void ask_for_jobs(struct upkeep *upkeep, struct task_clock *clock, const struct pg_stmt *stmt, const char *kind, pgloop_cb cb) {
  ask(upkeep, clock, stmt, kind, job_kind_find(kind)->max_attempts, cb);
}

void upkeep_lead(struct upkeep *upkeep, int64_t now) {
  const struct config *cfg = upkeep->cfg;
  bool bodies = cfg->results_days && (!cfg->jobs_days || cfg->results_days < cfg->jobs_days);
  if (is_time(&upkeep->gauges, now, GAUGES_EVERY_MS)) ask(upkeep, &upkeep->gauges, &gauges_stmt, NULL, -1, on_gauges);
  if (cfg->jobs_days && is_time(&upkeep->days, now, DAYS_EVERY_MS))
    ask(upkeep, &upkeep->days, &days_stmt, parents[upkeep->parent], cfg->jobs_days, on_day);
  if (cfg->jobs_days && is_time(&upkeep->deliveries, now, BODIES_EVERY_MS))
    ask(upkeep, &upkeep->deliveries, &deliveries_stmt, NULL, cfg->jobs_days, on_deliveries);
  if (bodies && is_time(&upkeep->bodies, now, BODIES_EVERY_MS))
    ask(upkeep, &upkeep->bodies, &bodies_stmt, upkeep->body, cfg->results_days, on_bodies);
  if (is_time(&upkeep->schedule, now, SCHEDULE_EVERY_MS))
    ask_for_jobs(upkeep, &upkeep->schedule, &schedule_stmt, "schema.introspect", on_schedule);
  if (is_time(&upkeep->originals, now, ORIGINALS_EVERY_MS))
    ask_for_jobs(upkeep, &upkeep->originals, &originals_stmt, "system.sweep", on_originals);
  if (is_time(&upkeep->documents, now, DOCUMENTS_EVERY_MS)) ask(upkeep, &upkeep->documents, &documents_stmt, NULL, -1, on_documents);
  if (is_time(&upkeep->forgotten, now, DOCUMENTS_EVERY_MS)) ask(upkeep, &upkeep->forgotten, &forgotten_stmt, NULL, -1, on_forgotten);
  if (!bell_up(upkeep->bell)) return; /* workers poll, and see pauses and caps for themselves */
  if (is_time(&upkeep->resume, now, RESUME_EVERY_MS)) ask(upkeep, &upkeep->resume, &resume_stmt, upkeep->resumed, -1, on_resumed);
  if (is_time(&upkeep->turns, now, TURNS_EVERY_MS)) ask(upkeep, &upkeep->turns, &turns_stmt, NULL, cfg->owner_running, on_turns);
}

void upkeep_rest(struct upkeep *upkeep) {
  clear_gauges();
  upkeep->parent = 0;
  snprintf(upkeep->resumed, sizeof upkeep->resumed, NO_ID);
  snprintf(upkeep->body, sizeof upkeep->body, NO_ID);
}

struct upkeep *upkeep_new(const struct config *cfg, struct pgloop *pool, struct bell *bell) {
  struct upkeep *upkeep = calloc(1, sizeof *upkeep);
  if (!upkeep) return NULL;
  *upkeep = (struct upkeep){.cfg = cfg, .pool = pool, .bell = bell};
  upkeep->originals.next_ms = clock_mono_ms() + ORIGINALS_FIRST_MS; /* a worker that has just started has better to do */
  snprintf(upkeep->resumed, sizeof upkeep->resumed, NO_ID);
  snprintf(upkeep->body, sizeof upkeep->body, NO_ID);
  return upkeep;
}

void upkeep_free(struct upkeep *upkeep) { free(upkeep); }
