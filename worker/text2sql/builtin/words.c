/* words.c - interning by stem, and the groups a word belongs to. */
#include "worker/text2sql/builtin/words.h"

#include <libstemmer.h>
#include <stdint.h>
#include <string.h>

#define SYNONYM 0.8   /* what a synonym is worth beside the word itself */
#define FORM_BYTES 64 /* longer forms are their own stem */

#define EXPECTED 128

struct words {
  struct arena *arena;
  struct sb_stemmer *stemmer;
  struct word **slots; /* open addressing, never more than half full */
  size_t mask, used;
  struct memo **memos, **forms; /* fixed buckets */
  const char *expected[EXPECTED];
  size_t expected_count;
};
struct memo {
  const char *key;
  void *value;
  struct memo *next;
};
#define MEMO_BUCKETS 4096

static void forget(void *stemmer) { sb_stemmer_delete(stemmer); }

static size_t hash(const char *text) {
  uint64_t h = 1469598103934665603u;
  for (; *text; text++) h = (h ^ (unsigned char)*text) * 1099511628211u;
  return (size_t)(h ^ (h >> 29));
}

static bool grow(struct words *words) {
  size_t size = words->slots ? 2 * (words->mask + 1) : 2048;
  struct word **slots = arena_calloc(words->arena, size, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; words->slots && i <= words->mask; i++) {
    if (!words->slots[i]) continue;
    size_t at = hash(words->slots[i]->text) & (size - 1);
    while (slots[at]) at = (at + 1) & (size - 1);
    slots[at] = words->slots[i];
  }
  words->slots = slots;
  words->mask = size - 1;
  return true;
}

static struct word *intern(struct words *words, const char *stem) {
  if (!words->slots || words->used * 2 > words->mask) {
    if (!grow(words)) return NULL;
  }
  size_t at = hash(stem) & words->mask;
  for (; words->slots[at]; at = (at + 1) & words->mask)
    if (strcmp(words->slots[at]->text, stem) == 0) return words->slots[at];
  struct word *word = ARENA_NEW(words->arena, struct word);
  if (!word || !(word->text = arena_strdup(words->arena, stem))) return NULL;
  words->slots[at] = word;
  words->used++;
  return word;
}

static void **memo_in(struct words *words, struct memo **memos, const char *key) {
  if (!key) return NULL;
  struct memo **bucket = &memos[hash(key) % MEMO_BUCKETS];
  for (struct memo *memo = *bucket; memo; memo = memo->next)
    if (strcmp(memo->key, key) == 0) return &memo->value;
  struct memo *memo = ARENA_NEW(words->arena, struct memo);
  if (!memo || !(memo->key = arena_strdup(words->arena, key))) return NULL;
  memo->next = *bucket;
  *bucket = memo;
  return &memo->value;
}

void **words_memo(struct words *words, const char *key) { return memo_in(words, words->memos, key); }

/* The row of an irregular form, or NULL. */
static const char *const *irregular(const char *lower) {
  for (size_t i = 0; words_irregular[i][0]; i++)
    if (strcmp(words_irregular[i][0], lower) == 0) return words_irregular[i];
  return NULL;
}

static struct word *word_of(struct words *words, const char *lower) {
  const char *const *row = irregular(lower);
  if (row && strcmp(row[0], row[1]) == 0) return intern(words, lower); /* its own stem */
  if (row) return word_of(words, row[1]);
  size_t len = strlen(lower);
  if (len >= FORM_BYTES) return intern(words, lower);
  const sb_symbol *stem = sb_stemmer_stem(words->stemmer, (const sb_symbol *)lower, (int)len);
  return stem ? intern(words, (const char *)stem) : NULL;
}

const struct word *words_of(struct words *words, const char *lower) {
  void **memo = memo_in(words, words->forms, lower);
  if (memo && !*memo) *memo = word_of(words, lower);
  return memo ? *memo : NULL;
}

static bool join_group(struct words *words, const char *lower, size_t group) {
  struct word *word = word_of(words, lower);
  if (!word) return false;
  for (size_t i = 0; i < WORD_GROUPS; i++) {
    if (word->groups[i] == group) return true;
    if (word->groups[i]) continue;
    word->groups[i] = (unsigned short)group;
    return true;
  }
  return true; /* in enough groups already */
}

static bool read_groups(struct words *words) {
  for (size_t group = 0; words_groups[group]; group++) {
    char *row = arena_strdup(words->arena, words_groups[group]), *rest = NULL;
    if (!row) return false;
    for (char *one = strtok_r(row, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
      if (!join_group(words, one, group + 1)) return false;
  }
  return true;
}

struct words *words_new(struct arena *arena) {
  struct words *words = ARENA_NEW(arena, struct words);
  if (!words) return NULL;
  words->arena = arena;
  words->memos = arena_calloc(arena, MEMO_BUCKETS, sizeof *words->memos);
  words->forms = arena_calloc(arena, MEMO_BUCKETS, sizeof *words->forms);
  if (!words->memos || !words->forms) return NULL;
  words->stemmer = sb_stemmer_new("english", "UTF_8");
  if (!words->stemmer || arena_defer(arena, forget, words->stemmer) < 0) return NULL;
  return read_groups(words) ? words : NULL;
}

const char *words_abbreviation(const char *lower, bool in_question) {
  for (size_t i = 0; in_question && words_english[i]; i++)
    if (strcmp(words_english[i], lower) == 0) return NULL;
  for (size_t i = 0; words_short[i][0]; i++)
    if (strcmp(words_short[i][0], lower) == 0) return words_short[i][1];
  return NULL;
}

void words_expect(struct words *words, const char *lower) {
  size_t len = strlen(lower);
  if (words->expected_count < EXPECTED && len >= 4) words->expected[words->expected_count++] = lower;
  if (words->expected_count < EXPECTED && len >= 5 && lower[len - 1] == 's') /* "usernames": username is a word here */
    words->expected[words->expected_count++] = arena_strndup(words->arena, lower, len - 1);
}

bool words_common(const struct words *words, const char *lower, size_t len) {
  for (size_t i = 0; i < words->expected_count; i++)
    if (words->expected[i] && strlen(words->expected[i]) == len && strncmp(words->expected[i], lower, len) == 0) return true;
  for (size_t i = 0; words_parts[i]; i++)
    if (strlen(words_parts[i]) == len && strncmp(words_parts[i], lower, len) == 0) return true;
  return false;
}

double words_alike(const struct word *a, const struct word *b) {
  if (a == b) return 1;
  for (size_t i = 0; i < WORD_GROUPS && a->groups[i]; i++)
    for (size_t j = 0; j < WORD_GROUPS && b->groups[j]; j++)
      if (a->groups[i] == b->groups[j]) return SYNONYM;
  return 0;
}
