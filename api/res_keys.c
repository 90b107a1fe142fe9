/* res_keys.c - API keys (admins only) and what an owner has used. */
#include "api/auth.h"
#include "api/cursor.h"
#include "api/jobview.h"
#include "api/router.h"

/* Column 0 is the id for cursors, column 1 the object, without its closing brace so that a new key can be told. */
#define VIEW                                                                                                                               \
  "k.id, json_build_object('id', k.id, 'name', k.name, 'prefix', k.prefix, 'role', k.role, 'owner', o.name, 'created_at', " SQL_TIME(      \
      "k.created_at") ", 'expires_at', " SQL_TIME("k.expires_at") ", 'revoked_at', " SQL_TIME("k.revoked_at") ", "                         \
                                                                                                              "'last_used_at', " SQL_TIME( \
                                                                                                                  "k.last_used_at") ")"

/* --- create --- */

static const char *const roles[] = {"admin", "user", NULL};
static const struct json_field create_fields[] = {{.name = "name", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = 200},
                                                  {.name = "role", .want = JSON_WANT_STRING, .required = true, .choices = roles},
                                                  {.name = "owner", .want = JSON_WANT_STRING, .min = 1, .max = 200},
                                                  {.name = "expires_at", .want = JSON_WANT_STRING, .min = 10, .max = 40}};

/* The owner is made when it is new; without one the key is for the asking key's owner. */
static const struct pg_stmt insert_key = {
    "insert_key",
    "WITH named AS (INSERT INTO autodb.owners (id, name) SELECT $2::uuid, $3::text WHERE $3::text IS NOT NULL AND ($9::timestamptz IS NULL "
    "OR $9::timestamptz > now()) "
    "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id, name), "
    "o AS (SELECT id, name FROM named UNION ALL SELECT id, name FROM autodb.owners WHERE id = $4::uuid AND $3::text IS NULL), "
    "k AS (INSERT INTO autodb.api_keys (id, owner_id, name, role, prefix, key_hash, expires_at) "
    "SELECT $1::uuid, o.id, $5::text, $6::text, $7::text, $8::bytea, $9::timestamptz FROM o WHERE $9::timestamptz IS NULL OR "
    "$9::timestamptz > now() RETURNING *) "
    "SELECT " VIEW " FROM k JOIN o ON o.id = k.owner_id",
    9};

static enum status on_created(struct request *req, const PGresult *res, struct error *err) {
  const char *key = req->state;
  if (PQntuples(res) == 0) return error_add_field(err, "expires_at", "must be in the future");
  struct buf data;
  buf_init(&data, LIMIT_HTTP_BODY_DEFAULT);
  buf_printf(&data, "{\"key\": \"%s\", ", key);
  buf_puts(&data, PQgetvalue(res, 0, 1) + 1); /* past its opening brace */
  reply_buf(req, 201, &data);
  return OK;
}

static enum status post_key(struct request *req, struct error *err) {
  const char *expires_at = json_str(req->body, "expires_at", NULL);
  if (expires_at && !request_is_time(expires_at))
    return error_add_field(err, "expires_at", "must be an RFC 3339 time such as 2027-01-31T12:00:00Z");
  char *key = arena_alloc(req->arena, AUTH_KEY_TEXT);
  uint8_t hash[SHA256_BYTES];
  struct id key_id, owner_id;
  if (!key) return error_oom(err);
  auth_make_key(key, hash);
  id_new(&key_id);
  id_new(&owner_id);
  req->state = key;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &key_id);
  pg_param_uuid(&params, &owner_id);
  pg_param_text(&params, json_str(req->body, "owner", NULL));
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_text(&params, json_str(req->body, "name", NULL));
  pg_param_text(&params, json_str(req->body, "role", NULL));
  pg_param_textn(&params, key, AUTH_SHOWN_PREFIX);
  pg_param_bytes(&params, hash, sizeof hash);
  pg_param_text(&params, expires_at);
  return request_query(req, &insert_key, &params, on_created, err);
}

/* --- list and revoke --- */

static const struct pg_stmt list_keys = {
    "list_keys",
    "SELECT " VIEW
    " FROM autodb.api_keys k JOIN autodb.owners o ON o.id = k.owner_id WHERE k.id < $1::uuid ORDER BY k.id DESC LIMIT $2::int4 + 1",
    2};
static const struct param list_params[] = {CURSOR_PARAMS, {0}};

static void put_view(struct buf *out, const PGresult *res, int row) {
  buf_append(out, PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
}

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  return cursor_reply(req, "keys", res, put_view, err);
}

static enum status get_keys(struct request *req, struct error *err) {
  struct id below;
  enum status status = cursor_read(req, "keys", &below, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &below);
  pg_param_int(&params, cursor_limit(req));
  return request_query(req, &list_keys, &params, on_list, err);
}

static const struct pg_stmt revoke_key = {
    "revoke_key", "UPDATE autodb.api_keys SET revoked_at = now() WHERE id = $1::uuid AND revoked_at IS NULL RETURNING id", 1};

static enum status on_revoked(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "There is no such key, or it is revoked already.");
  atomic_fetch_add(&req->loop->api->keys_epoch, 1);
  reply_empty(req, 204);
  return OK;
}

static enum status delete_key(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  return request_query(req, &revoke_key, &params, on_revoked, err);
}

/* --- usage --- */

#define USAGE_DAYS 30
static const struct param usage_params[] = {{.name = "days", .want = PARAM_INT, .min = 1, .max = 365}, {0}};
static const struct pg_stmt usage = {
    "usage",
    "SELECT coalesce(json_agg(json_build_object('date', day, 'jobs', coalesce(jobs, '[]'), 'llm_tokens', json_build_object('input', "
    "coalesce(input, 0), 'output', coalesce(output, 0), 'calls', coalesce(calls, 0), 'by_model', coalesce(models, '[]'))) ORDER BY day "
    "DESC), '[]') FROM ("
    "SELECT day, json_agg(json_build_object('kind', kind, 'status', state, 'count', n, 'seconds', round(seconds::numeric, 3)) ORDER BY "
    "kind, state) AS jobs FROM ("
    "SELECT (created_at AT TIME ZONE 'UTC')::date AS day, kind, state, count(*) AS n, coalesce(sum(extract(epoch FROM finished_at - "
    "started_at)), 0) AS seconds "
    "FROM autodb.job_states WHERE owner_id = $1::uuid AND id >= autodb.uuid7_floor(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME "
    "ZONE "
    "'UTC' - ($2::int4 - 1) * interval '1 day') "
    "GROUP BY 1, 2, 3) AS counted GROUP BY day) AS days FULL JOIN (SELECT day, sum(input_tokens)::bigint AS input, "
    "sum(output_tokens)::bigint AS output, "
    "sum(calls)::bigint AS calls, json_agg(json_build_object('kind', purpose, 'model', model, 'calls', calls, 'input', input_tokens, "
    "'output', "
    "output_tokens) ORDER BY purpose, model) AS models FROM autodb.model_usage WHERE owner_id = $1::uuid AND day > (now() AT TIME ZONE "
    "'UTC')::date "
    "- $2::int4 GROUP BY day) AS model USING (day)",
    2};

static enum status on_usage(struct request *req, const PGresult *res, struct error *err) {
  (void)err;
  struct buf data;
  buf_init(&data, LIMIT_RESULT_BYTES);
  buf_puts(&data, "{\"days\": ");
  buf_puts(&data, PQgetvalue(res, 0, 0));
  buf_putc(&data, '}');
  reply_buf(req, 200, &data);
  return OK;
}

static enum status get_usage(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_int(&params, (int)request_param_int(req, "days", USAGE_DAYS));
  return request_query(req, &usage, &params, on_usage, err);
}

#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof *(table)
const struct route keys_routes[] = {
    {.method = HTTP_GET, .pattern = "/api/v1/api-keys", .handler = get_keys, .auth = AUTH_ADMIN, .params = list_params},
    {.method = HTTP_POST, .pattern = "/api/v1/api-keys", .handler = post_key, .auth = AUTH_ADMIN, FIELDS(create_fields)},
    {.method = HTTP_DELETE, .pattern = "/api/v1/api-keys/{id}", .handler = delete_key, .auth = AUTH_ADMIN},
    {.method = HTTP_GET, .pattern = "/api/v1/usage", .handler = get_usage, .auth = AUTH_USER, .params = usage_params},
    {0},
};
