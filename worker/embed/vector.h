/* vector.h - vectors as pgvector's halfvec: how they are stored and asked for. */
#ifndef AUTODB_EMBED_VECTOR_H
#define AUTODB_EMBED_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#define HALFVEC_BYTES(dims) (4 + 2 * (size_t)(dims))

/* IEEE 754 half precision, rounded to nearest even; what is too large becomes infinite, which halfvec refuses. */
uint16_t half_from(float value);
float half_to(uint16_t half);
/* To what halves hold, in place. */
void half_round(float *vector, int dims);
/* halfvec in PostgreSQL's binary format, HALFVEC_BYTES(dims) of them: int16 dims, int16 0, halves; all big-endian. */
void halfvec_write(const float *vector, int dims, uint8_t *out);
/* Its dimensions, or 0 when it is none of `dims`; fills `out`. */
int halfvec_read(const uint8_t *bytes, size_t len, int dims, float *out);

#endif
