/* table_meanings.h - what a schema's words mean (meanings.h): which of them are near a question's, which tables speak of what it speaks of.
 * Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_TABLE_MEANINGS_H
#define AUTODB_RETRIEVAL_TABLE_MEANINGS_H

#include "worker/retrieval/meanings.h"
#include "worker/retrieval/rank.h"

struct table_index;

struct table_meanings {
  struct table_meaning { /* of one of the schema's words */
    uint32_t term;
    struct meaning meaning;
  } * words; /* those that are known */
  size_t count;
  float (*tables)[MEANING_DIMS]; /* by table: that of all its words, of length 1; all 0: none is known */
  size_t table_count;
};

/* Once the index has its words; the arena is the index's. False: out of memory. */
bool table_meanings_make(struct table_index *index, size_t tables);
size_t table_meanings_bytes(const struct table_index *index);

#define TABLE_NEAR 10
/* The schema's words nearest in meaning to one that is asked, which is not among them: items are indexes of the words, scores above 0 and
 * up to
 * 1. Returns how many. */
size_t table_meanings_near(const struct table_index *index, uint32_t term, struct ranked ret_near[TABLE_NEAR]);

/* A question's meaning, word by word: sum begins as 0. */
void table_meanings_add(float sum[MEANING_DIMS], uint32_t term, double weight);
/* How much more than usual each table is like what is asked so: by table, 0 for those that aren't. */
void table_meanings_like(const struct table_index *index, const float sum[MEANING_DIMS], double *ret_scores);

#endif
