/* test_plan_source.c - one plan in the frames people paste it in; what is no plan, cut off, too deep or too large is refused with a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/optimizer/finding.h"
#include "worker/optimizer/plan.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  arena = arena_new((size_t)512 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

/* --- frames --- */

#define PLAN                                                                                                       \
  "Hash Left Join  (cost=1.07..2.15 rows=3 width=8) (actual time=0.020..0.030 rows=30 loops=1)\n"                  \
  "  Hash Cond: (a.id = b.id)\n"                                                                                   \
  "  ->  Seq Scan on \"Odd Name\" a  (cost=0.00..1.03 rows=3 width=4) (actual time=0.010..0.010 rows=3 loops=1)\n" \
  "        Filter: ((note = 'it''s (odd: x'::text) AND (k = 5))\n"                                                 \
  "        Rows Removed by Filter: 7\n"                                                                            \
  "  ->  Hash  (cost=1.03..1.03 rows=3 width=4) (actual time=0.010..0.010 rows=3 loops=1)\n"                       \
  "        Buckets: 1024  Batches: 1  Memory Usage: 9kB\n"                                                         \
  "        ->  Seq Scan on b  (cost=0.00..1.03 rows=3 width=4) (actual time=0.001..0.002 rows=3 loops=1)\n"        \
  "Planning Time: 0.100 ms\nExecution Time: 0.050 ms\n"

static const char *const lines[] = {
    "Hash Left Join  (cost=1.07..2.15 rows=3 width=8) (actual time=0.020..0.030 rows=30 loops=1)",
    "  Hash Cond: (a.id = b.id)",
    "  ->  Seq Scan on \"Odd Name\" a  (cost=0.00..1.03 rows=3 width=4) (actual time=0.010..0.010 rows=3 loops=1)",
    "        Filter: ((note = 'it''s (odd: x'::text) AND (k = 5))",
    "        Rows Removed by Filter: 7",
    "  ->  Hash  (cost=1.03..1.03 rows=3 width=4) (actual time=0.010..0.010 rows=3 loops=1)",
    "        Buckets: 1024  Batches: 1  Memory Usage: 9kB",
    "        ->  Seq Scan on b  (cost=0.00..1.03 rows=3 width=4) (actual time=0.001..0.002 rows=3 loops=1)",
    "Planning Time: 0.100 ms",
    "Execution Time: 0.050 ms"};
enum { LINES = sizeof lines / sizeof *lines };

/* Every line between `before` and `after`; quotes within doubled when asked. */
static const char *framed(const char *head, const char *before, const char *after, bool doubled, const char *tail) {
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  buf_puts(&out, head);
  for (size_t i = 0; i < LINES; i++) {
    buf_puts(&out, before);
    for (const char *c = lines[i]; *c; c++) buf_printf(&out, "%s%c", doubled && *c == '"' ? "\"" : "", *c);
    buf_puts(&out, after);
  }
  buf_puts(&out, tail);
  return arena_strdup(arena, buf_str(&out));
}

static struct query_plan *parsed(const char *what, const char *text) {
  ERROR_AUTO err = {0};
  struct query_plan *plan = NULL;
  if (plan_parse(text, strlen(text), NULL, arena, &plan, &err)) fail_msg("%s: %s\n%s", what, err.message, text);
  return plan;
}

static void check(const char *what, const char *text) {
  const struct query_plan *plan = parsed(what, text);
  if (plan->count != 4) fail_msg("%s: %zu nodes\n%s", what, plan->count, text);
  assert_string_equal(plan->root->join_type, "Left");
  assert_string_equal(plan->nodes[1]->relation, "Odd Name");
  assert_string_equal(plan->nodes[1]->alias, "a");
  if (!plan->nodes[1]->filter || strcmp(plan->nodes[1]->filter, "((note = 'it''s (odd: x'::text) AND (k = 5))") != 0)
    fail_msg("%s: %s\n%s", what, plan->nodes[1]->filter ? plan->nodes[1]->filter : "no filter", text);
  assert_true(plan->nodes[1]->removed_by_filter == 7);
  assert_true(plan->nodes[2]->hash_buckets == 1024 && plan->nodes[2]->role == PLAN_INNER);
  assert_true(plan->planning_ms == 0.1 && plan->execution_ms == 0.05);
  assert_true(plan->root->estimate_factor == 10 && plan->root->underestimated);
}

/* Cut at the width of a terminal, in the middle of words; or at blanks. */
static const char *wrapped(size_t width, bool at_blanks) {
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  for (size_t i = 0; i < LINES; i++) {
    const char *line = lines[i];
    while (strlen(line) > width) {
      size_t cut = width;
      while (at_blanks && cut > width / 2 && line[cut] != ' ') cut--;
      buf_printf(&out, "%.*s\n", (int)cut, line);
      line += cut + (at_blanks && line[cut] == ' ');
    }
    buf_printf(&out, "%s\n", line);
  }
  return arena_strdup(arena, buf_str(&out));
}

static void one_plan_in_every_frame(void **state) {
  (void)state;
  check("bare", PLAN);
  check("psql", framed("                QUERY PLAN                \n------------------------------------------\n", " ", "\n", false,
                       "(10 rows)\n\nTime: 1.2 ms\n"));
  check("psql with borders", framed("+-----+\n| QUERY PLAN |\n+-----+\n", "| ", "    |\n", false, "+-----+\n(10 rows)\n"));
  check("psql in Unicode", framed("┌─────┐\n│ QUERY PLAN │\n├─────┤\n", "│ ", "    │\n", false, "└─────┘\n(10 rows)\n"));
  check("psql with its prompt", framed("shop=# EXPLAIN ANALYZE SELECT 1;\n QUERY PLAN \n------\n", " ", "\n", false, "(10 rows)\n"));
  check("a prompt after it", framed(" QUERY PLAN \n------\n", " ", "\n", false, "(10 rows)\n\nshop=#"));
  check("a prompt right after it", framed(" QUERY PLAN \n------\n", " ", "\n", false, "shop=>"));
  check("as other shells count", framed("+-----+\n| QUERY PLAN |\n+-----+\n", "| ", " |\n", false, "+-----+\n10 rows in set\n"));
  check("psql expanded", framed("", "-[ RECORD 1 ]------\nQUERY PLAN | ", "\n", false, "\n"));
  check("psql expanded, with borders", framed("", "+-[ RECORD 1 ]------+\n| QUERY PLAN | ", "    |\n", false, "+------------+-----+\n\n"));
  check("CRLF", framed("", "", "\r\n", false, ""));
  check("pgAdmin", framed("\"QUERY PLAN\"\n", "\"", "\"\n", true, ""));
  check("cells with commas", framed("", "'", "',\n", false, ""));
  check("Markdown", framed("| QUERY PLAN |\n| :--- |\n", "| ", " |\n", false, ""));
  check("auto_explain", framed("2026-01-02 03:04:05.678 UTC [99] LOG:  duration: 0.050 ms  plan:\n\tQuery Text: SELECT *\n\tFROM a LEFT "
                               "JOIN b USING (id)\n\t  WHERE k = 5;\n",
                               "\t", "\n", false,
                               "2026-01-02 03:04:06.000 UTC [99] LOG:  duration: 9 ms  plan:\n\tQuery Text: SELECT 2\n\tResult  "
                               "(cost=0.00..0.01 rows=1 width=4)\n"));
  check("syslog", framed("Jan  2 03:04:05 host postgres[99]: [7-1] LOG:  duration: 0.050 ms  plan:\n",
                         "Jan  2 03:04:05 host postgres[99]: [7-2] #011", "\n", false, ""));
  for (size_t width = 60; width <= 90; width += 10) {
    check("a terminal's width", wrapped(width, false));
    check("broken at blanks", wrapped(width, true));
  }
}

static void a_log_keeps_its_query(void **state) {
  (void)state;
  const struct query_plan *plan =
      parsed("log", "LOG:  duration: 1 ms  plan:\n\tQuery Text: SELECT 1\n\tFROM t\n\tSeq Scan on t  (cost=0.00..1.03 rows=3 width=4)\n");
  assert_string_equal(plan->query, "SELECT 1\nFROM t");
  plan = parsed("log as JSON", "LOG:  duration: 1 ms  plan:\n\t{\n\t  \"Query Text\": \"SELECT 2\",\n\t  \"Plan\": {\n\t    \"Node Type\": "
                               "\"Result\"\n\t  }\n\t}\n");
  assert_string_equal(plan->query, "SELECT 2");
}

/* --- JSON --- */

#define JSON                                                                                                                        \
  "[{\"Plan\": {\"Node Type\": \"Limit\", \"Total Cost\": 9.5, \"Plans\": [{\"Node Type\": \"Seq Scan\", \"Parent Relationship\": " \
  "\"Outer\", \"Relation Name\": \"t\"}]}}]"

static void json_in_every_frame(void **state) {
  (void)state;
  static const char *const texts[] = {
      JSON,
      "  " JSON " \n",
      "                QUERY PLAN               \n-----------------------------------------\n [                                      +\n   "
      "{                                    +\n     \"Plan\": {                          +\n       \"Node Type\": \"Limit\",            "
      "+\n       \"Plans\": [                       +\n         {                              +\n           \"Node Type\": \"Seq Scan\"   "
      "    +\n         }                              +\n       ]     "
      "                           +\n     }                                  +\n   }                                    +\n ]\n(1 row)\n",
      "\"[\n  {\n    \"\"Plan\"\": {\n      \"\"Node Type\"\": \"\"Limit\"\",\n \"\"Plans\"\": [{\"\"Node Type\"\": \"\"Seq Scan\"\"}]\n   "
      " }\n  }\n]\"\n",
      "{\"Plan\": {\"Node Type\": \"Limit\", \"Plans\": [{\"Node Type\": \"Seq Scan\"}]}}",
      "[{\"QUERY PLAN\": [{\"Plan\": {\"Node Type\": \"Limit\", \"Plans\": [{\"Node Type\": \"Seq Scan\"}]}}]}]",
      "[{\"QUERY PLAN\": \"Limit  (cost=0.00..1.00 rows=1 width=4)\"}, {\"QUERY PLAN\": \"  ->  Seq Scan on t  (cost=0.00..1.00 rows=1 "
      "width=4)\"}]",
      "{\"timestamp\": \"2026-01-02\", \"message\": \"duration: 1 ms  plan:\\nQuery Text: SELECT 1\\nLimit  (cost=0.00..1.00 rows=1 "
      "width=4)\\n  ->  Seq Scan on t  (cost=0.00..1.00 rows=1 width=4)\"}",
      "\"[{\\\"Plan\\\": {\\\"Node Type\\\": \\\"Limit\\\", \\\"Plans\\\": [{\\\"Node Type\\\": \\\"Seq Scan\\\"}]}}]\""};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const struct query_plan *plan = parsed("JSON", texts[i]);
    assert_int_equal(plan->count, 2);
    assert_string_equal(plan->nodes[1]->type, "Seq Scan");
  }
}

/* --- what is refused --- */

static void refused(const char *text, size_t len, const char *code, const char *saying) {
  ERROR_AUTO err = {0};
  struct query_plan *plan = NULL;
  if (plan_parse(text, len, NULL, arena, &plan, &err) == OK) fail_msg("taken: %.100s", text);
  assert_int_equal(err.status, ERR_VALIDATION);
  assert_string_equal(err.code, code);
  if (!strstr(err.message, saying)) fail_msg("%s: does not say \"%s\"", err.message, saying);
}

static void what_is_no_plan_is_refused_with_a_reason(void **state) {
  (void)state;
  static const char *const none[][2] = {
      {"", "no plan"},
      {"(3 rows)\n", "no plan"},
      {"{\"a\": 1}", "no plan"},
      {"[{\"Plan\": {\"Node Type\": \"Limit\"", "JSON can't be read"},
      {"[{\"Plan\": {}}]", "Node Type"},
      {"Hash Join  (cost=1.07..2.15 rows=3 width=8)\n  ->  Seq Scan on a  (cost=0.00..1.03 rows=3 width=4)\n", "cut off"},
      {"Seq Scan on a  (cost=0.00..1.03 ro", "can't be read"},
      {"Seq Scan on a  (cost=0.00..1.03 rows=3 width=4)\nSeq Scan on b  (cost=0.00..1.03 rows=3 width=4)\n", "second plan"}};
  static const char *const others[] = {"<explain xmlns=\"http://www.postgresql.org/2009/explain\"><Query/></explain>",
                                       "\n- Plan: \n    Node Type: \"Result\"\n"};
  for (size_t i = 0; i < 2; i++) refused(others[i], strlen(others[i]), "PLAN_INVALID", "XML or YAML");
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) refused(none[i][0], strlen(none[i][0]), "PLAN_INVALID", none[i][1]);
  for (size_t len = 0; len < strlen(PLAN); len++) { /* cut off anywhere: a plan, or a reason, never anything else */
    ERROR_AUTO err = {0};
    struct query_plan *plan = NULL;
    const char *text = arena_strndup(arena, PLAN, len);
    if (plan_parse(text, len, NULL, arena, &plan, &err)) assert_int_equal(err.status, ERR_VALIDATION);
  }
}

static char *repeated(const char *piece, size_t count, const char *tail) {
  size_t len = strlen(piece);
  char *text = arena_alloc(arena, len * count + strlen(tail) + 1);
  assert_non_null(text);
  for (size_t i = 0; i < count; i++) memcpy(text + i * len, piece, len);
  memcpy(text + len * count, tail, strlen(tail) + 1);
  return text;
}

static void the_hostile_is_bounded(void **state) {
  (void)state;
  char *deep = repeated("[", 10000, ""), *nodes = repeated("{\"Node Type\": \"Limit\", \"Plans\": [", 900, "");
  refused(deep, strlen(deep), "PLAN_INVALID", "JSON can't be read");
  const char *whole = arena_printf(arena, "[{\"Plan\": %s{\"Node Type\": \"Result\"}%s}]", nodes, repeated("]}", 900, ""));
  refused(whole, strlen(whole), "PLAN_TOO_LARGE", "deeper");
  BUF_AUTO text;
  buf_init(&text, 8 << 20);
  buf_puts(&text, "Limit  (cost=0.00..1.00 rows=1 width=4)\n");
  for (int i = 0; i < 1000; i++) buf_printf(&text, "%*s->  Limit  (cost=0.00..1.00 rows=1 width=4)\n", 2 + 6 * i, "");
  refused(buf_str(&text), text.len, "PLAN_TOO_LARGE", "deeper");
  char *large = repeated("x", LIMIT_PLAN_BYTES + 1, "");
  refused(large, LIMIT_PLAN_BYTES + 1, "PLAN_TOO_LARGE", "MiB");
  char *wide = repeated("  ->  Result  (cost=0.00..1.00 rows=1 width=4)\n", LIMIT_PLAN_NODES + 1, "");
  const char *append = arena_printf(arena, "Append  (cost=0.00..1.00 rows=1 width=4)\n%s", wide);
  refused(append, strlen(append), "PLAN_TOO_LARGE", "more nodes");
}

/* --- shares --- */

static void times_of_loops_workers_and_ctes_are_not_counted_twice(void **state) {
  (void)state;
  const struct query_plan *plan =
      parsed("loops", "Nested Loop  (cost=0.00..100.00 rows=10 width=8) (actual time=0.000..100.000 rows=10 loops=1)\n"
                      "  ->  Seq Scan on a  (cost=0.00..10.00 rows=10 width=8) (actual time=0.000..10.000 rows=10 loops=1)\n"
                      "  ->  Index Scan using b_k on b  (cost=0.00..8.00 rows=1 width=8) (actual time=0.000..8.000 rows=1 loops=10)\n      "
                      "  Index Cond: (k = a.k)\n");
  assert_true(plan->nodes[2]->total_ms == 80 && plan->root->exclusive_ms == 10);
  assert_true(plan->nodes[2]->exclusive_cost == 80 && plan->root->exclusive_cost == 10);
  plan =
      parsed("workers", "Gather  (cost=0.00..100.00 rows=10 width=8) (actual time=0.000..100.000 rows=300 loops=1)\n  Workers Planned: 2\n "
                        " Workers Launched: 2\n"
                        "  ->  Parallel Seq Scan on a  (cost=0.00..10.00 rows=10 width=8) (actual time=0.000..90.000 rows=100 loops=3)\n");
  assert_true(plan->nodes[1]->rows == 300 && plan->nodes[1]->total_ms == 90 && plan->root->exclusive_ms == 10);
  plan = parsed("CTE", "Hash Join  (cost=0.00..100.00 rows=10 width=8) (actual time=0.000..100.000 rows=10 loops=1)\n  CTE x\n"
                       "    ->  Seq Scan on t  (cost=0.00..10.00 rows=10 width=8) (actual time=0.000..40.000 rows=10 loops=1)\n"
                       "  ->  CTE Scan on x  (cost=0.00..10.00 rows=10 width=8) (actual time=0.000..60.000 rows=10 loops=1)\n"
                       "  ->  Hash  (cost=0.00..10.00 rows=10 width=8) (actual time=0.000..20.000 rows=10 loops=1)\n"
                       "        ->  CTE Scan on x x_1  (cost=0.00..10.00 rows=10 width=8) (actual time=0.000..20.000 rows=10 loops=1)\n");
  assert_int_equal(plan->nodes[1]->role, PLAN_CTE);
  assert_true(plan->nodes[1]->exclusive_ms == 40 && plan->nodes[2]->exclusive_ms == 30 && plan->nodes[4]->exclusive_ms == 10);
  assert_true(plan->root->exclusive_ms == 20);
  plan = parsed(
      "InitPlan",
      "Limit  (cost=0.00..100.00 rows=10 width=8) (actual time=0.000..100.000 rows=10 loops=1)\n  InitPlan 1 (returns $0)\n"
      "    ->  Aggregate  (cost=0.00..10.00 rows=1 width=8) (actual time=0.000..70.000 rows=1 loops=1)\n"
      "          ->  Seq Scan on u  (cost=0.00..9.00 rows=10 width=8) (actual time=0.000..50.000 rows=10 loops=1)\n"
      "  ->  Seq Scan on t  (cost=0.00..90.00 rows=10 width=8) (actual time=0.000..95.000 rows=10 loops=1)\n        Filter: (k = $0)\n");
  assert_true(plan->nodes[3]->exclusive_ms == 25 && plan->root->exclusive_ms == 5);
}

static void text_written_of_a_tree_reads_as_the_same_tree(void **state) {
  (void)state;
  const struct query_plan *plan = parsed("first", PLAN), *again = parsed("again", plan_text(plan));
  assert_int_equal(plan->count, again->count);
  for (size_t i = 0; i < plan->count; i++) {
    assert_string_equal(plan->nodes[i]->type, again->nodes[i]->type);
    assert_int_equal(plan->nodes[i]->role, again->nodes[i]->role);
    assert_true(plan->nodes[i]->total_cost == again->nodes[i]->total_cost && plan->nodes[i]->actual_rows == again->nodes[i]->actual_rows);
  }
  assert_string_equal(again->nodes[1]->filter, plan->nodes[1]->filter);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_plan_in_every_frame),
                                     cmocka_unit_test(a_log_keeps_its_query),
                                     cmocka_unit_test(json_in_every_frame),
                                     cmocka_unit_test(what_is_no_plan_is_refused_with_a_reason),
                                     cmocka_unit_test(the_hostile_is_bounded),
                                     cmocka_unit_test(times_of_loops_workers_and_ctes_are_not_counted_twice),
                                     cmocka_unit_test(text_written_of_a_tree_reads_as_the_same_tree)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
