/* raw.c - see raw.h. */
#include "tests/support/raw.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void raw_free(struct raw_answer *answer) {
  free(answer->body);
  answer->body = NULL;
}

bool raw_send(int fd, const void *bytes, size_t len) {
  for (const char *p = bytes; len;) {
    ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
    if (n <= 0) return false;
    p += n;
    len -= (size_t)n;
  }
  return true;
}

char *raw_header(const struct raw_answer *answer, const char *name, char *out, size_t size) {
  size_t len = strlen(name);
  *out = '\0';
  for (const char *line = answer->head; (line = strstr(line, "\r\n"));) {
    line += 2;
    if (strncasecmp(line, name, len) != 0 || line[len] != ':') continue;
    const char *value = line + len + 1 + strspn(line + len + 1, " ");
    snprintf(out, size, "%.*s", (int)strcspn(value, "\r"), value);
    break;
  }
  return out;
}

void raw_read(int fd, bool head_only, struct raw_answer *ret_answer) {
  char length[32];
  size_t have = 0;
  *ret_answer = (struct raw_answer){0};
  while (have < sizeof ret_answer->head - 1 && (have < 4 || memcmp(ret_answer->head + have - 4, "\r\n\r\n", 4) != 0)) {
    if (recv(fd, ret_answer->head + have, 1, 0) != 1) return;
    have++;
  }
  size_t want = head_only ? 0 : strtoul(raw_header(ret_answer, "Content-Length", length, sizeof length), NULL, 10), got = 0;
  ret_answer->body = calloc(1, want + 1);
  assert_non_null(ret_answer->body);
  while (got < want) {
    ssize_t n = recv(fd, ret_answer->body + got, want - got, 0);
    if (n <= 0) return;
    got += (size_t)n;
  }
  ret_answer->body_len = want;
  ret_answer->status = (int)strtol(ret_answer->head + 9, NULL, 10);
}

bool raw_closed(int fd, int timeout_ms) {
  struct pollfd poller = {.fd = fd, .events = POLLIN};
  char byte;
  return poll(&poller, 1, timeout_ms * PATIENCE) == 1 && recv(fd, &byte, 1, 0) <= 0;
}
