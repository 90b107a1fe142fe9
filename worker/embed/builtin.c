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

static void add(float *vector, int dims, uint32_t hash, float weight) { vector[hash % (uint32_t)dims] += hash >> 31 ? -weight : weight; }

static void add_word(float *vector, int dims, const struct lexeme *lexeme, float weight) {
  add(vector, dims, lexeme->term, weight);
  float piece = weight / sqrtf((float)lexeme->piece_count);
  for (size_t i = 0; i < lexeme->piece_count; i++) add(vector, dims, lexeme->pieces[i], piece);
}

static void normalise(float *vector, int dims) {
  double sum = 0;
  for (int i = 0; i < dims; i++) sum += (double)vector[i] * vector[i];
  if (sum <= 0) return;
  float scale = (float)(1 / sqrt(sum));
  for (int i = 0; i < dims; i++) vector[i] *= scale;
}

static bool make(const struct embedder *embedder, const struct embed_batch *batch, int dims, float *vectors) {
  struct lexicon *lexicon = lexicon_shared();
  if (!lexicon) return false;
  for (size_t i = 0; i < batch->count; i++) {
    struct lexicon_list list;
    float *vector = vectors + i * (size_t)dims;
    if (!lexicon_read(lexicon, batch->texts[i].text, batch->texts[i].len, &list)) return false;
    for (size_t w = 0; w < list.count; w++) {
      double weight = 1 + log(list.words[w].count);
      if (batch->purpose == EMBED_QUESTION) weight *= embed_weight(embedder, list.words[w].lexeme->term);
      add_word(vector, dims, list.words[w].lexeme, (float)weight);
    }
    normalise(vector, dims);
  }
  return true;
}

const struct embed_driver embed_builtin = {.name = "builtin",
                                           .model = "hashed-ngrams-1",
                                           .dims = DIMS,
                                           .max_texts = 256,
                                           .max_tokens = SIZE_MAX,
                                           .text_bytes = SIZE_MAX,
                                           .make = make};
