/* sse.h - Server-Sent Events out of a stream of bytes, as https://html.spec.whatwg.org/multipage/server-sent-events.html takes them apart.
 */
#ifndef AUTODB_SSE_H
#define AUTODB_SSE_H

#include "common/buf.h"

#define SSE_ID_BYTES 64

struct sse {
  void (*event)(void *arg, const char *type, const char *data);
  void *arg;
  char id[SSE_ID_BYTES]; /* of the last event that had one: what a reconnection begins with */
  struct buf line, data;
  char type[32], next_id[SSE_ID_BYTES];
  bool has_data, after_cr, overflow;
};

/* `max` bounds a line, and an event's data. */
void sse_init(struct sse *sse, size_t max, void (*event)(void *arg, const char *type, const char *data), void *arg);
void sse_free(struct sse *sse);
/* Forgets an unfinished event: a new connection begins. */
void sse_restart(struct sse *sse);
/* False when a bound is exceeded. Calls `event` for each event that is complete. */
bool sse_feed(struct sse *sse, const char *bytes, size_t len);

#endif
