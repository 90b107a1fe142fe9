/* rollback/create.c - what a CREATE made is dropped; what an OR REPLACE replaced is put back.
 *
 * An object that is there already was left alone by IF NOT EXISTS, or the statement failed: nothing to undo either way. */
#include "worker/migration/rollback/impl.h"
#include "worker/migration/rollback/keys.h"

static bool existed(struct rollback *rollback, const PgQuery__RangeVar *range) {
  return shadow_find(rollback->shadow, shadow_schema(rollback->shadow, sql_or_null(range->schemaname)), range->relname) != NULL;
}

static const char *target_name(struct rollback *rollback, const PgQuery__RangeVar *range) {
  return sql_qualified(rollback->arena, shadow_schema(rollback->shadow, sql_or_null(range->schemaname)), range->relname);
}

static void made_relation(struct rollback *rollback, const char *words, const PgQuery__RangeVar *range) {
  if (existed(rollback, range) || (range->relpersistence && *range->relpersistence == 't')) return;
  rollback->key = source_key_range(rollback->arena, range, shadow_schema(rollback->shadow, NULL));
  rollback_note(rollback, rollback->key, true);
  rollback_add(rollback, "DROP %s %s", words, target_name(rollback, range));
}

void rollback_create_table(struct rollback *rollback, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_FOREIGN_TABLE_STMT)
    made_relation(rollback, "FOREIGN TABLE", node->create_foreign_table_stmt->base_stmt->relation);
  else if (node->node_case == PG_QUERY__NODE__NODE_CREATE_SEQ_STMT)
    made_relation(rollback, "SEQUENCE", node->create_seq_stmt->sequence);
  else
    made_relation(rollback, "TABLE", node->create_stmt->relation);
}

void rollback_create_as(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CreateTableAsStmt *statement = node->create_table_as_stmt;
  bool matview = statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW;
  if (statement->into) made_relation(rollback, matview ? "MATERIALIZED VIEW" : "TABLE", statement->into->rel);
}

/* --- views --- */

/* -1: known only by running it ("SELECT *"). */
static long count_columns(const PgQuery__Node *query) {
  if (!query || query->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return -1;
  const PgQuery__SelectStmt *select = query->select_stmt;
  if (select->op != PG_QUERY__SET_OPERATION__SETOP_NONE && select->larg) {
    while (select->larg) select = select->larg;
  }
  for (size_t i = 0; i < select->n_target_list; i++) {
    const PgQuery__Node *value = select->target_list[i]->res_target->val;
    if (!value || value->node_case != PG_QUERY__NODE__NODE_COLUMN_REF) continue;
    const PgQuery__ColumnRef *ref = value->column_ref;
    if (ref->n_fields && ref->fields[ref->n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR) return -1;
  }
  return (long)select->n_target_list;
}

static void restore_view(struct rollback *rollback, const struct rel *rel, bool same_columns) {
  struct source_keys gone = {0};
  const char *key = rollback_rel_key(rollback, rel);
  const struct source_statement *source = source_find(rollback_source(rollback), SOURCE_MAKES, key);
  if (!source) {
    if (!same_columns) rollback_add(rollback, "DROP VIEW %s", rollback_name(rollback, rel));
    rollback_model_view(rollback, rel);
    return;
  }
  if (same_columns && strncmp(source->text, "CREATE VIEW ", 12) == 0) {
    rollback_add(rollback, "CREATE OR REPLACE VIEW %s", source->text + 12);
    return;
  }
  rollback_add(rollback, "DROP VIEW %s%s", rollback_name(rollback, rel), rel->t->dependent_count ? " CASCADE" : "");
  source_push(rollback->arena, &gone, key);
  rollback_recreate(rollback, &gone, rel->t->dependent_count > 0);
}

void rollback_create_view(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__ViewStmt *statement = node->view_stmt;
  const struct rel *rel =
      shadow_find(rollback->shadow, shadow_schema(rollback->shadow, sql_or_null(statement->view->schemaname)), statement->view->relname);
  if (!rel) {
    made_relation(rollback, "VIEW", statement->view);
    return;
  }
  if (rel->created || !statement->replace) return;
  rollback->rel = rel;
  restore_view(rollback, rel, count_columns(statement->query) == (long)rel->t->column_count);
}

/* --- indexes --- */

/* The column name PostgreSQL makes of an index expression. */
static const char *expression_name(const PgQuery__Node *node) {
  for (int depth = 0; node && depth < 20; depth++) {
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_FUNC_CALL: return sql_node_string(node->func_call->funcname[node->func_call->n_funcname - 1]);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR: return "coalesce";
    case PG_QUERY__NODE__NODE_CASE_EXPR: return "case";
    case PG_QUERY__NODE__NODE_COLUMN_REF: return sql_node_string(node->column_ref->fields[node->column_ref->n_fields - 1]);
    case PG_QUERY__NODE__NODE_COLLATE_CLAUSE: node = node->collate_clause->arg; break;
    case PG_QUERY__NODE__NODE_TYPE_CAST: {
      const char *inner = expression_name(node->type_cast->arg);
      const PgQuery__TypeName *type = node->type_cast->type_name;
      return inner || !type->n_names ? inner : sql_node_string(type->names[type->n_names - 1]);
    }
    default: return NULL;
    }
  }
  return NULL;
}

static const char *add_column(struct arena *arena, const char *columns, const PgQuery__Node *node) {
  const PgQuery__IndexElem *element = node->index_elem;
  const char *name = sql_or_null(element->name) ? element->name : expression_name(element->expr);
  return arena_printf(arena, "%s%s%s", columns, *columns ? "_" : "", name ? name : "expr");
}

static const char *default_name(struct rollback *rollback, const struct rel *rel, const PgQuery__IndexStmt *statement) {
  const char *columns = "", *label = "idx";
  struct rel *owner = NULL;
  for (size_t i = 0; i < statement->n_index_params; i++) columns = add_column(rollback->arena, columns, statement->index_params[i]);
  for (size_t i = 0; i < statement->n_index_including_params; i++)
    columns = add_column(rollback->arena, columns, statement->index_including_params[i]);
  for (int i = 1; i < 100; i++) {
    const char *name = sql_made_name(rollback->arena, rel->t->name, columns, label);
    if (!shadow_index(rollback->shadow, rel->t->schema, name, &owner) && !shadow_find(rollback->shadow, rel->t->schema, name)) return name;
    label = arena_printf(rollback->arena, "idx%d", i);
  }
  return NULL;
}

void rollback_create_index(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__IndexStmt *statement = node->index_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel) return;
  bool named = sql_or_null(statement->idxname) != NULL;
  const char *name = named ? statement->idxname : default_name(rollback, rel, statement);
  struct rel *owner = NULL;
  if (!name || (named && shadow_index(rollback->shadow, rel->t->schema, name, &owner))) return;
  rollback->key = source_key_of(rollback->arena, "rel", rel->t->schema, name, NULL);
  rollback->rel = rel->created ? rel : NULL; /* goes with a table made here */
  rollback_note(rollback, rollback->key, true);
  rollback_add(rollback, "DROP INDEX %sIF EXISTS %s", statement->concurrent ? "CONCURRENTLY " : "",
               sql_qualified(rollback->arena, rel->t->schema, name));
  rollback->step->outside = statement->concurrent;
}

/* --- triggers --- */

void rollback_create_trigger(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CreateTrigStmt *statement = node->create_trig_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel) return;
  const char *key = rollback_part_key(rollback, "trigger", rel, statement->trigname);
  if (rollback_is_made(rollback, key)) return;
  bool replaced = statement->replace && rollback_is_there(rollback, key);
  rollback->rel = rel;
  rollback->key = key;
  rollback_add(rollback, "DROP TRIGGER %s ON %s", sql_ident(rollback->arena, statement->trigname), rollback_name(rollback, rel));
  if (replaced && rollback_recreate_one(rollback, key)) return;
  for (size_t i = 0; statement->replace && i < rel->t->trigger_count; i++)
    if (strcmp(rel->t->triggers[i].name, statement->trigname) == 0) rollback_add(rollback, "%s", rel->t->triggers[i].definition);
  if (!replaced) rollback_note(rollback, key, true);
}

/* --- functions --- */

static const char *function_types(struct rollback *rollback, const PgQuery__CreateFunctionStmt *statement) {
  const char *types = "";
  for (size_t i = 0; i < statement->n_parameters; i++) {
    const PgQuery__FunctionParameter *parameter = statement->parameters[i]->function_parameter;
    if (parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_OUT ||
        parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_TABLE)
      continue;
    PgQuery__TypeName bare = *parameter->arg_type;
    bare.n_typmods = 0;
    const char *type = sql_type(rollback->arena, &bare);
    types = arena_printf(rollback->arena, "%s%s%s", types, *types ? ", " : "", type ? type : "?");
  }
  return types;
}

static size_t count_defaults(const PgQuery__Node *node) {
  size_t count = 0;
  for (size_t i = 0; node && i < node->create_function_stmt->n_parameters; i++)
    count += node->create_function_stmt->parameters[i]->function_parameter->defexpr != NULL;
  return count;
}

static size_t count_named(const PgQuery__Node *node) {
  size_t count = 0;
  for (size_t i = 0; node && i < node->create_function_stmt->n_parameters; i++)
    count += sql_or_null(node->create_function_stmt->parameters[i]->function_parameter->name) != NULL;
  return count;
}

void rollback_restore_function(struct rollback *rollback, const char *key) {
  const struct source_statement *source = source_find(rollback_source(rollback), SOURCE_MAKES, key);
  if (!source)
    rollback_model_function(rollback, key);
  else if (strncmp(source->text, "CREATE ", 7) == 0)
    rollback_add(rollback, "CREATE OR REPLACE %s", source->text + 7);
}

void rollback_create_function(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CreateFunctionStmt *statement = node->create_function_stmt;
  const char *schema, *name;
  sql_name_split(statement->n_funcname, statement->funcname, &schema, &name);
  if (!name) return;
  schema = shadow_schema(rollback->shadow, schema);
  const char *key =
      rollback_fresh_key(rollback, source_key_function(rollback->arena, schema, name, statement->n_parameters, statement->parameters));
  if (rollback_is_made(rollback, key)) return;
  const char *drop = arena_printf(rollback->arena, "DROP %s %s(%s)", statement->is_procedure ? "PROCEDURE" : "FUNCTION",
                                  sql_qualified(rollback->arena, schema, name), function_types(rollback, statement));
  rollback->key = key;
  if (!rollback_is_there(rollback, key)) {
    rollback_note(rollback, key, true);
    rollback_add(rollback, "%s", drop);
    return;
  }
  const struct source_statement *old = source_find(rollback_source(rollback), SOURCE_MAKES, key);
  /* defaults and names of parameters can be added in place, but not taken away */
  bool in_place = !old || (count_defaults(old->node) >= count_defaults(node) && count_named(old->node) >= count_named(node));
  if (in_place) {
    rollback_restore_function(rollback, key);
    return;
  }
  rollback_add(rollback, "%s", drop);
  rollback_recreate_one(rollback, key);
}

/* --- the others --- */

struct making {
  const char *key, *words, *name;
};

static struct making named(struct rollback *rollback, const char *kind, const char *words, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  return (struct making){source_key_of(rollback->arena, kind, shadow_schema(rollback->shadow, schema), name, NULL), words,
                         rollback_list_name(rollback, count, parts)};
}

static struct making plain(struct rollback *rollback, const char *kind, const char *words, const char *name) {
  return (struct making){source_key_of(rollback->arena, kind, NULL, sql_or_null(name), NULL), words, sql_ident(rollback->arena, name)};
}

static struct making on_table(struct rollback *rollback, const char *kind, const char *words, const PgQuery__RangeVar *range,
                              const char *name) {
  const struct rel *rel = shadow_range(rollback->shadow, range);
  rollback->rel = rel;
  return (struct making){rel ? rollback_part_key(rollback, kind, rel, name) : NULL, words,
                         arena_printf(rollback->arena, "%s ON %s", sql_ident(rollback->arena, name), rollback_range_name(rollback, range))};
}

/* "schema.<<(integer, text)": the schema is no part of an operator's quoting. */
static const char *operator_name(struct rollback *rollback, const PgQuery__DefineStmt *define, const char *schema, const char *name) {
  const char *types[2] = {"NONE", "NONE"};
  for (size_t i = 0; i < define->n_definition; i++) {
    const PgQuery__DefElem *option = define->definition[i]->def_elem;
    if (!option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_TYPE_NAME) continue;
    if (strcmp(option->defname, "leftarg") == 0) types[0] = sql_type(rollback->arena, option->arg->type_name);
    if (strcmp(option->defname, "rightarg") == 0) types[1] = sql_type(rollback->arena, option->arg->type_name);
  }
  return arena_printf(rollback->arena, "%s.%s(%s, %s)", sql_ident(rollback->arena, schema), name, types[0], types[1]);
}

static struct making defined(struct rollback *rollback, PgQuery__DefineStmt *define) {
  const char *schema, *name, *types = "";
  sql_name_split(define->n_defnames, define->defnames, &schema, &name);
  bool aggregate = define->kind == PG_QUERY__OBJECT_TYPE__OBJECT_AGGREGATE;
  const PgQuery__List *args =
      aggregate && define->n_args && define->args[0]->node_case == PG_QUERY__NODE__NODE_LIST ? define->args[0]->list : NULL;
  schema = shadow_schema(rollback->shadow, schema);
  for (size_t i = 0; args && i < args->n_items; i++)
    if (args->items[i]->node_case == PG_QUERY__NODE__NODE_FUNCTION_PARAMETER)
      types = arena_printf(rollback->arena, "%s%s%s", types, *types ? ", " : "",
                           sql_type(rollback->arena, args->items[i]->function_parameter->arg_type));
  const char *text = sql_qualified(rollback->arena, schema, name);
  if (define->kind == PG_QUERY__OBJECT_TYPE__OBJECT_OPERATOR) text = operator_name(rollback, define, schema, name);
  if (aggregate) text = arena_printf(rollback->arena, "%s(%s)", text, args && args->n_items ? types : "*");
  const char *key = rollback_key_define(rollback->arena, define, schema);
  return (struct making){key, rollback_words(define->kind), text};
}

static struct making making_of(struct rollback *rollback, PgQuery__Node *node) {
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_CREATE_ENUM_STMT:
    return named(rollback, "type", "TYPE", node->create_enum_stmt->n_type_name, node->create_enum_stmt->type_name);
  case PG_QUERY__NODE__NODE_CREATE_RANGE_STMT:
    return named(rollback, "type", "TYPE", node->create_range_stmt->n_type_name, node->create_range_stmt->type_name);
  case PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT:
    return named(rollback, "type", "DOMAIN", node->create_domain_stmt->n_domainname, node->create_domain_stmt->domainname);
  case PG_QUERY__NODE__NODE_COMPOSITE_TYPE_STMT: {
    const PgQuery__RangeVar *range = node->composite_type_stmt->typevar;
    const char *schema = shadow_schema(rollback->shadow, sql_or_null(range->schemaname));
    return (struct making){source_key_of(rollback->arena, "type", schema, range->relname, NULL), "TYPE",
                           sql_qualified(rollback->arena, schema, range->relname)};
  }
  case PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT: {
    const PgQuery__CreateSchemaStmt *schema = node->create_schema_stmt;
    const char *name = sql_or_null(schema->schemaname) ? schema->schemaname : schema->authrole ? schema->authrole->rolename : "";
    struct making made = plain(rollback, "schema", "SCHEMA", name);
    if (schema->n_schema_elts) made.name = arena_printf(rollback->arena, "%s CASCADE", made.name);
    return made;
  }
  case PG_QUERY__NODE__NODE_CREATE_EXTENSION_STMT: return plain(rollback, "extension", "EXTENSION", node->create_extension_stmt->extname);
  case PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT:
    return plain(rollback, "publication", "PUBLICATION", node->create_publication_stmt->pubname);
  case PG_QUERY__NODE__NODE_CREATE_EVENT_TRIG_STMT:
    return plain(rollback, "event trigger", "EVENT TRIGGER", node->create_event_trig_stmt->trigname);
  case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT:
    return on_table(rollback, "policy", "POLICY", node->create_policy_stmt->table, node->create_policy_stmt->policy_name);
  case PG_QUERY__NODE__NODE_RULE_STMT: return on_table(rollback, "rule", "RULE", node->rule_stmt->relation, node->rule_stmt->rulename);
  case PG_QUERY__NODE__NODE_CREATE_STATS_STMT:
    if (!node->create_stats_stmt->n_defnames) return (struct making){0};
    return named(rollback, "statistics", "STATISTICS", node->create_stats_stmt->n_defnames, node->create_stats_stmt->defnames);
  case PG_QUERY__NODE__NODE_DEFINE_STMT: return defined(rollback, node->define_stmt);
  case PG_QUERY__NODE__NODE_CREATE_CAST_STMT: {
    const char *from = sql_type(rollback->arena, node->create_cast_stmt->sourcetype);
    const char *to = sql_type(rollback->arena, node->create_cast_stmt->targettype);
    return (struct making){rollback_key_cast(rollback->arena, node->create_cast_stmt->sourcetype, node->create_cast_stmt->targettype),
                           "CAST", arena_printf(rollback->arena, "(%s AS %s)", from, to)};
  }
  case PG_QUERY__NODE__NODE_CREATE_ROLE_STMT: return plain(rollback, "role", "ROLE", node->create_role_stmt->role);
  default: return (struct making){0};
  }
}

static bool extension_was_there(struct rollback *rollback, const char *name) {
  for (size_t i = 0; i < rollback->before->extension_count; i++)
    if (strcmp(rollback->before->extensions[i].name, name) == 0) return true;
  return false;
}

static bool schema_was_there(struct rollback *rollback, PgQuery__Node *node) {
  size_t index;
  const json_t *one;
  const char *name = node->create_schema_stmt->schemaname;
  json_array_foreach(json_object_get(rollback->before->json, "schemas"), index,
                     one) if (name && json_is_string(one) &&
                              strcmp(json_string_value(one), name) == 0) return node->create_schema_stmt->if_not_exists;
  return false;
}

void rollback_create_object(struct rollback *rollback, PgQuery__Node *node) {
  struct making made = making_of(rollback, node);
  bool extension = node->node_case == PG_QUERY__NODE__NODE_CREATE_EXTENSION_STMT;
  if (!made.key) {
    rollback_gone(rollback, "no inverse is made for this statement: name what it makes");
    return;
  }
  if (extension && extension_was_there(rollback, node->create_extension_stmt->extname) && !rollback->plan->states.count) return;
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT && schema_was_there(rollback, node)) return;
  made.key = rollback_fresh_key(rollback, made.key);
  bool there = rollback_is_there(rollback, made.key);
  if (rollback_is_made(rollback, made.key)) return;
  bool replaced = there && ((node->node_case == PG_QUERY__NODE__NODE_RULE_STMT && node->rule_stmt->replace) ||
                            (node->node_case == PG_QUERY__NODE__NODE_DEFINE_STMT && node->define_stmt->replace));
  if (there && !replaced) return;
  rollback->key = made.key;
  rollback_add(rollback, "DROP %s %s", made.words, made.name);
  if (replaced)
    rollback_recreate_one(rollback, made.key);
  else
    rollback_note(rollback, made.key, true);
}
