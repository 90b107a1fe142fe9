/* approvals.c - see approvals.h.
 *
 * One statement decides: whoever locks the unused row gets it, and whoever waited for the lock sees it used and finds out by whom. An
 * Idempotency-Key is taken by the same statement and after the lock, so two requests with one key and two tokens make one job, too. Why
 * nothing was inserted is a second look, since it may be another's doing. */
#include "api/approvals.h"

#include "api/connection_ref.h"
#include "api/idempotency.h"
#include "api/jobview.h"
#include "api/submit.h"
#include "common/clock.h"

#define CONNECTION_LIVES \
  "EXISTS (SELECT FROM autodb.connections c WHERE c.id = $3::uuid AND c.owner_id = $2::uuid AND c.deleted_at IS NULL)"

static const struct pg_stmt insert_approved = {
    "insert_approved",
    "WITH free AS (SELECT a.nonce FROM autodb.approvals a WHERE a.nonce = $16::text AND a.owner_id = $2::uuid "
    "AND a.connection_id = $3::uuid AND a.used_by_job_id IS NULL AND $17::boolean AND " CONNECTION_LIVES " FOR UPDATE), "
    "taken AS (" IDEMPOTENCY_TAKE("FROM free WHERE $14::text IS NOT NULL") "), "
                                                                           "used AS (UPDATE autodb.approvals a SET used_by_job_id = "
                                                                           "$1::uuid, used_at = now() FROM free f WHERE a.nonce = f.nonce "
                                                                           "AND ($14::text IS NULL OR EXISTS (SELECT FROM taken)) "
                                                                           "RETURNING a.nonce), " SUBMISSION_ACCEPT(
                                                                               "used") "SELECT " SQL_TIME("now()") " FROM accepted",
    17};

enum found { LIVES, KEYED_JOB, KEYED_SAME, NONCE, USED_BY, USED_SAME };
static const struct pg_stmt find_approval = {
    "find_approval",
    "SELECT " CONNECTION_LIVES ", k.job_id, k.request_hash = $5::bytea, a.nonce, a.used_by_job_id, "
    "(SELECT (j.payload->'options')::jsonb = $6::jsonb FROM autodb.jobs j WHERE j.id = a.used_by_job_id) FROM (VALUES (1)) one "
    "LEFT JOIN autodb.approvals a ON a.nonce = $1::text AND a.owner_id = $2::uuid "
    "LEFT JOIN autodb.idempotency_keys k ON k.owner_id = $2::uuid AND k.key = $4::text AND k.created_at >= now() - interval '24 hours'",
    6};

struct use { /* the request's state */
  struct submission *sub;
  const struct approval *approval;
  const char *options;
  struct idempotency idempotency;
  int64_t now_ms; /* when the request came, as clock_wall_ms */
};

static enum status used_up(const char *job_id, bool kept, struct error *err) {
  error_set_code(err, ERR_CONFLICT, "TOKEN_INVALID",
                 "The approval token was used %s by job %s, and is good for one; analyze the migration again for a new one.",
                 kept ? "with other options" : "before", job_id);
  err->details = json_pack("{s:s}", "job_id", job_id);
  return err->status;
}

static enum status unused(const struct use *use, struct error *err) {
  enum status status = approval_fresh(use->approval, use->now_ms, err);
  if (status != OK) return status;
  return error_set(err, ERR_UNAVAILABLE, "The approval or its connection changed while it was looked at; try again.");
}

static bool is_true(const PGresult *res, enum found column) { return PQgetvalue(res, 0, (int)column)[0] == 't'; }

static enum status on_found(struct request *req, const PGresult *res, struct error *err) {
  const struct use *use = req->state;
  struct id id;
  if (!is_true(res, LIVES)) return connection_ref_missing(err);
  if (id_parse(PQgetvalue(res, 0, KEYED_JOB), &id)) {
    if (!is_true(res, KEYED_SAME)) return idempotency_mismatch(err);
    submission_replayed(use->sub, &id);
    return OK;
  }
  if (PQgetisnull(res, 0, NONCE))
    return error_set_code(err, ERR_CONFLICT, "TOKEN_INVALID",
                          "The approval token is not in the record any more; analyze the migration again for a new one.");
  if (!id_parse(PQgetvalue(res, 0, USED_BY), &id)) return unused(use, err);
  if (!is_true(res, USED_SAME)) return used_up(PQgetvalue(res, 0, USED_BY), !PQgetisnull(res, 0, USED_SAME), err);
  submission_replayed(use->sub, &id);
  return OK;
}

static enum status on_inserted(struct request *req, const PGresult *res, struct error *err) {
  const struct use *use = req->state;
  if (PQntuples(res) == 1) {
    submission_committed(use->sub, PQgetvalue(res, 0, 0));
    return OK;
  }
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, use->approval->nonce);
  pg_param_uuid(&params, &req->who.owner_id);
  pg_param_uuid(&params, &use->sub->connection_id);
  pg_param_text(&params, use->idempotency.key);
  pg_param_bytes(&params, use->idempotency.hash, sizeof use->idempotency.hash);
  pg_param_text(&params, use->options);
  return request_query(req, &find_approval, &params, on_found, err);
}

enum status approvals_submit(struct submission *sub, const struct approval *approval, const char *options, struct error *err) {
  struct request *req = sub->req;
  struct use *use = ARENA_NEW(req->arena, struct use);
  if (!use) return error_oom(err);
  *use = (struct use){.sub = sub, .approval = approval, .options = options, .now_ms = clock_wall_ms()};
  req->state = use;
  enum status status = idempotency_of(req, &use->idempotency, err);
  if (status != OK) return status;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  submission_put(&params, sub);
  idempotency_put(&params, &use->idempotency);
  pg_param_text(&params, approval->nonce);
  pg_param_text(&params, use->now_ms < approval->exp * 1000 ? "t" : "f");
  return request_query(req, &insert_approved, &params, on_inserted, err);
}
