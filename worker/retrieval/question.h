/* question.h - a question as both searches want it: its words, and its vector when somebody asks. */
#ifndef AUTODB_RETRIEVAL_QUESTION_H
#define AUTODB_RETRIEVAL_QUESTION_H

#include "worker/agent.h"
#include "worker/embed/embed.h"

#define QUESTION_OWN 64    /* the first different ones; a long text has no need of more */
#define QUESTION_WORDS 192 /* with those it only means */
#define QUESTION_MEANT 0.5 /* what these count */

struct question_word {
  uint32_t term; /* in documents */
  const char *stem;
  uint32_t name_term; /* in names (wording.h) */
  int count;
  double weight;  /* 1; less for words that ask ("show", "list"); QUESTION_MEANT times that for synonyms */
  double names;   /* the same in names, where a saying counts as what it means, its own words hardly: "turned down", a rejection */
  size_t meaning; /* the word it stands for, an index of words: itself, when it is one of the question */
  bool measures;  /* says when, how many, how they compare ("last month"), or means a word that does */
};
struct question {
  const char *text;
  size_t len;
  struct question_word words[QUESTION_WORDS];
  size_t word_count;
  bool asks_for_person;      /* "who", "whose" */
  struct embedder *embedder; /* NULL: there is none to ask */
  struct arena *arena;
  const float *vector;     /* of providers that weigh no words: asked for once */
  const char *why_lexical; /* the provider could not be asked; NULL: it could, or was not yet */
};

MUST_CHECK enum status question_read(struct question *question, const char *text, struct embedder *embedder, struct arena *arena,
                                     struct error *err);
/* What a word counts in what is searched, by its term; and whether that has it at all. */
typedef double (*question_weigh)(void *arg, uint32_t term, bool *ret_known);
/* Its vector, words weighed where the model is made of words; NULL when there is none to be had, and why_lexical says why. */
const float *question_vector(struct question *question, question_weigh weigh, void *arg);

/* It means these words, too: of what an owner's glossary says of one of its own. False: out of memory. */
bool question_mean(struct question *question, const char *text);
/* What a word is multiplied by so that those that are only meant by one, however many, count as one of them: in documents, which speak of
 * everything, they would drown it. */
double question_share(const struct question *question, uint32_t term);
/* Vectors are another's from now on. */
void question_use(struct question *question, struct embedder *embedder);

#endif
