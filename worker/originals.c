/* originals.c - system.sweep: originals in the document store that no document refers to any more, and vectors in the embedding cache that
 * nobody has asked for lately. The leader asks for it every hour. */
#include "common/docstore.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/kinds.h"

static const char unused_sql[] = "SELECT k.place FROM unnest($1::text[]) WITH ORDINALITY AS k (key, place) WHERE NOT EXISTS (SELECT FROM "
                                 "autodb.documents d WHERE d.sha256 = k.key)";

static enum status unused(void *arg, const char *const keys[], size_t count, bool ret_unused[], struct error *err) {
  struct job *job = arg;
  ARENA_AUTO arena = arena_new(1024 * 1024); /* the job's would grow with the store */
  const char *list = arena ? pg_array_param(arena, keys, count) : NULL;
  PGRESULT_AUTO res = NULL;
  if (!list) return error_oom(err);
  enum status status = pg_query(job->db, unused_sql, 1, &list, &res, err);
  for (int row = 0; status == OK && row < PQntuples(res); row++) ret_unused[pg_int(res, row, 0, 1) - 1] = true;
  return status;
}

static const char stale_sql[] =
    "WITH gone AS (DELETE FROM autodb.embedding_cache WHERE ctid = ANY (ARRAY(SELECT ctid FROM autodb.embedding_cache WHERE used_on < "
    "current_date - " LIMIT_TEXT(LIMIT_EMBED_CACHE_DAYS) " LIMIT " LIMIT_TEXT(
        LIMIT_SWEEP_BATCH) ")) RETURNING model) SELECT count(*) FROM gone";

static enum status sweep_vectors(struct job *job, long long *ret_removed, struct error *err) {
  enum status status = OK;
  for (long long page = LIMIT_SWEEP_BATCH; page == LIMIT_SWEEP_BATCH && status == OK; *ret_removed += page) {
    PGRESULT_AUTO res = NULL;
    status = pg_query(job->db, stale_sql, 0, NULL, &res, err);
    page = status == OK ? pg_int(res, 0, 0, 0) : 0;
  }
  return status;
}

enum status originals_run(struct job *job, json_t **ret_result, struct error *err) {
  DOCSTORE_AUTO *store = NULL;
  long removed = 0;
  long long vectors = 0;
  enum status status = sweep_vectors(job, &vectors, err);
  if (status == OK) status = docstore_new(job->cfg, &store, err);
  if (status == OK) status = docstore_sweep(store, LIMIT_ORIGINAL_GRACE_SECONDS, unused, job, &removed, err);
  if (status != OK) return status;
  json_t *result = json_pack("{s:I, s:I}", "removed", (json_int_t)removed, "vectors", (json_int_t)vectors);
  if (!result) return error_oom(err);
  *ret_result = result;
  return OK;
}
