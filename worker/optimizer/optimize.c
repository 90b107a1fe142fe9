/* optimize.c - query.optimize from top to bottom: parse, plan, find, and let the stages add what they know. */
#include "worker/optimizer/optimize_impl.h"

#include <pg_query.h>

#include "common/json.h"
#include "worker/optimizer/advice.h"
#include "worker/optimizer/rewrite/rewrite.h"
#include "worker/query/resolve.h"
#include "worker/query/session.h"
#include "worker/retrieval/retrieval.h"
#include "worker/schema/store.h"
#include "worker/sql/parameters.h"

/* To add a stage: a row. They run in this order, each seeing what those before it appended. */
static const struct stage {
  const char *name; /* of the progress it shows */
  int percent;
  enum status (*run)(struct optimization *optimization, struct error *err);
} stages[] = {
    {"rewrites", 40, rewrite_stage},
    {"indexes", 60, advise_indexes},
};

void optimize_warn(struct optimization *o, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *text = arena_vprintf(o->arena, fmt, args);
  va_end(args);
  if (text) json_append_str(o->warnings, text);
}

/* --- what is asked --- */

static void take_options(struct optimization *o, const json_t *payload) {
  const json_t *options = json_object_get(payload, "options");
  bool results = strcmp(json_str(options, "rewrite_check", "plan"), "results") == 0;
  o->options = (struct optimize_options){.analyze = json_bool(payload, "analyze", false),
                                         .allow_dml_analyze = json_bool(options, "allow_dml_analyze", false),
                                         .hypothetical = json_bool(options, "hypothetical", true),
                                         .rewrite_check = results ? REWRITE_CHECK_RESULTS : REWRITE_CHECK_PLAN,
                                         .parameters = json_object_get(options, "parameters")};
}

static enum status syntax_error(const struct sql_fault *fault, struct error *err) {
  error_set_code(err, ERR_VALIDATION, "SYNTAX_INVALID", "line %d, column %d: %s", fault->at.line, fault->at.column, fault->message);
  err->details = json_pack("{s:s, s:i, s:i, s:I}", "sqlstate", fault->sqlstate, "line", fault->at.line, "column", fault->at.column,
                           "position", (json_int_t)fault->at.offset);
  return err->status;
}

static bool is_plannable(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_SELECT_STMT:
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT: return true;
  default: return false;
  }
}

static enum status parse(struct optimization *o, struct error *err) {
  o->sql = sql_typed_parameters(o->sql, o->arena);
  enum status status = o->sql ? sql_split(o->sql, strlen(o->sql), o->arena, &o->script, err) : error_oom(err);
  if (status) return status;
  if (o->script.fault.sqlstate) return syntax_error(&o->script.fault, err);
  if (o->script.count == 0) return error_set_code(err, ERR_VALIDATION, "QUERY_INVALID", "there is no statement");
  if (o->script.count != 1)
    return error_set_code(err, ERR_VALIDATION, "QUERY_INVALID", "there are %zu statements: one is optimised at a time", o->script.count);
  o->statement = &o->script.statements[0];
  if (!is_plannable(o->statement->node))
    return error_set_code(err, ERR_VALIDATION, "QUERY_INVALID", "only SELECT, INSERT, UPDATE, DELETE and MERGE are optimised");
  if (o->options.analyze && o->statement->node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT && !o->options.allow_dml_analyze)
    return error_set_code(err, ERR_VALIDATION, "ANALYZE_REFUSED",
                          "analyze runs the statement, which writes: options.allow_dml_analyze allows that (it is rolled back)");
  o->parameter_count = explain_parameters(o->statement->node);
  PgQueryFingerprintResult print = pg_query_fingerprint(o->statement->text);
  o->fingerprint = print.error ? NULL : arena_strdup(o->arena, print.fingerprint_str);
  pg_query_free_fingerprint_result(print);
  return OK;
}

static enum status resolve(struct optimization *o, struct error *err) {
  struct query_resolution *names = NULL;
  if (o->statement->node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return OK;
  enum status status = query_resolve(o->snapshot, o->statement->node->select_stmt, o->arena, &names, err);
  if (!status) o->names = names;
  return status;
}

/* Names that the snapshot lacks and the server knows: the schema is newer than the snapshot. */
static enum status catch_up(struct optimization *o, struct error *err) {
  ERROR_AUTO refused = {0};
  struct query_plan *plan = NULL;
  struct snapshot *fresh = NULL;
  bool changed = false;
  if (!o->names || !o->names->problem_count || optimize_explain(o, o->statement->text, false, &plan, &refused)) return OK;
  if (store_refresh(o->job, NULL, &fresh, &changed, &refused)) {
    optimize_warn(o, "the schema has changed since the last introspection, and could not be read again: %s", refused.message);
    return OK;
  }
  o->snapshot = fresh;
  return resolve(o, err);
}

/* --- what is found --- */

static enum status find(struct optimization *o, struct error *err) {
  const struct finding_view view = {
      .arena = o->arena, .plan = o->plan, .snapshot = o->snapshot, .statement = o->statement, .sql = o->sql, .version_num = o->version_num};
  return findings_find(&view, &o->findings, err);
}

static enum status run_stages(struct optimization *o, struct error *err) {
  for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
    if (!stages[i].run) continue;
    job_progress(o->job, stages[i].percent, stages[i].name, NULL);
    enum status status = stages[i].run(o, err);
    if (status) return status;
  }
  return OK;
}

/* What was tried speaks instead of what a finding took from its conditions alone. */
static void agree(struct optimization *o) {
  for (size_t i = 0; i < o->findings.count; i++) {
    struct finding *finding = &o->findings.items[i];
    const struct plan_node *node = finding->indexed ? finding->node : NULL;
    const struct snap_table *table = node && node->table ? snapshot_topmost(o->snapshot, node->table) : NULL;
    size_t index;
    json_t *one;
    json_array_foreach(o->index_recommendations, index, one) {
      if (!table || strcmp(json_str(one, "table", ""), table->qualified) != 0 || strcmp(json_str(one, "verified_by", ""), "heuristic") == 0)
        continue;
      const char *sql = json_str(one, "create_sql", finding->advice);
      finding->advice = strchr(sql, '\n')
                            ? arena_printf(o->arena, "The index that was tried: %s, on all partitions", json_str(one, "name", ""))
                            : sql; /* one statement */
      break;
    }
  }
}

static json_t *result_json(const struct optimization *o) {
  json_t *result = json_object();
  json_set_str(result, "connection_id", o->job->connection_id);
  json_set_str(result, "snapshot_id", o->snapshot->id);
  json_set_str(result, "original_sql", json_str(o->job->payload, "sql", ""));
  json_set_str(result, "fingerprint", o->fingerprint);
  json_object_set_new(result, "execution_plan", plan_json(o->plan));
  json_object_set_new(result, "findings", findings_json(&o->findings));
  json_object_set(result, "alternatives", o->alternatives);
  json_object_set(result, "dropped_rewrites", o->dropped_rewrites);
  json_object_set(result, "index_recommendations", o->index_recommendations);
  json_object_set(result, "drop_candidates", o->drop_candidates);
  json_object_set(result, "statistics_recommendations", o->statistics);
  json_object_set(result, "settings_recommendations", o->settings);
  json_object_set(result, "business_context", o->business_context);
  json_object_set_new(result, "narrative", json_null());
  json_object_set(result, "warnings", o->warnings);
  return result;
}

#define CONTEXT_TABLES 16

/* What documents say of the tables it reads or writes. */
static enum status read_context(struct optimization *o, struct error *err) {
  struct table_list list = {0};
  const char *tables[CONTEXT_TABLES];
  size_t count = 0;
  if (!facts_tables(o->arena, o->snapshot, o->statement->node, &list)) return error_oom(err);
  for (size_t i = 0; i < list.count && count < CONTEXT_TABLES; i++) tables[count++] = list.items[i]->qualified;
  o->business_context = arena_json(o->arena, retrieval_context(o->job, o->statement->text, tables, count));
  return o->business_context ? OK : error_oom(err);
}

/* What the server did not find may be there under another name. */
static void suggest(const struct optimization *o, struct error *err) {
  const struct query_problem *problem = o->names && o->names->problem_count ? &o->names->problems[0] : NULL;
  size_t len = strlen(err->message);
  if (strcmp(err->code, "QUERY_INVALID") == 0 && problem && problem->suggestions[0])
    snprintf(err->message + len, sizeof err->message - len, "; did you mean %s?", problem->suggestions[0]);
}

static enum status run(struct optimization *o, struct error *err) {
  struct snapshot *snapshot = NULL;
  enum status status = parse(o, err);
  if (!status) status = store_current(o->job, &snapshot, err);
  o->snapshot = snapshot;
  if (!status) status = resolve(o, err);
  if (!status) job_progress(o->job, 20, "plan", NULL);
  if (!status) status = query_session_open(o->job, &o->session, err);
  if (status) return status;
  o->version_num = query_session_version(o->session);
  status = catch_up(o, err);
  if (!status) status = explain_choose_values(o, err);
  if (!status) status = optimize_explain(o, o->statement->text, o->options.analyze, &o->plan, err);
  if (status) suggest(o, err);
  if (!status) status = find(o, err);
  if (!status) status = run_stages(o, err);
  if (!status) agree(o);
  return status ? status : read_context(o, err);
}

enum status optimize_run(struct job *job, json_t **ret_result, struct error *err) {
  const json_t *sql = json_object_get(job->payload, "sql");
  if (!json_is_string(sql) || !json_string_length(sql)) return error_add_field(err, "sql", "must be the query");
  if (!job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  struct optimization o = {.job = job,
                           .arena = job->arena,
                           .sql = json_string_value(sql),
                           .alternatives = arena_json(job->arena, json_array()),
                           .index_recommendations = arena_json(job->arena, json_array()),
                           .drop_candidates = arena_json(job->arena, json_array()),
                           .dropped_rewrites = arena_json(job->arena, json_object()),
                           .statistics = arena_json(job->arena, json_array()),
                           .settings = arena_json(job->arena, json_array()),
                           .warnings = arena_json(job->arena, json_array())};
  if (!o.statistics || !o.settings || !o.dropped_rewrites) return error_oom(err);
  if (!o.alternatives || !o.index_recommendations || !o.drop_candidates || !o.warnings) return error_oom(err);
  take_options(&o, job->payload);
  enum status status = run(&o, err);
  if (!status) *ret_result = result_json(&o);
  query_session_close(o.session);
  clone_close(&o.clone);
  return status;
}
