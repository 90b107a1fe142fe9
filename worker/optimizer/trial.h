/* trial.h - where a planner says what indexes and settings would change: HypoPG on the client's database, or the what-if server.
 *
 * HypoPG's indexes are the session's own and no other's; it knows B-trees, BRIN and hash, and takes them for larger than they are. The
 * what-if server (sandbox/whatif.h) makes any index for real on tables without rows; it takes a sandbox, and production's statistics. */
#ifndef AUTODB_OPTIMIZER_TRIAL_H
#define AUTODB_OPTIMIZER_TRIAL_H

#include "worker/agent.h"
#include "worker/optimizer/candidates.h"
#include "worker/optimizer/clone.h"
#include "worker/optimizer/plan.h"

struct trial;

struct trial_query { /* how a query is planned */
  const char *sql;
  int parameters; /* $1…$n in it: planned without values */
};

struct trial_setup {
  struct job *job;
  struct query_session *session; /* not in a transaction */
  const struct snapshot *snapshot;
  const struct facts *facts;
  bool hypothetical;   /* HypoPG may be used */
  bool any_index;      /* kinds that HypoPG doesn't know are to be tried */
  struct clone *clone; /* one to be taken over, if it is open; NULL */
};

/* ERR_UNAVAILABLE, ERR_NOT_FOUND (no schema dump): neither is to be had; the message says why. */
MUST_CHECK enum status trial_open(const struct trial_setup *setup, struct trial **ret_trial, struct error *err);
void trial_close(struct trial *trial);               /* NULL is fine */
const char *trial_engine(const struct trial *trial); /* "hypopg", "whatif" */
bool trial_is_whatif(const struct trial *trial);
const json_t *trial_problems(const struct trial *trial); /* sentences: what the what-if server lacks; NULL none */

/* ERR_VALIDATION when the planner refuses the query; the next may be asked. The plan lives in the job's arena. */
MUST_CHECK enum status trial_plan(struct trial *trial, const struct trial_query *query, struct query_plan **ret_plan, struct error *err);

/* Shows these candidates and hides the others of the list, as far as either differs; what was never tried is made. Of those the server will
 * not have, `refused` is set. */
MUST_CHECK enum status trial_show_only(struct trial *trial, struct candidate *const *shown, size_t shown_count,
                                       struct candidate *const *hidden, size_t hidden_count, struct error *err);
/* An existing index, as if it were dropped. ERR_UNAVAILABLE where that can't be tried. */
MUST_CHECK enum status trial_hide(struct trial *trial, const char *schema, const char *index, bool hidden, struct error *err);
bool trial_uses(const struct query_plan *plan, const struct candidate *candidate);

/* A setting, for what is planned from now on; NULL: as it was. */
MUST_CHECK enum status trial_set(struct trial *trial, const char *name, const char *value, struct error *err);
/* What-if server only: column statistics, as whatif_columns takes them. */
MUST_CHECK enum status trial_columns(struct trial *trial, const json_t *columns, struct error *err);
/* What-if server only: how many rows and pages a table has. */
MUST_CHECK enum status trial_rows(struct trial *trial, const struct snap_table *table, double rows, double pages, struct error *err);

#endif
