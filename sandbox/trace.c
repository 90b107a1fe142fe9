/* trace.c - runs statements on one session and looks at them from another.
 *
 * Inside a transaction, per statement: run it as the migrator; read its locks from the tracer's session before anything else runs (so our
 * own reads add nothing); then let the migrator itself read pg_class, because only it sees its uncommitted changes, and compare with what
 * was there before: another relfilenode is a rewrite, a raised sequential-scan counter a full read, a new oid a new relation.
 *
 * The "before" of a transaction's first statement is read in the message that opens the transaction ("…; COMMIT AND CHAIN"): the server
 * flushes a session's counters when it goes idle, never inside a transaction.
 *
 * A statement that may fail over made-up rows gets a savepoint, so that the transaction survives it; no other pays for one.
 *
 * Outside a transaction (CONCURRENTLY, VACUUM) locks are gone when the statement ends: see holder.c. Results are read row by row and
 * dropped. */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <poll.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/pg.h"
#include "holder.h"
#include "locks.h"
#include "relations.h"
#include "script.h"
#include "session.h"

#define CANCEL_MS 5000 /* a statement that doesn't end by then although cancelled has broken the sandbox */
#define SAMPLE_MS 1
#define GUARD_NAME "autodb_guard"

struct sandbox_trace {
  struct sandbox *sandbox;
  struct arena *arena;
  PGconn *migrator, *tracer;
  struct holder *holder;   /* made when the first statement outside a transaction comes */
  struct relations before; /* valid while known */
  bool known;
  struct locks locks;                            /* of the open transaction, after its last statement */
  enum { UNGUARDED, GUARD_NEXT, GUARDED } guard; /* GUARDED: our savepoint is open */
};

enum status sandbox_trace_begin(struct sandbox *sandbox, struct arena *arena, struct sandbox_trace **ret_trace, struct error *err) {
  struct sandbox_trace *trace = calloc(1, sizeof *trace);
  if (!trace) return error_oom(err);
  *trace = (struct sandbox_trace){.sandbox = sandbox, .arena = arena};
  enum status status = session_take(sandbox, SESSION_TRACER, &trace->tracer, err);
  if (!status) status = sandbox_connect_migrator(sandbox, &trace->migrator, err);
  if (status) {
    sandbox_trace_free(trace);
    return status;
  }
  *ret_trace = trace;
  return OK;
}

void sandbox_trace_free(struct sandbox_trace *trace) {
  if (!trace) return;
  holder_free(trace->holder);
  PQfinish(trace->migrator); /* never used again: who knows what the migration has SET */
  PQfinish(trace->tracer);
  free(trace);
}

/* --- running one statement with an eye on the clock --- */

struct running {
  struct sandbox_trace *trace;
  struct sandbox_step *step;
  struct locks *sampled; /* not NULL: take samples of its locks while it runs, moving the holder on */
  int64_t started_us, deadline_ms;
  bool cancelled;
};

/* Takes what has come without waiting; true when the statement has ended. The first failure is the statement's. */
static bool take_results(struct running *running) {
  PGconn *conn = running->trace->migrator;
  if (!PQconsumeInput(conn)) return true;
  while (!PQisBusy(conn)) {
    PGRESULT_AUTO res = PQgetResult(conn);
    if (!res) return true;
    ExecStatusType type = PQresultStatus(res);
    if (type == PGRES_COPY_IN) PQputCopyEnd(conn, "COPY FROM STDIN has no input here");
    if (type == PGRES_COPY_OUT)
      for (char *row = NULL; PQgetCopyData(conn, &row, 0) > 0;) PQfreemem(row);
    if (type == PGRES_FATAL_ERROR && running->step->ok) {
      running->step->ok = false;
      pg_error(conn, res, &running->step->error);
    }
  }
  return false;
}

static void cancel(struct running *running) {
  char text[128];
  PGcancel *handle = PQgetCancel(running->trace->migrator);
  if (handle && !PQcancel(handle, text, sizeof text)) running->deadline_ms = 0;
  PQfreeCancel(handle);
  if (running->trace->holder) holder_release(running->trace->holder);
  running->cancelled = true;
  running->deadline_ms += CANCEL_MS;
}

static enum status sample(struct running *running, struct error *err) {
  struct sandbox_trace *trace = running->trace;
  bool waiting = false;
  enum status status = locks_sample(trace->tracer, PQbackendPID(trace->migrator), trace->arena, running->sampled, &waiting, err);
  if (!status && waiting) holder_step(trace->holder, &trace->before, running->sampled);
  return status;
}

static enum status broken(struct sandbox_trace *trace, struct error *err) {
  if (PQstatus(trace->migrator) == CONNECTION_OK)
    return error_set(err, ERR_UNAVAILABLE, "a statement in the sandbox could not be cancelled");
  return error_set(err, ERR_UNAVAILABLE, "the sandbox's server ended the session: %.300s", PQerrorMessage(trace->migrator));
}

static enum status run_statement(struct running *running, const char *sql, struct error *err) {
  PGconn *conn = running->trace->migrator;
  if (!PQsendQuery(conn, sql)) return broken(running->trace, err);
  PQsetSingleRowMode(conn);
  for (;;) {
    struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};
    int64_t left = running->deadline_ms - clock_mono_ms();
    if (left <= 0 && running->cancelled) return broken(running->trace, err);
    if (left <= 0) cancel(running);
    if (PQisBusy(conn)) poll(&fd, 1, running->sampled ? SAMPLE_MS : left > 0 && left < 1000 ? (int)left : 1000);
    if (take_results(running)) break;
    if (running->sampled && !running->cancelled) {
      enum status status = sample(running, err);
      if (status) return status;
    }
  }
  running->step->duration_ms = (double)(clock_mono_us() - running->started_us) / 1000.0;
  return PQstatus(conn) == CONNECTION_OK ? OK : broken(running->trace, err);
}

/* The error of a cancelled statement says why. */
static void finish_error(struct running *running, int timeout_ms) {
  struct error *error = &running->step->error;
  if (!running->step->ok && running->cancelled)
    snprintf(error->message, sizeof error->message, "the statement was still running in the sandbox after %d ms and was cancelled",
             timeout_ms);
  if (error->details) error->details = arena_json(running->trace->arena, error->details);
}

/* --- comparing --- */

/* Appends to an array with room for all. */
#define PUT(step, array, value) ((step)->array##s[(step)->array##_count++] = (value))

static bool make_room(struct sandbox_trace *trace, struct sandbox_step *step, size_t relations) {
  step->locks = arena_calloc(trace->arena, relations + 1, sizeof *step->locks);
  step->held = arena_calloc(trace->arena, relations + 1, sizeof *step->held);
  step->rewrites = arena_calloc(trace->arena, relations + 1, sizeof *step->rewrites);
  step->scans = arena_calloc(trace->arena, relations + 1, sizeof *step->scans);
  return step->locks && step->held && step->rewrites && step->scans;
}

static void compare_locks(const struct sandbox_trace *trace, const struct locks *earlier, const struct locks *now,
                          struct sandbox_step *step) {
  for (size_t i = 0; i < now->count; i++) {
    const struct relation *relation = relations_find(&trace->before, now->list[i].oid);
    if (!relation || relation_is_index(relation)) continue;
    unsigned fresh = now->list[i].modes & ~locks_modes(earlier, now->list[i].oid);
    struct sandbox_lock lock = {
        .relation = relation->name, .relkind = relation->kind, .mode = lock_mode_name(lock_strongest(fresh ? fresh : now->list[i].modes))};
    if (fresh)
      PUT(step, lock, lock);
    else
      step->held[step->held_count++] = lock;
  }
}

static enum status compare_relations(struct sandbox_trace *trace, const struct relations *after, struct sandbox_step *step,
                                     struct error *err) {
  step->created = arena_calloc(trace->arena, after->count + 1, sizeof *step->created);
  if (!step->created) return error_oom(err);
  for (size_t i = 0; i < after->count; i++) {
    const struct relation *now = &after->list[i], *then = relations_find(&trace->before, now->oid);
    if (!then)
      step->created[step->created_count++] = now->name;
    else if (!relation_is_index(now)) {
      if (now->filenode != then->filenode) PUT(step, rewrite, then->name);
      if (now->scans > then->scans) PUT(step, scan, then->name);
    }
  }
  return OK;
}

/* Runs one message and reads the relations from the one result that has rows. */
static enum status read_relations(struct sandbox_trace *trace, PGconn *conn, const char *sql, struct relations *ret_relations,
                                  struct error *err) {
  enum status status = PQsendQuery(conn, sql) ? OK : pg_error(conn, NULL, err);
  for (PGresult *res; !status && (res = PQgetResult(conn));) {
    if (PQresultStatus(res) == PGRES_TUPLES_OK)
      status = relations_read(res, trace->arena, ret_relations, err);
    else if (PQresultStatus(res) != PGRES_COMMAND_OK)
      status = pg_error(conn, res, err);
    PQclear(res);
  }
  return status;
}

/* --- statements inside a transaction --- */

/* BEGIN and SET touch no relation, and SET TRANSACTION has to come before any query: nothing of ours may run around them. */
enum quiet { NOT_QUIET, QUIET_BEGIN, QUIET_SET };

static enum quiet quiet_kind(const char *sql) {
  struct script script = script_of(sql);
  struct script_statement statement, second;
  if (!script_next(&script, &statement) || script_next(&script, &second)) return NOT_QUIET;
  struct script_lexer head = script_lexer(&statement);
  if (script_skip(&head, "begin") || script_skip(&head, "start transaction")) return QUIET_BEGIN;
  return script_skip(&head, "set") && !script_skip(&head, "constraints") ? QUIET_SET : NOT_QUIET;
}

static bool is_open(const struct sandbox_trace *trace) { return PQtransactionStatus(trace->migrator) != PQTRANS_IDLE; }

/* Makes `before` what there is now, in an open transaction. */
static enum status prepare_inside(struct sandbox_trace *trace, struct error *err) {
  if (is_open(trace) && trace->known) return OK;
  BUF_AUTO message;
  buf_init(&message, 4096);
  trace->locks = (struct locks){0};
  buf_printf(&message, is_open(trace) ? "%s" : "BEGIN; %s; COMMIT AND CHAIN", relations_sql(RELATIONS_PENDING));
  enum status status = read_relations(trace, trace->migrator, buf_str(&message), &trace->before, err);
  trace->known = status == OK;
  return status;
}

static enum status observe_inside(struct sandbox_trace *trace, struct sandbox_step *step, struct error *err) {
  struct locks locks = {0};
  struct relations after;
  enum status status = locks_sample(trace->tracer, PQbackendPID(trace->migrator), trace->arena, &locks, NULL, err);
  if (!status) status = read_relations(trace, trace->migrator, relations_sql(RELATIONS_PENDING), &after, err);
  if (!status && !make_room(trace, step, trace->before.count)) status = error_oom(err);
  if (!status) status = compare_relations(trace, &after, step, err);
  if (status) return status;
  compare_locks(trace, &trace->locks, &locks, step);
  trace->before = after;
  trace->known = PQtransactionStatus(trace->migrator) == PQTRANS_INTRANS;
  trace->locks = locks;
  return OK;
}

static enum status step_quiet(struct running *running, enum quiet kind, const char *sql, struct error *err) {
  struct sandbox_trace *trace = running->trace;
  if (!is_open(trace)) {
    enum status status = kind == QUIET_SET ? pg_script(trace->migrator, "BEGIN", err) : OK;
    if (status) return status;
    trace->known = false;
  }
  running->started_us = clock_mono_us();
  return run_statement(running, sql, err);
}

static enum status guard(struct sandbox_trace *trace, struct error *err) {
  if (trace->guard != GUARD_NEXT) return OK;
  enum status status = pg_script(trace->migrator, "SAVEPOINT " GUARD_NAME, err);
  if (!status) trace->guard = GUARDED;
  return status;
}

static enum status unguard(struct sandbox_trace *trace, struct error *err) {
  if (trace->guard != GUARDED) return OK;
  trace->guard = UNGUARDED;
  return pg_script(trace->migrator, "RELEASE SAVEPOINT " GUARD_NAME, err);
}

static enum status step_inside(struct running *running, const char *sql, struct error *err) {
  struct sandbox_trace *trace = running->trace;
  enum quiet kind = quiet_kind(sql);
  if (kind != NOT_QUIET) return step_quiet(running, kind, sql, err);
  enum status status = prepare_inside(trace, err);
  if (!status) status = guard(trace, err);
  running->started_us = clock_mono_us();
  if (!status) status = run_statement(running, sql, err);
  if (status || !running->step->ok) return status;
  status = unguard(trace, err);
  return status ? status : observe_inside(trace, running->step, err);
}

/* --- statements outside of one --- */

/* Commits what is open. A commit that fails (deferred constraints) is the step's failure. */
static void commit_open(struct sandbox_trace *trace, struct sandbox_step *step) {
  if (!is_open(trace)) return;
  PGRESULT_AUTO res = PQexec(trace->migrator, "COMMIT");
  if (PQresultStatus(res) == PGRES_COMMAND_OK) return;
  step->ok = false;
  step->at_commit = true;
  pg_error(trace->migrator, res, &step->error);
}

static enum status read_committed(struct sandbox_trace *trace, struct relations *ret_relations, struct error *err) {
  enum status status = pg_script(trace->migrator, "SELECT pg_catalog.pg_stat_force_next_flush()", err);
  return status ? status : read_relations(trace, trace->tracer, relations_sql(RELATIONS_CUMULATIVE), ret_relations, err);
}

static enum status observe_outside(struct running *running, struct error *err) {
  struct sandbox_trace *trace = running->trace;
  struct relations after;
  enum status status = read_committed(trace, &after, err);
  if (!status && !make_room(trace, running->step, trace->before.count)) status = error_oom(err);
  if (!status) status = compare_relations(trace, &after, running->step, err);
  if (!status) compare_locks(trace, &(struct locks){0}, running->sampled, running->step);
  return status;
}

static enum status step_outside(struct running *running, const char *sql, struct error *err) {
  struct sandbox_trace *trace = running->trace;
  struct locks sampled = {0};
  commit_open(trace, running->step);
  trace->known = false;
  if (!running->step->ok) return OK;
  enum status status = trace->holder ? OK : holder_new(trace->sandbox, &trace->holder, err);
  if (!status) status = read_committed(trace, &trace->before, err);
  if (status) return status;
  holder_block(trace->holder, &trace->before);
  running->sampled = &sampled;
  running->started_us = clock_mono_us();
  status = run_statement(running, sql, err);
  holder_release(trace->holder);
  if (!status) status = observe_outside(running, err);
  return status;
}

enum status sandbox_trace_step(struct sandbox_trace *trace, const char *sql, bool in_transaction, int timeout_ms,
                               struct sandbox_step *ret_step, struct error *err) {
  struct sandbox_step step = {.ok = true};
  struct running running = {.trace = trace, .step = &step, .deadline_ms = clock_mono_ms() + timeout_ms};
  enum status status = in_transaction ? step_inside(&running, sql, err) : step_outside(&running, sql, err);
  finish_error(&running, timeout_ms);
  if (trace->guard == GUARD_NEXT) trace->guard = UNGUARDED; /* it was for this one alone */
  if (!status) *ret_step = step;
  return status;
}

void sandbox_trace_guard(struct sandbox_trace *trace) { trace->guard = GUARD_NEXT; }

/* Not all is undone: counters of scans keep it, and so do locks on sequences. The next statement is compared with how they are now. */
enum status sandbox_trace_undo(struct sandbox_trace *trace, struct error *err) {
  if (trace->guard != GUARDED) return OK;
  enum status status = pg_script(trace->migrator, "ROLLBACK TO SAVEPOINT " GUARD_NAME, err);
  if (!status) status = unguard(trace, err);
  trace->locks = (struct locks){0};
  if (!status) status = locks_sample(trace->tracer, PQbackendPID(trace->migrator), trace->arena, &trace->locks, NULL, err);
  return status ? status : read_relations(trace, trace->migrator, relations_sql(RELATIONS_PENDING), &trace->before, err);
}

enum status sandbox_trace_end(struct sandbox_trace *trace, bool commit, struct error *err) {
  trace->known = false;
  trace->guard = UNGUARDED;
  if (!is_open(trace)) return OK;
  bool failed = PQtransactionStatus(trace->migrator) == PQTRANS_INERROR;
  enum status status = pg_script(trace->migrator, commit ? "COMMIT" : "ROLLBACK", err); /* COMMIT of a failed one rolls back */
  return !status && commit && failed ? error_set(err, ERR_VALIDATION, "the transaction was rolled back: a statement in it had failed")
                                     : status;
}
