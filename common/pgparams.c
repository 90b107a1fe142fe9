/* pgparams.c - the parameters of one query, packed into one buffer.
 *
 * Offsets, not pointers, since the buffer moves as it grows. While an array is open its row in `at` (one past `count`) holds its
 * start, its number of items and, as format, whether it has a NULL among them; ending it fills in the header and makes it a parameter. */
#include "common/pgloop.h"

#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>

#include "common/limits.h"

enum { FORMAT_TEXT = 0, FORMAT_BINARY = 1, ARRAY_OPEN = 2, ARRAY_OPEN_WITH_NULL = 3 };
enum { ARRAY_HEADER_EMPTY = 12 }; /* of 20 bytes: dimensions, null flag, element type; length and lower bound follow */

void pg_params_init(struct pg_params *params) {
  memset(params, 0, sizeof *params);
  buf_init(&params->store, LIMIT_PG_PARAMS_BYTES);
}

void pg_params_free(struct pg_params *params) {
  buf_free(&params->store);
  params->count = 0;
}

static void fail(struct pg_params *params) { params->store.failed = true; }

static void add(struct pg_params *params, const void *bytes, size_t len, int format) {
  if (params->count >= PG_PARAMS_MAX || len > INT_MAX) {
    fail(params);
    return;
  }
  long offset = bytes ? (long)params->store.len : -1;
  if (bytes) {
    buf_append(&params->store, bytes, len);
    buf_putc(&params->store, '\0'); /* libpq measures text by it */
  }
  params->at[params->count].offset = offset;
  params->at[params->count].len = (int)len;
  params->at[params->count].format = format;
  params->count++;
}

void pg_param_text(struct pg_params *params, const char *text) { add(params, text, text ? strlen(text) : 0, FORMAT_TEXT); }

void pg_param_textn(struct pg_params *params, const char *text, size_t len) {
  if (text && memchr(text, '\0', len)) {
    fail(params);
    return;
  }
  add(params, text, text ? len : 0, FORMAT_TEXT);
}

void pg_param_uuid(struct pg_params *params, const struct id *id) {
  add(params, id ? id->bytes : NULL, id ? sizeof id->bytes : 0, FORMAT_BINARY);
}

void pg_param_int(struct pg_params *params, int32_t value) {
  uint32_t wire = htonl((uint32_t)value);
  add(params, &wire, sizeof wire, FORMAT_BINARY);
}

void pg_param_bytes(struct pg_params *params, const void *data, size_t len) { add(params, data, data ? len : 0, FORMAT_BINARY); }

void pg_param_array_begin(struct pg_params *params, enum pg_elem type) {
  if (params->count >= PG_PARAMS_MAX) {
    fail(params);
    return;
  }
  params->at[params->count].offset = (long)params->store.len;
  params->at[params->count].len = 0;
  params->at[params->count].format = ARRAY_OPEN;
  buf_put_u32be(&params->store, 1);
  buf_put_u32be(&params->store, 0);
  buf_put_u32be(&params->store, type);
  buf_put_u32be(&params->store, 0);
  buf_put_u32be(&params->store, 1);
}

void pg_param_array_item(struct pg_params *params, const void *bytes, long len) {
  if (!buf_ok(&params->store)) return;
  assert(params->at[params->count].format >= ARRAY_OPEN);
  if (len > INT_MAX || params->at[params->count].len == INT_MAX) {
    fail(params);
    return;
  }
  params->at[params->count].len++;
  if (len < 0) params->at[params->count].format = ARRAY_OPEN_WITH_NULL;
  buf_put_u32be(&params->store, len < 0 ? UINT32_MAX : (uint32_t)len);
  if (len > 0) buf_append(&params->store, bytes, (size_t)len);
}

void pg_param_array_int(struct pg_params *params, int32_t value) {
  uint32_t wire = htonl((uint32_t)value);
  pg_param_array_item(params, &wire, sizeof wire);
}

static void put_at(struct pg_params *params, long offset, uint32_t value) {
  uint32_t wire = htonl(value);
  memcpy(params->store.data + offset, &wire, sizeof wire);
}

void pg_param_array_end(struct pg_params *params) {
  if (!buf_ok(&params->store)) return;
  long offset = params->at[params->count].offset;
  int items = params->at[params->count].len, open = params->at[params->count].format;
  assert(open >= ARRAY_OPEN);
  put_at(params, offset + 4, open == ARRAY_OPEN_WITH_NULL);
  put_at(params, offset + 12, (uint32_t)items);
  size_t len = params->store.len - (size_t)offset;
  if (items == 0) { /* an empty array has no dimension at all */
    put_at(params, offset, 0);
    len = ARRAY_HEADER_EMPTY;
  }
  if (len > INT_MAX) {
    fail(params);
    return;
  }
  params->at[params->count].len = (int)len;
  params->at[params->count].format = FORMAT_BINARY;
  params->count++;
}
