/* trial.c - see trial.h. Everything is prepared once; a data set is filled in, all queries run over it, and it is rolled back. Rows are
 * compared here, as text and as a multiset: stricter than = is (1.0 and 1.00 differ), and types without equality compare as well. */
#include "worker/optimizer/rewrite/trial.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/optimizer/rewrite/rows.h"
#include "worker/sql/text.h"

#define PARAMETERS_MAX 100
#define RESULT_ROWS_MAX 200000

struct trial {
  PGconn *conn;
  struct arena *arena;
  struct rows *rows;
  const char *loosen; /* what comes before each data set */
  struct ladder *ladder;
  int parameters;
  Oid types[PARAMETERS_MAX];
};

/* --- results --- */

struct outcome {
  bool failed;
  const char *message;
  uint64_t *hashes; /* of the rows, sorted; malloc'd */
  int count;
};

static int by_value(const void *a, const void *b) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

static uint64_t mix(uint64_t hash, const char *bytes, size_t len) { /* FNV-1a */
  for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
  return hash;
}

static uint64_t hash_row(const PGresult *res, int row) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (int i = 0; i < PQnfields(res); i++) {
    bool null = PQgetisnull(res, row, i);
    int len = PQgetlength(res, row, i);
    hash = mix(hash, null ? "N" : "V", 1);
    if (!null) hash = mix(mix(hash, (const char *)&len, sizeof len), PQgetvalue(res, row, i), (size_t)len);
  }
  return hash;
}

static void take_rows(const PGresult *res, struct outcome *outcome) {
  outcome->count = PQntuples(res);
  outcome->hashes = outcome->count <= RESULT_ROWS_MAX ? calloc((size_t)outcome->count + 1, sizeof *outcome->hashes) : NULL;
  if (!outcome->hashes) {
    outcome->failed = true;
    outcome->message = "too many rows";
    return;
  }
  for (int i = 0; i < outcome->count; i++) outcome->hashes[i] = hash_row(res, i);
  qsort(outcome->hashes, (size_t)outcome->count, sizeof *outcome->hashes, by_value);
}

static bool is_same(const struct outcome *a, const struct outcome *b) {
  return a->count == b->count && memcmp(a->hashes, b->hashes, (size_t)a->count * sizeof *a->hashes) == 0;
}

/* --- running --- */

/* A failure is the query's own: the savepoint, which stands behind the data set, is gone back to. */
static enum status run(struct trial *trial, const char *name, const char *const *params, struct outcome *outcome, struct error *err) {
  PGRESULT_AUTO res = PQexecPrepared(trial->conn, name, trial->parameters, params, NULL, NULL, 0);
  *outcome = (struct outcome){0};
  if (PQresultStatus(res) == PGRES_TUPLES_OK) {
    take_rows(res, outcome);
    return OK;
  }
  const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  outcome->failed = true;
  outcome->message = arena_strdup(trial->arena, message ? message : "the server went away");
  return pg_script(trial->conn, "ROLLBACK TO SAVEPOINT filled", err);
}

static void judge(struct trial *trial, struct ladder_step *step, const struct outcome *original, const struct outcome *made, int set) {
  if (made->failed)
    ladder_drop(step, 5, arena_printf(trial->arena, "on made-up rows it fails where the query does not: %s", made->message));
  else if (!is_same(original, made))
    ladder_drop(step, 5,
                arena_printf(trial->arena, "on made-up rows (set %d) it gives %d rows that are not the query's %d", set, made->count,
                             original->count));
  step->data_sets++;
  step->full += original->count > 0;
}

static enum status run_set(struct trial *trial, int set, struct error *err) {
  const char *rows = rows_fill_sql(trial->rows, set), *params[PARAMETERS_MAX];
  const char *fill = rows ? arena_printf(trial->arena, "BEGIN; %s; %s; SAVEPOINT filled", trial->loosen, rows) : NULL;
  struct outcome original = {0};
  char name[32];
  if (!fill) return error_oom(err);
  for (int i = 0; i < trial->parameters; i++) params[i] = rows_parameter(trial->rows, set, i, trial->types[i]);
  enum status status = pg_script(trial->conn, fill, err);
  if (!status) status = run(trial, "autodb_original", params, &original, err);
  for (size_t i = 0; !status && !original.failed && i < trial->ladder->count; i++) {
    struct outcome made;
    if (trial->ladder->steps[i].dropped) continue;
    snprintf(name, sizeof name, "autodb_%zu", i);
    status = run(trial, name, params, &made, err);
    if (!status) judge(trial, &trial->ladder->steps[i], &original, &made, set);
    free(made.hashes);
  }
  free(original.hashes);
  ERROR_AUTO ignored = {0};
  enum status ended = pg_script(trial->conn, "ROLLBACK", status ? &ignored : err);
  return status ? status : ended;
}

/* --- constraints that no made-up row meets --- */

#define FULL_SET 1 /* a data set in which each table should have rows */

/* CHECKs of these tables and of their columns' domains, and their triggers, are gone till the transaction ends. */
static const char loosen[] =
    "DO $autodb$ DECLARE t regclass; c record; BEGIN FOREACH t IN ARRAY ARRAY[%s]::regclass[] LOOP "
    "EXECUTE pg_catalog.format('ALTER TABLE %%s DISABLE TRIGGER USER', t); "
    "FOR c IN SELECT conname FROM pg_catalog.pg_constraint WHERE contype = 'c' AND coninhcount = 0 AND conrelid = t LOOP "
    "EXECUTE pg_catalog.format('ALTER TABLE %%s DROP CONSTRAINT %%I', t, c.conname); END LOOP; "
    "FOR c IN SELECT DISTINCT contypid::regtype AS of, conname FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_attribute ON atttypid = "
    "contypid WHERE contype = 'c' AND contypid <> 0 AND attrelid = t LOOP "
    "EXECUTE pg_catalog.format('ALTER DOMAIN %%s DROP CONSTRAINT %%I', c.of, c.conname); END LOOP; END LOOP; EXCEPTION WHEN OTHERS THEN "
    "NULL; END $autodb$";

/* A table whose CHECKs turn all rows away has no tables that reference it either: nothing would be tried on anything. */
static enum status find_loosened(struct trial *trial, struct error *err) {
  PGRESULT_AUTO res = NULL;
  const char *fill = rows_fill_sql(trial->rows, FULL_SET), *empty = rows_empty_sql(trial->rows);
  const char *script = fill && empty ? arena_printf(trial->arena, "BEGIN; %s", fill) : NULL;
  if (!script) return error_oom(err);
  trial->loosen = "";
  if (!*empty) return OK;
  enum status status = pg_script(trial->conn, script, err);
  if (!status) status = pg_query(trial->conn, empty, 0, NULL, &res, err);
  if (!status && !PQgetisnull(res, 0, 0) && !(trial->loosen = arena_printf(trial->arena, loosen, pg_str(res, 0, 0))))
    status = error_oom(err);
  ERROR_AUTO ignored = {0};
  enum status ended = pg_script(trial->conn, "ROLLBACK", status ? &ignored : err);
  return status ? status : ended;
}

/* --- preparing --- */

static bool prepare(struct trial *trial, const char *name, const char *sql, PGresult **ret_described, const char **ret_why) {
  const char *text = ladder_unlimited(sql, trial->arena);
  PGRESULT_AUTO res = text ? PQprepare(trial->conn, name, text, 0, NULL) : NULL;
  PGresult *described = PQresultStatus(res) == PGRES_COMMAND_OK ? PQdescribePrepared(trial->conn, name) : NULL;
  if (PQresultStatus(described) == PGRES_COMMAND_OK) {
    *ret_described = described;
    return true;
  }
  const char *message = PQresultErrorField(described ? described : res, PG_DIAG_MESSAGE_PRIMARY);
  *ret_why = arena_strdup(trial->arena, message ? message : "it could not be prepared");
  PQclear(described);
  return false;
}

static enum status prepare_all(struct trial *trial, const char *sql, struct error *err) {
  PGRESULT_AUTO original = NULL;
  const char *why = NULL;
  char name[32];
  if (!prepare(trial, "autodb_original", sql, &original, &why))
    return error_set(err, ERR_UNAVAILABLE, "the query does not run in the clone: %s", why);
  trial->parameters = PQnparams(original);
  if (trial->parameters > PARAMETERS_MAX) return error_set(err, ERR_UNAVAILABLE, "it has more than %d parameters", PARAMETERS_MAX);
  for (int i = 0; i < trial->parameters; i++) trial->types[i] = PQparamtype(original, i);
  for (size_t i = 0; i < trial->ladder->count; i++) {
    struct ladder_step *step = &trial->ladder->steps[i];
    PGRESULT_AUTO described = NULL;
    if (step->dropped) continue;
    snprintf(name, sizeof name, "autodb_%zu", i);
    if (!prepare(trial, name, step->candidate.sql, &described, &why)) {
      ladder_drop(step, 5, why);
      continue;
    }
    const char *difference = ladder_difference(original, described, trial->arena);
    if (difference) ladder_drop(step, 1, difference);
  }
  return OK;
}

static const char *end(struct ladder_step *step) {
  if (!step->data_sets) return "not tried on made-up rows: the query itself fails on all of them";
  if (step->candidate.model && !step->full) return NULL;
  step->made_up = true;
  return step->note;
}

enum status trial_compare(PGconn *conn, const struct snapshot *snapshot, const char *sql, const char *const *values, int value_count,
                          struct ladder *ladder, struct arena *arena, struct error *err) {
  struct trial trial = {.conn = conn, .arena = arena, .ladder = ladder};
  struct query_resolution *names = NULL;
  PgQuery__Node *tree = sql_parse_statement(arena, sql);
  if (!tree || tree->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
    return error_set(err, ERR_INTERNAL, "a query that parsed does not any more");
  enum status status = query_resolve(snapshot, tree->select_stmt, arena, &names, err);
  if (!status) status = rows_new(snapshot, tree, names, values, value_count, arena, &trial.rows, err);
  for (size_t i = 0; !status && i < ladder->count; i++)
    if (!ladder->steps[i].dropped && ladder->steps[i].candidate.model)
      rows_take(trial.rows, sql_parse_statement(arena, ladder->steps[i].candidate.sql));
  if (!status)
    status = pg_script(conn,
                       "DEALLOCATE ALL; SET statement_timeout = '3s'; SET jit = off; SET max_parallel_workers_per_gather = 0; SET "
                       "constraint_exclusion = off",
                       err);
  if (!status) status = find_loosened(&trial, err);
  if (!status) status = prepare_all(&trial, sql, err);
  for (int set = 0; !status && set < ROWS_SETS; set++) status = run_set(&trial, set, err);
  for (size_t i = 0; !status && i < ladder->count; i++) {
    struct ladder_step *step = &ladder->steps[i];
    if (step->dropped) continue;
    const char *note = end(step);
    if (step->candidate.model && !step->made_up)
      ladder_drop(step, 5, "the query gave no row on any made-up data, so nothing supports it");
    else
      step->note = note;
  }
  return status;
}

/* --- the sandbox --- */

/* Rows that were rolled back, those of triggers too, have left their pages behind, and buffers of them. */
static enum status wipe(PGconn *conn, struct error *err) {
  static const char sql[] =
      "SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') || ' CASCADE' FROM pg_catalog.pg_class WHERE relkind "
      "= 'r' AND relowner = current_user::regrole AND pg_catalog.pg_relation_size(oid) > 0";
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, sql, 0, NULL, &res, err);
  if (status || PQgetisnull(res, 0, 0)) return status;
  return pg_script(conn, pg_str(res, 0, 0), err);
}

enum status trial_run(struct optimization *o, struct ladder *ladder, struct error *err) {
  PGCONN_AUTO conn = NULL;
  ERROR_AUTO unclean = {0};
  enum status status = clone_open(o->job, o->snapshot, false, &o->clone, err);
  if (!status) status = sandbox_connect_migrator(o->clone.sandbox, &conn, err);
  if (!status)
    status = trial_compare(conn, o->snapshot, o->statement->text, o->values, o->values ? o->parameter_count : 0, ladder, o->arena, err);
  if (status || wipe(conn, &unclean)) clone_close(&o->clone);
  return status;
}
