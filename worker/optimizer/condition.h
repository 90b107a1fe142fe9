/* condition.h - a plan's filter or index condition, taken apart: which column is held against what, and whether an index could serve it. */
#ifndef AUTODB_OPTIMIZER_CONDITION_H
#define AUTODB_OPTIMIZER_CONDITION_H

#include <pg_query/pg_query.pb-c.h>

#include "common/arena.h"
#include "common/list.h"

enum condition_kind {
  CONDITION_EQUAL,      /* column = value */
  CONDITION_IN,         /* column = ANY (…) */
  CONDITION_RANGE,      /* column < value, BETWEEN */
  CONDITION_NULL,       /* IS NULL, IS NOT NULL */
  CONDITION_PREFIX,     /* LIKE 'abc%' */
  CONDITION_CONTAINS,   /* @>, &&, @@, ?: what GIN and GiST serve */
  CONDITION_TRUE,       /* a boolean column by itself, or NOT of one */
  CONDITION_PATTERN,    /* LIKE '%abc', ILIKE, ~: a trigram index at best */
  CONDITION_FUNCTION,   /* f(column) = value: an index on the expression */
  CONDITION_CAST,       /* column::type = value, not of texts to text */
  CONDITION_ARITHMETIC, /* column + 1 = value */
  CONDITION_OR,         /* of several columns */
  CONDITION_OTHER       /* <>, columns of one table against each other, subplans */
};

struct condition {
  enum condition_kind kind;
  const char *column, *table;      /* NULL when it names none, or several; table is its alias, NULL when not printed */
  const char *function, *op;       /* "lower"; "=": NULL when there is none */
  const PgQuery__Node *expression; /* the whole */
};
LIST_TYPE(condition_list, struct condition);

/* The parts that AND joins. Text is as EXPLAIN prints it ("(hashed SubPlan 1)" and its like are taken for a value). An empty list: it could
 * not be read, or memory is gone. */
void conditions_read(struct arena *arena, const char *text, struct condition_list *ret_conditions);
/* The same of an expression at hand. */
void conditions_of(struct arena *arena, PgQuery__Node *expression, struct condition_list *ret_conditions);
static inline bool condition_is_indexable(const struct condition *condition) {
  return condition->column && condition->kind <= CONDITION_TRUE;
}
/* Names every column below, each once. */
struct name_list;
LIST_TYPE(name_list, const char *);
void condition_columns(struct arena *arena, PgQuery__Node *expression, struct name_list *columns);

#endif
