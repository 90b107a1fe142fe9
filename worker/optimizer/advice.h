/* advice.h - advice about indexes for one query or for many: from the queries to what is answered.
 *
 * query.optimize: what the client's own plan shows is asked for, then tried with HypoPG or on the what-if server. workload.optimize: all of
 * it on the what-if server, where that can be had. */
#ifndef AUTODB_OPTIMIZER_ADVICE_H
#define AUTODB_OPTIMIZER_ADVICE_H

#include "worker/optimizer/choice.h"
#include "worker/optimizer/optimize_impl.h"

struct advice {
  struct job *job;
  struct arena *arena;
  struct query_session *session;
  const struct snapshot *snapshot;
  struct facts *facts;
  struct table_list tables; /* of all queries, without those that can have no index */
  struct workload queries;
  struct candidates candidates;
  struct choice choice;
  struct trial *trial; /* NULL: nothing can be tried */
  const char *untried; /* why */
  bool hypothetical;   /* HypoPG may be used */
  struct clone *clone; /* left by another stage; NULL */
  json_t *warnings;    /* sentences; borrowed */
};

/* Tables of the queries, and what the database knows of them. A snapshot that has other indexes than the database is taken anew. */
MUST_CHECK enum status advice_read(struct advice *advice, struct error *err);
/* Tables and names of the queries, the facts being known. */
MUST_CHECK enum status advice_prepare(struct advice *advice, struct error *err);
/* Opens the place to try in; what is missing for that is a warning, and advice->trial stays NULL. */
MUST_CHECK enum status advice_open(struct advice *advice, bool any_index, struct error *err);
void advice_close(struct advice *advice);
/* Plans the queries where indexes are tried, suggests, and chooses. */
MUST_CHECK enum status advice_choose(struct advice *advice, const struct source_list *sources, double min_gain, struct error *err);
/* The query as it would better be written: where indexes for that form save more, they are recommended with it (advice_rewritten.c). */
MUST_CHECK enum status advice_rewritten(struct advice *advice, struct optimization *o, struct error *err);
/* Candidates for a query whose plan is known. */
MUST_CHECK enum status advice_suggest(struct advice *advice, const struct workload_query *query, const struct query_plan *plan,
                                      struct source_list *ret_sources, struct error *err);
MUST_CHECK enum status advice_candidates(struct advice *advice, const struct source_list *sources, struct error *err);

/* index_recommendations of the contract, from what was chosen; appended to the array. */
MUST_CHECK enum status advice_recommend(struct advice *advice, json_t *recommendations, struct error *err);
/* Without a place to try in: for each table that is read in full for a few of its rows, the index that fits its conditions best. */
void advice_guess(struct advice *advice, const struct query_plan *plan, const struct source_list *sources, json_t *recommendations);
/* Indexes that foreign keys want: a row deleted from their target is looked for in these tables. Only of targets that are deleted from, or
 * whose keys change, by the queries or by the counters. After advice_recommend: what that has is not said twice. */
void advice_foreign_keys(struct advice *advice, json_t *recommendations);

/* drop_candidates (drops.c): of the tables (NULL: all), indexes that are duplicates, prefixes of others, invalid or unused. */
MUST_CHECK enum status advice_drops(struct advice *advice, const struct table_list *tables, json_t *drops, struct error *err);

/* The stage of query.optimize. */
MUST_CHECK enum status advise_indexes(struct optimization *optimization, struct error *err);

#endif
