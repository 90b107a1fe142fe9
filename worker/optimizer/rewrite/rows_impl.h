/* rows_impl.h - made-up rows: the values they are made of (rows_values.c), and where they go (rows.c). */
#ifndef AUTODB_REWRITE_ROWS_IMPL_H
#define AUTODB_REWRITE_ROWS_IMPL_H

#include "worker/optimizer/rewrite/rows.h"

#define VALUES_MAX 48
#define OWN_MAX 30 /* of them from the query */
#define OWN_FEW 4  /* of those, that most values of a data set are */
#define TABLES_MAX 24

enum family { INT, NUMBER, TEXT, BOOLEAN, MOMENT, UUID, INTERVAL, TIME, JSON, BYTES, ADDRESS, ARRAY, FAMILIES, ENUM, UNKNOWN };

struct value {
  const char *sql, *raw; /* an expression; the same as a parameter's text, NULL when there is none */
};
struct pool {
  struct value values[VALUES_MAX];
  int count, own; /* own: those of the query, which come first */
};

struct rows {
  struct arena *arena;
  const struct snapshot *snapshot;
  struct pool pools[FAMILIES];
  const struct snap_table *tables[TABLES_MAX]; /* parents first */
  const struct snap_table *taking[TABLES_MAX]; /* being looked at: keys that go round end here */
  int taking_count;
  int table_count, read_count;                                  /* read_count: relations the query itself reads */
  const struct snap_table *read[TABLES_MAX], *kept[TABLES_MAX]; /* kept: materialised views among them */
  int kept_count;
  uint64_t random;
  bool complete; /* values that belong to no query stand behind those that do */
};

bool pools_see(void *rows, PgQuery__Node *node);                 /* for sql_walk: takes the query's constants, with their neighbours */
void pools_take_expression(struct rows *rows, const char *text); /* the same of an expression */
void pools_take_constraints(struct rows *rows, const struct snap_table *table); /* constants of CHECKs and partition bounds */
void pools_add_basics(struct rows *rows);                                       /* values that belong to no query, behind those that do */

#endif
