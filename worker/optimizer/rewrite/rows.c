/* rows.c - see rows.h. */
#include "worker/optimizer/rewrite/rows.h"

#include <ctype.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/guard.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define VALUES_MAX 48
#define OWN_MAX 30 /* of them from the query */
#define OWN_FEW 4  /* of those, that most values of a data set are */
#define TABLES_MAX 24

enum family { INT, NUMBER, TEXT, BOOLEAN, MOMENT, UUID, INTERVAL, TIME, JSON, BYTES, ADDRESS, ARRAY, FAMILIES, ENUM, UNKNOWN };

struct value {
  const char *sql, *raw; /* an expression; the same as a parameter's text, NULL when there is none */
};
struct pool {
  struct value values[VALUES_MAX];
  int count, own; /* own: those of the query, which come first */
};

struct rows {
  struct arena *arena;
  const struct snapshot *snapshot;
  struct pool pools[FAMILIES];
  const struct snap_table *tables[TABLES_MAX];                  /* parents first */
  int table_count, read_count;                                  /* read_count: relations the query itself reads */
  const struct snap_table *read[TABLES_MAX], *kept[TABLES_MAX]; /* kept: materialised views among them */
  int kept_count;
  uint64_t random;
  bool complete; /* values that belong to no query stand behind those that do */
};

/* --- pools --- */

static void add(struct rows *rows, enum family family, const char *sql, const char *raw) {
  struct pool *pool = &rows->pools[family];
  if (!sql || pool->count == VALUES_MAX) return;
  for (int i = 0; i < pool->count; i++)
    if (strcmp(pool->values[i].sql, sql) == 0) return;
  pool->values[pool->count++] = (struct value){sql, raw};
}

static void add_int(struct rows *rows, int64_t number) {
  const char *text = arena_printf(rows->arena, "%lld", (long long)number);
  if (rows->pools[INT].count < OWN_MAX) add(rows, INT, text, text);
  if (rows->pools[NUMBER].count < OWN_MAX) add(rows, NUMBER, text, text);
}

static void add_text(struct rows *rows, const char *text) {
  if (rows->pools[TEXT].count < OWN_MAX) add(rows, TEXT, sql_literal(rows->arena, text), text);
}

static void add_moment(struct rows *rows, const char *from, const char *shift) {
  const char *sql =
      *shift ? arena_printf(rows->arena, "timestamp '%s' + interval '%s'", from, shift) : arena_printf(rows->arena, "timestamp '%s'", from);
  add(rows, MOMENT, sql, *shift ? NULL : from);
}

static void add_day(struct rows *rows, const char *day) {
  static const char *const shifts[] = {"",      "12:00", "-0.000001 s", "1 day", "1 day -0.000001 s", "1 month", "1 month -0.000001 s",
                                       "1 year"};
  for (size_t i = 0; i < sizeof shifts / sizeof *shifts && rows->pools[MOMENT].count < OWN_MAX; i++) add_moment(rows, day, shifts[i]);
}

static bool is_day(const char *text) {
  for (int i = 0; i < 10; i++)
    if (i == 4 || i == 7 ? text[i] != '-' : !isdigit((unsigned char)text[i])) return false;
  long month = strtol(text + 5, NULL, 10), day = strtol(text + 8, NULL, 10);
  return month >= 1 && month <= 12 && day >= 1 && day <= 28 + 3 * (month != 2) && strncmp(text, "0000", 4) != 0;
}

static bool is_uuid(const char *text) {
  if (strlen(text) != 36) return false;
  for (int i = 0; i < 36; i++)
    if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' : !isxdigit((unsigned char)text[i])) return false;
  return true;
}

/* The parts of a pattern that are no wildcards: something that matches it. */
static const char *matching(struct rows *rows, const char *pattern) {
  char *made = arena_strdup(rows->arena, pattern), *to = made;
  if (!made || !strpbrk(pattern, "%_")) return NULL;
  for (const char *c = pattern; *c; c++) {
    if (*c == '\\' && c[1])
      c++, *to++ = *c;
    else if (*c == '_')
      *to++ = 'z';
    else if (*c != '%')
      *to++ = *c;
  }
  *to = '\0';
  return made;
}

static void take_string(struct rows *rows, const char *text) {
  if (strlen(text) > 200) return;
  add_text(rows, text);
  const char *match = matching(rows, text);
  if (match) add_text(rows, match);
  if (strlen(text) < 100) add_text(rows, arena_printf(rows->arena, "%sx", text));
  if (is_day(text)) add_day(rows, arena_strndup(rows->arena, text, 10));
  if (is_uuid(text)) add(rows, UUID, arena_printf(rows->arena, "'%s'", text), text);
  if ((*text == '{' || *text == '[') && rows->pools[JSON].count < OWN_MAX) add(rows, JSON, sql_literal(rows->arena, text), text);
}

static void take_int(struct rows *rows, int64_t number) {
  if (number > 4000000000LL || number < -4000000000LL) return;
  for (int i = 0; i < rows->pools[INT].own && i < 6; i++) { /* k and v of c + k = v */
    int64_t other = strtoll(rows->pools[INT].values[i].sql, NULL, 10);
    add_int(rows, number - other);
    add_int(rows, number + other);
    if (other && number % other == 0) add_int(rows, number / other);
  }
  add_int(rows, number);
  add_int(rows, number - 1);
  add_int(rows, number + 1);
  rows->pools[INT].own = rows->pools[INT].count;
  if (number < 1900 || number > 2100) return;
  add_moment(rows, arena_printf(rows->arena, "%lld-01-01", (long long)number), "");
  add_moment(rows, arena_printf(rows->arena, "%lld-01-01", (long long)number), "-0.000001 s");
  add_moment(rows, arena_printf(rows->arena, "%lld-01-01", (long long)number + 1), "");
}

static void take_number(struct rows *rows, const char *text) {
  char *end;
  double number = strtod(text, &end);
  if (*end || number > 1e9 || number < -1e9 || strlen(text) > 30) return;
  add(rows, NUMBER, text, text);
  take_int(rows, (int64_t)number);
}

static bool see_constant(void *arg, PgQuery__Node *node) {
  struct rows *rows = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull) return true;
  const PgQuery__AConst *constant = node->a_const;
  if (constant->val_case == PG_QUERY__A__CONST__VAL_IVAL) take_int(rows, constant->ival->ival);
  if (constant->val_case == PG_QUERY__A__CONST__VAL_FVAL) take_number(rows, constant->fval->fval);
  if (constant->val_case == PG_QUERY__A__CONST__VAL_SVAL) take_string(rows, constant->sval->sval);
  return true;
}

static void take_expression(struct rows *rows, const char *text) { sql_walk(sql_parse_expression(rows->arena, text), see_constant, rows); }

/* Constants of what a row has to satisfy: CHECKs, partition bounds. */
static void take_tokens(struct rows *rows, const char *text) {
  struct sql_tokens tokens;
  if (!text || !sql_tokenize(text, rows->arena, &tokens)) return;
  for (size_t i = 0; i < tokens.count && i < 200; i++) {
    const struct sql_token *token = &tokens.items[i];
    bool constant =
        token->kind == PG_QUERY__TOKEN__ICONST || token->kind == PG_QUERY__TOKEN__SCONST || token->kind == PG_QUERY__TOKEN__FCONST;
    if (constant) take_expression(rows, arena_strndup(rows->arena, text + token->start, (size_t)(token->end - token->start)));
  }
}

static void take_constraints(struct rows *rows, const struct snap_table *table) {
  for (size_t i = 0; i < table->constraint_count; i++)
    if (table->constraints[i].type == 'c') take_tokens(rows, table->constraints[i].definition);
  for (size_t i = 0; table->kind == SNAP_PARTITIONED && i < table->partition_count && i < 4; i++)
    take_tokens(rows, table->partitions[i]->partition_bound);
}

static const struct {
  enum family family;
  const char *values[10];
} basics[] = {{INT, {"1", "2", "3", "0", "4", "5", "-1", "6", "7", "8"}},
              {NUMBER, {"1", "2", "0", "1.5", "-1", "10", "3"}},
              {TEXT, {"a", "b", "", "A", "ab", "c", "d"}},
              {BOOLEAN, {"true", "false"}},
              {UUID,
               {"00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000003",
                "00000000-0000-0000-0000-000000000004", "00000000-0000-0000-0000-000000000005"}},
              {INTERVAL, {"0", "1 day", "1 month", "-1 day", "1 hour"}},
              {TIME, {"00:00", "12:30", "23:59:59.999999"}},
              {JSON, {"{}", "{\"a\": 1}", "[1, 2]", "null"}},
              {BYTES, {"\\x00", "\\x"}},
              {ADDRESS, {"10.0.0.1", "10.0.0.2"}},
              {ARRAY, {"{}"}}};

static void add_basics(struct rows *rows) {
  static const char *const moments[] = {"localtimestamp", "date_trunc('day', localtimestamp)", "localtimestamp - interval '1 day'",
                                        "date_trunc('month', localtimestamp)", "date_trunc('day', localtimestamp) + interval '1 day'"};
  rows->complete = true;
  for (size_t k = 0; k < FAMILIES; k++) rows->pools[k].own = rows->pools[k].count;
  for (size_t k = 0; k < sizeof basics / sizeof *basics; k++)
    for (size_t i = 0; i < 10 && basics[k].values[i]; i++) {
      const char *raw = basics[k].values[i];
      add(rows, basics[k].family, basics[k].family <= NUMBER ? raw : sql_literal(rows->arena, raw), raw);
    }
  add_moment(rows, "2024-01-01", "");
  add_moment(rows, "2024-02-29", "12:00");
  add_moment(rows, "2024-01-02", "");
  for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) add(rows, MOMENT, moments[i], NULL);
}

/* --- tables --- */

static bool listed(const struct snap_table *const *list, int count, const struct snap_table *table) {
  for (int i = 0; i < count; i++)
    if (list[i] == table) return true;
  return false;
}

static void take_table(struct rows *rows, const struct snap_table *table, int depth) {
  if (depth > 12 || listed(rows->tables, rows->table_count, table)) return;
  if (table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW) {
    for (size_t i = 0; i < table->depends_on_count; i++) take_table(rows, table->depends_on[i], depth + 1);
    if (table->kind == SNAP_MATVIEW && rows->kept_count < TABLES_MAX && !listed(rows->kept, rows->kept_count, table))
      rows->kept[rows->kept_count++] = table;
    return;
  }
  if (table->kind != SNAP_TABLE && table->kind != SNAP_PARTITIONED) return;
  for (size_t i = 0; i < table->fk_count; i++)
    if (table->fks[i].ref && table->fks[i].ref != table) take_table(rows, table->fks[i].ref, depth + 1);
  if (rows->table_count == TABLES_MAX || listed(rows->tables, rows->table_count, table)) return;
  rows->tables[rows->table_count++] = table;
  take_constraints(rows, table);
}

enum status rows_new(const struct snapshot *snapshot, PgQuery__Node *statement, const struct query_resolution *names,
                     const char *const *values, int value_count, struct arena *arena, struct rows **ret_rows, struct error *err) {
  struct rows *rows = ARENA_NEW(arena, struct rows);
  if (!rows) return error_oom(err);
  *rows = (struct rows){.arena = arena, .snapshot = snapshot};
  sql_walk(statement, see_constant, rows);
  for (int i = 0; values && i < value_count; i++)
    if (values[i]) take_expression(rows, values[i]);
  for (size_t i = 0; i < names->relation_count; i++) {
    const struct snap_table *table = names->relations[i].table;
    take_table(rows, table, 0);
    if (rows->read_count < TABLES_MAX && !listed(rows->read, rows->read_count, table)) rows->read[rows->read_count++] = table;
  }
  *ret_rows = rows;
  return OK;
}

void rows_take(struct rows *rows, PgQuery__Node *statement) { sql_walk(statement, see_constant, rows); }

/* --- choosing --- */

static uint32_t roll(struct rows *rows, uint32_t sides) { /* splitmix64 */
  uint64_t z = (rows->random += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (uint32_t)((z ^ (z >> 31)) >> 16) % sides;
}

static const struct snap_enum *enum_named(const struct rows *rows, const char *type) {
  const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
  for (size_t i = 0; i < rows->snapshot->enum_count; i++)
    if (strcmp(rows->snapshot->enums[i].name, name) == 0) return &rows->snapshot->enums[i];
  return NULL;
}

/* A domain that asks for an @ asks for an e-mail address, more or less. */
static bool is_address(const struct rows *rows, const char *type) {
  const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type;
  for (size_t i = 0; i < rows->snapshot->domain_count; i++) {
    const struct snap_domain *domain = &rows->snapshot->domains[i];
    for (size_t c = 0; strcmp(domain->name, name) == 0 && c < domain->check_count; c++)
      if (strchr(domain->checks[c], '@')) return true;
  }
  return false;
}

static const char *beneath_domains(const struct rows *rows, const char *type) {
  for (int depth = 0; depth < 8; depth++) {
    const char *dot = strrchr(type, '.'), *name = dot ? dot + 1 : type, *base = NULL;
    for (size_t i = 0; !base && i < rows->snapshot->domain_count; i++)
      if (strcmp(rows->snapshot->domains[i].name, name) == 0) base = rows->snapshot->domains[i].base_type;
    if (!base) break;
    type = base;
  }
  return type;
}

static enum family family_of(const struct rows *rows, const char *type) {
  static const struct {
    const char *prefix;
    enum family family;
  } families[] = {{"smallint", INT}, {"integer", INT},       {"bigint", INT},      {"oid", INT},     {"numeric", NUMBER},
                  {"real", NUMBER},  {"double", NUMBER},     {"money", NUMBER},    {"text", TEXT},   {"character", TEXT},
                  {"citext", TEXT},  {"name", TEXT},         {"boolean", BOOLEAN}, {"date", MOMENT}, {"timestamp", MOMENT},
                  {"uuid", UUID},    {"interval", INTERVAL}, {"time", TIME},       {"json", JSON},   {"bytea", BYTES},
                  {"inet", ADDRESS}, {"cidr", ADDRESS}};
  type = beneath_domains(rows, type);
  size_t len = strlen(type);
  if (len > 2 && strcmp(type + len - 2, "[]") == 0) return ARRAY;
  if (enum_named(rows, type)) return ENUM;
  for (size_t i = 0; i < sizeof families / sizeof *families; i++)
    if (strncmp(type, families[i].prefix, strlen(families[i].prefix)) == 0 && !strstr(type, "range")) return families[i].family;
  return UNKNOWN;
}

static const char *extreme(struct rows *rows, const char *type, enum family family) {
  static const char *const ints[][2] = {{"smallint", "32767"}, {"integer", "2147483647"}, {"bigint", "9223372036854775807"}};
  static const char *const moments[] = {"'infinity'", "'-infinity'", "'0001-01-01'"};
  static const char *const texts[] = {"'%'", "E'\\\\'", "'É'", "'_'", "' a'"};
  for (size_t i = 0; family == INT && i < 3; i++)
    if (strncmp(type, ints[i][0], strlen(ints[i][0])) == 0)
      return roll(rows, 2) ? ints[i][1] : arena_printf(rows->arena, "-%s", ints[i][1]);
  if (family == NUMBER) return roll(rows, 2) ? "'NaN'" : "99999999.99";
  if (family == MOMENT) return moments[roll(rows, 3)];
  return family == TEXT ? texts[roll(rows, 5)] : NULL;
}

static const char *value_at(struct rows *rows, const char *type, enum family family, int at) {
  if (family == ENUM) {
    const struct snap_enum *labels = enum_named(rows, beneath_domains(rows, type));
    return labels && labels->label_count ? sql_literal(rows->arena, labels->labels[(size_t)at % labels->label_count]) : NULL;
  }
  if (family == UNKNOWN) return NULL;
  const struct pool *pool = &rows->pools[family];
  if (family == TEXT && is_address(rows, type)) return arena_printf(rows->arena, "'a%d@example.org'", at);
  if (at >= pool->count) { /* of a key: there have to be enough of them */
    if (family == INT || family == NUMBER) return arena_printf(rows->arena, "%d", 100 + at);
    if (family == TEXT) return arena_printf(rows->arena, "'k%d'", at);
    if (family == UUID) return arena_printf(rows->arena, "'00000000-0000-0000-0000-0000000001%02d'", at % 100);
    if (family == MOMENT) return arena_printf(rows->arena, "timestamp '2024-03-01' + interval '%d days'", at);
  }
  return pool->count ? pool->values[at % pool->count].sql : NULL;
}

/* --- data sets --- */

struct set {
  uint32_t nulls; /* percent of what may be NULL */
  uint32_t own;   /* percent of values that are one of a few of the query's own: few, so that they meet */
  int first;      /* where those few begin: each has its turn */
  int spread;     /* values besides the query's own that a column takes; few make ties */
  bool extremes;
  const struct snap_table *empty; /* that one table has no rows */
  int rows;
};

static struct set set_of(const struct rows *rows, int set) {
  int room = rows->read_count <= 3 ? 10 : rows->read_count <= 5 ? 7 : 4;
  struct set made = {.nulls = 25, .own = 50, .spread = 4, .rows = room};
  if (set == 0) made.rows = 0;
  if (set == 1) made.nulls = 0, made.spread = 2;
  if (set == 3) made.nulls = 65;
  if (set == 4) made.extremes = true;
  if (set >= 5 && set <= 7 && rows->read_count) made.empty = rows->read[(set - 5) % rows->read_count];
  if (set == 8) made.nulls = 5, made.spread = 1;
  if (set > 8) made.own = 85, made.nulls = (uint32_t)(set % 3) * 10, made.first = (set - 9) * (OWN_FEW - 1);
  return made;
}

static bool is_key(const struct snap_table *table, const struct snap_column *column, bool alone) {
  for (size_t i = 0; i < table->index_count; i++) {
    const struct snap_index *index = &table->indexes[i];
    for (size_t c = 0; index->unique && (!alone || index->column_count == 1) && c < index->column_count; c++)
      if (strcmp(index->columns[c], column->name) == 0) return true;
  }
  return false;
}

/* NULL: the column is left to its default. */
static const char *choose(struct rows *rows, const struct set *set, const struct snap_table *table, const struct snap_column *column,
                          int row) {
  enum family family = family_of(rows, column->type);
  bool key = is_key(table, column, true), reference = snap_table_refers_by(table, column->name);
  if (!column->not_null && roll(rows, 100) < set->nulls) return "NULL";
  int own = family < FAMILIES ? rows->pools[family].own : 0, at = (int)roll(rows, (uint32_t)(own + set->spread));
  if (reference && !key) at = (int)roll(rows, (uint32_t)(set->rows < 1 ? 1 : set->rows));
  if (own && roll(rows, 100) < set->own) at = (set->first + (int)roll(rows, own < OWN_FEW ? (uint32_t)own : OWN_FEW)) % own;
  if (family == ENUM) at = (int)roll(rows, 64);
  if (key) at = row;
  const char *far = set->extremes && !reference && roll(rows, 100) < 20 ? extreme(rows, column->type, family) : NULL;
  const char *value = far ? far : value_at(rows, column->type, family, at);
  return value ? value : column->default_expr ? NULL : "NULL";
}

static void put_row(struct rows *rows, const struct set *set, const struct snap_table *table, int row, struct buf *out) {
  BUF_AUTO names, values;
  buf_init(&names, LIMIT_SQL_BYTES);
  buf_init(&values, LIMIT_SQL_BYTES);
  for (size_t i = 0; i < table->column_count; i++) {
    const struct snap_column *column = &table->columns[i];
    const char *name = sql_ident(rows->arena, column->name), *value = column->generated ? NULL : choose(rows, set, table, column, row);
    if (!value || !name) continue;
    buf_printf(&names, "%s%s", names.len ? ", " : "", name);
    buf_printf(&values, "%s%s", values.len ? ", " : "", value);
  }
  if (!names.len) return;
  buf_printf(out, "BEGIN INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s); EXCEPTION WHEN OTHERS THEN NULL; END; ",
             sql_qualified(rows->arena, table->schema, table->name), buf_str(&names), buf_str(&values));
}

const char *rows_fill_sql(struct rows *rows, int number) {
  struct set set = set_of(rows, number);
  if (!rows->complete) add_basics(rows);
  rows->random = 0x5eed + (uint64_t)number * 7919;
  BUF_AUTO out;
  buf_init(&out, 8 * LIMIT_SQL_BYTES);
  buf_puts(&out, "BEGIN ");
  for (int t = 0; t < rows->table_count; t++)
    for (int row = 0; row < set.rows && rows->tables[t] != set.empty; row++) put_row(rows, &set, rows->tables[t], row, &out);
  for (int i = 0; i < rows->kept_count; i++)
    buf_printf(&out, "BEGIN REFRESH MATERIALIZED VIEW %s; EXCEPTION WHEN OTHERS THEN NULL; END; ",
               sql_qualified(rows->arena, rows->kept[i]->schema, rows->kept[i]->name));
  buf_puts(&out, "NULL; END");
  const char *body = buf_ok(&out) ? sql_literal(rows->arena, buf_str(&out)) : NULL;
  return body ? arena_printf(rows->arena, "DO %s", body) : NULL;
}

const char *rows_empty_sql(struct rows *rows) {
  const char *list = "";
  for (int i = 0; list && i < rows->table_count; i++) {
    const char *name = sql_qualified(rows->arena, rows->tables[i]->schema, rows->tables[i]->name),
               *text = name ? sql_literal(rows->arena, name) : NULL;
    list = text ? arena_printf(rows->arena, "%s%s(%s, EXISTS (SELECT FROM %s))", list, i ? ", " : "", text, name) : NULL;
  }
  return list && *list ? arena_printf(rows->arena,
                                      "SELECT pg_catalog.string_agg(pg_catalog.quote_literal(name), ', ') FROM (VALUES %s) t (name, "
                                      "filled) WHERE NOT filled",
                                      list)
                       : list;
}

const char *rows_parameter(struct rows *rows, int set, int number, Oid type) {
  static const struct {
    Oid type;
    enum family family;
  } types[] = {{21, INT},      {23, INT},      {20, INT},    {26, INT},        {1700, NUMBER}, {700, NUMBER},
               {701, NUMBER},  {25, TEXT},     {1043, TEXT}, {1042, TEXT},     {16, BOOLEAN},  {1082, MOMENT},
               {1114, MOMENT}, {1184, MOMENT}, {2950, UUID}, {1186, INTERVAL}, {3802, JSON},   {114, JSON}};
  rows->random = 0xfade + (uint64_t)set * 104729 + (uint64_t)number * 31;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (types[i].type != type) continue;
    const struct pool *pool = &rows->pools[types[i].family];
    if (set == 3 && roll(rows, 2)) return NULL;
    for (int tries = 0; pool->count && tries < 20; tries++) {
      const char *raw = pool->values[roll(rows, (uint32_t)(pool->own + 4 < pool->count ? pool->own + 4 : pool->count))].raw;
      if (raw) return raw;
    }
  }
  return type == 1009 || type == 1007 ? "{}" : NULL;
}
