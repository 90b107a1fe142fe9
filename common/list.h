/* list.h - growing arrays in an arena.
 *
 *   LIST(const char *) names = {0};
 *   const char **slot = LIST_PUSH(arena, &names);   NULL when the arena is exhausted
 */
#ifndef AUTODB_LIST_H
#define AUTODB_LIST_H

#include "common/arena.h"

#define LIST(type)     \
  struct {             \
    type *items;       \
    size_t count, cap; \
  }

/* The same with a tag, to be passed around. */
#define LIST_TYPE(tag, type) \
  struct tag {               \
    type *items;             \
    size_t count, cap;       \
  }

/* Makes room for one more item; false when the arena is exhausted. `items` points to the list's items pointer. */
static inline bool list_reserve(struct arena *arena, void *items, size_t count, size_t *cap, size_t size) {
  if (count < *cap) return true;
  size_t wider = count < 4 ? 8 : count * 2;
  void *old, *fresh = arena_calloc(arena, wider, size);
  if (!fresh) return false;
  memcpy(&old, items, sizeof old);
  if (count) memcpy(fresh, old, count * size);
  memcpy(items, &fresh, sizeof fresh);
  *cap = wider;
  return true;
}

#define LIST_PUSH(arena, list) \
  (list_reserve((arena), &(list)->items, (list)->count, &(list)->cap, sizeof *(list)->items) ? &(list)->items[(list)->count++] : NULL)

/* Lists of names. Order counts for nothing; a name may be NULL, which is nobody's. */
static inline bool list_has(const char *const *names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (name && names[i] && strcmp(names[i], name) == 0) return true;
  return false;
}
static inline bool list_same(const char *const *a, size_t count_a, const char *const *b, size_t count_b) {
  if (count_a != count_b) return false;
  for (size_t i = 0; i < count_a; i++)
    if (!list_has(b, count_b, a[i])) return false;
  return true;
}

#endif
