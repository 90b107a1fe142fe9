/* ledger.c - see ledger.h. */
#include "worker/webhook/ledger.h"

#include "common/limits.h"

#define DEADLINE_MS 10000
#define BATCH LIMIT_TEXT(LIMIT_SWEEP_BATCH)

static const struct pg_stmt release_stmt = {
    "courier_release",
    "UPDATE autodb.deliveries SET state = 'pending', next_at = now(), lease_owner = NULL, forgiven = forgiven + 1"
    " WHERE state = 'running' AND lease_owner = $1::text",
    1};

/* Events that are not a job's end bring what they tell; the function doesn't change that, so it may be read beside it. */
static const struct pg_stmt claim_stmt = {
    "courier_claim",
    "SELECT c.id, c.tries, c.counted, c.event, c.url, c.trace, c.stamp,"
    " coalesce((SELECT d.data FROM autodb.deliveries d WHERE d.id = c.id), c.data), c.why_not, c.context, c.secret, c.secret_key_id,"
    " c.old_secret, c.old_secret_key_id FROM autodb.claim_deliveries($1::text, $2::int4, interval '" LIMIT_TEXT(
        LIMIT_DELIVERY_LEASE_SECONDS) " seconds', " LIMIT_TEXT(LIMIT_DELIVERY_OWNER_CALLS) ", $3::text) c",
    3};

/* $3 is the state to be. An endpoint's circuit opens with its fifth failure in a row, for 30 s, and for twice as long with each more, up
 * to half an hour; one that fails for five days has lost what waits for it, and its webhook is disabled. */
static const struct pg_stmt finish_stmt = {
    "courier_finish",
    "WITH aged AS (SELECT h.endpoint FROM autodb.deliveries x JOIN autodb.delivery_endpoints h ON h.endpoint = x.endpoint"
    " WHERE x.id = $1::text AND h.failing_since < now() - interval '5 days' AND $11::int4 = 1), "
    "d AS (UPDATE autodb.deliveries SET lease_owner = NULL,"
    " state = CASE WHEN $3::text = 'pending' AND EXISTS (SELECT FROM aged) THEN 'failed' ELSE $3::text END,"
    " next_at = CASE $3::text WHEN 'pending' THEN now() + $4::int4 * interval '1 millisecond' ELSE next_at END,"
    " last_status = $5::int4, last_error = $6::text, last_duration_ms = $7::int4, last_request = $8::text, last_response = $9::text,"
    " last_try_at = now(), delivered_at = CASE $3::text WHEN 'delivered' THEN now() END"
    " WHERE id = $1::text AND state = 'running' AND tries = $2::int4 RETURNING id, endpoint, webhook_id), "
    "well AS (DELETE FROM autodb.delivery_endpoints h USING d WHERE h.endpoint = d.endpoint AND $3::text = 'delivered'), "
    "ill AS (INSERT INTO autodb.delivery_endpoints AS h (endpoint, failures, failing_since, resume_at)"
    " SELECT endpoint, 1, now(), now() + $10::int4 * interval '1 millisecond' FROM d WHERE $11::int4 = 1"
    " ON CONFLICT (endpoint) DO UPDATE SET failures = h.failures + 1, resume_at = greatest(h.resume_at, excluded.resume_at,"
    " CASE WHEN h.failures + 1 >= 5 THEN now() + least(interval '30 minutes', interval '30 seconds' * 2 ^ least(h.failures - 4, 10)) END)"
    " RETURNING failures), "
    "lost AS (SELECT d.id, d.endpoint, d.webhook_id, CASE $12::int4 WHEN 1 THEN 'it answered 410 Gone' ELSE 'it failed for five days' END"
    " AS why FROM d WHERE ($12::int4 = 1 AND d.webhook_id IS NOT NULL) OR EXISTS (SELECT FROM aged)), "
    "off AS (UPDATE autodb.webhooks w SET disabled_at = now(), disabled_reason = lost.why FROM lost WHERE w.id = lost.webhook_id"
    " AND w.disabled_at IS NULL RETURNING w.id), "
    "rest AS (UPDATE autodb.deliveries r SET state = 'failed', last_error = 'given up with its endpoint: ' || lost.why FROM lost"
    " WHERE r.endpoint = lost.endpoint AND r.state = 'pending' AND r.id <> lost.id) "
    "SELECT (SELECT count(*) FROM d), coalesce((SELECT failures FROM ill), 0), (SELECT count(*) FROM off)",
    12};

static const struct pg_stmt state_stmt = {
    "courier_state",
    "SELECT (SELECT count(*) FROM (SELECT FROM autodb.deliveries WHERE state IN ('pending', 'running') LIMIT 100000) f),"
    " coalesce((SELECT greatest(0, extract(epoch FROM now() - next_at))::bigint FROM autodb.deliveries WHERE state IN ('pending', "
    "'running')"
    " ORDER BY next_at LIMIT 1), 0), (SELECT count(*) FROM autodb.delivery_endpoints WHERE failures >= 5 AND resume_at > now())",
    0};

static const struct pg_stmt forget_stmt = {
    "courier_forget",
    "DELETE FROM autodb.deliveries WHERE id IN (SELECT id FROM autodb.deliveries WHERE state IN ('delivered', 'failed')"
    " AND ref < autodb.uuid7_floor(now() - interval '" LIMIT_TEXT(LEDGER_DAYS) " days') ORDER BY ref LIMIT " BATCH ")",
    0};

enum status ledger_release(struct pgloop *pg, const char *name, pgloop_cb cb, void *arg, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, name);
  return pgloop_query(pg, &release_stmt, &params, DEADLINE_MS, cb, arg, err);
}

enum status ledger_claim(struct pgloop *pg, const char *name, int room, const char *base_url, pgloop_cb cb, void *arg, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, name);
  pg_param_int(&params, room);
  pg_param_text(&params, base_url);
  return pgloop_query(pg, &claim_stmt, &params, DEADLINE_MS, cb, arg, err);
}

/* NULL for what there is none of. */
static void put_known(struct pg_params *params, int value, bool known) {
  if (known)
    pg_param_int(params, value);
  else
    pg_param_text(params, NULL);
}

enum status ledger_finish(struct pgloop *pg, const struct ledger_entry *entry, pgloop_cb cb, void *arg, struct error *err) {
  static const char *const states[VERDICT_COUNT] = {"delivered", "pending", "failed", "failed", NULL};
  const struct verdict *verdict = &entry->verdict;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, entry->id);
  pg_param_int(&params, entry->tries);
  pg_param_text(&params, states[verdict->outcome]);
  pg_param_int(&params, verdict->delay_ms);
  put_known(&params, entry->status, entry->status != 0);
  pg_param_text(&params, entry->error);
  put_known(&params, entry->duration_ms, entry->duration_ms >= 0);
  pg_param_text(&params, entry->request);
  pg_param_text(&params, entry->response);
  pg_param_int(&params, verdict->pause_ms);
  pg_param_int(&params, entry->blame);
  pg_param_int(&params, verdict->outcome == VERDICT_GONE);
  return pgloop_query(pg, &finish_stmt, &params, DEADLINE_MS, cb, arg, err);
}

enum status ledger_state(struct pgloop *pg, pgloop_cb cb, void *arg, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  return pgloop_query(pg, &state_stmt, &params, DEADLINE_MS, cb, arg, err);
}

enum status ledger_forget(struct pgloop *pg, pgloop_cb cb, void *arg, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  return pgloop_query(pg, &forget_stmt, &params, DEADLINE_MS, cb, arg, err);
}
