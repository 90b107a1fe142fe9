/* test_guard_operators.c - operators of the client's own: seen by introspection, outside of the fingerprint, and refused by the guard
 * wherever their names are written or looked up by the language, unless their function is one that may be called. */
#include "tests/support/guarded.h"

#include "common/json.h"
#include "worker/query/session.h"

static struct guarded_world world;
static int major;

static int setup(void **state) {
  guarded_begin(&world, major, NULL);
  *state = &world;
  return 0;
}

static void fingerprint(char out[80]) {
  PGconn *conn = harness_connect(world.url);
  ARENA_AUTO arena = arena_new((size_t)1 << 28);
  ERROR_AUTO err = {0};
  struct catalog_reader reader = {.conn = conn, .arena = arena, .excluded = "{}", .major = major};
  if (catalog_begin(&reader, &err) || catalog_read(&reader, &err)) fail_msg("%s", err.message);
  snprintf(out, 80, "%s", reader.fingerprint);
  catalog_end(&reader);
  PQfinish(conn);
}

static bool allowed(const char *sql, const struct guard_rules *rules) {
  ERROR_AUTO err = {0};
  struct guarded *guarded;
  if (!guard_check(world.snapshot, sql, strlen(sql), rules, world.arena, &guarded, &err)) return true;
  if (strcmp(err.code, "GUARDRAIL_VIOLATION") != 0) fail_msg("%s: %s %s", sql, err.code, err.message);
  return false;
}

/* varchar has no operators: PostgreSQL's are of text, so that these match better. */
static const char *const calling[] = {"SELECT 'a'::varchar = 'b'::varchar",
                                      "SELECT 'a'::varchar OPERATOR(shop.=) 'b'::varchar",
                                      "SELECT 'a'::varchar IN ('b'::varchar)",
                                      "SELECT 'a'::varchar IN (SELECT 'b'::varchar)",
                                      "SELECT 'a'::varchar = ANY (ARRAY['b'::varchar])",
                                      "SELECT 'a'::varchar = ANY (SELECT 'b'::varchar)",
                                      "SELECT 'a'::varchar IS DISTINCT FROM 'b'::varchar",
                                      "SELECT nullif('a'::varchar, 'b'::varchar)",
                                      "SELECT CASE 'a'::varchar WHEN 'b'::varchar THEN 1 END",
                                      "SELECT 1 FROM (SELECT 'a'::varchar AS x) a JOIN (SELECT 'b'::varchar AS x) b USING (x)",
                                      "SELECT 1 FROM (SELECT 'a'::varchar AS x) a NATURAL JOIN (SELECT 'b'::varchar AS x) b",
                                      "SELECT 'a'::varchar BETWEEN 'b'::varchar AND 'c'::varchar",
                                      "SELECT 'a'::varchar NOT BETWEEN SYMMETRIC 'b'::varchar AND 'c'::varchar",
                                      "SELECT 'a'::varchar LIKE 'b'::varchar",
                                      "SELECT 'a'::varchar NOT ILIKE 'b'::varchar"};
#define CALLING (sizeof calling / sizeof *calling)

static void make_operators(const char *function) {
  static const char *const names[] = {"=", "<", ">=", "~~", "!~~*"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char sql[200];
    snprintf(sql, sizeof sql, "CREATE OPERATOR shop.%s (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = shop.%s)", names[i], function);
    harness_sql(world.url, sql);
  }
  world.snapshot = guarded_look(world.url, major, world.arena);
}
static void drop_operators(void) {
  harness_sql(world.url, "DROP OPERATOR shop.= (varchar, varchar), shop.< (varchar, varchar), shop.>= (varchar, varchar),"
                         " shop.~~ (varchar, varchar), shop.!~~* (varchar, varchar)");
}

static void test_operators(void **state) {
  (void)state;
  static const struct {
    const char *function, *rest;
    bool named, trusting; /* whether it passes with its function named, and in the client's own statements */
  } cases[] = {{"op_plain", "LANGUAGE plpgsql IMMUTABLE", true, true},
               {"op_volatile", "LANGUAGE plpgsql VOLATILE", false, false},
               {"op_definer", "LANGUAGE plpgsql STABLE SECURITY DEFINER", false, false}};
  const struct guard_rules named = {.functions = "shop.op_plain, shop.op_volatile, shop.op_definer"}, trusting = {.trusting = true};
  for (size_t i = 0; i < CALLING; i++) /* the second names what is not there yet */
    if (i != 1 && !allowed(calling[i], NULL)) fail_msg("refused before: %s", calling[i]);
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    char sql[300], before[80], after[80];
    snprintf(sql, sizeof sql, "CREATE FUNCTION shop.%s(varchar, varchar) RETURNS bool %s AS $$ BEGIN RAISE 'called'; END $$",
             cases[k].function, cases[k].rest);
    harness_sql(world.url, sql);
    fingerprint(before);
    make_operators(cases[k].function);
    fingerprint(after);
    assert_string_equal(before, after);
    for (size_t i = 0; i < CALLING; i++) {
      PGconn *conn = harness_connect(world.url); /* it is called indeed */
      PGresult *res = PQexec(conn, calling[i]);
      if (!strstr(PQresultErrorMessage(res), "called")) fail_msg("not called: %s", calling[i]);
      PQclear(res);
      PQfinish(conn);
      if (allowed(calling[i], NULL)) fail_msg("%s: %s", cases[k].function, calling[i]);
      if (allowed(calling[i], &named) != cases[k].named) fail_msg("named %s: %s", cases[k].function, calling[i]);
      if (allowed(calling[i], &trusting) != cases[k].trusting) fail_msg("trusting %s: %s", cases[k].function, calling[i]);
    }
    assert_true(allowed("SELECT id + 1, note || 'x' FROM orders WHERE id > 3 ORDER BY 1", NULL)); /* other names */
    assert_true(allowed("SELECT id FROM orders WHERE id OPERATOR(pg_catalog.=) 3", NULL));
    drop_operators();
  }
}

static void test_explain_analyze_calls_none(void **state) {
  (void)state;
  harness_sql(world.url, "CREATE OPERATOR shop.+ (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = shop.op_volatile)");
  world.snapshot = guarded_look(world.url, major, world.arena);
  ERROR_AUTO err = {0};
  QUERY_SESSION_AUTO session = NULL;
  json_t *plan = NULL;
  if (query_session_open_string(&world.cfg, world.url, world.arena, &session, &err)) fail_msg("%s", err.message);
  assert_int_not_equal(query_session_explain(session, world.snapshot, "SELECT 'a'::varchar + 'b'::varchar",
                                             &(struct query_explain){.analyze = true}, world.arena, &plan, &err),
                       OK);
  assert_string_equal(err.code, "GUARDRAIL_VIOLATION");
  assert_non_null(strstr(err.message, "VOLATILE"));
}

/* Where PostgreSQL has the operator for the very types, nobody's other one is called; else each of the name may be. */
static void test_types_of_sides(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    bool passes;
  } cases[] = {{"SELECT id FROM orders WHERE id = 3", true},
               {"SELECT id FROM orders WHERE id IN (1, 2, 3)", true},
               {"SELECT id FROM orders WHERE total_amount > 10.5 AND note = 'x'", true},
               {"SELECT id FROM orders WHERE placed_at < '2024-01-01'", true},
               {"SELECT 'a'::shop.odd = 'b'::shop.odd", false},
               {"SELECT 'a' = 'b'::shop.odd", false},
               {"SELECT 'a'::varchar = 'b'::varchar", true}, /* nothing implies a cast to shop.odd */
               {"SELECT id FROM orders WHERE id OPERATOR(shop.=) 3", false},
               {"SELECT (SELECT NULL) = (SELECT NULL)", false}}; /* of which type? */
  harness_sql(world.url, "CREATE TYPE shop.odd AS ENUM ('a', 'b');"
                         "CREATE FUNCTION shop.op_odd(shop.odd, shop.odd) RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT true';"
                         "CREATE OPERATOR shop.= (LEFTARG = shop.odd, RIGHTARG = shop.odd, FUNCTION = shop.op_odd);"
                         "CREATE OPERATOR shop.> (LEFTARG = shop.odd, RIGHTARG = shop.odd, FUNCTION = shop.op_odd);"
                         "CREATE OPERATOR shop.< (LEFTARG = shop.odd, RIGHTARG = shop.odd, FUNCTION = shop.op_odd)");
  world.snapshot = guarded_look(world.url, major, world.arena);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (allowed(cases[i].sql, NULL) != cases[i].passes) fail_msg("%s: %s", cases[i].passes ? "refused" : "passes", cases[i].sql);
  harness_sql(world.url, "DROP OPERATOR shop.= (shop.odd, shop.odd), shop.> (shop.odd, shop.odd), shop.< (shop.odd, shop.odd)");
  world.snapshot = guarded_look(world.url, major, world.arena);
}

/* A cast by a function calls it, written or implied. */
static void test_casts(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    bool before, after, implied;
  } cases[] = {{"SELECT length(note)::shop.mark FROM orders", true, false, false},
               {"SELECT CAST (length(note) AS shop.mark) FROM orders", true, false, false},
               {"SELECT ARRAY[1]::shop.mark[]", true, false, false},
               {"SELECT 'x'::shop.mark", true, true, false}, /* its own input function */
               {"SELECT id FROM orders", true, true, true},
               {"SELECT id::text FROM orders", true, true, true}};
  harness_sql(world.url,
              "CREATE TYPE shop.mark AS ENUM ('x');"
              "CREATE FUNCTION shop.to_mark(int) RETURNS shop.mark LANGUAGE plpgsql VOLATILE AS $$ BEGIN RAISE 'called'; END $$");
  world.snapshot = guarded_look(world.url, major, world.arena);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (!allowed(cases[i].sql, NULL)) fail_msg("refused before: %s", cases[i].sql);
  for (int implicit = 0; implicit < 2; implicit++) {
    char before[80], after[80];
    fingerprint(before);
    harness_sql(world.url, implicit ? "CREATE CAST (int AS shop.mark) WITH FUNCTION shop.to_mark(int) AS IMPLICIT"
                                    : "CREATE CAST (int AS shop.mark) WITH FUNCTION shop.to_mark(int)");
    fingerprint(after);
    assert_string_equal(before, after);
    world.snapshot = guarded_look(world.url, major, world.arena);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      bool passes = implicit ? cases[i].implied : cases[i].after;
      if (allowed(cases[i].sql, NULL) != passes) fail_msg("implicit %d, %s: %s", implicit, passes ? "refused" : "passes", cases[i].sql);
    }
    const struct guard_rules named = {.functions = "shop.to_mark"};
    assert_false(allowed("SELECT length(note)::shop.mark FROM orders", &named)); /* VOLATILE all the same */
    harness_sql(world.url, "DROP CAST (int AS shop.mark)");
  }
  harness_sql(world.url, "ALTER FUNCTION shop.to_mark(int) IMMUTABLE; CREATE CAST (int AS shop.mark) WITH FUNCTION shop.to_mark(int)");
  world.snapshot = guarded_look(world.url, major, world.arena);
  const struct guard_rules named = {.functions = "shop.to_mark"};
  assert_true(allowed("SELECT length(note)::shop.mark FROM orders", &named));
  assert_false(allowed("SELECT length(note)::shop.mark FROM orders", NULL));
}

/* A snapshot from before these lists were kept may hide any of them. */
static void test_a_snapshot_without_lists(void **state) {
  (void)state;
  static const char *const lists[] = {"operators", "casts"};
  struct snapshot *kept = world.snapshot;
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    json_t *older = json_copy((json_t *)(uintptr_t)kept->json);
    json_object_del(older, lists[i]);
    struct snapshot without = *kept;
    without.json = older;
    world.snapshot = &without;
    assert_false(allowed("SELECT 1", NULL));
    assert_true(allowed("SELECT 1", &(struct guard_rules){.trusting = true}));
    json_decref(older);
  }
  world.snapshot = kept;
  assert_true(allowed("SELECT 1", NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_operators), cmocka_unit_test(test_explain_analyze_calls_none),
                                     cmocka_unit_test(test_types_of_sides), cmocka_unit_test(test_casts),
                                     cmocka_unit_test(test_a_snapshot_without_lists)};
  return harness_each_major(&major, tests, setup, guarded_teardown);
}
