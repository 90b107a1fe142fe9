/* context.c - what documents say of tables, for reports. */
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "worker/embed/lexicon.h"
#include "worker/retrieval/retrieval.h"

#define PASSAGES 12 /* looked at */
#define EXCERPTS 3  /* given */
#define EXCERPT_BYTES 500
#define TEXT_BYTES 2000 /* of the change or query that are asked with */
#define QUESTION_BYTES (16 * 1024)
#define WORDS 1024

struct words {
  uint32_t terms[WORDS];
  size_t count;
};

static bool read_words(const char *text, struct words *out) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  out->count = 0;
  if (!lexicon || !lexicon_read(lexicon, text, strlen(text), &list)) return false;
  for (size_t i = 0; i < list.count && out->count < WORDS; i++) out->terms[out->count++] = list.words[i].lexeme->term;
  return out->count > 0;
}

static bool holds_all(const struct words *text, const struct words *name) {
  for (size_t i = 0; i < name->count; i++) {
    bool found = false;
    for (size_t k = 0; k < text->count && !found; k++) found = text->terms[k] == name->terms[i];
    if (!found) return false;
  }
  return true;
}

static const char *bare(const char *table) {
  const char *dot = strchr(table, '.');
  return dot ? dot + 1 : table;
}

/* A passage that is merely alike would be noise in a report: it has to name a table, in whatever form. */
static bool speaks_of(const char *text, const char *const *tables, size_t count, struct words *passage, struct words *name) {
  if (!read_words(text, passage)) return false;
  for (size_t i = 0; i < count; i++)
    if (read_words(bare(tables[i]), name) && holds_all(passage, name)) return true;
  return false;
}

static const char *question_of(const char *text, const char *const *tables, size_t count, struct arena *arena) {
  BUF_AUTO out;
  buf_init(&out, QUESTION_BYTES);
  for (size_t i = 0; i < count && out.len < QUESTION_BYTES / 2; i++) buf_printf(&out, "%.200s\n", bare(tables[i]));
  size_t len = strlen(text);
  buf_append(&out, text, len > TEXT_BYTES ? utf8_cut(text, TEXT_BYTES) : len);
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

static json_t *excerpt_json(const struct retrieval_document *document) {
  size_t len = strlen(document->text);
  if (len > EXCERPT_BYTES) len = utf8_cut(document->text, EXCERPT_BYTES);
  return json_pack("{s:s, s:s%, s:f, s:s?}", "source", document->name, "excerpt", document->text, len, "score", document->score, "heading",
                   document->heading);
}

static enum status search(struct job *job, const char *text, const char *const *tables, size_t count, struct retrieval *found,
                          struct error *err) {
  bool any = false;
  enum status status = count ? retrieval_has_documents(job, &any, err) : OK;
  if (status || !any) return status;
  const char *question = question_of(text, tables, count, job->arena);
  return question ? retrieval_search(job, NULL, &(struct retrieval_query){.text = question, .max_documents = PASSAGES}, found, err)
                  : error_oom(err);
}

json_t *retrieval_context(struct job *job, const char *text, const char *const *tables, size_t count) {
  struct retrieval found = {0};
  json_t *excerpts = json_array();
  struct words *passage = ARENA_NEW(job->arena, struct words), *name = ARENA_NEW(job->arena, struct words);
  ERROR_AUTO err = {0};
  if (search(job, text, tables, count, &found, &err))
    log_event(LOG_WARN, "a report goes without business context", "reason", err.message, NULL);
  for (size_t i = 0; passage && name && i < found.document_count && json_array_size(excerpts) < EXCERPTS; i++)
    if (speaks_of(found.documents[i].text, tables, count, passage, name))
      json_array_append_new(excerpts, excerpt_json(&found.documents[i]));
  return excerpts;
}
