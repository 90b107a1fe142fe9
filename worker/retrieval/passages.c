/* passages.c - see passages.h.
 *
 * By word: how often each word of the question occurs is counted, up to COMMON passages; rare words name the candidates, common ones only
 * by occurring together. BM25 is computed here, from the rows' own words. By vector: every vector of the connection is looked at, unless it
 * has so many that an index of its own was made (worker/context/vector_index.h): that one is walked until enough are found, and put in
 * order here. Nothing of another connection is read either way: the words are salted, the vectors' indexes begin with the connection. */
#include "worker/retrieval/passages.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/embed/vector.h"
#include "worker/retrieval/rank.h"
#include "worker/retrieval/terms.h"

#define COMMON 200 /* passages with a word that make it common */
#define COMMON_TEXT "200"
#define PAIRED 6  /* common words that are looked for in pairs */
#define PLACES 50 /* of each ranking that are looked at */
#define PLACES_TEXT "50"
#define WORDS 16 /* of the question that are looked for */
#define CANDIDATES_TEXT "2000"
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
  int32_t terms[WORDS];
  double idf[WORDS];
  bool common[WORDS];
  size_t term_count;
  struct hit fused[2 * PLACES];
  size_t fused_count;
};

/* --- before: whose, which, how many --- */

/* Plans are forced where statistics could mislead them: words go by their index, and nothing else does but what is told to. */
static const char begin_sql[] =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = autodb, public; SET LOCAL jit = off; "
    "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; "
    "SET LOCAL enable_indexonlyscan = off";
static const char walk_sql[] = "SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; "
                               "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = 200";
static const char scope_sql[] =
    "SELECT CASE WHEN $3::uuid[] IS NULL AND $4::text IS NULL THEN NULL ELSE (SELECT coalesce(array_agg(d.id), '{}') "
    "  FROM autodb.documents d WHERE d.connection_id = c.id AND ($3::uuid[] IS NULL OR d.id = ANY ($3::uuid[])) "
    "  AND ($4::text IS NULL OR starts_with(d.source, $4))) END, "
    "EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = to_regclass('autodb.' || $5) AND i.indisvalid), "
    "(SELECT coalesce(sum(s.chunks), 0) FROM (SELECT d.chunks FROM autodb.documents d WHERE d.connection_id = c.id LIMIT 2000) s) "
    "FROM autodb.connections c WHERE c.id = $1 AND c.owner_id = $2 AND c.deleted_at IS NULL";

void passages_index_name(const char *connection_id, int model, char out[PASSAGES_INDEX_NAME]) {
  char compact[33];
  size_t len = 0;
  for (const char *at = connection_id; *at && len < 32; at++)
    if (*at != '-') compact[len++] = *at;
  compact[len] = '\0';
  snprintf(out, PASSAGES_INDEX_NAME, "chunk_vectors_%s_%d", compact, model);
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
  return OK;
}

/* --- by word --- */

static const char count_sql[] = "SELECT (SELECT count(*) FROM (SELECT FROM autodb.chunks c WHERE c.terms @> ARRAY[t.term] AND "
                                "c.connection_id IS NOT DISTINCT FROM $1::uuid "
                                "LIMIT " COMMON_TEXT ") AS few) FROM unnest($2::integer[]) WITH ORDINALITY AS t (term, n) ORDER BY t.n";

/* An integer[] literal of the terms that are (or are not) common; NULL when there are none. */
static const char *terms_literal(const struct search *search, int common) {
  BUF_AUTO text;
  buf_init(&text, 16 * (WORDS + 2));
  for (size_t i = 0; i < search->term_count; i++)
    if (common < 0 || search->common[i] == common) buf_printf(&text, "%s%d", text.len ? "," : "{", search->terms[i]);
  if (!text.len) return NULL;
  buf_putc(&text, '}');
  return arena_strndup(search->job->arena, buf_str(&text), text.len);
}

/* The words that can tell passages apart; those that ask are left out unless there are no others. */
static void choose_terms(struct search *search) {
  const struct question *question = search->question;
  for (int pass = 0; pass < 2 && !search->term_count; pass++)
    for (size_t i = 0; i < question->word_count && search->term_count < WORDS; i++)
      if (pass || question->words[i].weight >= 0.5)
        search->terms[search->term_count++] = terms_salted(search->job->connection_id, question->words[i].term);
}

static enum status count_terms(struct search *search, struct error *err) {
  const char *const params[] = {search->job->connection_id, terms_literal(search, -1)};
  PGRESULT_AUTO res = NULL;
  enum status status = pg_query(search->job->db, count_sql, 2, params, &res, err);
  if (status) return status;
  size_t kept = 0;
  for (size_t i = 0; i < search->term_count; i++) {
    double df = (double)pg_int(res, (int)i, 0, 0);
    if (df == 0) continue;
    search->terms[kept] = search->terms[i];
    search->common[kept] = df >= COMMON;
    if (df >= COMMON && search->passages / 10 > df) df = search->passages / 10; /* nobody counted on */
    search->idf[kept++] = rank_idf(search->passages > df ? search->passages : df, df);
  }
  search->term_count = kept;
  return OK;
}

/* "c.terms && '{rare}'", "c.terms @> '{a,b}'" for each pair of common ones; a single common one only when there is nothing else. Numbers
 * alone: nothing that came from outside is in the text. */
static bool put_condition(const struct search *search, struct buf *out) {
  size_t common[PAIRED], count = 0;
  const char *rare = terms_literal(search, 0);
  for (size_t i = 0; i < search->term_count && count < PAIRED; i++)
    if (search->common[i]) common[count++] = i;
  if (rare) buf_printf(out, "c.terms && '%s'", rare);
  for (size_t i = 0; i < count; i++)
    for (size_t k = i + 1; k < count; k++)
      buf_printf(out, "%sc.terms @> '{%d,%d}'", out->len ? " OR " : "", search->terms[common[i]], search->terms[common[k]]);
  if (!out->len && count) buf_printf(out, "c.terms @> '{%d}'", search->terms[common[0]]);
  return buf_ok(out) && out->len;
}

static int32_t read32(const char *bytes) {
  const uint8_t *p = (const uint8_t *)bytes;
  return (int32_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

/* An integer[] in binary format, without nulls: dimensions, flags, type, length, lower bound; then 4 and 4 bytes a value. */
static double score_terms(const struct search *search, const char *array, int len, double average) {
  int count = len >= 20 ? read32(array + 12) : 0;
  double times[WORDS] = {0}, score = 0;
  for (int i = 0; i < count && 20 + 8 * i + 8 <= len; i++) {
    int32_t term = read32(array + 20 + 8 * i + 4);
    for (size_t t = 0; t < search->term_count; t++) times[t] += search->terms[t] == term;
  }
  for (size_t t = 0; t < search->term_count; t++)
    if (times[t] > 0) score += rank_bm25(search->idf[t], times[t], count, average);
  return score;
}

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

static enum status score_candidates(struct search *search, const PGresult *res, struct error *err) {
  int rows = PQntuples(res);
  struct hit *hits = arena_calloc(search->job->arena, (size_t)rows + 1, sizeof *hits);
  double words = 0;
  if (!hits) return error_oom(err);
  for (int i = 0; i < rows; i++) words += PQgetlength(res, i, 1) / 8.0;
  for (int i = 0; i < rows; i++) {
    memcpy(hits[i].id, PQgetvalue(res, i, 0), ID_BYTES);
    hits[i].score = score_terms(search, PQgetvalue(res, i, 1), PQgetlength(res, i, 1), words / rows);
  }
  if (rows) qsort(hits, (size_t)rows, sizeof *hits, compare_hits);
  fuse(search, hits, rows < PLACES ? (size_t)rows : PLACES);
  return OK;
}

static enum status search_words(struct search *search, struct error *err) {
  BUF_AUTO condition;
  buf_init(&condition, 8192);
  choose_terms(search);
  if (!search->term_count) return OK;
  enum status status = count_terms(search, err);
  if (status || !search->term_count) return status;
  if (!put_condition(search, &condition)) return error_oom(err);
  const char *sql =
      arena_printf(search->job->arena,
                   "SELECT c.id, c.terms FROM autodb.chunks c WHERE (%s) AND c.connection_id IS NOT DISTINCT FROM $1::uuid AND "
                   "($2::uuid[] IS NULL OR c.document_id = ANY ($2::uuid[])) LIMIT " CANDIDATES_TEXT,
                   buf_str(&condition));
  if (!sql) return error_oom(err);
  const char *const params[] = {search->job->connection_id, search->filter};
  PGRESULT_AUTO res = PQexecParams(search->job->db, sql, 2, NULL, params, NULL, NULL, 1);
  if (PQresultStatus(res) != PGRES_TUPLES_OK) return pg_error(search->job->db, res, err);
  return score_candidates(search, res, err);
}

/* --- by vector --- */

static double word_weight(void *arg, uint32_t term) {
  const struct search *search = arg;
  int32_t salted = terms_salted(search->job->connection_id, term);
  for (size_t i = 0; i < search->term_count; i++)
    if (search->terms[i] == salted) return search->idf[i];
  return rank_idf(search->passages, 0.5);
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

static double read_double(const char *bytes) {
  union {
    uint64_t bits;
    double value;
  } out = {0};
  for (int i = 0; i < 8; i++) out.bits = out.bits << 8 | (uint8_t)bytes[i];
  return out.value;
}

static void take_vectors(struct search *search, const PGresult *res) {
  struct hit hits[PLACES];
  size_t count = 0;
  for (int i = 0; i < PQntuples(res) && count < PLACES; i++) {
    double alike = -read_double(PQgetvalue(res, i, 1));
    if (!(alike > ALIKE)) continue;
    memcpy(hits[count].id, PQgetvalue(res, i, 0), ID_BYTES);
    hits[count++].score = alike;
  }
  if (count) qsort(hits, count, sizeof *hits, compare_hits);
  fuse(search, hits, count);
}

static enum status search_vectors(struct search *search, struct error *err) {
  const float *vector = question_vector(search->question, word_weight, search);
  if (!vector) return OK;
  const struct embed_model *model = embedder_model(search->question->embedder);
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
  if (!status && search->passages > 0) {
    status = search_words(search, err);
    if (!status) status = search_vectors(search, err);
    if (!status) status = fetch(search, ret_documents, ret_count, err);
  }
  ERROR_AUTO ignored = {0};
  if (pg_script(job->db, "ROLLBACK", &ignored)) log_event(LOG_DEBUG, "not rolled back", "reason", ignored.message, NULL);
  return status;
}
