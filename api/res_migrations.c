/* res_migrations.c - migrations: analyse, run in a sandbox, poll. The work is a worker's; here the request is checked. */
#include "api/connection_ref.h"
#include "api/jobview.h"
#include "api/router.h"

#define VALIDATION_QUERIES_MAX 100

/* --- analyze --- */

static const struct param analyze_params[] = {{.name = "sandbox", .want = PARAM_BOOL}, {.name = "enrich", .want = PARAM_BOOL}, {0}};
#define SQL_FIELD \
  { .name = "sql", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = LIMIT_SQL_BYTES }
static const struct json_field analyze_fields[] = {SQL_FIELD, {.name = "options", .want = JSON_WANT_OBJECT}};
static const struct json_field alias_fields[] = {
    SQL_FIELD, {.name = "options", .want = JSON_WANT_OBJECT}, {.name = "connection_id", .want = JSON_WANT_STRING, .required = true}};
static const struct json_field option_fields[] = {
    {.name = "target_version", .want = JSON_WANT_INT, .min = 13, .max = 18},
    {.name = "lock_timeout_ms", .want = JSON_WANT_INT, .min = 1, .max = 3600 * 1000},
    {.name = "rows_per_table", .want = JSON_WANT_INT, .min = 1, .max = 1000},
    {.name = "validation_queries", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = VALIDATION_QUERIES_MAX}};

/* Members are only passed on when they were given: defaults are the worker's. */
static void pass_on(json_t *payload, const json_t *body, const char *name) {
  json_t *value = json_object_get(body, name);
  if (value && !json_is_null(value)) json_object_set(payload, name, value);
}

static enum status analyze(struct request *req, const struct id *connection_id, struct error *err) {
  json_t *options = json_object_get(req->body, "options");
  if (json_is_object(options)) {
    enum status status = json_check(options, "options.", option_fields, sizeof option_fields / sizeof *option_fields, err);
    if (status != OK) return status;
  }
  json_t *payload = json_object();
  pass_on(payload, req->body, "sql");
  json_object_set_new(payload, "sandbox", json_boolean(request_param_bool(req, "sandbox", true)));
  json_object_set_new(payload, "enrich", json_boolean(request_param_bool(req, "enrich", false)));
  json_object_set_new(payload, "options", json_is_object(options) ? json_incref(options) : json_object());
  return connection_ref_submit(req, connection_id, "migration.analyze", payload, err);
}

static enum status post_analyze(struct request *req, struct error *err) { return analyze(req, &req->ids[0], err); }

static enum status post_analyze_alias(struct request *req, struct error *err) {
  struct id connection_id;
  enum status status = connection_ref_of_body(req, &connection_id, err);
  return status == OK ? analyze(req, &connection_id, err) : status;
}

/* --- sandbox --- */

static const struct json_field sandbox_fields[] = {
    SQL_FIELD,
    {.name = "validation_queries", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = VALIDATION_QUERIES_MAX},
    {.name = "rows_per_table", .want = JSON_WANT_INT, .min = 1, .max = 1000}};

static enum status post_sandbox(struct request *req, struct error *err) {
  json_t *payload = json_object();
  for (size_t i = 0; i < sizeof sandbox_fields / sizeof *sandbox_fields; i++) pass_on(payload, req->body, sandbox_fields[i].name);
  return connection_ref_submit(req, &req->ids[0], "migration.sandbox", payload, err);
}

/* --- the original's polling shape over the same job --- */

static const struct pg_stmt find_request = {
    "find_request",
    "SELECT json_build_object('request_id', j.id, 'status', CASE j.state WHEN 'queued' THEN 'pending' WHEN 'running' THEN 'executing' "
    "WHEN 'succeeded' THEN 'completed' ELSE 'failed' END, 'progress', j.progress, 'result', j.body, 'error', j.error, "
    "'created_at', " SQL_TIME("j.created_at") ", 'started_at', " SQL_TIME("j.started_at") ", 'completed_at', " SQL_TIME(
        "j.finished_at") ") "
                         "FROM autodb.job_states j "
                         "WHERE j.id = $1::uuid AND j.owner_id = $2::uuid AND j.kind LIKE 'migration.%'",
    2};

static enum status on_request(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "There is no such migration request.");
  reply_json(req, 200, PQgetvalue(res, 0, 0), (size_t)PQgetlength(res, 0, 0));
  return OK;
}

static enum status get_request(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  return request_query(req, &find_request, &params, on_request, err);
}

#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof *(table)
#define SQL_JOB .auth = AUTH_USER, .flags = ROUTE_JOB, .body_cap = LIMIT_HTTP_BODY_SQL
const struct route migrations_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/migrations/analyze",
     .handler = post_analyze,
     .params = analyze_params,
     FIELDS(analyze_fields),
     SQL_JOB},
    {.method = HTTP_POST, .pattern = "/analyze", .handler = post_analyze_alias, .params = analyze_params, FIELDS(alias_fields), SQL_JOB},
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/migrations/sandbox",
     .handler = post_sandbox,
     FIELDS(sandbox_fields),
     SQL_JOB},
    {.method = HTTP_GET, .pattern = "/api/v1/migrations/requests/{id}", .handler = get_request, .auth = AUTH_USER},
    {0},
};
