/* known.c - see known.h. */
#include "worker/text2sql/builtin/known.h"

#include <string.h>

#include "worker/schema/kept.h"

bool known_read(struct known *known, const struct snapshot *snapshot, struct words *words, struct arena *arena) {
  known->words = words;
  return words && names_read(&known->names, snapshot, arena, words) && joins_read(&known->graph, snapshot, &known->names, arena, words);
}

const struct known *known_kept(const struct snapshot *snapshot) {
  struct arena *arena;
  void **place = kept_beside(snapshot, &arena);
  if (!place || *place) return place ? *place : NULL;
  struct known *known = ARENA_NEW(arena, struct known);
  if (known && known_read(known, snapshot, words_new(NULL, arena), arena)) *place = known;
  return *place;
}

bool known_graph(const struct known *known, struct arena *arena, struct join_graph *ret_graph) {
  struct join_edge *edges = arena_calloc(arena, known->graph.edge_count + 1, sizeof *edges);
  if (!edges) return false;
  if (known->graph.edge_count) memcpy(edges, known->graph.edges, known->graph.edge_count * sizeof *edges);
  *ret_graph = known->graph;
  ret_graph->edges = edges;
  ret_graph->room = known->graph.edge_count;
  return true;
}
