/* vector_index.h - connections with very many passages get an index over their vectors alone; all others are scanned, which is exact. */
#ifndef AUTODB_CONTEXT_VECTOR_INDEX_H
#define AUTODB_CONTEXT_VECTOR_INDEX_H

#include "worker/agent.h"
#include "worker/embed/embed.h"

/* Makes the index of the job's connection when it has more than LIMIT_SCANNED_PASSAGES and none yet, drops it when it has far fewer. At the
 * end of whatever added or removed many; not inside a transaction. Searches go on meanwhile. */
MUST_CHECK enum status vector_index_tend(struct job *job, const struct embed_model *model, struct error *err);

#endif
