/* forms/functions.h - functions that statements call, make, change and drop: whether they are there, and as what. */
#ifndef AUTODB_FUNCTIONS_H
#define AUTODB_FUNCTIONS_H

#include "worker/migration/forms/forms.h"

/* Certain failures for functions named in vain (42883), made twice (42723), replaced by what returns something else (42P13), or of the
 * wrong kind for a trigger (42P17). Nothing is claimed of schemas the snapshot leaves out, nor of what an extension that isn't listed may
 * bring; a function that an earlier statement has made is known by its name alone. */
void functions_apply(struct form *form, const PgQuery__Node *statement);
/* Whether some function that the snapshot has, or this migration made, goes by that name, in whatever schema. */
bool functions_users_own(const struct shadow *shadow, const char *name);

#endif
