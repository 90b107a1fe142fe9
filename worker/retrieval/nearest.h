/* nearest.h - the passages of a connection whose vectors are nearest to a question's. Private to retrieval/.
 *
 * What the process was asked about lately it keeps in memory as codes (codes.h), and before each question it reads what was ingested since:
 * so every vector is looked at, and the share of a tenant never decides what is found. The best by their codes are put in order by their
 * vectors, in the database. */
#ifndef AUTODB_RETRIEVAL_NEAREST_H
#define AUTODB_RETRIEVAL_NEAREST_H

#include <libpq-fe.h>

#include "common/arena.h"
#include "common/error.h"
#include "worker/embed/embed.h"

struct nearest_query {
  const char *connection_id;
  const struct embed_model *model;
  const float *vector;
  const char *documents; /* uuid[] literal of those wanted; NULL: all */
};
struct nearest_hit {
  uint8_t id[16]; /* of the chunk */
  double score;   /* inner product */
};

/* At most `most` (LIMIT_RETRIEVAL_RESULTS * 4), best first. In a transaction that sees one snapshot. */
MUST_CHECK enum status nearest_find(PGconn *db, const struct nearest_query *query, struct arena *arena, struct nearest_hit *hits,
                                    size_t most, size_t *ret_count, struct error *err);
/* How many passages are kept of that connection and model, as last seen; 0: none are. */
size_t nearest_known(const char *connection_id, int model);

#endif
