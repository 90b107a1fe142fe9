#include "worker/context/reembed.h"

#include "common/id.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/context/chunk.h"
#include "worker/context/vector_index.h"
#include "worker/context/vector_rows.h"

#define DOCUMENT_ARENA ((size_t)512 << 20)
#define EMBED_MS (10 * 60 * 1000)
#define PAGE "2000"

struct reembed {
  struct job *job;
  struct embedder *embedder;
  char model[16];
  long long documents, chunks, total;
};
struct document { /* in the arena */
  const char *id, *name, *title, *ingested_at, *made_as;
  struct embed_text *texts;
  const uint8_t **ids;
  size_t count;
  const float *vectors;
};

/* --- which --- */

static const char total_sql[] = "SELECT count(*) FROM autodb.documents WHERE connection_id = $1 AND model IS NOT NULL AND model <> $2";
/* How chunks are made stands in front of the model in ingested_as, and stays. */
static const char next_sql[] =
    "SELECT d.id, d.name, d.title, d.ingested_at, split_part(d.ingested_as, ' ', 1) FROM autodb.documents d WHERE d.connection_id = $1 AND "
    "d.owner_id = $3 AND d.model IS NOT NULL AND d.model <> $2 AND d.id > $4 ORDER BY d.id LIMIT 1";
static const char chunks_sql[] =
    "SELECT id, heading, body FROM autodb.chunks WHERE connection_id = $1 AND document_id = $2 ORDER BY ordinal";

static enum status next_document(struct reembed *reembed, const char *after, struct arena *arena, struct document *document,
                                 struct error *err) {
  const char *const params[] = {reembed->job->connection_id, reembed->model, reembed->job->owner_id, after};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(reembed->job->db, next_sql, 4, params, &res, err);
  if (status || !PQntuples(res)) return status;
  const char *slash = strrchr(pg_str(res, 0, 1), '/'), *stem = slash && slash[1] ? slash + 1 : pg_str(res, 0, 1), *dot = strrchr(stem, '.');
  *document =
      (struct document){.id = arena_strdup(arena, pg_str(res, 0, 0)),
                        .name = arena_strdup(arena, pg_str(res, 0, 1)),
                        .title = pg_str(res, 0, 2) ? arena_strdup(arena, pg_str(res, 0, 2))
                                                   : arena_strndup(arena, stem, dot && dot > stem ? (size_t)(dot - stem) : strlen(stem)),
                        .ingested_at = arena_strdup(arena, pg_str(res, 0, 3)),
                        .made_as = arena_printf(arena, "%s %s/%d", pg_str(res, 0, 4), embedder_model(reembed->embedder)->label,
                                                embedder_model(reembed->embedder)->dims)};
  return document->id && document->name && document->title && document->made_as ? OK : error_oom(err);
}

static enum status read_chunks(struct reembed *reembed, struct document *document, struct arena *arena, struct error *err) {
  const char *const params[] = {reembed->job->connection_id, document->id};
  PGRESULT_AUTO res = NULL;
  BUF_AUTO full;
  enum status status = pg_query(reembed->job->db, chunks_sql, 2, params, &res, err);
  if (status) return status;
  buf_init(&full, (size_t)16 << 20);
  document->count = (size_t)PQntuples(res);
  document->texts = arena_calloc(arena, document->count + 1, sizeof *document->texts);
  document->ids = arena_calloc(arena, document->count + 1, sizeof *document->ids);
  if (!document->texts || !document->ids) return error_oom(err);
  for (size_t i = 0; i < document->count; i++) {
    struct id *id = ARENA_NEW(arena, struct id);
    const char *body = pg_str(res, (int)i, 2);
    buf_reset(&full);
    if (!id || !id_parse(pg_str(res, (int)i, 0), id) || !chunk_full(document->title, pg_str(res, (int)i, 1), body, strlen(body), &full))
      return error_oom(err);
    document->ids[i] = id->bytes;
    document->texts[i] = (struct embed_text){arena_strndup(arena, buf_str(&full), full.len), full.len};
    if (!document->texts[i].text) return error_oom(err);
  }
  return OK;
}

/* --- the flip --- */

/* Only what was read: content that came meanwhile has vectors of the new model already, or is another worker's to make. */
static const char flip_sql[] = "UPDATE autodb.documents SET model = $3, ingested_as = $4, changed = pg_current_xact_id() WHERE id = $1 AND "
                               "ingested_at = $2 RETURNING id";
static const char clear_sql[] = "DELETE FROM autodb.chunk_vectors WHERE document_id = $1 AND model = $2";

static enum status put_rows(struct reembed *reembed, const struct document *document, struct copy *copy, bool *ret_ours,
                            struct error *err) {
  const char *const flip[] = {document->id, document->ingested_at, reembed->model, document->made_as}, *const clear[] = {document->id,
                                                                                                                         reembed->model};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(reembed->job->db, flip_sql, 4, flip, &res, err);
  *ret_ours = !status && PQntuples(res) == 1;
  if (status || !*ret_ours) return status;
  if ((status = pg_exec(reembed->job->db, clear_sql, 2, clear, err))) return status;
  const struct vector_rows rows = {.connection_id = reembed->job->connection_id,
                                   .document_id = document->id,
                                   .model = embedder_model(reembed->embedder),
                                   .ids = document->ids,
                                   .vectors = document->vectors,
                                   .count = document->count};
  status = vector_rows_begin(copy, reembed->job->db, err);
  if (!status) status = vector_rows_put(&rows, copy, err);
  return status ? status : copy_end(copy, err);
}

static enum status flip(struct reembed *reembed, const struct document *document, struct error *err) {
  struct copy copy = {0};
  bool ours = false;
  enum status status = pg_script(reembed->job->db, "BEGIN", err);
  if (status) return status;
  status = put_rows(reembed, document, &copy, &ours, err);
  if (!status) {
    reembed->documents += ours;
    reembed->chunks += ours ? (long long)document->count : 0;
    return pg_script(reembed->job->db, "COMMIT", err);
  }
  copy_abort(&copy);
  ERROR_AUTO ignored = {0};
  if (pg_script(reembed->job->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}

/* --- all of them --- */

/* `after` is the last one's id, and becomes this one's; "" when there is none. */
static enum status one(struct reembed *reembed, char after[ID_TEXT], struct error *err) {
  struct document document = {0};
  ARENA_AUTO arena = arena_new(DOCUMENT_ARENA);
  enum status status = arena ? next_document(reembed, after, arena, &document, err) : error_oom(err);
  snprintf(after, ID_TEXT, "%s", document.id ? document.id : "");
  if (status || !document.id) return status;
  job_progress(reembed->job, reembed->total ? (int)(reembed->documents * 99 / (reembed->total + 1)) : 0, "documents", document.name);
  status = read_chunks(reembed, &document, arena, err);
  if (!status)
    status = embedder_run(reembed->embedder, EMBED_PASSAGE, document.texts, document.count, EMBED_MS, arena, &document.vectors, err);
  return status ? status : flip(reembed, &document, err);
}

static enum status every_one(struct reembed *reembed, struct error *err) {
  char after[ID_TEXT] = "00000000-0000-0000-0000-000000000000";
  enum status status = OK;
  while (!status && *after) status = one(reembed, after, err);
  return status;
}

/* --- the former vectors --- */

static const char former_sql[] = "WITH gone AS (DELETE FROM autodb.chunk_vectors v WHERE v.connection_id = $1 AND v.model = $2 AND "
                                 "v.chunk_id IN (SELECT o.chunk_id FROM "
                                 "autodb.chunk_vectors o JOIN autodb.documents d ON d.id = o.document_id WHERE o.connection_id = $1 AND "
                                 "o.model = $2 AND d.model = $3 LIMIT " PAGE ") RETURNING v.chunk_id) SELECT count(*) FROM gone";
static const char models_sql[] =
    "SELECT m.id, m.dims FROM autodb.embedding_models m WHERE m.id <> $2 AND EXISTS (SELECT FROM autodb.chunk_vectors v "
    "WHERE v.connection_id = $1 AND v.model = m.id)";

static enum status forget_model(struct reembed *reembed, const char *model, struct error *err) {
  const char *const params[] = {reembed->job->connection_id, model, reembed->model};
  enum status status = OK;
  for (bool more = true; more && !status;) {
    PGRESULT_AUTO res = NULL;
    status = pg_query(reembed->job->db, former_sql, 3, params, &res, err);
    more = !status && pg_int(res, 0, 0, 0) > 0;
  }
  return status;
}

/* Of documents that have new ones; an index that nothing is in any more goes, too. */
static enum status forget_former(struct reembed *reembed, struct error *err) {
  const char *const params[] = {reembed->job->connection_id, reembed->model};
  PGRESULT_AUTO res = NULL;
  enum status status = vector_index_tend(reembed->job, embedder_model(reembed->embedder), err);
  if (!status) status = pg_query(reembed->job->db, models_sql, 2, params, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) {
    struct embed_model former = {.id = (int)pg_int(res, row, 0, 0), .dims = (int)pg_int(res, row, 1, 0)};
    status = forget_model(reembed, pg_str(res, row, 0), err);
    if (!status) status = vector_index_tend(reembed->job, &former, err);
  }
  return status;
}

/* --- the job --- */

static enum status count_all(struct reembed *reembed, struct error *err) {
  const char *const params[] = {reembed->job->connection_id, reembed->model};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(reembed->job->db, total_sql, 2, params, &res, err);
  if (!status) reembed->total = pg_int(res, 0, 0, 0);
  return status;
}

enum status reembed_run(struct job *job, json_t **ret_result, struct error *err) {
  EMBEDDER_AUTO embedder = NULL;
  struct reembed reembed = {.job = job};
  if (!job->connection_id) return error_set(err, ERR_VALIDATION, "documents are of a connection");
  enum status status = embedder_new(job->cfg, job->db, &embedder, err);
  if (status) return status;
  reembed.embedder = embedder;
  snprintf(reembed.model, sizeof reembed.model, "%d", embedder_model(embedder)->id);
  status = count_all(&reembed, err);
  if (!status) status = every_one(&reembed, err);
  ERROR_AUTO unaccounted = {0};
  if (embedder_account(embedder, job->owner_id, &unaccounted))
    log_event(LOG_WARN, "embeddings not accounted", "reason", unaccounted.message, NULL);
  if (!status) status = forget_former(&reembed, err);
  if (status) return status;
  struct embed_usage usage = embedder_usage(embedder);
  *ret_result =
      json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I}", "connection_id", job->connection_id, "embedding_model",
                embedder_model(embedder)->label, "dims", embedder_model(embedder)->dims, "documents", (json_int_t)reembed.documents,
                "chunks", (json_int_t)reembed.chunks, "tokens", (json_int_t)usage.tokens, "cached", (json_int_t)usage.cached);
  return *ret_result ? OK : error_oom(err);
}
