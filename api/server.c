/* server.c - see server.h. */
#include "api/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/conn.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#define SWEEP_MS 250
#define SCRATCH_MAX (1024 * 1024) /* heads, and bodies small enough to be copied */
#define BACKLOG 1024

static struct metric open_connections = METRIC_GAUGE("autodb_http_connections", "Open client connections.", NULL);
static struct metric refused = METRIC_COUNTER("autodb_http_connections_refused_total", "Connections answered 503 at the cap.", NULL);

STAILQ_HEAD(again_list, conn);
struct server {
  struct loop *loop;
  struct evconnlistener *listener;
  struct event *sweep;
  struct conn_list lists[CONN_STATES];
  struct again_list again;
  struct buf scratch;
  int count;
  bool draining, paused; /* paused: out of file descriptors, accepting again at the next sweep */
  time_t date_second;
  char date[32];
};

/* Milliseconds a connection may stay in a state; 0 = as long as it takes. */
static const int allowance_ms[CONN_STATES] = {[CONN_IDLE] = LIMIT_HTTP_IDLE_MS,
                                              [CONN_HEAD] = LIMIT_HTTP_HEAD_MS,
                                              [CONN_BODY] = LIMIT_HTTP_BODY_MS,
                                              [CONN_UPLOAD] = LIMIT_UPLOAD_WINDOW_MS,
                                              [CONN_FLUSH] = 30000,
                                              [CONN_LINGER] = 2000};

void server_move(struct conn *conn, enum conn_state state) {
  struct server *server = conn->server;
  if (conn->state != CONN_STATES) TAILQ_REMOVE(&server->lists[conn->state], conn, link);
  conn->state = state;
  conn->deadline = allowance_ms[state] ? clock_mono_ms() + allowance_ms[state] : 0;
  TAILQ_INSERT_TAIL(&server->lists[state], conn, link);
}

void server_again(struct conn *conn) {
  if (conn->again) return;
  conn->again = true;
  STAILQ_INSERT_TAIL(&conn->server->again, conn, again_link);
}

struct loop *server_loop(struct server *server) {
  return server->loop;
}
bool server_draining(const struct server *server) { return server->draining; }
int server_connections(const struct server *server) { return server->count; }

struct buf *server_scratch(struct server *server) {
  buf_reset(&server->scratch);
  return &server->scratch;
}

const char *server_date(struct server *server) {
  time_t now = (time_t)(clock_wall_ms() / 1000);
  if (now != server->date_second) {
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    server->date_second = now;
  }
  return server->date;
}

/* --- accepting --- */

static void refuse(evutil_socket_t fd) {
  static const char body[] = "{\"success\": false, \"data\": null, \"error\": {\"code\": \"UNAVAILABLE\", \"message\": \"Too many "
                             "connections.\", \"details\": null}}";
  char answer[512];
  int len = snprintf(answer, sizeof answer,
                     "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nRetry-After: "
                     "1\r\nConnection: close\r\n\r\n%s",
                     sizeof body - 1, body);
  metric_add(&refused, NULL, 1);
  if (send(fd, answer, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) shutdown(fd, SHUT_WR);
  close(fd);
}

static void arm_sweep(struct server *server) {
  const struct timeval tv = {0, SWEEP_MS * 1000};
  if (!event_pending(server->sweep, EV_TIMEOUT, NULL)) event_add(server->sweep, &tv);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len, void *arg) {
  struct server *server = arg;
  (void)listener;
  (void)peer;
  (void)len;
  if (server->count >= LIMIT_HTTP_CONNS_PER_LOOP) {
    refuse(fd);
    return;
  }
  struct conn *conn = conn_new(server, fd);
  if (!conn) return;
  server->count++;
  metric_add(&open_connections, NULL, 1);
  server_move(conn, CONN_IDLE);
  arm_sweep(server);
}

static void on_accept_error(struct evconnlistener *listener, void *arg) {
  struct server *server = arg;
  log_event(LOG_WARN, "can't accept connections", "reason", strerror(errno), NULL);
  evconnlistener_disable(listener);
  server->paused = true;
  arm_sweep(server);
}

/* --- the end of a turn --- */

static void sweep(evutil_socket_t fd, short what, void *arg) {
  struct server *server = arg;
  (void)fd;
  (void)what;
  int64_t now = clock_mono_ms();
  for (int state = 0; state < CONN_STATES; state++) {
    if (!allowance_ms[state]) continue;
    for (struct conn *conn; (conn = TAILQ_FIRST(&server->lists[state])) && conn->deadline <= now;) conn_expire(conn);
  }
  if (server->paused && server->listener) {
    server->paused = false;
    evconnlistener_enable(server->listener);
  }
  if (server->count) arm_sweep(server);
}

static void reap(struct server *server) {
  for (struct conn *conn; (conn = TAILQ_FIRST(&server->lists[CONN_DEAD]));) {
    TAILQ_REMOVE(&server->lists[CONN_DEAD], conn, link);
    if (conn->again) STAILQ_REMOVE(&server->again, conn, conn, again_link);
    conn_free(conn);
    server->count--;
    metric_add(&open_connections, NULL, -1);
  }
}

bool server_turn(struct server *server) {
  /* Only those here now: one that pipelines without end waits for the next turn. */
  struct again_list now = STAILQ_HEAD_INITIALIZER(now);
  STAILQ_CONCAT(&now, &server->again);
  for (struct conn *conn; (conn = STAILQ_FIRST(&now));) {
    STAILQ_REMOVE_HEAD(&now, again_link);
    conn->again = false;
    conn_continue(conn);
  }
  reap(server);
  return !STAILQ_EMPTY(&server->again);
}

void server_accept(struct server *server) {
  if (server->listener) evconnlistener_enable(server->listener);
}

void server_stop_accepting(struct server *server) {
  if (server->listener) evconnlistener_free(server->listener);
  server->listener = NULL;
}

void server_drain(struct server *server) {
  server_stop_accepting(server);
  server->draining = true;
  struct conn *conn, *next;
  TAILQ_FOREACH(conn, &server->lists[CONN_BUSY], link) {
    conn->closing = true;
    if (conn->req.hurry) conn->req.hurry(&conn->req);
  }
  for (conn = TAILQ_FIRST(&server->lists[CONN_IDLE]); conn; conn = next) {
    next = TAILQ_NEXT(conn, link);
    server_move(conn, CONN_DEAD);
  }
}

/* --- birth and death --- */

static enum status resolve(const char *address, int port, struct sockaddr_storage *ret_addr, socklen_t *ret_len, struct error *err) {
  char service[16];
  snprintf(service, sizeof service, "%d", port);
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
  int failed = getaddrinfo(*address ? address : NULL, service, &hints, &found);
  if (failed) return error_set(err, ERR_VALIDATION, "AUTODB_LISTEN: \"%s\" is not an address: %s.", address, gai_strerror(failed));
  memcpy(ret_addr, found->ai_addr, found->ai_addrlen);
  *ret_len = found->ai_addrlen;
  freeaddrinfo(found);
  return OK;
}

enum status server_pick_port(const char *address, int port, int *ret_port, struct error *err) {
  struct sockaddr_storage addr;
  socklen_t len;
  enum status status = resolve(address, port, &addr, &len, err);
  if (status != OK) return status;
  int on = 1, fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return error_set(err, ERR_UNAVAILABLE, "Can't open a socket: %s.", strerror(errno));
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, 1) || getsockname(fd, (struct sockaddr *)&addr, &len)) {
    error_set(err, ERR_UNAVAILABLE, "Can't listen on %s port %d: %s. Choose another AUTODB_PORT, or 0 for a free one.", address, port,
              strerror(errno));
    close(fd);
    return err->status;
  }
  *ret_port = ntohs(addr.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&addr)->sin6_port : ((struct sockaddr_in *)&addr)->sin_port);
  close(fd);
  return OK;
}

enum status server_new(struct loop *loop, const char *address, int port, struct server **ret_server, struct error *err) {
  struct sockaddr_storage addr;
  socklen_t len;
  enum status status = resolve(address, port, &addr, &len, err);
  if (status != OK) return status;
  struct server *server = calloc(1, sizeof *server);
  if (!server) return error_oom(err);
  server->loop = loop;
  buf_init(&server->scratch, SCRATCH_MAX);
  for (int i = 0; i < CONN_STATES; i++) TAILQ_INIT(&server->lists[i]);
  STAILQ_INIT(&server->again);
  server->sweep = event_new(loop->base, -1, 0, sweep, server);
  server->listener =
      evconnlistener_new_bind(loop->base, on_accept, server,
                              LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT | LEV_OPT_DISABLED,
                              BACKLOG, (struct sockaddr *)&addr, (int)len);
  if (!server->listener || !server->sweep) {
    error_set(err, ERR_UNAVAILABLE, "Can't listen on %s port %d: %s.", address, port, strerror(errno));
    server_free(server);
    return err->status;
  }
  evconnlistener_set_error_cb(server->listener, on_accept_error);
  *ret_server = server;
  return OK;
}

void server_free(struct server *server) {
  if (!server) return;
  server_stop_accepting(server);
  for (int i = 0; i < CONN_STATES; i++)
    for (struct conn *conn; (conn = TAILQ_FIRST(&server->lists[i]));) {
      TAILQ_REMOVE(&server->lists[i], conn, link);
      conn_free(conn);
    }
  if (server->sweep) event_free(server->sweep);
  buf_free(&server->scratch);
  free(server);
}
