/* trial/step.c - set up, run, verify, destroy.
 *
 * Kept quick: dumps are taken only when there is a way back to verify, and what the last analyses of a schema cloned and seeded is found
 * prepared (trial/setup.c). A sandbox that
 * can't be had is an outcome with a reason, not a failed job: the static report stands on its own. */
#include "worker/migration/trial/step.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/migration/agreement.h"
#include "worker/migration/trial/rows.h"
#include "worker/migration/trial/setup.h"

struct run {
  struct job *job;
  struct analysis *analysis;
  const struct sandbox_options *options;
  struct sandbox_setup setup;
  json_t *result; /* borrowed: in the arena */
  bool applied;
};

static json_t *empty_result(struct arena *arena) {
  json_t *result = json_pack("{s:b, s:b, s:n, s:n, s:i, s:i, s:[], s:[], s:n, s:[], s:n, s:i, s:i, s:[], s:[], s:{}}", "passed", false,
                             "migration_applied", false, "migration_error", "failed_statement", "tables_created", 0, "rows_inserted", 0,
                             "validation_results", "statements", "rollback_verified", "rollback_diff", "engine", "duration_ms", 0,
                             "setup_ms", 0, "missing_extensions", "problems", "timings");
  return arena_json(arena, result);
}

static void set_error(json_t *result, const char *sqlstate, const char *code, const char *message, const struct sql_place *place) {
  json_t *error = json_object();
  json_set_str(error, "sqlstate", sqlstate);
  json_set_str(error, "code", code);
  json_set_str(error, "message", message);
  if (place) {
    json_object_set_new(error, "line", json_integer(place->line));
    json_object_set_new(error, "column", json_integer(place->column));
  }
  json_object_set_new(result, "migration_error", error);
}

json_t *sandbox_step_fault(const struct analysis *analysis) {
  json_t *result = empty_result(analysis->arena);
  if (result)
    set_error(result, analysis->script.fault.sqlstate, "SYNTAX_ERROR", analysis->script.fault.message, &analysis->script.fault.at);
  return result;
}

/* --- running --- */

static void fail_statement(struct run *run, const struct error *error, const struct sql_statement *source, size_t index) {
  set_error(run->result, json_str(error->details, "sqlstate", ""), "MIGRATION_FAILED", error->message, &source->at);
  json_t *reported = json_object_get(run->result, "migration_error");
  json_set_str(reported, "detail", json_str(error->details, "detail", NULL));
  json_set_str(reported, "hint", json_str(error->details, "hint", NULL));
  json_object_set_new(run->result, "failed_statement", json_integer((json_int_t)index));
}

/* One more time, without the rows; the statement's step is what it does then. When that fails, too, the rows are not why. */
static enum status run_without_rows(struct sandbox_trace *trace, struct statement *statement, struct arena *arena, const char *removal,
                                    struct error *err) {
  struct sandbox_step *again = ARENA_NEW(arena, struct sandbox_step);
  if (!again) return error_oom(err);
  bool inside = statement->transaction != 0;
  enum status status = sandbox_trace_undo(trace, err);
  sandbox_trace_guard(trace);
  if (!status) status = sandbox_trace_step(trace, removal, inside, SANDBOX_STATEMENT_MS, again, err);
  if (status || !again->ok) return status;
  sandbox_trace_guard(trace);
  status = sandbox_trace_step(trace, statement->source->text, inside, SANDBOX_STATEMENT_MS, again, err);
  if (status || !again->ok) return status;
  statement->row_error = statement->step->error;
  statement->depends_on_rows = true;
  statement->step = again;
  return OK;
}

/* A failure that the clone's rows alone may have brought about is undone, and the run goes on. */
static enum status pass_over(struct sandbox_trace *trace, const struct analysis *analysis, struct statement *statement, struct error *err) {
  const struct sandbox_step *step = statement->step;
  const PgQuery__Node *node = statement->source->node;
  const char *removal = step->at_commit ? NULL : sandbox_rows_removal(analysis, statement, &step->error);
  if (removal) return run_without_rows(trace, statement, analysis->arena, removal, err);
  if (step->at_commit || !sandbox_rows_only(node) || !sandbox_rows_decide((PgQuery__Node *)(uintptr_t)node, &step->error)) return OK;
  statement->row_error = step->error;
  statement->depends_on_rows = true;
  return sandbox_trace_undo(trace, err);
}

static bool rows_may_decide(const struct analysis *analysis, const struct statement *statement) {
  return sandbox_rows_only(statement->source->node) || sandbox_rows_defined(analysis, statement);
}

static enum status trace_statements(struct sandbox_trace *trace, struct analysis *analysis, struct sandbox_failure *failure,
                                    struct error *err) {
  for (size_t i = 0; i < analysis->count; i++) {
    struct statement *statement = &analysis->statements[i];
    struct sandbox_step *step = ARENA_NEW(analysis->arena, struct sandbox_step);
    if (!step) return error_oom(err);
    if (rows_may_decide(analysis, statement)) sandbox_trace_guard(trace);
    enum status status = sandbox_trace_step(trace, statement->source->text, statement->transaction != 0, SANDBOX_STATEMENT_MS, step, err);
    statement->step = status ? NULL : step;
    if (!status && !step->ok) status = pass_over(trace, analysis, statement, err);
    if (status) return status;
    if (!step->ok && !statement->depends_on_rows) {
      *failure = (struct sandbox_failure){true, i, step->error};
      return sandbox_trace_end(trace, false, err);
    }
  }
  struct error commit = {0};
  if (sandbox_trace_end(trace, true, &commit) && analysis->count) { /* constraints deferred to here */
    commit.details = commit.details ? arena_json(analysis->arena, commit.details) : NULL;
    *failure = (struct sandbox_failure){true, analysis->count - 1, commit};
  }
  return OK;
}

enum status sandbox_step_trace(struct sandbox *sandbox, struct analysis *analysis, struct sandbox_failure *ret_failure, struct error *err) {
  struct sandbox_trace *trace = NULL;
  *ret_failure = (struct sandbox_failure){0};
  enum status status = sandbox_trace_begin(sandbox, analysis->arena, &trace, err);
  if (!status) status = trace_statements(trace, analysis, ret_failure, err);
  sandbox_trace_free(trace);
  return status;
}

static enum status run_statements(struct run *run, struct error *err) {
  struct sandbox_failure failure;
  enum status status = sandbox_step_trace(run->setup.sandbox, run->analysis, &failure, err);
  if (status) return status;
  run->applied = !failure.failed;
  if (failure.failed) fail_statement(run, &failure.error, run->analysis->statements[failure.statement].source, failure.statement);
  return OK;
}

static json_t *step_json(const struct statement *statement, size_t index) {
  const struct sandbox_step *step = statement->step;
  json_t *locks = json_array();
  for (size_t i = 0; i < step->lock_count; i++) {
    enum lock_mode mode = lockmode_parse(step->locks[i].mode);
    json_array_append_new(locks, json_pack("{s:s, s:s, s:b, s:b, s:s}", "table", step->locks[i].relation, "mode", step->locks[i].mode,
                                           "blocks_reads", lockmode_blocks_reads(mode), "blocks_writes", lockmode_blocks_writes(mode),
                                           "source", "observed"));
  }
  json_t *item = json_pack("{s:I, s:f, s:o, s:o, s:o, s:b}", "index", (json_int_t)index, "duration_ms", step->duration_ms, "locks", locks,
                           "rewrites", json_strings(step->rewrites, step->rewrite_count), "scans",
                           json_strings(step->scans, step->scan_count), "data_dependent", statement->depends_on_rows);
  const struct error *error = statement->depends_on_rows ? &statement->row_error : step->ok ? NULL : &step->error;
  json_object_set_new(item, "error",
                      error ? json_pack("{s:s, s:s}", "sqlstate", json_str(error->details, "sqlstate", ""), "message", error->message)
                            : json_null());
  return item;
}

static void report_steps(struct run *run) {
  json_t *statements = json_object_get(run->result, "statements");
  for (size_t i = 0; i < run->analysis->count; i++)
    if (run->analysis->statements[i].step) json_array_append_new(statements, step_json(&run->analysis->statements[i], i));
}

/* --- after --- */

static void verify(struct run *run) {
  bool passed = true;
  json_object_set_new(run->result, "migration_applied", json_true());
  json_object_set_new(run->result, "validation_results",
                      sandbox_verify_queries(run->setup.sandbox, run->options->validation_queries, &passed));
  json_object_set_new(run->result, "passed", json_boolean(passed));
  if (!run->setup.before) return;
  json_t *diff = NULL;
  json_object_set_new(run->result, "rollback_verified", sandbox_verify_rollback(&run->setup, run->analysis, &diff));
  json_object_set_new(run->result, "rollback_diff", diff);
}

static enum status run_all(struct run *run, bool fresh, struct error *err) {
  job_progress(run->job, 30, "sandbox", "cloning the schema");
  enum status status = sandbox_setup_run(run->job, run->analysis, run->options->rows_per_table, fresh, run->result, &run->setup, err);
  if (status) return status;
  run->analysis->engine = sandbox_version_num(run->setup.sandbox) / 10000;
  int64_t started = clock_mono_ms(), since = started;
  job_progress(run->job, 60, "sandbox", "running the migration");
  status = run_statements(run, err);
  if (status) return status;
  sandbox_setup_lap(run->result, &since, "run_ms");
  report_steps(run);
  agreement_judge(run->analysis);
  if (run->applied && run->options->applied) {
    run->options->applied(run->options->applied_arg, &run->setup);
    sandbox_setup_lap(run->result, &since, "safer_ms");
  }
  if (run->applied) verify(run);
  sandbox_setup_lap(run->result, &since, "verify_ms");
  json_object_set_new(run->result, "duration_ms", json_integer(clock_mono_ms() - started));
  return OK;
}

/* A prepared sandbox that failed before the first statement had run was damaged: once more, without it. */
static enum status run_fresh(struct run *run, struct error *err) {
  log_event(LOG_WARN, "a prepared sandbox could not be used", "reason", err->message, NULL);
  error_clear(err);
  sandbox_close(run->setup.sandbox);
  run->setup = (struct sandbox_setup){0};
  run->result = empty_result(run->job->arena);
  return run->result ? run_all(run, true, err) : error_oom(err);
}

enum status sandbox_step_run(struct job *job, struct analysis *analysis, const struct sandbox_options *options,
                             struct sandbox_outcome *ret_outcome, struct error *err) {
  struct run run = {.job = job, .analysis = analysis, .options = options, .result = empty_result(job->arena)};
  if (!run.result) return error_oom(err);
  ERROR_AUTO failure = {0};
  enum status status = run_all(&run, false, &failure);
  if (status && run.setup.prepared && !(analysis->count && analysis->statements[0].step)) status = run_fresh(&run, &failure);
  sandbox_close(run.setup.sandbox);
  if (status) {
    log_event(LOG_WARN, "the sandbox could not be used", "code", failure.code, "message", failure.message, NULL);
    json_object_set_new(run.result, "passed", json_false());
    set_error(run.result, json_str(failure.details, "sqlstate", NULL), "SANDBOX_UNAVAILABLE", failure.message, NULL);
  }
  *ret_outcome =
      (struct sandbox_outcome){.ran = status == OK, .passed = status == OK && json_bool(run.result, "passed", false), .result = run.result};
  return OK;
}
