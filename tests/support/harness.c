/* Processes of a test program: started with a log each, stopped, killed, counted at the end.
 *
 * Children die with the test (PR_SET_PDEATHSIG), and since the test is the subreaper of all its descendants, a slot whose supervisor was
 * killed becomes its child: teardown waits for those and names the ones that stay. */
#include "tests/support/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *const sanitizer_marks[] = {"ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                                              ": runtime error: ", NULL};

int64_t harness_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void harness_nap(int *round) {
  int ms = *round < 10 ? 1 + *round : *round < 40 ? 20 : 50;
  ++*round;
  nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* --- the directory --- */

static void remove_tree(struct harness *h, const char *path) {
  const char *argv[] = {"rm", "-rf", "--one-file-system", path, NULL};
  harness_run(h, "/bin/rm", argv, NULL, NULL);
}

/* Directories of test programs that died: "/tmp/autodb-test-<pid>-XXXXXX", ours, no such process. */
static void sweep_dead(struct harness *h) {
  DIR *tmp = opendir("/tmp");
  struct dirent *entry;
  while (tmp && (entry = readdir(tmp))) {
    int pid = 0;
    char path[HARNESS_PATH + 64];
    struct stat info;
    if (sscanf(entry->d_name, "autodb-test-%d-", &pid) != 1 || pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH) continue;
    snprintf(path, sizeof path, "/tmp/%.200s", entry->d_name);
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == getuid()) remove_tree(h, path);
  }
  if (tmp) closedir(tmp);
}

struct harness *harness_new(void) {
  if (getuid() == 0) {
    fprintf(stderr, "integration tests start PostgreSQL, which refuses to run as root: use tests/run, or deploy/as-service PROGRAM\n");
    exit(2);
  }
  struct harness *h = calloc(1, sizeof *h);
  assert_non_null(h);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  signal(SIGPIPE, SIG_IGN);
  snprintf(h->dir, sizeof h->dir, "/tmp/autodb-test-%d-XXXXXX", (int)getpid());
  if (!mkdtemp(h->dir)) fail_msg("%s: %s", h->dir, strerror(errno));
  bool shm = access("/dev/shm", W_OK) == 0;
  snprintf(h->sandbox_dir, sizeof h->sandbox_dir, "%s/autodb-test-sandbox-%d", shm ? "/dev/shm" : h->dir, (int)getpid());
  snprintf(h->master_key, sizeof h->master_key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
  sweep_dead(h);
  return h;
}

/* --- environment --- */

static bool same_name(const char *a, const char *b) {
  size_t len = strcspn(a, "=");
  return strncmp(a, b, len) == 0 && b[len] == '=';
}

static bool overridden(const char *entry, const char *const overrides[]) {
  for (int i = 0; overrides && overrides[i]; i++)
    if (same_name(overrides[i], entry)) return true;
  return false;
}

static char **merged_env(const char *const more[]) {
  size_t count = 0, more_count = 0;
  while (environ[count]) count++;
  while (more && more[more_count]) more_count++;
  char **env = calloc(count + more_count + 1, sizeof *env);
  assert_non_null(env);
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    bool ours = strncmp(environ[i], "AUTODB_", 7) == 0 && strncmp(environ[i], "AUTODB_PG_BIN_", 14) != 0;
    bool libpq = strncmp(environ[i], "PG", 2) == 0;
    if (!ours && !libpq && !overridden(environ[i], more)) env[at++] = strdup(environ[i]);
  }
  for (size_t i = 0; i < more_count; i++)
    if (!overridden(more[i], more + i + 1)) env[at++] = strdup(more[i]); // the last of a name wins
  return env;
}

void harness_env_free(char **env) {
  for (size_t i = 0; env && env[i]; i++) free(env[i]);
  free(env);
}

/* --- start and stop --- */

static void child_exec(const struct harness_proc *proc, int log_fd, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, proc->death_signal);
  if (getppid() != parent) _exit(125); // the test died between fork and prctl
  signal(SIGPIPE, SIG_DFL);
  int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(null_fd, STDIN_FILENO);
  dup2(log_fd, STDOUT_FILENO);
  dup2(log_fd, STDERR_FILENO);
  execve(proc->path, proc->argv, proc->env);
  dprintf(STDERR_FILENO, "%s: %s\n", proc->path, strerror(errno));
  _exit(127);
}

static void launch(struct harness_proc *proc) {
  int log_fd = open(proc->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) fail_msg("%s: %s", proc->log, strerror(errno));
  pid_t parent = getpid();
  proc->pid = fork();
  if (proc->pid == 0) child_exec(proc, log_fd, parent);
  close(log_fd);
  if (proc->pid < 0) {
    proc->pid = 0;
    fail_msg("fork: %s", strerror(errno));
  }
}

static char **copy_strings(const char *const strings[]) {
  size_t count = 0;
  while (strings[count]) count++;
  char **copy = calloc(count + 1, sizeof *copy);
  assert_non_null(copy);
  for (size_t i = 0; i < count; i++) copy[i] = strdup(strings[i]);
  return copy;
}

struct harness_proc *harness_spawn(struct harness *h, const char *name, const char *path, const char *const argv[],
                                   const char *const env[]) {
  assert_true(h->proc_count < HARNESS_PROCS);
  struct harness_proc *proc = &h->procs[h->proc_count++];
  snprintf(proc->name, sizeof proc->name, "%s", name);
  snprintf(proc->log, sizeof proc->log, "%s/%s-%d.log", h->dir, name, h->proc_count);
  proc->path = strdup(path);
  proc->argv = copy_strings(argv);
  proc->env = merged_env(env);
  proc->death_signal = SIGKILL;
  proc->stop_signal = SIGTERM;
  launch(proc);
  return proc;
}

void harness_restart(struct harness *h, struct harness_proc *proc) {
  assert_int_equal(proc->pid, 0);
  if (proc->vacant && !POLL_UNTIL(proc->vacant(proc), 30000)) fail_msg("%s: what a killed one left is still there after 30 s", proc->name);
  launch(proc);
  if (proc->ready) proc->ready(h, proc);
}

static bool reaped(struct harness_proc *proc, int *ret_status) {
  if (proc->pid == 0) return true;
  if (waitpid(proc->pid, ret_status, WNOHANG) == 0) return false;
  proc->pid = 0;
  return true;
}

bool harness_alive(struct harness_proc *proc) {
  int status;
  return !reaped(proc, &status);
}

int harness_exit_status(struct harness_proc *proc, int timeout_ms) {
  int status = 0;
  if (!POLL_UNTIL(reaped(proc, &status), timeout_ms))
    fail_msg("%s (pid %d) still runs after %d ms", proc->name, (int)proc->pid, timeout_ms);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void harness_signal(struct harness_proc *proc, int sig) {
  if (proc->pid > 0) kill(proc->pid, sig);
}

void harness_kill(struct harness_proc *proc) {
  harness_signal(proc, SIGKILL);
  int status;
  if (proc->pid > 0) waitpid(proc->pid, &status, 0);
  proc->pid = 0;
}

static bool stopped(struct harness_proc *proc, int timeout_ms) {
  int status;
  harness_signal(proc, proc->stop_signal);
  harness_signal(proc, SIGCONT);
  if (POLL_UNTIL(reaped(proc, &status), timeout_ms)) return true;
  harness_kill(proc);
  return false;
}

void harness_stop(struct harness_proc *proc) {
  if (!stopped(proc, 20000)) fail_msg("%s did not stop within 20 s of its stop signal", proc->name);
}

static int drain(int fd, char **ret_output) {
  size_t len = 0, cap = 65536;
  char *output = malloc(cap);
  assert_non_null(output);
  ssize_t got;
  while ((got = read(fd, output + len, cap - len - 1)) > 0 || (got < 0 && errno == EINTR)) {
    len += got > 0 ? (size_t)got : 0;
    if (cap - len < 4096) {
      output = realloc(output, cap *= 2);
      assert_non_null(output);
    }
  }
  output[len] = 0;
  if (ret_output)
    *ret_output = output;
  else
    free(output);
  return 0;
}

int harness_run(struct harness *h, const char *path, const char *const argv[], const char *const env[], char **ret_output) {
  (void)h;
  int pipe_fd[2], status = 0;
  if (pipe2(pipe_fd, O_CLOEXEC) < 0) fail_msg("pipe: %s", strerror(errno));
  struct harness_proc proc = {.path = strdup(path), .argv = copy_strings(argv), .env = merged_env(env), .death_signal = SIGKILL};
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) child_exec(&proc, pipe_fd[1], parent);
  close(pipe_fd[1]);
  drain(pipe_fd[0], ret_output);
  close(pipe_fd[0]);
  if (pid > 0) waitpid(pid, &status, 0);
  free(proc.path);
  harness_env_free(proc.argv);
  harness_env_free(proc.env);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- the end --- */

bool harness_log_has(const struct harness_proc *proc, const char *text) {
  FILE *file = fopen(proc->log, "re");
  char *line = NULL;
  size_t cap = 0;
  bool found = false;
  while (file && !found && getline(&line, &cap, file) > 0) found = strstr(line, text) != NULL;
  free(line);
  if (file) fclose(file);
  return found;
}

static bool copy_log(const struct harness_proc *proc, const char *why) {
  fprintf(stderr, "--- %s: log of %s ---\n", why, proc->name);
  FILE *file = fopen(proc->log, "re");
  char chunk[8192];
  size_t got = 0;
  if (file && fseek(file, -(long)sizeof chunk, SEEK_END) != 0) rewind(file);
  if (file) got = fread(chunk, 1, sizeof chunk, file);
  fwrite(chunk, 1, got, stderr);
  fprintf(stderr, "--- end of log ---\n");
  if (file) fclose(file);
  return false;
}

static bool log_is_clean(const struct harness_proc *proc) {
  for (int i = 0; sanitizer_marks[i]; i++)
    if (harness_log_has(proc, sanitizer_marks[i])) return copy_log(proc, "a sanitizer reported");
  return true;
}

/* Children we know are stopped: whatever is still a child now was left behind by one of them. */
static bool no_orphans(void) {
  int status, round = 0;
  int64_t end = harness_now_ms() + 5000;
  pid_t got;
  while ((got = waitpid(-1, &status, WNOHANG)) >= 0) {
    if (got > 0) continue;
    if (harness_now_ms() > end) break;
    harness_nap(&round);
  }
  if (got < 0) return true;
  fprintf(stderr, "processes outlived the servers that started them:\n");
  char path[64], command[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  FILE *children = fopen(path, "re");
  int pid;
  while (children && fscanf(children, "%d", &pid) == 1) {
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    FILE *comm = fopen(path, "re");
    if (!comm || !fgets(command, sizeof command, comm)) snprintf(command, sizeof command, "?\n");
    if (comm) fclose(comm);
    fprintf(stderr, "  %d %s", pid, command);
    kill(pid, SIGKILL);
  }
  if (children) fclose(children);
  return false;
}

/* Each live sandbox has a claim in <sandbox_dir>/run; the rest of the directory (templates, a mount point) is kept on purpose. */
static bool no_sandboxes(struct harness *h) {
  char path[HARNESS_PATH + 8];
  snprintf(path, sizeof path, "%s/run", h->sandbox_dir);
  DIR *dir = opendir(path);
  struct dirent *entry;
  bool clean = true;
  while (dir && (entry = readdir(dir))) {
    if (entry->d_name[0] == '.') continue;
    fprintf(stderr, "a sandbox was left behind: %s/%s\n", path, entry->d_name);
    clean = false;
  }
  if (dir) closedir(dir);
  return clean;
}

void harness_end(struct harness *h) {
  if (!h) return;
  bool clean = true;
  for (int i = h->proc_count - 1; i >= 0; i--) // the servers below last
    if (!stopped(&h->procs[i], 20000)) clean = copy_log(&h->procs[i], "it did not stop within 20 s");
  clean &= no_orphans();
  for (int i = 0; i < h->proc_count; i++) clean &= log_is_clean(&h->procs[i]);
  clean &= no_sandboxes(h);
  if (!getenv("AUTODB_TEST_KEEP"))
    remove_tree(h, h->dir);
  else
    fprintf(stderr, "kept: %s\n", h->dir);
  remove_tree(h, h->sandbox_dir);
  for (int i = 0; i < h->proc_count; i++) {
    free(h->procs[i].path);
    harness_env_free(h->procs[i].argv);
    harness_env_free(h->procs[i].env);
  }
  free(h);
  if (!clean) fail_msg("teardown found what is printed above");
}

int harness_teardown(void **state) {
  harness_end(*state);
  *state = NULL;
  return 0;
}
