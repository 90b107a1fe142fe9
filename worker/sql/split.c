/* split.c - splitting by the real parser, and by the scanner when a statement does not parse.
 *
 * The whole text is parsed at once, which is exact even for statements that hold semicolons. Only after a syntax error is it cut by the
 * scanner and each piece parsed alone, so that one typo does not hide the rest of a migration. */
#include "worker/sql/split.h"

#include <pg_query.h>

#include "worker/sql/tree.h"

/* Walks forward only: asking for ascending offsets is linear in the text. */
struct cursor {
  const char *sql;
  struct sql_place at;
};

static struct sql_place cursor_move(struct cursor *cursor, size_t offset) {
  if (offset < cursor->at.offset) cursor->at = (struct sql_place){0, 1, 1};
  for (; cursor->at.offset < offset; cursor->at.offset++) {
    unsigned char byte = (unsigned char)cursor->sql[cursor->at.offset];
    if (byte == '\n') {
      cursor->at.line++;
      cursor->at.column = 1;
    } else if ((byte & 0xC0) != 0x80) {
      cursor->at.column++;
    }
  }
  return cursor->at;
}

/* The place of character number `position` (1-based), as PostgreSQL reports error positions. */
static size_t offset_of_character(const char *sql, size_t len, int position) {
  size_t offset = 0;
  for (int seen = 1; offset < len && seen < position; seen++) {
    offset++;
    while (offset < len && ((unsigned char)sql[offset] & 0xC0) == 0x80) offset++;
  }
  return offset;
}

/* First token at or after `offset`. */
static size_t token_from(const struct sql_tokens *tokens, size_t offset) {
  size_t low = 0, high = tokens->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if ((size_t)tokens->items[middle].start < offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

struct splitting {
  const char *sql;
  size_t len;
  struct arena *arena;
  struct sql_tokens tokens;
  struct cursor cursor;
  struct sql_script *script;
};

/* Adds the statement whose tokens lie within [from, to). */
static bool add_statement(struct splitting *s, PgQuery__Node *node, size_t from, size_t to) {
  size_t first = token_from(&s->tokens, from), past = token_from(&s->tokens, to);
  if (first >= past) return true;
  size_t start = (size_t)s->tokens.items[first].start, end = (size_t)s->tokens.items[past - 1].end;
  char *text = arena_strndup(s->arena, s->sql + start, end - start);
  if (!text) return false;
  s->script->statements[s->script->count++] =
      (struct sql_statement){.text = text, .length = end - start, .at = cursor_move(&s->cursor, start), .node = node};
  return true;
}

static bool reserve(struct splitting *s, size_t count) {
  s->script->statements = arena_calloc(s->arena, count + 1, sizeof *s->script->statements);
  return s->script->statements != NULL;
}

static void set_fault(struct splitting *s, const char *sqlstate, const char *message, size_t offset) {
  struct cursor cursor = {s->sql, {0, 1, 1}};
  s->script->fault = (struct sql_fault){sqlstate, message, cursor_move(&cursor, offset)};
}

static PgQuery__ParseResult *parse(struct splitting *s, const char *text, PgQueryProtobufParseResult *raw) {
  *raw = pg_query_parse_protobuf(text);
  if (raw->error) return NULL;
  ProtobufCAllocator allocator;
  sql_allocator(s->arena, &allocator);
  return pg_query__parse_result__unpack(&allocator, raw->parse_tree.len, (const uint8_t *)raw->parse_tree.data);
}

static enum status take_all(struct splitting *s, const PgQuery__ParseResult *tree, struct error *err) {
  if (tree->n_stmts > SQL_MAX_STATEMENTS) {
    set_fault(s, "54000", "the script holds more than 10,000 statements; split it into several migrations",
              (size_t)tree->stmts[SQL_MAX_STATEMENTS]->stmt_location);
    return reserve(s, 0) ? OK : error_oom(err);
  }
  if (!reserve(s, tree->n_stmts)) return error_oom(err);
  for (size_t i = 0; i < tree->n_stmts; i++) {
    const PgQuery__RawStmt *raw = tree->stmts[i];
    size_t from = (size_t)raw->stmt_location, to = raw->stmt_len ? from + (size_t)raw->stmt_len : s->len;
    if (!add_statement(s, raw->stmt, from, to)) return error_oom(err);
  }
  return OK;
}

/* A backslash where a statement or line begins is psql speaking, not SQL. */
static const char *explain(struct splitting *s, const char *message, size_t offset) {
  if (offset < s->len && s->sql[offset] == '\\')
    return arena_printf(s->arena, "%s: psql meta-commands (\\i, \\set, \\copy, …) are not SQL; send the statements themselves", message);
  return arena_strdup(s->arena, message);
}

/* Keeps what parses of `text`, a prefix of the script that, as a whole, does not. */
static enum status take_pieces(struct splitting *s, const char *text, struct error *err) {
  PgQuerySplitResult cut = pg_query_split_with_scanner(text);
  int count = cut.error ? 0 : cut.n_stmts;
  if (count > SQL_MAX_STATEMENTS) count = SQL_MAX_STATEMENTS;
  enum status status = reserve(s, (size_t)count) ? OK : error_oom(err);
  for (int i = 0; i < count && status == OK; i++) {
    size_t from = (size_t)cut.stmts[i]->stmt_location, to = from + (size_t)cut.stmts[i]->stmt_len;
    char *piece = arena_strndup(s->arena, text + from, to - from);
    if (!piece) {
      status = error_oom(err);
      break;
    }
    PgQueryProtobufParseResult raw;
    PgQuery__ParseResult *tree = parse(s, piece, &raw);
    if (tree && tree->n_stmts == 1 && !add_statement(s, tree->stmts[0]->stmt, from, to)) status = error_oom(err);
    pg_query_free_protobuf_parse_result(raw);
  }
  pg_query_free_split_result(cut);
  return status;
}

/* A quote that never ends leaves the scanner without tokens: what stands before the statement it is in is split on its own. */
static enum status take_prefix(struct splitting *s, size_t end, struct error *err) {
  char *prefix = arena_strndup(s->arena, s->sql, end);
  if (!prefix) return error_oom(err);
  if (!sql_tokenize(prefix, s->arena, &s->tokens) || sql_guard_depth(&s->tokens).sqlstate) return reserve(s, 0) ? OK : error_oom(err);
  while (s->tokens.count && s->tokens.items[s->tokens.count - 1].kind != ';') s->tokens.count--;
  prefix[s->tokens.count ? s->tokens.items[s->tokens.count - 1].end : 0] = '\0';
  return take_pieces(s, prefix, err);
}

static enum status split_tokens(struct splitting *s, struct error *err) {
  PgQueryProtobufParseResult raw;
  PgQuery__ParseResult *tree = parse(s, s->sql, &raw);
  enum status status = OK;
  if (tree) {
    status = take_all(s, tree, err);
  } else if (raw.error) {
    size_t offset = offset_of_character(s->sql, s->len, raw.error->cursorpos);
    set_fault(s, "42601", explain(s, raw.error->message, offset), offset);
    status = s->tokens.items ? take_pieces(s, s->sql, err) : take_prefix(s, offset, err);
  } else {
    status = error_oom(err);
  }
  pg_query_free_protobuf_parse_result(raw);
  return status;
}

/* Editors on Windows put a byte order mark in front; blanks in its place keep every offset. */
static const char *without_mark(const char *sql, size_t len, struct arena *arena) {
  if (len < 3 || memcmp(sql, "\xEF\xBB\xBF", 3) != 0) return sql;
  char *copy = arena_strndup(arena, sql, len);
  if (copy) memset(copy, ' ', 3);
  return copy;
}

enum status sql_split(const char *sql, size_t len, struct arena *arena, struct sql_script *ret_script, struct error *err) {
  struct sql_script script = {0};
  sql = without_mark(sql, len, arena);
  if (!sql) return error_oom(err);
  struct splitting s = {.sql = sql, .len = len, .arena = arena, .cursor = {sql, {0, 1, 1}}, .script = &script};
  struct sql_refusal refusal = sql_guard_text(sql, len);
  if (!refusal.sqlstate && sql_tokenize(sql, arena, &s.tokens)) refusal = sql_guard_depth(&s.tokens);
  enum status status = OK;
  if (refusal.sqlstate) {
    set_fault(&s, refusal.sqlstate, refusal.message, refusal.offset);
    if (!reserve(&s, 0)) status = error_oom(err);
  } else {
    status = split_tokens(&s, err);
  }
  if (status == OK) *ret_script = script;
  return status;
}
