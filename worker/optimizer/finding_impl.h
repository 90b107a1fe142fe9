/* finding_impl.h - what the files of findings share. */
#ifndef AUTODB_OPTIMIZER_FINDING_IMPL_H
#define AUTODB_OPTIMIZER_FINDING_IMPL_H

#include "common/json.h"
#include "worker/optimizer/condition.h"
#include "worker/optimizer/finding.h"

/* Says whether the row applies, and fills message, evidence and what is at stake when it does. Anchor, advice and severity are the row's
 * unless it sets them. */
typedef bool (*finding_look)(const struct finding_view *view, const struct plan_node *node, struct finding *finding);

enum finding_scope {
  FINDING_NODE,     /* asked of every node of a plan */
  FINDING_MEASURED, /* the same, of nodes that were run */
  FINDING_PLAN,     /* asked once of a plan; node is its root */
  FINDING_TEXT      /* asked once of the statement; node is NULL */
};

/* To add a finding: a row in findings_table.c (before those it should speak instead of), a function in its group's file, a pair in
 * tests/integration/test_findings.c, and deploy/check/rules --fix, which writes FINDINGS.md. */
struct finding_kind {
  const char *code;       /* kebab-case, stable */
  enum severity severity; /* of a finding with much at stake; less where little is */
  enum finding_cause cause;
  enum finding_scope scope;
  finding_look look;
  const char *group;   /* heading in FINDINGS.md */
  const char *trigger; /* when it is found, for FINDINGS.md */
  const char *advice;
};
extern const struct finding_kind findings_table[];
extern const size_t findings_table_count;

/* --- filling --- */

/* The share of the node's own time and cost that would go away. */
void finding_stake(struct finding *finding, const struct plan_node *node, double share);
void finding_say(const struct finding_view *view, struct finding *finding, const char *fmt, ...) PRINTF_LIKE(3, 4);
void finding_advise(const struct finding_view *view, struct finding *finding, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Evidence, as json_pack has it: an object. */
void finding_shows(const struct finding_view *view, struct finding *finding, json_t *take_evidence);

/* --- asking --- */

double finding_setting(const struct finding_view *view, const char *name,
                       double otherwise); /* of the plan's settings that are not the default; in kB, ms or as it stands */
/* Rows a scan looked at, in all its executions: what it gave and what it threw away. Estimated from the snapshot where nothing was
 * measured; 0 unknown. */
double finding_rows_read(const struct plan_node *node);
double finding_blocks(const struct plan_buffers *buffers);               /* hit or read */
const char *finding_columns(struct arena *arena, const char *condition); /* "a, b": those an index could serve; NULL when none */
/* Advises an index on the node's relation for these conditions (text of EXPLAIN, NULL none) and, where `sort` is given, its order: columns
 * compared for equality first, then the order or one range. False: no index serves them, and nothing is advised. */
bool finding_index(const struct finding_view *view, struct finding *finding, const struct plan_node *node, const char *conditions,
                   const struct plan_node *sort);
const char *finding_number(struct arena *arena, double value);         /* "1,234,567" */
bool finding_input_of(const struct plan_node *node, const char *type); /* an ancestor by way of inputs is of that type */

/* --- the rows' functions, by file --- */
#define LOOKS(name) bool name(const struct finding_view *view, const struct plan_node *node, struct finding *finding)
/* findings_scan.c */
LOOKS(look_no_index_cond);
LOOKS(look_skipped_prefix);
LOOKS(look_index_filter);
LOOKS(look_recheck_removed);
LOOKS(look_bitmap_and_big);
LOOKS(look_seq_selective);
LOOKS(look_filter_waste);
LOOKS(look_low_correlation);
LOOKS(look_recheck_lossy);
LOOKS(look_heap_fetches);
LOOKS(look_bloat_read);
LOOKS(look_cold_read);
LOOKS(look_read_volume);
LOOKS(look_brin_candidate);
LOOKS(look_fdw_no_pushdown);
LOOKS(look_prune_fail);
/* findings_estimate.c */
LOOKS(look_stale_stats);
LOOKS(look_default_rows);
LOOKS(look_ndistinct_low);
LOOKS(look_expr_stats);
LOOKS(look_correlated_cols);
LOOKS(look_default_selectivity);
LOOKS(look_est_skew);
/* findings_join.c */
LOOKS(look_nl_no_cond);
LOOKS(look_nl_big_inner);
LOOKS(look_materialize_rescan);
LOOKS(look_join_filter_waste);
LOOKS(look_merge_sort_both);
LOOKS(look_memoize_useless);
LOOKS(look_join_limit);
/* findings_memory.c */
LOOKS(look_hash_skew);
LOOKS(look_hash_batches);
LOOKS(look_sort_spill);
LOOKS(look_agg_spill);
LOOKS(look_temp_io);
/* findings_form.c */
LOOKS(look_not_in_subplan);
LOOKS(look_subplan_loops);
LOOKS(look_cte_fence);
LOOKS(look_offset_waste);
LOOKS(look_topn_late);
LOOKS(look_sort_avoidable);
LOOKS(look_incremental_one_group);
LOOKS(look_window_rn);
LOOKS(look_distinct_waste);
LOOKS(look_union_dedup);
/* findings_engine.c */
LOOKS(look_fk_no_index);
LOOKS(look_trigger_time);
LOOKS(look_jit_cost);
LOOKS(look_planning_time);
LOOKS(look_serialize);
LOOKS(look_disabled_node);
LOOKS(look_settings);
LOOKS(look_workers_missing);
LOOKS(look_parallel_blocked);
LOOKS(look_parallel_skew);
LOOKS(look_lock_rows);
LOOKS(look_wal_volume);
/* findings_text.c */
LOOKS(look_equals_null);
LOOKS(look_not_in_nullable);
LOOKS(look_missing_join);
LOOKS(look_join_type_mismatch);
LOOKS(look_implicit_cast);
LOOKS(look_function_on_column);
LOOKS(look_leading_wildcard);
LOOKS(look_order_by_random);
LOOKS(look_count_exists);
LOOKS(look_limit_unordered);
LOOKS(look_offset);
LOOKS(look_select_star);
LOOKS(look_union_all);
LOOKS(look_distinct_join);
LOOKS(look_or_mix);
LOOKS(look_in_list_huge);
LOOKS(look_between_timestamps);
LOOKS(look_volatile_where);
LOOKS(look_deep_views);

#endif
