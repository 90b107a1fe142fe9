/* suggest.h - the nearest names to one that is not there: what a typo, a plural or another word order leaves recognisable. */
#ifndef AUTODB_QUERY_SUGGEST_H
#define AUTODB_QUERY_SUGGEST_H

#include <stddef.h>

#define SUGGEST_COUNT 3

struct suggest {
  const char *wanted;
  const char *best[SUGGEST_COUNT]; /* best first, NULL when there are fewer */
  double scores[SUGGEST_COUNT];
};

/* Likeness of two names, 0 to 1: edit distance with transpositions and overlap of words ("total_amount" ~ "amount_total"), whichever says
 * more; letters' case does not count. */
double suggest_likeness(const char *a, const char *b);
/* Offers a candidate: `name` is compared, `shown` is what would be put in the wanted name's place (borrowed). bonus: for nearness
 * otherwise, as being in the same scope. Below a likeness of one half nothing is kept. */
void suggest_offer(struct suggest *suggest, const char *name, const char *shown, double bonus);

#endif
