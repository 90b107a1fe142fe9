/* poll.c - work without a bell: while Redis is away, and once when it is back, the rows themselves are asked for what is due.
 *
 * Jobs of owners with a cap are asked for apart, and no faster than the clock; where every owner has one, there are no others. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/claim.h"

#define POLL_MS 200

#define SQL_POLL_LANE(lane, quota)                                                                                                \
  "(SELECT q.id FROM autodb.queue q WHERE q.lane = '" lane "' AND " SQL_CLAIMABLE " ORDER BY q.tier, q.run_at, q.id LIMIT " quota \
  "::int4 FOR UPDATE OF q SKIP LOCKED)"

static const struct pg_stmt poll_stmt = {
    "claim_poll",
    "WITH i AS " SQL_POLL_LANE("interactive", "$3") ", d AS " SQL_POLL_LANE("default", "$4") ", b AS " SQL_POLL_LANE(
        "bulk", "$5") ", c AS (" SQL_CLAIM
                      "FROM (SELECT id FROM i UNION ALL SELECT id FROM d UNION ALL SELECT id FROM b) p WHERE q.id = p.id "
                      "AND q.state = 'queued'" SQL_CLAIMED,
    5};

static const struct pg_stmt capped_stmt = {
    "claim_poll_capped",
    "WITH c AS (SELECT * FROM autodb.claim_capped($1, $2::int4, autodb.find_capped($3::int4, $4::int4), $3::int4))" SQL_WITH_RECORD, 4};

static bool all_empty(const struct lanes *lanes) {
  for (int stream = 0; stream < JOB_STREAMS; stream++)
    if (!lanes->empty[stream]) return false;
  return true;
}

/* A poll looks at lanes: it goes through their tiers by itself. */
static void saw_lane(struct lanes *lanes, int lane, bool has_more) {
  for (int tier = 0; tier < JOB_TIERS; tier++) lanes_saw(lanes, job_stream((enum job_lane)lane, tier), has_more);
}

/* A lane that didn't fill its quota is empty; the others are polled again at once. */
static void on_polled(void *arg, const PGresult *res, const struct error *err) {
  struct claim *claim = arg;
  struct queue *queue = claim->queue;
  queue->claims--;
  queue->reading = false;
  int got[LANE_COUNT] = {0};
  for (int row = 0; res && row < PQntuples(res); row++) {
    enum job_lane lane;
    if (job_lane_parse(PQgetvalue(res, row, CLAIM_LANE), &lane)) got[lane]++;
  }
  for (int lane = 0; res && lane < LANE_COUNT; lane++)
    if (claim->polled[lane]) saw_lane(&queue->lanes, lane, got[lane] == claim->polled[lane]);
  if (res)
    claim_take_rows(claim, res, "poll");
  else if (err->status == ERR_UNAVAILABLE)
    queue->astray = true;
  if (!res || all_empty(&queue->lanes)) {
    queue->poll_ms = clock_mono_ms() + POLL_MS / 2 + arc4random_uniform(POLL_MS);
    memset(queue->lanes.empty, 0, sizeof queue->lanes.empty);
    if (res) queue->leftovers = false;
  }
  free(claim);
  queue_pump(queue);
}

static void poll(struct queue *queue, int capacity) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  struct claim *claim = calloc(1, sizeof *claim);
  if (!claim) return;
  claim->queue = queue;
  claim->sent_ms = clock_mono_ms();
  int quota[JOB_STREAMS];
  lanes_share(&queue->lanes, capacity, quota);
  for (int stream = 0; stream < JOB_STREAMS; stream++) claim->polled[job_stream_lane(stream)] += quota[stream];
  claim_put_worker(queue, &params);
  for (int lane = 0; lane < LANE_COUNT; lane++) pg_param_int(&params, claim->polled[lane]);
  if (pgloop_query(queue->pool, &poll_stmt, &params, 0, on_polled, claim, &err) != OK) {
    free(claim);
    queue->poll_ms = clock_mono_ms() + POLL_MS;
    return;
  }
  queue->reading = true;
  queue->claims++;
}

/* --- owners with a cap --- */

static void on_capped(void *arg, const PGresult *res, const struct error *err) {
  struct claim *claim = arg;
  struct queue *queue = claim->queue;
  queue->claims--;
  if (res)
    claim_take_rows(claim, res, "poll");
  else if (err->status == ERR_UNAVAILABLE)
    queue->astray = true;
  else
    log_event(LOG_WARN, "polling for owners with a cap failed", "error", err->message, NULL);
  if (res && !PQntuples(res) && queue->cfg->owner_running) queue->leftovers = false;
  free(claim);
  queue_pump(queue);
}

static void poll_capped(struct queue *queue, int capacity) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params = {0};
  struct claim *claim = calloc(1, sizeof *claim);
  if (!claim) return;
  *claim = (struct claim){.queue = queue, .sent_ms = clock_mono_ms(), .capped = true};
  claim_put_worker(queue, &params);
  pg_param_int(&params, queue->cfg->owner_running);
  pg_param_int(&params, capacity);
  if (pgloop_query(queue->pool, &capped_stmt, &params, 0, on_capped, claim, &err) == OK)
    queue->claims++;
  else
    free(claim);
}

void poll_pump(struct queue *queue, int capacity) {
  int64_t now = clock_mono_ms();
  if (now >= queue->poll_capped_ms) {
    queue->poll_capped_ms = now + POLL_MS / 2 + arc4random_uniform(POLL_MS);
    poll_capped(queue, capacity);
  } else if (now >= queue->poll_ms && !queue->cfg->owner_running) {
    poll(queue, capacity);
  }
}
