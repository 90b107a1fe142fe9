/* courier.c - see courier.h. The courier is a process of its own because it talks to anybody's servers, for up to fifteen seconds each:
 * what goes wrong in there costs no job anything. */
#include "worker/courier.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "worker/child.h"
#include "worker/webhook/report.h"
#include "worker/webhook/verdict.h"

#define AGAIN_MIN_MS 500
#define AGAIN_MAX_MS 30000
#define SOUND_MS 10000 /* one that lived this long has no trouble starting */
#define STOP_MS 3000

struct courier_watch {
  struct event_base *base;
  const struct config *cfg;
  struct event *reports;
  int fd; /* our end of the reports' socket; -1 when there is none */
  pid_t pid;
  int64_t at_ms; /* monotonic: when it was started, or is to be */
  int failures;
  bool draining;
};

static struct metric starts = METRIC_COUNTER("autodb_courier_starts_total", "Times the courier of webhooks was started.", NULL);
static struct metric tries = METRIC_COUNTER("autodb_webhook_deliveries_total", "Tries to deliver a webhook, by outcome.", "outcome");
static struct metric seconds = METRIC_HISTOGRAM("autodb_webhook_delivery_seconds", "Duration of calls to webhooks, by outcome.", "outcome");
static struct metric backlog =
    METRIC_GAUGE("autodb_webhook_backlog", "Deliveries not ended, up to 100000; the same from every worker.", NULL);
static struct metric oldest = METRIC_GAUGE("autodb_webhook_oldest_due_seconds", "How long the longest due delivery waits.", NULL);
static struct metric circuits = METRIC_GAUGE("autodb_webhook_open_circuits", "Endpoints that are left alone for now.", NULL);

/* --- what it reports --- */

static void take(const struct courier_report *report) {
  if (report->kind == REPORT_STATE) {
    metric_set(&backlog, NULL, report->backlog);
    metric_set(&oldest, NULL, report->oldest_s);
    metric_set(&circuits, NULL, report->open_circuits);
  } else if (report->outcome >= 0 && report->outcome < VERDICT_COUNT) {
    metric_add(&tries, verdict_names[report->outcome], 1);
    if (report->duration_us >= 0) metric_observe_us(&seconds, verdict_names[report->outcome], report->duration_us);
  }
}

static void hang_up(struct courier_watch *watch) {
  if (watch->reports) event_free(watch->reports);
  if (watch->fd >= 0) close(watch->fd);
  watch->reports = NULL;
  watch->fd = -1;
}

static void on_report(evutil_socket_t fd, short what, void *arg) {
  struct courier_report report;
  ssize_t got;
  (void)what;
  while ((got = recv(fd, &report, sizeof report, MSG_DONTWAIT)) == sizeof report) take(&report);
  if (got == 0) hang_up(arg);
}

/* --- its life --- */

static void spawn(struct courier_watch *watch, int theirs) {
  const char *argv[] = {"autodb-worker", "--courier", watch->cfg->worker_name, NULL};
  watch->pid = child_spawn(argv, theirs);
  watch->at_ms = clock_mono_ms();
  metric_add(&starts, NULL, 1);
  if (watch->pid >= 0) return;
  log_event(LOG_ERROR, "the courier can't be started", "error", strerror(errno), NULL);
  watch->pid = 0;
  watch->at_ms += AGAIN_MAX_MS;
}

static void begin(struct courier_watch *watch) {
  int pair[2];
  hang_up(watch);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
    log_event(LOG_ERROR, "the courier can't be started", "error", strerror(errno), NULL);
    watch->at_ms = clock_mono_ms() + AGAIN_MAX_MS;
    return;
  }
  watch->fd = pair[0];
  watch->reports = event_new(watch->base, pair[0], EV_READ | EV_PERSIST, on_report, watch);
  if (watch->reports) event_add(watch->reports, NULL);
  spawn(watch, pair[1]);
  close(pair[1]);
}

enum status courier_watch_new(struct event_base *base, const struct config *cfg, struct courier_watch **ret_watch, struct error *err) {
  struct courier_watch *watch = calloc(1, sizeof *watch);
  if (!watch) return error_oom(err);
  watch->base = base;
  watch->cfg = cfg;
  watch->fd = -1;
  begin(watch);
  *ret_watch = watch;
  return OK;
}

void courier_watch_tick(struct courier_watch *watch) {
  if (!watch->pid && !watch->draining && clock_mono_ms() >= watch->at_ms) begin(watch);
}

void courier_watch_drain(struct courier_watch *watch) {
  watch->draining = true;
  if (watch->pid) kill(watch->pid, SIGTERM);
}

bool courier_watch_reap(struct courier_watch *watch, pid_t pid, int status) {
  if (!watch || pid != watch->pid) return false;
  bool sound = clock_mono_ms() - watch->at_ms > SOUND_MS;
  watch->failures = sound ? 1 : watch->failures + 1;
  int64_t wait = (int64_t)AGAIN_MIN_MS << (watch->failures < 8 ? watch->failures - 1 : 7);
  watch->pid = 0;
  watch->at_ms = clock_mono_ms() + (wait < AGAIN_MAX_MS ? wait : AGAIN_MAX_MS);
  if (!watch->draining) log_event(LOG_WARN, "the courier died and is started again", "status", log_fmt("0x%x", (unsigned)status), NULL);
  return true;
}

static void await_end(struct courier_watch *watch) {
  for (int i = 0; i < STOP_MS / 10; i++) {
    if (waitpid(watch->pid, NULL, WNOHANG) != 0) return;
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
  }
  kill(-watch->pid, SIGKILL);
  waitpid(watch->pid, NULL, 0);
}

void courier_watch_free(struct courier_watch *watch) {
  if (!watch) return;
  courier_watch_drain(watch);
  if (watch->pid) await_end(watch);
  hang_up(watch);
  free(watch);
}
