/* s3_ingest.c - the job that lists, and waits. A page of the listing is one transaction: its objects, their batches with their jobs, and
 * how far the listing is; so whatever dies, the next attempt goes on behind the last key. What became of the batches is read from the rows.
 */
#include "worker/context/s3_ingest.h"

#include "common/id.h"
#include "common/job.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "common/pgrows.h"
#include "common/utf8.h"
#include "worker/context/ingest.h"
#include "worker/context/s3_source.h"
#include "worker/context/vector_index.h"

#define PAGE_ARENA ((size_t)64 << 20)
#define PARK_MIN_MS 1000
#define PARK_MAX_MS 15000
#define PARK_SHARE 4 /* of the time it has taken: long jobs are looked at rarely; the last batch wakes them anyway */
#define SWEEP_PAGE LIMIT_TEXT(LIMIT_SWEEP_BATCH)

struct ingest {
  struct job *job;
  struct s3_source source;
  char attempt[16];
  const char *region;
  const char *last_key; /* NULL: the listing has not begun */
  bool listed_all;
  long long listed, unchanged, age_ms;
  long long objects, done; /* in batches */
};

/* --- the record --- */

/* Of those that ended and won't be retried any more: nobody reads them. */
static const char tidy_sql[] =
    "DELETE FROM autodb.s3_ingests i WHERE i.job_id <> $1 AND NOT EXISTS (SELECT FROM autodb.queue q WHERE q.id = i.job_id) "
    "AND (i.started_at < now() - interval '1 day' OR EXISTS (SELECT FROM autodb.results r WHERE r.job_id = i.job_id AND r.state = "
    "'succeeded'))";
static const char begin_sql[] = "INSERT INTO autodb.s3_ingests (job_id) VALUES ($1) ON CONFLICT DO NOTHING";
static const char read_sql[] =
    "SELECT i.region, i.last_key, i.listed_all, i.listed, i.unchanged, (extract(epoch FROM now() - i.started_at) * 1000)::bigint, "
    "coalesce((SELECT sum(b.objects) FROM autodb.s3_batches b WHERE b.ingest_id = i.job_id), 0), "
    "coalesce((SELECT sum(b.done) FROM autodb.s3_batches b WHERE b.ingest_id = i.job_id), 0) FROM autodb.s3_ingests i WHERE i.job_id = $1";

static enum status read_record(struct ingest *ingest, struct error *err) {
  struct arena *arena = ingest->job->arena;
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, read_sql, 1, &ingest->job->id, &res, err);
  if (status) return status;
  if (!PQntuples(res)) return error_set(err, ERR_CONFLICT, "the record of this ingest is gone: start it anew");
  ingest->region = arena_strdup(arena, pg_str(res, 0, 0));
  ingest->last_key = arena_strdup(arena, pg_str(res, 0, 1));
  ingest->listed_all = pg_bool(res, 0, 2);
  ingest->listed = pg_int(res, 0, 3, 0);
  ingest->unchanged = pg_int(res, 0, 4, 0);
  ingest->age_ms = pg_int(res, 0, 5, 0);
  ingest->objects = pg_int(res, 0, 6, 0);
  ingest->done = pg_int(res, 0, 7, 0);
  return OK;
}

/* --- a page --- */

struct item {
  const struct s3_object *object;
  const char *key; /* as text: one that is none is shown in part, and failed */
  const char *state, *error;
  long long n;
  char n_text[24], bytes[24], batch[24]; /* batch "0": settled already */
};
struct page {
  struct ingest *ingest;
  struct arena *arena;
  struct item *items;
  size_t count;
  struct {
    const char *number, *job_id, *objects;
    long long first;
    int count;
  } batches[S3_PAGE];
  size_t batch_count;
  long long unchanged;
  const char *last_key; /* of all keys, wanted or not */
};

#define JSON_TOO_LARGE "{\"code\":\"TOO_LARGE\",\"message\":\"the object is larger than a document may be\"}"
#define JSON_NO_TEXT "{\"code\":\"KEY_UNREADABLE\",\"message\":\"the key is not UTF-8, or holds a NUL\"}"

static bool is_text(const struct s3_object *object) {
  size_t at = 0;
  for (size_t len; at < object->key_len && object->key[at]; at += len)
    if (!(len = utf8_char(object->key + at, object->key_len - at))) return false;
  return at == object->key_len;
}

static const char *shown(const struct s3_object *object, struct arena *arena) {
  char *copy = arena_strndup(arena, object->key, object->key_len);
  for (size_t i = 0; copy && i < object->key_len; i++)
    if (!copy[i] || (copy[i] & 0x80)) copy[i] = '?';
  return copy;
}

static enum status take_items(struct page *page, const struct s3_page *listed, struct error *err) {
  page->items = arena_calloc(page->arena, listed->count + 1, sizeof *page->items);
  if (!page->items) return error_oom(err);
  for (size_t i = 0; i < listed->count; i++) {
    const struct s3_object *object = &listed->objects[i];
    bool text = is_text(object);
    if (text) page->last_key = object->key;
    if (!s3_source_wants(&page->ingest->source, object->key, object->bytes)) continue;
    struct item *item = &page->items[page->count++];
    *item = (struct item){.object = object, .key = text ? object->key : shown(object, page->arena), .state = "waiting", .batch = "0"};
    item->n = page->ingest->listed + (long long)page->count;
    snprintf(item->n_text, sizeof item->n_text, "%lld", item->n);
    snprintf(item->bytes, sizeof item->bytes, "%lld", (long long)object->bytes);
    if (!item->key) return error_oom(err);
    if (!text || object->bytes > LIMIT_DOCUMENT_BYTES) {
      item->state = "failed";
      item->error = text ? JSON_TOO_LARGE : JSON_NO_TEXT;
    }
  }
  return OK;
}

/* Key by key, whatever the planner takes the table for: pages come in by the thousand, and rows that it knows nothing of yet as fast. */
static const char judge_sql[] =
    "SELECT p.i FROM unnest($2::text[], $3::text[], $4::int8[]) WITH ORDINALITY AS p (key, etag, bytes, i), LATERAL (SELECT d.etag, "
    "d.bytes, d.status FROM autodb.documents d WHERE d.connection_id = $1 AND d.source = $5::text || p.key AND d.name = p.key OFFSET 0) d "
    "WHERE d.etag = p.etag AND p.etag <> '' AND d.bytes = p.bytes AND d.status = 'ready'";

static enum status find_unchanged(struct page *page, struct error *err) {
  struct job *job = page->ingest->job;
  const char *params[5] = {job->connection_id, NULL, NULL, NULL, page->ingest->source.origin};
  struct pg_rows rows;
  PGRESULT_AUTO res = NULL;
  pg_rows_init(&rows, page->arena, 3);
  for (size_t i = 0; i < page->count; i++)
    pg_rows_add(&rows, (const char *const[]){page->items[i].key, page->items[i].object->etag, page->items[i].bytes});
  enum status status = pg_rows_params(&rows, params + 1, err);
  if (!status) status = pg_query(job->db, judge_sql, 5, params, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) {
    struct item *item = &page->items[pg_int(res, row, 0, 1) - 1];
    if (strcmp(item->state, "waiting") != 0) continue;
    item->state = "unchanged";
    page->unchanged++;
  }
  return status;
}

/* In their order, as many as a batch holds. */
static enum status make_batches(struct page *page, struct error *err) {
  int64_t bytes = 0;
  for (size_t i = 0; i < page->count; i++) {
    struct item *item = &page->items[i];
    if (strcmp(item->state, "waiting") != 0) continue;
    size_t last = page->batch_count ? page->batch_count - 1 : 0;
    bool full =
        !page->batch_count || page->batches[last].count == LIMIT_S3_BATCH_OBJECTS || bytes + item->object->bytes > LIMIT_S3_BATCH_BYTES;
    if (full) {
      last = page->batch_count++;
      page->batches[last].first = item->n;
      bytes = 0;
    }
    page->batches[last].count++;
    bytes += item->object->bytes;
    snprintf(item->batch, sizeof item->batch, "%lld", page->batches[last].first);
  }
  for (size_t i = 0; i < page->batch_count; i++) {
    struct id id;
    char text[ID_TEXT];
    id_new(&id);
    page->batches[i].job_id = arena_strdup(page->arena, id_format(&id, text));
    page->batches[i].number = arena_printf(page->arena, "%lld", page->batches[i].first);
    page->batches[i].objects = arena_printf(page->arena, "%d", page->batches[i].count);
    if (!page->batches[i].job_id || !page->batches[i].number || !page->batches[i].objects) return error_oom(err);
  }
  return OK;
}

/* Only the attempt that holds the job, and only behind the page it has seen. */
static const char step_sql[] =
    "UPDATE autodb.s3_ingests i SET last_key = coalesce($4, i.last_key), listed = i.listed + $5::int8, unchanged = i.unchanged + $6::int8, "
    "listed_all = $7::boolean, region = $8 FROM autodb.queue q WHERE i.job_id = $1 AND q.id = $1 AND q.attempt = $2::int4 AND q.state = "
    "'running' "
    "AND i.last_key IS NOT DISTINCT FROM $3 AND NOT i.listed_all RETURNING i.job_id";
static const char objects_sql[] =
    "INSERT INTO autodb.s3_objects (ingest_id, batch, n, key, etag, bytes, state, error) SELECT $1, g.batch, g.n, g.key, g.etag, g.bytes, "
    "g.state, g.error::jsonb FROM unnest($2::int8[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::text[], "
    "$8::text[]) "
    "AS g(batch, n, key, etag, bytes, state, error)";
static const char batches_sql[] =
    "INSERT INTO autodb.s3_batches (ingest_id, batch, job_id, objects) SELECT $1, g.batch, g.job_id, g.objects "
    "FROM unnest($2::int8[], $3::uuid[], $4::int4[]) AS g(batch, job_id, objects)";
/* Due a moment after they were made: so the sweeper rings for them. In the last tier, so that an owner's other bulk work is not behind
 * them. */
static const char jobs_sql[] =
    "WITH g AS MATERIALIZED (SELECT * FROM unnest($2::int8[], $3::uuid[]) AS g(batch, id)), "
    "parent AS MATERIALIZED (SELECT * FROM autodb.jobs WHERE id = $1), "
    "recorded AS (INSERT INTO autodb.jobs (id, owner_id, connection_id, kind, lane, max_attempts, trace, request_id, payload) "
    "SELECT g.id, p.owner_id, p.connection_id, $4, 'bulk', $5::int4, p.trace, p.request_id, "
    "(p.payload::jsonb || jsonb_build_object('ingest', p.id, 'batch', g.batch))::json FROM g, parent p) "
    "INSERT INTO autodb.queue (id, owner_id, kind, lane, tier, max_attempts, run_at) "
    "SELECT g.id, p.owner_id, $4, 'bulk', " LIMIT_TEXT(JOB_TIERS) " - 1, $5::int4, now() + interval '1 millisecond' FROM g, parent p";

static enum status make_jobs(struct job *job, struct arena *arena, const char *numbers, const char *ids, struct error *err) {
  const char *tries = arena_printf(arena, "%d", job_kind_find(JOB_KIND_PART)->max_attempts);
  const char *const params[] = {job->id, numbers, ids, JOB_KIND_PART, tries};
  return numbers && ids && tries ? pg_exec(job->db, jobs_sql, 5, params, err) : error_oom(err);
}

static enum status store_batches(struct page *page, struct error *err) {
  const char *params[4] = {page->ingest->job->id};
  struct pg_rows rows;
  pg_rows_init(&rows, page->arena, 3);
  for (size_t i = 0; i < page->batch_count; i++)
    pg_rows_add(&rows, (const char *const[]){page->batches[i].number, page->batches[i].job_id, page->batches[i].objects});
  enum status status = pg_rows_params(&rows, params + 1, err);
  if (!status) status = pg_exec(page->ingest->job->db, batches_sql, 4, params, err);
  return status ? status : make_jobs(page->ingest->job, page->arena, params[1], params[2], err);
}

/* Unchanged ones have no row, unless what is missing is looked for later. */
static enum status store_objects(struct page *page, struct error *err) {
  const char *params[8] = {page->ingest->job->id};
  struct pg_rows rows;
  pg_rows_init(&rows, page->arena, 7);
  for (size_t i = 0; i < page->count; i++) {
    const struct item *item = &page->items[i];
    if (!page->ingest->source.delete_missing && strcmp(item->state, "unchanged") == 0) continue;
    pg_rows_add(&rows,
                (const char *const[]){item->batch, item->n_text, item->key, item->object->etag, item->bytes, item->state, item->error});
  }
  enum status status = pg_rows_params(&rows, params + 1, err);
  return status ? status : pg_exec(page->ingest->job->db, objects_sql, 8, params, err);
}

static enum status store_rows(struct page *page, bool last, const char *region, struct error *err) {
  struct ingest *ingest = page->ingest;
  char listed[24], unchanged[24];
  snprintf(listed, sizeof listed, "%zu", page->count);
  snprintf(unchanged, sizeof unchanged, "%lld", page->unchanged);
  const char *const step[] = {ingest->job->id, ingest->attempt, ingest->last_key,        page->last_key,
                              listed,          unchanged,       last ? "true" : "false", region};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, step_sql, 8, step, &res, err);
  if (!status && !PQntuples(res)) status = error_set_code(err, ERR_UNAVAILABLE, "OVERTAKEN", "another attempt of this job lists as well");
  if (!status) status = store_objects(page, err);
  return !status && page->batch_count ? store_batches(page, err) : status;
}

static enum status store(struct page *page, bool last, const char *region, struct error *err) {
  PGconn *db = page->ingest->job->db;
  ERROR_AUTO ignored = {0};
  enum status status = pg_script(db, "BEGIN", err);
  if (!status) status = store_rows(page, last, region, err);
  if (!status) return pg_script(db, "COMMIT", err);
  if (PQtransactionStatus(db) != PQTRANS_IDLE && pg_script(db, "ROLLBACK", &ignored)) return status;
  return status;
}

static enum status take_page(struct ingest *ingest, const struct s3_page *listed, struct arena *arena, const char *region,
                             struct error *err) {
  struct page *page = ARENA_NEW(arena, struct page);
  if (!page) return error_oom(err);
  page->ingest = ingest;
  page->arena = arena;
  enum status status = take_items(page, listed, err);
  if (!status) status = find_unchanged(page, err);
  if (!status) status = make_batches(page, err);
  if (!status) status = store(page, !listed->next, region, err);
  if (status) return status;
  ingest->listed += (long long)page->count;
  ingest->unchanged += page->unchanged;
  if (page->last_key && !(ingest->last_key = arena_strdup(ingest->job->arena, page->last_key))) return error_oom(err);
  ingest->listed_all = !listed->next;
  return OK;
}

static enum status list(struct ingest *ingest, struct error *err) {
  S3_AUTO s3 = NULL;
  struct job *job = ingest->job;
  char token[2 * 1024] = "";
  enum status status = s3_source_open(&ingest->source, ingest->region, &s3, err);
  while (!status && !ingest->listed_all) {
    ARENA_AUTO arena = arena_new(PAGE_ARENA);
    struct s3_page listed = {0};
    if (!arena) return error_oom(err);
    status = s3_list(s3, ingest->source.prefix, ingest->last_key, *token ? token : NULL, S3_PAGE, arena, &listed, err);
    if (!status) status = take_page(ingest, &listed, arena, s3_region(s3), err);
    if (status || !listed.next) continue;
    if ((size_t)snprintf(token, sizeof token, "%s", listed.next) >= sizeof token) *token = '\0'; /* then by the last key */
    job_progress(job, 0, "listing", arena_printf(arena, "%lld objects listed", ingest->listed));
  }
  return status;
}

/* --- batches whose jobs have ended --- */

static const char lost_sql[] = "SELECT b.batch, r.state, r.error->>'code', b.stalls, r.error FROM autodb.s3_batches b LEFT JOIN "
                               "autodb.results r ON r.job_id = b.job_id "
                               "WHERE b.ingest_id = $1 AND b.done < b.objects AND NOT EXISTS (SELECT FROM autodb.queue q WHERE q.id = "
                               "b.job_id) ORDER BY b.batch LIMIT 100";
static const char anew_sql[] = "UPDATE autodb.s3_batches b SET job_id = $3, stalls = CASE WHEN b.done > b.done_before THEN 0 ELSE b.stalls "
                               "+ 1 END, done_before = b.done "
                               "WHERE b.ingest_id = $1 AND b.batch = $2";
static const char give_up_sql[] =
    "WITH failed AS (UPDATE autodb.s3_objects SET state = 'failed', error = jsonb_build_object('code', $3::text, 'message', $4::text) "
    "WHERE ingest_id = $1 AND batch = $2 AND state = 'waiting' RETURNING n) UPDATE autodb.s3_batches b SET done = b.done + (SELECT "
    "count(*) "
    "FROM failed) WHERE b.ingest_id = $1 AND b.batch = $2";

/* A job that failed says why, and another would fail likewise; one that died, or was cancelled, is made anew while that leads anywhere. */
static enum status mend(struct ingest *ingest, const PGresult *res, int row, struct error *err) {
  struct job *job = ingest->job;
  const char *number = pg_str(res, row, 0), *state = pg_str(res, row, 1), *code = pg_str(res, row, 2);
  bool lasting = state && strcmp(state, "failed") == 0;
  if (lasting || pg_int(res, row, 3, 0) >= LIMIT_S3_STALLS) {
    json_t *error = arena_json(job->arena, json_loads(pg_str(res, row, 4) ? pg_str(res, row, 4) : "{}", 0, NULL));
    const char *const params[] = {job->id, number, code ? code : "WORKER_LOST",
                                  json_str(error, "message", "the jobs that were to read it ended before")};
    return pg_exec(job->db, give_up_sql, 4, params, err);
  }
  struct id id;
  char text[ID_TEXT];
  id_new(&id);
  const char *const params[] = {job->id, number, id_format(&id, text)};
  const char *const ids = params[2];
  enum status status = pg_script(job->db, "BEGIN", err);
  if (!status) status = pg_exec(job->db, anew_sql, 3, params, err);
  if (!status) status = make_jobs(job, job->arena, pg_array_param(job->arena, &number, 1), pg_array_param(job->arena, &ids, 1), err);
  ERROR_AUTO ignored = {0};
  if (status && pg_script(job->db, "ROLLBACK", &ignored)) return status;
  return status ? status : pg_script(job->db, "COMMIT", err);
}

static enum status mend_all(struct ingest *ingest, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(ingest->job->db, lost_sql, 1, &ingest->job->id, &res, err);
  for (int row = 0; !status && row < PQntuples(res); row++) status = mend(ingest, res, row, err);
  return status;
}

/* --- what is missing --- */

static const char missing_sql[] = "SELECT d.id, d.name FROM autodb.documents d WHERE d.connection_id = $1 AND starts_with(d.source, $2) "
                                  "AND d.id > $4 AND d.source = $5::text || "
                                  "d.name AND NOT EXISTS (SELECT FROM autodb.s3_objects o WHERE o.ingest_id = $3 AND $5::text || o.key = "
                                  "d.source) ORDER BY d.id LIMIT " SWEEP_PAGE;
static const char delete_sql[] = "DELETE FROM autodb.documents WHERE connection_id = $1 AND id = ANY ($2::uuid[])";

/* Only what this job would have ingested: documents outside of its patterns are not its to judge. */
static enum status delete_page(struct ingest *ingest, const PGresult *res, struct arena *arena, long long *deleted, struct error *err) {
  const char *ids[LIMIT_SWEEP_BATCH];
  size_t count = 0;
  for (int row = 0; row < PQntuples(res) && count < LIMIT_SWEEP_BATCH; row++)
    if (s3_source_wants(&ingest->source, pg_str(res, row, 1), 1)) ids[count++] = pg_str(res, row, 0);
  const char *const params[] = {ingest->job->connection_id, pg_array_param(arena, ids, count)};
  *deleted += (long long)count;
  return params[1] ? pg_exec(ingest->job->db, delete_sql, 2, params, err) : error_oom(err);
}

static enum status delete_missing(struct ingest *ingest, long long *ret_deleted, struct error *err) {
  char after[ID_TEXT] = "00000000-0000-0000-0000-000000000000";
  const char *prefix = arena_printf(ingest->job->arena, "%s%s", ingest->source.origin, ingest->source.prefix);
  enum status status = prefix ? OK : error_oom(err);
  for (bool more = true; more && !status;) {
    ARENA_AUTO arena = arena_new(PAGE_ARENA);
    PGRESULT_AUTO res = NULL;
    const char *const params[] = {ingest->job->connection_id, prefix, ingest->job->id, after, ingest->source.origin};
    status = arena ? pg_query(ingest->job->db, missing_sql, 5, params, &res, err) : error_oom(err);
    if (status) return status;
    more = PQntuples(res) == LIMIT_SWEEP_BATCH;
    if (more) snprintf(after, sizeof after, "%s", pg_str(res, PQntuples(res) - 1, 0));
    status = delete_page(ingest, res, arena, ret_deleted, err);
  }
  return status;
}

/* --- the end --- */

static const char totals_sql[] =
    "SELECT count(*) FILTER (WHERE state = 'ingested'), count(*) FILTER (WHERE state = 'unchanged' AND batch > 0), "
    "count(*) FILTER (WHERE state = 'failed'), coalesce(sum(bytes) FILTER (WHERE state = 'ingested'), 0), "
    "coalesce(sum(chunks) FILTER (WHERE state = 'ingested'), 0) FROM autodb.s3_objects WHERE ingest_id = $1";
static const char failed_sql[] =
    "SELECT json_agg(json_build_object('key', f.key, 'error', f.error) ORDER BY f.n) FROM (SELECT key, error, n "
    "FROM autodb.s3_objects WHERE ingest_id = $1 AND state = 'failed' ORDER BY n LIMIT " LIMIT_TEXT(LIMIT_S3_FAILED_SHOWN) ") f";

static enum status result(struct ingest *ingest, long long deleted, json_t **ret_result, struct error *err) {
  struct job *job = ingest->job;
  PGRESULT_AUTO totals = NULL;
  PGRESULT_AUTO failed = NULL;
  enum status status = pg_query(job->db, totals_sql, 1, &job->id, &totals, err);
  if (!status) status = pg_query(job->db, failed_sql, 1, &job->id, &failed, err);
  if (!status) status = read_record(ingest, err);
  if (status) return status;
  json_t *list = pg_str(failed, 0, 0) ? json_loads(pg_str(failed, 0, 0), 0, NULL) : json_array();
  *ret_result = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I}", "connection_id", job->connection_id, "bucket",
                          ingest->source.bucket, "prefix", ingest->source.prefix, "listed", (json_int_t)ingest->listed, "ingested",
                          (json_int_t)pg_int(totals, 0, 0, 0), "unchanged", (json_int_t)(ingest->unchanged + pg_int(totals, 0, 1, 0)),
                          "failed", list, "failed_count", (json_int_t)pg_int(totals, 0, 2, 0), "deleted", (json_int_t)deleted, "bytes",
                          (json_int_t)pg_int(totals, 0, 3, 0), "chunks", (json_int_t)pg_int(totals, 0, 4, 0), "duration_ms",
                          (json_int_t)ingest->age_ms);
  return *ret_result ? OK : error_oom(err);
}

static enum status wait_for_batches(struct ingest *ingest, struct error *err) {
  long long delay = ingest->age_ms / PARK_SHARE;
  int percent = ingest->objects ? (int)(ingest->done * 99 / ingest->objects) : 0;
  job_progress(ingest->job, percent, "objects", arena_printf(ingest->job->arena, "%lld of %lld objects", ingest->done, ingest->objects));
  return job_park(ingest->job, delay < PARK_MIN_MS ? PARK_MIN_MS : delay > PARK_MAX_MS ? PARK_MAX_MS : (int)delay, err);
}

/* Of very many passages; what is found without it is the same, so the next ingest may try again. */
static void tend_index(struct job *job) {
  EMBEDDER_AUTO embedder = NULL;
  ERROR_AUTO err = {0};
  ingest_settle(job->db);
  enum status status = embedder_new(job->cfg, job->db, &embedder, &err);
  if (!status) status = vector_index_tend(job, embedder_model(embedder), &err);
  if (status) log_event(LOG_WARN, "vectors have no index yet", "reason", err.message, NULL);
}

enum status s3_ingest_run(struct job *job, json_t **ret_result, struct error *err) {
  struct ingest ingest = {.job = job};
  long long deleted = 0;
  snprintf(ingest.attempt, sizeof ingest.attempt, "%d", job->attempt);
  enum status status = s3_source_read(job, &ingest.source, err);
  if (!status) status = pg_exec(job->db, tidy_sql, 1, &job->id, err);
  if (!status) status = pg_exec(job->db, begin_sql, 1, &job->id, err);
  if (!status) status = read_record(&ingest, err);
  if (!status && !ingest.listed_all) status = list(&ingest, err);
  if (!status) status = mend_all(&ingest, err);
  if (!status) status = read_record(&ingest, err);
  if (!status && ingest.done < ingest.objects) return wait_for_batches(&ingest, err);
  if (!status && ingest.source.delete_missing) status = delete_missing(&ingest, &deleted, err);
  if (!status) tend_index(job);
  return status ? status : result(&ingest, deleted, ret_result, err);
}
