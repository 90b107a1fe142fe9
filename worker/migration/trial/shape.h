/* trial/shape.h - what a snapshot's statistics say about the rows a sandbox should have. */
#ifndef AUTODB_MIGRATION_SANDBOX_SHAPE_H
#define AUTODB_MIGRATION_SANDBOX_SHAPE_H

#include "worker/schema/snapshot.h"

/* The columns sandbox_seed wants, for so many rows per table; only those that deviate from "no NULLs, all different". Rounded to rows, so
 * that it stays the same while statistics move a little. Numbers alone: no value of the client's is in it. NULL: out of memory, or more
 * than LIMIT_SANDBOX_SHAPE columns (sandboxes of such schemas go without). */
char *sandbox_shape(const struct snapshot *snapshot, int rows, struct arena *arena);

#endif
