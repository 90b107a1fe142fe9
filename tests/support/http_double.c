/* http_double.c - one request per connection, a thread for each. */
#include "tests/support/http_double.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
// cmocka wants those above first
#include <cmocka.h>

#define REQUEST_MAX (8 * 1024 * 1024)

struct http_double {
  int listener, stop[2]; /* a byte in stop ends the thread */
  int port;
  char url[64];
  const struct http_reply *replies;
  size_t reply_count;
  pthread_t thread;
  pthread_mutex_t lock; /* over what follows */
  pthread_cond_t idle;  /* threads is 0 */
  int threads, busy, peak;
  struct http_seen seen[HTTP_DOUBLE_REQUESTS];
  size_t count;
};

/* Readable before the double is stopped? */
static bool wait_readable(const struct http_double *server, int fd, int timeout_ms) {
  struct pollfd polled[2] = {{.fd = server->stop[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  return poll(polled, fd < 0 ? 1 : 2, timeout_ms) > 0 && !polled[0].revents;
}

static size_t body_length(const char *head) {
  const char *line = strcasestr(head, "\r\ncontent-length:");
  return line ? strtoul(line + 17, NULL, 10) : 0;
}

/* Reads one request; NULL when the other side went away first. */
static char *read_request(const struct http_double *server, int fd) {
  char *text = calloc(1, REQUEST_MAX + 1);
  size_t len = 0;
  while (text && len < REQUEST_MAX) {
    char *end = strstr(text, "\r\n\r\n");
    if (end && len >= (size_t)(end + 4 - text) + body_length(text)) return text;
    ssize_t got = wait_readable(server, fd, 10000) ? read(fd, text + len, REQUEST_MAX - len) : 0;
    if (got <= 0) break;
    len += (size_t)got;
  }
  free(text);
  return NULL;
}

static const struct http_reply *keep(struct http_double *server, char *request) {
  char *end = strstr(request, "\r\n\r\n");
  pthread_mutex_lock(&server->lock);
  size_t index = server->count;
  if (++server->busy > server->peak) server->peak = server->busy;
  if (index < HTTP_DOUBLE_REQUESTS) {
    server->seen[index] = (struct http_seen){strndup(request, (size_t)(end + 2 - request)), strdup(end + 4)};
    server->count++;
  }
  pthread_mutex_unlock(&server->lock);
  return &server->replies[index < server->reply_count ? index : server->reply_count - 1];
}

/* It waits no longer once its answer begins: the client may ask anew before this thread runs again. */
static void answer(struct http_double *server, int fd, const struct http_reply *reply) {
  char head[4096];
  const char *body = reply->body ? reply->body : "";
  if (reply->stall_ms) wait_readable(server, -1, reply->stall_ms);
  pthread_mutex_lock(&server->lock);
  server->busy--;
  pthread_mutex_unlock(&server->lock);
  if (reply->hang_up) return;
  int len = snprintf(head, sizeof head, "HTTP/1.1 %d Scripted\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", reply->status,
                     strlen(body), reply->headers ? reply->headers : "");
  if (send(fd, head, (size_t)len, MSG_NOSIGNAL) == len && send(fd, body, strlen(body) - reply->cut, MSG_NOSIGNAL) < 0) return;
}

struct visit {
  struct http_double *server;
  int fd;
};

static void *serve_one(void *arg) {
  struct visit visit = *(struct visit *)arg;
  struct http_double *server = visit.server;
  free(arg);
  char *request = read_request(server, visit.fd);
  if (request) answer(server, visit.fd, keep(server, request));
  close(visit.fd);
  pthread_mutex_lock(&server->lock);
  if (--server->threads == 0) pthread_cond_signal(&server->idle);
  pthread_mutex_unlock(&server->lock);
  free(request);
  return NULL;
}

static void visit(struct http_double *server, int fd) {
  struct visit *visit = malloc(sizeof *visit);
  pthread_t thread;
  *visit = (struct visit){server, fd};
  pthread_mutex_lock(&server->lock);
  server->threads++;
  pthread_mutex_unlock(&server->lock);
  if (pthread_create(&thread, NULL, serve_one, visit) != 0) abort();
  pthread_detach(thread);
}

static void *serve(void *arg) {
  struct http_double *server = arg;
  while (wait_readable(server, server->listener, -1)) {
    int fd = accept(server->listener, NULL, NULL);
    if (fd >= 0) visit(server, fd);
  }
  pthread_mutex_lock(&server->lock);
  while (server->threads) pthread_cond_wait(&server->idle, &server->lock);
  pthread_mutex_unlock(&server->lock);
  return NULL;
}

struct http_double *http_double_new(const struct http_reply *replies, size_t count) {
  struct http_double *server = calloc(1, sizeof *server);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  assert_non_null(server);
  server->replies = replies;
  server->reply_count = count;
  pthread_mutex_init(&server->lock, NULL);
  pthread_cond_init(&server->idle, NULL);
  assert_int_equal(pipe(server->stop), 0);
  server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
  assert_int_equal(listen(server->listener, 128), 0);
  assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
  server->port = ntohs(address.sin_port);
  snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d", server->port);
  assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
  return server;
}

void http_double_free(struct http_double *server) {
  if (!server) return;
  assert_int_equal(write(server->stop[1], "x", 1), 1);
  pthread_join(server->thread, NULL);
  for (size_t i = 0; i < server->count; i++) {
    free(server->seen[i].head);
    free(server->seen[i].body);
  }
  close(server->listener);
  close(server->stop[0]);
  close(server->stop[1]);
  pthread_cond_destroy(&server->idle);
  pthread_mutex_destroy(&server->lock);
  free(server);
}

int http_double_port(const struct http_double *server) { return server->port; }
const char *http_double_url(const struct http_double *server) { return server->url; }

size_t http_double_count(struct http_double *server) {
  pthread_mutex_lock(&server->lock);
  size_t count = server->count;
  pthread_mutex_unlock(&server->lock);
  return count;
}

int http_double_peak(struct http_double *server) {
  pthread_mutex_lock(&server->lock);
  int peak = server->peak;
  pthread_mutex_unlock(&server->lock);
  return peak;
}

const struct http_seen *http_double_seen(struct http_double *server, size_t index) {
  assert_true(index < http_double_count(server));
  return &server->seen[index];
}

const char *http_double_header(const struct http_seen *seen, const char *name, char *out, size_t size) {
  size_t len = strlen(name);
  *out = '\0';
  for (const char *line = strstr(seen->head, "\r\n"); line; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, len) != 0 || line[len] != ':') continue;
    const char *value = line + len + 1 + strspn(line + len + 1, " ");
    snprintf(out, size, "%.*s", (int)strcspn(value, "\r"), value);
    break;
  }
  return out;
}
