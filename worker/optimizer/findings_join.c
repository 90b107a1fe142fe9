/* findings_join.c - how inputs are put together. */
#include <string.h>

#include "worker/optimizer/finding_impl.h"

#define LOOPS_MANY 1000
#define PAIRS_MANY 1000000.0 /* rows looked at by a nested loop */
#define CARTESIAN 100000.0   /* rows made by a join without a condition */
#define RESCAN_ROWS 1000000.0
#define WASTE_FACTOR 10
#define WASTE_ROWS 10000

/* The scan that an inner side comes down to. */
static const struct plan_node *inner_scan(const struct plan_node *inner) {
  while (inner && (plan_is(inner, "Materialize") || plan_is(inner, "Memoize"))) inner = plan_child(inner, PLAN_OUTER);
  return inner;
}

/* The column of `filter` that is held against another relation's: what an index for the join would lead with. */
static const char *join_column(const struct finding_view *view, const char *filter, const struct plan_node *scan) {
  struct condition_list list = {0};
  conditions_read(view->arena, filter, &list);
  for (size_t i = 0; i < list.count; i++) {
    const PgQuery__Node *node = list.items[i].expression;
    if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || !node->a_expr->lexpr || !node->a_expr->rexpr) continue;
    PgQuery__Node *const sides[] = {node->a_expr->lexpr, node->a_expr->rexpr};
    for (size_t s = 0; s < 2; s++) {
      const PgQuery__Node *side = sides[s];
      if (side->node_case != PG_QUERY__NODE__NODE_COLUMN_REF || side->column_ref->n_fields != 2) continue;
      const char *table = side->column_ref->fields[0]->string ? side->column_ref->fields[0]->string->sval : "";
      if (scan->alias && strcmp(table, scan->alias) == 0) return side->column_ref->fields[1]->string->sval;
    }
  }
  return NULL;
}

bool look_nl_big_inner(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *inner = plan_is(node, "Nested Loop") ? plan_child(node, PLAN_INNER) : NULL, *scan = inner_scan(inner);
  if (!scan || !plan_is(scan, "Seq Scan") || !inner->measured || inner->loops < LOOPS_MANY / 10.0) return false;
  bool again = inner == scan; /* else rows are kept and looked at again */
  double pairs = again ? finding_rows_read(scan) : (scan->rows > 0 ? scan->rows : 1) * inner->loops;
  if (pairs < PAIRS_MANY || (!scan->filter && !node->join_filter)) return false;
  const char *column = join_column(view, node->join_filter ? node->join_filter : scan->filter, scan);
  finding->anchor = scan;
  finding_say(view, finding, "%s is gone through %s times, %s rows in all, to find what belongs to each row of the other side",
              plan_relation(view->plan, scan), finding_number(view->arena, inner->loops), finding_number(view->arena, pairs));
  if (column) finding_advise(view, finding, "CREATE INDEX CONCURRENTLY ON %s (%s)", plan_relation(view->plan, scan), column);
  finding_stake(finding, node, 0.9);
  if (inner->total_ms >= 0 && finding->time_at_stake_ms >= 0) finding->time_at_stake_ms += inner->total_ms * 0.9;
  finding->cost_at_stake += inner->inclusive_cost * 0.9;
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:s?}", "loops", inner->loops, "rows_looked_at", pairs, "join_filter", node->join_filter));
  return true;
}

/* Whether anything on the inner side asks for a value of the outer one; then each execution is another. */
static bool is_parameterized(const struct plan_node *inner, const struct plan_node *join) {
  if (inner->index_cond || inner->filter || inner->recheck_cond || inner->tid_cond || plan_is(inner, "Function Scan")) {
    if (inner->measured && inner->loops > 1) return true;
    if (!inner->measured && (inner->index_cond || inner->recheck_cond)) return true;
  }
  if (plan_is(inner, "Memoize")) return true;
  for (size_t i = 0; i < inner->child_count; i++)
    if (!plan_is(inner, "Materialize") && is_parameterized(inner->children[i], join)) return true;
  return false;
}

bool look_nl_no_cond(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *outer = plan_child(node, PLAN_OUTER), *inner = plan_child(node, PLAN_INNER);
  if (!plan_is(node, "Nested Loop") || node->join_filter || !outer || !inner || is_parameterized(inner, node)) return false;
  if (!node->join_type || strcmp(node->join_type, "Inner") != 0) return false;
  double left = outer->measured ? outer->rows : outer->plan_rows, made = node->measured ? node->rows : node->plan_rows;
  double right = inner->measured ? (inner->loops > 0 ? inner->rows / inner->loops : 0) : inner->plan_rows;
  if (left < 2 || right < 2 || made < CARTESIAN) return false;
  finding_say(view, finding, "every row of one side is put together with every row of the other: %s times %s rows, without a condition",
              finding_number(view->arena, left), finding_number(view->arena, right));
  finding_stake(finding, node, 1);
  finding_shows(view, finding, json_pack("{s:f, s:f, s:f}", "outer_rows", left, "inner_rows", right, "rows", made));
  return true;
}

bool look_materialize_rescan(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  bool kept = plan_is(node, "Materialize") || plan_is(node, "CTE Scan");
  if (!kept || node->loops < LOOPS_MANY / 10.0 || !node->parent || finding_rows_read(node) < RESCAN_ROWS) return false;
  finding->anchor = node->parent;
  finding_say(view, finding, "%s is read again %s times, %s rows in all", plan_name(view->plan, node),
              finding_number(view->arena, node->loops), finding_number(view->arena, finding_rows_read(node)));
  finding_stake(finding, node, 0.9);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "loops", node->loops, "rows_read", finding_rows_read(node)));
  return true;
}

bool look_join_filter_waste(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double removed = node->removed_by_join_filter * node->loops;
  if (!plan_is_join(node) || removed < WASTE_ROWS || removed < WASTE_FACTOR * node->rows) return false;
  const struct plan_node *scan = plan_is(node, "Nested Loop") ? inner_scan(plan_child(node, PLAN_INNER)) : NULL;
  finding_say(view, finding, "%s puts %s pairs of rows together that its filter throws away, and keeps %s", plan_name(view->plan, node),
              finding_number(view->arena, removed), finding_number(view->arena, node->rows));
  if (scan && plan_is(scan, "Seq Scan") && join_column(view, node->join_filter, scan)) finding->anchor = scan;
  finding_stake(finding, node, removed / (removed + node->rows));
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:s?}", "rows_removed", removed, "rows_kept", node->rows, "join_filter", node->join_filter));
  return true;
}

bool look_merge_sort_both(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *outer = plan_child(node, PLAN_OUTER), *inner = plan_child(node, PLAN_INNER);
  if (plan_is(inner, "Materialize")) inner = plan_child(inner, PLAN_OUTER);
  if (!plan_is(node, "Merge Join") || !plan_is(outer, "Sort") || !plan_is(inner, "Sort")) return false;
  double sorts = outer->exclusive_ms + inner->exclusive_ms;
  if (outer->exclusive_ms < 0 || sorts < 0.5 * node->total_ms || sorts < 1) return false;
  finding_say(view, finding, "both sides of the merge join are sorted for it: %.0f of its %.0f ms", sorts, node->total_ms);
  finding_stake(finding, node, 1);
  finding->time_at_stake_ms = sorts * 0.8;
  finding->cost_at_stake = (outer->exclusive_cost + inner->exclusive_cost) * 0.8;
  finding_shows(view, finding, json_pack("{s:f, s:f, s:s?}", "sort_ms", sorts, "join_ms", node->total_ms, "merge_cond", node->merge_cond));
  return true;
}

bool look_memoize_useless(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double looked = node->cache_hits + node->cache_misses;
  if (!plan_is(node, "Memoize") || looked < LOOPS_MANY) return false;
  bool useless = node->cache_hits<node->cache_misses, full = node->cache_evictions + node->cache_overflows> 0.1 * node->cache_misses;
  if (!useless && !full) return false;
  finding_say(view, finding, "Memoize found %s of %s look-ups in its memory%s", finding_number(view->arena, node->cache_hits),
              finding_number(view->arena, looked), full ? ", which is too small for what it should keep" : "");
  if (full)
    finding_advise(view, finding, "Raise hash_mem_multiplier or work_mem: %s entries were thrown out",
                   finding_number(view->arena, node->cache_evictions));
  finding_stake(finding, node, 0.8);
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f}", "hits", node->cache_hits, "misses", node->cache_misses, "evictions", node->cache_evictions));
  return true;
}

/* Joined relations: scans that are no members of an Append, and Appends. */
bool look_join_limit(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  double collapse = finding_setting(view, "join_collapse_limit", 8), from = finding_setting(view, "from_collapse_limit", 8);
  double geqo = finding_setting(view, "geqo_threshold", 12), least = collapse < from ? collapse : from;
  size_t relations = 0;
  for (size_t i = 0; i < view->plan->count; i++) {
    const struct plan_node *node = view->plan->nodes[i];
    relations += plan_is_join(node);
  }
  if (relations) relations++; /* n joins put n + 1 relations together */
  if ((double)relations <= least) return false;
  finding->node = root;
  finding_say(view, finding, "%zu relations are joined, more than the planner tries in every order (%s %.0f)", relations,
              (double)relations >= geqo && least >= geqo ? "geqo_threshold" : "join_collapse_limit", least);
  finding_stake(finding, root, 0);
  finding->cost_at_stake = 0;
  finding_shows(view, finding,
                json_pack("{s:I, s:f, s:f}", "relations", (json_int_t)relations, "join_collapse_limit", collapse, "geqo_threshold", geqo));
  return true;
}
