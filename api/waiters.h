/* waiters.h - requests that wait for a job to end: Prefer: wait and GET /jobs/{id}?wait=. The watching itself is watch.h. */
#ifndef AUTODB_API_WAITERS_H
#define AUTODB_API_WAITERS_H

#include "api/request.h"

enum wait_mode {
  WAIT_SUBMITTED, /* 200 when the job ends in time, else 202 */
  WAIT_LOOK,      /* always 200 */
  WAIT_HELD,      /* as SUBMITTED, but what the worker refused is its error, 409; 200 only when the client preferred to wait */
};

/* Ends the request with the job when it has ended or `seconds` have passed; 0 = with the job as it is now. Another owner's job is
 * NOT_FOUND. */
void waiters_add(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode);
/* For a job just committed, whose view is known: what is answered when Postgres can't be asked again, since the job is accepted whatever
 * happens. */
void waiters_add_committed(struct request *req, const struct id *job_id, int seconds, enum wait_mode mode, const char *view);

#endif
