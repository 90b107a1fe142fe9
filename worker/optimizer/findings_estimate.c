/* findings_estimate.c - rows that the planner expects and rows that come. Of a chain of wrong estimates the lowest speaks: those above are
 * made of it. */
#include <math.h>
#include <string.h>

#include "worker/optimizer/finding_impl.h"

#define SKEW 10.0 /* factor between what was expected and what came */
#define SKEW_HIGH 100.0
#define SKEW_ROWS 100.0 /* of one execution, at least so far off */
#define STALE_SHARE 0.1 /* of a table's rows, changed since ANALYZE */
#define STALE_ROWS 1000
#define SIGNATURE 0.02 /* how close to a default a selectivity is one */

static bool is_skewed(const struct plan_node *node) {
  if (!node->measured || node->never_executed || node->estimate_factor < SKEW || node->run_condition)
    return false; /* the last stops early */
  if (!node->underestimated && node->stops_early) return false;
  return fabs(node->actual_rows - node->plan_rows) >= SKEW_ROWS;
}

/* Where skew begins: none of its inputs is off as far. */
static bool begins_skew(const struct plan_node *node) {
  if (!is_skewed(node)) return false;
  for (size_t i = 0; i < node->child_count; i++)
    if (is_skewed(node->children[i]) && node->children[i]->role != PLAN_INITPLAN && node->children[i]->role != PLAN_SUBPLAN) return false;
  return true;
}

/* A wrong estimate costs what the plan above it does wrong: the joins and sorts that were chosen for it. */
static void stake_above(const struct finding_view *view, struct finding *finding, const struct plan_node *node) {
  double ms = 0, cost = 0;
  const struct plan_node *below = node;
  for (const struct plan_node *up = node->parent; up; below = up, up = up->parent) {
    bool chosen = plan_is_join(up) || plan_is(up, "Sort") || plan_is(up, "Hash") || plan_is(up, "Aggregate");
    if (!chosen || up->estimate_factor < 2) continue;
    ms += up->exclusive_ms > 0 ? up->exclusive_ms : 0;
    cost += up->exclusive_cost;
    const struct plan_node *inner = plan_is(up, "Nested Loop") ? plan_child(up, PLAN_INNER) : NULL;
    if (inner && inner != below && node->underestimated) ms += inner->total_ms > 0 ? inner->total_ms : 0, cost += inner->inclusive_cost;
  }
  finding->time_at_stake_ms = view->plan->timed ? ms * 0.5 : PLAN_UNKNOWN;
  finding->cost_at_stake = cost * 0.5;
  if (node->estimate_factor >= SKEW_HIGH && finding->severity == SEVERITY_WARNING && view->plan->total_ms > 0 &&
      ms >= 0.5 * view->plan->total_ms && ms >= 100)
    finding->severity = SEVERITY_ERROR;
}

static void tell(const struct finding_view *view, const struct plan_node *node, struct finding *finding, const char *why) {
  finding_say(view, finding, "%s: %s rows were expected, %s came%s%s", plan_name(view->plan, node),
              finding_number(view->arena, node->plan_rows), finding_number(view->arena, node->actual_rows), why ? ": " : "",
              why ? why : "");
  stake_above(view, finding, node);
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f, s:s?}", "expected_rows", node->plan_rows, "actual_rows", node->actual_rows, "factor",
                          round(node->estimate_factor * 10) / 10, "filter", node->filter ? node->filter : node->index_cond));
}

/* Index conditions and filters of a scan, taken together. */
static void scan_conditions(const struct finding_view *view, const struct plan_node *node, struct condition_list *list) {
  conditions_read(view->arena, node->filter, list);
  conditions_read(view->arena, node->index_cond ? node->index_cond : node->recheck_cond, list);
}

bool look_est_skew(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!begins_skew(node)) return false;
  tell(view, node, finding, "wrong estimates begin here");
  return true;
}

bool look_correlated_cols(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!plan_is_scan(node) || !begins_skew(node) || !node->underestimated) return false;
  struct condition_list list = {0};
  struct name_list names = {0};
  const char *text = NULL;
  scan_conditions(view, node, &list);
  for (size_t i = 0; i < list.count; i++) {
    bool dependent = list.items[i].column && (list.items[i].kind == CONDITION_EQUAL || list.items[i].kind == CONDITION_IN);
    if (!dependent || list_has(names.items, names.count, list.items[i].column)) continue;
    const char **slot = LIST_PUSH(view->arena, &names);
    if (slot) *slot = list.items[i].column;
    text = arena_printf(view->arena, "%s%s%s", text ? text : "", text ? ", " : "", list.items[i].column);
  }
  if (names.count < 2) return false;
  tell(view, node, finding, "the planner takes its conditions for independent of each other");
  finding_advise(view, finding, "CREATE STATISTICS ON %s FROM %s; ANALYZE %s", text, plan_relation(view->plan, node),
                 plan_relation(view->plan, node));
  return true;
}

static const struct condition *wrapped_condition(const struct finding_view *view, const struct plan_node *node) {
  struct condition_list list = {0};
  scan_conditions(view, node, &list);
  for (size_t i = 0; i < list.count; i++)
    if (list.items[i].column && list.items[i].kind >= CONDITION_FUNCTION && list.items[i].kind <= CONDITION_ARITHMETIC)
      return &list.items[i];
  return NULL;
}

bool look_expr_stats(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct condition *wrapped = plan_is_scan(node) && begins_skew(node) ? wrapped_condition(view, node) : NULL;
  if (!wrapped) return false;
  tell(view, node, finding, arena_printf(view->arena, "there are no statistics for the expression on %s", wrapped->column));
  finding_advise(view, finding, "CREATE STATISTICS on the expression (PostgreSQL 14 and later), or an index on it; then ANALYZE %s",
                 plan_relation(view->plan, node));
  return true;
}

/* 0.5 % is what an equality without statistics gets, 1/3 a comparison, 0.5 % a range of two. */
bool look_default_selectivity(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  static const double defaults[] = {0.005, 1.0 / 3, 0.333 * 0.333, 0.0005};
  if (!plan_is_scan(node) || !begins_skew(node) || !node->table || node->table->rows <= 0) return false;
  double share = node->plan_rows / (double)node->table->rows;
  for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
    if (fabs(share - defaults[i]) > SIGNATURE * defaults[i]) continue;
    tell(view, node, finding, "the planner knew nothing of the condition and took a constant share");
    return true;
  }
  return false;
}

bool look_stale_stats(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct snap_table *table = node->table;
  if (!plan_is_scan(node) || !table || (table->kind != SNAP_TABLE && table->kind != SNAP_MATVIEW)) return false;
  double changed = (double)table->activity.changed_since_analyze, rows = (double)table->rows;
  bool never = rows < 0 && (changed >= STALE_ROWS || finding_rows_read(node) >= STALE_ROWS);
  if (!never && !(changed >= STALE_ROWS && changed > STALE_SHARE * (rows > 0 ? rows : 1))) return false;
  if (never)
    finding_say(view, finding, "%s was never analysed: the planner guesses", table->qualified);
  else
    finding_say(view, finding, "%s rows of %s changed since it was analysed, of %s then", finding_number(view->arena, changed),
                table->qualified, finding_number(view->arena, rows));
  finding_advise(view, finding, "ANALYZE %s", table->qualified);
  if (begins_skew(node))
    stake_above(view, finding, node);
  else
    finding_stake(finding, node, 0.05);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "changed_since_analyze", changed, "rows", rows));
  return true;
}

bool look_default_rows(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double expected = node->plan_rows;
  bool function = plan_is(node, "Function Scan") || plan_is(node, "Table Function Scan") || plan_is(node, "ProjectSet");
  const struct plan_node *input = plan_is(node, "ProjectSet") ? plan_child(node, PLAN_OUTER) : NULL;
  double per_row = input ? input->plan_rows : 1;
  bool standard = expected == 1000 * per_row || expected == 100 * per_row || expected == 10 * per_row;
  if (!function || !standard || !begins_skew(node)) return false;
  tell(view, node, finding, "that is what a function is taken to return when nothing is said of it");
  return true;
}

bool look_ndistinct_low(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *input = plan_child(node, PLAN_OUTER);
  if (!(plan_is(node, "Aggregate") || plan_is(node, "Unique")) || !begins_skew(node) || !input) return false;
  if (input->estimate_factor >= 3) return false;
  tell(view, node, finding, "the number of distinct values is misjudged");
  return true;
}
