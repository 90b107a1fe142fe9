/* rollback/table.c - the way back for ALTER TABLE, subcommand by subcommand. */
#include "worker/migration/forms/type_change.h"
#include "worker/migration/rollback/impl.h"

static const char *q(struct rollback *rollback, const char *name) { return sql_ident(rollback->arena, name); }

struct undo {
  struct rollback *rollback;
  const struct rel *rel;
  const char *table;
  const PgQuery__AlterTableCmd *command;
  const char *words, *index; /* "TABLE", "INDEX"; the index's own name */
  struct rel *owner;         /* of the index */
};

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

/* --- settings: as the dump has them, or as they are when nothing is said --- */

static const PgQuery__AlterTableCmd *only_command(const struct source_statement *statement) {
  const PgQuery__Node *node = statement->node;
  return node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT && node->alter_table_stmt->n_cmds == 1
             ? node->alter_table_stmt->cmds[0]->alter_table_cmd
             : NULL;
}

/* Emits what the dump says with one of the subcommands (name: and about it); false when it says nothing. */
static bool as_recorded(struct undo *undo, const PgQuery__AlterTableType *types, const char *name) {
  struct rollback *rollback = undo->rollback;
  const struct rollback_source *source = rollback_source(rollback);
  const char *table = rollback_rel_key(rollback, undo->rel);
  bool found = false;
  for (size_t i = 0; source && i < source->count; i++) {
    const PgQuery__AlterTableCmd *command = only_command(&source->statements[i]);
    if (!command || !source_has(&source->statements[i].of, table) || (name && strcmp(command->name, name) != 0)) continue;
    for (const PgQuery__AlterTableType *type = types; *type; type++) {
      if (*type != command->subtype) continue;
      found = true;
      bool waits = false;
      for (size_t k = 0; k < source->statements[i].of.count; k++) waits |= rollback_is_dropped(rollback, source->statements[i].of.items[k]);
      if (waits) continue;
      PgQuery__RangeVar *range = source->statements[i].node->alter_table_stmt->relation;
      char *schema = range->schemaname, *was = range->relname;
      range->schemaname = (char *)(uintptr_t)undo->rel->t->schema; /* it may have been renamed since */
      range->relname = (char *)(uintptr_t)undo->rel->t->name;
      rollback_add_tree(rollback, source->statements[i].node);
      range->schemaname = schema;
      range->relname = was;
    }
  }
  return found;
}

#define AT(name) PG_QUERY__ALTER_TABLE_TYPE__AT_##name
#define TYPES(...) ((const PgQuery__AlterTableType[]){__VA_ARGS__, 0})

/* The column as it was called before the migration. */
static const char *old_column(struct undo *undo, const char *name) {
  const char *key = rollback_part_key(undo->rollback, "column", undo->rel, name), *colon = key ? strrchr(key, ':') : NULL;
  return colon && colon[1] != '"' ? colon + 1 : name;
}

static const json_t *column_json(struct undo *undo) {
  return rollback_member(rollback_rel_json(undo->rollback, undo->rel), "columns", old_column(undo, undo->command->name));
}

static void undo_statistics(struct undo *undo) {
  if (!as_recorded(undo, TYPES(AT(SetStatistics)), old_column(undo, undo->command->name)))
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET STATISTICS -1", undo->table, q(undo->rollback, undo->command->name));
}

static void undo_storage(struct undo *undo) {
  const char *was = json_str(column_json(undo), "storage", NULL);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET STORAGE %s", undo->table, q(undo->rollback, undo->command->name), was);
}

static void undo_compression(struct undo *undo) {
  const json_t *json = column_json(undo);
  if (json)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET COMPRESSION %s", undo->table, q(undo->rollback, undo->command->name),
                 json_str(json, "compression", "default"));
}

static const char *options_of(struct undo *undo, const json_t *list) {
  const char *text = "";
  size_t index;
  const json_t *one;
  json_array_foreach(list, index, one) {
    const char *pair = json_string_value(one), *equals = pair ? strchr(pair, '=') : NULL;
    if (!equals) continue;
    text = arena_printf(undo->rollback->arena, "%s%s%.*s = %s", text, *text ? ", " : "", (int)(equals - pair), pair,
                        sql_literal(undo->rollback->arena, equals + 1));
  }
  return text;
}

static const char *option_names(struct undo *undo) {
  const char *names = "";
  const PgQuery__Node *list = undo->command->def;
  for (size_t i = 0; list && list->node_case == PG_QUERY__NODE__NODE_LIST && i < list->list->n_items; i++) {
    const PgQuery__DefElem *option = list->list->items[i]->def_elem;
    bool in = sql_or_null(option->defnamespace) != NULL;
    names = arena_printf(undo->rollback->arena, "%s%s%s%s%s", names, *names ? ", " : "", in ? option->defnamespace : "", in ? "." : "",
                         option->defname);
  }
  return names;
}

static void undo_column_options(struct undo *undo) {
  const char *column = q(undo->rollback, undo->command->name), *was = options_of(undo, json_object_get(column_json(undo), "options"));
  rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s RESET (%s)", undo->table, column, option_names(undo));
  if (*was) rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET (%s)", undo->table, column, was);
}

/* Those of the TOAST table stand in the dump only. */
static const char *toast_options(struct undo *undo) {
  const struct source_statement *made =
      source_find(rollback_source(undo->rollback), SOURCE_MAKES, rollback_rel_key(undo->rollback, undo->rel));
  const char *text = "";
  if (!made || made->node->node_case != PG_QUERY__NODE__NODE_CREATE_STMT) return text;
  for (size_t i = 0; i < made->node->create_stmt->n_options; i++) {
    const PgQuery__DefElem *option = made->node->create_stmt->options[i]->def_elem;
    if (!sql_or_null(option->defnamespace) || !option->arg) continue;
    const char *value = sql_node_string(option->arg);
    long number = 0;
    if (!value && sql_node_int(option->arg, &number)) value = arena_printf(undo->rollback->arena, "%ld", number);
    if (value)
      text = arena_printf(undo->rollback->arena, "%s%s%s.%s = %s", text, *text ? ", " : "", option->defnamespace, option->defname,
                          sql_literal(undo->rollback->arena, value));
  }
  return text;
}

static const json_t *relation_options(struct undo *undo, struct rel *owner) {
  if (!owner) return json_object_get(rollback_rel_json(undo->rollback, undo->rel), "options");
  return json_object_get(rollback_member(rollback_rel_json(undo->rollback, owner), "indexes", undo->index), "options");
}

static void undo_options(struct undo *undo) {
  const char *was = options_of(undo, relation_options(undo, undo->owner)), *toast = undo->owner ? "" : toast_options(undo);
  rollback_add(undo->rollback, "ALTER %s %s RESET (%s)", undo->words, undo->table, option_names(undo));
  if (*was || *toast)
    rollback_add(undo->rollback, "ALTER %s %s SET (%s%s%s)", undo->words, undo->table, was, *was && *toast ? ", " : "", toast);
}

static void undo_replica_identity(struct undo *undo) {
  if (!as_recorded(undo, TYPES(AT(ReplicaIdentity)), NULL))
    rollback_add(undo->rollback, "ALTER TABLE %s REPLICA IDENTITY DEFAULT", undo->table);
}

static void undo_cluster_mark(struct undo *undo) {
  if (!as_recorded(undo, TYPES(AT(ClusterOn)), NULL)) rollback_add(undo->rollback, "ALTER TABLE %s SET WITHOUT CLUSTER", undo->table);
}

static void undo_row_security(struct undo *undo) {
  const json_t *json = rollback_rel_json(undo->rollback, undo->rel);
  bool forced = undo->command->subtype == AT(ForceRowSecurity) || undo->command->subtype == AT(NoForceRowSecurity);
  bool was = json ? json_bool(json, forced ? "rls_forced" : "rls", false) : undo->rel->t->rls;
  rollback_add(undo->rollback, "ALTER TABLE %s %s ROW LEVEL SECURITY", undo->table,
               forced ? (was ? "FORCE" : "NO FORCE")
               : was  ? "ENABLE"
                      : "DISABLE");
}

static const char *enabling(const char *state) {
  if (strcmp(state, "disabled") == 0) return "DISABLE";
  if (strcmp(state, "replica") == 0) return "ENABLE REPLICA";
  return strcmp(state, "always") == 0 ? "ENABLE ALWAYS" : "ENABLE";
}

static void undo_trigger(struct undo *undo) {
  const json_t *was = rollback_member(rollback_rel_json(undo->rollback, undo->rel), "triggers", undo->command->name);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s %s TRIGGER %s", undo->table, enabling(json_str(was, "enabled", "origin")),
                 q(undo->rollback, undo->command->name));
}

/* ALL counts the triggers of foreign keys, too, which go by no name of their own: they were on unless somebody turned them off. */
static void undo_all_triggers(struct undo *undo) {
  size_t index;
  const json_t *one;
  bool all = undo->command->subtype == AT(DisableTrigAll) || undo->command->subtype == AT(EnableTrigAll);
  const json_t *list = json_object_get(rollback_rel_json(undo->rollback, undo->rel), "triggers");
  rollback_add(undo->rollback, "ALTER TABLE %s ENABLE TRIGGER %s", undo->table, all ? "ALL" : "USER");
  json_array_foreach(list, index, one) {
    const char *state = json_str(one, "enabled", "origin");
    bool dropped = rollback_is_dropped(undo->rollback, rollback_part_key(undo->rollback, "trigger", undo->rel, json_str(one, "name", "")));
    if (strcmp(state, "origin") != 0 && !dropped)
      rollback_add(undo->rollback, "ALTER TABLE %s %s TRIGGER %s", undo->table, enabling(state),
                   q(undo->rollback, json_str(one, "name", "")));
  }
}

static void undo_rule(struct undo *undo) {
  const json_t *was = rollback_member(rollback_rel_json(undo->rollback, undo->rel), "rules", undo->command->name);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s %s RULE %s", undo->table, enabling(json_str(was, "enabled", "origin")),
                 q(undo->rollback, undo->command->name));
}

static void undo_identity(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  if (undo->command->subtype == AT(AddIdentity)) {
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY", undo->table, q(undo->rollback, undo->command->name));
  } else if (column && column->identity) {
    rollback_gone(undo->rollback, "the position of the identity sequence of %s.%s is gone", undo->rel->t->qualified, column->name);
    if (!as_recorded(undo, TYPES(AT(AddIdentity)), column->name))
      rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s ADD GENERATED %s AS IDENTITY", undo->table,
                   q(undo->rollback, column->name), strcmp(column->identity, "always") == 0 ? "ALWAYS" : "BY DEFAULT");
  }
}

/* The sequence of an identity column, by its options in the snapshot. */
static void undo_set_identity(struct undo *undo) {
  const json_t *column = column_json(undo), *sequence;
  const char *was = json_str(column, "identity", NULL), *name = q(undo->rollback, undo->command->name);
  size_t index;
  if (!was) return;
  rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET GENERATED %s", undo->table, name,
               strcmp(was, "always") == 0 ? "ALWAYS" : "BY DEFAULT");
  for (size_t i = 0; undo->command->def && i < undo->command->def->list->n_items; i++)
    if (strcmp(undo->command->def->list->items[i]->def_elem->defname, "restart") == 0)
      rollback_gone(undo->rollback, "the position of the identity sequence of %s before is gone", undo->rel->t->qualified);
  const struct snap_table *table = rollback_original(undo->rollback, undo->rel);
  json_array_foreach(json_object_get(undo->rollback->before->json, "sequences"), index, sequence) {
    const json_t *place = json_object_get(sequence, "owner_column");
    if (!table || strcmp(json_str(place, "table", ""), table->name) != 0 || strcmp(json_str(place, "schema", ""), table->schema) != 0 ||
        strcmp(json_str(place, "column", ""), old_column(undo, undo->command->name)) != 0)
      continue;
    rollback_add(
        undo->rollback,
        "ALTER TABLE %s ALTER COLUMN %s SET INCREMENT BY %lld SET MINVALUE %lld SET MAXVALUE %lld SET START WITH %lld SET CACHE %lld "
        "SET %sCYCLE",
        undo->table, name, json_int(sequence, "increment", 1), json_int(sequence, "min", 1), json_int(sequence, "max", 1),
        json_int(sequence, "start", 1), json_int(sequence, "cache", 1), json_bool(sequence, "cycle", false) ? "" : "NO ");
  }
}

static void undo_expression(struct undo *undo) {
  const json_t *column = column_json(undo);
  const char *was = json_str(column, "generated", NULL);
  if (undo->command->subtype == AT(SetExpression) && was)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET EXPRESSION AS (%s)", undo->table,
                 q(undo->rollback, undo->command->name), was);
  else
    rollback_gone(undo->rollback, "a column can't be made generated again: %s stays plain", undo->command->name);
}

/* --- constraints --- */

struct mentioned {
  const char *column;
  bool several;
};

static bool see_column(void *arg, PgQuery__Node *node) {
  struct mentioned *mentioned = arg;
  if (node->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  const PgQuery__ColumnRef *ref = node->column_ref;
  const char *name = sql_node_string(ref->fields[ref->n_fields - 1]);
  if (name && mentioned->column && strcmp(mentioned->column, name) != 0) mentioned->several = true;
  if (name) mentioned->column = name;
  return false;
}

/* The shadow is as it was before the statement: what another part of it drops has left its name free. */
static const char *free_name(struct undo *undo, const char *const *columns, size_t count, const char *label) {
  struct rollback *rollback = undo->rollback;
  const char *first = shadow_first_name(rollback->shadow, undo->rel, columns, count, label);
  if (first && rollback_is_dropped(rollback, rollback_part_key(rollback, "constraint", undo->rel, first))) return first;
  return shadow_made_name(rollback->shadow, undo->rel, columns, count, label);
}

/* The name PostgreSQL gives a constraint that has none: of its columns, and a CHECK that mentions one column of that. */
static const char *constraint_name(struct undo *undo, const PgQuery__Constraint *constraint) {
  if (sql_or_null(constraint->conname)) return constraint->conname;
  if (sql_or_null(constraint->indexname)) return constraint->indexname;
  bool foreign = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN;
  size_t count = foreign ? constraint->n_fk_attrs : constraint->n_keys;
  const char **columns = arena_calloc(undo->rollback->arena, count + 1, sizeof *columns);
  struct mentioned mentioned = {0};
  for (size_t i = 0; columns && i < count; i++) columns[i] = sql_node_string(foreign ? constraint->fk_attrs[i] : constraint->keys[i]);
  switch (columns ? constraint->contype : PG_QUERY__CONSTR_TYPE__CONSTR_TYPE_UNDEFINED) {
  case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY: return free_name(undo, NULL, 0, "pkey");
  case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN: return free_name(undo, columns, count, "fkey");
  case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE: return free_name(undo, columns, count, "key");
  case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK:
    sql_walk(constraint->raw_expr, see_column, &mentioned);
    return free_name(undo, &mentioned.column, mentioned.column && !mentioned.several, "check");
  default: return NULL;
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
  const char *name = undo->command->name, *key = rollback_part_key(undo->rollback, "constraint", undo->rel, name);
  rollback_note(undo->rollback, key, true); /* this far back in the statement it is there again */
  const struct snap_constraint *constraint = shadow_constraint(undo->rel, name);
  const struct snap_fk *fk = shadow_fk(undo->rel, name);
  bool cascade = undo->command->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  const struct source_statement *made = source_find(rollback_source(undo->rollback), SOURCE_MAKES, key);
  bool renamed =
      !rollback_original(undo->rollback, undo->rel) || strcmp(rollback_original(undo->rollback, undo->rel)->name, undo->rel->t->name) != 0;
  if (made && !renamed && made->node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) {
    struct source_keys gone = {0};
    source_push(undo->rollback->arena, &gone, key);
    rollback_recreate(undo->rollback, &gone, cascade);
    return;
  }
  if (cascade) rollback_gone(undo->rollback, "what CASCADE takes along is not rebuilt");
  const char *definition = fk                                      ? rollback_model_fk(undo->rollback, undo->rel, fk)
                           : constraint && *constraint->definition ? constraint->definition
                                                                   : NULL;
  if (!definition) {
    if (fk || constraint) rollback_gone(undo->rollback, "the definition of constraint %s is not recorded", name);
    return;
  }
  rollback_add(undo->rollback, "ALTER TABLE %s ADD CONSTRAINT %s %s", undo->table, q(undo->rollback, name), definition);
  const struct source_statement *comment = source_find(rollback_source(undo->rollback), SOURCE_COMMENT, key);
  if (comment) rollback_add(undo->rollback, "%s", comment->text);
}

static void undo_alter_constraint(struct undo *undo) {
  const char *name = undo->command->def ? undo->command->def->constraint->conname : NULL;
  const json_t *was = name ? rollback_member(rollback_rel_json(undo->rollback, undo->rel), "foreign_keys", name) : NULL;
  if (!was)
    rollback_gone(undo->rollback, "the constraint before is not recorded");
  else
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER CONSTRAINT %s %s", undo->table, q(undo->rollback, name),
                 !json_bool(was, "deferrable", false) ? "NOT DEFERRABLE"
                 : json_bool(was, "deferred", false)  ? "DEFERRABLE INITIALLY DEFERRED"
                                                      : "DEFERRABLE INITIALLY IMMEDIATE");
}

/* Only a constraint that was there before the migration has to become NOT VALID again. */
static void undo_validate(struct undo *undo) {
  const json_t *json = rollback_rel_json(undo->rollback, undo->rel);
  const char *name = undo->command->name, *definition = json_str(rollback_member(json, "foreign_keys", name), "definition", NULL);
  if (!definition) definition = json_str(rollback_member(json, "checks", name), "definition", NULL);
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
    struct undo undo = {
        rollback,    owner, sql_qualified(rollback->arena, owner->t->schema, index->name), statement->cmds[i]->alter_table_cmd, "INDEX",
        index->name, owner};
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
    struct undo undo = {rollback, rel, rollback_name(rollback, rel), statement->cmds[i]->alter_table_cmd, rollback_rel_words(rel),
                        NULL,     NULL};
    if (!rel->created || reaches_out(undo.command)) undo_command(&undo);
  }
  note_dropped_constraints(rollback, rel, statement);
}
