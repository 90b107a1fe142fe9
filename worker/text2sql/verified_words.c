/* verified_words.c - see verified_words.h. */
#include "worker/text2sql/verified_words.h"

#include <ctype.h>
#include <string.h>

#include "worker/query/suggest.h"

#define SAME_WORD 0.8    /* likeness of two words that may be a typing error of each other */
#define SAME_PLURAL 0.95 /* of two forms of one word */

static bool in_word(char c) { return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || c == '_'; }

static const char *lowered(const char *at, size_t len, struct arena *arena) {
  char *text = arena_strndup(arena, at, len);
  for (size_t i = 0; text && i < len; i++) text[i] = (char)tolower((unsigned char)text[i]);
  return text;
}

struct verified_words *verified_words(const char *text, bool slots, struct arena *arena) {
  struct verified_words *words = ARENA_NEW(arena, struct verified_words);
  if (words) words->count = 0;
  for (const char *at = text; words && *at && words->count < VERIFIED_WORDS_MAX;) {
    struct verified_word word = {.at = at};
    struct verified_slot slot;
    if (slots && verified_slot_at(at, &slot) && slot.type != VERIFIED_SLOT_UNKNOWN) {
      word = (struct verified_word){at, slot.len, arena_strndup(arena, slot.name, slot.name_len), true, slot.type};
    } else if (in_word(*at)) {
      while (in_word(at[word.len])) word.len++;
      word.text = lowered(at, word.len, arena);
    } else {
      at++;
      continue;
    }
    if (!word.text) return NULL;
    words->items[words->count++] = word;
    at += word.len;
  }
  return words;
}

static bool listed(const char *const *list, size_t count, const char *word) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], word) == 0) return true;
  return false;
}
#define LISTED(list, word) listed((list), sizeof(list) / sizeof *(list), (word))

static bool is_filler(const char *word) {
  static const char *const fillers[] = {"a",    "an",    "the",    "of",    "in",   "on",   "for", "to",   "is",   "are",
                                        "was",  "were",  "do",     "does",  "did",  "we",   "our", "us",   "me",   "my",
                                        "i",    "you",   "please", "show",  "list", "give", "get", "find", "tell", "display",
                                        "what", "which", "who",    "there", "have", "has",  "had", "be",   "s"};
  return LISTED(fillers, word);
}

/* What it stands before has a role of its own. */
static bool is_relator(const char *word) {
  static const char *const relators[] = {"by",    "per",   "each",   "from",    "to",      "of",    "than",    "in",      "on",    "for",
                                         "with",  "at",    "before", "after",   "since",   "until", "between", "not",     "over",  "under",
                                         "above", "below", "versus", "against", "without", "into",  "via",     "through", "whose", "where"};
  return LISTED(relators, word);
}

/* ---- likeness ---- */

static bool has_digit(const char *word) { return strpbrk(word, "0123456789") != NULL; }

static double word_likeness(const char *a, const char *b) {
  if (strcmp(a, b) == 0) return 1;
  return has_digit(a) || has_digit(b) ? 0 : suggest_likeness(a, b);
}

/* Each word's best partner in the other text, on the average. */
static double covered(const struct verified_words *words, const struct verified_words *by) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = 0; i < words->count; i++) {
    double best = 0;
    if (words->items[i].is_slot || is_filler(words->items[i].text)) continue;
    for (size_t k = 0; k < by->count; k++) {
      double like = by->items[k].is_slot ? 0 : word_likeness(words->items[i].text, by->items[k].text);
      if (like > best) best = like;
    }
    sum += best;
    count++;
  }
  return count ? sum / (double)count : 0;
}

double verified_words_likeness(const struct verified_words *a, const struct verified_words *b) {
  return a && b ? (covered(a, b) + covered(b, a)) / 2 : 0;
}

/* ---- the same question ---- */

/* "counties" of "county_id": whether a part of the name is the word. */
static bool is_part(const char *name, const char *word) {
  while (*name) {
    while (*name && !isalnum((unsigned char)*name)) name++;
    char part[64];
    size_t len = 0;
    for (; isalnum((unsigned char)*name); name++)
      if (len + 1 < sizeof part) part[len++] = *name;
    part[len] = '\0';
    if (len && suggest_likeness(part, word) >= SAME_PLURAL) return true;
  }
  return false;
}

static bool names_something(const struct snapshot *snapshot, const char *word) {
  for (size_t t = 0; t < snapshot->table_count; t++) {
    const struct snap_table *table = &snapshot->tables[t];
    if (is_part(table->name, word)) return true;
    for (size_t c = 0; c < table->column_count; c++)
      if (is_part(table->columns[c].name, word)) return true;
  }
  return false;
}

/* A slip leaves the first letter: "unverified" is no verified mistyped. */
static bool same_word(const char *known, const char *asked, const struct snapshot *snapshot) {
  double like = word_likeness(known, asked);
  if (like >= SAME_PLURAL) return true;
  return like >= SAME_WORD && *known == *asked && !names_something(snapshot, asked);
}

struct said {
  const char *words[VERIFIED_WORDS_MAX], *after[VERIFIED_WORDS_MAX]; /* the relator it follows, or NULL */
  size_t count;
};

static bool holds(const struct verified_words *words, const char *text) {
  for (size_t i = 0; i < words->count; i++)
    if (strcmp(words->items[i].text, text) == 0) return true;
  return false;
}

/* The words that carry meaning. False: there is a relator that the other text lacks, and that is more than a filler. */
static bool say(const struct verified_words *words, const struct verified_words *other, struct said *said) {
  const char *after = NULL;
  said->count = 0;
  for (size_t i = 0; i < words->count; i++) {
    const char *text = words->items[i].text;
    if (is_relator(text)) {
      bool both = holds(other, text);
      if (!both && !is_filler(text)) return false;
      if (both) after = text;
    } else if (!is_filler(text)) {
      said->words[said->count] = text;
      said->after[said->count++] = after;
      after = NULL;
    }
  }
  return true;
}

/* The next one from `at` on that follows no relator. */
static size_t next_free(const struct said *said, size_t at) {
  while (at < said->count && said->after[at]) at++;
  return at;
}

static bool same_order(const struct said *known, const struct said *asked, const struct snapshot *snapshot) {
  size_t i = next_free(known, 0), k = next_free(asked, 0);
  for (; i < known->count && k < asked->count; i = next_free(known, i + 1), k = next_free(asked, k + 1))
    if (!same_word(known->words[i], asked->words[k], snapshot)) return false;
  return i == known->count && k == asked->count;
}

static bool same_roles(const struct said *known, const struct said *asked, const struct snapshot *snapshot) {
  bool used[VERIFIED_WORDS_MAX] = {false};
  for (size_t i = 0; i < known->count; i++) {
    bool found = !known->after[i];
    for (size_t k = 0; !found && k < asked->count; k++) {
      if (used[k] || !asked->after[k] || strcmp(known->after[i], asked->after[k]) != 0) continue;
      found = used[k] = same_word(known->words[i], asked->words[k], snapshot);
    }
    if (!found) return false;
  }
  return true;
}

bool verified_words_same(const struct verified_words *known, const struct verified_words *asked, const struct snapshot *snapshot) {
  struct said left, right;
  if (!say(known, asked, &left) || !say(asked, known, &right) || left.count != right.count || !left.count) return false;
  return same_order(&left, &right, snapshot) && same_roles(&left, &right, snapshot);
}
