/* res_queue.c - the queue as a whole: how full it is, and pausing a kind or a lane. For admins. */
#include "api/jobview.h"
#include "api/router.h"

static const struct pg_stmt queue_status = {
    "queue_status",
    "SELECT json_build_object('queues', coalesce((SELECT json_agg(json_build_object('lane', lane, 'kind', kind, 'queued', queued, "
    "'running', "
    "running, 'delayed', delayed, 'oldest_seconds', oldest) ORDER BY lane, kind) FROM (SELECT lane, kind, "
    "count(*) FILTER (WHERE state = 'queued' AND run_at <= now()) AS queued, count(*) FILTER (WHERE state = 'running') AS running, "
    "count(*) FILTER (WHERE state = 'queued' AND run_at > now()) AS delayed, "
    "round(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'queued' AND run_at <= now())), 3) AS oldest "
    "FROM autodb.queue GROUP BY lane, kind) AS counted), '[]'), 'paused', coalesce((SELECT json_agg(json_build_object('name', name, "
    "'paused_at', " SQL_TIME("paused_at") ") ORDER BY name) FROM autodb.pauses WHERE resumed_at IS NULL), '[]'))",
    0};

static enum status on_status(struct request *req, const PGresult *res, struct error *err) {
  (void)err;
  reply_json(req, 200, PQgetvalue(res, 0, 0), (size_t)PQgetlength(res, 0, 0));
  return OK;
}

static enum status get_queue(struct request *req, struct error *err) { return request_query(req, &queue_status, NULL, on_status, err); }

/* --- pausing: the claim looks at the table itself, so nothing begins after the commit --- */

static const struct pg_stmt pause_queue = {
    "pause_queue",
    "INSERT INTO autodb.pauses AS p (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET resumed_at = NULL, paused_at = "
    "CASE WHEN p.resumed_at IS NULL THEN p.paused_at ELSE now() END",
    1};
/* The sweeper rings for what waited, then removes the row. */
static const struct pg_stmt resume_queue = {"resume_queue",
                                            "UPDATE autodb.pauses SET resumed_at = now() WHERE name = $1 AND resumed_at IS NULL", 1};

static const struct json_field pause_fields[] = {{.name = "kind", .want = JSON_WANT_STRING, .min = 1, .max = 64},
                                                 {.name = "lane", .want = JSON_WANT_STRING, .choices = job_lane_names}};

static enum status on_changed(struct request *req, const PGresult *res, struct error *err) {
  (void)res;
  return get_queue(req, err);
}

static enum status change(struct request *req, const struct pg_stmt *stmt, struct error *err) {
  const char *kind = json_str(req->body, "kind", NULL), *lane = json_str(req->body, "lane", NULL);
  if (!kind == !lane) return error_add_field(err, kind ? "lane" : "kind", "give either a kind of job or a lane");
  if (kind && !job_kind_find(kind)) return error_add_field(err, "kind", "is not a kind of job");
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, kind ? kind : lane);
  return request_query(req, stmt, &params, on_changed, err);
}

static enum status post_pause(struct request *req, struct error *err) { return change(req, &pause_queue, err); }
static enum status post_resume(struct request *req, struct error *err) { return change(req, &resume_queue, err); }

#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof *(table)
const struct route queue_routes[] = {
    {.method = HTTP_GET, .pattern = "/api/v1/queue", .handler = get_queue, .auth = AUTH_ADMIN},
    {.method = HTTP_POST, .pattern = "/api/v1/queue/pause", .handler = post_pause, .auth = AUTH_ADMIN, FIELDS(pause_fields)},
    {.method = HTTP_POST, .pattern = "/api/v1/queue/resume", .handler = post_resume, .auth = AUTH_ADMIN, FIELDS(pause_fields)},
    {0},
};
