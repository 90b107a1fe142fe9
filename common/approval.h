/* approval.h - the approval token: what was analysed, for whom, until when; signed, so that nobody else can say it.
 *
 * base64url(claims) "." base64url(HMAC-SHA256(claims)), where the claims are canonical JSON and the key is derived from the master key. The
 * worker issues it with a passed analysis, the API opens it before it accepts an execution, and the worker again before it runs one.
 * Whether it was used is not in it: that is a row of autodb.approvals, found by the nonce. */
#ifndef AUTODB_APPROVAL_H
#define AUTODB_APPROVAL_H

#include "common/arena.h"
#include "common/crypto.h"

#define APPROVAL_NONCE_BYTES 16

/* Ids are canonical UUID text, hashes and the nonce lower-case hex. */
struct approval {
  const char *sql_sha256; /* of the script's bytes as they were analysed */
  const char *connection_id, *owner, *snapshot_id;
  const char *schema_fingerprint; /* of the snapshot analysed; another one now is drift */
  const char *nonce;              /* 2 * APPROVAL_NONCE_BYTES digits; single use */
  int64_t exp;                    /* seconds since 1970: from then on it is expired */
};

/* Signs with the current key. The token lives in the arena. */
MUST_CHECK enum status approval_sign(const struct keyring *keyring, const struct approval *approval, struct arena *arena,
                                     const char **ret_token, struct error *err);

/* Every refusal below is an ERR_CONFLICT (409) with a code of its own, which clients and jobs see:
 * TOKEN_INVALID, TOKEN_CONNECTION_MISMATCH, TOKEN_SQL_MISMATCH, TOKEN_EXPIRED. */

/* Verifies the signature (any key of the ring will do, so that keys may rotate) and reads the claims into the arena. Only the one spelling
 * that approval_sign writes is accepted. TOKEN_INVALID otherwise. */
MUST_CHECK enum status approval_open(const struct keyring *keyring, const char *token, struct arena *arena, struct approval *ret_approval,
                                     struct error *err);

/* Does it approve this? Everything but the time, for requests that were accepted while it was valid: another owner (TOKEN_INVALID), another
 * connection, another script. */
MUST_CHECK enum status approval_match(const struct approval *approval, const char *owner, const char *connection_id, const char *sql,
                                      size_t sql_len, struct error *err);
MUST_CHECK enum status approval_fresh(const struct approval *approval, int64_t now_ms, struct error *err); /* TOKEN_EXPIRED from `exp` on */
/* Both. */
MUST_CHECK enum status approval_check(const struct approval *approval, const char *owner, const char *connection_id, const char *sql,
                                      size_t sql_len, int64_t now_ms, struct error *err);

#endif
