#include "worker/retrieval/meanings.h"

#include <endian.h>
#include <math.h>
#include <string.h>

extern const unsigned char meanings_bin[];

static uint32_t number_at(size_t index) {
  uint32_t number;
  memcpy(&number, meanings_bin + index * sizeof number, sizeof number);
  return le32toh(number);
}

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
