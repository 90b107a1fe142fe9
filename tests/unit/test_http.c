/* One request off the wire: what is accepted, and that everything two parsers could read differently is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#include "api/http.h"

struct parsed {
  struct http http;
  struct arena *arena;
  struct error err;
  bool body_done;
  size_t used; /* of the whole text */
};

static void parsed_free(struct parsed *p) {
  http_free(&p->http);
  arena_free(p->arena);
  error_clear(&p->err);
}
#define PARSED_AUTO __attribute__((cleanup(parsed_free))) struct parsed

/* Reads head and body, `step` bytes at a time (0 = all at once), as they would arrive. */
static enum status parse(struct parsed *p, const char *text, size_t len, size_t step, size_t cap) {
  size_t head_len = 0, have = 0;
  enum status status;
  *p = (struct parsed){.arena = arena_new(1 << 20)};
  http_init(&p->http);
  while (!head_len && have < len) {
    have = !step || have + step > len ? len : have + step;
    if ((status = http_scan(&p->http, text, have, &head_len, &p->err)) != OK) return status;
  }
  if (!head_len) return ERR_TIMEOUT; /* it would have gone on waiting */
  char *head = arena_strndup(p->arena, text, head_len);
  if ((status = http_parse_head(&p->http, head, head_len, &p->err)) != OK) return status;
  p->used = head_len;
  p->body_done = !http_has_body(&p->http);
  while (!p->body_done && p->used < len) {
    size_t part = !step || p->used + step > len ? len - p->used : step, used = 0;
    if ((status = http_feed_body(&p->http, text + p->used, part, cap, &used, &p->body_done, &p->err)) != OK) return status;
    p->used += used;
  }
  return OK;
}

static enum status outcome(const char *text, size_t len, size_t step) {
  PARSED_AUTO p;
  return parse(&p, text, len, step, 100);
}

#define HOST "Host: x\r\n"
#define POST "POST /p HTTP/1.1\r\n" HOST

static void malformed_is_refused_however_it_arrives(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t len;
  } cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
      CASE(POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"),
      CASE(POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
      CASE(POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
      CASE(POST "Content-Length: +2\r\n\r\n{}"),
      CASE(POST "Content-Length: -2\r\n\r\n{}"),
      CASE(POST "Content-Length: 2, 2\r\n\r\n{}"),
      CASE(POST "Content-Length: 0x2\r\n\r\n{}"),
      CASE(POST "Content-Length: 2 2\r\n\r\n{}"),
      CASE(POST "Content-Length:\r\n\r\n"),
      CASE(POST "Content-Length: 99999999999999999999\r\n\r\n"),
      CASE(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: identity\r\n\r\n"),
      CASE(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n0\r\n\r\n"),
      CASE("POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A: 1\r\n 2\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A: 1\0002\r\n\r\n"),
      CASE("GET / HTTP/1.1\nHost: x\n\n"),
      CASE("GET / HTTP/1.1\r\nHost: x\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A: 1\r2\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A: 1\r\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A: \x7f\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
      CASE("GET / HTTP/1.0\r\n" HOST HOST "\r\n"),
      CASE("GET / HTTP/1.1\r\nHost:\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "A(: 1\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST ": 1\r\n\r\n"),
      CASE("GET / HTTP/1.1\r\n" HOST "nocolon\r\n\r\n"),
      CASE("GET / HTTP/1.2\r\n" HOST "\r\n"),
      CASE("GET / HTTP/2.0\r\n" HOST "\r\n"),
      CASE("GET /\r\n" HOST "\r\n"),
      CASE("GET  / HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET / x HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET /#a HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET x HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET * HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET ftp://x/ HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET http:///a HTTP/1.1\r\n" HOST "\r\n"),
      CASE("GET http://u@x/ HTTP/1.1\r\n" HOST "\r\n"),
      CASE("get / HTTP/1.1\r\n" HOST "\r\n"),
      CASE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      CASE("\x16\x03\x01\x02\x00\x01\x00\x01"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}"),
      CASE(POST "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"),
#undef CASE
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t step = 0; step < 4; step++) {
      enum status status = outcome(cases[i].text, cases[i].len, step);
      if (status != ERR_MALFORMED) fail_msg("%d, not MALFORMED, %zu bytes at a time: %s", (int)status, step, cases[i].text);
    }
}

static void a_request_is_taken_apart(void **state) {
  (void)state;
  static const char text[] =
      "POST /a/b?c=d&e HTTP/1.1\r\nHost: x:80\r\nX-Key:  spaced out \t\r\nEmpty:\r\nContent-Length: 5\r\n\r\nhelloGET";
  for (size_t step = 0; step < 3; step++) {
    PARSED_AUTO p;
    assert_int_equal(parse(&p, text, sizeof text - 1, step, 100), OK);
    assert_int_equal(p.http.method, HTTP_POST);
    assert_string_equal(p.http.path, "/a/b");
    assert_string_equal(p.http.query, "c=d&e");
    assert_string_equal(http_header(&p.http, "x-key"), "spaced out");
    assert_string_equal(http_header(&p.http, "empty"), "");
    assert_null(http_header(&p.http, "absent"));
    assert_true(p.http.keep_alive);
    assert_true(p.body_done);
    assert_string_equal(buf_str(&p.http.body), "hello");
    assert_int_equal(p.used, sizeof text - 1 - 3); /* what follows is the next request's */
  }
}

static void chunks_are_joined_and_trailers_dropped(void **state) {
  (void)state;
  static const char text[] =
      POST "Transfer-Encoding: Chunked\r\n\r\n3;ext=\"v\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nHost: evil\r\nX: y\r\n\r\nGET";
  for (size_t step = 0; step < 5; step++) {
    PARSED_AUTO p;
    assert_int_equal(parse(&p, text, sizeof text - 1, step, 100), OK);
    assert_true(p.body_done);
    assert_string_equal(buf_str(&p.http.body), "abc0123456789");
    assert_int_equal(p.used, sizeof text - 1 - 3);
    assert_string_equal(http_header(&p.http, "host"), "x");
    assert_null(http_header(&p.http, "x"));
  }
}

static void keep_alive_follows_the_version(void **state) {
  (void)state;
  static const struct {
    const char *text;
    bool keep;
  } cases[] = {
      {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
      {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
      {"GET / HTTP/1.1\r\n" HOST "Connection: foo, Close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
      {"GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    PARSED_AUTO p;
    assert_int_equal(parse(&p, cases[i].text, strlen(cases[i].text), 0, 0), OK);
    assert_int_equal(p.http.keep_alive, cases[i].keep);
  }
}

static void targets_have_their_forms(void **state) {
  (void)state;
  static const struct {
    const char *text, *path, *query;
  } cases[] = {
      {"GET http://x/a?b HTTP/1.1\r\n" HOST "\r\n", "/a", "b"},
      {"GET HTTPS://x:1 HTTP/1.1\r\n" HOST "\r\n", "/", NULL},
      {"GET http://x?b HTTP/1.1\r\n" HOST "\r\n", "/", "b"},
      {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", NULL},
      {"GET /? HTTP/1.1\r\n" HOST "\r\n", "/", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    PARSED_AUTO p;
    assert_int_equal(parse(&p, cases[i].text, strlen(cases[i].text), 0, 0), OK);
    assert_string_equal(p.http.path, cases[i].path);
    if (cases[i].query)
      assert_string_equal(p.http.query, cases[i].query);
    else
      assert_null(p.http.query);
  }
}

static void expectations_are_told_apart(void **state) {
  (void)state;
  PARSED_AUTO p;
  static const char good[] = POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", bad[] = POST "Expect: tea\r\n\r\n";
  assert_int_equal(parse(&p, good, sizeof good - 1, 0, 10), OK);
  assert_true(p.http.expect_continue && !p.http.bad_expectation);
  parsed_free(&p);
  assert_int_equal(parse(&p, bad, sizeof bad - 1, 0, 10), OK);
  assert_true(p.http.bad_expectation);
}

static void heads_are_bounded(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  buf_puts(&text, "GET / HTTP/1.1\r\n" HOST);
  for (int i = 1; i < LIMIT_HTTP_HEADERS; i++) buf_printf(&text, "X-%d: v\r\n", i);
  size_t full = text.len;
  buf_puts(&text, "\r\n");
  assert_int_equal(outcome(text.data, text.len, 0), OK);
  text.len = full;
  buf_puts(&text, "One-More: v\r\n\r\n");
  assert_int_equal(outcome(text.data, text.len, 0), ERR_HEAD_TOO_LARGE);

  buf_reset(&text);
  buf_puts(&text, "GET / HTTP/1.1\r\nX: ");
  while (text.len < LIMIT_HTTP_HEAD_BYTES - 1) buf_putc(&text, 'a');
  assert_int_equal(outcome(text.data, text.len, 0), ERR_TIMEOUT); /* could still end in time */
  buf_putc(&text, 'a');
  assert_int_equal(outcome(text.data, text.len, 0), ERR_HEAD_TOO_LARGE);

  buf_reset(&text);
  buf_puts(&text, "GET /");
  while (text.len < LIMIT_HTTP_URL_BYTES + 10) buf_putc(&text, 'a');
  buf_puts(&text, " HTTP/1.1\r\n" HOST "\r\n");
  assert_int_equal(outcome(text.data, text.len, 0), ERR_HEAD_TOO_LARGE);
}

static void bodies_are_bounded(void **state) {
  (void)state;
  PARSED_AUTO p;
  static const char counted[] = POST "Content-Length: 11\r\n\r\nhello world",
                    chunked[] = POST "Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n";
  assert_int_equal(parse(&p, counted, sizeof counted - 1, 0, 10), ERR_TOO_LARGE);
  parsed_free(&p);
  assert_int_equal(parse(&p, chunked, sizeof chunked - 1, 0, 10), ERR_TOO_LARGE);
  parsed_free(&p);
  assert_int_equal(parse(&p, chunked, sizeof chunked - 1, 1, 11), OK);
}

/* Endless chunk extensions or trailers carry no content, and end anyway. */
static void framing_is_bounded(void **state) {
  (void)state;
  BUF_AUTO text;
  buf_init(&text, 1 << 20);
  buf_puts(&text, POST "Transfer-Encoding: chunked\r\n\r\n0\r\n");
  while (text.len < 64 * 1024) buf_puts(&text, "Trailer: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
  assert_int_equal(outcome(text.data, text.len, 1000), ERR_TOO_LARGE);
}

static void a_connection_is_reused(void **state) {
  (void)state;
  PARSED_AUTO p;
  static const char first[] = POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", second[] = "GET /second HTTP/1.0\r\n\r\n";
  assert_int_equal(parse(&p, first, sizeof first - 1, 0, 10), OK);
  size_t head_len = 0;
  http_reset(&p.http);
  assert_int_equal(http_scan(&p.http, second, sizeof second - 1, &head_len, &p.err), OK);
  assert_int_equal(http_parse_head(&p.http, arena_strndup(p.arena, second, head_len), head_len, &p.err), OK);
  assert_string_equal(p.http.path, "/second");
  assert_int_equal(p.http.header_count, 0);
  assert_int_equal(p.http.content_length, -1);
  assert_false(p.http.chunked);
  assert_int_equal(p.http.body.len, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(malformed_is_refused_however_it_arrives),
      cmocka_unit_test(a_request_is_taken_apart),
      cmocka_unit_test(chunks_are_joined_and_trailers_dropped),
      cmocka_unit_test(keep_alive_follows_the_version),
      cmocka_unit_test(targets_have_their_forms),
      cmocka_unit_test(expectations_are_told_apart),
      cmocka_unit_test(heads_are_bounded),
      cmocka_unit_test(bodies_are_bounded),
      cmocka_unit_test(framing_is_bounded),
      cmocka_unit_test(a_connection_is_reused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
