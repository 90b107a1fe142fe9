/* index_spec.h - what an index is made of: read from CREATE INDEX, written as CREATE INDEX, compared with another. */
#ifndef AUTODB_OPTIMIZER_INDEX_SPEC_H
#define AUTODB_OPTIMIZER_INDEX_SPEC_H

#include "common/arena.h"
#include "common/list.h"
#include "worker/schema/snapshot.h"

#define INDEX_KEYS_MAX 4 /* of what is proposed; existing ones may have more */

struct index_key {
  const char *column;           /* NULL: an expression */
  const char *expression;       /* as text that stands in parentheses; NULL: a column */
  const char *opclass;          /* NULL: the type's default */
  const char *collation;        /* NULL: the column's */
  bool descending, nulls_first; /* the default is nulls_first == descending */
};
LIST_TYPE(index_keys, struct index_key);
LIST_TYPE(index_names, const char *);

struct index_spec {
  const struct snap_table *table;
  const char *method; /* "btree" */
  struct index_keys keys;
  struct index_names include;
  const char *predicate; /* NULL: all rows */
  bool unique;
};

/* From pg_get_indexdef(). False when it can't be read, or memory is gone. */
MUST_CHECK bool index_spec_read(struct arena *arena, const struct snap_table *table, const char *definition, struct index_spec *ret_spec);

/* "CREATE INDEX [CONCURRENTLY] name ON schema.table USING …": no semicolon. NULL when memory is gone. On a partitioned table CONCURRENTLY
 * is not to be had, and left out. */
const char *index_spec_create(struct arena *arena, const struct index_spec *spec, const char *name, bool concurrently);
/* A query for the rows the predicate lets in. */
const char *index_spec_probe(struct arena *arena, const struct index_spec *spec);
/* What tells two specs apart, as text. */
const char *index_spec_text(struct arena *arena, const struct index_spec *spec);
/* A name that says what is in it, free in the table's schema as the snapshot has it. again: how many such names are not wanted. */
const char *index_spec_name(struct arena *arena, const struct snapshot *snapshot, const struct index_spec *spec, int again);

/* Whether `wide` serves every scan that `narrow` would: the same kind, rows and order; narrow's keys lead wide's. */
bool index_spec_covers(const struct index_spec *wide, const struct index_spec *narrow);
/* The same to the last column. */
bool index_spec_same(const struct index_spec *a, const struct index_spec *b);
/* Key, INCLUDE, expression or predicate names the column. */
bool index_spec_mentions(struct arena *arena, const struct index_spec *spec, const char *column);

#endif
