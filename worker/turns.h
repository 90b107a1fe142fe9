/* turns.h - who comes next of an owner that has as many jobs running as he may (schema/0006_steering.sql). */
#ifndef AUTODB_TURNS_H
#define AUTODB_TURNS_H

#include "common/config.h"
#include "common/pgloop.h"
#include "worker/bell.h"

/* Jobs of these owners have ended: rings for as many of their waiting ones as there is room for. Best effort, the sweeper does it, too. The
 * bell must outlive the pool. */
void turns_next(struct pgloop *pool, struct bell *bell, const struct config *cfg, const struct id *owners, int count);

#endif
