/* candidates.c - see candidates.h. */
#include "worker/optimizer/candidates.h"

#include <math.h>

#include "common/buf.h"
#include "worker/sql/text.h"

#define ROWS_MIN 1000
#define PAGES_MIN 10
#define PARTIAL_SHARE 0.2 /* of the rows, at most */
#define STATES_MAX 100    /* values of a column that is a state of its rows */
#define INCLUDE_BYTES 100 /* of a row's INCLUDE columns */
#define INCLUDE_COLUMNS 5
#define INCLUDE_SHARE 0.5 /* of a row's bytes: more is a second table */
#define HOT_LOST 0.05     /* of a table's UPDATEs, that INCLUDE alone may make dearer */
#define HOT_FEW 1000      /* UPDATEs that say nothing */
#define BRIN_PAGES 16384  /* 128 MiB */
#define BRIN_CORRELATION 0.9
#define SOURCE_MAX 24 /* candidates of one mention of a table */

struct building {
  struct candidates *candidates;
  const struct asked_source *source;
  size_t added;
  bool oom;
};

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
  for (size_t i = 0; i < spec->keys.count; i++)
    buf_printf(&out, "%s%.200s", i ? ", " : "", spec->keys.items[i].column ? spec->keys.items[i].column : spec->keys.items[i].expression);
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

static struct candidate *add(struct building *building, const struct index_spec *spec, double rows) {
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

static bool has_key(const struct index_keys *keys, const char *column) {
  for (size_t i = 0; i < keys->count; i++)
    if (keys->items[i].column && strcmp(keys->items[i].column, column) == 0) return true;
  return false;
}

/* A copy with one more key, when it isn't there and there is room. */
static struct index_keys with(struct building *building, const struct index_keys *keys, struct index_key key) {
  struct index_keys wider = {0};
  for (size_t i = 0; i < keys->count; i++) {
    struct index_key *slot = LIST_PUSH(building->candidates->arena, &wider);
    if (slot) *slot = keys->items[i];
  }
  if (wider.count >= INDEX_KEYS_MAX || (key.column && has_key(keys, key.column))) return wider;
  struct index_key *slot = LIST_PUSH(building->candidates->arena, &wider);
  if (slot) *slot = key;
  return wider;
}

static struct index_keys joined(struct building *building, const struct index_keys *first, const struct index_keys *then) {
  struct index_keys all = with(building, first, then->count ? then->items[0] : (struct index_key){.column = ""});
  if (!then->count) return *first;
  for (size_t i = 1; i < then->count; i++) all = with(building, &all, then->items[i]);
  return all;
}

/* Types that B-trees don't order, or that nobody looks up as a whole. */
static bool btree_type(const char *type) {
  static const char *const without[] = {"json", "xml", "point", "line", "box", "path", "polygon", "circle", "tsquery", "lseg"};
  for (size_t i = 0; i < sizeof without / sizeof *without; i++)
    if (strcmp(type, without[i]) == 0) return false;
  return !strchr(type, '[') && strcmp(type, "jsonb") != 0 && strcmp(type, "tsvector") != 0;
}

static struct candidate *add_btree(struct building *building, const struct index_keys *keys, const char *predicate, double rows) {
  struct index_spec spec = {.table = building->source->table, .method = "btree", .keys = *keys, .predicate = predicate};
  for (size_t i = 0; i < keys->count; i++) {
    const struct snap_column *column = keys->items[i].column ? snap_table_column(spec.table, keys->items[i].column) : NULL;
    if (keys->items[i].column && (!column || (!btree_type(column->type) && !keys->items[i].opclass))) return NULL;
  }
  return add(building, &spec, rows);
}

/* Bytes of a row, and of it what the spec holds. */
static double share_of_row(const struct building *building, const struct index_spec *spec) {
  double row = 0, held = 0;
  for (size_t i = 0; i < spec->table->column_count; i++) {
    const char *name = spec->table->columns[i].name;
    double width = facts_column(building->candidates->facts, spec->table, name).width;
    if (width < 0) width = 16;
    row += width;
    if (has_key(&spec->keys, name) || list_has(spec->include.items, spec->include.count, name)) held += width;
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
    if (has_key(&spec->keys, columns->items[i]) || list_has(spec->include.items, spec->include.count, columns->items[i])) continue;
    const char **slot = LIST_PUSH(building->candidates->arena, &spec->include);
    if (slot) *slot = columns->items[i];
  }
}

/* The keys, and what the query wants besides: read from the index alone. */
static void add_covering(struct building *building, const struct index_keys *keys) {
  struct index_spec spec = {.table = building->source->table, .method = "btree", .keys = *keys};
  if (building->source->needs_all || !keys->count) return;
  include(building, &building->source->needed, &spec);
  if (may_include(building, &spec)) add(building, &spec, -1);
}

/* --- which columns --- */

static struct index_key key_of(const struct ask *ask) { return (struct index_key){.column = ask->column->name}; }

static bool equal_kind(enum ask_kind kind) { return kind == ASK_EQUAL || kind == ASK_NULL || kind == ASK_TRUE; }

/* Equalities, the one with most values first: what is cut off tells least. `except` is left out. */
static struct index_keys equalities(struct building *building, const struct ask *except) {
  struct index_keys keys = {0};
  const struct ask_list *asks = &building->source->asks;
  double last = INFINITY;
  for (size_t taken = 0; taken < INDEX_KEYS_MAX - 1;) {
    const struct ask *best = NULL;
    double most = -1;
    for (size_t i = 0; i < asks->count; i++) {
      const struct ask *ask = &asks->items[i];
      if (!equal_kind(ask->kind) || ask->arm || has_key(&keys, ask->column->name) || (except && ask->column == except->column)) continue;
      double distinct = facts_column(building->candidates->facts, building->source->table, ask->column->name).distinct;
      if (distinct > most && distinct <= last) most = distinct, best = ask;
    }
    if (!best) break;
    keys = with(building, &keys, key_of(best));
    last = most;
    taken++;
  }
  return keys;
}

static struct index_keys join_keys(struct building *building, const char *other) {
  struct index_keys keys = {0};
  for (size_t i = 0; i < building->source->asks.count; i++) {
    const struct ask *ask = &building->source->asks.items[i];
    if (ask->kind == ASK_JOIN && !ask->arm && ask->other && strcmp(ask->other, other) == 0) keys = with(building, &keys, key_of(ask));
  }
  return keys;
}

/* An order all of whose keys go the usual way round, backwards, is the plain one read from its end. */
static struct index_keys order_keys(struct building *building, const struct asked_order *order) {
  struct index_keys keys = {0};
  bool backwards = true;
  for (size_t i = 0; i < order->keys.count; i++) backwards &= order->keys.items[i].descending && order->keys.items[i].nulls_first;
  for (size_t i = 0; i < order->keys.count; i++) {
    struct index_key key = order->keys.items[i];
    const struct snap_column *column = key.column ? snap_table_column(building->source->table, key.column) : NULL;
    if (backwards) key.descending = key.nulls_first = false;
    if (!backwards && column && column->not_null) key.nulls_first = key.descending; /* there are no NULLs to sort */
    keys = with(building, &keys, key);
  }
  return keys;
}

/* --- the shapes --- */

static void add_ranges(struct building *building, const struct index_keys *first, const char *predicate, double rows) {
  for (size_t i = 0; i < building->source->asks.count; i++) {
    const struct ask *ask = &building->source->asks.items[i];
    if (ask->kind != ASK_RANGE || ask->arm) continue;
    struct index_keys keys = with(building, first, key_of(ask));
    add_btree(building, &keys, predicate, rows);
    if (!predicate) add_covering(building, &keys);
  }
}

static void add_orders(struct building *building, const struct index_keys *first, const char *predicate, double rows) {
  for (size_t i = 0; i < building->source->orders.count; i++) {
    struct index_keys order = order_keys(building, &building->source->orders.items[i]), keys = joined(building, first, &order);
    add_btree(building, &keys, predicate, rows);
    if (!predicate) add_covering(building, &keys);
  }
}

static void add_joins(struct building *building, const struct index_keys *equal) {
  const struct ask_list *asks = &building->source->asks;
  for (size_t i = 0; i < asks->count; i++) {
    if (asks->items[i].kind != ASK_JOIN || asks->items[i].arm) continue;
    struct index_keys join = join_keys(building, asks->items[i].other), both = joined(building, &join, equal),
                      turned = joined(building, equal, &join);
    struct index_keys one = with(building, &(struct index_keys){0}, key_of(&asks->items[i]));
    add_btree(building, &one, NULL, -1);
    add_btree(building, &join, NULL, -1);
    add_btree(building, &both, NULL, -1);
    if (equal->count) add_btree(building, &turned, NULL, -1);
    add_covering(building, &both);
    add_ranges(building, &both, NULL, -1);
    add_orders(building, &both, NULL, -1);
  }
}

/* A state, a flag, a NULL: what stays the same from query to query. Not one value of many, which was this query's alone. */
static bool bounds(struct building *building, const struct ask *ask) {
  const char *text = ask->predicate;
  if (!text || ask->arm || ask->kind == ASK_RANGE || ask->kind == ASK_JOIN) return false;
  if (ask->kind == ASK_TRUE || ask->kind == ASK_NULL || strstr(text, " IS NOT NULL")) return true;
  double distinct = facts_column(building->candidates->facts, building->source->table, ask->column->name).distinct;
  return (ask->kind == ASK_EQUAL || ask->kind == ASK_PREDICATE) && distinct > 0 && distinct <= STATES_MAX;
}

/* A condition that few rows meet, in front of what else is asked. */
static void add_partial(struct building *building, const struct ask *bound) {
  struct candidates *candidates = building->candidates;
  const struct snap_table *table = building->source->table;
  double rows = candidates->count ? candidates->count(candidates->arg, table, bound->predicate) : -1,
         all = facts_table(candidates->facts, table).rows;
  if (rows < 0 || all <= 0 || rows > PARTIAL_SHARE * all) return;
  struct index_keys rest = equalities(building, bound), none = {0};
  add_ranges(building, &rest, bound->predicate, rows);
  add_orders(building, &rest, bound->predicate, rows);
  if (rest.count) add_btree(building, &rest, bound->predicate, rows);
  for (size_t i = 0; i < building->source->asks.count; i++) {
    const struct ask *ask = &building->source->asks.items[i];
    struct index_keys join = ask->kind == ASK_JOIN && !ask->arm ? with(building, &none, key_of(ask)) : none;
    if (join.count) add_btree(building, &join, bound->predicate, rows);
  }
  struct index_keys own = with(building, &none, key_of(bound));
  if (!rest.count && btree_type(bound->column->type)) add_btree(building, &own, bound->predicate, rows);
}

static void add_expression(struct building *building, const struct ask *ask, const struct index_keys *equal) {
  struct index_keys none = {0}, keys = with(building, &none, (struct index_key){.expression = ask->expression});
  add_btree(building, &keys, NULL, -1);
  if (!equal->count) return;
  keys = with(building, equal, (struct index_key){.expression = ask->expression});
  add_btree(building, &keys, NULL, -1);
}

static void add_method(struct building *building, const char *method, struct index_key key) {
  struct index_keys none = {0};
  struct index_spec spec = {.table = building->source->table, .method = method, .keys = with(building, &none, key)};
  add(building, &spec, -1);
}

static void add_contains(struct building *building, const struct ask *ask) {
  bool jsonb = strcmp(ask->column->type, "jsonb") == 0, array = strchr(ask->column->type, '[') != NULL;
  struct index_key key = {.column = ask->expression ? NULL : ask->column->name, .expression = ask->expression};
  if (ask->expression) {
    if (strncmp(ask->expression, "to_tsvector(", 12) == 0) add_method(building, "gin", key);
  } else if (jsonb) {
    if (strcmp(ask->op, "@>") == 0) key.opclass = "jsonb_path_ops";
    add_method(building, "gin", key);
  } else if (array || strcmp(ask->column->type, "tsvector") == 0) {
    add_method(building, "gin", key);
  } else if (strstr(ask->column->type, "range")) {
    add_method(building, "gist", key);
  }
}

static void add_texts(struct building *building, const struct ask *ask, const struct index_keys *equal) {
  struct index_key key = key_of(ask);
  if (ask->kind == ASK_PREFIX) {
    bool text = strcmp(ask->column->type, "text") == 0, varying = strncmp(ask->column->type, "character varying", 17) == 0;
    key.opclass = text ? "text_pattern_ops" : varying ? "varchar_pattern_ops" : NULL;
    struct index_keys none = {0}, keys = with(building, &none, key), wider = with(building, equal, key);
    add_btree(building, &keys, NULL, -1);
    if (equal->count) add_btree(building, &wider, NULL, -1);
  } else if (building->candidates->trigram_opclass) {
    key.opclass = building->candidates->trigram_opclass;
    add_method(building, "gin", key);
  }
}

static void add_brin(struct building *building, const struct ask *ask) {
  const struct facts *facts = building->candidates->facts;
  if (facts_table(facts, building->source->table).pages < BRIN_PAGES) return;
  if (fabs(facts_column(facts, building->source->table, ask->column->name).correlation) < BRIN_CORRELATION) return;
  add_method(building, "brin", key_of(ask));
}

/* An index for each arm, of use only together. */
static void add_arms(struct building *building) {
  const struct ask_list *asks = &building->source->asks;
  size_t before = building->candidates->list.count;
  int bundle = building->candidates->bundles + 1;
  for (size_t i = 0; i < asks->count; i++) {
    const struct ask *ask = &asks->items[i];
    if (!ask->arm || !(equal_kind(ask->kind) || ask->kind == ASK_RANGE)) continue;
    struct index_keys none = {0}, keys = with(building, &none, key_of(ask));
    struct candidate *made = add_btree(building, &keys, NULL, -1);
    if (made && !made->bundle) made->bundle = bundle;
  }
  if (building->candidates->list.count > before) building->candidates->bundles = bundle;
}

static void add_single(struct building *building, const struct ask *ask, const struct index_keys *equal) {
  struct index_keys none = {0}, one = with(building, &none, key_of(ask));
  if (ask->arm) return;
  if (bounds(building, ask)) add_partial(building, ask);
  switch (ask->kind) {
  case ASK_EQUAL:
  case ASK_NULL: add_btree(building, &one, NULL, -1); break;
  case ASK_RANGE:
    add_btree(building, &one, NULL, -1);
    add_brin(building, ask);
    break;
  case ASK_SERVED_EQUAL:
  case ASK_SERVED_RANGE: add_expression(building, ask, equal); break;
  case ASK_CONTAINS: add_contains(building, ask); break;
  case ASK_PREFIX:
  case ASK_PATTERN: add_texts(building, ask, equal); break;
  case ASK_TRUE:
  case ASK_JOIN:
  case ASK_PREDICATE: break;
  }
}

/* An order without the equalities before it reads until enough rows meet them: fast by the mean, and slow for the rare value. Where they
 * are lists it is the only way to have it. */
static bool several(const struct building *building) {
  for (size_t i = 0; i < building->source->asks.count; i++)
    if (building->source->asks.items[i].several) return true;
  return false;
}

static void add_source(struct building *building) {
  struct index_keys equal = equalities(building, NULL);
  if (equal.count > 1) add_btree(building, &equal, NULL, -1);
  add_ranges(building, &equal, NULL, -1);
  add_orders(building, &equal, NULL, -1);
  add_joins(building, &equal);
  for (size_t i = 0; i < building->source->asks.count; i++) add_single(building, &building->source->asks.items[i], &equal);
  if (equal.count && several(building)) add_orders(building, &(struct index_keys){0}, NULL, -1);
  add_covering(building, &equal);
  add_arms(building);
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
    add_source(&building);
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
  if (!index_spec_covers(a, &spec) && !index_spec_covers(b, &spec) && may_include(building, &spec)) add(building, &spec, -1);
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
