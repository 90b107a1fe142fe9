/* findings_where.c - what the text of a query's conditions says by itself. */
#include <string.h>

#include "worker/optimizer/findings_text.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"
#include "worker/sql/volatility.h"

#define LIST_HUGE 500

/* --- comparisons --- */

static bool see_equals_null(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP) return false;
  const PgQuery__AExpr *one = node->a_expr;
  if (!text_is_op(one, "=") && !text_is_op(one, "<>")) return false;
  bool null = false;
  const PgQuery__Node *const sides[] = {one->lexpr, one->rexpr};
  for (size_t i = 0; i < 2; i++) null |= sides[i] && sides[i]->node_case == PG_QUERY__NODE__NODE_A_CONST && sides[i]->a_const->isnull;
  if (!null) return false;
  finding_say(look->view, look->finding, "%s NULL is never true: no row passes", text_is_op(one, "=") ? "=" : "<>");
  text_at(look->finding, one->location);
  return true;
}

bool look_equals_null(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_equals_null);
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
  const struct snap_column *column = value ? text_column_of(look->view, value, NULL) : NULL;
  if (!column || column->not_null) return false;
  finding_say(look->view, look->finding, "NOT IN over %s, which may be NULL: one NULL among its values and no row passes", column->name);
  text_at(look->finding, inner->sub_link->location);
  return true;
}

bool look_not_in_nullable(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_not_in);
}

static bool is_integer(const char *type) {
  return type && (strcmp(type, "integer") == 0 || strcmp(type, "bigint") == 0 || strcmp(type, "smallint") == 0);
}
static bool is_text(const char *type) { return type && (strcmp(type, "text") == 0 || strncmp(type, "character", 9) == 0); }

/* integer_column = 9.0: the column is turned into numeric, row by row. */
static bool see_implicit_cast(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !node->a_expr->lexpr || !node->a_expr->rexpr) return false;
  PgQuery__Node *const sides[] = {node->a_expr->lexpr, node->a_expr->rexpr};
  for (size_t i = 0; i < 2; i++) {
    const struct snap_table *table = NULL;
    const struct snap_column *column = text_column_of(look->view, sides[i], &table);
    const PgQuery__Node *value = sides[1 - i];
    bool fraction = value->node_case == PG_QUERY__NODE__NODE_A_CONST && value->a_const->val_case == PG_QUERY__A__CONST__VAL_FVAL &&
                    strchr(value->a_const->fval->fval, '.');
    if (!column || !is_integer(column->type) || !fraction) continue;
    finding_say(look->view, look->finding, "%s is %s and compared with the numeric %s: it is converted row by row, past its indexes",
                column->name, column->type, value->a_const->fval->fval);
    text_at(look->finding, node->a_expr->location);
    text_about_scan(look->view, look->finding, table, NULL);
    return true;
  }
  return false;
}

bool look_implicit_cast(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_implicit_cast);
}

/* Keys of two types: a text made of a number, and bigint held against numeric. */
static bool see_type_mismatch(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !text_is_op(node->a_expr, "=") || !node->a_expr->lexpr || !node->a_expr->rexpr)
    return false;
  const struct snap_table *one_table = NULL, *other_table = NULL;
  const struct snap_column *one = text_column_of(look->view, text_bare(node->a_expr->lexpr), &one_table);
  const struct snap_column *other = text_column_of(look->view, text_bare(node->a_expr->rexpr), &other_table);
  if (!one || !other || one_table == other_table || strcmp(one->type, other->type) == 0) return false;
  bool same = (is_integer(one->type) && is_integer(other->type)) || (is_text(one->type) && is_text(other->type));
  if (same) return false;
  finding_say(look->view, look->finding, "%s.%s is %s and %s.%s is %s: one is converted for every row", one_table->name, one->name,
              one->type, other_table->name, other->name, other->type);
  text_at(look->finding, node->a_expr->location);
  return true;
}

bool look_join_type_mismatch(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_type_mismatch);
}

/* --- conditions of WHERE --- */

static bool each_condition(const struct finding_view *view, bool (*wanted)(const struct condition *), struct condition *ret_found) {
  const PgQuery__SelectStmt *select = text_top_select(view);
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
  const PgQuery__RangeVar *found;
  size_t count;
};

static bool search_table(void *arg, PgQuery__Node *node) {
  struct table_search *search = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const PgQuery__RangeVar *var = node->range_var;
  const char *alias = var->alias ? var->alias->aliasname : var->relname;
  if (search->qualifier && strcmp(search->qualifier, alias) != 0) return true;
  search->found = var;
  search->count++;
  return true;
}

static const PgQuery__RangeVar *table_of(const struct finding_view *view, const struct condition *one) {
  struct table_search search = {.qualifier = one->table};
  sql_walk(view->statement->node, search_table, &search);
  return search.count == 1 ? search.found : NULL;
}

static void weigh_condition(const struct finding_view *view, struct finding *finding, const struct condition *one) {
  const PgQuery__RangeVar *table = table_of(view, one);
  if (table) text_about_scan(view, finding, NULL, table->relname);
  text_at(finding, one->expression->node_case == PG_QUERY__NODE__NODE_A_EXPR ? one->expression->a_expr->location : -1);
}

static bool is_wrapped(const struct condition *one) {
  return one->column && (one->kind == CONDITION_FUNCTION || one->kind == CONDITION_CAST || one->kind == CONDITION_ARITHMETIC);
}

/* Of a timestamp with time zone, what is around it most often depends on TimeZone: no index may hold that. */
static bool is_zoned(const struct finding_view *view, const struct condition *one) {
  const PgQuery__RangeVar *var = one->kind == CONDITION_ARITHMETIC ? NULL : table_of(view, one);
  const struct snap_table *table =
      var && view->snapshot ? snapshot_table(view->snapshot, sql_or_null(var->schemaname), var->relname) : NULL;
  const struct snap_column *column = table ? snap_table_column(table, one->column) : NULL;
  return column && strncmp(column->type, "timestamp", 9) == 0 && strstr(column->type, "with time zone");
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
  if (is_zoned(view, &one))
    finding_advise(view, finding,
                   "Compare %s itself, with a range: what is around it depends on TimeZone, and no index may hold such an expression",
                   one.column);
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
  const PgQuery__RangeVar *table = table_of(view, &one);
  const char *name = table ? sql_qualified(view->arena, sql_or_null(table->schemaname), table->relname) : "…",
             *column = sql_ident(view->arena, one.column);
  if (name && column)
    finding_advise(view, finding, "A trigram index does: CREATE INDEX CONCURRENTLY ON %s USING gin (%s gin_trgm_ops)", name, column);
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
  sql_walk(expression, text_visit, &look);
  if (!look.found) return false;
  text_at(finding, one.expression->bool_expr->location);
  finding_say(view, finding, "OR of several tables or of a subquery: each row of the join is made before it can be judged");
  return true;
}

static bool see_between(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN) return false;
  const struct snap_column *column = text_column_of(look->view, node->a_expr->lexpr, NULL);
  if (!column || strncmp(column->type, "timestamp", 9) != 0) return false;
  finding_say(look->view, look->finding,
              "BETWEEN on the timestamp %s includes its upper end: an instant that two neighbouring ranges share is in both", column->name);
  text_at(look->finding, node->a_expr->location);
  return true;
}

bool look_between_timestamps(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_between);
}

static bool see_list(struct look *look, PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_IN) return false;
  const PgQuery__Node *list = node->a_expr->rexpr;
  if (!list || list->node_case != PG_QUERY__NODE__NODE_LIST || list->list->n_items < LIST_HUGE) return false;
  finding_say(look->view, look->finding, "a list of %zu values is parsed and planned with the query", list->list->n_items);
  text_at(look->finding, node->a_expr->location);
  return true;
}

bool look_in_list_huge(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  (void)node;
  return text_walk(view, finding, see_list);
}

bool look_volatile_where(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const PgQuery__SelectStmt *select = text_top_select(view);
  const char *name = NULL;
  (void)node;
  if (!select || !select->where_clause || !sql_volatile(view->snapshot, select->where_clause, &name)) return false;
  finding_say(view, finding, "WHERE calls %s(), which is VOLATILE: it is called for every row, and no index serves it",
              name ? name : "a function");
  return true;
}
