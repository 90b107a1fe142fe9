/* The servers a test starts: PostgreSQL from a template directory made once per version, Valkey or Redis, the API, workers. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/harness.h"

static int free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0)
    fail_msg("no free port: %s", strerror(errno));
  close(fd);
  return ntohs(address.sin_port);
}

static void show_log(const struct harness_proc *proc) {
  FILE *file = fopen(proc->log, "re");
  char line[2048];
  while (file && fgets(line, sizeof line, file)) fputs(line, stderr);
  if (file) fclose(file);
}

static void not_ready(struct harness_proc *proc, const char *what) {
  show_log(proc);
  fail_msg("%s: %s (its log is above)", proc->name, what);
}

/* --- PostgreSQL --- */

static bool find_bin(int major, char out[HARNESS_PATH]) {
  char name[32], probe[HARNESS_PATH + 16];
  snprintf(name, sizeof name, "AUTODB_PG_BIN_%d", major);
  const char *given = getenv(name);
  if (given)
    snprintf(out, HARNESS_PATH, "%s", given);
  else
    snprintf(out, HARNESS_PATH, "/usr/lib/postgresql/%d/bin", major);
  snprintf(probe, sizeof probe, "%s/initdb", out);
  return access(probe, X_OK) == 0;
}

bool harness_has_postgres(int major) {
  char bin[HARNESS_PATH];
  return find_bin(major, bin);
}

int harness_majors(int *major, const struct CMUnitTest *tests, size_t count, CMFixtureFunction setup, CMFixtureFunction teardown) {
  static const int majors[] = {13, 14, 15, 16, 17, 18};
  int failed = 0;
  for (size_t i = 0; i < sizeof majors / sizeof *majors; i++) {
    if (!harness_has_postgres(majors[i])) continue;
    *major = majors[i];
    print_message("PostgreSQL %d\n", *major);
    failed += _cmocka_run_group_tests("tests", tests, count, setup, teardown);
  }
  return failed;
}

static void run_or_fail(struct harness *h, const char *path, const char *const argv[]) {
  char *output = NULL;
  int status = harness_run(h, path, argv, NULL, &output);
  if (status != 0) fail_msg("%s ended with %d: %s", path, status, output);
  free(output);
}

/* The cache is ours (0700) and shared by all test programs; the first to need a version makes it, under a lock. */
static void template_dir(struct harness *h, const char *bin, int major, char out[HARNESS_PATH + 64]) {
  char cache[HARNESS_PATH], lock[HARNESS_PATH + 16], fresh[HARNESS_PATH + 64], initdb[HARNESS_PATH + 16], pwarg[HARNESS_PATH + 64];
  const char *given = getenv("AUTODB_TEST_CACHE");
  if (given)
    snprintf(cache, sizeof cache, "%s", given);
  else
    snprintf(cache, sizeof cache, "/tmp/autodb-test-cache-%d", (int)getuid());
  struct stat info;
  if (mkdir(cache, 0700) < 0 && errno != EEXIST) fail_msg("%s: %s", cache, strerror(errno));
  if (lstat(cache, &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != getuid()) fail_msg("%s is not ours: remove it", cache);
  snprintf(lock, sizeof lock, "%s/lock", cache);
  int lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0) fail_msg("%s: %s", lock, strerror(errno));
  snprintf(out, HARNESS_PATH + 64, "%s/pg%d", cache, major);
  if (access(out, F_OK) != 0) {
    snprintf(fresh, sizeof fresh, "%s/pg%d.new", cache, major);
    snprintf(lock, sizeof lock, "%s/pwfile", cache);
    FILE *password = fopen(lock, "we");
    if (!password) fail_msg("%s: %s", lock, strerror(errno));
    fputs(HARNESS_PASSWORD "\n", password);
    fclose(password);
    snprintf(initdb, sizeof initdb, "%s/initdb", bin);
    snprintf(pwarg, sizeof pwarg, "--pwfile=%s", lock);
    run_or_fail(h, "/bin/rm", (const char *[]){"rm", "-rf", fresh, NULL});
    run_or_fail(h, initdb,
                (const char *[]){initdb, "-D", fresh, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust",
                                 "--auth-host=scram-sha-256", "--no-sync", pwarg, NULL});
    if (rename(fresh, out) < 0) fail_msg("%s: %s", out, strerror(errno));
  }
  close(lock_fd);
}

static bool answers(const char *url) {
  PGconn *conn = PQconnectdb(url);
  bool up = PQstatus(conn) == CONNECTION_OK;
  PQfinish(conn);
  return up;
}

static void postgres_ready(struct harness *h, struct harness_proc *proc) {
  for (int i = 0; i < h->pg_count; i++)
    if (h->pg[i].proc == proc && !POLL_UNTIL(answers(h->pg[i].url) || !harness_alive(proc), 30000))
      not_ready(proc, "no answer within 30 s");
  if (!harness_alive(proc)) not_ready(proc, "ended while starting");
}

/* A killed postmaster's backends hold its shared memory until they notice, and no new one starts before. The segment's id is the second
 * word of line 7 of postmaster.pid (PostgreSQL, src/include/utils/pidfile.h). */
static bool postgres_vacant(const struct harness_proc *proc) {
  char path[HARNESS_PATH + 64], line[128] = "";
  struct shmid_ds segment;
  int id;
  snprintf(path, sizeof path, "%s/postmaster.pid", proc->argv[2]);
  FILE *file = fopen(path, "re");
  if (!file) return true; // it stopped in order
  for (int i = 0; i < 7; i++)
    if (!fgets(line, sizeof line, file)) line[0] = 0;
  fclose(file);
  return sscanf(line, "%*d %d", &id) != 1 || shmctl(id, IPC_STAT, &segment) < 0 || segment.shm_nattch == 0;
}

struct harness_pg *harness_postgres(struct harness *h, int major) {
  assert_true((size_t)h->pg_count < sizeof h->pg / sizeof h->pg[0]);
  struct harness_pg *pg = &h->pg[h->pg_count];
  char from[HARNESS_PATH + 64], data[HARNESS_PATH + 32], program[HARNESS_PATH + 16], port[16], name[32];
  if (!find_bin(major, pg->bin)) {
    fprintf(stderr, "skipped: PostgreSQL %d is not installed (%s)\n", major, pg->bin);
    exit(77);
  }
  pg->major = major;
  pg->port = free_port();
  template_dir(h, pg->bin, major, from);
  snprintf(data, sizeof data, "%s/pg%d", h->dir, h->pg_count);
  snprintf(pg->socket_dir, sizeof pg->socket_dir, "%s", h->dir);
  run_or_fail(h, "/bin/cp", (const char *[]){"cp", "-a", "--reflink=auto", from, data, NULL});
  snprintf(program, sizeof program, "%s/postgres", pg->bin);
  snprintf(port, sizeof port, "%d", pg->port);
  snprintf(name, sizeof name, "postgres%d", major);
  snprintf(pg->url, sizeof pg->url, "postgresql://postgres:" HARNESS_PASSWORD "@127.0.0.1:%d/postgres", pg->port);
  h->pg_count++;
  pg->proc = harness_spawn(h, name, program,
                           (const char *[]){program,
                                            "-D",
                                            data,
                                            "-p",
                                            port,
                                            "-k",
                                            pg->socket_dir,
                                            "-h",
                                            "127.0.0.1",
                                            "-c",
                                            "fsync=off",
                                            "-c",
                                            "full_page_writes=off",
                                            "-c",
                                            "shared_buffers=64MB",
                                            "-c",
                                            "max_connections=200",
                                            "-c",
                                            "log_min_messages=warning",
                                            "-c",
                                            "max_wal_size=256MB",
                                            "-c",
                                            "dynamic_shared_memory_type=mmap",
                                            NULL},
                           NULL);
  pg->proc->death_signal = SIGQUIT; // an immediate shutdown, which frees its shared memory
  pg->proc->stop_signal = SIGINT;   // a fast one
  pg->proc->ready = postgres_ready;
  pg->proc->vacant = postgres_vacant;
  postgres_ready(h, pg->proc);
  if (!h->database_url[0]) harness_database(pg, "autodb", h->database_url);
  return pg;
}

PGconn *harness_connect(const char *url) {
  PGconn *conn = PQconnectdb(url);
  if (PQstatus(conn) != CONNECTION_OK) fail_msg("%s", PQerrorMessage(conn));
  return conn;
}

static void ignore_notice(void *arg, const PGresult *res) {
  (void)arg;
  (void)res;
}

void harness_sql(const char *url, const char *script) {
  PGconn *conn = harness_connect(url);
  PQsetNoticeReceiver(conn, ignore_notice, NULL);
  PGresult *res = PQexec(conn, script);
  ExecStatusType status = PQresultStatus(res);
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
    fail_msg("%.300s: %s", script, PQerrorMessage(conn));
  PQclear(res);
  PQfinish(conn);
}

void harness_sql_file(const char *url, const char *path) {
  char whole[1024];
  snprintf(whole, sizeof whole, "%s%s", path[0] == '/' ? "" : AUTODB_SOURCE_DIR "/", path);
  FILE *file = fopen(whole, "re");
  if (!file) fail_msg("%s: %s", whole, strerror(errno));
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  char *text = calloc(1, (size_t)size + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, (size_t)size, file), size);
  fclose(file);
  harness_sql(url, text);
  free(text);
}

long long harness_count(const char *url, const char *sql) {
  PGconn *conn = harness_connect(url);
  PGresult *res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) < 1) fail_msg("%s: %s", sql, PQerrorMessage(conn));
  long long value = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
  PQclear(res);
  PQfinish(conn);
  return value;
}

void harness_database(struct harness_pg *pg, const char *name, char out[HARNESS_URL]) {
  char sql[256];
  snprintf(sql, sizeof sql, "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)", name);
  harness_sql(pg->url, sql);
  snprintf(sql, sizeof sql, "CREATE DATABASE \"%s\"", name);
  harness_sql(pg->url, sql);
  snprintf(out, HARNESS_URL, "postgresql://postgres:" HARNESS_PASSWORD "@127.0.0.1:%d/%s", pg->port, name);
}

/* --- Valkey or Redis --- */

/* Debian's valkey-tools ships the server's own binary as valkey-check-rdb: one program, which looks at the name it is run under. */
static const char *const valkey_programs[][2] = {{"/usr/bin/valkey-server", "valkey-server"},
                                                 {"/usr/bin/redis-server", "redis-server"},
                                                 {"/usr/bin/valkey-check-rdb", "valkey-server"},
                                                 {"/usr/bin/redis-check-rdb", "redis-server"}};

static bool valkey_answers(const struct harness *h) {
  int port = 0;
  sscanf(h->redis_url, "redis://:" HARNESS_PASSWORD "@127.0.0.1:%d", &port);
  redisContext *redis = redisConnectWithTimeout("127.0.0.1", port, (struct timeval){.tv_sec = 2});
  redisReply *reply = redis && !redis->err ? redisCommand(redis, "AUTH " HARNESS_PASSWORD) : NULL;
  bool up = reply && reply->type == REDIS_REPLY_STATUS;
  if (reply) freeReplyObject(reply);
  if (redis) redisFree(redis);
  return up;
}

static void valkey_ready(struct harness *h, struct harness_proc *proc) {
  if (!POLL_UNTIL(valkey_answers(h) || !harness_alive(proc), 20000)) not_ready(proc, "no answer within 20 s");
  if (!harness_alive(proc)) not_ready(proc, "ended while starting");
}

struct harness_proc *harness_valkey(struct harness *h) {
  size_t which = 0, count = sizeof valkey_programs / sizeof valkey_programs[0];
  while (which < count && access(valkey_programs[which][0], X_OK) != 0) which++;
  if (which == count) fail_msg("no valkey or redis server is installed: deploy/setup --tests");
  char port[16];
  snprintf(port, sizeof port, "%d", free_port());
  snprintf(h->redis_url, sizeof h->redis_url, "redis://:" HARNESS_PASSWORD "@127.0.0.1:%s/0", port);
  struct harness_proc *proc =
      harness_spawn(h, "valkey", valkey_programs[which][0],
                    (const char *[]){valkey_programs[which][1], "--port", port, "--bind", "127.0.0.1", "--requirepass", HARNESS_PASSWORD,
                                     "--save", "", "--appendonly", "no", "--dir", h->dir, NULL},
                    NULL);
  proc->ready = valkey_ready;
  valkey_ready(h, proc);
  return proc;
}

/* --- AutoDB --- */

char **harness_env(struct harness *h, const char *const more[]) {
  char spool[HARNESS_PATH + 16], store[HARNESS_PATH + 16];
  snprintf(spool, sizeof spool, "%s/spool", h->dir);
  snprintf(store, sizeof store, "%s/documents", h->dir);
  const char *const ours[][2] = {{"AUTODB_DATABASE_URL", h->database_url},
                                 {"AUTODB_REDIS_URL", h->redis_url},
                                 {"AUTODB_MASTER_KEY", h->master_key},
                                 {"AUTODB_SANDBOX_DIR", h->sandbox_dir},
                                 {"AUTODB_SPOOL_DIR", spool},
                                 {"AUTODB_DOCUMENT_STORE", store},
                                 {"AUTODB_SCHEMA_DIR", AUTODB_SOURCE_DIR "/schema"},
                                 {"AUTODB_CONNECTION_ALLOW_CIDRS", "127.0.0.0/8,::1/128"},
                                 {"AUTODB_LISTEN", "127.0.0.1"},
                                 {"AUTODB_PORT", "0"},
                                 {"AUTODB_SLOTS", "2"},
                                 {"AUTODB_CONF", "/dev/null"},
                                 {"ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1"},
                                 {"UBSAN_OPTIONS", "print_stacktrace=1"},
                                 {"TSAN_OPTIONS", "suppressions=" AUTODB_SOURCE_DIR "/tests/support/tsan.supp"}};
  size_t count = sizeof ours / sizeof ours[0], more_count = 0;
  while (more && more[more_count]) more_count++;
  char **env = calloc(count + more_count + 1, sizeof *env);
  assert_non_null(env);
  for (size_t i = 0; i < count; i++)
    if (asprintf(&env[i], "%s=%s", ours[i][0], ours[i][1]) < 0) fail_msg("out of memory");
  for (size_t i = 0; i < more_count; i++) env[count + i] = strdup(more[i]);
  return env;
}

void harness_schema_up(struct harness *h) {
  char **env = harness_env(h, NULL);
  char *output = NULL;
  int status =
      harness_run(h, AUTODB_BINARY_DIR "/autodb", (const char *[]){"autodb", "schema", "up", NULL}, (const char *const *)env, &output);
  harness_env_free(env);
  if (status != 0) fail_msg("autodb schema up ended with %d: %s", status, output);
  free(output);
}

static void base64url(const unsigned char *bytes, int len, char *out) {
  int got = EVP_EncodeBlock((unsigned char *)out, bytes, len);
  for (int i = 0; i < got; i++) out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i] == '=' ? 0 : out[i]);
}

void harness_key(struct harness *h, const char *owner, const char *role, char out[64]) {
  unsigned char random[32];
  char encoded[64], prefix[16];
  RAND_bytes(random, sizeof random);
  base64url(random, sizeof random, encoded);
  snprintf(out, 64, "adb_%.43s", encoded);
  snprintf(prefix, sizeof prefix, "%.12s", out);
  PGconn *conn = harness_connect(h->database_url);
  PGresult *res = PQexecParams(
      conn, "INSERT INTO autodb.owners (id, name) VALUES (gen_random_uuid(), $1) ON CONFLICT (name) DO UPDATE SET name = $1 RETURNING id",
      1, NULL, (const char *[]){owner}, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) fail_msg("%s", PQerrorMessage(conn));
  char owner_id[40];
  snprintf(owner_id, sizeof owner_id, "%s", PQgetvalue(res, 0, 0));
  PQclear(res);
  res = PQexecParams(conn,
                     "INSERT INTO autodb.api_keys (id, owner_id, name, role, prefix, key_hash) "
                     "VALUES (gen_random_uuid(), $1, 'test', $2, $3, sha256(convert_to($4, 'UTF8')))",
                     4, NULL, (const char *[]){owner_id, role, prefix, out}, NULL, NULL, 0);
  if (PQresultStatus(res) != PGRES_COMMAND_OK) fail_msg("%s", PQerrorMessage(conn));
  PQclear(res);
  PQfinish(conn);
  if (h->api_key[0]) return;
  snprintf(h->api_key, sizeof h->api_key, "%s", out);
  snprintf(h->owner_id, sizeof h->owner_id, "%s", owner_id);
}

static int port_in(const char *path) {
  char text[32] = "";
  FILE *file = fopen(path, "re");
  if (file && !fgets(text, sizeof text, file)) text[0] = 0;
  if (file) fclose(file);
  return (int)strtol(text, NULL, 10);
}

static long status_of(struct harness *h, const char *path) {
  REPLY_AUTO reply;
  harness_http(h, "GET", path, NULL, NULL, &reply);
  return reply.status;
}

static const char *env_value(char *const *env, const char *name) {
  size_t len = strlen(name);
  for (; *env; env++)
    if (strncmp(*env, name, len) == 0 && (*env)[len] == '=') return *env + len + 1;
  return "";
}

static void api_ready(struct harness *h, struct harness_proc *proc) {
  const char *port_file = env_value(proc->env, "AUTODB_PORT_FILE"), *metrics_file = env_value(proc->env, "AUTODB_METRICS_PORT_FILE");
  if (!POLL_UNTIL((port_in(port_file) > 0 && port_in(metrics_file) > 0) || !harness_alive(proc), 20000))
    not_ready(proc, "wrote no port within 20 s");
  h->api_port = port_in(port_file);
  snprintf(h->api_url, sizeof h->api_url, "http://127.0.0.1:%d", h->api_port);
  snprintf(h->metrics_url, sizeof h->metrics_url, "http://127.0.0.1:%d/metrics", port_in(metrics_file));
  unlink(port_file); // one that is started again writes its own
  unlink(metrics_file);
  if (!POLL_UNTIL(status_of(h, "/healthz") == 200 || !harness_alive(proc), 20000)) not_ready(proc, "/healthz is not 200 after 20 s");
  if (!harness_alive(proc)) not_ready(proc, "ended while starting");
}

struct harness_proc *harness_api(struct harness *h, const char *const env[]) {
  char port_file[HARNESS_PATH + 64], metrics_file[HARNESS_PATH + 64];
  const char *more[32] = {port_file, metrics_file};
  snprintf(port_file, sizeof port_file, "AUTODB_PORT_FILE=%s/api-%d.port", h->dir, h->proc_count);
  snprintf(metrics_file, sizeof metrics_file, "AUTODB_METRICS_PORT_FILE=%s/api-%d.metrics-port", h->dir, h->proc_count);
  for (int i = 0; env && env[i] && i < 28; i++) more[i + 2] = env[i];
  char **whole = harness_env(h, more);
  struct harness_proc *proc =
      harness_spawn(h, "api", AUTODB_BINARY_DIR "/autodb-api", (const char *[]){"autodb-api", NULL}, (const char *const *)whole);
  harness_env_free(whole);
  proc->ready = api_ready;
  api_ready(h, proc);
  return proc;
}

static void worker_ready(struct harness *h, struct harness_proc *proc) {
  if (h->api_url[0] && !POLL_UNTIL(status_of(h, "/readyz") == 200 || !harness_alive(proc), 30000))
    not_ready(proc, "/readyz is not 200 after 30 s");
  if (!harness_alive(proc)) not_ready(proc, "ended while starting");
}

struct harness_proc *harness_worker(struct harness *h, const char *const env[]) {
  char **whole = harness_env(h, env);
  struct harness_proc *proc =
      harness_spawn(h, "worker", AUTODB_BINARY_DIR "/autodb-worker", (const char *[]){"autodb-worker", NULL}, (const char *const *)whole);
  harness_env_free(whole);
  proc->ready = worker_ready;
  worker_ready(h, proc);
  return proc;
}

void harness_stack(struct harness *h, const char *const api_env[], const char *const worker_env[]) {
  char key[64];
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "admin", key);
  harness_api(h, api_env);
  harness_worker(h, worker_env);
}
