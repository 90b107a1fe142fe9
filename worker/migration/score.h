/* score.h - one number per statement, explained by its parts; and what it costs in time, which is something else.
 *
 * Monotone by construction: every factor only adds points, and each grows with the lock's strength, the table's size and traffic, or
 * what is lost. Durations come from bytes and these rates, of an ordinary cloud volume; they say an order of magnitude, not a promise.
 * Two costs are kept apart: how long the statement works once it holds its locks (estimated_ms), and how many queries pile up behind it
 * while it still waits for them (lock_queue). Findings silenced by comments count in full. */
#ifndef AUTODB_SCORE_H
#define AUTODB_SCORE_H

#include "worker/migration/analysis.h"

#define SCORE_SCAN_BYTES_PER_MS (200 * 1024)   /* reading a table: 200 MB/s */
#define SCORE_REWRITE_BYTES_PER_MS (40 * 1024) /* writing it anew with its indexes and WAL: 40 MB/s */
#define SCORE_BUILD_BYTES_PER_MS (60 * 1024)   /* reading, sorting and writing one index, per byte of table: 60 MB/s */
#define SCORE_LOCK_WAIT_MS 3000                /* how long a statement waits for a lock when nobody says: the executor's default */

/* Fills factors, score, estimated_ms and blocked_per_s; the effect and the rollback must be there. May be called again when more is
 * known. */
void score_statement(const struct analysis *analysis, struct statement *statement);

#endif
