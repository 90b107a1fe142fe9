/* Originals in a bucket: put, checked when read, swept when nothing needs them; and a bucket that is not there, or does not answer. The
 * server is tests/s3/serve.js, which refuses wrong signatures. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/docstore.h"
#include "common/limits.h"
#include "tests/support/s3_server.h"

static struct s3_server server;
static struct harness *h;

static int setup(void **state) {
  h = harness_new();
  s3_server_start(h, "memory", &server);
  *state = h;
  return 0;
}

static struct docstore *open_store(const char *where) {
  const struct config cfg = {.document_store = where, .s3_endpoint = server.url};
  struct docstore *store = NULL;
  ERROR_AUTO err = {0};
  if (docstore_new(&cfg, &store, &err)) fail_msg("%s", err.message);
  return store;
}

static const char *get(struct docstore *store, const char *key, size_t max) {
  static char text[128];
  ERROR_AUTO err = {0};
  BUF_AUTO out;
  buf_init(&out, max);
  enum status status = docstore_get(store, key, &out, &err);
  snprintf(text, sizeof text, "%s", status ? err.code : buf_str(&out));
  return text;
}

static void put(struct docstore *store, const char *text, char key[SHA256_HEX]) {
  ERROR_AUTO err = {0};
  if (docstore_put(store, text, strlen(text), key, &err)) fail_msg("%s", err.message);
}

static void what_is_put_comes_back(void **state) {
  DOCSTORE_AUTO *store = open_store("s3://lake/originals/here/");
  ERROR_AUTO err = {0};
  S3_AUTO s3 = s3_server_client(&server);
  char key[SHA256_HEX], name[160], text[16] = "";
  int64_t bytes = 0;
  int fd = -1;
  (void)state;
  put(store, "original", key);
  put(store, "original", key);
  assert_string_equal(get(store, key, 100), "original");
  assert_int_equal(docstore_stat(store, key, &bytes, &err), OK);
  assert_int_equal(bytes, 8);
  assert_int_equal(docstore_open(store, key, &fd, &bytes, &err), OK);
  assert_int_equal(read(fd, text, sizeof text), 8);
  close(fd);
  assert_string_equal(get(store, key, 4), "PAYLOAD_TOO_LARGE");
  BUF_AUTO out;
  buf_init(&out, 100);
  snprintf(name, sizeof name, "originals/here/%.2s/%s", key, key);
  assert_int_equal(s3_get(s3, name, NULL, &out, &err), OK);
  put(store, "", key);
  assert_string_equal(get(store, key, 4), "");
}

static void a_file_is_sent_and_left(void **state) {
  DOCSTORE_AUTO *store = open_store("s3://lake");
  char path[HARNESS_PATH + 16], key[SHA256_HEX];
  ERROR_AUTO err = {0};
  (void)state;
  snprintf(path, sizeof path, "%s/incoming", h->dir);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  fputs("a file", file);
  fclose(file);
  crypto_sha256_hex("a file", 6, key);
  assert_int_equal(docstore_put_file(store, key, path, &err), OK);
  assert_string_equal(get(store, key, 100), "a file");
  assert_int_equal(access(path, F_OK), 0);
  assert_int_equal(docstore_put_file(store, key, "/nonexistent", &err), ERR_UNAVAILABLE);
}

static void what_is_not_what_was_given_is_not_given_out(void **state) {
  DOCSTORE_AUTO *store = open_store("s3://lake/damaged");
  ERROR_AUTO err = {0};
  S3_AUTO s3 = s3_server_client(&server);
  char key[SHA256_HEX], name[160];
  int64_t bytes;
  int fd;
  (void)state;
  put(store, "as given", key);
  snprintf(name, sizeof name, "damaged/%.2s/%s", key, key);
  assert_int_equal(s3_put(s3, name, "otherwise", 9, NULL, &err), OK);
  assert_string_equal(get(store, key, 100), "ORIGINAL_DAMAGED");
  assert_int_equal(docstore_open(store, key, &fd, &bytes, &err), ERR_INTERNAL);
  error_clear(&err);
  assert_int_equal(s3_delete(s3, name, &err), OK);
  assert_string_equal(get(store, key, 100), "NOT_FOUND");
  assert_int_equal(docstore_stat(store, key, &bytes, &err), ERR_NOT_FOUND);
}

static enum status all_unused(void *arg, const char *const keys[], size_t count, bool ret_unused[], struct error *err) {
  const char *kept = arg;
  (void)err;
  for (size_t i = 0; i < count; i++) ret_unused[i] = strcmp(keys[i], kept) != 0;
  return OK;
}

static void what_nothing_needs_is_swept(void **state) {
  DOCSTORE_AUTO *store = open_store("s3://lake/swept");
  ERROR_AUTO err = {0};
  S3_AUTO s3 = s3_server_client(&server);
  char keys[3][SHA256_HEX];
  long removed = 0;
  (void)state;
  put(store, "one", keys[0]);
  put(store, "two", keys[1]);
  put(store, "three", keys[2]);
  assert_int_equal(s3_put(s3, "swept/no/original", "x", 1, NULL, &err), OK);
  assert_int_equal(docstore_sweep(store, 3600, all_unused, keys[1], &removed, &err), OK);
  assert_int_equal(removed, 0); /* all of them are young */
  assert_int_equal(docstore_sweep(store, 0, all_unused, keys[1], &removed, &err), OK);
  assert_int_equal(removed, 2);
  assert_string_equal(get(store, keys[0], 100), "NOT_FOUND");
  assert_string_equal(get(store, keys[1], 100), "two");
  BUF_AUTO out;
  buf_init(&out, 100);
  assert_int_equal(s3_get(s3, "swept/no/original", NULL, &out, &err), OK);
}

static void buckets_that_fail(void **state) {
  DOCSTORE_AUTO *store = open_store("s3://nobucket/x");
  DOCSTORE_AUTO *refused = open_store("s3://lake/refused");
  char key[SHA256_HEX];
  ERROR_AUTO err = {0};
  (void)state;
  assert_int_equal(docstore_put(store, "x", 1, key, &err), ERR_UNAVAILABLE);
  assert_non_null(strstr(err.message, "document store"));
  error_clear(&err);
  s3_server_order(&server, "[{\"on\":\"PUT\",\"match\":\"refused\",\"kind\":\"forbid\",\"times\":1},"
                           "{\"on\":\"PUT\",\"match\":\"refused\",\"kind\":\"slowdown\",\"times\":1}]");
  assert_int_equal(docstore_put(refused, "x", 1, key, &err), ERR_UNAVAILABLE);
  error_clear(&err);
  assert_int_equal(docstore_put(refused, "x", 1, key, &err), OK); /* slow down, it is asked, and does */
  assert_string_equal(get(refused, key, 10), "x");
}

static void places_that_are_none(void **state) {
  static const char *const places[] = {"s3://", "s3:///prefix", "s3://UP..per", "s3://a", "gs://lake/x"};
  (void)state;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    const struct config cfg = {.document_store = places[i], .s3_endpoint = ""};
    struct docstore *store = NULL;
    ERROR_AUTO err = {0};
    if (docstore_new(&cfg, &store, &err) != ERR_VALIDATION) fail_msg("%s", places[i]);
    assert_null(store);
  }
}

int main(void) {
  s3_server_packages();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_put_comes_back),
      cmocka_unit_test(a_file_is_sent_and_left),
      cmocka_unit_test(what_is_not_what_was_given_is_not_given_out),
      cmocka_unit_test(what_nothing_needs_is_swept),
      cmocka_unit_test(buckets_that_fail),
      cmocka_unit_test(places_that_are_none),
  };
  return cmocka_run_group_tests(tests, setup, harness_teardown);
}
