/* forms/outputs.h - the columns a query gives out, as far as they can be told: of tables whose columns are known, by name, star or cast. */
#ifndef AUTODB_OUTPUTS_H
#define AUTODB_OUTPUTS_H

#include "worker/migration/forms/forms.h"

struct output {
  const char *name; /* NULL: can't be told */
  const char *type; /* as format_type() prints it; NULL: can't be told */
};
/* SIZE_MAX when how many there are can't be told. */
size_t outputs_of(struct form *form, const PgQuery__Node *query, struct output **ret_outputs);
/* Certain failures: two of one name in what is made of the query (42701); columns that a view being replaced loses, renames or retypes
 * (42P16; checkViewColumns of commands/view.c). replaced NULL: a new one. names: given with the view, or NULL. */
void outputs_check(struct form *form, const PgQuery__Node *query, size_t n_names, PgQuery__Node *const *names, const struct rel *replaced);

#endif
