/* main.c - what the optimizer's advice promises, measured: that the what-if server plans as the database does, that indexes are as large
 * and as dear as was said, that a set of them does what was said once it is built, and more than what simpler rules choose; that rewrites
 * are faster; and how long it takes. Started by tests/bench/optimizer.
 *
 *   bench-advice [PART…]     all parts when none is named */
#include "tests/bench/advice/bench.h"

#include <stdlib.h>

#include "common/json.h"
#include "common/pg.h"

struct harness *h;
struct config cfg;
struct statement statements[64];
size_t statement_count;
static bool missed;

void bar(const char *text, double value, bool least, double limit, const char *unit) {
  bool met = least ? value >= limit : value <= limit;
  missed |= !met;
  printf("  %-58s %9.3f %-6s %s %g   %s\n", text, value, unit, least ? ">=" : "<=", limit, met ? "met" : "missed");
}
void row(const char *text, double value, const char *unit) { printf("  %-58s %9.3f %s\n", text, value, unit); }

/* --- the trade database --- */

static const char *read_all(const char *name) {
  static char text[1 << 20];
  char path[300];
  snprintf(path, sizeof path, AUTODB_SOURCE_DIR "/tests/bench/trade/%s", name);
  FILE *file = fopen(path, "re");
  if (!file) fail_msg("%s is missing", path);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  return text;
}

void read_statements(void) {
  char *next = NULL, *line = strtok_r(strdup(read_all("queries.sql")), "\n", &next);
  struct statement like = {.weight = 1};
  for (; line && statement_count < sizeof statements / sizeof *statements; line = strtok_r(NULL, "\n", &next)) {
    char kind[16];
    if (sscanf(line, "-- %15s %lf", kind, &like.weight) == 2) {
      like.kind = strcmp(kind, "report") == 0 ? REPORT : strcmp(kind, "lookup") == 0 ? LOOKUP : WRITE;
      continue;
    }
    line[strcspn(line, ";")] = '\0';
    statements[statement_count] = like;
    statements[statement_count++].sql = line;
  }
}

const char *trade_schema(void) { return read_all("schema.sql"); }

struct harness_pg *server(int major) {
  for (int i = 0; i < h->pg_count; i++)
    if (h->pg[i].major == major) return &h->pg[i];
  return harness_postgres(h, major);
}

const char *trade(int major) {
  static char urls[30][HARNESS_URL];
  if (urls[major][0]) return urls[major];
  harness_database(server(major), "trade", urls[major]);
  harness_sql_file(urls[major], "tests/bench/trade/schema.sql");
  harness_sql_file(urls[major], "tests/bench/trade/rows.sql");
  harness_sql(urls[major], "VACUUM ANALYZE");
  return urls[major];
}

void trade_copy(const char *name, char out[HARNESS_URL]) {
  char sql[200];
  const char *from = trade(17), *slash = strrchr(from, '/');
  snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS %s WITH (FORCE)", name);
  harness_sql(server(17)->url, sql);
  snprintf(sql, sizeof sql, "CREATE DATABASE %s TEMPLATE trade STRATEGY file_copy", name);
  harness_sql(server(17)->url, sql);
  snprintf(out, HARNESS_URL, "%.*s/%s", (int)(slash - from), from, name);
}

/* --- asking --- */

json_t *ask(PGconn *conn, struct arena *arena, const char *sql, int count, const char *const params[]) {
  ERROR_AUTO err = {0};
  PGRESULT_AUTO res = NULL;
  if (pg_query(conn, sql, count, params, &res, &err)) fail_msg("%.100s: %s", sql, err.message);
  return arena_json(arena, json_loads(PQgetvalue(res, 0, 0), 0, NULL));
}

json_t *plan_of(PGconn *conn, struct arena *arena, const char *sql) {
  return json_object_get(json_array_get(ask(conn, arena, arena_printf(arena, "EXPLAIN (FORMAT JSON) %s", sql), 0, NULL), 0), "Plan");
}

double number(const json_t *node, const char *key) { return json_number_value(json_object_get(node, key)); }

static void stack(void) {
  static const char *const env[] = {"AUTODB_CONNECTION_ALLOW_CIDRS=127.0.0.0/8", NULL};
  if (h->api_port) return;
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "admin", h->api_key);
  harness_api(h, env);
  harness_worker(h, env);
}

static const char *connection_to(const char *url) {
  static struct { char url[HARNESS_URL], id[40]; } known[16];
  size_t at = 0;
  stack();
  for (; known[at].url[0]; at++)
    if (strcmp(known[at].url, url) == 0) return known[at].id;
  harness_connection(h, strrchr(url, '/') + 1, url, known[at].id);
  snprintf(known[at].url, sizeof known[at].url, "%s", url);
  return known[at].id;
}

json_t *job_of(const char *url, const char *what, json_t *take_body) {
  char path[160];
  snprintf(path, sizeof path, "/api/v1/connections/%s/%s", connection_to(url), what);
  json_t *job = harness_job(h, path, take_body, 600000);
  if (strcmp(harness_text(job, "status"), "succeeded") != 0) fail_msg("%s", harness_text(job, "error.message"));
  return job;
}

void build(const char *url, const char *create_sql) {
  char *own = strdup(create_sql), *word = strstr(own, "CONCURRENTLY ");
  if (word) memmove(word, word + 13, strlen(word + 13) + 1);
  harness_sql(url, own);
  free(own);
}

/* --- all --- */

static const struct {
  const char *name;
  void (*run)(void);
} parts[] = {{"gain", part_gain},         {"peers", part_peers},   {"sizes", part_sizes}, {"writes", part_writes},
             {"workload", part_workload}, {"whatif", part_whatif}, {"setup", part_setup}, {"latency", part_latency}};

static int arguments;
static char **words;

static void measure(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  setenv("AUTODB_CONNECTION_ALLOW_CIDRS", "127.0.0.0/8", 1);
  if (config_load(&cfg, &err)) fail_msg("%s", err.message);
  cfg.sandbox_dir = h->sandbox_dir;
  read_statements();
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
  setvbuf(stdout, NULL, _IOLBF, 0);
  arguments = argc;
  words = argv;
  const struct CMUnitTest tests[] = {cmocka_unit_test(measure)};
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
