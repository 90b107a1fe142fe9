/* locks.h - which relation locks a session has, as another session sees them. */
#ifndef AUTODB_SANDBOX_LOCKS_H
#define AUTODB_SANDBOX_LOCKS_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"
#include "relations.h"

enum { LOCKS_ACCESS_EXCLUSIVE = 8 }; /* modes are 1 (AccessShare) … 8 in order of strength, as in the server */

struct locks {
  struct lock {
    uint32_t oid;
    unsigned modes;
  } * list;
  size_t count, room;
}; /* modes: bit m set = mode m; list by oid */

/* Adds to `locks` (which may be zeroed) what backend `pid` holds or waits for right now. ret_waiting: whether it waits for a lock of any
 * kind; NULL when the caller knows it doesn't. */
MUST_CHECK enum status locks_sample(PGconn *tracer, int pid, struct arena *arena, struct locks *locks, bool *ret_waiting,
                                    struct error *err);
unsigned locks_modes(const struct locks *locks, uint32_t oid);
int lock_strongest(unsigned modes);   /* 0 when none */
const char *lock_mode_name(int mode); /* "AccessExclusiveLock" */

#endif
