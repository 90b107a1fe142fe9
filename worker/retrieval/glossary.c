/* glossary.c - what documents define, offered to a question. */
#include "common/limits.h"
#include "common/pg.h"
#include "worker/embed/lexicon.h"
#include "worker/retrieval/retrieval.h"

#define LOOKED_AT "5000" /* entries of one connection */
#define WORDS 512        /* different ones of the text */
#define TERM_WORDS 8

static const char entries_sql[] =
    "SELECT g.term, g.meaning, g.is_expression, g.document_id, d.name, g.heading FROM autodb.glossary g JOIN autodb.documents d ON d.id = "
    "g.document_id WHERE g.connection_id = $1 AND d.owner_id = $2 ORDER BY lower(g.term), d.updated_at DESC, g.document_id, g.ordinal "
    "LIMIT " LOOKED_AT;

struct words {
  uint32_t terms[WORDS];
  size_t count;
};

static bool read_words(struct lexicon *lexicon, const char *text, struct words *out) {
  struct lexicon_list list;
  if (!lexicon_read(lexicon, text, strlen(text), &list)) return false;
  out->count = 0;
  for (size_t i = 0; i < list.count && out->count < WORDS; i++) out->terms[out->count++] = list.words[i].lexeme->term;
  return true;
}

static bool holds(const struct words *words, uint32_t term) {
  for (size_t i = 0; i < words->count; i++)
    if (words->terms[i] == term) return true;
  return false;
}

/* Each of the term's words stands in the text. */
static bool stands_in(struct lexicon *lexicon, const char *term, const struct words *text) {
  struct lexicon_list list;
  if (!lexicon_read(lexicon, term, strlen(term), &list) || !list.count || list.count > TERM_WORDS) return false;
  for (size_t i = 0; i < list.count; i++)
    if (!holds(text, list.words[i].lexeme->term)) return false;
  return true;
}

static bool read_entry(const PGresult *res, int row, struct arena *arena, struct glossary_entry *entry) {
  *entry = (struct glossary_entry){.term = arena_strdup(arena, pg_str(res, row, 0)),
                                   .meaning = arena_strdup(arena, pg_str(res, row, 1)),
                                   .is_expression = pg_bool(res, row, 2),
                                   .document_id = arena_strdup(arena, pg_str(res, row, 3)),
                                   .name = arena_strdup(arena, pg_str(res, row, 4)),
                                   .heading = arena_strdup(arena, pg_str(res, row, 5))};
  return entry->term && entry->meaning && entry->document_id && entry->name;
}

enum status retrieval_glossary(struct job *job, const char *text, struct glossary *ret_glossary, struct error *err) {
  const char *const params[] = {job->connection_id, job->owner_id};
  struct lexicon *lexicon = lexicon_shared();
  struct words *words = ARENA_NEW(job->arena, struct words);
  struct glossary_entry *entries = arena_calloc(job->arena, LIMIT_GLOSSARY_ENTRIES, sizeof *entries);
  size_t count = 0;
  PGRESULT_AUTO res = NULL;
  *ret_glossary = (struct glossary){0};
  if (!job->connection_id) return OK;
  if (!lexicon || !words || !entries || (text && !read_words(lexicon, text, words))) return error_oom(err);
  enum status status = pg_query(job->db, entries_sql, 2, params, &res, err);
  for (int row = 0; !status && row < PQntuples(res) && count < LIMIT_GLOSSARY_ENTRIES; row++) {
    if (text && !stands_in(lexicon, pg_str(res, row, 0), words)) continue;
    if (!read_entry(res, row, job->arena, &entries[count++])) return error_oom(err);
  }
  if (!status) *ret_glossary = (struct glossary){entries, count};
  return status;
}
