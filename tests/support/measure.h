/* measure.h - what one statement really does to a server: locks seen from a second session, new file nodes, scan counters, the error.
 *
 * Plain libpq and pg_locks, on purpose nothing of sandbox/: facts measured here are what the analysis and the tracer are held against.
 * Relations that the migration itself made are left out, and so are indexes, sequences' and tables' toast, and catalogs. */
#ifndef AUTODB_TESTS_MEASURE_H
#define AUTODB_TESTS_MEASURE_H

#include <jansson.h>

/* {"locks": {"public.t": "AccessExclusive"}, "rewrites": [...], "scans": [...]} or {"error": "23505"}, a new reference. `inside` runs
 * before the statement in the same transaction; a lock it holds already is not the statement's. Everything is rolled back. NULL when the
 * server refuses what is in `inside`. */
json_t *measure_inside(const char *url, const json_t *inside, const char *sql);
/* The same for what refuses to run in a transaction, seen while others hold it up: locks and rewrites only, and committed. The statement is
 * first tried in a transaction: "in_transaction" is the SQLSTATE it got there. */
json_t *measure_outside(const char *url, const char *sql);
void measure_end(void); /* closes the sessions kept open between calls: before the database goes */

#endif
