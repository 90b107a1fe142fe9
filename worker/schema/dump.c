/* dump.c - runs pg_dump and collects what it says.
 *
 * Output and messages go to memfds: nothing to drain while the catalogs are read, a bound by RLIMIT_FSIZE, and nothing on disk. The child
 * gets a clean environment with the password in it (never in its arguments), connects to the address that was checked (the live
 * connection's hostaddr), finds no password, service or key files (HOME does not exist), and dies with us. Locks: ACCESS SHARE on the
 * tables, given up after 2 s. */
#include "worker/schema/dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/limits.h"

#define PG_BIN_ROOT "/usr/lib/postgresql"
#define ARGS_MAX 512 /* fixed ones and one per schema */

/* ---- which pg_dump ---- */

static void consider(long major, const char *path, int server_major, long *best, char *found, size_t size) {
  if (major < server_major || (*best && major >= *best) || access(path, X_OK) != 0) return;
  *best = major;
  snprintf(found, size, "%s", path);
}

char *dump_binary(int server_major, struct arena *arena) {
  char path[PATH_MAX], found[PATH_MAX] = "";
  long best = 0;
  for (int major = server_major; major < server_major + 10; major++) {
    char name[32];
    snprintf(name, sizeof name, "AUTODB_PG_BIN_%d", major);
    const char *bin = getenv(name);
    if (!bin || !*bin) continue;
    snprintf(path, sizeof path, "%s/pg_dump", bin);
    consider(major, path, server_major, &best, found, sizeof found);
  }
  DIR *root = opendir(PG_BIN_ROOT);
  for (const struct dirent *entry; root && (entry = readdir(root));) {
    snprintf(path, sizeof path, PG_BIN_ROOT "/%s/bin/pg_dump", entry->d_name);
    consider(strtol(entry->d_name, NULL, 10), path, server_major, &best, found, sizeof found);
  }
  if (root) closedir(root);
  return best ? arena_strdup(arena, found) : NULL;
}

/* ---- its arguments ---- */

struct command {
  struct arena *arena;
  const char *argv[ARGS_MAX];
  size_t argc;
  bool failed; /* out of memory, or too many */
};

static void arg(struct command *command, const char *text) {
  if (!text || command->argc + 1 >= ARGS_MAX) {
    command->failed = true;
    return;
  }
  command->argv[command->argc++] = text;
}

/* A pattern that matches exactly one name: within double quotes nothing but the quote is special. */
static void arg_schemas(struct command *command, const char *option, const json_t *names) {
  for (size_t i = 0; i < json_array_size(names); i++) {
    const char *name = json_string_value(json_array_get(names, i));
    if (!name) continue;
    BUF_AUTO pattern = {0};
    buf_init(&pattern, 1024);
    buf_printf(&pattern, "%s=\"", option);
    for (const char *p = name; *p; p++) buf_puts(&pattern, *p == '"' ? "\"\"" : (char[]){*p, '\0'});
    buf_putc(&pattern, '"');
    arg(command, buf_ok(&pattern) ? arena_strdup(command->arena, buf_str(&pattern)) : NULL);
  }
}

static bool may_be_shown(const PQconninfoOption *option) {
  static const char *const hidden[] = {"password", "passfile", "sslpassword", "service", "replication"};
  if (!option->val || !*option->val) return false;
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
    if (strcmp(option->keyword, hidden[i]) == 0) return false;
  return true;
}

/* What the live connection was made with, but for the secrets. */
static char *conninfo(PGconn *conn, struct arena *arena) {
  PQconninfoOption *options = PQconninfo(conn);
  BUF_AUTO text = {0};
  buf_init(&text, 16 * 1024);
  buf_puts(&text, "--dbname=");
  for (const PQconninfoOption *option = options; option && option->keyword; option++) {
    if (!may_be_shown(option)) continue;
    buf_printf(&text, "%s='", option->keyword);
    for (const char *p = option->val; *p; p++) {
      if (*p == '\'' || *p == '\\') buf_putc(&text, '\\');
      buf_putc(&text, *p);
    }
    buf_puts(&text, "' ");
  }
  bool ok = options && buf_ok(&text);
  PQconninfoFree(options);
  return ok ? arena_strdup(arena, buf_str(&text)) : NULL;
}

static void build_command(struct command *command, const struct dump_request *request, const char *binary) {
  arg(command, binary);
  arg(command, "--schema-only");
  arg(command, arena_printf(command->arena, "--snapshot=%s", request->snapshot_name));
  arg(command, "--lock-wait-timeout=2000");
  arg(command, "--no-password");
  arg(command, "--no-tablespaces");
  arg(command, "--no-security-labels");
  arg(command, "--no-subscriptions"); /* their connection strings hold passwords */
  arg(command, "--encoding=UTF8");
  arg_schemas(command, "--exclude-schema", request->excluded);
  arg_schemas(command, "--schema", request->wanted);
  if (request->wanted && request->has_extensions) arg(command, "--extension=*"); /* left out otherwise when schemas are named */
  arg(command, conninfo(request->conn, command->arena));
  command->argv[command->argc] = NULL;
}

/* ---- the child ---- */

static void limit(int resource, rlim_t value) {
  struct rlimit bound = {value, value};
  setrlimit(resource, &bound);
}

/* Between fork and exec: only what is safe there. */
static void become_pg_dump(const struct dump *dump, pid_t parent, const char *const argv[], const char *const env[]) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  int null_fd = open("/dev/null", O_RDONLY);
  if (dup2(null_fd, 0) < 0 || dup2(dump->out_fd, 1) < 0 || dup2(dump->err_fd, 2) < 0) _exit(127);
  close_range(3, ~0U, 0);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, LIMIT_DUMP_BYTES);
  execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
  _exit(127);
}

static void give_up(struct dump *dump, const char *why) {
  snprintf(dump->why, sizeof dump->why, "%s", why);
  if (dump->out_fd >= 0) close(dump->out_fd);
  if (dump->err_fd >= 0) close(dump->err_fd);
  if (dump->pid_fd >= 0) close(dump->pid_fd);
  dump->out_fd = dump->err_fd = dump->pid_fd = -1;
}

static void spawn(struct dump *dump, const struct command *command, const char *password) {
  char *secret = arena_printf(command->arena, "PGPASSWORD=%s", password ? password : "");
  const char *const env[] = {"HOME=/nonexistent", "LC_ALL=C.UTF-8", "PGAPPNAME=autodb pg_dump", password && *password ? secret : NULL,
                             NULL};
  dump->out_fd = memfd_create("autodb-dump", MFD_CLOEXEC);
  dump->err_fd = memfd_create("autodb-dump-messages", MFD_CLOEXEC);
  if (!secret || dump->out_fd < 0 || dump->err_fd < 0) return give_up(dump, "no memory to run pg_dump in");
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) become_pg_dump(dump, parent, command->argv, env);
  if (pid < 0) return give_up(dump, "pg_dump could not be started: no more processes");
  dump->pid = pid;
  dump->pid_fd = pidfd_open(pid, 0);
  dump->deadline_ms = clock_mono_ms() + LIMIT_DUMP_MS;
}

void dump_start(struct dump *dump, const struct dump_request *request) {
  *dump = (struct dump){.pid_fd = -1, .out_fd = -1, .err_fd = -1};
  ARENA_AUTO arena = arena_new(1024 * 1024);
  int major = PQserverVersion(request->conn) / 10000;
  struct command *command = arena ? ARENA_NEW(arena, struct command) : NULL;
  if (!command) return give_up(dump, "out of memory");
  command->arena = arena;
  const char *binary = dump_binary(major, arena);
  if (!binary) {
    snprintf(dump->why, sizeof dump->why,
             "no pg_dump of major %d or newer is installed (looked in " PG_BIN_ROOT "/<major>/bin and AUTODB_PG_BIN_<major>)", major);
    return;
  }
  build_command(command, request, binary);
  if (command->failed) return give_up(dump, "too many schemas are named for one pg_dump");
  spawn(dump, command, PQpass(request->conn));
}

void dump_abort(struct dump *dump) {
  if (!dump->pid) return;
  kill(dump->pid, SIGKILL);
  while (waitpid(dump->pid, NULL, 0) < 0 && errno == EINTR) {}
  dump->pid = 0;
  give_up(dump, "stopped");
}

/* ---- its end ---- */

/* False when the deadline passed and it was killed. */
static bool wait_for(struct dump *dump, int *ret_status) {
  bool in_time = true;
  struct pollfd ended = {.fd = dump->pid_fd, .events = POLLIN};
  int64_t left;
  while (in_time && dump->pid_fd >= 0) {
    left = dump->deadline_ms - clock_mono_ms();
    int n = poll(&ended, 1, left > 0 ? (int)left : 0);
    if (n > 0 || (n < 0 && errno != EINTR)) break;
    if (n == 0) in_time = false;
  }
  if (!in_time) kill(dump->pid, SIGKILL);
  while (waitpid(dump->pid, ret_status, 0) < 0 && errno == EINTR) {}
  dump->pid = 0;
  return in_time;
}

/* pg_dump's own words, as one line of at most 600 bytes. */
static const char *messages(const struct dump *dump, struct arena *arena) {
  char text[601];
  ssize_t got = pread(dump->err_fd, text, sizeof text - 1, 0);
  size_t len = got > 0 ? (size_t)got : 0;
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] < ' ')
      text[i] = ' ';
    else if ((unsigned char)text[i] > '~')
      text[i] = '?';
  while (len && text[len - 1] == ' ') len--;
  text[len] = '\0';
  return arena_strdup(arena, len ? text : "pg_dump failed without a word");
}

static const char *reason(const struct dump *dump, struct arena *arena, bool in_time, int status) {
  if (!in_time) return arena_printf(arena, "pg_dump took longer than %d s", LIMIT_DUMP_MS / 1000);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
    return arena_printf(arena, "the schema dump is larger than %d MiB", LIMIT_DUMP_BYTES >> 20);
  if (WIFSIGNALED(status)) return arena_printf(arena, "pg_dump was ended by signal %d", WTERMSIG(status));
  return messages(dump, arena);
}

/* The end of a statement: its semicolon outside of quotes. */
static const char *statement_end(const char *p, const char *end) {
  char quote = 0;
  bool escapes = false; /* within E'…' */
  for (; p < end; p++) {
    if (quote) {
      if (escapes && *p == '\\')
        p++;
      else if (*p == quote)
        quote = 0; /* a doubled quote opens again at once */
    } else if (*p == '\'' || *p == '"') {
      quote = *p;
      escapes = *p == '\'' && p[-1] == 'E';
    } else if (*p == ';') {
      return p + 1;
    }
  }
  return end;
}

size_t dump_redact(char *script, size_t len) {
  static const char start[] = "\nCREATE USER MAPPING FOR ";
  const char *in = script, *end = script + len;
  char *out = script;
  for (const char *found; (found = memmem(in, (size_t)(end - in), start, sizeof start - 1)); in = statement_end(found + 1, end)) {
    memmove(out, in, (size_t)(found + 1 - in));
    out += found + 1 - in;
  }
  memmove(out, in, (size_t)(end - in));
  return (size_t)(out - script) + (size_t)(end - in);
}

void *dump_pack(const char *script, size_t len, struct arena *arena, size_t *ret_len) {
  uLongf packed = compressBound(len);
  void *bytes = arena_alloc(arena, packed);
  if (!bytes || compress2(bytes, &packed, (const Bytef *)script, len, Z_DEFAULT_COMPRESSION) != Z_OK) return NULL;
  *ret_len = packed;
  return bytes;
}

static void *compress_script(struct dump *dump, struct arena *arena, size_t *ret_len, const char **ret_why) {
  struct stat file;
  if (fstat(dump->out_fd, &file) != 0 || file.st_size == 0) {
    *ret_why = "pg_dump wrote nothing";
    return NULL;
  }
  char *script = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, dump->out_fd, 0);
  void *bytes = script == MAP_FAILED ? NULL : dump_pack(script, dump_redact(script, (size_t)file.st_size), arena, ret_len);
  if (script != MAP_FAILED) munmap(script, (size_t)file.st_size);
  if (!bytes) *ret_why = "out of memory";
  return bytes;
}

void *dump_finish(struct dump *dump, struct arena *arena, size_t *ret_len, const char **ret_why) {
  *ret_why = NULL;
  if (!dump->pid) {
    *ret_why = arena_strdup(arena, dump->why);
    return NULL;
  }
  int status = 0;
  void *bytes = NULL;
  bool in_time = wait_for(dump, &status);
  if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0)
    bytes = compress_script(dump, arena, ret_len, ret_why);
  else
    *ret_why = reason(dump, arena, in_time, status);
  give_up(dump, "finished");
  return bytes;
}
