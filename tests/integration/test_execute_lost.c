/* Executions whose connection is taken away: at every boundary, during COMMIT, by the server's restart; and journals of others' making. */
#include "tests/support/execute.h"

#include <signal.h>

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

static const char schema[] = "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g;"
                             "CREATE TABLE ledger (note text);";
static const char mixed[] = "ALTER TABLE t ADD COLUMN c int; SET work_mem = '3MB'; CREATE INDEX CONCURRENTLY ti ON t (a);"
                            "INSERT INTO ledger VALUES (current_setting('work_mem'))";

static void drop_sessions(const struct rig_target *target) {
  harness_sql(target->url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'autodb execute %'");
}

/* Takes the connection away at boundary number `at`, or at the first of a name. */
struct cut {
  const struct rig_target *target;
  int at, seen, times;
  const char *point;
};

static void cut(void *arg, const char *point) {
  struct cut *cut = arg;
  bool here = cut->point ? strcmp(cut->point, point) == 0 && cut->times > 0 : cut->seen == cut->at;
  cut->seen++;
  if (!here) return;
  cut->times--;
  drop_sessions(cut->target);
}

static json_t *attempt_cut(struct rig_target *target, const char *sql, struct cut *cutting, struct rig_job *job) {
  const struct execute_hooks hooks = {cut, cutting};
  rig_target(&rig, "lost", schema, target);
  rig_job(target, sql, NULL, job);
  return rig_attempt(job, &hooks);
}

/* In the same attempt: connected again, looked, gone on. Nothing is done twice, nothing is left out, settings are back. */
static void test_lost_at_every_boundary(void **state) {
  (void)state;
  int boundaries = 1;
  for (int at = 0; at < boundaries; at++) {
    struct rig_target target;
    struct rig_job job;
    struct cut cutting = {.target = &target, .at = at};
    json_t *answer = attempt_cut(&target, mixed, &cutting, &job);
    RIG_EXPECT(answer, strcmp(rig_statuses(answer), "applied,applied,applied,applied") == 0);
    RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
    assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger WHERE note = '3MB'"), 1);
    assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 1);
    assert_int_equal(harness_count(target.url, "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass"), 2);
    boundaries = cutting.seen > boundaries ? cutting.seen : boundaries;
    json_decref(answer);
    rig_job_end(&job);
  }
  assert_true(boundaries > 15);
}

/* A connection that goes again and again is given up, with all that is known. */
static void test_lost_too_often(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct cut cutting = {.target = &target, .point = "statement", .times = 1000};
  json_t *answer = attempt_cut(&target, "INSERT INTO ledger VALUES ('x'); SELECT 1", &cutting, &job);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "CONNECTION_LOST") == 0);
  RIG_EXPECT(answer, harness_int(answer, "status") == ERR_UNAVAILABLE);
  RIG_EXPECT(answer, json_array_size(harness_at(answer, "error.details.statements")) == 2);
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 0);
  json_decref(answer);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 1);
  json_decref(answer);
  rig_job_end(&job);
}

/* Dies inside COMMIT, while the server is at it: a deferred trigger holds it there. */
static bool committing(const struct rig_target *target) {
  return harness_count(target->url, "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'") > 0;
}

static void test_lost_during_commit(void **state) {
  (void)state;
  static const char slow[] =
      "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE "
      "application_name = 'let it pass') THEN PERFORM pg_sleep(600); END IF; RETURN NULL; END $$;"
      "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()";
  struct rig_target target;
  struct rig_job job;
  struct rig_child child;
  rig_target(&rig, "lost", schema, &target);
  harness_sql(target.url, slow);
  rig_introspect(&target);
  rig_job(&target, "INSERT INTO ledger VALUES ('once')", NULL, &job);
  rig_fork(&job, NULL, &child);
  assert_true(POLL_UNTIL(committing(&target), 20000));
  PGconn *other = harness_connect(target.url);
  PQclear(PQexec(other, "SET application_name = 'let it pass'"));
  drop_sessions(&target);
  json_t *answer = rig_wait(&child);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 1);
  json_decref(answer);
  PQfinish(other);
  rig_job_end(&job);
}

/* The whole server goes and comes back. */
static void test_restart(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct rig_child child;
  harness_postgres(rig.h, 17);
  struct harness_pg *pg = &rig.h->pg[rig.h->pg_count - 1];
  rig_target(&rig, "restart", schema, &target);
  rig_job(&target, "INSERT INTO ledger VALUES ('once'); VACUUM t; INSERT INTO ledger SELECT 'slept' FROM pg_sleep(2)", NULL, &job);
  rig_fork(&job, NULL, &child);
  assert_true(POLL_UNTIL(harness_count(target.url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 0, 20000));
  harness_kill(pg->proc);
  harness_restart(rig.h, pg->proc);
  json_t *answer = rig_wait(&child);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 2);
  json_decref(answer);
  rig_job_end(&job);
}

/* What can't be looked up is said to be unknown, and nothing more is run. */
static void test_unknown(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct cut cutting = {.target = &target, .point = "before statement", .times = 1};
  json_t *answer = attempt_cut(&target, "CREATE DATABASE other_one; INSERT INTO ledger VALUES ('after')", &cutting, &job);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "OUTCOME_UNKNOWN") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "unknown,not_applied") == 0);
  RIG_EXPECT(answer, *harness_text(answer, "error.details.statements.0.note"));
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 0);
  json_decref(answer);
  rig_job_end(&job);
}

/* A transaction the server knows nothing of, as after a restore from a backup: unknown, not repeated. */
static void test_forgotten_transaction(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct cut cutting = {.target = &target, .point = "after commit", .times = 0};
  json_t *answer = attempt_cut(&target, "INSERT INTO ledger VALUES ('once')", &cutting, &job);
  json_decref(answer);
  char sql[300];
  snprintf(sql, sizeof sql, "UPDATE autodb.execution_statements SET status = 'committing', xid = '9999999999' WHERE job_id = '%s'", job.id);
  harness_sql(rig.h->database_url, sql);
  answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, strcmp(rig_code(answer), "OUTCOME_UNKNOWN") == 0);
  RIG_EXPECT(answer, strcmp(rig_statuses(answer), "unknown") == 0);
  assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 1);
  json_decref(answer);
  rig_job_end(&job);
}

/* --- the fence --- */

struct takeover {
  const struct rig_job *job;
  const char *point;
};

static void take_over(void *arg, const char *point) {
  struct takeover *takeover = arg;
  char sql[200];
  if (strcmp(point, takeover->point) != 0) return;
  snprintf(sql, sizeof sql, "UPDATE autodb.executions SET attempt = 99 WHERE job_id = '%s'", takeover->job->id);
  harness_sql(rig.h->database_url, sql);
}

/* An attempt that lost its job to another stops before it changes anything more: also between the last statement and COMMIT. */
static void test_fenced(void **state) {
  (void)state;
  static const char *const points[] = {"started", "xid known"};
  for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
    struct rig_target target;
    struct rig_job job;
    struct takeover takeover = {&job, points[i]};
    const struct execute_hooks hooks = {take_over, &takeover};
    rig_target(&rig, "lost", schema, &target);
    rig_job(&target, "INSERT INTO ledger VALUES ('once')", NULL, &job);
    json_t *answer = rig_attempt(&job, &hooks);
    RIG_EXPECT(answer, strcmp(rig_code(answer), "EXECUTION_FENCED") == 0);
    assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 0);
    json_decref(answer);
    answer = rig_attempt(&job, NULL); /* and an older one never gets in again */
    RIG_EXPECT(answer, strcmp(rig_code(answer), "EXECUTION_FENCED") == 0);
    json_decref(answer);
    rig_job_end(&job);
  }
}

/* AutoDB's own database goes between the statement and the journal: nothing is committed that could not be found again. */
struct outage {
  const char *point;
  bool done;
};
static void cut_journal(void *arg, const char *point) {
  struct outage *outage = arg;
  if (outage->done || strcmp(point, outage->point) != 0) return;
  outage->done = true;
  harness_sql(rig.h->database_url,
              "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
              "current_database() AND backend_type = 'client backend'");
}

static void test_journal_lost(void **state) {
  (void)state;
  static const char *const points[] = {"before journal", "xid known", "after commit"};
  for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
    struct rig_target target;
    struct rig_job job;
    struct outage outage = {points[i], false};
    const struct execute_hooks hooks = {cut_journal, &outage};
    rig_target(&rig, "lost", schema, &target);
    rig_job(&target, "INSERT INTO ledger VALUES ('once')", NULL, &job);
    json_t *answer = rig_attempt(&job, &hooks);
    RIG_EXPECT(answer, outage.done && json_is_true(harness_at(answer, "result.applied"))); /* connected again, written again */
    assert_int_equal(harness_count(target.url, "SELECT count(*) FROM ledger"), 1);
    json_decref(answer);
    rig_job_end(&job);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lost_at_every_boundary), cmocka_unit_test(test_lost_too_often),
      cmocka_unit_test(test_lost_during_commit),     cmocka_unit_test(test_unknown),
      cmocka_unit_test(test_forgotten_transaction),  cmocka_unit_test(test_fenced),
      cmocka_unit_test(test_journal_lost),           cmocka_unit_test(test_restart),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
