/* text.c - printing names, types and expressions the way PostgreSQL's catalogs print them, so that they compare as strings. */
#include "worker/sql/text.h"

#include "common/utf8.h"

#include <pg_query.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/guard.h"
#include "worker/sql/tree.h"

enum keyword_category { UNRESERVED_KEYWORD, COL_NAME_KEYWORD, TYPE_FUNC_NAME_KEYWORD, RESERVED_KEYWORD };
struct keyword {
  const char *name;
  enum keyword_category category;
};
static const struct keyword keywords[] = {
/* sorted by name */
#define PG_KEYWORD(name, value, category, label) {name, category},
#include <pg_query/postgres/parser/kwlist.h>
#undef PG_KEYWORD
};

static int keyword_compare(const void *name, const void *row) { return strcmp(name, ((const struct keyword *)row)->name); }

static bool plain(const char *name) {
  if (!((*name >= 'a' && *name <= 'z') || *name == '_')) return false;
  for (const char *c = name; *c; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_')) return false;
  const struct keyword *keyword = bsearch(name, keywords, sizeof keywords / sizeof *keywords, sizeof *keywords, keyword_compare);
  return !keyword || keyword->category == UNRESERVED_KEYWORD;
}

static void put_ident(struct buf *out, const char *name) {
  if (plain(name)) {
    buf_puts(out, name);
    return;
  }
  buf_putc(out, '"');
  for (const char *c = name; *c; c++) {
    if (*c == '"') buf_putc(out, '"');
    buf_putc(out, *c);
  }
  buf_putc(out, '"');
}

static const char *finish(struct buf *out, struct arena *arena) {
  return buf_ok(out) ? arena_strndup(arena, buf_str(out), out->len) : NULL;
}

const char *sql_ident(struct arena *arena, const char *name) {
  if (plain(name)) return name;
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  put_ident(&out, name);
  return finish(&out, arena);
}

const char *sql_qualified(struct arena *arena, const char *schema, const char *name) {
  if (!schema) return sql_ident(arena, name);
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  put_ident(&out, schema);
  buf_putc(&out, '.');
  put_ident(&out, name);
  return finish(&out, arena);
}

const char *sql_made_name(struct arena *arena, const char *first, const char *second, const char *label) {
  size_t one = strlen(first), two = second ? strlen(second) : 0, rest = strlen(label) + 1 + (two ? 1 : 0);
  const char *joint = two ? "_" : "";
  while (one + two + rest > SQL_NAME_BYTES && one + two) *(one > two ? &one : &two) -= 1;
  one = utf8_cut(first, one);
  two = two ? utf8_cut(second, two) : 0;
  return arena_printf(arena, "%.*s%s%.*s_%s", (int)one, first, joint, (int)two, two ? second : "", label);
}

const char *sql_ident_list(struct arena *arena, const char *const *names, size_t count) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  for (size_t i = 0; i < count; i++) {
    if (i) buf_puts(&out, ", ");
    put_ident(&out, names[i]);
  }
  return finish(&out, arena);
}

const char *sql_literal(struct arena *arena, const char *text) {
  BUF_AUTO out;
  buf_init(&out, 4 * LIMIT_SQL_BYTES);
  bool escapes = strchr(text, '\\') != NULL;
  buf_puts(&out, escapes ? "E'" : "'");
  for (const char *c = text; *c; c++) {
    if (*c == '\'' || *c == '\\') buf_putc(&out, *c);
    buf_putc(&out, *c);
  }
  buf_putc(&out, '\'');
  return finish(&out, arena);
}

/* Internal names of types whose SQL spelling differs. `suffix` comes after the modifiers: time(3) without time zone. */
static const struct {
  const char *internal, *spelled, *suffix;
} spellings[] = {
    {"int2", "smallint", ""},
    {"int4", "integer", ""},
    {"int", "integer", ""},
    {"int8", "bigint", ""},
    {"float4", "real", ""},
    {"float8", "double precision", ""},
    {"bool", "boolean", ""},
    {"varchar", "character varying", ""},
    {"bpchar", "character", ""},
    {"varbit", "bit varying", ""},
    {"decimal", "numeric", ""},
    {"timestamp", "timestamp", " without time zone"},
    {"timestamptz", "timestamp", " with time zone"},
    {"time", "time", " without time zone"},
    {"timetz", "time", " with time zone"},
};

/* An interval's fields, by the mask that the parser makes of them (INTERVAL_MASK of utils/timestamp.h). */
static void put_fields(struct buf *out, long mask) {
  enum { MONTH = 1 << 1, YEAR = 1 << 2, DAY = 1 << 3, HOUR = 1 << 10, MINUTE = 1 << 11, SECOND = 1 << 12 };
  static const struct {
    long mask;
    const char *text;
  } fields[] = {{YEAR, " year"},
                {MONTH, " month"},
                {DAY, " day"},
                {HOUR, " hour"},
                {MINUTE, " minute"},
                {SECOND, " second"},
                {YEAR | MONTH, " year to month"},
                {DAY | HOUR, " day to hour"},
                {DAY | HOUR | MINUTE, " day to minute"},
                {DAY | HOUR | MINUTE | SECOND, " day to second"},
                {HOUR | MINUTE, " hour to minute"},
                {HOUR | MINUTE | SECOND, " hour to second"},
                {MINUTE | SECOND, " minute to second"}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (fields[i].mask == mask) buf_puts(out, fields[i].text);
}

/* pg_catalog is left out, and so is what only restates a default: an interval of all fields. */
static void put_modifiers(struct buf *out, const char *name, const PgQuery__TypeName *type) {
  size_t first = 0, count = type->n_typmods;
  long value;
  if (strcmp(name, "interval") == 0) first = count ? 1 : 0;
  if (first && sql_node_int(type->typmods[0], &value)) put_fields(out, value);
  if (strcmp(name, "bpchar") == 0 && count == 1 && sql_node_int(type->typmods[0], &value) && value == 1) {
    buf_puts(out, "(1)");
    return;
  }
  for (size_t i = first; i < count; i++) {
    buf_putc(out, i == first ? '(' : ',');
    if (sql_node_int(type->typmods[i], &value)) {
      if (strcmp(name, "numeric") == 0 && count == 1)
        buf_printf(out, "%ld,0", value);
      else
        buf_printf(out, "%ld", value);
    } else {
      buf_putc(out, '?');
    }
  }
  if (count > first) buf_putc(out, ')');
}

const char *sql_type(struct arena *arena, const PgQuery__TypeName *type) {
  const char *schema, *name;
  sql_name_split(type->n_names, type->names, &schema, &name);
  if (!name) return NULL;
  BUF_AUTO out;
  buf_init(&out, LIMIT_SQL_BYTES);
  bool builtin = !schema || strcmp(schema, "pg_catalog") == 0;
  const char *spelled = NULL, *suffix = "";
  for (size_t i = 0; builtin && i < sizeof spellings / sizeof *spellings; i++) {
    if (strcmp(spellings[i].internal, name) != 0) continue;
    spelled = spellings[i].spelled;
    suffix = spellings[i].suffix;
  }
  if (!builtin) {
    put_ident(&out, schema);
    buf_putc(&out, '.');
  }
  if (spelled || (builtin && schema))
    buf_puts(&out, spelled ? spelled : name);
  else
    put_ident(&out, name);
  put_modifiers(&out, name, type);
  buf_puts(&out, suffix);
  if (type->n_array_bounds) buf_puts(&out, "[]");
  return finish(&out, arena);
}

/* libpg_query's printer reads through the value SET STATISTICS DEFAULT doesn't have; -1 means the same. */
static bool give_statistics(void *arg, PgQuery__Node *node) {
  static PgQuery__Integer number = PG_QUERY__INTEGER__INIT;
  static PgQuery__Node standard = PG_QUERY__NODE__INIT;
  (void)arg;
  number.ival = -1;
  standard.node_case = PG_QUERY__NODE__NODE_INTEGER;
  standard.integer = &number;
  if (node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD &&
      node->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetStatistics && !node->alter_table_cmd->def)
    node->alter_table_cmd->def = &standard;
  return true;
}

const char *sql_statement_text(struct arena *arena, PgQuery__Node *statement) {
  sql_walk(statement, give_statistics, NULL);
  PgQuery__RawStmt raw = PG_QUERY__RAW_STMT__INIT;
  raw.stmt = statement;
  PgQuery__RawStmt *list[] = {&raw};
  PgQuery__ParseResult tree = PG_QUERY__PARSE_RESULT__INIT;
  tree.version = PG_VERSION_NUM;
  tree.n_stmts = 1;
  tree.stmts = list;
  size_t size = pg_query__parse_result__get_packed_size(&tree);
  uint8_t *packed = arena_alloc(arena, size + 1);
  if (!packed) return NULL;
  pg_query__parse_result__pack(&tree, packed);
  PgQueryDeparseResult printed = pg_query_deparse_protobuf((PgQueryProtobuf){size, (char *)packed});
  const char *text = printed.error ? NULL : arena_strdup(arena, printed.query);
  pg_query_free_deparse_result(printed);
  return text;
}

const char *sql_expression(struct arena *arena, PgQuery__Node *expression) {
  PgQuery__ResTarget target = PG_QUERY__RES_TARGET__INIT;
  target.val = expression;
  PgQuery__Node item = PG_QUERY__NODE__INIT;
  item.node_case = PG_QUERY__NODE__NODE_RES_TARGET;
  item.res_target = &target;
  PgQuery__Node *items[] = {&item};
  PgQuery__SelectStmt select = PG_QUERY__SELECT_STMT__INIT;
  select.n_target_list = 1;
  select.target_list = items;
  select.limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
  select.op = PG_QUERY__SET_OPERATION__SETOP_NONE;
  PgQuery__Node statement = PG_QUERY__NODE__INIT;
  statement.node_case = PG_QUERY__NODE__NODE_SELECT_STMT;
  statement.select_stmt = &select;
  const char *text = sql_statement_text(arena, &statement);
  return text && strncmp(text, "SELECT ", 7) == 0 ? text + 7 : NULL;
}

PgQuery__Node *sql_parse_statement(struct arena *arena, const char *text) {
  struct sql_tokens tokens;
  if (!text || sql_guard_text(text, strlen(text)).sqlstate) return NULL;
  if (!sql_tokenize(text, arena, &tokens) || sql_guard_depth(&tokens).sqlstate) return NULL;
  PgQueryProtobufParseResult raw = pg_query_parse_protobuf(text);
  ProtobufCAllocator allocator;
  sql_allocator(arena, &allocator);
  PgQuery__ParseResult *tree =
      raw.error ? NULL : pg_query__parse_result__unpack(&allocator, raw.parse_tree.len, (const uint8_t *)raw.parse_tree.data);
  pg_query_free_protobuf_parse_result(raw);
  return tree && tree->n_stmts == 1 ? tree->stmts[0]->stmt : NULL;
}

PgQuery__Node *sql_parse_expression(struct arena *arena, const char *text) {
  if (!text) return NULL;
  PgQuery__Node *statement = sql_parse_statement(arena, arena_printf(arena, "SELECT %s", text));
  if (!statement || statement->node_case != PG_QUERY__NODE__NODE_SELECT_STMT || statement->select_stmt->n_target_list != 1) return NULL;
  return statement->select_stmt->target_list[0]->res_target->val;
}
