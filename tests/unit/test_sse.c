/* Event streams taken apart: however the bytes arrive, whatever ends the lines, and what is no event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <string.h>

#include "cli/sse.h"

static void collect(void *arg, const char *type, const char *data) {
  struct buf *got = arg;
  buf_printf(got, "%s=%s;", type, data);
}

/* The events of `text`, fed `step` bytes at a time; and the last id. */
static void expect(const char *text, size_t step, const char *events, const char *id) {
  struct buf got;
  struct sse sse;
  buf_init(&got, 1000);
  sse_init(&sse, 100, collect, &got);
  for (size_t at = 0, len = strlen(text); at < len; at += step) assert_true(sse_feed(&sse, text + at, len - at < step ? len - at : step));
  assert_string_equal(buf_str(&got), events);
  assert_string_equal(sse.id, id);
  sse_free(&sse);
  buf_free(&got);
}

static void events_come_out(void **state) {
  static const struct {
    const char *text, *events, *id;
  } rows[] = {{"id: 7\nevent: status\ndata: {}\n\n", "status={};", "7"},
              {"id: 7\r\nevent: status\r\ndata: {}\r\n\r\n", "status={};", "7"},
              {"id:7\revent:status\rdata:{}\r\r", "status={};", "7"},
              {": still here\n\ndata: a\ndata: b\n\n", "message=a\nb;", ""},
              {"data\n\n", "message=;", ""},
              {"event: status\n\ndata: x\n\n", "message=x;", ""},
              {"id: 1\ndata: x\n\nid: 2\ndata: unfinished\n", "message=x;", "1"},
              {"unknown: x\nretry: 5\ndata: x\n\n", "message=x;", ""}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t step = 1; step < 64; step += 7) expect(rows[i].text, step, rows[i].events, rows[i].id);
}

static void what_is_too_long_is_refused(void **state) {
  struct buf got;
  struct sse sse;
  char line[200];
  (void)state;
  memset(line, 'x', sizeof line);
  memcpy(line, "data: ", 6);
  buf_init(&got, 1000);
  sse_init(&sse, 100, collect, &got);
  assert_false(sse_feed(&sse, line, sizeof line));
  assert_false(sse_feed(&sse, "\n\n", 2));
  sse_free(&sse);
  buf_free(&got);
}

static void a_new_connection_forgets_the_half_of_an_event(void **state) {
  struct buf got;
  struct sse sse;
  (void)state;
  buf_init(&got, 1000);
  sse_init(&sse, 100, collect, &got);
  assert_true(sse_feed(&sse, "id: 1\ndata: a\n\nid: 2\nevent: progress\ndata: b\nda", 46));
  sse_restart(&sse);
  assert_string_equal(sse.id, "1");
  assert_true(sse_feed(&sse, "data: c\n\n", 9));
  assert_string_equal(buf_str(&got), "message=a;message=c;");
  assert_string_equal(sse.id, "1");
  sse_free(&sse);
  buf_free(&got);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(events_come_out),
      cmocka_unit_test(what_is_too_long_is_refused),
      cmocka_unit_test(a_new_connection_forgets_the_half_of_an_event),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
