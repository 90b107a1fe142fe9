/* candidates_impl.h - candidates as they are collected for one mention of a table (candidates.c), and what it suggests
 * (candidate_shapes.c). */
#ifndef AUTODB_OPTIMIZER_CANDIDATES_IMPL_H
#define AUTODB_OPTIMIZER_CANDIDATES_IMPL_H

#include "worker/optimizer/candidates.h"

struct building {
  struct candidates *candidates;
  const struct asked_source *source;
  size_t added;
  bool oom;
};

/* The candidate, or the one there is already that is the same; NULL: there is no room, or an index has it. rows: -1, all. */
struct candidate *building_add(struct building *building, const struct index_spec *spec, double rows);
struct candidate *building_btree(struct building *building, const struct index_keys *keys, const char *predicate, double rows);
/* The keys, and what the query wants besides: read from the index alone. */
void building_covering(struct building *building, const struct index_keys *keys);
/* A copy with one more key, when it isn't there and there is room. */
struct index_keys building_with(struct building *building, const struct index_keys *keys, struct index_key key);
struct index_keys building_joined(struct building *building, const struct index_keys *first, const struct index_keys *then);
bool building_has_key(const struct index_keys *keys, const char *column);
bool building_is_btree_type(const char *type);

/* Adds all that building->source suggests. */
void candidate_shapes(struct building *building);

#endif
