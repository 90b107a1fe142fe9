/* Analyze, execute, look: a migration's way through API, worker and the client's database, and how it is stopped when that has changed. */
#include <libpq-fe.h>

#include "common/arena.h"
#include "tests/support/jobs.h"

#define PATH "/api/v1/migrations/execute"

static struct harness *h;
static struct arena *arena;
static char client_url[HARNESS_URL], connection[64];

static int setup(void **state) {
  *state = h = harness_new();
  arena = arena_new((size_t)64 << 20);
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "client", client_url);
  harness_sql(client_url,
              "CREATE TABLE orders (id bigint PRIMARY KEY, note text); INSERT INTO orders SELECT i FROM generate_series(1, 50) i");
  REPLY_AUTO reply;
  harness_http(h, "POST", "/api/v1/connections", NULL,
               arena_printf(arena, "{\"name\": \"client\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\"}", client_url),
               &reply);
  if (reply.status != 201) fail_msg("%ld: %s", reply.status, reply.body);
  snprintf(connection, sizeof connection, "%s", harness_text(reply.json, "data.id"));
  return 0;
}

static int teardown(void **state) {
  arena_free(arena);
  return harness_teardown(state);
}

/* Introspects and analyses; the body of the request that executes it. */
static const char *approved(const char *sql, const char *options) {
  json_decref(harness_job(h, arena_printf(arena, "/api/v1/connections/%s/introspect", connection), json_object(), 60000));
  json_t *job =
      harness_job(h, arena_printf(arena, "/api/v1/connections/%s/migrations/analyze", connection), json_pack("{s:s}", "sql", sql), 60000);
  const char *token = arena_strdup(arena, harness_text(job, "result.approval_token"));
  json_decref(job);
  if (!*token) fail_msg("no token for %s", sql);
  json_t *body = json_pack("{s:s, s:s, s:s, s:o}", "sql", sql, "approval_token", token, "connection_id", connection, "options",
                           json_loads(options, 0, NULL));
  char *text = json_dumps(body, JSON_COMPACT);
  const char *kept = arena_strdup(arena, text);
  json_decref(body);
  free(text);
  return kept;
}

static void post(const char *prefer, const char *body, int status, struct harness_reply *ret_reply) {
  harness_http(h, "POST", PATH, prefer ? (const char *[]){prefer, NULL} : NULL, body, ret_reply);
  if (ret_reply->status != status) fail_msg("%ld instead of %d: %s", ret_reply->status, status, ret_reply->body);
}

static long long columns(const char *name) {
  return harness_count(client_url, arena_printf(arena, "SELECT count(*) FROM information_schema.columns WHERE column_name = '%s'", name));
}

static void what_was_approved_changes_the_database(void **state) {
  (void)state;
  REPLY_AUTO reply;
  REPLY_AUTO again;
  const char *body = approved("ALTER TABLE orders ADD COLUMN total int;\nCREATE TABLE items (id int PRIMARY KEY);\n", "{}");
  post("Prefer: wait=30", body, 200, &reply);
  const json_t *job = harness_at(reply.json, "data");
  assert_string_equal(harness_text(job, "status"), "succeeded");
  assert_true(json_is_true(harness_at(job, "result.applied")));
  assert_string_equal(harness_text(job, "result.request_id"), harness_text(job, "job_id"));
  assert_string_equal(harness_text(job, "result.transaction_mode"), "single");
  assert_int_equal(json_array_size(harness_at(job, "result.statements")), 2);
  assert_string_equal(harness_text(job, "result.statements.1.status"), "applied");
  assert_int_equal(columns("total"), 1);
  assert_int_equal(harness_count(client_url, "SELECT count(*) FROM pg_class WHERE relname = 'items'"), 1);
  /* again: the same job, and nothing is done twice */
  post("Prefer: wait=30", body, 200, &again);
  assert_string_equal(harness_text(again.json, "data.job_id"), harness_text(job, "job_id"));
  assert_int_equal(harness_int(again.json, "data.attempt"), 1);
  REPLY_AUTO request;
  harness_http(h, "GET", arena_printf(arena, "/api/v1/migrations/requests/%s", harness_text(job, "job_id")), NULL, NULL, &request);
  assert_string_equal(harness_text(request.json, "data.status"), "completed");
  assert_true(json_is_true(harness_at(request.json, "data.result.applied")));
}

static void a_changed_schema_is_refused_with_what_changed(void **state) {
  (void)state;
  REPLY_AUTO reply;
  REPLY_AUTO again;
  const char *body = approved("ALTER TABLE orders ADD COLUMN drifted int", "{}");
  harness_sql(client_url, "CREATE TABLE intruder (id int)");
  post(NULL, body, 409, &reply);
  assert_string_equal(harness_text(reply.json, "error.code"), "SCHEMA_DRIFT");
  assert_non_null(strstr(reply.body, "intruder"));
  const char *id = arena_strdup(arena, harness_text(reply.json, "error.details.job_id"));
  assert_string_equal(jobs_state(h, id), "failed");
  assert_int_equal(columns("drifted"), 0);
  /* the database as it was again does not revive the approval: the job has ended */
  harness_sql(client_url, "DROP TABLE intruder");
  post(NULL, body, 409, &again);
  assert_string_equal(harness_text(again.json, "error.details.job_id"), id);
  assert_int_equal(columns("drifted"), 0);
  /* a retry is asked for by name; it looks again, and the schema is the one approved */
  REPLY_AUTO retry;
  harness_http(h, "POST", arena_printf(arena, "/api/v1/jobs/%s/retry", id), NULL, NULL, &retry);
  assert_int_equal(retry.status, 202);
  jobs_await(h, id, "succeeded", 30000);
  assert_int_equal(columns("drifted"), 1);
}

static void a_dry_run_leaves_nothing(void **state) {
  (void)state;
  REPLY_AUTO reply;
  REPLY_AUTO real;
  const char *body = approved("ALTER TABLE orders ADD COLUMN tried int", "{\"dry_run\": true}");
  post("Prefer: wait=30", body, 200, &reply);
  assert_string_equal(harness_text(reply.json, "data.status"), "succeeded");
  assert_true(json_is_false(harness_at(reply.json, "data.result.applied")));
  assert_true(json_is_true(harness_at(reply.json, "data.result.rolled_back")));
  assert_int_equal(columns("tried"), 0);
  json_t *asked = json_loads(body, 0, NULL);
  json_object_del(asked, "options");
  char *text = json_dumps(asked, JSON_COMPACT);
  post(NULL, text, 409, &real); /* a token is good for one run, dry or not */
  assert_string_equal(harness_text(real.json, "error.code"), "TOKEN_INVALID");
  free(text);
  json_decref(asked);
}

static void a_lock_held_by_another_names_the_holder(void **state) {
  (void)state;
  REPLY_AUTO reply;
  const char *body = approved("ALTER TABLE orders ADD COLUMN locked int", "{\"lock_timeout_ms\": 50, \"lock_retries\": 1}");
  PGconn *holder = harness_connect(client_url);
  PQclear(PQexec(holder, "SET application_name = 'nightly'; BEGIN; SELECT * FROM orders LIMIT 1"));
  post("Prefer: wait=40", body, 200, &reply);
  assert_string_equal(harness_text(reply.json, "data.status"), "failed");
  assert_string_equal(harness_text(reply.json, "data.error.code"), "LOCK_TIMEOUT");
  assert_string_equal(harness_text(reply.json, "data.error.details.blockers.0.application_name"), "nightly");
  assert_int_equal(columns("locked"), 0);
  PQfinish(holder);
  REPLY_AUTO retry;
  const char *id = arena_strdup(arena, harness_text(reply.json, "data.job_id"));
  harness_http(h, "POST", arena_printf(arena, "/api/v1/jobs/%s/retry", id), NULL, NULL, &retry);
  assert_int_equal(retry.status, 202);
  jobs_await(h, id, "succeeded", 30000);
  assert_int_equal(columns("locked"), 1);
}

/* By the two commands that README.md names. */
static void people_do_it_in_two_commands(void **state) {
  (void)state;
  const char *script =
      arena_printf(arena,
                   "cd %s && echo 'CREATE INDEX CONCURRENTLY orders_note ON orders (note);' > m.sql && autodb introspect && "
                   "autodb analyze m.sql --token-file token && autodb execute m.sql --token - < token",
                   h->dir);
  const char *const more[] = {arena_printf(arena, "AUTODB_URL=%s", h->api_url), arena_printf(arena, "AUTODB_API_KEY=%s", h->api_key),
                              "PATH=" AUTODB_BINARY_DIR ":/usr/bin:/bin", NULL};
  char *output = NULL, **env = harness_env(h, more);
  int status = harness_run(h, "/bin/sh", (const char *[]){"sh", "-c", script, NULL}, (const char *const *)env, &output);
  harness_env_free(env);
  if (status != 0 || !strstr(output, "Applied, statement by statement") || !strstr(output, "1  applied"))
    fail_msg("%d: %s", status, output);
  free(output);
  assert_int_equal(harness_count(client_url, "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = 'orders_note'::regclass"), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_was_approved_changes_the_database),
      cmocka_unit_test(a_changed_schema_is_refused_with_what_changed),
      cmocka_unit_test(a_dry_run_leaves_nothing),
      cmocka_unit_test(a_lock_held_by_another_names_the_holder),
      cmocka_unit_test(people_do_it_in_two_commands),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
