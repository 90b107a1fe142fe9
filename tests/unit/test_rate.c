/* Buckets of tokens: what they hold, how they fill, and that owners don't share them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <pthread.h>

#include "api/rate.h"

#define SECOND 1000000

static int setup(void **state) { return (*state = rate_new()) ? 0 : -1; }
static int teardown(void **state) {
  rate_free(*state);
  return 0;
}

static int take_many(struct rate *rate, const struct id *owner, int per_second, int burst, int64_t now_us, int count) {
  int allowed = 0;
  for (int i = 0; i < count; i++) allowed += rate_take(rate, owner, per_second, burst, now_us).allowed;
  return allowed;
}

static void a_new_bucket_is_full_and_fills_at_its_rate(void **state) {
  struct id owner;
  id_new(&owner);
  assert_int_equal(take_many(*state, &owner, 10, 25, SECOND, 100), 25);
  assert_int_equal(take_many(*state, &owner, 10, 25, SECOND + 99999, 5), 0);
  assert_int_equal(take_many(*state, &owner, 10, 25, SECOND + 100000, 5), 1);
  assert_int_equal(take_many(*state, &owner, 10, 25, 2 * SECOND, 50), 9);
  assert_int_equal(take_many(*state, &owner, 10, 25, 1000 * (int64_t)SECOND, 100), 25); /* never more than it holds */
}

static void answers_say_what_is_left_and_how_long_to_wait(void **state) {
  struct id owner;
  id_new(&owner);
  for (int left = 3; left >= 0; left--) {
    struct rate_answer answer = rate_take(*state, &owner, 2, 4, SECOND);
    assert_true(answer.allowed);
    assert_int_equal(answer.remaining, left);
    assert_int_equal(answer.wait_ms, (4 - left) * 500);
  }
  struct rate_answer answer = rate_take(*state, &owner, 2, 4, SECOND + 100000);
  assert_false(answer.allowed);
  assert_int_equal(answer.remaining, 0);
  assert_int_equal(answer.wait_ms, 400);
}

static void a_clock_that_stands_still_gives_nothing(void **state) {
  struct id owner;
  id_new(&owner);
  assert_int_equal(take_many(*state, &owner, 1000000, 1, SECOND, 10), 1);
  assert_int_equal(take_many(*state, &owner, 1000000, 0, 2 * SECOND, 10), 1); /* a depth of nothing is one */
}

/* More owners than there are places: who asks for much is still held to his limit, who asks now and then never is. */
static void a_crowd_pushes_no_heavy_owner_out(void **state) {
  struct id heavy, other;
  id_new(&heavy);
  assert_int_equal(take_many(*state, &heavy, 1, 1000, SECOND, 2000), 1000);
  for (int i = 0; i < 50000; i++) {
    id_new(&other);
    assert_int_equal(take_many(*state, &other, 1, 2, SECOND, 1), 1);
  }
  assert_int_equal(take_many(*state, &heavy, 1, 1000, SECOND, 10), 0);
}

static void *take_in_thread(void *arg) {
  static const struct id owner = {{7}};
  return (void *)(intptr_t)take_many(arg, &owner, 1, 10000, SECOND, 20000);
}

static void threads_share_one_bucket(void **state) {
  pthread_t threads[4];
  intptr_t total = 0;
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, take_in_thread, *state), 0);
  for (int i = 0; i < 4; i++) {
    void *taken;
    pthread_join(threads[i], &taken);
    total += (intptr_t)taken;
  }
  assert_int_equal(total, 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_new_bucket_is_full_and_fills_at_its_rate),
      TEST(answers_say_what_is_left_and_how_long_to_wait),
      TEST(a_clock_that_stands_still_gives_nothing),
      TEST(a_crowd_pushes_no_heavy_owner_out),
      TEST(threads_share_one_bucket),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
