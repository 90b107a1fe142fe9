#include "worker/context/documents.h"

#include "common/docstore.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "worker/context/ingest.h"
#include "worker/context/vector_index.h"

/* What is lost or damaged is the document's fault, what can't be reached the job's. */
static enum status ingest_one(struct job *job, struct embedder *embedder, struct docstore *store, const json_t *item, json_t *results,
                              struct error *err) {
  BUF_AUTO content;
  ERROR_AUTO fault = {0};
  struct ingest_outcome outcome = {0};
  struct ingest_source source = {.document_id = json_str(item, "document_id", NULL),
                                 .name = json_str(item, "name", ""),
                                 .source = "upload",
                                 .sha256 = json_str(item, "sha256", NULL)};
  if (!source.document_id || !source.sha256) return error_set(err, ERR_INTERNAL, "a document of the job has no id or hash");
  buf_init(&content, LIMIT_DOCUMENT_BYTES + 1);
  enum status status = docstore_get(store, source.sha256, &content, &fault);
  if (status == ERR_UNAVAILABLE) return error_set_code(err, status, fault.code, "%s", fault.message);
  if (status) source.fault = &fault;
  source.bytes = buf_str(&content);
  source.len = content.len;
  status = ingest_documents(job, embedder, &source, 1, &outcome, err);
  if (!status) json_array_append_new(results, ingest_json(&source, &outcome));
  return status;
}

static enum status ingest_all(struct job *job, struct embedder *embedder, struct docstore *store, json_t *results, struct error *err) {
  const json_t *documents = json_object_get(job->payload, "documents");
  size_t count = json_array_size(documents);
  enum status status = OK;
  for (size_t i = 0; i < count && !status; i++) {
    const json_t *item = json_array_get(documents, i);
    job_progress(job, (int)(i * 95 / count), "ingest", json_str(item, "name", NULL));
    status = ingest_one(job, embedder, store, item, results, err);
  }
  return status;
}

/* The documents are found either way; the next ones try again. */
static void tend_index(struct job *job, struct embedder *embedder) {
  ERROR_AUTO err = {0};
  ingest_settle(job->db);
  if (vector_index_tend(job, embedder_model(embedder), &err)) log_event(LOG_WARN, "vectors have no index yet", "reason", err.message, NULL);
  error_clear(&err);
  if (embedder_account(embedder, job->owner_id, &err)) log_event(LOG_WARN, "embeddings not accounted", "reason", err.message, NULL);
}

enum status document_ingest_run(struct job *job, json_t **ret_result, struct error *err) {
  DOCSTORE_AUTO *store = NULL;
  EMBEDDER_AUTO embedder = NULL;
  json_t *results = arena_json(job->arena, json_array());
  if (!results) return error_oom(err);
  if (!job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  enum status status = docstore_new(job->cfg, &store, err);
  if (!status) status = embedder_new(job->cfg, job->db, &embedder, err);
  ingest_hurry(job->db, true);
  if (!status) status = ingest_all(job, embedder, store, results, err);
  ingest_hurry(job->db, false);
  if (embedder) tend_index(job, embedder);
  if (status) return status;
  *ret_result = json_pack("{s:O}", "documents", results);
  return *ret_result ? OK : error_oom(err);
}
