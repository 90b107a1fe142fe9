/* findings_text.c - what the text of a query says by itself. Names are looked up in the snapshot by their spelling: a column that several
 * of the query's tables have, and that is not qualified, is nobody's. */
#include <string.h>

#include "worker/optimizer/finding_impl.h"
#include "worker/sql/tree.h"
#include "worker/sql/volatility.h"

#define OFFSET_FAR 1000
#define LIST_HUGE 500
#define VIEWS_DEEP 3

/* --- walking --- */

struct look {
  const struct finding_view *view;
  struct finding *finding;
  bool (*see)(struct look *look, PgQuery__Node *node);
  bool found;
};

static bool visit(void *arg, PgQuery__Node *node) {
  struct look *look = arg;
  if (!look->found) look->found = look->see(look, node);
  return !look->found;
}

static bool walk(const struct finding_view *view, struct finding *finding, bool (*see)(struct look *look, PgQuery__Node *node)) {
  struct look look = {.view = view, .finding = finding, .see = see};
  sql_walk(view->statement->node, visit, &look);
  return look.found;
}

static void at(struct finding *finding, int location) { finding->offset = location >= 0 ? location : -1; }

static const char *last_name(size_t count, PgQuery__Node *const *parts) {
  const char *schema = NULL, *name = NULL;
  sql_name_split(count, parts, &schema, &name);
  return name ? name : "";
}

static bool is_op(const PgQuery__AExpr *expression, const char *op) {
  return strcmp(last_name(expression->n_name, expression->name), op) == 0;
}

static const PgQuery__SelectStmt *top_select(const struct finding_view *view) {
  const PgQuery__Node *node = view->statement->node;
  return node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt : NULL;
}

/* --- names --- */

struct column_search {
  const struct snapshot *snapshot;
  const char *table, *column;
  const struct snap_table *found_table;
  const struct snap_column *found;
  bool several;
};

static bool search_relation(void *arg, PgQuery__Node *node) {
  struct column_search *search = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const PgQuery__RangeVar *var = node->range_var;
  const char *alias = var->alias ? var->alias->aliasname : var->relname;
  if (search->table && strcmp(search->table, alias) != 0) return true;
  const struct snap_table *table = snapshot_table(search->snapshot, sql_or_null(var->schemaname), var->relname);
  const struct snap_column *column = table ? snap_table_column(table, search->column) : NULL;
  if (column && search->found && search->found_table != table) search->several = true;
  if (column) search->found = column, search->found_table = table;
  return true;
}

static const struct snap_column *column_of(const struct finding_view *view, const PgQuery__Node *node,
                                           const struct snap_table **ret_table) {
  struct column_search search = {.snapshot = view->snapshot};
  if (!view->snapshot || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return NULL;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &search.table, &search.column);
  if (!search.column) return NULL;
  sql_walk(view->statement->node, search_relation, &search);
  if (ret_table) *ret_table = search.found_table;
  return search.several ? NULL : search.found;
}

/* The scan of a plan that reads the table: what is said of the text is then about how it is read, and weighs what reading it takes. */
static void about_scan(const struct finding_view *view, struct finding *finding, const struct snap_table *table, const char *name) {
  for (size_t i = 0; view->plan && i < view->plan->count; i++) {
    const struct plan_node *node = view->plan->nodes[i];
    bool same = table && node->table ? node->table == table : name && node->relation && strcmp(node->relation, name) == 0;
    if (!same || !plan_is(node, "Seq Scan")) continue;
    finding->node = finding->anchor = node;
    finding_stake(finding, node, 0.9);
    finding_shows(view, finding, json_pack("{s:s, s:s?}", "relation", plan_relation(view->plan, node), "filter", node->filter));
    return;
  }
}

/* --- comparisons --- */

static bool see_equals_null(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP) return false;
  const PgQuery__AExpr *one = node->a_expr;
  if (!is_op(one, "=") && !is_op(one, "<>")) return false;
  bool null = false;
  const PgQuery__Node *const sides[] = {one->lexpr, one->rexpr};
  for (size_t i = 0; i < 2; i++) null |= sides[i] && sides[i]->node_case == PG_QUERY__NODE__NODE_A_CONST && sides[i]->a_const->isnull;
  if (!null) return false;
  finding_say(look->view, look->finding, "%s NULL is never true: no row passes", is_op(one, "=") ? "=" : "<>");
  at(look->finding, one->location);
  return true;
}

bool look_equals_null(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_equals_null);
}

/* NOT IN (SELECT column …) of a column that may be NULL. */
static bool see_not_in(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR) return false;
  const PgQuery__Node *inner = node->bool_expr->args[0];
  if (inner->node_case != PG_QUERY__NODE__NODE_SUB_LINK || inner->sub_link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK)
    return false;
  const PgQuery__Node *sub = inner->sub_link->subselect;
  if (!sub || sub->node_case != PG_QUERY__NODE__NODE_SELECT_STMT || sub->select_stmt->n_target_list != 1) return false;
  const PgQuery__Node *value = sub->select_stmt->target_list[0]->res_target->val;
  const struct snap_column *column = value ? column_of(look->view, value, NULL) : NULL;
  if (!column || column->not_null) return false;
  finding_say(look->view, look->finding, "NOT IN over %s, which may be NULL: one NULL among its values and no row passes", column->name);
  at(look->finding, inner->sub_link->location);
  return true;
}

bool look_not_in_nullable(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_not_in);
}

static bool is_integer(const char *type) {
  return type && (strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0 || strcmp(type, "smallint") == 0);
}
static bool is_text(const char *type) { return type && (strcmp(type, "text") == 0 || strncmp(type, "character", 9) == 0); }

static const PgQuery__Node *bare(const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  return node;
}

/* integer_column = 9.0: the column is turned into numeric, row by row. */
static bool see_implicit_cast(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !node->a_expr->lexpr || !node->a_expr->rexpr) return false;
  PgQuery__Node *const sides[] = {node->a_expr->lexpr, node->a_expr->rexpr};
  for (size_t i = 0; i < 2; i++) {
    const struct snap_table *table = NULL;
    const struct snap_column *column = column_of(look->view, sides[i], &table);
    const PgQuery__Node *value = sides[1 - i];
    bool fraction = value->node_case == PG_QUERY__NODE__NODE_A_CONST && value->a_const->val_case == PG_QUERY__A__CONST__VAL_FVAL &&
                    strchr(value->a_const->fval->fval, '.');
    if (!column || !is_integer(column->type) || !fraction) continue;
    finding_say(look->view, look->finding, "%s is %s and compared with the numeric %s: it is converted row by row, past its indexes",
                column->name, column->type, value->a_const->fval->fval);
    at(look->finding, node->a_expr->location);
    about_scan(look->view, look->finding, table, NULL);
    return true;
  }
  return false;
}

bool look_implicit_cast(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_implicit_cast);
}

/* Keys of two types: a text made of a number, and bigint held against numeric. */
static bool see_type_mismatch(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !is_op(node->a_expr, "=") || !node->a_expr->lexpr || !node->a_expr->rexpr)
    return false;
  const struct snap_table *one_table = NULL, *other_table = NULL;
  const struct snap_column *one = column_of(look->view, bare(node->a_expr->lexpr), &one_table);
  const struct snap_column *other = column_of(look->view, bare(node->a_expr->rexpr), &other_table);
  if (!one || !other || one_table == other_table || strcmp(one->type, other->type) == 0) return false;
  bool same = (is_integer(one->type) && is_integer(other->type)) || (is_text(one->type) && is_text(other->type));
  if (same) return false;
  finding_say(look->view, look->finding, "%s.%s is %s and %s.%s is %s: one is converted for every row", one_table->name, one->name,
              one->type, other_table->name, other->name, other->type);
  at(look->finding, node->a_expr->location);
  return true;
}

bool look_join_type_mismatch(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_type_mismatch);
}

/* --- conditions of WHERE --- */

static bool each_condition(const struct finding_view *view, bool (*wanted)(const struct condition *), struct condition *ret_found) {
  const PgQuery__SelectStmt *select = top_select(view);
  struct condition_list list = {0};
  if (!select || !select->where_clause) return false;
  conditions_of(view->arena, select->where_clause, &list);
  for (size_t i = 0; i < list.count; i++)
    if (wanted(&list.items[i])) {
      *ret_found = list.items[i];
      return true;
    }
  return false;
}

/* The table that a condition's column is of, by its qualifier or by being the only one. */
struct table_search {
  const char *qualifier;
  const char *name;
  size_t count;
};

static bool search_table(void *arg, PgQuery__Node *node) {
  struct table_search *search = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const PgQuery__RangeVar *var = node->range_var;
  const char *alias = var->alias ? var->alias->aliasname : var->relname;
  if (search->qualifier && strcmp(search->qualifier, alias) != 0) return true;
  search->name = var->relname;
  search->count++;
  return true;
}

static void weigh_condition(const struct finding_view *view, struct finding *finding, const struct condition *one) {
  struct table_search search = {.qualifier = one->table};
  sql_walk(view->statement->node, search_table, &search);
  if (search.count == 1) about_scan(view, finding, NULL, search.name);
  at(finding, one->expression->node_case == PG_QUERY__NODE__NODE_A_EXPR ? one->expression->a_expr->location : -1);
}

static bool is_wrapped(const struct condition *one) {
  return one->column && (one->kind == CONDITION_FUNCTION || one->kind == CONDITION_CAST || one->kind == CONDITION_ARITHMETIC);
}

/* An index on the expression, if there is one, shows in the plan: nothing is read whole then. */
bool look_function_on_column(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  struct condition one;
  (void)node;
  if (!each_condition(view, is_wrapped, &one)) return false;
  weigh_condition(view, finding, &one);
  if (view->plan && !finding->node) return false;
  const char *how = one.kind == CONDITION_CAST ? "a cast" : one.kind == CONDITION_ARITHMETIC ? "arithmetic" : one.function;
  finding_say(view, finding, "%s is wrapped in %s: an index on the column does not serve", one.column, how ? how : "a function");
  return true;
}

static bool is_pattern(const struct condition *one) { return one->column && one->kind == CONDITION_PATTERN; }

bool look_leading_wildcard(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  struct condition one;
  (void)node;
  if (!each_condition(view, is_pattern, &one)) return false;
  weigh_condition(view, finding, &one);
  if (view->plan && !finding->node) return false;
  finding_say(view, finding, "%s is searched for a pattern that no btree index serves", one.column);
  finding_advise(view, finding, "A trigram index does: CREATE INDEX CONCURRENTLY ON … USING gin (%s gin_trgm_ops)", one.column);
  return true;
}

static bool has_two_columns(const struct condition *one) { return one->kind == CONDITION_OR && !one->column; }

/* OR of several tables or with a subquery: no index serves both sides. Of one table a BitmapOr does. */
static bool counts_tables(struct look *look, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) return true;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields < 2) return false;
  const char *table = sql_node_string(node->column_ref->fields[0]);
  const char *first = (const char *)look->finding->advice;
  if (!first) look->finding->advice = table;
  return first && table && strcmp(first, table) != 0;
}

bool look_or_mix(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  struct condition one;
  struct finding scratch = {0};
  (void)node;
  if (!each_condition(view, has_two_columns, &one)) return false;
  struct look look = {.view = view, .finding = &scratch, .see = counts_tables};
  PgQuery__Node *expression = (PgQuery__Node *)(uintptr_t)one.expression;
  sql_walk(expression, visit, &look);
  if (!look.found) return false;
  at(finding, one.expression->bool_expr->location);
  finding_say(view, finding, "OR of several tables or of a subquery: each row of the join is made before it can be judged");
  return true;
}

static bool see_between(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) return false;
  const struct snap_column *column = column_of(look->view, node->a_expr->lexpr, NULL);
  if (!column || strncmp(column->type, "timestamp", 9) != 0) return false;
  finding_say(look->view, look->finding,
              "BETWEEN on the timestamp %s includes its upper end: an instant that two neighbouring ranges share is in both", column->name);
  at(look->finding, node->a_expr->location);
  return true;
}

bool look_between_timestamps(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_between);
}

static bool see_list(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_IN) return false;
  const PgQuery__Node *list = node->a_expr->rexpr;
  if (!list || list->node_case != PG_QUERY__NODE__NODE_LIST || list->list->n_items < LIST_HUGE) return false;
  finding_say(look->view, look->finding, "a list of %zu values is parsed and planned with the query", list->list->n_items);
  at(look->finding, node->a_expr->location);
  return true;
}

bool look_in_list_huge(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_list);
}

bool look_volatile_where(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  const char *name = NULL;
  (void)node;
  if (!select || !select->where_clause || !sql_volatile(view->snapshot, select->where_clause, &name)) return false;
  finding_say(view, finding, "WHERE calls %s(), which is VOLATILE: it is called for every row, and no index serves it",
              name ? name : "a function");
  return true;
}

/* --- the query's shape --- */

static const PgQuery__ColumnRef *star_of(const PgQuery__Node *target) {
  const PgQuery__Node *value = target->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? target->res_target->val : NULL;
  if (!value || value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || !value->column_ref->n_fields) return NULL;
  const PgQuery__ColumnRef *ref = value->column_ref;
  return ref->fields[ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR ? ref : NULL;
}

/* Of the query itself: a star in EXISTS or in a subquery costs nothing. */
bool look_select_star(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  (void)node;
  for (size_t i = 0; select && i < select->n_target_list && select->n_from_clause; i++)
    if (select->from_clause[0]->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT && star_of(select->target_list[i])) {
      at(finding, star_of(select->target_list[i])->location);
      finding_say(view, finding, "SELECT * fetches every column: wide values are read and sent, and no index-only scan is possible");
      return true;
    }
  return false;
}

bool look_offset(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  long rows = 0;
  (void)node;
  if (!select || !select->limit_offset || !sql_node_int(select->limit_offset, &rows) || rows < OFFSET_FAR) return false;
  finding_say(view, finding, "OFFSET %ld makes that many rows and throws them away", rows);
  for (size_t i = 0; view->plan && i < view->plan->count; i++) /* a plan's offset-waste says it with numbers */
    if (plan_is(view->plan->nodes[i], "Limit")) {
      finding->anchor = view->plan->nodes[i];
      break;
    }
  return true;
}

static bool see_random(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_SORT_BY || !node->sort_by->node) return false;
  const PgQuery__Node *key = node->sort_by->node;
  if (key->node_case != PG_QUERY__NODE__NODE_FUNC_CALL ||
      strcmp(last_name(key->func_call->n_funcname, key->func_call->funcname), "random") != 0)
    return false;
  finding_say(look->view, look->finding, "ORDER BY random() makes and sorts every row to take some");
  at(look->finding, key->func_call->location);
  return true;
}

bool look_order_by_random(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_random);
}

static bool is_count_subquery(const PgQuery__Node *node) {
  if (!node || node->node_case != PG_QUERY__NODE__NODE_SUB_LINK || node->sub_link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK)
    return false;
  const PgQuery__Node *sub = node->sub_link->subselect;
  if (!sub || sub->node_case != PG_QUERY__NODE__NODE_SELECT_STMT || sub->select_stmt->n_target_list != 1 ||
      sub->select_stmt->n_group_clause)
    return false;
  const PgQuery__Node *value = sub->select_stmt->target_list[0]->res_target->val;
  return value && value->node_case == PG_QUERY__NODE__NODE_FUNC_CALL &&
         strcmp(last_name(value->func_call->n_funcname, value->func_call->funcname), "count") == 0;
}

static bool see_count(struct look *look, PgQuery__Node *node) {
  long value = -1;
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !is_count_subquery(node->a_expr->lexpr) ||
      !sql_node_int(node->a_expr->rexpr, &value))
    return false;
  const PgQuery__AExpr *one = node->a_expr;
  bool exists =
      (value == 0 && (is_op(one, ">") || is_op(one, "<>") || is_op(one, "="))) || (value == 1 && (is_op(one, ">=") || is_op(one, "<")));
  if (!exists) return false;
  finding_say(look->view, look->finding, "rows are counted to learn whether there is one: EXISTS stops at the first");
  at(look->finding, one->location);
  return true;
}

bool look_count_exists(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_count);
}

bool look_limit_unordered(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  long rows = 0;
  (void)node;
  if (!select || !select->limit_count || select->n_sort_clause || !select->n_from_clause) return false;
  bool one_row = !select->n_group_clause && select->n_target_list == 1 && select->target_list[0]->res_target->val &&
                 select->target_list[0]->res_target->val->node_case == PG_QUERY__NODE__NODE_FUNC_CALL;
  if (one_row || (sql_node_int(select->limit_count, &rows) && rows == 0)) return false;
  finding_say(view, finding, "LIMIT without ORDER BY returns whichever rows come first: other ones with another plan");
  return true;
}

/* Arms of constants that differ, or that say they are about different things. */
bool look_union_all(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  (void)node;
  if (!select || select->op != PG_QUERY__SET_OPERATION__SETOP_UNION || select->all || !select->larg || !select->rarg) return false;
  const PgQuery__SelectStmt *arms[] = {select->larg, select->rarg};
  const char *values[2] = {NULL, NULL};
  for (size_t i = 0; arms[0]->n_target_list == arms[1]->n_target_list && i < arms[0]->n_target_list; i++) {
    for (size_t a = 0; a < 2; a++) {
      const PgQuery__Node *value = bare(arms[a]->target_list[i]->res_target->val);
      bool text = value && value->node_case == PG_QUERY__NODE__NODE_A_CONST && value->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
      values[a] = text ? value->a_const->sval->sval : NULL;
    }
    if (!values[0] || !values[1] || strcmp(values[0], values[1]) == 0) continue;
    finding_say(view, finding, "UNION looks for duplicates between arms that differ in a constant ('%s', '%s')", values[0], values[1]);
    return true;
  }
  return false;
}

static bool is_join(const PgQuery__SelectStmt *select) {
  return select->n_from_clause > 1 || (select->n_from_clause == 1 && select->from_clause[0]->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR);
}

/* Only one side's columns are wanted: the other is there to be looked up. */
bool look_distinct_join(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  const char *only = NULL;
  (void)node;
  if (!select || !select->n_distinct_clause || !is_join(select)) return false;
  for (size_t i = 0; i < select->n_target_list; i++) {
    const PgQuery__Node *value = select->target_list[i]->res_target->val;
    if (!value || value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || value->column_ref->n_fields < 2) return false;
    const char *table = sql_node_string(value->column_ref->fields[0]);
    if (!table || (only && strcmp(only, table) != 0)) return false;
    only = table;
  }
  for (size_t i = 0; view->plan && i < view->plan->count; i++) /* distinct-waste says it with numbers, of the node that does it */
    if (plan_is(view->plan->nodes[i], "Unique") || plan_is(view->plan->nodes[i], "Aggregate")) {
      finding->anchor = view->plan->nodes[i];
      break;
    }
  finding_say(view, finding, "DISTINCT takes back what the join multiplies: only %s's columns are wanted", only ? only : "one side");
  return true;
}

/* --- joins without a condition --- */

struct connect {
  const char *names[64];
  size_t group[64], count;
  bool open; /* something it does not follow */
};

static size_t place_of(const struct connect *all, const char *name) {
  for (size_t i = 0; i < all->count; i++)
    if (strcmp(all->names[i], name) == 0) return i;
  return all->count;
}

static void merge(struct connect *all, const char *one, const char *other) {
  size_t a = place_of(all, one), b = place_of(all, other);
  if (a == all->count || b == all->count) return;
  size_t from = all->group[b], to = all->group[a];
  for (size_t i = 0; i < all->count; i++)
    if (all->group[i] == from) all->group[i] = to;
}

static bool connect_column(void *arg, PgQuery__Node *node) {
  struct name_list *tables = ((void **)arg)[0];
  struct arena *arena = ((void **)arg)[1];
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  const char *table = node->column_ref->n_fields >= 2 ? sql_node_string(node->column_ref->fields[0]) : "";
  const char **slot = LIST_PUSH(arena, tables);
  if (slot) *slot = table ? table : "";
  return false;
}

/* Tables that a condition names are joined by it; a name without a table might be anybody's. */
static void connect_condition(struct arena *arena, struct connect *all, PgQuery__Node *condition) {
  struct name_list tables = {0};
  void *arg[] = {&tables, arena};
  sql_walk(condition, connect_column, arg);
  for (size_t i = 0; i < tables.count; i++) {
    if (!*tables.items[i]) all->open |= tables.count > 1;
    if (i) merge(all, tables.items[0], tables.items[i]);
  }
}

static void connect_from(struct connect *all, const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || all->count == 64) {
    all->open = true; /* JOIN says what it wants, subqueries may be of one row */
    return;
  }
  all->names[all->count] = node->range_var->alias ? node->range_var->alias->aliasname : node->range_var->relname;
  all->group[all->count] = all->count;
  all->count++;
}

bool look_missing_join(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = top_select(view);
  struct connect all = {0};
  struct condition_list list = {0};
  (void)node;
  if (!select || select->n_from_clause < 2) return false;
  for (size_t i = 0; i < select->n_from_clause; i++) connect_from(&all, select->from_clause[i]);
  if (select->where_clause) conditions_of(view->arena, select->where_clause, &list);
  for (size_t i = 0; i < list.count; i++) connect_condition(view->arena, &all, (PgQuery__Node *)(uintptr_t)list.items[i].expression);
  for (size_t i = 1; !all.open && i < all.count; i++) {
    if (all.group[i] == all.group[0]) continue;
    for (size_t n = 0; view->plan && n < view->plan->count; n++)
      if (plan_is(view->plan->nodes[n], "Nested Loop") && !view->plan->nodes[n]->join_filter) finding->anchor = view->plan->nodes[n];
    finding_say(view, finding, "nothing joins %s and %s: every row of one is put together with every row of the other", all.names[0],
                all.names[i]);
    return true;
  }
  return false;
}

/* --- views --- */

static int view_depth(const struct snap_table *table, int limit) {
  int deepest = 0;
  if (table->kind != SNAP_VIEW || limit == 0) return 0;
  for (size_t i = 0; i < table->depends_on_count; i++) {
    int below = view_depth(table->depends_on[i], limit - 1);
    if (below > deepest) deepest = below;
  }
  return deepest + 1;
}

static bool see_view(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || !look->view->snapshot) return false;
  const PgQuery__RangeVar *var = node->range_var;
  const struct snap_table *table = snapshot_table(look->view->snapshot, sql_or_null(var->schemaname), var->relname);
  int depth = table ? view_depth(table, 8) : 0;
  if (depth < VIEWS_DEEP) return false;
  finding_say(look->view, look->finding, "%s is a view on views, %d deep: tables that the query does not need are joined with it",
              table->qualified, depth);
  at(look->finding, var->location);
  return true;
}

bool look_deep_views(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return walk(view, finding, see_view);
}
