/* bounds.c - the part of PostgreSQL's predicate proving that people write by hand before an ATTACH: "k >= low AND k < high" over constants.
 */
#include "worker/migration/bounds.h"

#include "worker/sql/text.h"

struct constant {
  bool number;
  double value;
  const char *text;
};

static bool read_constant(const PgQuery__Node *node, struct constant *ret) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull) return false;
  const PgQuery__AConst *constant = node->a_const;
  switch (constant->val_case) {
  case PG_QUERY__A__CONST__VAL_IVAL: *ret = (struct constant){.number = true, .value = constant->ival->ival}; return true;
  case PG_QUERY__A__CONST__VAL_FVAL: *ret = (struct constant){.number = true, .value = strtod(constant->fval->fval, NULL)}; return true;
  case PG_QUERY__A__CONST__VAL_SVAL: *ret = (struct constant){.text = constant->sval->sval}; return true;
  default: return false;
  }
}

/* Text constants (dates above all) compare as text only when they have one shape; INT_MIN-like 2 means "can't tell". */
static int compare(const struct constant *a, const struct constant *b) {
  if (a->number != b->number) return 2;
  if (a->number) return a->value < b->value ? -1 : a->value > b->value;
  if (strlen(a->text) != strlen(b->text)) return strcmp(a->text, b->text) == 0 ? 0 : 2;
  int order = strcmp(a->text, b->text);
  return order < 0 ? -1 : order > 0;
}

/* "(k)" of "RANGE (k)"; NULL unless the key is one plain column. */
static const char *key_column(struct shadow *shadow, const struct rel *parent) {
  const char *open = parent->t->partition_key ? strchr(parent->t->partition_key, '(') : NULL;
  const PgQuery__Node *node = open ? sql_parse_expression(shadow->arena, open) : NULL;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || node->column_ref->n_fields != 1) return NULL;
  return sql_node_string(node->column_ref->fields[0]);
}

struct proof {
  const char *column;
  const PgQuery__PartitionBoundSpec *bound;
  bool low, high;
  bool excluded;
};

static bool is_minvalue(const PgQuery__Node *node) {
  return node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF || node->node_case == PG_QUERY__NODE__NODE_PARTITION_RANGE_DATUM;
}

/* One comparison "column op constant" held against the bound. */
static void weigh(struct proof *proof, const char *op, const struct constant *value, const struct constant *low,
                  const struct constant *high) {
  int to_low = low ? compare(value, low) : 2, to_high = high ? compare(value, high) : 2;
  if (low && ((strcmp(op, ">=") == 0 && (to_low == 0 || to_low == 1)) || (strcmp(op, ">") == 0 && (to_low == 0 || to_low == 1))))
    proof->low = true;
  if (high && ((strcmp(op, "<") == 0 && (to_high == 0 || to_high == -1)) || (strcmp(op, "<=") == 0 && to_high == -1))) proof->high = true;
  if (low && strcmp(op, "<") == 0 && (to_low == 0 || to_low == -1)) proof->excluded = true;
  if (high && (strcmp(op, ">=") == 0 || strcmp(op, ">") == 0) && (to_high == 0 || to_high == 1)) proof->excluded = true;
}

static void read_comparison(struct proof *proof, const PgQuery__AExpr *expression) {
  const char *op = expression->n_name ? sql_node_string(expression->name[0]) : NULL, *qualifier, *name;
  struct constant value, low, high;
  if (!op || !expression->lexpr || expression->lexpr->node_case != PG_QUERY__NODE__NODE_COLUMN_REF ||
      !read_constant(expression->rexpr, &value))
    return;
  sql_name_split(expression->lexpr->column_ref->n_fields, expression->lexpr->column_ref->fields, &qualifier, &name);
  if (!name || strcmp(name, proof->column) != 0) return;
  bool has_low = read_constant(proof->bound->lowerdatums[0], &low), has_high = read_constant(proof->bound->upperdatums[0], &high);
  weigh(proof, op, &value, has_low ? &low : NULL, has_high ? &high : NULL);
}

static void read_conjuncts(struct proof *proof, const PgQuery__Node *node) {
  if (!node) return;
  if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR) read_comparison(proof, node->a_expr);
  if (node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) return;
  for (size_t i = 0; i < node->bool_expr->n_args; i++) read_conjuncts(proof, node->bool_expr->args[i]);
}

/* "k IS NULL": NULL is in no range. */
static bool is_null_test(const struct proof *proof, const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_NULL_TEST || node->null_test->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NULL) return false;
  const PgQuery__Node *arg = node->null_test->arg;
  if (!arg || arg->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || !arg->column_ref->n_fields) return false;
  const char *name = sql_node_string(arg->column_ref->fields[arg->column_ref->n_fields - 1]);
  return name && strcmp(name, proof->column) == 0;
}

/* "(k < low) OR (k >= high)": both arms rule the bound out. */
static bool arms_exclude(struct proof *proof, const PgQuery__Node *node) {
  if (!node) return false;
  if (is_null_test(proof, node)) return true;
  if (node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR && node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) {
    for (size_t i = 0; i < node->bool_expr->n_args; i++)
      if (!arms_exclude(proof, node->bool_expr->args[i])) return false;
    return true;
  }
  proof->excluded = false;
  read_conjuncts(proof, node);
  return proof->excluded;
}

static bool prepare(struct shadow *shadow, const struct rel *parent, const PgQuery__PartitionBoundSpec *bound, struct proof *ret) {
  *ret = (struct proof){.column = key_column(shadow, parent), .bound = bound};
  if (!ret->column || strcmp(bound->strategy, "r") != 0 || bound->n_lowerdatums != 1 || bound->n_upperdatums != 1) return false;
  ret->low = is_minvalue(bound->lowerdatums[0]);
  ret->high = is_minvalue(bound->upperdatums[0]);
  return true;
}

static PgQuery__Node *check_of(struct shadow *shadow, const struct snap_constraint *constraint) {
  if (constraint->type != 'c' || !constraint->validated) return NULL;
  return sql_parse_expression(shadow->arena,
                              strncmp(constraint->definition, "CHECK ", 6) == 0 ? constraint->definition + 6 : constraint->definition);
}

bool bounds_implied(struct shadow *shadow, const struct rel *parent, const struct rel *part, const PgQuery__PartitionBoundSpec *bound) {
  struct proof proof;
  if (bound->is_default || !prepare(shadow, parent, bound, &proof)) return false;
  const struct snap_column *column = snap_table_column(part->t, proof.column);
  if (!column || (!column->not_null && !shadow_proves_not_null(shadow, part, proof.column))) return false;
  for (size_t i = 0; i < part->t->constraint_count; i++) read_conjuncts(&proof, check_of(shadow, &part->t->constraints[i]));
  return proof.low && proof.high;
}

bool bounds_excluded(struct shadow *shadow, const struct rel *parent, const struct rel *fallback,
                     const PgQuery__PartitionBoundSpec *bound) {
  struct proof proof;
  if (!prepare(shadow, parent, bound, &proof)) return false;
  for (size_t i = 0; i < fallback->t->constraint_count; i++)
    if (arms_exclude(&proof, check_of(shadow, &fallback->t->constraints[i]))) return true;
  for (size_t i = 0; i < parent->t->constraint_count; i++) /* inherited by every partition */
    if (arms_exclude(&proof, check_of(shadow, &parent->t->constraints[i]))) return true;
  return false;
}

const char *bounds_text(struct arena *arena, const PgQuery__PartitionBoundSpec *bound) {
  if (bound->is_default) return "DEFAULT";
  if (strcmp(bound->strategy, "r") == 0) return arena_strdup(arena, "FOR VALUES FROM … TO …");
  return arena_strdup(arena, strcmp(bound->strategy, "l") == 0 ? "FOR VALUES IN (…)" : "FOR VALUES WITH (…)");
}
