/* connection_ref.c - see connection_ref.h. A connection deleted between this look and the commit is met by the job's handler. */
#include "api/connection_ref.h"

#include "api/submit.h"

struct ref { /* the request's state */
  struct id id;
  const char *kind;
  json_t *payload; /* the arena's */
};

static const struct pg_stmt find_connection = {
    "find_connection", "SELECT 1 FROM autodb.connections WHERE id = $1::uuid AND owner_id = $2::uuid AND deleted_at IS NULL", 2};

enum status connection_ref_missing(struct error *err) { return error_set(err, ERR_NOT_FOUND, "There is no such connection."); }

static enum status on_found(struct request *req, const PGresult *res, struct error *err) {
  const struct ref *ref = req->state;
  if (PQntuples(res) == 0) return connection_ref_missing(err);
  return submit_job_value(req, ref->kind, &ref->id, json_incref(ref->payload), err);
}

enum status connection_ref_submit(struct request *req, const struct id *id, const char *kind, json_t *take_payload, struct error *err) {
  json_t *payload = arena_json(req->arena, take_payload);
  struct ref *ref = ARENA_NEW(req->arena, struct ref);
  if (!ref || !payload) return error_oom(err);
  *ref = (struct ref){.id = *id, .kind = kind, .payload = payload};
  req->state = ref;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_uuid(&params, id);
  pg_param_uuid(&params, &req->who.owner_id);
  return request_query(req, &find_connection, &params, on_found, err);
}

enum status connection_ref_of_body(const struct request *req, struct id *ret_id, struct error *err) {
  const char *text = json_str(req->body, "connection_id", "");
  return id_parse(text, ret_id) ? OK : error_add_field(err, "connection_id", "must be the UUID of a connection");
}
