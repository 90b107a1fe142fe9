/* lookup.c - see lookup.h. At most half full, so probes stay short; never grows, so it never fails after lookup_init. */
#include "worker/schema/lookup.h"

#include <stdint.h>

char lookup_ambiguous;

/* FNV-1a over schema, a zero and name: "a"."bc" and "ab"."c" differ. */
static size_t hash(const char *schema, const char *name) {
  uint64_t h = 14695981039346656037u;
  for (const char *p = schema; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
  h *= 1099511628211u;
  for (const char *p = name; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
  return (size_t)(h ^ (h >> 29));
}

bool lookup_init(struct lookup *lookup, struct arena *arena, size_t max_names) {
  size_t size = 8;
  while (size < max_names * 2) size *= 2;
  *lookup = (struct lookup){.entries = arena_calloc(arena, size, sizeof *lookup->entries), .mask = size - 1};
  return lookup->entries != NULL;
}

static struct lookup_entry *place(const struct lookup *lookup, const char *schema, const char *name) {
  size_t i = hash(schema, name) & lookup->mask;
  while (lookup->entries[i].name && (strcmp(lookup->entries[i].name, name) != 0 || strcmp(lookup->entries[i].schema, schema) != 0))
    i = (i + 1) & lookup->mask;
  return &lookup->entries[i];
}

void **lookup_slot(struct lookup *lookup, const char *schema, const char *name) {
  struct lookup_entry *entry = place(lookup, schema, name);
  if (!entry->name) {
    if (lookup->used >= (lookup->mask + 1) / 2) return NULL;
    *entry = (struct lookup_entry){schema, name, NULL};
    lookup->used++;
  }
  return &entry->value;
}

void *lookup_get(const struct lookup *lookup, const char *schema, const char *name) { return place(lookup, schema, name)->value; }
