/* allow_nodes.c - the node list: what a SELECT that only reads is made of.
 *
 * The walk keeps its own stack and goes through every message the descriptors know, so that no corner of the grammar is passed over, be it
 * new or odd. What is not listed is refused. */
#include <stdlib.h>

#include "common/limits.h"
#include "worker/query/allow_impl.h"
#include "worker/query/resolve_impl.h"
#include "worker/sql/tree.h"

/* Message names of pg_query.proto, sorted. */
static const char *const allowed_nodes[] = {
    "AArrayExpr",
    "AConst",
    "AExpr",
    "AIndices",
    "AIndirection",
    "AStar",
    "Alias",
    "BitString",
    "BoolExpr",
    "Boolean",
    "BooleanTest",
    "CTECycleClause",
    "CTESearchClause",
    "CaseExpr",
    "CaseWhen",
    "CoalesceExpr",
    "CollateClause",
    "ColumnDef",
    "ColumnRef",
    "CommonTableExpr",
    "Float",
    "FuncCall",
    "GroupingFunc",
    "GroupingSet",
    "Integer",
    "JoinExpr",
    "JsonAggConstructor",
    "JsonArgument",
    "JsonArrayAgg",
    "JsonArrayConstructor",
    "JsonArrayQueryConstructor",
    "JsonBehavior",
    "JsonFormat",
    "JsonFuncExpr",
    "JsonIsPredicate",
    "JsonKeyValue",
    "JsonObjectAgg",
    "JsonObjectConstructor",
    "JsonOutput",
    "JsonParseExpr",
    "JsonReturning",
    "JsonScalarExpr",
    "JsonSerializeExpr",
    "JsonTable",
    "JsonTableColumn",
    "JsonTablePathSpec",
    "JsonValueExpr",
    "List",
    "MinMaxExpr",
    "NamedArgExpr",
    "Node",
    "NullTest",
    "RangeFunction",
    "RangeSubselect",
    "RangeTableSample",
    "RangeVar",
    "ResTarget",
    "RowExpr",
    "SQLValueFunction",
    "SelectStmt",
    "SortBy",
    "String",
    "SubLink",
    "TypeCast",
    "TypeName",
    "WindowDef",
    "WithClause",
};

/* What people meet, in their words. */
static const struct {
  const char *node, *rule, *message, *allowed;
} known_refusals[] = {
    {"IntoClause", "select-into", "SELECT … INTO makes a table", "the SELECT without INTO"},
    {"LockingClause", "row-locks", "FOR UPDATE and FOR SHARE lock rows", "the SELECT without FOR …"},
    {"InsertStmt", "data-modifying-with", "WITH holds an INSERT", "SELECTs in WITH"},
    {"UpdateStmt", "data-modifying-with", "WITH holds an UPDATE", "SELECTs in WITH"},
    {"DeleteStmt", "data-modifying-with", "WITH holds a DELETE", "SELECTs in WITH"},
    {"MergeStmt", "data-modifying-with", "WITH holds a MERGE", "SELECTs in WITH"},
    {"ParamRef", "parameter", "$1 is a parameter, and there are no values for parameters", "a literal in its place"},
    {"XmlExpr", "xml", "XML functions are not on the list", "text or JSON functions"},
    {"XmlSerialize", "xml", "XML functions are not on the list", "text or JSON functions"},
    {"RangeTableFunc", "xml", "XMLTABLE is not on the list", "JSON_TABLE or jsonb_to_recordset"},
};

static int compare_name(const void *key, const void *row) { return strcmp(key, *(const char *const *)row); }

static bool is_allowed(const struct check *check, const char *node) {
  if (check->rules->parameters && strcmp(node, "ParamRef") == 0) return true;
  return bsearch(node, allowed_nodes, sizeof allowed_nodes / sizeof *allowed_nodes, sizeof *allowed_nodes, compare_name) != NULL;
}

static void refuse_node(struct check *check, const char *node) {
  for (size_t i = 0; i < sizeof known_refusals / sizeof *known_refusals; i++)
    if (strcmp(known_refusals[i].node, node) == 0) {
      guard_refuse(check, "node", known_refusals[i].rule, -1, known_refusals[i].allowed, "%s", known_refusals[i].message);
      return;
    }
  guard_refuse(check, "node", "node-not-allowed", -1, NULL, "%s is not on the list of what a question may be made of", node);
}

/* ---- nodes with something to look at ---- */

static void see_range_var(struct check *check, const PgQuery__RangeVar *var) {
  const char *schema = sql_or_null(var->schemaname);
  check->from_items++;
  if (sql_or_null(var->catalogname))
    guard_refuse(check, "relation", "other-database", var->location, "schema.table", "%s.%s.%s names a database", var->catalogname,
                 var->schemaname, var->relname);
  if (resolve_is_catalog(var))
    guard_refuse(check, "relation", "catalog", var->location, "tables and views of the connection's schema", "%s%s%s is a system catalog",
                 schema ? schema : "", schema ? "." : "", var->relname);
}

/* Types whose input looks things up by name in the catalogs, or that stand for something outside of the query. */
bool guard_denied_type(const char *name) {
  static const char *const denied[] = {"regproc", "regprocedure", "regoper",      "regoperator",  "regclass",
                                       "regtype", "regrole",      "regnamespace", "regcollation", "refcursor",
                                       "aclitem", "xml",          "pg_node_tree", "cstring",      "internal"};
  if (*name == '_') name++; /* array of */
  for (size_t i = 0; i < sizeof denied / sizeof *denied; i++)
    if (strcmp(denied[i], name) == 0) return true;
  return false;
}

static void see_type(struct check *check, const PgQuery__TypeName *type) {
  const char *schema, *name;
  double length;
  sql_name_split(type->n_names, type->names, &schema, &name);
  if (type->pct_type || type->setof)
    guard_refuse(check, "node", "type-not-allowed", type->location, "a type's name", "%%TYPE and SETOF are not types of a value");
  if (name && guard_denied_type(name))
    guard_refuse(check, "node", "type-not-allowed", type->location, NULL, "type %s is not on the list", name);
  for (size_t i = 0; i < type->n_typmods; i++)
    if (guard_constant(type->typmods[i], &length) && length > LIMIT_GUARD_REPEAT && name && strcmp(name, "interval") != 0)
      guard_refuse(check, "cost", "length-too-large", type->location, "a length of at most 10000", "%s(%.0f) makes much out of little",
                   name, length);
}

static void see_sample(struct check *check, const PgQuery__RangeTableSample *sample) {
  const char *schema, *name;
  sql_name_split(sample->n_method, sample->method, &schema, &name);
  bool known = name && (!schema || strcmp(schema, "pg_catalog") == 0) && (strcmp(name, "system") == 0 || strcmp(name, "bernoulli") == 0);
  if (!known)
    guard_refuse(check, "function", "sample-method", sample->location, "SYSTEM or BERNOULLI", "TABLESAMPLE method %s is not on the list",
                 name ? name : "");
}

static void *more(struct check *check, void *list, size_t *count) {
  void ***items = list;
  if (*count == 0 || (*count >= 64 && (*count & (*count - 1)) == 0)) {
    void **bigger = arena_calloc(check->arena, *count ? *count * 2 : 64, sizeof *bigger);
    if (!bigger) {
      check->oom = true;
      return NULL;
    }
    if (*count) memcpy(bigger, *items, *count * sizeof *bigger);
    *items = bigger;
  }
  return &(*items)[(*count)++];
}

static void see_message(struct check *check, const ProtobufCMessage *message) {
  const ProtobufCMessageDescriptor *type = message->descriptor;
  const void *node = message;
  if (type == &pg_query__func_call__descriptor) {
    const PgQuery__FuncCall **place = more(check, &check->calls, &check->call_count);
    if (place) *place = node;
  } else if (type == &pg_query__column_ref__descriptor) {
    const PgQuery__ColumnRef **place = more(check, &check->refs, &check->ref_count);
    if (place) *place = node;
  } else if (type == &pg_query__type_cast__descriptor) {
    const PgQuery__TypeCast **place = more(check, &check->casts, &check->cast_count);
    if (place) *place = node;
  } else if (type == &pg_query__a__indirection__descriptor) {
    check->indirection_count++;
  } else if (type == &pg_query__range_var__descriptor) {
    see_range_var(check, node);
  } else if (type == &pg_query__type_name__descriptor) {
    const PgQuery__TypeName **place = more(check, &check->types, &check->type_count);
    if (place) *place = node;
    see_type(check, node);
  } else if (type == &pg_query__range_table_sample__descriptor) {
    see_sample(check, node);
  } else if (type == &pg_query__range_subselect__descriptor || type == &pg_query__range_function__descriptor ||
             type == &pg_query__json_table__descriptor || type == &pg_query__common_table_expr__descriptor) {
    check->from_items++;
  }
}

/* ---- the walk ---- */

struct stack {
  struct check *check;
  ProtobufCMessage **items;
  size_t count, room;
};

static void push(void *arg, ProtobufCMessage *child) {
  struct stack *stack = arg;
  if (stack->count == stack->room) {
    size_t room = stack->room ? stack->room * 2 : 256;
    ProtobufCMessage **bigger = arena_calloc(stack->check->arena, room, sizeof *bigger);
    if (!bigger) {
      stack->check->oom = true;
      return;
    }
    if (stack->count) memcpy(bigger, stack->items, stack->count * sizeof *bigger);
    stack->items = bigger;
    stack->room = room;
  }
  stack->items[stack->count++] = child;
}

void guard_nodes(struct check *check, PgQuery__SelectStmt *select) {
  struct stack stack = {.check = check};
  push(&stack, &select->base);
  while (stack.count && !check->oom) {
    ProtobufCMessage *message = stack.items[--stack.count];
    const char *name = message->descriptor->short_name;
    if (!is_allowed(check, name)) {
      refuse_node(check, name);
      continue;
    }
    see_message(check, message);
    sql_children(message, push, &stack);
  }
  if (check->from_items > LIMIT_GUARD_FROM_ITEMS)
    guard_refuse(check, "cost", "too-many-from-items", -1, "at most 24 tables, subqueries and functions",
                 "%zu tables, subqueries and functions are joined", check->from_items);
}
