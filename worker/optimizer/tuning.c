/* tuning.c - see tuning.h. Statistics are in tuning_statistics.c, settings here. */
#include "worker/optimizer/tuning.h"

#include <math.h>

#include "common/json.h"
#include "worker/optimizer/finding_impl.h"

#define COST_MIN 1000     /* a query is not worth a setting before it costs that much */
#define GAIN_MIN 0.1      /* of its cost, that more memory has to save */
#define PARALLEL_GAIN 0.2 /* of its cost, that workers have to save */
#define MEMORY_MAX_KB 1048576
#define JIT_SHARE 0.1
#define SKEW 10          /* times, that an estimate is off, before anything is tried */
#define SPILL_FACTOR 2.5 /* what is on disk takes about so much in memory (tuplesort.c, nodeHash.c keep headers and pointers) */

/* --- asking --- */

enum status tuning_plan(struct advice *advice, const struct query_plan **ret_plan, struct error *err) {
  ERROR_AUTO refused = {0};
  struct query_plan *plan = NULL;
  enum status status = trial_plan(advice->trial, &advice->queries.items[0].how, &plan, &refused);
  *ret_plan = status ? NULL : plan;
  if (status && status != ERR_VALIDATION) return error_set(err, status, "%s", refused.message);
  return OK;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

bool tuning_same_shape(const struct query_plan *a, const struct query_plan *b) {
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (!same_text(a->nodes[i]->type, b->nodes[i]->type) || !same_text(a->nodes[i]->relation, b->nodes[i]->relation) ||
        !same_text(a->nodes[i]->index_name, b->nodes[i]->index_name) || !same_text(a->nodes[i]->strategy, b->nodes[i]->strategy))
      return false;
  return true;
}

/* --- settings --- */

struct setting {
  const char *name, *current, *suggested, *reason, *verified_by;
  double before, after; /* below 0: not costs of plans */
  const char *caveat;
};

static void suggest(struct advice *advice, struct optimization *o, const struct setting *setting) {
  json_t *one = json_object(), *caveats = json_array();
  bool known = setting->before >= 0 && setting->after >= 0;
  json_set_str(one, "sql", arena_printf(advice->arena, "SET LOCAL %s = '%s'", setting->name, setting->suggested));
  json_set_str(one, "setting", setting->name);
  json_set_str(one, "current", setting->current);
  json_set_str(one, "suggested", setting->suggested);
  json_set_str(one, "reason", setting->reason);
  json_object_set_new(one, "cost_before", known ? json_real(setting->before) : json_null());
  json_object_set_new(one, "cost_after", known ? json_real(setting->after) : json_null());
  json_object_set_new(one, "improvement_percent",
                      known && setting->before > 0 ? json_real(round(1000 * (1 - setting->after / setting->before)) / 10) : json_null());
  json_set_str(one, "verified_by", setting->verified_by);
  json_append_str(caveats, setting->caveat);
  json_object_set_new(one, "caveats", caveats);
  json_array_append_new(o->settings, one);
}

/* "4MB", as SHOW prints it, or bare kilobytes. */
static double kilobytes(const char *text) {
  char *end;
  double value = strtod(text ? text : "", &end);
  while (*end == ' ') end++;
  if (strncmp(end, "MB", 2) == 0) return value * 1024;
  if (strncmp(end, "GB", 2) == 0) return value * 1048576;
  if (strncmp(end, "TB", 2) == 0) return value * 1073741824;
  return *end == 'B' ? value / 1024 : value;
}

static const char *memory_text(struct arena *arena, double kb) {
  return kb >= 1024 ? arena_printf(arena, "%.0fMB", ceil(kb / 1024)) : arena_printf(arena, "%.0fkB", kb);
}

static const char memory_caveat[] = "for this query (SET LOCAL in its transaction): each sort and hash of each session may take so much";

/* What did not fit, as it was measured: the largest node says how much it takes. */
static double spilled_kb(const struct query_plan *plan, const struct plan_node **ret_node) {
  double most = 0;
  for (size_t i = 0; i < plan->count; i++) {
    const struct plan_node *node = plan->nodes[i];
    double kb = node->sort_on_disk ? node->sort_space_kb * SPILL_FACTOR : node->disk_kb > 0 ? node->disk_kb * SPILL_FACTOR : 0;
    if (node->hash_batches > 1) kb = fmax(kb, node->hash_batches * node->peak_memory_kb);
    if (kb > most) most = kb, *ret_node = node;
  }
  return most;
}

static bool measured_memory(struct advice *advice, struct optimization *o, const char *current) {
  const struct plan_node *node = NULL;
  double kb = o->plan->analyzed ? spilled_kb(o->plan, &node) : 0, have = kilobytes(current);
  if (!node || kb <= have) return false;
  double power = exp2(ceil(log2(kb)));
  if (power > MEMORY_MAX_KB) return false;
  const char *suggested = memory_text(advice->arena, power);
  suggest(advice, o,
          &(struct setting){"work_mem", current, suggested,
                            arena_printf(advice->arena, "%s did not fit into work_mem and went to disk: it takes about %s",
                                         plan_name(o->plan, node), memory_text(advice->arena, kb)),
                            "measured", -1, -1, memory_caveat});
  return true;
}

static enum status try_setting(struct advice *advice, const char *name, const char *value, double *ret_cost, struct error *err) {
  const struct query_plan *plan = NULL;
  enum status status = trial_set(advice->trial, name, value, err);
  if (!status) status = tuning_plan(advice, &plan, err);
  *ret_cost = plan ? plan->total_cost : INFINITY;
  return status;
}

/* The least of several sizes that saves nearly all that the largest would. */
static enum status planned_memory(struct advice *advice, struct optimization *o, const struct query_plan *before, const char *current,
                                  struct error *err) {
  double have = kilobytes(current), costs[4] = {0}, best = before->total_cost;
  enum status status = OK;
  int sizes = 0;
  for (double kb = have * 4; have > 0 && sizes < 4 && kb <= MEMORY_MAX_KB && !status; kb *= 4, sizes++) {
    status = try_setting(advice, "work_mem", arena_printf(advice->arena, "%.0fkB", kb), &costs[sizes], err);
    best = fmin(best, costs[sizes]);
  }
  if (!status) status = trial_set(advice->trial, "work_mem", NULL, err);
  if (status || best > (1 - GAIN_MIN) * before->total_cost) return status;
  int least = 0;
  while (before->total_cost - costs[least] < 0.9 * (before->total_cost - best)) least++;
  suggest(advice, o,
          &(struct setting){
              "work_mem", current, memory_text(advice->arena, have * pow(4, least + 1)),
              "the planner expects sorts or hashes that do not fit into work_mem; with more of it they do, or it takes another plan",
              trial_engine(advice->trial), before->total_cost, costs[least], memory_caveat});
  return OK;
}

static enum status planned_workers(struct advice *advice, struct optimization *o, const struct query_plan *before, struct error *err) {
  const char *current = json_str(advice->facts->settings, "max_parallel_workers_per_gather", NULL);
  double have = current ? strtod(current, NULL) : -1, cost = INFINITY, best = before->total_cost;
  enum status status = OK;
  int suggested = 0;
  for (int workers = 2; have >= 0 && workers <= 4 && !status; workers += 2) {
    if (workers <= have) continue;
    status = try_setting(advice, "max_parallel_workers_per_gather", arena_printf(advice->arena, "%d", workers), &cost, err);
    if (cost < (1 - PARALLEL_GAIN) * best) best = cost, suggested = workers;
  }
  if (!status) status = trial_set(advice->trial, "max_parallel_workers_per_gather", NULL, err);
  if (status || !suggested) return status;
  suggest(
      advice, o,
      &(struct setting){"max_parallel_workers_per_gather", current, arena_printf(advice->arena, "%d", suggested),
                        arena_printf(advice->arena, "with %d workers instead of %.0f the planner divides the query's work among processes",
                                     suggested, have),
                        trial_engine(advice->trial), before->total_cost, best,
                        "takes cores from other sessions, and workers within max_parallel_workers; each may use work_mem of its own"});
  return OK;
}

/* JIT is judged by time: its price is in no plan. */
static void measured_jit(struct advice *advice, struct optimization *o) {
  double ms = o->plan->jit_ms, whole = o->plan->execution_ms;
  if (!o->plan->analyzed || ms <= 0 || whole <= 0 || ms < JIT_SHARE * whole) return;
  const char *current = json_str(advice->facts->settings, "jit_above_cost", NULL);
  suggest(advice, o,
          &(struct setting){"jit_above_cost", current, arena_printf(advice->arena, "%.0f", ceil(o->plan->total_cost * 2)),
                            arena_printf(advice->arena, "compiling took %.1f of %.1f ms: this query is not worth it", ms, whole),
                            "measured", -1, -1, "for this query, or for the role where most of its queries are like it"});
}

enum status tuning_settings(struct advice *advice, struct optimization *o, const struct query_plan *before, struct error *err) {
  const char *memory = json_str(advice->facts->settings, "work_mem", NULL);
  bool told = measured_memory(advice, o, memory);
  measured_jit(advice, o);
  if (!before || before->total_cost < COST_MIN) return OK;
  enum status status = told ? OK : planned_memory(advice, o, before, memory, err);
  return status ? status : planned_workers(advice, o, before, err);
}

/* --- all --- */

static bool worth_opening(const struct advice *advice, const struct optimization *o) {
  if (o->plan->total_cost >= COST_MIN) return true;
  for (size_t i = 0; i < advice->tables.count; i++)
    if (tuning_stale(advice->facts, advice->tables.items[i])) return true;
  for (size_t i = 0; i < o->plan->count; i++)
    if (o->plan->nodes[i]->estimate_factor >= SKEW) return true;
  return false;
}

enum status tuning_advise(struct advice *advice, struct optimization *o, struct error *err) {
  const struct query_plan *before = NULL;
  enum status status = OK;
  if (!worth_opening(advice, o) || !advice->tables.count) return OK;
  if (!advice->trial && !advice->untried) status = advice_open(advice, false, err);
  if (!status && advice->trial) status = choice_hide_all(&advice->choice, err);
  if (!status && advice->trial) status = tuning_plan(advice, &before, err);
  if (!status) status = tuning_settings(advice, o, before, err);
  return status ? status : tuning_statistics(advice, o, before, err);
}
