/* observed.c - only relations production has count: what an earlier statement of the migration made blocks nobody. */
#include "worker/migration/observed.h"

#include "worker/migration/rules.h"
#include "worker/migration/score.h"

/* By the name it had when the statement ran; a relation renamed since is not found, and its lock stays in the report's list alone. */
static struct rel *relation(const struct analysis *analysis, const char *name) {
  for (size_t i = 0; i < analysis->shadow->rels.count; i++)
    if (strcmp(analysis->shadow->rels.items[i]->t->qualified, name) == 0) return analysis->shadow->rels.items[i];
  return NULL;
}

static bool lists(const char *const *names, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

static void note(const struct analysis *analysis, struct statement *statement, enum fact fact, const char *name, enum lock_mode mode) {
  const struct effect_fact seen = {fact, NULL, name, lockmode_name(mode)};
  rules_note(analysis, statement, &seen, statement->source->at.line);
}

/* The strongest thing seen on one relation is what is told; predictions that were right are not told again. */
static void take_lock(const struct analysis *analysis, struct statement *statement, const struct sandbox_lock *lock) {
  const struct sandbox_step *step = statement->step;
  struct rel *rel = relation(analysis, lock->relation);
  enum lock_mode mode = lockmode_parse(lock->mode);
  if (!rel || rel->created) return;
  bool rewritten = lists(step->rewrites, step->rewrite_count, lock->relation), read = lists(step->scans, step->scan_count, lock->relation);
  bool blocks = lockmode_blocks_writes(mode);
  if (rewritten && !lists((const char *const *)statement->rewrites.items, statement->rewrites.count, lock->relation))
    note(analysis, statement, FACT_OBSERVED_REWRITE, lock->relation, mode);
  else if (read && blocks && !lists((const char *const *)statement->scans.items, statement->scans.count, lock->relation))
    note(analysis, statement, FACT_OBSERVED_SCAN, lock->relation, mode);
  else if (blocks && effect_lock_of(&statement->effect, rel) < mode)
    note(analysis, statement, FACT_OBSERVED_LOCK, lock->relation, mode);
  effect_lock(&statement->effect, rel, mode);
  if (rewritten) effect_rewrite(&statement->effect, rel);
  if (read) effect_scan(&statement->effect, rel);
  if (!blocks || lists((const char *const *)statement->tables.items, statement->tables.count, lock->relation)) return;
  const char **slot = LIST_PUSH(analysis->arena, &statement->tables);
  if (slot) *slot = rel->t->qualified;
}

void observed_apply(struct analysis *analysis) {
  for (size_t i = 0; i < analysis->count; i++) {
    struct statement *statement = &analysis->statements[i];
    bool counts = statement->effect.opaque || statement->agreement == AGREEMENT_CONTRADICTED;
    if (!counts || !statement->step || !statement->step->ok) continue;
    for (size_t l = 0; l < statement->step->lock_count; l++) take_lock(analysis, statement, &statement->step->locks[l]);
    statement->observed = true;
    score_statement(analysis, statement);
    if (statement->score > analysis->score) analysis->score = statement->score;
  }
}
