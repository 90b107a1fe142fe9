/* docstore_dir.c - originals in a directory: <dir>/ab/ab12…, mode 0600.
 *
 * A file appears by rename, whole and synced, so a crash leaves at most a temporary file in <dir>/new, which the sweep removes. What is put
 * holds <dir>/lock shared, what is swept alone: an original that is stored again while the sweep looks at it stays. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/docstore_impl.h"
#include "common/files.h"
#include "common/id.h"

#define PIECE (64 * 1024)
#define PATH_BYTES 1200 /* the setting, and what comes after it */

struct dir {
  char path[PATH_BYTES - 160];
};

static enum status failed(struct error *err, const char *what) {
  return error_set(err, ERR_UNAVAILABLE, "The document store can't %s: %s.", what, strerror(errno));
}

static void shard_path(const struct dir *dir, const char *key, char out[PATH_BYTES]) {
  snprintf(out, PATH_BYTES, "%s/%.2s", dir->path, key);
}
static void key_path(const struct dir *dir, const char *key, char out[PATH_BYTES]) {
  snprintf(out, PATH_BYTES, "%s/%.2s/%s", dir->path, key, key);
}

static enum status dir_open(const struct config *cfg, const char *where, void **ret_self, struct error *err) {
  (void)cfg;
  struct dir *dir = calloc(1, sizeof *dir);
  if (!dir) return error_oom(err);
  if (!*where || strlen(where) >= sizeof dir->path) {
    free(dir);
    return error_add_field(err, "AUTODB_DOCUMENT_STORE", "must be a directory of at most %zu bytes", sizeof dir->path - 1);
  }
  snprintf(dir->path, sizeof dir->path, "%s", where);
  *ret_self = dir;
  return OK;
}

/* --- the ground --- */

static bool sync_dir(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  return synced;
}

/* Closing the descriptor unlocks. */
static int take_lock(const struct dir *dir, int operation) {
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s/lock", dir->path);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  while (fd >= 0 && flock(fd, operation) != 0) {
    if (errno == EINTR) continue;
    close(fd);
    return -1;
  }
  return fd;
}

/* --- storing --- */

static bool copy_all(int to, const char *from_path) {
  char piece[PIECE];
  ssize_t got = -1;
  int from = open(from_path, O_RDONLY | O_CLOEXEC);
  while (from >= 0 && (got = read(from, piece, sizeof piece)) != 0)
    if (got < 0 ? errno != EINTR : !files_write_all(to, piece, (size_t)got)) break;
  if (from >= 0) close(from);
  return got == 0;
}

/* A temporary file with that content, or that of the file at `from`, synced. */
static bool write_new(const struct dir *dir, const void *data, size_t len, const char *from, char ret_path[PATH_BYTES]) {
  struct id id;
  char name[ID_TEXT];
  id_new(&id);
  snprintf(ret_path, PATH_BYTES, "%s/new", dir->path);
  if (!files_make_dirs(ret_path)) return false;
  snprintf(ret_path, PATH_BYTES, "%s/new/%s", dir->path, id_format(&id, name));
  int fd = open(ret_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool wrote = (from ? copy_all(fd, from) : files_write_all(fd, data, len)) && fsync(fd) == 0;
  int reason = errno;
  close(fd);
  if (!wrote) unlink(ret_path);
  errno = reason;
  return wrote;
}

/* Into its place, from `path`; the clock of its grace period starts. */
static bool place(const struct dir *dir, const char *key, const char *path) {
  char shard[PATH_BYTES], final[PATH_BYTES];
  shard_path(dir, key, shard);
  key_path(dir, key, final);
  int lock = take_lock(dir, LOCK_SH);
  if (lock < 0) return false;
  bool placed = utimensat(AT_FDCWD, path, NULL, 0) == 0 && (mkdir(shard, 0700) == 0 || errno == EEXIST) && rename(path, final) == 0 &&
                sync_dir(shard) && sync_dir(dir->path);
  int reason = errno;
  close(lock);
  errno = reason;
  return placed;
}

static enum status dir_put(void *self, const char *key, const void *data, size_t len, struct error *err) {
  const struct dir *dir = self;
  char path[PATH_BYTES];
  if (!write_new(dir, data, len, NULL, path)) return failed(err, "be written");
  if (place(dir, key, path)) return OK;
  failed(err, "be written");
  unlink(path);
  return err->status;
}

static bool sync_file(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  bool synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  return synced;
}

/* Moved where a rename can, else copied. */
static enum status dir_put_file(void *self, const char *key, const char *from, struct error *err) {
  const struct dir *dir = self;
  char path[PATH_BYTES];
  if (!files_make_dirs(dir->path) || !sync_file(from)) return failed(err, "be written");
  if (place(dir, key, from)) return OK;
  if (errno != EXDEV) return failed(err, "be written");
  if (!write_new(dir, NULL, 0, from, path)) return failed(err, "be written");
  if (place(dir, key, path)) return OK;
  failed(err, "be written");
  unlink(path);
  return err->status;
}

/* --- reading --- */

static enum status missing(struct error *err) {
  if (errno != ENOENT && errno != ENOTDIR) return failed(err, "be read");
  return error_set(err, ERR_NOT_FOUND, "The original is not in the document store.");
}

static enum status dir_stat(void *self, const char *key, int64_t *ret_bytes, struct error *err) {
  char path[PATH_BYTES];
  struct stat info;
  key_path(self, key, path);
  if (stat(path, &info) != 0) return missing(err);
  *ret_bytes = info.st_size;
  return OK;
}

static enum status dir_fetch(void *self, const char *key, int *ret_fd, int64_t *ret_bytes, struct error *err) {
  char path[PATH_BYTES];
  struct stat info;
  key_path(self, key, path);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return missing(err);
  if (fstat(fd, &info) != 0) {
    failed(err, "be read");
    close(fd);
    return err->status;
  }
  *ret_fd = fd;
  *ret_bytes = info.st_size;
  return OK;
}

/* --- sweeping --- */

static bool is_old(int at, const char *name, int grace_seconds) {
  struct stat info;
  return fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) && info.st_mtim.tv_sec + grace_seconds <= time(NULL);
}

/* The old files of one directory; the next name goes to ret_name, false at the end. */
static bool next_old(DIR *listing, int grace_seconds, const char **ret_name) {
  for (struct dirent *entry; (entry = readdir(listing));)
    if (is_old(dirfd(listing), entry->d_name, grace_seconds)) {
      *ret_name = entry->d_name;
      return true;
    }
  return false;
}

static void remove_leftovers(const struct dir *dir, int grace_seconds) {
  char path[PATH_BYTES];
  const char *name;
  snprintf(path, sizeof path, "%s/new", dir->path);
  DIR *listing = opendir(path);
  while (listing && next_old(listing, grace_seconds, &name)) unlinkat(dirfd(listing), name, 0);
  if (listing) closedir(listing);
}

static enum status list_shard(const struct dir *dir, const char *shard, int grace_seconds, docstore_each each, void *arg,
                              struct error *err) {
  char path[PATH_BYTES];
  const char *name;
  enum status status = OK;
  shard_path(dir, shard, path);
  DIR *listing = opendir(path);
  if (!listing) return errno == ENOENT ? OK : failed(err, "be listed");
  while (status == OK && next_old(listing, grace_seconds, &name))
    if (strlen(name) == DOCSTORE_KEY && strncmp(name, shard, 2) == 0) status = each(arg, name, err);
  closedir(listing);
  return status;
}

static enum status dir_list_old(void *self, int grace_seconds, docstore_each each, void *arg, struct error *err) {
  enum status status = OK;
  remove_leftovers(self, grace_seconds);
  for (int i = 0; status == OK && i < 256; i++) {
    char shard[3];
    snprintf(shard, sizeof shard, "%02x", (unsigned)i);
    status = list_shard(self, shard, grace_seconds, each, arg, err);
  }
  return status == OK ? each(arg, NULL, err) : status;
}

static enum status dir_remove_old(void *self, const char *key, int grace_seconds, struct error *err) {
  char path[PATH_BYTES];
  key_path(self, key, path);
  int lock = take_lock(self, LOCK_EX);
  if (lock < 0) return failed(err, "be locked");
  bool removed = !is_old(AT_FDCWD, path, grace_seconds) || unlink(path) == 0 || errno == ENOENT;
  if (!removed) failed(err, "be cleaned");
  close(lock);
  return removed ? OK : err->status;
}

const struct docstore_driver docstore_dir = {.scheme = "",
                                             .open = dir_open,
                                             .free = free,
                                             .put_file = dir_put_file,
                                             .put = dir_put,
                                             .fetch = dir_fetch,
                                             .stat = dir_stat,
                                             .list_old = dir_list_old,
                                             .remove_old = dir_remove_old};
