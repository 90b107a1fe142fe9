/* write_where.c - conditions as SQL. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

const char *write_column(struct scope *scope, const struct place *place) {
  size_t node = scope_node(scope, place->table, place->role);
  if (node == SIZE_MAX) return NULL;
  return arena_printf(scope->study->arena, "%s.%s", scope->nodes[node].alias, sql_ident(scope->study->arena, place->column->name));
}

/* --- one filter --- */

static size_t branch_filters(struct study *study, size_t branch, const struct filter **ret) {
  size_t n = 0;
  for (size_t i = 0; i < study->reading.filter_count; i++)
    if (study->reading.filters[i].branch == branch) ret[n++] = &study->reading.filters[i];
  return n;
}

static const char *write_in(struct study *study, const struct filter *filter, const char *column) {
  struct arena *arena = study->arena;
  if (filter->insensitive)
    return arena_printf(arena, "lower(%s) %s lower(%s)", column, filter->negated ? "<>" : "=", sql_literal(arena, filter->values[0]));
  if (filter->value_count == 1)
    return arena_printf(arena, "%s %s %s", column, filter->negated ? "<>" : "=", sql_literal(arena, filter->values[0]));
  const char *list = "";
  for (size_t i = 0; i < filter->value_count; i++)
    list = arena_printf(arena, "%s%s%s", list, i ? ", " : "", sql_literal(arena, filter->values[i]));
  return arena_printf(arena, "%s %sIN (%s)", column, filter->negated ? "NOT " : "", list);
}

/* A stretch of time that shares some of another: "valid in May". */
static const char *write_shared(struct study *study, const struct filter *filter, const char *column) {
  const char *type = filter->of.column->base_type ? filter->of.column->base_type : filter->of.column->type;
  const char *of = strcmp(type, "daterange") == 0 ? "date" : strcmp(type, "tsrange") == 0 ? "timestamp" : "timestamptz";
  const struct date_range *range = &filter->range;
  const char *from = range->from ? arena_printf(study->arena, "(%s)::%s", range->from, of) : "NULL",
             *to = range->to ? arena_printf(study->arena, "(%s)::%s", range->to, of) : "NULL";
  return arena_printf(study->arena, "%s%s && %s(%s, %s)%s", filter->negated ? "NOT (" : "", column, type, from, to,
                      filter->negated ? ")" : "");
}

static const char *write_range(struct study *study, const struct filter *filter, const char *column) {
  struct arena *arena = study->arena;
  const struct date_range *range = &filter->range;
  if (range->weekdays) return arena_printf(arena, "extract(isodow FROM %s) IN (%s)", column, range->weekdays);
  if (range->month) return arena_printf(arena, "extract(month FROM %s) = %d", column, range->month);
  if (range->from && range->to) return arena_printf(arena, "%s >= %s AND %s < %s", column, range->from, column, range->to);
  return range->from ? arena_printf(arena, "%s >= %s", column, range->from) : arena_printf(arena, "%s < %s", column, range->to);
}

static const char *write_like(struct study *study, const struct filter *filter, const char *column) {
  struct arena *arena = study->arena;
  char *pattern = arena_alloc(arena, 2 * strlen(filter->literal) + 3), *out = pattern;
  if (!pattern) return NULL;
  if (filter->op[0] == '%') *out++ = '%';
  for (const char *c = filter->literal; *c; c++) {
    if (*c == '%' || *c == '_' || *c == '\\') *out++ = '\\';
    *out++ = *c;
  }
  if (filter->op[strlen(filter->op) - 1] == '%') *out++ = '%';
  *out = '\0';
  return arena_printf(arena, "%s %sILIKE %s", column, filter->negated ? "NOT " : "", sql_literal(arena, pattern));
}

/* "(SELECT avg(p.price) FROM products p)": of all rows, of those that have something in common, or of those a branch says. */
static const char *write_than(struct scope *scope, const struct filter *filter, const char *column) {
  struct study *study = scope->study;
  struct scope inner;
  struct measure measure = {.kind = filter->than, .of = {filter->of.table, filter->of.column, NULL}};
  const struct filter *filters[READING_ROWS];
  if (!scope_open(&inner, study, scope, filter->of.table)) return NULL;
  if (filter->within.column) {
    const char *theirs = write_column(&inner, &filter->within), *own = write_column(scope, &filter->within);
    if (theirs && own) scope_and(&inner, arena_printf(study->arena, "%s = %s", theirs, own));
  }
  if (filter->inside) write_conditions(&inner, filter->inside, filters, branch_filters(study, filter->inside, filters), false);
  const char *value = study->doubt ? NULL : write_measure(&inner, &measure);
  if (!value) return NULL;
  if (filter->than == MEASURE_AVG && column_temporal(filter->of.column)) { /* there is no average of dates */
    value = arena_printf(study->arena, "avg(extract(epoch FROM %s))", write_column(&inner, &measure.of));
    column = arena_printf(study->arena, "extract(epoch FROM %s)", column);
  }
  return arena_printf(study->arena, "%s%s %s %s%s(SELECT %s %s%s)", filter->negated ? "NOT " : "", column, filter->op,
                      filter->factor ? filter->factor : "", filter->factor ? " * " : "", value, scope_from(&inner), write_where(&inner));
}

const char *write_filter(struct scope *scope, const struct filter *filter) {
  struct study *study = scope->study;
  struct arena *arena = study->arena;
  if (filter->kind == FILTER_TERM) {
    const char *term = write_term(scope, filter->term);
    return term ? arena_printf(arena, filter->negated ? "NOT (%s)" : "(%s)", term) : NULL;
  }
  const char *column = write_column(scope, &filter->of);
  if (!column) return NULL;
  switch (filter->kind) {
  case FILTER_COMPARE:
    if (filter->upper)
      return arena_printf(arena, "%s %sBETWEEN %s AND %s", column, filter->negated ? "NOT " : "", filter->literal, filter->upper);
    return arena_printf(arena, "%s %s %s", column, filter->op, filter->literal);
  case FILTER_IN: return write_in(study, filter, column);
  case FILTER_DATE: return column_period(filter->of.column) ? write_shared(study, filter, column) : write_range(study, filter, column);
  case FILTER_NULL: return arena_printf(arena, "%s IS %sNULL", column, filter->negated ? "NOT " : "");
  case FILTER_FLAG: return arena_printf(arena, "%s%s", filter->negated ? "NOT " : "", column);
  case FILTER_LIKE: return write_like(study, filter, column);
  case FILTER_THAN: return write_than(scope, filter, column);
  case FILTER_ROLE: {
    const char *other = write_column(scope, filter->until);
    return other ? arena_printf(arena, "%s %s %s", column, filter->op, other) : NULL;
  }
  case FILTER_TERM: break;
  }
  return NULL;
}

/* --- conditions on rows elsewhere --- */

/* Opens the scope behind a step that multiplies rows, tied to its parent in `outer`. */
static bool open_behind(struct scope *inner, struct scope *outer, const struct join_path *path, size_t many) {
  size_t parent = scope_join(outer, path, many);
  if (parent == SIZE_MAX) return false;
  const struct join_step *step = &path->steps[many];
  if (!scope_open(inner, outer->study, outer, step->up ? step->edge->to : step->edge->from)) return false;
  scope_and(inner, scope_link(outer->study, step->edge, step->up, outer->nodes[parent].alias, inner->nodes[0].alias));
  return true;
}

static bool joins_rest(struct scope *inner, const struct join_path *path, size_t many) {
  struct join_path rest = {.count = path->count - many - 1};
  memcpy(rest.steps, path->steps + many + 1, rest.count * sizeof *rest.steps);
  return scope_join(inner, &rest, rest.count) != SIZE_MAX;
}

static const char *exists(struct scope *inner, bool absent) {
  return arena_printf(inner->study->arena, "%sEXISTS (SELECT 1 %s WHERE %s)", absent ? "NOT " : "", scope_from(inner), inner->where);
}

struct far { /* a condition that needs rows behind a step */
  const struct filter *filter;
  struct join_path path;
  size_t many;
  bool done;
};

static void write_far(struct scope *scope, size_t branch, struct far *fars, size_t count) {
  struct study *study = scope->study;
  for (size_t i = 0; i < count && !study->doubt; i++) {
    if (fars[i].done) continue;
    const struct filter *together[READING_ROWS];
    size_t n = 0;
    struct scope inner;
    if (!open_behind(&inner, scope, &fars[i].path, fars[i].many)) return;
    for (size_t k = i; k < count; k++) {
      if (fars[k].done || fars[k].many != fars[i].many || fars[k].path.steps[fars[k].many].edge != fars[i].path.steps[fars[i].many].edge)
        continue;
      fars[k].done = true;
      if (fars[k].filter)
        together[n++] = fars[k].filter;
      else if (!joins_rest(&inner, &fars[k].path, fars[k].many))
        return;
    }
    write_conditions(&inner, branch, together, n, false);
    scope_and(scope, exists(&inner, false));
  }
}

static bool joined_already(const struct scope *scope, const struct join_path *path) {
  size_t at = 0;
  for (size_t s = 0; s < path->count; s++) {
    size_t next = 0;
    for (size_t i = 1; i < scope->count; i++)
      if (scope->nodes[i].parent == at && scope->nodes[i].edge == path->steps[s].edge && scope->nodes[i].up == path->steps[s].up) next = i;
    if (!next) return false;
    at = next;
  }
  return true;
}

/* Conditions joined by OR. What they are on must be beside each row: a row without it still may meet the other. */
static const char *write_either(struct scope *scope, const struct filter *const *filters, size_t count) {
  struct study *study = scope->study;
  const char *text = "";
  bool kept = scope->keep_unmatched;
  scope->keep_unmatched = true;
  for (size_t i = 0; i < count && !study->doubt; i++) {
    struct join_path path = {0};
    if (filters[i]->kind != FILTER_TERM && !scope_route(scope, filters[i]->of.table, filters[i]->of.role, &path)) break;
    if (path_many(&path) < path.count && !joined_already(scope, &path))
      study_doubt(study, NULL, "Only conditions on %s itself can stand beside an \u201cor\u201d. Can you ask for them one by one?",
                  study_table(study, scope->nodes[0].table)->name);
    const char *one = study->doubt ? NULL : write_filter(scope, filters[i]);
    if (one)
      text = arena_printf(study->arena, "%s%s%s", text, *text ? " OR " : "",
                          filters[i]->kind == FILTER_DATE ? arena_printf(study->arena, "(%s)", one) : one);
  }
  scope->keep_unmatched = kept;
  return *text && !study->doubt ? arena_printf(study->arena, "(%s)", text) : NULL;
}

void write_conditions(struct scope *scope, size_t branch, const struct filter *const *filters, size_t count, bool related) {
  struct study *study = scope->study;
  struct far *fars = arena_calloc(study->arena, 2 * READING_ROWS, sizeof *fars);
  size_t far_count = 0;
  for (size_t i = 0; fars && i < count && !study->doubt; i++) {
    struct join_path path = {0};
    if (filters[i]->branch != branch) continue;
    size_t alternatives = 1;
    while (i + alternatives < count && filters[i + alternatives]->either && filters[i + alternatives]->branch == branch) alternatives++;
    if (alternatives > 1) {
      scope_and(scope, write_either(scope, filters + i, alternatives));
      i += alternatives - 1;
      continue;
    }
    if (filters[i]->kind != FILTER_TERM && !scope_route(scope, filters[i]->of.table, filters[i]->of.role, &path)) return;
    size_t many = path_many(&path);
    if (many == path.count || joined_already(scope, &path))
      scope_and(scope, write_filter(scope, filters[i]));
    else
      fars[far_count++] = (struct far){filters[i], path, many, false};
  }
  for (size_t i = 0; fars && related && i < study->reading.related_count && !study->doubt; i++) {
    struct join_path path;
    if (!scope_route(scope, study->reading.related[i], NULL, &path)) return;
    size_t many = path_many(&path);
    if (many == path.count)
      scope_join(scope, &path, path.count);
    else if (!joined_already(scope, &path))
      fars[far_count++] = (struct far){NULL, path, many, false};
  }
  write_far(scope, branch, fars, far_count);
}

/* --- branches --- */

static const char *absent_parent(struct scope *scope, const struct join_path *path) {
  struct study *study = scope->study;
  const struct join_edge *edge = path->steps[0].edge;
  if (path->count != 1) return NULL;
  return arena_printf(study->arena, "%s.%s IS NULL", scope->nodes[0].alias, sql_ident(study->arena, edge->from_columns[0]));
}

const char *write_branch(struct scope *scope, size_t number) {
  struct study *study = scope->study;
  const struct branch *branch = &study->reading.branches[number - 1];
  const struct filter *filters[READING_ROWS];
  size_t n = branch_filters(study, number, filters);
  struct join_path path;
  struct scope inner;
  if (!scope_route(scope, branch->table, NULL, &path)) return NULL;
  size_t many = path_many(&path);
  for (size_t i = 0; branch->absent && i < many; i++) /* one to one: still a row that may not be there */
    if (!path.steps[i].up) many = i;
  if (many == path.count && branch->absent && !n) {
    const char *text = absent_parent(scope, &path);
    if (!text) study_doubt(study, NULL, "What is it that %s should be without?", study_table(study, scope->nodes[0].table)->qualified);
    return text;
  }
  if (many == path.count) {
    study_doubt(study, NULL, "There is at most one %s for each %s: what should be counted?", study_table(study, branch->table)->name,
                study_table(study, scope->nodes[0].table)->name);
    return NULL;
  }
  if (!open_behind(&inner, scope, &path, many) || !joins_rest(&inner, &path, many)) return NULL;
  write_conditions(&inner, number, filters, n, false);
  if (branch->absent || !branch->op) return exists(&inner, branch->absent);
  bool again = false; /* a step up after the one down: the same row may come several times */
  for (size_t i = many + 1; i < path.count; i++) again |= path.steps[i].up;
  struct measure measure = branch->measure;
  measure.distinct |= again;
  const char *value = write_measure(&inner, &measure);
  if (!value) return NULL;
  return arena_printf(study->arena, "(SELECT %s %s WHERE %s) %s %s", value, scope_from(&inner), inner.where, branch->op, branch->literal);
}

/* Conditions on numbers of other rows; those on the groups' own go to HAVING. */
const char *write_branches(struct scope *scope, bool grouped) {
  struct study *study = scope->study;
  const char *having = "";
  for (size_t b = 1; b <= study->reading.branch_count && !study->doubt; b++) {
    const struct branch *branch = &study->reading.branches[b - 1];
    if (branch->apart) continue;
    bool entity = false;
    for (size_t g = 0; g < study->reading.group_count; g++) entity |= !study->reading.groups[g].of.column;
    bool own = grouped && branch->op && (branch->table == scope->nodes[0].table || (entity && branch->measure.kind != MEASURE_COUNT));
    if (!own) {
      scope_and(scope, write_branch(scope, b));
      continue;
    }
    const char *value = write_measure(scope, &branch->measure);
    if (value) having = study_cat(study, having, " AND ", arena_printf(study->arena, "%s %s %s", value, branch->op, branch->literal));
  }
  return *having ? arena_printf(study->arena, "\nHAVING %s", having) : "";
}
