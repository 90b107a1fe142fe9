/* rows.c - see rows.h. */
#include "worker/optimizer/rewrite/rows_impl.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/limits.h"
#include "common/list.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* --- tables --- */

static bool listed(const struct snap_table *const *list, int count, const struct snap_table *table) {
  for (int i = 0; i < count; i++)
    if (list[i] == table) return true;
  return false;
}

static bool may_be_null(const struct snap_fk *fk) {
  for (size_t i = 0; i < fk->column_count; i++) {
    const struct snap_column *column = snap_table_column(fk->table, fk->columns[i]);
    if (column && !column->not_null) return true;
  }
  return false;
}

/* A row of the table needs one of the other, by way of keys that may not be NULL. */
static bool needs(const struct snap_table *table, const struct snap_table *other, int depth) {
  for (size_t i = 0; i < table->fk_count && depth < 8; i++) {
    const struct snap_table *ref = table->fks[i].ref;
    if (ref && ref != table && !may_be_null(&table->fks[i]) && (ref == other || needs(ref, other, depth + 1))) return true;
  }
  return false;
}

static void take_table(struct rows *rows, const struct snap_table *table);

/* Parents: those that can be filled before the table, or those that need it. */
static void take_parents(struct rows *rows, const struct snap_table *table, bool after) {
  for (size_t i = 0; i < table->fk_count; i++) {
    const struct snap_table *ref = table->fks[i].ref;
    if (ref && ref != table && needs(ref, table, 0) == after) take_table(rows, ref);
  }
}

static void take_table(struct rows *rows, const struct snap_table *table) {
  if (rows->taking_count == TABLES_MAX || listed(rows->taking, rows->taking_count, table) || listed(rows->tables, rows->table_count, table))
    return;
  rows->taking[rows->taking_count++] = table;
  if (table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW)
    for (size_t i = 0; i < table->depends_on_count; i++) take_table(rows, table->depends_on[i]);
  if (table->kind == SNAP_MATVIEW && rows->kept_count < TABLES_MAX && !listed(rows->kept, rows->kept_count, table))
    rows->kept[rows->kept_count++] = table;
  if (table->kind == SNAP_TABLE || table->kind == SNAP_PARTITIONED) {
    take_parents(rows, table, false);
    if (rows->table_count < TABLES_MAX) rows->tables[rows->table_count++] = table;
    pools_take_constraints(rows, table);
    take_parents(rows, table, true);
  }
  rows->taking_count--;
}

enum status rows_new(const struct snapshot *snapshot, PgQuery__Node *statement, const struct query_resolution *names,
                     const char *const *values, int value_count, struct arena *arena, struct rows **ret_rows, struct error *err) {
  struct rows *rows = ARENA_NEW(arena, struct rows);
  if (!rows) return error_oom(err);
  *rows = (struct rows){.arena = arena, .snapshot = snapshot};
  sql_walk(statement, pools_see, rows);
  for (int i = 0; values && i < value_count; i++)
    if (values[i]) pools_take_expression(rows, values[i]);
  for (size_t i = 0; i < names->relation_count; i++) {
    const struct snap_table *table = names->relations[i].table;
    take_table(rows, table);
    if (rows->read_count < TABLES_MAX && !listed(rows->read, rows->read_count, table)) rows->read[rows->read_count++] = table;
  }
  *ret_rows = rows;
  return OK;
}

void rows_take(struct rows *rows, PgQuery__Node *statement) { sql_walk(statement, pools_see, rows); }

/* --- choosing --- */

static uint32_t roll(struct rows *rows, uint32_t sides) { /* splitmix64 */
  uint64_t z = (rows->random += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (uint32_t)((z ^ (z >> 31)) >> 16) % sides;
}

static const struct snap_enum *enum_named(const struct rows *rows, const char *type) {
  for (size_t i = 0; i < rows->snapshot->enum_count; i++)
    if (snapshot_type_is(type, rows->snapshot->enums[i].schema, rows->snapshot->enums[i].name)) return &rows->snapshot->enums[i];
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
  if (family == UNKNOWN) return strstr(type, "multirange") ? "'{}'" : strstr(type, "range") ? "'empty'" : NULL;
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

/* It references a table that is filled only later. */
static bool is_early(const struct rows *rows, const struct snap_table *table, const char *column) {
  for (size_t i = 0; i < table->fk_count; i++) {
    const struct snap_fk *fk = &table->fks[i];
    if (!fk->ref || fk->ref == table || !list_has(fk->columns, fk->column_count, column)) continue;
    for (int t = 0; t < rows->table_count && rows->tables[t] != fk->ref; t++)
      if (rows->tables[t] == table) return true;
  }
  return false;
}

/* A text as long as the type lets it be. */
static const char *cut(struct rows *rows, const char *type, const char *value) {
  const char *paren = strncmp(type, "character", 9) == 0 ? strchr(type, '(') : NULL;
  long length = paren ? strtol(paren + 1, NULL, 10) : 0;
  return length > 0 && length < 100 && *value != 'N' ? arena_printf(rows->arena, "pg_catalog.left(%s, %ld)", value, length) : value;
}

/* NULL: the column is left to its default. */
static const char *choose(struct rows *rows, const struct set *set, const struct snap_table *table, const struct snap_column *column,
                          int row) {
  enum family family = family_of(rows, column->type);
  bool key = is_key(table, column, true), reference = snap_table_refers_by(table, column->name);
  if (!column->not_null && (roll(rows, 100) < set->nulls || is_early(rows, table, column->name))) return "NULL";
  int own = family < FAMILIES ? rows->pools[family].own : 0, at = (int)roll(rows, (uint32_t)(own + set->spread));
  if (reference && !key) at = (int)roll(rows, (uint32_t)(set->rows < 1 ? 1 : set->rows));
  if (own && roll(rows, 100) < set->own) at = (set->first + (int)roll(rows, own < OWN_FEW ? (uint32_t)own : OWN_FEW)) % own;
  if (family == ENUM) at = (int)roll(rows, 64);
  if (key) at = row;
  const char *far = set->extremes && !reference && roll(rows, 100) < 20 ? extreme(rows, column->type, family) : NULL;
  const char *value = far ? far : value_at(rows, column->type, family, at);
  return value ? cut(rows, column->type, value) : column->default_expr ? NULL : "NULL";
}

static void put_insert(struct rows *rows, const struct snap_table *table, const char *const *chosen, bool without, struct buf *out) {
  BUF_AUTO names, values;
  buf_init(&names, LIMIT_SQL_BYTES);
  buf_init(&values, LIMIT_SQL_BYTES);
  for (size_t i = 0; i < table->column_count; i++) {
    const struct snap_column *column = &table->columns[i];
    const char *name = sql_ident(rows->arena, column->name);
    if (!chosen[i] || !name) continue;
    bool null = without && !column->not_null && snap_table_refers_by(table, column->name);
    buf_printf(&names, "%s%s", names.len ? ", " : "", name);
    buf_printf(&values, "%s%s", values.len ? ", " : "", null ? "NULL" : chosen[i]);
  }
  if (names.len)
    buf_printf(out, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)", sql_qualified(rows->arena, table->schema, table->name),
               buf_str(&names), buf_str(&values));
  else
    buf_puts(out, "NULL");
}

/* Where what it references is not there, once more without what it need not reference. */
static void put_row(struct rows *rows, const struct set *set, const struct snap_table *table, int row, struct buf *out) {
  const char **chosen = arena_calloc(rows->arena, table->column_count + 1, sizeof *chosen);
  bool may_do_without = false;
  for (size_t i = 0; chosen && i < table->column_count; i++) {
    const struct snap_column *column = &table->columns[i];
    if (!column->generated) chosen[i] = choose(rows, set, table, column, row);
    may_do_without |= chosen[i] && !column->not_null && snap_table_refers_by(table, column->name);
  }
  if (!chosen) return;
  buf_puts(out, "BEGIN ");
  put_insert(rows, table, chosen, false, out);
  if (may_do_without) {
    buf_puts(out, "; EXCEPTION WHEN foreign_key_violation THEN BEGIN ");
    put_insert(rows, table, chosen, true, out);
    buf_puts(out, "; EXCEPTION WHEN OTHERS THEN NULL; END; WHEN OTHERS THEN NULL; END; ");
  } else {
    buf_puts(out, "; EXCEPTION WHEN OTHERS THEN NULL; END; ");
  }
}

const char *rows_fill_sql(struct rows *rows, int number) {
  struct set set = set_of(rows, number);
  if (!rows->complete) pools_add_basics(rows);
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
