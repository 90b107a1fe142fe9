#include "worker/retrieval/meanings.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#define FINEST 127 /* of a packed vector's whole numbers */

extern const unsigned char meanings_bin[], asked_bin[];
static const float (*turning)[MEANING_DIMS];

static uint32_t number_in(const unsigned char *file, size_t index) {
  uint32_t number;
  memcpy(&number, file + index * sizeof number, sizeof number);
  return le32toh(number);
}

static uint32_t number_at(size_t index) { return number_in(meanings_bin, index); }

static void unpack(const uint8_t *bytes, struct meaning *ret_meaning) {
  int sum = 0;
  for (size_t i = 0; i < MEANING_DIMS; i++) {
    int at = (i % 2 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15) - 8;
    ret_meaning->at[i] = (int8_t)at;
    sum += at * at;
  }
  ret_meaning->length = sqrtf((float)sum);
}

bool meaning_of(uint32_t term, struct meaning *ret_meaning) {
  size_t count = number_at(0), low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (number_at(1 + middle) < term)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == count || number_at(1 + low) != term) return false;
  unpack(meanings_bin + (1 + count) * sizeof term + low * MEANING_BYTES, ret_meaning);
  return true;
}

float meaning_likeness(const struct meaning *a, const struct meaning *b) {
  int sum = 0;
  for (size_t i = 0; i < MEANING_DIMS; i++) sum += a->at[i] * b->at[i];
  return (float)sum / (a->length * b->length);
}

/* --- what is asked --- */

static const float (*compiled_in(void))[MEANING_DIMS] {
  static float matrix[MEANING_DIMS][MEANING_DIMS];
  for (size_t i = 0; i < (size_t)MEANING_DIMS * MEANING_DIMS; i++) {
    uint32_t number = number_in(asked_bin, i);
    memcpy(&matrix[i / MEANING_DIMS][i % MEANING_DIMS], &number, sizeof number);
  }
  return (const float(*)[MEANING_DIMS])matrix;
}

void meaning_turn_by(const float (*matrix)[MEANING_DIMS]) { turning = matrix ? matrix : compiled_in(); }

void meaning_turn(const float asked[MEANING_DIMS], float ret_named[MEANING_DIMS]) {
  if (!turning) meaning_turn_by(NULL);
  memset(ret_named, 0, MEANING_DIMS * sizeof *ret_named);
  for (size_t from = 0; from < MEANING_DIMS; from++)
    for (size_t to = 0; to < MEANING_DIMS; to++) ret_named[to] += turning[from][to] * asked[from];
}

struct meaning meaning_packed(const float vector[MEANING_DIMS]) {
  struct meaning packed = {0};
  float most = 0;
  int sum = 0;
  for (size_t i = 0; i < MEANING_DIMS; i++) most = fmaxf(most, fabsf(vector[i]));
  for (size_t i = 0; most > 0 && i < MEANING_DIMS; i++) {
    packed.at[i] = (int8_t)lrintf(vector[i] / most * FINEST);
    sum += packed.at[i] * packed.at[i];
  }
  packed.length = sum ? sqrtf((float)sum) : 1;
  return packed;
}
