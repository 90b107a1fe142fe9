/* ingest.c - see ingest.h: take the document up, read it, cut it, embed it, and replace what was there in one transaction. */
#include "worker/context/ingest.h"

#include "common/crypto.h"
#include "common/id.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/context/chunk.h"
#include "worker/context/copy.h"
#include "worker/context/definitions.h"
#include "worker/embed/vector.h"
#include "worker/retrieval/terms.h"

#define SCRATCH_BYTES ((size_t)512 << 20)
#define EMBED_MS (10 * 60 * 1000)

struct ingest {
  struct job *job;
  struct embedder *embedder;
  const struct ingest_source *source;
  struct arena *arena; /* of this document */
  const char *document_id;
  const char *name, *origin;
  const char *made_as;
  char sha256[SHA256_HEX], attempt[16], bytes[24];
  struct extract extract;
  struct chunk_list chunks;
  struct definition_list definitions;
  const float *vectors;
};

/* --- taking it up --- */

/* Of content that was given without a row, the row; `xmax = 0` nobody needs to know. */
static const char make_sql[] =
    "INSERT INTO autodb.documents (id, owner_id, connection_id, name, source, content_type, bytes, sha256, etag) "
    "SELECT $1, $2, c.id, $4, $5, $6, $7, $8, $9 FROM autodb.connections c WHERE c.id = $3 AND c.owner_id = $2 AND c.deleted_at IS NULL "
    "ON CONFLICT (connection_id, source, name) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256, etag = excluded.etag, "
    "updated_at = now() RETURNING id";
static const char take_sql[] =
    "UPDATE autodb.documents d SET status = 'processing', error = NULL, job_id = $4, attempt = $5, updated_at = now() "
    "WHERE d.id = $1 AND d.owner_id = $2 AND d.sha256 = $3 AND (d.job_id IS DISTINCT FROM $4::uuid OR d.attempt <= $5::integer) "
    "RETURNING d.name, d.source, d.ingested_sha256 = d.sha256 AND d.ingested_as = $6, d.chunks";

static enum status make_row(struct ingest *ingest, const char **ret_id, struct error *err) {
  const struct ingest_source *source = ingest->source;
  struct id id;
  char text[ID_TEXT];
  id_new(&id);
  const char *const params[] = {
      id_format(&id, text), ingest->job->owner_id, ingest->job->connection_id,
      source->name,         source->source,        source->content_type ? source->content_type : "application/octet-stream",
      ingest->bytes,        ingest->sha256,        source->etag};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, make_sql, 9, params, &res, err);
  if (status) return status;
  if (!PQntuples(res)) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  *ret_id = arena_strdup(ingest->job->arena, pg_str(res, 0, 0));
  return *ret_id ? OK : error_oom(err);
}

/* What the chunks are made of and by: documents ingested otherwise are ingested again. */
static const char *made_as(const struct ingest *ingest) {
  const struct embed_model *model = embedder_model(ingest->embedder);
  return arena_printf(ingest->arena, CHUNK_VERSION " %s/%d", model->label, model->dims);
}

static enum status take_up(struct ingest *ingest, struct ingest_outcome *outcome, struct error *err) {
  const struct ingest_source *source = ingest->source;
  ingest->document_id = source->document_id;
  enum status status = source->document_id ? OK : make_row(ingest, &ingest->document_id, err);
  if (status) return status;
  outcome->document_id = ingest->document_id;
  const char *const params[] = {ingest->document_id, ingest->job->owner_id, ingest->sha256,
                                ingest->job->id,     ingest->attempt,       ingest->made_as};
  PGRESULT_AUTO res = NULL;
  if ((status = pg_query(ingest->job->db, take_sql, 6, params, &res, err))) return status;
  if (!PQntuples(res)) {
    outcome->state = INGEST_SUPERSEDED;
    return OK;
  }
  ingest->name = arena_strdup(ingest->arena, pg_str(res, 0, 0));
  ingest->origin = arena_strdup(ingest->arena, pg_str(res, 0, 1));
  outcome->state = pg_bool(res, 0, 2) ? INGEST_UNCHANGED : INGEST_READY;
  outcome->chunks = (int)pg_int(res, 0, 3, 0);
  return ingest->name && ingest->origin ? OK : error_oom(err);
}

/* --- how it ends --- */

static const char done_sql[] = "UPDATE autodb.documents SET status = 'ready', error = NULL, chunks = $4, ingested_sha256 = sha256, "
                               "ingested_as = $5, content_type = $6, "
                               "ingested_at = now(), updated_at = now() WHERE id = $1 AND job_id = $2 AND attempt = $3 AND sha256 = $7";
static const char unchanged_sql[] =
    "UPDATE autodb.documents SET status = 'ready', updated_at = now() WHERE id = $1 AND job_id = $2 AND attempt = $3";
static const char failed_sql[] =
    "UPDATE autodb.documents SET status = 'failed', error = $4, chunks = 0, ingested_sha256 = NULL, ingested_as = NULL, updated_at = now() "
    "WHERE id = $1 AND job_id = $2 AND attempt = $3";
static const char lock_sql[] =
    "SELECT FROM autodb.documents WHERE id = $1 AND job_id = $2 AND attempt = $3 AND sha256 = $4 FOR NO KEY UPDATE";
static const char *const clear_sql[] = {"DELETE FROM autodb.chunk_vectors WHERE document_id = $1",
                                        "DELETE FROM autodb.chunks WHERE document_id = $1",
                                        "DELETE FROM autodb.glossary WHERE document_id = $1"};

/* False when somebody else has the document now. */
static enum status lock(struct ingest *ingest, bool *ret_ours, struct error *err) {
  const char *const params[] = {ingest->document_id, ingest->job->id, ingest->attempt, ingest->sha256};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, lock_sql, 4, params, &res, err);
  if (!status) *ret_ours = PQntuples(res) == 1;
  return status;
}

static enum status clear(struct ingest *ingest, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; i < sizeof clear_sql / sizeof *clear_sql && !status; i++)
    status = pg_exec(ingest->job->db, clear_sql[i], 1, &ingest->document_id, err);
  return status;
}

/* --- rows --- */

static enum status copy_chunks(struct ingest *ingest, struct copy *copy, struct error *err) {
  static const char sql[] =
      "COPY autodb.chunks (connection_id, id, document_id, ordinal, page, first_byte, last_byte, heading, body, tables, "
      "terms) FROM STDIN (FORMAT binary)";
  struct id connection, document;
  enum status status = copy_begin(copy, ingest->job->db, sql, 11, err);
  if (!id_parse(ingest->job->connection_id, &connection) || !id_parse(ingest->document_id, &document))
    return error_set(err, ERR_INTERNAL, "an id is none");
  for (size_t i = 0; i < ingest->chunks.count && !status; i++) {
    const struct chunk *chunk = &ingest->chunks.items[i];
    size_t count = 0;
    const int32_t *terms = terms_of(chunk->full, chunk->full_len, ingest->job->connection_id, ingest->arena, &count);
    if (!terms) return error_oom(err);
    copy_row(copy);
    copy_bytes(copy, connection.bytes, sizeof connection.bytes);
    copy_bytes(copy, chunk->id, sizeof chunk->id);
    copy_bytes(copy, document.bytes, sizeof document.bytes);
    copy_int4(copy, (int)i);
    if (chunk->page)
      copy_int4(copy, chunk->page);
    else
      copy_null(copy);
    copy_int8(copy, (int64_t)chunk->first);
    copy_int8(copy, (int64_t)chunk->last);
    copy_text(copy, chunk->heading);
    copy_bytes(copy, chunk->body, chunk->body_len);
    copy_text_array(copy, chunk->tables);
    copy_int4_array(copy, terms, count);
    status = copy_flush(copy, false, err);
  }
  return status ? status : copy_end(copy, err);
}

static enum status copy_vectors(struct ingest *ingest, struct copy *copy, struct error *err) {
  static const char sql[] = "COPY autodb.chunk_vectors (connection_id, model, chunk_id, document_id, embedding) FROM STDIN (FORMAT binary)";
  const struct embed_model *model = embedder_model(ingest->embedder);
  uint8_t *half = arena_alloc(ingest->arena, HALFVEC_BYTES(model->dims));
  struct id connection, document;
  enum status status = half ? copy_begin(copy, ingest->job->db, sql, 5, err) : error_oom(err);
  if (!id_parse(ingest->job->connection_id, &connection) || !id_parse(ingest->document_id, &document))
    return error_set(err, ERR_INTERNAL, "an id is none");
  for (size_t i = 0; i < ingest->chunks.count && !status; i++) {
    halfvec_write(ingest->vectors + i * (size_t)model->dims, model->dims, half);
    copy_row(copy);
    copy_bytes(copy, connection.bytes, sizeof connection.bytes);
    copy_int2(copy, model->id);
    copy_bytes(copy, ingest->chunks.items[i].id, sizeof ingest->chunks.items[i].id);
    copy_bytes(copy, document.bytes, sizeof document.bytes);
    copy_bytes(copy, half, HALFVEC_BYTES(model->dims));
    status = copy_flush(copy, false, err);
  }
  return status ? status : copy_end(copy, err);
}

static enum status copy_glossary(struct ingest *ingest, struct copy *copy, struct error *err) {
  static const char sql[] =
      "COPY autodb.glossary (connection_id, document_id, term, meaning, is_expression, heading, ordinal) FROM STDIN (FORMAT binary)";
  struct id connection, document;
  if (!ingest->definitions.count) return OK;
  if (!id_parse(ingest->job->connection_id, &connection) || !id_parse(ingest->document_id, &document))
    return error_set(err, ERR_INTERNAL, "an id is none");
  enum status status = copy_begin(copy, ingest->job->db, sql, 7, err);
  for (size_t i = 0; i < ingest->definitions.count && !status; i++) {
    const struct definition *definition = &ingest->definitions.items[i];
    copy_row(copy);
    copy_bytes(copy, connection.bytes, sizeof connection.bytes);
    copy_bytes(copy, document.bytes, sizeof document.bytes);
    copy_text(copy, definition->term);
    copy_text(copy, definition->meaning);
    copy_bool(copy, definition->is_expression);
    copy_text(copy, definition->heading);
    copy_int4(copy, (int)i);
    status = copy_flush(copy, false, err);
  }
  return status ? status : copy_end(copy, err);
}

static enum status set_done(struct ingest *ingest, struct error *err) {
  char chunks[16];
  snprintf(chunks, sizeof chunks, "%zu", ingest->chunks.count);
  const char *const params[] = {ingest->document_id,          ingest->job->id, ingest->attempt, chunks, ingest->made_as,
                                ingest->extract.content_type, ingest->sha256};
  return pg_exec(ingest->job->db, done_sql, 7, params, err);
}

static enum status set_failed(struct ingest *ingest, const char *code, const char *message, struct error *err) {
  json_t *json = json_pack("{s:s, s:s}", "code", code, "message", message);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  if (!text || arena_defer(ingest->arena, free, text)) return error_oom(err);
  const char *const params[] = {ingest->document_id, ingest->job->id, ingest->attempt, text};
  return pg_exec(ingest->job->db, failed_sql, 4, params, err);
}

/* --- the flip --- */

/* code NULL: the new chunks; else none, and why. */
static enum status replace(struct ingest *ingest, const char *code, const char *message, bool *ret_ours, struct error *err) {
  struct copy copy = {0};
  bool ours = false;
  enum status status = pg_script(ingest->job->db, "BEGIN", err);
  if (status) return status;
  status = lock(ingest, &ours, err);
  if (!status && ours) status = clear(ingest, err);
  if (!status && ours && code) status = set_failed(ingest, code, message, err);
  if (!status && ours && !code) {
    status = copy_chunks(ingest, &copy, err);
    if (!status) status = copy_vectors(ingest, &copy, err);
    if (!status) status = copy_glossary(ingest, &copy, err);
    if (!status) status = set_done(ingest, err);
  }
  if (!status) {
    *ret_ours = ours;
    return pg_script(ingest->job->db, "COMMIT", err);
  }
  copy_abort(&copy);
  ERROR_AUTO ignored = {0};
  if (pg_script(ingest->job->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}

/* --- the whole --- */

static enum status embed(struct ingest *ingest, struct error *err) {
  struct embed_text *texts = arena_calloc(ingest->arena, ingest->chunks.count + 1, sizeof *texts);
  if (!texts) return error_oom(err);
  for (size_t i = 0; i < ingest->chunks.count; i++)
    texts[i] = (struct embed_text){ingest->chunks.items[i].full, ingest->chunks.items[i].full_len};
  return embedder_run(ingest->embedder, EMBED_PASSAGE, texts, ingest->chunks.count, EMBED_MS, ingest->arena, &ingest->vectors, err);
}

/* The document's own faults are those that its bytes cause. */
static enum status read_document(struct ingest *ingest, struct error *err) {
  const struct ingest_source *source = ingest->source;
  if (source->fault) return error_set_code(err, ERR_VALIDATION, source->fault->code, "%s", source->fault->message);
  struct extract_source given = {ingest->name, source->bytes, source->len};
  enum status status = extract_document(&given, ingest->arena, &ingest->extract, err);
  if (!status) status = chunk_document(&ingest->extract, ingest->origin, ingest->name, ingest->arena, &ingest->chunks, err);
  if (!status && !ingest->chunks.count) status = error_set_code(err, ERR_VALIDATION, "EMPTY", "the document holds no text");
  return status ? status : definitions_of(&ingest->extract, ingest->arena, &ingest->definitions, err);
}

static enum status refuse(struct ingest *ingest, struct ingest_outcome *outcome, const struct error *why, struct error *err) {
  bool ours = false;
  outcome->state = INGEST_FAILED;
  outcome->chunks = 0;
  outcome->code = arena_strdup(ingest->job->arena, why->code);
  outcome->message = arena_strdup(ingest->job->arena, why->message);
  if (!outcome->code || !outcome->message) return error_oom(err);
  enum status status = replace(ingest, outcome->code, outcome->message, &ours, err);
  if (!status && !ours) outcome->state = INGEST_SUPERSEDED;
  return status;
}

static enum status run(struct ingest *ingest, struct ingest_outcome *outcome, struct error *err) {
  ERROR_AUTO fault = {0};
  bool ours = false;
  enum status status = take_up(ingest, outcome, err);
  if (status || outcome->state == INGEST_SUPERSEDED) return status;
  if (outcome->state == INGEST_UNCHANGED) {
    const char *const params[] = {ingest->document_id, ingest->job->id, ingest->attempt};
    return pg_exec(ingest->job->db, unchanged_sql, 3, params, err);
  }
  status = read_document(ingest, &fault);
  if (status == ERR_VALIDATION) return refuse(ingest, outcome, &fault, err);
  if (status) return error_set_code(err, status, fault.code, "%s", fault.message);
  outcome->content_type = ingest->extract.content_type;
  outcome->chunks = (int)ingest->chunks.count;
  status = embed(ingest, &fault);
  if (status == ERR_VALIDATION) return refuse(ingest, outcome, &fault, err); /* the provider will have none of it, today or tomorrow */
  if (status) return error_set_code(err, status, fault.code, "%s", fault.message);
  if ((status = replace(ingest, NULL, NULL, &ours, err))) return status;
  if (!ours) outcome->state = INGEST_SUPERSEDED;
  return OK;
}

enum status ingest_document(struct job *job, struct embedder *embedder, const struct ingest_source *source,
                            struct ingest_outcome *ret_outcome, struct error *err) {
  ARENA_AUTO arena = arena_new(SCRATCH_BYTES);
  if (!arena) return error_oom(err);
  struct ingest ingest = {.job = job, .embedder = embedder, .source = source, .arena = arena};
  struct ingest_outcome outcome = {.bytes = source->len};
  if (source->sha256)
    snprintf(ingest.sha256, sizeof ingest.sha256, "%s", source->sha256);
  else
    crypto_sha256_hex(source->bytes, source->len, ingest.sha256);
  memcpy(outcome.sha256, ingest.sha256, sizeof outcome.sha256);
  snprintf(ingest.attempt, sizeof ingest.attempt, "%d", job->attempt);
  snprintf(ingest.bytes, sizeof ingest.bytes, "%zu", source->len);
  ingest.made_as = made_as(&ingest);
  if (!ingest.made_as) return error_oom(err);
  enum status status = run(&ingest, &outcome, err);
  if (!status) *ret_outcome = outcome;
  return status;
}

json_t *ingest_json(const struct ingest_source *source, const struct ingest_outcome *outcome) {
  static const char *const names[] = {"ready", "ready", "failed", "superseded"};
  json_t *error = outcome->code ? json_pack("{s:s, s:s}", "code", outcome->code, "message", outcome->message) : json_null();
  return json_pack("{s:s?, s:s?, s:s, s:i, s:I, s:s, s:o}", "document_id", outcome->document_id, "name", source->name, "status",
                   names[outcome->state], "chunks", outcome->chunks, "bytes", (json_int_t)outcome->bytes, "sha256", outcome->sha256,
                   "error", error);
}
