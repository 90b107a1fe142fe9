#include "worker/retrieval/question.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/utf8.h"
#include "worker/embed/lexicon.h"

#define EMBED_MS 10000
#define ASKING 0.2 /* what a word counts that says "tell me", though it may be part of a name, too */

/* Stems of words that ask rather than name. */
static const char *const asking[] = {"show", "list",   "find",   "get",  "give", "tell", "display", "return", "mani",
                                     "much", "comput", "calcul", "want", "need", "know", "fetch",   "retriev"};

static double weight_of(const char *stem) {
  for (size_t i = 0; i < sizeof asking / sizeof *asking; i++)
    if (strcmp(asking[i], stem) == 0) return ASKING;
  return 1;
}

enum status question_read(struct question *question, const char *text, struct embedder *embedder, struct arena *arena, struct error *err) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  size_t len = strlen(text);
  if (len > LIMIT_RETRIEVAL_TEXT_BYTES) len = utf8_cut(text, LIMIT_RETRIEVAL_TEXT_BYTES);
  *question = (struct question){.text = text, .len = len, .embedder = embedder, .arena = arena};
  if (!lexicon || !lexicon_read(lexicon, text, len, &list)) return error_oom(err);
  for (size_t i = 0; i < list.count && question->word_count < QUESTION_WORDS; i++) {
    const struct lexeme *lexeme = list.words[i].lexeme;
    struct question_word *word = &question->words[question->word_count++];
    *word = (struct question_word){lexeme->term, arena_strdup(arena, lexeme->stem), list.words[i].count, 1};
    if (!word->stem) return error_oom(err);
    word->weight = weight_of(word->stem);
  }
  return OK;
}

const float *question_vector(struct question *question, embed_weigh weigh, void *arg) {
  if (question->vector || !question->embedder || question->why_lexical) return question->vector;
  struct embed_text text = {question->text, question->len};
  bool weighs = strcmp(embedder_model(question->embedder)->provider, "builtin") == 0;
  const float *vector = NULL;
  ERROR_AUTO err = {0};
  embedder_weigh(question->embedder, weigh, arg);
  enum status status = embedder_run(question->embedder, EMBED_QUESTION, &text, 1, EMBED_MS, question->arena, &vector, &err);
  embedder_weigh(question->embedder, NULL, NULL);
  if (status) {
    log_event(LOG_WARN, "searched by words alone", "reason", err.message, NULL);
    question->why_lexical = arena_strdup(question->arena, err.message);
    if (!question->why_lexical) question->why_lexical = "out of memory";
    return NULL;
  }
  if (!weighs) question->vector = vector;
  return vector;
}
