#include "worker/retrieval/rank.h"

#include <math.h>
#include <stdlib.h>

#define K1 1.2
#define B 0.75
#define RRF_K 60

double rank_idf(double n, double df) {
  if (df > n) df = n;
  return log(1 + (n - df + 0.5) / (df + 0.5));
}

double rank_bm25(double idf, double tf, double length, double average) {
  double norm = average > 0 ? length / average : 1;
  return idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * norm));
}

static int compare(const void *a, const void *b) {
  const struct ranked *left = a, *right = b;
  if (left->score != right->score) return left->score < right->score ? 1 : -1;
  return (left->item > right->item) - (left->item < right->item);
}

size_t rank_sort(struct ranked *items, size_t count, size_t most) {
  if (count) qsort(items, count, sizeof *items, compare);
  return count < most ? count : most;
}

double rank_reciprocal(size_t place) { return 1.0 / (double)(RRF_K + place + 1); }
