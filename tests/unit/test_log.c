/* The log, read back from a pipe in place of standard error: each line is one JSON object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "common/log.h"

static int saved_stderr, reader;
static char line[64 * 1024];

static int capture(void **state) {
  (void)state;
  int ends[2];
  if (pipe(ends)) return -1;
  saved_stderr = dup(STDERR_FILENO);
  dup2(ends[1], STDERR_FILENO);
  close(ends[1]);
  reader = ends[0];
  log_init("test", LOG_INFO);
  return 0;
}

static int release(void **state) {
  (void)state;
  dup2(saved_stderr, STDERR_FILENO);
  close(saved_stderr);
  close(reader);
  return 0;
}

/* What one log_event wrote, as JSON; the caller drops it. */
static json_t *next_line(void) {
  ssize_t got = read(reader, line, sizeof line - 1);
  assert_true(got > 0);
  line[got] = '\0';
  assert_ptr_equal(strchr(line, '\n'), line + got - 1); /* one line, whole */
  json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
  assert_non_null(json);
  return json;
}

static const char *field(const json_t *json, const char *key) { return json_string_value(json_object_get(json, key)); }

static void a_line_has_its_fields(void **state) {
  (void)state;
  errno = EDOM;
  log_event(LOG_WARN, "lease lost", "job", "j1", "absent", NULL, "owner", "w1", NULL);
  assert_int_equal(errno, EDOM);
  json_t *json = next_line();
  assert_string_equal(field(json, "level"), "warn");
  assert_string_equal(field(json, "proc"), "test");
  assert_string_equal(field(json, "msg"), "lease lost");
  assert_string_equal(field(json, "job"), "j1");
  assert_string_equal(field(json, "owner"), "w1");
  assert_null(json_object_get(json, "absent"));
  assert_int_equal(json_integer_value(json_object_get(json, "pid")), getpid());
  assert_int_equal(strlen(field(json, "ts")), strlen("2026-01-02T03:04:05.678Z"));
  json_decref(json);
}

static void less_than_the_level_is_silent(void **state) {
  (void)state;
  log_event(LOG_DEBUG, "hidden", NULL);
  log_init("test", LOG_ERROR);
  log_event(LOG_WARN, "hidden", NULL);
  log_event(LOG_ERROR, "shown", NULL);
  json_t *json = next_line();
  assert_string_equal(field(json, "msg"), "shown");
  json_decref(json);
}

static void levels_parse(void **state) {
  (void)state;
  assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
  assert_int_equal(log_level_parse("error"), LOG_ERROR);
  assert_int_equal(log_level_parse("loud"), LOG_INFO);
  assert_int_equal(log_level_parse(NULL), LOG_INFO);
}

static void hostile_values_stay_inside_their_quotes(void **state) {
  (void)state;
  char control[32];
  for (int i = 0; i < 31; i++) control[i] = (char)(i + 1);
  control[31] = '\0';
  log_event(LOG_INFO, "a\",\"level\":\"error\n{", "bytes", "\xFF\xC0\x80\xE2\x82", "text", "gr\xC3\xBC\xC3\x9F", "control", control, NULL);
  json_t *json = next_line();
  assert_string_equal(field(json, "msg"), "a\",\"level\":\"error\n{");
  assert_string_equal(field(json, "text"), "gr\xC3\xBC\xC3\x9F");
  assert_string_equal(field(json, "control"), control);
  assert_non_null(field(json, "bytes"));
  json_decref(json);
}

/* Whatever ends up at the edge - quote, escape, character - the line is whole. */
static void a_long_line_is_cut_and_says_so(void **state) {
  (void)state;
  static char big[20000];
  static const char *const fillers[] = {"x", "\"", "\n", "\xC3\xBC", "\xF0\x9F\x90\x98", "\xFF"};
  for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++) {
    size_t step = strlen(fillers[f]);
    for (size_t len = 0; len + step < sizeof big; len += step) memcpy(big + len, fillers[f], step);
    log_event(LOG_INFO, "big", "v", big, "w", "lost", NULL);
    json_t *json = next_line();
    assert_true(strlen(line) <= 8192);
    assert_true(json_is_true(json_object_get(json, "cut")));
    assert_null(json_object_get(json, "w"));
    json_decref(json);
  }
}

static void every_length_near_the_limit_is_whole(void **state) {
  (void)state;
  static char big[9000];
  for (size_t len = 7900; len < 8200; len++) {
    memset(big, 'x', len);
    big[len] = '\0';
    log_event(LOG_INFO, "m", "v", big, "w", "1", NULL);
    json_t *json = next_line();
    assert_true(strlen(line) <= 8192);
    assert_true(json_object_get(json, "w") || json_is_true(json_object_get(json, "cut")));
    json_decref(json);
  }
}

static void *log_elsewhere(void *arg) {
  log_event(LOG_INFO, "other thread", NULL);
  return arg;
}

static void context_is_the_threads_own(void **state) {
  (void)state;
  log_context("job", "j1");
  log_context("trace", "t1");
  log_context("job", "j2");
  log_event(LOG_INFO, "with", NULL);
  json_t *json = next_line();
  assert_string_equal(field(json, "job"), "j2");
  assert_string_equal(field(json, "trace"), "t1");
  json_decref(json);
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, log_elsewhere, NULL), 0);
  pthread_join(thread, NULL);
  json = next_line();
  assert_null(json_object_get(json, "job"));
  json_decref(json);
  log_context("job", NULL);
  log_context("trace", NULL);
  log_context("never set", NULL);
  log_event(LOG_INFO, "without", NULL);
  json = next_line();
  assert_null(json_object_get(json, "job"));
  json_decref(json);
}

static void context_holds_eight(void **state) {
  (void)state;
  char key[2] = "a";
  for (int i = 0; i < 9; i++, key[0]++) log_context(key, "v");
  log_event(LOG_INFO, "full", NULL);
  json_t *json = next_line();
  assert_non_null(json_object_get(json, "h"));
  assert_null(json_object_get(json, "i"));
  json_decref(json);
  for (key[0] = 'a'; key[0] <= 'i'; key[0]++) log_context(key, NULL);
}

static void eight_formatted_values_live_at_once(void **state) {
  (void)state;
  const char *values[8];
  for (int i = 0; i < 8; i++) values[i] = log_fmt("%d", i);
  for (int i = 0; i < 8; i++) assert_int_equal(values[i][0], '0' + i);
  assert_true(strlen(log_fmt("%5000d", 1)) < 5000);
}

#define LOGGED(test) cmocka_unit_test_setup_teardown(test, capture, release)

int main(void) {
  const struct CMUnitTest tests[] = {
      LOGGED(a_line_has_its_fields),
      LOGGED(less_than_the_level_is_silent),
      cmocka_unit_test(levels_parse),
      LOGGED(hostile_values_stay_inside_their_quotes),
      LOGGED(a_long_line_is_cut_and_says_so),
      LOGGED(every_length_near_the_limit_is_whole),
      LOGGED(context_is_the_threads_own),
      LOGGED(context_holds_eight),
      cmocka_unit_test(eight_formatted_values_live_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
