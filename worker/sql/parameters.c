/* parameters.c - see parameters.h. */
#include "worker/sql/parameters.h"

#include <pg_query.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/guard.h"
#include "worker/sql/tree.h"

static bool is_word(const char *sql, const struct sql_token *token, const char *word) {
  size_t len = (size_t)(token->end - token->start);
  return strlen(word) == len && strncasecmp(sql + token->start, word, len) == 0;
}

/* Keywords that name types; other types' names are plain identifiers. */
static bool is_type_keyword(const char *sql, const struct sql_token *token) {
  static const char *const words[] = {"interval", "timestamp", "time", "numeric", "decimal", "bit", "char", "boolean"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (is_word(sql, token, words[i])) return true;
  return false;
}

/* How many tokens before the one at `at` name a type; 0: none do. "AT TIME ZONE $1" has none. */
static size_t type_before(const char *sql, const struct sql_tokens *tokens, size_t at) {
  if (at == 0) return 0;
  const struct sql_token *last = &tokens->items[at - 1];
  if (is_word(sql, last, "zone")) {
    bool zoned = at >= 4 && (is_word(sql, last - 2, "with") || is_word(sql, last - 2, "without")) && is_type_keyword(sql, last - 3);
    return zoned ? 4 : 0;
  }
  return last->kind == PG_QUERY__TOKEN__IDENT || is_type_keyword(sql, last) ? 1 : 0;
}

const char *sql_typed_parameters(const char *sql, struct arena *arena) {
  struct sql_tokens tokens;
  BUF_AUTO out;
  buf_init(&out, 4 * LIMIT_SQL_BYTES);
  int at = 0;
  if (!sql_tokenize(sql, arena, &tokens)) return sql;
  for (size_t i = 0; i < tokens.count; i++) {
    size_t words = tokens.items[i].kind == PG_QUERY__TOKEN__PARAM ? type_before(sql, &tokens, i) : 0;
    if (!words) continue;
    const struct sql_token *param = &tokens.items[i], *first = param - words;
    buf_append(&out, sql + at, (size_t)(first->start - at));
    buf_printf(&out, "CAST(%.*s AS %.*s)", param->end - param->start, sql + param->start, (param - 1)->end - first->start,
               sql + first->start);
    at = param->end;
  }
  if (at == 0) return sql;
  buf_puts(&out, sql + at);
  return buf_ok(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
}
