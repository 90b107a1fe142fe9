/* sse.h - a strict reader of event streams over a raw socket: chunked framing and event syntax are checked byte for byte. */
#ifndef AUTODB_TESTS_SSE_H
#define AUTODB_TESTS_SSE_H

#include "tests/support/raw.h"

struct sse {
  int fd;
  int status; /* of the answer; 0: none came */
  char head[4096];
  char *wire, *text; /* received and not decoded; decoded and not read */
  size_t wire_len, text_len;
  int comments; /* heartbeats seen */
  long long retry_ms;
  bool ended; /* the last chunk came, and after it the connection closed */
};
struct sse_event {
  long long id;
  char type[16];
  json_t *data;
};

/* GET /jobs/{id}/events with the harness's key; last_id "" for none; what else the head holds in `extra` ("Name: value\r\n" lines). */
void sse_open(struct harness *h, const char *job_id, const char *last_id, const char *extra, struct sse *ret_sse);
/* The two halves of it, for many at once. */
void sse_request(struct harness *h, const char *job_id, const char *last_id, const char *extra, struct sse *ret_sse);
void sse_answer(struct sse *sse);
void sse_close(struct sse *sse);
#define SSE_AUTO __attribute__((cleanup(sse_close))) struct sse

/* The next event; false when the stream ended (sse->ended), broke or said nothing for that long, taken as POLL_UNTIL takes it. */
bool sse_next(struct sse *sse, int timeout_ms, struct sse_event *ret_event);
void sse_event_free(struct sse_event *event);
#define SSE_EVENT_AUTO __attribute__((cleanup(sse_event_free))) struct sse_event

#endif
