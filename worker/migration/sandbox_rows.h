/* sandbox_rows.h - failures that say something about a clone's made-up rows, and nothing about the migration. */
#ifndef AUTODB_MIGRATION_SANDBOX_ROWS_H
#define AUTODB_MIGRATION_SANDBOX_ROWS_H

#include "worker/migration/analysis.h"

/* It changes or reads rows and does nothing else: INSERT, UPDATE, DELETE, MERGE, SELECT. */
bool sandbox_rows_only(const PgQuery__Node *node);
/* Whether other rows could have made the failed statement pass. Only for one that sandbox_rows_only tells of. */
bool sandbox_rows_decide(PgQuery__Node *node, const struct error *error);

/* A definition that converts values: ALTER TABLE … ALTER COLUMN … TYPE. */
bool sandbox_rows_converted(const PgQuery__Node *node);
/* For such a statement that failed: SQL that takes away the rows whose made-up values may be why; NULL when they are not, or when
 * production's are known to fail as well. */
const char *sandbox_rows_removal(const struct statement *statement, struct arena *arena, const struct error *error);

#endif
