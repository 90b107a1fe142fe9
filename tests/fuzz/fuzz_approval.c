/* An approval token: as it comes (a stranger's), and as claims under a good signature. Whatever opens is spelled as we spell it. */
#include "common/approval.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_one(const struct keyring *ring, const char *token, struct arena *arena) {
  ERROR_AUTO err = {0};
  struct approval approval;
  const char *again;
  if (approval_open(ring, token, arena, &approval, &err) != OK) {
    if (err.status != ERR_CONFLICT) abort();
    return;
  }
  if (approval_sign(ring, &approval, arena, &again, &err) != OK || strcmp(again, token) != 0) abort();
  if (approval_check(&approval, approval.owner, approval.connection_id, "", 0, INT64_MAX, &err) == OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct keyring *ring;
  ERROR_AUTO err = {0};
  if (!ring && keyring_new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", &ring, &err) != OK) abort();
  ARENA_AUTO arena = arena_new((size_t)1 << 20);
  char *text = arena_strndup(arena, (const char *)data, size);
  if (!text) return 0;
  open_one(ring, text, arena);
  uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
  BUF_AUTO token;
  buf_init(&token, 64 * 1024);
  keyring_derive(ring, "approval-token", key);
  crypto_hmac_sha256(key, sizeof key, data, size, mac);
  if (crypto_base64url(data, size, &token) && buf_putc(&token, '.') && crypto_base64url(mac, sizeof mac, &token))
    open_one(ring, buf_str(&token), arena);
  return 0;
}
