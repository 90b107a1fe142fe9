/* test_sandbox_shape.c - statistics scaled down to a handful of rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "worker/migration/trial/shape.h"

static const struct {
  double null_frac, n_distinct;
  bool not_null;
  int rows, nulls, distinct; /* both 0: nothing said */
} cases[] = {
    {-1, 0, false, 15, 0, 0},                                     /* never analysed */
    {0, -1, false, 15, 0, 0},                                     /* all different */
    {0, -0.995, false, 15, 0, 0},                                 /* as good as */
    {0.0001, -1, false, 15, 1, 0},                                /* few, but some */
    {0.5, -1, false, 15, 8, 0},    {0.999, -1, false, 15, 14, 0}, /* nearly all, but not all */
    {1, 0, false, 15, 15, 0},      {0.5, -1, true, 15, 0, 0},     /* statistics older than the constraint */
    {0, 5, false, 15, 0, 5},       {0, 500, false, 15, 0, 14},    /* of 1000 rows: at least one pair */
    {0, 999, false, 15, 0, 0},     {0, -0.5, false, 15, 0, 8},    {0, -0.001, false, 15, 0, 1},
    {0.3, 2, false, 1000, 300, 2}, {0.3, 2, false, 1, 0, 0}, /* one row can show neither */
};

static void test_columns(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ARENA_AUTO arena = arena_new(1 << 20);
    struct snap_column column = {
        .name = "c", .null_frac = cases[i].null_frac, .n_distinct = cases[i].n_distinct, .not_null = cases[i].not_null};
    struct snap_table table = {.schema = "s", .name = "a \"t\"", .columns = &column, .column_count = 1, .rows = 1000};
    struct snapshot snapshot = {.tables = &table, .table_count = 1};
    char *text = sandbox_shape(&snapshot, cases[i].rows, arena);
    assert_non_null(text);
    json_t *list = json_loads(text, 0, NULL), *one = json_array_get(list, 0);
    int nulls = (int)json_integer_value(json_object_get(one, "n")), distinct = (int)json_integer_value(json_object_get(one, "d"));
    if (nulls != cases[i].nulls || distinct != cases[i].distinct) fail_msg("case %zu: %d NULLs, %d different", i, nulls, distinct);
    if (one) assert_string_equal(json_string_value(json_object_get(one, "t")), "a \"t\"");
    assert_int_equal(json_array_size(list), cases[i].nulls || cases[i].distinct ? 1 : 0);
    json_decref(list);
  }
}

static void test_unknown_size(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 20);
  struct snap_column column = {.name = "c", .null_frac = 0, .n_distinct = 5};
  struct snap_table table = {.schema = "s", .name = "t", .columns = &column, .column_count = 1, .rows = -1};
  struct snapshot snapshot = {.tables = &table, .table_count = 1};
  assert_string_equal(sandbox_shape(&snapshot, 15, arena), "[]");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_columns), cmocka_unit_test(test_unknown_size)};
  return cmocka_run_group_tests_name("sandbox_shape", tests, NULL, NULL);
}
