/* res_documents.c - a connection's documents: uploaded, listed, fetched back, deleted.
 *
 * A document is (connection, source, name) for as long as it exists; what is given under the same name replaces its content, and what is
 * found of it changes when the worker is done. Its chunks go with its row. */
#include <unistd.h>

#include "api/connection_ref.h"
#include "api/cursor.h"
#include "api/idempotency.h"
#include "api/jobview.h"
#include "api/offload.h"
#include "api/router.h"
#include "api/upload.h"
#include "common/docstore.h"

static enum status missing(struct error *err) { return error_set(err, ERR_NOT_FOUND, "There is no such document."); }

/* --- upload --- */

static const struct json_field upload_fields[] = {
    {.name = "files", .want = JSON_WANT_ARRAY, .required = true, .min = 1, .max = LIMIT_UPLOAD_FILES}};

#define TAKE_KEY IDEMPOTENCY_TAKE("FROM lives WHERE $14::text IS NOT NULL")
#define ACCEPT SUBMISSION_ACCEPT_PAYLOAD("work", "coalesce($10::json, work.payload)")
#define NOW SQL_TIME("now()")

/* $16…: ids for those that are new, names, types, sizes and hashes. In the order of names, so that two uploads wait for each other's rows
 * and not for ever. The payload is the worker's order: what it finds in the row may be newer. */
static const struct pg_stmt insert_documents = {
    "insert_documents",
    "WITH lives AS (SELECT c.id FROM autodb.connections c, " IDEMPOTENCY_PATIENCE
    " WHERE c.id = $3::uuid AND c.owner_id = $2::uuid AND c.deleted_at IS NULL FOR SHARE OF c), "
    "taken AS (" TAKE_KEY "), "
    "free AS (SELECT l.id FROM lives l WHERE $14::text IS NULL OR EXISTS (SELECT FROM taken)), "
    "given AS (SELECT * FROM unnest($16::uuid[], $17::text[], $18::text[], $19::int4[], $20::text[]) "
    "AS g (id, name, content_type, bytes, sha256)), "
    "stored AS (INSERT INTO autodb.documents AS d (id, owner_id, connection_id, name, source, content_type, bytes, sha256) "
    "SELECT g.id, $2::uuid, f.id, g.name, 'upload', g.content_type, g.bytes, g.sha256 FROM given g, free f ORDER BY g.name "
    "ON CONFLICT (connection_id, source, name) DO UPDATE SET content_type = CASE WHEN d.ingested_sha256 = excluded.sha256 THEN "
    "d.content_type ELSE excluded.content_type END, bytes = excluded.bytes, "
    "sha256 = excluded.sha256, status = 'pending', error = NULL, updated_at = now() RETURNING d.*), "
    "work AS (SELECT json_build_object('documents', json_agg(json_build_object('document_id', s.id, 'name', s.name, 'sha256', s.sha256, "
    "'bytes', s.bytes, 'content_type', s.content_type) ORDER BY s.name)) AS payload FROM stored s HAVING count(*) > 0), " ACCEPT
    "SELECT " NOW " FROM accepted",
    20};

static void put_documents(struct pg_params *params, const struct upload *upload) {
#define COLUMN(type, put)                               \
  pg_param_array_begin(params, type);                   \
  for (size_t i = 0; i < upload->count; i++) {          \
    const struct upload_file *file = &upload->files[i]; \
    put;                                                \
  }                                                     \
  pg_param_array_end(params)
  struct id ids[LIMIT_UPLOAD_FILES];
  for (size_t i = 0; i < upload->count; i++) id_new(&ids[i]);
  COLUMN(PG_ELEM_UUID, (void)file; pg_param_array_item(params, ids[i].bytes, sizeof ids[i].bytes));
  COLUMN(PG_ELEM_TEXT, pg_param_array_item(params, file->name, (long)strlen(file->name)));
  COLUMN(PG_ELEM_TEXT, pg_param_array_item(params, file->content_type, (long)strlen(file->content_type)));
  COLUMN(PG_ELEM_INT4, pg_param_array_int(params, (int32_t)file->spooled.bytes));
  COLUMN(PG_ELEM_TEXT, pg_param_array_item(params, file->spooled.sha256, SHA256_HEX - 1));
#undef COLUMN
}

struct ready { /* what is committed when the originals are stored */
  struct upload *upload;
  struct submission *sub;
  struct idempotency idempotency;
};

/* On a thread. */
static enum status store(struct request *req, void *arg, struct error *err) {
  struct ready *ready = arg;
  enum status status = OK;
  char path[SPOOL_PATH];
  for (size_t i = 0; status == OK && i < ready->upload->count; i++) {
    const struct spool_file *file = &ready->upload->files[i].spooled;
    status = docstore_put_file(req->loop->api->docstore, file->sha256, spool_path(file, path), err);
  }
  upload_clear(ready->upload);
  return status;
}

static enum status commit(struct request *req, void *arg, struct error *err) {
  static const struct idempotency_statement statement = {
      .stmt = &insert_documents,
      .nothing = connection_ref_missing,
      .busy = "Documents of these names are being worked on just now; nothing was accepted. Try again."};
  const struct ready *ready = arg;
  (void)req;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  submission_put(&params, ready->sub);
  idempotency_put(&params, &ready->idempotency);
  put_documents(&params, ready->upload);
  return idempotency_run(ready->sub, &ready->idempotency, &statement, &params, err);
}

static enum status take_files(struct request *req, struct upload *upload, struct error *err) {
  struct ready *ready = ARENA_NEW(req->arena, struct ready);
  if (!ready) return error_oom(err);
  ready->upload = upload;
  enum status status = upload_finish(req, err);
  if (status == OK) status = submission_new(req, "document.ingest", &req->ids[0], NULL, 0, &ready->sub, err);
  if (status == OK) status = idempotency_of(req, &ready->idempotency, err);
  return status == OK ? offload_files(req, store, commit, ready, err) : status;
}

static enum status post_upload(struct request *req, struct error *err) {
  struct upload *upload = req->state;
  enum status status = take_files(req, upload, err);
  if (status != OK) upload_clear(upload);
  return status;
}

/* --- list --- */

/* Column 0 is the id for cursors, column 1 the object. */
#define VIEW                                                                                                                            \
  "d.id, json_build_object('document_id', d.id, 'connection_id', d.connection_id, 'name', d.name, 'source', d.source, 'content_type', " \
  "d.content_type, 'bytes', d.bytes, 'sha256', d.sha256, 'status', d.status, 'chunks', d.chunks, 'error', d.error, "                    \
  "'created_at', " SQL_TIME("d.created_at") ", 'updated_at', " SQL_TIME("d.updated_at") ")"

static const char *const statuses[] = {"pending", "processing", "ready", "failed", NULL};
static const struct param list_params[] = {
    CURSOR_PARAMS, {.name = "status", .want = PARAM_TEXT, .choices = statuses}, {.name = "source", .want = PARAM_TEXT}, {0}};

/* One row without a document tells an empty list from a connection there isn't. */
static const struct pg_stmt list_documents = {
    "list_documents",
    "SELECT " VIEW " FROM autodb.connections c LEFT JOIN LATERAL (SELECT * FROM autodb.documents WHERE connection_id = c.id AND id < "
    "$3::uuid AND ($5::text IS NULL OR status = $5) AND ($6::text IS NULL OR starts_with(source, $6)) ORDER BY id DESC LIMIT $4::int4 + "
    "1) d ON true WHERE c.id = $1::uuid AND c.owner_id = $2::uuid AND c.deleted_at IS NULL ORDER BY d.id DESC",
    6};

static void put_view(struct buf *out, const PGresult *res, int row) {
  buf_append(out, PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
}

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  return cursor_reply(req, "documents", res, put_view, err);
}

static enum status get_documents(struct request *req, struct error *err) {
  struct id below;
  enum status status = cursor_read(req, "documents", &below, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &below);
  pg_param_int(&params, cursor_limit(req));
  pg_param_text(&params, request_param(req, "status", NULL));
  pg_param_text(&params, request_param(req, "source", NULL));
  return request_query(req, &list_documents, &params, on_list, err);
}

/* --- one document: /connections/{id}/documents/{document_id}, or /documents/{document_id} --- */

#define ONE                                                                                                                        \
  " WHERE d.id = $1::uuid AND d.owner_id = $2::uuid AND ($3::uuid IS NULL OR d.connection_id = $3::uuid) AND EXISTS (SELECT FROM " \
  "autodb.connections c WHERE c.id = d.connection_id AND c.deleted_at IS NULL)"

static enum status ask_for_one(struct request *req, const struct pg_stmt *stmt, request_rows rows, struct error *err) {
  bool nested = strncmp(req->route->pattern, "/api/v1/connections/", 20) == 0;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[nested ? 1 : 0]);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, nested ? &req->ids[0] : NULL);
  return request_query(req, stmt, &params, rows, err);
}

static const struct pg_stmt find_document = {"find_document", "SELECT " VIEW " FROM autodb.documents d" ONE, 3};

static enum status on_document(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  reply_json(req, 200, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

static enum status get_document(struct request *req, struct error *err) { return ask_for_one(req, &find_document, on_document, err); }

static const struct pg_stmt delete_one = {"delete_document", "DELETE FROM autodb.documents d" ONE " RETURNING id", 3};

static enum status on_deleted(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  reply_empty(req, 204);
  return OK;
}

static enum status delete_document(struct request *req, struct error *err) { return ask_for_one(req, &delete_one, on_deleted, err); }

/* --- its content --- */

static const struct pg_stmt find_original = {"find_original",
                                             "SELECT d.sha256, d.name, d.content_type, d.source FROM autodb.documents d" ONE, 3};

struct original { /* the request's state */
  const char *sha256, *name, *content_type, *source;
  int fd;
  int64_t bytes;
};

/* On a thread. */
static enum status open_original(struct request *req, void *arg, struct error *err) {
  struct original *original = arg;
  enum status status = docstore_open(req->loop->api->docstore, original->sha256, &original->fd, &original->bytes, err);
  if (status != ERR_NOT_FOUND || strcmp(original->source, "upload") == 0) return status;
  return error_set(err, ERR_NOT_FOUND, "The original is not kept here; it is %.900s.", original->source);
}

/* Never something that a browser would run: those few types that can't, else bytes. */
static const char *harmless(const char *content_type) {
  if (strncmp(content_type, "text/", 5) == 0) return "text/plain; charset=utf-8";
  if (strcmp(content_type, "application/pdf") == 0 || strcmp(content_type, "application/json") == 0) return content_type;
  return "application/octet-stream";
}

/* RFC 6266: plain names as they are, others in UTF-8 with percent escapes. */
static void name_file(struct request *req, const char *name) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  char escaped[3 * LIMIT_DOCUMENT_NAME_BYTES + 1], *out = escaped;
  for (const char *p = name; *p && out + 3 < escaped + sizeof escaped; p++)
    if (strchr(plain, *p))
      *out++ = *p;
    else
      out += snprintf(out, 4, "%%%02X", (unsigned char)*p);
  *out = '\0';
  if (name[strspn(name, plain)])
    request_header(req, "Content-Disposition", "attachment; filename*=UTF-8''%s", escaped);
  else
    request_header(req, "Content-Disposition", "attachment; filename=\"%s\"", name);
}

static enum status send_original(struct request *req, void *arg, struct error *err) {
  const struct original *original = arg;
  (void)err;
  name_file(req, original->name);
  request_header(req, "Content-Security-Policy", "default-src 'none'; sandbox");
  reply_file(req, harmless(original->content_type), original->fd, original->bytes);
  return OK;
}

static enum status on_original(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  struct original *original = ARENA_NEW(req->arena, struct original);
  if (!original) return error_oom(err);
  original->sha256 = arena_strdup(req->arena, PQgetvalue(res, 0, 0));
  original->name = arena_strdup(req->arena, PQgetvalue(res, 0, 1));
  original->content_type = arena_strdup(req->arena, PQgetvalue(res, 0, 2));
  original->source = arena_strdup(req->arena, PQgetvalue(res, 0, 3));
  if (!original->sha256 || !original->name || !original->content_type || !original->source) return error_oom(err);
  return offload_files(req, open_original, send_original, original, err);
}

static enum status get_content(struct request *req, struct error *err) { return ask_for_one(req, &find_original, on_original, err); }

#define DOCUMENTS "/api/v1/connections/{id}/documents"
#define GET(path, function) \
  { .method = HTTP_GET, .pattern = (path), .handler = (function), .auth = AUTH_USER }
const struct route documents_routes[] = {
    {.method = HTTP_POST,
     .pattern = DOCUMENTS "/upload",
     .handler = post_upload,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB,
     .body_cap = LIMIT_UPLOAD_BYTES,
     .fields = upload_fields,
     .field_count = 1,
     .upload = &upload_documents},
    {.method = HTTP_GET, .pattern = DOCUMENTS, .handler = get_documents, .auth = AUTH_USER, .params = list_params},
    GET(DOCUMENTS "/{document_id}", get_document),
    GET(DOCUMENTS "/{document_id}/content", get_content),
    {.method = HTTP_DELETE, .pattern = DOCUMENTS "/{document_id}", .handler = delete_document, .auth = AUTH_USER},
    GET("/api/v1/documents/{id}", get_document),
    GET("/api/v1/documents/{id}/content", get_content),
    {.method = HTTP_DELETE, .pattern = "/api/v1/documents/{id}", .handler = delete_document, .auth = AUTH_USER},
    {0},
};
