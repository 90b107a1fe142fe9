/* error.h - the one error convention.
 *
 * A function that can fail returns a status and fills the struct error its caller passed. OK is zero. What is filled in
 * reaches the client unchanged, as the HTTP answer or as the job's error, so a message says what was wrong and what would
 * be right, and never holds a password, a key, or another owner's data.
 *
 * `ret_` out-parameters are untouched on failure and always set on success. */
#ifndef AUTODB_ERROR_H
#define AUTODB_ERROR_H

#include <jansson.h>
#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* One row each in error.c: the code clients see and the HTTP status it travels with. */
enum status {
  OK = 0,
  ERR_VALIDATION,     /* 422 VALIDATION_ERROR */
  ERR_MALFORMED,      /* 400 MALFORMED_REQUEST */
  ERR_UNAUTHORIZED,   /* 401 */
  ERR_FORBIDDEN,      /* 403 */
  ERR_NOT_FOUND,      /* 404 */
  ERR_METHOD,         /* 405 METHOD_NOT_ALLOWED */
  ERR_TIMEOUT,        /* 408 REQUEST_TIMEOUT */
  ERR_CONFLICT,       /* 409 */
  ERR_IDEMPOTENCY,    /* 422 IDEMPOTENCY_MISMATCH */
  ERR_TOO_LARGE,      /* 413 PAYLOAD_TOO_LARGE */
  ERR_HEAD_TOO_LARGE, /* 431 HEADERS_TOO_LARGE */
  ERR_MEDIA_TYPE,     /* 415 UNSUPPORTED_MEDIA_TYPE */
  ERR_RATE_LIMITED,   /* 429 */
  ERR_UNAVAILABLE,    /* 503: the only one a job is retried for by itself */
  ERR_INTERNAL,       /* 500 */
  STATUS_COUNT
};

struct error {
  enum status status;
  char code[48];      /* the client's code; error_set fills in the status's own */
  char message[1024]; /* UTF-8, cut at a character boundary */
  json_t *details;    /* owned; NULL when there are none */
};

/* Releases details. Accepts a zeroed struct. */
void error_clear(struct error *err);
#define ERROR_AUTO __attribute__((cleanup(error_clear))) struct error

/* Each sets the error (dropping what was there) and returns the status, so that a caller can `return error_set(...)`. */
enum status error_set(struct error *err, enum status status, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum status error_set_code(struct error *err, enum status status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A VALIDATION_ERROR about one field: details.fields gains {path, message}; may be called again to add more fields. */
enum status error_add_field(struct error *err, const char *path, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum status error_oom(struct error *err);

/* Puts "context: " before the message. */
void error_prefix(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

const char *status_code(enum status status); /* "NOT_FOUND" */
int status_http(enum status status);         /* 404 */
/* {"code","message","details"}, a new reference. */
json_t *error_json(const struct error *err);

#endif
