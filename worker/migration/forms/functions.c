/* forms/functions.c - names of functions against the snapshot's, the server's own and those of extensions (func_get_detail and
 * LookupFuncWithArgs of parser/parse_func.c, ProcedureCreate of catalog/pg_proc.c, CreateTriggerFiringOn of commands/trigger.c). */
#include "worker/migration/forms/functions.h"

#include <strings.h>

#include "common/json.h"
#include "worker/migration/forms/names.h"
#include "worker/query/builtins.h"
#include "worker/sql/text.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name
#define OBJECT(name) PG_QUERY__OBJECT_TYPE__OBJECT_##name
#define MAX_PARAMETERS 100

/* What contrib's extensions have for triggers: no query can call it. */
static const char *const for_triggers[] = {"lo_manage",
                                           "moddatetime",
                                           "autoinc",
                                           "triggered_change_notification",
                                           "insert_username",
                                           "check_primary_key",
                                           "check_foreign_key",
                                           "suppress_redundant_updates_trigger",
                                           "unique_key_recheck",
                                           "tsvector_update_trigger",
                                           "tsvector_update_trigger_column"};

struct asked {
  const char *name;
  bool possible;
};

/* An extension that isn't known may bring anything. */
static void see_extension(void *arg, const char *extension) {
  struct asked *asked = arg;
  asked->possible |= !builtin_knows_extension(extension) || builtin_function(extension, asked->name);
}

static bool may_be_brought(struct shadow *shadow, const char *name) {
  struct asked asked = {.name = name};
  names_each_extension(shadow, see_extension, &asked);
  return asked.possible;
}

/* Servers of majors beyond those known may have any. */
static bool may_be_builtin(const struct shadow *shadow, const char *name) {
  if (shadow->version / 10000 > BUILTIN_NEWEST || builtin_function("", name)) return true;
  for (size_t i = 0; i < sizeof for_triggers / sizeof *for_triggers; i++)
    if (strcmp(for_triggers[i], name) == 0) return true;
  return false;
}

bool functions_users_own(const struct shadow *shadow, const char *name) {
  for (size_t i = 0; i < shadow->snapshot->function_count; i++)
    if (strcmp(shadow->snapshot->functions[i].name, name) == 0) return true;
  return false;
}

static bool is_system(const char *schema) { return strncmp(schema, "pg_", 3) == 0 || strcmp(schema, "information_schema") == 0; }

/* Whether there certainly is no function of that name, whatever its parameters. A type's name, or a column's, may be called like one. */
static bool no_function(struct shadow *shadow, const char *schema, const char *name) {
  if (shadow->functions_unlisted || (schema && is_system(schema)) || !names_would_know(shadow, schema)) return false;
  if ((!schema && may_be_builtin(shadow, name)) || functions_users_own(shadow, name) || may_be_brought(shadow, name)) return false;
  return !names_type_there(shadow, schema, name) && !strstr(name, "range");
}

static void need_function(struct form *form, const char *schema, const char *name) {
  if (name && no_function(form->shadow, schema, name))
    form_fails(form, "42883", "function %s exists", sql_qualified(form->arena, schema, name));
}

/* --- calls --- */

/* "f(t)" may be t.f. */
static bool may_be_column(struct form *form, const PgQuery__FuncCall *call) {
  const PgQuery__Node *argument = call->n_args == 1 ? call->args[0] : NULL;
  return argument && argument->node_case == NODE(COLUMN_REF) &&
         shadow_named(form->shadow, argument->column_ref->n_fields, argument->column_ref->fields);
}

static void see_function(struct form *form, const PgQuery__FuncCall *call) {
  const char *schema, *name;
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  if (call->n_funcname <= 2 && !may_be_column(form, call)) need_function(form, schema, name);
}

/* Sequences of serial and identity columns that this migration made aren't among the relations. */
static bool may_be_made(const struct shadow *shadow, const char *name) {
  for (size_t i = 0; i < shadow->rels.count; i++) {
    const struct rel *rel = shadow->rels.items[i];
    for (size_t c = 0; !rel->dropped && c < rel->t->column_count; c++) {
      const char *text = rel->t->columns[c].default_expr;
      if ((text && strstr(text, name)) || (rel->t->columns[c].identity && strncmp(name, rel->t->name, strlen(rel->t->name)) == 0))
        return true;
    }
  }
  return false;
}

/* nextval('name') and its kin look the name up when the statement is read (regclass). */
static void need_sequence(struct form *form, const PgQuery__FuncCall *call) {
  static const char *const of_sequences[] = {"nextval", "setval", "currval"};
  const char *schema, *name;
  bool its = false;
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  for (size_t i = 0; name && !schema && i < 3; i++) its |= strcmp(of_sequences[i], name) == 0;
  const PgQuery__Node *argument = its && call->n_args ? call->args[0] : NULL;
  if (argument && argument->node_case == NODE(TYPE_CAST)) argument = argument->type_cast->arg;
  if (!argument || argument->node_case != NODE(A_CONST) || argument->a_const->isnull ||
      argument->a_const->val_case != PG_QUERY__A__CONST__VAL_SVAL)
    return;
  const PgQuery__Node *named = sql_parse_expression(form->arena, argument->a_const->sval->sval);
  if (!named || named->node_case != NODE(COLUMN_REF) || named->column_ref->n_fields > 2) return;
  sql_name_split(named->column_ref->n_fields, named->column_ref->fields, &schema, &name);
  if (!name || (schema && is_system(schema)) || !names_would_know(form->shadow, schema) || may_be_made(form->shadow, name)) return;
  if (!shadow_find(form->shadow, schema, name)) form_fails(form, "42P01", "sequence %s exists", sql_qualified(form->arena, schema, name));
}

static bool see_call(void *arg, PgQuery__Node *node) {
  if (node->node_case == NODE(FUNC_CALL)) see_function(arg, node->func_call);
  if (node->node_case == NODE(FUNC_CALL)) need_sequence(arg, node->func_call);
  return true;
}

/* --- signatures --- */

/* NULL for "table.column%TYPE", which stands for another. */
static const char *type_text(struct form *form, const PgQuery__TypeName *type) {
  return type->pct_type ? NULL : sql_type(form->arena, type);
}

/* Types of the parameters that make a signature, as format_type() prints them; SIZE_MAX when one can't be printed. */
static size_t made_types(struct form *form, const PgQuery__CreateFunctionStmt *statement, const char **types) {
  size_t count = 0;
  for (size_t i = 0; i < statement->n_parameters && count < MAX_PARAMETERS; i++) {
    const PgQuery__FunctionParameter *parameter = statement->parameters[i]->function_parameter;
    if (parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_OUT ||
        parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_TABLE)
      continue;
    types[count] = parameter->arg_type ? type_text(form, parameter->arg_type) : NULL;
    if (!types[count++]) return SIZE_MAX;
  }
  return count;
}

static size_t named_types(struct form *form, const PgQuery__ObjectWithArgs *object, const char **types) {
  size_t count = 0;
  for (size_t i = 0; i < object->n_objargs && count < MAX_PARAMETERS; i++) {
    types[count] = object->objargs[i]->node_case == NODE(TYPE_NAME) ? type_text(form, object->objargs[i]->type_name) : NULL;
    if (!types[count++]) return SIZE_MAX;
  }
  return count;
}

/* "count integer" is of type integer; so is "integer". Modifiers say nothing here. */
static bool is_of_type(struct arena *arena, const char *text, size_t len, const char *type) {
  char *mine = arena_strndup(arena, text, len), *wanted = arena_strdup(arena, type), *cut;
  if (!mine || !wanted) return true;
  if ((cut = strchr(wanted, '(')) && !strstr(cut, "[]")) *cut = '\0';
  size_t long_len = strlen(mine), short_len = strlen(wanted);
  for (size_t at = 0; at < long_len; at++)
    if ((at == 0 || mine[at - 1] == ' ') && shadow_same_type(mine + at, wanted)) return true;
  return long_len > short_len && strcmp(mine + long_len - short_len, wanted) == 0 && strchr(" .", mine[long_len - short_len - 1]);
}

/* Whether the text of pg_get_function_identity_arguments() has these types. */
static bool has_signature(struct arena *arena, const char *text, const char *const *types, size_t count) {
  size_t seen = 0;
  while (*text) {
    int depth = 0;
    size_t len = 0;
    for (; text[len] && (depth || text[len] != ','); len++) depth += text[len] == '(' ? 1 : text[len] == ')' ? -1 : 0;
    if (strncmp(text, "OUT ", 4) != 0) {
      if (seen >= count || !is_of_type(arena, text, len, types[seen])) return false;
      seen++;
    }
    text += len;
    while (*text == ',' || *text == ' ') text++;
  }
  return seen == count;
}

struct found {
  size_t named, alike; /* of the name; of the parameters, too */
  const json_t *one;   /* the last that is alike */
  bool told;           /* all of them are the snapshot's: this migration made none */
};

static struct found look_up(struct form *form, const char *schema, const char *name, const char *const *types, size_t count) {
  struct found found = {.told = true};
  size_t index, known = 0;
  json_t *one;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "functions"), index, one) {
    if (strcmp(json_str(one, "name", ""), name) != 0) continue;
    known++;
    if (schema && strcmp(json_str(one, "schema", ""), schema) != 0) continue;
    found.named++;
    if (count == SIZE_MAX || !has_signature(form->arena, json_str(one, "identity_arguments", ""), types, count)) continue;
    found.alike++;
    found.one = one;
  }
  for (size_t i = 0; i < form->shadow->snapshot->function_count; i++)
    if (strcmp(form->shadow->snapshot->functions[i].name, name) == 0 && known-- == 0) found.told = false;
  if (form->shadow->functions_changed) found.told = false;
  return found;
}

/* --- CREATE FUNCTION --- */

static const char *option_text(const PgQuery__CreateFunctionStmt *statement, const char *name) {
  for (size_t i = 0; i < statement->n_options; i++)
    if (statement->options[i]->node_case == NODE(DEF_ELEM) && strcmp(statement->options[i]->def_elem->defname, name) == 0)
      return sql_node_string(statement->options[i]->def_elem->arg);
  return NULL;
}

static void need_language(struct form *form, const char *language) {
  static const char *const own[] = {"sql", "c", "internal", "plpgsql"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (!language || strcasecmp(own[i], language) == 0) return;
  if (names_would_know(form->shadow, NULL) && !names_has_extension(form->shadow, language))
    form_fails(form, "42704", "language %s exists", language);
}

/* A function is replaced by one that returns the same. Columns of TABLE and OUT parameters are passed over. */
static void same_result(struct form *form, const PgQuery__CreateFunctionStmt *statement, const json_t *known) {
  const char *returns = json_str(known, "returns", ""), *type = statement->return_type ? type_text(form, statement->return_type) : NULL;
  bool set = strncmp(returns, "SETOF ", 6) == 0;
  if (!type || strncmp(returns, "TABLE(", 6) == 0 || strcmp(returns, "record") == 0 || strchr(type, '(')) return;
  for (size_t i = 0; i < statement->n_parameters; i++)
    if (statement->parameters[i]->function_parameter->mode == PG_QUERY__FUNCTION_PARAMETER_MODE__FUNC_PARAM_TABLE) return;
  if (set != statement->return_type->setof || !shadow_same_type(set ? returns + 6 : returns, type))
    form_fails(form, "42P13", "%s returns what it returned, %s", json_str(known, "name", ""), returns);
}

static void create_function(struct form *form, const PgQuery__CreateFunctionStmt *statement) {
  const char *types[MAX_PARAMETERS], *schema, *name;
  sql_name_split(statement->n_funcname, statement->funcname, &schema, &name);
  need_language(form, option_text(statement, "language"));
  if (!name) return;
  const char *target = shadow_schema(form->shadow, schema);
  struct found found = look_up(form, target, name, types, made_types(form, statement, types));
  if (!found.told || !found.alike) return;
  if (!statement->replace)
    form_fails(form, "42723", "no function %s with these parameters exists", sql_qualified(form->arena, target, name));
  else
    same_result(form, statement, found.one);
}

/* --- functions named with their parameters --- */

static void need_object(struct form *form, const PgQuery__ObjectWithArgs *object, bool missing_ok) {
  const char *types[MAX_PARAMETERS], *schema, *name;
  sql_name_split(object->n_objname, object->objname, &schema, &name);
  if (!name || missing_ok || (schema && is_system(schema))) return;
  if (no_function(form->shadow, schema, name)) {
    form_fails(form, "42883", "function %s exists", sql_qualified(form->arena, schema, name));
    return;
  }
  if (object->args_unspecified || may_be_builtin(form->shadow, name) || may_be_brought(form->shadow, name)) return;
  struct found found = look_up(form, schema, name, types, named_types(form, object, types));
  if (found.told && found.named && !found.alike && named_types(form, object, types) != SIZE_MAX)
    form_fails(form, "42883", "function %s has these parameters", sql_qualified(form->arena, schema, name));
}

static bool is_routine(PgQuery__ObjectType type) {
  return type == OBJECT(FUNCTION) || type == OBJECT(PROCEDURE) || type == OBJECT(ROUTINE) || type == OBJECT(AGGREGATE);
}

static void need_routine(struct form *form, PgQuery__ObjectType type, const PgQuery__Node *object, bool missing_ok) {
  if (is_routine(type) && object && object->node_case == NODE(OBJECT_WITH_ARGS)) need_object(form, object->object_with_args, missing_ok);
}

/* --- triggers --- */

static void trigger_function(struct form *form, const PgQuery__CreateTrigStmt *statement) {
  const char *schema, *name;
  sql_name_split(statement->n_funcname, statement->funcname, &schema, &name);
  need_function(form, schema, name);
  if (!name || may_be_builtin(form->shadow, name) || may_be_brought(form->shadow, name)) return;
  struct found found = look_up(form, schema, name, NULL, 0);
  if (!found.told || found.named == 0) return;
  if (!found.alike)
    form_fails(form, "42883", "function %s takes no parameters", sql_qualified(form->arena, schema, name));
  else if (found.alike == 1 && strcmp(json_str(found.one, "returns", ""), "trigger") != 0)
    form_fails(form, "42P17", "function %s returns trigger", sql_qualified(form->arena, schema, name));
}

static void grant(struct form *form, const PgQuery__GrantStmt *statement) {
  for (size_t i = 0; i < statement->n_objects; i++) need_routine(form, statement->objtype, statement->objects[i], false);
}

/* A new name, or new schema, makes it another function. */
static void renamed(struct form *form, const PgQuery__RenameStmt *statement) {
  need_routine(form, statement->rename_type, statement->object, false);
  if (is_routine(statement->rename_type)) form->shadow->functions_changed = form->shadow->functions_unlisted = true;
}

static void dropped(struct form *form, const PgQuery__DropStmt *statement) {
  for (size_t i = 0; i < statement->n_objects; i++)
    need_routine(form, statement->remove_type, statement->objects[i], statement->missing_ok);
  if (is_routine(statement->remove_type)) form->shadow->functions_changed = true;
}

void functions_apply(struct form *form, const PgQuery__Node *node) {
  switch (node->node_case) {
  case NODE(DO_STMT): return;
  case NODE(CREATE_FUNCTION_STMT): create_function(form, node->create_function_stmt); break;
  case NODE(ALTER_FUNCTION_STMT):
    if (node->alter_function_stmt->func) need_object(form, node->alter_function_stmt->func, false);
    break;
  case NODE(DROP_STMT): dropped(form, node->drop_stmt); break;
  case NODE(RENAME_STMT): renamed(form, node->rename_stmt); break;
  case NODE(ALTER_OWNER_STMT): need_routine(form, node->alter_owner_stmt->object_type, node->alter_owner_stmt->object, false); break;
  case NODE(ALTER_OBJECT_SCHEMA_STMT):
    need_routine(form, node->alter_object_schema_stmt->object_type, node->alter_object_schema_stmt->object, false);
    if (is_routine(node->alter_object_schema_stmt->object_type)) form->shadow->functions_changed = form->shadow->functions_unlisted = true;
    break;
  case NODE(COMMENT_STMT): need_routine(form, node->comment_stmt->objtype, node->comment_stmt->object, false); break;
  case NODE(GRANT_STMT): grant(form, node->grant_stmt); break;
  case NODE(CREATE_TRIG_STMT): trigger_function(form, node->create_trig_stmt); break;
  case NODE(CALL_STMT):
    if (node->call_stmt->funccall) see_function(form, node->call_stmt->funccall);
    break;
  case NODE(DEFINE_STMT):
    if (node->define_stmt->kind == OBJECT(AGGREGATE)) form->shadow->functions_changed = form->shadow->functions_unlisted = true;
    break;
  default: break;
  }
  if (node->node_case != NODE(CREATE_FUNCTION_STMT)) sql_walk((PgQuery__Node *)(uintptr_t)node, see_call, form);
}
