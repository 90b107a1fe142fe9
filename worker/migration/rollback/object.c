/* rollback/object.c - RENAME, SET SCHEMA, COMMENT and OWNER of anything: the statement itself with its two ends exchanged, or with what was
 * there before. */
#include "worker/migration/rollback/impl.h"

#define TYPE(name) PG_QUERY__OBJECT_TYPE__OBJECT_##name

static char *text(const char *constant) { return (char *)(uintptr_t)(constant ? constant : ""); }

/* The node of an object's own name: the last string of whatever names it. */
static PgQuery__String *own_name(PgQuery__Node *object) {
  PgQuery__Node *last = object;
  if (!object) return NULL;
  if (object->node_case == PG_QUERY__NODE__NODE_LIST && object->list->n_items) last = object->list->items[object->list->n_items - 1];
  if (object->node_case == PG_QUERY__NODE__NODE_TYPE_NAME && object->type_name->n_names)
    last = object->type_name->names[object->type_name->n_names - 1];
  if (object->node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS && object->object_with_args->n_objname)
    last = object->object_with_args->objname[object->object_with_args->n_objname - 1];
  return last->node_case == PG_QUERY__NODE__NODE_STRING ? last->string : NULL;
}

/* --- RENAME --- */

static bool is_relation(PgQuery__ObjectType type) {
  return type == TYPE(TABLE) || type == TYPE(VIEW) || type == TYPE(MATVIEW) || type == TYPE(SEQUENCE) || type == TYPE(INDEX) ||
         type == TYPE(FOREIGN_TABLE);
}

static const char *class_of(PgQuery__ObjectType type) {
  switch (type) {
  case TYPE(COLUMN): return "column";
  case TYPE(TABCONSTRAINT): return "constraint";
  case TYPE(TRIGGER): return "trigger";
  case TYPE(POLICY): return "policy";
  case TYPE(RULE): return "rule";
  default: return NULL;
  }
}

static void rename_part(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__RenameStmt *statement = node->rename_stmt;
  const struct rel *rel = statement->relation ? shadow_range(rollback->shadow, statement->relation) : NULL;
  const char *kind = class_of(statement->rename_type);
  char *old = statement->subname, *schema = statement->relation ? statement->relation->schemaname : NULL;
  if (!rel && statement->relation && statement->missing_ok) return;
  rollback->rel = rel;
  if (rel && kind)
    rollback_note_rename(rollback, rollback_part_key(rollback, kind, rel, statement->newname), rollback_part_key(rollback, kind, rel, old));
  statement->subname = statement->newname;
  statement->newname = old;
  if (rel) statement->relation->schemaname = text(rel->t->schema);
  rollback_add_tree(rollback, node);
  statement->newname = statement->subname;
  statement->subname = old;
  if (rel) statement->relation->schemaname = schema;
}

static void rename_relation(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__RenameStmt *statement = node->rename_stmt;
  PgQuery__RangeVar *range = statement->relation;
  struct rel *rel = shadow_range(rollback->shadow, range), *owner = NULL;
  const struct snap_index *index = rel ? NULL : shadow_index(rollback->shadow, sql_or_null(range->schemaname), range->relname, &owner);
  if (!rel && !index && statement->missing_ok) return;
  const char *in = rel ? rel->t->schema : index ? owner->t->schema : shadow_schema(rollback->shadow, sql_or_null(range->schemaname));
  char *schema = range->schemaname, *old = range->relname;
  rollback->rel = rel;
  rollback->key = rel ? NULL : source_key_of(rollback->arena, "rel", in, old, NULL);
  const char *now = source_key_of(rollback->arena, "rel", in, statement->newname, NULL);
  if (!rel || !rollback_original(rollback, rel))
    rollback_note_rename(rollback, now, rollback_known_as(rollback, source_key_of(rollback->arena, "rel", in, old, NULL)));
  range->schemaname = text(in);
  range->relname = statement->newname;
  statement->newname = old;
  if (rel && statement->rename_type != TYPE(INDEX)) /* ALTER TABLE renames views, too */
    rollback_add(rollback, "ALTER %s %s RENAME TO %s", rollback_rel_words(rel), sql_qualified(rollback->arena, in, range->relname),
                 sql_ident(rollback->arena, old));
  else
    rollback_add(rollback, "ALTER INDEX %s RENAME TO %s", sql_qualified(rollback->arena, in, range->relname),
                 sql_ident(rollback->arena, old));
  statement->newname = range->relname;
  range->relname = old;
  range->schemaname = schema;
}

static void rename_named(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__RenameStmt *statement = node->rename_stmt;
  PgQuery__String *name = own_name(statement->object);
  if (!name) { /* SCHEMA, ROLE, DATABASE */
    char *old = statement->subname;
    if (!sql_or_null(old)) {
      rollback_gone(rollback, "no inverse is made for this rename");
      return;
    }
    statement->subname = statement->newname;
    statement->newname = old;
    rollback_add_tree(rollback, node);
    statement->newname = statement->subname;
    statement->subname = old;
    return;
  }
  const char *was = rollback_key(rollback, statement->rename_type, NULL, statement->object);
  char *old = name->sval;
  rollback->key = was;
  name->sval = statement->newname;
  statement->newname = old;
  rollback_note_rename(
      rollback, source_key(rollback->arena, statement->rename_type, NULL, statement->object, shadow_schema(rollback->shadow, NULL)), was);
  rollback_add_tree(rollback, node);
  statement->newname = name->sval;
  name->sval = old;
}

void rollback_rename(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__RenameStmt *statement = node->rename_stmt;
  rollback->rename = true;
  if (statement->rename_type == TYPE(DOMCONSTRAINT) || (statement->relation && !is_relation(statement->rename_type)))
    rename_part(rollback, node);
  else if (statement->relation)
    rename_relation(rollback, node);
  else
    rename_named(rollback, node);
}

/* --- SET SCHEMA --- */

static const char *extension_schema(struct rollback *rollback, const PgQuery__Node *object) {
  const char *name = sql_node_string(object);
  for (size_t i = 0; name && i < rollback->before->extension_count; i++)
    if (strcmp(rollback->before->extensions[i].name, name) == 0) return rollback->before->extensions[i].schema;
  return NULL;
}

/* Where an object named without a schema is: its key says. */
static const char *schema_of(struct rollback *rollback, PgQuery__ObjectType type, PgQuery__Node *object) {
  const char *key = rollback_key(rollback, type, NULL, object);
  for (size_t i = 0; key && i < rollback->shadow->schemas.count; i++) {
    const char *schema = rollback->shadow->schemas.items[i];
    if (rollback_is_there(rollback, source_key(rollback->arena, type, NULL, object, schema))) return schema;
  }
  return shadow_schema(rollback->shadow, NULL);
}

static void set_relation_schema(struct rollback *rollback, const PgQuery__AlterObjectSchemaStmt *statement) {
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel) {
    if (!statement->missing_ok) rollback_gone(rollback, "no inverse is made for this move");
    return;
  }
  rollback->rel = rel;
  rollback_add(rollback, "ALTER %s %s SET SCHEMA %s", rollback_rel_words(rel),
               sql_qualified(rollback->arena, statement->newschema, rel->t->name), sql_ident(rollback->arena, rel->t->schema));
}

struct name_list {
  size_t *count;
  PgQuery__Node ***items;
};

static struct name_list name_of(PgQuery__Node *object) {
  if (object->node_case == PG_QUERY__NODE__NODE_LIST) return (struct name_list){&object->list->n_items, &object->list->items};
  if (object->node_case == PG_QUERY__NODE__NODE_TYPE_NAME)
    return (struct name_list){&object->type_name->n_names, &object->type_name->names};
  if (object->node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS)
    return (struct name_list){&object->object_with_args->n_objname, &object->object_with_args->objname};
  return (struct name_list){0};
}

void rollback_set_schema(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__AlterObjectSchemaStmt *statement = node->alter_object_schema_stmt;
  rollback->rename = true;
  if (statement->relation) {
    set_relation_schema(rollback, statement);
    return;
  }
  char *moved_to = statement->newschema;
  struct name_list names = name_of(statement->object);
  if (!names.count) {
    const char *old = extension_schema(rollback, statement->object);
    if (!old) rollback_gone(rollback, "the schema before is not recorded");
    statement->newschema = text(old);
    if (old) rollback_add_tree(rollback, node);
    statement->newschema = moved_to;
    return;
  }
  const char *schema, *name, *was = rollback_key(rollback, statement->object_type, NULL, statement->object);
  sql_name_split(*names.count, *names.items, &schema, &name);
  if (!schema) schema = schema_of(rollback, statement->object_type, statement->object);
  PgQuery__String parts[2] = {PG_QUERY__STRING__INIT, PG_QUERY__STRING__INIT};
  PgQuery__Node nodes[2] = {PG_QUERY__NODE__INIT, PG_QUERY__NODE__INIT}, *pointers[2] = {&nodes[0], &nodes[1]}, **old = *names.items;
  size_t count = *names.count;
  parts[0].sval = moved_to;
  parts[1].sval = text(name);
  for (int i = 0; i < 2; i++) {
    nodes[i].node_case = PG_QUERY__NODE__NODE_STRING;
    nodes[i].string = &parts[i];
  }
  *names.count = 2;
  *names.items = pointers;
  statement->newschema = text(schema);
  rollback->key = was;
  rollback_note_rename(rollback, source_key(rollback->arena, statement->object_type, NULL, statement->object, NULL), was);
  rollback_add_tree(rollback, node);
  *names.count = count;
  *names.items = old;
  statement->newschema = moved_to;
}

/* --- COMMENT, OWNER --- */

static bool is_new(struct rollback *rollback, PgQuery__ObjectType type, PgQuery__Node *object, const char *key) {
  size_t count = object && object->node_case == PG_QUERY__NODE__NODE_LIST ? object->list->n_items : 0;
  size_t relation =
      type == TYPE(COLUMN) || type == TYPE(TRIGGER) || type == TYPE(RULE) || type == TYPE(POLICY) || type == TYPE(TABCONSTRAINT) ? count - 1
                                                                                                                                 : count;
  const struct rel *rel = count && relation ? shadow_named(rollback->shadow, relation, object->list->items) : NULL;
  rollback->rel = rel;
  return (rel && rel->created) || rollback_is_made(rollback, key);
}

/* The snapshot's model knows the comments of relations and columns. */
static const char *model_comment(struct rollback *rollback, const PgQuery__CommentStmt *statement, bool *known) {
  const struct rel *rel = rollback->rel;
  *known = rel && (statement->objtype == TYPE(COLUMN) || is_relation(statement->objtype));
  if (!*known) return NULL;
  if (statement->objtype != TYPE(COLUMN)) return rel->t->comment;
  PgQuery__String *name = own_name(statement->object);
  const struct snap_column *column = name ? snap_table_column(rel->t, name->sval) : NULL;
  *known = column != NULL;
  return column ? column->comment : NULL;
}

void rollback_comment(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__CommentStmt *statement = node->comment_stmt;
  const char *key = rollback_key(rollback, statement->objtype, NULL, statement->object);
  if (is_new(rollback, statement->objtype, statement->object, key)) return;
  const struct rollback_source *source = rollback_source(rollback);
  const struct source_statement *old = source_find(source, SOURCE_COMMENT, key);
  bool known = source && key;
  const char *was = old ? old->node->comment_stmt->comment : NULL;
  if (!known) was = model_comment(rollback, statement, &known);
  if (!known) {
    rollback_gone(rollback, "the comment before is not recorded");
    return;
  }
  char *now = statement->comment;
  statement->comment = text(was);
  rollback_add_tree(rollback, node);
  statement->comment = now;
}

static const char *recorded_owner(struct rollback *rollback, const char *key) {
  const struct source_statement *old = source_find(rollback_source(rollback), SOURCE_OWNER, key);
  if (!old) return NULL;
  if (old->node->node_case == PG_QUERY__NODE__NODE_ALTER_OWNER_STMT) return old->node->alter_owner_stmt->newowner->rolename;
  for (size_t i = 0; i < old->node->alter_table_stmt->n_cmds; i++) {
    const PgQuery__AlterTableCmd *command = old->node->alter_table_stmt->cmds[i]->alter_table_cmd;
    if (command->newowner) return command->newowner->rolename;
  }
  return NULL;
}

void rollback_owner(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__AlterOwnerStmt *statement = node->alter_owner_stmt;
  const char *key = rollback_key(rollback, statement->object_type, statement->relation, statement->object);
  if (is_new(rollback, statement->object_type, statement->object, key)) return;
  const char *owner = recorded_owner(rollback, key);
  if (!owner) {
    rollback_gone(rollback, "the owner before is not recorded");
    return;
  }
  PgQuery__RoleSpec role = PG_QUERY__ROLE_SPEC__INIT, *now = statement->newowner;
  role.roletype = PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_CSTRING;
  role.rolename = text(owner);
  statement->newowner = &role;
  rollback_add_tree(rollback, node);
  statement->newowner = now;
  rollback_replay_grants(rollback, key, now);
}
