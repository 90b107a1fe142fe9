/* Frames between supervisor and slot: round trips, and everything malformed is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "worker/wire.h"

static void put_sample(struct buf *out) {
  buf_init(out, WIRE_JOB_BYTES);
  assert_true(wire_put_job(out, &(struct wire_job){.id = "an id",
                                                   .kind = "system.echo",
                                                   .owner_id = "me",
                                                   .trace = NULL,
                                                   .attempt = 70000,
                                                   .payload = "{\"a\":1}",
                                                   .payload_len = 7}));
}

static void a_job_comes_back_as_it_was(void **state) {
  (void)state;
  BUF_AUTO out;
  put_sample(&out);
  enum wire_type type;
  size_t len;
  assert_int_equal(wire_head(out.data, out.len, WIRE_JOB_BYTES, &type, &len), 1);
  assert_int_equal(type, WIRE_JOB);
  assert_int_equal(len, out.len - WIRE_HEAD_BYTES);
  struct wire_job job;
  assert_true(wire_get_job(out.data + WIRE_HEAD_BYTES, len, &job));
  assert_string_equal(job.id, "an id");
  assert_string_equal(job.kind, "system.echo");
  assert_string_equal(job.owner_id, "me");
  assert_null(job.connection_id);
  assert_null(job.trace);
  assert_int_equal(job.attempt, 70000);
  assert_int_equal(job.payload_len, 7);
  assert_string_equal(job.payload, "{\"a\":1}");
}

static void every_cut_job_is_refused(void **state) {
  (void)state;
  BUF_AUTO out;
  put_sample(&out);
  struct wire_job job;
  for (size_t len = 0; len < out.len - WIRE_HEAD_BYTES; len++) assert_false(wire_get_job(out.data + WIRE_HEAD_BYTES, len, &job));
  buf_putc(&out, 'x');
  assert_false(wire_get_job(out.data + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES, &job));
}

static void lengths_that_lie_are_refused(void **state) {
  (void)state;
  BUF_AUTO out;
  put_sample(&out);
  struct wire_job job;
  size_t len = out.len - WIRE_HEAD_BYTES;
  for (size_t at = WIRE_HEAD_BYTES; at < out.len; at++) { /* any byte changed: refused or read, never read beyond */
    char kept = out.data[at];
    out.data[at] = (char)0xff;
    (void)wire_get_job(out.data + WIRE_HEAD_BYTES, len, &job);
    out.data[at] = kept;
  }
  memset(out.data + WIRE_HEAD_BYTES + 4, 0xff, 4);
  assert_false(wire_get_job(out.data + WIRE_HEAD_BYTES, len, &job));
}

static void a_job_needs_id_and_kind(void **state) {
  (void)state;
  BUF_AUTO out;
  buf_init(&out, 4096);
  struct wire_job job;
  assert_true(wire_put_job(&out, &(struct wire_job){.id = "x", .payload = "", .payload_len = 0}));
  assert_false(wire_get_job(out.data + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES, &job));
}

static void a_head_is_incomplete_whole_or_too_long(void **state) {
  (void)state;
  BUF_AUTO out;
  enum wire_type type;
  size_t len;
  buf_init(&out, 4096);
  assert_true(wire_put(&out, WIRE_PROGRESS, "12345", 5));
  for (size_t have = 0; have < WIRE_HEAD_BYTES; have++) assert_int_equal(wire_head(out.data, have, 100, &type, &len), 0);
  assert_int_equal(wire_head(out.data, out.len, 5, &type, &len), 1);
  assert_int_equal(type, WIRE_PROGRESS);
  assert_int_equal(wire_head(out.data, out.len, 4, &type, &len), -1);
  assert_int_equal(wire_head("\xff\xff\xff\xffR", 5, WIRE_ANSWER_BYTES, &type, &len), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_job_comes_back_as_it_was),
      cmocka_unit_test(every_cut_job_is_refused),
      cmocka_unit_test(lengths_that_lie_are_refused),
      cmocka_unit_test(a_job_needs_id_and_kind),
      cmocka_unit_test(a_head_is_incomplete_whole_or_too_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
