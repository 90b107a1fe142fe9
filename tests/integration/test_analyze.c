/* test_analyze.c - migration.analyze over HTTP, against the demo shop: the report, the sandbox, the way back, the token, and bad input. */
#include "tests/support/harness.h"

#include "common/buf.h"

struct shop {
  struct harness *harness;
  char connection[64];
  char url[HARNESS_URL];
};

static int setup(void **state) {
  static struct shop shop;
  struct harness *h = shop.harness = harness_new();
  harness_stack(h, NULL, NULL);
  harness_database(&h->pg[0], "shop", shop.url);
  harness_sql_file(shop.url, "deploy/demo/shop.sql");
  REPLY_AUTO reply = {0};
  json_t *body = json_pack("{s:s, s:s, s:s}", "name", "shop", "db_type", "postgresql_local", "connection_string", shop.url);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/connections", NULL, text, &reply);
  free(text);
  json_decref(body);
  if (reply.status != 201) fail_msg("connection: %ld %s", reply.status, reply.body);
  snprintf(shop.connection, sizeof shop.connection, "%s", harness_text(reply.json, "data.id"));
  *state = &shop;
  return 0;
}

static int teardown(void **state) {
  void *harness = ((struct shop *)*state)->harness;
  return harness_teardown(&harness);
}

static json_t *submit(struct shop *shop, const char *what, json_t *take_body) {
  char path[200];
  snprintf(path, sizeof path, "/api/v1/connections/%s/migrations/%s", shop->connection, what);
  return harness_job(shop->harness, path, take_body, 60000);
}

/* The finished job of an analysis; `query` is "" or "?sandbox=false". */
static json_t *analyse(struct shop *shop, const char *query, const char *sql) {
  char what[64];
  snprintf(what, sizeof what, "analyze%s", query);
  json_t *job = submit(shop, what, json_pack("{s:s}", "sql", sql));
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) {
    char *text = json_dumps(job, JSON_INDENT(1));
    fail_msg("%s\n%s", sql, text);
  }
  return job;
}

static void dump_failure(json_t *job, const char *what) {
  char *text = json_dumps(job, JSON_INDENT(1));
  puts(text); /* cmocka cuts long messages */
  fflush(stdout);
  free(text);
  fail_msg("%s", what);
}

#define EXPECT(job, condition)                       \
  do {                                               \
    if (!(condition)) dump_failure(job, #condition); \
  } while (0)

static bool truth(json_t *job, const char *path) { return json_is_true(harness_at(job, path)); }

/* The shop's migration as the tour shows it: everything the contract promises is there, and the sandbox agrees. */
static void test_demo(void **state) {
  struct shop *shop = *state;
  char path[400];
  snprintf(path, sizeof path, "%s/deploy/demo/migration.sql", AUTODB_SOURCE_DIR);
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  static char sql[65536];
  sql[fread(sql, 1, sizeof sql - 1, file)] = '\0';
  fclose(file);
  json_t *job = analyse(shop, "", sql);
  static const char *const members[] = {"connection_id",   "snapshot_id",      "total_statements", "risk_score",     "risk_category",
                                        "statements",      "affected_tables",  "affected_objects", "sandbox_result", "rollback_plan",
                                        "safer_migration", "business_context", "narrative",        "approval_token", "approval_expires_at"};
  json_t *result = json_object_get(job, "result");
  for (size_t i = 0; i < sizeof members / sizeof *members; i++)
    if (!json_object_get(result, members[i])) fail_msg("no %s", members[i]);
  EXPECT(job, truth(job, "result.sandbox_result.passed"));
  EXPECT(job, *harness_text(job, "result.approval_token"));
  EXPECT(job, harness_int(job, "result.sandbox_result.rows_inserted") > 0);
  size_t index;
  json_t *statement;
  json_array_foreach(json_object_get(result, "statements"), index, statement)
      EXPECT(statement, strcmp(harness_text(statement, "agreement"), "contradicted") != 0);
  json_decref(job);
}

/* Each script leads there and back: the dump before equals the dump after. */
static void test_round_trips(void **state) {
  static const char *const scripts[] = {
      "ALTER TABLE orders ADD COLUMN priority int NOT NULL DEFAULT 0;",
      "ALTER TABLE shop.orders ADD COLUMN priority int NOT NULL DEFAULT 0;",
      "CREATE TABLE shop.badges (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, label text UNIQUE); CREATE INDEX ON shop.badges "
      "(lower(label));",
      "CREATE TYPE shop.mood AS ENUM ('ok', 'not'); ALTER TABLE shop.customers ADD COLUMN mood shop.mood;",
      "CREATE VIEW shop.v1 AS SELECT 1 AS one; COMMENT ON VIEW shop.v1 IS 'it''s'; CREATE OR REPLACE VIEW shop.v1 AS SELECT 2 AS one;",
      "BEGIN; CREATE SCHEMA extra; CREATE SEQUENCE extra.s; CREATE TABLE extra.\"Odd name\" (\"select\" int); COMMIT;",
      "CREATE FUNCTION shop.f(a int, b text DEFAULT 'x') RETURNS int LANGUAGE sql AS 'select 1';",
      "CREATE INDEX CONCURRENTLY odd_index ON shop.customers (id, (id + 1));",
      "COMMENT ON TABLE shop.customers IS 'people';",
  };
  for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    const char *sql = scripts[i];
    if (strncmp(sql, "ALTER TABLE orders", 18) == 0) continue; /* not on the search path of every role */
    json_t *job = analyse(*state, "", sql);
    EXPECT(job, truth(job, "result.sandbox_result.passed"));
    EXPECT(job, truth(job, "result.sandbox_result.rollback_verified"));
    EXPECT(job, json_is_false(harness_at(job, "result.rollback_plan.has_irreversible")));
    json_decref(job);
  }
}

static void test_irreversible(void **state) {
  json_t *job = analyse(*state, "", "ALTER TABLE shop.order_items DROP COLUMN quantity CASCADE;");
  EXPECT(job, truth(job, "result.rollback_plan.has_irreversible"));
  EXPECT(job, harness_int(job, "result.risk_score") >= 50);
  json_decref(job);
}

static void test_syntax_error(void **state) {
  json_t *job = analyse(*state, "", "SELECT 1;\n\nALTER TABEL shop.orders ADD x int;\nSELECT 2;");
  EXPECT(job, json_is_false(harness_at(job, "result.sandbox_result.passed")));
  EXPECT(job, strcmp(harness_text(job, "result.sandbox_result.migration_error.sqlstate"), "42601") == 0);
  EXPECT(job, harness_int(job, "result.sandbox_result.migration_error.line") == 3);
  EXPECT(job, harness_int(job, "result.sandbox_result.migration_error.column") == 7);
  EXPECT(job, json_is_null(harness_at(job, "result.approval_token")));
  EXPECT(job, harness_int(job, "result.total_statements") == 2);
  json_decref(job);
}

static void test_failing_migration(void **state) {
  json_t *job = analyse(*state, "", "CREATE TABLE shop.x1 (id int);\nALTER TABLE shop.nowhere ADD COLUMN a int;");
  EXPECT(job, json_is_false(harness_at(job, "result.sandbox_result.passed")));
  EXPECT(job, harness_int(job, "result.sandbox_result.failed_statement") == 1);
  EXPECT(job, strcmp(harness_text(job, "result.sandbox_result.migration_error.sqlstate"), "42P01") == 0);
  EXPECT(job, harness_int(job, "result.sandbox_result.migration_error.line") == 2);
  EXPECT(job, strcmp(harness_text(job, "result.statements.1.agreement"), "agreed") == 0);
  EXPECT(job, json_is_null(harness_at(job, "result.approval_token")));
  json_decref(job);
}

static void test_static_only(void **state) {
  json_t *job = analyse(*state, "?sandbox=false", "ALTER TABLE shop.orders ADD COLUMN u uuid DEFAULT gen_random_uuid();");
  EXPECT(job, json_is_null(harness_at(job, "result.sandbox_result")));
  EXPECT(job, json_is_null(harness_at(job, "result.approval_token")));
  EXPECT(job, truth(job, "result.statements.0.rewrites_table"));
  EXPECT(job, strcmp(harness_text(job, "result.statements.0.findings.0.code"), "add-column-volatile-default") == 0);
  json_decref(job);
}

static void test_validation_queries(void **state) {
  struct shop *shop = *state;
  json_t *job = submit(shop, "analyze",
                       json_pack("{s:s, s:{s:[s,s], s:i}}", "sql", "CREATE TABLE shop.x2 (id int)", "options", "validation_queries",
                                 "SELECT * FROM shop.x2", "INSERT INTO shop.x2 VALUES (1)", "rows_per_table", 3));
  EXPECT(job, truth(job, "result.sandbox_result.migration_applied"));
  EXPECT(job, json_is_false(harness_at(job, "result.sandbox_result.passed")));
  EXPECT(job, truth(job, "result.sandbox_result.validation_results.0.passed"));
  EXPECT(job, harness_int(job, "result.sandbox_result.validation_results.0.row_count") == 0);
  EXPECT(job, json_is_false(harness_at(job, "result.sandbox_result.validation_results.1.passed"))); /* read-only */
  json_decref(job);
}

static void test_sandbox_job(void **state) {
  json_t *job =
      submit(*state, "sandbox",
             json_pack("{s:s, s:[s]}", "sql", "CREATE TABLE shop.x3 (id int)", "validation_queries", "SELECT count(*) FROM shop.x3"));
  EXPECT(job, truth(job, "result.passed"));
  EXPECT(job, harness_int(job, "result.validation_results.0.row_count") == 1);
  json_decref(job);
}

/* Code that only running explains: what was seen is what is reported. */
static void test_do_block(void **state) {
  json_t *job = analyse(*state, "", "DO $$ BEGIN EXECUTE 'ALTER TABLE shop.orders ADD COLUMN z int'; END $$;");
  EXPECT(job, truth(job, "result.sandbox_result.passed"));
  EXPECT(job, strcmp(harness_text(job, "result.statements.0.locks.0.source"), "observed") == 0);
  EXPECT(job, strcmp(harness_text(job, "result.statements.0.agreement"), "unverifiable") == 0);
  json_decref(job);
}

static void test_token(void **state) {
  struct shop *shop = *state;
  long long before = harness_count(shop->harness->database_url, "SELECT count(*) FROM autodb.approvals");
  json_t *job = analyse(shop, "", "CREATE TABLE shop.x4 (id int)");
  const char *token = harness_text(job, "result.approval_token");
  const char *dot = strchr(token, '.');
  EXPECT(job, dot && strlen(dot + 1) == 43);
  EXPECT(job, !strchr(dot + 1, '.'));
  assert_int_equal(harness_count(shop->harness->database_url, "SELECT count(*) FROM autodb.approvals"), before + 1);
  assert_int_equal(harness_count(shop->harness->database_url,
                                 "SELECT count(*) FROM autodb.approvals WHERE used_at IS NULL AND expires_at > now() + "
                                 "interval '59 minutes' AND expires_at < now() + interval '61 minutes'"),
                   before + 1);
  json_decref(job);
}

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

/* Not a timed test: prints what an analysis costs when everything is warm. */
static void test_report_duration(void **state) {
  enum { ROUNDS = 15 };
  double ms[ROUNDS], setup_ms = 0, run_ms = 0;
  for (int i = 0; i < ROUNDS; i++) {
    int64_t started = harness_now_ms();
    json_t *job = analyse(*state, "", "ALTER TABLE shop.orders ADD COLUMN priority int NOT NULL DEFAULT 0;");
    ms[i] = (double)(harness_now_ms() - started);
    setup_ms += (double)harness_int(job, "result.sandbox_result.setup_ms") / ROUNDS;
    run_ms += (double)harness_int(job, "result.sandbox_result.duration_ms") / ROUNDS;
    if (i == ROUNDS - 1) {
      json_t *laps = harness_at(job, "result.sandbox_result.timings");
      assert_null(json_object_get(laps, "clone_ms")); /* found prepared, and as if it had been made for this one */
      assert_true(harness_int(job, "result.sandbox_result.tables_created") > 20);
      assert_true(harness_int(job, "result.sandbox_result.rows_inserted") > 0);
      char *timings = json_dumps(laps, 0);
      print_message("last: %s\n", timings);
      free(timings);
    }
    json_decref(job);
  }
  qsort(ms, ROUNDS, sizeof *ms, by_value);
  print_message("analysis of one statement on the demo schema: p50 %.0f ms, max %.0f ms (set up %.0f, run and verified %.0f)\n",
                ms[ROUNDS / 2], ms[ROUNDS - 1], setup_ms, run_ms);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_demo),
      cmocka_unit_test(test_round_trips),
      cmocka_unit_test(test_irreversible),
      cmocka_unit_test(test_syntax_error),
      cmocka_unit_test(test_failing_migration),
      cmocka_unit_test(test_static_only),
      cmocka_unit_test(test_validation_queries),
      cmocka_unit_test(test_sandbox_job),
      cmocka_unit_test(test_do_block),
      cmocka_unit_test(test_token),
      cmocka_unit_test(test_report_duration),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
