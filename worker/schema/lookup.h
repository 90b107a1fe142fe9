/* lookup.h - schema-qualified names to pointers: open addressing, sized once, in an arena. */
#ifndef AUTODB_LOOKUP_H
#define AUTODB_LOOKUP_H

#include "common/arena.h"

struct lookup_entry {
  const char *schema, *name;
  void *value;
};
struct lookup {
  struct lookup_entry *entries;
  size_t mask, used;
};

/* A value for "several things have this name"; compare, never follow. */
#define LOOKUP_AMBIGUOUS ((void *)&lookup_ambiguous)
extern char lookup_ambiguous;

MUST_CHECK bool lookup_init(struct lookup *lookup, struct arena *arena, size_t max_names); /* false: out of memory */
/* The value's place, NULL inside when the name is new. Names are borrowed. NULL beyond max_names. */
void **lookup_slot(struct lookup *lookup, const char *schema, const char *name);
void *lookup_get(const struct lookup *lookup, const char *schema, const char *name); /* NULL: not there */

#endif
