/* dates.c - a day, month or year asked of a timestamp, as the range of timestamps that it is.
 *
 * date_trunc(unit, c) = V, c::date = V and extract(year FROM c) = V say that c is in [V, V + unit), as long as V is the beginning of a
 * unit, which is decided here or is so by construction. The other comparisons need one end of it. All of it holds for NULLs and for
 * infinity.
 *
 * Of timestamptz, which instants make a day depends on the session's TimeZone; a day is one range wherever clocks are not set back over
 * midnight. Zones where they are are not in the list, and years before 1982 not where it was so then. */
#include "worker/optimizer/rewrite/rewrite_impl.h"

#include <ctype.h>
#include <stdlib.h>

struct day {
  int year, month, day;
};

struct span { /* column in [low, high) as SQL */
  PgQuery__Node *column;
  enum rewrite_type type;
  const char *low, *high;
};

/* --- calendar --- */

static int days_in(int year, int month) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return days[month - 1] + (month == 2 && leap);
}

/* Sakamoto's rule; 0 is Sunday. */
static int weekday(struct day d) {
  static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};
  int year = d.year - (d.month < 3);
  return (year + year / 4 - year / 100 + year / 400 + shift[d.month - 1] + d.day) % 7;
}

static struct day plus_days(struct day d, int days) {
  for (d.day += days; d.day > days_in(d.year, d.month);) {
    d.day -= days_in(d.year, d.month);
    if (++d.month > 12) d.month = 1, d.year++;
  }
  return d;
}

static struct day plus_months(struct day d, int months) {
  int month = d.month - 1 + months;
  return (struct day){d.year + month / 12, month % 12 + 1, d.day};
}

/* YYYY-MM-DD, perhaps with a midnight behind it: ISO, which every DateStyle reads alike. */
static bool read_day(const char *text, struct day *ret_day) {
  static const char *const midnights[] = {"", " 00:00", " 00:00:00", "T00:00:00"};
  for (int i = 0; i < 10; i++)
    if (i == 4 || i == 7 ? text[i] != '-' : !isdigit((unsigned char)text[i])) return false;
  struct day d = {(int)strtol(text, NULL, 10), (int)strtol(text + 5, NULL, 10), (int)strtol(text + 8, NULL, 10)};
  bool midnight = false;
  for (size_t i = 0; i < sizeof midnights / sizeof *midnights; i++) midnight |= strcmp(text + 10, midnights[i]) == 0;
  if (!midnight || d.year < 1 || d.year > 9998 || d.month < 1 || d.month > 12 || d.day < 1 || d.day > days_in(d.year, d.month))
    return false;
  *ret_day = d;
  return true;
}

/* --- units --- */

static const struct unit {
  const char *name, *length; /* as an interval */
  int days, months;
} units[] = {
    {"day", "1 day", 1, 0}, {"week", "7 days", 7, 0}, {"month", "1 month", 0, 1}, {"quarter", "3 months", 0, 3}, {"year", "1 year", 0, 12}};

static const struct unit *unit_named(const char *name) {
  for (size_t i = 0; name && i < sizeof units / sizeof *units; i++)
    if (strcasecmp(units[i].name, name) == 0) return &units[i];
  return NULL;
}

static bool begins(const struct unit *unit, struct day d) {
  if (unit->days == 1) return true;
  if (unit->days == 7) return weekday(d) == 1;
  return d.day == 1 && (d.month - 1) % unit->months == 0;
}

/* --- zones --- */

#define STEADY_SINCE 1982 /* southern Europe set clocks back at one in the night before */

/* No clock there is set back to or over midnight, nor was since 1982. */
static bool is_steady_zone(const char *zone) {
  static const char *const exact[] = {"UTC",
                                      "UCT",
                                      "GMT",
                                      "Zulu",
                                      "Universal",
                                      "Etc/UTC",
                                      "Etc/UCT",
                                      "Etc/GMT",
                                      "Etc/Universal",
                                      "Etc/Zulu",
                                      "Europe/London",
                                      "Europe/Paris",
                                      "Europe/Berlin",
                                      "Europe/Amsterdam",
                                      "Europe/Brussels",
                                      "Europe/Zurich",
                                      "Europe/Vienna",
                                      "Europe/Rome",
                                      "Europe/Madrid",
                                      "Europe/Stockholm",
                                      "Europe/Oslo",
                                      "Europe/Copenhagen",
                                      "Europe/Helsinki",
                                      "America/New_York",
                                      "America/Chicago",
                                      "America/Denver",
                                      "America/Los_Angeles",
                                      "America/Phoenix",
                                      "US/Eastern",
                                      "US/Central",
                                      "US/Mountain",
                                      "US/Pacific",
                                      "Asia/Tokyo",
                                      "Asia/Kolkata",
                                      "Asia/Singapore",
                                      "Australia/Sydney",
                                      "Australia/Melbourne",
                                      "Australia/Brisbane"};
  for (size_t i = 0; zone && i < sizeof exact / sizeof *exact; i++)
    if (strcasecmp(zone, exact[i]) == 0) return true;
  return false;
}

/* Only the clock changes around the ends of the range matter. */
static bool year_allows(enum rewrite_type type, int year) { return type != TYPE_TIMESTAMPTZ || year >= STEADY_SINCE; }

static bool zone_allows(const struct rewrite *rw, enum rewrite_type type) {
  return type != TYPE_TIMESTAMPTZ || is_steady_zone(rw->snapshot->timezone);
}

/* --- the value compared with --- */

/* A date as it is compared with a column of that type. Of timestamptz it is cast, so that it is read when the query runs. */
static const char *day_text(struct rewrite *rw, struct day d, bool cast) {
  return arena_printf(rw->arena, "'%04d-%02d-%02d'%s", d.year, d.month, d.day, cast ? "::date" : "");
}

static bool is_current_date(const PgQuery__Node *node) {
  return node->node_case == PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION &&
         node->sqlvalue_function->op == PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE;
}

/* CURRENT_DATE, perhaps plus or minus some days. */
static bool is_near_today(const PgQuery__Node *node) {
  int64_t days;
  if (is_current_date(node)) return true;
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || !node->a_expr->lexpr)
    return false;
  const char *op = node->a_expr->n_name == 1 ? sql_node_string(node->a_expr->name[0]) : "";
  return (strcmp(op, "+") == 0 || strcmp(op, "-") == 0) && is_current_date(node->a_expr->lexpr) &&
         rewrite_int_literal(node->a_expr->rexpr, &days) && days > -100000 && days < 100000;
}

/* now() and its like, perhaps plus or minus a literal interval. */
static enum rewrite_type type_of_now(struct rewrite *rw, const PgQuery__Node *node) {
  if (node->node_case == PG_QUERY__NODE__NODE_A_EXPR && node->a_expr->lexpr && node->a_expr->rexpr) {
    const char *op = node->a_expr->n_name == 1 ? sql_node_string(node->a_expr->name[0]) : "",
               *cast = rewrite_cast_name(node->a_expr->rexpr);
    bool shifted = (strcmp(op, "+") == 0 || strcmp(op, "-") == 0) && cast && strcmp(cast, "interval") == 0 &&
                   rewrite_is_literal(node->a_expr->rexpr->type_cast->arg);
    return shifted && !is_current_date(node->a_expr->lexpr) ? type_of_now(rw, node->a_expr->lexpr) : TYPE_OTHER;
  }
  if (rewrite_is_builtin(rw, node, "now", 0) || rewrite_is_builtin(rw, node, "transaction_timestamp", 0) || is_current_date(node))
    return TYPE_TIMESTAMPTZ; /* date_trunc() takes a date for one */
  if (node->node_case != PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION) return TYPE_OTHER;
  if (node->sqlvalue_function->op == PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP) return TYPE_TIMESTAMPTZ;
  return node->sqlvalue_function->op == PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP ? TYPE_TIMESTAMP : TYPE_OTHER;
}

/* --- forms --- */

static bool is_moment(enum rewrite_type type) { return type == TYPE_TIMESTAMP || type == TYPE_TIMESTAMPTZ; }

/* c::date or date(c): the column. */
static PgQuery__Node *cast_to_date(struct rewrite *rw, PgQuery__Node *node) {
  PgQuery__Node *inner = NULL;
  const char *cast = rewrite_cast_name(node);
  if (cast && strcmp(cast, "date") == 0) inner = node->type_cast->arg;
  if (rewrite_is_builtin(rw, node, "date", 1)) inner = node->func_call->args[0];
  return inner && rewrite_column(rw, inner) && is_moment(rewrite_type(rw, inner)) ? inner : NULL;
}

static bool day_span(struct rewrite *rw, PgQuery__Node *value, struct span *span) {
  struct day d;
  const char *cast = rewrite_cast_name(value), *literal = rewrite_text_literal(cast ? value->type_cast->arg : value);
  if (is_near_today(value)) {
    span->low = sql_expression(rw->arena, value);
    span->high = span->low ? arena_printf(rw->arena, "%s + 1", span->low) : NULL;
    return span->high != NULL;
  }
  if (!literal || (cast && strcmp(cast, "date") != 0) || !read_day(literal, &d) || !year_allows(span->type, d.year)) return false;
  span->low = day_text(rw, d, span->type == TYPE_TIMESTAMPTZ);
  span->high = day_text(rw, plus_days(d, 1), span->type == TYPE_TIMESTAMPTZ);
  return span->low && span->high;
}

static bool trunc_span(struct rewrite *rw, const struct unit *unit, PgQuery__Node *value, struct span *span) {
  struct day d;
  const char *cast = rewrite_cast_name(value), *literal = rewrite_text_literal(cast ? value->type_cast->arg : value);
  if (rewrite_is_builtin(rw, value, "date_trunc", 2) && unit_named(rewrite_text_literal(value->func_call->args[0])) == unit) {
    if (type_of_now(rw, value->func_call->args[1]) != span->type) return false;
    span->low = sql_expression(rw->arena, value);
    span->high = span->low ? arena_printf(rw->arena, "%s + interval '%s'", span->low, unit->length) : NULL;
    return span->high != NULL;
  }
  bool date = cast && strcmp(cast, "date") == 0;
  bool same = cast && strcmp(cast, span->type == TYPE_TIMESTAMP ? "timestamp" : "timestamptz") == 0;
  if (!literal || (cast && !date && !same) || !read_day(literal, &d) || !begins(unit, d) || !year_allows(span->type, d.year)) return false;
  span->low = day_text(rw, d, date);
  span->high = day_text(rw, unit->days ? plus_days(d, unit->days) : plus_months(d, unit->months), date);
  return span->low && span->high;
}

/* extract(year FROM c), date_part('year', c): the column. */
static PgQuery__Node *year_of(struct rewrite *rw, PgQuery__Node *node) {
  if (!rewrite_is_builtin(rw, node, "extract", 2) && !rewrite_is_builtin(rw, node, "date_part", 2)) return NULL;
  const char *field = rewrite_text_literal(node->func_call->args[0]);
  PgQuery__Node *column = node->func_call->args[1];
  enum rewrite_type type = rewrite_column(rw, column) ? rewrite_type(rw, column) : TYPE_OTHER;
  return field && strcasecmp(field, "year") == 0 && (is_moment(type) || type == TYPE_DATE) ? column : NULL;
}

static bool year_span(struct rewrite *rw, PgQuery__Node *value, struct span *span) {
  int64_t year;
  if (!rewrite_int_literal(value, &year) || year < 1 || year > 9997 || !year_allows(span->type, (int)year)) return false;
  span->low = day_text(rw, (struct day){(int)year, 1, 1}, span->type == TYPE_TIMESTAMPTZ);
  span->high = day_text(rw, (struct day){(int)year + 1, 1, 1}, span->type == TYPE_TIMESTAMPTZ);
  return span->low && span->high;
}

static bool read_span(struct rewrite *rw, PgQuery__Node *asked, PgQuery__Node *value, struct span *span) {
  const struct unit *unit = NULL;
  PgQuery__Node *day = cast_to_date(rw, asked), *year = day ? NULL : year_of(rw, asked);
  if (!day && !year && rewrite_is_builtin(rw, asked, "date_trunc", 2)) {
    unit = unit_named(rewrite_text_literal(asked->func_call->args[0]));
    span->column = asked->func_call->args[1];
    if (!unit || !rewrite_column(rw, span->column) || !is_moment(rewrite_type(rw, span->column))) return false;
  } else {
    span->column = day ? day : year;
  }
  if (!span->column) return false;
  span->type = rewrite_type(rw, span->column);
  if (!zone_allows(rw, span->type)) return false;
  return unit ? trunc_span(rw, unit, value, span) : day ? day_span(rw, value, span) : year_span(rw, value, span);
}

/* --- the rule --- */

static PgQuery__Node *range(struct rewrite *rw, const char *op, const struct span *from, const struct span *to) {
  const char *column = rewrite_print(rw, from->column);
  if (!column) return NULL;
  if (strcmp(op, "=") == 0) return rewrite_parse(rw, "%s >= %s AND %s < %s", column, from->low, column, to->high);
  if (strcmp(op, ">=") == 0) return rewrite_parse(rw, "%s >= %s", column, from->low);
  if (strcmp(op, "<") == 0) return rewrite_parse(rw, "%s < %s", column, from->low);
  if (strcmp(op, ">") == 0) return rewrite_parse(rw, "%s >= %s", column, from->high);
  return strcmp(op, "<=") == 0 ? rewrite_parse(rw, "%s < %s", column, from->high) : NULL;
}

static bool change(struct rewrite *rw, PgQuery__Node *node, PgQuery__Node *made, const struct span *span) {
  if (!made || !rewrite_here(rw)) return false;
  if (span->type == TYPE_TIMESTAMPTZ) rewrite_assume(rw, "the session's TimeZone is %s, as it is by default", rw->snapshot->timezone);
  rewrite_explain(rw, "The condition on %s is asked of the column itself, as a range, which an index on it serves and statistics can judge",
                  rewrite_print(rw, span->column));
  *node = *made;
  return true;
}

static bool between(struct rewrite *rw, PgQuery__Node *node) {
  struct span from = {0}, to = {0};
  if (node->node_case != PG_QUERY__NODE__NODE_A_EXPR || node->a_expr->kind != PG_QUERY__A__EXPR__KIND__AEXPR_BETWEEN ||
      node->a_expr->rexpr->node_case != PG_QUERY__NODE__NODE_LIST || node->a_expr->rexpr->list->n_items != 2)
    return false;
  PgQuery__Node **ends = node->a_expr->rexpr->list->items;
  if (!read_span(rw, node->a_expr->lexpr, ends[0], &from) || !read_span(rw, node->a_expr->lexpr, ends[1], &to)) return false;
  return change(rw, node, range(rw, "=", &from, &to), &from);
}

static bool see(struct rewrite *rw, struct query_scope *scope, PgQuery__Node *node, bool positive, void *arg) {
  struct rewrite_comparison comparison;
  struct span span = {0};
  (void)scope;
  (void)positive;
  (void)arg;
  if (between(rw, node)) return true;
  if (!rewrite_is_comparison(node, &comparison)) return false;
  if (!read_span(rw, comparison.left, comparison.right, &span)) {
    rewrite_flip(&comparison);
    if (!read_span(rw, comparison.left, comparison.right, &span)) return false;
  }
  return change(rw, node, range(rw, comparison.op, &span, &span), &span);
}

bool rewrite_date_range(struct rewrite *rw) { return rewrite_conditions(rw, see, NULL); }
