/* facts.c - what names mean and what the schema promises. A fact that can't be shown is not one. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

/* --- names --- */

const struct query_binding *rewrite_column(struct rewrite *rw, const PgQuery__Node *node) {
  if (!node || node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return NULL;
  const struct query_binding *binding = query_binding(rw->names, node->column_ref);
  return binding && binding->rte && !binding->output && binding->column >= 0 ? binding : NULL;
}

bool rewrite_same_column(const struct query_binding *a, const struct query_binding *b) {
  return a && b && a->rte == b->rte && a->column == b->column;
}

struct reference {
  struct rewrite *rw;
  const struct query_rte *rte;
  const struct query_scope *scope;
  bool found;
};

static const struct query_binding *bound(struct rewrite *rw, const PgQuery__Node *node) {
  return query_binding(rw->names, node->column_ref);
}

static bool is_star(const PgQuery__Node *node) {
  return node->column_ref->n_fields == 1 && node->column_ref->fields[0]->node_case == PG_QUERY__NODE__NODE_A_STAR;
}

static bool see_reference(void *arg, PgQuery__Node *node) {
  struct reference *reference = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const struct query_binding *binding = bound(reference->rw, node);
    if (!binding || binding->rte == reference->rte) reference->found = true;
    if (binding && binding->rte && binding->rte->kind == QUERY_JOIN) reference->found = true; /* it may be a member's */
    if (binding && binding->output) reference->found = true;
  }
  return !reference->found;
}

bool rewrite_refers(struct rewrite *rw, PgQuery__Node *node, const struct query_rte *rte) {
  struct reference reference = {rw, rte, NULL, false};
  sql_walk(node, see_reference, &reference);
  return reference.found;
}

/* The scope an entry belongs to is one around `scope`. */
static bool is_around(const struct query_scope *scope, const struct query_rte *rte) {
  for (const struct query_scope *at = scope->parent; at; at = at->parent)
    for (size_t i = 0; i < at->rte_count; i++)
      if (at->rtes[i] == rte) return true;
  return false;
}

static bool see_outer(void *arg, PgQuery__Node *node) {
  struct reference *reference = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const struct query_binding *binding = bound(reference->rw, node);
    if (!binding ? !is_star(node) : binding->rte && is_around(reference->scope, binding->rte)) reference->found = true;
  }
  return !reference->found;
}

bool rewrite_refers_up(struct rewrite *rw, PgQuery__Node *node, const struct query_scope *scope) {
  struct reference reference = {rw, NULL, scope, false};
  sql_walk(node, see_outer, &reference);
  return reference.found;
}

struct move {
  struct rewrite *rw;
  const struct query_scope *inner;
  bool change, fails;
};

static bool named_in(const struct query_scope *scope, const char *name) {
  for (size_t i = 0; i < scope->rte_count; i++)
    if (scope->rtes[i]->name && strcmp(scope->rtes[i]->name, name) == 0) return true;
  return false;
}

static void qualify(struct move *move, PgQuery__Node *node, const struct query_rte *rte) {
  PgQuery__ColumnRef *ref = node->column_ref;
  const char *table = sql_ident(move->rw->arena, rte->name), *column = sql_ident(move->rw->arena, sql_node_string(ref->fields[0]));
  const PgQuery__Node *made = table && column ? rewrite_parse(move->rw, "%s.%s", table, column) : NULL;
  if (!made || made->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return;
  ref->n_fields = made->column_ref->n_fields;
  ref->fields = made->column_ref->fields;
}

static bool see_moved(void *arg, PgQuery__Node *node) {
  struct move *move = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SUB_LINK) move->fails = true; /* scopes of its own: too much to follow */
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return !move->fails;
  const struct query_binding *binding = bound(move->rw, node);
  const struct query_rte *rte = binding && !binding->output && binding->column >= 0 ? binding->rte : NULL;
  if (!rte || !rte->name || rte->kind == QUERY_JOIN || named_in(move->inner, rte->name))
    move->fails = true;
  else if (node->column_ref->n_fields == 1 && move->change)
    qualify(move, node, rte);
  return false;
}

bool rewrite_move_in(struct rewrite *rw, PgQuery__Node *node, const struct query_scope *inner, bool change) {
  struct move move = {rw, inner, change, false};
  sql_walk(node, see_moved, &move);
  return !move.fails;
}

const char *rewrite_column_text(struct rewrite *rw, const struct query_binding *binding) {
  const char *column = sql_ident(rw->arena, binding->rte->columns[binding->column].name);
  const char *table = binding->rte->name ? sql_ident(rw->arena, binding->rte->name) : NULL;
  if (!column) return NULL;
  return table ? arena_printf(rw->arena, "%s.%s", table, column) : column;
}

/* --- what can't fail --- */

struct safety {
  struct rewrite *rw;
  bool fails;
};

/* Types that rules know, enums, and domains over such: comparing their values can't fail. */
static bool compares_safely(struct rewrite *rw, const PgQuery__Node *node) {
  const char *type = query_expression_type(rw->names, node, rw->arena);
  for (int depth = 0; type && depth < 8; depth++) {
    if (rewrite_type_of(type) != TYPE_OTHER) return true;
    const char *base = NULL;
    for (size_t i = 0; i < rw->snapshot->enum_count; i++)
      if (snapshot_type_is(type, rw->snapshot->enums[i].schema, rw->snapshot->enums[i].name)) return true;
    for (size_t i = 0; !base && i < rw->snapshot->domain_count; i++)
      if (snapshot_type_is(type, rw->snapshot->domains[i].schema, rw->snapshot->domains[i].name)) base = rw->snapshot->domains[i].base_type;
    type = base;
  }
  return false;
}

/* A pattern that ends within an escape is an error, but only where a text gets that far. */
static bool safe_pattern(const PgQuery__Node *pattern) {
  const char *text = rewrite_text_literal(pattern);
  size_t backslashes = 0, len = text ? strlen(text) : 0;
  while (backslashes < len && text[len - 1 - backslashes] == '\\') backslashes++;
  return text && backslashes % 2 == 0;
}

static bool safe_comparison(struct rewrite *rw, const PgQuery__AExpr *expr) {
  const char *name = expr->n_name == 1 ? sql_node_string(expr->name[0]) : NULL;
  static const char *const safe[] = {"=", "<>", "<", ">", "<=", ">=", "~~", "!~~"};
  bool known = false;
  for (size_t i = 0; name && i < sizeof safe / sizeof *safe; i++) known |= strcmp(safe[i], name) == 0;
  if (known && strchr(name, '~') && !safe_pattern(expr->rexpr)) return false;
  switch (expr->kind) {
  case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
  case PG_QUERY__A__EXPR__KIND__AEXPR_DISTINCT:
  case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_DISTINCT:
  case PG_QUERY__A__EXPR__KIND__AEXPR_IN: break;
  case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
  case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN: known = true; break;
  default: return false;
  }
  bool safe_type = expr->lexpr && !rewrite_text_literal(expr->lexpr) && compares_safely(rw, expr->lexpr);
  bool made =
      expr->lexpr && !rewrite_column(rw, expr->lexpr) && expr->lexpr->node_case != PG_QUERY__NODE__NODE_ROW_EXPR; /* of what is safe */
  return known && (safe_type || made);
}

/* now() - interval '7 days' and the like: they fail for all rows or for none, and with such literals for none. */
static bool safe_shift(struct rewrite *rw, const PgQuery__AExpr *expr) {
  const char *name = expr->n_name == 1 ? sql_node_string(expr->name[0]) : NULL;
  if (expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || !name || !expr->lexpr || (strcmp(name, "+") != 0 && strcmp(name, "-") != 0))
    return false;
  bool clock = expr->lexpr->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION || rewrite_is_builtin(rw, expr->lexpr, "now", 0);
  const PgQuery__Node *by = expr->rexpr;
  return clock && (rewrite_is_literal(by) || (by->node_case == PG_QUERY__NODE__NODE_TYPE_CAST && rewrite_is_literal(by->type_cast->arg)));
}

/* Sums of integers and numerics go up to where no table reaches; those of floats overflow. */
static bool safe_sum(struct rewrite *rw, const PgQuery__Node *node) {
  if (!rewrite_is_builtin(rw, node, "sum", 1) && !rewrite_is_builtin(rw, node, "avg", 1)) return false;
  enum rewrite_type type = rewrite_column(rw, node->func_call->args[0]) ? rewrite_type(rw, node->func_call->args[0]) : TYPE_OTHER;
  return rewrite_is_int(type) || type == TYPE_NUMERIC;
}

static bool safe_call(struct rewrite *rw, const PgQuery__Node *node) {
  static const struct {
    const char *name;
    size_t arguments;
  } safe[] = {{"now", 0}, {"lower", 1}, {"upper", 1}, {"length", 1}, {"count", 0}, {"count", 1}, {"min", 1}, {"max", 1}};
  for (size_t i = 0; i < sizeof safe / sizeof *safe; i++)
    if (rewrite_is_builtin(rw, node, safe[i].name, safe[i].arguments)) return true;
  return safe_sum(rw, node) || (rewrite_is_builtin(rw, node, "date_trunc", 2) && rewrite_text_literal(node->func_call->args[0]));
}

/* Arithmetic in numeric, which does not overflow; / by a literal alone. */
static bool is_numeric(struct rewrite *rw, const PgQuery__Node *node) {
  if (rewrite_is_literal(node)) return node->a_const->val_case == PG_QUERY__A__CONST__VAL_FVAL;
  if (rewrite_column(rw, node)) return rewrite_type(rw, node) == TYPE_NUMERIC;
  return safe_sum(rw, node) && rewrite_is_builtin(rw, node, "avg", 1);
}

static bool safe_arithmetic(struct rewrite *rw, const PgQuery__AExpr *expr) {
  const char *name = expr->n_name == 1 ? sql_node_string(expr->name[0]) : NULL;
  if (expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || !name || name[1] || !strchr("+-*", *name) || !expr->lexpr) return false;
  enum rewrite_type left = rewrite_type(rw, expr->lexpr), right = rewrite_type(rw, expr->rexpr);
  bool floats = left == TYPE_FLOAT || right == TYPE_FLOAT || rewrite_text_literal(expr->lexpr) || rewrite_text_literal(expr->rexpr);
  return !floats && (is_numeric(rw, expr->lexpr) || is_numeric(rw, expr->rexpr));
}

static bool safe_cast(struct rewrite *rw, const PgQuery__Node *node) {
  const PgQuery__Node *arg = node->type_cast->arg;
  if (rewrite_is_literal(arg)) return true;
  const char *name = rewrite_cast_name(node);
  enum rewrite_type from = rewrite_column(rw, arg) ? rewrite_type(rw, arg) : TYPE_OTHER;
  if (!name || from == TYPE_OTHER) return false;
  return strcmp(name, "text") == 0 || (strcmp(name, "date") == 0 && (from == TYPE_TIMESTAMP || from == TYPE_TIMESTAMPTZ));
}

/* A scalar subquery gives one row at most: it is an aggregate without groups. */
static bool safe_sublink(struct rewrite *rw, const PgQuery__SubLink *link) {
  if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK || link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK)
    return true;
  const PgQuery__SelectStmt *select =
      link->subselect && link->subselect->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? link->subselect->select_stmt : NULL;
  return link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK && select && rewrite_is_plain(select) &&
         rewrite_aggregates(rw, select);
}

static bool see_unsafe(void *arg, PgQuery__Node *node) {
  struct safety *safety = arg;
  bool safe = false;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF: return false;
  case PG_QUERY__NODE__NODE_A_CONST:
  case PG_QUERY__NODE__NODE_PARAM_REF:
  case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
  case PG_QUERY__NODE__NODE_BOOL_EXPR:
  case PG_QUERY__NODE__NODE_NULL_TEST:
  case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
  case PG_QUERY__NODE__NODE_COALESCE_EXPR:
  case PG_QUERY__NODE__NODE_STRING: /* an operator's name */
  case PG_QUERY__NODE__NODE_A_STAR:
  case PG_QUERY__NODE__NODE_RES_TARGET:
  case PG_QUERY__NODE__NODE_RANGE_VAR:
  case PG_QUERY__NODE__NODE_JOIN_EXPR:
  case PG_QUERY__NODE__NODE_SORT_BY:
  case PG_QUERY__NODE__NODE__NOT_SET: /* DISTINCT */
  case PG_QUERY__NODE__NODE_LIST: return true;
  case PG_QUERY__NODE__NODE_SELECT_STMT: safe = !node->select_stmt->with_clause; break;
  case PG_QUERY__NODE__NODE_SUB_LINK: safe = safe_sublink(safety->rw, node->sub_link); break;
  case PG_QUERY__NODE__NODE_FUNC_CALL: safe = safe_call(safety->rw, node); break;
  case PG_QUERY__NODE__NODE_TYPE_CAST: safety->fails |= !safe_cast(safety->rw, node); return false;
  case PG_QUERY__NODE__NODE_A_EXPR:
    safe = safe_comparison(safety->rw, node->a_expr) || safe_shift(safety->rw, node->a_expr) || safe_arithmetic(safety->rw, node->a_expr);
    break;
  default: break;
  }
  safety->fails |= !safe;
  return !safety->fails;
}

bool rewrite_is_safe(struct rewrite *rw, PgQuery__Node *node) {
  struct safety safety = {rw, false};
  sql_walk(node, see_unsafe, &safety);
  return !safety.fails;
}

/* --- types --- */

enum rewrite_type rewrite_type_of(const char *type) {
  static const struct {
    const char *name;
    enum rewrite_type type;
  } types[] = {{"smallint", TYPE_INT2}, {"integer", TYPE_INT4},
               {"bigint", TYPE_INT8},   {"numeric", TYPE_NUMERIC},
               {"real", TYPE_FLOAT},    {"double precision", TYPE_FLOAT},
               {"text", TYPE_TEXT},     {"character varying", TYPE_TEXT},
               {"boolean", TYPE_BOOL},  {"date", TYPE_DATE},
               {"uuid", TYPE_UUID}};
  if (!type) return TYPE_OTHER;
  size_t len = strlen(type);
  const char *paren = strchr(type, '(');
  if (len > 2 && strcmp(type + len - 2, "[]") == 0) return TYPE_OTHER;
  if (strncmp(type, "timestamp", 9) == 0 && (type[9] == ' ' || type[9] == '('))
    return strstr(type, "with time zone") ? TYPE_TIMESTAMPTZ : TYPE_TIMESTAMP;
  size_t name = paren ? (size_t)(paren - type) : len;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strlen(types[i].name) == name && strncmp(types[i].name, type, name) == 0) return types[i].type;
  return TYPE_OTHER;
}

enum rewrite_type rewrite_type(struct rewrite *rw, const PgQuery__Node *node) {
  if (rewrite_text_literal(node)) return TYPE_OTHER; /* unknown: it takes the type of what it is compared with */
  return rewrite_type_of(query_expression_type(rw->names, node, rw->arena));
}

bool rewrite_is_int(enum rewrite_type type) { return type == TYPE_INT2 || type == TYPE_INT4 || type == TYPE_INT8; }

bool rewrite_comparable(enum rewrite_type a, enum rewrite_type b) {
  return a != TYPE_OTHER && (a == b || (rewrite_is_int(a) && rewrite_is_int(b)));
}

/* --- NOT NULL --- */

static bool declared_not_null(const struct snap_table *table, const struct snap_column *column) {
  if (!column->not_null || (table->kind != SNAP_TABLE && table->kind != SNAP_PARTITIONED)) return false;
  for (size_t i = 0; i < table->constraint_count; i++) { /* NOT NULL … NOT VALID, since 18 */
    const struct snap_constraint *constraint = &table->constraints[i];
    if (constraint->type == 'n' && !constraint->validated && constraint->column_count == 1 &&
        strcmp(constraint->columns[0], column->name) == 0)
      return false;
  }
  return true;
}

bool rewrite_declared(const struct query_column *column) {
  return column && column->table && column->column && declared_not_null(column->table, column->column);
}

bool rewrite_not_null(struct rewrite *rw, const struct query_binding *binding) {
  if (rw->local_only || !binding || query_bound_nullable(binding)) return false;
  return rewrite_declared(query_bound_column(binding));
}

void rewrite_state_not_null(struct rewrite *rw, const struct query_binding *binding) {
  const struct query_column *column = query_bound_column(binding);
  if (column->table) rewrite_assume(rw, "%s.%s is NOT NULL", column->table->qualified, column->column->name);
}

bool rewrite_filtered(struct rewrite *rw, const PgQuery__SelectStmt *select, const struct query_binding *binding) {
  PgQuery__Node **list;
  size_t count = rewrite_conjuncts(rw, select->where_clause, &list);
  for (size_t i = 0; i < count; i++) {
    struct rewrite_comparison comparison;
    const PgQuery__Node *node = list[i];
    if (node->node_case == PG_QUERY__NODE__NODE_NULL_TEST && node->null_test->nulltesttype == PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL &&
        rewrite_same_column(rewrite_column(rw, node->null_test->arg), binding))
      return true;
    if (rewrite_is_comparison(node, &comparison) && rewrite_type_of(query_bound_column(binding)->type) != TYPE_OTHER &&
        (rewrite_same_column(rewrite_column(rw, comparison.left), binding) ||
         rewrite_same_column(rewrite_column(rw, comparison.right), binding)))
      return true;
  }
  return false;
}

/* --- keys --- */

bool *rewrite_flags(struct rewrite *rw, const struct snap_table *table) {
  return arena_calloc(rw->arena, table->column_count + 1, sizeof(bool));
}

bool rewrite_flag(bool *flags, const struct query_binding *binding) {
  const struct query_column *column = query_bound_column(binding);
  if (!column || !column->table || binding->rte->table != column->table) return false;
  flags[column->column - column->table->columns] = true;
  return true;
}

static bool is_deferrable(const struct snap_table *table, const struct snap_index *index) {
  for (size_t i = 0; i < table->constraint_count; i++)
    if (table->constraints[i].index && strcmp(table->constraints[i].index, index->name) == 0) return table->constraints[i].deferrable;
  return false;
}

static bool covers(const struct snap_table *table, const struct snap_index *index, const bool *columns, bool not_null) {
  for (size_t i = 0; i < index->column_count; i++) {
    const struct snap_column *column = snap_table_column(table, index->columns[i]);
    if (!column || !columns[column - table->columns]) return false; /* also an expression */
    if (not_null && !declared_not_null(table, column)) return false;
  }
  return index->column_count > 0;
}

bool rewrite_unique(struct rewrite *rw, const struct snap_table *table, const bool *columns, bool not_null, struct rewrite_key *ret_key) {
  if (rw->local_only || !table || (table->kind != SNAP_TABLE && table->kind != SNAP_PARTITIONED) || !columns) return false;
  for (size_t i = 0; i < table->index_count; i++) {
    const struct snap_index *index = &table->indexes[i];
    if (!index->unique || !index->valid || index->predicate || strcmp(index->method, "btree") != 0) continue;
    if (is_deferrable(table, index) || !covers(table, index, columns, not_null)) continue;
    *ret_key = (struct rewrite_key){index->name, index->columns, index->column_count};
    return true;
  }
  return false;
}

void rewrite_state_unique(struct rewrite *rw, const struct snap_table *table, const struct rewrite_key *key) {
  const char *columns = sql_ident_list(rw->arena, key->columns, key->column_count);
  rewrite_assume(rw, "%s (%s) is unique (%s)", table->qualified, columns ? columns : "", key->name);
}
