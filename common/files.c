/* files.c - see files.h. */
#include "common/files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool files_make_dirs(const char *path) {
  char partial[PATH_MAX];
  if (snprintf(partial, sizeof partial, "%s", path) >= (int)sizeof partial) {
    errno = ENAMETOOLONG;
    return false;
  }
  for (char *slash = partial; (slash = strchr(slash + 1, '/'));) {
    *slash = '\0';
    if (mkdir(partial, 0700) != 0 && errno != EEXIST) return false;
    *slash = '/';
  }
  return mkdir(partial, 0700) == 0 || errno == EEXIST;
}

bool files_write_all(int fd, const void *data, size_t len) {
  for (const char *at = data; len;) {
    ssize_t wrote = write(fd, at, len);
    if (wrote < 0 && errno != EINTR) return false;
    if (wrote < 0) continue;
    at += wrote;
    len -= (size_t)wrote;
  }
  return true;
}
