/* clone.c - restores a pg_dump --schema-only script into an empty sandbox.
 *
 * The script comes from the client's database, so it is hostile until proven otherwise: it runs as the migrator, who is nobody. The
 * superuser runs only what is built here from names found in it: extensions of a list known to hold nothing that reaches out, roles that
 * can't log in, and the schemas extensions go to. ALTER … OWNER TO is left out (everything belongs to the migrator, who gets membership in
 * the roles named), as are SETs that other versions don't know.
 *
 * Fast path: the rest in one message, one transaction. When it fails it runs again in batches under savepoints, a failing batch statement
 * by statement, and what fails is reported and left out. */
#include "sandbox/sandbox.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/pg.h"
#include "script.h"
#include "session.h"

#define NAME_MAX_BYTES 256
#define ROLES_MAX 500
#define SCHEMAS_MAX 64
#define PROBLEMS_MAX 200
#define STATEMENT_SHOWN 200
#define BATCH 50
#define STATEMENT_MS "60000"

/* Extensions a superuser may create here: none gives its users files, programs, sockets without a password, or another language's full
 * power. */
static const char *const allowed_extensions[] = {"autoinc",
                                                 "bloom",
                                                 "btree_gin",
                                                 "btree_gist",
                                                 "citext",
                                                 "cube",
                                                 "dblink",
                                                 "dict_int",
                                                 "dict_xsyn",
                                                 "earthdistance",
                                                 "fuzzystrmatch",
                                                 "hll",
                                                 "hstore",
                                                 "hypopg",
                                                 "insert_username",
                                                 "intagg",
                                                 "intarray",
                                                 "ip4r",
                                                 "isn",
                                                 "lo",
                                                 "ltree",
                                                 "moddatetime",
                                                 "pg_buffercache",
                                                 "pg_freespacemap",
                                                 "pg_hint_plan",
                                                 "pg_partman",
                                                 "pg_stat_statements",
                                                 "pg_trgm",
                                                 "pg_uuidv7",
                                                 "pg_visibility",
                                                 "pgcrypto",
                                                 "pgrowlocks",
                                                 "pgstattuple",
                                                 "postgis",
                                                 "postgis_topology",
                                                 "postgres_fdw",
                                                 "refint",
                                                 "rum",
                                                 "seg",
                                                 "semver",
                                                 "sslinfo",
                                                 "tablefunc",
                                                 "tcn",
                                                 "temporal_tables",
                                                 "tsm_system_rows",
                                                 "tsm_system_time",
                                                 "unaccent",
                                                 "uuid-ossp",
                                                 "vector",
                                                 "xml2"};

struct names {
  char (*list)[NAME_MAX_BYTES];
  int count, max;
};

struct clone {
  PGconn *tracer, *migrator;
  struct arena *arena;
  struct names roles, schemas;
  struct script_statement *kept; /* what the migrator runs */
  size_t kept_count, kept_room;
  json_t *missing, *problems;
};

static bool names_has(const struct names *names, const char *name) {
  for (int i = 0; i < names->count; i++)
    if (!strcmp(names->list[i], name)) return true;
  return false;
}

static void names_add(struct names *names, const char *name) {
  if (names->count < names->max && !names_has(names, name)) snprintf(names->list[names->count++], NAME_MAX_BYTES, "%s", name);
}

/* --- reading the script --- */

static bool is_own_role(const char *name) {
  static const char *const own[] = {"public", "current_user", "session_user",  "current_role",  "user",
                                    "none",   "migrator",     "autodb_tracer", "autodb_owners", "postgres_nobody"};
  if (!strncmp(name, "pg_", 3)) return true; /* the server's own roles: membership would give powers */
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (!strcmp(name, own[i])) return true;
  return false;
}

/* Names from the token on, separated by commas. */
static void collect_roles(struct clone *clone, struct script_lexer *lexer) {
  char name[NAME_MAX_BYTES];
  do {
    script_token(lexer);
    if (script_is(lexer, "group")) script_token(lexer);
    if (script_name(lexer, name, sizeof name) && !is_own_role(name)) names_add(&clone->roles, name);
    script_token(lexer);
  } while (script_is(lexer, ","));
}

/* After which words a statement of this kind names roles. */
static const struct {
  const char *statement, *before;
} role_places[] = {{"grant", "to"},
                   {"revoke", "from"},
                   {"alter default privileges", "role"},
                   {"create policy", "to"},
                   {"alter", "owner to"},
                   {"create schema", "authorization"},
                   {"create user mapping", "for"},
                   {"alter default privileges", "to"},
                   {"alter default privileges", "from"}};

/* The last place where those words stand outside a parenthesis (an object may be called "to" only in quotes). */
static void find_roles(struct clone *clone, const struct script_statement *statement) {
  for (size_t i = 0; i < sizeof role_places / sizeof *role_places; i++) {
    struct script_lexer lexer = script_lexer(statement);
    if (!script_skip(&lexer, role_places[i].statement)) continue;
    for (;;) {
      if (script_skip(&lexer, role_places[i].before))
        collect_roles(clone, &lexer);
      else if (script_token(&lexer) == SCRIPT_END)
        break;
    }
  }
}

/* "CREATE EXTENSION [IF NOT EXISTS] name [WITH] [SCHEMA schema]" */
static void create_extension(struct clone *clone, struct script_lexer *lexer);

static bool starts(const struct script_statement *statement, const char *words) {
  struct script_lexer lexer = script_lexer(statement);
  return script_skip(&lexer, words);
}

/* SETs of pg_dump that a session here must not follow, or that another version doesn't know. */
static bool is_left_out(const struct script_statement *statement) {
  static const char *const heads[] = {"set statement_timeout",
                                      "set lock_timeout",
                                      "set idle_in_transaction_session_timeout",
                                      "set transaction_timeout",
                                      "set idle_session_timeout",
                                      "set row_security",
                                      "set client_encoding",
                                      "set default_tablespace",
                                      "set default_with_oids",
                                      "set session authorization",
                                      "reset session authorization",
                                      "set role",
                                      "reset role",
                                      "comment on extension",
                                      "create schema public",
                                      "copy",
                                      "begin",
                                      "commit",
                                      "rollback",
                                      "start transaction",
                                      "end"};
  struct script_lexer lexer = script_lexer(statement);
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
    if (starts(statement, heads[i])) return true;
  if (!script_skip(&lexer, "alter")) return false;
  for (;;) {
    if (script_skip(&lexer, "owner to")) return true;
    if (script_token(&lexer) == SCRIPT_END) return false;
  }
}

static bool is_made_schema(const struct clone *clone, const struct script_statement *statement) {
  char name[NAME_MAX_BYTES];
  struct script_lexer lexer = script_lexer(statement);
  if (!script_skip(&lexer, "create schema")) return false;
  script_token(&lexer);
  return script_name(&lexer, name, sizeof name) && names_has(&clone->schemas, name);
}

static enum status keep(struct clone *clone, const struct script_statement *statement, struct error *err) {
  if (clone->kept_count == clone->kept_room) {
    size_t room = clone->kept_room ? clone->kept_room * 2 : 1024;
    struct script_statement *grown = arena_calloc(clone->arena, room, sizeof *grown);
    if (!grown) return error_oom(err);
    if (clone->kept_count) memcpy(grown, clone->kept, clone->kept_count * sizeof *grown);
    clone->kept = grown;
    clone->kept_room = room;
  }
  clone->kept[clone->kept_count++] = *statement;
  return OK;
}

static enum status read_script(struct clone *clone, const char *sql, struct error *err) {
  struct script script = script_of(sql);
  struct script_statement statement;
  while (script_next(&script, &statement)) {
    struct script_lexer lexer = script_lexer(&statement);
    find_roles(clone, &statement);
    if (script_skip(&lexer, "create extension")) {
      create_extension(clone, &lexer);
    } else if (!is_left_out(&statement) && !is_made_schema(clone, &statement)) {
      enum status status = keep(clone, &statement, err);
      if (status) return status;
    }
  }
  return OK;
}

/* --- what the superuser does --- */

static void add_problem(struct clone *clone, const struct script_statement *statement, const PGresult *res) {
  if (json_array_size(clone->problems) >= PROBLEMS_MAX) return;
  size_t len = statement->len < STATEMENT_SHOWN ? statement->len : STATEMENT_SHOWN;
  while (len > 0 && len < statement->len && ((unsigned char)statement->text[len] & 0xC0) == 0x80) len--;
  const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  json_array_append_new(clone->problems, json_pack("{s:s#,s:s,s:s}", "statement", statement->text, len, "sqlstate", pg_sqlstate(res),
                                                   "message", message ? message : ""));
}

/* One statement built by us, as the superuser: `fmt` holds %1 for the quoted name. */
static bool run_named(PGconn *conn, const char *before, const char *name, const char *after) {
  char *quoted = PQescapeIdentifier(conn, name, strlen(name));
  if (!quoted) return false;
  BUF_AUTO sql;
  buf_init(&sql, 4096);
  buf_printf(&sql, "%s%s%s", before, quoted, after);
  PQfreemem(quoted);
  PGRESULT_AUTO res = buf_ok(&sql) ? PQexec(conn, buf_str(&sql)) : NULL;
  return PQresultStatus(res) == PGRES_COMMAND_OK;
}

static bool is_allowed_extension(const char *name) {
  for (size_t i = 0; i < sizeof allowed_extensions / sizeof *allowed_extensions; i++)
    if (!strcmp(name, allowed_extensions[i])) return true;
  return false;
}

static bool make_extension(struct clone *clone, const char *name, const char *schema) {
  char after[NAME_MAX_BYTES * 2 + 32];
  char *quoted = PQescapeIdentifier(clone->tracer, schema, strlen(schema));
  snprintf(after, sizeof after, " SCHEMA %s", quoted ? quoted : "public");
  PQfreemem(quoted);
  if (strcmp(schema, "public") != 0 && strcmp(schema, "pg_catalog") != 0 && !names_has(&clone->schemas, schema)) {
    if (!run_named(clone->tracer, "CREATE SCHEMA IF NOT EXISTS ", schema, " AUTHORIZATION migrator")) return false;
    names_add(&clone->schemas, schema);
  }
  return run_named(clone->tracer, "CREATE EXTENSION IF NOT EXISTS ", name, after);
}

static void create_extension(struct clone *clone, struct script_lexer *lexer) {
  char name[NAME_MAX_BYTES], schema[NAME_MAX_BYTES] = "public";
  script_skip(lexer, "if not exists");
  script_token(lexer);
  if (!script_name(lexer, name, sizeof name) || !strcmp(name, "plpgsql")) return;
  script_skip(lexer, "with");
  if (script_skip(lexer, "schema")) {
    script_token(lexer);
    if (!script_name(lexer, schema, sizeof schema)) snprintf(schema, sizeof schema, "public");
  }
  if (!is_allowed_extension(name) || !make_extension(clone, name, schema))
    json_array_append_new(clone->missing, json_string(name));
  else if (!strcmp(name, "postgres_fdw") && !run_named(clone->tracer, "GRANT USAGE ON FOREIGN DATA WRAPPER ", name, " TO migrator"))
    json_array_append_new(clone->missing, json_string(name));
}

/* A script that is replayed over another one finds the other's roles. */
static bool has_role(struct clone *clone, const char *name) {
  PGRESULT_AUTO res = PQexecParams(clone->tracer, "SELECT FROM pg_catalog.pg_roles WHERE rolname = $1", 1, NULL, &name, NULL, NULL, 0);
  return PQntuples(res) > 0;
}

/* An owner-to-be needs CREATE on the schema: the roles get it through one role they share, so that each ACL grows by a single entry. */
static enum status make_roles(struct clone *clone, struct error *err) {
  if (clone->roles.count == 0) return OK;
  BUF_AUTO sql;
  buf_init(&sql, 1024 * 1024);
  if (!has_role(clone, "autodb_owners"))
    buf_puts(&sql, "CREATE ROLE autodb_owners NOLOGIN; GRANT CREATE ON DATABASE sandbox TO autodb_owners;"); /* of schemas, publications */
  for (int i = 0; i < clone->roles.count; i++) {
    if (has_role(clone, clone->roles.list[i])) continue;
    char *quoted = PQescapeIdentifier(clone->tracer, clone->roles.list[i], strlen(clone->roles.list[i]));
    if (!quoted) continue; /* not valid text: whatever names it will be reported */
    buf_printf(&sql, "CREATE ROLE %s NOLOGIN; GRANT %s TO migrator; GRANT autodb_owners TO %s;", quoted, quoted, quoted);
    PQfreemem(quoted);
  }
  return buf_ok(&sql) ? pg_script(clone->tracer, buf_str(&sql), err) : error_oom(err);
}

static enum status finish_roles(struct clone *clone, struct error *err) {
  static const char grant_schemas[] = "DO $$ DECLARE s name; BEGIN FOR s IN SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname !~ "
                                      "'^pg_' AND nspname <> 'information_schema' LOOP "
                                      "EXECUTE pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %I TO autodb_owners', s); END LOOP; END $$";
  return clone->roles.count > 0 ? pg_script(clone->tracer, grant_schemas, err) : OK;
}

/* --- what the migrator does --- */

static void put_statements(struct buf *sql, const struct clone *clone, size_t first, size_t count) {
  for (size_t i = first; i < first + count; i++) {
    buf_append(sql, clone->kept[i].text, clone->kept[i].len);
    buf_puts(sql, ";\n");
  }
}

static bool run_ok(PGconn *conn, const char *sql) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  return PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
}

/* Statements first…first+count under one savepoint; false when they failed and were undone. The savepoint is a message of its own: text
 * that can't even be parsed would take it along. */
static bool run_batch(struct clone *clone, size_t first, size_t count, bool report) {
  BUF_AUTO sql;
  buf_init(&sql, LIMIT_SNAPSHOT_BYTES);
  put_statements(&sql, clone, first, count);
  if (!run_ok(clone->migrator, "SAVEPOINT autodb")) return false;
  PGRESULT_AUTO res = PQexec(clone->migrator, buf_str(&sql));
  bool failed = PQresultStatus(res) == PGRES_FATAL_ERROR || !res;
  if (failed && report) add_problem(clone, &clone->kept[first], res);
  return run_ok(clone->migrator, failed ? "ROLLBACK TO SAVEPOINT autodb" : "RELEASE SAVEPOINT autodb") && !failed;
}

static enum status run_slowly(struct clone *clone, struct error *err) {
  bool usable = run_ok(clone->migrator, "BEGIN");
  for (size_t first = 0; first < clone->kept_count && usable; first += BATCH) {
    size_t count = clone->kept_count - first < BATCH ? clone->kept_count - first : BATCH;
    if (!run_batch(clone, first, count, false))
      for (size_t i = first; i < first + count; i++) run_batch(clone, i, 1, true);
    usable = PQtransactionStatus(clone->migrator) == PQTRANS_INTRANS;
  }
  if (usable && run_ok(clone->migrator, "COMMIT")) return OK;
  return pg_error(clone->migrator, NULL, err);
}

static enum status run_kept(struct clone *clone, struct error *err) {
  BUF_AUTO sql;
  buf_init(&sql, LIMIT_SNAPSHOT_BYTES);
  put_statements(&sql, clone, 0, clone->kept_count);
  if (!buf_ok(&sql)) return error_set(err, ERR_TOO_LARGE, "the schema dump is larger than %d bytes", LIMIT_SNAPSHOT_BYTES);
  if (clone->kept_count == 0 || run_ok(clone->migrator, buf_str(&sql))) return OK;
  if (PQstatus(clone->migrator) != CONNECTION_OK) return pg_error(clone->migrator, NULL, err);
  return run_slowly(clone, err);
}

/* Default settings of the client's database. A value this server doesn't know is left at the default. */
static void set_default(struct clone *clone, const char *name, const char *value) {
  char sql[128];
  if (!value || !*value) return;
  snprintf(sql, sizeof sql, "SELECT pg_catalog.set_config('%s', $1, false)", name);
  PGRESULT_AUTO res = PQexecParams(clone->tracer, sql, 1, NULL, &value, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) {
    add_problem(clone, &(struct script_statement){.text = name, .len = strlen(name)}, res);
    return;
  }
  snprintf(sql, sizeof sql, "ALTER DATABASE sandbox SET %s FROM CURRENT", name);
  run_ok(clone->tracer, sql);
}

static enum status count_tables(struct clone *clone, int *ret_count, struct error *err) {
  static const char sql[] =
      "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
      "WHERE c.relkind IN ('r', 'p') AND c.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS "
      "(SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')";
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(clone->tracer, sql, 0, NULL, &res, err);
  if (!status) *ret_count = (int)pg_int(res, 0, 0, 0);
  return status;
}

static enum status clone_run(struct clone *clone, const char *dump_sql, const char *timezone, const char *search_path, int *ret_tables,
                             struct error *err) {
  enum status status = read_script(clone, dump_sql, err);
  if (!status) status = make_roles(clone, err);
  if (!status) status = pg_script(clone->migrator, "SET statement_timeout = " STATEMENT_MS, err);
  if (!status) status = run_kept(clone, err);
  if (!status) status = finish_roles(clone, err);
  if (status) return status;
  status = count_tables(clone, ret_tables, err);
  set_default(clone, "timezone", timezone);
  set_default(clone, "search_path", search_path); /* last: from here on our own session would follow it too */
  return status;
}

/* CREATE ROLE makes a name here, no more: "create role shop login" and "create user shop". */
static void find_new_roles(struct clone *clone, const struct script_statement *statement) {
  char name[NAME_MAX_BYTES];
  struct script_lexer lexer = script_lexer(statement);
  if (!script_skip(&lexer, "create role") && !script_skip(&lexer, "create user") && !script_skip(&lexer, "create group")) return;
  script_token(&lexer);
  if (!script_is(&lexer, "mapping") && script_name(&lexer, name, sizeof name) && !is_own_role(name)) names_add(&clone->roles, name);
}

static enum status clone_init(struct clone *clone, struct error *err) {
  clone->missing = arena_json(clone->arena, json_array());
  clone->problems = arena_json(clone->arena, json_array());
  clone->roles = (struct names){.list = arena_calloc(clone->arena, ROLES_MAX, NAME_MAX_BYTES), .max = ROLES_MAX};
  clone->schemas = (struct names){.list = arena_calloc(clone->arena, SCHEMAS_MAX, NAME_MAX_BYTES), .max = SCHEMAS_MAX};
  return clone->missing && clone->problems && clone->roles.list && clone->schemas.list ? OK : error_oom(err);
}

enum status sandbox_clone(struct sandbox *sandbox, const char *dump_sql, const char *timezone, const char *search_path, struct arena *arena,
                          struct sandbox_clone_report *ret_report, struct error *err) {
  struct clone clone = {.arena = arena};
  int tables = 0;
  enum status status = session_take(sandbox, SESSION_TRACER, &clone.tracer, err);
  if (!status) status = session_take(sandbox, SESSION_MIGRATOR, &clone.migrator, err);
  if (!status) status = clone_init(&clone, err);
  if (!status) status = clone_run(&clone, dump_sql, timezone, search_path, &tables, err);
  session_put(sandbox, SESSION_TRACER, clone.tracer);
  session_put(sandbox, SESSION_MIGRATOR, clone.migrator);
  if (status) return status;
  *ret_report = (struct sandbox_clone_report){.tables_created = tables, .missing_extensions = clone.missing, .problems = clone.problems};
  return OK;
}

enum status sandbox_grant_names(struct sandbox *sandbox, const char *sql, struct arena *arena, struct error *err) {
  struct clone clone = {.arena = arena};
  struct script script = script_of(sql);
  struct script_statement statement;
  enum status status = session_take(sandbox, SESSION_TRACER, &clone.tracer, err);
  if (!status) status = clone_init(&clone, err);
  if (!status) {
    while (script_next(&script, &statement)) find_new_roles(&clone, &statement);
    status = read_script(&clone, sql, err);
  }
  if (!status) status = make_roles(&clone, err);
  if (!status) status = finish_roles(&clone, err);
  session_put(sandbox, SESSION_TRACER, clone.tracer);
  return status;
}
