/* process.c - fork, exec, feed, read, wait: initdb, the single-user server and pg_dump are run through here.
 *
 * The child dies with us (PR_SET_PDEATHSIG) and gets a clean environment: nothing of ours (PGHOST, keys, …) may reach or steer it. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define STDERR_MAX (16 * 1024)

static const struct passwd *service_user(void) {
  const struct passwd *user = getpwnam("autodb");
  return user ? user : getpwnam("nobody");
}

uid_t process_uid(void) {
  if (geteuid() != 0) return geteuid();
  const struct passwd *user = service_user();
  return user ? user->pw_uid : 65534;
}

gid_t process_gid(void) {
  if (geteuid() != 0) return getegid();
  const struct passwd *user = service_user();
  return user ? user->pw_gid : 65534;
}

bool process_drop(void) {
  if (geteuid() != 0) return true;
  uid_t uid = process_uid();
  gid_t gid = process_gid();
  if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) return false;
  return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0; /* else /proc/self/ belongs to root and no user namespace can be set up */
}

struct pipes {
  int in[2], out[2], err[2];
};

static void pipes_close(struct pipes *pipes) {
  int *fds[] = {pipes->in, pipes->out, pipes->err};
  for (int i = 0; i < 3; i++)
    for (int end = 0; end < 2; end++)
      if (fds[i][end] >= 0) close(fds[i][end]);
}

__attribute__((noreturn)) static void child(const struct process_run *run, const struct pipes *pipes, pid_t parent) {
  char *const environment[] = {(char[]){"PATH=/usr/bin:/bin"}, (char[]){"LC_ALL=C.UTF-8"}, (char[]){"TZ=UTC"}, NULL};
  sigset_t none; /* a caller with a signalfd has signals blocked */
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (!process_drop() || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent) _exit(126);
  dup2(run->input_fd ? run->input_fd : pipes->in[0], 0);
  dup2(pipes->out[1], 1);
  dup2(pipes->err[1], 2);
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (run->keep_fd >= 0) fcntl(run->keep_fd, F_SETFD, 0);
  if (chdir("/") != 0) _exit(126);
  union {
    const char *const *in;
    char *const *out;
  } argv = {.in = run->argv}; /* execve takes the strings as they are, whatever its type says */
  execve(run->argv[0], argv.out, environment);
  dprintf(2, "can't run %s: %s", run->argv[0], strerror(errno));
  _exit(127);
}

/* Appends what is there; closes *fd at end of file. Output beyond a buffer's maximum is read and dropped. */
static void drain(int *fd, struct buf *buf) {
  char chunk[16384];
  ssize_t got = read(*fd, chunk, sizeof chunk);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    close(*fd);
    *fd = -1;
  } else if (buf) {
    buf_append(buf, chunk, (size_t)got);
  }
}

static bool collect(struct pipes *pipes, struct buf *output, struct buf *errors, int64_t deadline) {
  while (pipes->out[0] >= 0 || pipes->err[0] >= 0) {
    int64_t left = deadline - clock_mono_ms();
    if (left <= 0) return false;
    struct pollfd fds[2] = {{.fd = pipes->out[0], .events = POLLIN}, {.fd = pipes->err[0], .events = POLLIN}};
    if (poll(fds, 2, (int)left) < 0 && errno != EINTR) return false;
    if (fds[0].revents) drain(&pipes->out[0], output);
    if (fds[1].revents) drain(&pipes->err[0], errors);
  }
  return true;
}

/* Programs that run another one, as bwrap and shells do, exit with 128 and the signal that ended it. */
static enum status verdict(const struct process_run *run, int wait_status, const struct buf *errors, struct error *err) {
  if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) return OK;
  int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
  int ended_by = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : code > 128 && code <= 128 + SIGRTMAX ? code - 128 : 0;
  if (ended_by) return error_set(err, ERR_UNAVAILABLE, "%s was ended by signal %d", run->argv[0], ended_by);
  return error_set(err, ERR_UNAVAILABLE, "%s failed: %.600s", run->argv[0], buf_str(errors));
}

enum status process_run(const struct process_run *run, struct error *err) {
  BUF_AUTO errors;
  buf_init(&errors, STDERR_MAX);
  struct pipes pipes = {{-1, -1}, {-1, -1}, {-1, -1}};
  enum status status = OK;
  int wait_status = 0;
  size_t input_len = run->input ? strlen(run->input) : 0;
  if (pipe2(pipes.in, O_CLOEXEC) != 0 || pipe2(pipes.out, O_CLOEXEC) != 0 || pipe2(pipes.err, O_CLOEXEC) != 0 ||
      (input_len > 0 && write(pipes.in[1], run->input, input_len) != (ssize_t)input_len)) {
    status = error_set(err, ERR_UNAVAILABLE, "can't make pipes for %s: %s", run->argv[0], strerror(errno));
    goto out;
  }
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) child(run, &pipes, parent);
  if (pid < 0) {
    status = error_set(err, ERR_UNAVAILABLE, "can't fork for %s: %s", run->argv[0], strerror(errno));
    goto out;
  }
  int *ours[] = {&pipes.in[0], &pipes.in[1], &pipes.out[1], &pipes.err[1]};
  for (int i = 0; i < 4; i++) {
    close(*ours[i]);
    *ours[i] = -1;
  }
  bool in_time = collect(&pipes, run->output, &errors, clock_mono_ms() + run->timeout_ms);
  if (!in_time) kill(pid, SIGKILL);
  while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {}
  status = in_time ? verdict(run, wait_status, &errors, err)
                   : error_set(err, ERR_TIMEOUT, "%s took longer than %d ms", run->argv[0], run->timeout_ms);
out:
  pipes_close(&pipes);
  return status;
}
