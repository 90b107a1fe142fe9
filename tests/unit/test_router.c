/* The route table: paths, methods, and that every row is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "api/router.h"

#define UUID "01890a5d-ac96-774b-bcce-b302099a8057"

static void paths_find_their_rows(void **state) {
  (void)state;
  static const struct {
    uint8_t method;
    const char *path, *pattern;
  } cases[] = {
      {HTTP_POST, "/api/v1/jobs/echo", "/api/v1/jobs/echo"},
      {HTTP_GET, "/api/v1/jobs/" UUID, "/api/v1/jobs/{id}"},
      {HTTP_HEAD, "/api/v1/jobs/" UUID, "/api/v1/jobs/{id}"},
      {HTTP_POST, "/api/v1/jobs/" UUID "/cancel", "/api/v1/jobs/{id}/cancel"},
      {HTTP_GET, "/api/v1/connections/" UUID "/schema/diff", "/api/v1/connections/{id}/schema/diff"},
      {HTTP_POST, "/analyze", "/analyze"},
      {HTTP_GET, "/healthz", "/healthz"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct route_match found;
    router_find(cases[i].method, cases[i].path, &found);
    assert_non_null(found.route);
    assert_string_equal(found.route->pattern, cases[i].pattern);
  }
}

static void ids_are_taken(void **state) {
  (void)state;
  struct route_match found;
  char text[ID_TEXT];
  router_find(HTTP_DELETE, "/api/v1/connections/" UUID, &found);
  assert_string_equal(id_format(&found.ids[0], text), UUID);
}

static void other_paths_are_unknown(void **state) {
  (void)state;
  static const char *const paths[] = {"/",
                                      "",
                                      "/api/v1",
                                      "/api/v1/jobs/",
                                      "/api/v1/jobs/1",
                                      "/api/v1/jobs/" UUID "x",
                                      "/api/v1/jobs/" UUID "/",
                                      "/api/v1/jobs//cancel",
                                      "/api/v1/jobs/" UUID "/cancel/x",
                                      "/healthz/",
                                      "/healthzz",
                                      "/HEALTHZ",
                                      "/api/v1/../v1/jobs",
                                      "*",
                                      "//healthz"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    struct route_match found;
    router_find(HTTP_GET, paths[i], &found);
    assert_null(found.route);
    assert_string_equal(found.allow, "");
  }
}

static void other_methods_learn_what_is_allowed(void **state) {
  (void)state;
  struct route_match found;
  router_find(HTTP_PUT, "/api/v1/connections/" UUID, &found);
  assert_null(found.route);
  assert_string_equal(found.allow, "GET, HEAD, PATCH, DELETE, OPTIONS");
  router_find(HTTP_GET, "/api/v1/jobs/echo", &found);
  assert_null(found.route);
  assert_string_equal(found.allow, "POST, OPTIONS");
}

static void rows_are_whole(void **state) {
  (void)state;
  const struct route *route, *other;
  for (size_t i = 0; (route = router_at(i)); i++) {
    assert_non_null(route->handler);
    assert_int_equal(route->pattern[0], '/');
    bool open =
        !strncmp(route->pattern, "/healthz", 8) || !strncmp(route->pattern, "/readyz", 7) || !strncmp(route->pattern, "/openapi", 8);
    assert_int_equal(route->auth == AUTH_NONE, open);
    if (route->flags & ROUTE_JOB) assert_int_equal(route->method, HTTP_POST);
    if (route->method == HTTP_GET) assert_int_equal(router_body_cap(route), 0);
    assert_true(route->field_count + 3 <= 32);
    for (size_t j = i + 1; (other = router_at(j)); j++)
      assert_false(other->method == route->method && strcmp(other->pattern, route->pattern) == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(paths_find_their_rows),   cmocka_unit_test(ids_are_taken),
      cmocka_unit_test(other_paths_are_unknown), cmocka_unit_test(other_methods_learn_what_is_allowed),
      cmocka_unit_test(rows_are_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
