/* Originals by the hash of their content: whole or not there, checked when read, swept when nothing needs them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/docstore.h"
#include "common/limits.h"

static char dir[64], store_dir[96];
static struct docstore *store;

static void run(const char *command) {
  if (system(command) != 0) fail_msg("%s", command);
}

static int setup(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  snprintf(dir, sizeof dir, "/tmp/autodb-docstore-XXXXXX");
  assert_non_null(mkdtemp(dir));
  snprintf(store_dir, sizeof store_dir, "%s/a/b", dir);
  const struct config cfg = {.document_store = store_dir};
  return docstore_new(&cfg, &store, &err);
}

static int teardown(void **state) {
  char command[128];
  (void)state;
  docstore_free(store);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  run(command);
  return 0;
}

static char *path_in_store(const char *key, char out[256]) {
  snprintf(out, 256, "%s/%.2s/%s", store_dir, key, key);
  return out;
}

static void put(const char *text, char key[SHA256_HEX]) {
  ERROR_AUTO err = {0};
  if (docstore_put(store, text, strlen(text), key, &err) != OK) fail_msg("%s", err.message);
}

static enum status get(const char *key, size_t max, char *out, size_t size) {
  ERROR_AUTO err = {0};
  BUF_AUTO text;
  buf_init(&text, max);
  enum status status = docstore_get(store, key, &text, &err);
  snprintf(out, size, "%s", status == OK ? buf_str(&text) : err.code);
  return status;
}

static void what_is_put_comes_back(void **state) {
  char key[SHA256_HEX], wanted[SHA256_HEX], text[64], path[256];
  struct stat info;
  int64_t bytes;
  ERROR_AUTO err = {0};
  (void)state;
  put("original", key);
  assert_string_equal(key, crypto_sha256_hex("original", 8, wanted));
  assert_int_equal(get(key, 100, text, sizeof text), OK);
  assert_string_equal(text, "original");
  assert_int_equal(docstore_stat(store, key, &bytes, &err), OK);
  assert_int_equal(bytes, 8);
  assert_int_equal(stat(path_in_store(key, path), &info), 0);
  assert_int_equal(info.st_mode & 0777, 0600);
  put("", key);
  assert_int_equal(get(key, 100, text, sizeof text), OK);
  assert_string_equal(text, "");
}

static void a_file_is_moved_in_and_may_be_there_already(void **state) {
  char key[SHA256_HEX], from[128], text[64];
  ERROR_AUTO err = {0};
  (void)state;
  for (int round = 0; round < 2; round++) {
    snprintf(from, sizeof from, "%s/incoming", dir);
    FILE *file = fopen(from, "we");
    assert_non_null(file);
    fputs("a file", file);
    fclose(file);
    crypto_sha256_hex("a file", 6, key);
    assert_int_equal(docstore_put_file(store, key, from, &err), OK);
    assert_int_equal(get(key, 100, text, sizeof text), OK);
    assert_string_equal(text, "a file");
  }
  assert_int_equal(docstore_put_file(store, key, "/nonexistent", &err), ERR_UNAVAILABLE);
}

/* From another file system: a rename can't. */
static void a_file_from_elsewhere_is_copied(void **state) {
  char from[] = "/dev/shm/autodb-docstore-XXXXXX", key[SHA256_HEX], text[64];
  ERROR_AUTO err = {0};
  (void)state;
  int fd = mkstemp(from);
  if (fd < 0) skip();
  assert_int_equal(write(fd, "far away", 8), 8);
  close(fd);
  crypto_sha256_hex("far away", 8, key);
  enum status status = docstore_put_file(store, key, from, &err);
  unlink(from);
  assert_int_equal(status, OK);
  assert_int_equal(get(key, 100, text, sizeof text), OK);
  assert_string_equal(text, "far away");
}

static void what_was_changed_is_not_given_out(void **state) {
  char key[SHA256_HEX], text[64], path[256];
  ERROR_AUTO err = {0};
  int fd;
  int64_t bytes;
  (void)state;
  put("untouched", key);
  FILE *file = fopen(path_in_store(key, path), "we");
  assert_non_null(file);
  fputs("unTouched", file);
  fclose(file);
  assert_int_equal(get(key, 100, text, sizeof text), ERR_INTERNAL);
  assert_string_equal(text, "ORIGINAL_DAMAGED");
  assert_int_equal(docstore_open(store, key, &fd, &bytes, &err), ERR_INTERNAL);
  put("untouched", key); /* heals */
  assert_int_equal(get(key, 100, text, sizeof text), OK);
}

static void what_is_not_there_or_too_large_is_said(void **state) {
  char key[SHA256_HEX], text[64];
  (void)state;
  crypto_sha256_hex("never", 5, key);
  assert_int_equal(get(key, 100, text, sizeof text), ERR_NOT_FOUND);
  put("0123456789", key);
  assert_int_equal(get(key, 9, text, sizeof text), ERR_TOO_LARGE);
  assert_int_equal(get(key, 10, text, sizeof text), OK);
}

static void only_hashes_become_paths(void **state) {
  static const char *const keys[] = {"", "../../etc/passwd", "ABCDEF", "zz"};
  char text[64], upper[SHA256_HEX];
  (void)state;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) assert_int_equal(get(keys[i], 100, text, sizeof text), ERR_INTERNAL);
  memset(upper, 'A', SHA256_HEX - 1);
  upper[SHA256_HEX - 1] = 0;
  assert_int_equal(get(upper, 100, text, sizeof text), ERR_INTERNAL);
}

static void a_descriptor_begins_at_the_beginning(void **state) {
  char key[SHA256_HEX], text[16] = "";
  ERROR_AUTO err = {0};
  int fd;
  int64_t bytes;
  (void)state;
  put("descriptor", key);
  assert_int_equal(docstore_open(store, key, &fd, &bytes, &err), OK);
  assert_int_equal(bytes, 10);
  assert_int_equal(read(fd, text, sizeof text - 1), 10);
  assert_string_equal(text, "descriptor");
  close(fd);
}

static void a_store_that_cant_be_written_is_unavailable(void **state) {
  const struct config cfg = {.document_store = "/proc/nothing"};
  DOCSTORE_AUTO *nowhere = NULL;
  ERROR_AUTO err = {0}, empty = {0};
  char key[SHA256_HEX];
  (void)state;
  assert_int_equal(docstore_new(&cfg, &nowhere, &err), OK);
  assert_int_equal(docstore_put(nowhere, "x", 1, key, &err), ERR_UNAVAILABLE);
  struct docstore *none = NULL;
  assert_int_equal(docstore_new(&(struct config){.document_store = ""}, &none, &empty), ERR_VALIDATION);
}

/* --- the sweep --- */

struct needs {
  const char *needed;
  size_t asked;
  bool fail;
};

static enum status unused(void *arg, const char *const keys[], size_t count, bool ret_unused[], struct error *err) {
  struct needs *needs = arg;
  needs->asked += count;
  if (needs->fail) return error_set(err, ERR_UNAVAILABLE, "no database");
  for (size_t i = 0; i < count; i++) ret_unused[i] = strcmp(keys[i], needs->needed) != 0;
  return OK;
}

static void age(const char *key, int seconds) {
  char path[256];
  struct timespec then = {.tv_sec = time(NULL) - seconds}, times[2] = {then, then};
  assert_int_equal(utimensat(AT_FDCWD, path_in_store(key, path), times, 0), 0);
}

static void what_nothing_needs_goes_when_it_is_old(void **state) {
  char needed[SHA256_HEX], old[SHA256_HEX], young[SHA256_HEX], text[64];
  ERROR_AUTO err = {0};
  long removed = -1;
  (void)state;
  put("needed", needed);
  put("old", old);
  put("young", young);
  age(needed, 7200);
  age(old, 7200);
  struct needs needs = {.needed = needed};
  assert_int_equal(docstore_sweep(store, 3600, unused, &needs, &removed, &err), OK);
  assert_int_equal(removed, 1);
  assert_int_equal(needs.asked, 2);
  assert_int_equal(get(old, 100, text, sizeof text), ERR_NOT_FOUND);
  assert_int_equal(get(needed, 100, text, sizeof text), OK);
  assert_int_equal(get(young, 100, text, sizeof text), OK);
}

static void storing_again_is_being_young_again(void **state) {
  char key[SHA256_HEX], text[64];
  ERROR_AUTO err = {0};
  long removed;
  (void)state;
  put("again", key);
  age(key, 7200);
  put("again", key);
  struct needs needs = {.needed = ""};
  assert_int_equal(docstore_sweep(store, 3600, unused, &needs, &removed, &err), OK);
  assert_int_equal(get(key, 100, text, sizeof text), OK);
}

static void a_sweep_that_cant_ask_removes_nothing(void **state) {
  char key[SHA256_HEX], text[64];
  ERROR_AUTO err = {0};
  long removed;
  (void)state;
  put("unknown", key);
  age(key, 7200);
  struct needs needs = {.needed = "", .fail = true};
  assert_int_equal(docstore_sweep(store, 3600, unused, &needs, &removed, &err), ERR_UNAVAILABLE);
  assert_int_equal(get(key, 100, text, sizeof text), OK);
}

static void more_than_a_batch_is_swept(void **state) {
  char key[SHA256_HEX], text[32];
  ERROR_AUTO err = {0};
  long removed = 0;
  (void)state;
  enum { MANY = LIMIT_SWEEP_BATCH + 300 };
  for (int i = 0; i < MANY; i++) {
    char path[256], from[128];
    snprintf(text, sizeof text, "many %d", i);
    crypto_sha256_hex(text, strlen(text), key);
    snprintf(from, sizeof from, "%s/%.2s", store_dir, key);
    mkdir(from, 0700);
    FILE *file = fopen(path_in_store(key, path), "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    age(key, 7200);
  }
  struct needs needs = {.needed = ""};
  assert_int_equal(docstore_sweep(store, 3600, unused, &needs, &removed, &err), OK);
  assert_true(removed >= MANY);
  assert_int_equal(get(key, 100, text, sizeof text), ERR_NOT_FOUND);
}

/* Taken for a directory's name, originals would lie somewhere else than was meant. */
static void other_schemes_are_refused(void **state) {
  (void)state;
  ERROR_AUTO err = {0};
  struct docstore *none = NULL;
  const struct config cfg = {.document_store = "gs://bucket/originals"};
  assert_int_equal(docstore_new(&cfg, &none, &err), ERR_VALIDATION);
  assert_non_null(strstr(err.message, "AUTODB_DOCUMENT_STORE"));
  assert_null(none);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(other_schemes_are_refused),
      cmocka_unit_test(what_is_put_comes_back),
      cmocka_unit_test(a_file_is_moved_in_and_may_be_there_already),
      cmocka_unit_test(a_file_from_elsewhere_is_copied),
      cmocka_unit_test(what_was_changed_is_not_given_out),
      cmocka_unit_test(what_is_not_there_or_too_large_is_said),
      cmocka_unit_test(only_hashes_become_paths),
      cmocka_unit_test(a_descriptor_begins_at_the_beginning),
      cmocka_unit_test(a_store_that_cant_be_written_is_unavailable),
      cmocka_unit_test(what_nothing_needs_goes_when_it_is_old),
      cmocka_unit_test(storing_again_is_being_young_again),
      cmocka_unit_test(a_sweep_that_cant_ask_removes_nothing),
      cmocka_unit_test(more_than_a_batch_is_swept),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
