/* sandbox.c - getting a sandbox, connecting to it, ending it.
 *
 * A sandbox is a descriptor of its private tmpfs plus whatever keeps it alive: our own child, or a connection to the keeper. */
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/ddl.h"
#include "common/limits.h"
#include "common/pg.h"
#include "engine.h"
#include "keeper.h"
#include "prepared.h"
#include "process.h"
#include "servers.h"
#include "session.h"

#define HOST_MAX 48
#define DUMP_MS 60000

struct sandbox {
  struct engine engine; /* ours; pid 0 when the keeper owns it */
  int keeper_fd;        /* the sandbox lives as long as this connection; -1 when it's ours */
  int root_fd;          /* borrowed from the engine, or ours */
  int version_num;
  bool prepared; /* a copy of what was saved */
  char name[ENGINE_NAME];
  PGconn *idle[SESSION_USERS]; /* put back, for the next to take */
};

static enum status open_own(const struct config *cfg, int major, struct sandbox *sandbox, struct error *err) {
  enum status status = engine_start(cfg, major, -1, &sandbox->engine, err);
  if (!status) status = engine_wait(&sandbox->engine, err);
  if (status) return status;
  sandbox->root_fd = sandbox->engine.root_fd;
  sandbox->version_num = sandbox->engine.version_num;
  snprintf(sandbox->name, sizeof sandbox->name, "%s", sandbox->engine.name);
  return OK;
}

static enum status open_kept(const char *keeper_socket, const struct keeper_request *request, struct sandbox *sandbox, struct error *err) {
  struct keeper_answer answer;
  enum status status = keeper_ask(keeper_socket, request, &answer, &sandbox->keeper_fd, &sandbox->root_fd, err);
  if (status) return status;
  sandbox->version_num = answer.version_num;
  snprintf(sandbox->name, sizeof sandbox->name, "%s", answer.name);
  sandbox->prepared = answer.prepared;
  return OK;
}

static enum status open_one(const struct config *cfg, const char *keeper_socket, const struct keeper_request *request,
                            struct sandbox **ret_sandbox, struct error *err) {
  struct sandbox *sandbox = calloc(1, sizeof *sandbox);
  if (!sandbox) return error_oom(err);
  sandbox->keeper_fd = sandbox->root_fd = -1;
  enum status status = keeper_socket ? open_kept(keeper_socket, request, sandbox, err) : ERR_NOT_FOUND;
  if (status == ERR_NOT_FOUND) status = open_own(cfg, request->major, sandbox, err); /* the keeper is being restarted: slower, but works */
  if (status) {
    free(sandbox);
    return status;
  }
  *ret_sandbox = sandbox;
  return OK;
}

enum status sandbox_open(const struct config *cfg, const char *keeper_socket, int major, struct sandbox **ret_sandbox, struct error *err) {
  return open_one(cfg, keeper_socket, &(struct keeper_request){.kind = KEEPER_ASK, .major = major}, ret_sandbox, err);
}

enum status sandbox_open_prepared(const struct config *cfg, const char *keeper_socket, int major, const char *key, bool fresh,
                                  struct arena *arena, struct sandbox **ret_sandbox, const char **ret_note, struct error *err) {
  struct keeper_request request = {.kind = fresh ? KEEPER_ASK_FRESH : KEEPER_ASK, .major = major};
  struct sandbox *sandbox = NULL;
  if (strlen(key) != sizeof request.key - 1)
    return error_set(err, ERR_INTERNAL, "a key of prepared sandboxes has %zu characters", sizeof request.key - 1);
  memcpy(request.key, key, sizeof request.key);
  enum status status = open_one(cfg, keeper_socket, &request, &sandbox, err);
  if (status) return status;
  const char *note = sandbox->prepared ? prepared_note(sandbox->root_fd, arena) : NULL;
  *ret_sandbox = sandbox;
  *ret_note = sandbox->prepared && !note ? "" : note;
  return OK;
}

/* Writes all that is in memory, and tells which file the log has come to; false when a copy would lose something: unlogged tables are empty
 * after a crash, and a copy is one. */
static bool make_checkpoint(PGconn *tracer, char last_wal[64]) {
  static const char sql[] = "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) "
                            "WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relpersistence = 'u')";
  ERROR_AUTO ignored = {0};
  PGRESULT_AUTO res = NULL;
  if (pg_script(tracer, "CHECKPOINT", &ignored) || pg_query(tracer, sql, 0, NULL, &res, &ignored) || PQntuples(res) != 1) return false;
  snprintf(last_wal, 64, "%s", PQgetvalue(res, 0, 0));
  return true;
}

enum status sandbox_save(struct sandbox *sandbox, const char *note, struct error *err) {
  PGconn *tracer = NULL;
  char last_wal[64];
  int64_t bytes = 0;
  if (sandbox->keeper_fd < 0 || sandbox->prepared) return OK;
  if (geteuid() == 0) return OK; /* can't write to a tmpfs of a user namespace that doesn't know root */
  enum status status = session_take(sandbox, SESSION_TRACER, &tracer, err);
  bool complete = !status && make_checkpoint(tracer, last_wal);
  session_put(sandbox, SESSION_TRACER, tracer);
  if (!complete) return status;
  status = prepared_save(sandbox->root_fd, last_wal, note, &bytes, err);
  if (!status) keeper_tell_saved(sandbox->keeper_fd, bytes);
  return status;
}

void sandbox_close(struct sandbox *sandbox) {
  if (!sandbox) return;
  for (int i = 0; i < SESSION_USERS; i++) PQfinish(sandbox->idle[i]);
  if (sandbox->keeper_fd >= 0) {
    close(sandbox->keeper_fd);
    close(sandbox->root_fd);
  } else {
    engine_destroy(&sandbox->engine);
  }
  free(sandbox);
}

int sandbox_root(const struct sandbox *sandbox) { return sandbox->root_fd; }
int sandbox_version_num(const struct sandbox *sandbox) { return sandbox->version_num; }
bool sandbox_is_copy(const struct sandbox *sandbox) { return sandbox->prepared; }
const char *sandbox_engine(const struct sandbox *sandbox) { return sandbox->name; }

static void ignore_notice(void *arg, const char *message) { (void)arg, (void)message; }

/* What lies in s/ belongs to the sandbox: never follow a link from there. */
static bool socket_is_one(const struct sandbox *sandbox) {
  struct stat info;
  return fstatat(sandbox->root_fd, "s/.s.PGSQL.5432", &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(info.st_mode);
}

/* Every parameter that an environment variable could set is given, so that none does. */
static enum status connect_as(struct sandbox *sandbox, const char *user, const char *options, PGconn **ret_conn, struct error *err) {
  char host[HOST_MAX];
  snprintf(host, sizeof host, "/proc/self/fd/%d/s", sandbox->root_fd);
  const char *const keys[] = {
      "host",    "port",     "user", "dbname", "connect_timeout", "client_encoding", "sslmode", "gssencmode", "application_name",
      "options", "hostaddr", NULL};
  const char *const values[] = {host, "5432", user, "sandbox", "10", "UTF8", "disable", "disable", "autodb sandbox", options, "", NULL};
  if (!socket_is_one(sandbox)) return error_set(err, ERR_UNAVAILABLE, "the sandbox is gone");
  PGconn *conn = PQconnectdbParams(keys, values, 0);
  if (PQstatus(conn) != CONNECTION_OK) {
    error_set(err, ERR_UNAVAILABLE, "can't connect to the sandbox: %.500s", conn ? PQerrorMessage(conn) : "out of memory");
    PQfinish(conn);
    return ERR_UNAVAILABLE;
  }
  PQsetNoticeProcessor(conn, ignore_notice, NULL);
  *ret_conn = conn;
  return OK;
}

enum status sandbox_connect_migrator(struct sandbox *sandbox, PGconn **ret_conn, struct error *err) {
  return connect_as(sandbox, "migrator", "-c statement_timeout=0", ret_conn, err);
}

/* Its search_path is fixed: a function or operator of the clone's own schemas must never run as the superuser. */
enum status sandbox_connect_tracer(struct sandbox *sandbox, PGconn **ret_conn, struct error *err) {
  return connect_as(sandbox, "autodb_tracer", "-c statement_timeout=0 -c search_path=pg_catalog", ret_conn, err);
}

enum status session_take(struct sandbox *sandbox, enum session_user user, PGconn **ret_conn, struct error *err) {
  PGconn *idle = sandbox->idle[user];
  if (!idle)
    return user == SESSION_TRACER ? sandbox_connect_tracer(sandbox, ret_conn, err) : sandbox_connect_migrator(sandbox, ret_conn, err);
  sandbox->idle[user] = NULL;
  *ret_conn = idle;
  return OK;
}

static bool run(PGconn *conn, const char *sql) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  return PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
}

/* DISCARD ALL goes back to the settings the session began with; the database's may have been changed since (sandbox_clone does). */
void session_put(struct sandbox *sandbox, enum session_user user, PGconn *conn) {
  static const char follow_database[] = "SELECT pg_catalog.set_config(pg_catalog.split_part(s, '=', 1), pg_catalog.substr(s, "
                                        "pg_catalog.strpos(s, '=') + 1), false) FROM pg_catalog.pg_db_role_setting r, "
                                        "pg_catalog.unnest(r.setconfig) s WHERE r.setrole = 0 AND r.setdatabase = (SELECT d.oid FROM "
                                        "pg_catalog.pg_database d WHERE d.datname = 'sandbox')";
  bool usable =
      PQstatus(conn) == CONNECTION_OK && PQtransactionStatus(conn) == PQTRANS_IDLE && !sandbox->idle[user] && run(conn, "DISCARD ALL");
  if (usable && user == SESSION_MIGRATOR) usable = run(conn, follow_database);
  if (usable)
    sandbox->idle[user] = conn;
  else
    PQfinish(conn);
}

/* --- the schema as text --- */

/* What differs between two dumps of one schema: pg_dump's own lines, and what sandbox_clone granted for itself. */
static bool is_volatile(const char *line, size_t len) {
  if (len == 0 || (len >= 2 && !memcmp(line, "--", 2)) || line[0] == '\\') return true;
  return memmem(line, len, " TO autodb_owners;", 18) && !memcmp(line, "GRANT ", 6);
}

/* A "\" or "--" line inside a function body goes as well: both sides of a comparison lose it, so at worst a changed comment is missed. */
static void keep_lasting_lines(const char *text, struct buf *out) {
  for (const char *line = text; *line;) {
    size_t len = strcspn(line, "\n");
    if (!is_volatile(line, len)) {
      buf_append(out, line, len);
      buf_putc(out, '\n');
    }
    line += len + (line[len] == '\n');
  }
}

/* The oldest pg_dump installed that is no older than the server; false when there is none. */
static bool find_pg_dump(const struct sandbox *sandbox, char path[SERVERS_PATH + 16]) {
  int majors[SERVERS_NEWEST];
  int count = sandbox_majors(majors, SERVERS_NEWEST);
  for (int i = 0; i < count; i++) {
    ERROR_AUTO ignored = {0};
    struct server server;
    if (majors[i] < sandbox->version_num / 10000 || servers_find(majors[i], &server, &ignored)) continue;
    snprintf(path, SERVERS_PATH + 16, "%s/bin/pg_dump", server.prefix);
    if (access(path, X_OK) == 0) return true;
  }
  return false;
}

static enum status run_pg_dump(const struct sandbox *sandbox, const char *program, struct buf *raw, struct error *err) {
  char conninfo[160];
  if (!socket_is_one(sandbox)) return error_set(err, ERR_UNAVAILABLE, "the sandbox is gone");
  snprintf(conninfo, sizeof conninfo, "host=/proc/self/fd/%d/s port=5432 user=migrator dbname=sandbox sslmode=disable", sandbox->root_fd);
  /* Labels need a provider among the preloaded libraries, of which there are none; the view of them is slow. */
  const char *const argv[] = {program, "--schema-only", "--no-security-labels", "--dbname", conninfo, NULL};
  return process_run(&(struct process_run){.argv = argv, .keep_fd = sandbox->root_fd, .timeout_ms = DUMP_MS, .output = raw}, err);
}

/* Of a server newer than every pg_dump here. */
static enum status write_down(struct sandbox *sandbox, struct arena *arena, struct buf *raw, struct error *err) {
  PGconn *conn = NULL;
  const char *script = NULL;
  enum status status = session_take(sandbox, SESSION_TRACER, &conn, err);
  if (status) return status;
  status = ddl_script(conn, NULL, arena, &script, err);
  session_put(sandbox, SESSION_TRACER, conn);
  if (!status) buf_puts(raw, script);
  return status;
}

enum status sandbox_dump(struct sandbox *sandbox, struct arena *arena, const char **ret_sql, struct error *err) {
  char program[SERVERS_PATH + 16];
  BUF_AUTO raw, lasting;
  buf_init(&raw, LIMIT_SNAPSHOT_BYTES);
  buf_init(&lasting, LIMIT_SNAPSHOT_BYTES);
  enum status status = find_pg_dump(sandbox, program) ? run_pg_dump(sandbox, program, &raw, err) : write_down(sandbox, arena, &raw, err);
  if (status) return status;
  keep_lasting_lines(buf_str(&raw), &lasting);
  if (!buf_ok(&raw) || !buf_ok(&lasting))
    return error_set(err, ERR_TOO_LARGE, "the sandbox's schema dump is larger than %d bytes", LIMIT_SNAPSHOT_BYTES);
  const char *sql = arena_strndup(arena, buf_str(&lasting), lasting.len);
  if (!sql) return error_oom(err);
  *ret_sql = sql;
  return OK;
}
