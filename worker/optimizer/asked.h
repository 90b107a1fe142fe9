/* asked.h - what a query asks of each table it reads, whichever way it reads it now: conditions, joins, orders, groups, columns.
 *
 * The plan tells most: there views and subqueries are merged, conditions pushed to where they are checked, and what follows from equalities
 * is spelled out. The statement tells what a plan hides: an ORDER BY that an index serves already, min() and max(), which columns are
 * wanted. */
#ifndef AUTODB_OPTIMIZER_ASKED_H
#define AUTODB_OPTIMIZER_ASKED_H

#include "worker/optimizer/index_spec.h"
#include "worker/optimizer/plan.h"
#include "worker/query/resolve.h"

#define ASKED_ARMS_MAX 4 /* of an OR; one with more is not taken apart */

enum ask_kind {
  ASK_EQUAL,        /* column = value, = ANY (…) */
  ASK_NULL,         /* IS NULL */
  ASK_TRUE,         /* a boolean column, or NOT of one */
  ASK_JOIN,         /* column = column of another relation */
  ASK_RANGE,        /* < and its like, with a value or another relation's column */
  ASK_PREFIX,       /* LIKE 'abc%' */
  ASK_SERVED_EQUAL, /* f(column) = value: an expression */
  ASK_SERVED_RANGE,
  ASK_CONTAINS, /* @>, &&, @@, ?: GIN */
  ASK_PATTERN,  /* LIKE '%abc%', ILIKE, ~: trigrams */
  ASK_PREDICATE /* serves no key, but may bound a partial index: IS NOT NULL, <> */
};

struct ask {
  enum ask_kind kind;
  const struct snap_column *column;
  const char *op;         /* "=", "@>"; NULL */
  const char *expression; /* of ASK_SERVED_*: as an index has it */
  const char *predicate;  /* the condition as a partial index has it, when its other side is a literal; else NULL */
  const char *other;      /* of ASK_JOIN: the other relation's alias */
  bool several;           /* of ASK_EQUAL: = ANY (…), after which nothing is in order */
  int arm;                /* of an OR: which, from 1; 0 none */
};
LIST_TYPE(ask_list, struct ask);

struct asked_order {
  struct index_keys keys;
  bool limited; /* a LIMIT may stop reading early */
};
LIST_TYPE(order_list, struct asked_order);

struct asked_source { /* a mention of a table in FROM */
  const char *alias;
  const struct snap_table *table; /* of a partition the topmost parent */
  struct ask_list asks;
  struct order_list orders;  /* ORDER BY, merge joins, windows; and groups, whose order is free */
  struct index_names needed; /* columns the query wants, when those are all */
  bool needs_all;            /* or it is not known */
};
LIST_TYPE(source_list, struct asked_source);

/* names NULL: nothing is resolved (INSERT, UPDATE, DELETE, MERGE). */
MUST_CHECK enum status asked_read(struct arena *arena, const struct snapshot *snapshot, const struct query_plan *plan,
                                  PgQuery__Node *statement, const struct query_resolution *names, struct source_list *ret_sources,
                                  struct error *err);

#endif
