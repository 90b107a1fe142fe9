/* choice.h - which of the candidates to have: as much of the workload's cost as possible for each byte, and none that is not needed.
 *
 * Greedy, in the manner of Extend (Schlosser, Kossmann, Boissier: Efficient Scalable Multi-attribute Index Selection, ICDE 2019): each step
 * adds an index, or replaces one by a wider one, whichever saves most per byte; where a bound left no room for what saves most, that is
 * taken in exchange for what saves least; at the end those go without which hardly anything gets dearer. A query is planned again only when
 * the indexes on its tables differ, and then not if the plan it got needs none of the others. */
#ifndef AUTODB_OPTIMIZER_CHOICE_H
#define AUTODB_OPTIMIZER_CHOICE_H

#include "worker/optimizer/candidates.h"
#include "worker/optimizer/trial.h"
#include "worker/query/resolve.h"

#define CHOICE_WORDS (CANDIDATES_MAX / 64)
struct index_set {
  uint64_t words[CHOICE_WORDS];
};
static inline bool index_set_has(const struct index_set *set, size_t index) { return set->words[index / 64] >> index % 64 & 1; }
static inline void index_set_put(struct index_set *set, size_t index, bool in) {
  uint64_t bit = (uint64_t)1 << index % 64;
  set->words[index / 64] = in ? set->words[index / 64] | bit : set->words[index / 64] & ~bit;
}

struct planned { /* one plan of a query: which indexes were there, which of them it used */
  struct index_set there, used;
  double cost;
  const struct query_plan *plan;
};
LIST_TYPE(planned_list, struct planned);

struct workload_query {
  const char *sql; /* as it was given */
  struct trial_query how;
  PgQuery__Node *statement;
  const struct query_resolution *names; /* NULL: not a SELECT */
  const char *fingerprint;
  struct table_list tables;
  double weight;       /* as given: how often; 1 */
  double total_ms;     /* of pg_stat_statements; 0 unknown */
  const char *skipped; /* why it is left out of account; NULL */
  const struct query_plan *before, *after;
  /* private */
  double factor;                    /* of its cost in the sum */
  const struct snap_table *written; /* INSERT, UPDATE, DELETE, MERGE: into what */
  double written_rows;
  struct planned_list planned;
};
LIST_TYPE(workload, struct workload_query);

struct choice {
  struct arena *arena;
  struct trial *trial;
  const struct facts *facts;
  struct workload *queries;
  struct candidates *candidates;
  double budget_bytes; /* 0: no limit */
  size_t max_indexes;  /* 0: no limit */
  int64_t deadline_ms; /* monotonic: no step is begun after it; 0 none */
  double min_gain;     /* of the cost at that point, that an index has to save */
  void (*progress)(void *arg, size_t done, size_t of);
  void *arg;

  /* results */
  struct index_set chosen;
  size_t order[CANDIDATES_MAX], count; /* the chosen, the most saving first */
  double cost_before, cost_after, bytes;
  bool out_of_time, bounded; /* bounded: something had no room within the budget or the number */
};

/* Plans each query as it is: before, factor; a query that the planner refuses is skipped. */
MUST_CHECK enum status choice_plan(struct choice *choice, struct error *err);
MUST_CHECK enum status choice_make(struct choice *choice, struct error *err);
/* The weighted cost of all queries (maintenance included) with these indexes. */
MUST_CHECK enum status choice_cost(struct choice *choice, const struct index_set *set, double *ret_cost, struct error *err);
/* Nothing of what was tried is seen from now on. */
MUST_CHECK enum status choice_hide_all(struct choice *choice, struct error *err);
/* One query with these indexes. */
MUST_CHECK enum status choice_query(struct choice *choice, struct workload_query *query, const struct index_set *set,
                                    const struct planned **ret_planned, struct error *err);

#endif
