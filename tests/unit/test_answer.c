/* test_answer.c - rows as JSON and as a markdown table: types kept, nothing of a value escapes its cell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/text2sql/answer.h"

static json_t *value(enum query_type type, const char *text, bool cut) { return query_value_json(type, &(struct query_cell){text, cut}); }

static void test_values(void **state) {
  (void)state;
  static const struct {
    enum query_type type;
    const char *text, *json;
    bool cut;
  } cases[] = {
      {QUERY_TYPE_INTEGER, "-9223372036854775808", "-9223372036854775808", false},
      {QUERY_TYPE_NUMERIC, "12.50", "12.5", false},
      {QUERY_TYPE_NUMERIC, "42", "42", false},
      {QUERY_TYPE_NUMERIC, "0.000000000000001", "1.0000000000000001e-15", false},
      {QUERY_TYPE_NUMERIC, "12345678901234567.5", "\"12345678901234567.5\"", false}, /* no double holds it */
      {QUERY_TYPE_NUMERIC, "123456789012345678901234567890", "\"123456789012345678901234567890\"", false},
      {QUERY_TYPE_NUMERIC, "NaN", "\"NaN\"", false},
      {QUERY_TYPE_REAL, "Infinity", "\"Infinity\"", false},
      {QUERY_TYPE_REAL, "1.5e+300", "1.5e300", false},
      {QUERY_TYPE_BOOLEAN, "true", "true", false},
      {QUERY_TYPE_BOOLEAN, "false", "false", false},
      {QUERY_TYPE_JSON, "{\"a\": [1]}", "{\"a\": [1]}", false},
      {QUERY_TYPE_JSON, "{\"a\": [1", "\"{\\\"a\\\": [1\"", true},
      {QUERY_TYPE_BYTES, "00ff", "\"\\\\x00ff\"", false},
      {QUERY_TYPE_TEXT, "1", "\"1\"", false},
      {QUERY_TYPE_TEXT, NULL, "null", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *made = value(cases[i].type, cases[i].text, cases[i].cut), *want = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
    if (!json_equal(made, want)) fail_msg("%s is not %s", cases[i].text, cases[i].json);
    json_decref(made);
    json_decref(want);
  }
}

static const char *markdown(struct arena *arena, const struct query_result *result) {
  const char *text = answer_markdown(result, arena);
  assert_non_null(text);
  return text;
}

static void test_table(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 22);
  struct query_result_column columns[] = {{"name", "text", QUERY_TYPE_TEXT}, {"n", "integer", QUERY_TYPE_INTEGER}};
  struct query_cell cells[] = {{"a|b\nc", false}, {"5", false}, {NULL, false}, {"12345", false}, {"Größe", false}, {NULL, false}};
  struct query_result result = {.columns = columns, .column_count = 2, .cells = cells, .row_count = 3};
  assert_string_equal(markdown(arena, &result), "| name   |      n |\n"
                                                "| ------ | -----: |\n"
                                                "| a\\|b⏎c |      5 |\n"
                                                "| *NULL* |  12345 |\n"
                                                "| Größe  | *NULL* |\n");
  result.truncated = true;
  assert_non_null(strstr(markdown(arena, &result), "there are more"));
  result.row_count = 0;
  assert_non_null(strstr(markdown(arena, &result), "*No rows.*"));
}

static void test_hostile_cells(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 22);
  static const char *const values[] = {"\xE2\x80\xAE"
                                       "evil",
                                       "<script>",
                                       "[x](javascript:y)",
                                       "`code`",
                                       "\x1b[2J",
                                       "a\r\nb",
                                       "\xF3\xA0\x81\x81",
                                       "**b**",
                                       "\\|"};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    const char *text = answer_escape(values[i], arena);
    assert_non_null(text);
    assert_null(strstr(text, "\xE2\x80\xAE"));
    assert_null(strchr(text, '<'));
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\n'));
    assert_null(strchr(text, '\r'));
    assert_null(strstr(text, "\xF3\xA0\x81\x81"));
    for (const char *p = text; *p; p++)
      if (strchr("|[`*", *p)) assert_true(p > text && p[-1] == '\\');
  }
}

/* Underscores within a word emphasise nothing: names stay readable. */
static void test_underscores(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 20);
  static const char *const cells[][2] = {{"full_name", "full_name"},    {"a_1_b", "a_1_b"}, {"_x_", "\\_x\\_"},
                                         {"a__b", "a\\_\\_b"},          {"_", "\\_"},       {"x_ y", "x\\_ y"},
                                         {"\xC3\xA9_x", "\xC3\xA9\\_x"}};
  for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) assert_string_equal(answer_escape(cells[i][0], arena), cells[i][1]);
}

/* Aligned in a terminal, whatever the script: emoji are two columns, marks of Thai, Arabic and Hebrew none. */
static void test_columns_of_scripts(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 20);
  struct query_result_column column = {"c", "text", QUERY_TYPE_TEXT};
  struct query_cell cells[] = {{"abcdef", false}, {"⚡✅", false}, {"日本", false},     {"ที่นี่", false},
                               {"مُحَمَّد", false},   {"עִבְ", false}, {"e\xCC\x81", false}};
  const struct query_result result = {.columns = &column, .column_count = 1, .cells = cells, .row_count = 7};
  assert_string_equal(markdown(arena, &result), "| c      |\n"
                                                "| ------ |\n"
                                                "| abcdef |\n"
                                                "| ⚡✅   |\n"
                                                "| 日本   |\n"
                                                "| ที่นี่     |\n"
                                                "| مُحَمَّد   |\n"
                                                "| עִבְ     |\n"
                                                "| e\xCC\x81      |\n");
}

/* What is cut, and rows without columns, are told of. */
static void test_notes(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 20);
  struct query_result_column column = {"c", "text", QUERY_TYPE_TEXT};
  struct query_cell cells[] = {{"a", true}, {"b", false}, {"c", true}};
  const struct query_result result = {.columns = &column, .column_count = 1, .cells = cells, .row_count = 3};
  json_t *answer = json_object();
  answer_rows(answer, &result);
  assert_int_equal(json_integer_value(json_object_get(answer, "values_cut")), 2);
  json_decref(answer);
  const struct query_result bare = {.row_count = 2}, more = {.row_count = 500, .truncated = true};
  assert_string_equal(markdown(arena, &bare), "*2 rows without columns.*\n");
  assert_string_equal(markdown(arena, &more), "*500 or more rows without columns.*\n");
}

static void test_wide_cells_and_many_rows(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 24);
  static char wide[5000];
  memset(wide, 'x', sizeof wide - 1);
  struct query_result_column column = {"c", "text", QUERY_TYPE_TEXT};
  static struct query_cell cells[200];
  for (size_t i = 0; i < 200; i++) cells[i].text = wide;
  const struct query_result result = {.columns = &column, .column_count = 1, .cells = cells, .row_count = 200};
  const char *text = markdown(arena, &result);
  assert_true(strlen(text) < 200 * (ANSWER_MARKDOWN_ROWS + 3));
  assert_non_null(strstr(text, "…"));
  assert_non_null(strstr(text, "*50 of 200 rows.*"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_values),
                                     cmocka_unit_test(test_table),
                                     cmocka_unit_test(test_hostile_cells),
                                     cmocka_unit_test(test_underscores),
                                     cmocka_unit_test(test_columns_of_scripts),
                                     cmocka_unit_test(test_notes),
                                     cmocka_unit_test(test_wide_cells_and_many_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
