/* forms/objects.h - what hangs on a relation and is named with it: triggers, rules, indexes, statistics; and of which kind the relation is.
 */
#ifndef AUTODB_OBJECTS_H
#define AUTODB_OBJECTS_H

#include <jansson.h>

#include "worker/migration/forms/forms.h"

/* Certain failures: objects named in vain (42704), relations of another kind than the statement is for (42809), options that nobody
 * knows (22023). */
void objects_apply(struct form *form, const PgQuery__Node *statement);
/* The relation as the snapshot's JSON has it; NULL when this migration made it, or gave it another name. */
const json_t *objects_json(const struct shadow *shadow, const struct rel *rel);
/* The first relation below which rel is, as a partition or by INHERITS, that has such a column; NULL: it is rel's own. */
const struct rel *objects_column_from(struct shadow *shadow, const struct rel *rel, const char *column);
/* The same for a CHECK or a partition's key or foreign key of that name. */
const struct rel *objects_constraint_from(struct shadow *shadow, const struct rel *rel, const char *name);
/* A rule or policy (its table, which is not rel, and its name) whose definition names rel; NULL when none does. */
const char *objects_reader(struct form *form, struct rel *rel, struct rel **ret_table);
/* The same of a column of rel, by rules and policies of rel's own. */
const char *objects_column_reader(struct form *form, const struct rel *rel, const char *column);

#endif
