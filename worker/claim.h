/* claim.h - what claim.c and poll.c share: claimed rows, and the words of the statements that claim them. */
#ifndef AUTODB_CLAIM_H
#define AUTODB_CLAIM_H

#include "common/publish.h"
#include "worker/queue_impl.h"

/* $1 worker, $2 seconds of lease; of autodb.queue q. */
#define SQL_CLAIM                                                                                                                         \
  "UPDATE autodb.queue q SET state = 'running', attempt = q.attempt + 1, lease_owner = $1, lease_until = now() + $2::int4 * interval '1 " \
  "second', started_at = now(), progress = NULL "
/* May be claimed by a statement that counts nobody's running jobs. The arrays are read once per statement, and nearly always empty. */
#define SQL_CLAIMABLE                                                                        \
  "q.state = 'queued' AND q.run_at <= now() AND NOT q.cancel_requested AND " SQL_NOT_PAUSED( \
      "q") " AND q.owner_id <> ALL (ARRAY(SELECT o.id FROM autodb.owners o WHERE o.max_running > 0))"
#define SQL_CLAIM_COLUMNS "c.id, c.kind, c.lane, c.tier, c.attempt, c.owner_id, j.connection_id, j.trace, j.payload"
#define SQL_FROM_RECORD " FROM c JOIN autodb.jobs j ON j.id = c.id"
#define SQL_WITH_RECORD " SELECT " SQL_CLAIM_COLUMNS SQL_FROM_RECORD
#define SQL_CLAIMED_ROWS " RETURNING q.id, q.kind, q.lane, q.tier, q.attempt, q.owner_id)"
#define SQL_CLAIMED SQL_CLAIMED_ROWS SQL_WITH_RECORD
enum claim_column {
  CLAIM_ID,
  CLAIM_KIND,
  CLAIM_LANE,
  CLAIM_TIER,
  CLAIM_ATTEMPT,
  CLAIM_OWNER,
  CLAIM_CONNECTION,
  CLAIM_TRACE,
  CLAIM_PAYLOAD
};

struct claim {
  TAILQ_ENTRY(claim) next;
  struct queue *queue;
  int64_t sent_ms;
  int polled[LANE_COUNT]; /* quotas, when it was a poll */
  bool capped;            /* by claim_capped */
  bool acked;             /* its entries are gone from their streams */
  int count;              /* entries; 0 for a poll */
  struct bell_entry entries[];
};

void claim_put_worker(const struct queue *queue, struct pg_params *params); /* $1 and $2 */
/* Rows as SQL_WITH_RECORD returns them become tasks. */
void claim_take_rows(const struct claim *claim, const PGresult *res, const char *source);

/* poll.c */
void poll_pump(struct queue *queue, int capacity);

#endif
