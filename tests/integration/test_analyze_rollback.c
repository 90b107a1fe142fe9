/* test_analyze_rollback.c - there and back: each statement over a schema with one of everything, its generated inverse, and the dump as it
 * was before - or a reason why not. The sandbox is the judge; nothing here knows what an inverse looks like. */
#include "tests/support/harness.h"

#include <time.h>

#include "common/buf.h"
#include "common/json.h"

static char connection[64];

struct trip {
  const char *sql;
  const char *lost; /* part of the reason; NULL: reversible */
  bool rebuilt;     /* irreversible, but the structure comes back as it was */
};

#include "tests/integration/rollback_trips.h"

static int setup(void **state) {
  struct harness *h = harness_new();
  char url[HARNESS_URL];
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "rollback", url);
  harness_sql_file(url, "tests/fixtures/rollback_schema.sql");
  REPLY_AUTO reply = {0};
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "rollback", "db_type", "postgresql_local", "connection_string", url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(connection, sizeof connection, "%s", harness_text(reply.json, "data.id"));
  *state = h;
  return 0;
}

static json_t *analyse(struct harness *h, const char *sql) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/analyze", connection);
  json_t *job = harness_job(h, path, json_pack("{s:s}", "sql", sql), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) {
    char *text = json_dumps(job, JSON_INDENT(1));
    puts(text);
    free(text);
    fail_msg("%s: the job failed", sql);
  }
  return job;
}

static void complain(json_t *job, const char *sql, const char *what) {
  printf("\n--- %s: %s\n", what, sql);
  char *text = json_dumps(harness_at(job, "result.sandbox_result.migration_error"), JSON_ENCODE_ANY);
  printf("error: %s\n", text);
  free(text);
  text = json_dumps(harness_at(job, "result.rollback_plan.irreversible_reasons"), JSON_ENCODE_ANY);
  printf("reasons: %s\n", text);
  free(text);
  text = json_dumps(harness_at(job, "result.sandbox_result.rollback_diff"), JSON_INDENT(1));
  printf("diff: %s\n%s", text, harness_text(job, "result.rollback_plan.combined_script"));
  fflush(stdout);
  free(text);
}

/* What is wrong with the report of a trip, or NULL. */
static const char *judge(json_t *job, const struct trip *trip) {
  bool passed = json_is_true(harness_at(job, "result.sandbox_result.passed"));
  const json_t *verified = harness_at(job, "result.sandbox_result.rollback_verified");
  json_t *reasons = harness_at(job, "result.rollback_plan.irreversible_reasons");
  bool whole = json_is_true(verified) || (json_is_null(verified) && !*harness_text(job, "result.rollback_plan.combined_script"));
  if (!passed) return "did not run";
  if (!trip->lost && !whole) return "does not lead back";
  if (!trip->lost) return json_array_size(reasons) ? "called irreversible" : NULL;
  const char *reason = json_string_value(json_array_get(reasons, 0));
  if (!reason) return "called reversible";
  if (!strstr(reason, trip->lost)) return "irreversible for another reason";
  return trip->rebuilt && !whole ? "the structure does not come back" : NULL;
}

/* All of them take minutes: without TESTS_LONG every sixth, another sixth each day. */
static bool is_due(size_t index) {
  return getenv("TRIPS_ONLY") ? strstr(trips[index].sql, getenv("TRIPS_ONLY")) != NULL
                              : getenv("TESTS_LONG") || (index + (size_t)(time(NULL) / 86400)) % 6 == 0;
}

static void test_trips(void **state) {
  int wrong = 0, reversible = 0;
  for (size_t i = 0; i < sizeof trips / sizeof *trips; i++) {
    if (!is_due(i)) continue;
    json_t *job = analyse(*state, trips[i].sql);
    const char *what = judge(job, &trips[i]);
    if (what) complain(job, trips[i].sql, what);
    wrong += what != NULL;
    reversible += !trips[i].lost;
    json_decref(job);
  }
  print_message("%zu statements, %d reversible, %d wrong\n", sizeof trips / sizeof *trips, reversible, wrong);
  assert_int_equal(wrong, 0);
}

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

/* Five at a time: many don't go together (a table dropped before it is altered), and then nothing is claimed. */
static void test_sequences(void **state) {
  enum { LONG = 40, SHORT = 8, STEPS = 5 };
  const int rounds = getenv("TESTS_LONG") ? LONG : SHORT;
  uint32_t seed = 20240611;
  int ran = 0, wrong = 0;
  for (int round = 0; round < rounds; round++) {
    BUF_AUTO sql;
    buf_init(&sql, 65536);
    for (int step = 0; step < STEPS; step++) {
      const struct trip *trip;
      do trip = &trips[next_random(&seed) % (sizeof trips / sizeof *trips)];
      while (trip->lost || strstr(trip->sql, "CONCURRENTLY") || strstr(trip->sql, "BEGIN"));
      buf_printf(&sql, "%s;\n", trip->sql);
    }
    json_t *job = analyse(*state, buf_str(&sql));
    bool passed = json_is_true(harness_at(job, "result.sandbox_result.passed"));
    bool claimed = !json_array_size(harness_at(job, "result.rollback_plan.irreversible_reasons"));
    bool verified = !json_is_false(harness_at(job, "result.sandbox_result.rollback_verified"));
    ran += passed;
    if (passed && (!claimed || !verified)) {
      complain(job, buf_str(&sql), "a sequence does not lead back");
      wrong++;
    }
    json_decref(job);
  }
  print_message("%d of %d sequences ran, %d wrong\n", ran, rounds, wrong);
  assert_true(ran > rounds / 3);
  assert_int_equal(wrong, 0);
}

/* The position of a column can't be had back; what is claimed and disproved is not called reversible in the report. */
static void test_disproved(void **state) {
  json_t *job = analyse(*state, "CREATE EXTENSION IF NOT EXISTS plpgsql; CREATE TABLE shop.fresh (id int); "
                                "DO $$ BEGIN EXECUTE 'CREATE VIEW shop.on_fresh AS SELECT id FROM shop.fresh'; END $$");
  assert_true(json_is_true(harness_at(job, "result.sandbox_result.passed")));
  assert_true(json_is_false(harness_at(job, "result.sandbox_result.rollback_verified"))); /* the view keeps the table */
  assert_true(json_is_false(harness_at(job, "result.statements.1.reversible")));
  assert_non_null(strstr(harness_text(job, "result.rollback_plan.irreversible_reasons.0"), "tried in the sandbox"));
  json_decref(job);
}

static int teardown(void **state) { return harness_teardown(state); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_trips), cmocka_unit_test(test_sequences), cmocka_unit_test(test_disproved)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
