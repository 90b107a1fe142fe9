/* store.c - directories, claims and the sweep.
 *
 * A sandbox needs no cleaning up: its files live in a mount namespace that ends with its processes, and those die with their parent
 * (PR_SET_PDEATHSIG). The claims exist for the day that fails: a claim nobody holds a lock on names a process to be killed, checked by its
 * start time because process ids are reused. */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/id.h"
#include "common/log.h"
#include "process.h"
#include "sandbox/sandbox.h"

#define CLAIM_YOUNG_SECONDS 60 /* between its creation and its lock a claim is empty: leave such a one alone */

static enum status prepare_one(const char *path, struct error *err) {
  struct stat info;
  if (mkdir(path, 0700) == 0) {
    if (geteuid() == 0 && chown(path, process_uid(), process_gid()) != 0)
      return error_set(err, ERR_UNAVAILABLE, "chown %s: %s", path, strerror(errno));
  } else if (errno != EEXIST) {
    return error_set(err, ERR_UNAVAILABLE, "can't make the sandbox directory %s: %s (AUTODB_SANDBOX_DIR)", path, strerror(errno));
  }
  if (lstat(path, &info) != 0) return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
  if (!S_ISDIR(info.st_mode) || info.st_uid != process_uid() || (info.st_mode & 022))
    return error_set(err, ERR_UNAVAILABLE,
                     "the sandbox directory %s has to be a directory of uid %u that nobody else can write to (AUTODB_SANDBOX_DIR)", path,
                     process_uid());
  return OK;
}

enum status store_prepare(const struct config *cfg, struct error *err) {
  static const char *const folders[] = {"", "/mnt", "/run"};
  if (strlen(cfg->sandbox_dir) > 256 || cfg->sandbox_dir[0] != '/')
    return error_set(err, ERR_VALIDATION, "AUTODB_SANDBOX_DIR has to be an absolute path of at most 256 bytes");
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    char path[STORE_PATH];
    snprintf(path, sizeof path, "%s%s", cfg->sandbox_dir, folders[i]);
    enum status status = prepare_one(path, err);
    if (status) return status;
  }
  return OK;
}

/* The 22nd field of /proc/<pid>/stat; 0 when there is no such process. */
static unsigned long long start_time(pid_t pid) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t got = read(fd, line, sizeof line - 1);
  close(fd);
  if (got <= 0) return 0;
  line[got] = 0;
  const char *at = strrchr(line, ')'); /* the name before it may hold anything */
  for (int field = 2; at && field < 22; field++) {
    at = strchr(at + 1, ' ');
  }
  return at ? strtoull(at, NULL, 10) : 0;
}

enum status store_claim(const struct config *cfg, pid_t pid, struct store_claim *ret_claim, struct error *err) {
  struct id id;
  char text[ID_TEXT];
  struct store_claim claim;
  id_new(&id);
  snprintf(claim.path, sizeof claim.path, "%s/run/%s", cfg->sandbox_dir, id_format(&id, text));
  claim.fd = open(claim.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (claim.fd < 0) return error_set(err, ERR_UNAVAILABLE, "can't make %s: %s", claim.path, strerror(errno));
  if (flock(claim.fd, LOCK_EX | LOCK_NB) != 0 || dprintf(claim.fd, "%d %llu\n", (int)pid, start_time(pid)) < 0) {
    store_release(&claim);
    return error_set(err, ERR_UNAVAILABLE, "can't record a sandbox in %s/run: %s", cfg->sandbox_dir, strerror(errno));
  }
  *ret_claim = claim;
  return OK;
}

void store_release(struct store_claim *claim) {
  if (claim->fd <= 0) return;
  unlink(claim->path);
  close(claim->fd);
  claim->fd = -1;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where) {
  (void)info, (void)type, (void)where;
  return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

void store_remove_tree(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }

/* --- sweep --- */

/* Kills what a claim names when that is still the same process. */
static void kill_claimed(int fd) {
  char text[64] = "", *rest;
  if (pread(fd, text, sizeof text - 1, 0) <= 0) return;
  long pid = strtol(text, &rest, 10);
  unsigned long long started = strtoull(rest, NULL, 10);
  if (pid > 1 && started > 0 && start_time((pid_t)pid) == started) kill((pid_t)pid, SIGKILL);
}

static bool sweep_claim(const char *path) {
  struct stat info;
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  bool stale =
      flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &info) == 0 && (info.st_size > 0 || time(NULL) - info.st_mtime > CLAIM_YOUNG_SECONDS);
  if (stale) {
    kill_claimed(fd);
    stale = unlink(path) == 0;
  }
  close(fd);
  return stale;
}

/* A template being made is stale when its maker is gone. */
static bool sweep_making(const char *path, const char *name) {
  const char *dash = strrchr(name, '-');
  long pid = dash ? strtol(dash + 1, NULL, 10) : 0;
  if (pid <= 1 || start_time((pid_t)pid) != 0) return false;
  store_remove_tree(path);
  return true;
}

static int sweep_folder(const char *folder, bool claims) {
  int count = 0;
  DIR *dir = opendir(folder);
  if (!dir) return 0;
  for (const struct dirent *entry; (entry = readdir(dir));) {
    char path[STORE_PATH + 256];
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (entry->d_name[0] == '.') continue;
    if (claims ? sweep_claim(path) : !strncmp(entry->d_name, "making-", 7) && sweep_making(path, entry->d_name)) count++;
  }
  closedir(dir);
  return count;
}

int sandbox_sweep(const struct config *cfg) {
  char run[STORE_PATH];
  snprintf(run, sizeof run, "%s/run", cfg->sandbox_dir);
  int count = sweep_folder(run, true) + sweep_folder(cfg->sandbox_dir, false);
  if (count > 0) log_event(LOG_INFO, "removed what dead sandboxes left", "count", log_fmt("%d", count), NULL);
  return count;
}
