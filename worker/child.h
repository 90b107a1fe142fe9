/* child.h - starting this same program again as a slot or as the sandbox keeper. */
#ifndef AUTODB_CHILD_H
#define AUTODB_CHILD_H

#include <sys/types.h>

/* A fresh address space (fork, exec of /proc/self/exe), a process group of its own, SIGKILL when the supervisor dies, no core dumps, first
 * in line for the OOM killer. `fd` becomes descriptor SLOT_FD of the child (-1: none), every other one above 2 is closed. -1 and errno on
 * failure. */
pid_t child_spawn(const char *const argv[], int fd);

#endif
