/* ingest.c - see ingest.h: take documents up, read them, cut them, embed them, and replace what was there in one transaction. */
#include "worker/context/ingest.h"

#include "common/json.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/context/ingest_rows.h"

#define SCRATCH_BYTES ((size_t)512 << 20)
#define EMBED_MS (10 * 60 * 1000)

/* --- reading --- */

/* The document's own faults are those that its bytes cause: outcomes. */
static enum status fail(struct ingest *ingest, struct ingest_item *item, const struct error *why, struct error *err) {
  struct ingest_outcome *outcome = item->outcome;
  outcome->state = INGEST_FAILED;
  outcome->chunks = 0;
  outcome->code = arena_strdup(ingest->job->arena, why->code);
  outcome->message = arena_strdup(ingest->job->arena, why->message);
  return outcome->code && outcome->message ? OK : error_oom(err);
}

static enum status read_document(struct ingest *ingest, struct ingest_item *item, struct error *err) {
  const struct ingest_source *source = item->source;
  if (source->fault) return error_set_code(err, ERR_VALIDATION, source->fault->code, "%s", source->fault->message);
  struct extract_source given = {item->name, source->bytes, source->len};
  enum status status = extract_document(&given, ingest->arena, &item->extract, err);
  if (!status) status = chunk_document(&item->extract, item->origin, item->name, ingest->arena, &item->chunks, err);
  if (!status && !item->chunks.count) status = error_set_code(err, ERR_VALIDATION, "EMPTY", "the document holds no text");
  return status ? status : definitions_of(&item->extract, ingest->arena, &item->definitions, err);
}

/* --- embedding --- */

/* The words of each chunk, as the search by word has them; and its vector, where vectors are made of words. */
static enum status read_words(struct ingest *ingest, struct ingest_item *item, struct error *err) {
  struct lexicon *lexicon = lexicon_shared();
  size_t count = item->chunks.count, dims = (size_t)embedder_model(ingest->embedder)->dims;
  bool of_words = embedder_takes_words(ingest->embedder);
  float *vectors = of_words ? arena_calloc(ingest->arena, count * dims + 1, sizeof *vectors) : NULL;
  item->terms = arena_calloc(ingest->arena, count + 1, sizeof *item->terms);
  if (!lexicon || !item->terms || (of_words && !vectors)) return error_oom(err);
  for (size_t i = 0; i < count; i++) {
    const struct chunk *chunk = &item->chunks.items[i];
    struct lexicon_list list;
    if (!lexicon_read(lexicon, chunk->full, chunk->full_len, &list)) return error_oom(err);
    if (!terms_of(&list, ingest->job->connection_id, ingest->arena, &item->terms[i])) return error_oom(err);
    if (vectors) embedder_words(ingest->embedder, EMBED_PASSAGE, &list, vectors + i * dims);
  }
  item->vectors = vectors;
  return OK;
}

/* Of all in one go, so that a provider is asked as seldom as it may be. */
static enum status ask(struct ingest *ingest, struct ingest_item *items, size_t count, struct error *err) {
  size_t total = 0, dims = (size_t)embedder_model(ingest->embedder)->dims, n = 0;
  const float *vectors = NULL;
  for (size_t i = 0; i < count; i++) total += items[i].outcome->state == INGEST_READY ? items[i].chunks.count : 0;
  struct embed_text *texts = arena_calloc(ingest->arena, total + 1, sizeof *texts);
  if (!texts) return error_oom(err);
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; items[i].outcome->state == INGEST_READY && k < items[i].chunks.count; k++, n++)
      texts[n] = (struct embed_text){items[i].chunks.items[k].full, items[i].chunks.items[k].full_len};
  enum status status = total ? embedder_run(ingest->embedder, EMBED_PASSAGE, texts, total, EMBED_MS, ingest->arena, &vectors, err) : OK;
  for (size_t i = 0; i < count && !status; i++) {
    if (items[i].outcome->state != INGEST_READY) continue;
    items[i].vectors = vectors;
    vectors += items[i].chunks.count * dims;
  }
  return status;
}

/* What the provider will have none of, today or tomorrow, is the document's fault, unless it has none of a mere word either: then the job
 * fails, and the documents are found as before. Of one among several it is asked one by one which. */
static enum status ask_for_vectors(struct ingest *ingest, struct error *err) {
  ERROR_AUTO fault = {0};
  enum status status = ask(ingest, ingest->items, ingest->count, &fault);
  if (status != ERR_VALIDATION) return status ? error_set_code(err, status, fault.code, "%s", fault.message) : OK;
  if ((status = embedder_check(ingest->embedder, err))) return status;
  for (size_t i = 0; i < ingest->count; i++) {
    struct ingest_item *item = &ingest->items[i];
    error_clear(&fault);
    status = ask(ingest, item, 1, &fault);
    if (status && status != ERR_VALIDATION) return error_set_code(err, status, fault.code, "%s", fault.message);
    if (status && (status = fail(ingest, item, &fault, err))) return status;
  }
  return OK;
}

static enum status read_all(struct ingest *ingest, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; i < ingest->count && !status; i++) {
    ERROR_AUTO fault = {0};
    struct ingest_item *item = &ingest->items[i];
    if (item->outcome->state != INGEST_READY) continue;
    status = read_document(ingest, item, &fault);
    if (status == ERR_VALIDATION)
      status = fail(ingest, item, &fault, err);
    else if (status)
      return error_set_code(err, status, fault.code, "%s", fault.message);
    else if (!(status = read_words(ingest, item, err))) {
      item->outcome->content_type = item->extract.content_type;
      item->outcome->chunks = (int)item->chunks.count;
    }
  }
  return status || embedder_takes_words(ingest->embedder) ? status : ask_for_vectors(ingest, err);
}

/* --- the whole --- */

/* Rows are locked in this order, so that two jobs of the same documents wait for each other and don't embrace. */
static int by_name(const void *a, const void *b) {
  const struct ingest_source *x = ((const struct ingest_item *)a)->source, *y = ((const struct ingest_item *)b)->source;
  int source = strcmp(x->source, y->source);
  return source ? source : strcmp(x->name, y->name);
}

static enum status prepare(struct ingest *ingest, const struct ingest_source *sources, struct ingest_outcome *outcomes, struct error *err) {
  const struct embed_model *model = embedder_model(ingest->embedder);
  ingest->made_as = arena_printf(ingest->arena, CHUNK_VERSION " %s/%d", model->label, model->dims);
  ingest->items = arena_calloc(ingest->arena, ingest->count + 1, sizeof *ingest->items);
  if (!ingest->made_as || !ingest->items) return error_oom(err);
  snprintf(ingest->attempt, sizeof ingest->attempt, "%d", ingest->job->attempt);
  for (size_t i = 0; i < ingest->count; i++) {
    struct ingest_item *item = &ingest->items[i];
    *item = (struct ingest_item){.source = &sources[i], .outcome = &outcomes[i]};
    if (sources[i].sha256)
      snprintf(item->sha256, sizeof item->sha256, "%s", sources[i].sha256);
    else
      crypto_sha256_hex(sources[i].bytes, sources[i].len, item->sha256);
    snprintf(item->bytes, sizeof item->bytes, "%zu", sources[i].len);
    outcomes[i] = (struct ingest_outcome){.bytes = sources[i].len};
    memcpy(outcomes[i].sha256, item->sha256, sizeof outcomes[i].sha256);
  }
  qsort(ingest->items, ingest->count, sizeof *ingest->items, by_name);
  return OK;
}

enum status ingest_documents(struct job *job, struct embedder *embedder, const struct ingest_source *sources, size_t count,
                             struct ingest_outcome *ret_outcomes, struct error *err) {
  ARENA_AUTO arena = arena_new(SCRATCH_BYTES);
  if (!arena) return error_oom(err);
  if (!count || count > INGEST_GROUP) return error_set(err, ERR_INTERNAL, "documents of a group are 1 to %d", INGEST_GROUP);
  struct ingest ingest = {.job = job, .embedder = embedder, .arena = arena, .count = count};
  enum status status = prepare(&ingest, sources, ret_outcomes, err);
  if (!status) status = ingest_rows_take(&ingest, err);
  if (!status) status = read_all(&ingest, err);
  return status ? status : ingest_rows_replace(&ingest, err);
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
