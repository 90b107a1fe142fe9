/* rollback/alter.c - ALTER of functions, sequences, domains, types, policies, statistics, publications and event triggers. */
#include "worker/migration/rollback/impl.h"

void rollback_alter_function(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterFunctionStmt *statement = node->alter_function_stmt;
  PgQuery__Node object = PG_QUERY__NODE__INIT;
  object.node_case = PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS;
  object.object_with_args = statement->func;
  const char *key = rollback_key(rollback, statement->objtype, NULL, &object);
  if (rollback_is_made(rollback, key)) return;
  rollback->key = key;
  rollback_restore_function(rollback, key);
}

/* --- sequences --- */

static const char *sequence_owner(struct rollback *rollback, const json_t *sequence) {
  const json_t *place = json_object_get(sequence, "owner_column");
  if (!json_is_object(place)) return "NONE";
  return arena_printf(rollback->arena, "%s.%s",
                      sql_qualified(rollback->arena, json_str(place, "schema", NULL), json_str(place, "table", "")),
                      q(rollback, json_str(place, "column", "")));
}

void rollback_alter_sequence(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterSeqStmt *statement = node->alter_seq_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->sequence);
  if (!rel || rel->created) return;
  rollback->rel = rel;
  const json_t *was = rollback_rel_json(rollback, rel);
  bool owner = false;
  for (size_t i = 0; i < statement->n_options; i++) {
    const char *option = statement->options[i]->def_elem->defname;
    owner |= strcmp(option, "owned_by") == 0;
    if (strcmp(option, "restart") == 0) rollback_gone(rollback, "the position of sequence %s before is gone", rel->t->qualified);
  }
  if (!was) {
    rollback_gone(rollback, "the sequence's options before are not recorded");
    return;
  }
  rollback_add(rollback, "ALTER SEQUENCE %s AS %s INCREMENT BY %lld MINVALUE %lld MAXVALUE %lld START WITH %lld CACHE %lld %sCYCLE",
               rollback_name(rollback, rel), json_str(was, "type", "bigint"), json_int(was, "increment", 1), json_int(was, "min", 1),
               json_int(was, "max", 1), json_int(was, "start", 1), json_int(was, "cache", 1), json_bool(was, "cycle", false) ? "" : "NO ");
  if (owner) rollback_add(rollback, "ALTER SEQUENCE %s OWNED BY %s", rollback_name(rollback, rel), sequence_owner(rollback, was));
}

/* --- domains --- */

struct domain {
  struct rollback *rollback;
  const PgQuery__AlterDomainStmt *statement;
  const char *name;
  const json_t *was;
};

static void undo_domain_default(struct domain *domain) {
  const char *was = json_str(domain->was, "default", NULL);
  if (was)
    rollback_add(domain->rollback, "ALTER DOMAIN %s SET DEFAULT %s", domain->name, was);
  else
    rollback_add(domain->rollback, "ALTER DOMAIN %s DROP DEFAULT", domain->name);
}

static void undo_domain_null(struct domain *domain) {
  rollback_add(domain->rollback, "ALTER DOMAIN %s %s NOT NULL", domain->name, json_bool(domain->was, "not_null", false) ? "SET" : "DROP");
}

static void restore_domain_check(struct domain *domain, const char *name) {
  const json_t *check = rollback_member(domain->was, "checks", name);
  const char *definition = json_str(check, "definition", NULL);
  if (!definition) {
    if (!domain->statement->missing_ok) rollback_gone(domain->rollback, "the definition of constraint %s is not recorded", name);
    return;
  }
  bool marked = json_bool(check, "validated", true) || strstr(definition, "NOT VALID");
  rollback_add(domain->rollback, "ALTER DOMAIN %s ADD CONSTRAINT %s %s%s", domain->name, q(domain->rollback, name), definition,
               marked ? "" : " NOT VALID");
}

static void undo_domain_add(struct domain *domain) {
  const PgQuery__Node *definition = domain->statement->def;
  const char *name = definition && definition->node_case == PG_QUERY__NODE__NODE_CONSTRAINT ? definition->constraint->conname : NULL;
  const char *schema, *type;
  sql_name_split(domain->statement->n_type_name, domain->statement->type_name, &schema, &type);
  if (!sql_or_null(name)) {
    name = arena_printf(domain->rollback->arena, "%s_check", type);
    for (int i = 1; i < 100 && rollback_member(domain->was, "checks", name); i++)
      name = arena_printf(domain->rollback->arena, "%s_check%d", type, i);
  }
  rollback_add(domain->rollback, "ALTER DOMAIN %s DROP CONSTRAINT %s", domain->name, q(domain->rollback, name));
}

static void undo_domain_validate(struct domain *domain) {
  const json_t *check = rollback_member(domain->was, "checks", domain->statement->name);
  if (!check || json_bool(check, "validated", true)) return;
  rollback_add(domain->rollback, "ALTER DOMAIN %s DROP CONSTRAINT %s", domain->name, q(domain->rollback, domain->statement->name));
  restore_domain_check(domain, domain->statement->name);
}

void rollback_alter_domain(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterDomainStmt *statement = node->alter_domain_stmt;
  const char *schema, *name;
  sql_name_split(statement->n_type_name, statement->type_name, &schema, &name);
  if (!name) return;
  schema = shadow_schema(rollback->shadow, schema);
  const char *key = rollback_known_as(rollback, source_key_of(rollback->arena, "type", schema, name, NULL));
  if (rollback_is_made(rollback, key)) return;
  rollback->key = key;
  struct domain domain = {rollback, statement, sql_qualified(rollback->arena, schema, name),
                          rollback_json(rollback, "domains", schema, name)};
  if (!domain.was) {
    rollback_gone(rollback, "the domain's definition before is not recorded");
    return;
  }
  switch (*statement->subtype) {
  case 'T': undo_domain_default(&domain); break;
  case 'N':
  case 'O': undo_domain_null(&domain); break;
  case 'C': undo_domain_add(&domain); break;
  case 'X': restore_domain_check(&domain, statement->name); break;
  case 'V': undo_domain_validate(&domain); break;
  default: rollback_gone(rollback, "no inverse is made for this change of a domain"); break;
  }
}

/* --- types --- */

void rollback_alter_enum(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterEnumStmt *statement = node->alter_enum_stmt;
  const char *schema, *name;
  sql_name_split(statement->n_type_name, statement->type_name, &schema, &name);
  const char *key =
      rollback_known_as(rollback, source_key_of(rollback->arena, "type", shadow_schema(rollback->shadow, schema), name, NULL));
  if (rollback_is_made(rollback, key)) return;
  rollback->key = key;
  if (sql_or_null(statement->old_val))
    rollback_add(rollback, "ALTER TYPE %s RENAME VALUE %s TO %s",
                 rollback_list_name(rollback, statement->n_type_name, statement->type_name),
                 sql_literal(rollback->arena, statement->new_val), sql_literal(rollback->arena, statement->old_val));
  else
    rollback_gone(rollback, "enum values can't be removed: %s stays", statement->new_val);
}

static void undo_attribute(struct rollback *rollback, const char *type, const json_t *was, const PgQuery__AlterTableCmd *command) {
  bool adds = command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddColumn;
  const char *name = adds && command->def ? command->def->column_def->colname : command->name;
  const char *old = json_str(rollback_member(was, "attributes", name), "type", NULL);
  if (adds) {
    rollback_add(rollback, "ALTER TYPE %s DROP ATTRIBUTE %s", type, q(rollback, name));
  } else if (!old) {
    if (!command->missing_ok) rollback_gone(rollback, "the attribute's type before is not recorded");
  } else if (command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn) {
    rollback_gone(rollback, "attribute %s comes back as the last one", name);
    rollback_add(rollback, "ALTER TYPE %s ADD ATTRIBUTE %s %s", type, q(rollback, name), old);
  } else {
    rollback_add(rollback, "ALTER TYPE %s ALTER ATTRIBUTE %s TYPE %s", type, q(rollback, name), old);
  }
}

void rollback_alter_type(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterTableStmt *statement = node->alter_table_stmt;
  const char *schema = shadow_schema(rollback->shadow, sql_or_null(statement->relation->schemaname));
  const char *key = source_key_of(rollback->arena, "type", schema, statement->relation->relname, NULL);
  if (rollback_is_made(rollback, key)) return;
  rollback->key = key;
  const json_t *was = rollback_json(rollback, "composites", schema, statement->relation->relname);
  for (size_t i = statement->n_cmds; i-- > 0;)
    if (statement->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD)
      undo_attribute(rollback, sql_qualified(rollback->arena, schema, statement->relation->relname), was,
                     statement->cmds[i]->alter_table_cmd);
}

/* --- the rest --- */

void rollback_alter_policy(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterPolicyStmt *statement = node->alter_policy_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->table);
  const char *key = rel ? rollback_part_key(rollback, "policy", rel, statement->policy_name) : NULL;
  if (!rel || rel->created || rollback_is_made(rollback, key)) return;
  rollback->rel = rel;
  rollback->key = key;
  if (!rollback_was_there(rollback, key)) {
    rollback_gone(rollback, "the policy before is not recorded");
    return;
  }
  rollback_add(rollback, "DROP POLICY %s ON %s", q(rollback, statement->policy_name), rollback_name(rollback, rel));
  rollback_recreate_one(rollback, key);
}

void rollback_alter_statistics(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__AlterStatsStmt *statement = node->alter_stats_stmt;
  PgQuery__List names = PG_QUERY__LIST__INIT;
  PgQuery__Node object = PG_QUERY__NODE__INIT;
  names.n_items = statement->n_defnames;
  names.items = statement->defnames;
  object.node_case = PG_QUERY__NODE__NODE_LIST;
  object.list = &names;
  const char *key = rollback_key(rollback, PG_QUERY__OBJECT_TYPE__OBJECT_STATISTIC_EXT, NULL, &object);
  if (rollback_is_made(rollback, key)) return;
  const struct rollback_source *source = rollback_source(rollback);
  for (size_t i = 0; source && i < source->count; i++)
    if (source->statements[i].node->node_case == PG_QUERY__NODE__NODE_ALTER_STATS_STMT && source_has(&source->statements[i].of, key)) {
      rollback_add(rollback, "%s", source->statements[i].text);
      return;
    }
  if (source)
    rollback_add(rollback, "ALTER STATISTICS %s SET STATISTICS -1",
                 rollback_list_name(rollback, statement->n_defnames, statement->defnames));
  else
    rollback_gone(rollback, "the setting before is not recorded");
}

static void set_publication_options(struct rollback *rollback, const char *name, const json_t *was) {
  static const char *const verbs[] = {"insert", "update", "delete", "truncate"};
  const char *list = "";
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
    if (json_bool(was, verbs[i], true)) list = arena_printf(rollback->arena, "%s%s%s", list, *list ? ", " : "", verbs[i]);
  rollback_add(rollback, "ALTER PUBLICATION %s SET (publish = '%s', publish_via_partition_root = %s)", name, list,
               json_bool(was, "via_root", false) ? "true" : "false");
}

/* What it published is added again, table by table. */
static void republish(struct rollback *rollback, const PgQuery__AlterPublicationStmt *statement, const char *key) {
  const struct rollback_source *source = rollback_source(rollback);
  bool all = statement->action == PG_QUERY__ALTER_PUBLICATION_ACTION__AP_SetObjects;
  for (size_t i = 0; i < source->count; i++) {
    const struct source_statement *one = &source->statements[i];
    if (one->node->node_case != PG_QUERY__NODE__NODE_ALTER_PUBLICATION_STMT || !source_has(&one->of, key)) continue;
    bool named = all;
    for (size_t k = 0; k < statement->n_pubobjects && !named; k++) {
      const PgQuery__PublicationObjSpec *object = statement->pubobjects[k]->publication_obj_spec;
      const struct rel *rel = object->pubtable ? shadow_range(rollback->shadow, object->pubtable->relation) : NULL;
      named = rel ? source_has(&one->of, rollback_rel_key(rollback, rel))
                  : source_has(&one->of, source_key_of(rollback->arena, "schema", NULL, sql_or_null(object->name), NULL));
    }
    if (named) rollback_add(rollback, "%s", one->text);
  }
}

void rollback_alter_publication(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__AlterPublicationStmt *statement = node->alter_publication_stmt;
  const char *key = source_key_of(rollback->arena, "publication", NULL, statement->pubname, NULL);
  const json_t *was = rollback_json(rollback, "publications", NULL, statement->pubname);
  if (rollback_is_made(rollback, key)) return;
  if (!was || !rollback_source(rollback)) {
    rollback_gone(rollback, "the publication before is not recorded");
    return;
  }
  rollback->key = key;
  if (statement->n_options) {
    set_publication_options(rollback, q(rollback, statement->pubname), was);
  } else if (statement->action == PG_QUERY__ALTER_PUBLICATION_ACTION__AP_AddObjects) {
    statement->action = PG_QUERY__ALTER_PUBLICATION_ACTION__AP_DropObjects;
    for (size_t i = 0; i < statement->n_pubobjects; i++) {
      PgQuery__PublicationTable *table = statement->pubobjects[i]->publication_obj_spec->pubtable;
      if (table) table->n_columns = 0;
      if (table) table->where_clause = NULL;
    }
    rollback_add_tree(rollback, node);
    statement->action = PG_QUERY__ALTER_PUBLICATION_ACTION__AP_AddObjects;
  } else if (statement->action == PG_QUERY__ALTER_PUBLICATION_ACTION__AP_DropObjects) {
    republish(rollback, statement, key);
  } else {
    rollback_add(rollback, "DROP PUBLICATION %s", q(rollback, statement->pubname));
    rollback_recreate_one(rollback, key);
  }
}

void rollback_alter_event_trigger(struct rollback *rollback, PgQuery__Node *node) {
  const char *name = node->alter_event_trig_stmt->trigname;
  const char *key = source_key_of(rollback->arena, "event trigger", NULL, name, NULL);
  if (rollback_is_made(rollback, key)) return;
  const json_t *was = rollback_json(rollback, "event_triggers", NULL, name);
  const char *state = json_str(was, "enabled", NULL);
  if (!state)
    rollback_gone(rollback, "the event trigger before is not recorded");
  else
    rollback_add(rollback, "ALTER EVENT TRIGGER %s %s", q(rollback, name),
                 strcmp(state, "disabled") == 0  ? "DISABLE"
                 : strcmp(state, "replica") == 0 ? "ENABLE REPLICA"
                 : strcmp(state, "always") == 0  ? "ENABLE ALWAYS"
                                                 : "ENABLE");
}
