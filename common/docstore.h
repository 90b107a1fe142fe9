/* docstore.h - the originals of documents, kept under the SHA-256 of their content (AUTODB_DOCUMENT_STORE).
 *
 * Content is stored once, whoever gave it, and never changes; whether it is still needed is for the database to say (docstore_sweep). Every
 * call blocks; a store may be used by many threads and processes at once. Keys are 64 lower-case hex digits.
 *
 * Failures: ERR_NOT_FOUND (no such content), ERR_INTERNAL with code ORIGINAL_DAMAGED (it is not what it was), ERR_UNAVAILABLE (the store
 * can't be reached, or is full). To add a kind of store: a driver (docstore_impl.h) and a row in docstore.c. */
#ifndef AUTODB_DOCSTORE_H
#define AUTODB_DOCSTORE_H

#include "common/buf.h"
#include "common/config.h"
#include "common/crypto.h"

struct docstore;

/* Touches nothing yet: a store that isn't there is a failure of the calls below. */
MUST_CHECK enum status docstore_new(const struct config *cfg, struct docstore **ret_store, struct error *err);
void docstore_free(struct docstore *store);
static inline void docstore_freep(struct docstore **store) {
  docstore_free(*store);
  *store = NULL;
}
#define DOCSTORE_AUTO __attribute__((cleanup(docstore_freep))) struct docstore

/* Stores a file whose content has that hash; on stable storage when it returns. The file itself may be gone then, and is the caller's to
 * remove where it isn't. Content that is there already is stored anew: this heals damage, and starts its grace period again. */
MUST_CHECK enum status docstore_put_file(struct docstore *store, const char *sha256, const char *path, struct error *err);
MUST_CHECK enum status docstore_put(struct docstore *store, const void *data, size_t len, char ret_sha256[SHA256_HEX], struct error *err);

/* Appends the content to `out`, whose maximum bounds it; checked against its hash. */
MUST_CHECK enum status docstore_get(struct docstore *store, const char *sha256, struct buf *out, struct error *err);
/* A descriptor to read the (checked) content from, at its beginning; the caller closes it. */
MUST_CHECK enum status docstore_open(struct docstore *store, const char *sha256, int *ret_fd, int64_t *ret_bytes, struct error *err);
MUST_CHECK enum status docstore_stat(struct docstore *store, const char *sha256, int64_t *ret_bytes, struct error *err);

/* Removes what is older than the grace period and not needed. `unused` is asked about LIMIT_SWEEP_BATCH keys at a time and marks those that
 * nothing refers to. */
typedef enum status (*docstore_unused)(void *arg, const char *const keys[], size_t count, bool ret_unused[], struct error *err);
MUST_CHECK enum status docstore_sweep(struct docstore *store, int grace_seconds, docstore_unused unused, void *arg, long *ret_removed,
                                      struct error *err);

#endif
