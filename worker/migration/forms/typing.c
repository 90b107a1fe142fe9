/* forms/typing.c - see typing.h. Which operators and casts there are: pg_operator.dat and pg_cast.dat; which of them change with the
 * session or the clock: provolatile in pg_proc.dat; what may be in an index: CheckMutability and ComputeIndexAttrs of
 * commands/indexcmds.c, in a generated column: cookDefault of catalog/heap.c. */
#include "worker/migration/forms/typing.h"

#include "common/json.h"
#include "worker/migration/forms/functions.h"
#include "worker/migration/forms/names.h"
#include "worker/migration/values.h"
#include "worker/query/builtins.h"
#include "worker/sql/text.h"
#include "worker/sql/volatility.h"

#define NODE(name) PG_QUERY__NODE__NODE_##name

static const struct {
  const char *type;
  enum type_class class;
} classes[] = {
    {"smallint", TYPE_NUMBER},
    {"integer", TYPE_NUMBER},
    {"bigint", TYPE_NUMBER},
    {"numeric", TYPE_NUMBER},
    {"real", TYPE_NUMBER},
    {"double precision", TYPE_NUMBER},
    {"text", TYPE_STRING},
    {"character varying", TYPE_STRING},
    {"character", TYPE_STRING},
    {"boolean", TYPE_BOOLEAN},
    {"date", TYPE_DATE},
    {"timestamp without time zone", TYPE_TIMESTAMP},
    {"timestamp with time zone", TYPE_TIMESTAMPTZ},
    {"uuid", TYPE_UUID},
    {"json", TYPE_JSON},
    {"jsonb", TYPE_JSONB},
};

/* "timestamp(3) without time zone" without its modifier. */
static void bare(const char *type, char *ret, size_t size) {
  size_t out = 0;
  for (const char *c = type; *c && out + 1 < size; c++) {
    if (*c == '(') c = strchr(c, ')') ? strchr(c, ')') + 1 : c + strlen(c);
    if (!*c) break;
    ret[out++] = *c;
  }
  ret[out] = '\0';
}

enum type_class typing_class(const struct shadow *shadow, const char *type) {
  const struct snap_domain *domain = type ? shadow_domain(shadow, type) : NULL;
  char base[160];
  if (!type) return TYPE_OTHER;
  bare(domain ? domain->base_type : type, base, sizeof base);
  if (strstr(base, "[]")) return TYPE_ARRAY;
  for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
    if (strcmp(classes[i].type, base) == 0) return classes[i].class;
  return TYPE_OTHER;
}

/* --- the type of an expression --- */

static const char *column_type(const struct rel *rel, const PgQuery__Node *node) {
  const char *qualifier, *name;
  if (!rel || rel->vague || node->node_case != NODE(COLUMN_REF) || node->column_ref->n_fields > 2) return NULL;
  sql_name_split(node->column_ref->n_fields, node->column_ref->fields, &qualifier, &name);
  const struct snap_column *column = name ? snap_table_column(rel->t, name) : NULL;
  return column ? column->type : NULL;
}

static bool is_builtin(const struct shadow *shadow, const PgQuery__FuncCall *call, const char **ret_name) {
  const char *schema, *name;
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  *ret_name = name;
  bool system = schema && strcmp(schema, "pg_catalog") == 0;
  return name && (system || (!schema && !functions_users_own(shadow, name))) && builtin_function("", name);
}

static bool one_of(const char *name, const char *const *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], name) == 0) return true;
  return false;
}
#define ONE_OF(name, list) one_of((name), (list), sizeof(list) / sizeof *(list))

static enum type_class call_class(const struct form *form, const PgQuery__FuncCall *call) {
  static const char *const strings[] = {"lower", "upper",   "initcap", "btrim",          "ltrim",  "rtrim",     "concat",
                                        "md5",   "to_char", "replace", "regexp_replace", "substr", "concat_ws", "split_part"},
                           *const instants[] = {"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp"},
                           *const numbers[] = {"length", "char_length", "octet_length", "random", "count"};
  const char *name;
  if (!is_builtin(form->shadow, call, &name)) return TYPE_OTHER;
  if (ONE_OF(name, instants)) return TYPE_TIMESTAMPTZ;
  if (ONE_OF(name, numbers)) return TYPE_NUMBER;
  return ONE_OF(name, strings) && strcmp(name, "lower") != 0 && strcmp(name, "upper") != 0 ? TYPE_STRING : TYPE_OTHER; /* of ranges */
}

static enum type_class constant_class(const PgQuery__AConst *constant) {
  if (constant->isnull) return TYPE_UNKNOWN;
  switch (constant->val_case) {
  case PG_QUERY__A__CONST__VAL_IVAL:
  case PG_QUERY__A__CONST__VAL_FVAL: return TYPE_NUMBER;
  case PG_QUERY__A__CONST__VAL_BOOLVAL: return TYPE_BOOLEAN;
  case PG_QUERY__A__CONST__VAL_SVAL: return TYPE_UNKNOWN;
  default: return TYPE_OTHER;
  }
}

static enum type_class value_class(const PgQuery__SQLValueFunction *value) {
  switch (value->op) {
  case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE: return TYPE_DATE;
  case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP:
  case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP_N: return TYPE_TIMESTAMPTZ;
  case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP:
  case PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N: return TYPE_TIMESTAMP;
  default: return TYPE_OTHER;
  }
}

static const char *operator_name(const PgQuery__AExpr *expression) {
  return expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && expression->n_name == 1 ? sql_node_string(expression->name[0]) : NULL;
}

static bool is_comparison(const char *name) {
  static const char *const signs[] = {"=", "<>", "<", ">", "<=", ">="};
  return name && ONE_OF(name, signs);
}

static enum type_class operator_class(struct form *form, const struct rel *rel, const PgQuery__AExpr *expression) {
  const char *name = operator_name(expression);
  if (is_comparison(name)) return TYPE_BOOLEAN;
  if (!name || !expression->lexpr || !strchr("+-*/", *name) || name[1]) return TYPE_OTHER;
  enum type_class left = typing_of(form, rel, expression->lexpr), right = typing_of(form, rel, expression->rexpr);
  return left == TYPE_NUMBER && right == TYPE_NUMBER ? TYPE_NUMBER : TYPE_OTHER;
}

enum type_class typing_of(struct form *form, const struct rel *rel, const PgQuery__Node *node) {
  if (!node) return TYPE_OTHER;
  switch (node->node_case) {
  case NODE(COLUMN_REF): return typing_class(form->shadow, column_type(rel, node));
  case NODE(TYPE_CAST): return typing_class(form->shadow, sql_type(form->arena, node->type_cast->type_name));
  case NODE(A_CONST): return constant_class(node->a_const);
  case NODE(FUNC_CALL): return call_class(form, node->func_call);
  case NODE(SQLVALUE_FUNCTION): return value_class(node->sqlvalue_function);
  case NODE(BOOL_EXPR):
  case NODE(NULL_TEST): return TYPE_BOOLEAN;
  case NODE(A_EXPR): return operator_class(form, rel, node->a_expr);
  default: return TYPE_OTHER;
  }
}

/* --- operators and functions that are not there --- */

static bool is_instant(enum type_class class) { return class == TYPE_DATE || class == TYPE_TIMESTAMP || class == TYPE_TIMESTAMPTZ; }
static bool is_told(enum type_class class) { return class != TYPE_OTHER && class != TYPE_UNKNOWN; }

static bool incomparable(enum type_class left, enum type_class right) {
  if (!is_told(left) || !is_told(right)) return false;
  if (left == TYPE_JSON && right == TYPE_JSON) return true; /* json has no equality */
  return left != right && !(is_instant(left) && is_instant(right));
}

/* Somebody's own operator of that name, or an extension's. */
static bool made_by_hand(struct form *form, const char *name) {
  size_t index;
  json_t *one;
  json_array_foreach(json_object_get(form->shadow->snapshot->json, "operators"), index, one) {
    if (strcmp(json_str(one, "name", ""), name) == 0) return true;
  }
  return names_brought(form->shadow) || !names_would_know(form->shadow, NULL);
}

struct look {
  struct form *form;
  const struct rel *rel;
};

static void check_operator(const struct look *look, const PgQuery__AExpr *expression) {
  const char *name = operator_name(expression);
  if (!is_comparison(name) || !expression->lexpr || !expression->rexpr) return;
  enum type_class left = typing_of(look->form, look->rel, expression->lexpr), right = typing_of(look->form, look->rel, expression->rexpr);
  if (incomparable(left, right) && !made_by_hand(look->form, name))
    form_fails(look->form, "42883", "the operator %s exists for the types on both of its sides", name);
  values_fit(look->form, column_type(look->rel, expression->lexpr), expression->rexpr);
  values_fit(look->form, column_type(look->rel, expression->rexpr), expression->lexpr);
}

/* Functions of strings take no numbers, instants and the like (lower and upper take ranges, too). */
static void check_call(const struct look *look, const PgQuery__FuncCall *call) {
  static const char *const of_strings[] = {"lower", "upper", "initcap", "btrim", "ltrim", "rtrim", "length", "char_length"};
  const char *name;
  if (call->n_args < 1 || !is_builtin(look->form->shadow, call, &name) || !ONE_OF(name, of_strings)) return;
  enum type_class class = typing_of(look->form, look->rel, call->args[0]);
  if (is_told(class) && class != TYPE_STRING && !names_brought(look->form->shadow))
    form_fails(look->form, "42883", "the function %s exists for the type it is given", name);
}

static bool see_operator(void *arg, PgQuery__Node *node) {
  if (node->node_case == NODE(SUB_LINK) || node->node_case == NODE(SELECT_STMT)) return false;
  if (node->node_case == NODE(A_EXPR)) check_operator(arg, node->a_expr);
  if (node->node_case == NODE(FUNC_CALL)) check_call(arg, node->func_call);
  return true;
}

void typing_check(struct form *form, const struct rel *rel, PgQuery__Node *expression, bool condition) {
  struct look look = {form, rel};
  if (!expression || !rel || rel->vague) return;
  sql_walk(expression, see_operator, &look);
  enum type_class class = condition ? typing_of(form, rel, expression) : TYPE_OTHER;
  if (is_told(class) && class != TYPE_BOOLEAN) form_fails(form, "42804", "the condition is boolean");
}

/* --- what changes with the clock, or the session --- */

/* A user's function: of SQL it may be put in its own place, and is then what it says (inline_function of optimizer/util/clauses.c). */
static bool users_mutable(const struct shadow *shadow, const char *schema, const char *name) {
  bool any = false;
  for (size_t i = 0; i < shadow->snapshot->function_count; i++) {
    const struct snap_function *function = &shadow->snapshot->functions[i];
    if (strcmp(function->name, name) != 0 || (schema && strcmp(function->schema, schema) != 0)) continue;
    if (function->volatility == 'i' || strcmp(function->language, "plpgsql") != 0) return false;
    any = true;
  }
  return any;
}

static bool call_mutable(const struct look *look, const PgQuery__FuncCall *call) {
  static const char *const by_zone[] = {"date_trunc", "date_part", "extract", "date"}, *const by_configuration[] = {
                                                                                           "to_tsvector",          "to_tsquery",
                                                                                           "plainto_tsquery",      "phraseto_tsquery",
                                                                                           "websearch_to_tsquery", "age"};
  static const char *const mixed[] = {/* IMMUTABLE for some types */
                                      "timestamptz",         "date_add",      "date_trunc", "time",          "length",
                                      "to_timestamp",        "date",          "extract",    "age",           "jsonb_to_tsvector",
                                      "plainto_tsquery",     "ts_rewrite",    "ts_parse",   "overlaps",      "json_to_tsvector",
                                      "ts_token_type",       "timestamp",     "numeric",    "date_subtract", "quote_nullable",
                                      "ts_headline",         "in_range",      "to_tsquery", "date_part",     "timetz",
                                      "phraseto_tsquery",    "quote_literal", "timezone",   "to_tsvector",   "generate_series",
                                      "websearch_to_tsquery"};
  const char *name, *schema;
  if (!is_builtin(look->form->shadow, call, &name)) {
    sql_name_split(call->n_funcname, call->funcname, &schema, &name);
    return name && users_mutable(look->form->shadow, schema, name);
  }
  if (builtin_function("", name)->volatility != 'i' && !ONE_OF(name, mixed)) return true;
  if (call->n_args == 1 && ONE_OF(name, by_configuration)) return true;
  if (call->n_args > 2 || !ONE_OF(name, by_zone)) return false;
  return call->n_args && typing_of(look->form, look->rel, call->args[call->n_args - 1]) == TYPE_TIMESTAMPTZ;
}

static bool cast_mutable(const struct look *look, const PgQuery__TypeCast *cast) {
  enum type_class from = typing_of(look->form, look->rel, cast->arg),
                  to = typing_class(look->form->shadow, sql_type(look->form->arena, cast->type_name));
  if (from == TYPE_STRING) return is_instant(to);
  if (to == TYPE_STRING) return is_instant(from);
  return is_instant(from) && is_instant(to) && from != to && (from == TYPE_TIMESTAMPTZ || to == TYPE_TIMESTAMPTZ);
}

static bool operator_mutable(const struct look *look, const PgQuery__AExpr *expression) {
  const char *name = operator_name(expression);
  if (!name || !expression->lexpr) return false;
  enum type_class left = typing_of(look->form, look->rel, expression->lexpr), right = typing_of(look->form, look->rel, expression->rexpr);
  return is_comparison(name) && left != right && is_instant(left) && is_instant(right) &&
         (left == TYPE_TIMESTAMPTZ || right == TYPE_TIMESTAMPTZ);
}

static bool see_mutable(void *arg, PgQuery__Node *node) {
  const struct look *look = arg;
  bool found = false;
  switch (node->node_case) {
  case NODE(SUB_LINK): return false;
  case NODE(FUNC_CALL): found = call_mutable(look, node->func_call); break;
  case NODE(TYPE_CAST): found = cast_mutable(look, node->type_cast); break;
  case NODE(A_EXPR): found = operator_mutable(look, node->a_expr); break;
  case NODE(SQLVALUE_FUNCTION): found = true; break;
  default: break;
  }
  if (found) form_fails(look->form, "42P17", "the expression is IMMUTABLE: the same whatever the clock and the session");
  return !found;
}

void typing_immutable(struct form *form, const struct rel *rel, PgQuery__Node *expression) {
  struct look look = {form, rel};
  if (expression && rel && !rel->vague) sql_walk(expression, see_mutable, &look);
}

/* --- assignment --- */

void typing_assign(struct form *form, const char *type, const PgQuery__Node *value) {
  enum type_class class = typing_class(form->shadow, type),
                  given = value && value->node_case == NODE(A_CONST) ? constant_class(value->a_const) : TYPE_OTHER;
  bool number = given == TYPE_NUMBER, boolean = given == TYPE_BOOLEAN, labels = type && shadow_enum(form->shadow, type);
  if (!type || (!number && !boolean) || (!labels && !is_told(class)) || class == TYPE_STRING || class == given) return;
  if (!names_brought(form->shadow))
    form_fails(form, "42804", "a constant %s is assigned to a column of type %s", number ? "number" : "boolean", type);
}
