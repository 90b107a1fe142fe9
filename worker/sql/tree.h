/* tree.h - reading libpg_query's typed protobuf trees.
 *
 * Absent strings are "" in these trees, never NULL; sql_or_null turns them back. */
#ifndef AUTODB_SQL_TREE_H
#define AUTODB_SQL_TREE_H

#include <pg_query/pg_query.pb-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/arena.h"

/* A protobuf allocator that carves from the arena and frees with it. */
void sql_allocator(struct arena *arena, ProtobufCAllocator *ret_allocator);

static inline const char *sql_or_null(const char *text) { return text && *text ? text : NULL; }
/* The text of a String node, or NULL for any other node. */
const char *sql_node_string(const PgQuery__Node *node);
/* The last part of a dotted name given as String nodes, and the part before it (NULL when there is none). */
void sql_name_split(size_t count, PgQuery__Node *const *parts, const char **ret_schema, const char **ret_name);
/* Integer constants ("SET STATISTICS 500", typmods). */
bool sql_node_int(const PgQuery__Node *node, long *ret_value);

/* Calls visit for every Node below and including `node`, parents first; visit answers whether to go below. Depth is bounded by
 * sql_guard, which ran before the tree was built. */
typedef bool (*sql_visit)(void *arg, PgQuery__Node *node);
void sql_walk(PgQuery__Node *node, sql_visit visit, void *arg);
/* The same below any message (a statement struct). */
void sql_walk_message(ProtobufCMessage *message, sql_visit visit, void *arg);

/* Calls each for every message directly below: for walks that keep their own stack, or look at messages that are no Node. */
typedef void (*sql_child)(void *arg, ProtobufCMessage *child);
void sql_children(const ProtobufCMessage *message, sql_child each, void *arg);

/* Whether a column called `column` is referred to below node. */
bool sql_mentions_column(PgQuery__Node *node, const char *column);

#endif
