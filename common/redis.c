/* redis.c - one hiredis connection that keeps coming back.
 *
 * States: waiting (for the backoff) -> greeting (connect, AUTH, SELECT, PING on the wire at once) -> up -> waiting. A PONG and nothing less
 * makes it up: -NOAUTH and -LOADING come as errors to the PING. Every way down ends in lost(), which arranges the next try.
 *
 * hiredis frees its context after the connect callback (failure) or the disconnect callback (later). When the end is ours (a late
 * reply), `ac` is taken away first, so that what hiredis then calls back finds a stranger and does nothing. A command that can't be
 * sent is answered NULL from the next loop turn, never below redis_command.
 *
 * One timer, by state: backoff, greeting deadline, or the reply deadline, which is looked at lazily: replies only note that there was
 * progress. Subscriptions are the same connection with a SUBSCRIBE sent whenever it comes up. Names are resolved by hiredis, blocking. */
#include "common/redis.h"

#include <event2/http.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/metrics.h"

enum { KEEPALIVE_SECONDS = 15, WHY = 256 };

static struct metric lost_total =
    METRIC_COUNTER("autodb_redis_connections_lost_total", "Connections that broke or could not be made.", "when");

struct address {
  char *host, *path; /* path: a unix socket, then host is NULL */
  int port;
  char *user, *password;
  char db[12]; /* "" = 0, not selected */
};

enum redis_state { REDIS_WAITING, REDIS_GREETING, REDIS_UP };

struct command {
  struct command *next; /* while waiting to be refused */
  struct redis *redis;
  redis_cb cb;
  void *arg;
};

struct redis {
  struct event_base *base;
  struct address address;
  redisAsyncContext *ac; /* NULL while waiting */
  enum redis_state state;
  bool closing;
  struct event *timer;
  struct event *later; /* runs the refusals */
  struct command *refused, **refused_tail;
  int inflight;
  int64_t progress_ms; /* last reply, or first command after none were waiting */
  int64_t up_since;
  int failures;
  char fault[WHY]; /* why the greeting failed; explains the disconnection that follows */
  char why[WHY];
  void (*on_state)(void *arg, bool up);
  void *arg;
};

/* --- addresses --- */

static void address_free(struct address *address) {
  free(address->host);
  free(address->path);
  free(address->user);
  free(address->password);
}

static enum status bad_url(struct error *err, const char *what) {
  return error_set(err, ERR_VALIDATION,
                   "the Redis URL %s: expected redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path", what);
}

/* Percent-decoded copy; NULL when out of memory or when it would hold a NUL. */
static char *decoded(const char *text, size_t len) {
  size_t got = 0;
  char *copy = strndup(text, len), *plain = copy ? evhttp_uridecode(copy, 0, &got) : NULL;
  free(copy);
  if (plain && strlen(plain) != got) {
    free(plain);
    plain = NULL;
  }
  return plain;
}

static enum status parse_userinfo(const char *text, struct address *address, struct error *err) {
  if (!text || !*text) return OK;
  const char *colon = strchr(text, ':');
  if (!colon || !colon[1]) return bad_url(err, "names a user without a password");
  if (colon > text && !(address->user = decoded(text, (size_t)(colon - text)))) return bad_url(err, "has a malformed user");
  address->password = decoded(colon + 1, strlen(colon + 1));
  return address->password ? OK : bad_url(err, "has a malformed password");
}

static enum status parse_tcp(const struct evhttp_uri *uri, struct address *address, struct error *err) {
  const char *host = evhttp_uri_get_host(uri), *path = evhttp_uri_get_path(uri);
  size_t len = host ? strlen(host) : 0;
  if (len == 0) return bad_url(err, "names no host");
  bool bracketed = host[0] == '[' && host[len - 1] == ']';
  address->host = bracketed ? strndup(host + 1, len - 2) : strdup(host);
  if (!address->host) return error_oom(err);
  address->port = evhttp_uri_get_port(uri) < 0 ? 6379 : evhttp_uri_get_port(uri);
  if (address->port < 1 || address->port > 65535) return bad_url(err, "has a port outside 1 to 65535");
  if (!path || !*path || strcmp(path, "/") == 0) return OK;
  size_t digits = strspn(path + 1, "0123456789");
  if (path[1 + digits] || digits > 6) return bad_url(err, "has a database that is not a number");
  snprintf(address->db, sizeof address->db, "%.6s", path + 1);
  return OK;
}

static enum status parse_unix(const struct evhttp_uri *uri, struct address *address, struct error *err) {
  const char *host = evhttp_uri_get_host(uri), *path = evhttp_uri_get_path(uri);
  if (host && *host) return bad_url(err, "names a host before the socket's path (three slashes are wanted)");
  if (!path || path[0] != '/') return bad_url(err, "names no socket path");
  address->path = decoded(path, strlen(path));
  return address->path ? OK : bad_url(err, "has a malformed path");
}

static enum status parse_uri(const struct evhttp_uri *uri, struct address *address, struct error *err) {
  const char *scheme = evhttp_uri_get_scheme(uri), *query = evhttp_uri_get_query(uri);
  if (scheme && strcmp(scheme, "rediss") == 0)
    return bad_url(err, "asks for TLS (rediss://), which is not supported: use a private network, or a TLS tunnel on this machine");
  if (query || evhttp_uri_get_fragment(uri)) return bad_url(err, "has parameters");
  if (parse_userinfo(evhttp_uri_get_userinfo(uri), address, err)) return err->status;
  if (scheme && strcmp(scheme, "redis") == 0) return parse_tcp(uri, address, err);
  if (scheme && strcmp(scheme, "unix") == 0) return parse_unix(uri, address, err);
  return bad_url(err, "has another scheme");
}

static enum status address_parse(const char *url, struct address *ret_address, struct error *err) {
  struct evhttp_uri *uri = evhttp_uri_parse(url);
  if (!uri) return bad_url(err, "is malformed");
  struct address address = {0};
  enum status got = parse_uri(uri, &address, err);
  evhttp_uri_free(uri);
  if (got)
    address_free(&address);
  else
    *ret_address = address;
  return got;
}

/* --- refusing: cb(NULL), from the loop --- */

static void set_timer(struct redis *redis, int64_t ms) {
  struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  event_add(redis->timer, &tv);
}

/* A zero timer, not event_active: a callback that asks again at once then still lets the loop poll in between. */
static void refuse(struct command *command) {
  struct redis *redis = command->redis;
  command->next = NULL;
  *redis->refused_tail = command;
  redis->refused_tail = &command->next;
  event_add(redis->later, &(struct timeval){0});
}

static void run_refused(struct redis *redis) {
  struct command *command = redis->refused;
  redis->refused = NULL;
  redis->refused_tail = &redis->refused;
  while (command) {
    struct command *next = command->next;
    command->cb(command->arg, NULL);
    free(command);
    command = next;
  }
}

static void on_later(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  run_refused(arg);
}

/* --- down and up --- */

static void report(struct redis *redis, bool up) {
  if (redis->on_state && !redis->closing) redis->on_state(redis->arg, up);
}

/* The context is gone, or hiredis is about to free it. */
static void lost(struct redis *redis, const char *why) {
  bool was_up = redis->state == REDIS_UP;
  snprintf(redis->why, sizeof redis->why, "%s", *redis->fault ? redis->fault : why);
  metric_add(&lost_total, was_up ? "up" : "connecting", 1);
  if (was_up && clock_mono_ms() - redis->up_since > LIMIT_RECONNECT_MAX_MS) redis->failures = 0;
  redis->ac = NULL;
  redis->state = REDIS_WAITING;
  redis->inflight = 0;
  redis->fault[0] = '\0';
  int64_t ms = LIMIT_RECONNECT_MIN_MS;
  for (int i = 0; i < redis->failures && ms < LIMIT_RECONNECT_MAX_MS; i++) ms *= 2;
  if (ms > LIMIT_RECONNECT_MAX_MS) ms = LIMIT_RECONNECT_MAX_MS;
  redis->failures++;
  if (!redis->closing) set_timer(redis, ms / 2 + arc4random_uniform((uint32_t)(ms / 2 + 1)));
  if (was_up) report(redis, false);
}

/* Ends the connection from our side; callbacks of what is in flight run with NULL in here. Never below a hiredis callback. */
static void hang_up(struct redis *redis, const char *why) {
  redisAsyncContext *ac = redis->ac;
  lost(redis, why);
  if (ac) redisAsyncFree(ac);
}

static void on_disconnect(const redisAsyncContext *ac, int result) {
  (void)result;
  struct redis *redis = ac->data;
  if (redis->ac == ac) lost(redis, ac->errstr && *ac->errstr ? ac->errstr : "the connection was closed");
}

static void on_connect(redisAsyncContext *ac, int result) {
  struct redis *redis = ac->data;
  if (redis->ac == ac && result != REDIS_OK) lost(redis, ac->errstr && *ac->errstr ? ac->errstr : "the connection was refused");
}

/* Waits for the reply deadline only while something is waited for. */
static void watch_replies(struct redis *redis) {
  if (redis->inflight++ > 0) return;
  redis->progress_ms = clock_mono_ms();
  if (!event_pending(redis->timer, EV_TIMEOUT, NULL)) set_timer(redis, LIMIT_REDIS_REPLY_MS);
}

/* --- greeting --- */

/* The server's complaint, unless it quotes the password ("unknown command 'AUTH', with args beginning with: …"). */
static void set_fault(struct redis *redis, const char *text) {
  const char *password = redis->address.password;
  snprintf(redis->fault, sizeof redis->fault, "%s", password && strstr(text, password) ? "the server refused AUTH" : text);
}

static void on_greeting(redisAsyncContext *ac, void *got, void *data) {
  struct redis *redis = data;
  const redisReply *reply = got;
  if (!reply || redis->ac != ac || *redis->fault) return;
  if (reply->type == REDIS_REPLY_ERROR) {
    set_fault(redis, reply->str);
    redisAsyncFree(ac); /* after this callback, by way of on_disconnect */
  }
}

static void on_pong(redisAsyncContext *ac, void *got, void *data) {
  struct redis *redis = data;
  on_greeting(ac, got, data);
  if (!got || redis->ac != ac || *redis->fault) return;
  redis->state = REDIS_UP;
  redis->up_since = clock_mono_ms();
  event_del(redis->timer);
  report(redis, true);
}

static int greet(struct redis *redis) {
  const struct address *address = &redis->address;
  redisAsyncContext *ac = redis->ac;
  int failed = 0;
  if (address->password && address->user)
    failed |= redisAsyncCommand(ac, on_greeting, redis, "AUTH %s %s", address->user, address->password);
  else if (address->password)
    failed |= redisAsyncCommand(ac, on_greeting, redis, "AUTH %s", address->password);
  if (*address->db) failed |= redisAsyncCommand(ac, on_greeting, redis, "SELECT %s", address->db);
  return failed | redisAsyncCommand(ac, on_pong, redis, "PING");
}

static void start(struct redis *redis) {
  redisOptions options = {0};
  if (redis->address.path)
    REDIS_OPTIONS_SET_UNIX(&options, redis->address.path);
  else
    REDIS_OPTIONS_SET_TCP(&options, redis->address.host, redis->address.port);
  redis->state = REDIS_GREETING;
  redisAsyncContext *ac = redis->ac = redisAsyncConnectWithOptions(&options);
  if (!ac || ac->err) {
    hang_up(redis, ac && ac->errstr ? ac->errstr : "out of memory");
    return;
  }
  ac->data = redis;
  if (!redis->address.path) { /* a peer that vanished is noticed even when nothing is asked of it */
    redisEnableKeepAliveWithInterval(&ac->c, KEEPALIVE_SECONDS);
    redisSetTcpUserTimeout(&ac->c, LIMIT_REDIS_REPLY_MS);
  }
  set_timer(redis, LIMIT_REDIS_CONNECT_MS);
  if (redisLibeventAttach(ac, redis->base) || redisAsyncSetConnectCallbackNC(ac, on_connect) ||
      redisAsyncSetDisconnectCallback(ac, on_disconnect) || greet(redis))
    hang_up(redis, "out of memory");
}

static void check_replies(struct redis *redis) {
  if (redis->inflight == 0) return;
  int64_t left = redis->progress_ms + LIMIT_REDIS_REPLY_MS - clock_mono_ms();
  if (left > 0)
    set_timer(redis, left);
  else
    hang_up(redis, "the server did not reply in time");
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  (void)what;
  struct redis *redis = arg;
  if (redis->state == REDIS_WAITING)
    start(redis);
  else if (redis->state == REDIS_GREETING)
    hang_up(redis, "the server did not answer the greeting in time");
  else
    check_replies(redis);
}

/* --- the connection --- */

enum status redis_new(struct event_base *base, const char *url, void (*on_state)(void *arg, bool up), void *arg, struct redis **ret_redis,
                      struct error *err) {
  struct address address;
  if (address_parse(url, &address, err)) return err->status;
  struct redis *redis = calloc(1, sizeof *redis);
  if (!redis) {
    address_free(&address);
    return error_oom(err);
  }
  redis->base = base;
  redis->address = address;
  redis->refused_tail = &redis->refused;
  redis->on_state = on_state;
  redis->arg = arg;
  redis->timer = evtimer_new(base, on_timer, redis);
  redis->later = evtimer_new(base, on_later, redis);
  if (!redis->timer || !redis->later) {
    redis_free(redis);
    return error_oom(err);
  }
  metric_register(&lost_total);
  set_timer(redis, 0);
  *ret_redis = redis;
  return OK;
}

void redis_free(struct redis *redis) {
  if (!redis) return;
  redis->closing = true;
  if (redis->ac) hang_up(redis, "it was closed here");
  while (redis->refused) run_refused(redis);
  if (redis->timer) event_free(redis->timer);
  if (redis->later) event_free(redis->later);
  address_free(&redis->address);
  free(redis);
}

bool redis_up(const struct redis *redis) { return redis->state == REDIS_UP; }

const char *redis_why(const struct redis *redis) { return redis->why; }

/* --- commands --- */

static void on_reply(redisAsyncContext *ac, void *reply, void *data) {
  struct command *command = data;
  struct redis *redis = command->redis;
  if (redis->ac == ac) {
    redis->inflight--;
    redis->progress_ms = clock_mono_ms();
  }
  command->cb(command->arg, reply);
  free(command);
}

static void ignore_reply(void *arg, const redisReply *reply) {
  (void)arg;
  (void)reply;
}

void redis_command(struct redis *redis, redis_cb cb, void *arg, int argc, const char *const *argv, const size_t *lens) {
  struct command *command = calloc(1, sizeof *command);
  if (!command) abort(); /* a promised callback can't be kept, and nothing else can go on either */
  command->redis = redis;
  command->cb = cb ? cb : ignore_reply;
  command->arg = arg;
  const char **args = (const char **)(uintptr_t)argv; /* hiredis only reads them */
  bool sent = redis->state == REDIS_UP && !redis->closing && redis->inflight < LIMIT_REDIS_INFLIGHT &&
              redisAsyncCommandArgv(redis->ac, on_reply, command, argc, args, lens) == REDIS_OK;
  if (sent)
    watch_replies(redis);
  else
    refuse(command);
}

void redis_cmd(struct redis *redis, redis_cb cb, void *arg, ...) {
  enum { ARGS_MAX = 32 };
  const char *argv[ARGS_MAX];
  int argc = 0;
  va_list args;
  va_start(args, arg);
  for (const char *text; (text = va_arg(args, const char *));) {
    if (argc == ARGS_MAX) abort(); /* the caller wants redis_command */
    argv[argc++] = text;
  }
  va_end(args);
  redis_command(redis, cb, arg, argc, argv, NULL);
}

/* --- subscriptions --- */

struct redis_sub {
  struct redis *redis;
  const char **argv; /* "SUBSCRIBE" and the channels, which are ours */
  int argc, confirmed;
  redis_message_cb cb;
  void (*on_state)(void *arg, bool up);
  void *arg;
};

static bool is_up(const struct redis_sub *sub) { return sub->confirmed == sub->argc - 1; }

static void on_message(redisAsyncContext *ac, void *got, void *data) {
  const redisReply *reply = got;
  struct redis_sub *sub = data;
  if (!reply || sub->redis->ac != ac || reply->elements != 3) return;
  const redisReply *channel = reply->element[1], *body = reply->element[2];
  if (strcmp(reply->element[0]->str, "message") == 0) {
    sub->cb(sub->arg, channel->str, body->str, body->len);
  } else if (strcmp(reply->element[0]->str, "subscribe") == 0) {
    sub->confirmed++;
    if (is_up(sub) && sub->on_state) sub->on_state(sub->arg, true);
  }
}

static void on_sub_state(void *arg, bool up) {
  struct redis_sub *sub = arg;
  bool was_up = is_up(sub);
  sub->confirmed = 0;
  if (up)
    redisAsyncCommandArgv(sub->redis->ac, on_message, sub, sub->argc, sub->argv, NULL);
  else if (was_up && sub->on_state)
    sub->on_state(sub->arg, false);
}

enum status redis_subscribe(struct event_base *base, const char *url, const char *const *channels, int count, redis_message_cb cb,
                            void (*on_state)(void *arg, bool up), void *arg, struct redis_sub **ret_sub, struct error *err) {
  struct redis_sub *sub = calloc(1, sizeof *sub);
  if (!sub || !(sub->argv = calloc((size_t)count + 1, sizeof *sub->argv))) {
    free(sub);
    return error_oom(err);
  }
  bool ok = (sub->argv[0] = strdup("SUBSCRIBE")) != NULL;
  for (int i = 0; i < count; i++) ok = (sub->argv[i + 1] = strdup(channels[i])) && ok;
  sub->argc = count + 1;
  sub->cb = cb;
  sub->on_state = on_state;
  sub->arg = arg;
  if (!ok || redis_new(base, url, on_sub_state, sub, &sub->redis, err)) {
    redis_sub_free(sub);
    return ok ? err->status : error_oom(err);
  }
  *ret_sub = sub;
  return OK;
}

void redis_sub_free(struct redis_sub *sub) {
  if (!sub) return;
  redis_free(sub->redis);
  for (int i = 0; i < sub->argc; i++) free((void *)(uintptr_t)sub->argv[i]);
  free(sub->argv);
  free(sub);
}
