/* shadow_parts.c - triggers and policies of a relation, by name. */
#include "worker/migration/shadow.h"

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
