/* propose.c - which queries are rewritten at all, and every rule at every place.
 *
 * A rule changes the tree it is given, so each candidate has a tree of its own: the text is parsed and resolved again after each change. Of
 * a query without any place one tree serves all rules. */
#include "worker/optimizer/rewrite/merge.h"
#include "worker/optimizer/rewrite/rewrite_impl.h"

#include "common/json.h"

/* --- an attempt --- */

bool rewrite_here(struct rewrite *rw) { return rw->seen++ == rw->site; }

void rewrite_assume(struct rewrite *rw, const char *fmt, ...) {
  struct rewrite_candidate *candidate = rw->candidate;
  va_list args;
  va_start(args, fmt);
  const char *text = arena_vprintf(rw->arena, fmt, args);
  va_end(args);
  if (!text || candidate->assumption_count == REWRITE_ASSUMPTIONS) return;
  for (size_t i = 0; i < candidate->assumption_count; i++)
    if (strcmp(candidate->assumptions[i], text) == 0) return;
  candidate->assumptions[candidate->assumption_count++] = text;
}

void rewrite_explain(struct rewrite *rw, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  rw->candidate->explanation = arena_vprintf(rw->arena, fmt, args);
  va_end(args);
}

/* --- what is left alone --- */

#define FROM_CALLS 32

struct look {
  const char *why;
  bool local_only;
  const PgQuery__FuncCall *from_calls[FROM_CALLS]; /* functions in FROM, where several rows are fine */
  size_t from_call_count;
};

static void see_from_call(struct look *look, const PgQuery__RangeFunction *function) {
  for (size_t i = 0; i < function->n_functions; i++) {
    const PgQuery__Node *item = function->functions[i];
    if (item->node_case == PG_QUERY__NODE__NODE_LIST && item->list->n_items) item = item->list->items[0];
    if (item->node_case == PG_QUERY__NODE__NODE_FUNC_CALL && look->from_call_count < FROM_CALLS)
      look->from_calls[look->from_call_count++] = item->func_call;
  }
}

static bool see_form(void *arg, PgQuery__Node *node) {
  struct look *look = arg;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_LOCKING_CLAUSE: look->why = "it locks rows"; break;
  case PG_QUERY__NODE__NODE_INTO_CLAUSE: look->why = "it makes a table"; break;
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT: look->why = "it writes"; break;
  case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE: look->why = "it samples a table"; break;
  case PG_QUERY__NODE__NODE_GROUPING_SET: look->local_only = true; break; /* grouped columns become NULL */
  case PG_QUERY__NODE__NODE_SELECT_STMT:
    if (node->select_stmt->with_clause && node->select_stmt->with_clause->recursive) look->local_only = true;
    if (node->select_stmt->into_clause) look->why = "it makes a table";
    if (node->select_stmt->limit_option == PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_WITH_TIES) look->local_only = true;
    break;
  case PG_QUERY__NODE__NODE_RANGE_FUNCTION: see_from_call(look, node->range_function); break;
  default: break;
  }
  return !look->why;
}

static bool is_in_from(const struct look *look, const PgQuery__FuncCall *call) {
  for (size_t i = 0; i < look->from_call_count; i++)
    if (look->from_calls[i] == call) return true;
  return false;
}

static bool gives_rows(const struct query_function *function) {
  if (!function->function) return (function->builtin->kinds & BUILTIN_SET) != 0;
  return strncmp(function->function->returns, "SETOF", 5) == 0 || strncmp(function->function->returns, "TABLE", 5) == 0;
}

static const char *check_functions(const struct query_resolution *names, const struct look *look, struct arena *arena) {
  for (size_t i = 0; i < names->function_count; i++) {
    const struct query_function *function = &names->functions[i];
    char volatility = function->function ? function->function->volatility : function->builtin ? function->builtin->volatility : 'v';
    if (function->builtin && function->builtin->volatility > volatility) volatility = function->builtin->volatility;
    if (volatility == 'v') return arena_printf(arena, "it calls %s(), which is volatile", function->name);
    if (gives_rows(function) && !is_in_from(look, function->call))
      return arena_printf(arena, "%s() returns several rows outside of FROM", function->name);
  }
  return NULL;
}

struct columns {
  const struct query_resolution *names;
  bool own, outer; /* of the query the call stands in, of one around it */
};

static bool see_column(void *arg, PgQuery__Node *node) {
  struct columns *columns = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  const struct query_binding *binding =
      node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF ? query_binding(columns->names, node->column_ref) : NULL;
  if (binding) *(binding->levels_up ? &columns->outer : &columns->own) = true;
  return true;
}

/* An aggregate whose columns are all an outer query's belongs to that one, and makes groups there. */
static const char *check_aggregates(struct rewrite *rw) {
  for (size_t i = 0; i < rw->names->function_count; i++) {
    const PgQuery__FuncCall *call = rw->names->functions[i].call;
    struct columns columns = {.names = rw->names};
    if (!call || call->over || !rewrite_is_aggregate(rw, call)) continue;
    for (size_t a = 0; a < call->n_args; a++) sql_walk(call->args[a], see_column, &columns);
    for (size_t a = 0; a < call->n_agg_order; a++) sql_walk(call->agg_order[a], see_column, &columns);
    sql_walk(call->agg_filter, see_column, &columns);
    if (columns.outer && !columns.own) return "a subquery aggregates the rows of the query around it";
  }
  return NULL;
}

static bool made_by_somebody(const struct snapshot *snapshot, const char *operator) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(snapshot->json, "operators"), index,
                     one) if (strcmp(json_str(one, "name", ""), operator) == 0) return true;
  return false;
}

static const char *check_operators(const struct snapshot *snapshot, const struct query_resolution *names, struct arena *arena) {
  for (size_t i = 0; i < names->operator_count; i++)
    if (made_by_somebody(snapshot, names->operators[i].name))
      return arena_printf(arena, "the operator %s is one that somebody made", names->operators[i].name);
  return made_by_somebody(snapshot, "=") || made_by_somebody(snapshot, "<") ? "somebody made an operator = or <" : NULL;
}

static const char *check_relations(const struct query_resolution *names, struct look *look, struct arena *arena) {
  for (size_t i = 0; i < names->relation_count; i++) {
    const struct query_relation *relation = &names->relations[i];
    const struct snap_table *table = relation->table;
    if (table->kind == SNAP_FOREIGN) return arena_printf(arena, "%s is a foreign table", table->qualified);
    if (table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW || table->rls) look->local_only = true;
    if (table->kind == SNAP_TABLE && table->partition_count && relation->var->inh) look->local_only = true; /* others inherit from it */
    if (table->kind == SNAP_PARTITIONED && !relation->var->inh) look->local_only = true;
  }
  return NULL;
}

static const char *check_scopes(const struct query_resolution *names) {
  if (names->problem_count) return "not all of its names are in the snapshot";
  if (names->scope_count > REWRITE_SCOPES) return "it has more than 200 SELECTs";
  for (size_t s = 0; s < names->scope_count; s++)
    for (size_t i = 0; i < names->scopes[s]->rte_count; i++)
      if (names->scopes[s]->rtes[i]->kind == QUERY_TABLE && !names->scopes[s]->rtes[i]->table) return "it reads system catalogs";
  return NULL;
}

static bool has_collations(const struct snapshot *snapshot) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(snapshot->json, "collations"), index, one) if (!json_bool(one, "deterministic", true)) return true;
  return false;
}

/* Why nothing of it is rewritten; NULL. */
static const char *refuse(struct rewrite *rw) {
  struct look look = {0};
  sql_walk(rw->statement, see_form, &look);
  if (!look.why) look.why = check_scopes(rw->names);
  if (!look.why) look.why = check_functions(rw->names, &look, rw->arena);
  if (!look.why) look.why = check_aggregates(rw);
  if (!look.why) look.why = check_operators(rw->snapshot, rw->names, rw->arena);
  if (!look.why) look.why = check_relations(rw->names, &look, rw->arena);
  if (!look.why && has_collations(rw->snapshot)) look.why = "the schema has a nondeterministic collation";
  rw->local_only = look.local_only;
  return look.why;
}

/* --- every rule at every place --- */

#define LARGE_BYTES 4096 /* of text; of a larger one fewer candidates are made */
#define LARGE_CANDIDATES 6

struct proposal {
  struct rewrite rw;
  const char *sql, *printed;
  size_t most; /* candidates: each costs a tree of its own */
  bool fresh;  /* the tree is as it was parsed */
};

/* False: it does not parse, or is no SELECT; or memory ran out (err). */
static bool parse(struct proposal *p, struct error *err) {
  p->rw.statement = sql_parse_statement(p->rw.arena, p->sql);
  if (!p->rw.statement || p->rw.statement->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  struct query_resolution *names = NULL;
  if (query_resolve(p->rw.snapshot, p->rw.statement->select_stmt, p->rw.arena, &names, err)) return false;
  p->rw.names = names;
  p->fresh = true;
  return true;
}

static bool is_known(const struct rewrite_list *list, const char *sql) {
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->items[i].sql, sql) == 0) return true;
  return false;
}

static void take(struct proposal *p, struct rewrite_list *list, const struct rewrite_candidate *made) {
  const char *printed = sql_statement_text(p->rw.arena, p->rw.statement);
  PgQuery__Node *again = printed ? sql_parse_statement(p->rw.arena, printed) : NULL; /* AND in AND is one AND when it is read */
  printed = again ? sql_statement_text(p->rw.arena, again) : NULL;
  if (!printed || strcmp(printed, p->printed) == 0) return;
  struct rewrite_candidate candidate = *made;
  candidate.sql = merge_text(p->sql, p->printed, printed, p->rw.arena);
  if (candidate.sql && !is_known(list, candidate.sql)) list->items[list->count++] = candidate;
}

static enum status try_rule(struct proposal *p, const struct rewrite_rule *rule, struct rewrite_list *list, struct error *err) {
  for (int site = 0; list->count < p->most && site < REWRITE_CANDIDATES; site++) {
    struct rewrite_candidate candidate = {.rule = rule->code, .explanation = rule->to, .costs = rule->costs, .in_place = rule->local};
    if (!p->fresh && !parse(p, err)) return err->status ? err->status : OK;
    p->rw.site = site;
    p->rw.seen = 0;
    p->rw.candidate = &candidate;
    if (!rule->apply(&p->rw)) return OK;
    p->fresh = false;
    take(p, list, &candidate);
  }
  return OK;
}

enum status rewrite_propose(const struct snapshot *snapshot, const char *sql, struct arena *arena, struct rewrite_list *ret_list,
                            const char **ret_why, struct error *err) {
  struct proposal p = {.rw = {.arena = arena, .snapshot = snapshot}, .sql = sql};
  p.most = strlen(sql) > LARGE_BYTES ? LARGE_CANDIDATES : REWRITE_CANDIDATES;
  ret_list->count = 0;
  *ret_why = NULL;
  if (strlen(sql) > REWRITE_SQL_BYTES) {
    *ret_why = "it is longer than 64 kB";
    return OK;
  }
  if (!parse(&p, err)) {
    *ret_why = "it is no SELECT";
    return err->status;
  }
  p.printed = sql_statement_text(arena, p.rw.statement);
  *ret_why = p.printed ? refuse(&p.rw) : "it can't be printed";
  enum status status = OK;
  for (size_t i = 0; !*ret_why && !status && i < rewrite_rule_count; i++)
    if (rewrite_rules[i].local || !p.rw.local_only) status = try_rule(&p, &rewrite_rules[i], ret_list, err);
  return status;
}

const struct rewrite_rule *rewrite_rule_at(size_t index) { return index < rewrite_rule_count ? &rewrite_rules[index] : NULL; }
