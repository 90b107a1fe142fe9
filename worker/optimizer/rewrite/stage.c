/* stage.c - rewrites as a stage of query.optimize: proposed, combined, sent up the ladder, ranked, told.
 *
 * Single steps are planned first. Those that save something are then applied one after the other, the one that saves most first, as long as
 * each saves more: that combination is a candidate, too. */
#include <math.h>

#include "common/json.h"
#include "worker/llm/llm.h"
#include "worker/optimizer/rewrite/ladder.h"
#include "worker/optimizer/rewrite/model.h"
#include "worker/optimizer/rewrite/trial.h"
#include "worker/query/allow.h"

#define STEPS_MAX (2 * REWRITE_CANDIDATES)
#define COMBINED_MAX 4 /* rules after the first */
#define WORTH 0.98     /* of the cost before: what another step has to get below */
#define SHOWN_MAX 10
#define TWIN_COST 0.001 /* of it: two rewrites by one rule that differ less are one */
#define SLOWER 1.1      /* times the original's time, when both were measured */

/* --- combinations --- */

static void merge_facts(struct rewrite_candidate *to, const struct rewrite_candidate *from) {
  for (size_t i = 0; i < from->assumption_count; i++) {
    bool known = false;
    for (size_t k = 0; k < to->assumption_count; k++) known |= strcmp(to->assumptions[k], from->assumptions[i]) == 0;
    if (!known && to->assumption_count < REWRITE_ASSUMPTIONS) to->assumptions[to->assumption_count++] = from->assumptions[i];
  }
}

static bool survives(const struct ladder *ladder, const char *rule) {
  for (size_t i = 0; i < ladder->count; i++)
    if (!ladder->steps[i].dropped && !ladder->steps[i].candidate.model && strcmp(ladder->steps[i].candidate.rule, rule) == 0) return true;
  return false;
}

static struct ladder_step *cheapest(struct ladder_step *steps, size_t count) {
  struct ladder_step *best = NULL;
  for (size_t i = 0; i < count; i++)
    if (!steps[i].dropped && !steps[i].candidate.model && (!best || steps[i].cost < best->cost)) best = &steps[i];
  return best;
}

/* One step after others: what is told of both. */
static bool append(struct arena *arena, const struct rewrite_candidate *before, struct rewrite_candidate *step) {
  if (!before->rule) return true;
  merge_facts(step, before);
  if (before->costs > step->costs) step->costs = before->costs;
  step->rule = arena_printf(arena, "%s + %s", before->rule, step->rule);
  step->explanation = arena_printf(arena, "%s. %s", before->explanation, step->explanation);
  return step->rule && step->explanation;
}

/* The best of one step more; false: none is worth it. */
static enum status extend(struct optimization *o, const struct ladder *ladder, struct ladder_step *made, bool *ret_more,
                          struct error *err) {
  struct rewrite_list *list = ARENA_NEW(o->arena, struct rewrite_list);
  struct ladder_step *steps = arena_calloc(o->arena, REWRITE_CANDIDATES, sizeof *steps);
  struct ladder next = {.steps = steps};
  const char *why;
  *ret_more = false;
  if (!list || !steps) return error_oom(err);
  enum status status = rewrite_propose(o->snapshot, made->candidate.sql, o->arena, list, &why, err);
  for (size_t i = 0; !status && i < list->count; i++)
    if (survives(ladder, list->items[i].rule))
      steps[next.count++] = (struct ladder_step){.candidate = list->items[i], .milliseconds = PLAN_UNKNOWN};
  if (!status && next.count) status = ladder_plan(o, &next, 0, err);
  const struct ladder_step *best = status ? NULL : cheapest(steps, next.count);
  if (!best || best->cost >= made->cost * WORTH) return status;
  struct rewrite_candidate both = best->candidate;
  if (!append(o->arena, &made->candidate, &both)) return error_oom(err);
  *made = *best;
  made->candidate = both;
  *ret_more = true;
  return OK;
}

static enum status combine(struct optimization *o, struct ladder *ladder, struct error *err) {
  size_t alive = 0;
  for (size_t i = 0; i < ladder->count; i++) alive += !ladder->steps[i].dropped && !ladder->steps[i].candidate.model;
  const struct ladder_step *best = cheapest(ladder->steps, ladder->count);
  if (alive < 2 || ladder->count == ladder->room) return OK;
  struct ladder_step made = *best;
  bool more = true;
  for (size_t i = 1; more && i < alive && i <= COMBINED_MAX; i++) {
    enum status status = extend(o, ladder, &made, &more, err);
    if (status) return status;
  }
  if (strcmp(made.candidate.rule, best->candidate.rule) != 0) ladder->steps[ladder->count++] = made;
  return OK;
}

/* --- conditions that wait for an index --- */

static const struct rewrite_candidate *first_in_place(const struct rewrite_list *list) {
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].in_place) return &list->items[i];
  return NULL;
}

/* From the best there is, or the query itself: every condition changed in place that can be. false: none is. */
static enum status settle_conditions(struct optimization *o, const struct ladder *ladder, struct rewrite_candidate *ret_made, bool *ret_any,
                                     struct error *err) {
  const struct ladder_step *best = cheapest(ladder->steps, ladder->count);
  struct rewrite_list *list = ARENA_NEW(o->arena, struct rewrite_list);
  const char *why;
  *ret_made = best ? best->candidate : (struct rewrite_candidate){.sql = o->statement->text};
  *ret_any = false;
  if (!list) return error_oom(err);
  for (int i = 0; i < COMBINED_MAX; i++) {
    enum status status = rewrite_propose(o->snapshot, ret_made->sql, o->arena, list, &why, err);
    const struct rewrite_candidate *next = status ? NULL : first_in_place(list);
    if (!next) return status;
    struct rewrite_candidate step = *next;
    if (!append(o->arena, ret_made, &step)) return error_oom(err);
    *ret_made = step;
    *ret_any = true;
  }
  return OK;
}

/* An index on the bare column would serve such conditions, but there is none: the planner sees no gain, and DBAs do. */
static enum status wait_for_indexes(struct optimization *o, struct ladder *ladder, struct error *err) {
  bool any = false;
  for (size_t i = 0; i < ladder->count; i++) any |= ladder->steps[i].candidate.in_place;
  if (!any || ladder->count == ladder->room) return OK;
  struct ladder_step *step = &ladder->steps[ladder->count];
  *step = (struct ladder_step){.milliseconds = PLAN_UNKNOWN};
  enum status status = settle_conditions(o, ladder, &step->candidate, &any, err);
  for (size_t i = 0; any && i < ladder->count; i++)
    any &= ladder->steps[i].dropped || strcmp(ladder->steps[i].candidate.sql, step->candidate.sql) != 0;
  if (status || !any) return status;
  status = ladder_plan(o, ladder, ladder->count++, err);
  step->waits = step->dropped && step->level >= 2; /* the same columns, and a plan */
  if (step->waits) step->dropped = NULL;
  return status;
}

/* --- L5, L4, measuring --- */

static enum status try_rows(struct optimization *o, struct ladder *ladder, struct error *err) {
  ERROR_AUTO fault = {0};
  if (!trial_run(o, ladder, &fault)) return OK;
  optimize_warn(o, "rewrites were not tried on made-up rows: %s", fault.message);
  for (size_t i = 0; i < ladder->count; i++) {
    struct ladder_step *step = &ladder->steps[i];
    if (step->dropped) continue;
    step->made_up = false;
    step->note = "not tried on made-up rows";
    if (step->candidate.model) ladder_drop(step, 5, "it could not be tried on made-up rows");
  }
  (void)err;
  return OK;
}

static bool may_run(const struct optimization *o) {
  static const struct guard_rules rules = {.parameters = true, .trusting = true};
  struct guarded *guarded = NULL;
  ERROR_AUTO refused = {0};
  return !guard_check(o->snapshot, o->statement->text, o->statement->length, &rules, o->arena, &guarded, &refused);
}

static enum status compare_live(struct optimization *o, struct ladder *ladder, struct error *err) {
  if (o->options.rewrite_check != REWRITE_CHECK_RESULTS) return OK;
  if (may_run(o)) return ladder_compare(o, ladder, err);
  optimize_warn(o, "rewrites were not compared on the live data: the query may do more than read");
  return OK;
}

/* With analyze both are run: what is slower in fact is no gain. */
static enum status measure(struct optimization *o, struct ladder *ladder, struct error *err) {
  if (!o->options.analyze || o->plan->execution_ms < 0) return OK;
  for (size_t i = 0; i < ladder->count; i++) {
    struct ladder_step *step = &ladder->steps[i];
    struct query_plan *plan = NULL;
    ERROR_AUTO fault = {0};
    if (step->dropped || step->waits) continue;
    enum status status = optimize_explain(o, step->candidate.sql, true, &plan, &fault);
    if (status == ERR_VALIDATION) {
      ladder_drop(step, 2, arena_printf(o->arena, "it could not be measured: %s", fault.message));
      continue;
    }
    if (status) return error_set_code(err, status, fault.code, "%s", fault.message);
    step->milliseconds = plan->execution_ms;
    if (plan->execution_ms > o->plan->execution_ms * SLOWER + 1)
      ladder_drop(step, 2, arena_printf(o->arena, "it took %.1f ms instead of %.1f", plan->execution_ms, o->plan->execution_ms));
  }
  return OK;
}

/* --- telling --- */

static const char *improvement(const struct optimization *o, const struct ladder_step *step) {
  double before = o->plan->total_cost, after = step->cost;
  if (step->milliseconds >= 0 && o->plan->execution_ms > 0)
    return arena_printf(o->arena, "%.1f ms instead of %.1f ms", step->milliseconds, o->plan->execution_ms);
  if (after <= 0 || before / after < 1.005) return "not seen by the planner's costs: measure it";
  double factor = before / after;
  return arena_printf(o->arena, factor < 10 ? "~%.1fx cheaper" : "~%.0fx cheaper", factor);
}

static const char *details(struct arena *arena, const struct ladder_step *step) {
  const char *text = step->candidate.model ? "proposed by a language model; same columns" : "preconditions proved; same columns";
  text = arena_printf(arena, step->waits ? "%s; a plan that an index changes" : "%s; another plan", text);
  if (step->live) text = arena_printf(arena, "%s; the same rows on the live data", text);
  if (step->made_up)
    text = arena_printf(arena, "%s; the same rows on %d made-up data sets, %d of which gave any", text, step->data_sets, step->full);
  return step->note ? arena_printf(arena, "%s; %s", text, step->note) : text;
}

static json_t *verification(struct arena *arena, const struct ladder_step *step) {
  int level = step->made_up ? 5 : step->live ? 4 : step->level;
  char name[4] = {'L', (char)('0' + level), '\0'};
  return json_pack("{s:s, s:s, s:s}", "level", name, "result", step->candidate.model ? "equal" : "proved", "details", details(arena, step));
}

/* In the place of the statement: what stands before and behind it stays. */
static const char *whole_text(const struct optimization *o, const char *sql) {
  size_t before = o->statement->at.offset, after = before + o->statement->length;
  return arena_printf(o->arena, "%.*s%s%s", (int)before, o->sql, sql, after <= strlen(o->sql) ? o->sql + after : "");
}

static json_t *alternative(const struct optimization *o, const struct ladder_step *step, int rank) {
  const struct rewrite_candidate *candidate = &step->candidate;
  json_t *made = json_object();
  json_object_set_new(made, "rank", json_integer(rank));
  json_set_str(made, "rewritten_sql", whole_text(o, candidate->sql));
  json_set_str(made, "explanation", candidate->explanation);
  json_set_str(made, "rule", candidate->rule);
  json_set_str(made, "proposed_by", candidate->model ? "model" : "rule");
  json_object_set_new(made, "assumptions", json_strings(candidate->assumptions, candidate->assumption_count));
  json_object_set_new(made, "original_cost", json_real(o->plan->total_cost));
  json_object_set_new(made, "rewritten_cost", json_real(step->cost));
  json_set_str(made, "estimated_improvement", improvement(o, step));
  if (step->milliseconds >= 0) {
    json_object_set_new(made, "original_ms", json_real(o->plan->execution_ms));
    json_object_set_new(made, "rewritten_ms", json_real(step->milliseconds));
  }
  json_object_set_new(made, "verification", verification(o->arena, step));
  return made;
}

static int by_gain(const void *a, const void *b) {
  const struct ladder_step *left = a, *right = b;
  if (!left->dropped != !right->dropped) return left->dropped ? 1 : -1;
  bool measured = left->milliseconds >= 0 && right->milliseconds >= 0;
  double x = measured ? left->milliseconds : left->cost, y = measured ? right->milliseconds : right->cost;
  return x < y ? -1 : x > y;
}

/* Two orders of the same steps come to the same plan: one of them is told. Sorted by gain, such stand together. */
static void drop_twins(struct ladder *ladder) {
  const struct ladder_step *last = NULL;
  for (size_t i = 0; i < ladder->count; i++) {
    struct ladder_step *step = &ladder->steps[i];
    if (step->dropped || step->waits) continue;
    bool twin = last && strcmp(last->candidate.rule, step->candidate.rule) == 0 && fabs(last->cost - step->cost) <= TWIN_COST * last->cost;
    if (twin)
      ladder_drop(step, 3, "its plan is that of another alternative");
    else
      last = step;
  }
}

static void tell(struct optimization *o, struct ladder *ladder) {
  int by_level[6] = {0}, dropped = 0, rank = 0;
  json_t *list = json_array(), *levels = json_object();
  if (ladder->count) qsort(ladder->steps, ladder->count, sizeof *ladder->steps, by_gain);
  drop_twins(ladder);
  for (size_t i = 0; i < ladder->count; i++) {
    const struct ladder_step *step = &ladder->steps[i];
    if (!step->dropped && step->waits) {
      o->rewritten = (struct rewritten){step->candidate.sql, arena_json(o->arena, alternative(o, step, 0)), true};
      continue;
    }
    if (!step->dropped) {
      if (rank < SHOWN_MAX) rank++, json_array_append_new(o->alternatives, alternative(o, step, rank));
      if (rank == 1 && !o->rewritten.sql) o->rewritten = (struct rewritten){step->candidate.sql, json_array_get(o->alternatives, 0), false};
      continue;
    }
    dropped++;
    by_level[step->dropped_at]++;
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "rule", step->candidate.rule, "level",
                                          (const char[]){'L', (char)('0' + step->dropped_at), '\0'}, "reason", step->dropped));
  }
  for (int level = 1; level <= 5; level++)
    if (by_level[level]) json_object_set_new(levels, (const char[]){'L', (char)('0' + level), '\0'}, json_integer(by_level[level]));
  json_object_set_new(o->dropped_rewrites, "count", json_integer(dropped));
  json_object_set_new(o->dropped_rewrites, "by_level", levels);
  json_object_set_new(o->dropped_rewrites, "rewrites", list);
}

/* --- the stage --- */

static bool any_left(const struct ladder *ladder) {
  for (size_t i = 0; i < ladder->count; i++)
    if (!ladder->steps[i].dropped) return true;
  return false;
}

static enum status climb(struct optimization *o, struct ladder *ladder, struct error *err) {
  enum status status = ladder_plan(o, ladder, 0, err);
  if (!status && any_left(ladder)) status = combine(o, ladder, err);
  if (!status) status = wait_for_indexes(o, ladder, err);
  if (!status && any_left(ladder)) status = try_rows(o, ladder, err);
  if (!status && any_left(ladder)) status = compare_live(o, ladder, err);
  if (!status && any_left(ladder)) status = measure(o, ladder, err);
  return status;
}

enum status rewrite_stage(struct optimization *o, struct error *err) {
  struct rewrite_list *list = ARENA_NEW(o->arena, struct rewrite_list);
  struct ladder ladder = {.room = STEPS_MAX, .steps = arena_calloc(o->arena, STEPS_MAX, sizeof *ladder.steps)};
  const char *why = NULL;
  if (!list || !ladder.steps) return error_oom(err);
  bool select = o->statement->node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT;
  enum status status = select ? rewrite_propose(o->snapshot, o->statement->text, o->arena, list, &why, err) : OK;
  if (!status && why) optimize_warn(o, "no rewrites were looked for: %s", why);
  if (!status && select && !why && llm_configured(o->job->cfg) && json_bool(o->job->payload, "enrich", true))
    status = model_propose(o, list, err);
  if (status) return status;
  for (size_t i = 0; i < list->count; i++)
    ladder.steps[ladder.count++] = (struct ladder_step){.candidate = list->items[i], .milliseconds = PLAN_UNKNOWN};
  if (ladder.count) status = climb(o, &ladder, err);
  if (!status) tell(o, &ladder);
  return status;
}
