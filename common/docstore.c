/* docstore.c - see docstore.h: keys, hashes and the sweep; where bytes lie is the drivers'. */
#include "common/docstore.h"

#include <errno.h>
#include <unistd.h>

#include "common/docstore_impl.h"
#include "common/limits.h"

#define PIECE (64 * 1024)

static const struct docstore_driver *const drivers[] = {&docstore_s3, &docstore_dir}; /* the one without a scheme last */

struct docstore {
  const struct docstore_driver *driver;
  void *self;
};

enum status docstore_new(const struct config *cfg, struct docstore **ret_store, struct error *err) {
  size_t kind = 0;
  while (strncmp(cfg->document_store, drivers[kind]->scheme, strlen(drivers[kind]->scheme)) != 0) kind++;
  if (!*drivers[kind]->scheme && strstr(cfg->document_store, "://"))
    return error_add_field(err, "AUTODB_DOCUMENT_STORE", "must be a directory, or s3://bucket/prefix");
  struct docstore *store = calloc(1, sizeof *store);
  if (!store) return error_oom(err);
  store->driver = drivers[kind];
  enum status status = store->driver->open(cfg, cfg->document_store + strlen(store->driver->scheme), &store->self, err);
  if (status != OK)
    free(store);
  else
    *ret_store = store;
  return status;
}

void docstore_free(struct docstore *store) {
  if (!store) return;
  store->driver->free(store->self);
  free(store);
}

/* Keys become paths: nothing else than a hash may. */
static enum status check_key(const char *key, struct error *err) {
  if (strlen(key) == DOCSTORE_KEY && strspn(key, "0123456789abcdef") == DOCSTORE_KEY) return OK;
  return error_set(err, ERR_INTERNAL, "An original is asked for by something that is no SHA-256.");
}

enum status docstore_put_file(struct docstore *store, const char *sha256, const char *path, struct error *err) {
  enum status status = check_key(sha256, err);
  return status == OK ? store->driver->put_file(store->self, sha256, path, err) : status;
}

enum status docstore_put(struct docstore *store, const void *data, size_t len, char ret_sha256[SHA256_HEX], struct error *err) {
  char key[SHA256_HEX];
  enum status status = store->driver->put(store->self, crypto_sha256_hex(data, len, key), data, len, err);
  if (status == OK) memcpy(ret_sha256, key, sizeof key);
  return status;
}

enum status docstore_stat(struct docstore *store, const char *sha256, int64_t *ret_bytes, struct error *err) {
  enum status status = check_key(sha256, err);
  return status == OK ? store->driver->stat(store->self, sha256, ret_bytes, err) : status;
}

/* --- reading, against the hash --- */

/* All of the descriptor, into `out` unless that is NULL. */
static enum status read_checked(int fd, const char *sha256, struct buf *out, struct error *err) {
  CRYPTO_HASH_AUTO *hash = crypto_hash_new();
  char piece[PIECE], key[SHA256_HEX];
  ssize_t got;
  if (!hash) return error_oom(err);
  while ((got = read(fd, piece, sizeof piece)) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_set(err, ERR_UNAVAILABLE, "An original can't be read: %s.", strerror(errno));
    crypto_hash_add(hash, piece, (size_t)got);
    if (out && !buf_append(out, piece, (size_t)got)) return error_oom(err);
  }
  if (strcmp(crypto_hash_hex(hash, key), sha256) == 0) return OK;
  return error_set_code(err, ERR_INTERNAL, "ORIGINAL_DAMAGED", "The stored original is not what was given; upload the document again.");
}

static enum status fetch(struct docstore *store, const char *sha256, int *ret_fd, int64_t *ret_bytes, struct error *err) {
  enum status status = check_key(sha256, err);
  return status == OK ? store->driver->fetch(store->self, sha256, ret_fd, ret_bytes, err) : status;
}

enum status docstore_get(struct docstore *store, const char *sha256, struct buf *out, struct error *err) {
  int fd;
  int64_t bytes;
  enum status status = fetch(store, sha256, &fd, &bytes, err);
  if (status != OK) return status;
  if (bytes > (int64_t)out->max)
    status = error_set(err, ERR_TOO_LARGE, "The original is larger than %zu bytes.", out->max);
  else
    status = read_checked(fd, sha256, out, err);
  close(fd);
  return status;
}

enum status docstore_open(struct docstore *store, const char *sha256, int *ret_fd, int64_t *ret_bytes, struct error *err) {
  int fd;
  int64_t bytes;
  enum status status = fetch(store, sha256, &fd, &bytes, err);
  if (status != OK) return status;
  status = read_checked(fd, sha256, NULL, err);
  if (status == OK && lseek(fd, 0, SEEK_SET) != 0)
    status = error_set(err, ERR_UNAVAILABLE, "An original can't be read: %s.", strerror(errno));
  if (status != OK) {
    close(fd);
    return status;
  }
  *ret_fd = fd;
  *ret_bytes = bytes;
  return OK;
}

/* --- the sweep --- */

struct sweeper {
  struct docstore *store;
  int grace_seconds;
  docstore_unused unused;
  void *arg;
  long removed;
  size_t count;
  char keys[LIMIT_SWEEP_BATCH][SHA256_HEX];
  const char *pointers[LIMIT_SWEEP_BATCH];
  bool marked[LIMIT_SWEEP_BATCH];
};

static enum status sweep_batch(struct sweeper *sweeper, struct error *err) {
  struct docstore *store = sweeper->store;
  memset(sweeper->marked, 0, sizeof sweeper->marked);
  enum status status = sweeper->count ? sweeper->unused(sweeper->arg, sweeper->pointers, sweeper->count, sweeper->marked, err) : OK;
  for (size_t i = 0; status == OK && i < sweeper->count; i++) {
    if (!sweeper->marked[i]) continue;
    status = store->driver->remove_old(store->self, sweeper->keys[i], sweeper->grace_seconds, err);
    if (status == OK) sweeper->removed++;
  }
  sweeper->count = 0;
  return status;
}

static enum status gather(void *arg, const char *key, struct error *err) {
  struct sweeper *sweeper = arg;
  if (key) {
    snprintf(sweeper->keys[sweeper->count], SHA256_HEX, "%s", key);
    sweeper->pointers[sweeper->count] = sweeper->keys[sweeper->count];
    sweeper->count++;
  }
  return key && sweeper->count < LIMIT_SWEEP_BATCH ? OK : sweep_batch(sweeper, err);
}

enum status docstore_sweep(struct docstore *store, int grace_seconds, docstore_unused unused, void *arg, long *ret_removed,
                           struct error *err) {
  struct sweeper *sweeper = calloc(1, sizeof *sweeper);
  if (!sweeper) return error_oom(err);
  *sweeper = (struct sweeper){.store = store, .grace_seconds = grace_seconds, .unused = unused, .arg = arg};
  enum status status = store->driver->list_old(store->self, grace_seconds, gather, sweeper, err);
  if (status == OK) *ret_removed = sweeper->removed;
  free(sweeper);
  return status;
}
