/* seed.h - what seeding knows about the clone's tables. Private to seed*.c. Strings live in the arena. */
#ifndef AUTODB_SANDBOX_SEED_H
#define AUTODB_SANDBOX_SEED_H

#include <libpq-fe.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"

#define SEED_LITERALS_MAX 24

struct seed_column {
  int attnum;
  const char *name; /* as in the catalog */
  const char *quoted;
  const char *type;         /* qualified, with modifier: what values are cast to */
  const char *base;         /* pg_type.typname beneath domains: "int4", "varchar", "_text", an enum's name */
  const char *element;      /* arrays: the element type's typname */
  const char *element_type; /* arrays: qualified */
  const char *type_name;    /* its own pg_type.typname: a domain's is what a violation names */
  char kind, element_kind;  /* typtype beneath domains: b e r m c */
  bool array;
  int modifier;                            /* atttypmod beneath domains; -1: none */
  int fields;                              /* composite: how many */
  bool not_null, fixed;                    /* fixed: identity or generated, never given a value */
  const char *default_expr;                /* NULL: none */
  bool unique;                             /* part of a unique index */
  const char *literals[SEED_LITERALS_MAX]; /* constants that constraints compare it with, as SQL */
  int literal_count;
  int candidate;     /* which of its values is being tried */
  const char *given; /* from a foreign key: overrides candidates */
  bool given_alone;  /* by a key of this column alone */
  int nulls;         /* so many rows get NULL; only of those that may be */
  int distinct;      /* so many values, again and again; 0: as many as there are rows */
};
struct seed_check {
  const char *name;
  struct seed_column **columns;
  int column_count;
};
struct seed_fk {
  struct seed_table *parent; /* NULL: not one of ours */
  const char *parent_name;
  struct seed_column **columns;
  const char **ref_columns; /* quoted */
  int *ref_attnums;
  int column_count;
};
struct seed_table {
  uint32_t oid;
  const char *name;    /* qualified */
  char kind;           /* r or p; p is filled through its partitions */
  uint32_t parent_oid; /* of a partition */
  struct seed_column *columns;
  int column_count;
  struct seed_check *checks;
  int check_count;
  struct seed_fk *fks;
  int fk_count;
  bool shaped; /* some column has nulls or distinct */
  bool done;
};
struct seed_catalog {
  struct seed_table *tables;
  int count;
};

/* --- seed_catalog.c --- */
MUST_CHECK enum status seed_catalog_read(PGconn *conn, struct arena *arena, struct seed_catalog *ret_catalog, struct error *err);
/* What production's columns look like, for this many rows: see sandbox_seed. Names that the clone doesn't have are passed over. */
MUST_CHECK enum status seed_shape_read(PGconn *conn, const char *shape, const struct seed_catalog *catalog, struct error *err);
struct seed_table *seed_table_find(const struct seed_catalog *catalog, uint32_t oid);

/* --- seed_values.c --- */
/* The index-th value to try for a column: an expression over the row number g.n (1 … rows), "" to leave the column to its default, NULL
 * when there are no more. */
const char *seed_candidate(struct arena *arena, const struct seed_column *column, int index);

#endif
