/* look.c - see look.h. A transaction is asked for by its id; a statement outside of one by what it should have left. */
#include "worker/execute/look.h"

#include "common/clock.h"
#include "common/pg.h"
#include "worker/execute/journal.h"
#include "worker/execute/probe.h"
#include "worker/execute/run.h"

#define SETTLE_POLL_MS 50

/* The status of a transaction too old to be kept is NULL, that of one not begun yet an error: another server answers. */
static const char status_sql[] = "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)";

static enum status ask_status(struct execution *x, const struct unit *unit, enum finding_of *ret_found, bool *ret_running,
                              struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(x->session.conn, status_sql, 1, &unit->xid, &res, err);
  *ret_running = false;
  *ret_found = FOUND_UNKNOWN;
  if (status && !session_lost(x)) {
    error_clear(err);
    return OK;
  }
  const char *word = status ? NULL : pg_str(res, 0, 0);
  if (word && strcmp(word, "committed") == 0) *ret_found = FOUND_APPLIED;
  if (word && strcmp(word, "aborted") == 0) *ret_found = FOUND_NOTHING;
  *ret_running = word && strcmp(word, "in progress") == 0;
  return status;
}

static enum status look_transaction(struct execution *x, const struct unit *unit, enum finding_of *ret_found, struct error *err) {
  *ret_found = FOUND_NOTHING; /* no COMMIT was sent before its id was in the journal */
  if (!unit->xid) return OK;
  int64_t until = clock_mono_ms() + EXECUTE_SETTLE_MS;
  for (;;) {
    bool running = false;
    enum status status = ask_status(x, unit, ret_found, &running, err);
    if (status || !running || clock_mono_ms() > until || !run_pause(SETTLE_POLL_MS)) return status;
  }
}

static enum status unknown(struct execution *x, const struct unit *unit, struct error *err) {
  struct step *step = &x->plan.steps[unit->first];
  step->note = unit->transaction ? "the server no longer says whether its transaction was committed"
                                 : "it may or may not have done its work, and nothing shows which";
  return error_set_code(
      err, ERR_CONFLICT, "OUTCOME_UNKNOWN",
      "the connection was lost while statement %zu (%s, line %d) ran, and it can't be found out whether it was applied: look at "
      "the database before anything else is run",
      unit->first + 1, step->operation, step->source->at.line);
}

enum status look_unit(struct execution *x, struct unit *unit, struct error *err) {
  enum finding_of found = FOUND_UNKNOWN;
  x->at = unit->first;
  enum status status = unit->transaction ? look_transaction(x, unit, &found, err) : probe_after(x, unit, &found, err);
  if (status) return status;
  if (found == FOUND_APPLIED)
    unit_succeed(&x->plan, unit);
  else
    unit_set(&x->plan, unit, found == FOUND_NOTHING ? STEP_PENDING : STEP_UNKNOWN);
  execution_at(x, "looked");
  status = journal_write(x, unit, err);
  execution_at(x, "look journalled");
  return status || found != FOUND_UNKNOWN ? status : unknown(x, unit, err);
}

enum status look_replay(struct execution *x, struct error *err) {
  struct run run;
  bool left = false;
  for (size_t i = 0; i < x->plan.count; i++) left |= x->plan.steps[i].status != STEP_APPLIED;
  for (size_t i = 0; left && i < x->plan.count; i++) {
    const struct step *step = &x->plan.steps[i];
    if (step->status != STEP_APPLIED) continue;
    if (step->binds_session)
      return error_set_code(
          err, ERR_CONFLICT, "SESSION_LOST",
          "statement %zu (%s, line %d) made something that lasted only as long as the session that was lost: what follows it "
          "can't be run without it",
          i + 1, step->operation, step->source->at.line);
    if (!step->sets_session) continue;
    run_ours(x, step->source->text, &run);
    if (run.end != RUN_OK) return error_set(err, ERR_UNAVAILABLE, "%.200s: %.700s", step->source->text, run.error.message);
    if (step->drops_locks && session_hold_lock(x, true, err)) return err->status;
  }
  return OK;
}
