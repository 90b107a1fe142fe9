/* See token_file.h. */
#include "cli/token_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its mode is right before anything is in it, whoever made it before. */
static enum status open_private(const char *path, int *ret_fd, struct error *err) {
  struct stat is;
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
  enum status status = OK;
  if (fstat(fd, &is) == 0 && !S_ISREG(is.st_mode))
    status = error_set(err, ERR_VALIDATION, "%s is not a regular file", path);
  else if (fchmod(fd, 0600) != 0 || ftruncate(fd, 0) != 0)
    status = error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
  else
    *ret_fd = fd;
  if (status != OK) close(fd);
  return status;
}

enum status token_file_write(const char *path, const char *token, struct error *err) {
  int fd = -1;
  enum status status = open_private(path, &fd, err);
  if (status != OK) return status;
  bool written = dprintf(fd, "%s\n", token) == (int)strlen(token) + 1;
  int failed = written ? 0 : errno;
  if (close(fd) != 0 && written) written = false, failed = errno;
  return written ? OK : error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(failed));
}
