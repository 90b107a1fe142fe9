/* guard.h - what is refused before the recursive parser sees it.
 *
 * The grammar itself never recurses, but building, packing and reading the tree does, one C frame per level: 200 kB of "1+1+…" or
 * 10,000 parentheses would overflow the stack. The guard counts, on the token stream, how deep a tree can get. */
#ifndef AUTODB_SQL_GUARD_H
#define AUTODB_SQL_GUARD_H

#include <stddef.h>

#include "common/arena.h"

#define SQL_MAX_DEPTH 500         /* levels of nesting in one statement: parentheses, operator chains, joins, set operations */
#define SQL_MAX_COMMENT_DEPTH 200 /* of comments in comments */
#define SQL_MAX_STATEMENTS 10000  /* in one script */

struct sql_token {
  int start, end, kind;
}; /* byte range; kind is a PgQuery__Token; comments are left out */
struct sql_tokens {
  struct sql_token *items;
  size_t count;
};

/* sqlstate NULL: nothing wrong. Offset is in bytes. */
struct sql_refusal {
  const char *sqlstate, *message;
  size_t offset;
};

/* Size, encoding, NUL. */
struct sql_refusal sql_guard_text(const char *sql, size_t len);
/* Tokens of the text; false when even the scanner fails (an unterminated quote), which the parser will report. */
bool sql_tokenize(const char *sql, struct arena *arena, struct sql_tokens *ret_tokens);
/* Whether a token of that kind is an operator: of arithmetic, comparison, logic, or a cast. */
bool sql_token_operates(int kind);
/* Depth of every statement. */
struct sql_refusal sql_guard_depth(const struct sql_tokens *tokens);

#endif
