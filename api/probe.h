/* probe.h - trying a client's database: blocking work on two threads, so that loops stay loops. */
#ifndef AUTODB_API_PROBE_H
#define AUTODB_API_PROBE_H

#include "api/request.h"
#include "common/clientdb.h"

struct probe;
MUST_CHECK enum status probe_new(struct api *api, struct probe **ret_probe, struct error *err);
void probe_free(struct probe *probe); /* waits for the connect in progress */

/* Connects and reads the facts, then calls `done` on the request's loop; facts are NULL when err says why not. The request ends as a
 * handler would. ERR_UNAVAILABLE when too many wait already. */
typedef enum status (*probe_done)(struct request *req, const struct clientdb_facts *facts, struct error *err);
MUST_CHECK enum status probe_connect(struct request *req, const char *connection_string, probe_done done, struct error *err);

#endif
