/* Vectors in four bits a dimension: the nearest are among the best, whatever the dimensions; dropped and unwanted ones are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/retrieval/codes.h"

#define COUNT 1000
#define BEST 10
#define CANDIDATES 50

static uint32_t seed = 7;
static float noise(void) {
  seed = seed * 1664525 + 1013904223;
  return (float)(seed >> 8) / (float)(1 << 24) - 0.5F;
}

static void fill(float *vector, int dims, int every) {
  double sum = 0;
  for (int d = 0; d < dims; d++) vector[d] = d % every ? 0 : noise();
  for (int d = 0; d < dims; d++) sum += (double)vector[d] * vector[d];
  for (int d = 0; d < dims; d++) vector[d] = (float)(vector[d] / sqrt(sum));
}

static double product(const float *a, const float *b, int dims) {
  double sum = 0;
  for (int d = 0; d < dims; d++) sum += (double)a[d] * b[d];
  return sum;
}

static void number(uint8_t id[CODES_ID], size_t value) {
  memset(id, 0, CODES_ID);
  memcpy(id, &value, sizeof value);
}

static size_t number_of(const struct codes_hit *hit) {
  size_t value;
  memcpy(&value, hit->id, sizeof value);
  return value;
}

static struct codes *make(float *vectors, int dims) {
  struct codes *codes = codes_new(dims);
  assert_non_null(codes);
  for (size_t i = 0; i < COUNT; i++) {
    uint8_t id[CODES_ID];
    number(id, i);
    fill(vectors + i * (size_t)dims, dims, 1);
    assert_true(codes_add(codes, id, (uint32_t)(i % 10), vectors + i * (size_t)dims));
  }
  assert_int_equal(codes_count(codes), COUNT);
  assert_true(codes_bytes(codes) < COUNT * ((size_t)dims / 2 + 64) * 3 / 2);
  return codes;
}

/* How many of the `BEST` nearest are among the candidates; each candidate's score is about the product. */
static size_t found(const struct codes *codes, const float *vectors, const float *question, int dims) {
  struct codes_hit hits[CANDIDATES];
  size_t count = codes_nearest(codes, question, NULL, CANDIDATES, hits), right = 0;
  assert_int_equal(count, CANDIDATES);
  for (size_t i = 0; i < count; i++) {
    double real = product(vectors + number_of(&hits[i]) * (size_t)dims, question, dims), better = 0;
    assert_true(fabs(real - (double)hits[i].score) < (dims < 100 ? 0.2 : 0.05));
    for (size_t other = 0; other < COUNT; other++) better += product(vectors + other * (size_t)dims, question, dims) > real;
    right += better < BEST;
  }
  return right;
}

static void the_nearest_are_among_the_best(void **state) {
  static const int sizes[] = {1, 7, 256, 1024, 3072};
  (void)state;
  for (size_t s = 1; s < sizeof sizes / sizeof *sizes; s++) {
    int dims = sizes[s];
    float *vectors = calloc(COUNT * (size_t)dims, sizeof *vectors), *question = calloc((size_t)dims, sizeof *question);
    struct codes *codes = make(vectors, dims);
    for (int every = 1; every < dims && every < 20; every += 8) {
      fill(question, dims, every);
      assert_int_equal(found(codes, vectors, question, dims), BEST);
    }
    codes_free(codes);
    free(vectors);
    free(question);
  }
}

static void what_was_dropped_or_is_not_wanted_is_not_found(void **state) {
  (void)state;
  enum { DIMS = 64 };
  float *vectors = calloc((size_t)COUNT * DIMS, sizeof *vectors), question[DIMS];
  struct codes_hit hits[COUNT];
  bool wanted[10] = {[4] = true, [6] = true};
  struct codes *codes = make(vectors, DIMS);
  fill(question, DIMS, 1);
  codes_drop(codes, 4);
  codes_drop(codes, 4);
  assert_int_equal(codes_count(codes), COUNT * 9 / 10);
  assert_int_equal(codes_dropped(codes), COUNT / 10);
  assert_int_equal(codes_nearest(codes, question, NULL, COUNT, hits), COUNT * 9 / 10);
  assert_int_equal(codes_nearest(codes, question, wanted, COUNT, hits), COUNT / 10);
  for (size_t i = 0; i < COUNT / 10; i++) assert_int_equal(number_of(&hits[i]) % 10, 6);
  uint8_t id[CODES_ID];
  number(id, 4);
  assert_true(codes_add(codes, id, 4, vectors)); /* the group again, with something new */
  assert_int_equal(codes_nearest(codes, question, wanted, COUNT, hits), COUNT / 10 + 1);
  codes_free(codes);
  free(vectors);
}

static void nothing_is_like_nothing(void **state) {
  (void)state;
  const float zero[8] = {0}, one[8] = {1};
  struct codes_hit hits[4];
  struct codes *codes = codes_new(8);
  uint8_t id[CODES_ID] = {0};
  assert_int_equal(codes_nearest(codes, one, NULL, 4, hits), 0);
  assert_true(codes_add(codes, id, 0, zero));
  assert_true(codes_add(codes, id, 0, one));
  assert_int_equal(codes_nearest(codes, one, NULL, 0, hits), 0);
  assert_int_equal(codes_nearest(codes, one, NULL, 1, hits), 1);
  assert_float_equal(hits[0].score, 1, 0.01);
  assert_int_equal(codes_nearest(codes, zero, NULL, 4, hits), 2);
  assert_float_equal(hits[0].score, 0, 1e-6);
  codes_free(codes);
  codes_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_nearest_are_among_the_best),
                                     cmocka_unit_test(what_was_dropped_or_is_not_wanted_is_not_found),
                                     cmocka_unit_test(nothing_is_like_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
