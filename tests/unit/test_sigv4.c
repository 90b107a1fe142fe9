/* Signatures as AWS itself publishes them: the examples of S3's documentation and cases of its signing test suite (facts of
 * awslabs/aws-c-auth, tests/aws-signing-test-suite/v4, named as there). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/crypto.h"
#include "common/sigv4.h"

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

struct vector {
  const char *name, *path, *query;
  struct sigv4_header more[4];           /* besides host and x-amz-date */
  const char *body, *signature, *method; /* NULL: GET */
};

static const struct vector suite[] = {
    {"get-vanilla", "/", "", {{0}}, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", NULL},
    {"get-space-unnormalized", "/example space/", "", {{0}}, "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741", NULL},
    {"get-slashes-unnormalized", "//example//", "", {{0}}, "", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5", NULL},
    {"get-relative-relative-unnormalized",
     "/example1/example2/../..",
     "",
     {{0}},
     "",
     "dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b",
     NULL},
    {"get-slash-dot-slash-unnormalized", "/./", "", {{0}}, "", "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145", NULL},
    {"get-unreserved",
     "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     "",
     {{0}},
     "",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
     NULL},
    {"get-utf8", "/\xe1\x88\xb4", "", {{0}}, "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", NULL},
    {"get-vanilla-empty-query-key",
     "/",
     "Param1=value1",
     {{0}},
     "",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
     NULL},
    {"get-vanilla-query-order-encoded",
     "/",
     "Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
     {{0}},
     "",
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
     NULL},
    {"get-vanilla-query-order-key-case",
     "/",
     "Param2=value2&Param1=value1",
     {{0}},
     "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
     NULL},
    {"get-vanilla-query-unreserved",
     "/",
     "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~"
     "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
     {{0}},
     "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
     NULL},
    {"get-vanilla-utf8-query",
     "/",
     "\xe1\x88\xb4=bar",
     {{0}},
     "",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
     NULL},
    {"get-vanilla-with-session-token",
     "/",
     "",
     {{"X-Amz-Security-Token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}},
     "",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
     NULL},
    {"get-header-value-trim",
     "/",
     "",
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
     NULL},
    {"post-x-www-form-urlencoded",
     "/",
     "",
     {{"Content-Type", "application/x-www-form-urlencoded"},
      {"Content-Length", "13"},
      {"x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}},
     "Param1=value1",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
     "POST"},
};

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
static const struct vector s3[] = {
    {"GET object",
     "/test.txt",
     "",
     {{"Range", "bytes=0-9"}, {"x-amz-content-sha256", EMPTY}},
     "",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
     NULL},
    {"PUT object",
     "/test%24file.text",
     "",
     {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"x-amz-content-sha256", WELCOME}},
     "Welcome to Amazon S3.",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
     "PUT"},
    {"GET lifecycle",
     "/",
     "lifecycle",
     {{"x-amz-content-sha256", EMPTY}},
     "",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
     NULL},
    {"list objects",
     "/",
     "max-keys=2&prefix=J",
     {{"x-amz-content-sha256", EMPTY}},
     "",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
     NULL},
};

static void check(const struct vector *vector, struct sigv4_request request, const char *host) {
  ERROR_AUTO err = {0};
  struct sigv4_header headers[6] = {{"x-amz-date", request.date}, {"Host", host}};
  char digest[SHA256_HEX];
  const char *authorization = NULL;
  size_t count = 2;
  for (size_t i = 0; i < 4 && vector->more[i].name; i++) headers[count++] = vector->more[i];
  request.method = vector->method ? vector->method : "GET";
  request.path = vector->path;
  request.query = vector->query;
  request.headers = headers;
  request.header_count = count;
  request.payload_sha256 = crypto_sha256_hex(vector->body, strlen(vector->body), digest);
  if (sigv4_sign(&request, arena, &authorization, &err)) fail_msg("%s: %s", vector->name, err.message);
  const char *signature = strstr(authorization, "Signature=");
  if (!signature || strcmp(signature + 10, vector->signature) != 0) fail_msg("%s: %s", vector->name, authorization);
}

static void signs_as_the_suite(void **state) {
  (void)state;
  struct sigv4_request request = {.service = "service",
                                  .region = "us-east-1",
                                  .access_key = "AKIDEXAMPLE",
                                  .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                  .date = "20150830T123600Z"};
  for (size_t i = 0; i < sizeof suite / sizeof *suite; i++) check(&suite[i], request, "example.amazonaws.com");
}

static void signs_as_s3_documents(void **state) {
  (void)state;
  struct sigv4_request request = {.service = "s3",
                                  .region = "us-east-1",
                                  .access_key = "AKIAIOSFODNN7EXAMPLE",
                                  .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                  .date = "20130524T000000Z"};
  for (size_t i = 0; i < sizeof s3 / sizeof *s3; i++) check(&s3[i], request, "examplebucket.s3.amazonaws.com");
}

/* The same parameters are signed the same, in whatever order and however encoded they are sent. */
static void signs_parameters_as_the_server_reads_them(void **state) {
  (void)state;
  static const char *const queries[] = {"b=%7E%2F&a=x%20y&a=1", "a=1&a=x%20y&b=~/", "&a=1&&b=~%2f&a=x y"};
  const char *first = NULL;
  for (size_t i = 0; i < 3; i++) {
    ERROR_AUTO err = {0};
    const struct sigv4_header headers[] = {{"host", "h"}};
    struct sigv4_request request = {"s3", "r", "a", "s", "GET", "/", queries[i], headers, 1, SIGV4_UNSIGNED, "20130524T000000Z"};
    const char *authorization = NULL;
    assert_int_equal(sigv4_sign(&request, arena, &authorization, &err), OK);
    if (first) assert_string_equal(authorization, first);
    first = authorization;
  }
}

static void refuses_what_it_cannot_hold(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct sigv4_header headers[SIGV4_HEADERS + 1];
  for (size_t i = 0; i < SIGV4_HEADERS + 1; i++) headers[i] = (struct sigv4_header){"x", "y"};
  struct sigv4_request request = {"s3", "r", "a", "s", "GET", "/", "", headers, SIGV4_HEADERS + 1, SIGV4_UNSIGNED, "20130524T000000Z"};
  const char *authorization = NULL;
  assert_int_equal(sigv4_sign(&request, arena, &authorization, &err), ERR_VALIDATION);
  BUF_AUTO query;
  buf_init(&query, 4096);
  for (int i = 0; i < 100; i++) buf_puts(&query, "a=b&");
  request.header_count = 1;
  request.query = buf_str(&query);
  assert_int_equal(sigv4_sign(&request, arena, &authorization, &err), ERR_VALIDATION);
  assert_null(authorization);
}

static void encodes(void **state) {
  (void)state;
  BUF_AUTO out;
  buf_init(&out, 256);
  sigv4_encode(&out, "a b+c/\xc3\xa9\n%\0~", 12, "/");
  assert_string_equal(buf_str(&out), "a%20b%2Bc/%C3%A9%0A%25%00~");
  char date[SIGV4_DATE];
  sigv4_date(1440938160000, date);
  assert_string_equal(date, "20150830T123600Z");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(signs_as_the_suite),
      cmocka_unit_test(signs_as_s3_documents),
      cmocka_unit_test(signs_parameters_as_the_server_reads_them),
      cmocka_unit_test(refuses_what_it_cannot_hold),
      cmocka_unit_test(encodes),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
