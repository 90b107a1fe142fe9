/* rollback/grant.c - privileges: what each grantee had before is given back, whatever the statement added or took.
 *
 * pg_dump says how privileges differ from those an object is born with: all for its owner, and for PUBLIC what the kind grants. */
#include "worker/migration/rollback/impl.h"

#define TYPE(name) PG_QUERY__OBJECT_TYPE__OBJECT_##name

static bool same_role(const PgQuery__RoleSpec *a, const PgQuery__RoleSpec *b) {
  if (a->roletype != b->roletype) return false;
  return a->roletype != PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_CSTRING || strcmp(a->rolename, b->rolename) == 0;
}

static bool names_role(const PgQuery__GrantStmt *grant, const PgQuery__RoleSpec *role) {
  for (size_t i = 0; i < grant->n_grantees; i++)
    if (same_role(grant->grantees[i]->role_spec, role)) return true;
  return false;
}

/* What PUBLIC is born with. */
static const char *public_has(PgQuery__ObjectType type) {
  switch (type) {
  case TYPE(FUNCTION):
  case TYPE(PROCEDURE):
  case TYPE(ROUTINE): return "execute";
  case TYPE(TYPE):
  case TYPE(DOMAIN):
  case TYPE(LANGUAGE): return "usage";
  default: return NULL;
  }
}

static bool is_owner(struct rollback *rollback, const char *key, const PgQuery__RoleSpec *role) {
  const struct source_statement *owner = source_find(rollback_source(rollback), SOURCE_OWNER, key);
  if (!owner || role->roletype != PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_CSTRING) return false;
  const PgQuery__RoleSpec *is = NULL;
  if (owner->node->node_case == PG_QUERY__NODE__NODE_ALTER_OWNER_STMT) is = owner->node->alter_owner_stmt->newowner;
  if (owner->node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT)
    is = owner->node->alter_table_stmt->cmds[0]->alter_table_cmd->newowner;
  return is && same_role(is, role);
}

/* One object, one grantee: "GRANT or REVOKE <privileges> ON it TO or FROM them". */
struct granting {
  struct rollback *rollback;
  PgQuery__GrantStmt *statement;
  PgQuery__Node *object, *grantee;
};

static void add_grant(const struct granting *granting, bool gives, const char *privilege) {
  PgQuery__GrantStmt grant = PG_QUERY__GRANT_STMT__INIT;
  PgQuery__AccessPriv priv = PG_QUERY__ACCESS_PRIV__INIT;
  PgQuery__Node privilege_node = PG_QUERY__NODE__INIT, node = PG_QUERY__NODE__INIT, *privileges[] = {&privilege_node};
  PgQuery__Node *objects[] = {granting->object}, *grantees[] = {granting->grantee};
  grant.is_grant = gives;
  grant.targtype = PG_QUERY__GRANT_TARGET_TYPE__ACL_TARGET_OBJECT;
  grant.objtype = granting->statement->objtype;
  grant.n_objects = grant.n_grantees = 1;
  grant.objects = objects;
  grant.grantees = grantees;
  grant.behavior = PG_QUERY__DROP_BEHAVIOR__DROP_RESTRICT;
  if (privilege) {
    priv.priv_name = (char *)(uintptr_t)privilege;
    privilege_node.node_case = PG_QUERY__NODE__NODE_ACCESS_PRIV;
    privilege_node.access_priv = &priv;
    grant.n_privileges = 1;
    grant.privileges = privileges;
  }
  node.node_case = PG_QUERY__NODE__NODE_GRANT_STMT;
  node.grant_stmt = &grant;
  rollback_add_tree(granting->rollback, &node);
}

void rollback_replay_grants(struct rollback *rollback, const char *key, const PgQuery__RoleSpec *role) {
  const struct rollback_source *source = rollback_source(rollback);
  for (size_t i = 0; source && i < source->count; i++) {
    const struct source_statement *one = &source->statements[i];
    if (one->node->node_case == PG_QUERY__NODE__NODE_GRANT_STMT && source_has(&one->of, key) && names_role(one->node->grant_stmt, role))
      rollback_add(rollback, "%s", one->text);
  }
}

static void restore(const struct granting *granting, const char *key) {
  const PgQuery__RoleSpec *role = granting->grantee->role_spec;
  bool everyone = role->roletype == PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_PUBLIC;
  if (is_owner(granting->rollback, key, role)) {
    if (granting->statement->is_grant) return; /* had it all */
    add_grant(granting, true, NULL);
  } else {
    add_grant(granting, false, NULL);
    if (everyone && public_has(granting->statement->objtype)) add_grant(granting, true, public_has(granting->statement->objtype));
  }
  rollback_replay_grants(granting->rollback, key, role);
}

static void flip(struct rollback *rollback, PgQuery__Node *node) {
  node->grant_stmt->is_grant = !node->grant_stmt->is_grant;
  rollback_add_tree(rollback, node);
  node->grant_stmt->is_grant = !node->grant_stmt->is_grant;
}

static void grant_on(struct rollback *rollback, PgQuery__GrantStmt *statement, PgQuery__Node *object) {
  const char *key = rollback_key(rollback, statement->objtype, NULL, object);
  struct rel *rel = object->node_case == PG_QUERY__NODE__NODE_RANGE_VAR ? shadow_range(rollback->shadow, object->range_var) : NULL;
  if ((rel && rel->created) || rollback_is_made(rollback, key)) return;
  rollback->rel = rel;
  char *schema = rel ? object->range_var->schemaname : NULL;
  if (rel) object->range_var->schemaname = (char *)(uintptr_t)rel->t->schema;
  for (size_t i = 0; i < statement->n_grantees; i++) restore(&(struct granting){rollback, statement, object, statement->grantees[i]}, key);
  if (rel) object->range_var->schemaname = schema;
}

static bool in_target(const struct rel *rel, PgQuery__ObjectType type) {
  if (rel->dropped || rel->created) return false;
  return type == TYPE(SEQUENCE) ? rel->t->kind == SNAP_SEQUENCE : type == TYPE(TABLE) && rel->t->kind != SNAP_SEQUENCE;
}

static void grant_on_schema(struct rollback *rollback, PgQuery__GrantStmt *statement, const char *schema) {
  for (size_t i = 0; i < rollback->shadow->rels.count; i++) {
    const struct rel *rel = rollback->shadow->rels.items[i];
    if (!in_target(rel, statement->objtype) || strcmp(rel->t->schema, schema) != 0) continue;
    PgQuery__RangeVar range = PG_QUERY__RANGE_VAR__INIT;
    PgQuery__Node object = PG_QUERY__NODE__INIT;
    range.schemaname = (char *)(uintptr_t)rel->t->schema;
    range.relname = (char *)(uintptr_t)rel->t->name;
    range.inh = true;
    object.node_case = PG_QUERY__NODE__NODE_RANGE_VAR;
    object.range_var = &range;
    grant_on(rollback, statement, &object);
  }
}

void rollback_grant(struct rollback *rollback, PgQuery__Node *node) {
  PgQuery__GrantStmt *statement = node->grant_stmt;
  bool listed = statement->targtype == PG_QUERY__GRANT_TARGET_TYPE__ACL_TARGET_OBJECT;
  if (statement->objtype == TYPE(DATABASE) || statement->objtype == TYPE(PARAMETER_ACL) || statement->objtype == TYPE(TABLESPACE)) {
    flip(rollback, node);
    rollback_gone(rollback, "which of these privileges were there before is not recorded: they are not the schema's");
  } else if (!rollback_source(rollback)) {
    flip(rollback, node);
  } else if (listed) {
    for (size_t i = 0; i < statement->n_objects; i++) grant_on(rollback, statement, statement->objects[i]);
  } else if (statement->objtype == TYPE(TABLE) || statement->objtype == TYPE(SEQUENCE)) {
    for (size_t i = 0; i < statement->n_objects; i++)
      if (sql_node_string(statement->objects[i])) grant_on_schema(rollback, statement, sql_node_string(statement->objects[i]));
  } else {
    rollback_gone(rollback, "which of these privileges were there before is not looked up one by one");
    flip(rollback, node);
  }
}

void rollback_grant_role(struct rollback *rollback, PgQuery__Node *node) {
  node->grant_role_stmt->is_grant = !node->grant_role_stmt->is_grant;
  rollback_add_tree(rollback, node);
  node->grant_role_stmt->is_grant = !node->grant_role_stmt->is_grant;
  rollback_gone(rollback, "who was a member before is not recorded: roles are the server's, not the schema's");
}

/* --- ALTER DEFAULT PRIVILEGES --- */

static const char *option_value(const PgQuery__AlterDefaultPrivilegesStmt *defaults, const char *name) {
  for (size_t i = 0; i < defaults->n_options; i++) {
    const PgQuery__DefElem *option = defaults->options[i]->def_elem;
    if (strcmp(option->defname, name) != 0 || !option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_LIST) continue;
    const PgQuery__Node *first = option->arg->list->n_items ? option->arg->list->items[0] : NULL;
    if (first && first->node_case == PG_QUERY__NODE__NODE_ROLE_SPEC) return first->role_spec->rolename;
    return sql_node_string(first);
  }
  return NULL;
}

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : !a && !b; }

/* The role is not compared where the statement names none: it is whoever runs it. */
static bool speaks_of(const PgQuery__AlterDefaultPrivilegesStmt *recorded, const PgQuery__AlterDefaultPrivilegesStmt *statement,
                      const PgQuery__RoleSpec *role) {
  const char *for_role = option_value(statement, "roles");
  return recorded->action->objtype == statement->action->objtype && names_role(recorded->action, role) &&
         same_text(option_value(recorded, "schemas"), option_value(statement, "schemas")) &&
         (!for_role || same_text(option_value(recorded, "roles"), for_role));
}

static void add_defaults(struct rollback *rollback, PgQuery__Node *node, PgQuery__Node *grantee, bool gives, bool everything) {
  PgQuery__GrantStmt *action = node->alter_default_privileges_stmt->action, was = *action;
  PgQuery__Node *grantees[] = {grantee};
  action->is_grant = gives;
  action->grant_option = false;
  action->n_grantees = 1;
  action->grantees = grantees;
  if (everything) action->n_privileges = 0;
  rollback_add_tree(rollback, node);
  *action = was;
}

void rollback_default_privileges(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterDefaultPrivilegesStmt *statement = node->alter_default_privileges_stmt;
  const struct rollback_source *source = rollback_source(rollback);
  if (!source) rollback_gone(rollback, "the default privileges before are not recorded");
  for (size_t g = 0; g < statement->action->n_grantees; g++) {
    PgQuery__Node *grantee = statement->action->grantees[g];
    bool recorded = false;
    for (size_t i = 0; source && i < source->count && !recorded; i++)
      recorded = source->statements[i].node->node_case == PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT &&
                 speaks_of(source->statements[i].node->alter_default_privileges_stmt, statement, grantee->role_spec);
    bool born_with = grantee->role_spec->roletype == PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_PUBLIC && public_has(statement->action->objtype) &&
                     !option_value(statement, "schemas");
    if (statement->action->is_grant && !born_with)
      add_defaults(rollback, node, grantee, false, true);
    else if (!statement->action->is_grant && !recorded && born_with)
      add_defaults(rollback, node, grantee, true, false);
    for (size_t i = 0; recorded && i < source->count; i++)
      if (source->statements[i].node->node_case == PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT &&
          speaks_of(source->statements[i].node->alter_default_privileges_stmt, statement, grantee->role_spec))
        rollback_add(rollback, "%s", source->statements[i].text);
  }
}
