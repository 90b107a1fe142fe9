/* trial.h - L5: a query and its rewrites over made-up rows, in a clone of the schema. What gives other rows, or fails where the query does
 * not, is dropped. That all agree proves nothing; that one does not is a counterexample. */
#ifndef AUTODB_REWRITE_TRIAL_H
#define AUTODB_REWRITE_TRIAL_H

#include "worker/optimizer/rewrite/ladder.h"

/* On a session that may insert into the tables, which are empty; everything is rolled back. `values` of parameters, or NULL. Marks steps.
 */
MUST_CHECK enum status trial_compare(PGconn *conn, const struct snapshot *snapshot, const char *sql, const char *const *values,
                                     int value_count, struct ladder *ladder, struct arena *arena, struct error *err);
/* The same in a sandbox with the connection's schema, which stays open and empty as the optimization's clone. */
MUST_CHECK enum status trial_run(struct optimization *o, struct ladder *ladder, struct error *err);

#endif
