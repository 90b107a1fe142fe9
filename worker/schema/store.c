/* store.c - snapshots and connections in AutoDB's own database.
 *
 * Every read names the job's owner as well as its connection, so a job can't reach into another tenant's rows. A snapshot row is written
 * once and never changed; an introspection adds one even when nothing changed, because the statistics in it did. Old ones go, except those
 * an approval refers to. Bodies and dumps are zlib data; inflating is bounded. */
#include "worker/schema/store.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/id.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/schema/changed.h"
#include "worker/schema/introspect.h"
#include "worker/schema/kept.h"

/* ---- zlib ---- */

/* Appends to `out`, whose maximum bounds it. */
static enum status inflate_into(struct buf *out, const void *data, size_t len, struct error *err) {
  z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
  int result = len <= UINT_MAX ? inflateInit(&stream) : Z_MEM_ERROR;
  char chunk[32 * 1024];
  while (result == Z_OK) {
    stream.next_out = (Bytef *)chunk;
    stream.avail_out = sizeof chunk;
    result = inflate(&stream, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END) break;
    if (!buf_append(out, chunk, sizeof chunk - stream.avail_out)) result = Z_MEM_ERROR;
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END
             ? OK
             : error_set(err, ERR_INTERNAL, "the stored snapshot is damaged or too large: introspect the connection again");
}

enum status store_inflate(const void *packed, size_t len, struct arena *arena, const char **ret_sql, struct error *err) {
  BUF_AUTO text = {0};
  buf_init(&text, LIMIT_DUMP_BYTES);
  enum status status = inflate_into(&text, packed, len, err);
  if (status) return status;
  const char *sql = arena_strndup(arena, buf_str(&text), text.len);
  if (!sql) return error_oom(err);
  *ret_sql = sql;
  return OK;
}

struct deflater {
  z_stream stream;
  struct buf out;
};

static int deflate_more(struct deflater *deflater, const char *text, size_t len, int flush) {
  char chunk[32 * 1024];
  deflater->stream.next_in = (Bytef *)(uintptr_t)text;
  deflater->stream.avail_in = (uInt)len;
  do {
    deflater->stream.next_out = (Bytef *)chunk;
    deflater->stream.avail_out = sizeof chunk;
    if (deflate(&deflater->stream, flush) == Z_STREAM_ERROR) return -1;
    if (!buf_append(&deflater->out, chunk, sizeof chunk - deflater->stream.avail_out)) return -1;
  } while (deflater->stream.avail_out == 0);
  return 0;
}

static int deflate_json(const char *text, size_t len, void *deflater) { return deflate_more(deflater, text, len, Z_NO_FLUSH); }

/* JSON is compressed as it is printed: its text, tens of megabytes for a large schema, never exists. */
static enum status pack_json(const json_t *json, struct arena *arena, const char **ret_param, struct error *err) {
  struct deflater deflater = {0};
  buf_init(&deflater.out, LIMIT_SNAPSHOT_BYTES);
  bool ok = deflateInit(&deflater.stream, 4) == Z_OK && json_dump_callback(json, deflate_json, &deflater, JSON_COMPACT) == 0 &&
            deflate_more(&deflater, NULL, 0, Z_FINISH) == 0;
  deflateEnd(&deflater.stream);
  const char *param = ok ? pg_bytea_param(arena, deflater.out.data, deflater.out.len) : NULL;
  buf_free(&deflater.out);
  if (!param) return error_oom(err);
  *ret_param = param;
  return OK;
}

/* ---- connections ---- */

static const char connection_sql[] = "SELECT secret, secret_key_id, array_to_json(excluded_schemas) FROM autodb.connections "
                                     "WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL AND secret IS NOT NULL";

static enum status require_connection(const struct job *job, struct error *err) {
  return job->connection_id ? OK : error_set(err, ERR_INTERNAL, "the job names no connection");
}

enum status store_connection_string(struct job *job, const char **ret_string, char **ret_excluded_schemas_json, struct error *err) {
  const char *const params[] = {job->connection_id, job->owner_id};
  PGRESULT_AUTO res = NULL;
  enum status status = require_connection(job, err);
  if (status || (status = pg_query(job->db, connection_sql, 2, params, &res, err))) return status;
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  size_t len = 0;
  void *blob = pg_bytes(res, 0, 0, job->arena, &len);
  char *excluded = arena_strdup(job->arena, pg_str(res, 0, 2));
  BUF_AUTO plain = {0};
  buf_init(&plain, 64 * 1024);
  if (!blob || !excluded) return error_oom(err);
  if ((status = keyring_open(job->keyring, pg_str(res, 0, 1), job->connection_id, blob, len, &plain, err))) return status;
  char *string = arena_strndup(job->arena, buf_str(&plain), plain.len);
  OPENSSL_cleanse(plain.data, plain.len);
  if (!string) return error_oom(err);
  *ret_string = string;
  *ret_excluded_schemas_json = excluded;
  return OK;
}

/* ---- reading snapshots ---- */

static const char latest_sql[] =
    "SELECT k.key, CASE WHEN k.key <> $4 THEN s.body END FROM autodb.snapshots s JOIN autodb.connections c ON c.id = s.connection_id, "
    "LATERAL (SELECT s.id::text || ' ' || s.xmin::text AS key) k "
    "WHERE s.connection_id = $1 AND c.owner_id = $2 AND ($3::uuid IS NULL OR s.id = $3::uuid) ORDER BY s.id DESC LIMIT 1";
static const char dump_sql[] = "SELECT s.dump, s.dump_error FROM autodb.snapshots s JOIN autodb.connections c ON c.id = s.connection_id "
                               "WHERE s.connection_id = $1 AND c.owner_id = $2 AND s.id = $3::uuid";

/* `known`: the parameter a statement may have besides. */
static enum status query_snapshot(struct job *job, const char *sql, const char *snapshot_id, const char *known, PGresult **ret_res,
                                  struct error *err) {
  const char *const params[] = {job->connection_id, job->owner_id, snapshot_id, known};
  PGRESULT_AUTO res = NULL;
  enum status status = require_connection(job, err);
  if (status || (status = pg_query(job->db, sql, known ? 4 : 3, params, &res, err))) return status;
  if (PQntuples(res) == 0)
    return snapshot_id
               ? error_set_code(err, ERR_NOT_FOUND, "NO_SNAPSHOT", "there is no snapshot %s of this connection (any more)", snapshot_id)
               : error_set_code(err, ERR_NOT_FOUND, "NO_SNAPSHOT", "the connection was never introspected");
  *ret_res = res;
  res = NULL;
  return OK;
}

/* Column `col` of the row, inflated. */
static enum status unpack(struct job *job, const PGresult *res, int col, struct buf *out, struct error *err) {
  size_t len = 0;
  void *packed = pg_bytes(res, 0, col, job->arena, &len);
  return packed ? inflate_into(out, packed, len, err) : error_oom(err);
}

enum status store_latest(struct job *job, const char *snapshot_id, struct snapshot **ret_snapshot, struct error *err) {
  PGRESULT_AUTO res = NULL;
  BUF_AUTO text = {0};
  buf_init(&text, LIMIT_SNAPSHOT_BYTES);
  enum status status = query_snapshot(job, latest_sql, snapshot_id, kept_key(), &res, err);
  if (status) return status;
  if (PQgetisnull(res, 0, 1)) return (*ret_snapshot = kept_take(pg_str(res, 0, 0), job->arena)) ? OK : error_oom(err);
  if ((status = unpack(job, res, 1, &text, err))) return status;
  json_t *json = json_loadb(buf_str(&text), text.len, 0, NULL);
  if (!json) return error_set(err, ERR_INTERNAL, "the stored snapshot is damaged: introspect the connection again");
  return kept_load(pg_str(res, 0, 0), json, text.len, job->arena, ret_snapshot, err);
}

enum status store_dump(struct job *job, const char *snapshot_id, const char **ret_sql, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = query_snapshot(job, dump_sql, snapshot_id, NULL, &res, err);
  if (status) return status;
  if (PQgetisnull(res, 0, 0))
    return error_set_code(err, ERR_NOT_FOUND, "NO_DUMP", "the snapshot has no schema dump: %s",
                          pg_str(res, 0, 1) ? pg_str(res, 0, 1) : "unknown reason");
  size_t len = 0;
  const void *packed = pg_bytes(res, 0, 0, job->arena, &len);
  return packed ? store_inflate(packed, len, job->arena, ret_sql, err) : error_oom(err);
}

/* ---- writing ---- */

/* The row, what the connection shows, and what webhooks are to be told, in one statement; gives back the fingerprint that was the latest
 * before. */
static const char insert_sql[] =
    "WITH before AS (SELECT fingerprint FROM autodb.snapshots WHERE connection_id = $2 ORDER BY id DESC LIMIT 1), "
    "seen AS (UPDATE autodb.connections SET last_introspected_at = now(), server_version = $4, capabilities = $9::jsonb "
    "  WHERE id = $2 AND owner_id = $10 AND deleted_at IS NULL RETURNING id), "
    "told AS (INSERT INTO autodb.deliveries (id, job_id, owner_id, webhook_id, url, event, data) "
    "  SELECT $1::uuid::text || '_schema_changed_' || w.id, $12::uuid, w.owner_id, w.id, w.url, 'schema.changed', $13::json "
    "  FROM seen, autodb.webhooks w WHERE $13::json IS NOT NULL AND (SELECT fingerprint FROM before) <> $3 AND w.owner_id = $10 "
    "  AND w.deleted_at IS NULL AND w.disabled_at IS NULL AND 'schema.changed' = ANY (w.events) "
    "  AND (w.kinds = '{}' OR 'schema.introspect' = ANY (w.kinds))) "
    "INSERT INTO autodb.snapshots (id, connection_id, fingerprint, server_version, server_version_num, table_count, body, dump, "
    "dump_error) "
    "SELECT $1, seen.id, $3, $4, $5, $6, $7, $8, $11 FROM seen RETURNING (SELECT fingerprint FROM before)";
static const char prune_sql[] =
    "DELETE FROM autodb.snapshots s WHERE s.connection_id = $1 AND s.id < (SELECT id FROM autodb.snapshots WHERE connection_id = $1 "
    "  ORDER BY id DESC OFFSET $2::integer - 1 LIMIT 1) AND NOT EXISTS (SELECT FROM autodb.approvals a WHERE a.snapshot_id = s.id)";

/* Not worth failing for: an approval may have taken hold of one just now, and the next introspection prunes again. */
static void prune(struct job *job) {
  char keep[16];
  snprintf(keep, sizeof keep, "%d", LIMIT_SNAPSHOTS_KEPT);
  const char *const params[] = {job->connection_id, keep};
  ERROR_AUTO err = {0};
  if (pg_exec(job->db, prune_sql, 2, params, &err)) log_event(LOG_WARN, "old snapshots not pruned", "reason", err.message, NULL);
}

static char *capabilities_of(const struct clientdb_facts *facts, struct arena *arena) {
#define TRUTH(value) ((value) ? "true" : "false")
  return arena_printf(arena, "{\"hypopg\":%s,\"pg_stat_statements\":%s,\"is_superuser\":%s,\"can_write\":%s}", TRUTH(facts->hypopg),
                      TRUTH(facts->pg_stat_statements), TRUTH(facts->is_superuser), TRUTH(facts->can_write));
#undef TRUTH
}

static enum status insert(struct job *job, const struct introspection *taken, const char *id, bool *ret_changed, struct error *err) {
  const json_t *json = taken->json;
  const char *fingerprint = json_str(json, "fingerprint", ""), *body = NULL, *news = NULL;
  char version_num[16], tables[16];
  snprintf(version_num, sizeof version_num, "%d", taken->facts.server_version_num);
  snprintf(tables, sizeof tables, "%zu", json_array_size(json_object_get(json, "tables")));
  enum status status = pack_json(json, job->arena, &body, err);
  if (!status) status = changed_data(job, json, &news, err);
  if (status) return status;
  const char *dump = taken->dump ? pg_bytea_param(job->arena, taken->dump, taken->dump_len) : NULL;
  const char *capabilities = capabilities_of(&taken->facts, job->arena);
  if (!capabilities || (taken->dump && !dump)) return error_oom(err);
  const char *const params[] = {id,   job->connection_id, fingerprint,   taken->facts.server_version, version_num, tables, body,
                                dump, capabilities,       job->owner_id, taken->dump_error,           job->id,     news};
  PGRESULT_AUTO res = NULL;
  if ((status = pg_query(job->db, insert_sql, 13, params, &res, err))) return status;
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  const char *before = pg_str(res, 0, 0);
  *ret_changed = !before || strcmp(before, fingerprint) != 0;
  return OK;
}

enum status store_refresh(struct job *job, const char *schemas_csv, struct snapshot **ret_snapshot, bool *ret_changed, struct error *err) {
  struct introspection taken;
  enum status status = introspect_take(job, schemas_csv, &taken, err);
  if (status) return status;
  struct id id;
  char text[ID_TEXT];
  id_new(&id);
  json_set_str(taken.json, "snapshot_id", id_format(&id, text));
  job_progress(job, 95, "store", NULL);
  struct snapshot *snapshot = NULL;
  bool changed = false;
  if ((status = snapshot_load(taken.json, job->arena, &snapshot, err)) || (status = insert(job, &taken, text, &changed, err)))
    return status;
  prune(job);
  *ret_snapshot = snapshot;
  *ret_changed = changed;
  return OK;
}

enum status store_current(struct job *job, struct snapshot **ret_snapshot, struct error *err) {
  ERROR_AUTO missing = {0};
  enum status status = store_latest(job, NULL, ret_snapshot, &missing);
  if (status != ERR_NOT_FOUND || strcmp(missing.code, "NO_SNAPSHOT") != 0)
    return status ? error_set_code(err, status, missing.code, "%s", missing.message) : OK;
  bool changed = false;
  job_progress(job, 5, "introspect", "reading the schema");
  return store_refresh(job, NULL, ret_snapshot, &changed, err);
}
