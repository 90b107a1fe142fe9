/* forms/feasibility.h - whether rows stand in the way: a verdict from what statistics and constraints say, and the query that decides.
 *
 * Statistics are a sample of a past instant. They can show that something is there (NULLs, duplicates), as long as too few rows were
 * changed since to have removed it; they never show that something is not. Every query is answered by its first column: true, or an
 * error of class 22 or 23, means that rows violate what the statement wants; it runs as it stands, on any server, reading only. */
#ifndef AUTODB_FEASIBILITY_H
#define AUTODB_FEASIBILITY_H

#include "worker/migration/forms/forms.h"

enum verdict feasibility_not_null(const struct rel *rel, const struct snap_column *column);
enum verdict feasibility_unique(const struct rel *rel, const char *const *columns, size_t count);
enum verdict feasibility_fits(const struct rel *rel, const struct snap_column *column, const char *type);
/* A validated foreign key of the same columns to the same table is there already. */
bool feasibility_key_proven(const struct rel *rel, const struct rel *ref, const char *const *columns, size_t count);
/* The same, of a CHECK. */
bool feasibility_check_proven(struct form *form, const struct rel *rel, const char *expression);

const char *feasibility_nulls_sql(struct form *form, const struct rel *rel, const char *column);
/* keys: SQL of each key, quoted as needed. where: SQL or NULL. */
const char *feasibility_duplicates_sql(struct form *form, const struct rel *rel, const char *const *keys, size_t count, const char *where,
                                       bool nulls_equal);
const char *feasibility_fits_sql(struct form *form, const struct rel *rel, const char *column, const char *type);
/* Rows of rel that are (within) or are not within the bound of a partition of parent; NULL for hash bounds and multi-column ones with
 * MINVALUE or MAXVALUE. */
const char *feasibility_bound_sql(struct form *form, const struct rel *rel, const struct rel *parent,
                                  const PgQuery__PartitionBoundSpec *bound, bool within);
/* Two rows that an exclusion constraint over plain columns forbids; NULL for others. */
const char *feasibility_exclusion_sql(struct form *form, const struct rel *rel, const PgQuery__Constraint *constraint);

#endif
