/* query.h - context.query: what is known about a question. Payload {query, max_schema_chunks?, max_doc_chunks?, filters?: {document_ids?,
 * source_prefix?}}; the result is the contract's (section 6). */
#ifndef AUTODB_CONTEXT_QUERY_H
#define AUTODB_CONTEXT_QUERY_H

#include "worker/agent.h"

enum status context_query_run(struct job *job, json_t **ret_result, struct error *err);

#endif
