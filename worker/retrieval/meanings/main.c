/* main.c - makes meanings.bin of the word vectors of a package (README.md): `make-meanings VECTORS.json meanings.bin`.
 *
 * Words are taken with the others of their stem, weighed by how common they are. Of their vectors the mean and the few directions in which
 * most of them lie are taken away, which say how common a word is rather than what it means (Mu & Viswanath 2018). */
#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/textfile.h"
#include "worker/retrieval/meanings.h"
#include "worker/retrieval/wording.h"

#define TEXT_BYTES ((size_t)400 << 20)
#define RANKS 50000                /* commonest words that are read … */
#define WORDS 20000                /* … and stems that are kept */
#define NUMBERS (MEANING_DIMS + 2) /* of a word: its vector, that one's length, and how many words are commoner */
#define COMMON 6                   /* directions that are taken away */
#define ROUNDS 30                  /* of the search for one */
#define WORD_BYTES 32

struct stem {
  uint32_t term;
  double weight; /* 0: no such stem */
  double at[MEANING_DIMS];
};
static struct stem stems[RANKS];
static size_t stem_count;

/* --- vectors --- */

static double product(const double *a, const double *b) {
  double sum = 0;
  for (size_t i = 0; i < MEANING_DIMS; i++) sum += a[i] * b[i];
  return sum;
}

static void add(double *to, const double *vector, double times) {
  for (size_t i = 0; i < MEANING_DIMS; i++) to[i] += times * vector[i];
}

static void normalize(double *vector) {
  double length = sqrt(product(vector, vector));
  for (size_t i = 0; length > 0 && i < MEANING_DIMS; i++) vector[i] /= length;
}

/* --- reading --- */

static bool is_word(const char *word) {
  size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789");
  return *word >= 'a' && *word <= 'z' && !word[len];
}

static struct stem *stem_of(uint32_t term) {
  for (size_t i = 0; i < stem_count; i++)
    if (stems[i].term == term) return &stems[i];
  stems[stem_count].term = term;
  return &stems[stem_count++];
}

static bool add_word(const char *word, const double *numbers) {
  struct lexicon_list list;
  double vector[MEANING_DIMS], rank = numbers[MEANING_DIMS + 1];
  if (rank >= RANKS || !is_word(word)) return true;
  if (!lexicon_read(lexicon_shared(), word, strlen(word), &list)) return false;
  if (list.count != 1) return true;
  struct stem *stem = stem_of(wording_term(list.words[0].lexeme));
  memcpy(vector, numbers, sizeof vector);
  normalize(vector);
  stem->weight += 1 / (rank + 10);
  add(stem->at, vector, 1 / (rank + 10));
  return true;
}

/* "word":[1,2,…], and so on from `at`; false at the end. */
static bool next_word(char **at, char word[WORD_BYTES], double numbers[NUMBERS]) {
  char *open = strstr(*at, "\":["), *quote = open;
  if (!open) return false;
  while (quote > *at && quote[-1] != '"') quote--;
  snprintf(word, WORD_BYTES, "%.*s", (int)(open - quote), quote);
  *at = open + 2;
  for (size_t i = 0; i < NUMBERS; i++) numbers[i] = strtod(*at + 1, at);
  return true;
}

static bool read_words(const char *path) {
  struct arena *arena = arena_new(TEXT_BYTES);
  char word[WORD_BYTES], *text = arena ? textfile_read(arena, path, TEXT_BYTES) : NULL;
  char *at = text ? strstr(text, "\"vectors\":{") : NULL;
  double numbers[NUMBERS];
  bool read = at != NULL;
  if (at) at += strlen("\"vectors\":");
  while (read && next_word(&at, word, numbers)) read = add_word(word, numbers);
  arena_free(arena);
  return read && stem_count >= WORDS;
}

/* --- what most of them have in common --- */

static void take_away_mean(void) {
  double mean[MEANING_DIMS] = {0};
  for (size_t i = 0; i < stem_count; i++) add(mean, stems[i].at, 1 / (double)stem_count);
  for (size_t i = 0; i < stem_count; i++) add(stems[i].at, mean, -1);
}

/* The direction in which they differ most, by power iteration. */
static void take_away_commonest(void) {
  double direction[MEANING_DIMS];
  for (size_t d = 0; d < MEANING_DIMS; d++) direction[d] = d % 2 ? 1 : 0.5;
  for (int round = 0; round < ROUNDS; round++) {
    double sum[MEANING_DIMS] = {0};
    for (size_t i = 0; i < stem_count; i++) add(sum, stems[i].at, product(stems[i].at, direction));
    normalize(sum);
    memcpy(direction, sum, sizeof direction);
  }
  for (size_t i = 0; i < stem_count; i++) add(stems[i].at, direction, -product(stems[i].at, direction));
}

/* --- writing --- */

static int by_weight(const void *a, const void *b) {
  const struct stem *left = a, *right = b;
  return (left->weight < right->weight) - (left->weight > right->weight);
}

static int by_term(const void *a, const void *b) {
  const struct stem *left = a, *right = b;
  return (left->term > right->term) - (left->term < right->term);
}

static bool write_number(uint32_t number, FILE *file) {
  uint32_t little = htole32(number);
  return fwrite(&little, sizeof little, 1, file) == 1;
}

static bool write_vector(const double *vector, FILE *file) {
  uint8_t bytes[MEANING_BYTES] = {0};
  double most = 0;
  for (size_t i = 0; i < MEANING_DIMS; i++) most = fmax(most, fabs(vector[i]));
  for (size_t i = 0; i < MEANING_DIMS; i++) {
    unsigned code = (unsigned)(lround(vector[i] / most * MEANING_STEPS) + 8);
    bytes[i / 2] = (uint8_t)(bytes[i / 2] | code << (i % 2 * 4));
  }
  return fwrite(bytes, sizeof bytes, 1, file) == 1;
}

static bool write_all(const char *path) {
  FILE *file = fopen(path, "wb");
  bool written = file && write_number(WORDS, file);
  for (size_t i = 0; i < WORDS; i++) written = written && write_number(stems[i].term, file);
  for (size_t i = 0; i < WORDS; i++) written = written && write_vector(stems[i].at, file);
  return file && fclose(file) == 0 && written;
}

int main(int argc, char **argv) {
  if (argc != 3 || !read_words(argv[1])) {
    fprintf(stderr, "usage: %s VECTORS.json meanings.bin\n", argv[0]);
    return 2;
  }
  for (size_t i = 0; i < stem_count; i++) normalize(stems[i].at);
  take_away_mean();
  for (int i = 0; i < COMMON; i++) take_away_commonest();
  qsort(stems, stem_count, sizeof *stems, by_weight);
  qsort(stems, WORDS, sizeof *stems, by_term);
  return write_all(argv[2]) ? 0 : 1;
}
