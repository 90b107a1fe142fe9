/* joins.c - joins that only ask whether there is a row, or that the schema has answered already. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

/* --- uses of an entry of FROM --- */

struct uses {
  struct rewrite *rw;
  const struct query_rte *rte;
  size_t count;
};

static bool see_use(void *arg, PgQuery__Node *node) {
  struct uses *uses = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const struct query_binding *binding = query_binding(uses->rw->names, node->column_ref);
    uses->count += binding && binding->rte == uses->rte;
  }
  return true;
}

static size_t uses_in(struct rewrite *rw, PgQuery__Node *node, const struct query_rte *rte) {
  struct uses uses = {rw, rte, 0};
  sql_walk(node, see_use, &uses);
  return uses.count;
}

static size_t uses_of(const struct rewrite *rw, const struct query_rte *rte) {
  size_t count = 0;
  for (size_t i = 0; i < rw->names->binding_count; i++) count += rw->names->bindings[i].rte == rte;
  return count;
}

static bool has_lone_star(const PgQuery__SelectStmt *select) {
  for (size_t i = 0; i < select->n_target_list; i++) {
    const PgQuery__Node *val = select->target_list[i]->res_target->val;
    if (val && val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && val->column_ref->n_fields == 1 &&
        val->column_ref->fields[0]->node_case == PG_QUERY__NODE__NODE_A_STAR)
      return true;
  }
  return false;
}

/* Names of its columns are its own: no USING, NATURAL, or join with an alias has to do with it. */
static struct query_rte *plain_rte(const struct query_scope *scope, const PgQuery__Node *node) {
  for (size_t i = 0; i < scope->rte_count; i++)
    if (scope->rtes[i]->node == node)
      return scope->rtes[i]->kind == QUERY_TABLE && scope->rtes[i]->table && !scope->rtes[i]->merged && !scope->rtes[i]->hidden
                 ? scope->rtes[i]
                 : NULL;
  return NULL;
}

static bool is_join(const PgQuery__Node *node, PgQuery__JoinType type) {
  return node->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR && node->join_expr->jointype == type && !node->join_expr->is_natural &&
         !node->join_expr->n_using_clause && !node->join_expr->alias;
}

/* --- LEFT JOIN … WHERE right IS NULL --- */

/* The column is NULL only where there was no match: it can't be otherwise, or the join compares it by =. */
static bool tells_no_match(struct rewrite *rw, const struct query_binding *binding, PgQuery__Node *quals) {
  const struct query_column *column = &binding->rte->columns[binding->column];
  if (rewrite_declared(column)) {
    rewrite_assume(rw, "%s.%s is NOT NULL", binding->rte->table->qualified, column->name);
    return true;
  }
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(rw, quals, &list);
  for (size_t i = 0; i < count; i++) {
    struct rewrite_comparison c;
    if (rewrite_is_comparison(list[i], &c) && rewrite_type_of(column->type) != TYPE_OTHER &&
        (rewrite_same_column(rewrite_column(rw, c.left), binding) || rewrite_same_column(rewrite_column(rw, c.right), binding)))
      return true;
  }
  return false;
}

/* The conjunct of WHERE that keeps only rows without a match. */
static PgQuery__Node *null_test(struct rewrite *rw, PgQuery__Node *where, const struct query_rte *rte, PgQuery__Node *quals) {
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(rw, where, &list);
  for (size_t i = 0; i < count; i++) {
    if (list[i]->node_case != PG_QUERY__NODE__NODE_NULL_TEST || list[i]->null_test->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NULL)
      continue;
    const struct query_binding *binding = rewrite_column(rw, list[i]->null_test->arg);
    if (binding && binding->rte == rte && tells_no_match(rw, binding, quals)) return list[i];
  }
  return NULL;
}

static bool anti_at(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select, PgQuery__Node *node) {
  PgQuery__JoinExpr *join = node->join_expr;
  const struct query_rte *rte = plain_rte(scope, join->rarg);
  if (!rte || !join->quals || has_lone_star(select)) return false;
  PgQuery__Node *test = null_test(rw, select->where_clause, rte, join->quals);
  if (!test || uses_of(rw, rte) != uses_in(rw, join->quals, rte) + 1 || !rewrite_here(rw)) return false;
  PgQuery__Node *made = rewrite_parse(rw, "NOT EXISTS (SELECT 1 FROM a)");
  if (!made) return false;
  PgQuery__SelectStmt *inner = made->bool_expr->args[0]->sub_link->subselect->select_stmt;
  inner->from_clause[0] = join->rarg;
  inner->where_clause = join->quals;
  *test = *made;
  const PgQuery__Node *left = join->larg;
  *node = *left;
  rewrite_explain(rw, "Rows without a match in %s are what NOT EXISTS asks for: it stops at the first match and can be an anti join",
                  rte->table->qualified);
  return true;
}

/* Down the left side of the joins: what is there is on the nullable side of none above it. */
static bool anti_below(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select, PgQuery__Node *node) {
  if (is_join(node, PG_QUERY__JOIN_TYPE__JOIN_LEFT))
    return anti_at(rw, scope, select, node) || anti_below(rw, scope, select, node->join_expr->larg);
  return is_join(node, PG_QUERY__JOIN_TYPE__JOIN_INNER) && anti_below(rw, scope, select, node->join_expr->larg);
}

bool rewrite_anti_join(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    struct query_scope *scope = rw->names->scopes[s];
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)(uintptr_t)scope->select;
    if (!rewrite_is_select(select) || !select->where_clause) continue;
    for (size_t i = 0; i < select->n_from_clause; i++)
      if (anti_below(rw, scope, select, select->from_clause[i])) return true;
  }
  return false;
}

/* --- joins that a foreign key has answered --- */

#define PAIRS_MAX 8

struct parent { /* an entry that is only joined by equalities with one other */
  const struct query_rte *rte, *child;
  const struct query_binding *keys[PAIRS_MAX], *fks[PAIRS_MAX];
  PgQuery__Node *conjuncts[PAIRS_MAX];
  size_t count;
};

static void take_pairs(struct rewrite *rw, const struct query_scope *scope, PgQuery__Node *root, struct parent *p) {
  PgQuery__Node **list;
  size_t n = rewrite_conjuncts(rw, root, &list);
  for (size_t i = 0; i < n && p->count < PAIRS_MAX; i++) {
    struct rewrite_comparison c;
    if (!rewrite_is_comparison(list[i], &c) || strcmp(c.op, "=") != 0) continue;
    const struct query_binding *key = rewrite_column(rw, c.left), *fk = rewrite_column(rw, c.right);
    if (key && key->rte != p->rte) {
      const struct query_binding *swap = key;
      key = fk;
      fk = swap;
    }
    if (!key || !fk || key->rte != p->rte || fk->rte == p->rte || key->scope != scope || fk->levels_up || key->levels_up) continue;
    if (p->child && fk->rte != p->child) continue;
    p->child = fk->rte;
    p->keys[p->count] = key;
    p->fks[p->count] = fk;
    p->conjuncts[p->count++] = list[i];
  }
}

static bool pairs_with(const struct parent *p, const char *column, const char *ref) {
  for (size_t i = 0; i < p->count; i++)
    if (strcmp(query_bound_column(p->fks[i])->column->name, column) == 0 &&
        strcmp(query_bound_column(p->keys[i])->column->name, ref) == 0 &&
        rewrite_comparable(rewrite_type_of(query_bound_column(p->fks[i])->type), rewrite_type_of(query_bound_column(p->keys[i])->type)))
      return true;
  return false;
}

static const struct snap_fk *promised(const struct parent *p) {
  const struct snap_table *child = p->child->table;
  for (size_t i = 0; i < p->count; i++)
    if (!query_bound_column(p->fks[i])->column || !query_bound_column(p->keys[i])->column) return NULL;
  for (size_t f = 0; f < child->fk_count; f++) {
    const struct snap_fk *fk = &child->fks[f];
    bool all = fk->ref == p->rte->table && fk->validated && !fk->deferrable && fk->column_count == p->count;
    for (size_t i = 0; all && i < fk->column_count; i++) all = pairs_with(p, fk->columns[i], fk->ref_columns[i]);
    if (all) return fk;
  }
  return NULL;
}

/* The foreign key that says: for each row of the other there is exactly one of this, unless the key is NULL. */
static const struct snap_fk *is_promised(struct rewrite *rw, struct query_scope *scope, const PgQuery__SelectStmt *select,
                                         PgQuery__Node *quals, struct parent *p) {
  if (!p->rte || p->rte->outer || has_lone_star(select)) return NULL;
  take_pairs(rw, scope, quals, p);
  if (quals != select->where_clause) take_pairs(rw, scope, select->where_clause, p);
  if (!p->count || p->child->kind != QUERY_TABLE || !p->child->table || p->child->outer || uses_of(rw, p->rte) != p->count) return NULL;
  return promised(p);
}

static bool drop_parent(struct rewrite *rw, PgQuery__SelectStmt *select, PgQuery__Node **quals, const struct parent *p,
                        const struct snap_fk *fk) {
  for (size_t i = 0; i < p->count; i++) {
    if (quals) rewrite_drop_conjunct(quals, p->conjuncts[i]);
    rewrite_drop_conjunct(&select->where_clause, p->conjuncts[i]);
  }
  for (size_t i = 0; i < p->count; i++) {
    if (rewrite_not_null(rw, p->fks[i]))
      rewrite_state_not_null(rw, p->fks[i]);
    else
      rewrite_add_conjunct(rw, &select->where_clause, rewrite_parse(rw, "%s IS NOT NULL", rewrite_column_text(rw, p->fks[i])));
  }
  const char *columns = sql_ident_list(rw->arena, fk->columns, fk->column_count);
  rewrite_assume(rw, "%s (%s) references %s, validated and not deferrable (%s)", fk->table->qualified, columns ? columns : "",
                 fk->ref->qualified, fk->name);
  rewrite_explain(rw, "%s gives no column and filters nothing: the foreign key %s promises one row of it for each",
                  p->rte->table->qualified, fk->name);
  return true;
}

static bool needless_in(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
  PgQuery__JoinExpr *join = node->join_expr;
  PgQuery__Node *const sides[] = {join->rarg, join->larg};
  for (int side = 0; side < 2 && is_join(node, PG_QUERY__JOIN_TYPE__JOIN_INNER); side++) {
    struct parent p = {.rte = plain_rte(scope, sides[side])};
    const struct snap_fk *fk = is_promised(rw, scope, select, join->quals, &p);
    if (!fk || !rewrite_here(rw)) continue;
    drop_parent(rw, select, &join->quals, &p, fk);
    rewrite_add_conjunct(rw, &select->where_clause, join->quals);
    const PgQuery__Node *kept = sides[1 - side];
    *node = *kept;
    return true;
  }
  return needless_in(rw, scope, select, join->larg) || needless_in(rw, scope, select, join->rarg);
}

static bool needless_item(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select, size_t at) {
  struct parent p = {.rte = plain_rte(scope, select->from_clause[at])};
  const struct snap_fk *fk = select->n_from_clause > 1 ? is_promised(rw, scope, select, select->where_clause, &p) : NULL;
  if (!fk || !rewrite_here(rw)) return false;
  drop_parent(rw, select, NULL, &p, fk);
  memmove(&select->from_clause[at], &select->from_clause[at + 1], (select->n_from_clause - at - 1) * sizeof(PgQuery__Node *));
  select->n_from_clause--;
  return true;
}

bool rewrite_needless_join(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    struct query_scope *scope = rw->names->scopes[s];
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)(uintptr_t)scope->select;
    if (!rewrite_is_select(select)) continue;
    for (size_t i = 0; i < select->n_from_clause; i++)
      if (needless_in(rw, scope, select, select->from_clause[i]) || needless_item(rw, scope, select, i)) return true;
  }
  return false;
}

/* --- SELECT DISTINCT a.… FROM a JOIN b --- */

struct pair {
  struct query_rte *a, *b;
  PgQuery__Node *a_node, *b_node;
};

static bool read_pair(struct query_scope *scope, const PgQuery__SelectStmt *select, struct pair *pair) {
  const PgQuery__Node *item = select->from_clause[0];
  bool comma = select->n_from_clause == 2, inner = select->n_from_clause == 1 && is_join(item, PG_QUERY__JOIN_TYPE__JOIN_INNER);
  if (scope->rte_count != 2 || (!comma && !inner)) return false;
  pair->a_node = comma ? select->from_clause[0] : item->join_expr->larg;
  pair->b_node = comma ? select->from_clause[1] : item->join_expr->rarg;
  pair->a = plain_rte(scope, pair->a_node);
  pair->b = plain_rte(scope, pair->b_node);
  return pair->a && pair->b;
}

static bool only_from(struct rewrite *rw, const PgQuery__SelectStmt *select, const struct query_rte *b) {
  if (has_lone_star(select)) return false;
  for (size_t i = 0; i < select->n_target_list; i++)
    if (uses_in(rw, select->target_list[i], b)) return false;
  for (size_t i = 0; i < select->n_sort_clause; i++)
    if (uses_in(rw, select->sort_clause[i], b)) return false;
  return true;
}

/* Outputs that are plain columns of it, or all of them. */
static bool *shown(struct rewrite *rw, const PgQuery__SelectStmt *select, const struct query_rte *rte) {
  bool *flags = rewrite_flags(rw, rte->table);
  for (size_t i = 0; flags && i < select->n_target_list; i++) {
    const PgQuery__Node *val = select->target_list[i]->res_target->val;
    const struct query_binding *binding =
        val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF ? query_binding(rw->names, val->column_ref) : NULL;
    bool star = binding && binding->column == -1 &&
                val->column_ref->fields[val->column_ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR;
    if (!binding || binding->rte != rte) continue;
    for (size_t c = 0; star && c < rte->table->column_count; c++) flags[c] = true;
    if (!star && binding->column >= 0) rewrite_flag(flags, binding);
  }
  return flags;
}

static bool split(struct rewrite *rw, PgQuery__Node *root, const struct query_rte *b, PgQuery__Node **outside, PgQuery__Node **inside) {
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(rw, root, &list);
  for (size_t i = 0; i < count; i++) rewrite_add_conjunct(rw, uses_in(rw, list[i], b) ? inside : outside, list[i]);
  return true;
}

static bool semi_at(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select) {
  struct pair pair;
  struct rewrite_key key;
  if (!rewrite_is_select(select) || !rewrite_is_distinct(select) || !select->n_from_clause || select->n_group_clause ||
      select->having_clause || rewrite_aggregates(rw, select) || rewrite_windows(rw, select) || !read_pair(scope, select, &pair))
    return false;
  if (!only_from(rw, select, pair.b)) {
    struct query_rte *rte = pair.a;
    PgQuery__Node *node = pair.a_node;
    pair = (struct pair){pair.b, rte, pair.b_node, node};
    if (!only_from(rw, select, pair.b)) return false;
  }
  if (!uses_of(rw, pair.b) || !rewrite_here(rw)) return false;
  PgQuery__Node *outside = NULL, *inside = NULL, *made = rewrite_parse(rw, "EXISTS (SELECT 1 FROM a)");
  if (!made) return false;
  if (select->n_from_clause == 1) split(rw, select->from_clause[0]->join_expr->quals, pair.b, &outside, &inside);
  split(rw, select->where_clause, pair.b, &outside, &inside);
  PgQuery__SelectStmt *inner = made->sub_link->subselect->select_stmt;
  inner->from_clause[0] = pair.b_node;
  inner->where_clause = inside;
  select->from_clause[0] = pair.a_node;
  select->n_from_clause = 1;
  select->where_clause = outside;
  rewrite_add_conjunct(rw, &select->where_clause, made);
  bool unique = rewrite_unique(rw, pair.a->table, shown(rw, select, pair.a), true, &key);
  if (unique) {
    rewrite_state_unique(rw, pair.a->table, &key);
    select->n_distinct_clause = 0;
  }
  rewrite_explain(rw, "%s only decides whether a row of %s is shown: EXISTS stops at the first match%s", pair.b->table->qualified,
                  pair.a->table->qualified, unique ? ", and no duplicates are made that DISTINCT has to remove" : "");
  return true;
}

bool rewrite_distinct_join(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++)
    if (semi_at(rw, rw->names->scopes[s], (PgQuery__SelectStmt *)(uintptr_t)rw->names->scopes[s]->select)) return true;
  return false;
}
