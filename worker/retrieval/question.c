#include "worker/retrieval/question.h"

#include "common/limits.h"
#include "common/log.h"
#include "common/utf8.h"
#include "worker/embed/lexicon.h"

#define EMBED_MS 10000
#define SYNONYM 0.4 /* what a word counts that the question only means */
#define ASKING 0.2  /* what a word counts that says "tell me", though it may be part of a name, too */

/* Stems of words that ask rather than name. */
static const char *const asking[] = {"show", "list",   "find",   "get",  "give", "tell", "display", "return", "mani",
                                     "much", "comput", "calcul", "want", "need", "know", "fetch",   "retriev"};

/* Words of business that mean the same, as their stems: what people say and what tables are called. A word of a question brings the others
 * of its group along, at less weight. General English only: an owner's own words are his glossary's. */
static const char *const synonyms[] = {"custom client buyer shopper consum",
                                       "employe staff worker personnel colleagu",
                                       "doctor physician",
                                       "purchas order bought buy",
                                       "vendor supplier",
                                       "product item articl good",
                                       "song track",
                                       "vehicl car truck lorri van",
                                       "revenu sale turnov incom",
                                       "price cost charg fee",
                                       "salari wage pay compens",
                                       "user account member",
                                       "compani organ firm busi",
                                       "student pupil",
                                       "teacher instructor professor lectur",
                                       "movi film",
                                       "citi town",
                                       "nation countri",
                                       "phone telephon mobil",
                                       "mail email",
                                       "ship deliveri shipment dispatch parcel",
                                       "invoic bill",
                                       "refund reimburs",
                                       "vacat holiday leav",
                                       "illness sick diseas diagnosi",
                                       "drug medicin medic",
                                       "hous build properti",
                                       "begin start",
                                       "end finish",
                                       "rate review",
                                       "stock inventori",
                                       "machin equip devic",
                                       "fail defect error fault",
                                       "down downtim outag",
                                       "cancel void",
                                       "begin open",
                                       "close shut",
                                       "manag boss supervisor",
                                       "team depart group divis",
                                       "job posit role occup",
                                       "city place locat",
                                       "route itinerari",
                                       "incid accid",
                                       "ticket issu",
                                       "visit appoint",
                                       "comment note remark",
                                       "author writer",
                                       "borrow loan lend",
                                       "subscrib subscript plan membership",
                                       "categori genr kind type class",
                                       "page view",
                                       "click tap",
                                       "birthday birth",
                                       "age birth",
                                       "money amount sum",
                                       "discount coupon voucher promot",
                                       "warehous depot storag",
                                       "air flight",
                                       "insur polici",
                                       "hire recruit employ",
                                       "candid applic",
                                       "cours class",
                                       "grade mark score",
                                       "own belong"};

static bool holds(const char *group, const char *stem) {
  size_t len = strlen(stem);
  for (const char *at = group; at; at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL)
    if (strncmp(at, stem, len) == 0 && (at[len] == ' ' || !at[len])) return true;
  return false;
}

static enum status add_stem(struct question *question, const char *stem, size_t len, struct error *err) {
  if (question->word_count == QUESTION_WORDS) return OK;
  const char *copy = arena_strndup(question->arena, stem, len);
  if (!copy) return error_oom(err);
  for (size_t i = 0; i < question->word_count; i++)
    if (strcmp(question->words[i].stem, copy) == 0) return OK;
  question->words[question->word_count++] = (struct question_word){lexicon_term(copy), copy, 1, SYNONYM};
  return OK;
}

static enum status add_synonyms(struct question *question, struct error *err) {
  size_t own = question->word_count;
  enum status status = OK;
  for (size_t i = 0; i < own; i++)
    for (size_t g = 0; g < sizeof synonyms / sizeof *synonyms; g++) {
      if (!holds(synonyms[g], question->words[i].stem)) continue;
      for (const char *at = synonyms[g]; *at && !status; at += strcspn(at, " ") + (at[strcspn(at, " ")] == ' '))
        status = add_stem(question, at, strcspn(at, " "), err);
    }
  return status;
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
  return add_synonyms(question, err);
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

void question_use(struct question *question, struct embedder *embedder) {
  question->embedder = embedder;
  question->vector = NULL;
  question->why_lexical = NULL;
}
