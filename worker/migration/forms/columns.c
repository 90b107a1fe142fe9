/* forms/columns.c - names of columns against the relations in scope. What can't be told is passed over: a view's columns, a subquery's,
 * what WITH brings. */
#include "worker/migration/forms/columns.h"

#include "worker/migration/forms/typing.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name

struct scoped {
  const struct rel *rel;
  const char *alias;
};
struct scope {
  struct form *form;
  LIST(struct scoped) items;
  bool unknown; /* something in scope has columns that can't be told */
};

bool columns_system(const char *name) {
  static const char *const names[] = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

static bool is_told(const struct rel *rel) {
  return rel && !rel->vague && rel->t->column_count && (rel->t->kind == SNAP_TABLE || rel->t->kind == SNAP_PARTITIONED);
}

/* "t.f" may be a call: f(t). */
static bool is_function(const struct form *form, const char *name) {
  for (size_t i = 0; i < form->shadow->snapshot->function_count; i++)
    if (strcmp(form->shadow->snapshot->functions[i].name, name) == 0) return true;
  return false;
}

static bool holds(const struct scope *scope, const char *qualifier, const char *name) {
  bool any = !qualifier;
  for (size_t i = 0; i < scope->items.count; i++) {
    const struct scoped *item = &scope->items.items[i];
    if (qualifier ? strcmp(item->alias, qualifier) != 0 : false) continue;
    any = true;
    if (snap_table_column(item->rel->t, name) || strcmp(item->alias, name) == 0) return true;
  }
  return !any; /* of something that isn't in scope: another error, or an outer query's */
}

static bool see_reference(void *arg, PgQuery__Node *node) {
  struct scope *scope = arg;
  if (node->node_case == NODE(SUB_LINK) || node->node_case == NODE(SELECT_STMT)) return false;
  if (node->node_case != NODE(COLUMN_REF)) return true;
  const PgQuery__ColumnRef *ref = node->column_ref;
  const char *qualifier, *name;
  sql_name_split(ref->n_fields, ref->fields, &qualifier, &name);
  if (!name || ref->n_fields > 2 || columns_system(name) || holds(scope, qualifier, name) || is_function(scope->form, name)) return false;
  form_fails(scope->form, "42703", "column %s exists", sql_qualified(scope->form->arena, qualifier, name));
  return false;
}

static void look(struct scope *scope, PgQuery__Node *node) {
  if (node && !scope->unknown && scope->items.count) sql_walk(node, see_reference, scope);
}

static void enter(struct scope *scope, const struct rel *rel, const PgQuery__Alias *alias) {
  struct scoped *slot = is_told(rel) ? LIST_PUSH(scope->form->arena, &scope->items) : NULL;
  if (!slot || (alias && alias->n_colnames)) scope->unknown = true;
  if (slot) *slot = (struct scoped){rel, alias ? alias->aliasname : rel->t->name};
}

static void enter_from(struct scope *scope, const PgQuery__Node *from) {
  if (from->node_case == NODE(RANGE_VAR)) {
    enter(scope, shadow_range(scope->form->shadow, from->range_var), from->range_var->alias);
  } else if (from->node_case == NODE(JOIN_EXPR) && !from->join_expr->alias && !from->join_expr->join_using_alias) {
    if (from->join_expr->larg) enter_from(scope, from->join_expr->larg);
    if (from->join_expr->rarg) enter_from(scope, from->join_expr->rarg);
  } else {
    scope->unknown = true;
  }
}

static void look_joins(struct scope *scope, const PgQuery__Node *from) {
  if (!from || from->node_case != NODE(JOIN_EXPR)) return;
  look_joins(scope, from->join_expr->larg);
  look_joins(scope, from->join_expr->rarg);
  look(scope, from->join_expr->quals);
}

static void look_all(struct scope *scope, size_t count, PgQuery__Node *const *nodes) {
  for (size_t i = 0; i < count; i++) look(scope, nodes[i]);
}

/* GROUP BY and ORDER BY may name what the query gives out: they are passed over. */
static void select_columns(struct form *form, const PgQuery__SelectStmt *select, int depth) {
  if (!select || select->with_clause || depth > 32) return;
  select_columns(form, select->larg, depth + 1);
  select_columns(form, select->rarg, depth + 1);
  struct scope scope = {.form = form};
  for (size_t i = 0; i < select->n_from_clause; i++) enter_from(&scope, select->from_clause[i]);
  for (size_t i = 0; i < select->n_from_clause; i++) look_joins(&scope, select->from_clause[i]);
  look_all(&scope, select->n_target_list, select->target_list);
  look(&scope, select->where_clause);
  if (scope.items.count == 1 && !scope.unknown) typing_check(form, scope.items.items[0].rel, select->where_clause, true);
  look(&scope, select->having_clause);
}

static void select_query(struct form *form, const PgQuery__Node *node) {
  if (node && node->node_case == NODE(SELECT_STMT)) select_columns(form, node->select_stmt, 0);
}

static void update_columns(struct form *form, const PgQuery__UpdateStmt *update) {
  struct scope scope = {.form = form};
  if (update->with_clause || !update->relation) return;
  enter(&scope, shadow_range(form->shadow, update->relation), update->relation->alias);
  for (size_t i = 0; i < update->n_from_clause; i++) enter_from(&scope, update->from_clause[i]);
  for (size_t i = 0; i < update->n_target_list; i++)
    if (update->target_list[i]->node_case == NODE(RES_TARGET)) look(&scope, update->target_list[i]->res_target->val);
  look(&scope, update->where_clause);
  if (scope.items.count == 1 && !scope.unknown) typing_check(form, scope.items.items[0].rel, update->where_clause, true);
}

static void delete_columns(struct form *form, const PgQuery__DeleteStmt *delete) {
  struct scope scope = {.form = form};
  if (delete->with_clause || !delete->relation) return;
  enter(&scope, shadow_range(form->shadow, delete->relation), delete->relation->alias);
  for (size_t i = 0; i < delete->n_using_clause; i++) enter_from(&scope, delete->using_clause[i]);
  look(&scope, delete->where_clause);
  if (scope.items.count == 1 && !scope.unknown) typing_check(form, scope.items.items[0].rel, delete->where_clause, true);
}

void columns_need(struct form *form, const struct rel *rel, PgQuery__Node *expression) {
  struct scope scope = {.form = form};
  enter(&scope, rel, NULL);
  look(&scope, expression);
  typing_check(form, rel, expression, false);
}

static bool see_default(void *arg, PgQuery__Node *node) {
  struct form *form = arg;
  if (node->node_case == NODE(COLUMN_REF)) form_fails(form, "0A000", "the DEFAULT names no column");
  if (node->node_case == NODE(SUB_LINK)) form_fails(form, "0A000", "the DEFAULT asks no query");
  return node->node_case != NODE(COLUMN_REF) && node->node_case != NODE(SUB_LINK);
}

void columns_default(struct form *form, PgQuery__Node *expression) {
  if (expression) sql_walk(expression, see_default, form);
}

/* --- lists of columns --- */

static void need_listed(struct form *form, struct rel *rel, size_t count, PgQuery__Node *const *columns) {
  for (size_t i = 0; is_told(rel) && i < count; i++) {
    const char *name = sql_node_string(columns[i]);
    if (name && !columns_system(name)) form_column(form, rel, name, false);
  }
}

static void index_columns(struct form *form, const PgQuery__IndexStmt *index) {
  const struct rel *rel = shadow_range(form->shadow, index->relation);
  columns_need(form, rel, index->where_clause);
  for (size_t i = 0; i < index->n_index_params; i++)
    if (index->index_params[i]->node_case == NODE(INDEX_ELEM)) {
      columns_need(form, rel, index->index_params[i]->index_elem->expr);
      typing_immutable(form, rel, index->index_params[i]->index_elem->expr);
    }
  typing_immutable(form, rel, index->where_clause);
}

static void statistics_columns(struct form *form, const PgQuery__CreateStatsStmt *statistics) {
  const PgQuery__Node *from = statistics->n_relations == 1 ? statistics->relations[0] : NULL;
  struct rel *rel = from && from->node_case == NODE(RANGE_VAR) ? shadow_range(form->shadow, from->range_var) : NULL;
  for (size_t i = 0; is_told(rel) && i < statistics->n_exprs; i++) {
    if (statistics->exprs[i]->node_case != NODE(STATS_ELEM)) continue;
    const PgQuery__StatsElem *element = statistics->exprs[i]->stats_elem;
    if (sql_or_null(element->name)) form_column(form, rel, element->name, false);
    columns_need(form, rel, element->expr);
  }
  if (statistics->n_exprs == 1 && statistics->exprs[0]->node_case == NODE(STATS_ELEM) &&
      sql_or_null(statistics->exprs[0]->stats_elem->name))
    form_fails(form, "42P17", "the statistics are about two columns at least");
}

static void grant_columns(struct form *form, const PgQuery__GrantStmt *grant) {
  for (size_t i = 0; i < grant->n_objects; i++) {
    struct rel *rel = grant->objects[i]->node_case == NODE(RANGE_VAR) ? shadow_range(form->shadow, grant->objects[i]->range_var) : NULL;
    for (size_t k = 0; rel && k < grant->n_privileges; k++)
      if (grant->privileges[k]->node_case == NODE(ACCESS_PRIV))
        need_listed(form, rel, grant->privileges[k]->access_priv->n_cols, grant->privileges[k]->access_priv->cols);
  }
}

static void publication_columns(struct form *form, size_t count, PgQuery__Node *const *objects) {
  for (size_t i = 0; i < count; i++) {
    const PgQuery__PublicationTable *table =
        objects[i]->node_case == NODE(PUBLICATION_OBJ_SPEC) ? objects[i]->publication_obj_spec->pubtable : NULL;
    if (table) need_listed(form, shadow_range(form->shadow, table->relation), table->n_columns, table->columns);
  }
}

static void analyze_columns(struct form *form, const PgQuery__VacuumStmt *vacuum) {
  for (size_t i = 0; i < vacuum->n_rels; i++)
    if (vacuum->rels[i]->node_case == NODE(VACUUM_RELATION))
      need_listed(form, shadow_range(form->shadow, vacuum->rels[i]->vacuum_relation->relation), vacuum->rels[i]->vacuum_relation->n_va_cols,
                  vacuum->rels[i]->vacuum_relation->va_cols);
}

/* OWNED BY table.column. */
static void owner_column(struct form *form, size_t count, PgQuery__Node *const *options) {
  for (size_t i = 0; i < count; i++) {
    const PgQuery__DefElem *option = options[i]->node_case == NODE(DEF_ELEM) ? options[i]->def_elem : NULL;
    if (!option || strcmp(option->defname, "owned_by") != 0 || !option->arg || option->arg->node_case != NODE(LIST)) continue;
    size_t parts = option->arg->list->n_items;
    if (parts < 2) continue;
    PgQuery__Node *const *names = option->arg->list->items;
    struct rel *rel = shadow_named(form->shadow, parts - 1, names);
    if (!rel) form_fails(form, "42P01", "the table that is to own the sequence exists");
    need_listed(form, rel, 1, &names[parts - 1]);
  }
}

static void policy(struct form *form, const PgQuery__RangeVar *table, PgQuery__Node *qual, PgQuery__Node *with_check) {
  const struct rel *rel = shadow_range(form->shadow, table);
  columns_need(form, rel, qual);
  columns_need(form, rel, with_check);
}

void columns_apply(struct form *form, PgQuery__Node *node) {
  switch (node->node_case) {
  case NODE(SELECT_STMT): select_query(form, node); break;
  case NODE(VIEW_STMT): select_query(form, node->view_stmt->query); break;
  case NODE(CREATE_TABLE_AS_STMT): select_query(form, node->create_table_as_stmt->query); break;
  case NODE(INSERT_STMT):
    if (!node->insert_stmt->with_clause) select_query(form, node->insert_stmt->select_stmt);
    break;
  case NODE(UPDATE_STMT): update_columns(form, node->update_stmt); break;
  case NODE(DELETE_STMT): delete_columns(form, node->delete_stmt); break;
  case NODE(INDEX_STMT): index_columns(form, node->index_stmt); break;
  case NODE(CREATE_STATS_STMT): statistics_columns(form, node->create_stats_stmt); break;
  case NODE(GRANT_STMT): grant_columns(form, node->grant_stmt); break;
  case NODE(CREATE_PUBLICATION_STMT):
    publication_columns(form, node->create_publication_stmt->n_pubobjects, node->create_publication_stmt->pubobjects);
    break;
  case NODE(ALTER_PUBLICATION_STMT):
    publication_columns(form, node->alter_publication_stmt->n_pubobjects, node->alter_publication_stmt->pubobjects);
    break;
  case NODE(VACUUM_STMT): analyze_columns(form, node->vacuum_stmt); break;
  case NODE(COPY_STMT):
    need_listed(form, shadow_range(form->shadow, node->copy_stmt->relation), node->copy_stmt->n_attlist, node->copy_stmt->attlist);
    break;
  case NODE(CREATE_SEQ_STMT): owner_column(form, node->create_seq_stmt->n_options, node->create_seq_stmt->options); break;
  case NODE(ALTER_SEQ_STMT): owner_column(form, node->alter_seq_stmt->n_options, node->alter_seq_stmt->options); break;
  case NODE(CREATE_TRIG_STMT):
    need_listed(form, shadow_range(form->shadow, node->create_trig_stmt->relation), node->create_trig_stmt->n_columns,
                node->create_trig_stmt->columns);
    break;
  case NODE(CREATE_POLICY_STMT):
    policy(form, node->create_policy_stmt->table, node->create_policy_stmt->qual, node->create_policy_stmt->with_check);
    break;
  case NODE(ALTER_POLICY_STMT):
    policy(form, node->alter_policy_stmt->table, node->alter_policy_stmt->qual, node->alter_policy_stmt->with_check);
    break;
  default: break;
  }
}
