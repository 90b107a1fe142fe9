/* vector_rows.h - rows of autodb.chunk_vectors by binary COPY. */
#ifndef AUTODB_CONTEXT_VECTOR_ROWS_H
#define AUTODB_CONTEXT_VECTOR_ROWS_H

#include "worker/context/copy.h"
#include "worker/embed/embed.h"

struct vector_rows { /* of one document */
  const char *connection_id, *document_id;
  const struct embed_model *model;
  const uint8_t *const *ids; /* of the chunks, 16 bytes each */
  const float *vectors;      /* model->dims each, one after the other */
  size_t count;
};
/* As copy_begin; then any number of documents, and copy_end. */
MUST_CHECK enum status vector_rows_begin(struct copy *copy, PGconn *conn, struct error *err);
MUST_CHECK enum status vector_rows_put(const struct vector_rows *rows, struct copy *copy, struct error *err);

#endif
