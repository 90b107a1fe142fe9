/* optimize_impl.h - between the files of query.optimize. */
#ifndef AUTODB_OPTIMIZE_IMPL_H
#define AUTODB_OPTIMIZE_IMPL_H

#include "worker/optimizer/optimize.h"

int explain_parameters(PgQuery__Node *statement); /* the highest $n */
/* Fills optimization.values; the session is open. */
MUST_CHECK enum status explain_choose_values(struct optimization *optimization, struct error *err);

#endif
