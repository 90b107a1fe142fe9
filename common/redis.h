/* redis.h - hiredis on an event loop, with reconnection; the bell, never the record.
 *
 * Two uses, two connections: `redis_command` for ordinary commands, pipelined by hiredis; `redis_subscribe` keeps one more
 * connection for pub/sub messages. A blocking read (XREADGROUP … BLOCK) wants a redis of its own, since it holds up all behind it.
 * Commands given while the server is away fail at once with reply NULL; callers count that and go on.
 * A reply that is LIMIT_REDIS_REPLY_MS late costs the connection, so BLOCK must be shorter than that.
 * hiredis frees its context when the connection goes: it is held behind this wrapper and replaced from the loop only. */
#ifndef AUTODB_REDIS_H
#define AUTODB_REDIS_H

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "error.h"

struct redis;

/* Called once per command, from the loop; reply borrowed, NULL when the connection was lost or down; error replies are passed
 * as they are (reply->type == REDIS_REPLY_ERROR). */
typedef void (*redis_cb)(void *arg, const redisReply *reply);

/* url: redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path, percent-encoded where a URL needs it; never echoed.
 * Authenticates and selects before any other command; a server that wants a password or is still loading is not up. on_state as in
 * pgloop.h. */
MUST_CHECK enum status redis_new(struct event_base *base, const char *url, void (*on_state)(void *arg, bool up), void *arg,
                                 struct redis **ret_redis, struct error *err);
void redis_free(struct redis *redis); /* outstanding callbacks run with NULL first; not from inside a callback of this redis */
bool redis_up(const struct redis *redis);
/* Why the connection was last lost or not made; "" when that never happened. Holds no password. */
const char *redis_why(const struct redis *redis);
/* argv form: bytes go as they are. cb may be NULL. lens NULL = strlen each. */
void redis_command(struct redis *redis, redis_cb cb, void *arg, int argc, const char *const *argv, const size_t *lens);
/* Fixed-arity convenience, ends with NULL. */
void redis_cmd(struct redis *redis, redis_cb cb, void *arg, ...) __attribute__((sentinel));

/* Delivers every message of the channels (re-subscribes after each reconnect; messages sent meanwhile are lost, as always). on_state(up)
 * follows the server's confirmation: what is published after it arrives. */
struct redis_sub;
typedef void (*redis_message_cb)(void *arg, const char *channel, const char *message, size_t len);
MUST_CHECK enum status redis_subscribe(struct event_base *base, const char *url, const char *const *channels, int count,
                                       redis_message_cb cb, void (*on_state)(void *arg, bool up), void *arg, struct redis_sub **ret_sub,
                                       struct error *err);
void redis_sub_free(struct redis_sub *sub);

#endif
