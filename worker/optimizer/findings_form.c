/* findings_form.c - what the way a query is written makes the server do. */
#include <string.h>

#include "worker/optimizer/finding_impl.h"

#define LOOPS_MANY 1000
#define ROWS_MANY 1000
#define FACTOR 10
#define TOPN_FACTOR 100

/* Expressions that hold `text`, among what is evaluated for rows. */
static bool says(const struct plan_node *node, const char *text) {
  const char *const all[] = {node->filter, node->join_filter, node->one_time_filter, node->index_cond};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] && strstr(all[i], text)) return true;
  return false;
}

/* "(NOT (hashed SubPlan 1))", "(NOT (ANY (a = (hashed SubPlan 1).col1)))" of NOT IN; NOT EXISTS that was not made a join says "NOT
 * EXISTS(SubPlan 1)" or, before PostgreSQL 17, "(NOT (SubPlan 1))". */
bool look_not_in_subplan(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *owner = node->parent;
  if (node->role != PLAN_SUBPLAN || !owner || !node->subplan_name) return false;
  char hashed[64], any[64];
  snprintf(hashed, sizeof hashed, "NOT (hashed %.40s)", node->subplan_name);
  snprintf(any, sizeof any, "%.40s).col1", node->subplan_name);
  bool is_any = says(owner, any) && says(owner, "NOT (ANY");
  if (!says(owner, hashed) && !is_any) return false;
  bool repeated = node->measured ? node->loops >= FACTOR : false;
  double rows = node->measured ? node->rows : node->plan_rows;
  if (!repeated && rows < ROWS_MANY) return false;
  finding_say(view, finding, "NOT IN (SELECT …) compares with every row of the subquery, %s; a NULL among them leaves no result",
              repeated ? "again for each row outside" : "kept in a hash table that must fit into memory");
  finding_stake(finding, owner, 0.5);
  if (repeated && node->total_ms >= 0) finding->time_at_stake_ms = node->total_ms * 0.9;
  finding->cost_at_stake += node->inclusive_cost * 0.5;
  finding_shows(view, finding, json_pack("{s:s, s:f, s:f}", "subplan", node->subplan_name, "loops", node->loops, "rows", rows));
  return true;
}

static double expected_runs(const struct plan_node *node) {
  const struct plan_node *owner = node->parent, *input = owner ? plan_child(owner, PLAN_OUTER) : NULL;
  if (!owner) return 0;
  return input ? input->plan_rows : owner->table && owner->table->rows > 0 ? (double)owner->table->rows : owner->plan_rows;
}

bool look_subplan_loops(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  char hashed[64];
  if (node->role != PLAN_SUBPLAN || !node->parent) return false;
  snprintf(hashed, sizeof hashed, "hashed %.40s", node->subplan_name ? node->subplan_name : "");
  double loops = node->measured ? node->loops : says(node->parent, hashed) ? 1 : expected_runs(node);
  if (loops < LOOPS_MANY) return false;
  finding_say(view, finding, "%s is run %s times, once for each row outside", node->subplan_name ? node->subplan_name : "a subquery",
              finding_number(view->arena, loops));
  finding->time_at_stake_ms = node->total_ms >= 0 ? node->total_ms * 0.9 : PLAN_UNKNOWN;
  finding->cost_at_stake = node->inclusive_cost * 0.9;
  finding_shows(view, finding, json_pack("{s:s?, s:f, s:f}", "subplan", node->subplan_name, "loops", loops, "ms", node->total_ms));
  return true;
}

static const struct plan_node *cte_of(const struct plan_node *scan) {
  for (const struct plan_node *up = scan; up && scan->cte; up = up->parent)
    for (size_t i = 0; i < up->child_count; i++) {
      const struct plan_node *one = up->children[i];
      if (one->role == PLAN_CTE && one->subplan_name && strcmp(one->subplan_name + 4, scan->cte) == 0) return one;
    }
  return NULL;
}

bool look_cte_fence(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *cte = plan_is(node, "CTE Scan") ? cte_of(node) : NULL;
  if (!cte || !node->filter || plan_is(cte, "ModifyTable") || plan_is(cte, "Recursive Union")) return false;
  double made = cte->measured ? cte->rows : cte->plan_rows, kept = node->measured ? node->rows : node->plan_rows;
  if (made < ROWS_MANY || made < FACTOR * kept) return false;
  finding->anchor = cte;
  finding_say(view, finding, "%s is made whole, %s rows, before its filter keeps %s of them", cte->subplan_name,
              finding_number(view->arena, made), finding_number(view->arena, kept));
  finding_stake(finding, node, 0.9);
  if (cte->total_ms >= 0) finding->time_at_stake_ms += cte->total_ms * 0.8;
  finding->cost_at_stake += cte->inclusive_cost * 0.8;
  finding_shows(view, finding,
                json_pack("{s:s, s:f, s:f, s:s}", "cte", node->cte, "rows_made", made, "rows_kept", kept, "filter", node->filter));
  return true;
}

bool look_offset_waste(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *input = plan_is(node, "Limit") ? plan_child(node, PLAN_OUTER) : NULL;
  if (!input || node->rows < 0 || input->rows < ROWS_MANY || input->rows < FACTOR * (node->rows > 0 ? node->rows : 1)) return false;
  if (node->rows > 0 && input->rows <= node->rows + 1) return false;
  finding_say(view, finding, "OFFSET: %s rows are made to return %s", finding_number(view->arena, input->rows),
              finding_number(view->arena, node->rows));
  double share = 1 - (node->rows + 1) / input->rows;
  finding->time_at_stake_ms = input->total_ms >= 0 ? input->total_ms * share : PLAN_UNKNOWN;
  finding->cost_at_stake = input->inclusive_cost * share;
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows_made", input->rows, "rows_returned", node->rows));
  return true;
}

/* All sort keys as plain columns, with what EXPLAIN appends of direction. */
static bool plain_keys(const struct plan_node *node) {
  for (size_t i = 0; i < node->sort_key_count; i++)
    if (strpbrk(node->sort_key[i], "()'+*/")) return false;
  return node->sort_key_count > 0;
}

bool look_topn_late(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *sort = plan_is(node, "Limit") ? plan_child(node, PLAN_OUTER) : NULL;
  if (plan_is(sort, "Gather Merge")) sort = plan_child(sort, PLAN_OUTER);
  const struct plan_node *input = plan_is(sort, "Sort") ? plan_child(sort, PLAN_OUTER) : NULL;
  if (!input) return false;
  double in = input->measured ? input->rows : input->plan_rows, out = node->measured ? node->rows : node->plan_rows;
  if (in < 10 * ROWS_MANY || in < TOPN_FACTOR * (out > 0 ? out : 1)) return false;
  finding->anchor = sort;
  finding_say(view, finding, "%s rows are made and sorted for the %s that LIMIT takes", finding_number(view->arena, in),
              finding_number(view->arena, out));
  if (plan_is_scan(input) && plan_relation(view->plan, input) && plain_keys(sort)) finding_index(view, finding, input, input->filter, sort);
  finding_stake(finding, sort, 0.9);
  if (input->total_ms >= 0) finding->time_at_stake_ms += input->total_ms * 0.8;
  finding->cost_at_stake += input->inclusive_cost * 0.8;
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows_sorted", in, "rows_returned", out));
  return true;
}

bool look_sort_avoidable(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *input = plan_is(node, "Sort") ? plan_child(node, PLAN_OUTER) : NULL;
  if (!input || !plan_is_scan(input) || plan_is(input, "Foreign Scan") || !plain_keys(node) || !plan_relation(view->plan, input))
    return false;
  if (plan_is(node->parent, "Merge Join") || node->rows < 10 * ROWS_MANY || node->sort_on_disk) return false;
  double read = finding_rows_read(input);
  if (read > 0 && input->rows < 0.2 * read) return false; /* the filter is what an index is for */
  if (node->exclusive_ms >= 0 && node->exclusive_ms < 0.2 * view->plan->total_ms) return false;
  finding_say(view, finding, "%s rows of %s are sorted by columns an index could give them in the order of",
              finding_number(view->arena, node->rows), plan_relation(view->plan, input));
  finding_index(view, finding, input, input->filter, node);
  finding_stake(finding, node, 0.7);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows", node->rows, "sort_ms", node->exclusive_ms));
  return true;
}

bool look_incremental_one_group(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const json_t *full = json_object_get(node->fields, "Full-sort Groups"), *more = json_object_get(node->fields, "Pre-sorted Groups");
  if (!plan_is(node, "Incremental Sort") || !full || node->rows < 10 * ROWS_MANY) return false;
  long long groups = json_int(full, "Group Count", 0) + json_int(more, "Group Count", 0);
  if (groups > 2 * (node->loops > 1 ? (long long)node->loops : 1)) return false;
  finding_say(view, finding, "the incremental sort had one group of %s rows: sorting by %s first gained nothing",
              finding_number(view->arena, node->rows), node->presorted_key_count ? node->presorted_key[0] : "its first key");
  finding_stake(finding, node, 0.3);
  finding_shows(view, finding, json_pack("{s:I, s:f}", "groups", (json_int_t)groups, "rows", node->rows));
  return true;
}

bool look_window_rn(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *window = plan_is(node, "Subquery Scan") ? plan_child(node, PLAN_SUBQUERY) : NULL;
  if (!plan_is(window, "WindowAgg") || !node->filter) return false;
  double in = window->measured ? window->rows : window->plan_rows, out = node->measured ? node->rows : node->plan_rows;
  if (in < ROWS_MANY || (node->measured && out * 2 > in)) return false;
  finding_say(view, finding, "all rows go through a window function, %s, and %s are kept", finding_number(view->arena, in),
              finding_number(view->arena, out));
  finding->time_at_stake_ms = node->total_ms >= 0 ? node->total_ms * 0.8 : PLAN_UNKNOWN;
  finding->cost_at_stake = node->inclusive_cost * 0.8;
  finding_shows(view, finding, json_pack("{s:f, s:f, s:s}", "rows_numbered", in, "rows_kept", out, "filter", node->filter));
  return true;
}

static const PgQuery__SelectStmt *select_of(const struct finding_view *view) {
  const PgQuery__Node *node = view->statement ? view->statement->node : NULL;
  return node && node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ? node->select_stmt : NULL;
}

/* Unique is DISTINCT by its nature; an aggregate is, when the query says so and groups by nothing else. */
static bool is_distinct(const struct finding_view *view, const struct plan_node *node) {
  const PgQuery__SelectStmt *select = select_of(view);
  if (plan_is(node, "Unique")) return true;
  return plan_is(node, "Aggregate") && node->group_key_count && select && select->n_distinct_clause && !select->n_group_clause;
}

bool look_distinct_waste(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *input = is_distinct(view, node) ? plan_child(node, PLAN_OUTER) : NULL, *made = input;
  while (plan_is(made, "Sort") || plan_is(made, "Incremental Sort") || plan_is(made, "Gather Merge") || plan_is(made, "Gather"))
    made = plan_child(made, PLAN_OUTER);
  if (!made || !plan_is_join(made) || node->rows < 0 || input->rows < ROWS_MANY || input->rows < FACTOR * node->rows) return false;
  finding_say(view, finding, "the join makes %s rows of which DISTINCT keeps %s", finding_number(view->arena, input->rows),
              finding_number(view->arena, node->rows));
  finding_stake(finding, node, 0.9);
  if (made->exclusive_ms >= 0) finding->time_at_stake_ms += made->exclusive_ms * 0.7;
  finding->cost_at_stake += made->exclusive_cost * 0.7;
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows_joined", input->rows, "rows_distinct", node->rows));
  return true;
}

bool look_union_dedup(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *input = plan_child(node, PLAN_OUTER), *append = input;
  if (!(plan_is(node, "Unique") || (plan_is(node, "Aggregate") && node->group_key_count)) || !input) return false;
  if (plan_is(append, "Sort")) append = plan_child(append, PLAN_OUTER);
  bool merged = plan_is(append, "Merge Append") || plan_is(append, "Append");
  const PgQuery__SelectStmt *select = select_of(view);
  if (!merged || append->child_count < 2 || node->rows < ROWS_MANY || input->rows > node->rows) return false;
  if (append->children[0]->table && append->children[0]->table->partition_of) return false;
  if (select && select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && select->n_group_clause) return false;
  finding_say(view, finding, "UNION looks for duplicates among %s rows and finds none", finding_number(view->arena, input->rows));
  finding_stake(finding, node, 0.9);
  if (append != input && input->exclusive_ms >= 0) finding->time_at_stake_ms += input->exclusive_ms;
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows_in", input->rows, "rows_out", node->rows));
  return true;
}
