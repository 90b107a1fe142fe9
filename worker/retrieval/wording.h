/* wording.h - what names say: "custacct_qty" is customer, account and quantity. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_WORDING_H
#define AUTODB_RETRIEVAL_WORDING_H

#include "common/buf.h"
#include "worker/embed/lexicon.h"
#include "worker/schema/snapshot.h"

/* What a word is known by in names: its stem, but nouns that are something else than their verb is (a booking is no book) by themselves. */
const char *wording_stem(const struct lexeme *lexeme);
uint32_t wording_term(const struct lexeme *lexeme); /* its hash, as lexicon_term has it */

#define WORDING_BYTES 32 /* of a word */
/* The first letter and what follows it without vowels, doubled ones once ("bundle": bndl); its length. */
size_t wording_bones(const char *word, char bones[WORDING_BYTES]);

/* The next run of letters, in lower case, parted as the lexicon parts them (orderItems, HTTPServer); returns what is behind it, NULL at the
 * end. */
const char *wording_next(const char *at, char word[WORDING_BYTES]);

/* The words that names may be made of: common ones, and those that the schema's own names and comments hold. */
struct wording;

/* NULL: out of memory. The arena's, which words are also remembered in. */
struct wording *wording_new(const struct snapshot *snapshot, struct arena *arena);
/* Appends, each behind a blank, the words that those of the name stand for: of abbreviations what is commonly meant, of words run together
 * their parts, of a word without vowels the ones it may be the bones of. Nothing for names in plain words. */
void wording_put(struct wording *wording, const char *name, struct buf *out);

#endif
