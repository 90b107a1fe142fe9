/* session_explain.c - plans for whoever reads them. EXPLAIN alone plans; with ANALYZE it runs the statement. */
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/query/session_impl.h"
#include "worker/sql/split.h"

static enum status parse_one(const char *sql, struct arena *arena, struct sql_script *ret_script, struct error *err) {
  enum status status = sql_split(sql, strlen(sql), arena, ret_script, err);
  if (status) return status;
  if (ret_script->fault.sqlstate) return error_set_code(err, ERR_VALIDATION, "SYNTAX_INVALID", "%s", ret_script->fault.message);
  if (ret_script->count != 1)
    return session_refuse(err, ERR_VALIDATION, "statement", "one-statement", "there are %zu statements; one is explained",
                          ret_script->count);
  return OK;
}

static bool explainable(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_SELECT_STMT: return node->select_stmt->into_clause == NULL;
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT: return true;
  default: return false;
  }
}

/* What ANALYZE may run: what is known to read only. */
static enum status check_analyze(const struct snapshot *snapshot, const struct sql_statement *statement, struct arena *arena,
                                 struct error *err) {
  const struct guard_rules rules = {.trusting = true};
  struct guarded *guarded;
  enum status status = guard_check(snapshot, statement->text, statement->length, &rules, arena, &guarded, err);
  if (status) error_prefix(err, "EXPLAIN ANALYZE runs the statement");
  return status;
}

static const char *explain_text(const struct query_session *session, const char *sql, const struct query_explain *how,
                                struct arena *arena) {
  bool generic = how->generic && !how->analyze && session->version >= 160000;
  return arena_printf(arena, "EXPLAIN (FORMAT JSON%s%s%s%s%s) %s", how->analyze ? ", ANALYZE" : "",
                      how->buffers && (how->analyze || session->version >= 130000) ? ", BUFFERS" : "", how->verbose ? ", VERBOSE" : "",
                      how->settings ? ", SETTINGS" : "", generic ? ", GENERIC_PLAN" : "", sql);
}

static enum status ask(struct query_session *session, const char *explain, json_t **ret_plan, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status = query_session_query(session, explain, 0, NULL, &res, err);
  if (status) return status;
  const char *text = PQntuples(res) == 1 ? pg_str(res, 0, 0) : NULL;
  if (!text) return error_set(err, ERR_VALIDATION, "the server gave no plan");
  return json_parse(text, strlen(text), ret_plan, err);
}

enum status query_session_explain(struct query_session *session, const struct snapshot *snapshot, const char *sql,
                                  const struct query_explain *how, struct arena *arena, json_t **ret_plan, struct error *err) {
  struct sql_script script;
  enum status status = parse_one(sql, arena, &script, err);
  if (status) return status;
  const struct sql_statement *statement = &script.statements[0];
  if (!explainable(statement->node))
    return session_refuse(err, ERR_VALIDATION, "statement", "not-explainable",
                          "only SELECT, INSERT, UPDATE, DELETE and MERGE are explained");
  if (how->analyze && (status = check_analyze(snapshot, statement, arena, err))) return status;
  const char *explain = explain_text(session, statement->text, how, arena);
  if (!explain) return error_oom(err);
  bool own = !session->in_transaction;
  if (own && (status = query_session_begin(session, NULL, how->statement_ms, err))) return status;
  status = how->own_settings ? query_session_own_settings(session, err) : OK;
  if (!status) status = ask(session, explain, ret_plan, err);
  if (!own) return status;
  if (status) return session_finish(session, status, err);
  status = query_session_end(session, err);
  if (status) json_decref(*ret_plan);
  return status;
}
