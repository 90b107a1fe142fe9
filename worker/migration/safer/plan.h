/* safer/plan.h - a migration being rewritten: what routes see, and what they may write.
 *
 *   safer/plan.c    walks the statements, asks the routes, keeps the rest      safer/routes.c     the table of routes
 *   safer/script.c  steps to text: transactions, timeouts, comments            safer/write.c      names, backfills, what routes share
 *   safer/index.c, safer/constraint.c, safer/column.c, safer/partition.c, safer/phases.c      routes by family
 *   safer/prove.c   runs it and compares                                       safer/compare.c    two dumps, order aside
 *
 * To add a route: a row in safer/routes.c, a function in its family's file. The function writes what replaces one statement, or one
 * subcommand of an ALTER TABLE, and answers false where it doesn't apply: then the statement stays as it is. */
#ifndef AUTODB_SAFER_PLAN_H
#define AUTODB_SAFER_PLAN_H

#include "worker/migration/analysis.h"
#include "worker/migration/forms/forms.h"

enum safer_place {
  SAFER_JOIN,   /* shares a transaction with its neighbours of the same transaction in the original */
  SAFER_OWN,    /* begins a transaction of its own */
  SAFER_SAME,   /* in the one the step before it began */
  SAFER_OUTSIDE /* refuses to run in one */
};
enum safer_phase { SAFER_ANY, SAFER_EXPAND, SAFER_BACKFILL, SAFER_SWITCH, SAFER_CONTRACT };

struct safer_use;
struct safer_route {
  const char *id;
  enum fact fact;                    /* what it answers; FACT_NONE: `rule` */
  const char *rule;                  /* a rule without a fact */
  PgQuery__Node__NodeCase statement; /* that the route can read; NOT_SET: any */
  PgQuery__AlterTableType command;   /* 0: a statement of its own */
  bool (*write)(struct safer_use *use, const struct effect_fact *fact);
  const char *change, *watch; /* for people: what is done instead and why; what to look out for. watch may be NULL */
};
extern const struct safer_route safer_routes[];
extern const size_t safer_route_count;

struct safer_step {
  const char *sql;      /* no semicolon */
  const char *comments; /* kept from the source, to stand before it; NULL */
  const char *note;     /* what it costs others; NULL for kept statements */
  enum safer_place place;
  enum safer_phase phase;
  bool strong;     /* takes a lock others wait for, for a moment */
  int transaction; /* of the source */
  size_t statement;
  const struct safer_route *route; /* NULL: kept as it was */
};

struct safer_replaced {
  size_t statement;
  const char *finding;
  const struct safer_route *route;
};

struct safer_group { /* a transaction of the source */
  int transaction;
  const char *begin;           /* as written; NULL: not written */
  const char *end;             /* when it isn't a plain COMMIT */
  bool ended;                  /* by a COMMIT */
  bool frozen;                 /* can't be split: locks, savepoints, settings that end with it */
  LIST(const char *) settings; /* SET LOCAL of timeouts, repeated in each part */
};

struct safer_plan {
  struct arena *arena;
  const struct analysis *analysis;
  const bool *skip;
  struct shadow *shadow; /* before the statement at hand */
  struct shadow *ahead;  /* after it */
  LIST(struct safer_group) groups;
  LIST(struct safer_step) steps;
  LIST(struct safer_step) later; /* contract steps: after everything else */
  LIST(struct safer_replaced) replaced;
  LIST(const char *) names;    /* chosen so far, "schema.name" */
  const char *comments;        /* waiting for a step to stand before */
  const char *trailing;        /* after the last statement */
  const char *session_timeout; /* the SET lock_timeout in force, as written */
  bool phased, reordered;      /* reordered: columns may end in another order */
  bool failed;                 /* the arena is exhausted, or a bound was met */
};

struct safer_use { /* one statement or subcommand at hand */
  struct safer_plan *plan;
  const struct safer_route *route;
  const struct statement *statement;
  size_t index;
  PgQuery__Node *node;
  const PgQuery__AlterTableStmt *alter;  /* NULL: not an ALTER TABLE */
  const PgQuery__AlterTableCmd *command; /* the one subcommand */
  struct rel *rel;                       /* ALTER TABLE: its target */
  const char *table;                     /* rel's name, quoted */
  enum safer_phase phase;                /* of the steps added next */
};

/* ret_plan NULL: no finding has a route. */
MUST_CHECK enum status safer_plan_make(const struct analysis *analysis, const bool *skip, struct safer_plan **ret_plan, struct error *err);

/* --- safer/write.c: what routes use --- */

void safer_add(struct safer_use *use, enum safer_place place, const char *note, const char *format, ...) PRINTF_LIKE(4, 5);
extern const char safer_brief[], safer_reads[], safer_outside[]; /* notes */

const char *safer_quote(const struct safer_use *use, const char *name);
const char *safer_table(const struct safer_use *use, const struct rel *rel); /* qualified and quoted */
/* A name as PostgreSQL would choose it: "first_second_label" cut to 63 bytes, free in the schema. second may be NULL. */
const char *safer_name(struct safer_use *use, const char *schema, const char *first, const char *second, const char *label);
/* "a_b": what PostgreSQL makes of several columns for a name. */
const char *safer_joined(struct arena *arena, const char *const *names, size_t count);
/* A subcommand as a statement of its own. */
const char *safer_command(const struct safer_use *use, const PgQuery__AlterTableCmd *command);
/* "ADD CONSTRAINT …" with changes made to a copy; NULL when it can't be printed. */
const char *safer_constraint(const struct safer_use *use, const PgQuery__Constraint *constraint);
/* Proves the column NOT NULL without a long lock, then makes it so. */
void safer_prove_not_null(struct safer_use *use, const struct rel *rel, const char *column);
/* Adds a block that runs `UPDATE … SET set WHERE unfilled` by ranges of a key, committing each. False without a usable key. */
bool safer_backfill(struct safer_use *use, const struct rel *rel, const char *set, const char *unfilled);
bool safer_has_key(const struct rel *rel);

/* --- safer/constraint.c, for columns too --- */
bool safer_write_constraint(struct safer_use *use, const PgQuery__Constraint *constraint, const char *column);

/* --- routes, by family --- */
bool safer_create_index(struct safer_use *use, const struct effect_fact *fact);
bool safer_drop_index(struct safer_use *use, const struct effect_fact *fact);
bool safer_reindex(struct safer_use *use, const struct effect_fact *fact);
bool safer_refresh(struct safer_use *use, const struct effect_fact *fact);
bool safer_add_constraint(struct safer_use *use, const struct effect_fact *fact);
bool safer_primary_key_index(struct safer_use *use, const struct effect_fact *fact);
bool safer_set_not_null(struct safer_use *use, const struct effect_fact *fact);
bool safer_alone(struct safer_use *use, const struct effect_fact *fact);
bool safer_add_column(struct safer_use *use, const struct effect_fact *fact);
bool safer_attach(struct safer_use *use, const struct effect_fact *fact);
bool safer_detach(struct safer_use *use, const struct effect_fact *fact);
bool safer_create_partition(struct safer_use *use, const struct effect_fact *fact);
bool safer_recheck_type(struct safer_use *use, const struct effect_fact *fact);
bool safer_change_type(struct safer_use *use, const struct effect_fact *fact);
bool safer_rename_table(struct safer_use *use, const struct effect_fact *fact);
bool safer_rename_column(struct safer_use *use, const struct effect_fact *fact);
bool safer_set_schema(struct safer_use *use, const struct effect_fact *fact);

/* --- safer/script.c --- */

const char *safer_script_text(const struct safer_plan *plan); /* NULL when out of memory or too large */
json_t *safer_script_phases(const struct safer_plan *plan);   /* new reference; null when there are none */
const char *safer_explanation(const struct safer_plan *plan);
/* Comments in the text between two statements, one per line; NULL when there are none. */
const char *safer_comments(struct arena *arena, const char *from, const char *to);

/* --- safer/compare.c --- */

/* Whether two dumps say the same, whatever the order of their statements and, when reordered, of the columns of a table. */
bool safer_same_schema(struct arena *arena, const char *left, const char *right, bool reordered);

#endif
