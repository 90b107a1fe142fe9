/* forms/bounds.h - partition bounds against CHECK constraints: what makes ATTACH skip its scan. */
#ifndef AUTODB_BOUNDS_H
#define AUTODB_BOUNDS_H

#include "worker/migration/shadow.h"

/* Whether a validated CHECK can't be true of a NULL in the column. */
bool bounds_check_not_null(struct shadow *shadow, const struct rel *rel, const char *column);
/* Whether the CHECK is certainly false of that constant in the column. */
bool bounds_check_refutes(struct shadow *shadow, const struct snap_constraint *check, const char *column, const PgQuery__Node *value);
/* Whether validated CHECKs (and NOT NULL) of `part` prove that all its rows are within the bound. Single-column range and list keys;
 * anything else is not proven. */
bool bounds_implied(struct shadow *shadow, const struct rel *parent, const struct rel *part, const PgQuery__PartitionBoundSpec *bound);
/* Whether a validated CHECK of the default partition rules every row of the bound out. */
bool bounds_excluded(struct shadow *shadow, const struct rel *parent, const struct rel *fallback, const PgQuery__PartitionBoundSpec *bound);
/* "DEFAULT" or "FOR VALUES …": enough to tell a default partition from others. */
const char *bounds_text(struct arena *arena, const PgQuery__PartitionBoundSpec *bound);

#endif
