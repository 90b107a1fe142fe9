/* res_queries.c - questions in words, what people say of the answers, and questions whose SQL is confirmed. The work is a worker's. */
#include "api/connection_ref.h"
#include "api/cursor.h"
#include "api/jobview.h"
#include "api/router.h"
#include "common/utf8.h"
#include "common/verified_slot.h"

#define SCHEMA_CHUNKS_MAX 20
#define DOCUMENT_CHUNKS_MAX 20
#define COMMENT_MAX 4000
#define COUNT(table) (sizeof(table) / sizeof *(table))
#define FIELDS(table) .fields = (table), .field_count = COUNT(table)

/* --- generate --- */

#define GENERATE_FIELDS                                                                                 \
  {.name = "query", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = LIMIT_QUESTION_BYTES}, \
      {.name = "max_schema_chunks", .want = JSON_WANT_INT, .min = 1, .max = SCHEMA_CHUNKS_MAX},         \
      {.name = "max_doc_chunks", .want = JSON_WANT_INT, .min = 0, .max = DOCUMENT_CHUNKS_MAX},          \
      {.name = "execute", .want = JSON_WANT_BOOL}, {                                                    \
    .name = "row_limit", .want = JSON_WANT_INT, .min = 1, .max = LIMIT_QUERY_ROWS                       \
  }
static const struct json_field generate_fields[] = {GENERATE_FIELDS};
static const struct json_field alias_fields[] = {GENERATE_FIELDS, {.name = "connection_id", .want = JSON_WANT_STRING, .required = true}};

static enum status check_question(const char *field, const char *text, struct error *err) {
  if (utf8_length(text) > LIMIT_QUESTION_CHARS) return error_add_field(err, field, "must be 1 to %d characters", LIMIT_QUESTION_CHARS);
  if (!text[strspn(text, " \t\r\n")]) return error_add_field(err, field, "must hold more than blanks");
  return OK;
}

static enum status generate(struct request *req, const struct id *connection_id, struct error *err) {
  enum status status = check_question("query", json_str(req->body, "query", ""), err);
  if (status != OK) return status;
  json_t *payload = json_object();
  for (size_t i = 0; i < COUNT(generate_fields); i++) {
    json_t *value = json_object_get(req->body, generate_fields[i].name);
    if (value && !json_is_null(value)) json_object_set(payload, generate_fields[i].name, value);
  }
  return connection_ref_submit(req, connection_id, "query.generate", payload, err);
}

static enum status post_generate(struct request *req, struct error *err) { return generate(req, &req->ids[0], err); }

static enum status post_generate_alias(struct request *req, struct error *err) {
  struct id connection_id;
  enum status status = connection_ref_of_body(req, &connection_id, err);
  return status == OK ? generate(req, &connection_id, err) : status;
}

/* --- feedback --- */

static const char *const ratings[] = {"up", "down", NULL};
static const struct json_field feedback_fields[] = {
    {.name = "rating", .want = JSON_WANT_STRING, .required = true, .choices = ratings},
    {.name = "corrected_sql", .want = JSON_WANT_STRING, .min = 1, .max = LIMIT_GUARD_SQL_BYTES},
    {.name = "comment", .want = JSON_WANT_STRING, .min = 1, .max = COMMENT_MAX}};

/* What somebody found right, or made right, becomes a candidate; one there is already stays as it is. */
static const struct pg_stmt give_feedback = {
    "give_feedback",
    "WITH j AS (SELECT id, owner_id, connection_id, payload ->> 'query' AS question, coalesce($5::text, CASE WHEN $4::text = 'up' THEN "
    "body ->> 'sql' END) AS sql, body ->> 'verified_query_id' AS verified FROM autodb.job_states WHERE id = $1::uuid AND owner_id = "
    "$2::uuid AND kind = 'query.generate' AND state = 'succeeded'), "
    "f AS (INSERT INTO autodb.query_feedback AS q (job_id, owner_id, connection_id, rating, corrected_sql, comment) "
    "SELECT id, owner_id, connection_id, $4, $5, $6::text FROM j ON CONFLICT (job_id) DO UPDATE SET rating = excluded.rating, "
    "corrected_sql = excluded.corrected_sql, comment = excluded.comment, created_at = now() RETURNING q.job_id), "
    "v AS (INSERT INTO autodb.verified_queries (id, owner_id, connection_id, question, sql, status, source_job_id) "
    "SELECT $3::uuid, j.owner_id, j.connection_id, j.question, j.sql, 'candidate', j.id FROM j JOIN autodb.connections c ON c.id = "
    "j.connection_id AND c.deleted_at IS NULL WHERE j.sql IS NOT NULL AND (j.verified IS NULL OR $5::text IS NOT NULL) ON CONFLICT DO "
    "NOTHING RETURNING id) "
    "SELECT json_build_object('job_id', f.job_id, 'rating', $4::text, 'verified_query_id', (SELECT id FROM v)) FROM f",
    6};

static enum status on_feedback(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return error_set(err, ERR_NOT_FOUND, "There is no such question that has been answered.");
  reply_json(req, 200, PQgetvalue(res, 0, 0), (size_t)PQgetlength(res, 0, 0));
  return OK;
}

static enum status post_feedback(struct request *req, struct error *err) {
  struct id id;
  id_new(&id);
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->ids[0]);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &id);
  pg_param_text(&params, json_str(req->body, "rating", ""));
  pg_param_text(&params, json_str(req->body, "corrected_sql", NULL));
  pg_param_text(&params, json_str(req->body, "comment", NULL));
  return request_query(req, &give_feedback, &params, on_feedback, err);
}

/* --- verified queries --- */

#define LAST_USED_AT SQL_TIME("v.last_used_at")
#define CREATED_AT SQL_TIME("v.created_at")
#define VIEW                                                                                                                    \
  "v.id, json_build_object('id', v.id, 'connection_id', v.connection_id, 'question', v.question, 'sql', v.sql, 'description', " \
  "v.description, 'status', v.status, 'source_job_id', v.source_job_id, 'uses', v.uses, 'last_used_at', " LAST_USED_AT          \
  ", 'created_at', " CREATED_AT ")"

static enum status missing(struct error *err) { return error_set(err, ERR_NOT_FOUND, "There is no such verified query."); }

static void put_view(struct buf *out, const PGresult *res, int row) {
  buf_append(out, PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
}

static void two_ids_and_owner(struct pg_params *params, const struct request *req, const struct id *second) {
  pg_params_init(params);
  pg_param_uuid(params, &req->ids[0]);
  pg_param_uuid(params, second);
  pg_param_uuid(params, &req->who.owner_id);
}

static const char *const statuses[] = {"verified", "candidate", NULL};
static const struct param list_params[] = {CURSOR_PARAMS, {.name = "status", .want = PARAM_TEXT, .choices = statuses}, {0}};

/* One row without a query tells an empty list from a connection there isn't. */
static const struct pg_stmt list_verified = {
    "list_verified",
    "SELECT " VIEW " FROM autodb.connections c LEFT JOIN LATERAL (SELECT * FROM autodb.verified_queries q WHERE q.connection_id = c.id AND "
    "q.owner_id = c.owner_id AND q.id < $2::uuid AND ($5::text IS NULL OR q.status = $5) ORDER BY q.id DESC LIMIT $4::int4 + 1) v ON true "
    "WHERE c.id = $1::uuid AND c.owner_id = $3::uuid AND c.deleted_at IS NULL ORDER BY v.id DESC",
    5};

static enum status on_list(struct request *req, const PGresult *res, struct error *err) {
  static const char empty[] = "{\"items\": [], \"next_cursor\": null}";
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  if (!PQgetisnull(res, 0, 0)) return cursor_reply(req, "verified-queries", res, put_view, err);
  reply_json(req, 200, empty, sizeof empty - 1);
  return OK;
}

static enum status get_list(struct request *req, struct error *err) {
  struct id below;
  enum status status = cursor_read(req, "verified-queries", &below, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  two_ids_and_owner(&params, req, &below);
  pg_param_int(&params, cursor_limit(req));
  pg_param_text(&params, request_param(req, "status", NULL));
  return request_query(req, &list_verified, &params, on_list, err);
}

#define VERIFIED_FIELDS(must)                                                                                  \
  {.name = "question", .want = JSON_WANT_STRING, .required = (must), .min = 1, .max = LIMIT_QUESTION_BYTES},   \
      {.name = "sql", .want = JSON_WANT_STRING, .required = (must), .min = 1, .max = LIMIT_GUARD_SQL_BYTES}, { \
    .name = "description", .want = JSON_WANT_STRING, .min = 0, .max = COMMENT_MAX                              \
  }
static const struct json_field create_fields[] = {VERIFIED_FIELDS(true)};
static const struct json_field change_fields[] = {VERIFIED_FIELDS(false),
                                                  {.name = "status", .want = JSON_WANT_STRING, .choices = statuses}};

static bool has_slot(const char *text, const struct verified_slot *slot) {
  struct verified_slot found;
  for (const char *at = text; verified_slot_next(at, &found); at = found.at + found.len)
    if (verified_slot_same(&found, slot)) return true;
  return false;
}

/* Whether a quote is open there. Roughly: the worker, which knows SQL, fills no place within text. */
static bool is_quoted(const char *sql, const char *at) {
  bool quoted = false;
  for (; sql < at; sql++) quoted ^= *sql == '\'';
  return quoted;
}

static enum status check_slots(const char *field, const char *text, struct error *err) {
  struct verified_slot slot;
  for (const char *at = text; verified_slot_next(at, &slot); at = slot.at + slot.len)
    if (slot.type == VERIFIED_SLOT_UNKNOWN) return error_add_field(err, field, "a slot's type is " VERIFIED_SLOT_TYPES ": {name:type}");
  return OK;
}

/* Every slot of the one must be in the other: a place without a value can't be filled. '{a}' between quotes is text where the question has
 * no slot of the name. */
static enum status check_pair(const char *question, const char *sql, struct error *err) {
  struct verified_slot slot;
  enum status status = check_question("question", question, err);
  if (status != OK || check_slots("question", question, err) != OK || check_slots("sql", sql, err) != OK) return err->status;
  for (const char *at = sql; verified_slot_next(at, &slot); at = slot.at + slot.len) {
    bool quoted = is_quoted(sql, slot.at), asked = has_slot(question, &slot);
    if (quoted && asked)
      return error_add_field(err, "sql", "{%.*s} stands within quotes: write it without them", (int)slot.name_len, slot.name);
    if (!quoted && !asked) return error_add_field(err, "sql", "the question has no slot {%.*s}", (int)slot.name_len, slot.name);
  }
  for (const char *at = question; verified_slot_next(at, &slot); at = slot.at + slot.len)
    if (!has_slot(sql, &slot)) return error_add_field(err, "question", "the SQL has no place for {%.*s}", (int)slot.name_len, slot.name);
  return OK;
}

static const struct pg_stmt insert_verified = {
    "insert_verified",
    "WITH c AS (SELECT id, owner_id FROM autodb.connections WHERE id = $1::uuid AND owner_id = $3::uuid AND deleted_at IS NULL), "
    "v AS (INSERT INTO autodb.verified_queries AS q (id, owner_id, connection_id, question, sql, description) "
    "SELECT $2::uuid, c.owner_id, c.id, $4::text, $5::text, $6::text FROM c WHERE (SELECT count(*) FROM autodb.verified_queries x WHERE "
    "x.connection_id = c.id) < $7::int4 ON CONFLICT (connection_id, md5(lower(question))) DO UPDATE SET sql = excluded.sql, description = "
    "excluded.description, status = 'verified', updated_at = now() RETURNING *) "
    "SELECT " VIEW ", EXISTS (SELECT FROM c) FROM (SELECT 1) one LEFT JOIN v ON true",
    7};

static enum status on_created(struct request *req, const PGresult *res, struct error *err) {
  if (!PQgetisnull(res, 0, 0)) {
    reply_json(req, 201, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
    return OK;
  }
  if (strcmp(PQgetvalue(res, 0, 2), "t") != 0) return connection_ref_missing(err);
  return error_set(err, ERR_CONFLICT, "The connection has %d verified queries, which is the most there may be: delete one first.",
                   LIMIT_VERIFIED_QUERIES);
}

static enum status post_verified(struct request *req, struct error *err) {
  const char *question = json_str(req->body, "question", ""), *sql = json_str(req->body, "sql", "");
  struct id id;
  enum status status = check_pair(question, sql, err);
  if (status != OK) return status;
  id_new(&id);
  PG_PARAMS_AUTO params;
  two_ids_and_owner(&params, req, &id);
  pg_param_text(&params, question);
  pg_param_text(&params, sql);
  pg_param_text(&params, json_str(req->body, "description", NULL));
  pg_param_int(&params, LIMIT_VERIFIED_QUERIES);
  return request_query(req, &insert_verified, &params, on_created, err);
}

/* Another one of the same question stays in the way: then nothing is changed. */
static const struct pg_stmt change_verified = {
    "change_verified",
    "WITH found AS (SELECT id, connection_id, EXISTS (SELECT FROM autodb.verified_queries o WHERE o.connection_id = $1::uuid AND o.id <> "
    "$2::uuid AND md5(lower(o.question)) = md5(lower($4::text))) AS taken FROM autodb.verified_queries WHERE connection_id = $1::uuid AND "
    "id = $2::uuid AND owner_id = $3::uuid), "
    "v AS (UPDATE autodb.verified_queries q SET question = coalesce($4::text, q.question), sql = coalesce($5::text, q.sql), description = "
    "coalesce($6::text, q.description), status = coalesce($7::text, q.status), updated_at = now() FROM found "
    "WHERE q.id = found.id AND NOT found.taken RETURNING q.*) "
    "SELECT " VIEW " FROM found LEFT JOIN v ON true",
    7};

static enum status on_changed(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  if (PQgetisnull(res, 0, 0)) return error_set(err, ERR_CONFLICT, "There is a verified query of that question already.");
  reply_json(req, 200, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
  return OK;
}

static enum status patch_verified(struct request *req, struct error *err) {
  const char *question = json_str(req->body, "question", NULL), *sql = json_str(req->body, "sql", NULL);
  if (!question != !sql) return error_add_field(err, question ? "sql" : "question", "question and SQL are changed together");
  if (question && check_pair(question, sql, err) != OK) return err->status;
  PG_PARAMS_AUTO params;
  two_ids_and_owner(&params, req, &req->ids[1]);
  pg_param_text(&params, question);
  pg_param_text(&params, sql);
  pg_param_text(&params, json_str(req->body, "description", NULL));
  pg_param_text(&params, json_str(req->body, "status", NULL));
  return request_query(req, &change_verified, &params, on_changed, err);
}

static const struct pg_stmt delete_verified = {"delete_verified",
                                               "DELETE FROM autodb.verified_queries WHERE connection_id = $1::uuid AND id = $2::uuid AND "
                                               "owner_id = $3::uuid RETURNING id",
                                               3};

static enum status on_deleted(struct request *req, const PGresult *res, struct error *err) {
  if (PQntuples(res) == 0) return missing(err);
  reply_empty(req, 204);
  return OK;
}

static enum status remove_verified(struct request *req, struct error *err) {
  PG_PARAMS_AUTO params;
  two_ids_and_owner(&params, req, &req->ids[1]);
  return request_query(req, &delete_verified, &params, on_deleted, err);
}

#define VERIFIED "/api/v1/connections/{id}/verified-queries"
const struct route queries_routes[] = {
    {.method = HTTP_POST,
     .pattern = "/api/v1/connections/{id}/queries/generate",
     .handler = post_generate,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB,
     FIELDS(generate_fields)},
    {.method = HTTP_POST,
     .pattern = "/queries/generate",
     .handler = post_generate_alias,
     .auth = AUTH_USER,
     .flags = ROUTE_JOB,
     FIELDS(alias_fields)},
    {.method = HTTP_POST, .pattern = "/api/v1/queries/{id}/feedback", .handler = post_feedback, .auth = AUTH_USER, FIELDS(feedback_fields)},
    {.method = HTTP_GET, .pattern = VERIFIED, .handler = get_list, .auth = AUTH_USER, .params = list_params},
    {.method = HTTP_POST, .pattern = VERIFIED, .handler = post_verified, .auth = AUTH_USER, FIELDS(create_fields)},
    {.method = HTTP_PATCH, .pattern = VERIFIED "/{verified_id}", .handler = patch_verified, .auth = AUTH_USER, FIELDS(change_fields)},
    {.method = HTTP_DELETE, .pattern = VERIFIED "/{verified_id}", .handler = remove_verified, .auth = AUTH_USER},
    {0},
};
