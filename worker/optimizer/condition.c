/* condition.c - by the shape of the tree alone: types are known only where a cast says them. */
#include "worker/optimizer/condition.h"

#include <ctype.h>
#include <string.h>

#include "common/buf.h"
#include "common/limits.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* --- from EXPLAIN's text to what the parser takes --- */

/* "hashed SubPlan 1", "SubPlan 1", "InitPlan 2", "alternatives: SubPlan 1 or hashed SubPlan 2" become one word each. */
static const char *parseable(struct arena *arena, const char *text) {
  static const char *const words[] = {"hashed SubPlan ", "SubPlan ", "InitPlan "};
  BUF_AUTO out;
  buf_init(&out, 2 * LIMIT_SQL_BYTES);
  char quote = 0;
  while (*text) {
    size_t len = 0;
    if (*text == '\'' || *text == '"') quote = quote == *text ? 0 : quote ? quote : *text;
    for (size_t i = 0; !quote && !len && i < sizeof words / sizeof *words; i++)
      if (strncmp(text, words[i], strlen(words[i])) == 0 && isdigit((unsigned char)text[strlen(words[i])])) len = strlen(words[i]);
    if (len) buf_puts(&out, "subplan_");
    if (!len && !quote && strncmp(text, "alternatives: ", 14) == 0) {
      text += strcspn(text, ")");
      buf_puts(&out, "subplan_0");
    } else if (len) {
      text += len;
    } else {
      buf_putc(&out, *text++);
    }
  }
  return buf_ok(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
}

/* --- columns --- */

struct gather {
  struct arena *arena;
  struct name_list *columns;
  const char *table;
};

static bool gather_column(void *arg, PgQuery__Node *node) {
  struct gather *gather = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) return false;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  const PgQuery__ColumnRef *ref = node->column_ref;
  const char *table = NULL, *name = NULL;
  sql_name_split(ref->n_fields, ref->fields, &table, &name);
  if (!name || strncmp(name, "subplan_", 8) == 0 || list_has(gather->columns->items, gather->columns->count, name)) return false;
  const char **slot = LIST_PUSH(gather->arena, gather->columns);
  if (slot) *slot = name;
  gather->table = table;
  return false;
}

void condition_columns(struct arena *arena, PgQuery__Node *expression, struct name_list *columns) {
  struct gather gather = {.arena = arena, .columns = columns};
  sql_walk(expression, gather_column, &gather);
}

/* --- one condition --- */

/* The column that `side` is, with what is put around it. False: none, or several. */
static bool take_side(struct arena *arena, PgQuery__Node *side, struct condition *out) {
  struct name_list columns = {0};
  struct gather gather = {.arena = arena, .columns = &columns};
  sql_walk(side, gather_column, &gather);
  if (columns.count != 1) return false;
  out->column = columns.items[0];
  out->table = gather.table;
  return true;
}

/* EXPLAIN shows varchar compared as text as (column)::text: the index on it serves. */
static bool relabels(const PgQuery__TypeCast *cast) {
  const char *schema = NULL, *name = NULL;
  sql_name_split(cast->type_name->n_names, cast->type_name->names, &schema, &name);
  return name && !cast->type_name->n_array_bounds &&
         (strcmp(name, "text") == 0 || strcmp(name, "bpchar") == 0 || strcmp(name, "varchar") == 0);
}

/* What keeps an index on the bare column from serving. */
static enum condition_kind around(PgQuery__Node *side, struct condition *out) {
  switch (side->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF: return CONDITION_EQUAL;
  case PG_QUERY__NODE__NODE_TYPE_CAST: return relabels(side->type_cast) ? around(side->type_cast->arg, out) : CONDITION_CAST;
  case PG_QUERY__NODE__NODE_FUNC_CALL: {
    const char *schema = NULL;
    sql_name_split(side->func_call->n_funcname, side->func_call->funcname, &schema, &out->function);
    return CONDITION_FUNCTION;
  }
  case PG_QUERY__NODE__NODE_COALESCE_EXPR: out->function = "COALESCE"; return CONDITION_FUNCTION;
  case PG_QUERY__NODE__NODE_A_EXPR: return CONDITION_ARITHMETIC;
  default: return CONDITION_OTHER;
  }
}

static const char *constant_text(const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL) return NULL;
  return node->a_const->sval->sval;
}

static bool one_of(const char *op, const char *const *names) {
  for (; *names; names++)
    if (strcmp(op, *names) == 0) return true;
  return false;
}

static enum condition_kind kind_of_operator(const char *op, const PgQuery__Node *value) {
  static const char *const ranges[] = {"<", "<=", ">", ">=", NULL}, *const like[] = {"~~", "^@", NULL};
  static const char *const contains[] = {"@>", "<@", "&&", "@@", "?", "?|", "?&", NULL}, *const patterns[] = {"~~*", "~", "~*", NULL};
  if (strcmp(op, "=") == 0) return CONDITION_EQUAL;
  if (one_of(op, ranges)) return CONDITION_RANGE;
  if (one_of(op, contains)) return CONDITION_CONTAINS;
  if (one_of(op, patterns)) return CONDITION_PATTERN;
  const char *text = constant_text(value);
  if (one_of(op, like)) return text && strcspn(text, "%_") == 0 && strcmp(op, "^@") != 0 ? CONDITION_PATTERN : CONDITION_PREFIX;
  return CONDITION_OTHER;
}

static void read_comparison(struct arena *arena, const PgQuery__AExpr *expression, struct condition *out) {
  PgQuery__Node *left = expression->lexpr, *right = expression->rexpr;
  const char *schema = NULL;
  sql_name_split(expression->n_name, expression->name, &schema, &out->op);
  struct condition other = {0};
  bool on_left = left && take_side(arena, left, out), on_right = right && take_side(arena, right, on_left ? &other : out);
  if (!out->op || on_left == on_right) { /* two columns, or none */
    if (on_left) out->column = NULL;
    return;
  }
  enum condition_kind wrapped = around(on_left ? left : right, out);
  enum condition_kind kind = kind_of_operator(out->op, on_left ? right : left);
  bool any = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY || expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN;
  switch (expression->kind) {
  case PG_QUERY__A__EXPR__KIND__AEXPR_LIKE:
    kind = constant_text(right) && strcspn(constant_text(right), "%_") == 0 ? CONDITION_PATTERN : CONDITION_PREFIX;
    break;
  case PG_QUERY__A__EXPR__KIND__AEXPR_ILIKE: kind = CONDITION_PATTERN; break;
  case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN: kind = CONDITION_RANGE; break;
  case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL: kind = CONDITION_OTHER; break;
  default: break;
  }
  if (any && kind == CONDITION_EQUAL) kind = on_left ? CONDITION_IN : CONDITION_OTHER; /* value = ANY (column) */
  out->kind = kind == CONDITION_OTHER || wrapped == CONDITION_EQUAL ? kind : wrapped;
}

static void read_one(struct arena *arena, PgQuery__Node *node, struct condition *out) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_A_EXPR: read_comparison(arena, node->a_expr, out); return;
  case PG_QUERY__NODE__NODE_NULL_TEST:
    if (take_side(arena, node->null_test->arg, out))
      out->kind = around(node->null_test->arg, out) == CONDITION_EQUAL ? CONDITION_NULL : CONDITION_FUNCTION;
    return;
  case PG_QUERY__NODE__NODE_COLUMN_REF:
    if (take_side(arena, node, out)) out->kind = CONDITION_TRUE;
    return;
  case PG_QUERY__NODE__NODE_BOOL_EXPR:
    if (node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) {
      out->kind = CONDITION_OR;
      take_side(arena, node, out);
    } else if (node->bool_expr->n_args == 1 && node->bool_expr->args[0]->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
      if (take_side(arena, node, out)) out->kind = CONDITION_TRUE;
    }
    return;
  default: take_side(arena, node, out);
  }
}

void conditions_of(struct arena *arena, PgQuery__Node *node, struct condition_list *ret_conditions) {
  if (!node) return;
  if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR && node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
    for (size_t i = 0; i < node->bool_expr->n_args; i++) conditions_of(arena, node->bool_expr->args[i], ret_conditions);
    return;
  }
  struct condition *slot = LIST_PUSH(arena, ret_conditions);
  if (!slot) return;
  *slot = (struct condition){.kind = CONDITION_OTHER, .expression = node};
  read_one(arena, node, slot);
}

void conditions_read(struct arena *arena, const char *text, struct condition_list *ret_conditions) {
  const char *sql = text ? parseable(arena, text) : NULL;
  if (sql) conditions_of(arena, sql_parse_expression(arena, sql), ret_conditions);
}
