#include "worker/retrieval/question.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/utf8.h"
#include "worker/embed/lexicon.h"
#include "worker/retrieval/synonyms.h"

#define EMBED_MS 10000
#define SYNONYM 0.4 /* what a word counts that the question only means */
#define MEANT 12    /* words of one meaning in a glossary */
#define ASKING 0.2  /* what a word counts that says "tell me", though it may be part of a name, too */

/* Stems of words that ask rather than name. */
static const char *const asking[] = {"show", "list",   "find",   "get",  "give", "tell", "display", "return", "mani",
                                     "much", "comput", "calcul", "want", "need", "know", "fetch",   "retriev"};

/* False: there is room for no more, or no memory (the question has no NULL stems then). */
static bool add_stem(void *arg, const char *stem) {
  struct question *question = arg;
  if (question->word_count == QUESTION_WORDS) return false;
  for (size_t i = 0; i < question->word_count; i++)
    if (strcmp(question->words[i].stem, stem) == 0) return true;
  const char *copy = arena_strdup(question->arena, stem);
  if (!copy) return false;
  question->words[question->word_count++] = (struct question_word){lexicon_term(copy), copy, 1, SYNONYM};
  return true;
}

/* "novels by Umberto Eco": whoever has a name behind "by" made it. */
static bool names_maker(const char *text) {
  for (const char *at = text; (at = strstr(at, " by ")); at += 4)
    if (at[4] >= 'A' && at[4] <= 'Z') return true;
  return false;
}

static void add_synonyms(struct question *question) {
  static const char *const makers[] = {"author", "artist", "writer", "creator"};
  for (size_t i = 0; i < 4 && names_maker(question->text); i++) add_stem(question, makers[i]);
  for (size_t i = 0, own = question->word_count; i < own; i++)
    if (!synonyms_of(question->words[i].stem, question->words[i].term, add_stem, question)) return;
}

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
  add_synonyms(question);
  return OK;
}

bool question_mean(struct question *question, const char *text) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  if (!lexicon || !lexicon_read(lexicon, text, strlen(text), &list)) return false;
  for (size_t i = 0; i < list.count && i < MEANT; i++)
    if (!add_stem(question, list.words[i].lexeme->stem)) break;
  return true;
}

/* --- its vector --- */

struct weighing { /* what a word counts in the corpus, and in the question */
  const struct question *question;
  question_weigh weigh;
  void *arg;
};

static double weigh_both(void *arg, uint32_t term) {
  const struct weighing *weighing = arg;
  const struct question *question = weighing->question;
  bool known = true;
  double weight = weighing->weigh(weighing->arg, term, &known);
  for (size_t i = 0; i < question->word_count; i++)
    if (question->words[i].term == term) return known || question->words[i].weight >= 1 ? weight * question->words[i].weight : 0;
  return weight;
}

/* Of models made of words: what the question only means is in it, too, unless nothing that is searched says it. */
static const float *vector_of_words(struct question *question, question_weigh weigh, void *arg) {
  struct weighing weighing = {question, weigh, arg};
  struct lexicon_word words[QUESTION_WORDS];
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list = {.words = words};
  float *vector = arena_calloc(question->arena, (size_t)embedder_model(question->embedder)->dims, sizeof *vector);
  for (size_t i = 0; lexicon && i < question->word_count; i++) {
    const struct lexeme *lexeme = lexicon_stemmed(lexicon, question->words[i].stem);
    if (lexeme) words[list.count++] = (struct lexicon_word){lexeme, question->words[i].count};
  }
  embedder_weigh(question->embedder, weigh_both, &weighing);
  if (vector) embedder_words(question->embedder, EMBED_QUESTION, &list, vector);
  embedder_weigh(question->embedder, NULL, NULL);
  return vector;
}

const float *question_vector(struct question *question, question_weigh weigh, void *arg) {
  if (question->vector || !question->embedder || question->why_lexical) return question->vector;
  if (embedder_takes_words(question->embedder)) return vector_of_words(question, weigh, arg);
  struct embed_text text = {question->text, question->len};
  ERROR_AUTO err = {0};
  if (embedder_run(question->embedder, EMBED_QUESTION, &text, 1, EMBED_MS, question->arena, &question->vector, &err) == OK)
    return question->vector;
  log_event(LOG_WARN, "searched by words alone", "reason", err.message, NULL);
  question->why_lexical = arena_strdup(question->arena, err.message);
  if (!question->why_lexical) question->why_lexical = "out of memory";
  return NULL;
}

void question_use(struct question *question, struct embedder *embedder) {
  question->embedder = embedder;
  question->vector = NULL;
  question->why_lexical = NULL;
}
