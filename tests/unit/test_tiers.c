/* Fairness at the door: who asks for little stays in the first tier, a burst sinks, time forgives, lanes and owners don't mix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "api/tiers.h"

static struct tiers *tiers;

static int setup(void **state) {
  (void)state;
  tiers = tiers_new();
  return tiers ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  tiers_free(tiers);
  return 0;
}

static struct id owner(uint8_t last) { return (struct id){.bytes = {[0] = 1, [15] = last}}; }

static void a_burst_sinks(void **state) {
  (void)state;
  struct id heavy = owner(1);
  int got[JOB_TIERS] = {0};
  for (int i = 0; i < 10000; i++) got[tiers_take(tiers, &heavy, LANE_BULK, 1000)]++;
  assert_int_equal(got[0], 8);
  assert_int_equal(got[1], 64);
  assert_int_equal(got[2], 512);
  assert_int_equal(got[3], 10000 - 8 - 64 - 512);
}

static void others_are_not_touched_by_it(void **state) {
  (void)state;
  struct id heavy = owner(1), light = owner(2);
  for (int i = 0; i < 10000; i++) tiers_take(tiers, &heavy, LANE_BULK, 1000);
  assert_int_equal(tiers_take(tiers, &light, LANE_BULK, 1000), 0);
  assert_int_equal(tiers_take(tiers, &heavy, LANE_INTERACTIVE, 1000), 0);
}

static void time_forgives(void **state) {
  (void)state;
  struct id heavy = owner(1);
  for (int i = 0; i < 10000; i++) tiers_take(tiers, &heavy, LANE_BULK, 1000);
  assert_int_equal(tiers_take(tiers, &heavy, LANE_BULK, 1000), 3);
  assert_int_equal(tiers_take(tiers, &heavy, LANE_BULK, 1040), 1); /* not yet a token of the first */
  assert_int_equal(tiers_take(tiers, &heavy, LANE_BULK, 1100), 0);
}

static void a_steady_caller_stays_in_the_first(void **state) {
  (void)state;
  struct id steady = owner(3);
  for (int i = 0; i < 1000; i++) assert_int_equal(tiers_take(tiers, &steady, LANE_DEFAULT, 1000 + 50 * i), 0);
}

/* The table has fewer places than there are owners: who shares one is at worst treated as new. */
static void owners_that_share_a_place_do_no_harm(void **state) {
  (void)state;
  struct id one = owner(9), other = owner(9);
  other.bytes[0] = 2;
  for (int i = 0; i < 100; i++) tiers_take(tiers, &one, LANE_BULK, 1000);
  assert_int_equal(tiers_take(tiers, &other, LANE_BULK, 1000), 0);
  assert_int_equal(tiers_take(tiers, &one, LANE_BULK, 1000), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_burst_sinks, setup, teardown),
      cmocka_unit_test_setup_teardown(others_are_not_touched_by_it, setup, teardown),
      cmocka_unit_test_setup_teardown(time_forgives, setup, teardown),
      cmocka_unit_test_setup_teardown(a_steady_caller_stays_in_the_first, setup, teardown),
      cmocka_unit_test_setup_teardown(owners_that_share_a_place_do_no_harm, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
