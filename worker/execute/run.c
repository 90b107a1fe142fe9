/* run.c - sends a statement and waits: for its end, for the word to stop, and for news of who blocks it.
 *
 * The extended protocol takes one statement and no more, so that no text, however a server reads it, can slip in a COMMIT. */
#include "worker/execute/run.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"
#include "worker/execute/blockers.h"
#include "worker/execute/cancel.h"
#include "worker/execute/text.h"

struct running {
  struct execution *x;
  struct run *run;
  bool may_cancel, told; /* told: to stop */
  int64_t deadline_ms;   /* once told */
};

const char *run_sqlstate(const struct run *run) { return json_str(run->error.details, "sqlstate", ""); }

bool run_pause(int ms) {
  int64_t until = clock_mono_ms() + ms;
  for (int64_t left; !cancel_asked() && (left = until - clock_mono_ms()) > 0;) cancel_poll(NULL, 0, (int)left);
  return !cancel_asked();
}

/* Asks the server to give the statement up: a second connection, waited for no longer than the statement itself. */
static void tell_server(struct running *running) {
  PGcancelConn *cancel = PQcancelCreate(running->x->session.conn);
  PostgresPollingStatusType want = cancel && PQcancelStart(cancel) ? PGRES_POLLING_WRITING : PGRES_POLLING_FAILED;
  while (want == PGRES_POLLING_READING || want == PGRES_POLLING_WRITING) {
    struct pollfd fd = {.fd = PQcancelSocket(cancel), .events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT};
    int64_t left = running->deadline_ms - clock_mono_ms();
    if (left <= 0) break;
    cancel_poll(&fd, 1, (int)left);
    if (fd.revents) want = PQcancelPoll(cancel);
  }
  PQcancelFinish(cancel);
}

static void stop(struct running *running) {
  running->told = true;
  running->deadline_ms = clock_mono_ms() + EXECUTE_CANCEL_MS;
  if (running->may_cancel) tell_server(running);
}

/* The first failure is the statement's. */
static void take(struct running *running, PGconn *conn, const PGresult *res) {
  struct run *run = running->run;
  ExecStatusType type = PQresultStatus(res);
  if (type == PGRES_COPY_IN) PQputCopyEnd(conn, "COPY FROM STDIN has no input here");
  if (type == PGRES_COPY_OUT)
    for (char *row = NULL; PQgetCopyData(conn, &row, 0) > 0;) PQfreemem(row);
  if (type == PGRES_COMMAND_OK) snprintf(run->tag, sizeof run->tag, "%s", PQcmdStatus((PGresult *)(uintptr_t)res));
  if ((type == PGRES_FATAL_ERROR || type == PGRES_BAD_RESPONSE) && run->end == RUN_OK) {
    run->end = RUN_FAILED;
    pg_error(conn, res, &run->error);
  }
}

/* True when the statement has ended. */
static bool take_results(struct running *running) {
  PGconn *conn = running->x->session.conn;
  if (!PQconsumeInput(conn)) return true;
  while (!PQisBusy(conn)) {
    PGRESULT_AUTO res = PQgetResult(conn);
    if (!res) return true;
    take(running, conn, res);
  }
  return false;
}

static void wait_more(struct running *running) {
  struct execution *x = running->x;
  struct pollfd fds[2] = {{.fd = PQsocket(x->session.conn), .events = POLLIN}, {.fd = blockers_socket(x), .events = POLLIN}};
  int timeout = blockers_pause_ms(x);
  if (running->told && timeout > 50) timeout = 50;
  cancel_poll(fds, 2, timeout);
}

/* The connection can't tell any more what became of it. */
static void lose(struct running *running) {
  struct run *run = running->run;
  if (!run->error.status) pg_error(running->x->session.conn, NULL, &run->error);
  run->end = RUN_LOST;
  PQfinish(running->x->session.conn);
  running->x->session.conn = NULL;
}

static void finish(struct running *running, int64_t started_us) {
  struct execution *x = running->x;
  struct run *run = running->run;
  run->duration_ms = (double)(clock_mono_us() - started_us) / 1000.0;
  run->lock_wait_ms = blockers_end(x);
  if (session_lost(x)) lose(running);
  if (run->end == RUN_FAILED && running->told && strcmp(run_sqlstate(run), "57014") == 0) run->end = RUN_CANCELLED;
  text_bound(run->error.details);
  if (run->error.details) run->error.details = arena_json(x->job->arena, run->error.details);
}

void run_statement(struct execution *x, const char *sql, bool may_cancel, struct run *ret_run) {
  struct running running = {.x = x, .run = ret_run, .may_cancel = may_cancel};
  int64_t started = clock_mono_us();
  *ret_run = (struct run){.end = RUN_OK};
  blockers_begin(x);
  if (!PQsendQueryParams(x->session.conn, sql, 0, NULL, NULL, NULL, NULL, 0)) {
    finish(&running, started);
    if (ret_run->end == RUN_OK) lose(&running);
    return;
  }
  PQsetSingleRowMode(x->session.conn);
  while (!take_results(&running)) {
    if (!running.told && cancel_asked()) stop(&running);
    if (running.told && clock_mono_ms() > running.deadline_ms) {
      error_set(&ret_run->error, ERR_UNAVAILABLE, "the statement did not end when it was cancelled");
      lose(&running);
      return;
    }
    wait_more(&running);
    blockers_look(x);
  }
  finish(&running, started);
}

void run_ours(struct execution *x, const char *sql, struct run *ret_run) { run_statement(x, sql, false, ret_run); }
