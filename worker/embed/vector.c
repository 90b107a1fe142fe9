/* vector.c - see vector.h. In portable C: compilers differ in whether they have a half-precision type. Processors that convert eight at
 * once are asked to where they are known. */
#include "worker/embed/vector.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

static int has_f16c(void) {
  static int known;                                            /* 0: not asked yet */
  if (!known) known = __builtin_cpu_supports("avx2") ? 1 : -1; /* whoever has it has F16C, and older compilers can ask for it */
  return known > 0;
}

/* Returns how many were converted: the rest is the caller's. */
__attribute__((target("avx,f16c"))) static int wide_halves(const float *vector, int dims, uint16_t *out) {
  int i = 0;
  for (; i + 8 <= dims; i += 8)
    _mm_storeu_si128((__m128i *)(void *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(vector + i), _MM_FROUND_TO_NEAREST_INT));
  return i;
}

__attribute__((target("avx,f16c"))) static int wide_round(float *vector, int dims) {
  int i = 0;
  for (; i + 8 <= dims; i += 8)
    _mm256_storeu_ps(vector + i, _mm256_cvtph_ps(_mm256_cvtps_ph(_mm256_loadu_ps(vector + i), _MM_FROUND_TO_NEAREST_INT)));
  return i;
}
#else
static int has_f16c(void) { return 0; }
static int wide_halves(const float *vector, int dims, uint16_t *out) { return (void)vector, (void)dims, (void)out, 0; }
static int wide_round(float *vector, int dims) { return (void)vector, (void)dims, 0; }
#endif

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
  uint16_t halves[64];
  for (int from = 0; from < dims; from += 64) {
    int count = dims - from < 64 ? dims - from : 64, done = has_f16c() ? wide_halves(vector + from, count, halves) : 0;
    for (int i = done; i < count; i++) halves[i] = half_from(vector[from + i]);
    for (int i = 0; i < count; i++) put16(out + 4 + 2 * (from + i), halves[i]);
  }
}

void half_round(float *vector, int dims) {
  for (int i = has_f16c() ? wide_round(vector, dims) : 0; i < dims; i++) vector[i] = half_to(half_from(vector[i]));
}

int halfvec_read(const uint8_t *bytes, size_t len, int dims, float *out) {
  if (len != HALFVEC_BYTES(dims) || (bytes[0] << 8 | bytes[1]) != dims) return 0;
  for (int i = 0; i < dims; i++) out[i] = half_to((uint16_t)(bytes[4 + 2 * i] << 8 | bytes[5 + 2 * i]));
  return dims;
}
