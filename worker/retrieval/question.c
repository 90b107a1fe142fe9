#include "worker/retrieval/question.h"

#include <ctype.h>
#include <math.h>
#include <strings.h>

#include "common/limits.h"
#include "common/log.h"
#include "common/utf8.h"
#include "worker/embed/lexicon.h"
#include "worker/retrieval/sayings.h"
#include "worker/retrieval/synonyms.h"
#include "worker/retrieval/wording.h"

#define EMBED_MS 10000
#define MEANT 12   /* words of one meaning in a glossary */
#define ASKING 0.2 /* what a word counts that says "tell me", though it may be part of a name, too */
/* In names: */
#define SAID 0.3       /* a word that a saying takes */
#define LIKELIEST 1    /* what a saying of several words means … */
#define LIKELY 0.7     /* … or may mean */
#define SAID_SHORT 0.6 /* what a saying of one word means, besides that */

/* Stems of words that ask rather than name … */
static const char *const asking[] = {"show", "list",   "find",   "get",  "give", "tell", "display", "return", "mani",
                                     "much", "comput", "calcul", "want", "need", "know", "fetch",   "retriev"};
/* … and of words that say when, how many, and how they compare. */
static const char *const measuring[] = {
    "last",    "next",     "previous", "past", "recent", "current", "today",   "yesterday", "tomorrow", "now",     "moment",  "day",
    "week",    "month",    "year",     "time", "soon",   "sinc",    "ago",     "still",     "yet",      "alreadi", "alway",   "never",
    "often",   "new",      "first",    "top",  "best",   "worst",   "highest", "lowest",    "biggest",  "largest", "least",   "smallest",
    "longest", "shortest", "fewest",   "less", "total",  "averag",  "mean",    "number",    "count",    "everi",   "without", "long",
    "right",   "away",     "one",      "two",  "three",  "five",    "ten",     "hundr",     "go",       "come",    "make",    "take"};

static bool is_one_of(const char *stem, const char *const *stems, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(stems[i], stem) == 0) return true;
  return false;
}

struct meaning { /* words being added to what one of the question means */
  struct question *question;
  size_t of;           /* index of that one; QUESTION_WORDS: of none, and the first that is added is what the others mean */
  double first, names; /* what that first one counts in names, and the others do */
};

/* A synonym counts half, and half of what a word counts that counts less itself. */
static double half(double counts) { return counts < QUESTION_MEANT ? counts * QUESTION_MEANT : QUESTION_MEANT; }

static struct meaning meant_by(struct question *question, size_t of) {
  return (struct meaning){question, of, QUESTION_MEANT, of == QUESTION_WORDS ? QUESTION_MEANT : half(question->words[of].names)};
}

/* False: there is room for no more, or no memory (the question has no NULL stems then). */
static bool add_stem(void *arg, const char *stem) {
  struct meaning *meaning = arg;
  struct question *question = meaning->question;
  uint32_t term = lexicon_term(stem);
  if (question->word_count == QUESTION_WORDS) return false;
  for (size_t i = 0; i < question->word_count; i++)
    if (question->words[i].name_term == term) return true;
  const char *copy = arena_strdup(question->arena, stem);
  if (!copy) return false;
  bool first = meaning->of == QUESTION_WORDS;
  const struct question_word *of = first ? NULL : &question->words[meaning->of];
  if (first) meaning->of = question->word_count;
  question->words[question->word_count++] = (struct question_word){.term = term,
                                                                   .stem = copy,
                                                                   .name_term = term,
                                                                   .count = 1,
                                                                   .weight = of ? half(of->weight) : QUESTION_MEANT,
                                                                   .names = first ? meaning->first : meaning->names,
                                                                   .meaning = meaning->of,
                                                                   .measures = of && of->measures};
  return true;
}

/* "novels by Umberto Eco": whoever has a name behind "by" made it. */
static bool names_maker(const char *text) {
  for (const char *at = text; (at = strstr(at, " by ")); at += 4)
    if (at[4] >= 'A' && at[4] <= 'Z') return true;
  return false;
}

/* "Who teaches algebra?", "whose": a person. */
static bool asks_for_person(const char *text) {
  for (const char *at = text; (at = strcasestr(at, "who")); at += 3) {
    size_t more = strncasecmp(at + 3, "se", 2) == 0 ? 5 : tolower((unsigned char)at[3]) == 'm' ? 4 : 3;
    if ((at == text || !isalpha((unsigned char)at[-1])) && !isalpha((unsigned char)at[more])) return true;
  }
  return false;
}

static void add_all(struct question *question, const char *const *stems, size_t count) {
  struct meaning meaning = meant_by(question, QUESTION_WORDS);
  for (size_t i = 0; i < count; i++) add_stem(&meaning, stems[i]);
}

static void add_synonyms(struct question *question) {
  static const char *const makers[] = {"author", "artist", "writer", "creator"};
  static const char *const persons[] = {"person", "peopl", "employe", "staff", "custom", "member", "user"};
  size_t own = question->word_count;
  if (names_maker(question->text)) add_all(question, makers, sizeof makers / sizeof *makers);
  question->asks_for_person = asks_for_person(question->text);
  if (question->asks_for_person) add_all(question, persons, sizeof persons / sizeof *persons);
  for (size_t i = 0; i < own; i++) {
    struct meaning meaning = meant_by(question, i);
    if (question->words[i].meaning == i && !synonyms_of(question->words[i].stem, question->words[i].name_term, add_stem, &meaning)) return;
  }
}

/* --- sayings --- */

static size_t word_of(const struct question *question, uint32_t name_term) {
  size_t at = 0;
  while (at < question->word_count && question->words[at].name_term != name_term) at++;
  return at;
}

/* A word that is there already is what the saying means of it: "out of stock" is stock after all. */
static void mean_word(struct meaning *meaning, const char *stem) {
  struct question *question = meaning->question;
  size_t at = word_of(question, lexicon_term(stem));
  if (at == question->word_count) {
    add_stem(meaning, stem);
  } else if (question->words[at].meaning == at) {
    question->words[at].names = fmax(question->words[at].names, meaning->of == QUESTION_WORDS ? meaning->first : meaning->names);
    if (meaning->of == QUESTION_WORDS) meaning->of = at;
  }
}

static bool take_saying(void *arg, const struct said *said) {
  struct question *question = arg;
  struct meaning meaning = {question, QUESTION_WORDS, LIKELIEST, LIKELY};
  struct lexicon_list meant;
  if (said->count == 1) {
    size_t at = word_of(question, *said->terms);
    if (at == question->word_count || question->words[at].meaning != at) return true;
    meaning = (struct meaning){question, at, 0, SAID_SHORT};
  }
  for (size_t i = 0; said->count > 1 && i < said->count; i++) {
    size_t at = word_of(question, said->terms[i]);
    if (at < question->word_count) question->words[at].names = SAID;
  }
  if (!lexicon_read(lexicon_shared(), said->meant, said->meant_len, &meant)) return false;
  for (size_t i = 0; i < meant.count; i++) mean_word(&meaning, wording_stem(meant.words[i].lexeme));
  return true;
}

enum status question_read(struct question *question, const char *text, struct embedder *embedder, struct arena *arena, struct error *err) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  size_t len = strlen(text);
  if (len > LIMIT_RETRIEVAL_TEXT_BYTES) len = utf8_cut(text, LIMIT_RETRIEVAL_TEXT_BYTES);
  *question = (struct question){.text = text, .len = len, .embedder = embedder, .arena = arena};
  if (!lexicon || !lexicon_read(lexicon, text, len, &list)) return error_oom(err);
  for (size_t i = 0; i < list.count && i < QUESTION_OWN; i++) {
    const struct lexeme *lexeme = list.words[i].lexeme;
    const char *stem = arena_strdup(arena, lexeme->stem);
    if (!stem) return error_oom(err);
    double weight = is_one_of(stem, asking, sizeof asking / sizeof *asking) ? ASKING : 1;
    question->words[question->word_count++] =
        (struct question_word){.term = lexeme->term,
                               .stem = stem,
                               .name_term = wording_term(lexeme),
                               .count = list.words[i].count,
                               .weight = weight,
                               .names = weight,
                               .meaning = i,
                               .measures = is_one_of(stem, measuring, sizeof measuring / sizeof *measuring)};
  }
  if (!sayings_in(text, len, take_saying, question)) return error_oom(err);
  add_synonyms(question);
  return OK;
}

double question_share(const struct question *question, uint32_t term) {
  const struct question_word *word = NULL;
  size_t meant = 0;
  for (size_t i = 0; i < question->word_count && !word; i++)
    if (question->words[i].term == term) word = &question->words[i];
  if (!word || word->weight > QUESTION_MEANT) return 1;
  for (size_t i = 0; i < question->word_count; i++)
    meant += question->words[i].meaning == word->meaning && question->words[i].weight <= QUESTION_MEANT;
  return 1 / sqrt((double)meant);
}

bool question_mean(struct question *question, const char *text) {
  struct lexicon *lexicon = lexicon_shared();
  struct lexicon_list list;
  if (!lexicon || !lexicon_read(lexicon, text, strlen(text), &list)) return false;
  for (size_t i = 0; i < list.count && i < MEANT; i++) {
    struct meaning meaning = meant_by(question, QUESTION_WORDS);
    if (!add_stem(&meaning, list.words[i].lexeme->stem)) break;
  }
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
  for (size_t i = 0; i < question->word_count; i++) {
    const struct question_word *word = &question->words[i];
    if (word->term == term) return known || word->weight >= 1 ? weight * word->weight : 0;
  }
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
