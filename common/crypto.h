/* crypto.h - the few primitives we use, over OpenSSL. */
#ifndef AUTODB_CRYPTO_H
#define AUTODB_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "error.h"

#define SHA256_BYTES 32
#define SHA256_HEX 65

void crypto_random(void *out, size_t len); /* aborts the process when the system has no randomness */
void crypto_sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]);
char *crypto_sha256_hex(const void *data, size_t len, char out[SHA256_HEX]);
/* SHA-256 of what comes piece by piece. */
struct crypto_hash;
struct crypto_hash *crypto_hash_new(void); /* NULL when out of memory */
void crypto_hash_add(struct crypto_hash *hash, const void *data, size_t len);
char *crypto_hash_hex(struct crypto_hash *hash, char out[SHA256_HEX]); /* nothing may be added after it */
void crypto_hash_free(struct crypto_hash *hash);
static inline void crypto_hash_freep(struct crypto_hash **hash) {
  crypto_hash_free(*hash);
  *hash = NULL;
}
#define CRYPTO_HASH_AUTO __attribute__((cleanup(crypto_hash_freep))) struct crypto_hash

void crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[SHA256_BYTES]);
bool crypto_equal(const void *a, const void *b, size_t len); /* constant time */
void crypto_hex(const void *data, size_t len, char *out);    /* out[2*len+1] */

/* base64url without padding (RFC 4648 section 5), and standard base64 with padding. Appends; false when out is full. */
bool crypto_base64url(const void *data, size_t len, struct buf *out);
bool crypto_base64(const void *data, size_t len, struct buf *out);
/* Accepts either alphabet, padding optional, nothing else. -1 when malformed, else the length. out[(strlen(text)*3)/4+3]. */
long crypto_base64_decode(const char *text, uint8_t *out);

/* Secrets at rest: AES-256-GCM. The keyring is parsed from AUTODB_MASTER_KEY ("base64" or "id:base64,id:base64"; a bare key's
 * id is the first 8 hex digits of its SHA-256). */
struct keyring;
MUST_CHECK enum status keyring_new(const char *setting, struct keyring **ret_ring, struct error *err);
void keyring_free(struct keyring *ring);                 /* wipes the keys */
const char *keyring_current(const struct keyring *ring); /* id of the key that encrypts */
/* Blob: 0x01 | 12-byte nonce | ciphertext | 16-byte tag. `context` (the row's id) is authenticated: a blob moved to another
 * row does not open. */
MUST_CHECK enum status keyring_seal(const struct keyring *ring, const char *context, const void *plain, size_t len, struct buf *ret_blob,
                                    struct error *err);
MUST_CHECK enum status keyring_open(const struct keyring *ring, const char *key_id, const char *context, const void *blob, size_t len,
                                    struct buf *ret_plain, struct error *err);
/* A key derived from the current master key for one purpose (HKDF-SHA256, info = purpose): signs approval tokens, cursors. */
void keyring_derive(const struct keyring *ring, const char *purpose, uint8_t out[SHA256_BYTES]);
/* The same from the index-th key, 0 being the current one: to verify what an older one signed. False past the last. */
bool keyring_derive_at(const struct keyring *ring, size_t index, const char *purpose, uint8_t out[SHA256_BYTES]);

#endif
