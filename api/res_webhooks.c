/* res_webhooks.c - webhooks and the secrets that sign them. What was delivered is in res_deliveries.c, who delivers in worker/webhook.
 *
 * A secret is 32 random bytes, sealed with the keyring under the row's id and shown once, as whsec_<base64>. Rotating keeps the one before
 * for a day; until then both sign. */
#include "api/cursor.h"
#include "api/hook_url.h"
#include "api/jobview.h"
#include "api/router.h"
#include "common/pg.h"

#define SECRET_BYTES 32
#define SECRET_TEXT 64 /* "whsec_" and the base64 */
#define EVENTS_MAX 5
#define KINDS_MAX 32
#define DESCRIPTION_MAX 500

/* Column 0 is the id for cursors, column 1 the object. The circuit is how couriers see the endpoint (schema/0005_webhooks.sql). */
#define CIRCUIT_STATE                                                                                                             \
  "CASE WHEN h.endpoint IS NULL OR h.failures < 5 AND h.resume_at <= now() THEN 'closed' WHEN h.failures < 5 THEN 'paused' WHEN " \
  "h.resume_at > now() THEN 'open' ELSE 'half_open' END"
#define CIRCUIT                                                                                                        \
  "json_build_object('state', " CIRCUIT_STATE ", 'failures', coalesce(h.failures, 0), 'failing_since', " FAILING_SINCE \
  ", 'resume_at', " RESUME_AT ")"
#define FAILING_SINCE SQL_TIME("h.failing_since")
#define RESUME_AT SQL_TIME("CASE WHEN h.resume_at > now() THEN h.resume_at END")
#define OLD_SECRET_UNTIL(row) SQL_TIME("CASE WHEN " row ".old_secret_until > now() THEN " row ".old_secret_until END")
#define DISABLED_AT SQL_TIME("w.disabled_at")
#define CREATED_AT(row) SQL_TIME(row ".created_at")
#define VIEW                                                                                                                  \
  "w.id, json_build_object('id', w.id, 'url', w.url, 'events', to_json(w.events), 'kinds', to_json(w.kinds), 'description', " \
  "w.description, 'concurrency', w.concurrency, 'active', w.disabled_at IS NULL, 'disabled_at', " DISABLED_AT                 \
  ", 'disabled_reason', w.disabled_reason, 'old_secret_until', " OLD_SECRET_UNTIL("w") ", 'circuit', " CIRCUIT                \
                                                                                       ", 'created_at', " CREATED_AT("w") ")"
#define WEBHOOKS "autodb.webhooks w LEFT JOIN autodb.delivery_endpoints h ON h.endpoint = w.id "

static enum status missing(struct error *err) { return error_set(err, ERR_NOT_FOUND, "There is no such webhook."); }

static void put_view(struct buf *out, const PGresult *res, int row) {
  buf_append(out, PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
}

static enum status on_one(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  reply_json(req, 200, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

static void id_and_owner(struct pg_params *params, const struct request *req) {
  pg_params_init(params);
  pg_param_uuid(params, &req->ids[0]);
  pg_param_uuid(params, &req->who.owner_id);
}

/* --- secrets --- */

struct secret { /* the request's state */
  char text[SECRET_TEXT];
  struct buf sealed;
};

static void free_sealed(void *arg) { buf_free(arg); }

static enum status make_secret(struct request *req, const char *context, struct secret **ret_secret, struct error *err) {
  uint8_t bytes[SECRET_BYTES];
  BUF_AUTO text;
  struct secret *secret = ARENA_NEW(req->arena, struct secret);
  if (!secret) return error_oom(err);
  buf_init(&secret->sealed, LIMIT_HTTP_BODY_DEFAULT);
  buf_init(&text, SECRET_TEXT);
  if (arena_defer(req->arena, free_sealed, &secret->sealed) != 0) return error_oom(err);
  crypto_random(bytes, sizeof bytes);
  buf_puts(&text, "whsec_");
  crypto_base64(bytes, sizeof bytes, &text);
  snprintf(secret->text, sizeof secret->text, "%s", buf_str(&text));
  enum status status = keyring_seal(req->loop->api->keyring, context, bytes, sizeof bytes, &secret->sealed, err);
  explicit_bzero(bytes, sizeof bytes);
  if (status == OK) *ret_secret = secret;
  req->state = secret;
  return status;
}

static void put_secret(struct pg_params *params, const struct request *req, const struct secret *secret) {
  pg_param_bytes(params, secret->sealed.data, secret->sealed.len);
  pg_param_text(params, keyring_current(req->loop->api->keyring));
}

/* The object with the secret in it: the only time that anybody sees it. */
static enum status reply_secret(struct request *req, int http_status, const PGresult *res) {
  const struct secret *secret = req->state;
  struct buf data;
  buf_init(&data, LIMIT_HTTP_BODY_DEFAULT);
  buf_printf(&data, "{\"secret\": \"%s\", ", secret->text);
  buf_puts(&data, PQgetvalue(res, 0, 1) + 1); /* past its opening brace */
  reply_buf(req, http_status, &data);
  return OK;
}

/* --- what a request wants stored --- */

static const char *const event_names[EVENTS_MAX + 1] = {"job.succeeded", "job.failed", "job.dead", "job.cancelled", "schema.changed", NULL};

static bool is_event(const char *text) {
  for (size_t i = 0; event_names[i]; i++)
    if (strcmp(event_names[i], text) == 0) return true;
  return false;
}

static bool is_kind(const char *text) { return job_kind_find(text) != NULL; }

/* The list as an array literal, NULL when it was not given. */
static enum status take_list(struct request *req, const char *field, bool (*known)(const char *text), const char **ret_array,
                             struct error *err) {
  const json_t *list = json_object_get(req->body, field);
  const char *items[KINDS_MAX];
  size_t count = json_array_size(list);
  if (!json_is_array(list)) return OK;
  for (size_t i = 0; i < count && i < KINDS_MAX; i++) {
    items[i] = json_string_value(json_array_get(list, i));
    if (!known(items[i]))
      return error_add_field(err, arena_printf(req->arena, "%s.%zu", field, i), "\"%.64s\" is not one there is", items[i]);
    for (size_t k = 0; k < i; k++)
      if (strcmp(items[k], items[i]) == 0) return error_add_field(err, field, "names \"%.64s\" twice", items[i]);
  }
  *ret_array = pg_array_param(req->arena, items, count);
  return *ret_array ? OK : error_oom(err);
}

struct draft {
  const char *url, *events, *kinds, *description; /* NULL: not given */
  int concurrency;                                /* 0: not given */
};

static enum status take_draft(struct request *req, struct draft *ret_draft, struct error *err) {
  struct draft draft = {.url = json_str(req->body, "url", NULL),
                        .description = json_str(req->body, "description", NULL),
                        .concurrency = (int)json_int(req->body, "concurrency", 0)};
  enum status status = hook_url_check(req, "url", draft.url, err);
  if (status == OK) status = take_list(req, "events", is_event, &draft.events, err);
  if (status == OK) status = take_list(req, "kinds", is_kind, &draft.kinds, err);
  if (status == OK) *ret_draft = draft;
  return status;
}

/* $3 … $7 of POST and PATCH. */
static void put_draft(struct pg_params *params, const struct draft *draft) {
  pg_param_text(params, draft->url);
  pg_param_text(params, draft->events);
  pg_param_text(params, draft->kinds);
  pg_param_text(params, draft->description);
  if (draft->concurrency)
    pg_param_int(params, draft->concurrency);
  else
    pg_param_text(params, NULL);
}

#define DRAFT_FIELDS(must)                                                                                 \
  {.name = "url", .want = JSON_WANT_STRING, .required = (must), .min = 1, .max = LIMIT_WEBHOOK_URL_BYTES}, \
      {.name = "events", .want = JSON_WANT_STRING_ARRAY, .required = (must), .min = 1, .max = EVENTS_MAX}, \
      {.name = "kinds", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = KINDS_MAX},                       \
      {.name = "description", .want = JSON_WANT_STRING, .min = 0, .max = DESCRIPTION_MAX}, {               \
    .name = "concurrency", .want = JSON_WANT_INT, .min = 1, .max = LIMIT_WEBHOOK_CONCURRENCY               \
  }

/* --- create --- */

static const struct json_field create_fields[] = {DRAFT_FIELDS(true)};

/* The owner's row is locked first, so that two requests don't both take the last place. */
static const struct pg_stmt insert_webhook = {
    "insert_webhook",
    "WITH o AS MATERIALIZED (SELECT id FROM autodb.owners WHERE id = $2::uuid FOR UPDATE), "
    "w AS (INSERT INTO autodb.webhooks (id, owner_id, url, events, kinds, description, concurrency, secret, secret_key_id)"
    " SELECT $1::uuid, o.id, $3::text, $4::text[], coalesce($5::text[], '{}'), $6::text, coalesce($7::int4, 4), $8::bytea, $9::text FROM o"
    " WHERE autodb.webhook_count(o.id) < $10::int4 RETURNING *) "
    "SELECT " VIEW " FROM w LEFT JOIN autodb.delivery_endpoints h ON h.endpoint = w.id",
    10};

static enum status on_created(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0)
    return error_set(err, ERR_CONFLICT, "There are %d webhooks already, which is the most an owner may have: delete one first.",
                     LIMIT_WEBHOOKS_PER_OWNER);
  request_header(req, "Location", "/api/v1/webhooks/%s", PQgetvalue(res, 0, 0));
  return reply_secret(req, 201, res);
}

static enum status post_webhook(struct request *req, struct error *err) {
  struct id id;
  char context[ID_TEXT];
  struct draft draft;
  struct secret *secret;
  id_new(&id);
  enum status status = take_draft(req, &draft, err);
  if (status == OK) status = make_secret(req, id_format(&id, context), &secret, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &id);
  pg_param_uuid(&params, &req->who.owner_id);
  put_draft(&params, &draft);
  put_secret(&params, req, secret);
  pg_param_int(&params, LIMIT_WEBHOOKS_PER_OWNER);
  return request_query(req, &insert_webhook, &params, on_created, err);
}

/* --- read --- */

static const struct pg_stmt list_webhooks = {"list_webhooks",
                                             "SELECT " VIEW " FROM " WEBHOOKS "WHERE w.owner_id = $1::uuid AND w.deleted_at IS NULL AND "
                                             "w.id < $2::uuid ORDER BY w.id DESC LIMIT $3::int4 + 1",
                                             3};
static const struct pg_stmt get_one = {
    "get_webhook", "SELECT " VIEW " FROM " WEBHOOKS "WHERE w.id = $1::uuid AND w.owner_id = $2::uuid AND w.deleted_at IS NULL", 2};
static const struct param list_params[] = {CURSOR_PARAMS, {0}};

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  return cursor_reply(req, "webhooks", res, put_view, err);
}

static enum status get_webhooks(struct request *req, struct error *err) {
  return cursor_query(req, "webhooks", &list_webhooks, on_list, err);
}

static enum status get_webhook(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &get_one, &params, on_one, err);
}

/* --- change: what waits for it goes to the new URL, and made active again it starts with a clean slate --- */

static const struct json_field patch_fields[] = {DRAFT_FIELDS(false), {.name = "active", .want = JSON_WANT_BOOL}};

static const struct pg_stmt update_webhook = {
    "update_webhook",
    "WITH w AS (UPDATE autodb.webhooks SET url = coalesce($3::text, url), events = coalesce($4::text[], events), kinds = "
    "coalesce($5::text[], kinds), description = coalesce($6::text, description), concurrency = coalesce($7::int4, concurrency), "
    "disabled_at = CASE $8::text WHEN 'true' THEN NULL WHEN 'false' THEN coalesce(disabled_at, now()) ELSE disabled_at END, "
    "disabled_reason = CASE $8::text WHEN 'true' THEN NULL WHEN 'false' THEN coalesce(disabled_reason, 'by its owner') ELSE "
    "disabled_reason END WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS NULL RETURNING *), "
    "moved AS (UPDATE autodb.deliveries d SET url = w.url FROM w WHERE d.endpoint = w.id AND d.webhook_id = w.id AND d.state = 'pending' "
    "AND "
    "$3::text IS NOT NULL), "
    "well AS (DELETE FROM autodb.delivery_endpoints e USING w WHERE e.endpoint = w.id AND ($3::text IS NOT NULL OR $8::text = 'true') "
    "RETURNING e.endpoint) "
    "SELECT " VIEW " FROM w LEFT JOIN (SELECT * FROM autodb.delivery_endpoints WHERE endpoint NOT IN (SELECT endpoint FROM well)) h ON "
    "h.endpoint = w.id",
    8};

static enum status patch_webhook(struct request *req, struct error *err) {
  struct draft draft;
  const json_t *active = json_object_get(req->body, "active");
  if (json_object_size(req->body) == 0)
    return error_add_field(err, "body", "must hold url, events, kinds, description, concurrency or active");
  enum status status = take_draft(req, &draft, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  put_draft(&params, &draft);
  pg_param_text(&params, json_is_boolean(active) ? json_is_true(active) ? "true" : "false" : NULL);
  return request_query(req, &update_webhook, &params, on_one, err);
}

/* --- delete: its secrets go at once, what waits for it is given up --- */

static const struct pg_stmt delete_one = {
    "delete_webhook",
    "WITH w AS (UPDATE autodb.webhooks SET deleted_at = now(), secret = '', old_secret = NULL WHERE id = $1::uuid AND owner_id = $2::uuid "
    "AND deleted_at IS NULL RETURNING id), "
    "given_up AS (UPDATE autodb.deliveries d SET state = 'failed', last_error = 'the webhook was deleted' FROM w WHERE d.endpoint = w.id "
    "AND "
    "d.state = 'pending'), "
    "forgotten AS (DELETE FROM autodb.delivery_endpoints e USING w WHERE e.endpoint = w.id) "
    "SELECT id FROM w",
    2};

static enum status on_deleted(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  reply_empty(req, 204);
  return OK;
}

static enum status delete_webhook(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &delete_one, &params, on_deleted, err);
}

/* --- rotation --- */

static const struct pg_stmt rotate = {
    "rotate_webhook_secret",
    "WITH w AS (UPDATE autodb.webhooks SET old_secret = secret, old_secret_key_id = secret_key_id, old_secret_until = now() + interval '24 "
    "hours', secret = $3::bytea, secret_key_id = $4::text WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS NULL RETURNING *) "
    "SELECT " VIEW " FROM w LEFT JOIN autodb.delivery_endpoints h ON h.endpoint = w.id",
    4};

static enum status on_rotated(struct request *req, const PGresult *res, struct error *err) {
  return PQntuples(res) == 0 ? missing(err) : reply_secret(req, 200, res);
}

static enum status post_rotate(struct request *req, struct error *err) {
  char context[ID_TEXT];
  struct secret *secret;
  enum status status = make_secret(req, id_format(&req->ids[0], context), &secret, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  put_secret(&params, req, secret);
  return request_query(req, &rotate, &params, on_rotated, err);
}

/* --- the secret of callbacks: one for all of an owner's, made when he asks for it --- */

#define CALLBACK_VIEW "c.owner_id, json_build_object('created_at', " CREATED_AT("c") ", 'old_secret_until', " OLD_SECRET_UNTIL("c") ")"

static const struct pg_stmt get_callback = {"get_callback_secret",
                                            "SELECT " CALLBACK_VIEW " FROM autodb.callback_secrets c WHERE c.owner_id = $1::uuid", 1};
static const struct pg_stmt rotate_callback = {
    "rotate_callback_secret",
    "INSERT INTO autodb.callback_secrets AS c (owner_id, secret, secret_key_id) VALUES ($1::uuid, $2::bytea, $3::text) "
    "ON CONFLICT (owner_id) DO UPDATE SET old_secret = c.secret, old_secret_key_id = c.secret_key_id, old_secret_until = now() + interval "
    "'24 hours', secret = excluded.secret, secret_key_id = excluded.secret_key_id, created_at = now() RETURNING " CALLBACK_VIEW,
    3};

static enum status on_callback(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0)
    return error_set(err, ERR_NOT_FOUND, "No secret signs your callbacks yet: POST here makes one and shows it, once.");
  reply_json(req, 200, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

static enum status get_callback_secret(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  return request_query(req, &get_callback, &params, on_callback, err);
}

static enum status on_callback_made(struct request *req, const PGresult *res, struct error *err) {
  (void)err;
  return reply_secret(req, 201, res);
}

static enum status post_callback_secret(struct request *req, struct error *err) {
  char owner[ID_TEXT];
  struct secret *secret;
  const char *context = arena_printf(req->arena, "callback:%s", id_format(&req->who.owner_id, owner));
  if (!context) return error_oom(err);
  enum status status = make_secret(req, context, &secret, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  put_secret(&params, req, secret);
  return request_query(req, &rotate_callback, &params, on_callback_made, err);
}

#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof *(table)
#define BASE "/api/v1/webhooks"
const struct route webhooks_routes[] = {
    {.method = HTTP_GET, .pattern = BASE, .handler = get_webhooks, .auth = AUTH_USER, .params = list_params},
    {.method = HTTP_POST, .pattern = BASE, .handler = post_webhook, .auth = AUTH_USER, FIELDS(create_fields)},
    {.method = HTTP_GET, .pattern = BASE "/callback-secret", .handler = get_callback_secret, .auth = AUTH_USER},
    {.method = HTTP_POST, .pattern = BASE "/callback-secret", .handler = post_callback_secret, .auth = AUTH_USER},
    {.method = HTTP_GET, .pattern = BASE "/{id}", .handler = get_webhook, .auth = AUTH_USER},
    {.method = HTTP_PATCH, .pattern = BASE "/{id}", .handler = patch_webhook, .auth = AUTH_USER, FIELDS(patch_fields)},
    {.method = HTTP_DELETE, .pattern = BASE "/{id}", .handler = delete_webhook, .auth = AUTH_USER},
    {.method = HTTP_POST, .pattern = BASE "/{id}/rotate-secret", .handler = post_rotate, .auth = AUTH_USER},
    {0},
};
