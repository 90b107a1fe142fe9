/* `autodb check`, run as a program on directories of files. */
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "tests/support/harness.h"

#define AUTODB AUTODB_BINARY_DIR "/autodb"
#define OUTPUT_MAX (8 << 20)

struct fixture {
  struct harness *h;
  char dir[HARNESS_PATH + 32]; /* of this test; commands run in it */
};
static struct fixture fx;

static int group_setup(void **state) {
  fx.h = harness_new();
  *state = fx.h;
  return 0;
}

static int each_setup(void **state) {
  (void)state;
  static int round;
  snprintf(fx.dir, sizeof fx.dir, "%s/check-%d", fx.h->dir, ++round);
  return mkdir(fx.dir, 0700);
}

/* --- files and runs --- */

static void put_bytes(const char *name, const void *bytes, size_t len) {
  char path[HARNESS_PATH + 256];
  snprintf(path, sizeof path, "%s/%s", fx.dir, name);
  for (char *slash = path + strlen(fx.dir) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
    *slash = 0;
    mkdir(path, 0700);
  }
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  fclose(file);
}

static void put(const char *name, const char *text) { put_bytes(name, text, strlen(text)); }

static char *slurp(const char *name) {
  char path[HARNESS_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", fx.dir, name);
  FILE *file = fopen(path, "re");
  assert_non_null(file);
  char *text = calloc(1, OUTPUT_MAX);
  assert_non_null(text);
  assert_true(fread(text, 1, OUTPUT_MAX - 1, file) < OUTPUT_MAX - 1);
  fclose(file);
  return text;
}

/* Runs `autodb check ARGS` in the test's directory; what it printed is in files "out" and "err" there. before: shell words in front. */
static int check_with(const char *before, const char *args) {
  char line[4096];
  snprintf(line, sizeof line, "cd '%s' && %s " AUTODB " check %s >.out 2>.err", fx.dir, before, args);
  char **env = harness_env(fx.h, (const char *[]){NULL});
  int status = harness_run(fx.h, "/bin/sh", (const char *const[]){"sh", "-c", line, NULL}, (const char *const *)env, NULL);
  harness_env_free(env);
  return status;
}

static int check(const char *args) { return check_with("", args); }

static void expect_in(const char *file, const char *part) {
  char *text = slurp(file);
  if (!strstr(text, part)) fail_msg("no \"%s\" in %s: %s", part, file, text);
  free(text);
}

static void expect(int want, const char *args, const char *file, const char *part) {
  int status = check(args);
  char *out = slurp(".out"), *err = slurp(".err");
  if (status != want) fail_msg("check %s: exit %d, want %d\n%s\n%s", args, status, want, out, err);
  free(out);
  free(err);
  expect_in(file, part);
}

/* The JSON of a run with those arguments; a new reference. */
static json_t *check_json(int want, const char *args) {
  char line[2048];
  snprintf(line, sizeof line, "%s --format json", args);
  int status = check(line);
  char *text = slurp(".out"), *err = slurp(".err");
  json_t *json = json_loads(text, 0, NULL);
  if (status != want || !json) fail_msg("check %s: exit %d, want %d\n%s\n%s", line, status, want, text, err);
  free(text);
  free(err);
  return json;
}

static const char *path_at(const json_t *json, size_t index) {
  return json_string_value(json_object_get(json_array_get(json_object_get(json, "files"), index), "path"));
}

/* --- formats --- */

struct file {
  const char *name, *text;
};
static const struct format_case {
  const char *format;
  struct file files[8];
  const char *order[6];
  int statements[6]; /* of each file in that order */
  int line;          /* of the first statement of the first file */
} formats[] = {{"flyway",
                {{"m/V10__ten.sql", "CREATE TABLE c (i int);"},
                 {"m/V2__two.sql", "CREATE TABLE b (i int);"},
                 {"m/V1.5__between.sql", "CREATE TABLE ab (i int);"},
                 {"m/sub/V1__one.sql", "\n\nCREATE TABLE a (i int); SELECT 1;"},
                 {"m/U10__undo.sql", "DROP TABLE c;"},
                 {"m/R__views.sql", "CREATE OR REPLACE VIEW v AS SELECT 1;"},
                 {"m/B2__baseline.sql", "CREATE TABLE a (i int); CREATE TABLE b (i int);"}},
                {"m/sub/V1__one.sql", "m/V1.5__between.sql", "m/V2__two.sql", "m/V10__ten.sql", "m/R__views.sql"},
                {2, 1, 1, 1, 1},
                3},
               {"golang-migrate",
                {{"m/000010_c.up.sql", "CREATE TABLE c (i int);"},
                 {"m/000010_c.down.sql", "DROP TABLE c;"},
                 {"m/000002_b.up.sql", "CREATE TABLE b (i int);"},
                 {"m/000002_b.down.sql", "DROP TABLE b;"}},
                {"m/000002_b.up.sql", "m/000010_c.up.sql"},
                {1, 1},
                1},
               {"sqlx",
                {{"m/20240102000000_b.sql", "CREATE TABLE b (i int);"}, {"m/20230102000000_a.sql", "CREATE TABLE a (i int);"}},
                {"m/20230102000000_a.sql", "m/20240102000000_b.sql"},
                {1, 1},
                1},
               {"diesel",
                {{"m/2024-01-02-000000_b/up.sql", "CREATE TABLE b (i int);"},
                 {"m/2024-01-02-000000_b/down.sql", "DROP TABLE b;"},
                 {"m/2023-01-02-000000_a/up.sql", "CREATE TABLE a (i int);"},
                 {"m/2023-01-02-000000_a/down.sql", "DROP TABLE a;"}},
                {"m/2023-01-02-000000_a/up.sql", "m/2024-01-02-000000_b/up.sql"},
                {1, 1},
                1},
               {"prisma",
                {{"m/20240102_b/migration.sql", "CREATE TABLE b (i int);"}, {"m/20230102_a/migration.sql", "CREATE TABLE a (i int);"}},
                {"m/20230102_a/migration.sql", "m/20240102_b/migration.sql"},
                {1, 1},
                1},
               {"dbmate",
                {{"m/20240102_b.sql", "-- migrate:up\nCREATE TABLE b (i int);\n-- migrate:down\nDROP TABLE b;\n"},
                 {"m/20230102_a.sql", "-- migrate:down\nDROP TABLE a;\n-- migrate:up\n\nCREATE TABLE a (i int);\n"}},
                {"m/20230102_a.sql", "m/20240102_b.sql"},
                {1, 1},
                5},
               {"goose",
                {{"m/00002_b.sql", "-- +goose Up\nCREATE TABLE b (i int);\n-- +goose Down\nDROP TABLE b;\n"},
                 {"m/00001_a.sql", "-- +goose Up\n-- +goose StatementBegin\nDO $$ BEGIN\n  PERFORM 1;\nEND $$;\n-- +goose StatementEnd\n"
                                   "CREATE TABLE a (i int);\n\n-- +goose Down\nDROP TABLE a;"}},
                {"m/00001_a.sql", "m/00002_b.sql"},
                {2, 1},
                3},
               {"plain",
                {{"m/10.sql", "CREATE TABLE c (i int);"},
                 {"m/9.sql", "BEGIN;\nCREATE TABLE b (i int);\nCOMMIT;"},
                 {"m/structure.SQL", "SELECT 1;"},
                 {"m/.hidden.sql", "DROP TABLE c;"},
                 {"m/notes.md", "not SQL"}},
                {"m/9.sql", "m/10.sql", "m/structure.SQL"},
                {3, 1, 1},
                1}};

static void each_format_is_found_ordered_and_cut(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    const struct format_case *c = &formats[i];
    if (i) each_setup(state);
    for (const struct file *file = c->files; file->name; file++) put(file->name, file->text);
    json_t *json = check_json(0, "m --no-sandbox --fail-on never");
    size_t count = 0;
    for (; c->order[count]; count++) {
      char at[64];
      snprintf(at, sizeof at, "files.%zu.report.total_statements", count);
      if (!path_at(json, count)) fail_msg("%s: only %zu files", c->format, count);
      assert_string_equal(path_at(json, count), c->order[count]);
      assert_int_equal(harness_int(json, at), c->statements[count]);
      assert_string_equal(harness_text(json_array_get(json_object_get(json, "files"), count), "format"), c->format);
    }
    assert_int_equal(harness_int(json, "summary.files"), count);
    assert_int_equal(harness_int(json, "files.0.report.statements.0.location.line"), c->line);
    json_decref(json);
  }
}

static void a_baseline_stands_for_what_is_gone(void **state) {
  (void)state;
  put("m/B2__base.sql", "CREATE TABLE a (i int);");
  put("m/V3__next.sql", "ALTER TABLE a ADD COLUMN j int;");
  json_t *json = check_json(0, "m --no-sandbox --fail-on never");
  assert_string_equal(path_at(json, 0), "m/B2__base.sql");
  assert_string_equal(path_at(json, 1), "m/V3__next.sql");
  json_decref(json);
}

static void a_format_can_be_forced(void **state) {
  (void)state;
  put("m/V2__b.sql", "SELECT 1;");
  put("m/other.sql", "SELECT 1;");
  json_t *json = check_json(0, "m --no-sandbox --migrations-format plain");
  assert_int_equal(harness_int(json, "summary.files"), 2);
  json_decref(json);
  expect(2, "m --migrations-format liquibase", ".err", "flyway, prisma, diesel");
}

static void files_on_the_command_line_are_ordered_too(void **state) {
  (void)state;
  put("m/V2__b.sql", "ALTER TABLE a ADD COLUMN j int;");
  put("m/V10__c.sql", "ALTER TABLE a ADD COLUMN k int;");
  put("m/V1__a.sql", "CREATE TABLE a (i int);");
  json_t *json = check_json(0, "m/*.sql m/V2__b.sql --no-sandbox --fail-on never");
  assert_int_equal(harness_int(json, "summary.files"), 3);
  assert_string_equal(path_at(json, 0), "m/V1__a.sql");
  assert_string_equal(path_at(json, 2), "m/V10__c.sql");
  json_decref(json);
}

/* --- what a tool puts around it --- */

static const char *failure(const json_t *json) { return harness_text(json, "files.0.report.sandbox_result.migration_error.sqlstate"); }

static void the_tools_transaction_is_part_of_it(void **state) {
  (void)state;
  static const struct {
    const char *name, *text, *sqlstate;
  } cases[] = {
      {"m/1_a.sql", "-- +goose Up\nCREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY k ON a (i);\n-- +goose Down\n", "25001"},
      {"m/1_a.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY k ON a (i);\n", ""},
      {"m/1_a.sql", "-- migrate:up\nCREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY k ON a (i);\n", "25001"},
      {"m/1_a.sql", "-- migrate:up transaction:false\nCREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY k ON a (i);\n", ""},
      {"m/1_a.up.sql", "CREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY k ON a (i);\n", "25001"},
      {"m/20240101000000_a.sql", "-- no-transaction\nVACUUM;", ""},
      {"m/20240101000000_a.sql", "VACUUM;", "25001"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (i) each_setup(state);
    put(cases[i].name, cases[i].text);
    json_t *json = check_json(*cases[i].sqlstate ? 1 : 0, *cases[i].sqlstate ? "m" : "m --fail-on never");
    if (strcmp(failure(json), cases[i].sqlstate) != 0) fail_msg("%s: \"%s\", want \"%s\"", cases[i].text, failure(json), cases[i].sqlstate);
    json_decref(json);
  }
}

/* --- exit codes and thresholds --- */

static void exit_codes(void **state) {
  (void)state;
  put("warned/1.sql", "CREATE TABLE a (i int);");
  put("warned/2.sql", "SET lock_timeout = '1s'; ALTER TABLE a DROP COLUMN i;");
  put("clean/1.sql", "CREATE TABLE a (i bigint PRIMARY KEY);");
  put("broken/1.sql", "CREATE TABLE a (i int);\nSELEC 2;");
  put("failing/1.sql", "ALTER TABLE nowhere ADD COLUMN i int;");
  put("rows/1.sql", "CREATE TABLE a (i bigint PRIMARY KEY);");
  put("rows/2.sql", "INSERT INTO a SELECT g FROM generate_series(1, 100) g;");
  expect(0, "clean --no-sandbox --fail-on info", ".out", "1 file: 0 errors");
  expect(0, "warned --no-sandbox", ".out", "drop-column");
  expect(1, "warned --no-sandbox --fail-on warning", ".out", "drop-column");
  expect(1, "warned --no-sandbox --fail-on-score 20", ".out", "drop-column");
  expect(0, "warned --no-sandbox --fail-on-score 100 --fail-on never", ".out", "drop-column");
  expect(0, "warned --no-sandbox --fail-on never", ".out", "drop-column");
  expect(1, "broken --no-sandbox", ".out", "syntax-error");
  expect(1, "failing", ".out", "42P01");
  expect(0, "failing --fail-on never", ".out", "42P01");
  expect(0, "rows", ".out", "depends-on-rows"); /* a collision with ours is a warning */
  expect(1, "rows --fail-on warning", ".out", "23505");
  put("literal/1.sql", "CREATE TABLE a (i bigint PRIMARY KEY, j int NOT NULL CHECK (j > 0));");
  put("literal/2.sql", "INSERT INTO a VALUES (1, 0);");
  expect(1, "literal", ".out", "23514"); /* with any rows */
}

static void wrong_usage(void **state) {
  (void)state;
  put("m/1.sql", "SELECT 1;");
  static const char *const cases[][2] = {{"", "names no file"},
                                         {"m --format xml", "text, json, sarif or github"},
                                         {"m --fail-on fatal", "info, warning, error or never"},
                                         {"m --fail-on-score 101", "from 1 to 100"},
                                         {"m --fail-on-score x", "from 1 to 100"},
                                         {"m --pg-version 9", "from 13 to 18"},
                                         {"m --timeout 0", "from 1 to 3600"},
                                         {"m --last 0", "from 1 to"},
                                         {"m --ignore no-such-rule", "no rule `no-such-rule`"},
                                         {"m --schema a --database b", "exclude each other"},
                                         {"m --no-sandbox --require-sandbox", "exclude each other"},
                                         {"m --only other.sql", "not one of the migrations"},
                                         {"m --wat", "no option --wat"},
                                         {"m --schema missing.sql", "missing.sql"},
                                         {"m --database postgresql://127.0.0.1:1/x", "autodb: "},
                                         {"nowhere", "nowhere: No such file"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) expect(2, cases[i][0], ".err", cases[i][1]);
}

/* --- output --- */

static void put_findings(void) {
  put("a b/1.sql", "CREATE TABLE users (id bigint PRIMARY KEY, email text, name text);");
  put("a b/2.sql",
      "-- autodb:ignore drop-column nobody reads it\nALTER TABLE users DROP COLUMN email;\n\n  ALTER TABLE users\n    DROP COLUMN name;\n");
}

static void text_is_plain_and_short(void **state) {
  (void)state;
  put_findings();
  expect(0, "'a b' --no-sandbox", ".out", "a b/2.sql");
  expect_in(".out", "drop-column suppressed");
  expect_in(".out", "public.users: column name");
  expect_in(".out", "2 files: 0 errors");
  char *text = slurp(".out");
  assert_null(strchr(text, '\033'));
  free(text);
}

static void json_holds_the_reports(void **state) {
  (void)state;
  put_findings();
  json_t *json = check_json(1, "'a b' --no-sandbox --fail-on warning");
  assert_string_equal(harness_text(json, "files.1.path"), "a b/2.sql");
  assert_true(json_is_null(harness_at(json, "files.1.error")));
  assert_int_equal(harness_int(json, "files.1.report.total_statements"), 2);
  assert_true(json_is_true(harness_at(json, "files.1.report.statements.0.findings.0.suppressed")));
  assert_true(harness_int(json, "files.1.report.risk_score") > 0);
  assert_int_equal(harness_int(json, "summary.files"), 2);
  assert_int_equal(harness_int(json, "summary.suppressed"), 1);
  assert_true(json_is_true(harness_at(json, "summary.over_threshold")));
  assert_string_equal(harness_text(json, "files.0.sandbox"), "skipped");
  json_decref(json);
}

/* The result of that rule in that line; NULL. */
static const json_t *sarif_result(const json_t *sarif, const char *rule, int line) {
  size_t index;
  json_t *result;
  json_array_foreach(harness_at(sarif, "runs.0.results"), index,
                     result) if (strcmp(harness_text(result, "ruleId"), rule) == 0 &&
                                 harness_int(result, "locations.0.physicalLocation.region.startLine") == line) return result;
  return NULL;
}

static void sarif_has_rules_places_and_suppressions(void **state) {
  (void)state;
  put_findings();
  assert_int_equal(check("'a b' --no-sandbox --format sarif"), 0);
  char *text = slurp(".out");
  json_t *sarif = json_loads(text, 0, NULL);
  free(text);
  assert_string_equal(harness_text(sarif, "version"), "2.1.0");
  assert_string_equal(harness_text(sarif, "runs.0.tool.driver.name"), "autodb");
  const json_t *silent = sarif_result(sarif, "drop-column", 2), *loud = sarif_result(sarif, "drop-column", 4);
  assert_non_null(silent);
  assert_non_null(loud);
  assert_string_equal(harness_text(silent, "suppressions.0.kind"), "inSource");
  assert_string_equal(harness_text(silent, "suppressions.0.justification"), "nobody reads it");
  assert_int_equal(json_array_size(harness_at(loud, "suppressions")), 0);
  assert_string_equal(harness_text(loud, "level"), "warning");
  assert_string_equal(harness_text(loud, "locations.0.physicalLocation.artifactLocation.uri"), "a%20b/2.sql");
  assert_string_equal(harness_text(loud, "locations.0.physicalLocation.artifactLocation.uriBaseId"), "%SRCROOT%");
  assert_int_equal(harness_int(loud, "locations.0.physicalLocation.region.startColumn"), 3);
  assert_int_equal(harness_int(loud, "locations.0.physicalLocation.region.endLine"), 5);
  assert_int_equal(harness_int(loud, "locations.0.physicalLocation.region.endColumn"), 21);
  assert_int_equal(strlen(harness_text(loud, "partialFingerprints.autodbFinding/v1")), 64);
  char rule[64];
  snprintf(rule, sizeof rule, "runs.0.tool.driver.rules.%lld.id", harness_int(loud, "ruleIndex"));
  assert_string_equal(harness_text(sarif, rule), "drop-column");
  snprintf(rule, sizeof rule, "runs.0.tool.driver.rules.%lld.help.text", harness_int(loud, "ruleIndex"));
  assert_true(strlen(harness_text(sarif, rule)) > 20);
  json_decref(sarif);
}

static void fingerprints_outlive_moved_lines(void **state) {
  (void)state;
  char hashes[2][65];
  for (int i = 0; i < 2; i++) {
    put("m/1.sql", i ? "\n\n\nCREATE INDEX k ON t (a);" : "CREATE INDEX k ON t (a);");
    put("s.sql", "CREATE TABLE t (a int);");
    assert_int_equal(check("m --no-sandbox --schema s.sql --format sarif"), 1);
    char *text = slurp(".out");
    json_t *sarif = json_loads(text, 0, NULL);
    const json_t *result = sarif_result(sarif, "create-index-blocking", i ? 4 : 1);
    assert_non_null(result);
    snprintf(hashes[i], sizeof hashes[i], "%s", harness_text(result, "partialFingerprints.autodbFinding/v1"));
    json_decref(sarif);
    free(text);
  }
  assert_string_equal(hashes[0], hashes[1]);
}

static void github_commands_are_escaped(void **state) {
  (void)state;
  put("a,b:c%/1.sql", "CREATE TABLE users (id bigint PRIMARY KEY, \"100%\r\n::error::x\" text);");
  put("a,b:c%/2.sql", "ALTER TABLE users DROP COLUMN \"100%\r\n::error::x\";");
  expect(0, "'a,b:c%' --no-sandbox --format github", ".out", "::warning file=a%2Cb%3Ac%25/2.sql,line=1,");
  expect_in(".out", "title=drop-column::");
  expect_in(".out", "100%25%0D%0A::error::x");
  char *text = slurp(".out");
  assert_null(strstr(text, "\n::error::x"));
  free(text);
}

static void rules_can_be_ignored(void **state) {
  (void)state;
  put("s.sql", "CREATE TABLE t (a int);");
  put("m/1.sql", "CREATE INDEX k ON t (a);");
  expect(1, "m --no-sandbox --schema s.sql", ".out", "error create-index-blocking");
  expect(0, "m --no-sandbox --schema s.sql --ignore create-index-blocking --ignore=drop-column", ".out",
         "create-index-blocking suppressed");
}

/* --- the schema between files --- */

static void put_history(void) {
  char name[64], text[512];
  for (int i = 1; i <= 30; i++) {
    snprintf(name, sizeof name, "m/V%d__step.sql", i);
    if (i == 1)
      snprintf(text, sizeof text, "CREATE EXTENSION IF NOT EXISTS hstore; CREATE TABLE base (id bigint PRIMARY KEY, n0 int);");
    else if (i == 7)
      snprintf(text, sizeof text, "DO $$ BEGIN EXECUTE 'CREATE TABLE hidden (id bigint PRIMARY KEY)'; END $$;");
    else if (i == 8)
      snprintf(text, sizeof text, "CREATE INDEX CONCURRENTLY base_n1 ON base (n2);\nINSERT INTO base VALUES (1000, 1);");
    else
      snprintf(text, sizeof text, "ALTER TABLE base ADD COLUMN fresh int;\nALTER TABLE base RENAME COLUMN fresh TO n%d;", i);
    put(name, text);
  }
  put("m/V31__last.sql", "ALTER TABLE hidden ADD COLUMN note text; ALTER TABLE base DROP COLUMN n30;");
}

static void a_history_is_replayed_without_being_reported(void **state) {
  (void)state;
  put_history();
  json_t *json = check_json(0, "m --last 1 --fail-on never");
  assert_int_equal(harness_int(json, "summary.files"), 1);
  assert_int_equal(harness_int(json, "summary.history"), 30);
  assert_int_equal(json_array_size(harness_at(json, "history_problems")), 0);
  assert_string_equal(path_at(json, 0), "m/V31__last.sql");
  assert_string_equal(harness_text(json, "files.0.sandbox"), "passed"); /* hidden is there: made by a DO block */
  assert_true(json_is_true(harness_at(json, "files.0.report.sandbox_result.rollback_verified")) ||
              json_is_true(harness_at(json, "files.0.report.rollback_plan.has_irreversible")));
  json_decref(json);
  json = check_json(0, "m --only m/V30__step.sql --only ./m/V2__step.sql --fail-on never");
  assert_int_equal(harness_int(json, "summary.files"), 2);
  assert_string_equal(path_at(json, 0), "m/V2__step.sql");
  assert_string_equal(harness_text(json, "files.1.sandbox"), "passed");
  json_decref(json);
}

static void every_file_of_a_history_passes(void **state) {
  (void)state;
  put_history();
  json_t *json = check_json(0, "m --fail-on never");
  assert_int_equal(harness_int(json, "summary.files"), 31);
  for (size_t i = 0; i < 31; i++) {
    char at[64];
    snprintf(at, sizeof at, "files.%zu.sandbox", i);
    if (strcmp(harness_text(json, at), "passed") != 0) fail_msg("%s: %s", path_at(json, i), harness_text(json, at));
  }
  json_decref(json);
}

static void without_a_server_the_analysis_hands_on_the_schema(void **state) {
  (void)state;
  put("m/1.sql", "CREATE TABLE parent (id bigint PRIMARY KEY); CREATE TABLE child (id bigint PRIMARY KEY, p bigint);\n"
                 "CREATE TYPE mood AS ENUM ('ok'); CREATE VIEW seen AS SELECT id FROM parent;");
  put("m/2.sql", "ALTER TABLE child RENAME TO kid; ALTER TABLE kid ADD CONSTRAINT k FOREIGN KEY (p) REFERENCES parent (id);");
  put("m/3.sql", "ALTER TABLE parent RENAME COLUMN id TO key;\nDROP TABLE kid;");
  json_t *json = check_json(0, "m --no-sandbox --fail-on never");
  const json_t *last = json_array_get(json_object_get(json, "files"), 2);
  char *text = json_dumps(last, 0);
  assert_non_null(strstr(text, "public.kid"));                      /* known by its new name … */
  assert_non_null(strstr(text, "the rows of public.kid are gone")); /* … as a table that others may use */
  assert_non_null(strstr(text, "public.parent"));
  assert_true(harness_int(last, "report.risk_score") >= 50);
  free(text);
  json_decref(json);
}

static void a_safer_way_is_tried_too(void **state) {
  (void)state;
  put("m/1.sql", "CREATE TABLE orders (id bigint PRIMARY KEY, total numeric);");
  put("m/2.sql", "CREATE INDEX orders_total ON orders (total);");
  json_t *json = check_json(1, "m");
  assert_true(json_is_true(harness_at(json, "files.1.report.safer_migration.sandbox_passed")));
  assert_non_null(strstr(harness_text(json, "files.1.report.safer_migration.script"), "CONCURRENTLY"));
  json_decref(json);
  expect(1, "m --last 1", ".out", "A safer way to the same schema");
}

static void a_file_that_fails_leaves_the_rest_of_it(void **state) {
  (void)state;
  put("m/1.sql", "CREATE TABLE a (i int);\nSELECT no_such_function();\nCREATE TABLE b (i int);");
  put("m/2.sql", "ALTER TABLE a ADD COLUMN j int; ALTER TABLE b ADD COLUMN j int;");
  json_t *json = check_json(1, "m");
  assert_string_equal(harness_text(json, "files.0.sandbox"), "failed");
  assert_string_equal(harness_text(json, "files.1.sandbox"), "passed");
  assert_non_null(strstr(harness_text(json, "history_problems.0.message"), "line 2"));
  json_decref(json);
}

static void the_schema_may_come_from_a_script(void **state) {
  (void)state;
  put("s.sql", "SET client_encoding = 'UTF8';\nCREATE SCHEMA shop;\nCREATE TABLE shop.orders (id bigint PRIMARY KEY);\n"
               "CREATE ROLE reader;\nGRANT SELECT ON shop.orders TO reader;\n");
  put("m/1.sql", "ALTER TABLE shop.orders ADD COLUMN note text;\nGRANT SELECT ON shop.orders TO reader;");
  json_t *json = check_json(0, "m --schema s.sql --fail-on never");
  assert_string_equal(harness_text(json, "files.0.sandbox"), "passed");
  assert_string_equal(harness_text(json, "files.0.report.affected_tables.0.table"), "shop.orders");
  json_decref(json);
  json = check_json(0, "m --schema s.sql --no-sandbox --fail-on never");
  assert_string_equal(harness_text(json, "files.0.report.affected_tables.0.table"), "shop.orders");
  json_decref(json);
}

static void the_schema_may_come_from_a_database(void **state) {
  (void)state;
  struct harness_pg *pg = fx.h->pg_count ? &fx.h->pg[0] : harness_postgres(fx.h, 17);
  char url[HARNESS_URL], args[HARNESS_URL + 64];
  harness_database(pg, "check_live", url);
  harness_sql(url, "CREATE TABLE big (id bigint, v text); INSERT INTO big SELECT i, repeat('x', 200) FROM generate_series(1, 50000) i; "
                   "ANALYZE big;");
  put("m/1.sql", "CREATE TABLE small (id bigint);");
  put("m/2.sql", "ALTER TABLE big ALTER COLUMN id TYPE numeric;");
  snprintf(args, sizeof args, "m --database '%s' --fail-on never", url);
  json_t *live = check_json(0, args);
  assert_string_equal(harness_text(live, "files.1.sandbox"), "passed");
  assert_true(harness_int(live, "files.1.report.statements.0.estimated_duration_ms") > 100); /* its size was carried over the replay */
  json_decref(live);
  assert_int_equal(harness_count(url, "SELECT count(*) FROM pg_tables WHERE tablename = 'small'"), 0);
  assert_int_equal(harness_count(url, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'big' AND data_type = 'bigint'"),
                   1);
}

/* --- bad input --- */

static void what_cannot_be_read_is_said(void **state) {
  (void)state;
  put("m/1.sql", "CREATE TABLE a (i int);");
  put("m/2.sql", "SELECT 1;");
  char path[HARNESS_PATH + 64];
  snprintf(path, sizeof path, "%s/m/2.sql", fx.dir);
  chmod(path, 0);
  json_t *json = check_json(2, "m --no-sandbox");
  assert_string_equal(harness_text(json, "files.1.error.code"), "unreadable");
  assert_non_null(strstr(harness_text(json, "files.1.error.message"), "Permission denied"));
  assert_true(json_is_object(harness_at(json, "files.0.report")));
  json_decref(json);
  expect(2, "m --no-sandbox", ".out", "error not-checked");
}

static void sizes_and_encodings(void **state) {
  (void)state;
  char *large = malloc((1 << 20) + 2);
  assert_non_null(large);
  memset(large, '\n', (1 << 20) + 1);
  put_bytes("large/1.sql", large, (1 << 20) + 1);
  memcpy(large, "SELECT 1;", 9);
  put_bytes("fits/1.sql", large, 1 << 20);
  free(large);
  expect(2, "large --no-sandbox", ".out", "larger than 1048576 bytes");
  expect(0, "fits --no-sandbox", ".out", "1 file:");
  put_bytes("binary/1.sql", "SELECT\0 1;", 10);
  expect(1, "binary --no-sandbox", ".out", "NUL byte");
  put("latin/1.sql", "SELECT '\xE4';");
  expect(1, "latin --no-sandbox", ".out", "not valid UTF-8");
  put("bom/1.sql", "\xEF\xBB\xBF"
                   "CREATE TABLE a (i int);\r\nALTER TABLE a\r\n  ADD COLUMN j int;\r\n");
  json_t *json = check_json(0, "bom --no-sandbox --fail-on never");
  assert_int_equal(harness_int(json, "files.0.report.total_statements"), 2);
  assert_int_equal(harness_int(json, "files.0.report.statements.0.location.column"), 1);
  assert_int_equal(harness_int(json, "files.0.report.statements.1.location.line"), 2);
  json_decref(json);
  put("empty/1.sql", "-- nothing yet\n");
  expect(0, "empty --no-sandbox", ".out", "1 file:");
  put("goose/1.sql", "-- +goose Up\nSELECT 1;\n");
  put("goose/2.sql", "SELECT 2;\n");
  expect(2, "goose --no-sandbox", ".out", "has no line `-- +goose Up`");
}

static void directories_and_links(void **state) {
  (void)state;
  char link_path[HARNESS_PATH + 128];
  put("none/notes.md", "no SQL");
  expect(2, "none", ".err", "there is no migration");
  put("m/1.sql", "SELECT 1;");
  put("elsewhere.sql", "SELECT 2;");
  static const char *const links[][2] = {
      {"..", "m/loop"}, {"self.sql", "m/self.sql"}, {"../elsewhere.sql", "m/2.sql"}, {"../m", "m/again"}};
  for (size_t i = 0; i < 4; i++) {
    snprintf(link_path, sizeof link_path, "%s/%s", fx.dir, links[i][1]);
    assert_int_equal(symlink(links[i][0], link_path), 0);
  }
  json_t *json = check_json(2, "m --no-sandbox"); /* self.sql is a link to itself: not readable, and said so */
  assert_int_equal(harness_int(json, "summary.files"), 3);
  assert_string_equal(path_at(json, 0), "m/1.sql");
  assert_string_equal(path_at(json, 1), "m/2.sql");
  assert_int_equal(harness_int(json, "files.1.report.total_statements"), 1);
  assert_string_equal(harness_text(json, "files.2.error.code"), "unreadable");
  json_decref(json);
}

/* --- faults --- */

static void without_a_sandbox_it_goes_on_and_says_so(void **state) {
  (void)state;
  put("m/1.sql", "CREATE TABLE a (i int);");
  assert_int_equal(check_with("AUTODB_SANDBOX_DIR=/nowhere/to/be/found", "m"), 0);
  expect_in(".err", "the analysis is static only: ");
  expect_in(".out", "1 not run");
  assert_int_equal(check_with("AUTODB_SANDBOX_DIR=/nowhere/to/be/found", "m --require-sandbox"), 2);
  expect_in(".err", "--require-sandbox: ");
}

static void a_file_that_takes_too_long_is_given_up(void **state) {
  (void)state;
  put("m/1.sql", "CREATE TABLE a (i int);");
  put("m/2.sql", "SELECT pg_sleep(25);");
  put("m/3.sql", "ALTER TABLE a ADD COLUMN j int;");
  int64_t started = harness_now_ms();
  json_t *json = check_json(2, "m --only m/2.sql --only m/1.sql --timeout 8");
  assert_string_equal(harness_text(json, "files.1.error.code"), "timeout");
  assert_string_equal(harness_text(json, "files.0.sandbox"), "passed");
  assert_true(harness_now_ms() - started < 20000);
  json_decref(json);
}

/* A stack too small for what the parser's guard allows: the child overflows it, the program lives. */
static void a_crash_is_one_files(void **state) {
  (void)state;
  BUF_AUTO deep;
  buf_init(&deep, 4096);
  buf_puts(&deep, "SELECT ");
  for (int i = 0; i < 240; i++) buf_putc(&deep, '(');
  buf_puts(&deep, "1");
  for (int i = 0; i < 240; i++) buf_puts(&deep, "+1)");
  put("m/1.sql", "CREATE TABLE a (i int);");
  put("m/2.sql", buf_str(&deep));
  put("m/3.sql", "ALTER TABLE a ADD COLUMN j int;");
  assert_int_equal(check_with("ulimit -s 176;", "m --no-sandbox --format json"), 2);
  char *text = slurp(".out");
  json_t *json = json_loads(text, 0, NULL);
  if (!json) fail_msg("no JSON: %s", text);
  assert_string_equal(harness_text(json, "files.1.error.code"), "crashed");
  assert_non_null(strstr(harness_text(json, "files.1.error.message"), "crashed"));
  assert_true(json_is_object(harness_at(json, "files.0.report")));
  assert_true(json_is_object(harness_at(json, "files.2.report")));
  json_decref(json);
  free(text);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup(name, each_setup)
  const struct CMUnitTest tests[] = {CASE(each_format_is_found_ordered_and_cut),
                                     CASE(a_baseline_stands_for_what_is_gone),
                                     CASE(a_format_can_be_forced),
                                     CASE(files_on_the_command_line_are_ordered_too),
                                     CASE(the_tools_transaction_is_part_of_it),
                                     CASE(exit_codes),
                                     CASE(wrong_usage),
                                     CASE(text_is_plain_and_short),
                                     CASE(json_holds_the_reports),
                                     CASE(sarif_has_rules_places_and_suppressions),
                                     CASE(fingerprints_outlive_moved_lines),
                                     CASE(github_commands_are_escaped),
                                     CASE(rules_can_be_ignored),
                                     CASE(a_history_is_replayed_without_being_reported),
                                     CASE(every_file_of_a_history_passes),
                                     CASE(without_a_server_the_analysis_hands_on_the_schema),
                                     CASE(a_safer_way_is_tried_too),
                                     CASE(a_file_that_fails_leaves_the_rest_of_it),
                                     CASE(the_schema_may_come_from_a_script),
                                     CASE(the_schema_may_come_from_a_database),
                                     CASE(what_cannot_be_read_is_said),
                                     CASE(sizes_and_encodings),
                                     CASE(directories_and_links),
                                     CASE(without_a_sandbox_it_goes_on_and_says_so),
                                     CASE(a_file_that_takes_too_long_is_given_up),
                                     CASE(a_crash_is_one_files)};
  return cmocka_run_group_tests(tests, group_setup, harness_teardown);
}
