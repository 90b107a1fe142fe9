/* proxy.c - see proxy.h. Bytes read from one side wait in pieces, each with the time it is due on the other. */
#include "tests/chaos/proxy.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#define TICK_MS 2
#define LAST_WORDS_MS 500 /* what a closing side sent is still carried over */

struct piece {
  STAILQ_ENTRY(piece) next;
  int64_t due_ms;
  struct evbuffer *bytes;
};
struct flow {
  struct bufferevent *from, *to;
  STAILQ_HEAD(, piece) pieces;
  int64_t last_ms; /* pieces keep their order */
};

struct link {
  LIST_ENTRY(link) next;
  struct proxy *proxy;
  struct bufferevent *client, *server;
  struct flow up, down;
  int64_t closing_ms; /* 0 = open */
};

struct proxy {
  struct proxies *all;
  struct evconnlistener *listener;
  int port, target;
  atomic_bool held;
  LIST_HEAD(, link) links;
};

struct proxies {
  struct event_base *base;
  struct event *tick;
  pthread_t thread;
  atomic_int delay_ms, cuts;
  atomic_bool stop;
  int cuts_done;
  struct proxy proxy[PROXY_COUNT];
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- pieces --- */

static void drop(struct flow *flow) {
  for (struct piece *piece; (piece = STAILQ_FIRST(&flow->pieces));) {
    STAILQ_REMOVE_HEAD(&flow->pieces, next);
    evbuffer_free(piece->bytes);
    free(piece);
  }
}

static void forward(struct flow *flow, int64_t now) {
  for (struct piece *piece; (piece = STAILQ_FIRST(&flow->pieces)) && piece->due_ms <= now;) {
    STAILQ_REMOVE_HEAD(&flow->pieces, next);
    bufferevent_write_buffer(flow->to, piece->bytes);
    evbuffer_free(piece->bytes);
    free(piece);
  }
}

static void take(struct proxies *all, struct flow *flow, int64_t now) {
  int delay = atomic_load(&all->delay_ms);
  struct piece *piece = calloc(1, sizeof *piece);
  if (!piece || !(piece->bytes = evbuffer_new())) abort();
  bufferevent_read_buffer(flow->from, piece->bytes);
  piece->due_ms = now + (delay ? delay / 2 + (int)arc4random_uniform((unsigned)delay / 2 + 1) : 0);
  if (piece->due_ms < flow->last_ms) piece->due_ms = flow->last_ms;
  flow->last_ms = piece->due_ms;
  STAILQ_INSERT_TAIL(&flow->pieces, piece, next);
}

static void pump(struct link *link, int64_t now) {
  forward(&link->up, now);
  if (!atomic_load(&link->proxy->held)) forward(&link->down, now);
}

/* --- links --- */

static void link_free(struct link *link) {
  LIST_REMOVE(link, next);
  drop(&link->up);
  drop(&link->down);
  bufferevent_free(link->client);
  bufferevent_free(link->server);
  free(link);
}

static void link_reset(struct link *link) {
  struct linger linger = {.l_onoff = 1};
  setsockopt(bufferevent_getfd(link->client), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  setsockopt(bufferevent_getfd(link->server), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  link_free(link);
}

static void on_read(struct bufferevent *from, void *arg) {
  struct link *link = arg;
  int64_t now = now_ms();
  take(link->proxy->all, from == link->client ? &link->up : &link->down, now);
  pump(link, now);
}

static void on_event(struct bufferevent *from, short what, void *arg) {
  struct link *link = arg;
  (void)from;
  if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR) && !link->closing_ms) link->closing_ms = now_ms();
}

/* Whoever closed has said all; the link goes once that is through, or soon. */
static bool is_over(const struct link *link, int64_t now) {
  if (!link->closing_ms) return false;
  bool through = STAILQ_EMPTY(&link->up.pieces) && STAILQ_EMPTY(&link->down.pieces) &&
                 !evbuffer_get_length(bufferevent_get_output(link->client)) && !evbuffer_get_length(bufferevent_get_output(link->server));
  return through || now - link->closing_ms > LAST_WORDS_MS;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int from_len, void *arg) {
  struct proxy *proxy = arg;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)proxy->target)};
  struct link *link = calloc(1, sizeof *link);
  (void)listener, (void)from, (void)from_len;
  if (!link) abort();
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  link->proxy = proxy;
  link->client = bufferevent_socket_new(proxy->all->base, fd, BEV_OPT_CLOSE_ON_FREE);
  int out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); /* a program started meanwhile would keep it open */
  link->server = bufferevent_socket_new(proxy->all->base, out, BEV_OPT_CLOSE_ON_FREE);
  link->up = (struct flow){.from = link->client, .to = link->server};
  link->down = (struct flow){.from = link->server, .to = link->client};
  STAILQ_INIT(&link->up.pieces);
  STAILQ_INIT(&link->down.pieces);
  LIST_INSERT_HEAD(&proxy->links, link, next);
  bufferevent_setcb(link->client, on_read, NULL, on_event, link);
  bufferevent_setcb(link->server, on_read, NULL, on_event, link);
  bufferevent_enable(link->client, EV_READ | EV_WRITE);
  bufferevent_enable(link->server, EV_READ | EV_WRITE);
  if (bufferevent_socket_connect(link->server, (struct sockaddr *)&address, sizeof address) != 0) link->closing_ms = 1;
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
  struct proxies *all = arg;
  int64_t now = now_ms();
  int cuts = atomic_load(&all->cuts);
  (void)fd, (void)what;
  for (int i = 0; i < PROXY_COUNT; i++) {
    struct link *link, *next;
    for (link = LIST_FIRST(&all->proxy[i].links); link; link = next) {
      next = LIST_NEXT(link, next);
      pump(link, now);
      if (cuts != all->cuts_done)
        link_reset(link);
      else if (is_over(link, now))
        link_free(link);
    }
  }
  all->cuts_done = cuts;
  if (atomic_load(&all->stop)) event_base_loopbreak(all->base);
}

static void *loop(void *arg) {
  struct proxies *all = arg;
  event_base_dispatch(all->base);
  return NULL;
}

/* --- birth, death, controls --- */

static void listen_on(struct proxies *all, struct proxy *proxy, int target) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  proxy->all = all;
  proxy->target = target;
  LIST_INIT(&proxy->links);
  proxy->listener = evconnlistener_new_bind(all->base, on_accept, proxy, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 128,
                                            (struct sockaddr *)&address, sizeof address);
  if (!proxy->listener || getsockname(evconnlistener_get_fd(proxy->listener), (struct sockaddr *)&address, &len) != 0) abort();
  proxy->port = ntohs(address.sin_port);
}

struct proxies *proxies_new(const int target_ports[PROXY_COUNT]) {
  struct proxies *all = calloc(1, sizeof *all);
  if (!all || !(all->base = event_base_new())) abort();
  for (int i = 0; i < PROXY_COUNT; i++) listen_on(all, &all->proxy[i], target_ports[i]);
  all->tick = event_new(all->base, -1, EV_PERSIST, on_tick, all);
  event_add(all->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
  if (pthread_create(&all->thread, NULL, loop, all) != 0) abort();
  return all;
}

void proxies_free(struct proxies *all) {
  if (!all) return;
  atomic_store(&all->stop, true);
  pthread_join(all->thread, NULL);
  for (int i = 0; i < PROXY_COUNT; i++) {
    for (struct link *link; (link = LIST_FIRST(&all->proxy[i].links));) link_free(link);
    evconnlistener_free(all->proxy[i].listener);
  }
  event_free(all->tick);
  event_base_free(all->base);
  free(all);
}

int proxies_port(const struct proxies *all, enum proxy_name name) { return all->proxy[name].port; }
void proxies_delay(struct proxies *all, int ms) { atomic_store(&all->delay_ms, ms); }
void proxies_hold(struct proxies *all, enum proxy_name name, bool held) { atomic_store(&all->proxy[name].held, held); }
void proxies_cut(struct proxies *all) { atomic_fetch_add(&all->cuts, 1); }
