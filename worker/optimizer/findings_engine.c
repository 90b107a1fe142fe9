/* findings_engine.c - what the server does besides: triggers, workers, compilation, planning, settings. */
#include <math.h>
#include <string.h>

#include "worker/optimizer/finding_impl.h"

#define SHARE 0.1 /* of the whole time */
#define PLANNING_MS 50.0
#define JIT_MS 100.0
#define DISABLED_COST 1e10
#define PARALLEL_ROWS 100000.0
#define WAL_BYTES (16 << 20)

static double whole(const struct finding_view *view) { return view->plan->total_ms > 0 ? view->plan->total_ms : 0; }

static void stake_ms(const struct finding_view *view, struct finding *finding, double ms) {
  finding->time_at_stake_ms = ms;
  finding->cost_at_stake = whole(view) > 0 ? view->plan->total_cost * (ms / whole(view) < 1 ? ms / whole(view) : 1) : 0;
}

static const struct plan_trigger *slowest(const struct query_plan *plan, bool of_constraint) {
  const struct plan_trigger *most = NULL;
  for (size_t i = 0; i < plan->trigger_count; i++)
    if ((plan->triggers[i].constraint != NULL) == of_constraint && (!most || plan->triggers[i].ms > most->ms)) most = &plan->triggers[i];
  return most;
}

/* The referencing side of a foreign key by its constraint's name. */
static const struct snap_fk *fk_named(const struct snapshot *snapshot, const char *name) {
  for (size_t t = 0; snapshot && t < snapshot->table_count; t++)
    for (size_t i = 0; i < snapshot->tables[t].fk_count; i++)
      if (strcmp(snapshot->tables[t].fks[i].name, name) == 0) return &snapshot->tables[t].fks[i];
  return NULL;
}

static bool is_indexed(const struct snap_fk *fk) {
  for (size_t i = 0; i < fk->table->index_count; i++) {
    const struct snap_index *index = &fk->table->indexes[i];
    if (!index->valid || index->predicate || index->column_count < fk->column_count) continue;
    if (list_same(index->columns, fk->column_count, fk->columns, fk->column_count)) return true;
  }
  return false;
}

static const char *joined(struct arena *arena, const char *const *names, size_t count) {
  const char *text = "";
  for (size_t i = 0; i < count && text; i++) text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", names[i]);
  return text;
}

bool look_fk_no_index(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  const struct plan_trigger *trigger = slowest(view->plan, true);
  const struct snap_fk *fk = trigger && trigger->constraint ? fk_named(view->snapshot, trigger->constraint) : NULL;
  if (!trigger || trigger->calls < 1 || trigger->ms < SHARE * whole(view) || trigger->ms < 1) return false;
  if (fk && (is_indexed(fk) || (trigger->relation && strcmp(trigger->relation, fk->table->name) == 0))) return false;
  if (!fk && trigger->ms / trigger->calls < 0.5) return false; /* an index would make a check take microseconds */
  finding->node = root;
  finding_say(view, finding, "checking foreign key %s takes %.0f ms, %.2f ms for each of %s rows%s%s", trigger->constraint, trigger->ms,
              trigger->ms / trigger->calls, finding_number(view->arena, trigger->calls), fk ? ": no index leads with its columns on " : "",
              fk ? fk->table->qualified : "");
  if (fk)
    finding_advise(view, finding, "CREATE INDEX CONCURRENTLY ON %s (%s)", fk->table->qualified,
                   joined(view->arena, fk->columns, fk->column_count));
  stake_ms(view, finding, trigger->ms * 0.95);
  finding_shows(view, finding, json_pack("{s:s, s:f, s:f}", "constraint", trigger->constraint, "ms", trigger->ms, "calls", trigger->calls));
  return true;
}

bool look_trigger_time(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  double all = 0;
  const struct plan_trigger *most = slowest(view->plan, false), *key = slowest(view->plan, true);
  for (size_t i = 0; i < view->plan->trigger_count; i++) all += view->plan->triggers[i].ms > 0 ? view->plan->triggers[i].ms : 0;
  if (!most || (key && key->ms > most->ms)) most = key;
  if (!most || all < SHARE * whole(view) || all < 1) return false;
  finding->node = root;
  const char *name = most->constraint ? most->constraint : most->name ? most->name : "?";
  finding_say(view, finding, "triggers take %.0f of %.0f ms, most of it %s", all, whole(view), name);
  stake_ms(view, finding, all * 0.5);
  finding_shows(view, finding, json_pack("{s:s, s:f, s:f}", "trigger", name, "ms", all, "calls", most->calls));
  return true;
}

bool look_jit_cost(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  double ms = view->plan->jit_ms;
  if (ms <= 5 || (ms < SHARE * whole(view) && !(ms > JIT_MS && whole(view) < 1000))) return false;
  finding->node = root;
  finding_say(view, finding, "compiling %.0f expressions took %.0f of %.0f ms", view->plan->jit_functions, ms, whole(view));
  stake_ms(view, finding, ms);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "jit_ms", ms, "functions", view->plan->jit_functions));
  return true;
}

bool look_planning_time(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  double ms = view->plan->planning_ms, execution = view->plan->execution_ms;
  bool slow = ms >= PLANNING_MS, more = execution >= 0 && ms > execution && ms >= 10;
  if (!slow && !more) return false;
  finding->node = root;
  finding_say(view, finding, "planning took %.1f ms%s", ms, more ? arena_printf(view->arena, ", running it %.1f ms", execution) : "");
  stake_ms(view, finding, ms * 0.8);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "planning_ms", ms, "execution_ms", execution));
  return true;
}

bool look_serialize(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  double ms = view->plan->serialization_ms;
  if (ms < 10 || ms < 0.25 * whole(view)) return false;
  finding->node = root;
  finding_say(view, finding, "writing the result out took %.0f of %.0f ms: %s kB", ms, whole(view),
              finding_number(view->arena, view->plan->serialized_kb));
  stake_ms(view, finding, ms * 0.8);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "serialization_ms", ms, "output_kb", view->plan->serialized_kb));
  return true;
}

bool look_disabled_node(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  bool disabled = json_is_true(json_object_get(node->fields, "Disabled"));
  bool costly = node->total_cost >= DISABLED_COST;
  for (size_t i = 0; costly && i < node->child_count; i++) costly = node->children[i]->total_cost < DISABLED_COST;
  if (!disabled && !costly) return false;
  finding->anchor = view->plan->root; /* the setting is the cause: settings would say the same */
  finding_say(view, finding, "%s is used although a setting (enable_… = off) forbids it: there is no other way",
              plan_name(view->plan, node));
  finding_stake(finding, node, 0.5);
  if (costly) finding->cost_at_stake = 0;
  finding_shows(view, finding, json_pack("{s:f, s:b}", "total_cost", node->total_cost, "disabled", disabled));
  return true;
}

bool look_settings(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  const char *name, *off = NULL;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)view->plan->settings, name, value) {
    bool disabled = strncmp(name, "enable_", 7) == 0 && json_is_string(value) && strcmp(json_string_value(value), "off") == 0;
    if (disabled) off = off ? arena_printf(view->arena, "%s, %s", off, name) : name;
  }
  if (!off) return false;
  finding_say(view, finding, "the planner may not use all it knows: %s = off", off);
  finding_stake(finding, root, 0);
  finding_shows(view, finding, json_pack("{s:s}", "settings", off));
  return true;
}

bool look_workers_missing(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  bool gather = plan_is(node, "Gather") || plan_is(node, "Gather Merge");
  if (!gather || node->workers_launched < 0 || node->loops < 1 || node->workers_launched >= node->workers_planned) return false;
  finding_say(view, finding, "%.0f workers were planned and %.0f started: max_parallel_workers or max_worker_processes was used up",
              node->workers_planned, node->workers_launched);
  double share = 1 - (node->workers_launched + 1) / (node->workers_planned + 1);
  finding->time_at_stake_ms = node->total_ms >= 0 ? node->total_ms * share : PLAN_UNKNOWN;
  finding->cost_at_stake = node->inclusive_cost * share;
  finding_shows(view, finding, json_pack("{s:f, s:f}", "planned", node->workers_planned, "launched", node->workers_launched));
  return true;
}

/* Settings, locks and writes keep workers away; unsafe functions do, too, but a plan does not name them. */
bool look_parallel_blocked(const struct finding_view *view, const struct plan_node *root, struct finding *finding) {
  const struct plan_node *large = NULL;
  const char *why = finding_setting(view, "max_parallel_workers_per_gather", 2) == 0 ? "max_parallel_workers_per_gather is 0" : NULL;
  for (size_t i = 0; i < view->plan->count; i++) {
    const struct plan_node *node = view->plan->nodes[i];
    if (plan_is(node, "Gather") || plan_is(node, "Gather Merge")) return false;
    if (plan_is(node, "LockRows")) why = "FOR UPDATE and FOR SHARE run without workers";
    if (plan_is(node, "Seq Scan") && finding_rows_read(node) >= PARALLEL_ROWS && node->loops <= 1 && !large) large = node;
  }
  if (!why || !large) return false;
  finding->node = large;
  finding->anchor = root;
  finding_say(view, finding, "%s, %s rows, is read by one process: %s", plan_relation(view->plan, large),
              finding_number(view->arena, finding_rows_read(large)), why);
  finding_stake(finding, large, 0.5);
  finding_shows(view, finding, json_pack("{s:s, s:f}", "relation", plan_relation(view->plan, large), "rows", finding_rows_read(large)));
  return true;
}

bool look_parallel_skew(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  const json_t *workers = json_object_get(node->fields, "Workers"), *worker;
  double most = 0, least = -1;
  size_t index, count = 0;
  json_array_foreach(workers, index, worker) {
    const json_t *rows = json_object_get(worker, "Actual Rows");
    double value = json_number_value(rows) * (double)json_int(worker, "Actual Loops", 1);
    if (!rows) continue;
    count++;
    if (value > most) most = value;
    if (least < 0 || value < least) least = value;
  }
  bool produces = plan_is_scan(node) || plan_is(node, "Append") || plan_is(node, "Aggregate");
  if (!produces || count < 2 || most < 10000 || most <= 3 * least) return false;
  finding_say(view, finding, "one worker did most of %s: %s rows, another %s", plan_name(view->plan, node),
              finding_number(view->arena, most), finding_number(view->arena, least));
  finding_stake(finding, node, 0.3);
  finding_shows(view, finding, json_pack("{s:f, s:f}", "most_rows", most, "least_rows", least));
  return true;
}

bool look_lock_rows(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  if (!plan_is(node, "LockRows") || node->rows < 1000) return false;
  finding_say(view, finding, "%s rows are locked, each written to", finding_number(view->arena, node->rows));
  finding_stake(finding, node, 0.8);
  finding_shows(view, finding, json_pack("{s:f}", "rows", node->rows));
  return true;
}

bool look_wal_volume(const struct finding_view *view, const struct plan_node *node, struct finding *finding) {
  double bytes = plan_number(node, "WAL Bytes", 0);
  if (!plan_is(node, "ModifyTable") || bytes < WAL_BYTES) return false;
  const struct plan_node *input = plan_child(node, PLAN_OUTER);
  double rows = node->rows > 0 ? node->rows : input && input->rows > 0 ? input->rows : 1;
  finding_say(view, finding, "%s writes %.0f MiB of WAL, %.0f bytes a row", node->operation ? node->operation : "it", bytes / (1 << 20),
              bytes / rows);
  finding_stake(finding, node, 0.3);
  finding_shows(view, finding,
                json_pack("{s:f, s:f, s:f}", "wal_bytes", bytes, "rows", rows, "full_page_images", plan_number(node, "WAL FPI", 0)));
  return true;
}
