/* s3_fetch.c - see s3_fetch.h. Threads, since a store's answer takes longer than the work on it, and s3.h blocks; each has a client, and so
 * connections, of its own. Objects are begun in their order and come in the order they are ready. */
#include "worker/context/s3_fetch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/limits.h"

struct s3_fetch {
  const struct s3_source *source;
  const char *region;
  const struct s3_wanted *wanted;
  size_t count;
  pthread_t threads[LIMIT_S3_THREADS];
  size_t thread_count;
  atomic_bool ended;
  pthread_mutex_t lock; /* over what follows */
  pthread_cond_t room, ready;
  size_t begun, taken;
  int64_t flight;                          /* bytes, as listed, of what is begun and not taken, and of the one taken last */
  int64_t held;                            /* the one taken last */
  struct s3_fetched *done[LIMIT_S3_AHEAD]; /* a ring */
  size_t done_first, done_count;
};

static bool is_ended(void *arg) {
  struct s3_fetch *fetch = arg;
  return atomic_load(&fetch->ended);
}

/* --- one object --- */

static enum status get(struct s3 *s3, const struct s3_wanted *wanted, struct s3_fetched *fetched, struct error *err) {
  const char *etag = *fetched->etag ? fetched->etag : NULL;
  buf_reset(&fetched->content);
  return s3_get(s3, wanted->key, etag, &fetched->content, err);
}

/* One that was replaced since it was listed is looked at once more. */
static enum status get_twice(struct s3 *s3, const struct s3_wanted *wanted, struct s3_fetched *fetched, struct error *err) {
  ARENA_AUTO arena = arena_new(1024 * 1024);
  struct s3_object object = {0};
  enum status status = arena ? get(s3, wanted, fetched, err) : error_oom(err);
  if (status != ERR_CONFLICT) return status;
  error_clear(err);
  if ((status = s3_head(s3, wanted->key, arena, &object, err))) return status;
  snprintf(fetched->etag, sizeof fetched->etag, "%s", object.etag);
  return get(s3, wanted, fetched, err);
}

static struct s3_fetched *fetch_one(struct s3 *s3, const struct s3_wanted *wanted, size_t index) {
  ERROR_AUTO err = {0};
  struct s3_fetched *fetched = calloc(1, sizeof *fetched);
  if (!fetched) return NULL;
  fetched->index = index;
  buf_init(&fetched->content, LIMIT_DOCUMENT_BYTES);
  snprintf(fetched->etag, sizeof fetched->etag, "%s", wanted->etag);
  fetched->status = get_twice(s3, wanted, fetched, &err);
  snprintf(fetched->code, sizeof fetched->code, "%s", err.code);
  snprintf(fetched->message, sizeof fetched->message, "%s", err.message);
  if (fetched->status) buf_free(&fetched->content);
  return fetched;
}

/* --- threads --- */

/* The index of the next to begin; the count when there is none. */
static size_t begin_next(struct s3_fetch *fetch) {
  pthread_mutex_lock(&fetch->lock);
  for (;;) {
    size_t index = fetch->begun;
    bool none = index == fetch->count || is_ended(fetch);
    bool fits = none || (index - fetch->taken < LIMIT_S3_AHEAD &&
                         (!fetch->flight || fetch->flight + fetch->wanted[index].bytes <= LIMIT_S3_FLIGHT_BYTES));
    if (fits) {
      if (!none) fetch->flight += fetch->wanted[fetch->begun++].bytes;
      pthread_mutex_unlock(&fetch->lock);
      return none ? fetch->count : index;
    }
    pthread_cond_wait(&fetch->room, &fetch->lock);
  }
}

static void put_done(struct s3_fetch *fetch, struct s3_fetched *fetched) {
  pthread_mutex_lock(&fetch->lock);
  fetch->done[(fetch->done_first + fetch->done_count++) % LIMIT_S3_AHEAD] = fetched;
  pthread_cond_signal(&fetch->ready);
  pthread_mutex_unlock(&fetch->lock);
}

static void *work(void *arg) {
  struct s3_fetch *fetch = arg;
  ERROR_AUTO err = {0};
  S3_AUTO s3 = NULL;
  if (s3_source_open(fetch->source, fetch->region, &s3, &err) == OK) s3_stop_when(s3, is_ended, fetch);
  for (size_t index; (index = begin_next(fetch)) < fetch->count;) put_done(fetch, s3 ? fetch_one(s3, &fetch->wanted[index], index) : NULL);
  return NULL;
}

enum status s3_fetch_new(const struct s3_source *source, const char *region, const struct s3_wanted *wanted, size_t count,
                         struct s3_fetch **ret_fetch, struct error *err) {
  S3_AUTO probe = NULL; /* so that threads can't fail for what a job was given */
  enum status status = s3_source_open(source, region, &probe, err);
  struct s3_fetch *fetch = status ? NULL : calloc(1, sizeof *fetch);
  if (!fetch) return status ? status : error_oom(err);
  fetch->source = source;
  fetch->region = region;
  fetch->wanted = wanted;
  fetch->count = count;
  pthread_mutex_init(&fetch->lock, NULL);
  pthread_cond_init(&fetch->room, NULL);
  pthread_cond_init(&fetch->ready, NULL);
  while (fetch->thread_count < LIMIT_S3_THREADS && fetch->thread_count < count &&
         pthread_create(&fetch->threads[fetch->thread_count], NULL, work, fetch) == 0)
    fetch->thread_count++;
  if (!fetch->thread_count && count) {
    s3_fetch_free(fetch);
    return error_oom(err);
  }
  *ret_fetch = fetch;
  return OK;
}

bool s3_fetch_next(struct s3_fetch *fetch, struct s3_fetched *ret_fetched) {
  pthread_mutex_lock(&fetch->lock);
  fetch->flight -= fetch->held;
  fetch->held = 0;
  pthread_cond_broadcast(&fetch->room);
  bool any = fetch->taken < fetch->count;
  while (any && !fetch->done_count) pthread_cond_wait(&fetch->ready, &fetch->lock);
  struct s3_fetched *fetched = any ? fetch->done[fetch->done_first] : NULL;
  if (any) {
    fetch->done_first = (fetch->done_first + 1) % LIMIT_S3_AHEAD;
    fetch->done_count--;
    fetch->taken++;
  }
  if (fetched) fetch->held = fetch->wanted[fetched->index].bytes;
  pthread_mutex_unlock(&fetch->lock);
  if (!fetched) return false; /* or there was no memory for one: the rest is read by another attempt */
  *ret_fetched = *fetched;
  free(fetched);
  return true;
}

void s3_fetch_free(struct s3_fetch *fetch) {
  if (!fetch) return;
  atomic_store(&fetch->ended, true);
  pthread_mutex_lock(&fetch->lock);
  pthread_cond_broadcast(&fetch->room);
  pthread_mutex_unlock(&fetch->lock);
  for (size_t i = 0; i < fetch->thread_count; i++) pthread_join(fetch->threads[i], NULL);
  for (size_t i = 0; i < fetch->done_count; i++) {
    struct s3_fetched *fetched = fetch->done[(fetch->done_first + i) % LIMIT_S3_AHEAD];
    if (fetched) buf_free(&fetched->content);
    free(fetched);
  }
  pthread_cond_destroy(&fetch->room);
  pthread_cond_destroy(&fetch->ready);
  pthread_mutex_destroy(&fetch->lock);
  free(fetch);
}
