/* pgcancel.c - one small connection per request, polled like any other (libpq 17's PQcancelStart), in a list until it ends. */
#include "common/pgcancel.h"

#include "common/limits.h"

struct pgcancel {
  struct pgcancel *next, **list;
  struct event_base *base;
  PGcancelConn *conn;
  struct event *io, *deadline;
};

static void cancel_free(struct pgcancel *cancel) {
  for (struct pgcancel **at = cancel->list; *at; at = &(*at)->next)
    if (*at == cancel) {
      *at = cancel->next;
      break;
    }
  if (cancel->io) event_free(cancel->io);
  if (cancel->deadline) event_free(cancel->deadline);
  PQcancelFinish(cancel->conn);
  free(cancel);
}

static void on_io(evutil_socket_t fd, short what, void *arg);

static void watch(struct pgcancel *cancel, short what) {
  cancel->io = event_new(cancel->base, PQcancelSocket(cancel->conn), what, on_io, cancel);
  if (!cancel->io || event_add(cancel->io, NULL)) cancel_free(cancel);
}

static void on_io(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  struct pgcancel *cancel = arg;
  event_free(cancel->io);
  cancel->io = NULL;
  PostgresPollingStatusType want = PQcancelPoll(cancel->conn);
  if (want == PGRES_POLLING_READING || want == PGRES_POLLING_WRITING)
    watch(cancel, want == PGRES_POLLING_READING ? EV_READ : EV_WRITE);
  else
    cancel_free(cancel);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  cancel_free(arg);
}

void pgcancel_start(struct pgcancel **list, struct event_base *base, PGconn *conn) {
  struct pgcancel *cancel = calloc(1, sizeof *cancel);
  if (!cancel) return;
  cancel->list = list;
  cancel->next = *list;
  *list = cancel;
  cancel->base = base;
  cancel->conn = PQcancelCreate(conn);
  cancel->deadline = evtimer_new(base, on_deadline, cancel);
  struct timeval tv = {.tv_sec = LIMIT_PG_CONNECT_MS / 1000, .tv_usec = LIMIT_PG_CONNECT_MS % 1000 * 1000};
  if (!cancel->conn || !cancel->deadline || event_add(cancel->deadline, &tv) || !PQcancelStart(cancel->conn)) {
    cancel_free(cancel);
    return;
  }
  watch(cancel, EV_WRITE);
}

void pgcancel_free_all(struct pgcancel **list) {
  while (*list) cancel_free(*list);
}
