/* clone.h - a sandbox with a snapshot's schema and none of its rows: found prepared, or made, and kept for the next time. Rewrites are
 * tried on made-up rows in it, then the what-if server is made of it: one serves both, one after the other. */
#ifndef AUTODB_OPTIMIZER_CLONE_H
#define AUTODB_OPTIMIZER_CLONE_H

#include "sandbox/sandbox.h"
#include "worker/agent.h"
#include "worker/schema/snapshot.h"

struct clone {
  struct sandbox *sandbox; /* NULL: none is open */
  const char *snapshot_id; /* whose schema it has */
  const json_t *problems;  /* [{"statement", "sqlstate", "message"}]: what of it could not be made; in the job's arena */
};

/* fresh: the one that is kept has proved damaged. ERR_NOT_FOUND: there is no dump of the schema; ERR_UNAVAILABLE: no server, no sandbox. */
MUST_CHECK enum status clone_open(struct job *job, const struct snapshot *snapshot, bool fresh, struct clone *ret_clone, struct error *err);
void clone_close(struct clone *clone); /* none: fine */

#endif
