/* probe.c - by the catalogs, before and after.
 *
 * An index that was not there before and is on the table now is this statement's when it has its name, or, if the statement gave none, when
 * it is the only one. Only what is this statement's for certain is ever dropped, and nothing that somebody is still building. */
#include "worker/execute/probe.h"

#include "common/json.h"
#include "common/pg.h"
#include "worker/execute/run.h"
#include "worker/sql/text.h"

static const char index_before_sql[] =
    "SELECT t.oid::oid, (SELECT pg_catalog.json_agg(i.indexrelid::bigint) FROM pg_catalog.pg_index i WHERE i.indrelid = t.oid),"
    " c.oid IS NOT NULL, i.indisvalid, c.oid::pg_catalog.regclass"
    " FROM (SELECT pg_catalog.to_regclass($1)::oid AS oid) t JOIN pg_catalog.pg_class r ON r.oid = t.oid"
    " LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = r.relnamespace AND c.relname = $2"
    " LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid";
/* New on the table since: name, valid, still being built. $4: names of REINDEX's own making only. */
static const char index_after_sql[] =
    "SELECT c.oid::pg_catalog.regclass, i.indisvalid, EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = "
    "c.oid)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid"
    " WHERE (i.indrelid = $1::oid OR ($4 = 'reindex' AND i.indrelid = (SELECT reltoastrelid FROM pg_catalog.pg_class WHERE oid = $1::oid)))"
    " AND NOT c.oid::bigint = ANY (SELECT pg_catalog.json_array_elements_text($2::json)::bigint)"
    " AND ($3::text IS NULL OR c.relname = $3) AND ($4 <> 'reindex' OR (NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'))";
static const char drop_before_sql[] = "SELECT pg_catalog.to_regclass($1)::oid";
static const char drop_after_sql[] = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = $1::oid)";
static const char reindex_before_sql[] =
    "SELECT r.oid::oid, (SELECT pg_catalog.json_agg(i.indexrelid::bigint) FROM pg_catalog.pg_index i WHERE i.indrelid = r.oid"
    " OR i.indrelid = (SELECT reltoastrelid FROM pg_catalog.pg_class WHERE oid = r.oid))"
    " FROM (SELECT coalesce((SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass($1)::oid),"
    " pg_catalog.to_regclass($1)::oid) AS oid) r";
static const char detach_before_sql[] = "SELECT pg_catalog.to_regclass($1)::oid, pg_catalog.to_regclass($2)::oid";
static const char detach_after_sql[] =
    "SELECT inhdetachpending FROM pg_catalog.pg_inherits WHERE inhparent = $1::oid AND inhrelid = $2::oid";

/* --- before --- */

static enum status ask(struct execution *x, const char *sql, int count, const char *const *params, PGresult **ret_res, struct error *err) {
  return pg_query(x->session.conn, sql, count, params, ret_res, err);
}

static enum status note(struct execution *x, struct unit *unit, json_t *take, struct error *err) {
  unit->before = arena_json(x->job->arena, take);
  return unit->before ? OK : error_oom(err);
}

static json_t *list_of(const PGresult *res, int col) {
  json_t *list = pg_str(res, 0, col) ? json_loads(pg_str(res, 0, col), 0, NULL) : NULL;
  return list ? list : json_array();
}

static enum status before_index(struct execution *x, struct unit *unit, const struct step *step, struct error *err) {
  const char *const params[] = {step->relation, step->name};
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, index_before_sql, 2, params, &res, err);
  if (status || PQntuples(res) == 0) return status; /* no such table: the statement will say so */
  bool there = pg_bool(res, 0, 2), invalid = there && !PQgetisnull(res, 0, 3) && !pg_bool(res, 0, 3);
  if (step->if_not_exists && invalid)
    return error_set_code(err, ERR_CONFLICT, "INVALID_INDEX_EXISTS",
                          "there is an invalid index %.200s already, which IF NOT EXISTS would pass over as if it worked: drop it first "
                          "(DROP INDEX CONCURRENTLY %.200s)",
                          PQgetvalue(res, 0, 4), PQgetvalue(res, 0, 4));
  if (unit->transaction) return OK;
  return note(x, unit,
              json_pack("{s:s, s:o, s:b}", "table", PQgetvalue(res, 0, 0), "indexes", list_of(res, 1), "exists", there && !invalid), err);
}

static enum status before_drop(struct execution *x, struct unit *unit, const struct step *step, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, drop_before_sql, 1, &step->relation, &res, err);
  if (status || PQgetisnull(res, 0, 0)) return status;
  return note(x, unit, json_pack("{s:s}", "index", PQgetvalue(res, 0, 0)), err);
}

static enum status before_reindex(struct execution *x, struct unit *unit, const struct step *step, struct error *err) {
  PGRESULT_AUTO res = NULL;
  if (!step->relation) return OK; /* a schema, a database: its leftovers can't be told from others' work */
  enum status status = ask(x, reindex_before_sql, 1, &step->relation, &res, err);
  if (status || PQgetisnull(res, 0, 0)) return status;
  return note(x, unit, json_pack("{s:s, s:o}", "table", PQgetvalue(res, 0, 0), "indexes", list_of(res, 1)), err);
}

static enum status before_detach(struct execution *x, struct unit *unit, const struct step *step, struct error *err) {
  const char *const params[] = {step->relation, step->name};
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, detach_before_sql, 2, params, &res, err);
  if (status || PQgetisnull(res, 0, 0) || PQgetisnull(res, 0, 1)) return status;
  return note(x, unit, json_pack("{s:s, s:s}", "parent", PQgetvalue(res, 0, 0), "partition", PQgetvalue(res, 0, 1)), err);
}

enum status probe_before(struct execution *x, struct unit *unit, size_t index, struct error *err) {
  const struct step *step = &x->plan.steps[index];
  if (!unit->transaction) unit->before = NULL;
  switch (step->probe) {
  case PROBE_CREATE_INDEX: return !unit->transaction || step->if_not_exists ? before_index(x, unit, step, err) : OK;
  case PROBE_DROP_INDEX: return before_drop(x, unit, step, err);
  case PROBE_REINDEX: return before_reindex(x, unit, step, err);
  case PROBE_DETACH: return before_detach(x, unit, step, err);
  case PROBE_NONE:
  case PROBE_REPEAT: break;
  }
  return OK;
}

/* --- after --- */

/* Runs a statement of ours outside of a transaction, without a lock_timeout: it waits for others, as the migration's own would. */
static enum status repair(struct execution *x, const char *sql, struct error *err) {
  if (!sql) return error_oom(err);
  struct run run;
  run_ours(x, "SET lock_timeout = 0", &run);
  x->session.settled = false;
  if (run.end == RUN_OK) run_statement(x, sql, true, &run);
  if (run.end == RUN_OK) return OK;
  error_set_code(err, ERR_UNAVAILABLE, "CLEANUP_FAILED", "%.300s: %.600s", sql, run.error.message);
  return ERR_UNAVAILABLE;
}

static enum status new_indexes(struct execution *x, const struct unit *unit, const char *name, const char *kind, PGresult **ret_res,
                               struct error *err) {
  char *list = json_dumps(json_object_get(unit->before, "indexes"), 0);
  const char *const params[] = {json_str(unit->before, "table", "0"), list, name, kind};
  enum status status = list ? ask(x, index_after_sql, 4, params, ret_res, err) : error_oom(err);
  free(list);
  return status;
}

static enum status after_index(struct execution *x, const struct unit *unit, const struct step *step, enum finding_of *ret_found,
                               struct error *err) {
  PGRESULT_AUTO res = NULL;
  if (json_bool(unit->before, "exists", false)) { /* IF NOT EXISTS found it; without that the server refused */
    *ret_found = step->if_not_exists ? FOUND_APPLIED : FOUND_NOTHING;
    return OK;
  }
  enum status status = new_indexes(x, unit, step->name, "create", &res, err);
  if (status) return status;
  int rows = PQntuples(res);
  *ret_found = rows == 0 ? FOUND_NOTHING : FOUND_UNKNOWN;
  if (rows != 1 || pg_bool(res, 0, 2)) return OK;
  if (pg_bool(res, 0, 1)) {
    *ret_found = FOUND_APPLIED;
    return OK;
  }
  status = repair(x, arena_printf(x->job->arena, "DROP INDEX CONCURRENTLY IF EXISTS %s", PQgetvalue(res, 0, 0)), err);
  *ret_found = FOUND_NOTHING;
  return status;
}

static enum status after_reindex(struct execution *x, const struct unit *unit, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = new_indexes(x, unit, NULL, "reindex", &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++)
    if (!pg_bool(res, row, 2))
      status = repair(x, arena_printf(x->job->arena, "DROP INDEX CONCURRENTLY IF EXISTS %s", PQgetvalue(res, row, 0)), err);
  return status;
}

static enum status after_drop(struct execution *x, const struct unit *unit, enum finding_of *ret_found, struct error *err) {
  const char *const params[] = {json_str(unit->before, "index", "0")};
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, drop_after_sql, 1, params, &res, err);
  if (!status) *ret_found = pg_bool(res, 0, 0) ? FOUND_NOTHING : FOUND_APPLIED;
  return status;
}

static enum status after_detach(struct execution *x, const struct unit *unit, const struct step *step, enum finding_of *ret_found,
                                struct error *err) {
  const char *const params[] = {json_str(unit->before, "parent", "0"), json_str(unit->before, "partition", "0")};
  PGRESULT_AUTO res = NULL;
  enum status status = ask(x, detach_after_sql, 2, params, &res, err);
  if (status) return status;
  *ret_found = PQntuples(res) == 0 ? FOUND_APPLIED : FOUND_NOTHING;
  if (*ret_found == FOUND_APPLIED || !pg_bool(res, 0, 0)) return OK;
  status = repair(x, arena_printf(x->job->arena, "ALTER TABLE %s DETACH PARTITION %s FINALIZE", step->relation, step->name), err);
  if (!status) *ret_found = FOUND_APPLIED;
  return status;
}

enum status probe_after(struct execution *x, struct unit *unit, enum finding_of *ret_found, struct error *err) {
  const struct step *step = &x->plan.steps[unit->first];
  *ret_found = step->probe == PROBE_NONE ? FOUND_UNKNOWN : FOUND_NOTHING;
  if (!unit->before) return OK; /* nothing was there that it could have worked on, or it may simply be repeated */
  switch (step->probe) {
  case PROBE_CREATE_INDEX: return after_index(x, unit, step, ret_found, err);
  case PROBE_DROP_INDEX: return after_drop(x, unit, ret_found, err);
  case PROBE_REINDEX: return after_reindex(x, unit, err);
  case PROBE_DETACH: return after_detach(x, unit, step, ret_found, err);
  case PROBE_NONE:
  case PROBE_REPEAT: break;
  }
  return OK;
}
