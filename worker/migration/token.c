/* token.c - base64url(claims) "." base64url(HMAC-SHA256(claims)); the claims are canonical JSON, so that signing is over one spelling. */
#include "worker/migration/token.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"

#define NONCE_BYTES 16

static const char insert_approval[] = "INSERT INTO autodb.approvals (nonce, owner_id, connection_id, snapshot_id, analyze_job_id, "
                                      "sql_sha256, schema_fingerprint, expires_at) "
                                      "VALUES ($1, $2, $3, $4, $5, $6, $7, to_timestamp($8::bigint)) ON CONFLICT (nonce) DO NOTHING";

static bool sign(const struct keyring *keyring, const char *claims, struct buf *token) {
  uint8_t key[SHA256_BYTES], mac[SHA256_BYTES];
  keyring_derive(keyring, "approval-token", key);
  crypto_hmac_sha256(key, sizeof key, claims, strlen(claims), mac);
  explicit_bzero(key, sizeof key);
  return crypto_base64url(claims, strlen(claims), token) && buf_putc(token, '.') && crypto_base64url(mac, sizeof mac, token);
}

enum status token_issue(struct job *job, const char *sql, const char *snapshot_id, const char *fingerprint, const char **ret_token,
                        const char **ret_expires_at, struct error *err) {
  uint8_t random[NONCE_BYTES];
  char nonce[2 * NONCE_BYTES + 1], digest[SHA256_HEX], expires_text[CLOCK_TEXT];
  crypto_random(random, sizeof random);
  crypto_hex(random, sizeof random, nonce);
  crypto_sha256_hex(sql, strlen(sql), digest);
  int64_t expires = clock_wall_ms() / 1000 + TOKEN_LIFETIME_SECONDS;
  json_t *value =
      json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "sql_sha256", digest, "connection_id", job->connection_id, "owner", job->owner_id,
                "snapshot_id", snapshot_id, "schema_fingerprint", fingerprint, "nonce", nonce, "exp", (json_int_t)expires);
  char *claims = value ? json_canonical(value) : NULL;
  json_decref(value);
  BUF_AUTO token;
  buf_init(&token, 4096);
  bool made = claims && sign(job->keyring, claims, &token);
  free(claims);
  if (!made) return error_oom(err);
  const char *expires_param = arena_printf(job->arena, "%lld", (long long)expires);
  const char *params[] = {nonce, job->owner_id, job->connection_id, snapshot_id, job->id, digest, fingerprint, expires_param};
  enum status status = pg_exec(job->db, insert_approval, 8, params, err);
  if (status != OK) return status;
  *ret_token = arena_strndup(job->arena, buf_str(&token), token.len);
  *ret_expires_at = arena_strdup(job->arena, clock_format(expires * 1000, expires_text));
  return *ret_token && *ret_expires_at ? OK : error_oom(err);
}
