/* test_sandbox_prepared.c - what is saved under a key comes back under that key only, as it was, and is gone with its keeper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/pg.h"
#include "sandbox/prepared.h"
#include "sandbox/sandbox.h"
#include "sandbox/tree.h"

static struct config cfg = {.sandbox_memory_mb = 512, .sandbox_warm = 1, .slots = 2};
static char keeper_path[100];
static pid_t keeper;
static struct arena *arena;

#define POLL(condition, timeout_ms)                                                            \
  do {                                                                                         \
    int64_t until = clock_mono_ms() + (timeout_ms);                                            \
    while (!(condition)) {                                                                     \
      if (clock_mono_ms() > until) fail_msg("not within %d ms: %s", (timeout_ms), #condition); \
      usleep(2000);                                                                            \
    }                                                                                          \
  } while (0)

/* The same digit 64 times. */
static const char *key_of(char digit) {
  static char key[PREPARED_KEY];
  memset(key, digit, sizeof key - 1);
  return key;
}

static struct sandbox *open_key(char digit, bool fresh, const char **ret_note) {
  ERROR_AUTO err = {0};
  struct sandbox *sandbox = NULL;
  if (sandbox_open_prepared(&cfg, keeper_path, sandbox_pick_major(99 * 10000), key_of(digit), fresh, arena, &sandbox, ret_note, &err))
    fail_msg("%s", err.message);
  return sandbox;
}

static char *ask(struct sandbox *sandbox, const char *sql) {
  ERROR_AUTO err = {0};
  PGCONN_AUTO conn = NULL;
  if (sandbox_connect_migrator(sandbox, &conn, &err)) fail_msg("%s", err.message);
  PGRESULT_AUTO res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_TUPLES_OK && PQresultStatus(res) != PGRES_COMMAND_OK) return arena_strdup(arena, pg_sqlstate(res));
  return arena_strdup(arena, PQntuples(res) ? PQgetvalue(res, 0, 0) : "");
}

static void save(struct sandbox *sandbox, const char *note) {
  ERROR_AUTO err = {0};
  if (sandbox_save(sandbox, note, &err)) fail_msg("%s", err.message);
}

/* Opens until what was saved has reached the keeper. */
static bool is_hit(char digit) {
  const char *note = NULL;
  sandbox_close(open_key(digit, false, &note));
  return note != NULL;
}

/* Saves a sandbox with one table of that many rows. */
static void make_one(char digit, int rows, const char *note) {
  char sql[128];
  const char *found = NULL;
  struct sandbox *sandbox = open_key(digit, true, &found);
  assert_null(found);
  snprintf(sql, sizeof sql, "CREATE TABLE kept AS SELECT n, repeat('x', 100) FROM generate_series(1, %d) n", rows);
  assert_string_equal(ask(sandbox, sql), "");
  save(sandbox, note);
  assert_string_equal(ask(sandbox, "DELETE FROM kept"), ""); /* what comes later isn't in it */
  assert_string_equal(ask(sandbox, "CREATE TABLE later()"), "");
  sandbox_close(sandbox);
  POLL(is_hit(digit), 10000);
}

/* The descriptors of this process, or of `pid`, that are of a tmpfs holding that name. */
static int folders_with(pid_t pid, const char *name, int ret_fds[], int max) {
  char path[300];
  int count = 0;
  snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
  DIR *dir = opendir(path);
  for (const struct dirent *entry; dir && count < max && (entry = readdir(dir));) {
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)pid, entry->d_name);
    int fd = *entry->d_name == '.' ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0)
      ret_fds[count++] = fd;
    else if (fd >= 0)
      close(fd);
  }
  if (dir) closedir(dir);
  return count;
}

static int kept_count(void) {
  int fds[64], count = folders_with(keeper, "base", fds, 64);
  for (int i = 0; i < count; i++) close(fds[i]);
  return count;
}

/* --- */

static void test_hit(void **state) {
  (void)state;
  const char *note = "none";
  make_one('a', 1000, "what the maker says");
  struct sandbox *sandbox = open_key('a', false, &note);
  assert_string_equal(note, "what the maker says");
  assert_string_equal(ask(sandbox, "SELECT count(*) FROM kept"), "1000");
  assert_string_equal(ask(sandbox, "SELECT 1 FROM later"), "42P01");
  assert_string_equal(ask(sandbox, "CREATE TABLE mine()"), "");
  save(sandbox, "a copy is not saved again");
  sandbox_close(sandbox);
  for (int i = 0; i < 4; i++) { /* each is its own */
    sandbox = open_key('a', false, &note);
    assert_string_equal(note, "what the maker says");
    assert_string_equal(ask(sandbox, "SELECT 1 FROM mine"), "42P01");
    assert_string_equal(ask(sandbox, "TRUNCATE kept"), "");
    sandbox_close(sandbox);
  }
}

static void test_other_keys(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  const char *note = "none";
  struct sandbox *sandbox = open_key('b', false, &note);
  assert_null(note);
  assert_string_equal(ask(sandbox, "SELECT 1 FROM kept"), "42P01");
  sandbox_close(sandbox);
  assert_int_equal(sandbox_open(&cfg, keeper_path, sandbox_pick_major(99 * 10000), &sandbox, &err), OK);
  assert_string_equal(ask(sandbox, "SELECT 1 FROM kept"), "42P01");
  save(sandbox, "has no key");
  sandbox_close(sandbox);
  assert_int_equal(sandbox_open_prepared(&cfg, keeper_path, sandbox_pick_major(99 * 10000), "short", false, arena, &sandbox, &note, &err),
                   ERR_INTERNAL);
}

/* A copy is what a crash leaves: it would have lost them. */
static void test_unlogged(void **state) {
  (void)state;
  const char *note = NULL;
  struct sandbox *sandbox = open_key('c', false, &note);
  assert_string_equal(ask(sandbox, "CREATE UNLOGGED TABLE u AS SELECT 1"), "");
  int before = kept_count();
  save(sandbox, "unlogged");
  sandbox_close(sandbox);
  assert_false(is_hit('c'));
  assert_int_equal(kept_count(), before);
}

static void test_bounded(void **state) {
  (void)state;
  for (char digit = '0'; digit < '6'; digit++) {
    char note[2] = {digit, 0};
    const char *found = NULL;
    make_one(digit, 1 + digit - '0', note);
    sandbox_close(open_key('1', false, &found)); /* used again and again: stays */
    if (digit > '0') assert_non_null(found);
  }
  POLL(kept_count() <= PREPARED_MAX, 5000);
  assert_true(is_hit('5'));
  assert_true(is_hit('1'));
  assert_false(is_hit('0'));
  assert_false(is_hit('2'));
}

/* The files of a sandbox that has ended are given back: its tmpfs holds no more than what is copied. */
static void test_trimmed(void **state) {
  (void)state;
  int fds[64];
  make_one('d', 10, "d");
  POLL(({
         struct stat info;
         int count = folders_with(keeper, "base", fds, 64), with_data = 0;
         for (int i = 0; i < count; i++) {
           with_data += fstatat(fds[i], "data", &info, 0) == 0;
           close(fds[i]);
         }
         count > 0 && with_data == 0;
       }),
       10000);
}

/* Breaks what the keeper keeps: all of it. */
static void damage(const char *name, const char *text) {
  int fds[64], count = folders_with(keeper, "base", fds, 64);
  assert_true(count > 0);
  for (int i = 0; i < count; i++) {
    int fd = openat(fds[i], name, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    close(fds[i]);
  }
}

static void test_damaged(void **state) {
  (void)state;
  const char *note = "none";
  make_one('e', 10, "e");
  damage("base/global/pg_control", "nonsense");
  POLL(!is_hit('e'), 20000); /* spares that were copied before are sound */
  make_one('e', 20, "better");
  sandbox_close(open_key('e', false, &note));
  assert_string_equal(note, "better");
  struct sandbox *sandbox = open_key('e', true, &note); /* the client says it is no good */
  assert_null(note);
  sandbox_close(sandbox);
  assert_false(is_hit('e'));
}

static void test_hostile_files(void **state) {
  (void)state;
  char path[] = "/tmp/autodb-tree-XXXXXX";
  assert_non_null(mkdtemp(path));
  int at = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const char *const odd[] = {"link", "pipe", "large"};
  for (int i = 0; i < 3; i++) {
    struct tree_copy copy = {.bytes_left = 1000};
    assert_int_equal(mkdirat(at, "from", 0700), 0);
    assert_int_equal(mkdirat(at, "to", 0700), 0);
    int from = openat(at, "from", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (i == 0) assert_int_equal(symlinkat("/etc/passwd", from, odd[i]), 0);
    if (i == 1) assert_int_equal(mkfifoat(from, odd[i], 0600), 0);
    if (i == 2) {
      int fd = openat(from, odd[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      assert_int_equal(ftruncate(fd, 1001), 0);
      close(fd);
    }
    assert_false(tree_copy(from, openat(at, "to", O_RDONLY | O_DIRECTORY | O_CLOEXEC), &copy));
    tree_remove(at, "from");
    tree_remove(at, "to");
    assert_int_equal(faccessat(at, "from", F_OK, 0), -1);
  }
  close(at);
  assert_int_equal(rmdir(path), 0);
}

static void start_keeper(void) {
  pid_t parent = getpid();
  keeper = fork();
  assert_true(keeper >= 0);
  if (keeper == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent) _exit(1);
    _exit(sandbox_keeper_main(&cfg, keeper_path));
  }
  POLL(access(keeper_path, F_OK) == 0, 10000);
}

/* Nothing on the host's file systems leads to what was kept, so nothing can stay behind. */
static void test_keeper_killed(void **state) {
  (void)state;
  make_one('f', 10, "f");
  DIR *dir = opendir(cfg.sandbox_dir);
  assert_non_null(dir);
  for (const struct dirent *entry; (entry = readdir(dir));)
    assert_true(*entry->d_name == '.' || !strcmp(entry->d_name, "mnt") || !strcmp(entry->d_name, "run") ||
                !strncmp(entry->d_name, "template-", 9));
  closedir(dir);
  kill(keeper, SIGKILL);
  waitpid(keeper, NULL, 0);
  unlink(keeper_path);
  start_keeper();
  assert_false(is_hit('f'));
  assert_int_equal(kept_count(), 0);
}

static int setup(void **state) {
  (void)state;
  static char dir[64];
  snprintf(dir, sizeof dir, "/dev/shm/autodb-test-%d", (int)getpid());
  snprintf(keeper_path, sizeof keeper_path, "%s.keeper", dir);
  cfg.sandbox_dir = dir;
  arena = arena_new(16 << 20);
  start_keeper();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  kill(keeper, SIGTERM);
  waitpid(keeper, NULL, 0);
  snprintf(command, sizeof command, "rm -rf %s", cfg.sandbox_dir);
  arena_free(arena);
  return system(command);
}

int main(void) {
  if (geteuid() == 0 || sandbox_pick_major(99 * 10000) == 0) {
    print_message("needs a PostgreSQL server, and not to be root\n");
    return 77;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hit),           cmocka_unit_test(test_other_keys),    cmocka_unit_test(test_unlogged),
      cmocka_unit_test(test_bounded),       cmocka_unit_test(test_trimmed),       cmocka_unit_test(test_damaged),
      cmocka_unit_test(test_hostile_files), cmocka_unit_test(test_keeper_killed),
  };
  return cmocka_run_group_tests_name("sandbox_prepared", tests, setup, teardown);
}
