/* resolve.h - every name of a SELECT found in the snapshot, or reported.
 *
 * Scopes are PostgreSQL's: tables, CTEs (recursive ones, too), subqueries, LATERAL, JOIN USING and NATURAL, functions in FROM, VALUES, set
 * operations, output names in GROUP BY and ORDER BY, system columns, whole rows, attribute notation. What comes back serves the check
 * of generated SQL, the guard, and whoever rewrites or indexes the statement: what a ColumnRef means, what a scope holds, what is read.
 *
 * Nothing is executed and nothing but the snapshot is asked. Depth is bounded by sql_guard_depth, which ran before the tree was built. */
#ifndef AUTODB_QUERY_RESOLVE_H
#define AUTODB_QUERY_RESOLVE_H

#include <pg_query/pg_query.pb-c.h>

#include "common/arena.h"
#include "common/error.h"
#include "worker/query/builtins.h"
#include "worker/query/suggest.h"
#include "worker/schema/snapshot.h"

struct query_column {
  const char *name;
  const char *type;               /* as format_type() prints it; NULL when unknown */
  bool nullable;                  /* false only where it is proved */
  const struct snap_table *table; /* where it comes from unchanged; NULL when it is computed */
  const struct snap_column *column;
};

enum query_rte_kind {
  QUERY_TABLE,    /* also a view or materialised view */
  QUERY_SUBQUERY, /* also a set operation or VALUES in FROM */
  QUERY_CTE,
  QUERY_FUNCTION, /* also JSON_TABLE, XMLTABLE, ROWS FROM */
  QUERY_JOIN,     /* the merged columns of USING and NATURAL, or an alias given to a join; its members stand beside it */
};

/* A range table entry: something in FROM with a name and columns. */
struct query_rte {
  enum query_rte_kind kind;
  const char *name;               /* alias, else the relation's own name; NULL: its columns are visible, it has no name */
  const struct snap_table *table; /* QUERY_TABLE; NULL when it is not in the snapshot */
  const PgQuery__Node *node;      /* RangeVar, RangeSubselect, RangeFunction, JoinExpr, … as parsed */
  struct query_column *columns;
  size_t column_count;
  bool *merged;        /* flags of columns that USING or NATURAL merged into a join's: found by qualified names only; NULL: none */
  bool open;           /* it may have more columns than are known: any name is accepted */
  bool outer;          /* on the nullable side of an outer join */
  bool aliased;        /* its name is an alias: the relation's own name does not refer to it */
  bool hidden;         /* below a join with an alias: cannot be referred to */
  bool qualified_only; /* USING (…) AS name: its columns are found by qualified names only */
};

struct query_scope {
  struct query_scope *parent; /* NULL: the statement itself */
  const PgQuery__SelectStmt *select;
  struct query_rte **rtes; /* in the order in which * lists their columns */
  size_t rte_count;
  struct query_column *outputs; /* the SELECT's own columns */
  size_t output_count;
  bool outputs_open; /* there may be more: (f(x)).* of an unknown row type */
  /* private, while resolving */
  size_t visible_from; /* the first rte that may be referred to */
};

/* What a ColumnRef is. */
struct query_binding {
  const PgQuery__ColumnRef *ref;
  struct query_scope *scope;   /* where it stands */
  const struct query_rte *rte; /* NULL: an output name in GROUP BY or ORDER BY, or unresolved */
  int column;                  /* index into rte->columns; -1: the whole row; -2: system column; -3: of an open entry, by name only */
  int levels_up;               /* 0: of its own scope; 1: of the query around it, … */
  bool output;                 /* `column` is an index into scope->outputs */
};

struct query_relation { /* one per mention in FROM */
  const struct snap_table *table;
  const struct query_rte *rte;
  const PgQuery__RangeVar *var;
  bool *columns; /* table->column_count flags: referred to by name, by * or by a whole-row reference */
  bool whole_row;
};

struct query_function { /* one per call */
  const char *schema;   /* as written, or NULL */
  const char *name;
  int arguments, position;              /* position: byte offset in the text */
  const struct builtin *builtin;        /* one of these two, or neither when it is unknown */
  const struct snap_function *function; /* of the fitting ones the one that promises least */
  const PgQuery__FuncCall *call;        /* NULL: attribute notation (t.func), which calls as well */
};

struct query_operator {      /* one per use */
  const char *schema, *name; /* schema: of OPERATOR(schema.+), else NULL */
  bool builtin;              /* pg_catalog has one of that name */
  int position;
  const PgQuery__Node *left, *right; /* its sides, where it stands between two expressions; else NULL */
};

enum query_name_kind { QUERY_NAME_TABLE, QUERY_NAME_COLUMN, QUERY_NAME_FUNCTION, QUERY_NAME_OPERATOR, QUERY_NAME_TYPE };

struct query_problem {
  enum query_name_kind kind;
  const char *name;                       /* as written, dotted: "o.totl" */
  const char *message;                    /* a sentence */
  const char *suggestions[SUGGEST_COUNT]; /* best first, NULL when there are fewer; ready to be put in its place */
  int position;                           /* byte offset in the text the tree was parsed from */
};

struct query_resolution {
  const struct snapshot *snapshot;
  struct query_scope *top;
  struct query_scope **scopes;
  size_t scope_count; /* each after the one around it */
  struct query_binding *bindings;
  size_t binding_count; /* sorted by address of ref */
  struct query_relation *relations;
  size_t relation_count;
  struct query_function *functions;
  size_t function_count;
  struct query_operator *operators;
  size_t operator_count;
  size_t indirection_count; /* (x).y and (x)[1] met: what the guard holds against its own count */
  struct query_problem *problems;
  size_t problem_count;
  const char **path; /* the schemas, in order, in which names without one are looked for: below */
  size_t path_count;
};

/* The path is the search path of the role as the snapshot has it, without schemas that the snapshot leaves out (but for the homes of
 * extensions, last: their operators are looked up there), and the schemas of tables that were named without one and are in none of these.
 * A statement that was resolved runs by it and no other: else the server may find what was not looked at. */
bool query_on_path(const struct query_resolution *resolution, const char *schema);

/* Resolves a SELECT, set operation, VALUES or TABLE. Names not found are problems, not errors: the only failure is memory. */
MUST_CHECK enum status query_resolve(const struct snapshot *snapshot, PgQuery__SelectStmt *select, struct arena *arena,
                                     struct query_resolution **ret_resolution, struct error *err);

const struct query_binding *query_binding(const struct query_resolution *resolution, const PgQuery__ColumnRef *ref);
struct query_scope *query_scope_of(const struct query_resolution *resolution, const PgQuery__SelectStmt *select);
/* The column a binding stands for; NULL for whole rows, system columns and what is unknown. */
const struct query_column *query_bound_column(const struct query_binding *binding);
/* Whether it can be NULL where it is referred to: false only when NOT NULL and not on the nullable side of an outer join. */
bool query_bound_nullable(const struct query_binding *binding);
/* The type of any expression of the statement as far as it is known; NULL otherwise. */
const char *query_expression_type(const struct query_resolution *resolution, const PgQuery__Node *expression, struct arena *arena);
/* [{"kind","name","message","position","suggestions"}], for answers; new reference. */
json_t *query_problems_json(const struct query_resolution *resolution);

#endif
