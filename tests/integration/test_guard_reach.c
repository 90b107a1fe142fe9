/* test_guard_reach.c - what a statement leads to without naming it: foreign tables below views and partitions, catalogs and calls in
 * views, checks of domains, casts that showing a value would take, schemas of the search path that the snapshot leaves out. */
#include "tests/support/guarded.h"

#include "common/json.h"
#include "worker/query/session.h"

static struct guarded_world world;
static int major;

/* Everything of somebody's own raises when it is called. */
static const char more[] =
    "CREATE EXTENSION file_fdw; CREATE EXTENSION hstore SCHEMA public; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;"
    "CREATE FOREIGN TABLE shop.program (line text) SERVER files OPTIONS (program 'echo called; exit 1');"
    "CREATE VIEW shop.over_program AS SELECT * FROM shop.program; CREATE VIEW shop.over_over AS SELECT 1 AS n FROM shop.over_program;"
    "CREATE TABLE shop.parts (line text) PARTITION BY LIST (line);"
    "CREATE FOREIGN TABLE shop.part PARTITION OF shop.parts FOR VALUES IN ('x') SERVER files OPTIONS (program 'echo called; exit 1');"
    "CREATE TABLE shop.parent (line text);"
    "CREATE FOREIGN TABLE shop.child () INHERITS (shop.parent) SERVER files OPTIONS (program 'echo called; exit 1');"
    "CREATE MATERIALIZED VIEW shop.kept AS SELECT * FROM shop.program WITH NO DATA;"
    "CREATE VIEW shop.logins AS SELECT rolname, rolpassword FROM pg_authid;"
    "CREATE VIEW shop.columns AS SELECT table_name FROM information_schema.columns;"
    "CREATE VIEW shop.sleeps AS SELECT id, pg_sleep(0)::text AS s FROM shop.orders;"
    "CREATE VIEW shop.sleeps_in_from AS SELECT count(*) FROM pg_sleep(0);"
    "CREATE VIEW shop.tenants AS SELECT id FROM shop.orders WHERE note IS DISTINCT FROM current_setting('app.tenant', true);"
    "CREATE FUNCTION shop.called(text) RETURNS bool LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$ BEGIN RAISE 'called'; END $$;"
    "CREATE FUNCTION shop.checked(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;"
    "CREATE VIEW shop.acts AS SELECT id, shop.called(note) AS c FROM shop.orders;"
    "CREATE FUNCTION shop.shout(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN upper($1); END $$;" /* VOLATILE, as most are */
    "CREATE VIEW shop.shouts AS SELECT id, shop.shout('x') AS c FROM shop.orders;"
    "CREATE AGGREGATE shop.last (text) (sfunc = textcat, stype = text);"
    "CREATE VIEW shop.lasts AS SELECT shop.last('x'::text) AS c FROM shop.orders;"
    "CREATE DOMAIN shop.traps AS text CHECK (shop.called(VALUE)); CREATE DOMAIN shop.traps_too AS shop.traps;"
    "CREATE DOMAIN shop.\"Odd. Trap\" AS text CHECK (shop.called(VALUE));"
    "CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0 AND VALUE IN (1, 2, 3));"
    "CREATE DOMAIN shop.mails AS text CHECK (shop.checked(VALUE));"
    "CREATE DOMAIN shop.tables AS regclass;"
    "CREATE TYPE shop.boxed AS (n int, t shop.traps);"
    "CREATE TABLE shop.holds (id int, t shop.traps, p shop.positive, m shop.mails); CREATE TABLE shop.plain (id int, p shop.positive);"
    "CREATE TYPE shop.spy AS ENUM ('x'); CREATE TYPE shop.seen AS (n int);"
    "CREATE FUNCTION shop.spy_text(shop.spy) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;"
    "CREATE FUNCTION shop.seen_text(shop.seen) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;"
    "CREATE CAST (shop.spy AS text) WITH FUNCTION shop.spy_text(shop.spy);"
    "CREATE CAST (shop.seen AS text) WITH FUNCTION shop.seen_text(shop.seen);"
    "CREATE FUNCTION shop.json_seen(json) RETURNS shop.seen LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;"
    "CREATE CAST (json AS shop.seen) WITH FUNCTION shop.json_seen(json);"
    "CREATE TYPE shop.kinds AS ENUM ('a', 'b');"
    "CREATE TABLE shop.spied (id int, s shop.spy, c shop.seen, note text, kind shop.kinds);"
    "INSERT INTO shop.spied VALUES (1, 'x', ROW(7), 'n', 'a')";

static int setup(void **state) {
  guarded_begin(&world, major, more);
  *state = &world;
  return 0;
}

/* The rule that refuses it, in `rule`; "": it ran, and the first cell, if there is a row, is in `cell`. */
static void outcome(const char *sql, struct arena *arena, const char **ret_rule, const char **ret_cell) {
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = NULL;
  struct guarded *guarded;
  struct query_result *result;
  *ret_rule = *ret_cell = "";
  if (guard_check(world.snapshot, sql, strlen(sql), NULL, arena, &guarded, &err)) {
    const json_t *first = json_array_get(json_object_get(err.details, "violations"), 0);
    *ret_rule = arena_strdup(arena, json_str(first, "rule", err.code));
    return;
  }
  if (query_session_open_string(&world.cfg, world.reader, arena, &session, &err)) fail_msg("%s", err.message);
  if (query_session_run(session, guarded, NULL, arena, &result, &err)) {
    if (strstr(err.message, "called")) fail_msg("it was called: %s", sql);
    fail_msg("%s: %s", sql, err.message);
  }
  if (result->row_count && result->column_count && result->cells[0].text) *ret_cell = result->cells[0].text;
}

struct reach {
  const char *sql, *rule, *cell; /* rule "": it runs; cell: the first one, NULL: not looked at */
  int since;
};

static void check_all(const struct reach *cases, size_t count) {
  int wrong = 0;
  for (size_t i = 0; i < count; i++) {
    ARENA_AUTO arena = arena_new((size_t)64 << 20);
    const char *rule, *cell;
    if (cases[i].since > major) continue;
    outcome(cases[i].sql, arena, &rule, &cell);
    if (strcmp(rule, cases[i].rule) == 0 && (!cases[i].cell || strcmp(cell, cases[i].cell) == 0)) continue;
    print_error("%s\n  \"%s\" (%s), not \"%s\" (%s)\n", cases[i].sql, rule, cell, cases[i].rule, cases[i].cell ? cases[i].cell : "");
    wrong++;
  }
  assert_int_equal(wrong, 0);
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof *(cases))

static void test_relations(void **state) {
  (void)state;
  static const struct reach cases[] = {{"SELECT * FROM shop.over_program", "relation-kind", NULL, 0},
                                       {"SELECT * FROM shop.over_over", "relation-kind", NULL, 0},
                                       {"SELECT * FROM shop.parts", "relation-kind", NULL, 0},
                                       {"SELECT * FROM shop.parent", "relation-kind", NULL, 0},
                                       {"SELECT * FROM ONLY shop.parent", "", NULL, 0},
                                       {"SELECT * FROM shop.logins", "catalog", NULL, 0},
                                       {"SELECT * FROM shop.columns", "catalog", NULL, 0},
                                       {"SELECT id FROM shop.sleeps", "view-calls", NULL, 0},
                                       {"SELECT * FROM shop.sleeps_in_from", "view-calls", NULL, 0},
                                       {"SELECT id FROM shop.acts", "view-calls", NULL, 0},
                                       {"SELECT count(c) FROM shop.shouts", "", NULL, 0},
                                       {"SELECT count(c) FROM shop.lasts", "", NULL, 0},
                                       {"SELECT count(*) FROM shop.tenants", "", NULL, 0}};
  CHECK_ALL(cases);
}

/* A view that asks with its reader's rights for one that does not; and views over views over views, of which each leads to all others. */
static void test_views_over_views(void **state) {
  (void)state;
  static const struct reach cases[] = {{"SELECT * FROM shop.asks", "view-bypasses-rls", NULL, 15},
                                       {"SELECT * FROM shop.own", "view-bypasses-rls", NULL, 15},
                                       {"SELECT * FROM shop.fair", "", NULL, 15}};
  for (int i = 0; i < 30; i++) {
    char sql[400];
    snprintf(sql, sizeof sql, "CREATE VIEW shop.layer%d AS SELECT 1 AS n FROM ", i);
    for (int below = i - 5 < 0 ? 0 : i - 5; below < i; below++)
      snprintf(sql + strlen(sql), sizeof sql - strlen(sql), "shop.layer%d l%d, ", below, below);
    snprintf(sql + strlen(sql), sizeof sql - strlen(sql), "shop.orders LIMIT 1");
    harness_sql(world.url, sql);
  }
  if (major >= 15)
    harness_sql(world.url, "CREATE VIEW shop.asks WITH (security_invoker = true) AS SELECT * FROM private.all_secrets;"
                           "CREATE VIEW shop.fair WITH (security_invoker = true) AS SELECT * FROM private.secrets;"
                           "CREATE VIEW shop.own AS SELECT * FROM shop.fair");
  harness_sql(world.url, "GRANT SELECT ON ALL TABLES IN SCHEMA shop TO shop_reader");
  world.snapshot = guarded_look(world.url, major, world.arena);
  CHECK_ALL(cases);
  ERROR_AUTO err = {0};
  struct guarded *guarded; /* never run: the server goes every way there is */
  assert_int_equal(guard_check(world.snapshot, "SELECT * FROM shop.layer29", 26, NULL, world.arena, &guarded, &err), OK);
}

static void test_domains(void **state) {
  (void)state;
  static const struct reach cases[] = {
      {"SELECT 'x'::shop.traps", "domain-not-allowed", NULL, 0},
      {"SELECT 'x'::shop.\"Odd. Trap\"", "domain-not-allowed", NULL, 0},
      {"SELECT 'x'::shop.traps_too", "domain-not-allowed", NULL, 0},
      {"SELECT CAST (note AS traps) FROM shop.spied", "domain-not-allowed", NULL, 0},
      {"SELECT ARRAY['x']::shop.traps[]", "domain-not-allowed", NULL, 0},
      {"SELECT ROW(1, 'x')::shop.boxed", "domain-not-allowed", NULL, 0},
      {"SELECT * FROM json_to_record('{\"a\":\"q\"}') AS t(a shop.traps)", "domain-not-allowed", NULL, 0},
      {"SELECT jsonb_populate_record(NULL::shop.holds, '{\"t\":\"q\"}')", "domain-not-allowed", NULL, 0},
      {"SELECT json_populate_record(h, '{\"t\":\"q\"}') FROM shop.holds h", "domain-not-allowed", NULL, 0},
      {"SELECT h #= 't=>q' FROM shop.holds h", "domain-not-allowed", NULL, 0},
      {"SELECT JSON_VALUE('{\"a\":\"q\"}', '$.a' RETURNING shop.traps)", "domain-not-allowed", NULL, 17},
      {"SELECT * FROM JSON_TABLE('[\"x\"]'::jsonb, '$[*]' COLUMNS (a shop.traps PATH '$')) t", "domain-not-allowed", NULL, 17},
      {"SELECT 'x'::shop.mails", "domain-not-allowed", NULL, 0},
      {"SELECT 'pg_authid'::shop.tables", "type-not-allowed", NULL, 0},
      {"SELECT t, p, m FROM shop.holds WHERE t = 'x'", "", NULL, 0}, /* what is stored is not checked again */
      {"SELECT 2::shop.positive", "", "2", 0},
      {"SELECT jsonb_populate_record(NULL::shop.plain, '{\"id\":5,\"p\":1}')", "", "(5,1)", 0}};
  CHECK_ALL(cases);
}

/* Checks that lead back to their own domain, and many that lead to the same. Never run: the server goes every way there is. */
static void test_domains_over_domains(void **state) {
  (void)state;
  static const char *const statements[] = {"SELECT 1::shop.turns", "SELECT 1::shop.chain39"};
  harness_sql(world.url, "CREATE DOMAIN shop.turns AS int; ALTER DOMAIN shop.turns ADD CHECK (VALUE::shop.turns > 0);"
                         "CREATE DOMAIN shop.chain0 AS int CHECK (VALUE > 0)");
  for (int i = 1; i < 40; i++) {
    char sql[200];
    snprintf(sql, sizeof sql, "CREATE DOMAIN shop.chain%d AS int CHECK (VALUE::shop.chain%d > 0) CHECK (VALUE::shop.chain%d < 9)", i, i - 1,
             i - 1);
    harness_sql(world.url, sql);
  }
  world.snapshot = guarded_look(world.url, major, world.arena);
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
    ERROR_AUTO err = {0};
    struct guarded *guarded;
    assert_int_equal(guard_check(world.snapshot, statements[i], strlen(statements[i]), NULL, world.arena, &guarded, &err), OK);
  }
}

static void test_casts_to_show(void **state) {
  (void)state;
  static const struct reach cases[] = {{"SELECT s FROM shop.spied", "", "x", 0},
                                       {"SELECT c FROM shop.spied", "", "(7)", 0},
                                       {"SELECT array_agg(s) FROM shop.spied", "", "{x}", 0},
                                       {"SELECT max(s) FROM shop.spied", "", "x", 0},
                                       {"SELECT NULL::shop.seen", "", "", 0},
                                       {"SELECT s::text FROM shop.spied", "cast-not-allowed", NULL, 0},
                                       {"SELECT kind::text FROM shop.spied", "", "a", 0}, /* a cast of another type */
                                       {"SELECT s || 'x' FROM shop.spied", "cast-not-allowed", NULL, 0},
                                       {"SELECT 'x' || c FROM shop.spied", "cast-not-allowed", NULL, 0},
                                       {"SELECT note || 'x' FROM shop.spied", "", "nx", 0},
                                       {"SELECT a FROM json_to_record('{\"a\": \"v\"}') AS t(a text)", "", "v", 0},
                                       {"SELECT JSON_OBJECT('a': 1 RETURNING shop.seen)", "cast-not-allowed", NULL, 16},
                                       {"SELECT '10.0.0.1'::inet", "", "10.0.0.1", 0},
                                       {"SELECT 'ab'::char(5)", "", "ab", 0},
                                       {"SELECT true", "", "true", 0},
                                       {"SELECT 'n'::name", "", "n", 0},
                                       {"SELECT ROW(NULL, NULL)", "", "(,)", 0},
                                       {"SELECT '{}'::jsonb", "", "{}", 0},
                                       {"SELECT date '2024-02-29'", "", "2024-02-29", 0}};
  CHECK_ALL(cases);
}

static void test_types_as_calls(void **state) {
  (void)state;
  static const struct reach cases[] = {{"SELECT regrole('postgres')", "function-not-allowed", NULL, 0},
                                       {"SELECT pg_catalog.regnamespace('shop')", "function-not-allowed", NULL, 0},
                                       {"SELECT refcursor('x')", "function-not-allowed", NULL, 0},
                                       {"SELECT aclitem('=r/postgres')", "function-not-allowed", NULL, 0},
                                       {"SELECT date('2024-01-01'), int4('1')", "", "2024-01-01", 0}};
  CHECK_ALL(cases);
}

/* A schema that the snapshot leaves out is not where names are looked for, whatever the role's search path says. */
static void test_left_out_schemas(void **state) {
  (void)state;
  static const struct reach cases[] = {{"SELECT pw FROM people", "", "seen", 0},
                                       {"SELECT length(pw) FROM people", "", "4", 0},
                                       {"SELECT pw || 1 FROM people", "", "seen1", 0},
                                       {"SELECT pw FROM hidden.people", "SCHEMA_VALIDATION_FAILED", NULL, 0}};
  harness_sql(world.url, "CREATE SCHEMA hidden; CREATE TABLE hidden.people (pw varchar); INSERT INTO hidden.people VALUES ('hidden');"
                         "CREATE TABLE shop.people (pw varchar); INSERT INTO shop.people VALUES ('seen');"
                         "CREATE FUNCTION hidden.length(varchar) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;"
                         "CREATE FUNCTION hidden.joined(varchar, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;"
                         "CREATE OPERATOR hidden.|| (LEFTARG = varchar, RIGHTARG = int, FUNCTION = hidden.joined);"
                         "GRANT USAGE ON SCHEMA hidden TO shop_reader; GRANT SELECT ON hidden.people, shop.people TO shop_reader;"
                         "ALTER ROLE shop_reader SET search_path = hidden, shop, public");
  PGconn *conn = harness_connect(world.reader);
  struct catalog_reader reader = {.conn = conn, .arena = world.arena, .excluded = "{hidden}", .major = major};
  ERROR_AUTO err = {0};
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("introspection: %s", err.message);
  struct snapshot *kept = world.snapshot;
  json_t *root = arena_json(world.arena, json_incref(reader.root));
  json_object_set_new(root, "server_version_num", json_integer(PQserverVersion(conn)));
  catalog_end(&reader);
  PQfinish(conn);
  if (snapshot_load(root, world.arena, &world.snapshot, &err)) fail_msg("%s", err.message);
  CHECK_ALL(cases);
  world.snapshot = kept;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_relations),       cmocka_unit_test(test_views_over_views),
                                     cmocka_unit_test(test_domains),         cmocka_unit_test(test_domains_over_domains),
                                     cmocka_unit_test(test_casts_to_show),   cmocka_unit_test(test_types_as_calls),
                                     cmocka_unit_test(test_left_out_schemas)};
  return harness_each_major(&major, tests, setup, guarded_teardown);
}
