/* findings_scan.c - how relations are read. */
#include <math.h>
#include <string.h>

#include "worker/optimizer/finding_impl.h"

#define PAGES_LARGE 1000   /* blocks, 8 MiB: smaller tables are read in no time */
#define ROWS_LARGE 50000.0 /* where nothing is known of pages */
#define SELECTIVE 0.9      /* of the rows read, thrown away */
#define WASTE_FACTOR 10    /* rows thrown away for each that is kept */
#define WASTE_ROWS 1000    /* that many at least */
#define LOSSY_SHARE 0.1    /* of a bitmap's blocks */
#define FETCHES_SHARE 0.1  /* of an index-only scan's rows */
#define BRIN_BYTES (1LL << 30)
#define BRIN_CORRELATION 0.9
#define BLOAT_FACTOR 4.0   /* blocks read for each that the rows would fill */
#define READ_FACTOR 1000.0 /* bytes read for each that is returned */
#define READ_BYTES (8 << 20)
#define BLOCK 8192.0

static double pages_of(const struct plan_node *node) {
  double loops = node->loops > 1 ? node->loops : 1;
  if (node->has_buffers) return finding_blocks(&node->own) / loops;
  return node->table ? (double)node->table->bytes / BLOCK : 0;
}

static bool is_large(const struct plan_node *node) {
  double pages = pages_of(node), loops = node->loops > 1 ? node->loops : 1;
  return pages > 0 ? pages >= PAGES_LARGE : finding_rows_read(node) / loops >= ROWS_LARGE;
}

/* Where no condition names a bare column: what there is instead. */
static const char *expression_advice(const struct finding_view *view, const struct plan_node *node) {
  struct condition_list list = {0};
  const char *relation = plan_relation(view->plan, node);
  conditions_read(view->arena, node->filter, &list);
  for (size_t i = 0; i < list.count; i++) {
    const struct condition *one = &list.items[i];
    if (!one->column) continue;
    if (one->kind == CONDITION_PATTERN)
      return arena_printf(
          view->arena,
          "A trigram index serves patterns with a leading wildcard: CREATE INDEX CONCURRENTLY ON %s USING gin (%s gin_trgm_ops)", relation,
          one->column);
    if (one->kind == CONDITION_FUNCTION)
      return arena_printf(view->arena, "No index on %s serves %s(%s): index the expression, or compare the bare column", one->column,
                          one->function ? one->function : "…", one->column);
    if (one->kind == CONDITION_CAST || one->kind == CONDITION_ARITHMETIC)
      return arena_printf(view->arena, "No index on %s serves it wrapped in %s: move that to the other side of the comparison", one->column,
                          one->kind == CONDITION_CAST ? "a cast" : "arithmetic");
    if (one->expression->node_case == PG_QUERY__NODE__NODE_A_EXPR && one->expression->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY)
      return arena_printf(view->arena,
                          "No index serves value = ANY (%s); %s @> ARRAY[value] asks the same, and a GIN index on %s serves it",
                          one->column, one->column, one->column);
  }
  return NULL;
}

bool look_seq_selective(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double read = finding_rows_read(node), kept = node->measured ? node->rows : node->plan_rows;
  if (!plan_is(node, "Seq Scan") || !node->filter || read <= 0 || !is_large(node)) return false;
  double removed = 1 - kept / read;
  if (removed < SELECTIVE) return false;
  if (!finding_index(view, finding, node, node->filter, NULL) && !(finding->advice = expression_advice(view, node))) return false;
  finding_say(view, finding, "%s is read whole, %s rows, to keep %s of them", plan_relation(view->plan, node),
              finding_number(view->arena, read), finding_number(view->arena, kept));
  finding_stake(finding, node, removed);
  finding_shows(view, finding,
                json_pack("{s:s, s:f, s:f, s:s}", "relation", plan_relation(view->plan, node), "rows_read", read, "rows_kept", kept,
                          "filter", node->filter));
  return true;
}

static bool wastes(const struct plan_node *node, double *ret_removed) {
  double removed = node->removed_by_filter * node->loops;
  *ret_removed = removed;
  return node->filter && removed >= WASTE_ROWS && removed >= WASTE_FACTOR * node->rows;
}

bool look_filter_waste(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double removed;
  if (!plan_is_scan(node) || plan_is(node, "Foreign Scan") || !wastes(node, &removed)) return false;
  bool seq = plan_is(node, "Seq Scan");
  if (seq && !is_large(node) && node->loops < 100) return false;
  const char *columns = finding_columns(view->arena, node->filter);
  if (!columns) return false;
  finding_say(view, finding, "%s throws %s rows away to keep %s", plan_name(view->plan, node), finding_number(view->arena, removed),
              finding_number(view->arena, node->rows));
  if (!seq || !finding_index(view, finding, node, node->filter, NULL))
    finding_advise(view, finding, "Let the index hold what the filter asks for (%s), or make it partial", columns);
  finding_stake(finding, node, removed / (removed + node->rows));
  finding_shows(view, finding, json_pack("{s:f, s:f, s:s}", "rows_removed", removed, "rows_kept", node->rows, "filter", node->filter));
  return true;
}

static const struct snap_index *index_of(const struct plan_node *node) {
  for (size_t i = 0; node->table && node->index_name && i < node->table->index_count; i++)
    if (strcmp(node->table->indexes[i].name, node->index_name) == 0) return &node->table->indexes[i];
  return NULL;
}

static bool is_index_scan(const struct plan_node *node) { return plan_is(node, "Index Scan") || plan_is(node, "Index Only Scan"); }

bool look_index_filter(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double removed = node->removed_by_filter * node->loops;
  const char *columns = is_index_scan(node) && node->index_cond && node->filter ? finding_columns(view->arena, node->filter) : NULL;
  if (!columns || removed < WASTE_ROWS || removed <= node->rows) return false;
  finding_say(view, finding, "index %s finds %s rows, of which the filter keeps %s", node->index_name,
              finding_number(view->arena, removed + node->rows), finding_number(view->arena, node->rows));
  finding_index(view, finding, node, arena_printf(view->arena, "%s AND %s", node->index_cond, node->filter), NULL);
  finding_stake(finding, node, removed / (removed + node->rows));
  finding_shows(view, finding,
                json_pack("{s:s, s:f, s:f, s:s}", "index", node->index_name, "rows_removed", removed, "rows_kept", node->rows, "filter",
                          node->filter));
  return true;
}

bool look_no_index_cond(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double removed = node->removed_by_filter * node->loops;
  if (!is_index_scan(node) || node->index_cond || !node->filter || removed < WASTE_ROWS || !finding_input_of(node, "Limit")) return false;
  const char *columns = finding_columns(view->arena, node->filter);
  finding_say(view, finding, "index %s is walked in its order for the LIMIT, past %s rows that the filter throws away", node->index_name,
              finding_number(view->arena, removed));
  if (columns) finding_advise(view, finding, "An index on (%s) followed by the columns of ORDER BY finds these rows in order", columns);
  finding_stake(finding, node, removed / (removed + node->rows));
  finding_shows(view, finding, json_pack("{s:s, s:f, s:f}", "index", node->index_name, "rows_removed", removed, "rows_kept", node->rows));
  return true;
}

bool look_skipped_prefix(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct snap_index *index = index_of(node);
  if (!index || !node->index_cond || index->column_count < 2 || strcmp(index->method, "btree") != 0) return false;
  struct condition_list list = {0};
  conditions_read(view->arena, node->index_cond, &list);
  for (size_t i = 0; i < list.count; i++) /* a join's condition names both sides and no single column */
    if (!list.items[i].column || strcmp(list.items[i].column, index->columns[0]) == 0) return false;
  if (!list.count || plan_number(node, "Index Searches", 1) > 1) return false;
  finding_say(view, finding, "index %s is read whole: the condition leaves out its first column %s", index->name, index->columns[0]);
  finding_index(view, finding, node, node->index_cond, NULL);
  finding_stake(finding, node, 0.9);
  finding_shows(view, finding,
                json_pack("{s:s, s:s, s:s}", "index", index->name, "first_column", index->columns[0], "index_cond", node->index_cond));
  return true;
}

/* A BRIN index knows blocks alone: all of its bitmap is lossy, whatever work_mem is. */
static bool is_brin(const struct plan_node *node) {
  const struct plan_node *bitmap = plan_child(node, PLAN_OUTER);
  for (size_t i = 0; bitmap && node->table && bitmap->index_name && i < node->table->index_count; i++)
    if (strcmp(node->table->indexes[i].name, bitmap->index_name) == 0) return strcmp(node->table->indexes[i].method, "brin") == 0;
  return node->exact_heap_blocks == 0;
}

bool look_recheck_lossy(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double blocks = node->exact_heap_blocks + node->lossy_heap_blocks;
  if (!plan_is(node, "Bitmap Heap Scan") || node->lossy_heap_blocks <= LOSSY_SHARE * blocks || is_brin(node)) return false;
  finding_say(view, finding, "the bitmap of %s did not fit into work_mem: %s of %s blocks are read without knowing which rows are meant",
              plan_relation(view->plan, node), finding_number(view->arena, node->lossy_heap_blocks), finding_number(view->arena, blocks));
  finding_stake(finding, node, node->lossy_heap_blocks / blocks);
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f}", "lossy_blocks", node->lossy_heap_blocks, "exact_blocks", node->exact_heap_blocks,
                          "rows_rechecked_away", node->removed_by_recheck * node->loops));
  return true;
}

bool look_recheck_removed(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double removed = node->removed_by_recheck * node->loops;
  if (removed < WASTE_ROWS || removed <= node->rows || (node->lossy_heap_blocks > 0 && !is_brin(node))) return false;
  finding_say(view, finding, "the index of %s finds %s rows that the recheck throws away, %s that it keeps",
              plan_relation(view->plan, node), finding_number(view->arena, removed), finding_number(view->arena, node->rows));
  finding_stake(finding, node, removed / (removed + node->rows));
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows_removed", removed, "rows_kept", node->rows));
  return true;
}

bool look_heap_fetches(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!plan_is(node, "Index Only Scan") || node->heap_fetches < 100 || node->heap_fetches <= FETCHES_SHARE * node->rows) return false;
  finding_say(view, finding, "the index-only scan of %s looked into the table %s times for %s rows: its visibility map is out of date",
              plan_relation(view->plan, node), finding_number(view->arena, node->heap_fetches), finding_number(view->arena, node->rows));
  finding_advise(view, finding, "VACUUM %s, and let autovacuum come by earlier (autovacuum_vacuum_insert_scale_factor)",
                 plan_relation(view->plan, node));
  finding_stake(finding, node, 0.5);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "heap_fetches", node->heap_fetches, "rows", node->rows));
  return true;
}

bool look_low_correlation(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double blocks = finding_blocks(&node->own);
  if (!plan_is(node, "Index Scan") || !node->has_buffers || node->loops != 1 || node->rows < 5000 || blocks < 0.9 * node->rows)
    return false;
  finding_say(view, finding, "index %s leads to %s rows in %s blocks: rows that belong together lie scattered", node->index_name,
              finding_number(view->arena, node->rows), finding_number(view->arena, blocks));
  finding_stake(finding, node, 0.7);
  finding_shows(view, finding, json_pack("{s:s, s:f, s:f}", "index", node->index_name, "rows", node->rows, "blocks", blocks));
  return true;
}

/* What a table's rows take, from their columns' average widths: 28 bytes of header and line pointer each. */
static double row_bytes(const struct snap_table *table) {
  double width = 28;
  for (size_t i = 0; i < table->column_count; i++) {
    if (table->columns[i].avg_width < 0) return 0;
    width += table->columns[i].avg_width * (1 - (table->columns[i].null_frac > 0 ? table->columns[i].null_frac : 0));
  }
  return table->column_count ? width : 0;
}

bool look_bloat_read(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double width = node->table ? row_bytes(node->table) : 0, loops = node->loops > 1 ? node->loops : 1;
  if (!plan_is(node, "Seq Scan") || width <= 0 || !node->has_buffers || node->parallel_aware) return false;
  double blocks = finding_blocks(&node->own) / loops, needed = ceil(finding_rows_read(node) / loops * width / BLOCK) + 1;
  if (node->stops_early || blocks < PAGES_LARGE || blocks < BLOAT_FACTOR * needed) return false;
  finding_say(view, finding, "%s fills %s blocks with rows that need about %s: it is bloated", plan_relation(view->plan, node),
              finding_number(view->arena, blocks), finding_number(view->arena, needed));
  finding_stake(finding, node, 1 - needed / blocks);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "blocks_read", blocks, "blocks_needed", needed));
  return true;
}

bool look_bitmap_and_big(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_node *both = plan_is(node, "Bitmap Heap Scan") ? plan_child(node, PLAN_OUTER) : NULL;
  if (!plan_is(both, "BitmapAnd") || both->child_count < 2) return false;
  double least = -1;
  const char *conditions = NULL;
  for (size_t i = 0; i < both->child_count; i++) {
    const struct plan_node *one = both->children[i];
    double rows = one->measured ? one->rows : one->plan_rows;
    if (least < 0 || rows < least) least = rows;
    if (finding_columns(view->arena, one->index_cond))
      conditions = arena_printf(view->arena, "%s%s%s", conditions ? conditions : "", conditions ? " AND " : "", one->index_cond);
  }
  double kept = node->measured ? node->rows : node->plan_rows, all = node->table && node->table->rows > 0 ? (double)node->table->rows : 0;
  if (!conditions || least < WASTE_ROWS || (all > 0 ? least < 0.02 * all : least < 10000) || least < 5 * kept) return false;
  finding_say(view, finding, "each of %zu indexes of %s finds at least %s rows, and %s are in all of them", both->child_count,
              plan_relation(view->plan, node), finding_number(view->arena, least), finding_number(view->arena, kept));
  finding_index(view, finding, node, conditions, NULL);
  finding_stake(finding, node, 0.5);
  if (node->measured && both->total_ms >= 0) finding->time_at_stake_ms = node->total_ms * 0.9;
  finding_shows(view, finding, json_pack("{s:f, s:f}", "rows_of_each", least, "rows_of_all", kept));
  return true;
}

bool look_cold_read(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const struct plan_buffers *own = &node->own;
  if (!plan_is_scan(node) || own->read_ms <= 0 || node->exclusive_ms <= 0 || own->read_ms < 0.5 * node->exclusive_ms) return false;
  if (own->shared_read < own->shared_hit || own->read_ms < 10) return false;
  finding_say(view, finding, "%s waited %.0f ms for %s blocks that were not in memory", plan_name(view->plan, node), own->read_ms,
              finding_number(view->arena, own->shared_read));
  finding_stake(finding, node, own->read_ms / node->exclusive_ms);
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f}", "blocks_read", own->shared_read, "blocks_hit", own->shared_hit, "read_ms", own->read_ms));
  return true;
}

/* Said of the scan that reads most, so that it gives way to what is said of that scan. */
bool look_read_volume(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  const struct plan_node *most = NULL;
  if (!root->has_buffers || !root->measured || root->rows < 1 || plan_is(root, "ModifyTable")) return false;
  for (size_t i = 0; i < view->plan->count; i++) {
    const struct plan_node *node = view->plan->nodes[i];
    if (plan_is(node, "Aggregate") || plan_is(node, "WindowAgg")) return false; /* sums of much are meant */
    if (plan_is_scan(node) && (!most || finding_blocks(&node->own) > finding_blocks(&most->own))) most = node;
  }
  double read = (finding_blocks(&root->buffers) + root->buffers.temp_read) * BLOCK,
         returned = root->rows * (root->plan_width > 1 ? root->plan_width : 1);
  if (!most || read < READ_BYTES || read < READ_FACTOR * returned) return false;
  finding->anchor = most;
  finding->node = most;
  finding_say(view, finding, "%.0f MiB are read to return %.1f KiB", read / (1 << 20), returned / 1024);
  finding_stake(finding, most, 0.5);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "bytes_read", read, "bytes_returned", returned));
  return true;
}

bool look_brin_candidate(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!plan_is(node, "Seq Scan") || !node->filter || !node->table || node->table->bytes < BRIN_BYTES) return false;
  struct condition_list list = {0};
  conditions_read(view->arena, node->filter, &list);
  for (size_t i = 0; i < list.count; i++) {
    const struct snap_column *column = list.items[i].column ? snap_table_column(node->table, list.items[i].column) : NULL;
    if (list.items[i].kind != CONDITION_RANGE || !column || fabs(column->correlation) <= BRIN_CORRELATION) continue;
    double read = finding_rows_read(node), kept = node->measured ? node->rows : node->plan_rows;
    if (read <= 0 || kept > read / 2) continue;
    finding_say(view, finding, "%s is read whole for a range of %s, by which its rows already lie in order",
                plan_relation(view->plan, node), column->name);
    finding_advise(view, finding, "CREATE INDEX CONCURRENTLY ON %s USING brin (%s)", plan_relation(view->plan, node), column->name);
    finding_stake(finding, node, 1 - kept / read);
    finding_shows(
        view, finding,
        json_pack("{s:s, s:f, s:I}", "column", column->name, "correlation", column->correlation, "bytes", (json_int_t)node->table->bytes));
    return true;
  }
  return false;
}

bool look_fdw_no_pushdown(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double removed = node->removed_by_filter * node->loops;
  if (!plan_is(node, "Foreign Scan")) return false;
  bool filters = node->filter && (removed >= WASTE_ROWS || !node->measured);
  bool aggregates =
      node->parent && plan_is(node->parent, "Aggregate") && (node->measured ? node->rows : node->plan_rows) >= 10 * WASTE_ROWS;
  if (!filters && !aggregates) return false;
  finding_say(view, finding, "rows of the foreign table %s are fetched and %s here", plan_relation(view->plan, node),
              filters ? "filtered" : "aggregated");
  finding_stake(finding, node, 0.8);
  finding_shows(view, finding, json_pack("{s:f, s:s?}", "rows_removed", removed, "filter", node->filter));
  return true;
}

/* --- partitions --- */

#define PARTITIONS_MANY 4

/* A key in a function or cast, of a partitioned parent; without a snapshot: most members gave nothing. */
static bool wraps_key(const struct finding_view *view, const struct plan_node *member) {
  struct condition_list list = {0};
  const struct snap_table *parent = member->table && member->table->partition_of && view->snapshot
                                        ? snapshot_table(view->snapshot, NULL, member->table->partition_of)
                                        : NULL;
  if (member->table && member->table->partition_of && view->snapshot)
    for (size_t i = 0; !parent && i < view->snapshot->table_count; i++)
      if (strcmp(view->snapshot->tables[i].qualified, member->table->partition_of) == 0) parent = &view->snapshot->tables[i];
  conditions_read(view->arena, member->filter, &list);
  for (size_t i = 0; i < list.count; i++) {
    const struct condition *one = &list.items[i];
    bool wrapped = one->kind == CONDITION_FUNCTION || one->kind == CONDITION_CAST || one->kind == CONDITION_ARITHMETIC;
    if (wrapped && one->column && (!parent || !parent->partition_key || strstr(parent->partition_key, one->column))) return true;
  }
  return false;
}

bool look_prune_fail(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!(plan_is(node, "Append") || plan_is(node, "Merge Append")) || node->child_count < PARTITIONS_MANY) return false;
  if (plan_number(node, "Subplans Removed", 0) > 0) return false;
  size_t wrapped = 0, empty = 0;
  double ms = 0, cost = 0;
  for (size_t i = 0; i < node->child_count; i++) {
    const struct plan_node *member = node->children[i];
    if (!member->filter || !wraps_key(view, member)) return false;
    wrapped++;
    bool none = member->measured && member->rows == 0;
    empty += none;
    if (none) ms += member->total_ms > 0 ? member->total_ms : 0, cost += member->inclusive_cost;
  }
  if (node->measured && empty * 2 < node->child_count) return false;
  finding->anchor = node->children[0];
  finding_say(view, finding, "all %zu partitions are read: the condition wraps the partition key, so none is left out", wrapped);
  finding->time_at_stake_ms = node->total_ms >= 0 ? ms : PLAN_UNKNOWN;
  finding->cost_at_stake = node->measured ? cost : node->inclusive_cost * 0.8;
  finding_shows(view, finding,
                json_pack("{s:I, s:I, s:s}", "partitions", (json_int_t)wrapped, "without_rows", (json_int_t)empty, "filter",
                          node->children[0]->filter));
  return true;
}
