/* probe.c - see probe.h. A queue under a lock, two threads, and the loop's mailbox back. */
#include "api/probe.h"

#include <pthread.h>
#include <signal.h>
#include <sys/queue.h>

#include "common/log.h"
#include "common/pg.h"

#define THREADS 2
#define QUEUE_MAX 64
#define STATEMENT_TIMEOUT_MS 5000

struct task {
  STAILQ_ENTRY(task) link;
  struct request *req;
  char *connection_string; /* wiped */
  probe_done done;
  bool reached;
  struct clientdb_facts facts;
  struct error err;
};

STAILQ_HEAD(tasks, task);
struct probe {
  const struct config *cfg;
  pthread_mutex_t lock;
  pthread_cond_t more;
  struct tasks tasks;
  int waiting;
  bool stop;
  pthread_t threads[THREADS];
  int started;
};

static void task_free(struct task *task) {
  explicit_bzero(task->connection_string, strlen(task->connection_string));
  free(task->connection_string);
  error_clear(&task->err);
  free(task);
}

/* On the loop. */
static void deliver(struct loop *loop, void *arg) {
  struct task *task = arg;
  (void)loop;
  ERROR_AUTO err = task->err;
  task->err = (struct error){0};
  enum status status = task->done(task->req, task->reached ? &task->facts : NULL, &err);
  if (status != OK) reply_error(task->req, &err);
  task_free(task);
}

static void work(struct probe *probe, struct task *task) {
  PGCONN_AUTO conn = NULL;
  enum status status = clientdb_connect(probe->cfg, task->connection_string, STATEMENT_TIMEOUT_MS, &conn, &task->err);
  if (status == OK) status = clientdb_probe(conn, &task->facts, &task->err);
  task->reached = status == OK;
  loop_post(task->req->loop, deliver, task);
}

static void *run(void *arg) {
  struct probe *probe = arg;
  pthread_mutex_lock(&probe->lock);
  while (!probe->stop) {
    struct task *task = STAILQ_FIRST(&probe->tasks);
    if (!task) {
      pthread_cond_wait(&probe->more, &probe->lock);
      continue;
    }
    STAILQ_REMOVE_HEAD(&probe->tasks, link);
    probe->waiting--;
    pthread_mutex_unlock(&probe->lock);
    work(probe, task);
    pthread_mutex_lock(&probe->lock);
  }
  pthread_mutex_unlock(&probe->lock);
  return NULL;
}

enum status probe_connect(struct request *req, const char *connection_string, probe_done done, struct error *err) {
  struct probe *probe = req->loop->api->probe;
  struct task *task = calloc(1, sizeof *task);
  if (!task || !(task->connection_string = strdup(connection_string))) {
    free(task);
    return error_oom(err);
  }
  task->req = req;
  task->done = done;
  pthread_mutex_lock(&probe->lock);
  bool room = probe->waiting < QUEUE_MAX;
  if (room) {
    STAILQ_INSERT_TAIL(&probe->tasks, task, link);
    probe->waiting++;
    pthread_cond_signal(&probe->more);
  }
  pthread_mutex_unlock(&probe->lock);
  if (room) return OK;
  task_free(task);
  return error_set(err, ERR_UNAVAILABLE, "Too many connections are being verified just now; try again.");
}

enum status probe_new(struct api *api, struct probe **ret_probe, struct error *err) {
  struct probe *probe = calloc(1, sizeof *probe);
  if (!probe) return error_oom(err);
  probe->cfg = api->cfg;
  pthread_mutex_init(&probe->lock, NULL);
  pthread_cond_init(&probe->more, NULL);
  STAILQ_INIT(&probe->tasks);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
  while (probe->started < THREADS && pthread_create(&probe->threads[probe->started], NULL, run, probe) == 0) probe->started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (probe->started < THREADS) {
    probe_free(probe);
    return error_set(err, ERR_UNAVAILABLE, "Can't start a thread.");
  }
  *ret_probe = probe;
  return OK;
}

void probe_free(struct probe *probe) {
  if (!probe) return;
  pthread_mutex_lock(&probe->lock);
  probe->stop = true;
  pthread_cond_broadcast(&probe->more);
  pthread_mutex_unlock(&probe->lock);
  for (int i = 0; i < probe->started; i++) pthread_join(probe->threads[i], NULL);
  for (struct task *task; (task = STAILQ_FIRST(&probe->tasks));) {
    STAILQ_REMOVE_HEAD(&probe->tasks, link);
    task_free(task);
  }
  pthread_cond_destroy(&probe->more);
  pthread_mutex_destroy(&probe->lock);
  free(probe);
}
