/* shadow_parts.c - triggers and policies of a relation, by name, and names of constraints. */
#include "worker/migration/shadow.h"
#include "worker/sql/text.h"

struct snap_trigger *shadow_trigger(const struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->trigger_count; i++)
    if (strcmp(rel->t->triggers[i].name, name) == 0) return &rel->t->triggers[i];
  return NULL;
}

struct snap_policy *shadow_policy(const struct rel *rel, const char *name) {
  for (size_t i = 0; i < rel->t->policy_count; i++)
    if (strcmp(rel->t->policies[i].name, name) == 0) return &rel->t->policies[i];
  return NULL;
}

void shadow_drop_trigger(struct rel *rel, const char *name) {
  struct snap_trigger *trigger = shadow_trigger(rel, name);
  if (!trigger) return;
  size_t at = (size_t)(trigger - rel->t->triggers);
  memmove(trigger, trigger + 1, (--rel->t->trigger_count - at) * sizeof *trigger);
}

void shadow_drop_policy(struct rel *rel, const char *name) {
  struct snap_policy *policy = shadow_policy(rel, name);
  if (!policy) return;
  size_t at = (size_t)(policy - rel->t->policies);
  memmove(policy, policy + 1, (--rel->t->policy_count - at) * sizeof *policy);
}

const char *shadow_name(struct shadow *shadow, const struct rel *rel, const char *const *columns, size_t count, const char *label,
                        size_t number) {
  const char *middle = "";
  for (size_t i = 0; i < count && middle; i++) middle = arena_printf(shadow->arena, "%s%s%s", middle, i ? "_" : "", columns[i]);
  if (number) label = arena_printf(shadow->arena, "%s%zu", label, number);
  return middle && label ? sql_made_name(shadow->arena, rel->t->name, middle, label) : NULL;
}

bool shadow_name_taken(struct shadow *shadow, const struct rel *rel, const char *name) {
  struct rel *owner = NULL;
  return shadow_constraint(rel, name) || shadow_fk(rel, name) || shadow_find(shadow, rel->t->schema, name) ||
         shadow_index(shadow, rel->t->schema, name, &owner);
}

const char *shadow_made_name(struct shadow *shadow, const struct rel *rel, const char *const *columns, size_t count, const char *label) {
  const char *name = NULL;
  for (size_t number = 0; number < SHADOW_NAMES; number++)
    if (!(name = shadow_name(shadow, rel, columns, count, label, number)) || !shadow_name_taken(shadow, rel, name)) break;
  return name;
}
