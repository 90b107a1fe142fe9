/* test_advise_workload.c - what a workload was is read from pg_stat_statements and counters; what is hostile in it harms nobody; and the
 * commands of `autodb` that print it. */
#include "tests/support/harness.h"

#include "common/json.h"

#define AUTODB AUTODB_BINARY_DIR "/autodb"

static char connection[40], target[HARNESS_URL], poor_connection[40];
static char url_env[128], key_env[128];

static const char schema_sql[] =
    "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_trgm;"
    "CREATE TABLE accounts (id int PRIMARY KEY, owner int NOT NULL, balance int NOT NULL, seen int NOT NULL, pad text) WITH (fillfactor = "
    "50);"
    "CREATE TABLE log (id int PRIMARY KEY, account int NOT NULL REFERENCES accounts, at timestamptz NOT NULL, line text NOT NULL);"
    "CREATE TABLE \"We;ird \"\"T\" (\"a b'c\" int, \"SELECT\" text, \"\xc3\xa9t\xc3\xa9\" int);"
    "INSERT INTO accounts SELECT i, i % 4000, 0, 0, repeat('x', 60) FROM generate_series(1, 20000) i;"
    "INSERT INTO log SELECT i, 1 + i % 20000, timestamptz '2024-01-01' + i * interval '1 s', md5(i::text) FROM generate_series(1, 40000) i;"
    "INSERT INTO \"We;ird \"\"T\" SELECT i % 5000, md5(i::text), i FROM generate_series(1, 30000) i;"
    "CREATE ROLE poor LOGIN PASSWORD 'poor'";

static int setup(void **state) {
  struct harness *h = harness_new();
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", NULL};
  harness_stack(h, env, env);
  struct harness_pg *pg = harness_postgres(h, 16);
  harness_sql(pg->url, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'");
  harness_stop(pg->proc);
  harness_restart(h, pg->proc);
  harness_database(pg, "client", target);
  harness_sql(target, schema_sql);
  harness_sql(target, "VACUUM ANALYZE");
  harness_connection(h, "client", target, connection);
  char poor[HARNESS_URL];
  snprintf(poor, sizeof poor, "postgresql://poor:poor@127.0.0.1:%d/client", pg->port);
  harness_connection(h, "poor", poor, poor_connection);
  snprintf(url_env, sizeof url_env, "AUTODB_URL=%s/", h->api_url);
  snprintf(key_env, sizeof key_env, "AUTODB_API_KEY=%s", h->api_key);
  *state = h;
  return 0;
}

static json_t *run(struct harness *h, const char *to, const char *what, json_t *take_body) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/%s", to, what);
  json_t *job = harness_job(h, path, take_body, 120000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0)
    fail_msg("%s: %s", harness_text(job, "error.code"), harness_text(job, "error.message"));
  return job;
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static const json_t *index_on(const json_t *job, const char *part) {
  const json_t *list = harness_at(job, "result.index_recommendations");
  for (size_t i = 0; i < json_array_size(list); i++)
    if (strstr(json_str(json_array_get(list, i), "create_sql", ""), part)) return json_array_get(list, i);
  return NULL;
}

static void has_index(const json_t *job, const char *part) {
  if (!index_on(job, part)) fail_msg("no %s:\n%s", part, json_dumps(harness_at(job, "result"), JSON_INDENT(1)));
}

/* --- pg_stat_statements --- */

static void statements_are_the_workload(void **state) {
  harness_sql(target, "SELECT pg_stat_statements_reset(), pg_stat_reset()");
  for (int i = 0; i < 20; i++) {
    char sql[600];
    snprintf(sql, sizeof sql,
             "SELECT * FROM accounts WHERE owner = %d; SELECT count(*) FROM log WHERE account = %d; SELECT line FROM log WHERE line LIKE "
             "'%%%dfa%%';"
             "SELECT * FROM pg_class WHERE relname = 'x%d'",
             i, i * 7, i + 10, i);
    harness_sql(target, sql);
  }
  harness_sql(target, "UPDATE accounts SET balance = balance + 1 WHERE id <= 3000; UPDATE accounts SET seen = seen + 1 WHERE id <= 1000");
  PGconn *conn = harness_connect(target);
  PQclear(PQexec(conn, "SELECT pg_stat_force_next_flush()"));
  PQfinish(conn);
  assert_true(POLL_UNTIL(harness_count(target, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'accounts'") >= 4000, 10000));
  json_t *job = run(*state, connection, "workload/optimize", json_pack("{s:s}", "source", "pg_stat_statements"));
  const json_t *result = harness_at(job, "result"), *queries = json_object_get(result, "queries");
  assert_string_equal(json_str(result, "cost_unit", ""), "milliseconds");
  has_index(job, "ON public.accounts (owner)");
  has_index(job, "ON public.log (account)");
  bool calls = false;
  for (size_t i = 0; i < json_array_size(queries); i++) {
    const json_t *query = json_array_get(queries, i);
    assert_null(strstr(json_str(query, "sql", ""), "pg_class"));
    if (strstr(json_str(query, "sql", ""), "accounts WHERE owner = $1"))
      calls = number(query, "weight") == 20 && number(query, "total_ms") > 0;
  }
  assert_true(calls);
  json_decref(job);
}

/* An index on a column that a known share of the UPDATEs sets takes just that share of HOT ones away. */
static void lost_hot_updates_are_told(void **state) {
  json_t *job = run(*state, connection, "queries/optimize", json_pack("{s:s}", "sql", "SELECT * FROM accounts WHERE owner = 7"));
  const json_t *owner = index_on(job, "ON public.accounts (owner)");
  const json_t *write = json_object_get(owner, "write_overhead");
  if (!owner) fail_msg("%s", json_dumps(harness_at(job, "result.index_recommendations"), JSON_INDENT(1)));
  assert_true(number(write, "hot_update_ratio_before") > 0.5);
  if (number(write, "hot_update_ratio_after") != number(write, "hot_update_ratio_before"))
    fail_msg("%s", json_dumps(owner, JSON_INDENT(1)));
  assert_true(number(write, "hot_update_ratio_after") == number(write, "hot_update_ratio_before")); /* nobody sets owner */
  json_decref(job);
  job = run(*state, connection, "queries/optimize", json_pack("{s:s}", "sql", "SELECT * FROM accounts WHERE balance > 100000"));
  const json_t *balance = index_on(job, "ON public.accounts (balance)");
  if (!balance) fail_msg("%s", json_dumps(harness_at(job, "result"), JSON_INDENT(1)));
  write = json_object_get(balance, "write_overhead");
  double before = number(write, "hot_update_ratio_before"), after = number(write, "hot_update_ratio_after");
  assert_true(before > 0.5 && after > 0.24 * before && after < 0.26 * before); /* three of four set it */
  assert_string_equal(json_str(write, "level", ""), "high");
  json_decref(job);
}

/* --- hostile --- */

static void odd_names_are_quoted(void **state) {
  json_t *job = run(*state, connection, "queries/optimize",
                    json_pack("{s:s}", "sql", "SELECT * FROM \"We;ird \"\"T\" WHERE \"a b'c\" = 5 AND \"SELECT\" > 'ff'"));
  const json_t *one = index_on(job, "ON public.\"We;ird \"\"T\" (\"a b'c\"");
  if (!one) fail_msg("%s", json_dumps(harness_at(job, "result"), JSON_INDENT(1)));
  char *sql = strdup(json_str(one, "create_sql", ""));
  char *word = strstr(sql, "CONCURRENTLY ");
  memmove(word, word + 13, strlen(word + 13) + 1);
  char drop[200];
  harness_sql(target, sql);
  snprintf(drop, sizeof drop, "DROP INDEX \"%s\"", json_str(one, "name", ""));
  harness_sql(target, drop);
  free(sql);
  json_decref(job);
}

static void what_is_no_query_is_left_out(void **state) {
  static const char *const queries[] = {
      "SELECT 1",
      "VALUES (1), (2)",
      "EXPLAIN ANALYZE DELETE FROM log",
      "DELETE FROM log; SELECT 1",
      "SELECT * FROM log WHERE",
      "",
      ";",
      "-- nothing",
      "SELECT * FROM pg_catalog.pg_class WHERE relname = 'x'",
      "SELECT * FROM generate_series(1, 10)",
      "COPY log TO PROGRAM 'id'",
      "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT * FROM r JOIN log ON log.account = n",
      "WITH gone AS (DELETE FROM log WHERE account = 5 RETURNING id) SELECT * FROM gone",
      "INSERT INTO log SELECT * FROM log WHERE account = 6",
      "MERGE INTO accounts a USING log l ON a.id = l.account WHEN MATCHED THEN UPDATE SET seen = 1",
      "SELECT * INTO x FROM log",
      "SELECT pg_terminate_backend(1)",
      "SELECT * FROM log WHERE account = $1 AND line = $3",
      "SELECT '\\', $$; DROP TABLE log; $$ FROM log WHERE account = 3",
      "SELECT * FROM missing",
      "SELECT * FROM log l, LATERAL (SELECT * FROM accounts a WHERE a.owner = l.account LIMIT 1) x WHERE l.at > now()"};
  json_t *list = json_array();
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
    if (*queries[i]) json_array_append_new(list, json_pack("{s:s}", "sql", queries[i]));
  size_t count = json_array_size(list);
  json_t *job = run(*state, connection, "workload/optimize", json_pack("{s:s, s:o}", "source", "queries", "queries", list));
  assert_int_equal(json_array_size(harness_at(job, "result.queries")), count);
  assert_true(harness_int(job, "result.skipped_queries") >= 8 && harness_int(job, "result.analyzed_queries") >= 8);
  assert_int_equal(harness_count(target, "SELECT count(*) FROM log"), 40000);
  json_decref(job);
  char *deep = malloc(60000);
  size_t at = (size_t)snprintf(deep, 60000, "SELECT * FROM log WHERE account = 1");
  for (int i = 0; i < 5000; i++) at += (size_t)snprintf(deep + at, 60000 - at, " + (1");
  job = run(*state, connection, "workload/optimize", json_pack("{s:s, s:[{s:s}]}", "source", "queries", "queries", "sql", deep));
  assert_int_equal(harness_int(job, "result.skipped_queries"), 1);
  free(deep);
  json_decref(job);
}

/* A key without an index, for who deletes from its target; said once, also where a query wants the same index. */
static void keys_without_an_index(void **state) {
  for (int joined = 0; joined < 2; joined++) {
    json_t *queries = json_pack("[{s:s}, {s:s}]", "sql", "DELETE FROM accounts WHERE id = 5", "sql",
                                joined ? "SELECT * FROM log WHERE account = 5" : "SELECT * FROM accounts WHERE id = 5");
    json_t *job = run(*state, connection, "workload/optimize", json_pack("{s:s, s:o}", "source", "queries", "queries", queries));
    const json_t *list = harness_at(job, "result.index_recommendations"), *one = index_on(job, "ON public.log (account)");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_str(one, "verified_by", ""), joined ? "whatif" : "heuristic");
    json_decref(job);
  }
}

static void hundreds_of_queries_are_one_workload(void **state) {
  json_t *list = json_array();
  for (int i = 0; i < 300; i++) {
    static const char *const forms[] = {
        "SELECT * FROM accounts WHERE owner = %d", "SELECT id FROM log WHERE account = %d AND at > '2024-01-01' ORDER BY at LIMIT 3",
        "SELECT count(*) FROM accounts WHERE balance = %d AND seen = 3",
        "SELECT a.id FROM accounts a JOIN log l ON l.account = a.id WHERE a.owner = %d", "UPDATE accounts SET seen = %d WHERE owner = 5"};
    char sql[200];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(sql, sizeof sql, forms[i % 5], i);
#pragma GCC diagnostic pop
    json_array_append_new(list, json_pack("{s:s, s:i}", "sql", sql, "weight", 1 + i % 7));
  }
  json_t *job = run(*state, connection, "workload/optimize", json_pack("{s:s, s:o}", "source", "queries", "queries", list));
  assert_int_equal(harness_int(job, "result.analyzed_queries"), 300);
  has_index(job, "ON public.accounts (owner");
  json_decref(job);
}

/* A role that may read nothing sees no statistics, and no table of its query: it is told. */
static void a_role_without_rights_is_told(void **state) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/workload/optimize", poor_connection);
  json_t *job = harness_job(
      *state, path, json_pack("{s:s, s:[{s:s}]}", "source", "queries", "queries", "sql", "SELECT * FROM accounts WHERE owner = 4"), 60000);
  assert_string_equal(harness_text(job, "status"), "succeeded"); /* planned from sizes alone, on the what-if server */
  has_index(job, "ON public.accounts (owner)");
  json_decref(job);
  job = run(*state, poor_connection, "workload/optimize", json_pack("{s:s}", "source", "pg_stat_statements"));
  if (!strstr(harness_text(job, "result.warnings.0"), "GRANT pg_read_all_stats")) fail_msg("%s", harness_text(job, "result.warnings.0"));
  json_decref(job);
}

/* --- the commands --- */

static char *cli(struct harness *h, const char *const argv[], int expected) {
  char *output = NULL;
  char **env = harness_env(h, (const char *const[]){url_env, key_env, NULL});
  int status = harness_run(h, AUTODB, argv, (const char *const *)env, &output);
  harness_env_free(env);
  if (status != expected) fail_msg("%s: exit %d: %s", argv[1], status, output);
  return output;
}

static void the_commands_print_it(void **state) {
  struct harness *h = *state;
  char path[HARNESS_PATH + 32];
  snprintf(path, sizeof path, "%s/queries.sql", h->dir);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fputs("SELECT * FROM accounts WHERE owner = 5 ORDER BY balance LIMIT 3;\nSELECT * FROM log WHERE account = 5;\nSELEC 1;\n-- the end\n",
        file);
  fclose(file);
  char *text = cli(h, (const char *const[]){"autodb", "workload", path, "--connection", connection, "--budget", "100MB", NULL}, 0);
  if (!strstr(text, "ON public.log (account)")) fail_msg("%s", text);
  assert_non_null(strstr(text, "All together: "));
  assert_non_null(strstr(text, "left out  SELEC 1\n")); /* not even a keyword in it */
  free(text);
  free(cli(h, (const char *const[]){"autodb", "workload", path, "--budget", "many", NULL}, 2));
  free(cli(h, (const char *const[]){"autodb", "workload", path, "--max-indexes", "0", NULL}, 2));
  file = fopen(path, "we");
  assert_non_null(file);
  fputs("SELECT * FROM log WHERE account = 5", file);
  fclose(file);
  text = cli(h, (const char *const[]){"autodb", "optimize", path, "--connection", connection, NULL}, 0);
  if (!strstr(text, "tried on the what-if server")) fail_msg("%s", text);
  free(text);
}

static void documents_speak_of_its_tables(void **state) {
  struct harness *h = *state;
  char handbook[HARNESS_PATH + 32], query[HARNESS_PATH + 32];
  snprintf(handbook, sizeof handbook, "%s/handbook.md", h->dir);
  snprintf(query, sizeof query, "%s/query.sql", h->dir);
  FILE *file = fopen(handbook, "we");
  assert_non_null(file);
  fputs("# Accounts\n\nAccounts are seen by auditors every night: their balance must not change then.\n", file);
  fclose(file);
  free(cli(h, (const char *const[]){"autodb", "context", "upload", handbook, "--connection", connection, NULL}, 0));
  json_t *job = run(h, connection, "queries/optimize", json_pack("{s:s}", "sql", "SELECT id FROM accounts WHERE balance = 5"));
  assert_string_equal(harness_text(job, "result.business_context.0.source"), "handbook.md");
  json_decref(job);
  job = run(h, connection, "queries/optimize", json_pack("{s:s}", "sql", "SELECT id FROM log WHERE line = 'x'"));
  assert_int_equal(json_array_size(harness_at(job, "result.business_context")), 0);
  json_decref(job);
  file = fopen(query, "we");
  assert_non_null(file);
  fputs("SELECT id FROM accounts WHERE balance = 5", file);
  fclose(file);
  char *text = cli(h, (const char *const[]){"autodb", "optimize", query, "--connection", connection, NULL}, 0);
  if (!strstr(text, "Your documents\nhandbook.md")) fail_msg("%s", text);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(statements_are_the_workload),   cmocka_unit_test(lost_hot_updates_are_told),
      cmocka_unit_test(odd_names_are_quoted),          cmocka_unit_test(what_is_no_query_is_left_out),
      cmocka_unit_test(keys_without_an_index),         cmocka_unit_test(hundreds_of_queries_are_one_workload),
      cmocka_unit_test(a_role_without_rights_is_told), cmocka_unit_test(the_commands_print_it),
      cmocka_unit_test(documents_speak_of_its_tables)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
