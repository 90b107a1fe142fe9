/* meanings.h - how near words are in meaning, of the commonest 20,000 of English. Private to retrieval/.
 *
 * Each has a vector, in the file meanings/meanings.bin that is compiled in (meanings/README.md says where it is from; meanings/main.c makes
 * it): the number of words, their hashes in ascending order, little-endian, and then of each MEANING_BYTES with four bits a dimension, the
 * lower ones first, 8 standing for 0. */
#ifndef AUTODB_RETRIEVAL_MEANINGS_H
#define AUTODB_RETRIEVAL_MEANINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEANING_DIMS 100
#define MEANING_BYTES (MEANING_DIMS / 2)
#define MEANING_STEPS 7 /* a dimension is a whole number between that and its negative */

struct meaning {
  int8_t at[MEANING_DIMS];
  float length; /* above 0 */
};

/* Of a word by its hash in names (wording_term). False: it is none of those that are known. */
bool meaning_of(uint32_t term, struct meaning *ret_meaning);
/* 1: the same; about 0: nothing in common. */
float meaning_likeness(const struct meaning *a, const struct meaning *b);

#endif
