/* process.h - runs a program to its end, as the unprivileged user servers run as. */
#ifndef AUTODB_SANDBOX_PROCESS_H
#define AUTODB_SANDBOX_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/error.h"

/* The user servers run as: ourselves, or, when we are root, "autodb", else "nobody". */
uid_t process_uid(void);
gid_t process_gid(void);
/* In a fresh child: becomes that user (a no-op when we aren't root). */
bool process_drop(void);

struct process_run {
  const char *const *argv; /* NULL-terminated; argv[0] is a path */
  const char *input;       /* standard input, NULL: empty. At most 64 KiB: it has to fit a pipe */
  int input_fd;            /* instead of input: standard input; 0: none */
  int keep_fd;             /* open in the program as well; -1: none */
  int timeout_ms;
  struct buf *output; /* standard output; NULL: discarded */
};
/* The program's standard error becomes the message when it exits with anything but 0, can't be started or takes too long. */
MUST_CHECK enum status process_run(const struct process_run *run, struct error *err);

#endif
