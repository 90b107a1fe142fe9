/* outcome.c - see outcome.h. The job's error holds the same report as its result: nothing is lost because it failed. */
#include "worker/execute/outcome.h"

#include "common/clock.h"
#include "common/json.h"
#include "worker/execute/blockers.h"
#include "worker/execute/text.h"

/* The contract's words. What is still in doubt when we report is unknown. */
static const char *const shown[] = {
    [STEP_PENDING] = "not_applied",     [STEP_RUNNING] = "unknown", [STEP_COMMITTING] = "unknown", [STEP_APPLIED] = "applied",
    [STEP_ROLLED_BACK] = "rolled_back", [STEP_SKIPPED] = "skipped", [STEP_FAILED] = "failed",      [STEP_UNKNOWN] = "unknown"};

static json_t *step_json(const struct step *step, size_t index) {
  return json_pack("{s:I, s:s, s:f, s:f, s:i, s:s?, s:i, s:s?, s:O?}", "index", (json_int_t)index, "status", shown[step->status],
                   "duration_ms", step->duration_ms, "lock_wait_ms", step->lock_wait_ms, "retries", step->retries, "operation",
                   step->operation, "line", step->source->at.line, "note", step->note, "error", step->error);
}

static json_t *statements_json(const struct execution *x, bool *ret_rolled_back) {
  json_t *list = json_array();
  for (size_t u = 0; u < x->plan.unit_count; u++)
    for (size_t i = x->plan.units[u].first; i < x->plan.units[u].first + x->plan.units[u].count; i++) {
      const struct step *step = &x->plan.steps[i];
      *ret_rolled_back |= !unit_settled(&x->plan, &x->plan.units[u]) &&
                          (step->status == STEP_ROLLED_BACK || (step->status == STEP_FAILED && x->plan.units[u].transaction));
      json_array_append_new(list, step_json(step, i));
    }
  return list;
}

static bool all_applied(const struct execution *x) {
  for (size_t u = 0; u < x->plan.unit_count; u++)
    if (!unit_settled(&x->plan, &x->plan.units[u])) return false;
  return !x->dry_run;
}

json_t *outcome_json(const struct execution *x) {
  char started[CLOCK_TEXT], completed[CLOCK_TEXT];
  bool rolled_back = x->rolled_back;
  json_t *statements = statements_json(x, &rolled_back), *warnings = json_array();
  if (x->warning) json_append_str(warnings, x->warning);
  return json_pack("{s:s, s:b, s:o, s:s, s:b, s:s, s:s, s:s?, s:b, s:i, s:{s:i, s:O}, s:o}", "request_id", x->job->id, "applied",
                   all_applied(x), "statements", statements, "transaction_mode", x->plan.single ? "single" : "per-statement", "rolled_back",
                   rolled_back, "started_at", clock_format(x->started_ms, started), "completed_at",
                   clock_format(clock_wall_ms(), completed), "snapshot_id", x->snapshot_after, "dry_run", x->dry_run, "attempt",
                   x->job->attempt, "notices", "count", x->session.notices, "lines", x->session.notice_lines, "warnings", warnings);
}

void outcome_attach(const struct execution *x, struct error *err) {
  json_t *report = x->plan.count ? outcome_json(x) : NULL;
  if (!report) return;
  if (!err->details) err->details = json_object();
  json_object_update_missing(err->details, report);
  json_decref(report);
}

/* --- a refused statement --- */

/* position counts characters from 1. */
static int line_of(const struct step *step, long long position) {
  int line = step->source->at.line;
  for (const char *p = step->source->text; *p && position > 1; p++) {
    line += *p == '\n';
    if ((p[1] & 0xC0) != 0x80) position--;
  }
  return line;
}

static const char *code_of(const struct execution *x, const struct step *step, const struct run *run) {
  const char *state = run_sqlstate(run);
  bool late = step->own_statement_timeout || (x->statement_timeout_ms && run->duration_ms >= x->statement_timeout_ms);
  if (strcmp(state, "55P03") == 0) return "LOCK_TIMEOUT";
  if (strcmp(state, "40P01") == 0) return "DEADLOCK";
  if (strcmp(state, "57014") == 0 && late) return "STATEMENT_TIMEOUT";
  return "STATEMENT_FAILED";
}

static json_t *failure_json(const struct execution *x, size_t index, const struct run *run) {
  const struct step *step = &x->plan.steps[index];
  json_t *details = run->error.details ? json_copy(run->error.details) : json_object();
  json_object_set_new(details, "statement_index", json_integer((json_int_t)index));
  json_object_set_new(details, "line", json_integer(line_of(step, json_int(details, "position", 0))));
  json_object_set_new(details, "sql", text_json(step->source->text));
  return details;
}

enum status outcome_failure(struct execution *x, size_t index, const struct run *run, struct error *err) {
  struct step *step = &x->plan.steps[index];
  const char *code = code_of(x, step, run), *blocker = blockers_text(x);
  bool lock = strcmp(code, "LOCK_TIMEOUT") == 0 || strcmp(code, "DEADLOCK") == 0;
  json_t *details = failure_json(x, index, run);
  error_set_code(err, ERR_CONFLICT, code, "statement %zu (%s, line %d): %.400s%s%.400s", index + 1, step->operation,
                 (int)json_int(details, "line", 0), run->error.message, lock && blocker ? "; in the way: " : "",
                 lock && blocker ? blocker : "");
  if (lock) json_object_set_new(details, "blockers", blockers_json(x));
  json_t *kept = arena_json(x->job->arena, json_deep_copy(details));
  if (kept) json_set_str(kept, "code", code);
  step->error = kept;
  err->details = details;
  return err->status;
}
