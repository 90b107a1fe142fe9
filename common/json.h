/* json.h - reading requests and payloads strictly, on top of jansson.
 *
 * Requests are described by tables of fields, so that a typo is answered by name instead of passing silently. */
#ifndef AUTODB_JSON_H
#define AUTODB_JSON_H

#include <stddef.h>

#include "arena.h"
#include "error.h"

/* Parses one JSON text. Duplicate keys, invalid UTF-8, \u0000, trailing bytes and nesting beyond LIMIT_JSON_DEPTH are
 * ERR_MALFORMED with line, column and what would be right. New reference. */
MUST_CHECK enum status json_parse(const char *text, size_t len, json_t **ret_value, struct error *err);

enum json_want {
  JSON_WANT_STRING,
  JSON_WANT_INT,
  JSON_WANT_BOOL,
  JSON_WANT_OBJECT,
  JSON_WANT_ARRAY,
  JSON_WANT_STRING_ARRAY,
  JSON_WANT_ANY
};

struct json_field {
  const char *name;
  enum json_want want;
  bool required;              /* absent and null are errors */
  long long min, max;         /* integers: value; strings: bytes; arrays: items. Both 0 = unbounded */
  const char *const *choices; /* strings only: NULL-terminated list, or NULL */
};

/* Checks that `object` is an object holding only the fields listed, of the wanted types and sizes; null counts as absent.
 * All faults are gathered into one VALIDATION_ERROR (details.fields); `path` prefixes names ("options."). */
MUST_CHECK enum status json_check(const json_t *object, const char *path, const struct json_field *fields, size_t count, struct error *err);

/* Lenient getters for what has been checked or what we wrote ourselves; the default when absent or of another type. */
const char *json_str(const json_t *object, const char *key, const char *otherwise);
long long json_int(const json_t *object, const char *key, long long otherwise);
bool json_bool(const json_t *object, const char *key, bool otherwise);

/* Sets the member of `to` that `from` has; absent and null are left out: defaults are whoever reads `to`'s. */
void json_pass_on(json_t *to, const json_t *from, const char *key);
/* Sets key to a string, or to null when value is NULL. */
void json_set_str(json_t *object, const char *key, const char *value);
/* "b" of array "a": appends a string. */
void json_append_str(json_t *array, const char *value);
json_t *json_strings(const char *const *items, size_t count); /* an array of them; new reference */
/* Canonical text (sorted keys, compact), malloc'd: what is hashed and signed. */
char *json_canonical(const json_t *value);

#endif
