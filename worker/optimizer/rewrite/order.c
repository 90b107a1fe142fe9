/* order.c - sorting and keeping that nobody asked for: CTEs that need not be kept, ORDER BY inside of what has an order of its own, the
 * first row of each group by numbering all rows. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

/* --- WITH … AS MATERIALIZED, or read twice --- */

struct mention {
  const char *name;
  int count;
};

static bool see_mention(void *arg, PgQuery__Node *node) {
  struct mention *mention = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && !*node->range_var->schemaname &&
      strcmp(node->range_var->relname, mention->name) == 0)
    mention->count++;
  return true;
}

/* What is kept may be kept so that conditions around it are not asked of rows that its own conditions reject: those around it may not fail.
 */
static bool may_merge(struct rewrite *rw, const PgQuery__SelectStmt *query) {
  if (rewrite_is_select(query) && !query->where_clause && !query->having_clause && query->n_from_clause == 1 &&
      query->from_clause[0]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
    return true;
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    const PgQuery__SelectStmt *select = rw->names->scopes[s]->select;
    if (select == query) continue;
    if (!rewrite_is_safe(rw, select->where_clause) || !rewrite_is_safe(rw, select->having_clause)) return false;
    for (size_t i = 0; i < select->n_from_clause; i++)
      if (select->from_clause[i]->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR && !rewrite_is_safe(rw, select->from_clause[i])) return false;
  }
  return true;
}

static bool inline_one(struct rewrite *rw, const PgQuery__SelectStmt *select, PgQuery__CommonTableExpr *cte) {
  struct mention mention = {.name = cte->ctename};
  sql_walk(rw->statement, see_mention, &mention);
  if (mention.count > 1 && rewrite_varies(rw, cte->ctequery)) return false; /* each place would have rows of its own */
  bool always = cte->ctematerialized == PG_QUERY__CTEMATERIALIZE__CTEMaterializeAlways;
  bool kept = always || (cte->ctematerialized == PG_QUERY__CTEMATERIALIZE__CTEMaterializeDefault && mention.count > 1);
  (void)select;
  if (!kept || mention.count == 0 || !cte->ctequery || cte->ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT || cte->search_clause ||
      cte->cycle_clause || !may_merge(rw, cte->ctequery->select_stmt) || !rewrite_here(rw))
    return false;
  cte->ctematerialized = PG_QUERY__CTEMATERIALIZE__CTEMaterializeNever;
  rewrite_explain(rw, "%s is computed whole and kept%s; inlined, the conditions around it reach its tables%s", cte->ctename,
                  always ? " because of MATERIALIZED" : " because it is read twice",
                  always ? ". If MATERIALIZED is there to fence something off, leave it" : "");
  return true;
}

bool rewrite_cte_inline(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    const PgQuery__WithClause *with = rw->names->scopes[s]->select->with_clause;
    for (size_t i = 0; with && i < with->n_ctes; i++)
      if (inline_one(rw, rw->names->scopes[s]->select, with->ctes[i]->common_table_expr)) return true;
  }
  return false;
}

/* --- ORDER BY inside --- */

/* Aggregates that give the same whatever the order of their rows. Of floats even sums don't. */
static bool is_order_free(struct rewrite *rw, const PgQuery__FuncCall *call) {
  static const char *const names[] = {"count", "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "sum", "avg"};
  const char *schema, *name;
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
    if (strcmp(names[i], name) != 0) continue;
    bool sums = strcmp(name, "sum") == 0 || strcmp(name, "avg") == 0;
    enum rewrite_type type = call->n_args == 1 ? rewrite_type(rw, call->args[0]) : TYPE_OTHER;
    return !sums || rewrite_is_int(type) || type == TYPE_NUMERIC;
  }
  return false;
}

struct order {
  struct rewrite *rw;
  bool matters;
};

static bool see_order(void *arg, PgQuery__Node *node) {
  struct order *order = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL)
    for (size_t i = 0; i < order->rw->names->function_count; i++) {
      const struct query_function *function = &order->rw->names->functions[i];
      if (function->call != node->func_call) continue;
      bool own = function->function && *function->function->kind == 'a',
           aggregate = !own && function->builtin && (function->builtin->kinds & BUILTIN_AGGREGATE);
      order->matters |= node->func_call->over || own || (aggregate && !is_order_free(order->rw, node->func_call));
    }
  if (node->node_case == PG_QUERY__NODE__NODE_JSON_OBJECT_AGG || node->node_case == PG_QUERY__NODE__NODE_JSON_ARRAY_AGG)
    order->matters = true;
  return !order->matters;
}

static bool see_variation(void *arg, PgQuery__Node *node) {
  struct order *order = arg;
  const PgQuery__SelectStmt *select = node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt : NULL;
  if (select) order->matters |= select->limit_count || select->limit_offset || (select->n_distinct_clause && !rewrite_is_distinct(select));
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK)
    order->matters |= node->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ARRAY_SUBLINK;
  return select ? !order->matters : see_order(arg, node);
}

bool rewrite_varies(struct rewrite *rw, PgQuery__Node *node) {
  struct order order = {rw, false};
  sql_walk(node, see_variation, &order);
  return order.matters;
}

/* Whether the order of the rows it reads can't be seen in what it gives: it sorts, or gives one row a group. */
static bool hides_order(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  struct order order = {rw, false};
  if (!rewrite_is_select(select) || select->n_window_clause || (select->n_distinct_clause && !rewrite_is_distinct(select))) return false;
  for (size_t i = 0; i < select->n_target_list; i++) sql_walk(select->target_list[i], see_order, &order);
  for (size_t i = 0; i < select->n_sort_clause; i++) sql_walk(select->sort_clause[i], see_order, &order);
  sql_walk(select->having_clause, see_order, &order);
  if (order.matters) return false;
  bool grouped = select->n_group_clause || rewrite_aggregates(rw, select);
  bool limited = select->limit_count || select->limit_offset;
  return limited ? grouped && !select->n_group_clause : grouped || select->n_sort_clause;
}

static bool drop_order(struct rewrite *rw, PgQuery__Node *query) {
  if (!query || query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  PgQuery__SelectStmt *inner = query->select_stmt;
  if (!inner->n_sort_clause || inner->limit_count || inner->limit_offset || (inner->n_distinct_clause && !rewrite_is_distinct(inner)) ||
      rewrite_sorts_by_aggregate(rw, inner) || !rewrite_here(rw))
    return false;
  inner->n_sort_clause = 0;
  return true;
}

static bool drop_in_from(struct rewrite *rw, const PgQuery__Node *item) {
  if (item->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR)
    return drop_in_from(rw, item->join_expr->larg) || drop_in_from(rw, item->join_expr->rarg);
  return item->node_case == PG_QUERY__NODE__NODE_RANGE_SUBSELECT && drop_order(rw, item->range_subselect->subquery);
}

bool rewrite_needless_order(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    const PgQuery__SelectStmt *select = rw->names->scopes[s]->select;
    if (!hides_order(rw, select)) continue;
    for (size_t i = 0; i < select->n_from_clause; i++)
      if (drop_in_from(rw, select->from_clause[i])) return true;
  }
  return false;
}

/* --- row_number() = 1 --- */

struct first {
  PgQuery__SelectStmt *inner;
  struct query_scope *scope;
  PgQuery__ResTarget *number;
  const PgQuery__WindowDef *window;
};

static bool is_number(struct rewrite *rw, const PgQuery__Node *val) {
  if (val->node_case != PG_QUERY__NODE__NODE_FUNC_CALL || val->func_call->n_args || !val->func_call->over) return false;
  for (size_t i = 0; i < rw->names->function_count; i++) {
    const struct query_function *function = &rw->names->functions[i];
    if (function->call == val->func_call)
      return function->builtin && !*function->builtin->extension && !function->function && strcmp(function->name, "row_number") == 0;
  }
  return false;
}

/* One table, one window function, which numbers the rows of each PARTITION BY. */
static bool read_first(struct rewrite *rw, const struct query_rte *rte, int column, struct first *first) {
  if (rte->kind != QUERY_SUBQUERY || !rte->node || rte->node->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT) return false;
  const PgQuery__Node *query = rte->node->range_subselect->subquery;
  if (query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT || rte->node->range_subselect->alias->n_colnames) return false;
  first->inner = query->select_stmt;
  first->scope = query_scope_of(rw->names, first->inner);
  if (!first->scope || !rewrite_is_plain(first->inner) || first->scope->rte_count != 1 || rewrite_aggregates(rw, first->inner))
    return false;
  if (rewrite_refers_up(rw, rewrite_select_node(rw, first->inner), first->scope)) return false;
  int windows = 0;
  first->number = NULL;
  for (size_t i = 0; i < first->inner->n_target_list; i++) {
    PgQuery__ResTarget *target = first->inner->target_list[i]->res_target;
    if (!is_number(rw, target->val)) {
      const PgQuery__SelectStmt alone = {.n_target_list = 1, .target_list = &first->inner->target_list[i]};
      windows += rewrite_windows(rw, &alone);
      continue;
    }
    windows++;
    first->number = target;
  }
  const struct query_column *wanted = &rte->columns[column];
  if (windows != 1 || !first->number || !*first->number->name || !wanted->name || strcmp(wanted->name, first->number->name) != 0)
    return false;
  first->window = first->number->val->func_call->over;
  return !*first->window->name && !*first->window->refname && first->window->n_partition_clause && first->window->n_order_clause;
}

/* PARTITION BY and ORDER BY together hold a key: no two rows tie for the first place. */
static bool is_total(struct rewrite *rw, const struct first *first, struct rewrite_key *ret_key) {
  const struct snap_table *table = first->scope->rtes[0]->table;
  bool *flags = table ? rewrite_flags(rw, table) : NULL;
  if (!flags) return false;
  for (size_t i = 0; i < first->window->n_partition_clause; i++) {
    const struct query_binding *binding = rewrite_column(rw, first->window->partition_clause[i]);
    if (!binding || binding->rte != first->scope->rtes[0]) return false;
    rewrite_flag(flags, binding);
  }
  for (size_t i = 0; i < first->window->n_order_clause; i++) {
    const struct query_binding *binding = rewrite_column(rw, first->window->order_clause[i]->sort_by->node);
    if (binding && binding->rte == first->scope->rtes[0]) rewrite_flag(flags, binding);
  }
  return rewrite_unique(rw, table, flags, true, ret_key);
}

/* A parent table that lists every value of the one column that partitions, by a foreign key. */
static const struct snap_fk *driver_of(struct rewrite *rw, const struct first *first) {
  const struct snap_table *table = first->scope->rtes[0]->table;
  const struct query_binding *binding = rewrite_column(rw, first->window->partition_clause[0]);
  if (first->window->n_partition_clause != 1 || !rewrite_not_null(rw, binding)) return NULL;
  const char *column = query_bound_column(binding)->column->name;
  for (size_t i = 0; i < table->fk_count; i++) {
    const struct snap_fk *fk = &table->fks[i];
    if (fk->column_count == 1 && strcmp(fk->columns[0], column) == 0 && fk->ref && fk->validated && !fk->deferrable && !fk->ref->rls &&
        !(fk->ref->kind == SNAP_TABLE && fk->ref->partition_count))
      return fk;
  }
  return NULL;
}

/* SELECT … FROM parent CROSS JOIN LATERAL (the inner query for one key, LIMIT 1); the inner query's outputs keep their names. */
static bool make_lateral(struct rewrite *rw, const struct first *first, const struct snap_fk *fk) {
  const char *driver = rewrite_fresh_name(rw, "driver"), *column = sql_ident(rw->arena, fk->ref_columns[0]);
  const char *parent = sql_qualified(rw->arena, fk->ref->schema, fk->ref->name), *each = rewrite_fresh_name(rw, "first_row");
  const struct query_binding *part = rewrite_column(rw, first->window->partition_clause[0]);
  const char *key = rewrite_column_text(rw, part);
  if (!driver || !column || !parent || !each || !key) return false;
  PgQuery__SelectStmt *made =
      rewrite_parse_select(rw, "SELECT %s.* FROM %s AS %s CROSS JOIN LATERAL (SELECT 1) AS %s", each, parent, driver, each);
  const PgQuery__SelectStmt *limit = rewrite_parse_select(rw, "SELECT 1 LIMIT 1");
  PgQuery__Node *condition = rewrite_parse(rw, "%s = %s.%s", key, driver, column), *one = rewrite_parse(rw, "1::bigint");
  PgQuery__SelectStmt *body = ARENA_NEW(rw->arena, PgQuery__SelectStmt);
  if (!made || !limit || !condition || !one || !body) return false;
  *body = *first->inner;
  for (size_t i = 0; i < first->window->n_order_clause; i++) { /* a bare name in ORDER BY would be an output's first */
    PgQuery__SortBy *sort = first->window->order_clause[i]->sort_by;
    const struct query_binding *binding = rewrite_column(rw, sort->node);
    if (binding) sort->node = rewrite_parse(rw, "%s", rewrite_column_text(rw, binding));
    if (!sort->node) return false;
  }
  body->sort_clause = first->window->order_clause;
  body->n_sort_clause = first->window->n_order_clause;
  body->limit_count = limit->limit_count;
  body->limit_option = limit->limit_option;
  rewrite_add_conjunct(rw, &body->where_clause, condition);
  first->number->val = one;
  made->from_clause[0]->join_expr->rarg->range_subselect->subquery = rewrite_select_node(rw, body);
  *first->inner = *made;
  return true;
}

static bool see_first(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct rewrite_comparison c;
  struct first first;
  struct rewrite_key key;
  int64_t one;
  (void)scope;
  (void)arg;
  if (!positive || !rewrite_is_comparison(node, &c)) return false;
  if (!rewrite_column(rw, c.left)) rewrite_flip(&c);
  const struct query_binding *binding = rewrite_column(rw, c.left);
  if (!binding || binding->levels_up || binding->rte->outer || !rewrite_int_literal(c.right, &one)) return false;
  bool asks = (strcmp(c.op, "=") == 0 && one == 1) || (strcmp(c.op, "<=") == 0 && one == 1) || (strcmp(c.op, "<") == 0 && one == 2);
  if (!asks || !read_first(rw, binding->rte, binding->column, &first) || !is_total(rw, &first, &key)) return false;
  PgQuery__Node **list; /* it holds for every row that gets through */
  size_t count = rewrite_conjuncts(rw, scope->select->where_clause, &list);
  bool everywhere = false;
  for (size_t i = 0; i < count; i++) everywhere |= list[i] == node;
  const struct snap_fk *fk = everywhere ? driver_of(rw, &first) : NULL;
  if (!fk || !rewrite_here(rw)) return false;
  const struct query_binding *part = rewrite_column(rw, first.window->partition_clause[0]);
  rewrite_state_unique(rw, first.scope->rtes[0]->table, &key);
  rewrite_state_not_null(rw, part);
  rewrite_assume(rw, "%s (%s) references %s (%s) (%s)", fk->table->qualified, fk->columns[0], fk->ref->qualified, fk->ref_columns[0],
                 fk->name);
  rewrite_explain(rw, "The first row for each key of %s is looked up by itself, with LIMIT 1, instead of numbering all rows",
                  fk->ref->qualified);
  return make_lateral(rw, &first, fk);
}

bool rewrite_first_row(struct rewrite *rw) { return rewrite_conditions(rw, see_first, NULL); }
