/* The S3 client against servers that another implementation guards: each request's signature is computed again by AWS's own signer
 * (tests/s3/serve.js). AUTODB_TEST_S3_URL names a further server, with AUTODB_TEST_S3_BUCKET, and credentials as AWS's tools take them. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/s3_server.h"

static struct arena *arena;
static struct s3_server s3rver, memory;

static int setup(void **state) {
  struct harness *h = harness_new();
  s3_server_start(h, "s3rver", &s3rver);
  s3_server_start(h, "memory", &memory);
  arena = arena_new((size_t)256 << 20);
  *state = h;
  return arena ? 0 : -1;
}

static int teardown(void **state) {
  arena_free(arena);
  return harness_teardown(state);
}

static const char *get(struct s3 *s3, const char *key, const char *etag) {
  ERROR_AUTO err = {0};
  BUF_AUTO out;
  buf_init(&out, 1 << 20);
  if (s3_get(s3, key, etag, &out, &err)) return arena_strdup(arena, err.code);
  return arena_strndup(arena, buf_str(&out), out.len);
}

/* Puts, lists page by page, reads, looks at and deletes objects of these keys. */
static void round_trip(struct s3 *s3, const char *prefix, const char *const *keys, size_t count) {
  ERROR_AUTO err = {0};
  size_t listed = 0, pages = 0;
  for (size_t i = 0; i < count; i++) {
    const char *key = arena_printf(arena, "%s%s", prefix, keys[i]);
    if (s3_put(s3, key, keys[i], strlen(keys[i]), NULL, &err)) fail_msg("put %s: %s %s", key, err.code, err.message);
  }
  struct s3_page page = {0};
  do {
    if (s3_list(s3, prefix, NULL, page.next, 2, arena, &page, &err)) fail_msg("%s: %s", err.code, err.message);
    for (size_t i = 0; i < page.count; i++) {
      const char *key = page.objects[i].key + strlen(prefix);
      bool known = false;
      for (size_t j = 0; j < count; j++) known = known || strcmp(keys[j], key) == 0;
      if (!known) fail_msg("listed: %s", page.objects[i].key);
      assert_int_equal(page.objects[i].bytes, strlen(key));
      struct s3_object object = {0};
      if (s3_head(s3, page.objects[i].key, arena, &object, &err)) fail_msg("head %s: %s", key, err.message);
      assert_string_equal(object.etag, page.objects[i].etag);
      assert_int_equal(object.bytes, strlen(key));
      assert_string_equal(get(s3, page.objects[i].key, page.objects[i].etag), key);
    }
    listed += page.count;
    pages++;
  } while (page.next);
  assert_int_equal(listed, count);
  assert_int_equal(pages, (count + 1) / 2);
  for (size_t i = 0; i < count; i++) {
    const char *key = arena_printf(arena, "%s%s", prefix, keys[i]);
    if (s3_delete(s3, key, &err)) fail_msg("delete %s: %s", key, err.message);
    assert_string_equal(get(s3, key, NULL), "NO_SUCH_KEY");
  }
}

static const char *const plain_keys[] = {"a.md",         "a b+c.md",           "100%.md",  "caf\xc3\xa9/\xe1\x88\xb4.md",
                                         "q?x=1&y#f.md", "~-._*'()!@,;:$=.md", "%2F%20.md"};
static const char *const odd_keys[] = {
    "./x.md", "../y.md", "a/../b/./c", "//two//", "..", ".", "tab\tand\nline", "back\\slash\"quote<&>", " ", "+", "\xf0\x9f\x98\x80"};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static void s3rver_takes_our_requests(void **state) {
  (void)state;
  S3_AUTO s3 = s3_server_client(&s3rver);
  round_trip(s3, "trip/", plain_keys, COUNT(plain_keys));
  assert_true(s3_server_count(&s3rver, "GET") > 0);
}

static void keys_of_any_kind(void **state) {
  (void)state;
  S3_AUTO s3 = s3_server_client(&memory);
  round_trip(s3, "", odd_keys, COUNT(odd_keys));
  round_trip(s3, "trip/ %+\xc3\xa9/", plain_keys, COUNT(plain_keys));
  s3_server_count(&memory, "GET"); /* every signature was right */
}

/* The guard is one: what is not signed as AWS signs it does not pass. */
static void wrong_signatures_are_refused(void **state) {
  (void)state;
  const struct aws_identity wrong = {.access_key = S3_SERVER_KEY, .secret_key = "another"};
  struct s3_options options = {.bucket = "lake", .endpoint = memory.url, .identity = &wrong};
  ERROR_AUTO err = {0};
  S3_AUTO s3 = NULL;
  assert_int_equal(s3_new(&options, &s3, &err), OK);
  assert_string_equal(get(s3, "k", NULL), "ACCESS_DENIED");
  json_decref(s3_server_control(&memory, "reset", "{}"));
}

static void faults_on_the_way(void **state) {
  (void)state;
  S3_AUTO s3 = s3_server_client(&memory);
  s3_server_put(&memory, "k", "content");
  s3_server_order(&memory, "[{\"on\":\"GET\",\"kind\":\"slowdown\",\"times\":2},{\"on\":\"GET\",\"kind\":\"truncate\",\"times\":1}]");
  assert_string_equal(get(s3, "k", NULL), "content");
  s3_server_order(&memory, "[{\"on\":\"GET\",\"kind\":\"redirect\",\"times\":1}]");
  assert_string_equal(get(s3, "k", NULL), "content");
  assert_string_equal(s3_region(s3), "eu-south-9");
  s3_server_order(&memory, "[{\"on\":\"GET\",\"kind\":\"forbid\",\"times\":1}]");
  assert_string_equal(get(s3, "k", NULL), "ACCESS_DENIED");
  assert_string_equal(get(s3, "k", "\"another\""), "CHANGED");
  assert_string_equal(get(s3, "none", NULL), "NO_SUCH_KEY");
  s3_server_count(&memory, "GET");
}

static void another_server(void **state) {
  const char *url = getenv("AUTODB_TEST_S3_URL"), *bucket = getenv("AUTODB_TEST_S3_BUCKET");
  ERROR_AUTO err = {0};
  S3_AUTO s3 = NULL;
  (void)state;
  if (!url || !bucket) skip();
  struct s3_options options = {.bucket = bucket, .endpoint = url};
  if (s3_new(&options, &s3, &err)) fail_msg("%s", err.message);
  round_trip(s3, "autodb-test/", plain_keys, COUNT(plain_keys));
}

int main(void) {
  if (getenv("AUTODB_TEST_S3_URL")) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(another_server)};
    arena = arena_new((size_t)256 << 20);
    return cmocka_run_group_tests(tests, NULL, NULL);
  }
  s3_server_packages();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(s3rver_takes_our_requests),
      cmocka_unit_test(keys_of_any_kind),
      cmocka_unit_test(wrong_signatures_are_refused),
      cmocka_unit_test(faults_on_the_way),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
