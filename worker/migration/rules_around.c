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

/* SET of the timeout to something; 0 and DEFAULT switch it off. */
static bool sets_timeout(const PgQuery__Node *node, const char *name) {
  if (node->node_case != PG_QUERY__NODE__NODE_VARIABLE_SET_STMT || strcmp(node->variable_set_stmt->name, name) != 0) return false;
  const PgQuery__VariableSetStmt *set = node->variable_set_stmt;
  if (set->kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE || !set->n_args) return false;
  const PgQuery__Node *value = set->args[0];
  long number = 1;
  if (value->node_case == PG_QUERY__NODE__NODE_A_CONST && value->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL)
    number = strtol(value->a_const->sval->sval, NULL, 10);
  else
    sql_node_int(value, &number);
  return number != 0;
}

bool around_no_lock_timeout(const struct rule_view *view, struct effect_fact *about) {
  const struct effect_lock *lock = blocking_lock(&view->statement->effect);
  if (view->analysis->lock_timeout_ms > 0 || !lock) return false;
  for (size_t i = 0; i < view->index; i++)
    if (sets_timeout(view->analysis->statements[i].source->node, "lock_timeout") || blocking_lock(&view->analysis->statements[i].effect))
      return false;
  about->name = lock->rel->t->qualified;
  about->detail = lockmode_name(lock->mode);
  return true;
}

static bool reads_others(const struct effect *effect) {
  for (size_t i = 0; i < effect->locks.count; i++)
    if (!effect->locks.items[i].rel->created && effect->locks.items[i].rel->t->kind != SNAP_SEQUENCE) return true;
  return false;
}

/* Takes time that grows with somebody's rows, or an unknown time. */
static bool works(const struct statement *statement) {
  const struct effect *effect = &statement->effect;
  const PgQuery__Node *node = statement->source->node;
  for (size_t i = 0; i < effect->scans.count; i++)
    if (!effect->scans.items[i]->created) return true;
  bool query = node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT ||
               (node->node_case == PG_QUERY__NODE__NODE_INSERT_STMT && node->insert_stmt->select_stmt &&
                node->insert_stmt->select_stmt->select_stmt->n_from_clause);
  return effect->opaque || (query && reads_others(effect)) || (effect->rewrites.count && !effect->rewrites.items[0]->created);
}

/* Told once, where the first long work under a lock begins. */
bool around_no_statement_timeout(const struct rule_view *view, struct effect_fact *about) {
  const struct effect_lock *lock = blocking_lock(&view->statement->effect);
  if (!lock || !works(view->statement)) return false;
  for (size_t i = 0; i < view->index; i++) {
    const struct statement *earlier = &view->analysis->statements[i];
    if (sets_timeout(earlier->source->node, "statement_timeout") || (blocking_lock(&earlier->effect) && works(earlier))) return false;
  }
  about->name = lock->rel->t->qualified;
  about->detail = lockmode_name(lock->mode);
  return true;
}

bool around_works_under_lock(const struct rule_view *view, struct effect_fact *about) {
  if (!view->statement->transaction || !works(view->statement)) return false;
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
