/* plan_shares.c - from what EXPLAIN prints for each node to what each node adds: exclusive times, costs and buffers.
 *
 * EXPLAIN's times and rows are averages of one execution, its buffers are sums. Below a Gather every process executes the same nodes, and
 * their loops are counted together: wall clock is the sum divided by the processes, which are as many as the executions of Gather's own
 * input for each of Gather's. (Workers of unequal work make that an average.)
 *
 * What a node waits for is not always its child:
 *  - a CTE is printed below the node that defines it, and its time passes in the CTE Scans that pull it;
 *  - an InitPlan is printed below the node that owns it, and its time passes in the first node whose expression asks for its result;
 *  - a SubPlan's time passes in the node it is printed below.
 * The planner charges differently: an InitPlan's and a CTE's cost to the node they are printed below, an inner side as often as the outer
 * side is thought to have rows. */
#include <stdlib.h>
#include <string.h>

#include "worker/optimizer/plan_impl.h"

#define BUFFER_FIELDS (sizeof(struct plan_buffers) / sizeof(double))

static void add_buffers(struct plan_buffers *to, const struct plan_buffers *from, double factor) {
  double *into = (double *)to;
  const double *what = (const double *)from;
  for (size_t i = 0; i < BUFFER_FIELDS; i++) into[i] += what[i] * factor;
}

static double at_least(double value, double floor) { return value > floor ? value : floor; }
static double at_most(double value, double ceiling) { return value < ceiling ? value : ceiling; }

/* --- wall clock --- */

static bool is_gather(const struct plan_node *node) { return plan_is(node, "Gather") || plan_is(node, "Gather Merge"); }

/* How many processes execute what is below a Gather. */
static double processes_below(const struct plan_node *gather) {
  const struct plan_node *input = plan_child(gather, PLAN_OUTER);
  if (!input || gather->loops < 1 || input->loops < 1) return 1;
  return at_least(input->loops / gather->loops, 1);
}

static void sum_loops(struct plan_node *node, double processes) {
  if (node->role == PLAN_INITPLAN || node->role == PLAN_CTE) processes = 1; /* the leader runs them before the workers start */
  node->total_ms = PLAN_UNKNOWN;
  node->rows = node->measured ? at_least(node->actual_rows, 0) * node->loops : PLAN_UNKNOWN;
  if (node->measured)
    node->total_ms = node->never_executed ? 0 : node->actual_ms < 0 ? PLAN_UNKNOWN : node->actual_ms * node->loops / processes;
  if (is_gather(node)) processes = processes_below(node);
  for (size_t i = 0; i < node->child_count; i++) sum_loops(node->children[i], processes);
}

/* --- who waited --- */

/* Takes what `child` spent from `node`. */
static void take(struct plan_node *node, const struct plan_node *child, double share) {
  if (node->exclusive_ms >= 0 && child->total_ms > 0) node->exclusive_ms -= child->total_ms * share;
  add_buffers(&node->own, &child->buffers, -share);
}

/* The CTE Scans of a CTE are in what its owner's other children hold. A name may be defined again further down; the nearest one above
 * counts. */
static bool reads_cte(const struct plan_node *scan, const struct plan_node *cte) {
  if (!plan_is(scan, "CTE Scan") || !scan->cte || strcmp(scan->cte, cte->subplan_name + 4) != 0) return false;
  for (const struct plan_node *up = scan; up; up = up->parent) {
    if (up == cte->parent) return true;
    for (size_t i = 0; i < up->child_count; i++) {
      const struct plan_node *other = up->children[i];
      if (other->role == PLAN_CTE && strcmp(other->subplan_name, cte->subplan_name) == 0) return false;
    }
  }
  return false;
}

static void share_cte(struct query_plan *plan, const struct plan_node *cte) {
  double all_ms = 0, readers = 0;
  for (size_t i = 0; i < plan->count; i++)
    if (reads_cte(plan->nodes[i], cte)) readers++, all_ms += at_least(plan->nodes[i]->total_ms, 0);
  for (size_t i = 0; i < plan->count && readers > 0; i++) {
    struct plan_node *scan = plan->nodes[i];
    if (reads_cte(scan, cte)) take(scan, cte, all_ms > 0 ? at_least(scan->total_ms, 0) / all_ms : 1 / readers);
  }
}

/* "(InitPlan 1).col1" since PostgreSQL 17, "$0" before, where the name says "InitPlan 1 (returns $0)". */
static bool mentions(const char *text, const char *what) {
  size_t len = strlen(what);
  for (const char *at = text; (at = strstr(at, what)); at += len)
    if (at[len] < '0' || at[len] > '9') return true;
  return false;
}

static bool asks_for(const struct plan_node *node, const char *result) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)node->fields, key, value) {
    if (json_is_string(value) && strcmp(key, "Subplan Name") != 0 && mentions(json_string_value(value), result)) return true;
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
      const char *item = json_string_value(json_array_get(value, i));
      if (item && mentions(item, result)) return true;
    }
  }
  return false;
}

static struct plan_node *first_to_ask(struct plan_node *node, const char *result) {
  struct plan_node *found = NULL;
  for (size_t i = 0; i < node->child_count && !found; i++) /* inputs are pulled before what is above them looks at a row */
    if (node->children[i]->role != PLAN_INITPLAN && node->children[i]->role != PLAN_CTE) found = first_to_ask(node->children[i], result);
  return found ? found : asks_for(node, result) ? node : NULL;
}

static struct plan_node *waits_for(const struct plan_node *init) {
  char result[64] = "";
  const char *returns = init->subplan_name ? strstr(init->subplan_name, "(returns $") : NULL;
  if (returns)
    snprintf(result, sizeof result, "$%ld", strtol(returns + strlen("(returns $"), NULL, 10));
  else if (init->subplan_name)
    snprintf(result, sizeof result, "(%.50s)", init->subplan_name);
  struct plan_node *asked = *result ? first_to_ask(init->parent, result) : NULL;
  struct plan_node *waits = asked ? asked : init->parent;
  for (struct plan_node *up = waits; up != init->parent && up; up = up->parent)
    if (is_gather(up)) waits = up; /* its results are made before workers start */
  return waits;
}

#define LOOKS_MAX 20000000 /* nodes looked at for who waits for whom; no plan of a server comes near */

static void share_measures(struct query_plan *plan) {
  size_t looks = 0;
  for (size_t i = 0; i < plan->count; i++) {
    plan->nodes[i]->exclusive_ms = plan->nodes[i]->total_ms;
    plan->nodes[i]->own = plan->nodes[i]->buffers;
  }
  for (size_t i = 0; i < plan->count; i++) {
    struct plan_node *node = plan->nodes[i];
    bool apart = node->role == PLAN_CTE || node->role == PLAN_INITPLAN;
    if (apart && (looks += plan->count) > LOOKS_MAX) continue;
    if (node->role == PLAN_CTE && node->subplan_name)
      share_cte(plan, node);
    else if (node->role == PLAN_INITPLAN)
      take(waits_for(node), node, 1);
    else if (node->parent && !apart)
      take(node->parent, node, 1);
  }
  for (size_t i = 0; i < plan->count; i++) { /* clocks are read at slightly other moments, and averages are rounded */
    struct plan_node *node = plan->nodes[i];
    if (node->exclusive_ms < 0 && node->total_ms >= 0) node->exclusive_ms = 0;
    double *own = (double *)&node->own;
    for (size_t f = 0; f < BUFFER_FIELDS; f++) own[f] = at_least(own[f], 0);
  }
}

/* --- cost --- */

static double rows_in(const struct plan_node *node) {
  const struct plan_node *input = plan_child(node, PLAN_OUTER);
  if (input) return at_least(input->plan_rows, 1);
  return node->table && node->table->rows > 0 ? (double)node->table->rows : at_least(node->plan_rows, 1);
}

static bool hashed_subplan(const struct plan_node *node) {
  char name[64];
  snprintf(name, sizeof name, "hashed %.50s", node->subplan_name ? node->subplan_name : "");
  return node->parent && asks_for(node->parent, name);
}

/* How often the planner thinks a child runs for one run of its parent. */
static double runs(const struct plan_node *child) {
  const struct plan_node *parent = child->parent;
  if (child->role == PLAN_INNER && plan_is(parent, "Nested Loop")) return rows_in(parent);
  if (child->role == PLAN_SUBPLAN) return hashed_subplan(child) ? 1 : rows_in(parent);
  return 1;
}

/* A parent was charged for no more than its own total (a LIMIT stops, a rescan is cheaper than a scan): children share what it was, the
 * certain ones first. */
static void share_cost(struct plan_node *node) {
  double scale = node->total_cost > 0 ? node->inclusive_cost / node->total_cost : 0;
  double left = node->inclusive_cost;
  for (int pass = 0; pass < 2; pass++)
    for (size_t i = 0; i < node->child_count; i++) {
      struct plan_node *child = node->children[i];
      double times = runs(child);
      if ((times > 1) != (pass == 1)) continue;
      child->inclusive_cost = at_most(child->total_cost * times * scale, left);
      left -= child->inclusive_cost;
    }
  node->exclusive_cost = left;
  for (size_t i = 0; i < node->child_count; i++) share_cost(node->children[i]);
}

/* --- estimates --- */

/* What reads `child` may stop before its end. */
static bool may_stop(const struct plan_node *parent, const struct plan_node *child) {
  if (plan_is(parent, "Limit") || child->role == PLAN_SUBPLAN || child->role == PLAN_INITPLAN) return true;
  if (plan_is(parent, "Merge Join")) return true;
  const struct plan_node *inner = plan_child(parent, PLAN_INNER);
  bool first_match = parent->join_type && (strcmp(parent->join_type, "Semi") == 0 || strcmp(parent->join_type, "Anti") == 0);
  if (plan_is(parent, "Nested Loop"))
    return child == inner && (first_match || json_is_true(json_object_get(parent->fields, "Inner Unique")));
  return plan_is(parent, "Hash Join") && child->role == PLAN_OUTER && inner && inner->rows == 0;
}

static void judge_estimate(struct plan_node *node) {
  const struct plan_node *parent = node->parent;
  node->stops_early = parent && (may_stop(parent, node) || (parent->stops_early && !plan_blocks(parent)));
  bool counts = !plan_is(node, "BitmapAnd") && !plan_is(node, "BitmapOr") && node->plan_rows > 0; /* those two count nothing */
  if (!node->measured || node->never_executed || !counts) return;
  double expected = at_least(node->plan_rows, 1), came = at_least(node->actual_rows, 1);
  node->underestimated = came > expected;
  node->estimate_factor = node->underestimated ? came / expected : expected / came;
}

void plan_shares(struct query_plan *plan) {
  sum_loops(plan->root, 1);
  share_measures(plan);
  plan->root->inclusive_cost = plan->root->total_cost;
  share_cost(plan->root);
  for (size_t i = 0; i < plan->count; i++) judge_estimate(plan->nodes[i]);
  plan->total_ms = plan->execution_ms >= 0 ? plan->execution_ms : plan->root->total_ms;
}
