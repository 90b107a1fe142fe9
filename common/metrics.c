/* metrics.c - counting, and the listener that shows the counts.
 *
 * A metric's cells form a list that only grows at its head: readers walk it without a lock, a new label value takes the lock
 * once. The listener is meant for a private address: it answers GET /metrics (and /, for whoever has only its address) and nothing else. */
#include "common/metrics.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <pthread.h>

#define LABEL_VALUES_MAX 64
#define LABEL_BYTES 64
#define RENDER_BYTES (4 * 1024 * 1024)
#define SERVER_TIMEOUT_SECONDS 5

static const int64_t bounds_us[] = {500,    1000,   2500,    5000,    10000,   25000,    50000,    100000,
                                    250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000};
#define BOUNDS (sizeof bounds_us / sizeof bounds_us[0])

struct metric_cell {
  struct metric_cell *next;
  char label[LABEL_BYTES];
  int64_t value;               /* a histogram's sum, in microseconds */
  int64_t buckets[BOUNDS + 1]; /* histograms: not cumulative; the last is beyond all bounds */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the growth of both kinds of list */
static struct metric *metrics;

static struct metric_cell *find_cell(const struct metric *metric, const char *label, int *ret_count) {
  int count = 0;
  struct metric_cell *cell = __atomic_load_n(&metric->cells, __ATOMIC_ACQUIRE);
  for (; cell && strncmp(cell->label, label, LABEL_BYTES - 1) != 0; cell = cell->next) count++;
  *ret_count = count;
  return cell;
}

static struct metric_cell *add_cell(struct metric *metric, const char *label) {
  pthread_mutex_lock(&lock);
  int count;
  struct metric_cell *cell = find_cell(metric, label, &count);
  if (!cell && count >= LABEL_VALUES_MAX) cell = find_cell(metric, label = "other", &count);
  if (!cell && (cell = calloc(1, sizeof *cell))) {
    snprintf(cell->label, sizeof cell->label, "%s", label);
    cell->next = metric->cells;
    __atomic_store_n(&metric->cells, cell, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&lock);
  return cell;
}

/* NULL only when out of memory: then this one count is lost. */
static struct metric_cell *cell_for(struct metric *metric, const char *label_value) {
  const char *label = metric->label && label_value ? label_value : "";
  int count;
  if (!__atomic_load_n(&metric->registered, __ATOMIC_ACQUIRE)) metric_register(metric);
  struct metric_cell *cell = find_cell(metric, label, &count);
  return cell ? cell : add_cell(metric, label);
}

void metric_register(struct metric *metric) {
  pthread_mutex_lock(&lock);
  bool fresh = !metric->registered;
  if (fresh) {
    metric->next = metrics;
    metrics = metric;
    __atomic_store_n(&metric->registered, 1, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&lock);
  if (fresh && !metric->label) add_cell(metric, ""); /* so that it shows as 0 from the start */
}

void metric_add(struct metric *metric, const char *label_value, int64_t n) {
  struct metric_cell *cell = cell_for(metric, label_value);
  if (cell) __atomic_fetch_add(&cell->value, n, __ATOMIC_RELAXED);
}

void metric_set(struct metric *metric, const char *label_value, int64_t value) {
  struct metric_cell *cell = cell_for(metric, label_value);
  if (cell) __atomic_store_n(&cell->value, value, __ATOMIC_RELAXED);
}

void metric_observe_us(struct metric *metric, const char *label_value, int64_t microseconds) {
  struct metric_cell *cell = cell_for(metric, label_value);
  if (!cell) return;
  if (microseconds < 0) microseconds = 0;
  size_t bucket = 0;
  while (bucket < BOUNDS && microseconds > bounds_us[bucket]) bucket++;
  __atomic_fetch_add(&cell->buckets[bucket], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&cell->value, microseconds, __ATOMIC_RELAXED);
}

/* --- text format --- */

static void put_escaped(struct buf *out, const char *text, bool quotes) {
  for (; *text; text++) {
    if (*text == '\n')
      buf_puts(out, "\\n");
    else {
      if (*text == '\\' || (quotes && *text == '"')) buf_putc(out, '\\');
      buf_putc(out, *text);
    }
  }
}

/* One label, or several: "lane,kind" with the value "bulk,s3.ingest"; names and values part at their commas, the last value takes the rest.
 */
static void put_labels(struct buf *out, const char *names, const char *values) {
  while (*names) {
    size_t name = strcspn(names, ","), value = names[name] ? strcspn(values, ",") : strlen(values);
    char text[LABEL_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)value, values);
    buf_printf(out, "%.*s=\"", (int)name, names);
    put_escaped(out, text, true);
    buf_puts(out, names[name] ? "\"," : "\"");
    names += name + (names[name] == ',');
    values += value + (values[value] == ',');
  }
}

/* name_suffix{label="value",le="bound"} - each part only where there is one. */
static void put_series(struct buf *out, const struct metric *metric, const struct metric_cell *cell, const char *suffix,
                       const char *bound) {
  buf_printf(out, "%s%s", metric->name, suffix);
  if (metric->label || bound) buf_putc(out, '{');
  if (metric->label) put_labels(out, metric->label, cell->label);
  if (bound) buf_printf(out, "%sle=\"%s\"", metric->label ? "," : "", bound);
  if (metric->label || bound) buf_putc(out, '}');
  buf_putc(out, ' ');
}

/* The count is the sum of what was read of the buckets, so the two always agree. */
static void put_histogram(struct buf *out, const struct metric *metric, const struct metric_cell *cell) {
  int64_t total = 0;
  for (size_t i = 0; i <= BOUNDS; i++) {
    char bound[32] = "+Inf";
    if (i < BOUNDS) snprintf(bound, sizeof bound, "%g", (double)bounds_us[i] / 1e6);
    total += __atomic_load_n(&cell->buckets[i], __ATOMIC_RELAXED);
    put_series(out, metric, cell, "_bucket", bound);
    buf_printf(out, "%lld\n", (long long)total);
  }
  put_series(out, metric, cell, "_sum", NULL);
  buf_printf(out, "%.6f\n", (double)__atomic_load_n(&cell->value, __ATOMIC_RELAXED) / 1e6);
  put_series(out, metric, cell, "_count", NULL);
  buf_printf(out, "%lld\n", (long long)total);
}

static void put_metric(struct buf *out, const struct metric *metric) {
  static const char *const types[] = {"counter", "gauge", "histogram"};
  buf_printf(out, "# HELP %s ", metric->name);
  put_escaped(out, metric->help, false);
  buf_printf(out, "\n# TYPE %s %s\n", metric->name, types[metric->type]);
  const struct metric_cell *cell = __atomic_load_n(&metric->cells, __ATOMIC_ACQUIRE);
  for (; cell; cell = cell->next) {
    if (metric->type == METRIC_TYPE_HISTOGRAM) {
      put_histogram(out, metric, cell);
      continue;
    }
    put_series(out, metric, cell, "", NULL);
    buf_printf(out, "%lld\n", (long long)__atomic_load_n(&cell->value, __ATOMIC_RELAXED));
  }
}

void metrics_render(struct buf *out) {
  pthread_mutex_lock(&lock);
  const struct metric *metric = metrics;
  pthread_mutex_unlock(&lock); /* the list only grows at its head: what we hold stays */
  for (; metric; metric = metric->next) put_metric(out, metric);
}

/* --- listener --- */

struct metrics_server {
  struct evhttp *http;
};

static void on_request(struct evhttp_request *request, void *arg) {
  (void)arg;
  const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
  struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
  if (!path || (strcmp(path, "/metrics") != 0 && strcmp(path, "/") != 0)) {
    evhttp_send_reply(request, HTTP_NOTFOUND, "Not Found", NULL);
    return;
  }
  if (evhttp_request_get_command(request) != EVHTTP_REQ_GET) {
    evhttp_add_header(headers, "Allow", "GET");
    evhttp_send_reply(request, HTTP_BADMETHOD, "Method Not Allowed", NULL);
    return;
  }
  BUF_AUTO text;
  buf_init(&text, RENDER_BYTES);
  metrics_render(&text);
  evhttp_add_header(headers, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  if (!buf_ok(&text) || evbuffer_add(evhttp_request_get_output_buffer(request), text.data, text.len))
    evhttp_send_reply(request, HTTP_INTERNAL, "Internal Server Error", NULL);
  else
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

/* Splits "host:port" or "[v6]:port". */
static bool split_listen(const char *listen, char host[256], uint16_t *ret_port) {
  const char *colon = strrchr(listen, ':');
  if (!colon || colon == listen || colon - listen > 255) return false;
  bool bracket = listen[0] == '[' && colon[-1] == ']';
  snprintf(host, 256, "%.*s", (int)(colon - listen) - 2 * bracket, listen + bracket);
  char *end;
  long port = strtol(colon + 1, &end, 10);
  if (!colon[1] || *end || port < 0 || port > 65535 || (!bracket && strchr(host, ':'))) return false;
  *ret_port = (uint16_t)port;
  return true;
}

static int real_port(evutil_socket_t fd) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &len)) return -1;
  return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port : ((struct sockaddr_in *)&address)->sin_port);
}

enum status metrics_serve(struct event_base *base, const char *listen, struct metrics_server **ret_server, int *ret_port,
                          struct error *err) {
  char host[256];
  uint16_t port;
  if (!split_listen(listen, host, &port)) return error_add_field(err, "AUTODB_METRICS_LISTEN", "is \"%s\", must be host:port", listen);
  struct metrics_server *server = calloc(1, sizeof *server);
  if (server) server->http = evhttp_new(base);
  if (!server || !server->http) {
    metrics_server_free(server);
    return error_oom(err);
  }
  evhttp_set_gencb(server->http, on_request, NULL);
  evhttp_set_allowed_methods(server->http, 0xFFFF); /* on_request answers 405, evhttp would answer 501 */
  evhttp_set_timeout(server->http, SERVER_TIMEOUT_SECONDS);
  evhttp_set_max_headers_size(server->http, 8192);
  evhttp_set_max_body_size(server->http, 0);
  struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server->http, host, port);
  if (!bound) {
    error_set(err, ERR_UNAVAILABLE, "cannot listen on %s for metrics: %s", listen, strerror(errno));
    metrics_server_free(server);
    return err->status;
  }
  *ret_port = real_port(evhttp_bound_socket_get_fd(bound));
  *ret_server = server;
  return OK;
}

void metrics_server_free(struct metrics_server *server) {
  if (!server) return;
  if (server->http) evhttp_free(server->http);
  free(server);
}
