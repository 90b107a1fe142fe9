/* candidate_shapes.c - which columns, in which order, with what besides: what one mention of a table suggests. */
#include <math.h>

#include "worker/optimizer/candidates_impl.h"
#include "worker/sql/text.h"

#define PARTIAL_SHARE 0.2   /* of the rows, at most */
#define TIGHT_SHARE 0.4     /* where bytes are bounded: so much less of them is worth it */
#define STATES_MAX 100      /* values of a column that is a state of its rows */
#define FREQUENT_SHARE 0.01 /* of the rows have a value that is frequent among many others, */
#define FREQUENT_TIMES 10   /* and so many times as many as have another one */
#define BRIN_PAGES 16384    /* 128 MiB */
#define BRIN_CORRELATION 0.9

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
      if (!equal_kind(ask->kind) || ask->arm || building_has_key(&keys, ask->column->name) || (except && ask->column == except->column))
        continue;
      double distinct = facts_column(building->candidates->facts, building->source->table, ask->column->name).distinct;
      if (distinct > most && distinct <= last) most = distinct, best = ask;
    }
    if (!best) break;
    keys = building_with(building, &keys, key_of(best));
    last = most;
    taken++;
  }
  return keys;
}

static struct index_keys join_keys(struct building *building, const char *other) {
  struct index_keys keys = {0};
  for (size_t i = 0; i < building->source->asks.count; i++) {
    const struct ask *ask = &building->source->asks.items[i];
    if (ask->kind == ASK_JOIN && !ask->arm && ask->other && strcmp(ask->other, other) == 0)
      keys = building_with(building, &keys, key_of(ask));
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
    keys = building_with(building, &keys, key);
  }
  return keys;
}

/* --- the shapes --- */

static void add_ranges(struct building *building, const struct index_keys *first, const char *predicate, double rows) {
  for (size_t i = 0; i < building->source->asks.count; i++) {
    const struct ask *ask = &building->source->asks.items[i];
    if (ask->kind != ASK_RANGE || ask->arm) continue;
    struct index_keys keys = building_with(building, first, key_of(ask));
    building_btree(building, &keys, predicate, rows);
    if (!predicate) building_covering(building, &keys);
  }
}

static void add_orders(struct building *building, const struct index_keys *first, const char *predicate, double rows) {
  for (size_t i = 0; i < building->source->orders.count; i++) {
    struct index_keys order = order_keys(building, &building->source->orders.items[i]), keys = building_joined(building, first, &order);
    building_btree(building, &keys, predicate, rows);
    if (!predicate) building_covering(building, &keys);
  }
}

static void add_joins(struct building *building, const struct index_keys *equal) {
  const struct ask_list *asks = &building->source->asks;
  for (size_t i = 0; i < asks->count; i++) {
    if (asks->items[i].kind != ASK_JOIN || asks->items[i].arm) continue;
    struct index_keys join = join_keys(building, asks->items[i].other), both = building_joined(building, &join, equal),
                      turned = building_joined(building, equal, &join);
    struct index_keys one = building_with(building, &(struct index_keys){0}, key_of(&asks->items[i]));
    building_btree(building, &one, NULL, -1);
    building_btree(building, &join, NULL, -1);
    building_btree(building, &both, NULL, -1);
    if (equal->count) building_btree(building, &turned, NULL, -1);
    building_covering(building, &both);
    add_ranges(building, &both, NULL, -1);
    add_orders(building, &both, NULL, -1);
  }
}

/* Rows that the condition lets in, by the planner; -1 unknown. */
static double rows_of(struct building *building, const struct ask *ask) {
  struct candidates *candidates = building->candidates;
  return candidates->count ? candidates->count(candidates->arg, building->source->table, ask->predicate) : -1;
}

/* A state, a flag, a NULL: what stays the same from query to query. Not one value of many, which was this query's alone, unless it is one
 * that many rows have. */
static bool bounds(struct building *building, const struct ask *ask) {
  const char *text = ask->predicate;
  if (!text || ask->arm || ask->kind == ASK_RANGE || ask->kind == ASK_JOIN) return false;
  if (ask->kind == ASK_TRUE || ask->kind == ASK_NULL || strstr(text, " IS NOT NULL")) return true;
  double distinct = facts_column(building->candidates->facts, building->source->table, ask->column->name).distinct;
  if ((ask->kind != ASK_EQUAL && ask->kind != ASK_PREDICATE) || distinct <= 0) return false;
  double all = facts_table(building->candidates->facts, building->source->table).rows;
  if (distinct <= STATES_MAX) return true;
  bool one = ask->kind == ASK_EQUAL && !ask->several && distinct < all;
  return one && rows_of(building, ask) >= fmax(FREQUENT_SHARE * all, FREQUENT_TIMES * all / distinct);
}

/* A condition that few rows meet, in front of what else is asked. */
static void add_partial(struct building *building, const struct ask *bound) {
  struct candidates *candidates = building->candidates;
  const struct snap_table *table = building->source->table;
  double rows = rows_of(building, bound), all = facts_table(candidates->facts, table).rows;
  if (rows < 0 || all <= 0 || rows > (candidates->tight ? TIGHT_SHARE : PARTIAL_SHARE) * all) return;
  struct index_keys rest = equalities(building, bound), none = {0};
  add_ranges(building, &rest, bound->predicate, rows);
  add_orders(building, &rest, bound->predicate, rows);
  if (rest.count) building_btree(building, &rest, bound->predicate, rows);
  for (size_t i = 0; i < building->source->asks.count; i++) {
    const struct ask *ask = &building->source->asks.items[i];
    struct index_keys join = ask->kind == ASK_JOIN && !ask->arm ? building_with(building, &none, key_of(ask)) : none;
    if (join.count) building_btree(building, &join, bound->predicate, rows);
  }
  struct index_keys own = building_with(building, &none, key_of(bound));
  if (!rest.count && building_is_btree_type(bound->column->type)) building_btree(building, &own, bound->predicate, rows);
}

static void add_expression(struct building *building, const struct ask *ask, const struct index_keys *equal) {
  struct index_keys none = {0}, keys = building_with(building, &none, (struct index_key){.expression = ask->expression});
  building_btree(building, &keys, NULL, -1);
  if (!equal->count) return;
  keys = building_with(building, equal, (struct index_key){.expression = ask->expression});
  building_btree(building, &keys, NULL, -1);
}

static void add_method(struct building *building, const char *method, struct index_key key) {
  struct index_keys none = {0};
  struct index_spec spec = {.table = building->source->table, .method = method, .keys = building_with(building, &none, key)};
  building_add(building, &spec, -1);
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
    struct index_keys none = {0}, keys = building_with(building, &none, key), wider = building_with(building, equal, key);
    building_btree(building, &keys, NULL, -1);
    if (equal->count) building_btree(building, &wider, NULL, -1);
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

/* Columns that an arm compares for equality, then one it has a range of. */
static struct index_keys arm_keys(struct building *building, int arm) {
  const struct ask_list *asks = &building->source->asks;
  struct index_keys keys = {0};
  for (size_t i = 0; i < asks->count; i++)
    if (asks->items[i].arm == arm && equal_kind(asks->items[i].kind)) keys = building_with(building, &keys, key_of(&asks->items[i]));
  for (size_t i = 0; i < asks->count; i++)
    if (asks->items[i].arm == arm && asks->items[i].kind == ASK_RANGE) return building_with(building, &keys, key_of(&asks->items[i]));
  return keys;
}

/* An index for each arm, of use only together. */
static void add_arms(struct building *building) {
  size_t before = building->candidates->list.count;
  int bundle = building->candidates->bundles + 1;
  for (int arm = 1; arm <= ASKED_ARMS_MAX; arm++) {
    struct index_keys keys = arm_keys(building, arm);
    struct candidate *made = keys.count ? building_btree(building, &keys, NULL, -1) : NULL;
    if (made && !made->bundle) made->bundle = bundle;
  }
  if (building->candidates->list.count > before) building->candidates->bundles = bundle;
}

static void add_single(struct building *building, const struct ask *ask, const struct index_keys *equal) {
  struct index_keys none = {0}, one = building_with(building, &none, key_of(ask));
  if (ask->arm) return;
  if (bounds(building, ask)) add_partial(building, ask);
  switch (ask->kind) {
  case ASK_EQUAL:
  case ASK_NULL: building_btree(building, &one, NULL, -1); break;
  case ASK_RANGE:
    building_btree(building, &one, NULL, -1);
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

void candidate_shapes(struct building *building) {
  struct index_keys equal = equalities(building, NULL);
  if (equal.count > 1) building_btree(building, &equal, NULL, -1);
  add_ranges(building, &equal, NULL, -1);
  add_orders(building, &equal, NULL, -1);
  add_joins(building, &equal);
  for (size_t i = 0; i < building->source->asks.count; i++) add_single(building, &building->source->asks.items[i], &equal);
  if (equal.count && several(building)) add_orders(building, &(struct index_keys){0}, NULL, -1);
  building_covering(building, &equal);
  add_arms(building);
}
