/* What a request says: query strings, times, preferences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "api/request.h"

static const char *const colours[] = {"red", "green", NULL};
static const struct param params[] = {{.name = "limit", .want = PARAM_INT, .min = 1, .max = 200},
                                      {.name = "verify", .want = PARAM_BOOL},
                                      {.name = "id", .want = PARAM_ID},
                                      {.name = "at", .want = PARAM_TIME},
                                      {.name = "colour", .want = PARAM_TEXT, .choices = colours},
                                      {.name = "text", .want = PARAM_TEXT},
                                      {0}};
static const struct route route = {.params = params};

struct asked {
  struct http http;
  struct request req;
  struct error err;
};

static void asked_free(struct asked *asked) {
  arena_free(asked->req.arena);
  error_clear(&asked->err);
}
#define ASKED_AUTO __attribute__((cleanup(asked_free))) struct asked

static enum status ask(struct asked *asked, const char *query) {
  *asked = (struct asked){.http = {.query = query}};
  asked->req = (struct request){.arena = arena_new(1 << 20), .http = &asked->http, .route = &route};
  return request_parse_query(&asked->req, &asked->err);
}

static void values_are_decoded(void **state) {
  (void)state;
  ASKED_AUTO a;
  assert_int_equal(ask(&a, "limit=7&verify=false&text=a%20b+c%2Bd%C3%A9&&colour=red"), OK);
  assert_int_equal(request_param_int(&a.req, "limit", 50), 7);
  assert_false(request_param_bool(&a.req, "verify", true));
  assert_string_equal(request_param(&a.req, "text", ""), "a b c+d\xc3\xa9");
  assert_string_equal(request_param(&a.req, "colour", ""), "red");
  assert_string_equal(a.http.query, "limit=7&verify=false&text=a%20b+c%2Bd%C3%A9&&colour=red");
}

static void absent_is_the_default(void **state) {
  (void)state;
  ASKED_AUTO a;
  assert_int_equal(ask(&a, NULL), OK);
  assert_int_equal(request_param_int(&a.req, "limit", 50), 50);
  assert_true(request_param_bool(&a.req, "verify", true));
  assert_null(request_param(&a.req, "text", NULL));
}

static void bad_values_are_named(void **state) {
  (void)state;
  static const struct {
    const char *query, *path;
  } cases[] = {{"limit=0", "limit"},
               {"limit=201", "limit"},
               {"limit=", "limit"},
               {"limit", "limit"},
               {"limit=-1", "limit"},
               {"limit=1e2", "limit"},
               {"limit=99999999999999999999", "limit"},
               {"verify=yes", "verify"},
               {"verify=", "verify"},
               {"id=1", "id"},
               {"at=yesterday", "at"},
               {"colour=blue", "colour"},
               {"lmit=3", "lmit"},
               {"limit=3&limit=4", "limit"},
               {"text=%", "query"},
               {"text=%zz", "query"},
               {"text=%00", "query"},
               {"text=%ff", "query"},
               {"text=%C3", "query"},
               {"=x", ""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ASKED_AUTO a;
    assert_int_equal(ask(&a, cases[i].query), ERR_VALIDATION);
    const json_t *first = json_array_get(json_object_get(a.err.details, "fields"), 0);
    assert_string_equal(json_str(first, "path", "none"), cases[i].path);
  }
}

static void many_parameters_are_harmless(void **state) {
  (void)state;
  ASKED_AUTO a;
  BUF_AUTO query;
  buf_init(&query, 1 << 20);
  for (int i = 0; i < 2000; i++) buf_printf(&query, "a%d=1&", i);
  assert_int_equal(ask(&a, buf_str(&query)), ERR_VALIDATION);
}

static void times_exist_or_are_refused(void **state) {
  (void)state;
  static const char *const good[] = {"2026-01-31",
                                     "2024-02-29",
                                     "2026-01-31T12:00:00Z",
                                     "2026-01-31t12:00:00z",
                                     "2026-01-31 12:00:00Z",
                                     "2026-01-31T12:00:00.123Z",
                                     "2026-01-31T12:00:00+02:00",
                                     "2026-01-31T23:59:59.999999999-11:30"};
  static const char *const bad[] = {"",
                                    "2026",
                                    "2026-1-1",
                                    "2026-02-30",
                                    "2025-02-29",
                                    "2026-13-01",
                                    "2026-00-10",
                                    "2026-01-31T",
                                    "2026-01-31T25:00:00Z",
                                    "2026-01-31T12:60:00Z",
                                    "2026-01-31T12:00:00",
                                    "2026-01-31T12:00:00.Z",
                                    "2026-01-31T12:00:00+2",
                                    "2026-01-31T12:00:00+99:00",
                                    "2026-01-31T12:00:00Zx",
                                    "now",
                                    "infinity",
                                    "2026-01-31T12:00:00.1234567890Z",
                                    "0000-01-01"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (!request_is_time(good[i])) fail_msg("refused: %s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (request_is_time(bad[i])) fail_msg("taken: %s", bad[i]);
}

static void preferences_are_read_leniently(void **state) {
  (void)state;
  static const struct {
    const char *value;
    int seconds;
  } cases[] = {{"wait=10", 10},  {"wait=0", 0}, {"wait=600", 60}, {"respond-async, wait=5", 5}, {"Wait = \"7\"; x=y", 7},
               {"wait", 0},      {"wait=", 0},  {"wait=-1", 0},   {"wait=99999999999999", 0},   {"wait=abc, wait=3", 3},
               {"waiting=3", 0}, {"", 0},       {",,,", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http http = {.headers = {{.name = "prefer", .value = cases[i].value}}, .header_count = 1};
    struct request req = {.http = &http};
    if (request_prefer_wait(&req) != cases[i].seconds) fail_msg("%s: %d", cases[i].value, request_prefer_wait(&req));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_are_decoded),         cmocka_unit_test(absent_is_the_default),
      cmocka_unit_test(bad_values_are_named),       cmocka_unit_test(many_parameters_are_harmless),
      cmocka_unit_test(times_exist_or_are_refused), cmocka_unit_test(preferences_are_read_leniently),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
