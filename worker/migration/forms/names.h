/* forms/names.h - objects that the shadow knows by name only: schemas, types, publications, extensions. Whether a statement names one that
 * is not there, or makes one that is. */
#ifndef AUTODB_NAMES_H
#define AUTODB_NAMES_H

#include "worker/migration/forms/forms.h"

/* Records as certain failures what the statement names in vain or makes twice, and notes what it makes, renames and drops. Nothing is
 * claimed of schemas the snapshot leaves out, nor of what an extension that isn't known may bring. */
void names_apply(struct form *form, PgQuery__Node *statement);
/* Whether there certainly is no such type, by any schema of the search path. */
bool names_no_type(struct shadow *shadow, const PgQuery__TypeName *type);
/* Whether there certainly is no such schema. */
bool names_no_schema(struct shadow *shadow, const char *schema);
/* Whether the snapshot would know an object of that schema; schema NULL: of any on the search path. */
bool names_would_know(struct shadow *shadow, const char *schema);
/* A type, or a relation that is one, of that name; schema NULL: of any. */
bool names_type_there(struct shadow *shadow, const char *schema, const char *name);
bool names_has_extension(struct shadow *shadow, const char *name);
void names_each_extension(struct shadow *shadow, void (*see)(void *arg, const char *name), void *arg);
/* An extension is there, or a range, that may have brought types and operators nobody told of. */
bool names_brought(struct shadow *shadow);

#endif
