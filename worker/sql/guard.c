/* guard.c - bounds on hostile SQL, measured on tokens.
 *
 * A level is opened by a parenthesis or bracket. Inside a level every operator may put one node on top of the others; a comma, AND or OR
 * starts afresh, since lists and AND/OR chains are kept flat. Joins, set operations and CASE nest regardless of commas. The sum over open
 * levels bounds the tree's depth from above, up to a constant. */
#include "worker/sql/guard.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include "common/limits.h"
#include "common/utf8.h"
#include "worker/sql/tree.h"

#define SCANNED_PER_BYTE 512 /* at most: a token of one byte unpacked, and what unpacking takes meanwhile */

/* The scanner reads a run of comment openers anew for each of them, so unbounded nesting would cost the square of its length. Quotes are
 * not looked at: no text that means something else opens as many and closes none. */
static struct sql_refusal guard_comments(const char *sql, size_t len) {
  int depth = 0;
  for (size_t at = 0; at + 1 < len; at++) {
    bool opens = sql[at] == '/' && sql[at + 1] == '*', closes = sql[at] == '*' && sql[at + 1] == '/';
    depth += opens ? 1 : closes && depth ? -1 : 0;
    if (depth > SQL_MAX_COMMENT_DEPTH)
      return (struct sql_refusal){"54001", "comments nest more than 200 levels deep; close some of them", at};
    at += opens || closes;
  }
  return (struct sql_refusal){0};
}

struct sql_refusal sql_guard_text(const char *sql, size_t len) {
  if (len > LIMIT_SQL_BYTES)
    return (struct sql_refusal){"54000", "the SQL is larger than 1 MiB; split it into several migrations", LIMIT_SQL_BYTES};
  for (size_t at = 0; at < len;) {
    if (sql[at] == '\0') return (struct sql_refusal){"22021", "the SQL holds a NUL byte, which PostgreSQL text cannot", at};
    size_t step = utf8_char(sql + at, len - at);
    if (step == 0) return (struct sql_refusal){"22021", "the SQL is not valid UTF-8", at};
    at += step;
  }
  return guard_comments(sql, len);
}

bool sql_tokenize(const char *sql, struct arena *arena, struct sql_tokens *ret_tokens) {
  ARENA_AUTO scratch = arena_new(LIMIT_SQL_BYTES * SCANNED_PER_BYTE);
  if (!scratch) return false;
  ProtobufCAllocator allocator;
  sql_allocator(scratch, &allocator);
  PgQueryScanResult scan = pg_query_scan(sql);
  PgQuery__ScanResult *result =
      scan.error ? NULL : pg_query__scan_result__unpack(&allocator, scan.pbuf.len, (const uint8_t *)scan.pbuf.data);
  struct sql_tokens tokens = {0};
  if (result) tokens.items = arena_calloc(arena, result->n_tokens + 1, sizeof *tokens.items);
  for (size_t i = 0; tokens.items && i < result->n_tokens; i++) {
    const PgQuery__ScanToken *token = result->tokens[i];
    if (token->token == PG_QUERY__TOKEN__SQL_COMMENT || token->token == PG_QUERY__TOKEN__C_COMMENT) continue;
    tokens.items[tokens.count++] = (struct sql_token){token->start, token->end, (int)token->token};
  }
  pg_query_free_scan_result(scan);
  if (tokens.items) *ret_tokens = tokens;
  return tokens.items != NULL;
}

bool sql_token_operates(int kind) {
  switch (kind) {
  case '+':
  case '-':
  case '*':
  case '/':
  case '%':
  case '^':
  case '<':
  case '>':
  case '=':
  case PG_QUERY__TOKEN__Op:
  case PG_QUERY__TOKEN__TYPECAST:
  case PG_QUERY__TOKEN__LESS_EQUALS:
  case PG_QUERY__TOKEN__GREATER_EQUALS:
  case PG_QUERY__TOKEN__NOT_EQUALS:
  case PG_QUERY__TOKEN__NOT:
  case PG_QUERY__TOKEN__AND:
  case PG_QUERY__TOKEN__OR: return true;
  default: return false;
  }
}

enum effect { PLAIN, OPEN, CLOSE, CHAIN, STICKY, UNSTICK, FRESH, END };

static enum effect effect_of(int kind) {
  switch (kind) {
  case '(':
  case '[': return OPEN;
  case ')':
  case ']': return CLOSE;
  case ';': return END;
  case ',':
  case PG_QUERY__TOKEN__AND:
  case PG_QUERY__TOKEN__OR: return FRESH;
  case PG_QUERY__TOKEN__UNION:
  case PG_QUERY__TOKEN__EXCEPT:
  case PG_QUERY__TOKEN__INTERSECT:
  case PG_QUERY__TOKEN__JOIN:
  case PG_QUERY__TOKEN__CASE: return STICKY;
  case PG_QUERY__TOKEN__END_P: return UNSTICK;
  case PG_QUERY__TOKEN__IS:
  case PG_QUERY__TOKEN__ISNULL:
  case PG_QUERY__TOKEN__NOTNULL:
  case PG_QUERY__TOKEN__COLLATE:
  case PG_QUERY__TOKEN__AT:
  case PG_QUERY__TOKEN__OPERATOR:
  case PG_QUERY__TOKEN__LIKE:
  case PG_QUERY__TOKEN__ILIKE:
  case PG_QUERY__TOKEN__SIMILAR:
  case PG_QUERY__TOKEN__BETWEEN:
  case PG_QUERY__TOKEN__IN_P:
  case PG_QUERY__TOKEN__ESCAPE:
  case PG_QUERY__TOKEN__OVERLAPS:
  case PG_QUERY__TOKEN__SETOF: return CHAIN;
  default: return sql_token_operates(kind) ? CHAIN : PLAIN;
  }
}

/* Weights of the open levels; total is their sum plus their number. */
struct levels {
  int chain[SQL_MAX_DEPTH + 2], sticky[SQL_MAX_DEPTH + 2];
  int top, total;
};

static void level_close(struct levels *levels) {
  if (levels->top == 0) return;
  levels->total -= levels->chain[levels->top] + levels->sticky[levels->top] + 1;
  levels->top--;
}

static void level_step(struct levels *levels, enum effect effect) {
  int *chain = &levels->chain[levels->top], *sticky = &levels->sticky[levels->top];
  switch (effect) {
  case PLAIN: break;
  case OPEN:
    levels->top++;
    levels->chain[levels->top] = levels->sticky[levels->top] = 0;
    levels->total++;
    break;
  case CLOSE: level_close(levels); break;
  case CHAIN:
    (*chain)++;
    levels->total++;
    break;
  case STICKY:
    (*sticky)++;
    levels->total++;
    break;
  case UNSTICK:
    if (*sticky) {
      (*sticky)--;
      levels->total--;
    }
    break;
  case FRESH:
    levels->total -= *chain;
    *chain = 0;
    break;
  case END: levels->top = levels->total = *levels->chain = *levels->sticky = 0; break;
  }
}

struct sql_refusal sql_guard_depth(const struct sql_tokens *tokens) {
  struct levels levels = {0};
  for (size_t i = 0; i < tokens->count; i++) {
    level_step(&levels, effect_of(tokens->items[i].kind));
    if (levels.total > SQL_MAX_DEPTH)
      return (struct sql_refusal){"54001", "the statement nests more than 500 levels deep (parentheses, operators, joins); simplify it",
                                  (size_t)tokens->items[i].start};
  }
  return (struct sql_refusal){0};
}
