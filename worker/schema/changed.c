/* changed.c - see changed.h. Computed before the snapshot is stored, so that one statement stores it and owes the deliveries: an attempt
 * that dies after it has told, and one that dies before it finds the same change again. */
#include "worker/schema/changed.h"

#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/schema_diff.h"
#include "worker/schema/store.h"

/* No row unless somebody listens and the schema was another. */
static const char before_sql[] =
    "SELECT s.id FROM (SELECT id, fingerprint FROM autodb.snapshots WHERE connection_id = $1 ORDER BY id DESC LIMIT 1) s "
    "WHERE s.fingerprint <> $3 AND EXISTS (SELECT FROM autodb.webhooks w WHERE w.owner_id = $2 AND w.deleted_at IS NULL AND "
    "w.disabled_at IS NULL AND 'schema.changed' = ANY (w.events))";

static bool same_scope(const json_t *before, const json_t *after) {
  return json_equal(json_object_get(before, "only_schemas"), json_object_get(after, "only_schemas")) &&
         json_equal(json_object_get(before, "excluded_schemas"), json_object_get(after, "excluded_schemas"));
}

static enum status write_data(struct job *job, const char *before_id, const json_t *before, const json_t *after, const char **ret_data,
                              struct error *err) {
  const char *id = json_str(after, "snapshot_id", "");
  json_t *diff = arena_json(job->arena, schema_diff(before, after));
  char *text = diff ? json_dumps(diff, JSON_COMPACT) : NULL;
  if (!text || arena_defer(job->arena, free, text) != 0) return error_oom(err);
  bool fits = strlen(text) <= LIMIT_EVENT_DIFF_BYTES;
  *ret_data = arena_printf(job->arena,
                           "{\"connection_id\":\"%s\",\"snapshot_id\":\"%s\",\"previous_snapshot_id\":\"%s\",\"job_id\":\"%s\","
                           "\"diff\":%s,\"diff_url\":\"%s/api/v1/connections/%s/schema/diff?from=%s&to=%s\"}",
                           job->connection_id, id, before_id, job->id, fits ? text : "null", job->cfg->public_url, job->connection_id,
                           before_id, id);
  return *ret_data ? OK : error_oom(err);
}

enum status changed_data(struct job *job, const json_t *taken, const char **ret_data, struct error *err) {
  const char *const params[] = {job->connection_id, job->owner_id, json_str(taken, "fingerprint", "")};
  PGRESULT_AUTO res = NULL;
  struct snapshot *before = NULL;
  *ret_data = NULL;
  enum status status = pg_query(job->db, before_sql, 3, params, &res, err);
  if (status || PQntuples(res) == 0) return status;
  status = store_latest(job, pg_str(res, 0, 0), &before, err);
  if (status == ERR_NOT_FOUND) { /* pruned meanwhile: there is nothing to compare with */
    error_clear(err);
    *err = (struct error){0};
    return OK;
  }
  if (status || !same_scope(before->json, taken)) return status;
  return write_data(job, pg_str(res, 0, 0), before->json, taken, ret_data, err);
}
