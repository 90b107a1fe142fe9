/* rank.h - scores and ranks: BM25, and several rankings made one. */
#ifndef AUTODB_RETRIEVAL_RANK_H
#define AUTODB_RETRIEVAL_RANK_H

#include <stdbool.h>
#include <stddef.h>

/* Robertson's weight of a term that `df` of `n` texts have, never negative: ln(1 + (n - df + 0.5) / (df + 0.5)). */
double rank_idf(double n, double df);
/* What a term adds to a text's BM25 score (k1 = 1.2, b = 0.75): tf times in a text of `length` words where `average` is usual. */
double rank_bm25(double idf, double tf, double length, double average);

struct ranked {
  size_t item; /* what it is of: the caller's numbering */
  double score;
};
/* Best first; equal scores by item, so that order is the same in every run. Returns how many are kept. */
size_t rank_sort(struct ranked *items, size_t count, size_t most);
/* What a place (from 0) in one of several rankings adds (Cormack et al. 2009): 1 / (60 + place + 1). */
double rank_reciprocal(size_t place);

#endif
