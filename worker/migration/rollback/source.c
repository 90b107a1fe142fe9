/* rollback/source.c - a dump as statements with the objects each is about.
 *
 * Cut by the lexer that never fails, parsed one by one: a statement the parser doesn't know (a newer server's) is left out, and what it
 * makes then counts as not recorded. */
#include "worker/migration/rollback/source.h"

#include "sandbox/script.h"
#include "worker/migration/rollback/keys.h"
#include "worker/sql/text.h"

#define STATEMENTS_MAX 200000 /* of a dump */

bool source_has(const struct source_keys *keys, const char *key) {
  for (size_t i = 0; key && i < keys->count; i++)
    if (strcmp(keys->items[i], key) == 0) return true;
  return false;
}

void source_push(struct arena *arena, struct source_keys *keys, const char *key) {
  const char **slot = key && !source_has(keys, key) ? LIST_PUSH(arena, keys) : NULL;
  if (slot) *slot = key;
}

/* --- what a statement is about --- */

struct describing {
  struct arena *arena;
  struct source_statement *statement;
};

static void about(struct describing *d, const char *key) { source_push(d->arena, &d->statement->of, key); }

static void makes(struct describing *d, const char *key) {
  source_push(d->arena, &d->statement->makes, key);
  about(d, key);
  d->statement->role = SOURCE_MAKES;
}

static void in_schema(struct describing *d, const char *schema) {
  if (sql_or_null(schema)) about(d, source_key_of(d->arena, "schema", NULL, schema, NULL));
}

static void makes_list(struct describing *d, const char *kind, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  if (!name) return;
  makes(d, source_key_of(d->arena, kind, schema, name, NULL));
  in_schema(d, schema);
}

static void makes_range(struct describing *d, const PgQuery__RangeVar *range) {
  makes(d, source_key_range(d->arena, range, NULL));
  in_schema(d, range->schemaname);
}

static void of_range(struct describing *d, const PgQuery__RangeVar *range) {
  if (!range) return;
  about(d, source_key_range(d->arena, range, NULL));
  in_schema(d, range->schemaname);
}

static const char *part_of(struct describing *d, const char *kind, const PgQuery__RangeVar *range, const char *name) {
  return source_key_of(d->arena, kind, range->schemaname, range->relname, name);
}

static void see_table(struct describing *d, PgQuery__Node *node) {
  const PgQuery__CreateStmt *table =
      node->node_case == PG_QUERY__NODE__NODE_CREATE_STMT ? node->create_stmt : node->create_foreign_table_stmt->base_stmt;
  makes_range(d, table->relation);
  for (size_t i = 0; i < table->n_inh_relations; i++) of_range(d, table->inh_relations[i]->range_var);
  for (size_t i = 0; i < table->n_table_elts; i++)
    if (table->table_elts[i]->node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
      source_push(d->arena, &d->statement->makes, part_of(d, "constraint", table->relation, table->table_elts[i]->constraint->conname));
}

static void see_add_constraint(struct describing *d, const PgQuery__RangeVar *range, const PgQuery__AlterTableCmd *command) {
  const PgQuery__Constraint *constraint = command->def ? command->def->constraint : NULL;
  if (!constraint) return;
  makes(d, part_of(d, "constraint", range, constraint->conname));
  bool indexed = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY ||
                 constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE ||
                 constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_EXCLUSION;
  if (indexed) makes(d, source_key_of(d->arena, "rel", range->schemaname, constraint->conname, NULL));
}

static void see_command(struct describing *d, const PgQuery__AlterTableStmt *alter, const PgQuery__AlterTableCmd *command) {
  const PgQuery__RangeVar *range = alter->relation;
  const PgQuery__PartitionCmd *partition = NULL;
  switch (command->subtype) {
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint: see_add_constraint(d, range, command); break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_ChangeOwner: d->statement->role = SOURCE_OWNER; break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AttachPartition:
    partition = command->def ? command->def->partition_cmd : NULL;
    d->statement->role = alter->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX ? SOURCE_INDEX_ATTACH : SOURCE_ATTACH;
    if (partition) of_range(d, partition->name);
    break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_ClusterOn: about(d, source_key_of(d->arena, "rel", range->schemaname, command->name, NULL)); break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_ReplicaIdentity:
    if (command->def && sql_or_null(command->def->replica_identity_stmt->name))
      about(d, source_key_of(d->arena, "rel", range->schemaname, command->def->replica_identity_stmt->name, NULL));
    break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableAlwaysTrig:
  case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableReplicaTrig:
  case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrig: about(d, part_of(d, "trigger", range, command->name)); break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableAlwaysRule:
  case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableReplicaRule:
  case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableRule: about(d, part_of(d, "rule", range, command->name)); break;
  default:
    if (sql_or_null(command->name)) about(d, part_of(d, "column", range, command->name));
    break;
  }
}

static void see_alter_table(struct describing *d, PgQuery__Node *node) {
  of_range(d, node->alter_table_stmt->relation);
  for (size_t i = 0; i < node->alter_table_stmt->n_cmds; i++)
    if (node->alter_table_stmt->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD)
      see_command(d, node->alter_table_stmt, node->alter_table_stmt->cmds[i]->alter_table_cmd);
}

static void see_index(struct describing *d, PgQuery__Node *node) {
  const PgQuery__IndexStmt *index = node->index_stmt;
  makes(d, source_key_of(d->arena, "rel", index->relation->schemaname, index->idxname, NULL));
  of_range(d, index->relation);
}

static void see_view(struct describing *d, PgQuery__Node *node) { makes_range(d, node->view_stmt->view); }
static void see_matview(struct describing *d, PgQuery__Node *node) {
  if (node->create_table_as_stmt->into) makes_range(d, node->create_table_as_stmt->into->rel);
}
static void see_sequence(struct describing *d, PgQuery__Node *node) { makes_range(d, node->create_seq_stmt->sequence); }

static void see_alter_sequence(struct describing *d, PgQuery__Node *node) {
  const PgQuery__AlterSeqStmt *alter = node->alter_seq_stmt;
  of_range(d, alter->sequence);
  for (size_t i = 0; i < alter->n_options; i++) {
    const PgQuery__DefElem *option = alter->options[i]->def_elem;
    if (strcmp(option->defname, "owned_by") != 0 || !option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_LIST) continue;
    const PgQuery__List *names = option->arg->list;
    if (names->n_items < 3) continue;
    d->statement->role = SOURCE_OWNED_BY;
    const char *schema = sql_node_string(names->items[0]), *table = sql_node_string(names->items[1]);
    about(d, source_key_of(d->arena, "rel", schema, table, NULL));
    about(d, source_key_of(d->arena, "column", schema, table, sql_node_string(names->items[2])));
  }
}

static void see_trigger(struct describing *d, PgQuery__Node *node) {
  makes(d, part_of(d, "trigger", node->create_trig_stmt->relation, node->create_trig_stmt->trigname));
  of_range(d, node->create_trig_stmt->relation);
}
static void see_policy(struct describing *d, PgQuery__Node *node) {
  makes(d, part_of(d, "policy", node->create_policy_stmt->table, node->create_policy_stmt->policy_name));
  of_range(d, node->create_policy_stmt->table);
}
static void see_rule(struct describing *d, PgQuery__Node *node) {
  makes(d, part_of(d, "rule", node->rule_stmt->relation, node->rule_stmt->rulename));
  of_range(d, node->rule_stmt->relation);
}

static void see_function(struct describing *d, PgQuery__Node *node) {
  const PgQuery__CreateFunctionStmt *function = node->create_function_stmt;
  const char *schema, *name;
  sql_name_split(function->n_funcname, function->funcname, &schema, &name);
  if (!name) return;
  makes(d, source_key_function(d->arena, schema, name, function->n_parameters, function->parameters));
  in_schema(d, schema);
}

static void see_enum(struct describing *d, PgQuery__Node *node) {
  makes_list(d, "type", node->create_enum_stmt->n_type_name, node->create_enum_stmt->type_name);
}
static void see_range(struct describing *d, PgQuery__Node *node) {
  makes_list(d, "type", node->create_range_stmt->n_type_name, node->create_range_stmt->type_name);
}
static void see_domain(struct describing *d, PgQuery__Node *node) {
  makes_list(d, "type", node->create_domain_stmt->n_domainname, node->create_domain_stmt->domainname);
}
static void see_alter_domain(struct describing *d, PgQuery__Node *node) {
  const char *schema, *name;
  sql_name_split(node->alter_domain_stmt->n_type_name, node->alter_domain_stmt->type_name, &schema, &name);
  if (name) about(d, source_key_of(d->arena, "type", schema, name, NULL));
}
static void see_composite(struct describing *d, PgQuery__Node *node) {
  const PgQuery__RangeVar *name = node->composite_type_stmt->typevar;
  makes(d, source_key_of(d->arena, "type", name->schemaname, name->relname, NULL));
  in_schema(d, name->schemaname);
}

static void see_define(struct describing *d, PgQuery__Node *node) {
  PgQuery__DefineStmt *define = node->define_stmt;
  const char *key = rollback_key_define(d->arena, define, NULL), *schema, *name;
  sql_name_split(define->n_defnames, define->defnames, &schema, &name);
  makes(d, key);
  in_schema(d, schema);
}

static void see_configuration(struct describing *d, PgQuery__Node *node) {
  const char *schema, *name;
  sql_name_split(node->alter_tsconfiguration_stmt->n_cfgname, node->alter_tsconfiguration_stmt->cfgname, &schema, &name);
  if (name) about(d, source_key_of(d->arena, "ts configuration", schema, name, NULL));
}

static void see_cast(struct describing *d, PgQuery__Node *node) {
  makes(d, rollback_key_cast(d->arena, node->create_cast_stmt->sourcetype, node->create_cast_stmt->targettype));
}

static void see_statistics(struct describing *d, PgQuery__Node *node) {
  makes_list(d, "statistics", node->create_stats_stmt->n_defnames, node->create_stats_stmt->defnames);
  for (size_t i = 0; i < node->create_stats_stmt->n_relations; i++)
    if (node->create_stats_stmt->relations[i]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
      of_range(d, node->create_stats_stmt->relations[i]->range_var);
}
static void see_alter_statistics(struct describing *d, PgQuery__Node *node) {
  const char *schema, *name;
  sql_name_split(node->alter_stats_stmt->n_defnames, node->alter_stats_stmt->defnames, &schema, &name);
  if (name) about(d, source_key_of(d->arena, "statistics", schema, name, NULL));
}

static void see_schema(struct describing *d, PgQuery__Node *node) {
  makes(d, source_key_of(d->arena, "schema", NULL, node->create_schema_stmt->schemaname, NULL));
}
static void see_extension(struct describing *d, PgQuery__Node *node) {
  makes(d, source_key_of(d->arena, "extension", NULL, node->create_extension_stmt->extname, NULL));
}
static void see_publication(struct describing *d, PgQuery__Node *node) {
  makes(d, source_key_of(d->arena, "publication", NULL, node->create_publication_stmt->pubname, NULL));
}
static void see_alter_publication(struct describing *d, PgQuery__Node *node) {
  const PgQuery__AlterPublicationStmt *alter = node->alter_publication_stmt;
  about(d, source_key_of(d->arena, "publication", NULL, alter->pubname, NULL));
  for (size_t i = 0; i < alter->n_pubobjects; i++) {
    const PgQuery__PublicationObjSpec *object = alter->pubobjects[i]->publication_obj_spec;
    if (object->pubtable) of_range(d, object->pubtable->relation);
    if (object->pubobjtype == PG_QUERY__PUBLICATION_OBJ_SPEC_TYPE__PUBLICATIONOBJ_TABLES_IN_SCHEMA) in_schema(d, object->name);
  }
}
static void see_event_trigger(struct describing *d, PgQuery__Node *node) {
  makes(d, source_key_of(d->arena, "event trigger", NULL, node->create_event_trig_stmt->trigname, NULL));
}
static void see_alter_event_trigger(struct describing *d, PgQuery__Node *node) {
  about(d, source_key_of(d->arena, "event trigger", NULL, node->alter_event_trig_stmt->trigname, NULL));
}

static void see_comment(struct describing *d, PgQuery__Node *node) {
  d->statement->role = SOURCE_COMMENT;
  about(d, source_key(d->arena, node->comment_stmt->objtype, NULL, node->comment_stmt->object, NULL));
  const char *owner = rollback_key_owner(d->arena, node->comment_stmt->objtype, node->comment_stmt->object);
  about(d, owner);
}

static void see_owner(struct describing *d, PgQuery__Node *node) {
  d->statement->role = SOURCE_OWNER;
  about(d,
        source_key(d->arena, node->alter_owner_stmt->object_type, node->alter_owner_stmt->relation, node->alter_owner_stmt->object, NULL));
}

static void see_grant(struct describing *d, PgQuery__Node *node) {
  d->statement->role = SOURCE_GRANT;
  for (size_t i = 0; i < node->grant_stmt->n_objects; i++)
    about(d, source_key(d->arena, node->grant_stmt->objtype, NULL, node->grant_stmt->objects[i], NULL));
}

static void see_default_privileges(struct describing *d, PgQuery__Node *node) {
  (void)node;
  d->statement->role = SOURCE_GRANT;
}

#define ROW(tag, see) \
  { PG_QUERY__NODE__NODE_##tag, see }
static const struct {
  PgQuery__Node__NodeCase node;
  void (*see)(struct describing *, PgQuery__Node *);
} rows[] = {
    ROW(CREATE_STMT, see_table),
    ROW(CREATE_FOREIGN_TABLE_STMT, see_table),
    ROW(ALTER_TABLE_STMT, see_alter_table),
    ROW(INDEX_STMT, see_index),
    ROW(VIEW_STMT, see_view),
    ROW(CREATE_TABLE_AS_STMT, see_matview),
    ROW(CREATE_SEQ_STMT, see_sequence),
    ROW(ALTER_SEQ_STMT, see_alter_sequence),
    ROW(CREATE_TRIG_STMT, see_trigger),
    ROW(CREATE_POLICY_STMT, see_policy),
    ROW(RULE_STMT, see_rule),
    ROW(CREATE_FUNCTION_STMT, see_function),
    ROW(CREATE_ENUM_STMT, see_enum),
    ROW(CREATE_RANGE_STMT, see_range),
    ROW(CREATE_DOMAIN_STMT, see_domain),
    ROW(ALTER_DOMAIN_STMT, see_alter_domain),
    ROW(COMPOSITE_TYPE_STMT, see_composite),
    ROW(DEFINE_STMT, see_define),
    ROW(ALTER_TSCONFIGURATION_STMT, see_configuration),
    ROW(CREATE_CAST_STMT, see_cast),
    ROW(CREATE_STATS_STMT, see_statistics),
    ROW(ALTER_STATS_STMT, see_alter_statistics),
    ROW(CREATE_SCHEMA_STMT, see_schema),
    ROW(CREATE_EXTENSION_STMT, see_extension),
    ROW(CREATE_PUBLICATION_STMT, see_publication),
    ROW(ALTER_PUBLICATION_STMT, see_alter_publication),
    ROW(CREATE_EVENT_TRIG_STMT, see_event_trigger),
    ROW(ALTER_EVENT_TRIG_STMT, see_alter_event_trigger),
    ROW(COMMENT_STMT, see_comment),
    ROW(ALTER_OWNER_STMT, see_owner),
    ROW(GRANT_STMT, see_grant),
    ROW(ALTER_DEFAULT_PRIVILEGES_STMT, see_default_privileges),
};

static bool describe(struct arena *arena, struct source_statement *statement) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].node != statement->node->node_case) continue;
    rows[i].see(&(struct describing){arena, statement}, statement->node);
    return true;
  }
  return false;
}

struct rollback_source *rollback_source_new(struct arena *arena, const char *dump) {
  struct rollback_source *source = dump ? ARENA_NEW(arena, struct rollback_source) : NULL;
  if (!source) return NULL;
  source->arena = arena;
  struct script script = script_of(dump);
  struct script_statement cut;
  for (size_t seen = 0; seen < STATEMENTS_MAX && script_next(&script, &cut); seen++) {
    struct source_statement one = {.text = arena_strndup(arena, cut.text, cut.len)};
    one.node = one.text ? sql_parse_statement(arena, one.text) : NULL;
    if (!one.node || !describe(arena, &one)) continue;
    if (!list_reserve(arena, &source->statements, source->count, &source->cap, sizeof one)) return NULL;
    source->statements[source->count++] = one;
  }
  return source->count ? source : NULL;
}

const struct source_statement *source_find(const struct rollback_source *source, enum source_role role, const char *key) {
  for (size_t i = 0; source && key && i < source->count; i++) {
    const struct source_statement *statement = &source->statements[i];
    if (statement->role != role) continue;
    if (role == SOURCE_MAKES ? source_has(&statement->makes, key) : statement->of.count && strcmp(statement->of.items[0], key) == 0)
      return statement;
  }
  return NULL;
}

const char *source_only_function(const struct rollback_source *source, const char *prefix) {
  const char *found = NULL;
  size_t len = strlen(prefix);
  for (size_t i = 0; source && i < source->count; i++) {
    const struct source_keys *made = &source->statements[i].makes;
    if (!made->count || strncmp(made->items[0], prefix, len) != 0) continue;
    if (found) return NULL;
    found = made->items[0];
  }
  return found;
}

/* --- what goes along --- */

struct reading {
  struct arena *arena;
  const struct source_keys *gone;
  const char *self; /* what the statement itself is about does not count as read */
  bool found;
};

static bool function_is_gone(const struct source_keys *gone, const char *prefix) {
  size_t len = strlen(prefix);
  for (size_t i = 0; i < gone->count; i++)
    if (strncmp(gone->items[i], prefix, len) == 0 && gone->items[i][len] == '(') return true;
  return false;
}

static void see_name(struct reading *reading, const char *kind, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  if (!schema || !name) return;
  const char *key = source_key_of(reading->arena, kind, schema, name, NULL);
  reading->found |= strcmp(kind, "function") == 0 ? function_is_gone(reading->gone, key) : source_has(reading->gone, key);
}

static bool see_read(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
    reading->found |= source_has(reading->gone, source_key_range(reading->arena, node->range_var, NULL));
  else if (node->node_case == PG_QUERY__NODE__NODE_TYPE_NAME)
    see_name(reading, "type", node->type_name->n_names, node->type_name->names);
  else if (node->node_case == PG_QUERY__NODE__NODE_FUNC_CALL)
    see_name(reading, "function", node->func_call->n_funcname, node->func_call->funcname);
  return !reading->found;
}

/* Types stand in fields of their own, which the walk passes without a Node around them. */
static bool reads_type(struct reading *reading, const PgQuery__TypeName *type) {
  if (type) see_name(reading, "type", type->n_names, type->names);
  return reading->found;
}

static bool see_typed(void *arg, PgQuery__Node *node) {
  struct reading *reading = arg;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF) reads_type(reading, node->column_def->type_name);
  if (node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) reads_type(reading, node->type_cast->type_name);
  if (node->node_case == PG_QUERY__NODE__NODE_FUNCTION_PARAMETER) reads_type(reading, node->function_parameter->arg_type);
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT) reads_type(reading, node->create_function_stmt->return_type);
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT) reads_type(reading, node->create_domain_stmt->type_name);
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_TRIG_STMT)
    see_name(reading, "function", node->create_trig_stmt->n_funcname, node->create_trig_stmt->funcname);
  if (node->node_case == PG_QUERY__NODE__NODE_CONSTRAINT && node->constraint->pktable)
    reading->found |= source_has(reading->gone, source_key_range(reading->arena, node->constraint->pktable, NULL));
  return see_read(arg, node);
}

static bool reads(struct rollback_source *source, const struct source_statement *statement, const struct source_keys *gone) {
  struct reading reading = {.arena = source->arena, .gone = gone};
  sql_walk(statement->node, see_typed, &reading);
  return reading.found;
}

static bool same_names(size_t count, PgQuery__Node *const *left, size_t other, PgQuery__Node *const *right) {
  bool same = count == other;
  for (size_t i = 0; same && i < count; i++) {
    const char *a = sql_node_string(left[i]), *b = sql_node_string(right[i]);
    same = a && b && strcmp(a, b) == 0;
  }
  return same;
}

static const PgQuery__Constraint *constraint_of(const PgQuery__Node *node) {
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT || node->alter_table_stmt->n_cmds != 1) return NULL;
  const PgQuery__AlterTableCmd *command = node->alter_table_stmt->cmds[0]->alter_table_cmd;
  return command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint && command->def ? command->def->constraint : NULL;
}

/* A foreign key goes with the key it points at. */
static bool points_at_gone(struct rollback_source *source, const struct source_statement *statement) {
  const PgQuery__Constraint *foreign = constraint_of(statement->node);
  if (!foreign || !foreign->pktable) return false;
  for (size_t i = 0; i < source->count; i++) {
    const PgQuery__Constraint *key = source->statements[i].taken ? constraint_of(source->statements[i].node) : NULL;
    if (!key || key->pktable || strcmp(source->statements[i].node->alter_table_stmt->relation->relname, foreign->pktable->relname) != 0)
      continue;
    if (same_names(key->n_keys, key->keys, foreign->n_pk_attrs, foreign->pk_attrs)) return true;
  }
  return false;
}

/* A text search configuration goes with a dictionary of its. */
static bool maps_to_gone(struct rollback_source *source, const PgQuery__Node *node, const struct source_keys *gone) {
  if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TSCONFIGURATION_STMT) return false;
  const PgQuery__AlterTSConfigurationStmt *mapping = node->alter_tsconfiguration_stmt;
  for (size_t i = 0; i < mapping->n_dicts; i++) {
    const char *schema, *name;
    if (mapping->dicts[i]->node_case != PG_QUERY__NODE__NODE_LIST) continue;
    sql_name_split(mapping->dicts[i]->list->n_items, mapping->dicts[i]->list->items, &schema, &name);
    if (source_has(gone, source_key_of(source->arena, "ts dictionary", schema, name, NULL))) return true;
  }
  return false;
}

static bool goes(struct rollback_source *source, const struct source_statement *statement, const struct source_keys *gone, bool cascade) {
  for (size_t i = 0; i < statement->of.count; i++)
    if (source_has(gone, statement->of.items[i])) return true;
  return cascade && (statement->role == SOURCE_MAKES || statement->node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) &&
         (reads(source, statement, gone) || points_at_gone(source, statement));
}

/* Of a table only a column goes with its type. */
static bool stays_in_part(const struct source_statement *statement, const struct source_keys *gone) {
  if (statement->node->node_case != PG_QUERY__NODE__NODE_CREATE_STMT) return false;
  for (size_t i = 0; i < statement->of.count; i++)
    if (source_has(gone, statement->of.items[i])) return false;
  return true;
}

const struct source_statement *source_close(struct rollback_source *source, struct source_keys *gone, bool cascade) {
  const struct source_statement *partly = NULL;
  for (size_t i = 0; i < source->count; i++) source->statements[i].taken = false;
  for (bool grown = true; grown;) {
    grown = false;
    for (size_t i = 0; i < source->count; i++) {
      struct source_statement *statement = &source->statements[i];
      if (cascade && !statement->taken && maps_to_gone(source, statement->node, gone))
        source_push(source->arena, gone, statement->of.items[0]);
      if (statement->taken || !goes(source, statement, gone, cascade)) continue;
      if (stays_in_part(statement, gone)) {
        if (!partly) partly = statement;
        continue;
      }
      statement->taken = grown = true;
      for (size_t k = 0; k < statement->makes.count; k++) source_push(source->arena, gone, statement->makes.items[k]);
      /* a sequence with its column, a partition with its table */
      if (statement->role == SOURCE_OWNED_BY) source_push(source->arena, gone, statement->of.items[0]);
      if ((statement->role == SOURCE_ATTACH || statement->role == SOURCE_INDEX_ATTACH) && source_has(gone, statement->of.items[0]))
        for (size_t k = 0; k < statement->of.count; k++)
          if (strncmp(statement->of.items[k], "rel:", 4) == 0) source_push(source->arena, gone, statement->of.items[k]);
    }
  }
  return partly;
}
