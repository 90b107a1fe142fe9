/* plan.c - from EXPLAIN's JSON to the tree: each member read once, typed, with what is left out taken for zero. */
#include "worker/optimizer/plan.h"

#include "common/json.h"
#include "common/limits.h"
#include "worker/optimizer/plan_impl.h"

double plan_field(const json_t *object, const char *name, double otherwise) {
  const json_t *value = json_object_get(object, name);
  return json_is_number(value) ? json_number_value(value) : otherwise;
}

double plan_number(const struct plan_node *node, const char *field, double otherwise) { return plan_field(node->fields, field, otherwise); }
const char *plan_string(const struct plan_node *node, const char *field) { return json_str(node->fields, field, NULL); }

/* --- a node --- */

static const struct {
  const char *field;
  size_t offset;
} texts[] = {{"Node Type", offsetof(struct plan_node, type)},
             {"Operation", offsetof(struct plan_node, operation)},
             {"Join Type", offsetof(struct plan_node, join_type)},
             {"Strategy", offsetof(struct plan_node, strategy)},
             {"Partial Mode", offsetof(struct plan_node, partial_mode)},
             {"Subplan Name", offsetof(struct plan_node, subplan_name)},
             {"Relation Name", offsetof(struct plan_node, relation)},
             {"Schema", offsetof(struct plan_node, schema)},
             {"Alias", offsetof(struct plan_node, alias)},
             {"Index Name", offsetof(struct plan_node, index_name)},
             {"Scan Direction", offsetof(struct plan_node, scan_direction)},
             {"CTE Name", offsetof(struct plan_node, cte)},
             {"Function Name", offsetof(struct plan_node, function)},
             {"Index Cond", offsetof(struct plan_node, index_cond)},
             {"Recheck Cond", offsetof(struct plan_node, recheck_cond)},
             {"Order By", offsetof(struct plan_node, order_by)},
             {"Filter", offsetof(struct plan_node, filter)},
             {"Join Filter", offsetof(struct plan_node, join_filter)},
             {"Hash Cond", offsetof(struct plan_node, hash_cond)},
             {"Merge Cond", offsetof(struct plan_node, merge_cond)},
             {"TID Cond", offsetof(struct plan_node, tid_cond)},
             {"One-Time Filter", offsetof(struct plan_node, one_time_filter)},
             {"Run Condition", offsetof(struct plan_node, run_condition)}};

static const struct {
  const char *field;
  size_t offset;
  double otherwise;
} numbers[] = {{"Startup Cost", offsetof(struct plan_node, startup_cost), 0},
               {"Total Cost", offsetof(struct plan_node, total_cost), 0},
               {"Plan Rows", offsetof(struct plan_node, plan_rows), 0},
               {"Plan Width", offsetof(struct plan_node, plan_width), 0},
               {"Actual Startup Time", offsetof(struct plan_node, startup_ms), PLAN_UNKNOWN},
               {"Actual Total Time", offsetof(struct plan_node, actual_ms), PLAN_UNKNOWN},
               {"Actual Rows", offsetof(struct plan_node, actual_rows), PLAN_UNKNOWN},
               {"Actual Loops", offsetof(struct plan_node, loops), PLAN_UNKNOWN},
               {"Rows Removed by Filter", offsetof(struct plan_node, removed_by_filter), 0},
               {"Rows Removed by Join Filter", offsetof(struct plan_node, removed_by_join_filter), 0},
               {"Rows Removed by Index Recheck", offsetof(struct plan_node, removed_by_recheck), 0},
               {"Heap Fetches", offsetof(struct plan_node, heap_fetches), 0},
               {"Exact Heap Blocks", offsetof(struct plan_node, exact_heap_blocks), 0},
               {"Lossy Heap Blocks", offsetof(struct plan_node, lossy_heap_blocks), 0},
               {"Workers Planned", offsetof(struct plan_node, workers_planned), 0},
               {"Workers Launched", offsetof(struct plan_node, workers_launched), PLAN_UNKNOWN},
               {"Hash Batches", offsetof(struct plan_node, hash_batches), 0},
               {"HashAgg Batches", offsetof(struct plan_node, hash_batches), 0},
               {"Original Hash Batches", offsetof(struct plan_node, original_hash_batches), 0},
               {"Hash Buckets", offsetof(struct plan_node, hash_buckets), 0},
               {"Peak Memory Usage", offsetof(struct plan_node, peak_memory_kb), 0},
               {"Disk Usage", offsetof(struct plan_node, disk_kb), 0},
               {"Planned Partitions", offsetof(struct plan_node, planned_partitions), 0},
               {"Cache Hits", offsetof(struct plan_node, cache_hits), 0},
               {"Cache Misses", offsetof(struct plan_node, cache_misses), 0},
               {"Cache Evictions", offsetof(struct plan_node, cache_evictions), 0},
               {"Cache Overflows", offsetof(struct plan_node, cache_overflows), 0}};

#define BLOCKS(kind, member)                                                                                                              \
  {kind " Hit Blocks", offsetof(struct plan_buffers, member##_hit)}, {kind " Read Blocks", offsetof(struct plan_buffers, member##_read)}, \
      {kind " Dirtied Blocks", offsetof(struct plan_buffers, member##_dirtied)}, {                                                        \
    kind " Written Blocks", offsetof(struct plan_buffers, member##_written)                                                               \
  }
/* "I/O Read Time" was split into shared and local by PostgreSQL 17; sums of both are kept. */
static const struct {
  const char *field;
  size_t offset;
} block_fields[] = {BLOCKS("Shared", shared),
                    BLOCKS("Local", local),
                    {"Temp Read Blocks", offsetof(struct plan_buffers, temp_read)},
                    {"Temp Written Blocks", offsetof(struct plan_buffers, temp_written)},
                    {"I/O Read Time", offsetof(struct plan_buffers, read_ms)},
                    {"I/O Write Time", offsetof(struct plan_buffers, write_ms)},
                    {"Shared I/O Read Time", offsetof(struct plan_buffers, read_ms)},
                    {"Shared I/O Write Time", offsetof(struct plan_buffers, write_ms)},
                    {"Local I/O Read Time", offsetof(struct plan_buffers, read_ms)},
                    {"Local I/O Write Time", offsetof(struct plan_buffers, write_ms)},
                    {"Temp I/O Read Time", offsetof(struct plan_buffers, temp_read_ms)},
                    {"Temp I/O Write Time", offsetof(struct plan_buffers, temp_write_ms)}};

static bool take_buffers(const json_t *fields, struct plan_buffers *out) {
  bool any = false;
  for (size_t i = 0; i < sizeof block_fields / sizeof *block_fields; i++) {
    double value = plan_field(fields, block_fields[i].field, PLAN_UNKNOWN);
    if (value < 0) continue;
    *(double *)(void *)((char *)out + block_fields[i].offset) += value;
    any = true;
  }
  return any;
}

/* A list of keys; EXPLAIN writes arrays, text gives arrays, too (plan_lines.c). */
static bool take_keys(const json_t *fields, const char *name, struct arena *arena, const char ***ret_keys, size_t *ret_count) {
  const json_t *list = json_object_get(fields, name);
  size_t count = json_array_size(list);
  const char **keys = count ? arena_calloc(arena, count, sizeof *keys) : NULL;
  if (count && !keys) return false;
  for (size_t i = 0; i < count; i++) {
    const char *key = json_string_value(json_array_get(list, i));
    keys[i] = key ? key : "";
  }
  *ret_keys = keys;
  *ret_count = count;
  return true;
}

/* Parallel workers sort, hash and aggregate each for themselves: what any of them wrote to disk counts. */
static void take_sort(struct plan_node *node, const json_t *fields) {
  const char *method = json_str(fields, "Sort Method", NULL);
  if (!method) return;
  if (!node->sort_method) node->sort_method = method;
  node->sort_space_kb += plan_field(fields, "Sort Space Used", 0);
  if (strcmp(json_str(fields, "Sort Space Type", ""), "Disk") == 0) {
    node->sort_on_disk = true;
    node->sort_method = method;
  }
}

static void take_workers(struct plan_node *node) {
  const json_t *workers = json_object_get(node->fields, "Workers"), *worker;
  size_t index;
  take_sort(node, node->fields);
  json_array_foreach(workers, index, worker) {
    take_sort(node, worker);
    node->disk_kb += plan_field(worker, "Disk Usage", 0);
    double batches = plan_field(worker, "HashAgg Batches", 0);
    if (batches > node->hash_batches) node->hash_batches = batches;
  }
}

static enum plan_role role_of(const json_t *fields, const struct plan_node *parent, size_t position) {
  const char *relation = json_str(fields, "Parent Relationship", ""), *name = json_str(fields, "Subplan Name", "");
  if (!parent) return PLAN_ROOT;
  if (strcmp(relation, "InitPlan") == 0) return strncmp(name, "CTE ", 4) == 0 ? PLAN_CTE : PLAN_INITPLAN;
  if (strcmp(relation, "SubPlan") == 0) return PLAN_SUBPLAN;
  bool modifies = plan_is(parent, "ModifyTable") && position == 0; /* "Member" before PostgreSQL 14, "Outer" since */
  if (strcmp(relation, "Member") == 0) return modifies ? PLAN_OUTER : PLAN_MEMBER;
  if (strcmp(relation, "Subquery") == 0) return PLAN_SUBQUERY;
  if (strcmp(relation, "Inner") == 0) return PLAN_INNER;
  return strcmp(relation, "Outer") == 0 || position == 0 ? PLAN_OUTER : PLAN_MEMBER;
}

static bool fill(struct plan_node *node, struct arena *arena) {
  const json_t *fields = node->fields;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    *(const char **)(void *)((char *)node + texts[i].offset) = json_str(fields, texts[i].field, NULL);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    double *into = (double *)(void *)((char *)node + numbers[i].offset);
    if (*into == 0) *into = plan_field(fields, numbers[i].field, numbers[i].otherwise);
  }
  node->parallel_aware = json_bool(fields, "Parallel Aware", false);
  node->measured = node->loops >= 0;
  node->never_executed = node->loops == 0;
  node->has_buffers = take_buffers(fields, &node->buffers);
  take_workers(node);
  return take_keys(fields, "Sort Key", arena, &node->sort_key, &node->sort_key_count) &&
         take_keys(fields, "Presorted Key", arena, &node->presorted_key, &node->presorted_key_count) &&
         take_keys(fields, "Group Key", arena, &node->group_key, &node->group_key_count);
}

/* --- the tree --- */

static json_t *without_plans(const json_t *object) {
  json_t *fields = json_object();
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, key, value) {
    if (fields && strcmp(key, "Plans") != 0) json_object_set(fields, key, value);
  }
  return fields;
}

struct build {
  struct query_plan *plan;
  size_t capacity;
  struct error *err;
};

static enum status invalid(struct error *err, const char *what) {
  return error_set_code(err, ERR_VALIDATION, "PLAN_INVALID", "plan: %s", what);
}

static enum status keep(struct build *build, struct plan_node *node) {
  struct query_plan *plan = build->plan;
  if (plan->count == LIMIT_PLAN_NODES)
    return error_set_code(build->err, ERR_VALIDATION, "PLAN_TOO_LARGE", "plan: has more than %d nodes", LIMIT_PLAN_NODES);
  if (!list_reserve(plan->arena, &plan->nodes, plan->count, &build->capacity, sizeof *plan->nodes)) return error_oom(build->err);
  node->index = plan->count;
  plan->nodes[plan->count++] = node;
  return OK;
}

static enum status add_node(struct build *build, const json_t *object, struct plan_node *parent, size_t position, int depth,
                            struct plan_node **ret_node) {
  struct arena *arena = build->plan->arena;
  if (!json_is_string(json_object_get(object, "Node Type"))) return invalid(build->err, "a node has no \"Node Type\"");
  if (depth > LIMIT_PLAN_DEPTH)
    return error_set_code(build->err, ERR_VALIDATION, "PLAN_TOO_LARGE", "plan: is nested deeper than %d nodes", LIMIT_PLAN_DEPTH);
  struct plan_node *node = ARENA_NEW(arena, struct plan_node);
  if (!node) return error_oom(build->err);
  *node = (struct plan_node){.parent = parent, .position = position, .fields = arena_json(arena, without_plans(object))};
  if (!node->fields || !fill(node, arena)) return error_oom(build->err);
  node->role = role_of(node->fields, parent, position);
  enum status status = keep(build, node);
  const json_t *plans = json_object_get(object, "Plans");
  node->child_count = json_array_size(plans);
  node->children = arena_calloc(arena, node->child_count + 1, sizeof *node->children);
  if (!status && !node->children) status = error_oom(build->err);
  for (size_t i = 0; !status && i < node->child_count; i++)
    status = add_node(build, json_array_get(plans, i), node, i, depth + 1, &node->children[i]);
  if (!status) *ret_node = node;
  return status;
}

/* --- what belongs to the whole --- */

static bool take_triggers(struct query_plan *plan) {
  const json_t *list = json_object_get(plan->json, "Triggers"), *one;
  size_t index, count = json_array_size(list);
  plan->triggers = arena_calloc(plan->arena, count + 1, sizeof *plan->triggers);
  if (!plan->triggers) return false;
  json_array_foreach(list, index, one) plan->triggers[plan->trigger_count++] =
      (struct plan_trigger){.name = json_str(one, "Trigger Name", NULL),
                            .constraint = json_str(one, "Constraint Name", NULL),
                            .relation = json_str(one, "Relation", NULL),
                            .ms = plan_field(one, "Time", PLAN_UNKNOWN),
                            .calls = plan_field(one, "Calls", 0)};
  return true;
}

static void take_whole(struct query_plan *plan) {
  const json_t *json = plan->json, *planning = json_object_get(json, "Planning"), *serialization = json_object_get(json, "Serialization");
  plan->planning_ms = plan_field(json, "Planning Time", PLAN_UNKNOWN);
  plan->execution_ms = plan_field(json, "Execution Time", PLAN_UNKNOWN);
  take_buffers(planning, &plan->planning_buffers);
  plan->plan_memory_kb = plan_field(planning, "Memory Used", PLAN_UNKNOWN);
  plan->settings = json_object_get(json, "Settings");
  plan->jit = json_object_get(json, "JIT");
  const json_t *timing = json_object_get(plan->jit, "Timing");
  plan->jit_ms = plan_field(timing, "Total", PLAN_UNKNOWN);
  plan->jit_functions = plan_field(plan->jit, "Functions", PLAN_UNKNOWN);
  plan->serialization_ms = plan_field(serialization, "Time", PLAN_UNKNOWN);
  plan->serialized_kb = plan_field(serialization, "Output Volume", PLAN_UNKNOWN);
  plan->query = json_str(json, "Query Text", NULL);
  const json_t *id = json_object_get(json, "Query Identifier");
  plan->query_id = json_is_integer(id) ? arena_printf(plan->arena, "%lld", (long long)json_integer_value(id)) : json_string_value(id);
  plan->analyzed = plan->root->measured;
  plan->timed = plan->root->actual_ms >= 0;
  plan->total_cost = plan->root->total_cost;
  for (size_t i = 0; i < plan->count; i++) {
    plan->buffers |= plan->nodes[i]->has_buffers;
    plan->verbose |= json_object_get(plan->nodes[i]->fields, "Output") != NULL;
  }
}

/* The index of a bitmap scan is of the table above it. */
static const struct snap_table *table_of(const struct snapshot *snapshot, const struct plan_node *node) {
  if (node->relation) return snapshot_table(snapshot, node->schema, node->relation);
  const struct plan_node *heap = node->parent;
  while (heap && (plan_is(heap, "BitmapAnd") || plan_is(heap, "BitmapOr"))) heap = heap->parent;
  return plan_is(node, "Bitmap Index Scan") && plan_is(heap, "Bitmap Heap Scan") ? heap->table : NULL;
}

enum status plan_build(const json_t *explain, const struct snapshot *snapshot, struct arena *arena, struct query_plan **ret_plan,
                       struct error *err) {
  const json_t *json = json_is_array(explain) ? json_array_get(explain, 0) : explain;
  const json_t *top = json_object_get(json, "Plan");
  if (!json_is_object(top)) return invalid(err, "there is no \"Plan\" in the JSON");
  if (json_array_size(explain) > 1) return invalid(err, "the JSON holds several plans: give one at a time");
  struct query_plan *plan = ARENA_NEW(arena, struct query_plan);
  if (!plan) return error_oom(err);
  *plan = (struct query_plan){.arena = arena, .json = json};
  struct build build = {.plan = plan, .err = err};
  enum status status = add_node(&build, top, NULL, 0, 1, &plan->root);
  if (status) return status;
  take_whole(plan);
  if (!take_triggers(plan)) return error_oom(err);
  for (size_t i = 0; snapshot && i < plan->count; i++) plan->nodes[i]->table = table_of(snapshot, plan->nodes[i]);
  plan_shares(plan);
  *ret_plan = plan;
  return OK;
}

/* --- asking --- */

static bool one_of(const char *type, const char *const *names) {
  for (; *names; names++)
    if (strcmp(type, *names) == 0) return true;
  return false;
}

bool plan_is_scan(const struct plan_node *node) {
  static const char *const scans[] = {
      "Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan", "Tid Range Scan", "Sample Scan", "Foreign Scan", NULL};
  return node && one_of(node->type, scans);
}

bool plan_is_join(const struct plan_node *node) {
  static const char *const joins[] = {"Nested Loop", "Hash Join", "Merge Join", NULL};
  return node && one_of(node->type, joins);
}

bool plan_blocks(const struct plan_node *node) {
  static const char *const blocking[] = {"Sort", "Hash", "Bitmap Index Scan", "BitmapAnd", "BitmapOr", "ModifyTable", NULL};
  if (one_of(node->type, blocking)) return true;
  if (plan_is(node, "Aggregate") || plan_is(node, "SetOp")) return !node->strategy || strcmp(node->strategy, "Sorted") != 0;
  return false;
}

const struct plan_node *plan_child(const struct plan_node *node, enum plan_role role) {
  for (size_t i = 0; node && i < node->child_count; i++)
    if (node->children[i]->role == role) return node->children[i];
  return NULL;
}

bool plan_below(const struct plan_node *node, const struct plan_node *ancestor) {
  for (const struct plan_node *up = node->parent; up; up = up->parent)
    if (up == ancestor) return true;
  return false;
}

const char *plan_relation(const struct query_plan *plan, const struct plan_node *node) {
  if (node->table) return node->table->qualified;
  if (!node->relation) return NULL;
  return node->schema ? arena_printf(plan->arena, "%s.%s", node->schema, node->relation) : node->relation;
}

const char *plan_name(const struct query_plan *plan, const struct plan_node *node) {
  const char *what = node->relation ? node->relation : node->cte ? node->cte : node->function ? node->function : node->index_name;
  if (!what) return node->alias ? arena_printf(plan->arena, "%s on %s", node->type, node->alias) : node->type;
  bool aliased = node->alias && node->relation && strcmp(node->alias, what) != 0;
  return arena_printf(plan->arena, "%s on %s%s%s", node->type, what, aliased ? " " : "", aliased ? node->alias : "");
}
