/* safer/script.c - steps to text: one section per transaction, timeouts where a lock may have to be waited for, comments in place. */
#include "common/buf.h"
#include "common/json.h"
#include "worker/migration/safer/plan.h"
#include "worker/migration/safer/safer.h"

/* --- comments of the source --- */

static const char *end_of_block(const char *at, const char *to) {
  int depth = 0;
  do {
    bool opens = at + 1 < to && at[0] == '/' && at[1] == '*', closes = at + 1 < to && at[0] == '*' && at[1] == '/';
    depth += opens - closes;
    at += opens || closes ? 2 : 1;
  } while (depth && at < to);
  return at;
}

const char *safer_comments(struct arena *arena, const char *from, const char *to) {
  const char *text = NULL;
  for (const char *at = from; at < to;) {
    bool line = to - at > 1 && at[0] == '-' && at[1] == '-', block = to - at > 1 && at[0] == '/' && at[1] == '*';
    const char *end = at + 1;
    if (line) end = at + strcspn(at, "\r\n");
    if (block) end = end_of_block(at, to);
    if (end > to) end = to;
    if (line || block) text = arena_printf(arena, "%s%s%.*s", text ? text : "", text ? "\n" : "", (int)(end - at), at);
    at = end;
  }
  return text;
}

/* --- sections --- */

struct layout {
  const struct safer_plan *plan;
  const struct safer_step *steps;
  size_t count;
  const char *session_timeout; /* SET lock_timeout of the source, in force from here on */
  struct buf *out;
};

static const struct safer_group *group_of(const struct safer_plan *plan, const struct safer_step *step) {
  static const struct safer_group none;
  for (size_t i = 0; i < plan->groups.count; i++)
    if (plan->groups.items[i].transaction == step->transaction) return &plan->groups.items[i];
  return &none;
}

static bool continues(const struct safer_step *former, const struct safer_step *step) {
  if (step->place == SAFER_SAME) return true;
  return step->place == SAFER_JOIN && former->place == SAFER_JOIN && former->transaction == step->transaction;
}

static size_t section_end(const struct layout *layout, size_t from, size_t to) {
  size_t end = from + 1;
  while (end < to && layout->steps[from].place != SAFER_OUTSIDE && continues(&layout->steps[end - 1], &layout->steps[end])) end++;
  return end;
}

static const PgQuery__VariableSetStmt *as_set(const struct layout *layout, const struct safer_step *step) {
  const PgQuery__Node *node = layout->plan->analysis->statements[step->statement].source->node;
  return !step->route && node->node_case == PG_QUERY__NODE__NODE_VARIABLE_SET_STMT ? node->variable_set_stmt : NULL;
}

static bool wants_timeout(const struct layout *layout, const struct safer_group *group, size_t from, size_t to) {
  if (layout->plan->analysis->lock_timeout_ms > 0 || layout->session_timeout) return false;
  for (size_t i = 0; i < group->settings.count; i++)
    if (strcasestr(group->settings.items[i], "lock_timeout")) return false;
  bool strong = false;
  for (size_t i = from; i < to; i++) {
    const PgQuery__VariableSetStmt *set = as_set(layout, &layout->steps[i]);
    if (set && strcmp(set->name, "lock_timeout") == 0) return false;
    strong |= layout->steps[i].strong;
  }
  return strong;
}

static void put_comments(struct layout *layout, const struct safer_step *step) {
  if (step->comments) buf_printf(layout->out, "%s\n", step->comments);
}

static void put_note(struct layout *layout, const struct safer_step *step) {
  const struct sql_statement *source = layout->plan->analysis->statements[step->statement].source;
  if (step->route) buf_printf(layout->out, "-- for line %d (%s): %s\n", source->at.line, step->route->id, step->note);
}

static void remember_timeout(struct layout *layout, const struct safer_step *step) {
  const PgQuery__VariableSetStmt *set = as_set(layout, step);
  if (!set || set->is_local || strcmp(set->name, "lock_timeout") != 0) return;
  layout->session_timeout = set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE ? step->sql : NULL;
}

/* A lock_timeout of the session would end CONCURRENTLY half-way, and leave an invalid index. */
static void put_outside(struct layout *layout, const struct safer_step *step) {
  bool pause = layout->session_timeout && step->note == safer_outside;
  put_comments(layout, step);
  put_note(layout, step);
  if (pause) buf_puts(layout->out, "SET lock_timeout = 0;\n");
  buf_printf(layout->out, "%s;\n", step->sql);
  if (pause) buf_printf(layout->out, "%s;\n", layout->session_timeout);
}

static void put_transaction(struct layout *layout, size_t from, size_t to) {
  const struct safer_group *group = group_of(layout->plan, &layout->steps[from]);
  put_comments(layout, &layout->steps[from]);
  put_note(layout, &layout->steps[from]);
  buf_printf(layout->out, "%s;\n", group->begin ? group->begin : "BEGIN");
  for (size_t i = 0; i < group->settings.count; i++) buf_printf(layout->out, "%s;\n", group->settings.items[i]);
  if (wants_timeout(layout, group, from, to)) buf_puts(layout->out, "SET LOCAL lock_timeout = '" SAFER_LOCK_TIMEOUT "';\n");
  for (size_t i = from; i < to; i++) {
    if (i > from) put_comments(layout, &layout->steps[i]);
    buf_printf(layout->out, "%s;\n", layout->steps[i].sql);
    remember_timeout(layout, &layout->steps[i]);
  }
  buf_printf(layout->out, "%s;\n", group->end ? group->end : "COMMIT");
}

static void put_steps(struct layout *layout, size_t from, size_t to) {
  for (size_t end; from < to; from = end) {
    end = section_end(layout, from, to);
    if (layout->out->len) buf_putc(layout->out, '\n');
    if (layout->steps[from].place == SAFER_OUTSIDE)
      put_outside(layout, &layout->steps[from]);
    else
      put_transaction(layout, from, end);
  }
}

/* All steps in the order they run. */
static bool lay_out(const struct safer_plan *plan, struct layout *ret) {
  struct safer_step *all = arena_calloc(plan->arena, plan->steps.count + plan->later.count + 1, sizeof *all);
  if (!all) return false;
  if (plan->steps.count) memcpy(all, plan->steps.items, plan->steps.count * sizeof *all);
  if (plan->later.count) memcpy(all + plan->steps.count, plan->later.items, plan->later.count * sizeof *all);
  *ret = (struct layout){.plan = plan, .steps = all, .count = plan->steps.count + plan->later.count};
  return true;
}

/* --- phases --- */

static const struct {
  const char *name, *what;
} phases[] = {
    [SAFER_EXPAND] = {"expand", "adds what the new code needs; old code goes on working"},
    [SAFER_BACKFILL] = {"backfill", "fills the existing rows and builds indexes while everybody works; may take long"},
    [SAFER_SWITCH] = {"switch", "one short transaction after which the new form is the one in use"},
    [SAFER_CONTRACT] = {"contract", "removes the bridge: only when no running code needs it any more"},
};

/* The first step of the next phase; kept statements go with the phase they stand in. */
static size_t phase_end(const struct layout *layout, size_t from, enum safer_phase phase) {
  size_t end = from;
  while (end < layout->count && (layout->steps[end].phase == SAFER_ANY || layout->steps[end].phase == phase)) end++;
  return end;
}

static enum safer_phase phase_at(const struct layout *layout, size_t from) {
  for (size_t i = from; i < layout->count; i++)
    if (layout->steps[i].phase != SAFER_ANY) return layout->steps[i].phase;
  return SAFER_EXPAND;
}

static const char *finish(const struct safer_plan *plan, const struct buf *out) {
  return buf_ok(out) ? arena_strndup(plan->arena, buf_str(out), out->len) : NULL;
}

const char *safer_script_text(const struct safer_plan *plan) {
  struct layout layout;
  BUF_AUTO out;
  buf_init(&out, SAFER_SCRIPT_BYTES);
  if (!lay_out(plan, &layout)) return NULL;
  layout.out = &out;
  for (size_t from = 0, end; from < layout.count; from = end) {
    enum safer_phase phase = phase_at(&layout, from);
    end = plan->phased ? phase_end(&layout, from, phase) : layout.count;
    if (plan->phased) buf_printf(&out, "%s-- phase %s: %s\n", out.len ? "\n" : "", phases[phase].name, phases[phase].what);
    put_steps(&layout, from, end);
  }
  if (plan->trailing) buf_printf(&out, "%s\n", plan->trailing);
  return finish(plan, &out);
}

json_t *safer_script_phases(const struct safer_plan *plan) {
  struct layout layout;
  if (!plan->phased || !lay_out(plan, &layout)) return json_null();
  json_t *list = json_array();
  for (size_t from = 0, end; from < layout.count; from = end) {
    BUF_AUTO out;
    buf_init(&out, SAFER_SCRIPT_BYTES);
    layout.out = &out;
    enum safer_phase phase = phase_at(&layout, from);
    end = phase_end(&layout, from, phase);
    put_steps(&layout, from, end);
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:s}", "name", phases[phase].name, "explanation", phases[phase].what, "script", buf_str(&out)));
  }
  return list;
}

/* --- in words --- */

static size_t transactions_of(const struct analysis *analysis) {
  size_t count = 0;
  for (size_t i = 0; i < analysis->count; i++) {
    int mine = analysis->statements[i].transaction;
    if (!mine || i == 0 || mine != analysis->statements[i - 1].transaction) count++;
  }
  return count;
}

static void explain_transactions(const struct safer_plan *plan, struct buf *out) {
  struct layout layout;
  if (!lay_out(plan, &layout)) return;
  size_t before = transactions_of(plan->analysis), after = 0, outside = 0;
  for (size_t from = 0; from < layout.count; from = section_end(&layout, from, layout.count), after++)
    outside += layout.steps[from].place == SAFER_OUTSIDE;
  if (after > before)
    buf_printf(out,
               "It runs in %zu steps that commit one by one (%zu of them outside of any transaction), the original in %zu: if it stops "
               "part-way, what is committed stays. Go on from the step that failed.\n",
               after, outside, before);
  for (size_t i = 0; i < plan->replaced.count; i++) {
    const struct statement *statement = &plan->analysis->statements[plan->replaced.items[i].statement];
    for (size_t g = 0; g < plan->groups.count; g++) {
      if (plan->groups.items[g].transaction != statement->transaction || !plan->groups.items[g].begin) continue;
      buf_printf(out, "The transaction around line %d is split: what it did all or nothing, it no longer does.\n",
                 statement->source->at.line);
    }
  }
}

const char *safer_explanation(const struct safer_plan *plan) {
  BUF_AUTO out;
  buf_init(&out, SAFER_SCRIPT_BYTES);
  for (size_t i = 0; i < plan->replaced.count; i++) {
    const struct safer_replaced *one = &plan->replaced.items[i];
    const struct statement *statement = &plan->analysis->statements[one->statement];
    buf_printf(&out, "Statement %zu, line %d (%s): %s.", one->statement + 1, statement->source->at.line, statement->effect.operation,
               one->route->change);
    if (one->route->watch) buf_printf(&out, " %s", one->route->watch);
    buf_putc(&out, '\n');
  }
  explain_transactions(plan, &out);
  if (plan->phased) buf_puts(&out, "Deploy it phase by phase: see `phases`.\n");
  if (plan->reordered) buf_puts(&out, "The schema it ends in differs from the original's only in the order of columns.\n");
  return finish(plan, &out);
}
