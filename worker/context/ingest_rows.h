/* ingest_rows.h - the database's side of ingest.c: rows of documents are taken up, and what is found of them is replaced. */
#ifndef AUTODB_CONTEXT_INGEST_ROWS_H
#define AUTODB_CONTEXT_INGEST_ROWS_H

#include "common/crypto.h"
#include "common/id.h"
#include "worker/context/chunk.h"
#include "worker/context/definitions.h"
#include "worker/context/ingest.h"
#include "worker/retrieval/terms.h"

struct ingest_item { /* one document */
  const struct ingest_source *source;
  struct ingest_outcome *outcome; /* its state says what is to be done: what is not READY yet is not read either */
  const char *document_id, *name, *origin;
  char sha256[SHA256_HEX], bytes[24], new_id[ID_TEXT]; /* new_id: for one without a row */
  bool has_rows;                                       /* of content that was ingested before */
  struct extract extract;
  struct chunk_list chunks;
  struct definition_list definitions;
  struct term_list *terms; /* of each chunk */
  const float *vectors;    /* of each chunk */
};
struct ingest {
  struct job *job;
  struct embedder *embedder;
  struct arena *arena; /* of these documents */
  const char *made_as; /* what chunks are made of and by: documents ingested otherwise are ingested again */
  char attempt[16];
  struct ingest_item *items;
  size_t count;
};

/* Their rows become this attempt's. An item's outcome is then SUPERSEDED, UNCHANGED, or READY: to be read. */
MUST_CHECK enum status ingest_rows_take(struct ingest *ingest, struct error *err);
/* In one transaction: what was found of items that are READY gives way to what they hold now, of those that FAILED to nothing. Whose row
 * is another's meanwhile becomes SUPERSEDED. */
MUST_CHECK enum status ingest_rows_replace(struct ingest *ingest, struct error *err);

#endif
