/* ingest_rows.c - see ingest_rows.h. */
#include "worker/context/ingest_rows.h"

#include "common/id.h"
#include "common/log.h"
#include "common/pg.h"
#include "common/pgrows.h"
#include "worker/context/copy.h"
#include "worker/context/vector_rows.h"

/* --- taking up --- */

/* Both give: id, name, source, whether its chunks are of this content and made this way, how many, whether there are any. */
#define TAKEN \
  " RETURNING d.id, d.name, d.source, d.ingested_sha256 = d.sha256 AND d.ingested_as = $1, d.chunks, d.ingested_sha256 IS NOT NULL"
static const char take_sql[] =
    "UPDATE autodb.documents d SET status = 'processing', error = NULL, job_id = $5, attempt = $6, updated_at = now() "
    "WHERE d.id = $2 AND d.owner_id = $3 AND d.sha256 = $4 AND (d.job_id IS DISTINCT FROM $5::uuid OR d.attempt <= $6::integer)" TAKEN;
/* Of content that was given without a row. */
static const char make_sql[] =
    "INSERT INTO autodb.documents AS d (id, owner_id, connection_id, name, source, content_type, bytes, sha256, etag, status, job_id, "
    "attempt) SELECT g.id, $2, c.id, g.name, g.source, coalesce(g.content_type, 'application/octet-stream'), g.bytes, g.sha256, g.etag, "
    "'processing', $4, $5 FROM autodb.connections c, unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::int8[], $11::text[], "
    "$12::text[]) AS g (id, name, source, content_type, bytes, sha256, etag) WHERE c.id = $3 AND c.owner_id = $2 AND c.deleted_at IS NULL "
    "ON CONFLICT (connection_id, source, name) DO UPDATE SET bytes = excluded.bytes, sha256 = excluded.sha256, etag = excluded.etag, "
    "status = 'processing', error = NULL, job_id = excluded.job_id, attempt = excluded.attempt, updated_at = now() "
    "WHERE d.job_id IS DISTINCT FROM excluded.job_id OR d.attempt <= excluded.attempt" TAKEN;
enum { TAKE, MAKE };
static const struct pg_kept statements[] = {[TAKE] = {"ingest_take", take_sql}, [MAKE] = {"ingest_make", make_sql}, {0}};
static const char overtaken_sql[] =
    "SELECT d.id FROM autodb.connections c LEFT JOIN autodb.documents d ON d.connection_id = c.id AND d.source = $3 AND d.name = $4 "
    "WHERE c.id = $1 AND c.owner_id = $2 AND c.deleted_at IS NULL";

/* Nothing was made: a later attempt has the document, or there is no connection any more. */
static enum status find_overtaken(struct ingest *ingest, struct ingest_item *item, struct error *err) {
  const char *const params[] = {ingest->job->connection_id, ingest->job->owner_id, item->source->source, item->source->name};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, overtaken_sql, 4, params, &res, err);
  if (status) return status;
  if (!PQntuples(res)) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  item->outcome->document_id = arena_strdup(ingest->job->arena, pg_str(res, 0, 0));
  return OK;
}

static enum status taken(struct ingest *ingest, struct ingest_item *item, const PGresult *res, int row, struct error *err) {
  struct ingest_outcome *outcome = item->outcome;
  outcome->document_id = item->document_id = arena_strdup(ingest->job->arena, pg_str(res, row, 0));
  item->name = arena_strdup(ingest->arena, pg_str(res, row, 1));
  item->origin = arena_strdup(ingest->arena, pg_str(res, row, 2));
  outcome->state = pg_bool(res, row, 3) ? INGEST_UNCHANGED : INGEST_READY;
  outcome->chunks = (int)pg_int(res, row, 4, 0);
  item->has_rows = pg_bool(res, row, 5);
  return item->document_id && item->name && item->origin ? OK : error_oom(err);
}

static enum status take_one(struct ingest *ingest, struct ingest_item *item, struct error *err) {
  const char *const params[] = {ingest->made_as, item->source->document_id, ingest->job->owner_id,
                                item->sha256,    ingest->job->id,           ingest->attempt};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query_kept(ingest->job->db, statements, TAKE, 6, params, &res, err);
  if (status) return status;
  item->outcome->document_id = item->source->document_id;
  return PQntuples(res) ? taken(ingest, item, res, 0, err) : OK;
}

static struct ingest_item *find_item(struct ingest *ingest, const char *name, const char *source) {
  for (size_t i = 0; i < ingest->count; i++) {
    struct ingest_item *item = &ingest->items[i];
    if (strcmp(item->source->name, name) == 0 && strcmp(item->source->source, source) == 0) return item;
  }
  return NULL;
}

static enum status make_all(struct ingest *ingest, struct error *err) {
  const char *params[12] = {ingest->made_as, ingest->job->owner_id, ingest->job->connection_id, ingest->job->id, ingest->attempt};
  struct pg_rows rows;
  PGRESULT_AUTO res = NULL;
  pg_rows_init(&rows, ingest->arena, 7);
  for (size_t i = 0; i < ingest->count; i++) {
    struct ingest_item *item = &ingest->items[i];
    const struct ingest_source *source = item->source;
    struct id id;
    id_new(&id);
    pg_rows_add(&rows, (const char *const[]){id_format(&id, item->new_id), source->name, source->source, source->content_type, item->bytes,
                                             item->sha256, source->etag});
  }
  enum status status = pg_rows_params(&rows, params + 5, err);
  if (!status) status = pg_query_kept(ingest->job->db, statements, MAKE, 12, params, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) {
    struct ingest_item *item = find_item(ingest, pg_str(res, row, 1), pg_str(res, row, 2));
    status = item ? taken(ingest, item, res, row, err) : error_set(err, ERR_INTERNAL, "a document was made that nobody gave");
  }
  for (size_t i = 0; i < ingest->count && !status; i++)
    if (!ingest->items[i].document_id) status = find_overtaken(ingest, &ingest->items[i], err);
  return status;
}

enum status ingest_rows_take(struct ingest *ingest, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; i < ingest->count; i++) ingest->items[i].outcome->state = INGEST_SUPERSEDED;
  if (!ingest->items[0].source->document_id) return make_all(ingest, err);
  for (size_t i = 0; i < ingest->count && !status; i++) status = take_one(ingest, &ingest->items[i], err);
  return status;
}

/* --- how they end --- */

/* The fence: who was overtaken meanwhile changes no row. */
#define OURS " WHERE d.id = g.id AND d.sha256 = g.sha256 AND d.job_id = $1 AND d.attempt = $2"
static const char unchanged_sql[] =
    "UPDATE autodb.documents d SET status = 'ready', updated_at = now() FROM unnest($3::uuid[], $4::text[]) AS g (id, sha256)" OURS;
static const char ended_sql[] =
    "UPDATE autodb.documents d SET status = CASE WHEN g.error IS NULL THEN 'ready' ELSE 'failed' END, error = g.error::jsonb, "
    "chunks = g.chunks, updated_at = now(), ingested_sha256 = CASE WHEN g.error IS NULL THEN d.sha256 END, "
    "ingested_as = CASE WHEN g.error IS NULL THEN $3 END, model = CASE WHEN g.error IS NULL THEN $4::smallint END, "
    "content_type = coalesce(g.content_type, d.content_type), title = CASE WHEN g.error IS NULL THEN g.title ELSE d.title END, "
    "changed = CASE WHEN g.error IS NULL THEN pg_current_xact_id() ELSE d.changed END, "
    "ingested_at = CASE WHEN g.error IS NULL THEN now() ELSE d.ingested_at END "
    "FROM unnest($5::uuid[], $6::text[], $7::int4[], $8::text[], $9::text[], $10::text[]) AS g (id, sha256, chunks, content_type, title, "
    "error)" OURS " RETURNING d.id";

static enum status set_unchanged(struct ingest *ingest, struct error *err) {
  const char *params[4] = {ingest->job->id, ingest->attempt};
  struct pg_rows rows;
  pg_rows_init(&rows, ingest->arena, 2);
  for (size_t i = 0; i < ingest->count; i++) {
    const struct ingest_item *item = &ingest->items[i];
    if (item->outcome->state == INGEST_UNCHANGED) pg_rows_add(&rows, (const char *const[]){item->document_id, item->sha256});
  }
  if (!rows.count) return OK;
  enum status status = pg_rows_params(&rows, params + 2, err);
  return status ? status : pg_exec(ingest->job->db, unchanged_sql, 4, params, err);
}

static const char *error_text(struct ingest *ingest, const struct ingest_outcome *outcome) {
  json_t *json = json_pack("{s:s, s:s}", "code", outcome->code, "message", outcome->message);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  return text && arena_defer(ingest->arena, free, text) == 0 ? text : NULL;
}

struct ended { /* items that are READY or FAILED */
  struct ingest_item *items[INGEST_GROUP];
  size_t count;
  struct pg_rows rows;
};

static enum status list_ended(struct ingest *ingest, struct ended *ended, struct error *err) {
  pg_rows_init(&ended->rows, ingest->arena, 6);
  for (size_t i = 0; i < ingest->count; i++) {
    struct ingest_item *item = &ingest->items[i];
    bool failed = item->outcome->state == INGEST_FAILED;
    if (!failed && item->outcome->state != INGEST_READY) continue;
    const char *chunks = failed ? "0" : arena_printf(ingest->arena, "%zu", item->chunks.count);
    const char *error = failed ? error_text(ingest, item->outcome) : NULL;
    if (!chunks || (failed && !error)) return error_oom(err);
    pg_rows_add(&ended->rows, (const char *const[]){item->document_id, item->sha256, chunks, failed ? NULL : item->extract.content_type,
                                                    failed ? NULL : item->chunks.title, error});
    ended->items[ended->count++] = item;
  }
  return OK;
}

/* Sets their rows and takes those's locks; whose row is another's becomes SUPERSEDED. */
static enum status set_ended(struct ingest *ingest, const struct ended *ended, struct error *err) {
  char model[16];
  snprintf(model, sizeof model, "%d", embedder_model(ingest->embedder)->id);
  const char *params[10] = {ingest->job->id, ingest->attempt, ingest->made_as, model};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_rows_params(&ended->rows, params + 4, err);
  if (status) return status;
  /* Not a kept statement: planned for many rows or few, it would be the wrong one for most. */
  status = pg_query(ingest->job->db, ended_sql, 10, params, &res, err);
  for (size_t i = 0; i < ended->count && !status; i++) {
    bool ours = false;
    for (int row = 0; row < PQntuples(res) && !ours; row++) ours = strcmp(pg_str(res, row, 0), ended->items[i]->document_id) == 0;
    if (!ours) ended->items[i]->outcome->state = INGEST_SUPERSEDED;
  }
  return status;
}

static enum status clear(struct ingest *ingest, const struct ended *ended, struct error *err) {
  static const char *const sql[] = {"DELETE FROM autodb.chunk_vectors WHERE document_id = ANY ($1::uuid[])",
                                    "DELETE FROM autodb.chunks WHERE document_id = ANY ($1::uuid[])",
                                    "DELETE FROM autodb.glossary WHERE document_id = ANY ($1::uuid[])"};
  const char *ids[INGEST_GROUP];
  size_t count = 0;
  for (size_t i = 0; i < ended->count; i++)
    if (ended->items[i]->has_rows && ended->items[i]->outcome->state != INGEST_SUPERSEDED) ids[count++] = ended->items[i]->document_id;
  if (!count) return OK;
  const char *const param = pg_array_param(ingest->arena, ids, count);
  enum status status = param ? OK : error_oom(err);
  for (size_t i = 0; i < sizeof sql / sizeof *sql && !status; i++) status = pg_exec(ingest->job->db, sql[i], 1, &param, err);
  return status;
}

/* --- rows of one document --- */

static enum status put_chunks(const struct ingest_item *item, const struct id *connection, struct copy *copy, struct error *err) {
  struct id document;
  enum status status = id_parse(item->document_id, &document) ? OK : error_set(err, ERR_INTERNAL, "an id is none");
  for (size_t i = 0; i < item->chunks.count && !status; i++) {
    const struct chunk *chunk = &item->chunks.items[i];
    const struct term_list *terms = &item->terms[i];
    copy_row(copy);
    copy_bytes(copy, connection->bytes, sizeof connection->bytes);
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
  return status;
}

static enum status put_glossary(const struct ingest_item *item, const struct id *connection, struct copy *copy, struct error *err) {
  struct id document;
  enum status status = id_parse(item->document_id, &document) ? OK : error_set(err, ERR_INTERNAL, "an id is none");
  for (size_t i = 0; i < item->definitions.count && !status; i++) {
    const struct definition *definition = &item->definitions.items[i];
    copy_row(copy);
    copy_bytes(copy, connection->bytes, sizeof connection->bytes);
    copy_bytes(copy, document.bytes, sizeof document.bytes);
    copy_text(copy, definition->term);
    copy_text(copy, definition->meaning);
    copy_bool(copy, definition->is_expression);
    copy_text(copy, definition->heading);
    copy_int4(copy, (int)i);
    status = copy_flush(copy, false, err);
  }
  return status;
}

/* --- rows of all --- */

static bool is_ready(const struct ingest_item *item) { return item->outcome->state == INGEST_READY; }

static enum status copy_chunks(struct ingest *ingest, const struct id *connection, struct copy *copy, struct error *err) {
  static const char sql[] =
      "COPY autodb.chunks (connection_id, id, document_id, ordinal, page, first_byte, last_byte, heading, body, tables, "
      "terms, words) FROM STDIN (FORMAT binary)";
  enum status status = copy_begin(copy, ingest->job->db, sql, 12, err);
  for (size_t i = 0; i < ingest->count && !status; i++)
    if (is_ready(&ingest->items[i])) status = put_chunks(&ingest->items[i], connection, copy, err);
  return status ? status : copy_end(copy, err);
}

static enum status put_vectors(struct ingest *ingest, const struct ingest_item *item, struct copy *copy, struct error *err) {
  const uint8_t **ids = arena_calloc(ingest->arena, item->chunks.count + 1, sizeof *ids);
  if (!ids) return error_oom(err);
  for (size_t i = 0; i < item->chunks.count; i++) ids[i] = item->chunks.items[i].id;
  const struct vector_rows rows = {.connection_id = ingest->job->connection_id,
                                   .document_id = item->document_id,
                                   .model = embedder_model(ingest->embedder),
                                   .ids = ids,
                                   .vectors = item->vectors,
                                   .count = item->chunks.count};
  return vector_rows_put(&rows, copy, err);
}

static enum status copy_vectors(struct ingest *ingest, struct copy *copy, struct error *err) {
  enum status status = vector_rows_begin(copy, ingest->job->db, err);
  for (size_t i = 0; i < ingest->count && !status; i++)
    if (is_ready(&ingest->items[i])) status = put_vectors(ingest, &ingest->items[i], copy, err);
  return status ? status : copy_end(copy, err);
}

static enum status copy_glossary(struct ingest *ingest, const struct id *connection, struct copy *copy, struct error *err) {
  static const char sql[] =
      "COPY autodb.glossary (connection_id, document_id, term, meaning, is_expression, heading, ordinal) FROM STDIN (FORMAT binary)";
  size_t count = 0;
  for (size_t i = 0; i < ingest->count; i++) count += is_ready(&ingest->items[i]) ? ingest->items[i].definitions.count : 0;
  if (!count) return OK;
  enum status status = copy_begin(copy, ingest->job->db, sql, 7, err);
  for (size_t i = 0; i < ingest->count && !status; i++)
    if (is_ready(&ingest->items[i])) status = put_glossary(&ingest->items[i], connection, copy, err);
  return status ? status : copy_end(copy, err);
}

static enum status copy_rows(struct ingest *ingest, struct copy *copy, struct error *err) {
  struct id connection;
  size_t ready = 0;
  for (size_t i = 0; i < ingest->count; i++) ready += is_ready(&ingest->items[i]);
  if (!ready) return OK;
  if (!id_parse(ingest->job->connection_id, &connection)) return error_set(err, ERR_INTERNAL, "an id is none");
  enum status status = copy_chunks(ingest, &connection, copy, err);
  if (!status) status = copy_vectors(ingest, copy, err);
  return status ? status : copy_glossary(ingest, &connection, copy, err);
}

/* --- the flip --- */

static enum status put_rows(struct ingest *ingest, struct copy *copy, struct error *err) {
  struct ended ended = {0};
  enum status status = list_ended(ingest, &ended, err);
  if (!status) status = set_unchanged(ingest, err);
  if (!status && ended.count) status = set_ended(ingest, &ended, err);
  if (!status) status = clear(ingest, &ended, err);
  return status ? status : copy_rows(ingest, copy, err);
}

enum status ingest_rows_replace(struct ingest *ingest, struct error *err) {
  struct copy copy = {0};
  enum status status = pg_script(ingest->job->db, "BEGIN", err);
  if (status) return status;
  status = put_rows(ingest, &copy, err);
  if (!status) return pg_script(ingest->job->db, "COMMIT", err);
  copy_abort(&copy);
  ERROR_AUTO ignored = {0};
  if (pg_script(ingest->job->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}
