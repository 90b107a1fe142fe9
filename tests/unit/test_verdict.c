/* What an answer means for a delivery, and how a message is signed: the values of Standard Webhooks' own example. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <stdlib.h>

#include "common/crypto.h"
#include "worker/webhook/message.h"
#include "worker/webhook/verdict.h"

#define HOUR 3600

static void statuses_decide(void **state) {
  (void)state;
  static const struct {
    int status, retry_after_s;
    enum verdict_kind outcome;
    int pause_s, least_s;
  } cases[] = {
      {200, 0, VERDICT_DELIVERED, 0, 0},  {204, 0, VERDICT_DELIVERED, 0, 0},
      {299, 60, VERDICT_DELIVERED, 0, 0}, {0, 0, VERDICT_RETRY, 0, 5},
      {199, 0, VERDICT_RETRY, 0, 5},      {301, 0, VERDICT_RETRY, 0, 5},
      {304, 0, VERDICT_RETRY, 0, 5},      {400, 0, VERDICT_RETRY, 0, 5},
      {404, 0, VERDICT_RETRY, 0, 5},      {410, 0, VERDICT_GONE, 0, 0},
      {410, 60, VERDICT_GONE, 0, 0},      {500, 0, VERDICT_RETRY, 0, 5},
      {429, 0, VERDICT_RETRY, 5, 5},      {502, 0, VERDICT_RETRY, 5, 5},
      {503, 0, VERDICT_RETRY, 5, 5},      {504, 0, VERDICT_RETRY, 5, 5},
      {503, 2, VERDICT_RETRY, 2, 5},      {429, 90, VERDICT_RETRY, 90, 90},
      {500, 90, VERDICT_RETRY, 90, 90},   {429, 86400, VERDICT_RETRY, 6 * HOUR, 6 * HOUR},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct verdict verdict = verdict_of(cases[i].status, cases[i].retry_after_s, 1, 0);
    assert_int_equal(verdict.outcome, cases[i].outcome);
    assert_int_equal(verdict.pause_ms, cases[i].pause_s * 1000);
    assert_int_equal(verdict.delay_ms, cases[i].least_s * 1000);
  }
}

static void waits_follow_the_schedule(void **state) {
  (void)state;
  static const int seconds[VERDICT_TRIES] = {0, 5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR};
  static const uint32_t randoms[] = {0, 1, 12345678, UINT32_MAX};
  for (int counted = 1; counted < VERDICT_TRIES; counted++)
    for (size_t i = 0; i < 4; i++) {
      struct verdict verdict = verdict_of(500, 0, counted, randoms[i]);
      assert_int_equal(verdict.outcome, VERDICT_RETRY);
      assert_in_range(verdict.delay_ms, seconds[counted] * 1000, seconds[counted] * 1200);
    }
  assert_int_not_equal(verdict_of(500, 0, 5, 1).delay_ms, verdict_of(500, 0, 5, 12345678).delay_ms);
  assert_int_equal(verdict_of(500, 0, VERDICT_TRIES, 0).outcome, VERDICT_FAILED);
  assert_int_equal(verdict_of(429, 60, VERDICT_TRIES, 0).pause_ms, 60000);
  assert_int_equal(verdict_of(200, 0, VERDICT_TRIES, 0).outcome, VERDICT_DELIVERED);
}

static void signs_as_the_standard_says(void **state) {
  (void)state;
  static const char secret[] = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", payload[] = "{\"test\": 2432232314}";
  uint8_t key[64];
  BUF_AUTO out;
  buf_init(&out, 512);
  long len = crypto_base64_decode(secret, key);
  assert_true(message_sign(&out, key, (size_t)len, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", payload));
  assert_string_equal(buf_str(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  assert_true(message_sign(&out, "another key, of some bytes", 26, "msg", "1", ""));
  assert_memory_equal(out.data + 47, " v1,", 4);
  assert_int_equal(out.len, 47 + 1 + 47);
}

static void excerpts_are_text(void **state) {
  (void)state;
  ARENA_AUTO arena = arena_new(1 << 20);
  assert_string_equal(message_excerpt(arena, "gr\xc3\xbc\xc3\x9f", 6, 100), "gr\xc3\xbc\xc3\x9f");
  assert_string_equal(message_excerpt(arena, "gr\xc3\xbc\xc3\x9f", 6, 3), "gr?"); /* cut within a character */
  assert_string_equal(message_excerpt(arena, "a\0b\xff", 4, 100), "a?b?");
  assert_string_equal(message_excerpt(arena, "", 0, 100), "");
  assert_string_equal(message_body(arena, "job.dead", "2026-01-01T00:00:00.000Z", "{\"a\":1}"),
                      "{\"type\":\"job.dead\",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"data\":{\"a\":1}}");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(statuses_decide), cmocka_unit_test(waits_follow_the_schedule),
                                     cmocka_unit_test(signs_as_the_standard_says), cmocka_unit_test(excerpts_are_text)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
