/* A job that waits for others: what its handler returns, and that waiting not at all is waiting a moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/agent.h"

static void is_no_failure_of_the_job(void **state) {
  static const struct { int asked, got; } delays[] = {{1500, 1500}, {1, 1}, {0, 1}, {-5, 1}};
  (void)state;
  for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
    struct job job = {.id = "j"};
    ERROR_AUTO err = {0};
    assert_int_equal(job_park(&job, delays[i].asked, &err), ERR_UNAVAILABLE); /* whoever passes it on ends the attempt */
    assert_string_equal(err.code, "JOB_PARKED");
    assert_int_equal(job.park_ms, delays[i].got);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(is_no_failure_of_the_job)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
