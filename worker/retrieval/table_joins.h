/* table_joins.h - what joins the tables that were found. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_JOINS_H
#define AUTODB_RETRIEVAL_TABLE_JOINS_H

#include "worker/retrieval/rank.h"
#include "worker/retrieval/table_keys.h"

/* The *count best tables, at most `most`, with those between them that a query over them needs: score 0, each before the one it joins.
 * NULL: out of memory. */
struct ranked *table_joins(const struct snapshot *snapshot, const struct table_keys *keys, const struct ranked *found, size_t most,
                           struct arena *arena, size_t *count);

#endif
