/* cancel.c - the signal is blocked but for inside ppoll(), so it can't slip in between looking and waiting. */
#include "worker/execute/cancel.h"

#include <signal.h>

static volatile sig_atomic_t asked;
static struct sigaction before;
static sigset_t mask_before;

static void on_term(int sig) {
  (void)sig;
  asked = 1;
}

void cancel_begin(void) {
  struct sigaction action = {.sa_handler = on_term};
  sigset_t term;
  asked = 0;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, &mask_before);
  sigaction(SIGTERM, &action, &before);
}

void cancel_end(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigaction(SIGTERM, &ignore, NULL); /* takes a pending one with it: what it would stop is over, and the answer must still go out */
  sigaction(SIGTERM, &before, NULL);
  sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

void cancel_poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
  const struct timespec timeout = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};
  if (ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, &mask_before) < 0)
    for (nfds_t i = 0; i < count; i++) fds[i].revents = 0;
}

bool cancel_asked(void) {
  cancel_poll(NULL, 0, 0);
  return asked;
}

enum status cancel_error(struct error *err) { return error_set_code(err, ERR_CONFLICT, "JOB_CANCELLED", "cancelled on request"); }

void cancel_child(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(SIGTERM, &action, NULL);
  sigprocmask(SIG_SETMASK, &mask_before, NULL);
}
