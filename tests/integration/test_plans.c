/* test_plans.c - plans of real servers, of every installed major: as text, in the frames people paste them in, and as JSON they are one
 * tree. */
#include "tests/support/harness.h"

#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/optimizer/plan.h"

static const int majors[] = {13, 14, 15, 16, 17, 18};
enum { MAJORS = sizeof majors / sizeof *majors };
static struct harness *h;
static struct arena *arena;
static PGconn *servers[MAJORS];

static const char schema[] =
    "CREATE TABLE customers (id int PRIMARY KEY, name text, region int);"
    "CREATE TABLE \"Odd Orders\" (id bigint PRIMARY KEY, customer_id int REFERENCES customers, status text, total numeric, at timestamptz);"
    "CREATE TABLE parts (id int, k int) PARTITION BY RANGE (k);"
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO "
    "(20);"
    "INSERT INTO customers SELECT i, 'name ' || i, i % 7 FROM generate_series(1, 2000) i;"
    "INSERT INTO \"Odd Orders\" SELECT i, 1 + i % 2000, (ARRAY['new', 'it''s (odd', 'done'])[1 + i % 3], i % 100, timestamptz '2026-01-01' "
    "+ i * interval '1 min'"
    "  FROM generate_series(1, 20000) i;"
    "INSERT INTO parts SELECT i, i % 20 FROM generate_series(1, 4000) i;"
    "CREATE INDEX odd_customer ON \"Odd Orders\" (customer_id); CREATE INDEX odd_status ON \"Odd Orders\" (status, at);"
    "CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE TRIGGER noise BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION noisy()";

static int setup(void **state) {
  h = harness_new();
  arena = arena_new(512UL << 20);
  for (int m = 0; m < MAJORS; m++) {
    char url[HARNESS_URL];
    if (!harness_has_postgres(majors[m]) || (majors[m] != 17 && majors[m] != 13 && majors[m] != 18 && !getenv("TESTS_LONG"))) continue;
    harness_database(harness_postgres(h, majors[m]), "plans", url);
    servers[m] = harness_connect(url);
    ERROR_AUTO err = {0};
    if (pg_script(servers[m], schema, &err) || pg_script(servers[m], "VACUUM ANALYZE", &err)) fail_msg("%s", err.message);
  }
  *state = h;
  return 0;
}

static int teardown(void **state) {
  for (int m = 0; m < MAJORS; m++) PQfinish(servers[m]);
  arena_free(arena);
  return harness_teardown(state);
}

/* All queries with all settings, or each query with some. */
static size_t step(void) { return getenv("TESTS_LONG") ? 1 : 3; }

static const char *explain(int m, const char *options, const char *format, const char *sql) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  const char *text = arena_printf(arena, "EXPLAIN (%s%sFORMAT %s) %s", options, *options ? ", " : "", format, sql), *all = "";
  if (pg_script(servers[m], "BEGIN", &err) || pg_query(servers[m], text, 0, NULL, &res, &err))
    fail_msg("%d: %s: %s", majors[m], text, err.message);
  if (pg_script(servers[m], "ROLLBACK", &err)) fail_msg("%s", err.message);
  for (int row = 0; row < PQntuples(res); row++) all = arena_printf(arena, "%s%s\n", all, PQgetvalue(res, row, 0));
  return all;
}

static struct query_plan *parsed(const char *text) {
  ERROR_AUTO err = {0};
  struct query_plan *plan = NULL;
  if (plan_parse(text, strlen(text), NULL, arena, &plan, &err)) fail_msg("%s\n%s", err.message, text);
  return plan;
}

/* --- equality --- */

static void same_text(const char *what, const char *a, const char *b, const char *text) {
  if ((a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0))
    fail_msg("%s: \"%s\" of the text, \"%s\" of the JSON\n%s", what, a ? a : "none", b ? b : "none", text);
}

static void same_number(const char *what, double a, double b, const char *text) {
  double off = a > b ? a - b : b - a;
  if (off > 0.001 && off > 0.001 * (b > 0 ? b : -b)) fail_msg("%s: %f of the text, %f of the JSON\n%s", what, a, b, text);
}

static void same_node(const struct plan_node *a, const struct plan_node *b, bool exact, const char *text) {
  same_text("type", a->type, b->type, text);
  assert_int_equal(a->child_count, b->child_count);
  if (a->role != b->role) fail_msg("%s: role %d of the text, %d of the JSON\n%s", a->type, a->role, b->role, text);
#define TEXT(member) same_text(#member, a->member, b->member, text)
#define NUMBER(member) same_number(#member, a->member, b->member, text)
  TEXT(operation), TEXT(join_type), TEXT(strategy), TEXT(partial_mode), TEXT(subplan_name), TEXT(relation), TEXT(alias), TEXT(index_name);
  TEXT(cte), TEXT(function), TEXT(index_cond), TEXT(recheck_cond), TEXT(filter), TEXT(join_filter), TEXT(hash_cond), TEXT(merge_cond);
  TEXT(one_time_filter), TEXT(run_condition), TEXT(sort_method), TEXT(schema);
  assert_int_equal(a->parallel_aware, b->parallel_aware);
  assert_int_equal(a->sort_key_count, b->sort_key_count);
  for (size_t i = 0; i < a->sort_key_count; i++) TEXT(sort_key[i]);
  assert_int_equal(a->group_key_count, b->group_key_count);
  for (size_t i = 0; i < a->group_key_count; i++) TEXT(group_key[i]);
  NUMBER(startup_cost), NUMBER(total_cost), NUMBER(plan_rows), NUMBER(plan_width), NUMBER(actual_rows), NUMBER(loops),
      NUMBER(exclusive_cost);
  NUMBER(removed_by_filter), NUMBER(removed_by_join_filter), NUMBER(removed_by_recheck), NUMBER(workers_planned), NUMBER(workers_launched);
  NUMBER(hash_batches), NUMBER(hash_buckets), NUMBER(original_hash_batches), NUMBER(sort_space_kb), NUMBER(heap_fetches),
      NUMBER(planned_partitions);
  NUMBER(exact_heap_blocks), NUMBER(lossy_heap_blocks), NUMBER(cache_hits), NUMBER(cache_misses), NUMBER(disk_kb), NUMBER(estimate_factor);
  if (exact) NUMBER(buffers.shared_hit), NUMBER(own.shared_hit), NUMBER(buffers.temp_written);
}

static void same_plan(const struct query_plan *a, const struct query_plan *b, bool exact, const char *text) {
  if (a->count != b->count) fail_msg("%zu nodes of the text, %zu of the JSON\n%s", a->count, b->count, text);
  for (size_t i = 0; i < a->count; i++) same_node(a->nodes[i], b->nodes[i], exact, text);
  assert_int_equal(a->analyzed, b->analyzed);
}

/* --- queries --- */

static const char *const queries[] = {
    "SELECT * FROM customers WHERE region = 3 AND name LIKE 'name 1%'",
    "SELECT c.name, count(*) FROM customers c JOIN \"Odd Orders\" o ON o.customer_id = c.id WHERE o.total > 50 GROUP BY c.name ORDER BY 2 "
    "DESC, c.name LIMIT 5",
    "SELECT * FROM \"Odd Orders\" o WHERE customer_id = 17 AND status = 'it''s (odd'",
    "SELECT * FROM \"Odd Orders\" WHERE status = 'it''s (odd' AND at > '2026-01-10' ORDER BY at DESC LIMIT 3",
    "WITH recent AS MATERIALIZED (SELECT * FROM \"Odd Orders\" WHERE total > 10) SELECT * FROM recent a JOIN recent b USING (id) WHERE "
    "a.status = 'new'",
    "SELECT id, (SELECT count(*) FROM \"Odd Orders\" o WHERE o.customer_id = c.id) FROM customers c WHERE region = 1",
    "SELECT * FROM customers WHERE id NOT IN (SELECT customer_id FROM \"Odd Orders\")",
    "SELECT * FROM customers WHERE region = (SELECT max(region) FROM customers) AND EXISTS (SELECT FROM \"Odd Orders\" WHERE customer_id = "
    "customers.id)",
    "SELECT k, count(*) FROM parts WHERE k < 15 GROUP BY k",
    "SELECT name FROM customers UNION SELECT status FROM \"Odd Orders\"",
    "SELECT status FROM \"Odd Orders\" EXCEPT SELECT name FROM customers",
    "SELECT *, row_number() OVER (PARTITION BY region ORDER BY id) FROM customers",
    "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY region ORDER BY id) rn FROM customers) s WHERE rn < 3",
    "SELECT region, name, count(*) FROM customers GROUP BY GROUPING SETS ((region), (name), ())",
    "SELECT * FROM generate_series(1, 10) g(n), LATERAL (SELECT * FROM customers WHERE id = g.n) x",
    "SELECT * FROM (VALUES (1), (2)) v(a) FULL JOIN customers c ON c.id = v.a",
    "WITH RECURSIVE r AS (SELECT 1 n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
    "UPDATE customers SET name = name || 'x' WHERE id < 10",
    "DELETE FROM \"Odd Orders\" WHERE customer_id = 5 RETURNING id",
    "INSERT INTO customers SELECT i + 100000, 'n', 1 FROM generate_series(1, 3) i ON CONFLICT DO NOTHING",
    "SELECT * FROM customers WHERE id = 1 OR region = 99 FOR UPDATE",
    "SELECT * FROM \"Odd Orders\" TABLESAMPLE system (10) REPEATABLE (1)",
    "SELECT DISTINCT region FROM customers ORDER BY region",
    "SELECT * FROM customers WHERE false",
    "SELECT * FROM \"Odd Orders\" ORDER BY customer_id, at LIMIT 10",
    "SELECT c.* FROM customers c LEFT JOIN \"Odd Orders\" o ON o.customer_id = c.id AND o.status = 'none' WHERE o.id IS NULL",
};
enum { QUERIES = sizeof queries / sizeof *queries };

static const char *const settings[] = {"", "SET enable_hashjoin = off; SET enable_nestloop = off",
                                       "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off",
                                       "SET enable_seqscan = off; SET enable_hashagg = off; SET work_mem = '64kB'",
                                       "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0"};

static int alike; /* plans that are one tree as text and as JSON */

static void compare(int m, const char *sql) {
  static const char *const options[] = {"", "VERBOSE", "ANALYZE, TIMING OFF, BUFFERS", "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF"};
  for (size_t i = 0; i < 4; i++) {
    const char *json = explain(m, options[i], "JSON", sql), *text = explain(m, options[i], "TEXT", sql);
    struct query_plan *of_text = parsed(text), *of_json = parsed(json);
    assert_true(of_text->from_text);
    assert_false(of_json->from_text);
    bool fixed = strstr(text, "Gather") == NULL && strstr(text, "WorkTable") == NULL;
    if (!fixed && strstr(options[i], "ANALYZE")) continue;
    same_plan(of_text, of_json, false, text);
    alike++;
  }
}

static void text_and_json_are_one_tree(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  for (int m = 0; m < MAJORS; m++)
    for (size_t s = 0; servers[m] && s < sizeof settings / sizeof *settings; s++) {
      if (*settings[s] && pg_script(servers[m], settings[s], &err)) fail_msg("%s", err.message);
      for (size_t q = s % step(); q < QUERIES; q += step()) {
        struct arena *whole = arena;
        arena = arena_new(128 << 20);
        compare(m, queries[q]);
        arena_free(arena);
        arena = whole;
      }
      if (pg_script(servers[m], "RESET ALL", &err)) fail_msg("%s", err.message);
    }
  print_message("S1: %d plans are one tree as text and as JSON\n", alike);
}

/* Times of all nodes add up to the root's, and so do costs and blocks: nothing is counted twice or lost. */
static void shares_add_up(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  for (int m = 0; m < MAJORS; m++)
    for (size_t s = 0; servers[m] && s < sizeof settings / sizeof *settings; s++) {
      if (*settings[s] && pg_script(servers[m], settings[s], &err)) fail_msg("%s", err.message);
      for (size_t q = s % step(); q < QUERIES; q += step()) {
        const char *json = explain(m, "ANALYZE, BUFFERS", "JSON", queries[q]);
        struct query_plan *plan = parsed(json);
        double ms = 0, cost = 0, blocks = 0;
        for (size_t i = 0; i < plan->count; i++) {
          ms += plan->nodes[i]->exclusive_ms, cost += plan->nodes[i]->exclusive_cost, blocks += plan->nodes[i]->own.shared_hit;
          assert_true(plan->nodes[i]->exclusive_ms >= 0 && plan->nodes[i]->exclusive_cost >= 0);
        }
        double slack = 0.1 * plan->root->total_ms + 0.02 * (double)plan->count + 0.1;
        bool parallel = strstr(json, "Gather") != NULL; /* there the parts are averages */
        if (!parallel && (ms > plan->root->total_ms + slack || ms < plan->root->total_ms - slack))
          fail_msg("%s: %.3f ms of all nodes, %.3f of the root\n%s", queries[q], ms, plan->root->total_ms, json);
        same_number("cost", cost, plan->root->total_cost, json);
        if (strncmp(queries[q], "SELECT", 6) == 0 && !parallel) same_number("blocks", blocks, plan->root->buffers.shared_hit, json);
      }
      if (pg_script(servers[m], "RESET ALL", &err)) fail_msg("%s", err.message);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(text_and_json_are_one_tree), cmocka_unit_test(shares_add_up)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
