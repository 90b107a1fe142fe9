/* res_optimize.c - plans and queries to be made better: what is sent is checked here, the work is a worker's. */
#include "api/connection_ref.h"
#include "api/router.h"
#include "api/submit.h"
#include "common/limits.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define PARAMETERS_MAX 100
#define QUERIES_MAX 1000

/* --- optimize --- */

static const struct param optimize_params[] = {{.name = "analyze", .want = PARAM_BOOL}, {.name = "enrich", .want = PARAM_BOOL}, {0}};
#define SQL_FIELD \
  { .name = "sql", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = LIMIT_SQL_BYTES }
static const struct json_field optimize_fields[] = {SQL_FIELD, {.name = "options", .want = JSON_WANT_OBJECT}};
static const struct json_field alias_fields[] = {
    SQL_FIELD, {.name = "options", .want = JSON_WANT_OBJECT}, {.name = "connection_id", .want = JSON_WANT_STRING, .required = true}};
static const char *const checks[] = {"plan", "results", NULL};
static const struct json_field option_fields[] = {{.name = "rewrite_check", .want = JSON_WANT_STRING, .choices = checks},
                                                  {.name = "hypothetical", .want = JSON_WANT_BOOL},
                                                  {.name = "allow_dml_analyze", .want = JSON_WANT_BOOL},
                                                  {.name = "parameters", .want = JSON_WANT_ARRAY, .min = 0, .max = PARAMETERS_MAX}};

/* Parameters are the values of $1…: what can be a literal. */
static enum status check_parameters(const json_t *parameters, struct error *err) {
  size_t index;
  json_t *value;
  json_array_foreach(parameters, index, value) {
    char path[48];
    snprintf(path, sizeof path, "options.parameters.%zu", index);
    if (json_is_object(value) || json_is_array(value)) error_add_field(err, path, "must be a string, a number, a boolean or null");
  }
  return err->status;
}

static enum status optimize(struct request *req, const struct id *connection_id, struct error *err) {
  json_t *options = json_object_get(req->body, "options");
  if (json_is_object(options)) {
    enum status status = json_check(options, "options.", option_fields, COUNT(option_fields), err);
    if (status == OK) status = check_parameters(json_object_get(options, "parameters"), err);
    if (status != OK) return status;
  }
  json_t *payload = json_object();
  json_pass_on(payload, req->body, "sql");
  json_object_set_new(payload, "analyze", json_boolean(request_param_bool(req, "analyze", false)));
  if (request_param(req, "enrich", NULL)) json_object_set_new(payload, "enrich", json_boolean(request_param_bool(req, "enrich", false)));
  json_object_set_new(payload, "options", json_is_object(options) ? json_incref(options) : json_object());
  return connection_ref_submit(req, connection_id, "query.optimize", payload, err);
}

static enum status post_optimize(struct request *req, struct error *err) { return optimize(req, &req->ids[0], err); }

static enum status post_optimize_alias(struct request *req, struct error *err) {
  struct id connection_id;
  enum status status = connection_ref_of_body(req, &connection_id, err);
  return status == OK ? optimize(req, &connection_id, err) : status;
}

/* --- a workload --- */

static const char *const sources[] = {"pg_stat_statements", "queries", NULL};
static const struct json_field workload_fields[] = {{.name = "source", .want = JSON_WANT_STRING, .required = true, .choices = sources},
                                                    {.name = "queries", .want = JSON_WANT_ARRAY, .min = 1, .max = QUERIES_MAX},
                                                    {.name = "budget_bytes", .want = JSON_WANT_INT, .min = 1, .max = INT64_MAX},
                                                    {.name = "max_indexes", .want = JSON_WANT_INT, .min = 1, .max = 100}};

static enum status check_query(const json_t *query, size_t index, struct error *err) {
  static const struct json_field fields[] = {SQL_FIELD, {.name = "weight", .want = JSON_WANT_ANY}};
  char path[48];
  snprintf(path, sizeof path, "queries.%zu.", index);
  enum status status = json_check(query, path, fields, COUNT(fields), err);
  const json_t *weight = json_object_get(query, "weight");
  if (status || !weight || json_is_null(weight)) return status;
  snprintf(path, sizeof path, "queries.%zu.weight", index);
  return json_is_number(weight) && json_number_value(weight) > 0 ? OK : error_add_field(err, path, "must be a number above 0");
}

static enum status post_workload(struct request *req, struct error *err) {
  bool given = strcmp(json_str(req->body, "source", ""), "queries") == 0;
  const json_t *queries = json_object_get(req->body, "queries"), *query;
  size_t index;
  if (given && !json_is_array(queries)) return error_add_field(err, "queries", "is required when source is \"queries\"");
  if (!given && json_is_array(queries)) return error_add_field(err, "queries", "is only taken when source is \"queries\"");
  json_array_foreach(queries, index, query) {
    enum status status = check_query(query, index, err);
    if (status != OK) return status;
  }
  json_t *payload = json_object();
  for (size_t i = 0; i < COUNT(workload_fields); i++) json_pass_on(payload, req->body, workload_fields[i].name);
  return connection_ref_submit(req, &req->ids[0], "workload.optimize", payload, err);
}

/* --- a plan alone --- */

static const struct json_field plan_fields[] = {{.name = "plan", .want = JSON_WANT_ANY, .required = true},
                                                {.name = "sql", .want = JSON_WANT_STRING, .min = 1, .max = LIMIT_SQL_BYTES}};

/* How deep brackets nest outside of strings: a plan that no parser would take is told so at once. */
static int depth_of(const char *text) {
  int depth = 0, most = 0;
  bool quoted = false;
  for (; *text; text++) {
    if (quoted && *text == '\\' && text[1])
      text++;
    else if (*text == '"')
      quoted = !quoted;
    else if (!quoted)
      depth += (*text == '[' || *text == '{') - (*text == ']' || *text == '}');
    if (depth > most) most = depth;
  }
  return most;
}

static enum status check_plan(const json_t *plan, struct error *err) {
  if (json_is_object(plan) || json_is_array(plan)) return OK;
  if (!json_is_string(plan))
    return error_add_field(err, "plan", "must be the output of EXPLAIN: text, or JSON as a string, an array or an object");
  if (json_string_length(plan) < 1 || json_string_length(plan) > LIMIT_PLAN_BYTES)
    return error_add_field(err, "plan", "must be 1 to %d bytes long", LIMIT_PLAN_BYTES);
  const char *text = json_string_value(plan);
  text += strspn(text, " \t\r\n");
  if ((*text == '[' || *text == '{') && depth_of(text) > 2 * LIMIT_PLAN_DEPTH + 16)
    return error_add_field(err, "plan", "must not nest deeper than %d nodes", LIMIT_PLAN_DEPTH);
  return OK;
}

static enum status post_plan(struct request *req, struct error *err) {
  enum status status = check_plan(json_object_get(req->body, "plan"), err);
  if (status != OK) return status;
  json_t *payload = json_object();
  for (size_t i = 0; i < COUNT(plan_fields); i++) json_pass_on(payload, req->body, plan_fields[i].name);
  return submit_job_value(req, "plan.parse", NULL, payload, err);
}

#define FIELDS(table) .fields = (table), .field_count = COUNT(table)
#define JOB(cap) .auth = AUTH_USER, .flags = ROUTE_JOB, .body_cap = (cap)
const struct route optimize_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/queries/optimize",
     .handler = post_optimize,
     .params = optimize_params,
     FIELDS(optimize_fields),
     JOB(LIMIT_HTTP_BODY_SQL)},
    {.method = HTTP_POST,
     .pattern = "/optimize",
     .handler = post_optimize_alias,
     .params = optimize_params,
     FIELDS(alias_fields),
     JOB(LIMIT_HTTP_BODY_SQL)},
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/workload/optimize",
     .handler = post_workload,
     FIELDS(workload_fields),
     JOB(LIMIT_HTTP_BODY_SQL)},
    {.method = HTTP_POST, .pattern = "/api/v1/plans/parse", .handler = post_plan, FIELDS(plan_fields), JOB(LIMIT_HTTP_BODY_PLAN)},
    {0},
};
