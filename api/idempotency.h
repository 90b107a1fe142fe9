/* idempotency.h - Idempotency-Key: the same key and request give the same job, for 24 hours. */
#ifndef AUTODB_API_IDEMPOTENCY_H
#define AUTODB_API_IDEMPOTENCY_H

#include "api/submission.h"

/* Inserts key and job in one statement; on a key already there answers with its job, or ERR_IDEMPOTENCY for another request. */
MUST_CHECK enum status idempotency_submit(struct submission *sub, const char *key, struct error *err);

#endif
