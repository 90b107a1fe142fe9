/* values_live.c - rows where they are few, statistics where they are many. */
#include "worker/text2sql/values_live.h"

#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/sql/text.h"

#define BATCH 32                /* columns in one statement, but for the last table's */
#define PER_COLUMN ((size_t)64) /* values returned for each column of a table */
#define MATCHES_MAX 4096
#define STATEMENT_BYTES (256 * 1024)

struct lookup_run {
  struct values_live *live;
  struct arena *arena;
  const char *const *phrases;
  size_t phrase_count;
  const struct value_column *columns;
  size_t column_count;
  struct value_matches *out;
};

static const char common_values_sql[] =
    "SELECT schemaname, tablename, attname, v FROM pg_catalog.pg_stats AS s JOIN ROWS FROM (pg_catalog.unnest($2::text[]), "
    "pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[])) AS w (schemaname, tablename, attname) "
    "USING (schemaname, tablename, attname), pg_catalog.unnest(s.most_common_vals::text::text[]) AS v "
    "WHERE pg_catalog.lower(v) = ANY ($1::text[]) LIMIT 4096";

/* A text[] literal. */
static const char *text_array(struct arena *arena, const char *const *texts, size_t count) {
  BUF_AUTO out;
  buf_init(&out, STATEMENT_BYTES);
  buf_putc(&out, '{');
  for (size_t i = 0; i < count; i++) {
    buf_puts(&out, i ? ",\"" : "\"");
    for (const char *c = texts[i]; *c; c++) {
      if (*c == '"' || *c == '\\') buf_putc(&out, '\\');
      buf_putc(&out, *c);
    }
    buf_putc(&out, '"');
  }
  buf_putc(&out, '}');
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

static bool known(const struct lookup_run *run, size_t column, const char *value) {
  for (size_t i = 0; i < run->out->count; i++)
    if (run->out->items[i].column == column && strcmp(run->out->items[i].value, value) == 0) return true;
  return false;
}

/* lower() of the server and ours agree on what we ask for: the phrases came from ours, and non-ASCII ones that differ are just not found.
 */
static void add(struct lookup_run *run, size_t column, const char *value, const char *lower) {
  if (known(run, column, value)) return;
  for (size_t i = 0; i < run->phrase_count && run->out->count < MATCHES_MAX; i++)
    if (strcmp(run->phrases[i], lower) == 0)
      run->out->items[run->out->count++] = (struct value_match){i, column, arena_strdup(run->arena, value)};
}

static const char *lower_of(struct arena *arena, const char *text) {
  char *out = arena_strdup(arena, text);
  for (char *c = out; c && *c; c++) {
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 32);
    unsigned char next = (unsigned char)c[1];
    if ((unsigned char)*c == 0xC3 && next >= 0x80 && next <= 0x9E && next != 0x97) *++c = (char)(next + 32);
  }
  return out;
}

static size_t column_at(const struct lookup_run *run, const char *schema, const char *table, const char *column) {
  size_t i = 0;
  while (i < run->column_count && (strcmp(run->columns[i].column->name, column) != 0 || strcmp(run->columns[i].table->name, table) != 0 ||
                                   strcmp(run->columns[i].table->schema, schema) != 0))
    i++;
  return i;
}

static bool few_rows(const struct snap_table *table) {
  bool plain = table->kind == SNAP_TABLE || table->kind == SNAP_PARTITIONED || table->kind == SNAP_MATVIEW;
  return plain && !guard_reads_foreign(table) && table->rows <= LIMIT_VALUE_PROBE_ROWS && table->bytes <= LIMIT_VALUE_PROBE_BYTES;
}

/* The statistics of columns whose rows are too many to look at. */
static enum status common_values(struct lookup_run *run, const char *phrases, struct error *err) {
  const char **names[3], *params[4] = {phrases};
  size_t count = 0;
  for (size_t i = 0; i < 3; i++)
    if (!(names[i] = arena_calloc(run->arena, run->column_count + 1, sizeof *names[i]))) return error_oom(err);
  for (size_t i = 0; i < run->column_count; i++) {
    if (few_rows(run->columns[i].table)) continue;
    names[0][count] = run->columns[i].table->schema;
    names[1][count] = run->columns[i].table->name;
    names[2][count++] = run->columns[i].column->name;
  }
  if (!count) return OK;
  for (size_t i = 0; i < 3; i++)
    if (!(params[i + 1] = text_array(run->arena, names[i], count))) return error_oom(err);
  run->out->partial = true;
  PGRESULT_AUTO res = NULL;
  enum status status = run->live->query(run->live->session, common_values_sql, 4, params, &res, err);
  for (int i = 0; !status && i < PQntuples(res); i++) {
    size_t column = column_at(run, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1), PQgetvalue(res, i, 2));
    if (column < run->column_count) add(run, column, PQgetvalue(res, i, 3), lower_of(run->arena, PQgetvalue(res, i, 3)));
  }
  return status;
}

/* The columns from `at` on that are of one table: read in one pass. */
static size_t columns_together(const struct lookup_run *run, size_t at) {
  size_t n = 1;
  while (at + n < run->column_count && run->columns[at + n].table == run->columns[at].table) n++;
  return n;
}

/* concat(): a cast to text may be one that somebody made. */
static void put_probe(struct buf *sql, const struct lookup_run *run, size_t at, size_t count) {
  const struct snap_table *table = run->columns[at].table;
  const char *name = sql_qualified(run->arena, table->schema, table->name);
  if (!name) return;
  buf_printf(sql, "%s(SELECT DISTINCT u.n, u.v FROM %s AS t, LATERAL (VALUES ", sql->len ? " UNION ALL " : "", name);
  for (size_t i = at; i < at + count; i++) {
    const char *column = sql_ident(run->arena, run->columns[i].column->name);
    buf_printf(sql, "%s(%zu, pg_catalog.concat(t.%s))", i > at ? ", " : "", i, column ? column : "");
  }
  buf_printf(sql, ") AS u (n, v) WHERE pg_catalog.lower(u.v) = ANY ($1::pg_catalog.text[]) LIMIT %zu)", PER_COLUMN * count);
}

static enum status probe(struct lookup_run *run, const char *phrases, const char *sql, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = run->live->query(run->live->session, sql, 1, &phrases, &res, err);
  for (int i = 0; !status && i < PQntuples(res); i++) {
    size_t column = (size_t)strtoul(PQgetvalue(res, i, 0), NULL, 10);
    if (column < run->column_count) add(run, column, PQgetvalue(res, i, 1), lower_of(run->arena, PQgetvalue(res, i, 1)));
  }
  return status;
}

static enum status rows(struct lookup_run *run, const char *phrases, struct error *err) {
  for (size_t at = 0; at < run->column_count;) {
    BUF_AUTO sql;
    buf_init(&sql, STATEMENT_BYTES);
    for (size_t asked = 0, count; at < run->column_count && asked < BATCH; at += count) {
      count = columns_together(run, at);
      if (!few_rows(run->columns[at].table)) continue;
      put_probe(&sql, run, at, count);
      asked += count;
    }
    if (!buf_ok(&sql)) return error_oom(err);
    enum status status = sql.len ? probe(run, phrases, buf_str(&sql), err) : OK;
    if (status) return status;
  }
  return OK;
}

static enum status find(void *arg, struct arena *arena, const char *const *phrases, size_t phrase_count, const struct value_column *columns,
                        size_t column_count, struct value_matches *ret_matches, struct error *err) {
  struct value_matches out = {.items = arena_calloc(arena, MATCHES_MAX, sizeof *out.items)};
  struct lookup_run run = {arg, arena, phrases, phrase_count, columns, column_count, &out};
  const char *array = text_array(arena, phrases, phrase_count);
  if (!out.items || !array) return error_oom(err);
  enum status status = common_values(&run, array, err);
  if (!status && rows(&run, array, err)) { /* what the statistics said stands */
    out.partial = true;
    error_clear(err);
  }
  if (!status) *ret_matches = out;
  return status;
}

struct value_source values_live_source(struct values_live *live) {
  return (struct value_source){find, live};
}

static enum status ask_session(void *session, const char *sql, int nparams, const char *const *params, PGresult **ret_res,
                               struct error *err) {
  return query_session_query(session, sql, nparams, params, ret_res, err);
}

struct values_live values_live_session(struct query_session *session) {
  return (struct values_live){ask_session, session};
}

/* --- samples --- */

#define SAMPLED_DISTINCT "50" /* a column of more values is no list of kinds */

static const char samples_sql[] =
    "SELECT s.schemaname || '.' || s.tablename || '.' || s.attname, pg_catalog.to_json(s.most_common_vals::text::text[])"
    " FROM pg_catalog.pg_stats AS s JOIN ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), "
    "pg_catalog.unnest($3::text[])) AS w (schemaname, tablename, attname)"
    " USING (schemaname, tablename, attname) WHERE s.most_common_vals IS NOT NULL AND s.n_distinct > -1 AND s.n_distinct "
    "<= " SAMPLED_DISTINCT " AND pg_catalog.cardinality(s.most_common_vals::text::text[]) <= " SAMPLED_DISTINCT " LIMIT 400";

static bool is_text(const struct snap_column *column) {
  const char *type = column->base_type ? column->base_type : column->type;
  return strncmp(type, "text", 4) == 0 || strncmp(type, "character", 9) == 0;
}

const json_t *values_live_samples(struct values_live *live, struct arena *arena, const struct snap_table *const *tables, size_t count) {
  enum { COLUMNS = 400 };
  const char **names[3] = {arena_calloc(arena, COLUMNS, sizeof **names), arena_calloc(arena, COLUMNS, sizeof **names),
                           arena_calloc(arena, COLUMNS, sizeof **names)};
  size_t n = 0;
  if (!names[0] || !names[1] || !names[2]) return NULL;
  for (size_t t = 0; t < count; t++)
    for (size_t c = 0; c < tables[t]->column_count && n < COLUMNS; c++) {
      if (!is_text(&tables[t]->columns[c])) continue;
      names[0][n] = tables[t]->schema;
      names[1][n] = tables[t]->name;
      names[2][n++] = tables[t]->columns[c].name;
    }
  const char *params[] = {text_array(arena, names[0], n), text_array(arena, names[1], n), text_array(arena, names[2], n)};
  ERROR_AUTO ignored = {0};
  PGRESULT_AUTO res = NULL;
  if (!n || !params[0] || !params[1] || !params[2] || live->query(live->session, samples_sql, 3, params, &res, &ignored)) return NULL;
  json_t *samples = json_object();
  for (int i = 0; samples && i < PQntuples(res); i++)
    json_object_set_new(samples, PQgetvalue(res, i, 0), json_loads(PQgetvalue(res, i, 1), 0, NULL));
  return arena_json(arena, samples);
}
