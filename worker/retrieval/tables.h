/* tables.h - which tables of a snapshot a question is about. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLES_H
#define AUTODB_RETRIEVAL_TABLES_H

#include "worker/retrieval/question.h"
#include "worker/retrieval/retrieval.h"

struct table_index; /* of one snapshot and model; holds no pointers into either */

/* Vectors of texts not seen before are asked for; when that fails the index has none and is good for words. */
MUST_CHECK enum status table_index_new(const struct snapshot *snapshot, struct embedder *embedder, struct table_index **ret_index,
                                       struct error *err);
void table_index_free(struct table_index *index);
size_t table_index_bytes(const struct table_index *index);
bool table_index_has_vectors(const struct table_index *index);

/* At most `most`, best first, closed over foreign keys. */
MUST_CHECK enum status tables_search(const struct table_index *index, const struct snapshot *snapshot, struct question *question,
                                     size_t most, struct arena *arena, const struct retrieval_table **ret_tables, size_t *ret_count,
                                     struct error *err);

#endif
