/* values.c - quoted constants against the input functions of the types people write: numbers, booleans, uuids, enums.
 *
 * Only what every major refuses counts: that "1_000" is a number to some, or "y" a boolean, is none of its business. */
#include "worker/migration/values.h"

#include <ctype.h>
#include <strings.h>

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

void values_fit(struct form *form, const char *type, const PgQuery__Node *value) {
  bool quoted =
      value && value->node_case == NODE(A_CONST) && !value->a_const->isnull && value->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
  const char *text = type && quoted ? value->a_const->sval->sval : NULL, *bare = text ? trimmed(form->arena, text) : NULL;
  if (!bare) return;
  const struct snap_enum *labels = shadow_enum(form->shadow, type);
  bool refused = labels && !has_label(labels, text);
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
    if (is_type(type, inputs[i].type) && !inputs[i].is(bare)) refused = true;
  if (refused) form_fails(form, "22P02", "%s is a value of %s", sql_literal(form->arena, text), type);
}

static const char *column_type(const struct rel *rel, const char *name) {
  const struct snap_column *column = name ? snap_table_column(rel->t, name) : NULL;
  return column ? column->type : NULL;
}

static const char *target_name(const PgQuery__Node *node) {
  return node->node_case == NODE(RES_TARGET) && !node->res_target->n_indirection ? sql_or_null(node->res_target->name) : NULL;
}

static void insert_values(struct form *form, const PgQuery__InsertStmt *insert) {
  const struct rel *rel = shadow_range(form->shadow, insert->relation);
  const PgQuery__SelectStmt *select =
      insert->select_stmt && insert->select_stmt->node_case == NODE(SELECT_STMT) ? insert->select_stmt->select_stmt : NULL;
  if (!rel || rel->vague || !select) return;
  for (size_t r = 0; r < select->n_values_lists && r < ROWS_LOOKED_AT; r++) {
    if (select->values_lists[r]->node_case != NODE(LIST)) continue;
    const PgQuery__List *row = select->values_lists[r]->list;
    for (size_t i = 0; i < row->n_items; i++) {
      bool named = insert->n_cols ? i < insert->n_cols : i < rel->t->column_count;
      const char *name = !named ? NULL : insert->n_cols ? target_name(insert->cols[i]) : rel->t->columns[i].name;
      values_fit(form, column_type(rel, name), row->items[i]);
    }
  }
}

static void update_values(struct form *form, const PgQuery__UpdateStmt *update) {
  const struct rel *rel = shadow_range(form->shadow, update->relation);
  for (size_t i = 0; rel && !rel->vague && i < update->n_target_list; i++) {
    const char *name = target_name(update->target_list[i]);
    if (name) values_fit(form, column_type(rel, name), update->target_list[i]->res_target->val);
  }
}

void values_apply(struct form *form, const PgQuery__Node *statement) {
  if (statement->node_case == NODE(INSERT_STMT)) insert_values(form, statement->insert_stmt);
  if (statement->node_case == NODE(UPDATE_STMT)) update_values(form, statement->update_stmt);
}
