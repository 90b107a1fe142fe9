/* s3.h - objects of one bucket, on AWS or on a server that speaks as S3 does. Blocking; over webcall.
 *
 * Keys are bytes: none is reserved, none is normalised. Every call is tried again, with growing pauses, while the service says that it may
 * help (503 SlowDown, 429, 5xx, a connection that broke, an answer cut short); it follows the bucket to its region, its clock's difference
 * from ours, and newer credentials when the service calls those it was given expired.
 *
 * Failures: ERR_NOT_FOUND ("NO_SUCH_KEY", "NO_SUCH_BUCKET"), ERR_CONFLICT ("CHANGED": if_match doesn't), ERR_FORBIDDEN ("ACCESS_DENIED",
 * with the service's code), ERR_TOO_LARGE (more than the caller's bound), ERR_VALIDATION (refused by the service or by us), ERR_UNAVAILABLE
 * after the last try. ETags are opaque: of objects in parts, or encrypted by KMS, they are no hash. */
#ifndef AUTODB_S3_H
#define AUTODB_S3_H

#include <stdint.h>

#include "aws.h"
#include "buf.h"

#define S3_KEY_BYTES 1024
#define S3_PAGE 1000 /* keys that one answer lists, at most */

struct s3;

struct s3_options { /* strings are copied, identity and policy borrowed */
  const char *bucket;
  const char *endpoint; /* "http://127.0.0.1:9000", path style; NULL or "": AWS, by the bucket's own host name */
  const char *region;   /* NULL or "": AWS_REGION, else us-east-1 */
  bool requester_pays;
  const struct aws_identity *identity; /* NULL: the process itself */
  const struct netpolicy *policy;      /* of the addresses; NULL: any, for an endpoint the operator named */
};
/* ERR_VALIDATION when bucket, endpoint or region can't be one. One owner at a time; nothing is asked yet. */
MUST_CHECK enum status s3_new(const struct s3_options *options, struct s3 **ret_s3, struct error *err);
void s3_free(struct s3 *s3);
static inline void s3_freep(struct s3 **s3) {
  s3_free(*s3);
  *s3 = NULL;
}
#define S3_AUTO __attribute__((cleanup(s3_freep))) struct s3 *
const char *s3_region(const struct s3 *s3); /* as the service has told us, once it has */
/* Polled between tries: true ends the call with ERR_UNAVAILABLE. */
void s3_stop_when(struct s3 *s3, bool (*stopped)(void *arg), void *arg);

struct s3_object {
  const char *key; /* NUL-terminated; a key that holds a NUL is cut there, and key_len says so */
  size_t key_len;
  const char *etag; /* with its quotes */
  int64_t bytes;
  int64_t modified_ms; /* wall clock; 0 when unknown */
};

struct s3_page {
  const struct s3_object *objects;
  size_t count;
  const char *next; /* NULL: this was the last page */
};
/* The page after `token` (`next` of the one before; NULL: the first), of keys that begin with the prefix and come after `start_after`
 * (NULL: all); at most max_keys of them. */
MUST_CHECK enum status s3_list(struct s3 *s3, const char *prefix, const char *start_after, const char *token, int max_keys,
                               struct arena *arena, struct s3_page *ret_page, struct error *err);

/* Appends the content to `out`, whose maximum bounds it. if_match: the ETag it must still have, or NULL. */
MUST_CHECK enum status s3_get(struct s3 *s3, const char *key, const char *if_match, struct buf *out, struct error *err);
/* The same into a file, at most max_bytes; on a failure the file is as long as it was. */
MUST_CHECK enum status s3_get_fd(struct s3 *s3, const char *key, const char *if_match, int fd, int64_t max_bytes, int64_t *ret_bytes,
                                 struct error *err);
/* ret_object's strings live as long as the arena. */
MUST_CHECK enum status s3_head(struct s3 *s3, const char *key, struct arena *arena, struct s3_object *ret_object, struct error *err);
MUST_CHECK enum status s3_put(struct s3 *s3, const char *key, const void *data, size_t len, const char *content_type, struct error *err);
MUST_CHECK enum status s3_delete(struct s3 *s3, const char *key, struct error *err); /* OK as well when there is no such object */

#endif
