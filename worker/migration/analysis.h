/* analysis.h - a migration under analysis, from its text to the numbers a report is made of. */
#ifndef AUTODB_ANALYSIS_H
#define AUTODB_ANALYSIS_H

#include "sandbox/sandbox.h"
#include "worker/migration/effect.h"
#include "worker/migration/rollback/rollback.h"
#include "worker/schema/snapshot.h"
#include "worker/sql/split.h"

struct rule;
struct suppression;
enum severity { SEVERITY_INFO, SEVERITY_WARNING, SEVERITY_ERROR };
struct finding {
  const struct rule *rule;
  const char *message, *safe_alternative;
  int line;                    /* of the statement, or of the comment it is about */
  const char *suppress_reason; /* silenced by a comment in the script, and why; NULL when not */
};
struct factor {
  const char *code;
  int points;
  const char *message;
};

enum agreement { AGREEMENT_NONE, AGREEMENT_AGREED, AGREEMENT_CONTRADICTED, AGREEMENT_UNVERIFIABLE };
extern const char *const agreement_names[]; /* NULL for NONE */

/* Names as they were when the statement ran: a later rename changes the relation, not what is said about this statement. */
struct seen_lock {
  const char *name;
  char kind;
  enum lock_mode mode;
  bool created;
};

struct statement {
  const struct sql_statement *source;
  struct effect effect;
  int transaction; /* statements with the same number run in one transaction; 0: outside of any */
  struct rollback_step rollback;
  LIST(struct seen_lock) locks;
  LIST(const char *) tables;
  LIST(const char *) rewrites;
  LIST(const char *) scans;
  LIST(struct finding) findings;
  LIST(struct factor) factors;
  int score;                       /* 0-100 */
  double estimated_ms;             /* -1: nothing is read or written in full */
  double blocked_per_s;            /* queries that wait while it waits for, or holds, its locks; -1: none or unknown */
  const struct sandbox_step *step; /* what the sandbox saw; NULL when it did not run */
  bool observed;                   /* what was seen is part of the effect */
  bool depends_on_rows;            /* it failed over the clone's made-up rows, which proves nothing: passed over, or run without them */
  struct error row_error;          /* what it failed with; in the arena */
  enum agreement agreement;
};

struct analysis {
  struct arena *arena;
  const char *sql;
  const struct snapshot *snapshot;
  const char *dump;        /* the snapshot's schema as SQL, for the sandbox; NULL: stored with the snapshot */
  rollback_dump load_dump; /* the same when something is dropped: the caller's, which outlives the analysis; NULL */
  void *load_arg;
  long long lock_timeout_ms; /* whoever runs it will set it; 0: none */
  struct shadow *shadow;     /* after the last statement */
  struct rollback_plan *plan;
  int engine; /* major of the server the sandbox ran it on; 0: nothing was run */
  struct sql_script script;
  struct statement *statements;
  size_t count;
  LIST(struct suppression) suppressions; /* suppress.h */
  int score;
};

/* What whoever runs the migration puts around it. */
enum analysis_runner {
  RUNNER_EXECUTOR, /* a transaction around what can be in one, as our executor does */
  RUNNER_WRAPS,    /* all of it in one transaction, whatever it holds */
  RUNNER_MESSAGE,  /* all of it sent at once: one transaction when there are several statements */
  RUNNER_NOTHING   /* each statement on its own, but for what the migration itself puts between BEGIN and COMMIT */
};
struct analysis_options {
  int target_version;        /* server_version_num to judge for; 0: the snapshot's */
  long long lock_timeout_ms; /* set by whoever runs it; 0: none */
  enum analysis_runner runner;
  rollback_dump dump; /* of the snapshot, for the way back of what is dropped; NULL: the model has to do. Kept by the analysis */
  void *dump_arg;
};
/* The server it is judged for refuses a statement for its version alone: what passed on another proves nothing. */
bool analysis_refused(const struct analysis *analysis);
/* Splits, judges every statement in order, finds, scores, plans the rollback. Nothing is run. */
MUST_CHECK enum status analysis_static(const char *sql, size_t len, const struct snapshot *snapshot, const struct analysis_options *options,
                                       struct arena *arena, struct analysis **ret_analysis, struct error *err);
/* "low", "medium", "high", "critical": 0-24, 25-49, 50-74, 75-100. */
const char *analysis_category(int score);

#endif
