/* trial_hypopg.c - HypoPG in the guarded session on the client's database.
 *
 * Its indexes live in the backend and outlast transactions, so the read-only transaction is begun anew every few seconds: no snapshot of
 * ours keeps the client's VACUUM waiting. A plan cached before an index was dropped would refer to it: nothing stays prepared. */
#include "common/clock.h"
#include "common/pg.h"
#include "worker/optimizer/trial_impl.h"
#include "worker/sql/text.h"

#define STATEMENT_MS 30000
#define TRANSACTION_MS 3000

static enum status pause_session(struct trial *trial, struct error *err) {
  trial->began_ms = 0;
  return query_session_end(trial->setup.session, err);
}

/* fresh: a good moment to begin anew; not between PREPARE and EXECUTE. */
static enum status ready(struct trial *trial, bool fresh, struct error *err) {
  enum status status = OK;
  if (trial->began_ms && (!fresh || clock_mono_ms() - trial->began_ms < TRANSACTION_MS)) return OK;
  if (trial->began_ms) status = pause_session(trial, err);
  if (!status) status = query_session_begin(trial->setup.session, NULL, STATEMENT_MS, err);
  if (!status) status = query_session_own_settings(trial->setup.session, err);
  if (!status) trial->began_ms = clock_mono_ms();
  return status;
}

static enum status ask_with(struct trial *trial, bool fresh, const char *sql, int count, const char *const *params, PGresult **ret_res,
                            struct error *err) {
  enum status status = ready(trial, fresh, err);
  if (status) return status;
  status = query_session_query(trial->setup.session, sql, count, params, ret_res, err);
  if (status) trial->began_ms = 0; /* the transaction is over */
  return status;
}

static enum status ask(struct trial *trial, const char *sql, PGresult **ret_res, struct error *err) {
  return ask_with(trial, false, sql, 0, NULL, ret_res, err);
}

static enum status call(struct trial *trial, const char *call_text, const char *param, PGresult **ret_res, struct error *err) {
  const char *sql = arena_printf(trial->arena, "SELECT * FROM %s.%s", trial->setup.facts->hypopg_schema, call_text);
  return sql ? ask_with(trial, true, sql, param ? 1 : 0, &param, ret_res, err) : error_oom(err);
}

static enum status open_hypopg(struct trial *trial, struct error *err) {
  PGRESULT_AUTO res = NULL;
  return call(trial, "hypopg_reset()", NULL, &res, err);
}

static void close_hypopg(struct trial *trial) {
  ERROR_AUTO ignored = {0};
  PGRESULT_AUTO reset = NULL;
  if (trial->began_ms && !call(trial, "hypopg_reset()", NULL, &reset, &ignored)) (void)!pause_session(trial, &ignored);
}

/* Names are "<oid>btree_…", cut to 63 bytes: with the oid they are told apart. */
static enum status add_one(struct trial *trial, struct candidate *candidate, struct error *err) {
  PGRESULT_AUTO res = NULL;
  const char *sql = index_spec_create(trial->arena, &candidate->spec, candidate->name, false);
  candidate->made = arena_json(trial->arena, json_array());
  if (!sql || !candidate->made) return error_oom(err);
  enum status status = call(trial, "hypopg_create_index($1)", sql, &res, err);
  if (status) return status;
  if (PQntuples(res) != 1) return error_set(err, ERR_VALIDATION, "HypoPG made no index");
  candidate->handle = arena_strdup(trial->arena, pg_str(res, 0, 0));
  json_array_append_new(candidate->made, json_pack("{s:s}", "n", pg_str(res, 0, 1)));
  return candidate->handle ? OK : error_oom(err);
}

static enum status add(struct trial *trial, struct candidate *const *candidates, size_t count, struct error *err) {
  for (size_t i = 0; i < count; i++) {
    ERROR_AUTO refusal = {0};
    enum status status = add_one(trial, candidates[i], &refusal);
    candidates[i]->refused = status == ERR_VALIDATION || status == ERR_NOT_FOUND;
    if (status && !candidates[i]->refused) return error_set(err, status, "%s", refusal.message);
  }
  return OK;
}

static enum status show(struct trial *trial, struct candidate *const *candidates, size_t count, bool shown, struct error *err) {
  enum status status = OK;
  for (size_t i = 0; !status && i < count; i++) {
    PGRESULT_AUTO res = NULL;
    status = shown ? add_one(trial, candidates[i], err) : call(trial, "hypopg_drop_index($1::oid)", candidates[i]->handle, &res, err);
  }
  return status;
}

static enum status hide(struct trial *trial, const char *schema, const char *index, bool hidden, struct error *err) {
  PGRESULT_AUTO res = NULL;
  const char *name = sql_qualified(trial->arena, schema, index);
  const char *function = hidden ? "hypopg_hide_index($1::regclass)" : "hypopg_unhide_index($1::regclass)";
  return name ? call(trial, function, name, &res, err) : error_oom(err);
}

static enum status set(struct trial *trial, const char *name, const char *value, struct error *err) {
  PGRESULT_AUTO res = NULL;
  return ask_with(trial, true, "SELECT pg_catalog.set_config($1, $2, true)", 2, (const char *const[]){name, value}, &res, err);
}

const struct trial_driver trial_hypopg = {
    .name = "hypopg", .open = open_hypopg, .close = close_hypopg, .ask = ask, .add = add, .show = show, .set = set, .hide = hide};
