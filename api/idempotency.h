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

/* Runs a statement that takes the key, when there is one, and inserts the job: its first fifteen parameters are submission_put's and
 * idempotency_put's. A row (the time) means that it did; none that the key was taken before, or else what `nothing` says. `busy` is the
 * answer when it waited too long for a lock that is no key's. Ends the request. */
struct idempotency_statement {
  const struct pg_stmt *stmt;
  enum status (*nothing)(struct error *err);
  const char *busy;
};
MUST_CHECK enum status idempotency_run(struct submission *sub, const struct idempotency *idempotency,
                                       const struct idempotency_statement *statement, const struct pg_params *params, struct error *err);

/* From the start of the statement's transaction: locks are not waited for longer than this. For a FROM list. */
#define IDEMPOTENCY_PATIENCE "(SELECT set_config('lock_timeout', '3000', true)) limited"

/* Inserts key and job in one statement; on a key already there answers with its job, or ERR_IDEMPOTENCY for another request. */
MUST_CHECK enum status idempotency_submit(struct submission *sub, struct error *err);

#endif
