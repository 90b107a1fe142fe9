/* The report as people read it: what must stand in it, its width, and that nothing in it steers a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "cli/report.h"

static char *render(const json_t *result) {
  char *text = NULL;
  size_t len = 0;
  FILE *out = tmpfile(); // has a descriptor, which a memory stream has not
  assert_non_null(out);
  report_print(out, result);
  long size = ftell(out);
  rewind(out);
  text = calloc(1, (size_t)size + 1);
  assert_non_null(text);
  len = fread(text, 1, (size_t)size, out);
  assert_int_equal(len, size);
  fclose(out);
  return text;
}

static char *render_fixture(void) {
  json_error_t where;
  json_t *result = json_load_file(AUTODB_SOURCE_DIR "/tests/fixtures/report.json", 0, &where);
  if (!result) fail_msg("%d: %s", where.line, where.text);
  char *text = render(result);
  json_decref(result);
  return text;
}

static void says_everything(void **state) {
  (void)state;
  static const char *const parts[] = {
      "Risk 72/100",
      "HIGH",
      "2 statements",
      "1  ALTER TABLE  shop.orders  line 2  72 high",
      "ALTER TABLE shop.orders ADD COLUMN public_id uuid NOT NULL DEFAULT gen_random_uuid()",
      "AccessExclusiveLock on shop.orders: blocks reads and writes (observed)",
      "ShareRowExclusiveLock on shop.customers: blocks writes (static)",
      "rewrites all of shop.orders; reads all of shop.orders; about 1.2 s",
      "not_null shop.orders.public_id: proven to hold",
      "unique shop.orders (number): may fail (SQLSTATE 23505)",
      "SELECT number FROM shop.orders GROUP BY 1 HAVING count(*) > 1",
      "add-column-volatile-default  line 2",
      "instead: ALTER TABLE shop.orders ADD COLUMN public_id uuid;",
      "shop.orders → shop.order_items",
      "shop.v_notes (through shop.notes): breaks",
      "passed on postgres 17.10: 17 tables cloned, 255 rows made; 96 ms, setup 61 ms",
      "statement 1  4.2 ms  as predicted",
      "not as predicted",
      "NOT verified",
      "-CREATE TABLE shop.notes (id bigint);",
      "DROP TABLE shop.notes: its rows are gone",
      "ALTER TABLE shop.orders DROP COLUMN public_id;",
      "A safer way (tried in the sandbox)",
      "2026-01-02T03:04:05Z",
      "Two statements; the first rewrites shop.orders.",
  };
  char *text = render_fixture();
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (!strstr(text, parts[i])) fail_msg("not in the report: %s\n%s", parts[i], text);
  assert_null(strstr(text, "secret-token-body")); // a bearer secret: only --json shows it
  free(text);
}

static void fits_a_hundred_columns_without_escapes(void **state) {
  (void)state;
  char *text = render_fixture();
  assert_null(strchr(text, '\033'));
  int width = 0;
  for (const char *c = text; *c; c++) {
    width = *c == '\n' ? 0 : width + ((*c & 0xC0) != 0x80);
    if (width > 100) fail_msg("a line is longer than 100 columns: %.120s", c - 100);
  }
  free(text);
}

static void survives_anything_missing_or_odd(void **state) {
  (void)state;
  static const char *const odd[] = {
      "{}",
      "{\"statements\": [{}, null, 7]}",
      "{\"sandbox_result\": {\"passed\": false, \"migration_error\": {}}, \"risk_score\": \"x\"}",
      "{\"affected_tables\": {}, \"rollback_plan\": {\"combined_script\": null, \"irreversible_reasons\": [null]}}",
      "[]",
      "null"};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    json_t *result = json_loads(odd[i], JSON_DECODE_ANY, NULL);
    char *text = render(result);
    assert_non_null(strstr(text, "Risk"));
    free(text);
    json_decref(result);
  }
}

static void tells_a_syntax_error(void **state) {
  (void)state;
  json_t *result = json_pack("{s:{s:b, s:{s:s, s:s, s:i, s:i}}}", "sandbox_result", "passed", 0, "migration_error", "sqlstate", "42601",
                             "message", "syntax error at or near \"TABEL\"", "line", 3, "column", 7);
  char *text = render(result);
  assert_non_null(strstr(text, "syntax error at or near \"TABEL\" (SQLSTATE 42601), line 3 column 7"));
  assert_non_null(strstr(text, "No token"));
  free(text);
  json_decref(result);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(says_everything),
      cmocka_unit_test(fits_a_hundred_columns_without_escapes),
      cmocka_unit_test(survives_anything_missing_or_odd),
      cmocka_unit_test(tells_a_syntax_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
