/* The API as a hostile or sloppy client meets it, byte by byte. */
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/limits.h"
#include "tests/support/raw.h"

static struct harness_proc *api;

static int setup(void **state) {
  struct harness *h = harness_new();
  char key[64];
  harness_postgres(h, 17);
  harness_valkey(h);
  harness_schema_up(h);
  harness_key(h, "test", "user", key);
  api = harness_api(h, NULL);
  *state = h;
  return 0;
}

static void close_fd(const int *fd) { close(*fd); }
#define FD_AUTO __attribute__((cleanup(close_fd))) int

#define GET "GET /healthz HTTP/1.1\r\nHost: x\r\n"

/* The head of an authorised POST to /jobs/echo, without its blank line. */
static const char *post(struct harness *h) {
  static char text[512];
  snprintf(text, sizeof text, "POST /api/v1/jobs/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-API-Key: %s\r\n",
           h->api_key);
  return text;
}

static void expect_code(const struct raw_answer *answer, int status, const char *code) {
  if (answer->status != status || !strstr(answer->body, code))
    fail_msg("wanted %d %s, got %d %s", status, code, answer->status, answer->body);
  assert_non_null(strstr(answer->body, "\"success\": false"));
}

/* Answered in the envelope, then closed. */
static void refused(struct harness *h, const char *before, const char *bytes, size_t len, int status, const char *code) {
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO answer;
  char connection[32];
  raw_send(fd, before, strlen(before));
  raw_send(fd, bytes, len);
  raw_read(fd, false, &answer);
  expect_code(&answer, status, code);
  assert_string_equal(raw_header(&answer, "Connection", connection, sizeof connection), "close");
  shutdown(fd, SHUT_WR);
  assert_true(raw_closed(fd, 5000));
}

static void malformed_framing_is_400_and_closes(void **state) {
  struct harness *h = *state;
  static const struct {
    bool post;
    const char *text;
    size_t len;
  } cases[] = {
#define BAD_POST(text) {true, text, sizeof(text) - 1}
#define BAD_GET(text) \
  { false, text, sizeof(text) - 1 }
      BAD_POST("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      BAD_POST("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
      BAD_POST("Content-Length: +2\r\n\r\n{}"),
      BAD_POST("Content-Length: 2, 2\r\n\r\n{}"),
      BAD_POST("Content-Length: two\r\n\r\n{}"),
      BAD_POST("Content-Length : 2\r\n\r\n{}"),
      BAD_POST("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
      BAD_POST("Transfer-Encoding: identity\r\n\r\n{}"),
      BAD_POST("Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n"),
      BAD_POST("Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n"),
      BAD_POST("Host: y\r\n\r\n"),
      BAD_GET("GET /healthz HTTP/1.1\r\n\r\n"),
      BAD_GET(GET "X: a\r\n b\r\n\r\n"),
      BAD_GET(GET "X: a\0b\r\n\r\n"),
      BAD_GET("GET /healthz HTTP/1.1\nHost: x\n\n"),
      BAD_GET(GET "X: a\rb\r\n\r\n"),
      BAD_GET(GET "X(: a\r\n\r\n"),
      BAD_GET("GET ftp://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
      BAD_GET("GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n"),
      BAD_GET("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
#undef BAD_POST
#undef BAD_GET
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    refused(h, cases[i].post ? post(h) : "", cases[i].text, cases[i].len, 400, "MALFORMED_REQUEST");
}

/* What follows a refused request must not be served: that is what smuggling lives on. */
static void nothing_after_a_refused_request_is_served(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO answer;
  static const char rest[] = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET "\r\n";
  raw_send(fd, post(h), strlen(post(h)));
  raw_send(fd, rest, sizeof rest - 1);
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 400);
  assert_true(raw_closed(fd, 5000));
}

static void heads_are_bounded(void **state) {
  struct harness *h = *state;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  for (int i = 0; i < 64; i++) buf_printf(&text, "X-%d: y\r\n", i);
  buf_puts(&text, "\r\n");
  refused(h, GET, text.data, text.len, 431, "HEADERS_TOO_LARGE");
  buf_reset(&text);
  buf_puts(&text, "X: ");
  while (text.len < 20000) buf_putc(&text, 'a');
  refused(h, GET, text.data, text.len, 431, "HEADERS_TOO_LARGE"); /* never ends, and needn't */
}

static void bodies_are_refused_by_their_length(void **state) {
  struct harness *h = *state;
  static const char counted[] = "Content-Length: 99999999\r\n\r\n", chunk[] = "10000\r\n";
  refused(h, post(h), counted, sizeof counted - 1, 413, "PAYLOAD_TOO_LARGE");
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  buf_puts(&text, "Transfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 4; i++) {
    buf_puts(&text, chunk);
    for (int n = 0; n < 0x10000; n++) buf_putc(&text, 'x');
    buf_puts(&text, "\r\n");
  }
  refused(h, post(h), text.data, text.len, 413, "PAYLOAD_TOO_LARGE");
}

/* A refused body that is all here is dropped; one that isn't costs the connection. */
static void a_short_refused_body_is_skipped(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO first;
  RAW_AUTO second;
  static const char text[] = GET "Content-Length: 2\r\n\r\n{}" GET "\r\n", cut[] = "Content-Length: 9\r\n\r\n{}";
  raw_send(fd, text, sizeof text - 1);
  raw_read(fd, false, &first);
  expect_code(&first, 413, "PAYLOAD_TOO_LARGE");
  raw_read(fd, false, &second);
  assert_int_equal(second.status, 200);
  refused(h, GET, cut, sizeof cut - 1, 413, "PAYLOAD_TOO_LARGE");
}

static void a_slow_head_is_cut_off(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO answer;
  int64_t began = harness_now_ms();
  static const char head[] = GET;
  size_t sent = 0;
  /* One byte now and then keeps an idle timer happy; ours is absolute. */
  bool answered = POLL_UNTIL((sent < sizeof head - 1 ? raw_send(fd, head + sent++, 1) : raw_send(fd, "a", 1)) &&
                                 recv(fd, (char[1]){0}, 1, MSG_PEEK | MSG_DONTWAIT) == 1,
                             15000);
  int64_t took = harness_now_ms() - began;
  assert_true(answered);
  raw_read(fd, false, &answer);
  expect_code(&answer, 408, "REQUEST_TIMEOUT");
  assert_in_range(took, LIMIT_HTTP_HEAD_MS - 200, LIMIT_HTTP_HEAD_MS + 3000);
  assert_true(raw_closed(fd, 5000));
}

static void pipelined_requests_are_answered_in_order(void **state) {
  struct harness *h = *state;
  enum { MANY = 500 };
  FD_AUTO fd = harness_socket(h);
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  /* Slow ones (a commit) between fast ones. */
  for (int i = 0; i < MANY; i++) {
    if (i % 10 == 0)
      buf_printf(&text, "%sX-Request-Id: r%d\r\nContent-Length: 13\r\n\r\n{\"payload\":1}", post(h), i);
    else
      buf_printf(&text, GET "X-Request-Id: r%d\r\n\r\n", i);
  }
  assert_true(raw_send(fd, text.data, text.len));
  for (int i = 0; i < MANY; i++) {
    RAW_AUTO answer;
    char id[32], want[32];
    raw_read(fd, false, &answer);
    snprintf(want, sizeof want, "r%d", i);
    assert_int_equal(answer.status, i % 10 == 0 ? 202 : 200);
    assert_string_equal(raw_header(&answer, "X-Request-Id", id, sizeof id), want);
  }
}

static void chunked_bodies_are_read_and_bounded_exactly(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO first;
  RAW_AUTO second;
  static const char rest[] = "Transfer-Encoding: chunked\r\n\r\n4;x=y\r\n{\"pa\r\n9\r\nyload\":1}\r\n0\r\nTrailer: t\r\n\r\n" GET "\r\n";
  raw_send(fd, post(h), strlen(post(h)));
  raw_send(fd, rest, sizeof rest - 1);
  raw_read(fd, false, &first);
  raw_read(fd, false, &second);
  assert_int_equal(first.status, 202);
  assert_int_equal(second.status, 200);
}

static void continue_is_said_before_a_body_is_sent(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO interim;
  RAW_AUTO final;
  static const char rest[] = "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n", body[] = "{\"payload\":1}";
  raw_send(fd, post(h), strlen(post(h)));
  raw_send(fd, rest, sizeof rest - 1);
  raw_read(fd, true, &interim);
  assert_int_equal(interim.status, 100);
  raw_send(fd, body, sizeof body - 1);
  raw_read(fd, false, &final);
  assert_int_equal(final.status, 202);
  static const char too_large[] = "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
                    other[] = "Expect: tea\r\nContent-Length: 2\r\n\r\n";
  refused(h, post(h), too_large, sizeof too_large - 1, 413, "PAYLOAD_TOO_LARGE");
  refused(h, post(h), other, sizeof other - 1, 417, "EXPECTATION_FAILED");
}

static void methods_are_told(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO head;
  RAW_AUTO options;
  RAW_AUTO wrong;
  RAW_AUTO unknown;
  char value[64];
  static const char text[] = "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
                             "DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";
  raw_send(fd, text, sizeof text - 1);
  raw_read(fd, true, &head);
  assert_int_equal(head.status, 200);
  assert_int_not_equal(strtol(raw_header(&head, "Content-Length", value, sizeof value), NULL, 10), 0);
  raw_read(fd, false, &options);
  assert_int_equal(options.status, 204);
  assert_string_equal(raw_header(&options, "Allow", value, sizeof value), "GET, HEAD, OPTIONS");
  raw_read(fd, false, &wrong);
  expect_code(&wrong, 405, "METHOD_NOT_ALLOWED");
  assert_string_equal(raw_header(&wrong, "Allow", value, sizeof value), "GET, HEAD, OPTIONS");
  raw_read(fd, false, &unknown);
  expect_code(&unknown, 404, "NOT_FOUND");
}

static void request_ids_are_echoed_or_made(void **state) {
  struct harness *h = *state;
  static const struct {
    const char *given;
    bool echoed;
  } cases[] = {{"abc.DEF-1_2", true}, {"with space", false}, {"", false}, {"a/b", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    char header[256], value[256];
    snprintf(header, sizeof header, "X-Request-Id: %s", cases[i].given);
    harness_http(h, "GET", "/healthz", (const char *[]){header, NULL}, NULL, &reply);
    harness_header(&reply, "X-Request-Id", value, sizeof value);
    if (cases[i].echoed)
      assert_string_equal(value, cases[i].given);
    else
      assert_int_equal(strlen(value), 36);
  }
}

static void every_answer_carries_the_safety_headers(void **state) {
  struct harness *h = *state;
  REPLY_AUTO reply;
  char value[64];
  harness_http(h, "GET", "/nowhere", NULL, NULL, &reply);
  assert_string_equal(harness_header(&reply, "X-Content-Type-Options", value, sizeof value), "nosniff");
  assert_string_equal(harness_header(&reply, "Cache-Control", value, sizeof value), "no-store");
  assert_string_equal(harness_header(&reply, "Content-Type", value, sizeof value), "application/json");
  assert_int_equal(strlen(harness_header(&reply, "Date", value, sizeof value)), 29);
}

static void a_half_closed_client_gets_its_answer(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO answer;
  static const char rest[] = "Content-Length: 13\r\n\r\n{\"payload\":1}";
  raw_send(fd, post(h), strlen(post(h)));
  raw_send(fd, rest, sizeof rest - 1);
  shutdown(fd, SHUT_WR);
  raw_read(fd, false, &answer);
  assert_int_equal(answer.status, 202);
  assert_true(raw_closed(fd, 5000));
}

static void http_1_0_is_served(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  RAW_AUTO kept;
  RAW_AUTO closed;
  static const char text[] = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n";
  char value[32];
  raw_send(fd, text, sizeof text - 1);
  raw_read(fd, false, &kept);
  assert_string_equal(raw_header(&kept, "Connection", value, sizeof value), "keep-alive");
  raw_read(fd, false, &closed);
  assert_string_equal(raw_header(&closed, "Connection", value, sizeof value), "close");
  assert_true(raw_closed(fd, 5000));
}

static void bad_json_is_told_apart(void **state) {
  struct harness *h = *state;
  BUF_AUTO deep;
  buf_init(&deep, 1 << 20);
  buf_puts(&deep, "{\"payload\":");
  for (int i = 0; i < 10000; i++) buf_putc(&deep, '[');
  for (int i = 0; i < 10000; i++) buf_putc(&deep, ']');
  buf_putc(&deep, '}');
  const struct {
    const char *body;
    int status;
    const char *code;
  } cases[] = {
      {"{", 400, "MALFORMED_REQUEST"},
      {"{\"payload\":1} x", 400, "MALFORMED_REQUEST"},
      {"{\"payload\":1,\"payload\":2}", 400, "MALFORMED_REQUEST"},
      {"{\"payload\":\"\xff\"}", 400, "MALFORMED_REQUEST"},
      {"{\"payload\":\"\\u0000\"}", 400, "MALFORMED_REQUEST"},
      {"{\"payload\":\"\\ud800\"}", 400, "MALFORMED_REQUEST"},
      {buf_str(&deep), 400, "MALFORMED_REQUEST"},
      {"[]", 422, "VALIDATION_ERROR"},
      {"5", 422, "VALIDATION_ERROR"},
      {"{}", 422, "VALIDATION_ERROR"},
      {"{\"payload\":1,\"sleep_ms\":\"1\"}", 422, "VALIDATION_ERROR"},
      {"{\"payload\":1,\"sleep_ms\":60001}", 422, "VALIDATION_ERROR"},
      {"{\"payload\":1,\"sleep_ms\":1.5}", 422, "VALIDATION_ERROR"},
      {"{\"payload\":1,\"fail\":\"loudly\"}", 422, "VALIDATION_ERROR"},
      {"{\"payload\":1,\"fail\":\"crash\"}", 403, "FORBIDDEN"},
      {"{\"payload\":1,\"typo\":1}", 422, "typo"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    REPLY_AUTO reply;
    harness_http(h, "POST", "/api/v1/jobs/echo", NULL, cases[i].body, &reply);
    if (reply.status != cases[i].status || !strstr(reply.body, cases[i].code))
      fail_msg("%.60s: %ld %s", cases[i].body, reply.status, reply.body);
  }
  REPLY_AUTO form;
  harness_http(h, "POST", "/api/v1/jobs/echo", (const char *[]){"Content-Type: text/plain", NULL}, "{\"payload\":1}", &form);
  assert_int_equal(form.status, 415);
}

static void a_client_that_does_not_read_does_not_stall_others(void **state) {
  struct harness *h = *state;
  FD_AUTO fd = harness_socket(h);
  struct timeval brief = {.tv_usec = 200 * 1000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &brief, sizeof brief);
  for (int i = 0; i < 200000 && raw_send(fd, GET "\r\n", sizeof GET + 1); i++) {}
  REPLY_AUTO reply;
  harness_http(h, "GET", "/healthz", NULL, NULL, &reply);
  assert_int_equal(reply.status, 200);
  assert_true(reply.ms < 2000);
}

/* Last: it ends the server. */
static void a_drain_finishes_what_runs(void **state) {
  struct harness *h = *state;
  FD_AUTO idle = harness_socket(h);
  FD_AUTO waiting = harness_socket(h);
  RAW_AUTO answer;
  RAW_AUTO idle_answer;
  static const char rest[] = "Prefer: wait=60\r\nContent-Length: 13\r\n\r\n{\"payload\":1}";
  raw_send(idle, GET "\r\n", sizeof GET + 1);
  raw_read(idle, false, &idle_answer);
  long long before = harness_count(h->database_url, "SELECT count(*) FROM autodb.jobs");
  raw_send(waiting, post(h), strlen(post(h)));
  raw_send(waiting, rest, sizeof rest - 1);
  assert_true(POLL_UNTIL(harness_count(h->database_url, "SELECT count(*) FROM autodb.jobs") > before, 5000));
  int64_t began = harness_now_ms();
  harness_signal(api, SIGTERM);
  raw_read(waiting, false, &answer); /* accepted, not ended: the plain 202, now */
  assert_int_equal(answer.status, 202);
  assert_true(raw_closed(idle, 5000));
  assert_int_equal(harness_exit_status(api, 10000), 0);
  assert_true(harness_now_ms() - began < 20000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(malformed_framing_is_400_and_closes),
      cmocka_unit_test(nothing_after_a_refused_request_is_served),
      cmocka_unit_test(heads_are_bounded),
      cmocka_unit_test(bodies_are_refused_by_their_length),
      cmocka_unit_test(a_short_refused_body_is_skipped),
      cmocka_unit_test(a_slow_head_is_cut_off),
      cmocka_unit_test(pipelined_requests_are_answered_in_order),
      cmocka_unit_test(chunked_bodies_are_read_and_bounded_exactly),
      cmocka_unit_test(continue_is_said_before_a_body_is_sent),
      cmocka_unit_test(methods_are_told),
      cmocka_unit_test(request_ids_are_echoed_or_made),
      cmocka_unit_test(every_answer_carries_the_safety_headers),
      cmocka_unit_test(a_half_closed_client_gets_its_answer),
      cmocka_unit_test(http_1_0_is_served),
      cmocka_unit_test(bad_json_is_told_apart),
      cmocka_unit_test(a_client_that_does_not_read_does_not_stall_others),
      cmocka_unit_test(a_drain_finishes_what_runs),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
