/* arena.h - memory that lives as long as one request or one job.
 *
 * Everything short-lived (strings, parse results, rows) is carved from chunks and goes at once. An arena has a ceiling; past
 * it allocation returns NULL, as malloc would. Not thread-safe: one owner at a time. */
#ifndef AUTODB_ARENA_H
#define AUTODB_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "error.h"

struct arena;

/* max_bytes bounds the sum of all chunks. NULL when out of memory. */
struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena *arena);  /* NULL is fine; runs deferred calls, last first */
void arena_reset(struct arena *arena); /* as free followed by new, keeping the first chunk */
static inline void arena_freep(struct arena **arena) {
  arena_free(*arena);
  *arena = NULL;
}
#define ARENA_AUTO __attribute__((cleanup(arena_freep))) struct arena *

/* Zeroed, aligned for any type. NULL past the ceiling. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc, alloc_size(2)));
void *arena_calloc(struct arena *arena, size_t count, size_t size); /* NULL on overflow too */
char *arena_strdup(struct arena *arena, const char *text);          /* NULL in, NULL out */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *arena, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))

/* Calls fn(arg) when the arena is freed or reset: how a json_t or PGresult gets the arena's lifetime. -1 when out of memory
 * (fn has then been called at once). */
int arena_defer(struct arena *arena, void (*fn)(void *), void *arg);
json_t *arena_json(struct arena *arena, json_t *take); /* decref'd with the arena; NULL passes through */

#endif
