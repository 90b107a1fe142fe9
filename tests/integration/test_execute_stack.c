/* The whole way: analysed over HTTP, executed by a worker's slot, cancelled while it waits. */
#include "tests/support/harness.h"

#include <string.h>

#include "common/json.h"

struct stack {
  struct harness *h;
  char connection[64], url[HARNESS_URL];
};

static const char schema[] = "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g;"
                             "CREATE TABLE u (id int);";

static int setup(void **state) {
  static struct stack stack;
  struct harness *h = stack.h = harness_new();
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "client", stack.url);
  harness_sql(stack.url, schema);
  REPLY_AUTO reply = {0};
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "client", "db_type", "postgresql_local", "connection_string", stack.url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("connection: %ld %s", reply.status, reply.body);
  snprintf(stack.connection, sizeof stack.connection, "%s", harness_text(reply.json, "data.id"));
  *state = &stack;
  return 0;
}

static int teardown(void **state) {
  void *h = ((struct stack *)*state)->h;
  return harness_teardown(&h);
}

static json_t *approved(struct stack *stack, const char *sql) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", stack->connection);
  json_t *job = harness_job(stack->h, path, json_pack("{s:s}", "sql", sql), 60000);
  const char *token = harness_text(job, "result.approval_token");
  if (!*token) fail_msg("no token: %s", json_dumps(job, 0));
  json_t *body = json_pack("{s:s, s:s, s:s}", "approval_token", token, "sql", sql, "connection_id", stack->connection);
  json_decref(job);
  return body;
}

static void test_analysed_and_executed(void **state) {
  struct stack *stack = *state;
  json_t *job = harness_job(stack->h, "/api/v1/migrations/execute",
                            approved(stack, "ALTER TABLE t ADD COLUMN b int;\nCREATE INDEX CONCURRENTLY tb ON t (b);"), 60000);
  char *text = json_dumps(job, 0);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s", text);
  free(text);
  assert_true(json_is_true(harness_at(job, "result.applied")));
  assert_string_equal(harness_text(job, "result.request_id"), harness_text(job, "job_id"));
  assert_string_equal(harness_text(job, "result.transaction_mode"), "per-statement");
  assert_int_equal(strlen(harness_text(job, "result.snapshot_id")), 36);
  assert_int_equal(harness_count(stack->url, "SELECT count(*) FROM pg_index WHERE indexrelid = 'tb'::regclass AND indisvalid"), 1);
  json_decref(job);
}

/* The job is cancelled, and says what it left. */
static void test_cancelled_with_a_report(void **state) {
  struct stack *stack = *state;
  PGconn *other = harness_connect(stack->url);
  PQclear(PQexec(other, "BEGIN; LOCK TABLE t IN SHARE MODE"));
  json_t *body = approved(stack, "VACUUM u;\nALTER TABLE t ADD COLUMN c int;");
  char *text = json_dumps(body, 0), id[64], path[200];
  json_decref(body);
  REPLY_AUTO reply = {0};
  harness_http(stack->h, "POST", "/api/v1/migrations/execute", NULL, text, &reply);
  free(text);
  if (reply.status != 202) fail_msg("%ld %s", reply.status, reply.body);
  snprintf(id, sizeof id, "%s", harness_text(reply.json, "data.job_id"));
  assert_true(
      POLL_UNTIL(harness_count(stack->url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'autodb execute%' AND "
                                           "wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'") > 0,
                 30000));
  REPLY_AUTO cancel = {0};
  snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", id);
  harness_http(stack->h, "POST", path, NULL, "{}", &cancel);
  assert_int_equal(cancel.status, 202);
  REPLY_AUTO end = {0};
  snprintf(path, sizeof path, "/api/v1/jobs/%s?wait=20", id);
  harness_http(stack->h, "GET", path, NULL, NULL, &end);
  assert_string_equal(harness_text(end.json, "data.status"), "cancelled");
  assert_string_equal(harness_text(end.json, "data.error.code"), "JOB_CANCELLED");
  assert_string_equal(harness_text(end.json, "data.error.details.statements.0.status"), "applied");
  assert_string_equal(harness_text(end.json, "data.error.details.statements.1.status"), "rolled_back");
  PQfinish(other);
  snprintf(path, sizeof path, "/api/v1/jobs/%s/retry", id);
  REPLY_AUTO again = {0};
  harness_http(stack->h, "POST", path, NULL, "{}", &again);
  assert_int_equal(again.status, 202);
  snprintf(path, sizeof path, "/api/v1/jobs/%s?wait=30", id);
  REPLY_AUTO done = {0};
  harness_http(stack->h, "GET", path, NULL, NULL, &done);
  if (strcmp(harness_text(done.json, "data.status"), "succeeded") != 0) fail_msg("%s", done.body);
  assert_int_equal(
      harness_count(stack->url, "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_analysed_and_executed), cmocka_unit_test(test_cancelled_with_a_report)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
