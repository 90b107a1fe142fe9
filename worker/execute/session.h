/* session.h - our session on the client's database, and the one beside it that looks.
 *
 * The first one runs the migration and holds the advisory lock that keeps a second execution away from the same database. The lock ends
 * with the session, so it also tells whether a session of ours that lost its client is still at work. */
#ifndef AUTODB_EXECUTE_SESSION_H
#define AUTODB_EXECUTE_SESSION_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/error.h"

struct execution;
struct unit;

#define EXECUTE_LOCK_KEY "7022647215728492545" /* pg_advisory_lock(bigint): the bytes "autodb", 0, 1. It never changes */

struct session {
  PGconn *conn;
  PGconn *watch; /* NULL when the server has no room for a second one: nobody sees then who blocks us */
  int pid;
  char start[48]; /* backend_start, in the server's words */
  int version;    /* server_version_num */
  bool settled;   /* lock_timeout and statement_timeout are as we want them */
  int lock_timeout_ms;
  char kept_lock_timeout[48]; /* the script's own, while a statement that may not have one runs; "" otherwise */
  int notices;
  json_t *notice_lines; /* the first EXECUTE_NOTICES; borrowed from the arena */
};

/* Connects as the connection's user, ends what a lost session of the unit in doubt (NULL: there is none) still does, takes the lock.
 * EXECUTOR_BUSY when another execution has it. ret_gone: the server could not be reached. */
MUST_CHECK enum status session_open(struct execution *x, const struct unit *doubt, bool *ret_gone, struct error *err);
void session_close(struct execution *x);
/* Whether the lock is still ours; takes it again when `again`. ERR_UNAVAILABLE otherwise. */
MUST_CHECK enum status session_hold_lock(struct execution *x, bool again, struct error *err);
/* Sets lock_timeout (0: none) and statement_timeout for what comes next, where that isn't so already and the script didn't do it itself. */
MUST_CHECK enum status session_settle(struct execution *x, size_t step, struct error *err);
bool session_lost(const struct execution *x);

#endif
