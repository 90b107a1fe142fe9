/* notice.c - remarks that need the statement's tree and little else: one function per kind of statement, one row each in `rows`. */
#include "worker/migration/notice.h"

#include <ctype.h>
#include <strings.h>

#include "worker/sql/text.h"

#define WIDE_INDEX 3 /* key columns that usually still help */

/* --- columns --- */

static bool has_clause(const PgQuery__ColumnDef *column, PgQuery__ConstrType type) {
  for (size_t i = 0; i < column->n_constraints; i++)
    if (column->constraints[i]->node_case == PG_QUERY__NODE__NODE_CONSTRAINT && column->constraints[i]->constraint->contype == type)
      return true;
  return false;
}

static bool small_number(const char *type) {
  static const char *const small[] = {"integer", "smallint", "serial", "serial4", "smallserial", "serial2"};
  for (size_t i = 0; i < sizeof small / sizeof *small; i++)
    if (strcmp(type, small[i]) == 0) return true;
  return false;
}

/* "timestamp without time zone[]" counts as well: what holds for a type holds for arrays of it. */
static bool is_type(const char *type, const char *name) { return strncmp(type, name, strlen(name)) == 0; }

static void note_type(struct form *form, struct rel *rel, const char *column, const char *type) {
  if (strcmp(type, "json") == 0) effect_fact(form->effect, FACT_COLUMN_JSON, rel, column, type);
  if (is_type(type, "character(")) effect_fact(form->effect, FACT_COLUMN_CHAR, rel, column, type);
  if (is_type(type, "timestamp") && strstr(type, "without")) effect_fact(form->effect, FACT_COLUMN_TIMESTAMP, rel, column, type);
  if (is_type(type, "money")) effect_fact(form->effect, FACT_COLUMN_MONEY, rel, column, type);
  if (strstr(type, "serial")) effect_fact(form->effect, FACT_COLUMN_SERIAL_TYPE, rel, column, type);
}

static void note_column(struct form *form, struct rel *rel, const PgQuery__ColumnDef *column, bool key) {
  const char *type = column->type_name ? sql_type(form->arena, column->type_name) : NULL;
  if (!type) return;
  note_type(form, rel, column->colname, type);
  bool numbered = strstr(type, "serial") || has_clause(column, PG_QUERY__CONSTR_TYPE__CONSTR_IDENTITY);
  if ((key || numbered) && small_number(type)) effect_fact(form->effect, FACT_COLUMN_SMALL_KEY, rel, column->colname, type);
}

static bool in_list(size_t count, PgQuery__Node *const *names, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (sql_node_string(names[i]) && strcmp(sql_node_string(names[i]), name) == 0) return true;
  return false;
}

/* A one-column primary key, written with the column or apart. A key of several columns is hardly ever a counter. */
static bool is_key(const PgQuery__CreateStmt *create, const PgQuery__ColumnDef *column) {
  if (has_clause(column, PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY)) return true;
  for (size_t i = 0; i < create->n_table_elts; i++) {
    const PgQuery__Node *element = create->table_elts[i];
    if (element->node_case == PG_QUERY__NODE__NODE_CONSTRAINT && element->constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY &&
        element->constraint->n_keys == 1 && in_list(1, element->constraint->keys, column->colname))
      return true;
  }
  return false;
}

static bool has_primary_key(const struct rel *rel) {
  for (size_t i = 0; i < rel->t->constraint_count; i++)
    if (rel->t->constraints[i].type == 'p') return true;
  return false;
}

static void create_table(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateStmt *create = node->create_stmt;
  struct rel *rel = shadow_range(form->shadow, create->relation);
  const char *persistence = create->relation->relpersistence;
  if (!rel || !rel->created || strcmp(persistence, "t") == 0) return;
  for (size_t i = 0; i < create->n_table_elts; i++)
    if (create->table_elts[i]->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
      note_column(form, rel, create->table_elts[i]->column_def, is_key(create, create->table_elts[i]->column_def));
  if (strcmp(persistence, "u") == 0) effect_fact(form->effect, FACT_CREATE_UNLOGGED, rel, NULL, NULL);
  if (!has_primary_key(rel) && !create->partbound && !create->n_inh_relations)
    effect_fact(form->effect, FACT_NO_PRIMARY_KEY, rel, NULL, NULL);
}

/* --- ALTER TABLE --- */

static void replica_identity(struct form *form, struct rel *rel, const PgQuery__AlterTableCmd *command) {
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_REPLICA_IDENTITY_STMT) return;
  const char *kind = command->def->replica_identity_stmt->identity_type;
  if (strcmp(kind, "f") == 0) effect_fact(form->effect, FACT_REPLICA_IDENTITY_FULL, rel, NULL, NULL);
  if (strcmp(kind, "n") == 0) effect_fact(form->effect, FACT_REPLICA_IDENTITY_NOTHING, rel, NULL, NULL);
}

static void added_constraint(struct form *form, struct rel *rel, const PgQuery__AlterTableCmd *command) {
  if (!command->def || command->def->node_case != PG_QUERY__NODE__NODE_CONSTRAINT) return;
  const PgQuery__Constraint *constraint = command->def->constraint;
  if (constraint->skip_validation && sql_or_null(constraint->conname))
    effect_fact(form->effect, FACT_ADDED_NOT_VALID, rel, constraint->conname, NULL);
}

static void alter_command_notice(struct form *form, struct rel *rel, const PgQuery__AlterTableCmd *command) {
  const PgQuery__ColumnDef *definition =
      command->def && command->def->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF ? command->def->column_def : NULL;
  const char *type = definition && definition->type_name ? sql_type(form->arena, definition->type_name) : NULL;
  const struct snap_column *column = sql_or_null(command->name) ? snap_table_column(rel->t, command->name) : NULL;
  switch (command->subtype) {
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AddColumn:
    if (definition) note_column(form, rel, definition, has_clause(definition, PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY));
    break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType:
    if (type) note_type(form, rel, command->name, type);
    break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault:
    if (!command->def && column && column->not_null) effect_fact(form->effect, FACT_DROP_DEFAULT, rel, command->name, NULL);
    break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableRowSecurity:
    if (rel->t->policy_count) effect_fact(form->effect, FACT_DISABLE_RLS, rel, NULL, NULL);
    break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_ReplicaIdentity: replica_identity(form, rel, command); break;
  case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint: added_constraint(form, rel, command); break;
  default: break;
  }
}

static void alter_table(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterTableStmt *alter = node->alter_table_stmt;
  struct rel *rel = shadow_range(form->shadow, alter->relation);
  for (size_t i = 0; rel && i < alter->n_cmds; i++)
    if (alter->cmds[i]->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) alter_command_notice(form, rel, alter->cmds[i]->alter_table_cmd);
}

/* --- indexes, functions, types --- */

static void create_index(struct form *form, PgQuery__Node *node) {
  const PgQuery__IndexStmt *index = node->index_stmt;
  struct rel *rel = shadow_range(form->shadow, index->relation);
  if (!rel) return;
  bool btree = !sql_or_null(index->access_method) || strcmp(index->access_method, "btree") == 0;
  if (btree && !index->unique && index->n_index_params > WIDE_INDEX)
    effect_fact(form->effect, FACT_INDEX_WIDE, rel, sql_or_null(index->idxname), arena_printf(form->arena, "%zu", index->n_index_params));
  if (index->concurrent && form->shadow->version >= 140000 && form->shadow->version <= 140003)
    effect_fact(form->effect, FACT_INDEX_CORRUPTION, rel, sql_or_null(index->idxname), NULL);
}

static void create_function(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateFunctionStmt *function = node->create_function_stmt;
  bool definer = false, pinned = false;
  for (size_t i = 0; i < function->n_options; i++) {
    const PgQuery__DefElem *option =
        function->options[i]->node_case == PG_QUERY__NODE__NODE_DEF_ELEM ? function->options[i]->def_elem : NULL;
    if (!option || !option->arg) continue;
    if (strcmp(option->defname, "security") == 0 && option->arg->node_case == PG_QUERY__NODE__NODE_BOOLEAN)
      definer = option->arg->boolean->boolval;
    if (strcmp(option->defname, "set") == 0 && option->arg->node_case == PG_QUERY__NODE__NODE_VARIABLE_SET_STMT)
      pinned |= strcmp(option->arg->variable_set_stmt->name, "search_path") == 0;
  }
  const char *schema, *name;
  sql_name_split(function->n_funcname, function->funcname, &schema, &name);
  if (definer && !pinned) effect_fact(form->effect, FACT_SECURITY_DEFINER, NULL, name, schema);
}

static void create_domain(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateDomainStmt *domain = node->create_domain_stmt;
  const char *schema, *name;
  sql_name_split(domain->n_domainname, domain->domainname, &schema, &name);
  for (size_t i = 0; i < domain->n_constraints; i++) {
    const PgQuery__Node *constraint = domain->constraints[i];
    if (constraint->node_case == PG_QUERY__NODE__NODE_CONSTRAINT &&
        (constraint->constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK ||
         constraint->constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL)) {
      effect_fact(form->effect, FACT_DOMAIN_CONSTRAINED, NULL, name, NULL);
      return;
    }
  }
}

static void alter_enum(struct form *form, PgQuery__Node *node) {
  const PgQuery__AlterEnumStmt *alter = node->alter_enum_stmt;
  const char *schema, *name;
  sql_name_split(alter->n_type_name, alter->type_name, &schema, &name);
  if (!sql_or_null(alter->old_val) && !sql_or_null(alter->new_val_neighbor))
    effect_fact(form->effect, FACT_ENUM_ORDER, NULL, name, alter->new_val);
}

static void extension(struct form *form, PgQuery__Node *node) {
  effect_fact(form->effect, FACT_EXTENSION_CREATE, NULL, node->create_extension_stmt->extname, NULL);
}

/* --- behaviour and privileges --- */

static void trigger(struct form *form, PgQuery__Node *node) {
  const PgQuery__CreateTrigStmt *create = node->create_trig_stmt;
  effect_fact(form->effect, FACT_TRIGGER_CREATE, shadow_range(form->shadow, create->relation), create->trigname, NULL);
}

static void rule(struct form *form, PgQuery__Node *node) {
  effect_fact(form->effect, FACT_RULE_CREATE, shadow_range(form->shadow, node->rule_stmt->relation), node->rule_stmt->rulename, NULL);
}

static void policy(struct form *form, PgQuery__Node *node) {
  struct rel *rel = shadow_range(form->shadow, node->create_policy_stmt->table);
  if (rel && !rel->t->rls) effect_fact(form->effect, FACT_POLICY_UNUSED, rel, node->create_policy_stmt->policy_name, NULL);
}

static bool to_public(size_t count, PgQuery__Node *const *grantees) {
  for (size_t i = 0; i < count; i++)
    if (grantees[i]->node_case == PG_QUERY__NODE__NODE_ROLE_SPEC &&
        grantees[i]->role_spec->roletype == PG_QUERY__ROLE_SPEC_TYPE__ROLESPEC_PUBLIC)
      return true;
  return false;
}

static void grant(struct form *form, PgQuery__Node *node) {
  const PgQuery__GrantStmt *grant = node->grant_stmt;
  struct rel *rel = form->effect->tables.count ? form->effect->tables.items[0] : NULL;
  const char *what = rel ? rel->t->qualified : "the object";
  if (grant->is_grant && to_public(grant->n_grantees, grant->grantees)) effect_fact(form->effect, FACT_GRANT_PUBLIC, NULL, what, NULL);
  if (!grant->is_grant) effect_fact(form->effect, FACT_REVOKE, NULL, what, NULL);
}

static void default_privileges(struct form *form, PgQuery__Node *node) {
  const PgQuery__GrantStmt *grant = node->alter_default_privileges_stmt->action;
  if (grant && grant->is_grant && to_public(grant->n_grantees, grant->grantees))
    effect_fact(form->effect, FACT_GRANT_PUBLIC, NULL, "everything made from now on", NULL);
}

static void set(struct form *form, PgQuery__Node *node) {
  const PgQuery__VariableSetStmt *set = node->variable_set_stmt;
  if (strcmp(set->name, "session_replication_role") != 0 || !set->n_args) return;
  const PgQuery__Node *value = set->args[0];
  const char *text = value->node_case == PG_QUERY__NODE__NODE_A_CONST && value->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL
                         ? value->a_const->sval->sval
                         : "";
  if (strcasecmp(text, "replica") == 0) effect_fact(form->effect, FACT_TRIGGERS_OFF, NULL, "session_replication_role", NULL);
}

static void rename_object(struct form *form, PgQuery__Node *node) {
  const PgQuery__RenameStmt *rename = node->rename_stmt;
  if (rename->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA)
    effect_fact(form->effect, FACT_RENAME_SCHEMA, NULL, rename->subname, rename->newname);
}

static void drop(struct form *form, PgQuery__Node *node) {
  const PgQuery__DropStmt *drop = node->drop_stmt;
  static const struct {
    PgQuery__ObjectType type;
    enum fact fact;
  } kinds[] = {
      {PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER, FACT_DROP_TRIGGER},     {PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION, FACT_DROP_FUNCTION},
      {PG_QUERY__OBJECT_TYPE__OBJECT_PROCEDURE, FACT_DROP_FUNCTION},  {PG_QUERY__OBJECT_TYPE__OBJECT_POLICY, FACT_DROP_POLICY},
      {PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION, FACT_DROP_EXTENSION}, {PG_QUERY__OBJECT_TYPE__OBJECT_PUBLICATION, FACT_DROP_PUBLICATION}};
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
    for (size_t i = 0; kinds[k].type == drop->remove_type && i < drop->n_objects; i++) {
      const PgQuery__Node *object = drop->objects[i];
      const char *schema, *name = sql_node_string(object);
      if (object->node_case == PG_QUERY__NODE__NODE_LIST) sql_name_split(object->list->n_items, object->list->items, &schema, &name);
      if (object->node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS)
        sql_name_split(object->object_with_args->n_objname, object->object_with_args->objname, &schema, &name);
      struct rel *rel = object->node_case == PG_QUERY__NODE__NODE_LIST && object->list->n_items > 1
                            ? shadow_named(form->shadow, object->list->n_items - 1, object->list->items)
                            : NULL;
      effect_fact(form->effect, kinds[k].fact, rel, name, NULL);
    }
}

/* --- DML --- */

static void twice(struct form *form, size_t count, PgQuery__Node *const *targets, const char *sqlstate) {
  for (size_t i = 0; i < count; i++) {
    const PgQuery__ResTarget *one = targets[i]->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? targets[i]->res_target : NULL;
    if (!one || !sql_or_null(one->name) || one->n_indirection) continue;
    for (size_t j = 0; j < i; j++) {
      const PgQuery__ResTarget *other = targets[j]->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? targets[j]->res_target : NULL;
      if (!other || strcmp(one->name, other->name) != 0 || other->n_indirection) continue;
      form_fails(form, sqlstate, "column %s is set once", one->name);
      effect_fact(form->effect, FACT_ASSIGNED_TWICE, NULL, one->name, NULL);
      return;
    }
  }
}

static void update(struct form *form, PgQuery__Node *node) {
  twice(form, node->update_stmt->n_target_list, node->update_stmt->target_list, "42601");
}
static void insert(struct form *form, PgQuery__Node *node) { twice(form, node->insert_stmt->n_cols, node->insert_stmt->cols, "42701"); }

/* --- any statement --- */

/* Words of more than 63 bytes; the parser has cut them off already, so the text is looked at. */
static void long_names(struct form *form, const struct sql_statement *statement) {
  size_t run = 0;
  bool suspect = false, quoted = false;
  for (const char *c = statement->text; *c && !suspect; c++) {
    quoted ^= *c == '"';
    run = *c != '"' && (quoted || isalnum((unsigned char)*c) || *c == '_' || *c == '$' || (unsigned char)*c >= 0x80) ? run + 1 : 0;
    suspect = run > SQL_NAME_BYTES;
  }
  struct sql_tokens tokens;
  if (!suspect || !sql_tokenize(statement->text, form->arena, &tokens)) return;
  for (size_t i = 0; i < tokens.count; i++) {
    const struct sql_token *token = &tokens.items[i];
    const char *from = statement->text + token->start;
    size_t len = (size_t)(token->end - token->start), quotes = *from == '"' ? 2 : 0;
    if (token->kind != PG_QUERY__TOKEN__IDENT || len <= SQL_NAME_BYTES + quotes) continue;
    const char *name = arena_strndup(form->arena, from + quotes / 2, len - quotes);
    effect_fact(form->effect, FACT_NAME_TOO_LONG, NULL, name, name ? arena_strndup(form->arena, name, SQL_NAME_BYTES) : NULL);
  }
}

static const struct {
  PgQuery__Node__NodeCase node;
  void (*apply)(struct form *, PgQuery__Node *);
} rows[] = {
    {PG_QUERY__NODE__NODE_CREATE_STMT, create_table},
    {PG_QUERY__NODE__NODE_ALTER_TABLE_STMT, alter_table},
    {PG_QUERY__NODE__NODE_INDEX_STMT, create_index},
    {PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT, create_function},
    {PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT, create_domain},
    {PG_QUERY__NODE__NODE_ALTER_ENUM_STMT, alter_enum},
    {PG_QUERY__NODE__NODE_CREATE_EXTENSION_STMT, extension},
    {PG_QUERY__NODE__NODE_CREATE_TRIG_STMT, trigger},
    {PG_QUERY__NODE__NODE_RULE_STMT, rule},
    {PG_QUERY__NODE__NODE_CREATE_POLICY_STMT, policy},
    {PG_QUERY__NODE__NODE_GRANT_STMT, grant},
    {PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT, default_privileges},
    {PG_QUERY__NODE__NODE_VARIABLE_SET_STMT, set},
    {PG_QUERY__NODE__NODE_RENAME_STMT, rename_object},
    {PG_QUERY__NODE__NODE_DROP_STMT, drop},
    {PG_QUERY__NODE__NODE_UPDATE_STMT, update},
    {PG_QUERY__NODE__NODE_INSERT_STMT, insert},
};

void notice_apply(struct shadow *shadow, const struct sql_statement *statement, struct effect *effect) {
  struct form form = {.shadow = shadow, .effect = effect, .arena = shadow->arena};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].node == statement->node->node_case) rows[i].apply(&form, statement->node);
  long_names(&form, statement);
}
