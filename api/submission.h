/* submission.h - one job on its way into the database; shared by submit.c (batches) and idempotency.c (one by one). */
#ifndef AUTODB_API_SUBMISSION_H
#define AUTODB_API_SUBMISSION_H

#include <sys/queue.h>

#include "api/request.h"

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
  int wait_s;               /* Prefer: wait */
};

/* Ends the request of a job that is now in the record. */
void submission_committed(struct submission *sub, const char *created_at);

#endif
