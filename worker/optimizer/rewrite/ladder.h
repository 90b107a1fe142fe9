/* ladder.h - what becomes of each candidate, rung by rung (rewrite.h says what the rungs are). */
#ifndef AUTODB_REWRITE_LADDER_H
#define AUTODB_REWRITE_LADDER_H

#include "worker/optimizer/rewrite/rewrite.h"

struct ladder_step { /* a candidate on the ladder */
  struct rewrite_candidate candidate;
  int level;           /* the highest rung it stands on, 0 to 5 */
  bool waits;          /* no cheaper by the indexes there are; those that are advised may change that */
  bool live, made_up;  /* rows were compared: on live data (L4), on made-up ones (L5) */
  int data_sets, full; /* of L5; and those in which the query gave rows */
  const char *dropped; /* why; NULL while it is on it */
  const char *note;    /* what could not be tried, and why; NULL */
  int dropped_at;
  double cost;
  double milliseconds; /* measured; PLAN_UNKNOWN */
};

struct ladder {
  struct ladder_step *steps;
  size_t count, room;
};

/* L1 to L3: columns and parameters are compared, plans made. A candidate that falls is marked. Fails only when the database is gone. */
MUST_CHECK enum status ladder_plan(struct optimization *o, struct ladder *ladder, size_t from, struct error *err);
/* L4, for those still on it. */
MUST_CHECK enum status ladder_compare(struct optimization *o, struct ladder *ladder, struct error *err);
void ladder_drop(struct ladder_step *step, int level, const char *why);

/* Two prepared statements: the same columns by name, type and modifier, and the same parameters. NULL, or the difference. */
const char *ladder_difference(const PGresult *a, const PGresult *b, struct arena *arena);
/* The statement without LIMIT and OFFSET at its top: which rows they keep may be open. NULL only when memory is short. */
const char *ladder_unlimited(const char *sql, struct arena *arena);

#endif
