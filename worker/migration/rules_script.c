/* rules_script.c - rules about the shape of the script: its transactions, and what an earlier or a later statement does to this one. */
#include "worker/migration/rules.h"

#define MANY_ROWS 1000000 /* changed in one statement: locks, WAL and bloat that replicas and vacuum feel */

static const PgQuery__Node *node_at(const struct rule_view *view, size_t index) { return view->analysis->script.statements[index].node; }

static bool is_transaction(const PgQuery__Node *node, bool opens) {
  if (node->node_case != PG_QUERY__NODE__NODE_TRANSACTION_STMT) return false;
  PgQuery__TransactionStmtKind kind = node->transaction_stmt->kind;
  if (opens) return kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN || kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START;
  return kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT || kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK;
}

/* Whether a BEGIN before the statement is still open. */
static bool is_open(const struct rule_view *view) {
  for (size_t i = view->index; i-- > 0;) {
    if (is_transaction(node_at(view, i), true)) return true;
    if (is_transaction(node_at(view, i), false)) return false;
  }
  return false;
}

bool script_nested_begin(const struct rule_view *view, struct effect_fact *about) {
  (void)about;
  return is_transaction(node_at(view, view->index), true) && is_open(view);
}

bool script_end_without_begin(const struct rule_view *view, struct effect_fact *about) {
  about->name = view->statement->effect.operation;
  return is_transaction(node_at(view, view->index), false) && !is_open(view);
}

bool script_uncommitted(const struct rule_view *view, struct effect_fact *about) {
  (void)about;
  if (!is_transaction(node_at(view, view->index), true)) return false;
  for (size_t i = view->index + 1; i < view->analysis->script.count; i++)
    if (is_transaction(node_at(view, i), false)) return false;
  return true;
}

/* --- an enum's value, used before it is committed --- */

static bool see_literal(void *arg, PgQuery__Node *node) {
  const char **wanted = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL && *wanted &&
      strcmp(node->a_const->sval->sval, *wanted) == 0)
    *wanted = NULL; /* found */
  return *wanted != NULL;
}

static bool made_here(const struct rule_view *view, size_t before, const char *type) {
  for (size_t i = before; i-- > 0 && view->analysis->statements[i].transaction == view->statement->transaction;) {
    const PgQuery__Node *node = node_at(view, i);
    const char *schema, *name;
    if (node->node_case != PG_QUERY__NODE__NODE_CREATE_ENUM_STMT) continue;
    sql_name_split(node->create_enum_stmt->n_type_name, node->create_enum_stmt->type_name, &schema, &name);
    if (name && strcmp(name, type) == 0) return true;
  }
  return false;
}

bool script_enum_value_used(const struct rule_view *view, struct effect_fact *about) {
  if (!view->statement->transaction || node_at(view, view->index)->node_case == PG_QUERY__NODE__NODE_ALTER_ENUM_STMT) return false;
  for (size_t i = view->index; i-- > 0 && view->analysis->statements[i].transaction == view->statement->transaction;) {
    if (node_at(view, i)->node_case != PG_QUERY__NODE__NODE_ALTER_ENUM_STMT) continue;
    const struct effect_fact *added = effect_find(&view->analysis->statements[i].effect, FACT_ENUM_ADD_VALUE);
    if (!added || !added->detail || made_here(view, i, added->name)) continue;
    const char *wanted = added->detail;
    sql_walk((PgQuery__Node *)(uintptr_t)node_at(view, view->index), see_literal, &wanted);
    if (wanted) continue;
    *about = (struct effect_fact){.name = added->name, .detail = added->detail};
    return true;
  }
  return false;
}

/* --- definitions and data in one transaction --- */

static bool changes_rows(const struct effect *effect, const PgQuery__Node *node) {
  bool dml = node->node_case == PG_QUERY__NODE__NODE_INSERT_STMT || node->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT ||
             node->node_case == PG_QUERY__NODE__NODE_DELETE_STMT || node->node_case == PG_QUERY__NODE__NODE_MERGE_STMT;
  return dml && effect->tables.count && !effect->tables.items[0]->created;
}

static const struct rel *redefines(const struct effect *effect) {
  for (size_t i = 0; i < effect->locks.count; i++)
    if (lockmode_blocks_writes(effect->locks.items[i].mode) && !effect->locks.items[i].rel->created) return effect->locks.items[i].rel;
  return NULL;
}

/* Told once for a transaction, where the second kind comes in. */
bool script_mixed(const struct rule_view *view, struct effect_fact *about) {
  bool rows = changes_rows(&view->statement->effect, node_at(view, view->index));
  if (!view->statement->transaction || (!rows && !redefines(&view->statement->effect))) return false;
  const struct rel *other = NULL;
  for (size_t i = view->index; i-- > 0 && view->analysis->statements[i].transaction == view->statement->transaction;) {
    const struct effect *effect = &view->analysis->statements[i].effect;
    bool earlier_rows = changes_rows(effect, node_at(view, i));
    const struct rel *rel = earlier_rows ? effect->tables.items[0] : redefines(effect);
    if (!rel) continue;
    if (earlier_rows == rows) return false;
    other = rel;
  }
  if (!other) return false;
  about->name = other->t->qualified;
  about->detail = rows ? "changes rows while the lock on it" : "takes a strong lock while changed rows of it";
  return true;
}

bool script_many_rows(const struct rule_view *view, struct effect_fact *about) {
  const struct effect *effect = &view->statement->effect;
  const PgQuery__Node *node = node_at(view, view->index);
  bool filtered = (node->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT && node->update_stmt->where_clause) ||
                  (node->node_case == PG_QUERY__NODE__NODE_DELETE_STMT && node->delete_stmt->where_clause);
  if (!filtered || !effect->tables.count || effect->tables.items[0]->created) return false;
  about->rel = effect->tables.items[0];
  return effect->scans.count && about->rel->t->rows >= MANY_ROWS;
}

/* --- what a later or an earlier statement would have to do with it --- */

static bool validates(const PgQuery__Node *node, const char *name) {
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) return false;
  for (size_t i = 0; i < node->alter_table_stmt->n_cmds; i++) {
    const PgQuery__AlterTableCmd *command = node->alter_table_stmt->cmds[i]->alter_table_cmd;
    if (command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_ValidateConstraint && strcmp(command->name, name) == 0) return true;
  }
  return false;
}

bool script_never_validated(const struct rule_view *view, struct effect_fact *about) {
  const struct effect_fact *added = effect_find(&view->statement->effect, FACT_ADDED_NOT_VALID);
  if (!added || added->rel->created) return false;
  for (size_t i = view->index; i < view->analysis->script.count; i++)
    if (validates(node_at(view, i), added->name)) return false;
  *about = *added;
  return true;
}

/* ALTER TABLE right behind ALTER TABLE of the same table, both of which pass over its rows. */
bool script_mergeable(const struct rule_view *view, struct effect_fact *about) {
  if (!view->index || node_at(view, view->index)->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT ||
      node_at(view, view->index - 1)->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT)
    return false;
  const struct effect *mine = &view->statement->effect, *earlier = &view->analysis->statements[view->index - 1].effect;
  struct rel *rel = mine->tables.count ? mine->tables.items[0] : NULL;
  if (!rel || rel->created || !earlier->tables.count || earlier->tables.items[0] != rel) return false;
  about->rel = rel;
  return (effect_rewrites(mine, rel) || effect_scans(mine, rel)) && (effect_rewrites(earlier, rel) || effect_scans(earlier, rel)) &&
         effect_lock_of(mine, rel) == LOCK_ACCESS_EXCLUSIVE;
}

/* A script that commits on its way can stop half-way; what it did before is then in the way of a second run. */
static bool commits_midway(const struct rule_view *view) {
  for (size_t i = 0; i < view->index; i++)
    if (view->analysis->statements[i].effect.transaction == TX_NEVER || view->analysis->statements[i].effect.transaction == TX_COMMIT)
      return true;
  for (size_t i = view->index + 1; i < view->analysis->script.count; i++) {
    const PgQuery__Node *node = node_at(view, i);
    if (node->node_case == PG_QUERY__NODE__NODE_INDEX_STMT && node->index_stmt->concurrent) return true;
  }
  return false;
}

bool script_not_rerunnable(const struct rule_view *view, struct effect_fact *about) {
  const PgQuery__Node *node = node_at(view, view->index);
  about->name = view->statement->effect.operation;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_CREATE_STMT: about->detail = "IF NOT EXISTS"; return !node->create_stmt->if_not_exists && commits_midway(view);
  case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT:
    about->detail = "IF NOT EXISTS";
    return !node->create_seq_stmt->if_not_exists && commits_midway(view);
  case PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT:
    about->detail = "IF NOT EXISTS";
    return !node->create_schema_stmt->if_not_exists && commits_midway(view);
  case PG_QUERY__NODE__NODE_DROP_STMT: about->detail = "IF EXISTS"; return !node->drop_stmt->missing_ok && commits_midway(view);
  default: return false;
  }
}

/* --- what the snapshot knows about the tables named --- */

bool script_invalid_index(const struct rule_view *view, struct effect_fact *about) {
  const struct effect *effect = &view->statement->effect;
  for (size_t i = 0; i < effect->tables.count; i++)
    for (size_t x = 0; x < effect->tables.items[i]->t->index_count; x++) {
      const struct snap_index *index = &effect->tables.items[i]->t->indexes[x];
      if (index->valid) continue;
      *about = (struct effect_fact){.rel = effect->tables.items[i], .name = index->name};
      return !effect_find(effect, FACT_INDEX_EXISTS_SKIPPED);
    }
  return false;
}

bool script_sequence_end(const struct rule_view *view, struct effect_fact *about) {
  const struct effect *effect = &view->statement->effect;
  for (size_t i = 0; i < effect->tables.count; i++)
    for (size_t c = 0; c < effect->tables.items[i]->t->column_count; c++) {
      const struct snap_column *column = &effect->tables.items[i]->t->columns[c];
      if (column->numbers_used < 0.5) continue;
      *about = (struct effect_fact){.rel = effect->tables.items[i],
                                    .name = column->name,
                                    .detail = arena_printf(view->analysis->arena, "%.0f %%", column->numbers_used * 100)};
      return true;
    }
  return false;
}
