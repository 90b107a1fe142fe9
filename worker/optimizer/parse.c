/* parse.c - plan.parse: a plan that somebody pasted, without a connection. */
#include "common/json.h"
#include "worker/optimizer/optimize.h"

/* The query beside the plan: given, or as the log had it. One statement that parses, or none. */
static enum status statement_of(struct job *job, const char *sql, struct finding_view *view, struct error *err) {
  struct sql_script script = {0};
  if (!sql) return OK;
  enum status status = sql_split(sql, strlen(sql), job->arena, &script, err);
  if (status || script.count != 1 || script.fault.sqlstate) return status;
  struct sql_statement *statement = ARENA_NEW(job->arena, struct sql_statement);
  if (!statement) return error_oom(err);
  *statement = script.statements[0];
  view->statement = statement;
  view->sql = sql;
  return OK;
}

static enum status parse(struct job *job, struct query_plan **ret_plan, struct error *err) {
  const json_t *given = json_object_get(job->payload, "plan");
  if (json_is_string(given)) return plan_parse(json_string_value(given), json_string_length(given), NULL, job->arena, ret_plan, err);
  if (json_is_object(given) || json_is_array(given)) return plan_build(given, NULL, job->arena, ret_plan, err);
  return error_add_field(err, "plan", "must be the output of EXPLAIN, as text or JSON");
}

enum status plan_parse_run(struct job *job, json_t **ret_result, struct error *err) {
  struct query_plan *plan = NULL;
  struct finding_list findings = {0};
  struct finding_view view = {.arena = job->arena};
  enum status status = parse(job, &plan, err);
  if (!status) status = statement_of(job, json_str(job->payload, "sql", plan->query), &view, err);
  if (status) return status;
  view.plan = plan;
  status = findings_find(&view, &findings, err);
  if (status) return status;
  json_t *result = json_pack("{s:o, s:o}", "execution_plan", plan_json(plan), "findings", findings_json(&findings));
  if (!result) return error_oom(err);
  *ret_result = result;
  return OK;
}
