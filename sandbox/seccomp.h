/* seccomp.h - the system calls a sandbox is refused. */
#ifndef AUTODB_SANDBOX_SECCOMP_H
#define AUTODB_SANDBOX_SECCOMP_H

/* A file descriptor holding the filter as `bwrap --seccomp` reads it; -1 with errno on failure. */
int seccomp_filter_fd(void);

#endif
