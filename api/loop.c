/* loop.c - see loop.h. The mailbox is how other threads (signals, probes) reach a loop: a locked list and an eventfd. */
#include "api/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "api/auth.h"
#include "api/server.h"
#include "api/submit.h"
#include "api/tiers.h"
#include "api/watch.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#define PG_CONNECTIONS 2
#define DRAIN_NOTICE_MS 300 /* between failing /readyz and closing the listener */
#define DRAIN_MS 10000
#define PATIENCE_MS 3000 /* after a start, clients wait this long for Postgres instead of being told 503 */

static struct metric reconnects = METRIC_COUNTER("autodb_backend_lost_total", "Times a connection to a backend was lost.", "backend");

struct letter {
  STAILQ_ENTRY(letter) link;
  void (*fn)(struct loop *loop, void *arg);
  void *arg;
};

STAILQ_HEAD(letters, letter);
struct mailbox {
  pthread_mutex_t lock;
  struct letters letters;
  int fd;
  struct event *event, *notice, *patience;
  int64_t drain_until; /* clock_mono_ms; 0 = not draining */
};

static void open_letters(evutil_socket_t fd, short what, void *arg) {
  struct loop *loop = arg;
  uint64_t count;
  (void)what;
  if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN) log_event(LOG_ERROR, "eventfd", "reason", strerror(errno), NULL);
  struct letters mine = STAILQ_HEAD_INITIALIZER(mine);
  pthread_mutex_lock(&loop->mailbox->lock);
  STAILQ_CONCAT(&mine, &loop->mailbox->letters);
  pthread_mutex_unlock(&loop->mailbox->lock);
  for (struct letter *letter; (letter = STAILQ_FIRST(&mine));) {
    STAILQ_REMOVE_HEAD(&mine, link);
    letter->fn(loop, letter->arg);
    free(letter);
  }
}

void loop_post(struct loop *loop, void (*fn)(struct loop *loop, void *arg), void *arg) {
  struct letter *letter = malloc(sizeof *letter);
  if (!letter) abort(); /* a lost letter would leave a request without an answer */
  *letter = (struct letter){.fn = fn, .arg = arg};
  pthread_mutex_lock(&loop->mailbox->lock);
  STAILQ_INSERT_TAIL(&loop->mailbox->letters, letter, link);
  pthread_mutex_unlock(&loop->mailbox->lock);
  uint64_t one = 1;
  if (write(loop->mailbox->fd, &one, sizeof one) < 0 && errno != EAGAIN) abort();
}

/* --- drain --- */

static void close_listener(evutil_socket_t fd, short what, void *arg) {
  struct loop *loop = arg;
  (void)fd;
  (void)what;
  server_drain(loop->server);
}

void loop_drain(struct loop *loop) {
  if (loop->mailbox->drain_until) return;
  loop->mailbox->drain_until = clock_mono_ms() + DRAIN_MS;
  const struct timeval tv = {0, DRAIN_NOTICE_MS * 1000};
  event_add(loop->mailbox->notice, &tv);
}

static bool drained(const struct loop *loop) {
  int64_t until = loop->mailbox->drain_until;
  if (!until || event_pending(loop->mailbox->notice, EV_TIMEOUT, NULL)) return false;
  return server_connections(loop->server) == 0 || clock_mono_ms() >= until;
}

/* --- turning --- */

static void out_of_patience(evutil_socket_t fd, short what, void *arg) {
  struct loop *loop = arg;
  (void)fd;
  (void)what;
  if (!pgloop_up(loop->pg)) log_event(LOG_WARN, "Postgres does not answer yet, serving without it", NULL);
  server_accept(loop->server);
}

static void *run(void *arg) {
  struct loop *loop = arg;
  bool more = false;
  const struct timeval tv = {PATIENCE_MS / 1000, 0};
  event_add(loop->mailbox->patience, &tv);
  while (!loop->stop && !drained(loop)) {
    /* With connections open the sweep timer wakes us, so the end of a drain is noticed. */
    if (event_base_loop(loop->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0)) < 0) break;
    more = server_turn(loop->server);
    submit_turn(loop->submit);
    watch_turn(loop->watch);
  }
  return NULL;
}

enum status loop_start(struct loop *loop, struct error *err) {
  /* Signals are the main thread's. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failed = pthread_create(&loop->thread, NULL, run, loop);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failed ? error_set(err, ERR_UNAVAILABLE, "Can't start a thread: %s.", strerror(failed)) : OK;
}

void loop_join(struct loop *loop) {
  if (loop->thread) pthread_join(loop->thread, NULL);
  loop->thread = 0;
}

/* --- birth and death --- */

static void pg_state(void *arg, bool up) {
  struct loop *loop = arg;
  if (up && loop->server) server_accept(loop->server);
  log_event(up ? LOG_INFO : LOG_WARN, up ? "Postgres is up" : "Postgres is away", NULL);
  if (!up) metric_add(&reconnects, "postgres", 1);
}

static void redis_state(void *arg, bool up) {
  (void)arg;
  log_event(up ? LOG_INFO : LOG_WARN, up ? "Redis is up" : "Redis is away", NULL);
  if (!up) metric_add(&reconnects, "redis", 1);
}

static void on_message(void *arg, const char *channel, const char *message, size_t len) {
  struct loop *loop = arg;
  char text[ID_TEXT];
  struct id id;
  if (len != ID_TEXT - 1) return;
  memcpy(text, message, len);
  text[len] = '\0';
  if (id_parse(text, &id)) watch_told(loop->watch, &id, strcmp(channel, loop->api->done_channel) == 0);
}

static void on_listening(void *arg, bool up) {
  struct loop *loop = arg;
  watch_listening(loop->watch, up);
}

static enum status open_mailbox(struct loop *loop, struct error *err) {
  struct mailbox *box = loop->mailbox = calloc(1, sizeof *box);
  if (!box) return error_oom(err);
  pthread_mutex_init(&box->lock, NULL);
  STAILQ_INIT(&box->letters);
  box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (box->fd < 0) return error_set(err, ERR_UNAVAILABLE, "Can't make an eventfd: %s.", strerror(errno));
  box->event = event_new(loop->base, box->fd, EV_READ | EV_PERSIST, open_letters, loop);
  box->notice = event_new(loop->base, -1, 0, close_listener, loop);
  box->patience = event_new(loop->base, -1, 0, out_of_patience, loop);
  return box->event && box->notice && box->patience && event_add(box->event, NULL) == 0 ? OK : error_oom(err);
}

static enum status open_backends(struct loop *loop, struct error *err) {
  const struct config *cfg = loop->api->cfg;
  const char *channels[] = {loop->api->done_channel, loop->api->changed_channel};
  enum status status = pgloop_new(loop->base, cfg->database_url, "api", PG_CONNECTIONS, pg_state, loop, &loop->pg, err);
  if (status == OK) status = redis_new(loop->base, cfg->redis_url, redis_state, loop, &loop->redis, err);
  if (status == OK) status = redis_subscribe(loop->base, cfg->redis_url, channels, 2, on_message, on_listening, loop, &loop->sub, err);
  return status;
}

enum status loop_new(struct api *api, int index, int port, struct loop **ret_loop, struct error *err) {
  struct loop *loop = calloc(1, sizeof *loop);
  if (!loop) return error_oom(err);
  loop->api = api;
  loop->index = index;
  struct event_config *config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* one thread each; others come through the mailbox */
  loop->base = event_base_new_with_config(config);
  event_config_free(config);
  loop->auth = auth_new(loop);
  loop->submit = submit_new(loop);
  loop->tiers = tiers_new();
  enum status status = loop->base && loop->auth && loop->submit && loop->tiers ? open_mailbox(loop, err) : error_oom(err);
  if (status == OK) status = watch_new(loop, &loop->watch, err);
  if (status == OK) status = open_backends(loop, err);
  if (status == OK) status = server_new(loop, api->cfg->listen_address, port, &loop->server, err);
  if (status != OK) {
    loop_free(loop);
    return status;
  }
  *ret_loop = loop;
  return OK;
}

static void free_mailbox(struct mailbox *box) {
  if (!box) return;
  for (struct letter *letter; (letter = STAILQ_FIRST(&box->letters));) {
    STAILQ_REMOVE_HEAD(&box->letters, link);
    free(letter);
  }
  if (box->event) event_free(box->event);
  if (box->notice) event_free(box->notice);
  if (box->patience) event_free(box->patience);
  if (box->fd >= 0) close(box->fd);
  pthread_mutex_destroy(&box->lock);
  free(box);
}

void loop_free(struct loop *loop) {
  if (!loop) return;
  if (loop->mailbox) open_letters(loop->mailbox->fd, 0, loop); /* what came after the last turn */
  if (loop->server) server_stop_accepting(loop->server);
  watch_close(loop->watch);
  pgloop_free(loop->pg); /* its unanswered queries end their requests: everything they touch is still there */
  redis_sub_free(loop->sub);
  redis_free(loop->redis);
  watch_free(loop->watch);
  submit_free(loop->submit);
  tiers_free(loop->tiers);
  auth_free(loop->auth);
  server_free(loop->server);
  free_mailbox(loop->mailbox);
  if (loop->base) event_base_free(loop->base);
  free(loop);
}
