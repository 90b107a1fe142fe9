/* vector_index.c - see vector_index.h.
 *
 * An index that several connections shared would walk through the largest one's vectors to find a small one's, and give up before
 * (pgvector's filters come after the walk). So each has its own, partial, by its own predicate; and none below the number
 * that slots can look at all of (worker/retrieval/nearest.h). */
#include "worker/context/vector_index.h"

#include "common/id.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/retrieval/passages.h"

#define TEXT_OF(number) #number
#define TEXT(limit) TEXT_OF(limit)

static const char look_sql[] =
    "SELECT (SELECT count(*) FROM (SELECT FROM autodb.chunk_vectors v WHERE v.connection_id = $1 AND v.model = $2 LIMIT " TEXT(
        LIMIT_KEPT_PASSAGES) " + 1) AS some_of), (SELECT i.indisvalid FROM pg_catalog.pg_index i WHERE i.indexrelid = "
                             "to_regclass('autodb.' || $3))";
static const char lock_sql[] = "SELECT pg_try_advisory_lock(hashtext('autodb.vector_index'), hashtext($1))";
static const char unlock_sql[] = "SELECT pg_advisory_unlock(hashtext('autodb.vector_index'), hashtext($1))";

static enum status build(struct job *job, const char *name, const char *connection, const struct embed_model *model, bool broken,
                         struct error *err) {
  struct arena *arena = job->arena;
  const char *drop = arena_printf(arena, "DROP INDEX CONCURRENTLY IF EXISTS autodb.%s", name);
  const char *make =
      arena_printf(arena,
                   "CREATE INDEX CONCURRENTLY %s ON autodb.chunk_vectors USING hnsw ((embedding::halfvec(%d)) halfvec_ip_ops) "
                   "WHERE connection_id = '%s' AND model = %d",
                   name, model->dims, connection, model->id);
  if (!drop || !make) return error_oom(err);
  enum status status = pg_script(job->db, "SET search_path = autodb, public", err);
  if (!status) status = pg_script(job->db, "SET maintenance_work_mem = '512MB'", err);
  if (!status && broken) status = pg_script(job->db, drop, err);
  if (!status) status = pg_script(job->db, make, err);
  ERROR_AUTO ignored = {0};
  if (pg_script(job->db, "RESET search_path", &ignored) || pg_script(job->db, "RESET maintenance_work_mem", &ignored))
    log_event(LOG_DEBUG, "settings not reset", "reason", ignored.message, NULL);
  return status;
}

static enum status tend(struct job *job, const char *name, const char *connection, const struct embed_model *model, struct error *err) {
  char id[16];
  snprintf(id, sizeof id, "%d", model->id);
  const char *const params[] = {connection, id, name};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(job->db, look_sql, 3, params, &res, err);
  if (status) return status;
  long long count = pg_int(res, 0, 0, 0);
  bool exists = pg_str(res, 0, 1) != NULL, valid = pg_bool(res, 0, 1);
  if (count > LIMIT_KEPT_PASSAGES) return valid ? OK : build(job, name, connection, model, exists, err);
  if (!exists || count > LIMIT_KEPT_PASSAGES / 2) return OK;
  const char *drop = arena_printf(job->arena, "DROP INDEX CONCURRENTLY IF EXISTS autodb.%s", name);
  return drop ? pg_script(job->db, drop, err) : error_oom(err);
}

/* One at a time for a connection: who comes second finds it done, or comes again with the next documents. */
enum status vector_index_tend(struct job *job, const struct embed_model *model, struct error *err) {
  char name[PASSAGES_INDEX_NAME], connection[ID_TEXT];
  const char *const params[] = {name};
  struct id id;
  PGRESULT_AUTO res = NULL;
  if (!job->connection_id || !id_parse(job->connection_id, &id)) return OK;
  id_format(&id, connection);
  passages_index_name(connection, model->id, name);
  enum status status = pg_query(job->db, lock_sql, 1, params, &res, err);
  if (status || !pg_bool(res, 0, 0)) return status;
  status = tend(job, name, connection, model, err);
  ERROR_AUTO ignored = {0};
  if (pg_exec(job->db, unlock_sql, 1, params, &ignored)) log_event(LOG_DEBUG, "not unlocked", "reason", ignored.message, NULL);
  return status;
}
