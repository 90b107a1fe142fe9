/* rollback/keys.h - between rollback/keys.c and rollback/source.c: keys of objects whose names are more than a list of strings. */
#ifndef AUTODB_ROLLBACK_KEYS_H
#define AUTODB_ROLLBACK_KEYS_H

#include "worker/migration/rollback/source.h"

const char *rollback_key_define(struct arena *arena, const PgQuery__DefineStmt *define, const char *schema);
const char *rollback_key_cast(struct arena *arena, const PgQuery__TypeName *from, const PgQuery__TypeName *to);
/* The key of the relation that a column, trigger, rule, policy or constraint belongs to; NULL for others. */
const char *rollback_key_owner(struct arena *arena, PgQuery__ObjectType type, PgQuery__Node *object);

#endif
