/* session.h - sessions of a sandbox that are used again: a fresh one costs 4 ms and starts with empty caches. */
#ifndef AUTODB_SANDBOX_SESSION_H
#define AUTODB_SANDBOX_SESSION_H

#include "sandbox/sandbox.h"

enum session_user { SESSION_TRACER, SESSION_MIGRATOR, SESSION_USERS };

/* One put back earlier, or a new one. */
MUST_CHECK enum status session_take(struct sandbox *sandbox, enum session_user user, PGconn **ret_conn, struct error *err);
/* Gives a session back for reuse; one that is broken, in a transaction or not wanted is closed. Takes conn (NULL is fine). What it has SET
 * and made for itself is discarded. */
void session_put(struct sandbox *sandbox, enum session_user user, PGconn *conn);

/* The sandbox's private tmpfs, which holds data/; borrowed. */
int sandbox_root(const struct sandbox *sandbox);

/* clone.c: makes the extensions and roles that statements of the script name, which only a superuser may; nothing of it is run. */
MUST_CHECK enum status sandbox_grant_names(struct sandbox *sandbox, const char *sql, struct arena *arena, struct error *err);

#endif
