/* engine_local.c - a server of this machine, alone in a namespace of everything.
 *
 * Two steps, both without privileges. First the child makes a user and a mount namespace of its own and mounts there a tmpfs of
 * limited size, copies the template (or a prepared data directory) into it and hands the parent a descriptor of it: the disk bound, and the
 * reason nothing is left behind (the tmpfs ends with its last process and descriptor). Then it becomes bubblewrap, which makes the
 * namespaces the server runs in - user, pid, net, ipc, uts, cgroup, mount - shows it its own binary, libraries and data files read-only
 * plus that tmpfs, and starts postgres itself (no shell, no pg_ctl).
 *
 * There is no /proc, no /bin, no writable place outside the tmpfs. The socket is reached as /proc/self/fd/<root_fd>/s: the descriptor is
 * the permission, no path of the host leads there. Limits: address space and CPU time per process, number of processes (counted inside the
 * user namespace), file size, tmpfs size and inodes. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "prepared.h"
#include "process.h"
#include "seccomp.h"
#include "servers.h"
#include "template.h"
#include "tree.h"

#define PROCESSES_MAX 64
#define CPU_SECONDS_MAX 900
#define INODES_MAX 50000
#define ARGS_MAX 128
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

struct plan { /* everything the child needs, worked out before the fork */
  const struct config *cfg;
  struct server server;
  struct template template;
  int base_fd; /* what was prepared; -1 */
  char mnt[STORE_PATH];
  int report_fd;
  pid_t parent;
};

/* --- in the child: set up, report, become bubblewrap. A failure is told through the report socket. --- */

__attribute__((noreturn, format(printf, 2, 3))) static void child_fail(const struct plan *plan, const char *fmt, ...) {
  char text[512];
  int saved = errno;
  va_list args;
  va_start(args, fmt);
  int len = vsnprintf(text, sizeof text - 64, fmt, args);
  va_end(args);
  if (len < 0 || len > (int)sizeof text - 64) len = (int)sizeof text - 64 - 1;
  snprintf(text + len, sizeof text - (size_t)len, ": %s", strerror(saved));
  if (send(plan->report_fd, text, strlen(text), MSG_NOSIGNAL) < 0) _exit(125);
  _exit(126);
}

static bool write_proc(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return written;
}

static void enter_namespaces(const struct plan *plan) {
  char map[64];
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
    child_fail(
        plan, "this system doesn't let an unprivileged process make a user namespace; allow it (sysctl kernel.unprivileged_userns_clone=1, "
              "user.max_user_namespaces>0, kernel.apparmor_restrict_unprivileged_userns=0; in a container: a seccomp profile that allows "
              "unshare)");
  if (!write_proc("/proc/self/setgroups", "deny")) child_fail(plan, "/proc/self/setgroups");
  snprintf(map, sizeof map, "%u %u 1", uid, uid);
  if (!write_proc("/proc/self/uid_map", map)) child_fail(plan, "/proc/self/uid_map");
  snprintf(map, sizeof map, "%u %u 1", gid, gid);
  if (!write_proc("/proc/self/gid_map", map)) child_fail(plan, "/proc/self/gid_map");
  /* changing credentials forgot it */
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != plan->parent) _exit(126);
}

/* The data directory, empty so far: from what was prepared, else from the template. */
static bool fill_data(const struct plan *plan, int root) {
  struct tree_copy copy = {.bytes_left = INT64_MAX};
  if (plan->base_fd >= 0) return prepared_copy(plan->base_fd, root);
  return tree_copy(open(plan->template.data, OPEN_DIRECTORY), openat(root, "data", OPEN_DIRECTORY), &copy);
}

/* The private tmpfs and what is in it; returns a descriptor of it. */
static int fill_tmpfs(const struct plan *plan) {
  static const char *const folders[] = {"data", "s", "shm", "tmp"};
  char options[96];
  snprintf(options, sizeof options, "mode=0700,size=%dm,nr_inodes=%d", plan->cfg->sandbox_memory_mb, INODES_MAX);
  if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) child_fail(plan, "can't make mounts private");
  if (mount("tmpfs", plan->mnt, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) child_fail(plan, "can't mount a tmpfs on %s", plan->mnt);
  int root = open(plan->mnt, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) child_fail(plan, "%s", plan->mnt);
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
    if (mkdirat(root, folders[i], 0700) != 0) child_fail(plan, "%s/%s", plan->mnt, folders[i]);
  if (!fill_data(plan, root))
    child_fail(plan, "can't copy %s (AUTODB_SANDBOX_MEMORY_MB too small?)", plan->base_fd < 0 ? plan->template.data : "a prepared sandbox");
  return root;
}

static void send_root(const struct plan *plan, int root) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec iov = {.iov_base = (char[1]){'\n'}, .iov_len = 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof root);
  memcpy(CMSG_DATA(header), &root, sizeof root);
  if (sendmsg(plan->report_fd, &msg, MSG_NOSIGNAL) != 1) child_fail(plan, "can't report");
}

static void limit(const struct plan *plan, __rlimit_resource_t resource, rlim_t value) {
  struct rlimit now;
  if (getrlimit(resource, &now) == 0 && now.rlim_max != RLIM_INFINITY && now.rlim_max < value) value = now.rlim_max;
  if (setrlimit(resource, &(struct rlimit){.rlim_cur = value, .rlim_max = value}) != 0) child_fail(plan, "setrlimit %d", (int)resource);
}

static void set_limits(const struct plan *plan) {
  rlim_t memory = (rlim_t)plan->cfg->sandbox_memory_mb << 20;
  limit(plan, RLIMIT_CORE, 0);
  limit(plan, RLIMIT_CPU, CPU_SECONDS_MAX);
  limit(plan, RLIMIT_FSIZE, memory);
  limit(plan, RLIMIT_NOFILE, 1024);
  limit(plan, RLIMIT_NPROC, PROCESSES_MAX);
  limit(plan, RLIMIT_AS, memory);
}

struct args {
  const char *list[ARGS_MAX];
  int count;
};

static void add(struct args *args, const char *const items[]) {
  for (; *items && args->count < ARGS_MAX - 1; items++) args->list[args->count++] = *items;
}
#define ADD(args, ...) add((args), (const char *const[]){__VA_ARGS__, NULL})

/* bubblewrap's arguments; texts are static or the caller's. */
static void add_namespaces(struct args *args, const char *seccomp_fd) {
  ADD(args, "bwrap", "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--die-with-parent",
      "--new-session");
  ADD(args, "--clearenv", "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "TZ", "UTC", "--cap-drop", "ALL", "--seccomp", seccomp_fd);
}

static void add_system(struct args *args) {
  static const char *const readable[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
                                         "/usr/lib/locale",           "/usr/share/zoneinfo",        "/etc/ld.so.cache"};
  for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) ADD(args, "--ro-bind-try", readable[i], readable[i]);
  ADD(args, "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64");
  ADD(args, "--dir", "/dev", "--dev-bind", "/dev/null", "/dev/null", "--dev-bind", "/dev/zero", "/dev/zero", "--dev-bind", "/dev/urandom",
      "/dev/urandom");
}

static void exec_bwrap(const struct plan *plan, int root) {
  struct args args = {0};
  char seccomp_fd[16], bin[SERVERS_PATH + 16], postgres[SERVERS_PATH + 32], lib[SERVERS_PATH + 16], share[SERVERS_PATH + 16], debian[64];
  char data[STORE_PATH + 16], sock[STORE_PATH + 16], shm[STORE_PATH + 16], tmp[STORE_PATH + 16];
  int seccomp = seccomp_filter_fd(), log = openat(root, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
      null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (seccomp < 0 || log < 0 || null < 0) child_fail(plan, "can't open the log");
  snprintf(seccomp_fd, sizeof seccomp_fd, "%d", seccomp);
  snprintf(bin, sizeof bin, "%s/bin", plan->server.prefix);
  snprintf(postgres, sizeof postgres, "%s/postgres", bin);
  snprintf(lib, sizeof lib, "%s/lib", plan->server.prefix);
  snprintf(share, sizeof share, "%s/share", plan->server.prefix);
  snprintf(debian, sizeof debian, "/usr/share/postgresql/%d", plan->server.major);
  snprintf(data, sizeof data, "%s/data", plan->mnt);
  snprintf(sock, sizeof sock, "%s/s", plan->mnt);
  snprintf(shm, sizeof shm, "%s/shm", plan->mnt);
  snprintf(tmp, sizeof tmp, "%s/tmp", plan->mnt);
  add_namespaces(&args, seccomp_fd);
  add_system(&args);
  ADD(&args, "--setenv", "LD_ORIGIN_PATH", bin); /* without /proc the loader can't tell where a server with libraries of its own lies */
  ADD(&args, "--bind", data, "/data", "--bind", sock, "/s", "--bind", shm, "/dev/shm", "--bind", tmp, "/tmp");
  /* After /tmp, which would cover a server that lies below it. */
  ADD(&args, "--ro-bind", postgres, postgres, "--ro-bind", lib, lib, "--ro-bind-try", share, share, "--ro-bind-try", debian, debian);
  ADD(&args, "--remount-ro", "/", "--chdir", "/data");
  ADD(&args, "--", postgres, "-D", "/data");
  set_limits(plan);
  dup2(null, 0);
  dup2(log, 1);
  dup2(log, 2);
  union {
    const char **in;
    char *const *out;
  } argv = {.in = args.list};
  execve("/usr/bin/bwrap", argv.out, (char *[]){NULL});
  child_fail(plan, "can't run /usr/bin/bwrap: install the package bubblewrap");
}

/* From here on everything runs in a pid namespace whose first process becomes bwrap, so that all of it ends with that one: bwrap alone can
 * leave its inner half behind when it is killed between making it and that one's own PR_SET_PDEATHSIG. We stay outside as its parent, to be
 * waited for and killed by, and return only in it. */
static void enter_pid_namespace(const struct plan *plan) {
  int alive[2], status = 0;
  char none;
  if (unshare(CLONE_NEWPID) != 0 || pipe2(alive, O_CLOEXEC) != 0) child_fail(plan, "can't make a pid namespace");
  pid_t first = fork();
  if (first < 0) child_fail(plan, "can't fork");
  if (first == 0) {
    close(alive[1]);
    /* getppid() is 0 here whether the parent lives or not: its end of the pipe tells, which is closed only by its death */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || fcntl(alive[0], F_SETFL, O_NONBLOCK) != 0 || read(alive[0], &none, 1) == 0)
      _exit(126);
    close(alive[0]);
    return;
  }
  close(alive[0]);
  close(plan->report_fd);
  while (waitpid(first, &status, 0) < 0 && errno == EINTR) continue;
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 125);
}

__attribute__((noreturn)) static void child(const struct plan *plan) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != plan->parent) _exit(126);
  setpgid(0, 0);
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (!process_drop()) child_fail(plan, "can't become uid %u", process_uid());
  enter_namespaces(plan);
  umask(0077);
  if (chdir("/") != 0) child_fail(plan, "chdir /");
  int root = fill_tmpfs(plan);
  enter_pid_namespace(plan);
  send_root(plan, root);
  exec_bwrap(plan, root);
  _exit(126);
}

/* --- in the parent --- */

static enum status make_plan(const struct config *cfg, int major, int base_fd, struct plan *plan, struct error *err) {
  *plan = (struct plan){.cfg = cfg, .parent = getpid(), .base_fd = base_fd, .report_fd = -1};
  enum status status = servers_find(major, &plan->server, err);
  if (status) return status;
  if (access("/usr/bin/bwrap", X_OK) != 0)
    return error_set(err, ERR_UNAVAILABLE, "the sandbox needs /usr/bin/bwrap, which isn't there: install the package bubblewrap");
  status = store_prepare(cfg, err);
  if (status) return status;
  snprintf(plan->mnt, sizeof plan->mnt, "%s/mnt", cfg->sandbox_dir);
  return template_get(cfg, &plan->server, &plan->template, err);
}

enum status engine_start(const struct config *cfg, int major, int base_fd, struct engine *ret_engine, struct error *err) {
  struct plan plan;
  int pair[2];
  enum status status = make_plan(cfg, major, base_fd, &plan, err);
  if (status) return status;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return error_set(err, ERR_UNAVAILABLE, "socketpair: %s", strerror(errno));
  plan.report_fd = pair[1];
  pid_t pid = fork();
  if (pid == 0) child(&plan);
  close(pair[1]);
  if (pid < 0) {
    close(pair[0]);
    return error_set(err, ERR_UNAVAILABLE, "can't fork a sandbox: %s", strerror(errno));
  }
  struct engine engine = {.pid = pid,
                          .report_fd = pair[0],
                          .root_fd = -1,
                          .version_num = plan.template.version_num,
                          .started_ms = clock_mono_ms(),
                          .claim.fd = -1};
  snprintf(engine.name, sizeof engine.name, "postgres %s", plan.template.version);
  status = store_claim(cfg, pid, &engine.claim, err);
  if (status) {
    engine_destroy(&engine);
    return status;
  }
  *ret_engine = engine;
  return OK;
}

/* Takes the report that has come; a text instead of a descriptor is why it failed. */
static enum status take_report(struct engine *engine, struct error *err) {
  char text[512];
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec iov = {.iov_base = text, .iov_len = sizeof text - 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got = recvmsg(engine->report_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return OK;
  const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
  if (!header) {
    text[got > 0 ? got : 0] = 0;
    return error_set(err, ERR_UNAVAILABLE, "can't start a sandbox: %s", got > 0 ? text : "its process ended");
  }
  memcpy(&engine->root_fd, CMSG_DATA(header), sizeof engine->root_fd);
  close(engine->report_fd);
  engine->report_fd = -1;
  return OK;
}

/* The server writes "ready" into line 8 of its pid file. O_NOFOLLOW: the folder belongs to the sandbox. */
static bool says_ready(const struct engine *engine) {
  char text[512];
  int fd = openat(engine->root_fd, "data/postmaster.pid", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  text[got > 0 ? got : 0] = 0;
  const char *line = text;
  for (int i = 0; line && i < 7; i++) line = (line = strchr(line, '\n')) ? line + 1 : NULL;
  return line && !strncmp(line, "ready", 5);
}

static enum status died(const struct engine *engine, struct error *err) {
  char text[700] = "";
  int fd = engine->root_fd >= 0 ? openat(engine->root_fd, "log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
  ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
  if (fd >= 0) close(fd);
  while (got > 0 && text[got - 1] == '\n') got--;
  text[got > 0 ? got : 0] = 0;
  return error_set(err, ERR_UNAVAILABLE, "the sandbox's server didn't start: %s", *text ? text : "it said nothing");
}

enum status engine_poll(struct engine *engine, bool *ret_ready, struct error *err) {
  bool ready = false;
  if (engine->report_fd >= 0) {
    enum status status = take_report(engine, err);
    if (status) return status;
  }
  if (engine->root_fd >= 0) ready = says_ready(engine);
  if (!ready && engine_reaped(engine)) return died(engine, err);
  if (!ready && clock_mono_ms() - engine->started_ms > ENGINE_START_MS) return died(engine, err);
  *ret_ready = ready;
  return OK;
}

enum status engine_wait(struct engine *engine, struct error *err) {
  for (;;) {
    bool ready = false;
    enum status status = engine_poll(engine, &ready, err);
    if (status) engine_destroy(engine);
    if (status || ready) return status;
    struct pollfd wait = {.fd = engine->report_fd, .events = POLLIN}; /* a negative descriptor just waits */
    poll(&wait, 1, engine->report_fd >= 0 ? 100 : 1);
  }
}

bool engine_reaped(struct engine *engine) {
  if (engine->pid <= 0) return true;
  pid_t got = waitpid(engine->pid, NULL, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return false;
  engine->pid = 0;
  return true;
}

void engine_signal(struct engine *engine) {
  if (engine->pid > 0) {
    kill(-engine->pid, SIGKILL); /* bubblewrap's inner process, too: in its first moments nothing ends it when the outer one dies */
    kill(engine->pid, SIGKILL);
  }
  if (engine->report_fd > 0) close(engine->report_fd);
  if (engine->root_fd > 0) close(engine->root_fd);
  engine->report_fd = engine->root_fd = -1;
}

void engine_destroy(struct engine *engine) {
  engine_signal(engine);
  if (engine->pid > 0)
    while (waitpid(engine->pid, NULL, 0) < 0 && errno == EINTR) {}
  engine->pid = 0;
  store_release(&engine->claim);
}
