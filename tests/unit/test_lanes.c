/* Weighted sharing: the ratio, the even spread, nobody starves, nothing is saved up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/lanes.h"

static int lane_of(const int quota[JOB_STREAMS], enum job_lane lane) {
  int sum = 0;
  for (int tier = 0; tier < JOB_TIERS; tier++) sum += quota[job_stream(lane, tier)];
  return sum;
}

static void saw_lane(struct lanes *lanes, enum job_lane lane, bool has_more) {
  for (int tier = 0; tier < JOB_TIERS; tier++) lanes_saw(lanes, job_stream(lane, tier), has_more);
}

static void quotas_add_up_to_the_capacity(void **state) {
  (void)state;
  struct lanes lanes = {0};
  for (int capacity = 0; capacity < 200; capacity++) {
    int quota[JOB_STREAMS], sum = 0;
    lanes_share(&lanes, capacity, quota);
    for (int stream = 0; stream < JOB_STREAMS; stream++) {
      assert_true(quota[stream] >= 0);
      sum += quota[stream];
    }
    assert_int_equal(sum, capacity);
  }
}

static void a_round_of_twelve_is_eight_three_one(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[JOB_STREAMS];
  lanes_share(&lanes, 12, quota);
  assert_int_equal(lane_of(quota, LANE_INTERACTIVE), 8);
  assert_int_equal(lane_of(quota, LANE_DEFAULT), 3);
  assert_int_equal(lane_of(quota, LANE_BULK), 1);
}

static void one_at_a_time_keeps_the_ratio_and_the_spread(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int total[LANE_COUNT] = {0}, since_default = 0;
  for (int i = 0; i < 1200; i++) {
    int quota[JOB_STREAMS];
    lanes_share(&lanes, 1, quota);
    for (int lane = 0; lane < LANE_COUNT; lane++) total[lane] += lane_of(quota, (enum job_lane)lane);
    since_default = lane_of(quota, LANE_DEFAULT) ? 0 : since_default + 1;
    assert_true(since_default <= 5);
  }
  assert_int_equal(total[LANE_INTERACTIVE], 800);
  assert_int_equal(total[LANE_DEFAULT], 300);
  assert_int_equal(total[LANE_BULK], 100);
}

static void tiers_of_a_lane_share_eight_four_two_one(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[JOB_STREAMS];
  saw_lane(&lanes, LANE_INTERACTIVE, false);
  saw_lane(&lanes, LANE_DEFAULT, false);
  lanes_share(&lanes, 150, quota);
  for (int tier = 0; tier < JOB_TIERS; tier++) assert_int_equal(quota[job_stream(LANE_BULK, tier)], 10 * tier_weights[tier]);
}

/* One job in tier 0 beside a backlog in tier 3: its turn comes within two picks. */
static void the_first_tier_passes_a_backlog(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[JOB_STREAMS];
  for (int stream = 0; stream < JOB_STREAMS; stream++) lanes_saw(&lanes, stream, stream == job_stream(LANE_BULK, 3));
  lanes_share(&lanes, 1000, quota);
  assert_int_equal(quota[job_stream(LANE_BULK, 3)], 1000);
  lanes_saw(&lanes, job_stream(LANE_BULK, 0), true);
  lanes_share(&lanes, 2, quota);
  assert_true(quota[job_stream(LANE_BULK, 0)] >= 1);
}

static void an_empty_lane_is_passed_over(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[JOB_STREAMS];
  saw_lane(&lanes, LANE_INTERACTIVE, false);
  lanes_share(&lanes, 40, quota);
  assert_int_equal(lane_of(quota, LANE_INTERACTIVE), 0);
  assert_int_equal(lane_of(quota, LANE_DEFAULT), 30);
  assert_int_equal(lane_of(quota, LANE_BULK), 10);
}

static void an_empty_lane_saves_nothing_up(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[JOB_STREAMS];
  saw_lane(&lanes, LANE_INTERACTIVE, false);
  lanes_share(&lanes, 1000, quota);
  saw_lane(&lanes, LANE_INTERACTIVE, true);
  lanes_share(&lanes, 12, quota);
  assert_in_range(lane_of(quota, LANE_INTERACTIVE), 7, 9);
}

static void when_all_seem_empty_all_are_asked(void **state) {
  (void)state;
  struct lanes lanes = {0};
  int quota[JOB_STREAMS];
  for (int stream = 0; stream < JOB_STREAMS; stream++) lanes_saw(&lanes, stream, false);
  lanes_share(&lanes, 12, quota);
  assert_int_equal(lane_of(quota, LANE_BULK), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quotas_add_up_to_the_capacity),
      cmocka_unit_test(a_round_of_twelve_is_eight_three_one),
      cmocka_unit_test(one_at_a_time_keeps_the_ratio_and_the_spread),
      cmocka_unit_test(tiers_of_a_lane_share_eight_four_two_one),
      cmocka_unit_test(the_first_tier_passes_a_backlog),
      cmocka_unit_test(an_empty_lane_is_passed_over),
      cmocka_unit_test(an_empty_lane_saves_nothing_up),
      cmocka_unit_test(when_all_seem_empty_all_are_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
