/* session.c - see session.h. */
#include "worker/execute/session.h"

#include "common/clientdb.h"
#include "common/clock.h"
#include "common/pg.h"
#include "worker/execute/cancel.h"
#include "worker/execute/execution.h"
#include "worker/execute/text.h"
#include "worker/schema/store.h"

#define POLL_MS 100
#define KEY_PARTS                                                                                                        \
  " l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid = ((" EXECUTE_LOCK_KEY "::bigint >> 32) & 4294967295)::oid" \
  " AND l.objid = (" EXECUTE_LOCK_KEY "::bigint & 4294967295)::oid AND l.granted"

static const char about_sql[] = "SELECT pg_catalog.pg_backend_pid(), a.backend_start::text, pg_catalog.pg_is_in_recovery(),"
                                " pg_catalog.current_setting('server_version_num') FROM pg_catalog.pg_stat_activity a"
                                " WHERE a.pid = pg_catalog.pg_backend_pid()";
static const char try_lock_sql[] = "SELECT pg_catalog.pg_try_advisory_lock(" EXECUTE_LOCK_KEY ")";
static const char held_sql[] =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = pg_catalog.pg_backend_pid() AND" KEY_PARTS ")";
static const char holder_sql[] =
    "SELECT l.pid, a.application_name, a.usename, a.backend_start::text FROM pg_catalog.pg_locks l"
    " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE" KEY_PARTS
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) LIMIT 1";
static const char alive_sql[] = "SELECT a.state FROM pg_catalog.pg_stat_activity a WHERE a.pid = $1 AND a.backend_start = $2::timestamptz";

/* --- connecting --- */

static void keep_notice(void *arg, const PGresult *res) {
  struct execution *x = arg;
  const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY), *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  x->session.notices++;
  if (json_array_size(x->session.notice_lines) >= EXECUTE_NOTICES) return;
  char line[EXECUTE_TEXT_BYTES];
  snprintf(line, sizeof line, "%s: %s", severity ? severity : "NOTICE", message ? message : "");
  json_array_append_new(x->session.notice_lines, text_json(line));
}

static enum status set_name(struct execution *x, PGconn *conn, const char *suffix, struct error *err) {
  const char *name = arena_printf(x->job->arena, "autodb execute %s%s", x->job->id, suffix);
  if (!name) return error_oom(err);
  return pg_exec(conn, "SELECT pg_catalog.set_config('application_name', $1, false)", 1, &name, err);
}

static enum status connect_main(struct execution *x, const char *string, struct error *err) {
  struct session *session = &x->session;
  PGRESULT_AUTO res = NULL;
  enum status status = clientdb_connect(x->job->cfg, string, 0, &session->conn, err);
  if (!status) status = set_name(x, session->conn, "", err);
  if (!status) status = pg_query(session->conn, about_sql, 0, NULL, &res, err);
  if (status) return status;
  const char *start = PQntuples(res) == 1 && PQnfields(res) == 4 ? pg_str(res, 0, 1) : NULL;
  if (!start) return error_set(err, ERR_VALIDATION, "the server does not say which of its sessions is ours");
  if (pg_bool(res, 0, 2))
    return error_set_code(err, ERR_UNAVAILABLE, "READ_ONLY_SERVER", "the server is in recovery: a migration needs the primary");
  session->pid = (int)pg_int(res, 0, 0, 0);
  snprintf(session->start, sizeof session->start, "%s", start);
  session->version = (int)pg_int(res, 0, 3, 0);
  PQsetNoticeReceiver(session->conn, keep_notice, x);
  return OK;
}

static void connect_watch(struct execution *x, const char *string) {
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  if (clientdb_connect(x->job->cfg, string, EXECUTE_LOCK_TIMEOUT_MS, &conn, &err) || set_name(x, conn, " watch", &err)) return;
  if (PQsetnonblocking(conn, 1) == 0) {
    x->session.watch = conn;
    conn = NULL;
  }
}

/* --- a session of ours that lost its client --- */

/* Gone, or what its state is. */
static enum status look_alive(struct execution *x, const char *const params[2], bool *ret_alive, bool *ret_active, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->session.conn, alive_sql, 2, params, &res, err);
  if (status) return status;
  *ret_alive = PQntuples(res) > 0;
  *ret_active = *ret_alive && pg_str(res, 0, 0) && strcmp(pg_str(res, 0, 0), "active") == 0;
  return OK;
}

/* What it does outside of a transaction it may finish: an index half built is hours lost. A transaction can't be finished by anybody: it
 * ends now, if it isn't committing already. */
static enum status settle_orphan(struct execution *x, const struct unit *doubt, struct error *err) {
  const char *const params[] = {arena_printf(x->job->arena, "%d", doubt->pid), doubt->start};
  int64_t began = clock_mono_ms(), told = 0;
  for (;;) {
    bool alive = false, active = false;
    enum status status = params[0] ? look_alive(x, params, &alive, &active, err) : error_oom(err);
    if (status || !alive) return status;
    if (cancel_asked()) return cancel_error(err);
    int64_t now = clock_mono_ms();
    if (told && now - told > EXECUTE_SETTLE_MS)
      return error_set_code(err, ERR_UNAVAILABLE, "EXECUTOR_BUSY", "an earlier session of this execution (pid %d) does not end",
                            doubt->pid);
    if (!told && (doubt->transaction || !active || now - began > EXECUTE_ORPHAN_MS)) {
      if ((status = pg_exec(x->session.conn, "SELECT pg_catalog.pg_terminate_backend($1)", 1, params, err))) return status;
      told = now;
    }
    execution_progress(x, doubt->first, "waiting for an earlier session of this execution to end");
    cancel_poll(NULL, 0, POLL_MS);
  }
}

/* --- the lock --- */

static enum status busy(struct execution *x, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->session.conn, holder_sql, 0, NULL, &res, err);
  if (status) return status;
  bool known = PQntuples(res) > 0;
  error_set_code(err, ERR_UNAVAILABLE, "EXECUTOR_BUSY", "another execution is at work on this database: pid %s, %.100s",
                 known ? PQgetvalue(res, 0, 0) : "unknown", known ? PQgetvalue(res, 0, 1) : "just gone");
  if (known)
    err->details =
        json_pack("{s:{s:I, s:o, s:o, s:o}}", "holder", "pid", pg_int(res, 0, 0, 0), "application_name", text_json(PQgetvalue(res, 0, 1)),
                  "usename", text_json(PQgetvalue(res, 0, 2)), "backend_start", text_json(PQgetvalue(res, 0, 3)));
  return ERR_UNAVAILABLE;
}

static enum status ask(struct execution *x, const char *sql, bool *ret_truth, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->session.conn, sql, 0, NULL, &res, err);
  if (!status) *ret_truth = PQntuples(res) == 1 && pg_bool(res, 0, 0);
  return status;
}

static enum status take_lock(struct execution *x, struct error *err) {
  int64_t until = clock_mono_ms() + EXECUTE_BUSY_MS;
  for (;;) {
    bool taken = false;
    enum status status = ask(x, try_lock_sql, &taken, err);
    if (status || taken) return status;
    if (cancel_asked()) return cancel_error(err);
    if (clock_mono_ms() > until) return busy(x, err);
    job_progress(x->job, 2, "lock", "another execution is at work on this database");
    cancel_poll(NULL, 0, POLL_MS);
  }
}

enum status session_hold_lock(struct execution *x, bool again, struct error *err) {
  bool held = false;
  enum status status = ask(x, held_sql, &held, err);
  if (status || held) return status;
  if (again) return take_lock(x, err);
  return error_set_code(
      err, ERR_UNAVAILABLE, "LOCK_LOST",
      "the session no longer holds its advisory lock: a pooler that hands out servers per transaction can't be used here");
}

/* --- all of it --- */

enum status session_open(struct execution *x, const struct unit *doubt, bool *ret_gone, struct error *err) {
  const char *string = NULL;
  char *excluded = NULL;
  enum status status = store_connection_string(x->job, &string, &excluded, err);
  if (status) return status;
  session_close(x);
  *ret_gone = true;
  if ((status = connect_main(x, string, err))) return status;
  *ret_gone = false;
  connect_watch(x, string);
  if (doubt && doubt->pid && doubt->start) status = settle_orphan(x, doubt, err);
  if (!status) status = take_lock(x, err);
  return status;
}

void session_close(struct execution *x) {
  PQfinish(x->session.conn);
  PQfinish(x->session.watch);
  x->session.conn = x->session.watch = NULL;
  x->session.settled = false;
  x->session.kept_lock_timeout[0] = '\0';
}

bool session_lost(const struct execution *x) { return !x->session.conn || PQstatus(x->session.conn) != CONNECTION_OK; }

/* --- settings --- */

/* The script's own lock_timeout is kept while one of its statements must not have any. */
static enum status keep_lock_timeout(struct execution *x, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->session.conn, "SELECT pg_catalog.current_setting('lock_timeout')", 0, NULL, &res, err);
  if (!status) snprintf(x->session.kept_lock_timeout, sizeof x->session.kept_lock_timeout, "%s", PQgetvalue(res, 0, 0));
  return status;
}

static enum status restore_lock_timeout(struct execution *x, struct error *err) {
  const char *value = x->session.kept_lock_timeout;
  enum status status = pg_exec(x->session.conn, "SELECT pg_catalog.set_config('lock_timeout', $1, false)", 1, &value, err);
  x->session.kept_lock_timeout[0] = '\0';
  return status;
}

/* Utility statements, so that they take no snapshot: the script may begin with SET TRANSACTION. */
enum status session_settle(struct execution *x, size_t index, struct error *err) {
  const struct step *step = &x->plan.steps[index];
  struct session *session = &x->session;
  bool lock = step->waits || !step->own_lock_timeout, statement = !step->own_statement_timeout;
  int lock_ms = step->waits ? 0 : x->lock_timeout_ms;
  enum status status = OK;
  if (step->waits && step->own_lock_timeout && !*session->kept_lock_timeout) status = keep_lock_timeout(x, err);
  if (!step->waits && *session->kept_lock_timeout) status = restore_lock_timeout(x, err);
  if (status || (session->settled && session->lock_timeout_ms == lock_ms) || (!lock && !statement)) return status;
  char sql[128] = "";
  int used = lock ? snprintf(sql, sizeof sql, "SET lock_timeout = %d; ", lock_ms) : 0;
  if (statement) snprintf(sql + used, sizeof sql - (size_t)used, "SET statement_timeout = %d", x->statement_timeout_ms);
  if ((status = pg_script(session->conn, sql, err))) return status;
  session->lock_timeout_ms = lock_ms;
  session->settled = lock && statement && !step->own_lock_timeout;
  return OK;
}
