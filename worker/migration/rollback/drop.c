/* rollback/drop.c - what was dropped is made again, statement by statement of the dump, with all that went along. */
#include "worker/migration/rollback/impl.h"

/* --- making it again --- */

static const char *without_no_data(struct rollback *rollback, const struct source_statement *statement) {
  static const char tail[] = "WITH NO DATA";
  size_t len = strlen(statement->text);
  if (statement->node->node_case != PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT || len < sizeof tail ||
      strcmp(statement->text + len - (sizeof tail - 1), tail) != 0)
    return statement->text;
  return arena_strndup(rollback->arena, statement->text, len - (sizeof tail - 1));
}

struct default_grants {
  struct rollback *rollback;
  PgQuery__ObjectType type, target;
  const char *schema, *name;
};

static bool default_applies(const PgQuery__AlterDefaultPrivilegesStmt *defaults, const struct default_grants *wanted) {
  if (!defaults->action->is_grant || defaults->action->objtype != wanted->type) return false;
  for (size_t i = 0; i < defaults->n_options; i++) {
    const PgQuery__DefElem *option = defaults->options[i]->def_elem;
    if (strcmp(option->defname, "schemas") != 0 || !option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_LIST) continue;
    const char *schema = option->arg->list->n_items ? sql_node_string(option->arg->list->items[0]) : NULL;
    if (!schema || !wanted->schema || strcmp(schema, wanted->schema) != 0) return false;
  }
  return true;
}

/* A new object gets what default privileges give, whether the old one had it or not; grants of the dump follow. */
static void drop_default_grants(const struct default_grants *wanted) {
  struct rollback *rollback = wanted->rollback;
  const struct rollback_source *source = rollback_source(rollback);
  for (size_t i = 0; wanted->name && i < source->count; i++) {
    const PgQuery__Node *node = source->statements[i].node;
    if (node->node_case != PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT) continue;
    const PgQuery__AlterDefaultPrivilegesStmt *defaults = node->alter_default_privileges_stmt;
    if (!default_applies(defaults, wanted)) continue;
    for (size_t g = 0; g < defaults->action->n_grantees; g++) {
      const PgQuery__RoleSpec *role = defaults->action->grantees[g]->role_spec;
      bool everyone = role->roletype == PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_PUBLIC;
      rollback_add(rollback, "REVOKE ALL ON %s FROM %s", wanted->name, everyone ? "PUBLIC" : sql_ident(rollback->arena, role->rolename));
    }
  }
}

static void after_create(struct rollback *rollback, const struct source_statement *statement) {
  const PgQuery__RangeVar *range = NULL;
  struct default_grants wanted = {.rollback = rollback, .type = PG_QUERY__OBJECT_TYPE__OBJECT_TABLE};
  if (statement->node->node_case == PG_QUERY__NODE__NODE_CREATE_STMT) range = statement->node->create_stmt->relation;
  if (statement->node->node_case == PG_QUERY__NODE__NODE_VIEW_STMT) range = statement->node->view_stmt->view;
  if (statement->node->node_case == PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT) range = statement->node->create_table_as_stmt->into->rel;
  if (statement->node->node_case == PG_QUERY__NODE__NODE_CREATE_SEQ_STMT) {
    range = statement->node->create_seq_stmt->sequence;
    wanted.type = PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE;
  }
  if (!range) return;
  wanted.schema = range->schemaname;
  wanted.name = arena_printf(rollback->arena, "%s %s", wanted.type == PG_QUERY__OBJECT_TYPE__OBJECT_TABLE ? "TABLE" : "SEQUENCE",
                             sql_qualified(rollback->arena, sql_or_null(range->schemaname), range->relname));
  drop_default_grants(&wanted);
}

/* What a partition of a table that stays needs before it is attached: everything else of it. */
static int phase(const struct source_statement *statement, const struct source_keys *gone) {
  bool parent_stays = statement->of.count && !source_has(gone, statement->of.items[0]);
  if (statement->role == SOURCE_ATTACH && parent_stays) return 1;
  if (statement->role == SOURCE_INDEX_ATTACH && parent_stays) return 2;
  return 0;
}

static void add_setvals(struct rollback *rollback, const struct source_keys *gone) {
  size_t index;
  const json_t *sequence;
  json_array_foreach(json_object_get(rollback->before->json, "sequences"), index, sequence) {
    const json_t *last = json_object_get(sequence, "last_value"), *place = json_object_get(sequence, "owner_column");
    const char *schema = json_str(sequence, "schema", ""), *name = json_str(sequence, "name", "");
    bool listed = source_has(gone, source_key_of(rollback->arena, "rel", schema, name, NULL));
    if (!listed && json_bool(sequence, "identity", false))
      listed = source_has(gone, source_key_of(rollback->arena, "rel", json_str(place, "schema", ""), json_str(place, "table", ""), NULL));
    if (listed && json_is_integer(last))
      rollback_add(rollback, "SELECT pg_catalog.setval(%s, %lld)",
                   sql_literal(rollback->arena, sql_qualified(rollback->arena, schema, name)), (long long)json_integer_value(last));
  }
}

bool rollback_is_earlier(struct rollback *rollback, const struct source_statement *statement) {
  for (size_t i = 0; i < statement->of.count; i++)
    if (rollback_is_dropped(rollback, statement->of.items[i])) return true;
  for (size_t i = 0; i < statement->makes.count; i++)
    if (rollback_is_dropped(rollback, statement->makes.items[i])) return true;
  return false;
}

bool rollback_recreate(struct rollback *rollback, struct source_keys *gone, bool cascade) {
  struct rollback_source *source = rollback_source(rollback);
  if (!source) return false;
  bool found = false, functions = false;
  const struct source_statement *partly = source_close(source, gone, cascade);
  if (partly) rollback_gone(rollback, "CASCADE takes columns of %s along, with their values", partly->makes.items[0] + 4);
  for (size_t i = 0; i < source->count; i++)
    functions |= source->statements[i].taken && source->statements[i].node->node_case == PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT;
  if (functions && !rollback->step->outside) rollback_add(rollback, "SET LOCAL check_function_bodies = off");
  for (int now = 0; now < 3; now++)
    for (size_t i = 0; i < source->count; i++) {
      const struct source_statement *statement = &source->statements[i];
      if (!statement->taken || phase(statement, gone) != now || rollback_is_earlier(rollback, statement)) continue;
      found |= statement->role == SOURCE_MAKES;
      rollback_add(rollback, "%s", rollback_substitute(rollback, without_no_data(rollback, statement)));
      after_create(rollback, statement);
    }
  add_setvals(rollback, gone);
  return found;
}

bool rollback_recreate_one(struct rollback *rollback, const char *key) {
  struct source_keys gone = {0};
  source_push(rollback->arena, &gone, key);
  return rollback_recreate(rollback, &gone, false);
}

/* --- DROP --- */

static bool is_renamed(struct rollback *rollback, const struct rel *rel) {
  for (size_t i = 0; i < rollback->renamings.count; i++)
    if (strcmp(rollback->renamings.items[i].now, rel->t->name) == 0 && strcmp(rollback->renamings.items[i].now_schema, rel->t->schema) == 0)
      return true;
  return false;
}

static void note_renaming(struct rollback *rollback, const struct rollback_renaming *renaming) {
  bool same = strcmp(renaming->was, renaming->now) == 0 && strcmp(renaming->schema, renaming->now_schema) == 0;
  struct rollback_renaming *slot = same ? NULL : LIST_PUSH(rollback->arena, &rollback->renamings);
  if (slot) *slot = *renaming;
}

/* Types are known by their key alone: "type:schema.name", whose parts the statement and the dump name. */
static void note_type_renaming(struct rollback *rollback, PgQuery__Node *object, const char *key) {
  const struct source_statement *source = source_find(rollback_source(rollback), SOURCE_MAKES, key);
  if (!source || object->node_case != PG_QUERY__NODE__NODE_TYPE_NAME) return;
  const char *schema = NULL, *was = NULL, *now_schema, *now;
  const PgQuery__Node *made = source->node;
  if (made->node_case == PG_QUERY__NODE__NODE_CREATE_ENUM_STMT)
    sql_name_split(made->create_enum_stmt->n_type_name, made->create_enum_stmt->type_name, &schema, &was);
  else if (made->node_case == PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT)
    sql_name_split(made->create_domain_stmt->n_domainname, made->create_domain_stmt->domainname, &schema, &was);
  sql_name_split(object->type_name->n_names, object->type_name->names, &now_schema, &now);
  if (schema && was && now) note_renaming(rollback, &(struct rollback_renaming){schema, was, now_schema ? now_schema : schema, now});
}

/* Rows, and positions of sequences since the schema was read. */
static void name_losses(struct rollback *rollback, const struct source_keys *gone) {
  for (size_t i = 0; i < gone->count; i++) {
    const struct rel *rel = NULL;
    for (size_t r = 0; r < rollback->shadow->rels.count && !rel; r++) {
      const struct rel *one = rollback->shadow->rels.items[r];
      if (!one->dropped && strcmp(rollback_rel_key(rollback, one), gone->items[i]) == 0) rel = one;
    }
    if (!rel || strncmp(gone->items[i], "rel:", 4) != 0) continue;
    rollback_cancel(rollback, rel, NULL, !is_renamed(rollback, rel));
    if (rel->t->kind == SNAP_TABLE || rel->t->kind == SNAP_PARTITIONED)
      rollback_gone(rollback, "the rows of %s are gone", rel->t->qualified);
    else if (rel->t->kind == SNAP_SEQUENCE)
      rollback_gone(rollback, "sequence %s comes back where it was when the schema was read", rel->t->qualified);
  }
}

/* Where there is no dump. */
static void from_model(struct rollback *rollback, const PgQuery__DropStmt *statement, const struct rel *rel, const char *key) {
  struct rel *owner = NULL;
  if (rel && (rel->t->kind == SNAP_VIEW || rel->t->kind == SNAP_MATVIEW)) {
    rollback_model_view(rollback, rel);
  } else if (rel && rel->t->kind == SNAP_SEQUENCE) {
    rollback_add(rollback, "CREATE SEQUENCE %s", rollback_name(rollback, rel));
    rollback_gone(rollback, "the position of sequence %s is gone", rel->t->qualified);
  } else if (rel) {
    rollback_gone(rollback, "the rows of %s are gone", rel->t->qualified);
    rollback_model_table(rollback, rel);
  } else if (strncmp(key, "function:", 9) == 0) {
    rollback_model_function(rollback, key);
  } else if (statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX && key) {
    const char *dot = strrchr(key, '.');
    const struct snap_index *index = dot ? shadow_index(rollback->shadow, NULL, dot + 1, &owner) : NULL;
    const char *at = index ? strstr(index->definition, "INDEX ") : NULL;
    if (at)
      rollback_add(rollback, "%.*sINDEX %s%s", (int)(at - index->definition), index->definition,
                   statement->concurrent ? "CONCURRENTLY " : "", at + 6);
  }
  if (!rollback->step->sql.count) rollback_gone(rollback, "the definition of the dropped object is not recorded");
}

static const struct rel *relation_of(struct rollback *rollback, const PgQuery__DropStmt *statement, PgQuery__Node *object) {
  switch (statement->remove_type) {
  case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
  case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
  case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE:
  case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
    return object->node_case == PG_QUERY__NODE__NODE_LIST ? shadow_named(rollback->shadow, object->list->n_items, object->list->items)
                                                          : NULL;
  default: return NULL;
  }
}

static void concurrently(struct rollback *rollback) {
  for (size_t i = 0; i < rollback->step->sql.count; i++) {
    const char *text = rollback->step->sql.items[i], *at = strstr(text, "INDEX ");
    if (strncmp(text, "CREATE ", 7) != 0 || !at || strncmp(at, "INDEX CONCURRENTLY", 18) == 0) continue;
    rollback->step->sql.items[i] = arena_printf(rollback->arena, "%.*sINDEX CONCURRENTLY %s", (int)(at - text), text, at + 6);
  }
}

/* Made here: it goes without a trace, and so do its makers. */
static bool forget_made(struct rollback *rollback, const struct rel *rel, const char *key) {
  if (!(rel && rel->created) && !rollback_is_made(rollback, key)) return false;
  rollback_cancel(rollback, rel, key, true);
  rollback_note(rollback, key, false);
  return true;
}

static void forget_schema(struct rollback *rollback, const char *key) {
  for (size_t i = 0; i < rollback->shadow->rels.count; i++) {
    const struct rel *rel = rollback->shadow->rels.items[i];
    if (rel->created && strcmp(source_key_of(rollback->arena, "schema", NULL, rel->t->schema, NULL), key) == 0)
      rollback_cancel(rollback, rel, rollback_rel_key(rollback, rel), true);
  }
}

/* What the dropped ones refer to has the name it has by now, too. */
static void note_other_renamings(struct rollback *rollback) {
  for (size_t i = 0; i < rollback->shadow->rels.count; i++) {
    const struct rel *rel = rollback->shadow->rels.items[i];
    const struct snap_table *was = rollback_original(rollback, rel);
    if (was && !is_renamed(rollback, rel))
      note_renaming(rollback, &(struct rollback_renaming){was->schema, was->name, rel->t->schema, rel->t->name});
  }
}

void rollback_drop(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__DropStmt *statement = node->drop_stmt;
  bool cascade = statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
  struct source_keys gone = {0};
  bool recorded = rollback_source(rollback) != NULL;
  rollback->step->outside = statement->concurrent;
  for (size_t i = 0; i < statement->n_objects; i++) {
    PgQuery__Node *object = statement->objects[i];
    const struct rel *rel = relation_of(rollback, statement, object);
    const char *key = rel ? rollback_rel_key(rollback, rel) : rollback_key(rollback, statement->remove_type, NULL, object);
    if (!key) {
      rollback_gone(rollback, "the definition of the dropped object is not recorded");
      continue;
    }
    if (statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA) forget_schema(rollback, key);
    if (forget_made(rollback, rel, key)) continue;
    if (!recorded) {
      from_model(rollback, statement, rel, key);
      rollback_note(rollback, key, false);
    } else if (rollback_is_there(rollback, key)) {
      const struct snap_table *was = rel ? rollback_original(rollback, rel) : NULL;
      source_push(rollback->arena, &gone, key);
      if (was) note_renaming(rollback, &(struct rollback_renaming){was->schema, was->name, rel->t->schema, rel->t->name});
      note_type_renaming(rollback, object, key);
      rollback_cancel(rollback, rel, key, !rollback->renamings.count);
    } else if (!statement->missing_ok) {
      rollback_gone(rollback, "the definition of the dropped object is not recorded");
    }
  }
  if (cascade && (!recorded || statement->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION))
    rollback_gone(rollback, "what CASCADE takes along is not rebuilt");
  if (!gone.count) return;
  note_other_renamings(rollback);
  rollback_recreate(rollback, &gone, cascade);
  name_losses(rollback, &gone);
  for (size_t i = 0; i < gone.count; i++) rollback_note(rollback, gone.items[i], false);
  if (statement->concurrent) concurrently(rollback);
}
