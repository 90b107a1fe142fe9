/* score.c - risk = who waits × for how long, plus what is lost, plus how likely it fails. The points are held against a table of ordinary
 * statements and the band a person would expect (tests/unit/test_score.c). */
#include "worker/migration/score.h"

#include <math.h>

#define UNKNOWN_BYTES 64e6
#define DEPTH_MAX 8

static double bytes_of(const struct rel *rel) {
  double bytes = rel->t->bytes > 0 ? (double)rel->t->bytes : rel->t->rows > 0 ? (double)rel->t->rows * 100 : 0;
  if (rel->t->kind != SNAP_PARTITIONED || bytes > 0) return bytes;
  for (size_t i = 0; i < rel->t->partition_count; i++)
    bytes += (double)(rel->t->partitions[i]->bytes > 0 ? rel->t->partitions[i]->bytes : 0);
  return bytes;
}

/* What a relation's size makes of a unit of harm: 1 for an empty table, growing by the logarithm of its bytes to 4 at 100 GB. */
static double size_weight(const struct rel *rel) {
  if (rel->created) return 0;
  if (rel->t->kind == SNAP_SEQUENCE) return 1;
  double bytes = bytes_of(rel);
  if (bytes <= 0 && rel->t->rows < 0) bytes = UNKNOWN_BYTES;
  return fmin(4, 1 + log10(1 + bytes / 65536) / 2);
}

static double known(double rate) { return rate > 0 ? rate : 0; }

/* Queries a second that have to wait for the lock. */
static double blocked_rate(const struct effect_lock *lock) {
  const struct snap_activity *activity = &lock->rel->t->activity;
  return (lockmode_blocks_reads(lock->mode) ? known(activity->reads_per_s) : 0) +
         (lockmode_blocks_writes(lock->mode) ? known(activity->writes_per_s) : 0);
}

static void add(const struct analysis *analysis, struct statement *statement, const char *code, double points, const char *message) {
  int whole = (int)lround(points);
  if (whole <= 0 || !message) return;
  struct factor *slot = LIST_PUSH(analysis->arena, &statement->factors);
  if (slot) *slot = (struct factor){code, whole, message};
  statement->score += whole;
}

static bool passes_over(const struct effect *effect, const struct rel *rel) {
  return effect_rewrites(effect, rel) || effect_scans(effect, rel);
}

/* The lock alone: what queues behind it, if only for a moment. */
static void add_locks(const struct analysis *analysis, struct statement *statement) {
  static const double base[] = {[LOCK_SHARE] = 2.5, [LOCK_SHARE_ROW_EXCLUSIVE] = 3, [LOCK_EXCLUSIVE] = 3.5, [LOCK_ACCESS_EXCLUSIVE] = 4};
  const struct effect *effect = &statement->effect;
  double worst = 0, reach = 0, traffic = 0, rate = 0;
  const struct effect_lock *strongest = NULL;
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    if (lock->rel->created || lock->mode < LOCK_SHARE) continue;
    double points = base[lock->mode] * size_weight(lock->rel), blocked = blocked_rate(lock);
    reach += 1;
    rate += blocked;
    traffic = fmax(traffic, fmin(6, 1.5 * log10(1 + blocked)) * (passes_over(effect, lock->rel) ? 2 : 1));
    if (points <= worst) continue;
    worst = points;
    strongest = lock;
  }
  if (!strongest) return;
  add(analysis, statement, "lock", worst,
      arena_printf(analysis->arena, "%s on %s blocks %s", lockmode_name(strongest->mode), strongest->rel->t->qualified,
                   lockmode_blocks_reads(strongest->mode) ? "reads and writes" : "writes"));
  add(analysis, statement, "traffic", traffic, arena_printf(analysis->arena, "about %.0f queries a second have to wait meanwhile", rate));
  if (reach > 1)
    add(analysis, statement, "lock-reach", fmin(2 * (reach - 1), 10),
        arena_printf(analysis->arena, "%.0f relations are blocked at once", reach));
}

static void add_indexes(const struct analysis *analysis, struct statement *statement, const struct rel *rel) {
  double points = 0;
  for (size_t i = 0; i < rel->t->index_count; i++) points += strcmp(rel->t->indexes[i].method, "btree") == 0 ? 0.4 : 1;
  add(analysis, statement, "indexes", fmin(points * size_weight(rel), 8),
      arena_printf(analysis->arena, "%zu indexes of %s are built anew with it", rel->t->index_count, rel->t->qualified));
}

/* Work done on a relation that others wait for counts in full, other work a little; both by the square of the size's weight, since the
 * table's size is how long they wait. */
static void add_work(const struct analysis *analysis, struct statement *statement) {
  const struct effect *effect = &statement->effect;
  for (size_t i = 0; i < effect->rewrites.count; i++) {
    const struct rel *rel = effect->rewrites.items[i];
    double weight = size_weight(rel);
    if (rel->created || rel->t->kind == SNAP_SEQUENCE || effect_find(effect, FACT_TRUNCATE)) continue;
    add(analysis, statement, "rewrite", 4 * weight * weight, arena_printf(analysis->arena, "%s is rewritten", rel->t->qualified));
    add_indexes(analysis, statement, rel);
  }
  for (size_t i = 0; i < effect->scans.count; i++) {
    const struct rel *rel = effect->scans.items[i];
    enum lock_mode mode = effect_lock_of(effect, rel);
    double weight = size_weight(rel), unit = lockmode_blocks_reads(mode) ? 2.5 : lockmode_blocks_writes(mode) ? 2 : 0.4;
    if (rel->created || effect_rewrites(effect, rel)) continue;
    add(analysis, statement, "scan", unit * weight * weight,
        arena_printf(analysis->arena, "%s is read in full%s", rel->t->qualified, unit > 1 ? " while locked" : ""));
  }
  for (size_t i = 0; i < effect->builds.count; i++) {
    const struct rel *rel = effect->builds.items[i];
    double weight = size_weight(rel), unit = lockmode_blocks_writes(effect_lock_of(effect, rel)) ? 0.75 : 0.1;
    if (rel->created || effect_rewrites(effect, rel)) continue;
    add(analysis, statement, "index-build", unit * weight * weight,
        arena_printf(analysis->arena, "an index of %s is built", rel->t->qualified));
  }
}

/* --- what is lost --- */

/* Points for losing it, before size: whole tables, all rows, a column's values, some rows. */
static const struct {
  enum fact fact;
  double points;
} losses[] = {{FACT_DROP_DATABASE, 95}, {FACT_DROP_TABLE, 62},  {FACT_DROP_SCHEMA, 62}, {FACT_TRUNCATE, 62},   {FACT_TRUNCATE_CASCADE, 62},
              {FACT_DELETE_ALL, 45},    {FACT_DROP_COLUMN, 25}, {FACT_DROP_TYPE, 25},   {FACT_TYPE_LOSSY, 25}, {FACT_UPDATE_ALL, 25}};

static bool may_hold_rows(const struct rel *rel) { return !rel->created && rel->t->kind != SNAP_VIEW && rel->t->rows != 0; }

static void add_data_loss(const struct analysis *analysis, struct statement *statement) {
  const struct effect *effect = &statement->effect;
  double points = 12, weight = 0;
  for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
    if (effect_find(effect, losses[i].fact)) points = fmax(points, losses[i].points);
  bool rows = !effect->tables.count;
  for (size_t i = 0; i < effect->tables.count; i++) {
    weight = fmax(weight, size_weight(effect->tables.items[i]));
    rows |= may_hold_rows(effect->tables.items[i]);
  }
  for (size_t i = 0; i < effect->facts.count; i++) {
    if (effect->facts.items[i].fact != FACT_TRUNCATE_CASCADE) continue;
    weight = fmax(weight, size_weight(effect->facts.items[i].rel));
    rows |= may_hold_rows(effect->facts.items[i].rel);
  }
  const char *what = effect->irreversible ? effect->irreversible : "stored values are lost";
  add(analysis, statement, "data-loss", rows ? points + 5 * weight : 10, rows ? what : "what goes holds no rows as far as is known");
}

/* How many steps along foreign keys lead away from the table, cycles not counted twice: on the snapshot, where nothing is dropped yet. */
static size_t chain_below(const struct snapshot *snapshot, const struct snap_table *from, struct arena *arena) {
  bool *seen = arena_calloc(arena, snapshot->table_count + 1, sizeof *seen);
  const struct snap_table **level = arena_calloc(arena, snapshot->table_count + 1, sizeof(struct snap_table *));
  if (!seen || !level) return 0;
  size_t count = 1, at = 0, depth = 0;
  level[0] = from;
  seen[from - snapshot->tables] = true;
  for (size_t end = 1; depth < DEPTH_MAX; end = count, depth++) {
    for (; at < end; at++)
      for (size_t i = 0; i < level[at]->referenced_by_count; i++) {
        const struct snap_table *next = level[at]->referenced_by[i]->table;
        if (seen[next - snapshot->tables]) continue;
        seen[next - snapshot->tables] = true;
        level[count++] = next;
      }
    if (count == end) break;
  }
  return depth;
}

/* How far the touched tables' rows are tied to others. */
static void add_cascade(const struct analysis *analysis, struct statement *statement) {
  size_t tied = 0, depth = 0;
  if (statement->effect.loss != LOSS_DATA) return;
  for (size_t i = 0; i < statement->effect.tables.count; i++) {
    const struct rel *rel = statement->effect.tables.items[i];
    const struct snap_table *table = rel->created ? NULL : snapshot_table(analysis->snapshot, rel->t->schema, rel->t->name);
    if (!table) continue;
    tied += table->referenced_by_count;
    size_t below = table->referenced_by_count ? chain_below(analysis->snapshot, table, analysis->arena) : 0;
    if (below > depth) depth = below;
  }
  if (tied)
    add(analysis, statement, "foreign-keys", fmin(2 * (double)tied, 8) + fmin((double)depth, 4),
        arena_printf(analysis->arena, "%zu foreign keys refer to it, %zu deep", tied, depth));
}

static void add_loss(const struct analysis *analysis, struct statement *statement) {
  const struct effect *effect = &statement->effect;
  size_t breaks = 0;
  if (effect->loss == LOSS_DATA) add_data_loss(analysis, statement);
  if (effect->loss == LOSS_BEHAVIOUR) add(analysis, statement, "behaviour", 4, "what applications rely on changes");
  if (effect->loss != LOSS_DATA && statement->rollback.irreversible)
    add(analysis, statement, "irreversible", 6, statement->rollback.irreversible);
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

/* --- time --- */

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

/* -1: nothing is blocked, or no counter says how much. */
static double blocked_per_s(const struct effect *effect) {
  double rate = 0;
  bool any = false;
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    if (lock->rel->created || !lockmode_blocks_writes(lock->mode) || lock->rel->t->activity.writes_per_s < 0) continue;
    any = true;
    rate += blocked_rate(lock);
  }
  return any ? rate : -1;
}

void score_statement(const struct analysis *analysis, struct statement *statement) {
  statement->score = 0;
  statement->factors.count = 0;
  add_locks(analysis, statement);
  add_work(analysis, statement);
  add_loss(analysis, statement);
  add_failure(analysis, statement);
  add_cascade(analysis, statement);
  if (statement->effect.opaque && !statement->observed) add(analysis, statement, "opaque", 12, "what it does is known only by running it");
  if (statement->score > 100) statement->score = 100;
  statement->estimated_ms = estimate(&statement->effect);
  statement->blocked_per_s = blocked_per_s(&statement->effect);
}
