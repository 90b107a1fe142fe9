/* crypto.c - OpenSSL behind a small door.
 *
 * Everything is stateless or read-only after keyring_new, so all of it may be used from any thread. Key material is wiped
 * when it is done with, failures included. Plaintext leaves keyring_open only after its tag has been verified. */
#include "common/crypto.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <sys/random.h>

#define KEY_BYTES 32
#define KEYS_MAX 8
#define ID_BYTES 33 /* NUL included */
#define VERSION 0x01
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define OVERHEAD (1 + NONCE_BYTES + TAG_BYTES)
#define PLAIN_MAX (16 * 1024 * 1024)

void crypto_random(void *out, size_t len) {
  uint8_t *at = out;
  while (len) {
    ssize_t got = getrandom(at, len, 0);
    if (got < 0 && errno != EINTR) abort();
    if (got < 0) continue;
    at += got;
    len -= (size_t)got;
  }
}

/* Looked up once: OpenSSL's one-call SHA256() takes a lock shared by all threads each time. */
static const EVP_MD *sha256;
static void fetch_sha256(void) { sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); }

static const EVP_MD *sha256_method(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fetch_sha256);
  if (!sha256) abort();
  return sha256;
}

void crypto_sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]) {
  if (!EVP_Digest(len ? data : (const void *)"", len, out, NULL, sha256_method(), NULL)) abort();
}

char *crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX]) {
  uint8_t hash[SHA256_BYTES];
  crypto_sha256(data, len, hash);
  crypto_hex(hash, sizeof hash, out);
  return out;
}

/* An EVP_MD_CTX under another name. */
struct crypto_hash *crypto_hash_new(void) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  if (context && EVP_DigestInit_ex2(context, sha256_method(), NULL)) return (struct crypto_hash *)context;
  EVP_MD_CTX_free(context);
  return NULL;
}

void crypto_hash_add(struct crypto_hash *hash, const void *data, size_t len) {
  if (len && !EVP_DigestUpdate((EVP_MD_CTX *)hash, data, len)) abort();
}

char *crypto_hash_hex(struct crypto_hash *hash, char out[SHA256_HEX]) {
  uint8_t bytes[SHA256_BYTES];
  if (!EVP_DigestFinal_ex((EVP_MD_CTX *)hash, bytes, NULL)) abort();
  crypto_hex(bytes, sizeof bytes, out);
  return out;
}

void crypto_hash_free(struct crypto_hash *hash) { EVP_MD_CTX_free((EVP_MD_CTX *)hash); }

void crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[SHA256_BYTES]) {
  unsigned wrote = SHA256_BYTES;
  if (!HMAC(EVP_sha256(), key_len ? key : "", (int)key_len, data, len, out, &wrote)) abort();
}

bool crypto_equal(const void *a, const void *b, size_t len) { return !CRYPTO_memcmp(a, b, len); }

void crypto_hex(const void *data, size_t len, char *out) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *bytes = data;
  for (size_t i = 0; i < len; i++) {
    *out++ = digits[bytes[i] >> 4];
    *out++ = digits[bytes[i] & 15];
  }
  *out = '\0';
}

/* --- base64 --- */

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool encode(const uint8_t *in, size_t len, const char *alphabet, bool pad, struct buf *out) {
  for (size_t at = 0; at < len; at += 3) {
    size_t left = len - at;
    uint32_t bits = (uint32_t)in[at] << 16 | (left > 1 ? (uint32_t)in[at + 1] << 8 : 0) | (left > 2 ? in[at + 2] : 0);
    char four[4] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63], left > 1 ? alphabet[bits >> 6 & 63] : '=',
                    left > 2 ? alphabet[bits & 63] : '='};
    buf_append(out, four, pad || left > 2 ? 4 : left + 1);
  }
  return buf_ok(out);
}

bool crypto_base64url(const void *data, size_t len, struct buf *out) { return encode(data, len, LETTERS "-_", false, out); }

bool crypto_base64(const void *data, size_t len, struct buf *out) { return encode(data, len, LETTERS "+/", true, out); }

static int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

long crypto_base64_decode(const char *text, uint8_t *out) {
  size_t len = strlen(text), padding = 0;
  while (padding < 2 && padding < len && text[len - 1 - padding] == '=') padding++;
  if (padding && len % 4) return -1;
  len -= padding;
  if (len % 4 == 1) return -1;
  uint8_t *at = out;
  uint32_t bits = 0;
  for (size_t i = 0; i < len; i++) {
    int value = sextet(text[i]);
    if (value < 0) return -1;
    bits = bits << 6 | (uint32_t)value;
    if (i % 4) *at++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
  }
  /* leftover bits must be zero: each byte string has one spelling */
  if ((len % 4 == 2 && bits & 15) || (len % 4 == 3 && bits & 3)) return -1;
  return at - out;
}

/* --- keyring --- */

struct key {
  char id[ID_BYTES];
  uint8_t bytes[KEY_BYTES];
};

struct keyring {
  size_t count;
  struct key keys[KEYS_MAX];
};

/* Decodes one "base64" or "id:base64" of `len` bytes. False when it is malformed. */
static bool read_key(const char *text, size_t len, struct key *key) {
  char copy[ID_BYTES + 64];
  uint8_t bytes[sizeof copy];
  if (len >= sizeof copy) return false;
  memcpy(copy, text, len);
  copy[len] = '\0';
  char *colon = strchr(copy, ':'), *encoded = colon ? colon + 1 : copy;
  size_t id_len = colon ? (size_t)(colon - copy) : 0;
  bool ok = crypto_base64_decode(encoded, bytes) == KEY_BYTES;
  if (colon) ok = ok && id_len && id_len < ID_BYTES && strspn(copy, LETTERS "._-") == id_len;
  if (ok) {
    memcpy(key->bytes, bytes, KEY_BYTES);
    char hash[SHA256_HEX];
    snprintf(key->id, sizeof key->id, "%.*s", colon ? (int)id_len : 8, colon ? copy : crypto_sha256_hex(bytes, KEY_BYTES, hash));
  }
  OPENSSL_cleanse(copy, sizeof copy);
  OPENSSL_cleanse(bytes, sizeof bytes);
  return ok;
}

static const struct key *find_key(const struct keyring *ring, const char *id) {
  for (size_t i = 0; i < ring->count; i++)
    if (!strcmp(ring->keys[i].id, id)) return &ring->keys[i];
  return NULL;
}

static enum status add_key(struct keyring *ring, const char *text, size_t len, struct error *err) {
  static const char name[] = "AUTODB_MASTER_KEY";
  if (ring->count == KEYS_MAX) return error_add_field(err, name, "holds more than %d keys", KEYS_MAX);
  struct key *key = &ring->keys[ring->count];
  if (!read_key(text, len, key))
    return error_add_field(err, name, "key %zu must be 32 bytes in base64, optionally as id:base64 (openssl rand -base64 32 makes one)",
                           ring->count + 1);
  if (find_key(ring, key->id)) return error_add_field(err, name, "holds two keys with the id \"%s\"", key->id);
  ring->count++;
  return OK;
}

enum status keyring_new(const char *setting, struct keyring **ret_ring, struct error *err) {
  struct keyring *ring = calloc(1, sizeof *ring);
  if (!ring) return error_oom(err);
  const char *at = setting ? setting : "";
  size_t len = strcspn(at, ",");
  enum status status = add_key(ring, at, len, err);
  while (!status && at[len]) {
    at += len + 1;
    len = strcspn(at, ",");
    status = add_key(ring, at, len, err);
  }
  if (status)
    keyring_free(ring);
  else
    *ret_ring = ring;
  return status;
}

void keyring_free(struct keyring *ring) {
  if (!ring) return;
  OPENSSL_cleanse(ring, sizeof *ring);
  free(ring);
}

const char *keyring_current(const struct keyring *ring) { return ring->keys[0].id; }

/* One pass of AES-256-GCM over `len` bytes; sealing writes the tag, opening verifies it. */
static bool gcm(bool seal, const struct key *key, const uint8_t *nonce, const char *context, const uint8_t *in, size_t len, uint8_t *out,
                uint8_t *tag) {
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
  int n = 0;
  bool ok = ctx && EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key->bytes, nonce, seal, NULL) &&
            EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)context, (int)strlen(context)) &&
            EVP_CipherUpdate(ctx, out, &n, in, (int)len) && (seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag)) &&
            EVP_CipherFinal_ex(ctx, out + n, &n) == 1 && (!seal || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag));
  EVP_CIPHER_CTX_free(ctx);
  return ok;
}

enum status keyring_seal(const struct keyring *ring, const char *context, const void *plain, size_t len, struct buf *ret_blob,
                         struct error *err) {
  if (len > PLAIN_MAX) return error_set(err, ERR_TOO_LARGE, "a secret of %zu bytes is too large to seal", len);
  uint8_t *blob = malloc(OVERHEAD + len);
  if (!blob) return error_oom(err);
  blob[0] = VERSION;
  crypto_random(blob + 1, NONCE_BYTES);
  uint8_t *body = blob + 1 + NONCE_BYTES;
  bool sealed = gcm(true, &ring->keys[0], blob + 1, context, plain, len, body, body + len);
  bool stored = sealed && buf_append(ret_blob, blob, OVERHEAD + len);
  OPENSSL_cleanse(blob, OVERHEAD + len); /* a failed pass may leave plaintext */
  free(blob);
  if (!sealed) return error_set(err, ERR_INTERNAL, "sealing a secret failed");
  return stored ? OK : error_oom(err);
}

enum status keyring_open(const struct keyring *ring, const char *key_id, const char *context, const void *blob, size_t len,
                         struct buf *ret_plain, struct error *err) {
  const struct key *key = find_key(ring, key_id);
  if (!key)
    return error_set(err, ERR_INTERNAL, "a stored secret is sealed with the key \"%s\", which AUTODB_MASTER_KEY does not hold", key_id);
  const uint8_t *bytes = blob;
  if (len < OVERHEAD || len > PLAIN_MAX + OVERHEAD || bytes[0] != VERSION)
    return error_set(err, ERR_INTERNAL, "a stored secret is damaged: it is no sealed secret of version %d", VERSION);
  size_t plain_len = len - OVERHEAD;
  uint8_t *plain = malloc(plain_len + 1), tag[TAG_BYTES];
  if (!plain) return error_oom(err);
  memcpy(tag, bytes + len - TAG_BYTES, TAG_BYTES);
  bool opened = gcm(false, key, bytes + 1, context, bytes + 1 + NONCE_BYTES, plain_len, plain, tag);
  bool stored = opened && buf_append(ret_plain, plain, plain_len);
  OPENSSL_cleanse(plain, plain_len);
  free(plain);
  if (!opened)
    return error_set(err, ERR_INTERNAL, "a stored secret does not open: it was altered, moved, or sealed with another key of that id");
  return stored ? OK : error_oom(err);
}

bool keyring_derive_at(const struct keyring *ring, size_t index, const char *purpose, uint8_t out[SHA256_BYTES]) {
  if (index >= ring->count) return false;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)ring->keys[index].bytes, KEY_BYTES),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)purpose, strlen(purpose)),
      OSSL_PARAM_construct_end(),
  };
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
  if (!ctx || EVP_KDF_derive(ctx, out, SHA256_BYTES, params) <= 0) abort();
  EVP_KDF_CTX_free(ctx);
  EVP_KDF_free(kdf);
  return true;
}

void keyring_derive(const struct keyring *ring, const char *purpose, uint8_t out[SHA256_BYTES]) {
  if (!keyring_derive_at(ring, 0, purpose, out)) abort(); /* keyring_new lets no ring be empty */
}
