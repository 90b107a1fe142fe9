#include "worker/retrieval/terms.h"

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

int32_t *terms_of(const char *text, size_t len, const char *connection_id, struct arena *arena, size_t *ret_count) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  if (!lexicon || !lexicon_read(lexicon, text, len, &list)) return NULL;
  int32_t *terms = arena_calloc(arena, list.total + 1, sizeof *terms);
  uint32_t salt = salt_of(connection_id);
  size_t count = 0;
  for (size_t i = 0; terms && i < list.count; i++)
    for (int n = 0; n < list.words[i].count && n < TERM_REPEATS; n++) terms[count++] = (int32_t)mix(list.words[i].lexeme->term ^ salt);
  *ret_count = count;
  return terms;
}
