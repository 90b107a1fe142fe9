/* The snapshot model: links both ways, names by search path, and no crash whatever JSON it is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/json.h"
#include "worker/schema/dump.h"
#include "worker/schema/lookup.h"
#include "worker/schema/snapshot.h"

static const char shop_json[] =
    "{\"snapshot_id\":\"id\",\"fingerprint\":\"f\",\"server_version\":\"17.2\",\"server_version_num\":170002,\"timezone\":\"UTC\","
    "\"search_path\":\"shop, public\",\"search_path_schemas\":[\"shop\",\"public\"],"
    "\"tables\":["
    "{\"schema\":\"shop\",\"name\":\"orders\",\"kind\":\"table\",\"comment\":\"c\",\"owner\":\"o\",\"estimated_rows\":20,\"total_bytes\":"
    "8192,\"rls\":true,"
    " \"persistence\":\"unlogged\",\"columns\":[{\"name\":\"id\",\"type\":\"bigint\",\"nullable\":false,\"identity\":\"always\"},"
    "  "
    "{\"name\":\"customer_id\",\"type\":\"bigint\",\"nullable\":true,\"default\":\"1\",\"stats\":{\"null_frac\":0.25,\"n_distinct\":-0.5}}]"
    ","
    " \"primary_key\":{\"name\":\"orders_pkey\",\"columns\":[\"id\"],\"definition\":\"PRIMARY KEY (id)\",\"index\":\"orders_pkey\"},"
    " \"checks\":[{\"name\":\"ck\",\"columns\":[\"id\"],\"definition\":\"CHECK ((id > 0))\",\"validated\":false}],\"unique\":[],"
    " \"foreign_keys\":[{\"name\":\"fk\",\"columns\":[\"customer_id\"],\"ref_schema\":\"shop\",\"ref_table\":\"customers\",\"ref_columns\":"
    "[\"id\"],"
    "   \"on_delete\":\"CASCADE\",\"on_update\":\"NO ACTION\",\"validated\":true},"
    "  {\"name\":\"away\",\"columns\":[\"x\"],\"ref_schema\":\"hidden\",\"ref_table\":\"t\",\"ref_columns\":[\"x\"]}],"
    " \"indexes\":[{\"name\":\"orders_pkey\",\"definition\":\"d\",\"method\":\"btree\",\"columns\":[\"id\"],\"unique\":true,\"primary\":"
    "true,\"valid\":true,\"bytes\":16384,\"scans\":3}],"
    " \"triggers\":[{\"name\":\"tr\",\"definition\":\"t\",\"function\":\"shop.f\"}],\"policies\":[{\"name\":\"po\",\"definition\":\"p\"}]},"
    "{\"schema\":\"shop\",\"name\":\"customers\",\"kind\":\"table\",\"columns\":[{\"name\":\"id\",\"type\":\"bigint\"}],"
    " \"foreign_keys\":[{\"name\":\"self\",\"columns\":[\"id\"],\"ref_schema\":\"shop\",\"ref_table\":\"customers\",\"ref_columns\":["
    "\"id\"]}],"
    " \"indexes\":[{\"name\":\"same\"}]},"
    "{\"schema\":\"shop\",\"name\":\"log\",\"kind\":\"partitioned_table\",\"partition_key\":\"RANGE (at)\"},"
    "{\"schema\":\"shop\",\"name\":\"log_1\",\"kind\":\"table\",\"partition_of\":\"shop.log\",\"partition_bound\":\"DEFAULT\",\"parents\":["
    "{\"schema\":\"shop\",\"name\":\"log\"}]},"
    "{\"schema\":\"other\",\"name\":\"twice\",\"indexes\":[{\"name\":\"same\"}]},{\"schema\":\"third\",\"name\":\"twice\"},{\"schema\":"
    "\"other\",\"name\":\"once\"},"
    "{\"schema\":\"public\",\"name\":\"orders\"}],"
    "\"views\":[{\"schema\":\"shop\",\"name\":\"v\",\"kind\":\"view\",\"definition\":\"SELECT "
    "1\",\"depends_on\":[{\"schema\":\"shop\",\"name\":\"orders\",\"columns\":[\"id\"]}]},"
    " {\"schema\":\"shop\",\"name\":\"mv\",\"kind\":\"materialized_view\",\"depends_on\":[{\"schema\":\"shop\",\"name\":\"v\"},{\"schema\":"
    "\"gone\",\"name\":\"g\"}]}],"
    "\"enums\":[{\"schema\":\"shop\",\"name\":\"e\",\"labels\":[\"a\",\"b\"]}],"
    "\"domains\":[{\"schema\":\"shop\",\"name\":\"d\",\"base_type\":\"integer\",\"default\":\"1\",\"not_null\":true,\"checks\":[{\"name\":"
    "\"c\",\"definition\":\"CHECK ((VALUE > 0))\"}]}],"
    "\"sequences\":[{\"schema\":\"shop\",\"name\":\"s\",\"owned_by\":\"shop.orders.id\"}],"
    "\"functions\":[{\"schema\":\"shop\",\"name\":\"f\",\"volatility\":\"immutable\"},{\"schema\":\"shop\",\"name\":\"f\",\"volatility\":"
    "\"stable\",\"security_definer\":true},"
    " {\"schema\":\"other\",\"name\":\"f\",\"volatility\":\"volatile\"},{\"schema\":\"shop\",\"name\":\"calm\",\"volatility\":"
    "\"immutable\"}],"
    "\"extensions\":[{\"name\":\"vector\",\"version\":\"0.8\",\"schema\":\"public\"}]}";

struct fixture {
  struct arena *arena;
  json_t *json;
  struct snapshot *snap;
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  struct error err = {0};
  f->arena = arena_new(64 * 1024 * 1024);
  f->json = json_loads(shop_json, 0, NULL);
  assert_non_null(f->json);
  assert_int_equal(snapshot_load(f->json, f->arena, &f->snap, &err), OK);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  arena_free(f->arena);
  json_decref(f->json);
  free(f);
  return 0;
}

static void fields_are_read(void **state) {
  struct snapshot *s = ((struct fixture *)*state)->snap;
  assert_string_equal(s->id, "id");
  assert_int_equal(s->server_version_num, 170002);
  assert_string_equal(s->timezone, "UTC");
  struct snap_table *t = snapshot_table(s, "shop", "orders");
  assert_string_equal(t->qualified, "shop.orders");
  assert_int_equal(t->kind, SNAP_TABLE);
  assert_int_equal(t->rows, 20);
  assert_int_equal(t->bytes, 8192);
  assert_true(t->rls && t->unlogged);
  assert_int_equal(t->column_count, 2);
  struct snap_column *c = snap_table_column(t, "customer_id");
  assert_false(c->not_null);
  assert_string_equal(c->default_expr, "1");
  assert_true(c->null_frac > 0.24 && c->null_frac < 0.26 && c->n_distinct < 0);
  assert_string_equal(t->columns[0].identity, "always");
  assert_true(t->columns[0].not_null && t->columns[0].null_frac < 0);
  assert_null(snap_table_column(t, "nope"));
  assert_int_equal(t->constraint_count, 2);
  assert_int_equal(t->constraints[0].type, 'p');
  assert_string_equal(t->constraints[0].index, "orders_pkey");
  assert_int_equal(t->constraints[1].type, 'c');
  assert_false(t->constraints[1].validated);
  assert_int_equal(t->indexes[0].bytes, 16384);
  assert_true(t->indexes[0].primary && t->indexes[0].valid);
  assert_string_equal(t->triggers[0].function, "shop.f");
  assert_string_equal(t->policies[0].name, "po");
  assert_int_equal(s->enums[0].label_count, 2);
  assert_string_equal(s->domains[0].checks[0], "CHECK ((VALUE > 0))");
  assert_string_equal(s->sequences[0].owned_by, "shop.orders.id");
  assert_string_equal(s->extensions[0].version, "0.8");
}

static void relations_are_sorted(void **state) {
  struct snapshot *s = ((struct fixture *)*state)->snap;
  assert_int_equal(s->table_count, 10);
  for (size_t i = 1; i < s->table_count; i++) assert_true(strcmp(s->tables[i - 1].qualified, s->tables[i].qualified) < 0);
}

static void links_go_both_ways(void **state) {
  struct snapshot *s = ((struct fixture *)*state)->snap;
  struct snap_table *orders = snapshot_table(s, "shop", "orders"), *customers = snapshot_table(s, "shop", "customers");
  assert_ptr_equal(orders->fks[0].ref, customers);
  assert_ptr_equal(orders->fks[0].table, orders);
  assert_string_equal(orders->fks[0].on_delete, "CASCADE");
  assert_null(orders->fks[1].ref);
  assert_string_equal(orders->fks[1].ref_schema, "hidden");
  assert_string_equal(orders->fks[1].on_update, "NO ACTION");
  assert_int_equal(customers->referenced_by_count, 2); /* orders and itself */
  struct snap_table *log = snapshot_table(s, "shop", "log"), *part = snapshot_table(s, "shop", "log_1");
  assert_int_equal(log->kind, SNAP_PARTITIONED);
  assert_int_equal(log->partition_count, 1);
  assert_ptr_equal(log->partitions[0], part);
  assert_string_equal(part->partition_bound, "DEFAULT");
  struct snap_table *view = snapshot_table(s, "shop", "v"), *matview = snapshot_table(s, "shop", "mv");
  assert_int_equal(view->kind, SNAP_VIEW);
  assert_int_equal(matview->kind, SNAP_MATVIEW);
  assert_ptr_equal(view->depends_on[0], orders);
  assert_ptr_equal(orders->dependents[0], view);
  assert_int_equal(matview->depends_on_count, 1); /* what isn't there is left out */
  assert_ptr_equal(view->dependents[0], matview);
}

static void names_follow_the_search_path(void **state) {
  struct snapshot *s = ((struct fixture *)*state)->snap;
  assert_string_equal(snapshot_table(s, NULL, "orders")->schema, "shop");
  assert_string_equal(snapshot_table(s, "public", "orders")->schema, "public");
  assert_string_equal(snapshot_table(s, NULL, "once")->schema, "other"); /* off the path, but unique */
  assert_null(snapshot_table(s, NULL, "twice"));
  assert_null(snapshot_table(s, "shop", "once"));
  assert_null(snapshot_table(s, NULL, "nope"));
  assert_null(snapshot_table(s, "shop", NULL));
  struct snap_index *index = NULL;
  assert_string_equal(snapshot_index_table(s, "shop", "orders_pkey", &index)->name, "orders");
  assert_string_equal(index->name, "orders_pkey");
  assert_string_equal(snapshot_index_table(s, NULL, "same", &index)->name, "customers");
  assert_string_equal(snapshot_index_table(s, "other", "same", NULL)->name, "twice");
  assert_null(snapshot_index_table(s, "other", "orders_pkey", &index));
}

static void the_most_volatile_overload_counts(void **state) {
  struct snapshot *s = ((struct fixture *)*state)->snap;
  assert_int_equal(snapshot_function_volatility(s, "shop", "f"), 's');
  assert_int_equal(snapshot_function_volatility(s, "other", "f"), 'v');
  assert_int_equal(snapshot_function_volatility(s, NULL, "f"), 'v');
  assert_int_equal(snapshot_function_volatility(s, NULL, "calm"), 'i');
  assert_int_equal(snapshot_function_volatility(s, "shop", "nope"), 'v');
  assert_int_equal(snapshot_function_volatility(s, NULL, NULL), 'v');
}

/* ---- garbage ---- */

static enum status load_text(const char *text) {
  ARENA_AUTO arena = arena_new(16 * 1024 * 1024);
  ERROR_AUTO err = {0};
  json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
  assert_non_null(json);
  struct snapshot *snap = NULL;
  enum status status = snapshot_load(json, arena, &snap, &err);
  if (status)
    assert_null(snap);
  else
    assert_null(snapshot_table(snap, NULL, "none"));
  json_decref(json);
  return status;
}

static void what_is_no_snapshot_is_refused(void **state) {
  (void)state;
  static const char *const damaged[] = {"null",
                                        "[]",
                                        "1",
                                        "\"x\"",
                                        "{\"tables\":[1]}",
                                        "{\"tables\":[{}]}",
                                        "{\"tables\":[{\"schema\":\"a\"}]}",
                                        "{\"tables\":[{\"schema\":1,\"name\":\"b\"}]}",
                                        "{\"views\":[{\"name\":\"b\"}]}"};
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) assert_int_equal(load_text(damaged[i]), ERR_INTERNAL);
}

static void missing_parts_are_unknown(void **state) {
  (void)state;
  static const char *const thin[] = {
      "{}",
      "{\"tables\":{}}",
      "{\"tables\":null,\"functions\":[1,null,{}],\"enums\":[{\"labels\":[1,\"a\"]}],\"domains\":[{\"checks\":[1,{},{\"definition\":2}]}]}",
      "{\"tables\":[{\"schema\":\"a\",\"name\":\"b\",\"columns\":[1,{}],\"primary_key\":[],\"unique\":[[]],\"indexes\":[{\"columns\":7}],"
      "\"parents\":[1],"
      "\"foreign_keys\":[{\"columns\":[\"x\",\"y\"],\"ref_columns\":[\"x\"]}],\"depends_on\":[null]},{\"schema\":\"a\",\"name\":\"b\"}]}",
      ("{\"tables\":[{\"schema\":\"a\",\"name\":\"b\",\"partition_of\":\"a.b\",\"parents\":[{\"schema\":\"a\",\"name\":\"b\"}],\"depends_"
       "on\":[{\"schema\":\"a\",\"name\":\"b\"}]}]}"),
      "{\"search_path_schemas\":[1,\"x\"],\"search_path\":3,\"server_version_num\":\"x\"}"};
  for (size_t i = 0; i < sizeof thin / sizeof *thin; i++) assert_int_equal(load_text(thin[i]), OK);
}

static uint32_t next_random(uint32_t *seed) { return *seed = *seed * 1664525u + 1013904223u; }

/* Replaces members and items at arbitrary places by values of other types, then loads. */
static void mutate(json_t *value, uint32_t *seed, int depth) {
  static const char *const others[] = {"null", "1", "\"shop\"", "[]", "{}", "true", "[{\"schema\":\"shop\",\"name\":\"orders\"}]", "-1.5"};
  const char *key;
  json_t *member;
  void *next;
  json_object_foreach_safe(value, next, key, member) {
    if (next_random(seed) >> 28 == 0)
      json_object_set_new(value, key, json_loads(others[next_random(seed) >> 29], JSON_DECODE_ANY, NULL));
    else if (depth < 8)
      mutate(member, seed, depth + 1);
  }
  for (size_t i = 0; i < json_array_size(value); i++) {
    if (next_random(seed) >> 28 == 0)
      json_array_set_new(value, i, json_loads(others[next_random(seed) >> 29], JSON_DECODE_ANY, NULL));
    else if (depth < 8)
      mutate(json_array_get(value, i), seed, depth + 1);
  }
}

static void mutations_never_crash(void **state) {
  (void)state;
  uint32_t seed = 7;
  int loaded = 0;
  for (int round = 0; round < 3000; round++) {
    json_t *json = json_loads(shop_json, 0, NULL);
    mutate(json, &seed, 0);
    ARENA_AUTO arena = arena_new(16 * 1024 * 1024);
    ERROR_AUTO err = {0};
    struct snapshot *snap = NULL;
    if (snapshot_load(json, arena, &snap, &err) == OK) {
      loaded++;
      struct snap_index *index;
      for (size_t i = 0; i < snap->table_count; i++) (void)snap_table_column(&snap->tables[i], "id");
      (void)snapshot_index_table(snap, NULL, "same", &index);
      (void)snapshot_function_volatility(snap, NULL, "f");
    }
    json_decref(json);
  }
  assert_in_range(loaded, 100, 2999);
}

static void running_out_of_memory_is_an_error(void **state) {
  (void)state;
  json_t *json = json_loads(shop_json, 0, NULL);
  bool fitted = false;
  for (size_t max = 512; max < 256 * 1024 && !fitted; max += 512) {
    ARENA_AUTO arena = arena_new(max);
    ERROR_AUTO err = {0};
    struct snapshot *snap = NULL;
    fitted = arena && snapshot_load(json, arena, &snap, &err) == OK;
  }
  assert_true(fitted);
  json_decref(json);
}

/* ---- size ---- */

static void loading_is_linear(void **state) {
  (void)state;
  json_t *tables = json_array();
  enum { COUNT = 20000 };
  for (int i = 0; i < COUNT; i++) {
    char name[32], ref[32];
    snprintf(name, sizeof name, "t%d", i);
    snprintf(ref, sizeof ref, "t%d", i / 2);
    json_array_append_new(tables, json_pack("{s:s,s:s,s:[{s:s,s:[s],s:s,s:s,s:[s]}],s:[{s:s}]}", "schema", "s", "name", name,
                                            "foreign_keys", "name", "fk", "columns", "a", "ref_schema", "s", "ref_table", ref,
                                            "ref_columns", "id", "indexes", "name", name));
  }
  json_t *json = json_pack("{s:o}", "tables", tables);
  ARENA_AUTO arena = arena_new(256 * 1024 * 1024);
  ERROR_AUTO err = {0};
  struct snapshot *snap = NULL;
  int64_t start = clock_mono_ms();
  assert_int_equal(snapshot_load(json, arena, &snap, &err), OK);
  assert_true(clock_mono_ms() - start < 5000); /* quadratic would take minutes */
  assert_ptr_equal(snapshot_table(snap, NULL, "t19999")->fks[0].ref, snapshot_table(snap, "s", "t9999"));
  json_decref(json);
}

static void lookup_keeps_names_apart(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1024 * 1024);
  struct lookup lookup;
  int one, two;
  assert_true(lookup_init(&lookup, arena, 4));
  *lookup_slot(&lookup, "a.b", "c") = &one;
  *lookup_slot(&lookup, "a", "b.c") = &two;
  assert_ptr_equal(lookup_get(&lookup, "a.b", "c"), &one);
  assert_ptr_equal(lookup_get(&lookup, "a", "b.c"), &two);
  assert_null(lookup_get(&lookup, "a.b.c", ""));
  char names[64][4];
  void **last = NULL;
  for (int i = 0; i < 64; i++) {
    snprintf(names[i], sizeof names[i], "%d", i);
    last = lookup_slot(&lookup, "x", names[i]);
  }
  assert_null(last); /* full: says so instead of probing for ever */
  assert_null(lookup_get(&lookup, "y", "y"));
}

/* ---- dumps ---- */

static void check_redacted(const char *script, const char *wanted) {
  char text[512];
  snprintf(text, sizeof text, "%s", script);
  size_t len = dump_redact(text, strlen(text));
  assert_int_equal(len, strlen(wanted));
  assert_memory_equal(text, wanted, len);
}

static void passwords_of_user_mappings_are_cut_out(void **state) {
  (void)state;
  check_redacted("", "");
  check_redacted("CREATE TABLE a ();\n", "CREATE TABLE a ();\n");
  check_redacted("a\nCREATE USER MAPPING FOR x SERVER y;\nb", "a\n\nb");
  check_redacted("a\nCREATE USER MAPPING FOR \"x;\" SERVER y OPTIONS (\n    password 'it''s; mine',\n    \"user\" 'z'\n);\nb", "a\n\nb");
  check_redacted(
      "a\nCREATE USER MAPPING FOR x SERVER y OPTIONS (\n    password E'\\\\\\';\n);secret'\n);\nb\nCREATE USER MAPPING FOR u SERVER y;\nc",
      "a\n\nb\n\nc");
  check_redacted("a\nCREATE USER MAPPING FOR x SERVER y OPTIONS (password 'never ends", "a\n");
}

/* Names that take quotes, as many tools make them ("OrderStatus"). */
static void types_by_name(void **state) {
  (void)state;
  static const struct {
    const char *type, *schema, *name;
    bool is;
  } cases[] = {{"shop.e", "shop", "e", true},
               {"e", "shop", "e", true},
               {"other.e", "shop", "e", false},
               {"shop.ee", "shop", "e", false},
               {"shop.e[]", "shop", "e", false},
               {"public.\"OrderStatus\"", "public", "OrderStatus", true},
               {"\"My Shop\".\"a.b\"", "My Shop", "a.b", true},
               {"\"a\"\"b\".c", "a\"b", "c", true},
               {"\"a\"\"b\"", "x", "a\"b", true},
               {"\"Order\"", "shop", "OrderStatus", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (snapshot_type_is(cases[i].type, cases[i].schema, cases[i].name) != cases[i].is)
      fail_msg("%s: %s.%s", cases[i].type, cases[i].schema, cases[i].name);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(fields_are_read, setup, teardown),
      cmocka_unit_test_setup_teardown(relations_are_sorted, setup, teardown),
      cmocka_unit_test_setup_teardown(links_go_both_ways, setup, teardown),
      cmocka_unit_test_setup_teardown(names_follow_the_search_path, setup, teardown),
      cmocka_unit_test(types_by_name),
      cmocka_unit_test_setup_teardown(the_most_volatile_overload_counts, setup, teardown),
      cmocka_unit_test(what_is_no_snapshot_is_refused),
      cmocka_unit_test(missing_parts_are_unknown),
      cmocka_unit_test(mutations_never_crash),
      cmocka_unit_test(running_out_of_memory_is_an_error),
      cmocka_unit_test(loading_is_linear),
      cmocka_unit_test(lookup_keeps_names_apart),
      cmocka_unit_test(passwords_of_user_mappings_are_cut_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
