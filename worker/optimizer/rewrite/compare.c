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
