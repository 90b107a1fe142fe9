/* advice.c - what the advice about indexes promises, measured: that the what-if server plans as the database does, that indexes are as
 * large and as dear as was said, that a workload's set of them does what was said once it is built, and how long it takes.
 *
 *   bench-advice [plans] [setup] [sizes] [writes] [workload] [latency]     all of them when none is named */
#include <math.h>

#include "tests/support/guarded.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/pg.h"
#include "sandbox/whatif.h"
#include "worker/optimizer/index_write.h"

#define QUERIES_MAX 64
#define LEVEL 0.13 /* a B-tree's level more or less: how many it has depends on how it was filled, and can't be read */

static struct harness *h;
static struct config cfg;
static const char *queries[QUERIES_MAX];
static size_t query_count;
static bool missed;

static void bar(const char *text, double value, bool least, double limit, const char *unit) {
  bool met = least ? value >= limit : value <= limit;
  missed |= !met;
  printf("  %-58s %9.3f %-6s %s %g   %s\n", text, value, unit, least ? ">=" : "<=", limit, met ? "met" : "missed");
}
static void row(const char *text, double value, const char *unit) { printf("  %-58s %9.3f %s\n", text, value, unit); }

/* --- the trade database --- */

static char *read_all(const char *name) {
  char path[300];
  snprintf(path, sizeof path, AUTODB_SOURCE_DIR "/tests/bench/trade/%s", name);
  FILE *file = fopen(path, "re");
  if (!file) fail_msg("%s is missing", path);
  char *text = calloc(1, 1 << 20);
  assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
  fclose(file);
  return text;
}

static void read_queries(void) {
  char *text = read_all("queries.sql"), *next = NULL;
  for (char *line = strtok_r(text, "\n", &next); line && query_count < QUERIES_MAX; line = strtok_r(NULL, "\n", &next)) {
    line[strcspn(line, ";")] = '\0';
    queries[query_count++] = line;
  }
}

static struct harness_pg *server(int major) {
  for (int i = 0; i < h->pg_count; i++)
    if (h->pg[i].major == major) return &h->pg[i];
  return harness_postgres(h, major);
}

static const char *trade(int major) { /* its URL; made once */
  static char urls[30][HARNESS_URL];
  if (urls[major][0]) return urls[major];
  harness_database(server(major), "trade", urls[major]);
  harness_sql_file(urls[major], "tests/bench/trade/schema.sql");
  harness_sql_file(urls[major], "tests/bench/trade/rows.sql");
  harness_sql(urls[major], "VACUUM ANALYZE");
  return urls[major];
}

/* --- plans --- */

static json_t *ask(PGconn *conn, struct arena *arena, const char *sql, int count, const char *const params[]) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  if (pg_query(conn, sql, count, params, &res, &err)) fail_msg("%.100s: %s", sql, err.message);
  return arena_json(arena, json_loads(PQgetvalue(res, 0, 0), 0, NULL));
}

static json_t *plan_of(PGconn *conn, struct arena *arena, const char *query) {
  return json_object_get(json_array_get(ask(conn, arena, arena_printf(arena, "EXPLAIN (FORMAT JSON) %s", query), 0, NULL), 0), "Plan");
}

static double number(const json_t *node, const char *key) { return json_number_value(json_object_get(node, key)); }
static bool near(double a, double b) { return fabs(a - b) <= 0.01 * fmax(fabs(a), fabs(b)) + LEVEL; }

static bool same_plan(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"Node Type", "Relation Name", "Index Name", "Join Type", "Strategy", "Parallel Aware"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])) && json_is_string(json_object_get(a, keys[i]))) return false;
  const json_t *below_a = json_object_get(a, "Plans"), *below_b = json_object_get(b, "Plans");
  if (json_array_size(below_a) != json_array_size(below_b)) return false;
  for (size_t i = 0; i < json_array_size(below_a); i++)
    if (!same_plan(json_array_get(below_a, i), json_array_get(below_b, i))) return false;
  return near(number(a, "Plan Rows"), number(b, "Plan Rows")) && near(number(a, "Total Cost"), number(b, "Total Cost"));
}

static void plans_of(int major) {
  ERROR_AUTO err = {0};
  struct arena *arena = arena_new(512 << 20);
  struct sandbox *sandbox = NULL;
  struct whatif *whatif = NULL;
  struct whatif_report report = {0};
  struct sandbox_clone_report cloned;
  PGconn *real = harness_connect(trade(major));
  const char *const all[] = {NULL, "true"};
  if (sandbox_open(&cfg, NULL, major, &sandbox, &err) || sandbox_clone(sandbox, read_all("schema.sql"), NULL, NULL, arena, &cloned, &err) ||
      whatif_new(sandbox, ask(real, arena, whatif_read_settings_sql, 0, NULL), arena, &whatif, &err) ||
      whatif_import(whatif, ask(real, arena, whatif_read_relations_sql, 2, all),
                    ask(real, arena, whatif_read_columns_sql(PQserverVersion(real)), 1, all), &report, &err))
    fail_msg("%s", err.message);
  size_t same = 0;
  for (size_t i = 0; i < query_count; i++) {
    bool equal = same_plan(plan_of(real, arena, queries[i]), plan_of(whatif_session(whatif), arena, queries[i]));
    same += equal;
    if (!equal) printf("    differs: %.100s\n", queries[i]);
  }
  char text[80];
  snprintf(text, sizeof text, "plans that are the database's, PostgreSQL %d, %zu queries", major, query_count);
  bar(text, 100.0 * (double)same / (double)query_count, true, 95, "%");
  whatif_free(whatif);
  sandbox_close(sandbox);
  PQfinish(real);
  arena_free(arena);
}

static void part_plans(void) {
  static const int majors[] = {15, 16, 17};
  for (size_t i = 0; i < 3; i++)
    if (harness_has_postgres(majors[i])) plans_of(majors[i]);
}

/* --- setting up --- */

static void part_setup(void) {
  ERROR_AUTO err = {0};
  BUF_AUTO schema;
  char url[HARNESS_URL];
  struct arena *arena = arena_new(512 << 20);
  const char *const all[] = {NULL, "true"};
  buf_init(&schema, 4 << 20);
  for (int i = 0; i < 300; i++)
    buf_printf(&schema,
               "CREATE TABLE t%d (id int PRIMARY KEY, a int, b text, c timestamptz, d numeric); CREATE INDEX ON t%d (a); CREATE INDEX ON "
               "t%d (b, c);\n",
               i, i, i);
  harness_database(server(17), "many", url);
  harness_sql(url, buf_str(&schema));
  harness_sql(url, "DO $$ BEGIN FOR i IN 0..299 LOOP EXECUTE format('INSERT INTO t%s SELECT n, n %% 50, md5(n::text), now(), n FROM "
                   "generate_series(1, 300) n', i); END LOOP; END $$");
  harness_sql(url, "ANALYZE");
  PGconn *real = harness_connect(url);
  json_t *settings = ask(real, arena, whatif_read_settings_sql, 0, NULL), *relations = ask(real, arena, whatif_read_relations_sql, 2, all),
         *columns = ask(real, arena, whatif_read_columns_sql(PQserverVersion(real)), 1, all);
  double best = INFINITY;
  for (int round = 0; round < 3; round++) {
    struct sandbox *sandbox = NULL;
    struct whatif *whatif = NULL;
    struct whatif_report report = {0};
    struct sandbox_clone_report cloned;
    if (sandbox_open(&cfg, NULL, 17, &sandbox, &err)) fail_msg("%s", err.message);
    int64_t began = harness_now_ms();
    if (sandbox_clone(sandbox, buf_str(&schema), NULL, NULL, arena, &cloned, &err) || whatif_new(sandbox, settings, arena, &whatif, &err) ||
        whatif_import(whatif, relations, columns, &report, &err))
      fail_msg("%s", err.message);
    best = fmin(best, (double)(harness_now_ms() - began) / 1000);
    assert_int_equal(report.columns, 1500);
    whatif_free(whatif);
    sandbox_close(sandbox);
  }
  bar("what-if server of 300 tables, in a warm sandbox", best, false, 1.5, "s");
  PQfinish(real);
  arena_free(arena);
}

/* --- sizes and writes --- */

static struct facts *facts_of(const char *url, struct arena *arena) {
  struct facts *facts = ARENA_NEW(arena, struct facts);
  PGconn *conn = harness_connect(url);
  const char *const all[] = {NULL, "true"};
  *facts = (struct facts){
      .arena = arena, .snapshot = guarded_look(url, 17, arena), .version_num = PQserverVersion(conn), .activity = json_array()};
  facts->relations = ask(conn, arena, whatif_read_relations_sql, 2, all);
  facts->columns = ask(conn, arena, whatif_read_columns_sql(facts->version_num), 1, all);
  PQfinish(conn);
  return facts;
}

static struct index_spec spec_of(const struct facts *facts, struct arena *arena, const char *table, const char *definition) {
  struct index_spec spec;
  const char *sql = arena_printf(arena, "CREATE INDEX x ON public.%s USING btree %s", table, definition);
  if (!index_spec_read(arena, snapshot_table(facts->snapshot, "public", table), sql, &spec)) fail_msg("%s", sql);
  return spec;
}

static const struct {
  const char *table, *definition, *predicate;
} indexes[] = {{"items", "(good_id)", NULL},
               {"items", "(vendor_id)", NULL},
               {"items", "(shipped)", NULL},
               {"items", "(carrier)", NULL},
               {"items", "(price)", NULL},
               {"items", "(good_id, shipped)", NULL},
               {"items", "(vendor_id, received, due)", NULL},
               {"items", "(returned)", NULL},
               {"items", "(discount)", NULL},
               {"items", "(shipped) INCLUDE (price, discount)", NULL},
               {"items", "(good_id) WHERE returned = 'R'", "returned = 'R'"},
               {"items", "(carrier, state)", NULL},
               {"orders", "(client_id)", NULL},
               {"orders", "(placed)", NULL},
               {"orders", "(clerk)", NULL},
               {"orders", "(client_id, placed DESC)", NULL},
               {"orders", "(remark)", NULL},
               {"orders", "(total)", NULL},
               {"orders", "(state, placed)", NULL},
               {"orders", "(placed) WHERE state = 'P'", "state = 'P'"},
               {"orders", "(urgency, clerk)", NULL},
               {"goods", "(name)", NULL},
               {"goods", "(brand, box)", NULL},
               {"clients", "(segment)", NULL},
               {"clients", "(phone)", NULL},
               {"clients", "(balance)", NULL},
               {"stock", "(vendor_id)", NULL},
               {"stock", "(cost)", NULL}};

static void part_sizes(void) {
  const char *url = trade(17);
  struct arena *arena = arena_new(512 << 20);
  struct facts *facts = facts_of(url, arena);
  double logs = 0, worst = 1;
  size_t count = sizeof indexes / sizeof *indexes;
  for (size_t i = 0; i < count; i++) {
    char sql[300];
    struct index_spec spec = spec_of(facts, arena, indexes[i].table, indexes[i].definition);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE %s", indexes[i].table, indexes[i].predicate ? indexes[i].predicate : "true");
    double said = index_size_estimate(facts, &spec, indexes[i].predicate ? (double)harness_count(url, sql) : -1).bytes;
    snprintf(sql, sizeof sql, "CREATE INDEX sized ON %s %s", indexes[i].table, indexes[i].definition);
    harness_sql(url, sql);
    double real = (double)harness_count(url, "SELECT pg_relation_size('sized')"), off = fmax(said / real, real / said);
    harness_sql(url, "DROP INDEX sized");
    logs += log(off);
    worst = fmax(worst, off);
    if (off > 1.15) printf("    off %.2f: %s %s: %.0f said, %.0f is\n", off, indexes[i].table, indexes[i].definition, said, real);
  }
  char text[80];
  snprintf(text, sizeof text, "S7 size, geometric mean of the error, %zu indexes", count);
  bar(text, exp(logs / (double)count), false, 1.15, "");
  bar("S7 size, the worst", worst, false, 1.5, "");
  arena_free(arena);
}

/* WAL of 20,000 rows put into a table of 100,000, with the index and without. */
static double wal_of(const char *url, const char *definition) {
  char sql[400];
  harness_sql(url, "DROP TABLE IF EXISTS copied; CREATE TABLE copied AS SELECT * FROM items WHERE order_id <= 25000 ORDER BY order_id");
  harness_sql(url, "CREATE TABLE more AS SELECT * FROM items WHERE order_id > 25000 AND order_id <= 30000 ORDER BY order_id");
  if (definition) {
    snprintf(sql, sizeof sql, "CREATE INDEX ON copied %s", definition);
    harness_sql(url, sql);
  }
  harness_sql(url, "CHECKPOINT");
  PGconn *conn = harness_connect(url);
  PGresult *res = PQexec(conn, "SELECT pg_current_wal_insert_lsn()");
  snprintf(sql, sizeof sql, "SELECT pg_current_wal_insert_lsn() - '%s'", PQgetvalue(res, 0, 0));
  PQclear(res);
  PQclear(PQexec(conn, "INSERT INTO copied SELECT * FROM more"));
  res = PQexec(conn, sql);
  double bytes = strtod(PQgetvalue(res, 0, 0), NULL);
  PQclear(res);
  PQfinish(conn);
  harness_sql(url, "DROP TABLE more, copied");
  return bytes / 20000;
}

static void part_writes(void) {
  static const char *const written[] = {"(good_id)",
                                        "(shipped)",
                                        "(order_id)",
                                        "(price)",
                                        "(carrier)",
                                        "(good_id, shipped)",
                                        "(vendor_id, received, due)",
                                        "(returned)",
                                        "(shipped) INCLUDE (price, discount)",
                                        "(quantity)"};
  const char *url = trade(17);
  struct arena *arena = arena_new(512 << 20);
  struct facts *facts = facts_of(url, arena);
  double bare = wal_of(url, NULL), within = 0;
  size_t count = sizeof written / sizeof *written;
  for (size_t i = 0; i < count; i++) {
    struct index_spec spec = spec_of(facts, arena, "items", written[i]);
    struct index_size size = index_size_estimate(facts, &spec, -1);
    double said = index_write_estimate(facts, &spec, &size).wal_per_row, real = wal_of(url, written[i]) - bare;
    bool good = said > 0.7 * real && said < 1.3 * real;
    within += good;
    printf("    %-40s %5.0f bytes of WAL a row said, %5.0f are%s\n", written[i], said, real, good ? "" : " (off)");
  }
  bar("S8 WAL a row within 30 %, of 10 indexes", within, true, 10, "");
  arena_free(arena);
}

/* --- a workload, through the API --- */

static char connection[40];

static void stack(void) {
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", NULL};
  if (connection[0]) return;
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "admin", h->api_key);
  harness_api(h, env);
  harness_worker(h, env);
  REPLY_AUTO reply;
  char body[1024];
  snprintf(body, sizeof body, "{\"name\": \"trade\", \"db_type\": \"postgresql\", \"connection_string\": \"%s\"}", trade(17));
  harness_http(h, "POST", "/api/v1/connections", NULL, body, &reply);
  if (reply.status != 201) fail_msg("%s", reply.body);
  snprintf(connection, sizeof connection, "%s", harness_text(reply.json, "data.id"));
}

static double cost_of_all(PGconn *conn, struct arena *arena) {
  double sum = 0;
  for (size_t i = 0; i < query_count; i++) sum += number(plan_of(conn, arena, queries[i]), "Total Cost");
  return sum;
}

static json_t *advised(json_int_t budget) {
  char path[160];
  json_t *list = json_array();
  for (size_t i = 0; i < query_count; i++) json_array_append_new(list, json_pack("{s:s}", "sql", queries[i]));
  json_t *body = json_pack("{s:s, s:o}", "source", "queries", "queries", list);
  if (budget) json_object_set_new(body, "budget_bytes", json_integer(budget));
  snprintf(path, sizeof path, "/api/v1/connections/%s/workload/optimize", connection);
  json_t *job = harness_job(h, path, body, 600000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s", harness_text(job, "error.message"));
  return job;
}

static void build(const char *sql) {
  char *own = strdup(sql), *word = strstr(own, "CONCURRENTLY ");
  if (word) memmove(word, word + 13, strlen(word + 13) + 1);
  harness_sql(trade(17), own);
  free(own);
}

static void part_workload(void) {
  stack();
  struct arena *arena = arena_new((size_t)1 << 30);
  PGconn *conn = harness_connect(trade(17));
  double before = cost_of_all(conn, arena);
  int64_t began = harness_now_ms();
  json_t *job = advised(0);
  row("time for the whole workload", (double)(harness_now_ms() - began) / 1000, "s");
  const json_t *list = harness_at(job, "result.index_recommendations");
  double said = number(harness_at(job, "result"), "cost_after");
  for (size_t i = 0; i < json_array_size(list); i++) {
    printf("    %s\n", json_str(json_array_get(list, i), "create_sql", ""));
    build(json_str(json_array_get(list, i), "create_sql", ""));
  }
  harness_sql(trade(17), "VACUUM ANALYZE"); /* statistics of expressions */
  double after = cost_of_all(conn, arena), least = INFINITY;
  row("cost before, as the database has it", before, "");
  row("cost after, as it was said", said, "");
  bar("S6 cost after, built, to what was said", fmax(after / said, said / after), false, 1.1, "");
  row("S6 cost saved", 100 * (1 - after / before), "%");
  for (size_t i = 0; i < json_array_size(list); i++) {
    char sql[200];
    snprintf(sql, sizeof sql, "DROP INDEX %s", json_str(json_array_get(list, i), "name", ""));
    PQclear(PQexec(conn, "BEGIN"));
    PQclear(PQexec(conn, sql));
    least = fmin(least, 100 * (cost_of_all(conn, arena) / after - 1));
    PQclear(PQexec(conn, "ROLLBACK"));
  }
  if (json_array_size(list)) bar("S9 cost that the least of them saves", least, true, 2, "%");
  json_decref(job);
  job = advised(0);
  bar("S9 indexes recommended once they are there", (double)json_array_size(harness_at(job, "result.index_recommendations")), false, 0, "");
  json_decref(job);
  PQfinish(conn);
  arena_free(arena);
}

/* --- latency --- */

static int by_value(const void *a, const void *b) {
  double one, two;
  memcpy(&one, a, sizeof one);
  memcpy(&two, b, sizeof two);
  return one < two ? -1 : one > two;
}

static void part_latency(void) {
  static const char four[] =
      "SELECT c.name, o.id, g.name, i.quantity FROM clients c JOIN orders o ON o.client_id = c.id JOIN items i ON i.order_id = o.id JOIN "
      "goods g ON g.id = i.good_id "
      "WHERE c.segment = 'CARS' AND o.clerk = 'Clerk 33' AND i.shipped > date '1997-06-01' ORDER BY o.placed DESC LIMIT 20";
  double times[25];
  char path[160];
  stack();
  snprintf(path, sizeof path, "/api/v1/connections/%s/queries/optimize", connection);
  for (size_t i = 0; i < 25; i++) {
    int64_t began = harness_now_ms();
    json_t *job = harness_job(h, path, json_pack("{s:s}", "sql", four), 60000);
    times[i] = (double)(harness_now_ms() - began);
    if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s", harness_text(job, "error.message"));
    if (i == 0)
      for (size_t k = 0; k < json_array_size(harness_at(job, "result.index_recommendations")); k++)
        printf("    %s\n", json_str(json_array_get(harness_at(job, "result.index_recommendations"), k), "create_sql", ""));
    json_decref(job);
  }
  row("the first", times[0], "ms");
  qsort(times + 1, 24, sizeof *times, by_value);
  bar("a query of four joins, with indexes, p50 warm", times[12], false, 400, "ms");
}

/* --- all --- */

static const struct {
  const char *name;
  void (*run)(void);
} parts[] = {{"plans", part_plans},   {"setup", part_setup},     {"sizes", part_sizes},
             {"writes", part_writes}, {"latency", part_latency}, {"workload", part_workload}};

static int arguments;
static char **words;

static void measure(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  setenv("AUTODB_CONNECTION_ALLOW_CIDRS", "127.0.0.0/8", 1);
  if (config_load(&cfg, &err)) fail_msg("%s", err.message);
  cfg.sandbox_dir = h->sandbox_dir;
  read_queries();
  server(17); /* the first, which has AutoDB's own database as well */
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    bool wanted = arguments < 2;
    for (int k = 1; k < arguments; k++) wanted |= strcmp(words[k], parts[i].name) == 0;
    if (!wanted) continue;
    printf("%s\n", parts[i].name);
    parts[i].run();
    fflush(stdout);
  }
  if (missed) printf("some bars were missed\n");
}

static int setup(void **state) {
  *state = h = harness_new();
  return 0;
}

int main(int argc, char **argv) {
  arguments = argc;
  words = argv;
  const struct CMUnitTest tests[] = {cmocka_unit_test(measure)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
