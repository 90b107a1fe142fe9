/* forms/bounds.c - the part of PostgreSQL's predicate proving that people write by hand before an ATTACH: "k >= low AND k < high" over
 * constants.
 */
#include "worker/migration/forms/bounds.h"

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

/* Text constants (dates above all) have an order only when they have one shape; 2 means "can't tell", but surely not the same. */
static int compare(const struct constant *a, const struct constant *b) {
  if (a->number != b->number) return 2;
  if (a->number) return a->value < b->value ? -1 : a->value > b->value;
  if (strlen(a->text) != strlen(b->text)) return 2;
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

/* What a bound says of the key, piece by piece: "key op value". */
enum op { OP_LT, OP_LE, OP_EQ, OP_GE, OP_GT, OP_NE, OP_IS_NULL, OP_NOT_NULL, OP_NONE };
struct atom {
  enum op op;
  struct constant value;
};
/* The goal of a proof: one of these must follow. */
struct goal {
  const char *column;
  LIST(struct atom) any;
};

/* As btree's implication table (predtest.c): does "key op value" that is known make the other true? `order` is known against wanted. */
static bool atom_implies(const struct atom *known, const struct atom *wanted) {
  if (known->op >= OP_IS_NULL || wanted->op >= OP_IS_NULL) return known->op == wanted->op;
  int order = compare(&known->value, &wanted->value);
  bool below = order == -1, same = order == 0, above = order == 1;
  switch (known->op) {
  case OP_LT: return (wanted->op == OP_LT || wanted->op == OP_LE || wanted->op == OP_NE) && (below || same);
  case OP_LE: return ((wanted->op == OP_LT || wanted->op == OP_NE) && below) || (wanted->op == OP_LE && (below || same));
  case OP_GT: return (wanted->op == OP_GT || wanted->op == OP_GE || wanted->op == OP_NE) && (above || same);
  case OP_GE: return ((wanted->op == OP_GT || wanted->op == OP_NE) && above) || (wanted->op == OP_GE && (above || same));
  case OP_NE: return wanted->op == OP_NE && same;
  default: break;
  }
  switch (wanted->op) { /* known: equal */
  case OP_LT: return below;
  case OP_LE: return below || same;
  case OP_EQ: return same;
  case OP_GE: return above || same;
  case OP_GT: return above;
  default: return !same;
  }
}

static bool reaches(const struct goal *goal, enum op op, const PgQuery__Node *value) {
  struct atom known = {.op = op};
  if (op >= OP_NONE || (op < OP_IS_NULL && !read_constant(value, &known.value))) return false;
  for (size_t i = 0; i < goal->any.count; i++)
    if (atom_implies(&known, &goal->any.items[i])) return true;
  return false;
}

static bool is_key(const struct goal *goal, const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  if (!node || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return false;
  const char *qualifier, *name;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  return name && strcmp(name, goal->column) == 0;
}

static enum op op_named(const char *name, bool swapped, bool negated) {
  static const struct {
    const char *name;
    enum op op, swapped, negated;
  } ops[] = {{"<", OP_LT, OP_GT, OP_GE},  {"<=", OP_LE, OP_GE, OP_GT}, {"=", OP_EQ, OP_EQ, OP_NE},
             {">=", OP_GE, OP_LE, OP_LT}, {">", OP_GT, OP_LT, OP_LE},  {"<>", OP_NE, OP_NE, OP_EQ}};
  for (size_t i = 0; name && i < sizeof ops / sizeof *ops; i++) {
    if (strcmp(ops[i].name, name) != 0) continue;
    enum op op = swapped ? ops[i].swapped : ops[i].op;
    for (size_t k = 0; negated && k < sizeof ops / sizeof *ops; k++)
      if (ops[k].op == op) return ops[k].negated;
    return op;
  }
  return OP_NONE;
}

/* "key IN (…)", "key = ANY (ARRAY[…])": one of them; negated: none of them. */
static bool list_implies(const struct goal *goal, size_t count, PgQuery__Node *const *items, bool negated) {
  for (size_t i = 0; i < count; i++) {
    bool reached = reaches(goal, negated ? OP_NE : OP_EQ, items[i]);
    if (negated ? reached : !reached) return negated;
  }
  return !negated && count;
}

static bool comparison_implies(const struct goal *goal, const PgQuery__AExpr *expression, bool negated) {
  const char *op = expression->n_name ? sql_node_string(expression->name[0]) : NULL;
  PgQuery__Node *right = expression->rexpr;
  bool between = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN,
       outside = expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN;
  if (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP) {
    if (is_key(goal, expression->lexpr)) return reaches(goal, op_named(op, false, negated), right);
    return is_key(goal, right) && reaches(goal, op_named(op, true, negated), expression->lexpr);
  }
  if (!right || !is_key(goal, expression->lexpr)) return false;
  while (right->node_case == PG_QUERY__NODE__NODE_TYPE_CAST && right->type_cast->arg) right = right->type_cast->arg;
  if (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY && op && strcmp(op, "=") == 0)
    return right->node_case == PG_QUERY__NODE__NODE_A_ARRAY_EXPR &&
           list_implies(goal, right->a_array_expr->n_elements, right->a_array_expr->elements, negated);
  if (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ALL && op && strcmp(op, "<>") == 0)
    return right->node_case == PG_QUERY__NODE__NODE_A_ARRAY_EXPR &&
           list_implies(goal, right->a_array_expr->n_elements, right->a_array_expr->elements, !negated);
  if (right->node_case != PG_QUERY__NODE__NODE_LIST) return false;
  if (expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN)
    return list_implies(goal, right->list->n_items, right->list->items, negated != (op && strcmp(op, "<>") == 0));
  if ((!between && !outside) || right->list->n_items != 2) return false;
  bool low = reaches(goal, between != negated ? OP_GE : OP_LT, right->list->items[0]),
       high = reaches(goal, between != negated ? OP_LE : OP_GT, right->list->items[1]);
  return between != negated ? low || high : low && high;
}

/* Whether the condition (or, negated, its contrary) makes one of the goal's atoms true. */
static bool implies(const struct goal *goal, const PgQuery__Node *node, bool negated) {
  if (!node) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR) return comparison_implies(goal, node->a_expr, negated);
  if (node->node_case == PG_QUERY__NODE__NODE_NULL_TEST) {
    bool null = (node->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NULL) != negated;
    return is_key(goal, node->null_test->arg) && reaches(goal, null ? OP_IS_NULL : OP_NOT_NULL, NULL);
  }
  if (node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR) return false;
  const PgQuery__BoolExpr *expression = node->bool_expr;
  if (expression->boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR) return implies(goal, expression->args[0], !negated);
  bool all = (expression->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) != negated;
  for (size_t i = 0; i < expression->n_args; i++)
    if (implies(goal, expression->args[i], negated) != all) return !all;
  return all;
}

static PgQuery__Node *check_of(struct shadow *shadow, const struct snap_constraint *constraint) {
  if (constraint->type != 'c' || !constraint->validated) return NULL;
  return sql_parse_expression(shadow->arena,
                              strncmp(constraint->definition, "CHECK ", 6) == 0 ? constraint->definition + 6 : constraint->definition);
}

/* Whether some validated CHECK of the relation reaches the goal. */
static bool checks_imply(struct shadow *shadow, const struct rel *rel, const struct goal *goal) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (implies(goal, check_of(shadow, &rel->t->constraints[i]), false)) return true;
  return false;
}

/* A constant refutes a CHECK that would make the column different from it. Text is left alone: its order is the collation's. */
bool bounds_check_refutes(struct shadow *shadow, const struct snap_constraint *check, const char *column, const PgQuery__Node *value) {
  struct atom wanted = {.op = OP_NE};
  struct goal goal = {.column = column, .any = {.items = &wanted, .count = 1}};
  if (check->type != 'c' || !read_constant(value, &wanted.value) || !wanted.value.number) return false;
  const char *text = strncmp(check->definition, "CHECK ", 6) == 0 ? check->definition + 6 : check->definition;
  return implies(&goal, sql_parse_expression(shadow->arena, text), false);
}

bool bounds_check_not_null(struct shadow *shadow, const struct rel *rel, const char *column) {
  struct atom wanted = {.op = OP_NOT_NULL};
  struct goal goal = {.column = column, .any = {.items = &wanted, .count = 1}};
  return checks_imply(shadow, rel, &goal);
}

static void want(struct shadow *shadow, struct goal *goal, enum op op, const PgQuery__Node *value, bool *ret_known) {
  struct atom atom = {.op = op};
  if (op < OP_IS_NULL && !read_constant(value, &atom.value)) {
    *ret_known = false;
    return;
  }
  struct atom *slot = LIST_PUSH(shadow->arena, &goal->any);
  if (slot) *slot = atom;
}

/* MINVALUE and MAXVALUE bound nothing. */
static bool is_open(const PgQuery__Node *node) {
  return node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF || node->node_case == PG_QUERY__NODE__NODE_PARTITION_RANGE_DATUM;
}

static bool is_range(const PgQuery__PartitionBoundSpec *bound) {
  return strcmp(bound->strategy, "r") == 0 && bound->n_lowerdatums == 1 && bound->n_upperdatums == 1;
}

static bool range_implied(struct shadow *shadow, const struct rel *part, const char *column, const PgQuery__PartitionBoundSpec *bound) {
  const PgQuery__Node *const ends[] = {bound->lowerdatums[0], bound->upperdatums[0]};
  for (size_t i = 0; i < 2; i++) {
    struct goal goal = {.column = column};
    bool known = true;
    if (is_open(ends[i])) continue;
    want(shadow, &goal, i ? OP_LT : OP_GE, ends[i], &known);
    if (!known || !checks_imply(shadow, part, &goal)) return false;
  }
  return true;
}

bool bounds_implied(struct shadow *shadow, const struct rel *parent, const struct rel *part, const PgQuery__PartitionBoundSpec *bound) {
  const char *key = key_column(shadow, parent);
  if (bound->is_default || !key) return false;
  const struct snap_column *column = snap_table_column(part->t, key);
  if (!column || (!column->not_null && !shadow_proves_not_null(shadow, part, key))) return false;
  if (is_range(bound)) return range_implied(shadow, part, key, bound);
  if (strcmp(bound->strategy, "l") != 0) return false;
  struct goal goal = {.column = key};
  bool known = true;
  for (size_t i = 0; i < bound->n_listdatums; i++) want(shadow, &goal, OP_EQ, bound->listdatums[i], &known);
  return known && checks_imply(shadow, part, &goal);
}

/* Outside the bound: the key is NULL, below or above; of a list, it is none of the values. */
static bool excluded_by(struct shadow *shadow, const struct rel *rel, const char *key, const PgQuery__PartitionBoundSpec *bound) {
  bool known = true, range = is_range(bound);
  for (size_t i = 0; i < (range ? 1 : bound->n_listdatums); i++) {
    struct goal goal = {.column = key};
    want(shadow, &goal, OP_IS_NULL, NULL, &known);
    if (!range) want(shadow, &goal, OP_NE, bound->listdatums[i], &known);
    if (range && !is_open(bound->lowerdatums[0])) want(shadow, &goal, OP_LT, bound->lowerdatums[0], &known);
    if (range && !is_open(bound->upperdatums[0])) want(shadow, &goal, OP_GE, bound->upperdatums[0], &known);
    if (!known || !checks_imply(shadow, rel, &goal)) return false;
  }
  return range || bound->n_listdatums;
}

bool bounds_excluded(struct shadow *shadow, const struct rel *parent, const struct rel *fallback,
                     const PgQuery__PartitionBoundSpec *bound) {
  const char *key = key_column(shadow, parent);
  if (!key || (!is_range(bound) && strcmp(bound->strategy, "l") != 0)) return false;
  return excluded_by(shadow, fallback, key, bound) || excluded_by(shadow, parent, key, bound); /* the parent's are inherited */
}

const char *bounds_text(struct arena *arena, const PgQuery__PartitionBoundSpec *bound) {
  if (bound->is_default) return "DEFAULT";
  if (strcmp(bound->strategy, "r") == 0) return arena_strdup(arena, "FOR VALUES FROM … TO …");
  return arena_strdup(arena, strcmp(bound->strategy, "l") == 0 ? "FOR VALUES IN (…)" : "FOR VALUES WITH (…)");
}
