/* docstore_s3.c - originals in a bucket: s3://bucket[/prefix], an object <prefix>/ab/ab12… each. Encryption at rest is the bucket's.
 *
 * An object appears whole when its PUT is answered, so there is nothing to tidy after a crash. Clients have one owner at a time: idle ones
 * are kept, with their connections and the region they have learnt. AUTODB_S3_ENDPOINT is another server than AWS; credentials are the
 * process's own (common/aws.h).
 *
 * What is swept is looked at once more just before it is deleted; S3 can't do both at once, so an upload of the same content in the time of
 * that one request would lose its original, unless the bucket keeps versions. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/docstore_impl.h"
#include "common/limits.h"
#include "common/s3.h"

#define IDLE_CLIENTS 8
#define BUCKET_BYTES 64
#define PREFIX_BYTES 512
#define KEY_BYTES (PREFIX_BYTES + DOCSTORE_KEY + 8)
#define PAGE_BYTES ((size_t)64 << 20)
#define HEAD_BYTES ((size_t)1 << 20)

struct bucket {
  char name[BUCKET_BYTES], prefix[PREFIX_BYTES]; /* the prefix ends with a slash, or is empty */
  char endpoint[2048], region[64];
  pthread_mutex_t lock; /* over what follows, and region */
  struct s3 *idle[IDLE_CLIENTS];
  size_t idle_count;
};

/* --- clients --- */

static enum status new_client(struct bucket *bucket, struct s3 **ret_s3, struct error *err) {
  char region[sizeof bucket->region];
  pthread_mutex_lock(&bucket->lock);
  memcpy(region, bucket->region, sizeof region);
  pthread_mutex_unlock(&bucket->lock);
  const struct s3_options options = {.bucket = bucket->name, .endpoint = bucket->endpoint, .region = region};
  return s3_new(&options, ret_s3, err);
}

static enum status take_client(struct bucket *bucket, struct s3 **ret_s3, struct error *err) {
  struct s3 *s3 = NULL;
  pthread_mutex_lock(&bucket->lock);
  if (bucket->idle_count) s3 = bucket->idle[--bucket->idle_count];
  pthread_mutex_unlock(&bucket->lock);
  if (!s3) return new_client(bucket, ret_s3, err);
  *ret_s3 = s3;
  return OK;
}

static void give_client(struct bucket *bucket, struct s3 *s3) {
  pthread_mutex_lock(&bucket->lock);
  snprintf(bucket->region, sizeof bucket->region, "%s", s3_region(s3));
  bool kept = bucket->idle_count < IDLE_CLIENTS;
  if (kept) bucket->idle[bucket->idle_count++] = s3;
  pthread_mutex_unlock(&bucket->lock);
  if (!kept) s3_free(s3);
}

static void bucket_free(void *self) {
  struct bucket *bucket = self;
  for (size_t i = 0; i < bucket->idle_count; i++) s3_free(bucket->idle[i]);
  pthread_mutex_destroy(&bucket->lock);
  free(bucket);
}

/* --- names --- */

static void object_key(const struct bucket *bucket, const char *key, char out[KEY_BYTES]) {
  snprintf(out, KEY_BYTES, "%s%.2s/%s", bucket->prefix, key, key);
}

/* "bucket", "bucket/", "bucket/some/prefix" */
static bool read_place(struct bucket *bucket, const char *where) {
  size_t len = strcspn(where, "/");
  const char *prefix = where + len + strspn(where + len, "/");
  size_t prefix_len = strlen(prefix);
  while (prefix_len && prefix[prefix_len - 1] == '/') prefix_len--;
  if (!len || len >= sizeof bucket->name || prefix_len + 2 > sizeof bucket->prefix) return false;
  snprintf(bucket->name, sizeof bucket->name, "%.*s", (int)len, where);
  if (prefix_len) snprintf(bucket->prefix, sizeof bucket->prefix, "%.*s/", (int)prefix_len, prefix);
  return true;
}

/* A bucket's name that can't be one is found out here, not at the first upload. */
static enum status bucket_open(const struct config *cfg, const char *where, void **ret_self, struct error *err) {
  struct bucket *bucket = calloc(1, sizeof *bucket);
  S3_AUTO probe = NULL;
  if (!bucket) return error_oom(err);
  pthread_mutex_init(&bucket->lock, NULL);
  snprintf(bucket->endpoint, sizeof bucket->endpoint, "%s", cfg->s3_endpoint ? cfg->s3_endpoint : "");
  enum status status =
      read_place(bucket, where)
          ? new_client(bucket, &probe, err)
          : error_add_field(err, "AUTODB_DOCUMENT_STORE", "must be s3://bucket/prefix, the prefix of at most %d bytes", PREFIX_BYTES - 2);
  if (status)
    bucket_free(bucket);
  else
    *ret_self = bucket;
  return status;
}

/* What S3 says of a bucket that is not there, or not ours, is not about one original. */
static enum status told(enum status status, struct error *err) {
  if (status == OK || status == ERR_UNAVAILABLE) return status;
  if (status == ERR_NOT_FOUND && strcmp(err->code, "NO_SUCH_KEY") == 0) {
    error_clear(err);
    return error_set(err, ERR_NOT_FOUND, "The original is not in the document store.");
  }
  ERROR_AUTO said = {0};
  error_set_code(&said, status, err->code, "%s", err->message);
  error_clear(err);
  return error_set(err, ERR_UNAVAILABLE, "The document store can't be used: %s", said.message);
}

/* --- storing --- */

static enum status bucket_put(void *self, const char *key, const void *data, size_t len, struct error *err) {
  struct bucket *bucket = self;
  struct s3 *s3 = NULL;
  char name[KEY_BYTES];
  enum status status = take_client(bucket, &s3, err);
  if (status) return status;
  object_key(bucket, key, name);
  status = s3_put(s3, name, data, len, "application/octet-stream", err);
  give_client(bucket, s3);
  return told(status, err);
}

/* Mapped: documents are small, and are signed and sent from memory. */
static enum status bucket_put_file(void *self, const char *key, const char *path, struct error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  off_t len = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
  void *data = len > 0 ? mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
  int reason = errno;
  if (fd >= 0) close(fd);
  if (len < 0 || data == MAP_FAILED) return error_set(err, ERR_UNAVAILABLE, "An upload can't be read: %s.", strerror(reason));
  enum status status = bucket_put(self, key, len ? data : "", (size_t)len, err);
  if (data) munmap(data, (size_t)len);
  return status;
}

/* --- reading --- */

static bool is_old(const struct s3_object *object, int grace_seconds) {
  return object->modified_ms && object->modified_ms / 1000 + grace_seconds <= time(NULL);
}

/* What the bucket says of an object (ret_object's texts are gone), which is then, if it is old enough, removed; grace_seconds < 0: never.
 */
static enum status look(struct bucket *bucket, const char *key, int grace_seconds, struct s3_object *ret_object, struct error *err) {
  struct s3 *s3 = NULL;
  char name[KEY_BYTES];
  ARENA_AUTO arena = arena_new(HEAD_BYTES);
  enum status status = arena ? take_client(bucket, &s3, err) : error_oom(err);
  if (status) return status;
  object_key(bucket, key, name);
  status = s3_head(s3, name, arena, ret_object, err);
  if (!status && grace_seconds >= 0 && is_old(ret_object, grace_seconds)) status = s3_delete(s3, name, err);
  give_client(bucket, s3);
  return status;
}

static enum status bucket_stat(void *self, const char *key, int64_t *ret_bytes, struct error *err) {
  struct s3_object object = {0};
  enum status status = look(self, key, -1, &object, err);
  if (status == OK) *ret_bytes = object.bytes;
  return told(status, err);
}

/* Into a file without a name, in memory. */
static enum status bucket_fetch(void *self, const char *key, int *ret_fd, int64_t *ret_bytes, struct error *err) {
  struct bucket *bucket = self;
  struct s3 *s3 = NULL;
  char name[KEY_BYTES];
  int fd = memfd_create("autodb-original", MFD_CLOEXEC);
  if (fd < 0) return error_set(err, ERR_UNAVAILABLE, "An original can't be read: %s.", strerror(errno));
  enum status status = take_client(bucket, &s3, err);
  if (status == OK) {
    object_key(bucket, key, name);
    status = told(s3_get_fd(s3, name, NULL, fd, LIMIT_DOCUMENT_BYTES, ret_bytes, err), err);
    give_client(bucket, s3);
  }
  if (status == OK && lseek(fd, 0, SEEK_SET) != 0)
    status = error_set(err, ERR_UNAVAILABLE, "An original can't be read: %s.", strerror(errno));
  if (status == OK)
    *ret_fd = fd;
  else
    close(fd);
  return status;
}

/* --- sweeping --- */

/* The hash in "<prefix>ab/ab12…"; NULL for whatever else lies there. */
static const char *key_of(const struct bucket *bucket, const char *name) {
  size_t prefix = strlen(bucket->prefix);
  if (strncmp(name, bucket->prefix, prefix) != 0 || strlen(name) != prefix + 3 + DOCSTORE_KEY) return NULL;
  const char *key = name + prefix + 3;
  bool fits = name[prefix + 2] == '/' && strncmp(name + prefix, key, 2) == 0 && strspn(key, "0123456789abcdef") == DOCSTORE_KEY;
  return fits ? key : NULL;
}

static enum status each_old(const struct bucket *bucket, const struct s3_page *page, int grace_seconds, docstore_each each, void *arg,
                            struct error *err) {
  enum status status = OK;
  for (size_t i = 0; i < page->count && status == OK; i++) {
    const char *key = key_of(bucket, page->objects[i].key);
    if (key && is_old(&page->objects[i], grace_seconds)) status = each(arg, key, err);
  }
  return status;
}

static enum status bucket_list_old(void *self, int grace_seconds, docstore_each each, void *arg, struct error *err) {
  struct bucket *bucket = self;
  char after[S3_KEY_BYTES + 1] = "";
  struct s3 *s3 = NULL;
  enum status status = new_client(bucket, &s3, err); /* of its own: what is called takes others */
  for (bool more = true; more && status == OK;) {
    ARENA_AUTO arena = arena_new(PAGE_BYTES);
    struct s3_page page = {0};
    status = arena ? told(s3_list(s3, bucket->prefix, *after ? after : NULL, NULL, S3_PAGE, arena, &page, err), err) : error_oom(err);
    if (status == OK) status = each_old(bucket, &page, grace_seconds, each, arg, err);
    more = page.next && page.count;
    if (more) snprintf(after, sizeof after, "%s", page.objects[page.count - 1].key);
  }
  s3_free(s3);
  return status == OK ? each(arg, NULL, err) : status;
}

static enum status bucket_remove_old(void *self, const char *key, int grace_seconds, struct error *err) {
  struct s3_object object = {0};
  enum status status = look(self, key, grace_seconds, &object, err);
  if (status == ERR_NOT_FOUND && strcmp(err->code, "NO_SUCH_KEY") == 0) {
    error_clear(err);
    return OK;
  }
  return told(status, err);
}

const struct docstore_driver docstore_s3 = {.scheme = "s3://",
                                            .open = bucket_open,
                                            .free = bucket_free,
                                            .put_file = bucket_put_file,
                                            .put = bucket_put,
                                            .fetch = bucket_fetch,
                                            .stat = bucket_stat,
                                            .list_old = bucket_list_old,
                                            .remove_old = bucket_remove_old};
