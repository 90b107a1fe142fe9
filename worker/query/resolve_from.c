/* resolve_from.c - the range table: what FROM makes visible, by which names, in which order. */
#include "worker/query/resolve_impl.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

bool rte_shows(const struct query_rte *rte, size_t column) {
  return !rte->hidden && !rte->qualified_only && !(rte->merged && rte->merged[column]);
}

static struct query_rte *add_rte(struct resolver *r, struct query_scope *scope, struct query_rte values) {
  struct query_rte *rte = ARENA_NEW(r->arena, struct query_rte), **place = RESOLVE_ADD(r, scope->rtes, scope->rte_count);
  if (!rte || !place) {
    r->oom = true;
    return NULL;
  }
  *rte = values;
  *place = rte;
  return rte;
}

/* AS name (a, b): the columns' own names, as far as the list goes. Columns are copied: others may share them. */
static void apply_alias(struct resolver *r, struct query_rte *rte, const PgQuery__Alias *alias) {
  if (!alias) return;
  if (sql_or_null(alias->aliasname)) {
    rte->name = alias->aliasname;
    rte->aliased = true;
  }
  if (!alias->n_colnames) return;
  size_t count = rte->open && alias->n_colnames > rte->column_count ? alias->n_colnames : rte->column_count;
  struct query_column *columns = arena_calloc(r->arena, count + 1, sizeof *columns);
  if (!columns) {
    r->oom = true;
    return;
  }
  for (size_t i = 0; i < count; i++) {
    columns[i] = i < rte->column_count ? rte->columns[i] : (struct query_column){.nullable = true};
    if (i < alias->n_colnames) columns[i].name = sql_node_string(alias->colnames[i]);
  }
  rte->columns = columns;
  rte->column_count = count;
}

/* ---- tables ---- */

static struct query_column *table_columns(struct resolver *r, const struct snap_table *table) {
  struct query_column *columns = arena_calloc(r->arena, table->column_count + 1, sizeof *columns);
  if (!columns) r->oom = true;
  for (size_t i = 0; columns && i < table->column_count; i++) {
    const struct snap_column *column = &table->columns[i];
    columns[i] = (struct query_column){column->name, column->type, !column->not_null, table, column};
  }
  return columns;
}

bool resolve_is_catalog(const PgQuery__RangeVar *var) {
  const char *schema = sql_or_null(var->schemaname);
  if (!schema) return strncmp(var->relname, "pg_", 3) == 0;
  return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0;
}

static void unknown_table(struct resolver *r, const PgQuery__RangeVar *var) {
  struct suggest suggest = {.wanted = var->relname};
  const char *schema = sql_or_null(var->schemaname), *name = var->relname;
  for (const struct cte *cte = r->ctes; cte; cte = cte->outer) suggest_offer(&suggest, cte->name, cte->name, 0.1);
  for (size_t i = 0; i < r->snapshot->table_count; i++) {
    const struct snap_table *table = &r->snapshot->tables[i];
    bool near = schema ? strcmp(table->schema, schema) == 0 : query_on_path(r->out, table->schema);
    suggest_offer(&suggest, table->name, table->qualified, near ? 0.1 : 0);
  }
  if (schema) name = arena_printf(r->arena, "%s.%s", schema, var->relname);
  if (name)
    resolve_problem(r, QUERY_NAME_TABLE, var->location, name, &suggest, "there is no table %s%s%s%s", name,
                    suggest.best[0] ? "; the nearest is " : "", suggest.best[0] ? suggest.best[0] : "", "");
}

static void from_table(struct resolver *r, struct query_scope *scope, const PgQuery__Node *node) {
  const PgQuery__RangeVar *var = node->range_var;
  const char *schema = sql_or_null(var->schemaname);
  const struct cte *cte = schema ? NULL : resolve_cte(r, var->relname);
  struct query_rte rte = {.kind = QUERY_TABLE, .name = var->relname, .node = node};
  if (cte) {
    rte.kind = QUERY_CTE;
    rte.columns = cte->columns;
    rte.column_count = cte->column_count;
    rte.open = cte->open;
  } else if (resolve_is_catalog(var)) {
    rte.open = true;
  } else if ((rte.table = snapshot_table(r->snapshot, schema, var->relname))) {
    rte.columns = table_columns(r, rte.table);
    rte.column_count = rte.columns ? rte.table->column_count : 0;
    if (!schema) resolve_note_path(r, rte.table->schema);
  } else {
    rte.open = true;
    unknown_table(r, var);
  }
  apply_alias(r, &rte, var->alias);
  struct query_rte *added = add_rte(r, scope, rte);
  if (!added || !rte.table) return;
  struct query_relation *relation = RESOLVE_ADD(r, r->out->relations, r->out->relation_count);
  if (!relation) return;
  *relation = (struct query_relation){.table = rte.table, .rte = added, .var = var};
  relation->columns = arena_calloc(r->arena, rte.table->column_count + 1, sizeof *relation->columns);
  if (!relation->columns) r->oom = true;
}

/* ---- subqueries and functions ---- */

static void from_subquery(struct resolver *r, struct query_scope *scope, const PgQuery__Node *node) {
  const PgQuery__RangeSubselect *sub = node->range_subselect;
  if (!sub->subquery || sub->subquery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return;
  size_t visible = scope->visible_from;
  scope->visible_from = sub->lateral ? 0 : scope->rte_count;
  const struct query_scope *inner = resolve_select(r, sub->subquery->select_stmt, scope);
  scope->visible_from = visible;
  if (!inner) return;
  struct query_rte rte = {
      .kind = QUERY_SUBQUERY, .node = node, .columns = inner->outputs, .column_count = inner->output_count, .open = inner->outputs_open};
  apply_alias(r, &rte, sub->alias);
  add_rte(r, scope, rte);
}

static void add_columns(struct resolver *r, struct query_rte *rte, const struct query_column *columns, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct query_column *place = RESOLVE_ADD(r, rte->columns, rte->column_count);
    if (place) *place = columns[i];
  }
}

static void add_definitions(struct resolver *r, struct query_rte *rte, size_t count, PgQuery__Node *const *definitions) {
  for (size_t i = 0; i < count; i++) {
    if (definitions[i]->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF) continue;
    const PgQuery__ColumnDef *definition = definitions[i]->column_def;
    resolve_type(r, definition->type_name);
    const struct query_column column = {
        .name = definition->colname, .type = definition->type_name ? sql_type(r->arena, definition->type_name) : NULL, .nullable = true};
    add_columns(r, rte, &column, 1);
  }
}

/* One function of the item: its columns, by its own definition list, or what it returns. */
static void add_function(struct resolver *r, struct query_rte *rte, const PgQuery__Node *item, const PgQuery__Alias *alias, bool single) {
  const PgQuery__Node *call = item;
  const PgQuery__List *definitions = NULL;
  if (item->node_case == PG_QUERY__NODE__NODE_LIST && item->list->n_items) { /* the call, and its definition list in ROWS FROM */
    call = item->list->items[0];
    const PgQuery__Node *second = item->list->n_items > 1 ? item->list->items[1] : NULL;
    definitions = second && second->node_case == PG_QUERY__NODE__NODE_LIST ? second->list : NULL;
  }
  if (definitions && definitions->n_items) {
    add_definitions(r, rte, definitions->n_items, definitions->items);
    return;
  }
  const char *name = resolve_output_name_of(r, call);
  if (!rte->name) rte->name = name;
  struct query_column *columns = NULL, scalar = {.name = name, .nullable = true};
  size_t count = 0;
  bool open = false;
  if (call->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) resolve_call_columns(r, call->func_call, &columns, &count, &open);
  if (!count) {
    resolve_describe(r, call, &scalar);
    scalar.table = NULL;
    scalar.column = NULL;
    if (single && alias && sql_or_null(alias->aliasname)) scalar.name = alias->aliasname;
    columns = &scalar;
    count = 1;
  }
  rte->open |= open;
  add_columns(r, rte, columns, count);
}

static void from_function(struct resolver *r, struct query_scope *scope, const PgQuery__Node *node) {
  const PgQuery__RangeFunction *function = node->range_function;
  size_t visible = scope->visible_from;
  scope->visible_from = 0; /* always LATERAL */
  resolve_expressions(r, scope, function->n_functions, function->functions);
  scope->visible_from = visible;
  struct query_rte rte = {.kind = QUERY_FUNCTION, .node = node};
  if (function->n_coldeflist)
    add_definitions(r, &rte, function->n_coldeflist, function->coldeflist);
  else
    for (size_t i = 0; i < function->n_functions; i++)
      add_function(r, &rte, function->functions[i], function->alias, function->n_functions == 1);
  if (function->ordinality) {
    const struct query_column ordinality = {.name = "ordinality", .type = "bigint"};
    add_columns(r, &rte, &ordinality, 1);
  }
  apply_alias(r, &rte, function->alias);
  add_rte(r, scope, rte);
}

static void add_json_columns(struct resolver *r, struct query_rte *rte, size_t count, PgQuery__Node *const *columns) {
  for (size_t i = 0; i < count; i++) {
    if (columns[i]->node_case != PG_QUERY__NODE__NODE_JSON_TABLE_COLUMN) continue;
    const PgQuery__JsonTableColumn *column = columns[i]->json_table_column;
    const struct query_column made = {
        .name = column->name, .type = column->type_name ? sql_type(r->arena, column->type_name) : "integer", .nullable = true};
    if (column->n_columns)
      add_json_columns(r, rte, column->n_columns, column->columns);
    else
      add_columns(r, rte, &made, 1);
  }
}

/* JSON_TABLE and XMLTABLE: their columns are written down. */
static void from_table_function(struct resolver *r, struct query_scope *scope, PgQuery__Node *node) {
  struct query_rte rte = {.kind = QUERY_FUNCTION, .node = node};
  size_t visible = scope->visible_from;
  scope->visible_from = 0;
  struct query_scope *inner = scope;
  if (node->node_case == PG_QUERY__NODE__NODE_JSON_TABLE) {
    PgQuery__JsonTable *table = node->json_table;
    if (table->context_item) resolve_expression(r, inner, table->context_item->raw_expr);
    resolve_expressions(r, inner, table->n_passing, table->passing);
    resolve_expressions(r, inner, table->n_columns, table->columns);
    add_json_columns(r, &rte, table->n_columns, table->columns);
    apply_alias(r, &rte, table->alias);
  } else {
    rte.open = true;
    apply_alias(r, &rte, node->range_table_func->alias);
  }
  scope->visible_from = visible;
  add_rte(r, scope, rte);
}

/* ---- joins ---- */

struct side {
  size_t from, to;
}; /* rtes [from, to) of one side of a join */

/* A column of that name that the side shows; 1 when there is exactly one. */
static int shown(const struct query_scope *scope, struct side side, const char *name, struct query_rte **ret_rte, size_t *ret_column) {
  int found = 0;
  for (size_t i = side.from; i < side.to; i++)
    for (size_t c = 0; c < scope->rtes[i]->column_count; c++) {
      struct query_rte *rte = scope->rtes[i];
      if (!rte_shows(rte, c) || !rte->columns[c].name || strcmp(rte->columns[c].name, name) != 0) continue;
      *ret_rte = rte;
      *ret_column = c;
      found++;
    }
  return found;
}

static bool side_open(const struct query_scope *scope, struct side side) {
  for (size_t i = side.from; i < side.to; i++)
    if (scope->rtes[i]->open) return true;
  return false;
}

static void hide_column(struct resolver *r, struct query_rte *rte, size_t column) {
  if (!rte->merged) rte->merged = arena_calloc(r->arena, rte->column_count + 1, sizeof *rte->merged);
  if (rte->merged)
    rte->merged[column] = true;
  else
    r->oom = true;
}

static void no_join_column(struct resolver *r, const struct query_scope *scope, struct side side, const char *name, int position) {
  struct suggest suggest = {.wanted = name};
  for (size_t i = side.from; i < side.to; i++)
    for (size_t c = 0; c < scope->rtes[i]->column_count; c++)
      if (scope->rtes[i]->columns[c].name) suggest_offer(&suggest, scope->rtes[i]->columns[c].name, scope->rtes[i]->columns[c].name, 0);
  resolve_problem(r, QUERY_NAME_COLUMN, position, name, &suggest, "USING (%s): one side of the join has no such column", name);
}

static void merge(struct resolver *r, struct query_scope *scope, struct query_rte *join, struct side left, struct side right,
                  const char *name, int position) {
  struct query_rte *rtes[2] = {NULL, NULL};
  size_t columns[2];
  const struct side sides[2] = {left, right};
  struct query_column made = {.name = name, .nullable = true};
  for (int s = 0; s < 2; s++) {
    int found = shown(scope, sides[s], name, &rtes[s], &columns[s]);
    if (found == 1) {
      resolve_read(r, rtes[s], (int)columns[s]);
    } else if (found == 0 && !side_open(scope, sides[s])) {
      no_join_column(r, scope, sides[s], name, position);
    }
    if (found != 1) rtes[s] = NULL;
  }
  int kept = rtes[0] && !rtes[0]->outer ? 0 : 1;
  if (!rtes[kept]) kept = 1 - kept;
  if (rtes[kept]) {
    made = rtes[kept]->columns[columns[kept]];
    made.nullable |= rtes[kept]->outer;
  }
  for (int s = 0; s < 2; s++)
    if (rtes[s]) hide_column(r, rtes[s], columns[s]);
  add_columns(r, join, &made, 1);
}

static void merge_natural(struct resolver *r, struct query_scope *scope, struct query_rte *join, struct side left, struct side right) {
  struct query_rte *rte;
  size_t column;
  for (size_t i = left.from; i < left.to; i++)
    for (size_t c = 0; c < scope->rtes[i]->column_count; c++) {
      const char *name = scope->rtes[i]->columns[c].name;
      if (!name || !rte_shows(scope->rtes[i], c) || shown(scope, right, name, &rte, &column) != 1) continue;
      merge(r, scope, join, left, right, name, -1);
    }
}

/* AS j: the join is one entry with all columns, its members are out of sight. */
static void wrap_join(struct resolver *r, struct query_scope *scope, struct query_rte *join, size_t from, const PgQuery__Alias *alias) {
  for (size_t i = from; i < scope->rte_count; i++) {
    struct query_rte *rte = scope->rtes[i];
    if (rte == join || rte->hidden) continue;
    join->open |= rte->open;
    for (size_t c = 0; c < rte->column_count; c++) {
      if (!rte_shows(rte, c)) continue;
      struct query_column column = rte->columns[c];
      column.nullable |= rte->outer;
      resolve_read(r, rte, (int)c);
      add_columns(r, join, &column, 1);
    }
    rte->hidden = true;
  }
  apply_alias(r, join, alias);
}

static void mark_outer(struct query_scope *scope, struct side side) {
  for (size_t i = side.from; i < side.to; i++) scope->rtes[i]->outer = true;
}

static void from_item(struct resolver *r, struct query_scope *scope, PgQuery__Node *node);

static void from_join(struct resolver *r, struct query_scope *scope, const PgQuery__Node *node) {
  const PgQuery__JoinExpr *expr = node->join_expr;
  bool merges = expr->is_natural || expr->n_using_clause, named = expr->alias && sql_or_null(expr->alias->aliasname);
  size_t from = scope->rte_count; /* its own entry first: * lists merged columns before all others */
  struct query_rte *join = merges || named ? add_rte(r, scope, (struct query_rte){.kind = QUERY_JOIN, .node = node}) : NULL;
  struct side left = {scope->rte_count, 0}, right;
  from_item(r, scope, expr->larg);
  left.to = right.from = scope->rte_count;
  from_item(r, scope, expr->rarg);
  right.to = scope->rte_count;
  if (merges) resolve_implied_operator(r, "=", -1);
  if (r->oom) return;
  bool full = expr->jointype == PG_QUERY__JOIN_TYPE__JOIN_FULL;
  if (full || expr->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT) mark_outer(scope, right);
  if (full || expr->jointype == PG_QUERY__JOIN_TYPE__JOIN_RIGHT) mark_outer(scope, left);
  size_t visible = scope->visible_from;
  scope->visible_from = from;
  resolve_expression(r, scope, expr->quals);
  scope->visible_from = visible;
  for (size_t i = 0; join && i < expr->n_using_clause; i++) merge(r, scope, join, left, right, sql_node_string(expr->using_clause[i]), -1);
  if (join && expr->is_natural) merge_natural(r, scope, join, left, right);
  if (join && expr->join_using_alias) {
    struct query_rte merged = *join;
    merged.name = expr->join_using_alias->aliasname;
    merged.qualified_only = true;
    add_rte(r, scope, merged);
  }
  if (join && named) wrap_join(r, scope, join, from, expr->alias);
}

static void from_item(struct resolver *r, struct query_scope *scope, PgQuery__Node *node) {
  if (!node || r->oom) return;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_RANGE_VAR: from_table(r, scope, node); break;
  case PG_QUERY__NODE__NODE_RANGE_SUBSELECT: from_subquery(r, scope, node); break;
  case PG_QUERY__NODE__NODE_RANGE_FUNCTION: from_function(r, scope, node); break;
  case PG_QUERY__NODE__NODE_JOIN_EXPR: from_join(r, scope, node); break;
  case PG_QUERY__NODE__NODE_JSON_TABLE:
  case PG_QUERY__NODE__NODE_RANGE_TABLE_FUNC: from_table_function(r, scope, node); break;
  case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE:
    from_item(r, scope, node->range_table_sample->relation);
    resolve_expressions(r, scope, node->range_table_sample->n_args, node->range_table_sample->args);
    resolve_expression(r, scope, node->range_table_sample->repeatable);
    break;
  default: break; /* nothing else stands in FROM */
  }
}

/* Two entries of one name: which is meant? */
static void check_names(struct resolver *r, const struct query_scope *scope) {
  for (size_t i = 0; i < scope->rte_count; i++)
    for (size_t k = i + 1; k < scope->rte_count; k++) {
      const struct query_rte *a = scope->rtes[i], *b = scope->rtes[k];
      if (!a->name || !b->name || a->hidden || b->hidden || strcmp(a->name, b->name) != 0) continue;
      bool other_schema = a->table && b->table && a->table != b->table && !a->aliased && !b->aliased;
      if (!other_schema)
        resolve_problem(r, QUERY_NAME_TABLE, -1, a->name, NULL, "the name %s stands for two entries of FROM; give each its own alias",
                        a->name);
    }
}

void resolve_from(struct resolver *r, struct query_scope *scope, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; i < select->n_from_clause; i++) {
    scope->visible_from = 0;
    from_item(r, scope, select->from_clause[i]);
  }
  if (!r->oom) check_names(r, scope);
}
