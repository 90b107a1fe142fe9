/* lexical.h - the passages of a connection that share words with a question, by BM25. Private to retrieval/. */
#ifndef AUTODB_RETRIEVAL_LEXICAL_H
#define AUTODB_RETRIEVAL_LEXICAL_H

#include <libpq-fe.h>

#include "worker/retrieval/question.h"

#define LEXICAL_TERMS 16 /* of the question that are looked for */

struct lexical_hit {
  uint8_t id[16]; /* of the chunk */
  double score;
};
struct lexical { /* what is looked for, ascending by term */
  const char *connection_id;
  const char *documents; /* uuid[] literal of those wanted; NULL: all */
  double passages;       /* of the connection, about */
  bool few;              /* of them: all that have any of the words are scored */
  struct lexical_term {
    int32_t term;    /* salted (terms.h) */
    double passages; /* that have it, about */
    double idf;
    bool common; /* not worth naming candidates by itself */
  } terms[LEXICAL_TERMS];
  size_t count;
  const struct usual *usual; /* of the connection's words; until the next connection's are read */
};

/* Fills `lexical` (connection_id, documents, passages and few are set) and finds at most `most`, best first; the same order in every run.
 */
MUST_CHECK enum status lexical_find(PGconn *db, const struct question *question, struct lexical *lexical, struct arena *arena,
                                    struct lexical_hit *hits, size_t most, size_t *ret_count, struct error *err);
/* What a word counts, by its (unsalted) term, after lexical_find; and whether the passages have it, as far as is known. */
double lexical_weight(const struct lexical *lexical, uint32_t term, bool *ret_known);

#endif
