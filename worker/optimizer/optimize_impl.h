/* optimize_impl.h - between the files of query.optimize. */
#ifndef AUTODB_OPTIMIZE_IMPL_H
#define AUTODB_OPTIMIZE_IMPL_H

#include "worker/optimizer/optimize.h"

int explain_parameters(PgQuery__Node *statement); /* the highest $n */
/* Fills optimization.values; the session is open. */
MUST_CHECK enum status explain_choose_values(struct optimization *optimization, struct error *err);
/* A plan with the session's present settings, in the transaction that is open; a refusal (ERR_VALIDATION) ends that. */
MUST_CHECK enum status explain_within(struct optimization *optimization, const char *sql, struct query_plan **ret_plan, struct error *err);
/* The text with these texts in place of $1…; NULL when memory is gone. */
const char *explain_replace(struct arena *arena, const char *sql, const char *const *values, int count);
/* The text with literals in place of $1…; itself when there are none. NULL when memory is gone. */
const char *explain_with_values(const struct optimization *optimization, const char *sql);

#endif
