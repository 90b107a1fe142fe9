/* http.h - one HTTP/1.x request off the wire, strictly.
 *
 * Pure: bytes in, a parsed head and a body out, no sockets. A proxy in front of us must never see other message boundaries than
 * we do, so everything two parsers could read differently is refused (ERR_MALFORMED, and the connection closes): both
 * Content-Length and Transfer-Encoding, duplicate or non-digit lengths, codings other than "chunked", obs-fold, NUL, bare CR or
 * LF, space before the colon, no or two Hosts. llhttp (strict) is the parser; the checks before it are ours. */
#ifndef AUTODB_API_HTTP_H
#define AUTODB_API_HTTP_H

#include <llhttp.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "common/error.h"
#include "common/limits.h"

struct http_header {
  const char *name, *value; /* NUL-terminated; value trimmed */
};

struct http {
  uint8_t method; /* llhttp's HTTP_GET, … */
  uint8_t minor;  /* HTTP/1.minor */
  bool keep_alive, chunked, expect_continue, bad_expectation;
  int64_t content_length;   /* -1 when there is none */
  const char *path, *query; /* query NULL when there is no '?' */
  struct http_header headers[LIMIT_HTTP_HEADERS];
  size_t header_count;
  struct buf body; /* what of it has arrived, less what was taken off by http_drop_body */
  /* private */
  size_t scanned, line_start, framing_bytes, dropped;
  const char *target, *field, *value;
  size_t field_len, value_len;
  bool body_done;
  llhttp_t parser;
};

void http_init(struct http *http);
void http_free(struct http *http);
void http_reset(struct http *http); /* before each request of a connection; keeps a small body buffer */

/* Looks for the end of a head in the bytes so far (call again with more; only new bytes are looked at). ret_len is the head's
 * length with its blank line, 0 while incomplete. What can't become a valid head is refused at once. */
MUST_CHECK enum status http_scan(struct http *http, const char *data, size_t len, size_t *ret_len, struct error *err);

/* Parses a whole head, as http_scan measured it. `head` is written to and must live as long as the request. */
MUST_CHECK enum status http_parse_head(struct http *http, char *head, size_t len, struct error *err);

/* NULL when absent. Names in lower case. Repeated headers: the first. */
const char *http_header(const struct http *http, const char *name);
static inline bool http_has_body(const struct http *http) { return http->chunked || http->content_length > 0; }

/* Takes body bytes; ret_used of them belonged to this request. More than `cap` bytes of content is ERR_TOO_LARGE. */
MUST_CHECK enum status http_feed_body(struct http *http, const char *data, size_t len, size_t cap, size_t *ret_used, bool *ret_done,
                                      struct error *err);

/* Forgets the body bytes that are there: for bodies that are used as they arrive. They go on counting. */
void http_drop_body(struct http *http);
/* Of the content, without framing. */
static inline size_t http_body_received(const struct http *http) { return http->dropped + http->body.len; }

const char *http_status_text(int status);

#endif
