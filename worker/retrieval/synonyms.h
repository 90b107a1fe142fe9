/* synonyms.h - words that mean the same: what people say, and what tables are called. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_SYNONYMS_H
#define AUTODB_RETRIEVAL_SYNONYMS_H

#include <stdbool.h>
#include <stdint.h>

/* Calls visit with each stem that means about what `stem` (of hash `term`) does; false, as visit says, ends it. General English only: an
 * owner's own words are his glossary's. */
bool synonyms_of(const char *stem, uint32_t term, bool (*visit)(void *arg, const char *stem), void *arg);

#endif
