/* tree.c - see tree.h. Everything is reached from a descriptor, name by name, so that nobody can put another directory underneath
 * meanwhile. */
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* O_NONBLOCK: opening a named pipe must not wait for its other end. */
bool tree_copy_file(int from, int to, const char *name, struct tree_copy *copy) {
  struct stat info;
  int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), out = -1;
  bool copied = in >= 0 && fstat(in, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= copy->bytes_left;
  if (copied) out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  copied &= out >= 0;
  for (off_t left = copied ? info.st_size : 0; copied && left > 0;) {
    ssize_t sent = sendfile(out, in, NULL, (size_t)left);
    copied = sent > 0;
    left -= sent;
  }
  if (copied) copy->bytes_left -= info.st_size;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return copied;
}

static bool is_left_out(const char *folder, const char *name, const struct tree_copy *copy) {
  if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "postmaster.pid") || !strcmp(name, "postmaster.opts")) return true;
  return copy->last_wal && !strcmp(folder, "pg_wal") && strlen(name) == strlen(copy->last_wal) && strcmp(name, copy->last_wal) > 0;
}

static bool copy_level(int from, int to, const char *folder, int depth, struct tree_copy *copy) {
  bool copied = from >= 0 && to >= 0 && depth < TREE_DEPTH_MAX;
  DIR *dir = copied ? fdopendir(from) : NULL;
  if (!dir && from >= 0) close(from);
  for (const struct dirent *entry; dir && copied && (entry = readdir(dir));) {
    const char *name = entry->d_name;
    if (is_left_out(folder, name, copy)) continue;
    if (entry->d_type == DT_DIR)
      copied = mkdirat(to, name, 0700) == 0 &&
               copy_level(openat(dirfd(dir), name, OPEN_DIRECTORY), openat(to, name, OPEN_DIRECTORY), name, depth + 1, copy);
    else
      copied = tree_copy_file(dirfd(dir), to, name, copy);
  }
  if (dir) closedir(dir);
  if (to >= 0) close(to);
  return copied && dir;
}

bool tree_copy(int from, int to, struct tree_copy *copy) { return copy_level(from, to, "", 0, copy); }

static void remove_level(int at, const char *name, int depth) {
  int fd = depth < TREE_DEPTH_MAX ? openat(at, name, OPEN_DIRECTORY) : -1;
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (!dir && fd >= 0) close(fd);
  for (const struct dirent *entry; dir && (entry = readdir(dir));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (entry->d_type == DT_DIR)
      remove_level(fd, entry->d_name, depth + 1);
    else
      unlinkat(fd, entry->d_name, 0);
  }
  if (dir) closedir(dir);
  unlinkat(at, name, AT_REMOVEDIR);
}

void tree_remove(int at, const char *name) {
  if (unlinkat(at, name, 0) != 0 && (errno == EISDIR || errno == EPERM)) remove_level(at, name, 0);
}
