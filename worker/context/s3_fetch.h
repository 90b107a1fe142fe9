/* s3_fetch.h - a list of objects, read by several threads at once, taken by one as they come. */
#ifndef AUTODB_CONTEXT_S3_FETCH_H
#define AUTODB_CONTEXT_S3_FETCH_H

#include "worker/context/s3_source.h"

struct s3_wanted {
  const char *key, *etag;
  int64_t bytes; /* as listed */
};
struct s3_fetched {
  size_t index;       /* of the wanted */
  enum status status; /* and code, message: why there is none */
  char code[48], message[1024];
  char etag[256]; /* of what was read: another than listed when the object was replaced meanwhile */
  struct buf content;
};

struct s3_fetch;
/* source and wanted are borrowed. region as s3_source_open. At most LIMIT_S3_FLIGHT_BYTES are held at once, or one object,
 * besides what the caller keeps. */
MUST_CHECK enum status s3_fetch_new(const struct s3_source *source, const char *region, const struct s3_wanted *wanted, size_t count,
                                    struct s3_fetch **ret_fetch, struct error *err);
/* Waits for the next; false when all have been taken. Its content is the caller's to free. */
bool s3_fetch_next(struct s3_fetch *fetch, struct s3_fetched *ret_fetched);
void s3_fetch_free(struct s3_fetch *fetch); /* what is under way is ended, within a try */
static inline void s3_fetch_freep(struct s3_fetch **fetch) {
  s3_fetch_free(*fetch);
  *fetch = NULL;
}
#define S3_FETCH_AUTO __attribute__((cleanup(s3_fetch_freep))) struct s3_fetch *

#endif
