/* sayings.h - what people say when they ask, and what tables call it: "turned down" is a rejection. Private to retrieval/.
 *
 * The file sayings.txt is compiled in; it says itself how it is written. */
#ifndef AUTODB_RETRIEVAL_SAYINGS_H
#define AUTODB_RETRIEVAL_SAYINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct said {
  const uint32_t *terms; /* the text's words that it takes, by their hashes in names (wording_term) */
  size_t count;          /* from 1; of several none is part of another saying of several */
  const char *meant;     /* words with blanks between, the likeliest first … */
  size_t meant_len;      /* … in so many bytes */
};

/* Calls visit for each saying that stands in the text, the longest first; false: visit was, or there is no memory. */
bool sayings_in(const char *text, size_t len, bool (*visit)(void *arg, const struct said *said), void *arg);

#endif
