/* supervisor.c - the worker's event loop: start, signals, the sandbox keeper, the courier of webhooks, the orderly end.
 *
 * No job code runs in it. On SIGTERM it stops reading, gives running jobs 25 s, gives the rest back unharmed, waits for Postgres to know,
 * leaves the streams and exits 0. A second signal skips the grace. */
#include "worker/supervisor.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "sandbox/sandbox.h"
#include "worker/bell.h"
#include "worker/child.h"
#include "worker/courier.h"
#include "worker/queue.h"
#include "worker/sweep.h"

#define BEAT_MS 5000
#define FLUSH_MS 3000 /* after the grace: for Postgres to take the last finishes */
#define KEEPER_MIN_MS 500
#define KEEPER_MAX_MS 30000
#define KEEPER_SOUND_MS 10000 /* a keeper that lived this long has no trouble starting */

struct supervisor {
  const struct config *cfg;
  struct event_base *base;
  struct queue *queue;
  struct sweep *sweep;
  struct metrics_server *metrics;
  struct courier_watch *courier;
  struct event *sigterm, *sigint, *sigchld, *second;
  bool stopping, aborted, leaving;
  int64_t abort_ms, beat_ms; /* monotonic */
  char keeper_socket[108];
  pid_t keeper;
  int64_t keeper_ms; /* monotonic: when it was started, or is to be */
  int keeper_failures;
};

static struct metric keepers = METRIC_COUNTER("autodb_sandbox_keeper_starts_total", "Times the sandbox keeper was started.", NULL);

/* --- the sandbox keeper --- */

static void start_keeper(struct supervisor *sup) {
  const char *argv[] = {"autodb-worker", "--sandbox-keeper", sup->keeper_socket, NULL};
  sup->keeper = child_spawn(argv, -1);
  sup->keeper_ms = clock_mono_ms();
  metric_add(&keepers, NULL, 1);
  if (sup->keeper < 0) log_event(LOG_ERROR, "the sandbox keeper can't be started", "error", strerror(errno), NULL);
}

static void on_keeper_death(struct supervisor *sup, int status) {
  bool sound = clock_mono_ms() - sup->keeper_ms > KEEPER_SOUND_MS;
  sup->keeper_failures = sound ? 1 : sup->keeper_failures + 1;
  int64_t wait = (int64_t)KEEPER_MIN_MS << (sup->keeper_failures < 8 ? sup->keeper_failures - 1 : 7);
  sup->keeper = 0;
  sup->keeper_ms = clock_mono_ms() + (wait < KEEPER_MAX_MS ? wait : KEEPER_MAX_MS);
  if (!sup->stopping)
    log_event(LOG_WARN, "the sandbox keeper died and is started again", "status", log_fmt("0x%x", (unsigned)status), NULL);
}

/* --- children --- */

/* The group is killed before its leader is reaped, while its number can't be somebody else's. */
static void on_sigchld(evutil_socket_t fd, short what, void *arg) {
  struct supervisor *sup = arg;
  (void)fd, (void)what;
  for (;;) {
    siginfo_t info = {0};
    int status = 0;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    kill(-info.si_pid, SIGKILL);
    if (waitpid(info.si_pid, &status, 0) != info.si_pid) return;
    if (info.si_pid == sup->keeper)
      on_keeper_death(sup, status);
    else if (!courier_watch_reap(sup->courier, info.si_pid, status))
      queue_reap(sup->queue, info.si_pid, status);
  }
}

/* --- the end --- */

static void on_left(void *arg) {
  struct supervisor *sup = arg;
  event_base_loopbreak(sup->base);
}

static void leave(struct supervisor *sup) {
  sup->leaving = true;
  if (bell_up(queue_bell(sup->queue)))
    bell_leave(queue_bell(sup->queue), on_left, sup);
  else
    event_base_loopbreak(sup->base);
}

static void go_on_stopping(struct supervisor *sup, int64_t now) {
  if (sup->leaving) return;
  if (!sup->aborted && !queue_holds(sup->queue)) { /* only Postgres is waited for */
    sup->aborted = true;
    sup->abort_ms = now + FLUSH_MS;
  }
  if (queue_done(sup->queue)) {
    leave(sup);
  } else if (!sup->aborted && now >= sup->abort_ms) {
    sup->aborted = true;
    sup->abort_ms = now + FLUSH_MS;
    queue_abort(sup->queue);
  } else if (sup->aborted && now >= sup->abort_ms) {
    log_event(LOG_WARN, "stopping although Postgres has not taken everything: leases will run out", NULL);
    leave(sup);
  }
}

static void on_stop(evutil_socket_t sig, short what, void *arg) {
  struct supervisor *sup = arg;
  (void)what;
  int64_t now = clock_mono_ms();
  if (!sup->stopping) {
    log_event(LOG_INFO, "stopping", "signal", sig == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
    sup->stopping = true;
    sup->abort_ms = now + SUPERVISOR_GRACE_SECONDS * 1000;
    queue_drain(sup->queue);
    courier_watch_drain(sup->courier);
    event_add(sup->second, &(struct timeval){.tv_usec = 20 * 1000}); /* a shorter second */
  } else if (!sup->aborted) {
    sup->abort_ms = now;
  }
  go_on_stopping(sup, now);
}

/* --- time --- */

static void on_second(evutil_socket_t fd, short what, void *arg) {
  struct supervisor *sup = arg;
  int64_t now = clock_mono_ms();
  (void)fd, (void)what;
  if (sup->stopping) {
    go_on_stopping(sup, now);
    return;
  }
  if (now >= sup->beat_ms) { /* also while Redis refuses writes: that is how we learn that it takes them again */
    sup->beat_ms = now + BEAT_MS;
    bell_beat(queue_bell(sup->queue));
  }
  if (sup->keeper <= 0 && now >= sup->keeper_ms) start_keeper(sup);
  courier_watch_tick(sup->courier);
}

/* --- the beginning --- */

static enum status watch_signals(struct supervisor *sup, struct error *err) {
  signal(SIGPIPE, SIG_IGN);
  sup->sigterm = evsignal_new(sup->base, SIGTERM, on_stop, sup);
  sup->sigint = evsignal_new(sup->base, SIGINT, on_stop, sup);
  sup->sigchld = evsignal_new(sup->base, SIGCHLD, on_sigchld, sup);
  sup->second = event_new(sup->base, -1, EV_PERSIST, on_second, sup);
  if (!sup->sigterm || !sup->sigint || !sup->sigchld || !sup->second) return error_oom(err);
  if (event_add(sup->sigterm, NULL) || event_add(sup->sigint, NULL) || event_add(sup->sigchld, NULL)) return error_oom(err);
  return event_add(sup->second, &(struct timeval){.tv_sec = 1}) ? error_oom(err) : OK;
}

/* A port given for the API's metrics may reach us by the environment, too: not being able to listen is no reason not to work. */
static void serve_metrics(struct supervisor *sup) {
  ERROR_AUTO err = {0};
  int port = 0;
  if (!*sup->cfg->metrics_listen || strcmp(sup->cfg->metrics_listen, "127.0.0.1:0") == 0) return;
  if (metrics_serve(sup->base, sup->cfg->metrics_listen, &sup->metrics, &port, &err) == OK)
    log_event(LOG_INFO, "metrics are served", "port", log_fmt("%d", port), NULL);
  else
    log_event(LOG_WARN, "metrics are not served", "error", err.message, NULL);
}

static enum status start(struct supervisor *sup, struct error *err) {
  sup->base = event_base_new();
  if (!sup->base) return error_oom(err);
  enum status status = watch_signals(sup, err);
  if (status != OK) return status;
  if (mkdir(sup->cfg->sandbox_dir, 0700) != 0 && errno != EEXIST)
    log_event(LOG_ERROR, "AUTODB_SANDBOX_DIR can't be made: no sandboxes", "path", sup->cfg->sandbox_dir, "reason", strerror(errno), NULL);
  int swept = sandbox_sweep(sup->cfg);
  if (swept) log_event(LOG_INFO, "sandboxes left behind were removed", "count", log_fmt("%d", swept), NULL);
  snprintf(sup->keeper_socket, sizeof sup->keeper_socket, "%s/keeper-%d.sock", sup->cfg->sandbox_dir, (int)getpid());
  start_keeper(sup);
  serve_metrics(sup);
  status = courier_watch_new(sup->base, sup->cfg, &sup->courier, err);
  if (status == OK) status = queue_new(sup->base, sup->cfg, sup->keeper_socket, &sup->queue, err);
  return status == OK ? sweep_new(sup->base, sup->cfg, queue_bell(sup->queue), &sup->sweep, err) : status;
}

static void free_event(struct event *event) {
  if (event) event_free(event);
}

static void stop(struct supervisor *sup) {
  courier_watch_free(sup->courier);
  sweep_free(sup->sweep);
  queue_free(sup->queue);
  metrics_server_free(sup->metrics);
  if (sup->keeper > 0) {
    kill(sup->keeper, SIGTERM); /* it removes its sandboxes; were it to hang, it would die with us */
    for (int i = 0; i < 200 && waitpid(sup->keeper, NULL, WNOHANG) == 0; i++) nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
    kill(-sup->keeper, SIGKILL);
  }
  unlink(sup->keeper_socket);
  free_event(sup->sigterm);
  free_event(sup->sigint);
  free_event(sup->sigchld);
  free_event(sup->second);
  if (sup->base) event_base_free(sup->base);
}

int supervisor_main(const struct config *cfg) {
  ERROR_AUTO err = {0};
  struct supervisor sup = {.cfg = cfg};
  enum status status = start(&sup, &err);
  if (status == OK) {
    log_event(LOG_INFO, "worker started", "name", cfg->worker_name, "slots", log_fmt("%d", cfg->slots), "version", AUTODB_VERSION, NULL);
    event_base_dispatch(sup.base);
    log_event(LOG_INFO, "worker stopped", "name", cfg->worker_name, NULL);
  } else {
    log_event(LOG_ERROR, "the worker can't start", "error", err.message, NULL);
  }
  stop(&sup);
  return status == OK ? 0 : 1;
}
