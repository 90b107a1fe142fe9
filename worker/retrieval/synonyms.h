/* synonyms.h - words that mean the same: what people say, and what tables are called. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_SYNONYMS_H
#define AUTODB_RETRIEVAL_SYNONYMS_H

#include <stdbool.h>
#include <stdint.h>

/* Calls visit with each stem that means about what `stem` (of hash `term`) does; false, as visit says, ends it. General English only: an
 * owner's own words are his glossary's. */
bool synonyms_of(const char *stem, uint32_t term, bool (*visit)(void *arg, const char *stem), void *arg);
/* Whether it is one of the words (as written, in lower case) that groups are made of: those that business is spoken of in. */
bool synonyms_have(const char *word);
/* Each of them once, in order; false, as visit says, ends it. */
bool synonyms_each(bool (*visit)(void *arg, const char *word), void *arg);

#endif
