/* signature.c - the whole schema as hashes of the catalogs' own rows: a few milliseconds, where pg_dump takes a new session and a hundred
 * queries.
 *
 * Complete by construction: every catalog of the database with every column, except those listed here, which say nothing about the schema
 * (where a table is stored, how large it is, hints that are never taken back, columns that were dropped, TOAST tables - but for their
 * options). Rows of the server's own objects, which the migrator can't change, are left out. Expressions are compared as they are printed:
 * their trees tell where in a statement they stood. Runs as the superuser: the rows hold built-in types only, and nothing printed is
 * evaluated, so no function of the client's is called.
 *
 * Equal signatures mean equal schemas; different ones may still mean that: an object that was dropped and made again has another oid. For a
 * comparison of two sandboxes the oids of what was made in them are written as names; which columns hold such oids the server itself knows
 * (pg_get_catalog_foreign_keys). */
#include "common/buf.h"
#include "common/pg.h"
#include "sandbox/sandbox.h"
#include "session.h"

#define SQL_BYTES (256 * 1024)
#define FIRST_CLIENT_OID "16384" /* FirstNormalObjectId: what the server makes for itself is below */
#define NO_OID_YET "4294967295"

/* How a column is written; $1, put in by put_first_oid: the first oid that is written as a name. %1$I: the column, %2$s: the catalog it
 * refers to. */
static const char catalogs_sql[] =
    "WITH written AS (SELECT c.oid, c.relname, a.attnum, a.attname, CASE "
    /* trees, by catalog: what pg_dump prints of them */
    "WHEN a.atttypid = 'pg_node_tree'::pg_catalog.regtype THEN CASE c.relname "
    "WHEN 'pg_rewrite' THEN 'pg_catalog.pg_get_ruledef(oid)' WHEN 'pg_trigger' THEN 'CASE WHEN NOT tgisinternal THEN "
    "pg_catalog.pg_get_triggerdef(oid) END' "
    "WHEN 'pg_statistic_ext' THEN 'pg_catalog.pg_get_statisticsobjdef_expressions(oid)' "
    "ELSE CASE a.attname WHEN 'prosqlbody' THEN 'pg_catalog.pg_get_function_sqlbody(oid)' "
    "ELSE pg_catalog.format('pg_catalog.pg_get_expr(%I, %s)', a.attname, CASE c.relname WHEN 'pg_attrdef' THEN 'adrelid' "
    "WHEN 'pg_constraint' THEN 'conrelid' WHEN 'pg_index' THEN 'indrelid' WHEN 'pg_class' THEN 'oid' WHEN 'pg_policy' THEN 'polrelid' "
    "WHEN 'pg_partitioned_table' THEN 'partrelid' WHEN 'pg_publication_rel' THEN 'prrelid' ELSE '0' END) END END "
    /* oids */
    "WHEN c.relname = 'pg_enum' AND a.attname = 'oid' THEN 'NULL' " /* the label tells; no object by itself */
    "WHEN a.attname = 'oid' THEN pg_catalog.format('CASE WHEN oid >= $1 THEN '||n.named||' ELSE oid::text END', 'oid', c.oid, '0') "
    "WHEN c.relname IN ('pg_depend', 'pg_description') AND a.attname IN ('objid', 'objoid', 'refobjid') THEN "
    "pg_catalog.format('CASE WHEN %1$I >= $1 THEN '||n.named||' ELSE %1$I::text END', a.attname, "
    "CASE a.attname WHEN 'objid' THEN 'classid' WHEN 'objoid' THEN 'classoid' ELSE 'refclassid' END, "
    "CASE a.attname WHEN 'refobjid' THEN 'refobjsubid' ELSE 'objsubid' END) "
    "WHEN f.is_array THEN pg_catalog.format(CASE f.pktable WHEN 'pg_type'::pg_catalog.regclass THEN '%I::oid[]::pg_catalog.regtype[]' "
    "WHEN 'pg_operator'::pg_catalog.regclass THEN '%I::oid[]::pg_catalog.regoperator[]' WHEN 'pg_class'::pg_catalog.regclass THEN "
    "'%I::oid[]::pg_catalog.regclass[]' WHEN 'pg_collation'::pg_catalog.regclass THEN '%I::oid[]::pg_catalog.regcollation[]' ELSE '%I' "
    "END, "
    "a.attname) "
    "WHEN f.pktable IS NOT NULL THEN pg_catalog.format('CASE WHEN %1$I::oid >= $1 THEN '||n.named||' ELSE "
    "%1$I::oid::text END', a.attname, f.pktable::oid, '0') "
    /* the triggers of a foreign key are numbered */
    "WHEN a.attname = 'tgname' THEN 'CASE WHEN NOT tgisinternal THEN tgname::text END' "
    /* when the column came to be, as some minor versions note */
    "WHEN a.attname = 'attoptions' THEN 'pg_catalog.regexp_replace(attoptions::text, ''pg_attver=[0-9]+'', '''')' "
    "ELSE pg_catalog.quote_ident(a.attname) END AS text "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
    "LEFT JOIN pg_catalog.pg_get_catalog_foreign_keys() f ON f.fktable = c.oid AND f.fkcols = ARRAY[a.attname::text] "
    "CROSS JOIN (SELECT 'COALESCE(pg_catalog.regexp_replace((pg_catalog.pg_identify_object(%2$s, %1$I, %3$s)).identity, "
    "''(_ConstraintTrigger(_.)?)_[0-9]+'', ''\\1''), %1$I::text)' AS named) n "
    "WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relkind = 'r' AND NOT c.relisshared "
    /* the catalogs of the second line only superusers can write to, and extensions, whose version in pg_extension changes then */
    "AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_largeobject_metadata', "
    "'pg_am', 'pg_event_trigger', 'pg_language', 'pg_ts_parser', 'pg_ts_template', 'pg_seclabel', 'pg_subscription_rel', 'pg_opclass', "
    "'pg_opfamily', 'pg_amop', 'pg_amproc', 'pg_foreign_data_wrapper', 'pg_init_privs') "
    "AND (c.relname::text || '.' || a.attname::text) NOT IN ('pg_class.relfilenode', 'pg_class.relpages', 'pg_class.reltuples', "
    "'pg_class.relallvisible', 'pg_class.relallfrozen', 'pg_class.relfrozenxid', 'pg_class.relminmxid', 'pg_class.relnatts', "
    "'pg_class.reltoastrelid', 'pg_class.relhasindex', 'pg_class.relhasrules', 'pg_class.relhastriggers', 'pg_class.relhassubclass', "
    "'pg_attribute.attmissingval', 'pg_attribute.atthasmissing', 'pg_attribute.attcacheoff', 'pg_index.indcheckxmin')) "
    /* one row per catalog: its name, its columns, the column that tells whose rows they are */
    "SELECT relname, pg_catalog.string_agg(text, ', ' ORDER BY attnum), "
    "CASE WHEN relname = 'pg_depend' THEN 'objid' WHEN pg_catalog.bool_or(attname = 'oid') THEN 'oid' "
    "ELSE (pg_catalog.array_agg(attname ORDER BY attnum))[1] END FROM written GROUP BY oid, relname ORDER BY relname";

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

/* A statement a catalog: planning them one by one is much quicker than planning their union. */
static void put_catalog(struct buf *sql, const char *catalog, const char *columns, const char *key) {
  buf_printf(sql,
             "SELECT '%s', pg_catalog.md5(pg_catalog.string_agg(r, E'\\n' ORDER BY r COLLATE \"C\")) FROM (SELECT ROW(%s)::text AS r FROM "
             "pg_catalog.%s WHERE ",
             catalog, columns, catalog);
  if (is_read_whole(catalog))
    buf_puts(sql, "true");
  else
    buf_printf(sql, "%s::pg_catalog.oid >= " FIRST_CLIENT_OID, key);
  if (knows_toast(catalog))
    buf_printf(sql, " AND %s NOT IN (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = 'pg_toast'::pg_catalog.regnamespace)", key);
  buf_puts(sql, strcmp(catalog, "pg_attribute") ? ") r; " : " AND NOT attisdropped) r; ");
}

static enum status build(PGconn *conn, struct buf *sql, struct error *err) {
  PGRESULT_AUTO catalogs = NULL;
  enum status status = pg_query(conn, catalogs_sql, 0, NULL, &catalogs, err);
  if (status) return status;
  for (int row = 0; row < PQntuples(catalogs); row++)
    put_catalog(sql, PQgetvalue(catalogs, row, 0), PQgetvalue(catalogs, row, 1), PQgetvalue(catalogs, row, 2));
  buf_puts(sql, "SELECT 'toast options', pg_catalog.string_agg(c.relnamespace::pg_catalog.regnamespace || '.' || c.relname || "
                "t.reloptions::text, ',' ORDER BY c.relnamespace, c.relname) FROM pg_catalog.pg_class c "
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

/* --- reading --- */

struct reading {
  struct sandbox *sandbox;
  PGconn *conn;
  const char *signature;
};

static void put_first_oid(struct buf *out, const char *sql, const char *first) {
  for (const char *mark; (mark = strstr(sql, "$1")); sql = mark + 2) {
    buf_append(out, sql, (size_t)(mark - sql));
    buf_puts(out, first);
  }
  buf_puts(out, sql);
}

/* Asks; first: decimal digits. */
static enum status reading_begin(struct reading *reading, const char *first, struct error *err) {
  const char *sql = NULL;
  BUF_AUTO text;
  buf_init(&text, 2 * SQL_BYTES);
  enum status status = signature_sql(reading->sandbox, reading->conn, &sql, err);
  if (status) return status;
  put_first_oid(&text, sql, first);
  if (!buf_ok(&text)) return error_oom(err);
  return PQsendQuery(reading->conn, buf_str(&text)) ? OK : pg_error(reading->conn, NULL, err);
}

static enum status reading_end(struct reading *reading, struct arena *arena, struct error *err) {
  enum status status = OK;
  BUF_AUTO text;
  buf_init(&text, SQL_BYTES);
  for (;;) {
    PGRESULT_AUTO hash = PQgetResult(reading->conn);
    if (!hash) break;
    if (PQresultStatus(hash) != PGRES_TUPLES_OK)
      status = pg_error(reading->conn, hash, err);
    else if (PQntuples(hash) == 1)
      buf_printf(&text, "%s %s\n", PQgetvalue(hash, 0, 0), PQgetvalue(hash, 0, 1));
  }
  if (status) return status;
  reading->signature = buf_ok(&text) ? arena_strdup(arena, buf_str(&text)) : NULL;
  return reading->signature ? OK : error_oom(err);
}

enum status sandbox_signature(struct sandbox *sandbox, struct arena *arena, const char **ret_signature, struct error *err) {
  struct reading reading = {.sandbox = sandbox};
  enum status status = session_take(sandbox, SESSION_TRACER, &reading.conn, err);
  if (!status) status = reading_begin(&reading, NO_OID_YET, err);
  if (!status) status = reading_end(&reading, arena, err);
  session_put(sandbox, SESSION_TRACER, reading.conn);
  if (!status) *ret_signature = reading.signature;
  return status;
}

/* --- comparing --- */

/* Copies of one state number what is made in them from the same oid on, which no older object has; a checkpoint would raise it in one of
 * them, and make for a difference at worst. */
static enum status first_new_oid(const struct reading *reading, bool copies, char ret[16], struct error *err) {
  PGRESULT_AUTO res = NULL;
  snprintf(ret, 16, "%s", FIRST_CLIENT_OID);
  if (!copies) return OK;
  enum status status = pg_query(reading->conn, "SELECT next_oid FROM pg_catalog.pg_control_checkpoint()", 0, NULL, &res, err);
  if (!status) snprintf(ret, 16, "%lu", strtoul(PQgetvalue(res, 0, 0), NULL, 10));
  return status;
}

/* Both servers work at the same time. */
enum status sandbox_alike(struct sandbox *one, struct sandbox *other, struct arena *arena, bool *ret_alike, struct error *err) {
  struct reading readings[] = {{.sandbox = one}, {.sandbox = other}};
  bool copies = sandbox_is_copy(one) && sandbox_is_copy(other);
  char first[16];
  enum status status = OK;
  for (int i = 0; !status && i < 2; i++) {
    status = session_take(readings[i].sandbox, SESSION_TRACER, &readings[i].conn, err);
    if (!status) status = first_new_oid(&readings[i], copies, first, err);
    if (!status) status = reading_begin(&readings[i], first, err);
  }
  for (int i = 0; !status && i < 2; i++) status = reading_end(&readings[i], arena, err);
  for (int i = 0; i < 2; i++) session_put(readings[i].sandbox, SESSION_TRACER, readings[i].conn);
  if (!status) *ret_alike = strcmp(readings[0].signature, readings[1].signature) == 0;
  return status;
}
