/* docstore_impl.h - what a kind of store is made of. Keys have been checked; nothing here hashes. */
#ifndef AUTODB_DOCSTORE_IMPL_H
#define AUTODB_DOCSTORE_IMPL_H

#include "common/docstore.h"

#define DOCSTORE_KEY (SHA256_HEX - 1)

/* Called for each original older than the grace period, and with NULL at the end; what it returns ends the listing unless OK. */
typedef enum status (*docstore_each)(void *arg, const char *key, struct error *err);

struct docstore_driver {
  const char *scheme;                                                                                   /* "s3://"; "" of directories */
  enum status (*open)(const struct config *cfg, const char *where, void **ret_self, struct error *err); /* `where`: after the scheme */
  void (*free)(void *self);
  enum status (*put_file)(void *self, const char *key, const char *path, struct error *err);
  enum status (*put)(void *self, const char *key, const void *data, size_t len, struct error *err);
  enum status (*fetch)(void *self, const char *key, int *ret_fd, int64_t *ret_bytes,
                       struct error *err); /* a descriptor, at its beginning */
  enum status (*stat)(void *self, const char *key, int64_t *ret_bytes, struct error *err);
  enum status (*list_old)(void *self, int grace_seconds, docstore_each each, void *arg, struct error *err);
  enum status (*remove_old)(void *self, const char *key, int grace_seconds, struct error *err); /* unless it is young again */
};

extern const struct docstore_driver docstore_s3, docstore_dir;

#endif
