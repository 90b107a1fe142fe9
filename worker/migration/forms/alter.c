/* forms/alter.c - ALTER TABLE, VIEW, INDEX, SEQUENCE: one row per subcommand with its lock, as AlterTableGetLockLevel() has them.
 *
 * Several subcommands in one statement take the strongest lock once and share one pass over the rows. */
#include <strings.h>

#include "common/json.h"
#include "worker/migration/forms/forms.h"
#include "worker/migration/forms/objects.h"
#include "worker/migration/forms/typing.h"

#include "worker/sql/text.h"

typedef void (*alter_command)(struct alter *, const PgQuery__AlterTableCmd *);
struct command_row {
  PgQuery__AlterTableType type;
  enum lock_mode lock;
  bool recurses;
  alter_command apply;
};

static void rewrite_owned(struct form *form, struct rel *sequence) {
  effect_lock(form->effect, sequence, LOCK_ACCESS_EXCLUSIVE);
  effect_rewrite(form->effect, sequence);
}

/* Values of a fixed length are stored as they are (ATExecSetStorage of commands/tablecmds.c). */
static void set_storage(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  const struct snap_column *column = form_column(alter->form, alter->rel, command->name, false);
  const char *storage = sql_node_string(command->def);
  enum type_class class = column ? typing_class(alter->form->shadow, column->type) : TYPE_OTHER;
  bool fixed = (class == TYPE_NUMBER && strncmp(column->type, "numeric", 7) != 0) || class == TYPE_BOOLEAN || class == TYPE_UUID ||
               (class >= TYPE_DATE && class <= TYPE_TIMESTAMPTZ);
  if (fixed && storage && strcasecmp(storage, "plain") != 0 && strcasecmp(storage, "default") != 0)
    form_fails(alter->form, "0A000", "values of %s have lengths of their own", column->type);
}

static void set_compression(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  const char *method = sql_node_string(command->def);
  if (!form_column(alter->form, alter->rel, command->name, false) || !method) return;
  if (strcmp(method, "pglz") != 0 && strcmp(method, "lz4") != 0 && strcmp(method, "default") != 0)
    form_fails(alter->form, "22023", "compression method %s exists", method);
}

static void drop_expression(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  struct snap_column *column = form_column(alter->form, alter->rel, command->name, command->missing_ok);
  if (column && !column->generated && !command->missing_ok && !alter->rel->vague)
    form_fails(alter->form, "55000", "column %s is generated", command->name);
  if (column) column->generated = NULL;
}

static void set_logged(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  bool unlogged = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetUnLogged;
  struct snap_table *table = alter->rel->t;
  if (table->kind == SNAP_SEQUENCE) effect_rewrite(alter->form->effect, alter->rel);
  if (table->unlogged == unlogged || !shadow_is_table(alter->rel)) return;
  for (size_t i = 0; unlogged && i < table->referenced_by_count; i++)
    if (table->referenced_by[i]->table != table && !table->referenced_by[i]->table->unlogged)
      form_fails(alter->form, "42P16", "no logged table references %s", table->qualified);
  for (size_t i = 0; !unlogged && i < table->fk_count; i++)
    if (table->fks[i].ref && table->fks[i].ref != table && table->fks[i].ref->unlogged)
      form_fails(alter->form, "42P16", "%s references no unlogged table", table->qualified);
  effect_rewrite(alter->form->effect, alter->rel);
  effect_scan(alter->form->effect, alter->rel);
  if (alter->form->shadow->version >= 150000) form_each_owned(alter->form, alter->rel, NULL, rewrite_owned);
  effect_fact(alter->form->effect, unlogged ? FACT_SET_UNLOGGED : FACT_SET_LOGGED, alter->rel, NULL, NULL);
  table->unlogged = unlogged;
}

static void set_tablespace(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  if (strcmp(command->name, "pg_default") == 0) return; /* where practically every table is */
  if (shadow_is_table(alter->rel)) effect_rewrite(alter->form->effect, alter->rel);
  effect_fact(alter->form->effect, FACT_SET_TABLESPACE, alter->rel, command->name, NULL);
}

static void set_access_method(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  if (strcmp(command->name, "heap") == 0) return; /* what practically every table is: nothing happens */
  form_rewrite_tree(alter->form, alter->rel);
  effect_fact(alter->form->effect, FACT_SET_ACCESS_METHOD, alter->rel, command->name, NULL);
}

static void disable_trigger(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  effect_fact(alter->form->effect, FACT_DISABLE_TRIGGER, alter->rel, sql_or_null(command->name), NULL);
  effect_loss(alter->form->effect, LOSS_BEHAVIOUR, NULL);
}

static void cluster_on(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  (void)command;
  alter->rel->clustered = true;
}

static void row_security(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  bool enable = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_EnableRowSecurity;
  if (enable && !alter->rel->t->policy_count) effect_fact(alter->form->effect, FACT_ENABLE_RLS, alter->rel, NULL, NULL);
  alter->rel->t->rls = enable;
}

static void inherit(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  bool add = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddInherit;
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return;
  struct rel *parent = form_target(alter->form, command->def->range_var, false);
  effect_lock(alter->form->effect, parent, add ? LOCK_SHARE_UPDATE_EXCLUSIVE : LOCK_ACCESS_SHARE);
  if (!parent) return;
  if (add) form_inheritable(alter->form, parent, alter->rel);
  if (!add) form_inherits(alter->form, parent, alter->rel);
  if (add)
    shadow_add_heir(alter->form->shadow, parent, alter->rel);
  else
    shadow_drop_heir(parent, alter->rel);
  for (size_t i = 0; add && i < parent->t->column_count; i++) {
    const struct snap_column *theirs = &parent->t->columns[i], *mine = snap_table_column(alter->rel->t, theirs->name);
    if (!mine || !shadow_same_type(mine->type, theirs->type) || (theirs->not_null && !mine->not_null))
      form_fails(alter->form, "42804", "column %s of %s is like that of %s", theirs->name, alter->rel->t->qualified, parent->t->qualified);
  }
  if (add) form_same_checks(alter->form, parent, alter->rel);
}

static bool names_option(const PgQuery__Node *list, const char *name) {
  for (size_t i = 0; list && list->node_case == PG_QUERY__NODE__NODE_LIST && i < list->list->n_items; i++)
    if (list->list->items[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM && strcmp(list->list->items[i]->def_elem->defname, name) == 0)
      return true;
  return false;
}

static void lock_owned(struct form *form, struct rel *sequence) { effect_lock(form->effect, sequence, LOCK_ACCESS_EXCLUSIVE); }

/* The sequences of its columns go to the new owner, too. */
static void change_owner(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  const PgQuery__RoleSpec *owner = command->newowner;
  const char *name = owner && owner->roletype == PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_CSTRING ? owner->rolename : NULL;
  if (name && alter->rel->t->owner && strcmp(name, alter->rel->t->owner) != 0) form_each_owned(alter->form, alter->rel, NULL, lock_owned);
}

static void set_options(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  if (command->def && command->def->node_case == PG_QUERY__NODE__NODE_LIST && shadow_is_table(alter->rel))
    form_storage_options(alter->form, command->def->list->n_items, command->def->list->items);
  if (names_option(command->def, "user_catalog_table")) effect_lock(alter->form->effect, alter->rel, LOCK_ACCESS_EXCLUSIVE);
  if (alter->rel->t->kind == SNAP_PARTITIONED)
    form_fails(alter->form, "42809", "%s is not partitioned (storage parameters belong to partitions)", alter->rel->t->qualified);
}

#define AT(name) PG_QUERY__ALTER_TABLE_TYPE__AT_##name
#define AX LOCK_ACCESS_EXCLUSIVE
#define SRX LOCK_SHARE_ROW_EXCLUSIVE
#define SUX LOCK_SHARE_UPDATE_EXCLUSIVE
static const struct command_row commands[] = {
    {AT(AddColumn), AX, true, alter_add_column},
    {AT(DropColumn), AX, true, alter_drop_column},
    {AT(AlterColumnType), AX, true, alter_column_type},
    {AT(ColumnDefault), AX, true, alter_column_default},
    {AT(SetNotNull), AX, true, alter_set_not_null},
    {AT(DropNotNull), AX, true, alter_drop_not_null},
    {AT(AddIdentity), AX, false, alter_identity},
    {AT(SetIdentity), AX, false, alter_identity},
    {AT(DropIdentity), AX, false, alter_identity},
    {AT(SetExpression), AX, true, alter_set_expression},
    {AT(DropExpression), AX, true, drop_expression},
    {AT(SetStatistics), SUX, true, NULL},
    {AT(SetOptions), SUX, false, NULL},
    {AT(ResetOptions), SUX, false, NULL},
    {AT(SetStorage), AX, true, set_storage},
    {AT(SetCompression), AX, false, set_compression},
    {AT(AddConstraint), AX, false, alter_add_constraint},
    {AT(DropConstraint), AX, true, alter_drop_constraint},
    {AT(AlterConstraint), AX, true, NULL},
    {AT(ValidateConstraint), SUX, false, alter_validate_constraint},
    {AT(ChangeOwner), AX, false, change_owner},
    {AT(ClusterOn), SUX, false, cluster_on},
    {AT(DropCluster), SUX, false, NULL},
    {AT(SetLogged), AX, false, set_logged},
    {AT(SetUnLogged), AX, false, set_logged},
    {AT(SetAccessMethod), AX, false, set_access_method},
    {AT(SetTableSpace), AX, false, set_tablespace},
    {AT(SetRelOptions), SUX, false, set_options},
    {AT(ResetRelOptions), SUX, false, NULL},
    {AT(EnableTrig), SRX, true, NULL},
    {AT(EnableAlwaysTrig), SRX, true, NULL},
    {AT(EnableReplicaTrig), SRX, true, NULL},
    {AT(EnableTrigAll), SRX, true, NULL},
    {AT(EnableTrigUser), SRX, true, NULL},
    {AT(DisableTrig), SRX, true, disable_trigger},
    {AT(DisableTrigAll), SRX, true, disable_trigger},
    {AT(DisableTrigUser), SRX, true, disable_trigger},
    {AT(AddInherit), AX, false, inherit},
    {AT(DropInherit), AX, false, inherit},
    {AT(EnableRowSecurity), AX, false, row_security},
    {AT(DisableRowSecurity), AX, false, row_security},
    {AT(AttachPartition), SUX, false, alter_attach_partition},
    {AT(DetachPartition), AX, false, alter_detach_partition},
    {AT(DetachPartitionFinalize), SUX, false, NULL},
};

/* Locks that depend on more than the subcommand. */
static enum lock_mode lock_for(const struct alter *alter, const PgQuery__AlterTableCmd *command, const struct command_row *row) {
  const PgQuery__Node *def = command->def;
  if (row->type == AT(AddConstraint) && def && def->node_case == PG_QUERY__NODE__NODE_CONSTRAINT &&
      def->constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN)
    return SRX;
  if (row->type == AT(DetachPartition) && def && def->node_case == PG_QUERY__NODE__NODE_PARTITION_CMD && def->partition_cmd->concurrent)
    return SUX;
  if ((row->type == AT(SetRelOptions) || row->type == AT(ResetRelOptions)) && alter->rel->t->kind == SNAP_VIEW) return AX;
  return row->lock;
}

/* PostgreSQL 18 has NOT NULL as a constraint, which goes from all partitions at once, ONLY or not. */
static bool reaches_anyway(const struct alter *alter, PgQuery__AlterTableType type) {
  return type == AT(DropNotNull) && alter->rel->t->kind == SNAP_PARTITIONED && alter->form->shadow->version >= 180000;
}

/* Switching triggers reaches partitions through the copies of row triggers they hold. */
static bool reaches_partitions(const struct alter *alter, const struct command_row *row) {
  if (!row->recurses || (alter->only && !reaches_anyway(alter, row->type))) return false;
  if (row->lock != SRX) return true;
  if (alter->rel->t->kind != SNAP_PARTITIONED) return false;
  if (row->type != AT(EnableTrigAll) && row->type != AT(DisableTrigAll)) return alter->rel->t->trigger_count;
  return alter->rel->t->trigger_count || alter->rel->t->fk_count || alter->rel->t->referenced_by_count;
}

/* Columns and constraints belong to tables. */
static bool suits_kind(PgQuery__AlterTableType type, enum snap_relkind kind) {
  if (kind != SNAP_VIEW && kind != SNAP_MATVIEW && kind != SNAP_SEQUENCE) return true;
  static const PgQuery__AlterTableType tables_only[] = {
      AT(AddColumn),          AT(DropColumn),         AT(AlterColumnType), AT(SetNotNull),     AT(DropNotNull),      AT(AddConstraint),
      AT(DropConstraint),     AT(ValidateConstraint), AT(AlterConstraint), AT(AddInherit),     AT(DropInherit),      AT(EnableRowSecurity),
      AT(DisableRowSecurity), AT(AttachPartition),    AT(DetachPartition), AT(EnableTrig),     AT(EnableAlwaysTrig), AT(EnableReplicaTrig),
      AT(EnableTrigAll),      AT(EnableTrigUser),     AT(DisableTrig),     AT(DisableTrigAll), AT(DisableTrigUser),  AT(AddIdentity),
      AT(SetIdentity),        AT(DropIdentity),       AT(SetExpression),   AT(DropExpression)};
  for (size_t i = 0; i < sizeof tables_only / sizeof *tables_only; i++)
    if (tables_only[i] == type) return false;
  return true;
}

/* Typed tables have the columns of their type. */
static bool suits_typed(const struct alter *alter, PgQuery__AlterTableType type) {
  if (type != AT(AddColumn) && type != AT(DropColumn) && type != AT(AlterColumnType) && type != AT(AddInherit)) return true;
  const json_t *json = objects_json(alter->form->shadow, alter->rel);
  return alter->rel->created || !json_str(json, "of_type", NULL);
}

/* ONLY, where there are heirs: what must be the same in all can't be changed in one. */
static bool alone(const struct alter *alter, PgQuery__AlterTableType type) {
  bool partitioned = alter->rel->t->kind == SNAP_PARTITIONED;
  if (type == AT(AddColumn) || type == AT(AlterColumnType)) return false;
  return !(partitioned && (type == AT(DropColumn) || type == AT(DropNotNull))) || reaches_anyway(alter, type);
}

/* A heir that has the column already keeps it, and what is below that is left alone (ATExecAddColumn). */
static void lock_without(const struct alter *alter, struct rel *rel, const PgQuery__AlterTableCmd *command, int depth) {
  const char *name = command->def && command->def->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF ? command->def->column_def->colname : "";
  effect_lock(alter->form->effect, rel, AX);
  for (size_t i = 0; !alter->only && depth < 64 && i < rel->t->partition_count; i++) {
    struct rel *heir = shadow_of(alter->form->shadow, rel->t->partitions[i]);
    if (!heir || heir == rel) continue;
    if (snap_table_column(heir->t, name))
      effect_lock(alter->form->effect, heir, AX);
    else
      lock_without(alter, heir, command, depth + 1);
  }
}

/* What ONLY drops here becomes the heirs' own. */
static void lock_below(const struct alter *alter) {
  for (size_t i = 0; i < alter->rel->t->partition_count; i++)
    effect_lock(alter->form->effect, shadow_of(alter->form->shadow, alter->rel->t->partitions[i]), AX);
}

static void apply_command(struct alter *alter, const PgQuery__AlterTableCmd *command) {
  static const struct command_row unknown = {0, AX, false, NULL}; /* every subcommand not listed takes the strongest */
  const struct command_row *row = &unknown;
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (commands[i].type == command->subtype) row = &commands[i];
  if (!suits_kind(command->subtype, alter->rel->t->kind) || !suits_typed(alter, command->subtype)) {
    form_fails(alter->form, "42809", "%s is a table", alter->rel->t->qualified);
    return;
  }
  if (alter->only && alter->rel->t->partition_count && !alone(alter, command->subtype))
    form_fails(alter->form, "42P16", "the change reaches what inherits from %s, too", alter->rel->t->qualified);
  if (row->type == AT(AddColumn))
    lock_without(alter, alter->rel, command, 0);
  else
    form_lock_heirs(alter->form, alter->rel, lock_for(alter, command, row), reaches_partitions(alter, row));
  if (alter->only && (row->type == AT(DropColumn) || row->type == AT(DropConstraint))) lock_below(alter);
  if (row->apply) row->apply(alter, command);
}

/* ALTER INDEX locks the index, which reports leave out; only what reaches tables is recorded. */
static void alter_index(struct form *form, const PgQuery__AlterTableStmt *statement) {
  struct rel *table = NULL;
  const PgQuery__RangeVar *range = statement->relation;
  struct snap_index *index = shadow_index(form->shadow, sql_or_null(range->schemaname), range->relname, &table);
  if (!index) {
    if (!statement->missing_ok) form_fails(form, "42P01", "index %s exists", sql_ident(form->arena, range->relname));
    return;
  }
  effect_table(form->effect, table);
  for (size_t i = 0; i < statement->n_cmds; i++) {
    const PgQuery__AlterTableCmd *command = statement->cmds[i]->alter_table_cmd;
    if (command->subtype == AT(SetTableSpace)) effect_fact(form->effect, FACT_SET_TABLESPACE, table, index->name, "index");
    if (command->subtype == AT(SetStatistics) && command->num > 0 && (size_t)command->num <= index->column_count &&
        snap_table_column(table->t, index->columns[command->num - 1]))
      form_fails(form, "0A000", "column %d of %s is an expression", command->num, index->name);
    if (command->subtype != AT(AttachPartition) || !command->def) continue;
    struct rel *part = NULL;
    const PgQuery__RangeVar *name = command->def->partition_cmd->name;
    if (!shadow_index(form->shadow, sql_or_null(name->schemaname), name->relname, &part))
      form_fails(form, "42P01", "index %s exists", name->relname);
    effect_lock(form->effect, table, LOCK_ACCESS_SHARE);
    effect_lock(form->effect, part, LOCK_ACCESS_SHARE);
  }
}

static const char *operation_of(PgQuery__ObjectType type) {
  switch (type) {
  case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW: return "ALTER VIEW";
  case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW: return "ALTER MATERIALIZED VIEW";
  case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX: return "ALTER INDEX";
  case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE: return "ALTER SEQUENCE";
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: return "ALTER FOREIGN TABLE";
  case PG_QUERY__OBJECT_TYPE__OBJECT_TYPE: return "ALTER TYPE";
  default: return "ALTER TABLE";
  }
}

void form_alter_table(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterTableStmt *statement = node->alter_table_stmt;
  form->effect->operation = operation_of(statement->objtype);
  if (statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_TYPE) return; /* a composite type: no table is locked */
  if (statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX) {
    alter_index(form, statement);
    return;
  }
  struct rel *rel = form_target(form, statement->relation, statement->missing_ok);
  if (!rel) return;
  struct alter alter = {.form = form, .rel = rel, .statement = statement, .only = !statement->relation->inh};
  for (size_t i = 0; i < statement->n_cmds; i++)
    if (statement->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) apply_command(&alter, statement->cmds[i]->alter_table_cmd);
}
