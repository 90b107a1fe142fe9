/* table_joins.c - see table_joins.h.
 *
 * Each strong one is joined to those before it by the shortest way over foreign keys, breadth first from it. A way goes over a table that
 * refers to both ends (order_items), or along keys in one direction, never over one that both refer to: two tables of one customer have
 * nothing else in common. */
#include "worker/retrieval/table_joins.h"

#include "worker/retrieval/tables_impl.h"

#define STRONG 0.4 /* of the best one's score */
#define BETWEEN 3  /* tables between two that are joined, at most */
#define NONE SIZE_MAX

struct node {
  size_t before; /* on the way from where it began */
  uint8_t depth; /* 0: not reached; 1: where it began */
  bool up;       /* reached by a key of the one before */
};
struct joins {
  const struct snapshot *snapshot;
  const struct table_keys *keys;
  struct node *nodes;
  size_t *queue;
  size_t queued;
  bool *chosen; /* by table */
  struct ranked *list;
  size_t count, most;
};

static void choose(struct joins *joins, struct ranked table) {
  if (joins->chosen[table.item] || joins->count == joins->most) return;
  joins->chosen[table.item] = true;
  joins->list[joins->count++] = table;
}

static void reach(struct joins *joins, size_t from, const struct snap_table *table, bool up) {
  size_t at = table ? (size_t)(table - joins->snapshot->tables) : NONE;
  if (!table || !table_is_searched(table) || joins->nodes[at].depth) return;
  joins->nodes[at] = (struct node){from, (uint8_t)(joins->nodes[from].depth + 1), up};
  joins->queue[joins->queued++] = at;
}

/* The nearest chosen one; NONE: there is none near enough. */
static size_t nearest(struct joins *joins, size_t from) {
  memset(joins->nodes, 0, joins->snapshot->table_count * sizeof *joins->nodes);
  joins->nodes[from] = (struct node){NONE, 1, false};
  joins->queue[0] = from;
  joins->queued = 1;
  for (size_t i = 0; i < joins->queued; i++) {
    size_t at = joins->queue[i];
    if (joins->chosen[at]) return at;
    if (joins->nodes[at].depth > BETWEEN + 1) continue;
    const struct table_keys *keys = &joins->keys[at];
    for (size_t k = 0; k < keys->refers_to_count; k++) reach(joins, at, &joins->snapshot->tables[keys->refers_to[k]], true);
    for (size_t k = 0; k < keys->referred_by_count && !joins->nodes[at].up; k++)
      reach(joins, at, &joins->snapshot->tables[keys->referred_by[k]], false);
  }
  return NONE;
}

/* What lies between it and the nearest chosen one, if all of it has room. */
static void choose_between(struct joins *joins, size_t table) {
  size_t end = joins->count ? nearest(joins, table) : NONE;
  if (end == NONE || joins->count + joins->nodes[end].depth - 1 > joins->most) return;
  for (size_t at = joins->nodes[end].before; at != table && at != NONE; at = joins->nodes[at].before) choose(joins, (struct ranked){at, 0});
}

struct ranked *table_joins(const struct snapshot *snapshot, const struct table_keys *keys, const struct ranked *found, size_t most,
                           struct arena *arena, size_t *count) {
  struct joins joins = {.snapshot = snapshot, .keys = keys, .most = most};
  joins.nodes = arena_calloc(arena, snapshot->table_count + 1, sizeof *joins.nodes);
  joins.queue = arena_calloc(arena, snapshot->table_count + 1, sizeof *joins.queue);
  joins.chosen = arena_calloc(arena, snapshot->table_count + 1, sizeof *joins.chosen);
  joins.list = arena_calloc(arena, most + 1, sizeof *joins.list);
  if (!joins.nodes || !joins.queue || !joins.chosen || !joins.list) return NULL;
  for (size_t i = 0; i < *count; i++) {
    if (!joins.chosen[found[i].item] && found[i].score >= STRONG * found[0].score) choose_between(&joins, found[i].item);
    choose(&joins, found[i]);
  }
  *count = joins.count;
  return joins.list;
}
