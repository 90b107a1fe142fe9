/* idempotency.c - see idempotency.h.
 *
 * Two first requests with one key at the same moment: the second's INSERT waits on the first's row and then sees it, so both get the one
 * job. A first request that stays open is not waited for longer than IDEMPOTENCY_PATIENCE: then the answer is 409, as it is for as long as
 * the first one is. When the outcome of the insert is unknown the answer is 503; the client's retry with the same key finds out. */
#include "api/idempotency.h"

#include "api/jobview.h"
#include "api/submit.h"
#include "api/waiters.h"

static const struct pg_stmt insert_keyed = {"insert_keyed",
                                            "WITH taken AS (" IDEMPOTENCY_TAKE("FROM " IDEMPOTENCY_PATIENCE) "), " SUBMISSION_ACCEPT(
                                                "taken") "SELECT " SQL_TIME("now()") " FROM accepted",
                                            15};
static const struct pg_stmt find_keyed = {
    "find_keyed", "SELECT request_hash = $3::bytea, job_id FROM autodb.idempotency_keys WHERE owner_id = $1::uuid AND key = $2::text", 3};

struct keyed { /* the request's state */
  struct submission *sub;
  struct idempotency idempotency;
  const struct idempotency_statement *statement;
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

enum status idempotency_mismatch(struct error *err) {
  return error_set(err, ERR_IDEMPOTENCY,
                   "This Idempotency-Key was used with another request within the last 24 hours; use a new key for a new request.");
}

static enum status on_found(struct request *req, const PGresult *res, struct error *err) {
  const struct keyed *keyed = req->state;
  struct id id;
  if (PQntuples(res) == 0) return keyed->statement->nothing(err);
  if (!id_parse(PQgetvalue(res, 0, 1), &id)) return error_set(err, ERR_INTERNAL, "The idempotency key names no job.");
  if (PQgetvalue(res, 0, 0)[0] != 't') return idempotency_mismatch(err);
  submission_replayed(keyed->sub, &id);
  return OK;
}

static enum status look_up(struct request *req, struct error *err) {
  const struct keyed *keyed = req->state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_text(&params, keyed->idempotency.key);
  pg_param_bytes(&params, keyed->idempotency.hash, sizeof keyed->idempotency.hash);
  return request_query(req, &find_keyed, &params, on_found, err);
}

static enum status refused(const struct request *req, const struct error *cause, struct error *err) {
  const struct keyed *keyed = req->state;
  const char *sqlstate = json_str(cause->details, "sqlstate", "");
  if (strcmp(sqlstate, "55P03") != 0) return request_database_error(req, cause, err);
  if (!keyed->idempotency.key) return error_set(err, ERR_UNAVAILABLE, "%s", keyed->statement->busy);
  return error_set(err, ERR_CONFLICT, "The first request with this Idempotency-Key has not been answered yet; try again in a moment.");
}

static void on_inserted(void *arg, const PGresult *res, const struct error *cause) {
  struct request *req = arg;
  const struct keyed *keyed = req->state;
  ERROR_AUTO err = {0};
  enum status status = OK;
  if (!res)
    status = refused(req, cause, &err);
  else if (PQntuples(res) == 1)
    submission_committed(keyed->sub, PQgetvalue(res, 0, 0));
  else
    status = keyed->idempotency.key ? look_up(req, &err) : keyed->statement->nothing(&err);
  if (status == ERR_CONFLICT) request_header(req, "Retry-After", "1");
  if (status != OK) reply_error(req, &err);
}

static enum status check_key(const char *key, struct error *err) {
  size_t len = strlen(key);
  bool printable = true;
  for (const char *p = key; *p; p++) printable &= *p >= 0x20 && *p <= 0x7e;
  if (len && len <= LIMIT_IDEMPOTENCY_KEY_BYTES && printable) return OK;
  return error_add_field(err, "Idempotency-Key", "must be 1 to %d printable ASCII characters", LIMIT_IDEMPOTENCY_KEY_BYTES);
}

enum status idempotency_of(const struct request *req, struct idempotency *ret_idempotency, struct error *err) {
  struct idempotency found = {.key = http_header(req->http, "idempotency-key")};
  enum status status = found.key ? check_key(found.key, err) : OK;
  if (status == OK && found.key) status = hash_request(req, found.hash, err);
  if (status == OK) *ret_idempotency = found;
  return status;
}

void idempotency_put(struct pg_params *params, const struct idempotency *idempotency) {
  pg_param_text(params, idempotency->key);
  pg_param_bytes(params, idempotency->hash, sizeof idempotency->hash);
}

enum status idempotency_run(struct submission *sub, const struct idempotency *idempotency, const struct idempotency_statement *statement,
                            const struct pg_params *params, struct error *err) {
  struct request *req = sub->req;
  struct keyed *keyed = ARENA_NEW(req->arena, struct keyed);
  if (!keyed) return error_oom(err);
  *keyed = (struct keyed){.sub = sub, .idempotency = *idempotency, .statement = statement};
  req->state = keyed;
  ERROR_AUTO cause = {0};
  if (pgloop_query(req->loop->pg, statement->stmt, params, 0, on_inserted, req, &cause) == OK) return OK;
  return request_database_error(req, &cause, err);
}

static enum status expired(struct error *err) {
  return error_set(err, ERR_UNAVAILABLE, "The idempotency key expired while it was looked at; try again.");
}

enum status idempotency_submit(struct submission *sub, struct error *err) {
  static const struct idempotency_statement statement = {.stmt = &insert_keyed, .nothing = expired};
  struct idempotency idempotency;
  enum status status = idempotency_of(sub->req, &idempotency, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  submission_put(&params, sub);
  idempotency_put(&params, &idempotency);
  return idempotency_run(sub, &idempotency, &statement, &params, err);
}
