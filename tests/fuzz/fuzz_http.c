/* Bytes of a connection, fed in two pieces cut where the first byte says: the answer may not depend on the cut. */
#include "api/http.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How a head and its body came out: length of the head, bytes of the body, status. */
struct outcome {
  size_t head, body;
  enum status status;
};

static struct outcome run(const uint8_t *data, size_t size, size_t cut) {
  struct outcome out = {0};
  struct http http;
  ERROR_AUTO err = {0};
  http_init(&http);
  http_reset(&http);
  char *bytes = malloc(size + 1);
  if (!bytes) abort();
  memcpy(bytes, data, size);
  out.status = http_scan(&http, bytes, cut, &out.head, &err);
  if (out.status == OK && !out.head) out.status = http_scan(&http, bytes, size, &out.head, &err);
  if (out.status == OK && out.head) out.status = http_parse_head(&http, bytes, out.head, &err);
  bool done = out.status != OK || !out.head || !http_has_body(&http);
  for (size_t at = out.head; !done && out.status == OK && at < size;) {
    size_t used = 0, end = at < cut ? cut : size;
    out.status = http_feed_body(&http, bytes + at, end - at, 4096, &used, &done, &err);
    if (out.status == OK && !done && at + used < end) abort(); /* bytes of an unfinished body may not be left lying */
    at += used;
  }
  out.body = http.body.len;
  http_free(&http);
  free(bytes);
  return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > 20000) return 0;
  size_t cut = data[0] * (size - 1) / 256;
  struct outcome whole = run(data + 1, size - 1, size - 1), parts = run(data + 1, size - 1, cut);
  if ((whole.status == OK) != (parts.status == OK)) abort();
  if (whole.status == OK && (whole.head != parts.head || whole.body != parts.body)) abort();
  return 0;
}
