/* forms/reads.c - relations a query reads: locked in AccessShare, through views when it runs, and read in full when nothing narrows it. */
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/routing.h"
#include "worker/sql/text.h"

#define VIEW_DEPTH 16

struct reading {
  struct form *form;
  enum form_reading how;
  struct rel *view; /* the view being made of the query, or NULL */
  int depth;
  const PgQuery__Node *where; /* of a query of one relation alone */
  LIST(const char *) ctes;
};

static void read_query(struct reading *reading, PgQuery__Node *query);

static bool see_cte(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR) {
    const char **slot = LIST_PUSH(reading->form->arena, &reading->ctes);
    if (slot) *slot = node->common_table_expr->ctename;
  }
  return true;
}

static bool is_cte(const struct reading *reading, const PgQuery__RangeVar *range) {
  for (size_t i = 0; !sql_or_null(range->schemaname) && i < reading->ctes.count; i++)
    if (strcmp(reading->ctes.items[i], range->relname) == 0) return true;
  return false;
}

static bool is_system(const PgQuery__RangeVar *range) {
  const char *schema = sql_or_null(range->schemaname);
  return sql_or_null(range->catalogname) || strncmp(range->relname, "pg_", 3) == 0 ||
         (schema && (strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0));
}

static void read_relation(struct reading *reading, struct rel *rel, bool heirs) {
  struct form *form = reading->form;
  bool runs = reading->how != FORM_READ_NAMES;
  if (heirs && runs && !reading->depth)
    routing_lock(form, rel, LOCK_ACCESS_SHARE, reading->where);
  else
    form_lock_heirs(form, rel, LOCK_ACCESS_SHARE, heirs && runs);
  if (reading->how == FORM_READ_ALL && heirs)
    form_scan_heirs(form, rel);
  else if (reading->how == FORM_READ_ALL && shadow_is_table(rel))
    effect_scan(form->effect, rel);
  if (reading->view) shadow_add_dependent(form->shadow, rel, reading->view);
  if (!runs || rel->t->kind != SNAP_VIEW || reading->depth >= VIEW_DEPTH) return;
  struct reading beneath = {.form = form, .how = reading->how, .depth = reading->depth + 1};
  read_query(&beneath, shadow_view_query(form->shadow, rel));
}

static bool see_range(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || is_cte(reading, node->range_var)) return true;
  struct rel *rel = shadow_range(reading->form->shadow, node->range_var);
  if (rel)
    read_relation(reading, rel, node->range_var->inh);
  else if (!is_system(node->range_var) && !reading->depth)
    form_fails(reading->form, "42P01", "relation %s exists",
               sql_qualified(reading->form->arena, sql_or_null(node->range_var->schemaname), node->range_var->relname));
  return true;
}

/* Whether the clauses name the alias, or name none and so mean all. */
static bool is_locked(const PgQuery__SelectStmt *select, const char *alias) {
  for (size_t i = 0; i < select->n_locking_clause; i++) {
    const PgQuery__LockingClause *clause =
        select->locking_clause[i]->node_case == PG_QUERY__NODE__NODE_LOCKING_CLAUSE ? select->locking_clause[i]->locking_clause : NULL;
    if (clause && !clause->n_locked_rels) return true;
    for (size_t k = 0; clause && k < clause->n_locked_rels; k++)
      if (clause->locked_rels[k]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR &&
          strcmp(clause->locked_rels[k]->range_var->relname, alias) == 0)
        return true;
  }
  return false;
}

static void lock_rows_of(struct reading *reading, struct rel *rel, bool heirs, int depth);

static void lock_from(struct reading *reading, const PgQuery__SelectStmt *select, const PgQuery__Node *from, bool all, int depth) {
  if (from->node_case == PG_QUERY__NODE__NODE_JOIN_EXPR) {
    if (from->join_expr->larg) lock_from(reading, select, from->join_expr->larg, all, depth);
    if (from->join_expr->rarg) lock_from(reading, select, from->join_expr->rarg, all, depth);
    return;
  }
  if (from->node_case != PG_QUERY__NODE__NODE_RANGE_VAR || is_cte(reading, from->range_var)) return;
  const PgQuery__RangeVar *range = from->range_var;
  if (all || is_locked(select, range->alias ? range->alias->aliasname : range->relname))
    lock_rows_of(reading, shadow_range(reading->form->shadow, range), range->inh, depth);
}

/* FOR UPDATE, FOR SHARE and their kin lock rows, of all relations or of those named, and through views. */
static void lock_rows_of(struct reading *reading, struct rel *rel, bool heirs, int depth) {
  if (!rel || depth > VIEW_DEPTH) return;
  if (heirs)
    routing_lock(reading->form, rel, LOCK_ROW_SHARE, reading->where);
  else
    effect_lock(reading->form->effect, rel, LOCK_ROW_SHARE);
  const PgQuery__Node *query = rel->t->kind == SNAP_VIEW ? shadow_view_query(reading->form->shadow, rel) : NULL;
  const PgQuery__SelectStmt *select = query && query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? query->select_stmt : NULL;
  for (size_t i = 0; select && i < select->n_from_clause; i++) lock_from(reading, select, select->from_clause[i], true, depth + 1);
}

static void lock_rows(struct reading *reading, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; select->n_locking_clause && i < select->n_from_clause; i++)
    lock_from(reading, select, select->from_clause[i], false, 0);
}

static void read_query(struct reading *reading, PgQuery__Node *query) {
  if (!query) return;
  sql_walk(query, see_cte, reading);
  sql_walk(query, see_range, reading);
  if (query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT && reading->how != FORM_READ_NAMES) lock_rows(reading, query->select_stmt);
}

static bool see_another(void *arg, PgQuery__Node *node) {
  *(int *)arg += node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR;
  return true;
}

/* The condition of a query of one relation, which may leave out partitions. */
static const PgQuery__Node *only_where(PgQuery__Node *query) {
  const PgQuery__SelectStmt *select = query && query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? query->select_stmt : NULL;
  int relations = 0;
  if (!select || !select->where_clause || select->n_from_clause != 1) return NULL;
  sql_walk(query, see_another, &relations);
  return relations == 1 ? select->where_clause : NULL;
}

void form_read(struct form *form, PgQuery__Node *query, enum form_reading how, struct rel *view) {
  struct reading reading = {.form = form, .how = how, .view = view, .where = only_where(query)};
  read_query(&reading, query);
}

bool form_reads_all(const PgQuery__Node *query) {
  if (query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  const PgQuery__SelectStmt *select = query->select_stmt;
  return !select->where_clause && !select->limit_count && select->n_from_clause == 1 &&
         select->from_clause[0]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR;
}
