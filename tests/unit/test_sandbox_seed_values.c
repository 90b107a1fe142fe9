/* test_sandbox_seed_values.c - the order in which values are tried for a column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "sandbox/seed.h"

static struct arena *arena;

static struct seed_column column(const char *base) {
  return (struct seed_column){
      .attnum = 1, .name = "c", .quoted = "c", .type = base, .base = base, .type_name = base, .kind = 'b', .modifier = -1};
}

static int count(const struct seed_column *c) {
  int n = 0;
  while (seed_candidate(arena, c, n) && n < 1000) n++;
  return n;
}

static void test_ends(void **state) {
  (void)state;
  static const char *const types[] = {"int4", "text", "bool", "jsonb", "timestamptz", "numeric", "never_heard_of", "_int4"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    for (int literals = 0; literals <= SEED_LITERALS_MAX; literals += SEED_LITERALS_MAX) {
      struct seed_column c = column(types[i]);
      c.not_null = i % 2;
      c.literal_count = literals;
      for (int l = 0; l < literals; l++) c.literals[l] = "'1'";
      int n = count(&c);
      assert_true(n >= 1 && n < 40);
      assert_null(seed_candidate(arena, &c, n + 1));
    }
}

static void test_fixed_and_default(void **state) {
  (void)state;
  struct seed_column c = column("int8");
  c.fixed = true;
  assert_string_equal(seed_candidate(arena, &c, 0), "");
  assert_int_equal(count(&c), 1);
  c = column("int8");
  c.default_expr = "nextval('s'::regclass)";
  assert_string_equal(seed_candidate(arena, &c, 0), "");
  assert_int_equal(count(&c), 1);
  c.default_expr = "7";
  assert_string_equal(seed_candidate(arena, &c, 0), "");
  assert_string_equal(seed_candidate(arena, &c, 1), "(g.n)::int8");
  c.unique = true; /* one default for all rows would collide */
  assert_string_equal(seed_candidate(arena, &c, 0), "(g.n)::int8");
}

static void test_null_comes_last(void **state) {
  (void)state;
  struct seed_column c = column("text");
  assert_string_equal(seed_candidate(arena, &c, count(&c) - 1), "(NULL)::text");
  c.not_null = true;
  assert_string_not_equal(seed_candidate(arena, &c, count(&c) - 1), "(NULL)::text");
}

static void test_literals_first_for_text(void **state) {
  (void)state;
  struct seed_column c = column("text");
  c.literals[0] = "'a'";
  c.literals[1] = "'b'";
  c.literal_count = 2;
  assert_string_equal(seed_candidate(arena, &c, 0), "((ARRAY[('a')::text, ('b')::text])[1 + (g.n - 1) % 2])::text");
}

static int setup(void **state) {
  (void)state;
  arena = arena_new(16 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ends), cmocka_unit_test(test_fixed_and_default),
                                     cmocka_unit_test(test_null_comes_last), cmocka_unit_test(test_literals_first_for_text)};
  return cmocka_run_group_tests_name("sandbox_seed_values", tests, setup, teardown);
}
