/* test_suppress.c - comments that silence findings: where they may stand, what they must say, what is wrong with them. */
#include "common/json.h"
#include "tests/support/ddl_snapshot.h"
#include "worker/migration/report.h"
#include "worker/migration/rules.h"
#include "worker/migration/suppress.h"

#define SET "SET lock_timeout = '1s';\n"

static const struct finding *find(const struct analysis *analysis, size_t index, const char *id) {
  assert_true(index < analysis->count);
  const struct statement *statement = &analysis->statements[index];
  for (size_t i = 0; i < statement->findings.count; i++)
    if (strcmp(statement->findings.items[i].rule->id, id) == 0) return &statement->findings.items[i];
  return NULL;
}

/* SQL, the statement looked at, and the reason its drop-table finding must carry (NULL: reported as ever). */
static void test_places(void **state) {
  (void)state;
  static const struct {
    const char *sql;
    size_t statement;
    const char *reason;
  } cases[] = {
      {SET "-- autodb:ignore drop-table it is empty\nDROP TABLE gchild;", 1, "it is empty"},
      {SET "DROP TABLE gchild; -- autodb:ignore drop-table it is empty", 1, "it is empty"},
      {SET "DROP TABLE\n  gchild -- autodb:ignore drop-table it is empty\n;", 1, "it is empty"},
      {SET "DROP TABLE -- autodb:ignore drop-table it is empty\n  gchild;", 1, "it is empty"},
      {SET "/* autodb:ignore drop-table it is empty */ DROP TABLE gchild;", 1, "it is empty"},
      {SET "DROP TABLE gchild /* autodb:ignore drop-table it is empty */;", 1, "it is empty"},
      {SET "/*\n * words\n * autodb:ignore drop-table it is empty\n * more words\n */\nDROP TABLE gchild;", 1, "it is empty"},
      {SET "-- autodb:ignore drop-table it is empty\n\n-- another comment\n\nDROP TABLE gchild;", 1, "it is empty"},
      {SET "--autodb:ignore   missing-lock-timeout ,drop-table   it is empty  \nDROP TABLE gchild;", 1, "it is empty"},
      {"-- autodb:ignore-file drop-table it is empty\n" SET "DROP TABLE gchild;", 1, "it is empty"},
      {SET "SELECT 1; /* autodb:ignore drop-table it is empty */ DROP TABLE gchild;", 2, "it is empty"},
      {SET "SELECT 1; -- autodb:ignore drop-table it is empty\nDROP TABLE gchild;", 2, NULL},
      {SET "DROP TABLE gchild;\n-- autodb:ignore drop-table it is empty\nSELECT 1;", 1, NULL},
      {SET "DROP TABLE gchild;\n-- autodb:ignore drop-table it is empty", 1, NULL},
      {SET "-- autodb:ignore drop-column it is empty\nDROP TABLE gchild;", 1, NULL},
      {SET "-- autodb:ignore drop-table\nDROP TABLE gchild;", 1, NULL},
      {SET "-- autodb:ignored drop-table it is empty\nDROP TABLE gchild;", 1, NULL},
      {SET "-- please autodb:ignore drop-table it is empty\nDROP TABLE gchild;", 1, NULL},
      {"SELECT '\n-- autodb:ignore-file drop-table no\n';\nDROP TABLE gchild;", 1, NULL},
      {"SELECT $x$\n-- autodb:ignore drop-table no\n$x$; DROP TABLE gchild;", 1, NULL},
      {"SELECT 1 AS \"\n-- autodb:ignore drop-table no\n\"; DROP TABLE gchild;", 1, NULL},
      {"SELECT 1;\n-- autodb:ignore-file drop-table too late\nDROP TABLE gchild;", 1, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct finding *finding = find(analyse(cases[i].sql), cases[i].statement, "drop-table");
    if (!finding) fail_msg("%s: no drop-table", cases[i].sql);
    if (!cases[i].reason != !finding->suppress_reason || (cases[i].reason && strcmp(cases[i].reason, finding->suppress_reason) != 0))
      fail_msg("%s: silenced by '%s'", cases[i].sql, finding->suppress_reason ? finding->suppress_reason : "nothing");
  }
}

static void test_what_is_wrong_with_comments(void **state) {
  (void)state;
  static const struct {
    const char *sql, *id;
    int line;
  } cases[] = {
      {SET "-- autodb:ignore drop-table\nDROP TABLE gchild;", "ignore-without-reason", 2},
      {SET "\n-- autodb:ignore drop-tabel it is empty\nDROP TABLE gchild;", "ignore-unknown-rule", 3},
      {SET "-- autodb:ignore\nDROP TABLE gchild;", "ignore-malformed", 2},
      {SET "-- autodb:ignore , it is empty\nDROP TABLE gchild;", "ignore-malformed", 2},
      {SET "-- autodb:ingore drop-table it is empty\nDROP TABLE gchild;", "ignore-malformed", 2},
      {SET "-- autodb:ignore-file drop-table it is empty\nDROP TABLE gchild;", "ignore-malformed", 2},
      {SET "-- autodb:ignore drop-column it is empty\nDROP TABLE gchild;", "unused-ignore", 2},
      {SET "-- autodb:ignore unused-ignore I know\nDROP TABLE gchild;", "unused-ignore", 2},
      {SET "DROP TABLE gchild;\n-- autodb:ignore drop-table it is empty\n", "unused-ignore", 3},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct finding *finding = find(analyse(cases[i].sql), 1, cases[i].id);
    if (!finding) fail_msg("%s: no %s", cases[i].sql, cases[i].id);
    if (finding->line != cases[i].line) fail_msg("%s: line %d", cases[i].sql, finding->line);
    assert_null(finding->suppress_reason);
  }
  struct analysis *good = analyse(SET "-- autodb:ignore drop-table it is empty\nDROP TABLE gchild;");
  static const char *const ids[] = {"ignore-without-reason", "ignore-unknown-rule", "ignore-malformed", "unused-ignore"};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) assert_null(find(good, 1, ids[i]));
}

static void test_too_many_rules(void **state) {
  (void)state;
  const char *sql = SET "-- autodb:ignore drop-table";
  for (int i = 0; i < SUPPRESS_MAX_RULES; i++) sql = arena_printf(arena, "%s,drop-table", sql);
  const struct analysis *analysis = analyse(arena_printf(arena, "%s it is empty\nDROP TABLE gchild;", sql));
  assert_non_null(find(analysis, 1, "ignore-malformed"));
  assert_null(find(analysis, 1, "drop-table")->suppress_reason);
}

static void test_too_many_comments(void **state) {
  (void)state;
  size_t room = (SUPPRESS_MAX_COMMENTS + 2) * 64, used = 0;
  char *sql = arena_calloc(arena, 1, room);
  for (int i = 0; i <= SUPPRESS_MAX_COMMENTS; i++)
    used += (size_t)snprintf(sql + used, room - used, "%sDROP TABLE IF EXISTS gone%d; -- autodb:ignore drop-table gone\n", i ? "" : SET, i);
  const struct analysis *analysis = analyse(sql);
  assert_int_equal(analysis->suppressions.count, SUPPRESS_MAX_COMMENTS);
  assert_non_null(find(analysis, SUPPRESS_MAX_COMMENTS, "ignore-malformed"));
  assert_null(find(analysis, SUPPRESS_MAX_COMMENTS - 1, "ignore-malformed"));
}

static void test_scripts_without_statements(void **state) {
  (void)state;
  assert_int_equal(analyse("-- autodb:ignore drop-table nothing here")->count, 0);
  assert_int_equal(analyse("/* autodb:ignore-file drop-table nothing here */")->count, 0);
  assert_non_null(analyse("-- autodb:ignore drop-table broken\nDROP TABEL gchild")->script.fault.sqlstate);
  assert_non_null(analyse("-- autodb:ignore drop-table broken\nSELECT 'unterminated")->script.fault.sqlstate);
}

static void test_the_score_stays(void **state) {
  (void)state;
  int plain = analyse(SET "DROP TABLE gchild;")->score;
  assert_int_equal(analyse(SET "DROP TABLE gchild; -- autodb:ignore drop-table it is empty")->score, plain);
}

static void test_report(void **state) {
  (void)state;
  json_t *report = report_json(analyse(SET "DROP TABLE gchild; -- autodb:ignore drop-table it is empty"), "c", NULL, NULL, NULL);
  json_t *findings = json_object_get(json_array_get(json_object_get(report, "statements"), 1), "findings"), *finding;
  size_t index, suppressed = 0;
  json_array_foreach(findings, index, finding) {
    bool ours = strcmp(json_str(finding, "code", ""), "drop-table") == 0;
    assert_int_equal(json_is_true(json_object_get(finding, "suppressed")), ours);
    if (ours) assert_string_equal(json_str(finding, "suppress_reason", ""), "it is empty");
    if (!ours) assert_true(json_is_null(json_object_get(finding, "suppress_reason")));
    suppressed += ours;
  }
  assert_int_equal(suppressed, 1);
  json_decref(report);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_what_is_wrong_with_comments),
      cmocka_unit_test(test_too_many_rules),
      cmocka_unit_test(test_too_many_comments),
      cmocka_unit_test(test_scripts_without_statements),
      cmocka_unit_test(test_the_score_stays),
      cmocka_unit_test(test_report),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
