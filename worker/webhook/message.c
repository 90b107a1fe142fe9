/* message.c - see message.h. */
#include "worker/webhook/message.h"

#include "common/crypto.h"
#include "common/utf8.h"

#define SIGNED_BYTES ((size_t)8 << 20)

char *message_body(struct arena *arena, const char *event, const char *stamp, const char *data) {
  return arena_printf(arena, "{\"type\":\"%s\",\"timestamp\":\"%s\",\"data\":%s}", event, stamp, data);
}

bool message_sign(struct buf *out, const void *key, size_t key_len, const char *id, const char *timestamp, const char *body) {
  BUF_AUTO content;
  uint8_t mac[SHA256_BYTES];
  buf_init(&content, SIGNED_BYTES);
  buf_printf(&content, "%s.%s.", id, timestamp);
  buf_puts(&content, body);
  if (!buf_ok(&content)) return false;
  crypto_hmac_sha256(key, key_len, content.data, content.len, mac);
  buf_puts(out, out->len ? " v1," : "v1,");
  return crypto_base64(mac, sizeof mac, out);
}

char *message_excerpt(struct arena *arena, const char *bytes, size_t len, size_t most) {
  if (len > most) len = most;
  char *out = arena_alloc(arena, len + 1);
  for (size_t at = 0; out && at < len;) {
    size_t size = utf8_char(bytes + at, len - at);
    if (size && bytes[at])
      memcpy(out + at, bytes + at, size);
    else
      out[at] = '?', size = 1;
    at += size;
  }
  return out;
}
