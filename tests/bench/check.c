/* bench/check.c - what a static report costs: a 1,000-line migration, and one of five statements, over a schema of 60 tables. Beside it
 * what the parser alone takes for the same text, in the same run: the machine's speed cancels out. Processor time, so that what else runs
 * here counts little.
 *
 *   bench-check          prints: text, lines, report ms (median), parse ms, times the parse; then how it stands to its bar */
#include <pg_query.h>
#include <time.h>

#include "common/buf.h"
#include "common/json.h"
#include "worker/migration/report.h"

#define TABLES 60
#define ROUNDS 41

static json_t *column(const char *name, const char *type, bool nullable) {
  return json_pack("{s:s, s:s, s:b, s:{s:f, s:i}}", "name", name, "type", type, "nullable", nullable, "stats", "null_frac", 0.1,
                   "n_distinct", 40);
}

static json_t *table(int number) {
  json_t *columns = json_array(), *fks = json_array(), *indexes = json_array();
  char name[32], other[32];
  snprintf(name, sizeof name, "t%d", number);
  snprintf(other, sizeof other, "t%d", number ? number - 1 : 0);
  json_array_append_new(columns, column("id", "bigint", false));
  json_array_append_new(columns, column("parent_id", "bigint", true));
  for (int i = 0; i < 12; i++) {
    char text[16];
    snprintf(text, sizeof text, "c%d", i);
    json_array_append_new(columns, column(text, i % 2 ? "text" : "integer", true));
  }
  json_array_append_new(fks, json_pack("{s:s, s:[s], s:s, s:s, s:[s], s:b}", "name", "parent", "columns", "parent_id", "ref_schema",
                                       "public", "ref_table", other, "ref_columns", "id", "validated", 1));
  json_array_append_new(indexes, json_pack("{s:o, s:s, s:[s], s:b, s:b}", "name", json_sprintf("%s_pkey", name), "definition", "",
                                           "columns", "id", "unique", 1, "primary", 1));
  return json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:{s:o, s:[s], s:s}}", "schema", "public", "name", name, "kind", "table",
                   "estimated_rows", 1000 * (number + 1), "total_bytes", 1000000 * (number + 1), "columns", columns, "foreign_keys", fks,
                   "indexes", indexes, "primary_key", "name", json_sprintf("%s_pkey", name), "columns", "id", "definition",
                   "PRIMARY KEY (id)");
}

static json_t *schema(void) {
  json_t *tables = json_array();
  for (int i = 0; i < TABLES; i++) json_array_append_new(tables, table(i));
  return json_pack("{s:s, s:i, s:s, s:s, s:[s], s:o}", "server_version", "17.0", "server_version_num", 170000, "timezone", "UTC",
                   "search_path", "public", "search_path_schemas", "public", "tables", tables);
}

/* A statement to a line, of the forms migrations are made of. */
static void migration(struct buf *sql, int lines) {
  static const char *const forms[] = {"ALTER TABLE t%d ADD COLUMN n%d integer NOT NULL DEFAULT 0;",
                                      "CREATE INDEX i%2$d ON t%1$d (c1, c2);",
                                      "ALTER TABLE t%d ADD CONSTRAINT k%d CHECK (c0 > 0) NOT VALID;",
                                      "CREATE TABLE n%2$d (id bigint PRIMARY KEY, t bigint REFERENCES t%1$d (id), note text);",
                                      "UPDATE t%d SET c0 = %d WHERE c0 IS NULL;",
                                      "ALTER TABLE t%d ALTER COLUMN c1 TYPE varchar(%d);",
                                      "COMMENT ON TABLE t%d IS 'number %d';",
                                      "ALTER TABLE t%1$d VALIDATE CONSTRAINT parent /* %2$d */;",
                                      "CREATE INDEX CONCURRENTLY IF NOT EXISTS j%2$d ON t%1$d (c3);",
                                      "ALTER TABLE t%1$d RENAME COLUMN c9 TO c9_%2$d; ALTER TABLE t%1$d RENAME COLUMN c9_%2$d TO c9;"};
  enum { FORMS = sizeof forms / sizeof *forms };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  for (int i = 0; i < lines; i++) {
    buf_printf(sql, forms[i % FORMS], i * 7 % TABLES, i + 1);
    buf_putc(sql, '\n');
  }
#pragma GCC diagnostic pop
}

static double cpu_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static double report_ms(const struct snapshot *snapshot, const struct buf *sql) {
  ERROR_AUTO err = {0};
  ARENA_AUTO arena = arena_new(1ULL << 30);
  struct analysis *analysis = NULL;
  double started = cpu_ms();
  if (analysis_static(buf_str(sql), sql->len, snapshot, &(struct analysis_options){0}, arena, &analysis, &err)) {
    fprintf(stderr, "%s\n", err.message);
    exit(1);
  }
  json_t *report = report_json(analysis, NULL, NULL, NULL, NULL);
  BUF_AUTO text;
  buf_init(&text, 64 << 20);
  buf_put_json(&text, report);
  double ms = cpu_ms() - started;
  if (!buf_ok(&text) || analysis->script.fault.sqlstate) {
    fprintf(stderr, "the migration does not parse: %s\n", analysis->script.fault.message);
    exit(1);
  }
  json_decref(report);
  return ms;
}

static double parse_ms(const struct buf *sql) {
  double started = cpu_ms();
  pg_query_free_protobuf_parse_result(pg_query_parse_protobuf(buf_str(sql)));
  return cpu_ms() - started;
}

static int by_value(const void *a, const void *b) {
  double left = *(const double *)a, right = *(const double *)b;
  return left < right ? -1 : left > right;
}

static void measure(const struct snapshot *snapshot, const char *title, int lines, double bar_ms) {
  double report[ROUNDS], parse[ROUNDS];
  BUF_AUTO sql;
  buf_init(&sql, 1 << 20);
  migration(&sql, lines);
  for (int i = 0; i < ROUNDS; i++) {
    parse[i] = parse_ms(&sql);
    report[i] = report_ms(snapshot, &sql);
  }
  qsort(report, ROUNDS, sizeof *report, by_value);
  qsort(parse, ROUNDS, sizeof *parse, by_value);
  double ms = report[ROUNDS / 2], base = parse[ROUNDS / 2];
  printf("  %-58s %9.2f ms   <= %.0f ms        %s   (%.1f times the bare parse, %.2f ms)\n", title, ms, bar_ms,
         ms <= bar_ms ? "met" : "missed", ms / base, base);
}

int main(void) {
  ERROR_AUTO err = {0};
  ARENA_AUTO arena = arena_new(1ULL << 28);
  struct snapshot *snapshot = NULL;
  json_t *json = schema();
  if (!json || snapshot_load(json, arena, &snapshot, &err)) return 1;
  measure(snapshot, "static report, 1,000 lines, 60 tables, p50", 1000, 50);
  measure(snapshot, "static report, 5 statements, 60 tables, p50", 5, 5);
  json_decref(json);
  return 0;
}
