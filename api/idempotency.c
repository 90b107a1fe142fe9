/* idempotency.c - see idempotency.h.
 *
 * Two first requests with one key at the same moment: the second's INSERT waits on the first's row and then sees it, so there is no
 * "still open" answer to give. When the outcome of the insert is unknown the answer is 503; the client's retry with the same key finds out.
 */
#include "api/idempotency.h"

#include "api/jobview.h"
#include "api/submit.h"
#include "api/waiters.h"

static const struct pg_stmt insert_keyed = {
    "insert_keyed",
    "WITH taken AS (INSERT INTO autodb.idempotency_keys AS k (owner_id, key, request_hash, job_id) VALUES ($2, $12, $13, $1) "
    "ON CONFLICT (owner_id, key) DO UPDATE SET request_hash = excluded.request_hash, job_id = excluded.job_id, created_at = now() "
    "WHERE k.created_at < now() - interval '24 hours' RETURNING job_id), "
    "queued AS (INSERT INTO autodb.queue (id, owner_id, kind, lane, tier, max_attempts, callback_url) "
    "SELECT $1::uuid, $2::uuid, $4::text, $5::autodb.job_lane, $14::int4::int2, $6::int4, $9::text FROM taken), "
    "accepted AS (INSERT INTO autodb.jobs (id, owner_id, connection_id, kind, lane, max_attempts, trace, request_id, callback_url, "
    "payload, metadata) "
    "SELECT $1::uuid, $2::uuid, $3::uuid, $4::text, $5::autodb.job_lane, $6::int4, $7::text, $8::text, $9::text, $10::json, $11::json FROM "
    "taken RETURNING id) "
    "SELECT " SQL_TIME("now()") " FROM accepted",
    14};
static const struct pg_stmt find_keyed = {
    "find_keyed", "SELECT request_hash = $3::bytea, job_id FROM autodb.idempotency_keys WHERE owner_id = $1::uuid AND key = $2::text", 3};

struct keyed { /* the request's state */
  struct submission *sub;
  const char *key;
  uint8_t hash[SHA256_BYTES];
};

/* Of method, path, query and the body's canonical form: a retry may order members otherwise. */
static enum status hash_request(const struct request *req, uint8_t out[SHA256_BYTES], struct error *err) {
  BUF_AUTO text;
  buf_init(&text, 2 * (size_t)LIMIT_HTTP_BODY_SQL + LIMIT_HTTP_HEAD_BYTES);
  char *body = json_canonical(req->body);
  buf_printf(&text, "%s %s?%s\n", llhttp_method_name(req->http->method), req->http->path, req->http->query ? req->http->query : "");
  if (!body || !buf_puts(&text, body)) text.failed = true;
  free(body);
  if (!buf_ok(&text)) return error_oom(err);
  crypto_sha256(text.data, text.len, out);
  return OK;
}

static enum status on_found(struct request *req, const PGresult *res, struct error *err) {
  const struct keyed *keyed = req->state;
  struct id id;
  char text[ID_TEXT];
  if (PQntuples(res) == 0 || !id_parse(PQgetvalue(res, 0, 1), &id))
    return error_set(err, ERR_UNAVAILABLE, "The idempotency key expired while it was looked at; try again.");
  if (PQgetvalue(res, 0, 0)[0] != 't')
    return error_set(err, ERR_IDEMPOTENCY,
                     "This Idempotency-Key was used with another request within the last 24 hours; use a new key for a new request.");
  request_header(req, "Idempotent-Replayed", "true");
  request_header(req, "Location", "/api/v1/jobs/%s", id_format(&id, text));
  waiters_add(req, &id, keyed->sub->wait_s, WAIT_SUBMITTED);
  return OK;
}

static enum status on_inserted(struct request *req, const PGresult *res, struct error *err) {
  struct keyed *keyed = req->state;
  if (PQntuples(res) == 1) {
    submit_ring(req->loop, &keyed->sub->id, job_stream(keyed->sub->lane, keyed->sub->tier));
    submission_committed(keyed->sub, PQgetvalue(res, 0, 0));
    return OK;
  }
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_text(&params, keyed->key);
  pg_param_bytes(&params, keyed->hash, sizeof keyed->hash);
  return request_query(req, &find_keyed, &params, on_found, err);
}

static enum status check_key(const char *key, struct error *err) {
  size_t len = strlen(key);
  bool printable = true;
  for (const char *p = key; *p; p++) printable &= *p >= 0x20 && *p <= 0x7e;
  if (len && len <= LIMIT_IDEMPOTENCY_KEY_BYTES && printable) return OK;
  return error_add_field(err, "Idempotency-Key", "must be 1 to %d printable ASCII characters", LIMIT_IDEMPOTENCY_KEY_BYTES);
}

enum status idempotency_submit(struct submission *sub, const char *key, struct error *err) {
  struct request *req = sub->req;
  struct keyed *keyed = ARENA_NEW(req->arena, struct keyed);
  if (!keyed) return error_oom(err);
  keyed->sub = sub;
  keyed->key = key;
  req->state = keyed;
  enum status status = check_key(key, err);
  if (status == OK) status = hash_request(req, keyed->hash, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &sub->id);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, sub->has_connection ? &sub->connection_id : NULL);
  pg_param_text(&params, sub->kind->name);
  pg_param_text(&params, job_lane_names[sub->lane]);
  pg_param_int(&params, sub->kind->max_attempts);
  pg_param_text(&params, req->trace);
  pg_param_text(&params, req->request_id);
  pg_param_text(&params, sub->callback_url);
  pg_param_textn(&params, sub->payload, sub->payload_len);
  pg_param_text(&params, sub->metadata);
  pg_param_text(&params, key);
  pg_param_bytes(&params, keyed->hash, sizeof keyed->hash);
  pg_param_int(&params, sub->tier);
  return request_query(req, &insert_keyed, &params, on_inserted, err);
}
