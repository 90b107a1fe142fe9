/* preflight.c - each query in a read-only transaction of its own, so that one that fails says nothing about the next. */
#include "worker/migration/preflight.h"

#include "common/clientdb.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"
#include "worker/migration/score.h"
#include "worker/schema/store.h"
#include "worker/sql/text.h"

struct asking {
  PGconn *conn;
  struct analysis *analysis;
  int64_t deadline_ms;
};

/* --- may it be asked now? --- */

struct reading {
  const struct snapshot *snapshot;
  const struct snap_table *tables[4];
  size_t count;
  const char *missing; /* relation or column that is not there yet */
};

static bool see_table(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const struct snap_table *table = snapshot_table(reading->snapshot, sql_or_null(node->range_var->schemaname), node->range_var->relname);
  if (!table) reading->missing = node->range_var->relname;
  if (table && reading->count < sizeof reading->tables / sizeof *reading->tables) reading->tables[reading->count++] = table;
  return true;
}

static bool see_column(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || reading->missing) return true;
  const char *qualifier, *name;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  bool found = !name || strcmp(name, "ctid") == 0;
  for (size_t i = 0; i < reading->count && !found; i++) found = snap_table_column(reading->tables[i], name) != NULL;
  if (!found) reading->missing = name;
  return true;
}

static bool changes_rows(const PgQuery__Node *node) {
  return node->node_case == PG_QUERY__NODE__NODE_INSERT_STMT || node->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT ||
         node->node_case == PG_QUERY__NODE__NODE_DELETE_STMT || node->node_case == PG_QUERY__NODE__NODE_MERGE_STMT ||
         node->node_case == PG_QUERY__NODE__NODE_TRUNCATE_STMT || node->node_case == PG_QUERY__NODE__NODE_COPY_STMT;
}

static bool changed_before(const struct analysis *analysis, size_t index, const struct snap_table *table) {
  for (size_t i = 0; i < index; i++) {
    const struct statement *earlier = &analysis->statements[i];
    if (earlier->effect.opaque) return true;
    for (size_t t = 0; changes_rows(earlier->source->node) && t < earlier->tables.count; t++)
      if (strcmp(earlier->tables.items[t], table->qualified) == 0) return true;
  }
  return false;
}

/* Why the query can't be asked before the migration has begun; NULL when it can. */
static const char *too_early(const struct analysis *analysis, size_t index, const char *sql) {
  PgQuery__Node *query = sql_parse_statement(analysis->arena, sql);
  struct reading reading = {.snapshot = analysis->snapshot};
  if (!query) return "the query can't be parsed";
  sql_walk(query, see_table, &reading);
  sql_walk(query, see_column, &reading);
  if (reading.missing) return arena_printf(analysis->arena, "not run: an earlier statement makes %s", reading.missing);
  for (size_t i = 0; i < reading.count; i++)
    if (changed_before(analysis, index, reading.tables[i]))
      return arena_printf(analysis->arena, "not run: an earlier statement may change rows of %s", reading.tables[i]->qualified);
  return NULL;
}

/* --- asking --- */

static void answer(struct effect_check *check, bool violating) {
  check->preflight.ran = true;
  check->preflight.violating = violating;
  check->verdict = violating ? VERDICT_WILL_FAIL : VERDICT_PROVEN;
}

/* A value that doesn't convert is an answer, too; a timeout, a lock or a lost connection is none. */
static bool is_violation(const struct error *err) {
  const char *sqlstate = json_str(err->details, "sqlstate", "");
  return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0;
}

static void ask(struct asking *asking, struct effect_check *check, int64_t left_ms) {
  ERROR_AUTO err = {0};
  ERROR_AUTO ignored = {0};
  PGRESULT_AUTO res = NULL;
  struct arena *arena = asking->analysis->arena;
  int64_t started = clock_mono_ms();
  const char *begin = arena_printf(arena, "BEGIN READ ONLY; SET LOCAL statement_timeout = %lld; SET LOCAL lock_timeout = %d",
                                   (long long)(left_ms < PREFLIGHT_STATEMENT_MS ? left_ms : PREFLIGHT_STATEMENT_MS), PREFLIGHT_LOCK_MS);
  enum status status = begin ? pg_script(asking->conn, begin, &err) : ERR_INTERNAL;
  if (!status) status = pg_query(asking->conn, check->preflight_sql, 0, NULL, &res, &err);
  check->preflight.duration_ms = (double)(clock_mono_ms() - started);
  if (!status)
    answer(check, PQntuples(res) > 0 && pg_bool(res, 0, 0));
  else if (is_violation(&err))
    answer(check, true);
  if (status) check->preflight.error = arena_strdup(arena, err.message);
  if (pg_script(asking->conn, "ROLLBACK", &ignored)) asking->deadline_ms = 0; /* the connection is gone: nothing more is asked */
}

static void ask_statement(struct asking *asking, size_t index) {
  struct statement *statement = &asking->analysis->statements[index];
  for (size_t i = 0; i < statement->effect.checks.count; i++) {
    struct effect_check *check = &statement->effect.checks.items[i];
    if (!check->preflight_sql) continue;
    check->preflight.wanted = true;
    int64_t left_ms = asking->deadline_ms - clock_mono_ms();
    if (left_ms <= 0)
      check->preflight.error = "not run: the time for all checks is over, or the connection is lost";
    else if (!(check->preflight.error = too_early(asking->analysis, index, check->preflight_sql)))
      ask(asking, check, left_ms);
  }
}

static void score_again(struct analysis *analysis) {
  analysis->score = 0;
  for (size_t i = 0; i < analysis->count; i++) {
    score_statement(analysis, &analysis->statements[i]);
    if (analysis->statements[i].score > analysis->score) analysis->score = analysis->statements[i].score;
  }
}

void preflight_ask(PGconn *conn, struct analysis *analysis) {
  struct asking asking = {conn, analysis, clock_mono_ms() + PREFLIGHT_TOTAL_MS};
  for (size_t i = 0; i < analysis->count; i++) ask_statement(&asking, i);
  score_again(analysis);
}

static void refuse_all(struct analysis *analysis, const char *why) {
  const char *text = arena_printf(analysis->arena, "not run: %s", why);
  for (size_t i = 0; i < analysis->count; i++)
    for (size_t c = 0; c < analysis->statements[i].effect.checks.count; c++) {
      struct effect_check *check = &analysis->statements[i].effect.checks.items[c];
      if (check->preflight_sql) check->preflight = (struct effect_preflight){.wanted = true, .error = text};
    }
}

void preflight_run(struct job *job, struct analysis *analysis) {
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  const char *string = NULL;
  char *excluded = NULL;
  job_progress(job, 25, "preflight", "asking the database");
  enum status status = store_connection_string(job, &string, &excluded, &err);
  if (!status) status = clientdb_connect(job->cfg, string, PREFLIGHT_STATEMENT_MS, &conn, &err);
  if (status)
    refuse_all(analysis, err.message);
  else
    preflight_ask(conn, analysis);
}
