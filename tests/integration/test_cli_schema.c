/* `autodb schema up|status` and `autodb key create`, run as programs against a real server. */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/harness.h"

#define AUTODB AUTODB_BINARY_DIR "/autodb"

/* A schema directory of the test's own, and a fresh database for it. */
struct fixture {
  struct harness *h;
  char dir[HARNESS_PATH + 32], url[HARNESS_URL];
  char dir_env[HARNESS_PATH + 64], url_env[HARNESS_URL + 32];
};

static struct fixture fx;

static int group_setup(void **state) {
  struct harness *h = harness_new();
  harness_postgres(h, 17);
  fx.h = h;
  *state = h;
  return 0;
}

static void put_file(const char *name, const char *text) {
  char path[HARNESS_PATH + 128];
  snprintf(path, sizeof path, "%s/%s", fx.dir, name);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int each_setup(void **state) {
  (void)state;
  static int round;
  snprintf(fx.dir, sizeof fx.dir, "%s/schema-%d", fx.h->dir, ++round);
  assert_int_equal(mkdir(fx.dir, 0700), 0);
  harness_database(&fx.h->pg[0], "schema_test", fx.url);
  snprintf(fx.dir_env, sizeof fx.dir_env, "AUTODB_SCHEMA_DIR=%s", fx.dir);
  snprintf(fx.url_env, sizeof fx.url_env, "AUTODB_DATABASE_URL=%s", fx.url);
  // ensure_partitions() is what `up` calls at its end
  put_file("0001_first.sql",
           "CREATE FUNCTION ensure_partitions(integer, integer) RETURNS integer LANGUAGE sql AS 'SELECT 0'; CREATE TABLE one (id int);");
  put_file("0002_second.sql", "CREATE TABLE two (id int);");
  put_file("README.md", "not a version");
  return 0;
}

static int run_cli(const char *const argv[], char **ret_output) {
  char **env = harness_env(fx.h, (const char *[]){fx.dir_env, fx.url_env, NULL});
  int status = harness_run(fx.h, AUTODB, argv, (const char *const *)env, ret_output);
  harness_env_free(env);
  return status;
}

static void expect(int want, const char *const argv[], const char *part) {
  char *output = NULL;
  int status = run_cli(argv, &output);
  if (status != want || !strstr(output, part))
    fail_msg("%s %s: exit %d (want %d), output without \"%s\": %s", argv[1], argv[2], status, want, part, output);
  free(output);
}
static const char *const up[] = {"autodb", "schema", "up", NULL};
static const char *const status[] = {"autodb", "schema", "status", NULL};

static void applies_in_order_once(void **state) {
  (void)state;
  expect(1, status, "0001_first.sql  pending");
  expect(0, up, "applied 0001_first.sql\napplied 0002_second.sql\nschema is at version 2");
  expect(0, up, "schema is at version 2");
  expect(0, status, "0002_second.sql  applied 2");
  assert_int_equal(harness_count(fx.url, "SELECT count(*) FROM autodb.schema_migrations"), 2);
  assert_int_equal(harness_count(fx.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'autodb' AND tablename IN ('one', 'two')"), 2);
  put_file("0003_third.sql", "CREATE TABLE three (id int);");
  expect(1, status, "0003_third.sql  pending");
  expect(0, up, "applied 0003_third.sql");
}

static void refuses_an_edited_file(void **state) {
  (void)state;
  expect(0, up, "version 2");
  put_file("0001_first.sql", "CREATE TABLE one (id bigint);");
  put_file("0003_third.sql", "CREATE TABLE three (id int);");
  expect(1, up, "0001_first.sql was edited after it had been applied");
  expect(1, status, "0001_first.sql was edited");
  assert_int_equal(harness_count(fx.url, "SELECT count(*) FROM pg_tables WHERE tablename = 'three'"), 0);
}

static void refuses_gaps_and_doubles(void **state) {
  (void)state;
  put_file("0004_fourth.sql", "SELECT 1;");
  expect(1, up, "there is no version 0003");
  put_file("0003_third.sql", "SELECT 1;");
  put_file("0003_again.sql", "SELECT 1;");
  expect(1, up, "have the same number");
}

static void refuses_a_database_of_a_newer_program(void **state) {
  (void)state;
  put_file("0003_third.sql", "SELECT 1;");
  expect(0, up, "version 3");
  char path[HARNESS_PATH + 64];
  snprintf(path, sizeof path, "%s/0003_third.sql", fx.dir);
  unlink(path);
  expect(1, up, "brought up by a newer one");
}

static void a_failing_file_leaves_nothing(void **state) {
  (void)state;
  put_file("0003_third.sql", "CREATE TABLE three (id int); CREATE TABLE three (id int);");
  expect(1, up, "0003_third.sql was not applied: ");
  assert_int_equal(harness_count(fx.url, "SELECT count(*) FROM pg_tables WHERE tablename = 'three'"), 0);
  assert_int_equal(harness_count(fx.url, "SELECT max(version) FROM autodb.schema_migrations"), 2);
  put_file("0003_third.sql", "CREATE TABLE three (id int);");
  expect(0, up, "applied 0003_third.sql");
}

static void any_number_may_run_at_once(void **state) {
  (void)state;
  put_file("0003_slow.sql", "SELECT pg_sleep(0.3); CREATE TABLE three (id int);");
  struct harness_proc *procs[6];
  char **env = harness_env(fx.h, (const char *[]){fx.dir_env, fx.url_env, NULL});
  for (int i = 0; i < 6; i++) procs[i] = harness_spawn(fx.h, "up", AUTODB, up, (const char *const *)env);
  harness_env_free(env);
  for (int i = 0; i < 6; i++) assert_int_equal(harness_exit_status(procs[i], 20000), 0);
  assert_int_equal(harness_count(fx.url, "SELECT count(*) FROM autodb.schema_migrations"), 3);
}

static void says_what_is_wrong_without_the_password(void **state) {
  (void)state;
  char *output = NULL;
  snprintf(fx.url_env, sizeof fx.url_env, "AUTODB_DATABASE_URL=postgresql://postgres:tosecret@127.0.0.1:%d/nowhere", fx.h->pg[0].port);
  assert_int_equal(run_cli(up, &output), 1);
  assert_null(strstr(output, "tosecret"));
  assert_non_null(strstr(output, "AUTODB_DATABASE_URL"));
  free(output);
  snprintf(fx.dir_env, sizeof fx.dir_env, "AUTODB_SCHEMA_DIR=/nonexistent");
  expect(1, up, "AUTODB_SCHEMA_DIR is /nonexistent");
}

static void the_real_schema_and_a_key(void **state) {
  (void)state;
  snprintf(fx.dir_env, sizeof fx.dir_env, "AUTODB_SCHEMA_DIR=%s/schema", AUTODB_SOURCE_DIR);
  expect(0, up, "schema is at version");
  char *key = NULL, sql[512];
  assert_int_equal(run_cli((const char *const[]){"autodb", "key", "create", "--owner", "ops", "--role=admin", NULL}, &key), 0);
  assert_int_equal(strlen(key), 4 + 43 + 1);
  assert_memory_equal(key, "adb_", 4);
  key[47] = 0;
  snprintf(sql, sizeof sql,
           "SELECT count(*) FROM autodb.api_keys k JOIN autodb.owners o ON o.id = k.owner_id WHERE o.name = 'ops' AND k.role = 'admin' "
           "AND k.key_hash = sha256('%s') AND starts_with('%s', k.prefix)",
           key, key);
  assert_int_equal(harness_count(fx.url, sql), 1);
  free(key);
  assert_int_equal(run_cli((const char *const[]){"autodb", "key", "create", "--owner", "ops", "--role=user", NULL}, NULL), 0);
  assert_int_equal(harness_count(fx.url, "SELECT count(*) FROM autodb.owners"), 1);
  expect(2, (const char *const[]){"autodb", "key", "create", "--owner", "ops", "--role=root", NULL}, "--role is admin or user");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(applies_in_order_once, each_setup),
      cmocka_unit_test_setup(refuses_an_edited_file, each_setup),
      cmocka_unit_test_setup(refuses_gaps_and_doubles, each_setup),
      cmocka_unit_test_setup(refuses_a_database_of_a_newer_program, each_setup),
      cmocka_unit_test_setup(a_failing_file_leaves_nothing, each_setup),
      cmocka_unit_test_setup(any_number_may_run_at_once, each_setup),
      cmocka_unit_test_setup(says_what_is_wrong_without_the_password, each_setup),
      cmocka_unit_test_setup(the_real_schema_and_a_key, each_setup),
  };
  return cmocka_run_group_tests(tests, group_setup, harness_teardown);
}
