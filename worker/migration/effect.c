/* effect.c - sets without duplicates, kept in the order things were noticed. */
#include "worker/migration/effect.h"

static const struct {
  const char *name;
  bool blocks_reads, blocks_writes;
} modes[] = {
    [LOCK_NONE] = {"None", false, false},
    [LOCK_ACCESS_SHARE] = {"AccessShareLock", false, false},
    [LOCK_ROW_SHARE] = {"RowShareLock", false, false},
    [LOCK_ROW_EXCLUSIVE] = {"RowExclusiveLock", false, false},
    [LOCK_SHARE_UPDATE_EXCLUSIVE] = {"ShareUpdateExclusiveLock", false, false},
    [LOCK_SHARE] = {"ShareLock", false, true},
    [LOCK_SHARE_ROW_EXCLUSIVE] = {"ShareRowExclusiveLock", false, true},
    [LOCK_EXCLUSIVE] = {"ExclusiveLock", false, true},
    [LOCK_ACCESS_EXCLUSIVE] = {"AccessExclusiveLock", true, true},
};

const char *lockmode_name(enum lock_mode mode) { return modes[mode].name; }
bool lockmode_blocks_reads(enum lock_mode mode) { return modes[mode].blocks_reads; }
bool lockmode_blocks_writes(enum lock_mode mode) { return modes[mode].blocks_writes; }

enum lock_mode lockmode_parse(const char *name) {
  for (size_t i = 1; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(modes[i].name, name) == 0) return (enum lock_mode)i;
  return LOCK_NONE;
}

void effect_lock(struct effect *effect, struct rel *rel, enum lock_mode mode) {
  if (!rel || rel == effect->making) return;
  for (size_t i = 0; i < effect->locks.count; i++)
    if (effect->locks.items[i].rel == rel) {
      if (mode > effect->locks.items[i].mode) effect->locks.items[i].mode = mode;
      return;
    }
  struct effect_lock *slot = LIST_PUSH(effect->arena, &effect->locks);
  if (slot)
    *slot = (struct effect_lock){rel, mode};
  else
    effect->failed = true;
}

#define ADD_ONCE(effect, list, rel)                                  \
  do {                                                               \
    if (!(rel) || (rel) == (effect)->making) return;                 \
    for (size_t i = 0; i < (effect)->list.count; i++)                \
      if ((effect)->list.items[i] == (rel)) return;                  \
    struct rel **slot = LIST_PUSH((effect)->arena, &(effect)->list); \
    if (slot)                                                        \
      *slot = (rel);                                                 \
    else                                                             \
      (effect)->failed = true;                                       \
  } while (0)

static void add_table(struct effect *effect, struct rel *rel) { ADD_ONCE(effect, tables, rel); }
void effect_table(struct effect *effect, struct rel *rel) {
  const struct rel *making = effect->making;
  effect->making = NULL; /* named by the statement all the same */
  add_table(effect, rel);
  effect->making = making;
}
void effect_scan(struct effect *effect, struct rel *rel) { ADD_ONCE(effect, scans, rel); }
void effect_rewrite(struct effect *effect, struct rel *rel) { ADD_ONCE(effect, rewrites, rel); }
void effect_build(struct effect *effect, struct rel *rel) { ADD_ONCE(effect, builds, rel); }

void effect_column(struct effect *effect, const char *name) {
  if (!name) return;
  for (size_t i = 0; i < effect->columns.count; i++)
    if (strcmp(effect->columns.items[i], name) == 0) return;
  const char **slot = LIST_PUSH(effect->arena, &effect->columns);
  if (slot)
    *slot = name;
  else
    effect->failed = true;
}

void effect_fact(struct effect *effect, enum fact fact, struct rel *rel, const char *name, const char *detail) {
  struct effect_fact *slot = LIST_PUSH(effect->arena, &effect->facts);
  if (slot)
    *slot = (struct effect_fact){fact, rel, name, detail};
  else
    effect->failed = true;
}

void effect_check(struct effect *effect, const char *check, enum verdict verdict, const char *sqlstate, const char *preflight_sql) {
  struct effect_check *slot = LIST_PUSH(effect->arena, &effect->checks);
  if (slot)
    *slot = (struct effect_check){.check = check, .verdict = verdict, .sqlstate = sqlstate, .preflight_sql = preflight_sql};
  else
    effect->failed = true;
}

void effect_object(struct effect *effect, const char *kind, const char *name, const char *via, bool breaks) {
  for (size_t i = 0; i < effect->objects.count; i++) {
    struct effect_object *object = &effect->objects.items[i];
    if (strcmp(object->kind, kind) != 0 || strcmp(object->name, name) != 0) continue;
    object->breaks |= breaks;
    return;
  }
  struct effect_object *slot = LIST_PUSH(effect->arena, &effect->objects);
  if (slot)
    *slot = (struct effect_object){kind, name, via, breaks};
  else
    effect->failed = true;
}

void effect_loss(struct effect *effect, enum loss loss, const char *irreversible) {
  if (loss > effect->loss) effect->loss = loss;
  if (irreversible && !effect->irreversible) effect->irreversible = irreversible;
}

enum lock_mode effect_lock_of(const struct effect *effect, const struct rel *rel) {
  for (size_t i = 0; i < effect->locks.count; i++)
    if (effect->locks.items[i].rel == rel) return effect->locks.items[i].mode;
  return LOCK_NONE;
}

const struct effect_fact *effect_find(const struct effect *effect, enum fact fact) {
  for (size_t i = 0; i < effect->facts.count; i++)
    if (effect->facts.items[i].fact == fact) return &effect->facts.items[i];
  return NULL;
}

bool effect_scans(const struct effect *effect, const struct rel *rel) {
  for (size_t i = 0; i < effect->scans.count; i++)
    if (effect->scans.items[i] == rel) return true;
  return false;
}

bool effect_rewrites(const struct effect *effect, const struct rel *rel) {
  for (size_t i = 0; i < effect->rewrites.count; i++)
    if (effect->rewrites.items[i] == rel) return true;
  return false;
}

const struct effect_check *effect_failure(const struct effect *effect) {
  for (size_t i = 0; i < effect->checks.count; i++)
    if (effect->checks.items[i].verdict == VERDICT_WILL_FAIL) return &effect->checks.items[i];
  return NULL;
}
