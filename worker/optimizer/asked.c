/* asked.c - see asked.h. */
#include "worker/optimizer/asked.h"

#include "worker/optimizer/condition.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

#define ORDER_MAX INDEX_KEYS_MAX
#define ASKS_MAX 64 /* of one source */

struct reading {
  struct arena *arena;
  const struct snapshot *snapshot;
  const struct query_plan *plan;
  PgQuery__Node *statement;
  const struct query_resolution *names;
  struct source_list *sources;
  bool oom;
};

/* --- sources --- */

struct ranged { /* looks for the relation behind an alias as the statement has it */
  const struct snapshot *snapshot;
  const char *alias, *relation;
  const struct snap_table *table;
};

static bool see_range(void *arg, PgQuery__Node *node) {
  struct ranged *ranged = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return true;
  const PgQuery__RangeVar *var = node->range_var;
  const char *alias = var->alias ? var->alias->aliasname : var->relname;
  if (!ranged->table && strcmp(var->relname, ranged->relation) == 0 && strcmp(alias, ranged->alias) == 0)
    ranged->table = snapshot_table(ranged->snapshot, sql_or_null(var->schemaname), var->relname);
  return true;
}

static const struct snap_table *table_of(struct reading *reading, const struct plan_node *node, const char *alias) {
  struct ranged ranged = {.snapshot = reading->snapshot, .alias = alias, .relation = node->relation};
  sql_walk(reading->statement, see_range, &ranged);
  const struct snap_table *table = ranged.table  ? ranged.table
                                   : node->table ? node->table
                                                 : snapshot_table(reading->snapshot, NULL, node->relation);
  return snapshot_topmost(reading->snapshot, table);
}

static struct asked_source *source_named(const struct reading *reading, const char *alias) {
  for (size_t i = 0; alias && i < reading->sources->count; i++)
    if (strcmp(reading->sources->items[i].alias, alias) == 0) return &reading->sources->items[i];
  return NULL;
}

static void add_source(struct reading *reading, const char *alias, const struct snap_table *table) {
  if (!table || source_named(reading, alias)) return;
  bool readable = table->kind == SNAP_TABLE || table->kind == SNAP_PARTITIONED || table->kind == SNAP_MATVIEW;
  struct asked_source *source = readable ? LIST_PUSH(reading->arena, reading->sources) : NULL;
  if (source) *source = (struct asked_source){.alias = alias, .table = table, .needs_all = true};
  reading->oom |= readable && !source;
}

static void find_sources(struct reading *reading) {
  for (size_t i = 0; i < reading->plan->count; i++) {
    const struct plan_node *node = reading->plan->nodes[i];
    const char *alias = node->alias ? node->alias : node->relation;
    if (node->relation && plan_is_scan(node)) add_source(reading, alias, table_of(reading, node, alias));
  }
  for (size_t i = 0; reading->names && i < reading->names->relation_count; i++) { /* parents of partitions have no node of their own */
    const struct query_relation *relation = &reading->names->relations[i];
    if (relation->rte->name && relation->table)
      add_source(reading, relation->rte->name, snapshot_topmost(reading->snapshot, relation->table));
  }
}

/* --- one condition --- */

/* "o.status" as "status". The tree is the caller's own. */
static bool unqualify(void *arg, PgQuery__Node *node) {
  (void)arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields < 2) return true;
  node->column_ref->fields[0] = node->column_ref->fields[node->column_ref->n_fields - 1];
  node->column_ref->n_fields = 1;
  return false;
}

static const char *bare_text(struct reading *reading, const PgQuery__Node *expression) {
  PgQuery__Node *own = NULL;
  const char *text = sql_expression(reading->arena, (PgQuery__Node *)(uintptr_t)expression);
  if (text && (own = sql_parse_expression(reading->arena, text))) sql_walk(own, unqualify, NULL);
  return own ? sql_expression(reading->arena, own) : NULL;
}

static bool see_variable(void *arg, PgQuery__Node *node) {
  bool *variable = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_PARAM_REF:
  case PG_QUERY__NODE__NODE_FUNC_CALL:
  case PG_QUERY__NODE__NODE_SUB_LINK:
  case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
  case PG_QUERY__NODE__NODE_A_INDIRECTION: *variable = true; return false;
  case PG_QUERY__NODE__NODE_COLUMN_REF: {
    const PgQuery__ColumnRef *ref = node->column_ref;
    const char *name = ref->n_fields ? sql_node_string(ref->fields[ref->n_fields - 1]) : NULL;
    if (!name || strncmp(name, "subplan_", 8) == 0) *variable = true;
    return false;
  }
  default: return true;
  }
}

static const PgQuery__Node *uncast(const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  return node;
}

static const PgQuery__ColumnRef *column_ref(const PgQuery__Node *node) {
  node = uncast(node);
  return node && node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF ? node->column_ref : NULL;
}

/* "(status)::text = 'new'::text" reads better, and means the same, as "status = 'new'" when the literal has the column's own type. */
static const char *plain_equality(struct reading *reading, const PgQuery__Node *expression, const struct snap_column *column) {
  if (expression->node_case != PG_QUERY__NODE__NODE_A_EXPR || expression->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP) return NULL;
  const PgQuery__Node *value = expression->a_expr->rexpr, *constant = uncast(value);
  if (!column_ref(expression->a_expr->lexpr) || !constant || constant->node_case != PG_QUERY__NODE__NODE_A_CONST ||
      constant->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL || value->node_case != PG_QUERY__NODE__NODE_TYPE_CAST)
    return NULL;
  const char *type = sql_type(reading->arena, value->type_cast->type_name);
  bool texts = strncmp(column->type, "character", 9) == 0 || strcmp(column->type, "text") == 0;
  if (!type || (strcmp(type, column->type) != 0 && !(texts && (strcmp(type, "text") == 0 || strcmp(type, "character") == 0)))) return NULL;
  const char *literal = sql_literal(reading->arena, constant->a_const->sval->sval), *name = sql_ident(reading->arena, column->name);
  return literal && name ? arena_printf(reading->arena, "%s = %s", name, literal) : NULL;
}

static const char *predicate_of(struct reading *reading, const struct condition *condition, const struct snap_column *column) {
  bool variable = false;
  sql_walk((PgQuery__Node *)(uintptr_t)condition->expression, see_variable, &variable);
  if (variable) return NULL;
  const char *plain = condition->kind == CONDITION_EQUAL ? plain_equality(reading, condition->expression, column) : NULL;
  return plain ? plain : bare_text(reading, condition->expression);
}

static void add_ask(struct reading *reading, struct asked_source *source, struct ask ask) {
  for (size_t i = 0; i < source->asks.count; i++) {
    const struct ask *known = &source->asks.items[i];
    bool same_text =
        known->expression == ask.expression || (known->expression && ask.expression && strcmp(known->expression, ask.expression) == 0);
    bool same_op = ask.kind != ASK_CONTAINS || strcmp(known->op, ask.op) == 0;
    if (known->kind == ask.kind && known->column == ask.column && known->arm == ask.arm && same_text && same_op) return;
  }
  struct ask *slot = source->asks.count < ASKS_MAX ? LIST_PUSH(reading->arena, &source->asks) : NULL;
  if (slot) *slot = ask;
}

/* The side that holds the column, when the other is something else. */
static const PgQuery__Node *column_side(const PgQuery__Node *expression, const char *column) {
  if (expression->node_case != PG_QUERY__NODE__NODE_A_EXPR) return NULL;
  PgQuery__Node *left = expression->a_expr->lexpr, *right = expression->a_expr->rexpr;
  bool on_left = left && sql_mentions_column(left, column), on_right = right && sql_mentions_column(right, column);
  return on_left == on_right ? NULL : on_left ? left : right;
}

static enum ask_kind kind_of(const struct condition *condition) {
  switch (condition->kind) {
  case CONDITION_EQUAL:
  case CONDITION_IN: return ASK_EQUAL;
  case CONDITION_RANGE: return ASK_RANGE;
  case CONDITION_PREFIX: return ASK_PREFIX;
  case CONDITION_CONTAINS: return ASK_CONTAINS;
  case CONDITION_PATTERN: return ASK_PATTERN;
  case CONDITION_TRUE: return ASK_TRUE;
  case CONDITION_NULL:
    return condition->expression->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL ? ASK_NULL : ASK_PREDICATE;
  case CONDITION_FUNCTION:
  case CONDITION_CAST:
  case CONDITION_ARITHMETIC:
    if (!condition->op) return ASK_PREDICATE;
    return strcmp(condition->op, "=") == 0                                                                  ? ASK_SERVED_EQUAL
           : strpbrk(condition->op, "<>") && strlen(condition->op) <= 2 && strcmp(condition->op, "<>") != 0 ? ASK_SERVED_RANGE
                                                                                                            : ASK_PREDICATE;
  default: return ASK_PREDICATE;
  }
}

static const char *alias_or(const struct condition *condition, const char *own) { return condition->table ? condition->table : own; }

static void take_condition(struct reading *reading, const struct condition *condition, const char *own_alias, int arm) {
  struct asked_source *source = source_named(reading, alias_or(condition, own_alias));
  const struct snap_column *column = source && condition->column ? snap_table_column(source->table, condition->column) : NULL;
  if (!column) return;
  struct ask ask = {.kind = kind_of(condition),
                    .column = column,
                    .op = condition->op ? condition->op : "",
                    .arm = arm,
                    .several = condition->kind == CONDITION_IN};
  ask.predicate = predicate_of(reading, condition, column);
  if (ask.kind == ASK_SERVED_EQUAL || ask.kind == ASK_SERVED_RANGE || ask.kind == ASK_CONTAINS) {
    const PgQuery__Node *side = column_side(condition->expression, condition->column);
    bool bare = side && column_ref(side) && side->node_case == PG_QUERY__NODE__NODE_COLUMN_REF;
    if (!bare && !(ask.expression = side ? bare_text(reading, side) : NULL)) return;
  }
  add_ask(reading, source, ask);
}

/* --- columns against columns --- */

static const char *ref_name(const PgQuery__ColumnRef *ref, const char **ret_table) {
  const char *name = NULL;
  sql_name_split(ref->n_fields, ref->fields, ret_table, &name);
  return name;
}

static void take_joined(struct reading *reading, const char *alias, const char *name, const char *other, bool equal) {
  struct asked_source *source = source_named(reading, alias);
  const struct snap_column *column = source && name ? snap_table_column(source->table, name) : NULL;
  if (column)
    add_ask(reading, source, (struct ask){.kind = equal ? ASK_JOIN : ASK_RANGE, .column = column, .op = equal ? "=" : "<", .other = other});
}

/* a.x = b.y: true when it is one. */
static bool take_join(struct reading *reading, const struct condition *condition, const char *own_alias) {
  const PgQuery__Node *node = condition->expression;
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || !condition->op)
    return false;
  const PgQuery__ColumnRef *left = column_ref(node->a_expr->lexpr), *right = column_ref(node->a_expr->rexpr);
  if (!left || !right) return false;
  const char *left_table = NULL, *right_table = NULL, *left_name = ref_name(left, &left_table), *right_name = ref_name(right, &right_table);
  if (!left_table) left_table = own_alias;
  if (!right_table) right_table = own_alias;
  bool equal = strcmp(condition->op, "=") == 0,
       range = strspn(condition->op, "<>=") == strlen(condition->op) && strcmp(condition->op, "<>") != 0;
  if (!left_table || !right_table || strcmp(left_table, right_table) == 0 || !(equal || range)) return false;
  take_joined(reading, left_table, left_name, right_table, equal);
  take_joined(reading, right_table, right_name, left_table, equal);
  return true;
}

static void take_or(struct reading *reading, const struct condition *condition, const char *own_alias) {
  const PgQuery__BoolExpr *either = condition->expression->bool_expr;
  if (either->n_args > ASKED_ARMS_MAX) return;
  for (size_t i = 0; i < either->n_args; i++) {
    struct condition_list arm = {0};
    conditions_of(reading->arena, either->args[i], &arm);
    for (size_t k = 0; k < arm.count; k++)
      if (condition_is_indexable(&arm.items[k])) take_condition(reading, &arm.items[k], own_alias, (int)i + 1);
  }
}

static void take_text(struct reading *reading, const char *text, const char *own_alias) {
  struct condition_list conditions = {0};
  conditions_read(reading->arena, text, &conditions);
  for (size_t i = 0; i < conditions.count; i++) {
    const struct condition *condition = &conditions.items[i];
    if (condition->kind == CONDITION_OR)
      take_or(reading, condition, own_alias);
    else if (condition->column || !take_join(reading, condition, own_alias))
      take_condition(reading, condition, own_alias, 0);
  }
}

/* --- orders --- */

/* Keys from the first that `source` holds; those behind one that it doesn't count for nothing. */
struct ordering {
  struct asked_source *source;
  struct asked_order order;
};

static void add_order(struct reading *reading, struct ordering *ordering) {
  if (!ordering->source || !ordering->order.keys.count) return;
  struct asked_order *slot = LIST_PUSH(reading->arena, &ordering->source->orders);
  if (slot) *slot = ordering->order;
  reading->oom |= !slot;
}

/* False: the order ends here, as far as an index could give it. */
static bool take_key(struct reading *reading, struct ordering *ordering, struct asked_source *source, struct index_key key) {
  if (!source || (ordering->source && ordering->source != source) || ordering->order.keys.count >= ORDER_MAX) return false;
  struct index_key *slot = LIST_PUSH(reading->arena, &ordering->order.keys);
  if (!slot) return false;
  *slot = key;
  ordering->source = source;
  return true;
}

static bool take_sort_by(struct reading *reading, struct ordering *ordering, const PgQuery__SortBy *sort, const char *own_alias) {
  const char *table = NULL;
  struct index_key key = {.descending = sort->sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC};
  key.nulls_first = sort->sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST ||
                    (key.descending && sort->sortby_nulls != PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST);
  const PgQuery__ColumnRef *ref = column_ref(sort->node);
  if (!ref) return false;
  key.column = ref_name(ref, &table);
  struct asked_source *source = source_named(reading, table ? table : own_alias);
  if (!source || !key.column || !snap_table_column(source->table, key.column)) return false;
  return take_key(reading, ordering, source, key);
}

static bool limited(const struct plan_node *node) {
  for (const struct plan_node *up = node->parent; up; up = up->parent) {
    if (plan_is(up, "Limit")) return true;
    if (plan_blocks(up)) return false;
  }
  return false;
}

/* EXPLAIN's "o.placed DESC NULLS LAST". */
static void take_keys(struct reading *reading, const struct plan_node *node, const char *const *keys, size_t count, const char *own_alias) {
  struct ordering ordering = {.order.limited = limited(node)};
  for (size_t i = 0; i < count; i++) {
    const char *sql = arena_printf(reading->arena, "SELECT ORDER BY %s", keys[i]);
    PgQuery__Node *parsed = sql ? sql_parse_statement(reading->arena, sql) : NULL;
    if (!parsed || parsed->node_case != PG_QUERY__NODE__NODE_SELECT_STMT || parsed->select_stmt->n_sort_clause != 1) break;
    if (!take_sort_by(reading, &ordering, parsed->select_stmt->sort_clause[0]->sort_by, own_alias)) break;
  }
  add_order(reading, &ordering);
}

static void read_plan(struct reading *reading) {
  const char *only = reading->sources->count == 1 ? reading->sources->items[0].alias : NULL;
  for (size_t i = 0; i < reading->plan->count; i++) {
    const struct plan_node *node = reading->plan->nodes[i];
    const char *alias = node->alias ? node->alias : node->relation ? node->relation : only;
    const char *const texts[] = {node->index_cond, node->recheck_cond, node->filter, node->join_filter, node->hash_cond, node->merge_cond};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
      if (texts[k]) take_text(reading, texts[k], alias);
    take_keys(reading, node, node->sort_key, node->sort_key_count, alias);
    take_keys(reading, node, node->group_key, node->group_key_count, alias);
  }
}

/* --- what only the statement tells --- */

static struct asked_source *source_bound(const struct reading *reading, const struct query_binding *binding) {
  return binding && binding->rte ? source_named(reading, binding->rte->name) : NULL;
}

/* An output name in ORDER BY stands for what is selected under it. */
static const PgQuery__ColumnRef *behind_output(const struct query_scope *scope, const PgQuery__ColumnRef *ref,
                                               const struct query_binding *binding) {
  if (!binding || !binding->output || binding->column < 0 || (size_t)binding->column >= scope->select->n_target_list) return ref;
  const PgQuery__Node *target = scope->select->target_list[binding->column];
  return target->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? column_ref(target->res_target->val) : NULL;
}

static void take_order_by(struct reading *reading, const struct query_scope *scope) {
  const PgQuery__SelectStmt *select = scope->select;
  struct ordering ordering = {.order.limited = select->limit_count != NULL};
  for (size_t i = 0; i < select->n_sort_clause; i++) {
    PgQuery__SortBy sort = *select->sort_clause[i]->sort_by;
    const PgQuery__ColumnRef *ref = column_ref(sort.node);
    if (ref) ref = behind_output(scope, ref, query_binding(reading->names, ref));
    const struct query_binding *binding = ref ? query_binding(reading->names, ref) : NULL;
    struct asked_source *source = source_bound(reading, binding);
    if (!source) break;
    PgQuery__Node column = PG_QUERY__NODE__INIT;
    column.node_case = PG_QUERY__NODE__NODE_COLUMN_REF;
    column.column_ref = (PgQuery__ColumnRef *)(uintptr_t)ref;
    sort.node = &column;
    if (!take_sort_by(reading, &ordering, &sort, source->alias)) break;
  }
  add_order(reading, &ordering);
}

static void take_extremes(struct reading *reading, const struct query_scope *scope) {
  const PgQuery__SelectStmt *select = scope->select;
  for (size_t i = 0; !select->n_group_clause && i < select->n_target_list; i++) {
    const PgQuery__Node *value =
        select->target_list[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? select->target_list[i]->res_target->val : NULL;
    if (!value || value->node_case != PG_QUERY__NODE__NODE_FUNC_CALL || value->func_call->n_args != 1) continue;
    const char *schema = NULL, *name = NULL;
    sql_name_split(value->func_call->n_funcname, value->func_call->funcname, &schema, &name);
    const PgQuery__ColumnRef *ref =
        name && (strcmp(name, "min") == 0 || strcmp(name, "max") == 0) ? column_ref(value->func_call->args[0]) : NULL;
    struct asked_source *source = ref ? source_bound(reading, query_binding(reading->names, ref)) : NULL;
    const char *table = NULL, *column = ref ? ref_name(ref, &table) : NULL;
    struct ordering ordering = {.order.limited = true};
    if (source && snap_table_column(source->table, column) && take_key(reading, &ordering, source, (struct index_key){.column = column}))
      add_order(reading, &ordering);
  }
}

static void take_needed(struct reading *reading, const struct query_relation *relation) {
  struct asked_source *source = relation->rte->name ? source_named(reading, relation->rte->name) : NULL;
  if (!source || !relation->table || relation->whole_row || snapshot_topmost(reading->snapshot, relation->table) != source->table) return;
  source->needs_all = false;
  for (size_t i = 0; i < relation->table->column_count; i++) {
    const char *name = relation->table->columns[i].name;
    if (!relation->columns[i] || list_has(source->needed.items, source->needed.count, name)) continue;
    const char **slot = LIST_PUSH(reading->arena, &source->needed);
    if (slot) *slot = name;
    reading->oom |= !slot;
  }
}

enum status asked_read(struct arena *arena, const struct snapshot *snapshot, const struct query_plan *plan, PgQuery__Node *statement,
                       const struct query_resolution *names, struct source_list *ret_sources, struct error *err) {
  struct reading reading = {
      .arena = arena, .snapshot = snapshot, .plan = plan, .statement = statement, .names = names, .sources = ret_sources};
  find_sources(&reading);
  read_plan(&reading);
  for (size_t i = 0; names && i < names->scope_count; i++) {
    take_order_by(&reading, names->scopes[i]);
    take_extremes(&reading, names->scopes[i]);
  }
  for (size_t i = 0; names && i < names->relation_count; i++) take_needed(&reading, &names->relations[i]);
  for (size_t i = 0; names && i < names->relation_count; i++) { /* two of one alias: the one that wants more */
    struct asked_source *source = names->relations[i].whole_row ? source_named(&reading, names->relations[i].rte->name) : NULL;
    if (source) source->needs_all = true;
  }
  return reading.oom ? error_oom(err) : OK;
}
