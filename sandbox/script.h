/* script.h - cuts a pg_dump script into statements, and names in it into words, without a parser.
 *
 * Knows strings ('', E'', $tag$), quoted identifiers, both kinds of comment (nested too), parentheses, BEGIN ATOMIC bodies, psql's
 * backslash lines and the data of COPY … FROM stdin (both skipped). Never fails: an unterminated thing lasts until the end. */
#ifndef AUTODB_SANDBOX_SCRIPT_H
#define AUTODB_SANDBOX_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

enum script_token { SCRIPT_END, SCRIPT_WORD, SCRIPT_QUOTED, SCRIPT_STRING, SCRIPT_PUNCT };

struct script {
  const char *at, *end; /* what is left */
};
struct script_statement {
  const char *text; /* first token to the one before ';', inside the script */
  size_t len;
};

struct script script_of(const char *sql);
/* The next non-empty statement; false at the end. */
bool script_next(struct script *script, struct script_statement *ret_statement);

/* --- the tokens of one statement --- */

struct script_lexer {
  const char *at, *end;
  enum script_token kind;
  const char *start; /* of the token */
  size_t len;
};

struct script_lexer script_lexer(const struct script_statement *statement);
enum script_token script_token(struct script_lexer *lexer);
/* Whether the token is this keyword (given in lower case) or punctuation; a quoted identifier never is. */
bool script_is(const struct script_lexer *lexer, const char *word);
/* Steps over the keywords of `words` ("create extension"), as many tokens; false, without moving, when they aren't there. */
bool script_skip(struct script_lexer *lexer, const char *words);
/* The identifier as the catalog has it: unquoted, folded. False when the token is none or doesn't fit. */
bool script_name(const struct script_lexer *lexer, char *out, size_t size);

#endif
