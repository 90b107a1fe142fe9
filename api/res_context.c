/* res_context.c - questions to what is known of a database, and reading documents out of S3. The work is a worker's; here the request is
 * checked. */
#include "api/connection_ref.h"
#include "api/router.h"
#include "common/utf8.h"

#define IDS_MAX 100

static void pass_on(json_t *payload, const json_t *body, const struct json_field *fields, size_t count) {
  for (size_t i = 0; i < count; i++) json_pass_on(payload, body, fields[i].name);
}

/* --- query --- */

#define QUERY_FIELDS                                                                                    \
  {.name = "query", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = LIMIT_QUESTION_BYTES}, \
      {.name = "max_schema_chunks", .want = JSON_WANT_INT, .min = 0, .max = LIMIT_RETRIEVAL_RESULTS},   \
      {.name = "max_doc_chunks", .want = JSON_WANT_INT, .min = 0, .max = LIMIT_RETRIEVAL_RESULTS}, {    \
    .name = "filters", .want = JSON_WANT_OBJECT                                                         \
  }
static const struct json_field query_fields[] = {QUERY_FIELDS};
static const struct json_field alias_fields[] = {QUERY_FIELDS, {.name = "connection_id", .want = JSON_WANT_STRING, .required = true}};
static const struct json_field filter_fields[] = {{.name = "document_ids", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = IDS_MAX},
                                                  {.name = "source_prefix", .want = JSON_WANT_STRING, .min = 1, .max = 1024}};
#define COUNT(table) (sizeof(table) / sizeof *(table))

static enum status check_filters(const json_t *filters, struct error *err) {
  size_t index;
  json_t *item;
  struct id id;
  if (!json_is_object(filters)) return OK;
  enum status status = json_check(filters, "filters.", filter_fields, COUNT(filter_fields), err);
  if (status != OK) return status;
  json_array_foreach(json_object_get(filters, "document_ids"), index,
                     item) if (!id_parse(json_string_value(item), &id)) return error_add_field(err, "filters.document_ids",
                                                                                               "must be UUIDs of documents");
  return OK;
}

static enum status query(struct request *req, const struct id *connection_id, struct error *err) {
  const char *text = json_str(req->body, "query", "");
  if (utf8_length(text) > LIMIT_QUESTION_CHARS) return error_add_field(err, "query", "must be 1 to %d characters", LIMIT_QUESTION_CHARS);
  if (!text[strspn(text, " \t\r\n")]) return error_add_field(err, "query", "must hold more than blanks");
  enum status status = check_filters(json_object_get(req->body, "filters"), err);
  if (status != OK) return status;
  json_t *payload = json_object();
  pass_on(payload, req->body, query_fields, COUNT(query_fields));
  return connection_ref_submit(req, connection_id, "context.query", payload, err);
}

static enum status post_query(struct request *req, struct error *err) { return query(req, &req->ids[0], err); }

static enum status post_query_alias(struct request *req, struct error *err) {
  struct id connection_id;
  enum status status = connection_ref_of_body(req, &connection_id, err);
  return status == OK ? query(req, &connection_id, err) : status;
}

/* --- S3 --- */

#define PATTERNS_MAX 50
#define PATTERN_BYTES 1024
static const struct json_field s3_fields[] = {{.name = "bucket", .want = JSON_WANT_STRING, .required = true, .min = 3, .max = 63},
                                              {.name = "prefix", .want = JSON_WANT_STRING, .min = 0, .max = 1024},
                                              {.name = "include", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = PATTERNS_MAX},
                                              {.name = "exclude", .want = JSON_WANT_STRING_ARRAY, .min = 0, .max = PATTERNS_MAX},
                                              {.name = "endpoint_url", .want = JSON_WANT_STRING, .min = 1, .max = 2048},
                                              {.name = "region", .want = JSON_WANT_STRING, .min = 1, .max = 64},
                                              {.name = "delete_missing", .want = JSON_WANT_BOOL},
                                              {.name = "requester_pays", .want = JSON_WANT_BOOL}};

/* Letters, digits, dots and hyphens, as AWS has it; names become parts of hosts and paths. */
static bool is_bucket(const char *name) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-", edge[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  size_t len = strlen(name);
  return !name[strspn(name, allowed)] && strchr(edge, *name) && strchr(edge, name[len - 1]) && !strstr(name, "..");
}

static bool is_region(const char *name) { return !name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")]; }

/* Only what the installation names: requests there carry its credentials. */
static enum status check_endpoint(const struct request *req, struct error *err) {
  const char *url = json_str(req->body, "endpoint_url", NULL), *allowed = req->loop->api->cfg->s3_allow_endpoints;
  if (!url) return OK;
  size_t len = strlen(url);
  while (len && url[len - 1] == '/') len--;
  for (size_t part; *allowed; allowed += part, allowed += *allowed == ',') {
    allowed += strspn(allowed, " ");
    part = strcspn(allowed, ",");
    size_t used = part;
    while (used && strchr(" /", allowed[used - 1])) used--;
    if (used && used == len && strncmp(allowed, url, len) == 0) return OK;
  }
  return error_add_field(err, "endpoint_url", "must be one that AUTODB_S3_ALLOW_ENDPOINTS of this installation names");
}

static enum status check_patterns(const struct request *req, const char *name, struct error *err) {
  size_t index;
  json_t *item;
  json_array_foreach(json_object_get(req->body, name), index, item) {
    size_t len = json_string_length(item);
    if (!len || len > PATTERN_BYTES) return error_add_field(err, name, "must be patterns of 1 to %d bytes, such as *.md", PATTERN_BYTES);
  }
  return OK;
}

static enum status post_s3(struct request *req, struct error *err) {
  if (!is_bucket(json_str(req->body, "bucket", "")))
    error_add_field(err, "bucket", "must be the name of a bucket: lower-case letters, digits, dots and hyphens");
  if (!is_region(json_str(req->body, "region", ""))) error_add_field(err, "region", "must be a region, such as eu-central-1");
  check_patterns(req, "include", err);
  check_patterns(req, "exclude", err);
  check_endpoint(req, err);
  if (err->status != OK) return err->status;
  json_t *payload = json_object();
  pass_on(payload, req->body, s3_fields, COUNT(s3_fields));
  return connection_ref_submit(req, &req->ids[0], "s3.ingest", payload, err);
}

/* --- another model --- */

static enum status post_reembed(struct request *req, struct error *err) {
  return connection_ref_submit(req, &req->ids[0], "context.reembed", json_object(), err);
}

#define FIELDS(table) .fields = (table), .field_count = COUNT(table)
const struct route context_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/context/query",
     .handler = post_query,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB | ROUTE_WAITS,
     FIELDS(query_fields)},
    {.method = HTTP_POST,
     .pattern = "/context/query",
     .handler = post_query_alias,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB | ROUTE_WAITS,
     FIELDS(alias_fields)},
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/context/reembed",
     .handler = post_reembed,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB},
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/documents/s3",
     .handler = post_s3,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB,
     FIELDS(s3_fields)},
    {0},
};
