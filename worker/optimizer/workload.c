/* workload.c - workload.optimize: one set of indexes for many queries.
 *
 * {connection_id, snapshot_id, source, cost_unit, cost_before, cost_after, improvement_percent, total_bytes, budget_bytes, max_indexes,
 *  index_recommendations, drop_candidates: as of query.optimize,
 *  queries: [{index, sql, fingerprint, weight, total_ms, cost_before, cost_after, improvement_percent, indexes_used, skipped}],
 *  analyzed_queries, skipped_queries, verified_by, warnings}
 *
 * A query's weight is how often it runs; of pg_stat_statements it is its calls, and what is saved is counted in its milliseconds: its total
 * time, by the share by which its plan gets cheaper. Parameters are planned without values, but for those of LIMIT and OFFSET, which are
 * taken to be small: without, a tenth of all rows is expected. */
#include <math.h>

#include <pg_query.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/pg.h"
#include "worker/optimizer/advice.h"
#include "worker/query/session.h"
#include "worker/schema/store.h"
#include "worker/sql/parameters.h"
#include "worker/sql/tree.h"

#define STATEMENTS_MAX 300 /* of pg_stat_statements: those that took most time */
#define STATEMENT_MS 30000
#define GAIN_MIN 0.02
#define CHOOSING_MS (15 * 60 * 1000)
#define SHOWN_BYTES 4000 /* of a query's text in the answer */

struct workload_job {
  struct advice advice;
  const json_t *payload;
  bool statements; /* the source is pg_stat_statements */
  json_t *recommendations, *drops, *warnings;
};

/* --- queries --- */

static const char *why_not(const struct sql_script *script) {
  if (script->fault.sqlstate) return script->fault.message;
  if (script->count != 1) return "it is not one statement";
  switch (script->statements[0].node->node_case) {
  case PG_QUERY__NODE__NODE_SELECT_STMT: return script->statements[0].node->select_stmt->into_clause ? "it is a SELECT INTO" : NULL;
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT: return NULL;
  default: return "it is no SELECT, INSERT, UPDATE, DELETE or MERGE";
  }
}

struct limits_of {
  bool *limit; /* by number */
  int count;
};

static void mark(struct limits_of *limits, const PgQuery__Node *node) {
  while (node && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) node = node->type_cast->arg;
  if (node && node->node_case == PG_QUERY__NODE__NODE_PARAM_REF && node->param_ref->number >= 1 && node->param_ref->number <= limits->count)
    limits->limit[node->param_ref->number - 1] = true;
}

static bool see_limit(void *arg, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) {
    mark(arg, node->select_stmt->limit_count);
    mark(arg, node->select_stmt->limit_offset);
  }
  return true;
}

/* Parameters of LIMIT become 10, the others are numbered anew. */
static bool settle_parameters(struct arena *arena, const struct sql_statement *statement, struct trial_query *how) {
  int count = explain_parameters(statement->node), left = 0;
  how->sql = statement->text;
  if (count == 0) return true;
  struct limits_of limits = {.limit = arena_calloc(arena, (size_t)count, sizeof(bool)), .count = count};
  const char **values = arena_calloc(arena, (size_t)count, sizeof *values);
  if (!limits.limit || !values) return false;
  sql_walk(statement->node, see_limit, &limits);
  for (int i = 0; i < count; i++) values[i] = limits.limit[i] ? "10" : arena_printf(arena, "$%d", ++left);
  how->parameters = left;
  return (how->sql = explain_replace(arena, statement->text, values, count)) != NULL;
}

static enum status add_query(struct workload_job *work, const char *sql, double weight, double total_ms, struct error *err) {
  struct arena *arena = work->advice.arena;
  struct workload_query *query = LIST_PUSH(arena, &work->advice.queries);
  struct sql_script script = {0};
  if (!query) return error_oom(err);
  *query = (struct workload_query){.sql = sql, .weight = weight, .total_ms = total_ms};
  const char *text = sql_typed_parameters(sql, arena);
  enum status status = text ? sql_split(text, strlen(text), arena, &script, err) : error_oom(err);
  if (status) return status;
  query->skipped = why_not(&script);
  if (query->skipped) return OK;
  query->statement = script.statements[0].node;
  if (!settle_parameters(arena, &script.statements[0], &query->how)) return error_oom(err);
  PgQueryFingerprintResult print = pg_query_fingerprint(script.statements[0].text);
  query->fingerprint = print.error ? NULL : arena_strdup(arena, print.fingerprint_str);
  pg_query_free_fingerprint_result(print);
  return OK;
}

static enum status take_given(struct workload_job *work, struct error *err) {
  const json_t *queries = json_object_get(work->payload, "queries"), *query;
  size_t index;
  enum status status = OK;
  json_array_foreach((json_t *)(uintptr_t)queries, index, query) {
    const json_t *weight = json_object_get(query, "weight");
    double times = json_is_number(weight) && json_number_value(weight) > 0 ? json_number_value(weight) : 1;
    if (!status) status = add_query(work, json_str(query, "sql", ""), times, 0, err);
  }
  return status;
}

/* --- pg_stat_statements --- */

static enum status find_extension(struct workload_job *work, const char **ret_schema, struct error *err) {
  PGRESULT_AUTO res = NULL;
  enum status status =
      query_session_query(work->advice.session,
                          "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace "
                          "n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'",
                          0, NULL, &res, err);
  if (status) return status;
  *ret_schema = PQntuples(res) == 1 ? arena_strdup(work->advice.arena, pg_str(res, 0, 0)) : NULL;
  if (*ret_schema) return OK;
  return error_set_code(err, ERR_VALIDATION, "STATEMENTS_UNAVAILABLE",
                        "the database has no pg_stat_statements: CREATE EXTENSION pg_stat_statements, with it in shared_preload_libraries; "
                        "or give the queries");
}

static enum status read_statements(struct workload_job *work, PGresult **ret_res, struct error *err) {
  const char *schema = NULL;
  enum status status = find_extension(work, &schema, err);
  if (status) return status;
  const char *sql = arena_printf(
      work->advice.arena,
      "SELECT query, sum(calls), sum(total_exec_time) FROM %s.pg_stat_statements WHERE dbid = (SELECT oid FROM "
      "pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND query ~* "
      "'^([[:space:](]*(select|with|insert|update|delete|merge)[[:space:](]|<insufficient privilege>)' GROUP BY 1 ORDER BY 3 DESC LIMIT %d",
      schema, STATEMENTS_MAX);
  status = sql ? query_session_query(work->advice.session, sql, 0, NULL, ret_res, err) : error_oom(err);
  if (status == ERR_VALIDATION) snprintf(err->code, sizeof err->code, "STATEMENTS_UNAVAILABLE");
  return status;
}

/* Only what reads a table of the client's. */
static enum status take_statements(struct workload_job *work, struct error *err) {
  PGRESULT_AUTO res = NULL;
  struct query_session *session = work->advice.session;
  enum status status = query_session_begin(session, NULL, STATEMENT_MS, err);
  if (status) return status;
  status = read_statements(work, &res, err);
  ERROR_AUTO late = {0};
  enum status ended = query_session_end(session, &late);
  if (status) return status;
  if (ended) return error_set_code(err, ended, late.code, "%s", late.message);
  for (int row = 0; row < PQntuples(res); row++) {
    const char *text = arena_strdup(work->advice.arena, pg_str(res, row, 0));
    if (!text) return error_oom(err);
    if (strncmp(text, "<insufficient privilege>", 24) == 0) {
      json_append_str(work->warnings,
                      "pg_stat_statements hides what other roles ran from the connection's role: GRANT pg_read_all_stats to "
                      "it, and it sees the whole workload");
      continue;
    }
    status = add_query(work, text, strtod(pg_str(res, row, 1), NULL), strtod(pg_str(res, row, 2), NULL), err);
    if (status) return status;
    struct workload *queries = &work->advice.queries;
    struct workload_query *last = &queries->items[queries->count - 1];
    struct table_list tables = {0};
    if (!last->skipped && !facts_tables(work->advice.arena, work->advice.snapshot, last->statement, &tables)) return error_oom(err);
    if (!last->skipped && !tables.count) queries->count--;
  }
  if (!work->advice.queries.count)
    json_append_str(work->warnings, "pg_stat_statements has no query of this database that reads or writes its tables");
  return OK;
}

/* --- the work --- */

static void progress(void *arg, size_t done, size_t of) {
  const struct workload_job *work = arg;
  job_progress(work->advice.job, 30 + (int)(40 * done / (of ? of : 1)), "try", NULL);
}

static enum status suggest_all(struct advice *advice, struct error *err) {
  enum status status = OK;
  for (size_t q = 0; !status && q < advice->queries.count; q++) {
    struct source_list sources = {0};
    const struct workload_query *query = &advice->queries.items[q];
    if (query->skipped) continue;
    status = advice_suggest(advice, query, query->before, &sources, err);
    if (!status) status = advice_candidates(advice, &sources, err);
  }
  return status ? status : candidates_merge(&advice->candidates, err);
}

static enum status choose(struct workload_job *work, struct error *err) {
  struct advice *advice = &work->advice;
  advice->choice = (struct choice){.arena = advice->arena,
                                   .trial = advice->trial,
                                   .facts = advice->facts,
                                   .queries = &advice->queries,
                                   .candidates = &advice->candidates,
                                   .budget_bytes = (double)json_int(work->payload, "budget_bytes", 0),
                                   .max_indexes = (size_t)json_int(work->payload, "max_indexes", 0),
                                   .deadline_ms = clock_mono_ms() + CHOOSING_MS,
                                   .min_gain = GAIN_MIN,
                                   .progress = progress,
                                   .arg = work};
  advice->candidates.tight = advice->choice.budget_bytes > 0;
  enum status status = choice_plan(&advice->choice, err);
  if (!status) status = suggest_all(advice, err);
  if (!status) status = choice_make(&advice->choice, err);
  if (advice->choice.out_of_time) json_append_str(work->warnings, "choosing took too long: more indexes may be worth having");
  return status ? status : advice_recommend(advice, work->recommendations, err);
}

static size_t analyzed(const struct advice *advice) {
  size_t count = 0;
  for (size_t q = 0; q < advice->queries.count; q++) count += advice->queries.items[q].skipped == NULL;
  return count;
}

static enum status run(struct workload_job *work, struct error *err) {
  struct advice *advice = &work->advice;
  struct snapshot *snapshot = NULL;
  enum status status = store_current(advice->job, &snapshot, err);
  advice->snapshot = snapshot;
  if (!status) status = query_session_open(advice->job, &advice->session, err);
  if (!status) status = work->statements ? take_statements(work, err) : take_given(work, err);
  if (status) return status;
  job_progress(advice->job, 10, "read", NULL);
  status = advice_read(advice, err);
  if (!status) status = advice_drops(advice, NULL, work->drops, err);
  if (status || !analyzed(advice)) return status;
  job_progress(advice->job, 20, "prepare", NULL);
  status = advice_open(advice, true, err);
  if (!status && !advice->trial) return error_set(err, ERR_UNAVAILABLE, "%s", advice->untried);
  if (!status) job_progress(advice->job, 30, "try", NULL);
  if (!status) status = choose(work, err);
  if (!status) advice_foreign_keys(advice, work->recommendations);
  return status;
}

/* --- the answer --- */

static double rounded(double value) { return round(value * 100) / 100; }
static double percent(double before, double after) { return before > 0 ? round(1000 * (1 - after / before)) / 10 : 0; }

static json_t *used_json(const struct advice *advice, const struct workload_query *query) {
  json_t *used = json_array();
  for (size_t i = 0; i < advice->choice.count; i++) {
    const struct candidate *candidate = advice->candidates.list.items[advice->choice.order[i]];
    if (trial_uses(query->after, candidate)) json_append_str(used, candidate->name);
  }
  return used;
}

/* Cut between characters. */
static const char *shown(struct arena *arena, const char *sql) {
  size_t len = strlen(sql);
  if (len <= SHOWN_BYTES) return sql;
  for (len = SHOWN_BYTES; len && ((unsigned char)sql[len] & 0xc0) == 0x80;) len--;
  return arena_printf(arena, "%.*s…", (int)len, sql);
}

static json_t *query_json(const struct advice *advice, size_t index) {
  const struct workload_query *query = &advice->queries.items[index];
  json_t *one = json_object();
  json_object_set_new(one, "index", json_integer((json_int_t)index));
  json_set_str(one, "sql", shown(advice->arena, query->sql));
  json_set_str(one, "fingerprint", query->fingerprint);
  json_object_set_new(one, "weight", json_real(query->weight));
  json_object_set_new(one, "total_ms", query->total_ms > 0 ? json_real(rounded(query->total_ms)) : json_null());
  bool planned = !query->skipped && query->before;
  double before = planned ? query->before->total_cost : 0, after = planned ? query->after->total_cost : 0;
  json_object_set_new(one, "cost_before", planned ? json_real(before) : json_null());
  json_object_set_new(one, "cost_after", planned ? json_real(after) : json_null());
  json_object_set_new(one, "improvement_percent", planned ? json_real(percent(before, after)) : json_null());
  json_object_set_new(one, "indexes_used", planned ? used_json(advice, query) : json_array());
  json_set_str(one, "skipped", query->skipped);
  return one;
}

static json_t *result_json(const struct workload_job *work) {
  const struct advice *advice = &work->advice;
  const struct choice *choice = &advice->choice;
  json_t *result = json_object(), *queries = json_array();
  size_t count = analyzed(advice);
  json_set_str(result, "connection_id", advice->job->connection_id);
  json_set_str(result, "snapshot_id", advice->snapshot->id);
  json_set_str(result, "source", work->statements ? "pg_stat_statements" : "queries");
  json_set_str(result, "cost_unit", work->statements ? "milliseconds" : "planner cost, by weight");
  json_object_set_new(result, "cost_before", json_real(rounded(choice->cost_before)));
  json_object_set_new(result, "cost_after", json_real(rounded(choice->cost_after)));
  json_object_set_new(result, "improvement_percent", json_real(percent(choice->cost_before, choice->cost_after)));
  json_object_set_new(result, "total_bytes", json_integer((json_int_t)choice->bytes));
  static const char *const asked[] = {"budget_bytes", "max_indexes"};
  for (size_t i = 0; i < 2; i++) {
    json_t *value = json_object_get(work->payload, asked[i]);
    json_object_set(result, asked[i], value ? value : json_null());
  }
  json_object_set(result, "index_recommendations", work->recommendations);
  json_object_set(result, "drop_candidates", work->drops);
  for (size_t q = 0; q < advice->queries.count; q++) json_array_append_new(queries, query_json(advice, q));
  json_object_set_new(result, "queries", queries);
  json_object_set_new(result, "analyzed_queries", json_integer((json_int_t)count));
  json_object_set_new(result, "skipped_queries", json_integer((json_int_t)(advice->queries.count - count)));
  json_set_str(result, "verified_by", advice->trial ? trial_engine(advice->trial) : NULL);
  json_object_set(result, "warnings", work->warnings);
  return result;
}

enum status workload_run(struct job *job, json_t **ret_result, struct error *err) {
  if (!job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  struct workload_job work = {.payload = job->payload,
                              .statements = strcmp(json_str(job->payload, "source", ""), "pg_stat_statements") == 0,
                              .recommendations = arena_json(job->arena, json_array()),
                              .drops = arena_json(job->arena, json_array()),
                              .warnings = arena_json(job->arena, json_array()),
                              .advice = {.job = job, .arena = job->arena, .hypothetical = true}};
  if (!work.recommendations || !work.drops || !work.warnings) return error_oom(err);
  work.advice.warnings = work.warnings;
  enum status status = run(&work, err);
  if (!status) *ret_result = result_json(&work);
  advice_close(&work.advice);
  query_session_close(work.advice.session);
  return status;
}
