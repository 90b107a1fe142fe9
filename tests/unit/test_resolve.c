/* test_resolve.c - names found and names reported, what they mean, and the nearest ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/query/allow.h"
#include "worker/query/resolve.h"
#include "worker/sql/split.h"

static const char schema_json[] = "{\"server_version_num\": 170000, \"search_path_schemas\": [\"shop\"], \"tables\": ["
                                  "{\"schema\": \"shop\", \"name\": \"orders\", \"kind\": \"table\", \"columns\": [{\"name\": \"id\", "
                                  "\"type\": \"bigint\", \"nullable\": false},"
                                  " {\"name\": \"customer_id\", \"type\": \"bigint\", \"nullable\": false}, {\"name\": \"total_amount\", "
                                  "\"type\": \"numeric(10,2)\", \"nullable\": true}]},"
                                  "{\"schema\": \"shop\", \"name\": \"customers\", \"kind\": \"table\", \"columns\": [{\"name\": \"id\", "
                                  "\"type\": \"bigint\", \"nullable\": false},"
                                  " {\"name\": \"name\", \"type\": \"text\", \"nullable\": false}]},"
                                  "{\"schema\": \"other\", \"name\": \"logs\", \"kind\": \"table\", \"columns\": [{\"name\": \"line\", "
                                  "\"type\": \"text\", \"nullable\": true}]}],"
                                  "\"functions\": [{\"schema\": \"shop\", \"name\": \"net\", \"arguments\": \"price numeric, rate numeric "
                                  "DEFAULT 0.19\", \"returns\": \"numeric\","
                                  " \"language\": \"sql\", \"volatility\": \"immutable\"}]}";

struct made {
  struct arena *arena;
  struct snapshot *snapshot;
  PgQuery__SelectStmt *select;
  struct query_resolution *resolution;
};

static struct made resolve(const char *sql) {
  ERROR_AUTO err = {0};
  struct made made = {.arena = arena_new((size_t)64 << 20)};
  struct sql_script script;
  json_t *json = arena_json(made.arena, json_loads(schema_json, 0, NULL));
  assert_non_null(json);
  assert_int_equal(snapshot_load(json, made.arena, &made.snapshot, &err), OK);
  assert_int_equal(sql_split(sql, strlen(sql), made.arena, &script, &err), OK);
  if (script.count != 1) fail_msg("%s: %s", sql, script.fault.message);
  made.select = script.statements[0].node->select_stmt;
  assert_int_equal(query_resolve(made.snapshot, made.select, made.arena, &made.resolution, &err), OK);
  return made;
}

static void test_unresolved(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    enum query_name_kind kind;
    const char *name, *suggestion; /* NULL: any, or none */
  } cases[] = {
      {"SELECT * FROM ordes", QUERY_NAME_TABLE, "ordes", "shop.orders"},
      {"SELECT * FROM shop.customer", QUERY_NAME_TABLE, "shop.customer", "shop.customers"},
      {"SELECT totl_amount FROM orders", QUERY_NAME_COLUMN, "totl_amount", "total_amount"},
      {"SELECT o.amount_total FROM orders o", QUERY_NAME_COLUMN, "o.amount_total", "o.total_amount"},
      {"SELECT (o).totl_amount FROM orders o", QUERY_NAME_COLUMN, "o.totl_amount", "o.total_amount"},
      {"SELECT (x).b FROM (SELECT 1 AS a) x", QUERY_NAME_COLUMN, "x.b", NULL},
      {"SELECT orders.id FROM orders o", QUERY_NAME_COLUMN, "orders.id", "o.id"},
      {"SELECT c.total_amount FROM customers c JOIN orders o ON o.customer_id = c.id", QUERY_NAME_COLUMN, "c.total_amount",
       "o.total_amount"},
      {"SELECT id FROM customers c JOIN orders o ON o.customer_id = c.id", QUERY_NAME_COLUMN, "id", "c.id"},
      {"SELECT name FROM orders", QUERY_NAME_COLUMN, "name", "shop.customers.name"},
      {"SELECT x.a FROM (SELECT id AS b FROM orders) x", QUERY_NAME_COLUMN, "x.a", NULL},
      {"WITH t AS (SELECT id FROM orders) SELECT total_amount FROM t", QUERY_NAME_COLUMN, "total_amount", NULL},
      {"SELECT * FROM customers c, (SELECT * FROM orders o WHERE o.customer_id = c.id) x", QUERY_NAME_COLUMN, "c.id", NULL},
      {"SELECT * FROM customers a, customers b JOIN orders o ON o.customer_id = a.id", QUERY_NAME_COLUMN, "a.id", NULL},
      {"SELECT * FROM customers JOIN orders USING (customer_id)", QUERY_NAME_COLUMN, "customer_id", NULL},
      {"SELECT date_trnc('day', now())", QUERY_NAME_FUNCTION, "date_trnc", "date_trunc"},
      {"SELECT date_trunc('day')", QUERY_NAME_FUNCTION, "date_trunc", NULL},
      {"SELECT net()", QUERY_NAME_FUNCTION, "net", NULL},
      {"SELECT uuidv7()", QUERY_NAME_FUNCTION, "uuidv7", NULL}, /* the server is 17 */
      {"SELECT 1 <=> 2", QUERY_NAME_OPERATOR, "<=>", NULL},
      {"SELECT '1'::intger", QUERY_NAME_TYPE, "intger", "integer"},
      {"SELECT id FROM orders UNION SELECT id FROM customers ORDER BY name", QUERY_NAME_COLUMN, "name", NULL},
      {"SELECT 1 FROM orders o, customers o", QUERY_NAME_TABLE, "o", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct made made = resolve(cases[i].sql);
    const struct query_resolution *found = made.resolution;
    if (found->problem_count != 1) fail_msg("%s: %zu problems", cases[i].sql, found->problem_count);
    const struct query_problem *problem = &found->problems[0];
    if (problem->kind != cases[i].kind || strcmp(problem->name, cases[i].name) != 0)
      fail_msg("%s: %s: %s", cases[i].sql, problem->name, problem->message);
    if (cases[i].suggestion && (!problem->suggestions[0] || strcmp(problem->suggestions[0], cases[i].suggestion) != 0))
      fail_msg("%s: suggests %s", cases[i].sql, problem->suggestions[0] ? problem->suggestions[0] : "nothing");
    arena_free(made.arena);
  }
}

static void test_what_is_read(void **state) {
  (void)state;
  struct made made = resolve("SELECT o.id, (SELECT c.name FROM customers c WHERE c.id = o.customer_id) AS who FROM orders o LEFT JOIN "
                             "customers x ON x.id = o.id WHERE x.name = 'a'");
  const struct query_resolution *found = made.resolution;
  assert_int_equal(found->problem_count, 0);
  assert_int_equal(found->relation_count, 3);
  assert_string_equal(found->relations[0].table->name, "orders");
  assert_true(found->relations[0].columns[0] && found->relations[0].columns[1] && !found->relations[0].columns[2]);
  assert_int_equal(found->top->output_count, 2);
  assert_string_equal(found->top->outputs[0].type, "bigint");
  assert_string_equal(found->top->outputs[1].type, "text");
  assert_false(found->top->outputs[0].nullable);
  const struct query_binding *where = query_binding(found, made.select->where_clause->a_expr->lexpr->column_ref);
  assert_non_null(where);
  assert_string_equal(query_bound_column(where)->name, "name");
  assert_true(query_bound_nullable(where)); /* NOT NULL, but on the nullable side */
  arena_free(made.arena);
}

static void test_calls(void **state) {
  (void)state;
  struct made made = resolve("SELECT o.to_json, (o).net, net(1), lower('x') FROM orders o");
  assert_int_equal(made.resolution->problem_count, 0);
  assert_int_equal(made.resolution->function_count, 4); /* two of them written as if they were columns */
  int disguised = 0;
  for (size_t i = 0; i < 4; i++) disguised += !made.resolution->functions[i].call;
  assert_int_equal(disguised, 2);
  arena_free(made.arena);
}

static void test_path(void **state) {
  (void)state;
  struct made made = resolve("SELECT line FROM logs, orders");
  assert_int_equal(made.resolution->problem_count, 0);
  assert_true(query_on_path(made.resolution, "other"));
  assert_string_equal(made.resolution->path[made.resolution->path_count - 1], "other");
  arena_free(made.arena);
}

/* No function of the server is both allowed and of a kind that writes, waits, or tells about the server. */
static void test_function_list(void **state) {
  (void)state;
  static const char *const bad[] = {"pg_sleep",
                                    "set_config",
                                    "query_to_xml",
                                    "database_to_xml",
                                    "lo_import",
                                    "nextval",
                                    "txid_current",
                                    "dblink",
                                    "pg_read_file",
                                    "pg_notify",
                                    "current_setting",
                                    "pg_get_functiondef",
                                    "pg_stat_get_activity",
                                    "has_table_privilege",
                                    "array_fill",
                                    "xpath",
                                    "ts_stat",
                                    "pg_logical_emit_message",
                                    "pg_advisory_lock",
                                    "crosstab",
                                    "xpath_table",
                                    "pgstattuple",
                                    "pg_export_snapshot"};
  static const char *const good[] = {
      "count",      "date_trunc",     "sum",      "percentile_cont", "to_char", "now",         "random",          "generate_series",
      "jsonb_each", "regexp_replace", "timezone", "row_number",      "extract", "to_tsvector", "clock_timestamp", "gen_random_uuid",
      "json_agg"};
  const struct builtin *builtin;
  for (size_t i = 0; (builtin = builtin_at(i)); i++)
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
      if (strcmp(builtin->name, bad[k]) == 0 && guard_allows_builtin(builtin, NULL)) fail_msg("%s is allowed", bad[k]);
  for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
    builtin = builtin_function("", good[k]);
    if (!builtin || !guard_allows_builtin(builtin, NULL)) fail_msg("%s is not allowed", good[k]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_unresolved), cmocka_unit_test(test_what_is_read), cmocka_unit_test(test_calls),
                                     cmocka_unit_test(test_path), cmocka_unit_test(test_function_list)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
