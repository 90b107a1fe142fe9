/* conn.c - see conn.h.
 *
 * Reading stays on while a request runs, so that a hang-up is noticed, until a watermark of pipelined input is reached. Answers are sent
 * straight to the socket; what it doesn't take goes through the bufferevent. Closing is always half-close first and a short read, so that
 * the client gets the answer instead of a reset. */
#include "api/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/router.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#define READ_WATERMARK (64 * 1024)
#define LINGER_BYTES (1024 * 1024)       /* discarded at most while closing … */
#define LINGER_UPLOAD (64 * 1024 * 1024) /* … and of a refused upload: most clients read no answer before they have sent all */
#define REQUEST_ARENA (256u << 20)       /* ceiling; a request uses a few KiB */
#define INLINE_BODY (64 * 1024)          /* larger bodies are handed over instead of copied */
#define STREAM_PATIENCE_MS 30000
#define STREAM_UNSENT (16 * 1024) /* bytes */
#define FLUSH_ABOVE (256 * 1024)  /* unsent bytes above which the next request waits */

static struct metric requests = METRIC_COUNTER("autodb_http_requests_total", "HTTP requests answered, by status class.", "class");

static void fail_framing(struct conn *conn, const struct error *err);

static void die(struct conn *conn) {
  if (conn->state == CONN_DEAD) return;
  conn->gone = true;
  if (conn->state != CONN_BUSY) server_move(conn, CONN_DEAD); /* a running request keeps it until its answer */
}

/* --- reading --- */

/* libevent calls back for as long as a full input is left alone: it must be told to stop. */
static void pause_reading(struct conn *conn) {
  if (conn->paused || evbuffer_get_length(bufferevent_get_input(conn->bev)) < READ_WATERMARK) return;
  conn->paused = true;
  bufferevent_disable(conn->bev, EV_READ);
}

static void resume_reading(struct conn *conn) {
  if (!conn->paused) return;
  conn->paused = false;
  bufferevent_enable(conn->bev, EV_READ);
}

static void begin_request(struct conn *conn) {
  arena_reset(conn->arena);
  buf_free(&conn->req.headers);
  http_reset(&conn->http);
  conn->head_only = conn->body_read = conn->streams = false;
  conn->req = (struct request){
      .conn = conn, .loop = server_loop(conn->server), .arena = conn->arena, .http = &conn->http, .started_us = clock_mono_us()};
  buf_init(&conn->req.headers, 4096);
  conn->requests++;
}

/* Hands on what has arrived of a body that isn't kept. */
static enum status use_body(struct conn *conn, struct error *err) {
  const struct route_upload *upload = conn->req.route->upload;
  struct buf *body = &conn->http.body;
  if (!upload || !body->len) return OK;
  enum status status = upload->take(&conn->req, body->data, body->len, err);
  http_drop_body(&conn->http);
  return status;
}

/* Body bytes out of the input; true when the body is complete. */
static bool take_body(struct conn *conn) {
  struct evbuffer *input = bufferevent_get_input(conn->bev);
  bool done = !http_has_body(&conn->http);
  while (!done && evbuffer_get_length(input)) {
    ERROR_AUTO err = {0};
    size_t len = evbuffer_get_contiguous_space(input), used;
    const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)len);
    if (http_feed_body(&conn->http, data, len, router_body_cap(conn->req.route), &used, &done, &err) != OK || use_body(conn, &err) != OK) {
      fail_framing(conn, &err);
      return false;
    }
    evbuffer_drain(input, used);
  }
  return done;
}

static void advance_body(struct conn *conn) {
  if (!take_body(conn)) return;
  conn->body_read = true;
  server_move(conn, CONN_BUSY);
  router_run(&conn->req);
}

static void advance_head(struct conn *conn) {
  struct evbuffer *input = bufferevent_get_input(conn->bev);
  if (conn->state == CONN_IDLE) { /* blank lines before a request line are skipped (RFC 9112 section 2.2) */
    char crlf[2];
    while (evbuffer_copyout(input, crlf, 2) == 2 && memcmp(crlf, "\r\n", 2) == 0) evbuffer_drain(input, 2);
    if (evbuffer_get_length(input) == 0) return;
    begin_request(conn);
    server_move(conn, CONN_HEAD);
  }
  ERROR_AUTO err = {0};
  size_t len = evbuffer_get_length(input), head_len = 0;
  if (len > LIMIT_HTTP_HEAD_BYTES) len = LIMIT_HTTP_HEAD_BYTES;
  const char *data = (const char *)evbuffer_pullup(input, (ev_ssize_t)len);
  if (http_scan(&conn->http, data, len, &head_len, &err) != OK) {
    fail_framing(conn, &err);
    return;
  }
  if (!head_len) return;
  char *head = arena_strndup(conn->arena, data, head_len);
  evbuffer_drain(input, head_len);
  server_move(conn, CONN_BUSY);
  if (!head || http_parse_head(&conn->http, head, head_len, &err) != OK) {
    if (!head) error_oom(&err);
    fail_framing(conn, &err);
    return;
  }
  conn->head_only = conn->http.method == HTTP_HEAD;
  conn->closing = !conn->http.keep_alive || conn->requests >= LIMIT_HTTP_REQUESTS_PER_CONN;
  router_begin(&conn->req); /* ends in conn_admitted or an answer */
}

void conn_admitted(struct conn *conn) {
  if (conn->gone && http_has_body(&conn->http) && evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0) {
    server_move(conn, CONN_DEAD);
    return;
  }
  server_move(conn, conn->req.route->upload ? CONN_UPLOAD : CONN_BODY);
  conn->arrived = 0;
  resume_reading(conn);
  if (conn->http.expect_continue && evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0 && http_has_body(&conn->http)) {
    static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
    bufferevent_write(conn->bev, go, sizeof go - 1);
  }
  advance_body(conn);
}

void conn_continue(struct conn *conn) {
  switch (conn->state) {
  case CONN_IDLE:
  case CONN_HEAD: advance_head(conn); break;
  case CONN_BODY:
  case CONN_UPLOAD: advance_body(conn); break;
  default: break;
  }
  if (conn->state == CONN_BUSY || conn->state == CONN_FLUSH)
    pause_reading(conn);
  else
    resume_reading(conn);
}

static void linger_read(struct conn *conn) {
  struct evbuffer *input = bufferevent_get_input(conn->bev);
  conn->lingered += evbuffer_get_length(input);
  evbuffer_drain(input, evbuffer_get_length(input));
  const struct route *route = conn->req.route;
  if (conn->lingered > (route && route->upload ? LINGER_UPLOAD : LINGER_BYTES) || conn->gone) die(conn);
}

static void on_read(struct bufferevent *bev, void *arg) {
  struct conn *conn = arg;
  (void)bev;
  if (conn->state == CONN_LINGER)
    linger_read(conn);
  else
    conn_continue(conn);
}

/* --- writing --- */

static void start_linger(struct conn *conn) {
  shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
  server_move(conn, CONN_LINGER);
  resume_reading(conn);
  linger_read(conn);
}

/* Called when all output has been handed to the kernel. */
static void on_drained(struct bufferevent *bev, void *arg) {
  struct conn *conn = arg;
  (void)bev;
  if (conn->state != CONN_FLUSH) return;
  if (conn->closing) {
    start_linger(conn);
    return;
  }
  server_move(conn, CONN_IDLE);
  server_again(conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
  struct conn *conn = arg;
  (void)bev;
  conn->gone = true;
  if (conn->state == CONN_BUSY) {
    if (conn->req.hurry) conn->req.hurry(&conn->req);
    return;
  }
  /* A half-closed client still gets what is on its way out. */
  if (conn->state == CONN_FLUSH && (what & BEV_EVENT_EOF)) {
    conn->closing = true;
    return;
  }
  die(conn);
}

/* Sends at once what the socket takes; the rest goes to the output buffer. False when the connection is broken. */
static bool send_now(struct conn *conn, const char *data, size_t len) {
  struct evbuffer *output = bufferevent_get_output(conn->bev);
  size_t sent = 0;
  if (evbuffer_get_length(output) == 0) {
    ssize_t n = send(bufferevent_getfd(conn->bev), data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (n > 0) sent = (size_t)n;
  }
  return sent == len || bufferevent_write(conn->bev, data + sent, len - sent) == 0;
}

static void free_body(const void *data, size_t len, void *arg) {
  (void)len;
  (void)arg;
  free((void *)(uintptr_t)data);
}

static bool send_body(struct conn *conn, struct buf *body) {
  size_t len = body->len;
  char *data = buf_take(body);
  if (!data) return false;
  struct evbuffer *output = bufferevent_get_output(conn->bev);
  if (evbuffer_add_reference(output, data, len, free_body, NULL) == 0) return true;
  free(data);
  return false;
}

static void after_answer(struct conn *conn) {
  size_t left = evbuffer_get_length(bufferevent_get_output(conn->bev));
  conn->req.hurry = NULL;
  conn->flush_left = left;
  if (!conn->closing && left <= FLUSH_ABOVE) {
    server_move(conn, CONN_IDLE);
    if (evbuffer_get_length(bufferevent_get_input(conn->bev))) server_again(conn);
  } else if (left) {
    server_move(conn, CONN_FLUSH);
  } else {
    start_linger(conn);
  }
}

static void put_head(struct conn *conn, struct buf *out, int http_status, const char *content_type, size_t body_len) {
  struct request *req = &conn->req;
  buf_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n",
             http_status, http_status_text(http_status), server_date(conn->server), req->request_id);
  if (content_type) buf_printf(out, "Content-Type: %s\r\n", content_type);
  if (conn->streams && conn->http.minor > 0) buf_puts(out, "Transfer-Encoding: chunked\r\n");
  if (!conn->streams && http_status != 204) buf_printf(out, "Content-Length: %zu\r\n", body_len);
  buf_append(out, buf_str(&req->headers), req->headers.len);
  if (conn->closing)
    buf_puts(out, "Connection: close\r\n");
  else if (conn->http.minor == 0)
    buf_puts(out, "Connection: keep-alive\r\n");
  buf_puts(out, "\r\n");
}

static void count(const struct conn *conn, int http_status) {
  static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
  metric_add(&requests, classes[http_status / 100 - 1], 1);
  /* Outages are logged when they begin and end, not once per request. */
  if (http_status >= 500 && http_status != 503)
    request_log(LOG_WARN, &conn->req, "request failed", "status", log_fmt("%d", http_status), "path", conn->http.path, NULL);
}

/* A body nobody read would be taken for the next request: it is dropped when it is all here, else the connection has to close. */
static bool skip_body(struct conn *conn) {
  struct evbuffer *input = bufferevent_get_input(conn->bev);
  size_t missing = (size_t)(conn->http.content_length - (int64_t)http_body_received(&conn->http));
  if (conn->http.chunked || evbuffer_get_length(input) < missing) return false;
  return evbuffer_drain(input, missing) == 0;
}

/* The head of an answer of known length, not sent yet. */
static struct buf *begin_answer(struct conn *conn, int http_status, const char *content_type, size_t body_len) {
  count(conn, http_status);
  if (server_draining(conn->server) || conn->gone) conn->closing = true;
  if (http_has_body(&conn->http) && !conn->body_read && !skip_body(conn)) conn->closing = true;
  struct buf *out = server_scratch(conn->server);
  put_head(conn, out, http_status, content_type, body_len);
  return out;
}

void conn_answer(struct conn *conn, int http_status, const char *content_type, struct buf *body) {
  struct buf *out = begin_answer(conn, http_status, content_type, body->len);
  bool with_body = body->len && !conn->head_only, apart = body->len > INLINE_BODY;
  if (with_body && !apart) buf_append(out, body->data, body->len);
  if (!buf_ok(out) || !send_now(conn, out->data, out->len) || (with_body && apart && !send_body(conn, body))) {
    server_move(conn, CONN_DEAD);
    return;
  }
  after_answer(conn);
}

static bool send_file(struct conn *conn, int take_fd, int64_t bytes) {
  struct evbuffer_file_segment *segment = evbuffer_file_segment_new(take_fd, 0, bytes, EVBUF_FS_CLOSE_ON_FREE);
  if (!segment) {
    close(take_fd);
    return false;
  }
  bool added = evbuffer_add_file_segment(bufferevent_get_output(conn->bev), segment, 0, bytes) == 0;
  evbuffer_file_segment_free(segment); /* the output holds it, too */
  return added;
}

void conn_answer_file(struct conn *conn, const char *content_type, int take_fd, int64_t bytes) {
  struct buf *out = begin_answer(conn, 200, content_type, (size_t)bytes);
  bool with_body = bytes && !conn->head_only;
  if (!with_body) close(take_fd);
  if (!buf_ok(out) || !send_now(conn, out->data, out->len)) {
    if (with_body) close(take_fd);
    server_move(conn, CONN_DEAD);
  } else if (with_body && !send_file(conn, take_fd, bytes)) {
    server_move(conn, CONN_DEAD);
  } else {
    after_answer(conn);
  }
}

/* --- an answer of unknown length --- */

bool conn_stream_begin(struct conn *conn, const char *content_type) {
  int fd = bufferevent_getfd(conn->bev), patience_ms = STREAM_PATIENCE_MS, unsent = STREAM_UNSENT;
  if (conn->req.answered) abort(); /* see reply.c */
  conn->req.answered = conn->streams = conn->closing = true;
  count(conn, 200);
  struct buf *out = server_scratch(conn->server);
  put_head(conn, out, 200, content_type, 0);
  buf_free(&conn->req.headers); /* ten thousand of these are open at once */
  buf_free(&conn->http.body);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience_ms, sizeof patience_ms);
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent); /* else the kernel queues megabytes of old news */
  return !conn->gone && buf_ok(out) && send_now(conn, out->data, out->len);
}

bool conn_stream_write(struct conn *conn, const char *data, size_t len) {
  if (conn->gone) return false;
  if (conn->head_only || len == 0) return true;
  if (conn->http.minor == 0) return send_now(conn, data, len);
  struct buf *out = server_scratch(conn->server);
  bool apart = len > INLINE_BODY;
  buf_printf(out, "%zx\r\n", len);
  if (!apart) buf_append(out, data, len);
  if (apart && !(send_now(conn, out->data, out->len) && send_now(conn, data, len))) return false;
  if (apart) buf_reset(out);
  buf_puts(out, "\r\n");
  return buf_ok(out) && send_now(conn, out->data, out->len);
}

void conn_stream_end(struct conn *conn, bool whole) {
  static const char last_chunk[] = "0\r\n\r\n";
  bool chunked = conn->http.minor > 0 && !conn->head_only;
  if (!whole || conn->gone || (chunked && !send_now(conn, last_chunk, sizeof last_chunk - 1))) {
    conn->req.hurry = NULL;
    server_move(conn, CONN_DEAD);
    return;
  }
  after_answer(conn);
}

size_t conn_unsent(const struct conn *conn) { return evbuffer_get_length(bufferevent_get_output(conn->bev)); }

/* What can't be trusted to have clear boundaries is answered and closed. */
static void fail_framing(struct conn *conn, const struct error *err) {
  conn->closing = true;
  if (!*conn->req.request_id) {
    struct id id;
    id_new(&id);
    id_format(&id, conn->req.request_id);
  }
  server_move(conn, CONN_BUSY);
  reply_error(&conn->req, err);
}

/* Slow, but coming. */
static bool goes_on(struct conn *conn) {
  size_t received = http_body_received(&conn->http);
  if (received - conn->arrived < LIMIT_UPLOAD_WINDOW_BYTES) return false;
  if (clock_mono_us() - conn->req.started_us > (int64_t)LIMIT_UPLOAD_MS * 1000) return false;
  conn->arrived = received;
  server_move(conn, CONN_UPLOAD);
  return true;
}

void conn_expire(struct conn *conn) {
  ERROR_AUTO err = {0};
  size_t left = evbuffer_get_length(bufferevent_get_output(conn->bev));
  switch (conn->state) {
  case CONN_HEAD: error_set(&err, ERR_TIMEOUT, "The request head did not arrive within %d ms.", LIMIT_HTTP_HEAD_MS); break;
  case CONN_BODY: error_set(&err, ERR_TIMEOUT, "The request body did not arrive within %d ms.", LIMIT_HTTP_BODY_MS); break;
  case CONN_UPLOAD:
    if (goes_on(conn)) return;
    error_set(&err, ERR_TIMEOUT, "The upload came slower than %d bytes in %d s, or took longer than %d minutes.", LIMIT_UPLOAD_WINDOW_BYTES,
              LIMIT_UPLOAD_WINDOW_MS / 1000, LIMIT_UPLOAD_MS / 60000);
    break;
  case CONN_FLUSH:
    if (left < conn->flush_left) { /* slow, but reading */
      conn->flush_left = left;
      server_move(conn, CONN_FLUSH);
      return;
    } /* fall through */
  default: server_move(conn, CONN_DEAD); return;
  }
  fail_framing(conn, &err);
}

/* --- birth and death --- */

struct conn *conn_new(struct server *server, evutil_socket_t fd) {
  struct conn *conn = calloc(1, sizeof *conn);
  struct bufferevent *bev = conn ? bufferevent_socket_new(server_loop(server)->base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
  struct arena *arena = bev ? arena_new(REQUEST_ARENA) : NULL;
  if (!arena) {
    if (bev)
      bufferevent_free(bev);
    else
      close(fd);
    free(conn);
    return NULL;
  }
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  conn->server = server;
  conn->bev = bev;
  conn->arena = arena;
  conn->state = CONN_STATES; /* on no list yet */
  http_init(&conn->http);
  bufferevent_setcb(bev, on_read, on_drained, on_event, conn);
  bufferevent_setwatermark(bev, EV_READ, 0, READ_WATERMARK);
  bufferevent_enable(bev, EV_READ | EV_WRITE);
  return conn;
}

void conn_free(struct conn *conn) {
  bufferevent_free(conn->bev);
  buf_free(&conn->req.headers);
  http_free(&conn->http);
  arena_free(conn->arena);
  free(conn);
}
