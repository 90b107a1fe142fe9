/* The commands of `autodb` that are calls of the API: connection, introspect, analyze, job - against a whole, running system. */
#include <unistd.h>

#include "tests/support/harness.h"

#define AUTODB AUTODB_BINARY_DIR "/autodb"

static struct harness *h;
static char client_url[HARNESS_URL], connection_id[64], url_env[128], key_env[128];

static int run_with(const char *const more[], const char *const argv[], char **ret_output) {
  char **env = harness_env(h, more);
  int status = harness_run(h, AUTODB, argv, (const char *const *)env, ret_output);
  harness_env_free(env);
  return status;
}

static int run_cli(const char *const argv[], char **ret_output) {
  return run_with((const char *[]){url_env, key_env, NULL}, argv, ret_output);
}

static int setup(void **state) {
  *state = h = harness_new();
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "client", client_url);
  harness_sql(client_url, "CREATE TABLE orders (id bigint PRIMARY KEY, note text); CREATE TABLE items (id bigint PRIMARY KEY, order_id "
                          "bigint REFERENCES orders);"
                          "INSERT INTO orders SELECT i, 'n' FROM generate_series(1, 1000) i; ANALYZE");
  snprintf(url_env, sizeof url_env, "AUTODB_URL=%s/", h->api_url);
  snprintf(key_env, sizeof key_env, "AUTODB_API_KEY=%s", h->api_key);
  return 0;
}

static const char *put_file(const char *name, const char *text) {
  static char path[HARNESS_PATH + 32];
  snprintf(path, sizeof path, "%s/%s", h->dir, name);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
  return path;
}

static void expect(int want, const char *const argv[], const char *const parts[]) {
  char *output = NULL;
  int status = run_cli(argv, &output);
  if (status != want) fail_msg("%s %s: exit %d (want %d): %s", argv[1], argv[2] ? argv[2] : "", status, want, output);
  for (size_t i = 0; parts && parts[i]; i++)
    if (!strstr(output, parts[i])) fail_msg("%s: not in the output: %s\n%s", argv[1], parts[i], output);
  free(output);
}

static void adds_and_lists_connections(void **state) {
  (void)state;
  char *output = NULL;
  if (run_cli((const char *[]){"autodb", "connection", "add", "--name", "client", client_url, NULL}, &output) != 0) fail_msg("%s", output);
  output[strcspn(output, "\n")] = 0;
  assert_int_equal(strlen(output), 36);
  snprintf(connection_id, sizeof connection_id, "%s", output);
  free(output);
  expect(0, (const char *[]){"autodb", "connection", "list", NULL}, (const char *[]){connection_id, "client", "127.0.0.1", NULL});
  assert_int_equal(run_cli((const char *[]){"autodb", "connection", "list", NULL}, &output), 0);
  assert_null(strstr(output, HARNESS_PASSWORD));
  free(output);
}

static void tells_why_a_connection_is_refused(void **state) {
  (void)state;
  char *output = NULL;
  int status = run_cli((const char *[]){"autodb", "connection", "add", "--name", "x", "postgresql://postgres:tosecret@127.0.0.1:1/x", NULL},
                       &output);
  assert_int_equal(status, 1);
  assert_null(strstr(output, "tosecret"));
  assert_non_null(strstr(output, "refused"));
  free(output);
  expect(1, (const char *[]){"autodb", "connection", "add", "--name", "x", "host=127.0.0.1 passfile=/etc/passwd", NULL},
         (const char *[]){"passfile", NULL});
  expect(2, (const char *[]){"autodb", "connection", "add", client_url, NULL}, (const char *[]){"--name", NULL});
}

static void introspects_the_only_connection(void **state) {
  (void)state;
  expect(0, (const char *[]){"autodb", "introspect", NULL}, (const char *[]){"\"table_count\": 2", "public.orders", NULL});
  expect(1, (const char *[]){"autodb", "introspect", "--connection", "../jobs", NULL}, (const char *[]){"not a connection's id", NULL});
}

/* Questions go to the role that may only read, migrations to the one that may change things. */
static void takes_the_connection_that_fits(void **state) {
  (void)state;
  char reader_url[HARNESS_URL], reader_id[64];
  char *output = NULL;
  harness_sql(client_url, "CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT SELECT ON orders, items TO reader");
  snprintf(reader_url, sizeof reader_url, "postgresql://reader:reader@127.0.0.1:%d/client", h->pg[0].port);
  if (run_cli((const char *[]){"autodb", "connection", "add", "--name", "to read", reader_url, NULL}, &output) != 0) fail_msg("%s", output);
  snprintf(reader_id, sizeof reader_id, "%.36s", output);
  free(output);
  expect(0, (const char *[]){"autodb", "ask", "How many orders are there?", NULL}, (const char *[]){"on \"to read\"", "1000", NULL});
  expect(0, (const char *[]){"autodb", "introspect", NULL}, (const char *[]){"on \"client\"", "\"table_count\": 2", NULL});
  expect(1, (const char *[]){"autodb", "ask", "How many orders are there?", "--connection", connection_id, NULL},
         (const char *[]){"superuser", "CREATE ROLE", NULL});
  expect(1, (const char *[]){"autodb", "ask", "How many orders are there?", "--json", "--connection", connection_id, NULL},
         (const char *[]){"\"GUARDRAIL_VIOLATION\"", NULL});
  if (run_cli((const char *[]){"autodb", "connection", "add", "--name", "again", reader_url, NULL}, &output) != 0) fail_msg("%s", output);
  free(output);
  expect(1, (const char *[]){"autodb", "ask", "How many orders are there?", NULL}, (const char *[]){"several connections", NULL});
}

static void analyses_a_file_and_prints_the_report(void **state) {
  (void)state;
  const char *path = put_file("m.sql", "ALTER TABLE orders ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();\n");
  expect(0, (const char *[]){"autodb", "analyze", path, NULL},
         (const char *[]){"Risk ", "ALTER TABLE", "public.orders", "AccessExclusiveLock", "Blast radius", "public.items",
                          "passed on postgres 17", "Rollback", NULL});
  expect(0, (const char *[]){"autodb", "analyze", path, "--json", NULL},
         (const char *[]){"\"approval_token\": \"", "\"kind\": \"migration.analyze\"", NULL});
  expect(0, (const char *[]){"autodb", "analyze", path, "--no-sandbox", NULL}, (const char *[]){"Risk ", "not run", "No token", NULL});
  path = put_file("bad.sql", "SELECT 1;\nALTER TABEL orders ADD x int;\n");
  expect(0, (const char *[]){"autodb", "analyze", path, NULL}, (const char *[]){"failed", "42601", "line 2", "No token", NULL});
  path = put_file("bytes.sql", "SELECT '\xff';");
  expect(2, (const char *[]){"autodb", "analyze", path, NULL}, (const char *[]){"UTF-8", NULL});
  path = put_file("empty.sql", "");
  expect(1, (const char *[]){"autodb", "analyze", path, NULL}, (const char *[]){"sql", NULL});
  expect(1, (const char *[]){"autodb", "analyze", "/nonexistent.sql", NULL}, (const char *[]){"No such file", NULL});
  expect(2, (const char *[]){"autodb", "analyze", NULL}, (const char *[]){"usage:", NULL});
}

static void follows_a_job(void **state) {
  (void)state;
  json_t *job = harness_job(h, "/api/v1/jobs/echo", json_pack("{s:{s:i}}", "payload", "answer", 42), 30000);
  expect(0, (const char *[]){"autodb", "job", harness_text(job, "job_id"), NULL}, (const char *[]){"\"answer\": 42", NULL});
  json_decref(job);
  expect(1, (const char *[]){"autodb", "job", "0190a5f0-0000-7000-8000-000000000001", NULL}, NULL);
  expect(2, (const char *[]){"autodb", "job", "no/such", NULL}, NULL);
  REPLY_AUTO made = {0};
  harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\":{\"answer\":43},\"sleep_ms\":700}", &made);
  char id[40];
  snprintf(id, sizeof id, "%s", harness_text(made.json, "data.job_id"));
  expect(0, (const char *[]){"autodb", "job", id, "--follow", NULL}, (const char *[]){"%  sleep", "succeeded\n", "\"answer\": 43", NULL});
  expect(0, (const char *[]){"autodb", "job", id, "--follow", NULL},
         (const char *[]){"succeeded\n", "\"answer\": 43", NULL}); /* ended before */
  expect(1, (const char *[]){"autodb", "job", "0190a5f0-0000-7000-8000-000000000001", "--follow", NULL}, NULL);
}

static struct harness_proc *the_api(void) {
  for (int i = 0; i < h->proc_count; i++)
    if (strncmp(h->procs[i].name, "api", 3) == 0) return &h->procs[i];
  fail_msg("no API runs");
  return NULL;
}

/* The stream breaks while the job runs: what was heard is not printed twice, and the end is heard. */
static void follows_through_a_broken_connection(void **state) {
  (void)state;
  REPLY_AUTO made = {0};
  harness_http(h, "POST", "/api/v1/jobs/echo", NULL, "{\"payload\":{\"answer\":44},\"sleep_ms\":4000}", &made);
  char id[40];
  snprintf(id, sizeof id, "%s", harness_text(made.json, "data.job_id"));
  char **env = harness_env(h, (const char *[]){url_env, key_env, NULL});
  struct harness_proc *follow =
      harness_spawn(h, "follow", AUTODB, (const char *[]){"autodb", "job", id, "--follow", NULL}, (const char *const *)env);
  harness_env_free(env);
  if (!POLL_UNTIL(harness_log_has(follow, "running"), 10000)) fail_msg("it never ran");
  struct harness_proc *api = the_api();
  char port_env[32];
  snprintf(port_env, sizeof port_env, "AUTODB_PORT=%d", h->api_port);
  harness_kill(api);
  harness_api(h, (const char *[]){port_env, NULL});
  assert_int_equal(harness_exit_status(follow, 30000), 0);
  assert_true(harness_log_has(follow, "succeeded\n"));
  assert_true(harness_log_has(follow, "\"answer\": 44"));
  assert_false(harness_log_has(follow, "running\nrunning"));
}

static void says_what_to_do_without_server_or_key(void **state) {
  (void)state;
  const char *const list[] = {"autodb", "connection", "list", NULL};
  char *output = NULL;
  assert_int_equal(run_with((const char *[]){"AUTODB_URL=http://127.0.0.1:1", key_env, NULL}, list, &output), 1);
  assert_non_null(strstr(output, "is the server running?"));
  free(output);
  assert_int_equal(run_with((const char *[]){url_env, "AUTODB_API_KEY=adb_wrong", NULL}, list, &output), 1);
  assert_non_null(strstr(output, "AUTODB_API_KEY"));
  free(output);
  assert_int_equal(run_with((const char *[]){url_env, "AUTODB_API_KEY=a\r\nX-Evil: 1", NULL}, list, &output), 1);
  free(output);
  assert_int_equal(run_with((const char *[]){"AUTODB_URL=file:///etc/passwd", key_env, NULL}, list, &output), 1);
  assert_null(strstr(output, "root:"));
  free(output);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(adds_and_lists_connections),
      cmocka_unit_test(tells_why_a_connection_is_refused),
      cmocka_unit_test(introspects_the_only_connection),
      cmocka_unit_test(takes_the_connection_that_fits),
      cmocka_unit_test(analyses_a_file_and_prints_the_report),
      cmocka_unit_test(follows_a_job),
      cmocka_unit_test(follows_through_a_broken_connection),
      cmocka_unit_test(says_what_to_do_without_server_or_key),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
