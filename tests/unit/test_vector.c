/* Half precision: every half there and back, rounding to even, and halfvec's binary format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "worker/embed/vector.h"

static void every_half_there_and_back(void **state) {
  (void)state;
  for (uint32_t half = 0; half < 0x10000; half++) {
    float value = half_to((uint16_t)half);
    if (isnan(value)) continue;
    if (half_from(value) != half) fail_msg("%04x becomes %g becomes %04x", half, (double)value, half_from(value));
  }
}

static void rounds_to_nearest_even(void **state) {
  (void)state;
  assert_int_equal(half_from(1.0F), 0x3C00);
  assert_int_equal(half_from(1.0F + 0x1p-11F), 0x3C00);            /* half way: to even */
  assert_int_equal(half_from(1.0F + 3 * 0x1p-11F), 0x3C02);        /* half way: to even */
  assert_int_equal(half_from(1.0F + 0x1p-11F + 0x1p-20F), 0x3C01); /* above it */
  assert_int_equal(half_from(65519.0F), 0x7BFF);
  assert_int_equal(half_from(65520.0F), 0x7C00);
  assert_int_equal(half_from(-65536.0F), 0xFC00);
  assert_int_equal(half_from(0x1p-25F), 0x0000);
  assert_int_equal(half_from(0x1.8p-25F), 0x0001);
  assert_int_equal(half_from(-0.0F), 0x8000);
}

static void halfvec_there_and_back(void **state) {
  (void)state;
  const float vector[3] = {0.5F, -0.25F, 0};
  float read[3];
  uint8_t bytes[HALFVEC_BYTES(3)];
  halfvec_write(vector, 3, bytes);
  assert_memory_equal(bytes, "\0\3\0\0\x38\0\xB4\0\0\0", sizeof bytes);
  assert_int_equal(halfvec_read(bytes, sizeof bytes, 3, read), 3);
  assert_memory_equal(read, vector, sizeof read);
  assert_int_equal(halfvec_read(bytes, sizeof bytes - 1, 3, read), 0);
  assert_int_equal(halfvec_read(bytes, sizeof bytes, 4, read), 0);
}

/* Eight at once, and the rest one by one, are the same as one by one. */
static void many_are_rounded_as_one_is(void **state) {
  (void)state;
  enum { COUNT = 203 };
  float vector[COUNT], rounded[COUNT];
  uint8_t bytes[HALFVEC_BYTES(COUNT)];
  uint32_t seed = 1;
  for (int i = 0; i < COUNT; i++) {
    seed = seed * 1664525 + 1013904223;
    vector[i] = rounded[i] = ldexpf((float)(int32_t)seed, -31 - (int)(seed >> 28) * 2);
  }
  half_round(rounded, COUNT);
  halfvec_write(vector, COUNT, bytes);
  for (int i = 0; i < COUNT; i++) {
    uint16_t half = half_from(vector[i]);
    assert_int_equal(bytes[4 + 2 * i] << 8 | bytes[5 + 2 * i], half);
    assert_true(memcmp(&rounded[i], &(float){half_to(half)}, sizeof rounded[i]) == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_half_there_and_back), cmocka_unit_test(rounds_to_nearest_even),
                                     cmocka_unit_test(halfvec_there_and_back), cmocka_unit_test(many_are_rounded_as_one_is)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
