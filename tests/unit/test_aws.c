/* Who we are to AWS, against doubles of its services: web identity, EKS' agent, roles assumed for others, the instance; and what is kept of
 * it, for how long. The plainer sources are test_webcall's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/aws.h"
#include "common/clock.h"
#include "tests/support/http_double.h"

static struct arena *arena;

static int setup(void **state) {
  static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                      "AWS_SECRET_ACCESS_KEY",
                                      "AWS_SESSION_TOKEN",
                                      "AWS_PROFILE",
                                      "AWS_ROLE_ARN",
                                      "AWS_WEB_IDENTITY_TOKEN_FILE",
                                      "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                      "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                      "AWS_ENDPOINT_URL_STS",
                                      "AWS_EC2_METADATA_SERVICE_ENDPOINT"};
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
  setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  setenv("AWS_REGION", "eu-central-1", 1);
  aws_forget();
  arena = arena_new((size_t)16 << 20);
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  arena_free(arena);
  return 0;
}

/* An instant so many seconds from now as AWS writes it. */
static const char *in_seconds(int seconds) {
  char text[CLOCK_TEXT];
  return arena_strdup(arena, clock_format(clock_wall_ms() + (int64_t)seconds * 1000, text));
}

static const char *sts_answer(const char *action, const char *key, int seconds) {
  return arena_printf(arena,
                      "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult><Credentials><AccessKeyId>%s</AccessKeyId>"
                      "<SecretAccessKey>s</SecretAccessKey><SessionToken>t+/=</SessionToken><Expiration>%s</Expiration></Credentials>"
                      "</%sResult></%sResponse>",
                      action, action, key, in_seconds(seconds), action, action);
}

static const char *json_answer(const char *key, int seconds) {
  return arena_printf(arena, "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"s\",\"Token\":\"t\",\"Expiration\":\"%s\"}", key,
                      in_seconds(seconds));
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void expect(const struct aws_identity *identity, const char *access_key) {
  ERROR_AUTO err = {0};
  struct webcall_aws aws = {0};
  if (aws_credentials_of(identity, arena, &aws, &err)) fail_msg("%s: %s", err.code, err.message);
  assert_string_equal(aws.access_key, access_key);
}

static void expect_failure(const struct aws_identity *identity, enum status status, const char *code) {
  ERROR_AUTO err = {0};
  struct webcall_aws aws = {0};
  assert_int_equal(aws_credentials_of(identity, arena, &aws, &err), status);
  assert_string_equal(err.code, code);
}

/* The file is written anew by the cluster, so it is read anew. */
static void web_identity(void **state) {
  (void)state;
  const struct http_reply replies[] = {{.status = 200, .body = sts_answer("AssumeRoleWithWebIdentity", "W1", 60)},
                                       {.status = 200, .body = sts_answer("AssumeRoleWithWebIdentity", "W2", 3600)}};
  struct http_double *server = http_double_new(replies, 2);
  char path[] = "/tmp/autodb-token-XXXXXX", value[1024];
  close(mkstemp(path));
  write_file(path, "first+token\n");
  setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
  setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path, 1);
  setenv("AWS_ENDPOINT_URL_STS", http_double_url(server), 1);
  expect(NULL, "W1");
  write_file(path, "second");
  expect(NULL, "W2"); /* the first were about to expire */
  expect(NULL, "W2");
  assert_int_equal(http_double_count(server), 2);
  const struct http_seen *seen = http_double_seen(server, 0);
  assert_string_equal(seen->body, "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=autodb&WebIdentityToken=first%2Btoken"
                                  "&Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
  assert_string_equal(http_double_header(seen, "Authorization", value, sizeof value), "");
  assert_non_null(strstr(http_double_seen(server, 1)->body, "&WebIdentityToken=second&"));
  unlink(path);
  aws_forget();
  expect_failure(NULL, ERR_UNAVAILABLE, "NO_CREDENTIALS"); /* no file: nobody else's identity instead */
  http_double_free(server);
}

static void pod_identity(void **state) {
  (void)state;
  const struct http_reply replies[] = {{.status = 200, .body = json_answer("P1", 60)}, {.status = 200, .body = json_answer("P2", 3600)}};
  struct http_double *server = http_double_new(replies, 2);
  char path[] = "/tmp/autodb-token-XXXXXX", value[64];
  close(mkstemp(path));
  setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", http_double_url(server), 1);
  setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path, 1);
  write_file(path, "one");
  expect(NULL, "P1");
  write_file(path, "two");
  expect(NULL, "P2");
  assert_string_equal(http_double_header(http_double_seen(server, 0), "Authorization", value, sizeof value), "one");
  assert_string_equal(http_double_header(http_double_seen(server, 1), "Authorization", value, sizeof value), "two");
  unlink(path);
  http_double_free(server);
}

static void instance(void **state) {
  (void)state;
  const struct http_reply replies[] = {
      {.status = 200, .body = "tok"}, {.status = 200, .body = "the-role\n"}, {.status = 200, .body = json_answer("I", 3600)}};
  struct http_double *server = http_double_new(replies, 3);
  char value[64];
  unsetenv("AWS_EC2_METADATA_DISABLED");
  setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", http_double_url(server), 1);
  expect(NULL, "I");
  expect(NULL, "I");
  assert_int_equal(http_double_count(server), 3);
  assert_memory_equal(http_double_seen(server, 0)->head, "PUT /latest/api/token ", 22);
  assert_non_null(strstr(http_double_seen(server, 2)->head, "/iam/security-credentials/the-role HTTP"));
  assert_string_equal(http_double_header(http_double_seen(server, 2), "X-aws-ec2-metadata-token", value, sizeof value), "tok");
  http_double_free(server);
}

/* A role is assumed by the keys beside it, or by the process; two identities never share what is kept. */
static void assumed_roles(void **state) {
  (void)state;
  const struct http_reply replies[] = {{.status = 200, .body = sts_answer("AssumeRole", "R1", 3600)},
                                       {.status = 200, .body = sts_answer("AssumeRole", "R2", 3600)},
                                       {.status = 403, .body = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"},
                                       {.status = 503, .body = ""},
                                       {.status = 200, .body = "<html/>"}};
  struct http_double *server = http_double_new(replies, 5);
  setenv("AWS_ENDPOINT_URL_STS", http_double_url(server), 1);
  setenv("AWS_ACCESS_KEY_ID", "OPERATOR", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "operatorsecret", 1);
  const struct aws_identity first = {.role_arn = "arn:aws:iam::1:role/a", .external_id = "x y"};
  const struct aws_identity second = {.access_key = "THEIRS", .secret_key = "s", .role_arn = "arn:aws:iam::1:role/a", .external_id = "x y"};
  const struct aws_identity third = {.role_arn = "arn:aws:iam::2:role/a"}, plain = {.access_key = "THEIRS", .secret_key = "s"};
  char value[1024];
  expect(&first, "R1");
  expect(&second, "R2");
  expect(&first, "R1");
  expect(&second, "R2");
  expect(&plain, "THEIRS");
  expect(NULL, "OPERATOR");
  assert_int_equal(http_double_count(server), 2);
  http_double_header(http_double_seen(server, 0), "Authorization", value, sizeof value);
  assert_non_null(strstr(value, "Credential=OPERATOR/"));
  assert_non_null(strstr(value, "/eu-central-1/sts/aws4_request"));
  assert_non_null(strstr(http_double_seen(server, 0)->body, "&ExternalId=x%20y&"));
  assert_non_null(strstr(http_double_header(http_double_seen(server, 1), "Authorization", value, sizeof value), "Credential=THEIRS/"));
  expect_failure(&third, ERR_FORBIDDEN, "ROLE_REFUSED");
  assert_null(strstr(http_double_seen(server, 2)->body, "ExternalId"));
  expect_failure(&third, ERR_UNAVAILABLE, "NO_CREDENTIALS");
  expect_failure(&third, ERR_UNAVAILABLE, "NO_CREDENTIALS");
  http_double_free(server);
}

/* What is still valid is better than nothing, and the service isn't asked with every call. */
static void old_ones_are_used_while_they_are_valid(void **state) {
  (void)state;
  const struct http_reply replies[] = {{.status = 200, .body = sts_answer("AssumeRole", "OLD", 60)},
                                       {.status = 500, .body = ""},
                                       {.status = 200, .body = sts_answer("AssumeRole", "NEW", 3600)}};
  struct http_double *server = http_double_new(replies, 3);
  setenv("AWS_ENDPOINT_URL_STS", http_double_url(server), 1);
  const struct aws_identity identity = {.access_key = "A", .secret_key = "s", .role_arn = "arn:aws:iam::1:role/a"};
  expect(&identity, "OLD");
  expect(&identity, "OLD");
  expect(&identity, "OLD");
  assert_int_equal(http_double_count(server), 2);
  aws_forget(); /* the store said that they have expired */
  expect(&identity, "NEW");
  http_double_free(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(web_identity, setup, teardown),
      cmocka_unit_test_setup_teardown(pod_identity, setup, teardown),
      cmocka_unit_test_setup_teardown(instance, setup, teardown),
      cmocka_unit_test_setup_teardown(assumed_roles, setup, teardown),
      cmocka_unit_test_setup_teardown(old_ones_are_used_while_they_are_valid, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
