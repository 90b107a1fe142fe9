/* model.h - a language model's proposals: candidates like any other, but nothing about them is proved, so they climb the whole ladder. */
#ifndef AUTODB_REWRITE_MODEL_H
#define AUTODB_REWRITE_MODEL_H

#include "worker/optimizer/rewrite/rewrite.h"

/* Appends to the list what the configured model proposes and what is a SELECT that may run, with the query's own order and limit. A model
 * that can't be reached, or says nonsense, is a warning. */
MUST_CHECK enum status model_propose(struct optimization *o, struct rewrite_list *list, struct error *err);

#endif
