/* log.h - one JSON object per line on standard error.
 *
 *   {"ts":"2026-01-02T03:04:05.678Z","level":"info","proc":"api","pid":7,"msg":"…","job":"…", …}
 *
 * Log once, where the decision is made; library code (common/) stays at debug. Values are escaped, a line is written by one
 * write(2) and cut at 8 KiB. Passwords, keys and connection strings are never passed in. Thread-safe. */
#ifndef AUTODB_LOG_H
#define AUTODB_LOG_H

#include "error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_init(const char *process_name, enum log_level least);
enum log_level log_level_parse(const char *text); /* "debug", "info", "warn", "error"; anything else is info */

/* key/value pairs ending with NULL, all strings; a NULL value leaves its key out:
 *   log_event(LOG_WARN, "lease lost", "job", id, "owner", owner, NULL); */
void log_event(enum log_level level, const char *message, ...) __attribute__((sentinel));

/* A field common to what this thread logs from now on (the slot sets "job", "attempt" and "trace_id"); NULL value clears it. At most 8. */
void log_context(const char *key, const char *value);

/* A printf into a small per-thread ring, for values: log_event(..., "ms", log_fmt("%d", ms), NULL). Eight may be live. */
const char *log_fmt(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
