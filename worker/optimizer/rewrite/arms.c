/* arms.c - OR that no index serves, as arms of a UNION ALL.
 *
 * Each arm takes the rows of one operand and leaves those that an arm before it has taken: "(earlier) IS NOT TRUE", which NULL does not get
 * around. So each row comes out once, whatever duplicates there are. An operand is asked of rows that other conditions kept from it before,
 * so it may not fail. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#define ARMS_MAX 4

/* The operands, those without subqueries as one and first; 0: not worth it, or too many. */
static size_t operands(struct rewrite *rw, const PgQuery__Node *node, const char *arms[ARMS_MAX], bool need_sublink) {
  if (node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR) return 0;
  const char *plain = NULL;
  size_t count = 0, sublinks = 0;
  for (size_t i = 0; i < node->bool_expr->n_args; i++) {
    PgQuery__Node *arg = node->bool_expr->args[i];
    bool sublink = rewrite_has_sublink(arg);
    const char *text = rewrite_print(rw, arg);
    sublinks += sublink;
    if (!text) return 0;
    if (need_sublink && !sublink) {
      plain = plain ? arena_printf(rw->arena, "%s OR %s", plain, text) : text;
      continue;
    }
    if (count == ARMS_MAX - 1) return 0;
    arms[count++] = text;
  }
  if (need_sublink && plain) {
    memmove(&arms[1], &arms[0], count * sizeof *arms);
    arms[0] = plain;
    count++;
  }
  return count >= 2 && (!need_sublink || sublinks) ? count : 0;
}

/* "c2 AND (c1) IS NOT TRUE" */
static PgQuery__Node *arm_condition(struct rewrite *rw, const char *const *arms, size_t at) {
  const char *text = arena_printf(rw->arena, "(%s)", arms[at]);
  for (size_t i = 0; text && i < at; i++) text = arena_printf(rw->arena, "%s AND (%s) IS NOT TRUE", text, arms[i]);
  return text ? rewrite_parse(rw, "%s", text) : NULL;
}

static PgQuery__SelectStmt *union_all(struct rewrite *rw, PgQuery__SelectStmt *left, PgQuery__SelectStmt *right) {
  PgQuery__SelectStmt *made = rewrite_parse_select(rw, "SELECT 1 UNION ALL SELECT 1");
  if (!made) return NULL;
  made->larg = left;
  made->rarg = right;
  return made;
}

/* --- of one table: the table itself becomes the union, whatever is done with it --- */

struct owner {
  struct rewrite *rw;
  const struct query_scope *scope;
  const struct query_rte *rte;
  bool fails;
};

static bool in_scope(const struct query_scope *scope, const struct query_rte *rte) {
  for (size_t i = 0; i < scope->rte_count; i++)
    if (scope->rtes[i] == rte) return true;
  return false;
}

static bool see_owner(void *arg, PgQuery__Node *node) {
  struct owner *owner = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return !owner->fails;
  const struct query_binding *binding = query_binding(owner->rw->names, node->column_ref);
  if (!binding || !binding->rte) {
    owner->fails = true;
  } else if (in_scope(owner->scope, binding->rte)) {
    owner->fails |= owner->rte && owner->rte != binding->rte;
    owner->rte = binding->rte;
  } else {
    for (const struct query_scope *up = owner->scope->parent; up; up = up->parent) owner->fails |= in_scope(up, binding->rte);
  }
  return false;
}

/* Nothing refers to it that a subquery of its name would not answer: whole rows, system columns, schema-qualified names. */
static bool can_become_subquery(const struct rewrite *rw, const struct query_rte *rte) {
  for (size_t i = 0; i < rw->names->binding_count; i++) {
    const struct query_binding *binding = &rw->names->bindings[i];
    if (binding->rte != rte) continue;
    const PgQuery__ColumnRef *ref = binding->ref;
    bool star = ref->fields[ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR;
    if ((binding->column < 0 && !star) || ref->n_fields > 2) return false;
  }
  const PgQuery__RangeVar *var = rte->node->range_var;
  return !(var->alias && var->alias->n_colnames) && !rte->hidden && !rte->merged;
}

static bool split_table(struct rewrite *rw, const struct query_rte *rte, const char *const *arms, size_t count) {
  const char *name = sql_ident(rw->arena, rte->name);
  PgQuery__SelectStmt *all = NULL;
  for (size_t i = 0; name && i < count; i++) {
    PgQuery__SelectStmt *arm = rewrite_parse_select(rw, "SELECT * FROM a");
    PgQuery__Node *item = ARENA_NEW(rw->arena, PgQuery__Node);
    if (!arm || !item) return false;
    *item = *rte->node;
    arm->from_clause[0] = item;
    arm->where_clause = arm_condition(rw, arms, i);
    all = all ? union_all(rw, all, arm) : arm;
    if (!arm->where_clause || !all) return false;
  }
  const PgQuery__SelectStmt *made = name ? rewrite_parse_select(rw, "SELECT 1 FROM (SELECT 1) AS %s", name) : NULL;
  if (!made) return false;
  made->from_clause[0]->range_subselect->subquery = rewrite_select_node(rw, all);
  PgQuery__Node *place = (PgQuery__Node *)(uintptr_t)rte->node;
  *place = *made->from_clause[0];
  return true;
}

bool rewrite_or_arms(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    const struct query_scope *scope = rw->names->scopes[s];
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)(uintptr_t)scope->select;
    PgQuery__Node **list;
    size_t count = rewrite_conjuncts(rw, select->where_clause, &list);
    for (size_t i = 0; i < count; i++) {
      const char *arms[ARMS_MAX];
      struct owner owner = {rw, scope, NULL, false};
      size_t arm_count = operands(rw, list[i], arms, true);
      if (arm_count) sql_walk(list[i], see_owner, &owner);
      if (!arm_count || owner.fails || !owner.rte || owner.rte->kind != QUERY_TABLE || !owner.rte->table || owner.rte->outer ||
          !can_become_subquery(rw, owner.rte) || !rewrite_is_safe(rw, list[i]) || rewrite_varies(rw, list[i]) || !rewrite_here(rw))
        continue;
      rewrite_drop_conjunct(&select->where_clause, list[i]);
      rewrite_explain(rw, "Each side of OR is asked by itself, so that indexes and joins serve it; rows of both are taken once");
      return split_table(rw, owner.rte, arms, arm_count);
    }
  }
  return false;
}

/* --- of several tables: the whole SELECT --- */

static bool spans_tables(struct rewrite *rw, const struct query_scope *scope, PgQuery__Node *node) {
  struct owner owner = {rw, scope, NULL, false};
  sql_walk(node, see_owner, &owner);
  return owner.fails;
}

static bool split_select(struct rewrite *rw, PgQuery__SelectStmt *select, PgQuery__Node *conjunct, const char *const *arms, size_t count) {
  rewrite_drop_conjunct(&select->where_clause, conjunct);
  const char *text = sql_statement_text(rw->arena, rewrite_select_node(rw, select));
  PgQuery__SelectStmt *all = NULL;
  for (size_t i = 0; text && i < count; i++) {
    PgQuery__SelectStmt *arm = rewrite_parse_select(rw, "%s", text);
    PgQuery__Node *condition = arm_condition(rw, arms, i);
    if (!arm || !condition) return false;
    rewrite_add_conjunct(rw, &arm->where_clause, condition);
    all = all ? union_all(rw, all, arm) : arm;
    if (!all) return false;
  }
  if (!all) return false;
  *select = *all;
  return true;
}

/* A set operation around it would have to keep them apart by parentheses. */
static bool is_arm(const struct rewrite *rw, const PgQuery__SelectStmt *select) {
  for (size_t s = 0; s < rw->names->scope_count; s++)
    if (rw->names->scopes[s]->select->larg == select || rw->names->scopes[s]->select->rarg == select) return true;
  return false;
}

/* Its arms would each have rows of their own. */
static bool varies(struct rewrite *rw, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; i < select->n_from_clause; i++)
    if (rewrite_varies(rw, select->from_clause[i])) return true;
  return rewrite_varies(rw, select->where_clause);
}

bool rewrite_or_select_arms(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++) {
    const struct query_scope *scope = rw->names->scopes[s];
    PgQuery__SelectStmt *select = (PgQuery__SelectStmt *)(uintptr_t)scope->select;
    PgQuery__Node **list;
    if (!rewrite_is_plain(select) || scope->rte_count < 2 || is_arm(rw, select) || rewrite_aggregates(rw, select) ||
        rewrite_windows(rw, select) || varies(rw, select))
      continue;
    size_t count = rewrite_conjuncts(rw, select->where_clause, &list);
    for (size_t i = 0; i < count; i++) {
      const char *arms[ARMS_MAX];
      size_t arm_count = operands(rw, list[i], arms, false);
      if (!arm_count || !spans_tables(rw, scope, list[i]) || rewrite_refers_up(rw, list[i], scope) || !rewrite_is_safe(rw, list[i]) ||
          !rewrite_here(rw))
        continue;
      rewrite_explain(rw,
                      "OR over columns of several tables keeps every row until all are joined; each side by itself is served by indexes");
      return split_select(rw, select, list[i], arms, arm_count);
    }
  }
  return false;
}
