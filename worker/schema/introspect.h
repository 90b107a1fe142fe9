/* introspect.h - schema.introspect: what a client database looks like, at one instant.
 *
 * The snapshot's JSON is the answer of GET /connections/{id}/schema (contract section 3). Beyond the contract: every object has its owner,
 * comment, privileges (as aclitem text) and definition where PostgreSQL can print one; columns have "stats"; tables "activity"; views
 * "depends_on" with the columns they read; top level "database", "settings", "roles", "publications", "event_triggers", "warnings". */
#ifndef AUTODB_INTROSPECT_H
#define AUTODB_INTROSPECT_H

#include "common/clientdb.h"
#include "worker/agent.h"

struct introspection {
  json_t *json;     /* owned by the job's arena; no "snapshot_id" yet */
  const void *dump; /* zlib, in the job's arena; NULL when there is none */
  size_t dump_len;
  const char *dump_error; /* why not; NULL when there is one */
  const char *dump_note;  /* why it isn't pg_dump's; else NULL */
  struct clientdb_facts facts;
};

/* Connects to the job's client database and reads it; stores nothing. schemas_csv: only these ("a,b"), NULL = all that are not excluded.
 * Starts over when the schema changes underneath, a few times, then ERR_UNAVAILABLE. */
MUST_CHECK enum status introspect_take(struct job *job, const char *schemas_csv, struct introspection *ret_taken, struct error *err);

/* The same of a connection that is open and not in a transaction, and no matter of AutoDB's own database: of the job only arena and
 * deadline are used. excluded_json: array of schema names. dump false: the catalogs alone. */
MUST_CHECK enum status introspect_read(struct job *job, PGconn *conn, const char *excluded_json, const char *schemas_csv, bool dump,
                                       struct introspection *ret_taken, struct error *err);

/* The job: payload {"schemas": "a,b" or ["a","b"]}, optional. */
enum status introspect_run(struct job *job, json_t **ret_result, struct error *err);

#endif
