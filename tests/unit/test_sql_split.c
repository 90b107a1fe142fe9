/* test_sql_split.c - scripts as statements: places, faults, and text made to hurt a parser. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/split.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  arena = arena_new(1 << 30);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static struct sql_script split_bytes(const char *sql, size_t len) {
  ERROR_AUTO err = {0};
  struct sql_script script = {0};
  if (sql_split(sql, len, arena, &script, &err) != OK) fail_msg("%s", err.message);
  return script;
}

static struct sql_script split(const char *sql) { return split_bytes(sql, strlen(sql)); }

static void expect(const struct sql_script *script, size_t index, const char *text, int line, int column, size_t offset) {
  assert_true(index < script->count);
  const struct sql_statement *statement = &script->statements[index];
  assert_string_equal(statement->text, text);
  assert_int_equal(statement->length, strlen(text));
  assert_int_equal(statement->at.line, line);
  assert_int_equal(statement->at.column, column);
  assert_int_equal(statement->at.offset, offset);
  assert_non_null(statement->node);
}

static void test_places(void **state) {
  (void)state;
  struct sql_script script = split("-- first\n/* é */ SELECT 'é;é';  SELECT 2 -- end\n;\n\n  SELECT\n3;;");
  assert_null(script.fault.sqlstate);
  assert_int_equal(script.count, 3);
  expect(&script, 0, "SELECT 'é;é'", 2, 9, 18);
  expect(&script, 1, "SELECT 2", 2, 24, 35);
  expect(&script, 2, "SELECT\n3", 5, 3, 56);
}

static void test_bodies_hold_semicolons(void **state) {
  (void)state;
  struct sql_script script =
      split("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; DO $x$ BEGIN; END $x$;");
  assert_null(script.fault.sqlstate);
  assert_int_equal(script.count, 2);
}

static void test_nothing(void **state) {
  (void)state;
  static const char *const texts[] = {"", ";", " ;; ; ", "-- only a comment", "/* a /* nested */ one */", "\xEF\xBB\xBF"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct sql_script script = split(texts[i]);
    assert_int_equal(script.count, 0);
    assert_null(script.fault.sqlstate);
  }
}

static void test_byte_order_mark(void **state) {
  (void)state;
  struct sql_script script = split("\xEF\xBB\xBFSELECT 1");
  assert_null(script.fault.sqlstate);
  expect(&script, 0, "SELECT 1", 1, 4, 3);
}

static void test_one_typo_hides_nothing(void **state) {
  (void)state;
  struct sql_script script = split("SELECT 1;\nSELECT 'é' FRM x y z;\nSELECT 3;");
  assert_string_equal(script.fault.sqlstate, "42601");
  assert_int_equal(script.fault.at.line, 2);
  assert_int_equal(script.fault.at.column, 16);
  assert_int_equal(script.count, 2);
  expect(&script, 0, "SELECT 1", 1, 1, 0);
  expect(&script, 1, "SELECT 3", 3, 1, 33);
}

static void test_unfinished_quote(void **state) {
  (void)state;
  static const char *const tails[] = {"SELECT 'abc", "SELECT \"abc", "SELECT $$abc", "SELECT /* abc", "SELECT E'\\", "SELECT $a$ $b$"};
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    char text[128];
    snprintf(text, sizeof text, "SELECT 1;\n%s", tails[i]);
    struct sql_script script = split(text);
    assert_string_equal(script.fault.sqlstate, "42601");
    assert_int_equal(script.fault.at.line, 2);
    assert_int_equal(script.count, 1);
  }
}

static void test_psql_commands_are_explained(void **state) {
  (void)state;
  struct sql_script script = split("SELECT 1;\n\\i other.sql\n");
  assert_string_equal(script.fault.sqlstate, "42601");
  assert_non_null(strstr(script.fault.message, "psql"));
  assert_int_equal(script.count, 1);
}

static void test_encoding(void **state) {
  (void)state;
  static const char *const bad[] = {"SELECT '\xff'", "SELECT '\xc0\x80'", "SELECT '\xed\xa0\x80'", "SELECT '\xf5\x80\x80\x80'",
                                    "SELECT '\xe9"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct sql_script script = split(bad[i]);
    assert_string_equal(script.fault.sqlstate, "22021");
    assert_int_equal(script.count, 0);
  }
  struct sql_script script = split_bytes("SELECT 1;\0SELECT 2", 18);
  assert_string_equal(script.fault.sqlstate, "22021");
  assert_int_equal(script.fault.at.column, 10);
}

static char *repeat(const char *head, const char *piece, size_t times, const char *tail) {
  struct buf text;
  buf_init(&text, 8 << 20);
  buf_puts(&text, head);
  for (size_t i = 0; i < times; i++) buf_puts(&text, piece);
  buf_puts(&text, tail);
  return buf_take(&text);
}

/* Either refused cleanly or parsed; never a crash, never slow. */
static void expect_survival(const char *head, const char *piece, size_t times, const char *tail, const char *sqlstate) {
  char *text = repeat(head, piece, times, tail);
  assert_non_null(text);
  struct sql_script script = split(text);
  if (sqlstate && (!script.fault.sqlstate || strcmp(script.fault.sqlstate, sqlstate) != 0))
    fail_msg("%s%s…: %s", head, piece, script.fault.sqlstate ? script.fault.sqlstate : "parsed");
  free(text);
}

static void test_deep_nesting_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *head, *piece, *tail;
  } shapes[] = {
      {"SELECT ", "1+", "1"},
      {"SELECT ", "(", "1"},
      {"SELECT ", "1,1 UNION SELECT ", "1,1"},
      {"SELECT ", "NOT ", "true"},
      {"SELECT ", "- ", "1"},
      {"SELECT 1", "::int", ""},
      {"SELECT a", "[1]", ""},
      {"SELECT ", "CASE WHEN true THEN ", "1"},
      {"SELECT 1", " OPERATOR(pg_catalog.+) 1", ""},
      {"SELECT * FROM t0", " JOIN t ON a=b AND c", ""},
      {"SELECT x", " COLLATE \"C\"", ""},
      {"SELECT x", " AT TIME ZONE 'utc'", ""},
      {"SELECT x", " IS NULL", ""},
      {"SELECT ", "ARRAY[", "1"},
      {"SELECT ", "f(", "1"},
      {"SELECT * FROM ", "(SELECT * FROM ", "t"},
      {"SELECT x", " || 'a'", ""},
      {"SELECT x ", "< ALL (SELECT ", "1"},
      {"CREATE TABLE t (a int CHECK (", "a+", "1))"},
      {"SELECT ", "a->", "1"},
      {"SELECT ", "1 + 1, CASE WHEN 1=1 AND ", "1"},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    bool list = strcmp(shapes[i].piece, "[1]") == 0; /* indirections are a flat list */
    expect_survival(shapes[i].head, shapes[i].piece, 10000, shapes[i].tail, list ? NULL : "54001");
    expect_survival(shapes[i].head, shapes[i].piece, 400, shapes[i].tail, NULL);
  }
}

/* The scanner's price for them grows with the square of their depth. */
static void test_nested_comments_are_bounded(void **state) {
  (void)state;
  expect_survival("SELECT 1 ", "/*", LIMIT_SQL_BYTES / 2 - 10, "", "54001");
  expect_survival("SELECT 1 ", "/* a /* b */ */ ", 10000, "", NULL);
  char *text = repeat("SELECT '", "/*", 150, "'");
  struct sql_script script = split(text);
  assert_null(script.fault.sqlstate);
  free(text);
}

static void test_long_but_flat_is_fine(void **state) {
  (void)state;
  char *text = repeat("SELECT * FROM t WHERE a = 1", " OR a = 1 AND b <> 2", 20000, "");
  struct sql_script script = split(text);
  assert_null(script.fault.sqlstate);
  free(text);
  text = repeat("INSERT INTO t VALUES (1)", ",(1, -2, 'x' || 'y')", 30000, "");
  script = split(text);
  assert_null(script.fault.sqlstate);
  assert_int_equal(script.count, 1);
  free(text);
}

static void test_many_statements(void **state) {
  (void)state;
  char *text = repeat("", "SELECT 1;", 10000, "");
  struct sql_script script = split(text);
  assert_null(script.fault.sqlstate);
  assert_int_equal(script.count, 10000);
  free(text);
  text = repeat("", "SELECT 1;", 100000, "");
  script = split(text);
  assert_string_equal(script.fault.sqlstate, "54000");
  free(text);
}

static void test_size(void **state) {
  (void)state;
  char *text = repeat("SELECT 1 --", "x", LIMIT_SQL_BYTES - 11, "");
  struct sql_script script = split(text);
  assert_null(script.fault.sqlstate);
  assert_int_equal(script.count, 1);
  free(text);
  text = repeat("SELECT 1 --", "x", LIMIT_SQL_BYTES - 10, "");
  script = split(text);
  assert_string_equal(script.fault.sqlstate, "54000");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_bodies_hold_semicolons),
      cmocka_unit_test(test_nothing),
      cmocka_unit_test(test_byte_order_mark),
      cmocka_unit_test(test_one_typo_hides_nothing),
      cmocka_unit_test(test_unfinished_quote),
      cmocka_unit_test(test_psql_commands_are_explained),
      cmocka_unit_test(test_encoding),
      cmocka_unit_test(test_deep_nesting_is_refused),
      cmocka_unit_test(test_nested_comments_are_bounded),
      cmocka_unit_test(test_long_but_flat_is_fine),
      cmocka_unit_test(test_many_statements),
      cmocka_unit_test(test_size),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
