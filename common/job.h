/* job.h - what API and workers agree on about a job: kinds, states, lanes, and the names used in Redis.
 *
 * The record is a row of autodb.jobs, its life one of autodb.queue (schema/); Redis only says "look". To add a kind: a row in job.c, a
 * handler row in worker/kinds.c, a route in api/. */
#ifndef AUTODB_JOB_H
#define AUTODB_JOB_H

#include <stdbool.h>
#include <stddef.h>

enum job_lane { LANE_INTERACTIVE, LANE_DEFAULT, LANE_BULK, LANE_COUNT };
extern const char *const job_lane_names[LANE_COUNT + 1]; /* "interactive", "default", "bulk", NULL */
bool job_lane_parse(const char *text, enum job_lane *ret_lane);

/* Fairness among owners: each lane is four streams. A job goes to the first whose share of the lane its owner has not just used up
 * (api/tier.h), so whoever asks for little is never behind somebody's ten thousand. Streams are numbered lane by lane. */
#define JOB_TIERS 4
#define JOB_STREAMS (LANE_COUNT * JOB_TIERS)
static inline int job_stream(enum job_lane lane, int tier) { return (int)lane * JOB_TIERS + tier; }
static inline enum job_lane job_stream_lane(int stream) { return (enum job_lane)(stream / JOB_TIERS); }
static inline int job_stream_tier(int stream) { return stream % JOB_TIERS; }
/* From the columns lane and tier in text; -1 when they name none. */
int job_stream_parse(const char *lane, const char *tier);

struct job_kind {
  const char *name;   /* "migration.analyze" */
  enum job_lane lane; /* unless the request says otherwise */
  int timeout_ms;     /* hard deadline of one attempt: the slot is killed then */
  int max_attempts;   /* failures allowed before the job is dead */
  int memory_mb;      /* RLIMIT_AS of the slot while it runs this kind */
  int retry_base_ms;  /* a failed attempt is tried again after random(0, min(cap, base * 2^failures)): full jitter */
  int retry_cap_ms;
  bool brief; /* ends in about a millisecond and has no effect but its result: may be claimed ahead of a free slot, and by a claim that a
                 crash of Postgres may forget (worker/claim.c) */
};
#define JOB_KIND_PART "s3.batch"                        /* part of another job: webhooks are told of it only when they name it */
const struct job_kind *job_kind_find(const char *name); /* NULL when there is none */
const struct job_kind *job_kind_at(size_t index);       /* NULL past the end */

/* Redis names, all under one hash tag so that a cluster keeps them in one slot. "{autodb}:q:interactive", "{autodb}:q:bulk:3" */
#define JOB_KEY_MAX 96
void job_stream_key(const char *prefix, int stream, char out[JOB_KEY_MAX]);
void job_done_channel(const char *prefix, char out[JOB_KEY_MAX]);    /* message: job id, sent after the finish commit */
void job_changed_channel(const char *prefix, char out[JOB_KEY_MAX]); /* message: id of a job that lives on: begun, queued again, progress */
void job_cancel_channel(const char *prefix, char out[JOB_KEY_MAX]);  /* message: job id, sent after cancel_requested is set */
#define JOB_GROUP "workers"                                          /* the consumer group on every stream */
#define JOB_FIELD "id"                                               /* the one field of a stream entry: the job's id in text */

#endif
