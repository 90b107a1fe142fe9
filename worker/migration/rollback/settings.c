/* rollback/settings.c - the way back for settings of columns and tables: as the dump has them, or as they are when nothing is said. */
#include "worker/migration/rollback/undo.h"

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

/* The column as it was called before the migration. */
static const char *old_column(struct undo *undo, const char *name) {
  const char *key = rollback_part_key(undo->rollback, "column", undo->rel, name), *colon = key ? strrchr(key, ':') : NULL;
  return colon && colon[1] != '"' ? colon + 1 : name;
}

static const json_t *column_json(struct undo *undo) {
  return rollback_member(rollback_rel_json(undo->rollback, undo->rel), "columns", old_column(undo, undo->command->name));
}

void undo_default(struct undo *undo) {
  const struct snap_column *column = snap_table_column(undo->rel->t, undo->command->name);
  bool view = undo->rel->t->kind == SNAP_VIEW; /* one that was replaced since keeps them: they are in the dump alone */
  if (!column || (view && !column->default_expr && as_recorded(undo, TYPES(AT(ColumnDefault)), old_column(undo, column->name)))) return;
  if (column->default_expr)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s", undo->table, q(undo->rollback, column->name),
                 column->default_expr);
  else
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT", undo->table, q(undo->rollback, column->name));
}

void undo_statistics(struct undo *undo) {
  if (!as_recorded(undo, TYPES(AT(SetStatistics)), old_column(undo, undo->command->name)))
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET STATISTICS -1", undo->table, q(undo->rollback, undo->command->name));
}

void undo_storage(struct undo *undo) {
  const char *was = json_str(column_json(undo), "storage", NULL);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET STORAGE %s", undo->table, q(undo->rollback, undo->command->name), was);
}

void undo_compression(struct undo *undo) {
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

void undo_column_options(struct undo *undo) {
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

void undo_options(struct undo *undo) {
  const char *was = options_of(undo, relation_options(undo, undo->owner)), *toast = undo->owner ? "" : toast_options(undo);
  rollback_add(undo->rollback, "ALTER %s %s RESET (%s)", undo->words, undo->table, option_names(undo));
  if (*was || *toast)
    rollback_add(undo->rollback, "ALTER %s %s SET (%s%s%s)", undo->words, undo->table, was, *was && *toast ? ", " : "", toast);
}

void undo_replica_identity(struct undo *undo) {
  if (!as_recorded(undo, TYPES(AT(ReplicaIdentity)), NULL))
    rollback_add(undo->rollback, "ALTER TABLE %s REPLICA IDENTITY DEFAULT", undo->table);
}

void undo_cluster_mark(struct undo *undo) {
  if (!as_recorded(undo, TYPES(AT(ClusterOn)), NULL)) rollback_add(undo->rollback, "ALTER TABLE %s SET WITHOUT CLUSTER", undo->table);
}

void undo_row_security(struct undo *undo) {
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

void undo_trigger(struct undo *undo) {
  const json_t *was = rollback_member(rollback_rel_json(undo->rollback, undo->rel), "triggers", undo->command->name);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s %s TRIGGER %s", undo->table, enabling(json_str(was, "enabled", "origin")),
                 q(undo->rollback, undo->command->name));
}

/* ALL counts the triggers of foreign keys, too, which go by no name of their own: they were on unless somebody turned them off. */
void undo_all_triggers(struct undo *undo) {
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

void undo_rule(struct undo *undo) {
  const json_t *was = rollback_member(rollback_rel_json(undo->rollback, undo->rel), "rules", undo->command->name);
  if (was)
    rollback_add(undo->rollback, "ALTER TABLE %s %s RULE %s", undo->table, enabling(json_str(was, "enabled", "origin")),
                 q(undo->rollback, undo->command->name));
}

void undo_identity(struct undo *undo) {
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
void undo_set_identity(struct undo *undo) {
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

void undo_expression(struct undo *undo) {
  const json_t *column = column_json(undo);
  const char *was = json_str(column, "generated", NULL);
  if (undo->command->subtype == AT(SetExpression) && was)
    rollback_add(undo->rollback, "ALTER TABLE %s ALTER COLUMN %s SET EXPRESSION AS (%s)", undo->table,
                 q(undo->rollback, undo->command->name), was);
  else
    rollback_gone(undo->rollback, "a column can't be made generated again: %s stays plain", undo->command->name);
}
