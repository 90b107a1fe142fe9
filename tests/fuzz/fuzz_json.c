/* A request's body: strict parsing, and a check against a table of fields. */
#include "common/json.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const choices[] = {"low", "high", NULL};
  static const struct json_field fields[] = {
      {.name = "sql", .want = JSON_WANT_STRING, .required = true, .min = 1, .max = 64},
      {.name = "n", .want = JSON_WANT_INT, .min = -5, .max = 5},
      {.name = "lane", .want = JSON_WANT_STRING, .choices = choices},
      {.name = "list", .want = JSON_WANT_STRING_ARRAY, .max = 3},
  };
  json_t *value = NULL;
  ERROR_AUTO err = {0};
  if (json_parse((const char *)data, size, &value, &err) != OK) return 0;
  (void)!json_check(value, "", fields, sizeof fields / sizeof *fields, &err);
  json_decref(error_json(&err));
  free(json_canonical(value));
  json_decref(value);
  return 0;
}
