/* test_api_optimize.c - POST /plans/parse, /queries/optimize and /workload/optimize through the API and a worker. */
#include "tests/support/harness.h"

#include "common/buf.h"
#include "common/limits.h"

static char connection[40], target[HARNESS_URL];

static int setup(void **state) {
  struct harness *h = harness_new();
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", NULL};
  harness_stack(h, env, env);
  harness_database(&h->pg[0], "client", target);
  harness_sql(target, "CREATE TABLE orders (id int PRIMARY KEY, customer int, note text); INSERT INTO orders SELECT i, i % 100, "
                      "repeat('x', 100) FROM generate_series(1, 80000) i;"
                      "CREATE FUNCTION touch() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'; ANALYZE");
  harness_connection(h, "client", target, connection);
  *state = h;
  return 0;
}

static json_t *optimize(struct harness *h, const char *query, json_t *body) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize%s", connection, query);
  return harness_job(h, path, body, 60000);
}

static void succeeded(const json_t *job) {
  if (strcmp(harness_text(job, "status"), "succeeded") != 0)
    fail_msg("%s: %s", harness_text(job, "error.code"), harness_text(job, "error.message"));
}

static bool has(const json_t *job, const char *code) {
  size_t index;
  json_t *one;
  json_array_foreach(harness_at(job, "result.findings"), index, one) if (strcmp(harness_text(one, "code"), code) == 0) return true;
  return false;
}

static void a_query_is_planned_and_judged(void **state) {
  json_t *job = optimize(*state, "", json_pack("{s:s}", "sql", "SELECT note FROM orders WHERE customer = 7 AND id > 0"));
  succeeded(job);
  assert_string_equal(harness_text(job, "result.execution_plan.root.node_type"), "Seq Scan");
  assert_true(json_is_false(harness_at(job, "result.execution_plan.analyzed")));
  assert_true(strlen(harness_text(job, "result.fingerprint")) == 16);
  assert_true(has(job, "seq-selective"));
  assert_true(strstr(harness_text(job, "result.execution_plan.raw_plan_text"), "Seq Scan on orders") != NULL);
  json_decref(job);
  job = optimize(*state, "?analyze=true", json_pack("{s:s}", "sql", "SELECT count(*) FROM orders WHERE customer = 7"));
  succeeded(job);
  assert_true(json_is_true(harness_at(job, "result.execution_plan.analyzed")));
  json_decref(job);
}

static void parameters_are_planned_without_values_or_with_those_given(void **state) {
  static const char sql[] = "SELECT note FROM orders WHERE customer = $1";
  json_t *job = optimize(*state, "", json_pack("{s:s}", "sql", sql));
  succeeded(job);
  assert_true(strstr(harness_text(job, "result.execution_plan.root.filter"), "$1") != NULL);
  json_decref(job);
  job = optimize(*state, "", json_pack("{s:s, s:{s:[i]}}", "sql", sql, "options", "parameters", 42));
  succeeded(job);
  assert_string_equal(harness_text(job, "result.execution_plan.root.filter"), "(customer = 42)");
  json_decref(job);
  job = optimize(*state, "?analyze=true", json_pack("{s:s}", "sql", sql)); /* a usual value, from statistics */
  succeeded(job);
  assert_true(strstr(harness_text(job, "result.execution_plan.root.filter"), "$1") == NULL);
  json_decref(job);
}

static const char *filter_of(json_t *job, char *ret_filter, size_t size) {
  succeeded(job);
  snprintf(ret_filter, size, "%s", harness_text(job, "result.execution_plan.root.filter"));
  json_decref(job);
  return ret_filter;
}

/* Lists and ranges get values of their kind; no major of PostgreSQL plans with NULLs. */
static void parameters_of_lists_and_ranges(void **state) {
  char filter[256], url[HARNESS_URL], older[40], path[160];
  static const char list[] = "SELECT note FROM orders WHERE customer = ANY ($1)", range[] = "SELECT note FROM orders WHERE customer "
                                                                                            "BETWEEN $1 AND $2";
  filter_of(optimize(*state, "?analyze=true", json_pack("{s:s}", "sql", list)), filter, sizeof filter);
  if (!strstr(filter, "= ANY ('{")) fail_msg("%s", filter);
  filter_of(optimize(*state, "?analyze=true", json_pack("{s:s}", "sql", range)), filter, sizeof filter);
  if (strstr(filter, "NULL") || !strstr(filter, "customer <= ")) fail_msg("%s", filter);
  if (!harness_has_postgres(15)) return;
  harness_database(harness_postgres(*state, 15), "older", url);
  harness_sql(url,
              "CREATE TABLE orders (customer int, note text); INSERT INTO orders SELECT i % 100 FROM generate_series(1, 1000) i; ANALYZE");
  harness_connection(*state, "older", url, older);
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize", older);
  filter_of(harness_job(*state, path, json_pack("{s:s}", "sql", range), 60000), filter, sizeof filter);
  if (!strstr(filter, "$2")) fail_msg("%s", filter);
}

static void what_writes_or_does_not_parse_is_refused(void **state) {
  static const struct {
    const char *query, *sql, *code;
  } cases[] = {{"", "SELECT FROM WHERE", "SYNTAX_INVALID"},
               {"", "SELECT 1; SELECT 2", "QUERY_INVALID"},
               {"", "DROP TABLE orders", "QUERY_INVALID"},
               {"", "SELECT nothing FROM orders", "QUERY_INVALID"},
               {"", "-- nothing", "QUERY_INVALID"},
               {"?analyze=true", "DELETE FROM orders", "ANALYZE_REFUSED"},
               {"?analyze=true", "SELECT touch() FROM orders", "GUARDRAIL_VIOLATION"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *job = optimize(*state, cases[i].query, json_pack("{s:s}", "sql", cases[i].sql));
    assert_string_equal(harness_text(job, "status"), "failed");
    if (strcmp(harness_text(job, "error.code"), cases[i].code) != 0)
      fail_msg("%s: %s: %s", cases[i].sql, harness_text(job, "error.code"), harness_text(job, "error.message"));
    json_decref(job);
  }
  assert_int_equal(harness_count(target, "SELECT count(*) FROM orders"), 80000);
  json_t *job = optimize(*state, "", json_pack("{s:s}", "sql", "SELECT customr FROM orders"));
  if (!strstr(harness_text(job, "error.message"), "did you mean customer?")) fail_msg("%s", harness_text(job, "error.message"));
  json_decref(job);
  job = optimize(*state, "?analyze=true",
                 json_pack("{s:s, s:{s:b}}", "sql", "DELETE FROM orders WHERE customer = 1", "options", "allow_dml_analyze", 1));
  succeeded(job);
  assert_true(json_is_true(harness_at(job, "result.execution_plan.analyzed")));
  json_decref(job);
  assert_int_equal(harness_count(target, "SELECT count(*) FROM orders"), 80000);
}

static void a_plan_is_read_without_a_connection(void **state) {
  json_t *job = harness_job(*state, "/api/v1/plans/parse",
                            json_pack("{s:s}", "plan", "Seq Scan on t  (cost=0.00..9.00 rows=5 width=4)\n  Filter: (a = 1)"), 30000);
  succeeded(job);
  assert_string_equal(harness_text(job, "result.execution_plan.root.relation_name"), "t");
  json_decref(job);
  job = harness_job(*state, "/api/v1/plans/parse", json_pack("{s:s}", "plan", "nothing of a plan"), 30000);
  assert_string_equal(harness_text(job, "error.code"), "PLAN_INVALID");
  json_decref(job);
}

/* --- hostile plans --- */

static long resident_kb(struct harness *h, const char *program) {
  long kb = 0;
  for (int i = 0; i < h->proc_count; i++) {
    char path[64], line[256];
    if (strncmp(h->procs[i].name, program, strlen(program)) != 0 || !h->procs[i].pid) continue;
    snprintf(path, sizeof path, "/proc/%d/status", (int)h->procs[i].pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kb);
    if (file) fclose(file);
  }
  assert_true(kb > 0);
  return kb;
}

/* before, then the part so many times, then after. */
static char *repeated(const char *before, const char *part, size_t times, const char *after) {
  size_t len = strlen(part);
  char *text = malloc(strlen(before) + len * times + strlen(after) + 1), *at = stpcpy(text, before);
  for (size_t i = 0; i < times; i++, at += len) memcpy(at, part, len);
  stpcpy(at, after);
  return text;
}

static void refused_at_the_door(struct harness *h, char *take_plan, long status) {
  REPLY_AUTO reply;
  json_t *body = json_pack("{s:s}", "plan", take_plan);
  char *text = json_dumps(body, 0);
  harness_http(h, "POST", "/api/v1/plans/parse", NULL, text, &reply);
  if (reply.status != status) fail_msg("%ld, not %ld: %.200s", reply.status, status, reply.body);
  json_decref(body);
  free(text);
  free(take_plan);
}

static void too_much_of_a_plan_is_refused(void **state) {
  long api = resident_kb(*state, "api");
  refused_at_the_door(*state, repeated("", "[", 20000, ""), 422);
  refused_at_the_door(*state, repeated("[{\"Plan\": {\"Node Type\": \"Limit\"", ", \"Plans\": [{\"Node Type\": \"Limit\"", 10000, "}}]"),
                      422);
  refused_at_the_door(*state, repeated("Seq Scan on t  (cost=0.00..9.00 rows=5 width=4)\n", "  Filter: (a = 1)\n", 640000, ""), 422);
  refused_at_the_door(*state, repeated("", "Seq Scan on t  (cost=0.00..9.00 rows=5 width=4)\n", 1100000, ""), 413); /* 50 MB */
#ifdef __SANITIZE_ADDRESS__
  (void)api; /* which keeps what was freed, to find who uses it again */
#else
  assert_true(resident_kb(*state, "api") < api + 64 * 1024);
#endif
}

/* What gets past the door ends in the slot that reads it: with an answer, and nothing of it stays. */
static void failed(struct harness *h, char *take_plan, const char *code) {
  json_t *job = harness_job(h, "/api/v1/plans/parse", json_pack("{s:s}", "plan", take_plan), 30000);
  if (strcmp(harness_text(job, "error.code"), code) != 0)
    fail_msg("%s: %s, not %s\n%.300s", harness_text(job, "status"), harness_text(job, "error.code"), code, take_plan);
  json_decref(job);
  free(take_plan);
}

static char *staircase(size_t steps) { /* each node below the one before it */
  BUF_AUTO out;
  buf_init(&out, 16 << 20);
  for (size_t i = 0; i < steps; i++) buf_printf(&out, "%*s%sLimit  (cost=0.00..9.00 rows=5 width=4)\n", (int)i, "", i ? "->  " : "");
  return strdup(buf_str(&out));
}

static void what_is_cut_off_or_too_deep_fails_in_its_slot(void **state) {
  static const char json[] = "[{\"Plan\": {\"Node Type\": \"Seq Scan\", \"Relation Name\": \"t\", \"Plan Rows\": 5, \"Total Cost\": 9.0}}]";
  long worker = resident_kb(*state, "worker");
  for (size_t length = sizeof json - 2; length > 0; length -= length > 9 ? 9 : length)
    failed(*state, strndup(json, length), "PLAN_INVALID");
  failed(*state, staircase(1200), "PLAN_TOO_LARGE");
  failed(*state, staircase(3000), "PLAN_TOO_LARGE"); /* 9 MB: as large as it may be at the door */
  failed(*state,
         repeated("Append  (cost=0.00..9.00 rows=5 width=4)\n", "  ->  Seq Scan on t  (cost=0.00..9.00 rows=5 width=4)\n", 60000, ""),
         "PLAN_TOO_LARGE");
  assert_true(resident_kb(*state, "worker") < worker + 64 * 1024);
}

static void requests_are_checked(void **state) {
  char path[160];
  static const char *const bodies[][2] = {
      {"queries/optimize", "{\"sql\": \"SELECT 1\", \"options\": {\"parameters\": [{}]}}"},
      {"queries/optimize", "{\"sql\": \"SELECT 1\", \"options\": {\"rewrite\": true}}"},
      {"workload/optimize", "{\"source\": \"queries\"}"},
      {"workload/optimize", "{\"source\": \"pg_stat_statements\", \"queries\": [{\"sql\": \"SELECT 1\"}]}"},
      {"workload/optimize", "{\"source\": \"queries\", \"queries\": [{\"sql\": \"SELECT 1\", \"weight\": -1}]}"}};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    REPLY_AUTO reply;
    snprintf(path, sizeof path, "/api/v1/connections/%s/%s", connection, bodies[i][0]);
    harness_http(*state, "POST", path, NULL, bodies[i][1], &reply);
    if (reply.status != 422) fail_msg("%s: %ld %s", bodies[i][1], reply.status, reply.body);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_query_is_planned_and_judged),
                                     cmocka_unit_test(parameters_are_planned_without_values_or_with_those_given),
                                     cmocka_unit_test(parameters_of_lists_and_ranges),
                                     cmocka_unit_test(what_writes_or_does_not_parse_is_refused),
                                     cmocka_unit_test(a_plan_is_read_without_a_connection),
                                     cmocka_unit_test(too_much_of_a_plan_is_refused),
                                     cmocka_unit_test(what_is_cut_off_or_too_deep_fails_in_its_slot),
                                     cmocka_unit_test(requests_are_checked)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
