/* lexicon.h - a text as its words: split, folded, stemmed, with the pieces that words alike share. The one reading of text that the
 * built-in vectors and the search by word have in common.
 *
 * Words are runs of letters and digits; names are taken apart ("orderItems", "order_items", "ORDER-ITEMS" are order and item). Letters are
 * folded to lower case without their accents, English is stemmed (Snowball's Porter2), words that only hold a sentence together are left
 * out. Scripts without spaces are read as pairs of characters. Words seen before are remembered, so most text costs one look-up a word. */
#ifndef AUTODB_EMBED_LEXICON_H
#define AUTODB_EMBED_LEXICON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lexeme {
  const char *word; /* as it was read, folded; NUL-terminated, as is … */
  const char *stem;
  uint32_t term; /* hash of the stem */
  bool stop;     /* holds a sentence together; never in a list */
  uint16_t piece_count;
  const uint32_t *pieces; /* hashes of the 3- to 5-grams of "<stem>" */
};
struct lexicon_word {
  const struct lexeme *lexeme;
  int count; /* times in the text */
};
struct lexicon_list {
  const struct lexicon_word *words; /* each once, in order of appearance */
  size_t count;
  size_t total; /* sum of the counts */
};

struct lexicon; /* one owner at a time */

struct lexicon *lexicon_new(void); /* NULL: out of memory */
void lexicon_free(struct lexicon *lexicon);
/* The process's own, made at the first call; NULL: out of memory. Slots are single-threaded. */
struct lexicon *lexicon_shared(void);
/* The hash of a stem that is one already. */
uint32_t lexicon_term(const char *stem);
/* A stem as its lexeme, as good as those of the last list; NULL: out of memory or room. */
const struct lexeme *lexicon_stemmed(struct lexicon *lexicon, const char *stem);
/* The list and its lexemes are good until the next call. False: out of memory. */
bool lexicon_read(struct lexicon *lexicon, const char *text, size_t len, struct lexicon_list *ret_list);

#endif
