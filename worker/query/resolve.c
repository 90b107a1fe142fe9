/* resolve.c - a SELECT from its WITH to its LIMIT, in the order in which PostgreSQL analyses it.
 *
 * A scope is one SELECT's range table and its outputs; a subquery's scope has the one around it as parent. What may be seen of the parent
 * is its rtes from visible_from on: none for a subquery in FROM that is not LATERAL, a join's own members for its ON. */
#include "worker/query/resolve_impl.h"

#include <stdlib.h>

#include "common/json.h"
#include "worker/sql/tree.h"

void *resolve_grow(struct resolver *r, void *items, size_t *count, size_t size) {
  void **list = items;
  if (*count == 0 || (*count >= 8 && (*count & (*count - 1)) == 0)) { /* full: 0, 8, 16, 32, … */
    size_t room = *count ? *count * 2 : 8;
    void *bigger = arena_calloc(r->arena, room, size);
    if (!bigger) {
      r->oom = true;
      return NULL;
    }
    if (*count) memcpy(bigger, *list, *count * size);
    *list = bigger;
  }
  return (char *)*list + (*count)++ * size;
}

void resolve_problem(struct resolver *r, enum query_name_kind kind, int position, const char *name, const struct suggest *suggest,
                     const char *fmt, ...) {
  struct query_resolution *out = r->out;
  for (size_t i = 0; i < out->problem_count; i++) /* said once */
    if (out->problems[i].kind == kind && strcmp(out->problems[i].name, name) == 0) return;
  va_list args;
  va_start(args, fmt);
  const char *message = arena_vprintf(r->arena, fmt, args);
  va_end(args);
  struct query_problem *problem = RESOLVE_ADD(r, out->problems, out->problem_count);
  if (!problem) return;
  *problem = (struct query_problem){.kind = kind, .name = name, .message = message ? message : "", .position = position};
  for (int i = 0; suggest && i < SUGGEST_COUNT; i++) problem->suggestions[i] = suggest->best[i];
}

const struct cte *resolve_cte(const struct resolver *r, const char *name) {
  for (const struct cte *cte = r->ctes; cte; cte = cte->outer)
    if (strcmp(cte->name, name) == 0) return cte;
  return NULL;
}

/* ---- expressions ---- */

struct walk {
  struct resolver *r;
  struct query_scope *scope;
};

static void see_sublink(struct walk *walk, const PgQuery__SubLink *link) {
  resolve_expression(walk->r, walk->scope, link->testexpr);
  if (link->n_oper_name) resolve_operator(walk->r, link->n_oper_name, link->oper_name, link->location, NULL, NULL);
  if (!link->n_oper_name && link->testexpr) resolve_implied_operator(walk->r, "=", link->location); /* IN (SELECT …) */
  resolve_expression(walk->r, walk->scope, link->subselect);
}

/* LIKE, IN, DISTINCT and NULLIF carry the operator's name, which the server looks up like one that is written; BETWEEN carries its own. */
static void see_operator(struct resolver *r, const PgQuery__AExpr *expr) {
  static const char *const between[] = {"<", "<=", ">", ">="};
  switch (expr->kind) {
  case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN:
  case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN:
  case PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN_SYM:
  case PG_QUERY__A__EXPR__KIND__AEXPR_NOT_BETWEEN_SYM:
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) resolve_implied_operator(r, between[i], expr->location);
    break;
  default: {
    bool plain = expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP || expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN;
    resolve_operator(r, expr->n_name, expr->name, expr->location, plain ? expr->lexpr : NULL, plain ? expr->rexpr : NULL);
  }
  }
}

/* Answers whether the walker shall go below. */
static bool see(void *arg, PgQuery__Node *node) {
  struct walk *walk = arg;
  struct resolver *r = walk->r;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF: resolve_column_ref(r, walk->scope, node->column_ref); return false;
  case PG_QUERY__NODE__NODE_A_INDIRECTION: resolve_indirection(r, walk->scope, node->a_indirection); return false;
  case PG_QUERY__NODE__NODE_FUNC_CALL: resolve_call(r, node->func_call); return true;
  case PG_QUERY__NODE__NODE_SELECT_STMT: resolve_select(r, node->select_stmt, walk->scope); return false;
  case PG_QUERY__NODE__NODE_SUB_LINK: see_sublink(walk, node->sub_link); return false;
  case PG_QUERY__NODE__NODE_A_EXPR: see_operator(r, node->a_expr); return true;
  case PG_QUERY__NODE__NODE_CASE_EXPR:
    if (node->case_expr->arg) resolve_implied_operator(r, "=", node->case_expr->location);
    return true;
  case PG_QUERY__NODE__NODE_TYPE_CAST: resolve_type(r, node->type_cast->type_name); return true;
  case PG_QUERY__NODE__NODE_COLUMN_DEF: resolve_type(r, node->column_def->type_name); return true;
  case PG_QUERY__NODE__NODE_JSON_TABLE_COLUMN:
    if (node->json_table_column->type_name) resolve_type(r, node->json_table_column->type_name);
    return true;
  case PG_QUERY__NODE__NODE_SORT_BY:
    if (node->sort_by->n_use_op) resolve_operator(r, node->sort_by->n_use_op, node->sort_by->use_op, node->sort_by->location, NULL, NULL);
    return true;
  default: return true;
  }
}

void resolve_expression(struct resolver *r, struct query_scope *scope, PgQuery__Node *node) {
  struct walk walk = {r, scope};
  if (!r->oom) sql_walk(node, see, &walk);
}

void resolve_expressions(struct resolver *r, struct query_scope *scope, size_t count, PgQuery__Node *const *nodes) {
  for (size_t i = 0; i < count; i++) resolve_expression(r, scope, nodes[i]);
}

/* ---- the select list ---- */

static struct query_column *add_output(struct resolver *r, struct query_scope *scope) {
  return RESOLVE_ADD(r, scope->outputs, scope->output_count);
}

static void expand_rte(struct resolver *r, struct query_scope *scope, const struct query_rte *rte, bool qualified) {
  if (rte->open) scope->outputs_open = true;
  for (size_t c = 0; c < rte->column_count; c++) {
    if (!qualified && !rte_shows(rte, c)) continue;
    struct query_column *output = add_output(r, scope);
    if (!output) return;
    *output = rte->columns[c];
    output->nullable |= rte->outer;
    resolve_read(r, rte, (int)c);
  }
}

/* Binds "t.*" as a whole row, then lists it. False: not a star. */
static bool expand_star(struct resolver *r, struct query_scope *scope, const PgQuery__ResTarget *target) {
  if (!target->val || target->val->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return false;
  const PgQuery__ColumnRef *ref = target->val->column_ref;
  if (!ref->n_fields || ref->fields[ref->n_fields - 1]->node_case != PG_QUERY__NODE__NODE_A_STAR) return false;
  if (ref->n_fields == 1) {
    for (size_t i = 0; i < scope->rte_count; i++)
      if (!scope->rtes[i]->hidden && !scope->rtes[i]->qualified_only) expand_rte(r, scope, scope->rtes[i], false);
    return true;
  }
  size_t before = r->out->binding_count;
  resolve_column_ref(r, scope, ref);
  if (r->out->binding_count > before && r->out->bindings[before].rte)
    expand_rte(r, scope, r->out->bindings[before].rte, true);
  else
    scope->outputs_open = true; /* reported */
  return true;
}

static void resolve_targets(struct resolver *r, struct query_scope *scope, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; i < select->n_target_list && !r->oom; i++) {
    const PgQuery__ResTarget *target = select->target_list[i]->res_target;
    if (expand_star(r, scope, target)) continue;
    resolve_expression(r, scope, target->val);
    if (target->val && target->val->node_case == PG_QUERY__NODE__NODE_A_INDIRECTION) {
      const PgQuery__AIndirection *inner = target->val->a_indirection;
      if (inner->n_indirection && inner->indirection[inner->n_indirection - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR)
        scope->outputs_open = true;
    }
    struct query_column *output = add_output(r, scope);
    if (!output) return;
    *output = (struct query_column){.nullable = true};
    resolve_describe(r, target->val, output);
    output->name = sql_or_null(target->name) ? target->name : resolve_output_name_of(r, target->val);
  }
}

/* ---- clauses ---- */

static void resolve_named(struct resolver *r, struct query_scope *scope, size_t count, PgQuery__Node *const *nodes, bool input_first) {
  for (size_t i = 0; i < count; i++) {
    PgQuery__Node *node = nodes[i];
    if (node->node_case == PG_QUERY__NODE__NODE_SORT_BY) {
      if (node->sort_by->n_use_op) resolve_operator(r, node->sort_by->n_use_op, node->sort_by->use_op, node->sort_by->location, NULL, NULL);
      node = node->sort_by->node;
    }
    if (node && node->node_case == PG_QUERY__NODE__NODE_GROUPING_SET)
      resolve_named(r, scope, node->grouping_set->n_content, node->grouping_set->content, input_first);
    else if (node && node->node_case == PG_QUERY__NODE__NODE_ROW_EXPR && input_first) /* GROUP BY (a, b) */
      resolve_named(r, scope, node->row_expr->n_args, node->row_expr->args, input_first);
    else if (node && !resolve_output_name(r, scope, node, input_first))
      resolve_expression(r, scope, node);
  }
}

static void resolve_plain(struct resolver *r, struct query_scope *scope, const PgQuery__SelectStmt *select) {
  resolve_from(r, scope, select);
  scope->visible_from = 0;
  resolve_expression(r, scope, select->where_clause);
  resolve_targets(r, scope, select);
  resolve_named(r, scope, select->n_group_clause, select->group_clause, true);
  resolve_expression(r, scope, select->having_clause);
  for (size_t i = 0; i < select->n_window_clause; i++) {
    const PgQuery__WindowDef *window = select->window_clause[i]->window_def;
    resolve_expressions(r, scope, window->n_partition_clause, window->partition_clause);
    resolve_expressions(r, scope, window->n_order_clause, window->order_clause);
    resolve_expression(r, scope, window->start_offset);
    resolve_expression(r, scope, window->end_offset);
  }
  bool plain_distinct = select->n_distinct_clause == 1 && select->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET;
  if (!plain_distinct) resolve_named(r, scope, select->n_distinct_clause, select->distinct_clause, false);
}

static void resolve_values(struct resolver *r, struct query_scope *scope, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; i < select->n_values_lists; i++) {
    const PgQuery__Node *list = select->values_lists[i];
    if (list->node_case != PG_QUERY__NODE__NODE_LIST) continue;
    for (size_t k = 0; k < list->list->n_items; k++) {
      resolve_expression(r, scope, list->list->items[k]);
      if (i) continue;
      struct query_column *output = add_output(r, scope);
      if (!output) return;
      *output = (struct query_column){.nullable = true};
      resolve_describe(r, list->list->items[k], output);
      output->table = NULL;
      output->column = NULL;
      output->name = arena_printf(r->arena, "column%zu", k + 1);
    }
  }
}

/* ---- set operations and WITH ---- */

static void take_outputs(struct resolver *r, struct query_scope *scope, const struct query_scope *left, const struct query_scope *right) {
  scope->outputs_open |= left->outputs_open;
  for (size_t i = 0; i < left->output_count; i++) {
    struct query_column *output = add_output(r, scope);
    if (!output) return;
    const struct query_column *other = right && i < right->output_count ? &right->outputs[i] : NULL;
    bool same = other && left->outputs[i].type && other->type && strcmp(left->outputs[i].type, other->type) == 0;
    *output = (struct query_column){.name = left->outputs[i].name,
                                    .type = same ? left->outputs[i].type : NULL,
                                    .nullable = left->outputs[i].nullable || !other || other->nullable};
  }
}

/* `recursive`: the CTE that the right side may refer to once the left side's columns are known. */
static void resolve_set(struct resolver *r, struct query_scope *scope, const PgQuery__SelectStmt *select, struct cte *recursive) {
  const struct query_scope *left = resolve_select(r, select->larg, scope);
  if (recursive && left) {
    if (!recursive->column_count) recursive->column_count = left->output_count, recursive->columns = left->outputs;
    recursive->open = left->outputs_open;
  }
  const struct query_scope *right = resolve_select(r, select->rarg, scope);
  if (left && right) take_outputs(r, scope, left, right);
}

/* Columns as the CTE's own list names them. */
static void name_columns(struct resolver *r, struct cte *cte, const struct query_scope *query, const PgQuery__CommonTableExpr *expr) {
  size_t extra = (expr->search_clause ? 1 : 0) + (expr->cycle_clause ? 2 : 0);
  cte->columns = arena_calloc(r->arena, query->output_count + extra + 1, sizeof *cte->columns);
  if (!cte->columns) {
    r->oom = true;
    return;
  }
  cte->column_count = query->output_count;
  for (size_t i = 0; i < query->output_count; i++) {
    cte->columns[i] = query->outputs[i];
    if (i < expr->n_aliascolnames) cte->columns[i].name = sql_node_string(expr->aliascolnames[i]);
  }
  const char *more[] = {expr->search_clause ? expr->search_clause->search_seq_column : NULL,
                        expr->cycle_clause ? expr->cycle_clause->cycle_mark_column : NULL,
                        expr->cycle_clause ? expr->cycle_clause->cycle_path_column : NULL};
  for (size_t i = 0; i < 3; i++)
    if (more[i]) cte->columns[cte->column_count++] = (struct query_column){.name = more[i], .nullable = true};
  cte->open = query->outputs_open;
}

static struct cte *declare(struct resolver *r, const PgQuery__CommonTableExpr *expr) {
  struct cte *cte = ARENA_NEW(r->arena, struct cte);
  if (!cte) {
    r->oom = true;
    return NULL;
  }
  *cte = (struct cte){.outer = r->ctes, .name = expr->ctename, .open = true};
  return cte;
}

static struct query_scope *resolve_query(struct resolver *r, const PgQuery__SelectStmt *select, struct query_scope *parent,
                                         struct cte *recursive);

static void resolve_one_cte(struct resolver *r, struct query_scope *scope, const PgQuery__CommonTableExpr *expr, struct cte *cte,
                            bool recursive) {
  if (!expr->ctequery || expr->ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return; /* it stays open; the guard refuses it */
  const PgQuery__SelectStmt *query = expr->ctequery->select_stmt;
  if (recursive && expr->n_aliascolnames) {
    struct query_column *columns = arena_calloc(r->arena, expr->n_aliascolnames, sizeof *columns);
    for (size_t i = 0; columns && i < expr->n_aliascolnames; i++)
      columns[i] = (struct query_column){.name = sql_node_string(expr->aliascolnames[i]), .nullable = true};
    cte->columns = columns;
    cte->column_count = columns ? expr->n_aliascolnames : 0;
  }
  struct query_scope *result = resolve_query(r, query, scope, recursive ? cte : NULL);
  if (result) name_columns(r, cte, result, expr);
}

static void resolve_with(struct resolver *r, struct query_scope *scope, const PgQuery__WithClause *with) {
  struct cte *declared[64];
  size_t count = with->n_ctes < 64 ? with->n_ctes : 64;
  for (size_t i = 0; with->recursive && i < count; i++) { /* each sees all */
    if (!(declared[i] = declare(r, with->ctes[i]->common_table_expr))) return;
    r->ctes = declared[i];
  }
  for (size_t i = 0; i < with->n_ctes && !r->oom; i++) {
    const PgQuery__CommonTableExpr *expr = with->ctes[i]->common_table_expr;
    bool ahead = with->recursive && i < count;
    struct cte *cte = ahead ? declared[i] : declare(r, expr);
    if (!cte) return;
    resolve_one_cte(r, scope, expr, cte, with->recursive);
    if (!ahead) r->ctes = cte;
  }
}

static struct query_scope *resolve_query(struct resolver *r, const PgQuery__SelectStmt *select, struct query_scope *parent,
                                         struct cte *recursive) {
  if (r->oom || !select) return NULL;
  struct query_scope *scope = ARENA_NEW(r->arena, struct query_scope), **place = RESOLVE_ADD(r, r->out->scopes, r->out->scope_count);
  if (!scope || !place) {
    r->oom = true;
    return NULL;
  }
  *place = scope;
  *scope = (struct query_scope){.parent = parent, .select = select};
  const struct cte *outer = r->ctes;
  if (select->with_clause) resolve_with(r, scope, select->with_clause);
  bool set = select->op != PG_QUERY__SET_OPERATION__SETOP_NONE && select->op != PG_QUERY__SET_OPERATION__SET_OPERATION_UNDEFINED;
  if (set)
    resolve_set(r, scope, select, recursive);
  else if (select->n_values_lists)
    resolve_values(r, scope, select);
  else
    resolve_plain(r, scope, select);
  resolve_named(r, scope, select->n_sort_clause, select->sort_clause, false);
  resolve_expression(r, scope, select->limit_offset);
  resolve_expression(r, scope, select->limit_count);
  r->ctes = outer;
  return scope;
}

struct query_scope *resolve_select(struct resolver *r, const PgQuery__SelectStmt *select, struct query_scope *parent) {
  return resolve_query(r, select, parent, NULL);
}

/* ---- public ---- */

static int by_ref(const void *a, const void *b) {
  const struct query_binding *left = a, *right = b;
  return left->ref < right->ref ? -1 : left->ref > right->ref;
}

static bool has_unknown_extension(const struct snapshot *snapshot) {
  for (size_t i = 0; i < snapshot->extension_count; i++)
    if (!builtin_knows_extension(snapshot->extensions[i].name)) return true;
  return false;
}

enum status query_resolve(const struct snapshot *snapshot, PgQuery__SelectStmt *select, struct arena *arena,
                          struct query_resolution **ret_resolution, struct error *err) {
  struct query_resolution *out = ARENA_NEW(arena, struct query_resolution);
  if (!out) return error_oom(err);
  struct resolver r = {.snapshot = snapshot, .arena = arena, .out = out, .unknown_extension = has_unknown_extension(snapshot)};
  r.major = snapshot->server_version_num ? snapshot->server_version_num / 10000 : BUILTIN_NEWEST;
  out->snapshot = snapshot;
  resolve_begin_path(&r);
  out->top = resolve_select(&r, select, NULL);
  resolve_settle_functions(&r);
  if (r.oom || !out->top) return error_oom(err);
  if (out->binding_count) qsort(out->bindings, out->binding_count, sizeof *out->bindings, by_ref);
  *ret_resolution = out;
  return OK;
}

const struct query_binding *query_binding(const struct query_resolution *resolution, const PgQuery__ColumnRef *ref) {
  const struct query_binding key = {.ref = ref};
  if (!resolution->binding_count) return NULL;
  return bsearch(&key, resolution->bindings, resolution->binding_count, sizeof key, by_ref);
}

struct query_scope *query_scope_of(const struct query_resolution *resolution, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; i < resolution->scope_count; i++)
    if (resolution->scopes[i]->select == select) return resolution->scopes[i];
  return NULL;
}

const struct query_column *query_bound_column(const struct query_binding *binding) {
  if (!binding || binding->column < 0) return NULL;
  if (binding->output) return &binding->scope->outputs[binding->column];
  return binding->rte ? &binding->rte->columns[binding->column] : NULL;
}

bool query_bound_nullable(const struct query_binding *binding) {
  const struct query_column *column = query_bound_column(binding);
  return !column || column->nullable || (binding->rte && binding->rte->outer);
}

json_t *query_problems_json(const struct query_resolution *resolution) {
  static const char *const kinds[] = {"table", "column", "function", "operator", "type"};
  json_t *list = json_array();
  for (size_t i = 0; i < resolution->problem_count; i++) {
    const struct query_problem *problem = &resolution->problems[i];
    json_t *suggestions = json_array();
    for (int s = 0; s < SUGGEST_COUNT && problem->suggestions[s]; s++) json_append_str(suggestions, problem->suggestions[s]);
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:o}", "kind", kinds[problem->kind], "name", problem->name, "message",
                                          problem->message, "position", problem->position, "suggestions", suggestions));
  }
  return list;
}
