/* table_shorts.h - the short words of a schema's names that no dictionary has, and what they may be short for: "plr" for a player, "ach"
 * for an achievement. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_SHORTS_H
#define AUTODB_RETRIEVAL_TABLE_SHORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/schema/snapshot.h"

struct table_index;

#define TABLE_SHORT_BYTES 8
struct table_shorts {
  struct table_short {
    uint32_t term; /* in names */
    char word[TABLE_SHORT_BYTES];
  } * words;
  size_t count;
};

/* Once the index has its arena, which they are in. False: out of memory. */
bool table_shorts_make(struct table_index *index, const struct snapshot *snapshot);
/* How well a short word is short for another (a stem will do): 0 not at all, 1 as well as can be. */
double table_short_for(const char *brief, const char *word);

#endif
