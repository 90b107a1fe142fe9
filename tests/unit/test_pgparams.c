/* The bytes of parameters and binary arrays, and what marks a set as failed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/pgloop.h"

static const char *value(const struct pg_params *params, int i) { return params->store.data + params->at[i].offset; }

static void scalars_keep_their_bytes_and_format(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  struct id id;
  memset(id.bytes, 0xab, sizeof id.bytes);
  pg_param_text(&params, "hello");
  pg_param_textn(&params, "cut here", 3);
  pg_param_int(&params, -2);
  pg_param_uuid(&params, &id);
  pg_param_bytes(&params, "a\0b", 3);
  assert_true(buf_ok(&params.store));
  assert_int_equal(params.count, 5);
  assert_string_equal(value(&params, 0), "hello"); /* NUL-terminated: libpq measures text by it */
  assert_int_equal(params.at[0].format, 0);
  assert_string_equal(value(&params, 1), "cut");
  assert_memory_equal(value(&params, 2), "\xff\xff\xff\xfe", 4);
  assert_int_equal(params.at[2].len, 4);
  assert_int_equal(params.at[2].format, 1);
  assert_memory_equal(value(&params, 3), id.bytes, 16);
  assert_int_equal(params.at[3].len, 16);
  assert_memory_equal(value(&params, 4), "a\0b", 3);
  assert_int_equal(params.at[4].len, 3);
}

static void null_is_not_empty(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, NULL);
  pg_param_uuid(&params, NULL);
  pg_param_bytes(&params, NULL, 0);
  pg_param_text(&params, "");
  pg_param_bytes(&params, "", 0);
  for (int i = 0; i < 3; i++) assert_int_equal(params.at[i].offset, -1);
  for (int i = 3; i < 5; i++) {
    assert_true(params.at[i].offset >= 0);
    assert_int_equal(params.at[i].len, 0);
  }
}

static void arrays_have_the_wire_form(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_array_begin(&params, PG_ELEM_INT4);
  pg_param_array_int(&params, 7);
  pg_param_array_item(&params, NULL, -1);
  pg_param_array_end(&params);
  static const unsigned char wanted[] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0,   0,   0,   2,
                                         0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7,  255, 255, 255, 255};
  assert_int_equal(params.count, 1);
  assert_int_equal(params.at[0].len, sizeof wanted);
  assert_int_equal(params.at[0].format, 1);
  assert_memory_equal(value(&params, 0), wanted, sizeof wanted);
}

static void an_empty_array_has_no_dimension(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_text(&params, "before");
  pg_param_array_begin(&params, PG_ELEM_TEXT);
  pg_param_array_end(&params);
  pg_param_text(&params, "after");
  static const unsigned char wanted[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25};
  assert_int_equal(params.at[1].len, sizeof wanted);
  assert_memory_equal(value(&params, 1), wanted, sizeof wanted);
  assert_string_equal(value(&params, 2), "after");
}

static void one_too_many_fails_the_set(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  for (int i = 0; i < PG_PARAMS_MAX; i++) pg_param_int(&params, i);
  assert_true(buf_ok(&params.store));
  pg_param_int(&params, 0);
  assert_false(buf_ok(&params.store));
}

static void an_array_too_many_fails_the_set(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  for (int i = 0; i < PG_PARAMS_MAX; i++) pg_param_text(&params, NULL);
  pg_param_array_begin(&params, PG_ELEM_UUID);
  pg_param_array_item(&params, "0123456789abcdef", 16);
  pg_param_array_end(&params);
  assert_false(buf_ok(&params.store));
  assert_int_equal(params.count, PG_PARAMS_MAX);
}

static void a_nul_in_text_fails_the_set(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  pg_param_textn(&params, "a\0b", 3);
  assert_false(buf_ok(&params.store));
}

static void too_many_bytes_fail_the_set(void **state) {
  (void)state;
  PG_PARAMS_AUTO params;
  pg_params_init(&params);
  params.store.max = 1000; /* the real ceiling is not worth its memory here */
  char block[600] = {0};
  pg_param_array_begin(&params, PG_ELEM_BYTEA);
  pg_param_array_item(&params, block, sizeof block);
  pg_param_array_item(&params, block, sizeof block);
  pg_param_array_item(&params, block, sizeof block);
  pg_param_array_end(&params);
  assert_false(buf_ok(&params.store));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scalars_keep_their_bytes_and_format), cmocka_unit_test(null_is_not_empty),
      cmocka_unit_test(arrays_have_the_wire_form),           cmocka_unit_test(an_empty_array_has_no_dimension),
      cmocka_unit_test(one_too_many_fails_the_set),          cmocka_unit_test(an_array_too_many_fails_the_set),
      cmocka_unit_test(a_nul_in_text_fails_the_set),         cmocka_unit_test(too_many_bytes_fail_the_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
