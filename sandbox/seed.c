/* seed.c - gives every table of a clone some rows, one INSERT … SELECT per table.
 *
 * Tables are filled parents first. A foreign key's columns take the keys of rows the parent has; where the parent can't be filled first
 * (cycles, a table that references itself) they are NULL, or, when they may not be, what the parent's rows will hold. Other columns take
 * values by type; when a CHECK, a domain or a partition's bounds refuse them, the columns it speaks of are given their next candidates
 * until it passes or the tries are spent. Rows that collide with a unique index are dropped. Where it is known how many NULLs and how many
 * different values production's columns have, the rows have their like; constraints come first.
 *
 * It all runs as the migrator: defaults, checks and index expressions call functions of the client's. Triggers and foreign keys are off
 * meanwhile (session_replication_role, which the superuser lends the migrator for the time being). */
#include "seed.h"

#include "common/buf.h"
#include "common/pg.h"
#include "sandbox/sandbox.h"
#include "session.h"

#define ROWS_MAX 10000
#define TRIES_MAX 80
#define PROBLEMS_MAX 200
#define STATEMENT_MS "20000"
#define SQL_MAX (1024 * 1024)

struct seeding {
  PGconn *conn;
  struct arena *arena;
  struct seed_catalog catalog;
  int rows;
  int64_t inserted;
  json_t *problems;
  bool conflicts; /* say ON CONFLICT DO NOTHING */
  bool shaped;    /* give columns their NULLs and repetitions */
};

/* --- in which order --- */

static bool is_filled(const struct seeding *seeding, const struct seed_table *table) {
  if (table->kind == 'r') return table->done;
  for (int i = 0; i < seeding->catalog.count; i++)
    if (seeding->catalog.tables[i].parent_oid == table->oid && !is_filled(seeding, &seeding->catalog.tables[i])) return false;
  return true;
}

static bool fk_is_optional(const struct seed_fk *fk) {
  for (int i = 0; i < fk->column_count; i++)
    if (!fk->columns[i]->not_null) return true;
  return false;
}

/* How badly the table still waits for parents: 0 not at all, low for those that can be NULL. */
static int waits(const struct seeding *seeding, const struct seed_table *table) {
  int weight = 0;
  for (int i = 0; i < table->fk_count; i++) {
    const struct seed_fk *fk = &table->fks[i];
    if (fk->parent && fk->parent != table && !is_filled(seeding, fk->parent)) weight += fk_is_optional(fk) ? 1 : 1000;
  }
  return weight;
}

static struct seed_table *next_table(const struct seeding *seeding) {
  struct seed_table *best = NULL;
  int best_weight = 0;
  for (int i = 0; i < seeding->catalog.count; i++) {
    struct seed_table *table = &seeding->catalog.tables[i];
    if (table->kind != 'r' || table->done) continue;
    int weight = waits(seeding, table);
    if (!best || weight < best_weight) {
      best = table;
      best_weight = weight;
    }
    if (weight == 0) break;
  }
  return best;
}

/* --- foreign keys --- */

static const struct seed_column *column_of(const struct seed_table *table, int attnum) {
  for (int i = 0; i < table->column_count; i++)
    if (table->columns[i].attnum == attnum) return &table->columns[i];
  return NULL;
}

/* What the parent's row number g.n holds, or will: for keys within a table, and for cycles. */
static const char *future_key(struct seeding *seeding, const struct seed_fk *fk, int i) {
  const struct seed_column *column = fk->parent ? column_of(fk->parent, fk->ref_attnums[i]) : NULL;
  const char *value = column ? column->given ? column->given : seed_candidate(seeding->arena, column, column->candidate) : NULL;
  return value && *value ? value : arena_printf(seeding->arena, "g.n::%s", fk->columns[i]->type);
}

/* Joins the parent's rows by number, or, when an earlier key has set one of the columns already, those that agree with it. */
static void join_parent(struct seeding *seeding, const struct seed_fk *fk, int number, struct buf *from) {
  bool shared = false;
  for (int i = 0; i < fk->column_count; i++) shared |= fk->columns[i]->given != NULL;
  buf_puts(from, shared ? " LEFT JOIN LATERAL (SELECT " : " LEFT JOIN (SELECT ");
  for (int i = 0; i < fk->column_count; i++) buf_printf(from, "%s%s AS c%d", i ? ", " : "", fk->ref_columns[i], i);
  if (shared) {
    buf_printf(from, " FROM %s r WHERE true", fk->parent_name);
    for (int i = 0; i < fk->column_count; i++)
      if (fk->columns[i]->given) buf_printf(from, " AND r.%s = %s", fk->ref_columns[i], fk->columns[i]->given);
    buf_printf(from, " LIMIT 1) f%d ON true", number);
  } else {
    int distinct = fk->column_count == 1 ? fk->columns[0]->distinct : 0;
    const char *row = distinct ? arena_printf(seeding->arena, "(1 + (g.n - 1) %% %d)", distinct) : "g.n";
    buf_printf(from, ", row_number() OVER (ORDER BY ");
    for (int i = 0; i < fk->column_count; i++) buf_printf(from, "%s%s::text", i ? ", " : "", fk->ref_columns[i]);
    buf_printf(from, ") AS at FROM %s) f%d ON f%d.at = 1 + (%s - 1) %% (SELECT greatest(count(*), 1) FROM %s)", fk->parent_name, number,
               number, row, fk->parent_name);
  }
  for (int i = 0; i < fk->column_count; i++) {
    if (fk->columns[i]->given) continue;
    fk->columns[i]->given = arena_printf(seeding->arena, "f%d.c%d", number, i);
    fk->columns[i]->given_alone = fk->column_count == 1;
  }
}

static void set_keys(struct seeding *seeding, struct seed_table *table, struct buf *from) {
  for (int i = 0; i < table->fk_count; i++) {
    const struct seed_fk *fk = &table->fks[i];
    bool later = !fk->parent || fk->parent == table || !is_filled(seeding, fk->parent);
    if (!later) {
      join_parent(seeding, fk, i, from);
      continue;
    }
    for (int c = 0; c < fk->column_count; c++) {
      struct seed_column *column = fk->columns[c];
      if (column->given || column->fixed) continue;
      column->given = fk_is_optional(fk) ? (column->not_null ? NULL : "NULL") : future_key(seeding, fk, c);
    }
  }
}

/* --- one table --- */

/* The value as production's column has it: few values come again and again (the row number is another one inside), and some are NULL. A key
 * of several columns is left whole. */
static const char *shape(const struct seeding *seeding, const struct seed_column *column, const char *value) {
  if (!seeding->shaped || (column->given && !column->given_alone) || (!column->nulls && !column->distinct)) return value;
  if (!*value) { /* left to its default */
    if (!column->nulls || !column->default_expr || strstr(column->default_expr, "nextval(")) return value;
    value = arena_printf(seeding->arena, "(%s)", column->default_expr);
  } else if (column->distinct && !column->given) {
    value = arena_printf(seeding->arena, "(SELECT %s FROM (SELECT 1 + (g.n - 1) %% %d AS n) g)", value, column->distinct);
  }
  if (!column->nulls || !value) return value;
  return arena_printf(seeding->arena, "CASE WHEN (g.n + %d) %% %d >= %d THEN %s END", column->attnum, seeding->rows, column->nulls, value);
}

static void build_insert(struct seeding *seeding, struct seed_table *table, const char *from, struct buf *sql) {
  BUF_AUTO names, values;
  buf_init(&names, SQL_MAX);
  buf_init(&values, SQL_MAX);
  for (int i = 0; i < table->column_count; i++) {
    const struct seed_column *column = &table->columns[i];
    const char *value = column->given && !column->fixed ? column->given : seed_candidate(seeding->arena, column, column->candidate);
    if (value) value = shape(seeding, column, value);
    if (!value || !*value) continue;
    buf_printf(&names, "%s%s", names.len ? ", " : "", column->quoted);
    buf_printf(&values, "%s%s", values.len ? ", " : "", value);
  }
  if (names.len == 0) /* nothing but defaults: a row at a time */
    for (int i = 0; i < seeding->rows; i++) buf_printf(sql, "INSERT INTO %s DEFAULT VALUES;", table->name);
  else
    buf_printf(sql, "INSERT INTO %s (%s) SELECT %s FROM (SELECT n::int FROM generate_series(1, %d) n) g%s%s;", table->name, buf_str(&names),
               buf_str(&values), seeding->rows, from, seeding->conflicts ? " ON CONFLICT DO NOTHING" : "");
}

/* Runs it; the rows inserted, or -1 with the failed result. */
static int64_t try_insert(struct seeding *seeding, const char *sql, PGresult **ret_failed) {
  int64_t rows = 0;
  *ret_failed = NULL;
  if (!PQsendQuery(seeding->conn, sql)) return -1;
  for (PGresult *res; (res = PQgetResult(seeding->conn));) {
    if (PQresultStatus(res) == PGRES_FATAL_ERROR && !*ret_failed) {
      *ret_failed = res;
      rows = -1;
      continue;
    }
    if (rows >= 0 && !strncmp(PQcmdStatus(res), "INSERT", 6)) rows += strtoll(PQcmdTuples(res), NULL, 10);
    PQclear(res);
  }
  return rows;
}

/* Counts up the candidates of these columns like the digits of a number; false when all have been tried. */
static bool advance(struct seeding *seeding, struct seed_column **columns, int count) {
  for (int i = count - 1; i >= 0; i--) {
    struct seed_column *column = columns[i];
    if (column->given) continue;
    if (seed_candidate(seeding->arena, column, column->candidate + 1)) {
      column->candidate++;
      return true;
    }
    column->candidate = 0;
  }
  return false;
}

static const struct seed_check *check_named(const struct seed_table *table, const char *name) {
  for (int i = 0; i < table->check_count; i++)
    if (!strcmp(table->checks[i].name, name ? name : "")) return &table->checks[i];
  return NULL;
}

/* The columns that have constants of their own: those a domain's or an unnamed constraint can be about. */
static bool advance_constrained(struct seeding *seeding, struct seed_table *table) {
  struct seed_column **columns = arena_calloc(seeding->arena, (size_t)table->column_count + 1, sizeof(struct seed_column *));
  int count = 0;
  for (int i = 0; columns && i < table->column_count; i++)
    if (table->columns[i].literal_count > 0) columns[count++] = &table->columns[i];
  return count > 0 && advance(seeding, columns, count);
}

static bool advance_named(struct seeding *seeding, struct seed_table *table, const char *name) {
  for (int i = 0; name && i < table->column_count; i++) {
    struct seed_column *column = &table->columns[i];
    if (!strcmp(column->name, name)) return advance(seeding, &column, 1);
  }
  return false;
}

/* A domain's violation doesn't say which column it was: all of that domain move on together. */
static bool advance_domain(struct seeding *seeding, struct seed_table *table, const char *domain) {
  bool moved = false;
  for (int i = 0; domain && i < table->column_count; i++) {
    struct seed_column *column = &table->columns[i];
    if (!strcmp(column->type_name, domain)) moved |= advance(seeding, &column, 1);
  }
  return moved;
}

/* Chooses other values for whatever failed. False: nothing left to try. */
static bool try_others(struct seeding *seeding, struct seed_table *table, const PGresult *failed) {
  const char *state = pg_sqlstate(failed);
  if (!strcmp(state, "55000") && seeding->conflicts) { /* deferrable unique constraints can't be asked not to mind */
    seeding->conflicts = false;
    return true;
  }
  const char *column = PQresultErrorField(failed, PG_DIAG_COLUMN_NAME), *domain = PQresultErrorField(failed, PG_DIAG_DATATYPE_NAME);
  if (domain) return advance_domain(seeding, table, domain);
  if (!strcmp(state, "23502")) return advance_named(seeding, table, column);
  const struct seed_check *check = !strcmp(state, "23514") ? check_named(table, PQresultErrorField(failed, PG_DIAG_CONSTRAINT_NAME)) : NULL;
  if (check && check->column_count > 0) return advance(seeding, check->columns, check->column_count);
  if (!strcmp(state, "23514") || !strncmp(state, "22", 2) || !strncmp(state, "42", 2)) return advance_constrained(seeding, table);
  return false;
}

static void add_problem(struct seeding *seeding, const struct seed_table *table, const PGresult *failed) {
  const char *message = PQresultErrorField(failed, PG_DIAG_MESSAGE_PRIMARY);
  if (json_array_size(seeding->problems) >= PROBLEMS_MAX) return;
  json_array_append_new(seeding->problems, json_pack("{s:s,s:s,s:s}", "table", table->name, "sqlstate", pg_sqlstate(failed), "message",
                                                     message ? message : ""));
}

/* One message. The rows inserted, or -1, undone, with why. `before`: statements that go along. */
static int64_t attempt(struct seeding *seeding, struct seed_table *table, const char *from, const char *before, PGresult **ret_failed) {
  BUF_AUTO sql;
  buf_init(&sql, SQL_MAX);
  buf_printf(&sql, "SAVEPOINT autodb;%s", before);
  build_insert(seeding, table, from, &sql);
  buf_puts(&sql, "RELEASE SAVEPOINT autodb");
  *ret_failed = NULL;
  int64_t rows = buf_ok(&sql) ? try_insert(seeding, buf_str(&sql), ret_failed) : 0;
  if (*ret_failed) PQclear(PQexec(seeding->conn, "ROLLBACK TO SAVEPOINT autodb"));
  return rows;
}

/* Values that fit have been found without a shape: the same again with it, and where the shape is what doesn't fit, as they are. */
static int64_t reshape(struct seeding *seeding, struct seed_table *table, const char *from, int64_t rows) {
  char *emptying = arena_printf(seeding->arena, "DELETE FROM ONLY %s;", table->name);
  PGresult *failed = NULL;
  seeding->shaped = true;
  int64_t shaped = emptying ? attempt(seeding, table, from, emptying, &failed) : -1;
  PQclear(failed);
  return shaped > 0 ? shaped : rows;
}

/* False when the connection broke. */
static bool fill(struct seeding *seeding, struct seed_table *table) {
  BUF_AUTO from;
  buf_init(&from, SQL_MAX);
  seeding->conflicts = true;
  seeding->shaped = table->shaped;
  set_keys(seeding, table, &from);
  for (int tries = 0;;) {
    PGresult *failed = NULL;
    int64_t rows = attempt(seeding, table, buf_str(&from), "", &failed);
    if (!failed && table->shaped && !seeding->shaped) rows = reshape(seeding, table, buf_str(&from), rows);
    if (rows > 0) seeding->inserted += rows;
    if (!failed) break;
    bool more = seeding->shaped || (++tries < TRIES_MAX && try_others(seeding, table, failed));
    seeding->shaped = false;
    if (!more) add_problem(seeding, table, failed);
    PQclear(failed);
    if (!more) break;
  }
  table->done = true;
  return PQtransactionStatus(seeding->conn) == PQTRANS_INTRANS;
}

static enum status fill_all(struct seeding *seeding, struct error *err) {
  enum status status =
      pg_script(seeding->conn, "SET statement_timeout = " STATEMENT_MS "; SET session_replication_role = replica; BEGIN", err);
  for (struct seed_table *table; !status && (table = next_table(seeding));)
    if (!fill(seeding, table)) status = pg_error(seeding->conn, NULL, err);
  return status ? status : pg_script(seeding->conn, "COMMIT", err);
}

static enum status seed(struct seeding *seeding, PGconn *tracer, const char *columns, struct error *err) {
  enum status status = pg_script(seeding->conn, "BEGIN; SET LOCAL search_path = ''", err); /* types come out qualified */
  if (!status) status = seed_catalog_read(seeding->conn, seeding->arena, &seeding->catalog, err);
  if (!status && columns) status = seed_shape_read(seeding->conn, columns, &seeding->catalog, err);
  if (!status) status = pg_script(seeding->conn, "COMMIT", err);
  if (!status) status = pg_script(tracer, "GRANT SET ON PARAMETER session_replication_role TO migrator", err);
  if (status) return status;
  status = fill_all(seeding, err);
  ERROR_AUTO ignored = {0};
  enum status revoked = pg_script(tracer, "REVOKE SET ON PARAMETER session_replication_role FROM migrator", status ? &ignored : err);
  return status ? status : revoked;
}

enum status sandbox_seed(struct sandbox *sandbox, int rows_per_table, const char *columns, struct arena *arena,
                         struct sandbox_seed_report *ret_report, struct error *err) {
  PGconn *tracer = NULL;
  struct seeding seeding = {.arena = arena, .rows = rows_per_table < 1 ? 1 : rows_per_table > ROWS_MAX ? ROWS_MAX : rows_per_table};
  seeding.problems = arena_json(arena, json_array());
  if (!seeding.problems) return error_oom(err);
  enum status status = session_take(sandbox, SESSION_TRACER, &tracer, err);
  if (!status) status = session_take(sandbox, SESSION_MIGRATOR, &seeding.conn, err);
  if (!status) status = seed(&seeding, tracer, columns, err);
  session_put(sandbox, SESSION_TRACER, tracer);
  session_put(sandbox, SESSION_MIGRATOR, seeding.conn);
  if (status) return status;
  *ret_report = (struct sandbox_seed_report){.rows_inserted = seeding.inserted, .problems = seeding.problems};
  return OK;
}
