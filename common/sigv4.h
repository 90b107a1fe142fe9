/* sigv4.h - AWS Signature Version 4 in headers, for every service.
 *
 * libcurl has a signer, but it refuses to send a path as it stands (CURLOPT_PATH_AS_IS): an object whose key holds "." or ".." as a segment
 * could not be asked for. So this one signs everything; tests/unit/test_sigv4.c holds it against AWS's own vectors. */
#ifndef AUTODB_SIGV4_H
#define AUTODB_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGV4_DATE 17 /* "20150830T123600Z" */
#define SIGV4_HEADERS 40

struct sigv4_header {
  const char *name, *value;
};
struct sigv4_request {
  const char *service, *region;
  const char *access_key, *secret_key;
  const char *method;
  const char *path;                   /* as sent: percent-encoded, beginning with '/' */
  const char *query;                  /* as sent, without '?'; "" for none */
  const struct sigv4_header *headers; /* that are signed: "host" and "x-amz-date" among them */
  size_t header_count;
  const char *payload_sha256; /* hex, or SIGV4_UNSIGNED */
  const char *date;           /* what x-amz-date says */
};

/* The value of the Authorization header. S3's paths are signed as they are sent, those of other services encoded once more; no path is
 * normalised. */
MUST_CHECK enum status sigv4_sign(const struct sigv4_request *request, struct arena *arena, const char **ret_authorization,
                                  struct error *err);
void sigv4_date(int64_t wall_ms, char out[SIGV4_DATE]);

struct buf;
/* Appends text percent-encoded as AWS wants it: all but letters, digits and "-._~", and the characters in `keep`. */
void sigv4_encode(struct buf *out, const char *text, size_t len, const char *keep);

#endif
