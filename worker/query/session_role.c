/* session_role.c - whether the role we are may do harm, and the SQL that makes one that may not. */
#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/query/session_impl.h"
#include "worker/sql/text.h"

/* One row: role, database, then a column for each row of `faults`; last what would only be better. What the role may become counts,
 * inherited or not. Relations of extensions are left out of what may be written: some grant INSERT to everybody. Privileges are read from
 * the lists of grants, which is exact where the role neither owns nor is a superuser (both are faults of their own), and quick where there
 * are many relations. */
static const char role_sql[] =
    "SELECT current_user::text, pg_catalog.current_database()::text, a.super, a.bypasses, a.replicates, a.makes_roles,"
    " EXISTS (SELECT FROM pg_catalog.unnest('{pg_read_server_files, pg_write_server_files, pg_execute_server_program}'::text[]) m"
    "  WHERE pg_catalog.pg_has_role(r.oid, pg_catalog.to_regrole(m), 'MEMBER')),"
    " EXISTS (SELECT FROM pg_catalog.unnest('{pg_signal_backend, pg_write_all_data, pg_maintain, pg_checkpoint, pg_create_subscription}'"
    "  ::text[]) m WHERE pg_catalog.pg_has_role(r.oid, pg_catalog.to_regrole(m), 'MEMBER')),"
    " (SELECT pg_catalog.min(n.nspname || '.' || c.relname) FROM pg_catalog.pg_class c"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    "  AND pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER')),"
    " (SELECT pg_catalog.min(n.nspname || '.' || c.relname) FROM pg_catalog.pg_class c"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE c.relkind IN ('r', 'p', 'v', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    "  AND (EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) g WHERE g.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')"
    "    AND (g.grantee = 0 OR pg_catalog.pg_has_role(r.oid, g.grantee, 'USAGE')))"
    "   OR c.oid IN (SELECT a.attrelid FROM pg_catalog.pg_attribute a, pg_catalog.aclexplode(a.attacl) g"
    "    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND g.privilege_type IN ('INSERT', 'UPDATE')"
    "    AND (g.grantee = 0 OR pg_catalog.pg_has_role(r.oid, g.grantee, 'USAGE'))))"
    "  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid"
    "   AND d.deptype = 'e')),"
    " pg_catalog.current_setting('default_transaction_read_only') = 'on', pg_catalog.current_setting('temp_file_limit') <> '-1',"
    " EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    "  AND pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE'))"
    " FROM pg_catalog.pg_roles r, LATERAL (SELECT pg_catalog.bool_or(m.rolsuper) AS super, pg_catalog.bool_or(m.rolbypassrls) AS bypasses,"
    "  pg_catalog.bool_or(m.rolreplication) AS replicates, pg_catalog.bool_or(m.rolcreaterole) AS makes_roles FROM pg_catalog.pg_roles m"
    "  WHERE pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')) a WHERE r.rolname = current_user";
enum { ROLE, DATABASE, FIRST_FAULT, READ_ONLY = 10, TEMP_LIMIT, CREATES };

static const struct {
  const char *rule, *message; /* %s: the relation, where the column names one */
  bool names;
} faults[] = {
    {"superuser", "is a superuser, or may become one: no privilege stops what a statement does", false},
    {"bypassrls", "bypasses row level security, or may become one that does", false},
    {"replication", "may start replication", false},
    {"createrole", "may make and change roles", false},
    {"file-roles", "is a member of a role that reads or writes the server's files or runs programs there", false},
    {"powerful-roles", "is a member of a role that stops sessions, maintains or writes all tables", false},
    {"owner", "owns relations, among them ", true},
    {"can-write", "may change relations, among them ", true},
};

/* ---- the SQL ---- */

static void put_schemas(struct buf *sql, const struct snapshot *snapshot, const char *role, struct arena *arena) {
  const char *last = NULL;
  for (size_t i = 0; snapshot && i < snapshot->table_count; i++) {
    const char *schema = snapshot->tables[i].schema;
    if (last && strcmp(last, schema) == 0) continue;
    last = schema;
    const char *quoted = sql_ident(arena, schema);
    if (!quoted) continue;
    buf_printf(sql, "GRANT USAGE ON SCHEMA %s TO %s;\n", quoted, role);
    buf_printf(sql, "GRANT SELECT ON ALL TABLES IN SCHEMA %s TO %s;\n", quoted, role);
    buf_printf(sql, "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT ON TABLES TO %s;\n", quoted, role);
  }
}

static const char *create_role_sql(const struct snapshot *snapshot, const char *database, struct arena *arena) {
  static const char *const settings[] = {
      "default_transaction_read_only = on",          "statement_timeout = '10s'", "temp_file_limit = '256MB'",
      "idle_in_transaction_session_timeout = '30s'", "work_mem = '16MB'",         "jit = off",
      "max_parallel_workers_per_gather = 0"};
  const char *role = "autodb_reader", *quoted = sql_ident(arena, database);
  BUF_AUTO sql;
  buf_init(&sql, LIMIT_SQL_BYTES);
  buf_puts(&sql, "-- as a superuser; then give the connection this role and a password of your own\n");
  buf_printf(&sql,
             "CREATE ROLE %s LOGIN PASSWORD 'choose-a-password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS "
             "CONNECTION LIMIT 10;\n",
             role);
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) buf_printf(&sql, "ALTER ROLE %s SET %s;\n", role, settings[i]);
  buf_printf(&sql, "GRANT CONNECT ON DATABASE %s TO %s;\n", quoted ? quoted : "…", role);
  put_schemas(&sql, snapshot, role, arena);
  return buf_ok(&sql) ? arena_strndup(arena, buf_str(&sql), sql.len) : NULL;
}

/* ---- the check ---- */

static json_t *found_faults(const PGresult *res) {
  json_t *list = json_array();
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    const char *value = pg_str(res, 0, FIRST_FAULT + (int)i);
    if (!value || (!faults[i].names && strcmp(value, "t") != 0)) continue;
    char message[512];
    snprintf(message, sizeof message, "the role %.64s %s%.200s", PQgetvalue(res, 0, ROLE), faults[i].message, faults[i].names ? value : "");
    json_t *one = json_pack("{s:s, s:s, s:s, s:s}", "layer", "role", "rule", faults[i].rule, "message", message, "allowed",
                            "a role that may only read; see create_role_sql");
    if (one) json_array_append_new(list, one);
  }
  return list;
}

static json_t *warnings_of(const PGresult *res) {
  json_t *list = json_array();
  if (!pg_bool(res, 0, READ_ONLY)) json_append_str(list, "the role's default_transaction_read_only is off; on would be one more safeguard");
  if (!pg_bool(res, 0, TEMP_LIMIT)) json_append_str(list, "the role's temp_file_limit is not set: a sort may fill the server's disk");
  if (pg_bool(res, 0, CREATES)) json_append_str(list, "the role may make objects in a schema (REVOKE CREATE ON SCHEMA … FROM PUBLIC)");
  return list;
}

static enum status refuse_role(const PGresult *res, json_t *violations, const struct snapshot *snapshot, struct error *err) {
  ARENA_AUTO arena = arena_new((size_t)8 << 20);
  const char *sql = arena ? create_role_sql(snapshot, PQgetvalue(res, 0, DATABASE), arena) : NULL;
  const char *first = json_str(json_array_get(violations, 0), "message", "");
  error_set_code(err, ERR_FORBIDDEN, "GUARDRAIL_VIOLATION", "%s; queries are generated, but not run as this role", first);
  err->details = json_pack("{s:O, s:s, s:s?}", "violations", violations, "role", PQgetvalue(res, 0, ROLE), "create_role_sql", sql);
  return ERR_FORBIDDEN;
}

static enum status ask(struct query_session *session, const struct snapshot *snapshot, json_t **ret_warnings, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = query_session_query(session, role_sql, 0, NULL, &res, err);
  if (status) return status;
  if (PQntuples(res) != 1 || PQnfields(res) != CREATES + 1) return error_set(err, ERR_VALIDATION, "the server does not say who we are");
  json_t *violations = found_faults(res);
  if (json_array_size(violations)) status = refuse_role(res, violations, snapshot, err);
  json_decref(violations);
  if (!status && ret_warnings) *ret_warnings = warnings_of(res);
  return status;
}

enum status query_session_check_role(struct query_session *session, const struct snapshot *snapshot, json_t **ret_warnings,
                                     struct error *err) {
  bool own = !session->in_transaction;
  enum status status = own ? query_session_begin(session, NULL, 0, err) : OK;
  if (status) return status;
  status = ask(session, snapshot, ret_warnings, err);
  if (own) {
    ERROR_AUTO ending = {0};
    enum status ended = query_session_end(session, &ending);
    if (!status && ended) {
      *err = ending;
      ending = (struct error){0};
      status = ended;
    }
  }
  session->role_checked = !status;
  return status;
}
