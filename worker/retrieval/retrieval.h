/* retrieval.h - which tables and which passages a question is about: hybrid search over a snapshot and the documents of its connection.
 *
 * Two searches each, one by vector and one by word (BM25), are merged by reciprocal rank (k = 60). Tables are searched in memory: their
 * texts and vectors are made once per snapshot and kept by the process. Passages are searched in AutoDB's database, within the job's
 * connection alone, by vectors of the configured model alone. */
#ifndef AUTODB_RETRIEVAL_H
#define AUTODB_RETRIEVAL_H

#include "worker/agent.h"
#include "worker/schema/snapshot.h"

struct retrieval_query {
  const char *text;                /* the question, in words; or any text (a migration's, a statement's) */
  int max_tables, max_documents;   /* 0: none of them are searched; at most LIMIT_RETRIEVAL_RESULTS each */
  const char *const *document_ids; /* only these documents; NULL: all */
  size_t document_id_count;
  const char *source_prefix; /* only documents whose source begins so ("s3://bucket/handbook/"); NULL: all */
};

struct retrieval_table {
  const struct snap_table *table;           /* of the snapshot given */
  double score;                             /* best first; comparable within one answer only. Of those by_fk: 0 */
  const char *text;                         /* what is said of the table: comment, columns, keys */
  const struct snap_column *const *columns; /* those the question speaks of, most of all first; may be none */
  size_t column_count;
  bool by_fk; /* not found by itself: joins others that were */
};

struct retrieval_document { /* one passage of a document */
  const char *document_id, *name, *source;
  const char *chunk_id;
  const char *heading; /* "Orders > Refunds", or NULL */
  int page;            /* from 1; 0: no pages */
  int ordinal;         /* place in the document */
  double score;
  const char *text;
};

struct retrieval { /* everything in the job's arena */
  const struct retrieval_table *tables;
  size_t table_count; /* at most max_tables, those by_fk among them */
  const struct retrieval_document *documents;
  size_t document_count;
  const char *embedding_model;
  const char *mode;    /* "hybrid"; "lexical" when the provider of vectors could not be asked: found by words alone */
  const char *warning; /* why not hybrid; else NULL */
};

/* snapshot may be NULL when max_tables is 0. A provider that can't be reached is no failure (mode says so). */
MUST_CHECK enum status retrieval_search(struct job *job, const struct snapshot *snapshot, const struct retrieval_query *query,
                                        struct retrieval *ret_found, struct error *err);

/* Whether the job's connection has anything to be found in documents: one look at an index. */
MUST_CHECK enum status retrieval_has_documents(struct job *job, bool *ret_any, struct error *err);

/* What documents say of a change or a query over these tables ("schema.name"): [{source, excerpt, score}], best first, of passages that
 * speak of one of them. Empty when there are no documents, or none can be had: a report is none the worse. A new reference. */
json_t *retrieval_context(struct job *job, const char *text, const char *const *tables, size_t count);

struct glossary_entry {
  const char *term, *meaning;
  bool is_expression; /* the meaning reads as SQL: "sum(orders.total)" */
  const char *document_id, *name, *heading;
};
struct glossary {
  const struct glossary_entry *entries; /* by term */
  size_t count;
};
/* What the connection's documents define: those whose terms stand in `text`, or all (at most LIMIT_GLOSSARY_ENTRIES) when text is NULL. */
MUST_CHECK enum status retrieval_glossary(struct job *job, const char *text, struct glossary *ret_glossary, struct error *err);

#endif
