/* ladder.c - L1 to L4, on the client's database, through the guarded session: prepared, planned, and only when asked for run. */
#include "worker/optimizer/rewrite/ladder.h"

#include <math.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/pg.h"
#include "worker/optimizer/optimize_impl.h"
#include "worker/query/session.h"
#include "worker/sql/text.h"

#define COMPARE_MS 10000     /* of one comparison on live data */
#define COMPARE_ALL_MS 30000 /* of all of them */
#define GAIN_FAIR 0.999      /* of the original's cost, that a rewrite may have: it has to be cheaper */
#define GAIN_BLIND 1.5       /* where costs don't show the gain */
#define GAIN_ROUGH 0.7       /* where they show somewhat too much */
#define GAIN_PROBES 0.33     /* where they show too much: with all pages in memory */
#define SAME_COST 0.02       /* of it: plans of one shape that differ less are one plan */

void ladder_drop(struct ladder_step *step, int level, const char *why) {
  if (step->dropped) return;
  step->dropped = why ? why : "memory is short";
  step->dropped_at = level;
}

/* --- L1 --- */

const char *ladder_difference(const PGresult *a, const PGresult *b, struct arena *arena) {
  if (PQnfields(a) != PQnfields(b)) return arena_printf(arena, "it has %d columns, not %d", PQnfields(b), PQnfields(a));
  for (int i = 0; i < PQnfields(a); i++) {
    if (strcmp(PQfname(a, i), PQfname(b, i)) != 0)
      return arena_printf(arena, "column %d is called %s, not %s", i + 1, PQfname(b, i), PQfname(a, i));
    if (PQftype(a, i) != PQftype(b, i) || PQfmod(a, i) != PQfmod(b, i)) return arena_printf(arena, "column %d is of another type", i + 1);
  }
  if (PQnparams(a) != PQnparams(b)) return "it has other parameters";
  for (int i = 0; i < PQnparams(a); i++)
    if (PQparamtype(a, i) != PQparamtype(b, i)) return arena_printf(arena, "$%d is of another type", i + 1);
  return NULL;
}

/* --- L2, L3 --- */

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

/* The same nodes over the same relations; conditions show in the cost. */
static bool same_shape(const struct plan_node *a, const struct plan_node *b) {
  if (!same_text(a->type, b->type) || !same_text(a->relation, b->relation) || !same_text(a->index_name, b->index_name) ||
      !same_text(a->join_type, b->join_type) || !same_text(a->strategy, b->strategy) || a->child_count != b->child_count)
    return false;
  for (size_t i = 0; i < a->child_count; i++)
    if (!same_shape(a->children[i], b->children[i])) return false;
  return true;
}

static double gain_wanted(enum rewrite_costs costs) {
  return costs == COSTS_BLIND ? GAIN_BLIND : costs == COSTS_ROUGH ? GAIN_ROUGH : GAIN_FAIR;
}

static void judge_plan(const struct optimization *o, struct ladder_step *step, const struct query_plan *plan) {
  double before = o->plan->root->total_cost, after = plan->root->total_cost;
  step->cost = after;
  step->level = 2;
  if (same_shape(o->plan->root, plan->root) && fabs(before - after) <= SAME_COST * before)
    ladder_drop(step, 3, "its plan is the same");
  else if (after > before * gain_wanted(step->candidate.costs))
    ladder_drop(step, 2, arena_printf(o->arena, "the planner expects it to cost %.0f instead of %.0f", after, before));
  else
    step->level = 3;
}

/* What the server said of a candidate's plan; other failures are the job's. */
static enum status judge(const struct optimization *o, struct ladder_step *step, enum status status, const struct query_plan *plan,
                         const struct error *refused, struct error *err) {
  if (status == ERR_VALIDATION)
    ladder_drop(step, 2, arena_strdup(o->arena, refused->message));
  else if (status)
    return error_set_code(err, status, refused->code, "%s", refused->message);
  else
    judge_plan(o, step, plan);
  return OK;
}

static enum status begin(struct optimization *o, struct error *err) {
  enum status status = query_session_begin(o->session, NULL, 0, err);
  return status ? status : query_session_own_settings(o->session, err);
}

static enum status climb_one(struct optimization *o, const PGresult *original, struct ladder_step *step, struct error *err) {
  PGRESULT_AUTO res = NULL;
  ERROR_AUTO refused = {0};
  struct query_plan *plan = NULL;
  enum status status = query_session_describe(o->session, step->candidate.sql, &res, &refused);
  const char *difference = status ? NULL : ladder_difference(original, res, o->arena);
  if (status == ERR_VALIDATION) {
    ladder_drop(step, 1, arena_strdup(o->arena, refused.message));
    return begin(o, err);
  }
  if (status) return error_set_code(err, status, refused.code, "%s", refused.message);
  if (difference) ladder_drop(step, 1, difference);
  step->level = 1;
  if (difference) return OK;
  status = explain_within(o, step->candidate.sql, &plan, &refused);
  enum status judged = judge(o, step, status, plan, &refused, err);
  return judged || !status ? judged : begin(o, err);
}

/* Planned as if nothing had to be read from disk: what remains are the look-ups themselves, and the planner takes them for dearer than
 * they are even so. Those of one original, in the transaction that is open. */
static enum status compare_cached(struct optimization *o, struct ladder *ladder, size_t from, struct error *err) {
  PGRESULT_AUTO res = NULL;
  struct query_plan *original = NULL, *plan = NULL;
  static const char cached[] = "SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.unnest(ARRAY['seq_page_cost', "
                               "'random_page_cost']) name";
  enum status status = OK;
  for (size_t i = from; !status && i < ladder->count; i++) {
    struct ladder_step *step = &ladder->steps[i];
    if (step->dropped || step->candidate.costs != COSTS_PROBES) continue;
    if (!original) {
      status = query_session_query(o->session, cached, 0, NULL, &res, err);
      if (!status) status = explain_within(o, o->statement->text, &original, err);
    }
    if (!status) status = explain_within(o, step->candidate.sql, &plan, err);
    if (!status && plan->root->total_cost > GAIN_PROBES * original->root->total_cost)
      ladder_drop(step, 2,
                  arena_printf(o->arena, "with all pages in memory the planner expects it to cost %.0f instead of %.0f: too little less",
                               plan->root->total_cost, original->root->total_cost));
  }
  return status;
}

enum status ladder_plan(struct optimization *o, struct ladder *ladder, size_t from, struct error *err) {
  PGRESULT_AUTO original = NULL;
  ERROR_AUTO late = {0};
  enum status status = begin(o, err);
  if (!status) status = query_session_describe(o->session, o->statement->text, &original, err);
  for (size_t i = from; !status && i < ladder->count; i++)
    if (!ladder->steps[i].dropped) status = climb_one(o, original, &ladder->steps[i], err);
  if (!status) status = compare_cached(o, ladder, from, err);
  enum status ended = query_session_end(o->session, status ? &late : err);
  return status ? status : ended;
}

/* --- L4 --- */

const char *ladder_unlimited(const char *sql, struct arena *arena) {
  PgQuery__Node *tree = sql_parse_statement(arena, sql);
  if (!tree || tree->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return sql;
  PgQuery__SelectStmt *select = tree->select_stmt;
  if (!select->limit_count && !select->limit_offset) return sql;
  select->limit_count = select->limit_offset = NULL;
  select->limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
  return sql_statement_text(arena, tree);
}

/* Columns of a derived table; those whose type has no equality are compared as text. */
static bool put_columns(struct buf *out, const PGresult *described, bool names) {
  static const Oid without[] = {114, 142, 600, 601, 602, 603, 604, 628, 718, 194}; /* json, xml, geometric types, pg_node_tree */
  for (int i = 0; i < PQnfields(described); i++) {
    bool text = false;
    for (size_t k = 0; k < sizeof without / sizeof *without; k++) text |= PQftype(described, i) == without[k];
    buf_printf(out, "%sc%d%s", i ? ", " : "", i + 1, names || !text ? "" : "::pg_catalog.text");
  }
  return buf_ok(out);
}

static void put_rows(struct buf *out, const PGresult *described, const char *sql, char name) {
  buf_puts(out, "SELECT ");
  put_columns(out, described, false);
  buf_printf(out, " FROM (%s\n) %c (", sql, name);
  put_columns(out, described, true);
  buf_puts(out, ")");
}

/* How many rows only one of them gives, counting duplicates. */
static const char *difference_sql(const struct optimization *o, const PGresult *described, const char *before, const char *after) {
  BUF_AUTO out;
  buf_init(&out, 16 * LIMIT_SQL_BYTES);
  buf_puts(&out, "SELECT count(*) FROM ((");
  for (int i = 0; i < 2; i++) {
    put_rows(&out, described, i ? after : before, 'a');
    buf_puts(&out, " EXCEPT ALL ");
    put_rows(&out, described, i ? before : after, 'b');
    buf_puts(&out, i ? ")) d" : ") UNION ALL (");
  }
  return buf_ok(&out) ? arena_strndup(o->arena, buf_str(&out), out.len) : NULL;
}

static const char *with_literals(struct optimization *o, const char *sql) {
  const char *text = explain_with_values(o, sql);
  return text ? ladder_unlimited(text, o->arena) : NULL;
}

static enum status compare_one(struct optimization *o, struct ladder_step *step, int milliseconds, struct error *err) {
  PGRESULT_AUTO described = NULL;
  PGRESULT_AUTO res = NULL;
  ERROR_AUTO refused = {0}, late = {0};
  const char *before = with_literals(o, o->statement->text), *after = with_literals(o, step->candidate.sql), *sql = NULL;
  if (!before || !after) return error_oom(err);
  enum status status = query_session_begin(o->session, NULL, milliseconds, err);
  if (status) return status;
  status = query_session_describe(o->session, before, &described, &refused);
  if (!status && PQnfields(described) == 0) {
    step->note = "not compared on live data: it has no columns";
    return query_session_end(o->session, err);
  }
  if (!status && !(sql = difference_sql(o, described, before, after))) status = error_oom(&refused);
  if (!status) status = query_session_query(o->session, sql, 0, NULL, &res, &refused);
  if (!status && strcmp(pg_str(res, 0, 0), "0") != 0)
    ladder_drop(step, 4, arena_printf(o->arena, "%s rows of the live data differ", pg_str(res, 0, 0)));
  if (!status && !step->dropped) step->live = true;
  if (status == ERR_VALIDATION) {
    step->note = arena_printf(o->arena, "not compared on live data: %s", refused.message);
    status = OK;
  }
  enum status ended = query_session_end(o->session, &late);
  if (status || ended)
    return error_set_code(err, status ? status : ended, status ? refused.code : late.code, "%s", status ? refused.message : late.message);
  return OK;
}

enum status ladder_compare(struct optimization *o, struct ladder *ladder, struct error *err) {
  int64_t began = clock_mono_ms();
  if (o->parameter_count && !o->values) {
    optimize_warn(o, "rewrites were not compared on the live data: the query has parameters without values; options.parameters gives some");
    return OK;
  }
  for (size_t i = 0; i < ladder->count; i++) {
    int64_t left = COMPARE_ALL_MS - (clock_mono_ms() - began);
    if (ladder->steps[i].dropped) continue;
    if (left < 100) {
      ladder->steps[i].note = "not compared on live data: there was no time left";
      continue;
    }
    enum status status = compare_one(o, &ladder->steps[i], left < COMPARE_MS ? (int)left : COMPARE_MS, err);
    if (status) return status;
  }
  return OK;
}
