/* Metrics: the text they render to, counting from many threads, the listener. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/metrics.h"

static char text[1 << 20];

static const char *rendered(void) {
  BUF_AUTO out;
  buf_init(&out, sizeof text - 1);
  metrics_render(&out);
  assert_true(buf_ok(&out));
  memcpy(text, buf_str(&out), out.len + 1);
  return text;
}

static void assert_shows(const char *line) {
  if (!strstr(rendered(), line)) fail_msg("no \"%s\" in:\n%s", line, text);
}

static void counters_and_gauges(void **state) {
  (void)state;
  static struct metric plain = METRIC_COUNTER("t_plain_total", "Plain.", NULL), gauge = METRIC_GAUGE("t_depth", "Depth\nof \\ it.", "lane");
  metric_register(&plain);
  metric_register(&plain);
  assert_shows("# HELP t_plain_total Plain.\n# TYPE t_plain_total counter\nt_plain_total 0\n");
  metric_add(&plain, NULL, 2);
  metric_add(&plain, "ignored", 3);
  assert_shows("\nt_plain_total 5\n");
  metric_set(&gauge, "bulk", 7);
  metric_set(&gauge, "bulk", -3);
  metric_add(&gauge, "a\"b\\c\nd", 1);
  assert_shows("# HELP t_depth Depth\\nof \\\\ it.\n# TYPE t_depth gauge\n");
  assert_shows("t_depth{lane=\"bulk\"} -3\n");
  assert_shows("t_depth{lane=\"a\\\"b\\\\c\\nd\"} 1\n");
  assert_ptr_equal(strstr(rendered(), "# TYPE t_plain_total"), strstr(text, "# TYPE t_plain_total"));
  assert_null(strstr(strstr(text, "# TYPE t_plain_total") + 1, "# TYPE t_plain_total")); /* registered once */
}

static void histograms_accumulate(void **state) {
  (void)state;
  static struct metric seconds = METRIC_HISTOGRAM("t_seconds", "Time.", "kind");
  static const int64_t seen[] = {0, -5, 500, 501, 60000000, 60000001};
  for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) metric_observe_us(&seconds, "echo", seen[i]);
  assert_shows("t_seconds_bucket{kind=\"echo\",le=\"0.0005\"} 3\nt_seconds_bucket{kind=\"echo\",le=\"0.001\"} 4\n");
  assert_shows("t_seconds_bucket{kind=\"echo\",le=\"30\"} 4\nt_seconds_bucket{kind=\"echo\",le=\"60\"} 5\n");
  assert_shows(
      "t_seconds_bucket{kind=\"echo\",le=\"+Inf\"} 6\nt_seconds_sum{kind=\"echo\"} 120.001002\nt_seconds_count{kind=\"echo\"} 6\n");
  static struct metric bare = METRIC_HISTOGRAM("t_bare_seconds", "Time.", NULL);
  metric_observe_us(&bare, NULL, 1500);
  assert_shows("t_bare_seconds_bucket{le=\"0.0025\"} 1\n");
  assert_shows("t_bare_seconds_count 1\n");
}

static void past_64_values_are_other(void **state) {
  (void)state;
  static struct metric many = METRIC_COUNTER("t_many_total", "Many.", "cause");
  char value[200];
  for (int i = 0; i < 100; i++) {
    snprintf(value, sizeof value, "v%d", i);
    metric_add(&many, value, 1);
  }
  assert_shows("t_many_total{cause=\"v63\"} 1\n");
  assert_shows("t_many_total{cause=\"other\"} 36\n");
  assert_null(strstr(text, "v64"));
  static struct metric lengthy = METRIC_COUNTER("t_long_total", "Long.", "cause");
  memset(value, 'x', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  for (int i = 0; i < 100; i++) metric_add(&lengthy, value, 1); /* cut, but one cell */
  assert_shows("xxx\"} 100\n");
}

enum { THREADS = 4, ROUNDS = 20000 };
static struct metric shared = METRIC_COUNTER("t_shared_total", "Shared.", "k"), timed = METRIC_HISTOGRAM("t_timed_seconds", "Timed.", NULL);

static void *count_up(void *arg) {
  static const char *const keys[] = {"a", "b", "c"};
  for (int i = 0; i < ROUNDS; i++) {
    metric_add(&shared, keys[i % 3], 1);
    metric_observe_us(&timed, NULL, i);
  }
  return arg;
}

static void threads_lose_no_count(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
  for (int i = 0; i < 20; i++) rendered(); /* meanwhile */
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  assert_shows("t_shared_total{k=\"a\"} 26668\n");
  assert_shows("t_shared_total{k=\"b\"} 26668\n");
  assert_shows("t_shared_total{k=\"c\"} 26664\n");
  assert_shows("t_timed_seconds_count 80000\n");
}

/* --- the listener, driven from this one thread --- */

struct server {
  struct event_base *base;
  struct metrics_server *metrics;
  int port;
};

static int serve(void **state) {
  static struct server server;
  ERROR_AUTO err = {0};
  server.base = event_base_new();
  *state = &server;
  return metrics_serve(server.base, "127.0.0.1:0", &server.metrics, &server.port, &err) ? -1 : 0;
}

static int stop(void **state) {
  struct server *server = *state;
  metrics_server_free(server->metrics);
  event_base_free(server->base);
  return 0;
}

/* Sends `request` and returns everything that comes back until the server closes. */
static const char *ask(struct server *server, const char *request) {
  static char answer[1 << 20];
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)server->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(write(fd, request, strlen(request)), strlen(request));
  size_t len = 0;
  ssize_t got = -1;
  for (int turns = 0; got && turns < 100000 && len < sizeof answer - 1; turns++) {
    event_base_loop(server->base, EVLOOP_NONBLOCK);
    got = recv(fd, answer + len, sizeof answer - 1 - len, MSG_DONTWAIT);
    if (got > 0) len += (size_t)got;
  }
  close(fd);
  answer[len] = '\0';
  assert_int_equal(got, 0);
  event_base_loop(server->base, EVLOOP_NONBLOCK);
  return answer;
}

#define REST " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void the_listener_shows_the_metrics(void **state) {
  static struct metric served = METRIC_COUNTER("t_served_total", "Served.", NULL);
  metric_add(&served, NULL, 9);
  const char *answer = ask(*state, "GET /metrics" REST);
  assert_memory_equal(answer, "HTTP/1.1 200", 12);
  assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  assert_non_null(strstr(answer, "\nt_served_total 9\n"));
  assert_memory_equal(ask(*state, "GET /metrics?x=1" REST), "HTTP/1.1 200", 12);
  assert_memory_equal(ask(*state, "GET /" REST), "HTTP/1.1 200", 12);
}

static void the_listener_answers_nothing_else(void **state) {
  assert_memory_equal(ask(*state, "GET /x" REST), "HTTP/1.1 404", 12);
  assert_memory_equal(ask(*state, "GET /metrics/" REST), "HTTP/1.1 404", 12);
  assert_memory_equal(ask(*state, "POST /elsewhere" REST), "HTTP/1.1 404", 12);
  static const char *const methods[] = {"DELETE", "PUT", "POST", "PATCH", "OPTIONS"};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    char request[128];
    snprintf(request, sizeof request, "%s /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", methods[i]);
    const char *answer = ask(*state, request);
    assert_memory_equal(answer, "HTTP/1.1 405", 12);
    assert_non_null(strstr(answer, "Allow: GET\r\n"));
  }
}

static void addresses_are_checked(void **state) {
  struct server *server = *state, other = {0};
  static const char *const bad[] = {"",       "9090", ":9090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1",
                                    "::1:80", "[::1]"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ERROR_AUTO err = {0};
    assert_int_equal(metrics_serve(server->base, bad[i], &other.metrics, &other.port, &err), ERR_VALIDATION);
  }
  ERROR_AUTO err = {0};
  char taken[64];
  snprintf(taken, sizeof taken, "127.0.0.1:%d", server->port);
  assert_int_equal(metrics_serve(server->base, taken, &other.metrics, &other.port, &err), ERR_UNAVAILABLE);
  assert_non_null(strstr(err.message, "in use"));
  assert_null(other.metrics);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counters_and_gauges),
      cmocka_unit_test(histograms_accumulate),
      cmocka_unit_test(past_64_values_are_other),
      cmocka_unit_test(threads_lose_no_count),
      cmocka_unit_test_setup_teardown(the_listener_shows_the_metrics, serve, stop),
      cmocka_unit_test_setup_teardown(the_listener_answers_nothing_else, serve, stop),
      cmocka_unit_test_setup_teardown(addresses_are_checked, serve, stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
