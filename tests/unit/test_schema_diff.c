/* What changed between two snapshots, and what is not a change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/schema_diff.h"

static json_t *diff(const char *before, const char *after) {
  json_t *a = json_loads(before, 0, NULL), *b = json_loads(after, 0, NULL);
  assert_non_null(a);
  assert_non_null(b);
  json_t *result = schema_diff(a, b);
  json_decref(a);
  json_decref(b);
  assert_non_null(result);
  return result;
}

static json_t *at(json_t *value, const char *section, const char *kind) { return json_object_get(json_object_get(value, section), kind); }

#define TABLE(columns, rest) \
  "{\"tables\": [{\"schema\": \"s\", \"name\": \"t\", \"estimated_rows\": 5, \"columns\": [" columns "]" rest "}]}"

static void statistics_are_not_changes(void **state) {
  (void)state;
  json_t *d = diff("{\"snapshot_id\": \"1\", \"tables\": [{\"schema\": \"s\", \"name\": \"t\", \"estimated_rows\": 5, \"indexes\": "
                   "[{\"name\": \"i\", \"scans\": 1, \"bytes\": 8}]}]}",
                   "{\"snapshot_id\": \"2\", \"tables\": [{\"schema\": \"s\", \"name\": \"t\", \"estimated_rows\": 9, \"indexes\": "
                   "[{\"name\": \"i\", \"scans\": 7, \"bytes\": 9}]}]}");
  assert_true(json_is_true(json_object_get(d, "identical")));
  json_decref(d);
}

static void columns_are_compared_by_name(void **state) {
  (void)state;
  json_t *d = diff(TABLE("{\"name\": \"a\", \"type\": \"int\"}, {\"name\": \"b\", \"type\": \"int\"}", ""),
                   TABLE("{\"name\": \"b\", \"type\": \"bigint\"}, {\"name\": \"c\", \"type\": \"int\"}", ""));
  assert_true(json_is_false(json_object_get(d, "identical")));
  json_t *changed = at(d, "tables", "changed");
  assert_int_equal(json_array_size(changed), 1);
  json_t *table = json_array_get(changed, 0);
  assert_string_equal(json_string_value(json_object_get(table, "name")), "s.t");
  json_t *changes = json_object_get(table, "changes");
  json_t *column = json_array_get(at(changes, "columns", "changed"), 0);
  assert_int_equal(json_array_size(at(changes, "columns", "added")), 1);
  assert_int_equal(json_array_size(at(changes, "columns", "removed")), 1);
  assert_string_equal(json_string_value(json_object_get(column, "name")), "b");
  assert_string_equal(json_string_value(at(json_object_get(column, "changes"), "type", "before")), "int");
  assert_string_equal(json_string_value(at(json_object_get(column, "changes"), "type", "after")), "bigint");
  json_decref(d);
}

static void tables_come_and_go(void **state) {
  (void)state;
  json_t *d = diff("{\"tables\": [{\"schema\": \"s\", \"name\": \"old\"}]}", "{\"tables\": [{\"schema\": \"s\", \"name\": \"new\"}]}");
  assert_int_equal(json_array_size(at(d, "tables", "added")), 1);
  assert_int_equal(json_array_size(at(d, "tables", "removed")), 1);
  assert_int_equal(json_array_size(at(d, "tables", "changed")), 0);
  json_decref(d);
}

static void functions_are_told_apart_by_arguments(void **state) {
  (void)state;
  json_t *d = diff("{\"functions\": [{\"schema\": \"s\", \"name\": \"f\", \"identity_arguments\": \"a integer\"}]}",
                   "{\"functions\": [{\"schema\": \"s\", \"name\": \"f\", \"identity_arguments\": \"a integer\"}, {\"schema\": \"s\", "
                   "\"name\": \"f\", \"identity_arguments\": \"\"}]}");
  assert_int_equal(json_array_size(at(d, "functions", "added")), 1);
  json_decref(d);
}

static void null_and_absent_are_equal(void **state) {
  (void)state;
  json_t *d = diff(TABLE("", ", \"comment\": null, \"primary_key\": {\"columns\": [\"a\"]}"),
                   TABLE("", ", \"primary_key\": {\"columns\": [\"a\"], \"comment\": null}"));
  assert_true(json_is_true(json_object_get(d, "identical")));
  json_decref(d);
  d = diff(TABLE("", ", \"primary_key\": {\"columns\": [\"a\"]}"), TABLE("", ", \"primary_key\": null"));
  assert_int_equal(json_array_size(at(d, "tables", "changed")), 1);
  json_decref(d);
}

static void unknown_lists_and_strange_shapes_are_survived(void **state) {
  (void)state;
  json_t *d = diff("{\"publications\": [{\"name\": \"p\"}], \"tables\": 5}", "{\"publications\": [], \"tables\": [1, null, \"x\", {}]}");
  assert_int_equal(json_array_size(at(d, "publications", "removed")), 1);
  json_decref(d);
  d = diff("{}", "{}");
  assert_true(json_is_true(json_object_get(d, "identical")));
  json_decref(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(statistics_are_not_changes), cmocka_unit_test(columns_are_compared_by_name),
      cmocka_unit_test(tables_come_and_go),         cmocka_unit_test(functions_are_told_apart_by_arguments),
      cmocka_unit_test(null_and_absent_are_equal),  cmocka_unit_test(unknown_lists_and_strange_shapes_are_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
