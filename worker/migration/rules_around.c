/* rules_around.c - rules about a statement among others: what came before it in the script, and in its transaction. */
#include "worker/migration/rules.h"

/* The strongest lock that keeps others from writing; tables made here have no others. */
static const struct effect_lock *blocking_lock(const struct effect *effect) {
  const struct effect_lock *strongest = NULL;
  for (size_t i = 0; i < effect->locks.count; i++) {
    const struct effect_lock *lock = &effect->locks.items[i];
    if (lockmode_blocks_writes(lock->mode) && !lock->rel->created && (!strongest || lock->mode > strongest->mode)) strongest = lock;
  }
  return strongest;
}

/* SET lock_timeout to something; 0 and DEFAULT switch it off. */
static bool sets_lock_timeout(const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_VARIABLE_SET_STMT || strcmp(node->variable_set_stmt->name, "lock_timeout") != 0) return false;
  const PgQuery__VariableSetStmt *set = node->variable_set_stmt;
  if (set->kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE || !set->n_args) return false;
  const PgQuery__Node *value = set->args[0];
  if (value->node_case != PG_QUERY__NODE__NODE_A_CONST) return true;
  const char *text = sql_node_string(value);
  long number = text ? strtol(text, NULL, 10) : 1;
  if (!text) sql_node_int(value, &number);
  return number != 0;
}

bool around_no_lock_timeout(const struct rule_view *view, struct effect_fact *about) {
  const struct effect_lock *lock = blocking_lock(&view->statement->effect);
  if (view->analysis->has_lock_timeout || !lock) return false;
  for (size_t i = 0; i < view->index; i++)
    if (sets_lock_timeout(view->analysis->statements[i].source->node) || blocking_lock(&view->analysis->statements[i].effect)) return false;
  about->name = lock->rel->t->qualified;
  about->detail = lockmode_name(lock->mode);
  return true;
}

/* Takes time that grows with somebody's rows, or an unknown time. */
static bool works(const struct effect *effect) {
  for (size_t i = 0; i < effect->scans.count; i++)
    if (!effect->scans.items[i]->created) return true;
  return effect->opaque || (effect->rewrites.count && !effect->rewrites.items[0]->created);
}

bool around_works_under_lock(const struct rule_view *view, struct effect_fact *about) {
  if (!view->statement->transaction || !works(&view->statement->effect)) return false;
  for (size_t i = view->index; i-- > 0;) {
    const struct statement *earlier = &view->analysis->statements[i];
    if (earlier->transaction != view->statement->transaction) break;
    const struct effect_lock *lock = blocking_lock(&earlier->effect);
    if (!lock || lock->rel->dropped) continue;
    about->name = lock->rel->t->qualified;
    about->detail = lockmode_name(lock->mode);
    return true;
  }
  return false;
}

bool around_in_transaction(const struct rule_view *view, struct effect_fact *about) {
  about->name = view->statement->effect.operation;
  return view->statement->effect.transaction == TX_NEVER && view->statement->transaction;
}

bool around_opaque(const struct rule_view *view, struct effect_fact *about) {
  about->name = view->statement->effect.operation;
  return view->statement->effect.opaque;
}
