/* s3_source.c - see s3_source.h. The endpoint was checked when the job was accepted, and is checked again: the setting may have changed. */
#include "worker/context/s3_source.h"

#include "common/json.h"
#include "common/limits.h"
#include "common/netpolicy.h"
#include "common/pg.h"
#include "worker/context/glob.h"

static const char secret_sql[] =
    "SELECT aws_secret, aws_secret_key_id FROM autodb.connections WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL";

/* --- endpoints --- */

static const char *without_slashes(struct arena *arena, const char *url, size_t len) {
  while (len && (url[len - 1] == '/' || url[len - 1] == ' ')) len--;
  return arena_strndup(arena, url, len);
}

static bool is_listed(struct arena *arena, const char *list, const char *url) {
  for (size_t len; *list; list += len, list += *list == ',') {
    list += strspn(list, " ");
    len = strcspn(list, ",");
    const char *item = without_slashes(arena, list, len);
    if (item && *item && strcmp(item, url) == 0) return true;
  }
  return false;
}

static enum status take_endpoint(struct job *job, struct s3_source *source, struct error *err) {
  const char *asked = json_str(job->payload, "endpoint_url", NULL), *own = job->cfg->s3_endpoint;
  if (asked && !(asked = without_slashes(job->arena, asked, strlen(asked)))) return error_oom(err);
  if (asked && strcmp(asked, own) != 0 && !is_listed(job->arena, job->cfg->s3_allow_endpoints, asked))
    return error_set(err, ERR_FORBIDDEN, "endpoint_url must be one that AUTODB_S3_ALLOW_ENDPOINTS of this installation names");
  source->endpoint = asked ? asked : *own ? without_slashes(job->arena, own, strlen(own)) : NULL;
  return OK;
}

static void free_policy(void *policy) { netpolicy_free(policy); }

/* Names under amazonaws.com are made of what a request says: none of them may lead inside. */
static enum status take_policy(struct job *job, struct s3_source *source, struct error *err) {
  if (source->endpoint) return OK;
  enum status status = netpolicy_new("", "", true, &source->policy, err);
  if (!status && arena_defer(job->arena, free_policy, source->policy) != 0) {
    netpolicy_free(source->policy);
    return error_oom(err);
  }
  return status;
}

/* --- who reads --- */

static void free_secret(void *plain) {
  struct buf *buf = plain;
  if (buf->data) explicit_bzero(buf->data, buf->cap);
  buf_free(buf);
}

static enum status open_secret(struct job *job, const PGresult *res, struct buf *plain, struct error *err) {
  size_t len = 0;
  const void *blob = pg_bytes(res, 0, 0, job->arena, &len);
  const char *context = arena_printf(job->arena, "aws:%s", job->connection_id);
  if (!blob || !context) return error_oom(err);
  if (!job->keyring) return error_set(err, ERR_INTERNAL, "AUTODB_MASTER_KEY is not set: the connection's AWS keys can't be opened");
  return keyring_open(job->keyring, pg_str(res, 0, 1), context, blob, len, plain, err);
}

static enum status take_identity(struct job *job, struct s3_source *source, struct error *err) {
  const char *const params[] = {job->connection_id, job->owner_id};
  struct buf *plain = ARENA_NEW(job->arena, struct buf);
  struct aws_identity *identity = ARENA_NEW(job->arena, struct aws_identity);
  PGRESULT_AUTO res = NULL;
  if (!plain || !identity || arena_defer(job->arena, free_secret, plain) != 0) return error_oom(err);
  enum status status = pg_query(job->db, secret_sql, 2, params, &res, err);
  if (status) return status;
  if (!PQntuples(res)) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  if (PQgetisnull(res, 0, 0)) return OK;
  buf_init(plain, LIMIT_HTTP_BODY_DEFAULT);
  if ((status = open_secret(job, res, plain, err))) return status;
  const json_t *given = arena_json(job->arena, json_loadb(plain->data, plain->len, 0, NULL));
  *identity = (struct aws_identity){json_str(given, "access_key_id", NULL), json_str(given, "secret_access_key", NULL),
                                    json_str(given, "session_token", NULL), json_str(given, "role_arn", NULL),
                                    json_str(given, "external_id", NULL)};
  source->identity = identity;
  return OK;
}

/* --- the whole --- */

enum status s3_source_read(struct job *job, struct s3_source *ret_source, struct error *err) {
  const json_t *payload = job->payload;
  struct s3_source source = {.bucket = json_str(payload, "bucket", ""),
                             .prefix = json_str(payload, "prefix", ""),
                             .region = json_str(payload, "region", NULL),
                             .include = json_object_get(payload, "include"),
                             .exclude = json_object_get(payload, "exclude"),
                             .delete_missing = json_bool(payload, "delete_missing", false),
                             .requester_pays = json_bool(payload, "requester_pays", false)};
  if (!job->connection_id) return error_set(err, ERR_VALIDATION, "objects are ingested for a connection");
  source.origin = arena_printf(job->arena, "s3://%s/", source.bucket);
  if (!source.origin) return error_oom(err);
  enum status status = take_endpoint(job, &source, err);
  if (!status) status = take_policy(job, &source, err);
  if (!status) status = take_identity(job, &source, err);
  if (!status) *ret_source = source;
  return status;
}

enum status s3_source_open(const struct s3_source *source, const char *region, struct s3 **ret_s3, struct error *err) {
  const struct s3_options options = {.bucket = source->bucket,
                                     .endpoint = source->endpoint,
                                     .region = region ? region : source->region,
                                     .requester_pays = source->requester_pays,
                                     .identity = source->identity,
                                     .policy = source->policy};
  return s3_new(&options, ret_s3, err);
}

static bool matches_any(const json_t *patterns, const char *key) {
  for (size_t i = 0; i < json_array_size(patterns); i++) {
    const char *pattern = json_string_value(json_array_get(patterns, i));
    if (pattern && glob_match(pattern, key)) return true;
  }
  return false;
}

bool s3_source_wants(const struct s3_source *source, const char *key, int64_t bytes) {
  size_t len = strlen(key), prefix = strlen(source->prefix);
  if (len && key[len - 1] == '/' && bytes == 0) return false;
  const char *behind = len >= prefix ? key + prefix : key;
  bool included = !json_array_size(source->include) || matches_any(source->include, behind);
  return included && !matches_any(source->exclude, behind);
}
