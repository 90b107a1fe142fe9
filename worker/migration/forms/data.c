/* forms/data.c - statements that read, write or reorganise rows: DML, VACUUM, CLUSTER, REINDEX, REFRESH, LOCK. */
#include "common/json.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/forms/routing.h"
#include "worker/sql/text.h"

static bool option_on(size_t count, PgQuery__Node *const *options, const char *name) {
  for (size_t i = 0; i < count; i++) {
    if (options[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM || strcmp(options[i]->def_elem->defname, name) != 0) continue;
    const PgQuery__Node *arg = options[i]->def_elem->arg;
    const char *text = sql_node_string(arg);
    long number = 1;
    if (arg && arg->node_case == PG_QUERY__NODE__NODE_BOOLEAN) return arg->boolean->boolval;
    sql_node_int(arg, &number);
    return number != 0 && !(text && (strcmp(text, "off") == 0 || strcmp(text, "false") == 0));
  }
  return false;
}

static void vacuum(struct form *form, const PgQuery__VacuumStmt *statement) {
  bool full = statement->is_vacuumcmd && option_on(statement->n_options, statement->options, "full");
  form->effect->operation = full ? "VACUUM FULL" : statement->is_vacuumcmd ? "VACUUM" : "ANALYZE";
  if (statement->is_vacuumcmd) form->effect->transaction = TX_NEVER;
  for (size_t i = 0; i < statement->n_rels; i++) {
    if (statement->rels[i]->node_case != PG_QUERY__NODE__NODE_VACUUM_RELATION) continue;
    struct rel *rel = form_target(form, statement->rels[i]->vacuum_relation->relation, false);
    if (!rel || rel->t->kind == SNAP_VIEW) continue;
    if (!statement->is_vacuumcmd && rel->t->kind != SNAP_PARTITIONED)
      form_lock_heirs(form, rel, form->shadow->version >= 180000 ? LOCK_SHARE_UPDATE_EXCLUSIVE : LOCK_ACCESS_SHARE, true);
    form_lock_tree(form, rel, full ? LOCK_ACCESS_EXCLUSIVE : LOCK_SHARE_UPDATE_EXCLUSIVE, true);
    if (!full) continue;
    form_rewrite_tree(form, rel);
    effect_fact(form->effect, FACT_VACUUM_FULL, rel, NULL, NULL);
  }
}

static void cluster(struct form *form, const PgQuery__ClusterStmt *statement) {
  if (!statement->relation) {
    form->effect->transaction = TX_NEVER;
    return;
  }
  struct rel *rel = form_target(form, statement->relation, false);
  if (!rel) return;
  if (rel->t->kind == SNAP_PARTITIONED) form->effect->transaction = TX_NEVER;
  form_lock_tree(form, rel, LOCK_ACCESS_EXCLUSIVE, true);
  form_rewrite_tree(form, rel);
  effect_fact(form->effect, FACT_CLUSTER, rel, sql_or_null(statement->indexname), NULL);
}

static void reindex_table(struct form *form, struct rel *rel, bool concurrent) {
  bool partitioned = rel->t->kind == SNAP_PARTITIONED;
  if (concurrent || partitioned) form->effect->transaction = TX_NEVER;
  form_lock_tree(form, rel, concurrent ? LOCK_SHARE_UPDATE_EXCLUSIVE : LOCK_SHARE, true);
  if (partitioned || rel->t->index_count) form_build_tree(form, rel);
  if (!concurrent)
    effect_fact(form->effect, FACT_REINDEX_BLOCKING, rel, NULL, NULL);
  else
    effect_fact(form->effect, FACT_INDEX_CONCURRENT, rel, rel->t->name, "reindex");
}

static void reindex(struct form *form, const PgQuery__ReindexStmt *statement) {
  bool concurrent = option_on(statement->n_params, statement->params, "concurrently");
  if (statement->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_INDEX && statement->relation) {
    struct rel *rel = NULL;
    const char *name = statement->relation->relname;
    if (!shadow_index(form->shadow, sql_or_null(statement->relation->schemaname), name, &rel)) {
      form_fails(form, "42P01", "index %s exists", name);
      return;
    }
    effect_table(form->effect, rel);
    reindex_table(form, rel, concurrent);
    return;
  }
  if (statement->kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_TABLE && statement->relation) {
    struct rel *rel = form_target(form, statement->relation, false);
    if (rel) reindex_table(form, rel, concurrent);
    return;
  }
  form->effect->transaction = TX_NEVER; /* SCHEMA, DATABASE, SYSTEM: every table in turn */
  for (size_t i = 0; i < form->shadow->rels.count; i++) {
    struct rel *rel = form->shadow->rels.items[i];
    bool within = statement->kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_SCHEMA || strcmp(rel->t->schema, statement->name) == 0;
    if (!rel->dropped && within && shadow_is_table(rel)) reindex_table(form, rel, concurrent);
  }
}

static void refresh(struct form *form, const PgQuery__RefreshMatViewStmt *statement) {
  struct rel *rel = form_target(form, statement->relation, false);
  if (!rel) return;
  effect_lock(form->effect, rel, statement->concurrent ? LOCK_EXCLUSIVE : LOCK_ACCESS_EXCLUSIVE);
  if (rel->t->kind != SNAP_MATVIEW) {
    form_fails(form, rel->t->kind == SNAP_TABLE ? "0A000" : "42809", "%s is a materialized view", rel->t->qualified);
    return;
  }
  if (!statement->skip_data) form_read(form, shadow_view_query(form->shadow, rel), FORM_READ_ALL, NULL);
  bool unique = false;
  for (size_t i = 0; i < rel->t->index_count; i++) unique |= rel->t->indexes[i].unique && !rel->t->indexes[i].predicate;
  if (statement->concurrent && !unique) form_fails(form, "55000", "%s has a unique index without WHERE", rel->t->qualified);
  if (!statement->concurrent) {
    effect_rewrite(form->effect, rel);
    effect_fact(form->effect, FACT_REFRESH_BLOCKING, rel, NULL, NULL);
  }
  if (statement->concurrent || rel->t->index_count) effect_scan(form->effect, rel); /* its indexes are built */
}

/* LOCK on a view locks what it reads, all the way down. */
static void lock_beneath(struct form *form, const struct rel *view, enum lock_mode mode, int depth) {
  for (size_t i = 0; depth < 32 && i < view->t->depends_on_count; i++) {
    struct rel *rel = shadow_of(form->shadow, view->t->depends_on[i]);
    form_lock_heirs(form, rel, mode, true);
    if (rel && rel->t->kind == SNAP_VIEW) lock_beneath(form, rel, mode, depth + 1);
  }
}

static void lock_tables(struct form *form, const PgQuery__LockStmt *statement) {
  for (size_t i = 0; i < statement->n_relations; i++) {
    if (statement->relations[i]->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) continue;
    struct rel *rel = form_target(form, statement->relations[i]->range_var, false);
    enum lock_mode mode = statement->mode >= 1 && statement->mode <= 8 ? (enum lock_mode)statement->mode : LOCK_ACCESS_EXCLUSIVE;
    if (rel && (rel->t->kind == SNAP_MATVIEW || rel->t->kind == SNAP_SEQUENCE)) {
      form_fails(form, "42809", "%s is a table or view", rel->t->qualified);
      continue;
    }
    form_lock_heirs(form, rel, mode, statement->relations[i]->range_var->inh);
    if (rel && rel->t->kind == SNAP_VIEW) lock_beneath(form, rel, mode, 0);
    if (rel && lockmode_blocks_writes(mode)) effect_fact(form->effect, FACT_LOCK_TABLE, rel, lockmode_name(mode), NULL);
  }
}

void form_maintenance(struct form *form, PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_VACUUM_STMT: vacuum(form, node->vacuum_stmt); break;
  case PG_QUERY__NODE__NODE_CLUSTER_STMT: cluster(form, node->cluster_stmt); break;
  case PG_QUERY__NODE__NODE_REINDEX_STMT: reindex(form, node->reindex_stmt); break;
  case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT: refresh(form, node->refresh_mat_view_stmt); break;
  case PG_QUERY__NODE__NODE_LOCK_STMT: lock_tables(form, node->lock_stmt); break;
  default: break;
  }
}

/* Whether some AND-ed condition compares the first column of an index: then the rows are found by it (probably). */
static bool uses_index(const struct rel *rel, const PgQuery__Node *where) {
  if (!where) return false;
  if (where->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR && where->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
    for (size_t i = 0; i < where->bool_expr->n_args; i++)
      if (uses_index(rel, where->bool_expr->args[i])) return true;
    return false;
  }
  const PgQuery__Node *left = where->node_case == PG_QUERY__NODE__NODE_A_EXPR ? where->a_expr->lexpr : NULL;
  if (!left || left->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return false;
  const char *qualifier, *name;
  sql_name_split(left->column_ref->n_fields, left->column_ref->fields, &qualifier, &name);
  for (size_t i = 0; name && i < rel->t->index_count; i++)
    if (rel->t->indexes[i].column_count && strcmp(rel->t->indexes[i].columns[0], name) == 0) return true;
  return false;
}

static bool is_null(const PgQuery__Node *node) { return node && node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull; }

static void locks_parents(struct form *form, const struct rel *rel, size_t count, PgQuery__Node *const *targets) {
  for (size_t i = 0; i < rel->t->fk_count; i++) {
    const struct snap_fk *fk = &rel->t->fks[i];
    bool concerned = !targets;
    for (size_t t = 0; t < count && !concerned; t++)
      for (size_t c = 0; c < fk->column_count; c++)
        concerned |= targets[t]->node_case == PG_QUERY__NODE__NODE_RES_TARGET &&
                     strcmp(targets[t]->res_target->name, fk->columns[c]) == 0 && !is_null(targets[t]->res_target->val);
    if (concerned) effect_lock(form->effect, shadow_of(form->shadow, fk->ref), LOCK_ROW_SHARE);
  }
}

/* Deleting referenced rows looks for, and by the key's action changes, the referencing ones. */
static void locks_children(struct form *form, struct rel *rel, int depth) {
  for (size_t i = 0; depth < 16 && i < rel->t->referenced_by_count; i++) {
    const struct snap_fk *fk = rel->t->referenced_by[i];
    struct rel *child = shadow_of(form->shadow, fk->table);
    bool acts = fk->on_delete && strcmp(fk->on_delete, "NO ACTION") != 0 && strcmp(fk->on_delete, "RESTRICT") != 0;
    if (!child || child == rel) continue;
    bool seen = effect_lock_of(form->effect, child) != LOCK_NONE;
    effect_lock(form->effect, child, acts ? LOCK_ROW_EXCLUSIVE : LOCK_ROW_SHARE);
    if (!acts)
      effect_check(form->effect, arena_printf(form->arena, "foreign_key %s.%s", child->t->qualified, fk->name),
                   form_verdict(child, VERDICT_MAY_FAIL), "23503", NULL);
    if (acts && !seen && strcmp(fk->on_delete, "CASCADE") == 0) locks_children(form, child, depth + 1);
  }
}

/* A changed key is looked for, and by the key's action changed, in the referencing rows. */
static void updates_children(struct form *form, const struct rel *rel, size_t count, PgQuery__Node *const *targets) {
  for (size_t i = 0; i < rel->t->referenced_by_count; i++) {
    const struct snap_fk *fk = rel->t->referenced_by[i];
    struct rel *child = shadow_of(form->shadow, fk->table);
    bool acts = fk->on_update && strcmp(fk->on_update, "NO ACTION") != 0 && strcmp(fk->on_update, "RESTRICT") != 0, concerned = false;
    for (size_t t = 0; child && child != rel && acts && t < count; t++)
      for (size_t c = 0; c < fk->column_count; c++)
        concerned |=
            targets[t]->node_case == PG_QUERY__NODE__NODE_RES_TARGET && strcmp(targets[t]->res_target->name, fk->ref_columns[c]) == 0;
    if (concerned) effect_lock(form->effect, child, LOCK_ROW_EXCLUSIVE);
  }
}

/* Writing to a view writes to what it reads first, down to a table. */
static struct rel *written_below(struct form *form, struct rel *rel) {
  for (int depth = 0; depth < 16 && rel->t->kind == SNAP_VIEW && rel->t->depends_on_count == 1 && !rel->t->trigger_count; depth++) {
    struct rel *below = shadow_of(form->shadow, rel->t->depends_on[0]);
    if (!below) break;
    effect_lock(form->effect, below, LOCK_ROW_EXCLUSIVE);
    rel = below;
  }
  return rel;
}

static void change_rows(struct form *form, struct rel *rel, const PgQuery__RangeVar *range, const PgQuery__Node *where, bool deletes) {
  if (range->inh)
    routing_lock(form, rel, LOCK_ROW_EXCLUSIVE, where);
  else
    effect_lock(form->effect, rel, LOCK_ROW_EXCLUSIVE);
  rel = written_below(form, rel);
  if (!uses_index(rel, where) && range->inh) routing_scan(form, rel, where);
  if (!uses_index(rel, where) && !range->inh && shadow_is_table(rel)) effect_scan(form->effect, rel);
  if (!where) effect_fact(form->effect, deletes ? FACT_DELETE_ALL : FACT_UPDATE_ALL, rel, NULL, NULL);
  effect_loss(form->effect, rel->created ? LOSS_NONE : LOSS_DATA,
              rel->created
                  ? NULL
                  : arena_printf(form->arena, deletes ? "deleted rows of %s are gone" : "the values of %s before the UPDATE are gone",
                                 rel->t->qualified));
  rel->written = true;
}

static bool is_listed(const PgQuery__InsertStmt *statement, const char *column) {
  for (size_t i = 0; i < statement->n_cols; i++)
    if (statement->cols[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET && strcmp(statement->cols[i]->res_target->name, column) == 0)
      return true;
  return false;
}

static void advance_owned(struct form *form, struct rel *sequence) { effect_lock(form->effect, sequence, LOCK_ROW_EXCLUSIVE); }

/* Columns that are left to their defaults advance their sequences. Without a list, all are given, unless nothing is. */
static void fill_defaults(struct form *form, const struct rel *rel, const PgQuery__InsertStmt *statement) {
  if (!statement->n_cols && statement->select_stmt) return;
  for (size_t i = 0; i < rel->t->column_count; i++) {
    const struct snap_column *column = &rel->t->columns[i];
    if (is_listed(statement, column->name)) continue;
    if (column->identity) form_each_owned(form, rel, column->name, advance_owned);
    if (column->default_expr && strstr(column->default_expr, "nextval"))
      form_lock_sequences(form, sql_parse_expression(form->arena, column->default_expr), LOCK_ROW_EXCLUSIVE);
  }
}

/* Rules write elsewhere with it (rewrite/rewriteHandler.c): the snapshot's, of this event. */
static void follow_rules(struct form *form, const struct rel *rel, PgQuery__CmdType event) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(objects_json(form->shadow, rel), "rules"), index, one) {
    const PgQuery__Node *node = sql_parse_statement(form->arena, json_str(one, "definition", ""));
    const PgQuery__RuleStmt *rule = node && node->node_case == PG_QUERY__NODE__NODE_RULE_STMT ? node->rule_stmt : NULL;
    if (!rule || rule->event != event || strcmp(json_str(one, "enabled", "origin"), "disabled") == 0) continue;
    for (size_t i = 0; i < rule->n_actions; i++) {
      const PgQuery__Node *action = rule->actions[i];
      const PgQuery__RangeVar *target = action->node_case == PG_QUERY__NODE__NODE_INSERT_STMT   ? action->insert_stmt->relation
                                        : action->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT ? action->update_stmt->relation
                                        : action->node_case == PG_QUERY__NODE__NODE_DELETE_STMT ? action->delete_stmt->relation
                                                                                                : NULL;
      effect_lock(form->effect, shadow_range(form->shadow, target), LOCK_ROW_EXCLUSIVE);
    }
  }
}

static void insert(struct form *form, const PgQuery__InsertStmt *statement) {
  struct rel *rel = form_target(form, statement->relation, false);
  if (!rel) return;
  effect_lock(form->effect, rel, LOCK_ROW_EXCLUSIVE);
  follow_rules(form, rel, PG_QUERY__CMD_TYPE__CMD_INSERT);
  if (rel->t->kind == SNAP_MATVIEW) form_fails(form, "42809", "%s takes rows", rel->t->qualified);
  for (size_t i = 0; i < statement->n_cols; i++)
    if (statement->cols[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET)
      form_column(form, rel, statement->cols[i]->res_target->name, false);
  struct rel *target = written_below(form, rel);
  fill_defaults(form, target, statement);
  locks_parents(form, target, statement->n_cols, statement->n_cols ? statement->cols : NULL);
  rel->empty = false;
  rel->written = true;
  effect_loss(form->effect, LOSS_BEHAVIOUR, arena_printf(form->arena, "which rows of %s were inserted is not recorded", rel->t->qualified));
}

static void merge_when(struct form *form, struct rel *rel, const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_MERGE_WHEN_CLAUSE) return;
  const PgQuery__MergeWhenClause *when = node->merge_when_clause;
  if (when->command_type == PG_QUERY__CMD_TYPE__CMD_UPDATE) locks_parents(form, rel, when->n_target_list, when->target_list);
}

/* Planning takes the locks of the statement; only ANALYZE runs it. */
static void explain(struct form *form, const PgQuery__ExplainStmt *statement) {
  PgQuery__Node *query = statement->query;
  const PgQuery__RangeVar *target = NULL;
  if (!query) return;
  if (option_on(statement->n_options, statement->options, "analyze")) {
    form_query(form, query);
    return;
  }
  if (query->node_case == PG_QUERY__NODE__NODE_INSERT_STMT) target = query->insert_stmt->relation;
  if (query->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT) target = query->update_stmt->relation;
  if (query->node_case == PG_QUERY__NODE__NODE_DELETE_STMT) target = query->delete_stmt->relation;
  if (target) form_lock_heirs(form, form_target(form, target, false), LOCK_ROW_EXCLUSIVE, target->inh);
  form_read(form, query, FORM_READ_SOME, NULL);
}

/* WITH x AS (UPDATE …): runs, whatever asks for x. */
static void write_ctes(struct form *form, const PgQuery__WithClause *with) {
  for (size_t i = 0; with && i < with->n_ctes; i++) {
    PgQuery__Node *query =
        with->ctes[i]->node_case == PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR ? with->ctes[i]->common_table_expr->ctequery : NULL;
    bool writes = query && (query->node_case == PG_QUERY__NODE__NODE_INSERT_STMT || query->node_case == PG_QUERY__NODE__NODE_UPDATE_STMT ||
                            query->node_case == PG_QUERY__NODE__NODE_DELETE_STMT);
    if (writes) form_query(form, query);
  }
}

static void write_with(struct form *form, const PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_SELECT_STMT: write_ctes(form, node->select_stmt->with_clause); break;
  case PG_QUERY__NODE__NODE_INSERT_STMT: write_ctes(form, node->insert_stmt->with_clause); break;
  case PG_QUERY__NODE__NODE_UPDATE_STMT: write_ctes(form, node->update_stmt->with_clause); break;
  case PG_QUERY__NODE__NODE_DELETE_STMT: write_ctes(form, node->delete_stmt->with_clause); break;
  default: break;
  }
}

void form_query(struct form *form, PgQuery__Node *node) {
  struct rel *rel = NULL;
  write_with(form, node);
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_INSERT_STMT: insert(form, node->insert_stmt); break;
  case PG_QUERY__NODE__NODE_UPDATE_STMT:
    rel = form_target(form, node->update_stmt->relation, false);
    if (!rel) break;
    for (size_t i = 0; i < node->update_stmt->n_target_list; i++)
      if (node->update_stmt->target_list[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET)
        form_column(form, rel, node->update_stmt->target_list[i]->res_target->name, false);
    change_rows(form, rel, node->update_stmt->relation, node->update_stmt->where_clause, false);
    locks_parents(form, rel, node->update_stmt->n_target_list, node->update_stmt->target_list);
    updates_children(form, rel, node->update_stmt->n_target_list, node->update_stmt->target_list);
    break;
  case PG_QUERY__NODE__NODE_DELETE_STMT:
    rel = form_target(form, node->delete_stmt->relation, false);
    if (!rel) break;
    change_rows(form, rel, node->delete_stmt->relation, node->delete_stmt->where_clause, true);
    locks_children(form, rel, 0);
    break;
  case PG_QUERY__NODE__NODE_MERGE_STMT:
    rel = form_target(form, node->merge_stmt->relation, false);
    if (rel) change_rows(form, rel, node->merge_stmt->relation, node->merge_stmt->join_condition, false);
    for (size_t i = 0; rel && i < node->merge_stmt->n_merge_when_clauses; i++)
      merge_when(form, rel, node->merge_stmt->merge_when_clauses[i]);
    break;
  case PG_QUERY__NODE__NODE_COPY_STMT:
    rel = form_target(form, node->copy_stmt->relation, false);
    effect_lock(form->effect, rel, node->copy_stmt->is_from ? LOCK_ROW_EXCLUSIVE : LOCK_ACCESS_SHARE);
    if (rel && !node->copy_stmt->is_from && shadow_is_table(rel)) effect_scan(form->effect, rel);
    if (rel && !node->copy_stmt->is_from && !shadow_is_table(rel)) form_fails(form, "42809", "%s is a table", rel->t->qualified);
    if (node->copy_stmt->query)
      form_read(form, node->copy_stmt->query, form_reads_all(node->copy_stmt->query) ? FORM_READ_ALL : FORM_READ_SOME, NULL);
    return;
  case PG_QUERY__NODE__NODE_EXPLAIN_STMT: explain(form, node->explain_stmt); return;
  default: break;
  }
  form_read(form, node, form_reads_all(node) ? FORM_READ_ALL : FORM_READ_SOME, NULL);
  struct effect *effect = form->effect;
  if (node->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) effect->opaque = effect->locks.count == 0; /* SELECT f(): the function decides */
}
