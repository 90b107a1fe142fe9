/* rewrite.h - the same question asked another way: what may be proposed, and what a proposal has to survive.
 *
 * A rule (rules_table.c, one row each) looks for its form in the tree of a query, proves its preconditions from the tree, the resolved
 * names and the snapshot, and changes the tree. What it took for granted of the schema (NOT NULL, keys, foreign keys) is stated with it.
 * The text of the new query keeps the author's comments and layout wherever the rule changed nothing (merge.h).
 *
 * Proposals then climb a ladder, and are dropped where they fall:
 *   L0  the preconditions are proved (rules; a language model's proposals begin below)
 *   L1  the same columns, by name, type and order, and the same parameters (ladder.c)
 *   L2  cheaper by EXPLAIN, as far as that can tell (enum rewrite_costs)
 *   L3  the plan is another one; conditions changed in place may wait for an index instead (advice_rewritten.c)
 *   L4  the same rows on the live data, when that is asked for
 *   L5  the same rows on made-up ones chosen to tell queries apart: NULLs, duplicates, empty tables, ties, bounds (trial.h) */
#ifndef AUTODB_REWRITE_H
#define AUTODB_REWRITE_H

#include "worker/optimizer/optimize.h"

#define REWRITE_CANDIDATES 24  /* of one query */
#define REWRITE_ASSUMPTIONS 12 /* of one candidate */
#define REWRITE_SQL_BYTES (64 * 1024)
#define REWRITE_SCOPES 200 /* SELECTs of one query */

struct rewrite_rule;

/* What the planner's costs tell of a rewrite. Of several steps the last of these holds: the less is believed. */
enum rewrite_costs {
  COSTS_FAIR,
  COSTS_BLIND, /* they don't show what it gains */
  COSTS_ROUGH, /* they show somewhat too much: aggregates that pass most rows over cost more than the planner thinks */
  COSTS_PROBES /* they show too much: each of a subquery's look-ups is charged with reads from disk that are in memory after the first */
};

struct rewrite_candidate {
  const char *sql;  /* the whole query, in the author's layout */
  const char *rule; /* code of its rule; "a + b" of a combination; "model" */
  const char *explanation;
  const char *assumptions[REWRITE_ASSUMPTIONS]; /* facts of the schema: "shop.orders.customer_id is NOT NULL" */
  size_t assumption_count;
  enum rewrite_costs costs;
  bool in_place; /* it only changes conditions, by what types say: never dearer, and where no index serves it no cheaper either */
  bool model;    /* proposed by a language model: nothing is proved */
};

struct rewrite_list {
  struct rewrite_candidate items[REWRITE_CANDIDATES];
  size_t count;
};

/* All that the rules propose for one SELECT: single steps, each applied to the query as it is. ret_why: why nothing was looked for ("it
 * calls random(), which is volatile"), else NULL. Never fails but for memory; text that does not parse has no candidates. For processes
 * that may die: SQL is parsed here. */
MUST_CHECK enum status rewrite_propose(const struct snapshot *snapshot, const char *sql, struct arena *arena, struct rewrite_list *ret_list,
                                       const char **ret_why, struct error *err);

/* The stage of query.optimize: appends to `alternatives`, sets `dropped_rewrites`. */
enum status rewrite_stage(struct optimization *optimization, struct error *err);

/* For who writes documents and tests: the rows; NULL past the end. */
const struct rewrite_rule *rewrite_rule_at(size_t index);

#endif
