/* words.c - interning by stem, and the groups a word belongs to. */
#include "worker/text2sql/builtin/words.h"

#include <libstemmer.h>
#include <stdint.h>
#include <string.h>

#define SYNONYM 0.8   /* what a synonym is worth beside the word itself */
#define FORM_BYTES 64 /* longer forms are their own stem */

#define EXPECTED 128

struct words {
  const struct words *below;
  struct arena *arena;
  struct sb_stemmer *stemmer;
  struct word **slots; /* open addressing, never more than half full */
  size_t mask, used;
  struct memo **memos, **forms; /* fixed buckets */
  const char *expected[EXPECTED];
  size_t expected_count;
  const char **tried;
  size_t tried_count, tried_room;
  bool tried_lost; /* some, for want of memory */
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

static struct word *interned(const struct words *words, const char *stem, size_t *ret_at) {
  size_t at = hash(stem) & words->mask;
  for (; words->slots[at]; at = (at + 1) & words->mask)
    if (strcmp(words->slots[at]->text, stem) == 0) return words->slots[at];
  *ret_at = at;
  return NULL;
}

static struct word *intern(struct words *words, const char *stem) {
  size_t at;
  struct word *word = words->below ? interned(words->below, stem, &at) : NULL;
  if (word) return word;
  if (!words->slots || words->used * 2 > words->mask) {
    if (!grow(words)) return NULL;
  }
  if ((word = interned(words, stem, &at))) return word;
  word = ARENA_NEW(words->arena, struct word);
  if (!word || !(word->text = arena_strdup(words->arena, stem))) return NULL;
  words->slots[at] = word;
  words->used++;
  return word;
}

static struct memo *memoized(struct memo *const *memos, const char *key) {
  struct memo *memo = memos[hash(key) % MEMO_BUCKETS];
  while (memo && strcmp(memo->key, key) != 0) memo = memo->next;
  return memo;
}

static void **memo_in(struct words *words, struct memo **memos, struct memo *const *below, const char *key) {
  if (!key) return NULL;
  struct memo *memo = below ? memoized(below, key) : NULL;
  if (memo && memo->value) return &memo->value;
  if ((memo = memoized(memos, key))) return &memo->value;
  memo = ARENA_NEW(words->arena, struct memo);
  if (!memo || !(memo->key = arena_strdup(words->arena, key))) return NULL;
  struct memo **bucket = &memos[hash(key) % MEMO_BUCKETS];
  memo->next = *bucket;
  *bucket = memo;
  return &memo->value;
}

void **words_memo(struct words *words, const char *key) {
  return memo_in(words, words->memos, words->below ? words->below->memos : NULL, key);
}

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
  void **memo = memo_in(words, words->forms, words->below ? words->below->forms : NULL, lower);
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

struct words *words_new(const struct words *below, struct arena *arena) {
  struct words *words = ARENA_NEW(arena, struct words);
  if (!words) return NULL;
  words->below = below;
  words->arena = arena;
  words->memos = arena_calloc(arena, MEMO_BUCKETS, sizeof *words->memos);
  words->forms = arena_calloc(arena, MEMO_BUCKETS, sizeof *words->forms);
  if (!words->memos || !words->forms) return NULL;
  words->stemmer = sb_stemmer_new("english", "UTF_8");
  if (!words->stemmer || arena_defer(arena, forget, words->stemmer) < 0) return NULL;
  return below || read_groups(words) ? words : NULL;
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
  if (words->expected_count < EXPECTED && len >= 3) words->expected[words->expected_count++] = lower;
  if (words->expected_count < EXPECTED && len >= 4 && lower[len - 1] == 's') /* "usernames": username is a word here */
    words->expected[words->expected_count++] = arena_strndup(words->arena, lower, len - 1);
}

void words_tried(struct words *words, const char *lower) {
  if (words->tried_count == words->tried_room) {
    size_t room = 2 * words->tried_room + 64;
    const char **tried = arena_calloc(words->arena, room, sizeof *tried);
    if (!tried) {
      words->tried_lost = true;
      return;
    }
    if (words->tried_count) memcpy(tried, words->tried, words->tried_count * sizeof *tried);
    words->tried = tried;
    words->tried_room = room;
  }
  words->tried[words->tried_count++] = lower;
}

bool words_surprise(const struct words *words) {
  const struct words *below = words->below;
  if (below && below->tried_lost) return true;
  for (size_t i = 0; below && i < words->expected_count; i++)
    for (size_t t = 0; words->expected[i] && t < below->tried_count; t++)
      if (strstr(below->tried[t], words->expected[i])) return true;
  return false;
}

bool words_common(const struct words *words, const char *lower, size_t len) {
  for (size_t i = 0; i < words->expected_count; i++)
    if (words->expected[i] && strlen(words->expected[i]) == len && strncmp(words->expected[i], lower, len) == 0) return true;
  for (size_t i = 0; words_parts[i]; i++)
    if (strlen(words_parts[i]) == len && strncmp(words_parts[i], lower, len) == 0) return true;
  return false;
}

bool words_plural(const char *lower) {
  size_t len = strlen(lower);
  return (len > 3 && lower[len - 1] == 's' && !strchr("su", lower[len - 2])) || strcmp(lower, "people") == 0;
}

double words_alike(const struct word *a, const struct word *b) {
  if (a == b) return 1;
  for (size_t i = 0; i < WORD_GROUPS && a->groups[i]; i++)
    for (size_t j = 0; j < WORD_GROUPS && b->groups[j]; j++)
      if (a->groups[i] == b->groups[j]) return SYNONYM;
  return 0;
}
