/* The harness itself: servers come up, are killed and restarted, and teardown notices what is left. */
#include <signal.h>
#include <unistd.h>

#include "tests/support/harness.h"

static int setup(void **state) {
  *state = harness_new();
  return 0;
}

static void postgres_serves_and_restarts(void **state) {
  struct harness *h = *state;
  struct harness_pg *pg = harness_postgres(h, 17);
  assert_int_equal(harness_count(h->database_url, "SELECT current_setting('server_version_num')::int / 10000"), 17);
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"), 1);
  harness_sql(h->database_url, "CREATE TABLE kept (); CHECKPOINT");
  harness_kill(pg->proc);
  assert_false(harness_alive(pg->proc));
  harness_restart(h, pg->proc);
  assert_int_equal(harness_count(h->database_url, "SELECT count(*) FROM pg_class WHERE relname = 'kept'"), 1);
}

/* A backend that is slow to notice its postmaster's death keeps the next one from starting. */
static void a_killed_postgres_restarts_after_its_backends(void **state) {
  struct harness *h = *state;
  struct harness_pg *pg = harness_postgres(h, 17);
  PGconn *conn = harness_connect(pg->url);
  char wake[64];
  kill(PQbackendPID(conn), SIGSTOP);
  snprintf(wake, sizeof wake, "sleep 0.5; kill -CONT %d", PQbackendPID(conn));
  harness_kill(pg->proc);
  harness_spawn(h, "wake", "/bin/sh", (const char *[]){"sh", "-c", wake, NULL}, NULL);
  harness_restart(h, pg->proc);
  assert_int_equal(harness_count(pg->url, "SELECT 1"), 1);
  PQfinish(conn);
}

static void valkey_serves_and_restarts(void **state) {
  struct harness *h = *state;
  struct harness_proc *valkey = harness_valkey(h);
  harness_kill(valkey);
  harness_restart(h, valkey);
  assert_true(harness_alive(valkey));
}

static void environment_is_private(void **state) {
  struct harness *h = *state;
  char *output = NULL;
  setenv("AUTODB_LEAK", "1", 1);
  setenv("PGHOST", "nowhere", 1);
  char **env = harness_env(h, (const char *[]){"AUTODB_SLOTS=7", NULL});
  assert_int_equal(harness_run(h, "/usr/bin/env", (const char *[]){"env", NULL}, (const char *const *)env, &output), 0);
  unsetenv("AUTODB_LEAK");
  unsetenv("PGHOST");
  harness_env_free(env);
  assert_null(strstr(output, "AUTODB_LEAK"));
  assert_null(strstr(output, "PGHOST"));
  assert_null(strstr(output, "AUTODB_SLOTS=2"));
  assert_non_null(strstr(output, "AUTODB_SLOTS=7"));
  free(output);
}

static void a_process_is_stopped_killed_and_told_apart(void **state) {
  struct harness *h = *state;
  const char *argv[] = {"sh", "-c", "echo started; trap 'exit 3' TERM; while :; do sleep 0.02; done", NULL};
  struct harness_proc *proc = harness_spawn(h, "looper", "/bin/sh", argv, NULL);
  assert_true(POLL_UNTIL(harness_log_has(proc, "started"), 5000));
  harness_signal(proc, SIGTERM);
  assert_int_equal(harness_exit_status(proc, 5000), 3);
  harness_restart(h, proc);
  assert_true(harness_alive(proc));
  harness_signal(proc, SIGKILL);
  assert_int_equal(harness_exit_status(proc, 5000), 128 + SIGKILL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(postgres_serves_and_restarts),
      cmocka_unit_test(a_killed_postgres_restarts_after_its_backends),
      cmocka_unit_test(valkey_serves_and_restarts),
      cmocka_unit_test(environment_is_private),
      cmocka_unit_test(a_process_is_stopped_killed_and_told_apart),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
