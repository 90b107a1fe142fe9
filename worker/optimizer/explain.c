/* explain.c - plans of the query and of what stages make of it, all made alike: with the same values for its parameters.
 *
 * Values come from the request; else the query is planned without any, as a generic plan; where it is to be run, the column that a
 * parameter is compared with tells a usual one (pg_stats): its most common value, or the middle of its histogram. They are put into the
 * text as literals, which is what a custom plan sees. */
#include "common/buf.h"
#include "common/clientdb.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/optimizer/optimize_impl.h"
#include "worker/query/session.h"
#include "worker/schema/store.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define STATEMENT_MS 60000 /* of one plan, and of the query when it is run */

/* --- values --- */

static bool count_parameter(void *arg, PgQuery__Node *node) {
  int *most = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_PARAM_REF && node->param_ref->number > *most) *most = node->param_ref->number;
  return true;
}

int explain_parameters(PgQuery__Node *statement) {
  int most = 0;
  sql_walk(statement, count_parameter, &most);
  return most;
}

/* A JSON value as a literal. */
static const char *literal_of(struct arena *arena, const json_t *value) {
  if (json_is_string(value)) return sql_literal(arena, json_string_value(value));
  if (json_is_integer(value)) return arena_printf(arena, "%lld", (long long)json_integer_value(value));
  if (json_is_real(value)) return arena_printf(arena, "%.17g", json_real_value(value));
  return json_is_true(value) ? "true" : json_is_false(value) ? "false" : "NULL";
}

struct compared { /* what parameter `number` is compared with */
  const struct optimization *optimization;
  int number;
  const char *table, *column;
  const struct snap_table *relation;
  bool limit, array; /* = ANY ($1) */
  int bound;         /* of BETWEEN: 1 the lower, 2 the upper */
};

static const PgQuery__Node *uncast(const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  return node;
}

static bool is_parameter(const PgQuery__Node *node, int number) {
  node = uncast(node);
  return node && node->node_case == PG_QUERY__NODE__NODE_PARAM_REF && node->param_ref->number == number;
}

/* Itself, or a value of IN or BETWEEN: which of them, from 1. */
static bool has_parameter(const PgQuery__Node *node, int number, int *ret_place) {
  *ret_place = 1;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_LIST) return is_parameter(node, number);
  for (size_t i = 0; i < node->list->n_items; i++)
    if (is_parameter(node->list->items[i], number)) {
      *ret_place = (int)i + 1;
      return true;
    }
  return false;
}

static bool find_compared(void *arg, PgQuery__Node *node) {
  struct compared *compared = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT)
    compared->limit |=
        is_parameter(node->select_stmt->limit_count, compared->number) || is_parameter(node->select_stmt->limit_offset, compared->number);
  if (compared->column || node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return true;
  const PgQuery__Node *left = uncast(node->a_expr->lexpr), *right = uncast(node->a_expr->rexpr);
  int place = 0;
  bool on_right = has_parameter(right, compared->number, &place);
  const PgQuery__Node *other = on_right ? left : is_parameter(left, compared->number) ? right : NULL;
  if (!other || other->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  sql_name_split(other->column_ref->n_fields, other->column_ref->fields, &compared->table, &compared->column);
  compared->array = on_right && (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY ||
                                 node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL);
  if (on_right && node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) compared->bound = place;
  return true;
}

static bool find_relation(void *arg, PgQuery__Node *node) {
  struct compared *compared = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const PgQuery__RangeVar *var = node->range_var;
  const char *alias = var->alias ? var->alias->aliasname : var->relname;
  if (compared->table && strcmp(compared->table, alias) != 0) return true;
  const struct snap_table *table = snapshot_table(compared->optimization->snapshot, sql_or_null(var->schemaname), var->relname);
  if (table && snap_table_column(table, compared->column)) compared->relation = table;
  return true;
}

/* $4: 1 and 2 are the ends of a range, one part of the histogram; $5: as an array. */
static const char usual_sql[] =
    "SELECT CASE WHEN $5::bool THEN ARRAY[v]::text ELSE v END FROM (SELECT CASE WHEN $4::int > 0 THEN coalesce(b[m + $4::int - 1], b[m], "
    "c[1]) ELSE coalesce(c[1], b[m]) END AS v FROM (SELECT most_common_vals::text::text[] AS c, histogram_bounds::text::text[] AS b, "
    "(array_length(histogram_bounds::text::text[], 1) + 1) / 2 AS m FROM pg_catalog.pg_stats WHERE schemaname = $1 AND tablename = $2 AND "
    "attname = $3 ORDER BY inherited DESC LIMIT 1) s) usual WHERE v IS NOT NULL";

static enum status usual_value(struct optimization *o, const struct compared *compared, const char **ret_literal, struct error *err) {
  const char *const params[] = {compared->relation->schema, compared->relation->name, compared->column,
                                (const char[]){(char)('0' + compared->bound), '\0'}, compared->array ? "true" : "false"};
  PGRESULT_AUTO res = NULL;
  enum status status = query_session_begin(o->session, NULL, STATEMENT_MS, err);
  if (status) return status;
  status = query_session_query(o->session, usual_sql, 5, params, &res, err);
  const char *value = !status && PQntuples(res) == 1 ? pg_str(res, 0, 0) : NULL;
  *ret_literal = value ? sql_literal(o->arena, value) : NULL;
  ERROR_AUTO late = {0};
  enum status ended = query_session_end(o->session, &late);
  return status ? status : ended ? error_set_code(err, ended, late.code, "%s", late.message) : OK;
}

static enum status sample(struct optimization *o, const char **values, struct error *err) {
  for (int i = 0; i < o->parameter_count; i++) {
    struct compared compared = {.optimization = o, .number = i + 1};
    sql_walk(o->statement->node, find_compared, &compared);
    if (compared.column) sql_walk(o->statement->node, find_relation, &compared);
    const char *literal = NULL;
    enum status status = compared.relation ? usual_value(o, &compared, &literal, err) : OK;
    if (status) return status;
    values[i] = literal ? literal : compared.limit ? "10" : "NULL";
    if (!literal && !compared.limit)
      optimize_warn(o, "no usual value is known for $%d: it was planned as NULL; options.parameters gives values", i + 1);
    else
      optimize_warn(o, "$%d was taken to be %.80s", i + 1, values[i]);
  }
  o->values = values;
  return OK;
}

enum status explain_choose_values(struct optimization *o, struct error *err) {
  size_t given = json_array_size(o->options.parameters), needed = (size_t)o->parameter_count;
  if (!needed) return OK;
  const char **values = arena_calloc(o->arena, needed, sizeof *values);
  if (!values) return error_oom(err);
  if (!given) return o->options.analyze ? sample(o, values, err) : OK;
  if (given < needed) return error_add_field(err, "options.parameters", "must hold %zu values, for $1 to $%zu", needed, needed);
  for (size_t i = 0; i < needed; i++) values[i] = literal_of(o->arena, json_array_get(o->options.parameters, i));
  o->values = values;
  return OK;
}

const char *explain_replace(struct arena *arena, const char *sql, const char *const *values, int count) {
  struct sql_tokens tokens;
  if (!sql_tokenize(sql, arena, &tokens)) return NULL;
  BUF_AUTO out;
  buf_init(&out, 4 * LIMIT_SQL_BYTES);
  size_t at = 0;
  for (size_t i = 0; i < tokens.count; i++) {
    if (tokens.items[i].kind != PG_QUERY__TOKEN__PARAM) continue;
    long number = strtol(sql + tokens.items[i].start + 1, NULL, 10);
    buf_append(&out, sql + at, (size_t)tokens.items[i].start - at);
    buf_puts(&out, number >= 1 && number <= count ? values[number - 1] : "NULL");
    at = (size_t)tokens.items[i].end;
  }
  buf_puts(&out, sql + at);
  return buf_ok(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
}

const char *explain_with_values(const struct optimization *o, const char *sql) {
  return o->values ? explain_replace(o->arena, sql, o->values, o->parameter_count) : sql;
}

/* --- plans --- */

/* A statement that writes runs on a connection of its own, in a transaction that is never committed. Triggers and functions run, too; what
 * they do outside of the transaction (sequences, other servers) stays: who asks for it was told. */
static enum status explain_write(struct optimization *o, const char *sql, json_t **ret_json, struct error *err) {
  const char *string = NULL;
  char *excluded = NULL;
  PGCONN_AUTO conn = NULL;
  PGRESULT_AUTO res = NULL;
  json_error_t fault;
  enum status status = store_connection_string(o->job, &string, &excluded, err);
  if (!status) status = clientdb_connect(o->job->cfg, string, STATEMENT_MS, &conn, err);
  if (!status) status = pg_script(conn, "BEGIN; SET LOCAL lock_timeout = '3s'; SET LOCAL idle_in_transaction_session_timeout = '60s'", err);
  const char *explain =
      arena_printf(o->arena, "EXPLAIN (FORMAT JSON, ANALYZE, BUFFERS, WAL%s) %s", o->version_num >= 120000 ? ", SETTINGS" : "", sql);
  if (!status) status = explain ? pg_query(conn, explain, 0, NULL, &res, err) : error_oom(err);
  if (!status) *ret_json = json_loads(PQntuples(res) == 1 ? PQgetvalue(res, 0, 0) : "", 0, &fault);
  ERROR_AUTO ignored = {0};
  if (conn && pg_script(conn, "ROLLBACK", &ignored)) PQfinish(conn), conn = NULL; /* the connection's end rolls back as well */
  if (!status && !*ret_json) return error_set(err, ERR_VALIDATION, "the server gave no plan");
  return status;
}

static enum status ask_generic(struct optimization *o, const char *sql, json_t **ret_json, struct error *err) {
  BUF_AUTO execute;
  PGRESULT_AUTO res = NULL;
  PGRESULT_AUTO set = NULL;
  PGRESULT_AUTO prepared = NULL;
  PGRESULT_AUTO gone = NULL;
  json_error_t fault;
  buf_init(&execute, 4096);
  buf_puts(&execute, "EXPLAIN (FORMAT JSON, SETTINGS) EXECUTE autodb_generic(");
  for (int i = 0; i < o->parameter_count; i++) buf_puts(&execute, i ? ", NULL" : "NULL");
  buf_puts(&execute, ")");
  const char *prepare = arena_printf(o->arena, "PREPARE autodb_generic AS %s", sql);
  if (!prepare || !buf_ok(&execute)) return error_oom(err);
  enum status status = query_session_own_settings(o->session, err);
  if (!status) status = query_session_query(o->session, "SET LOCAL plan_cache_mode = force_generic_plan", 0, NULL, &set, err);
  if (!status) status = query_session_query(o->session, prepare, 0, NULL, &prepared, err);
  if (!status) status = query_session_query(o->session, buf_str(&execute), 0, NULL, &res, err);
  if (!status) status = query_session_query(o->session, "DEALLOCATE autodb_generic", 0, NULL, &gone, err);
  if (status) return status;
  *ret_json = json_loads(PQntuples(res) == 1 ? PQgetvalue(res, 0, 0) : "", 0, &fault);
  if (!*ret_json) return error_set(err, ERR_VALIDATION, "the server gave no plan");
  json_object_del(json_object_get(json_array_get(*ret_json, 0), "Settings"), "plan_cache_mode"); /* ours */
  return OK;
}

/* Of a statement with $1 in it and no values. By way of PREPARE, because a message of the extended protocol has to bind what it names, and
 * a bound value would be planned with. */
static enum status explain_generic(struct optimization *o, const char *sql, json_t **ret_json, struct error *err) {
  ERROR_AUTO late = {0};
  enum status status = query_session_begin(o->session, NULL, STATEMENT_MS, err);
  if (status) return status;
  status = ask_generic(o, sql, ret_json, err);
  enum status ended = query_session_end(o->session, &late);
  if (status || !ended) return status;
  json_decref(*ret_json);
  return error_set_code(err, ended, late.code, "%s", late.message);
}

enum status explain_within(struct optimization *o, const char *sql, struct query_plan **ret_plan, struct error *err) {
  static const struct query_explain how = {0};
  const char *text = explain_with_values(o, sql);
  json_t *json = NULL;
  if (!text) return error_oom(err);
  bool generic = o->parameter_count > 0 && !o->values;
  enum status status =
      generic ? ask_generic(o, text, &json, err) : query_session_explain(o->session, o->snapshot, text, &how, o->arena, &json, err);
  if (status) return status;
  return arena_json(o->arena, json) ? plan_build(json, o->snapshot, o->arena, ret_plan, err) : error_oom(err);
}

static bool writes(const struct optimization *o) { return o->statement->node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT; }

/* What the server said of "EXPLAIN (…) query" is said of the query: the code says whose fault it is. */
static enum status refused(struct error *err) {
  if (err->status == ERR_VALIDATION && strcmp(err->code, status_code(ERR_VALIDATION)) == 0)
    snprintf(err->code, sizeof err->code, "QUERY_INVALID");
  if (strcmp(err->code, "EXECUTION_FAILED") == 0) snprintf(err->code, sizeof err->code, "QUERY_INVALID");
  return err->status;
}

enum status optimize_explain(struct optimization *o, const char *sql, bool analyze, struct query_plan **ret_plan, struct error *err) {
  const char *text = explain_with_values(o, sql);
  json_t *json = NULL;
  if (!text) return error_oom(err);
  struct query_explain how = {.analyze = analyze, .buffers = analyze, .settings = true, .own_settings = true, .statement_ms = STATEMENT_MS};
  enum status status;
  if (o->parameter_count > 0 && !o->values)
    status = explain_generic(o, text, &json, err);
  else if (analyze && writes(o) && o->options.allow_dml_analyze)
    status = explain_write(o, text, &json, err);
  else
    status = query_session_explain(o->session, o->snapshot, text, &how, o->arena, &json, err);
  if (status) return refused(err);
  if (!arena_json(o->arena, json)) return error_oom(err);
  struct query_plan *plan = NULL;
  status = plan_build(json, o->snapshot, o->arena, &plan, err);
  if (status) return status;
  plan->text = plan_text(plan);
  *ret_plan = plan;
  return OK;
}
