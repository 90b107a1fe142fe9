/* vector.c - see vector.h. In portable C: compilers differ in whether they have a half-precision type. */
#include "worker/embed/vector.h"

#include <string.h>

uint16_t half_from(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return sign | 0x7E00;      /* not a number */
  if (magnitude >= 0x47800000) return sign | 0x7C00;     /* 65536 and more: infinite */
  if (magnitude < 0x33000000) return sign;               /* below half of the smallest */
  int exponent = (int)(magnitude >> 23) - 112;           /* biased as a half's */
  uint32_t mantissa = (magnitude & 0x7FFFFF) | 0x800000; /* with its hidden bit */
  int shift = exponent > 0 ? 13 : 14 - exponent;         /* subnormal halves lose more */
  uint32_t kept = mantissa >> shift, rest = mantissa & ((1U << shift) - 1), middle = 1U << (shift - 1);
  if (rest > middle || (rest == middle && (kept & 1))) kept++; /* may carry into the exponent, which is right */
  return exponent > 0 ? (uint16_t)(sign + ((uint32_t)(exponent - 1) << 10) + kept) : (uint16_t)(sign + kept);
}

float half_to(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 0x3FF, bits;
  if (exponent == 31) {
    bits = sign | 0x7F800000 | mantissa << 13;
  } else if (exponent) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    float value = (float)mantissa * 0x1p-24F;
    return sign ? -value : value;
  }
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void put16(uint8_t *out, unsigned value) {
  out[0] = (uint8_t)(value >> 8);
  out[1] = (uint8_t)value;
}

void halfvec_write(const float *vector, int dims, uint8_t *out) {
  put16(out, (unsigned)dims);
  put16(out + 2, 0);
  for (int i = 0; i < dims; i++) put16(out + 4 + 2 * i, half_from(vector[i]));
}

int halfvec_read(const uint8_t *bytes, size_t len, int dims, float *out) {
  if (len != HALFVEC_BYTES(dims) || (bytes[0] << 8 | bytes[1]) != dims) return 0;
  for (int i = 0; i < dims; i++) out[i] = half_to((uint16_t)(bytes[4 + 2 * i] << 8 | bytes[5 + 2 * i]));
  return dims;
}
