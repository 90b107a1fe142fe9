/* plan.c - which statements share a transaction, and what each of them needs around it.
 *
 * The script's own BEGIN … COMMIT is respected. Without one, everything is one transaction - unless something in it can't be: then every
 * statement is on its own, as psql would run it. VALIDATE CONSTRAINT is such a thing, too: it reads the whole table, and in one transaction
 * with the ALTER before it, it would do so under that one's lock. What only means something inside a transaction (SET LOCAL, LOCK, a
 * savepoint) keeps what follows it in one. */
#include "worker/execute/plan.h"

#include <strings.h>

#include "worker/sql/text.h"

static const char *const status_names[] = {"pending", "running", "committing", "applied", "rolled_back", "skipped", "failed", "unknown"};

const char *step_status_name(enum step_status status) { return status_names[status]; }

bool step_status_parse(const char *name, enum step_status *ret_status) {
  for (size_t i = 0; name && i < sizeof status_names / sizeof *status_names; i++)
    if (strcmp(name, status_names[i]) == 0) {
      *ret_status = (enum step_status)i;
      return true;
    }
  return false;
}

/* --- units as a whole --- */

bool unit_settled(const struct plan *plan, const struct unit *unit) {
  for (size_t i = 0; i < unit->count; i++) {
    enum step_status status = plan->steps[unit->first + i].status;
    if (status != STEP_APPLIED && status != STEP_SKIPPED && status != STEP_ROLLED_BACK) return false;
  }
  return plan->steps[unit->first + unit->count - 1].status != STEP_ROLLED_BACK; /* the script's ROLLBACK itself counts as applied */
}

bool unit_in_doubt(const struct plan *plan, const struct unit *unit) {
  for (size_t i = 0; i < unit->count; i++) {
    enum step_status status = plan->steps[unit->first + i].status;
    if (status == STEP_RUNNING || status == STEP_COMMITTING || status == STEP_UNKNOWN) return true;
  }
  return false;
}

void unit_set(struct plan *plan, const struct unit *unit, enum step_status status) {
  for (size_t i = 0; i < unit->count; i++) plan->steps[unit->first + i].status = status;
}

void unit_succeed(struct plan *plan, const struct unit *unit) {
  const struct step *last = &plan->steps[unit->first + unit->count - 1];
  unit_set(plan, unit, STEP_APPLIED);
  for (size_t i = 0; last->role == ROLE_ROLLBACK && i + 1 < unit->count; i++) plan->steps[unit->first + i].status = STEP_ROLLED_BACK;
}

/* --- single statements --- */

static const char *range_name(struct arena *arena, const PgQuery__RangeVar *range) {
  return range ? sql_qualified(arena, sql_or_null(range->schemaname), range->relname) : NULL;
}

static void read_index(struct arena *arena, const PgQuery__IndexStmt *statement, struct step *step) {
  step->waits = statement->concurrent;
  step->probe = PROBE_CREATE_INDEX;
  step->relation = range_name(arena, statement->relation);
  step->name = sql_or_null(statement->idxname);
  step->if_not_exists = statement->if_not_exists;
}

static void read_drop(struct arena *arena, const PgQuery__DropStmt *statement, struct step *step) {
  if (statement->remove_type != PG_QUERY__OBJECT_TYPE__OBJECT_INDEX || !statement->concurrent || statement->n_objects != 1) return;
  const PgQuery__Node *object = statement->objects[0];
  if (object->node_case != PG_QUERY__NODE__NODE_LIST) return;
  const char *schema = NULL, *name = NULL;
  sql_name_split(object->list->n_items, object->list->items, &schema, &name);
  step->waits = true;
  step->probe = PROBE_DROP_INDEX;
  step->relation = sql_qualified(arena, schema, name);
}

static bool concurrently(size_t count, PgQuery__Node *const *options) {
  for (size_t i = 0; i < count; i++)
    if (options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM && strcmp(options[i]->def_elem->defname, "concurrently") == 0) return true;
  return false;
}

static void read_reindex(struct arena *arena, const PgQuery__ReindexStmt *statement, struct step *step) {
  step->waits = concurrently(statement->n_params, statement->params);
  step->probe = step->waits ? PROBE_REINDEX : PROBE_REPEAT;
  step->relation = range_name(arena, statement->relation);
}

static void read_alter(struct arena *arena, const PgQuery__AlterTableStmt *statement, struct step *step) {
  for (size_t i = 0; i < statement->n_cmds; i++) {
    const PgQuery__AlterTableCmd *command =
        statement->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD ? statement->cmds[i]->alter_table_cmd : NULL;
    if (!command || command->subtype != PG_QUERY__ALTER_TABLE_TYPE__AT_DetachPartition || !command->def ||
        command->def->node_case != PG_QUERY__NODE__NODE_PARTITION_CMD || !command->def->partition_cmd->concurrent)
      continue;
    step->waits = true;
    step->probe = PROBE_DETACH;
    step->relation = range_name(arena, statement->relation);
    step->name = range_name(arena, command->def->partition_cmd->name);
  }
}

static bool is_temporary(const PgQuery__RangeVar *range) { return range && strcmp(range->relpersistence, "t") == 0; }

/* Session state: what it sets, what a new session would lack. */
static void read_session(const PgQuery__Node *node, struct step *step) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
    step->sets_session = !node->variable_set_stmt->is_local && node->variable_set_stmt->kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI;
    step->unsettles = true;
    break;
  case PG_QUERY__NODE__NODE_DISCARD_STMT:
    step->sets_session = step->unsettles = true;
    step->drops_locks = node->discard_stmt->target == PG_QUERY__DISCARD_MODE__DISCARD_ALL;
    break;
  case PG_QUERY__NODE__NODE_CREATE_STMT: step->binds_session = is_temporary(node->create_stmt->relation); break;
  case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
    step->binds_session = node->create_table_as_stmt->into && is_temporary(node->create_table_as_stmt->into->rel);
    break;
  case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT: step->binds_session = is_temporary(node->create_seq_stmt->sequence); break;
  case PG_QUERY__NODE__NODE_VIEW_STMT: step->binds_session = is_temporary(node->view_stmt->view); break;
  case PG_QUERY__NODE__NODE_PREPARE_STMT:
  case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: step->binds_session = true; break;
  default: break;
  }
}

static void read_probe(struct arena *arena, const PgQuery__Node *node, struct step *step) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INDEX_STMT: read_index(arena, node->index_stmt, step); break;
  case PG_QUERY__NODE__NODE_DROP_STMT: read_drop(arena, node->drop_stmt, step); break;
  case PG_QUERY__NODE__NODE_REINDEX_STMT: read_reindex(arena, node->reindex_stmt, step); break;
  case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT: read_alter(arena, node->alter_table_stmt, step); break;
  case PG_QUERY__NODE__NODE_VACUUM_STMT:
  case PG_QUERY__NODE__NODE_CLUSTER_STMT:
  case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT: step->probe = PROBE_REPEAT; break;
  default: break;
  }
}

static enum status read_transaction(const struct statement *statement, struct step *step, struct error *err) {
  switch (statement->effect.transaction) {
  case TX_BEGIN: step->role = ROLE_BEGIN; break;
  case TX_COMMIT: step->role = ROLE_COMMIT; break;
  case TX_ROLLBACK: step->role = ROLE_ROLLBACK; break;
  default: break;
  }
  const PgQuery__Node *node = statement->source->node;
  if (node->node_case != PG_QUERY__NODE__NODE_TRANSACTION_STMT) return OK;
  bool two_phase = node->transaction_stmt->kind >= PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE;
  if (!two_phase && !node->transaction_stmt->chain) return OK;
  return error_set_code(err, ERR_VALIDATION, "STATEMENT_UNSUPPORTED",
                        "line %d: %s can't be executed here: its outcome could not be followed", statement->source->at.line,
                        two_phase ? "two-phase commit" : "AND CHAIN");
}

/* Which of the timeouts the script has in its own hands, and for how long. RESET, DISCARD and ROLLBACK give them back. */
enum hold { HOLD_NONE, HOLD_TRANSACTION, HOLD_SESSION };

static enum hold after_transaction(enum hold hold) { return hold == HOLD_TRANSACTION ? HOLD_NONE : hold; }

static void read_timeouts(const struct step *step, bool ends_transaction, enum hold *lock, enum hold *statement) {
  const PgQuery__Node *node = step->source->node;
  bool all = step->role == ROLE_ROLLBACK || node->node_case == PG_QUERY__NODE__NODE_DISCARD_STMT;
  if (ends_transaction) *lock = after_transaction(*lock), *statement = after_transaction(*statement);
  const PgQuery__VariableSetStmt *set = node->node_case == PG_QUERY__NODE__NODE_VARIABLE_SET_STMT ? node->variable_set_stmt : NULL;
  if (all || (set && set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL)) *lock = *statement = HOLD_NONE;
  if (!set) return;
  enum hold hold = set->kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE ? HOLD_NONE : set->is_local ? HOLD_TRANSACTION : HOLD_SESSION;
  if (strcasecmp(set->name, "lock_timeout") == 0) *lock = hold;
  if (strcasecmp(set->name, "statement_timeout") == 0) *statement = hold;
}

/* --- which go together --- */

static bool validates(const PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_ALTER_DOMAIN_STMT) return strcmp(node->alter_domain_stmt->subtype, "V") == 0;
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) return false;
  for (size_t i = 0; i < node->alter_table_stmt->n_cmds; i++) {
    const PgQuery__Node *command = node->alter_table_stmt->cmds[i];
    if (command->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD &&
        command->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_ValidateConstraint)
      return true;
  }
  return false;
}

/* Ends with the transaction: what follows was meant to be in the same one. */
static bool holds_transaction(const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
    return node->variable_set_stmt->is_local || node->variable_set_stmt->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI;
  case PG_QUERY__NODE__NODE_LOCK_STMT:
  case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
  case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT:
  case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return true;
  case PG_QUERY__NODE__NODE_CREATE_STMT: return node->create_stmt->oncommit > PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_NOOP;
  default: return false;
  }
}

/* Statements [from, to) the analysis has put in one transaction, without a BEGIN of their own. */
static bool must_split(const struct analysis *analysis, const struct plan *plan, size_t from, size_t to) {
  bool validating = false;
  size_t work = 0;
  for (size_t i = from; i < to; i++) {
    validating |= validates(analysis->statements[i].source->node);
    work += !plan->steps[i].sets_session;
  }
  return validating && work > 1;
}

static struct unit *add_unit(struct plan *plan, size_t first, size_t count, bool transaction) {
  struct unit *unit = &plan->units[plan->unit_count++];
  *unit = (struct unit){.first = first, .count = count, .transaction = transaction};
  return unit;
}

static void add_split(const struct analysis *analysis, struct plan *plan, size_t from, size_t to) {
  for (size_t i = from; i < to; i++) {
    size_t count = holds_transaction(analysis->statements[i].source->node) ? to - i : 1;
    add_unit(plan, i, count, true);
    i += count - 1;
  }
}

/* The end of the run of statements that the analysis gave the same transaction as the one at `from`. */
static size_t group_end(const struct analysis *analysis, size_t from) {
  int transaction = analysis->statements[from].transaction;
  size_t to = from + 1;
  while (transaction && to < analysis->count && analysis->statements[to].transaction == transaction) to++;
  return to;
}

static void divide(const struct analysis *analysis, struct plan *plan) {
  bool whole = analysis->count && analysis->statements[0].transaction && group_end(analysis, 0) == analysis->count;
  for (size_t from = 0, to; from < analysis->count; from = to) {
    to = group_end(analysis, from);
    bool explicit = plan->steps[from].role == ROLE_BEGIN;
    if (!analysis->statements[from].transaction)
      add_unit(plan, from, 1, false);
    else if (explicit || (whole && !must_split(analysis, plan, from, to)))
      add_unit(plan, from, to - from, true);
    else
      add_split(analysis, plan, from, to);
  }
}

/* One transaction, and around it nothing but settings. */
static bool is_single(const struct plan *plan) {
  size_t working = 0;
  for (size_t i = 0; i < plan->unit_count; i++) {
    const struct unit *unit = &plan->units[i];
    if (!unit->transaction) return false;
    working += unit->count > 1 || !plan->steps[unit->first].sets_session;
  }
  return working <= 1;
}

enum status plan_make(const struct analysis *analysis, struct plan *ret_plan, struct error *err) {
  if (analysis->script.fault.sqlstate)
    return error_set(err, ERR_VALIDATION, "line %d: %s", analysis->script.fault.at.line, analysis->script.fault.message);
  if (!analysis->count) return error_set(err, ERR_VALIDATION, "the script holds no statement");
  struct plan plan = {.count = analysis->count};
  plan.steps = arena_calloc(analysis->arena, plan.count, sizeof *plan.steps);
  plan.units = arena_calloc(analysis->arena, plan.count, sizeof *plan.units);
  if (!plan.steps || !plan.units) return error_oom(err);
  enum hold own_lock = HOLD_NONE, own_statement = HOLD_NONE;
  for (size_t i = 0; i < plan.count; i++) {
    const struct statement *statement = &analysis->statements[i];
    struct step *step = &plan.steps[i];
    step->source = statement->source;
    step->operation = statement->effect.operation;
    enum status status = read_transaction(statement, step, err);
    if (status) return status;
    step->own_lock_timeout = own_lock != HOLD_NONE;
    step->own_statement_timeout = own_statement != HOLD_NONE;
    read_session(statement->source->node, step);
    read_probe(analysis->arena, statement->source->node, step);
    read_timeouts(step, step->role == ROLE_COMMIT || !statement->transaction, &own_lock, &own_statement);
  }
  divide(analysis, &plan);
  plan.single = is_single(&plan);
  *ret_plan = plan;
  return OK;
}
