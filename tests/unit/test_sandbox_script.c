/* test_sandbox_script.c - cutting scripts into statements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/clock.h"
#include "sandbox/script.h"

/* Statements joined by "|". */
static void check(const char *sql, const char *expected) {
  char got[1024] = "";
  size_t used = 0;
  struct script script = script_of(sql);
  struct script_statement statement;
  while (script_next(&script, &statement))
    used += (size_t)snprintf(got + used, sizeof got - used, "%s%.*s", used ? "|" : "", (int)statement.len, statement.text);
  assert_string_equal(got, expected);
}

static void test_plain(void **state) {
  (void)state;
  check("", "");
  check(" ;; ; ", "");
  check("SELECT 1", "SELECT 1");
  check("SELECT 1;SELECT 2 ;\n", "SELECT 1|SELECT 2");
  check("-- a;b\nSELECT 1 -- c;d\n;/* e;f /* g; */ */SELECT 2/* h */;", "SELECT 1|SELECT 2");
}

static void test_quotes(void **state) {
  (void)state;
  check("SELECT 'a;b''c;';SELECT \"d;\"\"e\"", "SELECT 'a;b''c;'|SELECT \"d;\"\"e\"");
  check("SELECT E'a\\';b';SELECT 'a\\';SELECT 3", "SELECT E'a\\';b'|SELECT 'a\\'|SELECT 3");
  check("DO $$ a;b $$;DO $x$ ;$$; $x$;SELECT $1;", "DO $$ a;b $$|DO $x$ ;$$; $x$|SELECT $1");
  check("SELECT a$b;SELECT c$d$e", "SELECT a$b|SELECT c$d$e");
  check("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);SELECT 3",
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)|SELECT 3");
}

static void test_atomic(void **state) {
  (void)state;
  check("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;SELECT 3;BEGIN;END;",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END|SELECT 3|BEGIN|END");
}

static void test_psql_lines(void **state) {
  (void)state;
  check("\\restrict x;y\nSELECT 1;\n\\connect z\nSELECT 2;\n\\unrestrict x", "SELECT 1|SELECT 2");
  check("COPY t (a) FROM stdin;\n1;2\n'\n\\.\nSELECT 1;", "COPY t (a) FROM stdin|SELECT 1");
}

static void test_unterminated(void **state) {
  (void)state;
  check("SELECT 'a;", "SELECT 'a;");
  check("SELECT \"a;", "SELECT \"a;");
  check("DO $$ a;", "DO $$ a;");
  check("SELECT E'a\\", "SELECT E'a\\");
  check("/* a; /* b */", "");
  check("SELECT (1;2", "SELECT (1;2");
  check("\\", "");
  check("COPY t FROM stdin;\n1", "COPY t FROM stdin");
}

static void test_words(void **state) {
  (void)state;
  char name[16];
  struct script_statement s = {.text = "CREATE /*x*/ extension\nIF not exists \"A\"\"b\" WITH Schema x", .len = 57};
  struct script_lexer lexer = script_lexer(&s);
  assert_false(script_skip(&lexer, "create schema"));
  assert_true(script_skip(&lexer, "create extension"));
  assert_true(script_skip(&lexer, "if not exists"));
  assert_int_equal(script_token(&lexer), SCRIPT_QUOTED);
  assert_true(script_name(&lexer, name, sizeof name));
  assert_string_equal(name, "A\"b");
  assert_true(script_skip(&lexer, "with schema"));
  assert_int_equal(script_token(&lexer), SCRIPT_WORD);
  assert_false(script_name(&lexer, name, 1)); /* doesn't fit */
  assert_int_equal(script_token(&lexer), SCRIPT_END);
  assert_int_equal(script_token(&lexer), SCRIPT_END);
}

/* Time grows with the text, not with its square. */
static void test_large(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  char *sql = malloc(COUNT * 10 + 1);
  assert_non_null(sql);
  for (int i = 0; i < COUNT; i++) memcpy(sql + i * 10, "SELECT 1;\n", 10);
  sql[COUNT * 10] = 0;
  struct script script = script_of(sql);
  struct script_statement statement;
  int count = 0;
  int64_t started = clock_mono_ms();
  while (script_next(&script, &statement)) count++;
  assert_int_equal(count, COUNT);
  assert_true(clock_mono_ms() - started < 5000);
  free(sql);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain),      cmocka_unit_test(test_quotes),       cmocka_unit_test(test_atomic),
                                     cmocka_unit_test(test_psql_lines), cmocka_unit_test(test_unterminated), cmocka_unit_test(test_words),
                                     cmocka_unit_test(test_large)};
  return cmocka_run_group_tests_name("sandbox_script", tests, NULL, NULL);
}
