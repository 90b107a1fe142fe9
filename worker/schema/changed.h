/* changed.h - what an introspection found changed, as webhooks are told (schema.changed). */
#ifndef AUTODB_SCHEMA_CHANGED_H
#define AUTODB_SCHEMA_CHANGED_H

#include "worker/agent.h"

/* The event's data as JSON text in the job's arena, for the snapshot about to be stored. NULL when there is nothing to tell: nobody
 * listens, it is the first, the schema is the same, or other schemas were looked at than before. */
MUST_CHECK enum status changed_data(struct job *job, const json_t *taken, const char **ret_data, struct error *err);

#endif
