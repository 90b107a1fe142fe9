/* ingest.h - documents from bytes to chunks that are found.
 *
 * Until the transaction that replaces them a document's former chunks are found, after it the new ones: never half of either. Whoever took
 * a document up last owns it (documents.job_id, attempt): an attempt that was overtaken changes nothing. The same bytes give the same
 * chunks, with the same ids, whoever ingests them, how often and beside what. */
#ifndef AUTODB_CONTEXT_INGEST_H
#define AUTODB_CONTEXT_INGEST_H

#include "worker/agent.h"
#include "worker/embed/embed.h"

struct ingest_source {
  const char *document_id;  /* a row of documents, or NULL: found by source and name, and made when there is none */
  const char *name;         /* "handbook/returns.md": what a type is guessed by where the content does not tell */
  const char *source;       /* "upload", "s3://bucket/key" */
  const char *content_type; /* as somebody said it, or NULL; the content decides */
  const char *etag;         /* of the object, or NULL */
  const void *bytes;
  size_t len;
  const char *sha256;        /* of the content, where it is known; NULL: computed */
  const struct error *fault; /* the content can't be had, and why: the document fails with it. Needs sha256; NULL: bytes are there */
};

enum ingest_state {
  INGEST_READY,      /* its chunks are found */
  INGEST_UNCHANGED,  /* they were before: the same bytes, ingested the same way */
  INGEST_FAILED,     /* code and message say why; so does the row. Former chunks are gone */
  INGEST_SUPERSEDED, /* newer content was given meanwhile, or the document deleted: it is another's turn */
};
struct ingest_outcome { /* strings in the job's arena */
  enum ingest_state state;
  const char *document_id;
  const char *content_type; /* as recognised: "application/pdf" */
  int chunks;
  size_t bytes;
  char sha256[65];
  const char *code, *message; /* "NEEDS_OCR"; NULL unless failed */
};

#define INGEST_GROUP 16 /* documents at most in one transaction: what small ones cost is mostly the statements around them */

/* What is wrong with a document is its outcome; a failure is of the job, and of the whole group: ERR_UNAVAILABLE when the database or the
 * provider of vectors can't be reached, so that the job is tried again; ERR_VALIDATION when the provider refuses whatever it is asked, as
 * with a wrong key. Sources have ids, all of them, or are all different by source and
 * name; an outcome for each. embedder may be used for many. The job's arena grows by what the outcomes need only. */
MUST_CHECK enum status ingest_documents(struct job *job, struct embedder *embedder, const struct ingest_source *sources, size_t count,
                                        struct ingest_outcome *ret_outcomes, struct error *err);
/* Whether the session's commits may return before they are on disk. A crash of the database then forgets the last of them, whole and in
 * their order; what is built on them is done anew by the job, whose own end always waits for the disk, and for all that was committed
 * before. */
void ingest_hurry(PGconn *db, bool hurry);
/* At the end of a job: words that the index only has in its list of new ones are merged into it, so that no search looks through them. */
void ingest_settle(PGconn *db);
/* {document_id, name, status, chunks, bytes, sha256, error: {code, message}|null}: an item of document.ingest's result. */
json_t *ingest_json(const struct ingest_source *source, const struct ingest_outcome *outcome);

#endif
