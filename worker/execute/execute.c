/* execute.c - an approved migration, top to bottom: is it approved, what did an earlier attempt do, is the schema still that one, then unit
 * by unit, then a new snapshot. */
#include "worker/execute/execute.h"

#include "common/approval.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"
#include "worker/execute/cancel.h"
#include "worker/execute/drift.h"
#include "worker/execute/journal.h"
#include "worker/execute/look.h"
#include "worker/execute/outcome.h"
#include "worker/execute/unit.h"
#include "worker/schema/store.h"

void execution_at(const struct execution *x, const char *point) {
  if (x->hooks) x->hooks->at(x->hooks->arg, point);
}

void execution_progress(const struct execution *x, size_t index, const char *message) {
  char step[64];
  snprintf(step, sizeof step, "statement %zu of %zu", index + 1, x->plan.count);
  job_progress(x->job, (int)(10 + 85 * index / (x->plan.count ? x->plan.count : 1)), step,
               message ? message : x->plan.steps[index].operation);
}

/* --- is it approved? --- */

static const char approval_sql[] =
    "SELECT used_by_job_id = $2, sql_sha256, snapshot_id FROM autodb.approvals WHERE nonce = $1 AND owner_id = $3 AND connection_id = $4";

/* The API has bound the approval to this job as it accepted it; a token never executes under another job's name. */
static enum status check_row(struct execution *x, const struct approval *approval, struct error *err) {
  const char *const params[] = {approval->nonce, x->job->id, x->job->owner_id, x->job->connection_id};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->job->db, approval_sql, 4, params, &res, err);
  if (status) return status;
  bool ours = PQntuples(res) == 1 && pg_bool(res, 0, 0) && strcmp(PQgetvalue(res, 0, 1), approval->sql_sha256) == 0 &&
              strcmp(PQgetvalue(res, 0, 2), approval->snapshot_id) == 0;
  return ours ? OK : error_set_code(err, ERR_CONFLICT, "TOKEN_INVALID", "the approval does not belong to this job");
}

/* Its expiry was checked when the job was accepted: waiting in the queue, or a second attempt, does not take an approval away. */
static enum status check_approval(struct execution *x, struct error *err) {
  const char *token = json_str(x->job->payload, "approval_token", "");
  struct approval approval;
  if (!x->job->keyring) return error_set(err, ERR_UNAVAILABLE, "this worker has no master key, so it can't verify an approval");
  enum status status = approval_open(x->job->keyring, token, x->job->arena, &approval, err);
  if (!status) status = approval_match(&approval, x->job->owner_id, x->job->connection_id, x->sql, x->sql_len, err);
  if (!status) status = check_row(x, &approval, err);
  if (status) return status;
  x->snapshot_id = approval.snapshot_id;
  x->fingerprint = approval.schema_fingerprint;
  x->sql_sha256 = approval.sql_sha256;
  return OK;
}

static int bounded(const json_t *options, const char *key, int otherwise, int most) {
  long long value = json_int(options, key, otherwise);
  return value < 0 ? 0 : value > most ? most : (int)value;
}

static enum status accept_job(struct execution *x, struct error *err) {
  const json_t *sql = json_object_get(x->job->payload, "sql"), *options = json_object_get(x->job->payload, "options");
  if (!json_is_string(sql) || !json_string_length(sql)) return error_add_field(err, "sql", "must be the approved SQL");
  if (!x->job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  x->sql = json_string_value(sql);
  x->sql_len = json_string_length(sql);
  x->lock_timeout_ms = bounded(options, "lock_timeout_ms", EXECUTE_LOCK_TIMEOUT_MS, 3600 * 1000);
  x->statement_timeout_ms = bounded(options, "statement_timeout_ms", 0, 3600 * 1000);
  x->lock_retries = bounded(options, "lock_retries", EXECUTE_LOCK_RETRIES, 1000);
  x->dry_run = json_bool(options, "dry_run", false);
  x->session.notice_lines = arena_json(x->job->arena, json_array());
  return x->session.notice_lines ? check_approval(x, err) : error_oom(err);
}

static enum status make_plan(struct execution *x, struct error *err) {
  struct snapshot *snapshot = NULL;
  struct analysis *analysis = NULL;
  const struct analysis_options options = {.lock_timeout_ms = x->lock_timeout_ms};
  enum status status = store_latest(x->job, x->snapshot_id, &snapshot, err);
  if (!status) status = analysis_static(x->sql, x->sql_len, snapshot, &options, x->job->arena, &analysis, err);
  if (status) return status;
  x->snapshot = snapshot;
  return plan_make(analysis, &x->plan, err);
}

/* --- getting there, and back --- */

static bool all_settled(const struct execution *x) {
  for (size_t u = 0; u < x->plan.unit_count; u++)
    if (!unit_settled(&x->plan, &x->plan.units[u])) return false;
  return true;
}

static struct unit *unit_doubted(const struct execution *x) {
  for (size_t u = 0; u < x->plan.unit_count; u++)
    if (unit_in_doubt(&x->plan, &x->plan.units[u])) return &x->plan.units[u];
  return NULL;
}

/* A server that restarts or fails over is given time; one that says no for a lasting reason costs no more. */
static enum status reopen(struct execution *x, const struct unit *doubt, struct error *err) {
  int64_t until = clock_mono_ms() + EXECUTE_RECONNECT_MS;
  for (int pause = 100;; pause = pause < 2000 ? pause * 2 : 2000) {
    bool gone = false;
    enum status status = session_open(x, doubt, &gone, err);
    if (!status) return OK;
    gone |= session_lost(x);
    if (!gone || clock_mono_ms() > until) break;
    error_clear(err);
    if (!run_pause(pause)) return cancel_error(err);
  }
  if (!session_lost(x)) return err->status;
  char reason[512];
  snprintf(reason, sizeof reason, "%.500s", err->message);
  return error_set_code(err, ERR_UNAVAILABLE, "CONNECTION_LOST", "the connection to the database was lost and can't be made again: %s",
                        reason);
}

/* Back on the line, with what the lost session was doing found out. */
static enum status recover(struct execution *x, struct unit *unit, struct error *err) {
  if (cancel_asked()) return cancel_error(err);
  if (++x->reconnects > EXECUTE_RECONNECTS)
    return error_set_code(err, ERR_UNAVAILABLE, "CONNECTION_LOST", "the connection was lost %d times", x->reconnects);
  error_clear(err);
  execution_progress(x, unit->first, "the connection was lost: connecting again to see what became of it");
  enum status status = reopen(x, x->dry_run ? NULL : unit, err);
  if (!status && unit_in_doubt(&x->plan, unit)) status = look_unit(x, unit, err);
  return status ? status : look_replay(x, err);
}

static enum status start(struct execution *x, struct error *err) {
  struct unit *doubt = unit_doubted(x);
  bool gone = false;
  job_progress(x->job, 2, "connect", NULL);
  /* a first attempt that can't connect says so at once; a later one has something to look after */
  enum status status = x->job->attempt > 1 ? reopen(x, doubt, err) : session_open(x, NULL, &gone, err);
  if (!status && doubt) status = look_unit(x, doubt, err);
  if (!status && doubt && unit_settled(&x->plan, doubt)) x->resumed = true;
  if (status || (!x->dry_run && all_settled(x))) return status;
  status = drift_check(x, err);
  return status ? status : look_replay(x, err);
}

/* --- running --- */

static enum status run_unit(struct execution *x, struct unit *unit, struct error *err) {
  while (!unit_settled(&x->plan, unit)) {
    if (cancel_asked()) return cancel_error(err);
    enum unit_end end = unit_run(x, unit, err);
    if (end == UNIT_STOPPED) return err->status;
    if (end == UNIT_LOST && recover(x, unit, err)) return err->status;
  }
  return OK;
}

static enum status run_units(struct execution *x, struct error *err) {
  if (x->dry_run) return unit_dry_run(x, err);
  for (size_t u = 0; u < x->plan.unit_count; u++) {
    enum status status = run_unit(x, &x->plan.units[u], err);
    if (status) return status;
  }
  ERROR_AUTO trouble = {0};
  if (journal_close(x, &trouble)) x->warning = arena_strdup(x->job->arena, trouble.message);
  return OK;
}

static enum status execute(struct execution *x, struct error *err) {
  enum status status = accept_job(x, err);
  if (!status) status = make_plan(x, err);
  if (!status) status = journal_open(x, err);
  if (status) return status;
  execution_at(x, "opened");
  if (!x->dry_run && all_settled(x)) return OK; /* an earlier attempt has done everything but say so */
  if (cancel_asked()) return cancel_error(err);
  status = start(x, err);
  execution_at(x, "started");
  if (!status && (x->dry_run || !all_settled(x))) status = run_units(x, err);
  return status;
}

/* --- ending --- */

/* SIGTERM also comes when a service manager stops the whole worker: then the job goes on elsewhere. */
static void name_the_stop(struct execution *x, struct error *err) {
  ERROR_AUTO ignored = {0};
  PGRESULT_AUTO res = NULL;
  if (strcmp(err->code, "JOB_CANCELLED") != 0) return;
  bool known = pg_query(x->job->db, "SELECT cancel_requested FROM autodb.queue WHERE id = $1", 1, &x->job->id, &res, &ignored) == OK;
  if (known && PQntuples(res) == 1 && !pg_bool(res, 0, 0))
    error_set_code(err, ERR_UNAVAILABLE, "WORKER_STOPPING", "the worker was stopped; another attempt goes on where this one was");
}

enum status execute_with(struct job *job, const struct execute_hooks *hooks, json_t **ret_result, struct error *err) {
  struct execution x = {.job = job, .hooks = hooks, .started_ms = clock_wall_ms()};
  cancel_begin();
  enum status status = execute(&x, err);
  session_close(&x);
  json_t *result = NULL;
  if (!status && !x.dry_run) drift_refresh(&x);
  if (!status && !(result = outcome_json(&x))) status = error_oom(err);
  if (status) {
    name_the_stop(&x, err);
    outcome_attach(&x, err);
    status = err->status;
  } else {
    *ret_result = result;
  }
  cancel_end();
  return status;
}

enum status execute_run(struct job *job, json_t **ret_result, struct error *err) { return execute_with(job, NULL, ret_result, err); }
