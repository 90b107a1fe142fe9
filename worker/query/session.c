/* session.c - the transaction: how it begins, how a statement runs in it, how it must end.
 *
 * BEGIN READ ONLY alone is not enough: SET TRANSACTION READ WRITE is taken as long as no query has run. So the first query is ours; it sets
 * the limits, for this transaction only. Every statement goes through PQsendQueryParams: the server itself refuses a second command in it.
 */
#include "worker/query/session_impl.h"

#include <poll.h>
#include <stdlib.h>

#include "common/clientdb.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/schema/store.h"

#define FRESH_MS 1000 /* a transaction open for longer has used up too much of its time for another statement */

/* The schemas given, a text[], or else the session's own; and never one of temporary objects first. */
#define PATH_SQL(path)                                                                                                            \
  "pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p), ', '" \
  " ORDER BY n) FROM pg_catalog.unnest(coalesce(" path "::text[], pg_catalog.current_schemas(false))) WITH ORDINALITY u (p, n)"   \
  " WHERE p OPERATOR(pg_catalog.!~) '^pg_'), 'pg_temp'), true)"

static const char begin_sql[] = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
/* For this transaction: $1 statement_timeout, $2 the search path or NULL, $3 how long the transaction may last, $4 lock_timeout, $5
 * work_mem. */
static const char limits_sql[] =
    "SELECT pg_catalog.set_config('statement_timeout', $1, true), pg_catalog.set_config('idle_in_transaction_session_timeout', $3, true),"
    " pg_catalog.set_config('lock_timeout', $4, true), pg_catalog.set_config('work_mem', $5, true), pg_catalog.set_config('jit', 'off', "
    "true),"
    " pg_catalog.set_config('max_parallel_workers_per_gather', '0', true), pg_catalog.set_config('DateStyle', 'ISO, YMD', true),"
    " pg_catalog.set_config('IntervalStyle', 'postgres', true), pg_catalog.set_config('extra_float_digits', '1', true),"
    " pg_catalog.set_config('bytea_output', 'hex', true), pg_catalog.set_config('xmloption', 'content', true),"
    " pg_catalog.set_config('standard_conforming_strings', 'on', true), pg_catalog.set_config('row_security', 'on', true),"
    " pg_catalog.set_config('default_transaction_read_only', 'on', true), " PATH_SQL("$2");
static const char transaction_17[] = ", pg_catalog.set_config('transaction_timeout', $3, true)";
/* Takes a superuser, or a grant, and is only ever lowered. */
static const char temp_files_sql[] =
    ", CASE WHEN coalesce(pg_catalog.pg_size_bytes(NULLIF(pg_catalog.current_setting('temp_file_limit'), '-1')) > 268435456, true)"
    " AND (pg_catalog.current_setting('is_superuser') = 'on'";
static const char temp_files_15[] = " OR pg_catalog.has_parameter_privilege('temp_file_limit', 'SET')";
static const char temp_files_end[] = ") THEN pg_catalog.set_config('temp_file_limit', '256MB', true) END";

/* ---- open and close ---- */

enum status query_session_open_string(const struct config *cfg, const char *connection_string, struct arena *arena,
                                      struct query_session **ret_session, struct error *err) {
  (void)arena;
  struct query_session *session = calloc(1, sizeof *session);
  if (!session) return error_oom(err);
  enum status status = clientdb_connect(cfg, connection_string, LIMIT_QUERY_STATEMENT_MS, &session->conn, err);
  if (status) {
    free(session);
    return status;
  }
  session->cfg = cfg;
  session->version = PQserverVersion(session->conn);
  *ret_session = session;
  return OK;
}

enum status query_session_open(struct job *job, struct query_session **ret_session, struct error *err) {
  const char *string = NULL;
  char *excluded = NULL;
  enum status status = store_connection_string(job, &string, &excluded, err);
  return status ? status : query_session_open_string(job->cfg, string, job->arena, ret_session, err);
}

void session_drop(struct query_session *session) {
  PQfinish(session->conn);
  session->conn = NULL;
  session->in_transaction = false;
}

void query_session_close(struct query_session *session) {
  if (!session) return;
  session_drop(session);
  free(session);
}

int query_session_version(const struct query_session *session) { return session->version; }

/* ---- errors ---- */

enum status session_refuse(struct error *err, enum status status, const char *layer, const char *rule, const char *fmt, ...) {
  char message[768];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  error_set_code(err, status, "GUARDRAIL_VIOLATION", "%s", message);
  err->details = json_pack("{s:[{s:s, s:s, s:s, s:n}]}", "violations", "layer", layer, "rule", rule, "message", err->message, "allowed");
  return status;
}

static enum status lost(struct query_session *session, struct error *err) {
  pg_error(session->conn, NULL, err);
  session_drop(session);
  return error_set(err, ERR_UNAVAILABLE, "the connection to the database was lost while the query ran");
}

static enum status too_long(const struct query_session *session, struct error *err) {
  return error_set_code(err, ERR_VALIDATION, "STATEMENT_TIMEOUT", "the query took longer than %d ms and was cancelled",
                        session->statement_ms);
}

enum status session_failed(struct query_session *session, const PGresult *res, struct error *err) {
  const char *sqlstate = res ? pg_sqlstate(res) : "";
  enum status status = pg_error(session->conn, res, err);
  if (strcmp(sqlstate, "57014") == 0 || strcmp(sqlstate, "25P04") == 0)
    status = too_long(session, err);
  else if (status == ERR_VALIDATION)
    snprintf(err->code, sizeof err->code, "EXECUTION_FAILED");
  else if (strncmp(sqlstate, "53", 2) == 0 && session->conn &&
           PQstatus(session->conn) == CONNECTION_OK) { /* a limit of the role: the next try ends there, too */
    snprintf(err->code, sizeof err->code, "EXECUTION_FAILED");
    status = err->status = ERR_VALIDATION;
  }
  if (!session->conn || PQstatus(session->conn) != CONNECTION_OK) session_drop(session);
  return status;
}

/* ---- one statement ---- */

static void cancel(struct query_session *session) {
  char reason[256];
  PGcancel *request = PQgetCancel(session->conn);
  if (request) (void)PQcancel(request, reason, sizeof reason);
  PQfreeCancel(request);
}

/* Waits for input; false: the time is over. */
static bool wait_input(const struct query_session *session, int64_t deadline_ms) {
  for (;;) {
    int64_t left = deadline_ms - clock_mono_ms();
    if (left <= 0) return false;
    struct pollfd fd = {.fd = PQsocket(session->conn), .events = POLLIN};
    if (poll(&fd, 1, (int)left) > 0) return true;
  }
}

/* The next result, or NULL at the end. Fails, the connection being dropped, when it is lost, or when the server says nothing long after its
 * own timeout: while it makes one large value it does not look at the clock. */
static enum status next_result(struct query_session *session, int64_t deadline_ms, PGresult **ret_res, struct error *err) {
  while (PQisBusy(session->conn)) {
    if (!wait_input(session, deadline_ms)) {
      cancel(session);
      session_drop(session);
      return too_long(session, err);
    }
    if (!PQconsumeInput(session->conn)) return lost(session, err);
  }
  *ret_res = PQgetResult(session->conn);
  return OK;
}

/* What a message that was sent is answered with. */
static enum status collect(struct query_session *session, session_row each, void *arg, PGresult **ret_res, struct error *err) {
  int64_t deadline = clock_mono_ms() + session->statement_ms + LIMIT_QUERY_GRACE_MS;
  PGRESULT_AUTO last = NULL;
  bool stopped = false;
  for (;;) {
    PGresult *res = NULL;
    enum status status = next_result(session, deadline, &res, err);
    if (status) return status;
    if (!res) break;
    ExecStatusType kind = PQresultStatus(res);
    if (kind == PGRES_COPY_IN || kind == PGRES_COPY_OUT || kind == PGRES_COPY_BOTH) { /* no statement of ours: would wait for ever */
      PQclear(res);
      session_drop(session);
      return session_refuse(err, ERR_VALIDATION, "transaction", "copy", "the server began a COPY");
    }
    if (kind == PGRES_SINGLE_TUPLE && each && !stopped && !each(arg, res)) {
      stopped = true;
      cancel(session);
    }
    PQclear(last);
    last = res;
  }
  ExecStatusType end = last ? PQresultStatus(last) : PGRES_FATAL_ERROR;
  bool cut = stopped && end == PGRES_FATAL_ERROR && strcmp(pg_sqlstate(last), "57014") == 0;
  if (end != PGRES_TUPLES_OK && end != PGRES_COMMAND_OK && !cut) return session_failed(session, last, err);
  *ret_res = last;
  last = NULL;
  return OK;
}

enum status session_wait(struct query_session *session, const char *sql, int nparams, const char *const *params, session_row each,
                         void *arg, PGresult **ret_res, struct error *err) {
  if (!session->conn) return error_set(err, ERR_UNAVAILABLE, "the connection to the database is closed");
  if (!PQsendQueryParams(session->conn, sql, nparams, NULL, params, NULL, NULL, 0)) return lost(session, err);
  if (each && !PQsetSingleRowMode(session->conn)) return lost(session, err);
  return collect(session, each, arg, ret_res, err);
}

enum status session_describe(struct query_session *session, const char *sql, PGresult **ret_res, struct error *err) {
  PGRESULT_AUTO prepared = NULL;
  if (!session->conn) return error_set(err, ERR_UNAVAILABLE, "the connection to the database is closed");
  if (!PQsendPrepare(session->conn, "", sql, 0, NULL)) return lost(session, err);
  enum status status = collect(session, NULL, NULL, &prepared, err);
  if (status) return status;
  if (!PQsendDescribePrepared(session->conn, "")) return lost(session, err);
  return collect(session, NULL, NULL, ret_res, err);
}

/* ---- transactions ---- */

static enum status run(struct query_session *session, const char *sql, int nparams, const char *const *params, struct error *err) {
  PGRESULT_AUTO res = NULL;
  return session_wait(session, sql, nparams, params, NULL, NULL, &res, err);
}

static enum status set_limits(struct query_session *session, const char *path, struct error *err) {
  char statement[16], transaction[16], lock[16], memory[16];
  char sql[sizeof limits_sql + sizeof transaction_17 + sizeof temp_files_sql + sizeof temp_files_15 + sizeof temp_files_end];
  snprintf(statement, sizeof statement, "%d", session->statement_ms);
  snprintf(transaction, sizeof transaction, "%d", session->statement_ms + LIMIT_QUERY_TRANSACTION_MS - LIMIT_QUERY_STATEMENT_MS);
  snprintf(lock, sizeof lock, "%d", LIMIT_QUERY_LOCK_MS);
  snprintf(memory, sizeof memory, "%d", LIMIT_QUERY_WORK_MEM_KB);
  snprintf(sql, sizeof sql, "%s%s%s%s%s", limits_sql, session->version >= 170000 ? transaction_17 : "", temp_files_sql,
           session->version >= 150000 ? temp_files_15 : "", temp_files_end);
  const char *const params[] = {statement, path, transaction, lock, memory};
  return run(session, sql, 5, params, err);
}

enum status query_session_begin(struct query_session *session, const char *path, int statement_ms, struct error *err) {
  if (!session->conn) return error_set(err, ERR_UNAVAILABLE, "the connection to the database is closed");
  if (session->in_transaction) return error_set(err, ERR_INTERNAL, "a transaction is open already");
  if (PQtransactionStatus(session->conn) != PQTRANS_IDLE) {
    session_drop(session);
    return error_set(err, ERR_INTERNAL, "the session was not idle");
  }
  session->statement_ms = statement_ms > 0 ? statement_ms : LIMIT_QUERY_STATEMENT_MS;
  enum status status = run(session, begin_sql, 0, NULL, err);
  if (status) return status;
  session->in_transaction = true;
  session->began_ms = clock_mono_ms();
  status = set_limits(session, path, err);
  if (!status && PQtransactionStatus(session->conn) != PQTRANS_INTRANS)
    status = session_refuse(err, ERR_VALIDATION, "transaction", "not-in-transaction", "the server did not keep the read-only transaction");
  return session_finish(session, status, err);
}

/* The open transaction goes on with the search path of the statement, unless it is too old: then another begins. */
enum status session_continue(struct query_session *session, const char *path, int statement_ms, struct error *err) {
  bool same_limit = (statement_ms > 0 ? statement_ms : LIMIT_QUERY_STATEMENT_MS) == session->statement_ms;
  if (!same_limit || clock_mono_ms() - session->began_ms > FRESH_MS) {
    enum status status = query_session_end(session, err);
    return status ? status : query_session_begin(session, path, statement_ms, err);
  }
  if (!path) return OK;
  return session_finish(session, run(session, "SELECT " PATH_SQL("$1"), 1, &path, err), err);
}

enum status query_session_query(struct query_session *session, const char *sql, int nparams, const char *const *params, PGresult **ret_res,
                                struct error *err) {
  if (!session->in_transaction) return error_set(err, ERR_INTERNAL, "there is no transaction");
  return session_finish(session, session_wait(session, sql, nparams, params, NULL, NULL, ret_res, err), err);
}

enum status query_session_own_settings(struct query_session *session, struct error *err) {
  static const char sql[] = "SELECT pg_catalog.set_config(name, reset_val, true) FROM pg_catalog.pg_settings"
                            " WHERE name IN ('jit', 'work_mem', 'max_parallel_workers_per_gather')";
  PGRESULT_AUTO res = NULL;
  return query_session_query(session, sql, 0, NULL, &res, err);
}

enum status query_session_describe(struct query_session *session, const char *sql, PGresult **ret_res, struct error *err) {
  if (!session->in_transaction) return error_set(err, ERR_INTERNAL, "there is no transaction");
  return session_finish(session, session_describe(session, sql, ret_res, err), err);
}

enum status session_inside(struct query_session *session, struct error *err) {
  PGTransactionStatusType now = PQtransactionStatus(session->conn);
  if (now == PQTRANS_INTRANS || now == PQTRANS_INERROR) return OK;
  session_drop(session);
  return session_refuse(err, ERR_VALIDATION, "transaction", "escaped", "the statement ended the read-only transaction it ran in");
}

enum status query_session_end(struct query_session *session, struct error *err) {
  if (!session->in_transaction || !session->conn) return OK;
  session->in_transaction = false;
  if (session_inside(session, err)) return err->status;
  enum status status = run(session, "ROLLBACK", 0, NULL, err);
  if (!status) status = run(session, "DISCARD ALL", 0, NULL, err);
  if (!status && PQtransactionStatus(session->conn) == PQTRANS_IDLE) return OK;
  session_drop(session);
  return status ? status : error_set(err, ERR_UNAVAILABLE, "the session could not be cleaned");
}

enum status session_finish(struct query_session *session, enum status status, struct error *err) {
  if (!status) return OK;
  ERROR_AUTO ending = {0};
  enum status ended = query_session_end(session, &ending);
  if (ended && strcmp(ending.code, "GUARDRAIL_VIOLATION") == 0) {
    error_clear(err);
    *err = ending;
    ending = (struct error){0};
    return ended;
  }
  return status;
}
