/* clientcancel.h - a process that is told to stop tells the client databases first.
 *
 * A server doesn't notice that its client died before it has something to say: the statement of a slot that was merely killed would go on,
 * holding its locks. */
#ifndef AUTODB_CLIENTCANCEL_H
#define AUTODB_CLIENTCANCEL_H

#include <libpq-fe.h>

/* From here on SIGTERM asks the servers of all connections made by clientdb_connect to give up what they run, then ends the process. For
 * processes of one thread. */
void clientcancel_begin(void);
/* Until it is finished. Does nothing before clientcancel_begin. */
void clientcancel_watch(PGconn *conn);

#endif
