#include "worker/context/vector_rows.h"

#include "common/id.h"
#include "worker/embed/vector.h"

#define DIMS_MAX 4000 /* embedding_models */

enum status vector_rows_begin(struct copy *copy, PGconn *conn, struct error *err) {
  static const char sql[] = "COPY autodb.chunk_vectors (connection_id, model, chunk_id, document_id, embedding) FROM STDIN (FORMAT binary)";
  return copy_begin(copy, conn, sql, 5, err);
}

enum status vector_rows_put(const struct vector_rows *rows, struct copy *copy, struct error *err) {
  uint8_t half[HALFVEC_BYTES(DIMS_MAX)];
  struct id connection, document;
  int dims = rows->model->dims;
  if (dims > DIMS_MAX || !id_parse(rows->connection_id, &connection) || !id_parse(rows->document_id, &document))
    return error_set(err, ERR_INTERNAL, "vectors are too long, or of no document");
  enum status status = OK;
  for (size_t i = 0; i < rows->count && !status; i++) {
    halfvec_write(rows->vectors + i * (size_t)dims, dims, half);
    copy_row(copy);
    copy_bytes(copy, connection.bytes, sizeof connection.bytes);
    copy_int2(copy, rows->model->id);
    copy_bytes(copy, rows->ids[i], 16);
    copy_bytes(copy, document.bytes, sizeof document.bytes);
    copy_bytes(copy, half, HALFVEC_BYTES(dims));
    status = copy_flush(copy, false, err);
  }
  return status;
}
