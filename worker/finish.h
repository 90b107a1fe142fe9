/* finish.h - ends attempts in Postgres: batched, guarded by the attempt, published in the same statement.
 *
 * What is given stays in memory until its fate is known: a finish whose outcome is unknown (the connection broke) is sent again, and the
 * guard makes that safe. A row that is not changed means that the attempt is no longer ours (fenced): it is dropped and counted. */
#ifndef AUTODB_FINISH_H
#define AUTODB_FINISH_H

#include <event2/event.h>

#include "common/config.h"
#include "common/pgloop.h"
#include "worker/bell.h"
#include "worker/task.h"

struct finish;

MUST_CHECK enum status finish_new(struct event_base *base, const struct config *cfg, struct pgloop *pool, struct bell *bell,
                                  void (*forget)(void *arg, struct task *task), void *arg, struct finish **ret_finish, struct error *err);
void finish_free(struct finish *finish); /* after the pool: none of its queries may be in flight */
/* task->outcome and task->answer say how it ended; `forget` is called once it is settled, and owns the task again. */
void finish_add(struct finish *finish, struct task *task);
void finish_resume(struct finish *finish); /* Postgres is back */
int finish_pending(const struct finish *finish);
bool finish_full(const struct finish *finish); /* too much waits for Postgres: claim nothing more */

#endif
