/* plan.h - a query's plan as a tree: what EXPLAIN said, every field of it, and what follows from it.
 *
 * Whatever EXPLAIN printed (JSON, or text as psql, pgAdmin, IDEs and auto_explain's log frame it) is first turned into EXPLAIN's own JSON
 * (plan_source.h) and then built here, so a plan is the same tree whichever way it came. Everything lives in one arena.
 *
 * What EXPLAIN prints is per execution of a node; sums over executions are here once, corrected for loops and parallel processes, and
 * times, costs and buffers are divided among nodes so that the exclusive ones add up to the whole (plan_shares.c). */
#ifndef AUTODB_OPTIMIZER_PLAN_H
#define AUTODB_OPTIMIZER_PLAN_H

#include <stdint.h>

#include "common/arena.h"
#include "common/error.h"
#include "worker/schema/snapshot.h"

#define PLAN_UNKNOWN (-1.0) /* of times, rows and loops that were not measured */

/* What a node is to its parent. */
enum plan_role {
  PLAN_ROOT,
  PLAN_OUTER, /* also the only input of a node with one */
  PLAN_INNER,
  PLAN_MEMBER,   /* of Append, Merge Append, BitmapAnd, BitmapOr */
  PLAN_SUBQUERY, /* of a Subquery Scan */
  PLAN_INITPLAN, /* run once before it is needed */
  PLAN_CTE,      /* an InitPlan that CTE Scans read */
  PLAN_SUBPLAN   /* run by an expression of the parent, for each of its rows unless hashed */
};

struct plan_buffers { /* blocks of 8 KiB; PLAN's times in ms, 0 unless track_io_timing was on */
  double shared_hit, shared_read, shared_dirtied, shared_written;
  double local_hit, local_read, local_dirtied, local_written;
  double temp_read, temp_written;
  double read_ms, write_ms; /* of shared and local blocks */
  double temp_read_ms, temp_write_ms;
};

/* Strings are as EXPLAIN prints them and NULL when absent. Numbers that EXPLAIN's text leaves out when they are zero are zero. */
struct plan_node {
  size_t index; /* place in query_plan.nodes: parents before children, depth first */
  struct plan_node *parent;
  struct plan_node **children;  /* in EXPLAIN's order */
  size_t child_count, position; /* its own place among its parent's children */
  enum plan_role role;
  const json_t *fields; /* every member of EXPLAIN's JSON but "Plans"; borrowed */

  const char *type;         /* "Seq Scan", without "Parallel", "Partial" and join type, which are fields of their own */
  const char *operation;    /* ModifyTable: "Insert", …; Foreign Scan, too */
  const char *join_type;    /* "Inner", "Left", "Semi", "Anti", … */
  const char *strategy;     /* Aggregate, SetOp: "Hashed", "Sorted", "Plain", "Mixed" */
  const char *partial_mode; /* Aggregate: "Simple", "Partial", "Finalize" */
  const char *subplan_name; /* "CTE recent", "InitPlan 1 (returns $0)", "SubPlan 2" */
  bool parallel_aware;

  const char *relation, *schema, *alias;   /* of scans and ModifyTable; schema only under VERBOSE */
  const char *index_name, *scan_direction; /* of index scans */
  const char *cte, *function;              /* of CTE Scan, Function Scan */
  const struct snap_table *table;          /* what the snapshot knows of the relation; NULL without one */

  const char *index_cond, *recheck_cond, *order_by, *filter, *join_filter, *hash_cond, *merge_cond, *tid_cond, *one_time_filter,
      *run_condition;
  const char **sort_key, **presorted_key, **group_key;
  size_t sort_key_count, presorted_key_count, group_key_count;

  /* --- estimated, of one execution --- */
  double startup_cost, total_cost, plan_rows, plan_width;

  /* --- measured: averages of one execution, PLAN_UNKNOWN where EXPLAIN did not say --- */
  bool measured;                /* its rows were counted */
  bool never_executed;          /* measured, and loops is 0 */
  double startup_ms, actual_ms; /* of one execution, its inputs included; PLAN_UNKNOWN with TIMING off */
  double actual_rows, loops;
  double removed_by_filter, removed_by_join_filter, removed_by_recheck; /* of one execution */
  double heap_fetches, exact_heap_blocks, lossy_heap_blocks; /* of all; bitmap heap blocks are the leader's before PostgreSQL 18 */
  double workers_planned, workers_launched;                  /* of Gather and Gather Merge */
  const char *sort_method;
  double sort_space_kb, hash_batches, original_hash_batches, hash_buckets, peak_memory_kb, disk_kb, planned_partitions;
  bool sort_on_disk;
  double cache_hits, cache_misses, cache_evictions, cache_overflows; /* of Memoize */
  bool has_buffers;
  struct plan_buffers buffers; /* of all executions, its inputs included */

  /* --- derived --- */
  double rows;             /* actual_rows x loops: of all executions, all processes */
  double total_ms;         /* wall clock, of all executions, its inputs included; PLAN_UNKNOWN when not timed */
  double exclusive_ms;     /* without its inputs and what it waited for CTEs and InitPlans */
  double exclusive_cost;   /* its part of the plan's total cost */
  double inclusive_cost;   /* total_cost as often as it is thought to run, as far as its parent was charged for it */
  double estimate_factor;  /* how often the estimate fits into what came, or the other way; 1 is right, 0 unknown */
  bool underestimated;     /* more rows came than were expected */
  struct plan_buffers own; /* without its inputs' */
  bool stops_early; /* whoever reads it may stop before its end (LIMIT, semi join, merge join, cursor): fewer rows than expected say nothing
                     */
};

struct plan_trigger {
  const char *name, *constraint, *relation; /* constraint NULL unless it enforces one */
  double ms, calls;
};

struct query_plan {
  struct arena *arena;
  struct plan_node *root, **nodes;
  size_t count;
  const json_t *json; /* EXPLAIN's JSON: an object with "Plan"; borrowed */
  const char *text;   /* the plan as it was given, or as rendered (plan_text.h) when it came as JSON */
  bool from_text;     /* read from text: what EXPLAIN's text leaves out is absent */
  bool analyzed, timed, verbose, buffers;
  double planning_ms, execution_ms; /* PLAN_UNKNOWN when not printed */
  double total_ms;                  /* execution_ms, else the root's; PLAN_UNKNOWN when not timed */
  double total_cost;                /* the root's */
  struct plan_buffers planning_buffers;
  const json_t *settings, *jit;                                                  /* objects as in the JSON; NULL when absent */
  double jit_ms, jit_functions, serialization_ms, serialized_kb, plan_memory_kb; /* PLAN_UNKNOWN when absent */
  struct plan_trigger *triggers;
  size_t trigger_count;
  const char *query;    /* auto_explain's "Query Text"; NULL */
  const char *query_id; /* NULL */
};

/* Builds the tree from EXPLAIN's JSON: an array with one object, or the object. Snapshot may be NULL; with one, scans know their table. The
 * JSON is borrowed and must live as long as the arena. ERR_VALIDATION, code "PLAN_INVALID", when it is no plan. */
MUST_CHECK enum status plan_build(const json_t *explain, const struct snapshot *snapshot, struct arena *arena, struct query_plan **ret_plan,
                                  struct error *err);
/* From text as people paste it, or JSON (plan_source.h). */
MUST_CHECK enum status plan_parse(const char *text, size_t len, const struct snapshot *snapshot, struct arena *arena,
                                  struct query_plan **ret_plan, struct error *err);

/* --- asking --- */

/* A member of EXPLAIN's JSON that has no place of its own above. */
double plan_number(const struct plan_node *node, const char *field, double otherwise);
const char *plan_string(const struct plan_node *node, const char *field); /* NULL when absent */

static inline bool plan_is(const struct plan_node *node, const char *type) { return node && strcmp(node->type, type) == 0; }
bool plan_is_scan(const struct plan_node *node); /* reads a table, by whatever way */
bool plan_is_join(const struct plan_node *node);
/* Reads all its input before it gives its first row (Sort, Hash, hashed Aggregate, …): a LIMIT above stops nothing below. */
bool plan_blocks(const struct plan_node *node);
const struct plan_node *plan_child(const struct plan_node *node, enum plan_role role); /* the first of that role; NULL */
bool plan_below(const struct plan_node *node, const struct plan_node *ancestor);       /* itself not */
/* What a reader calls it: "Seq Scan on orders o". In the arena. */
const char *plan_name(const struct query_plan *plan, const struct plan_node *node);
/* Of the relation a node scans: "schema.table" when known, else as printed. NULL for others. */
const char *plan_relation(const struct query_plan *plan, const struct plan_node *node);

/* --- answering --- */

/* execution_plan of the contract (section 5). Each node has the contract's members, and "fields" as EXPLAIN had them. New reference. */
json_t *plan_json(const struct query_plan *plan);
/* The plan as EXPLAIN's text has it, in the arena; NULL when that is full. */
const char *plan_text(const struct query_plan *plan);
/* node_path of the contract: the places to go down from the root. New reference. */
json_t *plan_path_json(const struct plan_node *node);

#endif
