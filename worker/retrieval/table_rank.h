/* table_rank.h - the order of a snapshot's tables by a question. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_RANK_H
#define AUTODB_RETRIEVAL_TABLE_RANK_H

#include "worker/retrieval/question.h"
#include "worker/retrieval/rank.h"
#include "worker/retrieval/tables.h"

/* At most `most`, items being indexes of the snapshot's tables, best first; scores above 0. NULL: out of memory. */
struct ranked *table_rank(const struct table_index *index, const struct snapshot *snapshot, struct question *question, size_t most,
                          struct arena *arena, size_t *ret_count);

#endif
