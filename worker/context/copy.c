/* copy.c - see copy.h. The format is in PostgreSQL's manual, under COPY; integers are big-endian. */
#include "worker/context/copy.h"

#include "common/pg.h"

#define FLUSH_BYTES (256 * 1024)
#define COPY_BYTES ((size_t)64 << 20) /* gathered at most: a row is far smaller */
#define INT4_OID 23
#define TEXT_OID 25

static void put16(struct buf *out, int value) { buf_append(out, (const uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2); }

static void put32(struct buf *out, int64_t value) { buf_put_u32be(out, (uint32_t)value); }

enum status copy_begin(struct copy *copy, PGconn *conn, const char *sql, int columns, struct error *err) {
  *copy = (struct copy){.conn = conn, .columns = columns};
  buf_init(&copy->out, COPY_BYTES);
  PGRESULT_AUTO res = PQexec(conn, sql);
  if (PQresultStatus(res) != PGRES_COPY_IN) return pg_error(conn, res, err);
  buf_append(&copy->out, "PGCOPY\n\377\r\n\0", 11);
  put32(&copy->out, 0);
  put32(&copy->out, 0);
  return OK;
}

void copy_row(struct copy *copy) { put16(&copy->out, copy->columns); }
void copy_null(struct copy *copy) { put32(&copy->out, -1); }

void copy_bytes(struct copy *copy, const void *bytes, size_t len) {
  put32(&copy->out, (int64_t)len);
  buf_append(&copy->out, bytes, len);
}

void copy_text(struct copy *copy, const char *text) {
  if (text)
    copy_bytes(copy, text, strlen(text));
  else
    copy_null(copy);
}

void copy_int2(struct copy *copy, int value) {
  put32(&copy->out, 2);
  put16(&copy->out, value);
}

void copy_int4(struct copy *copy, int value) {
  put32(&copy->out, 4);
  put32(&copy->out, value);
}

void copy_int8(struct copy *copy, int64_t value) {
  put32(&copy->out, 8);
  put32(&copy->out, value >> 32);
  put32(&copy->out, value);
}

void copy_bool(struct copy *copy, bool value) {
  put32(&copy->out, 1);
  buf_putc(&copy->out, value ? 1 : 0);
}

/* Dimensions, no nulls, type; then length and lower bound of the one dimension. */
static void put_array_head(struct copy *copy, size_t bytes, int oid, size_t count) {
  put32(&copy->out, (int64_t)(count ? 20 + bytes : 12));
  put32(&copy->out, count ? 1 : 0);
  put32(&copy->out, 0);
  put32(&copy->out, oid);
  if (!count) return;
  put32(&copy->out, (int64_t)count);
  put32(&copy->out, 1);
}

void copy_int4_array(struct copy *copy, const int32_t *values, size_t count) {
  put_array_head(copy, 8 * count, INT4_OID, count);
  for (size_t i = 0; i < count; i++) copy_int4(copy, values[i]);
}

void copy_text_array(struct copy *copy, const char *const *values) {
  size_t count = 0, bytes = 0;
  if (!values) {
    copy_null(copy);
    return;
  }
  for (; values[count]; count++) bytes += 4 + strlen(values[count]);
  put_array_head(copy, bytes, TEXT_OID, count);
  for (size_t i = 0; i < count; i++) copy_text(copy, values[i]);
}

enum status copy_flush(struct copy *copy, bool all, struct error *err) {
  if (!buf_ok(&copy->out)) return error_oom(err);
  if (!copy->out.len || (!all && copy->out.len < FLUSH_BYTES)) return OK;
  if (PQputCopyData(copy->conn, copy->out.data, (int)copy->out.len) != 1) return pg_error(copy->conn, NULL, err);
  buf_reset(&copy->out);
  return OK;
}

enum status copy_end(struct copy *copy, struct error *err) {
  put16(&copy->out, -1);
  enum status status = copy_flush(copy, true, err);
  if (status) return status;
  buf_free(&copy->out);
  if (PQputCopyEnd(copy->conn, NULL) != 1) return pg_error(copy->conn, NULL, err);
  for (PGresult *res; (res = PQgetResult(copy->conn));) {
    if (!status && PQresultStatus(res) != PGRES_COMMAND_OK) status = pg_error(copy->conn, res, err);
    PQclear(res);
  }
  return status;
}

void copy_abort(struct copy *copy) {
  buf_free(&copy->out);
  if (!copy->conn || PQtransactionStatus(copy->conn) != PQTRANS_ACTIVE) return;
  if (PQputCopyEnd(copy->conn, "given up") != 1) return; /* the connection is lost, or no COPY goes on */
  for (PGresult *res; (res = PQgetResult(copy->conn));) PQclear(res);
}
