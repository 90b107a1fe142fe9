/* token.h - the approval: what was analysed, signed, for one hour and one use. */
#ifndef AUTODB_TOKEN_H
#define AUTODB_TOKEN_H

#include "worker/agent.h"

#define TOKEN_LIFETIME_SECONDS 3600

/* Makes the token of an analysed and passed migration and records its nonce in autodb.approvals. Both results live in the job's arena. */
MUST_CHECK enum status token_issue(struct job *job, const char *sql, const char *snapshot_id, const char *fingerprint,
                                   const char **ret_token, const char **ret_expires_at, struct error *err);

#endif
