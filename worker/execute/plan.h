/* plan.h - a script as the units it is run in: transactions, and statements that can't be in one.
 *
 * A unit is what is applied as a whole or not at all as far as PostgreSQL can promise it: the smallest thing that can be looked up after
 * the connection to it was lost. */
#ifndef AUTODB_EXECUTE_PLAN_H
#define AUTODB_EXECUTE_PLAN_H

#include "worker/migration/analysis.h"

enum step_status {
  STEP_PENDING, /* reported as not_applied */
  STEP_RUNNING,
  STEP_COMMITTING,
  STEP_APPLIED,
  STEP_ROLLED_BACK,
  STEP_SKIPPED,
  STEP_FAILED,
  STEP_UNKNOWN
};
const char *step_status_name(enum step_status status);                  /* as the journal has it */
bool step_status_parse(const char *name, enum step_status *ret_status); /* false: no such status */
enum step_role { ROLE_WORK, ROLE_BEGIN, ROLE_COMMIT, ROLE_ROLLBACK };

/* How it is found out whether a statement outside of a transaction did its work, after nobody was there to hear. */
enum probe {
  PROBE_NONE,   /* not at all: unknown */
  PROBE_REPEAT, /* doing it again does no harm: VACUUM, REINDEX, … */
  PROBE_CREATE_INDEX,
  PROBE_DROP_INDEX,
  PROBE_REINDEX, /* repeated as well, once its leftovers are gone */
  PROBE_DETACH
};

struct step {
  const struct sql_statement *source;
  const char *operation;
  enum step_role role;
  enum probe probe;
  const char *relation; /* quoted: the table (CREATE INDEX, DETACH, REINDEX TABLE), the index (DROP INDEX, REINDEX INDEX) */
  const char *name;     /* CREATE INDEX: the index, as in the catalogs, or NULL; DETACH: the partition, quoted */
  bool if_not_exists;
  bool waits;                                   /* CONCURRENTLY: waits for transactions to end, so a lock_timeout would only break it */
  bool sets_session;                            /* SET, RESET: lasts as long as the session, so a new session needs it again */
  bool binds_session;                           /* makes what a new session can't be given: temporary tables, prepared statements, … */
  bool unsettles;                               /* may have changed lock_timeout or statement_timeout */
  bool drops_locks;                             /* DISCARD ALL */
  bool own_lock_timeout, own_statement_timeout; /* the script has set one that holds here */

  /* what became of it */
  enum step_status status;
  double duration_ms, lock_wait_ms;
  int retries;
  const char *note; /* why it was skipped, or why nobody knows; NULL */
  json_t *error;    /* borrowed from the arena; NULL */
};

struct unit {
  size_t first, count; /* of steps */
  bool transaction;    /* else one statement outside of any */
  /* as the journal has it */
  int pid;
  const char *start, *xid;
  json_t *before; /* borrowed from the arena; NULL */
};

struct plan {
  struct step *steps;
  size_t count;
  struct unit *units;
  size_t unit_count;
  bool single; /* all work is in one transaction */
};

/* ERR_VALIDATION when the script holds what can't be executed here (two-phase commit, COMMIT AND CHAIN) or does not parse. */
MUST_CHECK enum status plan_make(const struct analysis *analysis, struct plan *ret_plan, struct error *err);
/* The unit's statuses taken together. */
bool unit_settled(const struct plan *plan, const struct unit *unit);  /* applied, or nothing is left to be done */
bool unit_in_doubt(const struct plan *plan, const struct unit *unit); /* began, and nobody knows how it ended */
void unit_set(struct plan *plan, const struct unit *unit, enum step_status status);
/* What a transaction that ended as the script wants leaves: applied, and rolled back where the script itself says ROLLBACK. */
void unit_succeed(struct plan *plan, const struct unit *unit);

#endif
