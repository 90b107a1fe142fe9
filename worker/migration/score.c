/* score.c - risk = who waits × for how long, plus what is lost, plus how likely it fails. */
#include "worker/migration/score.h"

#include <math.h>

/* What a relation's size makes of a unit of harm: 1 for an empty table, growing by the logarithm of its bytes to 4 at 100 GB. Unknown
 * sizes count as 64 MB. */
static double size_weight(const struct rel *rel) {
  if (rel->created) return 0;
  if (rel->t->kind == SNAP_SEQUENCE) return 1;
  double bytes = rel->t->bytes > 0   ? (double)rel->t->bytes
                 : rel->t->rows > 0  ? (double)rel->t->rows * 100
                 : rel->t->rows == 0 ? 8192
                                     : 64e6;
  if (rel->t->kind == SNAP_PARTITIONED && rel->t->bytes <= 0)
    for (size_t i = 0; i < rel->t->partition_count; i++)
      bytes += (double)(rel->t->partitions[i]->bytes > 0 ? rel->t->partitions[i]->bytes : 0);
  double weight = 1 + log10(1 + bytes / 65536) / 2;
  return weight > 4 ? 4 : weight;
}

static void add(const struct analysis *analysis, struct statement *statement, const char *code, double points, const char *message) {
  int whole = (int)lround(points);
  if (whole <= 0 || !message) return;
  struct factor *slot = LIST_PUSH(analysis->arena, &statement->factors);
  if (slot) *slot = (struct factor){code, whole, message};
  statement->score += whole;
}

static void add_locks(const struct analysis *analysis, struct statement *statement) {
  static const double base[] = {[LOCK_SHARE] = 3, [LOCK_SHARE_ROW_EXCLUSIVE] = 3, [LOCK_EXCLUSIVE] = 4, [LOCK_ACCESS_EXCLUSIVE] = 5};
  double worst = 0, reach = 0;
  const struct effect_lock *strongest = NULL;
  for (size_t i = 0; i < statement->effect.locks.count; i++) {
    const struct effect_lock *lock = &statement->effect.locks.items[i];
    if (lock->rel->created || lock->mode < LOCK_SHARE) continue;
    double points = base[lock->mode] * size_weight(lock->rel);
    reach += 1;
    if (points > worst) {
      worst = points;
      strongest = lock;
    }
  }
  if (!strongest) return;
  add(analysis, statement, "lock", worst,
      arena_printf(analysis->arena, "%s on %s blocks %s", lockmode_name(strongest->mode), strongest->rel->t->qualified,
                   lockmode_blocks_reads(strongest->mode) ? "reads and writes" : "writes"));
  if (reach > 1)
    add(analysis, statement, "lock-reach", fmin(2 * (reach - 1), 10),
        arena_printf(analysis->arena, "%.0f relations are blocked at once", reach));
}

/* Work done on a relation that others wait for counts in full, other work a little. */
static void add_work(const struct analysis *analysis, struct statement *statement) {
  const struct effect *effect = &statement->effect;
  for (size_t i = 0; i < effect->rewrites.count; i++) {
    const struct rel *rel = effect->rewrites.items[i];
    if (rel->created || rel->t->kind == SNAP_SEQUENCE || effect_find(effect, FACT_TRUNCATE)) continue;
    add(analysis, statement, "rewrite", 10 * size_weight(rel), arena_printf(analysis->arena, "%s is rewritten", rel->t->qualified));
  }
  for (size_t i = 0; i < effect->scans.count; i++) {
    const struct rel *rel = effect->scans.items[i];
    if (rel->created || effect_rewrites(effect, rel)) continue;
    bool blocking = lockmode_blocks_writes(effect_lock_of(effect, rel));
    add(analysis, statement, "scan", (blocking ? 7 : 1.5) * size_weight(rel),
        arena_printf(analysis->arena, "%s is read in full%s", rel->t->qualified, blocking ? " while locked" : ""));
  }
}

static void add_loss(const struct analysis *analysis, struct statement *statement) {
  const struct effect *effect = &statement->effect;
  double weight = 1;
  for (size_t i = 0; i < effect->tables.count; i++) weight = fmax(weight, size_weight(effect->tables.items[i]));
  if (effect->loss == LOSS_DATA)
    add(analysis, statement, "data-loss", 30 + 5 * weight, effect->irreversible ? effect->irreversible : "stored values are lost");
  else if (effect->loss == LOSS_BEHAVIOUR)
    add(analysis, statement, "behaviour", 4, "what applications rely on changes");
  if (effect->loss != LOSS_DATA && statement->rollback.irreversible)
    add(analysis, statement, "irreversible", 6, statement->rollback.irreversible);
  size_t breaks = 0;
  for (size_t i = 0; i < effect->objects.count; i++) breaks += effect->objects.items[i].breaks;
  if (breaks)
    add(analysis, statement, "dependents", fmin(4 * (double)breaks, 16),
        arena_printf(analysis->arena, "%zu dependent objects break", breaks));
}

static void add_failure(const struct analysis *analysis, struct statement *statement) {
  const struct effect_check *certain = effect_failure(&statement->effect), *possible = NULL;
  for (size_t i = 0; i < statement->effect.checks.count; i++)
    if (statement->effect.checks.items[i].verdict == VERDICT_MAY_FAIL) possible = &statement->effect.checks.items[i];
  if (certain)
    add(analysis, statement, "will-fail", 30, arena_printf(analysis->arena, "fails with %s: %s", certain->sqlstate, certain->check));
  else if (possible)
    add(analysis, statement, "may-fail", 6, arena_printf(analysis->arena, "may fail with %s: %s", possible->sqlstate, possible->check));
}

/* How far the touched tables' rows are tied to others. */
static void add_cascade(const struct analysis *analysis, struct statement *statement) {
  size_t tied = 0;
  if (statement->effect.loss == LOSS_NONE) return;
  for (size_t i = 0; i < statement->effect.tables.count; i++)
    if (!statement->effect.tables.items[i]->created) tied += statement->effect.tables.items[i]->t->referenced_by_count;
  if (tied)
    add(analysis, statement, "foreign-keys", fmin(2 * (double)tied, 8),
        arena_printf(analysis->arena, "%zu foreign keys refer to it", tied));
}

static double bytes_of(const struct rel *rel) {
  return rel->t->bytes > 0 ? (double)rel->t->bytes : rel->t->rows > 0 ? (double)rel->t->rows * 100 : 0;
}

static double estimate(const struct effect *effect) {
  double ms = 0;
  bool any = false;
  for (size_t i = 0; i < effect->rewrites.count && !effect_find(effect, FACT_TRUNCATE); i++, any = true)
    ms += bytes_of(effect->rewrites.items[i]) / SCORE_REWRITE_BYTES_PER_MS;
  for (size_t i = 0; i < effect->scans.count; i++, any = true)
    if (!effect_rewrites(effect, effect->scans.items[i])) ms += bytes_of(effect->scans.items[i]) / SCORE_SCAN_BYTES_PER_MS;
  for (size_t i = 0; i < effect->builds.count; i++) ms += bytes_of(effect->builds.items[i]) / SCORE_BUILD_BYTES_PER_MS;
  return any ? ceil(ms) : -1;
}

void score_statement(const struct analysis *analysis, struct statement *statement) {
  statement->score = 0;
  add_locks(analysis, statement);
  add_work(analysis, statement);
  add_loss(analysis, statement);
  add_failure(analysis, statement);
  add_cascade(analysis, statement);
  if (statement->effect.opaque) add(analysis, statement, "opaque", 12, "what it does is known only by running it");
  if (statement->score > 100) statement->score = 100;
  statement->estimated_ms = estimate(&statement->effect);
}
