/* error.c - filling in struct error.
 *
 * A message is formatted aside before the old content goes, so an error may be rebuilt from its own message. Whatever arrives
 * (a server's text in Latin-1, a name cut in the middle) what is stored is valid UTF-8, because it leaves as JSON. */
#include "common/error.h"

#include <assert.h>
#include <stdarg.h>

#include "common/utf8.h"

#define FIELDS_MAX 50 /* faults gathered; a body of a thousand typos needs no thousand answers */
#define PATH_MAX_BYTES 128

static const struct {
  const char *code;
  int http;
} statuses[STATUS_COUNT] = {
    [OK] = {"OK", 200},
    [ERR_VALIDATION] = {"VALIDATION_ERROR", 422},
    [ERR_MALFORMED] = {"MALFORMED_REQUEST", 400},
    [ERR_UNAUTHORIZED] = {"UNAUTHORIZED", 401},
    [ERR_FORBIDDEN] = {"FORBIDDEN", 403},
    [ERR_NOT_FOUND] = {"NOT_FOUND", 404},
    [ERR_METHOD] = {"METHOD_NOT_ALLOWED", 405},
    [ERR_TIMEOUT] = {"REQUEST_TIMEOUT", 408},
    [ERR_CONFLICT] = {"CONFLICT", 409},
    [ERR_IDEMPOTENCY] = {"IDEMPOTENCY_MISMATCH", 422},
    [ERR_TOO_LARGE] = {"PAYLOAD_TOO_LARGE", 413},
    [ERR_HEAD_TOO_LARGE] = {"HEADERS_TOO_LARGE", 431},
    [ERR_MEDIA_TYPE] = {"UNSUPPORTED_MEDIA_TYPE", 415},
    [ERR_RATE_LIMITED] = {"RATE_LIMITED", 429},
    [ERR_UNAVAILABLE] = {"UNAVAILABLE", 503},
    [ERR_INTERNAL] = {"INTERNAL", 500},
};

const char *status_code(enum status status) {
  assert((unsigned)status < STATUS_COUNT);
  return statuses[status].code;
}

int status_http(enum status status) {
  assert((unsigned)status < STATUS_COUNT);
  return statuses[status].http;
}

void error_clear(struct error *err) {
  json_decref(err->details);
  *err = (struct error){0};
}

/* Copies text into out[size] as valid UTF-8: a byte that is none becomes '?', the end is cut between characters. */
static void store(char *out, size_t size, const char *text) {
  size_t len = strlen(text), used = 0;
  for (size_t at = 0, step; at < len; at += step) {
    size_t valid = utf8_char(text + at, len - at);
    step = valid ? valid : 1;
    if (used + step >= size) break;
    memcpy(out + used, valid ? text + at : "?", step);
    used += step;
  }
  out[used] = '\0';
}

/* vsnprintf may cut inside a character; the rest of that character is dropped rather than shown as '?'. */
PRINTF_LIKE(3, 0)
static void format(char *out, size_t size, const char *fmt, va_list args) {
  int wanted = vsnprintf(out, size, fmt, args);
  if (wanted < 0) out[0] = '\0';
  if (wanted < 0 || (size_t)wanted < size) return;
  size_t start = utf8_cut(out, size - 2);
  if (!utf8_char(out + start, size - 1 - start)) out[start] = '\0';
}

PRINTF_LIKE(4, 0)
static enum status fill(struct error *err, enum status status, const char *code, const char *fmt, va_list args) {
  assert(status != OK);
  char message[sizeof err->message], kept[sizeof err->code];
  format(message, sizeof message, fmt, args);
  store(kept, sizeof kept, code);
  error_clear(err);
  err->status = status;
  store(err->message, sizeof err->message, message);
  memcpy(err->code, kept, sizeof kept);
  return status;
}

enum status error_set(struct error *err, enum status status, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fill(err, status, status_code(status), fmt, args);
  va_end(args);
  return status;
}

enum status error_set_code(struct error *err, enum status status, const char *code, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fill(err, status, code, fmt, args);
  va_end(args);
  return status;
}

enum status error_oom(struct error *err) { return error_set(err, ERR_UNAVAILABLE, "out of memory"); }

/* "2 fields are wrong: sql: …; options.x: …" */
static void summarise(struct error *err, const json_t *fields) {
  size_t count = json_array_size(fields), used = 0, i;
  char text[sizeof err->message] = "";
  if (count > 1) used = (size_t)snprintf(text, sizeof text, "%zu%s fields are wrong: ", count, count < FIELDS_MAX ? "" : " or more");
  const json_t *field;
  json_array_foreach(fields, i, field) {
    const char *path = json_string_value(json_object_get(field, "path"));
    const char *message = json_string_value(json_object_get(field, "message"));
    int wrote = snprintf(text + used, sizeof text - used, "%s%s%s%s", i ? "; " : "", path, *path ? ": " : "", message);
    used += wrote < 0 ? 0 : (size_t)wrote;
    if (used >= sizeof text) break;
  }
  if (used >= sizeof text) text[utf8_cut(text, sizeof text - 2)] = '\0';
  store(err->message, sizeof err->message, text);
}

/* The list of faults of an error that is about fields; any other error is dropped and begun anew. NULL: out of memory. */
static json_t *fields_of(struct error *err) {
  json_t *fields = err->status == ERR_VALIDATION ? json_object_get(err->details, "fields") : NULL;
  if (fields) return fields;
  error_set(err, ERR_VALIDATION, "%s", "");
  err->details = json_pack("{s:[]}", "fields");
  return json_object_get(err->details, "fields");
}

enum status error_add_field(struct error *err, const char *path, const char *fmt, ...) {
  char text[sizeof err->message], message[sizeof err->message], name[PATH_MAX_BYTES];
  va_list args;
  va_start(args, fmt);
  format(text, sizeof text, fmt, args);
  va_end(args);
  store(message, sizeof message, text);
  store(name, sizeof name, path);
  json_t *fields = fields_of(err);
  if (!fields) return error_oom(err);
  if (json_array_size(fields) >= FIELDS_MAX) return ERR_VALIDATION;
  json_t *field = json_pack("{s:s,s:s}", "path", name, "message", message);
  if (!field || json_array_append_new(fields, field)) return error_oom(err);
  summarise(err, fields);
  return ERR_VALIDATION;
}

void error_prefix(struct error *err, const char *fmt, ...) {
  char prefix[sizeof err->message], whole[2 * sizeof err->message + 2];
  va_list args;
  va_start(args, fmt);
  format(prefix, sizeof prefix, fmt, args);
  va_end(args);
  snprintf(whole, sizeof whole, "%s: %s", prefix, err->message);
  store(err->message, sizeof err->message, whole);
}

json_t *error_json(const struct error *err) {
  return json_pack("{s:s,s:s,s:O?}", "code", err->code, "message", err->message, "details", err->details);
}
