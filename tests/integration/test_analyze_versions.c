/* test_analyze_versions.c - what only some majors of PostgreSQL take: each statement is run on a server of every installed major, and the
 * analysis for that major must say what the server says, SQLSTATE and all. Every row of worker/migration/versions.c has its statement
 * here. */
#include "tests/support/harness.h"
#include "tests/support/measure.h"

#include "worker/migration/forms/forms.h"
#include "worker/migration/versions.h"
#include "worker/schema/catalog.h"

static const int majors[] = {13, 14, 15, 16, 17, 18};
enum { MAJORS = sizeof majors / sizeof *majors };

struct side { /* one major */
  char url[HARNESS_URL];
  const struct snapshot *snapshot; /* of that server; NULL: it isn't installed */
};
static struct harness *h;
static struct arena *arena;
static struct side sides[MAJORS];

static const char schema[] =
    "CREATE EXTENSION IF NOT EXISTS btree_gist; CREATE ROLE v_role; CREATE ROLE v_member;"
    "CREATE TABLE vt (id int PRIMARY KEY, a int NOT NULL, b text, n numeric, g int GENERATED ALWAYS AS (a + 1) STORED, at timestamptz);"
    "CREATE TABLE vs (id int PRIMARY KEY, t int REFERENCES vt (id)); CREATE INDEX vt_a ON vt (a); CREATE SEQUENCE vseq;"
    "CREATE TABLE vp (id int NOT NULL, k int NOT NULL) PARTITION BY RANGE (k); CREATE INDEX vp_k ON vp (k);"
    "CREATE TABLE vp1 PARTITION OF vp FOR VALUES FROM (0) TO (10); CREATE TABLE vp2 PARTITION OF vp FOR VALUES FROM (10) TO (20);"
    "CREATE TABLE vpd (id int NOT NULL, k int NOT NULL) PARTITION BY RANGE (k);"
    "CREATE TABLE vpd1 PARTITION OF vpd FOR VALUES FROM (0) TO (10);"
    "CREATE VIEW vv AS SELECT id, a FROM vt; CREATE MATERIALIZED VIEW vm AS SELECT id, a FROM vt;"
    "CREATE FUNCTION vf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
    "CREATE FOREIGN DATA WRAPPER vw; CREATE SERVER vserver FOREIGN DATA WRAPPER vw; CREATE PUBLICATION vpub FOR TABLE vs;"
    "CREATE SUBSCRIPTION vsub CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false);"
    "INSERT INTO vt (id, a, b) SELECT i, i, '{}' FROM generate_series(1, 50) i; INSERT INTO vs SELECT i, i FROM generate_series(1, 50) i;"
    "INSERT INTO vp SELECT i, i FROM generate_series(0, 19) i; ANALYZE";

static const struct snapshot *introspect(const char *url, int major) {
  PGconn *conn = harness_connect(url);
  struct catalog_reader reader = {.conn = conn, .arena = arena, .excluded = "{}", .major = major};
  struct snapshot *snapshot = NULL;
  ERROR_AUTO err = {0};
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("PostgreSQL %d: %s", major, err.message);
  if (snapshot_load(arena_json(arena, json_incref(reader.root)), arena, &snapshot, &err)) fail_msg("PostgreSQL %d: %s", major, err.message);
  catalog_end(&reader);
  PQfinish(conn);
  snapshot->server_version_num = major * 10000;
  return snapshot;
}

static int setup(void **state) {
  h = harness_new();
  arena = arena_new(512UL << 20);
  for (int m = 0; m < MAJORS; m++) {
    if (!harness_has_postgres(majors[m])) continue;
    harness_database(harness_postgres(h, majors[m]), "versions", sides[m].url);
    harness_sql(sides[m].url, schema);
    sides[m].snapshot = introspect(sides[m].url, majors[m]);
  }
  *state = h;
  return 0;
}

static int teardown(void **state) {
  measure_end();
  arena_free(arena);
  return harness_teardown(state);
}

/* --- which majors take what --- */

/* ~ marks what a server that takes it may refuse for other reasons: how it was built, what is there. */
static const char *const statements[] = {
    "ALTER TABLE vpd DETACH PARTITION vpd1 CONCURRENTLY",
    "~ALTER TABLE vp DETACH PARTITION vp1 FINALIZE",
    "CREATE OR REPLACE TRIGGER x BEFORE INSERT ON vt FOR EACH ROW EXECUTE FUNCTION vf()",
    "CREATE TABLE x (b text COMPRESSION pglz)",
    "CREATE TABLE x (LIKE vt INCLUDING DEFAULTS INCLUDING COMPRESSION)",
    "CREATE FUNCTION x(a int) RETURNS int RETURN a + 1",
    "CREATE VIEW x AS WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SEARCH DEPTH FIRST BY n SET o SELECT n "
    "FROM r",
    "SELECT a, count(*) FROM vt GROUP BY DISTINCT a, ROLLUP (a)",
    "SELECT u.id FROM vt JOIN vs USING (id) AS u",
    "GRANT SELECT ON vt TO v_role GRANTED BY CURRENT_USER",
    "CREATE STATISTICS x ON (a + id) FROM vt",
    "CREATE PROCEDURE x(OUT a int) LANGUAGE sql AS 'SELECT 1'",
    "REINDEX INDEX vp_k",
    "MERGE INTO vs USING vt ON vs.id = vt.id WHEN MATCHED THEN UPDATE SET t = vt.id",
    "ALTER TABLE vt ADD CONSTRAINT x UNIQUE NULLS NOT DISTINCT (b, id)",
    "CREATE UNIQUE INDEX x ON vt (b, id) NULLS NOT DISTINCT",
    "ALTER TABLE vs ADD CONSTRAINT x FOREIGN KEY (t) REFERENCES vt (id) ON DELETE SET NULL (t)",
    "CREATE PUBLICATION x FOR TABLES IN SCHEMA public",
    "CREATE PUBLICATION x FOR TABLE vt WHERE (id > 1)",
    "CREATE PUBLICATION x FOR TABLE vt (id)",
    "GRANT SET ON PARAMETER work_mem TO v_role",
    "ALTER DATABASE versions REFRESH COLLATION VERSION",
    "ALTER SUBSCRIPTION vsub SKIP (lsn = NONE)",
    "CREATE UNLOGGED SEQUENCE x",
    "CLUSTER vp USING vp_k",
    "CREATE TABLE x (n numeric(3, -2))",
    "SELECT '{}'::int8multirange",
    "CREATE TABLE x (b text STORAGE EXTERNAL)",
    "ALTER TABLE vt ALTER COLUMN b SET STORAGE DEFAULT",
    "CREATE STATISTICS ON id, a FROM vt",
    "SELECT * FROM (SELECT 1)",
    "GRANT v_role TO v_member WITH INHERIT FALSE",
    "REINDEX SYSTEM",
    "SELECT JSON_OBJECT('a': 1)",
    "SELECT JSON_ARRAY(1, 2)",
    "SELECT JSON_ARRAY(SELECT id FROM vt)",
    "SELECT b IS JSON FROM vt",
    "MERGE INTO vs USING vt ON vs.id = vt.id WHEN MATCHED THEN DO NOTHING RETURNING vs.id",
    "MERGE INTO vs USING vt ON vs.id = vt.id WHEN NOT MATCHED BY SOURCE THEN DELETE",
    "SELECT at AT LOCAL FROM vt",
    "SELECT * FROM JSON_TABLE(jsonb '[1]', '$[*]' COLUMNS (a int PATH '$')) x",
    "SELECT JSON_VALUE(jsonb '{}', '$.a' RETURNING int)",
    "SELECT JSON_EXISTS(jsonb '{}', '$.a')",
    "SELECT JSON_SCALAR(1)",
    "SELECT JSON_SERIALIZE('{}')",
    "GRANT MAINTAIN ON vt TO v_role",
    "ALTER TABLE vt ALTER COLUMN a SET STATISTICS DEFAULT",
    "ALTER TABLE vt SET ACCESS METHOD DEFAULT",
    "ALTER TABLE vp SET ACCESS METHOD heap",
    "CREATE TABLE x (k int) PARTITION BY RANGE (k) USING heap",
    "ALTER TABLE vp ADD CONSTRAINT x EXCLUDE USING gist (k WITH =, id WITH <>)",
    "CREATE FOREIGN TABLE x (LIKE vt) SERVER vserver",
    "COPY vm TO STDOUT",
    "CREATE UNLOGGED TABLE x (k int) PARTITION BY RANGE (k)",
    /* ALTER TABLE */
    "ALTER TABLE vt ALTER COLUMN b SET COMPRESSION pglz",
    "ALTER TABLE vt SET ACCESS METHOD heap",
    "ALTER TABLE vt ALTER COLUMN g SET EXPRESSION AS (a + 2)",
    /* options */
    "VACUUM (PROCESS_TOAST FALSE) vt",
    "VACUUM (PROCESS_MAIN FALSE) vt",
    "VACUUM (SKIP_DATABASE_STATS) vt",
    "VACUUM (ONLY_DATABASE_STATS)",
    "VACUUM (BUFFER_USAGE_LIMIT '1MB') vt",
    "REINDEX (TABLESPACE pg_default) TABLE vt",
    "EXPLAIN (GENERIC_PLAN) SELECT id FROM vt WHERE id = 1",
    "EXPLAIN (MEMORY) SELECT id FROM vt",
    "EXPLAIN (ANALYZE, SERIALIZE) SELECT id FROM vt",
    "COPY vs FROM STDIN (DEFAULT '?')",
    "COPY vs FROM STDIN (ON_ERROR 'ignore')",
    "COPY vs FROM STDIN (LOG_VERBOSITY verbose)",
    "COPY vs FROM STDIN (ON_ERROR ignore, REJECT_LIMIT 3)",
    "CREATE VIEW x WITH (security_invoker = true) AS SELECT 1 AS a",
    "ALTER VIEW vv SET (security_invoker = true)",
    "ALTER TABLE vt SET (autovacuum_vacuum_max_threshold = 1000)",
    "CREATE TABLE x (a int) WITH (autovacuum_vacuum_max_threshold = 1000)",
    "ALTER TABLE vt SET (vacuum_max_eager_freeze_failure_rate = 0.1)",
    "CREATE TABLE x (a int) WITH (vacuum_max_eager_freeze_failure_rate = 0.1)",
    "CREATE PUBLICATION x FOR TABLE vt WITH (publish_generated_columns = stored)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, binary = true)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, streaming = on)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, two_phase = true)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, disable_on_error = true)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, origin = none)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, password_required = false)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, run_as_owner = true)",
    "CREATE SUBSCRIPTION x CONNECTION 'host=nowhere' PUBLICATION x WITH (connect = false, failover = true)",
    "CREATE DATABASE x1 STRATEGY file_copy",
    "CREATE DATABASE x2 TEMPLATE template0 LOCALE_PROVIDER libc",
    "~CREATE DATABASE x3 TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'",
    "~CREATE DATABASE x4 TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' ICU_RULES '&a < g'",
    "~CREATE DATABASE x5 TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'",
    "~CREATE COLLATION x (provider = icu, locale = 'en', rules = '&a < g')",
    "CREATE TYPE x AS RANGE (subtype = int4, multirange_type_name = xm)",
    /* settings */
    "SET client_connection_check_interval = 0",
    "SET compute_query_id = off",
    "SET default_toast_compression = pglz",
    "SET enable_async_append = off",
    "SET enable_memoize = off",
    "SET idle_session_timeout = 0",
    "SET recursive_worktable_factor = 5",
    "SET stats_fetch_consistency = none",
    "SET createrole_self_grant = ''",
    "SET debug_parallel_query = off",
    "SET enable_presorted_aggregate = off",
    "SET icu_validation_level = disabled",
    "SET scram_iterations = 4096",
    "SET vacuum_buffer_usage_limit = '1MB'",
    "SET enable_group_by_reordering = off",
    "SET event_triggers = off",
    "SET LOCAL transaction_timeout = 0",
    "SET enable_distinct_reordering = off",
    "SET enable_self_join_elimination = off",
    "SET file_copy_method = copy",
    "SET track_cost_delay_timing = off",
    "SET vacuum_max_eager_freeze_failure_rate = 0.1",
    "SET vacuum_truncate = off",
    "SET operator_precedence_warning = off",
    "SET vacuum_cleanup_index_scale_factor = 0.1",
    /* taken by all, or judged elsewhere: no row here may say otherwise */
    "ALTER TYPE vt_none ADD VALUE 'x'",
    "ALTER TABLE vp ADD CONSTRAINT x EXCLUDE USING gist (id WITH =)",
    "ALTER TABLE vp ADD CONSTRAINT x EXCLUDE USING gist (k WITH <>)",
    "ALTER TABLE vp ADD CONSTRAINT x FOREIGN KEY (id) REFERENCES vt (id) NOT VALID",
    "CREATE UNIQUE INDEX x ON vt (b, id)",
    "CREATE TABLE x (LIKE vt INCLUDING ALL)",
    "CREATE STATISTICS x ON id, a FROM vt",
    "SELECT * FROM (SELECT 1) x",
    "GRANT v_role TO v_member WITH ADMIN OPTION",
    "CREATE TABLE x (n numeric(5, 2), t text)",
    "SELECT at AT TIME ZONE 'UTC' FROM vt",
    "EXPLAIN (ANALYZE, BUFFERS, WAL, SETTINGS) SELECT id FROM vt",
    "CLUSTER vt USING vt_a",
    "REINDEX INDEX vt_a",
    "COPY vt TO STDOUT",
    "SET lock_timeout = '1s'",
};
enum { STATEMENTS = sizeof statements / sizeof *statements };

static void answer(PGconn *conn, const char *sql, char ret_state[8]) {
  PGresult *res = PQexec(conn, sql);
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
  snprintf(ret_state, 8, "%s", state ? state : "00000");
  if (PQresultStatus(res) == PGRES_COPY_IN) PQputCopyEnd(conn, NULL);
  bool out = PQresultStatus(res) == PGRES_COPY_OUT;
  PQclear(res);
  char *data;
  while (out && PQgetCopyData(conn, &data, 0) > 0) PQfreemem(data);
  while ((res = PQgetResult(conn))) PQclear(res);
}

static void unheard(void *unused, const char *notice) {
  (void)unused;
  (void)notice;
}

/* In a transaction that is rolled back; outside when the server wants that. */
static void really(const struct side *side, const char *sql, char ret_state[8]) {
  PGconn *conn = harness_connect(side->url);
  char ignored[8];
  PQsetNoticeProcessor(conn, unheard, NULL);
  answer(conn, "BEGIN", ignored);
  answer(conn, sql, ret_state);
  answer(conn, "ROLLBACK", ignored);
  if (strcmp(ret_state, "25001") == 0) answer(conn, sql, ret_state);
  PQfinish(conn);
}

static void judged(const struct side *side, int major, const char *sql, struct arena *scratch, struct effect *ret_effect) {
  ERROR_AUTO err = {0};
  struct sql_script script;
  struct shadow *shadow = NULL;
  assert_int_equal(shadow_new(side->snapshot, scratch, &shadow, &err), OK);
  shadow->version = major * 10000;
  assert_int_equal(sql_split(sql, strlen(sql), scratch, &script, &err), OK);
  if (script.fault.sqlstate || script.count != 1) fail_msg("%s: %s", sql, script.fault.message);
  forms_apply(shadow, &script.statements[0], ret_effect);
}

static void each_server_agrees(void **state) {
  (void)state;
  int wrong = 0, compared = 0;
  for (int m = 0; m < MAJORS; m++)
    for (int i = 0; sides[m].snapshot && i < STATEMENTS; i++) {
      ARENA_AUTO scratch = arena_new(16 << 20);
      struct effect effect;
      char real[8];
      bool loose = *statements[i] == '~';
      judged(&sides[m], majors[m], statements[i] + loose, scratch, &effect);
      really(&sides[m], statements[i] + loose, real);
      const struct effect_check *failure = effect_failure(&effect);
      const char *said = failure ? failure->sqlstate : "00000";
      compared++;
      if (loose && !failure ? strcmp(real, "42601") != 0 : strcmp(said, real) == 0) continue;
      wrong++;
      printf("    PostgreSQL %d: %s, predicted %s (%s): %s\n", majors[m], real, said, failure ? failure->check : "", statements[i]);
    }
  printf("%d statements on servers compared\n", compared);
  assert_int_equal(wrong, 0);
}

/* A statement for every row: a row that nothing meets here is a row nobody has measured. */
static void each_row_is_met(void **state) {
  (void)state;
  json_t *met = json_object();
  const struct side *side = NULL;
  for (int m = 0; m < MAJORS && !side; m++)
    if (sides[m].snapshot) side = &sides[m];
  for (int i = 0; i < STATEMENTS; i++)
    for (int major = 12; major <= 18; major += 6) {
      ARENA_AUTO scratch = arena_new(16 << 20);
      struct effect effect;
      judged(side, major, statements[i] + (*statements[i] == '~'), scratch, &effect);
      for (size_t f = 0; f < effect.facts.count; f++) {
        char key[200];
        snprintf(key, sizeof key, "%s: %s", effect.operation, effect.facts.items[f].name);
        if (effect.facts.items[f].fact == FACT_OTHER_SERVER) json_object_set_new(met, key, json_true());
      }
    }
  size_t seen = json_object_size(met);
  json_decref(met);
  assert_int_equal(seen, versions_count());
}

/* --- newer than the parser --- */

static const char *const unparsed[] = {
    "CREATE TABLE x (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)",
    "ALTER TABLE vt ADD CONSTRAINT x NOT NULL b NOT VALID",
    "ALTER TABLE vt ADD CONSTRAINT x CHECK (a > 0) NOT ENFORCED",
    "CREATE TABLE x (id int4, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS))",
    "VACUUM ONLY vp",
};

/* Whoever runs a server newer than the parser is told that the error may be the parser's; who runs an older one is not. */
static void the_parser_knows_its_limits(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof unparsed / sizeof *unparsed; i++) {
    ARENA_AUTO scratch = arena_new(16 << 20);
    ERROR_AUTO err = {0};
    struct sql_script script;
    assert_int_equal(sql_split(unparsed[i], strlen(unparsed[i]), scratch, &script, &err), OK);
    assert_string_equal(script.fault.sqlstate, "42601");
    const char *plain = script.fault.message;
    versions_explain(170000, scratch, &script.fault);
    assert_ptr_equal(script.fault.message, plain);
    versions_explain(180004, scratch, &script.fault);
    if (!strstr(script.fault.message, plain) || !strstr(script.fault.message, "up to PostgreSQL 17") ||
        !strstr(script.fault.message, "the server is 18"))
      fail_msg("%s: %s", unparsed[i], script.fault.message);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_server_agrees),
      cmocka_unit_test(each_row_is_met),
      cmocka_unit_test(the_parser_knows_its_limits),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
