/* rollback.c - one row per statement form that can be undone; whatever has no row is named as irreversible rather than passed over.
 *
 * What must not be lost is said: a step that rebuilds structure but not data carries the reason. The sandbox runs the script and compares
 * dumps, so a wrong inverse shows. */
#include "worker/migration/rollback.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "worker/sql/text.h"

void rollback_add(struct rollback *rollback, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = arena_vprintf(rollback->arena, format, args), **slot = text ? LIST_PUSH(rollback->arena, &rollback->step->sql) : NULL;
  va_end(args);
  if (slot) *slot = text;
}

void rollback_gone(struct rollback *rollback, const char *format, ...) {
  if (rollback->step->irreversible) return;
  va_list args;
  va_start(args, format);
  rollback->step->irreversible = arena_vprintf(rollback->arena, format, args);
  va_end(args);
}

const char *rollback_name(struct rollback *rollback, const struct rel *rel) {
  return sql_qualified(rollback->arena, rel->t->schema, rel->t->name);
}

static const char *target_name(struct rollback *rollback, const PgQuery__RangeVar *range) {
  return sql_qualified(rollback->arena, shadow_schema(rollback->shadow, sql_or_null(range->schemaname)), range->relname);
}

static bool existed(struct rollback *rollback, const PgQuery__RangeVar *range) {
  return shadow_find(rollback->shadow, shadow_schema(rollback->shadow, sql_or_null(range->schemaname)), range->relname) != NULL;
}

static const char *list_name(struct rollback *rollback, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  return name ? sql_qualified(rollback->arena, shadow_schema(rollback->shadow, schema), name) : "?";
}

/* --- CREATE: drop it --- */

static void undo_create_table(struct rollback *rollback, PgQuery__Node *node) {
  if (!existed(rollback, node->create_stmt->relation))
    rollback_add(rollback, "DROP TABLE %s", target_name(rollback, node->create_stmt->relation));
}

static void undo_create_as(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CreateTableAsStmt *statement = node->create_table_as_stmt;
  if (!statement->into || existed(rollback, statement->into->rel)) return;
  rollback_add(rollback, "DROP %s %s", statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW ? "MATERIALIZED VIEW" : "TABLE",
               target_name(rollback, statement->into->rel));
}

static void undo_create_view(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__ViewStmt *statement = node->view_stmt;
  const struct rel *rel =
      shadow_find(rollback->shadow, shadow_schema(rollback->shadow, sql_or_null(statement->view->schemaname)), statement->view->relname);
  if (!rel) {
    rollback_add(rollback, "DROP VIEW %s", target_name(rollback, statement->view));
    return;
  }
  size_t columns = statement->query && statement->query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT
                       ? statement->query->select_stmt->n_target_list
                       : 0;
  if (columns != rel->t->column_count && rel->t->dependent_count)
    rollback_gone(rollback, "other views read %s: its old columns come back only with them dropped", rel->t->qualified);
  else if (columns != rel->t->column_count)
    rollback_add(rollback, "DROP VIEW %s", rollback_name(rollback, rel));
  if (rollback->step->irreversible) return;
  rollback_recreate_view(rollback, rel);
}

static void undo_create_index(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__IndexStmt *statement = node->index_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel) return;
  const char *name = sql_or_null(statement->idxname) ? statement->idxname : rel->t->name;
  for (size_t i = 0; !sql_or_null(statement->idxname) && i < statement->n_index_params; i++) {
    const char *column = sql_or_null(statement->index_params[i]->index_elem->name);
    name = arena_printf(rollback->arena, "%s_%s%s", name, column ? column : "expr", i + 1 == statement->n_index_params ? "_idx" : "");
  }
  struct rel *owner = NULL;
  if (shadow_index(rollback->shadow, rel->t->schema, name, &owner)) return;
  rollback_add(rollback, "DROP INDEX %sIF EXISTS %s", statement->concurrent ? "CONCURRENTLY " : "",
               sql_qualified(rollback->arena, rel->t->schema, name));
  rollback->step->outside = statement->concurrent;
}

static void undo_create_trigger(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CreateTrigStmt *statement = node->create_trig_stmt;
  const struct rel *rel = shadow_range(rollback->shadow, statement->relation);
  if (!rel) return;
  rollback_add(rollback, "DROP TRIGGER %s ON %s", sql_ident(rollback->arena, statement->trigname), rollback_name(rollback, rel));
  for (size_t i = 0; i < rel->t->trigger_count; i++)
    if (strcmp(rel->t->triggers[i].name, statement->trigname) == 0) rollback_add(rollback, "%s", rel->t->triggers[i].definition);
}

static void undo_create_sequence(struct rollback *rollback, PgQuery__Node *node) {
  if (!existed(rollback, node->create_seq_stmt->sequence))
    rollback_add(rollback, "DROP SEQUENCE %s", target_name(rollback, node->create_seq_stmt->sequence));
}

static void undo_create_type(struct rollback *rollback, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_ENUM_STMT)
    rollback_add(rollback, "DROP TYPE %s", list_name(rollback, node->create_enum_stmt->n_type_name, node->create_enum_stmt->type_name));
  else if (node->node_case == PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT)
    rollback_add(rollback, "DROP DOMAIN %s",
                 list_name(rollback, node->create_domain_stmt->n_domainname, node->create_domain_stmt->domainname));
  else
    rollback_add(rollback, "DROP TYPE %s", target_name(rollback, node->composite_type_stmt->typevar));
}

/* Functions of that name; the first one is returned. */
static const json_t *function_json(struct rollback *rollback, const char *name, size_t *ret_count) {
  size_t index;
  const json_t *one, *found = NULL, *functions = json_object_get(rollback->before->json, "functions");
  *ret_count = 0;
  json_array_foreach((json_t *)(uintptr_t)functions, index, one) {
    if (strcmp(json_str(one, "name", ""), name) != 0) continue;
    if (!found) found = one;
    (*ret_count)++;
  }
  return found;
}

/* From the snapshot's parts; what they don't hold (settings, overloads) is said to be lost. */
static void recreate_function(struct rollback *rollback, const json_t *function, size_t count) {
  const char *body = json_str(function, "body", NULL), *volatility = json_str(function, "volatility", "volatile");
  bool procedure = strcmp(json_str(function, "kind", "function"), "procedure") == 0;
  bool plain = procedure || strcmp(json_str(function, "kind", "function"), "function") == 0;
  if (count != 1 || !body || !plain || json_array_size(json_object_get(function, "settings"))) {
    rollback_gone(rollback, "the definition of function %s is not recorded", json_str(function, "name", ""));
    return;
  }
  const char *returns = procedure ? "" : arena_printf(rollback->arena, " RETURNS %s", json_str(function, "returns", "void"));
  rollback_add(rollback, "CREATE OR REPLACE %s %s(%s)%s LANGUAGE %s%s%s%s%s%s AS %s", procedure ? "PROCEDURE" : "FUNCTION",
               sql_qualified(rollback->arena, json_str(function, "schema", NULL), json_str(function, "name", "")),
               json_str(function, "arguments", ""), returns, sql_ident(rollback->arena, json_str(function, "language", "sql")),
               procedure || strcmp(volatility, "volatile") == 0 ? ""
               : strcmp(volatility, "stable") == 0              ? " STABLE"
                                                                : " IMMUTABLE",
               json_bool(function, "strict", false) ? " STRICT" : "", json_bool(function, "leakproof", false) ? " LEAKPROOF" : "",
               json_bool(function, "security_definer", false) ? " SECURITY DEFINER" : "",
               strcmp(json_str(function, "parallel", ""), "safe") == 0         ? " PARALLEL SAFE"
               : strcmp(json_str(function, "parallel", ""), "restricted") == 0 ? " PARALLEL RESTRICTED"
                                                                               : "",
               sql_literal(rollback->arena, body));
}

static void undo_create_function(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CreateFunctionStmt *statement = node->create_function_stmt;
  const char *schema, *name, *types = "";
  size_t count = 0;
  sql_name_split(statement->n_funcname, statement->funcname, &schema, &name);
  const json_t *old = name && statement->replace ? function_json(rollback, name, &count) : NULL;
  if (old) {
    recreate_function(rollback, old, count);
    return;
  }
  for (size_t i = 0; i < statement->n_parameters; i++) {
    const PgQuery__FunctionParameter *parameter = statement->parameters[i]->function_parameter;
    if (parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_OUT ||
        parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_TABLE)
      continue;
    const char *type = sql_type(rollback->arena, parameter->arg_type);
    types = arena_printf(rollback->arena, "%s%s%s", types, *types ? ", " : "", type ? type : "?");
  }
  rollback_add(rollback, "DROP %s %s(%s)", statement->is_procedure ? "PROCEDURE" : "FUNCTION",
               list_name(rollback, statement->n_funcname, statement->funcname), types);
}

static void recreate_dropped_function(struct rollback *rollback, const PgQuery__Node *object) {
  const char *schema, *name = NULL;
  size_t count = 0;
  if (object->node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS)
    sql_name_split(object->object_with_args->n_objname, object->object_with_args->objname, &schema, &name);
  const json_t *old = name ? function_json(rollback, name, &count) : NULL;
  if (old) recreate_function(rollback, old, count);
}

static void undo_create_schema(struct rollback *rollback, PgQuery__Node *node) {
  if (sql_or_null(node->create_schema_stmt->schemaname))
    rollback_add(rollback, "DROP SCHEMA %s", sql_ident(rollback->arena, node->create_schema_stmt->schemaname));
}

static void undo_create_extension(struct rollback *rollback, PgQuery__Node *node) {
  for (size_t i = 0; i < rollback->before->extension_count; i++)
    if (strcmp(rollback->before->extensions[i].name, node->create_extension_stmt->extname) == 0) return;
  rollback_add(rollback, "DROP EXTENSION %s", sql_ident(rollback->arena, node->create_extension_stmt->extname));
}

static void undo_on_table(struct rollback *rollback, PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_CREATE_POLICY_STMT)
    rollback_add(rollback, "DROP POLICY %s ON %s", sql_ident(rollback->arena, node->create_policy_stmt->policy_name),
                 target_name(rollback, node->create_policy_stmt->table));
  else if (node->node_case == PG_QUERY__NODE__NODE_CREATE_STATS_STMT && node->create_stats_stmt->n_defnames)
    rollback_add(rollback, "DROP STATISTICS %s",
                 list_name(rollback, node->create_stats_stmt->n_defnames, node->create_stats_stmt->defnames));
  else if (node->node_case == PG_QUERY__NODE__NODE_RULE_STMT && !node->rule_stmt->replace)
    rollback_add(rollback, "DROP RULE %s ON %s", sql_ident(rollback->arena, node->rule_stmt->rulename),
                 target_name(rollback, node->rule_stmt->relation));
  else if (node->node_case == PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT)
    rollback_add(rollback, "DROP PUBLICATION %s", sql_ident(rollback->arena, node->create_publication_stmt->pubname));
  else
    rollback_gone(rollback, "no inverse is made for this statement");
}

/* --- DROP: make it again --- */

static void recreate_enum(struct rollback *rollback, const PgQuery__Node *object) {
  const char *type = object->node_case == PG_QUERY__NODE__NODE_TYPE_NAME ? sql_type(rollback->arena, object->type_name) : NULL;
  const struct snap_enum *one = type ? shadow_enum(rollback->shadow, type) : NULL;
  if (!one) {
    rollback_gone(rollback, "the type's definition is not recorded");
    return;
  }
  const char *labels = "";
  for (size_t i = 0; i < one->label_count; i++)
    labels = arena_printf(rollback->arena, "%s%s%s", labels, i ? ", " : "", sql_literal(rollback->arena, one->labels[i]));
  rollback_add(rollback, "CREATE TYPE %s AS ENUM (%s)", sql_qualified(rollback->arena, one->schema, one->name), labels);
}

static void recreate_index(struct rollback *rollback, bool concurrent, size_t count, PgQuery__Node *const *parts) {
  const char *schema, *name;
  sql_name_split(count, parts, &schema, &name);
  struct rel *rel = NULL;
  const struct snap_index *index = name ? shadow_index(rollback->shadow, schema, name, &rel) : NULL;
  if (!index) return;
  const char *at = strstr(index->definition, "INDEX ");
  if (!at)
    rollback_gone(rollback, "the definition of index %s is not recorded", name);
  else if (concurrent)
    rollback_add(rollback, "%.*sINDEX CONCURRENTLY %s", (int)(at - index->definition), index->definition, at + 6);
  else
    rollback_add(rollback, "%s", index->definition);
  rollback->step->outside = concurrent;
}

static void recreate_on_table(struct rollback *rollback, PgQuery__ObjectType type, size_t count, PgQuery__Node *const *parts) {
  const struct rel *rel = count > 1 ? shadow_named(rollback->shadow, count - 1, parts) : NULL;
  const char *name = count ? sql_node_string(parts[count - 1]) : NULL, *definition = NULL;
  if (!rel || !name) return;
  for (size_t i = 0; type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER && i < rel->t->trigger_count; i++)
    if (strcmp(rel->t->triggers[i].name, name) == 0) definition = rel->t->triggers[i].definition;
  for (size_t i = 0; type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY && i < rel->t->policy_count; i++)
    if (strcmp(rel->t->policies[i].name, name) == 0) definition = rel->t->policies[i].definition;
  if (definition && strncmp(definition, "CREATE", 6) == 0)
    rollback_add(rollback, "%s", definition);
  else
    rollback_gone(rollback, "the definition of %s is not recorded", name);
}

static void recreate_relation(struct rollback *rollback, size_t count, PgQuery__Node *const *parts) {
  const struct rel *rel = shadow_named(rollback->shadow, count, parts);
  if (!rel) return;
  switch (rel->t->kind) {
  case SNAP_VIEW:
  case SNAP_MATVIEW: rollback_recreate_view(rollback, rel); break;
  case SNAP_SEQUENCE:
    rollback_add(rollback, "CREATE SEQUENCE %s", rollback_name(rollback, rel));
    rollback_gone(rollback, "the position of sequence %s is gone", rel->t->qualified);
    break;
  default:
    if (!rel->created) rollback_gone(rollback, "the rows of %s are gone", rel->t->qualified);
    rollback_recreate_table(rollback, rel);
    break;
  }
}

static void undo_drop(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__DropStmt *statement = node->drop_stmt;
  if (statement->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) rollback_gone(rollback, "what CASCADE takes along is not rebuilt");
  for (size_t i = 0; i < statement->n_objects; i++) {
    const PgQuery__Node *object = statement->objects[i];
    size_t count = object->node_case == PG_QUERY__NODE__NODE_LIST ? object->list->n_items : 0;
    PgQuery__Node *const *parts = count ? object->list->items : NULL;
    switch (statement->remove_type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE: recreate_relation(rollback, count, parts); break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX: recreate_index(rollback, statement->concurrent, count, parts); break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER:
    case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY: recreate_on_table(rollback, statement->remove_type, count, parts); break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_TYPE: recreate_enum(rollback, object); break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION:
    case PG_QUERY__OBJECT_TYPE__OBJECT_PROCEDURE: recreate_dropped_function(rollback, object); break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA:
      if (sql_node_string(object)) rollback_add(rollback, "CREATE SCHEMA %s", sql_ident(rollback->arena, sql_node_string(object)));
      break;
    default: rollback_gone(rollback, "the dropped object's definition is not recorded"); break;
    }
  }
}

/* --- the others --- */

static void undo_rename(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__RenameStmt *statement = node->rename_stmt;
  const struct rel *rel = statement->relation ? shadow_range(rollback->shadow, statement->relation) : NULL;
  const char *new_name = sql_ident(rollback->arena, statement->newname);
  if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN && rel)
    rollback_add(rollback, "ALTER TABLE %s RENAME COLUMN %s TO %s", rollback_name(rollback, rel), new_name,
                 sql_ident(rollback->arena, statement->subname));
  else if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT && rel)
    rollback_add(rollback, "ALTER TABLE %s RENAME CONSTRAINT %s TO %s", rollback_name(rollback, rel), new_name,
                 sql_ident(rollback->arena, statement->subname));
  else if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER && rel)
    rollback_add(rollback, "ALTER TRIGGER %s ON %s RENAME TO %s", new_name, rollback_name(rollback, rel),
                 sql_ident(rollback->arena, statement->subname));
  else if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX && statement->relation)
    rollback_add(rollback, "ALTER INDEX %s RENAME TO %s",
                 sql_qualified(rollback->arena, sql_or_null(statement->relation->schemaname), statement->newname),
                 sql_ident(rollback->arena, statement->relation->relname));
  else if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY && rel)
    rollback_add(rollback, "ALTER POLICY %s ON %s RENAME TO %s", new_name, rollback_name(rollback, rel),
                 sql_ident(rollback->arena, statement->subname));
  else if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_RULE && rel)
    rollback_add(rollback, "ALTER RULE %s ON %s RENAME TO %s", new_name, rollback_name(rollback, rel),
                 sql_ident(rollback->arena, statement->subname));
  else if (rel)
    rollback_add(rollback, "ALTER %s %s RENAME TO %s",
                 rel->t->kind == SNAP_VIEW       ? "VIEW"
                 : rel->t->kind == SNAP_SEQUENCE ? "SEQUENCE"
                 : rel->t->kind == SNAP_MATVIEW  ? "MATERIALIZED VIEW"
                                                 : "TABLE",
                 sql_qualified(rollback->arena, rel->t->schema, statement->newname), sql_ident(rollback->arena, rel->t->name));
  else if (statement->rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA && sql_or_null(statement->subname))
    rollback_add(rollback, "ALTER SCHEMA %s RENAME TO %s", new_name, sql_ident(rollback->arena, statement->subname));
  else
    rollback_gone(rollback, "no inverse is made for this rename");
}

static void undo_set_schema(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterObjectSchemaStmt *statement = node->alter_object_schema_stmt;
  const struct rel *rel = statement->relation ? shadow_range(rollback->shadow, statement->relation) : NULL;
  if (!rel) {
    rollback_gone(rollback, "no inverse is made for this move");
    return;
  }
  rollback_add(rollback, "ALTER %s %s SET SCHEMA %s",
               rel->t->kind == SNAP_VIEW       ? "VIEW"
               : rel->t->kind == SNAP_SEQUENCE ? "SEQUENCE"
                                               : "TABLE",
               sql_qualified(rollback->arena, statement->newschema, rel->t->name), sql_ident(rollback->arena, rel->t->schema));
}

static void undo_comment(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__CommentStmt *statement = node->comment_stmt;
  size_t count = statement->object && statement->object->node_case == PG_QUERY__NODE__NODE_LIST ? statement->object->list->n_items : 0;
  PgQuery__Node *const *parts = count ? statement->object->list->items : NULL;
  bool column = statement->objtype == PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN;
  const struct rel *rel = count ? shadow_named(rollback->shadow, column ? count - 1 : count, parts) : NULL;
  const struct snap_column *found =
      rel && column && sql_node_string(parts[count - 1]) ? snap_table_column(rel->t, sql_node_string(parts[count - 1])) : NULL;
  if (!rel || (column && !found)) {
    rollback_gone(rollback, "the comment before is not recorded");
    return;
  }
  const char *old = column ? found->comment : rel->t->comment, *text = old && *old ? sql_literal(rollback->arena, old) : "NULL";
  if (column)
    rollback_add(rollback, "COMMENT ON COLUMN %s.%s IS %s", rollback_name(rollback, rel), sql_ident(rollback->arena, found->name), text);
  else
    rollback_add(rollback, "COMMENT ON %s %s IS %s",
                 rel->t->kind == SNAP_VIEW       ? "VIEW"
                 : rel->t->kind == SNAP_MATVIEW  ? "MATERIALIZED VIEW"
                 : rel->t->kind == SNAP_SEQUENCE ? "SEQUENCE"
                                                 : "TABLE",
                 rollback_name(rollback, rel), text);
}

/* The opposite of a grant is the same statement with the other verb. */
static void undo_grant(struct rollback *rollback, PgQuery__Node *node) {
  node->grant_stmt->is_grant = !node->grant_stmt->is_grant;
  const char *text = sql_statement_text(rollback->arena, node);
  node->grant_stmt->is_grant = !node->grant_stmt->is_grant;
  if (text) rollback_add(rollback, "%s", text);
}

static void undo_enum(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterEnumStmt *statement = node->alter_enum_stmt;
  if (sql_or_null(statement->old_val))
    rollback_add(rollback, "ALTER TYPE %s RENAME VALUE %s TO %s", list_name(rollback, statement->n_type_name, statement->type_name),
                 sql_literal(rollback->arena, statement->new_val), sql_literal(rollback->arena, statement->old_val));
  else
    rollback_gone(rollback, "enum values can't be removed: %s stays", statement->new_val);
}

static void undo_domain(struct rollback *rollback, PgQuery__Node *node) {
  const PgQuery__AlterDomainStmt *statement = node->alter_domain_stmt;
  const char *name = list_name(rollback, statement->n_type_name, statement->type_name);
  bool adds = *statement->subtype == 'C' && statement->def && statement->def->node_case == PG_QUERY__NODE__NODE_CONSTRAINT &&
              sql_or_null(statement->def->constraint->conname);
  if (adds)
    rollback_add(rollback, "ALTER DOMAIN %s DROP CONSTRAINT %s", name, sql_ident(rollback->arena, statement->def->constraint->conname));
  else if (*statement->subtype == 'O')
    rollback_add(rollback, "ALTER DOMAIN %s DROP NOT NULL", name);
  else if (*statement->subtype == 'N')
    rollback_add(rollback, "ALTER DOMAIN %s SET NOT NULL", name);
  else if (*statement->subtype != 'V')
    rollback_gone(rollback, "the domain's definition before is not recorded");
}

static void undo_data(struct rollback *rollback, PgQuery__Node *node) {
  (void)node;
  rollback_gone(rollback, "changed rows are not restored");
}
static void undo_opaque(struct rollback *rollback, PgQuery__Node *node) {
  (void)node;
  rollback_gone(rollback, "what the statement does is known only by running it");
}
static void undo_nothing(struct rollback *rollback, PgQuery__Node *node) {
  (void)rollback;
  (void)node;
}

#define ROW(tag, undo) \
  { PG_QUERY__NODE__NODE_##tag, undo }
static const struct {
  PgQuery__Node__NodeCase node;
  void (*undo)(struct rollback *, PgQuery__Node *);
} rows[] = {
    ROW(ALTER_TABLE_STMT, rollback_alter_table),
    ROW(CREATE_STMT, undo_create_table),
    ROW(CREATE_TABLE_AS_STMT, undo_create_as),
    ROW(VIEW_STMT, undo_create_view),
    ROW(INDEX_STMT, undo_create_index),
    ROW(CREATE_TRIG_STMT, undo_create_trigger),
    ROW(CREATE_SEQ_STMT, undo_create_sequence),
    ROW(CREATE_ENUM_STMT, undo_create_type),
    ROW(CREATE_DOMAIN_STMT, undo_create_type),
    ROW(COMPOSITE_TYPE_STMT, undo_create_type),
    ROW(CREATE_FUNCTION_STMT, undo_create_function),
    ROW(CREATE_SCHEMA_STMT, undo_create_schema),
    ROW(CREATE_EXTENSION_STMT, undo_create_extension),
    ROW(CREATE_POLICY_STMT, undo_on_table),
    ROW(CREATE_STATS_STMT, undo_on_table),
    ROW(RULE_STMT, undo_on_table),
    ROW(CREATE_PUBLICATION_STMT, undo_on_table),
    ROW(DROP_STMT, undo_drop),
    ROW(RENAME_STMT, undo_rename),
    ROW(ALTER_OBJECT_SCHEMA_STMT, undo_set_schema),
    ROW(COMMENT_STMT, undo_comment),
    ROW(GRANT_STMT, undo_grant),
    ROW(ALTER_ENUM_STMT, undo_enum),
    ROW(ALTER_DOMAIN_STMT, undo_domain),
    ROW(INSERT_STMT, undo_data),
    ROW(UPDATE_STMT, undo_data),
    ROW(DELETE_STMT, undo_data),
    ROW(MERGE_STMT, undo_data),
    ROW(TRUNCATE_STMT, undo_data),
    ROW(COPY_STMT, undo_data),
    ROW(DO_STMT, undo_opaque),
    ROW(CALL_STMT, undo_opaque),
    ROW(EXECUTE_STMT, undo_opaque),
    ROW(SELECT_STMT, undo_nothing),
    ROW(TRANSACTION_STMT, undo_nothing),
    ROW(VARIABLE_SET_STMT, undo_nothing),
    ROW(VARIABLE_SHOW_STMT, undo_nothing),
    ROW(VACUUM_STMT, undo_nothing),
    ROW(CLUSTER_STMT, undo_nothing),
    ROW(REINDEX_STMT, undo_nothing),
    ROW(REFRESH_MAT_VIEW_STMT, undo_nothing),
    ROW(LOCK_STMT, undo_nothing),
    ROW(EXPLAIN_STMT, undo_nothing),
    ROW(DISCARD_STMT, undo_nothing),
    ROW(CHECK_POINT_STMT, undo_nothing),
};

void rollback_of(struct shadow *shadow, const struct snapshot *before, const struct sql_statement *statement,
                 struct rollback_step *ret_step) {
  *ret_step = (struct rollback_step){0};
  struct rollback rollback = {shadow, before, shadow->arena, ret_step};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].node == statement->node->node_case) {
      rows[i].undo(&rollback, statement->node);
      return;
    }
  rollback_gone(&rollback, "no inverse is made for this statement");
}

const char *rollback_script(struct arena *arena, const struct rollback_step *const *steps, size_t count) {
  BUF_AUTO out;
  buf_init(&out, 16 * LIMIT_SQL_BYTES);
  bool open = false;
  for (size_t i = count; i-- > 0;) {
    if (!steps[i]->sql.count) continue;
    if (steps[i]->outside == open) buf_puts(&out, open ? "COMMIT;\n" : "BEGIN;\n");
    open = !steps[i]->outside;
    for (size_t s = 0; s < steps[i]->sql.count; s++) buf_printf(&out, "%s;\n", steps[i]->sql.items[s]);
  }
  if (open) buf_puts(&out, "COMMIT;\n");
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}
