/* forms/reads.c - relations a query reads: locked in AccessShare, through views when it runs, and read in full when nothing narrows it. */
#include "worker/migration/forms/forms.h"
#include "worker/sql/text.h"

#define VIEW_DEPTH 16

struct reading {
  struct form *form;
  enum form_reading how;
  struct rel *view; /* the view being made of the query, or NULL */
  int depth;
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

/* FOR UPDATE, FOR SHARE and their kin lock rows, of all tables or of those named. */
static void lock_rows(struct form *form, const PgQuery__SelectStmt *select) {
  for (size_t i = 0; select->n_locking_clause && i < select->n_from_clause; i++) {
    const PgQuery__Node *from = select->from_clause[i];
    struct rel *rel = from->node_case == PG_QUERY__NODE__NODE_RANGE_VAR ? shadow_range(form->shadow, from->range_var) : NULL;
    form_lock_heirs(form, rel, LOCK_ROW_SHARE, rel && from->range_var->inh);
  }
}

static void read_query(struct reading *reading, PgQuery__Node *query) {
  if (!query) return;
  sql_walk(query, see_cte, reading);
  sql_walk(query, see_range, reading);
  if (query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT && reading->how != FORM_READ_NAMES) lock_rows(reading->form, query->select_stmt);
}

void form_read(struct form *form, PgQuery__Node *query, enum form_reading how, struct rel *view) {
  struct reading reading = {.form = form, .how = how, .view = view};
  read_query(&reading, query);
}

bool form_reads_all(const PgQuery__Node *query) {
  if (query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  const PgQuery__SelectStmt *select = query->select_stmt;
  return !select->where_clause && !select->limit_count && select->n_from_clause == 1 &&
         select->from_clause[0]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR;
}
