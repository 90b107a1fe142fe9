/* score.h - one number per statement, explained by its parts.
 *
 * Monotone by construction: every factor only adds points, and each grows with the lock's strength, the table's size or what is lost.
 * Durations come from bytes and these rates, of an ordinary cloud volume; they say an order of magnitude, not a promise. */
#ifndef AUTODB_SCORE_H
#define AUTODB_SCORE_H

#include "worker/migration/analysis.h"

#define SCORE_SCAN_BYTES_PER_MS (200 * 1024)   /* reading a table: 200 MB/s */
#define SCORE_REWRITE_BYTES_PER_MS (40 * 1024) /* writing it anew with its indexes and WAL: 40 MB/s */
#define SCORE_BUILD_BYTES_PER_MS (60 * 1024)   /* reading, sorting and writing one index, per byte of table: 60 MB/s */

/* Fills factors, score and estimated_ms; findings and rollback must be there. */
void score_statement(const struct analysis *analysis, struct statement *statement);

#endif
