/* edit.c - reading and changing trees. New parts are written as text and parsed: shorter than making nodes, and sure to be what the grammar
 * makes of them. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#include <errno.h>
#include <stdlib.h>

/* --- text and back --- */

static bool binds_tightest(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF:
  case PG_QUERY__NODE__NODE_FUNC_CALL:
  case PG_QUERY__NODE__NODE_PARAM_REF:
  case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
  case PG_QUERY__NODE__NODE_COALESCE_EXPR: return true;
  case PG_QUERY__NODE__NODE_A_CONST: return node->a_const->val_case != PG_QUERY__A__CONST__VAL_IVAL || node->a_const->ival->ival >= 0;
  default: return false;
  }
}

const char *rewrite_print(struct rewrite *rw, PgQuery__Node *node) {
  const char *text = node ? sql_expression(rw->arena, node) : NULL;
  return !text || binds_tightest(node) ? text : arena_printf(rw->arena, "(%s)", text);
}

PgQuery__Node *rewrite_parse(struct rewrite *rw, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *text = arena_vprintf(rw->arena, fmt, args);
  va_end(args);
  return text ? sql_parse_expression(rw->arena, text) : NULL;
}

PgQuery__SelectStmt *rewrite_parse_select(struct rewrite *rw, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *text = arena_vprintf(rw->arena, fmt, args);
  va_end(args);
  const PgQuery__Node *node = text ? sql_parse_statement(rw->arena, text) : NULL;
  return node && node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt : NULL;
}

PgQuery__Node *rewrite_select_node(struct rewrite *rw, PgQuery__SelectStmt *select) {
  PgQuery__Node *node = ARENA_NEW(rw->arena, PgQuery__Node);
  if (!node) return NULL;
  pg_query__node__init(node);
  node->node_case = PG_QUERY__NODE__NODE_SELECT_STMT;
  node->select_stmt = select;
  return node;
}

PgQuery__Node *rewrite_copy(struct rewrite *rw, PgQuery__Node *expression) {
  return sql_parse_expression(rw->arena, sql_expression(rw->arena, expression));
}

/* --- conditions --- */

struct conditions {
  struct rewrite *rw;
  rewrite_condition visit;
  void *arg;
};

static bool in_condition(const struct conditions *c, struct query_scope *scope, PgQuery__Node *node, bool positive) {
  if (!node) return false;
  if (c->visit(c->rw, scope, node, positive, c->arg)) return true;
  if (node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR) return false;
  bool below = positive && node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR;
  for (size_t i = 0; i < node->bool_expr->n_args; i++)
    if (in_condition(c, scope, node->bool_expr->args[i], below)) return true;
  return false;
}

static bool in_joins(const struct conditions *c, struct query_scope *scope, const PgQuery__Node *item) {
  if (!item || item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR) return false;
  return in_joins(c, scope, item->join_expr->larg) || in_joins(c, scope, item->join_expr->rarg) ||
         in_condition(c, scope, item->join_expr->quals, true);
}

bool rewrite_conditions(struct rewrite *rw, rewrite_condition visit, void *arg) {
  const struct conditions c = {rw, visit, arg};
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    struct query_scope *scope = rw->names->scopes[s];
    const PgQuery__SelectStmt *select = scope->select;
    for (size_t i = 0; i < select->n_from_clause; i++)
      if (in_joins(&c, scope, select->from_clause[i])) return true;
    if (in_condition(&c, scope, select->where_clause, true) || in_condition(&c, scope, select->having_clause, true)) return true;
  }
  return false;
}

static bool is_and(const PgQuery__Node *node) {
  return node && node->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR && node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
}

static size_t count_conjuncts(const PgQuery__Node *node) {
  if (!is_and(node)) return node != NULL;
  size_t count = 0;
  for (size_t i = 0; i < node->bool_expr->n_args; i++) count += count_conjuncts(node->bool_expr->args[i]);
  return count;
}

static PgQuery__Node **list_conjuncts(PgQuery__Node *node, PgQuery__Node **at) {
  if (!is_and(node)) {
    if (node) *at++ = node;
    return at;
  }
  for (size_t i = 0; i < node->bool_expr->n_args; i++) at = list_conjuncts(node->bool_expr->args[i], at);
  return at;
}

size_t rewrite_conjuncts(struct rewrite *rw, PgQuery__Node *root, PgQuery__Node ***ret_list) {
  size_t count = count_conjuncts(root);
  *ret_list = arena_calloc(rw->arena, count + 1, sizeof **ret_list);
  if (!*ret_list) return 0;
  list_conjuncts(root, *ret_list);
  return count;
}

/* True when the node itself goes. */
static bool drop_below(PgQuery__Node *node, const PgQuery__Node *conjunct) {
  if (node == conjunct) return true;
  if (!is_and(node)) return false;
  PgQuery__BoolExpr *list = node->bool_expr;
  for (size_t i = 0; i < list->n_args; i++) {
    if (!drop_below(list->args[i], conjunct)) continue;
    memmove(&list->args[i], &list->args[i + 1], (list->n_args - i - 1) * sizeof(PgQuery__Node *));
    list->n_args--;
    break;
  }
  if (list->n_args == 1) {
    const PgQuery__Node *last = list->args[0];
    *node = *last;
  }
  return is_and(node) && node->bool_expr->n_args == 0;
}

void rewrite_drop_conjunct(PgQuery__Node **root, PgQuery__Node *conjunct) {
  if (*root && drop_below(*root, conjunct)) *root = NULL;
}

void rewrite_add_conjunct(struct rewrite *rw, PgQuery__Node **root, PgQuery__Node *conjunct) {
  if (!conjunct) return;
  if (!*root) {
    *root = conjunct;
    return;
  }
  bool extend = is_and(*root);
  size_t count = extend ? (*root)->bool_expr->n_args : 1;
  PgQuery__Node **args = arena_calloc(rw->arena, count + 1, sizeof *args), *node = ARENA_NEW(rw->arena, PgQuery__Node);
  PgQuery__BoolExpr *list = ARENA_NEW(rw->arena, PgQuery__BoolExpr);
  if (!args || !node || !list) return;
  if (extend)
    memcpy(args, (*root)->bool_expr->args, count * sizeof *args);
  else
    args[0] = *root;
  args[count] = conjunct;
  pg_query__bool_expr__init(list);
  pg_query__node__init(node);
  list->boolop = PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
  list->n_args = count + 1;
  list->args = args;
  node->node_case = PG_QUERY__NODE__NODE_BOOL_EXPR;
  node->bool_expr = list;
  *root = node;
}

/* --- what a SELECT is --- */

bool rewrite_is_select(const PgQuery__SelectStmt *select) {
  return select && select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && !select->n_values_lists && select->n_target_list;
}

bool rewrite_is_plain(const PgQuery__SelectStmt *select) {
  return rewrite_is_select(select) && !select->with_clause && !select->n_group_clause && !select->having_clause &&
         !select->n_window_clause && !select->n_sort_clause && !select->limit_count && !select->limit_offset &&
         !select->n_distinct_clause && select->n_from_clause;
}

bool rewrite_is_distinct(const PgQuery__SelectStmt *select) {
  return select->n_distinct_clause == 1 && select->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET;
}

struct calls {
  struct rewrite *rw;
  bool windows, found;
};

bool rewrite_is_aggregate(struct rewrite *rw, const PgQuery__FuncCall *call) {
  for (size_t i = 0; i < rw->names->function_count; i++) {
    const struct query_function *function = &rw->names->functions[i];
    if (function->call != call) continue;
    if (function->function) return !function->function->kind || *function->function->kind == 'a';
    return !function->builtin || (function->builtin->kinds & BUILTIN_AGGREGATE);
  }
  return true; /* made since, or unknown: it may be */
}

static bool see_call(void *arg, PgQuery__Node *node) {
  struct calls *calls = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
    const PgQuery__FuncCall *call = node->func_call;
    if (calls->windows ? call->over != NULL : !call->over && rewrite_is_aggregate(calls->rw, call)) calls->found = true;
  } else if (!calls->windows &&
             (node->node_case == PG_QUERY__NODE__NODE_JSON_OBJECT_AGG || node->node_case == PG_QUERY__NODE__NODE_JSON_ARRAY_AGG)) {
    calls->found = true;
  }
  return !calls->found;
}

static bool calls_in(struct rewrite *rw, const PgQuery__SelectStmt *select, bool windows) {
  struct calls calls = {rw, windows, false};
  for (size_t i = 0; i < select->n_target_list; i++) sql_walk(select->target_list[i], see_call, &calls);
  for (size_t i = 0; i < select->n_sort_clause; i++) sql_walk(select->sort_clause[i], see_call, &calls);
  sql_walk(select->having_clause, see_call, &calls);
  return calls.found;
}

bool rewrite_aggregates(struct rewrite *rw, const PgQuery__SelectStmt *select) { return calls_in(rw, select, false); }
bool rewrite_windows(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  return select->n_window_clause || calls_in(rw, select, true);
}

bool rewrite_sorts_by_aggregate(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  struct calls calls = {rw, false, false};
  for (size_t i = 0; i < select->n_sort_clause; i++) sql_walk(select->sort_clause[i], see_call, &calls);
  return calls.found;
}

static bool see_sublink(void *arg, PgQuery__Node *node) {
  bool *found = arg;
  *found |= node->node_case == PG_QUERY__NODE__NODE_SUB_LINK;
  return !*found;
}

bool rewrite_has_sublink(PgQuery__Node *node) {
  bool found = false;
  sql_walk(node, see_sublink, &found);
  return found;
}

const char *rewrite_cast_name(const PgQuery__Node *node) {
  if (!node || node->node_case != PG_QUERY__NODE__NODE_TYPE_CAST) return NULL;
  const PgQuery__TypeName *type = node->type_cast->type_name;
  const char *schema, *name;
  sql_name_split(type->n_names, type->names, &schema, &name);
  bool plain = !type->n_array_bounds && !type->n_typmods && (!schema || strcmp(schema, "pg_catalog") == 0);
  return plain ? name : NULL;
}

/* --- new names --- */

static bool is_taken(struct rewrite *rw, const char *name) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    const struct query_scope *scope = rw->names->scopes[s];
    for (size_t i = 0; i < scope->rte_count; i++) {
      if (scope->rtes[i]->name && strcmp(scope->rtes[i]->name, name) == 0) return true;
      for (size_t c = 0; c < scope->rtes[i]->column_count; c++)
        if (scope->rtes[i]->columns[c].name && strcmp(scope->rtes[i]->columns[c].name, name) == 0) return true;
    }
    const PgQuery__WithClause *with = scope->select->with_clause;
    for (size_t i = 0; with && i < with->n_ctes; i++)
      if (strcmp(with->ctes[i]->common_table_expr->ctename, name) == 0) return true;
  }
  for (size_t i = 0; i < rw->snapshot->table_count; i++)
    if (strcmp(rw->snapshot->tables[i].name, name) == 0) return true;
  return false;
}

const char *rewrite_fresh_name(struct rewrite *rw, const char *base) {
  const char *name = base;
  for (int i = 2; name && is_taken(rw, name) && i < 1000; i++) name = arena_printf(rw->arena, "%s%d", base, i);
  return name;
}

static bool is_lone_star(const PgQuery__Node *target) {
  const PgQuery__Node *val = target->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? target->res_target->val : NULL;
  return val && val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && val->column_ref->n_fields == 1 &&
         val->column_ref->fields[0]->node_case == PG_QUERY__NODE__NODE_A_STAR;
}

static const char *stars(struct rewrite *rw, const struct query_scope *scope) {
  const char *text = "";
  for (size_t i = 0; text && i < scope->rte_count; i++) {
    const struct query_rte *rte = scope->rtes[i];
    if (rte->kind == QUERY_JOIN || rte->merged || rte->hidden || rte->qualified_only || !rte->name) return NULL;
    const char *name = sql_ident(rw->arena, rte->name);
    text = name ? arena_printf(rw->arena, "%s%s%s.*", text, i ? ", " : "", name) : NULL;
  }
  return text && *text ? text : NULL;
}

bool rewrite_expand_star(struct rewrite *rw, struct query_scope *scope, PgQuery__SelectStmt *select, bool change) {
  size_t at = 0;
  while (at < select->n_target_list && !is_lone_star(select->target_list[at])) at++;
  if (at == select->n_target_list) return true;
  const char *text = stars(rw, scope);
  const PgQuery__SelectStmt *list = text ? rewrite_parse_select(rw, "SELECT %s", text) : NULL;
  if (!list || !change) return list != NULL;
  size_t count = select->n_target_list - 1 + list->n_target_list;
  PgQuery__Node **targets = arena_calloc(rw->arena, count + 1, sizeof *targets);
  if (!targets) return false;
  memcpy(targets, select->target_list, at * sizeof *targets);
  memcpy(targets + at, list->target_list, list->n_target_list * sizeof *targets);
  memcpy(targets + at + list->n_target_list, select->target_list + at + 1, (select->n_target_list - at - 1) * sizeof *targets);
  select->target_list = targets;
  select->n_target_list = count;
  return rewrite_expand_star(rw, scope, select, change);
}

/* --- comparisons --- */

static const struct {
  const char *op, *flipped, *negated;
} operators[] = {{"=", "=", "<>"}, {"<>", "<>", "="}, {"<", ">", ">="}, {">", "<", "<="}, {"<=", ">=", ">"}, {">=", "<=", "<"}};

static size_t operator_index(const char *op) {
  size_t i = 0;
  while (i < sizeof operators / sizeof *operators && strcmp(operators[i].op, op) != 0) i++;
  return i;
}

bool rewrite_is_comparison(const PgQuery__Node *node, struct rewrite_comparison *ret_comparison) {
  if (!node || node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
  PgQuery__AExpr *expr = node->a_expr;
  const char *name = expr->n_name == 1 ? sql_node_string(expr->name[0]) : NULL;
  if (expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || !name || !expr->lexpr || !expr->rexpr) return false;
  size_t at = operator_index(name);
  if (at == sizeof operators / sizeof *operators) return false;
  *ret_comparison = (struct rewrite_comparison){expr, expr->lexpr, expr->rexpr, operators[at].op};
  return true;
}

const char *rewrite_flipped(const char *op) { return operators[operator_index(op)].flipped; }
const char *rewrite_negated(const char *op) { return operators[operator_index(op)].negated; }

void rewrite_flip(struct rewrite_comparison *comparison) {
  PgQuery__Node *left = comparison->left;
  comparison->left = comparison->right;
  comparison->right = left;
  comparison->op = rewrite_flipped(comparison->op);
}

/* --- constants --- */

static bool read_int(const char *text, int64_t *ret_value) {
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno || *end || end == text) return false;
  *ret_value = value;
  return true;
}

bool rewrite_int_literal(const PgQuery__Node *node, int64_t *ret_value) {
  if (!node) return false;
  if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR && node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && !node->a_expr->lexpr &&
      node->a_expr->n_name == 1 && strcmp(sql_node_string(node->a_expr->name[0]), "-") == 0) {
    int64_t value;
    if (!rewrite_int_literal(node->a_expr->rexpr, &value) || value == INT64_MIN) return false;
    *ret_value = -value;
    return true;
  }
  if (node->node_case != PG_QUERY__NODE__NODE_A_CONST || node->a_const->isnull) return false;
  const PgQuery__AConst *constant = node->a_const;
  if (constant->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
    *ret_value = constant->ival->ival;
    return true;
  }
  return constant->val_case == PG_QUERY__A__CONST__VAL_FVAL && read_int(constant->fval->fval, ret_value); /* beyond int4 */
}

const char *rewrite_text_literal(const PgQuery__Node *node) {
  bool text = node && node->node_case == PG_QUERY__NODE__NODE_A_CONST && !node->a_const->isnull &&
              node->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
  return text ? node->a_const->sval->sval : NULL;
}

bool rewrite_is_literal(const PgQuery__Node *node) {
  return node && node->node_case == PG_QUERY__NODE__NODE_A_CONST && !node->a_const->isnull;
}

bool rewrite_is_value(struct rewrite *rw, PgQuery__Node *node) {
  (void)rw;
  if (!node) return false;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_A_CONST:
  case PG_QUERY__NODE__NODE_PARAM_REF:
  case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION: return true;
  case PG_QUERY__NODE__NODE_TYPE_CAST: return rewrite_is_literal(node->type_cast->arg); /* fails at once or never */
  default: return false;
  }
}

struct constant {
  struct rewrite *rw;
  bool varies;
};

static bool see_varying(void *arg, PgQuery__Node *node) {
  struct constant *constant = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF:
  case PG_QUERY__NODE__NODE_SUB_LINK:
  case PG_QUERY__NODE__NODE_SET_TO_DEFAULT: constant->varies = true; break;
  case PG_QUERY__NODE__NODE_FUNC_CALL:
    constant->varies |= node->func_call->over || rewrite_is_aggregate(constant->rw, node->func_call);
    break;
  default: break;
  }
  return !constant->varies;
}

/* Volatile functions are out of the question: the statement has none (propose.c). */
bool rewrite_is_constant(struct rewrite *rw, PgQuery__Node *node) {
  struct constant constant = {rw, node == NULL};
  sql_walk(node, see_varying, &constant);
  return !constant.varies;
}

bool rewrite_is_builtin(struct rewrite *rw, const PgQuery__Node *node, const char *name, size_t arguments) {
  if (!node || node->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return false;
  const PgQuery__FuncCall *call = node->func_call;
  if (call->n_args != arguments || call->over || call->agg_within_group || call->func_variadic) return false;
  for (size_t i = 0; i < rw->names->function_count; i++) {
    const struct query_function *function = &rw->names->functions[i];
    if (function->call == call)
      return function->builtin && !*function->builtin->extension && !function->function && strcmp(function->name, name) == 0;
  }
  return false;
}
