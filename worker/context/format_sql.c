/* format_sql.c - SQL: a statement, with the comments before it, is a passage by itself, and says which tables it names.
 *
 * What does not parse (psql's commands, another dialect) is read as text in paragraphs: still found, without tables. */
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

/* Prose may begin with such a word ("With this release …"): it has to parse. */
static bool is_sql(const char *bytes, size_t len, bool named) {
  if (named) return true;
  if (len > LIMIT_SQL_BYTES || !begins_like_sql(bytes, len)) return false;
  ARENA_AUTO arena = arena_new((size_t)256 << 20);
  struct sql_script script = {0};
  ERROR_AUTO err = {0};
  return arena && sql_split(bytes, len, arena, &script, &err) == OK && !script.fault.sqlstate && script.count > 0;
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

static void read_paragraphs(struct extractor *extractor, const char *bytes, size_t from, size_t len) {
  for (size_t at = from; at < len && !extractor->failed;) {
    const char *end = memmem(bytes + at, len - at, "\n\n", 2);
    size_t to = end ? (size_t)(end - bytes) : len;
    extractor_span(extractor, BLOCK_CODE, 0, bytes, at, to);
    at = to + 2;
  }
}

static enum status read_sql(struct extractor *extractor, const char *bytes, size_t len, struct error *err) {
  struct sql_script script = {0};
  enum status status = len <= LIMIT_SQL_BYTES ? sql_split(bytes, len, extractor->arena, &script, err) : OK;
  if (status) return status;
  size_t at = 0;
  for (size_t i = 0; i < script.count && !script.fault.sqlstate; i++) {
    const struct sql_statement *statement = &script.statements[i];
    size_t end = statement->at.offset + statement->length;
    size_t before = extractor->count;
    while (at < statement->at.offset && strchr("; \t\r\n", bytes[at])) at++;
    if (!extractor_span(extractor, BLOCK_STATEMENT, 0, bytes, at, end)) return OK;
    if (extractor->count > before) extractor->blocks[before].tables = tables_of(extractor, statement);
    at = end;
  }
  if (script.fault.sqlstate || !script.count) read_paragraphs(extractor, bytes, 0, len);
  return OK;
}

const struct format format_sql = {.content_type = "application/sql", .is = is_sql, .extensions = "sql ddl psql", .read = read_sql};
