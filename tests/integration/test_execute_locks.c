/* Executions that meet others: locks held, deadlocks, a second execution, being cancelled at any point, invalid indexes. */
#include "tests/support/execute.h"

#include <signal.h>
#include <sys/wait.h>

#include "common/json.h"

static struct rig rig;

static int setup(void **state) {
  (void)state;
  rig_start(&rig, harness_has_postgres(15) ? 15 : 17);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  return rig_end(&rig);
}

static const char schema[] = "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g;"
                             "CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1);"
                             "CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);"
                             "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);";

/* Somebody else's session. */
static PGconn *somebody(const struct rig_target *target, const char *sql) {
  PGconn *conn = harness_connect(target->url);
  PGresult *res = PQexec(conn, sql);
  if (PQresultStatus(res) == PGRES_FATAL_ERROR) fail_msg("%s: %s", sql, PQerrorMessage(conn));
  PQclear(res);
  return conn;
}

static bool waiting(const struct rig_target *target) {
  return harness_count(target->url,
                       "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'autodb execute %' AND wait_event_type = "
                       "'Lock'") > 0;
}
static bool nobody_left(const struct rig_target *target) {
  return harness_count(target->url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'autodb execute %'") == 0;
}
static bool has_column(const struct rig_target *target, const char *name) {
  char sql[200];
  snprintf(sql, sizeof sql, "SELECT count(*) FROM information_schema.columns WHERE table_name = 't' AND column_name = '%s'", name);
  return harness_count(target->url, sql) == 1;
}
static long long invalid_indexes(const struct rig_target *target) {
  return harness_count(target->url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid");
}

/* --- locks --- */

static void test_lock_timeout_names_the_blocker(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "SET application_name = 'nightly report'; BEGIN; SELECT count(*) FROM t WHERE id <> 4711");
  rig_job(&target, "INSERT INTO u VALUES (2); ALTER TABLE t ADD COLUMN c int", "{\"lock_timeout_ms\": 300, \"lock_retries\": 1}", &job);
  json_t *answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "LOCK_TIMEOUT") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back,failed") == 0);
  RIG_EXPECT(answer, harness_int(answer, "error.details.statements.1.retries") == 1);
  RIG_EXPECT(answer, json_number_value(harness_at(answer, "error.details.statements.1.lock_wait_ms")) >= 600);
  RIG_EXPECT(answer, harness_int(answer, "error.details.blockers.0.pid") == PQbackendPID(other));
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.blockers.0.application_name"), "nightly report") == 0);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.blockers.0.state"), "idle in transaction") == 0);
  RIG_EXPECT(answer, strstr(harness_text(answer, "error.details.blockers.0.query"), "count(*)") != NULL);
  RIG_EXPECT(answer, strstr(harness_text(answer, "error.details.blockers.0.query"), "4711") == NULL); /* literals are somebody's data */
  RIG_EXPECT(answer, strstr(harness_text(answer, "error.message"), "nightly report") != NULL);
  json_decref(answer);
  PQfinish(other);
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM u"), 1);
  rig_job_end(&job);
}

static void test_lock_comes_free(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct rig_child child;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "BEGIN; LOCK TABLE t IN SHARE MODE");
  rig_job(&target, "INSERT INTO u VALUES (2); ALTER TABLE t ADD COLUMN c int", "{\"lock_timeout_ms\": 100, \"lock_retries\": 50}", &job);
  rig_fork(&job, NULL, &child);
  assert_true(POLL_UNTIL(waiting(&target), 10000));
  assert_true(POLL_UNTIL(!waiting(&target), 10000));
  assert_true(POLL_UNTIL(waiting(&target), 10000)); /* the second try */
  PQfinish(other);
  json_t *answer = rig_wait(&child);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  RIG_EXPECT(answer, harness_int(answer, "result.statements.1.retries") >= 1);
  RIG_EXPECT(answer, json_number_value(harness_at(answer, "result.statements.1.lock_wait_ms")) >= 100);
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM u"), 2); /* once, though the transaction ran several times */
  json_decref(answer);
  rig_job_end(&job);
}

/* In the arms of a deadlock the server shoots one: where it is us, the transaction runs again. */
static void test_deadlock(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct rig_child child;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "SET deadlock_timeout = '60s'; BEGIN; LOCK TABLE t IN SHARE MODE");
  rig_job(&target, "INSERT INTO u VALUES (2); LOCK TABLE u; ALTER TABLE t ADD COLUMN c int", "{\"lock_timeout_ms\": 30000}", &job);
  rig_fork(&job, NULL, &child);
  assert_true(POLL_UNTIL(waiting(&target), 10000));
  assert_int_equal(PQsendQuery(other, "SELECT count(*) FROM u"),
                   1); /* now each waits for the other; ours has the shorter deadlock_timeout */
  PGresult *res = PQgetResult(other);
  assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
  PQclear(res);
  PQfinish(other);
  json_t *answer = rig_wait(&child);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  RIG_EXPECT(answer, harness_int(answer, "result.statements.2.retries") == 1);
  json_decref(answer);
  rig_job_end(&job);
}

/* --- one at a time --- */

static void test_busy(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job first, second;
  struct rig_child child;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "BEGIN; LOCK TABLE t IN SHARE MODE");
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int", "{\"lock_timeout_ms\": 30000}", &first);
  rig_job(&target, "ALTER TABLE u ADD COLUMN d int", NULL, &second);
  rig_fork(&first, NULL, &child);
  assert_true(POLL_UNTIL(waiting(&target), 10000));
  json_t *answer = rig_attempt(&second, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "EXECUTOR_BUSY") == 0);
  RIG_EXPECT(answer, harness_int(answer, "status") == ERR_UNAVAILABLE);
  RIG_EXPECT(answer, strstr(harness_text(answer, "error.details.holder.application_name"), first.id) != NULL);
  json_decref(answer);
  PQfinish(other);
  answer = rig_wait(&child);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  json_decref(answer);
  answer = rig_attempt(&second, NULL); /* the schema was changed by the first: that is drift */
  RIG_EXPECT(answer, strcmp(rig_code(answer), "SCHEMA_DRIFT") == 0);
  json_decref(answer);
  rig_job_end(&first);
  rig_job_end(&second);
}

/* --- cancelling --- */

static void ask_to_stop(const struct rig_job *job, const struct rig_child *child, bool requested) {
  char sql[200];
  snprintf(sql, sizeof sql, "UPDATE autodb.queue SET cancel_requested = %s WHERE id = '%s'", requested ? "true" : "false", job->id);
  harness_sql(rig.h->database_url, sql);
  kill(child->pid, SIGTERM);
}

static json_t *cancel_while(struct rig_target *target, struct rig_job *job, bool requested, bool (*when)(const struct rig_target *)) {
  struct rig_child child;
  rig_fork(job, NULL, &child);
  assert_true(POLL_UNTIL(when(target), 10000));
  ask_to_stop(job, &child, requested);
  int64_t told = harness_now_ms();
  json_t *answer = rig_wait(&child);
  RIG_EXPECT(answer, answer != NULL);
  RIG_EXPECT(answer, harness_now_ms() - told < 2000 * PATIENCE); /* not by the lock's own timeout */
  assert_true(POLL_UNTIL(nobody_left(target), 5000));
  return answer;
}

static bool sleeping(const struct rig_target *target) {
  return harness_count(target->url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 0;
}

static void test_cancel_in_a_transaction(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int; SELECT pg_sleep(60); SELECT 1", NULL, &job);
  json_t *answer = cancel_while(&target, &job, true, sleeping);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "JOB_CANCELLED") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back,rolled_back,not_applied") == 0);
  assert_false(has_column(&target, "c"));
  json_decref(answer);
  rig_job_end(&job);
}

static void test_stop_of_the_worker_is_no_cancel(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int; SELECT pg_sleep(60)", NULL, &job);
  json_t *answer = cancel_while(&target, &job, false, sleeping);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "WORKER_STOPPING") == 0);
  RIG_EXPECT(answer, harness_int(answer, "status") == ERR_UNAVAILABLE);
  json_decref(answer);
  rig_job_end(&job);
}

static void test_cancel_while_waiting_for_a_lock(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "BEGIN; LOCK TABLE t IN SHARE MODE");
  rig_job(&target, "ALTER TABLE t ADD COLUMN c int", "{\"lock_timeout_ms\": 30000}", &job);
  json_t *answer = cancel_while(&target, &job, true, waiting);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "JOB_CANCELLED") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "rolled_back") == 0);
  json_decref(answer);
  PQfinish(other);
  rig_job_end(&job);
}

/* Cancelled in the middle of an index build, then tried again: the invalid index goes, the build is done anew. */
static void test_cancel_in_an_index_build(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "BEGIN; INSERT INTO t VALUES (1000, 1)");
  rig_job(&target, "CREATE TABLE n (id int); CREATE INDEX CONCURRENTLY ti ON t (a)", NULL, &job);
  json_t *answer = cancel_while(&target, &job, true, waiting);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "JOB_CANCELLED") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,unknown") == 0);
  RIG_EXPECT(answer, *harness_text(answer, "error.details.statements.1.note"));
  json_decref(answer);
  PQfinish(other);
  assert_int_equal(invalid_indexes(&target), 1);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(invalid_indexes(&target), 0);
  json_decref(answer);
  rig_job_end(&job);
}

/* --- indexes --- */

static void test_invalid_leftover_is_dropped(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  harness_sql(target.url, "UPDATE t SET a = 7 WHERE id IN (1, 2)");
  rig_job(&target, "CREATE UNIQUE INDEX CONCURRENTLY ON t (a)", NULL, &job);
  json_t *answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(harness_text(answer, "error.details.sqlstate"), "23505") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "failed") == 0);
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass"), 1);
  json_decref(answer);
  harness_sql(target.url, "UPDATE t SET a = id");
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid"), 2);
  json_decref(answer);
  rig_job_end(&job);
}

/* One that was there before is somebody's: it is neither dropped nor taken for success. */
static void test_invalid_index_of_others(void **state) {
  (void)state;
  static const char *const scripts[] = {"CREATE INDEX CONCURRENTLY IF NOT EXISTS ti ON t (a)", "CREATE INDEX IF NOT EXISTS ti ON t (a)"};
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    struct rig_target target;
    struct rig_job job;
    rig_target(&rig, "one", schema, &target);
    harness_sql(target.url, "UPDATE t SET a = 7 WHERE id IN (1, 2)");
    PGconn *other = harness_connect(target.url);
    PQclear(PQexec(other, "CREATE UNIQUE INDEX CONCURRENTLY ti ON t (a)"));
    PQfinish(other);
    assert_int_equal(invalid_indexes(&target), 1);
    rig_introspect(&target);
    rig_job(&target, scripts[i], NULL, &job);
    json_t *answer = rig_attempt(&job, NULL);
    RIG_EXPECT(answer, strcmp(rig_code(answer), "INVALID_INDEX_EXISTS") == 0);
    RIG_EXPECT(answer, strstr(harness_text(answer, "error.message"), "ti") != NULL);
    assert_int_equal(invalid_indexes(&target), 1);
    json_decref(answer);
    rig_job_end(&job);
  }
}

static void test_reindex_leftovers(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "BEGIN; INSERT INTO t VALUES (1000, 1)");
  rig_job(&target, "REINDEX TABLE CONCURRENTLY t", NULL, &job);
  json_t *answer = cancel_while(&target, &job, true, waiting);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "JOB_CANCELLED") == 0);
  json_decref(answer);
  PQfinish(other);
  assert_int_equal(invalid_indexes(&target), 1);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(invalid_indexes(&target), 0);
  json_decref(answer);
  rig_job_end(&job);
}

static void test_detach_is_finished(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  rig_target(&rig, "one", schema, &target);
  PGconn *other = somebody(&target, "BEGIN; SELECT count(*) FROM p");
  rig_job(&target, "ALTER TABLE p DETACH PARTITION p2 CONCURRENTLY", NULL, &job);
  json_t *answer = cancel_while(&target, &job, true, waiting);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "JOB_CANCELLED") == 0);
  json_decref(answer);
  PQfinish(other);
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), 1);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM pg_inherits WHERE inhrelid = 'p2'::regclass"), 0);
  json_decref(answer);
  rig_job_end(&job);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lock_timeout_names_the_blocker),
      cmocka_unit_test(test_lock_comes_free),
      cmocka_unit_test(test_deadlock),
      cmocka_unit_test(test_busy),
      cmocka_unit_test(test_cancel_in_a_transaction),
      cmocka_unit_test(test_stop_of_the_worker_is_no_cancel),
      cmocka_unit_test(test_cancel_while_waiting_for_a_lock),
      cmocka_unit_test(test_cancel_in_an_index_build),
      cmocka_unit_test(test_invalid_leftover_is_dropped),
      cmocka_unit_test(test_invalid_index_of_others),
      cmocka_unit_test(test_reindex_leftovers),
      cmocka_unit_test(test_detach_is_finished),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
