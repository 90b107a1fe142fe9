/* usual.h - about how many passages of a connection have a word: from a sample of them, kept by the process for a while. Private to
 * retrieval/. */
#ifndef AUTODB_RETRIEVAL_USUAL_H
#define AUTODB_RETRIEVAL_USUAL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct usual; /* the process's own; good until the next call */

/* passages: how many the connection has, about. */
MUST_CHECK enum status usual_of(PGconn *db, const char *connection_id, double passages, const struct usual **ret_usual, struct error *err);
/* Passages that have the (salted) term, about; less than one where the sample has it once or never. */
double usual_passages(const struct usual *usual, int32_t term);

bool usual_has(const struct usual *usual, int32_t term); /* the sample has it */

#endif
