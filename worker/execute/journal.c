/* journal.c - see journal.h. */
#include "worker/execute/journal.h"

#include "common/json.h"
#include "common/pg.h"

static const char open_sql[] =
    "INSERT INTO autodb.executions AS e (job_id, connection_id, sql_sha256, transaction_mode, attempt) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt WHERE e.attempt <= excluded.attempt"
    " RETURNING sql_sha256 = $3 AND transaction_mode = $4, floor(extract(epoch FROM started_at) * 1000)::bigint";
static const char fill_sql[] = "INSERT INTO autodb.execution_statements (job_id, ordinal, unit)"
                               " SELECT $1, r.ordinal, r.unit FROM json_to_recordset($2::json) AS r(ordinal integer, unit integer)"
                               " ON CONFLICT (job_id, ordinal) DO NOTHING";
static const char read_sql[] =
    "SELECT ordinal, unit, status, backend_pid, backend_start, xid, before, duration_ms, lock_wait_ms, retries, error"
    " FROM autodb.execution_statements WHERE job_id = $1 ORDER BY ordinal";
static const char write_sql[] =
    "WITH mine AS (SELECT job_id FROM autodb.executions WHERE job_id = $1 AND attempt = $2 FOR SHARE)"
    " UPDATE autodb.execution_statements s SET status = r.status, attempt = $2, backend_pid = $4::integer, backend_start = $5, xid = $6,"
    " before = $7::json, duration_ms = r.duration_ms, lock_wait_ms = r.lock_wait_ms, retries = r.retries, error = r.error,"
    " started_at = CASE WHEN s.status = 'pending' OR s.started_at IS NULL THEN now() ELSE s.started_at END,"
    " finished_at = CASE WHEN r.status IN ('pending', 'running', 'committing') THEN NULL ELSE now() END"
    " FROM mine, json_to_recordset($3::json) AS r(ordinal integer, status text, duration_ms double precision,"
    " lock_wait_ms double precision, retries integer, error json) WHERE s.job_id = mine.job_id AND s.ordinal = r.ordinal";
static const char close_sql[] =
    "UPDATE autodb.executions SET completed_at = coalesce(completed_at, now()) WHERE job_id = $1 AND attempt = $2";

static enum status fenced(struct error *err) {
  return error_set_code(err, ERR_UNAVAILABLE, "EXECUTION_FENCED", "a newer attempt has taken over this execution");
}

/* --- asking --- */

static enum status ask(struct execution *x, const char *sql, int count, const char *const *params, PGresult **ret_res, struct error *err) {
  enum status status = pg_query(x->job->db, sql, count, params, ret_res, err);
  if (!status || PQstatus(x->job->db) == CONNECTION_OK) return status;
  PQreset(x->job->db); /* what is written is the same each time: it may be written again */
  error_clear(err);
  return pg_query(x->job->db, sql, count, params, ret_res, err);
}

static enum status change(struct execution *x, const char *sql, int count, const char *const *params, size_t rows, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, sql, count, params, &res, err);
  if (status) return status;
  return strtoul(PQcmdTuples(res), NULL, 10) == rows ? OK : fenced(err);
}

static char *attempt_text(const struct execution *x) { return arena_printf(x->job->arena, "%d", x->job->attempt); }

static char *dump(struct execution *x, json_t *take) {
  char *text = take ? json_dumps(take, JSON_COMPACT | JSON_ENCODE_ANY) : NULL, *kept = arena_strdup(x->job->arena, text);
  free(text);
  json_decref(take);
  return kept;
}

/* --- opening --- */

static char *ordinals(struct execution *x) {
  json_t *rows = json_array();
  for (size_t u = 0; u < x->plan.unit_count; u++)
    for (size_t i = 0; i < x->plan.units[u].count; i++)
      json_array_append_new(rows, json_pack("{s:I, s:I}", "ordinal", (json_int_t)(x->plan.units[u].first + i), "unit", (json_int_t)u));
  return dump(x, rows);
}

static json_t *column_json(struct execution *x, const PGresult *res, int row, int col) {
  const char *text = pg_str(res, row, col);
  return text ? arena_json(x->job->arena, json_loads(text, JSON_DECODE_ANY, NULL)) : NULL;
}

static double column_double(const PGresult *res, int row, int col) {
  const char *text = pg_str(res, row, col);
  return text ? strtod(text, NULL) : 0;
}

/* False when the row is not of this plan: written by a version that divided the script otherwise. */
static bool read_row(struct execution *x, const PGresult *res, int row) {
  struct step *step = &x->plan.steps[row];
  long long unit_number = pg_int(res, row, 1, -1);
  if (pg_int(res, row, 0, -1) != row || unit_number < 0 || (size_t)unit_number >= x->plan.unit_count) return false;
  struct unit *unit = &x->plan.units[unit_number];
  if ((size_t)row < unit->first || (size_t)row >= unit->first + unit->count) return false;
  if (!step_status_parse(pg_str(res, row, 2), &step->status)) return false;
  unit->pid = (int)pg_int(res, row, 3, 0);
  unit->start = arena_strdup(x->job->arena, pg_str(res, row, 4));
  unit->xid = arena_strdup(x->job->arena, pg_str(res, row, 5));
  unit->before = column_json(x, res, row, 6);
  step->duration_ms = column_double(res, row, 7);
  step->lock_wait_ms = column_double(res, row, 8);
  step->retries = (int)pg_int(res, row, 9, 0);
  step->error = column_json(x, res, row, 10);
  return true;
}

/* What failed or was rolled back has left nothing and is to be done again; what is in doubt stays so until somebody has looked. */
static void begin_again(struct execution *x) {
  for (size_t u = 0; u < x->plan.unit_count; u++) {
    struct unit *unit = &x->plan.units[u];
    if (unit_settled(&x->plan, unit)) {
      x->resumed = true;
      continue;
    }
    for (size_t i = 0; i < unit->count; i++) {
      struct step *step = &x->plan.steps[unit->first + i];
      if (step->status == STEP_FAILED && !unit->transaction && unit->before) step->status = STEP_RUNNING; /* it may have left something */
      if (step->status == STEP_FAILED || step->status == STEP_ROLLED_BACK) step->status = STEP_PENDING;
      step->error = NULL;
    }
  }
}

static enum status read_rows(struct execution *x, struct error *err) {
  const char *const params[] = {x->job->id};
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, read_sql, 1, params, &res, err);
  if (status) return status;
  bool same = (size_t)PQntuples(res) == x->plan.count;
  for (int row = 0; same && row < PQntuples(res); row++) same = read_row(x, res, row);
  if (!same)
    return error_set_code(err, ERR_CONFLICT, "JOURNAL_MISMATCH",
                          "an earlier attempt by another version divided this script otherwise; see autodb.execution_statements");
  begin_again(x);
  return OK;
}

enum status journal_open(struct execution *x, struct error *err) {
  if (x->dry_run) return OK;
  const char *const params[] = {x->job->id, x->job->connection_id, x->sql_sha256, x->plan.single ? "single" : "per-statement",
                                attempt_text(x)};
  const char *const fill[] = {x->job->id, ordinals(x)};
  if (!params[4] || !fill[1]) return error_oom(err);
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, open_sql, 5, params, &res, err);
  if (status) return status;
  if (PQntuples(res) == 0) return fenced(err);
  if (!pg_bool(res, 0, 0)) return error_set(err, ERR_INTERNAL, "the journal of this job is about another script");
  x->started_ms = pg_int(res, 0, 1, x->started_ms);
  PGRESULT_AUTO filled = NULL;
  if ((status = ask(x, fill_sql, 2, fill, &filled, err))) return status;
  return read_rows(x, err);
}

/* --- writing --- */

static char *rows_of(struct execution *x, const struct unit *unit) {
  json_t *rows = json_array();
  for (size_t i = unit->first; i < unit->first + unit->count; i++) {
    const struct step *step = &x->plan.steps[i];
    json_array_append_new(rows, json_pack("{s:I, s:s, s:f, s:f, s:i, s:O?}", "ordinal", (json_int_t)i, "status",
                                          step_status_name(step->status), "duration_ms", step->duration_ms, "lock_wait_ms",
                                          step->lock_wait_ms, "retries", step->retries, "error", step->error));
  }
  return dump(x, rows);
}

enum status journal_write(struct execution *x, const struct unit *unit, struct error *err) {
  if (x->dry_run) return OK;
  const char *before = unit->before ? dump(x, json_incref(unit->before)) : NULL;
  const char *const params[] = {
      x->job->id, attempt_text(x), rows_of(x, unit), unit->pid ? arena_printf(x->job->arena, "%d", unit->pid) : NULL, unit->start,
      unit->xid,  before};
  if (!params[1] || !params[2] || (unit->before && !before)) return error_oom(err);
  enum status status = change(x, write_sql, 7, params, unit->count, err);
  if (status) error_prefix(err, "the execution's journal could not be written");
  return status;
}

enum status journal_close(struct execution *x, struct error *err) {
  if (x->dry_run) return OK;
  const char *const params[] = {x->job->id, attempt_text(x)};
  return params[1] ? change(x, close_sql, 2, params, 1, err) : error_oom(err);
}
