/* submission.h - one job on its way into the database; shared by submit.c (batches) and idempotency.c (one by one). */
#ifndef AUTODB_API_SUBMISSION_H
#define AUTODB_API_SUBMISSION_H

#include <sys/queue.h>

#include "api/request.h"
#include "api/waiters.h"

struct submission { /* in the request's arena */
  STAILQ_ENTRY(submission) link;
  struct request *req;
  struct id id, connection_id;
  bool has_connection;
  const struct job_kind *kind;
  enum job_lane lane;
  int tier;            /* of the lane */
  const char *payload; /* JSON text */
  size_t payload_len;
  const char *metadata;     /* JSON text or NULL */
  const char *callback_url; /* NULL = none */
  const char *run_at;       /* RFC 3339, in the future; NULL: at once */
  int wait_s;               /* Prefer: wait */
  enum wait_mode mode;      /* of that wait */
};

/* The request's job: reads priority, callback_url, metadata and Prefer; NULL connection_id = none. Nothing has happened yet. `payload` is
 * JSON text in the request's arena. */
MUST_CHECK enum status submission_new(struct request *req, const char *kind, const struct id *connection_id, const char *payload,
                                      size_t payload_len, struct submission **ret_sub, struct error *err);

/* Inserts the one job, into the record and the queue, once for each row of `source` (that is, once or not at all); what was inserted is the
 * WITH query "accepted". The first thirteen parameters are submission_put's. */
#define SUBMISSION_ACCEPT(source) SUBMISSION_ACCEPT_PAYLOAD(source, "$10::json")
/* The same with an expression over the source's columns for the payload, where only the statement knows it. */
#define SUBMISSION_ACCEPT_PAYLOAD(source, payload)                                                                                         \
  "recorded AS (INSERT INTO autodb.jobs (id, owner_id, connection_id, kind, lane, max_attempts, trace, request_id, callback_url, "         \
  "payload, "                                                                                                                              \
  "metadata, run_at) SELECT $1::uuid, $2::uuid, $3::uuid, $4::text, $5::autodb.job_lane, $6::int4, $7::text, $8::text, $9::text, " payload \
  ", "                                                                                                                                     \
  "$11::json, $13::timestamptz FROM " source "), "                                                                                         \
  "accepted AS (INSERT INTO autodb.queue (id, owner_id, kind, lane, tier, max_attempts, callback_url, run_at) "                            \
  "SELECT $1::uuid, $2::uuid, $4::text, $5::autodb.job_lane, $12::int4::int2, $6::int4, $9::text, coalesce($13::timestamptz, now()) "      \
  "FROM " source " RETURNING id) "
void submission_put(struct pg_params *params, const struct submission *sub);

/* Rings for the job and ends the request: it is now in the record. */
void submission_committed(struct submission *sub, const char *created_at);
/* Ends the request with the job that an earlier one like it made. */
void submission_replayed(struct submission *sub, const struct id *job_id);

#endif
