/* allow.h - which statements may be run for somebody who only asked a question.
 *
 * Everything is refused that is not known to read only: one statement, a SELECT; a list of node types; a list of functions; relations
 * of the snapshot. The layers stand in this order, and the first that refuses ends the check of its statement:
 *
 *   size       16 kB of text, operators and nesting counted on tokens: before any recursive parser sees it
 *   syntax     it parses (SYNTAX_INVALID, not a violation)
 *   statement  exactly one, and a SELECT, set operation, VALUES or TABLE
 *   node       no node type outside the list: INTO, FOR UPDATE, DML in WITH, parameters, XML, …
 *   name       all names resolve (SCHEMA_VALIDATION_FAILED, not a violation)
 *   relation   tables, partitioned tables, views and materialised views of the snapshot: no catalogs, no foreign tables, neither by name
 *              nor below a view or partition
 *   function   of the allow-list, called by their own name; also what operators, casts and checks of domains call
 *   cost       FROM items, literals that make much out of little
 *
 * What is allowed beyond the defaults is named by AUTODB_GUARD_FUNCTIONS: "lower_fr, shop.net_price": functions of users (IMMUTABLE or
 * STABLE, not SECURITY DEFINER) or of extensions and the server that the list leaves out. */
#ifndef AUTODB_QUERY_ALLOW_H
#define AUTODB_QUERY_ALLOW_H

#include "common/config.h"
#include "worker/query/resolve.h"
#include "worker/sql/split.h"

struct guard_rules {
  const char *functions; /* comma-separated additions; NULL or "": none */
  bool parameters;       /* $1 may stand where a value may: for plans, never for running */
  bool trusting;         /* the statement is the client's own: no caps, any relation, and functions that promise not to write */
  bool *judged;          /* NULL; the guard's own: domains, by index in the snapshot, whose checks were looked at for the statement */
};

struct guard_violation {
  const char *layer;   /* as above */
  const char *rule;    /* kebab-case, stable: "function-not-allowed" */
  const char *message; /* what is wrong, naming it */
  const char *allowed; /* what would be allowed instead; NULL when nothing would */
  int position;        /* byte offset in the text; -1 when it is about the whole */
};

struct guarded {   /* a statement that passed */
  const char *sql; /* from its first token to its last, no semicolon */
  PgQuery__SelectStmt *select;
  const struct query_resolution *resolution;
  const char **warnings; /* sentences: "view shop.v shows rows that row level security of shop.t would hide" */
  size_t warning_count;
};

/* ERR_VALIDATION otherwise, with code and details
 *   SYNTAX_INVALID            {"sqlstate","line","column","position"}
 *   SCHEMA_VALIDATION_FAILED  {"unresolved": query_problems_json}
 *   GUARDRAIL_VIOLATION       {"violations": [{"layer","rule","message","allowed","line","column","position"}]}
 * For processes that may die: SQL is parsed here. */
MUST_CHECK enum status guard_check(const struct snapshot *snapshot, const char *sql, size_t len, const struct guard_rules *rules,
                                   struct arena *arena, struct guarded **ret_guarded, struct error *err);

/* Whether reading the table reads a foreign one: it is one, or has one below it as a partition or in its query. */
bool guard_reads_foreign(const struct snap_table *table);
/* Whether the function list lets a built-in through, without additions; ret_why (may be NULL) says why not. */
bool guard_allows_builtin(const struct builtin *builtin, const char **ret_why);

#endif
