/* res_deliveries.c - the log of what was delivered to whom, sending it again, and tests of a webhook. */
#include "api/cursor.h"
#include "api/jobview.h"
#include "api/router.h"

/* Column 0 is the id for cursors, column 1 the object. */
#define NEXT_TRY_AT SQL_TIME("CASE WHEN d.state = 'pending' THEN d.next_at END")
#define LAST_TRY_AT SQL_TIME("d.last_try_at")
#define CREATED_AT SQL_TIME("d.created_at")
#define DELIVERED_AT SQL_TIME("d.delivered_at")
#define LAST_TRY                                                                                                               \
  "CASE WHEN d.last_try_at IS NOT NULL THEN json_build_object('at', " LAST_TRY_AT ", 'status', d.last_status, 'duration_ms', " \
  "d.last_duration_ms, 'request', d.last_request, 'response', d.last_response) END"
#define VIEW                                                                                                                            \
  "d.ref, json_build_object('id', d.ref, 'webhook_id', d.webhook_id, 'message_id', d.id, 'job_id', d.job_id, 'event', d.event, 'url', " \
  "d.url, 'status', d.state, 'tries', d.tries, 'next_try_at', " NEXT_TRY_AT ", 'last_try', " LAST_TRY                                   \
  ", 'error', d.last_error, 'created_at', " CREATED_AT ", 'delivered_at', " DELIVERED_AT ")"

static void put_view(struct buf *out, const PGresult *res, int row) {
  buf_append(out, PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
}

/* --- the log --- */

static const struct param list_params[] = {CURSOR_PARAMS, {0}};

/* One row without a delivery tells an empty log from a webhook there isn't. */
static const struct pg_stmt list_of_webhook = {
    "list_webhook_deliveries",
    "SELECT " VIEW " FROM autodb.webhooks w LEFT JOIN LATERAL (SELECT * FROM autodb.deliveries WHERE webhook_id = w.id AND ref < $3::uuid "
    "ORDER BY ref DESC LIMIT $4::int4 + 1) d ON true WHERE w.id = $1::uuid AND w.owner_id = $2::uuid AND w.deleted_at IS NULL ORDER BY "
    "d.ref DESC",
    4};
static const struct pg_stmt list_of_owner = {"list_deliveries",
                                             "SELECT " VIEW " FROM autodb.deliveries d WHERE d.owner_id = $1::uuid AND d.ref < $2::uuid "
                                             "ORDER BY d.ref DESC LIMIT $3::int4 + 1",
                                             3};

static enum status on_log(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "There is no such webhook.");
  return cursor_reply(req, "deliveries", res, put_view, err);
}

static enum status get_log(struct request *req, struct error *err) {
  struct id below;
  enum status status = cursor_read(req, "deliveries", &below, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &below);
  pg_param_int(&params, cursor_limit(req));
  return request_query(req, &list_of_webhook, &params, on_log, err);
}

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  return cursor_reply(req, "deliveries", res, put_view, err);
}

static enum status get_deliveries(struct request *req, struct error *err) {
  return cursor_query(req, "deliveries", &list_of_owner, on_list, err);
}

/* --- again --- */

/* The first column says what was found. The schedule begins anew; the webhook-id stays. */
static const struct pg_stmt redeliver = {
    "redeliver",
    "WITH found AS (SELECT d.id, CASE WHEN d.webhook_id IS NOT NULL AND (w.id IS NULL OR w.deleted_at IS NOT NULL) THEN 'deleted' WHEN "
    "w.disabled_at IS NOT NULL THEN 'disabled' WHEN d.state = 'running' THEN 'running' ELSE 'ok' END AS verdict FROM autodb.deliveries d "
    "LEFT JOIN autodb.webhooks w ON w.id = d.webhook_id WHERE d.ref = $1::uuid AND d.owner_id = $2::uuid), "
    "d AS (UPDATE autodb.deliveries d SET state = 'pending', next_at = now(), forgiven = d.tries, delivered_at = NULL, url = "
    "coalesce((SELECT w.url FROM autodb.webhooks w WHERE w.id = d.webhook_id), d.url) FROM found WHERE d.id = found.id AND found.verdict = "
    "'ok' AND d.state <> 'running' RETURNING d.*) "
    "SELECT found.verdict, v.view FROM found LEFT JOIN (SELECT d.id, x.view FROM d CROSS JOIN LATERAL (SELECT " VIEW
    ") x (ref, view)) v ON v.id = found.id",
    2};

static enum status on_again(struct request *req, const PGresult *res, struct error *err) {
  const char *verdict = PQntuples(res) ? PQgetvalue(res, 0, 0) : "";
  if (!*verdict) return error_set(err, ERR_NOT_FOUND, "There is no such delivery.");
  if (strcmp(verdict, "deleted") == 0) return error_set(err, ERR_CONFLICT, "Its webhook was deleted.");
  if (strcmp(verdict, "disabled") == 0)
    return error_set(err, ERR_CONFLICT, "Its webhook is disabled: PATCH it with {\"active\": true} first.");
  if (PQgetisnull(res, 0, 1)) return error_set(err, ERR_CONFLICT, "It is being delivered at this moment.");
  reply_json(req, 202, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

static enum status post_redeliver(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  return request_query(req, &redeliver, &params, on_again, err);
}

/* --- tests --- */

static const struct pg_stmt insert_test = {
    "test_webhook",
    "WITH w AS (SELECT id, owner_id, url, disabled_at FROM autodb.webhooks WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS "
    "NULL), "
    "d AS (INSERT INTO autodb.deliveries (id, owner_id, webhook_id, url, event) SELECT 'test_' || $3::uuid || '_' || id, owner_id, id, "
    "url, "
    "'webhook.test' FROM w WHERE disabled_at IS NULL RETURNING *) "
    "SELECT w.id, v.view FROM w LEFT JOIN (SELECT d.webhook_id, x.view FROM d CROSS JOIN LATERAL (SELECT " VIEW
    ") x (ref, view)) v ON v.webhook_id = w.id",
    3};

static enum status on_test(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "There is no such webhook.");
  if (PQgetisnull(res, 0, 1)) return error_set(err, ERR_CONFLICT, "The webhook is disabled: PATCH it with {\"active\": true} first.");
  reply_json(req, 202, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

static enum status post_test(struct request *req, struct error *err) {
  struct id id;
  PG_PARAMS_AUTO params;
  id_new(&id);
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &id);
  return request_query(req, &insert_test, &params, on_test, err);
}

#define BASE "/api/v1/webhooks"
const struct route deliveries_routes[] = {
    {.method = HTTP_GET, .pattern = BASE "/deliveries", .handler = get_deliveries, .auth = AUTH_USER, .params = list_params},
    {.method = HTTP_POST, .pattern = BASE "/deliveries/{id}/redeliver", .handler = post_redeliver, .auth = AUTH_USER},
    {.method = HTTP_GET, .pattern = BASE "/{id}/deliveries", .handler = get_log, .auth = AUTH_USER, .params = list_params},
    {.method = HTTP_POST, .pattern = BASE "/{id}/test", .handler = post_test, .auth = AUTH_USER},
    {0},
};
