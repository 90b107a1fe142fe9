/* buf.h - a growing byte buffer that states its maximum at birth and frees itself when an append fails.
 *
 * After a failure the buffer is empty, `failed` stays set and every further append is a no-op, so a run of appends needs one
 * check at its end (buf_ok). Always NUL-terminated; may hold NULs. */
#ifndef AUTODB_BUF_H
#define AUTODB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct buf {
  char *data; /* never NULL after the first append; use buf_str */
  size_t len;
  size_t cap;
  size_t max; /* len never exceeds it */
  bool failed;
};

void buf_init(struct buf *buf, size_t max);
void buf_free(struct buf *buf); /* accepts a zeroed struct; leaves it ready for reuse with the same max */
#define BUF_AUTO __attribute__((cleanup(buf_free))) struct buf

bool buf_append(struct buf *buf, const void *bytes, size_t len);
bool buf_puts(struct buf *buf, const char *text);
bool buf_putc(struct buf *buf, char c);
bool buf_printf(struct buf *buf, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool buf_put_u32be(struct buf *buf, uint32_t value);
/* Appends `text` as a JSON string literal, quotes included. */
bool buf_put_json_string(struct buf *buf, const char *text, size_t len);
/* Appends the compact dump of `value`. */
bool buf_put_json(struct buf *buf, const json_t *value);
void buf_consume(struct buf *buf, size_t len); /* drops the first len bytes */
void buf_cut(struct buf *buf, size_t len);     /* keeps the first len bytes, when there are more */
void buf_reset(struct buf *buf);               /* keeps the memory, clears failed */

static inline bool buf_ok(const struct buf *buf) { return !buf->failed; }
const char *buf_str(const struct buf *buf); /* "" when empty */
char *buf_take(struct buf *buf);            /* caller frees; the buffer is empty afterwards; NULL when failed */

#endif
