/* pgcancel.h - asking a server to give up a statement whose connection we are about to drop.
 *
 * Without it the server would go on, holding its locks, until it noticed that nobody listens. Best effort, on the loop, bounded by
 * LIMIT_PG_CONNECT_MS; encrypted when the connection was. Private to pgloop.c. */
#ifndef AUTODB_PGCANCEL_H
#define AUTODB_PGCANCEL_H

#include <event2/event.h>
#include <libpq-fe.h>

struct pgcancel;
/* Starts a cancel request for what `conn` runs, held in *list until it is done. conn may be finished at once. */
void pgcancel_start(struct pgcancel **list, struct event_base *base, PGconn *conn);
void pgcancel_free_all(struct pgcancel **list);

#endif
