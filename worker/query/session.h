/* session.h - a session on the client's database that cannot do harm.
 *
 * A connection of its own (common/clientdb.h), extended protocol only, so that one message is one statement; every statement in its own
 * BEGIN READ ONLY … ROLLBACK, in which a first SELECT has fixed the mode and the limits; then DISCARD ALL. A slot that is told to stop
 * cancels what runs (common/clientcancel.h). What the guard let through is still held here: cells are cut and rows limited by the server,
 * bytes by us. */
#ifndef AUTODB_QUERY_SESSION_H
#define AUTODB_QUERY_SESSION_H

#include <jansson.h>

#include "worker/agent.h"
#include "worker/query/allow.h"

struct query_session;

/* Connects as the job's connection says. Failures are clientdb_connect's. Closed by query_session_close, NULL is fine. */
MUST_CHECK enum status query_session_open(struct job *job, struct query_session **ret_session, struct error *err);
/* The same for a connection string at hand. */
MUST_CHECK enum status query_session_open_string(const struct config *cfg, const char *connection_string, struct arena *arena,
                                                 struct query_session **ret_session, struct error *err);
void query_session_close(struct query_session *session);
static inline void query_session_closep(struct query_session **session) {
  query_session_close(*session);
  *session = NULL;
}
#define QUERY_SESSION_AUTO __attribute__((cleanup(query_session_closep))) struct query_session *

/* Whether the role may only read. ERR_FORBIDDEN, code GUARDRAIL_VIOLATION with details {"violations":[{"layer":"role",…}], "role",
 * "create_role_sql"} when it is a superuser, bypasses row security, owns or may change relations, or is a member of a role that
 * reads or writes files, runs programs or stops sessions. ret_warnings (may be NULL): what would be better, as an array of sentences.
 * query_session_run asks the same. */
MUST_CHECK enum status query_session_check_role(struct query_session *session, const struct snapshot *snapshot, json_t **ret_warnings,
                                                struct error *err);

enum query_type { /* how a value is shown in JSON, see query_value_json */
                  QUERY_TYPE_TEXT,
                  QUERY_TYPE_INTEGER,
                  QUERY_TYPE_REAL,
                  QUERY_TYPE_NUMERIC,
                  QUERY_TYPE_BOOLEAN,
                  QUERY_TYPE_JSON,
                  QUERY_TYPE_BYTES
};

struct query_result_column {
  const char *name, *type_name; /* format_type() of the server */
  enum query_type type;
};
struct query_cell {
  const char *text; /* as PostgreSQL prints it: timestamps ISO in the session's zone, bytea hex; NULL: SQL NULL. UTF-8 */
  bool cut;         /* the value is longer */
};
struct query_result {
  struct query_result_column *columns;
  size_t column_count;
  struct query_cell *cells; /* row by row */
  size_t row_count;
  bool truncated;      /* there are more rows, or the byte budget was spent */
  bool budget_spent;   /* the latter */
  double total_cost;   /* as EXPLAIN saw it; -1 when not asked */
  double milliseconds; /* of execution */
};

struct query_limits { /* 0: the default of common/limits.h */
  int rows, statement_ms;
  double max_cost;     /* 0: AUTODB_GUARD_MAX_COST; below 0: no ceiling */
  bool unchecked_role; /* tests only: the database-side layers alone */
};

/* Runs what guard_check let through, in the transaction that is open or one of its own. Failures: query_session_check_role's;
 * GUARDRAIL_VIOLATION (layer "cost") above the ceiling; STATEMENT_TIMEOUT; EXECUTION_FAILED with the server's message and details
 * {"sqlstate","hint","position"} (ERR_VALIDATION); ERR_UNAVAILABLE when the server went away. */
MUST_CHECK enum status query_session_run(struct query_session *session, const struct guarded *guarded, const struct query_limits *limits,
                                         struct arena *arena, struct query_result **ret_result, struct error *err);
/* The JSON value of a cell: integers as numbers; float4/8 as numbers, NaN and infinities as strings; numeric as a number when a double
 * holds it exactly as printed (15 digits), else a string; booleans; json and jsonb as what they are unless cut; all else strings. */
json_t *query_value_json(enum query_type type, const struct query_cell *cell);

struct query_explain {
  bool analyze, buffers, verbose, settings;
  bool own_settings; /* planned, and run, with the role's own jit, work_mem and workers */
  bool generic;      /* GENERIC_PLAN (16 and later): the statement has $1 in it; not with analyze */
  int statement_ms;  /* 0: default */
};
/* EXPLAIN (FORMAT JSON) of one SELECT, INSERT, UPDATE, DELETE or MERGE, in the transaction that is open or one of its own: the parsed
 * array; new reference. ANALYZE runs the statement: refused (GUARDRAIL_VIOLATION, SCHEMA_VALIDATION_FAILED) for everything but a SELECT
 * that reads only, as guard_check with `trusting` sees it, and READ ONLY holds besides. Any role may explain. */
MUST_CHECK enum status query_session_explain(struct query_session *session, const struct snapshot *snapshot, const char *sql,
                                             const struct query_explain *how, struct arena *arena, json_t **ret_plan, struct error *err);

/* The transaction alone, for callers with statements of their own (hypothetical indexes): begin, query as often as needed, end. path: the
 * schemas names are looked for in, as a text[] literal; NULL: the session's own. query runs one statement by the extended protocol under
 * the same limits; after a failure the transaction is over. */
MUST_CHECK enum status query_session_begin(struct query_session *session, const char *path, int statement_ms, struct error *err);
MUST_CHECK enum status query_session_query(struct query_session *session, const char *sql, int nparams, const char *const *params,
                                           PGresult **ret_res, struct error *err);
/* What plans depend on, as the role and the database have it rather than as begin has limited it (jit, work_mem, workers): for EXPLAIN. */
MUST_CHECK enum status query_session_own_settings(struct query_session *session, struct error *err);
/* What a statement returns and takes, as PQdescribePrepared has it, without running it; a failure ends the transaction, too. */
MUST_CHECK enum status query_session_describe(struct query_session *session, const char *sql, PGresult **ret_res, struct error *err);
/* ROLLBACK and DISCARD ALL; the connection is dropped when the server does not say that the transaction was ours to the end, and the error
 * is then GUARDRAIL_VIOLATION (layer "transaction"). Does nothing outside one. */
MUST_CHECK enum status query_session_end(struct query_session *session, struct error *err);
int query_session_version(const struct query_session *session); /* server_version_num */

#endif
