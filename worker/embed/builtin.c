/* builtin.c - vectors without a model: words and their pieces, hashed into a fixed number of dimensions.
 *
 * A word counts 1 + ln(times it occurs); its 3- to 5-grams together as much as the word itself, so that "custCountry" and "customer
 * country" are alike while a long word is not louder than a short one. Each falls into one dimension with a sign, both from its hash
 * (Weinberger et al. 2009: collisions cancel out on average). How rare a word is in a corpus weighs only the question's words: a passage's
 * vector depends on nothing but the passage, so none is ever stale and the same text has the same vector in every run. */
#include <math.h>

#include "worker/embed/driver.h"
#include "worker/embed/lexicon.h"

#define DIMS 1024

static void add(float *vector, uint32_t hash, float weight) { vector[hash % DIMS] += hash >> 31 ? -weight : weight; }

static void add_word(float *vector, const struct lexeme *lexeme, float weight) {
  add(vector, lexeme->term, weight);
  float piece = weight / sqrtf((float)lexeme->piece_count);
  for (size_t i = 0; i < lexeme->piece_count; i++) add(vector, lexeme->pieces[i], piece);
}

/* 1 + ln(times); most words occur once or twice. */
static double times_weight(int times) { return times == 1 ? 1 : times == 2 ? 1 + M_LN2 : 1 + log(times); }

static void add_words(const struct lexicon_list *words, const struct embedder *embedder, int dims, float *vector) {
  (void)dims; /* it has one number of them */
  for (size_t i = 0; i < words->count; i++) {
    double weight = times_weight(words->words[i].count);
    if (embedder) weight *= embed_weight(embedder, words->words[i].lexeme->term);
    add_word(vector, words->words[i].lexeme, (float)weight);
  }
}

static bool make(const struct embedder *embedder, const struct embed_batch *batch, int dims, float *vectors) {
  struct lexicon *lexicon = lexicon_shared();
  if (!lexicon) return false;
  for (size_t i = 0; i < batch->count; i++) {
    struct lexicon_list list;
    if (!lexicon_read(lexicon, batch->texts[i].text, batch->texts[i].len, &list)) return false;
    add_words(&list, batch->purpose == EMBED_QUESTION ? embedder : NULL, dims, vectors + i * (size_t)dims);
  }
  return true;
}

const struct embed_driver embed_builtin = {.name = "builtin",
                                           .model = "hashed-ngrams-1",
                                           .dims = DIMS,
                                           .max_texts = 256,
                                           .max_tokens = SIZE_MAX,
                                           .text_bytes = SIZE_MAX,
                                           .make = make,
                                           .add_words = add_words};
