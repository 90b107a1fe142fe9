/* signature.c - the whole schema as hashes of the catalogs' own rows: a few milliseconds, where pg_dump takes a new session and a hundred
 * queries.
 *
 * Complete by construction: every catalog of the database with every column, except those listed here, which say nothing about the schema
 * (where a table is stored, how large it is, hints that are never taken back, columns that were dropped, TOAST tables - but for their
 * options). Rows of the server's own objects, which the migrator can't change, are left out. Equal signatures mean equal schemas; different
 * ones may still mean that: an object that was dropped and made again has another oid. Runs as the superuser: the rows hold built-in types
 * only, so no function of the client's is called. */
#include "common/buf.h"
#include "common/pg.h"
#include "sandbox/sandbox.h"
#include "session.h"

#define SQL_BYTES (256 * 1024)

/* One row per catalog: its name, its columns, the column that tells whose rows they are. The catalogs of the second line only superusers
 * can write to, and extensions, whose version in pg_extension changes then. */
static const char catalogs_sql[] =
    "SELECT c.relname, pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ',' ORDER BY a.attnum), "
    "CASE WHEN c.relname = 'pg_depend' THEN 'objid' WHEN pg_catalog.bool_or(a.attname = 'oid') THEN 'oid' "
    "ELSE (pg_catalog.array_agg(a.attname ORDER BY a.attnum))[1] END "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
    "WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relkind = 'r' AND NOT c.relisshared "
    "AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata', "
    "'pg_am', 'pg_event_trigger', 'pg_language', 'pg_ts_parser', 'pg_ts_template', 'pg_seclabel', 'pg_subscription_rel', 'pg_opclass', "
    "'pg_opfamily', 'pg_amop', 'pg_amproc', 'pg_foreign_data_wrapper', 'pg_init_privs') "
    "AND (c.relname::text || '.' || a.attname::text) NOT IN ('pg_class.relfilenode', 'pg_class.relpages', 'pg_class.reltuples', "
    "'pg_class.relallvisible', 'pg_class.relallfrozen', 'pg_class.relfrozenxid', 'pg_class.relminmxid', 'pg_class.relnatts', "
    "'pg_class.reltoastrelid', 'pg_class.relhasindex', 'pg_class.relhasrules', 'pg_class.relhastriggers', 'pg_class.relhassubclass', "
    "'pg_attribute.attmissingval', 'pg_attribute.atthasmissing', 'pg_attribute.attcacheoff', 'pg_index.indcheckxmin') "
    "GROUP BY c.oid, c.relname ORDER BY c.relname";

static bool is_one_of(const char *name, const char *const names[]) {
  for (; *names; names++)
    if (!strcmp(name, *names)) return true;
  return false;
}

/* Whose TOAST tables have rows in it. */
static bool knows_toast(const char *catalog) {
  return is_one_of(catalog, (const char *const[]){"pg_class", "pg_attribute", "pg_index", "pg_depend", "pg_type", NULL});
}

/* Small, or with rows about the schema "public", which is the migrator's although the server made it. */
static bool is_read_whole(const char *catalog) {
  return is_one_of(catalog, (const char *const[]){"pg_namespace", "pg_description", "pg_default_acl", NULL});
}

static void put_catalog(struct buf *sql, const char *catalog, const char *columns, const char *key) {
  buf_printf(sql,
             "SELECT '%s', pg_catalog.md5(pg_catalog.string_agg(r, E'\\n' ORDER BY r COLLATE \"C\")) FROM (SELECT ROW(%s)::text AS r FROM "
             "pg_catalog.%s WHERE ",
             catalog, columns, catalog);
  if (is_read_whole(catalog))
    buf_puts(sql, "true");
  else
    buf_printf(sql, "%s::pg_catalog.oid >= 16384", key);
  if (knows_toast(catalog)) buf_printf(sql, " AND %s NOT IN (SELECT oid FROM toast)", key);
  buf_puts(sql, strcmp(catalog, "pg_attribute") ? ") r UNION ALL " : " AND NOT attisdropped) r UNION ALL ");
}

static enum status build(PGconn *conn, struct buf *sql, struct error *err) {
  PGRESULT_AUTO catalogs = NULL;
  enum status status = pg_query(conn, catalogs_sql, 0, NULL, &catalogs, err);
  if (status) return status;
  buf_puts(sql,
           "WITH toast AS MATERIALIZED (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = 'pg_toast'::pg_catalog.regnamespace) ");
  for (int row = 0; row < PQntuples(catalogs); row++)
    put_catalog(sql, PQgetvalue(catalogs, row, 0), PQgetvalue(catalogs, row, 1), PQgetvalue(catalogs, row, 2));
  buf_puts(sql, "SELECT 'toast options', pg_catalog.string_agg(c.oid || t.reloptions::text, ',' ORDER BY c.oid) FROM pg_catalog.pg_class c "
                "JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid WHERE t.reloptions IS NOT NULL");
  return buf_ok(sql) ? OK : error_oom(err);
}

/* The catalogs are the server's, so one text does for all sandboxes of a version: the last is kept. */
static enum status signature_sql(struct sandbox *sandbox, PGconn *conn, const char **ret_sql, struct error *err) {
  static int known_version;
  static char *known;
  if (known_version != sandbox_version_num(sandbox)) {
    BUF_AUTO sql;
    buf_init(&sql, SQL_BYTES);
    enum status status = build(conn, &sql, err);
    if (status) return status;
    free(known);
    known = buf_take(&sql);
    known_version = known ? sandbox_version_num(sandbox) : 0;
  }
  *ret_sql = known;
  return known ? OK : error_oom(err);
}

static enum status read_signature(struct sandbox *sandbox, PGconn *conn, struct arena *arena, const char **ret_signature,
                                  struct error *err) {
  const char *sql = NULL;
  BUF_AUTO text;
  buf_init(&text, SQL_BYTES);
  PGRESULT_AUTO hashes = NULL;
  enum status status = signature_sql(sandbox, conn, &sql, err);
  if (!status) status = pg_query(conn, sql, 0, NULL, &hashes, err);
  if (status) return status;
  for (int row = 0; row < PQntuples(hashes); row++) buf_printf(&text, "%s %s\n", PQgetvalue(hashes, row, 0), PQgetvalue(hashes, row, 1));
  const char *signature = buf_ok(&text) ? arena_strdup(arena, buf_str(&text)) : NULL;
  if (!signature) return error_oom(err);
  *ret_signature = signature;
  return OK;
}

enum status sandbox_signature(struct sandbox *sandbox, struct arena *arena, const char **ret_signature, struct error *err) {
  PGconn *conn = NULL;
  enum status status = session_take(sandbox, SESSION_TRACER, &conn, err);
  if (!status) status = read_signature(sandbox, conn, arena, ret_signature, err);
  session_put(sandbox, SESSION_TRACER, conn);
  return status;
}
