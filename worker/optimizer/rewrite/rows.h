/* rows.h - made-up rows that tell queries apart: few values, so that joins meet and duplicates and ties arise; the query's own constants
 * and their neighbours; NULLs where they may be; tables that are empty; the ends of types.
 *
 * Rows are inserted one by one, each guarded by its own block: what a constraint refuses is left out, so whatever the schema promises holds
 * for what remains. But for CHECKs and triggers that would leave a table empty (trial.c): no rewrite relies on those. */
#ifndef AUTODB_REWRITE_ROWS_H
#define AUTODB_REWRITE_ROWS_H

#include <libpq-fe.h>

#include "common/error.h"
#include "worker/query/resolve.h"

#define ROWS_SETS 16 /* data sets of one trial */

struct rows; /* in the arena */

/* For the relations that the query reads, and those their foreign keys need. `values` may be NULL: texts of literals, as many as
 * value_count, that belong to the query as well. */
MUST_CHECK enum status rows_new(const struct snapshot *snapshot, PgQuery__Node *statement, const struct query_resolution *names,
                                const char *const *values, int value_count, struct arena *arena, struct rows **ret_rows, struct error *err);
/* Constants of another query that is tried on the same rows: what it treats apart has to be met. */
void rows_take(struct rows *rows, PgQuery__Node *statement);
/* One statement that fills the tables for that data set; NULL when memory is short. */
const char *rows_fill_sql(struct rows *rows, int set);
/* A query for the tables that have no row, as literals with commas between; NULL when there is none. "": there are no tables. */
const char *rows_empty_sql(struct rows *rows);
/* A value, as text, for a parameter of that type in that data set; NULL: SQL NULL. */
const char *rows_parameter(struct rows *rows, int set, int number, Oid type);

#endif
