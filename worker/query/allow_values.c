/* allow_values.c - literals that make much out of little: the server's limits on memory do not cover a function's result. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "common/limits.h"
#include "worker/query/allow_impl.h"
#include "worker/sql/tree.h"

static bool text_number(const char *text, double *ret_value) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end || isnan(value)) return false;
  *ret_value = value;
  return true;
}

static bool literal(const PgQuery__AConst *value, double *ret_value) {
  if (value->isnull) return false;
  switch (value->val_case) {
  case PG_QUERY__A__CONST__VAL_IVAL: *ret_value = value->ival->ival; return true;
  case PG_QUERY__A__CONST__VAL_FVAL: return text_number(value->fval->fval, ret_value);
  case PG_QUERY__A__CONST__VAL_SVAL: return text_number(value->sval->sval, ret_value);
  default: return false;
  }
}

/* least(): the smallest of its literals, whatever the others are. */
static bool at_most(const PgQuery__MinMaxExpr *least, double *ret_value) {
  bool found = false;
  double value;
  if (least->op != PG_QUERY__MIN_MAX_OP__IS_LEAST) return false;
  for (size_t i = 0; i < least->n_args; i++) {
    if (!guard_constant(least->args[i], &value)) continue;
    *ret_value = found && *ret_value < value ? *ret_value : value;
    found = true;
  }
  return found;
}

bool guard_constant(const PgQuery__Node *node, double *ret_value) {
  if (!node) return false;
  switch (node->node_case) {
  case PG_QUERY__NODE__NODE_A_CONST: return literal(node->a_const, ret_value);
  case PG_QUERY__NODE__NODE_TYPE_CAST: return guard_constant(node->type_cast->arg, ret_value);
  case PG_QUERY__NODE__NODE_NAMED_ARG_EXPR: return guard_constant(node->named_arg_expr->arg, ret_value);
  case PG_QUERY__NODE__NODE_MIN_MAX_EXPR: return at_most(node->min_max_expr, ret_value);
  case PG_QUERY__NODE__NODE_A_EXPR: {
    const PgQuery__AExpr *expr = node->a_expr;
    const char *name = expr->n_name == 1 ? sql_node_string(expr->name[0]) : NULL;
    bool sign = name && !expr->lexpr && (strcmp(name, "-") == 0 || strcmp(name, "+") == 0);
    if (!sign || !guard_constant(expr->rexpr, ret_value)) return false;
    if (*name == '-') *ret_value = -*ret_value;
    return true;
  }
  default: return false;
  }
}

static void check_length(struct check *check, const PgQuery__FuncCall *call, const char *name, double *repeated) {
  double count = INFINITY;
  if (call->n_args < 2) return;
  bool bounded =
      guard_constant(call->args[1], &count) && !call->func_variadic && call->args[1]->node_case != PG_QUERY__NODE__NODE_NAMED_ARG_EXPR;
  if (!bounded || count > LIMIT_GUARD_REPEAT)
    guard_refuse(check, "cost", "length-too-large", call->location, "a literal of at most 10000, or least(…, 10000)",
                 "%s() may make a text of any length", name);
  else if (strcmp(name, "repeat") == 0 && count > 1)
    *repeated *= count;
}

static void check_series(struct check *check, const PgQuery__FuncCall *call, double *rows) {
  double from, to, step = 1;
  if (call->n_args < 2 || !guard_constant(call->args[0], &from) || !guard_constant(call->args[1], &to)) return;
  if (call->n_args > 2 && !guard_constant(call->args[2], &step)) return;
  if (step != 0 && (to - from) / step > 1) *rows *= (to - from) / step;
  if (step == 0 || (to - from) / step <= LIMIT_GUARD_SERIES) return;
  guard_refuse(check, "cost", "series-too-long", call->location, "at most 1000000 steps", "generate_series() makes %.3g rows",
               (to - from) / step);
}

/* "%10000000s" is a width; "%*s" takes it from an argument. */
static bool wide_format(const char *format) {
  for (const char *p = format; (p = strchr(p, '%'));) {
    p++;
    if (*p == '%') {
      p++;
      continue;
    }
    for (; *p && !isalpha((unsigned char)*p) && *p != '%'; p++) {
      if (*p == '*') return true;
      if (isdigit((unsigned char)*p) && strspn(p, "0123456789") > 4) return true;
    }
  }
  return false;
}

static void check_format(struct check *check, const PgQuery__FuncCall *call) {
  const PgQuery__Node *format = call->n_args ? call->args[0] : NULL;
  while (format && format->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) format = format->type_cast->arg;
  const PgQuery__AConst *value = format && format->node_case == PG_QUERY__NODE__NODE_A_CONST ? format->a_const : NULL;
  bool plain = value && !value->isnull && value->val_case == PG_QUERY__A__CONST__VAL_SVAL && !wide_format(value->sval->sval);
  if (!plain)
    guard_refuse(check, "cost", "length-too-large", call->location, "a literal format with widths below 10000",
                 "format() may make a text of any length");
}

void guard_values(struct check *check) {
  double repeated = 1, rows = 1;
  for (size_t i = 0; i < check->call_count; i++) {
    const PgQuery__FuncCall *call = check->calls[i];
    const char *schema, *name;
    sql_name_split(call->n_funcname, call->funcname, &schema, &name);
    if (!name) continue;
    if (strcmp(name, "repeat") == 0 || strcmp(name, "lpad") == 0 || strcmp(name, "rpad") == 0) check_length(check, call, name, &repeated);
    if (strcmp(name, "generate_series") == 0) check_series(check, call, &rows);
    if (strcmp(name, "format") == 0) check_format(check, call);
  }
  if (repeated > LIMIT_GUARD_REPEATED)
    guard_refuse(check, "cost", "length-too-large", -1, "repeat() that makes at most 1000000 characters of one, all together",
                 "repeat() is nested, or used often");
  else if (repeated > 1 && repeated * rows > LIMIT_GUARD_MADE) /* string_agg(repeat(…)) over a series: no memory limit covers it */
    guard_refuse(check, "cost", "length-too-large", -1, "repeat() over fewer rows", "repeat() over a series makes %.3g characters",
                 repeated * rows);
}
