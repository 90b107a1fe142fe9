/* allow_types.c - what types decide: which operators of the client's own can be meant, and which casts are called.
 *
 * PostgreSQL takes the operator whose sides are exactly of the types at hand when there is one, and takes an untyped literal for the type
 * of the other side first (parse_oper.c, oper() and binary_oper_exact(); manual, "Operator Type Resolution"). So where both sides are known
 * and PostgreSQL has that very operator, nobody's other operator of the name is called. Everything less sure counts as meant. */
#include <ctype.h>

#include "common/json.h"
#include "worker/query/allow_impl.h"
#include "worker/sql/text.h"
#include "worker/sql/tree.h"

/* ---- types ---- */

/* Without "(10,2)"; NULL stays NULL. In the arena. */
static const char *bare(const struct check *check, const char *type) {
  const char *open = type ? strchr(type, '(') : NULL;
  if (!open) return type;
  const char *shut = strchr(open, ')');
  return arena_printf(check->arena, "%.*s%s", (int)(open - type), type, shut ? shut + 1 : "");
}

const char *guard_element(const struct check *check, const char *type) {
  const char *plain = bare(check, type);
  size_t len = plain ? strlen(plain) : 0;
  return len > 2 && strcmp(plain + len - 2, "[]") == 0 ? arena_strndup(check->arena, plain, len - 2) : plain;
}

bool guard_same_type(const char *a, const char *b) {
  const char *dot_a = strrchr(a, '.'), *dot_b = strrchr(b, '.');
  return strcmp(dot_a ? dot_a + 1 : a, dot_b ? dot_b + 1 : b) == 0;
}

/* The snapshot qualifies every type but those of pg_catalog. */
static bool of_server(const char *type) { return !strchr(type, '.'); }

static bool untyped(const PgQuery__Node *node) {
  return node && node->node_case == PG_QUERY__NODE__NODE_A_CONST &&
         (node->a_const->isnull || node->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL);
}

/* The type of an expression, of a list the one all items have; NULL: not known, or untyped. */
static const char *type_of(const struct check *check, const struct query_resolution *resolution, const PgQuery__Node *node,
                           bool *ret_untyped) {
  *ret_untyped = untyped(node);
  if (!node || *ret_untyped) return NULL;
  if (node->node_case != PG_QUERY__NODE__NODE_LIST) return bare(check, query_expression_type(resolution, node, check->arena));
  const char *common = NULL;
  *ret_untyped = true;
  for (size_t i = 0; i < node->list->n_items; i++) {
    if (untyped(node->list->items[i])) continue;
    const char *type = bare(check, query_expression_type(resolution, node->list->items[i], check->arena));
    *ret_untyped = false;
    if (!type || (common && strcmp(common, type) != 0)) return NULL;
    common = type;
  }
  return common;
}

/* ---- operators ---- */

/* Types for which PostgreSQL has every comparison of two of them. */
static bool compares(const char *type) {
  static const char *const types[] = {"smallint",
                                      "integer",
                                      "bigint",
                                      "numeric",
                                      "real",
                                      "double precision",
                                      "text",
                                      "boolean",
                                      "date",
                                      "uuid",
                                      "interval",
                                      "timestamp without time zone",
                                      "timestamp with time zone",
                                      "time without time zone",
                                      "character",
                                      "jsonb",
                                      "bytea"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (strcmp(types[i], type) == 0) return true;
  return false;
}

static bool among(const char *const *list, size_t count, const char *type) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], type) == 0) return true;
  return false;
}

/* Different types of one family are compared by operators of their own (btree families integer_ops, float_ops, datetime_ops). */
static bool family(const char *left, const char *right) {
  static const char *const integers[] = {"smallint", "integer", "bigint"}, *const floats[] = {"real", "double precision"},
                           *const times[] = {"date", "timestamp without time zone", "timestamp with time zone"};
  return strcmp(left, right) == 0 || (among(integers, 3, left) && among(integers, 3, right)) ||
         (among(floats, 2, left) && among(floats, 2, right)) || (among(times, 3, left) && among(times, 3, right));
}

static bool comparison(const char *name) {
  static const char *const names[] = {"=", "<>", "!=", "<", ">", "<=", ">="};
  return among(names, sizeof names / sizeof *names, name);
}

/* A type somebody made that no value of the statement can become: nothing implies a cast to it. */
static bool out_of_reach(const struct check *check, const char *type) {
  const json_t *list = json_object_get(check->snapshot->json, "casts"), *own;
  size_t index;
  if (!*type || of_server(type)) return false;
  json_array_foreach(list, index, own) {
    if (strcmp(json_str(own, "context", ""), "implicit") == 0 && guard_same_type(json_str(own, "target", ""), type)) return false;
  }
  return true;
}

static bool exact(const char *name, const char *type) {
  static const char *const sums[] = {"+", "-", "*", "/"}, *const numbers[] = {"smallint", "integer", "bigint",
                                                                              "numeric",  "real",    "double precision"};
  if (comparison(name)) return compares(type);
  for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
    for (size_t k = 0; strcmp(sums[i], name) == 0 && k < sizeof numbers / sizeof *numbers; k++)
      if (strcmp(numbers[k], type) == 0) return true;
  bool texts = strcmp(name, "||") == 0 || strcmp(name, "~~") == 0 || strcmp(name, "!~~") == 0 || strcmp(name, "~~*") == 0 ||
               strcmp(name, "!~~*") == 0;
  return texts && strcmp(type, "text") == 0;
}

bool guard_never_chosen(const struct check *check, const struct query_resolution *resolution, const struct query_operator *op,
                        const json_t *own) {
  bool free_left, free_right;
  if (!op->left || !op->right) return false;
  const char *left = type_of(check, resolution, op->left, &free_left), *right = type_of(check, resolution, op->right, &free_right);
  if (free_left && right) left = right;
  if (free_right && left) right = left;
  if (!left || !right) return false;
  const char *own_left = json_str(own, "left", ""), *own_right = json_str(own, "right", "");
  bool typed = !free_left && !free_right && of_server(left) && of_server(right);
  if (typed && (out_of_reach(check, own_left) || out_of_reach(check, own_right))) return true;
  bool has = strcmp(left, right) == 0 ? exact(op->name, left) : comparison(op->name) && family(left, right);
  return has && (strcmp(own_left, left) != 0 || strcmp(own_right, right) != 0);
}

/* ---- casts ---- */

/* A value of the type may be at hand: a row or column that is read has it, or a domain over it, or its name is written. */
static bool at_hand(const struct check *check, const struct query_resolution *resolution, const char *type) {
  for (size_t i = 0; i < resolution->relation_count; i++) {
    const struct query_relation *relation = &resolution->relations[i];
    if (relation->whole_row && guard_same_type(relation->table->qualified, type)) return true;
    for (size_t c = 0; c < relation->table->column_count; c++) {
      const struct snap_column *column = &relation->table->columns[c];
      if (!relation->whole_row && relation->columns && !relation->columns[c]) continue;
      const char *base = guard_element(check, column->base_type ? column->base_type : column->type); /* elements are cast one by one */
      if (base && guard_same_type(base, type)) return true;
    }
  }
  for (size_t i = 0; i < check->type_count; i++) {
    const char *named = guard_element(check, sql_type(check->arena, check->types[i]));
    if (!named || guard_same_type(named, type)) return true;
  }
  return false;
}

/* "||" of a text and anything else makes that a text by a cast as if it were written (textanycat, anytextcat). */
static bool joins_texts(const struct query_resolution *resolution) {
  for (size_t i = 0; i < resolution->operator_count; i++)
    if (strcmp(resolution->operators[i].name, "||") == 0) return true;
  for (size_t i = 0; i < resolution->function_count; i++)
    if (strcmp(resolution->functions[i].name, "textanycat") == 0 || strcmp(resolution->functions[i].name, "anytextcat") == 0) return true;
  return false;
}

static bool implied(const struct check *check, const struct query_resolution *resolution, const json_t *own) {
  const char *source = json_str(own, "source", ""), *target = json_str(own, "target", "");
  if (strcmp(target, "text") == 0 && joins_texts(resolution) && at_hand(check, resolution, source)) return true;
  if (strcmp(json_str(own, "context", ""), "implicit") != 0) return false;
  if (of_server(source) && of_server(target)) return true;
  return at_hand(check, resolution, of_server(source) ? target : source);
}

/* A type that stands elsewhere than in a cast: RETURNING, the columns of JSON_TABLE or of a record. Values of it are made there, of JSON.
 */
static bool named_alone(const struct check *check, const char *target) {
  for (size_t i = 0; i < check->type_count; i++) {
    bool cast = false;
    for (size_t k = 0; k < check->cast_count; k++) cast |= check->casts[k]->type_name == check->types[i];
    const char *type = cast ? NULL : guard_element(check, sql_type(check->arena, check->types[i]));
    if (type && guard_same_type(type, target)) return true;
  }
  return false;
}

/* Of no other type at heart, as a domain is. */
static bool is_enum(const struct check *check, const char *type) {
  for (size_t i = 0; i < check->snapshot->enum_count; i++) {
    const char *own = sql_qualified(check->arena, check->snapshot->enums[i].schema, check->snapshot->enums[i].name);
    if (own && strcmp(own, type) == 0) return true;
  }
  return false;
}

/* x::target, CAST (x AS target), and target(x). */
static bool written(const struct check *check, const struct query_resolution *resolution, const json_t *own) {
  const char *source = json_str(own, "source", ""), *target = json_str(own, "target", "");
  for (size_t i = 0; i < check->cast_count; i++) {
    const PgQuery__TypeCast *cast = check->casts[i];
    const char *to = guard_element(check, sql_type(check->arena, cast->type_name));
    if (to && (!guard_same_type(to, target) || untyped(cast->arg))) continue;
    bool is_free;
    const char *from = type_of(check, resolution, cast->arg, &is_free);
    if (!from || guard_same_type(from, source) || !(compares(from) || is_enum(check, from))) return true;
  }
  const char *dot = strrchr(target, '.');
  for (size_t i = 0; i < resolution->function_count; i++)
    if (resolution->functions[i].arguments == 1 && strcmp(resolution->functions[i].name, dot ? dot + 1 : target) == 0) return true;
  return !of_server(target) && named_alone(check, target);
}

void guard_casts(struct check *check, const struct query_resolution *resolution) {
  const json_t *list = json_object_get(check->snapshot->json, "casts"), *own;
  size_t index;
  json_array_foreach(list, index, own) {
    const char *why =
        json_is_object(json_object_get(own, "function")) ? guard_refuses(check, own) : NULL; /* by their texts or bytes: no call */
    if (!why || (!written(check, resolution, own) && !implied(check, resolution, own))) continue;
    const json_t *function = json_object_get(own, "function");
    guard_refuse(check, "function", "cast-not-allowed", -1,
                 "casts of PostgreSQL itself; others when AUTODB_GUARD_FUNCTIONS names their function",
                 "the cast from %s to %s calls %s.%s(), which %s", json_str(own, "source", "?"), json_str(own, "target", "?"),
                 json_str(function, "schema", "?"), json_str(function, "name", "?"), why);
  }
}
