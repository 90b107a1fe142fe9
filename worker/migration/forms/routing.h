/* forms/routing.h - which partition a row goes to, which ones a condition leaves out, and whether a new one has room beside the others.
 *
 * Only keys of one plain column count, of numbers, strings, dates and timestamps; a timestamp with time zone where the database's is UTC,
 * as bounds are printed there. What can't be told is said to be unknown. */
#ifndef AUTODB_ROUTING_H
#define AUTODB_ROUTING_H

#include "worker/migration/forms/forms.h"

/* Certain failures (42P16, 42P17) for a bound that is not of the parent's kind, empty, or overlaps another partition's
 * (check_new_partition_bound of partitioning/partbounds.c). */
void routing_fits(struct form *form, const struct rel *parent, const PgQuery__PartitionBoundSpec *bound);
/* Whether no row of the partition can satisfy the condition (partitioning/partprune.c): the planner leaves it alone, and unlocked. */
bool routing_pruned(struct form *form, const struct rel *parent, struct rel *part, const PgQuery__Node *where);

enum routed { ROUTED_UNKNOWN, ROUTED_NOWHERE, ROUTED };
/* Where a row goes whose key is that constant. */
enum routed routing_of(struct form *form, const struct rel *parent, const PgQuery__Node *value, struct rel **ret_part);
/* The key's column; NULL unless it is one plain column. */
const char *routing_key(struct form *form, const struct rel *parent);
/* Locks what an INSERT or UPDATE, or with `where` a query of the tree, touches: the relation and the partitions the condition leaves. */
void routing_lock(struct form *form, struct rel *rel, enum lock_mode mode, const PgQuery__Node *where);
void routing_scan(struct form *form, struct rel *rel, const PgQuery__Node *where);

#endif
