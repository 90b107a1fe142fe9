/* optimize.h - a query under optimisation: what its stages share, and the jobs.
 *
 * query.optimize parses the query, plans it on the client's database, finds what is wrong with the plan, and then lets each stage of the
 * table in optimize.c add what it knows: rewrites, indexes, statistics. A stage reads what is here and appends to `alternatives`,
 * `index_recommendations`, `drop_candidates`; it owns nothing. A stage that can't do its work because of its own surroundings (no sandbox,
 * no HypoPG) adds a warning and returns OK; its failure fails the job. To add one: a row in optimize.c, a file of its own. */
#ifndef AUTODB_OPTIMIZE_H
#define AUTODB_OPTIMIZE_H

#include "worker/agent.h"
#include "worker/optimizer/clone.h"
#include "worker/optimizer/finding.h"
#include "worker/optimizer/plan.h"
#include "worker/schema/snapshot.h"
#include "worker/sql/split.h"

struct query_session;    /* worker/query/session.h: the guarded read-only session on the client's database */
struct query_resolution; /* worker/query/resolve.h: the names of the query, looked up in the snapshot */

enum rewrite_check { REWRITE_CHECK_PLAN, REWRITE_CHECK_RESULTS };

struct optimize_options { /* of the request */
  bool analyze;           /* run the query to measure it */
  bool allow_dml_analyze; /* also when it writes; what it did is rolled back */
  bool hypothetical;      /* HypoPG on the client's database may be used when it is there */
  enum rewrite_check rewrite_check;
  const json_t *parameters; /* array of values for $1…; NULL */
};

struct rewritten {     /* the query in the form that indexes are advised for as well */
  const char *sql;     /* NULL: as it was given */
  json_t *alternative; /* the contract's; it is among the alternatives already, or waits for an index that makes it worth telling */
  bool waits;
};

struct optimization {
  struct job *job;
  struct arena *arena; /* the job's */
  struct optimize_options options;

  const char *sql;                 /* as given */
  struct sql_script script;        /* one statement */
  struct sql_statement *statement; /* of it */
  const struct snapshot *snapshot;
  const struct query_resolution *names; /* NULL when names could not be resolved (a warning says why) */
  const char *fingerprint;              /* pg_query's, hex */
  int parameter_count;                  /* highest $n; 0 none */
  const char *const *values; /* texts of $1…$n that plans are made with, NULL where NULL; NULL: generic plan, or no parameters */
  int version_num;           /* of the client's server */

  struct clone clone;            /* left open and empty by a stage for the next; closed when the job ends */
  struct query_session *session; /* open until the job ends; explain() goes through it */
  struct query_plan *plan;       /* of the query as it was given */
  struct finding_list findings;

  json_t *alternatives, *index_recommendations, *drop_candidates; /* arrays of the contract (section 5); appended to */
  struct rewritten rewritten;                                     /* by the stage of rewrites for that of indexes */
  json_t *dropped_rewrites;                                       /* {count, by_level, rewrites}: those that fell off the ladder */
  json_t *statistics, *settings; /* arrays: what the planner should know, what the query would run better with */
  json_t *business_context;      /* excerpts of documents that speak of its tables */
  json_t *warnings;              /* strings: what was not looked at, and why */
};

/* Plans `sql` on the client's database as the original was planned: the same parameters, the same settings. ERR_VALIDATION (details as
 * pg_error) when the server refuses it. With analyze it is run, under the same guards as the original; never when that was not. */
MUST_CHECK enum status optimize_explain(struct optimization *optimization, const char *sql, bool analyze, struct query_plan **ret_plan,
                                        struct error *err);
void optimize_warn(struct optimization *optimization, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* query.optimize: payload {sql, analyze, options: {rewrite_check, hypothetical, parameters, allow_dml_analyze}}; the result is the
 * contract's (section 5). */
enum status optimize_run(struct job *job, json_t **ret_result, struct error *err);
/* workload.optimize: payload {source, queries: [{sql, weight}], budget_bytes, max_indexes}; the result is said in workload.c. */
enum status workload_run(struct job *job, json_t **ret_result, struct error *err);
/* plan.parse: payload {plan, sql?}; the result is {execution_plan, findings}. */
enum status plan_parse_run(struct job *job, json_t **ret_result, struct error *err);

#endif
