/* sandbox_step.c - open, clone, seed, run, verify, destroy.
 *
 * Kept quick: dumps are taken only when there is a way back to verify, and the sandbox is a warm one where a keeper runs. A sandbox that
 * can't be had is an outcome with a reason, not a failed job: the static report stands on its own. */
#include "worker/migration/sandbox_step.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "worker/migration/agreement.h"
#include "worker/schema/store.h"

struct run {
  struct job *job;
  struct analysis *analysis;
  const struct sandbox_options *options;
  struct sandbox *sandbox;
  json_t *result;     /* borrowed: in the arena */
  const char *before; /* schema dump, when there is a way back */
  bool applied;
  int64_t lap;
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

static void append_all(json_t *to, const json_t *from) {
  size_t index;
  json_t *value;
  json_array_foreach((json_t *)(uintptr_t)from, index, value) json_array_append(to, value);
}

/* --- setting up --- */

/* The schema before a migration depends on the snapshot and the server only, and people analyse one schema again and again: the last
 * one is kept for as long as this slot's process lives. */
static struct {
  char snapshot[40];
  int version;
  char *dump;
} last_before;

static enum status dump_before(struct run *run, struct error *err) {
  const char *id = run->analysis->snapshot->id;
  int version = sandbox_version_num(run->sandbox);
  if (id && last_before.dump && last_before.version == version && strcmp(last_before.snapshot, id) == 0) {
    run->before = arena_strdup(run->job->arena, last_before.dump);
    return run->before ? OK : error_oom(err);
  }
  enum status status = sandbox_dump(run->sandbox, run->job->arena, &run->before, err);
  if (status || !id || strlen(run->before) > SANDBOX_KEPT_DUMP_BYTES) return status;
  free(last_before.dump);
  last_before.dump = strdup(run->before);
  last_before.version = version;
  snprintf(last_before.snapshot, sizeof last_before.snapshot, "%s", id);
  return OK;
}

/* Notes under `name` the milliseconds since the last lap. */
static void lap(struct run *run, const char *name) {
  int64_t now = clock_mono_ms();
  json_object_set_new(json_object_get(run->result, "timings"), name, json_integer(now - run->lap));
  run->lap = now;
}

static enum status open_and_clone(struct run *run, struct error *err) {
  const struct snapshot *snapshot = run->analysis->snapshot;
  const char *dump = NULL;
  struct sandbox_clone_report clone = {0};
  int major = sandbox_pick_major(snapshot->server_version_num);
  if (!major)
    return error_set(err, ERR_UNAVAILABLE,
                     "no PostgreSQL server is installed for the sandbox: install postgresql-17, or set AUTODB_PG_BIN_<major>");
  enum status status = store_dump(run->job, snapshot->id, &dump, err);
  if (!status) status = sandbox_open(run->job->cfg, run->job->keeper_socket, major, &run->sandbox, err);
  if (status) return status;
  lap(run, "open_ms");
  json_set_str(run->result, "engine", sandbox_engine(run->sandbox));
  json_object_set_new(run->result, "client_major", json_integer(snapshot->server_version_num / 10000));
  status = sandbox_clone(run->sandbox, dump, snapshot->timezone, snapshot->search_path, run->job->arena, &clone, err);
  if (status) return status;
  lap(run, "clone_ms");
  json_object_set_new(run->result, "tables_created", json_integer(clone.tables_created));
  append_all(json_object_get(run->result, "missing_extensions"), clone.missing_extensions);
  append_all(json_object_get(run->result, "problems"), clone.problems);
  return OK;
}

static enum status set_up(struct run *run, struct error *err) {
  int64_t started = run->lap = clock_mono_ms();
  struct sandbox_seed_report seed = {0};
  bool way_back = false;
  for (size_t i = 0; i < run->analysis->count; i++) way_back |= run->analysis->statements[i].rollback.sql.count > 0;
  enum status status = open_and_clone(run, err);
  if (!status && way_back) status = dump_before(run, err);
  if (status) return status;
  lap(run, "dump_ms");
  status = sandbox_seed(run->sandbox, run->options->rows_per_table, run->job->arena, &seed, err);
  if (status) return status;
  lap(run, "seed_ms");
  json_object_set_new(run->result, "rows_inserted", json_integer(seed.rows_inserted));
  append_all(json_object_get(run->result, "problems"), seed.problems);
  json_object_set_new(run->result, "setup_ms", json_integer(clock_mono_ms() - started));
  return OK;
}

/* --- running --- */

static void fail_statement(struct run *run, const struct error *error, const struct sql_statement *source, size_t index) {
  set_error(run->result, json_str(error->details, "sqlstate", ""), "MIGRATION_FAILED", error->message, &source->at);
  json_t *reported = json_object_get(run->result, "migration_error");
  json_set_str(reported, "detail", json_str(error->details, "detail", NULL));
  json_set_str(reported, "hint", json_str(error->details, "hint", NULL));
  json_object_set_new(run->result, "failed_statement", json_integer((json_int_t)index));
}

static enum status run_statements(struct run *run, struct sandbox_trace *trace, struct error *err) {
  for (size_t i = 0; i < run->analysis->count; i++) {
    struct statement *statement = &run->analysis->statements[i];
    struct sandbox_step *step = ARENA_NEW(run->job->arena, struct sandbox_step);
    if (!step) return error_oom(err);
    enum status status = sandbox_trace_step(trace, statement->source->text, statement->transaction != 0, SANDBOX_STATEMENT_MS, step, err);
    if (status) return status;
    statement->step = step;
    if (!step->ok) {
      fail_statement(run, &step->error, statement->source, i);
      return sandbox_trace_end(trace, false, err);
    }
  }
  ERROR_AUTO commit = {0};
  if (sandbox_trace_end(trace, true, &commit) == OK) {
    run->applied = true;
  } else if (run->analysis->count) { /* constraints deferred to here */
    fail_statement(run, &commit, run->analysis->statements[run->analysis->count - 1].source, run->analysis->count - 1);
  }
  return OK;
}

static json_t *names(const char *const *items, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_append_str(array, items[i]);
  return array;
}

static json_t *step_json(const struct sandbox_step *step, size_t index) {
  json_t *locks = json_array();
  for (size_t i = 0; i < step->lock_count; i++) {
    enum lock_mode mode = lockmode_parse(step->locks[i].mode);
    json_array_append_new(locks, json_pack("{s:s, s:s, s:b, s:b, s:s}", "table", step->locks[i].relation, "mode", step->locks[i].mode,
                                           "blocks_reads", lockmode_blocks_reads(mode), "blocks_writes", lockmode_blocks_writes(mode),
                                           "source", "observed"));
  }
  json_t *item = json_pack("{s:I, s:f, s:o, s:o, s:o}", "index", (json_int_t)index, "duration_ms", step->duration_ms, "locks", locks,
                           "rewrites", names(step->rewrites, step->rewrite_count), "scans", names(step->scans, step->scan_count));
  json_object_set_new(
      item, "error",
      step->ok ? json_null()
               : json_pack("{s:s, s:s}", "sqlstate", json_str(step->error.details, "sqlstate", ""), "message", step->error.message));
  return item;
}

static void report_steps(struct run *run) {
  json_t *statements = json_object_get(run->result, "statements");
  for (size_t i = 0; i < run->analysis->count; i++)
    if (run->analysis->statements[i].step) json_array_append_new(statements, step_json(run->analysis->statements[i].step, i));
}

/* --- after --- */

static void verify(struct run *run) {
  bool passed = true;
  json_object_set_new(run->result, "migration_applied", json_true());
  json_object_set_new(run->result, "validation_results", sandbox_verify_queries(run->sandbox, run->options->validation_queries, &passed));
  json_object_set_new(run->result, "passed", json_boolean(passed));
  if (!run->before) return;
  json_t *diff = NULL;
  json_object_set_new(run->result, "rollback_verified", sandbox_verify_rollback(run->sandbox, run->analysis, run->before, &diff));
  json_object_set_new(run->result, "rollback_diff", diff);
}

static enum status run_all(struct run *run, struct error *err) {
  struct sandbox_trace *trace = NULL;
  job_progress(run->job, 30, "sandbox", "cloning the schema");
  enum status status = set_up(run, err);
  if (status) return status;
  int64_t started = clock_mono_ms();
  job_progress(run->job, 60, "sandbox", "running the migration");
  status = sandbox_trace_begin(run->sandbox, run->job->arena, &trace, err);
  if (!status) status = run_statements(run, trace, err);
  sandbox_trace_free(trace);
  if (status) return status;
  lap(run, "run_ms");
  report_steps(run);
  agreement_judge(run->analysis);
  if (run->applied) verify(run);
  lap(run, "verify_ms");
  json_object_set_new(run->result, "duration_ms", json_integer(clock_mono_ms() - started));
  return OK;
}

enum status sandbox_step_run(struct job *job, struct analysis *analysis, const struct sandbox_options *options,
                             struct sandbox_outcome *ret_outcome, struct error *err) {
  struct run run = {.job = job, .analysis = analysis, .options = options, .result = empty_result(job->arena)};
  if (!run.result) return error_oom(err);
  ERROR_AUTO failure = {0};
  enum status status = run_all(&run, &failure);
  sandbox_close(run.sandbox);
  if (status) {
    log_event(LOG_WARN, "the sandbox could not be used", "code", failure.code, "message", failure.message, NULL);
    json_object_set_new(run.result, "passed", json_false());
    set_error(run.result, json_str(failure.details, "sqlstate", NULL), "SANDBOX_UNAVAILABLE", failure.message, NULL);
  }
  *ret_outcome =
      (struct sandbox_outcome){.ran = status == OK, .passed = status == OK && json_bool(run.result, "passed", false), .result = run.result};
  return OK;
}
