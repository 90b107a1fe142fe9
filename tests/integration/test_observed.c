/* test_observed.c - what can't be judged from its text is judged by what the sandbox saw: findings, locks and score of DO blocks. */
#include "tests/support/harness.h"

#include "common/json.h"

struct world {
  struct harness *harness;
  char connection[64];
};

static int setup(void **state) {
  static struct world world;
  char url[HARNESS_URL];
  REPLY_AUTO reply = {0};
  struct harness *h = world.harness = harness_new();
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "opaque", url);
  harness_sql(url, "CREATE TABLE t (id int PRIMARY KEY, a int, b text); CREATE TABLE other (id int); "
                   "INSERT INTO t SELECT g, g, repeat('x', 200) FROM generate_series(1, 20000) g; ANALYZE");
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "opaque", "db_type", "postgresql_local", "connection_string", url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("connection: %ld %s", reply.status, reply.body);
  snprintf(world.connection, sizeof world.connection, "%s", harness_text(reply.json, "data.id"));
  *state = &world;
  return 0;
}

static int teardown(void **state) {
  void *harness = ((struct world *)*state)->harness;
  return harness_teardown(&harness);
}

/* The last statement of the report; the job is the caller's to release. */
static json_t *judged(struct world *world, const char *sql, json_t **ret_job) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", world->connection);
  json_t *job = *ret_job = harness_job(world->harness, path, json_pack("{s:s}", "sql", sql), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0 ||
      !json_is_true(json_object_get(json_object_get(json_object_get(job, "result"), "sandbox_result"), "passed"))) {
    puts(json_dumps(job, JSON_INDENT(1)));
    fail_msg("%s", sql);
  }
  json_t *statements = json_object_get(json_object_get(job, "result"), "statements");
  return json_array_get(statements, json_array_size(statements) - 1);
}

static json_t *with(const json_t *list, const char *key, const char *value) {
  size_t index;
  json_t *one;
  json_array_foreach(list, index, one) if (strcmp(json_str(one, key, ""), value) == 0) return one;
  return NULL;
}

static void test_a_rewrite_is_told(void **state) {
  json_t *job, *statement = judged(*state, "DO $$ BEGIN EXECUTE 'ALTER TABLE t ALTER COLUMN a TYPE bigint'; END $$", &job);
  json_t *finding = with(json_object_get(statement, "findings"), "code", "observed-rewrite");
  assert_non_null(finding);
  assert_non_null(strstr(json_str(finding, "message", ""), "public.t under AccessExclusiveLock"));
  assert_string_equal(json_str(with(json_object_get(statement, "locks"), "table", "public.t"), "source", ""), "observed");
  assert_non_null(with(json_object_get(statement, "risk_factors"), "code", "rewrite"));
  assert_non_null(with(json_object_get(statement, "risk_factors"), "code", "lock"));
  assert_null(with(json_object_get(statement, "risk_factors"), "code", "opaque"));
  assert_true(json_int(json_object_get(job, "result"), "risk_score", 0) >= json_int(statement, "risk_score", 0));
  assert_non_null(with(json_object_get(json_object_get(job, "result"), "affected_tables"), "table", "public.t"));
  json_decref(job);
}

static void test_a_lock_and_a_scan_are_told(void **state) {
  json_t *job, *statement = judged(*state, "DO $$ BEGIN LOCK TABLE other; END $$", &job);
  assert_non_null(with(json_object_get(statement, "findings"), "code", "observed-lock"));
  json_decref(job);
  statement = judged(*state, "DO $$ BEGIN ALTER TABLE t ADD CONSTRAINT c CHECK (a > -1); END $$", &job);
  assert_non_null(with(json_object_get(statement, "findings"), "code", "observed-scan"));
  assert_null(with(json_object_get(statement, "findings"), "code", "observed-lock")); /* the worst is told, once */
  json_decref(job);
}

static void test_a_harmless_block_is_quiet(void **state) {
  json_t *job, *statement = judged(*state, "DO $$ BEGIN PERFORM 1; END $$", &job);
  json_t *findings = json_object_get(statement, "findings");
  assert_null(with(findings, "code", "observed-rewrite"));
  assert_null(with(findings, "code", "observed-scan"));
  assert_null(with(findings, "code", "observed-lock"));
  assert_non_null(with(findings, "code", "opaque-statement"));
  json_decref(job);
}

static void test_own_tables_are_nobody_elses(void **state) {
  json_t *job, *statement = judged(*state, "CREATE TABLE mine (id int); DO $$ BEGIN ALTER TABLE mine ADD COLUMN z serial; END $$", &job);
  assert_null(with(json_object_get(statement, "findings"), "code", "observed-rewrite"));
  assert_null(with(json_object_get(statement, "risk_factors"), "code", "rewrite"));
  json_decref(job);
}

static void test_it_can_be_silenced(void **state) {
  json_t *job, *statement = judged(*state,
                                   "-- autodb:ignore observed-rewrite the table is small\n"
                                   "DO $$ BEGIN EXECUTE 'ALTER TABLE t ALTER COLUMN a TYPE bigint'; END $$",
                                   &job);
  json_t *finding = with(json_object_get(statement, "findings"), "code", "observed-rewrite");
  assert_true(json_is_true(json_object_get(finding, "suppressed")));
  assert_string_equal(json_str(finding, "suppress_reason", ""), "the table is small");
  assert_null(with(json_object_get(statement, "findings"), "code", "unused-ignore"));
  json_decref(job);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_rewrite_is_told),         cmocka_unit_test(test_a_lock_and_a_scan_are_told),
      cmocka_unit_test(test_a_harmless_block_is_quiet), cmocka_unit_test(test_own_tables_are_nobody_elses),
      cmocka_unit_test(test_it_can_be_silenced),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
