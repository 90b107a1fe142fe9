/* The arena: zeroed, aligned, bounded; deferred calls last in, first out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/arena.h"

static int order[8], calls;

static void note(void *arg) { order[calls++] = *(int *)arg; }

static void memory_is_zeroed_aligned_and_apart(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1024 * 1024);
  char *last = NULL;
  for (size_t size = 0; size < 700; size++) {
    char *memory = arena_alloc(arena, size);
    assert_non_null(memory);
    assert_ptr_not_equal(memory, last);
    assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
    for (size_t i = 0; i < size; i++) assert_int_equal(memory[i], 0);
    memset(memory, 0xAA, size);
    last = memory;
  }
}

static void the_ceiling_holds(void **state) {
  (void)state;
  enum { MAX = 100 * 1024 };
  ARENA_AUTO arena = arena_new(MAX);
  assert_null(arena_alloc(arena, MAX));
  size_t got = 0;
  while (arena_alloc(arena, 1000)) got += 1000;
  assert_in_range(got, MAX / 2, MAX);
  assert_null(arena_alloc(arena, 1000));
  assert_null(arena_printf(arena, "%5000d", 1));
  arena_reset(arena);
  assert_non_null(arena_alloc(arena, MAX / 2)); /* all of it is there again */
}

static void absurd_sizes_fail(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(SIZE_MAX);
  volatile size_t huge = SIZE_MAX;
  assert_null(arena_alloc(arena, huge));
  assert_null(arena_alloc(arena, huge - 15));
  assert_null(arena_alloc(arena, huge / 2 + 1));
  assert_null(arena_calloc(arena, huge / 2, 3));
  assert_null(arena_strndup(arena, "x", huge));
  assert_non_null(arena_calloc(arena, 3, 5));
  assert_null(arena_new(8)); /* not even a chunk */
  arena_free(NULL);
}

static void large_ones_fit_beside_small_ones(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(64 * 1024 * 1024);
  for (int round = 0; round < 3; round++) {
    char *small = arena_strdup(arena, "small");
    char *large = arena_alloc(arena, 3 * 1024 * 1024 + 7);
    char *middle = arena_alloc(arena, 300 * 1024);
    assert_non_null(large);
    assert_non_null(middle);
    memset(large, 1, 3 * 1024 * 1024 + 7);
    memset(middle, 2, 300 * 1024);
    assert_string_equal(small, "small");
    arena_reset(arena);
  }
}

static void strings(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(64 * 1024);
  assert_null(arena_strdup(arena, NULL));
  assert_string_equal(arena_strdup(arena, ""), "");
  assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
  assert_string_equal(arena_printf(arena, "%s-%d", "x", 42), "x-42");
  char *padded = arena_printf(arena, "%6000s", "end");
  assert_int_equal(strlen(padded), 6000);
}

static void deferred_calls_run_last_first(void **state) {
  (void)state;
  static int one = 1, two = 2, three = 3;
  struct arena *arena = arena_new(64 * 1024);
  calls = 0;
  assert_int_equal(arena_defer(arena, note, &one), 0);
  assert_int_equal(arena_defer(arena, note, &two), 0);
  arena_reset(arena);
  assert_int_equal(calls, 2);
  assert_int_equal(order[0], 2);
  assert_int_equal(order[1], 1);
  assert_int_equal(arena_defer(arena, note, &three), 0);
  arena_free(arena);
  assert_int_equal(calls, 3);
  assert_int_equal(order[2], 3);
}

static void without_room_the_deferred_call_runs_at_once(void **state) {
  (void)state;
  static int seven = 7;
  ARENA_AUTO arena = arena_new(4096);
  while (arena_alloc(arena, 16)) continue;
  calls = 0;
  assert_int_equal(arena_defer(arena, note, &seven), -1);
  assert_int_equal(calls, 1);
  assert_null(arena_json(arena, json_string("freed at once"))); /* else a leak */
}

static void json_lives_as_long_as_the_arena(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(4096);
  json_t *json = arena_json(arena, json_pack("{s:[i,i]}", "a", 1, 2));
  assert_int_equal(json_array_size(json_object_get(json, "a")), 2);
  assert_null(arena_json(arena, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
      cmocka_unit_test(the_ceiling_holds),
      cmocka_unit_test(absurd_sizes_fail),
      cmocka_unit_test(large_ones_fit_beside_small_ones),
      cmocka_unit_test(strings),
      cmocka_unit_test(deferred_calls_run_last_first),
      cmocka_unit_test(without_room_the_deferred_call_runs_at_once),
      cmocka_unit_test(json_lives_as_long_as_the_arena),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
