/* The buffer: its maximum, its failure that sticks, its JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/buf.h"

static void appends_and_stays_terminated(void **state) {
  (void)state;
  BUF_AUTO buf;
  buf_init(&buf, 1 << 20);
  assert_string_equal(buf_str(&buf), "");
  assert_true(buf_puts(&buf, "ab"));
  assert_true(buf_putc(&buf, 'c'));
  assert_true(buf_printf(&buf, "%d/%s", 42, "x"));
  assert_true(buf_append(&buf, NULL, 0));
  assert_string_equal(buf_str(&buf), "abc42/x");
  assert_true(buf_printf(&buf, "%5000s", "y")); /* needs growing in the middle of a printf */
  assert_int_equal(buf.len, 5007);
  assert_int_equal(strlen(buf_str(&buf)), 5007);
  buf_reset(&buf);
  assert_true(buf_put_u32be(&buf, 0x01020300));
  assert_memory_equal(buf.data, "\1\2\3\0", 5);
}

static void the_maximum_counts_content(void **state) {
  (void)state;
  for (size_t max = 0; max < 300; max++) {
    BUF_AUTO buf;
    buf_init(&buf, max);
    for (size_t i = 0; i < max; i++) assert_true(buf_putc(&buf, 'x'));
    assert_int_equal(buf.len, max);
    assert_true(buf_ok(&buf));
    assert_false(buf_putc(&buf, 'y'));
    assert_false(buf_ok(&buf));
  }
}

static void a_failure_empties_and_sticks(void **state) {
  (void)state;
  BUF_AUTO buf;
  buf_init(&buf, 10);
  buf_puts(&buf, "12345");
  assert_false(buf_puts(&buf, "678901"));
  assert_int_equal(buf.len, 0);
  assert_false(buf_puts(&buf, "fits"));
  assert_false(buf_printf(&buf, "%s", "fits"));
  assert_false(buf_put_json_string(&buf, "a\n", 2));
  assert_null(buf_take(&buf));
  assert_string_equal(buf_str(&buf), "");
  buf_reset(&buf);
  assert_true(buf_puts(&buf, "again"));
  assert_false(buf_printf(&buf, "%s", "more than ten"));
  buf_free(&buf);
  assert_true(buf_puts(&buf, "0123456789")); /* same max */
  assert_false(buf_putc(&buf, 'x'));
}

static void a_zeroed_struct_can_be_freed(void **state) {
  (void)state;
  struct buf buf = {0};
  buf_free(&buf);
  buf_reset(&buf);
  buf_consume(&buf, 3);
  assert_false(buf_putc(&buf, 'x')); /* it has no room */
}

static void take_hands_over(void **state) {
  (void)state;
  BUF_AUTO buf;
  buf_init(&buf, 100);
  char *empty = buf_take(&buf);
  assert_string_equal(empty, "");
  free(empty);
  buf_puts(&buf, "mine");
  char *text = buf_take(&buf);
  assert_string_equal(text, "mine");
  assert_int_equal(buf.len, 0);
  assert_true(buf_puts(&buf, "next"));
  free(text);
}

static void consume_drops_the_front(void **state) {
  (void)state;
  BUF_AUTO buf;
  buf_init(&buf, 100);
  buf_puts(&buf, "abcdef");
  buf_consume(&buf, 2);
  assert_string_equal(buf_str(&buf), "cdef");
  buf_consume(&buf, 100);
  assert_int_equal(buf.len, 0);
  assert_string_equal(buf_str(&buf), "");
}

static void strings_are_escaped_as_jansson_reads_them(void **state) {
  (void)state;
  char all[256 + 16];
  for (int i = 0; i < 256; i++) all[i] = (char)i;
  memcpy(all + 256, "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x98/", 10);
  BUF_AUTO buf;
  buf_init(&buf, 4096);
  assert_true(buf_put_json_string(&buf, all + 1, 265)); /* all bytes but NUL, most not UTF-8 */
  json_t *json = json_loads(buf_str(&buf), JSON_DECODE_ANY, NULL);
  assert_non_null(json);
  assert_memory_equal(json_string_value(json), all + 1, 127);
  assert_non_null(strstr(json_string_value(json), "\xEF\xBF\xBD\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x98/"));
  json_decref(json);
  buf_reset(&buf);
  assert_true(buf_put_json_string(&buf, "a\"\\\n\0b\x1f", 7));
  assert_string_equal(buf_str(&buf), "\"a\\\"\\\\\\n\\u0000b\\u001f\"");
}

static void json_is_dumped_compactly_or_fails(void **state) {
  (void)state;
  BUF_AUTO buf;
  buf_init(&buf, 20);
  json_t *json = json_pack("{s:i,s:[b]}", "a", 1, "b", 1);
  assert_true(buf_put_json(&buf, json));
  assert_string_equal(buf_str(&buf), "{\"a\":1,\"b\":[true]}");
  assert_false(buf_put_json(&buf, json)); /* no room */
  buf_reset(&buf);
  assert_false(buf_put_json(&buf, NULL));
  assert_false(buf_ok(&buf));
  json_decref(json);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(appends_and_stays_terminated),
      cmocka_unit_test(the_maximum_counts_content),
      cmocka_unit_test(a_failure_empties_and_sticks),
      cmocka_unit_test(a_zeroed_struct_can_be_freed),
      cmocka_unit_test(take_hands_over),
      cmocka_unit_test(consume_drops_the_front),
      cmocka_unit_test(strings_are_escaped_as_jansson_reads_them),
      cmocka_unit_test(json_is_dumped_compactly_or_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
