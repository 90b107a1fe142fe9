/* test_tuning.c - statistics and settings that are recommended for a query: where they are of use, and where they look alike and are not.
 */
#include "tests/support/harness.h"

#include <math.h>

#include "common/json.h"

static char connection[40], hypopg_connection[40], target[HARNESS_URL], other[HARNESS_URL];

static const char schema_sql[] =
    "CREATE TABLE cars (id int PRIMARY KEY, make int NOT NULL, model int NOT NULL, colour int NOT NULL, pad text);"
    "CREATE TABLE visits (id int PRIMARY KEY, car int NOT NULL, k int NOT NULL, pad text);"
    "CREATE TABLE moving (id int PRIMARY KEY, v int) WITH (autovacuum_enabled = off);"
    "CREATE TABLE fresh (id int, v int) WITH (autovacuum_enabled = off);"
    "INSERT INTO cars SELECT i, i % 500, (i % 500) * 3, (i * 7919) % 11, repeat('x', 80) FROM generate_series(1, 60000) i;"
    "INSERT INTO visits SELECT i, i % 60000, CASE WHEN i <= 90000 THEN 1 ELSE i END, repeat('y', 80) FROM generate_series(1, 100000) i;"
    "ALTER TABLE visits ALTER k SET (n_distinct = 3);"
    "INSERT INTO moving SELECT i, i FROM generate_series(1, 20000) i;";

static int setup(void **state) {
  struct harness *h = harness_new();
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", NULL};
  harness_stack(h, env, env);
  harness_database(&h->pg[0], "client", target);
  harness_sql(target, schema_sql);
  harness_sql(target, "VACUUM ANALYZE");
  harness_sql(target, "UPDATE moving SET v = v + 1 WHERE id <= 15000; INSERT INTO fresh SELECT i, i FROM generate_series(1, 20000) i;"
                      "ALTER DATABASE client SET max_parallel_workers_per_gather = 0; ALTER DATABASE client SET parallel_setup_cost = 10; "
                      "ALTER DATABASE client SET parallel_tuple_cost = 0.001; ALTER DATABASE client SET work_mem = '1MB'");
  harness_database(&h->pg[0], "other", other);
  harness_sql(other, "CREATE EXTENSION hypopg");
  harness_sql(other, schema_sql);
  harness_sql(other, "VACUUM ANALYZE");
  harness_sql(other, "ALTER DATABASE other SET work_mem = '1MB'");
  harness_connection(h, "client", target, connection);
  harness_connection(h, "other", other, hypopg_connection);
  *state = h;
  return 0;
}

static json_t *optimize(struct harness *h, const char *to, bool analyze, const char *sql) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize%s", to, analyze ? "?analyze=true" : "");
  json_t *job = harness_job(h, path, json_pack("{s:s}", "sql", sql), 60000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0)
    fail_msg("%s: %s: %s", sql, harness_text(job, "error.code"), harness_text(job, "error.message"));
  return job;
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static const json_t *entry(const json_t *job, const char *list, const char *key, const char *value) {
  char path[80];
  snprintf(path, sizeof path, "result.%s", list);
  const json_t *all = harness_at(job, path);
  for (size_t i = 0; i < json_array_size(all); i++)
    if (strcmp(json_str(json_array_get(all, i), key, ""), value) == 0) return json_array_get(all, i);
  return NULL;
}

static void show(const json_t *job) {
  char *text = json_dumps(harness_at(job, "result"), JSON_INDENT(1));
  print_message("%s\n", text);
  free(text);
}

static void columns_that_go_together(void **state) {
  json_t *job = optimize(*state, connection, true, "SELECT * FROM cars WHERE make = 7 AND model = 21");
  const json_t *one = entry(job, "statistics_recommendations", "kind", "extended");
  if (!one) show(job);
  assert_string_equal(json_str(one, "verified_by", ""), "whatif");
  assert_true(number(one, "rows_actual") == 120 && number(one, "rows_estimated") < 5);
  assert_true(number(one, "rows_estimated_after") > 60 && number(one, "rows_estimated_after") < 240);
  harness_sql(target, json_str(one, "sql", "")); /* and so it is */
  json_decref(job);
  job = optimize(*state, connection, true, "SELECT * FROM cars WHERE make = 7 AND model = 21");
  if (entry(job, "statistics_recommendations", "kind", "extended")) show(job);
  assert_null(entry(job, "statistics_recommendations", "kind", "extended"));
  json_decref(job);
  job = optimize(*state, connection, true, "SELECT * FROM cars WHERE make = 7 AND colour = 3"); /* independent */
  assert_null(entry(job, "statistics_recommendations", "kind", "extended"));
  json_decref(job);
}

static void numbers_of_values(void **state) {
  json_t *job = optimize(*state, connection, true, "SELECT k, count(*) FROM visits GROUP BY k");
  const json_t *one = entry(job, "statistics_recommendations", "kind", "n_distinct");
  if (!one) show(job);
  assert_true(number(one, "rows_actual") == 10001);
  assert_true(fabs(number(one, "rows_estimated_after") - 10001) < 300);
  assert_non_null(strstr(json_str(one, "sql", ""), "SET (n_distinct = -0.1)"));
  harness_sql(target, json_str(one, "sql", ""));
  json_decref(job);
  job = optimize(*state, connection, true, "SELECT k, count(*) FROM visits GROUP BY k");
  assert_null(entry(job, "statistics_recommendations", "kind", "n_distinct"));
  json_decref(job);
}

static void old_statistics(void **state) {
  json_t *job = optimize(*state, connection, false, "SELECT * FROM moving WHERE v > 5");
  const json_t *one = entry(job, "statistics_recommendations", "kind", "analyze");
  if (!one) show(job);
  assert_string_equal(json_str(one, "sql", ""), "ANALYZE public.moving");
  json_decref(job);
  job = optimize(*state, connection, false, "SELECT * FROM cars WHERE make = 9");
  assert_null(entry(job, "statistics_recommendations", "kind", "analyze"));
  json_decref(job);
}

static void memory(void **state, const char *to, const char *engine) {
  static const char sorted[] = "SELECT * FROM cars ORDER BY pad, colour, make";
  json_t *job = optimize(*state, to, false, sorted);
  const json_t *one = entry(job, "settings_recommendations", "setting", "work_mem");
  if (!one) show(job);
  assert_string_equal(json_str(one, "verified_by", ""), engine);
  assert_true(number(one, "cost_after") < 0.9 * number(one, "cost_before"));
  json_decref(job);
  job = optimize(*state, to, true, sorted);
  one = entry(job, "settings_recommendations", "setting", "work_mem");
  if (!one) show(job);
  assert_string_equal(json_str(one, "verified_by", ""), "measured");
  char sql[300];
  snprintf(sql, sizeof sql, "%s", json_str(one, "suggested", ""));
  assert_true(strtol(sql, NULL, 10) >= 8 && strstr(sql, "MB"));
  json_decref(job);
  job = optimize(*state, to, true, "SELECT * FROM cars WHERE id < 1000 ORDER BY pad, colour");
  assert_null(entry(job, "settings_recommendations", "setting", "work_mem"));
  json_decref(job);
}

static void memory_on_the_whatif_server(void **state) { memory(state, connection, "whatif"); }
static void memory_in_the_session(void **state) { memory(state, hypopg_connection, "hypopg"); }

static void workers(void **state) {
  static const char heavy[] = "SELECT count(*) FROM visits WHERE md5(md5(md5(md5(pad)))) > md5(md5(md5(md5(md5(pad)))))";
  json_t *job = optimize(*state, connection, false, heavy);
  const json_t *one = entry(job, "settings_recommendations", "setting", "max_parallel_workers_per_gather");
  if (!one) show(job);
  assert_true(number(one, "cost_after") < 0.8 * number(one, "cost_before"));
  json_decref(job);
  job = optimize(*state, hypopg_connection, false, "SELECT * FROM cars WHERE id = 5");
  assert_null(entry(job, "settings_recommendations", "setting", "max_parallel_workers_per_gather"));
  json_decref(job);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(columns_that_go_together), cmocka_unit_test(numbers_of_values),
                                     cmocka_unit_test(old_statistics),           cmocka_unit_test(memory_on_the_whatif_server),
                                     cmocka_unit_test(memory_in_the_session),    cmocka_unit_test(workers)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
