/* template.c - initdb, settings, roles and the one database, done once.
 *
 * Kept small because every sandbox copies it: 1 MiB WAL segments and a single database (the usual three others are dropped), together about
 * 10 MB. All SQL is fed to the server in single-user mode: no socket, nobody else can be connected. The directory is
 * made under another name and renamed, under a file lock, so that a template is either complete or absent. Its name holds the server's
 * version and the time its binary was installed: an upgraded server gets a new one. */
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "process.h"

#define TEMPLATE_REVISION 4 /* raise it when anything below changes */
#define TEMPLATE_STEP_MS 60000

/* Durability off: a sandbox that crashes is thrown away. Nothing runs beside the sessions; memory and temporary files are bounded.
 * Everything that could let a statement reach out of its session (workers, preloaded libraries, replication) is off. */
static const char settings[] =
    "listen_addresses = ''\nunix_socket_directories = '/s'\nunix_socket_permissions = 0700\nport = 5432\n"
    "max_connections = 12\nsuperuser_reserved_connections = 4\nmax_worker_processes = 0\nmax_parallel_workers = "
    "0\nmax_parallel_workers_per_gather = 0\n"
    "max_parallel_maintenance_workers = 0\nmax_wal_senders = 0\nmax_replication_slots = 0\nwal_level = "
    "minimal\nmax_logical_replication_workers = 0\n"
    "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nautovacuum = off\njit = off\nwal_log_hints = off\n"
    "shared_buffers = 32MB\nhuge_pages = off\nwal_buffers = 1MB\nwork_mem = 8MB\nmaintenance_work_mem = 32MB\nmin_wal_size = "
    "2MB\nmax_wal_size = 64MB\n"
    "checkpoint_timeout = 1h\nbgwriter_lru_maxpages = 0\nmax_locks_per_transaction = 1024\nmax_stack_depth = 2MB\n"
    "dynamic_shared_memory_type = posix\nshared_preload_libraries = ''\nlogging_collector = off\nlog_destination = "
    "'stderr'\nlog_min_messages = fatal\n"
    "log_min_error_statement = panic\nlog_checkpoints = off\nlog_timezone = 'UTC'\ntimezone = 'UTC'\nupdate_process_title = off\n"
    "track_functions = none\ntrack_activities = on\ntrack_counts = on\ndeadlock_timeout = 1s\n"
    "lc_messages = 'C'\nlc_monetary = 'C.UTF-8'\nlc_numeric = 'C.UTF-8'\nlc_time = 'C.UTF-8'\ndatestyle = 'iso, mdy'\n"
    "default_text_search_config = 'pg_catalog.english'\n";

/* One statement per line: that is how single-user mode reads. */
static const char prepare_sql[] = "CREATE ROLE migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS\n"
                                  "ALTER DATABASE postgres RENAME TO sandbox\n"
                                  "ALTER DATABASE sandbox OWNER TO migrator\n"
                                  "REVOKE ALL ON DATABASE sandbox FROM PUBLIC\n"
                                  "UPDATE pg_database SET datistemplate = false\n"
                                  "DROP DATABASE template0\n";
/* Since 16 whoever may create roles has power over those alone; before, over every role that is no superuser, and through them over files
 * and programs (manual, "Role Attributes"). */
#define CREATEROLE_SINCE 16
static const char createrole_sql[] = "ALTER ROLE migrator CREATEROLE\n";
/* pg_dump reads all comments; those on the server's own functions and operators, thousands, are never of interest here. */
static const char finish_sql[] = "DROP DATABASE template1\n"
                                 "DELETE FROM pg_description WHERE objoid < 12000 AND classoid <> 'pg_namespace'::regclass\n"
                                 "VACUUM pg_description\n";

static enum status run(const char *const argv[], const char *input, struct buf *output, struct error *err) {
  return process_run(&(struct process_run){.argv = argv, .input = input, .keep_fd = -1, .timeout_ms = TEMPLATE_STEP_MS, .output = output},
                     err);
}

/* "postgres (PostgreSQL) 17.12 (Debian …)" */
static enum status read_version(const struct server *server, struct template *template, struct error *err) {
  char program[SERVERS_PATH + 32], *rest;
  snprintf(program, sizeof program, "%s/bin/postgres", server->prefix);
  BUF_AUTO output;
  buf_init(&output, 4096);
  enum status status = run((const char *const[]){program, "-V", NULL}, NULL, &output, err);
  if (status) return status;
  const char *at = strstr(buf_str(&output), "(PostgreSQL) ");
  if (!at) return error_set(err, ERR_UNAVAILABLE, "%s -V doesn't say which PostgreSQL it is", program);
  at += strlen("(PostgreSQL) ");
  long major = strtol(at, &rest, 10), minor = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;
  if (major != server->major)
    return error_set(err, ERR_UNAVAILABLE, "%s is not PostgreSQL %d (AUTODB_PG_BIN_%d)", program, server->major, server->major);
  template->version_num = (int)(major * 10000 + minor);
  snprintf(template->version, sizeof template->version, "%.*s", (int)strcspn(at, " \n"), at);
  return OK;
}

static bool write_file(const char *dir, const char *name, const char *text) {
  char path[STORE_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC); /* initdb made them, owned and readable as they should be */
  if (fd < 0) return false;
  ssize_t len = (ssize_t)strlen(text);
  bool written = write(fd, text, (size_t)len) == len;
  return close(fd) == 0 && written;
}

static enum status single_user(const struct server *server, const char *data, const char *database, const char *sql, struct error *err) {
  char program[SERVERS_PATH + 32];
  snprintf(program, sizeof program, "%s/bin/postgres", server->prefix);
  BUF_AUTO output;
  buf_init(&output, 65536);
  return run((const char *const[]){program, "--single", "-D", data, "-c", "exit_on_error=on", database, NULL}, sql, &output, err);
}

/* Since 18 initdb turns them on, and whatif_files.c writes pages without. */
#define CHECKSUMS_SINCE 18

static enum status make(const struct server *server, const char *data, struct error *err) {
  char program[SERVERS_PATH + 32];
  snprintf(program, sizeof program, "%s/bin/initdb", server->prefix);
  const char *const argv[] = {program,
                              "-D",
                              data,
                              "-U",
                              "autodb_tracer",
                              "-A",
                              "trust",
                              "--wal-segsize=1",
                              "--no-sync",
                              "--no-instructions",
                              "--locale=C.UTF-8",
                              "--encoding=UTF8",
                              server->major >= CHECKSUMS_SINCE ? "--no-data-checksums" : NULL,
                              NULL};
  enum status status = run(argv, NULL, NULL, err);
  if (status) return status;
  if (!write_file(data, "postgresql.conf", settings) || !write_file(data, "pg_hba.conf", "local all all trust\n"))
    return error_set(err, ERR_UNAVAILABLE, "can't write settings to %s: %s", data, strerror(errno));
  status = single_user(server, data, "template1", prepare_sql, err);
  if (!status && server->major >= CREATEROLE_SINCE) status = single_user(server, data, "sandbox", createrole_sql, err);
  return status ? status : single_user(server, data, "sandbox", finish_sql, err);
}

/* Under the lock: somebody may have made it while we waited. */
static enum status make_locked(const struct config *cfg, const struct server *server, const char *final, struct error *err) {
  char making[STORE_PATH];
  if (access(final, F_OK) == 0) return OK;
  snprintf(making, sizeof making, "%s/making-%d-%d", cfg->sandbox_dir, server->major, (int)getpid());
  store_remove_tree(making);
  enum status status = make(server, making, err);
  if (!status && rename(making, final) != 0) status = error_set(err, ERR_UNAVAILABLE, "can't rename %s: %s", making, strerror(errno));
  if (status) {
    error_prefix(err, "can't prepare a PostgreSQL %d for sandboxes", server->major);
    store_remove_tree(making);
  }
  return status;
}

/* The memory of the last answer: a keeper or slot asks for every sandbox, and the version takes a process to find out. */
static struct template known;
static char known_key[STORE_PATH];

enum status template_get(const struct config *cfg, const struct server *server, struct template *ret_template, struct error *err) {
  char program[SERVERS_PATH + 32], key[STORE_PATH], lock_path[STORE_PATH];
  struct template template = {0};
  struct stat info;
  snprintf(program, sizeof program, "%s/bin/postgres", server->prefix);
  if (stat(program, &info) != 0) return error_set(err, ERR_UNAVAILABLE, "%s: %s", program, strerror(errno));
  snprintf(key, sizeof key, "%s/template-%d-%d-%" PRIx64 "-%" PRIx64, cfg->sandbox_dir, server->major, TEMPLATE_REVISION,
           (uint64_t)info.st_mtime, (uint64_t)info.st_size);
  if (!strcmp(key, known_key) && access(key, F_OK) == 0) {
    *ret_template = known;
    return OK;
  }
  enum status status = read_version(server, &template, err);
  if (status) return status;
  snprintf(template.data, sizeof template.data, "%s", key);
  snprintf(lock_path, sizeof lock_path, "%s/template-%d.lock", cfg->sandbox_dir, server->major);
  int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX) != 0) {
    if (lock >= 0) close(lock);
    return error_set(err, ERR_UNAVAILABLE, "can't lock %s: %s", lock_path, strerror(errno));
  }
  if (geteuid() == 0 && fchown(lock, process_uid(), process_gid()) != 0)
    status = error_set(err, ERR_UNAVAILABLE, "chown %s: %s", lock_path, strerror(errno));
  if (!status) status = make_locked(cfg, server, key, err);
  close(lock);
  if (status) return status;
  known = template;
  snprintf(known_key, sizeof known_key, "%s", key);
  *ret_template = template;
  return OK;
}
