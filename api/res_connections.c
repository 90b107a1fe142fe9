/* res_connections.c - client databases: registered, verified, sealed, never shown again.
 *
 * A connection string is parsed and held against the network policy before anything else, kept only encrypted (bound to the row's id), and
 * erased by DELETE. What is not one owner's is 404 to another. */
#include "api/connection_aws.h"
#include "api/connection_ref.h"
#include "api/cursor.h"
#include "api/jobview.h"
#include "api/offload.h"
#include "api/router.h"
#include "common/clientdb.h"
#include "common/log.h"
#include "common/pg.h"

#define VERIFY_STATEMENT_MS 5000
#define NAMES_MAX 200 /* excluded schemas of a connection */
#define INTROSPECT_LEAST 60
#define INTROSPECT_MOST (366 * 24 * 3600)

/* Column 0 is the id for cursors, column 1 the object. */
#define VIEW                                                                                                                            \
  "c.id, json_build_object('id', c.id, 'name', c.name, 'db_type', c.db_type, 'host', c.host, 'port', c.port, 'database_name', "         \
  "c.database_name, "                                                                                                                   \
  "'excluded_schemas', to_json(c.excluded_schemas), 'is_active', c.deleted_at IS NULL, 'server_version', c.server_version, "            \
  "'capabilities', "                                                                                                                    \
  "json_build_object('hypopg', c.capabilities->'hypopg', 'pg_stat_statements', c.capabilities->'pg_stat_statements', "                  \
  "'is_superuser', c.capabilities->'is_superuser', 'can_write', c.capabilities->'can_write'), 'introspect_every', c.introspect_every, " \
  "'has_aws_credentials', c.aws_secret IS NOT NULL, "                                                                                   \
  "'created_at', " SQL_TIME("c.created_at") ", 'last_introspected_at', " SQL_TIME("c.last_introspected_at") ")"

static void put_view(struct buf *out, const PGresult *res, int row) {
  buf_append(out, PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
}

static enum status reply_view(struct request *req, int http_status, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  reply_json(req, http_status, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

/* --- what a request wants stored --- */

struct draft { /* the request's state */
  struct id id;
  struct clientdb_target target; /* target.normalized NULL: no new connection string */
  struct buf sealed;
  struct connection_aws aws;
  struct clientdb_facts facts;
  bool known;           /* facts */
  const char *excluded; /* array literal; NULL = not given */
};

static void free_sealed(void *arg) { buf_free(arg); }

static enum status take_excluded(struct request *req, struct draft *draft, struct error *err) {
  const json_t *list = json_object_get(req->body, "excluded_schemas");
  const char *names[NAMES_MAX];
  size_t count = json_array_size(list);
  if (!json_is_array(list)) return OK;
  for (size_t i = 0; i < count && i < NAMES_MAX; i++) names[i] = json_string_value(json_array_get(list, i));
  draft->excluded = pg_array_param(req->arena, names, count);
  return draft->excluded ? OK : error_oom(err);
}

/* 0 is never. */
static enum status check_every(const struct request *req, struct error *err) {
  long long every = json_int(req->body, "introspect_every", 0);
  if (every == 0 || every >= INTROSPECT_LEAST) return OK;
  return error_add_field(err, "introspect_every", "must be 0, for never, or %d to %d seconds", INTROSPECT_LEAST, INTROSPECT_MOST);
}

static enum status make_draft(struct request *req, const struct id *id, struct draft **ret_draft, struct error *err) {
  const char *connection_string = json_str(req->body, "connection_string", NULL);
  struct draft *draft = ARENA_NEW(req->arena, struct draft);
  if (!draft) return error_oom(err);
  if (check_every(req, err) != OK) return err->status;
  draft->id = *id;
  buf_init(&draft->sealed, LIMIT_HTTP_BODY_DEFAULT);
  req->state = draft;
  if (connection_string) {
    enum status status = clientdb_parse(connection_string, req->loop->api->cfg->connection_allow_unix, req->arena, &draft->target, err);
    if (status != OK) return status;
  }
  *ret_draft = draft;
  enum status taken = connection_aws_take(req, id, &draft->aws, err);
  return taken == OK ? take_excluded(req, draft, err) : taken;
}

static enum status seal(struct request *req, struct draft *draft, struct error *err) {
  char context[ID_TEXT];
  const char *plain = draft->target.normalized;
  if (arena_defer(req->arena, free_sealed, &draft->sealed) != 0) return error_oom(err);
  return keyring_seal(req->loop->api->keyring, id_format(&draft->id, context), plain, strlen(plain), &draft->sealed, err);
}

/* On a thread. */
static enum status verify(struct request *req, void *arg, struct error *err) {
  struct draft *draft = arg;
  PGCONN_AUTO conn = NULL;
  enum status status = clientdb_connect(req->loop->api->cfg, draft->target.normalized, VERIFY_STATEMENT_MS, &conn, err);
  if (status == OK) status = clientdb_probe(conn, &draft->facts, err);
  draft->known = status == OK;
  if (status != ERR_VALIDATION || err->details) return status;
  ERROR_AUTO cause = {0}; /* whatever the server did wrong, the string named it */
  error_set(&cause, status, "%s", err->message);
  error_clear(err);
  return error_add_field(err, "connection_string", "%s", cause.message);
}

/* Goes on with `store`, after connecting once unless ?verify=false. */
static enum status verify_then(struct request *req, struct draft *draft, offload_fn store, struct error *err) {
  if (!draft->target.normalized || !request_param_bool(req, "verify", true)) return store(req, draft, err);
  return offload_run(req, verify, store, draft, err);
}

/* The parameters POST and PATCH share, in the same places: $3 … $14. */
static void put_draft(struct pg_params *params, const struct request *req, const struct draft *draft) {
  const struct clientdb_target *target = &draft->target;
  bool has = target->normalized != NULL;
  pg_params_init(params);
  pg_param_uuid(params, &draft->id);
  pg_param_uuid(params, &req->who.owner_id);
  pg_param_text(params, json_str(req->body, "name", NULL));
  pg_param_text(params, has ? target->host : NULL);
  pg_param_int(params, target->port);
  pg_param_text(params, !has ? NULL : target->dbname ? target->dbname : target->user ? target->user : "");
  pg_param_text(params, draft->excluded);
  if (has)
    pg_param_bytes(params, draft->sealed.data, draft->sealed.len);
  else
    pg_param_text(params, NULL);
  pg_param_text(params, has ? keyring_current(req->loop->api->keyring) : NULL);
  pg_param_text(params, draft->known ? draft->facts.server_version : NULL);
  char *facts = !draft->known ? NULL
                              : arena_printf(req->arena, "{\"hypopg\":%s,\"pg_stat_statements\":%s,\"is_superuser\":%s,\"can_write\":%s}",
                                             draft->facts.hypopg ? "true" : "false", draft->facts.pg_stat_statements ? "true" : "false",
                                             draft->facts.is_superuser ? "true" : "false", draft->facts.can_write ? "true" : "false");
  pg_param_text(params, facts ? facts : "{}");
  connection_aws_put(params, req, &draft->aws);
}

/* --- create --- */

static const char *const db_types[] = {"postgresql", "postgresql_local", "postgresql_aws", "postgres_gcp", "supabase", "neon", "azure",
                                       NULL};
static const struct json_field create_fields[] = {
    {.name = "name", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = 200},
    {.name = "db_type", .want = JSON_WANT_STRING, .required = true, .choices = db_types},
    {.name = "connection_string", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = 8192},
    {.name = "excluded_schemas", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = NAMES_MAX},
    {.name = "introspect_every", .want = JSON_WANT_INT, .min = 0, .max = INTROSPECT_MOST},
    {.name = "aws", .want = JSON_WANT_OBJECT}};
static const struct param verify_params[] = {{.name = "verify", .want = PARAM_BOOL}, {0}};

static const struct pg_stmt insert_connection = {"insert_connection",
                                                 "INSERT INTO autodb.connections AS c (id, owner_id, name, host, port, database_name, "
                                                 "excluded_schemas, secret, secret_key_id, server_version, "
                                                 "capabilities, db_type, introspect_every, next_introspect_at, aws_secret, "
                                                 "aws_secret_key_id) VALUES ($1::uuid, $2::uuid, $3::text, $4::text, $5::int4, "
                                                 "$6::text, coalesce($7::text[], '{}'), $8::bytea, $9::text, $10::text, "
                                                 "$11::jsonb, $15::text, coalesce($16::int4, 0), autodb.next_introspection($16::int4), "
                                                 "CASE WHEN $12::text = 'true' THEN $13::bytea END, $14::text) RETURNING " VIEW,
                                                 16};

static void put_every(struct pg_params *params, const struct request *req) {
  const json_t *every = json_object_get(req->body, "introspect_every");
  if (json_is_integer(every))
    pg_param_int(params, (int32_t)json_integer_value(every));
  else
    pg_param_text(params, NULL);
}

static enum status on_created(struct request *req, const PGresult *res, struct error *err) {
  const struct draft *draft = req->state;
  char id[ID_TEXT];
  request_header(req, "Location", "/api/v1/connections/%s", id_format(&draft->id, id));
  return reply_view(req, 201, res, err);
}

static enum status create(struct request *req, void *arg, struct error *err) {
  struct draft *draft = arg;
  enum status status = seal(req, draft, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  put_draft(&params, req, draft);
  pg_param_text(&params, json_str(req->body, "db_type", NULL));
  put_every(&params, req);
  return request_query(req, &insert_connection, &params, on_created, err);
}

static enum status post_connection(struct request *req, struct error *err) {
  struct draft *draft;
  struct id id;
  id_new(&id);
  enum status status = make_draft(req, &id, &draft, err);
  return status == OK ? verify_then(req, draft, create, err) : status;
}

/* --- read --- */

static const struct pg_stmt list_connections = {"list_connections",
                                                "SELECT " VIEW " FROM autodb.connections c WHERE c.owner_id = $1::uuid AND c.deleted_at IS "
                                                "NULL AND c.id < $2::uuid ORDER BY c.id DESC LIMIT $3::int4 + 1",
                                                3};
static const struct pg_stmt get_one = {
    "get_connection", "SELECT " VIEW " FROM autodb.connections c WHERE c.id = $1::uuid AND c.owner_id = $2::uuid AND c.deleted_at IS NULL",
    2};
static const struct param list_params[] = {CURSOR_PARAMS, {0}};

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  return cursor_reply(req, "connections", res, put_view, err);
}

static enum status get_connections(struct request *req, struct error *err) {
  return cursor_query(req, "connections", &list_connections, on_list, err);
}

static enum status on_one(struct request *req, const PGresult *res, struct error *err) { return reply_view(req, 200, res, err); }

static void id_and_owner(struct pg_params *params, const struct request *req) {
  pg_params_init(params);
  pg_param_uuid(params, &req->ids[0]);
  pg_param_uuid(params, &req->who.owner_id);
}

static enum status get_connection(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &get_one, &params, on_one, err);
}

/* --- change: look first, so that nobody can have us connect somewhere under another owner's id --- */

static const struct json_field patch_fields[] = {{.name = "name", .want = JSON_WANT_STRING, .min = 1, .max = 200},
                                                 {.name = "connection_string", .want = JSON_WANT_STRING, .min = 1, .max = 8192},
                                                 {.name = "excluded_schemas", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = NAMES_MAX},
                                                 {.name = "introspect_every", .want = JSON_WANT_INT, .min = 0, .max = INTROSPECT_MOST},
                                                 {.name = "aws", .want = JSON_WANT_OBJECT}};

/* A new string without a look at its server leaves nothing known about it. */
static const struct pg_stmt update_connection = {
    "update_connection",
    "UPDATE autodb.connections c SET name = coalesce($3::text, c.name), host = coalesce($4::text, c.host), "
    "port = CASE WHEN $8::bytea IS NULL THEN c.port ELSE $5::int4 END, database_name = coalesce($6::text, c.database_name), "
    "excluded_schemas = coalesce($7::text[], c.excluded_schemas), secret = coalesce($8::bytea, c.secret), secret_key_id = "
    "coalesce($9::text, c.secret_key_id), "
    "server_version = CASE WHEN $8::bytea IS NULL THEN c.server_version ELSE $10::text END, "
    "capabilities = CASE WHEN $8::bytea IS NULL THEN c.capabilities ELSE $11::jsonb END, updated_at = now(), "
    "aws_secret = CASE WHEN $12::text = 'true' THEN $13::bytea ELSE c.aws_secret END, "
    "aws_secret_key_id = CASE WHEN $12::text = 'true' THEN $14::text ELSE c.aws_secret_key_id END, "
    "introspect_every = coalesce($15::int4, c.introspect_every), "
    "next_introspect_at = CASE WHEN $15::int4 IS NULL THEN c.next_introspect_at ELSE autodb.next_introspection($15::int4) END "
    "WHERE c.id = $1::uuid AND c.owner_id = $2::uuid AND c.deleted_at IS NULL RETURNING " VIEW,
    15};

static enum status change(struct request *req, void *arg, struct error *err) {
  struct draft *draft = arg;
  enum status status = draft->target.normalized ? seal(req, draft, err) : OK;
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  put_draft(&params, req, draft);
  put_every(&params, req);
  return request_query(req, &update_connection, &params, on_one, err);
}

static enum status on_changeable(struct request *req, const PGresult *res, struct error *err) {
  struct draft *draft;
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  enum status status = make_draft(req, &req->ids[0], &draft, err);
  return status == OK ? verify_then(req, draft, change, err) : status;
}

static enum status patch_connection(struct request *req, struct error *err) {
  if (json_object_size(req->body) == 0)
    return error_add_field(err, "body", "must hold name, connection_string, excluded_schemas, introspect_every or aws");
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &get_one, &params, on_changeable, err);
}

/* --- delete --- */

static const struct pg_stmt delete_one = {
    "delete_connection",
    "UPDATE autodb.connections SET deleted_at = now(), updated_at = now(), secret = NULL, secret_key_id = NULL, "
    "aws_secret = NULL, aws_secret_key_id = NULL "
    "WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS NULL RETURNING id",
    2};

static enum status on_deleted(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  reply_empty(req, 204);
  return OK;
}

static enum status delete_connection(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  return request_query(req, &delete_one, &params, on_deleted, err);
}

#define FIELDS(table) .fields = (table), .field_count = sizeof(table) / sizeof *(table)
const struct route connections_routes[] = {
    {.method = HTTP_GET, .pattern = "/api/v1/connections", .handler = get_connections, .auth = AUTH_USER, .params = list_params},
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections",
     .handler = post_connection,
     .auth = AUTH_USER,
     .params = verify_params,
     FIELDS(create_fields)},
    {.method = HTTP_GET, .pattern = "/api/v1/connections/{id}", .handler = get_connection, .auth = AUTH_USER},
    {.method = HTTP_PATCH,
     .pattern = "/api/v1/connections/{id}",
     .handler = patch_connection,
     .auth = AUTH_USER,
     .params = verify_params,
     FIELDS(patch_fields)},
    {.method = HTTP_DELETE, .pattern = "/api/v1/connections/{id}", .handler = delete_connection, .auth = AUTH_USER},
    {0},
};
