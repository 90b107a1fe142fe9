/* rollback/table.c - the way back for ALTER TABLE, subcommand by subcommand. */
#include "worker/migration/forms/type_change.h"
#include "worker/migration/rollback/undo.h"

static void undo_add_column(struct undo *undo) {
  const char *name = undo->command->def ? undo->command->def->column_def->colname : NULL;
  if (name && !snap_table_column(undo->rel->t, name))
    rollback_add(undo->rollback, "ALTER TABLE %s DROP COLUMN %s", undo->table, q(undo->rollback, name));
}

static bool names_column(const struct source_statement *statement, const char *column) {
  const PgQuery__Node *node = statement->node;
  if (sql_mentions_column((PgQuery__Node *)(uintptr_t)node, column)) return true;
  if (node->node_case == PG_QUERY__NODE__NODE_INDEX_STMT)
    for (size_t i = 0; i < node->index_stmt->n_index_params; i++)
      if (strcmp(node->index_stmt->index_params[i]->index_elem->name, column) == 0) return true;
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT || node->alter_table_stmt->n_cmds != 1) return false;
  const PgQuery__AlterTableCmd *command = node->alter_table_stmt->cmds[0]->alter_table_cmd;
  if (command->subtype != PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint || !command->def) return false;
  const PgQuery__Constraint *constraint = command->def->constraint;
  for (size_t i = 0; i < constraint->n_keys; i++)
    if (strcmp(sql_node_string(constraint->keys[i]), column) == 0) return true;
  for (size_t i = 0; i < constraint->n_fk_attrs; i++)
    if (strcmp(sql_node_string(constraint->fk_attrs[i]), column) == 0) return true;
  return false;
}

static bool grants_column(const struct source_statement *statement, const char *column) {
  if (statement->node->node_case != PG_QUERY__NODE__NODE_GRANT_STMT) return false;
  const PgQuery__GrantStmt *grant = statement->node->grant_stmt;
  for (size_t i = 0; i < grant->n_privileges; i++) {
    const PgQuery__AccessPriv *privilege = grant->privileges[i]->access_priv;
    for (size_t c = 0; c < privilege->n_cols; c++) {
      const char *name = sql_node_string(privilege->cols[c]);
      if (name && strcmp(name, column) == 0) return true;
    }
  }
  return false;
}

/* Keys, indexes, comments, grants and settings of a column that was dropped, and the CHECKs that stand in CREATE TABLE itself. */
static void restore_column_parts(struct undo *undo, const char *column) {
  struct rollback *rollback = undo->rollback;
  const struct rollback_source *source = rollback_source(rollback);
  const char *table = rollback_rel_key(rollback, undo->rel), *part = rollback_part_key(rollback, "column", undo->rel, column);
  size_t index;
  const json_t *check;
  json_array_foreach(json_object_get(rollback_rel_json(rollback, undo->rel), "checks"), index, check) {
    size_t at;
    const json_t *one;
    const char *name = json_str(check, "name", "");
    const char *key = rollback_part_key(rollback, "constraint", undo->rel, name);
    const struct source_statement *own = source_find(source, SOURCE_MAKES, key);
    if (rollback_is_dropped(rollback, key)) continue;
    if (own && own->node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) continue;
    json_array_foreach(json_object_get(check, "columns"), at, one) if (strcmp(json_string_value(one), column) == 0)
        rollback_add(rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", undo->table, q(rollback, name), json_str(check, "definition", ""));
  }
  for (size_t i = 0; i < source->count; i++) {
    const struct source_statement *one = &source->statements[i];
    bool grants = source_has(&one->of, table) && grants_column(one, column);
    bool makes = one->role == SOURCE_MAKES && one->node->node_case != PG_QUERY__NODE__NODE_CREATE_STMT && source_has(&one->of, table) &&
                 names_column(one, column);
    bool about = one->role != SOURCE_MAKES && source_has(&one->of, part);
    if ((grants || makes || about) && !rollback_is_earlier(rollback, one)) rollback_add(rollback, "%s", one->text);
  }
}

static void undo_drop_column(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  if (!column) return;
  struct rollback *rollback = undo->rollback;
  const json_t *json = rollback_member(rollback_rel_json(rollback, undo->rel), "columns", column->name);
  rollback_gone(rollback, "the values of %s.%s are gone", undo->rel->t->qualified, column->name);
  bool recorded = json && rollback_source(rollback) && strcmp(undo->rel->t->name, rollback_original(rollback, undo->rel)->name) == 0;
  struct snap_column bare = *column;
  if (recorded && column->identity) bare.identity = NULL; /* the dump adds it, and its sequence */
  rollback_add(rollback, "ALTER TABLE %s ADD COLUMN %s", undo->table, rollback_model_column(rollback, &bare, json, false));
  if (recorded)
    restore_column_parts(undo, column->name);
  else
    rollback_model_keys(rollback, undo->rel, column->name);
}

static void undo_type(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  const PgQuery__ColumnDef *definition = undo->command->def ? undo->command->def->column_def : NULL;
  const char *type = definition ? sql_type(undo->rollback->arena, definition->type_name) : NULL;
  if (!column || !type) return;
  struct type_change change = type_change_between(undo->rollback->shadow, column->type, type);
  if (change.lossy)
    rollback_gone(undo->rollback, "%s.%s: %s", undo->rel->t->qualified, column->name, change.lossy);
  else if (definition->raw_default && change.kind == TYPE_REWRITE)
    rollback_gone(undo->rollback, "%s.%s: what USING computed can't be computed back", undo->rel->t->qualified, column->name);
  rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s", undo->table, q(undo->rollback, column->name),
               column->type, q(undo->rollback, column->name), column->type);
}

static void undo_nullability(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  bool sets = undo->command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull;
  if (column && column->not_null != sets)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s %s NOT NULL", undo->table, q(undo->rollback, column->name),
                 sets ? "DROP" : "SET");
}

static void undo_partition(struct undo *undo) {
  const PgQuery__PartitionCmd *partition = undo->command->def ? undo->command->def->partition_cmd : NULL;
  const struct rel *part = partition ? shadow_range(undo->rollback->shadow, partition->name) : NULL;
  if (!part) return;
  if (partition->concurrent)
    rollback_gone(undo->rollback, "DETACH CONCURRENTLY leaves a CHECK constraint of the old bound on %s", part->t->qualified);
  if (undo->command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AttachPartition)
    rollback_add(undo->rollback, "ALTER TABLE %s DETACH PARTITION %s", undo->table, rollback_name(undo->rollback, part));
  else if (part->t->partition_bound)
    rollback_add(undo->rollback, "ALTER TABLE %s ATTACH PARTITION %s %s", undo->table, rollback_name(undo->rollback, part),
                 part->t->partition_bound);
}

static void undo_owner(struct undo *undo) {
  const json_t *json = rollback_rel_json(undo->rollback, undo->rel);
  const char *owner = json_str(json, "owner", undo->rel->t->owner);
  if (owner && *owner) rollback_add(undo->rollback, "ALTER TABLE %s OWNER TO %s", undo->table, q(undo->rollback, owner));
  if (undo->command->newowner) rollback_replay_grants(undo->rollback, rollback_rel_key(undo->rollback, undo->rel), undo->command->newowner);
}

static void undo_inherit(struct undo *undo) {
  bool added = undo->command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddInherit;
  const struct rel *parent = undo->command->def ? shadow_range(undo->rollback->shadow, undo->command->def->range_var) : NULL;
  if (!added && parent)
    rollback_gone(undo->rollback, "the columns %s had from %s only count as its own from now on", undo->rel->t->qualified,
                  parent->t->qualified);
  if (parent)
    rollback_add(undo->rollback, "ALTER TABLE %s %s %s", undo->table, added ? "NO INHERIT" : "INHERIT",
                 rollback_name(undo->rollback, parent));
}

static void undo_logged(struct undo *undo) {
  const json_t *json = rollback_rel_json(undo->rollback, undo->rel);
  bool unlogged = json ? strcmp(json_str(json, "persistence", "permanent"), "unlogged") == 0 : undo->rel->t->unlogged;
  rollback_add(undo->rollback, "ALTER TABLE %s SET %s", undo->table, unlogged ? "UNLOGGED" : "LOGGED");
}

static void undo_access_method(struct undo *undo) {
  const char *was = json_str(rollback_rel_json(undo->rollback, undo->rel), "access_method", NULL);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s SET ACCESS METHOD %s", undo->table, q(undo->rollback, was));
  else
    rollback_gone(undo->rollback, "the access method before is not recorded");
}

static void undo_tablespace(struct undo *undo) {
  const json_t *json = rollback_rel_json(undo->rollback, undo->rel);
  if (json)
    rollback_add(undo->rollback, "ALTER TABLE %s SET TABLESPACE %s", undo->table,
                 q(undo->rollback, json_str(json, "tablespace", "pg_default")));
  else
    rollback_gone(undo->rollback, "the tablespace before is not recorded");
}

static const struct {
  PgQuery__AlterTableType type;
  void (*undo)(struct undo *);
} commands[] = {
    {AT(AddColumn), undo_add_column},
    {AT(DropColumn), undo_drop_column},
    {AT(AlterColumnType), undo_type},
    {AT(ColumnDefault), undo_default},
    {AT(SetNotNull), undo_nullability},
    {AT(DropNotNull), undo_nullability},
    {AT(AddIdentity), undo_identity},
    {AT(DropIdentity), undo_identity},
    {AT(SetIdentity), undo_set_identity},
    {AT(SetExpression), undo_expression},
    {AT(DropExpression), undo_expression},
    {AT(SetStatistics), undo_statistics},
    {AT(SetStorage), undo_storage},
    {AT(SetCompression), undo_compression},
    {AT(SetOptions), undo_column_options},
    {AT(ResetOptions), undo_column_options},
    {AT(AddConstraint), undo_add_constraint},
    {AT(DropConstraint), undo_drop_constraint},
    {AT(AlterConstraint), undo_alter_constraint},
    {AT(ValidateConstraint), undo_validate},
    {AT(AttachPartition), undo_partition},
    {AT(DetachPartition), undo_partition},
    {AT(ChangeOwner), undo_owner},
    {AT(AddInherit), undo_inherit},
    {AT(DropInherit), undo_inherit},
    {AT(SetLogged), undo_logged},
    {AT(SetUnLogged), undo_logged},
    {AT(SetAccessMethod), undo_access_method},
    {AT(SetTableSpace), undo_tablespace},
    {AT(SetRelOptions), undo_options},
    {AT(ResetRelOptions), undo_options},
    {AT(ReplicaIdentity), undo_replica_identity},
    {AT(ClusterOn), undo_cluster_mark},
    {AT(DropCluster), undo_cluster_mark},
    {AT(EnableRowSecurity), undo_row_security},
    {AT(DisableRowSecurity), undo_row_security},
    {AT(ForceRowSecurity), undo_row_security},
    {AT(NoForceRowSecurity), undo_row_security},
    {AT(EnableTrig), undo_trigger},
    {AT(EnableAlwaysTrig), undo_trigger},
    {AT(EnableReplicaTrig), undo_trigger},
    {AT(DisableTrig), undo_trigger},
    {AT(EnableTrigAll), undo_all_triggers},
    {AT(DisableTrigAll), undo_all_triggers},
    {AT(EnableTrigUser), undo_all_triggers},
    {AT(DisableTrigUser), undo_all_triggers},
    {AT(EnableRule), undo_rule},
    {AT(EnableAlwaysRule), undo_rule},
    {AT(EnableReplicaRule), undo_rule},
    {AT(DisableRule), undo_rule},
};

static void undo_command(struct undo *undo) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (commands[i].type != undo->command->subtype) continue;
    commands[i].undo(undo);
    return;
  }
  rollback_gone(undo->rollback, "the setting before is not recorded");
}

/* What is done to other relations on the way has to be undone although the table itself goes. */
static bool reaches_out(const PgQuery__AlterTableCmd *command) {
  return command->subtype == AT(AttachPartition) || command->subtype == AT(DetachPartition) ||
         command->subtype == AT(DetachPartitionFinalize);
}

static void alter_index(struct rollback *rollback, const PgQuery__AlterTableStmt *statement) {
  struct rel *owner = NULL;
  const PgQuery__RangeVar *range = statement->relation;
  const struct snap_index *index = shadow_index(rollback->shadow, sql_or_null(range->schemaname), range->relname, &owner);
  if (!index) {
    if (!statement->missing_ok) rollback_gone(rollback, "the index before is not recorded");
    return;
  }
  for (size_t i = statement->n_cmds; i-- > 0;) {
    struct undo undo = {.rollback = rollback,
                        .rel = owner,
                        .table = sql_qualified(rollback->arena, owner->t->schema, index->name),
                        .command = statement->cmds[i]->alter_table_cmd,
                        .words = "INDEX",
                        .index = index->name,
                        .owner = owner};
    bool known = undo.command->subtype == AT(SetRelOptions) || undo.command->subtype == AT(ResetRelOptions);
    if (known)
      undo_options(&undo);
    else
      rollback_gone(rollback, "the index's setting before is not recorded");
  }
}

static void note_dropped_constraints(struct rollback *rollback, const struct rel *rel, const PgQuery__AlterTableStmt *statement) {
  for (size_t i = 0; i < statement->n_cmds; i++) {
    const PgQuery__Node *command = statement->cmds[i];
    if (command->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD && command->alter_table_cmd->subtype == AT(DropConstraint))
      rollback_note(rollback, rollback_part_key(rollback, "constraint", rel, command->alter_table_cmd->name), false);
  }
}

void rollback_alter_table(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterTableStmt *statement = node->alter_table_stmt;
  if (statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_TYPE) {
    rollback_alter_type(rollback, node);
    return;
  }
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel && statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX) {
    alter_index(rollback, statement);
    return;
  }
  if (!rel) {
    if (!statement->missing_ok) rollback_gone(rollback, "the setting before is not recorded");
    return;
  }
  rollback->rel = rel;
  note_dropped_constraints(rollback, rel, statement);
  for (size_t i = statement->n_cmds; i-- > 0;) {
    if (statement->cmds[i]->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) continue;
    struct undo undo = {.rollback = rollback,
                        .rel = rel,
                        .table = rollback_name(rollback, rel),
                        .command = statement->cmds[i]->alter_table_cmd,
                        .words = rollback_rel_words(rel),
                        .statement = statement,
                        .at = i};
    if (!rel->created || reaches_out(undo.command)) undo_command(&undo);
  }
  note_dropped_constraints(rollback, rel, statement);
}
