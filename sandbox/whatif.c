/* whatif.c - see whatif.h. Statistics are written by the superuser, whose statements are all built here; indexes are made, and queries
 * explained, by the migrator, since both run code of the client's. */
#include "sandbox/whatif.h"

#include <math.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/pg.h"
#include "sandbox/session.h"
#include "sandbox/whatif_impl.h"

#define PROBLEMS_MAX 100
#define PAGES_MAX ((int64_t)20000 * WHATIF_SEGMENT_PAGES) /* 20 TB: a file a GiB, and the sandbox has so many of them */
#define FIRST_NODE 3000000000u                            /* far above what the server gives */
#define EXPLAIN_MS "10000"

struct whatif {
  struct sandbox *sandbox;
  struct arena *arena;
  PGconn *tracer, *session;
  uint32_t next_node;
};

static enum status take_error(struct error *err, struct error *from) {
  error_clear(err);
  *err = *from;
  *from = (struct error){0};
  return err->status;
}

int whatif_btree_height(int64_t pages, double key_bytes) {
  double tuple = 8 * ceil((8 + (key_bytes > 0 ? key_bytes : 8)) / 8) + 4; /* MAXALIGN(IndexTupleData and key), ItemIdData */
  double fanout = fmax(2, floor(0.7 * (WHATIF_PAGE - 40) / tuple));
  int height = 0;
  for (double level = (double)pages - 1; level > 1.5; level = ceil(level / fanout)) height++;
  return height;
}

/* --- opening --- */

/* How text is compared decides whether LIKE 'a%' can use an index. A database's own rule is read when a session begins. */
static enum status take_collation(struct whatif *whatif, const json_t *settings, struct error *err) {
  const char *collate = json_str(settings, "lc_collate", "");
  if (strcmp(collate, "C") != 0 && strcmp(collate, "POSIX") != 0) return OK;
  static const char sql[] = "UPDATE pg_catalog.pg_database SET datcollate = 'C', datctype = 'C' WHERE datname = 'sandbox'";
  return pg_exec(whatif->tracer, sql, 0, NULL, err);
}

static enum status take_settings(struct whatif *whatif, const json_t *settings, struct error *err) {
  char *text = json_dumps(settings, JSON_COMPACT);
  PGRESULT_AUTO res = NULL;
  enum status status =
      text ? pg_query(whatif->session, whatif_apply_settings_sql, 1, (const char *const[]){text}, &res, err) : error_oom(err);
  free(text);
  for (int row = 0; !status && row < PQntuples(res); row++) {
    const char *const params[] = {pg_str(res, row, 0), pg_str(res, row, 1)};
    ERROR_AUTO refused = {0};
    status = pg_exec(whatif->session, "SELECT pg_catalog.set_config($1, $2, false)", 2, params, &refused);
    if (status == ERR_VALIDATION) status = OK; /* a value of another major */
    if (status) status = take_error(err, &refused);
  }
  return status;
}

static enum status open_sessions(struct whatif *whatif, const json_t *settings, struct error *err) {
  enum status status = sandbox_connect_tracer(whatif->sandbox, &whatif->tracer, err);
  if (!status) status = pg_script(whatif->tracer, "SET allow_system_table_mods = on", err);
  if (!status) status = take_collation(whatif, settings, err);
  if (!status) status = sandbox_connect_migrator(whatif->sandbox, &whatif->session, err);
  if (!status) status = pg_script(whatif->session, "SET statement_timeout = " EXPLAIN_MS, err);
  return status || !settings ? status : take_settings(whatif, settings, err);
}

enum status whatif_new(struct sandbox *sandbox, const json_t *settings, struct arena *arena, struct whatif **ret_whatif,
                       struct error *err) {
  struct whatif *whatif = ARENA_NEW(arena, struct whatif);
  if (!whatif) return error_oom(err);
  *whatif = (struct whatif){.sandbox = sandbox, .arena = arena, .next_node = FIRST_NODE};
  enum status status = open_sessions(whatif, settings, err);
  if (status)
    whatif_free(whatif);
  else
    *ret_whatif = whatif;
  return status;
}

void whatif_free(struct whatif *whatif) {
  if (!whatif) return;
  PQfinish(whatif->tracer);
  PQfinish(whatif->session);
}

PGconn *whatif_session(struct whatif *whatif) { return whatif->session; }

/* --- sizes --- */

static void problem(struct whatif_report *report, const char *relation, const char *column, const char *message) {
  if (json_array_size(report->problems) >= PROBLEMS_MAX) return;
  json_t *entry = json_pack("{s:s, s:s}", "relation", relation, "message", message);
  if (column) json_set_str(entry, "column", column);
  json_array_append_new(report->problems, entry);
}

static enum status report_init(struct whatif *whatif, struct whatif_report *report, struct error *err) {
  if (!report->problems) report->problems = arena_json(whatif->arena, json_array());
  return report->problems ? OK : error_oom(err);
}

/* The server keeps pages of the old file in memory, so the new one has another name. */
static enum status replace_btree(struct whatif *whatif, const char *oid, const char *path, int height, int64_t pages, struct error *err) {
  char node[16];
  snprintf(node, sizeof node, "%u", whatif->next_node);
  enum status status = whatif_file_btree(sandbox_root(whatif->sandbox), path, whatif->next_node++, height, pages, err);
  if (status) return status;
  return pg_exec(whatif->tracer, "UPDATE pg_catalog.pg_class SET relfilenode = $2::oid WHERE oid = $1::oid", 2,
                 (const char *const[]){oid, node}, err);
}

static enum status size_one(struct whatif *whatif, const PGresult *res, int row, struct whatif_report *report, struct error *err) {
  const char *method = pg_str(res, row, 2), *path = pg_str(res, row, 3);
  int64_t pages = pg_int(res, row, 4, 0);
  if (!*path) return OK; /* a parent of partitions */
  if (pages > PAGES_MAX) {
    problem(report, pg_str(res, row, 6), NULL, "larger than 20 TB: counted as that large");
    pages = PAGES_MAX;
  }
  if (*pg_str(res, row, 1) == 'i' && strcmp(method, "btree") == 0) {
    int height = (int)pg_int(res, row, 5, whatif_btree_height(pages, strtod(pg_str(res, row, 7), NULL)));
    return replace_btree(whatif, pg_str(res, row, 0), path, height, pages, err);
  }
  if (*pg_str(res, row, 1) == 'i' && pages == 0) return OK;
  return whatif_file_extend(sandbox_root(whatif->sandbox), path, pages, err);
}

static enum status set_sizes(struct whatif *whatif, const char *relations, struct whatif_report *report, struct error *err) {
  PGRESULT_AUTO res = NULL;
  const char *const params[] = {relations};
  enum status status = pg_query(whatif->tracer, whatif_find_relations_sql, 1, params, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) status = size_one(whatif, res, row, report, err);
  if (!status) status = pg_exec(whatif->tracer, whatif_set_relations_sql, 1, params, err);
  if (!status) report->relations += PQntuples(res);
  return status;
}

/* Ends the tracer's transaction as the work in it ended. */
static enum status end_transaction(struct whatif *whatif, enum status status, struct error *err) {
  ERROR_AUTO ignored = {0};
  if (!status) return pg_script(whatif->tracer, "COMMIT", err);
  if (pg_script(whatif->tracer, "ROLLBACK", &ignored)) PQreset(whatif->tracer);
  return status;
}

enum status whatif_sizes(struct whatif *whatif, const json_t *relations, struct whatif_report *ret_report, struct error *err) {
  struct whatif_report report = *ret_report;
  char *text = json_dumps(relations, JSON_COMPACT);
  enum status status = text ? report_init(whatif, &report, err) : error_oom(err);
  if (!status) status = pg_script(whatif->tracer, "BEGIN", err);
  if (!status) status = end_transaction(whatif, set_sizes(whatif, text, &report, err), err);
  free(text);
  if (!status) *ret_report = report;
  return status;
}

/* --- column statistics --- */

static enum status write_columns(struct whatif *whatif, const json_t *columns, int *ret_count, struct error *err) {
  char *text = json_dumps(columns, JSON_COMPACT);
  if (!text) return error_oom(err);
  const char *const params[] = {text};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_script(whatif->tracer, "BEGIN", err);
  if (!status) {
    status = pg_exec(whatif->tracer, whatif_forget_columns_sql, 1, params, err);
    if (!status) status = pg_query(whatif->tracer, whatif_columns_sql, 1, params, &res, err);
    status = end_transaction(whatif, status, err);
  }
  free(text);
  if (!status) *ret_count = (int)strtol(PQcmdTuples(res), NULL, 10);
  return status;
}

/* One by one, after all together failed: a value that the clone's type doesn't know costs its own column's statistics only. */
static enum status write_each(struct whatif *whatif, const json_t *columns, struct whatif_report *report, struct error *err) {
  size_t index;
  json_t *column;
  json_array_foreach((json_t *)(uintptr_t)columns, index, column) {
    ERROR_AUTO refused = {0};
    int count = 0;
    json_t *alone = json_pack("[O]", column);
    enum status status = alone ? write_columns(whatif, alone, &count, &refused) : ERR_INTERNAL;
    json_decref(alone);
    if (status == ERR_VALIDATION) {
      problem(report, json_str(column, "t", ""), json_str(column, "c", NULL), refused.message);
    } else if (status) {
      return take_error(err, &refused);
    }
    report->columns += count;
  }
  return OK;
}

enum status whatif_columns(struct whatif *whatif, const json_t *columns, struct whatif_report *ret_report, struct error *err) {
  struct whatif_report report = *ret_report;
  int count = 0;
  enum status status = report_init(whatif, &report, err);
  if (!status) status = write_columns(whatif, columns, &count, err);
  report.columns += count;
  if (status == ERR_VALIDATION) {
    error_clear(err);
    status = write_each(whatif, columns, &report, err);
  }
  if (!status) *ret_report = report;
  return status;
}

enum status whatif_import(struct whatif *whatif, const json_t *relations, const json_t *columns, struct whatif_report *ret_report,
                          struct error *err) {
  struct whatif_report report = {0};
  enum status status = whatif_columns(whatif, columns, &report, err);
  if (!status) status = whatif_sizes(whatif, relations, &report, err);
  if (!status) *ret_report = report;
  return status;
}

/* --- indexes --- */

/* The table, with its partitions at every depth: oid, path, pages its file has, and its counts. */
static const char family_sql[] =
    "WITH RECURSIVE family(oid) AS (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = $1 AND c.relname = $2 AND c.oid >= 16384 AND c.relkind IN ('r', 'm', 'p') UNION ALL "
    "SELECT i.inhrelid FROM family f JOIN pg_catalog.pg_inherits i ON i.inhparent = f.oid JOIN pg_catalog.pg_class p ON p.oid = f.oid "
    "WHERE p.relkind = 'p') SELECT c.oid, coalesce(pg_catalog.pg_relation_filepath(c.oid), ''), "
    "pg_catalog.pg_relation_size(c.oid) / 8192, c.relpages, c.reltuples, c.relallvisible FROM family f JOIN pg_catalog.pg_class c "
    "ON c.oid = f.oid WHERE c.relkind IN ('r', 'm', 'p')";

static enum status fill_again(struct whatif *whatif, const PGresult *family, struct error *err) {
  static const char counts_sql[] =
      "UPDATE pg_catalog.pg_class SET relpages = $2::int, reltuples = $3::real, relallvisible = $4::int "
      "WHERE oid = $1::oid AND (relpages, reltuples, relallvisible) IS DISTINCT FROM ($2::int, $3::real, $4::int)";
  enum status status = OK;
  for (int row = 0; !status && row < PQntuples(family); row++) {
    const char *const params[] = {pg_str(family, row, 0), pg_str(family, row, 3), pg_str(family, row, 4), pg_str(family, row, 5)};
    int64_t pages = pg_int(family, row, 2, 0);
    if (pages > 0) status = whatif_file_extend(sandbox_root(whatif->sandbox), pg_str(family, row, 1), pages, err);
    if (!status) status = pg_exec(whatif->tracer, counts_sql, 4, params, err);
  }
  return status;
}

static const char indexes_sql[] =
    "SELECT i.indexrelid, n.nspname || '.' || c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON "
    "c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'i' AND i.indrelid = ANY ($1::oid[])";

static const char *oids_of(struct whatif *whatif, const PGresult *family) {
  const char **oids = arena_calloc(whatif->arena, (size_t)PQntuples(family), sizeof *oids);
  for (int row = 0; oids && row < PQntuples(family); row++) oids[row] = pg_str(family, row, 0);
  return oids ? pg_array_param(whatif->arena, oids, (size_t)PQntuples(family)) : NULL;
}

static bool had(const PGresult *before, const char *oid) {
  for (int row = 0; row < PQntuples(before); row++)
    if (strcmp(PQgetvalue(before, row, 0), oid) == 0) return true;
  return false;
}

static enum status make_index(struct whatif *whatif, const PGresult *family, const char *sql, json_t *made, struct error *err) {
  const char *oids = oids_of(whatif, family);
  const char *const params[] = {oids};
  PGRESULT_AUTO before = NULL;
  PGRESULT_AUTO after = NULL;
  enum status status = oids ? pg_query(whatif->tracer, indexes_sql, 1, params, &before, err) : error_oom(err);
  if (!status) status = pg_exec(whatif->session, sql, 0, NULL, err);
  if (!status) status = pg_query(whatif->tracer, indexes_sql, 1, params, &after, err);
  for (int row = 0; !status && row < PQntuples(after); row++)
    if (!had(before, PQgetvalue(after, row, 0))) json_append_str(made, pg_str(after, row, 1));
  return status;
}

static enum status family_of(struct whatif *whatif, const char *schema, const char *table, PGresult **ret_family, struct error *err) {
  enum status status = pg_query(whatif->tracer, family_sql, 2, (const char *const[]){schema, table}, ret_family, err);
  if (!status && PQntuples(*ret_family) == 0) return error_set(err, ERR_NOT_FOUND, "the clone has no table %s.%s", schema, table);
  return status;
}

static enum status empty_all(struct whatif *whatif, const PGresult *family, struct error *err) {
  enum status status = OK;
  for (int row = 0; !status && row < PQntuples(family); row++)
    if (pg_int(family, row, 2, 0) > 0) status = whatif_file_empty(sandbox_root(whatif->sandbox), pg_str(family, row, 1), err);
  return status;
}

/* After the work on empty files, however it went. */
static enum status filled(struct whatif *whatif, const PGresult *family, enum status status, struct error *err) {
  ERROR_AUTO later = {0};
  enum status again = fill_again(whatif, family, &later);
  return again && !status ? take_error(err, &later) : status;
}

enum status whatif_create_index(struct whatif *whatif, const char *schema, const char *table, const char *sql, json_t **ret_made,
                                struct error *err) {
  PGRESULT_AUTO family = NULL;
  json_t *made = arena_json(whatif->arena, json_array());
  if (!made) return error_oom(err);
  enum status status = family_of(whatif, schema, table, &family, err);
  if (status) return status;
  status = empty_all(whatif, family, err);
  if (!status) status = make_index(whatif, family, sql, made, err);
  status = filled(whatif, family, status, err);
  if (!status) *ret_made = made;
  return status;
}

enum status whatif_create_indexes(struct whatif *whatif, const char *schema, const char *table, const char *const *sqls, size_t count,
                                  bool *ret_refused, struct error *err) {
  PGRESULT_AUTO family = NULL;
  enum status status = family_of(whatif, schema, table, &family, err);
  if (status) return status;
  status = empty_all(whatif, family, err);
  for (size_t i = 0; !status && i < count; i++) {
    ERROR_AUTO refused = {0};
    status = pg_exec(whatif->session, sqls[i], 0, NULL, &refused);
    ret_refused[i] = status == ERR_VALIDATION;
    if (ret_refused[i]) status = OK;
    if (status) status = take_error(err, &refused);
  }
  return filled(whatif, family, status, err);
}

static enum status on_index(struct whatif *whatif, PGconn *conn, const char *before, const char *schema, const char *index,
                            struct error *err) {
  char *first = PQescapeIdentifier(conn, schema, strlen(schema)), *second = PQescapeIdentifier(conn, index, strlen(index));
  const char *sql = first && second ? arena_printf(whatif->arena, "%s%s.%s", before, first, second) : NULL;
  PQfreemem(first);
  PQfreemem(second);
  return sql ? pg_exec(conn, sql, 0, NULL, err) : error_oom(err);
}

enum status whatif_drop_index(struct whatif *whatif, const char *schema, const char *index, struct error *err) {
  return on_index(whatif, whatif->session, "DROP INDEX ", schema, index, err);
}

enum status whatif_hide_index(struct whatif *whatif, const char *schema, const char *index, bool hidden, struct error *err) {
  static const char sql[] =
      "UPDATE pg_catalog.pg_index i SET indisvalid = $3::bool FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n "
      "WHERE i.indexrelid = c.oid AND n.oid = c.relnamespace AND n.nspname = $1 AND c.relname = $2 AND c.oid >= 16384";
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(whatif->tracer, sql, 3, (const char *const[]){schema, index, hidden ? "false" : "true"}, &res, err);
  if (!status && strcmp(PQcmdTuples(res), "1") != 0) return error_set(err, ERR_NOT_FOUND, "the clone has no index %s.%s", schema, index);
  return status;
}

enum status whatif_hide_indexes(struct whatif *whatif, const json_t *indexes, struct error *err) {
  static const char sql[] =
      "UPDATE pg_catalog.pg_index i SET indisvalid = NOT w.hidden FROM pg_catalog.json_to_recordset($1::json) AS w(s text, n text, hidden "
      "bool), pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE n.nspname = w.s AND c.relnamespace = n.oid AND c.relname = w.n "
      "AND i.indexrelid = c.oid AND c.oid >= 16384";
  char *text = json_dumps(indexes, JSON_COMPACT);
  enum status status = text ? pg_exec(whatif->tracer, sql, 1, (const char *const[]){text}, err) : error_oom(err);
  free(text);
  return status;
}
