/* router.h - from a parsed head to a handler, by a static table. */
#ifndef AUTODB_API_ROUTER_H
#define AUTODB_API_ROUTER_H

#include "api/request.h"

/* The head is there: finds the route, checks expectations, size and key (who has none learns no more). Ends in router_admit
 * or an answer. */
void router_begin(struct request *req);
/* The key is good: lets the body in, once the route has been asked when it is an upload. */
void router_admit(struct request *req);
/* The body is there: checks query and body, and runs the handler. */
void router_run(struct request *req);
size_t router_body_cap(const struct route *route);

struct route_match {
  const struct route *route; /* NULL: path or method unknown */
  struct id ids[2];
  char allow[64]; /* methods of the path: "GET, HEAD, OPTIONS"; "" when there is no such path */
};
void router_find(uint8_t method, const char *path, struct route_match *ret_match);

/* Tables of the resources, each ending with a NULL pattern. */
extern const struct route health_routes[], jobs_routes[], connections_routes[], schema_routes[], migrations_routes[], optimize_routes[],
    keys_routes[], documents_routes[], context_routes[], queries_routes[], queue_routes[], webhooks_routes[], deliveries_routes[],
    docs_routes[];
/* All of them, for tests and the contract's check; NULL past the end. */
const struct route *router_at(size_t index);

#endif
