/* arena.c - bump allocation out of chunks that double from 4 KiB to 1 MiB.
 *
 * The newest ordinary chunk is carved; what is larger than the next chunk would be gets a chunk of its own behind it, so one
 * big row does not waste what is left. Under AddressSanitizer the unused part of every chunk is poisoned and allocations are
 * kept apart, so an overrun is caught as it would be with malloc. */
#include "common/arena.h"

#include <stdalign.h>
#include <stdint.h>

#ifndef __has_feature /* clang's way of asking; gcc has a macro */
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define GAP 16
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define GAP 0
#endif

#define ALIGN alignof(max_align_t)
#define CHUNK_FIRST (4 * 1024)
#define CHUNK_MAX (1024 * 1024)

struct chunk {
  struct chunk *next;
  size_t size, used; /* bytes of data */
  alignas(max_align_t) char data[];
};

struct deferred {
  struct deferred *next;
  void (*fn)(void *);
  void *arg;
};

struct arena {
  size_t max, total;    /* of the chunks, headers included */
  size_t next_size;     /* of the next ordinary chunk, header included */
  struct chunk *chunks; /* newest first: the head is the one being carved */
  struct chunk *first;  /* kept by a reset */
  struct deferred *deferred;
};

/* A chunk with room for at least `room` bytes, counted against the ceiling; of the size that is due if the ceiling permits. */
static struct chunk *chunk_new(struct arena *arena, size_t room) {
  size_t left = arena->max - arena->total, size = arena->next_size;
  if (left < sizeof(struct chunk) || room > left - sizeof(struct chunk)) return NULL;
  if (size > left) size = left;
  if (size < room + sizeof(struct chunk)) size = room + sizeof(struct chunk);
  struct chunk *chunk = malloc(size);
  if (!chunk) return NULL;
  *chunk = (struct chunk){.size = size - sizeof *chunk};
  POISON(chunk->data, chunk->size);
  arena->total += size;
  return chunk;
}

static void chunk_free(struct chunk *chunk) {
  UNPOISON(chunk->data, chunk->size);
  free(chunk);
}

struct arena *arena_new(size_t max_bytes) {
  struct arena *arena = malloc(sizeof *arena);
  if (!arena) return NULL;
  *arena = (struct arena){.max = max_bytes, .next_size = CHUNK_FIRST};
  arena->chunks = arena->first = chunk_new(arena, 0);
  if (arena->first) return arena;
  free(arena);
  return NULL;
}

static void run_deferred(struct arena *arena) {
  for (struct deferred *call; (call = arena->deferred);) {
    arena->deferred = call->next;
    call->fn(call->arg);
  }
}

void arena_reset(struct arena *arena) {
  run_deferred(arena);
  struct chunk *first = arena->first;
  for (struct chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
    next = chunk->next;
    if (chunk != first) chunk_free(chunk);
  }
  first->next = NULL;
  first->used = 0;
  POISON(first->data, first->size);
  arena->chunks = first;
  arena->total = first->size + sizeof *first;
  arena->next_size = CHUNK_FIRST;
}

void arena_free(struct arena *arena) {
  if (!arena) return;
  arena_reset(arena);
  chunk_free(arena->first);
  free(arena);
}

static void *carve(struct chunk *chunk, size_t room, size_t size) {
  void *memory = chunk->data + chunk->used;
  chunk->used += room;
  UNPOISON(memory, size);
  return memset(memory, 0, size);
}

/* Doubles the size that is due until `room` fits, unless that is too much for an ordinary chunk. */
static void advance(struct arena *arena, size_t room) {
  if (room > CHUNK_MAX - sizeof(struct chunk)) return;
  do
    if (arena->next_size < CHUNK_MAX) arena->next_size *= 2;
  while (arena->next_size - sizeof(struct chunk) < room);
}

static struct chunk *add_chunk(struct arena *arena, size_t room) {
  advance(arena, room);
  struct chunk *current = arena->chunks, *chunk = chunk_new(arena, room);
  if (!chunk) return NULL;
  bool more_left = chunk->size - room >= current->size - current->used; /* than in the one being carved */
  struct chunk **link = more_left ? &arena->chunks : &current->next;
  chunk->next = *link;
  *link = chunk;
  return chunk;
}

void *arena_alloc(struct arena *arena, size_t size) {
  if (size > arena->max || size > SIZE_MAX / 2) return NULL; /* so that rounding up cannot overflow */
  size_t room = (size + GAP + ALIGN - 1) / ALIGN * ALIGN;
  if (!room) room = ALIGN; /* two empty allocations differ */
  struct chunk *chunk = arena->chunks;
  if (room > chunk->size - chunk->used) chunk = add_chunk(arena, room);
  return chunk ? carve(chunk, room, size) : NULL;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size) {
  size_t bytes;
  return __builtin_mul_overflow(count, size, &bytes) ? NULL : arena_alloc(arena, bytes);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len) {
  char *copy = len < SIZE_MAX ? arena_alloc(arena, len + 1) : NULL;
  if (copy && len) memcpy(copy, text, len);
  return copy;
}

char *arena_strdup(struct arena *arena, const char *text) { return text ? arena_strndup(arena, text, strlen(text)) : NULL; }

char *arena_vprintf(struct arena *arena, const char *fmt, va_list args) {
  va_list again;
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, fmt, args);
  char *text = len < 0 ? NULL : arena_alloc(arena, (size_t)len + 1);
  if (text) vsnprintf(text, (size_t)len + 1, fmt, again);
  va_end(again);
  return text;
}

char *arena_printf(struct arena *arena, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  char *text = arena_vprintf(arena, fmt, args);
  va_end(args);
  return text;
}

int arena_defer(struct arena *arena, void (*fn)(void *), void *arg) {
  struct deferred *call = ARENA_NEW(arena, struct deferred);
  if (!call) {
    fn(arg);
    return -1;
  }
  *call = (struct deferred){.next = arena->deferred, .fn = fn, .arg = arg};
  arena->deferred = call;
  return 0;
}

static void decref(void *json) { json_decref(json); }

json_t *arena_json(struct arena *arena, json_t *take) { return !take || arena_defer(arena, decref, take) ? NULL : take; }
