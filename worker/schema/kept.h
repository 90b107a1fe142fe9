/* kept.h - the snapshot this process read last, kept for the next job: parsing one costs more than most of what is done with it.
 *
 * A stored snapshot never changes, so its key - the row's id and the transaction that wrote the row - says all about its content. Whether
 * a job may see it is asked of the database each time (store.c); only the body is not read again. One is kept, of bounded size, whoever
 * owns it; jobs that still use one that was replaced hold it to their end. Nobody writes to a snapshot or its JSON. */
#ifndef AUTODB_KEPT_H
#define AUTODB_KEPT_H

#include <jansson.h>

#include "worker/schema/snapshot.h"

#define KEPT_KEY 64

/* What is kept under that key, until `arena` ends; NULL: something else, or nothing. */
MUST_CHECK struct snapshot *kept_take(const char *key, struct arena *arena);
/* The key of what is kept; "" for nothing. */
const char *kept_key(void);
/* Builds the model of `json`, takes the reference, and keeps both under that key, for `arena` and for jobs to come. A text of `bytes` too
 * many is built for this arena alone. */
MUST_CHECK enum status kept_load(const char *key, json_t *take_json, size_t bytes, struct arena *arena, struct snapshot **ret_snapshot,
                                 struct error *err);

/* What somebody makes of the kept snapshot, kept with it: a place that holds NULL at first, and the arena of what goes there. NULL: another
 * snapshot is kept, or none. */
void **kept_beside(const struct snapshot *snapshot, struct arena **ret_arena);

#endif
