/* passages.h - which passages of a connection's documents a question is about. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_PASSAGES_H
#define AUTODB_RETRIEVAL_PASSAGES_H

#include "worker/retrieval/question.h"
#include "worker/retrieval/retrieval.h"

MUST_CHECK enum status passages_search(struct job *job, struct question *question, const struct retrieval_query *query,
                                       const struct retrieval_document **ret_documents, size_t *ret_count, struct error *err);

/* Name of the index over vectors of one connection and model, where it has one: "chunk_vectors_<connection>_<model>". */
#define PASSAGES_INDEX_NAME 64
void passages_index_name(const char *connection_id, int model, char out[PASSAGES_INDEX_NAME]);

#endif
