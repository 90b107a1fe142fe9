/* textfile.c - see textfile.h. */
#include "common/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/buf.h"

char *textfile_read(struct arena *arena, const char *path, size_t max) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  BUF_AUTO text;
  buf_init(&text, max);
  char piece[4096];
  ssize_t got;
  while ((got = read(fd, piece, sizeof piece)) > 0 && buf_append(&text, piece, (size_t)got)) continue;
  int fault = got < 0 ? errno : !buf_ok(&text) ? EFBIG : strlen(buf_str(&text)) < text.len ? EILSEQ : 0;
  close(fd);
  char *copy = fault ? NULL : arena_strdup(arena, buf_str(&text));
  errno = fault || copy ? fault : ENOMEM;
  return copy;
}

char *textfile_trim(char *text) {
  text += strspn(text, " \t\r");
  size_t len = strlen(text);
  while (len && strchr(" \t\r", text[len - 1])) len--;
  text[len] = '\0';
  return text;
}
