/* forms/typing.h - types of expressions over one relation, as far as they can be told from the text: columns, constants, casts, the
 * functions everybody writes. Enough for the mistakes people make: text compared with numbers, an index over what changes with the clock.
 */
#ifndef AUTODB_TYPING_H
#define AUTODB_TYPING_H

#include "worker/migration/forms/forms.h"

/* What a type is to the operators of PostgreSQL; any that isn't listed is OTHER. */
enum type_class {
  TYPE_OTHER,
  TYPE_NUMBER,
  TYPE_STRING,
  TYPE_BOOLEAN,
  TYPE_DATE,
  TYPE_TIMESTAMP,
  TYPE_TIMESTAMPTZ,
  TYPE_UUID,
  TYPE_JSON,
  TYPE_JSONB,
  TYPE_ARRAY,
  TYPE_UNKNOWN /* a quoted constant, or NULL: it becomes what is wanted */
};

/* Of a type as format_type() prints it; a domain is what it is over. */
enum type_class typing_class(const struct shadow *shadow, const char *type);
enum type_class typing_of(struct form *form, const struct rel *rel, const PgQuery__Node *expression);
/* Certain failures: operators and functions that don't exist for these types (42883), constants that are none (22P02), a condition that
 * is not boolean (42804). */
void typing_check(struct form *form, const struct rel *rel, PgQuery__Node *expression, bool condition);
/* A certain failure (42P17) when the expression is not IMMUTABLE: for indexes, generated columns, partition keys. */
void typing_immutable(struct form *form, const struct rel *rel, PgQuery__Node *expression);
/* A certain failure (42804) when a constant that is no string is assigned to a column of a type that takes none such. */
void typing_assign(struct form *form, const char *type, const PgQuery__Node *value);

#endif
