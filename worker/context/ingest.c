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
#include "worker/context/vector_rows.h"
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
  struct term_list *terms; /* a list and a vector for each chunk */
  const float *vectors;
  bool has_rows; /* of content that was ingested before */
};

/* --- taking it up --- */

/* Both give: id, name, source, whether its chunks are of this content and made this way, how many, whether there are any. */
#define TAKEN \
  " RETURNING d.id, d.name, d.source, d.ingested_sha256 = d.sha256 AND d.ingested_as = $1, d.chunks, d.ingested_sha256 IS NOT NULL"
static const char take_sql[] =
    "UPDATE autodb.documents d SET status = 'processing', error = NULL, job_id = $5, attempt = $6, updated_at = now() "
    "WHERE d.id = $2 AND d.owner_id = $3 AND d.sha256 = $4 AND (d.job_id IS DISTINCT FROM $5::uuid OR d.attempt <= $6::integer)" TAKEN;
/* Of content that was given without a row. */
static const char make_sql[] =
    "INSERT INTO autodb.documents AS d (id, owner_id, connection_id, name, source, content_type, bytes, sha256, etag, status, job_id, "
    "attempt) "
    "SELECT $2, $3, c.id, $7, $8, $9, $10, $4, $11, 'processing', $5, $6 FROM autodb.connections c WHERE c.id = $12 AND c.owner_id = $3 "
    "AND "
    "c.deleted_at IS NULL ON CONFLICT (connection_id, source, name) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256, etag = "
    "excluded.etag, status = 'processing', error = NULL, job_id = excluded.job_id, attempt = excluded.attempt, updated_at = now() "
    "WHERE d.job_id IS DISTINCT FROM excluded.job_id OR d.attempt <= excluded.attempt" TAKEN;
/* The fence: who was overtaken meanwhile changes no row. */
#define OURS " WHERE id = $1 AND job_id = $2 AND attempt = $3 AND sha256 = $4"
static const char done_sql[] =
    "UPDATE autodb.documents SET status = 'ready', error = NULL, chunks = $5, ingested_sha256 = sha256, ingested_as = $6, content_type = "
    "$7, "
    "title = $8, model = $9, changed = pg_current_xact_id(), ingested_at = now(), updated_at = now()" OURS " RETURNING id";
static const char unchanged_sql[] = "UPDATE autodb.documents SET status = 'ready', updated_at = now()" OURS;
static const char failed_sql[] =
    "UPDATE autodb.documents SET status = 'failed', error = $5, chunks = 0, model = NULL, ingested_sha256 = NULL, ingested_as = "
    "NULL, updated_at = now()" OURS " RETURNING id";
enum { TAKE, MAKE, DONE, FAILED };
static const struct pg_kept statements[] = {[TAKE] = {"ingest_take", take_sql},
                                            [MAKE] = {"ingest_make", make_sql},
                                            [DONE] = {"ingest_done", done_sql},
                                            [FAILED] = {"ingest_failed", failed_sql},
                                            {0}};
static const char overtaken_sql[] =
    "SELECT d.id FROM autodb.connections c LEFT JOIN autodb.documents d ON d.connection_id = c.id AND d.source = $3 AND d.name = $4 "
    "WHERE c.id = $1 AND c.owner_id = $2 AND c.deleted_at IS NULL";

/* Nothing was made: a later attempt has the document, or there is no connection any more. */
static enum status find_overtaken(struct ingest *ingest, struct ingest_outcome *outcome, struct error *err) {
  const char *const params[] = {ingest->job->connection_id, ingest->job->owner_id, ingest->source->source, ingest->source->name};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, overtaken_sql, 4, params, &res, err);
  if (status) return status;
  if (!PQntuples(res)) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  outcome->document_id = arena_strdup(ingest->job->arena, pg_str(res, 0, 0));
  return OK;
}

/* What the chunks are made of and by: documents ingested otherwise are ingested again. */
static const char *made_as(const struct ingest *ingest) {
  const struct embed_model *model = embedder_model(ingest->embedder);
  return arena_printf(ingest->arena, CHUNK_VERSION " %s/%d", model->label, model->dims);
}

static enum status take_up(struct ingest *ingest, struct ingest_outcome *outcome, struct error *err) {
  const struct ingest_source *source = ingest->source;
  struct id id;
  char text[ID_TEXT];
  id_new(&id);
  const char *const params[] = {ingest->made_as,
                                source->document_id ? source->document_id : id_format(&id, text),
                                ingest->job->owner_id,
                                ingest->sha256,
                                ingest->job->id,
                                ingest->attempt,
                                source->name,
                                source->source,
                                source->content_type ? source->content_type : "application/octet-stream",
                                ingest->bytes,
                                source->etag,
                                ingest->job->connection_id};
  PGRESULT_AUTO res = NULL;
  enum status status =
      pg_query_kept(ingest->job->db, statements, source->document_id ? TAKE : MAKE, source->document_id ? 6 : 12, params, &res, err);
  if (status) return status;
  outcome->state = INGEST_SUPERSEDED;
  outcome->document_id = source->document_id;
  if (!PQntuples(res)) return source->document_id ? OK : find_overtaken(ingest, outcome, err);
  outcome->document_id = ingest->document_id = arena_strdup(ingest->job->arena, pg_str(res, 0, 0));
  ingest->name = arena_strdup(ingest->arena, pg_str(res, 0, 1));
  ingest->origin = arena_strdup(ingest->arena, pg_str(res, 0, 2));
  outcome->state = pg_bool(res, 0, 3) ? INGEST_UNCHANGED : INGEST_READY;
  outcome->chunks = (int)pg_int(res, 0, 4, 0);
  ingest->has_rows = pg_bool(res, 0, 5);
  return ingest->document_id && ingest->name && ingest->origin ? OK : error_oom(err);
}

/* --- how it ends --- */

static const char *const clear_sql[] = {"DELETE FROM autodb.chunk_vectors WHERE document_id = $1",
                                        "DELETE FROM autodb.chunks WHERE document_id = $1",
                                        "DELETE FROM autodb.glossary WHERE document_id = $1"};

static enum status clear(struct ingest *ingest, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; i < sizeof clear_sql / sizeof *clear_sql && !status && ingest->has_rows; i++)
    status = pg_exec(ingest->job->db, clear_sql[i], 1, &ingest->document_id, err);
  return status;
}

/* --- rows --- */

static enum status copy_chunks(struct ingest *ingest, struct copy *copy, struct error *err) {
  static const char sql[] =
      "COPY autodb.chunks (connection_id, id, document_id, ordinal, page, first_byte, last_byte, heading, body, tables, "
      "terms, words) FROM STDIN (FORMAT binary)";
  struct id connection, document;
  enum status status = copy_begin(copy, ingest->job->db, sql, 12, err);
  if (!id_parse(ingest->job->connection_id, &connection) || !id_parse(ingest->document_id, &document))
    return error_set(err, ERR_INTERNAL, "an id is none");
  for (size_t i = 0; i < ingest->chunks.count && !status; i++) {
    const struct chunk *chunk = &ingest->chunks.items[i];
    const struct term_list *terms = &ingest->terms[i];
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
    copy_int4_array(copy, terms->terms, terms->count);
    copy_bytes(copy, terms->words, terms->count * TERM_BYTES);
    status = copy_flush(copy, false, err);
  }
  return status ? status : copy_end(copy, err);
}

static enum status copy_vectors(struct ingest *ingest, struct copy *copy, struct error *err) {
  const struct embed_model *model = embedder_model(ingest->embedder);
  const uint8_t **ids = arena_calloc(ingest->arena, ingest->chunks.count + 1, sizeof *ids);
  if (!ids) return error_oom(err);
  for (size_t i = 0; i < ingest->chunks.count; i++) ids[i] = ingest->chunks.items[i].id;
  const struct vector_rows rows = {.connection_id = ingest->job->connection_id,
                                   .document_id = ingest->document_id,
                                   .model = model,
                                   .ids = ids,
                                   .vectors = ingest->vectors,
                                   .count = ingest->chunks.count};
  return vector_rows_copy(&rows, ingest->job->db, copy, err);
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

/* Sets the row and takes its lock; false when somebody else has the document now. */
static enum status set_done(struct ingest *ingest, bool *ret_ours, struct error *err) {
  char chunks[16], model[16];
  snprintf(chunks, sizeof chunks, "%zu", ingest->chunks.count);
  snprintf(model, sizeof model, "%d", embedder_model(ingest->embedder)->id);
  const char *const params[] = {ingest->document_id,
                                ingest->job->id,
                                ingest->attempt,
                                ingest->sha256,
                                chunks,
                                ingest->made_as,
                                ingest->extract.content_type,
                                ingest->chunks.title,
                                model};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query_kept(ingest->job->db, statements, DONE, 9, params, &res, err);
  if (!status) *ret_ours = PQntuples(res) == 1;
  return status;
}

static enum status set_failed(struct ingest *ingest, const char *code, const char *message, bool *ret_ours, struct error *err) {
  json_t *json = json_pack("{s:s, s:s}", "code", code, "message", message);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  if (!text || arena_defer(ingest->arena, free, text)) return error_oom(err);
  const char *const params[] = {ingest->document_id, ingest->job->id, ingest->attempt, ingest->sha256, text};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query_kept(ingest->job->db, statements, FAILED, 5, params, &res, err);
  if (!status) *ret_ours = PQntuples(res) == 1;
  return status;
}

/* --- the flip --- */

/* code NULL: the new chunks; else none, and why. */
static enum status put_rows(struct ingest *ingest, const char *code, const char *message, struct copy *copy, bool *ret_ours,
                            struct error *err) {
  enum status status = code ? set_failed(ingest, code, message, ret_ours, err) : set_done(ingest, ret_ours, err);
  if (status || !*ret_ours) return status;
  status = clear(ingest, err);
  if (status || code) return status;
  status = copy_chunks(ingest, copy, err);
  if (!status) status = copy_vectors(ingest, copy, err);
  return status ? status : copy_glossary(ingest, copy, err);
}

static enum status replace(struct ingest *ingest, const char *code, const char *message, bool *ret_ours, struct error *err) {
  struct copy copy = {0};
  enum status status = pg_script(ingest->job->db, "BEGIN", err);
  if (status) return status;
  status = put_rows(ingest, code, message, &copy, ret_ours, err);
  if (!status) return pg_script(ingest->job->db, "COMMIT", err);
  copy_abort(&copy);
  ERROR_AUTO ignored = {0};
  if (pg_script(ingest->job->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}

/* --- the whole --- */

/* The words of each chunk, as the search by word has them; and its vector, where vectors are made of words. */
static enum status read_words(struct ingest *ingest, float *vectors, struct error *err) {
  struct lexicon *lexicon = lexicon_shared();
  size_t dims = (size_t)embedder_model(ingest->embedder)->dims;
  ingest->terms = arena_calloc(ingest->arena, ingest->chunks.count + 1, sizeof *ingest->terms);
  if (!lexicon || !ingest->terms) return error_oom(err);
  for (size_t i = 0; i < ingest->chunks.count; i++) {
    const struct chunk *chunk = &ingest->chunks.items[i];
    struct lexicon_list list;
    if (!lexicon_read(lexicon, chunk->full, chunk->full_len, &list)) return error_oom(err);
    if (!terms_of(&list, ingest->job->connection_id, ingest->arena, &ingest->terms[i])) return error_oom(err);
    if (vectors) embedder_words(ingest->embedder, EMBED_PASSAGE, &list, vectors + i * dims);
  }
  return OK;
}

static enum status embed(struct ingest *ingest, struct error *err) {
  size_t count = ingest->chunks.count, dims = (size_t)embedder_model(ingest->embedder)->dims;
  bool of_words = embedder_takes_words(ingest->embedder);
  float *vectors = of_words ? arena_calloc(ingest->arena, count * dims + 1, sizeof *vectors) : NULL;
  struct embed_text *texts = arena_calloc(ingest->arena, count + 1, sizeof *texts);
  if (!texts || (of_words && !vectors)) return error_oom(err);
  enum status status = read_words(ingest, vectors, err);
  ingest->vectors = vectors;
  if (status || of_words) return status;
  for (size_t i = 0; i < count; i++) texts[i] = (struct embed_text){ingest->chunks.items[i].full, ingest->chunks.items[i].full_len};
  return embedder_run(ingest->embedder, EMBED_PASSAGE, texts, count, EMBED_MS, ingest->arena, &ingest->vectors, err);
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
    const char *const params[] = {ingest->document_id, ingest->job->id, ingest->attempt, ingest->sha256};
    return pg_exec(ingest->job->db, unchanged_sql, 4, params, err);
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

void ingest_hurry(PGconn *db, bool hurry) {
  ERROR_AUTO err = {0}; /* a session that can't be told is lost, as the next statement will find */
  if (pg_script(db, hurry ? "SET synchronous_commit = off" : "RESET synchronous_commit", &err))
    log_event(LOG_DEBUG, "commits are as they were", "reason", err.message, NULL);
}

void ingest_settle(PGconn *db) {
  ERROR_AUTO err = {0};
  if (pg_script(db, "SELECT gin_clean_pending_list('autodb.chunks_terms')", &err))
    log_event(LOG_WARN, "new words are merged into their index later", "reason", err.message, NULL);
}

json_t *ingest_json(const struct ingest_source *source, const struct ingest_outcome *outcome) {
  static const char *const names[] = {"ready", "ready", "failed", "superseded"};
  json_t *error = outcome->code ? json_pack("{s:s, s:s}", "code", outcome->code, "message", outcome->message) : json_null();
  return json_pack("{s:s?, s:s?, s:s, s:i, s:I, s:s, s:o}", "document_id", outcome->document_id, "name", source->name, "status",
                   names[outcome->state], "chunks", outcome->chunks, "bytes", (json_int_t)outcome->bytes, "sha256", outcome->sha256,
                   "error", error);
}
