/* terms.h - a passage's words as its row holds them (chunks.terms), the same for who writes them and who looks for them. */
#ifndef AUTODB_RETRIEVAL_TERMS_H
#define AUTODB_RETRIEVAL_TERMS_H

#include "common/arena.h"
#include "worker/embed/lexicon.h"

#define TERM_REPEATS 15 /* of one word in a passage: more say nothing more */

/* The hash of a word's stem, salted with the connection: the index is one for all, its entries are each connection's own. */
int32_t terms_salted(const char *connection_id, uint32_t term);
/* Each word as often as it occurs, in the arena; NULL: out of memory. */
int32_t *terms_of(const char *text, size_t len, const char *connection_id, struct arena *arena, size_t *ret_count);

#endif
