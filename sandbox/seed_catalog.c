/* seed_catalog.c - reads tables, columns, unique indexes, checks, partition bounds and foreign keys of the clone, by five queries.
 *
 * A partition's bounds are read as the constraint they are (pg_get_partition_constraintdef), so one way of finding fitting values serves
 * both. */
#include "seed.h"

#include "common/pg.h"
#include "script.h"

static const char tables_sql[] =
    "SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relkind, "
    "CASE WHEN c.relispartition THEN (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) ELSE 0 END "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT "
    "EXISTS "
    "(SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = "
    "'e') ORDER BY c.oid";

static const char columns_sql[] =
    "WITH RECURSIVE base(oid, b, m, nn) AS (SELECT t.oid, t.oid, -1, false FROM pg_catalog.pg_type t WHERE t.oid IN "
    "(SELECT atttypid FROM pg_catalog.pg_attribute WHERE attrelid >= 16384) "
    "UNION ALL SELECT base.oid, t.typbasetype, t.typtypmod, base.nn OR t.typnotnull FROM base JOIN pg_catalog.pg_type t ON t.oid = base.b "
    "WHERE t.typtype = 'd') "
    "SELECT a.attrelid, a.attnum, a.attname, pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod), "
    "bt.typname, bt.typtype, "
    "CASE WHEN base.m >= 0 THEN base.m ELSE a.atttypmod END, a.attnotnull OR base.nn, a.attidentity <> '' OR a.attgenerated <> '', "
    "pg_catalog.pg_get_expr(d.adbin, d.adrelid), et.typname, pg_catalog.format_type(et.oid, NULL), et.typtype, bt.typcategory = 'A' AND "
    "bt.typelem <> 0, "
    "(SELECT count(*) FROM pg_catalog.pg_attribute f WHERE f.attrelid = bt.typrelid AND f.attnum > 0 AND NOT f.attisdropped), "
    "EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey)), "
    "(SELECT pg_catalog.string_agg(pg_catalog.pg_get_constraintdef(k.oid), ' ') FROM pg_catalog.pg_constraint k WHERE k.contypid = "
    "a.atttypid AND a.atttypid <> 0), ct.typname "
    "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') JOIN base ON base.oid = "
    "a.atttypid "
    "JOIN pg_catalog.pg_type ct ON ct.oid = a.atttypid "
    "JOIN pg_catalog.pg_type bt ON bt.oid = base.b AND bt.typtype <> 'd' LEFT JOIN pg_catalog.pg_type et ON et.oid = bt.typelem "
    "LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attnum > 0 AND NOT a.attisdropped AND "
    "a.attrelid >= 16384 ORDER BY 1, 2";

static const char checks_sql[] = "SELECT conrelid, conname, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint WHERE "
                                 "contype = 'c' AND conrelid >= 16384 "
                                 "UNION ALL SELECT oid, NULL, pg_catalog.pg_get_partition_constraintdef(oid) FROM pg_catalog.pg_class "
                                 "WHERE relispartition AND relkind = 'r' ORDER BY 1, 2";

/* One row per column of a key. A key into a partitioned table has a twin for each partition, which is left out. */
static const char fks_sql[] =
    "SELECT c.conrelid, c.oid, c.confrelid, c.confrelid::pg_catalog.regclass, k.own, k.ref, pg_catalog.quote_ident(r.attname), "
    "pg_catalog.cardinality(c.conkey) "
    "FROM pg_catalog.pg_constraint c CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey)) WITH "
    "ORDINALITY AS k(own, ref, at) "
    "JOIN pg_catalog.pg_attribute r ON r.attrelid = c.confrelid AND r.attnum = k.ref WHERE c.contype = 'f' AND NOT EXISTS "
    "(SELECT FROM pg_catalog.pg_constraint p WHERE p.oid = c.conparentid AND p.conrelid = c.conrelid) ORDER BY c.conrelid, "
    "pg_catalog.cardinality(c.conkey) DESC, c.oid, k.at";

struct seed_table *seed_table_find(const struct seed_catalog *catalog, uint32_t oid) {
  int low = 0, high = catalog->count;
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (catalog->tables[middle].oid == oid) return &catalog->tables[middle];
    if (catalog->tables[middle].oid < oid)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

static struct seed_column *column_by_attnum(const struct seed_table *table, int attnum) {
  for (int i = 0; i < table->column_count; i++)
    if (table->columns[i].attnum == attnum) return &table->columns[i];
  return NULL;
}

static struct seed_table *row_table(const struct seed_catalog *catalog, const PGresult *res, int row) {
  return seed_table_find(catalog, (uint32_t)pg_int(res, row, 0, 0));
}

static int rows_alike(const PGresult *res, int row, int column) {
  int end = row;
  while (end < PQntuples(res) && !strcmp(PQgetvalue(res, end, column), PQgetvalue(res, row, column))) end++;
  return end - row;
}

static enum status read_tables(PGconn *conn, struct arena *arena, struct seed_catalog *catalog, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, tables_sql, 0, NULL, &res, err);
  if (status) return status;
  catalog->tables = arena_calloc(arena, (size_t)PQntuples(res) + 1, sizeof *catalog->tables);
  if (!catalog->tables) return error_oom(err);
  for (int row = 0; row < PQntuples(res); row++)
    catalog->tables[catalog->count++] = (struct seed_table){.oid = (uint32_t)pg_int(res, row, 0, 0),
                                                            .name = arena_strdup(arena, PQgetvalue(res, row, 1)),
                                                            .kind = *PQgetvalue(res, row, 2),
                                                            .parent_oid = (uint32_t)pg_int(res, row, 3, 0)};
  return OK;
}

/* --- constants in constraints --- */

static void add_literal(struct arena *arena, struct seed_column *column, const struct script_lexer *lexer) {
  if (column->literal_count == SEED_LITERALS_MAX) return;
  const char *text = arena_strndup(arena, lexer->start, lexer->len);
  for (int i = 0; text && i < column->literal_count; i++)
    if (!strcmp(column->literals[i], text)) return;
  if (text) column->literals[column->literal_count++] = text;
}

static bool is_constant(const struct script_lexer *lexer) {
  return lexer->kind == SCRIPT_STRING || (lexer->kind == SCRIPT_WORD && *lexer->start >= '0' && *lexer->start <= '9');
}

static struct seed_column *column_named(const struct seed_table *table, const struct script_lexer *lexer) {
  char name[256];
  if (!script_name(lexer, name, sizeof name)) return NULL;
  for (int i = 0; i < table->column_count; i++)
    if (!strcmp(table->columns[i].name, name)) return &table->columns[i];
  return NULL;
}

/* Which columns an expression names, and the constants after each. `only`: a domain's check, where VALUE is the column. */
static bool read_expression(struct arena *arena, struct seed_table *table, struct seed_check *check, const char *text,
                            struct seed_column *only) {
  struct script_statement whole = {.text = text, .len = strlen(text)};
  struct script_lexer lexer = script_lexer(&whole);
  struct seed_column *current = only;
  if (check) check->columns = arena_calloc(arena, (size_t)table->column_count + 1, sizeof(struct seed_column *));
  if (check && !check->columns) return false;
  while (script_token(&lexer) != SCRIPT_END) {
    struct seed_column *named = only ? NULL : column_named(table, &lexer);
    bool known = false;
    if (named) current = named;
    for (int i = 0; named && check && i < check->column_count; i++) known |= check->columns[i] == named;
    if (named && check && !known) check->columns[check->column_count++] = named;
    if (current && is_constant(&lexer)) add_literal(arena, current, &lexer);
  }
  return true;
}

static enum status read_checks(PGconn *conn, struct arena *arena, struct seed_catalog *catalog, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, checks_sql, 0, NULL, &res, err);
  for (int row = 0; !status && row < PQntuples(res);) {
    struct seed_table *table = row_table(catalog, res, row);
    int count = rows_alike(res, row, 0);
    if (table) table->checks = arena_calloc(arena, (size_t)count, sizeof *table->checks);
    if (table && !table->checks) return error_oom(err);
    for (int i = row; table && i < row + count; i++) {
      struct seed_check *check = &table->checks[table->check_count];
      if (PQgetisnull(res, i, 2)) continue; /* a default partition alone */
      check->name = PQgetisnull(res, i, 1) ? "" : arena_strdup(arena, PQgetvalue(res, i, 1));
      if (!check->name || !read_expression(arena, table, check, PQgetvalue(res, i, 2), NULL)) return error_oom(err);
      table->check_count++;
    }
    row += count;
  }
  return status;
}

/* --- columns --- */

static const char *text_at(struct arena *arena, const PGresult *res, int row, int col) {
  return PQgetisnull(res, row, col) ? NULL : arena_strdup(arena, PQgetvalue(res, row, col));
}

static void read_column(struct arena *arena, const PGresult *res, int row, struct seed_column *column) {
  *column = (struct seed_column){.attnum = (int)pg_int(res, row, 1, 0),
                                 .name = text_at(arena, res, row, 2),
                                 .quoted = text_at(arena, res, row, 3),
                                 .type = text_at(arena, res, row, 4),
                                 .base = text_at(arena, res, row, 5),
                                 .kind = *PQgetvalue(res, row, 6),
                                 .modifier = (int)pg_int(res, row, 7, -1),
                                 .not_null = pg_bool(res, row, 8),
                                 .fixed = pg_bool(res, row, 9),
                                 .default_expr = text_at(arena, res, row, 10),
                                 .element = text_at(arena, res, row, 11),
                                 .element_type = text_at(arena, res, row, 12),
                                 .element_kind = *PQgetvalue(res, row, 13),
                                 .array = pg_bool(res, row, 14),
                                 .fields = (int)pg_int(res, row, 15, 0),
                                 .unique = pg_bool(res, row, 16),
                                 .type_name = text_at(arena, res, row, 18)};
}

static enum status read_columns(PGconn *conn, struct arena *arena, struct seed_catalog *catalog, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, columns_sql, 0, NULL, &res, err);
  for (int row = 0; !status && row < PQntuples(res);) {
    struct seed_table *table = row_table(catalog, res, row);
    int count = rows_alike(res, row, 0);
    if (table) table->columns = arena_calloc(arena, (size_t)count, sizeof *table->columns);
    if (table && !table->columns) return error_oom(err);
    for (int i = row; table && i < row + count; i++) {
      struct seed_column *column = &table->columns[table->column_count++];
      read_column(arena, res, i, column);
      if (!column->name || !column->quoted || !column->type || !column->base || !column->type_name) return error_oom(err);
      if (!PQgetisnull(res, i, 17)) read_expression(arena, table, NULL, PQgetvalue(res, i, 17), column);
    }
    row += count;
  }
  return status;
}

/* --- foreign keys --- */

static bool read_fk(const struct seed_catalog *catalog, struct arena *arena, const PGresult *res, int row, struct seed_table *table,
                    struct seed_fk *fk) {
  int count = (int)pg_int(res, row, 7, 0);
  *fk = (struct seed_fk){.parent = seed_table_find(catalog, (uint32_t)pg_int(res, row, 2, 0)),
                         .parent_name = text_at(arena, res, row, 3),
                         .column_count = count};
  fk->columns = arena_calloc(arena, (size_t)count, sizeof *fk->columns);
  fk->ref_columns = arena_calloc(arena, (size_t)count, sizeof *fk->ref_columns);
  fk->ref_attnums = arena_calloc(arena, (size_t)count, sizeof *fk->ref_attnums);
  if (!fk->columns || !fk->ref_columns || !fk->ref_attnums || !fk->parent_name) return false;
  for (int i = 0; i < count; i++) {
    fk->columns[i] = column_by_attnum(table, (int)pg_int(res, row + i, 4, 0));
    fk->ref_attnums[i] = (int)pg_int(res, row + i, 5, 0);
    fk->ref_columns[i] = text_at(arena, res, row + i, 6);
    if (!fk->columns[i] || !fk->ref_columns[i]) return false;
  }
  return true;
}

static enum status read_fks(PGconn *conn, struct arena *arena, struct seed_catalog *catalog, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, fks_sql, 0, NULL, &res, err);
  for (int row = 0; !status && row < PQntuples(res);) {
    struct seed_table *table = row_table(catalog, res, row);
    int count = rows_alike(res, row, 0);
    if (table) table->fks = arena_calloc(arena, (size_t)count, sizeof *table->fks);
    if (table && !table->fks) return error_oom(err);
    for (int i = row; table && i < row + count; i += (int)pg_int(res, i, 7, 1))
      if (!read_fk(catalog, arena, res, i, table, &table->fks[table->fk_count++])) return error_oom(err);
    row += count;
  }
  return status;
}

/* --- shape --- */

static const char shape_sql[] =
    "SELECT a.attrelid, a.attnum, s.n, s.d FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS s(s text, t text, c text, n int, d int) "
    "JOIN pg_catalog.pg_namespace ns ON ns.nspname = s.s JOIN pg_catalog.pg_class c ON c.relnamespace = ns.oid AND c.relname = s.t "
    "JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = s.c AND a.attnum > 0 ORDER BY 1, 2";

enum status seed_shape_read(PGconn *conn, const char *shape, const struct seed_catalog *catalog, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(conn, shape_sql, 1, &shape, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) {
    struct seed_table *table = row_table(catalog, res, row);
    struct seed_column *column = table ? column_by_attnum(table, (int)pg_int(res, row, 1, 0)) : NULL;
    if (!column || column->fixed) continue;
    if (!column->not_null) column->nulls = (int)pg_int(res, row, 2, 0);
    if (!column->unique) column->distinct = (int)pg_int(res, row, 3, 0);
    table->shaped |= column->nulls > 0 || column->distinct > 0;
  }
  return status;
}

enum status seed_catalog_read(PGconn *conn, struct arena *arena, struct seed_catalog *ret_catalog, struct error *err) {
  struct seed_catalog catalog = {0};
  enum status status = read_tables(conn, arena, &catalog, err);
  if (!status) status = read_columns(conn, arena, &catalog, err);
  if (!status) status = read_checks(conn, arena, &catalog, err);
  if (!status) status = read_fks(conn, arena, &catalog, err);
  if (!status) *ret_catalog = catalog;
  return status;
}
