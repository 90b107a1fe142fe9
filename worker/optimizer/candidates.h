/* candidates.h - indexes that might serve a query: few enough to be tried, and none that is there already.
 *
 * Columns held equal come first, then what is ordered by or one range; joins are equalities whose value comes from elsewhere. Beside the
 * ordered ones: partial (a literal condition that few rows meet), covering (INCLUDE), over expressions, GIN, BRIN, patterns. Which of
 * them serve is for the planner to say. */
#ifndef AUTODB_OPTIMIZER_CANDIDATES_H
#define AUTODB_OPTIMIZER_CANDIDATES_H

#include "worker/optimizer/asked.h"
#include "worker/optimizer/facts.h"
#include "worker/optimizer/index_size.h"

#define CANDIDATES_MAX 256 /* of a whole workload */

struct candidate {
  size_t index; /* its place in the list */
  struct index_spec spec;
  const char *text; /* index_spec_text */
  const char *name;
  const char *why; /* what of the query it serves: "status = …, ordered by placed" */
  struct index_size size;
  bool covering; /* what finds rows is there already, or would be without INCLUDE: it serves by what it holds besides */
  int bundle;    /* candidates of one OR, which serve together or not at all; 0 none */
  /* private to trial.c */
  json_t *made;       /* [{"s", "n"}]: what it is called there; one for each partition */
  const char *handle; /* HypoPG's oid */
  bool tried, refused, shown;
};
LIST_TYPE(candidate_list, struct candidate *);

struct candidates {
  struct arena *arena;
  const struct snapshot *snapshot;
  const struct facts *facts;
  struct candidate_list list;
  bool tight; /* their bytes are bounded: what serves only some rows may be worth having */
  int bundles;
  const char *trigram_opclass; /* qualified; NULL: pg_trgm is not there */
  /* Rows that a condition lets in, -1 unknown: asked of the planner. */
  double (*count)(void *arg, const struct snap_table *table, const char *predicate);
  void *arg;
};

/* Adds what the sources of one query suggest. */
MUST_CHECK enum status candidates_add(struct candidates *candidates, const struct source_list *sources, struct error *err);
/* Once those of all queries are there: of two that include columns behind the same keys, one that includes what both do. */
MUST_CHECK enum status candidates_merge(struct candidates *candidates, struct error *err);
/* Whether the table is worth an index: a planner reads a handful of pages anyway. */
bool candidates_worthwhile(const struct facts *facts, const struct snap_table *table);
/* The index of the table that makes the spec superfluous; NULL. */
const struct snap_index *candidates_covered(struct arena *arena, const struct index_spec *spec);

#endif
