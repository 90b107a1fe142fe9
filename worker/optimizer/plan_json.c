/* plan_json.c - the tree as the contract answers it (section 5). */
#include "common/json.h"
#include "worker/optimizer/plan_impl.h"

#include <math.h>

/* Milliseconds and cost units to a thousandth: more is noise of subtraction. */
static void put_rounded(json_t *into, const char *name, double value) {
  json_object_set_new(into, name, value < 0 ? json_null() : json_real(round(value * 1000) / 1000));
}

/* Integers as such: a number of rows that is printed with ".0" looks like an average. */
static void put_number(json_t *into, const char *name, double value) {
  bool whole = value == floor(value) && fabs(value) < 1e15;
  json_object_set_new(into, name, value < 0 ? json_null() : whole ? json_integer((json_int_t)value) : json_real(value));
}

static json_t *buffers_json(const struct plan_buffers *buffers) {
  json_t *json = json_object();
  const struct {
    const char *name;
    double value;
  } members[] = {{"shared_hit", buffers->shared_hit},         {"shared_read", buffers->shared_read},
                 {"shared_dirtied", buffers->shared_dirtied}, {"shared_written", buffers->shared_written},
                 {"local_hit", buffers->local_hit},           {"local_read", buffers->local_read},
                 {"local_dirtied", buffers->local_dirtied},   {"local_written", buffers->local_written},
                 {"temp_read", buffers->temp_read},           {"temp_written", buffers->temp_written}};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) put_number(json, members[i].name, round(members[i].value));
  put_rounded(json, "io_read_ms", buffers->read_ms + buffers->temp_read_ms);
  put_rounded(json, "io_write_ms", buffers->write_ms + buffers->temp_write_ms);
  return json;
}

/* What the snapshot knows of the relation, where there is one. */
static json_t *table_json(const struct snap_table *table) {
  json_t *json = json_pack("{s:s, s:I}", "table", table->qualified, "total_bytes", (json_int_t)table->bytes);
  put_number(json, "estimated_rows", (double)table->rows);
  put_number(json, "changed_since_analyze", (double)table->activity.changed_since_analyze);
  return json;
}

static const char *const role_names[] = {"root", "outer", "inner", "member", "subquery", "initplan", "cte", "subplan"};

static void put_texts(json_t *json, const struct plan_node *node) {
  const struct {
    const char *name, *value;
  } members[] = {{"node_type", node->type},
                 {"operation", node->operation},
                 {"relation_name", node->relation},
                 {"schema", node->schema                    ? node->schema
                            : node->relation && node->table ? node->table->schema
                                                            : NULL},
                 {"alias", node->alias},
                 {"index_name", node->index_name},
                 {"join_type", node->join_type},
                 {"strategy", node->strategy},
                 {"partial_mode", node->partial_mode},
                 {"role", role_names[node->role]},
                 {"subplan_name", node->subplan_name},
                 {"cte_name", node->cte},
                 {"function_name", node->function},
                 {"index_cond", node->index_cond},
                 {"recheck_cond", node->recheck_cond},
                 {"filter", node->filter},
                 {"join_filter", node->join_filter},
                 {"hash_cond", node->hash_cond},
                 {"merge_cond", node->merge_cond},
                 {"sort_method", node->sort_method}};
  for (size_t i = 0; i < sizeof members / sizeof *members; i++) json_set_str(json, members[i].name, members[i].value);
  json_object_set_new(json, "sort_key", node->sort_key_count ? json_strings(node->sort_key, node->sort_key_count) : json_null());
  json_object_set_new(json, "group_key", node->group_key_count ? json_strings(node->group_key, node->group_key_count) : json_null());
}

static void put_numbers(json_t *json, const struct plan_node *node) {
  put_number(json, "startup_cost", node->startup_cost);
  put_number(json, "total_cost", node->total_cost);
  put_number(json, "plan_rows", node->plan_rows);
  put_number(json, "plan_width", node->plan_width);
  put_number(json, "actual_startup_time", node->startup_ms);
  put_number(json, "actual_total_time", node->actual_ms);
  put_number(json, "actual_rows", node->actual_rows);
  put_number(json, "actual_loops", node->loops);
  put_number(json, "rows_removed_by_filter", node->filter && node->measured ? node->removed_by_filter : PLAN_UNKNOWN);
  put_number(json, "workers_planned", node->workers_planned > 0 ? node->workers_planned : PLAN_UNKNOWN);
  put_number(json, "workers_launched", node->workers_launched);
  put_number(json, "total_rows", node->rows);
  put_rounded(json, "total_time_ms", node->total_ms);
  put_rounded(json, "exclusive_time_ms", node->exclusive_ms);
  put_rounded(json, "exclusive_cost", node->exclusive_cost);
  put_rounded(json, "estimate_factor", node->estimate_factor > 0 ? node->estimate_factor : PLAN_UNKNOWN);
  json_set_str(json, "estimate_direction",
               node->estimate_factor <= 0   ? NULL
               : node->estimate_factor == 1 ? "exact"
               : node->underestimated       ? "under"
                                            : "over");
}

static json_t *node_json(const struct plan_node *node) {
  json_t *json = json_object(), *children = json_array();
  put_texts(json, node);
  put_numbers(json, node);
  json_object_set_new(json, "parallel_aware", json_boolean(node->parallel_aware));
  json_object_set_new(json, "buffers", node->has_buffers ? buffers_json(&node->buffers) : json_null());
  json_object_set_new(json, "exclusive_buffers", node->has_buffers ? buffers_json(&node->own) : json_null());
  json_object_set_new(json, "relation", node->table ? table_json(node->table) : json_null());
  json_object_set_new(json, "fields", json_deep_copy(node->fields));
  for (size_t i = 0; i < node->child_count; i++) json_array_append_new(children, node_json(node->children[i]));
  json_object_set_new(json, "children", children);
  return json;
}

static json_t *triggers_json(const struct query_plan *plan) {
  json_t *list = json_array();
  for (size_t i = 0; i < plan->trigger_count; i++) {
    json_t *one = json_object();
    json_set_str(one, "name", plan->triggers[i].name);
    json_set_str(one, "constraint", plan->triggers[i].constraint);
    json_set_str(one, "relation", plan->triggers[i].relation);
    put_rounded(one, "time_ms", plan->triggers[i].ms);
    put_number(one, "calls", plan->triggers[i].calls);
    json_array_append_new(list, one);
  }
  return list;
}

json_t *plan_json(const struct query_plan *plan) {
  json_t *json = json_object();
  json_object_set_new(json, "root", node_json(plan->root));
  json_set_str(json, "raw_plan_text", plan->text);
  put_number(json, "total_cost", plan->total_cost);
  put_rounded(json, "planning_time_ms", plan->planning_ms);
  put_rounded(json, "execution_time_ms", plan->execution_ms);
  put_rounded(json, "total_time_ms", plan->total_ms);
  json_object_set_new(json, "analyzed", json_boolean(plan->analyzed));
  json_object_set_new(json, "settings", plan->settings ? json_deep_copy(plan->settings) : json_object());
  json_object_set_new(json, "jit", plan->jit ? json_deep_copy(plan->jit) : json_null());
  json_object_set_new(json, "triggers", triggers_json(plan));
  put_rounded(json, "serialization_time_ms", plan->serialization_ms);
  json_set_str(json, "query", plan->query);
  return json;
}

json_t *plan_path_json(const struct plan_node *node) {
  json_t *path = json_array();
  for (; node && node->parent; node = node->parent) json_array_insert_new(path, 0, json_integer((json_int_t)node->position));
  return path;
}
