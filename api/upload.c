/* upload.c - see upload.h. Whatever ends the request, its files go with its arena. */
#include "api/upload.h"

#include "api/conn.h"
#include "api/connection_ref.h"
#include "api/multipart.h"
#include "common/utf8.h"

#define FILES_FIELD "files"
static const char *const field_names[] = {"priority", "callback_url", "metadata", "run_at", NULL};

static enum status too_large(struct error *err, const char *name) {
  return error_set(err, ERR_TOO_LARGE, "\"%s\" is larger than %d bytes, the most a document may have.", name, LIMIT_DOCUMENT_BYTES);
}

/* --- before the body --- */

static void leave(struct upload *upload) {
  if (upload->counted) spool_leave(upload->req->loop->api->spool, &upload->req->who.owner_id);
  upload->counted = false;
}

void upload_clear(struct upload *upload) {
  for (size_t i = 0; i < upload->count; i++) spool_remove(&upload->files[i].spooled);
  buf_free(&upload->text);
}

static void abandon(void *arg) {
  struct upload *upload = arg;
  leave(upload);
  upload_clear(upload);
}

static const struct pg_stmt find_connection = {
    "upload_connection", "SELECT 1 FROM autodb.connections WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS NULL", 2};

static enum status on_connection(struct request *req, const PGresult *res, struct error *err) {
  struct upload *upload = req->state;
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  enum status status = spool_enter(req->loop->api->spool, &req->who.owner_id, err);
  if (status != OK) return status;
  upload->counted = true;
  conn_admitted(req->conn);
  return OK;
}

static const struct multipart_sink sink;

static enum status admit(struct request *req, struct error *err) {
  struct upload *upload = ARENA_NEW(req->arena, struct upload);
  if (!upload) return error_oom(err);
  upload->req = req;
  buf_init(&upload->text, LIMIT_UPLOAD_FIELD_BYTES);
  if (arena_defer(req->arena, abandon, upload) != 0 || !(upload->fields = arena_json(req->arena, json_object()))) return error_oom(err);
  req->state = upload;
  enum status status = multipart_new(req->arena, http_header(req->http, "content-type"), &sink, upload, &upload->multipart, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  return request_query(req, &find_connection, &params, on_connection, err);
}

/* --- a part that is no file --- */

static enum status begin_field(struct upload *upload, const char *name, struct error *err) {
  size_t i = 0;
  while (field_names[i] && strcmp(field_names[i], name) != 0) i++;
  if (!field_names[i]) return error_add_field(err, name, "is not a field of this form: files go into \"" FILES_FIELD "\"");
  if (json_object_get(upload->fields, name)) return error_add_field(err, name, "is given twice");
  upload->field = field_names[i];
  buf_reset(&upload->text);
  return OK;
}

static enum status end_field(struct upload *upload, struct error *err) {
  json_t *value = NULL;
  if (strcmp(upload->field, "metadata") == 0) {
    if (json_parse(buf_str(&upload->text), upload->text.len, &value, err) != OK) {
      error_clear(err);
      return error_add_field(err, upload->field, "must be a JSON object");
    }
  } else if (!(value = json_stringn(buf_str(&upload->text), upload->text.len))) {
    return error_add_field(err, upload->field, "must be UTF-8 text");
  }
  return json_object_set_new(upload->fields, upload->field, value) == 0 ? OK : error_oom(err);
}

/* --- a file --- */

static enum status check_name(const struct upload *upload, const char *name, struct error *err) {
  if (!name || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return error_add_field(err, FILES_FIELD, "each file must have a name (filename=\"…\")");
  if (strlen(name) > LIMIT_DOCUMENT_NAME_BYTES)
    return error_add_field(err, FILES_FIELD, "the name of a file must be at most %d bytes", LIMIT_DOCUMENT_NAME_BYTES);
  for (size_t i = 0; i < upload->count; i++)
    if (strcmp(upload->files[i].name, name) == 0) return error_add_field(err, FILES_FIELD, "\"%s\" is given twice", name);
  return OK;
}

/* What the client calls it, when that is a media type; the worker looks at the content. */
static const char *media_type(struct arena *arena, const char *said) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-/";
  size_t len = strspn(said, allowed);
  const char *slash = memchr(said, '/', len);
  bool whole = !said[len] || said[len] == ';' || said[len] == ' ';
  if (!whole || !slash || slash == said || slash == said + len - 1 || len > 127) return "application/octet-stream";
  return arena_strndup(arena, said, len);
}

static enum status begin_file(struct upload *upload, const struct multipart_part *part, struct error *err) {
  struct arena *arena = upload->req->arena;
  enum status status = check_name(upload, part->filename, err);
  if (status != OK) return status;
  if (upload->count == LIMIT_UPLOAD_FILES)
    return error_set(err, ERR_TOO_LARGE, "More than %d files in one upload; send them in several.", LIMIT_UPLOAD_FILES);
  struct upload_file *file = &upload->files[upload->count];
  file->name = arena_strdup(arena, part->filename);
  file->content_type = media_type(arena, part->content_type);
  if (!file->name || !file->content_type) return error_oom(err);
  status = spool_create(upload->req->loop->api->spool, &file->spooled, err);
  if (status == OK) upload->count++;
  upload->field = NULL;
  return status;
}

/* --- parts --- */

static enum status on_begin(void *arg, const struct multipart_part *part, struct error *err) {
  bool is_file = part->filename || strcmp(part->name, FILES_FIELD) == 0;
  if (is_file && strcmp(part->name, FILES_FIELD) != 0) return error_add_field(err, part->name, "must be \"" FILES_FIELD "\" for a file");
  return is_file ? begin_file(arg, part, err) : begin_field(arg, part->name, err);
}

static enum status on_data(void *arg, const char *data, size_t len, struct error *err) {
  struct upload *upload = arg;
  if (!upload->field) {
    struct upload_file *file = &upload->files[upload->count - 1];
    if (file->spooled.bytes + (int64_t)len > LIMIT_DOCUMENT_BYTES) return too_large(err, file->name);
    return spool_write(&file->spooled, data, len, err);
  }
  if (upload->text.len + len > LIMIT_UPLOAD_FIELD_BYTES)
    return error_set(err, ERR_TOO_LARGE, "The form field %s is larger than %d bytes.", upload->field, LIMIT_UPLOAD_FIELD_BYTES);
  return buf_append(&upload->text, data, len) ? OK : error_oom(err);
}

static enum status on_end(void *arg, struct error *err) {
  struct upload *upload = arg;
  if (upload->field) return end_field(upload, err);
  spool_close(&upload->files[upload->count - 1].spooled);
  return OK;
}

static const struct multipart_sink sink = {.begin = on_begin, .data = on_data, .end = on_end};

/* Those that failed don't count on while they linger. */
static enum status take(struct request *req, const char *data, size_t len, struct error *err) {
  struct upload *upload = req->state;
  enum status status = multipart_feed(upload->multipart, data, len, err);
  if (status != OK) abandon(upload);
  return status;
}

const struct route_upload upload_documents = {.admit = admit, .take = take};

/* --- after the body --- */

static json_t *describe(const struct upload *upload) {
  json_t *list = json_array();
  for (size_t i = 0; i < upload->count; i++) {
    const struct upload_file *file = &upload->files[i];
    json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s}", "name", file->name, "content_type", file->content_type, "bytes",
                                          (json_int_t)file->spooled.bytes, "sha256", file->spooled.sha256));
  }
  return list;
}

enum status upload_finish(struct request *req, struct error *err) {
  struct upload *upload = req->state;
  leave(upload);
  enum status status = multipart_finish(upload->multipart, err);
  if (status != OK) return status;
  if (upload->count == 0) return error_add_field(err, FILES_FIELD, "at least one file is needed");
  req->body = upload->fields;
  if (json_object_set_new(req->body, FILES_FIELD, describe(upload)) != 0) return error_oom(err);
  return request_check_body(req, err);
}
