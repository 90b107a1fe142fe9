/* findings_text.c - what the text of a query says by itself. Names are looked up in the snapshot by their spelling: a column that several
 * of the query's tables have, and that is not qualified, is nobody's. */
#include <string.h>

#include "worker/optimizer/findings_text.h"
#include "worker/sql/tree.h"
#include "worker/sql/volatility.h"

#define OFFSET_FAR 1000
#define VIEWS_DEEP 3

/* --- walking --- */

bool text_visit(void *arg, PgQuery__Node *node) {
  struct look *look = arg;
  if (!look->found) look->found = look->see(look, node);
  return !look->found;
}

bool text_walk(const struct finding_view *view, struct finding *finding, bool (*see)(struct look *look, PgQuery__Node *node)) {
  struct look look = {.view = view, .finding = finding, .see = see};
  sql_walk(view->statement->node, text_visit, &look);
  return look.found;
}

void text_at(struct finding *finding, int location) { finding->offset = location >= 0 ? location : -1; }

const char *text_last_name(size_t count, PgQuery__Node *const *parts) {
  const char *schema = NULL, *name = NULL;
  sql_name_split(count, parts, &schema, &name);
  return name ? name : "";
}

bool text_is_op(const PgQuery__AExpr *expression, const char *op) {
  return strcmp(text_last_name(expression->n_name, expression->name), op) == 0;
}

const PgQuery__SelectStmt *text_top_select(const struct finding_view *view) {
  const PgQuery__Node *node = view->statement->node;
  return node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt : NULL;
}

const PgQuery__Node *text_bare(const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  return node;
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

const struct snap_column *text_column_of(const struct finding_view *view, const PgQuery__Node *node, const struct snap_table **ret_table) {
  struct column_search search = {.snapshot = view->snapshot};
  if (!view->snapshot || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return NULL;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &search.table, &search.column);
  if (!search.column) return NULL;
  sql_walk(view->statement->node, search_relation, &search);
  if (ret_table) *ret_table = search.found_table;
  return search.several ? NULL : search.found;
}

void text_about_scan(const struct finding_view *view, struct finding *finding, const struct snap_table *table, const char *name) {
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

/* --- the query's shape --- */

static const PgQuery__ColumnRef *star_of(const PgQuery__Node *target) {
  const PgQuery__Node *value = target->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? target->res_target->val : NULL;
  if (!value || value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || !value->column_ref->n_fields) return NULL;
  const PgQuery__ColumnRef *ref = value->column_ref;
  return ref->fields[ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR ? ref : NULL;
}

/* Of the query itself: a star in EXISTS or in a subquery costs nothing. */
bool look_select_star(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = text_top_select(view);
  (void)node;
  for (size_t i = 0; select && i < select->n_target_list && select->n_from_clause; i++)
    if (select->from_clause[0]->node_case != PG_QUERY__NODE__NODE_RANGE_SUBSELECT && star_of(select->target_list[i])) {
      text_at(finding, star_of(select->target_list[i])->location);
      finding_say(view, finding, "SELECT * fetches every column: wide values are read and sent, and no index-only scan is possible");
      return true;
    }
  return false;
}

bool look_offset(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = text_top_select(view);
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
      strcmp(text_last_name(key->func_call->n_funcname, key->func_call->funcname), "random") != 0)
    return false;
  finding_say(look->view, look->finding, "ORDER BY random() makes and sorts every row to take some");
  text_at(look->finding, key->func_call->location);
  return true;
}

bool look_order_by_random(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_random);
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
         strcmp(text_last_name(value->func_call->n_funcname, value->func_call->funcname), "count") == 0;
}

static bool see_count(struct look *look, PgQuery__Node *node) {
  long value = -1;
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !is_count_subquery(node->a_expr->lexpr) ||
      !sql_node_int(node->a_expr->rexpr, &value))
    return false;
  const PgQuery__AExpr *one = node->a_expr;
  bool exists = (value == 0 && (text_is_op(one, ">") || text_is_op(one, "<>") || text_is_op(one, "="))) ||
                (value == 1 && (text_is_op(one, ">=") || text_is_op(one, "<")));
  if (!exists) return false;
  finding_say(look->view, look->finding, "rows are counted to learn whether there is one: EXISTS stops at the first");
  text_at(look->finding, one->location);
  return true;
}

bool look_count_exists(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_count);
}

bool look_limit_unordered(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = text_top_select(view);
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
  const PgQuery__SelectStmt *select = text_top_select(view);
  (void)node;
  if (!select || select->op != PG_QUERY__SET_OPERATION__SETOP_UNION || select->all || !select->larg || !select->rarg) return false;
  const PgQuery__SelectStmt *arms[] = {select->larg, select->rarg};
  const char *values[2] = {NULL, NULL};
  for (size_t i = 0; arms[0]->n_target_list == arms[1]->n_target_list && i < arms[0]->n_target_list; i++) {
    for (size_t a = 0; a < 2; a++) {
      const PgQuery__Node *value = text_bare(arms[a]->target_list[i]->res_target->val);
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
  const PgQuery__SelectStmt *select = text_top_select(view);
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
  const PgQuery__SelectStmt *select = text_top_select(view);
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
  text_at(look->finding, var->location);
  return true;
}

bool look_deep_views(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_view);
}
