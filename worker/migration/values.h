/* values.h - whether a constant can be a value of a type. */
#ifndef AUTODB_VALUES_H
#define AUTODB_VALUES_H

#include "worker/migration/forms/forms.h"

/* A certain failure (22P02) when `value` is a quoted constant that the type's input refuses. What can't be told passes. */
void values_fit(struct form *form, const char *type, const PgQuery__Node *value);
/* The same for the constants that an INSERT … VALUES or an UPDATE gives to columns. */
void values_apply(struct form *form, const PgQuery__Node *statement);

#endif
