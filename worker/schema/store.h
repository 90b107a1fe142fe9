/* store.h - snapshots in AutoDB's own database: read and written by the agents' slots. */
#ifndef AUTODB_STORE_H
#define AUTODB_STORE_H

#include "worker/agent.h"
#include "worker/schema/snapshot.h"

/* The latest snapshot of the job's connection (or the one named), with its model in the job's arena. ERR_NOT_FOUND (code
 * "NO_SNAPSHOT") when there is none. */
MUST_CHECK enum status store_latest(struct job *job, const char *snapshot_id, struct snapshot **ret_snapshot, struct error *err);
/* The latest snapshot; a connection never looked at is looked at now. */
MUST_CHECK enum status store_current(struct job *job, struct snapshot **ret_snapshot, struct error *err);
/* The schema dump of a snapshot, inflated into the arena. ERR_NOT_FOUND with the reason pg_dump gave when there is no dump. */
MUST_CHECK enum status store_dump(struct job *job, const char *snapshot_id, const char **ret_sql, struct error *err);
/* A dump as introspection made it (zlib), inflated into the arena. */
MUST_CHECK enum status store_inflate(const void *packed, size_t len, struct arena *arena, const char **ret_sql, struct error *err);
/* The job's connection string, decrypted into the arena; ERR_NOT_FOUND when the connection was deleted. */
MUST_CHECK enum status store_connection_string(struct job *job, const char **ret_string, char **ret_excluded_schemas_json,
                                               struct error *err);
/* Introspects the job's connection and stores a snapshot, each time: its statistics are new even when its fingerprint is not (ret_changed:
 * differs from the latest before). schemas_csv as in introspect_take. Used by schema.introspect and by analyses of connections never
 * introspected. */
MUST_CHECK enum status store_refresh(struct job *job, const char *schemas_csv, struct snapshot **ret_snapshot, bool *ret_changed,
                                     struct error *err);

#endif
