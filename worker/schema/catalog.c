/* catalog.c - runs the catalog queries and hangs their rows into one JSON tree.
 *
 * The server builds the JSON of each object; here a row only has to find its place: the object of its parent's oid (a hash), so the work is
 * linear in the number of rows. Rows arrive in chunks, so what a server can make us hold is bounded by LIMIT_INTROSPECT_BYTES, not by what
 * it likes to send.
 *
 * Structure comes first and is fingerprinted before the first statistic is merged in: what changes without DDL can't change the
 * fingerprint. Statistics queries run under a savepoint each; one that fails (no right, a locked table) becomes a warning.
 *
 * Catalog rows are read at the transaction's snapshot, but pg_get_*() look at the present: an object dropped in between shows as an error
 * or a NULL. Errors of that kind are reported as SCHEMA_CHANGING and the caller starts over. */
#include "worker/schema/catalog.h"

#include "common/crypto.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/utf8.h"
#include "worker/schema/catalog_sql.h"

static const char begin_sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/* ---- rows to JSON ---- */

/* A database in SQL_ASCII hands out whatever bytes were stored. */
static void make_utf8(char *text, size_t len) {
  for (size_t i = 0; i < len;) {
    size_t step = utf8_char(text + i, len - i);
    if (!step) text[i] = '?';
    i += step ? step : 1;
  }
}

static json_t *parse(const PGresult *res, int row, int col, struct error *err) {
  char *text = PQgetvalue(res, row, col);
  size_t len = (size_t)PQgetlength(res, row, col);
  make_utf8(text, len);
  json_error_t problem;
  json_t *value = json_loadb(text, len, JSON_DECODE_ANY, &problem);
  if (!value) error_set(err, ERR_INTERNAL, "the server sent JSON that can't be read: %s", problem.text);
  return value;
}

static void set_column_stats(json_t *table, const json_t *by_column) {
  size_t i;
  json_t *column;
  json_array_foreach(json_object_get(table, "columns"), i, column)
      json_object_set(column, "stats", json_object_get(by_column, json_str(column, "name", "")));
}

/* Takes value. */
static int place(struct catalog_reader *reader, json_t *parent, const char *key, const char *self, json_t *take) {
  int failed = 0;
  if (self) failed |= json_object_set(reader->by_oid, self, take);
  const json_t *there = key ? json_object_get(parent, key) : NULL;
  if (!key)
    failed |= json_object_update(parent, take);
  else if (strcmp(key, "@columns") == 0)
    set_column_stats(parent, take);
  else if (json_is_array(there) && !json_is_array(take))
    failed |= json_array_append(json_object_get(parent, key), take);
  else
    failed |= json_object_set(parent, key, take);
  json_decref(take);
  return failed;
}

static enum status place_row(struct catalog_reader *reader, const PGresult *res, int row, struct error *err) {
  const char *parent_oid = pg_str(res, row, 1);
  json_t *parent = parent_oid ? json_object_get(reader->by_oid, parent_oid) : reader->root;
  reader->bytes += (size_t)PQgetlength(res, row, 3);
  if (reader->bytes > LIMIT_INTROSPECT_BYTES)
    return error_set(err, ERR_TOO_LARGE, "the schema takes more than %d MiB: exclude schemas (excluded_schemas) or name some (?schemas=)",
                     LIMIT_INTROSPECT_BYTES >> 20);
  if (!parent || PQgetisnull(res, row, 3)) return OK;
  json_t *value = parse(res, row, 3, err);
  if (!value) return err->status;
  return place(reader, parent, pg_str(res, row, 2), pg_str(res, row, 0), value) ? error_oom(err) : OK;
}

/* ---- queries ---- */

static bool sqlstate_is(const struct error *err, const char *const *states) {
  const char *state = json_str(err->details, "sqlstate", "");
  for (; *states; states++)
    if (strcmp(state, *states) == 0) return true;
  return false;
}

/* What a failed catalog query means to whoever asked for the introspection. */
static enum status explain(struct error *err, const char *step) {
  static const char *const locked[] = {"55P03", NULL}, *const slow[] = {"57014", NULL};
  static const char *const changing[] = {"XX000", "42P01", "42704", "42883", "42703", NULL};
  if (sqlstate_is(err, locked))
    return error_set(err, ERR_UNAVAILABLE, "reading %s: a relation is locked by another session (waited 2 s)", step);
  if (sqlstate_is(err, slow))
    return error_set(err, ERR_TIMEOUT, "reading %s took longer than %d s", step, LIMIT_INTROSPECT_STATEMENT_MS / 1000);
  if (sqlstate_is(err, changing)) {
    error_prefix(err, "the schema changed while %s were read", step);
    snprintf(err->code, sizeof err->code, "SCHEMA_CHANGING");
    return err->status = ERR_UNAVAILABLE;
  }
  error_prefix(err, "reading %s", step);
  return err->status;
}

/* Reads chunks to the end of the query. A failure on our side leaves the query unfinished: the connection is of no more use then. */
static enum status read_query(struct catalog_reader *reader, const struct catalog_query *query, struct error *err) {
  const char *const params[] = {reader->namespaces};
  if (!PQsendQueryParams(reader->conn, query->sql, 1, NULL, params, NULL, NULL, 0)) return pg_error(reader->conn, NULL, err);
  PQsetChunkedRowsMode(reader->conn, 256);
  enum status status = OK;
  for (;;) {
    PGRESULT_AUTO res = PQgetResult(reader->conn);
    if (!res) return status;
    ExecStatusType kind = PQresultStatus(res);
    if (kind != PGRES_TUPLES_OK && kind != PGRES_TUPLES_CHUNK) {
      if (!status) status = pg_error(reader->conn, res, err);
      continue;
    }
    for (int row = 0; row < PQntuples(res); row++)
      if ((status = place_row(reader, res, row, err))) return status;
  }
}

static void warn(struct catalog_reader *reader, const char *step, const struct error *err) {
  json_t *text = json_sprintf("%s are missing: %s", step, err->message);
  json_array_append_new(json_object_get(reader->root, "warnings"), text);
}

/* Statistics are welcome, not needed: a server's refusal is a warning. */
static enum status read_statistics(struct catalog_reader *reader, const struct catalog_query *query, struct error *err) {
  enum status status = pg_script(reader->conn, "SAVEPOINT statistics", err);
  if (status) return status;
  ERROR_AUTO refusal = {0};
  status = read_query(reader, query, &refusal);
  if (!status) return pg_script(reader->conn, "RELEASE statistics", err);
  if (PQtransactionStatus(reader->conn) != PQTRANS_INERROR) return error_set(err, status, "%s", refusal.message);
  warn(reader, query->step, &refusal);
  if (strcmp(query->step, "operators") == 0 || strcmp(query->step, "casts") == 0)
    json_object_del(reader->root, query->step); /* not known is not none */
  return pg_script(reader->conn, "ROLLBACK TO statistics; RELEASE statistics", err);
}

static enum status query_row(struct catalog_reader *reader, const char *sql, int nparams, const char *const *params, PGresult **ret_res,
                             struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(reader->conn, sql, nparams, params, &res, err);
  if (status) return status;
  if (PQntuples(res) < 1) return error_set(err, ERR_INTERNAL, "the server's catalogs gave no answer about the current database");
  *ret_res = res;
  res = NULL;
  return OK;
}

/* ---- beginning: session, settings, schemas ---- */

static enum status begin_session(struct catalog_reader *reader, struct error *err) {
  const char *encoding = PQparameterStatus(reader->conn, "server_encoding");
  if (encoding && strcmp(encoding, "SQL_ASCII") == 0)
    PQsetClientEncoding(reader->conn, "SQL_ASCII"); /* else it refuses to send what isn't UTF-8 */
  enum status status = pg_script(reader->conn, begin_sql, err);
  PGRESULT_AUTO session = NULL;
  PGRESULT_AUTO database = NULL;
  PGRESULT_AUTO exported = NULL;
  if (status || (status = query_row(reader, catalog_session_sql, 0, NULL, &session, err)) ||
      (status = pg_exec(reader->conn, catalog_guard_sql, 0, NULL, err)))
    return status;
  const char *const path[] = {pg_str(session, 0, 0)};
  if ((status = query_row(reader, catalog_database_sql, 1, path, &database, err)) ||
      (status = query_row(reader, "SELECT pg_export_snapshot()", 0, NULL, &exported, err)))
    return status;
  json_t *about = parse(database, 0, 0, err);
  json_t *schemas = about ? parse(database, 0, 2, err) : NULL;
  reader->database = about;
  json_object_set_new(reader->root, "search_path_schemas", schemas);
  if (!about || !schemas) return err->status;
  json_set_str(reader->root, "search_path", pg_str(database, 0, 1));
  json_set_str(reader->root, "timezone", pg_str(session, 0, 1));
  reader->has_extensions = pg_bool(database, 0, 3);
  reader->snapshot_name = arena_strdup(reader->arena, pg_str(exported, 0, 0));
  return reader->snapshot_name ? OK : error_oom(err);
}

/* A wanted schema that isn't there is a typo, which must not pass silently. */
static enum status check_wanted(struct catalog_reader *reader, int found, struct error *err) {
  if (!reader->wanted) return OK;
  static const char missing_sql[] =
      "SELECT string_agg(quote_ident(w), ', ' ORDER BY w) FROM unnest($1::text[]) w WHERE w NOT IN (SELECT nspname FROM pg_namespace) "
      "OR w = ANY ($2::text[]) OR w ~ '^pg_' OR w = 'information_schema'";
  const char *const params[] = {reader->wanted, reader->excluded};
  PGRESULT_AUTO res = NULL;
  enum status status = query_row(reader, missing_sql, 2, params, &res, err);
  if (status) return status;
  if (pg_str(res, 0, 0)) return error_add_field(err, "schemas", "there is no such schema, or it is excluded: %s", pg_str(res, 0, 0));
  return found ? OK : error_add_field(err, "schemas", "names no schema");
}

static enum status read_schemas(struct catalog_reader *reader, struct error *err) {
  const char *const params[] = {reader->excluded, reader->wanted};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(reader->conn, catalog_schemas_sql, 2, params, &res, err);
  if (status || (status = check_wanted(reader, PQntuples(res), err))) return status;
  int rows = PQntuples(res);
  const char **oids = arena_calloc(reader->arena, (size_t)rows + 1, sizeof *oids);
  if (!oids) return error_oom(err);
  for (int row = 0; row < rows; row++) {
    json_t *details = parse(res, row, 2, err);
    if (!details) return err->status;
    oids[row] = pg_str(res, row, 0);
    json_append_str(json_object_get(reader->root, "schemas"), json_str(details, "name", "?"));
    json_array_append_new(json_object_get(reader->root, "schema_details"), details);
  }
  reader->namespaces = pg_array_param(reader->arena, oids, (size_t)rows);
  return reader->namespaces ? OK : error_oom(err);
}

static json_t *skeleton(int major) {
  static const char *const lists[] = {"schemas",    "schema_details", "tables",         "views",       "enums",
                                      "domains",    "composites",     "ranges",         "sequences",   "functions",
                                      "collations", "extensions",     "event_triggers", "publications"};
  json_t *root = json_pack("{s:i}", "server_major", major);
  for (size_t i = 0; root && i < sizeof lists / sizeof *lists; i++) json_object_set_new(root, lists[i], json_array());
  return root;
}

enum status catalog_begin(struct catalog_reader *reader, struct error *err) {
  reader->root = skeleton(reader->major);
  reader->by_oid = json_object();
  reader->bytes = 0;
  if (!reader->root || !reader->by_oid) return error_oom(err);
  enum status status = begin_session(reader, err);
  if (!status) status = read_schemas(reader, err);
  return status;
}

/* ---- totals of partitioned tables ---- */

#define PARTITION_DEPTH 64 /* levels of partitions whose sizes are added up */

static char *table_key(const json_t *named, char *out, size_t size) {
  const char *schema = json_str(named, "schema", "");
  snprintf(out, size, "%zu.%s.%s", strlen(schema), schema, json_str(named, "name", ""));
  return out;
}

static void add(json_t *table, const char *key, long long more) {
  json_object_set_new(table, key, json_integer(json_int(table, key, 0) + more));
}

/* A partitioned table has no storage and often no row estimate: it is as large as its leaves. */
static void add_to_parents(const json_t *by_name, json_t *leaf) {
  char key[160];
  long long rows = json_int(leaf, "estimated_rows", -1), bytes = json_int(leaf, "total_bytes", 0);
  json_t *table = leaf;
  for (int depth = 0; depth < PARTITION_DEPTH && json_is_string(json_object_get(table, "partition_of")); depth++) {
    table = json_object_get(by_name, table_key(json_array_get(json_object_get(table, "parents"), 0), key, sizeof key));
    if (!table) return;
    add(table, "total_bytes", bytes);
    if (rows < 0) continue;
    if (!json_object_get(table, "leaf_rows")) json_object_set_new(table, "leaf_rows", json_integer(0));
    add(table, "leaf_rows", rows);
  }
}

static void total_partitions(json_t *tables) {
  json_t *by_name = json_object(), *table;
  size_t i;
  char key[160];
  json_array_foreach(tables, i, table) {
    if (json_array_size(json_object_get(table, "parents")) || strcmp(json_str(table, "kind", ""), "partitioned_table") == 0)
      json_object_set(by_name, table_key(table, key, sizeof key), table);
  }
  json_array_foreach(tables, i, table) if (strcmp(json_str(table, "kind", ""), "partitioned_table") != 0) add_to_parents(by_name, table);
  json_array_foreach(tables, i, table) {
    json_t *rows = json_object_get(table, "leaf_rows");
    if (!rows) continue;
    if (json_int(table, "estimated_rows", -1) < 0) json_object_set(table, "estimated_rows", rows);
    json_object_del(table, "leaf_rows");
  }
  json_decref(by_name);
}

/* ---- reading ---- */

/* From here on only what DDL doesn't make is added. */
static enum status take_fingerprint(struct catalog_reader *reader, struct error *err) {
  char *canonical = json_canonical(reader->root);
  if (!canonical) return error_oom(err);
  crypto_sha256_hex(canonical, strlen(canonical), reader->fingerprint);
  free(canonical);
  json_object_set(reader->root, "database", reader->database);
  json_object_set_new(reader->root, "warnings", json_array());
  json_object_set_new(reader->root, "roles", json_array());
  json_object_set_new(reader->root, "operators", json_array());
  json_object_set_new(reader->root, "casts", json_array());
  return OK;
}

static enum status read_settings(struct catalog_reader *reader, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = query_row(reader, catalog_settings_sql, 0, NULL, &res, err);
  if (status) return status;
  json_t *settings = parse(res, 0, 0, err);
  if (!settings) return err->status;
  return json_object_set_new(reader->root, "settings", settings) ? error_oom(err) : OK;
}

enum status catalog_read(struct catalog_reader *reader, struct error *err) {
  bool fingerprinted = false;
  enum status status = OK;
  for (int i = 0; !status && i < catalog_query_count; i++) {
    const struct catalog_query *query = &catalog_queries[i];
    if (reader->major < query->from || reader->major > query->to) continue;
    if (reader->progress) reader->progress(reader->arg, i, catalog_query_count, query->step);
    if (!query->structure && !fingerprinted) {
      fingerprinted = true;
      if ((status = take_fingerprint(reader, err))) return status;
    }
    if (!query->structure)
      status = read_statistics(reader, query, err);
    else if ((status = read_query(reader, query, err)))
      status = explain(err, query->step);
  }
  if (!status) status = read_settings(reader, err);
  if (!status) total_partitions(json_object_get(reader->root, "tables"));
  return status;
}

void catalog_end(struct catalog_reader *reader) {
  ERROR_AUTO ignored = {0};
  if (PQtransactionStatus(reader->conn) != PQTRANS_IDLE && pg_script(reader->conn, "ROLLBACK", &ignored))
    error_clear(&ignored); /* the connection is gone, and the transaction with it */
  json_decref(reader->root);
  json_decref(reader->by_oid);
  json_decref(reader->database);
  reader->root = reader->by_oid = reader->database = NULL;
}
