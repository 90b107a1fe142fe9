/* plan_text.c - a plan as EXPLAIN's text has it, written from the tree: what was asked of a server as JSON, for people and tools that read
 * text. What plan_parse reads of it is the same tree. */
#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "worker/optimizer/plan_impl.h"
#include "worker/sql/text.h"

#include <string.h>

static void put_title(struct buf *out, const struct plan_node *node, struct arena *arena) {
  const char *type = node->type, *strategy = node->strategy ? node->strategy : "";
  if (node->parallel_aware) buf_puts(out, "Parallel ");
  if (node->partial_mode && strcmp(node->partial_mode, "Simple") != 0) buf_printf(out, "%s ", node->partial_mode);
  if (strcmp(type, "Aggregate") == 0)
    buf_puts(out, strcmp(strategy, "Hashed") == 0   ? "HashAggregate"
                  : strcmp(strategy, "Sorted") == 0 ? "GroupAggregate"
                  : strcmp(strategy, "Mixed") == 0  ? "MixedAggregate"
                                                    : "Aggregate");
  else if (strcmp(type, "SetOp") == 0)
    buf_printf(out, "%sSetOp %s", strcmp(strategy, "Hashed") == 0 ? "Hash" : "",
               plan_string(node, "Command") ? plan_string(node, "Command") : "");
  else if (strcmp(type, "ModifyTable") == 0)
    buf_puts(out, node->operation ? node->operation : "Update");
  else if (plan_is_join(node) && node->join_type && strcmp(node->join_type, "Inner") != 0)
    buf_printf(out, "%s %s Join", strcmp(type, "Nested Loop") == 0 ? type : *type == 'H' ? "Hash" : "Merge", node->join_type);
  else
    buf_puts(out, type);
  if (node->scan_direction && strcmp(node->scan_direction, "Backward") == 0) buf_puts(out, " Backward");
  bool bitmap = strcmp(type, "Bitmap Index Scan") == 0;
  if (node->index_name) buf_printf(out, " %s %s", bitmap ? "on" : "using", sql_ident(arena, node->index_name));
  const char *target = node->relation ? node->relation : node->cte ? node->cte : node->function;
  if (target) buf_printf(out, " on %s", sql_qualified(arena, node->schema, target));
  if (node->alias && !target) buf_printf(out, " on %s", sql_ident(arena, node->alias));
  if (node->alias && target && strcmp(node->alias, target) != 0) buf_printf(out, " %s", sql_ident(arena, node->alias));
}

static void put_rows(struct buf *out, double rows) {
  if (rows == (double)(long long)rows)
    buf_printf(out, " rows=%lld", (long long)rows);
  else
    buf_printf(out, " rows=%.2f", rows);
}

static void put_numbers(struct buf *out, const struct plan_node *node) {
  buf_printf(out, "  (cost=%.2f..%.2f rows=%.0f width=%.0f)", node->startup_cost, node->total_cost, node->plan_rows, node->plan_width);
  if (node->never_executed) buf_puts(out, " (never executed)");
  if (!node->measured || node->never_executed) return;
  buf_puts(out, " (actual");
  if (node->actual_ms >= 0) buf_printf(out, " time=%.3f..%.3f", node->startup_ms, node->actual_ms);
  put_rows(out, node->actual_rows);
  buf_printf(out, " loops=%.0f)", node->loops);
}

static void put_line(struct buf *out, int indent, const char *key, const char *value) {
  if (value) buf_printf(out, "%*s%s: %s\n", indent, "", key, value);
}

static void put_keys(struct buf *out, int indent, const char *key, const char **keys, size_t count) {
  if (!count) return;
  buf_printf(out, "%*s%s: ", indent, "", key);
  for (size_t i = 0; i < count; i++) buf_printf(out, "%s%s", i ? ", " : "", keys[i]);
  buf_putc(out, '\n');
}

static void put_count(struct buf *out, int indent, const char *key, double value) {
  if (value > 0) buf_printf(out, "%*s%s: %.0f\n", indent, "", key, value);
}

/* "shared hit=3 read=2": nothing where all are zero. */
static void put_group(struct buf *line, const char *group, const double values[4]) {
  static const char *const words[] = {"hit", "read", "dirtied", "written"};
  bool any = false;
  for (size_t i = 0; i < 4; i++) {
    if (values[i] <= 0) continue;
    if (!any) buf_printf(line, "%s%s", line->len ? ", " : "", group);
    any = true;
    buf_printf(line, " %s=%.0f", words[i], values[i]);
  }
}

static void put_buffers(struct buf *out, int indent, const struct plan_buffers *b) {
  BUF_AUTO line;
  buf_init(&line, 512);
  put_group(&line, "shared", (const double[]){b->shared_hit, b->shared_read, b->shared_dirtied, b->shared_written});
  put_group(&line, "local", (const double[]){b->local_hit, b->local_read, b->local_dirtied, b->local_written});
  put_group(&line, "temp", (const double[]){0, b->temp_read, 0, b->temp_written});
  if (line.len) put_line(out, indent, "Buffers", buf_str(&line));
}

static void put_memory(struct buf *out, int indent, const struct plan_node *node) {
  if (node->sort_method)
    buf_printf(out, "%*sSort Method: %s  %s: %.0fkB\n", indent, "", node->sort_method, node->sort_on_disk ? "Disk" : "Memory",
               node->sort_space_kb);
  if (plan_is(node, "Hash") && node->hash_batches > 0)
    buf_printf(out, "%*sBuckets: %.0f  Batches: %.0f (originally %.0f)  Memory Usage: %.0fkB\n", indent, "", node->hash_buckets,
               node->hash_batches, node->original_hash_batches, node->peak_memory_kb);
  if (plan_is(node, "Aggregate") && node->hash_batches > 0) {
    buf_printf(out, "%*sBatches: %.0f  Memory Usage: %.0fkB", indent, "", node->hash_batches, node->peak_memory_kb);
    if (node->disk_kb > 0) buf_printf(out, "  Disk Usage: %.0fkB", node->disk_kb);
    buf_putc(out, '\n');
  }
  if (plan_is(node, "Memoize") && node->cache_hits + node->cache_misses > 0)
    buf_printf(out, "%*sHits: %.0f  Misses: %.0f  Evictions: %.0f  Overflows: %.0f  Memory Usage: %.0fkB\n", indent, "", node->cache_hits,
               node->cache_misses, node->cache_evictions, node->cache_overflows, node->peak_memory_kb);
}

static void put_properties(struct buf *out, const struct plan_node *node, int indent) {
  put_keys(out, indent, "Group Key", node->group_key, node->group_key_count);
  put_keys(out, indent, "Sort Key", node->sort_key, node->sort_key_count);
  put_keys(out, indent, "Presorted Key", node->presorted_key, node->presorted_key_count);
  put_line(out, indent, "Hash Cond", node->hash_cond);
  put_line(out, indent, "Merge Cond", node->merge_cond);
  put_line(out, indent, "Recheck Cond", node->recheck_cond);
  put_line(out, indent, "Index Cond", node->index_cond);
  put_line(out, indent, "Order By", node->order_by);
  put_line(out, indent, "TID Cond", node->tid_cond);
  put_count(out, indent, "Rows Removed by Index Recheck", node->removed_by_recheck);
  put_line(out, indent, "Join Filter", node->join_filter);
  put_count(out, indent, "Rows Removed by Join Filter", node->removed_by_join_filter);
  put_line(out, indent, "One-Time Filter", node->one_time_filter);
  put_line(out, indent, "Run Condition", node->run_condition);
  put_line(out, indent, "Filter", node->filter);
  put_count(out, indent, "Rows Removed by Filter", node->removed_by_filter);
  put_count(out, indent, "Workers Planned", node->workers_planned);
  if (node->workers_launched >= 0) buf_printf(out, "%*sWorkers Launched: %.0f\n", indent, "", node->workers_launched);
  put_count(out, indent, "Subplans Removed", plan_number(node, "Subplans Removed", 0));
  if (plan_is(node, "Index Only Scan") && node->measured) buf_printf(out, "%*sHeap Fetches: %.0f\n", indent, "", node->heap_fetches);
  if (node->exact_heap_blocks + node->lossy_heap_blocks > 0) {
    buf_printf(out, "%*sHeap Blocks:", indent, "");
    if (node->exact_heap_blocks > 0) buf_printf(out, " exact=%.0f", node->exact_heap_blocks);
    if (node->lossy_heap_blocks > 0) buf_printf(out, " lossy=%.0f", node->lossy_heap_blocks);
    buf_putc(out, '\n');
  }
  put_memory(out, indent, node);
  if (node->has_buffers) put_buffers(out, indent, &node->buffers);
}

static void put_node(struct buf *out, const struct plan_node *node, int indent, struct arena *arena) {
  int column = node->parent ? indent + 6 : 2; /* of its properties */
  if (node->subplan_name && node->parent) {
    buf_printf(out, "%*s%s\n", indent, "", node->subplan_name);
    indent += 2;
    column += 2;
  }
  if (node->parent) buf_printf(out, "%*s->  ", indent, "");
  put_title(out, node, arena);
  put_numbers(out, node);
  buf_putc(out, '\n');
  put_properties(out, node, column);
  for (size_t i = 0; i < node->child_count; i++) put_node(out, node->children[i], column, arena);
}

const char *plan_text(const struct query_plan *plan) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_PLAN_BYTES);
  put_node(&out, plan->root, 0, plan->arena);
  const char *name;
  json_t *value;
  bool first = true;
  json_object_foreach((json_t *)(uintptr_t)plan->settings, name, value) {
    buf_printf(&out, "%s%s = '%s'", first ? "Settings: " : ", ", name, json_is_string(value) ? json_string_value(value) : "");
    first = false;
  }
  if (!first) buf_putc(&out, '\n');
  if (plan->planning_ms >= 0) buf_printf(&out, "Planning Time: %.3f ms\n", plan->planning_ms);
  for (size_t i = 0; i < plan->trigger_count; i++) {
    const struct plan_trigger *one = &plan->triggers[i];
    buf_printf(&out, "Trigger %s%s: time=%.3f calls=%.0f\n", one->constraint ? "for constraint " : "",
               one->constraint ? one->constraint
               : one->name     ? one->name
                               : "?",
               one->ms > 0 ? one->ms : 0, one->calls);
  }
  if (plan->execution_ms >= 0) buf_printf(&out, "Execution Time: %.3f ms\n", plan->execution_ms);
  return buf_ok(&out) ? arena_strdup(plan->arena, buf_str(&out)) : NULL;
}
