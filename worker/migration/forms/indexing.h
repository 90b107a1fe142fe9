/* forms/indexing.h - what can be indexed, and how. */
#ifndef AUTODB_INDEXING_H
#define AUTODB_INDEXING_H

#include "worker/migration/forms/forms.h"

/* Certain failures: access methods and operator classes that don't exist (42704), types that have none by default (42704), options the
 * method doesn't take (0A000); DefineIndex and ComputeIndexAttrs of commands/indexcmds.c, pg_opclass.dat. */
void indexing_check(struct form *form, const struct rel *rel, const PgQuery__IndexStmt *statement);
/* The same for the columns of a UNIQUE or PRIMARY KEY constraint. */
void indexing_key(struct form *form, const struct rel *rel, const char *const *columns, size_t count);

#endif
