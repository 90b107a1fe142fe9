/* test_blast.c - who else feels it: shortest paths along foreign keys, cycles and chains, and objects that read what changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/json.h"
#include "worker/migration/blast.h"

static struct arena *arena;
static int setup(void **state) {
  (void)state;
  arena = arena_new(256 << 20);
  return arena ? 0 : -1;
}
static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static json_t *table(const char *name, json_t *keys) {
  return json_pack("{s:s, s:s, s:s, s:i, s:i, s:[{s:s, s:s, s:b},{s:s, s:s}], s:{s:s, s:[s]}, s:[{s:s, s:[s], s:b},{s:s, s:[s,s]}], s:o}",
                   "schema", "public", "name", name, "kind", "table", "estimated_rows", 1000, "total_bytes", 81920, "columns", "name", "id",
                   "type", "bigint", "nullable", 0, "name", "ref", "type", "bigint", "primary_key", "name",
                   arena_printf(arena, "%s_pkey", name), "columns", "id", "indexes", "name", arena_printf(arena, "%s_pkey", name),
                   "columns", "id", "unique", 1, "name", arena_printf(arena, "%s_two", name), "columns", "ref", "id", "foreign_keys", keys);
}

static json_t *key(const char *name, const char *to) {
  return json_pack("{s:s, s:s, s:s, s:[s], s:[s]}", "name", name, "ref_schema", "public", "ref_table", to, "columns", "ref", "ref_columns",
                   "id");
}

static json_t *view(const char *name, const char *reads, const char *kind) {
  return json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s}], s:[{s:s}]}", "schema", "public", "name", name, "kind", kind, "definition",
                   arena_printf(arena, "SELECT ref FROM %s", reads), "depends_on", "schema", "public", "name", reads, "columns", "name",
                   "ref");
}

static struct snapshot *load(json_t *json) {
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  assert_non_null(json);
  if (snapshot_load(arena_json(arena, json), arena, &snapshot, &err)) fail_msg("%s", err.message);
  return snapshot;
}

/* a <- b <- c <- d, c -> a as well (a shorter way), d <-> e in a circle; views v1(a) <- v2 <- m3; functions and a publication. */
static struct snapshot *model(void) {
  json_t *c_keys = json_pack("[o, o]", key("c_b", "b"), key("c_a", "a")), *d_keys = json_pack("[o, o]", key("d_c", "c"), key("d_e", "e"));
  return load(json_pack(
      "{s:i, s:[s], s:[o,o,o,o,o], s:[o,o,o], s:[{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s}], s:[{s:s, s:b, s:[{s:s, s:s}]}]}",
      "server_version_num", 160000, "search_path_schemas", "public", "tables", table("a", json_array()),
      table("b", json_pack("[o]", key("b_a", "a"))), table("c", c_keys), table("d", d_keys), table("e", json_pack("[o]", key("e_d", "d"))),
      "views", view("v1", "a", "view"), view("v2", "v1", "view"), view("m3", "v2", "materialized_view"), "functions", "schema", "public",
      "name", "counts", "arguments", "", "body", "BEGIN RETURN (SELECT count(ref) FROM a); END", "schema", "public", "name", "other",
      "arguments", "x integer", "body", "SELECT aa, banana FROM elsewhere", "schema", "public", "name", "ids", "arguments", "", "body",
      "SELECT id FROM public.a", "publications", "name", "pub", "all_tables", 0, "tables", "schema", "public", "name", "a"));
}

static struct analysis *analyse(const struct snapshot *snapshot, const char *sql) {
  ERROR_AUTO err = {0};
  struct analysis *analysis = NULL;
  if (analysis_static(sql, strlen(sql), snapshot, &(struct analysis_options){0}, arena, &analysis, &err))
    fail_msg("%s: %s", sql, err.message);
  return analysis;
}

static const json_t *table_of(const json_t *tables, const char *name) {
  size_t index;
  json_t *one;
  json_array_foreach(tables, index, one) if (strcmp(json_str(one, "table", ""), name) == 0) return one;
  return NULL;
}

static void expect_path(const json_t *tables, const char *name, const char *path) {
  const json_t *one = table_of(tables, name);
  if (!one) fail_msg("no %s", name);
  char *text = json_dumps(json_object_get(one, "cascade_path"), JSON_COMPACT | JSON_ENCODE_ANY);
  if (strcmp(text, path) != 0) fail_msg("%s: %s, not %s", name, text, path);
  free(text);
}

static void test_paths(void **state) {
  (void)state;
  json_t *tables = arena_json(arena, blast_tables(analyse(model(), "ALTER TABLE a ADD COLUMN z int")));
  assert_int_equal(json_array_size(tables), 5);
  expect_path(tables, "public.a", "null");
  expect_path(tables, "public.b", "[\"public.a\",\"public.b\"]");
  expect_path(tables, "public.c", "[\"public.a\",\"public.c\"]"); /* not by way of b */
  expect_path(tables, "public.d", "[\"public.a\",\"public.c\",\"public.d\"]");
  expect_path(tables, "public.e", "[\"public.a\",\"public.c\",\"public.d\",\"public.e\"]");
  assert_int_equal(json_int(table_of(tables, "public.c"), "rows", -1), 1000);
  assert_int_equal(json_int(table_of(tables, "public.c"), "bytes", -1), 81920);
}

static void test_a_circle_ends(void **state) {
  (void)state;
  json_t *tables = arena_json(arena, blast_tables(analyse(model(), "ALTER TABLE e ADD COLUMN z int; ALTER TABLE d ADD COLUMN z int")));
  expect_path(tables, "public.e", "null");
  expect_path(tables, "public.d", "null");
  assert_int_equal(json_array_size(tables), 2);
}

static void test_a_long_chain(void **state) {
  (void)state;
  json_t *list = json_array();
  for (int i = 0; i < 300; i++)
    json_array_append_new(
        list, table(arena_printf(arena, "n%03d", i),
                    i ? json_pack("[o]", key(arena_printf(arena, "k%d", i), arena_printf(arena, "n%03d", i - 1))) : json_array()));
  struct snapshot *snapshot =
      load(json_pack("{s:i, s:[s], s:o}", "server_version_num", 160000, "search_path_schemas", "public", "tables", list));
  json_t *tables = arena_json(arena, blast_tables(analyse(snapshot, "TRUNCATE n000 CASCADE")));
  assert_int_equal(json_array_size(tables), 300);
  assert_int_equal(json_array_size(json_object_get(table_of(tables, "public.n299"), "cascade_path")), 300);
}

static const json_t *object_of(const json_t *objects, const char *kind, const char *name) {
  size_t index;
  json_t *one;
  json_array_foreach(objects, index, one) {
    if (strcmp(json_str(one, "kind", ""), kind) == 0 && strcmp(json_str(one, "name", ""), name) == 0) return one;
  }
  return NULL;
}

static void expect(const json_t *objects, const char *kind, const char *name, const char *via, bool breaks, bool certain) {
  const json_t *one = object_of(objects, kind, name);
  if (!one) {
    puts(json_dumps(objects, JSON_INDENT(1)));
    fail_msg("no %s %s", kind, name);
  }
  assert_string_equal(json_str(one, "via", ""), via);
  assert_int_equal(json_is_true(json_object_get(one, "breaks")), breaks);
  assert_int_equal(json_is_true(json_object_get(one, "certain")), certain);
}

static void test_objects_of_a_column(void **state) {
  (void)state;
  json_t *objects = arena_json(arena, blast_objects(analyse(model(), "ALTER TABLE a DROP COLUMN ref CASCADE")));
  expect(objects, "view", "public.v1", "public.a.ref", true, true);
  expect(objects, "view", "public.v2", "public.v1", true, true);
  expect(objects, "materialized view", "public.m3", "public.v2", true, true);
  expect(objects, "function", "public.counts()", "public.a.ref", true, false);
  expect(objects, "publication", "pub", "public.a", true, true);
  expect(objects, "index", "public.a_two", "public.a.ref", true, true);
  assert_null(object_of(objects, "function", "public.ids()")); /* names the table, not the column */
  assert_null(object_of(objects, "function", "public.other(x integer)"));
}

static void test_objects_of_a_table(void **state) {
  (void)state;
  json_t *objects = arena_json(arena, blast_objects(analyse(model(), "ALTER TABLE a RENAME TO a2")));
  expect(objects, "view", "public.v1", "public.a", false, true); /* views go by number */
  expect(objects, "materialized view", "public.m3", "public.v2", false, true);
  expect(objects, "function", "public.counts()", "public.a", true, false);
  expect(objects, "function", "public.ids()", "public.a", true, false);
  expect(objects, "publication", "pub", "public.a", true, true);
  objects = arena_json(arena, blast_objects(analyse(model(), "ALTER TABLE b ADD COLUMN z int")));
  assert_int_equal(json_array_size(objects), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_paths),
      cmocka_unit_test(test_a_circle_ends),
      cmocka_unit_test(test_a_long_chain),
      cmocka_unit_test(test_objects_of_a_column),
      cmocka_unit_test(test_objects_of_a_table),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
