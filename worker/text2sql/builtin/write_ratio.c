/* write_ratio.c - parts of a whole, and one part beside another. */
#include <string.h>

#include "worker/sql/text.h"
#include "worker/text2sql/builtin/write.h"

/* The conditions in one text, which take rows of the scope alone; "" when there are none. */
static const char *conditions_of(struct scope *scope, const struct filter *const *filters, size_t count) {
  const char *outside = scope->where;
  scope->where = "";
  write_conditions(scope, 0, filters, count, false);
  const char *inside = scope->where;
  scope->where = outside;
  return inside;
}

static const char *ratio_tail(struct scope *scope, struct list *list) {
  const char *order = write_order(scope, list, *list->group_by);
  struct arena *arena = scope->study->arena;
  const char *group = *list->group_by ? arena_printf(arena, "\nGROUP BY %s", list->group_by) : "";
  return order ? arena_printf(arena, "SELECT %s\n%s%s%s%s%s", list->text, scope_from(scope), write_where(scope), group,
                              *list->group_by ? order : "", *list->group_by ? write_tail(scope->study) : "")
               : NULL;
}

struct sides { /* of "ratio of A to B": the conditions of each, and of both */
  const struct filter *of[2][READING_ROWS], *whole[READING_ROWS];
  size_t counts[2], whole_count;
};

/* The token of the noun behind "to"; TOKENS_MAX: none. */
static size_t noun_behind(const struct study *study) {
  for (size_t i = study->reading.ratio_to; i < study->tokens.count; i++)
    if (mention_best(study->at[i], LINK_TABLE) && !study->at[i]->verb) return i;
  return TOKENS_MAX;
}

static bool of_column(const struct sides *sides, const struct filter *filter) {
  for (size_t i = 0; i < sides->counts[0]; i++)
    if (sides->of[0][i]->of.table == filter->of.table && sides->of[0][i]->of.column == filter->of.column) return true;
  return false;
}

/* "to restaurants rated below 4 in Paris": behind the second noun, what speaks of the first side's columns again is the second's. */
static void divide_behind(const struct study *study, struct sides *sides, const struct filter *const *behind, size_t count) {
  bool again = false, all = false;
  for (size_t i = 0; i < count; i++) again |= of_column(sides, behind[i]);
  for (size_t i = study->reading.ratio_to; i < study->reading.ratio_to + 4; i++) all |= study_phrase(study, i, "total|all|every") > 0;
  for (size_t i = 0; i < count; i++) {
    bool second = !sides->counts[1] && (again ? of_column(sides, behind[i]) : !all && behind[i]->kind != FILTER_DATE);
    if (!second) sides->whole[sides->whole_count++] = behind[i];
  }
  for (size_t i = 0, kept = sides->whole_count; i < count; i++) {
    bool whole = false;
    for (size_t k = 0; k < kept; k++) whole |= sides->whole[k] == behind[i];
    if (!whole) sides->of[1][sides->counts[1]++] = behind[i];
  }
}

static void divide(struct study *study, struct sides *sides) {
  struct reading *r = &study->reading;
  size_t noun = noun_behind(study), count = 0;
  const struct filter *behind[READING_ROWS];
  for (size_t i = 0; i < r->filter_count; i++) {
    const struct filter *filter = &r->filters[i];
    bool left = filter->at < r->ratio_to;
    if (filter->either || filter->branch || (left && filter->at < r->ratio_from))
      study_doubt(study, NULL, "Which rows are divided by which?");
    else if (left && filter->kind != FILTER_DATE)
      sides->of[0][sides->counts[0]++] = filter;
    else if (!left && filter->at < noun && filter->kind != FILTER_DATE)
      sides->of[1][sides->counts[1]++] = filter;
    else if (left)
      sides->whole[sides->whole_count++] = filter;
    else
      behind[count++] = filter;
  }
  divide_behind(study, sides, behind, count);
}

/* "ratio of boats to harbours": all rows of the one by all of the other. */
static const char *write_ratio_tables(struct study *study) {
  struct reading *r = &study->reading;
  size_t noun = noun_behind(study), other = noun < TOKENS_MAX ? mention_best(study->at[noun], LINK_TABLE)->table : r->subject;
  if (other == r->subject || r->filter_count || r->group_count || r->branch_count) return NULL;
  const struct snap_table *a = study_table(study, r->subject), *b = study_table(study, other);
  r->related_count = 0; /* no condition on the rows of the first */
  study_note(study, "All rows of %s are counted, and divided by all rows of %s.", a->name, b->name);
  return arena_printf(study->arena, "SELECT (SELECT count(*) FROM %s)::numeric / NULLIF((SELECT count(*) FROM %s), 0) AS ratio",
                      sql_qualified(study->arena, a->schema, a->name), sql_qualified(study->arena, b->schema, b->name));
}

static bool only_counts(const struct reading *r) {
  for (size_t i = 0; i < r->item_count; i++)
    if (r->items[i].kind != MEASURE_COUNT || r->items[i].of.column || r->items[i].of.table != r->subject) return false;
  return true;
}

/* "ratio of business to economy tickets": rows of one kind beside rows of another. */
const char *write_ratio_to(struct study *study) {
  struct reading *r = &study->reading;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const char *tables = write_ratio_tables(study);
  if (tables) return tables;
  struct sides *sides = ARENA_NEW(study->arena, struct sides);
  if (!sides) return NULL;
  divide(study, sides);
  if (!sides->counts[0] || r->branch_count || r->related_count || !only_counts(r)) {
    study_doubt(study, NULL, "Which rows are divided by which?");
    return NULL;
  }
  if (study->doubt || !scope_open(&scope, study, NULL, r->subject)) return NULL;
  list_groups(&scope, &list);
  if (!study->doubt) write_conditions(&scope, 0, sides->whole, sides->whole_count, false);
  const char *parts[2] = {"count(*)", "count(*)"};
  for (size_t side = 0; side < 2 && !study->doubt; side++) {
    const char *text = conditions_of(&scope, sides->of[side], sides->counts[side]);
    if (*text) parts[side] = arena_printf(study->arena, "count(*) FILTER (WHERE %s)", text);
  }
  if (study->doubt) return NULL;
  list_show(&list, arena_printf(study->arena, "%s::numeric / NULLIF(%s, 0)", parts[0], parts[1]), "ratio");
  return ratio_tail(&scope, &list);
}

/* "share of orders per status": how all of it is distributed over the groups. */
static const char *write_distribution(struct study *study, size_t root) {
  struct reading *r = &study->reading;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *whole[READING_ROWS];
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  list_groups(&scope, &list);
  const char *all = study->doubt                                       ? NULL
                    : r->item_count && r->items[0].kind == MEASURE_SUM ? write_measure(&scope, &r->items[0])
                                                                       : "count(*)";
  if (!study->doubt) write_conditions(&scope, 0, whole, all_filters(study, whole), true);
  if (study->doubt || !all || !*list.group_by) return NULL;
  list_show(&list, arena_printf(study->arena, "%s%s / NULLIF(sum(%s) OVER (), 0)", r->percent ? "100.0 * " : "1.0 * ", all, all),
            r->percent ? "percentage" : "share");
  return ratio_tail(&scope, &list);
}

/* "orders that used a promotion": that there is a row above. */
static void related_above(struct scope *scope) {
  struct study *study = scope->study;
  for (size_t i = 0; i < study->reading.related_count; i++) {
    struct join_path path;
    if (!scope_route(scope, study->reading.related[i], NULL, &path)) return;
    if (path.count != 1 || !path.steps[0].up || !path.steps[0].edge->optional) continue;
    const char *column = sql_ident(study->arena, path.steps[0].edge->from_columns[0]);
    scope_and(scope, arena_printf(study->arena, "%s.%s IS NOT NULL", scope->nodes[0].alias, column));
  }
}

/* Of all rows, the part that the conditions behind the verb hold for. */
const char *write_ratio(struct study *study) {
  struct reading *r = &study->reading;
  for (size_t i = 0; i < r->item_count; i++) /* "share of billable hours" */
    if (r->items[i].kind == MEASURE_NONE && r->items[i].of.column && column_numeric(r->items[i].of.column)) r->items[i].kind = MEASURE_SUM;
  struct scope scope;
  struct list list = {.study = study, .scope = &scope, .text = "", .group_by = ""};
  const struct filter *part[READING_ROWS], *whole[READING_ROWS];
  size_t part_count = 0, whole_count = 0;
  size_t root = r->item_count == 1 && r->items[0].kind == MEASURE_SUM ? r->items[0].of.table : r->subject;
  for (size_t i = 0; i < r->filter_count; i++) {
    const struct filter *filter = &r->filters[i];
    if (filter->either) study_doubt(study, NULL, "Which of the conditions make the part, and which the whole?");
    bool numerator = filter->kind != FILTER_DATE && !filter->branch &&
                     (filter->at >= r->ratio_verb || (filter->at < r->ratio_noun && filter->at >= r->ratio_from));
    if (numerator)
      part[part_count++] = filter;
    else
      whole[whole_count++] = filter;
  }
  if (!part_count && !r->branch_count && !r->related_count && r->group_count && r->item_count < 2) return write_distribution(study, root);
  if (!part_count && !r->branch_count && !r->related_count) { /* "percentage of customers from Germany" */
    size_t kept = 0;
    for (size_t i = 0; i < whole_count; i++)
      if (whole[i]->kind != FILTER_DATE)
        part[part_count++] = whole[i];
      else
        whole[kept++] = whole[i];
    whole_count = kept;
  }
  if (!part_count && !r->branch_count && !r->related_count) {
    study_doubt(study, NULL, "The share of which rows among all of %s?", study_table(study, root)->qualified);
    return NULL;
  }
  if (r->item_count > 1 || (r->item_count && r->items[0].kind != MEASURE_SUM && r->items[0].kind != MEASURE_COUNT)) {
    study_doubt(study, NULL, "A share of what? Ask for one number at a time.");
    return NULL;
  }
  if (!scope_open(&scope, study, NULL, root)) return NULL;
  list_groups(&scope, &list);
  if (study->doubt) return NULL;
  write_conditions(&scope, 0, whole, whole_count, false);
  const char *outside = scope.where;
  scope.where = "";
  scope.keep_unmatched = true; /* rows of the whole that have no row above them stay in it */
  if (!study->doubt) write_conditions(&scope, 0, part, part_count, true);
  if (!study->doubt) related_above(&scope);
  scope.keep_unmatched = false;
  if (!study->doubt) write_branches(&scope, false);
  const char *inside = scope.where;
  scope.where = outside;
  if (study->doubt || !*inside) return NULL;
  const char *all = r->item_count && r->items[0].kind == MEASURE_SUM ? write_measure(&scope, &r->items[0]) : "count(*)";
  if (!all) return NULL;
  list_show(&list,
            arena_printf(study->arena, "%s%s FILTER (WHERE %s)::numeric / NULLIF(%s, 0)", r->percent ? "100.0 * " : "", all, inside, all),
            r->percent ? "percentage" : "share");
  return ratio_tail(&scope, &list);
}
