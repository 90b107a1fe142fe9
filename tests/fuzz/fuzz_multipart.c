/* A form, fed whole and in two pieces cut where the first byte says: the answer may not depend on the cut, and parts are well nested. */
#include "api/multipart.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
  struct crypto_hash *hash; /* of all that came out, in order */
  size_t parts;
  bool open;
};

static void add(struct outcome *out, const char *text) { crypto_hash_add(out->hash, text, strlen(text) + 1); }

static enum status on_begin(void *arg, const struct multipart_part *part, struct error *err) {
  struct outcome *out = arg;
  (void)err;
  if (out->open || !part->name || !part->content_type) abort();
  if (part->filename && (strchr(part->filename, '/') || strchr(part->filename, '\\'))) abort();
  add(out, part->name);
  add(out, part->filename ? part->filename : "");
  add(out, part->content_type);
  out->open = true;
  out->parts++;
  return OK;
}

static enum status on_data(void *arg, const char *bytes, size_t len, struct error *err) {
  struct outcome *out = arg;
  (void)err;
  if (!out->open || !len) abort();
  crypto_hash_add(out->hash, bytes, len);
  return OK;
}

static enum status on_end(void *arg, struct error *err) {
  struct outcome *out = arg;
  (void)err;
  if (!out->open) abort();
  out->open = false;
  add(out, "");
  return OK;
}

static enum status run(const uint8_t *data, size_t size, size_t cut, size_t *ret_parts, char hash[SHA256_HEX]) {
  static const struct multipart_sink sink = {.begin = on_begin, .data = on_data, .end = on_end};
  struct outcome out = {.hash = crypto_hash_new()};
  struct arena *arena = arena_new(1 << 20);
  struct multipart *form = NULL;
  ERROR_AUTO err = {0};
  enum status status = multipart_new(arena, "multipart/form-data; boundary=X", &sink, &out, &form, &err);
  if (status == OK) status = multipart_feed(form, (const char *)data, cut, &err);
  if (status == OK) status = multipart_feed(form, (const char *)data + cut, size - cut, &err);
  if (status == OK) status = multipart_finish(form, &err);
  if (status == OK && out.open) abort();
  crypto_hash_hex(out.hash, hash);
  *ret_parts = out.parts;
  crypto_hash_free(out.hash);
  arena_free(arena);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char whole_hash[SHA256_HEX], parts_hash[SHA256_HEX];
  size_t whole_parts, parts;
  if (size < 2) return 0;
  size_t cut = data[0] * (size - 1) / 256;
  enum status whole = run(data + 1, size - 1, size - 1, &whole_parts, whole_hash);
  enum status split = run(data + 1, size - 1, cut, &parts, parts_hash);
  if (whole != split) abort();
  if (whole == OK && (whole_parts != parts || strcmp(whole_hash, parts_hash) != 0)) abort();
  return 0;
}
