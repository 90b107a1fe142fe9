/* resolve_type.c - what is known of an expression without asking the server: its name as a column, its type, whether it can be NULL. */
#include "worker/query/resolve_impl.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* ---- names of columns without AS: FigureColname() of PostgreSQL's parse_target.c ---- */

static const char *last_string(size_t count, PgQuery__Node *const *parts) {
  for (size_t i = count; i > 0; i--)
    if (sql_node_string(parts[i - 1])) return sql_node_string(parts[i - 1]);
  return NULL;
}

static const char *value_function_name(PgQuery__SQLValueFunctionOp op) {
  static const char *const names[] = {
      NULL,        "current_date", "current_time",    "current_time",   "current_timestamp", "current_timestamp",
      "localtime", "localtime",    "localtimestamp",  "localtimestamp", "current_role",      "current_user",
      "user",      "session_user", "current_catalog", "current_schema"};
  return (size_t)op < sizeof names / sizeof *names ? names[op] : NULL;
}

static const char *figure(const PgQuery__Node *node, bool *ret_weak);
static const char *plain_name_of(const PgQuery__Node *expression);

static const char *figure_sublink(const PgQuery__SubLink *link) {
  if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK) return "exists";
  if (link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ARRAY_SUBLINK) return "array";
  if (link->sub_link_type != PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK || !link->subselect) return NULL;
  const PgQuery__SelectStmt *select = link->subselect->select_stmt;
  while (select && select->larg) select = select->larg;
  if (!select || !select->n_target_list) return NULL;
  const PgQuery__ResTarget *target = select->target_list[0]->res_target;
  return sql_or_null(target->name) ? target->name : plain_name_of(target->val);
}

/* ret_weak: a name that a stronger one around it replaces (a cast's type under CASE). */
static const char *figure(const PgQuery__Node *node, bool *ret_weak) {
  const char *name = NULL;
  *ret_weak = false;
  if (!node) return NULL;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF: return last_string(node->column_ref->n_fields, node->column_ref->fields);
  case PG_QUERY__NODE__NODE_A_INDIRECTION:
    name = last_string(node->a_indirection->n_indirection, node->a_indirection->indirection);
    return name ? name : figure(node->a_indirection->arg, ret_weak);
  case PG_QUERY__NODE__NODE_FUNC_CALL: return last_string(node->func_call->n_funcname, node->func_call->funcname);
  case PG_QUERY__NODE__NODE_A_EXPR: return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF ? "nullif" : NULL;
  case PG_QUERY__NODE__NODE_TYPE_CAST:
    name = figure(node->type_cast->arg, ret_weak);
    if (name && !*ret_weak) return name;
    *ret_weak = true;
    return node->type_cast->type_name ? last_string(node->type_cast->type_name->n_names, node->type_cast->type_name->names) : NULL;
  case PG_QUERY__NODE__NODE_COLLATE_CLAUSE: return figure(node->collate_clause->arg, ret_weak);
  case PG_QUERY__NODE__NODE_GROUPING_FUNC: return "grouping";
  case PG_QUERY__NODE__NODE_SUB_LINK: return figure_sublink(node->sub_link);
  case PG_QUERY__NODE__NODE_CASE_EXPR:
    name = figure(node->case_expr->defresult, ret_weak);
    if (name && !*ret_weak) return name;
    *ret_weak = true;
    return "case";
  case PG_QUERY__NODE__NODE_A_ARRAY_EXPR: return "array";
  case PG_QUERY__NODE__NODE_ROW_EXPR: return "row";
  case PG_QUERY__NODE__NODE_COALESCE_EXPR: return "coalesce";
  case PG_QUERY__NODE__NODE_MIN_MAX_EXPR: return node->min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_GREATEST ? "greatest" : "least";
  case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION: return value_function_name(node->sqlvalue_function->op);
  case PG_QUERY__NODE__NODE_JSON_OBJECT_CONSTRUCTOR: return "json_object";
  case PG_QUERY__NODE__NODE_JSON_ARRAY_CONSTRUCTOR:
  case PG_QUERY__NODE__NODE_JSON_ARRAY_QUERY_CONSTRUCTOR: return "json_array";
  case PG_QUERY__NODE__NODE_JSON_OBJECT_AGG: return "json_objectagg";
  case PG_QUERY__NODE__NODE_JSON_ARRAY_AGG: return "json_arrayagg";
  case PG_QUERY__NODE__NODE_JSON_SCALAR_EXPR: return "json_scalar";
  case PG_QUERY__NODE__NODE_JSON_PARSE_EXPR: return "json";
  case PG_QUERY__NODE__NODE_JSON_FUNC_EXPR:
    return node->json_func_expr->op == PG_QUERY__JSON_EXPR_OP__JSON_EXISTS_OP  ? "json_exists"
           : node->json_func_expr->op == PG_QUERY__JSON_EXPR_OP__JSON_QUERY_OP ? "json_query"
                                                                               : "json_value";
  default: return NULL;
  }
}

static const char *plain_name_of(const PgQuery__Node *expression) {
  bool weak;
  const char *name = figure(expression, &weak);
  return name ? name : "?column?";
}

/* EXTRACT was date_part to the parsers before PostgreSQL 14. */
const char *resolve_output_name_of(const struct resolver *r, const PgQuery__Node *expression) {
  const char *name = plain_name_of(expression);
  int version = r->snapshot ? r->snapshot->server_version_num : 0;
  bool call = expression && expression->node_case != PG_QUERY__NODE__NODE_COLUMN_REF;
  return call && version && version < 140000 && strcmp(name, "extract") == 0 ? "date_part" : name;
}

/* ---- types ---- */

/* Bindings are sorted when all is resolved; before, those just made are last. */
static const struct query_binding *find_binding(const struct resolver *r, const PgQuery__ColumnRef *ref) {
  if (r->sorted) return query_binding(r->out, ref);
  for (size_t i = r->out->binding_count; i > 0; i--)
    if (r->out->bindings[i - 1].ref == ref) return &r->out->bindings[i - 1];
  return NULL;
}

static void describe_constant(const PgQuery__AConst *value, struct query_column *column) {
  static const struct {
    PgQuery__AConst__ValCase kind;
    const char *type;
  } types[] = {{PG_QUERY__A__CONST__VAL_IVAL, "integer"},
               {PG_QUERY__A__CONST__VAL_FVAL, "numeric"},
               {PG_QUERY__A__CONST__VAL_BOOLVAL, "boolean"},
               {PG_QUERY__A__CONST__VAL_SVAL, "text"},
               {PG_QUERY__A__CONST__VAL_BSVAL, "bit"}};
  column->nullable = value->isnull;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!value->isnull && types[i].kind == value->val_case) column->type = types[i].type;
}

static void describe_call(struct resolver *r, const PgQuery__FuncCall *call, struct query_column *column) {
  const char *schema, *name;
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  struct builtin_found found = name ? resolve_find_function(r, schema, name) : (struct builtin_found){0};
  if (found.function && strncmp(found.function->returns, "TABLE(", 6) != 0)
    column->type = strncmp(found.function->returns, "SETOF ", 6) == 0 ? found.function->returns + 6 : found.function->returns;
  else if (!found.function && found.builtin && *found.builtin->returns)
    column->type = found.builtin->returns;
  if (name && strcmp(name, "count") == 0) column->nullable = false;
}

static void describe_sublink(const PgQuery__SubLink *link, struct resolver *r, struct query_column *column) {
  switch (link->sub_link_type) {
  case PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK:
    column->nullable = false;
    column->type = "boolean";
    break;
  case PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK:
  case PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK: column->type = "boolean"; break;
  case PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK: {
    const struct query_scope *scope = link->subselect && link->subselect->node_case == PG_QUERY__NODE__NODE_SELECT_STMT
                                          ? query_scope_of(r->out, link->subselect->select_stmt)
                                          : NULL;
    if (scope && scope->output_count) column->type = scope->outputs[0].type;
    break;
  }
  default: break;
  }
}

static void describe_operator(const PgQuery__AExpr *expr, struct query_column *column) {
  static const char *const comparisons[] = {"=", "<>", "!=", "<", ">", "<=", ">=", "~", "~*", "!~", "!~*"};
  if (expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP) {
    if (expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF) column->type = "boolean";
    return;
  }
  const char *name = expr->n_name ? sql_node_string(expr->name[expr->n_name - 1]) : NULL;
  for (size_t i = 0; name && i < sizeof comparisons / sizeof *comparisons; i++)
    if (strcmp(name, comparisons[i]) == 0) column->type = "boolean";
  if (name && (strcmp(name, "||") == 0)) return;
}

static void describe_coalesce(struct resolver *r, const PgQuery__CoalesceExpr *expr, struct query_column *column) {
  for (size_t i = 0; i < expr->n_args; i++) {
    struct query_column part = {.nullable = true};
    resolve_describe(r, expr->args[i], &part);
    if (i == 0) column->type = part.type;
    if (!part.nullable) column->nullable = false;
  }
}

void resolve_describe(struct resolver *r, const PgQuery__Node *node, struct query_column *column) {
  column->nullable = true;
  if (!node) return;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_COLUMN_REF: {
    const struct query_binding *binding = find_binding(r, node->column_ref);
    const struct query_column *bound = query_bound_column(binding);
    if (bound) {
      *column = *bound;
      column->nullable = query_bound_nullable(binding);
    } else if (binding && binding->column == -1 && binding->rte->table) {
      column->type = binding->rte->table->qualified;
    }
    break;
  }
  case PG_QUERY__NODE__NODE_A_CONST: describe_constant(node->a_const, column); break;
  case PG_QUERY__NODE__NODE_TYPE_CAST:
    resolve_describe(r, node->type_cast->arg, column);
    *column = (struct query_column){.nullable = column->nullable, .type = sql_type(r->arena, node->type_cast->type_name)};
    break;
  case PG_QUERY__NODE__NODE_FUNC_CALL: describe_call(r, node->func_call, column); break;
  case PG_QUERY__NODE__NODE_SUB_LINK: describe_sublink(node->sub_link, r, column); break;
  case PG_QUERY__NODE__NODE_A_EXPR: describe_operator(node->a_expr, column); break;
  case PG_QUERY__NODE__NODE_COALESCE_EXPR: describe_coalesce(r, node->coalesce_expr, column); break;
  case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
    resolve_describe(r, node->collate_clause->arg, column);
    column->table = NULL;
    column->column = NULL;
    break;
  case PG_QUERY__NODE__NODE_BOOL_EXPR: column->type = "boolean"; break;
  case PG_QUERY__NODE__NODE_NULL_TEST:
  case PG_QUERY__NODE__NODE_BOOLEAN_TEST:
    column->type = "boolean";
    column->nullable = false;
    break;
  case PG_QUERY__NODE__NODE_GROUPING_FUNC: column->type = "integer"; break;
  default: break;
  }
}

const char *query_expression_type(const struct query_resolution *resolution, const PgQuery__Node *expression, struct arena *arena) {
  struct query_resolution copy = *resolution;
  struct resolver r = {.snapshot = resolution->snapshot, .arena = arena, .out = &copy, .sorted = true};
  struct query_column column = {0};
  resolve_describe(&r, expression, &column);
  return column.type;
}

/* ---- row types ---- */

static bool composite_columns(struct resolver *r, const json_t *attributes, struct query_column **ret_columns, size_t *ret_count) {
  size_t count = json_array_size(attributes);
  struct query_column *columns = arena_calloc(r->arena, count + 1, sizeof *columns);
  if (!columns) {
    r->oom = true;
    return false;
  }
  for (size_t i = 0; i < count; i++) {
    const json_t *attribute = json_array_get(attributes, i);
    columns[i] = (struct query_column){.name = json_string_value(json_object_get(attribute, "name")),
                                       .type = json_string_value(json_object_get(attribute, "type")),
                                       .nullable = true};
  }
  *ret_columns = columns;
  *ret_count = count;
  return true;
}

bool resolve_row_type(struct resolver *r, const char *type, struct query_column **ret_columns, size_t *ret_count) {
  const json_t *composites = json_object_get(r->snapshot->json, "composites");
  for (size_t i = 0; i < json_array_size(composites); i++) {
    const json_t *composite = json_array_get(composites, i);
    const char *schema = json_string_value(json_object_get(composite, "schema")),
               *name = json_string_value(json_object_get(composite, "name"));
    if (schema && name && snapshot_type_is(type, schema, name))
      return composite_columns(r, json_object_get(composite, "attributes"), ret_columns, ret_count);
  }
  for (size_t t = 0; t < r->snapshot->table_count; t++) {
    const struct snap_table *table = &r->snapshot->tables[t];
    if (!snapshot_type_is(type, table->schema, table->name)) continue;
    struct query_column *columns = arena_calloc(r->arena, table->column_count + 1, sizeof *columns);
    for (size_t c = 0; columns && c < table->column_count; c++)
      columns[c] = (struct query_column){.name = table->columns[c].name, .type = table->columns[c].type, .nullable = true};
    *ret_columns = columns;
    *ret_count = columns ? table->column_count : 0;
    return columns != NULL;
  }
  return false;
}

/* ---- what a call returns ---- */

/* The names in "a integer, b text" (TABLE's list) or of the OUT parameters in an argument list. Quoted names lose their quotes. */
static void listed_columns(struct resolver *r, const char *list, bool outs_only, struct query_column **columns, size_t *count) {
  for (const char *p = list; *p && *p != ')';) {
    while (*p == ' ' || *p == ',') p++;
    const char *start = p;
    for (int depth = 0; *p && (depth || (*p != ',' && *p != ')')); p++) depth += (*p == '(') - (*p == ')');
    bool out = strncmp(start, "OUT ", 4) == 0, both = strncmp(start, "INOUT ", 6) == 0;
    if (outs_only && !out && !both) continue;
    start += out ? 4 : both ? 6 : 0;
    bool quoted = *start == '"';
    const char *end = quoted ? strchr(start + 1, '"') : strchr(start, ' ');
    if (!end || end > p) continue;
    struct query_column *column = RESOLVE_ADD(r, *columns, *count);
    if (!column) return;
    const char *type = end + (quoted ? 2 : 1);
    *column = (struct query_column){.name = arena_strndup(r->arena, start + quoted, (size_t)(end - start - quoted)),
                                    .type = type < p ? arena_strndup(r->arena, type, (size_t)(p - type)) : NULL,
                                    .nullable = true};
  }
}

static void builtin_columns(struct resolver *r, const struct builtin *builtin, struct query_column **columns, size_t *count) {
  for (const char *p = builtin->columns; *p;) {
    size_t length = strcspn(p, ",");
    struct query_column *column = RESOLVE_ADD(r, *columns, *count);
    if (!column) return;
    *column = (struct query_column){.name = arena_strndup(r->arena, p, length), .nullable = true};
    p += length + (p[length] == ',');
  }
}

static bool any_row(const char *name) {
  static const char *const names[] = {"unnest",
                                      "json_populate_record",
                                      "json_populate_recordset",
                                      "jsonb_populate_record",
                                      "json_to_record",
                                      "jsonb_populate_recordset",
                                      "jsonb_to_record",
                                      "json_to_recordset",
                                      "jsonb_to_recordset"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

void resolve_call_columns(struct resolver *r, const PgQuery__FuncCall *call, struct query_column **ret_columns, size_t *ret_count,
                          bool *ret_open) {
  const char *schema, *name;
  *ret_open = false;
  sql_name_split(call->n_funcname, call->funcname, &schema, &name);
  if (!name) return;
  struct builtin_found found = resolve_find_function(r, schema, name);
  if (found.function) {
    const char *returns = found.function->returns;
    if (strncmp(returns, "SETOF ", 6) == 0) returns += 6;
    if (strncmp(returns, "TABLE(", 6) == 0)
      listed_columns(r, returns + 6, false, ret_columns, ret_count);
    else if (strstr(found.function->arguments, "OUT "))
      listed_columns(r, found.function->arguments, true, ret_columns, ret_count);
    else if (!resolve_row_type(r, returns, ret_columns, ret_count))
      *ret_open = strcmp(returns, "record") == 0 || strncmp(returns, "any", 3) == 0;
  } else if (found.builtin) {
    builtin_columns(r, found.builtin, ret_columns, ret_count);
    *ret_open = !*found.builtin->extension ? any_row(name) : !*found.builtin->returns && !*ret_count;
  } else {
    *ret_open = true;
  }
}
