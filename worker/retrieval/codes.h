/* codes.h - many vectors in little memory, all of them looked at: four bits a dimension, for a first choice that the vectors themselves
 * then put in order. Private to retrieval/.
 *
 * Each vector is scaled by its own largest value and rounded to sixteen steps. 128 of them make a block, dimension by dimension, a cache
 * line each: a question that is zero in most dimensions (the built-in model's are) reads only the lines of the others. */
#ifndef AUTODB_RETRIEVAL_CODES_H
#define AUTODB_RETRIEVAL_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODES_ID 16

struct codes; /* one owner at a time */

struct codes *codes_new(int dims); /* NULL: out of memory */
void codes_free(struct codes *codes);
size_t codes_count(const struct codes *codes);   /* that are there and not dropped */
size_t codes_dropped(const struct codes *codes); /* whose places are lost until all is made anew */
size_t codes_bytes(const struct codes *codes);

/* `group` is the caller's number for what a vector belongs to. False: out of memory. */
bool codes_add(struct codes *codes, const uint8_t id[CODES_ID], uint32_t group, const float *vector);
void codes_drop(struct codes *codes, uint32_t group); /* all of a group, which may have new ones then */

struct codes_hit {
  const uint8_t *id; /* until the next codes_add */
  float score;       /* the inner product, about */
};
/* The `most` best, in no order. wanted: a flag by group; NULL: all. Returns how many. */
size_t codes_nearest(const struct codes *codes, const float *vector, const bool *wanted, size_t most, struct codes_hit *out);

#endif
