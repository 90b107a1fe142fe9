/* drops.c - indexes that cost more than they give: duplicates, those another index serves for, invalid ones, and those nobody reads.
 *
 * What enforces something (primary, unique and exclusion constraints, replica identity) is never offered. That an index was not read is
 * known for this server since its counters began, and for no replica. */
#include <math.h>

#include "common/json.h"
#include "worker/optimizer/advice.h"
#include "worker/sql/text.h"

#define UNUSED_DAYS 7        /* counters have to be that old before "never read" says anything */
#define UNUSED_BYTES 1048576 /* smaller ones are not worth the words */

struct existing {
  const struct snap_index *index;
  const json_t *json; /* its place in the snapshot */
  struct index_spec spec;
  bool read; /* spec is filled */
};

static const json_t *index_json(const json_t *indexes, const char *name) {
  size_t at;
  json_t *index;
  json_array_foreach((json_t *)(uintptr_t)indexes, at, index) if (strcmp(json_str(index, "name", ""), name) == 0) return index;
  return NULL;
}

static bool backs_constraint(const struct snap_table *table, const struct snap_index *index) {
  for (size_t i = 0; i < table->constraint_count; i++)
    if (table->constraints[i].index && strcmp(table->constraints[i].index, index->name) == 0) return true;
  return false;
}

static bool enforces(const struct snap_table *table, const struct existing *existing) {
  const struct snap_index *index = existing->index;
  return index->unique || index->primary || backs_constraint(table, index) || json_bool(existing->json, "exclusion", false) ||
         json_bool(existing->json, "replica_identity", false) || json_bool(existing->json, "inherited", false);
}

/* Whether a foreign key of the table has no other index that leads with its columns. */
static bool only_for_key(const struct snap_table *table, const struct existing *all, size_t count, const struct existing *one) {
  for (size_t f = 0; f < table->fk_count; f++) {
    size_t others = 0, own = 0;
    for (size_t i = 0; i < count; i++) {
      bool leads = all[i].read && all[i].spec.keys.count >= table->fks[f].column_count && !all[i].spec.predicate;
      for (size_t k = 0; leads && k < table->fks[f].column_count; k++)
        leads = list_has(table->fks[f].columns, table->fks[f].column_count, all[i].spec.keys.items[k].column);
      own += leads && &all[i] == one;
      others += leads && &all[i] != one;
    }
    if (own && !others) return true;
  }
  return false;
}

static json_t *drop(struct advice *advice, const struct snap_table *table, const struct snap_index *index, const char *kind,
                    const char *covered_by, const char *reason) {
  const char *name = sql_qualified(advice->arena, table->schema, index->name);
  const char *sql =
      name ? arena_printf(advice->arena, "DROP INDEX %s%s", table->kind == SNAP_PARTITIONED ? "" : "CONCURRENTLY ", name) : NULL;
  json_t *one = json_pack("{s:s*, s:s, s:s, s:s, s:s*, s:I, s:I}", "drop_sql", sql, "index", index->name, "table", table->qualified, "kind",
                          kind, "reason", reason, "bytes", (json_int_t)index->bytes, "scans", (json_int_t)index->scans);
  json_set_str(one, "covered_by", covered_by);
  json_set_str(one, "definition", index->definition);
  json_t *caveats = json_array();
  json_append_str(caveats, "queries that name the index in a hint, and standbys with reads of their own, are not seen from here");
  if (strcmp(kind, "unused") == 0) json_append_str(caveats, "what runs once a quarter may need it: look at when the counters were reset");
  json_object_set_new(one, "caveats", caveats);
  return one;
}

/* The one to keep of two that are the same: what enforces, then what is read more. */
static bool keep_first(const struct snap_table *table, const struct existing *first, const struct existing *second) {
  bool one = enforces(table, first), other = enforces(table, second);
  if (one != other) return one;
  if (first->index->scans != second->index->scans) return first->index->scans > second->index->scans;
  return strcmp(first->index->name, second->index->name) < 0;
}

static bool look_covered(struct advice *advice, const struct snap_table *table, const struct existing *all, size_t count, size_t at,
                         json_t *drops) {
  const struct existing *one = &all[at];
  if (!one->read || !one->index->valid || enforces(table, one)) return false;
  for (size_t i = 0; i < count; i++) {
    const struct existing *other = &all[i];
    if (i == at || !other->read || !other->index->valid || !index_spec_covers(&other->spec, &one->spec)) continue;
    bool same = index_spec_covers(&one->spec, &other->spec);
    if (same && !keep_first(table, other, one)) continue;
    if (!same && strcmp(one->spec.method, "btree") != 0) continue;
    const char *reason = arena_printf(advice->arena, same ? "%s indexes the same as %s" : "%s is the beginning of %s, which serves for it",
                                      one->index->name, other->index->name);
    json_array_append_new(drops, drop(advice, table, one->index, same ? "duplicate" : "prefix_covered", other->index->name, reason));
    return true;
  }
  return false;
}

static void look_unused(struct advice *advice, const struct snap_table *table, const struct existing *all, size_t count, size_t at,
                        json_t *drops) {
  const struct existing *one = &all[at];
  if (one->index->scans != 0 || one->index->bytes < UNUSED_BYTES || advice->facts->days < UNUSED_DAYS || enforces(table, one) ||
      only_for_key(table, all, count, one))
    return;
  const char *reason = arena_printf(advice->arena, "%s was not read once in %.0f days, since this server's counters began",
                                    one->index->name, floor(advice->facts->days));
  json_array_append_new(drops, drop(advice, table, one->index, "unused", NULL, reason));
}

static enum status look_at(struct advice *advice, const struct snap_table *table, const json_t *indexes, json_t *drops, struct error *err) {
  struct existing *all = arena_calloc(advice->arena, table->index_count + 1, sizeof *all);
  if (!all) return error_oom(err);
  for (size_t i = 0; i < table->index_count; i++) {
    all[i].index = &table->indexes[i];
    all[i].json = index_json(indexes, table->indexes[i].name);
    all[i].read = index_spec_read(advice->arena, table, table->indexes[i].definition, &all[i].spec);
  }
  for (size_t i = 0; i < table->index_count; i++) {
    const struct snap_index *index = all[i].index;
    if (!index->valid && !json_bool(all[i].json, "inherited", false) && table->kind != SNAP_PARTITIONED) {
      const char *reason = arena_printf(
          advice->arena, "%s is invalid: writers keep it up, and nobody can read it; a CREATE INDEX CONCURRENTLY failed, or is running",
          index->name);
      json_array_append_new(drops, drop(advice, table, index, "invalid", NULL, reason));
    } else if (!look_covered(advice, table, all, table->index_count, i, drops)) {
      look_unused(advice, table, all, table->index_count, i, drops);
    }
  }
  return OK;
}

static bool listed(const struct table_list *tables, const struct snap_table *table) {
  for (size_t i = 0; i < tables->count; i++)
    if (tables->items[i] == table) return true;
  return false;
}

enum status advice_drops(struct advice *advice, const struct table_list *tables, json_t *drops, struct error *err) {
  static const char *const groups[] = {"tables", "views"}; /* the model leaves out what an index is for: the snapshot's JSON has it */
  enum status status = OK;
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    size_t at;
    json_t *one;
    json_array_foreach(json_object_get(advice->snapshot->json, groups[g]), at, one) {
      const struct snap_table *table = snapshot_table(advice->snapshot, json_str(one, "schema", ""), json_str(one, "name", ""));
      if (!table || table->partition_of || (tables && !listed(tables, table))) continue;
      status = look_at(advice, table, json_object_get(one, "indexes"), drops, err);
      if (status) return status;
    }
  }
  return OK;
}
