/* res_schema.c - a client's schema: introspect, the latest snapshot, what changed between two.
 *
 * A snapshot is stored as the JSON clients get, compressed: it is inflated on a helper thread and put into the envelope as it is. */
#include <zlib.h>

#include "api/connection_ref.h"
#include "api/offload.h"
#include "api/router.h"
#include "common/pg.h"
#include "common/schema_diff.h"

#define SCHEMAS_MAX 200

/* --- introspect --- */

static const struct param introspect_params[] = {{.name = "schemas", .want = PARAM_TEXT}, {0}};

static enum status split_schemas(const char *text, json_t *list, struct error *err) {
  while (*text) {
    size_t len = strcspn(text, ",");
    if (!len || len > 63 || json_array_size(list) == SCHEMAS_MAX)
      return error_add_field(err, "schemas", "must be up to %d schema names separated by commas", SCHEMAS_MAX);
    json_array_append_new(list, json_stringn(text, len));
    text += len;
    if (*text == ',' && !*++text) return error_add_field(err, "schemas", "ends with a comma");
  }
  return OK;
}

static enum status post_introspect(struct request *req, struct error *err) {
  const char *schemas = request_param(req, "schemas", NULL);
  json_t *payload = json_object();
  if (schemas && *schemas) {
    json_t *list = json_array();
    json_object_set_new(payload, "schemas", list);
    if (split_schemas(schemas, list, err) != OK) {
      json_decref(payload);
      return err->status;
    }
  }
  return connection_ref_submit(req, &req->ids[0], "schema.introspect", payload, err);
}

/* --- reading snapshots --- */

struct packed {
  char id[ID_TEXT];
  const void *bytes;
  size_t len;
};
struct snapshots {             /* the request's state */
  struct packed before, after; /* `schema` uses `after` alone */
  struct buf answer;
};

static enum status inflate_into(const struct packed *packed, struct buf *out, struct error *err) {
  z_stream stream = {.next_in = (Bytef *)(uintptr_t)packed->bytes, .avail_in = (uInt)packed->len};
  char chunk[64 * 1024];
  int done = inflateInit(&stream);
  while (done == Z_OK) {
    stream.next_out = (Bytef *)chunk;
    stream.avail_out = sizeof chunk;
    done = inflate(&stream, Z_NO_FLUSH);
    if ((done == Z_OK || done == Z_STREAM_END) && !buf_append(out, chunk, sizeof chunk - stream.avail_out)) done = Z_MEM_ERROR;
  }
  inflateEnd(&stream);
  if (done == Z_STREAM_END) return OK;
  return error_set(err, ERR_INTERNAL, "The stored snapshot %s is damaged; introspect the connection again.", packed->id);
}

static enum status unpack(const PGresult *res, int row, struct request *req, struct packed *ret_packed, struct error *err) {
  snprintf(ret_packed->id, sizeof ret_packed->id, "%s", PQgetvalue(res, row, 0));
  ret_packed->bytes = pg_bytes(res, row, 1, req->arena, &ret_packed->len);
  return ret_packed->bytes ? OK : error_oom(err);
}

static void free_answer(void *arg) { buf_free(arg); }

static struct snapshots *new_state(struct request *req) {
  struct snapshots *state = ARENA_NEW(req->arena, struct snapshots);
  if (!state) return NULL;
  buf_init(&state->answer, LIMIT_SNAPSHOT_BYTES);
  return arena_defer(req->arena, free_answer, &state->answer) == 0 ? state : NULL;
}

static enum status reply_answer(struct request *req, void *arg, struct error *err) {
  (void)err;
  reply_buf(req, 200, &((struct snapshots *)arg)->answer);
  return OK;
}

/* --- one snapshot --- */

/* Without a connection: no row. Without a snapshot: a row of NULLs. */
static const struct pg_stmt find_snapshot = {
    "find_snapshot",
    "SELECT s.id, s.body FROM autodb.connections c LEFT JOIN LATERAL (SELECT id, body FROM autodb.snapshots WHERE connection_id = c.id "
    "AND ($3::uuid IS NULL OR id = $3::uuid) ORDER BY id DESC LIMIT 1) s ON true WHERE c.id = $1::uuid AND c.owner_id = $2::uuid AND "
    "c.deleted_at IS NULL",
    3};
static const struct param schema_params[] = {{.name = "snapshot_id", .want = PARAM_ID}, {0}};

static enum status no_snapshot(struct error *err) {
  return error_set(err, ERR_NOT_FOUND, "There is no such snapshot of this connection; POST /connections/{id}/introspect makes one.");
}

static enum status inflate_one(struct request *req, void *arg, struct error *err) {
  struct snapshots *state = arg;
  (void)req;
  return inflate_into(&state->after, &state->answer, err);
}

static enum status on_snapshot(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  if (PQgetisnull(res, 0, 0)) return no_snapshot(err);
  struct snapshots *state = new_state(req);
  if (!state) return error_oom(err);
  enum status status = unpack(res, 0, req, &state->after, err);
  return status == OK ? offload_run(req, inflate_one, reply_answer, state, err) : status;
}

static void id_and_owner(struct pg_params *params, const struct request *req) {
  pg_params_init(params);
  pg_param_uuid(params, &req->ids[0]);
  pg_param_uuid(params, &req->who.owner_id);
}

static enum status get_schema(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  pg_param_text(&params, request_param(req, "snapshot_id", NULL));
  return request_query(req, &find_snapshot, &params, on_snapshot, err);
}

/* --- two snapshots --- */

/* `to` is the latest unless given, `from` the one before `to`. Newest first. */
static const struct pg_stmt find_pair = {
    "find_snapshot_pair",
    "WITH c AS (SELECT id FROM autodb.connections WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS NULL), "
    "newer AS (SELECT s.id FROM autodb.snapshots s JOIN c ON s.connection_id = c.id WHERE $4::uuid IS NULL OR s.id = $4::uuid ORDER BY "
    "s.id DESC LIMIT 1), "
    "older AS (SELECT s.id FROM autodb.snapshots s JOIN c ON s.connection_id = c.id WHERE CASE WHEN $3::uuid IS NULL THEN s.id < (SELECT "
    "id FROM newer) "
    "ELSE s.id = $3::uuid END ORDER BY s.id DESC LIMIT 1) "
    "SELECT s.id, s.body, c.id FROM c LEFT JOIN (SELECT 1 AS place, id FROM older UNION ALL SELECT 2, id FROM newer) pair ON true "
    "LEFT JOIN autodb.snapshots s ON s.id = pair.id ORDER BY pair.place",
    4};
static const struct param diff_params[] = {{.name = "from", .want = PARAM_ID}, {.name = "to", .want = PARAM_ID}, {0}};

static json_t *parse_snapshot(const struct packed *packed, struct error *err) {
  struct buf text;
  json_t *value = NULL;
  buf_init(&text, LIMIT_SNAPSHOT_BYTES);
  if (inflate_into(packed, &text, err) == OK && !(value = json_loadb(buf_str(&text), text.len, 0, NULL)))
    error_set(err, ERR_INTERNAL, "The stored snapshot %s is damaged; introspect the connection again.", packed->id);
  buf_free(&text);
  return value;
}

static enum status compare(struct request *req, void *arg, struct error *err) {
  struct snapshots *state = arg;
  (void)req;
  json_t *before = parse_snapshot(&state->before, err), *after = before ? parse_snapshot(&state->after, err) : NULL;
  json_t *diff = after ? schema_diff(before, after) : NULL;
  if (diff) {
    json_object_set_new(diff, "from", json_string(state->before.id));
    json_object_set_new(diff, "to", json_string(state->after.id));
    buf_put_json(&state->answer, diff);
  }
  json_decref(before);
  json_decref(after);
  json_decref(diff);
  return err->status;
}

static enum status on_pair(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  if (PQntuples(res) < 2) return error_set(err, ERR_NOT_FOUND, "There are no two such snapshots of this connection to compare.");
  struct snapshots *state = new_state(req);
  if (!state) return error_oom(err);
  enum status status = unpack(res, 0, req, &state->before, err);
  if (status == OK) status = unpack(res, 1, req, &state->after, err);
  return status == OK ? offload_run(req, compare, reply_answer, state, err) : status;
}

static enum status get_diff(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  id_and_owner(&params, req);
  pg_param_text(&params, request_param(req, "from", NULL));
  pg_param_text(&params, request_param(req, "to", NULL));
  return request_query(req, &find_pair, &params, on_pair, err);
}

const struct route schema_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/introspect",
     .handler = post_introspect,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB,
     .params = introspect_params},
    {.method = HTTP_GET, .pattern = "/api/v1/connections/{id}/schema", .handler = get_schema, .auth = AUTH_USER, .params = schema_params},
    {.method = HTTP_GET, .pattern = "/api/v1/connections/{id}/schema/diff", .handler = get_diff, .auth = AUTH_USER, .params = diff_params},
    {0},
};
