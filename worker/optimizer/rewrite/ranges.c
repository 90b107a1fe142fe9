/* ranges.c - limits that several columns share: two that are one place in an index, and those that equality hands on to another table. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

/* --- (a > x) OR (a = x AND b > y) --- */

static bool same_text(struct rewrite *rw, PgQuery__Node *a, PgQuery__Node *b) {
  const char *left = sql_expression(rw->arena, a), *right = sql_expression(rw->arena, b);
  return left && right && strcmp(left, right) == 0;
}

static bool oriented(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c) {
  if (!rewrite_is_comparison(node, c)) return false;
  if (!rewrite_column(rw, c->left)) rewrite_flip(c);
  return rewrite_column(rw, c->left) && rewrite_is_value(rw, c->right);
}

struct tuple {
  struct rewrite_comparison first, tie, second;
};

static bool is_tuple(struct rewrite *rw, PgQuery__Node *strict, const PgQuery__Node *both, struct tuple *t) {
  if (both->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || both->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR ||
      both->bool_expr->n_args != 2 || !oriented(rw, strict, &t->first) || t->first.op[1] || *t->first.op == '=')
    return false;
  PgQuery__Node **args = both->bool_expr->args;
  bool first_ties = oriented(rw, args[0], &t->tie) && strcmp(t->tie.op, "=") == 0;
  if (!first_ties && (!oriented(rw, args[1], &t->tie) || strcmp(t->tie.op, "=") != 0)) return false;
  if (!oriented(rw, args[first_ties ? 1 : 0], &t->second) || *t->second.op != *t->first.op || strcmp(t->second.op, "<>") == 0) return false;
  return rewrite_same_column(rewrite_column(rw, t->first.left), rewrite_column(rw, t->tie.left)) &&
         same_text(rw, t->first.right, t->tie.right);
}

/* Of values the types are left open: they become the columns'. A typed one must be the column's own. */
static bool value_fits(struct rewrite *rw, PgQuery__Node *column, PgQuery__Node *value) {
  enum rewrite_type type = rewrite_type(rw, column);
  if (type == TYPE_OTHER || type == TYPE_FLOAT) return false;
  if (rewrite_text_literal(value) || value->node_case == PG_QUERY__NODE__NODE_PARAM_REF) return true;
  return rewrite_comparable(type, rewrite_type(rw, value));
}

static bool see_tuple(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct tuple t;
  (void)scope;
  (void)arg;
  if (!positive || node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR ||
      node->bool_expr->n_args != 2)
    return false;
  PgQuery__Node **args = node->bool_expr->args;
  if (!is_tuple(rw, args[0], args[1], &t) && !is_tuple(rw, args[1], args[0], &t)) return false;
  const struct query_binding *a = rewrite_column(rw, t.first.left), *b = rewrite_column(rw, t.second.left);
  if (rewrite_same_column(a, b) || !rewrite_not_null(rw, a) || !rewrite_not_null(rw, b) || !value_fits(rw, t.first.left, t.first.right) ||
      !value_fits(rw, t.second.left, t.second.right))
    return false;
  const char *a_text = rewrite_print(rw, t.first.left), *b_text = rewrite_print(rw, t.second.left);
  const char *x = rewrite_print(rw, t.first.right), *y = rewrite_print(rw, t.second.right);
  if (!a_text || !b_text || !x || !y) return false;
  const PgQuery__Node *made = rewrite_parse(rw, "(%s, %s) %s (%s, %s)", a_text, b_text, t.second.op, x, y);
  if (!made || !rewrite_here(rw)) return false;
  *node = *made;
  rewrite_state_not_null(rw, a);
  rewrite_state_not_null(rw, b);
  return true;
}

bool rewrite_row_comparison(struct rewrite *rw) { return rewrite_conditions(rw, see_tuple, NULL); }

/* --- a.x = b.x AND a.x > 5 --- */

struct equal {
  const struct query_binding *a, *b;
};

/* Column equalities that hold for every row that gets through: of WHERE, and of ON of inner joins. */
static void add_equal(struct rewrite *rw, PgQuery__Node *root, struct equal *list, size_t *count, size_t room) {
  PgQuery__Node **parts;
  size_t n = rewrite_conjuncts(rw, root, &parts);
  for (size_t i = 0; i < n && *count < room; i++) {
    struct rewrite_comparison c;
    if (!rewrite_is_comparison(parts[i], &c) || strcmp(c.op, "=") != 0) continue;
    const struct query_binding *a = rewrite_column(rw, c.left), *b = rewrite_column(rw, c.right);
    if (a && b && a->levels_up == 0 && b->levels_up == 0 && a->rte != b->rte) list[(*count)++] = (struct equal){a, b};
  }
}

static void inner_equals(struct rewrite *rw, const PgQuery__Node *item, struct equal *list, size_t *count, size_t room) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR || item->join_expr->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER) return;
  inner_equals(rw, item->join_expr->larg, list, count, room);
  inner_equals(rw, item->join_expr->rarg, list, count, room);
  add_equal(rw, item->join_expr->quals, list, count, room);
}

static bool restricts(const PgQuery__Node *node, PgQuery__Node **ret_column) {
  struct rewrite_comparison c;
  if (rewrite_is_comparison(node, &c)) {
    *ret_column = c.left;
    return strcmp(c.op, "=") != 0 && strcmp(c.op, "<>") != 0;
  }
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
  *ret_column = node->a_expr->lexpr;
  const char *name = node->a_expr->n_name ? sql_node_string(node->a_expr->name[0]) : "";
  return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN ||
         (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN && strcmp(name, "=") == 0);
}

/* Literals of the columns' own kind: a cast of the column that the comparison makes would be another for the other column. */
static bool literal_fits(struct rewrite *rw, enum rewrite_type type, const PgQuery__Node *value) {
  int64_t number;
  if (value->node_case == PG_QUERY__NODE__NODE_LIST) {
    for (size_t i = 0; i < value->list->n_items; i++)
      if (!literal_fits(rw, type, value->list->items[i])) return false;
    return value->list->n_items > 0 && value->list->n_items <= 1000;
  }
  if (rewrite_text_literal(value) || value->node_case == PG_QUERY__NODE__NODE_PARAM_REF) return true;
  if (rewrite_is_int(type)) return rewrite_int_literal(value, &number);
  if (type == TYPE_NUMERIC) return rewrite_is_literal(value);
  return value->node_case == PG_QUERY__NODE__NODE_TYPE_CAST && rewrite_type(rw, value) == type && rewrite_is_literal(value->type_cast->arg);
}

static bool is_restricted(struct rewrite *rw, PgQuery__Node *const *parts, size_t count, const struct query_binding *column) {
  for (size_t i = 0; i < count; i++) {
    struct rewrite_comparison c;
    PgQuery__Node *left;
    if (restricts(parts[i], &left) && rewrite_same_column(rewrite_column(rw, left), column)) return true;
    if (rewrite_is_comparison(parts[i], &c) && strcmp(c.op, "=") == 0 &&
        ((rewrite_same_column(rewrite_column(rw, c.left), column) && rewrite_is_constant(rw, c.right)) ||
         (rewrite_same_column(rewrite_column(rw, c.right), column) && rewrite_is_constant(rw, c.left))))
      return true;
  }
  return false;
}

static bool imply(struct rewrite *rw, PgQuery__SelectStmt *select, const PgQuery__Node *part, const struct query_binding *from,
                  const struct query_binding *to, PgQuery__Node *const *parts, size_t count) {
  enum rewrite_type type = rewrite_type_of(query_bound_column(from)->type);
  const char *from_type = query_bound_column(from)->type, *to_type = query_bound_column(to)->type;
  if (type == TYPE_OTHER || type == TYPE_FLOAT || !to_type || strcmp(from_type, to_type) != 0 || to->rte->kind != QUERY_TABLE ||
      to->rte->outer || from->rte->outer || is_restricted(rw, parts, count, to) || !literal_fits(rw, type, part->a_expr->rexpr))
    return false;
  const char *name = rewrite_column_text(rw, to);
  PgQuery__Node *column = name ? rewrite_parse(rw, "%s", name) : NULL;
  if (!column || !rewrite_here(rw)) return false;
  PgQuery__Node *added = rewrite_copy(rw, (PgQuery__Node *)(uintptr_t)part);
  if (!added || added->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
  added->a_expr->lexpr = column;
  rewrite_explain(rw, "%s equals %s, so the same limits hold for it: PostgreSQL infers that of equality with constants only", name,
                  rewrite_column_text(rw, from));
  rewrite_add_conjunct(rw, &select->where_clause, added);
  return true;
}

#define EQUALS_MAX 40

static bool implied_in(struct rewrite *rw, PgQuery__SelectStmt *select) {
  struct equal equals[EQUALS_MAX];
  size_t count = 0;
  PgQuery__Node **parts, *column;
  size_t part_count = rewrite_conjuncts(rw, select->where_clause, &parts);
  add_equal(rw, select->where_clause, equals, &count, EQUALS_MAX);
  for (size_t i = 0; i < select->n_from_clause; i++) inner_equals(rw, select->from_clause[i], equals, &count, EQUALS_MAX);
  for (size_t p = 0; count && p < part_count; p++) {
    if (!restricts(parts[p], &column)) continue;
    const struct query_binding *limited = rewrite_column(rw, column);
    for (size_t e = 0; limited && e < count; e++) {
      const struct query_binding *to = rewrite_same_column(equals[e].a, limited)   ? equals[e].b
                                       : rewrite_same_column(equals[e].b, limited) ? equals[e].a
                                                                                   : NULL;
      if (to && imply(rw, select, parts[p], limited, to, parts, part_count)) return true;
    }
  }
  return false;
}

bool rewrite_implied_range(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++)
    if (implied_in(rw, (PgQuery__SelectStmt *)(uintptr_t)rw->names->scopes[s]->select)) return true;
  return false;
}
