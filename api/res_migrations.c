/* res_migrations.c - migrations: analyse, run in a sandbox, execute, poll. The work is a worker's; here the request is checked. */
#include "api/approvals.h"
#include "api/connection_ref.h"
#include "api/jobview.h"
#include "api/router.h"

#define VALIDATION_QUERIES_MAX 100

/* --- analyze --- */

static const struct param analyze_params[] = {
    {.name = "sandbox", .want = PARAM_BOOL}, {.name = "enrich", .want = PARAM_BOOL}, {.name = "preflight", .want = PARAM_BOOL}, {0}};
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

static enum status analyze(struct request *req, const struct id *connection_id, struct error *err) {
  json_t *options = json_object_get(req->body, "options");
  if (json_is_object(options)) {
    enum status status = json_check(options, "options.", option_fields, sizeof option_fields / sizeof *option_fields, err);
    if (status != OK) return status;
  }
  json_t *payload = json_object();
  json_pass_on(payload, req->body, "sql");
  json_object_set_new(payload, "sandbox", json_boolean(request_param_bool(req, "sandbox", true)));
  if (request_param(req, "enrich", NULL)) json_object_set_new(payload, "enrich", json_boolean(request_param_bool(req, "enrich", false)));
  if (request_param_bool(req, "preflight", false)) json_object_set_new(payload, "preflight", json_true());
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
  for (size_t i = 0; i < sizeof sandbox_fields / sizeof *sandbox_fields; i++) json_pass_on(payload, req->body, sandbox_fields[i].name);
  return connection_ref_submit(req, &req->ids[0], "migration.sandbox", payload, err);
}

/* --- execute --- */

#define TIMEOUT_MS_MAX (3600 * 1000) /* the job's own deadline */
static const struct json_field execute_fields[] = {
    SQL_FIELD,
    {.name = "approval_token", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = LIMIT_HTTP_BODY_SQL},
    {.name = "connection_id", .want = JSON_WANT_STRING, .required = true},
    {.name = "options", .want = JSON_WANT_OBJECT}};
static const struct json_field execute_options[] = {
    {.name = "lock_timeout_ms", .want = JSON_WANT_INT, .min = 1, .max = TIMEOUT_MS_MAX},
    {.name = "statement_timeout_ms", .want = JSON_WANT_INT, .min = 1, .max = TIMEOUT_MS_MAX},
    {.name = "lock_retries", .want = JSON_WANT_INT, .min = 0, .max = 100},
    {.name = "dry_run", .want = JSON_WANT_BOOL}};

/* With every default in it, so that a replay that spells one out is the same request. */
static enum status take_execute_options(const struct request *req, json_t **ret_options, struct error *err) {
  const json_t *given = json_object_get(req->body, "options");
  if (json_is_object(given)) {
    enum status status = json_check(given, "options.", execute_options, sizeof execute_options / sizeof *execute_options, err);
    if (status != OK) return status;
  }
  json_t *options = json_pack("{s:I, s:I, s:b}", "lock_timeout_ms", json_int(given, "lock_timeout_ms", 3000), "lock_retries",
                              json_int(given, "lock_retries", 10), "dry_run", json_bool(given, "dry_run", false));
  if (!arena_json(req->arena, options)) return error_oom(err);
  json_pass_on(options, given, "statement_timeout_ms");
  *ret_options = options;
  return OK;
}

/* The token for exactly this, whatever the time: an expired one may be a replay. */
static enum status open_approval(const struct request *req, const struct id *connection_id, struct approval *ret_approval,
                                 struct error *err) {
  char owner[ID_TEXT], connection[ID_TEXT];
  const char *sql = json_str(req->body, "sql", "");
  struct approval approval;
  enum status status = approval_open(req->loop->api->keyring, json_str(req->body, "approval_token", ""), req->arena, &approval, err);
  if (status == OK)
    status = approval_match(&approval, id_format(&req->who.owner_id, owner), id_format(connection_id, connection), sql, strlen(sql), err);
  if (status == OK) *ret_approval = approval;
  return status;
}

/* The text of `take` in the request's arena; NULL when out of memory. */
static char *dump(const struct request *req, json_t *take) {
  char *text = take ? json_dumps(take, JSON_COMPACT) : NULL;
  json_decref(take);
  return text && arena_defer(req->arena, free, text) == 0 ? text : NULL;
}

/* Unless told how long to wait, the answer is held for a moment: what the worker refuses at once (drift) is this request's failure. */
static void hold(struct submission *sub) {
  bool async = request_prefer_async(sub->req);
  int preferred = request_prefer_wait_or(sub->req, -1);
  sub->wait_s = preferred >= 0 ? preferred : async ? 0 : LIMIT_EXECUTE_HOLD_SECONDS;
  sub->mode = async && preferred < 0 ? WAIT_SUBMITTED : WAIT_HELD;
}

static enum status post_execute(struct request *req, struct error *err) {
  struct id connection_id;
  struct submission *sub;
  json_t *options = NULL;
  struct approval *approval = ARENA_NEW(req->arena, struct approval);
  enum status status = approval ? connection_ref_of_body(req, &connection_id, err) : error_oom(err);
  if (status == OK) status = take_execute_options(req, &options, err);
  if (status == OK) status = open_approval(req, &connection_id, approval, err);
  if (status != OK) return status;
  const char *compared = dump(req, json_incref(options));
  const char *payload = dump(req, json_pack("{s:O, s:O, s:O}", "sql", json_object_get(req->body, "sql"), "approval_token",
                                            json_object_get(req->body, "approval_token"), "options", options));
  if (!compared || !payload) return error_oom(err);
  status = submission_new(req, "migration.execute", &connection_id, payload, strlen(payload), &sub, err);
  if (status != OK) return status;
  hold(sub);
  return approvals_submit(sub, approval, compared, err);
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
    {.method = HTTP_POST, .pattern = "/api/v1/migrations/execute", .handler = post_execute, FIELDS(execute_fields), SQL_JOB},
    {.method = HTTP_POST, .pattern = "/execute", .handler = post_execute, FIELDS(execute_fields), SQL_JOB},
    {.method = HTTP_GET, .pattern = "/api/v1/migrations/requests/{id}", .handler = get_request, .auth = AUTH_USER},
    {0},
};
