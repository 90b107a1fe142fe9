/* bell.h - Redis as the queue uses it: streams that say which jobs to look at, two channels, the list of live workers.
 *
 * Nothing here is the record. Every call is best effort; what gets lost is found again by the sweepers. Three connections: one for
 * ordinary commands, one that only blocks in XREADGROUP, one subscribed to cancellations. */
#ifndef AUTODB_BELL_H
#define AUTODB_BELL_H

#include <event2/event.h>

#include "common/config.h"
#include "common/id.h"
#include "common/job.h"

struct bell;

#define BELL_STAMP 44
struct bell_entry {
  int stream;             /* job.h */
  char stamp[BELL_STAMP]; /* the entry's id in its stream */
  struct id id;
  bool valid; /* it names a job; entries that don't are only acknowledged */
};

struct bell_hooks {
  void (*state)(void *arg, bool up);
  /* What a bell_read, bell_wait or bell_reclaim found (borrowed). has_more: the stream held more than was taken; known (true in ret) only
   * after bell_read, NULL otherwise. `failed`: nothing could be read; ask again after a pause. */
  void (*read)(void *arg, const struct bell_entry *entries, int count, const bool has_more[JOB_STREAMS], bool failed);
  void (*reclaimed)(void *arg, const struct bell_entry *entries, int count);
  void (*cancel)(void *arg, const struct id *id);
  void *arg;
};

MUST_CHECK enum status bell_new(struct event_base *base, const struct config *cfg, const struct bell_hooks *hooks, struct bell **ret_bell,
                                struct error *err);
void bell_free(struct bell *bell);
bool bell_up(const struct bell *bell);
const char *bell_why(const struct bell *bell); /* why it was last unreachable */

/* --- reading; one read or wait at a time, answered by hooks.read --- */

/* Takes at most `capacity` entries now, `quota` of each stream first, what is left over from wherever there is more. */
void bell_read(struct bell *bell, int capacity, const int quota[JOB_STREAMS]);
/* Waits up to two seconds for an entry in any stream; at most `count` of each. */
void bell_wait(struct bell *bell, int count);
/* Takes over what other workers read and never acknowledged (10 s); answered by hooks.reclaimed, once per stream that has any. */
void bell_reclaim(struct bell *bell, int count);
/* Acknowledges and deletes. */
void bell_ack(struct bell *bell, const struct bell_entry *entries, int count);

/* --- telling --- */

void bell_ring(struct bell *bell, int stream, const struct id *id); /* there is a job */
void bell_announce(struct bell *bell, const struct id *id);         /* a job has ended */
void bell_changed(struct bell *bell, const struct id *id);          /* a job has begun, progressed, or is queued again */
void bell_beat(struct bell *bell);                                  /* this worker lives */

/* Forgets consumers that have had nothing to do with a stream for an hour: workers that died. */
void bell_tidy(struct bell *bell);

/* --- asking --- */

/* Milliseconds since 1970 of the oldest entry of a stream, 0 when it is empty or missing; `length` entries. Not called when Redis fails. */
typedef void (*bell_oldest_cb)(void *arg, int stream, int64_t oldest_ms, long long length);
void bell_oldest(struct bell *bell, int stream, bell_oldest_cb cb, void *arg);

/* Puts back what this worker read and never acknowledged, leaves the groups and the list of workers; done(arg) in any case. */
void bell_leave(struct bell *bell, void (*done)(void *arg), void *arg);

#endif
