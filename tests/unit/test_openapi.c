/* What the documents say is what the route table serves: paths, methods, who may, query parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <ctype.h>

#include "api/res_docs.h"
#include "api/router.h"

static int setup(void **state) {
  *state = json_loadb((const char *)openapi_json, openapi_json_len, JSON_REJECT_DUPLICATES, NULL);
  return *state ? 0 : -1;
}

static int teardown(void **state) {
  json_decref(*state);
  return 0;
}

static const char *method_name(uint8_t method, char out[16]) {
  snprintf(out, 16, "%s", llhttp_method_name(method));
  for (char *p = out; *p; p++) *p = (char)tolower((unsigned char)*p);
  return out;
}

/* A parameter, by itself or by reference. */
static const json_t *resolve(const json_t *doc, const json_t *parameter) {
  const char *ref = json_str(parameter, "$ref", NULL);
  if (!ref) return parameter;
  return json_object_get(json_object_get(json_object_get(doc, "components"), "parameters"), strrchr(ref, '/') + 1);
}

static size_t query_parameters(const json_t *doc, const json_t *operation, const struct route *route) {
  size_t i, count = 0;
  json_t *item;
  json_array_foreach(json_object_get(operation, "parameters"), i, item) {
    const json_t *parameter = resolve(doc, item);
    assert_non_null(parameter);
    if (strcmp(json_str(parameter, "in", ""), "query") != 0) continue;
    count++;
    bool known = false;
    for (const struct param *param = route->params; param && param->name; param++)
      known |= strcmp(param->name, json_str(parameter, "name", "")) == 0;
    if (!known) fail_msg("%s does not take %s", route->pattern, json_str(parameter, "name", ""));
  }
  return count;
}

static void every_route_is_described(void **state) {
  const json_t *doc = *state, *paths = json_object_get(doc, "paths");
  const struct route *route;
  char method[16];
  for (size_t i = 0; (route = router_at(i)); i++) {
    const json_t *operation = json_object_get(json_object_get(paths, route->pattern), method_name(route->method, method));
    if (!operation) fail_msg("not described: %s %s", method, route->pattern);
    const json_t *security = json_object_get(operation, "security");
    assert_int_equal(security && json_array_size(security) == 0, route->auth == AUTH_NONE);
    size_t taken = 0;
    for (const struct param *param = route->params; param && param->name; param++) taken++;
    assert_int_equal(query_parameters(doc, operation, route), taken);
  }
}

static void every_description_is_served(void **state) {
  const char *path, *method;
  json_t *item, *operation;
  size_t described = 0, served = 0;
  json_object_foreach(json_object_get(*state, "paths"), path, item) json_object_foreach(item, method, operation) described +=
      strcmp(method, "parameters") != 0;
  while (router_at(served)) served++;
  assert_int_equal(described, served);
}

/* The schema of an operation's body, which may be shared by reference. */
static const json_t *body_schema(const json_t *doc, const json_t *operation) {
  const json_t *body = json_object_get(operation, "requestBody");
  const char *ref = json_str(body, "$ref", NULL);
  if (ref) body = json_object_get(json_object_get(json_object_get(doc, "components"), "requestBodies"), strrchr(ref, '/') + 1);
  const json_t *content = json_object_get(body, "content"), *json = json_object_get(content, "application/json");
  return json_object_get(json ? json : json_object_get(content, "multipart/form-data"), "schema");
}

static void fields_are_described(void **state) {
  const json_t *paths = json_object_get(*state, "paths");
  const struct route *route;
  char method[16];
  for (size_t i = 0; (route = router_at(i)); i++) {
    const json_t *operation = json_object_get(json_object_get(paths, route->pattern), method_name(route->method, method));
    const json_t *properties = json_object_get(body_schema(*state, operation), "properties");
    if (!route->field_count) continue;
    assert_int_equal(json_object_size(properties), route->field_count);
    for (size_t f = 0; f < route->field_count; f++)
      if (!json_object_get(properties, route->fields[f].name)) fail_msg("%s: %s is not described", route->pattern, route->fields[f].name);
  }
}

/* The two files are one document: the same operations in the same order. */
static void both_forms_agree(void **state) {
  const char *path, *method, *yaml = (const char *)openapi_yaml;
  json_t *item, *operation;
  char line[256];
  size_t ids = 0;
  char *text = calloc(1, openapi_yaml_len + 1);
  memcpy(text, yaml, openapi_yaml_len);
  const char *at = text;
  json_object_foreach(json_object_get(*state, "paths"), path, item) {
    snprintf(line, sizeof line, "\n  %s:\n", path);
    if (!(at = strstr(at, line))) fail_msg("not in openapi.yaml, or out of order: %s", path);
    json_object_foreach(item, method, operation) {
      if (strcmp(method, "parameters") == 0) continue;
      snprintf(line, sizeof line, "operationId: %s\n", json_str(operation, "operationId", "?"));
      if (!strstr(at, line)) fail_msg("not in openapi.yaml: %s", line);
      ids++;
    }
  }
  for (at = text; (at = strstr(at, "operationId: ")); at++) ids--;
  assert_int_equal(ids, 0);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_route_is_described), cmocka_unit_test(every_description_is_served),
                                     cmocka_unit_test(fields_are_described), cmocka_unit_test(both_forms_agree)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
