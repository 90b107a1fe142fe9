/* facts.c - see facts.h. */
#include "worker/optimizer/facts.h"

#include "common/json.h"
#include "common/pg.h"
#include "sandbox/whatif.h"
#include "worker/optimizer/index_spec.h"
#include "worker/sql/split.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define STATEMENT_MS 30000
#define UPDATES_MAX 500 /* statements of pg_stat_statements that are read */

/* --- tables --- */

bool facts_add_table(struct arena *arena, const struct snap_table *table, struct table_list *tables) {
  for (size_t i = 0; i < tables->count; i++)
    if (tables->items[i] == table) return true;
  const struct snap_table **slot = LIST_PUSH(arena, tables);
  if (!slot) return false;
  *slot = table;
  for (size_t i = 0; i < table->partition_count; i++)
    if (!facts_add_table(arena, table->partitions[i], tables)) return false;
  for (size_t i = 0; i < table->depends_on_count; i++)
    if (!facts_add_table(arena, table->depends_on[i], tables)) return false;
  return true;
}

struct mentions {
  struct arena *arena;
  const struct snapshot *snapshot;
  struct table_list *tables;
  bool oom;
};

static bool see_relation(void *arg, PgQuery__Node *node) {
  struct mentions *mentions = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const PgQuery__RangeVar *var = node->range_var;
  const struct snap_table *table = snapshot_table(mentions->snapshot, sql_or_null(var->schemaname), var->relname);
  if (table && !facts_add_table(mentions->arena, snapshot_topmost(mentions->snapshot, table), mentions->tables)) mentions->oom = true;
  return true;
}

/* UPDATE, DELETE and INSERT have their relation outside of any node. */
static const PgQuery__RangeVar *target_of(const PgQuery__Node *statement) {
  switch (statement->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT: return statement->insert_stmt->relation;
  case PG_QUERY__NODE__NODE_UPDATE_STMT: return statement->update_stmt->relation;
  case PG_QUERY__NODE__NODE_DELETE_STMT: return statement->delete_stmt->relation;
  case PG_QUERY__NODE__NODE_MERGE_STMT: return statement->merge_stmt->relation;
  default: return NULL;
  }
}

bool facts_tables(struct arena *arena, const struct snapshot *snapshot, PgQuery__Node *statement, struct table_list *tables) {
  struct mentions mentions = {.arena = arena, .snapshot = snapshot, .tables = tables};
  const PgQuery__RangeVar *target = target_of(statement);
  const struct snap_table *table = target ? snapshot_table(snapshot, sql_or_null(target->schemaname), target->relname) : NULL;
  if (table && !facts_add_table(arena, snapshot_topmost(snapshot, table), tables)) return false;
  sql_walk(statement, see_relation, &mentions);
  return !mentions.oom;
}

/* --- reading --- */

static const char activity_sql[] =
    "SELECT coalesce(json_agg(json_build_object('s', schemaname, 'n', relname, 'ins', n_tup_ins, 'upd', n_tup_upd, 'hot', n_tup_hot_upd, "
    "'del', n_tup_del, 'mod', n_mod_since_analyze, 'live', n_live_tup, 'dead', n_dead_tup, 'analyzed', coalesce(last_analyze, "
    "last_autoanalyze) IS NOT NULL)), '[]') FROM pg_catalog.pg_stat_all_tables WHERE schemaname || '.' || relname = ANY ($1::text[])";
/* Counters last over a restart that is clean, and are gone after a crash; where their beginning is not known it is the server's. */
static const char window_sql[] =
    "SELECT extract(epoch FROM now() - coalesce(d.stats_reset, pg_catalog.pg_postmaster_start_time())) / 86400 "
    "FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database()";
static const char extensions_sql[] =
    "SELECT e.extname, pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = "
    "e.extnamespace WHERE e.extname IN ('hypopg', 'pg_stat_statements')";

static enum status ask_json(struct query_session *session, struct arena *arena, const char *sql, int count, const char *const *params,
                            const json_t **ret_json, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = query_session_query(session, sql, count, params, &res, err);
  if (status) return status;
  const char *text = PQntuples(res) == 1 ? pg_str(res, 0, 0) : NULL;
  json_t *json = text ? json_loads(text, 0, NULL) : NULL;
  if (!arena_json(arena, json)) return error_set(err, ERR_UNAVAILABLE, "the server's statistics could not be read");
  *ret_json = json;
  return OK;
}

static const char *names_of(struct arena *arena, const struct table_list *tables) {
  const char **names = arena_calloc(arena, tables->count + 1, sizeof *names);
  for (size_t i = 0; names && i < tables->count; i++) names[i] = tables->items[i]->qualified;
  return names ? pg_array_param(arena, names, tables->count) : NULL;
}

/* --- UPDATEs of the past --- */

static bool note_written(struct facts *facts, const PgQuery__UpdateStmt *update, double calls) {
  const PgQuery__RangeVar *var = update->relation;
  const struct snap_table *table = snapshot_table(facts->snapshot, sql_or_null(var->schemaname), var->relname);
  for (size_t i = 0; table && i < update->n_target_list; i++) {
    struct written_column *slot = LIST_PUSH(facts->arena, &facts->written);
    if (!slot) return false;
    const PgQuery__Node *target = update->target_list[i];
    const char *column = target->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? target->res_target->name : "";
    *slot = (struct written_column){.table = table, .column = column, .calls = calls};
  }
  struct written_column *whole = table ? LIST_PUSH(facts->arena, &facts->written) : NULL; /* column NULL: the statement itself */
  if (whole) *whole = (struct written_column){.table = table, .calls = calls};
  return !table || whole;
}

static enum status read_updates(struct query_session *session, struct facts *facts, const char *schema, struct error *err) {
  PGRESULT_AUTO res = NULL;
  const char *sql = arena_printf(facts->arena,
                                 "SELECT query, rows FROM %s.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE "
                                 "datname = pg_catalog.current_database()) AND query ~* '^[[:space:]]*update[[:space:]]' "
                                 "ORDER BY rows DESC LIMIT %d",
                                 schema, UPDATES_MAX);
  if (!sql) return error_oom(err);
  enum status status = query_session_query(session, sql, 0, NULL, &res, err);
  if (status) return status;
  facts->has_statements = true;
  for (int row = 0; row < PQntuples(res); row++) {
    const char *text = arena_strdup(facts->arena, pg_str(res, row, 0));
    struct sql_script script = {0};
    if (!text) continue;
    status = sql_split(text, strlen(text), facts->arena, &script, err);
    if (status) return status;
    bool update = script.count == 1 && script.statements[0].node->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT;
    if (update && !note_written(facts, script.statements[0].node->update_stmt, strtod(pg_str(res, row, 1), NULL))) return error_oom(err);
  }
  return OK;
}

/* --- all of it --- */

static enum status read_extensions(struct query_session *session, struct facts *facts, const char **ret_statements, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = query_session_query(session, extensions_sql, 0, NULL, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) {
    const char *schema = arena_strdup(facts->arena, pg_str(res, row, 1));
    if (strcmp(pg_str(res, row, 0), "hypopg") == 0) {
      facts->has_hypopg = true;
      facts->hypopg_schema = schema;
    } else {
      *ret_statements = schema;
    }
  }
  return status;
}

static enum status read_all(struct query_session *session, struct facts *facts, const struct table_list *tables,
                            const char **ret_statements, struct error *err) {
  const char *names = names_of(facts->arena, tables);
  if (!names) return error_oom(err);
  const char *const params[] = {names, "true"};
  PGRESULT_AUTO window = NULL;
  enum status status = query_session_own_settings(session, err);
  if (!status) status = ask_json(session, facts->arena, whatif_read_settings_sql, 0, NULL, &facts->settings, err);
  if (!status) status = ask_json(session, facts->arena, whatif_read_relations_sql, 2, params, &facts->relations, err);
  if (!status) status = ask_json(session, facts->arena, whatif_read_columns_sql(facts->version_num), 1, params, &facts->columns, err);
  if (!status) status = ask_json(session, facts->arena, activity_sql, 1, params, &facts->activity, err);
  if (!status) status = query_session_query(session, window_sql, 0, NULL, &window, err);
  if (!status && PQntuples(window) == 1 && !PQgetisnull(window, 0, 0)) facts->days = strtod(pg_str(window, 0, 0), NULL);
  return status ? status : read_extensions(session, facts, ret_statements, err);
}

static enum status end(struct query_session *session, enum status status, struct error *err) {
  ERROR_AUTO late = {0};
  enum status ended = query_session_end(session, status ? &late : err);
  return status ? status : ended;
}

enum status facts_read(struct query_session *session, const struct snapshot *snapshot, const struct table_list *tables, struct arena *arena,
                       struct facts **ret_facts, struct error *err) {
  struct facts *facts = ARENA_NEW(arena, struct facts);
  const char *statements = NULL;
  if (!facts) return error_oom(err);
  *facts = (struct facts){.arena = arena, .snapshot = snapshot, .version_num = query_session_version(session)};
  enum status status = query_session_begin(session, NULL, STATEMENT_MS, err);
  if (status) return status;
  status = end(session, read_all(session, facts, tables, &statements, err), err);
  if (!status && statements) { /* it may be there and not loaded, or not be ours to read: in a transaction of its own */
    ERROR_AUTO refused = {0};
    status = query_session_begin(session, NULL, STATEMENT_MS, err);
    if (!status) status = end(session, read_updates(session, facts, statements, &refused), &refused);
    if (status == ERR_VALIDATION || status == ERR_FORBIDDEN) status = OK;
    if (status) error_set(err, status, "%s", refused.message);
  }
  if (!status) *ret_facts = facts;
  return status;
}

/* --- asking --- */

static double number(const json_t *object, const char *key, double otherwise) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

static const json_t *row_of(const json_t *rows, const char *schema, const char *name) {
  size_t index;
  json_t *row;
  json_array_foreach((json_t *)(uintptr_t)rows, index,
                     row) if (strcmp(json_str(row, "n", ""), name) == 0 && strcmp(json_str(row, "s", ""), schema) == 0) return row;
  return NULL;
}

static void add_up(struct table_facts *sum, const struct table_facts *part) {
  if (part->rows > 0) sum->rows = (sum->rows > 0 ? sum->rows : 0) + part->rows;
  if (part->pages > 0) sum->pages = (sum->pages > 0 ? sum->pages : 0) + part->pages;
  sum->visible_pages += part->visible_pages;
  sum->inserted += part->inserted;
  sum->updated += part->updated;
  sum->hot_updated += part->hot_updated;
  sum->deleted += part->deleted;
  sum->changed_since_analyze += part->changed_since_analyze;
  sum->live_rows += part->live_rows;
  sum->dead_rows += part->dead_rows;
  sum->analyzed |= part->analyzed;
}

/* The planner's own rule: rows grow with the file (estimate_rel_size() in src/backend/optimizer/util/plancat.c). */
static void take_size(struct table_facts *out, const json_t *relation) {
  double counted = number(relation, "pages", -1), length = number(relation, "length", -1);
  out->rows = number(relation, "rows", -1);
  out->pages = length >= 0 ? length : counted;
  if (counted > 0 && length > 0 && out->rows > 0) out->rows *= length / counted;
  out->visible_pages = number(relation, "visible", 0);
}

struct table_facts facts_table(const struct facts *facts, const struct snap_table *table) {
  struct table_facts out = {.rows = -1, .pages = -1};
  if (table->kind == SNAP_PARTITIONED) {
    for (size_t i = 0; i < table->partition_count; i++) {
      struct table_facts part = facts_table(facts, table->partitions[i]);
      add_up(&out, &part);
    }
    return out;
  }
  const json_t *relation = row_of(facts->relations, table->schema, table->name),
               *activity = row_of(facts->activity, table->schema, table->name);
  if (relation) take_size(&out, relation);
  out.inserted = number(activity, "ins", 0);
  out.updated = number(activity, "upd", 0);
  out.hot_updated = number(activity, "hot", 0);
  out.deleted = number(activity, "del", 0);
  out.changed_since_analyze = number(activity, "mod", 0);
  out.live_rows = number(activity, "live", 0);
  out.dead_rows = number(activity, "dead", 0);
  out.analyzed = json_bool(activity, "analyzed", false);
  if (out.rows < 0 && out.live_rows > 0) out.rows = out.live_rows; /* never analysed, and counted all the same */
  return out;
}

struct column_facts facts_column(const struct facts *facts, const struct snap_table *table, const char *column) {
  struct column_facts out = {.width = -1};
  const json_t *best = NULL;
  size_t index;
  json_t *row;
  json_array_foreach((json_t *)(uintptr_t)facts->columns, index, row) {
    if (strcmp(json_str(row, "c", ""), column) != 0 || strcmp(json_str(row, "t", ""), table->name) != 0 ||
        strcmp(json_str(row, "s", ""), table->schema) != 0)
      continue;
    if (!best || json_bool(row, "inh", false) == (table->kind == SNAP_PARTITIONED)) best = row;
  }
  if (!best) return table->partition_count ? facts_column(facts, table->partitions[0], column) : out;
  double distinct = number(best, "distinct", 0), rows = facts_table(facts, table).rows;
  out.null_fraction = number(best, "null", 0);
  out.width = number(best, "width", -1);
  out.correlation = number(best, "corr", 0);
  out.distinct = distinct < 0 ? (rows > 0 ? -distinct * rows : 0) : distinct;
  out.json = best;
  return out;
}

double facts_update_share(const struct facts *facts, const struct index_spec *spec, bool *ret_known) {
  double all = 0, touching = 0, statement = 0;
  for (size_t i = 0; i < facts->written.count; i++) { /* a statement's columns, then the statement */
    const struct written_column *written = &facts->written.items[i];
    if (written->table != spec->table) continue;
    if (written->column && index_spec_mentions(facts->arena, spec, written->column)) statement = written->calls;
    if (written->column) continue;
    all += written->calls;
    touching += statement;
    statement = 0;
  }
  *ret_known = all > 0;
  if (all > 0) return touching / all;
  size_t mentioned = 0, count = spec->table->column_count;
  for (size_t i = 0; i < count; i++) mentioned += index_spec_mentions(facts->arena, spec, spec->table->columns[i].name);
  return count ? (double)mentioned / (double)count : 0;
}

bool facts_match_snapshot(const struct facts *facts, const struct table_list *tables) {
  size_t here = 0, known = 0, index;
  json_t *row;
  json_array_foreach((json_t *)(uintptr_t)facts->relations, index, row) {
    const char *schema = json_str(row, "s", ""), *name = json_str(row, "n", "");
    if (snapshot_index_table(facts->snapshot, schema, name, NULL))
      here++;
    else if (!snapshot_table(facts->snapshot, schema, name))
      return false;
  }
  for (size_t i = 0; i < tables->count; i++)
    for (size_t k = 0; k < tables->items[i]->index_count; k++) known += tables->items[i]->kind != SNAP_PARTITIONED;
  return here == known;
}
