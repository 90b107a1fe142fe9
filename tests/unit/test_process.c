/* How a program ended is told by what it says, or by the signal that ended it, its own or that of what it ran. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sandbox/process.h"

static void run_fails(const char *script, const char *says) {
  ERROR_AUTO err = {0};
  const char *const argv[] = {"/bin/sh", "-c", script, NULL};
  assert_int_equal(process_run(&(struct process_run){.argv = argv, .keep_fd = -1, .timeout_ms = 20000}, &err), ERR_UNAVAILABLE);
  if (!strstr(err.message, says)) fail_msg("%s: %s", script, err.message);
}

static void how_it_ended(void **state) {
  (void)state;
  run_fails("echo no such thing >&2; exit 3", "no such thing");
  run_fails("kill -9 $$", "signal 9");
  run_fails("sh -c 'kill -24 $$'; exit $?", "signal 24");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(how_it_ended)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
