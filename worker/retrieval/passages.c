/* passages.c - see passages.h.
 *
 * By word: lexical.h. By vector: every vector of the connection is looked at, of a few in the
 * database, of more by what the process keeps of them (nearest.h), unless there are so many that an index of its own was made
 * (worker/context/vector_index.h): that one is walked until enough are found, and put in order here. Nothing of another connection is read
 * either way: the words are salted, the vectors' indexes begin with the connection. */
#include "worker/retrieval/passages.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/embed/vector.h"
#include "worker/retrieval/embedders.h"
#include "worker/retrieval/lexical.h"
#include "worker/retrieval/nearest.h"
#include "worker/retrieval/rank.h"

#define PLACES 50 /* of each ranking that are looked at */
#define PLACES_TEXT "50"
#define TEXT_OF(number) #number
#define TEXT(limit) TEXT_OF(limit)
#define ID_BYTES 16
#define ALIKE 0.05 /* less similarity is chance */

struct hit {
  uint8_t id[ID_BYTES];
  double score;
};

struct search {
  struct job *job;
  struct question *question;
  const struct retrieval_query *query;
  const char *filter;  /* uuid[] of the documents wanted; NULL: all */
  const char *indexed; /* name of the vectors' own index; NULL: none */
  double passages;     /* of the connection, about */
  bool few;            /* of them: not worth keeping */
  struct lexical lexical;
  struct hit fused[2 * PLACES];
  size_t fused_count;
};

/* --- before: whose, which, how many --- */

/* Plans are forced where statistics could mislead them: words go by their index, and nothing else does but what is told to. */
static const char begin_sql[] =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = autodb, public; SET LOCAL jit = off; "
    "SET LOCAL max_parallel_workers_per_gather = 0";
static const char force_sql[] = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; "
                                "SET LOCAL enable_indexonlyscan = off";
static const char walk_sql[] = "SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; "
                               "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = 200";
static const char scope_sql[] =
    "SELECT CASE WHEN $3::uuid[] IS NULL AND $4::text IS NULL THEN NULL ELSE (SELECT coalesce(array_agg(d.id), '{}') "
    "  FROM autodb.documents d WHERE d.connection_id = c.id AND ($3::uuid[] IS NULL OR d.id = ANY ($3::uuid[])) "
    "  AND ($4::text IS NULL OR starts_with(d.source, $4))) END, "
    "EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = to_regclass('autodb.' || $5) AND i.indisvalid), "
    "s.chunks, s.chunks <= " TEXT(
        LIMIT_SCANNED_PASSAGES) " AND s.documents < 2000, "
                                "(SELECT min(d.model) FROM autodb.documents d WHERE d.connection_id = c.id AND d.model IS NOT NULL), "
                                "(SELECT max(d.model) FROM autodb.documents d WHERE d.connection_id = c.id AND d.model IS NOT NULL) "
                                "FROM autodb.connections c, LATERAL (SELECT coalesce(sum(f.chunks), 0) AS "
                                "chunks, count(*) AS documents FROM (SELECT d.chunks FROM "
                                "autodb.documents d WHERE d.connection_id = c.id LIMIT 2000) f) s WHERE c.id = "
                                "$1 AND c.owner_id = $2 AND c.deleted_at IS NULL";

void passages_index_name(const char *connection_id, int model, char out[PASSAGES_INDEX_NAME]) {
  char compact[33];
  size_t len = 0;
  for (const char *at = connection_id; *at && len < 32; at++)
    if (*at != '-') compact[len++] = *at;
  compact[len] = '\0';
  snprintf(out, PASSAGES_INDEX_NAME, "chunk_vectors_%s_%d", compact, model);
}

/* While documents are migrated from one model to another, those that were have vectors of both: the former is asked until all are. A model
 * that nobody can be asked for any more is as none: its documents are found by their words. */
static void use_model(struct search *search, int least, int greatest) {
  struct question *question = search->question;
  int mine = question->embedder ? embedder_model(question->embedder)->id : 0;
  int former = least && least != mine ? least : greatest && greatest != mine ? greatest : mine;
  struct embedder *embedder = former != mine ? embedders_of(search->job, former) : NULL;
  if (!embedder) return;
  question_use(question, embedder);
  search->indexed = NULL;
}

static enum status find_scope(struct search *search, struct error *err) {
  const struct retrieval_query *query = search->query;
  struct arena *arena = search->job->arena;
  char name[PASSAGES_INDEX_NAME];
  const char *ids = query->document_ids ? pg_array_param(arena, query->document_ids, query->document_id_count) : NULL;
  if (query->document_ids && !ids) return error_oom(err);
  const struct embedder *embedder = search->question->embedder;
  passages_index_name(search->job->connection_id, embedder ? embedder_model(embedder)->id : 0, name);
  const char *const params[] = {search->job->connection_id, search->job->owner_id, ids, query->source_prefix, name};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(search->job->db, scope_sql, 5, params, &res, err);
  if (status) return status;
  if (!PQntuples(res)) return error_set(err, ERR_NOT_FOUND, "the connection was deleted");
  search->filter = arena_strdup(arena, pg_str(res, 0, 0));
  search->indexed = pg_bool(res, 0, 1) && !search->filter ? arena_strdup(arena, name) : NULL;
  search->passages = (double)pg_int(res, 0, 2, 0);
  search->few = pg_bool(res, 0, 3);
  use_model(search, (int)pg_int(res, 0, 4, 0), (int)pg_int(res, 0, 5, 0));
  embedder = search->question->embedder;
  size_t known = embedder ? nearest_known(search->job->connection_id, embedder_model(embedder)->id) : 0;
  if ((double)known > search->passages) search->passages = (double)known;
  return OK;
}

/* --- rankings --- */

/* Adds what a ranking's places are worth; hits come best first. */
static void fuse(struct search *search, const struct hit *hits, size_t count) {
  for (size_t place = 0; place < count; place++) {
    size_t at = 0;
    while (at < search->fused_count && memcmp(search->fused[at].id, hits[place].id, ID_BYTES) != 0) at++;
    if (at == search->fused_count) search->fused[search->fused_count++] = (struct hit){0};
    memcpy(search->fused[at].id, hits[place].id, ID_BYTES);
    search->fused[at].score += rank_reciprocal(place);
  }
}

/* By id where scores are equal: the same order in every run. */
static int compare_hits(const void *a, const void *b) {
  const struct hit *left = a, *right = b;
  if (left->score != right->score) return left->score < right->score ? 1 : -1;
  return memcmp(left->id, right->id, ID_BYTES);
}

/* --- by word --- */

static enum status search_words(struct search *search, struct error *err) {
  struct lexical_hit found[PLACES];
  struct hit hits[PLACES];
  size_t count = 0;
  search->lexical = (struct lexical){
      .connection_id = search->job->connection_id, .documents = search->filter, .passages = search->passages, .few = search->few};
  enum status status = lexical_find(search->job->db, search->question, &search->lexical, search->job->arena, found, PLACES, &count, err);
  for (size_t i = 0; i < count && !status; i++) {
    memcpy(hits[i].id, found[i].id, ID_BYTES);
    hits[i].score = found[i].score;
  }
  if (!status) fuse(search, hits, count);
  return status;
}

/* --- by vector --- */

static double word_weight(void *arg, uint32_t term, bool *ret_known) {
  const struct search *search = arg;
  return lexical_weight(&search->lexical, term, ret_known) * question_share(search->question, term);
}

static const char *vector_sql(struct search *search, const struct embed_model *model) {
  if (search->indexed)
    return arena_printf(search->job->arena,
                        "SELECT v.chunk_id, v.embedding::halfvec(%d) <#> $3 FROM autodb.chunk_vectors v WHERE v.connection_id = $1 AND "
                        "v.model = $2 ORDER BY 2 LIMIT " PLACES_TEXT,
                        model->dims);
  return search->filter
             ? "SELECT v.chunk_id, v.embedding <#> $3 FROM autodb.chunk_vectors v WHERE v.connection_id = $1 AND v.model = $2 AND "
               "v.document_id = ANY ($4::uuid[]) ORDER BY 2 LIMIT " PLACES_TEXT
             : "SELECT v.chunk_id, v.embedding <#> $3 FROM autodb.chunk_vectors v WHERE v.connection_id = $1 AND v.model = $2 "
               "ORDER BY 2 LIMIT " PLACES_TEXT;
}

static void take_vectors(struct search *search, const PGresult *res) {
  struct hit hits[PLACES];
  size_t count = 0;
  for (int i = 0; i < PQntuples(res) && count < PLACES; i++) {
    double alike = -pg_float8(PQgetvalue(res, i, 1));
    if (!(alike > ALIKE)) continue;
    memcpy(hits[count].id, PQgetvalue(res, i, 0), ID_BYTES);
    hits[count++].score = alike;
  }
  if (count) qsort(hits, count, sizeof *hits, compare_hits);
  fuse(search, hits, count);
}

/* In the database: all of them, or along the index. */
static enum status scan(struct search *search, const float *vector, const struct embed_model *model, struct error *err) {
  uint8_t *half = arena_alloc(search->job->arena, HALFVEC_BYTES(model->dims));
  const char *sql = vector_sql(search, model);
  char id[16];
  if (!half || !sql) return error_oom(err);
  halfvec_write(vector, model->dims, half);
  snprintf(id, sizeof id, "%d", model->id);
  enum status status = search->indexed ? pg_script(search->job->db, walk_sql, err) : OK;
  if (status) return status;
  const char *const values[] = {search->job->connection_id, id, (const char *)half, search->filter};
  const int lengths[] = {0, 0, (int)HALFVEC_BYTES(model->dims), 0}, formats[] = {0, 0, 1, 0};
  PGRESULT_AUTO res = PQexecParams(search->job->db, sql, search->filter && !search->indexed ? 4 : 3, NULL, values, lengths, formats, 1);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) return pg_error(search->job->db, res, err);
  take_vectors(search, res);
  return OK;
}

static enum status look_up(struct search *search, const float *vector, const struct embed_model *model, struct error *err) {
  const struct nearest_query query = {search->job->connection_id, model, vector, search->filter};
  struct nearest_hit near[PLACES];
  struct hit hits[PLACES];
  size_t count = 0, kept = 0;
  enum status status = nearest_find(search->job->db, &query, search->job->arena, near, PLACES, &count, err);
  for (size_t i = 0; i < count && !status; i++) {
    if (!(near[i].score > ALIKE)) continue;
    memcpy(hits[kept].id, near[i].id, ID_BYTES);
    hits[kept++].score = near[i].score;
  }
  if (!status) fuse(search, hits, kept);
  return status;
}

static enum status search_vectors(struct search *search, struct error *err) {
  const float *vector = question_vector(search->question, word_weight, search);
  if (!vector) return OK;
  const struct embed_model *model = embedder_model(search->question->embedder);
  return search->few || search->indexed ? scan(search, vector, model, err) : look_up(search, vector, model, err);
}

/* --- what was found --- */

static const char fetch_sql[] =
    "SELECT c.id, c.document_id, d.name, d.source, c.heading, c.page, c.ordinal, c.body FROM unnest($2::uuid[]) WITH ORDINALITY AS f (id, "
    "n) "
    "JOIN autodb.chunks c ON c.connection_id = $1 AND c.id = f.id JOIN autodb.documents d ON d.id = c.document_id ORDER BY f.n";

static void put_id(const uint8_t id[ID_BYTES], struct buf *out) {
  for (int i = 0; i < ID_BYTES; i++) buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
}

static bool read_row(const PGresult *res, int row, struct arena *arena, struct retrieval_document *document) {
  *document = (struct retrieval_document){.chunk_id = arena_strdup(arena, pg_str(res, row, 0)),
                                          .document_id = arena_strdup(arena, pg_str(res, row, 1)),
                                          .name = arena_strdup(arena, pg_str(res, row, 2)),
                                          .source = arena_strdup(arena, pg_str(res, row, 3)),
                                          .heading = arena_strdup(arena, pg_str(res, row, 4)),
                                          .page = (int)pg_int(res, row, 5, 0),
                                          .ordinal = (int)pg_int(res, row, 6, 0),
                                          .text = arena_strdup(arena, pg_str(res, row, 7))};
  return document->chunk_id && document->document_id && document->name && document->source && document->text;
}

static enum status fetch(struct search *search, const struct retrieval_document **ret_documents, size_t *ret_count, struct error *err) {
  size_t wanted = search->fused_count < (size_t)search->query->max_documents ? search->fused_count : (size_t)search->query->max_documents;
  BUF_AUTO ids;
  buf_init(&ids, 40 * (2 * PLACES + 1));
  if (search->fused_count) qsort(search->fused, search->fused_count, sizeof *search->fused, compare_hits);
  buf_putc(&ids, '{');
  for (size_t i = 0; i < wanted; i++) {
    if (i) buf_putc(&ids, ',');
    put_id(search->fused[i].id, &ids);
  }
  buf_putc(&ids, '}');
  const char *const params[] = {search->job->connection_id, buf_str(&ids)};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(search->job->db, fetch_sql, 2, params, &res, err);
  if (status) return status;
  struct retrieval_document *documents = arena_calloc(search->job->arena, wanted + 1, sizeof *documents);
  if (!documents) return error_oom(err);
  for (int i = 0; i < PQntuples(res); i++) {
    if (!read_row(res, i, search->job->arena, &documents[i])) return error_oom(err);
    documents[i].score = search->fused[i].score; /* one snapshot for all statements: each id is there, in its order */
  }
  *ret_documents = documents;
  *ret_count = (size_t)PQntuples(res);
  return OK;
}

enum status passages_search(struct job *job, struct question *question, const struct retrieval_query *query,
                            const struct retrieval_document **ret_documents, size_t *ret_count, struct error *err) {
  struct search *search = ARENA_NEW(job->arena, struct search);
  if (!search) return error_oom(err);
  *search = (struct search){.job = job, .question = question, .query = query};
  enum status status = pg_script(job->db, begin_sql, err);
  if (status) return status;
  status = find_scope(search, err);
  if (!status && search->passages > 0) status = pg_script(job->db, force_sql, err);
  if (!status && search->passages > 0) {
    status = search_words(search, err);
    if (!status) status = search_vectors(search, err);
    if (!status) status = fetch(search, ret_documents, ret_count, err);
  }
  ERROR_AUTO ignored = {0};
  if (pg_script(job->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}
