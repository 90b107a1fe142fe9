/* verified_words.h - questions as words, and whether two of them are one question in other words. Private to verified.c. */
#ifndef AUTODB_TEXT2SQL_VERIFIED_WORDS_H
#define AUTODB_TEXT2SQL_VERIFIED_WORDS_H

#include "common/verified_slot.h"
#include "worker/schema/snapshot.h"

#define VERIFIED_WORDS_MAX 400

struct verified_word {
  const char *at; /* in the text */
  size_t len;
  const char *text; /* lower case; of a slot its name as written */
  bool is_slot;
  enum verified_slot_type type; /* of a slot */
};
struct verified_words {
  struct verified_word items[VERIFIED_WORDS_MAX];
  size_t count;
};

/* NULL: out of memory. slots: "{name}" is a place, not a word. */
struct verified_words *verified_words(const char *text, bool slots, struct arena *arena);
/* 0 to 1: how much of the words of the two is the same. */
double verified_words_likeness(const struct verified_words *a, const struct verified_words *b);
/* Whether `asked` is `known` but for fillers, plurals, typing errors and where it says "per month". Each word keeps its role: what follows
 * "per" or "to" in the one follows it in the other, and the rest comes in the same order. A word that names something in the schema is not
 * another one, mistyped. */
bool verified_words_same(const struct verified_words *known, const struct verified_words *asked, const struct snapshot *snapshot);

#endif
