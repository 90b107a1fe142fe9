/* An execution killed at every boundary, with the server's side of it left running: whatever a later attempt reports, the database agrees.
 *
 * Six statements of all sorts: two that can be in a transaction, an index built CONCURRENTLY, a validation, data twice. Each boundary of a
 * first attempt is one run on a fresh copy of the same database; then pairs of deaths, the second one while the first is being looked into.
 */
#include "tests/support/execute.h"

#include <signal.h>
#include <unistd.h>

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

static const char schema[] = "CREATE TABLE orders (id int PRIMARY KEY, total numeric, state text);"
                             "INSERT INTO orders SELECT g, g, 'new' FROM generate_series(1, 200) g; CREATE TABLE ledger (note text)";
static const char migration[] = "ALTER TABLE orders ADD COLUMN priority int;\n"
                                "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID;\n"
                                "CREATE INDEX CONCURRENTLY orders_state ON orders (state);\n"
                                "ALTER TABLE orders VALIDATE CONSTRAINT positive;\n"
                                "INSERT INTO ledger VALUES ('once');\n"
                                "UPDATE orders SET total = total + 1;\n";
enum { STATEMENTS = 6 };

/* Whether each statement's work is in the database; -1: more than once, or by half. */
static const char *const facts[STATEMENTS] = {
    "SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders' AND column_name = 'priority'",
    "SELECT count(*) FROM pg_constraint WHERE conname = 'positive'",
    "SELECT CASE WHEN bool_and(indisvalid) THEN count(*) WHEN count(*) = 0 THEN 0 ELSE -1 END FROM pg_index i JOIN pg_class c ON c.oid = "
    "i.indexrelid WHERE c.relname LIKE 'orders_state%'",
    "SELECT count(*) FROM pg_constraint WHERE conname = 'positive' AND convalidated",
    "SELECT CASE WHEN count(*) > 1 THEN -1 ELSE count(*) END FROM ledger",
    "SELECT CASE sum(total) WHEN 20100 THEN 0 WHEN 20300 THEN 1 ELSE -1 END FROM orders",
};

/* --- dying at a boundary --- */

struct death {
  int at, seen; /* dies at the boundary of that number, from 0 */
};

static void die(void *arg, const char *point) {
  struct death *death = arg;
  (void)point;
  if (death->seen++ == death->at) raise(SIGKILL);
}

static bool attempt_dying_at(struct rig_job *job, int at) {
  struct death death = {.at = at};
  const struct execute_hooks hooks = {die, &death};
  struct rig_child child;
  rig_fork(job, &hooks, &child);
  json_t *answer = rig_wait(&child);
  json_decref(answer);
  return answer == NULL;
}

static void count_point(void *arg, const char *point) {
  (void)point;
  (*(int *)arg)++;
}

/* --- do the report and the database agree? --- */

static void check_agreement(const struct rig_target *target, const json_t *answer, const char *when, int at) {
  const json_t *statements = json_object_get(rig_report(answer), "statements");
  if (json_array_size(statements) != STATEMENTS) rig_fail(answer, "%s %d: no report", when, at);
  for (size_t i = 0; i < STATEMENTS; i++) {
    const char *status = json_str(json_array_get(statements, i), "status", "");
    long long there = harness_count(target->url, facts[i]);
    bool said = strcmp(status, "applied") == 0;
    if (there < 0 || said != (there == 1))
      rig_fail(answer, "%s %d: statement %zu is said to be %s, and is there %lld times", when, at, i, status, there);
  }
}

static void check_finished(const struct rig_target *target, struct rig_job *job, const char *when, int at) {
  json_t *answer = rig_attempt(job, NULL);
  check_agreement(target, answer, when, at);
  if (!json_is_true(harness_at(answer, "result.applied"))) rig_fail(answer, "%s %d: not finished", when, at);
  json_decref(answer);
  assert_int_equal(harness_count(target->url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"), 0);
}

static int boundaries(const char *sql) {
  struct rig_target target;
  struct rig_job job;
  int count = 0;
  const struct execute_hooks hooks = {count_point, &count};
  rig_target(&rig, "chaos", schema, &target);
  rig_job(&target, sql, NULL, &job);
  json_t *answer = rig_attempt(&job, &hooks);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  json_decref(answer);
  rig_job_end(&job);
  return count;
}

static void kill_everywhere(const char *sql, int more) {
  int count = boundaries(sql);
  assert_true(count > more);
  for (int at = 0; at < count; at++) {
    struct rig_target target;
    struct rig_job job;
    rig_target(&rig, "chaos", schema, &target);
    rig_job(&target, sql, NULL, &job);
    assert_true(attempt_dying_at(&job, at));
    check_finished(&target, &job, "killed at boundary", at);
    rig_job_end(&job);
  }
}

static void test_killed_at_every_boundary(void **state) {
  (void)state;
  kill_everywhere(migration, 30);
}

static void test_killed_in_one_transaction(void **state) {
  (void)state;
  static const char sql[] = "BEGIN;\n"
                            "ALTER TABLE orders ADD COLUMN priority int;\n"
                            "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0);\n"
                            "CREATE INDEX orders_state ON orders (state);\n"
                            "INSERT INTO ledger VALUES ('once');\n"
                            "COMMIT;\n";
  int count = boundaries(sql);
  for (int at = 0; at < count; at++) {
    struct rig_target target;
    struct rig_job job;
    rig_target(&rig, "chaos", schema, &target);
    rig_job(&target, sql, NULL, &job);
    assert_true(attempt_dying_at(&job, at));
    long long before = harness_count(target.url, facts[0]);
    assert_int_equal(harness_count(target.url, facts[4]), before); /* all of it or nothing */
    json_t *answer = rig_attempt(&job, NULL);
    RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
    assert_int_equal(harness_count(target.url, facts[0]), 1);
    assert_int_equal(harness_count(target.url, facts[2]), 1);
    assert_int_equal(harness_count(target.url, facts[4]), 1);
    json_decref(answer);
    rig_job_end(&job);
  }
}

/* Killed, and killed again while the next attempt finds out: every third boundary of the first, every fourth of the second. */
static void test_killed_twice(void **state) {
  (void)state;
  int count = boundaries(migration);
  for (int at = 1; at < count; at += 3) {
    struct rig_target target;
    struct rig_job job;
    rig_target(&rig, "chaos", schema, &target);
    rig_job(&target, migration, NULL, &job);
    assert_true(attempt_dying_at(&job, at));
    attempt_dying_at(&job, at % 4); /* it may have ended before that */
    check_finished(&target, &job, "killed twice, first at", at);
    rig_job_end(&job);
  }
}

/* --- killed from outside, while the server is busy: its backend goes on alone --- */

static bool building(const struct rig_target *target) {
  return harness_count(target->url,
                       "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = "
                       "'Lock'") > 0;
}

static void test_killed_in_an_index_build(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct rig_child child;
  rig_target(&rig, "chaos", schema, &target);
  PGconn *other = harness_connect(target.url);
  PQclear(PQexec(other, "BEGIN; INSERT INTO orders VALUES (1000, 0, 'held')"));
  rig_job(&target, "INSERT INTO ledger VALUES ('once'); CREATE INDEX CONCURRENTLY orders_state ON orders (state)", NULL, &job);
  rig_fork(&job, NULL, &child);
  assert_true(POLL_UNTIL(building(&target), 20000));
  kill(child.pid, SIGKILL);
  assert_null(rig_wait(&child));
  assert_true(building(&target)); /* nobody told the server */
  rig_fork(&job, NULL, &child);
  assert_true(
      POLL_UNTIL(harness_count(target.url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%backend_start = $2%'") > 0, 20000));
  PQclear(PQexec(other, "ROLLBACK"));
  json_t *answer = rig_wait(&child);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, facts[2]), 1);
  assert_int_equal(harness_count(target.url, facts[4]), 1);
  json_decref(answer);
  PQfinish(other);
  rig_job_end(&job);
}

static bool sleeping(const struct rig_target *target) {
  return harness_count(target->url, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 0;
}

/* A transaction without a client is ended, not waited for. */
static void test_killed_in_a_long_transaction(void **state) {
  (void)state;
  struct rig_target target;
  struct rig_job job;
  struct rig_child child;
  rig_target(&rig, "chaos", schema, &target);
  rig_job(&target,
          "INSERT INTO ledger VALUES ('once');"
          "DO $$ BEGIN IF (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'let it pass') = 0 THEN PERFORM pg_sleep(600); "
          "END IF; END $$",
          NULL, &job);
  rig_fork(&job, NULL, &child);
  assert_true(POLL_UNTIL(sleeping(&target), 20000));
  kill(child.pid, SIGKILL);
  assert_null(rig_wait(&child));
  PGconn *other = harness_connect(target.url);
  PQclear(PQexec(other, "SET application_name = 'let it pass'"));
  json_t *answer = rig_attempt(&job, NULL);
  RIG_EXPECT(answer, json_is_true(harness_at(answer, "result.applied")));
  assert_int_equal(harness_count(target.url, facts[4]), 1);
  json_decref(answer);
  PQfinish(other);
  rig_job_end(&job);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed_at_every_boundary),
      cmocka_unit_test(test_killed_in_one_transaction),
      cmocka_unit_test(test_killed_twice),
      cmocka_unit_test(test_killed_in_an_index_build),
      cmocka_unit_test(test_killed_in_a_long_transaction),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
