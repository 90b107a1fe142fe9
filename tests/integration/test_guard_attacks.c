/* test_guard_attacks.c - what has been tried against read-only guards, against a real server: nothing passes the guard; and with the guard
 * switched off, the database's own layers (role, extended protocol, read-only transaction, wrapping, timeouts) stop what the table says. */
#include "tests/support/guarded.h"

#include <unistd.h>

#include "common/json.h"
#include "worker/query/session.h"

static struct guarded_world world;
static int major;

#define STOPPED '-' /* an error, and nothing has changed */
#define RUNS '+'    /* only the guard keeps it out */

/* The 31 classes and variants of them. How each ends without the guard: as a role that may only read, as a superuser. */
static const struct attack {
  int class;
  const char *sql;
  char reader, superuser;
} attacks[] = {
    {1, "SELECT 1; COMMIT; INSERT INTO shop.products VALUES (999, 'x', 'x', 'x', 1)", STOPPED, STOPPED},
    {1, "SELECT 1) q; COMMIT; INSERT INTO shop.products VALUES (999, 'x', 'x', 'x', 1); SELECT (1", STOPPED, STOPPED},
    {2, "COMMIT", STOPPED, STOPPED},
    {2, "ROLLBACK", STOPPED, STOPPED},
    {2, "INSERT INTO shop.products VALUES (999, 'x', 'x', 'x', 1)", STOPPED, STOPPED},
    {3, "SET TRANSACTION READ WRITE", STOPPED, STOPPED},
    {3, "SET statement_timeout = 0", STOPPED, STOPPED},
    {4, "SELECT set_config('transaction_read_only', 'off', true)", STOPPED, STOPPED},
    {5, "SELECT set_config('statement_timeout', '0', false)", RUNS, RUNS},
    {5, "SELECT * FROM set_config('statement_timeout', '0', true)", RUNS, RUNS},
    {6,
     "WITH t AS MATERIALIZED (SELECT set_config('app.tenant', '2', true) AS x) SELECT s.secret FROM t, LATERAL (SELECT secret FROM "
     "private.secrets WHERE t.x IS NOT NULL) s",
     RUNS, RUNS},
    {7, "SELECT * FROM private.all_secrets", RUNS, RUNS},
    {7, "SELECT count(*) FROM (SELECT tenant FROM private.all_secrets) x", RUNS, RUNS},
    {7, "SELECT o.id FROM shop.orders o WHERE EXISTS (SELECT 1 FROM private.over_all_secrets)", RUNS, RUNS},
    {8, "SELECT \"set_config\"('app.tenant', '2', true)", RUNS, RUNS},
    {8, "SELECT U&\"\\0073et_config\"('app.tenant', '2', true)", RUNS, RUNS},
    {8, "SELECT pg_catalog.\"set_config\"('app.tenant', '2', true)", RUNS, RUNS},
    {8, "SELECT/**/pg_catalog . set_config('app.tenant', '2', true)", RUNS, RUNS},
    {9, "SELECT c.row_to_json FROM shop.customers c", RUNS, RUNS},
    {9, "SELECT (c).to_jsonb FROM shop.customers c", RUNS, RUNS},
    {9, "SELECT ('0.01'::float8).pg_sleep", RUNS, RUNS},
    {9, "SELECT x.query FROM (SELECT ('0.01'::float8).pg_sleep AS query) x", RUNS, RUNS},
    {10, "SELECT * FROM pg_read_file('/etc/passwd')", STOPPED, RUNS},
    {10, "SELECT * FROM ROWS FROM (generate_series(1, 2), pg_read_file('/etc/passwd')) r", STOPPED, RUNS},
    {10, "SELECT * FROM shop.customers c JOIN LATERAL (SELECT * FROM pg_ls_dir('.')) f ON true", STOPPED, RUNS},
    {10, "SELECT count(*) FILTER (WHERE pg_read_file('/etc/passwd') IS NOT NULL) FROM shop.orders", STOPPED, RUNS},
    {10, "SELECT row_number() OVER (PARTITION BY pg_read_file('/etc/passwd') ORDER BY id) FROM shop.orders", STOPPED, RUNS},
    {10, "SELECT id FROM shop.orders ORDER BY pg_read_file('/etc/passwd')", STOPPED, RUNS},
    {10, "SELECT id FROM shop.orders LIMIT length(pg_read_file('/etc/passwd'))", STOPPED, RUNS},
    {10, "VALUES (pg_read_file('/etc/passwd'))", STOPPED, RUNS},
    {10, "SELECT CASE WHEN true THEN pg_read_file('/etc/passwd') END", STOPPED, RUNS},
    {10, "SELECT ARRAY[pg_read_file('/etc/passwd')]", STOPPED, RUNS},
    {10, "SELECT DISTINCT ON (pg_read_file('/etc/passwd')) id FROM shop.orders", STOPPED, RUNS},
    {10, "SELECT 1 GROUP BY pg_read_file('/etc/passwd')", STOPPED, RUNS},
    {10, "SELECT id FROM shop.orders TABLESAMPLE BERNOULLI (length(pg_read_file('/etc/passwd')) % 100)", STOPPED, RUNS},
    {10, "SELECT JSON_OBJECT('a': pg_read_file('/etc/passwd'))", STOPPED, RUNS},
    {11, "SELECT query_to_xml('SELECT * FROM private.secrets', true, false, '')", RUNS, RUNS},
    {11, "SELECT table_to_xml('private.secrets', true, false, '')", RUNS, RUNS},
    {11, "SELECT database_to_xml(true, false, '')", RUNS, RUNS},
    {11, "SELECT schema_to_xml('private', true, false, '')", RUNS, RUNS},
    {11, "SELECT * FROM ts_stat('SELECT search FROM shop.products')", RUNS, RUNS},
    {11, "SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery')", RUNS, RUNS},
    {11, "SELECT query_to_xml('DELETE FROM shop.orders RETURNING id', true, false, '')", STOPPED, STOPPED},
    {12, "COPY (SELECT 1) TO PROGRAM 'touch /tmp/autodb-attack'", STOPPED, STOPPED},
    {12, "COPY shop.orders TO STDOUT", STOPPED, STOPPED},
    /* no server listens where dblink looks by default; where one does, a superuser's DELETE is committed outside of our transaction */
    {13, "SELECT dblink_exec('dbname=shop', 'DELETE FROM shop.orders')", STOPPED, STOPPED},
    {13, "SELECT * FROM dblink('dbname=shop', 'SELECT 1') AS t(a int)", STOPPED, STOPPED},
    {14, "SELECT * FROM shop.program", RUNS, RUNS},
    {15, "SELECT pg_read_binary_file('/etc/passwd')", STOPPED, RUNS},
    {15, "SELECT pg_stat_file('/etc/passwd')", STOPPED, RUNS},
    {15, "SELECT lo_import('/etc/passwd')", STOPPED, STOPPED},
    {16, "SELECT pg_terminate_backend(0)", RUNS, RUNS},
    {16, "SELECT pg_cancel_backend(0)", RUNS, RUNS},
    {17, "SELECT pg_advisory_lock(42)", RUNS, RUNS},
    {17, "SELECT pg_try_advisory_xact_lock(42)", RUNS, RUNS},
    {18, "SELECT pg_logical_emit_message(false, 'a', 'b')", RUNS, RUNS},
    {19, "SELECT txid_current()", RUNS, RUNS},
    {19, "SELECT pg_current_xact_id()", RUNS, RUNS},
    {20, "SELECT pg_export_snapshot()", RUNS, RUNS},
    {20, "SELECT pg_notify('a', 'b')", RUNS, RUNS},
    {20, "LISTEN a", STOPPED, STOPPED},
    {20, "PREPARE p AS SELECT 1", STOPPED, STOPPED},
    {20, "DECLARE c CURSOR WITH HOLD FOR SELECT 1", STOPPED, STOPPED},
    {20, "DO $$ BEGIN END $$", STOPPED, STOPPED},
    {20, "LOCK TABLE shop.orders IN ACCESS SHARE MODE", STOPPED, STOPPED},
    {20, "CALL shop.bump()", STOPPED, STOPPED},
    {20, "EXPLAIN ANALYZE SELECT 1", STOPPED, STOPPED},
    {20, "SHOW ALL", STOPPED, STOPPED},
    {21, "SELECT pg_reload_conf()", STOPPED, RUNS},
    {21, "SELECT pg_switch_wal()", STOPPED, RUNS},
    {21, "SELECT pg_stat_reset()", STOPPED, RUNS},
    {21, "SELECT pg_create_restore_point('x')", STOPPED, RUNS},
    {22, "SELECT nextval('shop.seq')", STOPPED, STOPPED},
    {22, "SELECT lo_creat(-1)", STOPPED, STOPPED},
    {22, "SELECT * INTO shop.copy FROM shop.orders", STOPPED, STOPPED},
    {22, "CREATE TEMP TABLE t AS SELECT 1", STOPPED, STOPPED},
    {22, "SELECT * FROM shop.orders FOR UPDATE", STOPPED, STOPPED},
    {22, "SELECT * FROM (SELECT * FROM shop.orders FOR KEY SHARE) x", STOPPED, STOPPED},
    {22, "WITH d AS (DELETE FROM shop.orders RETURNING id) SELECT * FROM d", STOPPED, STOPPED},
    {22, "SELECT * FROM (WITH d AS (UPDATE shop.orders SET note = 'x' RETURNING id) SELECT * FROM d) x", STOPPED, STOPPED},
    {22, "SELECT shop.writes()", STOPPED, STOPPED},
    {23, "SELECT pg_sleep(30)", STOPPED, STOPPED},
    {23, "SELECT count(*) FROM generate_series(1, 100000000000)", STOPPED, STOPPED},
    {23, "SELECT count(*) FROM shop.orders a, shop.orders b, shop.orders c, shop.orders d, pg_sleep(0)", STOPPED, STOPPED},
    {24, "SELECT length(repeat('x', 1000000000))", RUNS, RUNS},
    {24, "SELECT length(repeat('x', '2000000'))", RUNS, RUNS},
    {24, "SELECT length(repeat(repeat('x', 10000), 10000))", RUNS, RUNS},
    {24, "SELECT length(lpad('x', 2000000))", RUNS, RUNS},
    {24, "SELECT length(format('%2000000s', 'x'))", RUNS, RUNS},
    {24, "SELECT length('x'::char(10000000)::text || 'y')", RUNS, RUNS},
    {24, "SELECT cardinality(array_fill(0, ARRAY[1000000]))", RUNS, RUNS},
    {24, "SELECT length(string_agg(repeat('x', 10000), '')) FROM generate_series(1, 20000)", RUNS, RUNS},
    {24, "SELECT cardinality(array_agg(repeat('x', 1000))) FROM generate_series(1, 300) a, generate_series(1, 300) b", RUNS, RUNS},
    {26, "SELECT repeat('x', 200000000)", RUNS, RUNS},
    {26, "SELECT lpad('x', 20000000)", RUNS, RUNS},
    {26, "SELECT array_to_string(array_fill('x'::text, ARRAY[10000, 1000]), '')", RUNS, RUNS},
    {27,
     "SELECT 1 FROM shop.customers a1, shop.customers a2, shop.customers a3, shop.customers a4, shop.customers a5, shop.customers a6, "
     "shop.customers a7, shop.customers a8, shop.customers a9, "
     "shop.customers a10, shop.customers a11, shop.customers a12, shop.customers a13, shop.customers a14, shop.customers a15, "
     "shop.customers a16, shop.customers a17, shop.customers a18, "
     "shop.customers a19, shop.customers a20, shop.customers a21, shop.customers a22, shop.customers a23, shop.customers a24, "
     "shop.customers a25 LIMIT 1",
     RUNS, RUNS},
    {29, "SELECT query FROM pg_stat_activity", RUNS, RUNS},
    {29, "SELECT * FROM pg_catalog.pg_authid", STOPPED, RUNS},
    {29, "SELECT oid FROM customers", STOPPED, STOPPED},
    {29, "SELECT * FROM (TABLE pg_class) x", RUNS, RUNS},
    {29, "SELECT prosrc FROM pg_catalog.pg_proc", RUNS, RUNS},
    {29, "SELECT * FROM information_schema.tables", RUNS, RUNS},
    {29, "TABLE pg_settings", RUNS, RUNS},
    {29, "SELECT pg_get_functiondef(1)", RUNS, RUNS},
    {29, "SELECT current_setting('server_version')", RUNS, RUNS},
    {29, "SELECT 'pg_shadow'::regclass", RUNS, RUNS},
    {29, "SELECT has_table_privilege('private.secrets', 'SELECT')", RUNS, RUNS},
    {30, "SELECT shop.as_owner()", RUNS, RUNS},
    {30, "SELECT shop.bump()", RUNS, RUNS},
    {30, "SELECT shop.net_price(1)", RUNS, RUNS},   /* harmless, but nobody said so */
    {30, "SELECT lower('x'::varchar)", RUNS, RUNS}, /* a user's lower(varchar) hides PostgreSQL's */
    {30, "SELECT 1 OPERATOR(shop.###) 2", RUNS, RUNS},
    {30, "SELECT 1::shop.token", RUNS, RUNS}, /* a cast that is a function call */
    {30, "SELECT CAST (length(note) AS shop.token) FROM shop.orders", RUNS, RUNS},
    {30, "SELECT ARRAY[1, 2]::shop.token[]", RUNS, RUNS},
    {31, "SELECT xpath('/a', '<a/>')", RUNS, RUNS},
    {31, "SELECT XMLPARSE(DOCUMENT '<a/>')", RUNS, RUNS},
};
#define ATTACKS (sizeof attacks / sizeof *attacks)

static const char more[] =
    "CREATE EXTENSION dblink; CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"
    "CREATE FOREIGN TABLE shop.program (line text) SERVER files OPTIONS (program 'echo x');"
    "CREATE SEQUENCE shop.seq;"
    "CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT ''hijacked''';"
    "CREATE FUNCTION shop.plus(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1';"
    "CREATE OPERATOR shop.### (LEFTARG = int, RIGHTARG = int, FUNCTION = shop.plus);"
    "CREATE VIEW private.over_all_secrets AS SELECT * FROM private.all_secrets;"
    "CREATE TYPE shop.token AS (n int);"
    "CREATE FUNCTION shop.to_token(int) RETURNS shop.token LANGUAGE sql VOLATILE AS 'SELECT ROW($1)::shop.token';"
    "CREATE CAST (int AS shop.token) WITH FUNCTION shop.to_token(int);"
    "CREATE FUNCTION shop.writes() RETURNS void LANGUAGE sql VOLATILE AS 'INSERT INTO shop.products VALUES (998, ''y'', ''y'', ''y'', 1)'";

static int setup(void **state) {
  guarded_begin(&world, major, more);
  *state = &world;
  return 0;
}

static void test_none_passes_the_guard(void **state) {
  (void)state;
  int passed = 0;
  for (size_t i = 0; i < ATTACKS; i++) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    ERROR_AUTO err = {0};
    struct guarded *guarded;
    if (!guard_check(world.snapshot, attacks[i].sql, strlen(attacks[i].sql), NULL, arena, &guarded, &err)) {
      print_error("class %d passes the guard: %s\n", attacks[i].class, attacks[i].sql);
      passed++;
    } else {
      assert_true(*err.message && err.details);
      if (getenv("AUTODB_TEST_SHOW")) print_message("%2d %s: %s\n     %s\n", attacks[i].class, err.code, err.message, attacks[i].sql);
    }
  }
  print_message("%zu attacks\n", ATTACKS);
  assert_int_equal(passed, 0);
}

/* Of everything that could have changed. */
static long long canary(void) {
  return harness_count(
      world.url,
      "SELECT (SELECT count(*) * 7 + sum(id) FROM shop.products) + (SELECT count(*) FROM shop.orders WHERE note IS DISTINCT FROM 'x')"
      " + (SELECT count(*) FROM pg_class WHERE relname IN ('copy', 't')) + (SELECT count(*) FROM pg_largeobject_metadata)"
      " + (SELECT last_value FROM shop.seq)");
}

static void without_guard(const char *url, bool superuser) {
  ERROR_AUTO opening = {0};
  QUERY_SESSION_AUTO session = NULL;
  long long before = canary();
  int other = 0;
  for (size_t i = 0; i < ATTACKS; i++) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    ERROR_AUTO err = {0};
    const struct guarded guarded = {.sql = attacks[i].sql};
    const struct query_limits limits = {.unchecked_role = true, .max_cost = -1, .statement_ms = 500};
    struct query_result *result;
    if (major < 16 && strstr(attacks[i].sql, "JSON_OBJECT")) continue; /* no syntax there */
    if (!session && query_session_open_string(&world.cfg, url, arena, &session, &opening)) fail_msg("%s", opening.message);
    bool ran = !query_session_run(session, &guarded, &limits, arena, &result, &err);
    char want = superuser ? attacks[i].superuser : attacks[i].reader;
    if (major < 16 && strstr(attacks[i].sql, " lo_creat")) want = RUNS; /* large objects are written in READ ONLY until 15; rolled back */
    if (major < 16 && superuser && strstr(attacks[i].sql, " lo_import")) want = RUNS;
    bool slow = strcmp(err.code, "STATEMENT_TIMEOUT") == 0;
    if (ran != (want == RUNS) && !(want == RUNS && slow)) {
      print_error("class %d %s, expected %c: %s\n  %s %s\n", attacks[i].class, ran ? "runs" : "is stopped", want, attacks[i].sql, err.code,
                  err.message);
      other++;
    }
    if (strcmp(err.code, "STATEMENT_TIMEOUT") == 0 || err.status == ERR_UNAVAILABLE) {
      query_session_close(session);
      session = NULL;
    }
  }
  assert_int_equal(other, 0);
  assert_int_equal(canary(), before);
}

static void test_reader_without_guard(void **state) {
  (void)state;
  without_guard(world.reader, false);
}
static void test_superuser_without_guard(void **state) {
  (void)state;
  without_guard(world.url, true);
  assert_int_not_equal(access("/tmp/autodb-attack", F_OK), 0);
}

/* --- resources: what no list can tell, limits end --- */

/* Classes 25 and 26 where the guard lets them pass (an ordinary sort, an ordinary cell), and 28, which no parser of ours is to see. */
static void test_resources(void **state) {
  (void)state;
  static const struct {
    int class;
    const char *sql, *code;
    struct query_limits limits;
  } cases[] = {
      {25,
       "SELECT count(DISTINCT md5(a::text) || b::text) FROM generate_series(1, 1000000) a, generate_series(1, 2) b",
       "EXECUTION_FAILED",
       {.max_cost = -1, .statement_ms = 60000}},
      {25, "SELECT a.id, md5(b.id::text) FROM shop.orders a, shop.orders b, shop.orders c ORDER BY 2", "GUARDRAIL_VIOLATION", {0}},
      {26, "SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000000) i", NULL, {.max_cost = -1}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    ERROR_AUTO err = {0};
    QUERY_SESSION_AUTO session = NULL;
    struct guarded *guarded;
    struct query_result *result;
    if (guard_check(world.snapshot, cases[i].sql, strlen(cases[i].sql), NULL, arena, &guarded, &err)) fail_msg("%s", err.message);
    if (query_session_open_string(&world.cfg, world.reader, arena, &session, &err)) fail_msg("%s", err.message);
    enum status status = query_session_run(session, guarded, &cases[i].limits, arena, &result, &err);
    if (cases[i].code && (!status || strcmp(err.code, cases[i].code) != 0))
      fail_msg("class %d: %s %s", cases[i].class, err.code, err.message);
    if (!cases[i].code && (status || strlen(result->cells[0].text) > 2000 || !result->cells[0].cut))
      fail_msg("class %d: %s", cases[i].class, err.message);
  }
  char *deep = malloc(60001);
  assert_non_null(deep);
  memcpy(deep, "SELECT 1", 9);
  for (size_t at = 8; at + 2 < 60000; at += 2) memcpy(deep + at, "+1", 3); /* class 28: 20,000 terms and more */
  static const char *const variants[] = {"%s", "SELECT (%s)", "SELECT 1 WHERE %s > 0"};
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
    for (size_t size = 4000; size < 60000; size *= 3) {
      ARENA_AUTO arena = arena_new((size_t)64 << 20);
      ERROR_AUTO err = {0};
      struct guarded *guarded;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      const char *sql = arena_printf(arena, variants[i], arena_strndup(arena, deep + (i ? 7 : 0), size + (i ? 0 : 1) - size % 2));
#pragma GCC diagnostic pop
      assert_int_equal(guard_check(world.snapshot, sql, strlen(sql), NULL, arena, &guarded, &err), ERR_VALIDATION);
      assert_string_equal(err.code, "GUARDRAIL_VIOLATION");
    }
  free(deep);
}

/* --- roles --- */

static enum status check_role(const char *url, json_t **ret_details) {
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = NULL;
  if (query_session_open_string(&world.cfg, url, world.arena, &session, &err)) fail_msg("%s", err.message);
  enum status status = query_session_check_role(session, world.snapshot, NULL, &err);
  if (status) assert_string_equal(err.code, "GUARDRAIL_VIOLATION");
  if (ret_details) *ret_details = json_incref(err.details);
  return status;
}

static void test_roles(void **state) {
  (void)state;
  static const struct {
    const char *grant, *rule;
  } roles[] = {
      {"ALTER ROLE tried BYPASSRLS", "bypassrls"},
      {"CREATE ROLE boss SUPERUSER; CREATE ROLE staff IN ROLE boss; GRANT staff TO tried", "superuser"},
      {"CREATE ROLE seer BYPASSRLS; GRANT seer TO tried", "bypassrls"},
      {"GRANT pg_read_server_files TO tried", "file-roles"},
      {"GRANT pg_signal_backend TO tried", "powerful-roles"},
      {"GRANT INSERT ON shop.orders TO tried", "can-write"},
      {"GRANT UPDATE (note) ON shop.orders TO tried", "can-write"},
      {"GRANT TRUNCATE ON shop.orders TO tried", "can-write"},
      {"ALTER ROLE tried INHERIT; CREATE ROLE writers; GRANT DELETE ON shop.orders TO writers; GRANT writers TO tried", "can-write"},
      {"ALTER TABLE hr.employees OWNER TO tried", "owner"},
      {"ALTER ROLE tried CREATEROLE", "createrole"},
      {"GRANT INSERT ON shop.orders TO PUBLIC", "can-write"}};
  json_t *details = NULL;
  assert_int_equal(check_role(world.url, &details), ERR_FORBIDDEN);
  harness_sql(world.url, json_str(details, "create_role_sql", "")); /* what it advises */
  json_decref(details);
  harness_sql(world.url, "ALTER ROLE autodb_reader PASSWORD 'reader'");
  char advised[HARNESS_URL];
  guarded_url(world.url, "autodb_reader", advised);
  assert_int_equal(check_role(advised, NULL), OK);
  assert_int_equal(check_role(world.reader, NULL), OK);
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    char url[HARNESS_URL];
    harness_sql(world.url, "CREATE ROLE tried LOGIN PASSWORD 'reader' NOINHERIT; GRANT USAGE ON SCHEMA shop TO tried");
    harness_sql(world.url, roles[i].grant);
    guarded_url(world.url, "tried", url);
    assert_int_equal(check_role(url, &details), ERR_FORBIDDEN);
    assert_string_equal(json_str(json_array_get(json_object_get(details, "violations"), 0), "rule", ""), roles[i].rule);
    json_decref(details);
    harness_sql(world.url, "REASSIGN OWNED BY tried TO postgres; DROP OWNED BY tried; DROP ROLE tried");
  }
  harness_sql(world.url, "REVOKE INSERT ON shop.orders FROM PUBLIC");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_none_passes_the_guard), cmocka_unit_test(test_reader_without_guard),
                                     cmocka_unit_test(test_superuser_without_guard), cmocka_unit_test(test_roles),
                                     cmocka_unit_test(test_resources)};
  return harness_each_major(&major, tests, setup, guarded_teardown);
}
