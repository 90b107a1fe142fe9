/* reembed.h - context.reembed: the vectors of a connection's documents, made anew by the model that is configured now.
 *
 * Document by document, each in one transaction; until the last is done searches ask the former model, whose vectors all of them still
 * have. An attempt that ends leaves the rest to the next. */
#ifndef AUTODB_CONTEXT_REEMBED_H
#define AUTODB_CONTEXT_REEMBED_H

#include "worker/agent.h"

MUST_CHECK enum status reembed_run(struct job *job, json_t **ret_result, struct error *err);

#endif
