/* prepared.h - a sandbox for what is made of a snapshot's schema: one that was kept with it, or an empty one.
 *
 * It is found by owner and connection as well as by content, so two tenants never share one. */
#ifndef AUTODB_SCHEMA_PREPARED_H
#define AUTODB_SCHEMA_PREPARED_H

#include "sandbox/sandbox.h"
#include "worker/agent.h"
#include "worker/schema/snapshot.h"

/* dump: of the snapshot (store_dump). made_as: whatever else says what is made of it, its format's number included. fresh: what is kept has
 * proved damaged. *ret_note as sandbox_save got it, in the job's arena; NULL: the sandbox is empty. ERR_UNAVAILABLE: no server, no sandbox.
 */
MUST_CHECK enum status prepared_open(struct job *job, const struct snapshot *snapshot, const char *dump, const char *made_as, bool fresh,
                                     struct sandbox **ret_sandbox, const char **ret_note, struct error *err);

#endif
