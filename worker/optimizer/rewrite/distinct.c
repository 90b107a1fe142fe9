/* distinct.c - duplicates removed where there are none.
 *
 * Two rows of a join that show the same outputs are the same row when each of its tables is determined: by a key among the outputs, or by a
 * key that is compared with = to columns of a table that is determined, or to constants. NULLs don't get past =, and keys among the outputs
 * must be NOT NULL; the one row that an outer join makes without a match is determined by its other side. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#define TABLES_MAX 12

struct shape {
  struct rewrite *rw;
  const struct query_scope *scope;
  bool *known[TABLES_MAX]; /* columns of each entry that the outputs show */
  bool determined[TABLES_MAX];
  struct rewrite_key keys[TABLES_MAX];
};

static size_t index_of(const struct query_scope *scope, const struct query_rte *rte) {
  size_t i = 0;
  while (i < scope->rte_count && scope->rtes[i] != rte) i++;
  return i;
}

/* Tables alone, each once in FROM under joins that are inner or left. */
static bool plain_joins(const PgQuery__Node *item) {
  if (item->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
  const PgQuery__JoinExpr *join = item->join_expr;
  bool known = join->jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER || join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
  return known && !join->is_natural && !join->n_using_clause && !join->alias && plain_joins(join->larg) && plain_joins(join->rarg);
}

static bool shape_init(struct shape *shape, struct rewrite *rw, const struct query_scope *scope) {
  *shape = (struct shape){.rw = rw, .scope = scope};
  const PgQuery__SelectStmt *select = scope->select;
  if (!rewrite_is_select(select) || !select->n_from_clause || scope->rte_count > TABLES_MAX) return false;
  for (size_t i = 0; i < select->n_from_clause; i++)
    if (!plain_joins(select->from_clause[i])) return false;
  for (size_t i = 0; i < scope->rte_count; i++) {
    if (scope->rtes[i]->kind != QUERY_TABLE || !scope->rtes[i]->table) return false;
    if (!(shape->known[i] = rewrite_flags(rw, scope->rtes[i]->table))) return false;
  }
  return true;
}

static void show(struct shape *shape, const PgQuery__Node *val) {
  if (!val || val->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return;
  const PgQuery__ColumnRef *ref = val->column_ref;
  bool star = ref->fields[ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR;
  const struct query_binding *binding = query_binding(shape->rw->names, ref);
  for (size_t i = 0; i < shape->scope->rte_count; i++) {
    const struct query_rte *rte = shape->scope->rtes[i];
    if (star && (ref->n_fields == 1 || (binding && binding->rte == rte)))
      for (size_t c = 0; c < rte->table->column_count; c++) shape->known[i][c] = true;
    if (!star && binding && binding->rte == rte && !binding->output && binding->column >= 0) rewrite_flag(shape->known[i], binding);
  }
}

static bool is_determined(const struct shape *shape, const struct query_binding *binding) {
  size_t at = binding ? index_of(shape->scope, binding->rte) : shape->scope->rte_count;
  return at < shape->scope->rte_count && shape->determined[at];
}

struct mentions {
  int number;
  size_t count;
};

static bool see_parameter(void *arg, PgQuery__Node *node) {
  struct mentions *mentions = arg;
  mentions->count += node->node_case == PG_QUERY__NODE__NODE_PARAM_REF && node->param_ref->number == mentions->number;
  return true;
}

/* One value of the column equals it, not several that another type doesn't tell apart. */
static bool is_one_value(struct rewrite *rw, const struct query_binding *column, PgQuery__Node *value) {
  enum rewrite_type type = rewrite_type_of(query_bound_column(column)->type);
  if (type == TYPE_OTHER || !rewrite_is_value(rw, value)) return false;
  if (value->node_case == PG_QUERY__NODE__NODE_PARAM_REF) { /* its type is that of the first place it stands in */
    struct mentions mentions = {.number = value->param_ref->number};
    sql_walk(rw->statement, see_parameter, &mentions);
    return mentions.count == 1;
  }
  if (rewrite_is_literal(value) && type != TYPE_FLOAT) return true; /* of the column's type, or a number beside integers or numeric */
  return rewrite_comparable(type, rewrite_type(rw, value));
}

/* Columns of entry `at` that the conjuncts set equal to what is determined. */
static void equate(struct shape *shape, size_t at, PgQuery__Node *root, bool *known) {
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(shape->rw, root, &list);
  for (size_t i = 0; i < count; i++) {
    struct rewrite_comparison c;
    if (!rewrite_is_comparison(list[i], &c) || strcmp(c.op, "=") != 0) continue;
    const struct query_binding *left = rewrite_column(shape->rw, c.left), *right = rewrite_column(shape->rw, c.right);
    if (!left || left->rte != shape->scope->rtes[at]) {
      rewrite_flip(&c);
      const struct query_binding *swap = left;
      left = right;
      right = swap;
    }
    if (!left || left->rte != shape->scope->rtes[at]) continue;
    bool comparable =
        right ? rewrite_comparable(rewrite_type_of(query_bound_column(left)->type), rewrite_type_of(query_bound_column(right)->type))
              : is_one_value(shape->rw, left, c.right);
    if (comparable && (!right || is_determined(shape, right))) rewrite_flag(known, left);
  }
}

static bool holds_node(const PgQuery__Node *item, const PgQuery__Node *node) {
  if (item == node) return true;
  return item->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR &&
         (holds_node(item->join_expr->larg, node) || holds_node(item->join_expr->rarg, node));
}

/* ON counts for its whole join when that is inner, and for the right side of a left join. */
static void equate_joins(struct shape *shape, size_t at, const PgQuery__Node *item, bool *known) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return;
  const PgQuery__JoinExpr *join = item->join_expr;
  bool inner = join->jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER;
  if (inner ? holds_node(item, shape->scope->rtes[at]->node) : holds_node(join->rarg, shape->scope->rtes[at]->node))
    equate(shape, at, join->quals, known);
  equate_joins(shape, at, join->larg, known);
  equate_joins(shape, at, join->rarg, known);
}

static bool determine(struct shape *shape, size_t at) {
  const struct snap_table *table = shape->scope->rtes[at]->table;
  const PgQuery__SelectStmt *select = shape->scope->select;
  bool *known = rewrite_flags(shape->rw, table);
  if (!known) return false;
  memcpy(known, shape->known[at], table->column_count * sizeof *known);
  if (!shape->scope->rtes[at]->outer) equate(shape, at, select->where_clause, known);
  for (size_t i = 0; i < select->n_from_clause; i++) equate_joins(shape, at, select->from_clause[i], known);
  return rewrite_unique(shape->rw, table, known, true, &shape->keys[at]);
}

static bool all_determined(struct shape *shape) {
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < shape->scope->rte_count; i++)
      if (!shape->determined[i] && determine(shape, i)) more = shape->determined[i] = true;
  }
  for (size_t i = 0; i < shape->scope->rte_count; i++)
    if (!shape->determined[i]) return false;
  return true;
}

static void state_keys(const struct shape *shape) {
  for (size_t i = 0; i < shape->scope->rte_count; i++) rewrite_state_unique(shape->rw, shape->scope->rtes[i]->table, &shape->keys[i]);
}

static bool is_duplicate_free(struct shape *shape, struct rewrite *rw, const struct query_scope *scope) {
  if (!scope || !shape_init(shape, rw, scope)) return false;
  const PgQuery__SelectStmt *select = scope->select;
  if (select->n_group_clause || select->having_clause || rewrite_aggregates(rw, select) || rewrite_windows(rw, select)) return false;
  for (size_t i = 0; i < select->n_target_list; i++) show(shape, select->target_list[i]->res_target->val);
  return all_determined(shape);
}

/* --- SELECT DISTINCT --- */

bool rewrite_needless_distinct(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)(uintptr_t)rw->names->scopes[s]->select;
    struct shape shape;
    if (!rewrite_is_distinct(select) || !is_duplicate_free(&shape, rw, rw->names->scopes[s]) || !rewrite_here(rw)) continue;
    select->n_distinct_clause = 0;
    state_keys(&shape);
    return true;
  }
  return false;
}

/* --- count(DISTINCT key) --- */

struct counting {
  struct rewrite *rw;
  const struct query_scope *scope;
  bool done;
};

static bool see_count(void *arg, PgQuery__Node *node) {
  struct counting *counting = arg;
  struct shape shape;
  if (counting->done || node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  if (!rewrite_is_builtin(counting->rw, node, "count", 1) || !node->func_call->agg_distinct || node->func_call->n_agg_order) return true;
  const struct query_binding *binding = rewrite_column(counting->rw, node->func_call->args[0]);
  if (!binding || binding->levels_up || !shape_init(&shape, counting->rw, counting->scope)) return false;
  show(&shape, node->func_call->args[0]);
  if (!all_determined(&shape) || !rewrite_here(counting->rw)) return false;
  node->func_call->agg_distinct = false;
  if (rewrite_not_null(counting->rw, binding)) {
    rewrite_state_not_null(counting->rw, binding);
    node->func_call->n_args = 0;
    node->func_call->agg_star = true;
  }
  state_keys(&shape);
  rewrite_explain(counting->rw, "No two of the rows that are counted have the same %s: DISTINCT finds nothing to leave out",
                  query_bound_column(binding)->name);
  counting->done = true;
  return false;
}

bool rewrite_count_key(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    struct counting counting = {rw, rw->names->scopes[s], false};
    const PgQuery__SelectStmt *select = counting.scope->select;
    for (size_t i = 0; i < select->n_target_list; i++) sql_walk(select->target_list[i], see_count, &counting);
    if (!counting.done) sql_walk(select->having_clause, see_count, &counting);
    if (counting.done) return true;
  }
  return false;
}

/* --- UNION of what is disjoint --- */

static bool differ(const PgQuery__Node *a, const PgQuery__Node *b) {
  int64_t x, y;
  const char *left = rewrite_text_literal(a), *right = rewrite_text_literal(b);
  if (left && right) return strcmp(left, right) != 0;
  return rewrite_int_literal(a, &x) && rewrite_int_literal(b, &y) && x != y;
}

/* Each arm has a literal in that output, all texts or all integers: what they are as the UNION's column. */
static bool all_literal(PgQuery__SelectStmt *const *arms, size_t count, size_t output) {
  size_t texts = 0, integers = 0;
  for (size_t i = 0; i < count; i++) {
    int64_t number;
    const PgQuery__Node *value = output < arms[i]->n_target_list ? arms[i]->target_list[output]->res_target->val : NULL;
    texts += rewrite_text_literal(value) != NULL;
    integers += rewrite_int_literal(value, &number);
  }
  return texts == count || integers == count;
}

/* No arm's values become another type, which may not tell them apart. */
static bool same_types(struct rewrite *rw, PgQuery__SelectStmt *const *arms, size_t count) {
  for (size_t output = 0; output < arms[0]->n_target_list; output++) {
    const char *first = query_expression_type(rw->names, arms[0]->target_list[output]->res_target->val, rw->arena);
    if (all_literal(arms, count, output)) continue;
    for (size_t i = 0; i < count; i++) {
      const PgQuery__Node *value = output < arms[i]->n_target_list ? arms[i]->target_list[output]->res_target->val : NULL;
      const char *type = value ? query_expression_type(rw->names, value, rw->arena) : NULL;
      if (!first || !type || strcmp(first, type) != 0) return false;
    }
  }
  return true;
}

static bool constant_output(const PgQuery__SelectStmt *a, const PgQuery__SelectStmt *b, PgQuery__SelectStmt *const *arms, size_t count) {
  for (size_t i = 0; i < a->n_target_list && i < b->n_target_list; i++)
    if (all_literal(arms, count, i) && differ(a->target_list[i]->res_target->val, b->target_list[i]->res_target->val)) return true;
  return false;
}

/* Both read one table and show its key in the same places, and a column equals another literal in each. */
static bool same_key(struct rewrite *rw, const struct query_scope *a, const struct query_scope *b, const struct rewrite_key *key) {
  for (size_t k = 0; k < key->column_count; k++) {
    bool found = false;
    for (size_t i = 0; i < a->select->n_target_list && i < b->select->n_target_list; i++) {
      const struct query_binding *x = rewrite_column(rw, a->select->target_list[i]->res_target->val);
      const struct query_binding *y = rewrite_column(rw, b->select->target_list[i]->res_target->val);
      found |= x && y && x->column == y->column && strcmp(query_bound_column(x)->column->name, key->columns[k]) == 0;
    }
    if (!found) return false;
  }
  return true;
}

static bool contradict(struct rewrite *rw, const PgQuery__SelectStmt *a, const PgQuery__SelectStmt *b) {
  PgQuery__Node **as, **bs;
  size_t a_count = rewrite_conjuncts(rw, a->where_clause, &as), b_count = rewrite_conjuncts(rw, b->where_clause, &bs);
  for (size_t i = 0; i < a_count; i++)
    for (size_t k = 0; k < b_count; k++) {
      struct rewrite_comparison x, y;
      if (!rewrite_is_comparison(as[i], &x) || !rewrite_is_comparison(bs[k], &y) || strcmp(x.op, "=") != 0 || strcmp(y.op, "=") != 0)
        continue;
      const struct query_binding *left = rewrite_column(rw, x.left), *right = rewrite_column(rw, y.left);
      enum rewrite_type type = left && query_bound_column(left) ? rewrite_type_of(query_bound_column(left)->type) : TYPE_OTHER;
      bool same = left && right && left->column == right->column;
      if (same && (type == TYPE_TEXT ? rewrite_text_literal(x.right) != NULL : rewrite_is_int(type) && !rewrite_text_literal(x.right)) &&
          differ(x.right, y.right))
        return true;
    }
  return false;
}

/* Arms i and k. */
static bool disjoint(struct rewrite *rw, PgQuery__SelectStmt *const *arms, const struct shape *shapes, size_t count, size_t i, size_t k) {
  const struct query_scope *a = shapes[i].scope, *b = shapes[k].scope;
  if (constant_output(a->select, b->select, arms, count)) return true;
  bool one_table = a->rte_count == 1 && b->rte_count == 1 && a->rtes[0]->table == b->rtes[0]->table;
  return one_table && same_key(rw, a, b, &shapes[i].keys[0]) && contradict(rw, a->select, b->select);
}

#define ARMS_MAX 8

/* The arms of nested UNIONs, none of them ALL; 0: something else is among them, or there are too many. */
static size_t arms_of(PgQuery__SelectStmt *select, PgQuery__SelectStmt **arms, size_t count) {
  if (select->op == PG_QUERY__SET_OPERATION__SETOP_NONE) {
    if (count == ARMS_MAX) return 0;
    arms[count] = select;
    return count + 1;
  }
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_UNION || select->all) return 0;
  bool bare = !select->larg->n_sort_clause && !select->larg->limit_count && !select->larg->with_clause;
  size_t left = bare ? arms_of(select->larg, arms, count) : 0;
  return left ? arms_of(select->rarg, arms, left) : 0;
}

static void keep_all(PgQuery__SelectStmt *select) {
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_UNION) return;
  select->all = true;
  keep_all(select->larg);
  keep_all(select->rarg);
}

static bool union_at(struct rewrite *rw, PgQuery__SelectStmt *select) {
  PgQuery__SelectStmt *arms[ARMS_MAX];
  struct shape shapes[ARMS_MAX];
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_UNION) return false;
  size_t count = arms_of(select, arms, 0);
  for (size_t i = 0; i < count; i++)
    if (!is_duplicate_free(&shapes[i], rw, query_scope_of(rw->names, arms[i]))) return false;
  for (size_t i = 0; i < count; i++)
    for (size_t k = i + 1; k < count; k++)
      if (!disjoint(rw, arms, shapes, count, i, k)) return false;
  if (count < 2 || !same_types(rw, arms, count) || !rewrite_here(rw)) return false;
  for (size_t i = 0; i < count; i++) state_keys(&shapes[i]);
  keep_all(select);
  rewrite_explain(rw, "The arms share no row and have no duplicates of their own: UNION sorts or hashes for nothing");
  return true;
}

bool rewrite_union_all(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++)
    if (union_at(rw, (PgQuery__SelectStmt *)(uintptr_t)rw->names->scopes[s]->select)) return true;
  return false;
}
