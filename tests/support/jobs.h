/* jobs.h - jobs put into the queue as the API does it (a row, then the bell), and looked at in the database. */
#ifndef AUTODB_TESTS_JOBS_H
#define AUTODB_TESTS_JOBS_H

#include "tests/support/harness.h"

#define JOBS_OWNER "00000000-0000-7000-8000-000000000001"

/* Inserts `count` system.echo jobs with that payload; max_attempts 5. Rings for each when `ring`. The id of the last goes to ret_id (may be
 * NULL). */
void jobs_add(struct harness *h, const char *lane, const char *payload, int count, bool ring, char ret_id[40]);
/* state of the job, into a static buffer */
const char *jobs_state(struct harness *h, const char *id);
/* Rows of autodb.jobs for which the condition holds. */
long long jobs_count(struct harness *h, const char *condition);
/* One value as text of the job's row joined with its result (j, r), into a static buffer; "" for NULL. */
const char *jobs_value(struct harness *h, const char *id, const char *expression);
/* Waits until the job is in that state; the state it has goes into the failure. */
void jobs_await(struct harness *h, const char *id, const char *state, int timeout_ms);
/* Waits until no job is queued or running. */
void jobs_await_all(struct harness *h, int timeout_ms);
/* Each job ended with exactly one result of its last attempt, each delivery is there once. Fails the test otherwise. */
void jobs_check(struct harness *h);
/* As the API does it: cancel_requested, then the message. */
void jobs_cancel(struct harness *h, const char *id);
/* One Redis command, words separated by spaces; its integer, or -1. */
long long jobs_redis(struct harness *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct redisContext *jobs_redis_open(struct harness *h); /* the caller frees it */

/* What a worker's finish does to the record; result and error are JSON or NULL. Nobody is told. */
void jobs_finish(struct harness *h, const char *id, const char *state, const char *result, const char *error);

#endif
