/* Ids against RFC 9562, trace contexts against W3C, and the clocks they stand on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"

static void an_id_is_a_version_7_uuid_of_now(void **state) {
  (void)state;
  int64_t before = clock_wall_ms();
  struct id id;
  id_new(&id);
  assert_int_equal(id.bytes[6] >> 4, 7);
  assert_int_equal(id.bytes[8] >> 6, 2);
  assert_in_range(id_time_ms(&id), before, clock_wall_ms() + 10);
}

static void ids_of_a_thread_ascend(void **state) {
  (void)state;
  struct id last, next;
  id_new(&last);
  for (int i = 0; i < 100000; i++, last = next) { /* far more than a millisecond's counter holds */
    id_new(&next);
    assert_true(memcmp(last.bytes, next.bytes, sizeof last.bytes) < 0);
  }
  assert_in_range(id_time_ms(&last), 0, clock_wall_ms() + 100); /* and do not run far ahead of the clock */
}

static void text_goes_there_and_back(void **state) {
  (void)state;
  struct id id, back;
  char text[ID_TEXT];
  id_new(&id);
  assert_ptr_equal(id_format(&id, text), text);
  assert_int_equal(strlen(text), 36);
  assert_true(id_parse(text, &back));
  assert_memory_equal(&id, &back, sizeof id);
  assert_true(id_parse("0190A1B2-C3D4-7E5F-8a9b-0c1d2e3f4a5b", &id));
  assert_string_equal(id_format(&id, text), "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
}

static void bad_text_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "0190a1b2",
                                    "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5",
                                    "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b0",
                                    "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b ",
                                    " 190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
                                    "0190a1b2c3d4-7e5f-8a9b-0c1d-2e3f4a5b",
                                    "0190a1b2_c3d4-7e5f-8a9b-0c1d2e3f4a5b",
                                    "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5g",
                                    "{190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5}",
                                    "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"};
  struct id id = {{42}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(id_parse(bad[i], &id));
  assert_int_equal(id.bytes[0], 42); /* untouched */
}

static void a_forked_child_makes_its_own(void **state) {
  (void)state;
  struct id mine, theirs;
  id_new(&mine); /* fills the pool the child inherits */
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  pid_t child = fork();
  if (!child) {
    id_new(&theirs);
    _exit(write(ends[1], &theirs, sizeof theirs) != sizeof theirs);
  }
  id_new(&mine);
  assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
  assert_int_equal(waitpid(child, NULL, 0), child);
  assert_memory_not_equal(mine.bytes + 8, theirs.bytes + 8, 8);
  close(ends[0]);
  close(ends[1]);
}

enum { THREADS = 4, PER_THREAD = 5000 };
static struct id made[THREADS * PER_THREAD];

static void *make(void *arg) {
  struct id *out = arg;
  for (int i = 0; i < PER_THREAD; i++) id_new(out + i);
  return NULL;
}

static int compare(const void *a, const void *b) { return memcmp(a, b, sizeof(struct id)); }

static void threads_never_share_an_id(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, make, made + i * PER_THREAD), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  qsort(made, THREADS * PER_THREAD, sizeof *made, compare);
  for (int i = 1; i < THREADS * PER_THREAD; i++) assert_int_not_equal(compare(&made[i - 1], &made[i]), 0);
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"

static void a_trace_goes_on_with_our_own_span(void **state) {
  (void)state;
  char out[TRACE_TEXT], again[TRACE_TEXT];
  trace_child("00-" TRACE "-00f067aa0ba902b7-01", out);
  assert_int_equal(strlen(out), TRACE_TEXT - 1);
  assert_memory_equal(out, "00-" TRACE "-", 36);
  assert_memory_not_equal(out + 36, "00f067aa0ba902b7", 16);
  assert_string_equal(out + 52, "-01");
  assert_memory_equal(trace_child(out, again), out, 36);
  assert_string_equal(trace_child("00-" TRACE "-00f067aa0ba902b7-fe", out) + 52, "-00");                 /* unknown flags do not travel */
  assert_memory_equal(trace_child("cc-" TRACE "-00f067aa0ba902b7-01-what-comes", out), "00-" TRACE, 35); /* a later version */
}

static void a_bad_trace_starts_a_new_one(void **state) {
  (void)state;
  static const char *const bad[] = {NULL,
                                    "",
                                    "00",
                                    "ff-" TRACE "-00f067aa0ba902b7-01",
                                    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                                    "00-" TRACE "-0000000000000000-01",
                                    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                                    "00-" TRACE "-00f067aa0ba902b7-0",
                                    "00-" TRACE "-00f067aa0ba902b7-01-more",
                                    "00-" TRACE "-00f067aa0ba902b7-011",
                                    "cc-" TRACE "-00f067aa0ba902b7-01x",
                                    "00_" TRACE "-00f067aa0ba902b7-01"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char out[TRACE_TEXT], valid[TRACE_TEXT];
    trace_child(bad[i], out);
    assert_int_equal(strlen(out), TRACE_TEXT - 1);
    assert_memory_not_equal(out + 3, TRACE, 32);
    assert_memory_equal(trace_child(out, valid), out, 35); /* what we start is valid */
  }
}

static void times_are_written_in_utc(void **state) {
  (void)state;
  char out[CLOCK_TEXT];
  assert_string_equal(clock_format(0, out), "1970-01-01T00:00:00.000Z");
  assert_string_equal(clock_format(1767323045678, out), "2026-01-02T03:04:05.678Z");
  assert_string_equal(clock_format(-1, out), "1969-12-31T23:59:59.999Z");
  clock_format(INT64_MAX, out);
  assert_true(strlen(out) < CLOCK_TEXT);
  clock_format(INT64_MIN, out);
  assert_true(strlen(out) < CLOCK_TEXT);
}

static void clocks_agree_on_their_units(void **state) {
  (void)state;
  int64_t us = clock_mono_us(), ms = clock_mono_ms();
  assert_in_range(ms - us / 1000, 0, 10000);
  assert_in_range(clock_wall_ms(), 1700000000000, 4102444800000); /* between 2023 and 2100 */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_id_is_a_version_7_uuid_of_now),  cmocka_unit_test(ids_of_a_thread_ascend),
      cmocka_unit_test(text_goes_there_and_back),          cmocka_unit_test(bad_text_is_refused),
      cmocka_unit_test(a_forked_child_makes_its_own),      cmocka_unit_test(threads_never_share_an_id),
      cmocka_unit_test(a_trace_goes_on_with_our_own_span), cmocka_unit_test(a_bad_trace_starts_a_new_one),
      cmocka_unit_test(times_are_written_in_utc),          cmocka_unit_test(clocks_agree_on_their_units),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
