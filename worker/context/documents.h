/* documents.h - document.ingest: uploaded documents to passages that are found. Payload {documents: [{document_id, name, sha256}]}, whose
 * originals are in the document store; the result has an item for each, and one that can't be read fails alone. */
#ifndef AUTODB_CONTEXT_DOCUMENTS_H
#define AUTODB_CONTEXT_DOCUMENTS_H

#include "worker/agent.h"

enum status document_ingest_run(struct job *job, json_t **ret_result, struct error *err);

#endif
