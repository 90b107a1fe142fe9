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

#endif
