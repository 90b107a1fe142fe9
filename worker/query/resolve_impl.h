/* resolve_impl.h - what the files of the resolver share. Private to worker/query. */
#ifndef AUTODB_QUERY_RESOLVE_IMPL_H
#define AUTODB_QUERY_RESOLVE_IMPL_H

#include "worker/query/resolve.h"

struct cte {
  const struct cte *outer; /* declared before it, or around it */
  const char *name;
  struct query_column *columns;
  size_t column_count;
  bool open;
};

struct resolver {
  const struct snapshot *snapshot;
  struct arena *arena;
  struct query_resolution *out;
  const struct cte *ctes; /* visible here, innermost first */
  int major;              /* of the client's server */
  bool unknown_extension; /* an extension is installed whose functions we don't know: unknown names may be its */
  bool sorted;            /* bindings: done resolving */
  bool oom;
};

/* Room for one more item at the end of a growing array in the arena: a zeroed item, or NULL when out of memory. */
void *resolve_grow(struct resolver *r, void *items, size_t *count, size_t size);
#define RESOLVE_ADD(r, list, count) ((__typeof__(*(list)) *)resolve_grow((r), &(list), &(count), sizeof *(list)))

/* A name that is not there; suggest may be NULL. */
void resolve_problem(struct resolver *r, enum query_name_kind kind, int position, const char *name, const struct suggest *suggest,
                     const char *fmt, ...) PRINTF_LIKE(6, 7);

/* resolve.c */
struct query_scope *resolve_select(struct resolver *r, const PgQuery__SelectStmt *select, struct query_scope *parent);
void resolve_expression(struct resolver *r, struct query_scope *scope, PgQuery__Node *node);
void resolve_expressions(struct resolver *r, struct query_scope *scope, size_t count, PgQuery__Node *const *nodes);
const struct cte *resolve_cte(const struct resolver *r, const char *name);

/* resolve_path.c */
void resolve_begin_path(struct resolver *r);                    /* of the snapshot */
void resolve_note_path(struct resolver *r, const char *schema); /* a table of it was named without it */
void resolve_settle_functions(struct resolver *r);              /* once the path is known */

/* resolve_from.c */
void resolve_from(struct resolver *r, struct query_scope *scope, const PgQuery__SelectStmt *select);
bool resolve_is_catalog(const PgQuery__RangeVar *var);      /* by its name: of pg_catalog or information_schema */
bool rte_shows(const struct query_rte *rte, size_t column); /* by an unqualified name or * */

/* resolve_column.c */
void resolve_column_ref(struct resolver *r, struct query_scope *scope, const PgQuery__ColumnRef *ref);
/* A name in ORDER BY, DISTINCT ON (output names first) or GROUP BY (input first) that is an output's. False: not bound here. */
bool resolve_output_name(struct resolver *r, struct query_scope *scope, const PgQuery__Node *node, bool input_first);
void resolve_indirection(struct resolver *r, struct query_scope *scope, const PgQuery__AIndirection *indirection);
void resolve_read(struct resolver *r, const struct query_rte *rte, int column); /* -1: all columns */
const char *resolve_dotted(struct resolver *r, size_t count, PgQuery__Node *const *fields);

/* resolve_function.c */
void resolve_call(struct resolver *r, const PgQuery__FuncCall *call);
/* t.name where t has no such column: notes a call when such a function could be meant. */
bool resolve_attribute_call(struct resolver *r, const char *name, int position);
/* One of PostgreSQL's that a construct of the language looks up by name: IN, CASE x WHEN, USING. */
void resolve_implied_operator(struct resolver *r, const char *name, int position);
void resolve_operator(struct resolver *r, size_t count, PgQuery__Node *const *name, int position, const PgQuery__Node *left,
                      const PgQuery__Node *right);
void resolve_type(struct resolver *r, const PgQuery__TypeName *type);
struct builtin_found {
  const struct builtin *builtin;
  const struct snap_function *function;
};
/* Of the client's own functions of that name that take so many arguments (-1: any number) the one that promises least. schema NULL: of
 * the path's, or of any schema with `anywhere`. */
const struct snap_function *resolve_user_function(const struct resolver *r, const char *schema, const char *name, int arguments,
                                                  bool anywhere);
struct builtin_found resolve_find_function(const struct resolver *r, const char *schema, const char *name);

/* resolve_type.c */
const char *resolve_output_name_of(const struct resolver *r, const PgQuery__Node *expression); /* as PostgreSQL names a column without AS */
void resolve_describe(struct resolver *r, const PgQuery__Node *expression, struct query_column *column); /* type, nullable, origin */
/* Columns of a row type: a composite, a table's row. False: not known. */
bool resolve_row_type(struct resolver *r, const char *type, struct query_column **ret_columns, size_t *ret_count);
/* Columns of what a call in FROM returns; ret_open: there may be others. */
void resolve_call_columns(struct resolver *r, const PgQuery__FuncCall *call, struct query_column **ret_columns, size_t *ret_count,
                          bool *ret_open);

#endif
