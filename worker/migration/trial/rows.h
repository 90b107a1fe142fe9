/* trial/rows.h - failures that say something about a clone's made-up rows, and nothing about the migration. */
#ifndef AUTODB_MIGRATION_SANDBOX_ROWS_H
#define AUTODB_MIGRATION_SANDBOX_ROWS_H

#include "worker/migration/analysis.h"

/* It changes or reads rows and does nothing else: INSERT, UPDATE, DELETE, MERGE, SELECT. */
bool sandbox_rows_only(const PgQuery__Node *node);
/* Whether other rows could have made the failed statement pass. Only for one that sandbox_rows_only tells of. */
bool sandbox_rows_decide(PgQuery__Node *node, const struct error *error);

/* A definition that the made-up rows alone may make fail: one that converts values (ALTER TABLE … ALTER COLUMN … TYPE), or any that looks
 * at the rows of a table which is empty in production. */
bool sandbox_rows_defined(const struct analysis *analysis, const struct statement *statement);
/* For such a statement that failed: SQL that takes away the rows which may be why; NULL when they are not, when production's are known to
 * fail as well, or when the migration may have put rows there itself. */
const char *sandbox_rows_removal(const struct analysis *analysis, const struct statement *statement, const struct error *error);

#endif
