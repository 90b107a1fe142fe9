/* idempotency.h - Idempotency-Key: the same key and request give the same job, for 24 hours. */
#ifndef AUTODB_API_IDEMPOTENCY_H
#define AUTODB_API_IDEMPOTENCY_H

#include "api/submission.h"

struct idempotency {
  const char *key; /* NULL: the request has none */
  uint8_t hash[SHA256_BYTES];
};

/* What the request's Idempotency-Key stands for. */
MUST_CHECK enum status idempotency_of(const struct request *req, struct idempotency *ret_idempotency, struct error *err);
enum status idempotency_mismatch(struct error *err); /* ERR_IDEMPOTENCY: the key is another request's */

/* Takes key $14 with hash $15 for job $1 of owner $2, once for each row of `source`; a row means it was free. */
#define IDEMPOTENCY_TAKE(source)                                                                                                   \
  "INSERT INTO autodb.idempotency_keys AS k (owner_id, key, request_hash, job_id) SELECT $2::uuid, $14::text, $15::bytea, "        \
  "$1::uuid " source                                                                                                               \
  " ON CONFLICT (owner_id, key) DO UPDATE SET request_hash = excluded.request_hash, job_id = excluded.job_id, created_at = now() " \
  "WHERE k.created_at < now() - interval '24 hours' RETURNING job_id"
void idempotency_put(struct pg_params *params, const struct idempotency *idempotency); /* $14 and $15 */

/* Inserts key and job in one statement; on a key already there answers with its job, or ERR_IDEMPOTENCY for another request. */
MUST_CHECK enum status idempotency_submit(struct submission *sub, struct error *err);

#endif
