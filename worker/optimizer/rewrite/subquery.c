/* subquery.c - IN, NOT IN, EXISTS and counts: what is asked of a subquery, asked so that it can become a join or stop at the first row. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

struct link { /* x [NOT] IN (SELECT y FROM … WHERE …) */
  PgQuery__SubLink *sublink;
  PgQuery__SelectStmt *select;
  struct query_scope *scope; /* of the subquery */
  PgQuery__Node *x, *y;
};

static PgQuery__SelectStmt *select_of(const PgQuery__SubLink *sublink) {
  return sublink->subselect && sublink->subselect->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? sublink->subselect->select_stmt : NULL;
}

/* IN: ANY without an operator's name. Its output may be DISTINCT: membership does not count. */
static bool read_in(struct rewrite *rw, const PgQuery__Node *node, struct link *link) {
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return false;
  *link = (struct link){.sublink = node->sub_link, .select = select_of(node->sub_link), .x = node->sub_link->testexpr};
  if (link->sublink->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || link->sublink->n_oper_name || !link->select || !link->x)
    return false;
  link->scope = query_scope_of(rw->names, link->select);
  if (!link->scope || !rewrite_is_select(link->select) || link->select->n_target_list != 1) return false;
  link->y = link->select->target_list[0]->res_target->val;
  return true;
}

/* Nothing between the rows and what comes out: WHERE may get one more condition. As a join it is asked of rows that were never looked at
 * before, so it may not fail. */
static bool is_open_to_conditions(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  return !select->with_clause && !select->n_group_clause && !select->having_clause && !select->limit_count && !select->limit_offset &&
         (!select->n_distinct_clause || rewrite_is_distinct(select)) && select->n_from_clause && !rewrite_aggregates(rw, select) &&
         !rewrite_windows(rw, select) && rewrite_is_safe(rw, select->where_clause);
}

static bool one_of_its_columns(struct rewrite *rw, const PgQuery__Node *node, const struct query_scope *scope) {
  const struct query_binding *binding = rewrite_column(rw, node);
  for (size_t i = 0; binding && i < scope->rte_count; i++)
    if (scope->rtes[i] == binding->rte) return true;
  return false;
}

static bool same_operator(struct rewrite *rw, const struct link *link) {
  return rewrite_comparable(rewrite_type(rw, link->x), rewrite_type(rw, link->y));
}

/* The subquery with x = y in it, under EXISTS. */
static PgQuery__Node *exists(struct rewrite *rw, const struct link *link, bool negated) {
  PgQuery__Node *made = rewrite_parse(rw, negated ? "NOT EXISTS (SELECT 1)" : "EXISTS (SELECT 1)");
  rewrite_move_in(rw, link->x, link->scope, true);
  const char *x = rewrite_print(rw, link->x), *y = rewrite_print(rw, link->y);
  PgQuery__Node *equal = x && y ? rewrite_parse(rw, "%s = %s", x, y) : NULL;
  if (!made || !equal) return NULL;
  PgQuery__Node *sublink = negated ? made->bool_expr->args[0] : made;
  PgQuery__SelectStmt *select = link->select, *one = select_of(sublink->sub_link);
  if (!one) return NULL;
  select->target_list = one->target_list;
  select->n_target_list = one->n_target_list;
  select->n_distinct_clause = 0;
  select->n_sort_clause = 0;
  rewrite_add_conjunct(rw, &select->where_clause, equal);
  sublink->sub_link->subselect = link->sublink->subselect;
  return made;
}

/* --- x NOT IN (SELECT y …) --- */

/* NOT IN is never true when y is NULL once, nor when x is NULL and there is any row. So neither may be. */
static bool see_not_in(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct link link;
  (void)scope;
  (void)arg;
  if (!positive || node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR ||
      !read_in(rw, node->bool_expr->args[0], &link))
    return false;
  const struct query_binding *x = rewrite_column(rw, link.x), *y = rewrite_column(rw, link.y);
  if (!x || !y || !one_of_its_columns(rw, link.y, link.scope) || !is_open_to_conditions(rw, link.select) || !same_operator(rw, &link))
    return false;
  bool x_filtered = scope->select && rewrite_filtered(rw, scope->select, x), y_filtered = rewrite_filtered(rw, link.select, y);
  if ((!rewrite_not_null(rw, x) && !x_filtered) || (!rewrite_not_null(rw, y) && !y_filtered)) return false;
  if (!rewrite_move_in(rw, link.x, link.scope, false) || !rewrite_here(rw)) return false;
  if (!x_filtered) rewrite_state_not_null(rw, x);
  if (!y_filtered) rewrite_state_not_null(rw, y);
  rewrite_explain(rw, "%s is never NULL, nor is %s, so NOT IN means NOT EXISTS, which PostgreSQL can run as an anti join",
                  rewrite_column_text(rw, x), rewrite_column_text(rw, y));
  if (link.select->n_distinct_clause) rw->candidate->costs = COSTS_FAIR; /* few rows are hashed: there is less to gain */
  PgQuery__Node *made = exists(rw, &link, true);
  if (made) *node = *made;
  return made != NULL;
}

bool rewrite_not_in(struct rewrite *rw) { return rewrite_conditions(rw, see_not_in, NULL); }

/* --- x IN (SELECT y … correlated …) --- */

/* Where FALSE and NULL are one. PostgreSQL makes semi joins of EXISTS in versions that keep a correlated IN as a subplan. */
static bool see_in(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct link link;
  (void)scope;
  (void)arg;
  if (!positive || !read_in(rw, node, &link) || !rewrite_column(rw, link.x) || !one_of_its_columns(rw, link.y, link.scope) ||
      !is_open_to_conditions(rw, link.select) || !same_operator(rw, &link) || !link.select->where_clause ||
      !rewrite_refers_up(rw, link.select->where_clause, link.scope) || !rewrite_move_in(rw, link.x, link.scope, false) || !rewrite_here(rw))
    return false;
  rewrite_explain(rw, "Any row of the subquery with that value is enough: EXISTS can become a semi join");
  PgQuery__Node *made = exists(rw, &link, false);
  if (made) *node = *made;
  return made != NULL;
}

bool rewrite_in_exists(struct rewrite *rw) { return rewrite_conditions(rw, see_in, NULL); }

/* --- DISTINCT and ORDER BY where only membership counts --- */

/* IN becomes a join; NOT IN hashes what it is given, and fewer rows are hashed sooner: there DISTINCT stays. */
static bool see_cosmetics(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  (void)scope;
  (void)arg;
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return false;
  PgQuery__SelectStmt *select = select_of(node->sub_link);
  bool membership = node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK ||
                    node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK;
  if (!membership || !select || !rewrite_is_select(select) || select->limit_count || select->limit_offset || select->n_locking_clause)
    return false;
  if (select->n_distinct_clause && !rewrite_is_distinct(select)) return false;
  if (!select->n_sort_clause && (!select->n_distinct_clause || !positive)) return false;
  if (rewrite_windows(rw, select) || rewrite_sorts_by_aggregate(rw, select) || !rewrite_here(rw)) return false;
  if (positive) select->n_distinct_clause = 0;
  select->n_sort_clause = 0;
  return true;
}

bool rewrite_in_cosmetics(struct rewrite *rw) { return rewrite_conditions(rw, see_cosmetics, NULL); }

/* --- (SELECT count(*) …) > 0 --- */

/* 1: asks whether there is any; -1: whether there is none; 0: neither. */
static int asks(const char *op, int64_t number) {
  static const struct {
    const char *op;
    int64_t number;
    int asks;
  } forms[] = {{">", 0, 1}, {">=", 1, 1}, {"<>", 0, 1}, {"=", 0, -1}, {"<", 1, -1}, {"<=", 0, -1}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
    if (strcmp(forms[i].op, op) == 0 && forms[i].number == number) return forms[i].asks;
  return 0;
}

/* count(*), count(1), count(c): the c that must not be NULL goes to ret_column. DISTINCT makes no difference between none and some. */
static bool is_count(struct rewrite *rw, PgQuery__Node *node, PgQuery__Node **ret_column) {
  *ret_column = NULL;
  if (rewrite_is_builtin(rw, node, "count", 0)) return node->func_call->agg_star && !node->func_call->agg_filter;
  if (!rewrite_is_builtin(rw, node, "count", 1) || node->func_call->agg_filter || node->func_call->n_agg_order) return false;
  PgQuery__Node *arg = node->func_call->args[0];
  const struct query_binding *binding = rewrite_column(rw, arg);
  if (!rewrite_is_literal(arg) && !binding) return false;
  if (binding && binding->levels_up) return false;
  *ret_column = binding ? arg : NULL;
  return true;
}

static bool see_count(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct rewrite_comparison c;
  PgQuery__Node *column;
  int64_t number;
  (void)scope;
  (void)positive;
  (void)arg;
  if (!rewrite_is_comparison(node, &c)) return false;
  if (c.left->node_case != PG_QUERY__NODE__NODE_SUB_LINK) rewrite_flip(&c);
  if (c.left->node_case != PG_QUERY__NODE__NODE_SUB_LINK || c.left->sub_link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK ||
      !rewrite_int_literal(c.right, &number) || !asks(c.op, number))
    return false;
  PgQuery__SelectStmt *select = select_of(c.left->sub_link);
  if (!select || !rewrite_is_plain(select) || select->n_target_list != 1 || !is_count(rw, select->target_list[0]->res_target->val, &column))
    return false;
  const struct query_binding *binding = rewrite_column(rw, column);
  bool not_null = !column || rewrite_not_null(rw, binding);
  if (!rewrite_is_safe(rw, select->where_clause) || !rewrite_here(rw)) return false;
  PgQuery__Node *made = rewrite_parse(rw, asks(c.op, number) > 0 ? "EXISTS (SELECT 1)" : "NOT EXISTS (SELECT 1)");
  PgQuery__Node *filter = not_null ? NULL : rewrite_parse(rw, "%s IS NOT NULL", rewrite_print(rw, column));
  if (!made || (!not_null && !filter)) return false;
  if (column && not_null) rewrite_state_not_null(rw, binding);
  rewrite_explain(rw, "The first row decides: the others need not be counted");
  PgQuery__Node *link = made->node_case == PG_QUERY__NODE__NODE_SUB_LINK ? made : made->bool_expr->args[0];
  const PgQuery__SelectStmt *one = select_of(link->sub_link);
  if (!one) return false;
  select->target_list = one->target_list;
  rewrite_add_conjunct(rw, &select->where_clause, filter);
  link->sub_link->subselect = c.left->sub_link->subselect;
  *node = *made;
  return true;
}

bool rewrite_count_exists(struct rewrite *rw) { return rewrite_conditions(rw, see_count, NULL); }
