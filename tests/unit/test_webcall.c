/* Calls to other people's servers: what is sent, what is refused on the address itself, how answers are bounded, AWS credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/aws.h"
#include "common/webcall.h"
#include "tests/support/http_double.h"

static struct arena *arena;

static int setup(void **state) {
  (void)state;
  arena = arena_new((size_t)16 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

static void free_policy(struct netpolicy **policy) { netpolicy_free(*policy); }
#define POLICY_AUTO __attribute__((cleanup(free_policy))) struct netpolicy *

/* One call to `url` with everything else ordinary. */
static enum status fetch(const struct netpolicy *policy, const char *url, size_t max, bool cut, struct webcall_answer *ret_answer,
                         struct error *err) {
  WEBCALL_AUTO webcall = NULL;
  assert_int_equal(webcall_new(policy, &webcall, err), OK);
  struct webcall_request request = {.method = "GET", .url = url, .timeout_ms = 3000, .max_answer = max, .cut = cut};
  return webcall_send(webcall, &request, arena, ret_answer, err);
}

static void sends_and_reads(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 201, .headers = "Content-Type: text/plain\r\nRetry-After: 7\r\n", .body = "made"}};
  struct http_double *server = http_double_new(replies, 1);
  ERROR_AUTO err = {0};
  WEBCALL_AUTO webcall = NULL;
  assert_int_equal(webcall_new(NULL, &webcall, &err), OK);
  const struct webcall_header headers[] = {{"X-One", "1"}, {"X-None", NULL}, {"X-Empty", ""}};
  struct webcall_request request = {.method = "POST",
                                    .url = arena_printf(arena, "%s/a/b?c=d", http_double_url(server)),
                                    .headers = headers,
                                    .header_count = 3,
                                    .body = "x\0y",
                                    .body_len = 3,
                                    .timeout_ms = 3000,
                                    .max_answer = 100};
  struct webcall_answer answer = {0};
  assert_int_equal(webcall_send(webcall, &request, arena, &answer, &err), OK);
  assert_int_equal(answer.status, 201);
  assert_string_equal(answer.body, "made");
  assert_string_equal(answer.content_type, "text/plain");
  assert_int_equal(answer.retry_after_s, 7);
  assert_false(answer.was_cut);
  char value[64];
  const struct http_seen *seen = http_double_seen(server, 0);
  assert_memory_equal(seen->head, "POST /a/b?c=d HTTP/1.1\r\n", 24);
  assert_string_equal(http_double_header(seen, "X-One", value, sizeof value), "1");
  assert_string_equal(http_double_header(seen, "Content-Length", value, sizeof value), "3");
  assert_null(strstr(seen->head, "X-None"));
  assert_non_null(strstr(seen->head, "X-Empty:"));
  assert_null(strstr(seen->head, "Expect:"));
  http_double_free(server);
}

/* A redirect is an answer like any other: nobody is sent where he didn't ask to go. */
static void follows_no_redirect(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n", .body = ""}};
  struct http_double *server = http_double_new(replies, 1);
  ERROR_AUTO err = {0};
  struct webcall_answer answer = {0};
  assert_int_equal(fetch(NULL, http_double_url(server), 100, false, &answer, &err), OK);
  assert_int_equal(answer.status, 302);
  assert_int_equal(http_double_count(server), 1);
  http_double_free(server);
}

static void ignores_proxies_of_the_environment(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "direct"}};
  struct http_double *server = http_double_new(replies, 1);
  ERROR_AUTO err = {0};
  struct webcall_answer answer = {0};
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  enum status status = fetch(NULL, http_double_url(server), 100, false, &answer, &err);
  unsetenv("http_proxy");
  unsetenv("ALL_PROXY");
  assert_int_equal(status, OK);
  assert_string_equal(answer.body, "direct");
  http_double_free(server);
}

static void bounds_the_answer(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "0123456789"}};
  struct http_double *server = http_double_new(replies, 1);
  ERROR_AUTO err = {0};
  struct webcall_answer answer = {0};
  assert_int_equal(fetch(NULL, http_double_url(server), 10, false, &answer, &err), OK);
  assert_string_equal(answer.body, "0123456789");
  assert_int_equal(fetch(NULL, http_double_url(server), 4, true, &answer, &err), OK);
  assert_string_equal(answer.body, "0123");
  assert_true(answer.was_cut);
  assert_int_equal(fetch(NULL, http_double_url(server), 9, false, &answer, &err), ERR_UNAVAILABLE);
  assert_string_equal(err.code, "ANSWER_TOO_LARGE");
  http_double_free(server);
}

/* The policy sees the address, so neither a name nor a spelling of it gets past; and what it refuses is never connected to. */
static void refuses_addresses(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "inside"}};
  struct http_double *server = http_double_new(replies, 1);
  static const char *const hosts[] = {"127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"};
  POLICY_AUTO closed = NULL;
  POLICY_AUTO open = NULL;
  ERROR_AUTO err = {0};
  struct webcall_answer answer = {0};
  assert_int_equal(netpolicy_new("", "", false, &closed, &err), OK);
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
    const char *url = arena_printf(arena, "http://%s:%d/", hosts[i], http_double_port(server));
    assert_int_equal(fetch(closed, url, 100, false, &answer, &err), ERR_UNAVAILABLE);
    if (strcmp(err.code, "ADDRESS_REFUSED") != 0) fail_msg("%s: %s %s", url, err.code, err.message);
  }
  assert_int_equal(http_double_count(server), 0);
  assert_int_equal(netpolicy_new("127.0.0.0/8", "", false, &open, &err), OK);
  assert_int_equal(fetch(open, http_double_url(server), 100, false, &answer, &err), OK);
  http_double_free(server);
}

static void refuses_what_is_no_call(void **state) {
  (void)state;
  static const char *const urls[] = {"",          "ftp://127.0.0.1/",        "file:///etc/passwd", "gopher://127.0.0.1/",    "http://",
                                     "http:// /", "http://u:p@127.0.0.1:1/", "127.0.0.1",          "http://127.0.0.1:99999/"};
  struct webcall_answer answer = {0};
  for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
    ERROR_AUTO err = {0};
    if (fetch(NULL, urls[i], 100, false, &answer, &err) != ERR_VALIDATION) fail_msg("taken: %s (%s)", urls[i], err.message);
  }
  ERROR_AUTO err = {0};
  WEBCALL_AUTO webcall = NULL;
  assert_int_equal(webcall_new(NULL, &webcall, &err), OK);
  const struct webcall_header smuggled = {"X-A", "b\r\nX-C: d"};
  struct webcall_request request = {
      .method = "GET", .url = "http://127.0.0.1:1/", .headers = &smuggled, .header_count = 1, .timeout_ms = 100, .max_answer = 1};
  assert_int_equal(webcall_send(webcall, &request, arena, &answer, &err), ERR_VALIDATION);
}

static void ends_in_time(void **state) {
  (void)state;
  static const struct http_reply replies[] = {{.status = 200, .body = "late", .stall_ms = 20000}};
  struct http_double *server = http_double_new(replies, 1);
  ERROR_AUTO err = {0};
  WEBCALL_AUTO webcall = NULL;
  struct webcall_answer answer = {0};
  assert_int_equal(webcall_new(NULL, &webcall, &err), OK);
  struct webcall_request request = {
      .method = "GET", .url = arena_printf(arena, "%s/?token=hunter2", http_double_url(server)), .timeout_ms = 200, .max_answer = 10};
  assert_int_equal(webcall_send(webcall, &request, arena, &answer, &err), ERR_UNAVAILABLE);
  assert_string_equal(err.code, "TIMEOUT");
  assert_null(strstr(err.message, "hunter2"));
  http_double_free(server);
}

/* --- AWS --- */

static void forget_aws(void) {
  static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                      "AWS_SECRET_ACCESS_KEY",
                                      "AWS_SESSION_TOKEN",
                                      "AWS_PROFILE",
                                      "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                      "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                      "HOME"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
  setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static void credentials_come_in_order(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct webcall_aws aws = {0};
  forget_aws();
  assert_int_equal(aws_credentials(arena, &aws, &err), ERR_UNAVAILABLE);
  assert_string_equal(err.code, "NO_CREDENTIALS");

  char path[] = "/tmp/autodb-aws-XXXXXX";
  int fd = mkstemp(path);
  static const char text[] = "# keys\n[default]\naws_access_key_id = FILEKEY\naws_secret_access_key=filesecret\n\n[other]\n"
                             "aws_access_key_id=OTHER\naws_secret_access_key = othersecret\naws_session_token = t\n[broken]\nx=y\n";
  assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
  close(fd);
  setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
  assert_int_equal(aws_credentials(arena, &aws, &err), OK);
  assert_string_equal(aws.access_key, "FILEKEY");
  assert_string_equal(aws.secret_key, "filesecret");
  assert_null(aws.session_token);
  setenv("AWS_PROFILE", "other", 1);
  assert_int_equal(aws_credentials(arena, &aws, &err), OK);
  assert_string_equal(aws.access_key, "OTHER");
  assert_string_equal(aws.session_token, "t");
  setenv("AWS_PROFILE", "broken", 1);
  assert_int_equal(aws_credentials(arena, &aws, &err), ERR_UNAVAILABLE);

  setenv("AWS_ACCESS_KEY_ID", "ENVKEY", 1);
  assert_int_equal(aws_credentials(arena, &aws, &err), ERR_UNAVAILABLE); /* half an identity is none */
  setenv("AWS_SECRET_ACCESS_KEY", "envsecret", 1);
  assert_int_equal(aws_credentials(arena, &aws, &err), OK);
  assert_string_equal(aws.access_key, "ENVKEY");
  unlink(path);
  forget_aws();
}

static void credentials_of_a_container(void **state) {
  (void)state;
  static const struct http_reply replies[] = {
      {.status = 500, .body = "{}"},
      {.status = 200, .body = "{\"AccessKeyId\":\"C\",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Expiration\":\"2100-01-01T00:00:00Z\"}"}};
  struct http_double *server = http_double_new(replies, 2);
  ERROR_AUTO err = {0};
  struct webcall_aws aws = {0};
  forget_aws();
  setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_double_url(server), 1);
  setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in", 1);
  assert_int_equal(aws_credentials(arena, &aws, &err), ERR_UNAVAILABLE);
  assert_int_equal(aws_credentials(arena, &aws, &err), OK);
  assert_string_equal(aws.access_key, "C");
  assert_string_equal(aws.session_token, "T");
  char value[64];
  assert_string_equal(http_double_header(http_double_seen(server, 1), "Authorization", value, sizeof value), "let-me-in");
  assert_int_equal(aws_credentials(arena, &aws, &err), OK); /* kept: not asked for again */
  assert_int_equal(http_double_count(server), 2);
  http_double_free(server);
  forget_aws();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(sends_and_reads, setup, teardown),
      cmocka_unit_test_setup_teardown(follows_no_redirect, setup, teardown),
      cmocka_unit_test_setup_teardown(ignores_proxies_of_the_environment, setup, teardown),
      cmocka_unit_test_setup_teardown(bounds_the_answer, setup, teardown),
      cmocka_unit_test_setup_teardown(refuses_addresses, setup, teardown),
      cmocka_unit_test_setup_teardown(refuses_what_is_no_call, setup, teardown),
      cmocka_unit_test_setup_teardown(ends_in_time, setup, teardown),
      cmocka_unit_test_setup_teardown(credentials_come_in_order, setup, teardown),
      cmocka_unit_test_setup_teardown(credentials_of_a_container, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
