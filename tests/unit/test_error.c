/* Errors: the table against the contract, messages always UTF-8, faults gathered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/error.h"
#include "common/utf8.h"

static void every_status_has_its_code(void **state) {
  (void)state;
  static const struct {
    enum status status;
    const char *code;
    int http;
  } contract[] = {
      {ERR_VALIDATION, "VALIDATION_ERROR", 422},
      {ERR_MALFORMED, "MALFORMED_REQUEST", 400},
      {ERR_UNAUTHORIZED, "UNAUTHORIZED", 401},
      {ERR_FORBIDDEN, "FORBIDDEN", 403},
      {ERR_NOT_FOUND, "NOT_FOUND", 404},
      {ERR_METHOD, "METHOD_NOT_ALLOWED", 405},
      {ERR_TIMEOUT, "REQUEST_TIMEOUT", 408},
      {ERR_CONFLICT, "CONFLICT", 409},
      {ERR_IDEMPOTENCY, "IDEMPOTENCY_MISMATCH", 422},
      {ERR_TOO_LARGE, "PAYLOAD_TOO_LARGE", 413},
      {ERR_HEAD_TOO_LARGE, "HEADERS_TOO_LARGE", 431},
      {ERR_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", 415},
      {ERR_RATE_LIMITED, "RATE_LIMITED", 429},
      {ERR_UNAVAILABLE, "UNAVAILABLE", 503},
      {ERR_INTERNAL, "INTERNAL", 500},
  };
  assert_int_equal(sizeof contract / sizeof *contract, STATUS_COUNT - 1);
  for (size_t i = 0; i < sizeof contract / sizeof *contract; i++) {
    assert_string_equal(status_code(contract[i].status), contract[i].code);
    assert_int_equal(status_http(contract[i].status), contract[i].http);
  }
  assert_int_equal(status_http(OK), 200);
}

static void setting_replaces_what_was_there(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  error_add_field(&err, "sql", "is required");
  assert_int_equal(error_set_code(&err, ERR_CONFLICT, "TOKEN_EXPIRED", "the token expired %d s ago", 7), ERR_CONFLICT);
  assert_string_equal(err.code, "TOKEN_EXPIRED");
  assert_string_equal(err.message, "the token expired 7 s ago");
  assert_null(err.details);
  assert_int_equal(error_set(&err, ERR_NOT_FOUND, "again: %s", err.message), ERR_NOT_FOUND); /* from its own message */
  assert_string_equal(err.message, "again: the token expired 7 s ago");
  assert_string_equal(err.code, "NOT_FOUND");
  error_set_code(&err, ERR_CONFLICT, err.code, "its own code");
  assert_string_equal(err.code, "NOT_FOUND");
  assert_int_equal(error_oom(&err), ERR_UNAVAILABLE);
}

static void a_long_message_is_cut_between_characters(void **state) {
  (void)state;
  char text[4 * sizeof((struct error *)0)->message];
  for (int shift = 0; shift < 4; shift++) {
    ERROR_AUTO err = {0};
    memset(text, 'x', sizeof text);
    for (size_t i = (size_t)shift; i + 4 < sizeof text; i += 4) memcpy(text + i, "\xF0\x9F\x90\x98", 4);
    text[sizeof text - 1] = '\0';
    error_set(&err, ERR_INTERNAL, "%s", text);
    size_t len = strlen(err.message);
    assert_in_range(len, sizeof err.message - 5, sizeof err.message - 1);
    for (size_t at = 0, step; at < len; at += step) {
      step = utf8_char(err.message + at, len - at);
      assert_int_not_equal(step, 0);
    }
    assert_null(strchr(err.message, '?')); /* no half character was replaced either */
    error_prefix(&err, "%s", text);
    json_t *json = error_json(&err);
    assert_non_null(json);
    json_decref(json);
  }
}

static void foreign_bytes_become_question_marks(void **state) {
  (void)state;
  static const char *const bad[] = {"\xE9", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xE2\x82"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ERROR_AUTO err = {0};
    error_set(&err, ERR_UNAVAILABLE, "a%sb", bad[i]);
    assert_int_equal(err.message[0], 'a');
    assert_int_equal(err.message[1], '?');
    json_t *json = error_json(&err);
    assert_non_null(json);
    json_decref(json);
    error_add_field(&err, bad[i], "%s", bad[i]);
    assert_int_equal(err.status, ERR_VALIDATION);
    assert_int_equal(json_array_size(json_object_get(err.details, "fields")), 1);
  }
}

static void fields_are_gathered_and_summed_up(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  error_set(&err, ERR_NOT_FOUND, "something else");
  assert_int_equal(error_add_field(&err, "sql", "must hold 1 to %d bytes", 9), ERR_VALIDATION);
  assert_string_equal(err.message, "sql: must hold 1 to 9 bytes");
  assert_string_equal(err.code, "VALIDATION_ERROR");
  error_add_field(&err, "options.x", "is not a known field");
  assert_string_equal(err.message, "2 fields are wrong: sql: must hold 1 to 9 bytes; options.x: is not a known field");
  const json_t *second = json_array_get(json_object_get(err.details, "fields"), 1);
  assert_string_equal(json_string_value(json_object_get(second, "path")), "options.x");
  assert_string_equal(json_string_value(json_object_get(second, "message")), "is not a known field");
  error_clear(&err);
  error_add_field(&err, "", "the request must be an object");
  assert_string_equal(err.message, "the request must be an object");
}

static void a_flood_of_faults_is_bounded(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  for (int i = 0; i < 1000; i++) assert_int_equal(error_add_field(&err, "f\xC3\xBC", "\xC3\xBC is wrong"), ERR_VALIDATION);
  assert_int_equal(json_array_size(json_object_get(err.details, "fields")), 50);
  assert_true(strlen(err.message) < sizeof err.message);
  json_t *json = error_json(&err);
  assert_non_null(json);
  json_decref(json);
}

static void json_has_the_three_members(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  error_set(&err, ERR_FORBIDDEN, "no");
  error_prefix(&err, "statement %d", 3);
  json_t *json = error_json(&err);
  char *text = json_dumps(json, JSON_COMPACT);
  assert_string_equal(text, "{\"code\":\"FORBIDDEN\",\"message\":\"statement 3: no\",\"details\":null}");
  free(text);
  json_decref(json);
  error_add_field(&err, "a", "b");
  json = error_json(&err);
  error_clear(&err); /* the details live on in the copy */
  assert_int_equal(json_array_size(json_object_get(json_object_get(json, "details"), "fields")), 1);
  json_decref(json);
  assert_int_equal(err.status, OK);
  error_clear(&err);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_status_has_its_code),
      cmocka_unit_test(setting_replaces_what_was_there),
      cmocka_unit_test(a_long_message_is_cut_between_characters),
      cmocka_unit_test(foreign_bytes_become_question_marks),
      cmocka_unit_test(fields_are_gathered_and_summed_up),
      cmocka_unit_test(a_flood_of_faults_is_bounded),
      cmocka_unit_test(json_has_the_three_members),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
