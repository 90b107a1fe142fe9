/* candidates.c - see candidates.h. */
#include "worker/optimizer/candidates_impl.h"

#include <math.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "worker/sql/text.h"

#define ROWS_MIN 1000
#define PAGES_MIN 10
#define INCLUDE_BYTES 100 /* of a row's INCLUDE columns */
#define INCLUDE_COLUMNS 5
#define INCLUDE_SHARE 0.5 /* of a row's bytes: more is a second table */
#define HOT_LOST 0.05     /* of a table's UPDATEs, that INCLUDE alone may make dearer */
#define HOT_FEW 1000      /* UPDATEs that say nothing */
#define SOURCE_MAX 24     /* candidates of one mention of a table */

/* --- what is there already --- */

const struct snap_index *candidates_covered(struct arena *arena, const struct index_spec *spec) {
  for (size_t i = 0; i < spec->table->index_count; i++) {
    struct index_spec known;
    const struct snap_index *index = &spec->table->indexes[i];
    if (index->valid && index_spec_read(arena, spec->table, index->definition, &known) && index_spec_covers(&known, spec)) return index;
  }
  return NULL;
}

/* A unique index whose keys lead these finds each row already. */
static bool follows_unique(struct arena *arena, const struct index_spec *spec) {
  for (size_t i = 0; i < spec->table->index_count; i++) {
    struct index_spec known;
    const struct snap_index *index = &spec->table->indexes[i];
    if (index->unique && index->valid && !index->predicate && index_spec_read(arena, spec->table, index->definition, &known) &&
        index_spec_covers(spec, &known))
      return true;
  }
  return false;
}

bool candidates_worthwhile(const struct facts *facts, const struct snap_table *table) {
  struct table_facts size = facts_table(facts, table);
  return size.rows >= ROWS_MIN || size.pages >= PAGES_MIN;
}

/* --- adding one --- */

static const char *why(struct arena *arena, const struct index_spec *spec) {
  BUF_AUTO out;
  buf_init(&out, 4096);
  for (size_t i = 0; i < spec->keys.count; i++) {
    const char *key = spec->keys.items[i].column ? spec->keys.items[i].column : spec->keys.items[i].expression;
    buf_puts(&out, i ? ", " : "");
    buf_append(&out, key, utf8_fit(key, 200));
  }
  return buf_ok(&out) ? arena_strdup(arena, buf_str(&out)) : NULL;
}

static bool too_wide(const struct building *building, const struct index_spec *spec) {
  struct index_size size = index_size_estimate(building->candidates->facts, spec, -1);
  return strcmp(spec->method, "btree") == 0 && size.entry_bytes > INDEX_ENTRY_MAX / 4.0;
}

static bool named(const struct candidates *candidates, const char *name) {
  for (size_t i = 0; i < candidates->list.count; i++)
    if (candidates->list.items[i]->name && strcmp(candidates->list.items[i]->name, name) == 0) return true;
  return false;
}

static const char *free_name(const struct candidates *candidates, const struct index_spec *spec) {
  for (int again = 0;; again++) {
    const char *name = index_spec_name(candidates->arena, candidates->snapshot, spec, again);
    if (!name || !named(candidates, name)) return name;
  }
}

struct candidate *building_add(struct building *building, const struct index_spec *spec, double rows) {
  struct candidates *candidates = building->candidates;
  struct arena *arena = candidates->arena;
  const char *text = spec->keys.count ? index_spec_text(arena, spec) : NULL;
  if (!text) return NULL;
  for (size_t i = 0; i < candidates->list.count; i++)
    if (strcmp(candidates->list.items[i]->text, text) == 0) return candidates->list.items[i];
  if (candidates->list.count >= CANDIDATES_MAX || building->added >= SOURCE_MAX || too_wide(building, spec) ||
      candidates_covered(arena, spec))
    return NULL;
  const char *name = free_name(candidates, spec);
  struct candidate *made = ARENA_NEW(arena, struct candidate), **slot = made ? LIST_PUSH(arena, &candidates->list) : NULL;
  if (!slot) {
    building->oom = true;
    return NULL;
  }
  *made = (struct candidate){.index = candidates->list.count - 1, .spec = *spec, .text = text, .name = name};
  made->why = why(arena, spec);
  made->covering = spec->include.count || follows_unique(arena, spec);
  made->size = index_size_estimate(candidates->facts, spec, rows);
  building->oom |= !made->name || !made->why;
  building->added++;
  return *slot = made;
}

/* --- keys --- */

bool building_has_key(const struct index_keys *keys, const char *column) {
  for (size_t i = 0; i < keys->count; i++)
    if (keys->items[i].column && strcmp(keys->items[i].column, column) == 0) return true;
  return false;
}

struct index_keys building_with(struct building *building, const struct index_keys *keys, struct index_key key) {
  struct index_keys wider = {0};
  for (size_t i = 0; i < keys->count; i++) {
    struct index_key *slot = LIST_PUSH(building->candidates->arena, &wider);
    if (slot) *slot = keys->items[i];
  }
  if (wider.count >= INDEX_KEYS_MAX || (key.column && building_has_key(keys, key.column))) return wider;
  struct index_key *slot = LIST_PUSH(building->candidates->arena, &wider);
  if (slot) *slot = key;
  return wider;
}

struct index_keys building_joined(struct building *building, const struct index_keys *first, const struct index_keys *then) {
  struct index_keys all = building_with(building, first, then->count ? then->items[0] : (struct index_key){.column = ""});
  if (!then->count) return *first;
  for (size_t i = 1; i < then->count; i++) all = building_with(building, &all, then->items[i]);
  return all;
}

/* Types that B-trees don't order, or that nobody looks up as a whole. */
bool building_is_btree_type(const char *type) {
  static const char *const without[] = {"json", "xml", "point", "line", "box", "path", "polygon", "circle", "tsquery", "lseg"};
  for (size_t i = 0; i < sizeof without / sizeof *without; i++)
    if (strcmp(type, without[i]) == 0) return false;
  return !strchr(type, '[') && strcmp(type, "jsonb") != 0 && strcmp(type, "tsvector") != 0;
}

struct candidate *building_btree(struct building *building, const struct index_keys *keys, const char *predicate, double rows) {
  struct index_spec spec = {.table = building->source->table, .method = "btree", .keys = *keys, .predicate = predicate};
  for (size_t i = 0; i < keys->count; i++) {
    const struct snap_column *column = keys->items[i].column ? snap_table_column(spec.table, keys->items[i].column) : NULL;
    if (keys->items[i].column && (!column || (!building_is_btree_type(column->type) && !keys->items[i].opclass))) return NULL;
  }
  return building_add(building, &spec, rows);
}

/* Bytes of a row, and of it what the spec holds. */
static double share_of_row(const struct building *building, const struct index_spec *spec) {
  double row = 0, held = 0;
  for (size_t i = 0; i < spec->table->column_count; i++) {
    const char *name = spec->table->columns[i].name;
    double width = facts_column(building->candidates->facts, spec->table, name).width;
    if (width < 0) width = 16;
    row += width;
    if (building_has_key(&spec->keys, name) || list_has(spec->include.items, spec->include.count, name)) held += width;
  }
  return row > 0 ? held / row : 1;
}

/* UPDATEs that were HOT and would not be, because they set a column that is only included. */
static bool costs_hot(const struct building *building, const struct index_spec *spec) {
  bool known = false;
  struct index_spec keys = *spec;
  keys.include.count = 0;
  struct table_facts table = facts_table(building->candidates->facts, spec->table);
  double more =
      facts_update_share(building->candidates->facts, spec, &known) - facts_update_share(building->candidates->facts, &keys, &known);
  return table.hot_updated > HOT_FEW && table.hot_updated * more > HOT_LOST * table.updated;
}

static bool may_include(const struct building *building, const struct index_spec *spec) {
  double bytes = 0;
  for (size_t i = 0; i < spec->include.count; i++) {
    struct column_facts column = facts_column(building->candidates->facts, spec->table, spec->include.items[i]);
    bytes += column.width > 0 ? column.width : 16;
  }
  return spec->include.count && spec->include.count <= INCLUDE_COLUMNS && bytes <= INCLUDE_BYTES &&
         share_of_row(building, spec) <= INCLUDE_SHARE && !costs_hot(building, spec);
}

/* Those of the columns that the spec has nowhere yet. */
static void include(struct building *building, const struct index_names *columns, struct index_spec *spec) {
  for (size_t i = 0; i < columns->count; i++) {
    if (building_has_key(&spec->keys, columns->items[i]) || list_has(spec->include.items, spec->include.count, columns->items[i])) continue;
    const char **slot = LIST_PUSH(building->candidates->arena, &spec->include);
    if (slot) *slot = columns->items[i];
  }
}

void building_covering(struct building *building, const struct index_keys *keys) {
  struct index_spec spec = {.table = building->source->table, .method = "btree", .keys = *keys};
  if (building->source->needs_all || !keys->count) return;
  include(building, &building->source->needed, &spec);
  if (may_include(building, &spec)) building_add(building, &spec, -1);
}
static const char *trigram_opclass(const struct candidates *candidates) {
  for (size_t i = 0; i < candidates->snapshot->extension_count; i++) {
    const struct snap_extension *extension = &candidates->snapshot->extensions[i];
    if (strcmp(extension->name, "pg_trgm") != 0) continue;
    bool visible = !extension->schema || strcmp(extension->schema, "public") == 0 || strcmp(extension->schema, "pg_catalog") == 0;
    return visible ? "gin_trgm_ops" : sql_qualified(candidates->arena, extension->schema, "gin_trgm_ops");
  }
  return NULL;
}

enum status candidates_add(struct candidates *candidates, const struct source_list *sources, struct error *err) {
  candidates->trigram_opclass = trigram_opclass(candidates);
  for (size_t i = 0; i < sources->count; i++) {
    struct building building = {.candidates = candidates, .source = &sources->items[i]};
    if (!candidates_worthwhile(candidates->facts, sources->items[i].table)) continue;
    candidate_shapes(&building);
    if (building.oom) return error_oom(err);
  }
  return OK;
}

/* --- of several queries --- */

/* What serves both: the longer keys, and what either includes. */
static void add_both(struct building *building, const struct index_spec *a, const struct index_spec *b) {
  struct index_spec bare_a = *a, bare_b = *b, spec;
  bare_a.include.count = bare_b.include.count = 0;
  bool longer = index_spec_covers(&bare_a, &bare_b);
  if (!longer && !index_spec_covers(&bare_b, &bare_a)) return;
  spec = longer ? bare_a : bare_b;
  spec.include = (struct index_names){0};
  include(building, &a->include, &spec);
  include(building, &b->include, &spec);
  if (!index_spec_covers(a, &spec) && !index_spec_covers(b, &spec) && may_include(building, &spec)) building_add(building, &spec, -1);
}

enum status candidates_merge(struct candidates *candidates, struct error *err) {
  size_t count = candidates->list.count;
  struct building building = {.candidates = candidates};
  for (size_t i = 0; i < count; i++)
    for (size_t k = i + 1; k < count && building.added < SOURCE_MAX; k++) {
      const struct index_spec *a = &candidates->list.items[i]->spec, *b = &candidates->list.items[k]->spec;
      if (a->include.count && b->include.count && !a->predicate && !b->predicate) add_both(&building, a, b);
    }
  return building.oom ? error_oom(err) : OK;
}
