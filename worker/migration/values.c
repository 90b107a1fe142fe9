/* values.c - quoted constants against the input functions of the types people write: numbers, booleans, uuids, enums.
 *
 * Only what every major refuses counts: that "1_000" is a number to some, or "y" a boolean, is none of its business. */
#include "worker/migration/values.h"

#include <ctype.h>
#include <strings.h>

#include "worker/migration/forms/bounds.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/forms/routing.h"
#include "worker/migration/forms/typing.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name
#define ROWS_LOOKED_AT 1000

static const char *trimmed(struct arena *arena, const char *text) {
  while (isspace((unsigned char)*text)) text++;
  size_t len = strlen(text);
  while (len && isspace((unsigned char)text[len - 1])) len--;
  return arena_strndup(arena, text, len);
}

static bool is_integer(const char *text) {
  if (*text == '-' || *text == '+') text++;
  return isdigit((unsigned char)*text);
}

static bool is_number(const char *text) {
  if (*text == '-' || *text == '+') text++;
  if (*text == '.') text++;
  return isdigit((unsigned char)*text) || strncasecmp(text, "inf", 3) == 0 || strcasecmp(text, "nan") == 0;
}

static bool is_boolean(const char *text) {
  static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
  for (size_t i = 0; *text && i < sizeof words / sizeof *words; i++)
    if (strncasecmp(words[i], text, strlen(text)) == 0) return true;
  return false;
}

static bool is_uuid(const char *text) {
  size_t digits = 0;
  for (; *text; text++) {
    if (isxdigit((unsigned char)*text))
      digits++;
    else if (*text != '-' && *text != '{' && *text != '}')
      return false;
  }
  return digits == 32;
}

static const struct {
  const char *type;
  bool (*is)(const char *text);
} inputs[] = {
    {"smallint", is_integer}, {"integer", is_integer},         {"bigint", is_integer},  {"numeric", is_number},
    {"real", is_number},      {"double precision", is_number}, {"boolean", is_boolean}, {"uuid", is_uuid},
};

/* "numeric(10,2)" is numeric; an array is none of these. */
static bool is_type(const char *type, const char *name) {
  size_t len = strlen(name);
  return strncmp(type, name, len) == 0 && (!type[len] || (type[len] == '(' && !strchr(type, '[')));
}

static bool has_label(const struct snap_enum *type, const char *label) {
  for (size_t i = 0; i < type->label_count; i++)
    if (strcmp(type->labels[i], label) == 0) return true;
  return type->label_count == 0; /* made here: its labels aren't kept */
}

/* Added in this very transaction, to a type that was there before it (EnumValuesUncommitted of catalog/pg_enum.c). */
static bool is_fresh(const struct shadow *shadow, const struct snap_enum *type, const char *label) {
  size_t len = strlen(type->name);
  for (size_t i = 0; i < shadow->fresh_labels.count; i++) {
    const char *fresh = shadow->fresh_labels.items[i];
    if (strncmp(fresh, type->name, len) == 0 && fresh[len] == '\n' && strcmp(fresh + len + 1, label) == 0) return true;
  }
  return false;
}

void values_fit(struct form *form, const char *type, const PgQuery__Node *value) {
  bool quoted =
      value && value->node_case == NODE(A_CONST) && !value->a_const->isnull && value->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
  const char *text = type && quoted ? value->a_const->sval->sval : NULL, *bare = text ? trimmed(form->arena, text) : NULL;
  if (!bare) return;
  const struct snap_enum *labels = shadow_enum(form->shadow, type);
  if (labels && is_fresh(form->shadow, labels, text))
    form_fails(form, "55P04", "%s was committed before it is used", sql_literal(form->arena, text));
  bool refused = labels && !has_label(labels, text);
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
    if (is_type(type, inputs[i].type) && !inputs[i].is(bare)) refused = true;
  if (refused) form_fails(form, "22P02", "%s is a value of %s", sql_literal(form->arena, text), type);
}

static const char *target_name(const PgQuery__Node *node) {
  return node->node_case == NODE(RES_TARGET) && !node->res_target->n_indirection ? sql_or_null(node->res_target->name) : NULL;
}

/* --- INSERT --- */

/* What a row of VALUES is made into by others before it is stored can't be told: rules, triggers that run before. */
static bool stored_as_written(const struct form *form, const struct rel *rel, const char *event) {
  const json_t *json = objects_json(form->shadow, rel);
  if (rel->ruled || (rel->t->kind != SNAP_TABLE && rel->t->kind != SNAP_PARTITIONED) || json_array_size(json_object_get(json, "rules")))
    return false;
  for (size_t i = 0; i < rel->t->trigger_count; i++) {
    const char *definition = rel->t->triggers[i].definition;
    if (!definition || (strstr(definition, " BEFORE ") && strstr(definition, event))) return false;
  }
  return true;
}

static bool fills_itself(const struct form *form, const struct snap_column *column) {
  const struct snap_domain *domain = shadow_domain(form->shadow, column->type);
  return column->default_expr || column->identity || column->generated || (domain && domain->default_expr);
}

static bool is_null(const PgQuery__Node *node) { return node && node->node_case == NODE(A_CONST) && node->a_const->isnull; }
static bool is_default(const PgQuery__Node *node) { return node && node->node_case == NODE(SET_TO_DEFAULT); }

struct insertion {
  struct form *form;
  const PgQuery__InsertStmt *statement;
  const struct rel *rel;
  bool as_written;
};

/* The column that the place in a row is for; NULL when there is none. */
static const struct snap_column *column_at(const struct insertion *insertion, size_t place) {
  const PgQuery__InsertStmt *statement = insertion->statement;
  const struct snap_table *table = insertion->rel->t;
  if (!statement->n_cols) return place < table->column_count ? &table->columns[place] : NULL;
  const char *name = place < statement->n_cols ? target_name(statement->cols[place]) : NULL;
  return name ? snap_table_column(table, name) : NULL;
}

static void refuse_generated(const struct insertion *insertion, const struct snap_column *column, const PgQuery__Node *value) {
  bool overridden = insertion->statement->override != PG_QUERY__OVERRIDING_KIND__OVERRIDING_NOT_SET;
  bool always = column->identity && strcmp(column->identity, "always") == 0 && !overridden;
  if (is_default(value) || (!always && !column->generated)) return;
  form_fails(insertion->form, "428C9", "column %s is not generated always", column->name);
}

static void store_value(const struct insertion *insertion, const struct snap_column *column, const PgQuery__Node *value) {
  values_fit(insertion->form, column->type, value);
  typing_assign(insertion->form, column->type, value);
  refuse_generated(insertion, column, value);
  const struct snap_domain *domain = shadow_domain(insertion->form->shadow, column->type);
  bool never_null = (column->not_null && insertion->as_written) || (domain && domain->not_null);
  if (never_null && (is_null(value) || (is_default(value) && !fills_itself(insertion->form, column))))
    form_fails(insertion->form, "23502", "column %s is given a value", column->name);
}

/* The row has nowhere to go, or to one partition, which is locked. */
static void route_row(const struct insertion *insertion, struct rel *rel, const PgQuery__List *row, int depth) {
  struct form *form = insertion->form;
  const char *key = rel->t->kind == SNAP_PARTITIONED && depth < 16 ? routing_key(form, rel) : NULL;
  struct rel *home = NULL;
  for (size_t i = 0; key && i < row->n_items; i++) {
    const struct snap_column *column = column_at(insertion, i);
    if (!column || strcmp(column->name, key) != 0) continue;
    enum routed routed = routing_of(form, rel, row->items[i], &home);
    if (routed == ROUTED_NOWHERE && insertion->as_written) form_fails(form, "23514", "a partition of %s takes the row", rel->t->qualified);
    if (routed != ROUTED || !insertion->as_written) return;
    effect_lock(form->effect, home, LOCK_ROW_EXCLUSIVE);
    route_row(insertion, home, row, depth + 1);
    return;
  }
}

static const PgQuery__Node *value_of(const struct insertion *insertion, const PgQuery__List *row, const char *name) {
  for (size_t i = 0; i < row->n_items; i++) {
    const struct snap_column *column = column_at(insertion, i);
    if (column && strcmp(column->name, name) == 0) return row->items[i];
  }
  return NULL;
}

/* A CHECK over one column, against the constant it is given. */
static void check_row(const struct insertion *insertion, const PgQuery__List *row) {
  for (size_t i = 0; insertion->as_written && i < insertion->rel->t->constraint_count; i++) {
    const struct snap_constraint *check = &insertion->rel->t->constraints[i];
    const PgQuery__Node *value = check->type == 'c' && check->column_count == 1 ? value_of(insertion, row, check->columns[0]) : NULL;
    if (value && bounds_check_refutes(insertion->form->shadow, check, check->columns[0], value))
      form_fails(insertion->form, "23514", "%s holds for the row", check->name);
  }
}

/* The referenced row's partition is looked up by the key. */
static void reference_row(const struct insertion *insertion, const PgQuery__List *row) {
  for (size_t i = 0; i < insertion->rel->t->fk_count; i++) {
    const struct snap_fk *fk = &insertion->rel->t->fks[i];
    struct rel *ref = shadow_of(insertion->form->shadow, fk->ref), *home = NULL;
    const PgQuery__Node *value = fk->column_count == 1 ? value_of(insertion, row, fk->columns[0]) : NULL;
    const char *key = ref && value && ref->t->kind == SNAP_PARTITIONED ? routing_key(insertion->form, ref) : NULL;
    if (key && strcmp(key, fk->ref_columns[0]) == 0 && routing_of(insertion->form, ref, value, &home) == ROUTED)
      effect_lock(insertion->form->effect, home, LOCK_ROW_SHARE);
  }
}

static void insert_row(const struct insertion *insertion, const PgQuery__List *row) {
  size_t wanted = insertion->statement->n_cols ? insertion->statement->n_cols : insertion->rel->t->column_count;
  if (row->n_items > wanted || (insertion->statement->n_cols && row->n_items < wanted)) {
    form_fails(insertion->form, "42601", "as many values as columns are given");
    return;
  }
  for (size_t i = 0; i < row->n_items; i++) {
    const struct snap_column *column = column_at(insertion, i);
    if (column) store_value(insertion, column, row->items[i]);
  }
  check_row(insertion, row);
  route_row(insertion, (struct rel *)(uintptr_t)insertion->rel, row, 0);
  reference_row(insertion, row);
}

/* Columns that the rows leave out get their default, which is NULL when they have none. */
static void columns_left_out(const struct insertion *insertion, size_t given) {
  const struct snap_table *table = insertion->rel->t;
  for (size_t i = 0; insertion->as_written && i < table->column_count; i++) {
    const struct snap_column *column = &table->columns[i];
    bool named = !insertion->statement->n_cols && i < given;
    for (size_t k = 0; k < insertion->statement->n_cols && !named; k++) {
      const char *name = target_name(insertion->statement->cols[k]);
      named = !name || strcmp(name, column->name) == 0;
    }
    if (!named && column->not_null && !fills_itself(insertion->form, column))
      form_fails(insertion->form, "23502", "column %s is given a value", column->name);
  }
}

static bool is_deferrable(const struct snap_table *table, const char *index) {
  for (size_t i = 0; i < table->constraint_count; i++)
    if (table->constraints[i].index && strcmp(table->constraints[i].index, index) == 0) return table->constraints[i].deferrable;
  return false;
}

/* ON CONFLICT (columns) is about a unique index of exactly these; conditions and expressions are passed over. */
static void conflict_target(const struct insertion *insertion) {
  const PgQuery__OnConflictClause *conflict = insertion->statement->on_conflict_clause;
  const PgQuery__InferClause *infer = conflict ? conflict->infer : NULL;
  const struct snap_table *table = insertion->rel->t;
  if (!infer || !infer->n_index_elems || infer->where_clause || sql_or_null(infer->conname)) return;
  for (size_t i = 0; i < infer->n_index_elems; i++)
    if (infer->index_elems[i]->node_case != NODE(INDEX_ELEM) || !sql_or_null(infer->index_elems[i]->index_elem->name)) return;
  for (size_t i = 0; i < table->index_count; i++) {
    const struct snap_index *index = &table->indexes[i];
    if (!index->unique || index->predicate || index->column_count != infer->n_index_elems) continue;
    size_t found = 0;
    for (size_t k = 0; k < infer->n_index_elems; k++)
      for (size_t c = 0; c < index->column_count; c++) found += strcmp(index->columns[c], infer->index_elems[k]->index_elem->name) == 0;
    if (found != infer->n_index_elems) continue;
    if (is_deferrable(table, index->name)) form_fails(insertion->form, "55000", "%s is not deferrable", index->name);
    return;
  }
  form_fails(insertion->form, "42P10", "a unique index is over what ON CONFLICT names");
}

static void insert_values(struct form *form, const PgQuery__InsertStmt *insert) {
  const struct rel *rel = shadow_range(form->shadow, insert->relation);
  const PgQuery__SelectStmt *select =
      insert->select_stmt && insert->select_stmt->node_case == NODE(SELECT_STMT) ? insert->select_stmt->select_stmt : NULL;
  bool table = rel && (rel->t->kind == SNAP_TABLE || rel->t->kind == SNAP_PARTITIONED);
  if (!table || rel->vague || !rel->t->column_count) return;
  struct insertion insertion = {form, insert, rel, stored_as_written(form, rel, "INSERT")};
  conflict_target(&insertion);
  if (select && !select->n_values_lists) return;
  size_t given = 0;
  for (size_t r = 0; select && r < select->n_values_lists && r < ROWS_LOOKED_AT; r++)
    if (select->values_lists[r]->node_case == NODE(LIST)) {
      given = select->values_lists[r]->list->n_items;
      insert_row(&insertion, select->values_lists[r]->list);
    }
  columns_left_out(&insertion, given);
}

static void update_values(struct form *form, const PgQuery__UpdateStmt *update) {
  const struct rel *rel = shadow_range(form->shadow, update->relation);
  bool all = rel && !update->where_clause && !update->n_from_clause && form_verdict(rel, VERDICT_WILL_FAIL) == VERDICT_WILL_FAIL;
  for (size_t i = 0; rel && !rel->vague && i < update->n_target_list; i++) {
    const char *name = target_name(update->target_list[i]);
    const struct snap_column *column = name ? snap_table_column(rel->t, name) : NULL;
    const PgQuery__Node *value = update->target_list[i]->res_target->val;
    if (!column) continue;
    values_fit(form, column->type, value);
    typing_assign(form, column->type, value);
    bool always = column->identity && strcmp(column->identity, "always") == 0;
    if ((column->generated || always) && !is_default(value)) form_fails(form, "428C9", "column %s is not generated always", name);
    for (size_t k = 0; all && k < rel->t->constraint_count; k++) {
      const struct snap_constraint *check = &rel->t->constraints[k];
      if (check->type == 'c' && check->column_count == 1 && strcmp(check->columns[0], name) == 0 &&
          stored_as_written(form, rel, "UPDATE") && bounds_check_refutes(form->shadow, check, name, value))
        form_fails(form, "23514", "%s holds for the rows", check->name);
    }
    if (column->not_null && is_null(value) && all && stored_as_written(form, rel, "UPDATE"))
      form_fails(form, "23502", "column %s is given a value", name);
  }
}

void values_apply(struct form *form, const PgQuery__Node *statement) {
  if (statement->node_case == NODE(INSERT_STMT)) insert_values(form, statement->insert_stmt);
  if (statement->node_case == NODE(UPDATE_STMT)) update_values(form, statement->update_stmt);
}
