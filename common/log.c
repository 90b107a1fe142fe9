/* log.c - a line is built on the stack and leaves by one write(2), so lines of many processes on one pipe do not mix.
 *
 * A line that grows past 8 KiB loses the rest of the value that did not fit and what came after, and says so with "cut":true:
 * it is valid JSON whatever was passed in. errno survives a call. */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/utf8.h"

#define LINE_BYTES 8192
#define CLOSING "\",\"cut\":true}\n" /* the most that must still fit when a line is cut */
#define CONTEXT_MAX 8
#define RING_MAX 8

struct line {
  size_t len;
  bool cut;
  char data[LINE_BYTES];
};

static char proc[32] = "autodb";
static _Atomic int threshold = LOG_INFO;

static _Thread_local struct {
  char key[24];
  char value[128];
} context[CONTEXT_MAX];

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *process_name, enum log_level least) {
  snprintf(proc, sizeof proc, "%s", process_name);
  threshold = (int)least;
}

enum log_level log_level_parse(const char *text) {
  for (enum log_level level = LOG_DEBUG; level <= LOG_ERROR; level++)
    if (text && !strcmp(text, level_names[level])) return level;
  return LOG_INFO;
}

/* All of it or, when it does not fit, nothing more on this line. */
static bool put(struct line *line, const char *bytes, size_t len) {
  if (line->cut || line->len + len > LINE_BYTES - sizeof CLOSING) line->cut = true;
  if (line->cut) return false;
  memcpy(line->data + line->len, bytes, len);
  line->len += len;
  return true;
}

static void put_escaped(struct line *line, const char *text) {
  for (size_t at = 0, len = strlen(text), step; at < len; at += step) {
    char escape[8];
    uint8_t c = (uint8_t)text[at];
    step = utf8_char(text + at, len - at);
    bool fits;
    if (!step)
      fits = put(line, "\\ufffd", 6);
    else if (c < 0x20)
      fits = put(line, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
    else if (c == '"' || c == '\\')
      fits = put(line, (char[]){'\\', (char)c}, 2);
    else
      fits = put(line, text + at, step);
    if (!fits) return;
    if (!step) step = 1;
  }
}

/* ,"key":"value" - a key that does not fit is left out whole; a value is cut and its quote closed all the same. */
static void put_field(struct line *line, const char *key, const char *value) {
  char head[64];
  int len = snprintf(head, sizeof head, ",\"%s\":\"", key);
  if (!value || len < 0 || (size_t)len >= sizeof head || !put(line, head, (size_t)len)) return;
  put_escaped(line, value);
  line->data[line->len++] = '"'; /* CLOSING holds room for it */
}

static void finish(struct line *line) {
  const char *end = line->cut ? ",\"cut\":true}\n" : "}\n";
  size_t len = strlen(end);
  memcpy(line->data + line->len, end, len);
  line->len += len;
  ssize_t wrote;
  do wrote = write(STDERR_FILENO, line->data, line->len);
  while (wrote < 0 && errno == EINTR);
}

void log_event(enum log_level level, const char *message, ...) {
  if ((int)level < threshold) return;
  int saved = errno;
  struct line line; /* only data[0..len) is ever read */
  char ts[CLOCK_TEXT];
  line.cut = false;
  line.len = (size_t)snprintf(line.data, LINE_BYTES, "{\"ts\":\"%s\",\"level\":\"%s\",\"proc\":\"%s\",\"pid\":%d",
                              clock_format(clock_wall_ms(), ts), level_names[level], proc, (int)getpid());
  put_field(&line, "msg", message);
  for (int i = 0; i < CONTEXT_MAX; i++)
    if (context[i].key[0]) put_field(&line, context[i].key, context[i].value);
  va_list args;
  va_start(args, message);
  for (const char *key; (key = va_arg(args, const char *));) put_field(&line, key, va_arg(args, const char *));
  va_end(args);
  finish(&line);
  errno = saved;
}

void log_context(const char *key, const char *value) {
  int slot = -1;
  for (int i = CONTEXT_MAX - 1; i >= 0; i--) {
    if (!strcmp(context[i].key, key)) {
      slot = i;
      break;
    }
    if (!context[i].key[0]) slot = i;
  }
  if (slot < 0) return;
  snprintf(context[slot].key, sizeof context[slot].key, "%s", value ? key : "");
  snprintf(context[slot].value, sizeof context[slot].value, "%s", value ? value : "");
}

const char *log_fmt(const char *fmt, ...) {
  static _Thread_local char ring[RING_MAX][256];
  static _Thread_local unsigned next;
  char *out = ring[next++ % RING_MAX];
  va_list args;
  va_start(args, fmt);
  vsnprintf(out, sizeof ring[0], fmt, args);
  va_end(args);
  return out;
}
