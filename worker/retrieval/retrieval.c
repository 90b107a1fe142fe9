/* retrieval.c - see retrieval.h: one question, both searches; and what the process keeps between questions. */
#include "worker/retrieval/retrieval.h"

#include <strings.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/retrieval/embedders.h"
#include "worker/retrieval/passages.h"
#include "worker/retrieval/question.h"
#include "worker/retrieval/tables.h"

/* --- what is kept: slots run many jobs, one at a time --- */

#define INDEXES 4
#define INDEX_BYTES ((size_t)256 << 20) /* together; a larger one serves its question and goes */
#define INDEX_AGAIN 20                  /* questions after which an index without vectors is made anew */

struct kept_index {
  char *snapshot_id;
  int model;
  struct table_index *index;
  unsigned long used; /* when last */
  int without;        /* questions it answered without vectors */
};
static struct kept_index kept[INDEXES];
static unsigned long clock_of_use;

static void drop(struct kept_index *slot) {
  table_index_free(slot->index);
  free(slot->snapshot_id);
  *slot = (struct kept_index){0};
}

static struct kept_index *find_kept(const struct snapshot *snapshot, int model) {
  for (int i = 0; i < INDEXES; i++)
    if (kept[i].index && kept[i].model == model && strcmp(kept[i].snapshot_id, snapshot->id) == 0) return &kept[i];
  return NULL;
}

/* The slot used longest ago goes; so do others while all are too large together. */
static void keep(const struct snapshot *snapshot, int model, struct table_index *index) {
  struct kept_index *oldest = &kept[0];
  size_t bytes = table_index_bytes(index);
  for (int i = 0; i < INDEXES; i++) {
    if (kept[i].used < oldest->used) oldest = &kept[i];
    if (kept[i].index) bytes += table_index_bytes(kept[i].index);
  }
  drop(oldest);
  for (int i = 0; i < INDEXES && bytes > INDEX_BYTES; i++) drop(&kept[i]);
  *oldest = (struct kept_index){strdup(snapshot->id), model, index, ++clock_of_use, 0};
  if (!oldest->snapshot_id) drop(oldest);
}

/* ret_own: the caller frees it. A snapshot without an id is nobody's to find again. */
static enum status index_of(const struct snapshot *snapshot, struct embedder *embedder, struct table_index **ret_index, bool *ret_own,
                            struct error *err) {
  int model = embedder ? embedder_model(embedder)->id : -1;
  struct kept_index *found = snapshot->id ? find_kept(snapshot, model) : NULL;
  *ret_own = false;
  if (found && !table_index_has_vectors(found->index) && embedder && ++found->without > INDEX_AGAIN) drop(found), found = NULL;
  if (found) {
    found->used = ++clock_of_use;
    *ret_index = found->index;
    return OK;
  }
  enum status status = table_index_new(snapshot, embedder, ret_index, err);
  if (status) return status;
  *ret_own = !snapshot->id || table_index_bytes(*ret_index) > INDEX_BYTES / 2;
  if (!*ret_own) keep(snapshot, model, *ret_index);
  return OK;
}

/* --- the search --- */

static size_t bounded(int wanted) {
  if (wanted <= 0) return 0;
  return wanted < LIMIT_RETRIEVAL_RESULTS ? (size_t)wanted : LIMIT_RETRIEVAL_RESULTS;
}

static enum status find_tables(struct job *job, const struct snapshot *snapshot, struct question *question, size_t most,
                               struct retrieval *found, struct error *err) {
  struct table_index *index = NULL;
  bool own = false;
  enum status status = index_of(snapshot, question->embedder, &index, &own, err);
  if (status) return status;
  status = tables_search(index, snapshot, question, most, job->arena, &found->tables, &found->table_count, err);
  if (!status && !table_index_has_vectors(index) && !found->warning) found->warning = "the tables' vectors could not be made";
  if (own) table_index_free(index);
  return status;
}

/* What the owner's documents define of the question's words is meant as well. */
static enum status take_glossary(struct job *job, struct question *question, struct error *err) {
  struct glossary glossary = {0};
  enum status status = job->db && job->connection_id ? retrieval_glossary(job, question->text, &glossary, err) : OK;
  for (size_t i = 0; i < glossary.count && !status; i++)
    if (!question_mean(question, glossary.entries[i].meaning)) status = error_oom(err);
  return status;
}

enum status retrieval_search(struct job *job, const struct snapshot *snapshot, const struct retrieval_query *query,
                             struct retrieval *ret_found, struct error *err) {
  const char *why = NULL;
  struct embedder *embedder = embedders_configured(job, &why);
  struct retrieval found = {.warning = why};
  struct retrieval_query bounds = *query;
  struct question *question = ARENA_NEW(job->arena, struct question);
  if (!question) return error_oom(err);
  enum status status = question_read(question, query->text, embedder, job->arena, err);
  if (!status) status = take_glossary(job, question, err);
  bounds.max_documents = (int)bounded(query->max_documents);
  if (!status && snapshot && bounded(query->max_tables))
    status = find_tables(job, snapshot, question, bounded(query->max_tables), &found, err);
  if (!status && bounds.max_documents && job->connection_id)
    status = passages_search(job, question, &bounds, &found.documents, &found.document_count, err);
  embedders_account(job);
  if (status) return status;
  if (question->why_lexical) found.warning = question->why_lexical;
  found.embedding_model = question->embedder ? arena_strdup(job->arena, embedder_model(question->embedder)->label) : NULL;
  found.mode = found.warning ? "lexical" : "hybrid";
  *ret_found = found;
  return OK;
}

enum status retrieval_has_documents(struct job *job, bool *ret_any, struct error *err) {
  static const char sql[] =
      "SELECT EXISTS (SELECT FROM autodb.documents d WHERE d.connection_id = $1 AND d.owner_id = $2 AND d.chunks > 0)";
  const char *const params[] = {job->connection_id, job->owner_id};
  PGRESULT_AUTO res = NULL;
  *ret_any = false;
  if (!job->connection_id) return OK;
  enum status status = pg_query(job->db, sql, 2, params, &res, err);
  if (!status) *ret_any = pg_bool(res, 0, 0);
  return status;
}
