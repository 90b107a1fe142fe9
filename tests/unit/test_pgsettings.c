/* Connection strings of our own with server settings added: nothing they held may change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "common/pgsettings.h"

/* What libpq reads back from it. */
static char *option_of(const char *conninfo, const char *keyword) {
  char *made = pgsettings_add(conninfo, "-c a=1"), *value = NULL;
  assert_non_null(made);
  PQconninfoOption *options = PQconninfoParse(made, NULL);
  assert_non_null(options);
  for (const PQconninfoOption *option = options; option->keyword; option++)
    if (strcmp(option->keyword, keyword) == 0 && option->val) value = strdup(option->val);
  PQconninfoFree(options);
  free(made);
  return value;
}

static void assert_option(const char *conninfo, const char *keyword, const char *want) {
  char *got = option_of(conninfo, keyword);
  assert_non_null(got);
  assert_string_equal(got, want);
  free(got);
}

static void conninfo_keeps_what_it_held(void **state) {
  (void)state;
  assert_option("postgresql://me:p%27w%5C%20x@127.0.0.1:5433/db", "password", "p'w\\ x");
  assert_option("postgresql://me:p@127.0.0.1:5433/db", "port", "5433");
  assert_option("host=/tmp dbname='a b'", "dbname", "a b");
  assert_null(pgsettings_add("not a conninfo", ""));
}

static void conninfo_gains_settings(void **state) {
  (void)state;
  char *options = option_of("host=/tmp options='-c work_mem=1MB'", "options");
  assert_non_null(strstr(options, "-c work_mem=1MB -c a=1"));
  free(options);
  options = option_of("postgresql://127.0.0.1/db", "options");
  assert_non_null(strstr(options, "-c a=1"));
  free(options);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(conninfo_keeps_what_it_held),
      cmocka_unit_test(conninfo_gains_settings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
