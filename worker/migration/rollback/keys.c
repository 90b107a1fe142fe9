/* rollback/keys.c - one key per object, whichever statement names it. */
#include "worker/migration/rollback/keys.h"

#include "worker/sql/text.h"

#define TYPE(name) PG_QUERY__OBJECT_TYPE__OBJECT_##name

/* How each kind is named: by a list of strings, by such a list whose last is a part of a relation, by one string, with argument types. */
enum naming { NAMED, PART, PLAIN, CALLED, TYPED, PAIR, METHOD, DOMAIN_PART };
static const struct {
  PgQuery__ObjectType type;
  const char *kind;
  enum naming naming;
} kinds[] = {
    {TYPE(TABLE), "rel", NAMED},
    {TYPE(VIEW), "rel", NAMED},
    {TYPE(MATVIEW), "rel", NAMED},
    {TYPE(SEQUENCE), "rel", NAMED},
    {TYPE(FOREIGN_TABLE), "rel", NAMED},
    {TYPE(INDEX), "rel", NAMED},
    {TYPE(COLUMN), "column", PART},
    {TYPE(TRIGGER), "trigger", PART},
    {TYPE(RULE), "rule", PART},
    {TYPE(POLICY), "policy", PART},
    {TYPE(TABCONSTRAINT), "constraint", PART},
    {TYPE(DOMCONSTRAINT), "domain constraint", DOMAIN_PART},
    {TYPE(FUNCTION), "function", CALLED},
    {TYPE(PROCEDURE), "function", CALLED},
    {TYPE(ROUTINE), "function", CALLED},
    {TYPE(AGGREGATE), "function", CALLED},
    {TYPE(OPERATOR), "operator", CALLED},
    {TYPE(TYPE), "type", TYPED},
    {TYPE(DOMAIN), "type", TYPED},
    {TYPE(CAST), "cast", PAIR},
    {TYPE(OPCLASS), "operator class", METHOD},
    {TYPE(OPFAMILY), "operator family", METHOD},
    {TYPE(STATISTIC_EXT), "statistics", NAMED},
    {TYPE(COLLATION), "collation", NAMED},
    {TYPE(CONVERSION), "conversion", NAMED},
    {TYPE(TSCONFIGURATION), "ts configuration", NAMED},
    {TYPE(TSDICTIONARY), "ts dictionary", NAMED},
    {TYPE(TSPARSER), "ts parser", NAMED},
    {TYPE(TSTEMPLATE), "ts template", NAMED},
    {TYPE(SCHEMA), "schema", PLAIN},
    {TYPE(EXTENSION), "extension", PLAIN},
    {TYPE(PUBLICATION), "publication", PLAIN},
    {TYPE(EVENT_TRIGGER), "event trigger", PLAIN},
    {TYPE(LANGUAGE), "language", PLAIN},
    {TYPE(FDW), "foreign data wrapper", PLAIN},
    {TYPE(FOREIGN_SERVER), "server", PLAIN},
    {TYPE(DATABASE), "database", PLAIN},
    {TYPE(ROLE), "role", PLAIN},
    {TYPE(ACCESS_METHOD), "access method", PLAIN},
};

const char *source_key_of(struct arena *arena, const char *kind, const char *schema, const char *name, const char *sub) {
  if (!name) return NULL;
  const char *qualified = sql_qualified(arena, sql_or_null(schema), name);
  if (!sub) return arena_printf(arena, "%s:%s", kind, qualified);
  return arena_printf(arena, "%s:%s:%s", kind, qualified, sql_ident(arena, sub));
}

const char *source_key_range(struct arena *arena, const PgQuery__RangeVar *range, const char *schema) {
  return source_key_of(arena, "rel", sql_or_null(range->schemaname) ? range->schemaname : schema, range->relname, NULL);
}

/* The last part of a type's name as the catalogs spell it; modifiers don't tell functions apart, nor does "pg_catalog". */
static const char *argument(struct arena *arena, const PgQuery__TypeName *type) {
  PgQuery__TypeName bare = *type;
  bare.n_typmods = 0;
  const char *schema, *name;
  sql_name_split(type->n_names, type->names, &schema, &name);
  if (schema && strcmp(schema, "pg_catalog") != 0) {
    bare.n_names = 1;
    bare.names = &type->names[type->n_names - 1];
  }
  const char *text = sql_type(arena, &bare);
  return text ? text : "?";
}

static const PgQuery__TypeName *type_of_parameter(const PgQuery__Node *node) {
  if (!node) return NULL;
  if (node->node_case == PG_QUERY__NODE__NODE_TYPE_NAME) return node->type_name;
  if (node->node_case != PG_QUERY__NODE__NODE_FUNCTION_PARAMETER) return NULL;
  const PgQuery__FunctionParameter *parameter = node->function_parameter;
  bool out = parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_OUT ||
             parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_TABLE;
  return out ? NULL : parameter->arg_type;
}

const char *source_key_function(struct arena *arena, const char *schema, const char *name, size_t count, PgQuery__Node *const *parameters) {
  const char *types = "";
  for (size_t i = 0; i < count; i++) {
    const PgQuery__TypeName *type = type_of_parameter(parameters[i]);
    if (type) types = arena_printf(arena, "%s%s%s", types, *types ? "," : "", argument(arena, type));
  }
  return arena_printf(arena, "%s(%s)", source_key_of(arena, "function", schema, name, NULL), types);
}

const char *rollback_key_cast(struct arena *arena, const PgQuery__TypeName *from, const PgQuery__TypeName *to) {
  return arena_printf(arena, "cast:%s:%s", argument(arena, from), argument(arena, to));
}

/* Aggregates and operators carry argument types in options or lists; the rest is a plain name. */
const char *rollback_key_define(struct arena *arena, const PgQuery__DefineStmt *define, const char *schema) {
  const char *own, *name;
  sql_name_split(define->n_defnames, define->defnames, &own, &name);
  if (!name) return NULL;
  if (!own) own = schema;
  if (define->kind == TYPE(AGGREGATE)) {
    bool listed = define->n_args && define->args[0]->node_case == PG_QUERY__NODE__NODE_LIST;
    return source_key_function(arena, own, name, listed ? define->args[0]->list->n_items : 0, listed ? define->args[0]->list->items : NULL);
  }
  if (define->kind == TYPE(OPERATOR)) {
    const char *left = "-", *right = "-";
    for (size_t i = 0; i < define->n_definition; i++) {
      const PgQuery__DefElem *option = define->definition[i]->def_elem;
      if (!option->arg || option->arg->node_case != PG_QUERY__NODE__NODE_TYPE_NAME) continue;
      if (strcmp(option->defname, "leftarg") == 0) left = argument(arena, option->arg->type_name);
      if (strcmp(option->defname, "rightarg") == 0) right = argument(arena, option->arg->type_name);
    }
    return arena_printf(arena, "%s(%s,%s)", source_key_of(arena, "operator", own, name, NULL), left, right);
  }
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (kinds[i].type == define->kind) return source_key_of(arena, kinds[i].kind, own, name, NULL);
  return NULL;
}

struct parts {
  size_t count;
  PgQuery__Node *const *items;
};

static struct parts parts_of(const PgQuery__Node *object) {
  if (!object) return (struct parts){0};
  if (object->node_case == PG_QUERY__NODE__NODE_LIST) return (struct parts){object->list->n_items, object->list->items};
  if (object->node_case == PG_QUERY__NODE__NODE_TYPE_NAME) return (struct parts){object->type_name->n_names, object->type_name->names};
  if (object->node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS)
    return (struct parts){object->object_with_args->n_objname, object->object_with_args->objname};
  return (struct parts){0};
}

static const char *key_part(struct arena *arena, const char *kind, struct parts parts, const char *schema) {
  if (parts.count < 2) return NULL;
  const char *own, *name, *part = sql_node_string(parts.items[parts.count - 1]);
  sql_name_split(parts.count - 1, parts.items, &own, &name);
  return part ? source_key_of(arena, kind, own ? own : schema, name, part) : NULL;
}

static const char *key_called(struct arena *arena, const char *kind, const PgQuery__Node *object, const char *schema) {
  if (object->node_case != PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS) return NULL;
  const PgQuery__ObjectWithArgs *called = object->object_with_args;
  const char *own, *name;
  sql_name_split(called->n_objname, called->objname, &own, &name);
  if (!name) return NULL;
  if (!own) own = schema;
  if (strcmp(kind, "function") == 0) {
    if (called->args_unspecified) return arena_printf(arena, "%s(*", source_key_of(arena, "function", own, name, NULL));
    return source_key_function(arena, own, name, called->n_objargs, called->objargs);
  }
  const char *types[2] = {"-", "-"};
  for (size_t i = 0; i < called->n_objargs && i < 2; i++)
    if (called->objargs[i]->node_case == PG_QUERY__NODE__NODE_TYPE_NAME) types[i] = argument(arena, called->objargs[i]->type_name);
  return arena_printf(arena, "%s(%s,%s)", source_key_of(arena, kind, own, name, NULL), types[0], types[1]);
}

static const char *key_domain_part(struct arena *arena, struct parts parts, const char *schema) {
  if (parts.count != 2) return NULL;
  struct parts domain = parts_of(parts.items[0]);
  const char *own, *name, *part = sql_node_string(parts.items[1]);
  sql_name_split(domain.count, domain.items, &own, &name);
  return part ? source_key_of(arena, "domain constraint", own ? own : schema, name, part) : NULL;
}

static const char *key_pair(struct arena *arena, struct parts parts) {
  bool typed = parts.count == 2 && parts.items[0]->node_case == PG_QUERY__NODE__NODE_TYPE_NAME &&
               parts.items[1]->node_case == PG_QUERY__NODE__NODE_TYPE_NAME;
  return typed ? rollback_key_cast(arena, parts.items[0]->type_name, parts.items[1]->type_name) : NULL;
}

static const char *key_named(struct arena *arena, const char *kind, struct parts parts, const char *schema) {
  const char *own, *name;
  sql_name_split(parts.count, parts.items, &own, &name);
  return source_key_of(arena, kind, own ? own : schema, name, NULL);
}

const char *source_key(struct arena *arena, PgQuery__ObjectType type, const PgQuery__RangeVar *relation, PgQuery__Node *object,
                       const char *schema) {
  if (relation) return source_key_range(arena, relation, schema);
  if (!object) return NULL;
  if (object->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) return source_key_range(arena, object->range_var, schema);
  struct parts parts = parts_of(object);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (kinds[i].type != type) continue;
    switch (kinds[i].naming) {
    case PART: return key_part(arena, kinds[i].kind, parts, schema);
    case PLAIN: return source_key_of(arena, kinds[i].kind, NULL, sql_node_string(object), NULL);
    case CALLED: return key_called(arena, kinds[i].kind, object, schema);
    case PAIR: return key_pair(arena, parts);
    case METHOD: return parts.count > 1 ? key_named(arena, kinds[i].kind, (struct parts){parts.count - 1, parts.items + 1}, schema) : NULL;
    case DOMAIN_PART: return key_domain_part(arena, parts, schema);
    default: return key_named(arena, kinds[i].kind, parts, schema);
    }
  }
  return NULL;
}

const char *rollback_key_owner(struct arena *arena, PgQuery__ObjectType type, PgQuery__Node *object) {
  struct parts parts = parts_of(object);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (kinds[i].type == type && kinds[i].naming == PART && parts.count > 1)
      return key_named(arena, "rel", (struct parts){parts.count - 1, parts.items}, NULL);
  return NULL;
}
