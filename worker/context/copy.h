/* copy.h - COPY … FROM STDIN in PostgreSQL's binary format: rows in, straight from memory. */
#ifndef AUTODB_CONTEXT_COPY_H
#define AUTODB_CONTEXT_COPY_H

#include <libpq-fe.h>

#include "common/buf.h"

struct copy {
  PGconn *conn;
  struct buf out;
  int columns;
  bool failed;
};

/* sql: "COPY autodb.t (a, b) FROM STDIN (FORMAT binary)". After any failure: copy_abort. */
MUST_CHECK enum status copy_begin(struct copy *copy, PGconn *conn, const char *sql, int columns, struct error *err);
void copy_row(struct copy *copy); /* then as many values as there are columns */
void copy_null(struct copy *copy);
void copy_bytes(struct copy *copy, const void *bytes, size_t len); /* text, uuid, halfvec, bytea: as they are in memory */
void copy_text(struct copy *copy, const char *text);               /* NULL: null */
void copy_int2(struct copy *copy, int value);
void copy_int4(struct copy *copy, int value);
void copy_int8(struct copy *copy, int64_t value);
void copy_bool(struct copy *copy, bool value);
void copy_int4_array(struct copy *copy, const int32_t *values, size_t count);
void copy_text_array(struct copy *copy, const char *const *values); /* NULL-terminated; NULL: null */
/* What was gathered goes out when it is much, or when `all`. */
MUST_CHECK enum status copy_flush(struct copy *copy, bool all, struct error *err);
MUST_CHECK enum status copy_end(struct copy *copy, struct error *err);
void copy_abort(struct copy *copy); /* accepts one that has ended */

#endif
