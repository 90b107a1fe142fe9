/* compare.c - comparisons that hide a column behind arithmetic, a cast or COALESCE, turned so that the column stands alone. Each says the
 * same in three-valued logic unless it is noted that FALSE takes NULL's place; those are changed only where a filter makes no difference of
 * it. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "common/buf.h"

typedef bool (*compare_rule)(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *comparison, bool positive);

/* Asks the rule of each comparison, from both sides. */
static bool see(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct rewrite_comparison comparison;
  compare_rule rule = *(compare_rule *)arg;
  (void)scope;
  if (!rewrite_is_comparison(node, &comparison)) return false;
  if (rule(rw, node, &comparison, positive)) return true;
  if (rewrite_column(rw, comparison.left)) return false; /* one side of c = d is enough */
  rewrite_flip(&comparison);
  return rule(rw, node, &comparison, positive);
}

static bool each(struct rewrite *rw, compare_rule rule) { return rewrite_conditions(rw, see, &rule); }

static bool become(struct rewrite *rw, PgQuery__Node *node, PgQuery__Node *made) {
  if (!made || !rewrite_here(rw)) return false;
  *node = *made;
  return true;
}

static enum rewrite_type column_type(struct rewrite *rw, const PgQuery__Node *node) {
  const struct query_binding *binding = rewrite_column(rw, node);
  return binding ? rewrite_type_of(query_bound_column(binding)->type) : TYPE_OTHER;
}

/* --- c + k = v --- */

static bool arithmetic(const PgQuery__Node *node, PgQuery__Node **left, PgQuery__Node **right, char *op) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || !node->a_expr->lexpr)
    return false;
  const char *name = node->a_expr->n_name == 1 ? sql_node_string(node->a_expr->name[0]) : NULL;
  if (!name || name[1] || !strchr("+-*", *name)) return false;
  *op = *name;
  *left = node->a_expr->lexpr;
  *right = node->a_expr->rexpr;
  return true;
}

#define SMALL(value) ((value) > -(1LL << 52) && (value) < (1LL << 52))

/* c * k = v: only where it divides; a negative k turns the comparison round. */
static PgQuery__Node *divided(struct rewrite *rw, const char *column, const char *op, int64_t k, int64_t v) {
  if (k == 0 || v % k != 0) return NULL;
  return rewrite_parse(rw, "%s %s %lld", column, k < 0 ? rewrite_flipped(op) : op, (long long)(v / k));
}

/* Exact numbers: integers, and numeric with integers beside it. What overflowed in the sum does not any more. */
static PgQuery__Node *solved_number(struct rewrite *rw, PgQuery__Node *left, PgQuery__Node *right, char op, const char *compare,
                                    int64_t v) {
  int64_t k;
  bool column_first = rewrite_int_literal(right, &k);
  PgQuery__Node *column = column_first ? left : right;
  if (!column_first && !rewrite_int_literal(left, &k)) return NULL;
  enum rewrite_type type = column_type(rw, column);
  if ((!rewrite_is_int(type) && type != TYPE_NUMERIC) || !SMALL(k) || !SMALL(v)) return NULL;
  bool equality = strcmp(compare, "=") == 0 || strcmp(compare, "<>") == 0;
  if (!column_first && type == TYPE_NUMERIC && !equality) return NULL; /* k - NaN is NaN, which is greater than all */
  const char *name = rewrite_print(rw, column);
  if (!name) return NULL;
  if (op == '*') return type == TYPE_NUMERIC ? NULL : divided(rw, name, compare, k, v);
  if (op == '+') return rewrite_parse(rw, "%s %s %lld", name, compare, (long long)(v - k));
  if (column_first) return rewrite_parse(rw, "%s %s %lld", name, compare, (long long)(v + k));
  return rewrite_parse(rw, "%s %s %lld", name, rewrite_flipped(compare), (long long)(k - v));
}

static bool is_today(const PgQuery__Node *node) {
  return node->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION &&
         node->sqlvalue_function->op == PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE;
}

/* date + days compared with CURRENT_DATE. */
static PgQuery__Node *solved_date(struct rewrite *rw, PgQuery__Node *left, PgQuery__Node *right, char op, const char *compare,
                                  const PgQuery__Node *value) {
  int64_t k;
  if (op == '*' || column_type(rw, left) != TYPE_DATE || !is_today(value) || !rewrite_int_literal(right, &k) || k < 0 || k > 1000000)
    return NULL;
  const char *name = rewrite_print(rw, left);
  return name ? rewrite_parse(rw, "%s %s CURRENT_DATE %c %lld", name, compare, op == '+' ? '-' : '+', (long long)k) : NULL;
}

#define WEEKS_MAX 100000

/* An interval that is so many seconds everywhere: no months; days only where all have 24 hours. Not so long that there was no timestamp
 * then. */
static bool is_exact_interval(const PgQuery__Node *node, bool days) {
  static const char *const seconds[] = {"second", "seconds", "sec", "secs", "minute", "minutes", "min", "mins", "hour", "hours"};
  static const char *const long_units[] = {"day", "days", "week", "weeks"};
  const char *name = rewrite_cast_name(node);
  char unit[16];
  int used = 0;
  long amount;
  const char *text = name && strcmp(name, "interval") == 0 ? rewrite_text_literal(node->type_cast->arg) : NULL;
  if (!text) return false;
  if (sscanf(text, "%6ld %15[a-z]%n", &amount, unit, &used) != 2 || text[used] || amount < 0 || (*unit == 'w' && amount > WEEKS_MAX))
    return false;
  for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
    if (strcmp(seconds[i], unit) == 0) return true;
  for (size_t i = 0; days && i < sizeof long_units / sizeof *long_units; i++)
    if (strcmp(long_units[i], unit) == 0) return true;
  return false;
}

static bool is_clock(struct rewrite *rw, const PgQuery__Node *node, enum rewrite_type type) {
  PgQuery__SQLValueFunctionOp wanted = type == TYPE_TIMESTAMPTZ ? PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP
                                                                : PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP;
  if (node->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION) return node->sqlvalue_function->op == wanted;
  return type == TYPE_TIMESTAMPTZ && rewrite_is_builtin(rw, node, "now", 0);
}

static bool is_utc(const char *zone) {
  static const char *const names[] = {"UTC",     "Etc/UTC", "GMT",      "Etc/GMT",   "UCT",
                                      "Etc/UCT", "Zulu",    "Etc/Zulu", "Universal", "Etc/Universal"};
  for (size_t i = 0; zone && i < sizeof names / sizeof *names; i++)
    if (strcasecmp(names[i], zone) == 0) return true;
  return false;
}

/* timestamp ± interval compared with the clock. */
static PgQuery__Node *solved_moment(struct rewrite *rw, PgQuery__Node *left, PgQuery__Node *right, char op, const char *compare,
                                    PgQuery__Node *value, bool *ret_zone) {
  enum rewrite_type type = column_type(rw, left);
  if (op == '*' || (type != TYPE_TIMESTAMP && type != TYPE_TIMESTAMPTZ) || !is_clock(rw, value, type)) return NULL;
  bool exact = is_exact_interval(right, false);
  if (!exact && !is_exact_interval(right, type == TYPE_TIMESTAMP || is_utc(rw->snapshot->timezone))) return NULL;
  *ret_zone = !exact && type == TYPE_TIMESTAMPTZ;
  const char *name = rewrite_print(rw, left), *clock = sql_expression(rw->arena, value), *interval = sql_expression(rw->arena, right);
  if (!name || !clock || !interval) return NULL;
  return rewrite_parse(rw, "%s %s %s %c %s", name, compare, clock, op == '+' ? '-' : '+', interval);
}

static bool look_arithmetic(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c, bool positive) {
  PgQuery__Node *left, *right;
  char op;
  int64_t v;
  bool zone = false;
  (void)positive;
  if (!arithmetic(c->left, &left, &right, &op)) return false;
  PgQuery__Node *made = rewrite_int_literal(c->right, &v) ? solved_number(rw, left, right, op, c->op, v) : NULL;
  if (!made) made = solved_date(rw, left, right, op, c->op, c->right);
  if (!made) made = solved_moment(rw, left, right, op, c->op, c->right, &zone);
  if (!become(rw, node, made)) return false;
  if (zone) rewrite_assume(rw, "the session's TimeZone is %s, as it is by default: all days have 24 hours", rw->snapshot->timezone);
  return true;
}

bool rewrite_arithmetic(struct rewrite *rw) { return each(rw, look_arithmetic); }

/* --- integer column, numeric literal --- */

/* "9.5" of 1 to 15 digits before the point: what is before it, and whether there is anything after it. */
static bool read_decimal(const char *text, int64_t *ret_whole, bool *ret_fraction) {
  char *end;
  if (strlen(text) > 30 || strpbrk(text, "eExXoObB_")) return false;
  errno = 0;
  long long whole = strtoll(text, &end, 10);
  if (errno || !SMALL(whole) || (*end && *end != '.')) return false;
  *ret_fraction = *end == '.' && strspn(end + 1, "0") != strlen(end + 1);
  *ret_whole = whole;
  return true;
}

static bool numeric_literal(const PgQuery__Node *node, int64_t *ret_whole, bool *ret_fraction) {
  bool negative = node->node_case == PG_QUERY__NODE__NODE_A_EXPR && node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP &&
                  !node->a_expr->lexpr && node->a_expr->n_name == 1 && strcmp(sql_node_string(node->a_expr->name[0]), "-") == 0;
  if (negative) node = node->a_expr->rexpr;
  if (!rewrite_is_literal(node) || node->a_const->val_case != PG_QUERY__A__CONST__VAL_FVAL) return false;
  const char *text = node->a_const->fval->fval;
  if (*text == '-') negative = true, text++;
  if (!strchr(text, '.') || !read_decimal(text, ret_whole, ret_fraction)) return false;
  if (negative) *ret_whole = -*ret_whole - *ret_fraction; /* the floor */
  return true;
}

static bool look_numeric(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c, bool positive) {
  int64_t floor;
  bool fraction;
  (void)positive;
  if (!rewrite_is_int(column_type(rw, c->left)) || !numeric_literal(c->right, &floor, &fraction)) return false;
  bool equality = strcmp(c->op, "=") == 0 || strcmp(c->op, "<>") == 0;
  if (fraction && equality) return false; /* never, or always: somebody meant something else */
  const char *name = rewrite_print(rw, c->left), *op = c->op;
  if (fraction) op = *op == '<' ? "<=" : ">"; /* c < 9.5 and c <= 9.5 are c <= 9; c > 9.5 and c >= 9.5 are c > 9 */
  return name && become(rw, node, rewrite_parse(rw, "%s %s %lld", name, op, (long long)floor));
}

bool rewrite_numeric_literal(struct rewrite *rw) { return each(rw, look_numeric); }

/* --- COALESCE(c, k) = v --- */

static bool holds(int order, const char *op) {
  if (strcmp(op, "=") == 0) return order == 0;
  if (strcmp(op, "<>") == 0) return order != 0;
  bool strict = (*op == '<' && order < 0) || (*op == '>' && order > 0);
  return strict || (op[1] == '=' && order == 0);
}

/* k op v of two literals; false: not decided here. */
static bool decide(enum rewrite_type type, const PgQuery__Node *k, const PgQuery__Node *v, const char *op, bool *ret_holds) {
  int64_t a, b;
  if ((rewrite_is_int(type) || type == TYPE_NUMERIC) && rewrite_int_literal(k, &a) && rewrite_int_literal(v, &b)) {
    *ret_holds = holds(a < b ? -1 : a > b, op);
    return true;
  }
  const char *x = rewrite_text_literal(k), *y = rewrite_text_literal(v);
  if (type != TYPE_TEXT || !x || !y || (strcmp(op, "=") != 0 && strcmp(op, "<>") != 0)) return false; /* order is the collation's */
  *ret_holds = holds(strcmp(x, y) != 0, op);
  return true;
}

static bool look_coalesce(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c, bool positive) {
  if (c->left->node_case != PG_QUERY__NODE__NODE_COALESCE_EXPR || c->left->coalesce_expr->n_args != 2) return false;
  PgQuery__Node *column = c->left->coalesce_expr->args[0], *k = c->left->coalesce_expr->args[1];
  bool null_holds = false;
  const struct query_binding *binding = rewrite_column(rw, column);
  if (!binding || !rewrite_is_literal(k)) return false;
  if (!decide(column_type(rw, column), k, c->right, c->op, &null_holds)) return false;
  bool not_null = rewrite_not_null(rw, binding);
  if (!not_null && !null_holds && !positive) return false; /* NULL where it was FALSE */
  const char *name = rewrite_print(rw, column), *value = rewrite_print(rw, c->right);
  if (!name || !value) return false;
  bool or_null = null_holds && !not_null;
  PgQuery__Node *made =
      or_null ? rewrite_parse(rw, "(%s %s %s OR %s IS NULL)", name, c->op, value, name) : rewrite_parse(rw, "%s %s %s", name, c->op, value);
  if (!become(rw, node, made)) return false;
  rewrite_explain(rw,
                  or_null ? "COALESCE hides %s from indexes and statistics: its NULLs are asked for by name"
                          : "COALESCE hides %s from indexes and statistics, and its default never meets the condition",
                  name);
  if (not_null) rewrite_state_not_null(rw, binding);
  return true;
}

bool rewrite_coalesce(struct rewrite *rw) { return each(rw, look_coalesce); }

/* --- c::text = '5' --- */

static bool is_canonical_int(const char *text, enum rewrite_type type) {
  const char *digits = *text == '-' ? text + 1 : text;
  size_t len = strlen(digits);
  if (!len || strspn(digits, "0123456789") != len || (*digits == '0' && (len > 1 || digits != text))) return false;
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno) return false;
  if (type == TYPE_INT2) return value >= INT16_MIN && value <= INT16_MAX;
  return type == TYPE_INT8 || (value >= INT32_MIN && value <= INT32_MAX);
}

static bool is_canonical_uuid(const char *text) {
  if (strlen(text) != 36) return false;
  for (int i = 0; i < 36; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !isdigit((unsigned char)text[i]) && (text[i] < 'a' || text[i] > 'f')) return false;
  }
  return true;
}

static bool look_text_cast(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c, bool positive) {
  const char *cast = rewrite_cast_name(c->left), *text = rewrite_text_literal(c->right);
  (void)positive;
  if (!text || !cast || (strcmp(cast, "text") != 0 && strcmp(cast, "varchar") != 0) ||
      (strcmp(c->op, "=") != 0 && strcmp(c->op, "<>") != 0))
    return false;
  PgQuery__Node *column = c->left->type_cast->arg;
  enum rewrite_type type = column_type(rw, column);
  const char *name = rewrite_print(rw, column);
  if (!name) return false;
  rewrite_explain(rw, "%s is compared as it is, instead of as a text that is made of it for each row", name);
  if (rewrite_is_int(type) && is_canonical_int(text, type)) return become(rw, node, rewrite_parse(rw, "%s %s %s", name, c->op, text));
  if (type == TYPE_UUID && is_canonical_uuid(text)) return become(rw, node, rewrite_parse(rw, "%s %s '%s'", name, c->op, text));
  return false;
}

bool rewrite_text_cast(struct rewrite *rw) { return each(rw, look_text_cast); }

/* --- left(c, n) = 'abc' --- */

/* The text as a pattern that begins with it; NULL when it isn't ASCII of that many characters. */
static const char *prefix_pattern(struct rewrite *rw, const char *text, int64_t length) {
  BUF_AUTO out;
  buf_init(&out, 4096);
  if ((int64_t)strlen(text) != length || length < 1 || length > 1000) return NULL;
  for (const char *c = text; *c; c++) {
    if ((unsigned char)*c >= 0x80) return NULL;
    if (strchr("\\%_", *c)) buf_putc(&out, '\\');
    buf_putc(&out, *c);
  }
  buf_putc(&out, '%');
  return buf_ok(&out) ? sql_literal(rw->arena, buf_str(&out)) : NULL;
}

static bool look_prefix(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c, bool positive) {
  const char *text = rewrite_text_literal(c->right);
  int64_t start = 1, length = 0;
  (void)positive;
  if (!text || strcmp(c->op, "=") != 0) return false;
  bool left = rewrite_is_builtin(rw, c->left, "left", 2);
  if (!left && !rewrite_is_builtin(rw, c->left, "substr", 3) && !rewrite_is_builtin(rw, c->left, "substring", 3)) return false;
  PgQuery__Node **args = c->left->func_call->args;
  if (!rewrite_int_literal(args[left ? 1 : 2], &length) || (!left && (!rewrite_int_literal(args[1], &start) || start != 1))) return false;
  if (column_type(rw, args[0]) != TYPE_TEXT) return false;
  const char *name = rewrite_print(rw, args[0]), *pattern = prefix_pattern(rw, text, length);
  rewrite_explain(rw, "LIKE says the same of %s, and statistics and indexes know it", name ? name : "it");
  return name && pattern && become(rw, node, rewrite_parse(rw, "%s LIKE %s", name, pattern));
}

bool rewrite_prefix(struct rewrite *rw) { return each(rw, look_prefix); }

/* --- (a > x) OR (a = x AND b > y) --- */

static bool same_text(struct rewrite *rw, PgQuery__Node *a, PgQuery__Node *b) {
  const char *left = sql_expression(rw->arena, a), *right = sql_expression(rw->arena, b);
  return left && right && strcmp(left, right) == 0;
}

static bool oriented(struct rewrite *rw, PgQuery__Node *node, struct rewrite_comparison *c) {
  if (!rewrite_is_comparison(node, c)) return false;
  if (!rewrite_column(rw, c->left)) rewrite_flip(c);
  return rewrite_column(rw, c->left) && rewrite_is_value(rw, c->right);
}

struct tuple {
  struct rewrite_comparison first, tie, second;
};

static bool is_tuple(struct rewrite *rw, PgQuery__Node *strict, const PgQuery__Node *both, struct tuple *t) {
  if (both->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || both->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR ||
      both->bool_expr->n_args != 2 || !oriented(rw, strict, &t->first) || t->first.op[1] || *t->first.op == '=')
    return false;
  PgQuery__Node **args = both->bool_expr->args;
  bool first_ties = oriented(rw, args[0], &t->tie) && strcmp(t->tie.op, "=") == 0;
  if (!first_ties && (!oriented(rw, args[1], &t->tie) || strcmp(t->tie.op, "=") != 0)) return false;
  if (!oriented(rw, args[first_ties ? 1 : 0], &t->second) || *t->second.op != *t->first.op || strcmp(t->second.op, "<>") == 0) return false;
  return rewrite_same_column(rewrite_column(rw, t->first.left), rewrite_column(rw, t->tie.left)) &&
         same_text(rw, t->first.right, t->tie.right);
}

/* Of values the types are left open: they become the columns'. A typed one must be the column's own. */
static bool value_fits(struct rewrite *rw, PgQuery__Node *column, PgQuery__Node *value) {
  enum rewrite_type type = column_type(rw, column);
  if (type == TYPE_OTHER || type == TYPE_FLOAT) return false;
  if (rewrite_text_literal(value) || value->node_case == PG_QUERY__NODE__NODE_PARAM_REF) return true;
  return rewrite_comparable(type, rewrite_type(rw, value));
}

static bool see_tuple(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct tuple t;
  (void)scope;
  (void)arg;
  if (!positive || node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR || node->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR ||
      node->bool_expr->n_args != 2)
    return false;
  PgQuery__Node **args = node->bool_expr->args;
  if (!is_tuple(rw, args[0], args[1], &t) && !is_tuple(rw, args[1], args[0], &t)) return false;
  const struct query_binding *a = rewrite_column(rw, t.first.left), *b = rewrite_column(rw, t.second.left);
  if (rewrite_same_column(a, b) || !rewrite_not_null(rw, a) || !rewrite_not_null(rw, b) || !value_fits(rw, t.first.left, t.first.right) ||
      !value_fits(rw, t.second.left, t.second.right))
    return false;
  const char *a_text = rewrite_print(rw, t.first.left), *b_text = rewrite_print(rw, t.second.left);
  const char *x = rewrite_print(rw, t.first.right), *y = rewrite_print(rw, t.second.right);
  if (!a_text || !b_text || !x || !y) return false;
  if (!become(rw, node, rewrite_parse(rw, "(%s, %s) %s (%s, %s)", a_text, b_text, t.second.op, x, y))) return false;
  rewrite_state_not_null(rw, a);
  rewrite_state_not_null(rw, b);
  return true;
}

bool rewrite_row_comparison(struct rewrite *rw) { return rewrite_conditions(rw, see_tuple, NULL); }

/* --- a.x = b.x AND a.x > 5 --- */

struct equal {
  const struct query_binding *a, *b;
};

/* Column equalities that hold for every row that gets through: of WHERE, and of ON of inner joins. */
static void add_equal(struct rewrite *rw, PgQuery__Node *root, struct equal *list, size_t *count, size_t room) {
  PgQuery__Node **parts;
  size_t n = rewrite_conjuncts(rw, root, &parts);
  for (size_t i = 0; i < n && *count < room; i++) {
    struct rewrite_comparison c;
    if (!rewrite_is_comparison(parts[i], &c) || strcmp(c.op, "=") != 0) continue;
    const struct query_binding *a = rewrite_column(rw, c.left), *b = rewrite_column(rw, c.right);
    if (a && b && a->levels_up == 0 && b->levels_up == 0 && a->rte != b->rte) list[(*count)++] = (struct equal){a, b};
  }
}

static void inner_equals(struct rewrite *rw, const PgQuery__Node *item, struct equal *list, size_t *count, size_t room) {
  if (item->node_case != PG_QUERY__NODE__NODE_JOIN_EXPR || item->join_expr->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER) return;
  inner_equals(rw, item->join_expr->larg, list, count, room);
  inner_equals(rw, item->join_expr->rarg, list, count, room);
  add_equal(rw, item->join_expr->quals, list, count, room);
}

static bool restricts(const PgQuery__Node *node, PgQuery__Node **ret_column) {
  struct rewrite_comparison c;
  if (rewrite_is_comparison(node, &c)) {
    *ret_column = c.left;
    return strcmp(c.op, "=") != 0 && strcmp(c.op, "<>") != 0;
  }
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
  *ret_column = node->a_expr->lexpr;
  const char *name = node->a_expr->n_name ? sql_node_string(node->a_expr->name[0]) : "";
  return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN ||
         (node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_IN && strcmp(name, "=") == 0);
}

/* Literals of the columns' own kind: a cast of the column that the comparison makes would be another for the other column. */
static bool literal_fits(struct rewrite *rw, enum rewrite_type type, const PgQuery__Node *value) {
  int64_t number;
  if (value->node_case == PG_QUERY__NODE__NODE_LIST) {
    for (size_t i = 0; i < value->list->n_items; i++)
      if (!literal_fits(rw, type, value->list->items[i])) return false;
    return value->list->n_items > 0 && value->list->n_items <= 1000;
  }
  if (rewrite_text_literal(value) || value->node_case == PG_QUERY__NODE__NODE_PARAM_REF) return true;
  if (rewrite_is_int(type)) return rewrite_int_literal(value, &number);
  if (type == TYPE_NUMERIC) return rewrite_is_literal(value);
  return value->node_case == PG_QUERY__NODE__NODE_TYPE_CAST && rewrite_type(rw, value) == type && rewrite_is_literal(value->type_cast->arg);
}

static bool is_restricted(struct rewrite *rw, PgQuery__Node *const *parts, size_t count, const struct query_binding *column) {
  for (size_t i = 0; i < count; i++) {
    struct rewrite_comparison c;
    PgQuery__Node *left;
    if (restricts(parts[i], &left) && rewrite_same_column(rewrite_column(rw, left), column)) return true;
    if (rewrite_is_comparison(parts[i], &c) && strcmp(c.op, "=") == 0 &&
        ((rewrite_same_column(rewrite_column(rw, c.left), column) && rewrite_is_constant(rw, c.right)) ||
         (rewrite_same_column(rewrite_column(rw, c.right), column) && rewrite_is_constant(rw, c.left))))
      return true;
  }
  return false;
}

static bool imply(struct rewrite *rw, PgQuery__SelectStmt *select, const PgQuery__Node *part, const struct query_binding *from,
                  const struct query_binding *to, PgQuery__Node *const *parts, size_t count) {
  enum rewrite_type type = rewrite_type_of(query_bound_column(from)->type);
  const char *from_type = query_bound_column(from)->type, *to_type = query_bound_column(to)->type;
  if (type == TYPE_OTHER || type == TYPE_FLOAT || !to_type || strcmp(from_type, to_type) != 0 || to->rte->kind != QUERY_TABLE ||
      to->rte->outer || from->rte->outer || is_restricted(rw, parts, count, to) || !literal_fits(rw, type, part->a_expr->rexpr))
    return false;
  const char *name = rewrite_column_text(rw, to);
  PgQuery__Node *column = name ? rewrite_parse(rw, "%s", name) : NULL;
  if (!column || !rewrite_here(rw)) return false;
  PgQuery__Node *added = rewrite_copy(rw, (PgQuery__Node *)(uintptr_t)part);
  if (!added || added->node_case != PG_QUERY__NODE__NODE_A_EXPR) return false;
  added->a_expr->lexpr = column;
  rewrite_explain(rw, "%s equals %s, so the same limits hold for it: PostgreSQL infers that of equality with constants only", name,
                  rewrite_column_text(rw, from));
  rewrite_add_conjunct(rw, &select->where_clause, added);
  return true;
}

#define EQUALS_MAX 40

static bool implied_in(struct rewrite *rw, PgQuery__SelectStmt *select) {
  struct equal equals[EQUALS_MAX];
  size_t count = 0;
  PgQuery__Node **parts, *column;
  size_t part_count = rewrite_conjuncts(rw, select->where_clause, &parts);
  add_equal(rw, select->where_clause, equals, &count, EQUALS_MAX);
  for (size_t i = 0; i < select->n_from_clause; i++) inner_equals(rw, select->from_clause[i], equals, &count, EQUALS_MAX);
  for (size_t p = 0; count && p < part_count; p++) {
    if (!restricts(parts[p], &column)) continue;
    const struct query_binding *limited = rewrite_column(rw, column);
    for (size_t e = 0; limited && e < count; e++) {
      const struct query_binding *to = rewrite_same_column(equals[e].a, limited)   ? equals[e].b
                                       : rewrite_same_column(equals[e].b, limited) ? equals[e].a
                                                                                   : NULL;
      if (to && imply(rw, select, parts[p], limited, to, parts, part_count)) return true;
    }
  }
  return false;
}

bool rewrite_implied_range(struct rewrite *rw) {
  for (size_t s = 0; s < rw->names->scope_count; s++)
    if (implied_in(rw, (PgQuery__SelectStmt *)(uintptr_t)rw->names->scopes[s]->select)) return true;
  return false;
}
