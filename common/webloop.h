/* webloop.h - webcall inside an event loop: many calls at once, the same rules for each (webcall.h).
 *
 * Names are looked up on threads of libcurl's own; nothing here blocks. */
#ifndef AUTODB_WEBLOOP_H
#define AUTODB_WEBLOOP_H

#include <event2/event.h>

#include "webcall.h"

struct webloop;

/* The policy is borrowed, as webcall_new's is. */
MUST_CHECK enum status webloop_new(struct event_base *base, const struct netpolicy *policy, struct webloop **ret_loop, struct error *err);
void webloop_free(struct webloop *loop); /* calls under way are cut off; their callbacks don't run. Not from inside one */
int webloop_running(const struct webloop *loop);

/* answer NULL: there was none, and err says why as webcall_send does. Both are gone after the callback, what is in the arena is not. */
typedef void (*webloop_cb)(void *arg, const struct webcall_answer *answer, const struct error *err);
/* The callback runs once, from the loop, never from in here. request and arena are borrowed until then. On failure it doesn't run. */
MUST_CHECK enum status webloop_start(struct webloop *loop, const struct webcall_request *request, struct arena *arena, webloop_cb cb,
                                     void *arg, struct error *err);

#endif
