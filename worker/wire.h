/* wire.h - what the supervisor and a slot say to each other over their socketpair.
 *
 * A frame is a 4-byte big-endian body length, a type byte, the body. The slot answers every JOB with exactly one RESULT, ERROR or DROPPED,
 * in order, so no frame needs a number. Jobs may be written ahead; REVOKE takes back those before it that have not begun.
 *
 * The slot runs code that meets hostile input: what it sends is bounded and checked like a stranger's. */
#ifndef AUTODB_WIRE_H
#define AUTODB_WIRE_H

#include "common/buf.h"
#include "common/limits.h"

enum wire_type {
  WIRE_JOB = 'J',      /* down: wire_put_job */
  WIRE_REVOKE = 'V',   /* down: empty */
  WIRE_HELLO = 'H',    /* up: empty, once, when the slot can take jobs */
  WIRE_RESULT = 'R',   /* up: JSON */
  WIRE_ERROR = 'E',    /* up: '1' when a retry may help, else '0'; then {"code","message","details"}. '2': parked; then ms in digits */
  WIRE_DROPPED = 'D',  /* up: empty; a revoked job */
  WIRE_PROGRESS = 'P', /* up: JSON, about the job that runs */
};

#define WIRE_HEAD_BYTES 5
#define WIRE_JOB_BYTES (LIMIT_HTTP_BODY_PLAN + 64 * 1024) /* no payload is larger than the largest body */
#define WIRE_ANSWER_BYTES (LIMIT_RESULT_BYTES + 1)

struct wire_job { /* strings are borrowed; NULL travels as "" and comes back as NULL */
  const char *id, *kind, *owner_id, *connection_id, *trace;
  int attempt;
  const char *payload; /* JSON text, NUL-terminated */
  size_t payload_len;
};

bool wire_put(struct buf *out, enum wire_type type, const void *body, size_t len);
bool wire_put_job(struct buf *out, const struct wire_job *job);
/* Reads a JOB body; false when malformed. */
bool wire_get_job(const char *body, size_t len, struct wire_job *ret_job);
/* Reads a frame's head: 0 while it is incomplete, -1 when the body is longer than `max`, else 1. */
int wire_head(const char *bytes, size_t len, size_t max, enum wire_type *ret_type, size_t *ret_body_len);

#endif
