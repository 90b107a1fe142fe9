/* server.h - the loop's listener and its connections: caps, deadlines, deferred freeing, drain. */
#ifndef AUTODB_API_SERVER_H
#define AUTODB_API_SERVER_H

#include "api/loop.h"

struct server;

MUST_CHECK enum status server_new(struct loop *loop, const char *address, int port, struct server **ret_server, struct error *err);
void server_free(struct server *server);
bool server_turn(struct server *server);   /* end of a turn; true when there is more to do at once */
void server_accept(struct server *server); /* until now connections wait in the kernel's queue */
void server_stop_accepting(struct server *server);
void server_drain(struct server *server); /* hurries waiters, closes idle connections; answers say Connection: close from here on */
int server_connections(const struct server *server);

/* Which port to use: `port` itself once it is known to be free, or a free one for 0. Several loops share it by SO_REUSEPORT, which would
 * also let a second API steal half of the connections: hence the look. */
MUST_CHECK enum status server_pick_port(const char *address, int port, int *ret_port, struct error *err);

#endif
