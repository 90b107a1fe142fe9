/* agreement.c - comparing sets of locks, rewrites and scans.
 *
 * A lock already held by the transaction can't be seen a second time, so what is held counts as seen. Plain reads (AccessShare) that a
 * trigger or function adds are not held against a prediction, and which plan a DML statement got over 15 rows says nothing. */
#include "worker/migration/agreement.h"

#include "common/json.h"
#include "common/log.h"
#include "worker/migration/observed.h"
#include "worker/migration/rules.h"

static enum lock_mode mode_of(const struct sandbox_lock *locks, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(locks[i].relation, name) == 0) return lockmode_parse(locks[i].mode);
  return LOCK_NONE;
}

/* Strongest mode an earlier statement of the same transaction was seen to take. */
static enum lock_mode held_before(const struct analysis *analysis, size_t index, const char *name) {
  enum lock_mode held = LOCK_NONE;
  for (size_t i = index; i-- > 0 && analysis->statements[i].transaction == analysis->statements[index].transaction;) {
    const struct sandbox_step *step = analysis->statements[i].step;
    enum lock_mode mode = step ? mode_of(step->locks, step->lock_count, name) : LOCK_NONE;
    if (mode > held) held = mode;
  }
  return held;
}

static bool changes_rows(const struct statement *statement) {
  switch (statement->source->node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT:
  case PG_QUERY__NODE__NODE_COPY_STMT: return true;
  default: return false;
  }
}

static bool renamed_before(const struct analysis *analysis, size_t index) {
  for (size_t i = index; i-- > 0 && analysis->statements[i].transaction == analysis->statements[index].transaction;)
    if (effect_find(&analysis->statements[i].effect, FACT_RENAME_TABLE) || effect_find(&analysis->statements[i].effect, FACT_SET_SCHEMA))
      return true;
  return false;
}

/* Keys are looked at row by row, and so are those who refer to it: not at all when no row of the clone was concerned. */
static bool needs_rows(const struct statement *statement, const struct seen_lock *lock) {
  return changes_rows(statement) && lock->mode <= LOCK_ROW_EXCLUSIVE && statement->tables.count &&
         strcmp(statement->tables.items[0], lock->name) != 0;
}

static bool locks_agree(const struct analysis *analysis, size_t index, const struct sandbox_step *step) {
  const struct statement *statement = &analysis->statements[index];
  bool sampled = statement->effect.transaction == TX_NEVER; /* seen in passing: absence proves nothing */
  for (size_t i = 0; i < statement->locks.count; i++) {
    const struct seen_lock *lock = &statement->locks.items[i];
    enum lock_mode seen = mode_of(step->locks, step->lock_count, lock->name);
    if (seen == lock->mode || (sampled && seen < lock->mode)) continue;
    if (seen <= LOCK_ACCESS_SHARE && needs_rows(statement, lock)) continue;
    if (lock->created && seen < lock->mode) continue;                   /* its creator holds it already */
    if (seen < lock->mode && renamed_before(analysis, index)) continue; /* held, under another name */
    if (seen == LOCK_NONE && mode_of(step->held, step->held_count, lock->name) != LOCK_NONE) continue;
    if (held_before(analysis, index, lock->name) >= lock->mode && seen < lock->mode) continue;
    return false;
  }
  for (size_t i = 0; i < step->lock_count; i++) {
    enum lock_mode mode = lockmode_parse(step->locks[i].mode);
    bool predicted = mode == LOCK_ACCESS_SHARE || (mode <= LOCK_ROW_EXCLUSIVE && changes_rows(statement)); /* partitions rows went to */
    for (size_t l = 0; l < statement->locks.count; l++) predicted |= strcmp(statement->locks.items[l].name, step->locks[i].relation) == 0;
    if (!predicted) return false;
  }
  return true;
}

static bool rows_changed_before(const struct analysis *analysis, size_t index) {
  for (size_t i = index; i-- > 0 && analysis->statements[i].transaction == analysis->statements[index].transaction;)
    if (changes_rows(&analysis->statements[i])) return true;
  return false;
}

/* A key's check never reads the referenced table when the migration has just left no row that refers to it. */
static bool scans_agree(const struct analysis *analysis, size_t index) {
  const struct statement *statement = &analysis->statements[index];
  const struct sandbox_step *step = statement->step;
  const char *const *said = (const char *const *)statement->scans.items;
  if (list_same(said, statement->scans.count, step->scans, step->scan_count)) return true;
  if (!effect_find(&statement->effect, FACT_FK_SCAN) || !rows_changed_before(analysis, index)) return false;
  for (size_t i = 0; i < step->scan_count; i++)
    if (!list_has(said, statement->scans.count, step->scans[i])) return false;
  return step->scan_count > 0;
}

static bool plans(const struct statement *statement) {
  switch (statement->source->node->node_case) {
  case PG_QUERY__NODE__NODE_SELECT_STMT:
  case PG_QUERY__NODE__NODE_INSERT_STMT:
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
  case PG_QUERY__NODE__NODE_DELETE_STMT:
  case PG_QUERY__NODE__NODE_MERGE_STMT:
  case PG_QUERY__NODE__NODE_TRUNCATE_STMT:
  case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
  case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT: return true;
  default: return statement->effect.transaction == TX_NEVER;
  }
}

static bool failure_predicted(const struct statement *statement, const struct error *error) {
  const json_t *state = json_object_get(error->details, "sqlstate");
  for (size_t i = 0; i < statement->effect.checks.count; i++) {
    const struct effect_check *check = &statement->effect.checks.items[i];
    if (check->sqlstate && json_is_string(state) && strcmp(check->sqlstate, json_string_value(state)) == 0 &&
        check->verdict != VERDICT_PROVEN)
      return true;
  }
  return false;
}

/* What the rows of the clone kept from being tried is told. */
static void tell_untried(const struct analysis *analysis, struct statement *statement) {
  if (!statement->depends_on_rows) return;
  const struct error *error = &statement->row_error;
  const char *detail = arena_printf(analysis->arena, "%s: %s", json_str(error->details, "sqlstate", ""), error->message);
  const struct effect_fact untried = {FACT_DEPENDS_ON_ROWS, NULL, statement->effect.operation, detail};
  rules_note(analysis, statement, &untried, statement->source->at.line);
}

static enum agreement judge(const struct analysis *analysis, size_t index) {
  const struct statement *statement = &analysis->statements[index];
  const struct sandbox_step *step = statement->step;
  if (!step || statement->depends_on_rows) return AGREEMENT_UNVERIFIABLE;
  if (!step->ok && changes_rows(statement)) return AGREEMENT_UNVERIFIABLE; /* over made-up rows */
  if (!step->ok) return failure_predicted(statement, &step->error) ? AGREEMENT_AGREED : AGREEMENT_CONTRADICTED;
  if (statement->effect.opaque) return AGREEMENT_UNVERIFIABLE;
  bool other_server = analysis->engine != analysis->shadow->version / 10000;
  if (other_server && effect_find(&statement->effect, FACT_OTHER_SERVER)) return AGREEMENT_UNVERIFIABLE;
  if (effect_failure(&statement->effect)) {
    const char *sqlstate = effect_failure(&statement->effect)->sqlstate;
    bool rows = strncmp(sqlstate, "23", 2) == 0 || strncmp(sqlstate, "22", 2) == 0; /* about rows only production has */
    return rows ? AGREEMENT_UNVERIFIABLE : AGREEMENT_CONTRADICTED;
  }
  bool agree = locks_agree(analysis, index, step) &&
               list_same((const char *const *)statement->rewrites.items, statement->rewrites.count, step->rewrites, step->rewrite_count) &&
               (plans(statement) || scans_agree(analysis, index));
  if (agree) return AGREEMENT_AGREED;
  return other_server ? AGREEMENT_UNVERIFIABLE : AGREEMENT_CONTRADICTED; /* majors differ in what they lock */
}

void agreement_judge(struct analysis *analysis) {
  for (size_t i = 0; i < analysis->count; i++) {
    struct statement *statement = &analysis->statements[i];
    statement->agreement = judge(analysis, i);
    tell_untried(analysis, statement);
    if (statement->agreement == AGREEMENT_CONTRADICTED)
      log_event(LOG_WARN, "prediction contradicted by the sandbox", "operation", statement->effect.operation, "statement",
                log_fmt("%zu", i), NULL);
  }
  observed_apply(analysis);
}
