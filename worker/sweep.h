/* sweep.h - repairs: expired leases, due retries, lost bells, partitions, old keys. One worker at a time does it.
 *
 * The leader holds an advisory lock on a session of its own; losing the session is losing the office. Every statement is bounded and
 * re-checks what it read, so even two leaders for a moment do no harm. */
#ifndef AUTODB_SWEEP_H
#define AUTODB_SWEEP_H

#include <event2/event.h>

#include "common/config.h"
#include "worker/bell.h"

struct sweep;

MUST_CHECK enum status sweep_new(struct event_base *base, const struct config *cfg, struct bell *bell, struct sweep **ret_sweep,
                                 struct error *err);
void sweep_free(struct sweep *sweep); /* before the bell */
bool sweep_leads(const struct sweep *sweep);

#endif
