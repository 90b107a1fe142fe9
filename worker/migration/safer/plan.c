/* safer/plan.c - walks the statements with the schema before and after each at hand: what has a finding with a route is written anew, the
 * rest is kept word for word, comments included. */
#include "worker/migration/safer/plan.h"

#include "worker/migration/rules.h"
#include "worker/migration/safer/safer.h"
#include "worker/sql/text.h"

/* --- transactions of the source --- */

static struct safer_group *group_of(struct safer_plan *plan, int transaction) {
  for (size_t i = 0; i < plan->groups.count; i++)
    if (plan->groups.items[i].transaction == transaction) return &plan->groups.items[i];
  struct safer_group *group = LIST_PUSH(plan->arena, &plan->groups);
  if (group)
    *group = (struct safer_group){.transaction = transaction};
  else
    plan->failed = true;
  return group;
}

static bool sets_timeout(const PgQuery__VariableSetStmt *set) {
  return strcmp(set->name, "lock_timeout") == 0 || strcmp(set->name, "statement_timeout") == 0;
}

static void read_transaction(struct safer_plan *plan, struct safer_group *group, const struct sql_statement *source) {
  const PgQuery__TransactionStmt *statement = source->node->transaction_stmt;
  switch (statement->kind) {
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START: group->begin = source->text; break;
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT:
    if (statement->chain) plan->failed = true;
    group->ended = true;
    break;
  case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK:
    if (statement->chain) plan->failed = true;
    group->end = source->text;
    group->frozen = true;
    break;
  default: group->frozen = true; break;
  }
}

/* What a transaction holds together can't be taken apart when it is held for a reason. */
static void read_groups(struct safer_plan *plan) {
  for (size_t i = 0; i < plan->analysis->count && !plan->failed; i++) {
    const struct statement *statement = &plan->analysis->statements[i];
    const PgQuery__Node *node = statement->source->node;
    struct safer_group *group = statement->transaction ? group_of(plan, statement->transaction) : NULL;
    if (!group) continue;
    if (node->node_case == PG_QUERY__NODE__NODE_TRANSACTION_STMT) read_transaction(plan, group, statement->source);
    if (node->node_case == PG_QUERY__NODE__NODE_LOCK_STMT || node->node_case == PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT)
      group->frozen = true;
    if (node->node_case != PG_QUERY__NODE__NODE_VARIABLE_SET_STMT || !node->variable_set_stmt->is_local) continue;
    const char **slot = sets_timeout(node->variable_set_stmt) ? LIST_PUSH(plan->arena, &group->settings) : NULL;
    if (slot)
      *slot = statement->source->text;
    else
      group->frozen = true;
  }
  for (size_t i = 0; i < plan->groups.count; i++) /* who left it open wanted to look before committing */
    if (plan->groups.items[i].begin && !plan->groups.items[i].ended && !plan->groups.items[i].end) plan->failed = true;
}

/* --- asking the routes --- */

static bool has_finding(const struct statement *statement, const char *rule, enum fact fact, const char **ret_id) {
  for (size_t i = 0; i < statement->findings.count; i++) {
    const struct finding *finding = &statement->findings.items[i];
    if (finding->suppress_reason) continue;
    if (rule ? strcmp(finding->rule->id, rule) != 0 : finding->rule->fact != fact) continue;
    if (ret_id) *ret_id = finding->rule->id;
    return true;
  }
  return false;
}

static bool has_route(const struct safer_plan *plan, size_t index) {
  const struct statement *statement = &plan->analysis->statements[index];
  if (plan->skip && plan->skip[index]) return false;
  for (size_t i = 0; i < plan->groups.count; i++)
    if (plan->groups.items[i].transaction == statement->transaction && plan->groups.items[i].frozen) return false;
  for (size_t i = 0; i < safer_route_count; i++)
    if (has_finding(statement, safer_routes[i].rule, safer_routes[i].fact, NULL)) return true;
  return false;
}

static void note_replaced(struct safer_use *use) {
  struct safer_plan *plan = use->plan;
  const char *finding = NULL;
  if (!has_finding(use->statement, use->route->rule, use->route->fact, &finding)) return;
  for (size_t i = 0; i < plan->replaced.count; i++)
    if (plan->replaced.items[i].statement == use->index && plan->replaced.items[i].route == use->route) return;
  struct safer_replaced *slot = LIST_PUSH(plan->arena, &plan->replaced);
  if (slot) *slot = (struct safer_replaced){use->index, finding, use->route};
}

struct mark {
  size_t steps, later, names;
  const char *comments;
  bool phased, reordered;
};

static struct mark mark_of(const struct safer_plan *plan) {
  return (struct mark){plan->steps.count, plan->later.count, plan->names.count, plan->comments, plan->phased, plan->reordered};
}

static void back_to(struct safer_plan *plan, const struct mark *mark) {
  plan->steps.count = mark->steps;
  plan->later.count = mark->later;
  plan->names.count = mark->names;
  plan->comments = mark->comments;
  plan->phased = mark->phased;
  plan->reordered = mark->reordered;
}

static bool try_route(struct safer_use *use, const struct safer_route *route, const struct effect_fact *fact) {
  struct mark mark = mark_of(use->plan);
  use->route = route;
  use->phase = SAFER_ANY;
  bool written = route->write(use, fact);
  if (written)
    note_replaced(use);
  else
    back_to(use->plan, &mark);
  use->route = NULL;
  return written;
}

static bool fits(const struct safer_use *use, const struct safer_route *route) {
  if (route->statement && route->statement != use->node->node_case) return false;
  return route->rule || route->command == (use->command ? use->command->subtype : PG_QUERY__ALTER_TABLE_TYPE__ALTER_TABLE_TYPE_UNDEFINED);
}

/* Facts of the part alone, and of the whole statement for what only shows in company. */
static bool ask(struct safer_use *use, const struct effect *part) {
  for (size_t r = 0; r < safer_route_count; r++) {
    const struct safer_route *route = &safer_routes[r];
    if (!fits(use, route) || !has_finding(use->statement, route->rule, route->fact, NULL)) continue;
    const struct effect_fact *fact = route->fact ? effect_find(part, route->fact) : NULL;
    if (route->fact == FACT_VALIDATE_WITH_ADD && !fact) fact = effect_find(&use->statement->effect, route->fact);
    if ((route->fact && !fact) || (fact && fact->rel && fact->rel->created)) continue;
    if (try_route(use, route, fact)) return true;
  }
  return false;
}

/* --- statements --- */

static void keep(struct safer_use *use, const char *text) {
  const struct statement *statement = use->statement;
  bool strong = false;
  for (size_t i = 0; i < statement->locks.count; i++)
    strong |= !statement->locks.items[i].created && lockmode_blocks_writes(statement->locks.items[i].mode);
  size_t before = use->plan->steps.count;
  safer_add(use, statement->transaction ? SAFER_JOIN : SAFER_OUTSIDE, NULL, "%s", text);
  if (use->plan->steps.count > before) use->plan->steps.items[before].strong = strong;
}

static void apply(struct shadow *shadow, PgQuery__Node *node, const struct statement *statement, struct effect *ret_effect) {
  struct sql_statement source = *statement->source;
  source.node = node;
  forms_apply(shadow, &source, ret_effect);
}

/* The order ALTER TABLE itself works in: drops, types, columns, the rest, constraints. */
static int pass_of(const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) return 3;
  switch (node->alter_table_cmd->subtype) {
  case PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn:
  case PG_QUERY__ALTER_TABLE_TYPE__AT_DropConstraint: return 0;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType: return 1;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AddColumn: return 2;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint: return 4;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_ValidateConstraint: return 5;
  default: return 3;
  }
}

static bool write_part(struct safer_use *use, PgQuery__Node *item, const PgQuery__AlterTableStmt *whole) {
  struct safer_plan *plan = use->plan;
  PgQuery__AlterTableStmt *one = ARENA_NEW(plan->arena, PgQuery__AlterTableStmt);
  PgQuery__Node *node = ARENA_NEW(plan->arena, PgQuery__Node), **items = arena_calloc(plan->arena, 1, sizeof *items);
  struct effect effect, ignored;
  if (!one || !node || !items) return false;
  *one = *whole;
  items[0] = item;
  one->n_cmds = 1;
  one->cmds = items;
  pg_query__node__init(node);
  node->node_case = PG_QUERY__NODE__NODE_ALTER_TABLE_STMT;
  node->alter_table_stmt = one;
  use->node = node;
  use->command = item->alter_table_cmd;
  apply(plan->ahead, node, use->statement, &effect);
  bool routed = ask(use, &effect);
  const char *text = routed ? NULL : whole->n_cmds == 1 ? use->statement->source->text : sql_statement_text(plan->arena, node);
  if (text) keep(use, text);
  if (!routed && !text) plan->failed = true;
  apply(plan->shadow, node, use->statement, &ignored);
  return routed;
}

static bool is_table_change(const struct safer_use *use) {
  if (use->node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) return false;
  const PgQuery__AlterTableStmt *statement = use->node->alter_table_stmt;
  if (statement->objtype != PG_QUERY__OBJECT_TYPE__OBJECT_TABLE || !statement->relation) return false;
  for (size_t i = 0; i < statement->n_cmds; i++)
    if (statement->cmds[i]->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) return false;
  return true;
}

static void write_table_change(struct safer_use *use) {
  const PgQuery__AlterTableStmt *whole = use->node->alter_table_stmt;
  struct mark mark = mark_of(use->plan);
  bool routed = false;
  use->alter = whole;
  use->table = safer_table(use, use->rel);
  for (int pass = 0; pass <= 5; pass++)
    for (size_t i = 0; i < whole->n_cmds && !use->plan->failed; i++)
      if (pass_of(whole->cmds[i]) == pass) routed |= write_part(use, whole->cmds[i], whole);
  if (routed) return;
  back_to(use->plan, &mark);
  keep(use, use->statement->source->text);
}

static void write_statement(struct safer_use *use) {
  struct safer_plan *plan = use->plan;
  struct effect effect, ignored;
  bool wanted = has_route(plan, use->index);
  if (wanted && is_table_change(use)) {
    use->rel = shadow_range(plan->shadow, use->node->alter_table_stmt->relation);
    if (use->rel) {
      write_table_change(use);
      return;
    }
  }
  apply(plan->ahead, use->node, use->statement, &effect);
  if (!wanted || !ask(use, &effect)) keep(use, use->statement->source->text);
  apply(plan->shadow, use->node, use->statement, &ignored);
}

/* --- the walk --- */

static void take_comments(struct safer_plan *plan, const char *from, const char *to) {
  const char *found = safer_comments(plan->arena, from, to);
  if (found) plan->comments = plan->comments ? arena_printf(plan->arena, "%s\n%s", plan->comments, found) : found;
}

/* BEGIN, COMMIT and the timeouts of a transaction are written anew by the layout. */
static bool is_layout(struct safer_plan *plan, const struct statement *statement) {
  const PgQuery__Node *node = statement->source->node;
  if (node->node_case == PG_QUERY__NODE__NODE_TRANSACTION_STMT) {
    PgQuery__TransactionStmtKind kind = node->transaction_stmt->kind;
    return kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN || kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START ||
           kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT || kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK;
  }
  if (node->node_case != PG_QUERY__NODE__NODE_VARIABLE_SET_STMT || !statement->transaction) return false;
  struct safer_group *group = group_of(plan, statement->transaction);
  return group && node->variable_set_stmt->is_local && list_has(group->settings.items, group->settings.count, statement->source->text);
}

static void walk(struct safer_plan *plan) {
  const char *at = plan->analysis->sql;
  for (size_t i = 0; i < plan->analysis->count && !plan->failed; i++) {
    const struct statement *statement = &plan->analysis->statements[i];
    const char *start = plan->analysis->sql + statement->source->at.offset;
    take_comments(plan, at, start);
    at = start + statement->source->length;
    shadow_settle(plan->shadow);
    shadow_settle(plan->ahead);
    if (is_layout(plan, statement)) continue;
    struct safer_use use = {.plan = plan, .statement = statement, .index = i, .node = statement->source->node};
    write_statement(&use);
  }
  take_comments(plan, at, at + strlen(at));
  plan->trailing = plan->comments;
  plan->comments = NULL;
}

static bool anything(const struct safer_plan *plan) {
  for (size_t i = 0; i < plan->analysis->count; i++)
    if (has_route(plan, i)) return true;
  return false;
}

enum status safer_plan_make(const struct analysis *analysis, const bool *skip, struct safer_plan **ret_plan, struct error *err) {
  struct safer_plan *plan = ARENA_NEW(analysis->arena, struct safer_plan);
  if (!plan) return error_oom(err);
  *plan = (struct safer_plan){.arena = analysis->arena, .analysis = analysis, .skip = skip};
  *ret_plan = NULL;
  read_groups(plan);
  if (plan->failed || analysis->script.fault.sqlstate || !anything(plan)) return OK;
  enum status status = shadow_new(analysis->snapshot, analysis->arena, &plan->shadow, err);
  if (!status) status = shadow_new(analysis->snapshot, analysis->arena, &plan->ahead, err);
  if (status) return status;
  plan->shadow->version = plan->ahead->version = analysis->shadow->version;
  walk(plan);
  if (!plan->failed && plan->replaced.count) *ret_plan = plan;
  return OK;
}

enum status safer_script(const struct analysis *analysis, const bool *skip, const char **ret_script, struct error *err) {
  struct safer_plan *plan = NULL;
  enum status status = safer_plan_make(analysis, skip, &plan, err);
  if (status) return status;
  const char *text = plan ? safer_script_text(plan) : NULL;
  if (plan && !text) return error_oom(err);
  *ret_script = text;
  return OK;
}
