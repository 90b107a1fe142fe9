/* publish.h - the SQL that every end of a job shares: its one result, and the deliveries it owes, in the statement that ends it.
 *
 * Goes behind a WITH list whose query `done` returns the rows it took out of the queue:
 *   id, owner_id, kind, attempt, state (the final one), callback_url, body json, error json, started_at, progress json, failures, crashes
 * A job that is retried by its owner publishes anew under its higher attempt. Should it end as it did before, that is another event, which
 * receivers must be able to tell from the first: the delivery's id then names the moment, too. */
#ifndef AUTODB_PUBLISH_H
#define AUTODB_PUBLISH_H

#include "job.h"

#define SQL_PUBLISH                                                                                                                        \
  "stored AS (INSERT INTO autodb.results AS r (job_id, attempt, state, body, error, started_at, progress, failures, crashes)"              \
  " SELECT id, attempt, state, body, error, started_at, progress, failures, crashes FROM done"                                             \
  " ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, state = excluded.state, body = excluded.body, error = excluded.error,"  \
  " started_at = excluded.started_at, progress = excluded.progress, failures = excluded.failures, crashes = excluded.crashes, created_at " \
  "= now() WHERE r.attempt < excluded.attempt), "                                                                                          \
  "told AS (INSERT INTO autodb.deliveries (id, job_id, owner_id, webhook_id, url, event)"                                                  \
  " SELECT t.name || CASE WHEN EXISTS (SELECT FROM autodb.deliveries e WHERE e.id = t.name)"                                               \
  " THEN '_' || (extract(epoch FROM now()) * 1000000)::bigint ELSE '' END, t.id, t.owner_id, t.webhook_id, t.url, t.event FROM ("          \
  "SELECT d.id || '_job_' || d.state || '_' || coalesce(w.id::text, 'callback') AS name, d.id, d.owner_id, w.id AS webhook_id, w.url,"     \
  " 'job.' || d.state AS event"                                                                                                            \
  " FROM done d CROSS JOIN LATERAL (SELECT NULL::uuid AS id, d.callback_url AS url WHERE d.callback_url IS NOT NULL UNION ALL"             \
  " SELECT h.id, h.url FROM autodb.webhooks h WHERE h.owner_id = d.owner_id AND h.deleted_at IS NULL AND h.disabled_at IS NULL"            \
  " AND 'job.' || d.state = ANY (h.events) AND (h.kinds = '{}' AND d.kind <> '" JOB_KIND_PART "' OR d.kind = ANY (h.kinds))) w) t"         \
  " ON CONFLICT (id) DO NOTHING) "

/* Neither the kind nor the lane of the queue's row is paused. The array is read once per statement, and nearly always empty. */
#define SQL_NOT_PAUSED(row) \
  "NOT ARRAY[" row ".kind, " row ".lane::text] && ARRAY(SELECT p.name FROM autodb.pauses p WHERE p.resumed_at IS NULL)"

#define JSON_CANCELLED "{\"code\":\"JOB_CANCELLED\",\"message\":\"cancelled on request\",\"details\":null}"

#endif
