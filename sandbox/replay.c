/* replay.c - a migration of the past, run for its result.
 *
 * Hostile as any: the migrator runs it, the superuser only makes what it names (session.h, clone.c). Most files pass in one message, which
 * is one transaction or those they begin themselves. One that doesn't (CREATE INDEX CONCURRENTLY among others, a statement that needs
 * powers nobody has here) is run again statement by statement, each on its own. */
#include "sandbox/sandbox.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/pg.h"
#include "script.h"
#include "session.h"

#define STATEMENT_MS "60000"

struct replay {
  PGconn *conn;
  struct arena *arena;
  const char *sql;
  struct sandbox_replay_report report;
};

static bool starts_with(const struct script_statement *statement, const char *const *heads, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct script_lexer lexer = script_lexer(statement);
    if (script_skip(&lexer, heads[i])) return true;
  }
  return false;
}

/* Made beforehand, by name. */
static bool is_made(const struct script_statement *statement) {
  static const char *const heads[] = {"create extension", "create role", "create group", "create user"};
  struct script_lexer lexer = script_lexer(statement);
  return starts_with(statement, heads, sizeof heads / sizeof *heads) && !script_skip(&lexer, "create user mapping");
}

static bool is_bracket(const struct script_statement *statement) {
  static const char *const heads[] = {"begin", "start transaction", "commit", "end", "rollback", "abort", "savepoint", "release"};
  return starts_with(statement, heads, sizeof heads / sizeof *heads);
}

static bool run_ok(PGconn *conn, const char *sql, PGresult **ret_res) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  bool good = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_EMPTY_QUERY;
  if (ret_res) {
    *ret_res = res;
    res = NULL;
  }
  return good;
}

static enum status run_whole(struct replay *replay, bool *ret_good, struct error *err) {
  BUF_AUTO text;
  buf_init(&text, LIMIT_DUMP_BYTES + 1024);
  struct script script = script_of(replay->sql);
  for (struct script_statement statement; script_next(&script, &statement); replay->report.statements++) {
    if (is_made(&statement)) continue;
    buf_append(&text, statement.text, statement.len);
    buf_puts(&text, ";\n");
  }
  if (!buf_ok(&text)) return error_oom(err);
  bool good = run_ok(replay->conn, buf_str(&text), NULL) && PQtransactionStatus(replay->conn) == PQTRANS_IDLE;
  if (PQtransactionStatus(replay->conn) != PQTRANS_IDLE) run_ok(replay->conn, "ROLLBACK", NULL);
  *ret_good = good;
  return PQstatus(replay->conn) == CONNECTION_OK ? OK : pg_error(replay->conn, NULL, err);
}

static void note(struct replay *replay, const struct script_statement *statement, const PGresult *res) {
  replay->report.left_out++;
  if (replay->report.problem) return;
  int line = 1;
  for (const char *c = replay->sql; c < statement->text; c++) line += *c == '\n';
  const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  replay->report.problem = arena_printf(replay->arena, "line %d: %s", line, message ? message : "it can't be replayed");
}

static void run_one(struct replay *replay, const struct script_statement *statement) {
  char *sql = arena_strndup(replay->arena, statement->text, statement->len);
  PGRESULT_AUTO res = NULL;
  if (!sql || !run_ok(replay->conn, sql, &res)) note(replay, statement, res);
  PGRESULT_AUTO rest = PQgetResult(replay->conn); /* of a COPY that waits for data */
}

static enum status run_each(struct replay *replay, struct error *err) {
  struct script script = script_of(replay->sql);
  for (struct script_statement statement; script_next(&script, &statement);) {
    if (is_made(&statement) || is_bracket(&statement)) continue;
    run_one(replay, &statement);
    if (PQstatus(replay->conn) != CONNECTION_OK) return pg_error(replay->conn, NULL, err);
  }
  return OK;
}

enum status sandbox_replay(struct sandbox *sandbox, const char *sql, struct arena *arena, struct sandbox_replay_report *ret_report,
                           struct error *err) {
  struct replay replay = {.arena = arena, .sql = sql};
  bool good = false;
  enum status status = sandbox_grant_names(sandbox, sql, arena, err);
  if (!status) status = session_take(sandbox, SESSION_MIGRATOR, &replay.conn, err);
  if (!status) status = pg_script(replay.conn, "SET statement_timeout = " STATEMENT_MS, err);
  if (!status) status = run_whole(&replay, &good, err);
  if (!status && !good) status = run_each(&replay, err);
  session_put(sandbox, SESSION_MIGRATOR, replay.conn);
  if (!status) *ret_report = replay.report;
  return status;
}
