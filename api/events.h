/* events.h - GET /jobs/{id}/events: a job's changes as Server-Sent Events.
 *
 * Nothing is stored per event: the state of the job is the log, and an id says where in the job's life an event stands:
 *
 *   id = (attempt + retries) * 100,000,000 + phase * 10,000,000 + number
 *
 *   phase  0 status "running" · 1 progress, `number` = how many times it was written · 2 status "queued" (at first, or again) ·
 *          3 status of the end · 4 result
 *
 * A claim raises `attempt`, the owner's retry raises `retries`, nothing lowers either, and within an attempt the phases come in this order:
 * so ids only grow, also over a retry that begins the same job anew. A stream sends what is newer than the id it sent last, or than
 * Last-Event-ID; what has been overtaken by a later state is left out, but for the begin of the attempt the job is in. So nothing is sent
 * twice, and whoever comes back learns the last progress, that it runs, that it was queued again, how it ended.
 *
 *   status    {job_id, status, attempt, max_attempts, started_at, finished_at}
 *   progress  {percent, step, message}
 *   result    the job as GET /jobs/{id} gives it; a result of more than LIMIT_EVENT_RESULT_BYTES is null and `result_url` says where it is
 *
 * The stream ends after `result`; who comes back with the id of that gets 204, which tells browsers to stop. A client that reads slowly
 * gets fewer progress events: nothing is composed before the last write has left, so a stream never holds more than one. */
#ifndef AUTODB_API_EVENTS_H
#define AUTODB_API_EVENTS_H

#include "api/request.h"

MUST_CHECK enum status events_get(struct request *req, struct error *err);

#endif
