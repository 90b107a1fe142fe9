/* test_sql_text.c - names, literals and types printed as PostgreSQL prints them; volatility. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/sql/parameters.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"
#include "worker/sql/volatility.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  arena = arena_new(64 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static void test_identifiers(void **state) {
  (void)state;
  static const struct {
    const char *name, *text;
  } cases[] = {{"orders", "orders"},
               {"order", "\"order\""},
               {"Orders", "\"Orders\""},
               {"a b", "\"a b\""},
               {"a\"b", "\"a\"\"b\""},
               {"1a", "\"1a\""},
               {"_a1", "_a1"},
               {"naïve", "\"naïve\""},
               {"", "\"\""},
               {"between", "\"between\""},
               {"abort", "abort"},
               {"a$b", "\"a$b\""},
               {"x;DROP TABLE t", "\"x;DROP TABLE t\""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_string_equal(sql_ident(arena, cases[i].name), cases[i].text);
  assert_string_equal(sql_qualified(arena, "my schema", "select"), "\"my schema\".\"select\"");
  assert_string_equal(sql_qualified(arena, NULL, "t"), "t");
  assert_string_equal(sql_ident_list(arena, (const char *[]){"a", "B"}, 2), "a, \"B\"");
}

static void test_literals(void **state) {
  (void)state;
  assert_string_equal(sql_literal(arena, "it's"), "'it''s'");
  assert_string_equal(sql_literal(arena, "a\\'b"), "E'a\\\\''b'");
  assert_string_equal(sql_literal(arena, ""), "''");
}

static const char *type_of(const char *type) {
  PgQuery__Node *node = sql_parse_expression(arena, arena_printf(arena, "NULL::%s", type));
  if (!node) fail_msg("%s does not parse", type);
  return sql_type(arena, node->type_cast->type_name);
}

static void test_types(void **state) {
  (void)state;
  static const struct {
    const char *given, *printed;
  } cases[] = {{"int", "integer"},
               {"int8", "bigint"},
               {"varchar(50)", "character varying(50)"},
               {"char", "character(1)"},
               {"numeric(10,2)", "numeric(10,2)"},
               {"decimal(10)", "numeric(10,0)"},
               {"timestamptz", "timestamp with time zone"},
               {"timestamp(3)", "timestamp(3) without time zone"},
               {"time(0) with time zone", "time(0) with time zone"},
               {"interval", "interval"},
               {"interval(3)", "interval(3)"},
               {"text[]", "text[]"},
               {"int[][]", "integer[]"},
               {"float", "double precision"},
               {"shop.mood", "shop.mood"},
               {"bit(8)", "bit(8)"},
               {"varbit(8)", "bit varying(8)"},
               {"jsonb", "jsonb"},
               {"json", "json"},
               {"\"Odd\".\"Type\"", "\"Odd\".\"Type\""},
               {"boolean", "boolean"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_string_equal(type_of(cases[i].given), cases[i].printed);
}

static void test_expressions(void **state) {
  (void)state;
  static const char *const texts[] = {"a > 0", "a + (b * 2)", "lower(name)", "CASE WHEN a THEN 1 ELSE 2 END", "'it''s'", "a IS NOT NULL"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    PgQuery__Node *node = sql_parse_expression(arena, texts[i]);
    assert_non_null(node);
    assert_string_equal(sql_expression(arena, node), texts[i]);
  }
  assert_null(sql_parse_expression(arena, "1; DROP TABLE t"));
  assert_null(sql_parse_expression(arena, "a FROM"));
  assert_null(sql_parse_statement(arena, NULL));
}

static void test_mentions(void **state) {
  (void)state;
  PgQuery__Node *node = sql_parse_statement(arena, "SELECT t.a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.x = t.deep)");
  assert_true(sql_mentions_column(node, "a"));
  assert_true(sql_mentions_column(node, "deep"));
  assert_false(sql_mentions_column(node, "dee"));
  assert_false(sql_mentions_column(NULL, "a"));
}

/* Types' names before parameters; what looks like one and is none. */
static void test_typed_parameters(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"SELECT at + interval $1 FROM t WHERE day >= date $2", "SELECT at + CAST($1 AS interval) FROM t WHERE day >= CAST($2 AS date)"},
      {"SELECT TIMESTAMP WITH TIME ZONE $1, time without time zone $2",
       "SELECT CAST($1 AS TIMESTAMP WITH TIME ZONE), CAST($2 AS time without time zone)"},
      {"SELECT at AT TIME ZONE $1 FROM t LIMIT $2 OFFSET $3", NULL},
      {"SELECT a FROM t WHERE a BETWEEN $1 AND $2 AND b IN ($3, $4) AND c LIKE $5 -- date $6", NULL},
      {"SELECT 'date $1'", NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_string_equal(sql_typed_parameters(cases[i][0], arena), cases[i][1] ? cases[i][1] : cases[i][0]);
}

static void test_volatility(void **state) {
  (void)state;
  json_t *json = json_pack("{s:[{s:s, s:s, s:s, s:s}], s:[], s:[]}", "functions", "schema", "public", "name", "mine", "volatility",
                           "volatile", "kind", "function", "tables", "views");
  ERROR_AUTO err = {0};
  struct snapshot *snapshot = NULL;
  if (snapshot_load(json, arena, &snapshot, &err)) fail_msg("%s", err.message);
  static const struct {
    const char *text;
    bool is_volatile;
  } cases[] = {{"now()", false},
               {"clock_timestamp()", true},
               {"gen_random_uuid()", true},
               {"5", false},
               {"1 + lower('A')::int", false},
               {"coalesce(NULL, random())", true},
               {"nextval('s')", true},
               {"CURRENT_TIMESTAMP", false},
               {"other.thing()", true},
               {"pg_catalog.now()", false},
               {"mine()", true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *name = NULL;
    bool found = sql_volatile(snapshot, sql_parse_expression(arena, cases[i].text), &name);
    if (found != cases[i].is_volatile) fail_msg("%s", cases[i].text);
  }
  json_decref(json);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_identifiers),     cmocka_unit_test(test_literals),
                                     cmocka_unit_test(test_types),           cmocka_unit_test(test_expressions),
                                     cmocka_unit_test(test_mentions),        cmocka_unit_test(test_volatility),
                                     cmocka_unit_test(test_typed_parameters)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
