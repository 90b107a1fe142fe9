/* id.h - UUIDv7 (RFC 9562 section 5.7) and W3C trace contexts.
 *
 * The first 48 bits are the millisecond, so ids sort by creation and tables partition on them. Within one thread ids made in
 * the same millisecond ascend (the 12 bits of rand_a count up, RFC 9562 section 6.2 method 1). */
#ifndef AUTODB_ID_H
#define AUTODB_ID_H

#include <stdbool.h>
#include <stdint.h>

#define ID_TEXT 37

struct id {
  uint8_t bytes[16];
};

void id_new(struct id *ret_id);
char *id_format(const struct id *id, char out[ID_TEXT]); /* canonical lower case; returns out */
/* Canonical 8-4-4-4-12 text only (either case). */
bool id_parse(const char *text, struct id *ret_id);
int64_t id_time_ms(const struct id *id);

#define TRACE_TEXT 56
/* A version-00 traceparent with our own span id: continues `incoming` when that is valid, else starts a new trace. */
char *trace_child(const char *incoming, char out[TRACE_TEXT]);
#define TRACE_ID_TEXT 33
/* The trace-id of a valid traceparent, for logs; "" of anything else (NULL included). Returns out. */
char *trace_id_of(const char *traceparent, char out[TRACE_ID_TEXT]);

#endif
