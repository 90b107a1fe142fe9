/* forms/outputs.c - see outputs.h. Names are FigureColname's (parser/parse_target.c). */
#include "worker/migration/forms/outputs.h"

#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name
#define MOST 1600

struct source {
  const struct rel *rel;
  const char *alias;
};
struct outputs {
  struct form *form;
  LIST(struct source) sources;
  LIST(struct output) items;
  bool unknown; /* a source whose columns can't be told */
  bool uncounted;
};

static void add(struct outputs *outputs, const char *name, const char *type) {
  struct output *slot = outputs->items.count < MOST ? LIST_PUSH(outputs->form->arena, &outputs->items) : NULL;
  if (slot) *slot = (struct output){name, type};
}

static void enter(struct outputs *outputs, const PgQuery__Node *from) {
  if (from->node_case == NODE(JOIN_EXPR) && !from->join_expr->alias && !from->join_expr->is_natural && !from->join_expr->n_using_clause) {
    if (from->join_expr->larg) enter(outputs, from->join_expr->larg);
    if (from->join_expr->rarg) enter(outputs, from->join_expr->rarg);
    return;
  }
  const PgQuery__RangeVar *range = from->node_case == NODE(RANGE_VAR) ? from->range_var : NULL;
  const struct rel *rel = range ? shadow_range(outputs->form->shadow, range) : NULL;
  bool told = rel && !rel->vague && rel->t->column_count && !(range->alias && range->alias->n_colnames);
  struct source *slot = told ? LIST_PUSH(outputs->form->arena, &outputs->sources) : NULL;
  if (slot) *slot = (struct source){rel, range->alias ? range->alias->aliasname : range->relname};
  if (!slot) outputs->unknown = true;
}

static void add_star(struct outputs *outputs, const char *qualifier) {
  bool any = false;
  if (outputs->unknown) outputs->uncounted = true;
  for (size_t i = 0; i < outputs->sources.count; i++) {
    const struct source *source = &outputs->sources.items[i];
    if (qualifier && strcmp(qualifier, source->alias) != 0) continue;
    any = true;
    for (size_t c = 0; c < source->rel->t->column_count; c++)
      add(outputs, source->rel->t->columns[c].name, source->rel->t->columns[c].type);
  }
  if (!any) outputs->uncounted = true;
}

static const char *column_type(const struct outputs *outputs, const char *qualifier, const char *name) {
  const char *type = NULL;
  for (size_t i = 0; !outputs->unknown && i < outputs->sources.count; i++) {
    const struct source *source = &outputs->sources.items[i];
    const struct snap_column *column = qualifier && strcmp(qualifier, source->alias) != 0 ? NULL : snap_table_column(source->rel->t, name);
    if (column) type = column->type;
  }
  return type;
}

static void add_column(struct outputs *outputs, const PgQuery__ColumnRef *ref, const char *as) {
  const PgQuery__Node *last = ref->n_fields ? ref->fields[ref->n_fields - 1] : NULL;
  const char *qualifier, *name;
  sql_name_split(ref->n_fields, ref->fields, &qualifier, &name);
  if (last && last->node_case == NODE(A_STAR)) {
    add_star(outputs, ref->n_fields > 1 ? sql_node_string(ref->fields[ref->n_fields - 2]) : NULL);
    return;
  }
  add(outputs, as ? as : name, name ? column_type(outputs, qualifier, name) : NULL);
}

/* What a target without AS is called: a call's name, a cast column's own. */
static const char *figured_name(const PgQuery__Node *value) {
  const char *qualifier, *name = NULL;
  if (!value) return NULL;
  if (value->node_case == NODE(COLUMN_REF)) sql_name_split(value->column_ref->n_fields, value->column_ref->fields, &qualifier, &name);
  if (value->node_case == NODE(FUNC_CALL)) sql_name_split(value->func_call->n_funcname, value->func_call->funcname, &qualifier, &name);
  if (value->node_case == NODE(TYPE_CAST) && value->type_cast->arg && value->type_cast->arg->node_case == NODE(COLUMN_REF))
    name = figured_name(value->type_cast->arg);
  return name;
}

static void add_target(struct outputs *outputs, const PgQuery__ResTarget *target) {
  const PgQuery__Node *value = target->val;
  const char *as = sql_or_null(target->name);
  if (value && value->node_case == NODE(COLUMN_REF)) {
    add_column(outputs, value->column_ref, as);
    return;
  }
  const char *type = value && value->node_case == NODE(TYPE_CAST) ? sql_type(outputs->form->arena, value->type_cast->type_name) : NULL;
  add(outputs, as ? as : figured_name(value), type);
}

size_t outputs_of(struct form *form, const PgQuery__Node *query, struct output **ret_outputs) {
  const PgQuery__SelectStmt *select = query && query->node_case == NODE(SELECT_STMT) ? query->select_stmt : NULL;
  struct outputs outputs = {.form = form};
  *ret_outputs = NULL;
  for (int depth = 0; select && select->larg && depth < 64; depth++) select = select->larg; /* of a UNION, the first query's */
  if (!select || select->n_values_lists || select->larg || !select->n_target_list) return SIZE_MAX;
  if (select->with_clause) outputs.unknown = true; /* a name may be one of WITH */
  for (size_t i = 0; i < select->n_from_clause; i++) enter(&outputs, select->from_clause[i]);
  for (size_t i = 0; i < select->n_target_list; i++)
    if (select->target_list[i]->node_case == NODE(RES_TARGET)) add_target(&outputs, select->target_list[i]->res_target);
  *ret_outputs = outputs.items.items;
  return outputs.uncounted ? SIZE_MAX : outputs.items.count;
}

static void no_name_twice(struct form *form, const struct output *outputs, size_t count) {
  for (size_t i = 1; i < count; i++)
    for (size_t k = 0; outputs[i].name && k < i; k++)
      if (outputs[k].name && strcmp(outputs[i].name, outputs[k].name) == 0) {
        form_fails(form, "42701", "column %s is there once", outputs[i].name);
        return;
      }
}

/* Types of one name, and of one modifier: a domain's schema may be left out. */
static bool is_replaced(const struct snap_column *old, const struct output *output) {
  return (output->name && strcmp(old->name, output->name) != 0) ||
         (output->type && *output->type && *old->type && !shadow_same_type(old->type, output->type));
}

void outputs_check(struct form *form, const PgQuery__Node *query, size_t n_names, PgQuery__Node *const *names, const struct rel *replaced) {
  struct output *outputs;
  bool united = query && query->node_case == NODE(SELECT_STMT) && query->select_stmt->larg;
  size_t count = outputs_of(form, query, &outputs);
  if (count == SIZE_MAX) return;
  for (size_t i = 0; i < n_names && i < count; i++) outputs[i].name = sql_node_string(names[i]);
  for (size_t i = 0; united && i < count; i++) outputs[i].type = NULL; /* what both sides become */
  no_name_twice(form, outputs, count);
  if (!replaced || replaced->vague || !replaced->t->column_count) return;
  if (count < replaced->t->column_count) {
    form_fails(form, "42P16", "%s keeps its columns", replaced->t->qualified);
    return;
  }
  for (size_t i = 0; i < replaced->t->column_count; i++)
    if (is_replaced(&replaced->t->columns[i], &outputs[i])) {
      form_fails(form, "42P16", "column %s of %s keeps its name and type", replaced->t->columns[i].name, replaced->t->qualified);
      return;
    }
}
