/* s3_batch.c - one batch: what an earlier attempt has done is found in documents, what is left is read, ingested and told in groups.
 *
 * An attempt may end anywhere. Then the next finds out what became of its objects, and counts from there on which object it begins: one
 * that was begun LIMIT_S3_OBJECT_TRIES times and never settled is what kills its readers, and is left alone. */
#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "common/pgrows.h"
#include "worker/context/ingest.h"
#include "worker/context/s3_fetch.h"
#include "worker/context/s3_ingest.h"

#define TELL_MS 1000
#define SILENCE_MAX 8 /* objects in a row that the store doesn't answer for: it is the store */

struct row {
  const char *n;
  int tries;
};
struct mark { /* what became of an object, not yet told */
  const char *n, *state, *error;
  char chunks[16];
};
struct batch {
  struct job *job;
  const char *ingest, *number, *region;
  struct s3_source source;
  struct embedder *embedder;
  struct row *rows;
  struct s3_wanted *wanted;
  size_t count;
  struct mark marks[INGEST_GROUP];
  size_t mark_count;
  struct s3_fetched group[INGEST_GROUP]; /* to be ingested together */
  size_t group_count, group_bytes;
  int64_t group_ms; /* since when */
  int64_t told_ms, progress_ms;
  long long done;
  bool ended; /* the ingest has, or the batch is another job's */
  int silent; /* objects in a row without an answer */
  bool again; /* some are left for another attempt */
  struct error why;
};

/* --- what there is to do --- */

/* $4: of the documents' source, in front of the key. Counts anew: what was settled while the ingest was cancelled, or the batch another
 * job's, nobody counted. */
static const char settle_sql[] =
    "WITH settled AS (UPDATE autodb.s3_objects o SET state = 'ingested', chunks = d.chunks FROM autodb.documents d "
    "WHERE o.ingest_id = $1 AND o.batch = $2 AND o.state = 'waiting' AND o.etag <> '' AND d.connection_id = $5 AND d.source = $4::text || "
    "o.key "
    "AND d.name = o.key AND d.etag = o.etag AND d.bytes = o.bytes AND d.status = 'ready' RETURNING o.n) "
    "UPDATE autodb.s3_batches b SET done = (SELECT count(*) FROM autodb.s3_objects o WHERE o.ingest_id = $1 AND o.batch = $2 AND o.state "
    "<> "
    "'waiting') + (SELECT count(*) FROM settled) FROM autodb.s3_ingests i "
    "WHERE b.ingest_id = $1 AND b.batch = $2 AND b.job_id = $3 AND i.job_id = b.ingest_id "
    "AND EXISTS (SELECT FROM autodb.queue q WHERE q.id = $1) RETURNING i.region, b.done";
static const char rows_sql[] =
    "SELECT n, key, etag, bytes, tries FROM autodb.s3_objects WHERE ingest_id = $1 AND batch = $2 AND state = 'waiting' "
    "ORDER BY n LIMIT " LIMIT_TEXT(LIMIT_S3_BATCH_OBJECTS);

static enum status settle(struct batch *batch, struct error *err) {
  struct job *job = batch->job;
  const char *const params[] = {batch->ingest, batch->number, job->id, batch->source.origin, job->connection_id};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(job->db, settle_sql, 5, params, &res, err);
  if (status) return status;
  batch->ended = PQntuples(res) == 0;
  if (batch->ended) return OK;
  batch->region = arena_strdup(job->arena, pg_str(res, 0, 0));
  batch->done = pg_int(res, 0, 1, 0);
  return OK;
}

static enum status load(struct batch *batch, struct error *err) {
  struct arena *arena = batch->job->arena;
  const char *const params[] = {batch->ingest, batch->number};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(batch->job->db, rows_sql, 2, params, &res, err);
  if (status) return status;
  batch->count = (size_t)PQntuples(res);
  batch->rows = arena_calloc(arena, batch->count + 1, sizeof *batch->rows);
  batch->wanted = arena_calloc(arena, batch->count + 1, sizeof *batch->wanted);
  if (!batch->rows || !batch->wanted) return error_oom(err);
  for (int i = 0; i < PQntuples(res); i++) {
    batch->rows[i] = (struct row){arena_strdup(arena, pg_str(res, i, 0)), (int)pg_int(res, i, 4, 0)};
    batch->wanted[i] =
        (struct s3_wanted){arena_strdup(arena, pg_str(res, i, 1)), arena_strdup(arena, pg_str(res, i, 2)), pg_int(res, i, 3, 0)};
    if (!batch->rows[i].n || !batch->wanted[i].key || !batch->wanted[i].etag) return error_oom(err);
  }
  return OK;
}

/* --- telling --- */

static const char mark_sql[] =
    "WITH marked AS (UPDATE autodb.s3_objects o SET state = g.state, chunks = g.chunks, error = g.error::jsonb "
    "FROM unnest($4::int8[], $5::text[], $6::int4[], $7::text[]) AS g(n, state, chunks, error) "
    "WHERE o.ingest_id = $1 AND o.batch = $2 AND o.n = g.n AND o.state = 'waiting' RETURNING o.n) "
    "UPDATE autodb.s3_batches b SET done = b.done + (SELECT count(*) FROM marked) WHERE b.ingest_id = $1 AND b.batch = $2 AND b.job_id = "
    "$3 "
    "AND EXISTS (SELECT FROM autodb.queue q WHERE q.id = $1) RETURNING b.done";
static const char tried_sql[] = "UPDATE autodb.s3_objects SET tries = tries + 1 WHERE ingest_id = $1 AND batch = $2 AND n = $3";
/* Of the job this is a part of, while it waits. */
static const char progress_sql[] =
    "UPDATE autodb.queue q SET progress_seq = q.progress_seq + 1, progress = json_build_object('percent', least(99, t.done * 100 / "
    "greatest(t.total, 1)), 'step', 'objects', 'message', t.done || ' of ' || t.total || ' objects', 'done', t.done, 'total', t.total) "
    "FROM (SELECT coalesce(sum(b.done), 0) AS done, coalesce(sum(b.objects), 0) AS total FROM autodb.s3_batches b WHERE b.ingest_id = $1) "
    "t "
    "WHERE q.id = $1 AND q.state = 'queued'";
/* Whoever settles the last object has the job looked at now. */
static const char wake_sql[] =
    "UPDATE autodb.queue q SET run_at = now(), dispatched_at = NULL FROM autodb.s3_ingests i WHERE q.id = $1 AND q.state = 'queued' "
    "AND i.job_id = q.id AND i.listed_all AND NOT EXISTS (SELECT FROM autodb.s3_batches b WHERE b.ingest_id = $1 AND b.done < b.objects)";

static enum status tell(struct batch *batch, struct error *err) {
  const char *params[7] = {batch->ingest, batch->number, batch->job->id};
  struct pg_rows rows;
  if (!batch->mark_count) return OK;
  pg_rows_init(&rows, batch->job->arena, 4);
  for (size_t i = 0; i < batch->mark_count; i++) {
    const struct mark *mark = &batch->marks[i];
    pg_rows_add(&rows, (const char *const[]){mark->n, mark->state, mark->chunks, mark->error});
  }
  enum status status = pg_rows_params(&rows, params + 3, err);
  if (status) return status;
  batch->mark_count = 0;
  PGRESULT_AUTO res = NULL;
  status = pg_query(batch->job->db, mark_sql, 7, params, &res, err);
  if (status) return status;
  batch->ended = PQntuples(res) == 0;
  batch->done = pg_int(res, 0, 0, batch->done);
  batch->told_ms = clock_mono_ms();
  if (batch->told_ms - batch->progress_ms < TELL_MS) return OK;
  batch->progress_ms = batch->told_ms;
  return pg_exec(batch->job->db, progress_sql, 1, &batch->ingest, err);
}

/* error: JSON text, or NULL. */
static enum status mark(struct batch *batch, size_t index, const char *state, int chunks, const char *error, struct error *err) {
  struct mark *at = &batch->marks[batch->mark_count++];
  *at = (struct mark){.n = batch->rows[index].n, .state = state, .error = error};
  snprintf(at->chunks, sizeof at->chunks, "%d", chunks);
  bool now = batch->mark_count == INGEST_GROUP || clock_mono_ms() - batch->told_ms >= TELL_MS;
  return now ? tell(batch, err) : OK;
}

static enum status mark_failed(struct batch *batch, size_t index, const char *code, const char *message, struct error *err) {
  json_t *json = json_pack("{s:s, s:s}", "code", code, "message", message);
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  json_decref(json);
  const char *copy = arena_strdup(batch->job->arena, text);
  free(text);
  return copy ? mark(batch, index, "failed", 0, copy, err) : error_oom(err);
}

/* --- one object --- */

static enum status tried(struct batch *batch, size_t index, struct error *err) {
  const char *const params[] = {batch->ingest, batch->number, batch->rows[index].n};
  batch->rows[index].tries++;
  return pg_exec(batch->job->db, tried_sql, 3, params, err);
}

/* The store did not answer for it: another attempt may, until it was tried often enough. */
static enum status unanswered(struct batch *batch, const struct s3_fetched *fetched, struct error *err) {
  enum status status = tried(batch, fetched->index, err);
  if (status) return status;
  batch->silent++;
  if (batch->rows[fetched->index].tries >= LIMIT_S3_OBJECT_TRIES)
    return mark_failed(batch, fetched->index, fetched->code, fetched->message, err);
  batch->again = true;
  error_set_code(&batch->why, ERR_UNAVAILABLE, fetched->code, "%s", fetched->message);
  return batch->silent < SILENCE_MAX ? OK : error_set_code(err, ERR_UNAVAILABLE, fetched->code, "%s", fetched->message);
}

/* What the document itself caused; all else is the job's. */
static bool is_its_own(enum status status) { return status == ERR_INTERNAL || status == ERR_TOO_LARGE; }

static enum status mark_outcome(struct batch *batch, size_t index, const struct ingest_outcome *outcome, struct error *err) {
  switch (outcome->state) {
  case INGEST_READY: return mark(batch, index, "ingested", outcome->chunks, NULL, err);
  case INGEST_UNCHANGED: return mark(batch, index, "unchanged", outcome->chunks, NULL, err);
  case INGEST_FAILED: return mark_failed(batch, index, outcome->code, outcome->message, err);
  case INGEST_SUPERSEDED: break;
  }
  return mark_failed(batch, index, "SUPERSEDED", "another job has given it newer content, or it was deleted", err);
}

static enum status ingest(struct batch *batch, const struct s3_fetched *fetched, size_t count, struct error *err) {
  struct ingest_source sources[INGEST_GROUP] = {0};
  struct ingest_outcome outcomes[INGEST_GROUP] = {0};
  for (size_t i = 0; i < count; i++) {
    const char *key = batch->wanted[fetched[i].index].key;
    sources[i] = (struct ingest_source){.name = key,
                                        .source = arena_printf(batch->job->arena, "%s%s", batch->source.origin, key),
                                        .etag = fetched[i].etag,
                                        .bytes = buf_str(&fetched[i].content),
                                        .len = fetched[i].content.len};
    if (!sources[i].source) return error_oom(err);
  }
  enum status status = ingest_documents(batch->job, batch->embedder, sources, count, outcomes, err);
  if (is_its_own(status) && count == 1) return mark_failed(batch, fetched->index, err->code, err->message, err);
  if (is_its_own(status)) { /* of one of them */
    error_clear(err);
    status = OK;
    for (size_t i = 0; i < count && !status; i++) status = ingest(batch, &fetched[i], 1, err);
    return status;
  }
  for (size_t i = 0; i < count && !status; i++) status = mark_outcome(batch, fetched[i].index, &outcomes[i], err);
  return status;
}

/* --- objects that were read --- */

static void drop_group(struct batch *batch) {
  for (size_t i = 0; i < batch->group_count; i++) buf_free(&batch->group[i].content);
  batch->group_count = batch->group_bytes = 0;
}

static enum status ingest_group(struct batch *batch, struct error *err) {
  enum status status = batch->group_count ? ingest(batch, batch->group, batch->group_count, err) : OK;
  drop_group(batch);
  return status;
}

/* fetched's content becomes the group's. */
static enum status add(struct batch *batch, struct s3_fetched *fetched, struct error *err) {
  bool counts = batch->job->attempt > 1 || batch->rows[fetched->index].tries; /* alone, for it may be what ended the others */
  bool fits = batch->group_bytes + fetched->content.len <= LIMIT_S3_GROUP_BYTES;
  enum status status = counts || !fits ? ingest_group(batch, err) : OK;
  if (!status && counts) status = tried(batch, fetched->index, err);
  if (status) return status;
  if (!batch->group_count) batch->group_ms = clock_mono_ms();
  batch->group_bytes += fetched->content.len;
  batch->group[batch->group_count++] = *fetched;
  buf_init(&fetched->content, 0);
  bool now = counts || batch->group_count == INGEST_GROUP || clock_mono_ms() - batch->group_ms >= TELL_MS;
  return now ? ingest_group(batch, err) : OK;
}

static enum status take(struct batch *batch, struct s3_fetched *fetched, struct error *err) {
  if (fetched->status == ERR_UNAVAILABLE) return unanswered(batch, fetched, err);
  batch->silent = 0;
  if (fetched->status) return mark_failed(batch, fetched->index, fetched->code, fetched->message, err);
  return add(batch, fetched, err);
}

/* --- the whole --- */

/* Those that ended an attempt too often aren't begun; the others move up. */
static enum status leave_deadly(struct batch *batch, struct error *err) {
  size_t kept = 0;
  enum status status = OK;
  for (size_t i = 0; i < batch->count && !status; i++) {
    if (batch->rows[i].tries >= LIMIT_S3_OBJECT_TRIES) {
      status = mark_failed(batch, i, "GIVEN_UP", "reading it ended several attempts before it was done", err);
      continue;
    }
    struct row row = batch->rows[i];
    struct s3_wanted wanted = batch->wanted[i];
    batch->rows[kept] = row;
    batch->wanted[kept++] = wanted;
  }
  batch->count = kept;
  return status;
}

static enum status work(struct batch *batch, struct error *err) {
  S3_FETCH_AUTO fetch = NULL;
  struct s3_fetched fetched;
  size_t taken = 0;
  enum status status = s3_fetch_new(&batch->source, batch->region, batch->wanted, batch->count, &fetch, err);
  while (!status && !batch->ended && s3_fetch_next(fetch, &fetched)) {
    status = take(batch, &fetched, err);
    buf_free(&fetched.content);
    taken++;
  }
  ERROR_AUTO untold = {0}; /* what was read is ingested, and what was done told, whatever happened */
  enum status told = batch->ended ? OK : ingest_group(batch, &untold);
  drop_group(batch);
  if (!told) told = tell(batch, &untold);
  if (!status && told) status = error_set_code(err, told, untold.code, "%s", untold.message);
  if (!status && !batch->ended && taken < batch->count) status = error_oom(err);
  if (!status && batch->again && !batch->ended) status = error_set_code(err, ERR_UNAVAILABLE, batch->why.code, "%s", batch->why.message);
  return status;
}

static enum status run(struct batch *batch, struct error *err) {
  EMBEDDER_AUTO embedder = NULL;
  struct job *job = batch->job;
  enum status status = s3_source_read(job, &batch->source, err);
  if (!status) status = settle(batch, err);
  if (status || batch->ended) return status;
  if ((status = load(batch, err)) || (status = leave_deadly(batch, err))) return status;
  if ((status = embedder_new(job->cfg, job->db, &embedder, err))) return status;
  batch->embedder = embedder;
  ingest_hurry(job->db, true);
  status = work(batch, err);
  ingest_hurry(job->db, false);
  if (status || batch->ended) return status;
  if ((status = embedder_account(embedder, job->owner_id, err))) return status;
  return pg_exec(job->db, wake_sql, 1, &batch->ingest, err);
}

enum status s3_batch_run(struct job *job, json_t **ret_result, struct error *err) {
  long long number = json_int(job->payload, "batch", 0);
  struct batch batch = {.job = job, .ingest = json_str(job->payload, "ingest", NULL), .told_ms = clock_mono_ms()};
  batch.number = arena_printf(job->arena, "%lld", number);
  if (!batch.ingest || !job->connection_id || !batch.number) return error_set(err, ERR_VALIDATION, "a batch names its ingest");
  enum status status = run(&batch, err);
  error_clear(&batch.why);
  if (status) return status;
  *ret_result = json_pack("{s:s, s:I, s:I, s:b}", "ingest_id", batch.ingest, "batch", (json_int_t)number, "objects", (json_int_t)batch.done,
                          "ended_early", batch.ended);
  return *ret_result ? OK : error_oom(err);
}
