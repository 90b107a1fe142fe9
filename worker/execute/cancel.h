/* cancel.h - being told to stop: SIGTERM, a second before SIGKILL (worker/slots.h).
 *
 * Between cancel_begin and cancel_end the signal is only noticed, and only where we wait. Everything that may take long waits here. */
#ifndef AUTODB_EXECUTE_CANCEL_H
#define AUTODB_EXECUTE_CANCEL_H

#include <poll.h>

#include "common/error.h"

void cancel_begin(void);
void cancel_end(void); /* as it was before; a signal that came too late to matter is dropped */
bool cancel_asked(void);
enum status cancel_error(struct error *err); /* what a job that was told to stop fails with: JOB_CANCELLED */
/* poll() that ends early when we are told to stop. fds may be NULL. */
void cancel_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
void cancel_child(void); /* in a forked child: the signal ends it again */

#endif
