/* courier.h - the supervisor's side of the process that delivers webhooks (worker/webhook): started, started again when it dies, and
 * counted. */
#ifndef AUTODB_COURIER_H
#define AUTODB_COURIER_H

#include <event2/event.h>
#include <sys/types.h>

#include "common/config.h"

struct courier_watch;

MUST_CHECK enum status courier_watch_new(struct event_base *base, const struct config *cfg, struct courier_watch **ret_watch,
                                         struct error *err);
void courier_watch_free(struct courier_watch *watch);  /* stops it, within three seconds */
void courier_watch_drain(struct courier_watch *watch); /* tells it to stop, and starts none again */
void courier_watch_tick(struct courier_watch *watch);  /* once a second */
/* Was it ours? Called when a child has been reaped; watch may be NULL. */
bool courier_watch_reap(struct courier_watch *watch, pid_t pid, int status);

#endif
