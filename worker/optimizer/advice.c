/* advice.c - see advice.h. */
#include "worker/optimizer/advice.h"

#include "common/json.h"
#include "common/log.h"
#include "worker/optimizer/tuning.h"
#include "worker/schema/store.h"

static void warn(struct advice *advice, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void warn(struct advice *advice, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  const char *text = arena_vprintf(advice->arena, fmt, args);
  va_end(args);
  if (text) json_append_str(advice->warnings, text);
}

/* --- reading --- */

static bool gather_tables(struct advice *advice) {
  advice->tables = (struct table_list){0};
  for (size_t q = 0; q < advice->queries.count; q++) {
    struct workload_query *query = &advice->queries.items[q];
    query->tables = (struct table_list){0};
    if (query->skipped) continue;
    if (!facts_tables(advice->arena, advice->snapshot, query->statement, &query->tables)) return false;
    for (size_t i = 0; i < query->tables.count; i++)
      if (!facts_add_table(advice->arena, query->tables.items[i], &advice->tables)) return false;
  }
  return true;
}

static enum status resolve_all(struct advice *advice, struct error *err) {
  enum status status = OK;
  for (size_t q = 0; !status && q < advice->queries.count; q++) {
    struct workload_query *query = &advice->queries.items[q];
    struct query_resolution *names = NULL;
    if (query->skipped || query->statement->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) continue;
    status = query_resolve(advice->snapshot, query->statement->select_stmt, advice->arena, &names, err);
    query->names = names;
  }
  return status;
}

enum status advice_prepare(struct advice *advice, struct error *err) {
  return gather_tables(advice) ? resolve_all(advice, err) : error_oom(err);
}

enum status advice_read(struct advice *advice, struct error *err) {
  for (int round = 0;; round++) {
    if (!gather_tables(advice)) return error_oom(err);
    enum status status = facts_read(advice->session, advice->snapshot, &advice->tables, advice->arena, &advice->facts, err);
    if (!status) status = resolve_all(advice, err);
    if (status || round || facts_match_snapshot(advice->facts, &advice->tables)) return status;
    struct snapshot *fresh = NULL;
    bool changed = false;
    ERROR_AUTO late = {0};
    if (store_refresh(advice->job, NULL, &fresh, &changed, &late)) {
      warn(advice, "the schema has changed since the last introspection, and could not be read again: %s", late.message);
      return OK;
    }
    advice->snapshot = fresh;
  }
}

/* Where row security holds for the role, pg_stats shows it nothing of the table. */
static void tell_hidden(struct advice *advice) {
  for (size_t i = 0; i < advice->tables.count; i++) {
    const struct snap_table *table = advice->tables.items[i];
    bool known = !table->rls || facts_table(advice->facts, table).rows <= 0;
    for (size_t c = 0; !known && c < table->column_count; c++)
      known = facts_column(advice->facts, table, table->columns[c].name).json != NULL;
    if (!known)
      warn(advice,
           "the connection's role may not see the statistics of %s, which has row security: indexes are tried as if nothing was known "
           "of its values",
           table->qualified);
  }
}

/* --- trying --- */

enum status advice_open(struct advice *advice, bool any_index, struct error *err) {
  tell_hidden(advice);
  const struct trial_setup setup = {.job = advice->job,
                                    .session = advice->session,
                                    .snapshot = advice->snapshot,
                                    .facts = advice->facts,
                                    .hypothetical = advice->hypothetical,
                                    .any_index = any_index,
                                    .clone = advice->clone};
  ERROR_AUTO refused = {0};
  enum status status = trial_open(&setup, &advice->trial, &refused);
  if (status == ERR_INTERNAL) return error_set(err, status, "%s", refused.message);
  if (status) {
    advice->untried = arena_strdup(advice->arena, refused.message);
    warn(advice, "nothing can be tried, so what follows is a guess: %s", refused.message);
    log_event(LOG_WARN, "indexes can't be tried", "reason", refused.message, NULL);
    return OK;
  }
  size_t index;
  json_t *problem;
  json_array_foreach((json_t *)(uintptr_t)trial_problems(advice->trial), index, problem) json_array_append(advice->warnings, problem);
  return OK;
}

void advice_close(struct advice *advice) {
  trial_close(advice->trial);
  advice->trial = NULL;
}

/* Rows a condition lets in, as the planner sees it. */
static double count_rows(void *arg, const struct snap_table *table, const char *predicate) {
  struct advice *advice = arg;
  ERROR_AUTO refused = {0};
  struct query_plan *plan = NULL;
  struct index_spec probe = {.table = table, .method = "btree", .predicate = predicate};
  const char *sql = index_spec_probe(advice->arena, &probe);
  if (!sql || trial_plan(advice->trial, &(struct trial_query){.sql = sql}, &plan, &refused)) return -1;
  return plan->root->plan_rows;
}

enum status advice_suggest(struct advice *advice, const struct workload_query *query, const struct query_plan *plan,
                           struct source_list *ret_sources, struct error *err) {
  return asked_read(advice->arena, advice->snapshot, plan, query->statement, query->names, ret_sources, err);
}

enum status advice_candidates(struct advice *advice, const struct source_list *sources, struct error *err) {
  advice->candidates.arena = advice->arena;
  advice->candidates.snapshot = advice->snapshot;
  advice->candidates.facts = advice->facts;
  advice->candidates.count = advice->trial ? count_rows : NULL;
  advice->candidates.arg = advice;
  return candidates_add(&advice->candidates, sources, err);
}

/* --- the stage of query.optimize --- */

#define COST_MIN 50     /* a query is not worth an index before it costs that much */
#define GAIN_MIN 0.05   /* of the query's cost */
#define FACTOR_TOLD 1.5 /* the what-if server's cost is told when it is that far from the client's */

static bool any_index_kind(const struct source_list *sources) {
  for (size_t i = 0; i < sources->count; i++)
    for (size_t k = 0; k < sources->items[i].asks.count; k++) {
      enum ask_kind kind = sources->items[i].asks.items[k].kind;
      if (kind == ASK_CONTAINS || kind == ASK_PATTERN || kind == ASK_SERVED_EQUAL || kind == ASK_SERVED_RANGE) return true;
    }
  return false;
}

static void compare_plans(struct advice *advice, const struct query_plan *real) {
  double here = advice->choice.cost_before, there = real->total_cost;
  if (here > FACTOR_TOLD * there || there > FACTOR_TOLD * here)
    warn(advice, "the %s plans this query at a cost of %.0f where the database does at %.0f: costs of indexes are the former's",
         trial_is_whatif(advice->trial) ? "what-if server" : "session", here, there);
}

enum status advice_choose(struct advice *advice, const struct source_list *sources, double min_gain, struct error *err) {
  enum status status = advice_candidates(advice, sources, err);
  if (status || !advice->candidates.list.count) return status;
  advice->choice = (struct choice){.arena = advice->arena,
                                   .trial = advice->trial,
                                   .facts = advice->facts,
                                   .queries = &advice->queries,
                                   .candidates = &advice->candidates,
                                   .min_gain = min_gain};
  status = choice_plan(&advice->choice, err);
  return status || advice->queries.items[0].skipped ? status : choice_make(&advice->choice, err);
}

static enum status choose(struct advice *advice, const struct query_plan *real, const struct source_list *sources, struct error *err) {
  enum status status = advice_choose(advice, sources, GAIN_MIN, err);
  if (status || !advice->candidates.list.count) return status;
  if (advice->queries.items[0].skipped)
    warn(advice, "the query could not be planned where indexes are tried: %s", advice->queries.items[0].skipped);
  else
    compare_plans(advice, real);
  return OK;
}

static enum status advise_some(struct advice *advice, struct optimization *o, struct error *err) {
  struct source_list sources = {0};
  bool worthwhile = false;
  if (o->plan->total_cost < COST_MIN) return OK;
  enum status status = advice_suggest(advice, &advice->queries.items[0], o->plan, &sources, err);
  for (size_t i = 0; i < sources.count; i++) worthwhile |= candidates_worthwhile(advice->facts, sources.items[i].table);
  if (status || !worthwhile) return status;
  status = advice_open(advice, any_index_kind(&sources), err);
  if (status) return status;
  if (!advice->trial) {
    status = advice_candidates(advice, &sources, err);
    if (!status) advice_guess(advice, o->plan, &sources, o->index_recommendations);
    return status;
  }
  status = choose(advice, o->plan, &sources, err);
  return status ? status : advice_recommend(advice, o->index_recommendations, err);
}

static enum status advise(struct advice *advice, struct optimization *o, struct error *err) {
  enum status status = advice_read(advice, err);
  if (!status && advice->tables.count) status = advice_drops(advice, &advice->tables, o->drop_candidates, err);
  if (!status && advice->tables.count) status = advise_some(advice, o, err);
  if (!status && advice->trial) status = advice_rewritten(advice, o, err);
  if (!status && advice->tables.count) advice_foreign_keys(advice, o->index_recommendations);
  return status ? status : tuning_advise(advice, o, err);
}

/* The stage's surroundings fail for reasons of their own: the rest of the answer stands. */
enum status advise_indexes(struct optimization *o, struct error *err) {
  struct advice advice = {.job = o->job,
                          .arena = o->arena,
                          .session = o->session,
                          .snapshot = o->snapshot,
                          .hypothetical = o->options.hypothetical,
                          .clone = &o->clone,
                          .warnings = o->warnings};
  struct workload_query *query = LIST_PUSH(o->arena, &advice.queries);
  const char *sql = query ? explain_with_values(o, o->statement->text) : NULL;
  if (!sql) return error_oom(err);
  *query = (struct workload_query){.sql = o->sql,
                                   .how = {.sql = sql, .parameters = o->values ? 0 : o->parameter_count},
                                   .statement = o->statement->node,
                                   .fingerprint = o->fingerprint,
                                   .weight = 1};
  ERROR_AUTO failed = {0};
  enum status status = advise(&advice, o, &failed);
  advice_close(&advice);
  if (status == ERR_UNAVAILABLE || status == ERR_VALIDATION || status == ERR_NOT_FOUND) {
    optimize_warn(o, "indexes were not looked at: %s", failed.message);
    return OK;
  }
  return status ? error_set(err, status, "%s", failed.message) : OK;
}
