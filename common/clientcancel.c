/* clientcancel.c - see clientcancel.h. PQcancel is the one request libpq allows in a signal handler; what it needs is made beforehand. It
 * is sent in the clear, as servers take it before they ask for TLS; all it tells is a number that ends with the session. */
#include "common/clientcancel.h"

#include <errno.h>
#include <libpq-events.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define CONNECTIONS 16 /* a job has two or three */

static volatile sig_atomic_t begun;
static struct {
  PGconn *conn;
  PGcancel *cancel;
} open_connections[CONNECTIONS]; /* changed only while the signal is blocked */

static void on_term(int sig) {
  int saved = errno;
  char reason[256];
  for (int i = 0; i < CONNECTIONS; i++)
    if (open_connections[i].cancel && PQtransactionStatus(open_connections[i].conn) == PQTRANS_ACTIVE)
      (void)PQcancel(open_connections[i].cancel, reason, sizeof reason);
  signal(sig, SIG_DFL);
  raise(sig); /* comes as we return */
  errno = saved;
}

static void replace(const PGconn *from, PGconn *to, PGcancel *cancel) {
  sigset_t term, before;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, &before);
  for (int i = 0; i < CONNECTIONS; i++) {
    if (open_connections[i].conn != from) continue;
    PQfreeCancel(open_connections[i].cancel);
    open_connections[i].conn = to;
    open_connections[i].cancel = cancel;
    cancel = NULL;
    break;
  }
  sigprocmask(SIG_SETMASK, &before, NULL);
  PQfreeCancel(cancel); /* no place was left */
}

static int on_event(PGEventId event, void *info, void *arg) {
  (void)arg;
  if (event == PGEVT_CONNDESTROY) replace(((PGEventConnDestroy *)info)->conn, NULL, NULL);
  return 1;
}

void clientcancel_watch(PGconn *conn) {
  if (!begun || !PQregisterEventProc(conn, on_event, "autodb cancel", NULL)) return;
  PGcancel *cancel = PQgetCancel(conn);
  if (cancel) replace(NULL, conn, cancel);
}

void clientcancel_begin(void) {
  const struct sigaction action = {.sa_handler = on_term};
  begun = 1;
  sigaction(SIGTERM, &action, NULL);
}
