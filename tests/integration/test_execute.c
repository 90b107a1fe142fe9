/* Executions that go as they should, and refusals: shapes of transactions, the report, drift, approval, failures, dry runs, settings. */
#include "tests/support/execute.h"

#include "common/json.h"

static struct rig rig;

static int setup(void **state) {
  (void)state;
  rig_start(&rig, 17);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  return rig_end(&rig);
}

static const char schema[] =
    "CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t SELECT g, g, 'x' FROM generate_series(1, 100) g;"
    "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);";

/* One script on a fresh database. */
static json_t *execute_on(struct rig_target *target, const char *sql, const char *options) {
  struct rig_job job;
  rig_job(target, sql, options, &job);
  json_t *answer = rig_attempt(&job, NULL);
  rig_job_end(&job);
  return answer;
}

static json_t *execute(struct rig_target *target, const char *sql, const char *options) {
  rig_target(&rig, "one", schema, target);
  return execute_on(target, sql, options);
}

static long long count(const struct rig_target *target, const char *sql) { return harness_count(target->url, sql); }

/* --- shapes --- */

static void check_shape(const char *sql, const char *mode, const char *statuses) {
  struct rig_target target;
  json_t *answer = execute(&target, sql, NULL);
  RIG_EXPECT(answer, !*rig_code(answer));
  if (strcmp(harness_text(answer, "result.transaction_mode"), mode) != 0 || strcmp(rig_statuses(answer), statuses) != 0)
    rig_fail(answer, "%s: wanted %s %s", sql, mode, statuses);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  RIG_EXPECT(answer, json_is_false(harness_at(answer, "result.rolled_back")));
  RIG_EXPECT(answer, strlen(harness_text(answer, "result.snapshot_id")) == 36);
  json_decref(answer);
}

static void test_shapes(void **state) {
  (void)state;
  check_shape("ALTER TABLE t ADD COLUMN c int; CREATE INDEX ti ON t (a); INSERT INTO t VALUES (1000)", "single", "applied,applied,applied");
  check_shape("BEGIN; ALTER TABLE t ADD COLUMN c int; COMMIT;", "single", "applied,applied,applied");
  check_shape("SET lock_timeout = '2s'; BEGIN; ALTER TABLE t ADD COLUMN c int; COMMIT;", "single", "applied,applied,applied,applied");
  check_shape("ALTER TABLE t ADD COLUMN c int; CREATE INDEX CONCURRENTLY ti ON t (c); UPDATE t SET c = 1", "per-statement",
              "applied,applied,applied");
  check_shape("ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT k", "per-statement",
              "applied,applied");
  check_shape("BEGIN; INSERT INTO t VALUES (1000); ROLLBACK; INSERT INTO t VALUES (1001)", "per-statement",
              "rolled_back,rolled_back,applied,applied");
  check_shape("VACUUM t; REINDEX INDEX CONCURRENTLY t_pkey; DROP INDEX CONCURRENTLY IF EXISTS nothing", "per-statement",
              "applied,applied,applied");
  check_shape("ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY", "per-statement", "applied");
  check_shape("BEGIN; SAVEPOINT s; INSERT INTO t VALUES (1000); ROLLBACK TO s; RELEASE s; COMMIT", "single",
              "applied,applied,applied,applied,applied,applied");
}

/* In per-statement mode each statement commits by itself; what only lives in a transaction keeps it open. */
static void test_transactions_are_separate(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target,
                           "CREATE TABLE log (x xid8 DEFAULT pg_current_xact_id()); INSERT INTO log DEFAULT VALUES; VACUUM t;"
                           "INSERT INTO log DEFAULT VALUES; SET LOCAL work_mem = '3MB'; INSERT INTO log DEFAULT VALUES;"
                           "INSERT INTO log SELECT pg_current_xact_id() WHERE current_setting('work_mem') = '3MB'",
                           NULL);
  RIG_EXPECT(answer, !*rig_code(answer));
  assert_int_equal(count(&target, "SELECT count(*) FROM log"), 4);
  assert_int_equal(count(&target, "SELECT count(DISTINCT x::text) FROM log"), 3);
  json_decref(answer);
}

static void test_validate_is_not_under_the_lock_of_add(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target,
                           "CREATE TABLE log (x xid8);"
                           "CREATE FUNCTION note(i int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES "
                           "(pg_current_xact_id()); RETURN true; END $$;"
                           "ALTER TABLE t ADD CONSTRAINT k CHECK (note(a)) NOT VALID; INSERT INTO log VALUES (pg_current_xact_id());"
                           "ALTER TABLE t VALIDATE CONSTRAINT k",
                           NULL);
  RIG_EXPECT(answer, !*rig_code(answer));
  assert_int_equal(count(&target, "SELECT count(DISTINCT x::text) FROM log"), 2);
  json_decref(answer);
}

/* --- the session --- */

static void test_settings_and_session(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer =
      execute(&target,
              "CREATE TABLE seen (n text, v text);"
              "INSERT INTO seen VALUES ('name', current_setting('application_name')), ('lock', current_setting('lock_timeout')),"
              " ('statement', current_setting('statement_timeout')), ('user', current_user);"
              "CREATE SCHEMA s; SET search_path = s; CREATE TABLE here (id int); SET lock_timeout = '7s';"
              "INSERT INTO public.seen VALUES ('own', current_setting('lock_timeout')); RESET ALL;"
              "INSERT INTO public.seen VALUES ('again', current_setting('lock_timeout'))",
              "{\"lock_timeout_ms\": 1234, \"statement_timeout_ms\": 56000}");
  RIG_EXPECT(answer, !*rig_code(answer));
  assert_int_equal(count(&target,
                         "SELECT count(*) FROM seen WHERE (n, v) IN (('lock', '1234ms'), ('statement', '56s'), ('user', 'postgres'),"
                         " ('own', '7s'), ('again', '1234ms')) OR (n = 'name' AND v LIKE 'autodb execute %')"),
                   6);
  assert_int_equal(count(&target, "SELECT count(*) FROM s.here"), 0);
  json_decref(answer);
}

/* A lock_timeout would break an index build while it waits for a transaction to end: there is none around CONCURRENTLY, and the script's
 * own is back afterwards. */
static void test_no_lock_timeout_around_concurrently(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target,
                           "CREATE TABLE seen (v text);"
                           "CREATE FUNCTION spy(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE NOTICE 'lock_timeout %', "
                           "current_setting('lock_timeout'); RETURN i; END $$;"
                           "SET lock_timeout = '7s'; CREATE INDEX CONCURRENTLY ti ON t (spy(a));"
                           "INSERT INTO seen VALUES (current_setting('lock_timeout'))",
                           NULL);
  RIG_EXPECT(answer, !*rig_code(answer));
  assert_int_equal(count(&target, "SELECT count(*) FROM seen WHERE v = '7s'"), 1);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "result.notices.lines.0"), "NOTICE: lock_timeout 0") == 0);
  RIG_EXPECT(answer, harness_int(answer, "result.notices.count") >= 100);
  RIG_EXPECT(answer, json_array_size(harness_at(answer, "result.notices.lines")) == 100);
  json_decref(answer);
}

/* --- refusals --- */

static void test_drift(void **state) {
  (void)state;
  struct rig_target target;
  rig_target(&rig, "one", schema, &target);
  harness_sql(target.url, "ALTER TABLE t ADD COLUMN surprise int");
  json_t *answer = execute_on(&target, "ALTER TABLE t ADD COLUMN c int", NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "SCHEMA_DRIFT") == 0);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.diff.tables.changed.0.changes.columns.added.0.name"), "surprise") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "not_applied") == 0);
  assert_int_equal(count(&target, "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"), 0);
  json_decref(answer);
}

static void test_drift_is_bounded(void **state) {
  (void)state;
  struct rig_target target;
  rig_target(&rig, "one", schema, &target);
  harness_sql(target.url,
              "DO $$ BEGIN FOR i IN 1..1500 LOOP EXECUTE format('CREATE TABLE more_%s (id int, name text)', i); END LOOP; END $$");
  json_t *answer = execute_on(&target, "ALTER TABLE t ADD COLUMN c int", NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "SCHEMA_DRIFT") == 0);
  assert_int_equal(harness_int(answer, "error.details.diff.tables.added.count"), 1500);
  assert_int_equal(json_array_size(harness_at(answer, "error.details.diff.tables.added.names")), 50);
  json_decref(answer);
}

static void test_approval(void **state) {
  (void)state;
  struct rig_target target, other;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_target(&rig, "two", schema, &other);
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int", NULL, &job);
  json_t *answer;
  char sql[400];

  json_object_set_new(job.payload, "sql", json_string("ALTER TABLE t ADD COLUMN d int"));
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "TOKEN_SQL_MISMATCH") == 0);
  json_decref(answer);
  json_object_set_new(job.payload, "sql", json_string("ALTER TABLE t ADD COLUMN c int"));

  job.target = &other;
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "TOKEN_CONNECTION_MISMATCH") == 0);
  json_decref(answer);
  job.target = &target;

  snprintf(sql, sizeof sql, "UPDATE autodb.approvals SET used_by_job_id = gen_random_uuid() WHERE used_by_job_id = '%s'", job.id);
  harness_sql(rig.h->database_url, sql);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "TOKEN_INVALID") == 0);
  json_decref(answer);

  char *token = strdup(json_str(job.payload, "approval_token", ""));
  token[3] = token[3] == 'A' ? 'B' : 'A';
  json_object_set_new(job.payload, "approval_token", json_string(token));
  free(token);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "TOKEN_INVALID") == 0);
  json_decref(answer);
  rig_job_end(&job);
  assert_int_equal(count(&target, "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND column_name IN ('c', 'd')"),
                   0);
}

static void test_unsupported(void **state) {
  (void)state;
  static const char *const scripts[] = {"BEGIN; INSERT INTO t VALUES (1000); PREPARE TRANSACTION 'x'",
                                        "BEGIN; SELECT 1; COMMIT AND CHAIN; COMMIT"};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    struct rig_target target;
    json_t *answer = execute(&target, scripts[i], NULL);
    RIG_EXPECT(answer, strcmp(rig_code(answer), "STATEMENT_UNSUPPORTED") == 0);
    json_decref(answer);
  }
}

/* --- failures --- */

static void test_single_is_all_or_nothing(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target, "ALTER TABLE t ADD COLUMN c int;\nINSERT INTO t VALUES\n  (1, 2, 'dup');\nDROP TABLE p", NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "STATEMENT_FAILED") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back,failed,not_applied") == 0);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.sqlstate"), "23505") == 0);
  RIG_EXPECT(answer, *harness_text(answer, "error.details.detail"));
  RIG_EXPECT(answer, harness_int(answer, "error.details.statement_index") == 1);
  RIG_EXPECT(answer, harness_int(answer, "error.details.line") == 2);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "error.details.rolled_back")));
  RIG_EXPECT(answer, json_is_false(harness_at(answer, "error.details.applied")));
  assert_int_equal(count(&target, "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"), 0);
  json_decref(answer);
}

static void test_line_of_an_error_inside(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target, "SELECT 1;\n\nSELECT 'é',\n  nothing\nFROM t", NULL);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.sqlstate"), "42703") == 0);
  RIG_EXPECT(answer, harness_int(answer, "error.details.line") == 4);
  json_decref(answer);
}

/* A later attempt goes on where the first one failed, once what was in the way is gone. */
static void test_per_statement_resumes(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_job(&target,
          "CREATE TABLE n (id int); SET search_path = public, pg_catalog; VACUUM t; INSERT INTO t VALUES (1); INSERT INTO n VALUES (1)",
          NULL, &job);
  json_t *answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "STATEMENT_FAILED") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,applied,applied,failed,not_applied") == 0);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "error.details.rolled_back")));
  json_decref(answer);
  harness_sql(target.url, "DELETE FROM t WHERE id = 1");
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,applied,applied,applied,applied") == 0);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(count(&target, "SELECT count(*) FROM n"), 1);
  json_decref(answer);
  answer = rig_attempt(&job, NULL); /* and once more: nothing is done twice */
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(count(&target, "SELECT count(*) FROM n"), 1);
  json_decref(answer);
  rig_job_end(&job);
}

static void test_resume_refuses_a_schema_others_changed(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int; VACUUM t; INSERT INTO t VALUES (1)", NULL, &job);
  json_t *answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,applied,failed") == 0);
  json_decref(answer);
  harness_sql(target.url, "DELETE FROM t WHERE id = 1; ALTER TABLE t ADD COLUMN surprise int");
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "SCHEMA_DRIFT") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,applied,not_applied") == 0);
  json_decref(answer);
  rig_job_end(&job);
}

static void test_resume_without_the_session(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_job(&target, "CREATE TEMP TABLE x AS SELECT 1 AS id; VACUUM t; INSERT INTO t VALUES (1); DROP TABLE x", NULL, &job);
  json_decref(rig_attempt(&job, NULL));
  json_t *answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "SESSION_LOST") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,applied,not_applied,not_applied") == 0);
  json_decref(answer);
  rig_job_end(&job);
}

static void test_statement_timeout(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target, "SELECT pg_sleep(30)", "{\"statement_timeout_ms\": 200}");
  RIG_EXPECT(answer, strcmp(rig_code(answer), "STATEMENT_TIMEOUT") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "failed") == 0);
  json_decref(answer);
}

static void test_deferred_constraint_fails_at_commit(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer =
      execute(&target, "CREATE TABLE c (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (-1); SELECT 1", NULL);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.sqlstate"), "23503") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back,rolled_back,failed") == 0);
  assert_int_equal(count(&target, "SELECT count(*) FROM pg_class WHERE relname = 'c'"), 0);
  json_decref(answer);
}

/* Neither a procedure nor a DO block can end our transaction; many rows and COPY are survived. */
static void test_hostile_statements(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target, "BEGIN; INSERT INTO t VALUES (1000); DO $$ BEGIN COMMIT; END $$; COMMIT", NULL);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.sqlstate"), "2D000") == 0);
  assert_int_equal(count(&target, "SELECT count(*) FROM t WHERE id = 1000"), 0);
  json_decref(answer);
  answer = execute(&target, "SELECT repeat('x', 1000) FROM generate_series(1, 200000); COPY t TO STDOUT", NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  json_decref(answer);
  answer = execute(&target, "COPY t FROM STDIN", NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "STATEMENT_FAILED") == 0);
  json_decref(answer);
  answer = execute(&target, "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 1000000); END $$", NULL);
  char *text = json_dumps(answer, 0);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "STATEMENT_FAILED") == 0 && strlen(text) < 20000);
  free(text);
  json_decref(answer);
}

/* --- dry run --- */

static void test_dry_run(void **state) {
  (void)state;
  struct rig_target target;
  json_t *answer = execute(&target,
                           "ALTER TABLE t ADD COLUMN c int; CREATE INDEX CONCURRENTLY ti ON t (c); BEGIN; UPDATE t SET c = 1; COMMIT;"
                           "BEGIN; DELETE FROM t; ROLLBACK; DO $$ BEGIN ASSERT (SELECT count(*) = 100 FROM t WHERE c = 1); END $$",
                           "{\"dry_run\": true}");
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back,skipped,rolled_back,rolled_back,rolled_back,rolled_back,rolled_back,"
                                                  "rolled_back,rolled_back") == 0);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.dry_run")) && json_is_true(harness_at(answer, "result.rolled_back")));
  RIG_EXPECT(answer, json_is_false(harness_at(answer, "result.applied")) && json_is_null(harness_at(answer, "result.snapshot_id")));
  RIG_EXPECT(answer, *harness_text(answer, "result.statements.1.note"));
  assert_int_equal(count(&target, "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND column_name = 'c'"), 0);
  assert_int_equal(harness_count(rig.h->database_url, "SELECT count(*) FROM autodb.executions WHERE job_id NOT IN (SELECT job_id FROM "
                                                      "autodb.execution_statements)"),
                   0);
  json_decref(answer);
  answer = execute(&target, "INSERT INTO t VALUES (1000); INSERT INTO t VALUES (1)", "{\"dry_run\": true}");
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back,failed") == 0);
  json_decref(answer);
}

/* --- after --- */

static void test_refresh_failure_is_a_warning(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int", NULL, &job);
  rig.cfg.database_url = "postgresql://127.0.0.1:1/nowhere";
  json_t *answer = rig_attempt(&job, NULL);
  rig.cfg.database_url = rig.h->database_url;
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  RIG_EXPECT(answer, json_is_null(harness_at(answer, "result.snapshot_id")));
  RIG_EXPECT(answer, *harness_text(answer, "result.warnings.0"));
  json_decref(answer);
  rig_job_end(&job);
}

static void test_partial_scope(void **state) {
  (void)state;
  struct rig_target target;
  rig_target(&rig, "one", schema, &target);
  char sql[300];
  snprintf(sql, sizeof sql, "UPDATE autodb.connections SET excluded_schemas = '{side}' WHERE id = '%s'", target.connection);
  harness_sql(rig.h->database_url, sql);
  rig_introspect(&target);
  harness_sql(target.url, "CREATE SCHEMA side; CREATE TABLE side.x (id int)"); /* outside of what was analysed: no drift */
  json_t *answer = execute_on(&target, "ALTER TABLE t ADD COLUMN c int", NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  json_decref(answer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_transactions_are_separate),
      cmocka_unit_test(test_validate_is_not_under_the_lock_of_add),
      cmocka_unit_test(test_settings_and_session),
      cmocka_unit_test(test_no_lock_timeout_around_concurrently),
      cmocka_unit_test(test_drift),
      cmocka_unit_test(test_drift_is_bounded),
      cmocka_unit_test(test_approval),
      cmocka_unit_test(test_unsupported),
      cmocka_unit_test(test_single_is_all_or_nothing),
      cmocka_unit_test(test_line_of_an_error_inside),
      cmocka_unit_test(test_per_statement_resumes),
      cmocka_unit_test(test_resume_refuses_a_schema_others_changed),
      cmocka_unit_test(test_resume_without_the_session),
      cmocka_unit_test(test_statement_timeout),
      cmocka_unit_test(test_deferred_constraint_fails_at_commit),
      cmocka_unit_test(test_hostile_statements),
      cmocka_unit_test(test_dry_run),
      cmocka_unit_test(test_refresh_failure_is_a_warning),
      cmocka_unit_test(test_partial_scope),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
