/* script.c - a lexer of PostgreSQL's surface, as much of it as it takes to find where a statement ends. */
#include "script.h"

#include <ctype.h>
#include <strings.h>

static bool is_ident_start(char c) { return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80; }
static bool is_ident(char c) { return is_ident_start(c) || isdigit((unsigned char)c) || c == '$'; }

static const char *skip_block_comment(const char *at, const char *end) {
  int depth = 0;
  while (at < end) {
    if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
      depth++;
      at += 2;
    } else if (end - at >= 2 && at[0] == '*' && at[1] == '/') {
      at += 2;
      if (--depth == 0) return at;
    } else {
      at++;
    }
  }
  return end;
}

static const char *skip_blank(const char *at, const char *end) {
  while (at < end) {
    if (isspace((unsigned char)*at)) {
      at++;
    } else if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
      while (at < end && *at != '\n') at++;
    } else if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
      at = skip_block_comment(at, end);
    } else {
      break;
    }
  }
  return at;
}

/* From the opening quote to after the closing one; a doubled quote is one inside. */
static const char *skip_quoted(const char *at, const char *end, bool backslashes) {
  char quote = *at++;
  while (at < end) {
    if (backslashes && *at == '\\' && end - at >= 2) {
      at += 2;
    } else if (*at != quote) {
      at++;
    } else if (end - at >= 2 && at[1] == quote) {
      at += 2;
    } else {
      return at + 1;
    }
  }
  return end;
}

/* The length of a $tag$ at `at`; 0 when there is none. */
static size_t dollar_tag(const char *at, const char *end) {
  const char *p = at + 1;
  if (p < end && isdigit((unsigned char)*p)) return 0;
  while (p < end && is_ident(*p) && *p != '$') p++;
  return p < end && *p == '$' ? (size_t)(p - at) + 1 : 0;
}

static const char *skip_dollar(const char *at, const char *end, size_t tag) {
  const char *body = at + tag;
  const char *close = body <= end ? memmem(body, (size_t)(end - body), at, tag) : NULL;
  return close ? close + tag : end;
}

struct script_lexer script_lexer(const struct script_statement *statement) {
  return (struct script_lexer){.at = statement->text, .end = statement->text + statement->len, .kind = SCRIPT_END};
}

static const char *skip_word(const char *at, const char *end) {
  while (at < end && is_ident(*at)) at++;
  return at;
}

enum script_token script_token(struct script_lexer *lexer) {
  const char *at = skip_blank(lexer->at, lexer->end), *end = lexer->end, *next;
  size_t tag = at < end && *at == '$' ? dollar_tag(at, end) : 0;
  enum script_token kind = SCRIPT_PUNCT;
  if (at >= end) {
    kind = SCRIPT_END;
    next = at;
  } else if (*at == '\'') {
    kind = SCRIPT_STRING;
    next = skip_quoted(at, end, false);
  } else if ((*at == 'e' || *at == 'E') && end - at >= 2 && at[1] == '\'') {
    kind = SCRIPT_STRING;
    next = skip_quoted(at + 1, end, true);
  } else if (*at == '"') {
    kind = SCRIPT_QUOTED;
    next = skip_quoted(at, end, false);
  } else if (tag > 0) {
    kind = SCRIPT_STRING;
    next = skip_dollar(at, end, tag);
  } else if (is_ident(*at) && *at != '$') {
    kind = SCRIPT_WORD;
    next = skip_word(at, end);
  } else {
    next = at + 1;
  }
  *lexer = (struct script_lexer){.at = next, .end = end, .kind = kind, .start = at, .len = (size_t)(next - at)};
  return kind;
}

bool script_is(const struct script_lexer *lexer, const char *word) {
  return (lexer->kind == SCRIPT_WORD || lexer->kind == SCRIPT_PUNCT) && strlen(word) == lexer->len &&
         !strncasecmp(lexer->start, word, lexer->len);
}

bool script_skip(struct script_lexer *lexer, const char *words) {
  struct script_lexer ahead = *lexer;
  while (*words) {
    size_t len = strcspn(words, " ");
    if (script_token(&ahead) != SCRIPT_WORD || ahead.len != len || strncasecmp(ahead.start, words, len) != 0) return false;
    words += len + (words[len] == ' ');
  }
  *lexer = ahead;
  return true;
}

bool script_name(const struct script_lexer *lexer, char *out, size_t size) {
  size_t used = 0;
  if (lexer->len >= size || (lexer->kind != SCRIPT_WORD && lexer->kind != SCRIPT_QUOTED)) return false;
  if (lexer->kind == SCRIPT_WORD)
    for (; used < lexer->len; used++) out[used] = (char)tolower((unsigned char)lexer->start[used]);
  for (size_t i = 1; lexer->kind == SCRIPT_QUOTED && i + 1 < lexer->len; i++) {
    out[used++] = lexer->start[i];
    if (lexer->start[i] == '"') i++;
  }
  out[used] = 0;
  return used > 0;
}

/* --- statements --- */

/* What open BEGIN ATOMIC … END (and CASE … END inside it) there is, seen word by word. */
struct body {
  int depth;
  bool after_begin;
};

static void see_word(struct body *body, const struct script_lexer *lexer) {
  bool word = lexer->kind == SCRIPT_WORD;
  if (word && body->after_begin && script_is(lexer, "atomic")) body->depth++;
  if (word && body->depth > 0 && script_is(lexer, "case")) body->depth++;
  if (word && body->depth > 0 && script_is(lexer, "end")) body->depth--;
  body->after_begin = word && script_is(lexer, "begin");
}

/* After "COPY … FROM stdin;": the lines up to "\." */
static const char *skip_copy_data(const struct script *script) {
  const char *close = memmem(script->at, (size_t)(script->end - script->at), "\n\\.", 3);
  return close ? close + 3 : script->end;
}

static bool is_copy_in(const struct script_statement *statement) {
  struct script_lexer lexer = script_lexer(statement);
  bool from = false;
  if (!script_skip(&lexer, "copy")) return false;
  while (script_token(&lexer) != SCRIPT_END) {
    if (from && script_is(&lexer, "stdin")) return true;
    from = script_is(&lexer, "from");
  }
  return false;
}

/* Where a statement can start: past blanks and psql's own lines. */
static const char *statement_start(const struct script *script) {
  const char *at = script->at;
  for (;;) {
    at = skip_blank(at, script->end);
    if (at >= script->end) return script->end;
    if (*at != ';' && *at != '\\') return at;
    if (*at == ';')
      at++;
    else
      while (at < script->end && *at != '\n') at++;
  }
}

struct script script_of(const char *sql) {
  return (struct script){.at = sql, .end = sql + strlen(sql)};
}

bool script_next(struct script *script, struct script_statement *ret_statement) {
  const char *start = statement_start(script), *last = start;
  struct script_lexer lexer = {.at = start, .end = script->end};
  struct body body = {0};
  int parens = 0;
  while (script_token(&lexer) != SCRIPT_END) {
    if (script_is(&lexer, ";") && parens <= 0 && body.depth == 0) break;
    if (script_is(&lexer, "(")) parens++;
    if (script_is(&lexer, ")")) parens--;
    see_word(&body, &lexer);
    last = lexer.at;
  }
  script->at = lexer.at;
  if (last == start) return false;
  *ret_statement = (struct script_statement){.text = start, .len = (size_t)(last - start)};
  if (is_copy_in(ret_statement)) script->at = skip_copy_data(script);
  return true;
}
