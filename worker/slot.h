/* slot.h - the inside of a slot process: takes job frames from its socket, runs their handlers one at a time, answers.
 *
 * Started by the supervisor (slots.c) as `autodb-worker --slot KEEPER_SOCKET` with its end of the socketpair as SLOT_FD. It may die at any
 * moment: everything that must survive is in Postgres, or in the supervisor's hands. */
#ifndef AUTODB_SLOT_H
#define AUTODB_SLOT_H

#include "common/config.h"

#define SLOT_FD 3

/* Returns the exit code when the supervisor closes the socket. keeper_socket "" means that there is none. */
int slot_main(const struct config *cfg, const char *keeper_socket);

#endif
