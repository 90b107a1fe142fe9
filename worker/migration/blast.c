/* blast.c - breadth-first over "is referenced by", so that the first path found to a table is a shortest one; a visited mark ends cycles.
 */
#include "worker/migration/blast.h"

#include "common/json.h"

struct reach {
  const struct snap_table *table;
  size_t from;
}; /* from: index of the table it was reached through; itself when direct */

struct walk {
  const struct snapshot *snapshot;
  struct reach *items;
  size_t count;
  bool *seen;
};

static void visit(struct walk *walk, const struct snap_table *table, size_t from) {
  size_t index = (size_t)(table - walk->snapshot->tables);
  if (index >= walk->snapshot->table_count || walk->seen[index]) return;
  walk->seen[index] = true;
  walk->items[walk->count] = (struct reach){table, from == SIZE_MAX ? walk->count : from};
  walk->count++;
}

static void add_table(json_t *tables, const struct walk *walk, size_t at) {
  const struct reach *reach = &walk->items[at];
  json_t *item = json_pack("{s:s, s:s}", "table", reach->table->qualified, "impact", reach->from == at ? "direct" : "cascade");
  if (reach->from == at) {
    json_object_set_new(item, "cascade_path", json_null());
  } else {
    json_t *path = json_array();
    for (size_t step = at;; step = walk->items[step].from) {
      json_array_insert_new(path, 0, json_string(walk->items[step].table->qualified));
      if (walk->items[step].from == step) break;
    }
    json_object_set_new(item, "cascade_path", path);
  }
  json_object_set_new(item, "estimated_rows", reach->table->rows >= 0 ? json_integer(reach->table->rows) : json_null());
  json_object_set_new(item, "rows", reach->table->rows >= 0 ? json_integer(reach->table->rows) : json_null());
  json_object_set_new(item, "bytes", json_integer(reach->table->bytes));
  json_array_append_new(tables, item);
}

static const struct snap_table *pristine(const struct snapshot *snapshot, const char *qualified, struct arena *arena) {
  const char *dot = strchr(qualified, '.');
  const char *schema = dot ? arena_strndup(arena, qualified, (size_t)(dot - qualified)) : NULL;
  return schema ? snapshot_table(snapshot, schema, dot + 1) : NULL;
}

static void add_new_tables(const struct analysis *analysis, json_t *tables) {
  for (size_t i = 0; i < analysis->count; i++) {
    const struct effect *effect = &analysis->statements[i].effect;
    if (effect->making && effect->making->t->kind != SNAP_SEQUENCE)
      json_array_append_new(tables, json_pack("{s:s, s:s, s:n, s:i, s:i, s:i}", "table", effect->making->t->qualified, "impact", "direct",
                                              "cascade_path", "estimated_rows", 0, "rows", 0, "bytes", 0));
  }
}

json_t *blast_tables(const struct analysis *analysis) {
  const struct snapshot *snapshot = analysis->snapshot;
  struct walk walk = {.snapshot = snapshot,
                      .items = arena_calloc(analysis->arena, snapshot->table_count + 1, sizeof *walk.items),
                      .seen = arena_calloc(analysis->arena, snapshot->table_count + 1, sizeof *walk.seen)};
  json_t *tables = json_array();
  if (!walk.items || !walk.seen) return tables;
  for (size_t i = 0; i < analysis->count; i++)
    for (size_t t = 0; t < analysis->statements[i].tables.count; t++) {
      const struct snap_table *table = pristine(snapshot, analysis->statements[i].tables.items[t], analysis->arena);
      if (table) visit(&walk, table, SIZE_MAX);
    }
  for (size_t at = 0; at < walk.count; at++)
    for (size_t r = 0; r < walk.items[at].table->referenced_by_count; r++) visit(&walk, walk.items[at].table->referenced_by[r]->table, at);
  for (size_t i = 0; i < analysis->count; i++) /* locked without being named: parents of keys, partitions */
    for (size_t l = 0; l < analysis->statements[i].locks.count; l++) {
      const struct seen_lock *lock = &analysis->statements[i].locks.items[l];
      const struct snap_table *table = lockmode_blocks_writes(lock->mode) ? pristine(snapshot, lock->name, analysis->arena) : NULL;
      if (table) visit(&walk, table, SIZE_MAX);
    }
  for (size_t at = 0; at < walk.count; at++) add_table(tables, &walk, at);
  add_new_tables(analysis, tables);
  return tables;
}
