/* res_jobs.c - jobs: look, list, cancel, retry, and echo. */
#include "api/cursor.h"
#include "api/events.h"
#include "api/jobview.h"
#include "api/router.h"
#include "api/submit.h"
#include "api/waiters.h"
#include "common/publish.h"

/* Terminal states, as SQL. */
#define ENDED "('succeeded', 'failed', 'cancelled', 'dead')"
#define LIST_RESULT_BYTES "16384" /* a larger result is null in a list; GET /jobs/{id} has it */

/* --- look --- */

static const struct param get_params[] = {{.name = "wait", .want = PARAM_INT, .min = 0, .max = LIMIT_WAIT_SECONDS}, {0}};

static enum status get_job(struct request *req, struct error *err) {
  (void)err;
  int seconds = (int)request_param_int(req, "wait", request_prefer_wait(req));
  waiters_add(req, &req->ids[0], seconds, WAIT_LOOK);
  return OK;
}

/* --- list --- */

static const char *const states[] = {"queued", "running", "succeeded", "failed", "cancelled", "dead", NULL};
static const struct param list_params[] = {CURSOR_PARAMS,
                                           {.name = "status", .want = PARAM_TEXT, .choices = states},
                                           {.name = "kind", .want = PARAM_TEXT},
                                           {.name = "connection_id", .want = PARAM_ID},
                                           {.name = "created_after", .want = PARAM_TIME},
                                           {.name = "created_before", .want = PARAM_TIME},
                                           {0}};

/* The ranges of ids are what prunes partitions; a minute of slack covers a clock that differs from the database's. */
#define LIST_RESULT "CASE WHEN pg_column_size(r.body) <= " LIST_RESULT_BYTES " THEN r.body END"
#define LIST_WHERE                                                                                                          \
  "WHERE j.owner_id = $1::uuid AND j.id < $2::uuid AND ($4::text IS NULL OR j.kind = $4::text) "                            \
  "AND ($5::uuid IS NULL OR j.connection_id = $5::uuid) AND ($6::timestamptz IS NULL OR (j.created_at > $6::timestamptz "   \
  "AND j.id > autodb.uuid7_floor($6::timestamptz - interval '1 minute'))) AND ($7::timestamptz IS NULL OR (j.created_at < " \
  "$7::timestamptz "                                                                                                        \
  "AND j.id < autodb.uuid7_floor($7::timestamptz + interval '1 minute'))) AND "
#define LIST_ORDER " ORDER BY j.id DESC LIMIT $8::int4 + 1"

/* Most jobs of most owners have succeeded: those are found on the way through all. What is live is in the queue, which is short; what ended
 * otherwise has an index of its own, so that looking for the few does not walk through the million. */
static const struct pg_stmt list_jobs = {"list_jobs",
                                         "SELECT " JOBVIEW_SELECT(LIST_RESULT) " FROM " JOBVIEW_FROM("") LIST_WHERE
                                         "($3::text IS NULL OR " JOBVIEW_STATE " = $3::text::autodb.job_state)" LIST_ORDER,
                                         8};
static const struct pg_stmt list_live = {
    "list_live",
    "SELECT " JOBVIEW_SELECT(LIST_RESULT) " FROM autodb.queue q JOIN autodb.jobs j ON j.id = q.id "
                                          "LEFT JOIN autodb.results r ON false " LIST_WHERE
                                          "q.owner_id = $1::uuid AND q.id < $2::uuid AND q.state = $3::autodb.job_state" LIST_ORDER,
    8};
/* OFFSET 0: in order first, so that the records are looked up one by one until there are enough. */
static const struct pg_stmt list_unsuccessful = {
    "list_unsuccessful",
    "SELECT " JOBVIEW_SELECT(LIST_RESULT) " FROM (SELECT * FROM autodb.results WHERE job_id < $2::uuid AND state = $3::autodb.job_state "
                                          "AND state <> 'succeeded' ORDER BY job_id DESC OFFSET 0) r JOIN autodb.jobs j ON j.id = r.job_id "
                                          "LEFT JOIN autodb.queue q ON false " LIST_WHERE "true" LIST_ORDER,
    8};

static const struct pg_stmt *list_of(const char *state) {
  if (!state || strcmp(state, "succeeded") == 0) return &list_jobs;
  return strcmp(state, "queued") == 0 || strcmp(state, "running") == 0 ? &list_live : &list_unsuccessful;
}

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  return cursor_reply(req, "jobs", res, jobview_put, err);
}

/* Text without an offset means UTC, whatever the server's zone. */
static const char *time_param(const struct request *req, const char *name) {
  const char *value = request_param(req, name, NULL);
  return value && strlen(value) == 10 ? arena_printf(req->arena, "%sT00:00:00Z", value) : value;
}

static enum status get_jobs(struct request *req, struct error *err) {
  struct id below;
  enum status status = cursor_read(req, "jobs", &below, err);
  const char *kind = request_param(req, "kind", NULL);
  if (kind && !job_kind_find(kind)) status = error_add_field(err, "kind", "is not a kind of job");
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &below);
  pg_param_text(&params, request_param(req, "status", NULL));
  pg_param_text(&params, kind);
  pg_param_text(&params, request_param(req, "connection_id", NULL));
  pg_param_text(&params, time_param(req, "created_after"));
  pg_param_text(&params, time_param(req, "created_before"));
  pg_param_int(&params, cursor_limit(req));
  return request_query(req, list_of(request_param(req, "status", NULL)), &params, on_list, err);
}

/* --- cancel and retry: one guarded statement each; the answer's first column says what was found --- */

static enum status not_found(struct error *err) { return error_set(err, ERR_NOT_FOUND, "There is no such job."); }

static void id_and_owner(struct pg_params *params, const struct request *req) {
  pg_params_init(params);
  pg_param_uuid(params, &req->ids[0]);
  pg_param_uuid(params, &req->who.owner_id);
}

/* A queued job ends here and is published like any other end; a running one is marked for its worker. The row is locked first, so a claim
 * happens before all of this or not at all. */
static const struct pg_stmt cancel_job = {
    "cancel_job",
    "WITH found AS MATERIALIZED (SELECT id, state FROM autodb.queue WHERE id = $1::uuid AND owner_id = $2::uuid FOR UPDATE), "
    "done AS (DELETE FROM autodb.queue q USING found f WHERE q.id = f.id AND f.state = 'queued' RETURNING q.id, q.owner_id, q.kind, "
    "q.attempt, 'cancelled'::autodb.job_state AS state, q.callback_url, NULL::json AS body, '" JSON_CANCELLED "'::json AS error, "
    "q.started_at, q.progress, q.failures, q.crashes), "
    "marked AS (UPDATE autodb.queue q SET cancel_requested = true FROM found f WHERE q.id = f.id AND f.state = 'running' RETURNING "
    "q.id), " SQL_PUBLISH
    "SELECT coalesce(f.state, r.state), (SELECT count(*) FROM marked) FROM autodb.jobs j LEFT JOIN found f ON f.id = j.id "
    "LEFT JOIN autodb.results r ON r.job_id = j.id AND r.job_id = $1::uuid WHERE j.id = $1::uuid AND j.owner_id = $2::uuid",
    2};

static void publish(struct request *req, const char *channel) {
  char id[ID_TEXT];
  redis_cmd(req->loop->redis, NULL, NULL, "PUBLISH", channel, id_format(&req->ids[0], id), NULL);
}

static enum status on_cancelled(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return not_found(err);
  const char *state = PQgetvalue(res, 0, 0);
  if (strcmp(state, "queued") == 0)
    publish(req, req->loop->api->done_channel);
  else if (strcmp(state, "running") == 0)
    publish(req, req->loop->api->cancel_channel);
  else
    return error_set(err, ERR_CONFLICT, "The job has already ended (%s).", state);
  waiters_add(req, &req->ids[0], request_prefer_wait(req), WAIT_SUBMITTED);
  return OK;
}

static enum status post_cancel(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &cancel_job, &params, on_cancelled, err);
}

/* `attempt` is the fence and goes on from the result's; the budget of failures starts anew. */
static const struct pg_stmt retry_job = {
    "retry_job",
    "WITH gone AS (DELETE FROM autodb.results r USING autodb.jobs j WHERE r.job_id = $1::uuid AND j.id = $1::uuid AND j.owner_id = "
    "$2::uuid "
    "AND r.state IN ('failed', 'cancelled', 'dead') RETURNING r.job_id, r.attempt), "
    "again AS (INSERT INTO autodb.queue (id, owner_id, kind, lane, max_attempts, attempt, callback_url, dispatched_at) "
    "SELECT j.id, j.owner_id, j.kind, j.lane, j.max_attempts, g.attempt, j.callback_url, now() FROM gone g JOIN autodb.jobs j ON j.id = "
    "g.job_id AND j.id = $1::uuid RETURNING id, lane), "
    "counted AS (UPDATE autodb.jobs j SET retries = j.retries + 1 FROM gone g WHERE j.id = g.job_id AND j.id = $1::uuid) "
    "SELECT " JOBVIEW_STATE ", a.lane FROM " JOBVIEW_FROM(
        " AND r.job_id = $1::uuid") "LEFT JOIN again a ON a.id = j.id WHERE j.id = $1::uuid AND j.owner_id = $2::uuid",
    2};

static enum status on_retried(struct request *req, const PGresult *res, struct error *err) {
  char id[ID_TEXT];
  if (PQntuples(res) == 0) return not_found(err);
  if (PQgetisnull(res, 0, 1))
    return error_set(err, ERR_CONFLICT, "Only a failed, cancelled or dead job can be retried; this one is %s.", PQgetvalue(res, 0, 0));
  submit_ring(req->loop, &req->ids[0], job_stream_parse(PQgetvalue(res, 0, 1), "0"));
  publish(req, req->loop->api->changed_channel);
  request_header(req, "Location", "/api/v1/jobs/%s", id_format(&req->ids[0], id));
  waiters_add(req, &req->ids[0], request_prefer_wait(req), WAIT_SUBMITTED);
  return OK;
}

static enum status post_retry(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &retry_job, &params, on_retried, err);
}

/* --- echo --- */

static const char *const faults[] = {"error", "crash", "hang", NULL};
static const struct json_field echo_fields[] = {{.name = "payload", .want = JSON_WANT_ANY},
                                                {.name = "sleep_ms", .want = JSON_WANT_INT, .min = 0, .max = 60000},
                                                {.name = "fail", .want = JSON_WANT_STRING, .choices = faults}};

static enum status post_echo(struct request *req, struct error *err) {
  json_t *echoed = json_object_get(req->body, "payload");
  const char *fail = json_str(req->body, "fail", NULL);
  long long sleep_ms = json_int(req->body, "sleep_ms", 0);
  if (!echoed) return error_add_field(err, "payload", "is required: any JSON value");
  if (fail && !req->loop->api->cfg->enable_faults)
    return error_set(err, ERR_FORBIDDEN, "\"fail\" is only allowed where the server runs with AUTODB_ENABLE_FAULTS=1.");
  char *text = json_dumps(echoed, JSON_COMPACT | JSON_ENCODE_ANY);
  if (!text || arena_defer(req->arena, free, text) != 0) return error_oom(err);
  if (strlen(text) > LIMIT_ECHO_PAYLOAD_BYTES)
    return error_add_field(err, "payload", "must be at most %d bytes of JSON", LIMIT_ECHO_PAYLOAD_BYTES);
  char *payload = arena_printf(req->arena, "{\"payload\":%s,\"sleep_ms\":%lld%s%s%s}", text, sleep_ms, fail ? ",\"fail\":\"" : "",
                               fail ? fail : "", fail ? "\"" : "");
  if (!payload) return error_oom(err);
  return submit_job(req, "system.echo", NULL, payload, strlen(payload), err);
}

#define ECHO_BODY_CAP (2 * LIMIT_ECHO_PAYLOAD_BYTES + 16 * 1024) /* white space and escapes; the payload itself is measured */
#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof *(table)
const struct route jobs_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/api/v1/jobs/echo",
     .handler = post_echo,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB,
     .body_cap = ECHO_BODY_CAP,
     FIELDS(echo_fields)},
    {.method = HTTP_GET, .pattern = "/api/v1/jobs/{id}", .handler = get_job, .auth = AUTH_USER, .params = get_params},
    {.method = HTTP_GET, .pattern = "/api/v1/jobs/{id}/events", .handler = events_get, .auth = AUTH_USER},
    {.method = HTTP_GET, .pattern = "/api/v1/jobs", .handler = get_jobs, .auth = AUTH_USER, .params = list_params},
    {.method = HTTP_POST, .pattern = "/api/v1/jobs/{id}/cancel", .handler = post_cancel, .auth = AUTH_USER},
    {.method = HTTP_POST, .pattern = "/api/v1/jobs/{id}/retry", .handler = post_retry, .auth = AUTH_USER},
    {0},
};
