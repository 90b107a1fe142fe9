/* safer/prove.c - judged, run, compared: what a rewritten script has to go through before it is offered. */
#include "worker/migration/safer/safer.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/pg.h"
#include "worker/migration/safer/plan.h"

struct proving {
  struct safer *safer;
  const struct sandbox_setup *original;
  struct safer_plan *plan;
  struct analysis *analysis; /* of the new script */
  const struct safer_step **steps;
  struct sandbox_setup setup;
  const char *script, *expected; /* expected: the original's dump, once it was needed */
  bool *skip;
  json_t *timings; /* milliseconds of this attempt, by phase */
  int64_t since_ms;
  size_t blamed; /* the statement of the original whose route failed; analysis->count: none in particular */
  const char *why;
};

/* Which step each statement of the script came from; the transactions' own statements have none. */
static bool map_steps(struct proving *proving) {
  const struct safer_plan *plan = proving->plan;
  size_t total = plan->steps.count + plan->later.count, seen = 0;
  proving->steps = arena_calloc(plan->arena, proving->analysis->count + 1, sizeof *proving->steps);
  for (size_t i = 0; proving->steps && i < proving->analysis->count && seen < total; i++) {
    const struct safer_step *step = seen < plan->steps.count ? &plan->steps.items[seen] : &plan->later.items[seen - plan->steps.count];
    if (strcmp(step->sql, proving->analysis->statements[i].source->text) != 0) continue;
    proving->steps[i] = step;
    seen++;
  }
  return proving->steps && seen == total;
}

static const struct safer_step *step_of(const struct proving *proving, size_t index) { return proving->steps[index]; }

static void blame(struct proving *proving, size_t index, const char *why) {
  const struct safer_step *step = step_of(proving, index);
  proving->blamed = step && step->route ? step->statement : proving->safer->analysis->count;
  proving->why = why;
}

static void lap(struct proving *proving, const char *name) {
  int64_t now = clock_mono_ms();
  json_object_set_new(proving->timings, name, json_integer(now - proving->since_ms));
  proving->since_ms = now;
}

/* --- judged --- */

static bool blocks(char kind, enum lock_mode mode) {
  return kind == SNAP_MATVIEW ? lockmode_blocks_reads(mode) : lockmode_blocks_writes(mode); /* nobody writes to one */
}

static bool predicts_block(const struct effect *effect) {
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    if (lock->rel->created || lock->rel->empty || lock->rel->t->kind == SNAP_VIEW || !blocks((char)lock->rel->t->kind, lock->mode))
      continue;
    if (effect_scans(effect, lock->rel) || effect_rewrites(effect, lock->rel)) return true;
  }
  return false;
}

/* What is lost in the end, what changes for applications and which rows can make it fail is the same for both: a rewritten statement counts
 * what it makes others wait for, and the rest of the one it was written for. Being known only by running it costs nothing once it was run.
 */
static bool about_outcome(const char *code) {
  static const char *const codes[] = {"data-loss",    "behaviour", "irreversible", "dependents",
                                      "foreign-keys", "opaque",    "will-fail",    "may-fail"};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
    if (strcmp(codes[i], code) == 0) return true;
  return false;
}

static int points(const struct statement *statement, bool outcome) {
  int sum = 0;
  for (size_t i = 0; i < statement->factors.count; i++)
    if (about_outcome(statement->factors.items[i].code) == outcome) sum += statement->factors.items[i].points;
  return sum;
}

static int score_after(const struct proving *proving) {
  int worst = 0;
  for (size_t i = 0; i < proving->analysis->count; i++) {
    const struct statement *statement = &proving->analysis->statements[i];
    const struct safer_step *step = step_of(proving, i);
    bool written = step && step->route;
    int score =
        written ? points(statement, false) + points(&proving->safer->analysis->statements[step->statement], true) : statement->score;
    if (score > worst) worst = score;
  }
  return worst > 100 ? 100 : worst;
}

static bool holds_by_judgement(struct proving *proving) {
  for (size_t i = 0; i < proving->analysis->count; i++) {
    const struct safer_step *step = step_of(proving, i);
    const struct statement *statement = &proving->analysis->statements[i];
    if (!step || !step->route || !predicts_block(&statement->effect)) continue;
    blame(proving, i, "a rewritten statement would still block");
    return false;
  }
  if (score_after(proving) <= proving->safer->analysis->score) return true;
  proving->blamed = proving->safer->analysis->count;
  proving->why = "the risk is not lower";
  return false;
}

static enum status judge(struct proving *proving, struct error *err) {
  const struct analysis *before = proving->safer->analysis;
  const struct analysis_options how = {.target_version = before->shadow->version,
                                       .lock_timeout_ms = before->lock_timeout_ms,
                                       .dump = NULL}; /* nobody asks for its way back */
  enum status status =
      analysis_static(proving->script, strlen(proving->script), before->snapshot, &how, before->arena, &proving->analysis, err);
  if (status) return status;
  proving->analysis->dump = before->dump;
  for (size_t i = 0; i < proving->analysis->count; i++) proving->analysis->statements[i].rollback = (struct rollback_step){0};
  return OK;
}

/* --- observed --- */

static bool made_before(const struct proving *proving, size_t index, const char *name) {
  for (size_t i = 0; i <= index; i++) {
    const struct sandbox_step *step = proving->analysis->statements[i].step;
    for (size_t c = 0; step && c < step->created_count; c++)
      if (strcmp(step->created[c], name) == 0) return true;
  }
  return false;
}

static bool locked(const struct sandbox_lock *locks, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(locks[i].relation, name) == 0 && blocks(locks[i].relkind, lockmode_parse(locks[i].mode))) return true;
  return false;
}

static bool seen_block(const struct proving *proving, size_t index) {
  const struct sandbox_step *step = proving->analysis->statements[index].step;
  const char *const *lists[] = {step->scans, step->rewrites};
  const size_t counts[] = {step->scan_count, step->rewrite_count};
  for (int list = 0; list < 2; list++)
    for (size_t i = 0; i < counts[list]; i++) {
      const char *name = lists[list][i];
      if (made_before(proving, index, name)) continue;
      if (locked(step->locks, step->lock_count, name) || locked(step->held, step->held_count, name)) return true;
    }
  return false;
}

static bool holds_in_sandbox(struct proving *proving, const struct sandbox_failure *failure) {
  if (failure->failed) {
    blame(proving, failure->statement, arena_strdup(proving->safer->job->arena, failure->error.message));
    return false;
  }
  for (size_t i = 0; i < proving->analysis->count; i++) {
    const struct safer_step *step = step_of(proving, i);
    if (!step || !step->route || !proving->analysis->statements[i].step || !seen_block(proving, i)) continue;
    blame(proving, i, "a rewritten statement was seen to block");
    return false;
  }
  return true;
}

/* --- the same end --- */

static enum status compare(struct proving *proving, bool *ret_same, struct error *err) {
  struct arena *arena = proving->safer->job->arena;
  const char *mine = NULL;
  enum status status = sandbox_alike(proving->setup.sandbox, proving->original->sandbox, arena, ret_same, err);
  if (status || *ret_same) return status;
  if (!proving->expected) status = sandbox_dump(proving->original->sandbox, arena, &proving->expected, err);
  if (!status) status = sandbox_dump(proving->setup.sandbox, arena, &mine, err);
  if (!status) *ret_same = safer_same_schema(arena, proving->expected, mine, proving->plan->reordered);
  return status;
}

/* A clone's materialised views are empty until refreshed, and an empty one can't be refreshed CONCURRENTLY. */
static enum status populate(struct proving *proving, struct error *err) {
  PGCONN_AUTO conn = NULL;
  const struct safer_plan *plan = proving->plan;
  enum status status = OK;
  for (size_t i = 0; !status && i < plan->replaced.count; i++) {
    if (plan->replaced.items[i].route->fact != FACT_REFRESH_BLOCKING) continue;
    const struct statement *statement = &plan->analysis->statements[plan->replaced.items[i].statement];
    if (!conn) status = sandbox_connect_migrator(proving->setup.sandbox, &conn, err);
    if (!status) status = pg_script(conn, log_fmt("SET statement_timeout = %d", SANDBOX_STATEMENT_MS), err);
    if (!status) status = pg_script(conn, statement->source->text, err);
  }
  return status;
}

static enum status run(struct proving *proving, bool *ret_holds, struct error *err) {
  struct sandbox_failure failure;
  struct job *job = proving->safer->job;
  json_t *ignored = arena_json(job->arena, json_pack("{s:i, s:i, s:[], s:[], s:{}}", "tables_created", 0, "rows_inserted", 0,
                                                     "missing_extensions", "problems", "timings"));
  if (!ignored) return error_oom(err);
  enum status status =
      sandbox_setup_run(job, proving->analysis, proving->safer->options->rows_per_table, false, ignored, &proving->setup, err);
  lap(proving, "setup");
  if (!status) status = populate(proving, err);
  if (!status) status = sandbox_step_trace(proving->setup.sandbox, proving->analysis, &failure, err);
  lap(proving, "run");
  if (status || !holds_in_sandbox(proving, &failure)) return status;
  status = compare(proving, ret_holds, err);
  lap(proving, "compare");
  if (status || *ret_holds) return status;
  proving->blamed = proving->safer->analysis->count;
  proving->why = "it ends in another schema";
  return OK;
}

/* --- attempts --- */

static json_t *replaced_json(const struct safer_plan *plan) {
  json_t *list = json_array();
  for (size_t i = 0; i < plan->replaced.count; i++) {
    const struct safer_replaced *one = &plan->replaced.items[i];
    json_array_append_new(
        list, json_pack("{s:I, s:s, s:s}", "statement", (json_int_t)one->statement, "finding", one->finding, "route", one->route->id));
  }
  return list;
}

static json_t *offer(struct proving *proving) {
  const struct safer_plan *plan = proving->plan;
  const char *explanation = safer_explanation(plan);
  if (!explanation) return NULL;
  json_t *result =
      json_pack("{s:s, s:s, s:b, s:o, s:o, s:b, s:i, s:i}", "script", proving->script, "explanation", explanation, "sandbox_passed", true,
                "replaced", replaced_json(plan), "phases", safer_script_phases(plan), "column_order_differs", plan->reordered,
                "score_before", proving->safer->analysis->score, "score_after", score_after(proving));
  return arena_json(proving->safer->job->arena, result);
}

static bool is_phase(const struct safer_route *route) {
  return route->fact == FACT_RENAME_TABLE || route->fact == FACT_RENAME_COLUMN || route->fact == FACT_SET_SCHEMA ||
         route->fact == FACT_TYPE_REWRITE || route->fact == FACT_TYPE_REINDEX;
}

/* Leaves every statement in phases but `but` out of the next plan; whether there was one, and something else is left to offer. */
static bool drop_phases(struct proving *proving, size_t but) {
  const struct safer_plan *plan = proving->plan;
  bool some = false, all = true;
  for (size_t i = 0; i < plan->replaced.count; i++) {
    const struct safer_replaced *one = &plan->replaced.items[i];
    bool phase = is_phase(one->route);
    if (phase && one->statement == but) return false;
    some |= phase;
    all &= phase;
  }
  for (size_t i = 0; some && !all && i < plan->replaced.count; i++)
    if (is_phase(plan->replaced.items[i].route)) proving->skip[plan->replaced.items[i].statement] = true;
  return some && !all;
}

/* What the next plan does without: bridges, which may stand in the way of any statement after them; else the one that failed. False when
 * nothing is left to try. */
static bool give_way(struct proving *proving) {
  if (drop_phases(proving, proving->blamed)) return true;
  if (proving->blamed >= proving->safer->analysis->count) return false;
  proving->skip[proving->blamed] = true;
  return true;
}

static const char *phases(const struct proving *proving) {
  char *text = json_dumps(proving->timings, JSON_COMPACT | JSON_PRESERVE_ORDER);
  const char *shown = log_fmt("%s", text ? text : "");
  free(text);
  return shown;
}

static enum status attempt(struct proving *proving, bool *ret_holds, struct error *err) {
  const struct analysis *original = proving->safer->analysis;
  *ret_holds = false;
  proving->script = NULL;
  proving->timings = arena_json(original->arena, json_object());
  proving->since_ms = clock_mono_ms();
  enum status status = safer_plan_make(original, proving->skip, &proving->plan, err);
  if (status || !proving->plan) return status;
  proving->script = safer_script_text(proving->plan);
  if (!proving->script) return error_oom(err);
  status = judge(proving, err);
  if (status) return status;
  const char *fault = proving->analysis->script.fault.message;
  if (proving->analysis->script.fault.sqlstate || !map_steps(proving)) {
    proving->blamed = original->count;
    proving->why = fault ? fault : "the script does not split into its steps";
    return OK;
  }
  bool held = holds_by_judgement(proving);
  lap(proving, "judge");
  if (!held) return OK;
  status = run(proving, ret_holds, err);
  sandbox_close(proving->setup.sandbox);
  proving->setup = (struct sandbox_setup){0};
  return status;
}

void safer_run(void *arg, const struct sandbox_setup *original) {
  ERROR_AUTO err = {0};
  struct safer *safer = arg;
  struct proving proving = {.safer = safer, .original = original};
  proving.skip = arena_calloc(safer->job->arena, safer->analysis->count + 1, sizeof *proving.skip);
  if (!proving.skip) return;
  for (int tried = 0; tried < SAFER_ATTEMPTS; tried++) {
    bool holds = false;
    if (attempt(&proving, &holds, &err)) {
      log_event(LOG_WARN, "a safer migration could not be tried", "reason", err.message, NULL);
      return;
    }
    if (!proving.plan) return;
    log_event(LOG_DEBUG, "a safer migration was tried", "ms", phases(&proving), NULL);
    if (holds) {
      safer->result = offer(&proving);
      return;
    }
    log_event(LOG_INFO, "a safer migration did not hold", "reason", proving.why, NULL);
    if (!give_way(&proving)) return;
  }
}
