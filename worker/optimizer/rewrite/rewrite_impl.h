/* rewrite_impl.h - what the rules share: the attempt they work on, questions about the tree, facts of the schema. */
#ifndef AUTODB_REWRITE_IMPL_H
#define AUTODB_REWRITE_IMPL_H

#include "worker/optimizer/rewrite/rewrite.h"
#include "worker/query/resolve.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* One attempt: a rule finds its form at place after place; the attempt is about place number `site`. Until a rule is at that place it
 * changes nothing; what it then changes is the attempt's own tree. */
struct rewrite {
  struct arena *arena;
  const struct snapshot *snapshot;
  PgQuery__Node *statement;
  const struct query_resolution *names; /* of the tree before anything was changed; nodes made since have no bindings */
  bool local_only;                      /* only conditions may be changed in place: facts of the schema say nothing here */
  int site, seen;
  struct rewrite_candidate *candidate;
};

/* Answers whether the rule made its change. */
typedef bool (*rewrite_apply)(struct rewrite *rw);

/* To add a rewrite: a row in rules_table.c, a function, a positive and a negative twin in tests/integration/test_rewrites.c, a form in
 * tests/support/query_maker.h so that it is fuzzed, and deploy/check/rules --fix, which writes REWRITES.md. */
struct rewrite_rule {
  const char *code; /* kebab-case, stable */
  rewrite_apply apply;
  bool local; /* changes conditions in place by what types alone say: fine with views, row security, inheritance */
  enum rewrite_costs costs;
  const char *group, *from, *to, *when; /* for REWRITES.md */
};
extern const struct rewrite_rule rewrite_rules[];
extern const size_t rewrite_rule_count;

/* --- an attempt (propose.c) --- */

bool rewrite_here(struct rewrite *rw); /* all preconditions hold at this place: is it the one this attempt is about? */
void rewrite_assume(struct rewrite *rw, const char *fmt, ...) PRINTF_LIKE(2, 3); /* said once */
void rewrite_explain(struct rewrite *rw, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --- trees (edit.c) --- */

/* Text of an expression, in parentheses unless it binds tightest; NULL when it can't be printed. */
const char *rewrite_print(struct rewrite *rw, PgQuery__Node *node);
PgQuery__Node *rewrite_parse(struct rewrite *rw, const char *fmt, ...) PRINTF_LIKE(2, 3);              /* an expression */
PgQuery__SelectStmt *rewrite_parse_select(struct rewrite *rw, const char *fmt, ...) PRINTF_LIKE(2, 3); /* NULL unless it is a SELECT */
PgQuery__Node *rewrite_select_node(struct rewrite *rw, PgQuery__SelectStmt *select);
PgQuery__Node *rewrite_copy(struct rewrite *rw, PgQuery__Node *expression); /* a deep copy, by way of its text */

/* Conditions that filter rows: WHERE, HAVING, ON, through AND, OR and NOT. positive: FALSE and NULL do the same there. Ends with the first
 * visit that answers true, and answers that. */
typedef bool (*rewrite_condition)(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg);
bool rewrite_conditions(struct rewrite *rw, rewrite_condition visit, void *arg);

/* The operands of nested ANDs; {NULL} has none. */
size_t rewrite_conjuncts(struct rewrite *rw, PgQuery__Node *root, PgQuery__Node ***ret_list);
void rewrite_drop_conjunct(PgQuery__Node **root, PgQuery__Node *conjunct);
void rewrite_add_conjunct(struct rewrite *rw, PgQuery__Node **root, PgQuery__Node *conjunct);

bool rewrite_is_select(const PgQuery__SelectStmt *select); /* no set operation, no VALUES */
/* SELECT … FROM … WHERE … alone: no WITH, GROUP BY, HAVING, WINDOW, ORDER BY, LIMIT, DISTINCT. */
bool rewrite_is_plain(const PgQuery__SelectStmt *select);
bool rewrite_is_distinct(const PgQuery__SelectStmt *select);                  /* SELECT DISTINCT, not DISTINCT ON */
bool rewrite_is_aggregate(struct rewrite *rw, const PgQuery__FuncCall *call); /* or may be, as far as is known */
/* Aggregates or window functions among its outputs, ORDER BY or HAVING, not counting those of subqueries. */
bool rewrite_aggregates(struct rewrite *rw, const PgQuery__SelectStmt *select);
bool rewrite_windows(struct rewrite *rw, const PgQuery__SelectStmt *select);
bool rewrite_sorts_by_aggregate(struct rewrite *rw, const PgQuery__SelectStmt *select); /* which may be all that makes it one row */
bool rewrite_has_sublink(PgQuery__Node *node);
/* Asked twice it may give other rows: LIMIT, DISTINCT ON, window functions, aggregates that depend on the order of rows (order.c). */
bool rewrite_varies(struct rewrite *rw, PgQuery__Node *node);
/* Of a cast to a type of PostgreSQL's own, without modifiers, its name ("date", "int4"); NULL for everything else. */
const char *rewrite_cast_name(const PgQuery__Node *node);
/* A name no entry of FROM, CTE, table or column of the statement has: "base", else "base2", … */
const char *rewrite_fresh_name(struct rewrite *rw, const char *base);
/* A lone * of the select list becomes "a.*, b.*", so that what is added to FROM does not show. False: it can't. */
bool rewrite_expand_star(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select, bool change);

struct rewrite_comparison { /* left op right; op as PostgreSQL names it ("<>", never "!=") */
  PgQuery__AExpr *expr;
  PgQuery__Node *left, *right;
  const char *op;
};
bool rewrite_is_comparison(const PgQuery__Node *node, struct rewrite_comparison *ret_comparison);
const char *rewrite_flipped(const char *op); /* with its sides exchanged */
const char *rewrite_negated(const char *op);
void rewrite_flip(struct rewrite_comparison *comparison);

/* --- constants --- */

bool rewrite_int_literal(const PgQuery__Node *node, int64_t *ret_value); /* 5, -5, 5000000000 */
const char *rewrite_text_literal(const PgQuery__Node *node);             /* 'text' without a cast; NULL */
bool rewrite_is_literal(const PgQuery__Node *node);                      /* any but NULL */
bool rewrite_is_constant(struct rewrite *rw,
                         PgQuery__Node *node);                  /* the same for all rows: literals, parameters, now() and the like, casts */
bool rewrite_is_value(struct rewrite *rw, PgQuery__Node *node); /* the same, and can't fail: literals, parameters, CURRENT_DATE */
/* A call of PostgreSQL's own function of that name, which nobody's shadows. */
bool rewrite_is_builtin(struct rewrite *rw, const PgQuery__Node *node, const char *name, size_t arguments);

/* --- names (facts.c) --- */

/* What a plain reference to a column of an entry of FROM is bound to; NULL for everything else. */
const struct query_binding *rewrite_column(struct rewrite *rw, const PgQuery__Node *node);
bool rewrite_same_column(const struct query_binding *a, const struct query_binding *b);
/* Whether the expression refers to the entry; to what is not known it may. */
bool rewrite_refers(struct rewrite *rw, PgQuery__Node *node, const struct query_rte *rte);
bool rewrite_refers_up(struct rewrite *rw, PgQuery__Node *node, const struct query_scope *scope); /* out of the scope, to one around it */
/* Whether its names would mean the same inside of `inner`, a scope below theirs; qualifies those that are bare. change false: only asks. */
bool rewrite_move_in(struct rewrite *rw, PgQuery__Node *node, const struct query_scope *inner, bool change);
const char *rewrite_column_text(struct rewrite *rw, const struct query_binding *binding); /* "o.customer_id" */
/* Whether nothing in the expression can raise an error: comparisons, AND/OR/NOT, IS NULL, IN lists, of columns and values, and subqueries
 * that consist of such. What is moved to where it is asked of more rows has to be. */
bool rewrite_is_safe(struct rewrite *rw, PgQuery__Node *node); /* NULL is */

/* --- facts of the schema, stated as assumptions by rewrite_state_* once a rule has made use of them --- */

enum rewrite_type {
  TYPE_OTHER,
  TYPE_INT2,
  TYPE_INT4,
  TYPE_INT8,
  TYPE_NUMERIC,
  TYPE_FLOAT,
  TYPE_TEXT, /* and varchar */
  TYPE_BOOL,
  TYPE_DATE,
  TYPE_TIMESTAMP,
  TYPE_TIMESTAMPTZ,
  TYPE_UUID
};
enum rewrite_type rewrite_type_of(const char *type); /* as format_type() prints it */
enum rewrite_type rewrite_type(struct rewrite *rw, const PgQuery__Node *node);
bool rewrite_is_int(enum rewrite_type type);
/* The two are compared by an operator of PostgreSQL's whose equality is an equivalence over both. */
bool rewrite_comparable(enum rewrite_type a, enum rewrite_type b);

/* NOT NULL where it stands: by its column, and not on the nullable side of an outer join. */
bool rewrite_not_null(struct rewrite *rw, const struct query_binding *binding);
bool rewrite_declared(const struct query_column *column); /* NOT NULL in its table, wherever that stands */
void rewrite_state_not_null(struct rewrite *rw, const struct query_binding *binding);
/* A conjunct of WHERE rejects NULLs of it. */
bool rewrite_filtered(struct rewrite *rw, const PgQuery__SelectStmt *select, const struct query_binding *binding);
/* The name of a unique key of the table, valid and not deferrable, all of whose columns are flagged; NULL. */
struct rewrite_key {
  const char *name;
  const char **columns;
  size_t column_count;
};
bool rewrite_unique(struct rewrite *rw, const struct snap_table *table, const bool *columns, bool not_null, struct rewrite_key *ret_key);
void rewrite_state_unique(struct rewrite *rw, const struct snap_table *table, const struct rewrite_key *key);
bool *rewrite_flags(struct rewrite *rw, const struct snap_table *table); /* all false */
bool rewrite_flag(bool *flags, const struct query_binding *binding);     /* sets the column's; false: not the table's */

/* --- the rows' functions, by file --- */
#define REWRITES(name) bool name(struct rewrite *rw)
REWRITES(rewrite_date_range); /* dates.c */
REWRITES(rewrite_arithmetic); /* compare.c */
REWRITES(rewrite_numeric_literal);
REWRITES(rewrite_coalesce);
REWRITES(rewrite_text_cast);
REWRITES(rewrite_prefix);
REWRITES(rewrite_row_comparison); /* ranges.c */
REWRITES(rewrite_implied_range);
REWRITES(rewrite_not_in); /* subquery.c */
REWRITES(rewrite_count_exists);
REWRITES(rewrite_in_cosmetics);
REWRITES(rewrite_in_exists);
REWRITES(rewrite_correlated_aggregate); /* correlated.c */
REWRITES(rewrite_correlated_lookup);
REWRITES(rewrite_same_subquery);
REWRITES(rewrite_one_scan);
REWRITES(rewrite_anti_join); /* joins.c */
REWRITES(rewrite_needless_join);
REWRITES(rewrite_distinct_join);
REWRITES(rewrite_needless_distinct); /* distinct.c */
REWRITES(rewrite_union_all);
REWRITES(rewrite_count_key);
REWRITES(rewrite_or_arms); /* arms.c */
REWRITES(rewrite_or_select_arms);
REWRITES(rewrite_cte_inline); /* order.c */
REWRITES(rewrite_needless_order);
REWRITES(rewrite_first_row);

#endif
