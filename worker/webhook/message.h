/* message.h - a delivery as Standard Webhooks 1.0 has it on the wire: id, time, body and signatures. */
#ifndef AUTODB_WEBHOOK_MESSAGE_H
#define AUTODB_WEBHOOK_MESSAGE_H

#include "common/arena.h"
#include "common/buf.h"

/* {"type": event, "timestamp": stamp, "data": data}; data is JSON. NULL when out of memory. */
char *message_body(struct arena *arena, const char *event, const char *stamp, const char *data);
/* Appends "v1,<base64 of HMAC-SHA256(key, id.timestamp.body)>", behind a space when something is there already. */
bool message_sign(struct buf *out, const void *key, size_t key_len, const char *id, const char *timestamp, const char *body);
/* The first `most` bytes of what a server sent, as text that Postgres takes: what is no UTF-8, and NUL, becomes "?". */
char *message_excerpt(struct arena *arena, const char *bytes, size_t len, size_t most);

#endif
