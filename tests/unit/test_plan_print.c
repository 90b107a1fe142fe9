/* A plan in a terminal: figures, the tree, conditions, findings; nothing wider than the terminal, nothing that steers it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <string.h>

#include "cli/indexes.h"
#include "cli/plan.h"

static char *printed_by(void (*print)(const struct term *term, const json_t *result), const char *json) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = open_memstream(&text, &len);
  struct term term = {.out = out, .width = 80};
  json_t *result = json_loads(json, 0, NULL);
  assert_non_null(result);
  print(&term, result);
  json_decref(result);
  fclose(out);
  return text;
}

static char *printed(const char *json) { return printed_by(plan_print, json); }

static size_t widest(const char *text) {
  size_t most = 0, columns = 0;
  for (; *text; text++) {
    columns = *text == '\n' ? 0 : columns + (((unsigned char)*text & 0xc0) != 0x80);
    if (columns > most) most = columns;
  }
  return most;
}

static const char measured[] = "{\"execution_plan\":{\"analyzed\":true,\"planning_time_ms\":0.2,\"execution_time_ms\":100,\"total_cost\":"
                               "50,\"root\":{\"node_type\":\"Hash Join\","
                               "\"join_type\":\"Left\",\"exclusive_time_ms\":10,\"total_rows\":5,\"actual_loops\":1,\"estimate_factor\":1,"
                               "\"hash_cond\":\"(a.id = b.id)\",\"children\":["
                               "{\"node_type\":\"Seq "
                               "Scan\",\"schema\":\"shop\",\"relation_name\":\"orders\",\"alias\":\"o\",\"exclusive_time_ms\":90,\"total_"
                               "rows\":2000000,\"actual_loops\":1,"
                               "\"estimate_factor\":2000,\"estimate_direction\":\"under\",\"filter\":\"(note = 'a very long text that goes "
                               "on and on and on and on and on until it is cut')\","
                               "\"rows_removed_by_filter\":99990,\"children\":[]},{\"node_type\":\"Index "
                               "Scan\",\"index_name\":\"b_pkey\",\"relation_name\":\"b\",\"exclusive_time_ms\":0,"
                               "\"total_rows\":0,\"actual_loops\":0,\"children\":[]}]}},\"findings\":[{\"code\":\"seq-selective\","
                               "\"severity\":\"warning\",\"message\":\"m\\u001b[31m\","
                               "\"advice\":\"do it\",\"time_at_stake_ms\":80.5}]}";

static void a_measured_plan(void **state) {
  (void)state;
  char *text = printed(measured);
  assert_non_null(strstr(text, "    10.00  10%      5       Hash Join (Left)\n"));
  assert_non_null(strstr(text, "    90.00  90%  2000k x2000   Seq Scan on shop.orders o\n"));
  assert_non_null(strstr(text, " never "));
  assert_non_null(strstr(text, "where (a.id = b.id)\n"));
  assert_non_null(strstr(text, "seq-selective  80.5 ms at stake\n"));
  assert_null(strchr(text, '\033'));
  assert_true(widest(text) <= 80);
  free(text);
}

static void a_planned_one(void **state) {
  (void)state;
  char *text = printed("{\"execution_plan\":{\"analyzed\":false,\"total_cost\":100,\"root\":{\"node_type\":\"Seq "
                       "Scan\",\"relation_name\":\"t\",\"plan_rows\":7,"
                       "\"exclusive_cost\":100,\"children\":[]}},\"findings\":[]}");
  assert_non_null(strstr(text, "own cost"));
  assert_non_null(strstr(text, "      100 100%      7       Seq Scan on t\n"));
  assert_non_null(strstr(text, "No findings."));
  free(text);
}

static void rewrites(void **state) {
  (void)state;
  char *text = printed(
      "{\"execution_plan\":{\"analyzed\":false,\"total_cost\":100,\"root\":{\"node_type\":\"Seq Scan\",\"children\":[]}},\"findings\":[],"
      "\"alternatives\":[{\"rank\":1,\"rule\":\"or-arms\",\"proposed_by\":\"rule\",\"explanation\":\"Each side of OR is asked by itself\","
      "\"rewritten_sql\":\"SELECT * FROM (SELECT * FROM orders WHERE discount = 3 UNION ALL SELECT * FROM orders WHERE customer_id IN "
      "(SELECT customer_id "
      "FROM blocked WHERE reason = 'a text WHERE it goes on and on and on and on and on and on and on') AND discount = 3 IS NOT TRUE) "
      "orders\\nORDER BY 1 "
      "-- a comment that is longer than the terminal is wide and stays as it is because it ends with its line\","
      "\"assumptions\":[\"shop.orders.customer_id is NOT NULL\",\"shop.orders (id) is unique (orders_pkey)\"],\"original_cost\":900,"
      "\"rewritten_cost\":30,\"estimated_improvement\":\"~30x "
      "cheaper\",\"verification\":{\"level\":\"L5\",\"result\":\"proved\",\"details\":"
      "\"preconditions proved; same columns; another plan; the same rows on 16 made-up data sets, 12 of which gave any\"}}],"
      "\"dropped_rewrites\":{\"count\":2}}");
  assert_non_null(strstr(text, "1  ~30x cheaper  cost 30 instead of 900\n"));
  assert_non_null(strstr(text, "\n     UNION ALL SELECT * FROM orders"));
  assert_non_null(strstr(text, "'a text WHERE it goes on and on and on and on and on and on and on')"));
  assert_non_null(strstr(text, "assumes  shop.orders.customer_id is NOT NULL\n"));
  assert_non_null(strstr(text, "by       or-arms\n"));
  assert_non_null(strstr(text, "2 other ways to write it were tried and dropped"));
  char *comment = strstr(text, "   ORDER BY 1");
  assert_non_null(comment);
  *comment = '\0';
  assert_true(widest(text) <= 80);
  free(text);
}

static void deep(void **state) {
  (void)state;
  json_t *node = json_pack("{s:s, s:[]}", "node_type", "Result", "children");
  for (int i = 0; i < 500; i++) node = json_pack("{s:s, s:[o]}", "node_type", "Limit", "children", node);
  json_t *result = json_pack("{s:{s:b, s:o}}", "execution_plan", "analyzed", 0, "root", node);
  char *json = json_dumps(result, 0), *text = printed(json);
  assert_true(widest(text) <= 80);
  json_decref(result);
  free(json);
  free(text);
}

static const char advised[] =
    "{\"cost_unit\":\"milliseconds\",\"cost_before\":1234567,\"cost_after\":12,\"improvement_percent\":99.9,\"total_bytes\":2097152,"
    "\"queries\":[{\"sql\":\"SELECT *\\n  FROM a_table_with_a_long_name\\n  WHERE a_column_with_a_long_name = 1 AND another_one = "
    "2\",\"cost_before\":123456,\"cost_after\":8,"
    "\"improvement_percent\":99.9},{\"sql\":\"SELECT 1;\",\"skipped\":\"it is not one statement, and a long reason that goes on and on "
    "and on\"}],"
    "\"index_recommendations\":[{\"create_sql\":\"CREATE INDEX CONCURRENTLY a_table_with_a_long_name_column_idx ON "
    "public.a_table_with_a_long_name (a_column, another_column) INCLUDE (third) WHERE state = 'a ON "
    "b'\",\"cost_before\":123456,\"cost_after\":8,"
    "\"improvement_percent\":99.9,\"estimated_size_bytes\":2097152,\"write_overhead\":{\"level\":\"high\",\"extra_entries_per_day\":100000,"
    "\"wal_bytes_per_day\":10000000,\"hot_update_ratio_before\":0.9,\"hot_update_ratio_after\":0.2},\"verified_by\":\"whatif\",\"reason\":"
    "\"Finds "
    "rows\\u001b[31m\",\"caveats\":[\"said once\",\"one thing and another thing that are to be thought of before this index is made, at "
    "length\"]},"
    "{\"create_sql\":\"CREATE INDEX CONCURRENTLY x ON t "
    "(a)\",\"verified_by\":\"heuristic\",\"estimated_size_bytes\":10,\"write_overhead\":{"
    "\"level\":\"low\"},\"reason\":\"r\",\"caveats\":[\"said once\"]}],"
    "\"drop_candidates\":[{\"drop_sql\":\"DROP INDEX CONCURRENTLY public.twice\",\"kind\":\"duplicate\",\"bytes\":81920,\"reason\":\"the "
    "same "
    "again\",\"caveats\":[]}],\"warnings\":[\"beware\"]}";

static void indexes_and_workloads(void **state) {
  (void)state;
  char *text = printed_by(workload_print, advised);
  assert_non_null(strstr(text,
                         "CREATE INDEX CONCURRENTLY a_table_with_a_long_name_column_idx\n  ON public.a_table_with_a_long_name (a_column, "
                         "another_column)\n  INCLUDE (third)\n  WHERE state = 'a ON b'\n"));
  assert_non_null(strstr(text, "CREATE INDEX CONCURRENTLY x ON t (a)\n"));
  assert_non_null(strstr(text, "123,456 to 8 (99.9 % less), tried on the what-if server"));
  assert_non_null(strstr(text, "HOT"));
  assert_non_null(strstr(text, "not tried: a rule of thumb"));
  assert_non_null(strstr(text, "DROP INDEX CONCURRENTLY public.twice\n"));
  assert_non_null(strstr(text, "duplicate: frees 80.0 kB"));
  assert_non_null(strstr(text, "left out"));
  assert_non_null(strstr(text, "All together: 1,234,567 to 12 (milliseconds), 99.9 % less"));
  const char *once = strstr(text, "  all    said once\n");
  assert_true(once && !strstr(once + 10, "said once") && strstr(text, "  note   one thing"));
  assert_null(strchr(text, '\033'));
  assert_true(widest(text) <= 80);
  free(text);
  text = printed_by(indexes_print, "{\"index_recommendations\":[],\"drop_candidates\":[]}");
  assert_string_equal(text, "");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_measured_plan), cmocka_unit_test(a_planned_one), cmocka_unit_test(rewrites),
                                     cmocka_unit_test(deep), cmocka_unit_test(indexes_and_workloads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
