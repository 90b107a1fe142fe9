/* The S3 client against scripted servers: what is asked, byte for byte, and what each way of failing leads to. That the signatures are
 * right is test_sigv4's, and integration/test_s3_ingest's, where another implementation checks them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/s3.h"
#include "tests/support/http_double.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 1);
  unsetenv("AWS_SESSION_TOKEN");
  unsetenv("AWS_REGION");
  unsetenv("AWS_DEFAULT_REGION");
  arena = arena_new((size_t)64 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

struct rig {
  struct http_double *server;
  struct s3 *s3;
};

static void rig_start(struct rig *rig, const struct http_reply *replies, size_t count) {
  ERROR_AUTO err = {0};
  rig->server = http_double_new(replies, count);
  struct s3_options options = {.bucket = "lake", .endpoint = http_double_url(rig->server)};
  if (s3_new(&options, &rig->s3, &err)) fail_msg("%s", err.message);
}

static void rig_end(struct rig *rig) {
  s3_free(rig->s3);
  http_double_free(rig->server);
}
#define RIG(replies) \
  struct rig rig;    \
  rig_start(&rig, replies, sizeof replies / sizeof *replies)

static const char *line(struct rig *rig, size_t index) {
  const char *head = http_double_seen(rig->server, index)->head;
  return arena_strndup(arena, head, strcspn(head, "\r"));
}

static const char *header(struct rig *rig, size_t index, const char *name) {
  char value[1024];
  return arena_strdup(arena, http_double_header(http_double_seen(rig->server, index), name, value, sizeof value));
}

static enum status get(struct rig *rig, const char *key, size_t max, const char **ret_text, struct error *err) {
  struct buf out;
  buf_init(&out, max);
  enum status status = s3_get(rig->s3, key, "\"e1\"", &out, err);
  if (!status) *ret_text = arena_strndup(arena, buf_str(&out), out.len);
  buf_free(&out);
  return status;
}

/* --- what is asked --- */

static void keys_are_sent_as_they_are(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "x"}};
  static const char *const keys[][2] = {{"a b+c%d", "a%20b%2Bc%25d"},
                                        {"dir/../x/./y", "dir/../x/./y"},
                                        {"..", ".."},
                                        {"//two//", "//two//"},
                                        {"q?x=1#f&g", "q%3Fx%3D1%23f%26g"},
                                        {"\xc3\xa9\xe1\x88\xb4\xf0\x9f\x98\x80", "%C3%A9%E1%88%B4%F0%9F%98%80"},
                                        {"line\nend\ttab", "line%0Aend%09tab"},
                                        {"%2F", "%252F"},
                                        {"~-._*'()!", "~-._%2A%27%28%29%21"}};
  RIG(replies);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    ERROR_AUTO err = {0};
    const char *text = NULL;
    if (get(&rig, keys[i][0], 10, &text, &err)) fail_msg("%s: %s", keys[i][0], err.message);
    assert_string_equal(line(&rig, i), arena_printf(arena, "GET /lake/%s HTTP/1.1", keys[i][1]));
  }
  assert_string_equal(header(&rig, 0, "If-Match"), "\"e1\"");
  assert_non_null(strstr(header(&rig, 0, "Authorization"), "SignedHeaders=host;if-match;x-amz-content-sha256;x-amz-date, "));
  assert_non_null(strstr(header(&rig, 0, "Authorization"), "/us-east-1/s3/aws4_request"));
  rig_end(&rig);
}

static void puts_heads_and_deletes(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 200, .headers = "ETag: \"e\"\r\n"},
      {.status = 200, .headers = "ETag: \"abc-2\"\r\nLast-Modified: Fri, 24 May 2013 00:00:00 GMT\r\n"},
      {.status = 204},
      {.status = 404},
      {.status = 404}};
  RIG(replies);
  ERROR_AUTO err = {0};
  struct s3_object object = {0};
  assert_int_equal(s3_put(rig.s3, "k", "bytes", 5, "text/plain", &err), OK);
  assert_string_equal(line(&rig, 0), "PUT /lake/k HTTP/1.1");
  assert_string_equal(http_double_seen(rig.server, 0)->body, "bytes");
  assert_string_equal(header(&rig, 0, "Content-Type"), "text/plain");
  assert_int_equal(s3_head(rig.s3, "k", arena, &object, &err), OK);
  assert_string_equal(object.etag, "\"abc-2\"");
  assert_int_equal(object.modified_ms, 1369353600000);
  assert_int_equal(s3_delete(rig.s3, "k", &err), OK);
  assert_int_equal(s3_delete(rig.s3, "k", &err), OK); /* gone already */
  assert_int_equal(s3_head(rig.s3, "k", arena, &object, &err), ERR_NOT_FOUND);
  assert_string_equal(err.code, "NO_SUCH_KEY");
  rig_end(&rig);
}

static void files_hold_what_was_sent(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "0123456789", .cut = 4}, {.status = 200, .body = "abc"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  char text[32] = "";
  int64_t bytes = 0;
  FILE *file = tmpfile();
  int fd = fileno(file);
  assert_int_equal(write(fd, "..", 2), 2);
  if (s3_get_fd(rig.s3, "k", NULL, fd, 100, &bytes, &err)) fail_msg("%s", err.message);
  assert_int_equal(bytes, 3);
  assert_int_equal(pread(fd, text, sizeof text, 0), 5);
  assert_string_equal(text, "..abc"); /* nothing of the answer that broke off */
  assert_int_equal(s3_get_fd(rig.s3, "k", NULL, fd, 2, &bytes, &err), ERR_TOO_LARGE);
  assert_int_equal(lseek(fd, 0, SEEK_END), 5);
  fclose(file);
  rig_end(&rig);
}

/* --- trying again --- */

static void tries_again_while_it_may_help(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 503, .body = "<Error><Code>SlowDown</Code></Error>"},
                                              {.status = 429, .body = ""},
                                              {.hang_up = true},
                                              {.status = 200, .body = "0123456789", .cut = 3},
                                              {.status = 200, .body = "whole"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  const char *text = NULL;
  if (get(&rig, "k", 100, &text, &err)) fail_msg("%s", err.message);
  assert_string_equal(text, "whole");
  assert_int_equal(http_double_count(rig.server), 5);
  rig_end(&rig);
}

static bool stops(void *arg) { return ++*(int *)arg > 2; }

static void stops_when_told(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 503, .headers = "Retry-After: 3600\r\n"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  const char *text = NULL;
  int asked = 0;
  s3_stop_when(rig.s3, stops, &asked);
  int64_t began = clock_mono_ms();
  assert_int_equal(get(&rig, "k", 100, &text, &err), ERR_UNAVAILABLE);
  assert_string_equal(err.code, "STORE_UNAVAILABLE");
  assert_true(clock_mono_ms() - began < 2000);
  assert_int_equal(http_double_count(rig.server), 1);
  rig_end(&rig);
}

static void follows_the_bucket(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 301, .headers = "x-amz-bucket-region: eu-west-3\r\n", .body = "<Error><Code>PermanentRedirect</Code></Error>"},
      {.status = 400, .body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>"},
      {.status = 200, .body = "here"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  const char *text = NULL;
  assert_int_equal(get(&rig, "k", 100, &text, &err), OK);
  assert_non_null(strstr(header(&rig, 1, "Authorization"), "/eu-west-3/s3/"));
  assert_non_null(strstr(header(&rig, 2, "Authorization"), "/ap-south-1/s3/"));
  assert_string_equal(s3_region(rig.s3), "ap-south-1");
  rig_end(&rig);
}

/* A region that sends us back and forth, and one that is no region. */
static void follows_no_further(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 301, .headers = "x-amz-bucket-region: a\r\n"}, {.status = 301, .headers = "x-amz-bucket-region: b\r\n"},
      {.status = 301, .headers = "x-amz-bucket-region: a\r\n"}, {.status = 301, .headers = "x-amz-bucket-region: b\r\n"},
      {.status = 301, .headers = "x-amz-bucket-region: a\r\n"}, {.status = 301, .headers = "x-amz-bucket-region: evil.example/\r\n"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  const char *text = NULL;
  assert_int_equal(get(&rig, "k", 100, &text, &err), ERR_VALIDATION);
  assert_string_equal(err.code, "STORE_REFUSED");
  assert_int_equal(http_double_count(rig.server), 5);
  assert_int_equal(get(&rig, "k", 100, &text, &err), ERR_VALIDATION);
  assert_string_equal(s3_region(rig.s3), "a");
  rig_end(&rig);
}

static void keeps_the_service_s_time(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 403, .headers = "Date: Fri, 24 May 2013 00:00:00 GMT\r\n", .body = "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
      {.status = 200, .body = "x"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  const char *text = NULL;
  assert_int_equal(get(&rig, "k", 100, &text, &err), OK);
  assert_memory_equal(header(&rig, 1, "x-amz-date"), "20130524T0000", 13);
  rig_end(&rig);
}

/* --- refusals --- */

static void says_what_was_refused(void **state) {
  (void)state;
  static const struct {
    struct http_reply reply;
    enum status status;
    const char *code;
  } cases[] = {
      {{.status = 403, .body = "<Error><Code>AccessDenied</Code><Message>arn:aws:iam::1:user/o</Message></Error>"},
       ERR_FORBIDDEN,
       "ACCESS_DENIED"},
      {{.status = 403, .body = "<Error><Code>InvalidObjectState</Code></Error>"}, ERR_FORBIDDEN, "ARCHIVED"},
      {{.status = 404, .body = "<Error><Code>NoSuchBucket</Code></Error>"}, ERR_NOT_FOUND, "NO_SUCH_BUCKET"},
      {{.status = 404, .body = "<Error><Code>NoSuchKey</Code></Error>"}, ERR_NOT_FOUND, "NO_SUCH_KEY"},
      {{.status = 412, .body = "<Error><Code>PreconditionFailed</Code></Error>"}, ERR_CONFLICT, "CHANGED"},
      {{.status = 400, .body = "<!DOCTYPE x [<!ENTITY a \"AccessDenied\">]><Error><Code>&a;</Code></Error>"},
       ERR_VALIDATION,
       "STORE_REFUSED"},
      {{.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"}, ERR_VALIDATION, "STORE_REFUSED"},
      {{.status = 200, .body = "more than ten"}, ERR_TOO_LARGE, "PAYLOAD_TOO_LARGE"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ERROR_AUTO err = {0};
    struct rig rig;
    const char *text = NULL;
    rig_start(&rig, &cases[i].reply, 1);
    assert_int_equal(get(&rig, "k", 10, &text, &err), cases[i].status);
    if (strcmp(err.code, cases[i].code) != 0) fail_msg("%s: %s", cases[i].code, err.code);
    assert_null(strstr(err.message, "arn:")); /* whose credentials they are is the operator's business */
    assert_int_equal(http_double_count(rig.server), 1);
    rig_end(&rig);
  }
}

static void refuses_what_is_no_name(void **state) {
  (void)state;
  static const struct s3_options options[] = {
      {.bucket = NULL},
      {.bucket = "ab"},
      {.bucket = "a/../b"},
      {.bucket = "a..b"},
      {.bucket = "-abc"},
      {.bucket = "lake?x"},
      {.bucket = "evil.example/"},
      {.bucket = "lake", .region = "evil.example/"},
      {.bucket = "lake", .region = "eu west"},
      {.bucket = "lake", .endpoint = "ftp://h"},
      {.bucket = "lake", .endpoint = "http://h/path"},
      {.bucket = "lake", .endpoint = "http://u:p@h"},
      {.bucket = "lake", .endpoint = "http://h?x"},
  };
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    ERROR_AUTO err = {0};
    S3_AUTO s3 = NULL;
    if (s3_new(&options[i], &s3, &err) != ERR_VALIDATION) fail_msg("taken: %zu", i);
  }
  static const struct http_reply replies[] = {{.status = 200}};
  RIG(replies);
  ERROR_AUTO err = {0};
  const char *text = NULL;
  char *longest = arena_alloc(arena, S3_KEY_BYTES + 2);
  memset(longest, 'k', S3_KEY_BYTES + 1);
  assert_int_equal(get(&rig, "", 10, &text, &err), ERR_VALIDATION);
  assert_int_equal(get(&rig, longest, 10, &text, &err), ERR_VALIDATION);
  assert_int_equal(http_double_count(rig.server), 0);
  rig_end(&rig);
}

/* --- listing --- */

#define HEAD "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>"

static void lists_page_after_page(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 200,
       .body = HEAD "<IsTruncated>true</IsTruncated><NextContinuationToken>t+/=&amp;1</NextContinuationToken>"
                    "<Contents><Key>a+b%2Bc%0A%C3%A9</Key><LastModified>2013-05-24T00:00:00.000Z</LastModified><ETag>&quot;e1&quot;</ETag>"
                    "<Size>12</Size></Contents><Contents><Key>n%00x</Key><Size>0</Size></Contents></ListBucketResult>"},
      {.status = 200, .body = HEAD "<IsTruncated>false</IsTruncated></ListBucketResult>"},
      {.status = 200, .body = "<ListBucketResult><Contents><Key>a+b%20</Key><Size>1</Size></Contents></ListBucketResult>"}};
  RIG(replies);
  ERROR_AUTO err = {0};
  struct s3_page page = {0};
  assert_int_equal(s3_list(rig.s3, "pre fix/", "after", NULL, 5000, arena, &page, &err), OK);
  assert_string_equal(line(&rig, 0),
                      "GET /lake?encoding-type=url&list-type=2&max-keys=1000&prefix=pre%20fix%2F&start-after=after HTTP/1.1");
  assert_int_equal(page.count, 2);
  assert_string_equal(page.objects[0].key, "a b+c\n\xc3\xa9");
  assert_string_equal(page.objects[0].etag, "\"e1\"");
  assert_int_equal(page.objects[0].bytes, 12);
  assert_int_equal(page.objects[0].modified_ms, 1369353600000);
  assert_int_equal(page.objects[1].key_len, 3);
  assert_string_equal(page.next, "t+/=&1");
  assert_int_equal(s3_list(rig.s3, "pre fix/", "after", page.next, 7, arena, &page, &err), OK);
  assert_string_equal(line(&rig, 1),
                      "GET /lake?continuation-token=t%2B%2F%3D%261&encoding-type=url&list-type=2&max-keys=7&prefix=pre%20fix%2F HTTP/1.1");
  assert_int_equal(page.count, 0);
  assert_null(page.next);
  assert_int_equal(s3_list(rig.s3, "", NULL, NULL, 1, arena, &page, &err), OK); /* a server that doesn't encode */
  assert_string_equal(page.objects[0].key, "a+b%20");
  rig_end(&rig);
}

static void refuses_listings_without_an_end(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 200, .body = HEAD "<IsTruncated>true</IsTruncated></ListBucketResult>"},
      {.status = 200, .body = HEAD "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"},
      {.status = 200, .body = "<html>maintenance</html>"},
      {.status = 200, .body = ""},
      {.status = 200, .body = HEAD "<Contents><Key>k</Key></Contents></ListBucketResult>"}};
  RIG(replies);
  for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
    ERROR_AUTO err = {0};
    struct s3_page page = {0};
    if (s3_list(rig.s3, "", NULL, "t", 10, arena, &page, &err) != ERR_UNAVAILABLE) fail_msg("taken: %zu", i);
  }
  rig_end(&rig);
}

static void pays(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "x"}};
  ERROR_AUTO err = {0};
  struct http_double *server = http_double_new(replies, 1);
  S3_AUTO s3 = NULL;
  struct s3_options options = {.bucket = "lake", .endpoint = http_double_url(server), .requester_pays = true};
  BUF_AUTO out;
  char value[64];
  buf_init(&out, 10);
  assert_int_equal(s3_new(&options, &s3, &err), OK);
  assert_int_equal(s3_get(s3, "k", NULL, &out, &err), OK);
  assert_string_equal(http_double_header(http_double_seen(server, 0), "x-amz-request-payer", value, sizeof value), "requester");
  http_double_free(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_are_sent_as_they_are),
      cmocka_unit_test(puts_heads_and_deletes),
      cmocka_unit_test(files_hold_what_was_sent),
      cmocka_unit_test(tries_again_while_it_may_help),
      cmocka_unit_test(stops_when_told),
      cmocka_unit_test(follows_the_bucket),
      cmocka_unit_test(follows_no_further),
      cmocka_unit_test(keeps_the_service_s_time),
      cmocka_unit_test(says_what_was_refused),
      cmocka_unit_test(refuses_what_is_no_name),
      cmocka_unit_test(lists_page_after_page),
      cmocka_unit_test(refuses_listings_without_an_end),
      cmocka_unit_test(pays),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
