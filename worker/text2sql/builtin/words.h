/* words.h - English words as the parser compares them: by stem, by abbreviation, by what else business people call the same thing.
 *
 * A word is interned: two words of one stem are one pointer. To teach a synonym or an abbreviation: a row in words_table.c. */
#ifndef AUTODB_BUILTIN_WORDS_H
#define AUTODB_BUILTIN_WORDS_H

#include "common/arena.h"

#define WORD_GROUPS 6

struct word {
  const char *text;                   /* the stem */
  unsigned short groups[WORD_GROUPS]; /* of synonyms, from 1; 0 ends */
};
struct words;

/* below: words to find first, which stay as they are (of a schema; on top of them those of a question); or NULL. NULL: out of memory. */
struct words *words_new(const struct words *below, struct arena *arena);
/* A place to keep what was worked out about a text, by that text; NULL inside at first. NULL: out of memory, here or
 * where the key was made (NULL). */
void **words_memo(struct words *words, const char *key);
/* The word of a form in lower case ("customers" and "customer" are one). NULL: out of memory, as above. */
const struct word *words_of(struct words *words, const char *lower);
/* The words an abbreviation stands for ("dob": date, of, birth → "birth date"), split by blanks; NULL when it is none. In a name nearly
 * everything short is one; in a question only what can't be English. */
const char *words_abbreviation(const char *lower, bool in_question);
/* A word some schemas are made of: where "orderdate" may be split. */
bool words_common(const struct words *words, const char *lower, size_t len);
/* What the question says may be a part of a name, too. */
void words_expect(struct words *words, const char *lower);
/* A text that words_common was asked about the parts of. */
void words_tried(struct words *words, const char *lower);
/* Whether what is expected may have been another answer to what was tried below. */
bool words_surprise(const struct words *words);
/* "orders", "people"; not "status". */
bool words_plural(const char *lower);
/* 1 for one word, less for synonyms, 0 for strangers. */
double words_alike(const struct word *a, const struct word *b);

/* Rows of words_table.c. */
extern const char *const words_groups[];       /* "customer client buyer": one thing */
extern const char *const words_irregular[][2]; /* form, the form that is stemmed in its place */
extern const char *const words_short[][2];     /* abbreviation, words */
extern const char *const words_parts[];        /* what names are made of */
extern const char *const words_english[];      /* abbreviations that are English words, too */

#endif
