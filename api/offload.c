/* offload.c - see offload.h. A queue under a lock, its threads, and the loop's mailbox back. */
#include "api/offload.h"

#include <pthread.h>
#include <signal.h>
#include <sys/queue.h>

#define THREADS_MAX 8
#define QUEUE_MAX 64

struct task {
  STAILQ_ENTRY(task) link;
  struct request *req;
  offload_fn work, done;
  void *arg;
  enum status status;
  struct error err;
};

STAILQ_HEAD(tasks, task);
struct offload {
  pthread_mutex_t lock;
  pthread_cond_t more;
  struct tasks tasks;
  int waiting;
  bool stop;
  pthread_t threads[THREADS_MAX];
  int started;
};

/* On the loop. */
static void deliver(struct loop *loop, void *arg) {
  struct task *task = arg;
  (void)loop;
  if (task->status == OK) task->status = task->done(task->req, task->arg, &task->err);
  if (task->status != OK) reply_error(task->req, &task->err);
  error_clear(&task->err);
  free(task);
}

static void *run(void *arg) {
  struct offload *offload = arg;
  pthread_mutex_lock(&offload->lock);
  while (!offload->stop) {
    struct task *task = STAILQ_FIRST(&offload->tasks);
    if (!task) {
      pthread_cond_wait(&offload->more, &offload->lock);
      continue;
    }
    STAILQ_REMOVE_HEAD(&offload->tasks, link);
    offload->waiting--;
    pthread_mutex_unlock(&offload->lock);
    task->status = task->work(task->req, task->arg, &task->err);
    loop_post(task->req->loop, deliver, task);
    pthread_mutex_lock(&offload->lock);
  }
  pthread_mutex_unlock(&offload->lock);
  return NULL;
}

static enum status enqueue(struct offload *offload, struct request *req, offload_fn work, offload_fn done, void *arg, struct error *err) {
  struct task *task = calloc(1, sizeof *task);
  if (!task) return error_oom(err);
  *task = (struct task){.req = req, .work = work, .done = done, .arg = arg};
  pthread_mutex_lock(&offload->lock);
  bool room = offload->waiting < QUEUE_MAX;
  if (room) {
    STAILQ_INSERT_TAIL(&offload->tasks, task, link);
    offload->waiting++;
    pthread_cond_signal(&offload->more);
  }
  pthread_mutex_unlock(&offload->lock);
  if (room) return OK;
  free(task);
  return error_set(err, ERR_UNAVAILABLE, "Too many requests of this sort are being worked on; try again.");
}

enum status offload_run(struct request *req, offload_fn work, offload_fn done, void *arg, struct error *err) {
  return enqueue(req->loop->api->offload, req, work, done, arg, err);
}

enum status offload_files(struct request *req, offload_fn work, offload_fn done, void *arg, struct error *err) {
  return enqueue(req->loop->api->files, req, work, done, arg, err);
}

enum status offload_new(int threads, struct offload **ret_offload, struct error *err) {
  struct offload *offload = calloc(1, sizeof *offload);
  if (!offload) return error_oom(err);
  pthread_mutex_init(&offload->lock, NULL);
  pthread_cond_init(&offload->more, NULL);
  STAILQ_INIT(&offload->tasks);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
  while (offload->started < threads && offload->started < THREADS_MAX &&
         pthread_create(&offload->threads[offload->started], NULL, run, offload) == 0)
    offload->started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (offload->started < threads) {
    offload_free(offload);
    return error_set(err, ERR_UNAVAILABLE, "Can't start a thread.");
  }
  *ret_offload = offload;
  return OK;
}

void offload_free(struct offload *offload) {
  if (!offload) return;
  pthread_mutex_lock(&offload->lock);
  offload->stop = true;
  pthread_cond_broadcast(&offload->more);
  pthread_mutex_unlock(&offload->lock);
  for (int i = 0; i < offload->started; i++) pthread_join(offload->threads[i], NULL);
  for (struct task *task; (task = STAILQ_FIRST(&offload->tasks));) {
    STAILQ_REMOVE_HEAD(&offload->tasks, link);
    free(task);
  }
  pthread_cond_destroy(&offload->more);
  pthread_mutex_destroy(&offload->lock);
  free(offload);
}
