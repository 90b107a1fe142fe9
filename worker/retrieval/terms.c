#include "worker/retrieval/terms.h"

#include <stdlib.h>

static uint32_t mix(uint32_t hash) { /* murmur3's finish */
  hash ^= hash >> 16;
  hash *= 0x85EBCA6BU;
  hash ^= hash >> 13;
  hash *= 0xC2B2AE35U;
  return hash ^ hash >> 16;
}

static uint32_t salt_of(const char *connection_id) {
  uint32_t hash = 2166136261U; /* FNV-1a */
  for (const char *at = connection_id; *at; at++) hash = (hash ^ (uint8_t)*at) * 16777619U;
  return hash;
}

int32_t terms_salted(const char *connection_id, uint32_t term) { return (int32_t)mix(term ^ salt_of(connection_id)); }

static int compare(const void *a, const void *b) {
  const int64_t *left = a, *right = b;
  return (*left > *right) - (*left < *right);
}

/* Term and times in one number, so that sorting is of numbers. Two words of one hash are one term. */
bool terms_of(const struct lexicon_list *list, const char *connection_id, struct arena *arena, struct term_list *ret_terms) {
  int64_t *pairs = arena_calloc(arena, list->count + 1, sizeof *pairs);
  struct term_list out = {.terms = arena_calloc(arena, list->count + 1, sizeof *out.terms),
                          .words = arena_calloc(arena, list->count + 1, TERM_BYTES)};
  uint32_t salt = salt_of(connection_id);
  if (!pairs || !out.terms || !out.words) return false;
  for (size_t i = 0; i < list->count; i++) {
    int times = list->words[i].count < TERM_TIMES ? list->words[i].count : TERM_TIMES;
    pairs[i] = (int64_t)(int32_t)mix(list->words[i].lexeme->term ^ salt) * 256 + times;
  }
  qsort(pairs, list->count, sizeof *pairs, compare);
  for (size_t i = 0; i < list->count; i++) {
    int32_t term = (int32_t)(pairs[i] >> 8);
    if (out.count && out.terms[out.count - 1] == term) continue;
    uint8_t *at = out.words + out.count * TERM_BYTES;
    out.terms[out.count++] = term;
    for (int byte = 0; byte < 4; byte++) at[byte] = (uint8_t)((uint32_t)term >> (24 - 8 * byte));
    at[4] = (uint8_t)(pairs[i] & 255);
  }
  *ret_terms = out;
  return true;
}
