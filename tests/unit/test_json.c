/* JSON: what is refused, and that the answer helps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/limits.h"

static json_t *parse(const char *text) {
  ERROR_AUTO err = {0};
  json_t *json = NULL;
  if (json_parse(text, strlen(text), &json, &err)) fail_msg("%s", err.message);
  return json;
}

static void valid_texts_parse(void **state) {
  (void)state;
  static const char *const valid[] = {
      "{}", " [1, 2.5, -3e2, \"\\u00e4\", true, null]\n", "\"text\"", "7", "null", "{\"a\":{\"a\":1}}", "\"[[[\\\"{{{\""};
  for (size_t i = 0; i < sizeof valid / sizeof *valid; i++) json_decref(parse(valid[i]));
}

static void invalid_texts_say_what_and_where(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t len; /* 0 = strlen */
    const char *says;
    int line;
  } cases[] = {
      {"", 0, "is empty", 1},
      {"{\"a\":1,\n \"a\":2}", 0, "duplicate key \"a\"", 2},
      {"{\"b\":{\"x\":1,\"x\":1}}", 0, "duplicate key \"x\"", 1},
      {"{\"a_name_that_is_longer_than_twenty\":1,\"a_name_that_is_longer_than_twenty\":1}", 0, "duplicate key", 1},
      {"\"\xFF\"", 0, "not valid UTF-8", 1},
      {"{\"k\":\"\xED\xA0\x80\"}", 0, "not valid UTF-8", 1},
      {"{\"k\":\"a\\u0000b\"}", 0, "\\u0000", 1},
      {"{\"a\\u0000b\":1}", 0, "\\u0000", 1},
      {"{\"a\":1", 0, "ends too early", 1},
      {"\"abc", 0, "ends too early", 1},
      {"{} {}", 0, "goes on after its end", 1},
      {"{}\0", 3, "holds a NUL byte", 1},
      {"[1,]", 0, "is not valid", 1},
      {"{a:1}", 0, "is not valid", 1},
      {"\n\n  'x'", 0, "is not valid", 3},
      {"[99999999999999999999]", 0, "number that is too large", 1},
      {"[1e999]", 0, "number that is too large", 1},
      {"\0", 1, "holds a NUL byte", 1},
      {"[\"a\\\0b\"]", 7, "holds a NUL byte", 1},
      {"[\"a\nb\"]", 0, "is not valid", 1},
      {"NaN", 0, "is not valid", 1},
      {"[01]", 0, "is not valid", 1},
      {"\xEF\xBB\xBF{}", 0, "is not valid", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ERROR_AUTO err = {0};
    json_t *json = NULL;
    size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
    assert_int_equal(json_parse(cases[i].text, len, &json, &err), ERR_MALFORMED);
    assert_null(json);
    if (!strstr(err.message, cases[i].says)) fail_msg("%s: %s", cases[i].text, err.message);
    assert_int_equal(json_integer_value(json_object_get(err.details, "line")), cases[i].line);
    assert_non_null(json_object_get(err.details, "column"));
  }
}

static void messages_do_not_quote_the_input(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  json_t *json;
  static const char text[] = "{\"connection_string\":\"hunter2\" oops}";
  assert_int_equal(json_parse(text, sizeof text - 1, &json, &err), ERR_MALFORMED);
  assert_null(strstr(err.message, "oops"));
  assert_null(strstr(err.message, "hunter2"));
}

static enum status parse_nested(int levels, char open, char close, struct error *err) {
  static char text[400000];
  memset(text, open, (size_t)levels);
  memset(text + levels, close, (size_t)levels);
  json_t *json = NULL;
  enum status status = json_parse(text, 2 * (size_t)levels, &json, err);
  json_decref(json);
  return status;
}

static void depth_is_limited(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  assert_int_equal(parse_nested(LIMIT_JSON_DEPTH, '[', ']', &err), OK);
  assert_int_equal(parse_nested(LIMIT_JSON_DEPTH + 1, '[', ']', &err), ERR_MALFORMED);
  assert_string_equal(err.message, "the JSON is nested deeper than 256 levels (line 1, column 257)");
  assert_int_equal(parse_nested(100000, '[', ']', &err), ERR_MALFORMED);
  assert_int_equal(parse_nested(100000, '{', '}', &err), ERR_MALFORMED);
  assert_int_equal(parse_nested(100000, ']', '[', &err), ERR_MALFORMED); /* closing first must not help */
  json_t *json = NULL;
  static const char text[] = "\"\\\"[[[\""; /* brackets in strings do not count */
  assert_int_equal(json_parse(text, sizeof text - 1, &json, &err), OK);
  json_decref(json);
}

static const char *const modes[] = {"plan", "results", NULL};
static const struct json_field fields[] = {
    {"sql", JSON_WANT_STRING, true, 1, 10, NULL},          {"rows_per_table", JSON_WANT_INT, false, 1, 1000, NULL},
    {"dry_run", JSON_WANT_BOOL, false, 0, 0, NULL},        {"options", JSON_WANT_OBJECT, false, 0, 0, NULL},
    {"tables", JSON_WANT_STRING_ARRAY, false, 0, 2, NULL}, {"items", JSON_WANT_ARRAY, false, 1, 3, NULL},
    {"payload", JSON_WANT_ANY, false, 0, 0, NULL},         {"mode", JSON_WANT_STRING, false, 0, 0, modes},
};
#define COUNT (sizeof fields / sizeof *fields)

static void good_objects_pass(void **state) {
  (void)state;
  static const char *const good[] = {
      "{\"sql\":\"x\"}",
      "{\"sql\":\"0123456789\",\"rows_per_table\":1000,\"dry_run\":false,\"options\":{},\"tables\":[],\"items\":[1],\"payload\":[{}],"
      "\"mode\":\"plan\"}",
      "{\"sql\":\"x\",\"rows_per_table\":null,\"mode\":null,\"payload\":null}",
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    ERROR_AUTO err = {0};
    json_t *json = parse(good[i]);
    assert_int_equal(json_check(json, "", fields, COUNT, &err), OK);
    assert_int_equal(err.status, OK);
    json_decref(json);
  }
}

static void each_fault_is_told_by_name(void **state) {
  (void)state;
  static const struct {
    const char *text, *path, *message;
  } cases[] = {
      {"{}", "sql", "is required: a string"},
      {"{\"sql\":null}", "sql", "is required: a string"},
      {"{\"sql\":5}", "sql", "must be a string, is an integer"},
      {"{\"sql\":\"\"}", "sql", "must hold 1 to 10 bytes, is 0"},
      {"{\"sql\":\"01234567890\"}", "sql", "must hold 1 to 10 bytes, is 11"},
      {"{\"sql\":\"\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\"}", "sql", "must hold 1 to 10 bytes, is 12"},
      {"{\"sql\":\"x\",\"rows_per_table\":0}", "rows_per_table", "must be 1 to 1000, is 0"},
      {"{\"sql\":\"x\",\"rows_per_table\":-9223372036854775808}", "rows_per_table", "must be 1 to 1000, is -9223372036854775808"},
      {"{\"sql\":\"x\",\"rows_per_table\":5.5}", "rows_per_table", "must be an integer, is a number with a fraction"},
      {"{\"sql\":\"x\",\"rows_per_table\":\"5\"}", "rows_per_table", "must be an integer, is a string"},
      {"{\"sql\":\"x\",\"dry_run\":1}", "dry_run", "must be true or false, is an integer"},
      {"{\"sql\":\"x\",\"options\":[]}", "options", "must be an object, is an array"},
      {"{\"sql\":\"x\",\"tables\":{}}", "tables", "must be an array of strings, is an object"},
      {"{\"sql\":\"x\",\"tables\":[\"a\",7]}", "tables[1]", "must be a string, is an integer"},
      {"{\"sql\":\"x\",\"tables\":[\"a\",\"b\",\"c\"]}", "tables", "must hold at most 2 items, is 3"},
      {"{\"sql\":\"x\",\"items\":[]}", "items", "must hold 1 to 3 items, is 0"},
      {"{\"sql\":\"x\",\"mode\":\"guess\"}", "mode", "must be one of \"plan\", \"results\""},
      {"{\"sql\":\"x\",\"optoins\":{}}", "optoins", "is not a known field; did you mean \"options\"?"},
      {"{\"sql\":\"x\",\"SQL\":\"x\"}", "SQL", "is not a known field; did you mean \"sql\"?"},
      {"{\"sql\":\"x\",\"entirely_other\":1}", "entirely_other",
       "is not a known field; known are: sql, rows_per_table, dry_run, options, tables, items, payload, mode"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ERROR_AUTO err = {0};
    json_t *json = parse(cases[i].text);
    assert_int_equal(json_check(json, "", fields, COUNT, &err), ERR_VALIDATION);
    const json_t *list = json_object_get(err.details, "fields"), *fault = json_array_get(list, 0);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_object_get(fault, "path")), cases[i].path);
    assert_string_equal(json_string_value(json_object_get(fault, "message")), cases[i].message);
    json_decref(json);
  }
}

static void faults_of_nested_objects_join_under_their_path(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  json_t *json = parse("{\"rows_per_table\":0,\"x\":1}");
  assert_int_equal(json_check(json, "", fields, COUNT, &err), ERR_VALIDATION);
  assert_int_equal(json_array_size(json_object_get(err.details, "fields")), 3);
  assert_int_equal(json_check(json, "options.", fields, COUNT, &err), ERR_VALIDATION);
  const json_t *list = json_object_get(err.details, "fields");
  assert_int_equal(json_array_size(list), 6);
  assert_string_equal(json_string_value(json_object_get(json_array_get(list, 3), "path")), "options.x");
  assert_non_null(strstr(err.message, "6 fields are wrong: "));
  json_decref(json);
}

static void what_is_no_object_is_told_so(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  json_t *json = parse("[]");
  assert_int_equal(json_check(json, "", fields, COUNT, &err), ERR_VALIDATION);
  assert_string_equal(err.message, "the request must be a JSON object, is an array");
  error_clear(&err);
  assert_int_equal(json_check(json, "options.", fields, COUNT, &err), ERR_VALIDATION);
  assert_string_equal(err.message, "options: must be a JSON object, is an array");
  error_clear(&err);
  assert_int_equal(json_check(NULL, NULL, fields, COUNT, &err), ERR_VALIDATION);
  json_decref(json);
}

static void a_thousand_unknown_names_stay_bounded(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  json_t *json = json_object();
  char name[2000];
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "%d-%0*d", i, 1900, 0);
    json_object_set_new(json, name, json_null());
  }
  assert_int_equal(json_check(json, "", fields, COUNT, &err), ERR_VALIDATION);
  assert_in_range(json_array_size(json_object_get(err.details, "fields")), 1, 100);
  json_t *answer = error_json(&err);
  char *text = json_dumps(answer, 0);
  assert_true(strlen(text) < 64 * 1024);
  free(text);
  json_decref(answer);
  json_decref(json);
}

static void getters_fall_back(void **state) {
  (void)state;
  json_t *json = parse("{\"s\":\"x\",\"i\":5,\"b\":true,\"n\":null}");
  assert_string_equal(json_str(json, "s", "d"), "x");
  assert_string_equal(json_str(json, "i", "d"), "d");
  assert_null(json_str(NULL, "s", NULL));
  assert_int_equal(json_int(json, "i", 1), 5);
  assert_int_equal(json_int(json, "s", 1), 1);
  assert_true(json_bool(json, "b", false));
  assert_true(json_bool(json, "n", true));
  json_set_str(json, "s", NULL);
  assert_true(json_is_null(json_object_get(json, "s")));
  json_set_str(json, "s", "y");
  assert_string_equal(json_str(json, "s", "d"), "y");
  json_decref(json);
}

static void canonical_text_depends_on_content_only(void **state) {
  (void)state;
  json_t *a = parse("{ \"b\" : [1, {\"z\":null,\"y\":\"\xC3\xA4\"}], \"a\":true}"),
         *b = parse("{\"a\":true,\"b\":[1,{\"y\":\"\\u00e4\",\"z\":null}]}");
  json_append_str(json_object_get(a, "b"), "s");
  json_append_str(json_object_get(b, "b"), "s");
  char *first = json_canonical(a), *second = json_canonical(b);
  assert_string_equal(first, second);
  assert_string_equal(first, "{\"a\":true,\"b\":[1,{\"y\":\"\xC3\xA4\",\"z\":null},\"s\"]}");
  free(first);
  free(second);
  json_decref(a);
  json_decref(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(valid_texts_parse),
      cmocka_unit_test(invalid_texts_say_what_and_where),
      cmocka_unit_test(messages_do_not_quote_the_input),
      cmocka_unit_test(depth_is_limited),
      cmocka_unit_test(good_objects_pass),
      cmocka_unit_test(each_fault_is_told_by_name),
      cmocka_unit_test(faults_of_nested_objects_join_under_their_path),
      cmocka_unit_test(what_is_no_object_is_told_so),
      cmocka_unit_test(a_thousand_unknown_names_stay_bounded),
      cmocka_unit_test(getters_fall_back),
      cmocka_unit_test(canonical_text_depends_on_content_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
