/* spool.c - see spool.h. */
#include "api/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/files.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/metrics.h"

#define LOCK_NAME "lock"

static struct metric arriving = METRIC_GAUGE("autodb_uploads_arriving", "Uploads whose body is being received.", NULL);
static struct metric spooled = METRIC_COUNTER("autodb_upload_bytes_total", "Bytes of files received.", NULL);

struct spool {
  pthread_mutex_t lock;
  char parent[SPOOL_PARENT], dir[SPOOL_DIR]; /* dir "" until it is there */
  int lock_fd;                               /* of our own directory */
  struct id owners[LIMIT_UPLOADS];           /* of the uploads that are arriving */
  int count;
};

/* --- the directory --- */

/* A directory of files, and itself. */
static void remove_all(const char *path) {
  DIR *listing = opendir(path);
  for (struct dirent *entry; listing && (entry = readdir(listing));)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlinkat(dirfd(listing), entry->d_name, 0);
  if (listing) closedir(listing);
  rmdir(path);
}

/* The lock of a directory; -1 when somebody else has it, or it has none yet. */
static int lock_dir(const char *path, int flags) {
  char name[SPOOL_PATH];
  snprintf(name, sizeof name, "%s/" LOCK_NAME, path);
  int fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static void remove_dead(const char *parent, const char *own) {
  DIR *listing = opendir(parent);
  for (struct dirent *entry; listing && (entry = readdir(listing));) {
    char path[SPOOL_DIR], name[ID_TEXT];
    struct id id;
    if (!id_parse(entry->d_name, &id)) continue; /* nothing of ours */
    snprintf(path, sizeof path, "%.*s/%s", SPOOL_PARENT - 1, parent, id_format(&id, name));
    if (strcmp(path, own) == 0) continue;
    int fd = lock_dir(path, 0);
    if (fd < 0) {
      rmdir(path); /* that died before it had a lock */
      continue;
    }
    remove_all(path);
    close(fd);
  }
  if (listing) closedir(listing);
}

/* Under the lock, or before there are threads. */
static bool make_own(struct spool *spool) {
  struct id id;
  char name[ID_TEXT], path[SPOOL_DIR];
  if (*spool->dir) return true;
  id_new(&id);
  snprintf(path, sizeof path, "%s/%s", spool->parent, id_format(&id, name));
  if (!files_make_dirs(path) || (spool->lock_fd = lock_dir(path, O_CREAT)) < 0) return false;
  memcpy(spool->dir, path, sizeof path);
  remove_dead(spool->parent, spool->dir);
  return true;
}

struct spool *spool_new(const char *dir) {
  struct spool *spool = calloc(1, sizeof *spool);
  if (!spool) return NULL;
  pthread_mutex_init(&spool->lock, NULL);
  spool->lock_fd = -1;
  snprintf(spool->parent, sizeof spool->parent, "%s", dir);
  if (!make_own(spool)) log_event(LOG_WARN, "no uploads can be taken", "spool", dir, "reason", strerror(errno), NULL);
  return spool;
}

void spool_free(struct spool *spool) {
  if (!spool) return;
  if (*spool->dir) remove_all(spool->dir);
  if (spool->lock_fd >= 0) close(spool->lock_fd);
  pthread_mutex_destroy(&spool->lock);
  free(spool);
}

/* --- who is uploading --- */

enum status spool_enter(struct spool *spool, const struct id *owner_id, struct error *err) {
  enum status status = OK;
  int own = 0;
  pthread_mutex_lock(&spool->lock);
  for (int i = 0; i < spool->count; i++) own += memcmp(&spool->owners[i], owner_id, sizeof *owner_id) == 0;
  if (own >= LIMIT_UPLOADS_PER_OWNER)
    status = error_set(err, ERR_RATE_LIMITED, "%d uploads of this owner are arriving already; wait for one to end.", own);
  else if (spool->count == LIMIT_UPLOADS)
    status = error_set(err, ERR_UNAVAILABLE, "Too many uploads are arriving already; try again.");
  else
    spool->owners[spool->count++] = *owner_id;
  pthread_mutex_unlock(&spool->lock);
  if (status == OK) metric_add(&arriving, NULL, 1);
  return status;
}

void spool_leave(struct spool *spool, const struct id *owner_id) {
  pthread_mutex_lock(&spool->lock);
  int i = 0;
  while (i < spool->count && memcmp(&spool->owners[i], owner_id, sizeof *owner_id) != 0) i++;
  if (i < spool->count) spool->owners[i] = spool->owners[--spool->count];
  pthread_mutex_unlock(&spool->lock);
  metric_add(&arriving, NULL, -1);
}

/* --- files --- */

static enum status failed(struct error *err) {
  return error_set(err, ERR_UNAVAILABLE, "The file can't be kept while it arrives: %s. Nothing was accepted.", strerror(errno));
}

enum status spool_create(struct spool *spool, struct spool_file *ret_file, struct error *err) {
  struct id id;
  char path[SPOOL_PATH];
  pthread_mutex_lock(&spool->lock);
  bool ready = make_own(spool);
  pthread_mutex_unlock(&spool->lock);
  if (!ready) return failed(err);
  id_new(&id);
  struct spool_file file = {.spool = spool, .hash = crypto_hash_new()};
  if (!file.hash) return error_oom(err);
  id_format(&id, file.name);
  file.fd = open(spool_path(&file, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file.fd < 0) {
    failed(err);
    crypto_hash_free(file.hash);
    return err->status;
  }
  *ret_file = file;
  return OK;
}

char *spool_path(const struct spool_file *file, char out[SPOOL_PATH]) {
  snprintf(out, SPOOL_PATH, "%s/%s", file->spool->dir, file->name);
  return out;
}

enum status spool_write(struct spool_file *file, const void *data, size_t len, struct error *err) {
  crypto_hash_add(file->hash, data, len);
  file->bytes += (int64_t)len;
  metric_add(&spooled, NULL, (int64_t)len);
  return files_write_all(file->fd, data, len) ? OK : failed(err);
}

static void end_writing(struct spool_file *file) {
  if (!file->hash) return;
  close(file->fd);
  crypto_hash_free(file->hash);
  file->hash = NULL;
}

void spool_close(struct spool_file *file) {
  crypto_hash_hex(file->hash, file->sha256);
  end_writing(file);
}

void spool_remove(struct spool_file *file) {
  char path[SPOOL_PATH];
  if (!file->spool) return;
  end_writing(file);
  unlink(spool_path(file, path));
  file->spool = NULL;
}
