/* Weighted sharing: the ratio, the even spread, nobody starves, nothing is saved up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/lanes.h"

static void quotas_add_up_to_the_capacity(void **state) {
  (void)state;
  struct lanes lanes = {0};
  for (int capacity = 0; capacity < 200; capacity++) {
    int quota[LANE_COUNT], sum = 0;
    lanes_share(&lanes, capacity, quota);
    for (int lane = 0; lane < LANE_COUNT; lane++) {
      assert_true(quota[lane] >= 0);
      sum += quota[lane];
    }
    assert_int_equal(sum, capacity);
  }
}

static void a_round_of_twelve_is_eight_three_one(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[LANE_COUNT];
  lanes_share(&lanes, 12, quota);
  assert_int_equal(quota[LANE_INTERACTIVE], 8);
  assert_int_equal(quota[LANE_DEFAULT], 3);
  assert_int_equal(quota[LANE_BULK], 1);
}

static void one_at_a_time_keeps_the_ratio_and_the_spread(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int total[LANE_COUNT] = {0}, since_default = 0;
  for (int i = 0; i < 1200; i++) {
    int quota[LANE_COUNT];
    lanes_share(&lanes, 1, quota);
    for (int lane = 0; lane < LANE_COUNT; lane++) total[lane] += quota[lane];
    since_default = quota[LANE_DEFAULT] ? 0 : since_default + 1;
    assert_true(since_default <= 5);
  }
  assert_int_equal(total[LANE_INTERACTIVE], 800);
  assert_int_equal(total[LANE_DEFAULT], 300);
  assert_int_equal(total[LANE_BULK], 100);
}

static void an_empty_lane_is_passed_over(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[LANE_COUNT];
  lanes_saw(&lanes, LANE_INTERACTIVE, false);
  lanes_share(&lanes, 40, quota);
  assert_int_equal(quota[LANE_INTERACTIVE], 0);
  assert_int_equal(quota[LANE_DEFAULT], 30);
  assert_int_equal(quota[LANE_BULK], 10);
}

static void an_empty_lane_saves_nothing_up(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[LANE_COUNT];
  lanes_saw(&lanes, LANE_INTERACTIVE, false);
  lanes_share(&lanes, 1000, quota);
  lanes_saw(&lanes, LANE_INTERACTIVE, true);
  lanes_share(&lanes, 12, quota);
  assert_in_range(quota[LANE_INTERACTIVE], 7, 9);
}

static void when_all_seem_empty_all_are_asked(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[LANE_COUNT];
  for (int lane = 0; lane < LANE_COUNT; lane++) lanes_saw(&lanes, (enum job_lane)lane, false);
  lanes_share(&lanes, 12, quota);
  assert_int_equal(quota[LANE_BULK], 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quotas_add_up_to_the_capacity),
      cmocka_unit_test(a_round_of_twelve_is_eight_three_one),
      cmocka_unit_test(one_at_a_time_keeps_the_ratio_and_the_spread),
      cmocka_unit_test(an_empty_lane_is_passed_over),
      cmocka_unit_test(an_empty_lane_saves_nothing_up),
      cmocka_unit_test(when_all_seem_empty_all_are_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
