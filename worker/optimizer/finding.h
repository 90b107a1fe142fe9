/* finding.h - what a plan or a query does that it need not do: one row per kind of finding in findings_table.c.
 *
 * A finding is ranked by what is at stake: the time (or, without ANALYZE, the cost) that would go away if it were followed. What several
 * rows see of one cause is said once: findings have a cause, a row's place in the table says which of them speaks (findings.c). */
#ifndef AUTODB_OPTIMIZER_FINDING_H
#define AUTODB_OPTIMIZER_FINDING_H

#include "common/list.h"
#include "worker/optimizer/plan.h"
#include "worker/sql/split.h"

enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR };
extern const char *const severity_names[]; /* "info", "warning", "error" */

/* What would have to change. Two findings of one cause about one node (or one place in the text) are one. */
enum finding_cause {
  CAUSE_OWN,      /* nothing else has to do with it */
  CAUSE_ACCESS,   /* how a relation is read */
  CAUSE_ESTIMATE, /* how many rows the planner expects */
  CAUSE_JOIN,     /* how two inputs are joined */
  CAUSE_MEMORY,   /* work_mem and what does not fit */
  CAUSE_FORM,     /* how the query is written */
  CAUSE_ENGINE    /* settings, workers, JIT, planning */
};

struct finding {
  const struct finding_kind *kind;
  enum severity severity;
  const struct plan_node *node;   /* NULL: the query as a whole */
  const struct plan_node *anchor; /* whose cause it is; node unless said otherwise */
  const char *message, *advice;   /* in the arena */
  json_t *evidence;               /* numbers and names it rests on; the arena's */
  double time_at_stake_ms;        /* PLAN_UNKNOWN without times */
  double cost_at_stake;
  const char *indexed; /* the relation whose index the advice is, as plan_relation() has it; NULL */
  int offset;          /* bytes into the SQL it is about; -1 when about a plan */
  size_t repeats;      /* other nodes of the same: partitions, members of an Append */
};
LIST_TYPE(finding_list, struct finding);

/* What the rows look at. Plan is NULL when there is only SQL, statement when there is only a plan, snapshot without a connection. */
struct finding_view {
  struct arena *arena;
  const struct query_plan *plan;
  const struct snapshot *snapshot;
  const struct sql_statement *statement;
  const char *sql;
  int version_num; /* of the server; 0 unknown */
};

/* All findings, the weightiest first. */
MUST_CHECK enum status findings_find(const struct finding_view *view, struct finding_list *ret_findings, struct error *err);
/* findings of the contract (section 5): [{code, severity, node_path, message, evidence, advice, time_at_stake_ms, cost_at_stake}]. New
 * reference. */
json_t *findings_json(const struct finding_list *findings);

/* For who writes documents and tests: the rows; NULL past the end. */
const struct finding_kind *finding_kind_at(size_t index);
const struct finding_kind *finding_kind_named(const char *code);

#endif
