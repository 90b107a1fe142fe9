/* rollback_table.c - the way back for tables: ALTER TABLE subcommand by subcommand, and dropped tables and views from the snapshot. */
#include "common/json.h"
#include "worker/migration/rollback.h"
#include "worker/migration/type_change.h"
#include "worker/sql/text.h"

static const char *q(struct rollback *rollback, const char *name) { return sql_ident(rollback->arena, name); }

/* What the snapshot's JSON says about one member of a table (a key's definition), where the model doesn't hold it. */
static const char *recorded(struct rollback *rollback, const struct rel *rel, const char *list, const char *name) {
  size_t index;
  json_t *table, *one;
  json_array_foreach(json_object_get(rollback->before->json, "tables"), index, table) {
    if (strcmp(json_str(table, "name", ""), rel->t->name) != 0 || strcmp(json_str(table, "schema", ""), rel->t->schema) != 0) continue;
    size_t at;
    json_array_foreach(json_object_get(table, list), at,
                       one) if (strcmp(json_str(one, "name", ""), name) == 0) return json_str(one, "definition", NULL);
  }
  return NULL;
}

static const char *fk_definition(struct rollback *rollback, const struct rel *rel, const struct snap_fk *fk) {
  const char *definition = recorded(rollback, rel, "foreign_keys", fk->name);
  if (definition) return definition;
  return arena_printf(
      rollback->arena, "FOREIGN KEY (%s) REFERENCES %s (%s) ON UPDATE %s ON DELETE %s%s",
      sql_ident_list(rollback->arena, fk->columns, fk->column_count), sql_qualified(rollback->arena, fk->ref_schema, fk->ref_table),
      sql_ident_list(rollback->arena, fk->ref_columns, fk->column_count), fk->on_update, fk->on_delete, fk->validated ? "" : " NOT VALID");
}

static const char *column_definition(struct rollback *rollback, const struct snap_column *column, bool whole) {
  const char *text = arena_printf(rollback->arena, "%s %s", q(rollback, column->name), column->type);
  if (column->generated) return arena_printf(rollback->arena, "%s GENERATED ALWAYS AS (%s) STORED", text, column->generated);
  if (column->identity)
    return arena_printf(rollback->arena, "%s GENERATED %s AS IDENTITY", text,
                        strcmp(column->identity, "always") == 0 ? "ALWAYS" : "BY DEFAULT");
  if (column->default_expr) text = arena_printf(rollback->arena, "%s DEFAULT %s", text, column->default_expr);
  return column->not_null && (whole || column->default_expr) ? arena_printf(rollback->arena, "%s NOT NULL", text) : text;
}

static bool uses_column(const char *const *columns, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (columns[i] && strcmp(columns[i], name) == 0) return true;
  return false;
}

/* The keys, constraints and indexes of one column (NULL: of the whole table), in an order that works. */
static void recreate_keys(struct rollback *rollback, const struct rel *rel, const char *column) {
  const char *name = rollback_name(rollback, rel);
  for (size_t i = 0; i < rel->t->constraint_count; i++) {
    const struct snap_constraint *constraint = &rel->t->constraints[i];
    if (!*constraint->definition || constraint->type == 'n' ||
        (column && !uses_column(constraint->columns, constraint->column_count, column)))
      continue;
    rollback_add(rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", name, q(rollback, constraint->name), constraint->definition);
  }
  for (size_t i = 0; i < rel->t->index_count; i++) {
    const struct snap_index *index = &rel->t->indexes[i];
    bool backs = false;
    for (size_t c = 0; c < rel->t->constraint_count; c++)
      backs |= rel->t->constraints[c].index && strcmp(rel->t->constraints[c].index, index->name) == 0;
    if (backs || index->primary || !*index->definition || (column && !uses_column(index->columns, index->column_count, column))) continue;
    rollback_add(rollback, "%s", index->definition);
  }
  for (size_t i = 0; i < rel->t->fk_count; i++) {
    const struct snap_fk *fk = &rel->t->fks[i];
    if (column && !uses_column(fk->columns, fk->column_count, column)) continue;
    rollback_add(rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", name, q(rollback, fk->name), fk_definition(rollback, rel, fk));
  }
}

void rollback_recreate_view(struct rollback *rollback, const struct rel *rel) {
  const char *definition = rel->t->definition;
  if (!definition) {
    rollback_gone(rollback, "the definition of %s is not recorded", rel->t->qualified);
    return;
  }
  size_t len = strlen(definition);
  while (len && (definition[len - 1] == ';' || definition[len - 1] == '\n' || definition[len - 1] == ' ')) len--;
  rollback_add(rollback, "CREATE %s %s AS %.*s", rel->t->kind == SNAP_MATVIEW ? "MATERIALIZED VIEW" : "OR REPLACE VIEW",
               rollback_name(rollback, rel), (int)len, definition);
  for (size_t i = 0; i < rel->t->index_count; i++)
    if (*rel->t->indexes[i].definition) rollback_add(rollback, "%s", rel->t->indexes[i].definition);
  if (rel->t->comment && *rel->t->comment)
    rollback_add(rollback, "COMMENT ON %s %s IS %s", rel->t->kind == SNAP_MATVIEW ? "MATERIALIZED VIEW" : "VIEW",
                 rollback_name(rollback, rel), sql_literal(rollback->arena, rel->t->comment));
}

void rollback_recreate_table(struct rollback *rollback, const struct rel *rel) {
  const char *columns = "", *name = rollback_name(rollback, rel);
  for (size_t i = 0; i < rel->t->column_count; i++)
    columns = arena_printf(rollback->arena, "%s%s%s", columns, i ? ", " : "", column_definition(rollback, &rel->t->columns[i], true));
  if (!columns || !name) return;
  rollback_add(rollback, "CREATE %sTABLE %s (%s)%s%s", rel->t->unlogged ? "UNLOGGED " : "", name, columns,
               rel->t->partition_key ? " PARTITION BY " : "", rel->t->partition_key ? rel->t->partition_key : "");
  recreate_keys(rollback, rel, NULL);
  for (size_t i = 0; i < rel->t->trigger_count; i++) rollback_add(rollback, "%s", rel->t->triggers[i].definition);
  for (size_t i = 0; i < rel->t->policy_count; i++)
    if (strncmp(rel->t->policies[i].definition, "CREATE", 6) == 0) rollback_add(rollback, "%s", rel->t->policies[i].definition);
  if (rel->t->rls) rollback_add(rollback, "ALTER TABLE %s ENABLE ROW LEVEL SECURITY", name);
  if (rel->t->comment && *rel->t->comment)
    rollback_add(rollback, "COMMENT ON TABLE %s IS %s", name, sql_literal(rollback->arena, rel->t->comment));
  if (rel->t->partition_of && rel->t->partition_bound) rollback_gone(rollback, "the partition is rebuilt detached");
}

/* --- ALTER TABLE --- */

struct undo {
  struct rollback *rollback;
  const struct rel *rel;
  const char *table;
  const PgQuery__AlterTableCmd *command;
};

static void undo_add_column(struct undo *undo) {
  const char *name = undo->command->def ? undo->command->def->column_def->colname : NULL;
  if (name && !snap_table_column(undo->rel->t, name))
    rollback_add(undo->rollback, "ALTER TABLE %s DROP COLUMN %s", undo->table, q(undo->rollback, name));
}

static void undo_drop_column(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  if (!column) return;
  rollback_gone(undo->rollback, "the values of %s.%s are gone", undo->rel->t->qualified, column->name);
  rollback_add(undo->rollback, "ALTER TABLE %s ADD COLUMN %s", undo->table, column_definition(undo->rollback, column, false));
  recreate_keys(undo->rollback, undo->rel, column->name);
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

static void undo_default(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  if (column && column->default_expr)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", undo->table, q(undo->rollback, column->name),
                 column->default_expr);
  else if (column)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT", undo->table, q(undo->rollback, column->name));
}

static void undo_nullability(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  bool sets = undo->command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull;
  if (column && column->not_null != sets)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s %s NOT NULL", undo->table, q(undo->rollback, column->name),
                 sets ? "DROP" : "SET");
}

static void undo_identity(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  if (undo->command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity) {
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY", undo->table, q(undo->rollback, undo->command->name));
  } else if (column && column->identity) {
    rollback_gone(undo->rollback, "the position of the identity sequence of %s.%s is gone", undo->rel->t->qualified, column->name);
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s ADD GENERATED %s AS IDENTITY", undo->table,
                 q(undo->rollback, column->name), strcmp(column->identity, "always") == 0 ? "ALWAYS" : "BY DEFAULT");
  }
}

/* The name PostgreSQL gives a constraint that has none. */
static const char *constraint_name(struct undo *undo, const PgQuery__Constraint *constraint) {
  struct arena *arena = undo->rollback->arena;
  if (sql_or_null(constraint->conname)) return constraint->conname;
  if (sql_or_null(constraint->indexname)) return constraint->indexname;
  if (constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY) return arena_printf(arena, "%s_pkey", undo->rel->t->name);
  bool foreign = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN;
  const char *name = undo->rel->t->name;
  for (size_t i = 0; i < (foreign ? constraint->n_fk_attrs : constraint->n_keys); i++)
    name = arena_printf(arena, "%s_%s", name, sql_node_string(foreign ? constraint->fk_attrs[i] : constraint->keys[i]));
  switch (constraint->contype) {
  case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN: return arena_printf(arena, "%s_fkey", name);
  case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE: return arena_printf(arena, "%s_key", name);
  default: return NULL; /* a CHECK's name depends on the columns it mentions */
  }
}

static void undo_add_constraint(struct undo *undo) {
  if (!undo->command->def || undo->command->def->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) return;
  const PgQuery__Constraint *constraint = undo->command->def->constraint;
  struct rollback *rollback = undo->rollback;
  const char *name = constraint_name(undo, constraint);
  if (!name) {
    rollback_gone(rollback, "the constraint has no name of its own: give it one");
    return;
  }
  rollback_add(rollback, "ALTER TABLE %s DROP CONSTRAINT %s", undo->table, q(rollback, name));
  struct rel *owner = NULL;
  const struct snap_index *index =
      sql_or_null(constraint->indexname) ? shadow_index(rollback->shadow, undo->rel->t->schema, constraint->indexname, &owner) : NULL;
  if (index && *index->definition) rollback_add(rollback, "%s", index->definition);
  if (constraint->contype != PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY) return;
  size_t count = index ? index->column_count : constraint->n_keys;
  for (size_t i = 0; i < count; i++) {
    const struct snap_column *column = snap_table_column(undo->rel->t, index ? index->columns[i] : sql_node_string(constraint->keys[i]));
    if (column && !column->not_null)
      rollback_add(rollback, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL", undo->table, q(rollback, column->name));
  }
}

static void undo_drop_constraint(struct undo *undo) {
  const struct snap_constraint *constraint = shadow_constraint(undo->rel, undo->command->name);
  const struct snap_fk *fk = shadow_fk(undo->rel, undo->command->name);
  if (undo->command->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE)
    rollback_gone(undo->rollback, "what CASCADE takes along is not rebuilt");
  const char *definition = fk                                      ? fk_definition(undo->rollback, undo->rel, fk)
                           : constraint && *constraint->definition ? constraint->definition
                                                                   : NULL;
  if (definition)
    rollback_add(undo->rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", undo->table, q(undo->rollback, undo->command->name), definition);
  else if (fk || constraint)
    rollback_gone(undo->rollback, "the definition of constraint %s is not recorded", undo->command->name);
}

/* Only a constraint that was there before the migration has to become NOT VALID again. */
static void undo_validate(struct undo *undo) {
  const char *name = undo->command->name, *definition = recorded(undo->rollback, undo->rel, "foreign_keys", name);
  if (!definition) definition = recorded(undo->rollback, undo->rel, "checks", name);
  if (!definition || !strstr(definition, "NOT VALID")) return;
  rollback_add(undo->rollback, "ALTER TABLE %s DROP CONSTRAINT %s", undo->table, q(undo->rollback, name));
  rollback_add(undo->rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", undo->table, q(undo->rollback, name), definition);
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
  if (undo->rel->t->owner && *undo->rel->t->owner)
    rollback_add(undo->rollback, "ALTER TABLE %s OWNER TO %s", undo->table, q(undo->rollback, undo->rel->t->owner));
}

static void undo_inherit(struct undo *undo) {
  bool added = undo->command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddInherit;
  const struct rel *parent = undo->command->def ? shadow_range(undo->rollback->shadow, undo->command->def->range_var) : NULL;
  if (parent)
    rollback_add(undo->rollback, "ALTER TABLE %s %s %s", undo->table, added ? "NO INHERIT" : "INHERIT",
                 rollback_name(undo->rollback, parent));
}

#define AT(name) PG_QUERY__ALTER_TABLE_TYPE__AT_##name
static const struct {
  PgQuery__AlterTableType type;
  void (*undo)(struct undo *);
  const char *plain;
} commands[] = {
    {AT(AddColumn), undo_add_column, NULL},
    {AT(DropColumn), undo_drop_column, NULL},
    {AT(AlterColumnType), undo_type, NULL},
    {AT(ColumnDefault), undo_default, NULL},
    {AT(SetNotNull), undo_nullability, NULL},
    {AT(DropNotNull), undo_nullability, NULL},
    {AT(AddIdentity), undo_identity, NULL},
    {AT(DropIdentity), undo_identity, NULL},
    {AT(AddConstraint), undo_add_constraint, NULL},
    {AT(DropConstraint), undo_drop_constraint, NULL},
    {AT(ValidateConstraint), undo_validate, NULL},
    {AT(AttachPartition), undo_partition, NULL},
    {AT(DetachPartition), undo_partition, NULL},
    {AT(ChangeOwner), undo_owner, NULL},
    {AT(AddInherit), undo_inherit, NULL},
    {AT(DropInherit), undo_inherit, NULL},
    {AT(SetLogged), NULL, "SET UNLOGGED"},
    {AT(SetUnLogged), NULL, "SET LOGGED"},
    {AT(EnableRowSecurity), NULL, "DISABLE ROW LEVEL SECURITY"},
    {AT(DisableRowSecurity), NULL, "ENABLE ROW LEVEL SECURITY"},
    {AT(ForceRowSecurity), NULL, "NO FORCE ROW LEVEL SECURITY"},
    {AT(NoForceRowSecurity), NULL, "FORCE ROW LEVEL SECURITY"},
    {AT(DisableTrigAll), NULL, "ENABLE TRIGGER ALL"},
    {AT(DisableTrigUser), NULL, "ENABLE TRIGGER USER"},
};

static void undo_command(struct undo *undo) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (commands[i].type != undo->command->subtype) continue;
    if (commands[i].undo)
      commands[i].undo(undo);
    else
      rollback_add(undo->rollback, "ALTER TABLE %s %s", undo->table, commands[i].plain);
    return;
  }
  rollback_gone(undo->rollback, "the setting before is not recorded");
}

void rollback_alter_table(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterTableStmt *statement = node->alter_table_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel) {
    if (statement->objtype != PG_QUERY__OBJECT_TYPE__OBJECT_TABLE) rollback_gone(rollback, "the setting before is not recorded");
    return;
  }
  for (size_t i = statement->n_cmds; i-- > 0;) {
    if (statement->cmds[i]->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) continue;
    struct undo undo = {rollback, rel, rollback_name(rollback, rel), statement->cmds[i]->alter_table_cmd};
    undo_command(&undo);
  }
}
