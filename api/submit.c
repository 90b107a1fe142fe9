/* submit.c - see submit.h. Everything a submission holds lives in its request's arena, so a batch is a list of pointers. */
#include "api/submit.h"

#include <sys/queue.h>

#include "api/hook_url.h"
#include "api/idempotency.h"
#include "api/jobview.h"
#include "api/rate.h"
#include "api/submission.h"
#include "api/tiers.h"
#include "api/waiters.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#define COMMIT_DEADLINE_MS 10000

static struct metric accepted = METRIC_COUNTER("autodb_jobs_accepted_total", "Jobs committed and answered, by kind.", "kind");
static struct metric latency = METRIC_HISTOGRAM("autodb_accept_seconds", "From the end of a request's head to its commit.", NULL);
static struct metric batches = METRIC_COUNTER("autodb_submit_batches_total", "Group commits, by outcome.", "outcome");
static struct metric batched =
    METRIC_COUNTER("autodb_submit_batched_jobs_total", "Jobs sent in group commits; over the batches: the mean batch.", NULL);
static struct metric rings =
    METRIC_COUNTER("autodb_dispatch_failures_total", "XADDs that failed; the sweeper dispatches those jobs.", NULL);
static struct metric limited =
    METRIC_COUNTER("autodb_jobs_rate_limited_total", "Jobs refused because their owner's rate was used up.", NULL);

STAILQ_HEAD(submissions, submission);
struct submit {
  struct loop *loop;
  struct submissions pending, flight;
  struct submissions alone; /* rows of a refused batch, to be tried one by one */
  int in_flight;
};

struct submit *submit_new(struct loop *loop) {
  struct submit *submit = calloc(1, sizeof *submit);
  if (!submit) return NULL;
  submit->loop = loop;
  STAILQ_INIT(&submit->pending);
  STAILQ_INIT(&submit->flight);
  STAILQ_INIT(&submit->alone);
  return submit;
}

void submit_free(struct submit *submit) { free(submit); }

/* --- after the commit --- */

static void rung(void *arg, const redisReply *reply) {
  (void)arg;
  if (!reply || reply->type == REDIS_REPLY_ERROR) metric_add(&rings, NULL, 1);
}

void submit_ring(struct loop *loop, const struct id *job_id, int stream) {
  char id[ID_TEXT];
  const char *argv[] = {"XADD", loop->api->stream_keys[stream], "*", JOB_FIELD, id_format(job_id, id)};
  redis_command(loop->redis, rung, NULL, 5, argv, NULL);
}

void submission_committed(struct submission *sub, const char *created_at) {
  struct request *req = sub->req;
  char id[ID_TEXT];
  if (!sub->run_at) submit_ring(req->loop, &sub->id, job_stream(sub->lane, sub->tier)); /* else the sweeper does, when it is due */
  const struct jobview_new job = {.id = sub->id,
                                  .connection_id = sub->has_connection ? &sub->connection_id : NULL,
                                  .kind = sub->kind->name,
                                  .lane = job_lane_names[sub->lane],
                                  .created_at = created_at,
                                  .metadata = sub->metadata,
                                  .run_at = sub->run_at,
                                  .max_attempts = sub->kind->max_attempts};
  metric_add(&accepted, sub->kind->name, 1);
  metric_observe_us(&latency, NULL, clock_mono_us() - req->started_us);
  request_header(req, "Location", "/api/v1/jobs/%s", id_format(&sub->id, id));
  struct buf data;
  buf_init(&data, LIMIT_HTTP_BODY_DEFAULT);
  jobview_put_new(&data, &job);
  char *view = sub->wait_s ? arena_strndup(req->arena, buf_str(&data), data.len) : NULL;
  if (view) {
    buf_free(&data);
    waiters_add_committed(req, &sub->id, sub->wait_s, sub->mode, view);
  } else {
    reply_buf(req, 202, &data);
  }
}

void submission_replayed(struct submission *sub, const struct id *job_id) {
  char text[ID_TEXT];
  request_header(sub->req, "Idempotent-Replayed", "true");
  request_header(sub->req, "Location", "/api/v1/jobs/%s", id_format(job_id, text));
  waiters_add(sub->req, job_id, sub->wait_s, sub->mode);
}

static void fail(struct submission *sub, const struct error *cause) {
  ERROR_AUTO err = {0};
  request_database_error(sub->req, cause, &err);
  reply_error(sub->req, &err);
}

/* --- the batch --- */

static const struct pg_stmt insert_jobs = {
    "insert_jobs",
    "WITH n AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::int4[], $7::int4[], "
    "$8::text[], $9::text[], $10::text[], $11::json[], $12::json[], $13::text[]) AS n (id, owner_id, connection_id, kind, lane, tier, "
    "max_attempts, trace, request_id, callback_url, payload, metadata, run_at)), "
    "recorded AS (INSERT INTO autodb.jobs (id, owner_id, connection_id, kind, lane, max_attempts, trace, request_id, callback_url, "
    "payload, "
    "metadata, run_at) SELECT id, owner_id, connection_id, kind, lane::autodb.job_lane, max_attempts, trace, request_id, callback_url, "
    "payload, metadata, run_at::timestamptz FROM n), "
    "queued AS (INSERT INTO autodb.queue (id, owner_id, kind, lane, tier, max_attempts, callback_url, run_at) "
    "SELECT id, owner_id, kind, lane::autodb.job_lane, tier::int2, max_attempts, callback_url, coalesce(run_at::timestamptz, now()) FROM "
    "n) "
    "SELECT " SQL_TIME("now()"),
    13};

static void put_text(struct pg_params *params, const char *text) { pg_param_array_item(params, text, text ? (long)strlen(text) : -1); }

/* One array per column, in the statement's order. */
static void put_columns(struct pg_params *params, const struct submissions *list) {
  const struct submission *s;
#define COLUMN(type, put)                \
  pg_param_array_begin(params, type);    \
  STAILQ_FOREACH(s, list, link) { put; } \
  pg_param_array_end(params)
  COLUMN(PG_ELEM_UUID, pg_param_array_item(params, s->id.bytes, 16));
  COLUMN(PG_ELEM_UUID, pg_param_array_item(params, s->req->who.owner_id.bytes, 16));
  COLUMN(PG_ELEM_UUID, pg_param_array_item(params, s->connection_id.bytes, s->has_connection ? 16 : -1));
  COLUMN(PG_ELEM_TEXT, put_text(params, s->kind->name));
  COLUMN(PG_ELEM_TEXT, put_text(params, job_lane_names[s->lane]));
  COLUMN(PG_ELEM_INT4, pg_param_array_int(params, s->tier));
  COLUMN(PG_ELEM_INT4, pg_param_array_int(params, s->kind->max_attempts));
  COLUMN(PG_ELEM_TEXT, put_text(params, s->req->trace));
  COLUMN(PG_ELEM_TEXT, put_text(params, s->req->request_id));
  COLUMN(PG_ELEM_TEXT, put_text(params, s->callback_url));
  COLUMN(PG_ELEM_JSON, pg_param_array_item(params, s->payload, (long)s->payload_len));
  COLUMN(PG_ELEM_JSON, put_text(params, s->metadata));
  COLUMN(PG_ELEM_TEXT, put_text(params, s->run_at));
#undef COLUMN
}

static void batch_done(struct submit *submit, const char *created_at) {
  metric_add(&batches, "committed", 1);
  submit->in_flight = 0;
  struct submissions done = STAILQ_HEAD_INITIALIZER(done);
  STAILQ_CONCAT(&done, &submit->flight);
  for (struct submission *sub; (sub = STAILQ_FIRST(&done));) {
    STAILQ_REMOVE_HEAD(&done, link);
    submission_committed(sub, created_at);
  }
}

/* A statement that was refused as a whole is the fault of one row, which nobody should pay for but its sender. */
static void batch_failed(struct submit *submit, const struct error *err) {
  metric_add(&batches, "failed", 1);
  bool retry = err->status != ERR_UNAVAILABLE && submit->in_flight > 1;
  submit->in_flight = 0;
  if (retry) {
    log_event(LOG_ERROR, "batch refused, trying its rows one by one", "reason", err->message, NULL);
    STAILQ_CONCAT(&submit->alone, &submit->flight);
    return;
  }
  for (struct submission *sub; (sub = STAILQ_FIRST(&submit->flight));) {
    STAILQ_REMOVE_HEAD(&submit->flight, link);
    fail(sub, err);
  }
}

static void on_batch(void *arg, const PGresult *res, const struct error *err) {
  struct submit *submit = arg;
  if (res)
    batch_done(submit, PQgetvalue(res, 0, 0));
  else
    batch_failed(submit, err);
}

static void send_batch(struct submit *submit, struct submissions *from, int most) {
  struct submission *sub;
  while (submit->in_flight < most && (sub = STAILQ_FIRST(from))) {
    STAILQ_REMOVE_HEAD(from, link);
    STAILQ_INSERT_TAIL(&submit->flight, sub, link);
    submit->in_flight++;
  }
  metric_add(&batched, NULL, submit->in_flight);
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  put_columns(&params, &submit->flight);
  if (pgloop_query(submit->loop->pg, &insert_jobs, &params, COMMIT_DEADLINE_MS, on_batch, submit, &err) != OK) batch_failed(submit, &err);
}

void submit_turn(struct submit *submit) {
  while (!submit->in_flight && !STAILQ_EMPTY(&submit->alone)) send_batch(submit, &submit->alone, 1);
  while (!submit->in_flight && !STAILQ_EMPTY(&submit->pending)) send_batch(submit, &submit->pending, LIMIT_SUBMIT_BATCH);
}

/* --- taking a job --- */

static enum status take_metadata(struct submission *sub, struct error *err) {
  json_t *value = json_object_get(sub->req->body, "metadata");
  if (!value || json_is_null(value)) return OK;
  char *text = json_dumps(value, JSON_COMPACT);
  if (!text || arena_defer(sub->req->arena, free, text) != 0) return error_oom(err);
  if (strlen(text) > LIMIT_METADATA_BYTES)
    return error_add_field(err, "metadata", "must be at most %d bytes of JSON", LIMIT_METADATA_BYTES);
  sub->metadata = text;
  return OK;
}

/* In UTC, as it is shown; what has passed means now. */
static enum status take_run_at(struct submission *sub, struct error *err) {
  const char *text = json_str(sub->req->body, "run_at", NULL);
  int64_t at, now = clock_wall_ms();
  char utc[CLOCK_TEXT];
  if (!text) return OK;
  if (!request_time_ms(text, &at)) return error_add_field(err, "run_at", "must be an RFC 3339 time such as 2027-01-31T12:00:00Z");
  if (at - now > LIMIT_DELAY_MS) return error_add_field(err, "run_at", "must be at most %d days ahead", LIMIT_DELAY_DAYS);
  if (at > now && !(sub->run_at = arena_strdup(sub->req->arena, clock_format(at, utc)))) return error_oom(err);
  return OK;
}

static enum status take_members(struct submission *sub, struct error *err) {
  const json_t *body = sub->req->body;
  sub->lane = sub->kind->lane;
  job_lane_parse(json_str(body, "priority", NULL), &sub->lane);
  sub->callback_url = json_str(body, "callback_url", NULL);
  enum status status = hook_url_check(sub->req, "callback_url", sub->callback_url, err);
  if (status == OK) status = take_run_at(sub, err);
  return status == OK ? take_metadata(sub, err) : status;
}

/* The last check: a request that was wrong anyway costs nothing. */
static enum status take_token(struct request *req, struct error *err) {
  if (!req->who.rate) return OK;
  struct rate_answer answer = rate_take(req->loop->api->rate, &req->who.owner_id, req->who.rate, req->who.burst, clock_mono_us());
  if (req->who.own_limits || !answer.allowed) {
    request_header(req, "RateLimit-Limit", "%d", req->who.burst);
    request_header(req, "RateLimit-Remaining", "%lld", (long long)answer.remaining);
    request_header(req, "RateLimit-Reset", "%lld", (long long)(answer.wait_ms + 999) / 1000);
  }
  if (answer.allowed) return OK;
  metric_add(&limited, NULL, 1);
  request_header(req, "Retry-After", "%lld", (long long)(answer.wait_ms + 999) / 1000);
  return error_set(err, ERR_RATE_LIMITED, "More than the %d jobs a second this owner may submit; nothing was accepted.", req->who.rate);
}

enum status submission_new(struct request *req, const char *kind, const struct id *connection_id, const char *payload, size_t payload_len,
                           struct submission **ret_sub, struct error *err) {
  struct submission *sub = ARENA_NEW(req->arena, struct submission);
  if (!sub) return error_oom(err);
  sub->req = req;
  sub->kind = job_kind_find(kind);
  if (!sub->kind) return error_set(err, ERR_INTERNAL, "There is no job kind %s.", kind);
  sub->payload = payload;
  sub->payload_len = payload_len;
  bool waits = (req->route->flags & ROUTE_WAITS) && !request_prefer_async(req);
  sub->wait_s = request_prefer_wait_or(req, waits ? LIMIT_ANSWER_SECONDS : 0);
  sub->mode = WAIT_SUBMITTED;
  if ((sub->has_connection = connection_id != NULL)) sub->connection_id = *connection_id;
  enum status status = take_members(sub, err);
  if (status == OK) status = take_token(req, err);
  if (status != OK) return status;
  id_new(&sub->id);
  sub->tier = tiers_take(req->loop->tiers, &req->who.owner_id, sub->lane, clock_mono_ms());
  *ret_sub = sub;
  return OK;
}

void submission_put(struct pg_params *params, const struct submission *sub) {
  pg_param_uuid(params, &sub->id);
  pg_param_uuid(params, &sub->req->who.owner_id);
  pg_param_uuid(params, sub->has_connection ? &sub->connection_id : NULL);
  pg_param_text(params, sub->kind->name);
  pg_param_text(params, job_lane_names[sub->lane]);
  pg_param_int(params, sub->kind->max_attempts);
  pg_param_text(params, sub->req->trace);
  pg_param_text(params, sub->req->request_id);
  pg_param_text(params, sub->callback_url);
  pg_param_textn(params, sub->payload, sub->payload_len);
  pg_param_text(params, sub->metadata);
  pg_param_int(params, sub->tier);
  pg_param_text(params, sub->run_at);
}

enum status submit_job(struct request *req, const char *kind, const struct id *connection_id, const char *payload, size_t payload_len,
                       struct error *err) {
  struct submission *sub;
  enum status status = submission_new(req, kind, connection_id, payload, payload_len, &sub, err);
  if (status != OK) return status;
  if (http_header(req->http, "idempotency-key")) return idempotency_submit(sub, err);
  if (!pgloop_up(req->loop->pg))
    return error_set(err, ERR_UNAVAILABLE, "The database is not reachable just now; nothing was accepted. Try again.");
  STAILQ_INSERT_TAIL(&req->loop->submit->pending, sub, link);
  return OK;
}

enum status submit_job_value(struct request *req, const char *kind, const struct id *connection_id, json_t *take_payload,
                             struct error *err) {
  char *text = take_payload ? json_dumps(take_payload, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  json_decref(take_payload);
  if (!text || arena_defer(req->arena, free, text) != 0) return error_oom(err);
  return submit_job(req, kind, connection_id, text, strlen(text), err);
}
