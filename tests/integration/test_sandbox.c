/* test_sandbox.c - a sandbox starts, is nobody's way out, dies with its owner; the keeper hands warm ones over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/pg.h"
#include "sandbox/sandbox.h"

static struct config cfg = {.sandbox_memory_mb = 512, .sandbox_warm = 2, .slots = 2};
static char keeper_path[100];

#define POLL(condition, timeout_ms)                                                            \
  do {                                                                                         \
    int64_t until = clock_mono_ms() + (timeout_ms);                                            \
    while (!(condition)) {                                                                     \
      if (clock_mono_ms() > until) fail_msg("not within %d ms: %s", (timeout_ms), #condition); \
      usleep(2000);                                                                            \
    }                                                                                          \
  } while (0)

static int newest(void) { return sandbox_pick_major(99 * 10000); }

static struct sandbox *open_sandbox(const char *keeper) {
  ERROR_AUTO err = {0};
  struct sandbox *sandbox = NULL;
  if (sandbox_open(&cfg, keeper, newest(), &sandbox, &err)) fail_msg("%s", err.message);
  return sandbox;
}

/* A child that doesn't outlive a failed test. */
static pid_t fork_child(void) {
  pid_t parent = getpid(), pid = fork();
  assert_true(pid >= 0);
  if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent)) _exit(1);
  return pid;
}

static PGconn *as_migrator(struct sandbox *sandbox) {
  ERROR_AUTO err = {0};
  PGconn *conn = NULL;
  if (sandbox_connect_migrator(sandbox, &conn, &err)) fail_msg("%s", err.message);
  return conn;
}

static PGconn *as_tracer(struct sandbox *sandbox) {
  ERROR_AUTO err = {0};
  PGconn *conn = NULL;
  if (sandbox_connect_tracer(sandbox, &conn, &err)) fail_msg("%s", err.message);
  return conn;
}

static void refused(PGconn *conn, const char *sql, const char *sqlstate) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_FATAL_ERROR) fail_msg("worked: %s", sql);
  if (sqlstate && strcmp(pg_sqlstate(res), sqlstate) != 0) fail_msg("%s: %s instead of %s", sql, PQresultErrorMessage(res), sqlstate);
}

static void works(PGconn *conn, const char *sql) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  if (PQresultStatus(res) == PGRES_FATAL_ERROR) fail_msg("%s: %s", sql, PQresultErrorMessage(res));
}

static bool gives(PGconn *conn, const char *sql, const char *value) {
  PGRESULT_AUTO res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s: %s", sql, PQresultErrorMessage(res));
  return !strcmp(PQgetvalue(res, 0, 0), value);
}

/* Processes whose parent chain or command tells they are sandboxes of this test: bwrap and what it runs keep no name of ours, so by claim
 * files. */
static int count_claims(void) {
  char path[200];
  int count = 0;
  snprintf(path, sizeof path, "%s/run", cfg.sandbox_dir);
  DIR *dir = opendir(path);
  if (!dir) return 0;
  for (const struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
  closedir(dir);
  return count;
}

static void claimed_pids(pid_t pids[], int max, int *ret_count) {
  char path[500], text[64];
  snprintf(path, sizeof path, "%s/run", cfg.sandbox_dir);
  DIR *dir = opendir(path);
  assert_non_null(dir);
  for (const struct dirent *entry; (entry = readdir(dir)) && *ret_count < max;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/run/%s", cfg.sandbox_dir, entry->d_name);
    FILE *file = fopen(path, "r");
    if (file && fgets(text, sizeof text, file)) pids[(*ret_count)++] = (pid_t)strtol(text, NULL, 10);
    if (file) fclose(file);
  }
  closedir(dir);
}

static void test_majors(void **state) {
  (void)state;
  int majors[16], count = sandbox_majors(majors, 16);
  assert_true(count > 0);
  for (int i = 1; i < count; i++) assert_true(majors[i] > majors[i - 1]);
  assert_int_equal(sandbox_pick_major(majors[0] * 10000 + 3), majors[0]);
  assert_int_equal(sandbox_pick_major(90000), majors[0]);
  assert_int_equal(sandbox_pick_major(990000), majors[count - 1]);
}

static void test_each_major(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  int majors[16], count = sandbox_majors(majors, 16);
  for (int i = 0; i < count; i++) {
    struct sandbox *sandbox = NULL;
    if (sandbox_open(&cfg, NULL, majors[i], &sandbox, &err)) fail_msg("%s", err.message);
    assert_int_equal(sandbox_version_num(sandbox) / 10000, majors[i]);
    assert_int_equal(strncmp(sandbox_engine(sandbox), "postgres ", 9), 0);
    PGCONN_AUTO conn = as_migrator(sandbox);
    assert_int_equal(PQserverVersion(conn), sandbox_version_num(sandbox));
    assert_true(gives(conn, "SHOW server_encoding", "UTF8"));
    works(conn, "CREATE TABLE x(id int PRIMARY KEY); CREATE SCHEMA s; CREATE PUBLICATION p FOR TABLE x");
    sandbox_close(sandbox);
  }
}

static void test_bad_settings(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct sandbox *sandbox = NULL;
  struct config bad = cfg;
  assert_int_equal(sandbox_open(&cfg, NULL, 9, &sandbox, &err), ERR_UNAVAILABLE);
  assert_non_null(strstr(err.message, "AUTODB_PG_BIN_9"));
  bad.sandbox_dir = "relative/path";
  assert_int_equal(sandbox_open(&bad, NULL, newest(), &sandbox, &err), ERR_VALIDATION);
  bad.sandbox_dir = "/proc/nowhere";
  assert_int_equal(sandbox_open(&bad, NULL, newest(), &sandbox, &err), ERR_UNAVAILABLE);
  bad.sandbox_dir = "/tmp"; /* somebody else's, and everybody can write to it */
  assert_int_equal(sandbox_open(&bad, NULL, newest(), &sandbox, &err), ERR_UNAVAILABLE);
  bad = cfg;
  bad.sandbox_memory_mb = 4; /* no room for the template */
  assert_int_equal(sandbox_open(&bad, NULL, newest(), &sandbox, &err), ERR_UNAVAILABLE);
  assert_non_null(strstr(err.message, "AUTODB_SANDBOX_MEMORY_MB"));
  assert_null(sandbox);
  assert_int_equal(count_claims(), 0);
}

static void test_migrator_is_nobody(void **state) {
  (void)state;
  struct sandbox *sandbox = open_sandbox(NULL);
  PGCONN_AUTO conn = as_migrator(sandbox);
  PGCONN_AUTO tracer = as_tracer(sandbox);
  static const struct {
    const char *sql, *sqlstate;
  } attempts[] = {
      {"COPY (SELECT 1) TO PROGRAM 'id'", "42501"},
      {"COPY pg_class FROM PROGRAM 'id'", "42501"},
      {"COPY (SELECT 1) TO '/tmp/x'", "42501"},
      {"SELECT pg_read_file('/etc/ld.so.cache')", "42501"},
      {"SELECT pg_ls_dir('/')", "42501"},
      {"SELECT lo_import('/etc/ld.so.cache')", "42501"},
      {"SELECT lo_export(1, '/tmp/x')", "42501"},
      {"CREATE EXTENSION file_fdw", "42501"},
      {"CREATE EXTENSION dblink", "42501"},
      {"CREATE LANGUAGE plpython3u", NULL},
      {"CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'system'", "42501"},
      {"CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'pg_ls_dir'", "42501"},
      {"ALTER SYSTEM SET fsync = on", "42501"},
      {"SET session_authorization = autodb_tracer", "42501"},
      {"SET ROLE autodb_tracer", "42501"},
      {"SET session_replication_role = replica", "42501"},
      {"SET session_preload_libraries = 'x'", "42501"},
      {"SET log_statement = 'all'", "42501"},
      {"LOAD '/tmp/x.so'", "42501"},
      {"CREATE ROLE x SUPERUSER", "42501"},
      {"ALTER ROLE migrator SUPERUSER", "42501"},
      {"GRANT pg_execute_server_program TO migrator", "42501"},
      {"CREATE ROLE x IN ROLE pg_execute_server_program", "42501"},
      {"CREATE ROLE x REPLICATION", "42501"},
      {"CREATE ROLE x BYPASSRLS", "42501"},
      {"ALTER ROLE autodb_tracer PASSWORD 'x'", "42501"},
      {"CREATE DATABASE x", "42501"},
      {"CREATE TABLESPACE x LOCATION '/tmp'", "42501"},
      {"CREATE FUNCTION t() RETURNS event_trigger LANGUAGE plpgsql AS 'begin end'; CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE "
       "FUNCTION t()",
       "42501"},
      {"CREATE SUBSCRIPTION s CONNECTION 'host=/s' PUBLICATION p WITH (connect = false)", "42501"},
      {"SELECT pg_reload_conf()", "42501"},
      {"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'autodb_tracer'", "42501"},
      {"UPDATE pg_authid SET rolsuper = true", "42501"},
      {"SELECT * FROM pg_authid", "42501"},
      {"ALTER DATABASE sandbox OWNER TO autodb_tracer", "42501"},
      {"CREATE FOREIGN DATA WRAPPER w", "42501"},
  };
  if (sandbox_version_num(sandbox) >= 160000)
    works(conn, "CREATE ROLE app; GRANT app TO migrator");
  else
    refused(conn, "CREATE ROLE app", "42501");
  for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) refused(conn, attempts[i].sql, attempts[i].sqlstate);
  sandbox_close(sandbox);
}

/* Extensions that connect can be in a dump: without a password nobody but a superuser gets anywhere with them, not even back in. */
static void test_no_way_back_in(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct sandbox *sandbox = open_sandbox(NULL);
  struct sandbox_clone_report report;
  ARENA_AUTO arena = arena_new(64 << 20);
  assert_int_equal(
      sandbox_clone(sandbox,
                    "CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw; CREATE EXTENSION plpython3u;", NULL,
                    NULL, arena, &report, &err),
      OK);
  assert_int_equal(json_array_size(report.missing_extensions), 2);
  PGCONN_AUTO conn = as_migrator(sandbox);
  refused(conn, "SELECT dblink_connect('host=/s user=autodb_tracer dbname=sandbox')", NULL);
  refused(conn, "SELECT dblink_connect('host=/s user=autodb_tracer password=x dbname=sandbox')", NULL);
  refused(conn, "SELECT dblink_connect_u('host=/s user=autodb_tracer dbname=sandbox')", "42501");
  refused(conn, "SELECT dblink_connect('host=127.0.0.1 user=x password=x')", NULL);
  works(conn, "CREATE SERVER back FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/s', dbname 'sandbox')");
  refused(conn, "CREATE USER MAPPING FOR migrator SERVER back OPTIONS (user 'autodb_tracer', password_required 'false')", NULL);
  works(conn, "CREATE USER MAPPING FOR migrator SERVER back OPTIONS (user 'autodb_tracer', password 'x')");
  works(conn, "CREATE FOREIGN TABLE auth(rolname text) SERVER back OPTIONS (schema_name 'pg_catalog', table_name 'pg_authid')");
  refused(conn, "SELECT * FROM auth", NULL);
  sandbox_close(sandbox);
}

static void test_superuser_is_walled_in(void **state) {
  (void)state;
  struct sandbox *sandbox = open_sandbox(NULL);
  PGCONN_AUTO conn = as_tracer(sandbox);
  refused(conn, "COPY (SELECT 1) TO PROGRAM 'id'", NULL); /* there is no shell */
  refused(conn, "SELECT pg_read_file('/etc/passwd')", NULL);
  refused(conn, "SELECT pg_ls_dir('/proc')", NULL);
  refused(conn, "SELECT pg_ls_dir('/home')", NULL);
  refused(conn, "COPY (SELECT 1) TO '/x'", NULL);
  refused(conn, "COPY (SELECT 1) TO '/dev/x'", NULL);
  refused(conn, "COPY (SELECT 1) TO '/usr/lib/x'", NULL);
  assert_true(gives(conn, "SELECT string_agg(f, ' ' ORDER BY f) FROM pg_ls_dir('/dev') f", "null shm urandom zero"));
  assert_true(gives(conn, "SELECT count(*) FROM pg_ls_dir('/etc') f", "1"));
  works(conn, "CREATE EXTENSION dblink SCHEMA public");
  refused(conn, "SELECT public.dblink_connect('host=127.0.0.1 port=5432')", NULL);
  refused(conn, "SELECT public.dblink_connect('host=169.254.169.254 connect_timeout=2')", NULL);
  sandbox_close(sandbox);
}

static void test_bounds(void **state) {
  (void)state;
  struct sandbox *sandbox = open_sandbox(NULL);
  PGCONN_AUTO tracer = as_tracer(sandbox);
  PGCONN_AUTO conn = as_migrator(sandbox);
  refused(conn, "SELECT length(string_agg(repeat('x', 100000000), '')) FROM generate_series(1, 9)", "53200");
  refused(conn, "CREATE TABLE big AS SELECT repeat(md5(g::text), 30) FROM generate_series(1, 3000000) g", NULL);
  works(conn, "SELECT 1");
  refused(tracer, "COPY (SELECT repeat('x', 1000000) FROM generate_series(1, 2000)) TO '/dev/shm/big'", NULL);
  PGconn *many[40] = {0};
  int open = 0;
  ERROR_AUTO err = {0};
  for (int i = 0; i < 40 && !sandbox_connect_migrator(sandbox, &many[i], &err); i++) open++;
  assert_true(open > 2 && open < 16);
  for (int i = 0; i < open; i++) PQfinish(many[i]);
  sandbox_close(sandbox);
  assert_int_equal(count_claims(), 0);
}

/* The owner is killed: nothing is left but its claim, and the sweep takes that. */
static void test_dies_with_owner(void **state) {
  (void)state;
  int pipes[2], count = 0;
  pid_t pids[8];
  char byte;
  assert_int_equal(pipe(pipes), 0);
  pid_t owner = fork_child();
  if (owner == 0) {
    struct sandbox *sandbox = open_sandbox(NULL);
    PGconn *conn = as_migrator(sandbox);
    if (PQsendQuery(conn, "SELECT pg_sleep(600)") && write(pipes[1], "x", 1) == 1) pause();
    _exit(1);
  }
  close(pipes[1]);
  assert_int_equal(read(pipes[0], &byte, 1), 1);
  close(pipes[0]);
  assert_int_equal(sandbox_sweep(&cfg), 0); /* alive: left alone */
  claimed_pids(pids, 8, &count);
  assert_int_equal(count, 1);
  assert_int_equal(kill(pids[0], 0), 0);
  kill(owner, SIGKILL);
  waitpid(owner, NULL, 0);
  POLL(kill(pids[0], 0) != 0 && errno == ESRCH, 3000);
  assert_int_equal(count_claims(), 1);
  assert_int_equal(sandbox_sweep(&cfg), 1);
  assert_int_equal(count_claims(), 0);
}

/* A claim whose owner is gone but whose process lives (death signals failed): killed, unless the process id has been given to another. */
static void test_sweep_kills(void **state) {
  (void)state;
  char path[200], text[600], stat_path[64];
  pid_t victim = fork_child();
  if (victim == 0) {
    for (;;) pause();
  }
  snprintf(stat_path, sizeof stat_path, "/proc/%d/stat", (int)victim);
  int fd = open(stat_path, O_RDONLY);
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  assert_true(got > 0);
  text[got] = 0;
  char *at = strrchr(text, ')');
  for (int field = 2; field < 22; field++) at = strchr(at + 1, ' ');
  unsigned long long started = strtoull(at, NULL, 10);
  snprintf(path, sizeof path, "%s/run/stale", cfg.sandbox_dir);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fprintf(file, "%d %llu\n", (int)victim, started + 1); /* another process had that id */
  fclose(file);
  assert_int_equal(sandbox_sweep(&cfg), 1);
  assert_int_equal(kill(victim, 0), 0);
  file = fopen(path, "w");
  fprintf(file, "%d %llu\n", (int)victim, started);
  fclose(file);
  assert_int_equal(sandbox_sweep(&cfg), 1);
  int status = 0;
  waitpid(victim, &status, 0);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_dump(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  ARENA_AUTO arena = arena_new(64 << 20);
  struct sandbox *sandbox = open_sandbox(NULL);
  PGCONN_AUTO conn = as_migrator(sandbox);
  const char *first, *second, *third;
  works(conn, "CREATE TABLE a(id int PRIMARY KEY, b text DEFAULT 'x'); CREATE INDEX ab ON a(b)");
  assert_int_equal(sandbox_dump(sandbox, arena, &first, &err), OK);
  assert_non_null(strstr(first, "CREATE TABLE public.a"));
  assert_null(strstr(first, "\\restrict"));
  works(conn, "ALTER TABLE a ADD COLUMN c int");
  assert_int_equal(sandbox_dump(sandbox, arena, &second, &err), OK);
  assert_string_not_equal(first, second);
  works(conn, "ALTER TABLE a DROP COLUMN c");
  assert_int_equal(sandbox_dump(sandbox, arena, &third, &err), OK);
  assert_string_equal(first, third);
  sandbox_close(sandbox);
}

/* --- keeper --- */

static pid_t start_keeper(void) {
  pid_t pid = fork_child();
  if (pid == 0) _exit(sandbox_keeper_main(&cfg, keeper_path));
  POLL(access(keeper_path, F_OK) == 0 && count_claims() == 2, 5000);
  return pid;
}

static void stop_keeper(pid_t pid) {
  int status;
  kill(pid, SIGTERM);
  waitpid(pid, &status, 0);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_int_equal(access(keeper_path, F_OK), -1);
  assert_int_equal(count_claims(), 0);
}

static void test_keeper(void **state) {
  (void)state;
  pid_t keeper = start_keeper();
  int64_t best = INT64_MAX;
  struct stat info;
  assert_int_equal(stat(keeper_path, &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  for (int i = 0; i < 8; i++) {
    POLL(count_claims() >= 2, 5000);
    int64_t started = clock_mono_us();
    struct sandbox *sandbox = open_sandbox(keeper_path);
    int64_t took = clock_mono_us() - started;
    if (took < best) best = took;
    PGCONN_AUTO conn = as_migrator(sandbox);
    assert_true(gives(conn, "SELECT count(*) FROM pg_class WHERE relname = 'mine'", "0")); /* never used before */
    works(conn, "CREATE TABLE mine(x int)");
    sandbox_close(sandbox);
  }
  print_message("warm sandbox handed over in %lld us at best\n", (long long)best);
  stop_keeper(keeper);
}

static void test_keeper_more_than_spares(void **state) {
  (void)state;
  pid_t keeper = start_keeper();
  ERROR_AUTO err = {0};
  struct sandbox *all[4] = {0}, *one_more = NULL;
  for (int i = 0; i < 4; i++) all[i] = open_sandbox(keeper_path);
  assert_int_equal(sandbox_open(&cfg, keeper_path, newest(), &one_more, &err), ERR_UNAVAILABLE);
  assert_non_null(strstr(err.message, "in use"));
  assert_int_equal(sandbox_open(&cfg, keeper_path, 9, &one_more, &err), ERR_UNAVAILABLE);
  sandbox_close(all[0]);
  POLL(!sandbox_open(&cfg, keeper_path, newest(), &one_more, &err), 5000);
  sandbox_close(one_more);
  for (int i = 1; i < 4; i++) sandbox_close(all[i]);
  stop_keeper(keeper);
}

static bool server_gone(PGconn *conn) {
  PGRESULT_AUTO res = PQexec(conn, "SELECT 1");
  return PQstatus(conn) == CONNECTION_BAD;
}

static void test_keeper_killed(void **state) {
  (void)state;
  pid_t keeper = start_keeper(), pids[8];
  int count = 0;
  struct sandbox *sandbox = open_sandbox(keeper_path);
  PGCONN_AUTO conn = as_migrator(sandbox);
  claimed_pids(pids, 8, &count);
  assert_true(count >= 2);
  kill(keeper, SIGKILL);
  waitpid(keeper, NULL, 0);
  POLL(server_gone(conn), 3000);
  for (int i = 0; i < count; i++) POLL(kill(pids[i], 0) != 0, 3000);
  sandbox_close(sandbox);
  sandbox = open_sandbox(keeper_path); /* no keeper: starts its own */
  sandbox_close(sandbox);
  assert_true(sandbox_sweep(&cfg) >= 2);
  unlink(keeper_path);
}

static void test_keeper_client_killed(void **state) {
  (void)state;
  pid_t keeper = start_keeper(), pids[8];
  int pipes[2], count = 0;
  char byte;
  assert_int_equal(pipe(pipes), 0);
  pid_t client = fork_child();
  if (client == 0) {
    open_sandbox(keeper_path);
    if (write(pipes[1], "x", 1) == 1) pause();
    _exit(1);
  }
  assert_int_equal(read(pipes[0], &byte, 1), 1);
  close(pipes[0]);
  close(pipes[1]);
  POLL(count_claims() == 3, 5000);
  claimed_pids(pids, 8, &count);
  kill(client, SIGKILL);
  waitpid(client, NULL, 0);
  POLL(count_claims() == 2, 5000);
  int alive = 0;
  for (int i = 0; i < count; i++) alive += kill(pids[i], 0) == 0;
  assert_int_equal(alive, 2);
  kill(pids[0], SIGKILL); /* a spare, or gone: the keeper replaces what dies */
  kill(pids[1], SIGKILL);
  POLL(kill(pids[0], 0) != 0 && kill(pids[1], 0) != 0, 3000);
  POLL(count_claims() == 2, 5000);
  stop_keeper(keeper);
}

static int setup(void **state) {
  (void)state;
  static char dir[64];
  snprintf(dir, sizeof dir, "/dev/shm/autodb-test-%d", (int)getpid());
  snprintf(keeper_path, sizeof keeper_path, "%s.keeper", dir);
  cfg.sandbox_dir = dir;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", cfg.sandbox_dir);
  return system(command);
}

/* What this program does when it is run again by test_without_namespaces: opens a sandbox and says how that went. */
static int only_open(const char *dir) {
  ERROR_AUTO err = {0};
  SANDBOX_AUTO sandbox = NULL;
  cfg.sandbox_dir = dir;
  enum status status = sandbox_open(&cfg, NULL, newest(), &sandbox, &err);
  printf("%s %s\n", status ? status_code(status) : "OK", err.message);
  return 0;
}

static const char *program;

static void run_again(const char *wrapper, char *answer, int size) {
  char command[700];
  snprintf(command, sizeof command, "%s '%s' only-open '%s'", wrapper, program, cfg.sandbox_dir);
  FILE *pipe = popen(command, "r");
  assert_non_null(pipe);
  if (!fgets(answer, size, pipe)) *answer = 0;
  pclose(pipe);
}

/* Where the system doesn't allow it, the message says what to allow. */
static void test_without_namespaces(void **state) {
  (void)state;
  char answer[1200];
  run_again("bwrap --unshare-user --disable-userns --dev-bind / /", answer, sizeof answer);
  assert_int_equal(strncmp(answer, status_code(ERR_UNAVAILABLE), 10), 0);
  assert_non_null(strstr(answer, "user namespace"));
  run_again("bwrap --dev-bind / / --tmpfs /usr/bin", answer, sizeof answer);
  assert_non_null(strstr(answer, "install the package bubblewrap"));
  run_again("setpriv --no-new-privs", answer, sizeof answer);
  assert_int_equal(strncmp(answer, "OK", 2), 0);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "only-open")) return only_open(argv[2]);
  program = argv[0];
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_majors),
      cmocka_unit_test(test_each_major),
      cmocka_unit_test(test_bad_settings),
      cmocka_unit_test(test_without_namespaces),
      cmocka_unit_test(test_migrator_is_nobody),
      cmocka_unit_test(test_no_way_back_in),
      cmocka_unit_test(test_superuser_is_walled_in),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_dies_with_owner),
      cmocka_unit_test(test_sweep_kills),
      cmocka_unit_test(test_dump),
      cmocka_unit_test(test_keeper),
      cmocka_unit_test(test_keeper_more_than_spares),
      cmocka_unit_test(test_keeper_killed),
      cmocka_unit_test(test_keeper_client_killed),
  };
  return cmocka_run_group_tests_name("sandbox", tests, setup, teardown);
}
