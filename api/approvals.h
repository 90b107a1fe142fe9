/* approvals.h - an approval is used once: by the job that executes what was approved. */
#ifndef AUTODB_API_APPROVALS_H
#define AUTODB_API_APPROVALS_H

#include "api/submission.h"
#include "common/approval.h"

/* Binds the approval to the submission's job and inserts the job, both or neither, and ends the request. Used before by the same request
 * (everything the token says was compared already; `options` is what is left) it answers with that job, even after the token has expired;
 * by another one with TOKEN_INVALID. `approval` and `options`, JSON text, live in the request's arena; `options` is the payload's member.
 */
MUST_CHECK enum status approvals_submit(struct submission *sub, const struct approval *approval, const char *options, struct error *err);

#endif
