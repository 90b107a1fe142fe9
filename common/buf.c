/* buf.c - the growing buffer; see buf.h for its contract.
 *
 * Room doubles, never past the maximum. There is always one byte more than len for the NUL, so max counts content only. */
#include "common/buf.h"

#include <stdarg.h>

#include "common/utf8.h"

#define FIRST_ROOM 64
#define JSON_DEPTH_MAX 2048 /* as jansson reads */

void buf_init(struct buf *buf, size_t max) { *buf = (struct buf){.max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4}; }

void buf_free(struct buf *buf) {
  free(buf->data);
  *buf = (struct buf){.max = buf->max};
}

static bool fail(struct buf *buf) {
  buf_free(buf);
  buf->failed = true;
  return false;
}

/* Makes room for `extra` more bytes and the NUL. */
static bool reserve(struct buf *buf, size_t extra) {
  if (buf->failed) return false;
  if (extra > buf->max - buf->len) return fail(buf);
  size_t need = buf->len + extra + 1, cap = buf->cap ? buf->cap : FIRST_ROOM;
  if (need <= buf->cap) return true;
  while (cap < need) cap *= 2;
  if (cap - 1 > buf->max) cap = buf->max + 1;
  char *data = realloc(buf->data, cap);
  if (!data) return fail(buf);
  if (!buf->data) data[0] = '\0';
  buf->data = data;
  buf->cap = cap;
  return true;
}

bool buf_append(struct buf *buf, const void *bytes, size_t len) {
  if (!reserve(buf, len)) return false;
  if (len) memcpy(buf->data + buf->len, bytes, len);
  buf->len += len;
  buf->data[buf->len] = '\0';
  return true;
}

bool buf_puts(struct buf *buf, const char *text) { return buf_append(buf, text, strlen(text)); }

bool buf_putc(struct buf *buf, char c) { return buf_append(buf, &c, 1); }

bool buf_printf(struct buf *buf, const char *fmt, ...) {
  va_list args, again;
  va_start(args, fmt);
  va_copy(again, args);
  size_t room = buf->data ? buf->cap - buf->len : 0;
  int len = vsnprintf(room ? buf->data + buf->len : NULL, room, fmt, args);
  bool ok = len < 0 ? fail(buf) : reserve(buf, (size_t)len);
  if (ok && (size_t)len >= room) vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
  if (ok) buf->len += (size_t)len;
  va_end(again);
  va_end(args);
  return ok;
}

bool buf_put_u32be(struct buf *buf, uint32_t value) {
  uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
  return buf_append(buf, bytes, sizeof bytes);
}

/* Appends the escape of the byte at text, which is a special character, a control character or not UTF-8. */
static bool put_escape(struct buf *buf, char c) {
  static const char special[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
  const char *found = c ? strchr(special, c) : NULL;
  if (found) return buf_append(buf, (char[]){'\\', names[found - special]}, 2);
  return (uint8_t)c < 0x20 ? buf_printf(buf, "\\u%04x", c) : buf_puts(buf, "\\ufffd");
}

static bool is_plain(uint8_t c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; }

bool buf_put_json_string(struct buf *buf, const char *text, size_t len) {
  buf_putc(buf, '"');
  size_t run = 0; /* plain characters from text + run go out together */
  for (size_t at = 0, step; at < len; at += step) {
    while (at < len && is_plain((uint8_t)text[at])) at++;
    if (at == len) break;
    step = (uint8_t)text[at] >= 0x80 ? utf8_char(text + at, len - at) : 0;
    if (step) continue;
    step = 1;
    buf_append(buf, text + run, at - run);
    if (!put_escape(buf, text[at])) return false;
    run = at + 1;
  }
  buf_append(buf, text + run, len - run);
  return buf_putc(buf, '"');
}

static int on_dump(const char *bytes, size_t len, void *arg) { return buf_append(arg, bytes, len) ? 0 : -1; }

/* jansson's own dump looks every container up in a table of its parents, printed as text: half the price of a report. What is dumped here
 * is a tree; a loop would end at the depth. */
static bool put_json(struct buf *buf, const json_t *value, int depth);

static bool put_object(struct buf *buf, const json_t *value, int depth) {
  const char *separator = "{", *key;
  json_t *member;
  json_object_foreach((json_t *)(uintptr_t)value, key, member) {
    buf_puts(buf, separator);
    buf_put_json_string(buf, key, strlen(key));
    if (!buf_putc(buf, ':') || !put_json(buf, member, depth + 1)) return false;
    separator = ",";
  }
  return buf_puts(buf, *separator == '{' ? "{}" : "}");
}

static bool put_array(struct buf *buf, const json_t *value, int depth) {
  for (size_t i = 0; i < json_array_size(value); i++) {
    buf_putc(buf, i ? ',' : '[');
    if (!put_json(buf, json_array_get(value, i), depth + 1)) return false;
  }
  return buf_puts(buf, json_array_size(value) ? "]" : "[]");
}

static bool put_json(struct buf *buf, const json_t *value, int depth) {
  if (!value || depth > JSON_DEPTH_MAX) return fail(buf);
  switch (json_typeof(value)) {
  case JSON_OBJECT: return put_object(buf, value, depth);
  case JSON_ARRAY: return put_array(buf, value, depth);
  case JSON_STRING: return buf_put_json_string(buf, json_string_value(value), json_string_length(value));
  case JSON_INTEGER: return buf_printf(buf, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  case JSON_TRUE: return buf_puts(buf, "true");
  case JSON_FALSE: return buf_puts(buf, "false");
  case JSON_NULL: return buf_puts(buf, "null");
  default: return json_dump_callback(value, on_dump, buf, JSON_COMPACT | JSON_ENCODE_ANY) == 0 || fail(buf); /* a real */
  }
}

bool buf_put_json(struct buf *buf, const json_t *value) { return put_json(buf, value, 0); }

void buf_cut(struct buf *buf, size_t len) {
  if (len >= buf->len) return;
  buf->len = len;
  buf->data[len] = '\0';
}

void buf_consume(struct buf *buf, size_t len) {
  if (!buf->data || !len) return;
  if (len > buf->len) len = buf->len;
  buf->len -= len;
  memmove(buf->data, buf->data + len, buf->len + 1);
}

void buf_reset(struct buf *buf) {
  buf->len = 0;
  buf->failed = false;
  if (buf->data) buf->data[0] = '\0';
}

const char *buf_str(const struct buf *buf) { return buf->data ? buf->data : ""; }

char *buf_take(struct buf *buf) {
  if (!reserve(buf, 0)) return NULL;
  char *data = buf->data;
  *buf = (struct buf){.max = buf->max};
  return data;
}
