/* Rows become one array parameter a column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/pgrows.h"

static void columns_of_rows(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 20);
  ERROR_AUTO err = {0};
  struct pg_rows rows;
  const char *params[2];
  pg_rows_init(&rows, arena, 2);
  assert_int_equal(pg_rows_params(&rows, params, &err), OK);
  assert_string_equal(params[1], "{}");
  pg_rows_add(&rows, (const char *const[]){"1", "a \"b\""});
  pg_rows_add(&rows, (const char *const[]){"2", NULL});
  for (int i = 0; i < 100; i++) pg_rows_add(&rows, (const char *const[]){"3", ""});
  assert_int_equal(rows.count, 102);
  assert_int_equal(pg_rows_params(&rows, params, &err), OK);
  assert_memory_equal(params[0], "{\"1\",\"2\",\"3\",\"3\"", 16);
  assert_memory_equal(params[1], "{\"a \\\"b\\\"\",NULL,\"\",", 19);
}

static void memory_that_was_short_is_told(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(4096);
  ERROR_AUTO err = {0};
  struct pg_rows rows;
  const char *params[4];
  pg_rows_init(&rows, arena, 4);
  for (int i = 0; i < 10000; i++) pg_rows_add(&rows, (const char *const[]){"a", "b", "c", "d"});
  assert_int_equal(pg_rows_params(&rows, params, &err), ERR_UNAVAILABLE);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(columns_of_rows), cmocka_unit_test(memory_that_was_short_is_told)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
