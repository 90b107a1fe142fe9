/* submit.h - accepting work: a job is answered 202 only after it is committed, and then it is never lost.
 *
 * Group commit without a timer: what was submitted in one turn of the loop goes into one INSERT; while that commit is in flight
 * the next batch gathers. A batch whose outcome is unknown is answered 503, never 202; the bell in Redis is rung after the commit and may
 * fail: the sweepers find queued rows that nobody rang for. */
#ifndef AUTODB_API_SUBMIT_H
#define AUTODB_API_SUBMIT_H

#include "api/request.h"

struct submit;
struct submit *submit_new(struct loop *loop);
void submit_free(struct submit *submit);
void submit_turn(struct submit *submit); /* end of a turn: sends the batch */

/* Takes the request's job: `payload` is JSON text in the request's arena; connection_id NULL = none. Reads priority, callback_url,
 * metadata, Idempotency-Key and Prefer itself and ends the request. */
MUST_CHECK enum status submit_job(struct request *req, const char *kind, const struct id *connection_id, const char *payload,
                                  size_t payload_len, struct error *err);
/* The same with the payload as a value: dumped and released. */
MUST_CHECK enum status submit_job_value(struct request *req, const char *kind, const struct id *connection_id, json_t *take_payload,
                                        struct error *err);

/* XADD of a queued job to its stream (job.h); best effort. */
void submit_ring(struct loop *loop, const struct id *job_id, int stream);

#endif
