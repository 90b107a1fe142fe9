/* unit.c - the order of things that makes a crash harmless.
 *
 * A transaction:  journal "running" - BEGIN - statements - its id into the journal, "committing" - COMMIT - journal "applied".
 * Alone:          what is there into the journal, "running" - the statement - journal "applied", or what it left removed.
 *
 * Before "committing" is in the journal nothing can have been committed; after it pg_xact_status() knows. Statements of one transaction are
 * not journalled one by one: they stand or fall together, and their locks are held meanwhile. */
#include "worker/execute/unit.h"

#include "common/crypto.h"
#include "common/pg.h"
#include "worker/execute/cancel.h"
#include "worker/execute/journal.h"
#include "worker/execute/outcome.h"
#include "worker/execute/probe.h"
#include "worker/execute/run.h"

/* How one try ended. */
enum try_end { TRY_DONE, TRY_AGAIN, TRY_LOST, TRY_STOPPED };

static const char xid_sql[] = "SELECT pg_catalog.pg_current_xact_id()::text";

/* --- trying again --- */

static bool is_lock_failure(const struct run *run) {
  const char *state = run_sqlstate(run);
  return strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0;
}

/* Half of the pause is random, so that two who are in each other's way don't meet again. False: told to stop. */
static bool back_off(int tries) {
  uint32_t random;
  int most = tries < 10 ? EXECUTE_BACKOFF_BASE_MS << tries : EXECUTE_BACKOFF_CAP_MS;
  if (most > EXECUTE_BACKOFF_CAP_MS) most = EXECUTE_BACKOFF_CAP_MS;
  crypto_random(&random, sizeof random);
  return run_pause(most / 2 + (int)(random % (uint32_t)(most / 2 + 1)));
}

/* --- one statement --- */

static void count(struct step *step, const struct run *run) {
  step->duration_ms += run->duration_ms;
  step->lock_wait_ms += run->lock_wait_ms;
}

/* An error of our own making, or of a connection that just went. */
static enum try_end stopped(const struct execution *x) { return session_lost(x) ? TRY_LOST : TRY_STOPPED; }

static void run_step(struct execution *x, size_t index, bool may_cancel, struct run *run) {
  struct step *step = &x->plan.steps[index];
  x->at = index;
  execution_progress(x, index, NULL);
  run_statement(x, step->source->text, may_cancel, run);
  /* what a lock_timeout cut short was spent waiting, however seldom we looked */
  if (strcmp(run_sqlstate(run), "55P03") == 0 && run->lock_wait_ms < x->session.lock_timeout_ms)
    run->lock_wait_ms = x->session.lock_timeout_ms;
  count(step, run);
  if (step->unsettles) x->session.settled = false;
}

/* --- a transaction --- */

/* Rolls back; what ran before the failed one is undone with it. */
static void undo(struct execution *x, const struct unit *unit, size_t failed, enum step_status how) {
  struct run run;
  for (size_t i = unit->first; i < unit->first + unit->count; i++)
    x->plan.steps[i].status = i < failed ? STEP_ROLLED_BACK : i == failed ? how : STEP_PENDING;
  x->session.settled = false;
  if (!session_lost(x)) run_ours(x, "ROLLBACK", &run);
}

/* A try that did not get to its end. */
static enum try_end give_up(struct execution *x, struct unit *unit, size_t index, const struct run *run, bool more, struct error *err) {
  if (run->end == RUN_LOST) {
    error_set(err, ERR_UNAVAILABLE, "%s", run->error.message);
    return TRY_LOST;
  }
  bool again = run->end == RUN_FAILED && more && is_lock_failure(run);
  if (run->end == RUN_FAILED) outcome_failure(x, index, run, err);
  if (run->end == RUN_CANCELLED) cancel_error(err);
  if (unit->transaction) undo(x, unit, index, run->end == RUN_CANCELLED ? STEP_ROLLED_BACK : STEP_FAILED);
  return again ? TRY_AGAIN : TRY_STOPPED;
}

static enum try_end begin(struct execution *x, const struct unit *unit, struct run *run, struct error *err) {
  if (session_settle(x, unit->first, err)) return stopped(x);
  if (x->plan.steps[unit->first].role == ROLE_BEGIN) return TRY_DONE;
  run_ours(x, "BEGIN", run);
  if (run->end == RUN_OK) return TRY_DONE;
  error_set(err, ERR_UNAVAILABLE, "%s", run->error.message);
  return stopped(x);
}

/* Inside, after a statement. A migration can't end our transaction unnoticed. */
static bool still_open(const struct execution *x, struct run *run) {
  if (PQtransactionStatus(x->session.conn) == PQTRANS_INTRANS) return true;
  run->end = RUN_FAILED;
  error_set(&run->error, ERR_CONFLICT, "the transaction was over after this statement, without a COMMIT or ROLLBACK of the script");
  return false;
}

/* Everything but the end. ret_at: the step that stopped it. */
static enum try_end run_inside(struct execution *x, struct unit *unit, size_t until, struct run *run, size_t *ret_at, struct error *err) {
  for (size_t i = unit->first; i < until; i++) {
    *ret_at = i;
    if ((i > unit->first && session_settle(x, i, err)) || probe_before(x, unit, i, err)) return stopped(x);
    run_step(x, i, true, run);
    if (run->end != RUN_OK || !still_open(x, run)) return TRY_AGAIN;
    execution_at(x, "statement");
  }
  return TRY_DONE;
}

static enum status note_xid(struct execution *x, struct unit *unit, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->session.conn, xid_sql, 0, NULL, &res, err);
  if (status) return status;
  unit->xid = arena_strdup(x->job->arena, pg_str(res, 0, 0));
  unit_set(&x->plan, unit, STEP_COMMITTING);
  execution_at(x, "xid known");
  return unit->xid ? journal_write(x, unit, err) : error_oom(err);
}

/* The COMMIT, ours or the script's: from here on only its answer, or looking, tells. */
static void commit(struct execution *x, const struct unit *unit, struct run *run) {
  size_t last = unit->first + unit->count - 1;
  struct step *step = &x->plan.steps[last];
  if (step->role == ROLE_WORK || step->role == ROLE_BEGIN) {
    x->at = last;
    run_ours(x, "COMMIT", run);
    count(step, run);
  } else {
    run_step(x, last, false, run);
  }
  bool wanted = strcmp(run->tag, step->role == ROLE_ROLLBACK ? "ROLLBACK" : "COMMIT") == 0;
  if (run->end != RUN_OK || wanted) return;
  run->end = RUN_FAILED;
  error_set(&run->error, ERR_CONFLICT, "the transaction was rolled back by the server at its end");
}

static enum try_end try_transaction(struct execution *x, struct unit *unit, bool more, struct error *err) {
  struct run run = {0};
  size_t last = unit->first + unit->count - 1, at = unit->first;
  enum step_role ending = x->plan.steps[last].role;
  bool ends = ending == ROLE_COMMIT || ending == ROLE_ROLLBACK;
  enum try_end end = begin(x, unit, &run, err);
  if (!end) end = run_inside(x, unit, ends ? last : last + 1, &run, &at, err);
  if (end == TRY_AGAIN) return give_up(x, unit, at, &run, more, err);
  if (!end && ending != ROLE_ROLLBACK && note_xid(x, unit, err)) end = stopped(x);
  if (end == TRY_STOPPED) undo(x, unit, at, STEP_ROLLED_BACK);
  if (end) return end;
  execution_at(x, "before commit");
  commit(x, unit, &run);
  execution_at(x, "after commit");
  return run.end == RUN_OK ? TRY_DONE : give_up(x, unit, last, &run, more, err);
}

/* --- alone --- */

/* It ended badly: what it left is removed, or, where nothing but the end was missing, finished. */
static enum try_end tidy(struct execution *x, struct unit *unit, const struct run *run, bool more, struct error *err) {
  struct step *step = &x->plan.steps[unit->first];
  enum try_end end = give_up(x, unit, unit->first, run, more, err);
  if (end == TRY_LOST) return end;
  step->status = STEP_FAILED;
  if (run->end == RUN_CANCELLED) {
    step->status = unit->before ? STEP_RUNNING : STEP_PENDING;
    step->note = unit->before ? "cancelled while it ran; what it left half done goes when the job is retried" : NULL;
    return end;
  }
  ERROR_AUTO trouble = {0};
  enum finding_of found = FOUND_NOTHING;
  if (unit->before && probe_after(x, unit, &found, &trouble)) {
    if (session_lost(x)) return TRY_LOST;
    step->note = arena_strdup(x->job->arena, trouble.message);
    return TRY_STOPPED;
  }
  if (found != FOUND_APPLIED || step->probe != PROBE_DETACH) return end;
  error_clear(err);
  step->error = NULL;
  return TRY_DONE;
}

/* The server said yes; an index must be valid all the same. */
static enum try_end confirm(struct execution *x, struct unit *unit, struct error *err) {
  const struct step *step = &x->plan.steps[unit->first];
  enum finding_of found = FOUND_UNKNOWN;
  if (step->probe != PROBE_CREATE_INDEX || !unit->before) return TRY_DONE;
  if (probe_after(x, unit, &found, err)) return stopped(x);
  if (found != FOUND_NOTHING) return TRY_DONE;
  struct run run = {.end = RUN_FAILED};
  error_set(&run.error, ERR_CONFLICT, "the index was built but is not valid, and was dropped again");
  outcome_failure(x, unit->first, &run, err);
  x->plan.steps[unit->first].status = STEP_FAILED;
  return TRY_STOPPED;
}

static enum try_end try_alone(struct execution *x, struct unit *unit, bool more, struct error *err) {
  struct run run = {0};
  if (session_settle(x, unit->first, err)) return stopped(x);
  execution_at(x, "before statement");
  run_step(x, unit->first, true, &run);
  execution_at(x, "after statement");
  if (run.end != RUN_OK) return tidy(x, unit, &run, more, err);
  if (x->plan.steps[unit->first].drops_locks && session_hold_lock(x, true, err)) return stopped(x);
  return confirm(x, unit, err);
}

/* --- both --- */

static enum status announce(struct execution *x, struct unit *unit, struct error *err) {
  unit->pid = x->session.pid;
  unit->start = arena_strdup(x->job->arena, x->session.start);
  unit->xid = NULL;
  for (size_t i = 0; i < unit->count; i++) x->plan.steps[unit->first + i].error = NULL;
  if (!unit->transaction) {
    enum status status = probe_before(x, unit, unit->first, err);
    if (status) return status;
  }
  unit_set(&x->plan, unit, STEP_RUNNING);
  execution_at(x, "before journal");
  enum status status = unit->start ? journal_write(x, unit, err) : error_oom(err);
  if (status) unit_set(&x->plan, unit, STEP_PENDING); /* nothing was begun */
  execution_at(x, "journalled");
  return status;
}

/* The end of a unit is in the journal, too; when that fails after the work was done, the work is still reported as done. */
static enum unit_end conclude(struct execution *x, struct unit *unit, enum try_end end, struct error *err) {
  ERROR_AUTO trouble = {0};
  if (end == TRY_DONE) unit_succeed(&x->plan, unit);
  enum status status = journal_write(x, unit, &trouble);
  execution_at(x, "concluded");
  if (end != TRY_DONE) return UNIT_STOPPED;
  return status ? (error_set_code(err, status, trouble.code, "%s", trouble.message), UNIT_STOPPED) : UNIT_DONE;
}

enum unit_end unit_run(struct execution *x, struct unit *unit, struct error *err) {
  x->at = unit->first;
  for (int tries = 0;; tries++) {
    if (session_hold_lock(x, false, err) || announce(x, unit, err)) return session_lost(x) ? UNIT_LOST : UNIT_STOPPED;
    bool more = tries < x->lock_retries;
    enum try_end end = unit->transaction ? try_transaction(x, unit, more, err) : try_alone(x, unit, more, err);
    if (end == TRY_LOST) return UNIT_LOST;
    if (end != TRY_AGAIN) return conclude(x, unit, end, err);
    x->plan.steps[x->at].retries++;
    error_clear(err);
    if (!back_off(tries)) {
      cancel_error(err);
      return conclude(x, unit, TRY_STOPPED, err);
    }
  }
}

/* --- dry run --- */

static const char dry_savepoint[] = "SAVEPOINT autodb_dry_run";

/* The script's own transactions become savepoints in ours. */
static void run_dry_step(struct execution *x, size_t index, struct run *run) {
  struct step *step = &x->plan.steps[index];
  static const char *const instead[] = {[ROLE_BEGIN] = dry_savepoint,
                                        [ROLE_COMMIT] = "RELEASE SAVEPOINT autodb_dry_run",
                                        [ROLE_ROLLBACK] = "ROLLBACK TO SAVEPOINT autodb_dry_run"};
  if (step->role == ROLE_WORK) {
    run_step(x, index, true, run);
    return;
  }
  run_ours(x, instead[step->role], run);
  step->note = "a savepoint stood in for it";
}

static enum status dry_try(struct execution *x, struct unit *whole, bool more, enum try_end *ret_end, struct error *err) {
  struct run run = {0};
  *ret_end = begin(x, whole, &run, err);
  if (!*ret_end && x->plan.steps[0].role == ROLE_BEGIN) run_ours(x, "BEGIN", &run);
  for (size_t u = 0; !*ret_end && u < x->plan.unit_count; u++)
    for (size_t i = x->plan.units[u].first; !*ret_end && i < x->plan.units[u].first + x->plan.units[u].count; i++) {
      if (x->plan.steps[i].status == STEP_SKIPPED) continue;
      if (session_settle(x, i, err) || probe_before(x, whole, i, err)) {
        *ret_end = stopped(x);
        break;
      }
      run_dry_step(x, i, &run);
      if (run.end != RUN_OK || !still_open(x, &run)) *ret_end = give_up(x, whole, i, &run, more, err);
    }
  return err->status;
}

static void mark_skipped(struct execution *x) {
  for (size_t u = 0; u < x->plan.unit_count; u++) {
    struct step *step = &x->plan.steps[x->plan.units[u].first];
    if (x->plan.units[u].transaction) continue;
    step->status = STEP_SKIPPED;
    step->note = "can't run inside a transaction, so it can't be tried without being done";
  }
}

static void mark_undone(struct execution *x) {
  for (size_t i = 0; i < x->plan.count; i++)
    if (x->plan.steps[i].status == STEP_PENDING) x->plan.steps[i].status = STEP_ROLLED_BACK;
}

enum status unit_dry_run(struct execution *x, struct error *err) {
  struct unit whole = {.first = 0, .count = x->plan.count, .transaction = true};
  for (int tries = 0;; tries++) {
    enum try_end end = TRY_DONE;
    struct run run;
    mark_skipped(x);
    enum status status = dry_try(x, &whole, tries < x->lock_retries, &end, err);
    if (end == TRY_DONE) {
      run_ours(x, "ROLLBACK", &run);
      mark_undone(x);
      x->rolled_back = true;
      return OK;
    }
    if (end != TRY_AGAIN) {
      mark_skipped(x);
      x->rolled_back = true;
      return status;
    }
    x->plan.steps[x->at].retries++;
    error_clear(err);
    if (!back_off(tries)) return cancel_error(err);
  }
}
