/* terms.h - a passage's words as its row holds them, the same for who writes them and who looks for them. */
#ifndef AUTODB_RETRIEVAL_TERMS_H
#define AUTODB_RETRIEVAL_TERMS_H

#include "common/arena.h"
#include "worker/embed/lexicon.h"

#define TERM_TIMES 15 /* of one word in a passage: more say nothing more */
#define TERM_BYTES 5  /* in chunks.words: the term, big-endian, and how often */

/* The hash of a word's stem, salted with the connection: the index is one for all, its entries are each connection's own. */
int32_t terms_salted(const char *connection_id, uint32_t term);

struct term_list { /* each once, ascending */
  int32_t *terms;  /* chunks.terms */
  uint8_t *words;  /* chunks.words: count * TERM_BYTES */
  size_t count;
};
/* Of words that were read; in the arena. False: out of memory. */
bool terms_of(const struct lexicon_list *list, const char *connection_id, struct arena *arena, struct term_list *ret_terms);

/* chunks.words, read back: term `index`, and its times. */
static inline int32_t terms_at(const uint8_t *words, size_t index) {
  const uint8_t *p = words + index * TERM_BYTES;
  return (int32_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}
static inline int terms_times(const uint8_t *words, size_t index) { return words[index * TERM_BYTES + 4]; }

#endif
