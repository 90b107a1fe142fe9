/* analyze.c - the two jobs, top to bottom: snapshot, static pass, sandbox, token, report. */
#include "worker/migration/analyze.h"

#include "common/json.h"
#include "worker/llm/llm.h"
#include "worker/migration/narrative.h"
#include "worker/migration/preflight.h"
#include "worker/migration/report.h"
#include "worker/migration/safer/safer.h"
#include "worker/migration/token.h"
#include "worker/migration/trial/step.h"
#include "worker/retrieval/retrieval.h"
#include "worker/schema/store.h"

#define CONTEXT_TABLES 64 /* that documents are asked about */

/* "16", "16.4" or 160004 as server_version_num; 0 when not given. */
static enum status target_version(const json_t *options, int *ret_version, struct error *err) {
  const json_t *given = json_object_get(options, "target_version");
  long major = 0;
  if (json_is_integer(given)) major = (long)json_integer_value(given);
  if (json_is_string(given)) major = strtol(json_string_value(given), NULL, 10);
  if (major >= 10000) major /= 10000;
  if (given && !json_is_null(given) && (major < 10 || major > 30))
    return error_add_field(err, "options.target_version", "must be a PostgreSQL major version such as 16");
  *ret_version = (int)major * 10000;
  return OK;
}

struct dumped {
  struct job *job;
  const char *snapshot_id;
};

/* Asked for when something is dropped; without it the way back is made from what the catalogs said. */
static const char *dump_of(void *arg) {
  const struct dumped *dumped = arg;
  ERROR_AUTO ignored = {0};
  const char *sql = NULL;
  return dumped->snapshot_id && store_dump(dumped->job, dumped->snapshot_id, &sql, &ignored) == OK ? sql : NULL;
}

static enum status analyse(struct job *job, const json_t *options, struct analysis **ret_analysis, struct error *err) {
  const json_t *sql = json_object_get(job->payload, "sql");
  if (!json_is_string(sql) || !json_string_length(sql)) return error_add_field(err, "sql", "must be the migration's SQL");
  if (!job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  struct snapshot *snapshot = NULL;
  struct analysis_options how = {.lock_timeout_ms = json_int(options, "lock_timeout_ms", 0)};
  enum status status = target_version(options, &how.target_version, err);
  if (!status) status = store_current(job, &snapshot, err);
  if (status) return status;
  struct dumped *dumped = ARENA_NEW(job->arena, struct dumped);
  if (!dumped) return error_oom(err);
  *dumped = (struct dumped){job, snapshot->id};
  how.dump = dump_of;
  how.dump_arg = dumped;
  job_progress(job, 20, "static", NULL);
  return analysis_static(json_string_value(sql), json_string_length(sql), snapshot, &how, job->arena, ret_analysis, err);
}

static enum status try_it(struct job *job, struct analysis *analysis, const json_t *options, struct safer *safer,
                          struct sandbox_outcome *ret_outcome, struct error *err) {
  long long rows = json_int(options, "rows_per_table", SANDBOX_ROWS_DEFAULT);
  struct sandbox_options sandbox = {.validation_queries = json_object_get(options, "validation_queries"),
                                    .rows_per_table = rows < 1      ? 1
                                                      : rows > 1000 ? 1000
                                                                    : (int)rows,
                                    .applied = safer ? safer_run : NULL,
                                    .applied_arg = safer};
  if (safer) *safer = (struct safer){.job = job, .analysis = analysis, .options = &sandbox};
  return sandbox_step_run(job, analysis, &sandbox, ret_outcome, err);
}

/* What documents say of the tables that the migration changes. */
static void add_context(struct job *job, const struct analysis *analysis, json_t *report) {
  const char *tables[CONTEXT_TABLES];
  size_t count = 0;
  for (size_t i = 0; i < analysis->count; i++)
    for (size_t k = 0; k < analysis->statements[i].tables.count && count < CONTEXT_TABLES; k++)
      tables[count++] = analysis->statements[i].tables.items[k];
  json_object_set_new(report, "business_context", retrieval_context(job, analysis->sql, tables, count));
}

enum status analyze_run(struct job *job, json_t **ret_result, struct error *err) {
  const json_t *options = json_object_get(job->payload, "options");
  struct analysis *analysis = NULL;
  struct sandbox_outcome outcome = {0};
  struct safer safer = {0};
  const char *token = NULL, *expires = NULL;
  enum status status = analyse(job, options, &analysis, err);
  if (status) return status;
  bool wanted = json_bool(job->payload, "sandbox", true);
  if (json_bool(job->payload, "preflight", false)) preflight_run(job, analysis);
  if (analysis->script.fault.sqlstate)
    outcome.result = sandbox_step_fault(analysis);
  else if (wanted)
    status = try_it(job, analysis, options, &safer, &outcome, err);
  if (!status && outcome.passed && analysis->snapshot->id && !analysis_refused(analysis))
    status = token_issue(job, analysis->sql, analysis->snapshot->id, analysis->snapshot->fingerprint, &token, &expires, err);
  if (status) return status;
  job_progress(job, 95, "report", NULL);
  json_t *report = report_json(analysis, job->connection_id, outcome.result, token, expires);
  if (!report) return error_oom(err);
  if (safer.result) json_object_set(report, "safer_migration", safer.result);
  add_context(job, analysis, report);
  if (json_bool(job->payload, "enrich", true) && llm_configured(job->cfg)) {
    job_progress(job, 97, "narrative", NULL);
    narrative_enrich(job, report);
  }
  *ret_result = report;
  return OK;
}

enum status sandbox_run(struct job *job, json_t **ret_result, struct error *err) {
  struct analysis *analysis = NULL;
  struct sandbox_outcome outcome = {0};
  enum status status = analyse(job, NULL, &analysis, err);
  if (status) return status;
  if (analysis->script.fault.sqlstate)
    outcome.result = sandbox_step_fault(analysis);
  else
    status = try_it(job, analysis, job->payload, NULL, &outcome, err);
  if (status) return status;
  if (!outcome.result) return error_oom(err);
  *ret_result = json_incref(outcome.result);
  return OK;
}
