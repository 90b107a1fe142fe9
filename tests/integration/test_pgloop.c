/* The pipelined pool against a real server: answers, errors among neighbours, re-preparing, deadlines, and the server dying under it. */
#include "tests/support/harness.h"

#include "common/limits.h"
#include "common/pg.h"
#include "common/pgloop.h"

static struct harness_pg *server;
static struct event_base *base;

/* What callbacks report. */
struct tally {
  int ok, failed, unavailable;
  long long sum;
  char message[1024], sqlstate[8];
};

static int ups, downs;

static void on_state(void *arg, bool up) {
  (void)arg;
  if (up)
    ups++;
  else
    downs++;
}

static void count(void *arg, const PGresult *res, const struct error *err) {
  struct tally *tally = arg;
  assert_true((res == NULL) != (err == NULL));
  if (res) {
    tally->ok++;
    if (PQntuples(res) == 1) tally->sum += pg_int(res, 0, 0, 0);
    return;
  }
  tally->failed++;
  tally->unavailable += err->status == ERR_UNAVAILABLE;
  snprintf(tally->message, sizeof tally->message, "%s", err->message);
  snprintf(tally->sqlstate, sizeof tally->sqlstate, "%.5s", json_string_value(json_object_get(err->details, "sqlstate")) ?: "");
}

/* One round of the loop, of 20 ms at most. */
static void turn(void) {
  event_base_loopexit(base, &(struct timeval){.tv_usec = 20000});
  event_base_loop(base, EVLOOP_ONCE);
}

/* Runs the loop until the condition holds. */
#define LOOP_UNTIL(condition, timeout_ms)                                                         \
  do {                                                                                            \
    int64_t loop_end = harness_now_ms() + (timeout_ms);                                           \
    while (!(condition)) {                                                                        \
      if (harness_now_ms() > loop_end) fail_msg("after %d ms not: %s", (timeout_ms), #condition); \
      turn();                                                                                     \
    }                                                                                             \
  } while (0)

static struct pgloop *pool_of(const char *url, int connections) {
  struct pgloop *pool = NULL;
  ERROR_AUTO err = {0};
  ups = downs = 0;
  if (pgloop_new(base, url, "test", connections, on_state, NULL, &pool, &err)) fail_msg("%s", err.message);
  return pool;
}

static struct pgloop *live_pool(int connections) {
  struct pgloop *pool = pool_of(server->url, connections);
  LOOP_UNTIL(pgloop_up(pool), 10000);
  return pool;
}

static enum status ask(struct pgloop *pool, const struct pg_stmt *stmt, int value, int deadline_ms, struct tally *tally) {
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_int(&params, value);
  return pgloop_query(pool, stmt, stmt->nparams ? &params : NULL, deadline_ms, count, tally, &err);
}

static const struct pg_stmt echo = {"echo", "SELECT $1::int", 1};
static const struct pg_stmt divide = {"divide", "SELECT 100 / $1::int", 1};
static const struct pg_stmt sleeping = {"sleeping", "SELECT $1::int, pg_sleep(60)", 1};
static const struct pg_stmt my_pid = {"my_pid", "SELECT pg_backend_pid()", 0};

static int setup(void **state) {
  struct harness *h = harness_new();
  server = harness_postgres(h, 17);
  base = event_base_new();
  *state = h;
  return 0;
}

static int teardown(void **state) {
  event_base_free(base);
  return harness_teardown(state);
}

static void thousands_in_flight_each_answered_once(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(2);
  struct tally tally = {0};
  LOOP_UNTIL(pgloop_up(pool) && ups == 1, 1000);
  int sent = 0;
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 1000; i++)
      if (ask(pool, &echo, 1, 0, &tally) == OK) sent++;
    assert_int_equal(tally.ok + pgloop_inflight(pool), sent);
    LOOP_UNTIL(tally.ok == sent, 10000);
  }
  assert_int_equal(sent, 10000);
  assert_int_equal(tally.sum, sent);
  assert_int_equal(tally.failed, 0);
  pgloop_free(pool);
}

static void an_error_leaves_its_neighbours_alone(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally good = {0}, bad = {0};
  for (int i = 0; i < 300; i++) {
    assert_int_equal(ask(pool, &divide, i % 3 ? 1 : 0, 0, i % 3 ? &good : &bad), OK);
  }
  LOOP_UNTIL(good.ok + good.failed + bad.ok + bad.failed == 300, 10000);
  assert_int_equal(good.ok, 200);
  assert_int_equal(bad.failed, 100);
  assert_int_equal(bad.unavailable, 0);
  assert_string_equal(bad.sqlstate, "22012");
  assert_string_equal(bad.message, "division by zero");
  assert_int_equal(downs, 0);
  pgloop_free(pool);
}

static void an_error_at_commit_is_an_error(void **state) {
  (void)state;
  static const struct pg_stmt insert = {"deferred_insert", "INSERT INTO late VALUES ($1::int)", 1};
  harness_sql(server->url, "CREATE TABLE late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)");
  struct pgloop *pool = live_pool(1);
  struct tally first = {0}, second = {0}, third = {0};
  assert_int_equal(ask(pool, &insert, 1, 0, &first), OK);
  assert_int_equal(ask(pool, &insert, 1, 0, &second), OK);
  assert_int_equal(ask(pool, &insert, 2, 0, &third), OK);
  LOOP_UNTIL(third.ok + third.failed, 10000);
  assert_int_equal(first.ok, 1);
  assert_int_equal(second.failed, 1);
  assert_string_equal(second.sqlstate, "23505");
  assert_int_equal(third.ok, 1);
  assert_int_equal(harness_count(server->url, "SELECT count(*) FROM late"), 2);
  pgloop_free(pool);
}

static void a_statement_that_cannot_be_prepared_fails_alone_and_recovers(void **state) {
  (void)state;
  static const struct pg_stmt later = {"not_yet", "SELECT a + $1::int FROM not_yet", 1};
  struct pgloop *pool = live_pool(1);
  struct tally bad = {0}, good = {0};
  for (int i = 0; i < 5; i++) {
    assert_int_equal(ask(pool, &later, 1, 0, &bad), OK);
    assert_int_equal(ask(pool, &echo, 1, 0, &good), OK);
  }
  LOOP_UNTIL(bad.failed == 5 && good.ok == 5, 10000);
  assert_string_equal(bad.sqlstate, "42P01");
  harness_sql(server->url, "CREATE TABLE not_yet AS SELECT 41 AS a");
  struct tally now = {0};
  assert_int_equal(ask(pool, &later, 1, 0, &now), OK);
  LOOP_UNTIL(now.ok, 10000);
  assert_int_equal(now.sum, 42);
  pgloop_free(pool);
}

static void a_changed_result_type_is_prepared_anew(void **state) {
  (void)state;
  static const struct pg_stmt all = {"all_of_it", "SELECT * FROM shape WHERE a = $1::int", 1};
  harness_sql(server->url, "CREATE TABLE shape AS SELECT 1 AS a");
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  assert_int_equal(ask(pool, &all, 1, 0, &tally), OK);
  LOOP_UNTIL(tally.ok == 1, 10000);
  harness_sql(server->url, "ALTER TABLE shape ADD b text DEFAULT 'x'");
  for (int i = 0; i < 20; i++) assert_int_equal(ask(pool, &all, 1, 0, &tally), OK);
  LOOP_UNTIL(tally.ok + tally.failed == 21, 10000);
  assert_int_equal(tally.ok, 21);
  pgloop_free(pool);
}

static void lost_prepared_statements_are_prepared_anew(void **state) {
  (void)state;
  static const struct pg_stmt discard = {"discard", "DEALLOCATE ALL", 0};
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  assert_int_equal(ask(pool, &echo, 1, 0, &tally), OK);
  assert_int_equal(ask(pool, &discard, 0, 0, &tally), OK);
  for (int i = 0; i < 20; i++) assert_int_equal(ask(pool, &echo, 1, 0, &tally), OK);
  LOOP_UNTIL(tally.ok + tally.failed == 22, 10000);
  assert_int_equal(tally.failed, 0);
  assert_int_equal(tally.sum, 21);
  pgloop_free(pool);
}

static void statements_are_prepared_once(void **state) {
  (void)state;
  static const struct pg_stmt own = {"prepared_count", "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'echo\\_%'", 0};
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0}, statements = {0};
  for (int i = 0; i < 100; i++) assert_int_equal(ask(pool, &echo, 1, 0, &tally), OK);
  assert_int_equal(ask(pool, &own, 0, 0, &statements), OK);
  LOOP_UNTIL(statements.ok == 1, 10000);
  assert_int_equal(statements.sum, 1);
  pgloop_free(pool);
}

static void binary_arrays_and_nulls_arrive(void **state) {
  (void)state;
  static const struct pg_stmt sums = {
      "array_sums",
      "SELECT (SELECT sum(x) FROM unnest($1::int[]) x) + cardinality($2::text[]) + length(($2::text[])[2]) + cardinality($3::uuid[])"
      " + coalesce($4::int, 1000) + length($5::bytea)",
      5};
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_array_begin(&params, PG_ELEM_INT4);
  for (int i = 1; i <= 4; i++) pg_param_array_int(&params, i);
  pg_param_array_item(&params, NULL, -1);
  pg_param_array_end(&params); /* 10 */
  pg_param_array_begin(&params, PG_ELEM_TEXT);
  pg_param_array_item(&params, "", 0);
  pg_param_array_item(&params, "'; --", 5);
  pg_param_array_end(&params); /* 2 + 5 */
  pg_param_array_begin(&params, PG_ELEM_UUID);
  pg_param_array_end(&params);          /* 0 */
  pg_param_text(&params, NULL);         /* 1000 */
  pg_param_bytes(&params, "\0\1\2", 3); /* 3 */
  assert_int_equal(pgloop_query(pool, &sums, &params, 0, count, &tally, &err), OK);
  LOOP_UNTIL(tally.ok + tally.failed, 10000);
  assert_int_equal(tally.sum, 1020);
  pgloop_free(pool);
}

static void bad_requests_are_refused_at_once(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  ERROR_AUTO err = {0};
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  assert_int_equal(pgloop_query(pool, &echo, NULL, 0, count, &tally, &err), ERR_INTERNAL);
  pg_param_textn(&params, "a\0b", 3);
  assert_int_equal(pgloop_query(pool, &echo, &params, 0, count, &tally, &err), ERR_TOO_LARGE);
  turn();
  assert_int_equal(tally.ok + tally.failed, 0);
  pgloop_free(pool);
}

static void the_queue_is_bounded(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  int sent = 0;
  while (ask(pool, &echo, 1, 0, &tally) == OK) sent++;
  assert_int_equal(sent, LIMIT_PG_INFLIGHT);
  LOOP_UNTIL(tally.ok == sent, 10000);
  assert_int_equal(ask(pool, &echo, 1, 0, &tally), OK);
  LOOP_UNTIL(tally.ok == sent + 1, 10000);
  pgloop_free(pool);
}

static void large_values_pass_both_ways(void **state) {
  (void)state;
  static const struct pg_stmt measure = {"measure", "SELECT length($1::text), $1::text", 1};
  enum { BYTES = 3 << 20, TIMES = 8 };
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  char *text = malloc(BYTES + 1);
  memset(text, 'x', BYTES);
  text[BYTES] = '\0';
  for (int i = 0; i < TIMES; i++) { /* more than any socket buffer holds: both sides must read while they write */
    ERROR_AUTO err = {0};
    PG_PARAMS_AUTO params;
    pg_params_init(&params);
    pg_param_text(&params, text);
    assert_int_equal(pgloop_query(pool, &measure, &params, 0, count, &tally, &err), OK);
  }
  free(text);
  LOOP_UNTIL(tally.ok == TIMES, 30000);
  assert_int_equal(tally.sum, (long long)BYTES * TIMES);
  pgloop_free(pool);
}

static void a_deadline_fails_the_query_cancels_it_and_heals(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally late = {0}, behind = {0};
  assert_int_equal(ask(pool, &sleeping, 1, 200, &late), OK);
  assert_int_equal(ask(pool, &echo, 1, 0, &behind), OK);
  LOOP_UNTIL(late.failed && behind.failed, 5000);
  assert_int_equal(late.unavailable, 1);
  assert_non_null(strstr(late.message, "in time"));
  assert_int_equal(behind.unavailable, 1);
  assert_non_null(strstr(behind.message, "unknown"));
  LOOP_UNTIL(harness_count(server->url, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
                                        " AND pid <> pg_backend_pid()") == 0,
             10000);
  LOOP_UNTIL(pgloop_up(pool), 10000);
  assert_int_equal(ask(pool, &echo, 1, 0, &behind), OK);
  LOOP_UNTIL(behind.ok, 10000);
  pgloop_free(pool);
}

static void an_earlier_deadline_behind_a_later_one_counts(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally first = {0}, second = {0};
  assert_int_equal(ask(pool, &sleeping, 1, 20000, &first), OK);
  assert_int_equal(ask(pool, &echo, 1, 100, &second), OK);
  LOOP_UNTIL(first.failed && second.failed, 5000);
  assert_non_null(strstr(second.message, "in time"));
  pgloop_free(pool);
}

static void a_terminated_backend_is_replaced(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally pid = {0}, victim = {0}, after = {0};
  assert_int_equal(ask(pool, &my_pid, 0, 0, &pid), OK);
  LOOP_UNTIL(pid.ok, 10000);
  assert_int_equal(ask(pool, &sleeping, 1, 0, &victim), OK);
  assert_int_equal(ask(pool, &echo, 1, 0, &victim), OK);
  turn();
  char sql[80];
  snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%lld)", pid.sum);
  harness_sql(server->url, sql);
  LOOP_UNTIL(victim.failed == 2, 10000);
  assert_int_equal(victim.unavailable, 2);
  assert_non_null(strstr(victim.message, "terminating connection"));
  assert_true(downs == 1 && !pgloop_up(pool));
  assert_int_equal(ask(pool, &echo, 1, 0, &after), ERR_UNAVAILABLE);
  LOOP_UNTIL(pgloop_up(pool), 10000);
  assert_int_equal(ups, 2);
  assert_int_equal(ask(pool, &echo, 1, 0, &after), OK);
  LOOP_UNTIL(after.ok == 1, 10000);
  /* and while idle */
  pid.sum = pid.ok = 0;
  assert_int_equal(ask(pool, &my_pid, 0, 0, &pid), OK);
  LOOP_UNTIL(pid.ok, 10000);
  snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%lld)", pid.sum);
  harness_sql(server->url, sql);
  LOOP_UNTIL(downs == 2, 10000);
  LOOP_UNTIL(pgloop_up(pool), 10000);
  pgloop_free(pool);
}

static void a_killed_server_fails_each_once_and_comes_back(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(3);
  struct tally tally = {0};
  int sent = 0;
  for (int i = 0; i < 1500; i++)
    if (ask(pool, i % 100 == 50 ? &sleeping : &echo, 1, 0, &tally) == OK) sent++;
  turn();
  harness_kill(server->proc);
  LOOP_UNTIL(tally.ok + tally.failed == sent, 10000);
  assert_int_equal(tally.failed, tally.unavailable);
  LOOP_UNTIL(!pgloop_up(pool), 10000);
  assert_int_equal(pgloop_inflight(pool), 0);
  assert_true(*pgloop_why(pool) != '\0');
  for (int i = 0; i < 50; i++) assert_int_equal(ask(pool, &echo, 1, 0, &tally), ERR_UNAVAILABLE);
  assert_int_equal(tally.ok + tally.failed, sent);
  harness_restart((struct harness *)*state, server->proc);
  LOOP_UNTIL(pgloop_up(pool), 20000);
  struct tally after = {0};
  for (int i = 0; i < 200; i++) assert_int_equal(ask(pool, &echo, 1, 0, &after), OK);
  LOOP_UNTIL(after.ok + after.failed == 200, 10000);
  assert_int_equal(after.ok, 200);
  assert_int_equal(tally.ok + tally.failed, sent);
  pgloop_free(pool);
}

static void a_wrong_password_is_told_but_not_shown(void **state) {
  (void)state;
  char url[HARNESS_URL];
  snprintf(url, sizeof url, "postgresql://postgres:wrongsecret@127.0.0.1:%d/postgres", server->port);
  struct pgloop *pool = pool_of(url, 1);
  LOOP_UNTIL(*pgloop_why(pool), 10000);
  assert_non_null(strstr(pgloop_why(pool), "authentication failed"));
  assert_null(strstr(pgloop_why(pool), "wrongsecret"));
  assert_false(pgloop_up(pool));
  assert_int_equal(ups + downs, 0);
  pgloop_free(pool);
}

static void a_malformed_url_is_refused_without_being_shown(void **state) {
  (void)state;
  struct pgloop *pool = NULL;
  ERROR_AUTO err = {0};
  assert_int_equal(pgloop_new(base, "host=x password=secret word", "test", 1, NULL, NULL, &pool, &err), ERR_VALIDATION);
  assert_null(strstr(err.message, "secret"));
  assert_null(pool);
}

static void freeing_fails_what_is_unanswered_first(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(1);
  struct tally tally = {0};
  assert_int_equal(ask(pool, &sleeping, 1, 0, &tally), OK);
  assert_int_equal(ask(pool, &echo, 1, 0, &tally), OK);
  pgloop_free(pool);
  assert_int_equal(tally.failed, 2);
  assert_int_equal(tally.unavailable, 2);
  assert_int_equal(downs, 0);
  pgloop_free(NULL);
}

/* A callback that asks again: what batching code does. */
struct chain {
  struct pgloop *pool;
  int left, refused;
};

static void on_link(void *arg, const PGresult *res, const struct error *err) {
  (void)res;
  (void)err;
  struct chain *chain = arg;
  ERROR_AUTO refused = {0};
  if (chain->left-- > 0 && pgloop_query(chain->pool, &my_pid, NULL, 0, on_link, chain, &refused)) chain->refused++;
}

static void callbacks_may_ask_again(void **state) {
  (void)state;
  struct chain chain = {.pool = live_pool(1), .left = 500};
  on_link(&chain, NULL, NULL);
  LOOP_UNTIL(chain.left < 0, 10000);
  chain.left = 5;
  on_link(&chain, NULL, NULL);
  pgloop_free(chain.pool); /* the callbacks run in here find it closed */
  assert_int_equal(chain.refused, 1);
}

static void connections_carry_their_name(void **state) {
  (void)state;
  struct pgloop *pool = live_pool(2);
  LOOP_UNTIL(
      harness_count(server->url, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'autodb test' AND state = 'idle'") == 2,
      10000);
  static const struct pg_stmt sync = {"sync", "SELECT (current_setting('synchronous_commit') = 'on')::int", 0};
  struct tally tally = {0};
  assert_int_equal(ask(pool, &sync, 0, 0, &tally), OK);
  LOOP_UNTIL(tally.ok, 10000);
  assert_int_equal(tally.sum, 1);
  pgloop_free(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(thousands_in_flight_each_answered_once),
      cmocka_unit_test(an_error_leaves_its_neighbours_alone),
      cmocka_unit_test(an_error_at_commit_is_an_error),
      cmocka_unit_test(a_statement_that_cannot_be_prepared_fails_alone_and_recovers),
      cmocka_unit_test(a_changed_result_type_is_prepared_anew),
      cmocka_unit_test(lost_prepared_statements_are_prepared_anew),
      cmocka_unit_test(statements_are_prepared_once),
      cmocka_unit_test(binary_arrays_and_nulls_arrive),
      cmocka_unit_test(bad_requests_are_refused_at_once),
      cmocka_unit_test(the_queue_is_bounded),
      cmocka_unit_test(large_values_pass_both_ways),
      cmocka_unit_test(a_deadline_fails_the_query_cancels_it_and_heals),
      cmocka_unit_test(an_earlier_deadline_behind_a_later_one_counts),
      cmocka_unit_test(a_terminated_backend_is_replaced),
      cmocka_unit_test(a_killed_server_fails_each_once_and_comes_back),
      cmocka_unit_test(a_wrong_password_is_told_but_not_shown),
      cmocka_unit_test(a_malformed_url_is_refused_without_being_shown),
      cmocka_unit_test(freeing_fails_what_is_unanswered_first),
      cmocka_unit_test(callbacks_may_ask_again),
      cmocka_unit_test(connections_carry_their_name),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
