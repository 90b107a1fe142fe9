/* tokens.h - a question as a row of words, numbers, quoted texts and marks. The first stage: knows spelling, nothing else.
 *
 * Names written as in the schema ("order_items", "orders.total", "orderDate") become the words they are made of, as the schema's own names
 * do. "don't" is "do" "not"; "customer's" is "customer". */
#ifndef AUTODB_BUILTIN_TOKENS_H
#define AUTODB_BUILTIN_TOKENS_H

#include "worker/text2sql/builtin/words.h"

#define TOKENS_MAX 128 /* a question of more words is more than one question */

enum token_kind { TOKEN_WORD, TOKEN_NUMBER, TOKEN_QUOTED, TOKEN_DATE, TOKEN_MARK };
struct token {
  enum token_kind kind;
  const char *lower;       /* words in lower case; numbers as SQL writes them; dates as YYYY-MM-DD; quoted text as it stood */
  const struct word *word; /* words only */
  size_t from, to;         /* bytes of the question */
  double number;           /* numbers only */
  bool capital;            /* a word that begins with one and isn't the first */
  bool percent;            /* "20%" */
};
struct tokens {
  const char *text; /* the question */
  struct token items[TOKENS_MAX];
  size_t count;
  bool cut; /* there was more */
};

bool tokens_read(struct tokens *tokens, const char *text, struct arena *arena, struct words *words); /* false: out of memory */
/* Bytes of an identifier's next part: "orderDate" 5, "ORDER_DATE" 5, "HTMLFile" 4. */
size_t tokens_part(const char *name, size_t len);
const char *tokens_lower(struct arena *arena, const char *text, size_t len); /* ASCII and Latin-1 */

#endif
