/* test_query_session.c - the guarded session: limits, what is cut, plans, and how failures are told. */
#include "tests/support/guarded.h"

#include <signal.h>

#include "common/json.h"
#include "common/pg.h"
#include "worker/query/session.h"

static struct guarded_world world;

static int setup(void **state) {
  guarded_begin(&world, 17, NULL);
  *state = &world;
  return 0;
}

static struct query_session *open_session(const char *url) {
  ERROR_AUTO err = {0};
  struct query_session *session = NULL;
  if (query_session_open_string(&world.cfg, url, world.arena, &session, &err)) fail_msg("%s", err.message);
  return session;
}

static enum status run(struct query_session *session, const char *sql, const struct query_limits *limits, struct query_result **ret_result,
                       struct error *err) {
  struct guarded *guarded;
  if (guard_check(world.snapshot, sql, strlen(sql), NULL, world.arena, &guarded, err)) fail_msg("%s: %s", sql, err->message);
  return query_session_run(session, guarded, limits, world.arena, ret_result, err);
}

static void test_limits(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = open_session(world.reader);
  struct query_result *result;
  assert_int_equal(run(session, "SELECT id FROM orders ORDER BY id", NULL, &result, &err), OK);
  assert_int_equal(result->row_count, 500);
  assert_true(result->truncated && !result->budget_spent);
  assert_string_equal(result->cells[499].text, "500");
  assert_int_equal(run(session, "SELECT id FROM orders ORDER BY id LIMIT 3", &(struct query_limits){.rows = 3}, &result, &err), OK);
  assert_true(result->row_count == 3 && !result->truncated);
  assert_int_equal(run(session, "SELECT repeat('x', 10000) FROM orders LIMIT 1", NULL, &result, &err), OK);
  assert_true(result->cells[0].cut && strlen(result->cells[0].text) == 2000);
  assert_int_equal(run(session, "SELECT repeat('\xC3\xA9', 2000)", NULL, &result, &err), OK);
  assert_true(!result->cells[0].cut && strlen(result->cells[0].text) == 4000);
}

static void test_byte_budget(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = open_session(world.reader);
  struct query_result *result;
  assert_int_equal(run(session,
                       "SELECT repeat('a', 2000), repeat('b', 500), lpad('', 2000, 'c'), rpad('', 2000, 'd'), lpad('', 2000, 'e'),"
                       " lpad('', 2000, 'f') FROM orders",
                       NULL, &result, &err),
                   OK);
  assert_true(result->truncated && result->budget_spent && result->row_count < 500 && result->row_count > 100);
  assert_int_equal(run(session, "SELECT 1", NULL, &result, &err), OK); /* the session goes on */
}

static void test_failures(void **state) {
  (void)state;
  static const struct {
    const char *sql, *code;
    struct query_limits limits;
  } cases[] = {{"SELECT 1 / (id - id) FROM orders", "EXECUTION_FAILED", {0}},
               {"SELECT count(*) FROM orders a, orders b, orders c, orders d", "STATEMENT_TIMEOUT", {.statement_ms = 200, .max_cost = -1}},
               {"SELECT count(*) FROM orders a, orders b, orders c, orders d", "GUARDRAIL_VIOLATION", {.max_cost = 100000}},
               {"SELECT name FROM customers GROUP BY id, country HAVING sum(name) > 1", "EXECUTION_FAILED", {0}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ERROR_AUTO err = {0};
    struct query_result *result;
    QUERY_SESSION_AUTO session = open_session(world.reader);
    assert_int_equal(run(session, cases[i].sql, &cases[i].limits, &result, &err), ERR_VALIDATION);
    assert_string_equal(err.code, cases[i].code);
    error_clear(&err);
    assert_int_equal(run(session, "SELECT 1", NULL, &result, &err), OK); /* and after it */
  }
}

static void test_settings_do_not_stay(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = open_session(world.reader);
  PGresult *res = NULL;
  assert_int_equal(query_session_begin(session, "{shop,hr,pg_temp_3}", 0, &err), OK);
  assert_int_equal(
      query_session_query(
          session, "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout'), current_setting('search_path')",
          0, NULL, &res, &err),
      OK);
  assert_string_equal(PQgetvalue(res, 0, 0), "on");
  assert_string_equal(PQgetvalue(res, 0, 1), "10s");
  assert_string_equal(PQgetvalue(res, 0, 2), "shop, hr, pg_temp");
  PQclear(res);
  assert_int_equal(query_session_query(session, "SET TRANSACTION READ WRITE", 0, NULL, &res, &err), ERR_VALIDATION); /* too late */
}

/* A server that says nothing, not even that its own timeout is over. */
static void test_a_silent_server_is_a_timeout(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = open_session(world.reader);
  PGresult *res = NULL;
  assert_int_equal(query_session_begin(session, NULL, 100, &err), OK);
  assert_int_equal(query_session_query(session, "SELECT pg_backend_pid()", 0, NULL, &res, &err), OK);
  pid_t backend = (pid_t)strtol(PQgetvalue(res, 0, 0), NULL, 10);
  PQclear(res);
  assert_int_equal(kill(backend, SIGSTOP), 0);
  enum status status = query_session_query(session, "SELECT 1", 0, NULL, &res, &err);
  kill(backend, SIGCONT);
  assert_int_equal(status, ERR_VALIDATION);
  assert_string_equal(err.code, "STATEMENT_TIMEOUT");
}

static void expect(struct query_session *session, const char *sql, const char *text) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  if (query_session_query(session, sql, 0, NULL, &res, &err)) fail_msg("%s: %s", sql, err.message);
  assert_string_equal(PQgetvalue(res, 0, 0), text);
}

/* Look-ups and the statement that they are for are one transaction: as safe, with the schemas and the time it needs. */
static void test_runs_in_the_open_transaction(void **state) {
  (void)state;
  static const char id_sql[] = "SELECT pg_backend_pid()::text || current_setting('search_path') || now()";
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = open_session(world.reader);
  struct query_result *result;
  PGresult *before = NULL;
  assert_int_equal(query_session_begin(session, NULL, 0, &err), OK);
  assert_int_equal(query_session_query(session, id_sql, 0, NULL, &before, &err), OK);
  assert_int_equal(run(session, "SELECT count(*) FROM orders", NULL, &result, &err), OK);
  expect(session, id_sql, PQgetvalue(before, 0, 0)); /* the same transaction, still open */
  assert_int_equal(run(session, "SELECT count(*) FROM hr.employees", &(struct query_limits){.statement_ms = 4000}, &result, &err), OK);
  expect(session, "SELECT current_setting('statement_timeout')", "4s"); /* another, with that limit */
  expect(session, "SELECT current_setting('transaction_read_only')", "on");
  assert_int_equal(run(session, "SELECT 1 / (id - id) FROM orders", &(struct query_limits){.statement_ms = 4000}, &result, &err),
                   ERR_VALIDATION);
  error_clear(&err);
  PGresult *res = NULL;
  assert_int_equal(query_session_query(session, "SELECT 1", 0, NULL, &res, &err), ERR_INTERNAL); /* a failure ends it */
  error_clear(&err);
  assert_int_equal(run(session, "SELECT count(*) FROM orders", NULL, &result, &err), OK);
  assert_int_equal(query_session_query(session, "SELECT 1", 0, NULL, &res, &err), ERR_INTERNAL); /* its own ends with it */
  PQclear(before);
}

static void test_a_role_that_writes_is_refused_in_the_open_transaction(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = open_session(world.url);
  struct query_result *result;
  assert_int_equal(query_session_begin(session, NULL, 0, &err), OK);
  assert_int_equal(run(session, "SELECT count(*) FROM orders", NULL, &result, &err), ERR_FORBIDDEN);
  assert_string_equal(err.code, "GUARDRAIL_VIOLATION");
}

static void test_explain(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    bool analyze;
    const char *code; /* NULL: a plan */
  } cases[] = {{"SELECT count(*) FROM orders", false, NULL},
               {"SELECT count(*) FROM orders", true, NULL},
               {"UPDATE orders SET note = 'x'", false, NULL},
               {"UPDATE orders SET note = 'x'", true, "GUARDRAIL_VIOLATION"},
               {"SELECT shop.bump()", true, "GUARDRAIL_VIOLATION"},
               {"SELECT pg_sleep(1)", true, "GUARDRAIL_VIOLATION"},
               {"SELECT shop.net_price(1)", true, NULL},
               {"CREATE TABLE t AS SELECT 1", false, "GUARDRAIL_VIOLATION"},
               {"SELECT 1; SELECT 2", false, "GUARDRAIL_VIOLATION"},
               {"SELECT FROM WHERE", false, "SYNTAX_INVALID"}};
  QUERY_SESSION_AUTO session = open_session(world.url);
  long long before = harness_count(world.url, "SELECT count(*) FROM shop.orders WHERE note = 'x'");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ERROR_AUTO err = {0};
    json_t *plan = NULL;
    enum status status = query_session_explain(session, world.snapshot, cases[i].sql, &(struct query_explain){.analyze = cases[i].analyze},
                                               world.arena, &plan, &err);
    if ((status == OK) != (cases[i].code == NULL) || (status && strcmp(err.code, cases[i].code) != 0))
      fail_msg("%s: %s %s", cases[i].sql, err.code, err.message);
    if (!status) assert_non_null(json_object_get(json_object_get(json_array_get(plan, 0), "Plan"), "Node Type"));
    json_decref(plan);
  }
  assert_int_equal(harness_count(world.url, "SELECT count(*) FROM shop.orders WHERE note = 'x'"), before);
}

static void test_owner_views_are_refused(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct guarded *guarded;
  static const char sql[] = "SELECT * FROM private.all_secrets";
  assert_int_equal(guard_check(world.snapshot, sql, sizeof sql - 1, NULL, world.arena, &guarded, &err), ERR_VALIDATION);
  assert_string_equal(json_str(json_array_get(json_object_get(err.details, "violations"), 0), "rule", ""), "view-bypasses-rls");
  error_clear(&err);
  const struct guard_rules own = {.trusting = true}; /* the client's own statement is planned, with a warning */
  assert_int_equal(guard_check(world.snapshot, sql, sizeof sql - 1, &own, world.arena, &guarded, &err), OK);
  assert_int_equal(guarded->warning_count, 1);
  assert_non_null(strstr(guarded->warnings[0], "private.secrets"));
  static const char added[] = "SELECT net_price(total_amount) FROM orders";
  const struct guard_rules rules = {.functions = "other, shop.net_price, shop.bump, shop.as_owner"};
  assert_int_equal(guard_check(world.snapshot, added, sizeof added - 1, &rules, world.arena, &guarded, &err), OK);
  static const char never[] = "SELECT shop.as_owner(), shop.bump()"; /* named, but not harmless */
  assert_int_equal(guard_check(world.snapshot, never, sizeof never - 1, &rules, world.arena, &guarded, &err), ERR_VALIDATION);
  assert_int_equal(json_array_size(json_object_get(err.details, "violations")), 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_limits),
                                     cmocka_unit_test(test_byte_budget),
                                     cmocka_unit_test(test_failures),
                                     cmocka_unit_test(test_settings_do_not_stay),
                                     cmocka_unit_test(test_a_silent_server_is_a_timeout),
                                     cmocka_unit_test(test_runs_in_the_open_transaction),
                                     cmocka_unit_test(test_a_role_that_writes_is_refused_in_the_open_transaction),
                                     cmocka_unit_test(test_explain),
                                     cmocka_unit_test(test_owner_views_are_refused)};
  return cmocka_run_group_tests(tests, setup, guarded_teardown);
}
