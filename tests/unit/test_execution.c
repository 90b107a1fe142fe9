/* What people read about an execution: applied or not, statement by statement, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/execution.h"
#include "common/buf.h"
#include "common/json.h"

/* The report printed to a file that is no terminal. */
static char *printed(const char *json) {
  char *text = NULL;
  size_t len = 0;
  json_t *report = json ? json_loads(json, 0, NULL) : NULL;
  if (json) assert_non_null(report);
  FILE *out = tmpfile();
  execution_print(out, report);
  len = (size_t)ftell(out);
  rewind(out);
  text = calloc(1, len + 1);
  assert_int_equal(fread(text, 1, len, out), len);
  fclose(out);
  json_decref(report);
  return text;
}

static void shows(const char *json, const char *const parts[]) {
  char *text = printed(json);
  const char *at = text;
  for (size_t i = 0; parts[i]; i++) {
    if (!(at = strstr(at, parts[i]))) fail_msg("not there, or out of order: %s\n%s", parts[i], text);
    at += strlen(parts[i]);
  }
  free(text);
}

static void an_applied_migration_is_a_table(void **state) {
  (void)state;
  shows("{\"applied\": true, \"transaction_mode\": \"single\", \"rolled_back\": false, \"statements\": ["
        "{\"index\": 0, \"status\": \"applied\", \"duration_ms\": 12.25, \"lock_wait_ms\": 3, \"retries\": 2, \"operation\": \"ALTER "
        "TABLE\", "
        "\"line\": 4},"
        "{\"index\": 1, \"status\": \"skipped\", \"duration_ms\": 0, \"lock_wait_ms\": 0, \"retries\": 0, \"note\": \"it was there\"}]}",
        (const char *[]){"Applied, in one transaction\n", "#  status", "time", "lock wait", "retries", "1  applied", "12.2 ms", "3.0 ms",
                         "2", "ALTER TABLE  line 4\n", "2  skipped", "0.0 ms", "it was there\n", NULL});
}

static void verdicts(void **state) {
  (void)state;
  shows("{\"applied\": false, \"dry_run\": true, \"transaction_mode\": \"single\"}", (const char *[]){"Dry run: nothing was kept", NULL});
  shows("{\"applied\": false, \"rolled_back\": true, \"transaction_mode\": \"single\"}",
        (const char *[]){"Not applied: rolled back", NULL});
  shows("{\"applied\": false, \"rolled_back\": false, \"transaction_mode\": \"per-statement\"}",
        (const char *[]){"Not applied as a whole, statement by statement\n", NULL});
}

static void who_was_in_the_way_is_named(void **state) {
  (void)state;
  shows(
      "{\"applied\": false, \"statements\": [], \"blockers\": [{\"pid\": 4711, \"usename\": \"app\", \"application_name\": \"nightly\", "
      "\"state\": "
      "\"idle in transaction\", \"query_start\": null, \"transaction_start\": \"2026-01-01 10:00:00\", \"query\": \"SELECT 1\"}, {\"pid\": "
      "4712, \"application_name\": null}]}",
      (const char *[]){"in the way", "pid 4711, app, nightly, idle in transaction, since 2026-01-01 10:00:00: SELECT 1\n", "pid 4712\n",
                       NULL});
}

static void a_difference_of_any_shape_is_a_few_lines(void **state) {
  (void)state;
  shows("{\"diff\": \"table t: column c was added\"}",
        (const char *[]){"against the one analysed:\n", "table t: column c was added\n", NULL});
  shows("{\"diff\": [\"one\", \"two\"]}", (const char *[]){"one\n", "two\n", NULL});
  shows("{\"diff\": {\"identical\": false, \"tables\": {\"added\": [\"public.x\", {\"schema\": \"s\", \"name\": \"y\", \"kind\": "
        "\"table\"}], "
        "\"removed\": [], \"changed\": [{\"name\": \"public.t\", \"changes\": {\"comment\": {\"before\": null, \"after\": \"new\"}, "
        "\"columns\": {\"added\": [{\"name\": \"c\"}]}}}]}, \"functions\": {\"removed\": {\"count\": 3}}}}",
        (const char *[]){"against the one analysed:\n", "  tables.added public.x\n", "  tables.added s.y\n", "  tables.changed public.t\n",
                         "  public.t.comment null → \"new\"\n", "  public.t.columns.added c\n", "  functions.removed.count 3\n", NULL});
  BUF_AUTO many;
  buf_init(&many, 100000);
  buf_puts(&many, "{\"diff\": [");
  for (int i = 0; i < 100; i++) buf_printf(&many, "%s\"line %d.\"", i ? "," : "", i);
  buf_puts(&many, "]}");
  char *text = printed(buf_str(&many));
  assert_non_null(strstr(text, "line 11.\n"));
  assert_null(strstr(text, "line 12."));
  assert_non_null(strstr(text, "and more"));
  free(text);
}

static void deep_nesting_ends(void **state) {
  (void)state;
  BUF_AUTO deep;
  buf_init(&deep, 100000);
  buf_puts(&deep, "{\"diff\": ");
  for (int i = 0; i < 500; i++) buf_puts(&deep, "{\"some key\": ");
  buf_puts(&deep, "1");
  for (int i = 0; i < 501; i++) buf_putc(&deep, '}');
  free(printed(buf_str(&deep)));
}

static void nothing_steers_a_terminal(void **state) {
  (void)state;
  char *text =
      printed("{\"applied\": false, \"statements\": [{\"index\": 0, \"status\": \"\\u001b[2J\", \"operation\": \"\\u001b]0;x\\u0007\", "
              "\"note\": \"\\u009b31m\"}], \"blockers\": [{\"pid\": 1, \"query\": \"\\u001b[31m\"}], \"diff\": {\"\\u001b\": "
              "\"\\u001b\"}, \"warnings\": [\"\\u001b\"]}");
  assert_null(strpbrk(text, "\x1b\x07"));
  assert_null(strstr(text, "\xc2\x9b"));
  free(text);
}

static void what_is_absent_prints_nothing(void **state) {
  (void)state;
  static const char *const empty[] = {NULL, "{}", "{\"holder\": {\"pid\": 1}}", "{\"statements\": [], \"blockers\": [], \"diff\": null}",
                                      "[]"};
  for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
    char *text = printed(empty[i]);
    assert_string_equal(text, "");
    free(text);
  }
  free(printed("{\"applied\": 1, \"statements\": [1, null, {}], \"blockers\": [7], \"warnings\": [7]}"));
}

static void codes_with_a_way_out_have_a_hint(void **state) {
  (void)state;
  assert_non_null(strstr(execution_hint("TOKEN_EXPIRED"), "--token-file"));
  assert_non_null(strstr(execution_hint("LOCK_TIMEOUT"), "--retry"));
  assert_non_null(strstr(execution_hint("SCHEMA_DRIFT"), "analyze again"));
  assert_null(execution_hint("VALIDATION_ERROR"));
  assert_null(execution_hint(""));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_applied_migration_is_a_table),
      cmocka_unit_test(verdicts),
      cmocka_unit_test(who_was_in_the_way_is_named),
      cmocka_unit_test(a_difference_of_any_shape_is_a_few_lines),
      cmocka_unit_test(deep_nesting_ends),
      cmocka_unit_test(nothing_steers_a_terminal),
      cmocka_unit_test(what_is_absent_prints_nothing),
      cmocka_unit_test(codes_with_a_way_out_have_a_hint),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
