/* test_migration_static.c - the static pass over a snapshot: what earlier statements change, what is found, how it is scored, how fast.
 *
 * Locks, rewrites and scans of single statements are held against measured facts in integration/test_analyze_truth.c. */
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "tests/support/ddl_snapshot.h"
#include "worker/migration/report.h"
#include "worker/migration/rules.h"

static bool found(const struct analysis *analysis, size_t index, const char *id) {
  const struct statement *statement = &analysis->statements[index];
  for (size_t i = 0; i < statement->findings.count; i++)
    if (strcmp(statement->findings.items[i].rule->id, id) == 0) return true;
  return false;
}

static const char *message(const struct analysis *analysis, size_t index, const char *id) {
  const struct statement *statement = &analysis->statements[index];
  for (size_t i = 0; i < statement->findings.count; i++)
    if (strcmp(statement->findings.items[i].rule->id, id) == 0) return statement->findings.items[i].message;
  fail_msg("no %s", id);
  return "";
}

static const char *failure(const struct analysis *analysis, size_t index) {
  const struct effect_check *check = effect_failure(&analysis->statements[index].effect);
  return check ? check->sqlstate : "";
}

static void test_rules_fire(void **state) {
  (void)state;
  static const struct {
    const char *sql, *id;
  } cases[] = {
      {"ALTER TABLE t ADD COLUMN z uuid DEFAULT gen_random_uuid()", "add-column-volatile-default"},
      {"ALTER TABLE t ADD COLUMN z bigserial", "add-column-serial"},
      {"ALTER TABLE t ADD COLUMN z bigint GENERATED ALWAYS AS IDENTITY", "add-column-identity"},
      {"ALTER TABLE t ADD COLUMN z int GENERATED ALWAYS AS (a * 2) STORED", "add-column-stored-generated"},
      {"ALTER TABLE t ADD COLUMN z int NOT NULL", "add-column-not-null"},
      {"ALTER TABLE t ADD COLUMN z domck", "add-column-constrained-domain"},
      {"ALTER TABLE t ADD COLUMN z int CHECK (z > 0)", "add-column-inline-check"},
      {"ALTER TABLE t ADD COLUMN z int UNIQUE", "add-column-inline-unique"},
      {"ALTER TABLE t ADD COLUMN z int DEFAULT 1 REFERENCES parent(id)", "add-column-inline-foreign-key"},
      {"ALTER TABLE t ALTER COLUMN v TYPE varchar(20)", "change-type-rewrite"},
      {"ALTER TABLE t ALTER COLUMN txti TYPE text COLLATE \"C\"", "change-type-reindex"},
      {"ALTER TABLE t ALTER COLUMN j TYPE jsonb", "change-type-loses-data"},
      {"ALTER TABLE t ALTER COLUMN b TYPE int", "change-type-no-cast"},
      {"ALTER TABLE t ALTER COLUMN a SET NOT NULL", "set-not-null-scan"},
      {"ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0)", "add-check-scan"},
      {"ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (parent_id) REFERENCES parent(id)", "add-foreign-key-scan"},
      {"ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT VALID, VALIDATE CONSTRAINT ck", "validate-under-strong-lock"},
      {"ALTER TABLE t ADD CONSTRAINT uq UNIQUE (lo)", "add-unique-blocking"},
      {"ALTER TABLE idt ADD PRIMARY KEY (id)", "add-primary-key-blocking"},
      {"CREATE INDEX i ON t (lo)", "create-index-blocking"},
      {"CREATE INDEX CONCURRENTLY i ON t (lo)", "create-index-concurrently"},
      {"DROP INDEX t_a_idx", "drop-index-blocking"},
      {"DROP TABLE gchild", "drop-table"},
      {"DROP TABLE t CASCADE", "drop-cascade"},
      {"TRUNCATE t CASCADE", "truncate-cascade"},
      {"ALTER TABLE t RENAME TO t2", "rename-table"},
      {"ALTER TABLE t RENAME COLUMN a TO a2", "rename-column"},
      {"VACUUM FULL t", "vacuum-full"},
      {"CLUSTER t USING t_a_idx", "cluster"},
      {"UPDATE t SET a = 1", "update-without-where"},
      {"DELETE FROM gchild", "delete-without-where"},
      {"ALTER TABLE pt ATTACH PARTITION pnock FOR VALUES FROM (4000) TO (6000)", "attach-partition-scan"},
      {"CREATE TABLE ptd3 PARTITION OF ptd FOR VALUES FROM (5000) TO (6000)", "default-partition-scan"},
      {"ALTER DOMAIN dom ADD CONSTRAINT dc CHECK (VALUE > -5)", "domain-constraint-scan"},
      {"ALTER TYPE st ADD VALUE 'c'", "enum-add-value"},
      {"DO $$ BEGIN END $$", "opaque-statement"},
      {"ALTER TABLE t ADD COLUMN z int", "missing-lock-timeout"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!found(analyse(cases[i].sql), 0, cases[i].id)) fail_msg("%s: no %s", cases[i].sql, cases[i].id);
}

static void test_rules_stay_quiet(void **state) {
  (void)state;
  static const char *const harmless[] = {"SET lock_timeout = '2s'; ALTER TABLE t ADD COLUMN z int NOT NULL DEFAULT 5",
                                         "SET lock_timeout = '2s'; ALTER TABLE t ADD COLUMN z timestamptz DEFAULT now()",
                                         "SET lock_timeout = '2s'; ALTER TABLE t ALTER COLUMN v TYPE text",
                                         "CREATE TABLE n (id int PRIMARY KEY, e text UNIQUE CHECK (e <> '')); CREATE INDEX ON n (e); ALTER "
                                         "TABLE n ADD COLUMN zz uuid DEFAULT gen_random_uuid(); DROP TABLE n",
                                         "SET lock_timeout = '2s'; ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0) NOT VALID"};
  for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++) {
    struct analysis *analysis = analyse(harmless[i]);
    for (size_t s = 0; s < analysis->count; s++)
      for (size_t f = 0; f < analysis->statements[s].findings.count; f++)
        if (analysis->statements[s].findings.items[f].rule->severity != SEVERITY_INFO)
          fail_msg("%s: %s", harmless[i], analysis->statements[s].findings.items[f].message);
  }
}

static void test_rule_rows(void **state) {
  (void)state;
  for (size_t i = 0; rules_at(i); i++) {
    const struct rule *rule = rules_at(i);
    assert_true((rule->fact != FACT_NONE) != (rule->applies != NULL));
    assert_non_null(rule->message);
    assert_non_null(rule->why);
    assert_non_null(rule->anchor);
    for (const char *c = rule->id; *c; c++) assert_true((*c >= 'a' && *c <= 'z') || *c == '-');
    for (size_t j = 0; j < i; j++) assert_string_not_equal(rule->id, rules_at(j)->id);
  }
}

static void test_names_are_quoted_in_advice(void **state) {
  (void)state;
  struct analysis *analysis = analyse("ALTER TABLE t ADD COLUMN \"Big One\" int CHECK (\"Big One\" > 0)");
  const struct finding *finding = NULL;
  for (size_t i = 0; i < analysis->statements[0].findings.count; i++)
    if (strcmp(analysis->statements[0].findings.items[i].rule->id, "add-column-inline-check") == 0)
      finding = &analysis->statements[0].findings.items[i];
  assert_non_null(finding);
  assert_non_null(strstr(finding->safe_alternative, "ADD COLUMN \"Big One\""));
  assert_non_null(strstr(finding->safe_alternative, "ALTER TABLE public.t "));
}

static void test_earlier_statements_count(void **state) {
  (void)state;
  struct analysis *analysis = analyse("ALTER TABLE t ADD CONSTRAINT nn CHECK (a IS NOT NULL) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT "
                                      "nn; ALTER TABLE t ALTER a SET NOT NULL;"
                                      "ALTER TABLE t DROP CONSTRAINT nn");
  assert_int_equal(analysis->statements[2].scans.count, 0);
  assert_int_equal(analysis->statements[2].effect.checks.items[0].verdict, VERDICT_PROVEN);
  assert_true(found(analysis, 1, "lock-held-across-statements"));
  analysis = analyse("ALTER TABLE t ADD CONSTRAINT nn CHECK (a IS NOT NULL) NOT VALID; ALTER TABLE t ALTER a SET NOT NULL");
  assert_int_equal(analysis->statements[1].scans.count, 1);
  analysis = analyse("ALTER TABLE t RENAME TO t2; ALTER TABLE t2 ADD COLUMN z int; ALTER TABLE t ADD COLUMN y int");
  assert_string_equal(analysis->statements[0].tables.items[0], "public.t");
  assert_string_equal(analysis->statements[1].tables.items[0], "public.t2");
  assert_string_equal(failure(analysis, 0), "");
  assert_string_equal(failure(analysis, 1), "");
  assert_string_equal(failure(analysis, 2), "42P01");
  assert_non_null(strstr(message(analysis, 0, "rename-table"), "public.t becomes t2"));
  analysis = analyse("DROP TABLE gchild; SELECT * FROM gchild; CREATE TABLE gchild (id int); ALTER TABLE gchild ADD COLUMN x int NOT NULL");
  assert_string_equal(failure(analysis, 3), "");
  assert_string_equal(failure(analyse("ALTER TABLE t DROP COLUMN b; ALTER TABLE t ALTER COLUMN b SET NOT NULL"), 1), "42703");
  assert_string_equal(
      failure(
          analyse(
              "CREATE SCHEMA s; SET search_path = s; CREATE TABLE t (id int); ALTER TABLE s.t ADD COLUMN q int; ALTER TABLE t ADD q int"),
          4),
      "42701");
}

static void test_certain_failures(void **state) {
  (void)state;
  static const struct {
    const char *sql, *sqlstate;
  } cases[] = {{"ALTER TABLE nope ADD COLUMN a int", "42P01"},
               {"ALTER TABLE t ADD COLUMN a int", "42701"},
               {"ALTER TABLE t DROP COLUMN nope", "42703"},
               {"CREATE TABLE t (id int)", "42P07"},
               {"CREATE INDEX t_a_idx ON t (a)", "42P07"},
               {"DROP INDEX nope", "42704"},
               {"ALTER TABLE t DROP CONSTRAINT nope", "42704"},
               {"DROP TABLE parent, nope", "42P01"},
               {"DROP TABLE t", "2BP01"},
               {"ALTER TABLE t DROP COLUMN email", "2BP01"},
               {"ALTER TABLE t ALTER email TYPE varchar(200)", "0A000"},
               {"TRUNCATE t", "0A000"},
               {"CREATE INDEX CONCURRENTLY i ON pt (id)", "0A000"},
               {"ALTER TABLE ptd DETACH PARTITION ptd1 CONCURRENTLY", "55000"},
               {"ALTER TABLE idt ADD CONSTRAINT x FOREIGN KEY (v) REFERENCES idt (v)", "42830"},
               {"ALTER TABLE t ADD PRIMARY KEY (a)", "42P16"},
               {"ALTER TABLE t ALTER a ADD GENERATED ALWAYS AS IDENTITY", "55000"},
               {"ALTER TABLE t ALTER id DROP NOT NULL", "42P16"},
               {"ALTER TABLE pt ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES parent (id) NOT VALID", "42809"},
               {"ALTER TYPE st ADD VALUE 'a'", "42710"},
               {"DROP SEQUENCE nope", "42P01"},
               {"DROP FUNCTION trg()", "2BP01"},
               {"DROP TYPE st", "2BP01"},
               {"ALTER TABLE pt ALTER k TYPE bigint", "42P16"},
               {"ALTER TABLE parent SET UNLOGGED", ""},
               {"ALTER TABLE t SET UNLOGGED", "42P16"},
               {"ALTER TABLE t ADD COLUMN z nope", "42704"},
               {"ALTER TABLE t ALTER a TYPE serial", "42704"},
               {"CREATE FUNCTION f(nope) RETURNS int LANGUAGE sql AS 'SELECT 1'", "42704"},
               {"CREATE TABLE nope.x (id int)", "3F000"},
               {"CREATE SCHEMA public", "42P06"},
               {"CREATE TYPE st AS ENUM ('a')", "42710"},
               {"DROP TYPE nope", "42704"},
               {"DROP EXTENSION nope", "42704"},
               {"ALTER POLICY nope ON t USING (true)", "42704"},
               {"ALTER TRIGGER nope ON t RENAME TO x", "42704"},
               {"SELECT nope FROM t", "42703"},
               {"CREATE VIEW v9 AS SELECT t.id, parent.nope FROM t JOIN parent ON parent.id = t.parent_id", "42703"},
               {"CREATE INDEX ON t (a) WHERE nope > 1", "42703"},
               {"CREATE TABLE x (id int, PRIMARY KEY (nope))", "42703"},
               {"ALTER TABLE t ADD COLUMN z int DEFAULT a", "0A000"},
               {"ALTER TABLE t ADD COLUMN z int DEFAULT 'abc'", "22P02"},
               {"ALTER TABLE t ALTER u SET DEFAULT 'not-a-uuid'", "22P02"},
               {"INSERT INTO t (id, s) VALUES (1, 'nope')", "22P02"},
               {"UPDATE t SET flag = 'maybe'", "22P02"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (strcmp(failure(analyse(cases[i].sql), 0), cases[i].sqlstate) != 0)
      fail_msg("%s: '%s'", cases[i].sql, failure(analyse(cases[i].sql), 0));
}

static void test_if_exists(void **state) {
  (void)state;
  static const char *const fine[] = {"DROP TABLE IF EXISTS nope",
                                     "ALTER TABLE IF EXISTS nope ADD a int",
                                     "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int",
                                     "ALTER TABLE t DROP COLUMN IF EXISTS nope",
                                     "DROP INDEX IF EXISTS nope",
                                     "CREATE INDEX IF NOT EXISTS t_a_idx ON t (a)",
                                     "CREATE TABLE IF NOT EXISTS t (id int)",
                                     "DROP VIEW IF EXISTS nope",
                                     "ALTER TABLE t DROP CONSTRAINT IF EXISTS nope",
                                     "SELECT * FROM pg_catalog.pg_class"};
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
    if (*failure(analyse(fine[i]), 0)) fail_msg("%s: %s", fine[i], failure(analyse(fine[i]), 0));
}

/* The last statement of each is fine because of what stands before it, or can't be judged for it. */
static void test_no_false_alarm(void **state) {
  (void)state;
  static const char *const fine[] = {
      "DROP TRIGGER trg0 ON t; CREATE TRIGGER trg0 BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION trg()",
      "DROP POLICY pol0 ON t; CREATE POLICY pol0 ON t USING (true)",
      "ALTER POLICY pol0 ON t RENAME TO pol1; ALTER POLICY pol1 ON t USING (false)",
      "ALTER TRIGGER trg0 ON t RENAME TO trg1; DROP TRIGGER trg1 ON t",
      "CREATE SCHEMA s9; CREATE TABLE s9.x (id int)",
      "CREATE SCHEMA s9; CREATE TABLE s9.x (id int); ALTER SCHEMA s9 RENAME TO s8; ALTER TABLE s8.x ADD z int",
      "CREATE TYPE e9 AS ENUM ('x'); ALTER TABLE t ADD COLUMN z e9 DEFAULT 'x'",
      "ALTER TYPE st ADD VALUE 'zz'; ALTER TABLE gchild ADD COLUMN z int DEFAULT '7'",
      "ALTER TYPE st RENAME VALUE 'a' TO 'aa'; UPDATE t SET s = 'aa'",
      "CREATE EXTENSION citext; ALTER TABLE t ADD COLUMN z citext",
      "CREATE RULE r AS ON UPDATE TO parent DO INSTEAD NOTHING; DROP RULE r ON parent",
      "ALTER TABLE pt ADD COLUMN z int; SELECT z FROM pt1",
      "CREATE TABLE c9 AS SELECT * FROM t; SELECT anything FROM c9",
      "DO $$ BEGIN CREATE TABLE made (id int); END $$; ALTER TABLE made ADD COLUMN z int",
      "BEGIN; SAVEPOINT s; DROP TABLE gchild; ROLLBACK TO s; ALTER TABLE gchild ADD COLUMN z int",
      "WITH x AS (SELECT 1 AS one) SELECT one FROM x",
      "SELECT xmin, ctid, t FROM t",
      "ALTER TABLE t ADD COLUMN z bigserial",
      "ALTER TABLE t ADD COLUMN z boolean DEFAULT 'T'",
      "ALTER TABLE t ADD COLUMN z double precision DEFAULT '-Infinity'"};
  for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
    const struct analysis *analysis = analyse(fine[i]);
    if (*failure(analysis, analysis->count - 1)) fail_msg("%s: %s", fine[i], failure(analysis, analysis->count - 1));
  }
}

static void test_transactions(void **state) {
  (void)state;
  struct analysis *analysis = analyse("BEGIN; CREATE INDEX CONCURRENTLY i ON t (lo); COMMIT; CREATE INDEX CONCURRENTLY i2 ON t (lo); ALTER "
                                      "TABLE t ADD z int; ALTER TABLE t ADD y int");
  assert_true(found(analysis, 1, "not-in-transaction"));
  assert_int_not_equal(analysis->statements[1].transaction, 0);
  assert_int_equal(analysis->statements[3].transaction, 0);
  assert_false(found(analysis, 3, "not-in-transaction"));
  assert_int_equal(analysis->statements[4].transaction, analysis->statements[5].transaction);
  assert_int_not_equal(analysis->statements[4].transaction, analysis->statements[1].transaction);
}

/* A bigger table, a stronger lock or a lost value never scores less. */
static void test_score_is_monotone(void **state) {
  (void)state;
  static const char *const statements[] = {
      "ALTER TABLE t ADD COLUMN z int", "CREATE INDEX i ON t (lo)", "ALTER TABLE t ADD COLUMN zz uuid DEFAULT gen_random_uuid()",
      "DROP TABLE t CASCADE",           "UPDATE t SET a = 1",       "ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0)"};
  for (size_t s = 0; s < sizeof statements / sizeof *statements; s++) {
    int last = -1;
    for (double bytes = 8192; bytes < 1e13; bytes *= 10) {
      json_t *copy = json_deep_copy(json);
      size_t index;
      json_t *table;
      json_array_foreach(json_object_get(copy, "tables"), index, table) if (strcmp(json_str(table, "name", ""), "t") == 0)
          json_object_set_new(table, "total_bytes", json_integer((json_int_t)bytes));
      int score = analyse_with(load(copy), statements[s])->score;
      json_decref(copy);
      if (score < last) fail_msg("%s: %d after %d", statements[s], score, last);
      last = score;
    }
  }
  int metadata = analyse("ALTER TABLE t ADD COLUMN z int")->score, scan = analyse("ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0)")->score;
  int loss = analyse("DROP TABLE t CASCADE")->score, weak = analyse("ALTER TABLE t ALTER a SET STATISTICS 5")->score;
  assert_true(weak < metadata && metadata < scan && scan < loss);
  assert_int_equal(analyse("SELECT 1")->score, 12); /* opaque: a function may hide in it */
  assert_int_equal(analyse("CREATE TABLE fresh (id int primary key)")->score, 0);
}

static void test_durations(void **state) {
  (void)state;
  assert_true(analyse("ALTER TABLE t ADD COLUMN z int")->statements[0].estimated_ms < 0);
  double scan = analyse("ALTER TABLE t ADD CONSTRAINT ck CHECK (a > 0)")->statements[0].estimated_ms;
  double rewrite = analyse("ALTER TABLE t ADD COLUMN zz uuid DEFAULT gen_random_uuid()")->statements[0].estimated_ms;
  assert_true(scan >= 1 && rewrite > scan);
}

static void test_blast_radius(void **state) {
  (void)state;
  struct analysis *analysis = analyse("ALTER TABLE parent DROP COLUMN note; ALTER TABLE t DROP COLUMN id CASCADE");
  json_t *report = report_json(analysis, "c", NULL, NULL, NULL), *tables = json_object_get(report, "affected_tables"), *table;
  size_t index, cascades = 0;
  json_array_foreach(tables, index, table) {
    if (strcmp(json_str(table, "table", ""), "public.gchild") != 0) continue;
    cascades++;
    json_t *path = json_object_get(table, "cascade_path");
    assert_int_equal(json_array_size(path), 3);
    assert_string_equal(json_string_value(json_array_get(path, 0)), "public.t");
    assert_string_equal(json_string_value(json_array_get(path, 2)), "public.gchild");
  }
  assert_int_equal(cascades, 1);
  bool view = false;
  json_array_foreach(json_object_get(report, "affected_objects"), index, table) view |=
      strcmp(json_str(table, "name", ""), "public.vw") == 0 && json_bool(table, "breaks", false);
  assert_true(view);
  json_decref(report);
}

static void test_keys_in_a_circle(void **state) {
  (void)state;
  struct analysis *analysis =
      analyse("CREATE TABLE a1 (id int PRIMARY KEY, b int); CREATE TABLE b1 (id int PRIMARY KEY, a int REFERENCES a1);"
              "ALTER TABLE a1 ADD FOREIGN KEY (b) REFERENCES b1; TRUNCATE a1 CASCADE; DROP TABLE a1 CASCADE; DROP TABLE b1");
  for (size_t i = 0; i < analysis->count; i++) assert_string_equal(failure(analysis, i), "");
}

static void test_report_without_statements(void **state) {
  (void)state;
  json_t *report = report_json(analyse("-- nothing"), "c", NULL, NULL, NULL);
  assert_int_equal(json_int(report, "total_statements", -1), 0);
  assert_int_equal(json_int(report, "risk_score", -1), 0);
  assert_true(json_is_null(json_object_get(report, "narrative")));
  json_decref(report);
}

static void test_odd_statements_survive(void **state) {
  (void)state;
  static const char *const odd[] = {"ALTER TABLE t",
                                    "CREATE TABLE x ()",
                                    "CREATE TABLE t2 (LIKE nope)",
                                    "CREATE TABLE x PARTITION OF nope FOR VALUES IN (1)",
                                    "ALTER TABLE t ATTACH PARTITION t DEFAULT",
                                    "ALTER TABLE pt ATTACH PARTITION pt FOR VALUES FROM (1) TO (2)",
                                    "CREATE VIEW v AS SELECT * FROM v",
                                    "CREATE RECURSIVE VIEW r (a) AS SELECT 1",
                                    "DROP TABLE pt, pt1, pt2, pt",
                                    "TRUNCATE t, t, child, gchild",
                                    "ALTER TABLE t INHERIT t",
                                    "DROP SCHEMA public CASCADE",
                                    "DROP OWNED BY me",
                                    "COMMENT ON COLUMN t IS 'x'",
                                    "CREATE STATISTICS ON a, b FROM t",
                                    "MERGE INTO t USING child ON t.id = child.t_id WHEN MATCHED THEN DELETE",
                                    "COPY t FROM STDIN",
                                    "CREATE INDEX ON t ((a + 1), lower(b)) WHERE a > 1",
                                    "ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y",
                                    "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)",
                                    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
                                    "ALTER TABLE t ALTER COLUMN a TYPE nope.type USING a::text::nope.type",
                                    "CREATE TABLE \"\"\"\" (\"; DROP TABLE t; --\" int)",
                                    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
                                    "SET SESSION AUTHORIZATION DEFAULT",
                                    "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
                                    "ALTER DOMAIN nope SET NOT NULL",
                                    "ALTER TYPE ct ADD ATTRIBUTE z int",
                                    "REINDEX DATABASE x",
                                    "VACUUM",
                                    "CLUSTER",
                                    "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
                                    "SECURITY LABEL ON TABLE t IS 'x'",
                                    "PREPARE p AS SELECT 1",
                                    "EXECUTE p",
                                    "DECLARE c CURSOR FOR SELECT 1",
                                    "WITH x AS (DELETE FROM gchild RETURNING *) INSERT INTO idt SELECT id, id FROM x"};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) json_decref(report_json(analyse(odd[i]), "c", NULL, NULL, NULL));
}

static void test_thousand_statements_are_quick(void **state) {
  (void)state;
  struct buf text;
  buf_init(&text, 1 << 20);
  for (int i = 0; i < 250; i++)
    buf_printf(&text,
               "CREATE TABLE n%d (id bigint PRIMARY KEY, t_id int REFERENCES t (id), name text NOT NULL);\nCREATE INDEX ON n%d (t_id);\n"
               "ALTER TABLE t ADD COLUMN c%d int DEFAULT 0;\nALTER TABLE n%d ADD CONSTRAINT k%d CHECK (name <> '');\n",
               i, i, i, i, i);
  struct snapshot *snapshot = load(json);
  int64_t started = clock_mono_us();
  struct analysis *analysis = analyse_with(snapshot, buf_str(&text));
  int64_t spent = clock_mono_us() - started;
  assert_int_equal(analysis->count, 1000);
  print_message("1,000 statements: %.1f ms\n", (double)spent / 1000);
  started = clock_mono_us();
  json_decref(report_json(analysis, "c", NULL, NULL, NULL));
  print_message("their report: %.1f ms\n", (double)(clock_mono_us() - started) / 1000);
  assert_true(spent < 2000000); /* only a guard against the quadratic; the number above is what to look at */
  buf_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rules_fire),
      cmocka_unit_test(test_rules_stay_quiet),
      cmocka_unit_test(test_rule_rows),
      cmocka_unit_test(test_names_are_quoted_in_advice),
      cmocka_unit_test(test_earlier_statements_count),
      cmocka_unit_test(test_certain_failures),
      cmocka_unit_test(test_if_exists),
      cmocka_unit_test(test_no_false_alarm),
      cmocka_unit_test(test_transactions),
      cmocka_unit_test(test_score_is_monotone),
      cmocka_unit_test(test_durations),
      cmocka_unit_test(test_blast_radius),
      cmocka_unit_test(test_keys_in_a_circle),
      cmocka_unit_test(test_report_without_statements),
      cmocka_unit_test(test_odd_statements_survive),
      cmocka_unit_test(test_thousand_statements_are_quick),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
