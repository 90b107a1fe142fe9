/* correlated.c - scalar subqueries that run once for each row of the query around them, turned into something that runs once.
 *
 * Grouping computes what the subquery computes for every key there is, also for keys nobody asks for; so nothing in it may be able to fail.
 * An outer row whose key has no group, or is NULL, gets NULLs from the outer join: what an aggregate over no rows is, but for count, which
 * is 0. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#define KEYS_MAX 4
#define VALUES_MAX 8

struct scalar {        /* (SELECT … FROM … WHERE inner = outer AND rest) in a query's WHERE or select list */
  PgQuery__Node *node; /* the sublink */
  struct query_scope *outer, *inner;
  PgQuery__SelectStmt *select;
  PgQuery__ResTarget *target; /* of the outer select list it stands in; NULL: in WHERE */
  const struct query_binding *inner_keys[KEYS_MAX], *outer_keys[KEYS_MAX];
  size_t key_count;
  PgQuery__Node *rest[64];
  size_t rest_count;
};

/* --- finding them --- */

typedef bool (*scalar_rule)(struct rewrite *rw, struct scalar *scalar);

struct search {
  struct rewrite *rw;
  struct query_scope *scope;
  PgQuery__ResTarget *target;
  scalar_rule rule;
  bool done;
};

static bool read_scalar(struct rewrite *rw, PgQuery__Node *node, struct scalar *scalar) {
  const PgQuery__SubLink *link = node->sub_link;
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK || !link->subselect ||
      link->subselect->node_case != PG_QUERY__NODE__NODE_SELECT_STMT)
    return false;
  scalar->node = node;
  scalar->select = link->subselect->select_stmt;
  scalar->inner = query_scope_of(rw->names, scalar->select);
  return scalar->inner && scalar->inner->parent == scalar->outer && rewrite_is_plain(scalar->select) && scalar->select->n_target_list == 1;
}

static bool see_scalar(void *arg, PgQuery__Node *node) {
  struct search *search = arg;
  if (search->done || node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL && node->func_call->over) return false;
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return true;
  struct scalar scalar = {.outer = search->scope, .target = search->target};
  if (read_scalar(search->rw, node, &scalar)) search->done = search->rule(search->rw, &scalar);
  return false;
}

static bool is_grouped(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  return select->n_group_clause || select->having_clause || rewrite_aggregates(rw, select);
}

/* Those of WHERE, where the order in which conditions are asked may change, so that they may not fail; and those of the select list unless
 * rows become groups before it. */
static bool each_scalar(struct rewrite *rw, scalar_rule rule) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    struct search search = {rw, rw->names->scopes[s], NULL, rule, false};
    const PgQuery__SelectStmt *select = search.scope->select;
    if (!rewrite_is_select(select) || !select->n_from_clause) continue;
    PgQuery__Node **list;
    size_t count = rewrite_conjuncts(rw, select->where_clause, &list);
    for (size_t i = 0; i < count; i++)
      if (rewrite_has_sublink(list[i]) && rewrite_is_safe(rw, list[i])) sql_walk(list[i], see_scalar, &search);
    bool grouped = is_grouped(rw, select);
    for (size_t i = 0; !grouped && !search.done && i < select->n_target_list; i++) {
      search.target = select->target_list[i]->res_target;
      sql_walk(search.target->val, see_scalar, &search);
    }
    if (search.done) return true;
  }
  return false;
}

/* --- what correlates it --- */

static bool is_of(const struct query_scope *scope, const struct query_binding *binding) {
  for (size_t i = 0; binding && i < scope->rte_count; i++)
    if (scope->rtes[i] == binding->rte) return binding->rte->kind != QUERY_JOIN && !binding->rte->hidden && binding->rte->name;
  return false;
}

static bool take_key(struct rewrite *rw, struct scalar *scalar, const PgQuery__Node *conjunct) {
  struct rewrite_comparison c;
  if (!rewrite_is_comparison(conjunct, &c) || strcmp(c.op, "=") != 0 || scalar->key_count == KEYS_MAX) return false;
  const struct query_binding *inner = rewrite_column(rw, c.left), *outer = rewrite_column(rw, c.right);
  if (!is_of(scalar->inner, inner)) {
    const struct query_binding *swap = inner;
    inner = outer;
    outer = swap;
  }
  if (!is_of(scalar->inner, inner) || !is_of(scalar->outer, outer) ||
      !rewrite_comparable(rewrite_type_of(query_bound_column(inner)->type), rewrite_type_of(query_bound_column(outer)->type)))
    return false;
  scalar->inner_keys[scalar->key_count] = inner;
  scalar->outer_keys[scalar->key_count++] = outer;
  return true;
}

static bool safe_from(struct rewrite *rw, const PgQuery__Node *item) {
  if (item->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
  const PgQuery__JoinExpr *join = item->join_expr;
  return !join->alias && safe_from(rw, join->larg) && safe_from(rw, join->rarg) && rewrite_is_safe(rw, join->quals);
}

struct ctes {
  struct rewrite *rw;
  const char *name;
  bool safe;
};

static bool see_cte(void *arg, PgQuery__Node *node) {
  struct ctes *ctes = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR && strcmp(node->common_table_expr->ctename, ctes->name) == 0)
    ctes->safe &= rewrite_is_safe(ctes->rw, node->common_table_expr->ctequery);
  return ctes->safe;
}

/* Nor may what a CTE computes of its rows fail, whichever of its name it is. */
static bool safe_ctes(struct rewrite *rw, const struct query_scope *scope) {
  struct ctes ctes = {rw, NULL, true};
  for (size_t i = 0; i < scope->rte_count && ctes.safe; i++) {
    if (scope->rtes[i]->kind != QUERY_CTE) continue;
    ctes.name = scope->rtes[i]->node->range_var->relname;
    sql_walk(rw->statement, see_cte, &ctes);
  }
  return ctes.safe;
}

static bool safe_rows(struct rewrite *rw, const PgQuery__SelectStmt *select, const struct query_scope *scope) {
  for (size_t i = 0; i < select->n_from_clause; i++)
    if (!safe_from(rw, select->from_clause[i])) return false;
  return safe_ctes(rw, scope) && rewrite_is_safe(rw, select->where_clause);
}

/* Keys by equality, and a rest that does not know of the outer query and can't fail. */
static bool correlate(struct rewrite *rw, struct scalar *scalar) {
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(rw, scalar->select->where_clause, &list);
  for (size_t i = 0; i < scalar->select->n_from_clause; i++)
    if (!safe_from(rw, scalar->select->from_clause[i]) || rewrite_refers_up(rw, scalar->select->from_clause[i], scalar->inner))
      return false;
  for (size_t i = 0; i < count; i++) {
    if (rewrite_refers_up(rw, list[i], scalar->inner)) {
      if (!take_key(rw, scalar, list[i])) return false;
    } else if (!rewrite_is_safe(rw, list[i]) || scalar->rest_count == sizeof scalar->rest / sizeof *scalar->rest) {
      return false;
    } else {
      scalar->rest[scalar->rest_count++] = list[i];
    }
  }
  return scalar->key_count > 0 && safe_ctes(rw, scalar->inner) &&
         !rewrite_refers_up(rw, scalar->select->target_list[0]->res_target->val, scalar->inner);
}

/* --- aggregates in it --- */

struct aggregates {
  struct rewrite *rw;
  PgQuery__Node *calls[VALUES_MAX];
  bool counts[VALUES_MAX]; /* 0, not NULL, of no rows */
  size_t count;
  bool fails;
};

/* Sums of columns and products of them in numeric, which does not overflow. */
static bool is_numeric(struct rewrite *rw, const PgQuery__Node *node) {
  if (rewrite_column(rw, node)) return rewrite_type(rw, node) == TYPE_NUMERIC;
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !node->a_expr->lexpr || node->a_expr->n_name != 1) return false;
  const char *op = sql_node_string(node->a_expr->name[0]);
  const PgQuery__Node *left = node->a_expr->lexpr, *right = node->a_expr->rexpr;
  if (!op || op[1] || !strchr("+-*", *op)) return false;
  bool left_plain = rewrite_is_literal(left) || (rewrite_column(rw, left) && rewrite_is_int(rewrite_type(rw, left)));
  bool right_plain = rewrite_is_literal(right) || (rewrite_column(rw, right) && rewrite_is_int(rewrite_type(rw, right)));
  if (rewrite_text_literal(left) || rewrite_text_literal(right)) return false;
  return (is_numeric(rw, left) && (right_plain || is_numeric(rw, right))) || (left_plain && is_numeric(rw, right));
}

static bool can_take(struct rewrite *rw, const char *name, PgQuery__Node *arg) {
  enum rewrite_type type = rewrite_column(rw, arg) ? rewrite_type(rw, arg) : TYPE_OTHER;
  if (strcmp(name, "count") == 0) return rewrite_column(rw, arg) || rewrite_is_literal(arg);
  if (strcmp(name, "sum") == 0 || strcmp(name, "avg") == 0) return rewrite_is_int(type) || is_numeric(rw, arg);
  if (strcmp(name, "min") == 0 || strcmp(name, "max") == 0) return (type != TYPE_OTHER && type != TYPE_BOOL) || is_numeric(rw, arg);
  return type == TYPE_BOOL;
}

static bool take_aggregate(struct aggregates *found, PgQuery__Node *node) {
  static const char *const names[] = {"count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every"};
  PgQuery__FuncCall *call = node->func_call;
  if (found->count == VALUES_MAX || call->n_agg_order || call->over || call->agg_within_group) return false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!rewrite_is_builtin(found->rw, node, names[i], call->n_args)) continue;
    if (call->n_args > 1 || (call->n_args == 0 && !call->agg_star) || (call->n_args && !can_take(found->rw, names[i], call->args[0])) ||
        (call->agg_filter && !rewrite_is_safe(found->rw, call->agg_filter)))
      return false;
    found->calls[found->count] = node;
    found->counts[found->count++] = i == 0;
    return true;
  }
  return false;
}

/* Aggregates, and around them what knows of no columns. */
static bool see_aggregate(void *arg, PgQuery__Node *node) {
  struct aggregates *found = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_FUNC_CALL:
    if (take_aggregate(found, node)) return false;
    found->fails |= !rewrite_is_builtin(found->rw, node, "round", node->func_call->n_args);
    break;
  case PG_QUERY__NODE__NODE_COLUMN_REF:
  case PG_QUERY__NODE__NODE_SUB_LINK: found->fails = true; break;
  default: break;
  }
  return !found->fails;
}

static bool find_aggregates(struct rewrite *rw, PgQuery__Node *value, struct aggregates *found) {
  *found = (struct aggregates){.rw = rw};
  sql_walk(value, see_aggregate, found);
  return !found->fails && found->count;
}

/* --- joining --- */

static bool contains(const PgQuery__Node *item, const struct query_rte *rte) {
  if (item == rte->node) return true;
  return item->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR &&
         (contains(item->join_expr->larg, rte) || contains(item->join_expr->rarg, rte));
}

/* All items of FROM as one, by CROSS JOIN. */
static bool cross_all(struct rewrite *rw, PgQuery__SelectStmt *select) {
  while (select->n_from_clause > 1) {
    const PgQuery__SelectStmt *made = rewrite_parse_select(rw, "SELECT 1 FROM a CROSS JOIN b");
    if (!made) return false;
    made->from_clause[0]->join_expr->larg = select->from_clause[0];
    made->from_clause[0]->join_expr->rarg = select->from_clause[1];
    select->from_clause[0] = made->from_clause[0];
    memmove(&select->from_clause[1], &select->from_clause[2], (select->n_from_clause - 2) * sizeof(PgQuery__Node *));
    select->n_from_clause--;
  }
  return true;
}

/* FROM … LEFT JOIN (body) AS name ON condition, where all of the outer keys can be seen. */
static bool join(struct rewrite *rw, PgQuery__SelectStmt *select, const struct scalar *scalar, PgQuery__SelectStmt *body, const char *name,
                 const char *condition, bool lateral) {
  const PgQuery__SelectStmt *made =
      rewrite_parse_select(rw, "SELECT 1 FROM a LEFT JOIN %s(SELECT 1) AS %s ON %s", lateral ? "LATERAL " : "", name, condition);
  if (!made) return false;
  size_t at = 0;
  for (bool all = lateral; !all && at < select->n_from_clause; at += !all) {
    all = true;
    for (size_t k = 0; k < scalar->key_count; k++) all &= contains(select->from_clause[at], scalar->outer_keys[k]->rte);
  }
  if (lateral || at == select->n_from_clause) {
    if (!cross_all(rw, select)) return false;
    at = 0;
  }
  PgQuery__JoinExpr *expr = made->from_clause[0]->join_expr;
  expr->larg = select->from_clause[at];
  expr->rarg->range_subselect->subquery = rewrite_select_node(rw, body);
  select->from_clause[at] = made->from_clause[0];
  return true;
}

/* What stands in the sublink's place keeps its column's name. */
static void put(struct scalar *scalar, const PgQuery__Node *value) {
  if (scalar->target && !*scalar->target->name && scalar->target->val == scalar->node && scalar->inner->outputs[0].name)
    scalar->target->name = (char *)(uintptr_t)scalar->inner->outputs[0].name;
  *scalar->node = *value;
}

static PgQuery__SelectStmt *outer_select(const struct scalar *scalar) { return (PgQuery__SelectStmt *)(uintptr_t)scalar->outer->select; }

struct derived { /* the table that is joined, as it grows */
  const char *name, *columns, *groups, *condition;
};

static bool add_key(struct rewrite *rw, struct derived *d, const struct scalar *scalar, size_t k) {
  const char *inner = rewrite_column_text(rw, scalar->inner_keys[k]), *outer = rewrite_column_text(rw, scalar->outer_keys[k]);
  const char *base = arena_printf(rw->arena, "%s_key", query_bound_column(scalar->inner_keys[k])->name);
  const char *key = base ? rewrite_fresh_name(rw, base) : NULL;
  if (key && k) key = arena_printf(rw->arena, "%s_%zu", key, k + 1);
  if (key) key = sql_ident(rw->arena, key);
  if (!inner || !outer || !key) return false;
  d->columns = arena_printf(rw->arena, "%s%s%s AS %s", d->columns, *d->columns ? ", " : "", inner, key);
  d->groups = arena_printf(rw->arena, "%s%s%s", d->groups, k ? ", " : "", inner);
  d->condition = arena_printf(rw->arena, "%s%s%s.%s = %s", d->condition, k ? " AND " : "", d->name, key, outer);
  return d->columns && d->groups && d->condition;
}

/* A column more, named after what it holds; its name from outside. */
static const char *add_value(struct rewrite *rw, struct derived *d, PgQuery__Node *value, const char *base, size_t number) {
  const char *text = sql_expression(rw->arena, value), *name = rewrite_fresh_name(rw, base);
  if (name && number) name = arena_printf(rw->arena, "%s_%zu", name, number + 1);
  if (name) name = sql_ident(rw->arena, name);
  if (!text || !name) return NULL;
  d->columns = arena_printf(rw->arena, "%s%s%s AS %s", d->columns, *d->columns ? ", " : "", text, name);
  return d->columns ? arena_printf(rw->arena, "%s.%s", d->name, name) : NULL;
}

/* SELECT columns FROM the subquery's WHERE its rest. */
static PgQuery__SelectStmt *body_of(struct rewrite *rw, const struct scalar *scalar, const struct derived *d, bool grouped) {
  PgQuery__SelectStmt *body =
      rewrite_parse_select(rw, "SELECT %s FROM a%s%s", d->columns, grouped ? " GROUP BY " : "", grouped ? d->groups : "");
  if (!body) return NULL;
  body->from_clause = scalar->select->from_clause;
  body->n_from_clause = scalar->select->n_from_clause;
  for (size_t i = 0; i < scalar->rest_count; i++) rewrite_add_conjunct(rw, &body->where_clause, scalar->rest[i]);
  return body;
}

/* --- subqueries over the same rows --- */

static const char *rows_of(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  const PgQuery__SelectStmt *one = rewrite_parse_select(rw, "SELECT 1");
  PgQuery__SelectStmt copy = *select;
  if (!one) return NULL;
  copy.target_list = one->target_list;
  return sql_statement_text(rw->arena, rewrite_select_node(rw, &copy));
}

#define FAMILY_MAX 8

struct family {
  struct rewrite *rw;
  const struct scalar *first;
  const char *rows;
  PgQuery__ResTarget *target;
  struct scalar members[FAMILY_MAX];
  size_t count;
};

static bool see_member(void *arg, PgQuery__Node *node) {
  struct family *family = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL && node->func_call->over) return false;
  if (node->node_case != PG_QUERY__NODE__NODE_SUB_LINK) return true;
  struct scalar scalar = {.outer = family->first->outer, .target = family->target};
  if (family->count == FAMILY_MAX || node == family->first->node || !read_scalar(family->rw, node, &scalar)) return false;
  const char *rows = rows_of(family->rw, scalar.select);
  struct aggregates found;
  if (rows && strcmp(rows, family->rows) == 0 && find_aggregates(family->rw, scalar.select->target_list[0]->res_target->val, &found))
    family->members[family->count++] = scalar;
  return false;
}

/* The other scalar aggregates of the same query over the same rows. */
static bool gather(struct rewrite *rw, const struct scalar *first, struct family *family) {
  *family = (struct family){.rw = rw, .first = first, .rows = rows_of(rw, first->select)};
  if (!family->rows) return false;
  const PgQuery__SelectStmt *select = first->outer->select;
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(rw, select->where_clause, &list);
  for (size_t i = 0; i < count; i++)
    if (rewrite_has_sublink(list[i]) && rewrite_is_safe(rw, list[i])) sql_walk(list[i], see_member, family);
  bool grouped = is_grouped(rw, select);
  for (size_t i = 0; !grouped && i < select->n_target_list; i++) {
    family->target = select->target_list[i]->res_target;
    sql_walk(family->target->val, see_member, family);
  }
  return true;
}

/* --- correlated aggregates → one grouped join --- */

static bool group_one(struct rewrite *rw, struct scalar *scalar, struct derived *d, size_t *number) {
  struct aggregates found;
  PgQuery__Node *value = scalar->select->target_list[0]->res_target->val;
  if (!find_aggregates(rw, value, &found)) return false;
  for (size_t i = 0; i < found.count; i++) {
    const char *schema, *name;
    sql_name_split(found.calls[i]->func_call->n_funcname, found.calls[i]->func_call->funcname, &schema, &name);
    const char *base = arena_printf(rw->arena, "%s_value", name),
               *column = base ? add_value(rw, d, found.calls[i], base, (*number)++) : NULL;
    PgQuery__Node *made = column ? rewrite_parse(rw, found.counts[i] ? "COALESCE(%s, 0)" : "%s", column) : NULL;
    if (!made) return false;
    *found.calls[i] = *made;
  }
  put(scalar, value);
  return true;
}

static bool group_by_key(struct rewrite *rw, struct scalar *scalar) {
  struct aggregates found;
  struct family family;
  PgQuery__SelectStmt *select = outer_select(scalar);
  if (!correlate(rw, scalar) || !find_aggregates(rw, scalar->select->target_list[0]->res_target->val, &found) ||
      !rewrite_expand_star(rw, scalar->outer, select, false) || !rewrite_here(rw) || !gather(rw, scalar, &family))
    return false;
  struct derived d = {rewrite_fresh_name(rw, "grouped"), "", "", ""};
  size_t number = 0;
  bool made = d.name && rewrite_expand_star(rw, scalar->outer, select, true);
  for (size_t k = 0; made && k < scalar->key_count; k++) made = add_key(rw, &d, scalar, k);
  made = made && group_one(rw, scalar, &d, &number);
  for (size_t i = 0; made && i < family.count; i++) made = group_one(rw, &family.members[i], &d, &number);
  PgQuery__SelectStmt *body = made ? body_of(rw, scalar, &d, true) : NULL;
  rewrite_explain(rw, "The subquery is computed for all keys at once and joined, instead of once for each row%s",
                  family.count ? "; several over the same rows are computed together" : "");
  return body && join(rw, select, scalar, body, d.name, d.condition, false);
}

bool rewrite_correlated_aggregate(struct rewrite *rw) { return each_scalar(rw, group_by_key); }

/* --- look-ups by a unique key → a join --- */

static bool look_up(struct rewrite *rw, struct scalar *scalar) {
  const struct snap_table *table = scalar->inner->rte_count == 1 ? scalar->inner->rtes[0]->table : NULL;
  PgQuery__Node *value = scalar->select->target_list[0]->res_target->val;
  PgQuery__SelectStmt *select = outer_select(scalar);
  struct rewrite_key key;
  bool *flags = table ? rewrite_flags(rw, table) : NULL;
  if (!flags || !rewrite_column(rw, value) || !correlate(rw, scalar)) return false;
  for (size_t k = 0; k < scalar->key_count; k++)
    if (!rewrite_flag(flags, scalar->inner_keys[k])) return false;
  if (!rewrite_unique(rw, table, flags, false, &key) || !rewrite_expand_star(rw, scalar->outer, select, false) || !rewrite_here(rw))
    return false;
  struct derived d = {rewrite_fresh_name(rw, "found"), "", "", ""};
  bool made = d.name && rewrite_expand_star(rw, scalar->outer, select, true);
  for (size_t k = 0; made && k < scalar->key_count; k++) made = add_key(rw, &d, scalar, k);
  const char *base = arena_printf(rw->arena, "%s_value", query_bound_column(rewrite_column(rw, value))->name);
  const char *column = made && base ? add_value(rw, &d, value, base, 0) : NULL;
  PgQuery__Node *reference = column ? rewrite_parse(rw, "%s", column) : NULL;
  PgQuery__SelectStmt *body = reference ? body_of(rw, scalar, &d, false) : NULL;
  if (!body) return false;
  rewrite_state_unique(rw, table, &key);
  rewrite_explain(rw, "The subquery looks up one row of %s for each row: as a join they are looked up together", table->qualified);
  put(scalar, reference);
  return join(rw, select, scalar, body, d.name, d.condition, false);
}

bool rewrite_correlated_lookup(struct rewrite *rw) { return each_scalar(rw, look_up); }

/* --- several aggregates over the same correlated rows → one LATERAL --- */

static bool share(struct rewrite *rw, struct scalar *scalar) {
  struct aggregates found;
  struct family family;
  PgQuery__SelectStmt *select = outer_select(scalar);
  if (!find_aggregates(rw, scalar->select->target_list[0]->res_target->val, &found) || !gather(rw, scalar, &family) || !family.count ||
      !rewrite_refers_up(rw, rewrite_select_node(rw, scalar->select), scalar->inner) || !safe_rows(rw, scalar->select, scalar->inner) ||
      !rewrite_expand_star(rw, scalar->outer, select, false) || !rewrite_here(rw))
    return false;
  struct derived d = {rewrite_fresh_name(rw, "shared"), "", "", "true"};
  bool made = d.name && rewrite_expand_star(rw, scalar->outer, select, true);
  for (size_t i = 0; made && i <= family.count; i++) {
    struct scalar *one = i ? &family.members[i - 1] : scalar;
    const char *column = add_value(rw, &d, one->select->target_list[0]->res_target->val, "value", i);
    const PgQuery__Node *reference = column ? rewrite_parse(rw, "%s", column) : NULL;
    made = reference != NULL;
    if (made) put(one, reference);
  }
  PgQuery__SelectStmt *body = made ? rewrite_parse_select(rw, "SELECT %s", d.columns) : NULL;
  if (!body) return false;
  body->from_clause = scalar->select->from_clause;
  body->n_from_clause = scalar->select->n_from_clause;
  body->where_clause = scalar->select->where_clause;
  return join(rw, select, scalar, body, d.name, d.condition, true);
}

bool rewrite_same_subquery(struct rewrite *rw) { return each_scalar(rw, share); }

/* --- SELECT (SELECT count(*) … WHERE a), (SELECT count(*) … WHERE b) → one scan --- */

static bool read_part(struct rewrite *rw, const PgQuery__ResTarget *target, struct query_scope *scope, const char **from,
                      struct aggregates *found) {
  struct scalar scalar = {.outer = scope};
  if (target->val->node_case != PG_QUERY__NODE__NODE_SUB_LINK || !read_scalar(rw, target->val, &scalar)) return false;
  PgQuery__SelectStmt bare = *scalar.select;
  bare.where_clause = NULL;
  const char *rows = rows_of(rw, &bare);
  if (!rows || (*from && strcmp(*from, rows) != 0) || scalar.select->n_from_clause != 1 ||
      scalar.select->from_clause[0]->node_case != PG_QUERY__NODE__NODE_RANGE_VAR ||
      rewrite_refers_up(rw, rewrite_select_node(rw, scalar.select), scalar.inner)) /* under FILTER that may make it an outer aggregate */
    return false;
  *from = rows;
  if (rewrite_has_sublink(scalar.select->where_clause) || !rewrite_is_safe(rw, scalar.select->where_clause)) return false;
  return find_aggregates(rw, scalar.select->target_list[0]->res_target->val, found);
}

static bool fold(struct rewrite *rw, PgQuery__ResTarget *target) {
  PgQuery__SelectStmt *part = target->val->sub_link->subselect->select_stmt;
  struct aggregates found;
  const struct query_scope *inner = query_scope_of(rw->names, part);
  find_aggregates(rw, part->target_list[0]->res_target->val, &found);
  for (size_t i = 0; i < found.count && part->where_clause; i++)
    rewrite_add_conjunct(rw, &found.calls[i]->func_call->agg_filter, rewrite_copy(rw, part->where_clause));
  if (!*target->name && inner->outputs[0].name) target->name = (char *)(uintptr_t)inner->outputs[0].name;
  target->val = part->target_list[0]->res_target->val;
  return true;
}

bool rewrite_one_scan(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)(uintptr_t)rw->names->scopes[s]->select;
    const char *from = NULL;
    struct aggregates found;
    bool all = rewrite_is_select(select) && !select->n_from_clause && !select->where_clause && !select->n_group_clause &&
               !select->having_clause && !select->n_sort_clause && !select->n_distinct_clause && select->n_target_list > 1 &&
               !select->limit_count && !select->limit_offset;
    for (size_t i = 0; all && i < select->n_target_list; i++)
      all = read_part(rw, select->target_list[i]->res_target, rw->names->scopes[s], &from, &found);
    if (!all || !rewrite_here(rw)) continue;
    PgQuery__SelectStmt *first = select->target_list[0]->res_target->val->sub_link->subselect->select_stmt;
    select->from_clause = first->from_clause;
    select->n_from_clause = 1;
    for (size_t i = 0; i < select->n_target_list; i++)
      if (!fold(rw, select->target_list[i]->res_target)) return false;
    return true;
  }
  return false;
}
