/* format_sql.c - SQL: a statement, with the comments before it, is a passage by itself, and says which tables it names.
 *
 * What does not parse (psql's commands, rows of COPY, another dialect) is read as text in paragraphs: still found, without tables. */
#include <ctype.h>
#include <strings.h>

#include "common/limits.h"
#include "worker/context/extract.h"
#include "worker/sql/split.h"

#define TABLES_MAX 32 /* of one statement */

static const char *const first_words[] = {"create", "select", "insert",  "update", "delete",  "alter", "drop",
                                          "with",   "begin",  "set",     "grant",  "comment", "merge", "truncate",
                                          "do",     "copy",   "explain", "vacuum", "analyze", NULL};

/* Past blanks and comments. */
static size_t skip_comments(const char *text, size_t len) {
  size_t at = 0;
  for (;;) {
    while (at < len && strchr(" \t\r\n", text[at])) at++;
    const char *end = NULL;
    if (at + 1 < len && text[at] == '-' && text[at + 1] == '-') end = memchr(text + at, '\n', len - at);
    if (at + 1 < len && text[at] == '/' && text[at + 1] == '*') end = memmem(text + at, len - at, "*/", 2), end = end ? end + 1 : NULL;
    if (!end) return at;
    at = (size_t)(end - text) + 1;
  }
}

static bool begins_like_sql(const char *text, size_t len) {
  size_t at = skip_comments(text, len), word = 0;
  while (at + word < len && isalpha((unsigned char)text[at + word])) word++;
  for (const char *const *known = first_words; *known; known++)
    if (strlen(*known) == word && strncasecmp(text + at, *known, word) == 0) return true;
  return false;
}

/* --- what psql reads itself --- */

static bool begins(const char *line, size_t len, const char *word) {
  return len >= strlen(word) && strncasecmp(line, word, strlen(word)) == 0;
}

/* "COPY t (a, b) FROM stdin;": what follows are rows, up to a line with \. alone. */
static bool takes_rows(const char *line, size_t len) {
  while (len && strchr(" \t\r", line[len - 1])) len--;
  return begins(line, len, "copy ") && len > 11 && strncasecmp(line + len - 11, "from stdin;", 11) == 0;
}

/* Where the rows that begin at `from` end: behind their last line; at `from` when nothing ends them. */
static size_t rows_end(const char *text, size_t len, size_t from) {
  const char *end = memmem(text + from, len - from, "\n\\.", 3), *line = end ? memchr(end + 1, '\n', len - (size_t)(end + 1 - text)) : NULL;
  if (!end) return from;
  return line ? (size_t)(line - text) : len;
}

/* The script with blanks for psql's own lines and for rows of COPY: the statements around them parse, and every offset stays. */
static const char *without_psql(const char *text, size_t len, struct arena *arena) {
  char *copy = arena_strndup(arena, text, len);
  for (size_t at = 0, next; copy && at < len; at = next) {
    const char *end = memchr(text + at, '\n', len - at);
    size_t to = end ? (size_t)(end - text) : len, blank = text[at] == '\\' ? at : to;
    next = takes_rows(text + at, to - at) ? rows_end(text, len, to) : to;
    for (size_t i = blank; i < next; i++)
      if (copy[i] != '\n') copy[i] = ' ';
    next = next < len ? next + 1 : len;
  }
  return copy;
}

static enum status split(const char *bytes, size_t len, struct arena *arena, struct sql_script *ret_script, struct error *err) {
  const char *text = without_psql(bytes, len, arena);
  return text ? sql_split(text, len, arena, ret_script, err) : error_oom(err);
}

/* Prose may begin with such a word ("With this release …"): it has to parse. */
static bool is_sql(const char *bytes, size_t len, bool named) {
  if (named) return true;
  if (len > LIMIT_SQL_BYTES || !begins_like_sql(bytes, len)) return false;
  ARENA_AUTO arena = arena_new((size_t)256 << 20);
  struct sql_script script = {0};
  ERROR_AUTO err = {0};
  return arena && split(bytes, len, arena, &script, &err) == OK && !script.fault.sqlstate && script.count > 0;
}

/* --- tables --- */

struct names {
  struct arena *arena;
  const char **items;
  size_t count;
};

static void add_name(struct names *names, const PgQuery__RangeVar *relation) {
  bool qualified = relation->schemaname && *relation->schemaname;
  if (!relation->relname || !*relation->relname || names->count == TABLES_MAX) return;
  const char *name = arena_printf(names->arena, "%s%s%s", qualified ? relation->schemaname : "", qualified ? "." : "", relation->relname);
  for (size_t i = 0; name && i < names->count; i++)
    if (strcmp(names->items[i], name) == 0) return;
  if (name) names->items[names->count++] = name;
}

static void find_names(struct names *names, const ProtobufCMessage *message);

/* A message of the tree, where the field holds one. How deep it goes was bounded before the tree was built (worker/sql/guard.h). */
static void find_in_field(struct names *names, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
  const char *at = (const char *)message + field->offset;
  if (field->type != PROTOBUF_C_TYPE_MESSAGE) return;
  if (field->label == PROTOBUF_C_LABEL_REPEATED) {
    size_t count = *(const size_t *)(const void *)((const char *)message + field->quantifier_offset);
    ProtobufCMessage *const *items = *(ProtobufCMessage *const *const *)(const void *)at;
    for (size_t i = 0; i < count; i++) find_names(names, items[i]);
    return;
  }
  bool one_of = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
  if (one_of && *(const uint32_t *)(const void *)((const char *)message + field->quantifier_offset) != field->id) return;
  find_names(names, *(ProtobufCMessage *const *)(const void *)at);
}

static void find_names(struct names *names, const ProtobufCMessage *message) {
  if (!message) return;
  if (message->descriptor == &pg_query__range_var__descriptor) add_name(names, (const PgQuery__RangeVar *)(const void *)message);
  for (unsigned i = 0; i < message->descriptor->n_fields; i++) find_in_field(names, message, &message->descriptor->fields[i]);
}

static const char **tables_of(struct extractor *extractor, const struct sql_statement *statement) {
  struct names names = {.arena = extractor->arena, .items = arena_calloc(extractor->arena, TABLES_MAX + 1, sizeof *names.items)};
  if (!names.items || !statement->node) return NULL;
  find_names(&names, &statement->node->base);
  return names.count ? names.items : NULL;
}

/* --- reading --- */

/* What is no statement: comments alone go with the next one, all else is text. Returns where that one begins. */
static size_t read_between(struct extractor *extractor, const char *bytes, size_t from, size_t to) {
  while (from < to && strchr("; \t\r\n", bytes[from])) from++;
  if (from + skip_comments(bytes + from, to - from) >= to) return from;
  extractor_paragraphs(extractor, BLOCK_CODE, bytes, from, to);
  return to;
}

static enum status read_sql(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct sql_script script = {0};
  enum status status = len <= LIMIT_SQL_BYTES ? split(bytes, len, extractor->arena, &script, err) : OK;
  size_t at = 0;
  for (size_t i = 0; i < script.count && !status && !extractor->failed; i++) {
    const struct sql_statement *statement = &script.statements[i];
    size_t end = statement->at.offset + statement->length, from = read_between(extractor, bytes, at, statement->at.offset);
    const char **tables = tables_of(extractor, statement);
    extractor_block(extractor, (struct block){.kind = BLOCK_STATEMENT, .from = from, .to = end, .tables = tables});
    at = end;
  }
  if (!status && (at = read_between(extractor, bytes, at, len)) < len) extractor_paragraphs(extractor, BLOCK_CODE, bytes, at, len);
  return status;
}

const struct format format_sql = {.content_type = "application/sql", .is = is_sql, .extensions = "sql ddl psql", .read = read_sql};
