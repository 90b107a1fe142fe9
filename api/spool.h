/* spool.h - files that are still arriving: a directory of this process's own below AUTODB_SPOOL_DIR.
 *
 * Writing goes to the page cache and is never waited for here; what is to last is synced by the document store. A process holds a lock in
 * its directory while it lives, so what dead ones left is known as theirs and removed when the next one starts. */
#ifndef AUTODB_API_SPOOL_H
#define AUTODB_API_SPOOL_H

#include "common/crypto.h"
#include "common/error.h"
#include "common/id.h"

#define SPOOL_PARENT 1040 /* more than the setting may have */
#define SPOOL_DIR (SPOOL_PARENT + ID_TEXT)
#define SPOOL_PATH (SPOOL_DIR + ID_TEXT)

struct spool;
/* NULL when out of memory. A directory that can't be made is logged, tried again by each file, and fails that: the rest of the API serves.
 */
struct spool *spool_new(const char *dir);
void spool_free(struct spool *spool); /* with its directory */

/* How many uploads are arriving: an owner's and everybody's are bounded. ERR_UNAVAILABLE or ERR_RATE_LIMITED beyond. */
MUST_CHECK enum status spool_enter(struct spool *spool, const struct id *owner_id, struct error *err);
void spool_leave(struct spool *spool, const struct id *owner_id);

struct spool_file { /* zeroed: none */
  struct spool *spool;
  char name[ID_TEXT];
  int64_t bytes;
  char sha256[SHA256_HEX];  /* set by spool_close */
  int fd;                   /* private */
  struct crypto_hash *hash; /* private: NULL once it is closed */
};
MUST_CHECK enum status spool_create(struct spool *spool, struct spool_file *ret_file, struct error *err);
MUST_CHECK enum status spool_write(struct spool_file *file, const void *data, size_t len, struct error *err);
void spool_close(struct spool_file *file);  /* whole: hashed */
void spool_remove(struct spool_file *file); /* whatever its state */
char *spool_path(const struct spool_file *file, char out[SPOOL_PATH]);

#endif
