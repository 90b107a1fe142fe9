/* token.c - see token.h. The nonce is recorded before the token leaves: what nobody recorded can't be used. */
#include "worker/migration/token.h"

#include "common/approval.h"
#include "common/clock.h"
#include "common/pg.h"

static const char insert_approval[] = "INSERT INTO autodb.approvals (nonce, owner_id, connection_id, snapshot_id, analyze_job_id, "
                                      "sql_sha256, schema_fingerprint, expires_at) "
                                      "VALUES ($1, $2, $3, $4, $5, $6, $7, to_timestamp($8::bigint)) ON CONFLICT (nonce) DO NOTHING";

enum status token_issue(struct job *job, const char *sql, const char *snapshot_id, const char *fingerprint, const char **ret_token,
                        const char **ret_expires_at, struct error *err) {
  uint8_t random[APPROVAL_NONCE_BYTES];
  char nonce[2 * APPROVAL_NONCE_BYTES + 1], digest[SHA256_HEX], expires_text[CLOCK_TEXT];
  crypto_random(random, sizeof random);
  crypto_hex(random, sizeof random, nonce);
  crypto_sha256_hex(sql, strlen(sql), digest);
  const struct approval approval = {.sql_sha256 = digest,
                                    .connection_id = job->connection_id,
                                    .owner = job->owner_id,
                                    .snapshot_id = snapshot_id,
                                    .schema_fingerprint = fingerprint,
                                    .nonce = nonce,
                                    .exp = clock_wall_ms() / 1000 + TOKEN_LIFETIME_SECONDS};
  const char *token, *expires_at = arena_strdup(job->arena, clock_format(approval.exp * 1000, expires_text));
  const char *expires_param = arena_printf(job->arena, "%lld", (long long)approval.exp);
  if (!expires_at || !expires_param) return error_oom(err);
  enum status status = approval_sign(job->keyring, &approval, job->arena, &token, err);
  if (status != OK) return status;
  const char *params[] = {nonce, job->owner_id, job->connection_id, snapshot_id, job->id, digest, fingerprint, expires_param};
  status = pg_exec(job->db, insert_approval, 8, params, err);
  if (status != OK) return status;
  *ret_token = token;
  *ret_expires_at = expires_at;
  return OK;
}
