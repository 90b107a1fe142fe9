#include "worker/retrieval/table_meanings.h"

#include <math.h>

#include "worker/retrieval/tables_impl.h"

#define NEAR 0.25F /* likeness from which a word is near another; below, chance is */

static float length_of(const float *vector) {
  float sum = 0;
  for (size_t i = 0; i < MEANING_DIMS; i++) sum += vector[i] * vector[i];
  return sqrtf(sum);
}

static void add(float *to, const struct meaning *meaning, float times) {
  for (size_t i = 0; i < MEANING_DIMS; i++) to[i] += times / meaning->length * (float)meaning->at[i];
}

/* --- of the schema --- */

/* The more a table says a word the more it is about it, and the fewer do. */
static void add_word(struct table_index *index, const struct table_entry *entry, const struct meaning *meaning) {
  double idf = rank_idf((double)index->count, entry->df);
  for (size_t i = 0; i < entry->used; i++) {
    const struct table_posting *posting = &entry->postings[i];
    add(index->meanings.tables[index->texts[posting->text].table], meaning, (float)idf * sqrtf(posting->times));
  }
}

bool table_meanings_make(struct table_index *index, size_t tables) {
  struct table_meanings *meanings = &index->meanings;
  size_t words = 0;
  for (size_t i = 0; i <= index->mask; i++) words += index->entries[i].df > 0;
  meanings->words = arena_calloc(index->arena, words + 1, sizeof *meanings->words);
  meanings->tables = arena_calloc(index->arena, tables + 1, sizeof *meanings->tables);
  if (!meanings->words || !meanings->tables) return false;
  meanings->table_count = tables;
  for (size_t i = 0; i <= index->mask; i++) {
    struct table_meaning *word = &meanings->words[meanings->count];
    if (!index->entries[i].df || !meaning_of(index->entries[i].term, &word->meaning)) continue;
    word->term = index->entries[i].term;
    meanings->count++;
    add_word(index, &index->entries[i], &word->meaning);
  }
  for (size_t t = 0; t < tables; t++) {
    float length = length_of(meanings->tables[t]);
    for (size_t i = 0; length > 0 && i < MEANING_DIMS; i++) meanings->tables[t][i] /= length;
  }
  return true;
}

size_t table_meanings_bytes(const struct table_index *index) {
  const struct table_meanings *meanings = &index->meanings;
  return meanings->count * sizeof *meanings->words + meanings->table_count * sizeof *meanings->tables;
}

/* --- of a question --- */

/* Into its place among the best so far. */
static void put(struct ranked *near, size_t *count, struct ranked one) {
  if (*count == TABLE_NEAR && one.score <= near[*count - 1].score) return;
  size_t at = *count < TABLE_NEAR ? (*count)++ : *count - 1;
  for (; at && near[at - 1].score < one.score; at--) near[at] = near[at - 1];
  near[at] = one;
}

size_t table_meanings_near(const struct table_index *index, uint32_t term, struct ranked ret_near[TABLE_NEAR]) {
  const struct table_meanings *meanings = &index->meanings;
  struct meaning of;
  size_t count = 0;
  if (!meaning_of(term, &of)) return 0;
  for (size_t i = 0; i < meanings->count; i++) {
    float likeness = meaning_likeness(&of, &meanings->words[i].meaning);
    if (likeness > NEAR && meanings->words[i].term != term)
      put(ret_near, &count, (struct ranked){i, (double)((likeness - NEAR) / (1 - NEAR))});
  }
  return count;
}

void table_meanings_add(float sum[MEANING_DIMS], uint32_t term, double weight) {
  struct meaning meaning;
  if (meaning_of(term, &meaning)) add(sum, &meaning, (float)weight);
}

void table_meanings_like(const struct table_index *index, const float sum[MEANING_DIMS], double *ret_scores) {
  const struct table_meanings *meanings = &index->meanings;
  float length = length_of(sum);
  double usual = 0;
  for (size_t t = 0; length > 0 && t < meanings->table_count; t++) {
    float product = 0;
    for (size_t i = 0; i < MEANING_DIMS; i++) product += sum[i] * meanings->tables[t][i];
    ret_scores[t] = fmax((double)(product / length), 0);
    usual += ret_scores[t] / (double)meanings->table_count;
  }
  for (size_t t = 0; t < meanings->table_count; t++) ret_scores[t] = fmax(ret_scores[t] - usual, 0);
}
