/* facts.c - the what-if server's plans beside the database's, and what an index is said to take beside what it takes. */
#include "tests/bench/advice/bench.h"

#include "common/buf.h"
#include "common/json.h"
#include "sandbox/whatif.h"
#include "worker/optimizer/index_write.h"

#define LEVEL 0.13 /* a B-tree's level more or less: how many it has depends on how it was filled, and can't be read */

/* --- plans --- */

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
  const char *schema = trade_schema();
  PGconn *real = harness_connect(trade(major));
  const char *const all[] = {NULL, "true"};
  if (sandbox_open(&cfg, NULL, major, &sandbox, &err) || sandbox_clone(sandbox, schema, NULL, NULL, arena, &cloned, &err) ||
      whatif_new(sandbox, ask(real, arena, whatif_read_settings_sql, 0, NULL), arena, &whatif, &err) ||
      whatif_import(whatif, ask(real, arena, whatif_read_relations_sql, 2, all),
                    ask(real, arena, whatif_read_columns_sql(PQserverVersion(real)), 1, all), &report, &err))
    fail_msg("%s", err.message);
  size_t same = 0;
  for (size_t i = 0; i < statement_count; i++) {
    bool equal = same_plan(plan_of(real, arena, statements[i].sql), plan_of(whatif_session(whatif), arena, statements[i].sql));
    same += equal;
    if (!equal) printf("    differs: %.100s\n", statements[i].sql);
  }
  char text[80];
  snprintf(text, sizeof text, "plans that are the database's, PostgreSQL %d, %zu statements", major, statement_count);
  bar(text, 100.0 * (double)same / (double)statement_count, true, 95, "%");
  whatif_free(whatif);
  sandbox_close(sandbox);
  PQfinish(real);
  arena_free(arena);
}

void part_whatif(void) {
  static const int majors[] = {15, 16, 17};
  for (size_t i = 0; i < 3; i++)
    if (harness_has_postgres(majors[i])) plans_of(majors[i]);
}

/* --- setting up --- */

void part_setup(void) {
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

void part_sizes(void) {
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

void part_writes(void) {
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
