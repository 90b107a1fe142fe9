/* raw.h - HTTP by hand, for tests of what a proper client can't send. */
#ifndef AUTODB_TESTS_RAW_H
#define AUTODB_TESTS_RAW_H

#include "tests/support/harness.h"

struct raw_answer {
  int status;      /* 0: the connection ended or timed out before a whole answer */
  char head[4096]; /* with its blank line */
  char *body;      /* malloc'd */
  size_t body_len;
};
void raw_free(struct raw_answer *answer);
#define RAW_AUTO __attribute__((cleanup(raw_free))) struct raw_answer

bool raw_send(int fd, const void *bytes, size_t len); /* false when the peer is gone */
/* Reads one answer (head_only: to a HEAD request), byte-exact, leaving what follows on the socket. */
void raw_read(int fd, bool head_only, struct raw_answer *ret_answer);
bool raw_closed(int fd, int timeout_ms); /* the peer closes, with nothing more to read; a timeout as POLL_UNTIL's */
char *raw_header(const struct raw_answer *answer, const char *name, char *out, size_t size); /* "" when absent */

#endif
