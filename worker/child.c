/* child.c - fork and exec with the bounds a child of ours lives in; see child.h. */
#include "worker/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/slot.h"

#define FILE_BYTES ((rlim_t)1 << 30) /* a sandbox started by a slot writes tables and WAL */
#define OPEN_FILES 1024
#define OOM_SCORE "600" /* of 1000: a slot goes long before its supervisor or the database */

static void bound(int resource, rlim_t value) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return;
  if (limit.rlim_max > value) limit.rlim_max = value;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(resource, &limit);
}

static void raise_oom_score(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, OOM_SCORE, sizeof OOM_SCORE - 1) < 0) errno = 0; /* only less comfortable */
  close(fd);
}

static void become(const char *const argv[], int fd, pid_t parent) {
  if (fd >= 0 && dup2(fd, SLOT_FD) < 0) _exit(126);
  close_range(fd >= 0 ? SLOT_FD + 1 : SLOT_FD, ~0U, 0);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126); /* it died before the line above */
  raise_oom_score();
  bound(RLIMIT_CORE, 0);
  bound(RLIMIT_FSIZE, FILE_BYTES);
  bound(RLIMIT_NOFILE, OPEN_FILES);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
  _exit(127);
}

pid_t child_spawn(const char *const argv[], int fd) {
  pid_t parent = getpid(), pid = fork();
  if (pid == 0) become(argv, fd, parent);
  if (pid > 0) setpgid(pid, pid); /* whoever comes first; after the exec it fails, and the child has done it */
  return pid;
}
